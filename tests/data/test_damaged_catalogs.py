"""Damaged catalogs are named and made again; what a home made, and where it may lead, is noted."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from test_ingest import REPOSITORY, SMALL, film, status

from s1m_lab.common import paths
from s1m_lab.common.files import DIGESTS, Damaged, temporary_folder
from s1m_lab.data import catalog, datasets, locate, places
from s1m_lab.data.ingest import prepare


@pytest.fixture
def source(tmp_path):
    """Class folders whose classes were once sorted as text: step 1, step 10, step 2."""
    for n, name in enumerate(("step 1", "step 2", "step 10")):
        for k in range(4):
            film(tmp_path / "films" / name / f"{k}.mp4", 20 + 60 * n + 5 * k)
    return tmp_path / "films"


def damage(path: Path) -> None:
    """Change a byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def old_classes(folder: Path) -> pd.DataFrame:
    """The catalog, with the order of classes that an older lab gave it."""
    df = catalog.load_catalog(folder)
    names, old = df.attrs["classes"], ["step 1", "step 10", "step 2"]
    df["labels"] = pd.Series(
        [[old.index(names[n[0]])] for n in df["labels"]], dtype=df["labels"].dtype
    )
    df.attrs["classes"] = old
    catalog.save_catalog(df, folder)
    return df


def test_a_damaged_catalog_is_made_again_as_it_was(home, source, capsys):
    folder = datasets.listed(source, data_seed=3)
    before = old_classes(folder)
    prepare.prepare(source, workers=1, **SMALL)
    index = (folder / "clips" / "index.parquet").stat().st_mtime_ns
    damage(folder / "catalog.parquet")
    with pytest.raises(Damaged, match="catalog.parquet is damaged .* restore it from a copy"):
        catalog.load_catalog(folder)
    assert prepare.prepare(source, workers=1) == folder
    assert "is damaged" in capsys.readouterr().out
    after = catalog.load_catalog(folder)
    pd.testing.assert_frame_equal(before, after)
    assert after.attrs["data_seed"] == 3 and after.attrs["classes"] == before.attrs["classes"]
    assert (folder / "clips" / "index.parquet").stat().st_mtime_ns == index


def test_without_clips_the_data_seed_is_asked_for(home, source):
    folder = datasets.listed(source, data_seed=3)
    before = catalog.load_catalog(folder)
    damage(folder / "catalog.parquet")
    for _ in range(2):  # not forgotten by the first call
        with pytest.raises(
            ValueError, match=r"data_seed of .* is lost .* prepare\('.*films', data"
        ):
            datasets.listed(source)
    datasets.listed(source, data_seed=3)
    pd.testing.assert_frame_equal(before, catalog.load_catalog(folder))


def test_a_damaged_list_of_classes_is_written_again(home, source):
    folder = datasets.listed(source)
    text = (folder / "labels.txt").read_bytes()
    damage(folder / "labels.txt")
    datasets.listed(source)
    assert (folder / "labels.txt").read_bytes() == text


def sports(folder: Path) -> Path:
    folder.mkdir()
    rows = [{"id": f"abcdefghi{n:02}", "label487": [n % 2], "stitle": "x"} for n in range(40)]
    (folder / "sports1m_train.json").write_text(json.dumps(rows[:30]))
    (folder / "sports1m_test.json").write_text(json.dumps(rows[30:]))
    return folder


def test_a_damaged_catalog_of_sports1m_needs_its_source(home, tmp_path, capsys):
    json_files = str(sports(tmp_path / "json"))
    folder = datasets.listed("sports1m", source=json_files)
    before = catalog.load_catalog(folder)
    damage(folder / "catalog.parquet")
    with pytest.raises(Damaged, match="for Sports-1M 01_explore with -p source"):
        datasets.listed("sports1m")
    datasets.listed("sports1m", source=json_files)
    assert "catalog.parquet is damaged" in capsys.readouterr().out
    pd.testing.assert_frame_equal(before, catalog.load_catalog(folder))


def test_a_damaged_description_is_named(home, source):
    folder = datasets.listed(source)
    for text in ("{", "[1]", '"x"'):
        (folder / "dataset.json").write_text(text)
        with pytest.raises(Damaged, match="dataset.json is damaged") as error:
            paths.read_description(folder)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("text", ["", "half a li", "[1]", '{"a": 1}', '["other", ""]', "[[1]]"])
def test_a_damaged_ledger_allows_nothing_and_is_made_again(text, listed, home, source, capsys):
    folder, ledger = datasets.listed(source), places.ledger()
    ledger.write_text(text)
    if not listed:
        (ledger.parent / DIGESTS).unlink()
    assert places.allowed(folder) is not None
    assert f"{ledger} is damaged (" in (out := capsys.readouterr().out) and "ingest lists" in out
    datasets.listed(source)
    assert places.allowed(folder) is None and json.loads(ledger.read_text()) == [[folder.name, ""]]


def test_the_ledger_notes_what_this_home_made(home, source, tmp_path, monkeypatch):
    folder, ledger = datasets.listed(source), places.ledger()
    assert ledger == home / "data" / ".made-here"
    assert json.loads(ledger.read_text()) == [[folder.name, ""]]
    for _ in range(2):
        datasets.listed(source)
    assert len(json.loads(ledger.read_text())) == 1 and places.allowed(folder) is None
    ledger.unlink()  # a dataset of an older lab
    assert places.allowed(folder) is not None
    datasets.listed(source)
    assert places.allowed(folder) is None
    other = home / "data" / "other"
    places.note(other)
    assert places.allowed(other) is None
    home.rename(tmp_path / "moved")
    monkeypatch.setenv("S1M_HOME", str(tmp_path / "moved"))
    assert places.allowed(tmp_path / "moved" / "data" / "other") is None


@pytest.mark.parametrize(
    ("place", "there"),
    [
        ("/d/set", True),
        ("/d/set/clips", True),
        ("/d/set2", False),
        ("/d/set/../x", False),
        ("/d/set/clips/../../x", False),
        ("s3://b/clips", True),
        ("s3://b/clips/a", True),
        ("s3://b/clips2", False),
        ("s3://b/clips/../x", False),
        ("s3://b/clips/a::http://c", False),
        ("http://b/clips", False),
    ],
)
def test_what_lies_inside(place, there):
    assert places.inside(place, ["/d/set", "s3://b/clips"]) == there
    assert places.inside(place, None)


def test_an_object_that_is_missing_is_said_to_be_missing(home, tmp_path):
    fsspec.filesystem("memory").pipe_file("/lost/other.txt", b"x")
    rows = [f"memory://lost/{n}.mp4,{'ab'[n % 2]},{('train', 'test')[n % 2]}" for n in range(2)]
    (tmp_path / "t.csv").write_text("\n".join(["path,labels,split", *rows]))
    with pytest.raises(ValueError, match="was listed and has no such file") as error:
        prepare.prepare(tmp_path / "t.csv", workers=1, fetch=True)
    assert "--fetch" not in str(error.value)
    film(tmp_path / "a.mp4", 30)
    fsspec.filesystem("memory").put_file(str(tmp_path / "a.mp4"), "/lost/0.mp4")
    folder = prepare.prepare(tmp_path / "t.csv", workers=1, fetch=True, **SMALL)
    assert sorted(status(folder).values()) == ["missing", "ok"]


UNPACK = """
import sys, zipfile
from pathlib import Path
from s1m_lab.data import sports1m

def stop(self, *_):
    print("unpacking", flush=True)
    sys.stdin.read()

zipfile.ZipExtFile.read = stop
sports1m.read_sports1m(Path(sys.argv[1]))
"""


def test_what_a_killed_process_unpacked_is_cleared_by_the_next(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a_train.json", "[]")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(REPOSITORY)}
    command, pipe = [sys.executable, "-c", UNPACK, str(tmp_path / "a.zip")], subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "unpacking\n"
        (left,) = scratch.glob("s1m-*")
        monkeypatch.setattr("tempfile.tempdir", str(scratch))
        os.utime(left, (time.time() - 90,) * 2)
        with temporary_folder():
            assert left.is_dir()  # its process lives
        process.send_signal(signal.SIGKILL)
    os.utime(left)
    with temporary_folder():
        assert left.is_dir()  # perhaps somebody has only just begun
    os.utime(left, (time.time() - 90,) * 2)
    source = locate.Source("bucket", "memory://nowhere/x.mp4", ["address"])
    with pytest.raises(locate.VideoError), locate.local_copy(source, 9):
        pass
    assert list(scratch.iterdir()) == []
