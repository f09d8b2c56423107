"""What digests and checksums cost: ingest and training with them and without, in turns.

    python benchmarks/checks.py                 # ten pairs of each
    python benchmarks/checks.py --pairs 2 --videos 64

Each work runs in a fresh process and does the whole of its task: `ingest` renders nothing and cuts
the films of a small `pocket` with one worker, `training` trains and scores a single frame for an
epoch on clips that are there. Without, files get no digest and no frame a checksum, and none is
compared. The cost is the median of the pairs' ratios, with its 95 % interval over pairs
(bootstrap), by the clock and by the time of the processor, which other work disturbs less. Figures
go into checks.json beside this file.
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
if how == "without":
    files._note = lambda *_: None
    files._digest = lambda path: ""
    for module in (files, locate, worker):
        module.has_its_digest = lambda path, again=False: bool(path.stat())
    load = shards.Shards._load
    shards.Shards._load = lambda self, shard: (*load(self, shard)[:3], None)
    shards.zlib = type("none", (), {"crc32": staticmethod(lambda data: 0)})
for folder in (paths.dataset("pocket") / "clips", paths.runs()):
    if work == "ingest" or folder == paths.runs():
        shutil.rmtree(folder, ignore_errors=True)
start = time.perf_counter(), time.process_time()
if work == "ingest":
    prepare("pocket", workers=1)
else:
    train(TrainConfig(model="single", epochs=1))
print("seconds:", time.perf_counter() - start[0], time.process_time() - start[1])
"""


def seconds(work: str, how: str) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    command = [sys.executable, "-c", PROGRAM, work, how]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    clock, processor = map(float, done.stdout.rpartition("seconds:")[2].split())
    return round(clock, 3), round(processor, 3)


def cost(work: str, pairs: int) -> dict:
    """The seconds of each pair, and what the checks add, in percent."""
    took: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    for pair in range(pairs):
        for how in sorted(took, reverse=bool(pair % 2)):
            took[how].append(seconds(work, how))
    ratios = np.array(took["with"]) / took["without"]  # pairs×2
    drawn = np.random.default_rng(0).integers(0, pairs, (10_000, pairs))
    low, high = np.quantile(np.median(ratios[drawn], axis=1), [0.025, 0.975], axis=0)
    added = zip(np.median(ratios, axis=0), low, high, strict=True)
    percent = [[round(100 * (float(r) - 1), 2) for r in each] for each in added]
    names = "percent_of_clock", "percent_of_processor"  # median, low, high
    return took | dict(zip(names, percent, strict=True)) | {"load": round(os.getloadavg()[0], 2)}


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
