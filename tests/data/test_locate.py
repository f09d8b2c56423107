"""Videos from buckets and addresses, shards into buckets; the servers are real, on loopback."""

import http.server
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_ingest import SMALL, digests, film, status

from s1m_lab import __main__ as command
from s1m_lab.analysis import overlay
from s1m_lab.common.storage import Store
from s1m_lab.data import catalog, folder_reader, locate, table_reader
from s1m_lab.data.ingest import prepare, worker
from s1m_lab.data.shards import Shards
from s1m_lab.video import container, reader


class Site(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; `broken` maps a path to a status or to "slow", `asked` lists requests."""

    def do_GET(self):
        self.server.asked.append((self.command, self.path))
        trouble = self.server.broken.get(self.path)
        if isinstance(trouble, int):
            self.send_error(trouble)
        elif trouble == "slow":
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.end_headers()
            try:
                while not self.server.ended.wait(0.05):
                    self.wfile.write(bytes(1000))
            except OSError:
                pass
        else:
            super().do_GET()

    def do_HEAD(self):
        trouble = self.server.broken.get(self.path)
        if isinstance(trouble, int):
            self.send_error(trouble)
        else:
            super().do_HEAD()

    def log_message(self, *_): ...


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()

    def handler(*args):
        return Site(*args, directory=str(folder))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.broken, server.asked, server.ended = {}, [], threading.Event()
    server.folder, server.url = folder, f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join()


def addresses(home: Path, site, names: list[str]) -> str:
    """A dataset of addresses alone, half of it to train on."""
    columns = {
        "id": [f"video{n}" for n in range(len(names))],
        "labels": [[n % 2] for n in range(len(names))],
        "split": ["train" if n % 2 else "test" for n in range(len(names))],
        "url": [f"{site.url}/{name}" for name in names],
    }
    df = catalog.frame(
        catalog.table(columns), classes=["run", "jump"], data_seed=0, split="given", broken={}
    )
    catalog.save_catalog(df, home / "data" / "web")
    return "web"


def test_addresses_are_read_only_when_asked_and_failures_alone_tried_again(
    home, site, capsys, monkeypatch
):
    pytest.importorskip("yt_dlp")
    names = [f"{n}.mp4" for n in range(6)] + ["gone.mp4", "page.html"]
    for n in range(6):
        film(site.folder / f"{n}.mp4", 20 + 10 * n)
    (site.folder / "page.html").write_text("<title>no video here</title>")
    data = addresses(home, site, names)
    with pytest.raises(ValueError, match="none of the 8 videos"):
        prepare.prepare(data, workers=1, **SMALL)
    assert site.asked == []
    site.broken = {"/1.mp4": 503, "/2.mp4": 403}
    monkeypatch.setattr(tempfile, "tempdir", str(home))
    folder = prepare.prepare(data, workers=1, fetch=True, **SMALL)
    found = status(folder)
    assert [found[f"video{n}"] for n in (0, 3, 4, 5)] == ["ok"] * 4
    assert [found[f"video{n}"] for n in (1, 2, 6, 7)] == ["refused"] * 2 + [
        "missing",
        "not a video",
    ]
    assert not [name for name in os.listdir(home) if name.startswith("s1m-")]  # no original kept
    site.broken, site.asked[:] = {}, []
    assert prepare.prepare(data, workers=1) == folder  # nothing is lost where nothing is fetched
    assert prepare.prepare(data, workers=1, fetch=True) == folder
    assert site.asked == [] and status(folder) == found
    prepare.prepare(data, workers=1, fetch=True, retry=True)
    assert {path for _, path in site.asked} == {"/1.mp4", "/2.mp4", "/gone.mp4", "/page.html"}
    assert list(status(folder).values()).count("ok") == 6
    # the same bytes as if nothing had failed
    retried = digests(folder)
    shutil.rmtree(folder / "clips")
    prepare.prepare(data, workers=1, fetch=True, **SMALL)
    assert digests(folder) == retried


def test_a_server_that_never_ends_is_timed_out(home, site, monkeypatch):
    pytest.importorskip("yt_dlp")
    film(site.folder / "0.mp4", 20)
    film(site.folder / "1.mp4", 90)
    site.broken = {"/slow.mp4": "slow"}
    data = addresses(home, site, ["0.mp4", "1.mp4", "slow.mp4"])
    monkeypatch.setattr(worker, "SECONDS", 3.0)
    start = time.monotonic()
    folder = prepare.prepare(data, workers=1, fetch=True, **SMALL)
    assert time.monotonic() - start < 30
    assert status(folder) == {"video0": "ok", "video1": "ok", "video2": "timed out"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("[youtube] abc: Private video. Sign in if you've been granted access", "private"),
        ("[youtube] abc: Video unavailable. This video has been removed", "missing"),
        ("[youtube] abc: Sign in to confirm your age", "private"),
        ("[youtube] abc: Sign in to confirm you're not a bot", "refused"),
        ("unable to download video data: HTTP Error 429: Too Many Requests", "refused"),
        ("HTTP Error 404: Not Found", "missing"),
        ("The read operation timed out", "timed out"),
        ("Unable to download webpage: [Errno 111] Connection refused", "unreachable"),
        ("something new", "unreachable"),
    ],
)
def test_what_a_site_says_has_a_name(said, reason):
    assert locate.reason(said) == reason and reason in container.REASONS


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """An S3 server on loopback, in a process of its own; `s3://films` holds two class folders."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, "-m", "moto.server", "-p", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(program, stdout=quiet, stderr=quiet)
    settings = {
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    import fsspec
    from fsspec.config import conf, set_conf_env

    set_conf_env(conf)
    end = time.monotonic() + 180
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < end and server.poll() is None
            time.sleep(0.1)
    films = tmp_path_factory.mktemp("bucket")
    for c, name in enumerate(("run", "jump")):
        for k in range(5):
            film(films / name / f"{k}.mp4", 20 + 80 * c + 4 * k)
    (films / "run" / "empty.mp4").write_bytes(b"")
    fs = fsspec.filesystem("s3")
    fs.mkdir("films")
    fs.mkdir("clips")
    fs.put(f"{films}/", "s3://films/sports/", recursive=True)
    yield films
    server.terminate()
    server.wait()
    conf.pop("s3", None)
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def tags(store: Store) -> dict[str, str]:
    """What S3 calls the contents of each shard."""
    store.fs.invalidate_cache()
    found = store.fs.find(store.root, detail=True)
    return {name[:-13]: about["ETag"] for name, about in found.items() if name.endswith(".tar")}


def test_from_a_bucket_into_a_bucket(bucket, home, capsys):
    """The same bytes as from disk to disk."""
    local = prepare.prepare(bucket, workers=1, **SMALL)
    address = "s3://films/sports"
    folder = prepare.prepare(address, workers=2, output="s3://clips/sports", **SMALL)
    assert status(folder) == status(local) and status(folder)["run-empty"] == "empty"
    assert set(digests(folder)) == {
        "index.parquet",
        "status.parquet",
        "asked.json",
        "made.json",
    }
    store = Store("s3://clips/sports")
    for split in ("train", "val", "test"):
        (near,) = (local / "clips").glob(f"{split}-00000-*.tar")
        (far,) = (name for name in store.sizes() if re.match(f"{split}-.*tar", name))
        assert store.read(far) == near.read_bytes()
        near, far = Shards(local / "clips", split), Shards(folder / "clips", split)
        rows = range(len(near))
        assert np.array_equal(near.read(0, rows, [0, 7, 15]), far.read(0, rows, [0, 7, 15]))
    assert store.read("status.parquet") == (folder / "clips" / "status.parquet").read_bytes()
    before = tags(store)
    capsys.readouterr()
    assert prepare.prepare(address, workers=1) == folder  # where to is remembered
    assert capsys.readouterr().out == ""
    film(home / "other.mp4", 60)
    store.fs.put_file(str(home / "other.mp4"), "s3://films/sports/jump/0.mp4")
    prepare.prepare(address, workers=1)
    after = tags(store)
    assert len([name for name in after if after[name] != before[name]]) == 1


def test_a_catalog_finds_its_videos_by_id(bucket, home):
    columns = {
        "id": ["0", "1", "nowhere"],
        "labels": [[0], [1], [0]],
        "split": ["train", "test", "test"],
    }
    df = catalog.frame(
        catalog.table(columns), classes=["a", "b"], data_seed=0, split="given", broken={}
    )
    catalog.save_catalog(df, home / "data" / "byid")
    (bucket / "run" / "0.description").write_text("not the film")
    for where in ("s3://films/sports/run", str(bucket / "run")):
        folder = prepare.prepare("byid", workers=1, files=where, **SMALL)
        assert status(folder) == {"0": "ok", "1": "ok", "nowhere": "missing"}


def test_addresses_in_a_table(home, site, tmp_path):
    """A file on a web server; refused, gone, of a stranger's protocol, or leading elsewhere."""
    film(site.folder / "0.mp4", 20)
    film(site.folder / "1.mp4", 90)
    site.broken = {"/no.mp4": 403, "/busy.mp4": 503}
    names = ["0.mp4", "1.mp4", "no.mp4", "busy.mp4", "gone.mp4"]
    paths = [f"{site.url}/{name}" for name in names]
    paths += [
        "foo://x/y.mp4",
        f"reference://a::{site.url}/r.json/v.mp4",
        "s3://no-such-place/v.mp4",
    ]
    rows = [f"{path},{'ab'[n % 2]},{('test', 'train')[n % 2]}" for n, path in enumerate(paths)]
    (tmp_path / "t.csv").write_text("path,labels,split\n" + "\n".join(rows))
    with pytest.raises(ValueError, match="not fetched 6"):
        prepare.prepare(tmp_path / "t.csv", workers=1, **SMALL)
    assert site.asked == []
    with pytest.raises(ValueError, match="not fetched 6"):  # another place than was named
        prepare.prepare(tmp_path / "t.csv", workers=1, files="http://127.0.0.1:9/videos", **SMALL)
    folder = prepare.prepare(tmp_path / "t.csv", workers=1, fetch=True, **SMALL)
    found = [status(folder)[id] for id in catalog.load_catalog(folder)["id"]]
    whole, asked = digests(folder), len(site.asked)
    prepare.prepare(tmp_path / "t.csv", workers=1)  # nothing is lost where nothing is fetched
    assert len(site.asked) == asked and status(folder) == dict(
        zip(catalog.load_catalog(folder)["id"], found, strict=True)
    )
    after = digests(folder)
    assert [n for n in whole if whole[n] != after[n]] in (["made.json"], [])
    assert found[:2] == ["ok", "ok"] and found[2:5] == ["refused", "refused", "missing"]
    assert found[5:7] == ["unsupported"] * 2 and found[7] in ("unreachable", "private", "missing")
    assert not [path for _, path in site.asked if "json" in path]


def test_a_server_without_range_requests_gives_large_files(site):
    (site.folder / "large.mp4").write_bytes(bytes(range(256)) * 40_000)  # 10 MB, in two blocks
    source = locate.Source("bucket", f"{site.url}/large.mp4", ["address"])
    with locate.local_copy(source, 60) as path:
        assert path.read_bytes() == (site.folder / "large.mp4").read_bytes()


@pytest.mark.parametrize(
    ("place", "reason", "detail"),
    [
        ("{site}/gone.mp4", "missing", "HTTP 404"),
        ("{site}/busy.mp4", "refused", "HTTP 503"),
        ("{site}/locked.mp4", "private", "HTTP 401"),
        ("http://127.0.0.1:9/a.mp4", "unreachable", "127.0.0.1:9"),  # a closed port
        ("http://no-such-host.invalid/a.mp4", "unreachable", "no-such-host.invalid"),
        ("memory://nowhere/a.mp4", "missing", "404"),
    ],
)
def test_an_address_without_a_file_says_why(site, place, reason, detail):
    site.broken = {"/busy.mp4": 503, "/locked.mp4": 401}
    source = locate.Source("bucket", place.format(site=site.url), ["address"])
    with pytest.raises(container.VideoError) as error, locate.local_copy(source, 20):
        pass
    assert error.value.reason == reason and detail in error.value.detail


def test_an_address_below_a_named_place_needs_no_fetching(home, site, tmp_path):
    film(site.folder / "0.mp4", 20)
    film(site.folder / "1.mp4", 90)
    rows = [f"{site.url}/{n}.mp4,{'ab'[n]},{('test', 'train')[n]}" for n in range(2)]
    (tmp_path / "t.csv").write_text("path,labels,split\n" + "\n".join(rows))
    named = table_reader.read_table(tmp_path / "t.csv")
    assert {s.kind for s in locate.find(named, home)} == {"unasked"}
    for place in ({"data": site.url + "/"}, {"fetch": True}):
        assert {s.kind for s in locate.find(named, home, **place)} == {"bucket"}
    assert site.asked == []


def test_a_retry_without_fetching_forgets_nothing(home, site):
    pytest.importorskip("yt_dlp")
    film(site.folder / "0.mp4", 20)
    film(site.folder / "1.mp4", 50)
    site.broken = {"/2.mp4": 403}
    data = addresses(home, site, ["0.mp4", "1.mp4", "2.mp4"])
    folder = prepare.prepare(data, workers=1, fetch=True, **SMALL)
    prepare.prepare(data, workers=1, retry=True)
    assert status(folder) == {"video0": "ok", "video1": "ok", "video2": "refused"}


def test_memory_is_this_process(home):
    """fsspec's `memory://` lives in one process, whatever the number of cores."""
    import fsspec

    fs = fsspec.filesystem("memory")
    for k in range(4):
        film(home / f"{k}.mp4", 20 + 20 * k)
        fs.put_file(str(home / f"{k}.mp4"), f"/films/{'ab'[k % 2]}/{k}.mp4")
    folder = prepare.prepare("memory://films", output="memory://clips", **SMALL)
    assert list(status(folder).values()) == ["ok"] * 4
    assert Shards(folder / "clips", "train").read(0, [0], [0]).shape == (1, 1, 48, 48, 3)


def test_ingest_predict_and_catalogs_find_the_same_videos(tmp_path, capsys):
    """Links to files and folders, junk, hidden files, upper case, and a link to nowhere."""
    root, away = tmp_path / "set", tmp_path / "away"
    good = "run/a.mp4 run/B.MOV run/deep/c.Mkv linked/d.mp4 run/e.avi run/gone.mp4".split()
    junk = "run/._a.mp4 .Trash-0/a.mp4 $RECYCLE.BIN/b.mp4 run/@eaDir/c.mp4/d.mp4 run/Thumbs.db"
    junk += " run/.ipynb_checkpoints/a-checkpoint.mp4 __MACOSX/run/._a.mp4 run/notes.txt"
    for name in [*good[:3], *junk.split(), "../away/d.mp4", "../away/e.avi"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "linked").symlink_to(away)
    (away / "e.avi").rename(tmp_path / "e.avi")
    (root / "run" / "e.avi").symlink_to(tmp_path / "e.avi")
    (root / "run" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    films = sorted(str(root / name) for name in good)

    df = folder_reader.read_folder(root)
    assert sorted(df["path"]) == films
    assert sum(n for why, n in df.attrs["broken"].items() if why.startswith("files hidden")) == 6

    assert list(map(str, command._find_videos(root))) == films
    out = capsys.readouterr().out
    assert (
        "left out: 6 files hidden or left by a system" in out and "left out: 1 files without" in out
    )

    assert overlay.find_video("none", path=films[0]) == (Path(films[0]).resolve(), [])
    with pytest.raises(ValueError, match="is a folder; name one video: -p video .*/linked/d.mp4"):
        overlay.find_video("none", path=str(root))

    names = [Path(name).stem for name in good] + ["._a", "a-checkpoint"]
    rows = catalog.table({"id": names, "labels": [[0]] * len(names)})
    named = catalog.frame(rows, classes=["x"], data_seed=0, split="given")
    places = [source and source.where for source in locate.find(named, tmp_path, files=str(root))]
    assert sorted(filter(None, places)) == sorted(set(films) - {str(root / "run/gone.mp4")})


@pytest.mark.parametrize(
    "suffix, kind, codec",
    [
        (".vob", "vob", "mpeg2video"),
        (".VOB", "vob", "mpeg2video"),
        (".f4v", "f4v", "libx264"),
        (".3g2", "3g2", "libx264"),
        (".m1v", "mpeg1video", "mpeg1video"),
        (".m2v", "mpeg2video", "mpeg2video"),
        (".mpe", "mpeg", "mpeg1video"),
        (".m2t", "mpegts", "libx264"),
        (".mod", "mpeg", "mpeg2video"),
        (".asf", "asf", "wmv2"),
        (".divx", "avi", "mpeg4"),
        (".qt", "mov", "libx264"),
        (".ismv", "ismv", "libx264"),
        (".mk3d", "matroska", "libx264"),
    ],
)
def test_files_of_cameras_discs_and_old_players_count_and_can_be_read(
    tmp_path, suffix, kind, codec
):
    import av

    path = tmp_path / f"film{suffix}"
    with av.open(str(path), "w", format=kind) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for tone in range(40):
            picture = np.full((72, 96, 3), 5 * tone, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    videos, left = reader.list_videos(tmp_path)
    assert list(videos) == [path.name] and not any(left.values())
    assert len(list(reader.read(path))) == 40
