"""What pre-training adds: the ways of tuning compared, class by class, and with few videos.

    scores = transfer.hit1_by_seed(runs)          # Hit@1 of each way, seed, fold and resample
    table = transfer.standings(scores)            # each way, and what it adds to scratch
    classes = transfer.class_precision(runs, "top3")

`runs` are those of `finetune.tune`. Hit@1 is the mean over folds of the mean over seeds. Intervals
of 95 % draw whole groups of test videos, the same for all ways and folds, since clips of one
recording are alike. A way is called better by the rule of `comparisons`: beyond the interval, and
for every pair of seeds. With few training videos the seed draws which, the same for every way, so
there each seed is compared with itself.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from s1m_lab import paper
from s1m_lab.analysis import intervals
from s1m_lab.analysis.comparisons import AGREES, Comparison, Side, compare
from s1m_lab.analysis.intervals import PRECISION_DRAWS, interval, mean_known
from s1m_lab.common import paths
from s1m_lab.data import catalog
from s1m_lab.training import metrics, predict, torchvision_models
from s1m_lab.training.runs import Run

SCRATCH = "scratch"
GAIN = ["gain", "gain_low", "gain_high"]
SURE = ["least", "most", "verdict", "best", "ties"]


def way(run: Run) -> str:
    """The name of a run's way in a table: how it was tuned; for torchvision's, the network."""
    if (start := run.results.get("start")) in torchvision_models.NAMES:
        return torchvision_models.display_name(start)
    return run.results["tune"]


def _axes(runs: Sequence[Run]) -> tuple[list[str], list[int], list[int], list[str]]:
    """The ways, in the order of the runs; their seeds and folds; the groups of all test videos."""
    seeds, folds = (sorted({run.results[key] for run in runs}) for key in ("seed", "fold"))
    groups = {g for run in runs for g in _groups(run, predict.load_predictions(run).ids)}
    return list(dict.fromkeys(map(way, runs))), seeds, folds, sorted(groups)


def _groups(run: Run, ids: Sequence[str]) -> np.ndarray:
    """The group of each of these videos of a run's dataset; a video without one is its own."""
    videos = catalog.load_catalog(paths.dataset(run.results["data"])).set_index("id")["group"]
    return videos.astype(object).where(videos.notna(), videos.index)[ids].to_numpy()


# ----------------------------------------------------------------------------------------- Hit@1


def hit1_by_seed(runs: Sequence[Run], seed: int = 0) -> dict[str, np.ndarray]:
    """Video Hit@1 by way, for each seed and fold, measured and in every resample: S×F×(1+draws).

    The seeds are the same for every way; nan where one was not tuned on a fold.
    """
    ways, seeds, folds, groups = _axes(runs)
    counts = np.zeros((len(ways), len(seeds), len(groups), len(folds), 2))  # hits, and videos
    for run in runs:
        saved = predict.load_predictions(run)
        hits = metrics.hits(saved.video_probabilities, saved.labels, 1)
        group = np.searchsorted(groups, _groups(run, saved.ids))
        w, s = ways.index(way(run)), seeds.index(run.results["seed"])
        own = counts[w, s, :, folds.index(run.results["fold"])]
        own[:, 0] += np.bincount(group, hits, len(groups))
        own[:, 1] += np.bincount(group, minlength=len(groups))
    each = zip(ways, counts, strict=True)
    return {name: intervals.resample_ratios(own, seed) for name, own in each}


def standings(scores: dict[str, np.ndarray], same: bool = False) -> pd.DataFrame:
    """Video Hit@1 of each way of `hit1_by_seed`, the mean of its folds: a row a way.

    With `same` a seed drew the training videos: it is compared with itself alone.

    Columns: `paper` (Table 3), `ours`, `low`, `high` (fractions), `folds` (a list, one value each).
    On the folds of both, the gain over `scratch`: `gain`, `gain_low`, `gain_high`, by seed at
    `least` and at `most`, and the `verdict` whether the way is better. Of the tuned ways one is
    `best`, on the folds that all of them have, if there are any; a way `ties` where the best is not
    surely better.
    """
    best, rows = _best(scores), {}
    for name, own in scores.items():
        by_fold = mean_known(own)  # F×(1+draws)
        ours, folds = mean_known(by_fold), by_fold[:, 0]
        row = {"paper": paper.TABLE_3.get(name, np.nan) / 100, "ours": ours[0]}
        row |= {"folds": folds[np.isfinite(folds)].tolist()}
        row |= dict(zip(("low", "high"), interval(ours[1:]), strict=True))
        if SCRATCH in scores and name != SCRATCH:
            gain = _compare(scores, name, SCRATCH, same)
            row |= dict(zip(GAIN, (gain.value, gain.low, gain.high), strict=True))
            row |= {"least": gain.least, "most": gain.most, "verdict": gain.verdict}
        ties = _compare(scores, best, name, same).verdict != AGREES
        rows[name] = row | {"best": name == best, "ties": ties}
    columns = ["paper", "ours", "low", "high", "folds", *GAIN, *SURE]
    return pd.DataFrame.from_dict(rows, "index").reindex(columns=columns)


def _compare(scores: dict[str, np.ndarray], one: str, other: str, same: bool) -> Comparison:
    sides = Side(one, scores[one]), Side(other, scores[other])
    return compare(f"{one} − {other}", sides[0], sides[1], same=same)


def _best(scores: dict[str, np.ndarray]) -> str:
    """The tuned way with the highest Hit@1."""
    means = {name: mean_known(own[..., 0]) for name, own in scores.items() if name != SCRATCH}
    if not means:
        return SCRATCH
    of_all = np.isfinite(list(means.values())).all(axis=0)
    folds = of_all if of_all.any() else np.ones_like(of_all)
    return max(means, key=lambda name: mean_known(means[name][folds]))


def curve(runs: Sequence[Run], seed: int = 0) -> pd.DataFrame:
    """`standings` by the number of training videos a class: rows (videos, way).

    Runs with all of them (no `few` in their results) stand at the mean number of training videos a
    class in their dataset.
    """
    parts, counts = [], []
    for few in sorted({run.results.get("few", 0) for run in runs}):
        own = [run for run in runs if run.results.get("few", 0) == few]
        counts.append(few or _videos_per_class(own[0]))
        parts.append(standings(hit1_by_seed(own, seed), same=bool(few)))
    return pd.concat(parts, keys=counts, names=["videos", "way"])


def _videos_per_class(run: Run) -> float:
    videos = catalog.load_catalog(paths.dataset(run.results["data"]))
    return (videos["split"] == "train").sum() / len(run.labels)


# ----------------------------------------------------------------------------- average precision


def class_precision(
    runs: Sequence[Run], name: str, seed: int = 0, draws: int = intervals.CLASS_DRAWS
) -> pd.DataFrame:
    """Average precision of every class, of a way and of scratch: a row a class, the largest gain
    first.

    Columns: `class`, `scratch`, the way called `name`, `gain`, `gain_low`, `gain_high`: means over
    the folds and seeds that both ways have. Intervals draw whole groups of test videos. No rows
    where there are no such runs.
    """
    found = {(run.results["fold"], run.results["seed"], way(run)): run for run in runs}
    pairs = [
        (scratch, found[fold, s, name])
        for (fold, s, each), scratch in found.items()
        if each == SCRATCH and (fold, s, name) in found
    ]
    if not pairs:
        return pd.DataFrame(columns=["class", SCRATCH, name, *GAIN])
    values = []
    for pair in pairs:
        saved = [predict.load_predictions(run) for run in pair]
        names, number = np.unique(_groups(pair[1], saved[0].ids), return_inverse=True)
        scores, labels = [p.video_probabilities for p in saved], saved[0].labels
        group = number, len(names)
        values.append(intervals.resample_precision(scores, labels, seed, draws, group))
    scratch, tuned = mean_known([both[:, 0] for both in values])
    low, high = interval(mean_known([both[1, 1:] - both[0, 1:] for both in values]))
    table = {"class": pairs[0][0].labels, SCRATCH: scratch, name: tuned}
    table |= dict(zip(GAIN, (tuned - scratch, low, high), strict=True))
    return pd.DataFrame(table).sort_values("gain", ascending=False, ignore_index=True)


def group_precision(
    runs: Sequence[Run], parts: Sequence[Sequence[str]], seed: int = 0, draws: int = PRECISION_DRAWS
) -> dict[str, np.ndarray]:
    """Mean average precision over P parts of the classes, by way: P×S×F×(1+draws), measured and in
    every resample of groups of videos; nan where a seed was not tuned on a fold.

    Resamples are moved back by their bias (`intervals.remove_bias`).
    """
    ways, seeds, folds, groups = _axes(runs)
    out = np.full((len(ways), len(parts), len(seeds), len(folds), 1 + draws), np.nan)
    for run in runs:
        saved = predict.load_predictions(run)
        group = np.searchsorted(groups, _groups(run, saved.ids)), len(groups)
        scores = [saved.video_probabilities]
        (values,) = intervals.resample_precision(scores, saved.labels, seed, draws, group)
        w, s = ways.index(way(run)), seeds.index(run.results["seed"])
        for n, part in enumerate(parts):
            mean = mean_known(values[:, [k for k, c in enumerate(run.labels) if c in part]], 1)
            mean[1:] = intervals.remove_bias(mean[1:], mean[0], mean[1:])
            out[w, n, s, folds.index(run.results["fold"])] = mean
    return dict(zip(ways, out, strict=True))


def precision_by_category(runs: Sequence[Run]) -> pd.DataFrame:
    """Table 4 on one dataset: mean average precision by category of classes, and the paper's.

    Rows are the paper's categories, "all" the mean over all classes; columns are (way, "ours" or
    "paper"). Seeds are averaged in each fold first.
    """
    names = categories(runs) | {"all": runs[0].labels if runs else []}
    found = group_precision(runs, [names.get(row, []) for row in paper.TABLE_4], draws=0)
    printed = pd.DataFrame(paper.TABLE_4).T
    ours = {  # first the seeds, then the folds
        name: mean_known(mean_known(values[..., 0], axis=1), axis=1)
        for name, values in found.items()
    }
    columns = {}
    for name in paper.TABLE_4["all"]:
        columns[name, "ours"] = ours.get(name, np.nan)
        columns[name, "paper"] = printed[name]
    return pd.DataFrame(columns, printed.index)


def categories(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The classes of each category, from the `dataset.json` of the first run's dataset."""
    folders = [paths.dataset(run.results["data"]) for run in runs[:1]]
    return paths.read_description(folders[0]).get("categories", {}) if folders else {}
