"""One style; contact sheets, strips, how long videos are.

Every function returns a `Figure` in the lab's style, for a cell to end with. Each fusion has one
colour everywhere (`COLOURS`, from the colour-blind safe set of Okabe and Ito), the paper is grey.
Frames are uint8 H×W×3, or floats on the same 0…255. Text from outside (titles, labels) is drawn as
it stands: never read as mathematics, cut to its place, unknown characters as □.
"""

import functools
import io
import math
from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import LoadFlags

COLOURS = {"single": "#0072B2", "early": "#E69F00", "late": "#009E73", "slow": "#D55E00"}
HISTOGRAMS = "#7A5195"
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
WIDTH = 9.0  # inches, the text width of a report
LINE = 81  # letters n of a headline on it
styled = mpl.rc_context(STYLE)


class Drawing(Figure):
    """A figure of lines and letters: notebooks keep it as a PNG of 64 colours, sharp on any
    screen and smaller than a full one of half the pixels; shown as wide as a report."""

    density = 1.6  # pixels to one of the report

    def png(self) -> bytes:
        """As PNG with a palette, `density` × as wide as it is shown."""
        from PIL import Image

        full, small = io.BytesIO(), io.BytesIO()
        self.savefig(full, format="png", dpi=self.density * STYLE["figure.dpi"])
        image = Image.open(full).convert("RGB")
        image = image.quantize(64, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        image.save(small, "PNG", optimize=True)
        return small.getvalue()

    def image(self):
        """What IPython shows; for a `DisplayHandle`, which cannot update a figure."""
        from IPython.display import Image

        width = round(self.get_figwidth() * STYLE["figure.dpi"])
        return Image(data=self.png(), format="png", width=width)

    def _ipython_display_(self):
        from IPython.display import display

        display(self.image())


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
    """The colour of a network, that of its fusion; the histogram baseline has its own."""
    return HISTOGRAMS if model == "histograms" else COLOURS[model.partition("-")[0]]


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
    more = {"figsize": (WIDTH, height), "squeeze": False, "FigureClass": Drawing} | more
    fig, axes = plt.subplots(rows, columns, **more)
    plt.close(fig)
    return fig, axes


def headline(fig: Figure, text: str) -> None:
    """What a figure finds, in bold above it; a long finding takes two lines, evenly."""
    words, first = clean(text, 4 * LINE).split(" "), 1
    while first < len(words) and _letters(words[: first + 1]) <= LINE:
        first += 1
    while first < len(words) and _letters(words[: first - 1]) >= _letters(words[first - 1 :]):
        first -= 1
    lines = [clean(" ".join(part), LINE) for part in (words[:first], words[first:]) if part]
    fig.suptitle("\n".join(lines), fontweight="bold", fontsize=11, x=0.01, ha="left")


def _letters(words: Sequence[str]) -> float:
    return sum(map(_width, " ".join(words)))


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
    headline(fig, title)
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
    headline(fig, title)
    return fig


@styled
def durations(
    seconds: np.ndarray, title: str, published: dict[float, float] | None = None
) -> Figure:
    """How long videos are: a histogram on a log axis and, as dots, quantiles.

    `seconds` are without nan; grey rings are the quantiles `published`, {share: seconds}.
    """
    if not len(seconds):
        return nothing(title)
    fig, ((left, right),) = _figure(1, 2, 2.9, width_ratios=[3, 2])
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
    table = table[np.isfinite(table.index)]
    if not table["hours"].notna().any():
        return nothing(title)
    fig, ((left, middle, right),) = _figure(1, 3, 3.1)
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
    headline(fig, title)
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


@styled
def nothing(title: str) -> Figure:
    """Where there is nothing to draw, a line that says so."""
    fig, ((ax,),) = _figure(1, 1, 0.45)
    ax.axis("off")
    ax.set_title(clean(title, 110))
    return fig


def _log_seconds(ax) -> None:
    """A log axis in plain numbers: 3 10 30 100, not powers; more of them where it is short."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    steps = (1, 3) if high / low > 20 else (1, 2, 3, 5) if high / low > 4 else np.arange(1, 10, 0.5)
    ticks = [a * 10.0**n for n in range(-1, 6) for a in steps if low <= a * 10.0**n <= high]
    ax.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
