"""What pre-training adds: the ways of tuning compared, class by class, and with few videos.

    scores = gains.by_seed(several)          # Hit@1 of each way, seed and fold, and of every draw
    table = gains.standings(scores)          # of each way, and above scratch
    classes = gains.classes(several, "top3") # average precision, class by class

`several` are runs of `transfer.tune`. A test video is right or not; of several seeds its mean
counts, of several folds the mean of their Hit@1. Intervals of 95 % draw whole groups again and
again, the same for all ways and in every fold that tests them: clips of one recording are alike,
and a difference is that of the same videos. What is said to be more is so by the rule of
`comparisons`: beyond the interval, and for every pair of seeds. Of few training videos the seed
draws which, the same for every way, so that there a seed is compared with itself.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s1m_lab import paper
from s1m_lab.analysis.comparisons import AGREES, Part, Side, compare
from s1m_lab.analysis.intervals import DRAWS, ends, mean_known, resampled_precision, shares
from s1m_lab.common import paths
from s1m_lab.data import catalog
from s1m_lab.training import metrics, predict, torchvision_models
from s1m_lab.training.runs import Run

SCRATCH = "scratch"
GAIN = ["gain", "gain_low", "gain_high"]
SURE = ["least", "most", "verdict", "best", "ties"]


def way(run: Run) -> str:
    """What a run is called in a table: how it was tuned, of a stranger also what it is."""
    about = run.results
    return (
        torchvision_models.display_name(about["model"])
        if about["model"] in torchvision_models.NAMES
        else about["tune"]
    )


def hits(several: Sequence[Run]) -> pd.DataFrame:
    """Whether each test video is right at 1: rows fold, group, id, a column a way, in the order of
    the runs (nan where a way was not tuned on a fold)."""
    parts = []
    for run in several:
        saved = predict.load_predictions(run)
        right = metrics.hits(saved.video_probabilities, saved.labels, 1).astype(float)
        part = {"fold": run.results["fold"], "group": _groups(run, saved.ids), "id": saved.ids}
        parts.append(pd.DataFrame({**part, "way": way(run), "right": right}))
    every = pd.concat(parts)
    table = every.pivot_table("right", ["fold", "group", "id"], "way", "mean")
    return table[every["way"].unique()]


def _groups(run: Run, ids: Sequence[str]) -> np.ndarray:
    """The group of each of these videos of a run's dataset; one that has none is its own."""
    videos = catalog.load_catalog(paths.dataset(run.results["data"])).set_index("id")["group"]
    return videos.astype(object).where(videos.notna(), videos.index)[ids].to_numpy()


def _counted(told: pd.DataFrame) -> np.ndarray:
    """Of each way, group and fold the videos that are right, and all it has: W×G×F×2."""
    sums = told.groupby(["group", "fold"]).agg(["sum", "count"]).unstack("fold", fill_value=0)
    table = sums.to_numpy(float).reshape(len(sums), told.shape[1], 2, -1)  # G×W×2×F
    return table.transpose(1, 0, 3, 2)


def by_seed(several: Sequence[Run], seed: int = 0, draws: int = DRAWS) -> dict[str, np.ndarray]:
    """Video Hit@1 by way, of each of its seeds and each fold, as it is and then in every draw:
    S×F×(1+draws), the seeds the same for every way; nan where one was not tuned on a fold."""
    told = hits(several)
    each = {s: [run for run in several if run.results["seed"] == s] for s in _seeds(several)}
    tables = [hits(own).reindex(index=told.index, columns=told.columns) for own in each.values()]
    counted = np.array([_counted(table) for table in tables])  # S×W×G×F×2
    ways = zip(told, np.moveaxis(counted, 1, 0), strict=True)
    return {name: shares(own, seed, draws) for name, own in ways}


def _seeds(several: Sequence[Run]) -> list[int]:
    return sorted({run.results["seed"] for run in several})


def standings(scores: dict[str, np.ndarray], same: bool = False) -> pd.DataFrame:
    """Video Hit@1 of each way, the mean of its folds: a row a way of `by_seed`.

    `same`: a seed drew the training videos, so that it is compared with itself alone, where both
    sides have it.

    Columns: `paper` (Table 3), `ours`, `low`, `high` (fractions), `folds` (a list, of each fold);
    on the folds of both what it adds to `scratch`, `gain`, `gain_low`, `gain_high`, and by seed at
    `least` and at `most`, with the `verdict` whether that is more. Of the tuned ways one is `best`,
    on the folds that all of them have, if there are such; a way `ties` where that is not surely
    more.
    """
    best, rows = _best(scores), {}
    for name, own in scores.items():
        mean = mean_known(own)  # F×(1+draws)
        ours, folds = mean_known(mean), mean[:, 0]
        row = {"paper": paper.TABLE_3.get(name, np.nan) / 100, "ours": ours[0]}
        row |= {"folds": folds[np.isfinite(folds)].tolist()}
        row |= dict(zip(("low", "high"), ends(ours[1:]), strict=True))
        if SCRATCH in scores and name != SCRATCH:
            gain = _over(scores, name, SCRATCH, same)
            row |= dict(zip(GAIN, (gain.value, gain.low, gain.high), strict=True))
            row |= {"least": gain.least, "most": gain.most, "verdict": gain.verdict}
        ties = _over(scores, best, name, same).verdict != AGREES
        rows[name] = row | {"best": name == best, "ties": ties}
    columns = ["paper", "ours", "low", "high", "folds", *GAIN, *SURE]
    return pd.DataFrame.from_dict(rows, "index").reindex(columns=columns)


def _over(scores: dict[str, np.ndarray], one: str, other: str, same: bool) -> Part:
    sides = [Side(name, scores[name]) for name in (one, other)]
    return compare(f"{one} − {other}", *sides, same=same)


def _best(scores: dict[str, np.ndarray]) -> str:
    """The tuned way of the highest Hit@1."""
    means = {name: mean_known(own[..., 0]) for name, own in scores.items() if name != SCRATCH}
    if not means:
        return SCRATCH
    of_all = np.isfinite(list(means.values())).all(axis=0)
    return max(means, key=lambda name: mean_known(means[name][of_all if of_all.any() else ...]))


def curve(several: Sequence[Run], seed: int = 0) -> pd.DataFrame:
    """`standings` by the number of training videos a class: rows (videos, way).

    Runs with all of them (no `few` in their results) stand at the mean number of a class's training
    videos in their dataset.
    """
    parts, counts = [], []
    for few in sorted({run.results.get("few", 0) for run in several}):
        own = [run for run in several if run.results.get("few", 0) == few]
        counts.append(few or _videos_a_class(own[0]))
        parts.append(standings(by_seed(own, seed), same=bool(few)))
    return pd.concat(parts, keys=counts, names=["videos", "way"])


def _videos_a_class(run: Run) -> float:
    videos = catalog.load_catalog(paths.dataset(run.results["data"]))
    return (videos["split"] == "train").sum() / len(run.labels)


def classes(several: Sequence[Run], name: str, seed: int = 0, draws: int = 300) -> pd.DataFrame:
    """Average precision of every class: a row a class, those that gain most first.

    Columns `class`, `videos` (of the test sets), `scratch`, the way of that `name`, `gain`,
    `gain_low`, `gain_high`: means over folds and seeds that both ways have; intervals draw
    whole groups of test videos. No rows where there are no such runs.
    """
    keys = [(run.results["fold"], run.results["seed"], way(run)) for run in several]
    found = dict(zip(keys, several, strict=True))
    pairs = [(own, found[f, s, SCRATCH]) for (f, s, w), own in found.items()
             if w == name and (f, s, SCRATCH) in found]  # fmt: skip
    if not pairs:
        return pd.DataFrame(columns=["class", "videos", SCRATCH, name, *GAIN])
    exact, drawn, counts, labels = [], [], {}, pairs[0][0].labels
    for own, other in pairs:
        saved = [predict.load_predictions(run) for run in (other, own)]
        scores = [p.video_probabilities for p in saved]
        true = metrics.truth(saved[0].labels, len(labels))
        counts[own.results["fold"]] = true.sum(axis=0)
        each = [(x[:, k], true[:, k]) for x in scores for k in range(len(labels))]
        exact.append(np.reshape([metrics.average_precision(*one) for one in each], (2, -1)))
        names, units = np.unique(_groups(own, saved[0].ids), return_inverse=True)
        units = units, len(names)
        drawn.append(resampled_precision(scores, saved[0].labels, seed, draws, units))
    scratch, tuned = mean_known(exact)
    more = mean_known([there - here for here, there in drawn])  # draws×K
    table = {"class": labels, "videos": sum(counts.values()), SCRATCH: scratch, name: tuned}
    intervals = np.array([ends(draws) for draws in more.T]).T
    table |= dict(zip(GAIN, (tuned - scratch, *intervals), strict=True))
    return pd.DataFrame(table).sort_values("gain", ascending=False, ignore_index=True)


def precisions(
    several: Sequence[Run], parts: Sequence[Sequence[str]], seed: int = 0, draws: int = 1000
) -> dict[str, np.ndarray]:
    """The mean average precision of P parts of the classes, by way: P×S×F×(1+draws), of each seed
    and fold, as it is and then in every draw of groups, which are moved back by what a video that
    is drawn twice lifts them; nan where a seed was not tuned on a fold."""
    folds = sorted({run.results["fold"] for run in several})
    groups = sorted(
        {group for run in several for group in _groups(run, predict.load_predictions(run).ids)}
    )
    own = {name: [r for r in several if way(r) == name] for name in map(way, several)}
    seeds = {name: _seeds(runs) for name, runs in own.items()}
    shape = {name: (len(parts), len(seeds[name]), len(folds), 1 + draws) for name in own}
    out = {name: np.full(shape[name], np.nan) for name in own}
    for run in several:
        saved, labels = predict.load_predictions(run), run.labels
        scores, true = saved.video_probabilities, metrics.truth(saved.labels, len(labels))
        each = zip(scores.T, true.T, strict=True)
        exact = np.array([metrics.average_precision(*one) for one in each])
        units = np.searchsorted(groups, _groups(run, saved.ids)), len(groups)
        (some,) = resampled_precision([scores], saved.labels, seed, draws, units)
        place = seeds[way(run)].index(run.results["seed"]), folds.index(run.results["fold"])
        for n, names in enumerate(parts):
            some_of = [k for k, name in enumerate(labels) if name in names]
            means = mean_known(np.vstack([exact, some])[:, some_of], 1)
            means[1:] += means[0] - mean_known(means[1:])
            out[way(run)][n][place] = means
    return out
