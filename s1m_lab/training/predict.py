"""Predictions of a run on its dataset: made, saved, loaded, averaged and scored.

    predictions = load_predictions(run)            # of a finished run, on the test split
    predictions.video_probabilities                # videos × classes

§4: a test clip passes through the network four times (two crops × two flips) and its class
probabilities are averaged. Those of a video are the mean over its clips.

A run's folder holds `predictions/<split>.npy` (clips×classes) and `<split>.parquet` (the video and
labels of each clip). They are written and scored in parts, so that memory does not grow with the
number of clips. Every run on a dataset is tested on the same clips in the same order.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F

from s1m_lab.common.files import atomic, reading, record, write_array, write_json
from s1m_lab.common.progress import Progress
from s1m_lab.data import loader
from s1m_lab.data.augment import cut, resize, stored_side
from s1m_lab.data.shards import Shards, read_statuses
from s1m_lab.training import distributed, metrics, runs

BATCH = 64  # clips in a batch
PASSES = 4  # §4: views of a test clip, two crops × two flips
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
    net, reader: loader.ClipReader, precision: str, passes: int
) -> Iterator[np.ndarray]:
    """The class probabilities of all clips of a split, in order: float32 B×K at a time.

    Under `torchrun` the processes take turns at the batches, and every process gets all results.
    """
    rank, ranks = distributed.rank_and_ranks()
    device, total = net.scale.device, len(reader)
    starts = range(0, total, BATCH * ranks)  # of every turn
    mine = [np.arange(total)[start + rank * BATCH :][:BATCH] for start in starts]
    plan = [loader.Plan(step, 0, samples, samples) for step, samples in enumerate(mine)]
    net.eval()
    for batch in reader.batches(plan):
        samples, mean = batch.plan.samples, torch.zeros(BATCH, net.classes, device=device)
        frames = batch.frames.to(device, non_blocking=True)  # uint8 B×T×H×W×3
        for x in fixed_views(frames, net.size, net.crop, passes) if len(samples) else ():
            with autocast(device, precision):
                logits = net(x)  # B×K
            mean[: len(samples)] += F.softmax(logits.float(), dim=1) / passes
        mean = distributed.all_gather(mean)
        yield mean[: total - batch.plan.step * BATCH * ranks].cpu().numpy()
    net.train()


def validate(net, reader: loader.ClipReader, precision: str) -> tuple[float, float]:
    """Cross-entropy and Hit@1 on the clips of a split, one central pass each; nan without clips."""
    if not len(reader):
        return float("nan"), float("nan")
    found = probabilities(net, reader, precision, passes=1)
    return loss_and_hit1(found, clip_index(reader.shards)["labels"])


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
    write_array(target, (len(index), classes), progress.over(_finite(found)))
    with atomic(target.with_suffix(".parquet"), record=True) as temporary:
        pq.write_table(index, temporary)


def _finite(found: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for part in found:
        if not np.isfinite(part).all():
            raise FloatingPointError(
                "the network's probabilities are not finite; its training diverged"
            )
        yield part


def clip_index(shards: Shards) -> pa.Table:
    """A row for every clip of a split: video, clip, start and labels."""
    columns = ["video", "clip", "start", "labels"]
    return pa.concat_tables(shards.index(s).select(columns) for s in range(len(shards.counts)))


def load_predictions(run: runs.Run, split: str = "test") -> Predictions:
    """The saved predictions of a run on a split of its dataset."""
    path, index = run.path / "predictions" / f"{split}.npy", _read_index(run, split)
    with reading(path, run.again, aside=True):
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(found) != len(index):
            raise ValueError(f"it has {len(found):,} rows, and {split}.parquet {len(index):,}")
    ids = index["video"].combine_chunks()
    first = np.append(True, pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)))
    videos = index.filter(pa.array(first)).select(["video", "labels"]).to_pydict()
    number, clip = np.cumsum(first) - 1, index["clip"].to_numpy()
    return Predictions(found, number, clip, videos["video"], videos["labels"])


def _read_index(run: runs.Run, split: str) -> pa.Table:
    """The rows of `clip_index` that the predictions of a run are of."""
    path = run.path / "predictions" / f"{split}.parquet"
    with reading(path, run.again, aside=True):
        return pq.read_table(path)


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
    indexes = [_read_index(run, "test") for run in several]
    first, clips = several[0], indexes[0]
    for run, index in zip(several, indexes, strict=True):
        both = f"{run.name!r} cannot be averaged with {first.name!r}: "
        if run.labels != first.labels:
            raise ValueError(f"{both}their lists of classes differ")
        if not index.equals(clips):
            counts = f"it on {len(index):,} clips, the other on {len(clips):,}"
            raise ValueError(
                f"{both}they were tested on other clips, or in another order ({counts})"
            )
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
    status = read_statuses(folder, ["split"], unread)
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
    record(run.path / "metrics.csv")  # it is complete
    write_json(run.path / "results.json", results | more, **runs.JSON)
