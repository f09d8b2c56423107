"""The lab's one style: colours, text that fits, and figures as notebooks store them.

    fig, ((ax,),) = style.new_figure(height=2.5)
    draw_intervals(ax, table, "gain", colour=style.colour("slow"))
    style.headline(fig, "Slow fusion separates all six pairs")

A fusion has one colour in every figure, from the colour-blind safe set of Okabe and Ito; the paper
is grey. Frames are uint8 H×W×3, or floats in the same range 0…255. Text from outside (titles, class
names) is drawn as it is: never as mathematics, cut to its room, in a font of the system where
DejaVu Sans lacks a character, and as □ where no known font has it.
"""

import functools
import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import LoadFlags
from matplotlib.lines import Line2D
from PIL import Image

from s1m_lab.data import catalog
from s1m_lab.models import split_name

PAPER, INK, FAINT = "#8A8A8A", "#222222", "#D9D9D9"
COLOURS = {"single": "#0072B2", "early": "#E69F00", "late": "#009E73", "slow": "#D55E00"}
COLOURS |= {"histograms": "#7A5195", "average": INK}  # rows of Table 1 without a fusion
COLOURS |= {"r3d_18": "#56B4E9", "mc3_18": "#8C564B", "r2plus1d_18": "#B8A800"}
OTHER = "#CC79A7"  # a fusion that has no colour here yet
# a number of the paper
RING: dict[str, Any] = {"color": PAPER, "fillstyle": "none", "markeredgewidth": 1.5}
KINDS = {"motion": "#CC79A7", "detail": "#56B4E9", "surround": "#B8A800", "camera": "#777777"}
# Where one is installed, it draws what those before it lack. Colour fonts cannot be drawn.
FALLBACKS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans SC", "Droid Sans Fallback",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC", "PingFang HK", "Hiragino Sans",
    "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "SimHei", "MS Gothic",
    "Arial Unicode MS", "Noto Sans Devanagari", "Nirmala UI", "Noto Sans Thai", "Leelawadee UI",
    "Noto Emoji", "Segoe UI Emoji", "Segoe UI Symbol", "Symbola", "Unifont",
)  # fmt: skip
_INSTALLED = {font.name for font in font_manager.fontManager.ttflist}
FONTS = ["DejaVu Sans", *(name for name in FALLBACKS if name in _INSTALLED)]
STYLE: dict[Any, Any] = {
    "figure.dpi": 90,
    "figure.constrained_layout.use": True,
    "font.family": FONTS,
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
    """A figure of lines and letters: a PNG of 64 colours, shown as wide as a report.

    It is sharp on any screen, and smaller than a full PNG of half the pixels.
    """

    density = 1.6  # pixels of the PNG to one of the report

    def png(self) -> bytes:
        """The figure as PNG with a palette, `density` times as wide as it is shown."""
        full, small = io.BytesIO(), io.BytesIO()
        self.savefig(full, format="png", dpi=self.density * STYLE["figure.dpi"])
        image = Image.open(full).convert("RGB")
        image = image.quantize(64, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        image.save(small, "PNG", optimize=True)
        return small.getvalue()

    def image(self):
        """The figure as IPython's `Image`."""
        from IPython import display

        width = round(self.get_figwidth() * STYLE["figure.dpi"])
        return display.Image(data=self.png(), format="png", width=width)

    def _ipython_display_(self) -> None:
        from IPython import display

        display.display(self.image())


class Photographs(Drawing):
    """A figure of frames: a JPEG, a fifth of the bytes of PNG."""

    def image(self):
        """The figure as IPython's `Image`."""
        from IPython import display

        data = io.BytesIO()
        self.savefig(data, format="jpeg", pil_kwargs={"quality": 50, "optimize": True})
        return display.Image(data=data.getvalue(), format="jpeg")


def use_style() -> None:
    """Give every later figure of this process the lab's style."""
    mpl.rcParams.update(STYLE)


def colour(model: str) -> str:
    """The colour of a network, which is that of its fusion, or of another row of Table 1."""
    return COLOURS.get(split_name(model)[0], OTHER)


def one_line(text: object, length: int = 100) -> str:
    """Any text as one line of at most `length` characters.

    See `catalog.one_line`.
    """
    line = catalog.one_line(str(text)[: 20 * length])
    return line if len(line) <= length else line[: length - 1] + "…"


def clean(text: object, length: float = 40) -> str:
    """Any text as one line that the figures' fonts can draw, no wider than `length` letters n."""
    line = "".join(c if font_of(c) else "□" for c in one_line(text, int(10 * length)))
    ends = np.cumsum([_width(c) for c in line])
    if not line or ends[-1] <= length:
        return line
    return line[: np.searchsorted(ends, length - _width("…"), "right")] + "…"


def format_number(value: float) -> str:
    """1133158 is `1,133,158`, 0.04989 is `0.0499`, −12.04 is `−12.0`, an unknown number is `–`."""
    if pd.isna(value):
        return "–"
    whole = abs(value) >= 100 or value == round(value)
    text = f"{value:,.0f}" if whole else f"{value:#.3g}".rstrip(".")
    return text.replace("-", "−")


def format_seconds(seconds: float) -> str:
    """3.75 is `3.8 s`, 75 is `1 min 15 s`, 7260 is `2 h 1 min`."""
    if not np.isfinite(seconds):
        return "unknown"
    if seconds < 59.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s".replace(" 0 s", "")
    return f"{minutes // 60} h {minutes % 60} min".replace(" 0 min", "")


@functools.cache
def font_of(character: str) -> str:
    """The first of `FONTS` that has a character, "" if none has."""
    return next((name for name in FONTS if _font(name).get_char_index(ord(character))), "")


@functools.cache
def _width(character: str) -> float:
    """The width of a character in the figures' fonts, an n being 1; 0 of an accent or a joiner."""
    if not (name := font_of(character)):
        return 0.0
    ems = [
        font.load_char(ord(c), flags=LoadFlags.NO_SCALE).horiAdvance / font.units_per_EM
        for font, c in ((_font(name), character), (_font(FONTS[0]), "n"))
    ]
    return ems[0] / ems[1]


def _font(name: str):
    return font_manager.get_font(font_manager.findfont(name))


def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.0, **more: Any
) -> tuple[Drawing, np.ndarray]:
    """A figure of the report's width and its axes (rows × columns).

    The figure is closed for pyplot, so a notebook shows it once: where a cell ends with it.
    """
    fig: Any
    look: dict[str, Any] = {"figsize": (WIDTH, height), "squeeze": False, "FigureClass": Drawing}
    fig, axes = plt.subplots(rows, columns, **look | more)
    plt.close(fig)
    return fig, axes


def headline(fig: Drawing, text: str) -> Drawing:
    """Write what a figure finds in bold above it, and return the figure; a long finding takes two
    even lines."""
    words = clean(text, 2 * LINE - 10).split(" ")
    first, widths = len(words), [sum(map(_width, f"{word} ")) for word in words]
    if sum(widths) > LINE:
        first = next(n for n in range(len(words) + 1) if sum(widths[:n]) >= sum(widths[n:]))
    lines = [clean(" ".join(part), LINE) for part in (words[:first], words[first:]) if part]
    fig.suptitle("\n".join(lines), fontweight="bold", fontsize=11, x=0.01, ha="left")
    return fig


def show_image(ax: Axes, frame: np.ndarray) -> None:
    """Draw a frame (H×W×3) on `ax`, without axes."""
    ax.imshow(np.clip(frame, 0, 255).astype(np.uint8), interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


@styled
def draw_nothing(title: str) -> Figure:
    """A figure that is one line of text, for where there is nothing to draw."""
    fig, ((ax,),) = new_figure(1, 1, 0.45)
    ax.axis("off")
    ax.set_title(clean(title, 110))
    return fig


def draw_intervals(
    ax: Axes,
    rows: pd.DataFrame,
    name: str,
    y: Sequence[float] | np.ndarray | None = None,
    colour: str | Sequence[str] | np.ndarray = INK,
    **look: Any,
) -> None:
    """A point a row at `rows[name]`, on a line from `<name>_low` to `<name>_high`.

    `y` are the heights of the rows (0, 1, … by default) and `colour` is one for all or one a row.
    `look` goes to the points.
    """
    y = np.arange(len(rows)) if y is None else y
    shades: Any = [colour] * len(rows) if isinstance(colour, str) else colour
    dot: dict[str, Any] = {"marker": "o", "markeredgewidth": 1.2} | look
    values = rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(float)
    for (value, low, high), height, shade in zip(values, y, shades, strict=True):
        ax.plot([low, high], [height, height], color=shade, linewidth=1.4, alpha=0.6)
        ax.plot(value, height, color=shade, **dot)


def name_rows(ax: Axes, names: Sequence[str], length: float = 26, rows: int = 0) -> None:
    """Write names before the rows 0, 1, … of `ax`, the first on top, with room for `rows`."""
    ax.set_yticks(range(len(names)), [clean(name, length) for name in names])
    ax.set_ylim(max(len(names), rows) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


def note_rows(ax: Axes, notes: Sequence[str]) -> None:
    """Write notes behind the rows 0, 1, … of `ax`, to the right of it."""
    for row, note in enumerate(notes):
        ax.text(1.02, row, note, transform=ax.get_yaxis_transform(), va="center", fontsize=9)


def mark_chance(ax: Axes, score: float) -> None:
    """Draw a dotted line at the `score` of guessing, on the y axis of `ax`."""
    ax.axhline(score, color=PAPER, linestyle=":", linewidth=1.2)
    ax.text(1, score, "chance", transform=ax.get_yaxis_transform(), ha="right", va="bottom",
            color=PAPER, fontsize=9)  # fmt: skip


def legend_dot(label: str, **look: Any) -> Line2D:
    """A dot for a legend, black unless `look` says otherwise."""
    dot: dict[str, Any] = {"color": INK, "marker": "o", "linestyle": "", "markersize": 6}
    return Line2D([], [], label=label, **dot | look)


def log_seconds(ax: Axes) -> None:
    """Make the x axis of `ax` logarithmic, its ticks plain numbers: 3, 10, 30, 100."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    steps = (1, 3) if high / low > 20 else (1, 2, 5)
    ax.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=steps))
    ax.xaxis.set_major_formatter("{x:,g}")
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
