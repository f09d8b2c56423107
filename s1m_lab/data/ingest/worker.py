"""One shard: clips cut from its videos or copied, and a status for each.

`make(job)` runs in a worker and is given plain data alone: where the shard goes, its name, the
settings, of each of its videos key, id, labels, duration and source, and which older shards hold
clips of them. It writes `train-00000-1a2b3c4d.tar` and then, beside it, the side file of the same
stem in Parquet: the shard's part of the index and, in its metadata, what it was made of: `inputs`
and `cut` (fingerprints of all that was asked for, and of what a clip's pixels depend on), `sources`
(the state of every video's file) and `statuses`. The digits are of content, so that no shard is
ever written over another: an old pair is whole until nobody needs it.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s1m_lab.common.files import exclusive, fingerprint
from s1m_lab.common.storage import Store
from s1m_lab.data import locate, shards
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
SHARD = rf"(?:{'|'.join(SPLITS)})-\d{{5}}"  # the name of a job, and how its shard's begins
FINAL = {"ok", "too short", "too long"}  # to try again would change nothing
# That a video may take, its copy from elsewhere included. The clock is read between segments, and
# between pieces of a copy: a decoder that hangs in one ends nowhere but in a process of its own,
# that is, after two workers were killed that hung in it (`_apart`).
SECONDS = 1800.0
CHILD = "from s1m_lab.data.ingest import worker; worker._child()"


def make(job: dict) -> tuple[str, str, int]:
    """Make one shard and its side file; returns the job's name, their stem, how many videos.

    Raises what the store does (`OSError`); whatever is wrong with a video becomes its status.
    """
    store, name = Store(job["store"]), job["name"]
    with _alone(store, name) as (folder, reading):
        if reading.again and store.local:  # a worker may have ended it after its client had died
            there = dict.fromkeys(os.listdir(store.root), 0)
            for stem in stems(there, name):
                if same(job, side(store, stem)[1]):
                    return name, stem, len(job["videos"])
        kept, statuses = _Kept(job, store), []
        clips = _clips(job, kept, statuses, reading)
        tar, new_side = folder / "shard.tar", folder / "side.parquet"
        index = shards.write(tar, clips, job["settings"]["quality"])
        with open(tar, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        facts = {"inputs": job["inputs"], "cut": job["cut"], "statuses": statuses}
        facts |= {"sources": [kept.state(n) for n in range(len(job["videos"]))]}
        facts |= {"sha256": digest, "bytes": tar.stat().st_size}
        pq.write_table(index.replace_schema_metadata({"s1m": json.dumps(facts)}), new_side)
        stem = f"{name}-{fingerprint(inputs=job['inputs'], tar=digest)[:8]}"
        store.publish(tar, f"{stem}.tar")
        store.publish(new_side, f"{stem}.parquet")
    return name, stem, len(job["videos"])


def same(job: dict, facts: dict) -> bool:
    """Whether a shard, by its side file, is what its job would make."""
    if facts["inputs"] != job["inputs"]:
        return False
    tried = zip(job["now"], facts["statuses"], strict=True)
    if job["retry"] and any(now and row["status"] not in FINAL for now, row in tried):
        return False
    return all(n in (None, was) for n, was in zip(job["now"], facts["sources"], strict=True))


def stems(sizes: dict[str, int], name: str = SHARD) -> list[str]:
    """The stems of the whole shards (of one job, or all) among a store's files."""
    pattern = re.compile(rf"({name}-[0-9a-f]{{8}})\.parquet")
    found = (match[1] for file in sorted(sizes) if (match := pattern.fullmatch(file)))
    return [stem for stem in found if f"{stem}.tar" in sizes]


def side(store: Store, stem: str) -> tuple[pa.Table, dict]:
    """A shard's part of the index, and what else its side file says."""
    table = pq.read_table(BytesIO(store.read(f"{stem}.parquet")))
    return table, json.loads(table.schema.metadata[b"s1m"])


@contextmanager
def _alone(store: Store, name: str) -> Iterator[tuple[Path, "_Reading"]]:
    """One worker at a time on a shard: a folder to work in, and the note of what is being read.

    A worker whose client has died may still be at it: on a disk it is waited for. In a bucket both
    work, and what they write does not meet.
    """
    with exclusive(_folder(store, name)) if store.local else TemporaryDirectory() as there:
        folder = _folder(store, name) if store.local else Path(there)
        reading = _Reading(store, name)
        try:
            yield folder, reading
        finally:
            reading.note(None)


def _folder(store: Store, name: str) -> Path:
    return Path(store.root, ".work", name)


class _Reading:
    """Which video of a shard is being read, noted where the next worker finds it when this one has
    died at it. A video at which two have died is read in a process of its own: whether it was the
    video that killed them, or somebody else, only that can tell."""

    def __init__(self, store: Store, name: str):
        self.store = store
        self.name = f".work/{name}/reading" if store.local else f".work/{name}"
        try:
            before, self.again = json.loads(store.read(self.name)), True
        except (FileNotFoundError, ValueError):
            before, self.again = {"now": None, "deaths": []}, False
        self.deaths = before["deaths"] + [before["now"]] * (before["now"] is not None)

    def note(self, id: str | None) -> None:
        data = json.dumps({"now": id, "deaths": self.deaths}).encode()
        if self.store.local:  # not synchronised: it is for the death of a process, not of a machine
            Path(self.store.where(self.name)).write_bytes(data)
        else:
            self.store.write(self.name, data)

    def suspects(self, id: str) -> bool:
        return self.deaths.count(id) > 1


class _Kept:
    """What of older shards may be copied: clips and statuses, by video."""

    def __init__(self, job: dict, store: Store):
        self.job, self.store = job, store
        self.rows: dict[str, dict] = {}
        self.was: dict[str, list | None] = {}
        self.clips: dict[str, tuple[str, list[dict]]] = {}
        wanted = {id for _, id, *_ in job["videos"]}
        for stem in job["old"]:
            index, facts = side(store, stem)
            if facts["cut"] != job["cut"]:
                continue
            for row, state in zip(facts["statuses"], facts["sources"], strict=True):
                if row["id"] in wanted and not self.rows.get(row["id"], {}).get("clips"):
                    self.rows[row["id"]], self.was[row["id"]] = row, state
                    self.clips[row["id"]] = stem, []
            for row in index.select(["video", "start", "offset", "sizes"]).to_pylist():
                if self.clips.get(row["video"], ("",))[0] == stem:
                    self.clips[row["video"]][1].append(row)

    def state(self, n: int) -> list | None:
        """The state of a video's file: as it is, or as it was when its clips were cut."""
        return self.job["now"][n] or self.was.get(self.job["videos"][n][1])

    def status(self, n: int) -> dict | None:
        """The status of a video that need not, or cannot, be read again, else None."""
        id, now = self.job["videos"][n][1], self.job["now"][n]
        row = self.rows.get(id)
        if row is None or now not in (None, self.was[id]):
            return None
        return None if now and self.job["retry"] and row["status"] not in FINAL else row

    def read(self, id: str) -> Iterator[tuple[float, list[bytes]]]:
        """Start (s) and JPEG files of each clip of a video."""
        stem, rows = self.clips[id]
        for row in rows:
            sizes = np.array(row["sizes"])
            places = shards.firsts(row["offset"], sizes)
            yield row["start"], self.store.pieces(f"{stem}.tar", places, sizes)


def _clips(
    job: dict, kept: _Kept, statuses: list[dict], reading: _Reading
) -> Iterator[shards.Clip]:
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
                raise container.VideoError("too long", f"{known:.0f} s")
            if old is not None and old["status"] != "too long":
                status, clips = {**old, "split": job["split"]}, list(kept.read(id))
            else:
                reading.note(id)
                clips = (_apart if reading.suspects(id) else _cut)(job, id, source, status)
                status["clips"] = len(clips)
        except Exception as error:  # no video may end the work of all others
            status |= _told(error)
        statuses.append(status)
        for number, (start, frames) in enumerate(clips):
            yield shards.Clip(key, id, number, start, labels, frames)


def _told(error: Exception) -> dict[str, str]:
    """The status of a video that ended in an error."""
    if isinstance(error, container.VideoError):
        return {"status": error.reason, "detail": error.detail}
    return {"status": "error", "detail": f"{type(error).__name__}: {error}"}


def _apart(job: dict, id: str, source, status: dict) -> list:
    """What `_cut` gives, done in a process of its own; if that dies or hangs, this one does not.

    Not by `multiprocessing`: Dask's workers may have no children of that kind.
    """
    job = {name: job[name] for name in ("settings", "clips")}
    asked = json.dumps({"job": job, "id": id, "source": source, "status": status}) + "\n"
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    with TemporaryDirectory(prefix="s1m-") as folder:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD, folder],  # -P: not from where we stand
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,  # left open: its end is ours
            bufsize=0,
        )
        with child:
            try:
                child.stdin.write(asked.encode())
                child.wait(1.1 * SECONDS + 10)  # it reads the clock itself, unless it hangs
            except subprocess.TimeoutExpired:
                raise container.VideoError("timed out", "its decoder hangs") from None
            except BrokenPipeError:
                pass  # it is dead already
            finally:
                child.kill()
        if child.returncode:
            raise container.VideoError("crashed", f"in a process of its own ({child.returncode})")
        status |= json.loads(Path(folder, "status.json").read_text("utf-8"))
        starts = status.pop("starts")
        frames = np.load(Path(folder, "frames.npy"), allow_pickle=False) if starts else []
    return list(zip(starts, frames, strict=True))


def _child() -> None:
    """The process that `_apart` starts: it writes status, starts and frames into a folder."""
    folder, asked = Path(sys.argv[1]), json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    status, clips = asked["status"], []
    try:
        clips = _cut(**asked)
        np.save(folder / "frames.npy", np.stack([frames for _, frames in clips]))
    except Exception as error:
        status |= _told(error)
    text = json.dumps(status | {"starts": [start for start, _ in clips]})
    (folder / "status.json").write_text(text, "utf-8")


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing comes but the end
    os._exit(1)


def _cut(job: dict, id: str, source, status: dict) -> list:
    """(start, frames) of the segments of one video; what is found out of it goes into `status`."""
    if source is None:
        raise container.VideoError("missing")
    settings, end = job["settings"], time.monotonic() + SECONDS
    length = {"frames": settings["frames"], "fps": settings["fps"]}
    with locate.local(locate.Source(*source), SECONDS) as path:
        info = reader.probe(path)
        status |= {name: getattr(info, name) for name in STATUS.names if hasattr(info, name)}
        if info.duration > (settings["max_duration"] or float("inf")):
            raise container.VideoError("too long", f"{info.duration:.0f} s")
        key = f"{settings['data_seed']}\n{id}"
        starts = reader.starts(info.duration, job["clips"], key, **length)
        if not starts:
            raise container.VideoError("too short", f"{info.duration:.2f} s")
        size, clips = (settings["height"], settings["width"]), []
        if min(info.height / size[0], info.width / size[1]) != 1:
            begin = time.monotonic()
            import torch  # noqa: F401 - resizes in `video.fit`; its import counts for no video

            end += time.monotonic() - begin
        try:
            for clip in reader.segments(path, starts, size=size, info=info, **length):
                locate.in_time(end)
                clips.append(clip)  # all before any: a damaged video has no clips
        except container.VideoError as error:
            if error.reason == "corrupt":
                status["frames"] = reader.count_readable_frames(path)
                error.detail = f"after {status['frames']} frames: {error.detail}"
            raise
    return list(zip(starts, clips, strict=True))
