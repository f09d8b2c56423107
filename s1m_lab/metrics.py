"""Hit@k, video averaging, average precision, confusion, pairs and intervals.

All of them work on saved probabilities, in numpy alone. N samples, K classes; `labels` is a list
with the true labels of each sample (one or several), as in Sports-1M.
"""

from collections.abc import Sequence

import numpy as np

Labels = Sequence[Sequence[int]]


def truth(labels: Labels, classes: int) -> np.ndarray:
    """True labels as a bool N×K table."""
    table = np.zeros((len(labels), classes), bool)
    for row, own in zip(table, labels, strict=True):
        row[list(own)] = True
    return table


def hits(probabilities: np.ndarray, labels: Labels, k: int) -> np.ndarray:
    """Whether each of N samples has a true label among its top k (bool N); §4.

    A class is in the top k when fewer than k others score at least as much: a tie counts against
    the network, so that a constant prediction hits nothing by luck.
    """
    own = truth(labels, probabilities.shape[1])
    best = np.where(own, probabilities, -np.inf).max(axis=1)
    others = (~own & (probabilities >= best[:, None])).sum(axis=1)
    return np.isfinite(best) & (others < k)


def hit_at_k(probabilities: np.ndarray, labels: Labels, k: int) -> float:
    """The fraction of samples with at least one true label among the top k."""
    return float(hits(probabilities, labels, k).mean())


def leads(probabilities: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """For each of N samples the likeliest class that is none of its own, and by how much it leads
    the likeliest that is (floats, −1 to 1; below 0 where its own leads)."""
    own = truth(labels, probabilities.shape[1])
    other = np.where(own, -np.inf, probabilities)
    return other.argmax(axis=1), other.max(axis=1) - np.where(own, probabilities, 0).max(axis=1)


def video_average(probabilities: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Mean over each video's clips: clips×K and the video number of each clip → videos×K (§4)."""
    total = np.zeros((int(video.max()) + 1, probabilities.shape[1]))
    np.add.at(total, video, probabilities)
    return total / np.bincount(video, minlength=len(total))[:, None]


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under precision over recall for one class: N scores, N bools. nan without positives.

    Tied samples share one threshold, as in `sklearn.metrics.average_precision_score`.
    """
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each run of ties
    found = np.cumsum(positive)[last]
    precision = found / (last + 1)
    return float(np.sum(np.diff(found, prepend=0) * precision) / found[-1])


def resampled_precision(
    scores: Sequence[np.ndarray],
    labels: Labels,
    seed: int = 0,
    draws: int = 1000,
    units: tuple[np.ndarray, int] | None = None,
) -> np.ndarray:
    """Average precision of every class in resamples of the N samples: R×draws×K.

    `scores` are the N×K of R runs; all are resampled alike, so that differences between them are
    paired. What is drawn are `units`, the number of each sample's own and how many there are; each
    sample by itself without. nan where a draw has no sample of the class.
    """
    own, (n, classes) = truth(labels, scores[0].shape[1]), scores[0].shape
    orders = [_orders(found) for found in scores]
    own_unit, drawn = units or (slice(None), n)
    rng = np.random.default_rng(seed)
    out = np.full((len(scores), draws, classes), np.nan)
    for first in range(0, draws, 100):  # N×100 times each sample was drawn
        rows = range(first, min(draws, first + 100))
        picked = [rng.integers(0, drawn, drawn) for _ in rows]
        times = np.array([np.bincount(each, minlength=drawn)[own_unit] for each in picked])
        times = np.ascontiguousarray(times.T, np.float32)
        for k in np.flatnonzero(own.any(axis=0)):
            for r, (found, order) in enumerate(zip(scores, orders, strict=True)):
                best = order[k]
                out[r, rows, k] = _weighted_precision(found[best, k], own[best, k], times, best)
    return out


def _orders(scores: np.ndarray) -> np.ndarray:
    """The samples by falling score, class by class: int32 K×N; in 64 bits one class at a time."""
    orders = np.empty(scores.shape[::-1], np.int32)
    for order, column in zip(orders, scores.T, strict=True):
        order[:] = np.argsort(-column, kind="stable")
    return orders


def swapped_precision(
    scores: Sequence[np.ndarray], labels: Labels, seed: int = 0, draws: int = 199
) -> np.ndarray:
    """How likely two runs differ as much in a class's average precision by chance alone: K.

    A permutation test: were the runs equal, each sample's two scores could as well be those of the
    other run. Scores are ranks within their run first, since a surer network is no better one;
    where ranks of the two runs meet, chance says which is higher. `scores` are the N×K of both
    runs. nan for a class without samples.

    Two equal runs, one surer than the other, have p ≤ 0.05 in 2.1, 4.6 and 5.0 % of classes with
    4, 10 and 20 of 1,000 samples where they find the same ones hard (1,000 simulations each), and
    in 6.0 % with 12 of 480 where they do not (1,500).
    """
    own, (n, classes) = truth(labels, scores[0].shape[1]), scores[0].shape
    rng = np.random.default_rng(seed)
    kept = rng.random((n, draws)) < 0.5
    times = np.concatenate([kept, ~kept]).astype(np.float32)  # 2N×draws: which one run has
    found = np.full(classes, np.nan)
    for k in np.flatnonzero(own.any(axis=0)):
        ranks = [np.searchsorted(np.sort(s[:, k]), s[:, k], "right") for s in scores]
        ranks = [rank + rng.random(n + 1)[rank] for rank in ranks]  # those that tie still do
        both, positive = np.concatenate(ranks), np.tile(own[:, k], 2)
        order = np.argsort(-both, kind="stable")
        one, other = order, (order + n) % (2 * n)  # what the other run has of a sample
        here, there = (
            _weighted_precision(both[order], positive[order], times, side) for side in (one, other)
        )
        gain = np.subtract(*(average_precision(rank, own[:, k]) for rank in ranks))
        found[k] = (1 + (np.abs(here - there) >= abs(gain) - 1e-9).sum()) / (1 + draws)
    return found


def _weighted_precision(
    scores: np.ndarray, positive: np.ndarray, times: np.ndarray, order: np.ndarray
) -> np.ndarray:
    """`average_precision` where sample n counts `times[n]` (N×D) times: D values.

    `scores` and `positive` are sorted as `order` says. The sum grows only where a positive is
    found, so the samples between two such thresholds are added up in one go.
    """
    tie = np.cumsum(np.diff(scores, prepend=scores[:1]) != 0)  # the number of each one's threshold
    last = np.searchsorted(tie, np.unique(tie[positive]), "right")  # one past it
    starts = np.append(0, last[:-1])
    drawn = np.add.reduceat(times[order[: last[-1]]], starts, axis=0).cumsum(axis=0, dtype=float)
    at = np.flatnonzero(positive)
    found = np.add.reduceat(times[order[at]], np.searchsorted(at, starts), axis=0)
    precision = found.cumsum(axis=0, dtype=float) / np.maximum(drawn, 1)
    total = found.sum(axis=0)
    return np.where(total > 0, (found * precision).sum(axis=0) / np.maximum(total, 1), np.nan)


def confusion(probabilities: np.ndarray, labels: Labels) -> np.ndarray:
    """K×K counts, rows true, columns predicted; rows add up to the counted truth.

    A sample with several true labels is counted once under each: in that label's own column when
    the prediction is any of its true labels, otherwise in the column of the prediction. A video of
    labels 0 and 1 taken for 1 adds 1 to [0, 0] and to [1, 1]; taken for 2, to [0, 2] and to [1, 2].
    """
    classes = probabilities.shape[1]
    matrix = np.zeros((classes, classes), np.int64)
    for predicted, own in zip(probabilities.argmax(axis=1), labels, strict=True):
        for label in set(own):
            matrix[label, label if predicted in own else predicted] += 1
    return matrix


def pair_hits(probabilities: np.ndarray, labels: Labels, a: int, b: int) -> np.ndarray:
    """For each video of exactly one of two classes: does its own outscore the other? (floats)

    1.0 where it does, 0.0 where not, 0.5 for a tie; in the order of the videos.
    """
    own = truth(labels, probabilities.shape[1])
    rows = np.flatnonzero(own[:, a] != own[:, b])
    lead = (probabilities[rows, a] - probabilities[rows, b]) * np.where(own[rows, a], 1, -1)
    return (np.sign(lead) + 1) / 2


def pair_accuracy(
    probabilities: np.ndarray, labels: Labels, pairs: Sequence[tuple[int, int]]
) -> float:
    """Share of the videos of `pairs` (label numbers) whose own class outscores its partner."""
    return float(np.concatenate([pair_hits(probabilities, labels, a, b) for a, b in pairs]).mean())


def bootstrap(values: np.ndarray, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values` (N), by drawing N of them again and again.

    For the difference of two runs on the same videos pass the differences video by video: the
    interval is then the paired one.
    """
    values = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
