"""Videos → shards, on one machine or a Dask cluster.

    folder = ingest.prepare("pocket")              # or a folder of class folders, or a table
    folder = ingest.prepare("sports1m", files="s3://bucket/videos", scheduler="tcp://10.0.0.1:8786")
    ingest.statuses(folder)                        # what became of the videos, as a table

`prepare` makes the catalog where there is none and cuts up to N random half-second segments out of
every video. The work is a list of shards, each a pure function of its videos and the settings, so
it may be spread over any number of workers, killed, and taken up again: the bytes are the same.

Beside each `train-00000-1a2b3c4d.tar` stands a `.parquet`: its part of the index, and what it was
made of. A shard is made again when that differs; clips of videos that are as they were, and were
cut with the same settings, are copied from where they are. So a new video, a changed file or label,
or another try at those that failed costs no more than itself. A video whose file is out of reach
keeps the clips it has, and that is said; what could not be made again is never thrown away.
"""

import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common import system
from s1m_lab.common.files import atomic, fingerprint, require_space
from s1m_lab.common.paths import is_url
from s1m_lab.common.progress import Progress
from s1m_lab.common.storage import Store
from s1m_lab.data import datasets, locate, shards
from s1m_lab.data.ingest import cluster, worker
from s1m_lab.data.ingest.plan import Jobs, clip_bytes
from s1m_lab.data.splits import SPLITS
from s1m_lab.video import container

LITTLE = 16e6  # bytes of videos, which one core cuts in about 10 s
VERSION = 3  # raise it when the same videos and settings give other bytes
DEFAULTS = {
    "height": 200,
    "width": 200,
    "fps": 30.0,
    "frames": 16,
    "quality": 90,
    "clips": {"train": 8, "val": 4, "test": 20},  # §3.3: 20 clips a test video
    "max_duration": None,  # s
}


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
    """The dataset folder of a name or a path, with its clips made; does nothing where all is done.

    Args:
        data: a name in `data/`, a folder of class folders, or a table; see `datasets`.
        clips: segments a video, for all splits or `{"train": 8, "val": 4, "test": 20}`.
        size: (height, width) of the stored frames, or the side of a square.
        data_seed: governs the split and the segments.
        workers: processes; by default, and at most, one a core. One: this process.
        max_duration: s; longer videos are left out, with a status. 0: none is.
        files: folder or fsspec address (`s3://…`) of the files of a catalog; see `sources.find`.
        output: fsspec address or folder for the shards; "": the dataset's own `clips/`.
        scheduler: address of a Dask scheduler, in place of processes of this machine.
        fetch: the catalog's own addresses are followed: a `path` that is one, and for videos that
            lie nowhere their `url`, by yt-dlp. No original is kept.
        retry: videos that failed are tried again, and only those.
        forget: videos that are in a folder no more go, and their clips; else they stay.

    What is None is what the clips were made with, or the dataset's own default (the `ingest`
    entry of its `dataset.json`), or `DEFAULTS`.

    Raises:
        FileNotFoundError: there is no such dataset, folder or table, or no folder `files`.
        ValueError: settings that cannot be, clips that would be lost, or not one clip in the end.
        OSError: the disk has no room, or the store cannot be reached.
    """
    workers = max(1, min(workers or system.cores(), system.cores()))
    if files and not is_url(files) and not Path(files).expanduser().is_dir():
        raise FileNotFoundError(f"no folder {files}, which is where files says that the videos lie")
    with datasets.locked(data, data_seed, workers, forget) as (folder, df):
        here = folder / "clips"
        settings, asked = _settings(
            folder, df, clips, size, max_duration=max_duration, files=files, output=output
        )
        root, files = asked.get("output") or str(here), asked.get("files") or ""
        if any(where.startswith("memory:") for where in (root, files, str(data))):
            workers = 1  # that memory is this process's
        found = locate.find(df, folder, files, fetch, data=str(data))
        if not any(found) and not (here / "index.parquet").is_file():
            raise ValueError(_nowhere(df, folder, files))
        if any(source and source.kind == "address" for source in found):
            _need_yt_dlp()
        jobs = Jobs(df, root, settings, found, retry)
        facts = [(job["inputs"], job["now"]) for job in jobs]
        work = fingerprint(inputs=[inputs for inputs, _ in facts])
        now = fingerprint(now=[states for _, states in facts])
        made = _made(here, root)
        if retry or made != {"work": work, "now": now}:
            stems = _survey(jobs, {inputs: n for n, (inputs, _) in enumerate(facts)})
            todo = [n for n, shard in enumerate(jobs.shards) if shard.name not in stems]
            if todo or made.get("work") != work:
                if not is_url(root):
                    each = settings["clips"]
                    there = sum(
                        each[jobs.shards[n].split] * sum(map(bool, facts[n][1])) for n in todo
                    )
                    require_space(Path(root), 1.2 * clip_bytes(settings) * there)
                here.mkdir(parents=True, exist_ok=True)
                (here / "index.parquet").unlink(missing_ok=True)  # that nothing be read half-made
                _note(here / "asked.json", asked)
                total = sum(len(jobs.shards[n].rows) for n in todo)
                progress = Progress("ingest", total, "videos")
                pending = (jobs[n] for n in todo)  # each is built when a worker is free
                rows = [row for n in todo for row in jobs.shards[n].rows]
                little = sum(found[row].size for row in rows if found[row]) < LITTLE
                for name, stem, n in cluster.run(worker.make, pending, workers, scheduler, little):
                    stems[name] = stem
                    progress.update(n)
                _merge(here, df, jobs, stems, {"settings": settings, "work": work})
                print(_summary(folder), flush=True)
                if aside := df.attrs.get("broken"):
                    rows = " · ".join(f"{n:,} {reason}" for reason, n in aside.items())
                    print(f"set aside when the catalog was read: {rows}", flush=True)
            _note(here / "made.json", {"work": work, "now": now})
        if not shards.describe(here)["shards"]:
            why = statuses(folder)["meaning"].iloc[0]
            raise ValueError(f"not one clip could be made; {_summary(folder)} ({why})")
    return folder


def statuses(folder: Path) -> pd.DataFrame:
    """How many videos of each split ended with which status, the commonest first."""
    rows = pq.read_table(Path(folder) / "clips" / "status.parquet", columns=["split", "status"])
    counts = rows.to_pandas().value_counts().unstack(0, fill_value=0)
    counts = counts.reindex(columns=[s for s in SPLITS if s in counts.columns])
    counts["videos"] = counts.sum(axis=1)
    counts["meaning"] = [container.REASONS[status] for status in counts.index]
    return counts.sort_values("videos", ascending=False, kind="stable").rename_axis(columns=None)


def _summary(folder: Path) -> str:
    counts = statuses(folder)["videos"]
    clips = sum(shard["clips"] for shard in shards.describe(folder / "clips")["shards"])
    outcome = " · ".join(f"{status} {n:,}" for status, n in counts.items())
    return f"{folder.name}: {counts.sum():,} videos, {clips:,} clips · {outcome}"


def _nowhere(df: pd.DataFrame, folder: Path, files: str) -> str:
    """That no video of a catalog is there, and where it was looked for."""
    if df["path"].notna().all() and not files:
        where = "the places that its catalog names"
    else:
        where = f"{files or folder / 'videos'}, whose files would be named by id"
    return (
        f"none of the {len(df):,} videos of {folder.name} is in {where}; --files names the folder "
        "or address they lie in, --fetch follows the catalog's own addresses"
    )


def _note(path: Path, what: dict) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(what), encoding="utf-8")


def _need_yt_dlp() -> None:
    try:
        import yt_dlp  # noqa: F401
    except ImportError:
        raise ModuleNotFoundError(
            "fetching videos needs yt-dlp: pip install -c constraints.txt -e '.[youtube]'"
        ) from None


def _settings(folder: Path, df: pd.DataFrame, clips, size, **others) -> tuple[dict, dict]:
    """What the clips are to be made with, and what of it was ever asked for: that is kept in
    `clips/asked.json`, so that training does not make anew what somebody made otherwise."""
    own, asked = datasets.own_settings(folder), folder / "clips" / "asked.json"
    old = json.loads(asked.read_text()) if asked.is_file() else {}
    new = old | {name: value for name, value in others.items() if value is not None}
    for name in ("files", "output"):
        if new.get(name) and not is_url(new[name]):
            new[name] = str(Path(new[name]).expanduser().resolve())
    if size is not None:
        new["height"], new["width"] = (size, size) if isinstance(size, int) else size
    if clips is not None:
        if isinstance(clips, dict) and (unknown := set(clips) - set(SPLITS)):
            raise ValueError(f"clips names {', '.join(map(str, unknown))}; splits are {SPLITS}")
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


def _made(here: Path, root: str) -> dict:
    """What the work was that ended last, and the state of its sources; {} unless its index and all
    its shards are there."""
    if not (here / "index.parquet").is_file() or not (here / "made.json").is_file():
        return {}
    about, sizes = shards.describe(here), Store(root).sizes()
    whole = all(sizes.get(shard["name"]) == shard["bytes"] for shard in about["shards"])
    there = whole and about["root"] == _root(here, root)
    return json.loads((here / "made.json").read_text("utf-8")) if there else {}


def _root(here: Path, root: str) -> str:
    """Where the shards are, as the index says it: "" for beside the index."""
    return "" if root == str(here) else root


def _survey(jobs: Jobs, numbers: dict[str, int]) -> dict[str, str]:
    """The stems of the shards that are as their jobs would make them, by the jobs' names; `numbers`
    are those of the jobs, by their `inputs`. The other jobs are told (`old`) which shards hold
    clips or statuses of their videos.

    Raises ValueError where clips would be lost that cannot be made again.
    """
    store, found, old = Store(jobs.store), {}, {}
    for stem, (_, facts) in _sides(store, worker.stems(store.sizes())):
        number = numbers.get(facts["inputs"])
        if number is not None and worker.same(job := jobs[number], facts):
            well = sum(row["status"] == "ok" for row in facts["statuses"])
            found[job["name"]] = max(found.get(job["name"], (0, "")), (well, stem))
        for row in facts["statuses"]:
            old.setdefault(row["id"], []).append(
                (stem, facts["cut"], row["clips"], row.get("duration"))
            )
    kept, lost = 0, []
    for job in jobs if old else ():
        longest = job["settings"]["max_duration"] or math.inf
        for (_, id, _, duration, _), now in zip(job["videos"], job["now"], strict=True):
            clips = [one for one in old.get(id, ()) if one[2]]
            if now is None and clips:
                kept += 1
                usable = any(cut == job["cut"] for _, cut, _, _ in clips)
                known = duration or max(seconds or 0 for *_, seconds in clips)
                lost += [id] * (not usable or known > longest)
        if job["name"] not in found:
            stems = {one[0] for video in job["videos"] for one in old.get(video[1], ())}
            jobs.old[job["name"]] = sorted(stems)
    if lost:
        raise ValueError(
            f"{len(lost):,} videos are out of reach ({', '.join(lost[:3])}, …) and the settings "
            "have changed, so that their clips would go and could not be made again; bring the "
            f"videos back, forget them (--forget), or delete {store.root} to go on without them"
        )
    if kept:
        print(f"{kept:,} videos are out of reach now; the clips they have are used", flush=True)
    return {name: stem for name, (_, stem) in found.items()}


def _sides(store: Store, stems: list[str]) -> Iterator[tuple[str, tuple[pa.Table, dict]]]:
    """The side files of shards, a few at a time."""
    with ThreadPoolExecutor(16) as pool:
        for n in range(0, len(stems), 64):
            some = stems[n : n + 64]
            yield from zip(some, pool.map(lambda stem: worker.side(store, stem), some), strict=True)


def _merge(here: Path, df: pd.DataFrame, jobs: Jobs, stems: dict, about: dict) -> None:
    """`index.parquet` and `status.parquet` of all shards; then what belongs to none is removed.

    Both stand beside the shards and, where those are elsewhere, in the dataset's `clips/` too.
    """
    root, mine = jobs.store, [stems[shard.name] for shard in jobs.shards]
    store, rows, found, prints = Store(root), [], [], []
    with (
        atomic(here / "index.parquet") as temporary,
        pq.ParquetWriter(temporary, shards.SCHEMA, compression="zstd") as writer,
    ):
        for job, (stem, (part, facts)) in zip(jobs.shards, _sides(store, mine), strict=True):
            rows.append(pa.Table.from_pylist(facts["statuses"], worker.STATUS))
            prints.append(facts["sha256"])
            if len(part):
                shard = {"name": f"{stem}.tar", "split": job.split, "clips": len(part)}
                found.append(shard | {"bytes": facts["bytes"]})
                part = part.replace_schema_metadata().cast(shards.SCHEMA)
                writer.write_table(part, row_group_size=len(part))
        about |= {"root": _root(here, root), "shards": found}
        about["fingerprint"] = fingerprint(settings=about["settings"], shards=prints)
        writer.add_key_value_metadata({"s1m": json.dumps(about)})
    rows = pa.concat_tables(rows)
    order = pc.index_in(pa.array(df["id"], pa.string()), rows["id"].combine_chunks())
    with atomic(here / "status.parquet") as temporary:
        pq.write_table(rows.take(order), temporary, compression="zstd")
    if root != str(here):
        for name in ("status.parquet", "index.parquet"):
            store.write(name, (here / name).read_bytes())
    shard = re.compile(rf"{worker.SHARD}(-[0-9a-f]{{8}})?\.(tar|parquet)")
    kept = set(mine)
    for name in store.sizes():
        if shard.fullmatch(name) and name.rpartition(".")[0] not in kept:
            store.remove(name)
    store.remove_folder(".work")
