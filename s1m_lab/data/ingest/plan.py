"""Plan the shards: which video goes into which shard, and the job that cuts each shard.

    jobs = ShardJobs(df, root, settings, sources)   # `sources`: of every video, or None
    jobs[0]                                         # the job of the first shard, for `cut_shard`

The jobs of a million videos would take a gigabyte. So only the plan is stored (which row of the
catalog goes into which shard), and a job is built each time it is needed.
"""

import hashlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from s1m_lab.common.files import fingerprint
from s1m_lab.data.ingest.worker import ShardJob, Video
from s1m_lab.data.locate import Source
from s1m_lab.data.splits import SPLITS


class PlannedShard(NamedTuple):
    """The rows of one shard."""

    name: str  # `train-00000`
    split: str
    rows: np.ndarray  # of the catalog, in the order of the shard


class ShardJobs:
    """The jobs of a catalog, one per shard, in the order of the index."""

    def __init__(
        self,
        df: pd.DataFrame,
        store: str,
        settings: dict,
        sources: list[Source | None],
        retry: bool = False,
    ):
        self.df, self.store, self.settings = df, store, settings
        self.sources, self.retry = sources, retry
        self.old: dict[str, list[str]] = {}  # by name: older shards that hold clips of its videos
        if df["id"].duplicated().any():
            raise ValueError("two videos of the catalog have the same id")
        rows = pa.Table.from_pandas(df[["id", "labels", "duration"]], preserve_index=False)
        self.rows = rows.combine_chunks()
        self.keys, self.shards = _plan(df, settings)
        # fingerprints of what the pixels of a split's clips depend on, of every job, and of all
        # jobs and the states of their videos' files
        pixels = {k: value for k, value in settings.items() if k not in ("clips", "max_duration")}
        self.cuts = {s: fingerprint(settings=pixels, clips=n) for s, n in settings["clips"].items()}
        facts = [(job.inputs, job.states) for job in self]
        self.inputs = [inputs for inputs, _ in facts]
        now = fingerprint(now=[states for _, states in facts])
        self.marks = {"work": fingerprint(inputs=self.inputs), "now": now}

    def __iter__(self) -> Iterator[ShardJob]:
        return (self[n] for n in range(len(self.shards)))

    def __getitem__(self, n: int) -> ShardJob:
        name, split, rows = self.shards[n]
        columns = self.rows.take(pa.array(rows)).to_pydict()
        columns["duration"] = [None if pd.isna(s) else s for s in columns["duration"]]
        listed = list(map(list, zip(*columns.values(), strict=True)))  # id, labels, duration
        videos = [
            Video(f"{key:016x}", id, own, duration, self.sources[row])
            for key, (id, own, duration), row in zip(
                self.keys[rows].tolist(), listed, rows, strict=True
            )
        ]
        clips = self.settings["clips"][split]
        return ShardJob(
            store=self.store,
            name=name,
            split=split,
            clips=clips,
            settings=self.settings,
            videos=videos,
            inputs=fingerprint(name=name, settings=self.settings, clips=clips, videos=listed),
            cut=self.cuts[split],
            retry=self.retry,
            old=self.old.get(name, []),
        )


def clip_bytes(settings: dict) -> float:
    """About the bytes of a stored clip; JPEG at quality 90 takes 0.35 bytes a pixel."""
    return settings["frames"] * (0.35 * settings["height"] * settings["width"] + 800)


def _plan(df: pd.DataFrame, settings: dict) -> tuple[np.ndarray, list[PlannedShard]]:
    """The key of every video (uint64), and the shards.

    A hash of (data_seed, id) decides the shard of a video within its split, and its place there.
    So a shard mixes classes, and adding or removing a video changes one shard alone. Shards have
    about 8 to 256 MB, and a split of a middling dataset about 16 shards. Their number is a power
    of two, so that it seldom changes.
    """
    seed, found = settings["data_seed"], []
    digests = b"".join(hashlib.sha256(f"{seed}\n{id}".encode()).digest() for id in df["id"])
    hashes = np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 4)
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
            found.append(PlannedShard(f"{split}-{number:05d}", split, rows))
    return hashes[:, 0].copy(), found
