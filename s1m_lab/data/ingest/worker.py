"""Cut one shard: clips cut from its videos or copied from older shards, and a status per video.

    name, stem, videos = cut_shard(job)     # in a worker process; `job` is plain data

`cut_shard` writes `train-00000-1a2b3c4d.tar`, then the side file `train-00000-1a2b3c4d.parquet`.
The side file holds the shard's part of the index. Its metadata holds fingerprints of all that was
requested (`inputs`) and of what a clip's pixels depend on (`cut`), the state of every video's file
(`sources`), and `statuses`. The hex digits depend on the content, so no shard is ever overwritten:
an old pair of files stays complete until it is removed.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s1m_lab.common.files import (
    Damaged,
    exclusive,
    file_digest,
    fingerprint,
    has_its_digest,
    is_full,
    naming_full_disk,
    temporary_folder,
)
from s1m_lab.common.storage import Store
from s1m_lab.data import locate, shards
from s1m_lab.data.locate import Source
from s1m_lab.data.splits import SPLITS
from s1m_lab.video import container, reader

STATUS = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("status", pa.string()),
        ("detail", pa.string()),
        ("frames", pa.int32()),
        ("duration", pa.float32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("fps", pa.float32()),
        ("codec", pa.string()),
        ("decoder", pa.string()),
        ("clips", pa.int16()),
    ]
)
SHARD = rf"(?:{'|'.join(SPLITS)})-\d{{5}}"  # the name of a job
FINAL = {"ok", "too short", "too long"}  # statuses that a retry would not change
# The most seconds for a video, its copy from elsewhere included. The clock is read between segments
# and between parts of a copy. A decoder that hangs is stopped only in a process of its own, which a
# video gets after two workers were killed while reading it (`_cut_in_child`).
SECONDS = 1800.0
CHILD = "from s1m_lab.data.ingest import worker; worker._child()"


class Video(NamedTuple):
    """One video of a job."""

    key: str  # 16 hex digits, its name inside the shard
    id: str
    labels: list[int]
    duration: float | None  # s, as the catalog says
    source: Source | None

    @property
    def state(self) -> list | None:
        """What changes with the content of its file; None if that is unknown or out of reach."""
        return self.source.state if self.source else None


@dataclass
class ShardJob:
    """All that a worker needs to cut one shard; a pure function of the catalog and the settings."""

    store: str  # folder or address of the shards
    name: str  # train-00000
    split: str
    clips: int  # segments per video
    settings: dict
    videos: list[Video]
    inputs: str  # fingerprint of all that was requested
    cut: str  # fingerprint of what a clip's pixels depend on
    retry: bool = False  # try failed videos again
    old: list[str] = field(default_factory=list)  # stems of older shards with clips of its videos

    @property
    def states(self) -> list[list | None]:
        """The state of each video's file."""
        return [video.state for video in self.videos]


def cut_shard(job: ShardJob) -> tuple[str, str, int]:
    """Write one shard and its side file; returns the job's name, their stem, how many videos.

    Raises `OSError` where the store fails. Whatever is wrong with a video becomes its status.
    """
    store = Store(job.store)
    target = Path(store.root if store.local else "", f"{job.name}.tar")
    with _exclusive_shard(store, job.name) as (folder, note), naming_full_disk(target, folder):
        old, statuses = _old_videos(job, store), list[dict]()
        tar, side_file = folder / "shard.tar", folder / "side.parquet"
        clips = _clips(job, store, old, statuses, note)
        index = shards.write(tar, clips, job.settings["quality"])
        digest = file_digest(tar)
        facts: dict = {"inputs": job.inputs, "cut": job.cut, "statuses": statuses}
        facts["sources"] = [  # as they are, or as they were when they were read
            video.state or (old[video.id].state if video.id in old else None)
            for video in job.videos
        ]
        facts |= {"sha256": digest, "bytes": tar.stat().st_size}
        pq.write_table(index.replace_schema_metadata({"s1m": json.dumps(facts)}), side_file)
        stem = f"{job.name}-{fingerprint(inputs=job.inputs, tar=digest)[:8]}"
        store.publish(tar, f"{stem}.tar")
        store.publish(side_file, f"{stem}.parquet", record=True)
    return job.name, stem, len(job.videos)


def is_current(job: ShardJob, facts: dict) -> bool:
    """Whether a shard, by its side file, is what its job would make."""
    rows = zip(job.states, facts["sources"], facts["statuses"], strict=True)
    return facts["inputs"] == job.inputs and all(
        _is_settled(now, before, row["status"], job.retry) for now, before, row in rows
    )


def _is_settled(now: list | None, before: list | None, status: str, retry: bool) -> bool:
    """Whether a video need not, or cannot, be read again, by the states of its file."""
    return now is None or (now == before and (not retry or status in FINAL))


def list_stems(sizes: dict[str, int]) -> list[str]:
    """The stems of the shards among a store's files, damaged ones too."""
    found = (re.fullmatch(rf"({SHARD}-[0-9a-f]{{8}})\.parquet", name) for name in sorted(sizes))
    stems = (match[1] for match in found if match)
    return [stem for stem in stems if {f"{stem}.tar", f"{stem}.tar.damaged"} & sizes.keys()]


def read_side_file(store: Store, stem: str) -> tuple[pa.Table, dict]:
    """A shard's part of the index, and the facts in the metadata of its side file.

    Raises Damaged where it is damaged, and then sets it aside.
    """
    name = f"{stem}.parquet"
    try:
        if store.local and not has_its_digest(Path(store.path_of(name))):
            raise ValueError("its bytes are not those that were written")
        table = pq.read_table(BytesIO(store.read(name)))
        return table, json.loads(table.schema.metadata[b"s1m"])
    except (ValueError, KeyError, TypeError) as error:  # pyarrow's are ValueErrors
        store.set_aside(name)
        where = store.path_of(name)
        raise Damaged(f"{where} is damaged ({error}); its shard is made again") from None


@contextmanager
def _exclusive_shard(store: Store, name: str) -> Iterator[tuple[Path, "ReadingNote"]]:
    """One worker at a time on a shard: a folder to work in, and the note of what is being read.

    A worker whose client has died may still be working: on a disk the next one waits. In a bucket
    both work, and write different files.
    """
    work = Path(store.root, ".work", name)
    with exclusive(work) if store.local else temporary_folder() as temporary:
        note = ReadingNote(store, name)
        try:
            yield Path(temporary or work), note
        finally:
            note.write(None)


class ReadingNote:
    """A file that names the video being read, for the next worker if this one dies.

    A video at which two workers have died is read in a process of its own. Only that shows whether
    the video killed them.
    """

    def __init__(self, store: Store, name: str):
        self.store = store
        self.name = f".work/{name}/reading" if store.local else f".work/{name}"
        try:
            before = json.loads(store.read(self.name))
        except (FileNotFoundError, ValueError):
            before = {"now": None, "deaths": []}
        self.deaths = before["deaths"] + [before["now"]] * (before["now"] is not None)

    def write(self, id: str | None) -> None:
        """Note the video that is read next; None when all are done."""
        data = json.dumps({"now": id, "deaths": self.deaths}).encode()
        if self.store.local:  # not synchronised: processes die, machines do not
            Path(self.store.path_of(self.name)).write_bytes(data)
        else:
            self.store.write(self.name, data)

    def is_suspect(self, id: str) -> bool:
        """Whether two workers have died at this video."""
        return self.deaths.count(id) > 1


class OldVideo(NamedTuple):
    """What an older shard, cut with the same settings, holds of a video."""

    stem: str
    status: dict
    state: list | None  # of its file, when it was read
    clips: list[dict]  # rows of the index


def _old_videos(job: ShardJob, store: Store) -> dict[str, OldVideo]:
    """What older shards hold of a job's videos, by id; a shard with clips of it counts first."""
    found: dict[str, OldVideo] = {}
    wanted = {video.id for video in job.videos}
    for stem in job.old:
        index, facts = read_side_file(store, stem)
        if facts["cut"] != job.cut:
            continue
        clips: dict[str, list[dict]] = {}
        names = ["video", "start", "offset", "sizes", "crcs"]
        for row in index.select([n for n in names if n in index.column_names]).to_pylist():
            clips.setdefault(row["video"], []).append(row)
        for status, state in zip(facts["statuses"], facts["sources"], strict=True):
            id = status["id"]
            if id in wanted and not (id in found and found[id].status["clips"]):
                found[id] = OldVideo(stem, status, state, clips.get(id, []))
    return found


def _read_clips(store: Store, old: OldVideo) -> list[tuple[float, list[bytes]]]:
    """Start (s) and JPEG files of each clip of a video; raises Damaged where one is not sound.

    Of a shard that was set aside as damaged, the clips whose CRCs are right are sound.
    """
    found, name = [], f"{old.stem}.tar"
    for row in old.clips:
        sizes, crcs = np.array(row["sizes"]), row.get("crcs")
        offsets = shards.firsts(row["offset"], sizes)
        try:
            parts = store.read_parts(name, offsets, sizes)
        except FileNotFoundError:
            name, crcs = f"{old.stem}.tar.damaged", crcs or []
            parts = store.read_parts(name, offsets, sizes)
        if crcs is not None and list(map(zlib.crc32, parts)) != crcs:
            raise Damaged(f"{store.path_of(name)} has other bytes than were written")
        found.append((row["start"], parts))
    return found


def _clips(
    job: ShardJob, store: Store, old: dict[str, OldVideo], statuses: list[dict], note: ReadingNote
) -> Iterator[shards.Clip]:
    """The clips of a job's videos.

    The status of each is added to `statuses`; `old` loses the videos of which nothing is kept.
    """
    longest = job.settings["max_duration"] or float("inf")
    for video in job.videos:
        before = old.get(video.id)
        if before and not _is_settled(
            video.state, before.state, before.status["status"], job.retry
        ):
            before = None
        past = before.status if before else {}
        status = {"id": video.id, "split": job.split, "status": "ok", "clips": 0}
        clips: list = []
        try:
            known = video.duration or past.get("duration") or 0
            if known > longest:
                status |= {**past, "clips": 0}
                raise container.VideoError("too long", f"{known:.0f} s")
            kept = None
            if before and past["status"] != "too long":
                with suppress(Damaged):
                    kept = _read_clips(store, before)
            if kept is not None:
                status |= {**past, "split": job.split}
                clips = kept
            else:
                old.pop(video.id, None)
                note.write(video.id)
                cut = _cut_in_child if note.is_suspect(video.id) else _cut
                clips = cut(job.settings, job.clips, video.id, video.source, status)
                status["clips"] = len(clips)
        except Exception as error:  # no video may stop the work on all others
            if is_full(error):
                raise
            status |= _failure(error)
        statuses.append(status)
        for number, (start, frames) in enumerate(clips):
            yield shards.Clip(video.key, video.id, number, start, video.labels, frames)


def _failure(error: Exception) -> dict[str, str]:
    """The status of a video whose reading failed."""
    if isinstance(error, container.VideoError):
        return {"status": error.reason, "detail": error.detail}
    return {"status": "error", "detail": f"{type(error).__name__}: {error}"}


def _cut_in_child(settings: dict, clips: int, id: str, source: Source | None, status: dict) -> list:
    """What `_cut` returns, from a process of its own, which may die or hang.

    Not by `multiprocessing`: workers may have no children of that kind.
    """
    arguments = {"settings": settings, "clips": clips, "id": id, "source": source}
    request = json.dumps(arguments | {"status": status})
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    with temporary_folder() as folder:
        child = subprocess.Popen(
            # -P: nothing from this folder
            [sys.executable, "-P", "-c", CHILD, str(folder), request],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,  # stays open; the child ends when this process does
        )
        with child:
            try:
                child.wait(1.1 * SECONDS + 10)  # it reads the clock itself, unless it hangs
            except subprocess.TimeoutExpired:
                raise container.VideoError("timed out", "its decoder hangs") from None
            finally:
                child.kill()
        if child.returncode:
            raise container.VideoError("crashed", f"in a process of its own ({child.returncode})")
        with np.load(folder / "cut.npz") as cut:
            status |= json.loads(cut["status"].item())
            return list(zip(cut["starts"].tolist(), cut["frames"], strict=True))


def _child() -> None:
    """The process that `_cut_in_child` starts; writes status, starts and frames into a folder."""
    folder, request = Path(sys.argv[1]), json.loads(sys.argv[2])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    status, cut = request["status"], []
    try:
        cut = _cut(**request)
    except Exception as error:
        status |= _failure(error)
    starts, frames = [start for start, _ in cut], [frames for _, frames in cut]
    np.savez(folder / "cut.npz", starts=starts, frames=frames, status=json.dumps(status))


def _end_with_parent() -> None:
    os.read(0, 1)  # returns when the parent closes the pipe
    os._exit(1)


def _cut(settings: dict, clips: int, id: str, source: Source | None, status: dict) -> list:
    """(start, frames) of each segment of a video; facts about the video are added to `status`."""
    if source is None:
        raise container.VideoError("missing")
    end = time.monotonic() + SECONDS
    length = {"frames": settings["frames"], "fps": settings["fps"]}
    with locate.local_copy(Source(*source), SECONDS) as path:
        info = reader.probe(path)
        status |= {name: getattr(info, name) for name in STATUS.names if hasattr(info, name)}
        if info.duration > (settings["max_duration"] or float("inf")):
            raise container.VideoError("too long", f"{info.duration:.0f} s")
        starts = reader.starts(info.duration, clips, f"{settings['data_seed']}\n{id}", **length)
        if not starts:
            raise container.VideoError("too short", f"{info.duration:.2f} s")
        size, found = (settings["height"], settings["width"]), []
        if min(info.height / size[0], info.width / size[1]) != 1:
            begin = time.monotonic()
            import torch  # noqa: F401 - resizes in `reader.fit`; no video pays for its import

            end += time.monotonic() - begin
        try:
            for frames in reader.segments(path, starts, size=size, info=info, **length):
                locate.check_time(end)
                found.append(frames)  # none is used before all are read: all or nothing
        except container.VideoError as error:
            if error.reason == "corrupt":
                status["frames"] = reader.count_readable_frames(path)
                error.detail = f"after {status['frames']} frames: {error.detail}"
            raise
    if stills := sum(bool((clip == clip[0]).all()) for clip in found):
        status["detail"] = f"{stills} of {len(found)} clips hold one picture still"
    return list(zip(starts, found, strict=True))
