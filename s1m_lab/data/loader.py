"""From stored shards to batches of clips, in an order that can be computed from anywhere.

    plan = plan_batches(shards.counts, batch_size=32, seed=0, epochs=5)
    reader = ClipReader(shards, net.frames, classes, threads, device)
    reader.hold(np.arange(len(shards)))             # for many passes: decoded once, where they fit
    for batch in reader.batches(plan):
        batch.frames, batch.targets                      # uint8 b×T×H×W×3, float32 b×classes
    Clips(shards, net.frames, classes, threads).take([0, 7])     # some clips, as one batch

The order is a function of (seed, epoch), never of worker, rank or history. One process or four,
fresh or resumed, see the same clips in the same global batches. The order has two levels, shards
and then clips within a window of shards: random enough to train on, and read almost sequentially.
Frames travel as uint8; `augment` turns them into a network's input on the device.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from s1m_lab.common import system
from s1m_lab.common.progress import Progress
from s1m_lab.data import augment
from s1m_lab.data.keyed_random import (
    CLIP_ORDER,
    EXAMPLES,
    FEW_VIDEOS,
    SHARD_ORDER,
    keyed_permutation,
    keyed_uniform,
)

WINDOW = 16  # shards mixed at a time
PART = 64  # clips decoded at a time
CANDIDATES = 9  # clips of a class from which its example is chosen


class Plan(NamedTuple):
    """The clips that one process loads for one step."""

    step: int
    epoch: int
    rows: np.ndarray  # places in the global batch
    samples: np.ndarray  # clip numbers in the split


class Batch(NamedTuple):
    plan: Plan
    frames: Tensor  # uint8 b×T×H×W×3
    targets: Tensor  # float32 b×classes, each row summing to 1


def plan_batches(
    counts: np.ndarray,
    batch_size: int,
    seed: int,
    epochs: int,
    start: int = 0,
    rank: int = 0,
    ranks: int = 1,
    window: int = WINDOW,
) -> Iterator[Plan]:
    """The plan of every step from `start` on, for one of `ranks` processes.

    `counts` are the clips of each shard. An epoch has `sum(counts) // batch_size` steps. The few
    clips left over differ from epoch to epoch. Resuming only reads the windows' sizes.
    """
    firsts = np.cumsum(counts) - counts
    steps = int(np.sum(counts)) // batch_size
    rows = np.array_split(np.arange(batch_size), ranks)[rank]
    for epoch in range(start // steps, epochs):
        step = max(start, epoch * steps)
        skip = (step - epoch * steps) * batch_size
        waiting = np.empty(0, np.int64)
        order = keyed_permutation(len(counts), seed, epoch, SHARD_ORDER)
        for w in range(0, len(order), window):
            shards = order[w : w + window]
            size = int(np.sum(counts[shards]))
            if skip >= size:
                skip -= size
                continue
            clips = np.concatenate([firsts[s] + np.arange(counts[s]) for s in shards])
            clips = clips[keyed_permutation(size, seed, epoch, CLIP_ORDER, w)][skip:]
            skip, waiting = 0, np.concatenate([waiting, clips])
            while len(waiting) >= batch_size:
                yield Plan(step, epoch, rows, waiting[:batch_size][rows])
                step, waiting = step + 1, waiting[batch_size:]


def choose_few(shards, videos_per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The clips of so many videos a class: their numbers, and how many lie in each shard.

    0 chooses every clip. The videos are a function of `seed`: those of two a class are among those
    of five. A video of several labels counts for its first.
    """
    import pandas as pd  # not above: the loader needs torch and numpy alone
    import pyarrow as pa
    import pyarrow.compute as pc

    if not videos_per_class or not len(shards):
        return np.arange(len(shards)), shards.counts
    clips = pa.concat_tables([shards.index(s) for s in range(len(shards.counts))])
    label = pc.list_element(clips["labels"], 0)
    df = pd.DataFrame({"video": clips["video"].to_pandas(), "label": label.to_pandas()})
    videos = df.drop_duplicates("video")  # each with the number of its first clip
    videos = videos.assign(rank=keyed_uniform(seed, FEW_VIDEOS, videos.index.to_numpy()))
    chosen = videos.sort_values("rank").groupby("label").head(videos_per_class)
    is_chosen = df["video"].isin(chosen["video"]).to_numpy()
    counts = [part.sum() for part in np.split(is_chosen, np.cumsum(shards.counts)[:-1])]
    return np.flatnonzero(is_chosen), np.array(counts)


def soft_targets(labels: Sequence[Sequence[int]], classes: int) -> np.ndarray:
    """The targets of N samples: float64 N×classes, an equal share on each true label.

    The paper is silent on several labels. Equal shares reward every
    true label, and a sample weighs the same however many it has.
    """
    targets = np.zeros((len(labels), classes))
    for row, own in zip(targets, labels, strict=True):
        row[list(own)] = 1 / len(own)
    return targets


class Clips(torch.utils.data.Dataset):
    """The stored clips of a split as batches: `clips[plan]` reads and decodes a whole Batch."""

    def __init__(self, shards, frames: Sequence[int], classes: int, threads: int):
        self.shards, self.frames, self.classes, self.threads = shards, frames, classes, threads
        self.last = np.cumsum(shards.counts)
        self.pool: ThreadPoolExecutor | None = None

    def take(self, samples: Sequence[int]) -> Batch:
        """The clips of these numbers, in this order."""
        return self[Plan(0, 0, np.arange(len(samples)), np.asarray(samples, int))]

    def __getitem__(self, plan: Plan) -> Batch:
        if self.pool is None:  # threads do not survive the fork of a loader's worker
            self.pool = ThreadPoolExecutor(self.threads)
        shard = np.searchsorted(self.last, plan.samples, side="right")
        row = plan.samples - (self.last - self.shards.counts)[shard]
        labels: list[Sequence[int]] = [()] * len(row)
        for s in np.unique(shard):  # this reads a shard's index once, before the threads need it
            places = np.flatnonzero(shard == s)
            for place, own in zip(places, self.shards.labels(s, row[places]), strict=True):
                labels[place] = own
        targets = soft_targets(labels, self.classes).astype(np.float32)
        size = (len(row), len(self.frames), self.shards.height, self.shards.width, 3)
        frames = np.empty(size, np.uint8)
        read = self.pool.map(self.shards.read_into, frames, shard, row, repeat(self.frames))
        list(read)  # waits, and raises the error of a thread
        return Batch(plan, torch.from_numpy(frames), torch.from_numpy(targets))

    def __getstate__(self):
        return self.__dict__ | {"pool": None}


class ClipReader:
    """Batches of a split's stored clips, read with no more than `threads` threads.

    Clips that are held (`hold`) come on the device. Others are decoded for every batch and come in
    the memory of the host. For a GPU, processes read ahead. For the CPU this process reads, since
    training takes every core anyway.
    """

    def __init__(
        self, shards, frames: Sequence[int], classes: int, threads: int, device: torch.device
    ):
        gpu = device.type == "cuda"
        self.shards, self.device = shards, torch.empty(0, device=device).device  # with its number
        self.workers = max(1, threads - 1) if gpu else 0
        self.clips = Clips(shards, frames, classes, 1 if gpu else threads)
        self.samples: np.ndarray | None = None  # those that are held
        self.held: tuple[Tensor, ...] = ()  # their frames and targets

    def __len__(self) -> int:
        return len(self.shards)

    def hold(self, samples: np.ndarray, quiet: bool = False) -> None:
        """Decode the clips of these numbers (ascending) once, if there is memory for them.

        They are held as bytes on the device, if they take at most an eighth of its free memory.
        Otherwise they are held in the host's memory by the same rule, or not at all. Under
        `torchrun` every process holds them all. Progress is printed unless `quiet`.
        """
        clips, device = self.clips, self.device.type
        size = (len(samples), len(clips.frames), self.shards.height, self.shards.width, 3)
        count = prod(size)
        needs = {"cpu": 1 << (count - 1).bit_length()} | {device: count}  # powers of two are pinned
        places = (d for d in (device, "cpu") if needs[d] <= system.free_memory(d) // 8)
        if not (place := next(places, "")):
            return
        pinned = place != device  # a copy to the GPU then waits for nothing
        where = "cpu" if pinned else self.device
        frames = torch.empty(size, dtype=torch.uint8, device=where, pin_memory=pinned)
        targets = torch.empty(len(samples), clips.classes, device=where, pin_memory=pinned)
        progress = Progress(f"decoding {self.shards.split} clips", len(samples), "clips")
        parts = [slice(first, first + PART) for first in range(0, len(samples), PART)]
        plan = (Plan(0, 0, samples[part], samples[part]) for part in parts)
        for part, batch in zip(parts, self.batches(plan), strict=True):
            frames[part], targets[part] = batch.frames, batch.targets
            if not quiet:
                progress.update(len(batch.frames))
        self.samples, self.held = samples, (frames, targets)

    def release(self) -> None:
        """Hold no clips any more."""
        self.samples, self.held = None, ()

    def batches(self, plan: Iterable[Plan]) -> Iterator[Batch]:
        """Batches in the order of `plan`."""
        if self.samples is None:
            yield from torch.utils.data.DataLoader(
                self.clips,
                sampler=plan,
                batch_size=None,
                collate_fn=_unchanged,
                num_workers=self.workers,
                pin_memory=self.workers > 0,
            )
            return
        for each in plan:
            rows = torch.from_numpy(np.searchsorted(self.samples, each.samples))
            yield Batch(each, *(_take(whole, rows, self.device) for whole in self.held))


def _take(whole: Tensor, rows: Tensor, device: torch.device) -> Tensor:
    """Rows of a tensor on the device, without waiting for a GPU."""
    if whole.device == device:
        return whole.index_select(0, augment.send(rows, device))
    out = torch.empty(len(rows), *whole.shape[1:], dtype=whole.dtype, device=device)
    for into, row in zip(out, rows.tolist(), strict=True):  # from pinned memory
        into.copy_(whole[row], non_blocking=True)
    return out


def _unchanged(batch):
    return batch


def example_clips(
    shards, seed: int = 0, most_shards: int = WINDOW, frames: Sequence[int] = ()
) -> dict[int, np.ndarray]:
    """A typical clip of each class, by label: uint8 T×H×W×3, whole or those `frames` of it.

    Of up to `CANDIDATES` clips of a class, it is the one whose first, middle and last frame have
    the most usual mean colours. That leaves out most clips that show something else or are cut. It
    considers at most `most_shards` shards, and clips of a single label if there are any. A class
    without such clips is left out.
    """
    candidates: dict[int, list[tuple[int, int]]] = {}
    several: dict[int, list[tuple[int, int]]] = {}
    for shard in keyed_permutation(len(shards.counts), seed, EXAMPLES)[:most_shards]:
        rows = keyed_permutation(shards.counts[shard], seed, EXAMPLES, shard)
        for row, own in zip(rows, shards.labels(shard, rows), strict=True):
            for label in own:
                kind = candidates if len(own) == 1 else several
                if len(some := kind.setdefault(label, [])) < CANDIDATES:
                    some.append((shard, row))
    candidates = candidates or several
    found, T = {}, shards.frames
    for label, some in sorted(candidates.items()):
        ends = [shards.read(s, [row], [0, T // 2, T - 1])[0] for s, row in some]
        means = np.stack([clip.mean((1, 2)) for clip in ends])
        s, row = some[np.abs(means[:, None] - means).sum((1, 2, 3)).argmin()]
        found[label] = shards.read(s, [row], frames or range(T))[0]
    return found
