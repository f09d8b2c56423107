"""Which frames, which crop: sampling, batches and device transforms.

Randomness is a function of (seed, epoch, sample), never of worker, rank or history: every draw is a
hash of its own keys (`draw`), so that one process or four, fresh or resumed, see the same clips,
crops and flips in the same global batches. The order has two levels, shards and then samples within
a window of shards: random enough to train on, and read almost sequentially from disk.

Frames travel as uint8; `augment` crops, flips and subtracts 117 on the device, a whole batch at a
time, with one draw a clip (§3.3). Needs torch and numpy alone.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from s1m_lab.models import MEAN

WINDOW = 16  # shards mixed at a time
LOOKED = 9  # clips of a class that one to show is chosen from
SHARDS, SAMPLES, CROPS, MASKS, SHOW, FEW = range(6)  # what a draw is for: streams that never meet


def draw(*keys) -> np.ndarray:
    """Uniform uint64 numbers, a pure function of integer keys (arrays broadcast)."""
    state = np.zeros(1, np.uint64)
    for key in keys:
        key = np.asarray(key, np.int64).astype(np.uint64)
        state = (state ^ key) + np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele et al. 2014)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def shuffled(n: int, *keys) -> np.ndarray:
    """The numbers 0…n−1 in an order that is a function of the keys."""
    return np.argsort(draw(*keys, np.arange(n)), kind="stable")


class Plan(NamedTuple):
    """What one process loads for one step."""

    step: int
    epoch: int
    rows: np.ndarray  # places in the global batch
    samples: np.ndarray  # clip numbers in the split


def plans(
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

    `counts` are the clips of each shard. An epoch has `sum(counts) // batch_size` steps; the few
    clips left over are others every epoch. Resuming costs no more than the windows' sizes.
    """
    firsts = np.cumsum(counts) - counts
    steps = int(np.sum(counts)) // batch_size
    rows = np.array_split(np.arange(batch_size), ranks)[rank]
    for epoch in range(start // steps, epochs):
        step = max(start, epoch * steps)
        skip = (step - epoch * steps) * batch_size
        waiting = np.empty(0, np.int64)
        order = shuffled(len(counts), seed, epoch, SHARDS)
        for w in range(0, len(order), window):
            shards = order[w : w + window]
            size = int(np.sum(counts[shards]))
            if skip >= size:
                skip -= size
                continue
            clips = np.concatenate([firsts[s] + np.arange(counts[s]) for s in shards])
            clips = clips[shuffled(size, seed, epoch, SAMPLES, w)][skip:]
            skip, waiting = 0, np.concatenate([waiting, clips])
            while len(waiting) >= batch_size:
                yield Plan(step, epoch, rows, waiting[:batch_size][rows])
                step, waiting = step + 1, waiting[batch_size:]


def few(shards, videos: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The clips of so many videos a class: their numbers, and how many lie in each shard.

    Which videos is a function of `seed`; those of two are among those of five. A video of several
    labels stands for its first.
    """
    own = [row for s in range(len(shards.counts)) for row in _owners(shards, s)]
    first = {}  # a video is known by its first clip
    for number, (video, label) in enumerate(own):
        first.setdefault(video, (label, number))
    order = sorted(first, key=lambda video: int(draw(seed, FEW, first[video][1])[0]))
    kept, taken = set(), Counter()
    for video in order:
        taken[first[video][0]] += 1
        if taken[first[video][0]] <= videos:
            kept.add(video)
    there = np.array([video in kept for video, _ in own], bool)
    counts = [part.sum() for part in np.split(there, np.cumsum(shards.counts)[:-1])]
    return np.flatnonzero(there), np.array(counts)


def _owners(shards, shard: int) -> list[tuple[str, int]]:
    """The video of each clip of a shard, and its first label."""
    rows = shards.index(shard)
    labels = shards.labels(shard, range(len(rows)))
    return [(v, own[0]) for v, own in zip(rows["video"].to_pylist(), labels, strict=True)]


class Batch(NamedTuple):
    plan: Plan
    frames: Tensor  # uint8 b×T×H×W×3
    targets: Tensor  # float32 b×classes, each row summing to 1


class Clips(torch.utils.data.Dataset):
    """The stored clips of a split as batches: `clips[plan]` reads and decodes a whole Batch.

    A video with several true labels has an equal share of the target on each (the paper is silent;
    so the cross-entropy asks for all of them, and a clip weighs the same whatever their number).
    """

    def __init__(self, shards, frames: Sequence[int], classes: int, threads: int):
        self.shards, self.frames, self.classes, self.threads = shards, frames, classes, threads
        self.last = np.cumsum(shards.counts)
        self.pool = None

    def __getitem__(self, plan: Plan) -> Batch:
        if self.pool is None:  # threads do not survive the fork of a loader's worker
            self.pool = ThreadPoolExecutor(self.threads)
        shard = np.searchsorted(self.last, plan.samples, side="right")
        row = plan.samples - (self.last - self.shards.counts)[shard]
        size = (len(row), len(self.frames), self.shards.height, self.shards.width, 3)
        frames, targets = np.empty(size, np.uint8), np.zeros((len(row), self.classes), np.float32)
        for s in np.unique(shard):  # which reads its index once, before all threads ask for it
            places = np.flatnonzero(shard == s)
            for place, own in zip(places, self.shards.labels(s, row[places]), strict=True):
                targets[place, own] = 1 / len(own)
        list(self.pool.map(self.shards.read_into, frames, shard, row, repeat(self.frames)))
        return Batch(plan, torch.from_numpy(frames), torch.from_numpy(targets))

    def __getstate__(self):
        return self.__dict__ | {"pool": None}


def loader(clips: Clips, plan: Iterator[Plan], workers: int = 0) -> Iterator[Batch]:
    """Batches in the order of `plan`, read ahead by `workers` processes (0: by this one)."""
    return iter(
        torch.utils.data.DataLoader(
            clips,
            sampler=plan,
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            pin_memory=workers > 0 and torch.cuda.is_available(),
        )
    )


def stored_side(size: int) -> int:
    """§3.3: frames of 200×200 for crops of 170, in proportion for other sizes (132 for 112)."""
    return round(size * 200 / 170)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def crops(samples: np.ndarray, seed: int, epoch: int, size: int, crop: int) -> np.ndarray:
    """The random crop of each sample: int B×3 of top, left (pixels) and flip (0 or 1)."""
    room = stored_side(size) - crop + 1
    numbers = draw(seed, epoch, CROPS, samples[:, None], np.arange(3))
    return (numbers % np.array([room, room, 2], np.uint64)).astype(int)


def masks(seed: int, step: int, rows: np.ndarray) -> Tensor:
    """The key of each clip's dropout masks: int64, a function of its place in the global batch."""
    return torch.from_numpy(draw(seed, step, MASKS, rows).view(np.int64))


def passes(size: int, crop: int, n: int = 4) -> list[tuple[int, int, int]]:
    """The crops of a test clip (top, left, flip): 4, two crops × two flips, or 1, the centre.

    The paper says "different crops and flips"; which is silent. The two crops are the top left and
    the bottom right one, which together see every pixel that training can see.
    """
    room = stored_side(size) - crop
    if n == 1:
        return [(room // 2, room // 2, 0)]
    return [(edge, edge, flip) for edge in (0, room) for flip in (0, 1)]


def augment(frames: Tensor, places: Sequence[Sequence[int]], size: int, crop: int) -> Tensor:
    """Crop, flip and subtract 117, on the device of `frames`, a batch in one step.

    `frames`: uint8 B×T×H×W×3 as stored; `places`: top, left, flip of each clip. Frames of another
    size than `stored_side(size)` are cut to their central square and resized to it first, so that
    the field of view does not depend on `size`. Returns float B×3×T×crop×crop.
    """
    frames = _resized(frames, stored_side(size))
    cut = []
    for clip, (top, left, flip) in zip(frames, places, strict=True):
        clip = clip[:, top : top + crop, left : left + crop]
        cut.append(clip.flip(2) if flip else clip)
    x = torch.stack(cut, dim=1)  # T×B×S×S×3: the order in which the networks read
    return x.float().sub_(MEAN).permute(1, 4, 0, 2, 3)


def _resized(frames: Tensor, side: int) -> Tensor:
    B, T, H, W = frames.shape[:4]
    if (H, W) == (side, side):
        return frames
    edge = min(H, W)
    top, left = (H - edge) // 2, (W - edge) // 2
    x = frames[:, :, top : top + edge, left : left + edge].flatten(0, 1).permute(0, 3, 1, 2)
    x = x if x.device.type == "cpu" else x.float()  # a CPU resizes bytes ten times as fast
    x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    return x.permute(0, 2, 3, 1).unflatten(0, (B, T))


def one_of_each(shards, seed: int = 0) -> dict[int, np.ndarray]:
    """A whole clip of each class to look at, by label: uint8 T×H×W×3.

    Of up to `LOOKED` clips of a class the one whose first, middle and last frame have the most
    usual mean colours among them, which leaves out most that show something else or are cut. Looks
    through at most `WINDOW` shards, at clips of a single label; a class that is not among them is
    left out.
    """
    places = {}
    for shard in shuffled(len(shards.counts), seed, SHOW)[:WINDOW]:
        rows = shuffled(shards.counts[shard], seed, SHOW, shard)
        for row, own in zip(rows, shards.labels(shard, rows), strict=True):
            if len(own) == 1 and len(some := places.setdefault(own[0], [])) < LOOKED:
                some.append((shard, row))
    found, whole = {}, range(shards.frames)
    for k, some in sorted(places.items()):
        ends = [shards.read(s, [row], [0, len(whole) // 2, len(whole) - 1])[0] for s, row in some]
        means = np.stack([frames.mean((1, 2)) for frames in ends])
        s, row = some[np.abs(means[:, None] - means).sum((1, 2, 3)).argmin()]
        found[k] = shards.read(s, [row], whole)[0]
    return found
