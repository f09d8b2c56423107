"""One training: the shapes of its network, its curve, its scores beside the paper's, its pairs.

with training.live_curve(run, "slow"):                # the curve grows during the training
    train(config)
training.draw_training_curve(run.metrics, "slow")
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from s1m_lab import paper
from s1m_lab.figures import style
from s1m_lab.training.runs import Run


@style.styled
def draw_shapes(summary: pd.DataFrame, model: str) -> Figure:
    """The shape of every layer: a stack of T squares whose side is that of its maps.

    `summary` is `models.summary`. Each stream has a row; the layers they share follow.
    """
    rows = zip(summary["layer"], summary["shape"], strict=True)
    layers = {name: list(map(int, shape.split("×"))) for name, shape in rows if "norm" not in name}
    inputs, shade = [name for name in layers if name.endswith("(input)")], style.colour(model)
    fig, ((ax,),) = style.new_figure(1, 1, 0.5 + 2.2 * len(inputs))
    right, row = 0.0, -4.6
    for i, first in enumerate(inputs):
        stream, x = first.removesuffix(" (input)"), 0.0
        for name, shape in layers.items():
            alone = len(inputs) == 1 and not name.startswith("fc")
            if name == first or alone or name.startswith(f"{stream}."):
                short = name.removeprefix(f"{stream}.").removesuffix(" (input)")
                x = _draw_layer(ax, x, i * row, short, shape, shade)
        right = max(right, x)
    for name, shape in layers.items():
        if name.startswith("fc"):
            right = _draw_layer(ax, right, (len(inputs) - 1) * row / 2, name, shape, shade)
    ax.set(xlim=(-0.2, right), ylim=((len(inputs) - 1) * row - 2.7, 2.3))
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
    (fig, ((left, right),)), shade = style.new_figure(1, 2, 2.9), style.colour(model)
    loss = metrics.dropna(subset=["loss"])
    left.plot(loss["step"], loss["loss"], color=shade, alpha=0.3, linewidth=1)
    window = max(1, len(loss) // 20)
    smooth = loss["loss"].rolling(window, min_periods=1, center=True).mean()
    left.plot(loss["step"], smooth, color=shade, marker="o" if len(loss) < 3 else "")
    left.set(xlabel="step", ylabel="cross-entropy a clip (nats)", title="Training loss")
    left.set(xlim=(0, max(1, metrics["step"].max()) * 1.03 if len(metrics) else 1))
    left.set_ylim(0, 1.1 * loss["loss"].max() if len(loss) else 1)
    measured = metrics.dropna(subset=["val_hit1"])
    if len(measured):
        best = measured.loc[measured["val_hit1"].idxmax()]
        right.plot(measured["step"], 100 * measured["val_hit1"], "o-", markersize=4, color=shade)
        title = f"Validation: best {best['val_hit1']:.1%} at step {best['step']:,.0f}"
    else:
        title = "Validation: not measured yet"
    right.set(xlabel="step", ylabel="clip Hit@1 (%)", title=title, ylim=(0, 102))
    if chance is not None:
        right.axhline(100 * chance, color=style.PAPER, linestyle=":", linewidth=1.2)
        right.annotate("chance", (1, 100 * chance), xycoords=("axes fraction", "data"),
                       ha="right", va="bottom", color=style.PAPER, fontsize=9)  # fmt: skip
    right.set_xlim(left.get_xlim())
    for ax in (left, right):
        ax.grid(axis="y")
    return fig


@contextmanager
def live_curve(run: Run, model: str, every: float = 5.0) -> Iterator[None]:
    """While the block trains `run`, show its curve as its metrics grow.

    It is taken away at the end: `draw_training_curve(run.metrics, …)` is the figure that stays.
    """
    from IPython.display import DisplayHandle, Markdown

    handle, done, file = DisplayHandle(), threading.Event(), run.path / "metrics.csv"
    before = _modified(file)

    def watch():
        shown = before
        while not done.wait(every):
            newest = _modified(file)
            if newest != shown and len(metrics := run.metrics) > 1:
                image = draw_training_curve(metrics, model).image()
                handle.display(image) if shown == before else handle.update(image)
                shown = newest
        if shown != before:
            handle.update(Markdown(""))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _modified(file: Path) -> int:
    """The modification time of a file (ns); 0 before it exists."""
    return file.stat().st_mtime_ns if file.is_file() else 0


@style.styled
def draw_scores(results: dict, model: str, title: str) -> Figure:
    """The scores of a run beside the paper's row of Table 1.

    `results` are those of the run: `clip_hit1`, `video_hit1`, `video_hit5`, `classes`. Ours are
    dots in the fusion's colour, the paper's are grey rings; nine of the sixteen networks have none.
    With five classes or fewer Hit@5 cannot miss, so it is left out.
    """
    fig, ((ax,),) = style.new_figure(1, 1, 2.0)
    names, rows = ["clip Hit@1", "video Hit@1", "video Hit@5"], np.arange(3)
    ours = [results[key] for key in ("clip_hit1", "video_hit1", "video_hit5")]
    chance = [k / results["classes"] for k in (1, 1, 5)]
    if chance[2] >= 1:
        names[2] += f"\n(no score: {results['classes']} classes)"
        ours[2] = chance[2] = math.nan
    printed = [hit / 100 for hit in paper.TABLE_1.get(model, [math.nan] * 3)]
    for row, value, theirs in zip(rows, ours, printed, strict=True):
        ax.plot([value, theirs], [row, row], color=style.FAINT, linewidth=2, zorder=1)
        text = ["–" if math.isnan(hit) else f"{hit:.1%}" for hit in (value, theirs)]
        text[0] = text[0].ljust(5, "\u2007")  # a space as wide as a figure
        ax.annotate("   ".join(text), (1.02, row), xycoords=("axes fraction", "data"),
                    va="center", fontsize=9)  # fmt: skip
    ax.annotate("here   paper", (1.02, -0.62), xycoords=("axes fraction", "data"),
                va="center", fontsize=9, color=style.PAPER)  # fmt: skip
    ax.plot(chance, rows, "|", color=style.INK, markersize=13, label="chance, here")
    ax.plot(ours, rows, "o", color=style.colour(model), markersize=9, label="here")
    ax.plot(printed, rows, "o", color=style.PAPER, fillstyle="none", markersize=9,
            markeredgewidth=1.8, label="the paper, on Sports-1M (487 classes)")  # fmt: skip
    ax.set_yticks(rows, names)
    ax.set(xlim=(0, 1.01), ylim=(2.5, -0.5), title=style.clean(title, 100))
    ax.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    fig.legend(loc="outside lower left", ncols=3, fontsize=9)
    return fig


@style.styled
def draw_pairs(pairs: pd.DataFrame, title: str) -> Figure:
    """How well each pair of classes is separated: bars away from one half, 95 % intervals.

    `pairs` has columns `kind`, `pair`, `accuracy`, `low`, `high` (fractions) and `videos`.
    """
    fig, ((ax,),) = style.new_figure(1, 1, 0.9 + 0.32 * max(1, len(pairs)))
    rows = np.arange(len(pairs))
    bars = [style.KINDS.get(kind, style.PAPER) for kind in pairs["kind"]]
    ax.barh(rows, pairs["accuracy"] - 0.5, left=0.5, height=0.6, color=bars)
    ax.hlines(rows, pairs["low"], pairs["high"], color=style.INK, linewidth=1.2)
    ax.axvline(0.5, color=style.INK, linewidth=1)
    names = [f"{row.kind}: {style.clean(row.pair, 36)}" for row in pairs.itertuples()]
    ax.set_yticks(rows, names)
    for row, accuracy, videos in zip(rows, pairs["accuracy"], pairs["videos"], strict=True):
        ax.annotate(f"{accuracy:.2f}  ({videos} videos)", (1.02, row), va="center", fontsize=9,
                    xycoords=("axes fraction", "data"))  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(len(pairs) - 0.5, -0.5), title=style.clean(title, 100))
    ax.set_xlabel("pair accuracy: the share of videos whose own class outscores its partner")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return fig


@style.styled
def draw_shares(parts: dict[str, float], title: str, unit: str = "s") -> Figure:
    """One bar cut into `parts` (in `unit`), each with its share of the whole."""
    fig, ((ax,),) = style.new_figure(1, 1, 1.5)
    whole, left = max(sum(parts.values()), 1e-9), 0.0
    shades = ["#444444", "#56B4E9", "#B8A800", "#CC79A7"]
    for shade, (name, part) in zip(shades, parts.items(), strict=False):
        label = f"{style.clean(name)}: {part:,.1f} {unit} ({part / whole:.1%})"
        ax.barh(0, part, left=left, color=shade, label=label, height=0.7)
        left += part
    ax.set(yticks=[], xlim=(0, whole), title=style.clean(title, 100), xlabel=unit)
    ax.spines["left"].set_visible(False)
    fig.legend(loc="outside lower left", ncols=2, fontsize=9)
    return fig
