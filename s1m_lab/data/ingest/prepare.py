"""Ingest: videos become clips in shards, on one machine or a Dask cluster.

    folder = prepare("pocket")                     # or a folder of class folders, or a table
    folder = prepare("sports1m", files="s3://bucket/videos", scheduler="tcp://10.0.0.1:8786")
    load_statuses(folder)                               # what became of the videos, as a table

`prepare` makes the catalog if it is missing, and cuts random half-second segments out of every
video. The work is a list of shards. Each is a pure function of its videos and the settings, so any
number of workers gives the same bytes, and an interrupted ingest resumes.

Beside each `train-00000-1a2b3c4d.tar` lies a `.parquet`, its side file (see `worker`). A shard is
made again when its inputs change. Clips of unchanged videos with the same settings are copied from
older shards, so that a new video, a changed file or label, or a retry costs no more than itself. A
video out of reach keeps its clips, with a printed line; what could not be made again is never lost.
"""

import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common import system
from s1m_lab.common.files import atomic, fingerprint, require_space, write_json
from s1m_lab.common.paths import is_url
from s1m_lab.common.progress import Progress
from s1m_lab.common.storage import Store
from s1m_lab.data import datasets, locate, shards
from s1m_lab.data.ingest import cluster, worker
from s1m_lab.data.ingest.plan import PlannedShard, ShardJobs, clip_bytes
from s1m_lab.data.ingest.worker import ShardJob
from s1m_lab.data.splits import SPLITS
from s1m_lab.video import container

LITTLE = 16e6  # bytes of videos, which one core cuts in about 10 s
VERSION = 3  # raise it when the same videos and settings give other bytes
DEFAULTS: dict = {
    "height": 200,
    "width": 200,
    "fps": 30.0,
    "frames": 16,
    "quality": shards.QUALITY,
    "clips": {"train": 8, "val": 4, "test": 20},  # §3.3: 20 clips a test video
    "max_duration": None,  # s
}


@dataclass
class Request:
    """What a caller of `prepare` asks for, beside the dataset; see there."""

    clips: int | dict | None
    size: int | tuple[int, int] | None
    max_duration: float | None
    files: str | None
    output: str | None
    workers: int
    scheduler: str
    fetch: bool
    retry: bool


@dataclass
class Ingest:
    """An ingest before its first shard is cut."""

    folder: Path  # of the dataset
    df: pd.DataFrame
    settings: dict
    remembered: dict  # all that was ever asked for, kept in `clips/asked.json`
    jobs: ShardJobs
    inputs: list[str]  # of each job
    marks: dict[str, str]  # `work` and `now`: fingerprints of the jobs and of the files' states

    @property
    def clips_folder(self) -> Path:
        return self.folder / "clips"


class StoredVideo(NamedTuple):
    """What an older shard holds of a video."""

    stem: str
    cut: str
    clips: int
    duration: float | None


def prepare(
    data: str | Path,
    clips: int | dict | None = None,
    size: int | tuple[int, int] | None = None,
    data_seed: int | None = None,
    workers: int | None = None,
    max_duration: float | None = None,
    files: str | None = None,
    output: str | None = None,
    scheduler: str = "",
    fetch: bool = False,
    retry: bool = False,
    forget: bool = False,
) -> Path:
    """Make the clips of a dataset and return its folder; does nothing if they are up to date.

    Args:
        data: a name in `data/`, a folder of class folders, or a table; see `datasets`.
        clips: segments per video, for all splits or `{"train": 8, "val": 4, "test": 20}`.
        size: (height, width) of the stored frames, or the side of a square.
        data_seed: governs the split and the segments.
        workers: processes; by default, and at most, one per core. One: this process. Videos below
            16 MB in all are cut in one process beside this one, without Dask.
        max_duration: s; longer videos are left out, with a status. 0: none is.
        files: folder or fsspec address (`s3://…`) of a catalog's files; see `locate.find`.
        output: folder or fsspec address for the shards; "": the dataset's own `clips/`.
        scheduler: address of a Dask scheduler, used in place of processes on this machine.
        fetch: follow the catalog's own addresses: a `path` that is one, and the `url` of videos
            that lie nowhere, by yt-dlp. Originals are not kept.
        retry: try failed videos again, and only those.
        forget: drop videos that left the source folder, and their clips; by default they stay.

    A setting of None is that of the existing clips, else the dataset's own default (`ingest` in its
    `dataset.json`), else that of `DEFAULTS`.

    Raises:
        FileNotFoundError: there is no such dataset, folder or table, or no folder `files`.
        ValueError: impossible settings, clips that would be lost, or not a single clip in the end.
        OSError: the disk has no room, or the store cannot be reached.
    """
    workers = max(1, min(workers or system.cores(), system.cores()))
    if files and not is_url(files) and not Path(files).expanduser().is_dir():
        raise FileNotFoundError(f"files is {files}, and there is no such folder")
    with datasets.locked(data, data_seed, workers, forget) as (folder, df):
        request = Request(
            clips, size, max_duration, files, output, workers, scheduler, fetch, retry
        )
        ingest = _plan(str(data), folder, df, request)
        before = _last_marks(ingest)
        if retry or before != ingest.marks:
            stems = _survey(ingest)
            todo = [n for n, shard in enumerate(ingest.jobs.shards) if shard.name not in stems]
            if todo or before.get("work") != ingest.marks["work"]:
                _cut_shards(ingest, request, stems, todo)
            write_json(ingest.clips_folder / "made.json", ingest.marks)
        if not shards.describe(ingest.clips_folder)["shards"]:
            why = load_statuses(folder)["meaning"].iloc[0]
            raise ValueError(f"not one clip could be made; {_summary(folder)} ({why})")
    return folder


def _plan(data: str, folder: Path, df: pd.DataFrame, request: Request) -> Ingest:
    """Settings, sources and jobs of an ingest; raises where not one video is in reach."""
    settings, remembered = _settings(folder, df, request)
    root = remembered.get("output") or str(folder / "clips")
    files = remembered.get("files") or ""
    if any(place.startswith("memory:") for place in (root, files, data)):
        request.workers = 1  # that memory belongs to this process
    sources = locate.find(df, folder, files, request.fetch, data)
    if not any(sources) and not (folder / "clips" / "index.parquet").is_file():
        raise ValueError(_nowhere(df, folder, files))
    if any(source and source.kind == "address" for source in sources):
        _need_yt_dlp()
    jobs = ShardJobs(df, root, settings, sources, request.retry)
    facts = [(job.inputs, job.states) for job in jobs]
    inputs = [own for own, _ in facts]
    now = fingerprint(now=[states for _, states in facts])
    marks = {"work": fingerprint(inputs=inputs), "now": now}
    return Ingest(folder, df, settings, remembered, jobs, inputs, marks)


def _cut_shards(ingest: Ingest, request: Request, stems: dict[str, str], todo: list[int]) -> None:
    """Cut the shards `todo`, merge them with the finished ones (`stems`), and report."""
    jobs, folder = ingest.jobs, ingest.clips_folder
    planned = [jobs.shards[n] for n in todo]
    if not is_url(jobs.store):
        require_space(Path(jobs.store), 1.2 * _expected_bytes(ingest, planned))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.parquet").unlink(missing_ok=True)  # so that nobody reads half-made clips
    write_json(folder / "asked.json", ingest.remembered)
    found = [source for shard in planned for row in shard.rows if (source := jobs.sources[row])]
    little = sum(source.size for source in found) < LITTLE
    progress = Progress("ingest", sum(len(shard.rows) for shard in planned), "videos")
    pending = (jobs[n] for n in todo)  # each is built when a worker is free
    for name, stem, videos in cluster.run(
        worker.cut_shard, pending, request.workers, request.scheduler, little
    ):
        stems[name] = stem
        progress.update(videos)
    _merge(ingest, [stems[shard.name] for shard in jobs.shards])
    print(_summary(ingest.folder), flush=True)
    if broken := ingest.df.attrs.get("broken"):
        rows = " · ".join(f"{n:,} {reason}" for reason, n in broken.items())
        print(f"set aside when the catalog was read: {rows}", flush=True)


def _expected_bytes(ingest: Ingest, planned: list[PlannedShard]) -> float:
    """About the bytes of the clips of all videos of these shards that are in reach."""
    clips, sources = ingest.settings["clips"], ingest.jobs.sources
    count = sum(
        clips[shard.split] * sum(bool(sources[row] and sources[row].state) for row in shard.rows)
        for shard in planned
    )
    return clip_bytes(ingest.settings) * count


def load_statuses(folder: Path) -> pd.DataFrame:
    """How many videos of each split ended with which status, the most common first."""
    rows = pq.read_table(Path(folder) / "clips" / "status.parquet", columns=["split", "status"])
    counts = rows.to_pandas().value_counts().unstack(0, fill_value=0)
    counts = counts.reindex(columns=[s for s in SPLITS if s in counts.columns])
    counts["videos"] = counts.sum(axis=1)
    counts["meaning"] = [container.REASONS[status] for status in counts.index]
    return counts.sort_values("videos", ascending=False, kind="stable").rename_axis(columns=None)


def _summary(folder: Path) -> str:
    """One line: videos, clips, and videos by status."""
    counts = load_statuses(folder)["videos"]
    clips = sum(shard["clips"] for shard in shards.describe(folder / "clips")["shards"])
    outcome = " · ".join(f"{status} {n:,}" for status, n in counts.items())
    return f"{folder.name}: {counts.sum():,} videos, {clips:,} clips · {outcome}"


def _nowhere(df: pd.DataFrame, folder: Path, files: str) -> str:
    """The error that no video of a catalog was found, and where we looked."""
    if df["path"].notna().all() and not files:
        where = "the places that its catalog names"
    else:
        where = f"{files or folder / 'videos'}, where files are found by id"
    return (
        f"none of the {len(df):,} videos of {folder.name} is in {where}; --files names the folder "
        "or address they lie in, --fetch follows the catalog's own addresses"
    )


def _need_yt_dlp() -> None:
    try:
        import yt_dlp  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError(
            "fetching videos needs yt-dlp: pip install -c constraints.txt -e '.[youtube]'"
        ) from None


def _settings(folder: Path, df: pd.DataFrame, request: Request) -> tuple[dict, dict]:
    """The settings of the clips, and all that was ever asked for.

    The latter is kept in `clips/asked.json`, so that a training does not make clips anew that
    somebody made with other settings.
    """
    own, path = datasets.own_settings(folder), folder / "clips" / "asked.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    asked = before | {
        name: value
        for name in ("max_duration", "files", "output")
        if (value := getattr(request, name)) is not None
    }
    for name in ("files", "output"):
        if asked.get(name) and not is_url(asked[name]):
            asked[name] = str(Path(asked[name]).expanduser().resolve())
    size, clips = request.size, request.clips
    if size is not None:
        asked["height"], asked["width"] = (size, size) if isinstance(size, int) else size
    if clips is not None:
        if isinstance(clips, dict) and (unknown := set(clips) - set(SPLITS)):
            raise ValueError(f"clips names {', '.join(map(str, unknown))}; splits are {SPLITS}")
        clips = dict.fromkeys(SPLITS, clips) if isinstance(clips, int) else clips
        asked["clips"] = {**before.get("clips", {}), **clips}
    settings = {name: {**DEFAULTS, **own, **asked}[name] for name in DEFAULTS}
    settings |= {"data_seed": df.attrs["data_seed"], "version": VERSION}
    settings["max_duration"] = settings["max_duration"] or None
    each = {**DEFAULTS["clips"], **own.get("clips", {}), **asked.get("clips", {})}
    settings["clips"] = {split: int(each[split]) for split in SPLITS}
    _check_settings(settings)
    return settings, asked


def _check_settings(settings: dict) -> None:
    """Raise ValueError for settings that are impossible."""
    if not all(1 <= n <= 999 for n in settings["clips"].values()):
        raise ValueError(f"clips is {settings['clips']}; 1 to 999 per video are possible")
    if not all(16 <= settings[side] <= 1024 for side in ("height", "width")):
        raise ValueError(
            f"size is {settings['height']}×{settings['width']}; 16 to 1024 are possible"
        )
    if settings["max_duration"] and settings["max_duration"] < 0:
        raise ValueError(f"max_duration is {settings['max_duration']} s; it cannot be below 0")


def _last_marks(ingest: Ingest) -> dict:
    """The marks of the ingest that ended last; {} unless its index and all its shards are there."""
    folder, root = ingest.clips_folder, ingest.jobs.store
    if not (folder / "index.parquet").is_file() or not (folder / "made.json").is_file():
        return {}
    about, sizes = shards.describe(folder), Store(root).sizes()
    complete = all(sizes.get(shard["name"]) == shard["bytes"] for shard in about["shards"])
    if not complete or about["root"] != _index_root(folder, root):
        return {}
    return json.loads((folder / "made.json").read_text("utf-8"))


def _index_root(folder: Path, root: str) -> str:
    """Where the shards lie, as the index says it: "" for beside the index."""
    return "" if root == str(folder) else root


def _survey(ingest: Ingest) -> dict[str, str]:
    """The stems of the finished shards, by the names of their jobs.

    The other jobs are told (`jobs.old`) which older shards hold clips or statuses of their videos.
    Raises ValueError where clips would be lost that cannot be made again.
    """
    jobs, store = ingest.jobs, Store(ingest.jobs.store)
    numbers = {inputs: n for n, inputs in enumerate(ingest.inputs)}
    finished: dict[str, tuple[int, str]] = {}  # name → sound videos, stem; the best one counts
    stored: dict[str, list[StoredVideo]] = {}  # by id
    for stem, (_, facts) in _read_side_files(store, worker.list_stems(store.sizes())):
        number = numbers.get(facts["inputs"])
        if number is not None and worker.is_current(job := jobs[number], facts):
            sound = sum(row["status"] == "ok" for row in facts["statuses"])
            finished[job.name] = max(finished.get(job.name, (0, "")), (sound, stem))
        for row in facts["statuses"]:
            video = StoredVideo(stem, facts["cut"], row["clips"], row.get("duration"))
            stored.setdefault(row["id"], []).append(video)
    away, lost = 0, list[str]()
    for job in jobs if stored else ():
        own_away, own_lost = _out_of_reach(job, stored)
        away, lost = away + own_away, lost + own_lost
        if job.name not in finished:
            found = {old.stem for video in job.videos for old in stored.get(video.id, ())}
            jobs.old[job.name] = sorted(found)
    if lost:
        raise ValueError(
            f"{len(lost):,} videos are out of reach ({', '.join(lost[:3])}, …) and the settings "
            "have changed, so that their clips would go and could not be made again; bring the "
            f"videos back, forget them (--forget), or delete {store.root} to go on without them"
        )
    if away:
        print(f"{away:,} videos are out of reach now; the clips they have are used", flush=True)
    return {name: stem for name, (_, stem) in finished.items()}


def _out_of_reach(job: ShardJob, stored: dict[str, list[StoredVideo]]) -> tuple[int, list[str]]:
    """How many videos of a job have clips but are out of reach, and which would lose the clips."""
    away, lost = 0, []
    for video in job.videos:
        clips = [old for old in stored.get(video.id, ()) if old.clips]
        if video.state is not None or not clips:
            continue
        away += 1
        usable = any(old.cut == job.cut for old in clips)
        duration = video.duration or max(old.duration or 0 for old in clips)
        if not usable or duration > (job.settings["max_duration"] or math.inf):
            lost.append(video.id)
    return away, lost


def _read_side_files(store: Store, stems: list[str]) -> Iterator[tuple[str, tuple[pa.Table, dict]]]:
    """The side files of shards, some at a time."""
    with ThreadPoolExecutor(16) as pool:
        for n in range(0, len(stems), 64):
            some = stems[n : n + 64]
            files = pool.map(lambda stem: worker.read_side_file(store, stem), some)
            yield from zip(some, files, strict=True)


def _merge(ingest: Ingest, stems: list[str]) -> None:
    """Write `index.parquet` and `status.parquet` of all shards, and remove what belongs to none.

    Both files lie in the dataset's `clips/` and, if the shards are elsewhere, beside these too.
    """
    folder, root = ingest.clips_folder, ingest.jobs.store
    store, rows, found, prints = Store(root), [], [], []
    with (
        atomic(folder / "index.parquet") as temporary,
        pq.ParquetWriter(temporary, shards.SCHEMA, compression="zstd") as writer,
    ):
        parts = _read_side_files(store, stems)
        for planned, (stem, (part, facts)) in zip(ingest.jobs.shards, parts, strict=True):
            rows.append(pa.Table.from_pylist(facts["statuses"], worker.STATUS))
            prints.append(facts["sha256"])
            if len(part):
                shard = {"name": f"{stem}.tar", "split": planned.split, "clips": len(part)}
                found.append(shard | {"bytes": facts["bytes"]})
                part = part.replace_schema_metadata().cast(shards.SCHEMA)
                writer.write_table(part, row_group_size=len(part))
        about = {"settings": ingest.settings, "work": ingest.marks["work"]}
        about |= {"root": _index_root(folder, root), "shards": found}
        about["fingerprint"] = fingerprint(settings=ingest.settings, shards=prints)
        writer.add_key_value_metadata({"s1m": json.dumps(about)})
    table = pa.concat_tables(rows)
    order = pc.index_in(pa.array(ingest.df["id"], pa.string()), table["id"].combine_chunks())
    with atomic(folder / "status.parquet") as temporary:
        pq.write_table(table.take(order), temporary, compression="zstd")
    if root != str(folder):
        for name in ("status.parquet", "index.parquet"):
            store.write(name, (folder / name).read_bytes())
    kept, pattern = set(stems), re.compile(rf"{worker.SHARD}(-[0-9a-f]{{8}})?\.(tar|parquet)")
    for name in store.sizes():
        if pattern.fullmatch(name) and name.rpartition(".")[0] not in kept:
            store.remove(name)
    store.remove(".work")
