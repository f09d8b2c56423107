"""One comparison: how much two sides differ, by interval and by seed, and whether that decides.

    gain = comparisons.compare("slow − early", slow, early)      # two `Side`s
    gain.verdict, comparisons.in_words(gain)     # agrees, "slow − early: +2.8 (+1.9 to +3.8)"

Intervals are paired bootstraps over test videos, or over groups of them. Both sides take the same
resamples; seeds are averaged in each resample, then the folds that both sides have. An interval
says nothing about other seeds. So a comparison decides only where all pairs of seeds lie on the
same side of the bound too. Where a seed is the same for both sides, it is compared with itself.
"""

from typing import NamedTuple

import numpy as np

from s1m_lab.analysis.intervals import interval, mean_known

AGREES, DISAGREES, OPEN = "agrees", "disagrees", "undecided"


class Comparison(NamedTuple):
    """A number with its 95 % interval; the paper says that it lies above the bound, or below."""

    what: str
    value: float
    low: float
    high: float
    unit: str = "points"  # of fractions; "×" for ratios, "" for pair accuracy
    bound: float = 0.0
    above: bool = True  # the side of the bound that the paper claims
    least: float = np.nan  # the smallest and the largest difference of two seeds; nan where the
    most: float = np.nan  # number has no seeds
    single: tuple[str, ...] = ()  # sides with one seed

    @property
    def verdict(self) -> str:
        """`AGREES` or `DISAGREES` where the interval and all seeds lie on that side, else `OPEN`.

        A single measurement has no interval (nan) and decides nothing.
        """
        has_seeds = not np.isnan(self.least)
        higher = self.low > self.bound and (not has_seeds or self.least > self.bound)
        lower = self.high < self.bound and (not has_seeds or self.most < self.bound)
        agrees, disagrees = (higher, lower) if self.above else (lower, higher)
        return AGREES if agrees else DISAGREES if disagrees else OPEN


class Side(NamedTuple):
    """One side of a comparison, seed by seed."""

    name: str
    scores: np.ndarray  # S×F×(1+draws): of each seed and fold, measured and in every resample


def compare(
    what: str, one: Side, other: Side, bound: float = 0.0, same: bool = False
) -> Comparison:
    """The difference of two scores with its paired interval, and the range over pairs of seeds.

    All pairs of seeds count. With `same`, both sides have the same seeds and each is compared with
    itself: they are the same runs, or trained on videos that the seed drew.
    """
    if same:
        by_fold = one.scores - other.scores
        gain, pairs = mean_known(mean_known(by_fold)), mean_known(by_fold[..., 0], -1)
    else:
        gain = mean_known(mean_known(one.scores) - mean_known(other.scores))
        pairs = mean_known(one.scores[:, None, :, 0] - other.scores[..., 0], -1)
    value, low, high = (float(number) for number in (gain[0], *interval(gain[1:])))
    least, most = (float(end.reduce(pairs, axis=None)) for end in (np.fmin, np.fmax))  # skips nan
    seeds = {s.name: np.isfinite(s.scores[..., 0]).any(axis=1).sum() for s in (one, other)}
    single = tuple(name for name, count in seeds.items() if name and count == 1)
    return Comparison(what, value, low, high, bound=bound, least=least, most=most, single=single)


def why_open(comparisons: list[Comparison]) -> str:
    """Why these do not decide: `the interval holds 0: slow − late, slow − early`."""
    reasons: dict[str, list[str]] = {}
    for each in comparisons:
        if np.isnan(each.low):
            reason = "a single measurement has no interval, runs that ran otherwise no ratio"
        elif not each.low <= each.bound <= each.high:
            reason = "seeds do not agree"
        elif each.low == each.high:
            reason = "no difference on any video"
        else:
            reason = f"the interval holds {_bound(each)}"
        reasons.setdefault(reason, []).append(each.what)
    return "; ".join(f"{reason}: {', '.join(names)}" for reason, names in reasons.items())


def margin(comparison: Comparison) -> float:
    """How far the worse end of the interval lies on the claimed side of the bound; −inf without an
    interval."""
    low, high, bound = comparison.low, comparison.high, comparison.bound
    distance = low - bound if comparison.above else bound - high
    return -np.inf if np.isnan(distance) else distance


def in_words(comparison: Comparison) -> str:
    """`slow − early: +2.8 (+1.9 to +3.8)`, and the claimed bound unless it is "above 0"."""
    unit, name = comparison.unit, comparison.what
    value, low, high = (with_unit(number, unit) for number in comparison[1:4])
    if np.isnan(comparison.low):
        return f"{name}: {value}"
    exact = unit == "×" and comparison.low == comparison.high
    text = f"{name}: {value} ({'exactly' if exact else f'{low} to {high}'}"
    if comparison.most > comparison.least:
        least, most = (with_unit(number, unit) for number in (comparison.least, comparison.most))
        text += f", by seed {least} to {most}"
    text += ")"
    if comparison.bound or not comparison.above:
        text += f", to be {'above' if comparison.above else 'below'} {_bound(comparison)}"
    return text


def _bound(comparison: Comparison) -> str:
    return with_unit(comparison.bound, comparison.unit) if comparison.bound else "0"


def with_unit(value: float, unit: str) -> str:
    """A value in its unit: −2.1 (points), 0.85×, 0.50."""
    number = {"points": f"{100 * value:+.1f}", "×": f"{value:.2f}×", "": f"{value:.2f}"}[unit]
    return number.replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")
