"""Cards of bars on a frame: the likely classes of one or several runs.

    layout = Layout(width, height, runs=2, rows=5)        # once a film
    image = layout.paint(image, panels, truth, note)      # uint8 H×W×3, the size of `layout.canvas`

A small picture is first enlarged by a whole number, so that letters are never below 11 pixels; odd
sides gain a pixel. Cards stand at the lower edge, side by side where each has room for a name.

Predictions drawn on the video.

    seen = overlay.draw([run, versus], "film.mp4", truth=["luge"])
    seen.path                                             # an MP4 in the folder of the first run
    seen.table                                            # what each run predicted, and when

Any film in, an H.264 film out: upright, of square pixels, at its own frame times, with its sound,
and on every frame the five likeliest classes of each run. At `step` intervals each network looks,
as `eyes` says; in `smooth` seconds, the time constant, the bars go 63 % of the way from where they
are to the latest prediction. Nothing of the future is used, so a bar is late by about that much,
and before its first stretch of film is full a network says nothing.

The film is decoded once, and memory does not grow with it but for the table, of which each row is
fifty bytes, and the index of the MP4. What was drawn once is found again, by a fingerprint of the
film, the runs and the settings.
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

from s1m_lab.analysis.overlay import TOP, Panel, RecentFrames, SlidingWindowPredictor
from s1m_lab.common import paths
from s1m_lab.common.files import atomic, exclusive, fingerprint, require_space
from s1m_lab.common.progress import Progress
from s1m_lab.data import catalog, datasets, keyed_random, locate
from s1m_lab.figures.style import clean
from s1m_lab.training import runs
from s1m_lab.video import container, decoders, reader, writer

LETTER = 11  # px, the least size of type
LEAST = (360, 480)  # px, of the shorter and of the longer side, below which a picture is enlarged
DARK, TRACK = (13, 15, 20), (255, 255, 255, 34)
BRIGHT, PALE = (255, 255, 255), (208, 212, 220)
VEIL = 0.85  # opacity of a card


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


VERSION = 1  # raise it when the same film and runs give another picture
STEP = 0.1  # s between predictions
SMOOTH = 0.4  # s, the time constant of the filter
PIXEL = 0.2 / 8  # bytes; of seven real films, six took 0.06 to 0.15 bits and one 0.42
SOUND = 40_000  # bytes a second, the most that is usual


class Overlay(NamedTuple):
    """What `draw` did and found."""

    path: Path  # the film it wrote
    table: pd.DataFrame  # that of `eyes.Eye.table`, run by run
    truth: list[str]
    models: dict[str, str]  # each run's network, in the order of the runs
    frames: int
    seconds: float  # how long the film is
    ended: str  # where and why it broke off, "" where it did not
    sound: str  # what became of it


def draw(
    chosen: Sequence[runs.Run],
    path: str | Path,
    truth: Sequence[str] = (),
    step: float = STEP,
    smooth: float = SMOOTH,
) -> Overlay:
    """The film `path` with the predictions of the `chosen` runs, `overlay-<film>-<8 hex>.mp4` in
    the folder of the first, and its table beside it; what is there already is not drawn again.

    `truth` are the names of its true classes, which are marked. Raises ValueError where the runs
    do not know the same classes, and `video.VideoError` where not one frame can be read; of a film
    that breaks off, the part before is drawn. A run that is named twice is drawn once.
    """
    chosen = list({run.name: run for run in chosen}.values())
    _agree(chosen)
    path, truth = Path(path), list(truth)
    with container.open_video(path):  # or says what is wrong with it
        about = path.stat()
    source = [str(path.resolve()), about.st_size, about.st_mtime_ns]
    stem = re.sub(r"[^\w-]+", "_", path.stem)[:40]
    with exclusive(chosen[0].path):
        eyes = [SlidingWindowPredictor(run, smooth, truth) for run in chosen]
        settings = {"truth": truth, "step": step, "smooth": smooth, "version": VERSION}
        key = fingerprint(film=source, runs=[_print(run) for run in chosen], **settings)
        out = chosen[0].path / f"overlay-{stem}-{key[:8]}.mp4"
        seen = _stored(out, key)
        if seen is None:
            _store(_drawn(eyes, path, out, truth, step), key)
            seen = _stored(out, key)
    return seen


def _agree(chosen: Sequence[runs.Run]) -> None:
    for run in chosen:
        if run.labels != chosen[0].labels:
            one, other = (
                f"{r.name!r} knows {len(r.labels):,} of {r.config['settings']['data']!r}"
                for r in (chosen[0], run)
            )
            raise ValueError(f"only runs of the same classes are drawn together; {one}, {other}")


def _print(run: runs.Run) -> list[str]:
    """The name of a run, which is drawn, and what its weights are known by."""
    with open(run.path / "model.safetensors", "rb") as file:
        return [run.name, hashlib.file_digest(file, "sha256").hexdigest()]


def _stored(out: Path, key: str) -> Overlay | None:
    """The overlay in `out` as its table tells of it, if it is that of `key`."""
    beside = out.with_suffix(".parquet")
    if not (out.is_file() and beside.is_file()):
        return None
    table = pq.read_table(beside)
    about = json.loads(table.schema.metadata[b"s1m"])
    if about.pop("key") != key:
        return None
    return Overlay(path=out, table=table.to_pandas(), **about)


def _store(seen: Overlay, key: str) -> None:
    """Keep the table beside the film, and with it all else that `draw` returns."""
    kinds = {"seconds": pa.float64(), "run": pa.string(), "label": pa.string()}
    names = {name: name.rstrip("0123456789") for name in seen.table}
    schema = pa.schema([(name, kinds.get(kind, pa.float32())) for name, kind in names.items()])
    about = {k: v for k, v in seen._asdict().items() if k not in ("path", "table")}
    rows = pa.Table.from_pandas(seen.table, schema, preserve_index=False)
    rows = rows.replace_schema_metadata({"s1m": json.dumps(about | {"key": key})})
    with atomic(seen.path.with_suffix(".parquet")) as temporary:
        pq.write_table(rows, temporary)


def _drawn(
    eyes: list[SlidingWindowPredictor], path: Path, out: Path, truth: list[str], step: float
) -> Overlay:
    """Write the film `path` with what the `eyes` see to `out`."""
    info = reader.probe(path, whole=False)
    rows = min(TOP, len(eyes[0].labels))
    width = round(info.width * info.aspect)  # the film is written in square pixels
    layout = Layout(width, info.height, len(eyes), rows)
    pictures = PIXEL * math.prod(layout.canvas) * info.frames
    require_space(out.parent, 20e6 + pictures + SOUND * info.duration)
    progress = Progress("drawing", info.frames, "frames")
    tape, due, count = RecentFrames({eye.side for eye in eyes}), 0.0, 0
    with writer.open_writer(out, like=path, origin=info.origin, fps=info.fps) as written:
        for seconds, image, ended in _frames(path, info):
            tape.add(seconds, image)
            for eye in eyes:
                eye.wait(seconds)
            if seconds >= due - decoders.TICK:
                due = step * (math.floor((seconds + decoders.TICK) / step) + 1)
                for eye in eyes:
                    eye.look(tape, seconds)
            count, end = count + 1, seconds + 1 / info.fps
            note = f"the file breaks off here, at {end:.2f} s" if ended else ""
            panels = [eye.panel() for eye in eyes]
            if width != info.width:
                image = np.asarray(Image.fromarray(image).resize((width, info.height)))
            written.add(seconds, layout.paint(image, panels, truth, note))
            progress.update()
        if ended:
            written.end(end)
    table = pd.concat([eye.table() for eye in eyes], ignore_index=True)
    models = {eye.name: eye.net.name for eye in eyes}
    where = f"after {count:,} frames, at {end:.2f} s: {ended}" if ended else ""
    return Overlay(out, table, truth, models, count, end, where, written.sound)


def _frames(path: Path, info: reader.Info) -> Iterator[tuple[float, np.ndarray, str]]:
    """(seconds, image, why the film breaks off after it or ""), a frame late to know that."""
    frames, held = reader.read(path, whole=False, info=info), None
    while True:
        try:
            frame = next(frames, None)
            if frame and held and frame[1].shape != held[1].shape:
                raise container.VideoError("unsupported", "the size of the picture changes")
        except container.VideoError as error:
            if held is None:
                raise
            yield *held, str(error)
            return
        if held is not None:
            yield *held, ""
        if frame is None:
            return
        held = frame


def example(data: str, seed: int = 0, path: str = "") -> tuple[Path, list[str]]:
    """A film to look at and the names of its true classes, as far as the dataset knows them.

    By default a test video of one class, chosen by `seed`, of a motion pair where the dataset has
    such pairs. For a `path` nothing is made: where the dataset is not there, no class is known.
    Raises FileNotFoundError where no test video lies on this disk.
    """
    named = Path(path).expanduser().resolve()
    folder = paths.dataset(data) if path else datasets.listed(data)
    if path and not (folder / "catalog.parquet").is_file():
        return named, []
    df = catalog.load_catalog(folder)
    classes = df.attrs["classes"]
    if path:
        df = df[(df["id"] == named.stem) | df["path"].fillna("").str.endswith(named.name)]
    else:
        moving = {classes.index(name) for name in sum(datasets.pairs(folder).get("motion", []), [])}
        test = df[(df["split"] == "test") & df["labels"].map(len).eq(1)]
        pairs = test[[own[0] in moving for own in test["labels"]]]
        df = (pairs if len(pairs) else test).iloc[lambda df: keyed_random.shuffled(len(df), seed)]
    for start in range(0, len(df), 100):
        rows = df.iloc[start : start + 100]
        for source, own in zip(locate.find(rows, folder), rows["labels"], strict=True):
            if source is None or source.kind != "file":
                continue
            if not path or Path(source.where).resolve() == named:
                return Path(source.where), [classes[k] for k in own]
    if path:
        return named, []
    raise FileNotFoundError(
        f"no test video of {folder.name} lies on this disk; name a film: -p video /path/to/film.mp4"
    )


def stills(path: Path, times: Sequence[float]) -> list[np.ndarray]:
    """The frames of a film that are on screen at `times` (s, ascending)."""
    return [clip[0] for clip in reader.segments(path, times, frames=1)]
