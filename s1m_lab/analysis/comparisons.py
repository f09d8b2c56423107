"""One comparison: how far two rows differ, by interval and by seed, and whether that decides.

    part = comparisons.compare("slow − early", slow, early)      # two `Side`s
    part.verdict, comparisons.told(part)      # agrees, "slow − early: +2.8 (+1.9 to +3.8)"

Intervals are of paired bootstraps over test videos, or over groups of them: the same are drawn for
both sides, every seed of a network on the same draw, then the mean over its seeds, and that over
the folds that both sides have. They say nothing of other seeds, so a comparison decides only where
every pair of seeds of its two sides lies on the same side of the bound as well, or every seed by
itself where that is the same for both (`compare`).
"""

from typing import NamedTuple

import numpy as np

from s1m_lab import paper
from s1m_lab.analysis.intervals import ends, mean_known
from s1m_lab.analysis.run_groups import Row

AGREES, DISAGREES, OPEN = "agrees", "disagrees", "cannot be told"


class Part(NamedTuple):
    """One comparison: `value` must lie above its bound, or below it."""

    what: str
    value: float
    low: float
    high: float
    unit: str = "points"  # of what are fractions; "×" of ratios, "" of pair accuracy
    bound: float = 0.0
    above: bool = True
    least: float = np.nan  # the least and the most that seeds of the two sides differ by, any two
    most: float = np.nan  # or each from itself; nan where seeds have no part in it
    single: tuple[str, ...] = ()  # sides that have one seed

    @property
    def verdict(self) -> str:
        right = self.low > self.bound and not self.least <= self.bound
        wrong = self.high < self.bound and not self.most >= self.bound
        if not self.above:
            right, wrong = wrong, right
        return AGREES if right else DISAGREES if wrong else OPEN


class Side(NamedTuple):
    """One side of a comparison, seed by seed."""

    name: str
    scores: np.ndarray  # S×F×(1+draws): of each fold, as it is and then in every draw


def compare(what: str, one: Side, other: Side, bound: float = 0.0, same: bool = False) -> Part:
    """The difference of two scores with its paired interval, and what pairs of seeds differ by: all
    pairs, or each seed with itself where one is the `same` for both sides: of the same runs, or
    trained on videos that it drew."""
    if same:
        apart = one.scores - other.scores
        gain, pairs = mean_known(mean_known(apart)), mean_known(apart[..., 0], -1)
    else:
        gain = mean_known(mean_known(one.scores) - mean_known(other.scores))
        pairs = mean_known(one.scores[:, None, :, 0] - other.scores[..., 0], -1)
    pairs = pairs[np.isfinite(pairs)] if np.isfinite(pairs).any() else np.array([np.nan])
    known = [np.isfinite(side.scores[..., 0]).any(axis=1).sum() for side in (one, other)]
    sides = zip((one.name, other.name), known, strict=True)
    single = tuple(name for name, seeds in sides if name and seeds == 1)
    return Part(what, float(gain[0]), *ends(gain[1:]), bound=bound, least=float(pairs.min()),
                most=float(pairs.max()), single=single)  # fmt: skip


def hit1(
    rows: dict[str, Row],
    drawn: dict[str, np.ndarray],
    one: str,
    other: str,
    bound: float = 0.0,
) -> Part:
    """Video Hit@1 of one row less that of another; `drawn` are those of `rows.drawn`. The average
    and its members are the same runs: at the seeds that it has, each is compared with its own."""
    scores, names = [drawn[row][:, 1:2] for row in (one, other)], [one, other]
    same = "average" in names and bool({one, other} & set(paper.MEMBERS))
    if same:
        member = names.index("average") ^ 1
        seeds = rows[names[member]].seeds
        scores[member] = scores[member][[seeds.index(s) for s in rows["average"].seeds]]
        names[member] = ""
    return compare(f"{one} − {other}", *map(Side, names, scores), bound, same)


def undecided(parts: list[Part]) -> str:
    """Why their intervals do not decide: `the interval holds 0: slow − late, slow − early`."""
    reasons: dict[str, list[str]] = {}
    for part in parts:
        reason = f"the interval holds {_bound(part)}"
        if np.isnan(part.low):
            reason = "a single measurement has no interval, runs that ran otherwise no ratio"
        elif not part.low <= part.bound <= part.high:
            reason = "seeds do not agree"
        elif part.low == part.high:
            reason = "no difference on any video"
        reasons.setdefault(reason, []).append(part.what)
    return "; ".join(f"{reason}: {', '.join(names)}" for reason, names in reasons.items())


def room(part: Part) -> float:
    """How far the worse end of a part's interval lies on the claimed side of its bound."""
    distance = part.low - part.bound if part.above else part.bound - part.high
    return -np.inf if np.isnan(distance) else distance


def told(part: Part) -> str:
    """`slow − early: +2.8 (+1.9 to +3.8)`, and what it has to be where that is not above 0."""
    value, low, high = (said(number, part.unit) for number in part[1:4])
    if np.isnan(part.low):
        return f"{part.what}: {value}"
    seeds = ""
    if part.most > part.least:
        seeds = f", by seed {said(part.least, part.unit)} to {said(part.most, part.unit)}"
    exact = part.unit == "×" and part.low == part.high
    range_ = "exactly" if exact else f"{low} to {high}"
    wanted = f", to be {'above' if part.above else 'below'} {_bound(part)}"
    return f"{part.what}: {value} ({range_}{seeds}){wanted if part.bound or not part.above else ''}"


def _bound(part: Part) -> str:
    return said(part.bound, part.unit) if part.bound else "0"


def said(value: float, unit: str) -> str:
    """A value in its unit: −2.1 points, 0.85×, 0.50."""
    number = {"points": f"{100 * value:+.1f}", "×": f"{value:.2f}×", "": f"{value:.2f}"}[unit]
    return number.replace("-", "−").replace("+0.0", "0.0").replace("−0.0", "0.0")
