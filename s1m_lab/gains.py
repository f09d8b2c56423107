"""What pre-training adds: the ways of tuning compared, class by class, and with few videos.

    told = gains.hits(several)               # every test video of every fold, a column a way
    table = gains.standings(told)            # Hit@1 of each way, and above scratch
    classes = gains.classes(several, "top3") # average precision, class by class

`several` are runs of `transfer.tune`. A test video is right or not; of several seeds its mean
counts, of several folds the mean of their Hit@1. Intervals of 95 % draw whole groups again and
again, within each fold, the same for all ways: clips of one recording are alike, and a difference
is that of the same videos.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s1m_lab import catalog, metrics, paper, paths, predict, strangers
from s1m_lab.rows import DRAWS, ends
from s1m_lab.runs import Run

SCRATCH = "scratch"
GAIN = ["gain", "gain_low", "gain_high"]


def way(run: Run) -> str:
    """What a run is called in a table: how it was tuned, of a stranger also what it is."""
    about = run.results
    return strangers.told(about["model"]) if about["model"] in strangers.NAMES else about["tune"]


def hits(several: Sequence[Run]) -> pd.DataFrame:
    """Whether each test video is right at 1: rows fold, group, id, a column a way, in the order of
    the runs (nan where a way was not tuned on a fold)."""
    parts, groups = [], {}
    for run in several:
        saved, data = predict.load(run), run.results["data"]
        if data not in groups:
            videos = catalog.load(paths.dataset(data)).set_index("id")["group"]
            groups[data] = videos.astype(object).where(videos.notna(), videos.index)
        right = metrics.hits(saved.video_probabilities, saved.labels, 1).astype(float)
        part = {"fold": run.results["fold"], "group": groups[data][saved.ids].to_numpy()}
        parts.append(pd.DataFrame({**part, "id": saved.ids, "way": way(run), "right": right}))
    every = pd.concat(parts)
    table = every.pivot_table("right", ["fold", "group", "id"], "way", "mean")
    return table[every["way"].unique()]


def standings(told: pd.DataFrame, seed: int = 0, draws: int = DRAWS) -> pd.DataFrame:
    """Video Hit@1 of each way, the mean of its folds: a row a column of `hits`.

    Columns: `paper` (Table 3), `ours`, `low`, `high` (fractions), `folds` (a list, of each fold),
    and what it adds to `scratch` on the folds of both, `gain`, `gain_low`, `gain_high`.
    """
    folds = {name: own.groupby("group").agg(["sum", "count"]) for name, own in told.groupby("fold")}
    rng, means, exact = np.random.default_rng(seed), {}, told.groupby("fold").mean()
    for name, own in folds.items():
        times = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), draws)
        for column in told:
            right, all_there = own[column].to_numpy().T
            with np.errstate(invalid="ignore"):  # of a way that has no such fold
                means[name, column] = times @ right / (times @ all_there)
    rows = {}
    for column in told:
        there = [name for name in folds if exact[column].notna()[name]]
        drawn = np.mean([means[name, column] for name in there], axis=0)
        row = {"paper": paper.TABLE_3.get(column, np.nan) / 100, "ours": exact[column].mean()}
        row |= {"folds": exact[column].dropna().tolist()}
        row |= dict(zip(("low", "high"), ends(drawn), strict=True))
        if SCRATCH in told and column != SCRATCH:
            both = [name for name in there if exact[SCRATCH].notna()[name]]
            more = [means[name, column] - means[name, SCRATCH] for name in both]
            if both:
                row["gain"] = (exact[column] - exact[SCRATCH])[both].mean()
                low_high = ends(np.mean(more, axis=0))
                row |= dict(zip(("gain_low", "gain_high"), low_high, strict=True))
        rows[column] = row
    columns = ["paper", "ours", "low", "high", "folds", "gain", "gain_low", "gain_high"]
    return pd.DataFrame.from_dict(rows, "index").reindex(columns=columns)


def curve(several: Sequence[Run], seed: int = 0) -> pd.DataFrame:
    """`standings` by the number of training videos a class: rows (videos, way).

    Runs with all of them (no `few` in their results) stand at the mean number of a class's training
    videos in their dataset.
    """
    parts = {}
    for few in sorted({run.results.get("few", 0) for run in several}):
        own = [run for run in several if run.results.get("few", 0) == few]
        videos = few or _videos_a_class(own[0])
        parts[videos] = standings(hits(own), seed)
    return pd.concat(parts, names=["videos", "way"])


def _videos_a_class(run: Run) -> float:
    videos = catalog.load(paths.dataset(run.results["data"]))
    return (videos["split"] == "train").sum() / len(run.labels)


def classes(several: Sequence[Run], name: str, seed: int = 0, draws: int = 300) -> pd.DataFrame:
    """Average precision of every class: a row a class, those that gain most first.

    Columns `class`, `videos` (of the test sets), `scratch`, the way of that `name`, `gain`,
    `gain_low`, `gain_high`: means over folds and seeds that both ways have; intervals over test
    videos, as those of `results.table2`. No rows where there are no such runs.
    """
    keys = [(run.results["fold"], run.results["seed"], way(run)) for run in several]
    found = dict(zip(keys, several, strict=True))
    pairs = [(own, found[f, s, SCRATCH]) for (f, s, w), own in found.items()
             if w == name and (f, s, SCRATCH) in found]  # fmt: skip
    if not pairs:
        return pd.DataFrame(columns=["class", "videos", SCRATCH, name, *GAIN])
    exact, drawn, counts, labels = [], [], {}, pairs[0][0].labels
    for own, other in pairs:
        saved = [predict.load(run) for run in (other, own)]
        scores = [p.video_probabilities for p in saved]
        true = metrics.truth(saved[0].labels, len(labels))
        counts[own.results["fold"]] = true.sum(axis=0)
        each = [(x[:, k], true[:, k]) for x in scores for k in range(len(labels))]
        exact.append(np.reshape([metrics.average_precision(*one) for one in each], (2, -1)))
        drawn.append(metrics.resampled_precision(scores, saved[0].labels, seed, draws))
    scratch, tuned = _mean(exact)
    more = _mean([there - here for here, there in drawn])  # draws×K
    table = {"class": labels, "videos": sum(counts.values()), SCRATCH: scratch, name: tuned}
    intervals = np.array([ends(draws) for draws in more.T]).T
    table |= dict(zip(GAIN, (tuned - scratch, *intervals), strict=True))
    return pd.DataFrame(table).sort_values("gain", ascending=False, ignore_index=True)


def _mean(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of arrays where they are known; nan where none is."""
    known = np.isfinite(arrays)
    with np.errstate(invalid="ignore"):
        return np.where(known, arrays, 0).sum(axis=0) / known.sum(axis=0)
