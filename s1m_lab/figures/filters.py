"""First-layer filters: how they look, how they change, and how they are tuned.

    now, start = filters.first_layer(runs.load_network(run)), filters.initial_filters(run)
    draw_grid(filters.learnt(now, start), "…")            # and draw_strips, animate, draw_sorted, …

Filters are float arrays N×3×T×11×11, a dict of them by stream; `analysis.filters` measures them.
A filter is drawn around mid-grey: 128 is zero, and its largest weight of all frames and colours is
0 or 255.
"""

import html
import io

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from PIL import Image
from torchvision.utils import make_grid

from s1m_lab.analysis.filters import (
    ShuffleTest,
    Streams,
    learnt,
    norm,
    shuffle_test,
    stack_streams,
    strongest_frames,
)
from s1m_lab.figures import style
from s1m_lab.figures.frames import data_uri

DPI = style.STYLE["figure.dpi"]
TILED = 690  # px, the width of tiled filters beside their caption
TALLEST = 700  # px, of a figure of filters
MEASURES = {
    "colourfulness": "colourfulness\n(share)",
    "frequency": "spatial frequency\n(cycles/pixel)",
    "orientation": "orientation\n(degrees)",
    "speed": "speed\n(pixels/frame)",
    "direction_selectivity": "space-time\norientation",
}


class Tiles(style.Drawing):
    """A figure of filters, whose pixels are large: more would only enlarge a notebook."""

    density = 1


def pictures(w: np.ndarray, largest: np.ndarray | None = None) -> np.ndarray:
    """N×3×T×H×W → N×T×H×W×3 uint8: zero is 128, `largest` (N; its own largest weight) 255."""
    if largest is None:
        largest = np.abs(w).max(axis=(1, 2, 3, 4))
    share = w / np.maximum(largest, 1e-30)[:, None, None, None, None]
    return np.clip(128 + 127 * share, 0, 255).round().astype(np.uint8).transpose(0, 2, 3, 4, 1)


def _strongest_pictures(w: np.ndarray) -> np.ndarray:
    """Of each filter the frame with most energy: N×H×W×3."""
    return pictures(w)[np.arange(len(w)), strongest_frames(w)]


def tile(images: np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """N×h×w×3 uint8 → one picture, row by row, with `gap` white pixels around each image."""
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    return make_grid(batch, columns, gap, pad_value=255).permute(1, 2, 0).numpy()


@style.styled
def _draw_rows(rows: dict[str, np.ndarray], title: str) -> Figure:
    """Groups of images (N×h×w×3 each) by caption, at the largest scale at which all fit."""
    h, w = next(iter(rows.values())).shape[1:3] if rows else (1, 1)
    for scale in (4, 3, 2):
        columns = max(1, TILED // ((w + 1) * scale))
        lines = [-(-len(images) // columns) for images in rows.values()]
        height = scale * sum(2 + n * (h + 1) for n in lines)
        if height <= TALLEST:
            break
    heights, inches = [2 + n * (h + 1) for n in lines], height / DPI + 0.4 + 0.05 * len(rows)
    about = {"height_ratios": heights or [1], "FigureClass": Tiles}
    fig, axes = style.new_figure(max(1, len(rows)), 1, inches, **about)
    for ax in axes[:, 0]:
        ax.set(xticks=[], yticks=[], anchor="W")
        ax.spines[:].set_visible(False)
    for ax, (caption, images) in zip(axes[:, 0], rows.items(), strict=False):
        ax.imshow(tile(images, columns), interpolation="nearest")
        ax.set_ylabel(caption, rotation=0, ha="right", va="center", fontsize=9)
    style.headline(fig, title)
    return fig


def draw_grid(streams: Streams, title: str) -> Figure:
    """Every filter in its order, one group per stream; of several frames the strongest."""
    rows = {f"{stream}:\n{len(w)} filters": _strongest_pictures(w) for stream, w in streams.items()}
    return _draw_rows(rows, title)


def draw_strips(streams: Streams, title: str, picks=None) -> Figure:
    """The frames of each filter side by side, time running right; of `picks`, or of all.

    At most 400 frames, to keep a notebook small: 96 filters of slow fusion, 40 of early.
    """
    w = stack_streams(streams)
    w = w if picks is None else w[np.asarray(picks, int)]
    strips = np.stack([tile(one, len(one)) for one in pictures(w[: 400 // w.shape[2]])])
    caption = f"{len(strips)} of {len(w)}\nfilters,\n{w.shape[2]} frames each,\nfirst to last"
    return _draw_rows({caption: strips}, title)


def animate(streams: Streams, label: str, milliseconds: int = 250):
    """All filters as they move, in the order of `draw_grid`: a GIF in a line of HTML, no script.

    Four frames a second are two flashes, below the three that WCAG 2.2 allows. A bar below shows
    where in time it is. Up to 960 frames, to keep a notebook small: 96 filters of early fusion.
    """
    from IPython.display import HTML

    frames = next(iter(streams.values())).shape[2]
    shown = [pictures(w[: 960 // (frames * len(streams))]) for w in streams.values()]
    columns = min(len(shown[0]), 16)
    images = []
    for t in range(frames):
        image = np.concatenate([tile(filters[:, t], columns) for filters in shown])
        bar = np.full((2, image.shape[1], 3), 225, np.uint8)
        bar[:, bar.shape[1] * t // frames : bar.shape[1] * (t + 1) // frames] = 80
        images.append(np.concatenate([image, bar]))
    palette = Image.fromarray(np.concatenate(images)).quantize(32, kmeans=1)
    first, *others = (
        Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.NONE)
        for image in images
    )
    data = io.BytesIO()
    first.save(data, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    source = data_uri(data.getvalue(), "gif")
    look = f"width:{4 * first.width}px; image-rendering:pixelated; background:white; padding:10px"
    return HTML(f'<img src="{source}" style="{look}" alt="{html.escape(label)}">')


def draw_sorted(streams: Streams, measured: pd.DataFrame, title: str) -> Figure:
    """The filters once for every measure, from its lowest to its highest, and the value of both.

    Of more than 36 filters 36 stand for all, evenly apart. Filters of zeros are left out.
    """
    w, rows = stack_streams(streams), {}
    nonzero = w.any(axis=(1, 2, 3, 4))
    w, measured = w[nonzero], measured[nonzero]
    picks = np.linspace(0, len(w) - 1, min(len(w), 36)).round().astype(int)
    images = _strongest_pictures(w)
    for measure, name in MEASURES.items():
        values = measured[measure].to_numpy()
        if len(values) and not np.isnan(values).any():
            order = np.argsort(values, kind="stable")
            ends = f"{values[order[0]]:.2f} to {values[order[-1]]:.2f}"
            rows[f"{name}\n{ends}"] = images[order[picks]]
    return _draw_rows(rows, title)


def draw_growth(found: dict[int, Streams], title: str) -> Figure:
    """What was learnt, one row per step: the ten filters that changed most, on one scale each."""
    new = {step: stack_streams(learnt(streams, found[0])) for step, streams in found.items()}
    last = new[max(new)]
    largest = np.abs(last).max(axis=(1, 2, 3, 4))
    picks = np.argsort(-(last**2).sum(axis=(1, 2, 3, 4)), kind="stable")[:10]
    numbers, frames = np.arange(len(picks)), strongest_frames(last)[picks]
    rows = {f"step {step:,}": pictures(w[picks], largest[picks]) for step, w in new.items()}
    return _draw_rows({step: images[numbers, frames] for step, images in rows.items()}, title)


@style.styled
def draw_motion(measured: pd.DataFrame, seen: ShuffleTest, colour: str, title: str) -> Figure:
    """Which filters are motion detectors: how fast and fine, and how much they prefer one way."""
    fig, ((left, right),) = style.new_figure(1, 2, 3.2, width_ratios=[3, 2])
    selective = measured["direction_selectivity"]
    above = (selective > seen.threshold).to_numpy()
    x, y = measured["frequency"], measured["speed"]
    dots = left.scatter(x, y, c=selective, cmap="cividis_r", s=46, edgecolors=style.PAPER, zorder=3)
    left.scatter(x[above], y[above], s=110, facecolors="none", edgecolors=colour, linewidths=1.8)
    fig.colorbar(dots, ax=left, label="space-time orientation", pad=0.02)
    left.set(xlabel="spatial frequency (cycles/pixel)", ylabel="speed (pixels/frame)")
    left.set(xlim=(0, None), ylim=(0, max(0.1, 1.08 * y.max())))
    for each in left.collections:
        each.set_clip_on(False)  # what stands still is on the axis
    left.set_title("Ringed: the motion detectors")
    order = np.argsort(selective.to_numpy())  # nan, of filters of zeros, is last and not drawn
    shades = np.where(above[order], colour, style.PAPER)
    right.scatter(range(len(order)), selective.to_numpy()[order], c=shades, s=24)
    right.axhline(seen.threshold, color=style.INK, linewidth=1, linestyle=":")
    below = "bottom" if above.any() else "top"  # else it would run into the title
    right.annotate("95 % of shuffled", (0, seen.threshold), fontsize=9, va=below,
                   xytext=(0, 2 if above.any() else -3), textcoords="offset points")  # fmt: skip
    right.set(xlabel="filters, sorted", ylabel="space-time orientation", ylim=(0, None))
    right.set_title("They lie above the line")
    for ax in (left, right):
        ax.grid(axis="y")
    style.headline(fig, title)
    return fig


@style.styled
def draw_evidence(tests: dict[str, ShuffleTest], colour: str, title: str) -> Figure:
    """Mean space-time orientation on what shuffled time gives; beyond the line p ≤ 0.05."""
    fig, ((ax,),) = style.new_figure(1, 1, 0.9 + 0.6 * len(tests))
    right = ("axes fraction", "data")
    for row, seen in enumerate(tests.values()):
        heights, edges = np.histogram(seen.null, 60)
        ax.fill_between(edges[:-1], row + 0.3, row + 0.3 - 0.6 * heights / heights.max(),
                        step="post", color=style.FAINT, linewidth=0)  # fmt: skip
        ax.vlines(seen.limit, row - 0.3, row + 0.3, color=style.INK, linewidth=1)
        ax.plot(seen.mean, row, "o", color=colour, markersize=8)
        numbers = (f"{seen.mean:.3f}", f"{np.mean(seen.null):.3f}", f"{seen.p:.4f}")
        heads = ("here", "shuffled", "p")
        for place, text, head in zip((1.02, 1.09, 1.19), numbers, heads, strict=True):
            ax.annotate(text, (place, row), xycoords=right, va="center", fontsize=9)
            if not row:
                ax.annotate(head, (place, -0.5), xycoords=right, fontsize=9, color=style.PAPER)
    ax.set_yticks(range(len(tests)), [style.clean(name) for name in tests])
    ax.set(ylim=(len(tests) - 0.5, -0.6), xlim=(0, None))
    ax.set_xlabel("mean space-time orientation; grey: frames shuffled, 95 % of it left of its line")
    style.headline(fig, title)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return fig


@style.styled
def draw_history(found: dict[int, Streams], colour: str, title: str, seed: int = 0) -> Figure:
    """How much was learnt by step, and how space-time-oriented that is against shuffled time."""
    fig, ((left, right),) = style.new_figure(1, 2, 2.8)
    steps = list(found)
    new = [learnt(found[step], found[0]) for step in steps]
    left.plot(steps, [100 * norm(w) / norm(found[0]) for w in new], "o-", color=colour, ms=4)
    left.set(xlabel="step", ylabel="% of the start's size", ylim=(0, None))
    left.set_title("How much was learnt")
    if stack_streams(new[0]).shape[2] > 1:
        seen = [shuffle_test(stack_streams(w), seed) for w in new[1:]]
        means, limits = ([getattr(one, n) for one in seen] for n in ("mean", "limit"))
        least = [one.null.min() for one in seen]
        right.fill_between(steps[1:], least, limits, color=style.FAINT, label="95 % of shuffled")
        right.plot(steps[1:], means, "o-", color=colour, ms=4, label="as learnt")
        right.set(ylim=(0, 1.2 * max(*limits, *means)))
        right.set(xlabel="step", ylabel="space-time orientation", xlim=left.get_xlim())
        right.set_title("How oriented in space-time it is")
        right.legend(fontsize=9, ncols=2, loc="upper left")
    else:
        right.axis("off")
    for ax in (left, right):
        ax.grid(axis="y")
    style.headline(fig, title)
    return fig
