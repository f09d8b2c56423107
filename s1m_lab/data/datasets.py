"""Datasets: from a name, a path or an address to a folder with a catalog.

    folder = datasets.listed("pocket")             # a name in `data/`
    folder = datasets.listed("/path/to/videos")    # a folder of class folders, or a table
    folder = datasets.listed("sports1m", source="sports1m_json.zip")    # Sports-1M's metadata
    df = catalog.load_catalog(folder)

`pocket` and `pocket101` are rendered if they are missing; `pocket101-fold2` is a fold of the
second. The dataset of a folder or a table is a folder of its own. Its catalog follows the source,
which is never written. `prepare` cuts the clips. To read a new kind of source, write a reader and
add a line to `READERS`.
"""

import difflib
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive, fingerprint, has_its_digest, sound
from s1m_lab.data import catalog, folder_reader, places, shards, sports1m, table_reader
from s1m_lab.pocket import render, sports
from s1m_lab.video.reader import is_video

# How each kind of source becomes a catalog; the first reader that accepts a source reads it.
# `read` takes the source, a data_seed and the catalog before, or None.
READERS = {
    "a folder": (folder_reader.accepts, folder_reader.read_folder),
    "a table (.csv, .tsv, .txt, .list, .parquet)": (table_reader.accepts, table_reader.read_table),
}
RENDERED = "pocket|pocket101(-fold[123])?"


def pairs(folder: Path) -> dict[str, list[list[str]]]:
    """The class pairs of a dataset by kind, `{"motion": [[A, B], …], …}`; {} where it has none."""
    return paths.read_description(folder).get("pairs", {})


def own_settings(folder: Path) -> dict:
    """The default ingest settings of a dataset, from its `dataset.json`."""
    settings = paths.read_description(folder).get("ingest", {})
    if not isinstance(settings, dict):
        raise ValueError(f"{folder / 'dataset.json'} says that ingest is {settings!r:.100}")
    return settings


def make_pocket(
    name: str = "pocket", videos: int = 0, data_seed: int | None = None, workers: int | None = None
) -> Path:
    """Render the dataset `data/<name>` unless it is there, write its catalog, return its folder.

    Each split of each class gets its share of the default 1,160 `videos`, rounded, and at least
    one: 64 gives 72, 10,000 gives 9,998. 0 is the size that the dataset has, or the default; see
    `pocket.render.make`.
    """
    if videos < 0:
        raise ValueError(f"videos is the number of videos to render, not {videos}")
    folder = render.make(sports, name, videos, data_seed, workers)
    about = paths.read_description(folder)
    rows = sports.rows(about["videos"], about["data_seed"])
    df = catalog.frame(
        catalog.table({key: [row[key] for row in rows] for key in rows[0]}),
        classes=sports.CLASSES,
        data_seed=about["data_seed"],
        split=sports.SPLIT,
    )
    with exclusive(folder):
        catalog.update_catalog(df, folder)
    return folder


def listed(data: str | Path, data_seed: int | None = None, source: str = "") -> Path:
    """The dataset folder of a name, a path or an address, with its catalog up to date.

    With a `source`, the path of Sports-1M's metadata, the dataset is made from that. It is called
    `sports1m`, unless `data` names another than `pocket`. Clips are not cut. Raises as `locked`.
    """
    if source:
        return _sports1m(source, "sports1m" if data == "pocket" else data)
    with locked(data, data_seed, system.cores()) as (folder, _):
        return folder


@contextmanager
def locked(
    data: str | Path, data_seed: int | None, workers: int, forget: bool = False
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """A dataset's folder and its up-to-date catalog, locked for this process within the block.

    Args:
        data: a name, a path or an address.
        data_seed: governs the split; None keeps that of before.
        workers: processes that render a pocket dataset.
        forget: drop videos that left the source folder. By default they keep their place, classes
            and clips, since a disk may be unmounted. Rows of a table are dropped at once.

    Raises:
        FileNotFoundError: there is no such dataset, folder or table.
        ValueError: a source that cannot be read, or another `data_seed` than before.
    """
    _make_rendered(str(data), data_seed, workers)
    folder, source = _find(data)
    with _locked_folder(folder):
        df, old = _read_again(folder, source, data_seed, forget)
        yield folder, _update(df, old, folder, source) if source else df


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder. If the block fails and has written nothing there, the folder is removed.

    A process that waits for the lock then makes a new lock file (filelock does).
    """
    with exclusive(folder):
        try:
            yield
        except BaseException:
            if [path.name for path in folder.iterdir()] == [".lock"]:
                shutil.rmtree(folder, ignore_errors=True)  # not on Windows, where the lock is open
            raise


def _make_rendered(name: str, data_seed: int | None, workers: int) -> None:
    """Make a rendered dataset if it is missing or incomplete; other names are left alone."""
    if name == "pocket":
        make_pocket(data_seed=data_seed, workers=workers)
    elif re.fullmatch(RENDERED, name):
        from s1m_lab.data import ucf101  # draws people; no other dataset needs it

        ucf101.make_pocket101(name, data_seed=data_seed, workers=workers)


def _find(data: str | Path) -> paths.DatasetRef:
    """What `data` stands for; raises FileNotFoundError for a name without a dataset."""
    ref = paths.parse_dataset(data)
    if ref.source or (ref.folder / "catalog.parquet").is_file():
        return ref
    name, place = ref.folder.name, ref.folder.parent
    if re.fullmatch(RENDERED, name):
        raise FileNotFoundError(f"{name} is not rendered yet; ingest it without --dry-run")
    made = {path.parent.name for path in place.glob("*/catalog.parquet")}
    names = catalog.some(sorted({"pocket", "pocket101", *made}), 10)
    near = f"for the folder write ./{name}; " if Path(name).is_dir() else ""
    near = "that is a path of Windows; " if "\\" in name else near
    raise FileNotFoundError(
        f'no dataset "{name}" in {place} (there: {names}); {near}'
        "for your own videos give a path: a folder of class folders, or a table (.csv, .parquet) "
        "with the columns path and labels"
    )


def _read(source: Path | str, data_seed: int, known: pd.DataFrame | None) -> pd.DataFrame:
    """The catalog of a source; raises where it does not exist or no reader accepts it."""
    if isinstance(source, Path) and not source.exists():
        beside = [path.name for path in source.parent.glob("*")]
        near = difflib.get_close_matches(source.name, beside, 1)
        raise FileNotFoundError(
            f"no folder or table {source}{f'; there is {near[0]}' if near else ''}"
        )
    if re.search(r"[\ud800-\udfff]", str(source)):  # bytes that are no text
        raise ValueError(f"the name of {str(source)!r} is not UTF-8; rename it")
    if paths.is_url(source) and (table_reader.accepts(str(source)) or is_video(str(source))):
        raise ValueError(
            f"{source} is a file; give the address of a folder of class folders, or copy a table "
            "to this disk"
        )
    for accepts, read in READERS.values():
        if accepts(source):
            try:
                return read(source, data_seed, known)
            except ValueError as error:
                named = str(source) in str(error)
                raise ValueError(str(error) if named else f"{source}: {error}") from None
    if is_video(str(source)):
        raise ValueError(
            f"{source} is one video; give the folder above its class folder, or label it: "
            f"python -m s1m_lab predict <run> {shlex.quote(str(source))}"
        )
    raise ValueError(
        f"{source} is neither {' nor '.join(READERS)}; save a table of another kind as .csv"
    )


def read_only(data: str | Path, data_seed: int | None, forget: bool) -> tuple[Path, pd.DataFrame]:
    """A dataset's folder and its catalog as `locked` would give them; nothing is written."""
    folder, source = _find(data)
    return folder, _read_again(folder, source, data_seed, forget)[0]


def _update(
    df: pd.DataFrame, old: pd.DataFrame | None, folder: Path, source: Path | str
) -> pd.DataFrame:
    """Write the catalog of a source where it differs from that of before, `old`; it is returned."""
    if df is old:
        print(f"{source} is missing; its dataset {folder} is used unchanged", flush=True)
        return df
    notes = df.attrs.pop("notes", [])
    if gone := df.attrs.get("gone"):
        command = f"python -m s1m_lab ingest {shlex.quote(str(source))} --forget"
        print(f"{gone:,} videos of {source} are missing; their clips stay. To drop them: {command}")
    if catalog.update_catalog(df, folder):
        dropped = 0 if old is None else len(set(old["id"]) - set(df["id"]))
        if dropped:
            print(f"{dropped:,} videos left {source}; their clips are removed")
        print("\n  ".join([f"{source}:", *catalog.summarise(df, notes)]), flush=True)
    return df


def _read_again(
    folder: Path, source: Path | str | None, data_seed: int | None, forget: bool
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The catalog of a source, and that of before; the latter for both where there is no source."""
    if source is None:
        df = catalog.load_catalog(folder)
        if data_seed not in (None, df.attrs["data_seed"]):
            raise ValueError(
                f"{folder} was made with data_seed {df.attrs['data_seed']}; "
                f"for data_seed {data_seed} make another dataset, or delete that folder"
            )
        return df, df
    old = sound(catalog.load_catalog, folder, catalog.AGAIN)
    if old is not None and isinstance(source, Path) and not source.exists():
        return old, old
    known, lost = old, (folder / "catalog.parquet").is_file() and old is None
    if data_seed is None:
        data_seed = old.attrs["data_seed"] if old is not None else 0
        data_seed = _seed_of_clips(folder, source) if lost else data_seed
    if lost and (labels := folder / "labels.txt").is_file() and has_its_digest(labels):
        known = catalog.frame(catalog.table({"id": []}), classes=catalog.read_labels(labels))
    return _read(source, data_seed, known.iloc[:0] if forget and known is not None else known), old


def _seed_of_clips(folder: Path, source: Path | str) -> int:
    """The data_seed of a dataset whose catalog is lost; its clips have it too."""
    try:
        return shards.describe(folder / "clips")["settings"]["data_seed"]
    except (OSError, KeyError):
        raise ValueError(
            f"the data_seed of {folder} is lost with its catalog; repeat with the one it had "
            f"(0 by default): prepare({str(source)!r}, data_seed=0)"
        ) from None


def _sports1m(source: str, data: str | Path) -> Path:
    """The dataset folder of Sports-1M's metadata, read again only if its files have changed.

    Raises ValueError where the dataset was made from anything else: it is never overwritten.
    """
    path = Path(source).expanduser().resolve()
    if not path.exists():
        wanted = "sports1m_json.zip, a folder of its JSON or lists, or one file of them"
        raise FileNotFoundError(f"no {path}; source is Sports-1M's metadata: {wanted}")
    folder = paths.dataset(data)
    files = [*sorted(path.iterdir() if path.is_dir() else [path]), path.with_name("labels.txt")]
    files += sports1m.fold_files(path)
    states = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    now = {"path": str(path), "state": fingerprint(files=states, version=sports1m.VERSION)}
    with _locked_folder(folder):
        old = sound(catalog.load_catalog, folder, catalog.AGAIN, True)
        if old is not None:
            before = old.attrs.get("source", {})
            if before == now:
                places.note(folder)
                return folder
            if before.get("path") != now["path"]:
                made = f"from {before['path']}" if "path" in before else "otherwise"
                raise ValueError(
                    f"{folder} was made {made}, not from {path}; give data another name, "
                    "or delete that folder"
                )
        df = sports1m.read_sports1m(path)
        df.attrs |= sports1m.read_beside(path, len(df.attrs["classes"])) | {"source": now}
        catalog.save_catalog(df, folder)
    return folder
