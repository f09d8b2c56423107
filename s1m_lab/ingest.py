"""Videos → shards, on one machine or a Dask cluster.

    folder = ingest.prepare("pocket")              # or a folder of class folders, or a table
    folder = ingest.prepare("sports1m", files="s3://bucket/videos", scheduler="tcp://10.0.0.1:8786")
    ingest.statuses(folder)                        # what became of the videos, as a table

`prepare` makes the catalog where there is none and cuts up to N random half-second segments out of
every video. The work is a list of shards, each a pure function of its videos and the settings, so
it may be spread over any number of workers, killed, and taken up again: the bytes are the same.

Beside `train-00000.tar` stands `train-00000.parquet`: its part of the index, and what it was made
of. A shard is made again when that differs; clips of videos that are as they were, and were cut
with the same settings, are copied from the old one. So a new video, a changed file or label, or
another try at those that failed costs no more than itself. A video whose file is gone keeps the
clips it has, and that is said; what could not be made again is never thrown away.
"""

import hashlib
import json
import math
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab import catalog, cluster, cutting, paths, shards, sources, stages, video
from s1m_lab.paths import is_url
from s1m_lab.store import Store

VERSION = 2  # raise it when the same videos and settings give other bytes
DEFAULTS = {
    "height": 200,
    "width": 200,
    "fps": 30.0,
    "frames": 16,
    "quality": 90,
    "clips": {"train": 8, "val": 4, "test": 20},  # §3.3: 20 clips a test video
    "max_duration": None,  # s
}
SPLITS = ("train", "val", "test")


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
) -> Path:
    """The dataset folder of a name or a path, with its clips made; does nothing where all is done.

    Args:
        data: a name in `data/`, a folder of class folders, or a table; see `catalog`.
        clips: segments a video, for all splits or `{"train": 8, "val": 4, "test": 20}`.
        size: (height, width) of the stored frames, or the side of a square.
        data_seed: governs the split and the segments.
        workers: processes; by default one a core. One: this process.
        max_duration: s; longer videos are left out, with a status. 0: none is.
        files: folder or fsspec address (`s3://…`) of the files of a catalog; see `sources.find`.
        output: fsspec address for the shards; "": the dataset's own `clips/`.
        scheduler: address of a Dask scheduler, in place of processes of this machine.
        fetch: videos that lie nowhere are read from their `url` by yt-dlp, and not kept.
        retry: videos that failed are tried again, and only those.

    What is None is what the clips were made with, or the dataset's own default (the `ingest`
    entry of its `dataset.json`), or `DEFAULTS`.
    """
    if fetch:
        _need_yt_dlp()
    workers = max(1, min(workers or stages.cores(), stages.cores()))
    folder = _dataset(data, data_seed, workers)
    here = folder / "clips"
    with stages.exclusive(folder):
        df = _catalog(data, folder, data_seed)
        settings, asked = _settings(
            folder, df, clips, size, max_duration=max_duration, files=files, output=output
        )
        root, files = asked.get("output") or str(here), asked.get("files") or ""
        if any(where.startswith("memory:") for where in (root, files, str(data))):
            workers = 1  # that memory is this process's
        jobs = _jobs(df, root, settings, sources.find(df, folder, files, fetch), retry)
        work = stages.fingerprint(inputs=[job["inputs"] for job in jobs])
        now = stages.fingerprint(now=[job["now"] for job in jobs])
        made = _made(here, root)
        todo = [] if made == {"work": work, "now": now} and not retry else _todo(jobs)
        if todo or made.get("work") != work:
            (here / "index.parquet").unlink(missing_ok=True)  # that nothing be read half-made
            with stages.atomic(here / "asked.json") as temporary:
                temporary.write_text(json.dumps(asked))
            if not is_url(root):
                there = sum(job["clips"] * sum(map(bool, job["now"])) for job in todo)
                stages.require_space(here, 1.2 * _clip_bytes(settings) * there)
            progress = stages.Progress("ingest", sum(len(job["videos"]) for job in todo), "videos")
            for n in cluster.run(cutting.make, todo, workers, cutting.without_killer, scheduler):
                progress.update(n)
            _merge(here, df, jobs, {"settings": settings, "work": work})
            with stages.atomic(here / "made.json") as temporary:
                temporary.write_text(json.dumps({"work": work, "now": now}))
            print(_summary(folder), flush=True)
        if not shards.describe(here)["shards"]:
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


def _need_yt_dlp() -> None:
    try:
        import yt_dlp  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError(
            "fetching videos needs yt-dlp: pip install -c constraints.txt -e '.[youtube]'"
        ) from None


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
    source = data if is_url(data) else Path(data).expanduser().resolve()
    if not paths.is_path(str(data)) or source == folder:
        if data_seed not in (None, old.attrs["data_seed"]):
            raise ValueError(
                f"{folder} was made with data_seed {old.attrs['data_seed']}; "
                f"for data_seed {data_seed} make another dataset, or delete that folder"
            )
        return old
    if not is_url(source) and not source.exists():
        if old is None:
            raise FileNotFoundError(f"no folder or table {source}")
        print(f"{source} is gone; its dataset {folder} is used as it was", flush=True)
        return old
    if data_seed is None:
        data_seed = 0 if old is None else old.attrs["data_seed"]
    if is_url(source) or source.is_dir():
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


def _settings(folder: Path, df: pd.DataFrame, clips, size, **others) -> tuple[dict, dict]:
    """What the clips are to be made with, and what of it was ever asked for: that is kept in
    `clips/asked.json`, so that training does not make anew what somebody made otherwise."""
    own, asked = folder / "dataset.json", folder / "clips" / "asked.json"
    own = json.loads(own.read_text()).get("ingest", {}) if own.is_file() else {}
    old = json.loads(asked.read_text()) if asked.is_file() else {}
    new = old | {name: value for name, value in others.items() if value is not None}
    if size is not None:
        new["height"], new["width"] = (size, size) if isinstance(size, int) else size
    if clips is not None:
        clips = dict.fromkeys(SPLITS, clips) if isinstance(clips, int) else clips
        new["clips"] = {**old.get("clips", {}), **clips}
    settings = {name: {**DEFAULTS, **own, **new}[name] for name in DEFAULTS}
    settings |= {"data_seed": df.attrs["data_seed"], "version": VERSION}
    settings["max_duration"] = settings["max_duration"] or None
    settings["clips"] = {
        split: int({**DEFAULTS["clips"], **own.get("clips", {}), **new.get("clips", {})}[split])
        for split in SPLITS
    }
    if not all(1 <= n <= 999 for n in settings["clips"].values()):
        raise ValueError(f"clips is {settings['clips']}; 1 to 999 a video are possible")
    if not all(16 <= settings[side] <= 1024 for side in ("height", "width")):
        raise ValueError(f"size is {settings['height']}×{settings['width']}; 16 to 1024 will do")
    if settings["max_duration"] and settings["max_duration"] < 0:
        raise ValueError(f"max_duration is {settings['max_duration']} s; it cannot be below 0")
    return settings, new


def _clip_bytes(settings: dict) -> float:
    """About what a stored clip takes; 0.35 bytes a pixel are JPEG at quality 90."""
    return settings["frames"] * (0.35 * settings["height"] * settings["width"] + 800)


def _jobs(df: pd.DataFrame, root: str, settings: dict, found: list, retry: bool) -> list[dict]:
    """The shards to be, as plain data.

    A hash of (data_seed, id) says in which shard of its split a video stands, and where: a shard
    mixes classes, and a video more or less concerns one shard alone. A shard has about 8 to
    256 MB, and a split of a middling dataset about 16; their number is a power of two, so that it
    seldom changes.
    """
    seed, size = settings["data_seed"], _clip_bytes(settings)
    cut = {name: value for name, value in settings.items() if name not in ("clips", "max_duration")}
    hashes = [hashlib.sha256(f"{seed}\n{id}".encode()).digest() for id in df["id"]]
    if len(set(df["id"])) < len(df):
        raise ValueError("two videos of the catalog have the same id")
    columns = [df[name].tolist() for name in ("id", "labels", "duration", "split")]
    rows = list(zip(hashes, *columns, found, strict=True))
    jobs = []
    for split in SPLITS:
        clips, mine = settings["clips"][split], [row for row in rows if row[4] == split]
        total = len(mine) * clips * size
        count = total / min(max(8e6, total / 16), 256e6)
        count = 2 ** max(0, round(math.log2(count))) if mine else 0
        buckets: list[list] = [[] for _ in range(count)]
        for row in mine:
            buckets[int.from_bytes(row[0][8:16]) % count].append(row)
        for number, bucket in enumerate(buckets):
            if not bucket:
                continue
            bucket.sort(key=lambda row: row[0])
            videos, now = [], []
            for digest, id, labels, duration, _, source in bucket:
                duration = None if pd.isna(duration) else float(duration)
                videos.append([digest.hex()[:16], id, [int(n) for n in labels], duration, source])
                now.append(source and source.state)
            named = [row[1:4] for row in videos]
            job = {"store": root, "name": f"{split}-{number:05d}", "split": split, "clips": clips}
            job |= {"settings": settings, "videos": videos, "now": now, "retry": retry}
            job["inputs"] = stages.fingerprint(settings=settings, clips=clips, videos=named)
            job["cut"] = stages.fingerprint(settings=cut, clips=clips)
            jobs.append(job)
    return jobs


def _made(here: Path, root: str) -> dict:
    """What the work was that ended last, and the state of its sources; {} unless its index and all
    its shards are there."""
    if not (here / "index.parquet").is_file() or not (here / "made.json").is_file():
        return {}
    about, sizes = shards.describe(here), Store(root).sizes()
    whole = all(sizes.get(shard["name"]) == shard["bytes"] for shard in about["shards"])
    there = whole and about["root"] == (root if is_url(root) else "")
    return json.loads((here / "made.json").read_text()) if there else {}


def _todo(jobs: list[dict]) -> list[dict]:
    """The jobs whose shard is not there or was made of something else."""
    todo, kept, lost = [], 0, []
    store = Store(jobs[0]["store"]) if jobs else None
    sizes = store.sizes() if jobs else {}
    with ThreadPoolExecutor(16) as pool:
        abouts = pool.map(lambda job: cutting.about(store, job["name"], sizes.get), jobs)
        for job, about in zip(jobs, abouts, strict=True):
            if not cutting.same(job, about):
                todo.append(job)
            old = {row["id"]: row for row in about["statuses"]} if about else {}
            for (_, id, *_), now in zip(job["videos"], job["now"], strict=True):
                if now is None and old.get(id, {}).get("clips"):
                    kept += 1
                    lost += [id] * (about.get("cut") != job["cut"])
    if lost:
        raise ValueError(
            f"the files of {len(lost):,} videos are gone ({', '.join(lost[:3])}, …), and the "
            "settings have changed, so that their clips would have to be made again; bring them "
            f"back, or delete {store.root} to go on without them"
        )
    if kept:
        print(f"{kept:,} video files are gone since the ingest; their clips are used", flush=True)
    return todo


def _merge(here: Path, df: pd.DataFrame, jobs: list[dict], about: dict) -> None:
    """`index.parquet` and `status.parquet` of all shards; what belongs to none is removed.

    Both stand beside the shards and, where those are in a bucket, in the dataset's `clips/` too.
    """
    store = Store(jobs[0]["store"])
    mine, sizes = {job["name"] for job in jobs}, store.sizes()
    for name in sizes:
        shard = re.fullmatch(r"\.?((?:train|val|test)-\d+)\.(tar|parquet)(\.partial)?", name)
        if shard and (shard[1] not in mine or name.startswith(".")):
            store.remove(name)
    if store.local:
        shutil.rmtree(Path(store.root, ".work"), ignore_errors=True)
    rows, found, prints, parts = [], [], [], []
    for job in jobs:
        part, facts = cutting.side(store, job["name"])
        rows.append(pa.Table.from_pylist(facts["statuses"], cutting.STATUS))
        prints.append(facts["sha256"])
        if len(part):
            shard = {"name": f"{job['name']}.tar", "split": job["split"], "clips": len(part)}
            found.append(shard | {"bytes": facts["bytes"]})
            parts.append(part)
    rows = pa.concat_tables(rows)
    order = pc.index_in(pa.array(df["id"], pa.string()), rows["id"].combine_chunks())
    with stages.atomic(here / "status.parquet") as temporary:
        pq.write_table(rows.take(order), temporary, compression="zstd")
    about |= {"root": "" if store.local else store.root, "shards": found}
    about["fingerprint"] = stages.fingerprint(settings=about["settings"], shards=prints)
    schema = shards.SCHEMA.with_metadata({"s1m": json.dumps(about)})
    with (
        stages.atomic(here / "index.parquet") as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for part in parts:
            writer.write_table(part.cast(schema), row_group_size=max(1, len(part)))
    if not store.local:
        for name in ("status.parquet", "index.parquet"):
            store.write(name, (here / name).read_bytes())
