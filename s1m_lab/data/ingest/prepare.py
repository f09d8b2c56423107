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

import importlib.util
import json
import math
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common import processes, system
from s1m_lab.common.files import (
    Damaged,
    atomic,
    fingerprint,
    is_sound,
    reading,
    require_space,
    sound,
    write_json,
)
from s1m_lab.common.paths import is_url
from s1m_lab.common.progress import Progress
from s1m_lab.common.storage import Store
from s1m_lab.data import catalog, datasets, locate, places, shards
from s1m_lab.data.ingest import worker
from s1m_lab.data.ingest.plan import ShardJobs, clip_bytes
from s1m_lab.data.locate import Source
from s1m_lab.data.splits import SPLITS
from s1m_lab.video import container

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
        workers: processes; by default, and at most, one per core. One: this process.
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
    _check_folder(files)
    with datasets.locked(data, data_seed, workers, forget) as (folder, df):
        here = folder / "clips"
        new = {"max_duration": max_duration, "files": files, "output": output}
        settings, asked, sources = _request(folder, df, data, clips, size, fetch, new)
        for place in filter(None, (asked.get("files"), asked.get("output"))):
            places.note(folder, place)
        root = asked.get("output") or str(here)
        jobs = ShardJobs(df, root, settings, sources, retry)
        if any(p.startswith("memory:") for p in (root, asked.get("files") or "", str(data))):
            workers = 1  # that memory belongs to this process
        _bring_up_to_date(here, jobs, asked, workers, scheduler)
        if not shards.describe(here)["shards"]:
            first, *why = _summarise(folder)
            raise ValueError(f"not one clip could be made of {first}; {'; '.join(why)}")
    return folder


def _bring_up_to_date(
    here: Path, jobs: ShardJobs, asked: dict, workers: int, scheduler: str
) -> None:
    """Cut the shards that are missing or out of date, and describe all of them in `here`."""
    before = _last_marks(here, jobs)
    if before == jobs.marks and not jobs.retry:
        return
    stems = _survey(jobs)
    todo = [n for n, shard in enumerate(jobs.shards) if shard.name not in stems]
    if todo or before.get("work") != jobs.marks["work"]:
        _make_room(jobs, todo)
        for note in _copy_notes(jobs.df, jobs.sources):
            print(note, flush=True)
        here.mkdir(parents=True, exist_ok=True)
        (here / "index.parquet").unlink(missing_ok=True)  # nobody reads half-made clips
        write_json(here / "asked.json", asked)
        progress = Progress("ingest", sum(len(jobs.shards[n].rows) for n in todo), "videos")
        pending = (jobs[n] for n in todo)  # each is built when a worker is free
        for name, stem, videos in processes.run(worker.cut_shard, pending, workers, scheduler):
            stems[name] = stem
            progress.update(videos)
        _merge(here, jobs, [stems[shard.name] for shard in jobs.shards], asked)
        print(*_summarise(here.parent), sep="\n  ", flush=True)
    write_json(here / "made.json", jobs.marks)


def _check_folder(files: str | None) -> None:
    if files and not is_url(files) and not Path(files).expanduser().is_dir():
        raise FileNotFoundError(f"files is {files}, and there is no such folder")


def _check_sources(sources: list, df: pd.DataFrame, folder: Path, files: str) -> None:
    """Raise where not one video is in reach, or yt-dlp is needed and missing."""
    if any(source and source.kind == "address" for source in sources):
        if importlib.util.find_spec("yt_dlp") is None:
            raise ModuleNotFoundError(
                "fetching videos needs yt-dlp: pip install -c constraints.txt -e '.[youtube]'"
            )
    if not sources:
        raise ValueError(f"the catalog of {folder} lists no videos; give it a row for each")
    if any(sources) or (folder / "clips" / "index.parquet").is_file():
        return
    if len(named := df["path"].dropna()) == len(df) and (is_url(named.iloc[0]) or not files):
        way = "its place was listed and has no such file"
        if not is_url(named.iloc[0]):
            way = "correct the paths (in a table they count from its folder)"
        raise ValueError(
            f"none of the {len(df):,} videos of {folder.name} is where its source says, such as "
            f"{named.iloc[0]}; {way}"
        )
    raise ValueError(
        f"none of the {len(df):,} videos of {folder.name} is in {files or folder / 'videos'}, "
        "where files are found by id; --files names the folder or address they lie in, --fetch "
        "follows the catalog's own addresses"
    )


def _make_room(jobs: ShardJobs, todo: list[int]) -> None:
    """Raise `OSError` unless the disk can hold the clips of the shards `todo`."""
    if is_url(jobs.store):
        return
    clips = 0
    for shard in (jobs.shards[n] for n in todo):
        near = sum(bool((own := jobs.sources[row]) and own.state) for row in shard.rows)
        clips += near * jobs.settings["clips"][shard.split]
    require_space(Path(jobs.store), 1.2 * clips * clip_bytes(jobs.settings))


def load_statuses(folder: Path) -> pd.DataFrame:
    """How many videos of each split ended with which status, the most common first.

    `meaning` explains a status; `example` is the file, or the id, of a video that is not `ok`.
    """
    folder = Path(folder)
    rows = shards.read_statuses(folder, ["id", "split", "status"]).to_pandas()
    counts = rows[["split", "status"]].value_counts().unstack(0, fill_value=0)
    counts = counts.reindex(columns=[s for s in SPLITS if s in counts.columns])
    counts["videos"] = counts.sum(axis=1)
    counts["meaning"] = [
        container.REASONS.get(name, "no status of this lab") for name in counts.index
    ]
    first = rows[rows["status"] != "ok"].drop_duplicates("status").set_index("id")["status"]
    files = catalog.load_catalog(folder).set_index("id")["path"].reindex(first.index)
    examples = files.where(files.notna(), first.index).set_axis(first)
    counts["example"] = examples.reindex(counts.index).fillna("")
    return counts.sort_values("videos", ascending=False, kind="stable").rename_axis(columns=None)


def readable(folder: Path) -> pd.DataFrame:
    """The rows of a dataset's catalog that have clips."""
    rows = shards.read_statuses(folder, ["id", "clips"]).to_pandas()
    df = catalog.load_catalog(folder)
    return df[df["id"].isin(rows.loc[rows["clips"] > 0, "id"])]


def _summarise(folder: Path) -> list[str]:
    """What became of the videos: how many clips, a line for each status, and what is missing."""
    counts, df = load_statuses(folder), catalog.load_catalog(folder)
    clips = sum(shard["clips"] for shard in shards.describe(folder / "clips")["shards"])
    lines = [f"{folder.name}: {counts['videos'].sum():,} videos, {clips:,} clips"]
    for status, row in counts.iterrows():
        more = f": {row['meaning']}, such as {row['example']}" if row["example"] else ""
        lines.append(f"{status} {row['videos']:,}{more}")
    still = (pc.field("status") == "ok") & pc.field("detail").is_valid()
    if stills := len(shards.read_statuses(folder, ["id"], still)):
        lines.append(f"{stills:,} of the ok have clips that hold one picture still")
    lines += [f"left out: {n:,} {reason}" for reason, n in df.attrs.get("broken", {}).items()]
    return lines + catalog.class_notes(readable(folder), "readable video")


def _copy_notes(df: pd.DataFrame, sources: list[Source | None]) -> list[str]:
    """A sentence for files with the same bytes in several classes, and one for several splits."""
    groups, notes = locate.find_copies(sources), []
    for column, several in (("labels", "classes"), ("split", "splits")):
        values = df[column].map(str).to_numpy()
        torn = [group for group in groups if len(set(values[list(group)])) > 1]
        if torn:
            files = catalog.some([" = ".join(list(group.values())[:2]) for group in torn], 3)
            notes.append(
                f"the same video stands in several {several}: {files}; remove the copies, or no "
                "score can be trusted"
            )
    return notes


def preview(
    data: str | Path,
    data_seed: int | None = None,
    clips: int | dict | None = None,
    size: int | tuple[int, int] | None = None,
    fetch: bool = False,
    forget: bool = False,
    **new: Any,
) -> list[str]:
    """What `prepare` understands of a dataset, a line each; decodes and writes nothing.

    The arguments and errors are those of `prepare`; `new` are max_duration, files and output.
    """
    _check_folder(new.get("files"))
    folder, df = datasets.read_only(data, data_seed, forget)
    settings, asked, sources = _request(folder, df, data, clips, size, fetch, new)
    there = np.array([bool(source and source.state) for source in sources])
    notes = df.attrs.get("notes", [])
    if gone := df.attrs.get("gone"):
        notes = [*notes, f"{gone:,} videos are missing now and stay; --forget drops them"]
    lines = catalog.summarise(df, notes) + _copy_notes(df, sources)
    if not there.all():
        row = df[~there].iloc[0]
        example = row["id"] if pd.isna(row["path"]) else row["path"]
        lines.append(f"out of reach: {(~there).sum():,} videos, such as {example}")
    if empty := [own.where for own in sources if own and own.size == 0]:
        lines.append(f"empty files: {len(empty):,}, such as {empty[0]}")
    count = int(df["split"][there].map(settings["clips"]).astype(int).sum())
    megabytes = count * clip_bytes(settings) / 1e6
    place = asked.get("output") or folder
    return [*lines, f"at most {count:,} clips, about {megabytes:,.0f} MB, in {place}"]


def _request(
    folder: Path,
    df: pd.DataFrame,
    data: str | Path,
    clips: int | dict | None,
    size: int | tuple[int, int] | None,
    fetch: bool,
    new: dict,
) -> tuple[dict, dict, list[Source | None]]:
    """The settings of the clips, all that was ever asked for, and the source of each video.

    `new` is what is asked for beyond the other arguments. All of it is kept in `clips/asked.json`,
    so that a training does not make clips anew that somebody made with other settings.
    """
    path = folder / "clips" / "asked.json"
    own = _check_noted(datasets.own_settings(folder), folder / "dataset.json")
    before = _check_noted(_asked_before(path), path)
    asked = before | {name: value for name, value in new.items() if value is not None}
    for name in ("files", "output"):
        if asked.get(name) and not is_url(asked[name]):
            asked[name] = str(Path(asked[name]).expanduser().resolve())
    places.check(folder, new, files=asked.get("files", ""), output=asked.get("output", ""))
    if (there := asked.get("output", "")) and not is_url(there):
        if os.path.exists(there) and not os.path.isdir(there):
            raise NotADirectoryError(f"output is {there}, which is no folder")
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
    files = asked.get("files") or ""
    sources = locate.find(df, folder, files, fetch, str(data))
    _check_sources(sources, df, folder, files)
    return settings, asked, sources


def _asked_before(path: Path) -> dict:
    """What was asked for before, from `asked.json`, or else from the index, which has a copy."""

    def read() -> dict:
        with reading(path, "the index has a copy", aside=True):
            return json.loads(path.read_text("utf-8")) | {}

    asked, damaged = sound(read), path.with_name("asked.json.damaged")
    if asked is None and path.with_name("index.parquet").is_file():
        asked = shards.describe(path.parent).get("asked")
    if asked is None and damaged.is_file():
        raise ValueError(
            f"the options of {path.parent} are lost; remove {damaged} and repeat ingest with them"
        )
    return asked or {}


def _check_noted(noted: dict, path: Path) -> dict:
    """The settings that a file of the dataset names; raises ValueError for other types."""
    for name in ({*DEFAULTS} | {"files", "output"}) & set(noted):
        kind: Any = type(DEFAULTS.get(name, ""))
        kind, value = (int, float, type(None)) if kind in (float, type(None)) else kind, noted[name]
        items = list(value.values()) if kind is dict and isinstance(value, dict) else []
        if not isinstance(value, kind) or not all(isinstance(n, int) for n in items):
            raise ValueError(f"{path} says that {name} is {value!r:.100}; correct or delete it")
    return noted


def _check_settings(settings: dict) -> None:
    """Raise ValueError for settings that are impossible."""
    for name, most in (("frames", 999), ("fps", 999), ("quality", 100)):
        if not 0 < settings[name] <= most:
            raise ValueError(f"{name} is {settings[name]}; up to {most} are possible")
    if not all(1 <= n <= 999 for n in settings["clips"].values()):
        raise ValueError(f"clips is {settings['clips']}; 1 to 999 per video are possible")
    if not all(16 <= settings[side] <= 1024 for side in ("height", "width")):
        raise ValueError(
            f"size is {settings['height']}×{settings['width']}; 16 to 1024 are possible"
        )
    if settings["max_duration"] and not settings["max_duration"] > 0:
        raise ValueError(f"max_duration is {settings['max_duration']} s; it must be above 0")


def _last_marks(here: Path, jobs: ShardJobs) -> dict:
    """The marks of the ingest that ended last; {} unless all that it made is there.

    Damaged files are named and made again.
    """
    names = "index.parquet", "status.parquet", "asked.json", "made.json"
    made = [here / name for name in names]
    if not all([is_sound(path) for path in made]):
        return {}
    try:
        about, sizes = shards.describe(here), Store(jobs.store).sizes()
        with reading(made[-1], "it is made again", aside=True):
            marks = json.loads(made[-1].read_text("utf-8"))
            marks = {name: marks[name] for name in jobs.marks}
    except Damaged as error:
        print(error, flush=True)
        return {}
    complete = all(
        sizes.get(shard["name"]) == shard["bytes"]
        and Path(shard["name"]).with_suffix(".parquet").name in sizes
        for shard in about["shards"]
    )
    return marks if complete and (about["root"] or str(here)) == jobs.store else {}


def _survey(jobs: ShardJobs) -> dict[str, str]:
    """The stems of the finished shards, by the names of their jobs.

    Jobs get the stems of the older shards (`jobs.old`) that hold clips or statuses of their videos.
    Raises ValueError where clips would be lost that cannot be made again.
    """
    store, numbers = Store(jobs.store), {inputs: n for n, inputs in enumerate(jobs.inputs)}
    finished: dict[str, tuple[int, str]] = {}  # name → sound videos, stem; the best one counts
    rows, sizes = [], store.sizes()
    for stem, (_, facts) in _read_side_files(store, worker.list_stems(sizes)):
        number, tar = numbers.get(facts["inputs"]), f"{stem}.tar"
        is_whole = sizes.get(tar) == facts["bytes"]
        if not is_whole:
            why = f" ({sizes[tar]:,} of {facts['bytes']:,} bytes)" if tar in sizes else ""
            print(f"{store.path_of(tar)} is damaged{why}; its sound clips are kept", flush=True)
            store.set_aside(tar)
        if is_whole and number is not None and worker.is_current(job := jobs[number], facts):
            ok = sum(row["status"] == "ok" for row in facts["statuses"])
            finished[job.name] = max(finished.get(job.name, (0, "")), (ok, stem))
        for row in facts["statuses"]:
            rows.append((row["id"], stem, facts["cut"], row["clips"], row.get("duration")))
    old = pd.DataFrame(rows, columns=["id", "stem", "cut", "clips", "seconds"])
    old = old.astype({"clips": int, "seconds": float}).merge(_videos(jobs), on="id")
    jobs.old = {name: sorted(set(stems)) for name, stems in old.groupby("shard")["stem"]}
    _keep_out_of_reach(old[old["away"] & (old["clips"] > 0)], jobs)
    return {name: stem for name, (_, stem) in finished.items()}


def _videos(jobs: ShardJobs) -> pd.DataFrame:
    """Each video of the jobs: `id, shard, wanted` (its `cut`), `listed` (s), `away` (no file)."""
    names = np.empty(len(jobs.df), object)
    for shard in jobs.shards:
        names[shard.rows] = shard.name
    return pd.DataFrame(
        {
            "id": jobs.df["id"].to_numpy(object),
            "shard": names,
            "wanted": jobs.df["split"].map(jobs.cuts).to_numpy(object),
            "listed": jobs.df["duration"].to_numpy(float, na_value=math.nan),
            "away": [source is None or source.state is None for source in jobs.sources],
        }
    )


def _keep_out_of_reach(old: pd.DataFrame, jobs: ShardJobs) -> None:
    """Print how many videos have clips and are out of reach; raise if some would lose theirs."""
    longest = jobs.settings["max_duration"] or math.inf
    seconds = old["listed"].fillna(old.groupby("id")["seconds"].transform("max")).fillna(0)
    usable = (old["cut"] == old["wanted"]) & (seconds <= longest)
    away = set(old["id"])
    if lost := sorted(away - set(old["id"][usable])):
        raise ValueError(
            f"{len(lost):,} videos are out of reach ({catalog.some(lost, 3)}) and the settings "
            "have changed, so that their clips would go and could not be made again; bring the "
            "videos back, drop them (those of a folder by --forget, of a table by deleting their "
            f"rows), or delete {jobs.store} to start again"
        )
    if away:
        n = f"{len(away):,}"
        print(f"{n} videos are out of reach now; the clips they have are used", flush=True)


def _read_side_files(store: Store, stems: list[str]) -> Iterator[tuple[str, tuple[pa.Table, dict]]]:
    """The side files of shards, some at a time; damaged ones are named and left out."""

    def read(stem: str) -> tuple[pa.Table, dict] | None:
        try:
            return worker.read_side_file(store, stem)
        except Damaged as error:
            print(error, flush=True)
            return None

    with ThreadPoolExecutor(16) as pool:
        for n in range(0, len(stems), 64):
            some = stems[n : n + 64]
            files = zip(some, pool.map(read, some), strict=True)
            yield from ((stem, file) for stem, file in files if file)


def _merge(here: Path, jobs: ShardJobs, stems: list[str], asked: dict) -> None:
    """Write `index.parquet` and `status.parquet` of all shards, and remove what belongs to none.

    Both files lie in the dataset's `clips/` and, if the shards are elsewhere, beside these too.
    """
    store, rows, found, prints = Store(jobs.store), [], [], []
    with (
        atomic(here / "index.parquet", record=True) as temporary,
        pq.ParquetWriter(temporary, shards.SCHEMA, compression="zstd") as writer,
    ):
        parts = _read_side_files(store, stems)
        for planned, (stem, (part, facts)) in zip(jobs.shards, parts, strict=True):
            rows.append(pa.Table.from_pylist(facts["statuses"], worker.STATUS))
            prints.append(facts["sha256"])
            if len(part):
                shard = {"name": f"{stem}.tar", "split": planned.split, "clips": len(part)}
                found.append(shard | {"bytes": facts["bytes"]})
                if "crcs" not in part.column_names:  # of an older lab
                    part = part.append_column(
                        "crcs", pa.nulls(len(part), shards.SCHEMA.field("crcs").type)
                    )
                part = part.replace_schema_metadata().cast(shards.SCHEMA)
                writer.write_table(part, row_group_size=len(part))
        about = {"settings": jobs.settings, "work": jobs.marks["work"]}
        about |= {"root": "" if jobs.store == str(here) else jobs.store}  # "": beside the index
        about |= {"shards": found, "asked": asked}
        about["fingerprint"] = fingerprint(settings=jobs.settings, shards=prints)
        writer.add_key_value_metadata({"s1m": json.dumps(about)})
    table = pa.concat_tables(rows)
    order = pc.index_in(pa.array(jobs.df["id"], pa.string()), table["id"].combine_chunks())
    with atomic(here / "status.parquet", record=True) as temporary:
        pq.write_table(table.take(order), temporary, compression="zstd")
    if jobs.store != str(here):
        for name in ("status.parquet", "index.parquet"):
            store.write(name, (here / name).read_bytes())
    kept = {f"{stem}.{kind}" for stem in stems for kind in ("tar", "parquet")}
    pattern = rf"{worker.SHARD}(-[0-9a-f]{{8}})?\.(tar|parquet)(\.damaged)?"
    store.remove(*(n for n in store.sizes() if re.fullmatch(pattern, n) and n not in kept))
    store.remove(".work")
