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
    stack_streams,
    strongest_frames,
)
from s1m_lab.figures import style
from s1m_lab.figures.frames import data_uri

DPI = style.STYLE["figure.dpi"]
TILED = 690  # px, the width of tiled filters beside their caption
COLUMNS = 16  # filters side by side
MEASURES = {
    "colourfulness": "colourfulness\n(share)",
    "frequency": "spatial frequency\n(cycles/pixel)",
    "orientation": "orientation\n(degrees)",
    "speed": "speed\n(pixels/frame)",
    "direction_selectivity": "space-time\norientation",
}


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
def _draw_rows(rows: dict[str, np.ndarray], title: str, columns: int = COLUMNS) -> Figure:
    """Groups of images (N×h×w×3 each) by caption, `columns` of them side by side."""
    h, w = next(iter(rows.values())).shape[1:3] if rows else (1, 1)
    heights = [2 + -(-len(images) // columns) * (h + 1) for images in rows.values()]
    inches = sum(heights) * TILED / (columns * (w + 1)) / DPI + 0.4 + 0.05 * len(rows)
    fig, axes = style.new_figure(max(1, len(rows)), 1, inches, height_ratios=heights or [1])
    fig.density = 1  # the pixels of filters are large: more would only enlarge a notebook
    for ax in axes[:, 0]:
        ax.set(xticks=[], yticks=[], anchor="W")
        ax.spines[:].set_visible(False)
    for ax, (caption, images) in zip(axes[:, 0], rows.items(), strict=False):
        ax.imshow(tile(images, columns), interpolation="nearest")
        ax.set_ylabel(caption, rotation=0, ha="right", va="center", fontsize=9)
    return style.headline(fig, title)


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
    return _draw_rows({caption: strips}, title, max(1, 20 // w.shape[2]))


def animate(streams: Streams, label: str, milliseconds: int = 250):
    """All filters as they move, in the order of `draw_grid`: a GIF in a line of HTML, no script.

    Four frames a second are two flashes, below the three that WCAG 2.2 allows. A bar below shows
    where in time it is. Up to 960 frames, to keep a notebook small: 96 filters of early fusion.
    """
    from IPython.display import HTML

    frames = next(iter(streams.values())).shape[2]
    shown = [pictures(w[: 960 // (frames * len(streams))]) for w in streams.values()]
    images = []
    for t in range(frames):
        image = np.concatenate([tile(filters[:, t], COLUMNS) for filters in shown])
        image = np.pad(image, ((0, 2), (0, 0), (0, 0)), constant_values=225)
        image[-2:, : image.shape[1] * (t + 1) // frames] = 80
        images.append(Image.fromarray(image).quantize(32))
    data, (first, *others) = io.BytesIO(), images
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
    return _draw_rows(rows, title, columns=18)


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
def draw_motion(measured: pd.DataFrame, test: ShuffleTest, colour: str, title: str) -> Figure:
    """How fine and how fast each filter is; the motion detectors are ringed."""
    fig, ((ax,),) = style.new_figure(1, 1, 3.2)
    x, y, selective = (measured[n] for n in ("frequency", "speed", "direction_selectivity"))
    above = selective > test.threshold
    look = {"clip_on": False, "zorder": 3}  # what stands still is on the axis
    dots = ax.scatter(x, y, c=selective, cmap="cividis_r", s=46, edgecolors=style.PAPER, **look)
    ax.scatter(x[above], y[above], s=110, facecolors="none", edgecolors=colour, **look)
    bar = fig.colorbar(dots, label="space-time orientation", pad=0.02)
    bar.ax.axhline(test.threshold, color=colour)
    ax.set(xlabel="spatial frequency (cycles/pixel)", ylabel="speed (pixels/frame)")
    ax.set(xlim=(0, None), ylim=(0, max(0.1, 1.08 * y.max())))
    ax.set_title("Ringed: beyond the line in the scale, 95 % of shuffled filters")
    ax.grid(axis="y")
    return style.headline(fig, title)
