"""Ingest ends in the same bytes however it was done, names every failure, and repeats no work."""

import csv
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from s1m_lab.common.files import DIGESTS
from s1m_lab.data import catalog, datasets
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.video import container, reader, writer

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {"size": 48, "clips": {"train": 3, "val": 2, "test": 4}}


def film(path: Path, tone: int, frames: int = 45) -> None:
    """Pictures whose brightness grows from `tone`, one step a frame."""
    writer.encode(
        path, (np.full((64, 80, 3), (tone + t) % 256, np.uint8) for t in range(frames)), gop=15
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for c, name in enumerate(("run", "jump")):
        for k in range(10):
            film(folder / name / f"{k}.mp4", 20 + 80 * c + 4 * k)
    return folder


@pytest.fixture
def source(films, tmp_path) -> Path:
    return Path(shutil.copytree(films, tmp_path / "my videos"))


def digests(folder: Path, inner: str = "clips") -> dict[str, str]:
    """The bytes of all that ingest wrote."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / inner).iterdir())
        if path.name != DIGESTS  # it lists what was there before, too
    }


def times(folder: Path) -> dict[str, int]:
    """When all that ingest wrote was written, but for the note on what the sources are now."""
    marks = "made.json", DIGESTS
    files = [path for path in (folder / "clips").iterdir() if path.name not in marks]
    return {path.name: path.stat().st_mtime_ns for path in files}


def status(folder: Path) -> dict[str, str]:
    rows = pq.read_table(folder / "clips" / "status.parquet").to_pylist()
    return {row["id"]: row["status"] for row in rows}


def test_a_folder_becomes_clips(source, home, capsys):
    folder = prepare.prepare(source, workers=1, **SMALL)
    assert folder.parent == home / "data" and folder.name.startswith("my videos-")
    out = capsys.readouterr().out
    assert "20 videos, 2 classes: jump 10, run 10\n  train 14 · val 2 · test 4 (no split was" in out
    df = catalog.load_catalog(folder)
    assert set(status(folder).values()) == {"ok"}
    for split, videos, clips in (("train", 14, 3), ("val", 2, 2), ("test", 4, 4)):
        shards = Shards(folder / "clips", split)
        assert len(shards) == videos * clips and (shards.height, shards.width) == (48, 48)
        for row, images in zip(
            shards.index(0).to_pylist(), shards.read(0, range(len(shards)), range(16)), strict=True
        ):
            about = df.set_index("id", drop=False).loc[row["video"]]
            assert list(about["labels"]) == row["labels"]
            tone = 20 + 80 * ["run", "jump"].index(about["id"][:-2]) + 4 * int(about["id"][-1])
            wanted = tone + round(row["start"] * 30) + np.arange(16)
            assert np.abs(images.mean((1, 2, 3)) - wanted).max() < 2.5
        table = shards.index(0)
        assert table["clip"].to_pylist() == list(range(clips)) * videos  # contiguous
        labels = [row[0] for row in table["labels"].to_pylist()]
        assert split == "val" or sorted(labels) not in (labels, labels[::-1])  # classes are mixed


def test_the_work_is_done_once(source, home):
    folder = prepare.prepare(source, workers=1, **SMALL)
    before = times(folder)
    start = time.monotonic()
    assert prepare.prepare(source, workers=1) == folder  # what was asked for is remembered
    assert time.monotonic() - start < 1 and times(folder) == before


def test_other_settings_make_other_clips_and_back(source, home):
    folder = prepare.prepare(source, workers=1, **SMALL)
    first = digests(folder)
    for left in ("train-00007-0123abcd.tar", "val-00003-0123abcd.parquet", "val-00003.tar"):
        (folder / "clips" / left).write_bytes(b"of an earlier ingest")
    prepare.prepare(source, workers=1, size=(32, 40))
    shards = Shards(folder / "clips", "test")
    assert shards.read(0, [0], [0]).shape == (1, 1, 32, 40, 3)
    assert shards.settings["clips"]["test"] == 4
    prepare.prepare(source, workers=1, **SMALL)
    assert digests(folder) == first


def test_a_changed_file_costs_its_shard_only(source, home):
    folder = prepare.prepare(source, workers=1, **SMALL)
    before, df = times(folder), catalog.load_catalog(folder)
    changed = df[df["split"] == "val"].iloc[0]
    film(Path(changed["path"]), 200, frames=30)
    prepare.prepare(source, workers=1)
    after = times(folder)
    again = {name[:9] for name in after if after[name] != before.get(name)}
    assert again == {"val-00000", "index.par", "status.pa", "asked.jso"}
    assert len(after) == len(before)


def test_a_new_file_is_taken_in(source, home):
    folder = prepare.prepare(source, workers=1, **SMALL)
    film(source / "run" / "new.mp4", 100)
    assert prepare.prepare(source, workers=1) == folder
    assert status(folder)["run-new"] == "ok" and len(catalog.load_catalog(folder)) == 21


def hollow(folder: Path, films: list[Path] | None = None) -> None:
    """Make films unreadable, without their size and date telling."""
    for path in films or folder.rglob("*.mp4"):
        about = path.stat()
        path.write_bytes(bytes(about.st_size))
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def test_only_what_is_new_is_read(films, home, tmp_path):
    """A new file, or a wider limit of duration: the clips of all others are copied."""
    source = tmp_path / "split"
    for split in ("train", "val", "test"):
        shutil.copytree(films, source / split)
    film(source / "train" / "run" / "long.mp4", 20, frames=90)
    folder = prepare.prepare(source, workers=1, max_duration=2.5, **SMALL)
    assert status(folder)["train-run-long"] == "too long"
    assert list(status(folder).values()).count("ok") == 60
    long = (source / "train" / "run" / "long.mp4").read_bytes()
    hollow(source)
    (source / "train" / "run" / "long.mp4").write_bytes(long)
    film(source / "train" / "run" / "new.mp4", 100)
    prepare.prepare(source, workers=1, max_duration=0)
    assert list(status(folder).values()) == ["ok"] * 62
    copied = digests(folder)
    shards = Shards(folder / "clips", "train")
    for row, image in zip(
        shards.index(0).to_pylist(), shards.read(0, range(len(shards)), [0]), strict=True
    ):
        tone = {"train-run-3": 32, "train-jump-3": 112, "train-run-new": 100}.get(row["video"])
        assert tone is None or abs(image.mean() - tone - round(row["start"] * 30)) < 2.5
    prepare.prepare(source, workers=1, max_duration=2.5)
    assert status(folder)["train-run-long"] == "too long"
    prepare.prepare(source, workers=1, max_duration=0)
    assert digests(folder) == copied


def test_copied_clips_are_those_of_a_fresh_ingest(home, tmp_path, monkeypatch):
    """Films long enough that a start in single precision would differ; more shards than before."""
    source = tmp_path / "long"
    for n in range(6):
        film(source / "train" / "a" / f"{n}.mp4", 10 * n, frames=40 + n)
    film(source / "train" / "a" / "long.mp4", 0, frames=1200)
    for split in ("val", "test"):
        film(source / split / "a" / "t.mp4", 60)
    grown = {"size": 200, "clips": {"train": 30, "val": 1, "test": 2}}
    folder = prepare.prepare(source, workers=1, **grown)
    before = len(list(folder.glob("clips/train-*.tar")))
    for n in range(6, 14):
        film(source / "train" / "a" / f"{n}.mp4", 10 * n, frames=40 + n)
    unread = [path for path in source.rglob("*.mp4") if path.stem in ("0", "1", "2", "long", "t")]
    whole = {path: path.read_bytes() for path in unread}
    hollow(source, unread)
    prepare.prepare(source, workers=1)
    assert set(status(folder).values()) == {"ok"}
    assert len(list(folder.glob("clips/train-*.tar"))) > before >= 2
    grown_bytes = digests(folder)
    for path, data in whole.items():
        about = path.stat()
        path.write_bytes(data)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    monkeypatch.setenv("S1M_HOME", str(home / "fresh"))
    assert digests(prepare.prepare(source, workers=1, **grown)) == grown_bytes


def test_clips_that_cannot_be_cut_again_are_not_thrown_away(source, home):
    film(source / "run" / "long.mp4", 20, frames=90)
    folder = prepare.prepare(source, workers=1, **SMALL)
    os.remove(source / "run" / "long.mp4")
    catalog_only = Path(shutil.copytree(folder, home / "data" / "kept"))
    with pytest.raises(ValueError, match="1 videos are out of reach"):
        prepare.prepare("kept", workers=1, max_duration=2)
    assert prepare.prepare("kept", workers=1) == catalog_only
    assert set(status(catalog_only).values()) == {"ok"}


def test_a_class_folder_that_is_away_costs_nothing(source, home, tmp_path, capsys):
    """Classes, splits and clips are as if it were there; forgotten only where that is asked for."""
    folder = prepare.prepare(source, workers=1, **SMALL)
    df, before = catalog.load_catalog(folder), digests(folder)
    (source / "jump").rename(tmp_path / "away")
    prepare.prepare(source, workers=1)
    assert f"10 videos of {source} are missing; their clips stay" in capsys.readouterr().out
    away = catalog.load_catalog(folder)
    assert away.attrs.pop("gone") == 10 and away.equals(df) and away.attrs == df.attrs
    after = digests(folder)
    assert {name for name in before if before[name] != after[name]} <= {"made.json"}
    (tmp_path / "away").rename(source / "jump")
    prepare.prepare(source, workers=1)
    assert digests(folder) == before and "gone" not in catalog.load_catalog(folder).attrs
    shutil.rmtree(source / "jump")
    os.remove(source / "run" / "0.mp4")
    prepare.prepare(source, workers=1)
    assert list(status(folder).values()) == ["ok"] * 20
    capsys.readouterr()
    prepare.prepare(source, workers=1, forget=True)
    assert f"11 videos left {source}; their clips are removed" in capsys.readouterr().out
    assert catalog.load_catalog(folder).attrs["classes"] == ["run"] and len(status(folder)) == 9
    prepare.prepare(source, workers=1)
    assert len(status(folder)) == 9


def test_a_video_that_goes_before_it_was_read_is_missing(source, home):
    """Listed, as the others' split has it, and of no clips."""
    datasets.listed(source)
    os.remove(source / "run" / "3.mp4")
    folder = prepare.prepare(source, workers=1, **SMALL)
    assert status(folder)["run-3"] == "missing" and len(status(folder)) == 20


def test_a_folder_that_cannot_be_looked_into_is_an_error(source, home):
    """Its path is longer than the system takes: its videos would vanish without a word."""
    place = os.open(source / "jump", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=place)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    with pytest.raises(OSError, match="too long"):
        prepare.prepare(source, workers=1, **SMALL)


def test_shards_may_lie_in_another_folder(source, home, tmp_path, monkeypatch):
    whole = digests(prepare.prepare(source, workers=1, **SMALL))
    monkeypatch.setenv("S1M_HOME", str(home / "two"))
    monkeypatch.chdir(tmp_path)
    folder = prepare.prepare(source, workers=1, output="elsewhere", **SMALL)
    monkeypatch.chdir(home)
    assert prepare.prepare(source, workers=1) == folder
    assert Shards(folder / "clips", "train").read(0, [0], [0]).shape == (1, 1, 48, 48, 3)
    there = digests(tmp_path / "elsewhere", "")
    assert {n: d for n, d in there.items() if n.startswith("t")} == {
        n: d for n, d in whole.items() if n.startswith("t")
    }


@pytest.mark.parametrize("text", ["", "[1", "[]", "3"])
def test_damaged_options_are_those_of_the_index(source, home, tmp_path, capsys, text):
    """Without a digest, as in a folder of an older lab."""
    folder = prepare.prepare(source, workers=1, output=str(tmp_path / "elsewhere"), **SMALL)
    asked = folder / "clips" / "asked.json"
    before = asked.read_bytes()
    asked.write_text(text)
    (folder / "clips" / DIGESTS).unlink()
    film(source / "run" / "new.mp4", 7)
    assert prepare.prepare(source, workers=1) == folder
    assert f"{asked} is damaged" in capsys.readouterr().out
    assert asked.read_bytes() == before and status(folder)["run-new"] == "ok"
    asked.write_text(text)
    for name in (DIGESTS, "index.parquet"):
        (folder / "clips" / name).unlink()
    for _ in range(2):
        with pytest.raises(ValueError, match="the options of .* are lost; remove .*.damaged and"):
            prepare.prepare(source, workers=1)
    asked.with_name("asked.json.damaged").unlink()
    prepare.prepare(source, workers=1, output=str(tmp_path / "elsewhere"), **SMALL)
    assert asked.read_bytes() == before


def test_every_broken_file_has_a_status(source, home, capsys):
    data = (source / "run" / "0.mp4").read_bytes()
    (source / "run" / "empty.mp4").write_bytes(b"")
    (source / "run" / "cut.mp4").write_bytes(data[: len(data) // 2])
    (source / "jump" / "text.mp4").write_bytes(b"no video" * 100)
    (source / "jump" / "gone.mp4").symlink_to(source / "nowhere.mp4")
    (source / "jump" / "-rf\n.mp4").write_bytes(data)
    film(source / "jump" / "short.mp4", 50, frames=10)
    folder = prepare.prepare(source, workers=1, **SMALL)
    bad = {id: s for id, s in status(folder).items() if s != "ok"}
    assert bad == {
        "run-empty": "empty",
        "run-cut": "truncated",
        "jump-text": "not a video",
        "jump-gone": "missing",
        "jump-short": "too short",
    }
    counts = prepare.load_statuses(folder)
    assert counts["videos"].to_dict() == {"ok": 21} | {s: 1 for s in bad.values()}
    assert counts["videos"].sum() == len(catalog.load_catalog(folder)) == 26
    out = capsys.readouterr().out
    assert "ok 21" in out and "truncated 1" in out
    names = {re.sub("-[0-9a-f]{8}", "", name) for name in digests(folder)}
    shards = {f"{s}-00000.{x}" for s in ("train", "val", "test") for x in ("tar", "parquet")}
    assert names == shards | {"index.parquet", "status.parquet", "asked.json", "made.json"}


def test_hostile_ids_never_become_names(films, home):
    ids = ["../../x", "-rf", "a\nb", "/etc/passwd", "id'; drop", "\u202eevil"]
    columns = {
        "id": ids,
        "labels": [[n % 2] for n in range(6)],
        "split": ["train", "test"] * 3,
        "path": [str(films / "run" / f"{n}.mp4") for n in range(6)],
    }
    df = catalog.frame(
        catalog.table(columns), classes=["a", "b"], data_seed=0, split="given", broken={}
    )
    catalog.save_catalog(df, home / "data" / "hostile")
    folder = prepare.prepare("hostile", workers=1, **SMALL)
    assert status(folder) == dict.fromkeys(ids, "ok")
    made = {path.relative_to(home) for path in home.rglob("*") if path.is_file()}
    lists = {".made-here", ".sha256", ".lock"}
    assert {path.parts[:2] for path in made} == {("data", name) for name in {"hostile", *lists}}
    with tarfile.open(next(folder.glob("clips/train-00000-*.tar"))) as tar:
        assert all(re.fullmatch(r"[0-9a-f]{16}-\d{3}\.(\d\d\.jpg|json)", m.name) for m in tar)


def test_nothing_but_broken_files_is_an_error(home, tmp_path):
    (tmp_path / "v" / "a").mkdir(parents=True)
    (tmp_path / "v" / "a" / "x.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="not one clip .* empty 1"):
        prepare.prepare(tmp_path / "v", workers=1)


def test_clips_outlive_their_videos(source, home, capsys):
    folder = prepare.prepare(source, workers=1, **SMALL)
    before = times(folder)
    shutil.rmtree(source)
    assert prepare.prepare(source, workers=1) == folder and times(folder) == before
    out = capsys.readouterr().out
    assert f"{source} is missing; its dataset" in out and "20 videos are out of reach now" in out
    with pytest.raises(ValueError, match="20 videos are out of reach"):
        prepare.prepare(source, workers=1, size=32)
    assert prepare.prepare(source, workers=1) == folder


def test_clips_lost_with_a_shard_come_back_with_their_videos(source, home, tmp_path):
    """Their files are as they were when the clips were cut, and must be read all the same; what
    could not be read then is not read again."""
    df = catalog.load_catalog(datasets.listed(source))
    bad = Path(df[df["split"] == "train"]["path"].iloc[0])
    film_of_bad = bad.read_bytes()
    hollow(source, [bad])
    folder = prepare.prepare(source, workers=1, **SMALL)
    before, changed = digests(folder), bad.stat().st_mtime_ns
    shard = next((folder / "clips").glob("train-*.tar"))
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    source.rename(tmp_path / "away")
    for _ in range(2):
        prepare.prepare(folder.name, workers=1)
        counts = Counter(status(folder).values())
        assert counts["not a video"] == 1 and 0 < counts["missing"] < 13
    (tmp_path / "away").rename(source)
    bad.write_bytes(film_of_bad)
    os.utime(bad, ns=(changed, changed))
    prepare.prepare(folder.name, workers=1)
    assert digests(folder) == before


def test_workers_do_not_change_the_bytes(source, home, monkeypatch, capfd):
    one = digests(prepare.prepare(source, workers=1, **SMALL))
    monkeypatch.setenv("S1M_HOME", str(home / "two"))
    monkeypatch.setattr(prepare.system, "cores", lambda: 2)
    two = digests(prepare.prepare(source, workers=2, **SMALL))
    assert one == two
    assert capfd.readouterr().err == ""


KILLED = """
from s1m_lab.data.ingest import prepare
print("started", flush=True)
print(prepare.prepare({source!r}, workers={workers}, **{settings}))
"""


def run(source: Path, home: Path, workers: int = 1, cwd=None, **env) -> subprocess.Popen:
    """`prepare` in a process of its own, as a script without a `__main__` guard."""
    script = home / "script.py"
    told = {"workers": workers, "settings": SMALL}
    script.write_text(KILLED.format(source=str(source), **told))
    env = {**os.environ, "S1M_HOME": str(home), "PYTHONPATH": str(REPOSITORY), **env}
    pipe = subprocess.PIPE
    command = [sys.executable, script]
    return subprocess.Popen(command, env=env, cwd=cwd, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize(
    "after", ["train-00000-*.tar", "test-00000-*.parquet", "train-00000-*.parquet"]
)
def test_killed_and_run_again(source, home, tmp_path, monkeypatch, after):
    """SIGKILL at different points; the second run ends in the bytes of an undisturbed one."""
    whole = digests(prepare.prepare(source, workers=1, **SMALL))
    process = run(source, tmp_path)
    end = time.monotonic() + 180
    while not list(tmp_path.glob(f"data/*/clips/{after}")):
        assert process.poll() is None and time.monotonic() < end
    process.send_signal(signal.SIGKILL)
    process.communicate()
    monkeypatch.setenv("S1M_HOME", str(tmp_path))
    assert digests(prepare.prepare(source, workers=1, **SMALL)) == whole


def test_alone_a_deadly_video_is_left_out_the_third_time(source, home, tmp_path):
    """In this process its death is that of the caller; the next call knows what it died of."""
    (source / "run" / "killer.mp4").write_bytes((source / "run" / "0.mp4").read_bytes())
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    ends = []
    for _ in range(3):
        process = run(source, home, PYTHONPATH=f"{tmp_path}{os.pathsep}{REPOSITORY}")
        out, _ = process.communicate(timeout=300)
        ends.append(process.returncode)
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 0] and "crashed 1" in out


SLOW = """
import sys, time, pathlib, s1m_lab.data.ingest.worker as c
import s1m_lab.video.reader as v
marks, probe = pathlib.Path({marks!r}), v.probe
def slow(path):
    if 'slow' in str(path) and len(list(marks.glob('[0-9]*'))) < {times}:
        (marks / str(time.time_ns())).touch()
        time.sleep(1000)
    return probe(path)
v.probe, c.SECONDS = slow, {seconds}
"""


@pytest.mark.parametrize(("times", "ends"), [(2, "ok"), (3, "timed out")])
def test_kills_from_outside_cost_no_video(source, home, tmp_path, monkeypatch, times, ends):
    """Two SIGKILLs while a sound video is read: its clips are there, the bytes are the same. If it
    hangs the third time too, its own process is ended, and nothing else."""
    (source / "run" / "slow.mp4").write_bytes((source / "run" / "0.mp4").read_bytes())
    marks = tmp_path / "marks"
    marks.mkdir()
    seconds = 100 if ends == "ok" else 3  # a busy machine is slow, too
    code = SLOW.format(marks=str(marks), times=times, seconds=seconds)
    (tmp_path / "sitecustomize.py").write_text(code)
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    for deaths in range(2):
        process, end = run(source, home, PYTHONPATH=path), time.monotonic() + 180
        while len(list(marks.iterdir())) <= deaths:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (marks / "s1m_lab.py").write_text("another of that name")  # where we stand is not what we run
    process = run(source, home, cwd=marks, PYTHONPATH=path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    folder = Path(out.strip().splitlines()[-1])
    found = status(folder)
    assert found.pop("run-slow") == ends and set(found.values()) == {"ok"}
    if ends == "ok":
        monkeypatch.setenv("S1M_HOME", str(home / "whole"))
        assert digests(folder) == digests(prepare.prepare(source, workers=1, **SMALL))


DEADLY = """
import os, signal, s1m_lab.video.reader as v
probe = v.probe
def deadly(path):
    if 'killer' in str(path):
        os.kill(os.getpid(), signal.SIGKILL)
    return probe(path)
v.probe = deadly
"""


def test_a_script_needs_no_guard_and_a_deadly_video_is_left_out(source, home, tmp_path):
    """Spawned workers; one video kills the process that reads it, twice."""
    (source / "run" / "killer.mp4").write_bytes((source / "run" / "0.mp4").read_bytes())
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    process = run(source, home, workers=2, PYTHONPATH=path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("started") == 1 and "crashed 1" in out
    folder = Path(out.strip().splitlines()[-1])
    assert [id for id, s in status(folder).items() if s != "ok"] == ["run-killer"]


def test_what_cannot_be_prepared_says_what_to_do(home, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="there: pocket.*folder of class folders") as error:
        prepare.prepare("sport")
    assert "./sport" not in str(error.value)
    (tmp_path / "here" / "sport").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(FileNotFoundError, match="for the folder write ./sport"):
        prepare.prepare("sport")
    with pytest.raises(FileNotFoundError, match="files is .*/films, and there is no such folder"):
        prepare.prepare("pocket", files=str(tmp_path / "films"))
    with pytest.raises(FileNotFoundError, match="no folder or table"):
        prepare.prepare(tmp_path / "nowhere")
    for name, says in (
        ("notes.md", "neither a folder nor a table"),
        ("notes.txt", "no column path"),
    ):
        (tmp_path / name).write_text("x")
        with pytest.raises(ValueError, match=says):
            prepare.prepare(tmp_path / name)
    assert not list((home / "data").glob("*"))  # nothing is left behind


def test_wrong_settings_are_refused(source, home):
    with pytest.raises(ValueError, match="1 to 999"):
        prepare.prepare(source, clips=0)
    with pytest.raises(ValueError, match="16 to 1024"):
        prepare.prepare(source, size=4)
    folder = prepare.prepare(source, workers=1, **SMALL)
    with pytest.raises(ValueError, match="was made with data_seed 0"):
        prepare.prepare(folder, data_seed=1)


def test_real_people_of_a_table(real_data, home, tmp_path):
    """Weizmann's actions, split by person, from a table with relative and absolute paths."""
    root = real_data / "videos" / "weizmann64"
    rows = ["path,labels,split,group"]
    for action in ("bend", "jack"):
        for k in range(9):
            split = "test" if k < 3 else "train"
            rows.append(f"{root}/{action}/p{k}_{action}.avi,{action},{split},p{k}")
    (tmp_path / "people.csv").write_text("\n".join(rows))
    folder = prepare.prepare(tmp_path / "people.csv", clips=2, size=64, workers=1)
    df = catalog.load_catalog(folder)
    assert df.groupby("group")["split"].nunique().max() == 1
    assert df["split"].value_counts().to_dict() == {"train": 10, "test": 6, "val": 2}
    assert prepare.load_statuses(folder)["videos"].to_dict() == {"ok": 18}


def test_every_real_file_ends_as_its_full_decode_says(real_data, home):
    root = real_data / "videos"
    folder = prepare.prepare(root, clips=2, size=32)
    rows = pq.read_table(folder / "clips" / "status.parquet").to_pylist()
    df = catalog.load_catalog(folder)
    found = dict(zip(df["path"], rows, strict=True))
    with open(root / "truth.csv") as file:
        truth = list(csv.DictReader(file))
    assert len(truth) == len(rows) == 151
    for row in truth:
        mine, frames = found[str(root / row["path"])], int(row["decoded_frames"])
        if frames == 0:
            assert mine["status"] == "empty"
            continue
        short = frames / float(row["fps"]) <= 0.5
        wanted = "corrupt" if row["error"] == "InvalidDataError" else "too short" * short or "ok"
        assert (mine["status"], mine["frames"]) == (wanted, frames), row["path"]
        size = int(row["width"]), int(row["height"])
        assert (mine["width"], mine["height"]) == size[:: -1 if int(row["rotation"]) % 180 else 1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="no /proc tells memory here")
def test_memory_is_flat_over_many_real_files(real_data, home, tmp_path):
    """600 files, the real ones again and again, in one process: the last 200 keep no more than the
    200 before them, by the medians of what is resident."""
    files = [p for p in (real_data / "videos").rglob("*") if p.suffix.lower() in reader.SUFFIXES]
    for n in range(600):
        path = files[n % len(files)]
        link = tmp_path / "many" / "a" / f"{n}{path.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    process, held = run(tmp_path / "many", home), []
    memory, page = Path(f"/proc/{process.pid}/statm"), os.sysconf("SC_PAGE_SIZE")
    while process.poll() is None:
        if list(home.glob("data/*/clips/.work")):
            held.append(int((memory.read_text().split() or [0, 0])[1]) * page / 1e6)
        time.sleep(0.05)
    assert process.returncode == 0, process.communicate()[1]
    process.communicate()
    held = np.array([size for size in held if size])
    third = len(held) // 3
    before, after = np.median(held[third : 2 * third]), np.median(held[2 * third :])
    assert third > 50 and after < before + 15, (before, after)


def test_a_source_that_cannot_be_read_leaves_nothing(home, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd.csv").write_text("name,class\na.mp4,b\n")
    for source in (tmp_path / "empty", tmp_path / "odd.csv"):
        with pytest.raises(ValueError):
            prepare.prepare(source, workers=1)
    with pytest.raises(ValueError):
        datasets.listed("mine", source=str(tmp_path / "odd.csv"))
    assert list((home / "data").iterdir()) == []


def test_a_dataset_outlives_an_error(source, home, capsys):
    folder = prepare.prepare(source, workers=1, **SMALL)
    with pytest.raises(ValueError, match="clips is"):
        prepare.prepare(source, clips=0, workers=1)
    assert prepare.load_statuses(folder)["videos"].sum() == 20


def test_no_video_in_reach_is_told_before_any_work(home, tmp_path, capsys):
    ids = [f"v{n}" for n in range(2000)]
    columns = {"id": ids, "split": ["train"] * 2000, "labels": [[n % 2] for n in range(2000)]}
    df = catalog.frame(catalog.table(columns), classes=["a", "b"], data_seed=0, split="given")
    catalog.save_catalog(df, home / "data" / "listed")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ValueError, match=r"none of the 2,000 videos of listed is in .*nothing"):
        prepare.prepare("listed", files=str(tmp_path / "nothing"), workers=1)
    assert "ingest" not in capsys.readouterr().out
    assert not list((home / "data" / "listed").glob("clips/*.parquet"))


def test_rows_set_aside_are_said_after_the_summary(source, home, tmp_path, capsys):
    table = tmp_path / "some.csv"
    films = sorted(source.rglob("*.mp4"))[:3]
    rows = [
        f"{film};a;{split}" for film, split in zip(films, ("train", "val", "test"), strict=True)
    ]
    table.write_text("\ufeffpath;labels;split\r\n" + "\r\n".join([*rows, ";a;train", ";b;test"]))
    prepare.prepare(table, workers=1, **SMALL)
    out = capsys.readouterr().out.splitlines()
    at = next(n for n, line in enumerate(out) if "3 videos, 9 clips" in line)
    assert out[at + 1 : at + 3] == ["  ok 3", "  left out: 2 rows without path"]


def test_a_dry_run_says_what_ingest_does_and_writes_nothing(source, home, capsys):
    (source / "run" / "notes.txt").write_text("none")
    (source / "jump" / "9.mp4").write_bytes(b"no video")  # nothing is decoded
    before = sorted(source.rglob("*"))
    lines = prepare.preview(source)
    assert sorted(source.rglob("*")) == before and not list(home.rglob("*"))
    assert lines[0] == "20 videos, 2 classes: jump 10, run 10"
    assert lines[1].startswith("train 14 · val 2 · test 4 (no split was given")
    assert lines[2] == "left out: 1 files without a video's suffix (.txt)"
    assert lines[3].startswith("at most 200 clips, about 47 MB, in ")  # 14·8 + 2·4 + 4·20
    folder = prepare.prepare(source, workers=1, **SMALL)
    out = capsys.readouterr().out
    assert all(line in out for line in lines[:3])
    bad = f"not a video 1: {container.REASONS['not a video']}, such as {source}/jump/9.mp4"
    assert f"  ok 19\n  {bad}\n" in out
    examples = prepare.load_statuses(folder)["example"]
    assert examples.to_dict() == {"ok": "", "not a video": f"{source}/jump/9.mp4"}
    (source / "run" / "0.mp4").unlink()  # what is gone, and still listed
    assert f"out of reach: 1 videos, such as {source}/run/0.mp4" in prepare.preview(source)
    assert "1 videos are missing now and stay; --forget drops them" in prepare.preview(source)
    assert prepare.preview(source, forget=True)[0] == "19 videos, 2 classes: jump 10, run 9"
    with pytest.raises(FileNotFoundError, match='no dataset "other"'):
        prepare.preview("other")


def test_the_same_video_twice_is_said(source, home, capsys):
    shutil.copy(source / "run" / "0.mp4", source / "jump" / "same.mp4")
    (source / "run" / "half.mp4").write_bytes((source / "run" / "1.mp4").read_bytes()[:-1] + b"x")
    for name in ("a", "b"):  # both empty: no copies
        (source / "run" / f"{name}.mp4").write_bytes(b"")
    (note,) = [n for n in prepare.preview(source) if "several classes" in n]
    assert f": {source}/jump/same.mp4 = {source}/run/0.mp4; remove" in note
    prepare.prepare(source, workers=1, **SMALL)
    assert note in capsys.readouterr().out.splitlines()
    prepare.prepare(source, workers=1, **SMALL)
    assert capsys.readouterr().out == ""
    (source / "jump" / "same.mp4").unlink()
    assert not [n for n in prepare.preview(source) if "several" in n and "stands" in n]


def test_copies_in_several_splits_are_said(films, home, tmp_path):
    for split in ("train", "test"):
        for name in ("run", "jump"):
            place = tmp_path / "set" / split / name
            place.mkdir(parents=True)
            shutil.copy(films / name / "0.mp4", place / "a.mp4")
            shutil.copy(films / name / f"{1 + (split == 'test')}.mp4", place / "b.mp4")
    (note,) = [n for n in prepare.preview(tmp_path / "set") if "stands in several" in n]
    assert note.count(" = ") == 2 and "several splits" in note and "b.mp4" not in note


@pytest.mark.parametrize(
    ("lengths", "words"),
    [  # frames of each video of class run, then of jump
        ([[45] * 5, []], "every readable video is of class 'run', so any score is 100 %"),
        ([[45] * 5, [5] * 5], "1 of 2 classes have no readable video: jump"),
        ([[45] * 5, [5, 5, 5, 5, 45]], "1 of 2 classes have no readable video in train: jump"),
        ([[45] * 5, [45, 5, 5, 5, 5]], "1 of 2 classes have no readable video in test: jump"),
        ([[45] * 5, [45] * 5], ""),
    ],
)
def test_classes_that_lost_their_videos_are_named(home, tmp_path, capsys, lengths, words):
    for name, own in zip(("run", "jump"), lengths, strict=True):
        for n, frames in enumerate(own):
            film(tmp_path / "set" / name / f"{n}.mp4", 10 * n + 70 * (name == "jump"), frames)
    prepare.prepare(tmp_path / "set", workers=1, **SMALL)
    out = capsys.readouterr().out
    assert words in out and ("readable" in out) == bool(words)
