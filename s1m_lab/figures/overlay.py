"""A video with the predictions of one or several runs drawn on every frame.

    seen = overlay.draw([run, versus], "film.mp4", truth=["luge"])
    seen.path                                             # an MP4 in the folder of the first run
    seen.table                                            # what each run predicted, and when

Any video in, an H.264 MP4 out: upright, with square pixels, at its own frame times, with its sound.
Every 0.1 s each network predicts (see `analysis.overlay`); bars follow with a time constant of
0.4 s. Each run has a card with its five likeliest classes at the lower edge.

The video is decoded once, in constant memory. A finished overlay is found again by a fingerprint of
the video, the runs' weights and the settings.
"""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from s1m_lab.analysis.overlay import TOP, Overlay, SlidingWindowPredictor
from s1m_lab.common.files import atomic, exclusive, fingerprint, is_sound, record, require_space
from s1m_lab.common.progress import Progress
from s1m_lab.figures import style
from s1m_lab.training import runs
from s1m_lab.video import container, decoders, reader, writer

VERSION = 3  # raise it when the same video and runs give another picture
STEP = 0.1  # s between predictions
SMOOTH = 0.4  # s, the time constant of the low-pass
PIXEL_BYTES = 0.2 / 8  # of seven real videos, six took 0.06 to 0.15 bits a pixel and one 0.42
SOUND_BYTES = 40_000  # a second, the most that is usual

FONT_SIZE = 11  # px, the smallest
SMALLEST = (360, 480)  # px, shorter and longer side: smaller pictures are enlarged
DARK = (13, 15, 20)
VEIL, TRACK = (*DARK, 217), (255, 255, 255, 34)  # see-through: behind text, behind a bar
BRIGHT, PALE, WARNING = "#FFFFFF", "#D0D4DC", "#F0C36D"  # of texts
TRUE = "●"  # the mark of a true class


def draw(chosen: Sequence[runs.Run], path: str | Path, truth: Sequence[str] = ()) -> Overlay:
    """Draw the predictions of the `chosen` runs on the video `path`.

    The result is `overlay-<video>-<8 hex>.mp4` in the folder of the first run, with its table
    beside it. A finished overlay is not drawn again. A run that is named twice is drawn once.
    Of a video that breaks off, the part before is drawn.

    Args:
        truth: the names of the true classes, which are marked.

    Raises:
        ValueError: the runs do not know the same classes.
        VideoError: not one frame can be read.
    """
    chosen = list({run.name: run for run in chosen}.values())
    for run in chosen:
        if run.labels != chosen[0].labels:
            one, other = (
                f"{r.name!r} knows {len(r.labels):,} of {r.config['settings']['data']!r}"
                for r in (chosen[0], run)
            )
            raise ValueError(f"only runs of the same classes are drawn together; {one}, {other}")
    path, truth = Path(path), list(truth)
    with container.open_video(path):  # raises the reason where it cannot be read
        about = path.stat()
    settings = {"truth": truth, "step": STEP, "smooth": SMOOTH, "version": VERSION}
    film = [str(path.resolve()), about.st_size, about.st_mtime_ns]
    stem = re.sub(r"[^\w-]+", "_", path.stem)[:40]
    with exclusive(chosen[0].path):
        weights = [[run.name, runs.weights_digest(run)] for run in chosen]
        key = fingerprint(film=film, runs=weights, **settings)
        out = chosen[0].path / f"overlay-{stem}-{key[:8]}.mp4"
        if not all([is_sound(file) for file in (out, out.with_suffix(".parquet"))]):
            predictors = [SlidingWindowPredictor(run, SMOOTH, truth) for run in chosen]
            _draw(predictors, path, out, truth)
    table = pd.read_parquet(out.with_suffix(".parquet"))
    return Overlay(path=out, table=table, **table.attrs)


def _draw(
    predictors: list[SlidingWindowPredictor], path: Path, out: Path, truth: list[str]
) -> None:
    """Decode `path`, predict, draw and encode to `out`, frame by frame; write the table beside it.

    The other fields of an `Overlay` are the attributes of the table.
    """
    info = reader.probe(path, whole=False)
    rows = min(TOP, len(predictors[0].labels))
    width = round(info.width * info.aspect)  # square pixels
    layout = Layout(width, info.height, len(predictors), rows)
    pictures = PIXEL_BYTES * math.prod(layout.canvas) * info.frames
    require_space(out.parent, 20e6 + pictures + SOUND_BYTES * info.duration)
    progress = Progress("drawing", info.frames, "frames")
    due, count = 0.0, 0
    with writer.open_writer(out, sound=path, origin=info.origin, fps=info.fps) as written:
        for seconds, image, error in _frames_until_error(path, info):
            for predictor in predictors:
                predictor.add(seconds, image)
            if seconds >= due - decoders.TICK:
                due = STEP * (math.floor((seconds + decoders.TICK) / STEP) + 1)
                for predictor in predictors:
                    predictor.predict()
            count, end = count + 1, seconds + 1 / info.fps
            note = f"the file breaks off here, at {end:.2f} s" if error else ""
            cards = [Card(p.net.name, p.name, p.top_classes()) for p in predictors]
            written.add(seconds, paint(layout, image, cards, truth, note))
            progress.update()
        if error:
            written.end_sound(end)
    table = pd.concat([predictor.table() for predictor in predictors], ignore_index=True)
    table.attrs = {
        "truth": truth,
        "models": {predictor.name: predictor.net.name for predictor in predictors},
        "frames": count,
        "seconds": end,
        "ended": f"after {count:,} frames, at {end:.2f} s: {error}" if error else "",
        "sound": written.sound,
    }
    record(out)
    with atomic(out.with_suffix(".parquet"), record=True) as temporary:
        table.to_parquet(temporary, index=False)


def _frames_until_error(path: Path, info: reader.Info) -> Iterator[tuple[float, np.ndarray, str]]:
    """(seconds, image, error) per frame; `error` says with the last one why the video breaks off.

    A frame is given when the next one is known, so that the last one is known to be the last.
    """
    frames = reader.read(path, whole=False, info=info)
    frame: tuple[float, np.ndarray] | None = next(frames)
    while frame:
        following, error = None, ""
        try:
            following = next(frames, None)
            if following and following[1].shape != frame[1].shape:
                raise container.VideoError("unsupported", "the size of the picture changes")
        except container.VideoError as reason:
            following, error = None, str(reason)
        yield *frame, error
        frame = following


def stills(path: Path, times: Sequence[float]) -> list[np.ndarray]:
    """The frames of a video that are on screen at `times` (s, ascending)."""
    return [clip[0] for clip in reader.segments(path, times, frames=1)]


# ------------------------------------------------------------------------------------- the picture


class Card(NamedTuple):
    """What the card of one run shows."""

    model: str
    run: str
    rows: Sequence[tuple[str, float]]  # class, probability; likeliest first; none: no prediction


class Layout:
    """Sizes and places (px) on frames of width×height, for `runs` cards of `rows` classes.

    A small picture is enlarged by a whole number, so that letters have at least 11 pixels. Odd
    sides gain a pixel. Cards stand side by side where each has room for a name.
    """

    def __init__(self, width: int, height: int, runs: int, rows: int):
        small, large = sorted((width, height))
        factor = math.ceil(max(SMALLEST[0] / small, SMALLEST[1] / large))
        factor = max(1, min(factor, 1920 // large))  # a slit: its cards reach beyond it
        self.picture = _even(width * factor), _even(height * factor)
        self.em = em = max(FONT_SIZE, round(min(min(self.picture) / 30, self.picture[0] / 42)))
        self.row, self.head, self.pad = round(1.5 * em), round(1.9 * em), round(0.7 * em)
        inside = max(self.picture[0], 17 * em) - self.pad
        columns = max(1, min(runs, inside // (16 * em + self.pad)))
        lines = math.ceil(runs / columns)
        wide = min(round(25 * em), inside // columns - self.pad)
        high = self.head + rows * self.row + self.pad
        least = wide + 2 * self.pad, lines * (high + self.pad) + 3 * em
        self.card = wide, high
        self.canvas = _even(max(self.picture[0], least[0])), _even(max(self.picture[1], least[1]))
        # the first of a line at the left edge, the last at the right
        between = (self.canvas[0] - 2 * self.pad - wide) / max(1, columns - 1)
        lefts = [self.pad + round(between * column) for column in range(columns)]
        tops = [self.canvas[1] - n * (high + self.pad) for n in range(lines, 0, -1)]
        self.corners = [(left, top) for top in tops for left in lefts][:runs]
        self.regular, self.bold = Face(em), Face(em, "bold")


def _even(side: int) -> int:
    return side + side % 2


class Face:
    """The figures' fonts in one size and weight; each character is drawn by the first that has it.

    DejaVu Sans, the first, has numerals of one width.
    """

    def __init__(self, size: int, weight: str = "normal"):
        self.fonts = {}
        for name in style.FONTS:
            about = font_manager.FontProperties(family=name, weight=weight)
            file = font_manager.findfont(about)
            basic = ImageFont.Layout.BASIC
            number = getattr(file, "face_index", 0)  # in a collection of fonts
            self.fonts[name] = ImageFont.truetype(file, size, number, layout_engine=basic)

    def length(self, text: str) -> float:
        """The width of a text, in pixels."""
        return sum(font.getlength(part) for font, part in self._parts(text))

    def write(self, draw, x: float, y: float, text: str, shade: str) -> None:
        """Write a text to the right of x, its middle at y."""
        for font, part in self._parts(text):
            draw.text((x, y), part, shade, font, "lm")
            x += font.getlength(part)

    def _parts(self, text: str) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
        for name, part in itertools.groupby(text, style.font_of):
            yield self.fonts[name or style.FONTS[0]], "".join(part)


def paint(
    layout: Layout,
    image: np.ndarray,
    cards: Sequence[Card],
    truth: Sequence[str] = (),
    note: str = "",
) -> np.ndarray:
    """A frame (uint8 H×W×3) with its cards, at the size of `layout.canvas`.

    `truth` are the true classes and `note` is a warning; both are lines at the top.
    """
    canvas, picture = Image.new("RGB", layout.canvas, DARK), Image.fromarray(image)
    left = (layout.canvas[0] - layout.picture[0]) // 2
    canvas.paste(picture.resize(layout.picture, Image.Resampling.BICUBIC), (left, 0))
    draw = ImageDraw.Draw(canvas, "RGBA")
    for corner, card in zip(layout.corners, cards, strict=True):
        _paint_card(layout, draw, *corner, card, truth)
    top = layout.pad
    if truth:
        top = _paint_line(layout, draw, top, f"{TRUE} {', '.join(truth)}", BRIGHT)
    if note:
        _paint_line(layout, draw, top, note, WARNING)
    return np.asarray(canvas)


def _paint_card(layout: Layout, draw, left: int, top: int, card: Card, truth) -> None:
    """The colour and the name of a network, the name of its run, and a row a class."""
    (width, height), em, pad = layout.card, layout.em, layout.pad
    colour, regular = style.colour(card.model), layout.regular
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=VEIL)
    x, y, right = float(left + pad), top + layout.head // 2, left + width - pad
    draw.rectangle((x, y - em // 2, x + em // 3, y + em // 2), fill=colour)
    for text, shade, face in ((card.model, BRIGHT, layout.bold), (card.run, PALE, regular)):
        x += 0.8 * em
        if right - x > 3 * em:
            text = _fit(text, face, right - x)
            face.write(draw, x, y, text, shade)
            x += face.length(text)
    y = top + layout.head + layout.row // 2
    if not card.rows:
        regular.write(draw, left + pad, y, "looking …", PALE)
    for label, share in card.rows:
        _paint_class(layout, draw, left + pad, y, label, share, colour, truth)
        y += layout.row


def _paint_class(layout, draw, left, y, label: str, share: float, colour: str, truth) -> None:
    """A row of a card: a mark where the class is true, its name, its bar, its probability."""
    em, right = layout.em, left + layout.card[0] - 2 * layout.pad
    shade, face = (BRIGHT, layout.bold) if label in truth else (PALE, layout.regular)
    if label in truth:
        face.write(draw, left, y, TRUE, shade)
    left += round(1.2 * em) if truth else 0
    end = right - layout.regular.length("100%") - em // 2
    start = left + round(0.56 * (end - left))
    face.write(draw, left, y, _fit(label, face, start - left - em // 2), shade)
    half = max(2, round(0.26 * em))
    draw.rectangle((start, y - half, end, y + half), fill=TRACK)
    if length := round(share * (end - start)):
        draw.rectangle((start, y - half, start + length - 1, y + half), fill=colour)
    percent = f"{share:.0%}"
    face.write(draw, right - face.length(percent), y, percent, shade)


def _paint_line(layout: Layout, draw, top: int, text: str, shade: str) -> int:
    """A line of text on a card of its own at the upper left; returns where the next one begins."""
    pad, bottom = layout.pad, top + round(1.9 * layout.em)
    text = _fit(text, layout.regular, layout.canvas[0] - 4 * pad)
    right = 3 * pad + layout.regular.length(text)
    draw.rectangle((pad, top, right, bottom), fill=VEIL)
    layout.regular.write(draw, 2 * pad, (top + bottom) // 2, text, shade)
    return bottom + pad // 2


def _fit(text: str, face: Face, room: float) -> str:
    """Any text as one line that is drawn as it stands, cut at `room` pixels."""
    return style.clean(text, room / face.length("n"))
