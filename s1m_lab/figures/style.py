"""One style; contact sheets, strips, how long videos are.

Every function returns a `Figure` in the lab's style, for a cell to end with. Each fusion has one
colour everywhere (`COLOURS`, from the colour-blind safe set of Okabe and Ito), the paper is grey.
Frames are uint8 H×W×3, or floats on the same 0…255. Text from outside (titles, labels) is drawn as
it stands: never read as mathematics, cut to its place, unknown characters as □.
"""

import functools
import io
from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
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


def use_style() -> None:
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


def new_figure(rows=1, columns=1, height=3.0, **more) -> tuple[Figure, np.ndarray]:
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


def show_image(ax, frame: np.ndarray) -> None:
    ax.imshow(np.clip(frame, 0, 255).astype(np.uint8), interpolation="antialiased")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


@styled
def nothing(title: str) -> Figure:
    """Where there is nothing to draw, a line that says so."""
    fig, ((ax,),) = new_figure(1, 1, 0.45)
    ax.axis("off")
    ax.set_title(clean(title, 110))
    return fig


def log_seconds(ax) -> None:
    """A log axis in plain numbers: 3 10 30 100, not powers; more of them where it is short."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    steps = (1, 3) if high / low > 20 else (1, 2, 3, 5) if high / low > 4 else np.arange(1, 10, 0.5)
    ticks = [a * 10.0**n for n in range(-1, 6) for a in steps if low <= a * 10.0**n <= high]
    ax.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
