"""What digests and checksums cost: ingest and training with them and without, in turns.

    python benchmarks/checks.py                 # ten pairs of each
    python benchmarks/checks.py --pairs 2 --videos 64

Each work runs in a fresh process and does the whole of its task: `ingest` renders nothing and cuts
the films of a small `pocket` with one worker, `training` trains and scores a single frame for four
epochs on clips that are there. Without, files get no digest and no frame a checksum, and none is
compared. The cost is the median of the pairs' ratios, with its 95 % interval over pairs
(bootstrap), by the clock and by the time of the processor. Two runs of the same code differ by some
percent, so the seconds inside the digests and checksums are measured too: `percent_inside` is their
sum over threads, as a share of the clock. Figures go into checks.json beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from s1m_lab.common import system
from s1m_lab.common.files import write_json
from s1m_lab.training import runs

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = """
import shutil, sys, time
from s1m_lab import TrainConfig, prepare, train
from s1m_lab.common import files, paths
from s1m_lab.data import locate, shards
from s1m_lab.data.ingest import worker

work, how = sys.argv[1:]
inside = [0.0]


def timed(do):
    def run(*args):
        begin = time.perf_counter()
        try:
            return do(*args)
        finally:
            inside[0] += time.perf_counter() - begin

    return run


files._note, files._digest = timed(files._note), timed(files._digest)
crc32 = timed(shards.zlib.crc32)
if how == "without":
    files._note = lambda *_: None
    files._digest = lambda path: ""
    for module in (files, locate, worker):
        module.has_its_digest = lambda path, again=False: bool(path.stat())
    load = shards.Shards._load
    shards.Shards._load = lambda self, shard: (*load(self, shard)[:3], None)
    crc32 = lambda data: 0
shards.zlib = type("zlib", (), {"crc32": staticmethod(crc32)})
for folder in (paths.dataset("pocket") / "clips", paths.runs()):
    if work == "ingest" or folder == paths.runs():
        shutil.rmtree(folder, ignore_errors=True)
start = time.perf_counter(), time.process_time()
if work == "ingest":
    prepare("pocket", workers=1)
else:
    train(TrainConfig(model="single", epochs=4))
print("seconds:", time.perf_counter() - start[0], time.process_time() - start[1], *inside)
"""


def seconds(work: str, how: str) -> list[float]:
    """Seconds of the clock, of the processor, and inside digests and checksums."""
    command = [sys.executable, "-c", PROGRAM, work, how]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [round(float(took), 3) for took in done.stdout.rpartition("seconds:")[2].split()]


def cost(work: str, pairs: int) -> dict:
    """The seconds of each pair, and what the checks add, in percent."""
    took: dict[str, list[list[float]]] = {"with": [], "without": []}
    for pair in range(pairs):
        for how in sorted(took, reverse=bool(pair % 2)):
            took[how].append(seconds(work, how))
    checked, unchecked = (np.array(took[how]) for how in ("with", "without"))  # pairs×3
    ratios = checked[:, :2] / unchecked[:, :2]
    drawn = np.random.default_rng(0).integers(0, pairs, (10_000, pairs))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975], axis=0)
    added = zip(np.median(ratios, axis=0), low, high, strict=True)
    percent = [[round(100 * (float(r) - 1), 2) for r in each] for each in added]
    names = "percent_of_clock", "percent_of_processor"  # median, low, high
    inside = round(100 * float(np.median(checked[:, 2] / checked[:, 0])), 2)
    found = dict(zip(names, percent, strict=True)) | {"percent_inside": inside}
    return took | found | {"load": round(os.getloadavg()[0], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--videos", type=int, default=240)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["S1M_HOME"] = home
        from s1m_lab.data import datasets

        datasets.make_pocket(videos=args.videos)
        about = {"date": date.today().isoformat(), "machine": system.machine()}
        about |= {"commit": runs.commit(), "pairs": args.pairs, "videos": args.videos}
        for work in ("ingest", "training"):
            about[work] = cost(work, args.pairs)
            print(work, json.dumps(about[work]), flush=True)
    write_json(Path(__file__).with_suffix(".json"), about, end="\n", record=False, indent=1)


if __name__ == "__main__":
    main()
