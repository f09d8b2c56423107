"""One style; contact sheets, curves, filters, matrices.

Every function returns a `Figure` in the lab's style, for a cell to end with. Each fusion has one
colour everywhere (`COLOURS`, from the colour-blind safe set of Okabe and Ito), the paper is grey.
Frames are uint8 H×W×3, or floats on the same 0…255. Text from outside (titles, labels) is drawn as
it stands: never read as mathematics, cut to its place, unknown characters as □.
"""

import functools
import io
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import LoadFlags
from matplotlib.patches import Rectangle

COLOURS = {"single": "#0072B2", "early": "#E69F00", "late": "#009E73", "slow": "#D55E00"}
PAPER, INK, FAINT = "#8A8A8A", "#222222", "#D9D9D9"
KINDS = {"motion": "#CC79A7", "detail": "#56B4E9", "surround": "#B8A800", "camera": "#777777"}
STYLE = {
    "figure.dpi": 90,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": PAPER,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}
# Table 1 of the paper: clip Hit@1, video Hit@1 and video Hit@5 on the Sports-1M test set, %.
TABLE_1 = {
    "single": (41.1, 59.3, 77.7),
    "single-multires": (42.4, 60.0, 78.5),
    "single-fovea": (30.0, 49.9, 72.8),
    "single-context": (38.1, 56.0, 77.2),
    "early": (38.9, 57.7, 76.8),
    "late": (40.7, 59.3, 78.7),
    "slow": (41.9, 60.9, 80.2),
}
WIDTH = 9.0  # inches, the text width of a report
styled = mpl.rc_context(STYLE)


class Photographs(Figure):
    """A figure of frames: notebooks keep it as JPEG, a fifth of the bytes of PNG."""

    def _ipython_display_(self):
        from IPython.display import Image, display

        data = io.BytesIO()
        self.savefig(data, format="jpeg", pil_kwargs={"quality": 50, "optimize": True})
        display(Image(data=data.getvalue(), format="jpeg"))


def style() -> None:
    """Make the lab's style that of every figure to come."""
    mpl.rcParams.update(STYLE)


def colour(model: str) -> str:
    """The colour of a network, that of its fusion."""
    return COLOURS[model.partition("-")[0]]


def clean(text: object, length: float = 40) -> str:
    """Any text as one line that the figures' font can draw, no wider than `length` letters n."""
    line = " ".join(str(text)[: int(10 * length)].split())
    line = "".join(c if c.isprintable() and _width(c) else "□" for c in line)
    ends = np.cumsum([_width(c) for c in line])
    if not len(ends) or ends[-1] <= length:
        return line
    return line[: np.searchsorted(ends, length - _width("…"), "right")] + "…"


@functools.cache
def _width(character: str) -> float:
    """The width of a character in the figures' font, an n being 1; 0 where it has none."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    if not font.get_char_index(ord(character)):
        return 0.0
    own, n = (
        font.load_char(ord(c), flags=LoadFlags.NO_SCALE).horiAdvance for c in (character, "n")
    )
    return own / n


def _figure(rows=1, columns=1, height=3.0, **more) -> tuple[Figure, np.ndarray]:
    """A figure of the report's width, and its axes; closed, so that no cell shows it twice."""
    fig, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False, **more)
    plt.close(fig)
    return fig, axes


def _show(ax, frame: np.ndarray) -> None:
    ax.imshow(np.clip(frame, 0, 255).astype(np.uint8), interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


@styled
def contact_sheet(
    frames: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str = "",
    columns: int = 6,
    colours: Sequence[str] = (),
) -> Figure:
    """A frame a cell, its caption (of one or two lines) below it."""
    columns = min(columns, max(3, len(frames)))
    rows = max(1, math.ceil(len(frames) / columns))
    height, width = frames[0].shape[:2] if len(frames) else (1, 1)
    lines = max([caption.count("\n") + 1 for caption in captions], default=1)
    side = WIDTH / columns
    tall = rows * (side * height / width + 0.16 * lines) + 0.3
    fig, axes = _figure(rows, columns, tall, FigureClass=Photographs)
    for ax in axes.flat[len(frames) :]:
        ax.axis("off")
    for i, (ax, frame, caption) in enumerate(zip(axes.flat, frames, captions, strict=False)):
        _show(ax, frame)
        room = 112 / columns
        text = "\n".join(clean(line, room) for line in caption.split("\n"))
        ax.set_xlabel(text, fontsize=9, color=colours[i] if len(colours) else INK, labelpad=3)
    fig.suptitle(clean(title, 110), fontweight="bold", fontsize=11, x=0.01, ha="left")
    return fig


@styled
def strips(
    clips: Sequence[np.ndarray],
    captions: Sequence[str],
    frames: Sequence[int] = range(16),
    title: str = "",
    shown: int = 8,
) -> Figure:
    """A clip a row, T×H×W×3: up to `shown` of its frames, time running right.

    `frames` are the numbers of the T frames, of the 16 at 30 a second that a stored clip has.
    """
    picks = np.linspace(0, len(frames) - 1, min(shown, len(frames))).round().astype(int)
    rows, columns = max(1, len(clips)), max(6, len(picks))
    height, width = clips[0].shape[1:3] if len(clips) else (1, 1)
    tall = rows * ((WIDTH - 1.4) / columns * height / width + 0.06) + 0.6
    fig, axes = _figure(rows, columns, tall, FigureClass=Photographs)
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.02, wspace=0, hspace=0)
    for ax in axes[:, len(picks) :].flat:
        ax.axis("off")
    for row, clip, caption in zip(axes, clips, captions, strict=False):
        for ax, k in zip(row, picks, strict=False):
            _show(ax, clip[k])
        text = "\n".join(clean(line, 16) for line in caption.split("\n"))
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=9)
    for ax, k in zip(axes[-1], picks, strict=False):
        ax.set_xlabel(f"{frames[k] / 30:.2f} s", fontsize=8)
    fig.suptitle(clean(title, 110), fontweight="bold", fontsize=11, x=0.01, ha="left")
    return fig


@styled
def training_curve(metrics: pd.DataFrame, model: str, chance: float | None = None) -> Figure:
    """Training loss and validation Hit@1 by step.

    `metrics` has columns `step`, `loss` and `val_hit1` (missing where it was not measured).
    """
    fig, ((left, right),) = _figure(1, 2, 2.9)
    loss = metrics.dropna(subset=["loss"])
    left.plot(loss["step"], loss["loss"], color=colour(model), alpha=0.3, linewidth=1)
    window = max(1, len(loss) // 20)
    smooth = loss["loss"].rolling(window, min_periods=1, center=True).mean()
    left.plot(loss["step"], smooth, color=colour(model), marker="o" if len(loss) < 3 else "")
    left.set(xlabel="step", ylabel="cross-entropy a clip (nats)", title="Training loss")
    left.set(xlim=(0, max(1, metrics["step"].max()) * 1.03 if len(metrics) else 1))
    left.set_ylim(0, 1.1 * loss["loss"].max() if len(loss) else 1)
    seen = metrics.dropna(subset=["val_hit1"])
    if len(seen):
        best = seen.loc[seen["val_hit1"].idxmax()]
        right.plot(seen["step"], 100 * seen["val_hit1"], "o-", markersize=4, color=colour(model))
        title = f"Validation: best {best['val_hit1']:.1%} at step {best['step']:,.0f}"
    else:
        title = "Validation: not measured yet"
    right.set(xlabel="step", ylabel="clip Hit@1 (%)", title=title, ylim=(0, 102))
    if chance is not None:
        right.axhline(100 * chance, color=PAPER, linestyle=":", linewidth=1.2)
        right.annotate("chance", (1, 100 * chance), xycoords=("axes fraction", "data"),
                       ha="right", va="bottom", color=PAPER, fontsize=9)  # fmt: skip
    right.set_xlim(left.get_xlim())
    for ax in (left, right):
        ax.grid(axis="y")
    return fig


@contextmanager
def live(model: str, every: float = 5.0) -> Iterator[None]:
    """While the block trains, show the curve of the run whose metrics grow.

    It is taken away at the end: `training_curve(run.metrics, …)` is the figure that stays.
    """
    from IPython.display import DisplayHandle, Markdown

    from s1m_lab import paths

    handle, done, start = DisplayHandle(), threading.Event(), time.time()

    def watch():
        shown = 0.0
        while not done.wait(every):
            files = {file.stat().st_mtime: file for file in paths.runs().glob("*/metrics.csv")}
            newest = max(files, default=0.0)
            if newest > max(shown, start):
                metrics = pd.read_csv(files[newest])
                if len(metrics) > 1:
                    figure = training_curve(metrics, model)
                    handle.update(figure) if shown else handle.display(figure)
                    shown = newest
        if shown:
            handle.update(Markdown(""))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@styled
def pair_bars(pairs: pd.DataFrame, title: str) -> Figure:
    """How well each pair of classes is told apart: bars away from one half, 95 % intervals.

    `pairs` has columns `kind`, `pair`, `accuracy`, `low`, `high` (fractions) and `videos`.
    """
    fig, ((ax,),) = _figure(1, 1, 0.9 + 0.32 * max(1, len(pairs)))
    rows = np.arange(len(pairs))
    bars = [KINDS.get(kind, PAPER) for kind in pairs["kind"]]
    ax.barh(rows, pairs["accuracy"] - 0.5, left=0.5, height=0.6, color=bars)
    ax.hlines(rows, pairs["low"], pairs["high"], color=INK, linewidth=1.2)
    ax.axvline(0.5, color=INK, linewidth=1)
    names = [f"{row.kind}: {clean(row.pair, 36)}" for row in pairs.itertuples()]
    ax.set_yticks(rows, names)
    for row, accuracy, videos in zip(rows, pairs["accuracy"], pairs["videos"], strict=True):
        ax.annotate(f"{accuracy:.2f}  ({videos} videos)", (1.02, row), va="center", fontsize=9,
                    xycoords=("axes fraction", "data"))  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(len(pairs) - 0.5, -0.5), title=clean(title, 100))
    ax.set_xlabel("pair accuracy: the share of videos whose own class outscores its partner")
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return fig


@styled
def beside_paper(results: dict, model: str, title: str) -> Figure:
    """Our scores (`clip_hit1`, `video_hit1`, … and `classes` of a run's results) and the paper's.

    Ours are dots in the fusion's colour, the paper's row of `TABLE_1` is grey rings; nine of the
    sixteen networks have none.
    """
    fig, ((ax,),) = _figure(1, 1, 2.0)
    names, rows = ["clip Hit@1", "video Hit@1", "video Hit@5"], np.arange(3)
    ours = [results[key] for key in ("clip_hit1", "video_hit1", "video_hit5")]
    paper = [hit / 100 for hit in TABLE_1.get(model, [math.nan] * 3)]
    for row, value, theirs in zip(rows, ours, paper, strict=True):
        ax.plot([value, theirs], [row, row], color=FAINT, linewidth=2, zorder=1)
        text = "–" if math.isnan(theirs) else f"{theirs:.1%}"
        ax.annotate(f"{value:.1%}   {text}", (1.02, row), xycoords=("axes fraction", "data"),
                    va="center", fontsize=9)  # fmt: skip
    ax.annotate("here   paper", (1.02, -0.62), xycoords=("axes fraction", "data"),
                va="center", fontsize=9, color=PAPER)  # fmt: skip
    chance = [min(1, k / results["classes"]) for k in (1, 1, 5)]
    ax.plot(chance, rows, "|", color=INK, markersize=13, label="chance, here")
    ax.plot(ours, rows, "o", color=colour(model), markersize=9, label="here")
    ax.plot(paper, rows, "o", color=PAPER, fillstyle="none", markersize=9, markeredgewidth=1.8,
            label="the paper, on Sports-1M (487 classes)")  # fmt: skip
    ax.set_yticks(rows, names)
    ax.set(xlim=(0, 1.01), ylim=(2.5, -0.5), title=clean(title, 100))
    ax.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    fig.legend(loc="outside lower left", ncols=3, fontsize=9)
    return fig


@styled
def shares(parts: dict[str, float], title: str, unit: str = "s") -> Figure:
    """One bar cut into `parts` (in `unit`), each with its share of the whole."""
    fig, ((ax,),) = _figure(1, 1, 1.5)
    whole, left = max(sum(parts.values()), 1e-9), 0.0
    shades = ["#444444", "#56B4E9", "#B8A800", "#CC79A7"]
    for shade, (name, part) in zip(shades, parts.items(), strict=False):
        label = f"{clean(name)}: {part:,.1f} {unit} ({part / whole:.1%})"
        ax.barh(0, part, left=left, color=shade, label=label, height=0.7)
        left += part
    ax.set(yticks=[], xlim=(0, whole), title=clean(title, 100), xlabel=unit)
    ax.spines["left"].set_visible(False)
    fig.legend(loc="outside lower left", ncols=2, fontsize=9)
    return fig


@styled
def shape_flow(summary: pd.DataFrame, model: str) -> Figure:
    """How a clip shrinks on its way: a stack of T squares a layer, their side that of its maps.

    `summary` is that of `models.summary`. Each stream has a row; the layers they share follow.
    """
    rows = zip(summary["layer"], summary["shape"], strict=True)
    layers = {name: list(map(int, shape.split("×"))) for name, shape in rows if "norm" not in name}
    inputs = [name for name in layers if name.endswith("(input)")]
    fig, ((ax,),) = _figure(1, 1, 0.5 + 2.2 * len(inputs))
    right, row = 0.0, -4.6
    for i, first in enumerate(inputs):
        stream, x = first.removesuffix(" (input)"), 0.0
        for name, shape in layers.items():
            alone = len(inputs) == 1 and not name.startswith("fc")
            if name == first or alone or name.startswith(f"{stream}."):
                short = name.removeprefix(f"{stream}.").removesuffix(" (input)")
                x = _draw_layer(ax, x, i * row, short, shape, colour(model))
        right = max(right, x)
    for name, shape in layers.items():
        if name.startswith("fc"):
            right = _draw_layer(ax, right, (len(inputs) - 1) * row / 2, name, shape, colour(model))
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


@styled
def durations(
    seconds: np.ndarray, title: str, published: dict[float, float] | None = None
) -> Figure:
    """How long videos are: a histogram on a log axis and, as dots, quantiles.

    `seconds` are without nan; grey rings are the quantiles `published`, {share: seconds}.
    """
    fig, ((left, right),) = _figure(1, 2, 2.9, width_ratios=[3, 2])
    if not len(seconds):
        return _unknown(fig, title)
    published, ends = published or {}, np.maximum(np.quantile(seconds, [0.0005, 0.9995]), 0.1)
    ends *= [0.99, 1.01]
    left.hist(np.clip(seconds, *ends), np.geomspace(*ends, 61), color=KINDS["detail"])
    shares = sorted({0.5, 0.8, 0.85, 0.9, 0.95, *published})
    for row, share in enumerate(shares):
        own, theirs = np.quantile(seconds, share), published.get(share, math.nan)
        right.plot([own, theirs], [row, row], color=FAINT, linewidth=2, zorder=1)
        right.plot(own, row, "o", color=INK, markersize=7)
        right.plot(theirs, row, "o", color=PAPER, fillstyle="none", markersize=9)
        text = f"{own:,.3g} s" + ("" if math.isnan(theirs) else f"   {theirs:,.3g} s")
        right.annotate(text, (1.05, row), va="center", fontsize=9,
                       xycoords=("axes fraction", "data"))  # fmt: skip
    right.set_yticks(range(len(shares)), [f"{share:.0%}" for share in shares])
    left.set(xlabel="duration (s, log axis)", ylabel="videos", title=clean(title, 62))
    left.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    _log_seconds(left)
    left.grid(axis="y")
    right.set(xlabel="longest of them (s)", ylabel="the shortest …", xlim=(0, None))
    right.set_title("Dots here, rings published" if published else "Quantiles")
    right.grid(axis="x")
    return fig


@styled
def remaining(
    table: pd.DataFrame, sizes: dict[str, np.ndarray], limit: float = math.inf, title: str = ""
) -> Figure:
    """What is left when videos longer than a limit go, and where `limit` (s) stands in it.

    `table` is that of `costs.remaining`; `sizes` are bytes, rows × 3 (low, mid, high), by what is
    stored, each drawn with its range.
    """
    fig, ((left, middle, right),) = _figure(1, 3, 3.1)
    table = table[np.isfinite(table.index)]
    if not len(table):
        return _unknown(fig, title)
    x, hours = table.index, table["hours"] / max(table["hours"].max(), 1e-9)
    left.plot(x, 100 * table["share"], color=INK, label="videos")
    left.plot(x, 100 * hours, color=INK, linestyle="--", label="hours")
    left.set(ylabel="% kept", ylim=(0, 102), title="Videos and hours")
    shades = ["#444444", "#56B4E9", "#B8A800", "#CC79A7"]
    for shade, (name, size) in zip(shades, sizes.items(), strict=False):
        low, mid, high = np.maximum(size[: len(table)], 1).T
        middle.fill_between(x, low, high, color=shade, alpha=0.25, linewidth=0)
        middle.plot(x, mid, color=shade, label=clean(name, 30))
    middle.set(yscale="log", title="Bytes, with their range")
    middle.yaxis.set_major_formatter(mpl.ticker.EngFormatter("B", places=0))
    middle.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    right.plot(x, table["thin"], color=INK)
    right.set(title="Thin classes", ylim=(0, max(1, table["thin"].max()) * 1.05))
    for ax in (left, middle, right):
        ax.set_xlabel("longest video kept (s)")
        ax.grid()
        _log_seconds(ax)
        if math.isfinite(limit):
            ax.axvline(limit, color=PAPER, linewidth=1.2)
    left.legend(fontsize=9)
    fig.legend(*middle.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=9)
    fig.suptitle(clean(title, 110), fontweight="bold", fontsize=11, x=0.01, ha="left")
    return fig


@styled
def ranges(rows: pd.DataFrame, title: str, mark: float, named: str) -> Figure:
    """Bytes with their range, a row each, beside the `mark` (bytes), which is `named`.

    `rows` has columns `reading`, `size`, `low`, `mid`, `high`.
    """
    fig, ((ax,),) = _figure(1, 1, 0.9 + 0.24 * len(rows))
    places = np.arange(len(rows))
    shades = np.where(rows["low"] > mark, "#CC79A7", np.where(rows["high"] > mark, PAPER, INK))
    ax.hlines(places, rows["low"], rows["high"] * 1.001, color=shades, linewidth=4, alpha=0.5)
    ax.scatter(rows["mid"], places, color=shades, s=36, zorder=3)
    ax.axvline(mark, color=INK, linewidth=1, linestyle=":")
    ax.annotate(
        clean(named), (mark, -0.8), ha="center", va="bottom", fontsize=9, annotation_clip=False
    )
    ax.set_yticks(places, [clean(f"{r.reading}, {r.size}", 40) for r in rows.itertuples()])
    ax.set(xscale="log", ylim=(len(rows) - 0.5, -0.8), xlabel="bytes (log axis)")
    ax.set_title(clean(title, 100), pad=16)
    ax.xaxis.set_major_formatter(mpl.ticker.EngFormatter("B", places=0))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return fig


def _unknown(fig: Figure, title: str) -> Figure:
    """A line in place of a figure of durations that nobody knows."""
    fig.clear()
    fig.set_figheight(0.5)
    fig.suptitle(clean(title, 110), fontweight="bold", fontsize=11, x=0.01, ha="left")
    return fig


def _log_seconds(ax) -> None:
    """A log axis in plain numbers: 3 10 30 100, not powers; more of them where it is short."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    steps = (1, 3) if high / low > 20 else (1, 2, 3, 5) if high / low > 4 else np.arange(1, 10, 0.5)
    ticks = [a * 10.0**n for n in range(-1, 6) for a in steps if low <= a * 10.0**n <= high]
    ax.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
