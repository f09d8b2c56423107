"""What `data` names, as a dataset's folder with a catalog.

    folder = datasets.listed("pocket")             # a name in `data/`
    folder = datasets.listed("/path/to/videos")    # a folder of class folders, or a table
    folder = datasets.listed("sports1m", source="sports1m_json.zip")    # Sports-1M's metadata
    df = catalog.load(folder)

`pocket` and `pocket101` (UCF-101's twin; a fold of it is `pocket101-fold2`) are made where they are
not there. The dataset of a folder or a table is a folder of its own,
and its catalog follows its source, which is never written. Clips are not made here: see `ingest`.
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from s1m_lab import __version__
from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive, fingerprint
from s1m_lab.common.paths import is_url
from s1m_lab.data import catalog, folder_reader, sports1m, table_reader
from s1m_lab.pocket import sports, sports_plan


def pairs(folder: Path) -> dict[str, list[list[str]]]:
    """The class pairs of a dataset by kind, `{"motion": [[A, B], …], …}`; {} where it has none."""
    return sports.read_about(folder).get("pairs", {})


def make_pocket(
    name: str = "pocket",
    videos: int = 0,
    data_seed: int | None = None,
    workers: int | None = None,
) -> Path:
    """Render the dataset `data/<name>` unless it is there, write its catalog, return its folder.

    The arguments are those of `pocket.sports.make`.
    """
    folder = sports.make(name, videos, data_seed, workers)
    about = sports.read_about(folder)
    rows = sports.rows(about["videos"], about["data_seed"])
    df = catalog.frame(
        catalog.table({key: [row[key] for row in rows] for key in rows[0]}),
        classes=sports_plan.CLASSES,
        data_seed=about["data_seed"],
        split=sports.SPLIT,
    )
    with exclusive(folder):
        catalog.update_catalog(df, folder)
    return folder


def listed(data: str | Path, data_seed: int | None = None, source: str = "") -> Path:
    """The dataset folder of a name or a path with its catalog up to date; clips are not made.

    With a `source`, the path of Sports-1M's metadata, it is that of the metadata: called
    `sports1m`, unless `data` names another than `pocket`. Raises as `held` does.
    """
    if source:
        return _sports1m(source, "sports1m" if data == "pocket" else data)
    with held(data, data_seed, system.cores()) as (folder, _):
        return folder


@contextmanager
def held(
    data: str | Path, data_seed: int | None, workers: int, forget: bool = False
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """A dataset's folder, this process's alone until the block ends, and its catalog up to date.

    `data_seed` governs the split, None for that of before; a pocket dataset is made by so many
    `workers`. Videos that were in a folder and are not there now stay in its catalog, with their
    classes and clips, since a disk may be away for a moment; with `forget` they go. A table is
    taken at its word: a row that is not there is no video.

    Raises:
        FileNotFoundError: there is no such dataset, folder or table.
        ValueError: a source that cannot be read, or a `data_seed` that is another than it was.
    """
    folder = _folder(data, data_seed, workers)
    with _alone(folder):
        yield folder, _catalog(data, folder, data_seed, forget)


def own_settings(folder: Path) -> dict:
    """The settings of ingest that a dataset comes with: the `ingest` entry of `dataset.json`."""
    about = Path(folder) / "dataset.json"
    return json.loads(about.read_text("utf-8")).get("ingest", {}) if about.is_file() else {}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """`stages.exclusive`, but where the block fails and has put nothing into the folder, it goes.

    Who waits for the lock sees that its file is gone, and takes a new one (filelock does).
    """
    with exclusive(folder):
        try:
            yield
        except BaseException:
            if [path.name for path in folder.iterdir()] == [".lock"]:
                shutil.rmtree(folder, ignore_errors=True)  # not on Windows, where the lock is open
            raise


def _folder(data: str | Path, data_seed: int | None, workers: int) -> Path:
    """The folder of a dataset; a pocket dataset is made if it is not there, or not whole."""
    folder = paths.dataset(data)
    there = (folder / "catalog.parquet").is_file()
    if str(data) == "pocket":
        return make_pocket(data_seed=data_seed, workers=workers)
    if re.fullmatch("pocket101(-fold[123])?", str(data)):
        from s1m_lab.data import ucf101

        return ucf101.pocket(str(data), data_seed=data_seed, workers=workers)
    if not (there or is_url(data)) and paths.is_path(str(data)):
        _kind(Path(data).expanduser().resolve())
    if there or paths.is_path(str(data)):
        return folder
    there = {
        "pocket",
        "pocket101",
        *(p.parent.name for p in folder.parent.glob("*/catalog.parquet")),
    }
    near = f"for the folder write ./{data}; " if Path(data).is_dir() else ""
    raise FileNotFoundError(
        f'no dataset "{data}" in {folder.parent} (there: {", ".join(sorted(there))}); {near}'
        "for your own videos give a path: a folder of class folders, or a table (.csv, .parquet) "
        "with the columns path and labels"
    )


def _sports1m(source: str, data: str | Path) -> Path:
    """The dataset folder of Sports-1M's metadata, read only if its files have changed since.

    Raises ValueError where the dataset was made of anything else: it is never written over.
    """
    path = Path(source).expanduser().resolve()
    if not path.exists():
        wanted = "sports1m_json.zip, a folder of its JSON or lists, or one file of them"
        raise FileNotFoundError(f"no {path}; source is Sports-1M's metadata: {wanted}")
    folder = paths.dataset(data)
    files = [*sorted(path.iterdir() if path.is_dir() else [path]), path.with_name("labels.txt")]
    files += sports1m.fold_files(path)
    states = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    now = {"path": str(path), "state": fingerprint(files=states, version=__version__)}
    with _alone(folder):
        if (folder / "catalog.parquet").is_file():
            was = catalog.load_catalog(folder).attrs.get("source")
            if was == now:
                return folder
            if was is None or was["path"] != now["path"]:
                made = f"of {was['path']}" if was else "otherwise"
                raise ValueError(
                    f"{folder} was made {made}, not of {path}; give data another name, or delete it"
                )
        df = sports1m.read_sports1m(path)
        df.attrs["source"] = now
        sports1m.save_folds(path, folder, df.attrs["classes"])
        catalog.save_catalog(df, folder)
    return folder


def _catalog(data: str | Path, folder: Path, data_seed: int | None, forget: bool) -> pd.DataFrame:
    """The dataset's catalog, brought up to date with the folder or table it was made from."""
    old = catalog.load_catalog(folder) if (folder / "catalog.parquet").is_file() else None
    source = data if is_url(data) else Path(data).expanduser().resolve()
    if not paths.is_path(str(data)) or source == folder:
        if data_seed not in (None, old.attrs["data_seed"]):
            raise ValueError(
                f"{folder} was made with data_seed {old.attrs['data_seed']}; "
                f"for data_seed {data_seed} make another dataset, or delete that folder"
            )
        return old
    if not is_url(source) and not source.exists():
        print(f"{source} is gone; its dataset {folder} is used as it was", flush=True)
        return old
    if data_seed is None:
        data_seed = 0 if old is None else old.attrs["data_seed"]
    df = _read(source, data_seed, () if forget or old is None else old["path"])
    if gone := df.attrs.get("gone"):
        again = f"python -m s1m_lab ingest {shlex.quote(str(data))} --forget"
        print(f"{source}: {gone:,} videos are not there now, and stay; if for good: {again}")
    if old is None or df.attrs != old.attrs or not df.equals(old):
        catalog.save_catalog(df, folder)
        gone = 0 if old is None else len(set(old["id"]) - set(df["id"]))
        if gone:
            print(f"{source} has {gone:,} videos less than it had; their clips go too", flush=True)
        about = [f"{len(df):,} videos", f"{len(df.attrs['classes'])} classes", df.attrs["split"]]
        about += [f"set aside: {n:,} {reason}" for reason, n in df.attrs["broken"].items()]
        print(f"{source}: {' · '.join(about)}", flush=True)
    return df


def _read(source: str | Path, data_seed: int, known: Iterable[str]) -> pd.DataFrame:
    """The catalog of a folder, of the address of one, or of a table."""
    if is_url(source) or _kind(source) == "folder":
        return folder_reader.read_folder(source, data_seed, known)
    return table_reader.read_table(source, data_seed)


def _kind(source: Path) -> str:
    """Whether a path is a "folder" or a "table"; raises where it is neither."""
    if source.is_dir():
        return "folder"
    if not source.exists():
        raise FileNotFoundError(f"no folder or table {source}")
    if source.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(f"{source} is neither a folder nor a table (.csv, .parquet)")
    return "table"
