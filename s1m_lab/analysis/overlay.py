"""What runs predict over the time of one video: a sliding window, its rows, and their summary.

    predictor = SlidingWindowPredictor(run, smooth=0.4)
    predictor.add(seconds, image)                         # every frame
    predictor.predict()                                   # at intervals
    predictor.table()                                     # one row per prediction

A prediction uses no future frame. The network takes the half second that ends with the frame on
screen, sampled at 30 frames a second, as one central crop and its mirror image. The two
probabilities are averaged, and a causal first-order low-pass smooths them over time.

`leading_classes`, `describe_run` and `disagreement` summarize the table of a finished `Overlay`.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from operator import itemgetter
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


class SlidingWindowPredictor:
    """One run on one video: its window of frames, the probabilities of now, all rows so far.

    `smooth` is the time constant of the low-pass (s), `truth` the names of the true classes.
    """

    def __init__(self, run: runs.Run, smooth: float, truth: Sequence[str] = ()):
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = "bf16" if system.has_bf16(self.device.type) else "fp32"
        self.net = runs.load_network(run).to(self.device)
        self.name, self.labels, self.smooth = run.name, run.labels, smooth
        self.true = [run.labels.index(name) if name in run.labels else -1 for name in truth]
        self.side = augment.stored_side(self.net.size)
        self.offsets = (np.array(self.net.frames) - self.net.frames[-1]) / 30  # s, 0 is now
        self.start, self.now = math.inf, 0.0  # s, of the first frame and of the last
        self.frames: deque[tuple[float, np.ndarray]] = deque()  # their times (s), side×side×3
        self.latest = self.smoothed = np.empty(0)  # probabilities of the K classes, once known
        self.rows: list[tuple] = []  # of `table`

    def add(self, seconds: float, image: np.ndarray) -> None:
        """Move on to the frame that is shown from `seconds` on."""
        # a first-order low-pass: of a difference e^(-elapsed/smooth) is left, at any frame rate
        left = math.exp((self.now - seconds) / self.smooth) if self.smooth else 0.0
        self.smoothed = self.latest + (self.smoothed - self.latest) * left
        self.start, self.now = min(self.start, seconds), seconds
        self.frames.append((seconds, reader.fit(image, self.side, self.side)))
        while len(self.frames) > 1 and self.frames[1][0] <= seconds + self.offsets[0]:
            self.frames.popleft()

    @torch.no_grad()
    def predict(self) -> None:
        """Predict from the window that ends now, if the video is that long by then."""
        times = self.now + self.offsets + decoders.TICK
        if times[0] < self.start:
            return
        shown = [bisect_right(self.frames, time, key=itemgetter(0)) - 1 for time in times]
        window = np.stack([self.frames[number][1] for number in shown])
        frames = torch.from_numpy(window).to(self.device)
        ((top, left, _),) = predict.fixed_places(self.net.size, self.net.crop, n=1)
        places = [(top, left, 0), (top, left, 1)]
        x = augment.cut(torch.stack([frames] * 2), places, self.net.crop)
        with predict.autocast(self.device, self.precision):
            logits = self.net(x)
        self.latest = F.softmax(logits.float(), dim=1).mean(0).cpu().numpy()
        if not len(self.smoothed):
            self.smoothed = self.latest
        best, shares = zip(*self.top_classes(), strict=True)
        true = (float(self.smoothed[k]) if k >= 0 else math.nan for k in self.true)
        self.rows.append((self.now, self.name, *best, *shares, *true))

    def top_classes(self) -> list[tuple[str, float]]:
        """The likeliest classes of now and their probabilities; none before a first prediction."""
        best = np.argsort(-self.smoothed, kind="stable")[:TOP]
        return [(self.labels[k], float(self.smoothed[k])) for k in best]

    def table(self) -> pd.DataFrame:
        """One row per prediction: seconds, run, label1…5, probability1…5, true1….

        `true1` is the probability of the first true class, nan where the run does not know it.
        """
        ranks = range(1, min(TOP, len(self.labels)) + 1)
        shares = [f"probability{n}" for n in ranks]
        shares += [f"true{n + 1}" for n in range(len(self.true))]
        columns = ["seconds", "run", *(f"label{n}" for n in ranks), *shares]
        floats = dict.fromkeys(["seconds", *shares], float)
        return pd.DataFrame(self.rows, columns=columns).astype(floats)


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
    shown = table[["run", "label1"]]
    first = table[(shown != shown.shift()).any(axis=1)]
    last = table.groupby("run")["seconds"].last()
    end = first.groupby("run")["seconds"].shift(-1).fillna(first["run"].map(last))
    rows = {"run": first["run"], "label": first["label1"], "start": first["seconds"], "end": end}
    return pd.DataFrame(rows).reset_index(drop=True)


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


def class_probabilities(own: pd.DataFrame) -> pd.DataFrame:
    """The probabilities of one run: seconds × classes; nan where not in the top five."""
    ranks = pd.wide_to_long(own, ["label", "probability"], "seconds", "rank").reset_index()
    return ranks.groupby(["seconds", "label"])["probability"].max().unstack()


def disagreement(seen: Overlay) -> pd.Series:
    """The total variation distance of the first two runs, 0…1, at each time both have predicted.

    Half the sum of the absolute differences over the classes in either top five. Empty for one run.
    """
    if len(seen.models) < 2:
        return pd.Series([], pd.Index([], dtype=float), float)
    first, second = (
        class_probabilities(seen.table[seen.table["run"] == run]) for run in list(seen.models)[:2]
    )
    both = first.index.intersection(second.index)
    gap = first.loc[both].fillna(0).sub(second.loc[both].fillna(0), fill_value=0)
    return gap.abs().sum(axis=1) / 2


def find_video(data: str, seed: int = 0, path: str = "") -> tuple[Path, list[str]]:
    """A video to predict on, and the names of its true classes as far as the dataset knows them.

    By default this is a test video of one class, chosen by `seed`; where the dataset has motion
    pairs, it is of one. A named `path` makes no dataset: without one, no class is known.

    Raises:
        FileNotFoundError: no test video is on this disk.
        ValueError: `path` is a folder.
    """
    if path:
        named, folder = Path(path).expanduser().resolve(), paths.dataset(data)
        if named.is_dir():
            some = next(iter(reader.list_videos(named)[0]), "film.mp4")
            raise ValueError(f"{named} is a folder; name one video: -p video {named / some}")
        if (folder / "catalog.parquet").is_file():
            df = catalog.load_catalog(folder)
            same = (df["id"] == named.stem) | df["path"].fillna("").str.endswith(named.name)
            for file, truth in _films(df[same], folder):
                if file.resolve() == named:
                    return named, truth
        return named, []
    folder = datasets.listed(data)
    df = catalog.load_catalog(folder)
    motion = sum(datasets.pairs(folder).get("motion", []), [])
    test = df[(df["split"] == "test") & df["labels"].map(len).eq(1)]
    paired = test[[df.attrs["classes"][own[0]] in motion for own in test["labels"]]]
    test = paired if len(paired) else test
    shuffled = test.iloc[keyed_random.keyed_permutation(len(test), seed)]
    found = next(_films(shuffled, folder), None)
    if found is None:
        raise FileNotFoundError(
            f"no test video of {folder.name} is on this disk; "
            "name a video: -p video /path/to/film.mp4"
        )
    return found


def _films(df: pd.DataFrame, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The file and the true classes of each video of a catalog that is a file on this disk."""
    for start in range(0, len(df), 100):  # looks for no more files than are needed
        rows = df.iloc[start : start + 100]
        for source, own in zip(locate.find(rows, folder), rows["labels"], strict=True):
            if source is not None and source.kind == "file":
                yield Path(source.where), [df.attrs["classes"][k] for k in own]
