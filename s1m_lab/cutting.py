"""One shard: clips cut from its videos or copied, and a status for each.

`make(job)` runs in a worker and is given plain data alone: where the shard goes, its name, the
settings, and of each of its videos key, id, labels, duration and source. The side file
`train-00000.parquet` beside the shard holds its part of the index and, in its metadata, what it was
made of: `inputs` and `cut` (fingerprints of all that was asked for, and of what a clip's pixels
depend on), `sources` (the state of every video's file) and `statuses`.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from s1m_lab import shards, sources, stages, video
from s1m_lab.store import Store

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
FINAL = {"ok", "too short", "too long"}  # to try again would change nothing
SECONDS = 1800.0  # that a video may take, of which its copy from elsewhere


def make(job: dict) -> int:
    """Make one shard and its side file; returns the number of videos."""
    store, name = Store(job["store"]), job["name"]
    with _alone(store, name) as mark:
        old = about(store, name, store.size)
        if same(job, old):  # another worker made it, after its client had died
            return len(job["videos"])
        statuses: list[dict] = []
        with (
            store.put(f"{name}.parquet") as new_side,
            store.put(f"{name}.tar") as new_tar,
            store.here(f"{name}.tar") if old else nullcontext() as old_tar,
        ):
            kept = _Kept(job, old, side(store, name)[0] if old else None, old_tar)
            clips = _clips(job, kept, statuses, mark)
            index = shards.write(new_tar, clips, job["settings"]["quality"])
            with open(new_tar, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            facts = {"inputs": job["inputs"], "cut": job["cut"], "statuses": statuses}
            facts |= {"sources": [kept.state(n) for n in range(len(job["videos"]))]}
            facts |= {"sha256": digest, "bytes": new_tar.stat().st_size}
            metadata = {"s1m": json.dumps(facts)}
            pq.write_table(index.replace_schema_metadata(metadata), new_side)
            store.remove(f"{name}.parquet")  # it never stands beside another shard than its own
    return len(job["videos"])


def same(job: dict, about: dict | None) -> bool:
    """Whether a shard, by its side file, is what its job would make."""
    if about is None or about["inputs"] != job["inputs"]:
        return False
    if job["retry"] and any(row["status"] not in FINAL for row in about["statuses"]):
        return False
    return all(n in (None, was) for n, was in zip(job["now"], about["sources"], strict=True))


def about(store: Store, name: str, size: Callable[[str], int | None]) -> dict | None:
    """What the side file says of a shard, None unless both are whole; `size` gives that of a file,
    None where there is none."""
    try:
        facts = side(store, name)[1] if size(f"{name}.parquet") else {}
    except (OSError, pa.ArrowInvalid, KeyError):
        return None
    return facts if facts and size(f"{name}.tar") == facts["bytes"] else None


def side(store: Store, name: str) -> tuple[pa.Table, dict]:
    """A shard's part of the index, and what else its side file says."""
    table = pq.read_table(BytesIO(store.read(f"{name}.parquet")))
    return table, json.loads(table.schema.metadata[b"s1m"])


@contextmanager
def _alone(store: Store, name: str) -> Iterator[Callable]:
    """One worker at a time on a shard; gives a function that notes which video is being read.

    A worker whose client has died may still be at it: on a disk it is waited for. In a bucket both
    would end in the same bytes, and a file appears there whole.
    """
    with stages.exclusive(_scratch(store, name)) if store.local else nullcontext():
        if store.local:
            yield (_scratch(store, name) / "now").write_text
        else:
            yield lambda id: store.write(f".work/{name}", id.encode())
            store.remove(f".work/{name}")


def _scratch(store: Store, name: str) -> Path:
    return Path(store.root, ".work", name)


def without_killer(job: dict) -> dict:
    """The job again, without the video at which its worker died for the second time."""
    store = Store(job["store"])
    try:
        now = f".work/{job['name']}/now" if store.local else f".work/{job['name']}"
        last = store.read(now).decode()
    except FileNotFoundError:
        last = None
    deaths = [*job.get("deaths", []), last]
    if len(deaths) > 2 * len(job["videos"]) + 2:
        raise RuntimeError(f"the workers of {job['name']} die again and again")
    crashed = {id for id in deaths if id is not None and deaths.count(id) > 1}
    return {**job, "deaths": deaths, "crashed": sorted(crashed)}


class _Kept:
    """What of an older shard of the same name may be copied: its clips and statuses by video."""

    def __init__(self, job: dict, old: dict | None, index: pa.Table | None, tar: Path | None):
        self.job, self.tar, self.index = job, tar, index
        self.usable = old is not None and old.get("cut") == job["cut"]
        self.rows = {row["id"]: row for row in old["statuses"]} if self.usable else {}
        was = zip(self.rows, old["sources"], strict=True) if self.usable else ()
        self.was = dict(was)
        self.clips: dict[str, list[int]] = {}
        for n, id in enumerate(index["video"].to_pylist() if self.usable else ()):
            self.clips.setdefault(id, []).append(n)

    def state(self, n: int) -> list | None:
        """The state of a video's file: as it is, or as it was when its clips were cut."""
        return self.job["now"][n] or self.was.get(self.job["videos"][n][1])

    def status(self, n: int) -> dict | None:
        """The status of a video that need not be read again, else None."""
        id = self.job["videos"][n][1]
        row = self.rows.get(id)
        if row is None or self.job["now"][n] not in (None, self.was[id]):
            return None
        return None if self.job["retry"] and row["status"] not in FINAL else row

    def read(self, id: str) -> Iterator[tuple[float, list[bytes]]]:
        """Start (s) and JPEG files of each clip of a video."""
        for n in self.clips.get(id, ()):
            row = self.index.slice(n, 1).to_pylist()[0]
            with open(self.tar, "rb") as file:
                yield row["start"], shards.members(file, row["offset"], row["sizes"])


def _clips(job: dict, kept: _Kept, statuses: list[dict], mark: Callable) -> Iterator[shards.Clip]:
    """The clips of a job's videos; what became of each video is added to `statuses`."""
    for n, (key, id, labels, duration, source) in enumerate(job["videos"]):
        old = kept.status(n)
        status = {"id": id, "split": job["split"], "status": "ok", "clips": 0}
        clips: list = []
        try:
            longest = job["settings"]["max_duration"] or float("inf")
            known = duration or (old or {}).get("duration") or 0
            if known > longest:
                status = {**(old or status), "clips": 0}
                raise video.VideoError("too long", f"{known:.0f} s")
            if old is not None and old["status"] != "too long":
                status, clips = old, list(kept.read(id))
            else:
                mark(id)
                if id in job.get("crashed", ()):
                    raise video.VideoError("crashed")
                clips = _cut(job, id, source, status)
                status["clips"] = len(clips)
        except video.VideoError as error:
            status |= {"status": error.reason, "detail": error.detail}
        except Exception as error:  # no video may end the work of all others
            status |= {"status": "error", "detail": f"{type(error).__name__}: {error}"}
        statuses.append(status)
        for number, (start, frames) in enumerate(clips):
            yield shards.Clip(key, id, number, start, labels, frames)


def _cut(job: dict, id: str, source, status: dict) -> list:
    """(start, frames) of the segments of one video; what is found out of it goes into `status`."""
    if source is None:
        raise video.VideoError("missing")
    settings, end = job["settings"], time.monotonic() + SECONDS
    length = {"frames": settings["frames"], "fps": settings["fps"]}
    with sources.local(sources.Source(*source), SECONDS) as path:
        info = video.probe(path)
        status |= {name: getattr(info, name) for name in STATUS.names if hasattr(info, name)}
        if info.duration > (settings["max_duration"] or float("inf")):
            raise video.VideoError("too long", f"{info.duration:.0f} s")
        key = f"{settings['data_seed']}\n{id}"
        starts = video.starts(info.duration, job["clips"], key, **length)
        if not starts:
            raise video.VideoError("too short", f"{info.duration:.2f} s")
        size, clips = (settings["height"], settings["width"]), []
        try:
            for clip in video.segments(path, starts, size=size, info=info, **length):
                sources.in_time(end)
                clips.append(clip)  # all before any: a damaged video has no clips
        except video.VideoError as error:
            if error.reason == "corrupt":
                status["frames"] = video.readable(path)
                error.detail = f"after {status['frames']} frames: {error.detail}"
            raise
    return list(zip(starts, clips, strict=True))
