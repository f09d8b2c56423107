"""Cards of bars on a frame: the likely classes of one or several runs.

    layout = Layout(width, height, runs=2, rows=5)        # once a film
    image = layout.paint(image, panels, truth, note)      # uint8 H×W×3, the size of `layout.canvas`

A small picture is first enlarged by a whole number, so that letters are never below 11 pixels; odd
sides gain a pixel. Cards stand at the lower edge, side by side where each has room for a name.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from s1m_lab.plots import clean

LETTER = 11  # px, the least size of type
LEAST = (360, 480)  # px, of the shorter and of the longer side, below which a picture is enlarged
DARK, TRACK = (13, 15, 20), (255, 255, 255, 34)
BRIGHT, PALE = (255, 255, 255), (208, 212, 220)
VEIL = 0.85  # opacity of a card


class Panel(NamedTuple):
    """What one card says."""

    title: str
    name: str
    colour: str  # of its bars, "#rrggbb"
    rows: Sequence[tuple[str, float]]  # class, probability; likeliest first; none: not yet known


class Layout:
    """Where everything goes on frames of width×height, for so many cards of so many rows."""

    def __init__(self, width: int, height: int, runs: int, rows: int):
        small, large = sorted((width, height))
        self.factor = max(1, math.ceil(max(LEAST[0] / small, LEAST[1] / large)))
        if self.factor * large > 1920:  # a slit, whose cards then reach beyond it
            self.factor = max(1, 1920 // large)
        self.picture = (width * self.factor, height * self.factor)
        self.em = em = max(LETTER, round(min(min(self.picture) / 30, self.picture[0] / 42)))
        self.row, self.head, self.pad = round(1.5 * em), round(1.9 * em), round(0.7 * em)
        self.card = round(25 * em), self.head + rows * self.row + self.pad
        inside = max(self.picture[0], 17 * em) - self.pad
        columns = max(1, min(runs, inside // (16 * em + self.pad)))
        self.card = min(self.card[0], inside // columns - self.pad), self.card[1]
        lines = math.ceil(runs / columns)
        least = (self.card[0] + 2 * self.pad, lines * (self.card[1] + self.pad) + 3 * em)
        self.canvas = tuple(
            side + side % 2
            for side in (max(a, b) for a, b in zip(self.picture, least, strict=True))
        )
        self.corners = [self._corner(k, runs, columns, lines) for k in range(runs)]
        self.regular, self.bold = font(em), font(em, "bold")

    def _corner(self, number: int, runs: int, columns: int, lines: int) -> tuple[int, int]:
        """The upper left corner of a card: the first at the left edge, the last at the right."""
        line, column = divmod(number, columns)
        width, height = self.card
        room = self.canvas[0] - 2 * self.pad - width
        left = self.pad + (round(room * column / (columns - 1)) if columns > 1 else 0)
        return left, self.canvas[1] - (lines - line) * (height + self.pad)

    def paint(
        self, image: np.ndarray, panels: Sequence[Panel], truth: Sequence[str] = (), note: str = ""
    ) -> np.ndarray:
        """The frame with its cards; `truth` are its true classes, `note` a line across the top."""
        canvas = self._placed(image)
        for corner, panel in zip(self.corners, panels, strict=True):
            self._card(canvas, *corner, panel, truth)
        top = self.pad
        if truth:
            top += self._chip(canvas, top, ", ".join(truth), BRIGHT, dot=True)
        if note:
            self._chip(canvas, top, note, "#F0C36D")
        return np.asarray(canvas)

    def _placed(self, image: np.ndarray) -> Image.Image:
        """The picture, enlarged, on its canvas; an odd side repeats its last pixels."""
        picture = Image.fromarray(image)
        if self.factor > 1:
            picture = picture.resize(self.picture, Image.BICUBIC)
        if picture.size == self.canvas:
            return picture
        if max(c - p for c, p in zip(self.canvas, picture.size, strict=True)) <= 1:
            (w, h), (cw, ch) = picture.size, self.canvas
            wide = np.pad(np.asarray(picture), ((0, ch - h), (0, cw - w), (0, 0)), "edge")
            return Image.fromarray(wide)
        canvas = Image.new("RGB", self.canvas, DARK)
        canvas.paste(picture, ((self.canvas[0] - picture.size[0]) // 2, 0))
        return canvas

    def _card(self, canvas: Image.Image, left: int, top: int, panel: Panel, truth) -> None:
        width, height = self.card
        em, pad = self.em, self.pad
        canvas.paste(DARK, (left, top), _veil(width, height, em // 2))
        draw = ImageDraw.Draw(canvas, "RGBA")
        middle, right = top + self.head // 2, left + width - pad
        draw.rectangle((left + pad, middle - em // 2, left + pad + em // 3, middle + em // 2),
                       fill=panel.colour)  # fmt: skip
        x = left + pad + round(0.8 * em)
        title = fit(panel.title, self.bold, right - x)
        draw.text((x, middle), title, BRIGHT, self.bold, "lm")
        x += self.bold.getlength(title) + 0.7 * em
        if right - x > 3 * em:
            draw.text(
                (x, middle), fit(panel.name, self.regular, right - x), PALE, self.regular, "lm"
            )
        if not panel.rows:
            draw.text((left + pad, top + self.head + self.row // 2), "looking …", PALE,
                      self.regular, "lm")  # fmt: skip
        dot, number = (round(0.9 * em) if truth else 0), self.regular.getlength("100 %")
        label = round(0.56 * (width - 2 * pad - dot - number))
        start, end = left + pad + dot + label, right - number - em // 2
        for line, (name, share) in enumerate(panel.rows):
            y = top + self.head + line * self.row + self.row // 2
            true = name in truth
            shade, face = (BRIGHT, self.bold) if true else (PALE, self.regular)
            if true:
                self._dot(canvas, left + pad, y)
            draw.text((left + pad + dot, y), fit(name, face, label - em // 2), shade, face, "lm")
            half = max(2, round(0.26 * em))
            draw.rectangle((start, y - half, end, y + half), fill=TRACK)
            _bar(draw, start, end, y - half, y + half, share, panel.colour)
            draw.text((right, y), f"{share:.0%}".replace("%", " %"), shade, face, "rm")

    def _chip(self, canvas: Image.Image, top: int, text: str, shade, dot: bool = False) -> int:
        """A line of text on a card of its own at the upper left; returns the height it takes."""
        em, pad, height = self.em, self.pad, round(1.9 * self.em)
        indent = pad + (round(0.9 * em) if dot else 0)
        text = fit(text, self.regular, self.canvas[0] - 3 * pad - indent)
        width = round(indent + self.regular.getlength(text) + pad)
        canvas.paste(DARK, (pad, top), _veil(width, height, em // 2))
        if dot:
            self._dot(canvas, pad + pad, top + height // 2)
        ImageDraw.Draw(canvas).text(
            (pad + indent, top + height // 2), text, shade, self.regular, "lm"
        )
        return height + pad // 2

    def _dot(self, canvas: Image.Image, left: int, middle: int) -> None:
        """The mark of a true class."""
        side = round(0.5 * self.em)
        canvas.paste(BRIGHT, (left, middle - side // 2), _disc(side))


def _bar(draw, start: float, end: float, top: int, bottom: int, share: float, colour: str) -> None:
    """A bar that ends between two pixels, so that it grows without jumps."""
    edge = start + (end - start) * min(1.0, max(0.0, share))
    whole = math.floor(edge)
    if whole > start:
        draw.rectangle((start, top, whole - 1, bottom), fill=colour)
    rgb = tuple(bytes.fromhex(colour.removeprefix("#")))
    draw.rectangle((whole, top, whole, bottom), fill=(*rgb, round(255 * (edge - whole))))


@functools.cache
def font(size: int, weight: str = "normal") -> ImageFont.FreeTypeFont:
    """DejaVu Sans, whose numerals are all of one width, from matplotlib's own files."""
    about = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    return ImageFont.truetype(
        font_manager.findfont(about), size, layout_engine=ImageFont.Layout.BASIC
    )


def fit(text: str, face: ImageFont.FreeTypeFont, room: float) -> str:
    """Any text as one line that is drawn as it stands, cut where it is wider than `room` pixels."""
    length = room / face.getlength("n")
    whole = clean(text, 2 * length)
    return whole if face.getlength(whole) <= room else clean(text, length)


@functools.lru_cache(8)
def _veil(width: int, height: int, radius: int) -> Image.Image:
    """The opacity of a card: even, with round corners."""
    large = Image.new("L", (4 * width, 4 * height))
    box = (0, 0, 4 * width - 1, 4 * height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, 4 * radius, fill=round(255 * VEIL))
    return large.resize((width, height), Image.LANCZOS)


@functools.cache
def _disc(side: int) -> Image.Image:
    large = Image.new("L", (8 * side, 8 * side))
    ImageDraw.Draw(large).ellipse((0, 0, 8 * side - 1, 8 * side - 1), fill=255)
    return large.resize((side, side), Image.LANCZOS)
