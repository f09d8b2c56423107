"""What is confused with what, class by class, and where motion helps.

Two runs are compared on the same test videos, from their saved predictions, at any number of
classes: confusion matrices, in an order that puts confused classes side by side; the most confused
pairs; the average precision of every class, and what one run gains on the other.

    both = confusion.load(run, versus)
    level, counts = confusion.matrices(both)            # K×K, rows true, columns predicted
    labels = confusion.order_classes(*counts)
    table, mean = confusion.precisions(both, run.labels)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from s1m_lab.analysis import intervals
from s1m_lab.common import paths
from s1m_lab.data.shards import Shards
from s1m_lab.paper import TABLE_2
from s1m_lab.training import metrics, predict, runs
from s1m_lab.training.predict import Predictions

PAPER_PAIRS = (  # the most confused pairs that the paper names, as in labels.txt
    ("deer hunting", "hunting"),
    ("hiking", "backpacking (wilderness)"),
    ("powered paragliding", "paragliding"),
    ("sledding", "toboggan"),
    ("bujinkan", "ninjutsu"),
)


def load(run: runs.Run, versus: runs.Run) -> tuple[Predictions, Predictions]:
    """The test predictions of two runs; ValueError unless they are of the same clips."""
    first, second = predict.load_predictions(run), predict.load_predictions(versus)
    same = run.labels == versus.labels and _fingerprint(run) == _fingerprint(versus)
    same &= first.ids == second.ids and first.labels == second.labels
    if same:
        first, second = predict.aligned((first, second))
        same = np.array_equal(first.clip_video, second.clip_video)
        same &= np.array_equal(first.clip_number, second.clip_number)
    if not same:
        one, other = (
            f"{r.name!r} on {len(p.ids):,} videos of {r.config['settings']['data']!r} "
            f"(clips {_fingerprint(r)[:8]}, {len(p.clip_number):,} of them)"
            for r, p in ((run, first), (versus, second))
        )
        raise ValueError(f"only runs on the same clips of the same videos compare; {one}, {other}")
    return first, second


def _fingerprint(run: runs.Run) -> str:
    """The fingerprint of the clips that a run was trained and tested on."""
    return run.config["settings"]["clips"]


def load_test_clips(run: runs.Run) -> Shards | None:
    """The test clips of a run, in the order of its predictions. None, with a printed reason, where
    they are not on this machine or were made again since."""
    folder = paths.dataset(run.config["settings"]["data"])
    if not (folder / "clips" / "index.parquet").is_file():
        print(f"No frames: the clips of {folder.name} are not on this machine.")
        return None
    shards = Shards(folder / "clips", "test")
    if shards.fingerprint != _fingerprint(run):
        print(f"No frames: the clips of {folder.name} were made again since {run.name} was tested.")
        return None
    return shards


def name_runs(run: runs.Run, versus: runs.Run) -> tuple[str, str]:
    """Short names of two runs: their networks, or the runs' own names where these are the same."""
    models = tuple(r.config["settings"]["model"] for r in (run, versus))
    return models if models[0] != models[1] else (run.name, versus.name)


def matrices(both: Sequence[Predictions]) -> tuple[str, list[np.ndarray]]:
    """("videos" or "clips", the K×K counts of `metrics.confusion` for each run).

    Videos are counted; clips where all runs together misclassify fewer videos than there are
    classes.
    """
    made = [metrics.confusion(p.video_probabilities, p.labels) for p in both]
    if sum(m.sum() - m.trace() for m in made) >= len(made[0]):
        return "videos", made
    return "clips", [metrics.confusion(p.clip_probabilities, p.clip_labels) for p in both]


def shares(matrix: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; rows of classes without videos stay 0."""
    return matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))


def order_classes(*counts: np.ndarray) -> np.ndarray:
    """The labels in an order that puts confused classes side by side.

    Hierarchical clustering with average linkage and optimal leaf order. The distance of two classes
    is 1 − √(mean share of either classified as the other, over all matrices); the root gives rare
    confusions more weight.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    mean = np.mean([shares(matrix) for matrix in counts], axis=0)
    if len(mean) < 3:
        return np.arange(len(mean))
    distance = 1 - np.sqrt((mean + mean.T) / 2)
    np.fill_diagonal(distance, 0)
    flat = squareform(distance, checks=False)
    return hierarchy.leaves_list(hierarchy.linkage(flat, "average", optimal_ordering=True))


def blocks(
    matrix: np.ndarray, labels: np.ndarray, size: int = 20, most: int = 6
) -> list[np.ndarray]:
    """Up to `most` blocks of `size` labels along the diagonal with the most mistakes, the worst
    first; `labels` is the order. No class is in two blocks."""
    wrong = shares(matrix)[np.ix_(labels, labels)]
    np.fill_diagonal(wrong, 0)
    size = min(size, len(labels))
    starts = range(len(labels) - size + 1)
    inside = np.array([wrong[k : k + size, k : k + size].sum() for k in starts])
    found: list[np.ndarray] = []
    while len(found) < most and inside.max() > 1e-9:
        first = int(inside.argmax())
        found.append(labels[first : first + size])
        inside[max(0, first - size + 1) : first + size] = 0
    return found


def pairs(counts: Sequence[np.ndarray], classes: Sequence[str]) -> pd.DataFrame:
    """The pairs of confused classes, the most confused over both runs first.

    Columns: `label_a`, `label_b` (a is more often classified as b than b as a), `class_a`,
    `class_b`, `counted` (videos or clips of the two classes), `run` and `versus`: the share of
    these that is classified as the other class of the pair.
    """
    truth = counts[0].sum(axis=1)
    a, b = np.nonzero(np.triu(sum(m + m.T for m in counts), 1))
    counted = truth[a] + truth[b]
    taken, back = (np.array([m[i, j] for m in counts]) for i, j in ((a, b), (b, a)))
    swap = back.sum(axis=0) / np.maximum(1, truth[b]) > taken.sum(axis=0) / np.maximum(1, truth[a])
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    run, versus = (taken + back) / np.maximum(1, counted)
    names = np.array(classes, object)
    columns = {"label_a": a, "label_b": b, "class_a": names[a], "class_b": names[b]}
    table = pd.DataFrame(columns | {"counted": counted, "run": run, "versus": versus})
    return table.iloc[np.lexsort((a, -counted, -run - versus))].reset_index(drop=True)


def paper_pairs(found: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The paper's most confused pairs: their `rank` among `found` and their shares here; nan where
    the dataset lacks one of the classes."""
    known, rows = {name.casefold() for name in classes}, []
    names = [found[column].str.casefold() for column in ("class_a", "class_b")]
    for pair in PAPER_PAIRS:
        here = "both classes" if known.issuperset(pair) else "not in this dataset"
        both = found[names[0].isin(pair) & names[1].isin(pair)]
        numbers = both.assign(rank=both.index + 1)[["rank", "run", "versus"]].to_numpy().tolist()
        rows.append((" | ".join(pair), here, *(numbers[0] if numbers else [np.nan] * 3)))
    return pd.DataFrame(rows, columns=["pair", "here", "rank", "run", "versus"]).set_index("pair")


def precisions(
    both: Sequence[Predictions],
    classes: Sequence[str],
    seed: int = 0,
    draws: int = intervals.PRECISION_DRAWS,
) -> tuple[pd.DataFrame, pd.Series]:
    """`compare_precision` of two runs: (a row a class, the mean over the classes)."""
    scores, others = ([each.video_probabilities] for each in both)
    return compare_precision(scores, others, both[0].labels, classes, seed, draws)


def compare_precision(
    run: Sequence[np.ndarray],
    versus: Sequence[np.ndarray],
    labels: metrics.Labels,
    classes: Sequence[str],
    seed: int = 0,
    draws: int = intervals.PRECISION_DRAWS,
) -> tuple[pd.DataFrame, pd.Series]:
    """Average precision over videos of two networks: (a row a class, the mean over the classes).

    `run` and `versus` are the scores (V×K) of each seed of the two. Columns: `class`, `videos`; the
    mean over seeds `run`, `run_low`, `run_high`, the same of `versus` and of `gain` (run − versus);
    `gain_sure`, lower ends that hold for all classes together; `gain_least` and `gain_most`, over
    any two seeds; `p` of a permutation test of the scores averaged over seeds; `paper` (Table 2).
    A class without test videos has nan throughout, and does not count in the mean.

    Intervals of the mean are moved back by the bias of the resamples (`intervals.remove_bias`).
    Those of a class are not, since that covers no more. For equal runs those of `gain` exclude 0 in
    24 of 100 instead of 4 in the worst case: four videos that nearly always come first.
    """
    truth = metrics.truth(labels, len(classes))
    values = intervals.resample_precision([*run, *versus], labels, seed, draws)  # R × 1+draws × K
    mean = intervals.mean_known(values[:, :, truth.any(axis=0)], axis=2)
    values = np.concatenate([values, mean[:, :, None]], axis=2)  # K+1, the mean last
    one, other = values[: len(run)], values[len(run) :]
    sides = {"run": one.mean(axis=0), "versus": other.mean(axis=0)}
    sides["gain"] = sides["run"] - sides["versus"]
    columns: dict[str, Any] = {"class": [*classes, "mean"]}
    columns["videos"] = [*truth.sum(axis=0), len(labels)]
    for name, side in sides.items():
        low, high = _interval(side)
        columns |= {name: side[0], f"{name}_low": low, f"{name}_high": high}
    gain, (one, other) = sides["gain"], (one[:, 0], other[:, 0])
    sure = intervals.simultaneous_lower(gain[0, :-1], gain[1:, :-1])
    columns["gain_sure"] = np.append(sure, np.nan)
    columns["gain_least"] = one.min(axis=0) - other.max(axis=0)
    columns["gain_most"] = one.max(axis=0) - other.min(axis=0)
    means = [np.asarray(sum(side) / len(side)) for side in (run, versus)]
    columns["p"] = np.append(intervals.permuted_precision(means, labels, seed), np.nan)
    columns["paper"] = [TABLE_2.get(name.casefold(), np.nan) for name in columns["class"]]
    table = pd.DataFrame(columns)
    return table[:-1], table.iloc[-1]


def _interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high), each K+1: the interval of what was measured and resampled (1+draws × K+1).

    The mean, the last column, is moved back by its bias.
    """
    measured, draws = values[0], values[1:]
    low, high = ends = np.array(intervals.interval(draws))
    ends[:, -1] = intervals.remove_bias(ends[:, -1], measured[-1], draws[:, -1])
    return low, high


def beyond_chance(table: pd.DataFrame) -> tuple[int, int, float]:
    """(classes that gain at p ≤ 0.05, classes that lose, how many of both are expected by chance:
    5 % of the classes in which the runs differ at all)."""
    sure, gain = table["p"] <= 0.05, table["gain"]
    differ = (table["gain_high"] > table["gain_low"]).sum()
    return (sure & (gain > 0)).sum(), (sure & (gain < 0)).sum(), 0.05 * differ
