"""Predictions of clips and videos: made, saved, loaded, averaged and scored.

    predictions = load_predictions(run)            # of a finished run, on the test split
    predictions.video_probabilities                # videos × classes
    predict_videos("pocket-slow-s0-4fef3e43", ["surf.mp4"])      # a table of new videos

§4: a test clip passes through the network four times (two crops × two flips) and its class
probabilities are averaged. Those of a video are the mean over its clips.

A run's folder holds `predictions/<split>.npy` (clips×classes) and `<split>.parquet` (the video and
labels of each clip). They are written and scored in parts, so that memory does not grow with the
number of clips. Every run on a dataset is tested on the same clips in the same order.
"""

import csv
import io
import json
import os
import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

from s1m_lab.common import paths as places
from s1m_lab.common import system
from s1m_lab.common.files import atomic, exclusive, fingerprint, write_array, write_json
from s1m_lab.common.progress import Progress
from s1m_lab.data import catalog, loader
from s1m_lab.data.augment import cut, resize, stored_side
from s1m_lab.data.shards import Shards
from s1m_lab.training import distributed, metrics, runs
from s1m_lab.video import container, reader

BATCH = 64  # clips in a batch
PASSES = 4  # §4: views of a test clip, two crops × two flips
CLIPS = 20  # §4: clips of a new video
PART = 4096  # clips held in memory while a run is scored


class Predictions(NamedTuple):
    """Predictions on N clips of V videos, K classes; the clips of a video are consecutive rows."""

    clip_probabilities: np.ndarray  # float32 N×K, after the four passes are averaged
    clip_video: np.ndarray  # int N: the number of each clip's video, 0…V−1
    clip_number: np.ndarray  # int N: the number of the clip in its video
    ids: list[str]  # V
    labels: list[list[int]]  # V

    @property
    def clip_labels(self) -> list[list[int]]:
        return [self.labels[v] for v in self.clip_video]

    @property
    def video_probabilities(self) -> np.ndarray:
        """V×K."""
        return metrics.video_average(self.clip_probabilities, self.clip_video)

    def surest(self, video: int, label: int) -> int:
        """The row of the clip of a video with the highest probability of `label`."""
        mine = np.flatnonzero(self.clip_video == video)
        return int(mine[self.clip_probabilities[mine][:, label].argmax()])

    def parts(self, size: int = PART) -> Iterator["Predictions"]:
        """The predictions in parts of up to `size` clips, at least one video, every video whole."""
        ends = np.append(0, np.bincount(self.clip_video, minlength=len(self.ids)).cumsum())
        first = 0
        while first < len(self.ids):
            last = max(first + 1, np.searchsorted(ends, ends[first] + size, "right") - 1)
            rows, videos = slice(ends[first], ends[last]), slice(first, last)
            yield Predictions(
                self.clip_probabilities[rows],
                self.clip_video[rows] - first,
                self.clip_number[rows],
                self.ids[videos],
                self.labels[videos],
            )
            first = last


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Mixed precision for "bf16", none for "fp32"."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def fixed_places(size: int, crop: int, n: int = PASSES) -> list[tuple[int, int, int]]:
    """The views of a test clip (top, left, flip): 4, two crops × two flips, or 1, the centre.

    §4 says "different crops and flips" and not which. Here the crops are the top left and the
    bottom right one, which together show every pixel that training can see.
    """
    if n not in (1, 4):
        raise ValueError(f"{n} passes: there are 1 (the centre) or 4 (two crops × two flips)")
    room = stored_side(size) - crop
    if n == 1:
        return [(room // 2, room // 2, 0)]
    return [(edge, edge, flip) for edge in (0, room) for flip in (0, 1)]


def fixed_views(
    frames: torch.Tensor, size: int, crop: int, n: int = PASSES
) -> Iterator[torch.Tensor]:
    """The `n` fixed views of a batch of test clips, each float B×3×T×crop×crop."""
    frames = resize(frames, stored_side(size))
    for place in fixed_places(size, crop, n):
        yield cut(frames, [place] * len(frames), crop)


@torch.no_grad()
def probabilities(
    net, shards: Shards, precision: str, threads: int, passes: int
) -> Iterator[np.ndarray]:
    """The class probabilities of all clips of a split, in order: float32 B×K at a time.

    Under `torchrun` the processes take turns at the batches, and every process gets all results.
    """
    rank, ranks = distributed.rank_and_ranks()
    device, total = net.scale.device, len(shards)
    starts = range(0, total, BATCH * ranks)  # of every turn
    mine = [np.arange(total)[start + rank * BATCH :][:BATCH] for start in starts]
    plan = [loader.Plan(step, 0, samples, samples) for step, samples in enumerate(mine)]
    net.eval()
    for batch in loader.read_batches(shards, net.frames, net.classes, plan, threads, device):
        samples, mean = batch.plan.samples, torch.zeros(BATCH, net.classes, device=device)
        frames = batch.frames.to(device, non_blocking=True)  # uint8 B×T×H×W×3
        for x in fixed_views(frames, net.size, net.crop, passes) if len(samples) else ():
            with autocast(device, precision):
                logits = net(x)  # B×K
            mean[: len(samples)] += F.softmax(logits.float(), dim=1) / passes
        mean = distributed.all_gather(mean)
        yield mean[: total - batch.plan.step * BATCH * ranks].cpu().numpy()
    net.train()


def validate(net, shards: Shards, precision: str, threads: int) -> tuple[float, float]:
    """Cross-entropy and Hit@1 on the clips of a split, one central pass each; nan without clips."""
    if not len(shards):
        return float("nan"), float("nan")
    found = probabilities(net, shards, precision, threads, passes=1)
    return loss_and_hit1(found, clip_index(shards)["labels"])


def loss_and_hit1(
    found: Iterable[np.ndarray], labels: pa.Array | pa.ChunkedArray
) -> tuple[float, float]:
    """Cross-entropy and Hit@1 of the probabilities of all samples, which come part by part."""
    losses, hits, done = [], [], 0
    for part in found:
        own = labels.slice(done, len(part)).to_pylist()
        targets = loader.soft_targets(own, part.shape[1])
        losses.append(-(targets * np.log(np.maximum(part, 1e-12))).sum(axis=1))
        hits.append(metrics.hits(part, own, 1))
        done += len(part)
    return float(np.concatenate(losses).mean()), float(np.concatenate(hits).mean())


def write_predictions(
    run: runs.Run, name: str, index: pa.Table, classes: int, found: Iterable[np.ndarray]
) -> None:
    """Write `predictions/<name>.npy` and `<name>.parquet` of a run.

    `index` has a row a sample (see `clip_index`); `found` are its probabilities, part by part.
    Under `torchrun` every process makes this call and the first one writes.
    """
    target = run.path / "predictions" / f"{name}.npy"
    if distributed.rank_and_ranks()[0]:
        for _ in found:  # the processes compute together
            pass
        return
    progress = Progress(f"scoring {name} clips", len(index), "clips")
    write_array(target, (len(index), classes), progress.over(found))
    with atomic(target.with_suffix(".parquet")) as temporary:
        pq.write_table(index, temporary)


def clip_index(shards: Shards) -> pa.Table:
    """A row for every clip of a split: video, clip, start and labels."""
    columns = ["video", "clip", "start", "labels"]
    return pa.concat_tables(shards.index(s).select(columns) for s in range(len(shards.counts)))


def load_predictions(run: runs.Run, split: str = "test") -> Predictions:
    """The saved predictions of a run on a split of its dataset."""
    folder = run.path / "predictions"
    if not (folder / f"{split}.parquet").is_file():
        raise FileNotFoundError(f"run {run.name!r} has no predictions on {split!r}; finish it")
    index = pq.read_table(folder / f"{split}.parquet")
    found = np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False)
    ids = index["video"].combine_chunks()
    first = np.append(True, pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)))
    videos = index.filter(pa.array(first)).select(["video", "labels"]).to_pydict()
    number, clip = np.cumsum(first) - 1, index["clip"].to_numpy()
    return Predictions(found, number, clip, videos["video"], videos["labels"])


class _Mean:
    """The mean of N×K arrays, computed for the rows that are read and no others.

    It stands in for an array in `Predictions`.
    """

    def __init__(self, arrays: Sequence[np.ndarray]):
        self.arrays, self.shape, self.dtype = arrays, arrays[0].shape, arrays[0].dtype

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, rows) -> np.ndarray:
        total = sum(array[rows].astype(float) for array in self.arrays)
        return (total / len(self.arrays)).astype(self.dtype)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype)


def average(several: Sequence[runs.Run]) -> Predictions:
    """The mean of several runs on the test clips, one by one (§4.1: CNN average).

    Means are computed as their rows are read, so that `parts` needs the memory of one run. Raises
    ValueError unless all runs have the same classes and were tested on the same clips.
    """
    if not several:
        raise ValueError("no run to average")
    saved = [load_predictions(run) for run in several]
    indexes = [pq.read_table(run.path / "predictions" / "test.parquet") for run in several]
    first, clips = several[0], indexes[0]
    for run, index in zip(several, indexes, strict=True):
        both = f"{run.name!r} cannot be averaged with {first.name!r}: "
        if run.labels != first.labels:
            lists = f"it has {len(run.labels):,} classes, the other {len(first.labels):,}"
            raise ValueError(f"{both}{lists}, and the lists differ")
        if len(index) != len(clips):
            counts = f"it was tested on {len(index):,} clips, the other on {len(clips):,}"
            raise ValueError(both + counts)
        if not index.equals(clips):
            raise ValueError(f"{both}they were tested on other clips, or in another order")
    mean: Any = _Mean([p.clip_probabilities for p in saved])
    return saved[0]._replace(clip_probabilities=mean)


def aligned(found: Sequence[Predictions]) -> tuple[Predictions, ...]:
    """Predictions on the same videos, with the same clips.

    Where some have one row a video (those of histograms), every clip gets its video's row.
    """
    most = max(found, key=lambda p: len(p.clip_video))
    return tuple(
        p
        if len(p.clip_video) == len(most.clip_video)
        else p._replace(
            clip_probabilities=p.video_probabilities[most.clip_video],
            clip_video=most.clip_video,
            clip_number=most.clip_number,
        )
        for p in found
    )


def count_hits(saved: Predictions) -> np.ndarray:
    """V×3×2: of each video the correct clips and how many clips it has;
    whether it is a hit at 1, and 1; whether it is a hit at 5, and 1."""
    counts = []
    for part in saved.parts():
        means, n = part.video_probabilities, len(part.ids)
        correct = metrics.hits(part.clip_probabilities, part.clip_labels, 1)
        right = [np.bincount(part.clip_video, correct, n)]
        right += [metrics.hits(means, part.labels, k) for k in (1, 5)]
        all_of = [np.bincount(part.clip_video, minlength=n), np.ones(n), np.ones(n)]
        counts.append(np.array([right, all_of]).T)
    return np.concatenate(counts)


def scores(run: runs.Run, folder: Path) -> dict:
    """The numbers of `results.json` that the saved test predictions give (§4)."""
    saved = load_predictions(run)
    right, all_of = count_hits(saved).sum(axis=0).T
    clip_hit1, video_hit1, video_hit5 = (right / all_of).tolist()
    unread = (pc.field("split") == "test") & (pc.field("status") != "ok")
    status = pq.read_table(folder / "clips" / "status.parquet", filters=unread)
    return {
        "clip_hit1": clip_hit1,
        "video_hit1": video_hit1,
        "video_hit5": video_hit5,
        "largest_class": metrics.largest_class(saved.labels),
        "clips": len(saved.clip_video),
        "videos": len(saved.ids),
        "videos_missing": len(status),
    }


def write_results(run: runs.Run, net, folder: Path, epoch: int, state: dict, more: dict) -> None:
    """Write `results.json`, with which a run is finished.

    `epoch` is the best one. Of the training, `state` has the `seconds`, those `waited` for data and
    the `clips` trained on. `more` joins the results, or replaces some.
    """
    settings, machine, seconds = run.config["settings"], run.config["machine"], state["seconds"]
    results = {
        "model": settings["model"],
        "data": settings["data"],
        "classes": len(run.labels),
        "seed": settings["seed"],
        "parameters": sum(p.numel() for p in net.parameters()),
        **scores(run, folder),
        "epoch": epoch,
        "seconds": round(seconds, 3),
        "train_clips_per_second": round(state["clips"] / seconds, 1),
        "data_wait": round(state["waited"] / seconds, 4),
        **{key: machine[key] for key in ("precision", "threads", "version", "commit")},
    }
    write_json(run.path / "results.json", results | more, **runs.JSON)


def predict_videos(run: runs.Run | str, paths: Iterable[str | Path], n: int = CLIPS):
    """Label new videos: a DataFrame with a row a path: path, status, label1…5, probability1…5.

    Up to `n` clips of each are scored as test clips are. A video that cannot be read has a row too,
    with the reason as its status.
    """
    import pandas as pd

    run = run if isinstance(run, runs.Run) else runs.load_run(run)
    return pd.DataFrame(_label(run, list(paths), n), columns=_columns(run))


def write_labels(run: runs.Run, paths: Sequence[Path], out: Path) -> dict[Path, dict[str, str]]:
    """Label new videos into a CSV as they are read; a row (its cells as text) for each path.

    The columns are those of `predict_videos`. Repeated after an interruption, it labels what is
    missing; files that joined since get their rows at the end. A hidden folder beside the CSV
    records the weights and the files (path, size, time of change) behind its rows.

    Raises OSError before any work, unless `out` is new, or of these files and weights.
    """
    runs.network_facts(run)
    if os.path.isdir(out):
        raise IsADirectoryError(f"{path_text(out)} is a folder; --out takes the name of a CSV")
    if not os.path.isdir(out.parent):
        raise FileNotFoundError(f"there is no folder for {path_text(out)}; make it first")
    record = out.with_name(f".{short_name(out)}") / "inputs.json"
    fresh = not os.path.exists(out) or os.path.isfile(out) and not os.path.getsize(out)
    if not fresh and not (os.path.isfile(out) and record.is_file()):
        raise _taken(out, "is there already")
    with _writing(out):
        record.parent.mkdir(exist_ok=True)
        open(out, "ab").close()
    with exclusive(record.parent):
        order, done = _resume(run, paths, out, record)
        new = _label(run, order[len(done) :], CLIPS, len(done)) if len(done) < len(order) else ()
        for row in new:
            cells = [row.get(column, "") for column in _columns(run)]
            done.append([c if isinstance(c, str) else f"{c:.6f}" for c in cells])
            _append(out, done[-1])
    named = (dict(zip(_columns(run), row, strict=True)) for row in done)
    return dict(zip(order, named, strict=True))


def score_by_folders(run: runs.Run, folder: Path, rows: dict[Path, dict[str, str]]) -> str:
    """A sentence: video Hit@1 of the readable videos in folders named as classes of the run.

    `rows` are those of `write_labels`. The class of a video is the folder directly below `folder`,
    or below that (of a split). Empty where no folder bears a class's name.
    """
    own = {_class_name(label): label for label in run.labels}
    right, counts, others = 0, Counter[str](), 0
    for path, row in rows.items():
        parts = [_class_name(part) for part in path.relative_to(folder).parts[:-1][:2]]
        label = next((own[part] for part in parts if part in own), None)
        if row["status"] != "ok" or label is None:
            others += row["status"] == "ok"
            continue
        counts[label] += 1
        # as in `metrics.hits`, a tie counts against the network
        right += row["label1"] == label and row["probability1"] != row.get("probability2")
    if not (n := counts.total()):
        return ""
    largest, most = counts.most_common(1)[0]
    aside = f" · not scored: {others:,} in other folders" if others else ""
    if seen := len(_training_videos(run) & {str(path.resolve()) for path in rows}):
        aside += f" · {seen:,} of them were trained on, so the score is too high"
    return (
        f"video Hit@1 {right / n:.1%} · chance {1 / len(own):.1%} · always the largest class "
        f"({largest}) {most / n:.1%} · on {n:,} readable videos in folders of {len(counts):,} of "
        f"{len(own):,} classes{aside}"
    )


def _training_videos(run: runs.Run) -> set[str]:
    """The paths of the videos of the training split of a run's dataset, if that is here."""
    folder = places.dataset(run.config["settings"]["data"])
    if not (folder / "catalog.parquet").is_file():
        return set()
    df = catalog.load_catalog(folder)
    train = df["path"][df["split"] == "train"].dropna()
    return {str((folder / path).resolve()) for path in train if not places.is_url(path)}


def short_name(path: Path) -> str:
    """The stem of a path, cut to 100 bytes of printable text, and 8 hex of the whole path."""
    stem = os.fsencode(path.resolve().stem)[:100].decode("utf-8", "ignore")
    return f"{catalog.one_line(stem)}-{fingerprint(path=path_text(path.resolve()))[:8]}"


def _class_name(text: str) -> str:
    return unicodedata.normalize("NFC", catalog.one_line(text))


def _columns(run: runs.Run) -> list[str]:
    numbers = range(1, min(5, len(run.labels)) + 1)
    return ["path", "status", *(f"{c}{i}" for i in numbers for c in ("label", "probability"))]


def _label(
    run: runs.Run, paths: Sequence[str | Path], n: int, done: int = 0
) -> Iterator[dict[str, str | float]]:
    """The row of each path, in order; `done` others were labelled before."""
    device = distributed.alone().device
    precision = "bf16" if system.has_bf16(device.type) else "fp32"
    net = runs.load_network(run).to(device)
    progress = Progress("labelling", done + len(paths), "videos", done)
    for path in paths:
        name = path_text(path)
        row: dict[str, str | float] = {"path": name, "status": "ok"}
        try:
            with _readable_name(Path(path)) as readable:
                mean = _score(net, readable, n, device, precision, path_text(Path(path).name))
            best = np.argsort(-mean, kind="stable")[:5]
            row |= {f"label{i}": run.labels[k] for i, k in enumerate(best, 1)}
            row |= {f"probability{i}": float(mean[k]) for i, k in enumerate(best, 1)}
        except container.VideoError as error:
            row["status"] = error.reason
        except Exception as error:  # one strange file must not lose the labels of all others
            row["status"] = "error"
            print(f"{name}: {type(error).__name__}: {error}")
        yield row
        progress.update()


def _resume(
    run: runs.Run, paths: Sequence[Path], out: Path, record: Path
) -> tuple[list[Path], list[list[str]]]:
    """All paths in the order of the CSV, and its complete rows; half a row at its end is dropped.

    Raises FileExistsError if rows are of other weights or files, or were edited.
    """
    data, weights = out.read_bytes(), runs.weights_digest(run)
    lines = list(csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline="")))
    if lines and (data[-1:] != b"\n" or len(lines[-1]) != len(_columns(run))):
        lines.pop()
    kept = "".join(map(_csv_line, lines)).encode()
    before = json.loads(record.read_text("utf-8")) if lines else {"weights": weights, "files": []}
    now = {_stamp(path): path for path in paths}
    stamps = [tuple(stamp) for stamp in before["files"][: max(0, len(lines) - 1)]]
    header, *rows = lines or [_columns(run)]
    if before["weights"] != weights:
        raise _taken(out, "holds labels by other weights")
    if header != _columns(run) or not data.startswith(kept) or len(rows) != len(stamps):
        raise _taken(out, "was edited")
    for stamp in stamps:
        if stamp not in now:
            raise _taken(out, f"holds a label of {stamp[0]}, which is not there or has changed")
    order = list(dict.fromkeys([*stamps, *now]))
    with _writing(out):
        write_json(record, {"weights": weights, "files": order})
        if len(kept) < len(data):
            os.truncate(out, len(kept))
    if not lines:
        _append(out, _columns(run))
    return [now[stamp] for stamp in order], rows


def _stamp(path: Path) -> tuple[str, int, int]:
    """Name, size and time of change of a file: another file or an edit gives another stamp."""
    name = path_text(path.parent.resolve() / path.name)
    try:
        about = path.stat()
    except OSError:  # such as a link to nothing, whose row will say so
        return name, -1, -1
    return name, about.st_size, about.st_mtime_ns


def _append(out: Path, cells: list[str]) -> None:
    with _writing(out), open(out, "ab") as file:
        file.write(_csv_line(cells).encode())


def _csv_line(cells: list[str]) -> str:
    csv.writer(text := io.StringIO(), lineterminator="\n").writerow(cells)
    return text.getvalue()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = container.error_line(error)
        raise OSError(
            f"{path_text(out)} cannot be written ({why}); name another file with --out"
        ) from None


def _taken(out: Path, why: str) -> FileExistsError:
    return FileExistsError(f"{path_text(out)} {why}; remove it, or name another file with --out")


def path_text(path: str | Path) -> str:
    r"""A file's name as text for a table; bytes that are no UTF-8 become `\xff`, a return `\r`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\r", r"\r")


@contextmanager
def _readable_name(path: Path) -> Iterator[Path]:
    """The path, or a link to it where its name is not UTF-8, which no decoder opens."""
    if not re.search(r"[\ud800-\udfff]", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"video{path.suffix}"
        link.symlink_to(path.absolute())
        yield link


@torch.no_grad()
def _score(net, path: Path, n: int, device, precision: str, key: str) -> np.ndarray:
    """The class probabilities (K) of one video file; `key` governs the places of its clips."""
    side, total, passes = stored_side(net.size), np.zeros(net.classes, np.float32), 0
    info = reader.probe(path)
    starts = reader.starts(info.duration, n, key)
    if not starts:
        raise container.VideoError("too short", f"{info.duration:.2f} s")
    for clip in reader.segments(path, starts, size=(side, side), info=info):
        frames = torch.from_numpy(clip[None, list(net.frames)]).to(device)  # 1×T×H×W×3
        for x in fixed_views(frames, net.size, net.crop):
            with autocast(device, precision):
                logits = net(x)  # 1×K
            total = total + F.softmax(logits[0].float(), dim=0).cpu().numpy()
            passes += 1
    return total / passes
