"""What digests and checksums cost: ingest and training with them and without, in turns.

    python benchmarks/checks.py                 # ten pairs of each
    python benchmarks/checks.py training --turns 2

`ingest` cuts the films of a small `pocket` with one worker, `training` trains and scores a single
frame for four epochs on clips that are there. Without, files get no digest and no frame a checksum,
and none is compared. One side of a pair is several turns of the work, and the turns of both sides
alternate (with, without, without, with, …), since a machine that others use is faster in one minute
than in the next. The cost is the median of the pairs' ratios, with its 95 % interval over pairs
(bootstrap), by the clock and by the time of the processor; `percent_inside` is the clock's share
inside digests and checksums, summed over threads. Figures go into checks.json beside this file.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from s1m_lab import TrainConfig, prepare, train
from s1m_lab.common import files, paths, system
from s1m_lab.data import datasets, locate, shards
from s1m_lab.data.ingest import worker
from s1m_lab.training import runs

READERS = datasets, files, locate, worker  # modules that have the name `has_its_digest`
LOAD = shards.Shards._load
FOUND = Path(__file__).with_suffix(".json")


@contextmanager
def checks(used: bool) -> Iterator[list[float]]:
    """Work with digests and checksums, whose seconds are summed up, or without."""
    inside = [0.0]

    def timed(do):
        def run(*args):
            begin = time.perf_counter()
            try:
                return do(*args)
            finally:
                inside[0] += time.perf_counter() - begin

        return run

    def crc(do) -> dict:
        return {"zlib": SimpleNamespace(crc32=do)}

    note, digest, crc32 = timed(files._note), timed(files.file_digest), timed(shards.zlib.crc32)
    changed = [(files, {"_note": note, "file_digest": digest})]
    changed += [(module, crc(crc32)) for module in (shards, worker)]
    if not used:
        changed = [(files, {"_note": lambda *_: None, "file_digest": lambda _: ""})]
        changed += [
            (module, {"has_its_digest": lambda path, again=False: bool(path.stat())})
            for module in READERS
        ]
        changed += [(shards.Shards, {"_load": lambda self, shard: (*LOAD(self, shard)[:3], None)})]
        changed += [(module, crc(lambda data: 0)) for module in (shards, worker)]
    patches = [patch.multiple(module, **names) for module, names in changed]
    for each in patches:
        each.start()
    try:
        yield inside
    finally:
        for each in reversed(patches):
            each.stop()


def seconds(work: str, used: bool) -> np.ndarray:
    """Seconds of the clock, of the processor, and inside digests and checksums, of one turn."""
    files._sound.clear()  # every file is read again
    shutil.rmtree(paths.runs(), ignore_errors=True)
    if work == "ingest":
        shutil.rmtree(paths.dataset("pocket") / "clips", ignore_errors=True)
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), checks(used) as inside:
        start = time.perf_counter(), time.process_time()
        if work == "ingest":
            prepare("pocket", workers=1)
        else:
            train(TrainConfig(model="single", epochs=4))
        took = time.perf_counter() - start[0], time.process_time() - start[1]
    return np.array([*took, *inside])


def cost(work: str, pairs: int, turns: int) -> dict:
    """The seconds of each pair, and what the checks add, in percent."""
    seconds("ingest", used=True)  # makes the checksums that training needs
    for used in (False, True):  # the first of a process is slower
        seconds(work, used)
    took = np.zeros((pairs, 2, 3))  # without and with
    for pair in range(pairs):
        for turn in range(2 * turns):
            used = (turn + turn // 2 + pair) % 2  # 0 1 1 0 …, in the next pair 1 0 0 1 …
            took[pair, used] += seconds(work, bool(used))
    unchecked, checked = took.transpose(1, 0, 2)  # pairs×3
    ratios = checked[:, :2] / unchecked[:, :2]
    drawn = np.random.default_rng(0).integers(0, pairs, (10_000, pairs))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975], axis=0)
    added = zip(np.median(ratios, axis=0), low, high, strict=True)
    percent = [[round(100 * (float(r) - 1), 2) for r in each] for each in added]
    names = "percent_of_clock", "percent_of_processor"  # median, low, high
    inside = round(100 * float(np.median(checked[:, 2] / checked[:, 0])), 2)
    found = dict(zip(names, percent, strict=True)) | {"percent_inside": inside}
    sides = {"with": checked, "without": unchecked}
    both = {side: np.round(each, 3).tolist() for side, each in sides.items()}
    return both | found | {"load": round(os.getloadavg()[0], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("works", nargs="*", default=["ingest", "training"])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3, help="of each side of a pair")
    parser.add_argument("--videos", type=int, default=240)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["S1M_HOME"] = home
        datasets.make_pocket(videos=args.videos)
        found = json.loads(FOUND.read_bytes())
        for work in args.works:
            about = {"date": date.today().isoformat(), "machine": system.machine()}
            about |= {"commit": runs.commit(), "turns": args.turns, "videos": args.videos}
            found[work] = about | cost(work, args.pairs, args.turns)
            print(work, json.dumps(found[work]), flush=True)
    files.write_json(FOUND, found, end="\n", record=False, indent=1)


if __name__ == "__main__":
    main()
