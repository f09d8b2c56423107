"""The hand-made features: where they look, what their words are, how they score.

    draw_events(clips, captions, "…")                     # where cuboids are taken
    draw_words(clips, bag_of_words.load_codebooks(folder), "…")  # the patches nearest to a word
    draw_scores(rows, paper, chance, "…")                 # Hit@1 beside the paper's

Clips are uint8 T×H×W×3.
"""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from s1m_lab.figures import frames, style
from s1m_lab.figures.filters import tile
from s1m_lab.training.baseline import bag_of_words, descriptors
from s1m_lab.training.baseline.bag_of_words import Codebook

WORDS, NEAREST, HALF = 12, 4, 12  # shown of a codebook; patches of each; their half side, pixels
YELLOW = "#FFE400"


@style.styled
def draw_events(clips: Sequence[np.ndarray], captions: Sequence[str], title: str) -> Figure:
    """A clip a row: where in space and time the detector of cuboids finds motion."""
    shown = 6
    picks = np.linspace(descriptors.CUBOID[0][-1], len(clips[0]) - 5, shown).round().astype(int)
    square: dict = {"ms": 13, "mfc": "none", "mec": YELLOW, "mew": 1.3}
    fig = frames.strips([clip[picks] for clip in clips], captions, picks.tolist(), title, shown)
    for row, clip in enumerate(clips):
        points = descriptors.events(descriptors.smoothed(descriptors.grey(clip)))
        for column, t in enumerate(picks):
            near = points[np.abs(points[:, 0] - t) <= 1]
            fig.axes[row * shown + column].plot(near[:, 2], near[:, 1], "s", **square)
    return fig


@style.styled
def draw_words(clips: Sequence[np.ndarray], books: dict[str, Codebook], title: str) -> Figure:
    """A codebook a row, a word a column: the four patches of `clips` nearest to it.

    A patch of a cuboid is three frames below each other, the first on top.
    """
    rows = {"hog points": (0,), "texton points": (0,), "cuboid points": (-4, 0, 4)}
    heights = [max(2, len(times)) for times in rows.values()]
    fig, axes = style.new_figure(
        len(rows),
        1,
        0.37 * sum(heights) + 0.5,
        height_ratios=heights,
        FigureClass=style.Photographs,
    )
    for ax, (kind, times) in zip(axes[:, 0], rows.items(), strict=True):
        words = _nearest_patches(clips, kind, books[kind], times)
        if words:
            style.show_image(ax, tile(np.stack(words), WORDS, gap=4))
        else:
            ax.axis("off")
        ax.set_ylabel(kind.split()[0], rotation=0, ha="right", va="center", fontsize=9)
    style.headline(fig, title)
    return fig


def _nearest_patches(
    clips: Sequence[np.ndarray], kind: str, book: Codebook, times: Sequence[int]
) -> list[np.ndarray]:
    """Of up to `WORDS` words spread over a codebook, the nearest patches as one picture each."""
    which = np.linspace(0, len(book.words) - 1, min(WORDS, len(book.words))).round().astype(int)
    distances, places = [], []
    for n, clip in enumerate(clips):
        found = descriptors.local(clip)[kind]
        spots = np.floor(found.places * clip.shape[1:3]).astype(int)
        t = _times_of(clip, kind)
        distances.append(bag_of_words.squared_distances(found.values, book.words[which]))
        places += [(n, t[i], *spot) for i, spot in enumerate(spots)]
    best = np.argsort(np.concatenate(distances), axis=0, kind="stable")[:NEAREST].T  # words×4
    if best.shape[1] < NEAREST:
        return []
    patches = [np.stack([_patch(clips, places[i], times) for i in own]) for own in best]
    return [tile(own if len(times) == 1 else own[:2], 2) for own in patches]


def _times_of(clip: np.ndarray, kind: str) -> np.ndarray:
    """The frame number of each local descriptor of a clip, in their order."""
    if kind.startswith("cuboid"):
        return descriptors.events(descriptors.smoothed(descriptors.grey(clip)))[:, 0]
    numbers = descriptors.chosen(len(clip))
    return np.repeat(
        numbers, [len(descriptors.corners(descriptors.grey(clip[t]))) for t in numbers]
    )


def _patch(clips: Sequence[np.ndarray], place: Sequence[int], times: Sequence[int]) -> np.ndarray:
    """(frames·24)×24×3 around a place (clip, frame, row, column), frames below each other."""
    n, t, y, x = place
    room = ((0, 0), (HALF, HALF), (HALF, HALF), (0, 0))
    around = np.pad(clips[n][[t + dt for dt in times]], room, mode="edge")
    return np.concatenate(around[:, y : y + 2 * HALF, x : x + 2 * HALF])


@style.styled
def draw_scores(rows: Sequence[tuple], paper: float, chance: float, title: str) -> Figure:
    """Scores (name, share, low, high) with their intervals, and the paper's as a ring below."""
    fig, ((ax,),) = style.new_figure(1, 1, 1.3 + 0.3 * len(rows))
    for n, (_, share, low, high) in enumerate(rows):
        ax.hlines(n, low, high, color=style.HISTOGRAMS, linewidth=1.6)
        ax.plot(share, n, "o", ms=9, color=style.HISTOGRAMS, mfc="white" if n else None)
        ax.annotate(f"{share:.1%}   ({low:.1%} to {high:.1%})", (1.02, n), va="center", fontsize=9,
                    xycoords=("axes fraction", "data"))  # fmt: skip
    ax.plot(paper, len(rows), "o", ms=9, color=style.PAPER, fillstyle="none", mew=1.8)
    ax.annotate(f"{paper:.1%}", (1.02, len(rows)), va="center", fontsize=9, color=style.PAPER,
                xycoords=("axes fraction", "data"))  # fmt: skip
    ax.axvline(chance, color=style.INK, linestyle=":", linewidth=1)
    ax.annotate("chance, here", (chance, -0.55), fontsize=8, xytext=(3, 0), va="center",
                textcoords="offset points")  # fmt: skip
    names = [*(name for name, *_ in rows), "the paper, on Sports-1M (487 classes)"]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(0, 1.01), ylim=(len(names) - 0.5, -0.8))
    style.headline(fig, title)
    ax.set_xlabel("Hit@1 of test videos, 95 % intervals")
    ax.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return fig
