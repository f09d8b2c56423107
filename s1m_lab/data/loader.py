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

import numpy as np
import torch

from s1m_lab.data import augment, keyed_random

WINDOW = 16  # shards mixed at a time
LOOKED = 9  # clips of a class that one to show is chosen from


def plans(
    counts: np.ndarray,
    batch_size: int,
    seed: int,
    epochs: int,
    start: int = 0,
    rank: int = 0,
    ranks: int = 1,
    window: int = WINDOW,
) -> Iterator[augment.Plan]:
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
        order = keyed_random.shuffled(len(counts), seed, epoch, keyed_random.SHARDS)
        for w in range(0, len(order), window):
            shards = order[w : w + window]
            size = int(np.sum(counts[shards]))
            if skip >= size:
                skip -= size
                continue
            clips = np.concatenate([firsts[s] + np.arange(counts[s]) for s in shards])
            clips = clips[keyed_random.shuffled(size, seed, epoch, keyed_random.SAMPLES, w)][skip:]
            skip, waiting = 0, np.concatenate([waiting, clips])
            while len(waiting) >= batch_size:
                yield augment.Plan(step, epoch, rows, waiting[:batch_size][rows])
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
    order = sorted(
        first, key=lambda video: int(keyed_random.draw(seed, keyed_random.FEW, first[video][1])[0])
    )
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


class Clips(torch.utils.data.Dataset):
    """The stored clips of a split as batches: `clips[plan]` reads and decodes a whole Batch.

    A video with several true labels has an equal share of the target on each (the paper is silent;
    so the cross-entropy asks for all of them, and a clip weighs the same whatever their number).
    """

    def __init__(self, shards, frames: Sequence[int], classes: int, threads: int):
        self.shards, self.frames, self.classes, self.threads = shards, frames, classes, threads
        self.last = np.cumsum(shards.counts)
        self.pool = None

    def __getitem__(self, plan: augment.Plan) -> augment.Batch:
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
        return augment.Batch(plan, torch.from_numpy(frames), torch.from_numpy(targets))

    def __getstate__(self):
        return self.__dict__ | {"pool": None}


def loader(clips: Clips, plan: Iterator[augment.Plan], workers: int = 0) -> Iterator[augment.Batch]:
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


def _as_it_is(batch: augment.Batch) -> augment.Batch:
    return batch


def one_of_each(
    shards, seed: int = 0, shards_read: int = WINDOW, frames: Sequence[int] = ()
) -> dict[int, np.ndarray]:
    """A clip of each class to look at, by label: uint8 T×H×W×3, whole or those `frames` of it.

    Of up to `LOOKED` clips of a class the one whose first, middle and last frame have the most
    usual mean colours among them, which leaves out most that show something else or are cut. Looks
    through at most `shards_read` shards, at clips of a single label; a class that is not among them
    is left out.
    """
    places = {}
    for shard in keyed_random.shuffled(len(shards.counts), seed, keyed_random.SHOW)[:shards_read]:
        rows = keyed_random.shuffled(shards.counts[shard], seed, keyed_random.SHOW, shard)
        for row, own in zip(rows, shards.labels(shard, rows), strict=True):
            if len(own) == 1 and len(some := places.setdefault(own[0], [])) < LOOKED:
                some.append((shard, row))
    found, whole = {}, range(shards.frames)
    frames = frames or whole
    for k, some in sorted(places.items()):
        ends = [shards.read(s, [row], [0, len(whole) // 2, len(whole) - 1])[0] for s, row in some]
        means = np.stack([clip.mean((1, 2)) for clip in ends])
        s, row = some[np.abs(means[:, None] - means).sum((1, 2, 3)).argmin()]
        found[k] = shards.read(s, [row], frames)[0]
    return found
