"""First-layer filters: how they look, move and are tuned.

    now, before = first_layer(runs.load_network(run)), at_start(run)
    new = learnt(now, before)       # what training added to the random start
    draw_grid(new, "…")             # and draw_strips, animate, draw_sorted, draw_motion, …

Filters are float arrays N×3×T×11×11, a dict of them by stream; `tuning` measures them. A filter is
drawn around mid-grey: 128 is zero, and its largest weight of all frames and colours is 0 or 255.
"""

import html
import io

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from s1m_lab.analysis.filters import (
    EDGE,
    MEASURES,
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
PAGE = round(style.WIDTH * DPI)  # the text width of a report, pixels
MARGIN = 10  # around figures of tiles, pixels: the page may be dark
GAP = 1  # between tiles, in pixels of a filter


def pictures(w: np.ndarray, largest: np.ndarray | None = None) -> np.ndarray:
    """N×3×T×H×W → N×T×H×W×3 uint8: zero is 128, `largest` (N; its own largest weight) 255."""
    if largest is None:
        largest = np.abs(w).max(axis=(1, 2, 3, 4))
    share = w / np.maximum(largest, 1e-30)[:, None, None, None, None]
    return np.clip(128 + 127 * share, 0, 255).round().astype(np.uint8).transpose(0, 2, 3, 4, 1)


def tiles(images: np.ndarray, columns: int, gap: int = GAP) -> np.ndarray:
    """N×h×w×3 → one white image, row by row, `gap` pixels between its tiles."""
    n, h, w = images.shape[:3]
    rows = -(-n // columns)
    sheet = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        sheet[y : y + h, x : x + w] = image
    return sheet


@style.styled
def _sheet(rows: list[list[tuple[str, np.ndarray]]], title: str, beside: int = 0) -> Figure:
    """Rows of captioned images, every pixel as it is; captions above, or `beside` pixels wide."""
    above = 0 if beside else 20
    least = 28 if beside else 0  # two lines of caption
    heights = [max(least, *(len(image) for _, image in row)) + above + 6 for row in rows]
    wide, top = PAGE + 2 * MARGIN, 32 + sum(heights) + 2 * MARGIN
    fig = style.Drawing(figsize=(wide / DPI, top / DPI), layout="none")
    fig.density = 1
    y = top - MARGIN
    fig.text(MARGIN / wide, y / top, style.clean(title, 105), fontweight="bold", fontsize=11,
             va="top")  # fmt: skip
    y -= 26
    for row, height in zip(rows, heights, strict=True):
        for i, (caption, image) in enumerate(row):
            x = MARGIN + i * PAGE // len(row)
            text = "\n".join(style.clean(line, 105) for line in caption.split("\n"))
            fig.text(x / wide, (y - 2) / top, text, fontsize=9, va="top", linespacing=1.3)
            fig.figimage(image, x + beside, y - above - image.shape[0])
        y -= height
    return fig


def _grown(image: np.ndarray, scale: int) -> np.ndarray:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def _grid(w: np.ndarray, width: int) -> tuple[int, int]:
    """Columns and scale of a grid of N filters that fills `width` pixels."""
    side = w.shape[-1] + GAP
    rows = -(-len(w) // (width // (4 * side)))
    columns = -(-len(w) // rows)
    return columns, min(6, width // (columns * side))


def draw_grid(streams: Streams, title: str) -> Figure:
    """Every filter in its order, the streams side by side; of several frames the strongest."""
    row = []
    for stream, w in streams.items():
        columns, scale = _grid(w, PAGE // len(streams))
        image = pictures(w)[np.arange(len(w)), strongest_frames(w)]
        row.append((f"{stream}: {len(w)} filters", _grown(tiles(image, columns), scale)))
    return _sheet([row], title)


def draw_strips(streams: Streams, title: str, picks=None) -> Figure:
    """The frames of each filter side by side, time running right; of `picks`, or of all.

    At most 480 frames, to keep a notebook small: 96 filters of slow fusion, 48 of early.
    """
    w = stack_streams(streams)
    w = w if picks is None else w[np.asarray(picks, int)]
    strips = np.stack([tiles(one, len(one)) for one in pictures(w[: 480 // w.shape[2]])])
    side = strips.shape[2] + 3
    scale = next((s for s in (4, 3) if -(-len(strips) // (PAGE // (side * s))) * 14 * s < 700), 2)
    columns = PAGE // (side * scale)
    caption = f"{len(strips)} of {len(w)} filters, {w.shape[2]} frames each, first to last"
    return _sheet([[(caption, _grown(tiles(strips, columns, 3), scale))]], title)


def _moment(streams: Streams, t: int, most: int) -> np.ndarray:
    """Frame t of up to `most` filters of each stream, the streams side by side."""
    sides = []
    for w in streams.values():
        columns, _ = _grid(w, PAGE // len(streams))
        sides.append(np.pad(tiles(pictures(w[:most])[:, t], columns), EDGE, constant_values=255))
    return np.concatenate(sides, axis=1)


def animate(streams: Streams, label: str, milliseconds: int = 250):
    """All filters as they move, in the order of `draw_grid`: a GIF in a line of HTML, no script.

    Four frames a second are two flashes, below the three that WCAG 2.2 allows. A bar below shows
    where in time it is. Up to 960 frames, to keep a notebook small: 96 filters of early fusion.
    """
    from IPython.display import HTML

    depths = [w.shape[2] for w in streams.values()]
    images = [_moment(streams, t, most=960 // sum(depths)) for t in range(depths[0])]
    height, width = images[0].shape[:2]
    bars = [np.full((2, width, 3), 225, np.uint8) for _ in images]
    for t, bar in enumerate(bars):
        bar[:, width * t // len(bars) : width * (t + 1) // len(bars)] = 80
    stack = np.concatenate([np.concatenate([i, b]) for i, b in zip(images, bars, strict=True)])
    whole = Image.fromarray(stack).quantize(32, kmeans=1)
    cut = [whole.crop((0, y, width, y + height + 2)) for y in range(0, whole.height, height + 2)]
    data, scale = io.BytesIO(), max(1, PAGE // width)
    cut[0].save(data, "GIF", save_all=True, append_images=cut[1:], duration=milliseconds, loop=0)
    size = f'width="{width * scale}" height="{(height + 2) * scale}"'
    style = f"image-rendering: pixelated; background: white; padding: {MARGIN}px"
    name = html.escape(label)
    source = data_uri(data.getvalue(), "gif")
    return HTML(f'<img src="{source}" {size} style="{style}" alt="{name}">')


def draw_sorted(streams: Streams, measured: pd.DataFrame, title: str) -> Figure:
    """The grid once for every measure, from its lowest to its highest, and the value of both.

    Of more than 48 filters 48 stand for all, evenly apart. Filters of zeros have no place in it.
    """
    w, rows = stack_streams(streams), []
    there = w.any(axis=(1, 2, 3, 4))
    w, measured = w[there], measured[there]
    picks = np.linspace(0, len(w) - 1, min(len(w), 48)).round().astype(int)
    images = pictures(w)[np.arange(len(w)), strongest_frames(w)]
    for measure, name in MEASURES.items():
        values = measured[measure].to_numpy()
        if len(values) and not np.isnan(values).any():
            order = np.argsort(values, kind="stable")
            ends = f"{values[order[0]]:.2f} to {values[order[-1]]:.2f}"
            rows.append([(f"{name}\n{ends}", _grown(tiles(images[order[picks]], 24), 2))])
    return _sheet(rows, title, beside=PAGE - 2 * 24 * (w.shape[-1] + GAP))


def draw_growth(found: dict[int, Streams], title: str) -> Figure:
    """What was learnt by step, a row each: the ten filters that changed most, on one scale each."""
    steps = list(found)
    new = [stack_streams(learnt(found[step], found[0])) for step in steps]
    largest = np.abs(new[-1]).max(axis=(1, 2, 3, 4))
    picks = np.argsort(-(new[-1] ** 2).sum(axis=(1, 2, 3, 4)), kind="stable")[:10]
    frame = strongest_frames(new[-1])[picks]
    rows = []
    for step, w in zip(steps, new, strict=True):
        image = pictures(w[picks], largest[picks])[np.arange(len(picks)), frame]
        rows.append([(f"step {step:,}", _grown(tiles(image, len(picks)), 5))])
    return _sheet(rows, title, beside=PAGE - 5 * 10 * (w.shape[-1] + GAP))


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
        told = (f"{seen.mean:.3f}", f"{np.mean(seen.null):.3f}", f"{seen.p:.4f}")
        heads = ("here", "shuffled", "p")
        for place, text, head in zip((1.02, 1.09, 1.19), told, heads, strict=True):
            ax.annotate(text, (place, row), xycoords=right, va="center", fontsize=9)
            if not row:
                ax.annotate(head, (place, -0.5), xycoords=right, fontsize=9, color=style.PAPER)
    ax.set_yticks(range(len(tests)), [style.clean(name) for name in tests])
    ax.set(ylim=(len(tests) - 0.5, -0.6), xlim=(0, None), title=style.clean(title, 100))
    ax.set_xlabel("mean space-time orientation; grey: frames shuffled, 95 % of it left of its line")
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
