"""The hand-made features: where they look, what their words are, how they score.

    draw_events(clips, captions, "…")                     # where cuboids are taken
    draw_words(clips, bag_of_words.load_codebooks(folder), "…")  # the patches nearest to a word
    draw_scores(rows, paper, chance, "…")                 # Hit@1 beside the paper's

Clips are uint8 T×H×W×3.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from s1m_lab.figures import frames, style, training
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
    look = {"height_ratios": heights, "FigureClass": style.Photographs}
    fig, axes = style.new_figure(len(rows), 1, 0.37 * sum(heights) + 0.5, **look)
    for ax, (kind, times) in zip(axes[:, 0], rows.items(), strict=True):
        words = _nearest_patches(clips, kind, books[kind], times)
        if words:
            style.show_image(ax, tile(np.stack(words), WORDS, gap=4))
        else:
            ax.axis("off")
        ax.set_ylabel(kind.split()[0], rotation=0, ha="right", va="center", fontsize=9)
    return style.headline(fig, title)


def _nearest_patches(
    clips: Sequence[np.ndarray], kind: str, book: Codebook, times: Sequence[int]
) -> list[np.ndarray]:
    """Of up to `WORDS` words spread over a codebook, the nearest patches as one picture each."""
    which = np.linspace(0, len(book.words) - 1, min(WORDS, len(book.words))).round().astype(int)
    distances, patches = [], []
    for clip in clips:
        values = descriptors.local(clip)[kind].values
        distances.append(bag_of_words.squared_distances(values, book.words[which]))
        around = np.pad(clip, ((0, 0), (HALF, HALF), (HALF, HALF), (0, 0)), mode="edge")
        for t, y, x in _points(clip, kind):
            shots = around[[t + dt for dt in times], y : y + 2 * HALF, x : x + 2 * HALF]
            patches.append(np.concatenate(shots))  # below each other
    best = np.argsort(np.concatenate(distances), axis=0, kind="stable")[:NEAREST].T  # words×4
    if best.shape[1] < NEAREST:
        return []
    return [tile(own if len(times) == 1 else own[:2], 2) for own in np.array(patches)[best]]


def _points(clip: np.ndarray, kind: str) -> np.ndarray:
    """Frame, row and column (N×3) of each interest point of a clip, in the order of `local`."""
    volume = descriptors.grey(clip)
    if kind.startswith("cuboid"):
        return descriptors.events(descriptors.smoothed(volume))
    corners = {t: descriptors.corners(volume[t]) for t in descriptors.chosen(len(clip))}
    return np.concatenate([np.insert(own, 0, t, axis=1) for t, own in corners.items()])


def draw_scores(
    rows: Sequence[tuple[str, float, float, float]], paper: float, chance: float, title: str
) -> Figure:
    """Scores (name, share, low, high) with their intervals, beside the paper's and chance."""
    table = pd.DataFrame(rows, columns=["name", "ours", "ours_low", "ours_high"]).set_index("name")
    table = table.assign(paper=paper, chance=chance)
    fig = training.draw_beside_paper(table, style.colour("histograms"), title)
    fig.axes[0].set_xlabel("Hit@1 of test videos, 95 % intervals")
    return fig
