"""A run that watches a film: what it sees of the last half second, and what it says, smoothed.

    eye, tape = Eye(run, smooth=0.4), Tape({eye.side})
    tape.add(seconds, image)                              # every frame
    eye.wait(seconds)
    eye.look(tape, seconds)                               # now and then
    eye.table()                                           # all it has said

Nothing of the future is used: a network sees the stretch of film that ends with the frame on screen
(its own frames of it, at 30 a second, held as segments are), as one central crop, as it is and
flipped, probabilities averaged. What is shown is a causal first-order low-pass of that.
"""

import math
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from s1m_lab.common import system
from s1m_lab.data import augment
from s1m_lab.figures import style
from s1m_lab.training import predict, runs
from s1m_lab.video import decoders, reader

TOP = 5


class Panel(NamedTuple):
    """What one card says."""

    title: str
    name: str
    colour: str  # of its bars, "#rrggbb"
    rows: Sequence[tuple[str, float]]  # class, probability; likeliest first; none: not yet known


class RecentFrames:
    """The last half second of a film, as the small squares that networks are shown."""

    def __init__(self, sides: set[int], span: float = 0.5):
        self.sides, self.span, self.start = sides, span, None
        self.times, self.pictures = deque(), deque()

    def add(self, seconds: float, image: np.ndarray) -> None:
        self.start = seconds if self.start is None else self.start
        self.times.append(seconds)
        self.pictures.append({side: reader.fit(image, side, side) for side in self.sides})
        while len(self.times) > 1 and self.times[1] <= seconds - self.span:
            self.times.popleft()
            self.pictures.popleft()

    def at(self, seconds: np.ndarray, side: int) -> np.ndarray:
        """What was on screen at each of `seconds`: uint8 T×side×side×3."""
        places = [bisect_right(self.times, time + decoders.TICK) - 1 for time in seconds]
        return np.stack([self.pictures[max(0, place)][side] for place in places])


class SlidingWindowPredictor:
    """One run that watches: its network, what it last thought and what it has said so far."""

    def __init__(self, run: runs.Run, smooth: float, truth: Sequence[str] = ()):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = "bf16" if system.has_bf16(self.device.type) else "fp32"
        self.net = runs.load_network(run).to(self.device)
        self.name, self.labels, self.smooth = run.name, run.labels, smooth
        self.side = augment.stored_side(self.net.size)
        last = self.net.frames[-1]
        self.back = np.array([(k - last) / 30 for k in self.net.frames])  # s before the screen's
        self.latest = self.shown = None  # probabilities, as they came and smoothed
        self.true = [run.labels.index(name) if name in run.labels else -1 for name in truth]
        self.now = 0.0
        self.seconds, self.best, self.shares = array("d"), array("i"), array("f")

    def wait(self, seconds: float) -> None:
        """Let time pass: what is shown moves towards the latest prediction."""
        if self.shown is not None:
            self.shown = smoothed(self.shown, self.latest, seconds - self.now, self.smooth)
        self.now = seconds

    @torch.no_grad()
    def look(self, tape: RecentFrames, seconds: float) -> None:
        """Predict from the stretch of film that ends now, if it has one."""
        if seconds + self.back[0] < tape.start - decoders.TICK:
            return
        frames = torch.from_numpy(tape.at(seconds + self.back, self.side)).to(self.device)
        ((top, left, _),) = augment.passes(self.net.size, self.net.crop, n=1)
        places = [(top, left, 0), (top, left, 1)]
        x = augment.augment(torch.stack([frames] * 2), places, self.net.size, self.net.crop)
        with predict.autocast(self.device, self.precision):
            logits = self.net(x)
        self.latest = F.softmax(logits.float(), dim=1).mean(0).cpu().numpy()
        self.shown = self.latest if self.shown is None else self.shown
        best = self.likeliest()
        self.seconds.append(seconds)
        self.best.extend(best.tolist())
        self.shares.extend(self.shown[best].tolist())
        self.shares.extend(self.shown[k] if k >= 0 else math.nan for k in self.true)

    def panel(self) -> Panel:
        """What its card says now."""
        best = self.likeliest() if self.shown is not None else []
        rows = [(self.labels[k], float(self.shown[k])) for k in best]
        return Panel(self.net.name, self.name, style.colour(self.net.name), rows)

    def likeliest(self) -> np.ndarray:
        return np.argsort(-self.shown, kind="stable")[:TOP]

    def table(self) -> pd.DataFrame:
        """seconds, run, label1…5, probability1…5 and, of each true class, true1…; a row a
        prediction, and nan where the run does not know the class."""
        count = min(TOP, len(self.labels))
        best = np.array(self.best).reshape(-1, count)
        shares = np.array(self.shares, np.float32).reshape(-1, count + len(self.true))
        names = np.array(self.labels, object)
        columns = {"seconds": np.array(self.seconds), "run": [self.name] * len(best)}
        columns |= {f"label{i + 1}": names[best[:, i]] for i in range(count)}
        columns |= {f"probability{i + 1}": shares[:, i] for i in range(count)}
        true = {f"true{i + 1}": shares[:, count + i] for i in range(len(self.true))}
        return pd.DataFrame(columns | true)


def smoothed(before: np.ndarray, latest: np.ndarray, elapsed: float, smooth: float) -> np.ndarray:
    """A first-order low-pass: of a difference, e^(-elapsed/smooth) is left after `elapsed` s.

    The same however `elapsed` is cut, so films of any frame rate look alike.
    """
    return latest + (before - latest) * (math.exp(-elapsed / smooth) if smooth else 0.0)
