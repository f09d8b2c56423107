"""Predictions drawn on the video.

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
from PIL import Image

from s1m_lab import catalog, clips, datasets, film, paths, pocket, runs, sources, stages, video
from s1m_lab.eyes import TOP, Eye, Tape
from s1m_lab.panels import Layout

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
    with video.opened(path):  # or says what is wrong with it
        about = path.stat()
    source = [str(path.resolve()), about.st_size, about.st_mtime_ns]
    stem = re.sub(r"[^\w-]+", "_", path.stem)[:40]
    with stages.exclusive(chosen[0].path):
        eyes = [Eye(run, smooth, truth) for run in chosen]
        settings = {"truth": truth, "step": step, "smooth": smooth, "version": VERSION}
        key = stages.fingerprint(film=source, runs=[_print(run) for run in chosen], **settings)
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
    with stages.atomic(seen.path.with_suffix(".parquet")) as temporary:
        pq.write_table(rows, temporary)


def _drawn(eyes: list[Eye], path: Path, out: Path, truth: list[str], step: float) -> Overlay:
    """Write the film `path` with what the `eyes` see to `out`."""
    info = video.probe(path, whole=False)
    rows = min(TOP, len(eyes[0].labels))
    width = round(info.width * info.aspect)  # the film is written in square pixels
    layout = Layout(width, info.height, len(eyes), rows)
    pictures = PIXEL * math.prod(layout.canvas) * info.frames
    stages.require_space(out.parent, 20e6 + pictures + SOUND * info.duration)
    progress = stages.Progress("drawing", info.frames, "frames")
    tape, due, count = Tape({eye.side for eye in eyes}), 0.0, 0
    with film.writing(out, like=path, origin=info.origin, fps=info.fps) as written:
        for seconds, image, ended in _frames(path, info):
            tape.add(seconds, image)
            for eye in eyes:
                eye.wait(seconds)
            if seconds >= due - video.TICK:
                due = step * (math.floor((seconds + video.TICK) / step) + 1)
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


def _frames(path: Path, info: video.Info) -> Iterator[tuple[float, np.ndarray, str]]:
    """(seconds, image, why the film breaks off after it or ""), a frame late to know that."""
    frames, held = video.read(path, whole=False, info=info), None
    while True:
        try:
            frame = next(frames, None)
            if frame and held and frame[1].shape != held[1].shape:
                raise video.VideoError("unsupported", "the size of the picture changes")
        except video.VideoError as error:
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
    df = catalog.load(folder)
    classes = df.attrs["classes"]
    if path:
        df = df[(df["id"] == named.stem) | df["path"].fillna("").str.endswith(named.name)]
    else:
        moving = {classes.index(name) for name in sum(pocket.pairs(folder).get("motion", []), [])}
        test = df[(df["split"] == "test") & df["labels"].map(len).eq(1)]
        pairs = test[[own[0] in moving for own in test["labels"]]]
        df = (pairs if len(pairs) else test).iloc[lambda df: clips.shuffled(len(df), seed)]
    for start in range(0, len(df), 100):
        rows = df.iloc[start : start + 100]
        for source, own in zip(sources.find(rows, folder), rows["labels"], strict=True):
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
    return [clip[0] for clip in video.segments(path, times, frames=1)]
