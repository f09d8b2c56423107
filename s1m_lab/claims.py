"""The paper's claims, one by one: its evidence, ours, and a verdict by interval.

    found = rows.find("pocket")
    table = claims.judge(found, rows.score(found), gains, mean)     # a row a claim

A claim comes down to comparisons, each a number with a 95 % interval and a bound. It *agrees* when
every interval lies wholly on the claimed side of its bound, *disagrees* when any lies wholly on the
other, else it *cannot be told*: what is said of many networks is refuted by one, held up by all.

Intervals draw test videos and say nothing of other seeds, so a comparison decides only where every
pair of seeds of its two sides is on the same side of the bound too (`comparisons`). Where a side
has a single seed, that is said beside the verdict. Speed has no videos to draw: its interval runs
from the least to the greatest ratio between any two runs of the two networks.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab import metrics, paper, paths, pocket, predict
from s1m_lab.comparisons import AGREES, DISAGREES, OPEN, Part, Side, compare, undecided
from s1m_lab.results import multiply_adds
from s1m_lab.rows import Found, Row, command
from s1m_lab.runs import Run

LUCK = 0.6  # pair accuracy below which a network is as good as blind; luck alone gives a half
KEEPS = -0.02  # multires keeps the accuracy if it loses less than this
GAIN = 0.05  # ΔAP: the least gain that Table 2 lists; a class gains a lot beyond it, a mean little


class Evidence(NamedTuple):
    """What all claims are judged by."""

    found: Found
    rows: dict[str, Row]
    gains: pd.DataFrame  # Table 2 …
    mean: pd.Series  # … and its mean
    folder: Path
    seed: int


class Claim(NamedTuple):
    text: str
    paper: str
    needs: tuple[str, ...]  # rows
    parts: Callable[[Evidence], list[Part]]
    lacking: str = ""  # why there is no part although there are runs


def judge(
    found: Found, rows: dict[str, Row], gains: pd.DataFrame, mean: pd.Series, seed: int = 0
) -> pd.DataFrame:
    """A row a claim: `claim`, `paper`, `parts` (a list), `verdict`, `why` it cannot be told,
    `seeds` (which sides have a single one, in words) and the `commands` that would help. `gains`
    and `mean` are those of `results.table2`."""
    evidence = Evidence(found, rows, gains, mean, paths.dataset(found.data), seed)
    out = []
    for claim in CLAIMS:
        missing = [row for row in claim.needs if row not in rows]
        parts = claim.parts(evidence)
        verdicts = {part.verdict for part in parts}
        verdict, why = OPEN, ""
        if DISAGREES in verdicts:
            verdict = DISAGREES
        elif missing:
            names = ["all of its members at one seed" if m == "average" else m for m in missing]
            why = "there is no run of " + ", ".join(names)
        elif not parts:
            why = claim.lacking
        elif OPEN in verdicts:
            why = undecided([part for part in parts if part.verdict == OPEN])
        else:
            verdict = AGREES
        lines = [line for row in missing for line in command(found, row).split("\n")]
        commands = list(dict.fromkeys(lines)) if verdict == OPEN else []
        single = [row for row in paper.ROWS if any(row in part.single for part in parts)]
        seeds = f"one seed of {', '.join(single)}" if single else ""
        out.append((claim.text, claim.paper, parts, verdict, why, seeds, commands))
    columns = ["claim", "paper", "parts", "verdict", "why", "seeds", "commands"]
    return pd.DataFrame(out, columns=columns)


# ----------------------------------------------------------------------------------- comparisons


def _share(name: str, row: Row, column: int, videos: np.ndarray | None = None) -> Side:
    """`column` 0 is clip Hit@1, 1 and 2 are Hit@1 and Hit@5 of videos; only of `videos` (bool V) if
    given."""
    counted = np.ones(len(row.clips)) if column else row.clips
    right = row.hits[:, :, column]
    both = np.stack([right, np.broadcast_to(counted, right.shape)], axis=2)
    return Side(name, both if videos is None else both * videos[:, None])


def _hit1(evidence: Evidence, one: str, other: str, bound: float = 0.0) -> list[Part]:
    """Video Hit@1 of one row less that of another, if there are both."""
    if not {one, other} <= evidence.rows.keys():
        return []
    both = [_share(row, evidence.rows[row], 1) for row in (one, other)]
    return [compare(f"{one} − {other}", *both, evidence.seed, bound)]


def _beyond(one: str, *others: str) -> Callable[[Evidence], list[Part]]:
    return lambda evidence: [part for other in others for part in _hit1(evidence, one, other)]


def _over_histograms(evidence: Evidence) -> list[Part]:
    return [part for m in paper.MEMBERS for part in _hit1(evidence, m, "histograms")]


def _views(evidence: Evidence) -> list[Part]:
    steps = (("single-context", "single-fovea"), ("single", "single-context"))
    return [part for step in steps for part in _hit1(evidence, *step)]


def _average(evidence: Evidence) -> list[Part]:
    """The average less each of its members, at the seeds that the average has."""
    if "average" not in evidence.rows:
        return []
    whole, parts = evidence.rows["average"], []
    for member in paper.MEMBERS:
        row = evidence.rows[member]
        same = Row([], row.clips, row.hits[[row.seeds.index(s) for s in whole.seeds]])
        both = _share("average", whole, 1), _share("", same, 1)
        parts.append(compare(f"average − {member}", *both, evidence.seed, same=True))
    return parts


def _video_over_clip(evidence: Evidence) -> list[Part]:
    by_clip = {k: row for k, row in evidence.rows.items() if k not in ("histograms", "average")}
    return [
        compare(f"{name}: video − clip", _share(name, row, 1), _share("", row, 0), evidence.seed,
                same=True)
        for name, row in by_clip.items()
    ]  # fmt: skip


def _camera(evidence: Evidence) -> list[Part]:
    """Clip Hit@1 of slow fusion less that of a single frame, where the camera never rests."""
    classes = sum(pocket.pairs(evidence.folder).get("camera", []), [])
    if not classes or not {"slow", "single"} <= evidence.rows.keys():
        return []
    run = evidence.rows["slow"].members[0][0]
    wanted = {run.labels.index(name) for name in classes}
    moving = np.array([not wanted.isdisjoint(own) for own in predict.load(run).labels])
    both = [_share(row, evidence.rows[row], 0, moving) for row in ("slow", "single")]
    part = compare("slow − single, clips under a moving camera", *both, evidence.seed)
    return [part._replace(above=False)]


def _motion(evidence: Evidence) -> list[Part]:
    """Pair accuracy on motion pairs: a single frame's, and what slow fusion adds."""
    pairs = pocket.pairs(evidence.folder).get("motion", [])
    if not pairs or not {"slow", "single"} <= evidence.rows.keys():
        return []
    slow, single = (
        Side(row, np.array([_told(run, pairs) for (run,) in evidence.rows[row].members]))
        for row in ("slow", "single")
    )
    nothing = Side("", np.tile([0.0, 1.0], (1, single.values.shape[1], 1)))
    alone = compare("single on motion pairs", single, nothing, evidence.seed, bound=LUCK)
    gained = compare("slow − single on motion pairs", slow, single, evidence.seed)
    return [alone._replace(unit="", above=False), gained]


def _told(run: Run, pairs: list[list[str]]) -> np.ndarray:
    """V×2: in how many pairs a video's own class outscores its partner, and of how many it is."""
    number, out = run.labels.index, []
    for part in predict.load(run).parts():
        scores, told = part.video_probabilities, np.zeros((len(part.ids), 2))
        own = metrics.truth(part.labels, scores.shape[1])
        for a, b in (map(number, pair) for pair in pairs):
            counts = own[:, a] != own[:, b]
            told[counts, 0] += metrics.pair_hits(scores, part.labels, a, b)
            told[counts, 1] += 1
        out.append(told)
    return np.concatenate(out)


def _multires(evidence: Evidence) -> list[Part]:
    """What it loses, how much faster it is where both ran alike, and what it has to compute."""
    parts = _hit1(evidence, "single-multires", "single", KEEPS)
    if not parts:
        return []
    rows = ("single-multires", "single")
    multires, single = ([run.results for (run,) in evidence.rows[row].members] for row in rows)
    kinds = {(run["precision"], run["threads"]) for run in (*multires, *single)}
    speed = "train_clips_per_second"
    ratios = [a[speed] / b[speed] for a in multires for b in single]
    known = len(ratios) > 1 and len(kinds) == 1
    low, high = (min(ratios), max(ratios)) if known else (np.nan, np.nan)
    faster = Part("clips/s, of single's", float(np.mean(ratios)), low, high, "×", bound=1.0)
    sums = [multiply_adds(evidence.rows[row].members[0][0]) for row in rows]
    fewer = Part("multiplications, of single's", *[sums[0] / sums[1]] * 3, "×", 1.0, above=False)
    return [*parts, faster, fewer]


def _few(evidence: Evidence) -> list[Part]:
    """The class that most surely gains, and the mean over all classes.

    The class is picked for its gain, so its lower end is one that holds for all classes at once; no
    class gains a lot only where the upper end of every class says so.
    """
    known = evidence.gains.dropna(subset="gain")
    if not len(known):
        return []
    best, mean = known.loc[known["gain_sure"].astype(float).idxmax()], evidence.mean
    runs = evidence.found.runs
    single = tuple(name for name in ("slow", "single") if len(runs[name]) == 1)
    what, most = f"ΔAP of {best['class']}, picked of {len(known)}", known["gain_high"].max()
    return [
        Part(what, float(best["gain"]), float(best["gain_sure"]), float(most), bound=GAIN,
             least=best["gain_least"], most=known["gain_most"].max(), single=single),
        Part("mean ΔAP", *map(float, mean[["gain", "gain_low", "gain_high"]]), bound=GAIN,
             above=False, least=mean["gain_least"], most=mean["gain_most"], single=single),
    ]  # fmt: skip


# ---------------------------------------------------------------------------------------- claims

THERE = {row: scores[1] for row, scores in paper.TABLE_1.items()}  # video Hit@1, %
CLIPS = paper.TABLE_1["slow"][0]
PAIRLESS = "this dataset names no such classes"
CLAIMS = (
    Claim(
        "The networks beat the feature histograms",
        f"video Hit@1 {THERE['early']} to {THERE['slow']} against {THERE['histograms']}",
        (*paper.MEMBERS, "histograms"),
        _over_histograms,
    ),
    Claim(
        "Slow fusion is the best single network",
        f"video Hit@1 {THERE['slow']}, the next {THERE['single-multires']}",
        tuple(paper.PARAMETERS),
        _beyond("slow", *(row for row in paper.PARAMETERS if row != "slow")),
    ),
    Claim(
        "Motion needs more than one frame",
        "juggling club +.12 AP of slow fusion over a single frame",
        ("single", "slow"),
        _motion,
        PAIRLESS,
    ),
    Claim(
        "Early fusion is worse than slow fusion",
        f"video Hit@1 {THERE['early']} against {THERE['slow']}",
        ("early", "slow"),
        _beyond("slow", "early"),
    ),
    Claim(
        "Two resolutions keep the accuracy at a fraction of the cost",
        "video Hit@1 {single-multires} against {single}, at 21 clips/s against 6".format_map(THERE),
        ("single", "single-multires"),
        _multires,
    ),
    Claim(
        "Fovea alone < context alone < full frame",
        "video Hit@1 {single-fovea} < {single-context} < {single}".format_map(THERE),
        ("single", "single-fovea", "single-context"),
        _views,
    ),
    Claim(
        "The average beats each of its members",
        f"video Hit@1 {THERE['average']}, the best of them {THERE['slow']}",
        ("average",),
        _average,
    ),
    Claim(
        "A video is told better than a clip",
        f"of every network, e.g. slow fusion {THERE['slow']} against {CLIPS}",
        (),
        _video_over_clip,
        "there is no run of any network",
    ),
    Claim(
        "A moving camera hurts networks that see motion",
        "so the text of Table 2; e.g. short track motor racing −.07 AP",
        ("single", "slow"),
        _camera,
        PAIRLESS,
    ),
    Claim(
        "A few classes gain a lot from motion, the mean little",
        f"ten classes +.05 to +.12 AP; video Hit@1 {THERE['slow'] - THERE['single']:+.1f} points",
        ("single", "slow"),
        _few,
    ),
)
