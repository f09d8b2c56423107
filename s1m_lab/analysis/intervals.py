"""How sure a number is: bootstrap intervals over videos, permutation tests, and their bias.

    low, high = intervals.bootstrap(hits)                   # of a mean, 95 %
    values = intervals.resample_precision([scores], labels) # R×(1+draws)×K
    low, high = intervals.interval(values[0, 1:])           # of every class

Every table draws test videos with replacement. The draws depend on the number of videos and the
seed alone, so all measures of the same videos are paired. Arrays of 1+draws hold the measured value
first, then that of every resample. Intervals are percentile intervals (Efron and Tibshirani 1993,
An Introduction to the Bootstrap, §13.3). They say nothing about other seeds of a training.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

from s1m_lab.training import metrics

DRAWS = 2000  # resamples behind every interval of Hit@1
PRECISION_DRAWS = 1000  # of average precision, which takes longer
CLASS_DRAWS = 300  # of average precision class by class, over several folds and seeds
PERMUTATIONS = 199  # of a permutation test: the smallest p is 1/200
LEVELS = (2.5, 97.5)  # percent: the ends of an interval


def interval(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(low, high): the 95 % percentile interval over the first axis of `draws` (D×…).

    Draws that are nan do not count; where all are, both ends are nan.
    """
    known = np.isfinite(draws).any(axis=0)
    low, high = np.nanpercentile(np.where(known, draws, 0), LEVELS, axis=0)
    return np.where(known, low, np.nan)[()], np.where(known, high, np.nan)[()]


def mean_known(values: Sequence[np.ndarray] | np.ndarray, axis: int = 0) -> np.ndarray:
    """The mean along an axis of the values that are not nan; nan where there is none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis) / known.sum(axis)


def remove_bias(values: np.ndarray, measured: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """`values` (draws, or ends of intervals) moved back by the bias of the draws.

    The bias is mean(draws) − measured (Efron and Tibshirani 1993, §10.2). Average precision has
    one: a video drawn twice ties with itself. `draws` are D×K, `measured` K, `values` …×K.
    """
    return values - (mean_known(draws) - measured)


def simultaneous_lower(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Lower ends for K values (K, draws D×K) that hold for all of them together, in 97.5 % of
    samples. So they hold for the largest value too, although it was picked for its size.

    low_k = value_k − c · se_k, where se_k is the standard deviation of the draws of k, and c the
    97.5 % point over the draws of max_k (draw_k − mean_k) / se_k: a sup-t band (Montiel Olea and
    Plagborg-Møller 2019). nan where a value has no draws.
    """
    low, known = np.full(len(values), np.nan), np.isfinite(draws).any(axis=0)
    if not known.any():
        return low
    draws = draws[:, known]
    errors = np.nanstd(draws, axis=0)
    t = (draws - np.nanmean(draws, axis=0)) / np.where(errors > 0, errors, 1)
    critical = np.percentile(np.where(np.isfinite(t), t, -np.inf).max(axis=1), LEVELS[1])
    low[known] = values[known] - critical * errors
    return low


# ------------------------------------------------------------------------------ means and ratios


def bootstrap(values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> tuple[float, float]:
    """(low, high): the 95 % interval of the mean of `values` (N).

    For the difference of two runs on the same videos pass the differences, video by video: the
    interval is then the paired one. `scipy.stats.bootstrap(method="percentile")` gives the same.
    """
    values = np.asarray(values, float)
    low, high = interval(resample_means(values[:, None], seed, draws)[:, 0])
    return float(low), float(high)


def resample_means(values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Means of M measures (`values` V×M) over V videos drawn with replacement: draws×M."""
    n = len(values)
    return np.concatenate([times @ values / n for times in _resamples(n, seed, draws, 50)])


def _resamples(n: int, seed: int, draws: int, size: int) -> Iterator[np.ndarray]:
    """How often a resample draws each of n units (int D×n), in parts of up to `size` resamples."""
    rng = np.random.default_rng(seed)
    for first in range(0, draws, size):
        rows = range(first, min(draws, first + size))
        yield np.array([np.bincount(rng.integers(0, n, n), minlength=n) for _ in rows])


def resample_ratios(counts: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """The share that is right, measured and in every resample: S×F×(1+draws).

    `counts` are S×U×F×2: for each seed, each unit that is drawn (a video or a group of videos) and
    each fold, how many are right and how many there are. nan where there are none.
    """
    S, U, F, _ = counts.shape
    flat = np.moveaxis(counts, 1, 0).reshape(U, -1)
    means = np.vstack([flat.mean(axis=0), resample_means(flat, seed, draws)])
    means = means.reshape(-1, S, F, 2)
    with np.errstate(invalid="ignore"):
        return np.moveaxis(means[..., 0] / means[..., 1], 0, -1)


# ----------------------------------------------------------------------------- average precision


def resample_precision(
    scores: Sequence[np.ndarray],
    labels: metrics.Labels,
    seed: int = 0,
    draws: int = PRECISION_DRAWS,
    groups: tuple[np.ndarray, int] | None = None,
) -> np.ndarray:
    """Average precision of every class, measured and in every resample: R×(1+draws)×K.

    `scores` are N×K for each of R runs, which all take the same resamples. `groups` are the number
    of each sample's group and how many groups there are: whole groups are drawn. Without it, single
    samples are. nan where a resample has no sample of the class.
    """
    own, (n, classes) = metrics.truth(labels, scores[0].shape[1]), scores[0].shape
    group, count = groups or (np.arange(n), n)
    out = np.full((len(scores), 1 + draws, classes), np.nan)
    present = np.flatnonzero(own.any(axis=0))
    for k in present:
        out[:, 0, k] = [metrics.average_precision(run[:, k], own[:, k]) for run in scores]
    first = 1
    for drawn in _resamples(count, seed, draws, 100):
        times = np.ascontiguousarray(drawn[:, group].T, np.float32)  # N×100 in memory
        part = slice(first, first + len(drawn))
        for k in present:
            for r, run in enumerate(scores):
                out[r, part, k] = weighted_precision(run[:, k], own[:, k], times)
        first = part.stop
    return out


def permuted_precision(
    scores: Sequence[np.ndarray], labels: metrics.Labels, seed: int = 0, draws: int = PERMUTATIONS
) -> np.ndarray:
    """p of every class (K): how often two equal runs differ as much in average precision.

    A paired permutation test (Good 2005, Permutation, Parametric and Bootstrap Tests, §3): for
    equal runs, the two scores of a sample could as well change places.
    p = (1 + #{|permuted difference| ≥ |measured difference|}) / (1 + draws).

    `scores` are the N×K of both runs. Each run's scores become ranks first, since a more confident
    network is not a better one; equal ranks of different runs are ordered at random. nan for a
    class without samples.

    Two equal runs, one more confident than the other, have p ≤ 0.05 in 2.1, 4.6 and 5.0 % of
    classes with 4, 10 and 20 of 1,000 samples where they find the same ones hard (1,000
    simulations each), and in 6.0 % with 12 of 480 where they do not (1,500).
    """
    own, (n, classes) = metrics.truth(labels, scores[0].shape[1]), scores[0].shape
    rng = np.random.default_rng(seed)
    own_score = rng.random((n, draws)) < 0.5  # else the scores of a sample change places
    one = np.concatenate([own_score, ~own_score]).astype(np.float32)  # 2N×draws: one run's scores
    other = 1 - one
    p = np.full(classes, np.nan)
    for k in np.flatnonzero(own.any(axis=0)):
        ranks = [np.searchsorted(np.sort(run[:, k]), run[:, k], "right") for run in scores]
        ranks = [rank + rng.random(n + 1)[rank] for rank in ranks]  # equal ranks of a run stay so
        both, positive = np.concatenate(ranks), np.tile(own[:, k], 2)
        permuted = weighted_precision(both, positive, one)
        permuted -= weighted_precision(both, positive, other)
        measured = [metrics.average_precision(rank, own[:, k]) for rank in ranks]
        gain = abs(measured[0] - measured[1])
        p[k] = (1 + (np.abs(permuted) >= gain - 1e-9).sum()) / (1 + draws)
    return p


def weighted_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of N samples where sample n counts `weights[n]` times (N×D): D values.

    AP = Σ_t found(t) · precision(t) / Σ_t found(t), over the scores t of the positives, from the
    highest down. found(t) is the weight of the positives whose score is t, precision(t) the weight
    of positives of at least t over the weight of all samples of at least t. nan where no positive
    has weight.
    """
    thresholds = -np.unique(-scores[positive])  # falling
    first = np.searchsorted(-thresholds, -scores)  # the threshold that lets a sample in

    def summed(rows: np.ndarray) -> np.ndarray:  # the weights of these samples by threshold
        indicator = np.ones(len(rows), np.float32), (first[rows], rows)
        shape = len(thresholds), len(scores)
        return (sparse.csr_array(indicator, shape=shape) @ weights).astype(float)

    found = summed(np.flatnonzero(positive))
    let_in = summed(np.flatnonzero(first < len(thresholds)))  # the others lie below all positives
    precision = found.cumsum(axis=0) / np.maximum(let_in.cumsum(axis=0), 1)
    total = found.sum(axis=0)
    return np.where(total > 0, (found * precision).sum(axis=0) / np.maximum(total, 1), np.nan)
