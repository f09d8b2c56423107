"""A video with the predictions of one or several runs drawn on every frame.

    seen = overlay.draw([run, versus], "film.mp4", truth=["luge"])
    seen.path                                             # an MP4 in the folder of the first run
    seen.table                                            # what each run predicted, and when

Any video in, an H.264 MP4 out: upright, with square pixels, at its own frame times, with its sound.
Every `step` seconds each network predicts (see `analysis.overlay`); bars follow with the time
constant `smooth`. Each run has a card with its five likeliest classes at the lower edge.

The video is decoded once, in constant memory. A finished overlay is found again by a fingerprint of
the video, the runs' weights and the settings.
"""

import functools
import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from s1m_lab.analysis.overlay import TOP, Overlay, RecentFrames, SlidingWindowPredictor
from s1m_lab.common.files import atomic, exclusive, fingerprint, require_space
from s1m_lab.common.progress import Progress
from s1m_lab.figures import style
from s1m_lab.training import runs
from s1m_lab.video import container, decoders, reader, writer

VERSION = 1  # raise it when the same video and runs give another picture
STEP = 0.1  # s between predictions
SMOOTH = 0.4  # s, the time constant of the low-pass
PIXEL_BYTES = 0.2 / 8  # of seven real videos, six took 0.06 to 0.15 bits a pixel and one 0.42
SOUND_BYTES = 40_000  # a second, the most that is usual

FONT_SIZE = 11  # px, the smallest
SMALLEST = (360, 480)  # px, shorter and longer side: smaller pictures are enlarged
DARK, TRACK = (13, 15, 20), (255, 255, 255, 34)
BRIGHT, PALE = (255, 255, 255), (208, 212, 220)
WARNING = "#F0C36D"
OPACITY = 0.85  # of a card


def draw(
    chosen: Sequence[runs.Run],
    path: str | Path,
    truth: Sequence[str] = (),
    step: float = STEP,
    smooth: float = SMOOTH,
) -> Overlay:
    """Draw the predictions of the `chosen` runs on the video `path`.

    The result is `overlay-<video>-<8 hex>.mp4` in the folder of the first run, with its table
    beside it. A finished overlay is not drawn again. A run that is named twice is drawn once.
    Of a video that breaks off, the part before is drawn.

    Args:
        truth: the names of the true classes, which are marked.
        step: seconds between two predictions.
        smooth: time constant of the low-pass over the predictions (s).

    Raises:
        ValueError: the runs do not know the same classes.
        VideoError: not one frame can be read.
    """
    chosen = list({run.name: run for run in chosen}.values())
    _check_same_classes(chosen)
    path, truth = Path(path), list(truth)
    with container.open_video(path):  # raises the reason where it cannot be read
        about = path.stat()
    source = [str(path.resolve()), about.st_size, about.st_mtime_ns]
    stem = re.sub(r"[^\w-]+", "_", path.stem)[:40]
    with exclusive(chosen[0].path):
        predictors = [SlidingWindowPredictor(run, smooth, truth) for run in chosen]
        settings = {"truth": truth, "step": step, "smooth": smooth, "version": VERSION}
        key = fingerprint(film=source, runs=[_identify(run) for run in chosen], **settings)
        out = chosen[0].path / f"overlay-{stem}-{key[:8]}.mp4"
        seen = _load(out, key)
        if seen is None:
            seen = _draw(predictors, path, out, truth, step)
            _save_table(seen, key)
            seen = _load(out, key) or seen
    return seen


def _check_same_classes(chosen: Sequence[runs.Run]) -> None:
    for run in chosen:
        if run.labels != chosen[0].labels:
            one, other = (
                f"{r.name!r} knows {len(r.labels):,} of {r.config['settings']['data']!r}"
                for r in (chosen[0], run)
            )
            raise ValueError(f"only runs of the same classes are drawn together; {one}, {other}")


def _identify(run: runs.Run) -> list[str]:
    """The name of a run, which is drawn, and the hash of its weights."""
    with open(run.path / "model.safetensors", "rb") as file:
        return [run.name, hashlib.file_digest(file, "sha256").hexdigest()]


def _load(out: Path, key: str) -> Overlay | None:
    """The finished overlay in `out`, if its table is there and has this `key`."""
    parquet = out.with_suffix(".parquet")
    if not (out.is_file() and parquet.is_file()):
        return None
    table = pq.read_table(parquet)
    about = json.loads(table.schema.metadata[b"s1m"])
    if about.pop("key") != key:
        return None
    return Overlay(path=out, table=table.to_pandas(), **about)


def _save_table(seen: Overlay, key: str) -> None:
    """Write the table beside the video, with all other fields in its metadata."""
    about = {k: v for k, v in seen._asdict().items() if k not in ("path", "table")}
    rows = pa.Table.from_pandas(seen.table, preserve_index=False)
    rows = rows.replace_schema_metadata({"s1m": json.dumps(about | {"key": key})})
    with atomic(seen.path.with_suffix(".parquet")) as temporary:
        pq.write_table(rows, temporary)


def _draw(
    predictors: list[SlidingWindowPredictor], path: Path, out: Path, truth: list[str], step: float
) -> Overlay:
    """Decode `path`, predict, draw and encode to `out`, frame by frame."""
    info = reader.probe(path, whole=False)
    rows = min(TOP, len(predictors[0].labels))
    width = round(info.width * info.aspect)  # square pixels
    layout = Layout(width, info.height, len(predictors), rows)
    pictures = PIXEL_BYTES * math.prod(layout.canvas) * info.frames
    require_space(out.parent, 20e6 + pictures + SOUND_BYTES * info.duration)
    progress = Progress("drawing", info.frames, "frames")
    recent = RecentFrames({predictor.side for predictor in predictors})
    due, count = 0.0, 0
    with writer.open_writer(out, sound=path, origin=info.origin, fps=info.fps) as written:
        for seconds, image, error in _frames_until_error(path, info):
            recent.add(seconds, image)
            for predictor in predictors:
                predictor.advance(seconds)
            if seconds >= due - decoders.TICK:
                due = step * (math.floor((seconds + decoders.TICK) / step) + 1)
                for predictor in predictors:
                    predictor.predict(recent, seconds)
            count, end = count + 1, seconds + 1 / info.fps
            note = f"the file breaks off here, at {end:.2f} s" if error else ""
            if width != info.width:
                image = np.asarray(Image.fromarray(image).resize((width, info.height)))
            written.add(seconds, paint(layout, image, [*map(_card, predictors)], truth, note))
            progress.update()
        if error:
            written.end_sound(end)
    table = pd.concat([predictor.table() for predictor in predictors], ignore_index=True)
    models = {predictor.name: predictor.net.name for predictor in predictors}
    ended = f"after {count:,} frames, at {end:.2f} s: {error}" if error else ""
    return Overlay(out, table, truth, models, count, end, ended, written.sound)


def _frames_until_error(path: Path, info: reader.Info) -> Iterator[tuple[float, np.ndarray, str]]:
    """(seconds, image, error) per frame; `error` says with the last one why the video breaks off.

    A frame is given when the next one is known, so that the last one is known to be the last.
    """
    frames, previous = reader.read(path, whole=False, info=info), None
    while True:
        try:
            frame = next(frames, None)
            if frame and previous and frame[1].shape != previous[1].shape:
                raise container.VideoError("unsupported", "the size of the picture changes")
        except container.VideoError as error:
            if previous is None:
                raise
            yield *previous, str(error)
            return
        if previous is not None:
            yield *previous, ""
        if frame is None:
            return
        previous = frame


def stills(path: Path, times: Sequence[float]) -> list[np.ndarray]:
    """The frames of a video that are on screen at `times` (s, ascending)."""
    return [clip[0] for clip in reader.segments(path, times, frames=1)]


# ------------------------------------------------------------------------------------- the picture


class Card(NamedTuple):
    """What the card of one run shows."""

    title: str
    name: str
    colour: str  # of its bars, "#rrggbb"
    rows: Sequence[tuple[str, float]]  # class, probability; likeliest first; none: no prediction


def _card(predictor: SlidingWindowPredictor) -> Card:
    model = predictor.net.name
    return Card(model, predictor.name, style.colour(model), predictor.top_classes())


class Layout:
    """Sizes and places (px) on frames of width×height, for `runs` cards of `rows` classes.

    A small picture is enlarged by a whole number, so that letters have at least 11 pixels. Odd
    sides gain a pixel. Cards stand side by side where each has room for a name.
    """

    def __init__(self, width: int, height: int, runs: int, rows: int):
        small, large = sorted((width, height))
        self.factor = max(1, math.ceil(max(SMALLEST[0] / small, SMALLEST[1] / large)))
        if self.factor * large > 1920:  # a slit: its cards reach beyond it
            self.factor = max(1, 1920 // large)
        self.picture = (width * self.factor, height * self.factor)
        self.em = em = max(FONT_SIZE, round(min(min(self.picture) / 30, self.picture[0] / 42)))
        self.row, self.head, self.pad = round(1.5 * em), round(1.9 * em), round(0.7 * em)
        inside = max(self.picture[0], 17 * em) - self.pad
        columns = max(1, min(runs, inside // (16 * em + self.pad)))
        lines = math.ceil(runs / columns)
        width = min(round(25 * em), inside // columns - self.pad)
        self.card = width, self.head + rows * self.row + self.pad
        least = (self.card[0] + 2 * self.pad, lines * (self.card[1] + self.pad) + 3 * em)
        wide, high = (max(a, b) for a, b in zip(self.picture, least, strict=True))
        self.canvas = wide + wide % 2, high + high % 2
        self.corners = [self._corner(*divmod(k, columns), lines, columns) for k in range(runs)]
        self.regular, self.bold = _font(em), _font(em, "bold")

    def _corner(self, line: int, column: int, lines: int, columns: int) -> tuple[int, int]:
        """The upper left corner of a card: the first at the left edge, the last at the right."""
        width, height = self.card
        room = self.canvas[0] - 2 * self.pad - width
        left = self.pad + (round(room * column / (columns - 1)) if columns > 1 else 0)
        return left, self.canvas[1] - (lines - line) * (height + self.pad)


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
    canvas = _place(layout, Image.fromarray(image))
    for corner, card in zip(layout.corners, cards, strict=True):
        _paint_card(layout, canvas, *corner, card, truth)
    top = layout.pad
    if truth:
        top += _paint_line(layout, canvas, top, ", ".join(truth), BRIGHT, dot=True)
    if note:
        _paint_line(layout, canvas, top, note, WARNING)
    return np.asarray(canvas)


def _place(layout: Layout, picture: Image.Image) -> Image.Image:
    """The picture, enlarged, on its canvas; an odd side repeats its last pixels."""
    if layout.factor > 1:
        picture = picture.resize(layout.picture, Image.Resampling.BICUBIC)
    if picture.size == layout.canvas:
        return picture
    (w, h), (cw, ch) = picture.size, layout.canvas
    if max(cw - w, ch - h) <= 1:
        padded = np.pad(np.asarray(picture), ((0, ch - h), (0, cw - w), (0, 0)), "edge")
        return Image.fromarray(padded)
    canvas = Image.new("RGB", layout.canvas, DARK)
    canvas.paste(picture, ((cw - w) // 2, 0))
    return canvas


def _paint_card(
    layout: Layout, canvas: Image.Image, left: int, top: int, card: Card, truth: Sequence[str]
) -> None:
    (width, height), em, pad = layout.card, layout.em, layout.pad
    canvas.paste(DARK, (left, top), _rounded_mask(width, height, em // 2))
    draw = ImageDraw.Draw(canvas, "RGBA")
    x: float = left + pad
    middle, right = top + layout.head // 2, left + width - pad
    draw.rectangle((x, middle - em // 2, x + em // 3, middle + em // 2), fill=card.colour)
    x += round(0.8 * em)
    title = _fit(card.title, layout.bold, right - x)
    draw.text((x, middle), title, BRIGHT, layout.bold, "lm")
    x += layout.bold.getlength(title) + 0.7 * em
    if right - x > 3 * em:
        name = _fit(card.name, layout.regular, right - x)
        draw.text((x, middle), name, PALE, layout.regular, "lm")
    y = top + layout.head + layout.row // 2
    if not card.rows:
        draw.text((left + pad, y), "looking …", PALE, layout.regular, "lm")
    for label, share in card.rows:
        _paint_class(layout, canvas, left, y, label, share, card.colour, truth)
        y += layout.row


def _paint_class(layout, canvas, left, y, label: str, share: float, colour: str, truth) -> None:
    """A row of a card: a dot where the class is true, its name, its bar, its probability."""
    draw, em, pad, true = ImageDraw.Draw(canvas, "RGBA"), layout.em, layout.pad, label in truth
    right = left + layout.card[0] - pad
    dot, number = (round(0.9 * em) if truth else 0), layout.regular.getlength("100 %")
    room = round(0.56 * (layout.card[0] - 2 * pad - dot - number))
    shade, face = (BRIGHT, layout.bold) if true else (PALE, layout.regular)
    if true:
        _paint_dot(layout, canvas, left + pad, y)
    draw.text((left + pad + dot, y), _fit(label, face, room - em // 2), shade, face, "lm")
    start, end, half = left + pad + dot + room, right - number - em // 2, max(2, round(0.26 * em))
    draw.rectangle((start, y - half, end, y + half), fill=TRACK)
    _paint_bar(draw, start, end, y - half, y + half, share, colour)
    draw.text((right, y), f"{share:.0%}".replace("%", " %"), shade, face, "rm")


def _paint_bar(draw, start: float, end: float, top: int, bottom: int, share: float, colour) -> None:
    """A bar that ends between two pixels, so that it grows without jumps."""
    edge = start + (end - start) * min(1.0, max(0.0, share))
    whole = math.floor(edge)
    if whole > start:
        draw.rectangle((start, top, whole - 1, bottom), fill=colour)
    rgb = tuple(bytes.fromhex(colour.removeprefix("#")))
    draw.rectangle((whole, top, whole, bottom), fill=(*rgb, round(255 * (edge - whole))))


def _paint_line(layout: Layout, canvas, top: int, text: str, shade, dot: bool = False) -> int:
    """A line of text on a card of its own at the upper left; returns the height it takes."""
    em, pad, height = layout.em, layout.pad, round(1.9 * layout.em)
    indent = pad + (round(0.9 * em) if dot else 0)
    text = _fit(text, layout.regular, layout.canvas[0] - 3 * pad - indent)
    width = round(indent + layout.regular.getlength(text) + pad)
    canvas.paste(DARK, (pad, top), _rounded_mask(width, height, em // 2))
    if dot:
        _paint_dot(layout, canvas, pad + pad, top + height // 2)
    place = (pad + indent, top + height // 2)
    ImageDraw.Draw(canvas).text(place, text, shade, layout.regular, "lm")
    return height + pad // 2


def _paint_dot(layout: Layout, canvas: Image.Image, left: int, middle: int) -> None:
    """The mark of a true class."""
    side = round(0.5 * layout.em)
    canvas.paste(BRIGHT, (left, middle - side // 2), _disc_mask(side))


@functools.cache
def _font(size: int, weight: str = "normal") -> ImageFont.FreeTypeFont:
    """DejaVu Sans from matplotlib's own files; its numerals are all of one width."""
    about = font_manager.FontProperties(family="DejaVu Sans", weight=weight)
    file = font_manager.findfont(about)
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def _fit(text: str, face: ImageFont.FreeTypeFont, room: float) -> str:
    """Any text as one line that is drawn as it stands, cut where it is wider than `room` pixels."""
    length = room / face.getlength("n")
    whole = style.clean(text, 2 * length)
    return whole if face.getlength(whole) <= room else style.clean(text, length)


@functools.lru_cache(8)
def _rounded_mask(width: int, height: int, radius: int) -> Image.Image:
    """The opacity of a card with round corners."""
    large = Image.new("L", (4 * width, 4 * height))
    box = (0, 0, 4 * width - 1, 4 * height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, 4 * radius, fill=round(255 * OPACITY))
    return large.resize((width, height), Image.Resampling.LANCZOS)


@functools.cache
def _disc_mask(side: int) -> Image.Image:
    large = Image.new("L", (8 * side, 8 * side))
    ImageDraw.Draw(large).ellipse((0, 0, 8 * side - 1, 8 * side - 1), fill=255)
    return large.resize((side, side), Image.Resampling.LANCZOS)
