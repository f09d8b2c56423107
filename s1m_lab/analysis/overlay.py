"""What runs predict over the time of one video: a sliding window, its rows, and their summary.

    predictor, recent = SlidingWindowPredictor(run, smooth=0.4), RecentFrames({predictor.side})
    recent.add(seconds, image)                            # every frame
    predictor.advance(seconds)                            # every frame
    predictor.predict(recent, seconds)                    # at intervals
    predictor.table()                                     # one row per prediction

A prediction uses no future frame. The network takes the half second that ends with the frame on
screen, sampled at 30 frames a second, as one central crop and its mirror image. The two
probabilities are averaged, and a causal first-order low-pass smooths them over time.

`leading_classes`, `describe_run` and `disagreement` summarize the table of a finished `Overlay`.
"""

import math
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from s1m_lab.common import paths, system
from s1m_lab.data import augment, catalog, datasets, keyed_random, locate
from s1m_lab.training import predict, runs
from s1m_lab.video import decoders, reader

TOP = 5  # classes of a prediction that the table holds


class RecentFrames:
    """The last half second of a video, resized to the squares that networks take."""

    def __init__(self, sides: set[int], span: float = 0.5):
        self.sides, self.span = sides, span
        self.start = math.inf  # s, of the first frame
        self.times: deque[float] = deque()
        self.pictures: deque[dict[int, np.ndarray]] = deque()

    def add(self, seconds: float, image: np.ndarray) -> None:
        """Add the frame shown from `seconds` on, and drop those that are too old."""
        self.start = min(self.start, seconds)
        self.times.append(seconds)
        self.pictures.append({side: reader.fit(image, side, side) for side in self.sides})
        while len(self.times) > 1 and self.times[1] <= seconds - self.span:
            self.times.popleft()
            self.pictures.popleft()

    def at(self, seconds: np.ndarray, side: int) -> np.ndarray:
        """The frames on screen at each of T times: uint8 T×side×side×3."""
        places = [bisect_right(self.times, time + decoders.TICK) - 1 for time in seconds]
        return np.stack([self.pictures[max(0, place)][side] for place in places])


class SlidingWindowPredictor:
    """One run on one video: its network, the smoothed probabilities of now, and all rows so far.

    `smooth` is the time constant of the low-pass (s), `truth` the names of the true classes.
    """

    def __init__(self, run: runs.Run, smooth: float, truth: Sequence[str] = ()):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = "bf16" if system.has_bf16(self.device.type) else "fp32"
        self.net = runs.load_network(run).to(self.device)
        self.name, self.labels, self.smooth = run.name, run.labels, smooth
        self.side = augment.stored_side(self.net.size)
        last = self.net.frames[-1]
        self.offsets = np.array([(k - last) / 30 for k in self.net.frames])  # s, 0 is now
        self.latest: np.ndarray | None = None  # probabilities of the K classes
        self.smoothed: np.ndarray | None = None
        self.true = [run.labels.index(name) if name in run.labels else -1 for name in truth]
        self.now = 0.0
        self.seconds, self.best, self.probabilities = array("d"), array("i"), array("f")

    def advance(self, seconds: float) -> None:
        """Move the smoothed probabilities towards the latest ones, up to the time `seconds`."""
        if self.smoothed is not None and self.latest is not None:
            elapsed = seconds - self.now
            self.smoothed = low_pass(self.smoothed, self.latest, elapsed, self.smooth)
        self.now = seconds

    @torch.no_grad()
    def predict(self, recent: RecentFrames, seconds: float) -> None:
        """Predict from the window that ends at `seconds`, if the video is that long by then."""
        if seconds + self.offsets[0] < recent.start - decoders.TICK:
            return
        frames = torch.from_numpy(recent.at(seconds + self.offsets, self.side)).to(self.device)
        ((top, left, _),) = augment.fixed_places(self.net.size, self.net.crop, n=1)
        places = [(top, left, 0), (top, left, 1)]
        x = augment.cut(torch.stack([frames] * 2), places, self.net.crop)
        with predict.autocast(self.device, self.precision):
            logits = self.net(x)
        self.latest = latest = F.softmax(logits.float(), dim=1).mean(0).cpu().numpy()
        self.smoothed = shown = latest if self.smoothed is None else self.smoothed
        best = _likeliest(shown)
        self.seconds.append(seconds)
        self.best.extend(best.tolist())
        self.probabilities.extend(shown[best].tolist())
        self.probabilities.extend(shown[k] if k >= 0 else math.nan for k in self.true)

    def top_classes(self) -> list[tuple[str, float]]:
        """The likeliest classes of now and their probabilities; none before a first prediction."""
        if self.smoothed is None:
            return []
        return [(self.labels[k], float(self.smoothed[k])) for k in _likeliest(self.smoothed)]

    def table(self) -> pd.DataFrame:
        """One row per prediction: seconds, run, label1…5, probability1…5, true1….

        `true1` is the probability of the first true class, nan where the run does not know it.
        """
        count = min(TOP, len(self.labels))
        best = np.array(self.best).reshape(-1, count)
        shares = np.array(self.probabilities, np.float32).reshape(-1, count + len(self.true))
        names = np.array(self.labels, object)
        columns = {"seconds": np.array(self.seconds), "run": [self.name] * len(best)}
        columns |= {f"label{i + 1}": names[best[:, i]] for i in range(count)}
        columns |= {f"probability{i + 1}": shares[:, i] for i in range(count)}
        true = {f"true{i + 1}": shares[:, count + i] for i in range(len(self.true))}
        return pd.DataFrame(columns | true)


def _likeliest(probabilities: np.ndarray) -> np.ndarray:
    """The numbers of the likeliest classes, likeliest first."""
    return np.argsort(-probabilities, kind="stable")[:TOP]


def low_pass(before: np.ndarray, latest: np.ndarray, elapsed: float, smooth: float) -> np.ndarray:
    """A first-order low-pass: of a difference, e^(-elapsed/smooth) is left after `elapsed` s.

    How `elapsed` is divided makes no difference, so the frame rate of a video makes none either.
    """
    return latest + (before - latest) * (math.exp(-elapsed / smooth) if smooth else 0.0)


class Overlay(NamedTuple):
    """A video with predictions drawn on it, and what they were."""

    path: Path  # the MP4
    table: pd.DataFrame  # `SlidingWindowPredictor.table`, run by run
    truth: list[str]  # names of the true classes
    models: dict[str, str]  # run name → network name, in the order of the runs
    frames: int
    seconds: float  # duration of the MP4
    ended: str  # where and why the source broke off, "" where it did not
    sound: str  # what became of the sound


def leading_classes(table: pd.DataFrame) -> pd.DataFrame:
    """Which class led when: run, label, start, end (s); a row each time the leader changes."""
    rows = []
    for run, own in table.groupby("run", sort=False):
        label = own["label1"].to_numpy()
        first = np.flatnonzero(np.append(True, label[1:] != label[:-1]))
        start = own["seconds"].to_numpy()[first]
        end = np.append(start[1:], own["seconds"].iloc[-1])
        rows += [(run, *row) for row in zip(label[first], start, end, strict=True)]
    return pd.DataFrame(rows, columns=["run", "label", "start", "end"])


def describe_run(seen: Overlay, run: str) -> str:
    """How steady and how often right a run was, in a few words."""
    own = seen.table[seen.table["run"] == run]
    if not len(own):
        return "makes no prediction: the video is too short"
    changes = len(leading_classes(own)) - 1
    text = {0: "keeps to one class", 1: "changes its class once"}.get(
        changes, f"changes its class {changes} times"
    )
    if seen.truth:
        return f"{text} and is right {own['label1'].isin(seen.truth).mean():.0%} of the time"
    most = own["label1"].value_counts().iloc[0] / len(own)
    return f"{text}; one class leads {most:.0%} of the time"


def probability_of(own: pd.DataFrame, label: str | np.ndarray) -> np.ndarray:
    """The probability of a class (or of one class per row); nan where it is not in the top five."""
    found = np.full(len(own), np.nan)
    for column in own.filter(regex="^label"):
        match = own[column].to_numpy() == label
        found[match] = own[column.replace("label", "probability")].to_numpy()[match]
    return found


def disagreement(seen: Overlay) -> pd.Series:
    """The total variation distance of the first two runs, 0…1, at each time both have predicted.

    Half the sum of the absolute differences over the classes in either top five. Empty for one run.
    """
    if len(seen.models) < 2:
        return pd.Series([], pd.Index([], dtype=float), float)
    first, second = (
        seen.table[seen.table["run"] == run].set_index("seconds") for run in list(seen.models)[:2]
    )
    both = first.index.intersection(second.index)
    first, second = first.loc[both], second.loc[both]
    total = sum(t.filter(like="probability").sum(axis=1) for t in (first, second))
    for label in second.filter(like="label"):
        share = second[label.replace("label", "probability")].to_numpy()
        other = np.nan_to_num(probability_of(first, second[label].to_numpy()))
        total -= 2 * np.minimum(other, share)
    return total / 2


def find_video(data: str, seed: int = 0, path: str = "") -> tuple[Path, list[str]]:
    """A video to predict on, and the names of its true classes as far as the dataset knows them.

    By default this is a test video of one class, chosen by `seed`; where the dataset has motion
    pairs, it is of one. A named `path` makes no dataset: without one, no class is known.

    Raises:
        FileNotFoundError: no test video is on this disk.
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
        motion = sum(datasets.pairs(folder).get("motion", []), [])
        test = df[(df["split"] == "test") & df["labels"].map(len).eq(1)]
        paired = test[[classes[own[0]] in motion for own in test["labels"]]]
        df = paired if len(paired) else test
        df = df.iloc[keyed_random.keyed_permutation(len(df), seed)]
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
        f"no test video of {folder.name} is on this disk; name a video: -p video /path/to/film.mp4"
    )
