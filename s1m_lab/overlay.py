"""Predictions drawn on the video.

    seen = overlay.draw([run, versus], "film.mp4", "out.mp4", truth=["luge"])
    seen.table                                            # what each run predicted, and when

Any film in, an H.264 film out: upright, at its own frame times, with its sound, and on every frame
the five likeliest classes of each run. At `step` intervals each network sees the stretch of film
that ends with the frame on screen (its own frames of it, at 30 a second, held as segments are): one
central crop, as it is and flipped, probabilities averaged. What is drawn is smoothed over time by a
causal first-order low-pass: in `smooth` seconds, its time constant, the bars go 63 % of the way
from where they are to the latest prediction. Nothing of the future is used, so a bar is late by
about that much, and before its first stretch is full a network says nothing.

The film is decoded once, and memory does not grow with it but for the table, of which each row is
five numbers.
"""

import base64
import math
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from s1m_lab import catalog, clips, film, plots, predict, runs, sources, stages, video
from s1m_lab.panels import Layout, Panel

STEP = 0.1  # s between predictions
SMOOTH = 0.4  # s, the time constant of the filter
TOP = 5


class Overlay(NamedTuple):
    """What `draw` did and found."""

    path: Path  # the film it wrote
    table: pd.DataFrame  # seconds, run, label1…5, probability1…5 (smoothed); a row a prediction
    truth: list[str]
    colours: dict[str, str]  # of each run, in their order
    frames: int
    seconds: float  # how long the film is
    ended: str  # where and why it broke off, "" where it did not
    sound: str  # what became of it


def draw(
    chosen: Sequence[runs.Run],
    path: str | Path,
    out: str | Path,
    truth: Sequence[str] = (),
    step: float = STEP,
    smooth: float = SMOOTH,
) -> Overlay:
    """Write the film `path` with the predictions of the `chosen` runs to `out`.

    `truth` are the names of its true classes, which are marked. Raises `video.VideoError` where
    not one frame can be read; of a film that breaks off, the part before is drawn.
    """
    path, out = Path(path), Path(out)
    info = video.probe(path, whole=False)
    stages.require_space(out.parent, 20e6 + 4 * path.stat().st_size)
    eyes = [Eye(run, smooth) for run in chosen]
    layout = Layout(info.width, info.height, len(eyes), min(TOP, *(len(e.labels) for e in eyes), TOP))
    progress = stages.Progress("drawing", info.frames, "frames")
    tape, due, count, last, ended = Tape({eye.side for eye in eyes}), 0.0, 0, 0.0, ""
    with film.writing(out, like=path, fps=info.fps) as written:
        for seconds, image, ended in _frames(path):
            if image.shape[:2] != (info.height, info.width):
                raise video.VideoError("unsupported", "the size of the picture changes")
            tape.add(seconds, image)
            for eye in eyes:
                eye.wait(seconds)
            if seconds >= due - video.TICK:
                due = step * (math.floor((seconds + video.TICK) / step) + 1)
                for eye in eyes:
                    eye.look(tape, seconds)
            note = f"the file breaks off here, at {seconds:.2f} s" if ended else ""
            panels = [eye.panel() for eye in eyes]
            written.add(seconds, layout.paint(image, panels, truth, note))
            count, last = count + 1, seconds
            progress.update()
        end = last + 1 / info.fps
        if ended:
            written.end(end)
    table = pd.concat([eye.table() for eye in eyes], ignore_index=True)
    colours = {eye.name: eye.colour for eye in eyes}
    where = f"after {count:,} frames, at {end:.2f} s: {ended}" if ended else ""
    return Overlay(out, table, list(truth), colours, count, end, where, written.sound)


def _frames(path: Path) -> Iterator[tuple[float, np.ndarray, str]]:
    """(seconds, image, why the film breaks off after it or ""), a frame late to know that."""
    frames, held = video.read(path, whole=False), None
    while True:
        try:
            frame = next(frames, None)
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


class Tape:
    """The last half second of a film, as the small squares that networks are shown."""

    def __init__(self, sides: set[int], span: float = 0.5):
        self.sides, self.span, self.start = sides, span, None
        self.times, self.pictures = deque(), deque()

    def add(self, seconds: float, image: np.ndarray) -> None:
        self.start = seconds if self.start is None else self.start
        self.times.append(seconds)
        self.pictures.append({side: video.fit(image, side, side) for side in self.sides})
        while len(self.times) > 1 and self.times[1] <= seconds - self.span:
            self.times.popleft()
            self.pictures.popleft()

    def at(self, seconds: np.ndarray, side: int) -> np.ndarray:
        """What was on screen at each of `seconds`: uint8 T×side×side×3."""
        places = [bisect_right(self.times, time + video.TICK) - 1 for time in seconds]
        return np.stack([self.pictures[max(0, place)][side] for place in places])


class Eye:
    """One run that watches: its network, what it last thought and what it has said so far."""

    def __init__(self, run: runs.Run, smooth: float):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = "bf16" if stages.has_bf16(self.device.type) else "fp32"
        self.net = runs.load_network(run).to(self.device)
        self.name, self.labels, self.smooth = run.name, run.labels, smooth
        self.colour = plots.colour(self.net.name)
        self.side = clips.stored_side(self.net.size)
        last = self.net.frames[-1]
        self.back = np.array([(k - last) / 30 for k in self.net.frames])  # s before the screen's
        self.latest = self.shown = None  # probabilities, as they came and smoothed
        self.now, self.seconds, self.best, self.shares = 0.0, [], [], []

    def wait(self, seconds: float) -> None:
        """Let time pass: what is shown moves towards the latest prediction."""
        if self.shown is not None:
            self.shown = smoothed(self.shown, self.latest, seconds - self.now, self.smooth)
        self.now = seconds

    @torch.no_grad()
    def look(self, tape: Tape, seconds: float) -> None:
        """Predict from the stretch of film that ends now, if it has one."""
        if seconds + self.back[0] < tape.start - video.TICK:
            return
        frames = torch.from_numpy(tape.at(seconds + self.back, self.side)).to(self.device)
        ((top, left, _),) = clips.passes(self.net.size, self.net.crop, n=1)
        places = [(top, left, 0), (top, left, 1)]
        x = clips.augment(torch.stack([frames] * 2), places, self.net.size, self.net.crop)
        with predict.autocast(self.device, self.precision):
            logits = self.net(x)
        self.latest = F.softmax(logits.float(), dim=1).mean(0).cpu().numpy()
        self.shown = self.latest if self.shown is None else self.shown
        best = self.likeliest()
        self.seconds.append(seconds)
        self.best.append(best.astype(np.int32))
        self.shares.append(self.shown[best])

    def panel(self) -> Panel:
        """What its card says now."""
        best = self.likeliest() if self.shown is not None else []
        rows = [(self.labels[k], float(self.shown[k])) for k in best]
        return Panel(self.net.name, self.name, self.colour, rows)

    def likeliest(self) -> np.ndarray:
        return np.argsort(-self.shown, kind="stable")[:TOP]

    def table(self) -> pd.DataFrame:
        """seconds, run, label1…5, probability1…5: a row a prediction."""
        count = min(TOP, len(self.labels))
        best = np.array(self.best, np.int32).reshape(-1, count)
        shares = np.array(self.shares, np.float32).reshape(-1, count)
        columns = {"seconds": self.seconds, "run": pd.Categorical([self.name] * len(best))}
        names = pd.Index(self.labels)
        for i in range(count):
            columns[f"label{i + 1}"] = names.take(best[:, i])
        return pd.DataFrame(columns | {f"probability{i + 1}": shares[:, i] for i in range(count)})


def smoothed(before: np.ndarray, latest: np.ndarray, elapsed: float, smooth: float) -> np.ndarray:
    """A first-order low-pass: what is left of a difference after `elapsed` s is e^(-elapsed/smooth).

    The same however `elapsed` is cut, so films of any frame rate look alike.
    """
    return latest + (before - latest) * (math.exp(-elapsed / smooth) if smooth else 0.0)
