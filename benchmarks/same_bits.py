"""Do two checkouts train to the same bits? The check of a change that should alter no result.

    python benchmarks/same_bits.py ../old . --json benchmarks/same_bits.json     # about an hour
    python benchmarks/same_bits.py ../old . --epochs 1 --size 56 --width 0.1     # a quick trial

Both checkouts run under this Python, in turns, each in a home of its own with a copy of the same
datasets (made once, by the first checkout, or those in `--data`). Each trains `single`, `slow` and
`late-multires` on `pocket`, then tunes `slow` on fold 1 of `pocket101`, from seed 0.

Compared are the runs' names and settings, the untimed columns of `metrics.csv`, and the bytes of
`model.safetensors` and of every file in `predictions/`. The exit status is 1 where any differs.
"""

import argparse
import csv
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TIMED = {"seconds", "clips_per_second", "data_wait", "mfu"}  # columns that no two trainings share
# Of the layout with rooms, and of the flat one before it (up to commit 2c731a5).
PREPARE = {
    True: "from s1m_lab import prepare; from s1m_lab.data import ucf101",
    False: "from s1m_lab.ingest import prepare; from s1m_lab import ucf101",
}
TUNING = {
    True: "from s1m_lab.training.finetune import Tuning, tune",
    False: "from s1m_lab.transfer import Tuning, tune",
}


def python(checkout: Path, home: Path, *arguments: str) -> float:
    """Run Python on the code of a checkout; returns the seconds it took."""
    environment = os.environ | {"S1M_HOME": str(home), "PYTHONPATH": str(checkout)}
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=checkout, env=environment, check=True)
    return time.perf_counter() - began


def has_rooms(checkout: Path) -> bool:
    return (checkout / "s1m_lab" / "training").is_dir()


def make_datasets(checkout: Path, home: Path) -> None:
    """`pocket` and fold 1 of `pocket101` in a home, made where they are not there yet."""
    program = "; prepare('pocket'); prepare(ucf101.dataset('pocket101', 1))"
    python(checkout, home, "-c", PREPARE[has_rooms(checkout)] + program)


def new_run(home: Path, before: set[str]) -> str:
    """The name of the run that was not there before."""
    (name,) = {path.parent.name for path in home.glob("runs/*/results.json")} - before
    return name


def train(checkout: Path, home: Path, model: str, options: dict) -> tuple[str, float]:
    """Train a network on pocket; its run's name, which its settings make, and the seconds."""
    before = {path.parent.name for path in home.glob("runs/*/results.json")}
    given = [f"--{key}={value}" for key, value in options.items() if value]
    seconds = python(checkout, home, "-m", "s1m_lab", "train", f"--model={model}", *given)
    return new_run(home, before), seconds


def tune(checkout: Path, home: Path, way: str, start: str, epochs: int) -> tuple[str, float]:
    """Tune a run on fold 1 of pocket101; the new run's name and the seconds."""
    before = {path.parent.name for path in home.glob("runs/*/results.json")}
    program = f"; tune(Tuning({way!r}, 'pocket101-fold1', {start!r}, epochs={epochs}))"
    seconds = python(checkout, home, "-c", TUNING[has_rooms(checkout)] + program)
    return new_run(home, before), seconds


def untimed(path: Path) -> list[list[str]]:
    """The rows of a `metrics.csv` without the columns of times, as text."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    keep = [n for n, column in enumerate(rows[0]) if column not in TIMED]
    return [[row[n] for n in keep] for row in rows]


def compare(first: Path, second: Path) -> dict[str, bool]:
    """What of two runs' folders is the same."""
    config = [json.loads((run / "config.json").read_text("utf-8")) for run in (first, second)]
    predictions = [
        {file.name: file.read_bytes() for file in (run / "predictions").iterdir()}
        for run in (first, second)
    ]
    weights = [(run / "model.safetensors").read_bytes() for run in (first, second)]
    return {
        "name": first.name == second.name,
        "settings": config[0]["settings"] == config[1]["settings"],
        "metrics": untimed(first / "metrics.csv") == untimed(second / "metrics.csv"),
        "weights": weights[0] == weights[1],
        "predictions": predictions[0] == predictions[1],
    }


def commit(checkout: Path) -> str:
    """The commit of a checkout, with `+` where files were changed since."""
    git = ["git", "-C", str(checkout), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path, help="a checkout of this repository")
    parser.add_argument("new", type=Path, help="another")
    parser.add_argument("--models", nargs="*", default=["single", "slow", "late-multires"])
    parser.add_argument("--ways", nargs="*", default=["top3"], help="of tuning slow on pocket101")
    parser.add_argument("--epochs", type=int, default=0, help="0: the recipe's")
    parser.add_argument("--size", type=int, default=0, help="0: the recipe's")
    parser.add_argument("--width", type=float, default=0.0, help="0: the recipe's")
    parser.add_argument("--data", type=Path, help="a `data/` folder with both datasets")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def copy_datasets(source: Path | None, checkouts: dict[str, Path], homes: dict[str, Path]) -> None:
    """The same datasets in both homes: those of `source`, or made anew by the old checkout."""
    if not source:
        make_datasets(checkouts["old"], homes["old"])
        source = homes["old"] / "data"
    for home in homes.values():
        if not (home / "data").is_dir():
            shutil.copytree(source, home / "data")


def main() -> int:
    args = arguments()
    import torch

    checkouts = {"old": args.old.resolve(), "new": args.new.resolve()}
    options = {key: getattr(args, key) for key in ("epochs", "size", "width")}
    about = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "commits": {key: commit(checkout) for key, checkout in checkouts.items()},
        **options,
        "identical": True,
        "runs": [],
    }
    start = {}  # the run of slow fusion that tuning starts from, in each home
    with tempfile.TemporaryDirectory() as folder:
        homes = {key: Path(folder) / key for key in checkouts}
        copy_datasets(args.data, checkouts, homes)
        for job in [*args.models, *args.ways]:
            found, seconds = {}, {}
            for key, checkout in checkouts.items():
                if job in args.models:
                    name, took = train(checkout, homes[key], job, options)
                else:
                    name, took = tune(checkout, homes[key], job, start[key], args.epochs)
                found[key], seconds[key] = homes[key] / "runs" / name, round(took, 1)
                if job == "slow":
                    start[key] = name
            same = compare(found["old"], found["new"])
            about["identical"] &= all(same.values())
            about["runs"].append({"run": found["new"].name, **same, "seconds": seconds})
            print(json.dumps(about["runs"][-1]), flush=True)
            if args.json:
                args.json.write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    print("identical" if about["identical"] else "NOT identical")
    return 0 if about["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
