"""One training: the shapes of its network, its curve, its scores beside the paper's, its pairs.

draw_training_curve(run.metrics, "slow")
draw_scores(run.results, "slow", "…")                 # beside the paper's row of Table 1
"""

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from s1m_lab import paper
from s1m_lab.figures import style


@style.styled
def draw_shapes(summary: pd.DataFrame, model: str) -> Figure:
    """The shape of every layer: a stack of T squares whose side is that of its maps.

    `summary` is `models.summary`. Each stream has a row; the layers they share follow.
    """
    rows = zip(summary["layer"], summary["shape"], strict=True)
    layers = {name: list(map(int, shape.split("×"))) for name, shape in rows if "norm" not in name}
    streams = [name.removesuffix(" (input)") for name in layers if name.endswith(" (input)")]
    fig, ((ax,),) = style.new_figure(1, 1, 0.5 + 2.2 * len(streams))
    heights, ends = {s: -4.6 * n for n, s in enumerate(streams)}, dict.fromkeys(streams, 0.0)
    for name, shape in layers.items():
        own = [stream for stream in streams if name.startswith(stream)] or streams
        x, y = max(ends[s] for s in own), sum(heights[s] for s in own) / len(own)
        short = name.removesuffix(" (input)").rpartition(".")[2]
        ends |= dict.fromkeys(own, _draw_layer(ax, x, y, short, shape, style.colour(model)))
    ax.set(xlim=(-0.2, max(ends.values())), ylim=(min(heights.values()) - 2.7, 2.3))
    ax.set_aspect("equal")
    ax.axis("off")
    ax.set_title(f"{model}: columns in time × maps, over the size of a map")
    return fig


def _draw_layer(ax, x: float, y: float, name: str, shape: list[int], shade: str) -> float:
    """Draw one layer with its left edge at `x`, centred at `y`; returns where the next begins."""
    if len(shape) == 1:
        depth, side, width, size = 1, 2.6 * (shape[0] / 4096) ** 0.25, 0.16, f"{shape[0]}"
    else:
        depth, maps, height, across = shape
        side = width = 0.28 * height**0.43
        size = f"{depth}×{maps}\n{height}×{across}"
    shift = 0.09
    for t in reversed(range(depth)):
        corner = (x + t * shift, y - side / 2 + t * shift)
        ax.add_patch(Rectangle(corner, width, side, facecolor="white", edgecolor=shade, lw=1.1))
    ax.add_patch(Rectangle((x, y - side / 2), width, side, facecolor=shade, alpha=0.25))
    ax.annotate(name, (x + width / 2, y - 1.75), ha="center", fontsize=8, fontweight="bold")
    ax.annotate(size, (x + width / 2, y - 1.9), ha="center", va="top", fontsize=8)
    return x + max(width + depth * shift, 0.95) + 0.3


@style.styled
def draw_training_curve(metrics: pd.DataFrame, model: str, chance: float | None = None) -> Figure:
    """Training loss and validation Hit@1 by step.

    `metrics` has columns `step`, `loss` and `val_hit1` (missing where it was not measured).
    """
    fig, ((left, right),) = style.new_figure(1, 2, 2.9, sharex=True)
    loss, measured = (metrics.set_index("step")[name].dropna() for name in ("loss", "val_hit1"))
    shade = style.colour(model)
    left.plot(loss, color=shade, alpha=0.3, linewidth=1)
    smooth = loss.rolling(max(1, len(loss) // 20), min_periods=1, center=True).mean()
    left.plot(smooth, color=shade, marker="o" if len(loss) < 3 else "")
    left.set(xlabel="step", ylabel="cross-entropy a clip (nats)", title="Training loss")
    right.plot(100 * measured, "o-", markersize=4, color=shade)
    title = "Validation: not measured yet"
    if len(measured):
        title = f"Validation: best {measured.max():.1%} at step {measured.idxmax():,.0f}"
    right.set(xlabel="step", ylabel="clip Hit@1 (%)", title=title, ylim=(0, 102))
    if chance is not None:
        style.mark_chance(right, 100 * chance)
    left.set(xlim=(0, None), ylim=(0, 1.1 * loss.max() if len(loss) else 1))
    for ax in (left, right):
        ax.grid(axis="y")
    return fig


def draw_scores(results: dict, model: str, title: str) -> Figure:
    """The scores of a run beside the paper's row of Table 1, which has seven of the networks.

    `results` are those of the run: `clip_hit1`, `video_hit1`, `video_hit5`, `classes`. With five
    classes or fewer Hit@5 cannot miss, so it is left out.
    """
    ours = [results[key] for key in ("clip_hit1", "video_hit1", "video_hit5")]
    printed = paper.TABLE_1.get(model, [math.nan] * 3)
    rows = {"ours": ours, "ours_low": math.nan, "ours_high": math.nan}
    rows |= {"paper": [hit / 100 for hit in printed]}
    rows |= {"chance": [k / results["classes"] for k in (1, 1, 5)]}
    table = pd.DataFrame(rows, ["clip Hit@1", "video Hit@1", "video Hit@5"])
    return draw_beside_paper(table[table["chance"] < 1], style.colour(model), title)


@style.styled
def draw_beside_paper(table: pd.DataFrame, colour: str, title: str) -> Figure:
    """A score by row: ours with its interval where that is known, the paper's, and chance.

    `table` has columns `ours`, `ours_low`, `ours_high`, `paper` and `chance` (fractions or nan).
    """
    fig, ((ax,),) = style.new_figure(1, 1, 1.1 + 0.3 * len(table))
    ax.plot(table["chance"], range(len(table)), "|", color=style.INK, markersize=13,
            label="chance, here")  # fmt: skip
    style.draw_intervals(ax, table, "ours", colour=colour, markersize=9)
    ax.plot([], [], "o", color=colour, markersize=9, label="here")
    ax.plot(table["paper"], range(len(table)), "o", markersize=9, **style.RING,
            label="the paper, on Sports-1M (487 classes)")  # fmt: skip
    notes = []
    for row in table.itertuples():
        parts = [f"{row.ours:.1%}", f" ({row.ours_low:.1%} to {row.ours_high:.1%})"]
        parts.append(f", paper {row.paper:.1%}")
        notes.append("".join(part for part in parts if "nan" not in part))
    style.note_rows(ax, notes)
    style.name_rows(ax, table.index)
    ax.set(xlim=(0, 1.01))
    ax.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    fig.legend(loc="outside lower left", ncols=3, fontsize=9)
    return style.headline(fig, title)


@style.styled
def draw_pairs(pairs: pd.DataFrame, title: str) -> Figure:
    """How well each pair of classes is separated: bars away from one half, 95 % intervals.

    `pairs` has columns `kind`, `pair`, `accuracy`, `low`, `high` (fractions) and `videos`.
    """
    fig, ((ax,),) = style.new_figure(1, 1, 0.9 + 0.32 * max(1, len(pairs)))
    accuracy, rows = pairs["accuracy"], range(len(pairs))
    colours = [style.KINDS.get(kind, style.PAPER) for kind in pairs["kind"]]
    ax.barh(rows, accuracy - 0.5, left=0.5, height=0.6, color=colours)
    ax.hlines(rows, pairs["low"], pairs["high"], color=style.INK, linewidth=1.2)
    ax.axvline(0.5, color=style.INK, linewidth=1)
    style.name_rows(ax, pairs["kind"] + ": " + pairs["pair"], 40)
    videos = pairs["videos"].map("  ({} videos)".format)
    style.note_rows(ax, accuracy.map("{:.2f}".format) + videos)
    ax.set(xlim=(0, 1), title=style.clean(title, 100))
    ax.set_xlabel("pair accuracy: the share of videos whose own class outscores its partner")
    return fig
