"""Damaged files: the command that reads one names it, and repeated ends in the same bytes.

Every kind of file that the lab writes is damaged at rest: a bit flipped, the second half or all of
it cut off, its bytes zeroed or replaced, JSON of another type, the file removed. Where a file
cannot be made again, the advice that the message gives is followed.
"""

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from fault_lab import TINY, Lab, call, contents, differing, fork
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, writes
from trials import Trial

HARM = "files damaged"
SEED = 7
SUITE = '[[report]]\nname = "one"\nnotebook = "one.ipynb"\n'
TUNE = """
from s1m_lab import Tuning, tune_all
tune_all([Tuning(way, {data!r}, start="done", epochs=2) for way in {ways}])
"""
VECTORS = """
from s1m_lab.common import paths
from s1m_lab.data.splits import SPLITS
from s1m_lab.training.baseline import bag_of_words
folder = bag_of_words.make_vectors(paths.dataset({data!r}), words=4, workers=1)
for split in SPLITS:
    bag_of_words.load_vectors(folder, split)
bag_of_words.load_codebooks(folder)
"""
READ = """
from s1m_lab import load_predictions, load_run
run = load_run("done")
print(run.config["settings"]["model"], run.results["video_hit1"], run.labels, len(run.metrics))
print(load_predictions(run).video_probabilities.shape)
"""
FILTERS = """
from s1m_lab import load_run
from s1m_lab.analysis import filters
print(filters.filters_by_step(load_run("done")).keys())
"""
DRAW = """
from s1m_lab import load_run
from s1m_lab.figures import overlay
seen = overlay.draw([load_run("done")], {film!r})
print(len(seen.table), overlay.stills(seen.path, [0.1])[0].shape)
"""


def commands(lab: Lab) -> dict[str, tuple]:
    data, film = str(lab.films), str(lab.films / "rising" / "0.mp4")
    return {
        "ingest": lab.ingest(),
        "ingest --retry": lab.ingest("--retry"),
        "ingest pocket": ("ingest", "pocket", "--workers=1"),
        "train done": lab.train("done"),
        "train half": lab.train("half"),
        "train new": lab.train("new", "--epochs=1", *TINY),
        "predict": ("predict", "done", film),
        "tune": (TUNE.format(data=data, ways=["top3", "top"]),),
        "make_vectors": (VECTORS.format(data=data),),
        "read": (READ,),
        "draw": (DRAW.format(film=film),),
        "read filters": (FILTERS,),
        "suite": ("suite", lab.films.with_name("suite.toml")),
    }


class World(NamedTuple):
    """A home, and what it holds."""

    home: Path
    holds: dict[str, bytes]


@pytest.fixture(scope="module")
def worlds(lab, tmp_path_factory):
    """The home of the lab after one more command, by that command; each is made when it is used."""
    made = {name: World(lab.home, contents(lab.home)) for name in ("ingest", "train done", "read")}

    def after(command: str) -> World:
        command = command.removesuffix(" --retry").removesuffix(" filters")
        if command not in made:
            home = lab.copy(tmp_path_factory.mktemp("world") / "home", runs=True)
            BEFORE.get(command, lambda lab, home: None)(lab, home)
            if command != "train half":
                done = call(home, *commands(lab)[command])
                assert done.status == 0, done.out
            made[command] = World(home, contents(home))
        return made[command]

    return after


def interrupt_training(lab: Lab, home: Path) -> None:
    """Leave an unfinished run: it is killed after its second checkpoint."""
    process = fork(home, home.with_name("half.out"), *commands(lab)["train half"])
    while process.is_alive() and not (home / "runs/half/checkpoint/00000120").is_dir():
        time.sleep(0.001)
    process.kill()
    process.join()


def render_pocket(lab: Lab, home: Path) -> None:
    code = "\nfrom s1m_lab.data import datasets\ndatasets.make_pocket(videos=1)\n"
    assert call(home, code).status == 0
    assert call(home, "ingest", "pocket", "--workers=1", "--size=32", "--clips=1").status == 0


def write_suite(lab: Lab, home: Path) -> None:
    suite = lab.films.with_name("suite.toml")
    suite.write_text(SUITE)
    cells = [new_markdown_cell("# O · One\n\n> Is it? It is."), new_code_cell("print(1)")]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    suite.with_name("one.ipynb").write_text(writes(notebook))


BEFORE = {"train half": interrupt_training, "ingest pocket": render_pocket, "suite": write_suite}


# ----------------------------------------------------------------------------------------- damages


def flip(data: bytes, rng) -> bytes:
    place = int(rng.integers(len(data)))
    return data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]


DAMAGES: dict[str, Callable] = {
    "a bit flipped": flip,
    "cut in half": lambda data, rng: data[: len(data) // 2],
    "emptied": lambda data, rng: b"",
    "zeroed": lambda data, rng: bytes(len(data)),
    "garbage": lambda data, rng: rng.bytes(1000),
    "JSON of another type": lambda data, rng: b'[1, "two"]\n',
    "removed": lambda data, rng: None,
}


def damage(path: Path, how: str, rng) -> None:
    """Damage a file. Its date stays, as where a disk is at fault."""
    about, data = path.stat(), DAMAGES[how](path.read_bytes(), rng)
    path.unlink()
    if data is not None:
        path.write_bytes(data)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


class Kind(NamedTuple):
    """A kind of file: where it lies, the command that reads it, and what that makes again."""

    files: str  # a pattern in the home
    command: str
    gone: str = ""  # a pattern of what is removed first, so that the command has work to do
    after: str = ""  # the command that makes it again; by default `command`


CLIPS, DONE, HALF, KEPT = "data/films-*/clips", "runs/done", "runs/half", "data/films-*/features"
KINDS = {
    "index of clips": Kind(f"{CLIPS}/index.parquet", "train new", "runs/new"),
    "statuses": Kind(f"{CLIPS}/status.parquet", "ingest"),
    "shard": Kind(f"{CLIPS}/train-*.tar", "train new", "runs/new"),
    "shard of test clips": Kind(f"{CLIPS}/test-*.tar", "train new", "runs/new"),
    "side file": Kind(f"{CLIPS}/train-*.parquet", "ingest --retry"),
    "made.json": Kind(f"{CLIPS}/made.json", "ingest"),
    "asked.json": Kind(f"{CLIPS}/asked.json", "ingest"),
    "catalog": Kind("data/films-*/catalog.parquet", "ingest"),
    "classes of a dataset": Kind("data/films-*/labels.txt", "ingest"),
    "ledger of datasets": Kind("data/.made-here", "ingest"),
    "catalog of a rendered set": Kind("data/pocket/catalog.parquet", "ingest pocket"),
    "dataset.json": Kind("data/pocket/dataset.json", "ingest pocket"),
    "rendered video": Kind("data/pocket/videos/*.mp4", "ingest pocket"),
    "mark of the rendering": Kind("data/pocket/videos/.fingerprint", "ingest pocket"),
    "config.json": Kind(f"{DONE}/config.json", "read", after="train done"),
    "results.json": Kind(f"{DONE}/results.json", "read", after="train done"),
    "classes of a run": Kind(f"{DONE}/labels.txt", "read", after="train done"),
    "metrics.csv": Kind(f"{DONE}/metrics.csv", "read", after="train done"),
    "weights": Kind(f"{DONE}/model.safetensors", "predict", f"{DONE}/labels-*", "train done"),
    "predictions": Kind(f"{DONE}/predictions/test.npy", "read", after="train done"),
    "clips of predictions": Kind(f"{DONE}/predictions/test.parquet", "read", after="train done"),
    "kept filters": Kind(f"{DONE}/filters/*.safetensors", "read filters", after="train done"),
    "CSV of labels": Kind(f"{DONE}/labels-*.csv", "predict"),
    "inputs of labels": Kind(f"{DONE}/.labels-*/inputs.json", "predict"),
    "overlay": Kind(f"{DONE}/overlay-*.mp4", "draw"),
    "table of an overlay": Kind(f"{DONE}/overlay-*.parquet", "draw"),
    "config.json, unfinished": Kind(f"{HALF}/config.json", "train half"),
    "metrics.csv, unfinished": Kind(f"{HALF}/metrics.csv", "train half"),
    "best weights, unfinished": Kind(f"{HALF}/model.safetensors", "train half"),
    "weights of a checkpoint": Kind(f"{HALF}/checkpoint/*120/weights.safetensors", "train half"),
    "momenta of a checkpoint": Kind(f"{HALF}/checkpoint/*120/momenta.safetensors", "train half"),
    "state of a checkpoint": Kind(f"{HALF}/checkpoint/*120/state.json", "train half"),
    "config of a checkpoint": Kind(f"{HALF}/checkpoint/*120/config.json", "train half"),
    "cached features": Kind(f"{KEPT}/fc7-train-*.npy", "tune", "runs/films-*"),
    "cached features below": Kind(f"{KEPT}/pool5-val-*.npy", "tune", "runs/films-*"),
    "codebooks": Kind(f"{KEPT}/*/codebooks.safetensors", "make_vectors"),
    "settings of vectors": Kind(f"{KEPT}/*/about.json", "make_vectors"),
    "vectors": Kind(f"{KEPT}/*/train.npy", "make_vectors"),
    "videos of vectors": Kind(f"{KEPT}/*/test.parquet", "make_vectors"),
    "digests of clips": Kind(f"{CLIPS}/.sha256", "train new", "runs/new"),
    "digests of a run": Kind(f"{DONE}/.sha256", "read"),
    "digests of a checkpoint": Kind(f"{HALF}/checkpoint/*120/.sha256", "train half"),
    "report": Kind("reports/one.ipynb", "suite"),
    "page of a report": Kind("reports/one.html", "suite"),
    "index of reports": Kind("reports/index.html", "suite"),
}
ANEW = r"move (\S+) away and repeat"
SHORT = [  # every kind of damage, on files of which each is read elsewhere
    ("index of clips", "zeroed"),
    ("statuses", "a bit flipped"),
    ("shard", "zeroed"),
    ("side file", "cut in half"),
    ("made.json", "JSON of another type"),
    ("asked.json", "emptied"),
    ("catalog", "cut in half"),
    ("config.json", "JSON of another type"),
    ("results.json", "garbage"),
    ("metrics.csv", "a bit flipped"),
    ("weights", "a bit flipped"),
    ("predictions", "removed"),
    ("clips of predictions", "emptied"),
    ("config.json, unfinished", "garbage"),
    ("metrics.csv, unfinished", "a bit flipped"),
    ("weights of a checkpoint", "a bit flipped"),
    ("state of a checkpoint", "JSON of another type"),
    ("digests of a run", "garbage"),
]
LONG = [
    (kind, how)
    for kind, about in KINDS.items()
    for how in DAMAGES
    if (how != "JSON of another type" or about.files.endswith(".json"))
]


def remove(home: Path, pattern: str) -> None:
    for path in home.glob(pattern) if pattern else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def expected(kind: Kind, lab: Lab, world: World) -> dict[str, bytes]:
    """What the home holds once all is made again."""
    if kind.files.startswith(HALF):  # it is finished then, and what `done` is but for its name
        return {f"runs/half/{name}": data for name, data in lab.wanted("done").items()}
    # what is made again has another date: reports, and rendered videos, which side files note
    dated = {"suite": "reports/", "ingest pocket": r"data/pocket/clips/(made|\w+-\d.*\.parquet)"}
    if pattern := dated.get(kind.command):
        return {n: data for n, data in world.holds.items() if not re.match(pattern, n)}
    return world.holds


@pytest.mark.trials(SHORT, LONG)
def test_a_damaged_file_is_named_and_made_again(trial, lab, worlds, tmp_path, count, once):
    name, how = trial
    once(HARM, f"{name}: {how}")
    kind, home = KINDS[name], tmp_path / "home"
    world = worlds(kind.command)
    shutil.copytree(world.home, home)
    remove(home, kind.gone)
    files = sorted(home.glob(kind.files))
    rng = np.random.default_rng([SEED, *f"{name}{how}".encode()])
    path = files[int(rng.integers(len(files)))]
    damage(path, how, rng)
    checked = call(home, "check")
    outs, took = [], []
    for command in (kind.command, *[kind.after or kind.command] * 2, kind.command):
        begin = time.monotonic()
        done = call(home, *commands(lab)[command])
        took.append(time.monotonic() - begin)
        outs.append(done)
        if advice := re.search(ANEW + r"|(?m:^)(\S+) .*; remove it, or", done.out):
            remove(Path("/"), (advice[1] or advice[2]).strip("/"))
        elif done.status == 0 and not differing(home, expected(kind, lab, world)):
            break
        elif path.exists() and (advice := re.search(r"rename it to (\S+) and", checked.out)):
            path.rename(path.with_name(advice[1]))
        elif len(outs) == 1 and (advice := re.search(ANEW, checked.out)):
            remove(Path("/"), advice[1].strip("/"))
    lost = differing(home, expected(kind, lab, world))
    said, by_check = (
        [line for each in those for line in each.out.splitlines() if path.name in line]
        for those in (outs, [checked])
    )
    listed = path.name != ".sha256"  # its lines check themselves, and a damaged one does not count
    # what is missing is made again without a word, where it can be
    gone = how == "removed" and name != "kept filters"
    count(
        Trial(
            HARM,
            f"{name}: {how}",
            survived=all(each.in_words for each in [checked, *outs]),
            noticed=bool(said or by_check) if listed and not gone else None,
            by_check=bool(by_check) and not said,
            healed=not lost and outs[-1].status == 0,
            lost=len(lost),
            seconds=[sum(took[1:])],
            said=(said + by_check + [f"{outs[0].said} {lost[:3]}"])[0],
        )
    )
