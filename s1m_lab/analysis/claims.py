"""The paper's claims, one by one: its evidence, ours, and a verdict by interval.

    table = claims.judge(collect(run_groups.find("pocket")))      # a row a claim

A claim comes down to comparisons, each a number with a 95 % interval and a bound. It *agrees* when
all of them agree, *disagrees* when any disagrees, else it is *undecided*: one network refutes
what is said of many, all together confirm it. `comparisons` says when a comparison decides.

To add a claim, write a function that takes the `Evidence` and returns comparisons, and a `Claim` in
`CLAIMS`, at the end of this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab import paper
from s1m_lab.analysis import run_groups, transfer
from s1m_lab.analysis.comparisons import (
    AGREES,
    DISAGREES,
    OPEN,
    Comparison,
    Side,
    compare,
    why_open,
)
from s1m_lab.analysis.evidence import Evidence, compare_hit1
from s1m_lab.analysis.intervals import resample_ratios
from s1m_lab.analysis.results import multiply_adds
from s1m_lab.common import paths
from s1m_lab.data import datasets
from s1m_lab.training import metrics, predict
from s1m_lab.training.runs import Run

CHANCE = 0.6  # pair accuracy below which a network does no better than chance, which gives a half
KEEPS = -0.02  # multires keeps the accuracy if it loses less than this
GAIN = 0.05  # ΔAP: the least gain that Table 2 lists; a class gains a lot beyond it, a mean little

Compare = Callable[[Evidence], list[Comparison]]


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, its evidence, and how ours decides it."""

    id: str
    sentence: str
    paper: str  # the paper's evidence
    compare: Compare  # the comparisons that our runs allow
    rows: tuple[str, ...] = ()  # of Table 1 that it needs
    ways: tuple[str, ...] = ()  # of retraining that it needs
    otherwise: str = ""  # why there is no comparison although there are runs


class Missing(NamedTuple):
    """What a claim needs and no run gives."""

    rows: list[str]
    ways: list[str]


# --------------------------------------------------------------------------------------- verdicts


def judge(evidence: Evidence) -> pd.DataFrame:
    """A row a claim: `id`, `claim`, `paper`, `parts` (its comparisons), `verdict`, `why` it is
    undecided, `seeds` (which sides have a single one), and the `commands` that would help.
    """
    rows = []
    for claim in CLAIMS:
        comparisons, missing = claim.compare(evidence), find_missing(claim, evidence)
        verdict = decide(comparisons, missing)
        is_open = verdict == OPEN
        why = explain(claim, comparisons, missing) if is_open else ""
        lines = commands(evidence, missing) if is_open else []
        about = claim.id, claim.sentence, claim.paper
        rows.append((*about, comparisons, verdict, why, single_seeds(comparisons), lines))
    columns = ["id", "claim", "paper", "parts", "verdict", "why", "seeds", "commands"]
    return pd.DataFrame(rows, columns=columns)


def find_missing(claim: Claim, evidence: Evidence) -> Missing:
    """The rows and ways that the claim needs and that have no run."""
    tuned = _tuned_scores(evidence)
    rows = [row for row in claim.rows if row not in evidence.rows]
    return Missing(rows, [way for way in claim.ways if way not in tuned])


def decide(comparisons: list[Comparison], missing: Missing) -> str:
    """The verdict: one comparison refutes; to agree, all must, and no run may be missing."""
    verdicts = {each.verdict for each in comparisons}
    if DISAGREES in verdicts:
        return DISAGREES
    complete = not missing.rows and not missing.ways
    return AGREES if complete and verdicts == {AGREES} else OPEN


def explain(claim: Claim, comparisons: list[Comparison], missing: Missing) -> str:
    """Why a claim is undecided: no run, no such comparison, or which comparisons are open."""
    if missing.rows or missing.ways:
        names = ["all of its members at one seed" if r == "average" else r for r in missing.rows]
        if missing.ways:
            names.append(f"{', '.join(missing.ways)} on UCF-101")
        return f"there is no run of {', '.join(names)}"
    if not comparisons:
        return claim.otherwise
    return why_open([each for each in comparisons if each.verdict == OPEN])


def single_seeds(comparisons: list[Comparison]) -> str:
    """`one seed of scratch, top`, of the sides that have a single one; else ""."""
    single = {name for each in comparisons for name in each.single}
    names = [name for name in (*paper.ROWS, *paper.RETRAINED) if name in single]
    names += sorted(single - set(names))
    return f"one seed of {', '.join(names)}" if names else ""


def commands(evidence: Evidence, missing: Missing) -> list[str]:
    """The commands that make the missing runs, each once."""
    found = evidence.found
    lines = [line for row in missing.rows for line in run_groups.command(found, row).split("\n")]
    if missing.ways:
        lines.append(run_groups.tuning_command(found, missing.ways))
    return list(dict.fromkeys(lines))


# ----------------------------------------------------------------------- comparisons of networks


def hit1_above(*pairs: tuple[str, str], bound: float = 0.0) -> Compare:
    """Video Hit@1 of the first row of each pair minus that of the second, where both have runs."""

    def comparisons(evidence: Evidence) -> list[Comparison]:
        there = [pair for pair in pairs if set(pair) <= evidence.rows.keys()]
        return [compare_hit1(evidence, one, other, bound) for one, other in there]

    return comparisons


def video_over_clip(evidence: Evidence) -> list[Comparison]:
    """Video Hit@1 minus clip Hit@1 of every network; both are of the same runs."""
    networks = {k: s for k, s in evidence.scores.items() if k not in ("histograms", "average")}
    return [
        compare(f"{name}: video − clip", Side(name, s[:, 1:2]), Side("", s[:, :1]), same=True)
        for name, s in networks.items()
    ]


def multires_saves(evidence: Evidence) -> list[Comparison]:
    """What multires loses, its speed where both networks ran alike, and its multiplications.

    Speed has no videos to draw: its interval runs from the smallest to the largest ratio of any two
    runs of the two networks, about the ratio of their means.
    """
    names = ("single-multires", "single")
    accuracy = hit1_above(names, bound=KEEPS)(evidence)
    if not accuracy:
        return []
    both = [[run.results for (run,) in evidence.rows[name].members] for name in names]
    settings = {(about["precision"], about["threads"]) for own in both for about in own}
    fast, slow = ([about["train_clips_per_second"] for about in own] for own in both)
    ends = min(fast) / max(slow), max(fast) / min(slow)
    if len(fast) * len(slow) == 1 or len(settings) > 1:
        ends = np.nan, np.nan
    mean = np.mean(fast) / np.mean(slow)
    faster = Comparison("mean clips/s, of single's", mean, *ends, "×", bound=1.0)
    multires, single = (multiply_adds(evidence.rows[name].members[0][0]) for name in names)
    ratio = multires / single
    fewer = Comparison(
        "multiplications, of single's", ratio, ratio, ratio, "×", bound=1.0, above=False
    )
    return [*accuracy, faster, fewer]


# ------------------------------------------------------------------------- comparisons of motion


def motion_needs_frames(evidence: Evidence) -> list[Comparison]:
    """Pair accuracy on motion pairs: a single frame's, and what slow fusion adds."""
    pairs = datasets.pairs(paths.dataset(evidence.found.data)).get("motion", [])
    if not pairs or not {"slow", "single"} <= evidence.rows.keys():
        return []
    sides = []
    for name in ("slow", "single"):
        counts = np.array([_pair_counts(run, pairs) for (run,) in evidence.rows[name].members])
        sides.append(Side(name, resample_ratios(counts[:, :, None], evidence.seed)))
    slow, single = sides
    nothing = Side("", np.zeros_like(single.scores[:1]))
    alone = compare("single on motion pairs", single, nothing, bound=CHANCE)
    gain = compare("slow − single on motion pairs", slow, single)
    return [alone._replace(unit="", above=False), gain]


def _pair_counts(run: Run, pairs: list[list[str]]) -> np.ndarray:
    """V×2: in how many pairs a video's own class outscores its partner, and in how many it is."""
    number, out = run.labels.index, []
    for part in predict.load_predictions(run).parts():
        scores, counts = part.video_probabilities, np.zeros((len(part.ids), 2))
        own = metrics.truth(part.labels, scores.shape[1])
        for a, b in (map(number, pair) for pair in pairs):
            one_of_two = own[:, a] != own[:, b]
            counts[one_of_two, 0] += metrics.pair_hits(scores, part.labels, a, b)
            counts[one_of_two, 1] += 1
        out.append(counts)
    return np.concatenate(out)


def camera_hurts(evidence: Evidence) -> list[Comparison]:
    """Clip Hit@1 of slow fusion minus that of a single frame, in classes whose camera moves."""
    pairs = datasets.pairs(paths.dataset(evidence.found.data)).get("camera", [])
    if not pairs or not {"slow", "single"} <= evidence.rows.keys():
        return []
    run = evidence.rows["slow"].members[0][0]
    moving = {run.labels.index(name) for pair in pairs for name in pair}
    labels = predict.load_predictions(run).labels
    counted = np.array([not moving.isdisjoint(own) for own in labels])
    sides = []
    for name in ("slow", "single"):
        row = evidence.rows[name]
        counts = np.stack(np.broadcast_arrays(row.hits[..., 0], row.clips), axis=-1)
        counts = counts * counted[:, None]
        sides.append(Side(name, resample_ratios(counts[:, :, None], evidence.seed)))
    slow, single = sides
    gain = compare("slow − single, clips under a moving camera", slow, single)
    return [gain._replace(above=False)]


def few_classes_gain(evidence: Evidence) -> list[Comparison]:
    """The class that most surely gains, and the mean over all classes.

    The class is picked for its gain, so its lower end is one that holds for all classes together.
    No class gains a lot only where the upper end of every class says so.
    """
    known, mean = evidence.gains.dropna(subset="gain"), evidence.mean_gain
    if not len(known):
        return []
    best = known.loc[known["gain_sure"].astype(float).idxmax()]
    single = tuple(row for row in ("slow", "single") if len(evidence.found.runs[row]) == 1)
    most_gain = Comparison(
        f"ΔAP of {best['class']}, picked of {len(known)}",
        float(best["gain"]),
        low=float(best["gain_sure"]),
        high=float(known["gain_high"].max()),
        bound=GAIN,
        least=best["gain_least"],
        most=known["gain_most"].max(),
        single=single,
    )
    mean_gain = Comparison(
        "mean ΔAP",
        float(mean["gain"]),
        low=float(mean["gain_low"]),
        high=float(mean["gain_high"]),
        bound=GAIN,
        above=False,
        least=mean["gain_least"],
        most=mean["gain_most"],
        single=single,
    )
    return [most_gain, mean_gain]


# --------------------------------------------------------------------- comparisons of retraining


def _tuned_scores(evidence: Evidence) -> dict[str, np.ndarray]:
    """Hit@1 by way on the first dataset of Table 3, in every resample."""
    return next(iter(evidence.transfer_scores.values()), {})


def retrained_above(*pairs: tuple[str, str]) -> Compare:
    """Video Hit@1 of the first way of each pair minus that of the second."""

    def comparisons(evidence: Evidence) -> list[Comparison]:
        scores = _tuned_scores(evidence)
        return [each for pair in pairs for each in _difference(scores, *pair)]

    return comparisons


def _difference(
    scores: dict[str, np.ndarray], one: str, other: str, what: str = ""
) -> list[Comparison]:
    """One way minus another, on the folds of both; none where they have no fold in common."""
    if not {one, other} <= scores.keys():
        return []
    folds = [np.isfinite(scores[way][..., 0]).any(axis=0) for way in (one, other)]
    if not (folds[0] & folds[1]).any():
        return []
    sides = Side(one, scores[one]), Side(other, scores[other])
    return [compare(f"{one} − {other}{what}", sides[0], sides[1])]


def three_layers_outside_sports(evidence: Evidence) -> list[Comparison]:
    """What three layers add to one in mean average precision: outside sports, and beyond sports."""
    tuned = next(iter(evidence.transfers.values()), [])  # on the first dataset of Table 3
    sports: list[str] = []
    others: list[str] = []
    for name, classes in transfer.categories(tuned).items():
        (sports if name == "Sports" else others).extend(classes)
    runs = [run for run in tuned if run.results["tune"] in ("top", "top3")]
    if not sports or not others or not runs:
        return []
    found = transfer.group_precision(runs, [others, sports], evidence.seed)
    outside = {way: scores[0] for way, scores in found.items()}
    beyond = {way: scores[0] - scores[1] for way, scores in found.items()}
    return [
        *_difference(outside, "top3", "top", ", mean AP outside sports"),
        *_difference(beyond, "top3", "top", ", mean AP outside minus in sports"),
    ]


# ---------------------------------------------------------------------------------------- claims

VIDEO = {row: scores[1] for row, scores in paper.TABLE_1.items()}  # video Hit@1, %
CLIP = {row: scores[0] for row, scores in paper.TABLE_1.items()}  # clip Hit@1, %
UCF101 = paper.TABLE_3
NO_FOLD = "the ways have no fold in common"
NO_PAIRS = "this dataset names no such classes"
CLAIMS = (
    Claim(
        "histograms",
        "The networks beat the feature histograms",
        f"video Hit@1 {VIDEO['early']} to {VIDEO['slow']} against {VIDEO['histograms']}",
        hit1_above(*((member, "histograms") for member in paper.MEMBERS)),
        rows=(*paper.MEMBERS, "histograms"),
    ),
    Claim(
        "slow",
        "Slow fusion is the best single network",
        f"video Hit@1 {VIDEO['slow']}, the next {VIDEO['single-multires']}",
        hit1_above(*(("slow", row) for row in paper.PARAMETERS if row != "slow")),
        rows=tuple(paper.PARAMETERS),
    ),
    Claim(
        "motion",
        "Motion needs more than one frame",
        "juggling club +.12 AP of slow fusion over a single frame",
        motion_needs_frames,
        rows=("single", "slow"),
        otherwise=NO_PAIRS,
    ),
    Claim(
        "early",
        "Early fusion is worse than slow fusion",
        f"video Hit@1 {VIDEO['early']} against {VIDEO['slow']}",
        hit1_above(("slow", "early")),
        rows=("early", "slow"),
    ),
    Claim(
        "multires",
        "Two resolutions keep the accuracy at a fraction of the cost",
        f"video Hit@1 {VIDEO['single-multires']} against {VIDEO['single']}, "
        "at 21 clips/s against 6",
        multires_saves,
        rows=("single", "single-multires"),
    ),
    Claim(
        "views",
        "Fovea alone < context alone < full frame",
        f"video Hit@1 {VIDEO['single-fovea']} < {VIDEO['single-context']} < {VIDEO['single']}",
        hit1_above(("single-context", "single-fovea"), ("single", "single-context")),
        rows=("single", "single-fovea", "single-context"),
    ),
    Claim(
        "average",
        "The average beats each of its members",
        f"video Hit@1 {VIDEO['average']}, the best of them {VIDEO['slow']}",
        hit1_above(*(("average", member) for member in paper.MEMBERS)),
        rows=("average",),
    ),
    Claim(
        "video",
        "A video is classified better than a clip",
        f"of every network, e.g. slow fusion {VIDEO['slow']} against {CLIP['slow']}",
        video_over_clip,
        otherwise="there is no run of any network",
    ),
    Claim(
        "camera",
        "A moving camera hurts networks that see motion",
        "so the text of Table 2; e.g. short track motor racing −.07 AP",
        camera_hurts,
        rows=("single", "slow"),
        otherwise=NO_PAIRS,
    ),
    Claim(
        "few",
        "A few classes gain a lot from motion, the mean little",
        f"ten classes +.05 to +.12 AP; video Hit@1 {VIDEO['slow'] - VIDEO['single']:+.1f} points",
        few_classes_gain,
        rows=("single", "slow"),
    ),
    Claim(
        "retraining",
        "Retraining beats training from scratch",
        f"UCF-101, Hit@1 {UCF101['all']} to {UCF101['top3']} against {UCF101['scratch']}",
        retrained_above(("top", "scratch"), ("top3", "scratch"), ("all", "scratch")),
        ways=paper.RETRAINED,
        otherwise=NO_FOLD,
    ),
    Claim(
        "three-layers",
        "Of all ways, the top 3 layers are the best to retrain",
        f"UCF-101, Hit@1 {UCF101['top3']}, the next {UCF101['top']}",
        retrained_above(("top3", "top"), ("top3", "all"), ("top3", "scratch")),
        ways=paper.RETRAINED,
        otherwise=NO_FOLD,
    ),
    Claim(
        "outside-sports",
        "What three layers add to one, they add outside sports",
        "UCF-101, mean AP of sports .80 → .79, of the other groups +.03 to +.19",
        three_layers_outside_sports,
        ways=("top", "top3"),
        otherwise=f"this dataset names no groups of classes, or {NO_FOLD}",
    ),
)
