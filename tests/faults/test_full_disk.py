"""A disk that becomes full: one sentence names the file and what is missing, and nothing is lost.

The home lies on a small file system in memory. While a command works, a file takes all the room
but for some pages. Once that file is removed, the same command ends in the bytes of undisturbed
work.
"""

import json
import re
import subprocess
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from fault_lab import Lab, call, contents, differing, finish, start, wait_until
from trials import Trial

HARM = "disk full"
PAGE = 4096  # bytes
MAKE_POCKET = """
from s1m_lab.data import datasets
datasets.make_pocket(videos=1)
"""
LIST_SPORTS = """
from s1m_lab.data import datasets
datasets.listed("sports", source={source!r})
"""
TUNE = """
from s1m_lab import Tuning, tune_all
tune_all([Tuning("top", {data!r}, start="done", epochs=2)])
"""
VECTORS = """
from s1m_lab.common import paths
from s1m_lab.training.baseline import bag_of_words
bag_of_words.make_vectors(paths.dataset({data!r}), words=4, workers=1)
"""


class Stage(NamedTuple):
    """A command, and when the disk becomes full: once a file is there, or before it begins."""

    command: str
    since: str = ""  # a pattern in the home; "" is before
    needs: str = ""  # commands done before
    temporary: bool = False  # temporary files lie on that disk too


STAGES = {
    "rendering begins": Stage("render"),
    "videos are rendered": Stage("render", "data/pocket/videos/*.mp4"),
    "ingest begins": Stage("ingest"),
    "clips are cut": Stage("ingest", "data/*/clips/.work/*/shard.tar"),
    "shards are cut": Stage("ingest", "data/*/clips/*-00000-*.tar"),
    "the last shard is cut": Stage("ingest", "data/*/clips/test-00000-*.parquet"),
    "the catalog is written": Stage("list"),
    "an archive is unpacked": Stage("list", temporary=True),
    "training begins": Stage("train", "", "ingest"),
    "steps are made": Stage("train", "runs/done/metrics.csv", "ingest"),
    "the best epoch is saved": Stage("train", "runs/done/model.safetensors", "ingest"),
    "checkpoints are saved": Stage("train", "runs/done/checkpoint/0*60", "ingest"),
    "test clips are scored": Stage("train", "runs/done/checkpoint/0*180", "ingest"),
    "features are cached": Stage("tune", "", "ingest train"),
    "more features are cached": Stage("tune", "data/*/features/fc7-train-*.npy", "ingest train"),
    "codebooks are made": Stage("vectors", "", "ingest"),
    "videos are described": Stage("vectors", "data/*/features/*/codebooks*", "ingest"),
    "videos are labelled": Stage("predict", "", "ingest train"),
}
ROOM = (0, 3, 40)  # pages that are left


class Disk:
    """A file system of its own, with a home, that a file can fill."""

    def __init__(self, place: Path, size: int):
        place.mkdir()
        self.place, self.home, self.filler = place, place / "home", place / "filler"
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
        self.home.mkdir()
        (place / "tmp").mkdir()

    def fill(self, pages: int) -> None:
        """Take all the room but for so many pages, as fast as it goes."""
        with open(self.filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(1 << 20)):
                    pass
            except OSError:
                pass
            try:
                while file.write(bytes(PAGE)):
                    pass
            except OSError:
                pass
            size = file.tell()
            file.truncate(max(0, size - pages * PAGE))

    def clear(self) -> None:
        self.filler.unlink(missing_ok=True)

    def end(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], check=True)


@pytest.fixture
def disk(tmp_path):
    disk = Disk(tmp_path / "disk", 96 << 20)
    yield disk
    disk.end()


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An archive as Sports-1M's metadata is, of 30,000 videos."""
    rng, place = np.random.default_rng(0), tmp_path_factory.mktemp("sports") / "sports1m_json.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as out:
        for split, count in (("train", 20_000), ("test", 10_000)):
            numbers = rng.integers(0, 487, count).tolist()
            rows = [
                {"id": f"{split[0]}{n:010d}", "label487": [k], "title": f"video {n}", "duration": 9}
                for n, k in enumerate(numbers)
            ]
            out.writestr(f"sports1m_{split}.json", json.dumps(rows))
        out.writestr("labels.txt", "".join(f"sport {n}\n" for n in range(487)))
    return place


@pytest.fixture(scope="module")
def commands(lab, archive):
    data = str(lab.films)
    return {
        "render": (MAKE_POCKET,),
        "ingest": lab.ingest(),
        "list": (LIST_SPORTS.format(source=str(archive)),),
        "train": lab.train("done"),
        "tune": (TUNE.format(data=data),),
        "vectors": (VECTORS.format(data=data),),
        "predict": ("predict", "done", lab.films / "rising"),
    }


@pytest.fixture(scope="module")
def undisturbed(lab, commands, tmp_path_factory):
    """What a home holds after a command on a disk with room; each is run once."""
    made: dict[str, dict[str, bytes]] = {}

    def after(command: str, needs: str) -> dict[str, bytes]:
        if command not in made:
            home = tmp_path_factory.mktemp("whole") / "home"
            home.mkdir()
            prepare_home(lab, home, needs)
            done = call(home, *commands[command])
            assert done.status == 0, done.out
            made[command] = contents(home)
        return made[command]

    return after


def prepare_home(lab: Lab, home: Path, needs: str) -> None:
    if needs:
        lab.copy(home, runs="train" in needs)


SHORT = [("clips are cut", 3), ("checkpoints are saved", 40)]
LONG = [(stage, pages) for stage in STAGES for pages in ROOM]


@pytest.mark.trials(SHORT, LONG)
def test_a_full_disk_ends_in_a_sentence(trial, lab, disk, commands, undisturbed, count, once):
    name, pages = trial
    once(HARM, f"{name}, {pages} pages left")
    stage, home = STAGES[name], disk.home
    words = commands[stage.command]
    prepare_home(lab, home, stage.needs)
    wanted = undisturbed(stage.command, stage.needs)
    more = {"TMPDIR": str(disk.place / "tmp")} if stage.temporary else {}
    if stage.since:
        process = start(home, *words, **more)
        reached = wait_until(process, lambda: any(home.glob(stage.since)), 0.001)
        disk.fill(pages)
        done = finish(process)
    else:
        reached = True
        disk.fill(pages)
        done = call(home, *words, **more)
    fits = done.status == 0  # so much room was enough
    disk.clear()
    begin = time.monotonic()
    again = call(home, *words, **more)
    took = time.monotonic() - begin
    lost = differing(home, wanted)
    names_file = str(disk.place) in done.said and re.search("missing|free", done.said)
    said = done.said.replace(str(disk.place), "…")
    count(
        Trial(
            HARM,
            f"{name}, {pages} pages left",
            survived=done.in_words and reached,
            noticed=None if fits else bool(names_file),
            healed=not lost and again.status == 0,
            lost=len(lost),
            seconds=[took],
            said="there was room enough" if fits else said,
        )
    )
