"""Everything that the tables and verdicts of `09_results` are made from, collected once.

    found = run_groups.find("pocket")
    evidence = collect(found, seed=0)
    results.table1(evidence), results.table3(evidence), claims.judge(evidence)

All numbers come from saved predictions, video by video, and each is checked against the
`results.json` of its run. Nothing is trained.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab import paper
from s1m_lab.analysis import confusion, intervals, run_groups, transfer
from s1m_lab.analysis.comparisons import Comparison, Side, compare
from s1m_lab.analysis.run_groups import SCORES, Found
from s1m_lab.training import predict
from s1m_lab.training.predict import Predictions
from s1m_lab.training.runs import Run

CLIP_HIT1, HIT1 = 0, 1  # places in `SCORES`


class Row(NamedTuple):
    """A row of Table 1 on V test videos, for each of S seeds."""

    members: list[tuple[Run, ...]]  # S; the average has several runs a seed
    counts: np.ndarray  # S×V×3×2 of `predict.count_hits`

    @property
    def seeds(self) -> list[int]:
        return [runs[0].results["seed"] for runs in self.members]


@dataclass(frozen=True)
class Evidence:
    """The runs behind the tables, their scores and all resamples of them.

    `scores` and `transfer_scores` hold the measured value first, then that of every resample.
    """

    found: Found
    rows: dict[str, Row]
    scores: dict[str, np.ndarray]  # of each row: S×3×(1+draws), in the order of `SCORES`
    gains: pd.DataFrame  # Table 2, a row a class, of `confusion.compare_precision`
    mean_gain: pd.Series  # the mean over its classes
    transfers: dict[str, list[Run]]  # tuned runs by dataset
    transfer_scores: dict[str, dict[str, np.ndarray]]  # by dataset and way: S×F×(1+draws)
    seed: int  # of the resamples


def collect(found: Found, seed: int = 0, draws: int = intervals.PRECISION_DRAWS) -> Evidence:
    """Score all found runs and the runs tuned from them, and resample their test videos.

    `draws` is the number of resamples of Table 2; with 487 classes and 200,000 videos it takes
    most of the time. ValueError as for `score_rows`.
    """
    rows, scores = score_rows(found), {}
    if rows:  # all take the same resamples of the videos, so that differences are paired
        counts = np.concatenate([row.counts for row in rows.values()])
        last = np.cumsum([len(row.members) for row in rows.values()])
        parts = np.split(intervals.resample_ratios(counts, seed), last[:-1])
        scores = dict(zip(rows, parts, strict=True))
    gains, mean_gain = precision_gains(found, seed, draws)
    transfers = run_groups.by_dataset(run_groups.find_transfers(found))
    tuned = {data: transfer.hit1_by_seed(runs, seed) for data, runs in transfers.items()}
    return Evidence(found, rows, scores, gains, mean_gain, transfers, tuned, seed)


def score_rows(found: Found) -> dict[str, Row]:
    """The rows that have runs, in the order of the table, each seed scored video by video.

    The average is of the `paper.MEMBERS`, at every seed that all of them have. Predictions are read
    in parts. ValueError where they differ from a run's `results.json`, or where two runs were
    tested on different videos.
    """
    by_row: dict[str, list[tuple[Run, ...]]] = {
        row: [(run,) for run in runs] for row, runs in found.runs.items()
    }
    by_row["average"] = [
        tuple(run for m in paper.MEMBERS for run in found.runs[m] if run.results["seed"] == seed)
        for seed in run_groups.common_seeds(found)
    ]
    rows: dict[str, Row] = {}
    first: tuple[str, Predictions] | None = None
    for name, members in by_row.items():
        counts = []
        for runs in members:
            saved = predict.average(runs)
            counts.append(predict.count_hits(saved))
            if len(runs) == 1:
                _check(runs[0], counts[-1])
            first = first or (runs[0].name, saved)
            if (saved.ids, saved.labels) != (first[1].ids, first[1].labels):
                raise ValueError(
                    f"{runs[0].name!r} and {first[0]!r} were tested on other videos and "
                    "cannot stand in one table; name the runs that belong together"
                )
        if counts:
            rows[name] = Row(members, np.array(counts))
    return rows


def _check(run: Run, counts: np.ndarray) -> None:
    right, all_of = counts.sum(axis=0).T
    counted = right / all_of
    for key, value in zip(SCORES, counted, strict=True):
        saved = run.results[key]
        if saved is not None and abs(saved - value) > 1e-9:
            raise ValueError(
                f"results.json of {run.name!r} says {key} {saved}, its predictions give {value}; "
                f"remove {run.path} and train again"
            )


def compare_hit1(evidence: Evidence, one: str, other: str, bound: float = 0.0) -> Comparison:
    """Video Hit@1 of one row minus that of another.

    The average and its members are the same runs, so each seed of the average is compared with the
    same seed of the member.
    """
    names = [one, other]
    scores = [evidence.scores[row][:, HIT1 : HIT1 + 1] for row in names]
    same = "average" in names and bool(set(names) & set(paper.MEMBERS))
    if same:
        member = 1 - names.index("average")
        seeds = evidence.rows[names[member]].seeds
        scores[member] = scores[member][[seeds.index(s) for s in evidence.rows["average"].seeds]]
        names[member] = ""  # one seed of the average is one of the member: named once
    sides = Side(names[0], scores[0]), Side(names[1], scores[1])
    return compare(f"{one} − {other}", sides[0], sides[1], bound, same)


def precision_gains(
    found: Found, seed: int = 0, draws: int = intervals.PRECISION_DRAWS
) -> tuple[pd.DataFrame, pd.Series]:
    """Average precision of slow fusion (`run`) and of a single frame (`versus`), class by class:
    `confusion.compare_precision` of all seeds of both; no rows unless there are runs of both.

    487 classes and 200,000 videos take about 7 minutes a run and 8 more, and 0.8 GB a run.
    """
    if not found.runs["slow"] or not found.runs["single"]:
        return pd.DataFrame(), pd.Series(np.nan, ["gain", "gain_low", "gain_high"])
    run, versus = ([_video_scores(r) for r in found.runs[model]] for model in ("slow", "single"))
    first = found.runs["slow"][0]
    labels = predict.load_predictions(first).labels
    return confusion.compare_precision(run, versus, labels, first.labels, seed, draws)


def _video_scores(run: Run) -> np.ndarray:
    """The probabilities of all videos, float32 V×K, computed in parts: 390 MB for 200,000 videos
    and 487 classes."""
    parts = predict.load_predictions(run).parts()
    return np.concatenate([part.video_probabilities.astype(np.float32) for part in parts])
