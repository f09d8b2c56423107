"""What each shard is to be made of: jobs as plain data, built when they are asked for.

    jobs = Jobs(df, root, settings, found)       # `found`: the source of every video, or None
    jobs[0]                                      # the job of the first shard, for `cutting.make`

The jobs of a million videos would take a gigabyte. So only the plan is held, which row of the
catalog goes into which shard; a job is built again each time.
"""

import hashlib
import math
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from s1m_lab.common.files import fingerprint
from s1m_lab.data.splits import SPLITS


class Shard(NamedTuple):
    """One shard to be."""

    name: str  # `train-00000`
    split: str
    rows: np.ndarray  # of the catalog, in the order in which it holds them


class Jobs:
    """The jobs of a catalog, a shard each, in the order of the index."""

    def __init__(
        self, df: pd.DataFrame, store: str, settings: dict, found: list, retry: bool = False
    ):
        self.store, self.settings, self.found, self.retry = store, settings, found, retry
        self.old: dict[str, list[str]] = {}  # by name: older shards that hold clips of its videos
        rows = pa.Table.from_pandas(df[["id", "labels", "duration"]], preserve_index=False)
        if pc.count_distinct(rows["id"]).as_py() < len(rows):
            raise ValueError("two videos of the catalog have the same id")
        self.rows = rows.combine_chunks()
        self.keys, self.shards = _plan(df, settings)

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, n: int) -> dict:
        name, split, rows = self.shards[n]
        clips, settings = self.settings["clips"][split], self.settings
        columns = self.rows.take(pa.array(rows)).to_pydict()
        columns["duration"] = [None if pd.isna(s) else s for s in columns["duration"]]
        named = list(map(list, zip(*columns.values(), strict=True)))  # id, labels, duration
        sources = [self.found[row] for row in rows.tolist()]
        keys = [f"{key:016x}" for key in self.keys[rows].tolist()]
        videos = [[k, *v, s] for k, v, s in zip(keys, named, sources, strict=True)]
        job = {"store": self.store, "name": name, "split": split, "clips": clips}
        job |= {"settings": settings, "videos": videos, "now": [s and s.state for s in sources]}
        job |= {"retry": self.retry, "old": self.old.get(name, [])}
        job["inputs"] = fingerprint(name=name, settings=settings, clips=clips, videos=named)
        cut = {k: value for k, value in settings.items() if k not in ("clips", "max_duration")}
        job["cut"] = fingerprint(settings=cut, clips=clips)
        return job


def clip_bytes(settings: dict) -> float:
    """About what a stored clip takes; 0.35 bytes a pixel are JPEG at quality 90."""
    return settings["frames"] * (0.35 * settings["height"] * settings["width"] + 800)


def _plan(df: pd.DataFrame, settings: dict) -> tuple[np.ndarray, list[Shard]]:
    """The key of every video (uint64), and the shards.

    A hash of (data_seed, id) says in which shard of its split a video stands, and where: a shard
    mixes classes, and a video more or less concerns one shard alone. A shard has about 8 to
    256 MB, and a split of a middling dataset about 16; their number is a power of two, so that it
    seldom changes.
    """
    seed, found = settings["data_seed"], []
    hashes = b"".join(hashlib.sha256(f"{seed}\n{id}".encode()).digest() for id in df["id"])
    hashes = np.frombuffer(hashes, ">u8").astype(np.uint64).reshape(-1, 4)
    for split in SPLITS:
        mine = np.flatnonzero((df["split"] == split).to_numpy(bool))
        if not len(mine):
            continue
        total = len(mine) * settings["clips"][split] * clip_bytes(settings)
        count = 2 ** max(0, round(math.log2(total / min(max(8e6, total / 16), 256e6))))
        number = hashes[mine, 1] % np.uint64(count)
        order = np.lexsort((*hashes[mine].T[::-1], number))
        numbers, firsts = np.unique(number[order], return_index=True)
        parts = np.split(mine[order], firsts[1:])
        for number, rows in zip(numbers.tolist(), parts, strict=True):
            found.append(Shard(f"{split}-{number:05d}", split, rows))
    return hashes[:, 0].copy(), found
