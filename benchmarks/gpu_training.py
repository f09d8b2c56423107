"""Trainings on a GPU as the lab does them: how fast, how good, and whether they repeat their bits.

    python benchmarks/gpu_training.py                                # a GPU; some minutes
    python benchmarks/gpu_training.py --json out.json --epochs 10
    python benchmarks/gpu_training.py --cpu --width 0.0625 --size 66 --videos 64    # a trial of it

The networks have the paper's size: width 1, crops of 170 from frames of 200×200, bf16. The
settings are those of the pocket recipe. The films are those of `pocket`, 176×132 pixels. Their
central square is resized up to 200×200, into the dataset `data/pocket-200`. So the scores show that
such a training works, and nothing about larger pictures.

First every network is trained and scored. Then a short training of the last one is repeated, each
time in its own process, with `deterministic` and without: once, once more, and killed (SIGKILL)
after its first checkpoint and resumed. Compared are the bytes of the weights, the last checkpoint
and the predictions, and the untimed values of `metrics.csv` and `results.json`.
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from s1m_lab.common import paths, system
from s1m_lab.common.files import fingerprint
from s1m_lab.data import datasets
from s1m_lab.data.ingest import prepare
from s1m_lab.training import metrics, predict, runs
from s1m_lab.training.config import TrainConfig
from s1m_lab.training.train import TIMED

CHILD = """
import json, sys
from s1m_lab import TrainConfig, train
import torch
run = train(TrainConfig(**json.loads(sys.argv[1])))
print("peak", torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
"""


def dataset(size: int, videos: int) -> str:
    """The films of `pocket`, cut at the side that crops of `size` ask for; returns its name."""
    side = round(size * 200 / 170)
    folder, films = paths.dataset(f"pocket-{side}"), paths.dataset("pocket") / "videos"
    if not videos and films.is_dir() and not folder.exists():  # rendered already
        shutil.copytree(films, folder / "videos")
    datasets.make_pocket(folder.name, videos)
    prepare.prepare(folder.name, size=side)
    return folder.name


def command(config: TrainConfig) -> list[str]:
    settings = {key: value for key, value in vars(config).items() if value}
    return [sys.executable, "-c", CHILD, json.dumps(settings)]


def started(config: TrainConfig) -> subprocess.Popen:
    around = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    around = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, around))}
    return subprocess.Popen(
        command(config), env=around, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def trained(config: TrainConfig) -> dict:
    """A training in its own process: its run, seconds from start to end, memory, printed lines.

    Raises RuntimeError with the last lines of one that failed.
    """
    start = time.perf_counter()
    process, lines, peak = started(config), [], 0
    for line in process.stdout:
        if line.startswith("peak "):
            peak = int(line.split()[1])
        else:
            lines.append(line.rstrip())
            print(f"    {lines[-1]}", flush=True)
    process.stdout.close()
    if process.wait():
        raise RuntimeError(" | ".join(lines[-3:]))
    run = runs.load_run(config.run)
    seconds = time.perf_counter() - start
    return {"run": run, "seconds": seconds, "peak_gb": peak / 1e9, "lines": lines}


def killed(config: TrainConfig) -> dict:
    """The same, but killed once its first checkpoint is there, and run again."""
    process, there = started(config), paths.runs() / config.run / "checkpoint"
    while process.poll() is None and not list(there.glob("[0-9]*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    lines = process.communicate()[0].splitlines()
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(" | ".join(["it had ended before it could be killed", *lines[-3:]]))
    found = trained(config)
    found["resumed"] = [line for line in found["lines"] if "resumes from step" in line]
    if not found["resumed"]:
        raise RuntimeError("it was killed, and began anew")
    return found


def bits(run: runs.Run) -> dict[str, str]:
    """All that a training leaves but its times, as digests."""
    last = max((run.path / "checkpoint").glob("[0-9]*"))
    files = [run.path / "model.safetensors", run.path / "predictions" / "test.npy"]
    files += [last / "weights.safetensors", last / "momenta.safetensors"]
    found = {
        str(f.relative_to(run.path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
    }
    timed = (*TIMED, "train_clips_per_second")
    results = {key: value for key, value in run.results.items() if key not in timed}
    rows = run.metrics.drop(columns=list(TIMED)).to_csv(index=False)
    return found | {"metrics.csv": fingerprint(rows=rows, results=results)}


def row(model: str, found: dict) -> dict:
    """Speed, memory and scores of a finished training. `steady` is the median over the rows of
    `metrics.csv` but the first of each epoch, in which the loader's processes start."""
    run = found["run"]
    rows = run.metrics
    steady = rows[rows["epoch"].duplicated()]
    saved, number = predict.load_predictions(run), run.labels.index
    scores = saved.video_probabilities
    pairs = {
        kind: statistics.mean(
            float(metrics.pair_hits(scores, saved.labels, number(a), number(b)).mean())
            for a, b in group
        )
        for kind, group in datasets.pairs(paths.dataset(run.results["data"])).items()
    }
    kept = ("parameters", "clip_hit1", "video_hit1", "seconds", "train_clips_per_second")
    kept += ("data_wait", "precision", "threads")
    return {
        "model": model,
        "steps": int(rows["step"].iloc[-1]),
        **{key: run.results[key] for key in kept},
        "steady_clips_per_second": float(steady["clips_per_second"].median()),
        "steady_data_wait": float(steady["data_wait"].median()),
        "whole_seconds": round(found["seconds"], 1),  # scoring, checkpoints and start included
        "peak_gb": found["peak_gb"],
        "pairs": pairs,
    }


def differing(one: runs.Run, other: runs.Run) -> list[str]:
    """What of two trainings has not the same bytes."""
    mine, theirs = bits(one), bits(other)
    return sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))


def repeats(short: TrainConfig, note) -> None:
    """The short training, repeated; `note` gets each comparison as it is made."""
    exact = dict(vars(short), deterministic=True)
    plan = [  # settings, whether it is killed, what it is compared with
        ("deterministic", exact, False, None),
        ("deterministic, again", exact, False, "deterministic"),
        ("deterministic, killed and resumed", exact, True, "deterministic"),
        ("default", vars(short), False, None),
        ("default, again", vars(short), False, "default"),
        ("default, killed and resumed", vars(short), True, "default"),
    ]
    there = {}
    for n, (name, settings, stops, other) in enumerate(plan):
        print(name, flush=True)
        config = TrainConfig(**dict(settings, run=f"repeat-{n}"))
        try:
            there[name] = found = (killed if stops else trained)(config)
        except RuntimeError as error:
            note({"training": name, "failed": str(error)})
            continue
        rate = found["run"].metrics["clips_per_second"].median()
        figures = {"training": name, "clips_per_second": float(rate)}
        if stops:
            figures["resumed"] = found["resumed"][0]
        if other in there:
            off = differing(there[other]["run"], found["run"])
            figures |= {"against": other, "same_bits": not off, "differing": off}
        note(figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["single", "slow"])
    parser.add_argument("--epochs", type=int, default=5, help="of the trainings that are scored")
    parser.add_argument("--short", type=int, default=1, help="epochs of those that are repeated")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=170, help="side of the full-frame crop")
    parser.add_argument("--batch", type=int, default=0, help="clips a step (0: the recipe's)")
    parser.add_argument("--lr", type=float, default=0.0, help="learning rate (0: the recipe's)")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--videos", type=int, default=0, help="films (0: all of pocket)")
    parser.add_argument("--cpu", action="store_true", help="a trial on the CPU")
    parser.add_argument("--json", help="write the figures here too, as they come")
    args = parser.parse_args()
    import torch

    cuda = torch.cuda.is_available()
    if not cuda and not args.cpu:
        print("no GPU here; --cpu tries it without (give --width, --size and --videos)")
        return
    about = {
        "date": datetime.date.today().isoformat(),
        "commit": runs.commit(),
        "machine": f"{platform.machine()}, {system.cores()} cores",
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        **{key: value for key, value in vars(args).items() if key not in ("json", "cpu")},
    }
    print(json.dumps(about), flush=True)
    about |= {"trainings": [], "repeats": []}

    def note(kind: str, figures: dict) -> None:
        about[kind].append(figures)
        print(json.dumps(figures), flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps(about, indent=1) + "\n", "utf-8")

    start = time.perf_counter()
    data = dataset(args.size, args.videos)
    about["dataset_seconds"] = round(time.perf_counter() - start, 1)
    common = {"data": data, "width": args.width, "size": args.size, "lr": args.lr}
    common |= {"batch_size": args.batch, "precision": args.precision}
    films = paths.dataset(data)
    with tempfile.TemporaryDirectory() as home:  # apart from the user's runs
        os.environ["S1M_HOME"] = home
        (Path(home) / "data").mkdir()
        (Path(home) / "data" / data).symlink_to(films)
        for model in args.models:
            print(model, flush=True)
            config = TrainConfig(model=model, epochs=args.epochs, run=model, **common)
            try:
                note("trainings", row(model, trained(config)))
            except RuntimeError as error:
                note("trainings", {"model": model, "failed": str(error)})
        short = TrainConfig(model=args.models[-1], epochs=args.short, **common)
        repeats(short, lambda figures: note("repeats", figures))


if __name__ == "__main__":
    main()
