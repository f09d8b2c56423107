"""What hand-made features look like: strokes, points, words, a vector, a table of trials.

Every function returns a `Figure` in the style of `plots`, for a cell to end with. Clips are uint8
T×H×W×3; words are shown as the patches of real clips that come nearest to them.
"""

import functools
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from s1m_lab.figures import frames, style
from s1m_lab.training.baseline import bag_of_words, descriptors
from s1m_lab.training.baseline.bag_of_words import Codebook
from s1m_lab.training.baseline.descriptors import ANGLES, CELL

SHADES = {"hog": "#0072B2", "texton": "#009E73", "cuboid": "#D55E00", "hue-saturation": "#CC79A7",
          "moments": "#B8A800", "faces": "#222222"}  # fmt: skip
WORDS, NEAREST, HALF = 12, 4, 12  # shown of a codebook; patches of each; their half side, pixels


@style.styled
def gradients(clip: np.ndarray, title: str) -> Figure:
    """One frame: its corners, its gradients as strokes along the edges, its textons by angle."""
    fig, (axes,) = style.new_figure(1, 3, 3.3, FigureClass=style.Photographs)
    number = descriptors.chosen(len(clip))[0]
    image = descriptors.grey(clip)[number]
    dots = descriptors.corners(image)
    for ax, frame in zip(axes, (clip[number], 255 - 90 * image, _angles(image)), strict=True):
        style.show_image(ax, frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, -1))
    axes[0].plot(dots[:, 1], dots[:, 0], "o", ms=5, mfc="none", mec="#FFE400", mew=1.2)
    axes[1].add_collection(_strokes(image))
    _star(axes[2].inset_axes([0.85, -0.115, 0.09, 0.09]))
    said = (f"{len(dots)} corners", "oriented gradients, by cell", "textons: stripes, by angle")
    for ax, text in zip(axes, said, strict=True):
        ax.set_xlabel(text, fontsize=9)
    style.headline(fig, title)
    return fig


def _strokes(image: np.ndarray) -> LineCollection:
    """A stroke a cell and bin, along the edge that such a gradient stands on."""
    sums = descriptors.summed(image)[:, ::CELL, ::CELL]
    cells = np.diff(np.diff(sums, axis=1), axis=2)  # 9×R×C
    weight = cells / cells.max()
    k, row, column = np.nonzero(weight > 0.03)
    angle = np.radians((k + 0.5) * 180 / ANGLES + 90)
    centre = np.stack([column, row], -1) * CELL + CELL / 2 - 0.5
    along = np.stack([np.cos(angle), np.sin(angle)], -1) * CELL / 2
    strength = np.sqrt(weight[k, row, column])
    ends = np.stack([centre - along, centre + along], 1)
    colours = [mpl.colors.to_rgba(SHADES["hog"], a) for a in strength]
    return LineCollection(list(ends), colors=colours, linewidths=0.4 + 1.8 * strength)


def _star(ax) -> None:
    """The key of `_angles`: a stroke in the colour of the stripes that run along it."""
    for k, angle in enumerate(np.pi * np.arange(6) / 6):
        along = np.array([-1, 1])
        shade = mpl.colors.hsv_to_rgb((k / 6, 0.75, 0.85))
        ax.plot(along * -np.sin(angle), along * np.cos(angle), color=shade, linewidth=2)
    ax.set(xlim=(-1.2, 1.2), ylim=(1.2, -1.2), aspect="equal")
    ax.axis("off")


def _angles(image: np.ndarray) -> np.ndarray:
    """The angle of the bar filter that answers most as a hue, its answer as lightness."""
    answers = np.abs(descriptors.textons(image)[..., 1:12:2])  # bars of the finer scale
    best, strength = answers.argmax(-1), answers.max(-1)
    hsv = [best / 6, np.full(best.shape, 0.75), np.clip(strength / 2.5, 0, 1)]
    return 255 * mpl.colors.hsv_to_rgb(np.stack(hsv, -1))


@style.styled
def draw_events(clips: Sequence[np.ndarray], captions: Sequence[str], title: str) -> Figure:
    """A clip a row: where in space and time the detector of cuboids finds that something moves."""
    shown = 6
    picks = np.linspace(descriptors.CUBOID[0][-1], len(clips[0]) - 5, shown).round().astype(int)
    fig = frames.strips([clip[picks] for clip in clips], captions, picks, title, shown)
    for row, clip in enumerate(clips):
        points = descriptors.events(descriptors.smoothed(descriptors.grey(clip)))
        for column, t in enumerate(picks):
            near = points[np.abs(points[:, 0] - t) <= 1]
            size = {"ms": 13, "mfc": "none", "mec": "#FFE400", "mew": 1.3}
            fig.axes[row * shown + column].plot(near[:, 2], near[:, 1], "s", **size)
    return fig


@style.styled
def colours(clips: Sequence[np.ndarray], captions: Sequence[str], title: str) -> Figure:
    """A clip a column, below it where its pixels are on the wheel of hue and saturation."""
    count, wheel = len(clips), {"projection": "polar"}
    fig = style.Photographs(figsize=(style.WIDTH, 3.6))
    bins = descriptors.HUES, descriptors.SATURATIONS
    hue, saturation = ((at + 0.5) / n for at, n in zip(np.indices(bins), bins, strict=True))
    for n, (clip, caption) in enumerate(zip(clips, captions, strict=True)):
        style.show_image(ax := fig.add_subplot(2, count, n + 1), clip[descriptors.STEP // 2])
        ax.set_xlabel(style.clean(caption, 100 / count), fontsize=9)
        ax = fig.add_subplot(2, count, count + n + 1, **wheel)
        pixels = descriptors.hue_saturation(clip).sum(axis=0)
        paint = mpl.colors.hsv_to_rgb(np.stack([hue, saturation, np.full_like(hue, 0.85)], -1))
        area = 700 * np.sqrt(pixels / pixels.sum())
        spots = {"c": paint.reshape(-1, 3), "edgecolors": "none", "alpha": 0.85}
        ax.scatter(2 * np.pi * hue.ravel(), saturation.ravel(), area, **spots)
        ax.set(xticks=[], yticks=[0.5, 1], yticklabels=[], ylim=(0, 1.05))
        ax.spines["polar"].set_color(style.FAINT)
    style.headline(fig, title)
    return fig


@style.styled
def draw_words(clips: Sequence[np.ndarray], books: dict[str, Codebook], title: str) -> Figure:
    """A codebook a row, a word a column: the four patches of `clips` nearest to it.

    A word of cuboids is in three frames below each other, the first on top.
    """
    rows = {"hog points": (0,), "texton points": (0,), "cuboid points": (-4, 0, 4)}
    heights = [len(times) * (1 if len(times) > 1 else 2) for times in rows.values()]
    fig, axes = style.new_figure(len(rows), WORDS, 0.37 * sum(heights) + 0.5,
                              height_ratios=heights, FigureClass=style.Photographs)  # fmt: skip
    fig.get_layout_engine().set(w_pad=0.02, h_pad=0.04, wspace=0.02, hspace=0.02)
    for line, (kind, times) in zip(axes, rows.items(), strict=True):
        patches = _nearest(clips, kind, books[kind], times)
        for ax, patch in zip(line, patches, strict=False):
            style.show_image(ax, patch)
        for ax in line[len(patches) :]:
            ax.axis("off")
        line[0].set_ylabel(kind.split()[0], rotation=0, ha="right", va="center", fontsize=9)
    style.headline(fig, title)
    return fig


def _nearest(
    clips: Sequence[np.ndarray], kind: str, book: Codebook, times: Sequence[int]
) -> list[np.ndarray]:
    """Of up to `WORDS` words spread over a codebook, the nearest patches as one picture each."""
    which = np.linspace(0, len(book.words) - 1, min(WORDS, len(book.words))).round().astype(int)
    apart, where = [], []
    for n, clip in enumerate(clips):
        T, H, W = clip.shape[:3]
        found = descriptors.local(clip)[kind]
        spots = np.floor(found.places * [H, W]).astype(int)
        if kind.startswith("cuboid"):
            t = descriptors.events(descriptors.smoothed(descriptors.grey(clip)))[:, 0]
        else:  # corners of the frames that were described, one after the other
            numbers = descriptors.chosen(T)
            found_in = [len(descriptors.corners(descriptors.grey(clip[t]))) for t in numbers]
            t = np.repeat(numbers, found_in)
        apart.append(bag_of_words.squared_distances(found.values, book.words[which]))
        where += [(n, t[i], *spot) for i, spot in enumerate(spots)]
    apart, where = np.concatenate(apart), np.array(where)
    best = np.argsort(apart, axis=0, kind="stable")[:NEAREST].T
    return [_mosaic([_patch(clips, where[i], times) for i in own]) for own in best if len(own)]


def _patch(clips, place: np.ndarray, times: Sequence[int]) -> np.ndarray:
    """(frames·24)×24×3 around a place (clip, frame, row, column), frames below each other."""
    n, t, y, x = place
    room = ((HALF, HALF), (HALF, HALF), (0, 0))
    frames = [np.pad(clips[n][t + dt], room, mode="edge") for dt in times]
    return np.concatenate([frame[y : y + 2 * HALF, x : x + 2 * HALF] for frame in frames])


def _mosaic(patches: list[np.ndarray]) -> np.ndarray:
    """Single pictures two by two, tall ones (of several frames) side by side."""
    patches = [np.pad(p, ((1, 1), (1, 1), (0, 0)), constant_values=255) for p in patches]
    patches += [np.full_like(patches[0], 255)] * (NEAREST - len(patches))
    if patches[0].shape[0] > patches[0].shape[1]:
        return np.concatenate(patches[:2], axis=1)
    return np.concatenate([np.concatenate(patches[n : n + 2], axis=1) for n in (0, 2)])


@style.styled
def vectors(found: Sequence[np.ndarray], captions: Sequence[str], size: int, title: str) -> Figure:
    """The vector of a video a row, each histogram as bars of its shares (on a root scale)."""
    fig, axes = style.new_figure(len(found), 1, 0.9 + 1.0 * len(found), sharex=True)
    parts = bag_of_words.layout(size)
    for ax, values, caption in zip(axes[:, 0], found, captions, strict=True):
        for name, part in parts.items():
            ax.vlines(np.arange(part.start, part.stop), 0, np.sqrt(np.abs(values[part])),
                      color=SHADES[name.split()[0]], linewidth=0.7)  # fmt: skip
        for part in parts.values():
            ax.axvline(part.start, color=style.FAINT, linewidth=0.8, zorder=0)
        ax.set(ylim=(0, 0.5), yticks=[0, 0.2, 0.4], yticklabels=["0", "4 %", "16 %"])
        ax.set_title(style.clean(caption, 90), fontsize=9, fontweight="normal")
        ax.set_xlim(0, parts["faces"].stop)
    for name, part in parts.items():
        if name not in ("moments", "faces"):  # which have no room
            ax.annotate(name.replace(" ", "\n"), ((part.start + part.stop) / 2, -0.2), fontsize=8,
                        xycoords=("data", "axes fraction"), ha="center", va="top",
                        color=SHADES[name.split()[0]])  # fmt: skip
    ax.annotate("moments,\nfaces", (1, -0.2), fontsize=8, xycoords="axes fraction", ha="right",
                va="top", color=SHADES["moments"])  # fmt: skip
    ax.set_xticks([])
    fig.supylabel("share", fontsize=9)
    style.headline(fig, title)
    return fig


@style.styled
def draw_trials(trials: pd.DataFrame, title: str) -> Figure:
    """A dot a trial of `baseline.trials`: how it did on the validation videos, by its layers."""
    fig, ((left, right),) = style.new_figure(1, 2, 3.5, sharey=True)
    keys = list(dict.fromkeys(zip(trials["depth"], trials["width"], strict=True)))
    names = ["linear" if not d else f"{d} × {w:,} ReLU" for d, w in keys]
    row = np.array([keys.index(k) for k in zip(trials["depth"], trials["width"], strict=True)])
    place = trials.groupby(row).cumcount() / max(1, np.bincount(row).max() - 1) - 0.5
    y, fast = row + 0.6 * place, trials["lr"] == trials["lr"].max()
    for ax, x in ((left, trials["val_loss"]), (right, 100 * trials["val_hit1"])):
        for n, at in enumerate(zip(x, y, strict=True)):
            paint = mpl.colors.to_rgba(style.HISTOGRAMS, 1 if fast.iloc[n] else 0.45)
            face = paint if trials["dropout"].iloc[n] else "white"
            ax.plot(*at, "o", ms=6, mec=paint, mfc=face)
            if trials["chosen"].iloc[n]:
                ax.plot(*at, "o", ms=12, mfc="none", mec=style.INK)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    left.set_yticks(range(len(names)), names)
    left.set(ylim=(len(names) - 0.4, -0.6), xlabel="validation loss of a video (nats)")
    right.set(xlabel="validation Hit@1 of videos (%)")
    dot = functools.partial(Line2D, [], [], linestyle="", marker="o", color=style.HISTOGRAMS)
    rates = sorted(set(trials["lr"]), reverse=True)
    handles = [
        *(dot(label=f"learning rate {r:g}", alpha=1 if r == rates[0] else 0.45) for r in rates),
        dot(label="without dropout", mfc="white"),
        dot(label="chosen", markersize=12, mfc="none", mec=style.INK),
    ]
    fig.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=9)
    style.headline(fig, title)
    return fig


@style.styled
def draw_scores(rows: Sequence[tuple], paper: float, chance: float, title: str) -> Figure:
    """Scores (name, share, low, high) with their intervals, below them the paper's as a ring."""
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
