"""What a stranger hands over is data: it is understood or refused with a sentence, never followed.

Every case checks that no request was sent and that nothing outside of the folder was written.
"""

import http.server
import json
import os
import shutil
import sys
import threading
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from test_ingest import SMALL, film, status

from s1m_lab import __main__ as command
from s1m_lab import models
from s1m_lab.common.files import Damaged
from s1m_lab.data import catalog, places, sports1m
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.training import runs


@pytest.fixture(scope="module")
def server():
    """A web server on loopback that counts all requests and answers 404."""

    class Counts(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_PUT = do_POST = do_GET

        def log_message(self, *_): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counts) as server:
        server.asked, server.url = [], f"http://127.0.0.1:{server.server_address[1]}/x"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset as its maker has it: six videos found by id, its shards in another folder."""
    top = tmp_path_factory.mktemp("maker")
    for n in range(6):
        film(top / "films" / f"v{n}.mp4", 20 + 30 * n)
    columns = {
        "id": [f"v{n}" for n in range(6)],
        "split": ["train", "val", "test"] * 2,
        "labels": [[n % 2] for n in range(6)],
    }
    about = {"classes": ["run", "jump"], "data_seed": 0, "split": "given", "broken": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S1M_HOME", str(top / "home"))
        folder = top / "home" / "data" / "gift"
        catalog.save_catalog(catalog.frame(catalog.table(columns), **about), folder)
        files, output = str(top / "films"), str(top / "shards")
        prepare.prepare("gift", workers=1, files=files, output=output, **SMALL)
        Shards(folder / "clips", "train")  # here the places are known
    return top


@pytest.fixture
def gift(made, home):
    """The same folder, copied into another home."""
    return Path(shutil.copytree(made / "home" / "data" / "gift", home / "data" / "gift"))


@pytest.fixture(autouse=True)
def quiet(request, tmp_path, server):
    """No request is sent, and nothing is written outside of the home."""
    (tmp_path / "secret").mkdir()
    film(tmp_path / "secret" / "v0.mp4", 99)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    yield
    home = tmp_path / "home"
    after = [p for p in tmp_path.rglob("*") if p != home and home not in p.parents]
    if "allowed" not in request.keywords:
        odd = [p for p in after if p.stat().st_mtime_ns != before.get(p)]
        assert [p for p in odd if p.parent != tmp_path or p.suffix not in (".zip", "")] == []
    assert server.asked == []


def one_sentence(error) -> str:
    text = str(error.value)
    assert "\n" not in text and len(text) < 700 and "Traceback" not in text
    return text


def run(monkeypatch, *words) -> str:
    """A command's error, "" for none."""
    monkeypatch.setattr(sys, "argv", ["s1m_lab", *words])
    try:
        code = command.main()
    except SystemExit as end:
        code = end.code
    return code if isinstance(code, str) else ""


def change_index(folder: Path, **new) -> None:
    """Rewrite the metadata of an index without its digest, as a stranger would."""
    path = folder / "clips" / "index.parquet"
    table = pq.read_table(path)
    about = json.loads(pq.read_metadata(path).metadata[b"s1m"]) | new
    pq.write_table(table.replace_schema_metadata({"s1m": json.dumps(about)}), path)
    (folder / "clips" / ".sha256").unlink(missing_ok=True)


def change_asked(folder: Path, **new) -> None:
    (folder / "clips" / "asked.json").write_text(json.dumps(new))
    (folder / "clips" / ".sha256").unlink(missing_ok=True)


# -------------------------------------------------------------------------------- foreign places


@pytest.mark.parametrize("where", ["http", "chained", "path", "above", "sibling"])
@pytest.mark.parametrize("how", ["Shards", "classes", "ingest"])
def test_no_place_of_a_strangers_index_is_opened(gift, server, tmp_path, monkeypatch, where, how):
    root = {
        "http": server.url,
        "chained": f"memory://a::{server.url}",
        "path": str(tmp_path / "secret"),
        "above": str(gift / ".." / ".." / ".." / "secret"),
        "sibling": str(gift) + "2",
    }[where]
    change_index(gift, root=root)
    change_asked(gift, **({"output": root} if how == "ingest" else {}))
    if how == "Shards":
        with pytest.raises(ValueError) as error:
            Shards(gift / "clips", "train")
        text = one_sentence(error)
    else:
        text = run(monkeypatch, how, "gift", *["--workers=1"] * (how == "ingest"))
        assert "\n" not in text
    assert "was made elsewhere" in text and "python -m s1m_lab ingest gift --output" in text
    assert os.path.abspath(root) in text or root in text or where == "above"


@pytest.mark.parametrize("files", ["{url}", "{tmp}/secret", "s3://bucket/videos"])
def test_no_place_of_strange_videos_is_opened(gift, server, tmp_path, monkeypatch, files):
    shutil.rmtree(gift / "clips")
    (gift / "clips").mkdir()
    change_asked(gift, files=files.format(url=server.url, tmp=tmp_path))
    for words in (["ingest", "gift"], ["ingest", "gift", "--dry-run"]):
        text = run(monkeypatch, *words)
        assert "was made elsewhere" in text and "ingest gift --files" in text
    assert sorted(path.name for path in (gift / "clips").iterdir()) == ["asked.json"]


def test_what_the_sentence_says_is_enough(gift, made, home, monkeypatch, capsys):
    """On another machine the shards are named once; then the dataset trains and resumes."""
    with pytest.raises(ValueError, match="--output") as error:
        Shards(gift / "clips", "train")
    words = one_sentence(error).partition("python -m s1m_lab ")[2].split()
    both = run(monkeypatch, *words)  # its videos lie elsewhere too
    words = both.partition("python -m s1m_lab ")[2].split()
    assert words == ["ingest", "gift", "--files", f"{made}/films", "--output", f"{made}/shards"]
    assert run(monkeypatch, *words) == ""
    assert Shards(gift / "clips", "train").read(0, [0], [0]).shape == (1, 1, 48, 48, 3)
    assert run(monkeypatch, "ingest", "gift") == "" and set(status(gift).values()) == {"ok"}
    assert places.allowed(home / "data" / "other") is not None  # for this dataset alone


@pytest.mark.parametrize("path", ["{tmp}/secret/v0.mp4", "../../../secret/v0.mp4", "/dev/zero"])
def test_a_path_that_leads_out_of_a_strangers_dataset_is_not_read(
    home, tmp_path, monkeypatch, path, capsys
):
    folder = home / "data" / "gift"
    film(folder / "videos" / "v1.mp4", 20)
    film(folder / "videos" / "v2.mp4", 60)
    write(folder, path=[path.format(tmp=tmp_path), "videos/../videos/v1.mp4", "videos/v2.mp4"])
    assert run(monkeypatch, "ingest", "gift", "--workers=1", "--clips=2", "--size=48") == ""
    assert status(folder) == {"v0": "not fetched", "v1": "ok", "v2": "ok"}
    detail = pq.read_table(folder / "clips" / "status.parquet")["detail"].to_pylist()[0]
    assert "leads out of a dataset that was made elsewhere" in detail
    assert "--files names a folder that may be read" in capsys.readouterr().out
    if path[0] == "{":
        files = ["--files", str(tmp_path / "secret")]
        assert run(monkeypatch, "ingest", "gift", "--workers=1", *files) == ""
        assert status(folder)["v0"] == "ok"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clips", {"train": "many"}),
        ("clips", [1]),
        ("height", "200"),
        ("frames", 10**9),
        ("fps", 0),
        ("quality", 10**6),
        ("max_duration", "long"),
        ("ingest", ["clips"]),
    ],
)
def test_settings_of_a_stranger_are_checked(gift, monkeypatch, name, value):
    shutil.rmtree(gift / "clips")
    about = {"ingest": value if name == "ingest" else {name: value}}
    (gift / "dataset.json").write_text(json.dumps(about))
    text = run(monkeypatch, "ingest", "gift", "--workers=1")
    assert name in text and "\n" not in text and len(text) < 300


# ------------------------------------------------------------------------------------- catalogs


def write(folder: Path, labels_txt="run\njump\n", metadata=None, **columns) -> Path:
    """A catalog that another program wrote."""
    rows = {"id": ["v0", "v1", "v2"], "split": ["train", "val", "test"], "labels": [[0], [1], [0]]}
    rows = {name: column for name, column in (rows | columns).items() if column is not None}
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(rows)
    if metadata is not None:
        table = table.replace_schema_metadata({"s1m": metadata})
    pq.write_table(table, folder / "catalog.parquet")
    if labels_txt is not None:
        (folder / "labels.txt").write_text(labels_txt)
    return folder


TWO = pa.array([[0], [1], [0]])
BROKEN = {
    "no ids": ({"id": None}, "it has no column id"),
    "no split": ({"split": None}, "it has no column split"),
    "no labels": ({"labels": None}, "it has no column labels"),
    "a null id": ({"id": ["v0", None, "v2"]}, "row 2, of video None: id None is needed"),
    "an empty id": ({"id": ["v0", "v1", ""]}, "row 3, of video '': id '' is needed"),
    "an id twice": ({"id": ["v0", "v1", "v0"]}, "row 3, of video 'v0': id 'v0' stands in an"),
    "a long id twice": ({"id": ["a" * 99, "b", "a" * 99]}, "stands in an earlier row too"),
    "ids that are no text": ({"id": pa.array([b"\xff", b"a", b"b"])}, "column id"),
    "another split": ({"split": ["Train", "val", "test"]}, "video 'v0': split 'Train' must be"),
    "a null split": ({"split": ["train", None, "test"]}, "video 'v1': split None must be train"),
    "a split of number": ({"split": [0, 1, 2]}, "split '0' must be train, val or test"),
    "label -1": ({"labels": [[0], [1, -1], [0]]}, "video 'v1': labels .1, -1. must be class"),
    "label 99": ({"labels": [[0], [0], [99]]}, "video 'v2': labels .99. must be .* 0 to 1"),
    "label 70000": ({"labels": [[70_000], [0], [1]]}, "video 'v0': labels .70000. must be"),
    "a null label": ({"labels": [[0], [None], [1]]}, "video 'v1': labels .None. must be"),
    "an empty list": ({"labels": [[0], [], [1]]}, "video 'v1': labels .. must be a list"),
    "no list": ({"labels": [[0], None, [1]]}, "video 'v1': labels None must be a list"),
    "labels as numbers": ({"labels": [0, 1, 0]}, "column labels is int64, not list"),
    "labels as names": ({"labels": [["run"], ["jump"], ["run"]]}, "column labels"),
    "half a label": ({"labels": [[0.5], [1.0], [0.0]]}, "column labels"),
    "width as text": ({"width": ["wide", "1", "2"]}, "column width is string, not int32"),
    "no class names": ({"labels_txt": None}, "no file .*labels.txt"),
    "classes twice": ({"labels_txt": "run\nrun\n"}, "stand there twice: ..run., .run.."),
    "no classes": ({"labels_txt": "\n"}, "class numbers from 0 to -1"),
    "metadata of a list": ({"metadata": "[1]"}, "is damaged"),
    "metadata no JSON": ({"metadata": "{"}, "is damaged"),
    "classes of a number": ({"metadata": '{"classes": 3}'}, "classes in its metadata is 3"),
    "classes of numbers": (
        {"metadata": '{"classes": [1, 2]}'},
        "classes are no texts, or stand there twice: .1, 2.",
    ),
    "a seed of text": ({"metadata": '{"data_seed": "x"}'}, "data_seed in its metadata is 'x'"),
    "a source of text": ({"metadata": '{"source": "x"}'}, "source in its metadata is 'x'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_catalog_is_checked_where_it_is_read(tmp_path, home, monkeypatch, name):
    columns, says = BROKEN[name]
    folder = write(home / "data" / "gift", **columns)
    with pytest.raises((ValueError, OSError), match=says) as error:
        catalog.load_catalog(folder)
    assert str(folder / "catalog.parquet") in one_sentence(error)
    assert run(monkeypatch, "ingest", "gift") == str(error.value)


@pytest.mark.parametrize("name", ["id", "labels", "title"])
def test_a_catalog_with_a_column_twice_is_refused(home, name):
    path = write(home / "data" / "gift", title=["a", "b", "c"]) / "catalog.parquet"
    rows = pq.read_table(path)
    pq.write_table(rows.append_column(name, rows[name]), path)
    with pytest.raises(Damaged, match=f"Multiple matches for FieldRef.Name.{name}"):
        catalog.load_catalog(path.parent)


def test_what_a_catalog_may_lack_is_null(home):
    words = pa.array(["unused", "train", "val", "test"])
    coded = pa.DictionaryArray.from_arrays(pa.array([1, 2, 3]), words)
    wide = {"labels": pa.array([[0], [1], [0, 1]], pa.large_list(pa.int64())), "split": coded}
    df = catalog.load_catalog(write(home / "data" / "gift", **wide, title=[None, "a", "b"]))
    assert df["path"].isna().all() and df["duration"].isna().all() and df["width"].isna().all()
    assert df["labels"].map(list).tolist() == [[0], [1], [0, 1]]
    assert pa.Table.from_pandas(df, preserve_index=False).schema.equals(catalog.SCHEMA)


def test_a_catalog_without_rows_is_refused_before_any_work(home, monkeypatch):
    empty = {"id": pa.array([], pa.string()), "split": pa.array([], pa.string())}
    write(home / "data" / "gift", **empty, labels=pa.array([], pa.list_(pa.int16())))
    assert "lists no videos" in run(monkeypatch, "ingest", "gift")


# ----------------------------------------------------------------------------------------- zips


@pytest.mark.parametrize("what", ["declared", "real", "many", "cut", "no zip"])
def test_a_zip_unpacks_to_a_bounded_size(tmp_path, home, monkeypatch, what):
    path, row = tmp_path / "sports1m.zip", b'{"id": "abcdefghijk", "label487": [1]}'
    monkeypatch.setattr(sports1m, "UNPACKED", 1_000_000)
    monkeypatch.setattr(sports1m, "MEMBERS", 5)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(10 if what == "many" else 1):
            archive.writestr(f"../../{n}_train.json", b"[" + row + b" " * 2_000_000 + b"]")
    if what == "real":  # a directory that declares less than there is
        sizes = [m.file_size for m in zipfile.ZipFile(path).infolist()]
        data = path.read_bytes().replace(sizes[0].to_bytes(4, "little"), (9).to_bytes(4, "little"))
        path.write_bytes(data)
    elif what in ("cut", "no zip"):
        path.write_bytes(path.read_bytes()[:300] if what == "cut" else b"no zip at all")
    with pytest.raises(ValueError) as error:
        sports1m.read_sports1m(path)
    assert str(path) in one_sentence(error) and "cannot be unpacked" in str(error.value)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".json"] == []


# -------------------------------------------------------------------------------------- weights


def fake_run(home, about, tensors, classes=3, **more) -> runs.Run:
    path = home / "runs" / "gift"
    path.mkdir(parents=True)
    settings = {"model": "single", "data": "gift", "seed": 0}
    (path / "config.json").write_text(json.dumps({"settings": settings, "machine": {}} | more))
    (path / "labels.txt").write_text("".join(f"c{n}\n" for n in range(classes)))
    save_file(tensors, path / "model.safetensors", about)
    return runs.load_run("gift")


def facts(**new) -> dict:
    about = {"model": "single", "classes": 3, "width": 0.1, "size": 56, "labels": ["a", "b", "c"]}
    return {"s1m_lab": json.dumps(about | new)}


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (None, "holds no network"),
        ({"s1m_lab": "no JSON"}, "holds no network"),
        ({"s1m_lab": "[1, 2]"}, "holds no network"),
        (facts(width=1e9), "width is 1000000000.0"),
        (facts(width="wide"), "width is 'wide'"),
        (facts(width=float("nan")), "width is nan"),
        (facts(classes=10**9), "classes is 1000000000"),
        (facts(classes=-3), "classes is -3"),
        (facts(size=10**9), "size is 1000000000"),
        (facts(size=90), "mismatch for fc6.weight"),
        (facts(size=56.5), "size is 56.5"),
        (facts(model="slow"), "another model, 'slow'"),
        (facts(model=["single"]), "another model, .'single'."),
        (facts(labels=["a"]), "does not name 3 classes"),
        (facts(labels=7), "does not name 3 classes"),
        (facts(classes=30_000, labels=["a"] * 30_000), "does not name 30,000 classes"),
        (facts(width=16), "mismatch for towers.frame.conv1.weight"),
        (facts(size=1000), "size 1000 does not suit both"),
    ],
)
def test_weights_of_a_stranger_take_no_memory_before_they_are_checked(home, about, says):
    net = models.build("single", 3, 0.1, 56)
    run = fake_run(home, about, {k: v.contiguous() for k, v in net.state_dict().items()})
    with pytest.raises(ValueError, match=says) as error:
        runs.load_network(run)
    assert str(run.path) in one_sentence(error)


@pytest.mark.parametrize("change", ["shape", "missing", "extra", "bytes"])
def test_tensors_of_another_network_are_refused(home, change):
    net = models.build("single", 3, 0.1, 56)
    tensors = {k: v.contiguous() for k, v in net.state_dict().items()}
    key = next(name for name in tensors if name.startswith("towers"))
    if change == "extra":
        tensors["x"] = torch.zeros(2)
    else:
        tensors |= {key: torch.zeros(2)}
    if change == "missing":
        del tensors[key]
    run = fake_run(home, facts(), tensors)
    if change == "bytes":
        (run.path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="model.safetensors") as error:
        runs.load_network(run)
    assert one_sentence(error)


@pytest.mark.parametrize("settings", [{"model": 3}, [1], {}])
def test_a_config_of_a_stranger_names_no_network(home, settings):
    run = fake_run(home, facts(), {"x": torch.zeros(1)}, settings=settings)
    with pytest.raises((ValueError, OSError)) as error:
        runs.load_network(run)
    assert one_sentence(error)


def test_sound_weights_are_loaded(home):
    net = models.build("single", 3, 0.1, 56)
    run = fake_run(home, facts(), {k: v.contiguous() for k, v in net.state_dict().items()})
    assert runs.load_network(run).classes == 3
