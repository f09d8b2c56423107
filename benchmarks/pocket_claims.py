"""Which network tells which pair apart: five networks, three seeds, and the claims they bear on.

    python benchmarks/pocket_claims.py \
        --json benchmarks/pocket_claims.json --figure reports/pocket.png

Trains what is not there yet (runs are found, or go on where they stopped), then prints each
network's pair accuracies seed by seed, and each claim with the figure it rests on. Intervals are
95 % bootstrap ones over test videos, the seeds averaged first; the last claim's is paired.
"""

import argparse
import datetime
import json
import platform
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from s1m_lab.analysis import intervals
from s1m_lab.common import system
from s1m_lab.data import datasets, loader
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.figures import style
from s1m_lab.training import metrics, predict, runs
from s1m_lab.training.config import TrainConfig
from s1m_lab.training.train import train

NETWORKS = ("single", "slow", "single-fovea", "single-context", "single-multires")


def measure(run: runs.Run, pairs: dict) -> dict:
    """The scores of a run, and for each kind of pair which of its test videos were told apart."""
    saved, number = predict.load_predictions(run), run.labels.index
    scores = saved.video_probabilities
    told = {
        kind: [metrics.pair_hits(scores, saved.labels, number(a), number(b)) for a, b in group]
        for kind, group in pairs.items()
    }
    return {
        "told": told,
        "right": metrics.hits(scores, saved.labels, 1),
        **{key: run.results[key] for key in ("clip_hit1", "video_hit1", "video_hit5", "seconds")},
        **{key: run.results[key] for key in ("train_clips_per_second", "data_wait", "commit")},
    }


def accuracy(found: list[dict], kind: str) -> dict:
    """The pair accuracy of a network on a kind of pair: mean over seeds, each seed, interval."""
    seeds = [np.concatenate(one["told"][kind]) for one in found]
    interval = intervals.bootstrap(np.mean(seeds, axis=0))
    each = [round(float(s.mean()), 4) for s in seeds]
    return {"mean": float(np.mean(seeds)), "seeds": each, "interval": interval}


def claims(found: dict[str, list[dict]]) -> list[dict]:
    """Each claim, its bound and what was found; `holds` compares the mean of the seeds."""
    rows = []

    def bound(network, kind, least=None, most=None):
        value = accuracy(found[network], kind)
        holds = value["mean"] >= least if least is not None else value["mean"] <= most
        sign = f"≥ {least:.2f}" if least is not None else f"≤ {most:.2f}"
        rows.append({"claim": f"{network}: {kind} pairs {sign}", **value, "holds": bool(holds)})

    bound("single", "motion", most=0.60)
    bound("slow", "motion", least=0.90)
    bound("single-fovea", "surround", most=0.60)
    bound("single-context", "detail", most=0.60)
    bound("single-multires", "surround", least=0.80)
    bound("single-multires", "detail", least=0.80)
    for network, seeds in found.items():
        gains = [one["video_hit1"] - one["clip_hit1"] for one in seeds]
        row = {"claim": f"{network}: video Hit@1 above clip Hit@1", "mean": float(np.mean(gains))}
        rows.append({**row, "seeds": [round(g, 4) for g in gains], "holds": min(gains) > 0})
    gains = [
        slow["right"].astype(float) - single["right"]
        for slow, single in zip(found["slow"], found["single"], strict=True)
    ]
    interval = intervals.bootstrap(np.mean(gains, axis=0))
    row = {"claim": "slow minus single, video Hit@1, above 0", "mean": float(np.mean(gains))}
    row |= {"seeds": [round(float(g.mean()), 4) for g in gains], "interval": interval}
    return [*rows, {**row, "holds": interval[0] > 0}]


def surest_clip(run: runs.Run, folder: Path, label: int, frames: range) -> np.ndarray:
    """Of the test clips of one class, the one that the run is surest of: uint8 T×H×W×3."""
    saved, shards = predict.load_predictions(run), Shards(folder / "clips", "test")
    own = np.array([labels == [label] for labels in saved.clip_labels])
    best = int(np.argmax(np.where(own, saved.clip_probabilities[:, label], -1)))
    data = loader.Clips(shards, frames, len(run.labels), threads=1)
    return data.take([best]).frames[0].numpy()


def draw(table: dict, pairs: dict, run: runs.Run, folder: Path, path: str) -> None:
    """One pair of each kind as film strips, and beside it which network tells such pairs apart."""
    style.use_style()
    kinds, edge = ("motion", "detail", "surround"), ((0, 0), (0, 0), (0, 4), (0, 0))
    fig, axes = plt.subplots(6, 2, figsize=(11, 8), gridspec_kw={"width_ratios": (5, 4)})
    for k, kind in enumerate(kinds):
        for row, name in enumerate(pairs[kind][0]):
            clip = surest_clip(run, folder, run.labels.index(name), range(0, 10, 2))
            ax = axes[2 * k + row, 0]
            ax.imshow(np.concatenate(list(np.pad(clip, edge, constant_values=255)), axis=1))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center")
        axes[2 * k, 0].set_title(f"a {kind} pair")
    grid = axes[0, 1].get_gridspec()
    for ax in axes[:, 1]:
        ax.remove()
    for k, kind in enumerate(kinds):
        ax = fig.add_subplot(grid[2 * k : 2 * k + 2, 1])
        values = [table[network][kind] for network in NETWORKS]
        means = np.array([value["mean"] for value in values])
        rows = np.arange(len(NETWORKS))
        ax.barh(rows, means - 0.5, left=0.5, height=0.62, color=[style.colour(n) for n in NETWORKS])
        for row, value in zip(rows, values, strict=True):
            ax.plot(value["seeds"], [row] * len(value["seeds"]), "o", color=style.INK, markersize=3)
            place = {"annotation_clip": False, "va": "center", "fontsize": 9}
            ax.annotate(f"{value['mean']:.2f}", (1.04, row), **place)
        ax.axvline(0.5, color=style.INK, linewidth=1)
        ax.set(yticks=rows, yticklabels=NETWORKS, xlim=(0.4, 1.02), ylim=(4.6, -0.6))
        ax.set_title(f"{kind} pairs told apart; 0.5 is luck")
        ax.grid(axis="x")
    fig.savefig(path, dpi=100)
    with Image.open(path) as image:  # 256 colours: a third of the bytes
        image.convert("RGB").quantize(256).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", help="write the figures here too")
    parser.add_argument("--figure", help="draw the accuracies here")
    args = parser.parse_args()
    folder = prepare.prepare("pocket")
    pairs, found = datasets.pairs(folder), {network: [] for network in NETWORKS}
    for seed in range(args.seeds):
        for network in NETWORKS:
            run = train(TrainConfig(model=network, seed=seed))
            found[network].append(measure(run, pairs))
    table = {n: {kind: accuracy(seeds, kind) for kind in pairs} for n, seeds in found.items()}
    for network, seeds in found.items():
        score = ", ".join(f"{one['video_hit1']:.3f}" for one in seeds)
        print(f"{network}: video Hit@1 {score}; training {max(s['seconds'] for s in seeds):.0f} s")
        for kind, value in table[network].items():
            print(f"    {kind:9} {value['mean']:.3f}  {value['seeds']}")
    rows = claims(found)
    for row in rows:
        low, high = row.get("interval", (float("nan"),) * 2)
        holds = "holds" if row["holds"] else "FAILS"
        print(f"{holds}  {row['claim']}: {row['mean']:.3f} [{low:.3f}, {high:.3f}] {row['seeds']}")
    if args.json:
        import torch

        cuda = torch.cuda.is_available()
        device = torch.cuda.get_device_name() if cuda else platform.machine()
        kept = ("clip_hit1", "video_hit1", "video_hit5", "seconds", "train_clips_per_second")
        out = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{device}, {system.cores()} cores, {platform.system()}",
            "commit": sorted({one["commit"] for seeds in found.values() for one in seeds}),
            "scores": {n: [{k: s[k] for k in kept} for s in seeds] for n, seeds in found.items()},
            "pairs": table,
            "claims": rows,
        }
        Path(args.json).write_text(json.dumps(out, indent=1) + "\n", "utf-8")
    if args.figure:
        run = train(TrainConfig(model="slow", seed=0))
        draw(table, pairs, run, folder, args.figure)


if __name__ == "__main__":
    main()
