"""Transfer to UCF-101: ways of tuning side by side, class by class, and with few videos.

    draw_standings(transfer.standings(transfer.hit1_by_seed(tuned_runs)))

Every function takes a table of `analysis.transfer`. A way of tuning has one
colour everywhere, and one mark where no row has its name; the paper's numbers are grey rings.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from s1m_lab.analysis.comparisons import DISAGREES, OPEN, with_unit
from s1m_lab.analysis.transfer import GAIN, SCRATCH
from s1m_lab.figures import style
from s1m_lab.figures.tables import both_ends

SHADES = {"scratch": "#777777", "top": "#56B4E9", "top3": "#CC79A7", "all": "#8F7F00"}
MARKS = {"scratch": "o", "top": "^", "top3": "s", "all": "D"}
NAMES = {"scratch": "from scratch", "top": "top layer", "top3": "top 3 layers", "all": "all layers"}


def _look(way: str) -> dict:
    """The colour and the mark of a way, for `Axes.plot`."""
    return {"color": SHADES.get(way, style.INK), "marker": MARKS.get(way, "P")}


def way_name(way: str) -> str:
    """A way of tuning in words; another network by its own name."""
    return NAMES.get(way, way)


def summarize(table: pd.DataFrame) -> str:
    """One line: the best way of tuning, the ways that tie with it, and its gain over scratch."""
    tuned = table.drop(SCRATCH, errors="ignore")
    if tuned.empty:
        return f"Training from scratch classifies {table['ours'].max():.1%} of videos correctly"
    best = tuned["best"].idxmax()
    name, share = way_name(best), f"{tuned['ours'][best]:.1%}"
    if len(table) == 1:
        return f"Tuning the {name} classifies {share} of videos correctly"
    others = [way_name(way) for way in tuned.index[tuned["ties"].astype(bool)] if way != best]
    ties = f", which ties with {' and '.join(others)}" if others else ""
    text = f"Best tuned: {name} ({share}){ties}"
    if tuned["gain"][best] < 0:
        scratch = f"Training from scratch ({table['ours'][SCRATCH]:.1%})"
        beats = "beats" if tuned["verdict"][best] == DISAGREES else "does not surely beat"
        text = f"{scratch} {beats} tuning, at best {name} ({share}){ties}"
    return text + _gain_over_scratch(tuned.loc[best])


def _gain_over_scratch(row: pd.Series) -> str:
    """`: +7.6 points against scratch (+4.0 to +11.1)` and the range over seeds; "" if unknown."""
    if np.isnan(row["gain"]):
        return ""
    gain, low, high, least, most = (with_unit(row[k], "points") for k in (*GAIN, "least", "most"))
    seeds = f", by seed {least} to {most}" if row["most"] > row["least"] else ""
    return f": {gain} points against scratch ({low} to {high}{seeds})"


@style.styled
def draw_standings(table: pd.DataFrame) -> Figure:
    """Table 3: Hit@1 of each way with its interval and folds, and its gain over scratch.

    `table` is `transfer.standings`.
    """
    fig, ((left, right),) = style.new_figure(1, 2, 1.5 + 0.5 * len(table), width_ratios=[3, 2])
    scores = ["paper", "ours", "ours_low", "ours_high", *GAIN]
    percent = 100 * table.rename(columns={"low": "ours_low", "high": "ours_high"})[scores]
    several, rows = table["folds"].map(len).max() > 1, np.arange(len(table))
    colours = [_look(way)["color"] for way in table.index]
    for ax, name in ((left, "ours"), (right, "gain")):
        style.draw_intervals(ax, percent, name, rows - 0.08, colours, markersize=9)
    style.name_rows(left, [way_name(way) for way in table.index])
    style.name_rows(right, [""] * len(table))
    gains = table["gain"].astype(float)
    style.note_rows(right, [with_unit(x, "points") if np.isfinite(x) else "" for x in gains])
    if several:
        folds = table["folds"].set_axis(rows).explode().astype(float)
        shades = [colours[row] for row in folds.index]
        left.scatter(100 * folds, folds.index - 0.34, marker="|", s=36, linewidths=1, c=shades)
    published = percent["paper"] - percent["paper"].get(SCRATCH, np.nan)
    for ax, ring in ((left, percent["paper"]), (right, published.mask(table.index == SCRATCH))):
        ax.plot(ring, rows + 0.22, "o", markersize=9, **style.RING)
    left.set(xlim=(0, 102), xlabel="video Hit@1 (%)")
    left.set_title("Mean of the folds" if several else "One fold")
    right.set(xlabel="video Hit@1 (points)", title="Gain over scratch")
    right.set_visible(gains.notna().any())
    right.axvline(0, color=style.INK, linewidth=1)
    handles = [
        style.legend_dot("here, 95 % interval over groups", linestyle="-"),
        style.legend_dot("the paper, on UCF-101", markersize=9, **style.RING),
    ]
    handles += [style.legend_dot("each fold", marker="|")] if several else []
    fig.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9)
    return style.headline(fig, summarize(table))


@style.styled
def draw_classes(table: pd.DataFrame, way: str) -> Figure:
    """Average precision of each class from scratch and tuned, the largest gain on top.

    `table` is `transfer.class_precision`; of more than 30 classes it shows both ends.
    """
    shown = both_ends(table, 15)
    fig, ((left, right),) = style.new_figure(1, 2, 1.3 + 0.21 * len(shown), sharey=True)
    rows = range(len(shown))
    left.hlines(rows, shown[SCRATCH], shown[way], color=style.FAINT, linewidth=2, zorder=1)
    for each in (SCRATCH, way):
        look = _look(each)
        left.plot(shown[each], rows, linestyle="", markersize=7, label=way_name(each), **look)
    style.draw_intervals(right, shown, "gain", colour=look["color"], marker=look["marker"])
    right.axvline(0, color=style.INK, linewidth=1)
    for ax in (left, right):
        style.name_rows(ax, shown["class"], 28)
    left.set(xlim=(-0.02, 1.02), xlabel="average precision")
    right.set_xlabel("average precision gained, 95 % interval over groups")
    fig.legend(loc="outside lower left", ncols=2, fontsize=9)
    return style.headline(fig, summarize_classes(table))


def summarize_classes(table: pd.DataFrame) -> str:
    """How many classes surely gain and lose, or why that is not known; as in `draw_classes`."""
    if table.empty:
        return "Nothing to compare: scratch and another way are both needed (leave tune empty)"
    up, down = (table["gain_low"] > 0).sum(), (table["gain_high"] < 0).sum()
    return f"Of {len(table)} classes {up} gain and {down} lose beyond their interval"


@style.styled
def draw_curve(curve: pd.DataFrame, chance: float) -> Figure:
    """Hit@1 and the gain of pre-training by the number of training videos a class.

    `curve` is `transfer.curve`; `chance` is a share.
    """
    fig, ((left, right),) = style.new_figure(1, 2, 3.6)
    ways = list(curve.index.get_level_values("way").unique())
    for n, way in enumerate(ways):
        own, look = curve.xs(way, level="way").sort_index(), _look(way)
        left.plot(own.index, 100 * own["ours"], markersize=7, label=way_name(way), **look)
        beside = own.index * 1.08 ** (n - len(ways) / 2)  # so that none hides another
        right.vlines(beside, 100 * own["gain_low"], 100 * own["gain_high"], color=look["color"])
        right.plot(beside, 100 * own["gain"], linestyle="", markersize=7, **look)
    style.mark_chance(left, 100 * chance)
    right.axhline(0, color=style.INK, linewidth=1)
    right.set_visible(curve["gain"].notna().any())
    counts = sorted(set(curve.index.get_level_values("videos")))
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xticks(counts, [f"{n:.3g}" for n in counts])
        ax.minorticks_off()
        ax.set_xlabel("training videos a class (log axis)")
        ax.grid(axis="y")
    left.set(title="From scratch and pre-trained", ylabel="video Hit@1 (%)", ylim=(0, 102))
    right.set(title="Gain over scratch", ylabel="points, 95 % interval")
    fig.legend(loc="outside lower left", ncols=4, fontsize=9)
    return style.headline(fig, _gains_at_both_ends(curve))


def _gains_at_both_ends(curve: pd.DataFrame) -> str:
    """Gains with the fewest and the most videos, of the way that is best with the fewest."""
    known = curve.dropna(subset=["gain"])
    if known.empty:
        return "Hit@1 by the number of training videos"
    way = known.loc[known.index.get_level_values("videos").min()]["gain"].idxmax()
    own = known.xs(way, level="way").sort_index()
    parts: list[str] = []
    for videos, row in own.iloc[[0, -1] if len(own) > 1 else [0]].iterrows():
        gain, low, high = (with_unit(row[key], "points") for key in GAIN)
        split = row["verdict"] == OPEN and not row["gain_low"] <= 0 <= row["gain_high"]
        what = "" if parts else f" training video{'s' if videos > 1 else ''} a class"
        seeds = ", seeds differ" if split else ""
        parts.append(f"{gain} points with {videos:.3g}{what} ({low} to {high}{seeds})")
    name = way_name(way)
    return f"{name[0].upper()}{name[1:]} over scratch: {'; '.join(parts)}"
