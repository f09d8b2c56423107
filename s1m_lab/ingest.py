"""Videos → shards, in the processes of one machine (Dask).

    folder = ingest.prepare("pocket")              # or a folder of class folders, or a table
    ingest.statuses(folder)                        # what became of the videos, as a table

`prepare` makes the catalog where there is none and cuts up to N random half-second segments out of
every video. The work is a list of shards, each a pure function of its videos and the settings, so
it may be spread over any number of workers, killed, and taken up again: the bytes are the same.

Beside `train-00000.tar` stands `train-00000.parquet`: its part of the index, and what it was made
of. A shard is made again when that differs: other settings, another catalog, or a video file of
another size or date. A video whose file is gone keeps the clips it has, and that is said; what
could not be made again is never thrown away.
"""

import hashlib
import itertools
import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from s1m_lab import catalog, paths, shards, stages, video

VERSION = 1  # raise it when the same videos and settings give other bytes
DEFAULTS = {
    "height": 200,
    "width": 200,
    "fps": 30.0,
    "frames": 16,
    "quality": 90,
    "clips": {"train": 8, "val": 4, "test": 20},  # §3.3: 20 clips a test video
}
SPLITS = ("train", "val", "test")
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


def prepare(
    data: str | Path,
    clips: int | dict | None = None,
    size: int | tuple[int, int] | None = None,
    data_seed: int | None = None,
    workers: int | None = None,
) -> Path:
    """The dataset folder of a name or a path, with its clips made; does nothing where all is done.

    Args:
        data: a name in `data/`, a folder of class folders, or a table; see `catalog`.
        clips: segments a video, for all splits or `{"train": 8, "val": 4, "test": 20}`.
        size: (height, width) of the stored frames, or the side of a square.
        data_seed: governs the split and the segments.
        workers: processes; by default one a core.

    What is left out is what the clips were made with, or the dataset's own default (the `ingest`
    entry of its `dataset.json`), or `DEFAULTS`.
    """
    workers = max(1, min(workers or stages.cores(), stages.cores()))
    folder = _dataset(data, data_seed, workers)
    with stages.exclusive(folder):
        df = _catalog(data, folder, data_seed)
        settings, asked = _settings(folder, df, clips, size)
        jobs = _jobs(df, folder, settings)
        todo = _todo(jobs)
        work = stages.fingerprint(jobs=[job["inputs"] for job in jobs])
        index = folder / "clips" / "index.parquet"
        if todo or not index.is_file() or shards.describe(index.parent)["work"] != work:
            index.unlink(missing_ok=True)  # so that nothing can be read half-made
            with stages.atomic(index.with_name("asked.json")) as temporary:
                temporary.write_text(json.dumps(asked))
            most = sum(job["clips"] * sum(map(bool, _sources(job))) for job in todo)
            stages.require_space(index.parent, 1.2 * _clip_bytes(settings) * most)
            progress = stages.Progress("ingest", sum(len(job["videos"]) for job in todo), "videos")
            for videos in _run(todo, workers):
                progress.update(videos)
            _merge(index.parent, jobs, settings, work)
            print(_summary(folder), flush=True)
        if not shards.describe(index.parent)["shards"]:
            raise ValueError(f"not one clip could be made; {_summary(folder)}")
    return folder


def listed(data: str | Path, data_seed: int | None = None) -> Path:
    """The dataset folder of a name or a path with its catalog up to date; clips are not made."""
    folder = _dataset(data, data_seed, stages.cores())
    with stages.exclusive(folder):
        _catalog(data, folder, data_seed)
    return folder


def statuses(folder: Path) -> pd.DataFrame:
    """How many videos of each split ended with which status, the commonest first."""
    rows = pq.read_table(Path(folder) / "clips" / "status.parquet", columns=["split", "status"])
    counts = rows.to_pandas().value_counts().unstack(0, fill_value=0)
    counts = counts.reindex(columns=[s for s in SPLITS if s in counts.columns])
    counts["videos"] = counts.sum(axis=1)
    counts["meaning"] = [video.REASONS[status] for status in counts.index]
    return counts.sort_values("videos", ascending=False, kind="stable").rename_axis(columns=None)


def _summary(folder: Path) -> str:
    counts = statuses(folder)["videos"]
    clips = sum(shard["clips"] for shard in shards.describe(folder / "clips")["shards"])
    outcome = " · ".join(f"{status} {n:,}" for status, n in counts.items())
    return f"{folder.name}: {counts.sum():,} videos, {clips:,} clips · {outcome}"


def _dataset(data: str | Path, data_seed: int | None, workers: int) -> Path:
    """The folder of a dataset; `pocket` is made if it is not there, or not whole."""
    folder = paths.dataset(data)
    if str(data) == "pocket":
        from s1m_lab import pocket

        return pocket.make("pocket", data_seed=data_seed, workers=workers)
    if paths.is_path(str(data)) or (folder / "catalog.parquet").is_file():
        return folder
    there = sorted(p.parent.name for p in folder.parent.glob("*/catalog.parquet"))
    raise FileNotFoundError(
        f'no dataset "{data}" in {folder.parent} (there: {", ".join({*there, "pocket"})}); '
        "for your own videos give a path: a folder of class folders, or a table (.csv, .parquet) "
        "with the columns path and labels"
    )


def _catalog(data: str | Path, folder: Path, data_seed: int | None) -> pd.DataFrame:
    """The dataset's catalog, brought up to date with the folder or table it was made from."""
    old = catalog.load(folder) if (folder / "catalog.parquet").is_file() else None
    source = Path(data).expanduser().resolve()
    if not paths.is_path(str(data)) or source == folder:
        if data_seed not in (None, old.attrs["data_seed"]):
            raise ValueError(
                f"{folder} was made with data_seed {old.attrs['data_seed']}; "
                f"for data_seed {data_seed} make another dataset, or delete that folder"
            )
        return old
    if not source.exists():
        if old is None:
            raise FileNotFoundError(f"no folder or table {source}")
        print(f"{source} is gone; its dataset {folder} is used as it was", flush=True)
        return old
    if data_seed is None:
        data_seed = 0 if old is None else old.attrs["data_seed"]
    if source.is_dir():
        df = catalog.read_folder(source, data_seed)
    elif source.suffix.lower() in (".csv", ".parquet"):
        df = catalog.read_table(source, data_seed)
    else:
        raise ValueError(f"{source} is neither a folder nor a table (.csv, .parquet)")
    if old is None or df.attrs != old.attrs or not df.equals(old):
        catalog.save(df, folder)
        about = [f"{len(df):,} videos", f"{len(df.attrs['classes'])} classes", df.attrs["split"]]
        about += [f"set aside: {n:,} {reason}" for reason, n in df.attrs["broken"].items()]
        print(f"{source}: {' · '.join(about)}", flush=True)
    return df


def _settings(folder: Path, df: pd.DataFrame, clips, size) -> tuple[dict, dict]:
    """What the clips are to be made with, and what of it was ever asked for: that is kept in
    `clips/asked.json`, so that training does not make anew what somebody made otherwise."""
    own, asked = folder / "dataset.json", folder / "clips" / "asked.json"
    own = json.loads(own.read_text()).get("ingest", {}) if own.is_file() else {}
    old = json.loads(asked.read_text()) if asked.is_file() else {}
    new = dict(old)
    if size is not None:
        new["height"], new["width"] = (size, size) if isinstance(size, int) else size
    if clips is not None:
        clips = dict.fromkeys(SPLITS, clips) if isinstance(clips, int) else clips
        new["clips"] = {**old.get("clips", {}), **clips}
    settings = {**DEFAULTS, **own, **new, "data_seed": df.attrs["data_seed"], "version": VERSION}
    settings["clips"] = {
        split: int({**DEFAULTS["clips"], **own.get("clips", {}), **new.get("clips", {})}[split])
        for split in SPLITS
    }
    if not all(1 <= n <= 999 for n in settings["clips"].values()):
        raise ValueError(f"clips is {settings['clips']}; 1 to 999 a video are possible")
    if not all(16 <= settings[side] <= 1024 for side in ("height", "width")):
        raise ValueError(f"size is {settings['height']}×{settings['width']}; 16 to 1024 will do")
    return settings, new


def _clip_bytes(settings: dict) -> float:
    """About what a stored clip takes; 0.35 bytes a pixel are JPEG at quality 90."""
    return settings["frames"] * (0.35 * settings["height"] * settings["width"] + 800)


def _jobs(df: pd.DataFrame, folder: Path, settings: dict) -> list[dict]:
    """The shards to be, as plain data. In every split the videos are in the order of a hash of
    (data_seed, id), so that a shard mixes classes; a shard has 32 to 256 MB, and a split of a
    middling dataset about 16 of them."""
    seed, size = settings["data_seed"], _clip_bytes(settings)
    rows = list(zip(df["id"], df["labels"], df["path"], df["split"], strict=True))
    order = [hashlib.sha256(f"{seed}\n{id}".encode()).digest() for id, *_ in rows]
    jobs = []
    for split in SPLITS:
        clips = settings["clips"][split]
        mine = sorted((order[n], n) for n, row in enumerate(rows) if row[3] == split)
        shard = min(max(32e6, len(mine) * clips * size / 16), 256e6)
        step = max(1, round(shard / (clips * size)))
        for number, first in enumerate(range(0, len(mine), step)):
            videos = []
            for _, n in mine[first : first + step]:
                id, labels, path, _ = rows[n]
                path = None if path is pd.NA else str(folder / path)
                videos.append((n, id, [int(label) for label in labels], path))
            job = {"folder": str(folder / "clips"), "name": f"{split}-{number:05d}", "split": split}
            job |= {"clips": clips, "settings": settings, "videos": videos}
            job["inputs"] = stages.fingerprint(settings=settings, clips=clips, videos=videos)
            jobs.append(job)
    return jobs


def _todo(jobs: list[dict]) -> list[dict]:
    """The jobs whose shard is not there or was made of something else."""
    todo, kept, lost = [], 0, []
    for job in jobs:
        now, about = _sources(job), _about(job)
        same = about is not None and about["inputs"] == job["inputs"]
        if same and all(n in (None, was) for n, was in zip(now, about["sources"], strict=True)):
            kept += sum(n != was for n, was in zip(now, about["sources"], strict=True))
        else:
            todo.append(job)
            lost += [v[1] for v, n in zip(job["videos"], now, strict=True) if n is None]
    if kept:
        print(f"{kept:,} video files are gone since the ingest; their clips are used", flush=True)
    status = Path(jobs[0]["folder"]) / "status.parquet" if jobs else None
    if lost and status.is_file():
        rows = pq.read_table(status, columns=["id", "clips"]).to_pandas()
        lost = sorted(set(rows["id"][rows["clips"] > 0]) & set(lost))
        if lost:
            raise ValueError(
                f"the files of {len(lost):,} videos are gone ({', '.join(lost[:3])}, …), and "
                "settings, catalog or other videos have changed, so that their clips would have to "
                f"be made again; bring them back, or delete {status.parent} to go on without them"
            )
    return todo


def _sources(job: dict) -> list:
    """Size and date of each video file, None where there is none."""
    states = []
    for *_, path in job["videos"]:
        try:
            state = Path(path).stat()
            states.append([state.st_size, state.st_mtime_ns])
        except (OSError, ValueError, TypeError):
            states.append(None)
    return states


def _about(job: dict) -> dict | None:
    """What the side file says of a shard, None unless both are whole."""
    side = Path(job["folder"], f"{job['name']}.parquet")
    try:
        about = json.loads(pq.read_schema(side).metadata[b"s1m"])
        return about if side.with_suffix(".tar").stat().st_size == about["bytes"] else None
    except (OSError, pa.ArrowInvalid):
        return None


def _make(job: dict) -> int:
    """Make one shard and its side file; returns the number of videos. Runs in a worker."""
    side = Path(job["folder"], f"{job['name']}.parquet")
    tar = side.with_suffix(".tar")
    side.unlink(missing_ok=True)
    statuses: list[dict] = []
    sources = _sources(job)
    index = shards.write(tar, _clips(job, statuses), job["settings"]["quality"])
    with open(tar, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    about = {"inputs": job["inputs"], "sources": sources, "statuses": statuses}
    about |= {"sha256": digest, "bytes": tar.stat().st_size}
    with stages.atomic(side) as temporary:
        pq.write_table(index.replace_schema_metadata({"s1m": json.dumps(about)}), temporary)
    _now(job).unlink(missing_ok=True)
    return len(job["videos"])


def _now(job: dict) -> Path:
    """The file that says which video of a job is being read, for whoever finds its worker dead."""
    return Path(job["folder"], f".{job['name']}.now")


def _clips(job: dict, statuses: list[dict]) -> Iterator[shards.Clip]:
    """The clips of a job's videos; what became of each video is added to `statuses`."""
    settings = job["settings"]
    length = {"frames": settings["frames"], "fps": settings["fps"]}
    for row, id, labels, path in job["videos"]:
        _now(job).write_text(str(row))
        status = {"row": row, "id": id, "split": job["split"], "status": "ok", "clips": 0}
        clips = []
        try:
            if path is None or row in job.get("crashed", ()):
                raise video.VideoError("missing" if path is None else "crashed")
            info = video.probe(path)
            status |= {k: getattr(info, k) for k in STATUS.names if hasattr(info, k)}
            starts = video.starts(
                info.duration, job["clips"], f"{settings['data_seed']}\n{id}", **length
            )
            if not starts:
                raise video.VideoError("too short", f"{info.duration:.2f} s")
            size = settings["height"], settings["width"]
            found = video.segments(path, starts, size=size, info=info, **length)
            clips = list(found)  # all before any: a damaged video has no clips
            status["clips"] = len(clips)
        except video.VideoError as error:
            status |= {"status": error.reason, "detail": error.detail}
        except Exception as error:  # no video may end the work of all others
            status |= {"status": "error", "detail": f"{type(error).__name__}: {error}"}
            clips = []
        statuses.append(status)
        for number, frames in enumerate(clips):
            yield shards.Clip(id, row, number, starts[number], labels, frames)


def _run(jobs: list[dict], workers: int) -> Iterator[int]:
    """Do the jobs, yielding the number of videos of each that is done."""
    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from map(_make, jobs)
        return
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.scheduler import KilledWorker

    quiet = {"distributed.scheduler.allowed-failures": 0}
    with (
        _hidden_main(),
        dask.config.set(quiet),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",  # any free port
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        waiting, running, results = iter(jobs), {}, as_completed()

        def submit(job: dict) -> None:
            future = client.submit(_make, job, pure=False)
            running[future.key] = job
            results.add(future)

        # one job a worker at a time: who dies, dies of its own video
        for job in itertools.islice(waiting, workers):
            submit(job)
        for future in results:
            job = running.pop(future.key)
            try:
                yield future.result()
            except KilledWorker:
                submit(_without_killer(job))
                continue
            for job in itertools.islice(waiting, 1):
                submit(job)


def _without_killer(job: dict) -> dict:
    """The job again, without the video at which its worker died for the second time."""
    now = _now(job)
    row = int(now.read_text()) if now.is_file() else -1
    deaths = [*job.get("deaths", []), row]
    if len(deaths) > 2 * len(job["videos"]) + 2:
        raise RuntimeError(f"the workers of {job['name']} die again and again")
    crashed = sorted({r for r in deaths if r >= 0 and deaths.count(r) > 1})
    return {**job, "deaths": deaths, "crashed": crashed}


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep spawned workers from running the caller's main module again: a script needs no
    `if __name__ == "__main__"`, and a notebook's kernel is not started in every worker."""
    main = sys.modules["__main__"]
    saved = {name: getattr(main, name, None) for name in ("__file__", "__spec__")}
    for name in saved:
        setattr(main, name, None)
    try:
        yield
    finally:
        for name, value in saved.items():
            setattr(main, name, value)


def _merge(folder: Path, jobs: list[dict], settings: dict, work: str) -> None:
    """`index.parquet` and `status.parquet` of all shards; what belongs to none is removed."""
    mine = {job["name"] for job in jobs}
    for path in folder.iterdir():
        name = re.fullmatch(
            r"\.?((?:train|val|test)-\d+)\.(tar|parquet|now)(\.partial)?", path.name
        )
        if name and (name[1] not in mine or path.name.startswith(".")):
            path.unlink()
    abouts = [_about(job) for job in jobs]
    rows = sorted((row for about in abouts for row in about["statuses"]), key=lambda r: r["row"])
    with stages.atomic(folder / "status.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(rows, STATUS), temporary, compression="zstd")
    found = [
        {"name": f"{job['name']}.tar", "split": job["split"], "clips": clips}
        for job, about in zip(jobs, abouts, strict=True)
        if (clips := sum(row["clips"] for row in about["statuses"]))
    ]
    prints = [about["sha256"] for about in abouts]
    about = {"settings": settings, "work": work, "shards": found}
    about["fingerprint"] = stages.fingerprint(settings=settings, shards=prints)
    schema = shards.SCHEMA.with_metadata({"s1m": json.dumps(about)})
    with (
        stages.atomic(folder / "index.parquet") as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for shard in found:
            table = pq.read_table(folder / shard["name"].replace(".tar", ".parquet"))
            writer.write_table(table.cast(schema), row_group_size=max(1, len(table)))
