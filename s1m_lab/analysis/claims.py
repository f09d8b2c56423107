"""The paper's claims, one by one: its evidence, ours, and a verdict by interval.

    found = rows.find("pocket")
    table = claims.judge(found, rows.score(found), gains, mean, transfers)      # a row a claim

A claim comes down to comparisons, each a number with a 95 % interval and a bound. It *agrees* when
every interval lies wholly on the claimed side of its bound, *disagrees* when any lies wholly on the
other, else it *cannot be told*: what is said of many networks is refuted by one, held up by all.

Intervals draw test videos, those of UCF-101 in whole groups, and say nothing of other seeds, so a
comparison decides only where every pair of seeds of its two sides is on the same side of the bound
too (`comparisons`). Where a side has a single seed, that is said beside the verdict. Speed has no
videos to draw: its interval runs from the least to the greatest ratio between any two runs of the
two networks, about the ratio of their means.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab import paper
from s1m_lab.analysis import transfer
from s1m_lab.analysis.comparisons import (
    AGREES,
    DISAGREES,
    OPEN,
    Part,
    Side,
    compare,
    hit1,
    undecided,
)
from s1m_lab.analysis.intervals import drawn, shares
from s1m_lab.analysis.results import by_data, categories, multiply_adds, tuning
from s1m_lab.analysis.run_groups import Found, Row, command
from s1m_lab.common import paths
from s1m_lab.data import datasets
from s1m_lab.training import metrics, predict
from s1m_lab.training.runs import Run

LUCK = 0.6  # pair accuracy below which a network is as good as blind; luck alone gives a half
KEEPS = -0.02  # multires keeps the accuracy if it loses less than this
GAIN = 0.05  # ΔAP: the least gain that Table 2 lists; a class gains a lot beyond it, a mean little


class Evidence(NamedTuple):
    """What all claims are judged by."""

    found: Found
    rows: dict[str, Row]
    drawn: dict[str, np.ndarray]  # their scores in every draw of videos
    table2: pd.DataFrame
    mean: pd.Series  # of it
    tuned: list[Run]  # on the first dataset of Table 3 …
    retrained: dict[str, np.ndarray]  # … and by way their Hit@1 in every draw of groups
    folder: Path
    seed: int


class Claim(NamedTuple):
    text: str
    paper: str
    needs: tuple[str, ...]  # rows
    parts: Callable[[Evidence], list[Part]]
    lacking: str = ""  # why there is no part although there are runs
    ways: tuple[str, ...] = ()  # of retraining that it needs


def judge(
    found: Found,
    rows: dict[str, Row],
    table2: pd.DataFrame,
    mean: pd.Series,
    transfers: list[Run],
    seed: int = 0,
) -> pd.DataFrame:
    """A row a claim: `claim`, `paper`, `parts` (a list), `verdict`, `why` it cannot be told,
    `seeds` (which sides have a single one, in words) and the `commands` that would help. `table2`
    and `mean` are those of `results.table2`, `transfers` those of `results.transfers`."""
    tuned = next(iter(by_data(transfers).values()), [])
    retrained = transfer.by_seed(tuned, seed) if tuned else {}
    folder, scores = paths.dataset(found.data), drawn(rows, seed)
    evidence = Evidence(found, rows, scores, table2, mean, tuned, retrained, folder, seed)
    out = []
    for claim in CLAIMS:
        missing = [row for row in claim.needs if row not in rows]
        ways = [way for way in claim.ways if way not in retrained]
        parts = claim.parts(evidence)
        verdicts = {part.verdict for part in parts}
        verdict, why = OPEN, ""
        if DISAGREES in verdicts:
            verdict = DISAGREES
        elif missing or ways:
            names = ["all of its members at one seed" if m == "average" else m for m in missing]
            names += [f"{', '.join(ways)} on UCF-101"] * bool(ways)
            why = "there is no run of " + ", ".join(names)
        elif not parts:
            why = claim.lacking
        elif OPEN in verdicts:
            why = undecided([part for part in parts if part.verdict == OPEN])
        else:
            verdict = AGREES
        lines = [line for row in missing for line in command(found, row).split("\n")]
        lines += [tuning(found, ways)] if ways else []
        commands = list(dict.fromkeys(lines)) if verdict == OPEN else []
        names = [*paper.ROWS, *paper.RETRAINED]
        single = [name for name in names if any(name in part.single for part in parts)]
        seeds = f"one seed of {', '.join(single)}" if single else ""
        out.append((claim.text, claim.paper, parts, verdict, why, seeds, commands))
    columns = ["claim", "paper", "parts", "verdict", "why", "seeds", "commands"]
    return pd.DataFrame(out, columns=columns)


# ----------------------------------------------------------------------------------- comparisons


def _hit1(evidence: Evidence, one: str, other: str, bound: float = 0.0) -> list[Part]:
    """Video Hit@1 of one row less that of another, if there are both."""
    if not {one, other} <= evidence.rows.keys():
        return []
    return [hit1(evidence.rows, evidence.drawn, one, other, bound)]


def _above(*pairs: tuple[str, str]) -> Callable[[Evidence], list[Part]]:
    """Video Hit@1 of the first row of each pair less that of the second."""
    return lambda evidence: [part for pair in pairs for part in _hit1(evidence, *pair)]


def _video_over_clip(evidence: Evidence) -> list[Part]:
    by_clip = {k: s for k, s in evidence.drawn.items() if k not in ("histograms", "average")}
    return [
        compare(f"{name}: video − clip", Side(name, s[:, 1:2]), Side("", s[:, :1]), same=True)
        for name, s in by_clip.items()
    ]


def _camera(evidence: Evidence) -> list[Part]:
    """Clip Hit@1 of slow fusion less that of a single frame, where the camera never rests."""
    classes = sum(datasets.pairs(evidence.folder).get("camera", []), [])
    if not classes or not {"slow", "single"} <= evidence.rows.keys():
        return []
    run = evidence.rows["slow"].members[0][0]
    wanted = {run.labels.index(name) for name in classes}
    moving = np.array([not wanted.isdisjoint(own) for own in predict.load_predictions(run).labels])
    both = []
    for name in ("slow", "single"):
        row = evidence.rows[name]
        values = np.stack(np.broadcast_arrays(row.hits[..., 0], row.clips), -1) * moving[:, None]
        both.append(Side(name, shares(values[:, :, None], evidence.seed)))
    return [compare("slow − single, clips under a moving camera", *both)._replace(above=False)]


def _motion(evidence: Evidence) -> list[Part]:
    """Pair accuracy on motion pairs: a single frame's, and what slow fusion adds."""
    pairs = datasets.pairs(evidence.folder).get("motion", [])
    if not pairs or not {"slow", "single"} <= evidence.rows.keys():
        return []
    both = []
    for name in ("slow", "single"):
        told = np.array([_told(run, pairs) for (run,) in evidence.rows[name].members])
        both.append(Side(name, shares(told[:, :, None], evidence.seed)))
    nothing = Side("", np.zeros_like(both[1].scores[:1]))
    alone = compare("single on motion pairs", both[1], nothing, bound=LUCK)
    gained = compare("slow − single on motion pairs", *both)
    return [alone._replace(unit="", above=False), gained]


def _told(run: Run, pairs: list[list[str]]) -> np.ndarray:
    """V×2: in how many pairs a video's own class outscores its partner, and of how many it is."""
    number, out = run.labels.index, []
    for part in predict.load_predictions(run).parts():
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
    fast, slow = ([run["train_clips_per_second"] for run in own] for own in (multires, single))
    ends = min(fast) / max(slow), max(fast) / min(slow)
    if len(fast) * len(slow) == 1 or len(kinds) > 1:
        ends = np.nan, np.nan
    faster = Part("mean clips/s, of single's", np.mean(fast) / np.mean(slow), *ends, "×", bound=1.0)
    sums = [multiply_adds(evidence.rows[row].members[0][0]) for row in rows]
    fewer = Part("multiplications, of single's", *[sums[0] / sums[1]] * 3, "×", 1.0, above=False)
    return [*parts, faster, fewer]


def _few(evidence: Evidence) -> list[Part]:
    """The class that most surely gains, and the mean over all classes.

    The class is picked for its gain, so its lower end is one that holds for all classes at once; no
    class gains a lot only where the upper end of every class says so.
    """
    known = evidence.table2.dropna(subset="gain")
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


def _retrained(*pairs: tuple[str, str]) -> Callable[[Evidence], list[Part]]:
    """Video Hit@1 of the first way of each pair less that of the second."""
    return lambda evidence: [p for pair in pairs for p in _apart(*pair, evidence.retrained)]


def _apart(one: str, other: str, scores: dict[str, np.ndarray], what: str = "") -> list[Part]:
    """The difference of two ways on the folds of both, if there are such."""
    if not {one, other} <= scores.keys():
        return []
    there = [np.isfinite(scores[way][..., 0]).any(axis=0) for way in (one, other)]
    if not np.logical_and(*there).any():
        return []
    return [compare(f"{one} − {other}{what}", Side(one, scores[one]), Side(other, scores[other]))]


def _outside_sports(evidence: Evidence) -> list[Part]:
    """What three layers add to one in mean average precision: outside sports, and beyond sports."""
    groups, own = categories(evidence.tuned), {}
    for name, classes in groups.items():
        own.setdefault(name == "Sports", []).extend(classes)
    several = [run for run in evidence.tuned if run.results["tune"] in ("top", "top3")]
    if len(own) < 2 or not several:
        return []
    found = transfer.precisions(several, [own[False], own[True]], evidence.seed)
    others = {way: scores[0] for way, scores in found.items()}
    beyond = {way: scores[0] - scores[1] for way, scores in found.items()}
    return [
        *_apart("top3", "top", others, ", mean AP outside sports"),
        *_apart("top3", "top", beyond, ", mean AP outside less in sports"),
    ]


# ---------------------------------------------------------------------------------------- claims

THERE = {row: scores[1] for row, scores in paper.TABLE_1.items()}  # video Hit@1, %
CLIPS = paper.TABLE_1["slow"][0]
THIRD = paper.TABLE_3
APART = "the ways have no fold in common"
PAIRLESS = "this dataset names no such classes"
CLAIMS = (
    Claim(
        "The networks beat the feature histograms",
        f"video Hit@1 {THERE['early']} to {THERE['slow']} against {THERE['histograms']}",
        (*paper.MEMBERS, "histograms"),
        _above(*((member, "histograms") for member in paper.MEMBERS)),
    ),
    Claim(
        "Slow fusion is the best single network",
        f"video Hit@1 {THERE['slow']}, the next {THERE['single-multires']}",
        tuple(paper.PARAMETERS),
        _above(*(("slow", row) for row in paper.PARAMETERS if row != "slow")),
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
        _above(("slow", "early")),
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
        _above(("single-context", "single-fovea"), ("single", "single-context")),
    ),
    Claim(
        "The average beats each of its members",
        f"video Hit@1 {THERE['average']}, the best of them {THERE['slow']}",
        ("average",),
        _above(*(("average", member) for member in paper.MEMBERS)),
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
    Claim(
        "Retraining beats training from scratch",
        f"UCF-101, Hit@1 {THIRD['all']} to {THIRD['top3']} against {THIRD['scratch']}",
        (),
        _retrained(("top", "scratch"), ("top3", "scratch"), ("all", "scratch")),
        APART,
        paper.RETRAINED,
    ),
    Claim(
        "Of all ways, the top 3 layers are the best to retrain",
        f"UCF-101, Hit@1 {THIRD['top3']}, the next {THIRD['top']}",
        (),
        _retrained(("top3", "top"), ("top3", "all"), ("top3", "scratch")),
        APART,
        paper.RETRAINED,
    ),
    Claim(
        "What three layers add to one, they add outside sports",
        "UCF-101, mean AP of sports .80 → .79, of the other groups +.03 to +.19",
        (),
        _outside_sports,
        "this dataset names no groups of classes, or the ways have no fold in common",
        ("top", "top3"),
    ),
)
