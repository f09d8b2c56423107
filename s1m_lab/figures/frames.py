"""Frames in reports: contact sheets, strips of clips, and pictures inside HTML.

contact_sheet(frames, ["luge", "judo"], "The two classes of the dataset")
strips(clips, ["luge", "judo"])          # a clip a row, time running right
f'<img src="{thumbnail(frame)}">'        # HTML that needs no file beside it
"""

import base64
import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from s1m_lab.figures import style


@style.styled
def contact_sheet(
    frames: Sequence[np.ndarray], captions: Sequence[str], title: str = "", columns: int = 6
) -> Figure:
    """Frames (H×W×3) in a grid, each with its caption below it, of one line or more."""
    columns = min(columns, max(3, len(frames)))
    rows = max(1, math.ceil(len(frames) / columns))
    height, width = frames[0].shape[:2] if len(frames) else (1, 1)
    lines = max([caption.count("\n") + 1 for caption in captions], default=1)
    side = style.WIDTH / columns
    tall = rows * (side * height / width + 0.16 * lines) + 0.3
    fig, axes = style.new_figure(rows, columns, tall, FigureClass=style.Photographs)
    for ax in axes.flat[len(frames) :]:
        ax.axis("off")
    for ax, frame, caption in zip(axes.flat, frames, captions, strict=False):
        style.show_image(ax, frame)
        text = "\n".join(style.clean(line, 112 / columns) for line in caption.split("\n"))
        ax.set_xlabel(text, fontsize=9, color=style.INK, labelpad=3)
    return style.headline(fig, title)


@style.styled
def strips(
    clips: Sequence[np.ndarray],
    captions: Sequence[str],
    frames: Sequence[int] = range(16),
    title: str = "",
    shown: int = 8,
) -> Figure:
    """Clips (T×H×W×3), one a row: up to `shown` frames of each, time running right.

    `frames` are the numbers of the T frames among the 16 of a stored clip, at 30 a second.
    """
    picks = np.linspace(0, len(frames) - 1, min(shown, len(frames))).round().astype(int)
    rows, columns = max(1, len(clips)), max(6, len(picks))
    height, width = clips[0].shape[1:3] if len(clips) else (1, 1)
    tall = rows * ((style.WIDTH - 1.4) / columns * height / width + 0.06) + 0.6
    fig, axes = style.new_figure(rows, columns, tall, FigureClass=style.Photographs)
    fig.set_layout_engine("constrained", w_pad=0.03, h_pad=0.02, wspace=0, hspace=0)
    for ax in axes[:, len(picks) :].flat:
        ax.axis("off")
    for row, clip, caption in zip(axes, clips, captions, strict=False):
        for ax, k in zip(row, picks, strict=False):
            style.show_image(ax, clip[k])
        text = "\n".join(style.clean(line, 16) for line in caption.split("\n"))
        row[0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=9)
    for ax, k in zip(axes[-1], picks, strict=False):
        ax.set_xlabel(f"{frames[k] / 30:.2f} s", fontsize=8)
    return style.headline(fig, title)


def data_uri(data: bytes, kind: str) -> str:
    """An encoded image as the address of an `<img>`; `kind` is jpeg, png, gif or webp."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(frame: np.ndarray) -> str:
    """A frame (uint8 H×W×3) as the `data:` address of a WebP, at most 240 pixels a side."""
    image, data = Image.fromarray(frame), io.BytesIO()
    image.thumbnail((240, 240))  # never made larger
    image.save(data, "WEBP", quality=60)
    return data_uri(data.getvalue(), "webp")
