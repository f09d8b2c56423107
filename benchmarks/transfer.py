"""What pocket has taught, put to use where videos are few: pocket101 by four ways, three seeds.

    python benchmarks/transfer.py --json benchmarks/transfer.json --figure reports/transfer.png
    python benchmarks/transfer.py --seeds 5 --few 1 --json benchmarks/transfer_one_video.json

Slow fusion is trained on `pocket` once for each seed (a run that is there is found), then tuned on
fold 1 of `pocket101` with 1, 2, 5, 10 and all training videos a class, which the seed draws; all
validation videos stay, on which every way chooses its epoch, and `top` and `top3` their rate and
dropout too. Hit@1 of videos, the seeds averaged; intervals of 95 % draw whole groups, the same for
every way; the verdict also asks that seeds agree: of few videos each, since it drew them for every
way, of all of them every pair (`s1m_lab.analysis.comparisons`). A pair is separated where a
video's own class outscores its twin. `seconds` are those of training, without what it takes to
make features.
"""

import argparse
import datetime
import json
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s1m_lab.analysis import transfer
from s1m_lab.common import system
from s1m_lab.data import ucf101
from s1m_lab.figures.transfer import draw_curve
from s1m_lab.pocket import activities
from s1m_lab.training import metrics, predict
from s1m_lab.training.config import TrainConfig
from s1m_lab.training.finetune import WAYS, Tuning, tune_all
from s1m_lab.training.runs import Run
from s1m_lab.training.train import train


def told_apart(run) -> float:
    """The share of the twins' test videos whose own class outscores the other."""
    saved, number = predict.load_predictions(run), run.labels.index
    hits = [
        metrics.pair_hits(saved.video_probabilities, saved.labels, number(a), number(b))
        for a, b in activities.PAIRS["motion"]
    ]
    return float(np.concatenate(hits).mean())


def measure(several: Sequence[Run], few: int) -> dict:
    """Every way and seed, tuned with `few` training videos a class (0: all): a row a way."""
    table = transfer.standings(transfer.hit1_by_seed(several), same=bool(few))
    rows = {}
    for way, row in table.iterrows():
        own = [run for run in several if run.results["tune"] == way]
        rows[way] = {
            "seeds": [round(run.results["video_hit1"], 4) for run in own],
            "pairs": [round(told_apart(run), 4) for run in own],
            **{k: [run.results[k] for run in own] for k in ("seconds", "commit")},
            **{k: round(float(row[k]), 4) for k in ("ours", "low", "high")},
        }
        if way != transfer.SCRATCH:
            rows[way] |= {k: round(float(row[k]), 4) for k in (*transfer.GAIN, "least", "most")}
            rows[way]["verdict"] = row["verdict"]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--few", type=int, nargs="*", default=[1, 2, 5, 10, 0], help="0: all")
    parser.add_argument("--json", help="write the figures here too")
    parser.add_argument("--figure", help="draw the curve here")
    args = parser.parse_args()
    import torch

    runs = {seed: train(TrainConfig(seed=seed)) for seed in range(args.seeds)}
    folder = ucf101.dataset("pocket101", 1)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    out = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{device}, {system.cores()} cores",
        "torch": torch.__version__,
        "starts": [{k: r.results[k] for k in ("video_hit1", "commit")} for r in runs.values()],
        "videos": {},
    }
    every = []
    for few in args.few:
        asked = [Tuning(way, folder, runs[s].name, s, few=few) for s in runs for way in WAYS]
        several = tune_all(asked)
        every += several
        rows = measure(several, few)
        out["videos"][few or "all"] = rows
        if args.json:
            Path(args.json).write_text(json.dumps(out, indent=1) + "\n", "utf-8")
        print(f"{few or 'all'} training videos a class")
        for way, row in rows.items():
            print(f"    {way:8} {row['ours']:.3f} {row['seeds']} pairs {row['pairs']}", end=" ")
            gain = "{gain:+.3f} [{gain_low:+.3f}, {gain_high:+.3f}]"
            gain += ", by seed {least:+.3f} to {most:+.3f}: {verdict}"
            print("" if way == transfer.SCRATCH else gain.format(**row))
    if args.figure:
        curve = transfer.curve(every)
        draw_curve(curve, 1 / len(every[0].labels)).savefig(args.figure, dpi=150)


if __name__ == "__main__":
    main()
