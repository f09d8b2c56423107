"""TODO analysis/intervals."""

from collections.abc import Sequence

import numpy as np

from s1m_lab.analysis import run_groups
from s1m_lab.training import metrics


def resampled_precision(
    scores: Sequence[np.ndarray],
    labels: metrics.Labels,
    seed: int = 0,
    draws: int = 1000,
    units: tuple[np.ndarray, int] | None = None,
) -> np.ndarray:
    """Average precision of every class in resamples of the N samples: R×draws×K.

    `scores` are the N×K of R runs; all are resampled alike, so that differences between them are
    paired. What is drawn are `units`, the number of each sample's own and how many there are; each
    sample by itself without. nan where a draw has no sample of the class.
    """
    own, (n, classes) = metrics.truth(labels, scores[0].shape[1]), scores[0].shape
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
    scores: Sequence[np.ndarray], labels: metrics.Labels, seed: int = 0, draws: int = 199
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
    own, (n, classes) = metrics.truth(labels, scores[0].shape[1]), scores[0].shape
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
        gain = np.subtract(*(metrics.average_precision(rank, own[:, k]) for rank in ranks))
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


DRAWS = 2000


def shares(values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """What is right of all, as it is and then in every draw: S×F×(1+draws).

    `values` are S×U×F×2: of each seed and each unit that is drawn (a video, a group of videos),
    fold by fold, what is right and what there is. nan where there is nothing.
    """
    S, U, F, _ = values.shape
    flat = np.moveaxis(values, 1, 0).reshape(U, -1)
    means = np.vstack([flat.mean(axis=0), resampled(flat, seed, draws)]).reshape(-1, S, F, 2)
    with np.errstate(invalid="ignore"):
        return np.moveaxis(means[..., 0] / means[..., 1], 0, -1)


def drawn(rows: dict[str, run_groups.Row], seed: int = 0) -> dict[str, np.ndarray]:
    """`SCORES` of every row, seed by seed, as they are and then in every draw: S×3×(1+draws)."""
    if not rows:
        return {}
    values = []
    for row in rows.values():
        videos = np.ones(len(row.clips), int)
        values.append(np.stack(np.broadcast_arrays(row.hits, np.c_[row.clips, videos, videos]), -1))
    parts = np.cumsum([len(each) for each in values])[:-1]
    return dict(zip(rows, np.split(shares(np.concatenate(values), seed), parts), strict=True))


def resampled(values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Means of `values` (V×M) over V videos drawn with replacement, again and again: draws×M.

    The draws are a function of V and `seed` alone, those of `metrics.bootstrap`: measures of the
    same videos are paired, in one call or in two.
    """
    rng, n, out = np.random.default_rng(seed), len(values), []
    for first in range(0, draws, 50):
        rows = range(first, min(draws, first + 50))
        times = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in rows]
        out.append(np.array(times) @ values / n)
    return np.concatenate(out)


def ends(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of what was drawn; draws that tell nothing (nan) do not count."""
    low, high = np.nanpercentile(draws, [2.5, 97.5]) if np.isfinite(draws).any() else (np.nan,) * 2
    return float(low), float(high)


def mean_known(values: Sequence[np.ndarray], axis: int = 0) -> np.ndarray:
    """The mean along an axis of what is known; nan where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis) / known.sum(axis)


def together(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Lower ends, for K values and their draws×K, that hold for all of them at once: of 97.5 % of
    samples none lies above its true value. So may the one be judged that was picked for its value.

    Each lies as many of its standard errors below its value as the farthest of all draws does above
    its own mean, in 97.5 % of draws (of K values, not of one). nan where a value is not known.
    """
    ends, known = np.full(len(values), np.nan), np.isfinite(draws).any(axis=0)
    own = draws[:, known]
    errors = np.nanstd(own, axis=0)
    away = (own - np.nanmean(own, axis=0)) / np.where(errors > 0, errors, 1)
    if known.any():
        far = np.percentile(np.where(np.isfinite(away), away, -np.inf).max(axis=1), 97.5)
        ends[known] = values[known] - far * errors
    return ends
