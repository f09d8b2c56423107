"""The paper's claims, one by one: its evidence, ours, and a verdict by interval.

    table = claims.judge(collect(run_groups.find("pocket")))      # a row a claim

A claim comes down to comparisons, each a number with a 95 % interval and a bound. It *agrees* when
all of them agree, *disagrees* when any disagrees, else it is *undecided*: one network refutes
a claim about many, all together confirm it. `comparisons` says when a comparison decides.

To add a claim, add a `Claim` to `CLAIMS`, at the end of this file. Where it compares more than the
Hit@1 of two sides, write a function that takes the `Evidence` and returns comparisons.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab import paper
from s1m_lab.analysis import comparisons, run_groups, transfer
from s1m_lab.analysis.comparisons import AGREES, DISAGREES, OPEN, Comparison, Side, compare
from s1m_lab.analysis.evidence import CLIP_HIT1, Evidence, Row, compare_hit1
from s1m_lab.analysis.intervals import resample_ratios
from s1m_lab.analysis.results import multiply_adds
from s1m_lab.common import paths
from s1m_lab.data import datasets
from s1m_lab.training import metrics, predict, torchvision_models
from s1m_lab.training.runs import Run

CHANCE = 0.6  # pair accuracy below which a network does no better than chance, which gives a half
KEEPS = -0.02  # multires keeps the accuracy if it loses less than this
GAIN = 0.05  # ΔAP: the least gain that Table 2 lists; a class gains a lot beyond it, a mean little


class Claim(NamedTuple):
    """A sentence of the paper, its evidence, and how ours decides it."""

    id: str
    sentence: str
    paper: str  # the paper's evidence
    needs: tuple[str, ...] = ()  # rows of Table 1, or ways of retraining
    # In video Hit@1 the first of each pair beats the second by more than `bound`.
    pairs: tuple[tuple[str, str], ...] = ()
    bound: float = 0.0
    measure: Callable[[Evidence], list[Comparison]] | None = None  # further comparisons
    otherwise: str = ""  # why there is no comparison although there are runs


# --------------------------------------------------------------------------------------- verdicts


def judge(evidence: Evidence) -> pd.DataFrame:
    """A row a claim: `id`, `claim`, `paper`, `parts` (its comparisons), `verdict`, `why` it is
    undecided, `seeds` (which sides have a single one), and the `commands` that would help.
    """
    rows = []
    there = evidence.rows.keys() | _tuned_scores(evidence).keys()
    for claim in CLAIMS:
        missing = [name for name in claim.needs if name not in there]
        parts = [part for pair in claim.pairs for part in hit1_above(evidence, *pair, claim.bound)]
        if claim.measure and not missing:
            parts += claim.measure(evidence)
        verdict = decide(parts, missing)
        is_open = verdict == OPEN
        rows.append(
            {
                "id": claim.id,
                "claim": claim.sentence,
                "paper": claim.paper,
                "parts": parts,
                "verdict": verdict,
                "why": explain(claim, parts, missing) if is_open else "",
                "seeds": single_seeds(parts),
                "commands": run_groups.commands(evidence.found, missing) if is_open else [],
            }
        )
    return pd.DataFrame(rows)


def decide(parts: list[Comparison], missing: list[str]) -> str:
    """The verdict: one comparison refutes; to agree, all must, and no run may be missing."""
    verdicts = {part.verdict for part in parts}
    if DISAGREES in verdicts:
        return DISAGREES
    return AGREES if verdicts == {AGREES} and not missing else OPEN


def explain(claim: Claim, parts: list[Comparison], missing: list[str]) -> str:
    """Why a claim is undecided: no run, no such comparison, or which comparisons are open."""
    if missing:
        names = ", ".join(missing).replace("average", "all of its members at one seed")
        where = " on UCF-101" if missing[0] in paper.RETRAINED else ""
        return f"there is no run of {names}{where}"
    if not parts:
        return claim.otherwise
    return comparisons.why_open([part for part in parts if part.verdict == OPEN])


def single_seeds(parts: list[Comparison]) -> str:
    """`one seed of scratch, top`, of the sides that have a single one; else ""."""
    single = {name for part in parts for name in part.single}
    order = [*paper.ROWS, *paper.RETRAINED, *sorted(single)]
    return f"one seed of {', '.join(sorted(single, key=order.index))}" if single else ""


# ------------------------------------------------------------------------------------ comparisons


def hit1_above(evidence: Evidence, one: str, other: str, bound: float) -> list[Comparison]:
    """Video Hit@1 of one row of Table 1 minus that of another, or of one way of retraining minus
    another; none where a side has no run."""
    if {one, other} <= evidence.rows.keys():
        return [compare_hit1(evidence, one, other, bound)]
    return way_above(_tuned_scores(evidence), one, other)


def _tuned_scores(evidence: Evidence) -> dict[str, np.ndarray]:
    """Hit@1 by way on the first dataset of Table 3, in every resample."""
    return next(iter(evidence.transfer_scores.values()), {})


def way_above(
    scores: dict[str, np.ndarray], one: str, other: str, what: str = ""
) -> list[Comparison]:
    """One way minus another, on the folds of both; none where they have no fold in common."""
    if not {one, other} <= scores.keys():
        return []
    gain = compare(f"{one} − {other}{what}", Side(one, scores[one]), Side(other, scores[other]))
    return [] if np.isnan(gain.value) else [gain]


def video_over_clip(evidence: Evidence) -> list[Comparison]:
    """Video Hit@1 minus clip Hit@1 of every network of ours; both are of the same runs."""
    return [
        compare(f"{name}: video − clip", Side(name, s[:, 1:2]), Side("", s[:, :1]), same=True)
        for name, s in evidence.scores.items()
        if name not in ("histograms", "average", *torchvision_models.NAMES)
    ]


def multires_saves(evidence: Evidence) -> list[Comparison]:
    """The speed of multires where both networks ran alike, and its multiplications.

    Speed has no videos to draw: its interval runs from the smallest to the largest ratio of any two
    runs of the two networks, about the ratio of their means.
    """
    rows = evidence.rows["single-multires"], evidence.rows["single"]
    both = [[run for (run,) in row.members] for row in rows]
    settings = {(run.results["precision"], run.results["threads"]) for own in both for run in own}
    fast, slow = ([run.results["train_clips_per_second"] for run in own] for own in both)
    ends = min(fast) / max(slow), max(fast) / min(slow)
    if len(fast) * len(slow) == 1 or len(settings) > 1:
        ends = np.nan, np.nan
    speed = np.mean(fast) / np.mean(slow)
    sums = multiply_adds(both[0][0]) / multiply_adds(both[1][0])
    return [
        Comparison("mean clips/s, of single's", speed, *ends, "×", bound=1.0),
        Comparison("multiplications, of single's", sums, sums, sums, "×", bound=1.0, above=False),
    ]


def motion_needs_frames(evidence: Evidence) -> list[Comparison]:
    """Pair accuracy on motion pairs: a single frame's, and what slow fusion adds."""
    pairs = _class_pairs(evidence, "motion")
    if not pairs:
        return []
    slow, single = _slow_and_single(
        evidence, lambda row: np.array([_pair_counts(run, pairs) for (run,) in row.members])
    )
    nothing = Side("", np.zeros_like(single.scores[:1]))
    alone = compare("single on motion pairs", single, nothing, bound=CHANCE)
    gain = compare("slow − single on motion pairs", slow, single)
    return [alone._replace(unit="", above=False), gain]


def camera_hurts(evidence: Evidence) -> list[Comparison]:
    """Clip Hit@1 of slow fusion minus that of a single frame, in classes whose camera moves."""
    pairs = _class_pairs(evidence, "camera")
    if not pairs:
        return []
    run = evidence.rows["slow"].members[0][0]
    moving = {run.labels.index(name) for pair in pairs for name in pair}
    labels = predict.load_predictions(run).labels
    counted = np.array([not moving.isdisjoint(own) for own in labels])
    slow, single = _slow_and_single(
        evidence, lambda row: row.counts[:, :, CLIP_HIT1] * counted[:, None]
    )
    gain = compare("slow − single, clips under a moving camera", slow, single)
    return [gain._replace(above=False)]


def _class_pairs(evidence: Evidence, kind: str) -> list[list[str]]:
    """The pairs of classes of one kind in the dataset; none where it names no such pairs."""
    return datasets.pairs(paths.dataset(evidence.found.data)).get(kind, [])


def _pair_counts(run: Run, pairs: list[list[str]]) -> np.ndarray:
    """V×2: in how many pairs a video's own class outscores its partner, and in how many it is."""
    saved = predict.load_predictions(run)
    scores, counts = saved.video_probabilities, np.zeros((len(saved.ids), 2))
    own = metrics.truth(saved.labels, len(run.labels))
    for a, b in (map(run.labels.index, pair) for pair in pairs):
        one_of_two = own[:, a] != own[:, b]
        counts[one_of_two, 0] += metrics.pair_hits(scores, saved.labels, a, b)
        counts[one_of_two, 1] += 1
    return counts


def _slow_and_single(evidence: Evidence, count: Callable[[Row], np.ndarray]) -> list[Side]:
    """Slow fusion and a single frame. `count` returns S×V×2 of a row: for each seed and video, how
    many of its clips or pairs are right, and how many there are."""
    counts = {name: count(evidence.rows[name])[:, :, None] for name in ("slow", "single")}
    return [Side(name, resample_ratios(own, evidence.seed)) for name, own in counts.items()]


def few_classes_gain(evidence: Evidence) -> list[Comparison]:
    """The class that most surely gains, and the mean over all classes.

    The class is picked for its gain, so its lower end is one that holds for all classes together.
    No class gains a lot only where the upper end of every class says so.
    """
    known = evidence.gains.dropna(subset="gain")
    best = known.loc[known["gain_sure"].astype(float).idxmax()]
    picked = Comparison(
        f"ΔAP of {best['class']}, picked of {len(known)}",
        value=float(best["gain"]),
        low=float(best["gain_sure"]),
        high=float(known["gain_high"].max()),
        least=best["gain_least"],
        most=known["gain_most"].max(),
    )
    numbers = ["gain", "gain_low", "gain_high", "gain_least", "gain_most"]
    gain, low, high, least, most = evidence.mean_gain[numbers].astype(float)
    mean = Comparison("mean ΔAP", gain, low, high, above=False, least=least, most=most)
    single = tuple(row for row in ("slow", "single") if len(evidence.rows[row].members) == 1)
    return [each._replace(bound=GAIN, single=single) for each in (picked, mean)]


def three_layers_outside_sports(evidence: Evidence) -> list[Comparison]:
    """What three layers add to one in mean average precision: outside sports, and beyond sports."""
    tuned = next(iter(evidence.transfers.values()))  # on the first dataset of Table 3
    groups = transfer.categories(tuned)
    sports = groups.get("Sports", [])
    others = [label for name in groups if name != "Sports" for label in groups[name]]
    if not sports or not others:
        return []
    runs = [run for run in tuned if run.results["tune"] in ("top", "top3")]
    found = transfer.group_precision(runs, [others, sports], evidence.seed)
    outside = {way: scores[0] for way, scores in found.items()}
    beyond = {way: scores[0] - scores[1] for way, scores in found.items()}
    return [
        *way_above(outside, "top3", "top", ", mean AP outside sports"),
        *way_above(beyond, "top3", "top", ", mean AP outside minus in sports"),
    ]


# ---------------------------------------------------------------------------------------- claims

CLIP = {row: scores[0] for row, scores in paper.TABLE_1.items()}  # clip Hit@1, %
VIDEO = {row: scores[1] for row, scores in paper.TABLE_1.items()}  # video Hit@1, %
UCF101 = paper.TABLE_3
NO_FOLD = "the ways have no fold in common"
NO_PAIRS = "this dataset names no such classes"
CLAIMS = (
    Claim(
        "histograms",
        "The networks beat the feature histograms",
        f"video Hit@1 {VIDEO['early']} to {VIDEO['slow']} against {VIDEO['histograms']}",
        needs=(*paper.MEMBERS, "histograms"),
        pairs=tuple((member, "histograms") for member in paper.MEMBERS),
    ),
    Claim(
        "slow",
        "Slow fusion is the best single network",
        f"video Hit@1 {VIDEO['slow']}, the next {VIDEO['single-multires']}",
        needs=tuple(paper.PARAMETERS),
        pairs=tuple(("slow", row) for row in paper.PARAMETERS if row != "slow"),
    ),
    Claim(
        "motion",
        "Motion needs more than one frame",
        "juggling club +.12 AP of slow fusion over a single frame",
        needs=("single", "slow"),
        measure=motion_needs_frames,
        otherwise=NO_PAIRS,
    ),
    Claim(
        "early",
        "Early fusion is worse than slow fusion",
        f"video Hit@1 {VIDEO['early']} against {VIDEO['slow']}",
        needs=("early", "slow"),
        pairs=(("slow", "early"),),
    ),
    Claim(
        "multires",
        "Two resolutions keep the accuracy at a fraction of the cost",
        f"video Hit@1 {VIDEO['single-multires']} against {VIDEO['single']}, "
        "at 21 clips/s against 6",
        needs=("single", "single-multires"),
        pairs=(("single-multires", "single"),),
        bound=KEEPS,
        measure=multires_saves,
    ),
    Claim(
        "views",
        "Fovea alone < context alone < full frame",
        f"video Hit@1 {VIDEO['single-fovea']} < {VIDEO['single-context']} < {VIDEO['single']}",
        needs=("single", "single-fovea", "single-context"),
        pairs=(("single-context", "single-fovea"), ("single", "single-context")),
    ),
    Claim(
        "average",
        "The average beats each of its members",
        f"video Hit@1 {VIDEO['average']}, the best of them {VIDEO['slow']}",
        needs=("average",),
        pairs=tuple(("average", member) for member in paper.MEMBERS),
    ),
    Claim(
        "video",
        "A video is classified better than a clip",
        f"of every network, e.g. slow fusion {VIDEO['slow']} against {CLIP['slow']}",
        measure=video_over_clip,
        otherwise="there is no run of any network",
    ),
    Claim(
        "camera",
        "A moving camera hurts networks that see motion",
        "so the text of Table 2; e.g. short track motor racing −.07 AP",
        needs=("single", "slow"),
        measure=camera_hurts,
        otherwise=NO_PAIRS,
    ),
    Claim(
        "few",
        "A few classes gain a lot from motion, the mean little",
        f"ten classes +.05 to +.12 AP; video Hit@1 {VIDEO['slow'] - VIDEO['single']:+.1f} points",
        needs=("single", "slow"),
        measure=few_classes_gain,
    ),
    Claim(
        "retraining",
        "Retraining beats training from scratch",
        f"UCF-101, Hit@1 {UCF101['all']} to {UCF101['top3']} against {UCF101['scratch']}",
        needs=paper.RETRAINED,
        pairs=(("top", "scratch"), ("top3", "scratch"), ("all", "scratch")),
        otherwise=NO_FOLD,
    ),
    Claim(
        "three-layers",
        "Of all ways, the top 3 layers are the best to retrain",
        f"UCF-101, Hit@1 {UCF101['top3']}, the next {UCF101['top']}",
        needs=paper.RETRAINED,
        pairs=(("top3", "top"), ("top3", "all"), ("top3", "scratch")),
        otherwise=NO_FOLD,
    ),
    Claim(
        "outside-sports",
        "What three layers add to one, they add outside sports",
        "UCF-101, mean AP of sports .80 → .79, of the other groups +.03 to +.19",
        needs=("top", "top3"),
        measure=three_layers_outside_sports,
        otherwise=f"this dataset names no groups of classes, or {NO_FOLD}",
    ),
)
