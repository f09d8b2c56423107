"""A small lab to do harm to: films, commands in processes of their own, and what they leave.

start(home, "train", "--data", films)          # a Popen of `python -m s1m_lab train …`
call(home, "ingest", films)                    # the same in a fork of a process that has torch
contents(home)                                 # bytes by name, but for times and locks
"""

import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab.common import files
from s1m_lab.video import writer

ROOT = Path(__file__).resolve().parents[2]
TINY = ("--batch-size=6", "--width=0.0625", "--size=43")
TRAIN = ("--epochs=40", *TINY)  # 240 steps, a checkpoint after every 60
INGEST = ("--size=48", "--clips=2")
COLUMNS = ("step", "epoch", "lr", "loss", "val_loss", "val_hit1")  # of metrics.csv, no times
TIMED = ("seconds", "train_clips_per_second", "data_wait", "mfu")  # of results.json


class Lab(NamedTuple):
    """Films, and a home with their clips and a finished run on them, `done`."""

    films: Path
    home: Path

    def ingest(self, *more: str) -> tuple:
        return ("ingest", self.films, "--workers=1", *INGEST, *more)

    def train(self, run: str, *settings: str) -> tuple:
        return ("train", "--data", self.films, f"--run={run}", *(settings or TRAIN))

    def wanted(self, run: str) -> dict[str, bytes]:
        """What a run of another name has to hold; its settings hold the name."""
        done = contents(self.home / "runs" / "done")
        return {name: data for name, data in done.items() if not name.endswith("config.json")}

    def copy(self, place: Path, runs: bool = False) -> Path:
        """A copy of the home, without its runs or with them."""
        leave = None if runs else shutil.ignore_patterns("runs")
        return Path(shutil.copytree(self.home, place, dirs_exist_ok=True, ignore=leave))


class Done(NamedTuple):
    """How a command ended: its exit status, and all that it printed."""

    status: int
    out: str

    @property
    def said(self) -> str:
        """The last line."""
        return ([line for line in self.out.splitlines() if line.strip()] or [""])[-1]

    @property
    def in_words(self) -> bool:
        """Whether the command ended well, or in a sentence that expects it, and not by a signal."""
        unexpected = "Traceback" in self.out or "an error of the lab" in self.out
        return self.status >= 0 and not unexpected


def make_films(folder: Path, count: int = 12, suffix: str = ".mp4") -> Path:
    """Two classes of `count` films each, a disc that rises and one that falls, 64×48."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64]
    for n in range(count):
        start, column, length = rng.integers(48), rng.integers(16, 48), 24 + rng.integers(20)
        heights = (start + 3 * np.arange(length)) % 60 - 6
        discs = (y - heights[:, None, None]) ** 2 + (x - column) ** 2 < 49
        frames = np.where(discs[..., None], [250, 240, 60], [20, 70, 30]).astype(np.uint8)
        for label, order in (("falling", 1), ("rising", -1)):
            path = folder / label / f"{n}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            writer.encode(path, frames[::order])
    return folder


# ---------------------------------------------------------------------------------------- commands


def environment(home: Path, **more: str) -> dict[str, str]:
    own = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    paths = os.pathsep.join(own)
    return {**os.environ, "S1M_HOME": str(home), "PYTHONPATH": paths, **more}


def start(home: Path, *words: object, launch: tuple[str, ...] = (), **more: str):
    """A process of `python -m s1m_lab …`, or of one that runs code, where the one word is code.

    `launch` stands before `s1m_lab`: `torch.distributed.run … -m`.
    """
    if is_code(words):
        code = "import sys, fault_lab; fault_lab.do(sys.argv[1])"
        command = [sys.executable, "-c", code, str(words[0])]
    else:
        own = ["s1m_lab", "--"] if launch else ["s1m_lab"]  # torchrun takes options until --
        command = [sys.executable, "-m", *launch, *own, *map(str, words)]
    limit = use_one_core if needs_one_core(command) else None
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # a group of its own, so that a test that fails can end it and all its children
    return subprocess.Popen(
        command, env=environment(home, **more), start_new_session=True, preexec_fn=limit, **pipe
    )


def needs_one_core(words: Sequence) -> bool:
    return not {"--workers=2", "--nproc-per-node=2"} & set(words)


def use_one_core() -> None:
    """Give this process one core: on a busy machine two threads that wait for each other crawl."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})


def do(code: str) -> None:
    """Run code as a notebook's cell would; an error that the lab expects ends in its sentence."""
    from s1m_lab.__main__ import EXPECTED

    try:
        exec(compile(code, "<code>", "exec"), {"__name__": "code"})
    except EXPECTED as error:
        sys.exit(str(error))


def is_code(words: tuple) -> bool:
    return len(words) == 1 and "\n" in str(words[0])


def finish(process: subprocess.Popen, seconds: float = 1800) -> Done:
    """Wait for a process, and return how it ended; after `seconds` its group is killed."""
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        out, _ = process.communicate()
        out += f"\nTraceback: nothing for {seconds} s"
    return Done(process.returncode, out)


def wait_until(process: subprocess.Popen, condition: Callable[[], object], pause=0.003) -> bool:
    """Wait for a condition; False if the process ended before it was true."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(pause)
    return False


PRELOADED = ["s1m_lab.__main__", "s1m_lab.training.train", "fault_lab"]
_server = None


def fork(home: Path, out: Path, *words: object, **more: str):
    """A process that does what that of `start` would; `out` takes what it prints.

    It is forked from one that has imported the lab and done nothing else, to save the seconds of
    `import torch`.
    """
    global _server
    if _server is None:
        _server = multiprocessing.get_context("forkserver")
        _server.set_forkserver_preload(PRELOADED)
    arguments = (environment(home, **more), str(out), tuple(map(str, words)))
    process = _server.Process(target=_act, args=arguments)
    process.start()
    return process


def call(home: Path, *words: object, seconds: float = 1800, **more: str) -> Done:
    """What `start` would run, to its end, in a process of `fork`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        process = fork(home, out, *words, **more)
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
        return Done(process.exitcode or 0, out.read_text("utf-8", errors="replace"))


def _act(environment: dict[str, str], out: str, words: tuple[str, ...]) -> None:
    """Do what a shell command would, with its output in a file."""
    opened = os.open(out, os.O_WRONLY | os.O_CREAT)
    os.dup2(opened, 1)
    os.dup2(opened, 2)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(n, "w"), write_through=True) for n in (1, 2)
    )
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["s1m_lab", *words]
    if needs_one_core(words):
        use_one_core()
    try:
        if is_code(words):
            do(words[0])
        else:
            from s1m_lab import __main__

            sys.exit(__main__.main())
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        sys.exit(1)


# ---------------------------------------------------------------------------------- what they leave


def contents(folder: Path) -> dict[str, bytes]:
    """What all files below a folder hold, by name; locks and other leftovers are left out, and
    files whose names hold a time or a folder.

    The fields that are times are left out, and the commit of the lab.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not re.search(
            r"\.(lock|sha256|damaged|out)$|(^|/)(events|\.work|\.labels-[^/]*)/", name
        ):
            found[name] = _untimed(path)
    return found


def _untimed(path: Path) -> bytes:
    if path.name in ("results.json", "config.json"):
        found = json.loads(path.read_bytes())
        found.get("machine", found).pop("commit", None)  # that this suite's own figures change
        return json.dumps({k: v for k, v in found.items() if k not in TIMED}).encode()
    if path.name == "metrics.csv":
        rows = pd.read_csv(path)
        return rows[[c for c in COLUMNS if c in rows]].to_csv().encode()
    if path.name == "state.json":
        state = json.loads(path.read_bytes())
        return json.dumps(
            {k: v for k, v in state.items() if k not in ("seconds", "waited")}
        ).encode()
    return path.read_bytes()


def differing(folder: Path, wanted: dict[str, bytes]) -> list[str]:
    """The names of files that a folder lacks, or holds otherwise than `wanted`."""
    try:
        found = contents(folder)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        return [f"{type(error).__name__}: {error}"]
    return [name for name, data in wanted.items() if found.get(name) != data]


def lists_hold(folder: Path) -> bool:
    """Whether every file below a folder has the digest that its list has of it, if it has one."""
    every = (path for path in folder.rglob("*") if path.is_file() and path.name != files.DIGESTS)
    return all(files.has_its_digest(path, again=True) for path in every)
