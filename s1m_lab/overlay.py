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

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from s1m_lab import catalog, clips, film, plots, pocket, predict, runs, sources, stages, video
from s1m_lab.panels import Layout, Panel

STEP = 0.1  # s between predictions
SMOOTH = 0.4  # s, the time constant of the filter
TOP = 5


class Overlay(NamedTuple):
    """What `draw` did and found."""

    path: Path  # the film it wrote
    table: pd.DataFrame  # seconds, run, label1…5, probability1…5 (smoothed); a row a prediction
    truth: list[str]
    models: dict[str, str]  # each run's network, in the order of the runs
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
    if out.resolve() == path.resolve():
        raise ValueError(f"{path} cannot be drawn over itself; name another file")
    info = video.probe(path, whole=False)
    stages.require_space(out.parent, 20e6 + 4 * path.stat().st_size)
    eyes = [Eye(run, smooth) for run in chosen]
    rows = min(TOP, max(len(eye.labels) for eye in eyes))
    layout = Layout(info.width, info.height, len(eyes), rows)
    progress = stages.Progress("drawing", info.frames, "frames")
    tape, due, count = Tape({eye.side for eye in eyes}), 0.0, 0
    with film.writing(out, like=path, fps=info.fps) as written:
        for seconds, image, ended in _frames(path):
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
            written.add(seconds, layout.paint(image, panels, truth, note))
            progress.update()
        if ended:
            written.end(end)
    table = pd.concat([eye.table() for eye in eyes], ignore_index=True)
    models = {eye.name: eye.net.name for eye in eyes}
    where = f"after {count:,} frames, at {end:.2f} s: {ended}" if ended else ""
    return Overlay(out, table, list(truth), models, count, end, where, written.sound)


def _frames(path: Path) -> Iterator[tuple[float, np.ndarray, str]]:
    """(seconds, image, why the film breaks off after it or ""), a frame late to know that."""
    frames, held = video.read(path, whole=False), None
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
        return Panel(self.net.name, self.name, plots.colour(self.net.name), rows)

    def likeliest(self) -> np.ndarray:
        return np.argsort(-self.shown, kind="stable")[:TOP]

    def table(self) -> pd.DataFrame:
        """seconds, run, label1…5, probability1…5: a row a prediction."""
        count = min(TOP, len(self.labels))
        best = np.array(self.best, np.int32).reshape(-1, count)
        shares = np.array(self.shares, np.float32).reshape(-1, count)
        columns = {
            "seconds": np.array(self.seconds, float),
            "run": pd.Categorical([self.name] * len(best)),
        }
        names = pd.Index(self.labels)
        for i in range(count):
            columns[f"label{i + 1}"] = names.take(best[:, i])
        return pd.DataFrame(columns | {f"probability{i + 1}": shares[:, i] for i in range(count)})


def smoothed(before: np.ndarray, latest: np.ndarray, elapsed: float, smooth: float) -> np.ndarray:
    """A first-order low-pass: of a difference, e^(-elapsed/smooth) is left after `elapsed` s.

    The same however `elapsed` is cut, so films of any frame rate look alike.
    """
    return latest + (before - latest) * (math.exp(-elapsed / smooth) if smooth else 0.0)


def example(folder: Path, seed: int = 0, path: str = "") -> tuple[Path, list[str]]:
    """A film to look at and the names of its true classes, as far as the dataset knows them.

    By default a test video of one class, chosen by `seed`, of a motion pair where the dataset has
    such pairs. Raises FileNotFoundError where no test video lies on this disk.
    """
    df = catalog.load(folder)
    classes = df.attrs["classes"]
    if path:
        named = Path(path).expanduser().resolve()
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


def leads(table: pd.DataFrame) -> pd.DataFrame:
    """Which class led when: run, label, start, end (s); a row for each time the leader changes."""
    rows = []
    for run, own in table.groupby("run", sort=False):
        label = own["label1"].to_numpy()
        first = np.flatnonzero(np.append(True, label[1:] != label[:-1]))
        start = own["seconds"].to_numpy()[first]
        end = np.append(start[1:], own["seconds"].iloc[-1])
        rows += [(run, *row) for row in zip(label[first], start, end, strict=True)]
    return pd.DataFrame(rows, columns=["run", "label", "start", "end"])


def verdict(seen: Overlay, run: str) -> str:
    """What a run made of the film, in a few words."""
    own = seen.table[seen.table["run"] == run]
    if not len(own):
        return "the film is too short for it to say anything"
    changes = len(leads(own)) - 1
    mind = {0: "never changes its mind", 1: "changes its mind once"}
    mind = mind.get(changes, f"changes its mind {changes} times")
    if seen.truth:
        return f"{mind}, right {own['label1'].isin(seen.truth).mean():.0%} of the time"
    most = own["label1"].value_counts().iloc[0] / len(own)
    return f"{mind}, one class leads {most:.0%} of the time"


@plots.styled
def timeline(seen: Overlay) -> Figure:
    """The smoothed probabilities of the classes that ever lead, a row a run.

    The leader is drawn in the run's colour, a line and its name mark where it changes; a true class
    is black where it does not lead.
    """
    fig, axes = plots._figure(len(seen.models), 1, 0.5 + 1.6 * len(seen.models), sharex=True)
    for ax, (run, model) in zip(axes[:, 0], seen.models.items(), strict=True):
        own, spans = (t[t["run"] == run] for t in (seen.table, leads(seen.table)))
        seconds = own["seconds"].to_numpy()
        for label in dict.fromkeys([*seen.truth, *spans["label"]]):
            share, leading = _share(own, label), own["label1"].to_numpy() == label
            true = label in seen.truth
            ax.plot(
                seconds, share, color=plots.INK if true else plots.PAPER, lw=1.3 if true else 0.8
            )
            ahead = leading | np.append(False, leading[:-1])  # up to where it is overtaken
            ax.plot(seconds, np.where(ahead, share, np.nan), color=plots.colour(model), lw=2.6)
        ax.vlines(spans["start"].iloc[1:], 0, 1.2, color=plots.FAINT, lw=0.8, zorder=0)
        for span in spans.itertuples():
            name = plots.clean(span.label, 110 * (span.end - span.start) / seen.seconds)
            if len(name) > 3:
                weight = "bold" if span.label in seen.truth else "normal"
                ax.annotate(f" {name}", (span.start, 1.1), fontsize=8, va="center", weight=weight)
        ax.set(ylim=(0, 1.2), yticks=[0, 0.5, 1], xlim=(0, seen.seconds), ylabel="probability")
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        ax.set_title(plots.clean(f"{seen.models[run]} ({run}) {verdict(seen, run)}", 100))
        ax.grid(axis="y")
    axes[-1, 0].set_xlabel("time of the film (s)")
    return fig


def _share(own: pd.DataFrame, label) -> np.ndarray:
    """The probability of a class, or of one for each row; 0 where it is not among the five."""
    columns = [c.removeprefix("label") for c in own if c.startswith("label")]
    there = [np.where(own[f"label{c}"] == label, own[f"probability{c}"], 0.0) for c in columns]
    return np.sum(there, axis=0)


def apart(seen: Overlay) -> pd.Series:
    """How far the first two runs are apart at each time both speak, 0…1.

    Half the sum of the differences of the probabilities of the classes that are shown: the share
    of the probability that lies elsewhere. Empty where there is but one run.
    """
    if len(seen.models) < 2:
        return pd.Series([], pd.Index([], dtype=float), float)
    first, second = (seen.table[seen.table["run"] == run].set_index("seconds")
                     for run in list(seen.models)[:2])  # fmt: skip
    both = first.index.intersection(second.index)
    first, second = first.loc[both], second.loc[both]
    total = sum(t.filter(like="probability").sum(axis=1) for t in (first, second))
    for label in second.filter(like="label"):
        share = second[label.replace("label", "probability")].to_numpy()
        total -= 2 * np.minimum(_share(first, second[label].to_numpy()), share)
    return total / 2


def stills(path: Path, times: Sequence[float]) -> list[np.ndarray]:
    """The frames of a film that are on screen at `times` (s, ascending)."""
    return [clip[0] for clip in video.segments(path, times, frames=1)]
