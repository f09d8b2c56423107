"""What `data` names, as a dataset's folder with a catalog.

    folder = datasets.listed("pocket")             # a name in `data/`
    folder = datasets.listed("/path/to/videos")    # a folder of class folders, or a table
    df = catalog.load(folder)

`pocket` is made where it is not there. The dataset of a folder or a table is a folder of its own,
and its catalog follows its source, which is never written. Clips are not made here: see `ingest`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from s1m_lab import catalog, paths, stages
from s1m_lab.paths import is_url


def listed(data: str | Path, data_seed: int | None = None) -> Path:
    """The dataset folder of a name or a path with its catalog up to date; clips are not made.

    Raises as `held` does.
    """
    with held(data, data_seed, stages.cores()) as (folder, _):
        return folder


@contextmanager
def held(
    data: str | Path, data_seed: int | None, workers: int
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """A dataset's folder, this process's alone until the block ends, and its catalog up to date.

    `data_seed` governs the split, None for that of before; `pocket` is made by so many `workers`.

    Raises:
        FileNotFoundError: there is no such dataset, folder or table.
        ValueError: a source that cannot be read, or a `data_seed` that is another than it was.
    """
    folder = _folder(data, data_seed, workers)
    with stages.exclusive(folder):
        yield folder, _catalog(data, folder, data_seed)


def own_settings(folder: Path) -> dict:
    """The settings of ingest that a dataset comes with: the `ingest` entry of `dataset.json`."""
    about = Path(folder) / "dataset.json"
    return json.loads(about.read_text("utf-8")).get("ingest", {}) if about.is_file() else {}


def _folder(data: str | Path, data_seed: int | None, workers: int) -> Path:
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
    df = _read(source, data_seed)
    if old is None or df.attrs != old.attrs or not df.equals(old):
        catalog.save(df, folder)
        gone = 0 if old is None else len(set(old["id"]) - set(df["id"]))
        if gone:
            print(f"{source} has {gone:,} videos less than it had; their clips go too", flush=True)
        about = [f"{len(df):,} videos", f"{len(df.attrs['classes'])} classes", df.attrs["split"]]
        about += [f"set aside: {n:,} {reason}" for reason, n in df.attrs["broken"].items()]
        print(f"{source}: {' · '.join(about)}", flush=True)
    return df


def _read(source: str | Path, data_seed: int) -> pd.DataFrame:
    """The catalog of a folder, of the address of one, or of a table."""
    if is_url(source) or source.is_dir():
        return catalog.read_folder(source, data_seed)
    if source.suffix.lower() in (".csv", ".parquet"):
        return catalog.read_table(source, data_seed)
    raise ValueError(f"{source} is neither a folder nor a table (.csv, .parquet)")
