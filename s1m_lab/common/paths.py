"""Where data, runs and reports live, and which folder a `data` argument stands for.

    paths.home()                             # S1M_HOME, the repository or the current folder
    paths.dataset("pocket")                  # <home>/data/pocket
    ref = paths.parse_dataset("/my/videos")  # ref.folder, ref.source

Nothing is made or read here.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from s1m_lab.common.files import reading

REPOSITORY = Path(__file__).resolve().parents[2]


class DatasetRef(NamedTuple):
    """What a `data` argument stands for."""

    folder: Path  # the dataset's folder; it may not exist yet
    source: Path | str | None  # the folder, table or address that it is made from; None for a name


def home() -> Path:
    """The folder that holds `data/`, `runs/` and `reports/`, as an absolute path."""
    if os.environ.get("S1M_HOME"):
        return Path(os.environ["S1M_HOME"]).expanduser().resolve()
    return REPOSITORY if (REPOSITORY / "notebooks").is_dir() else Path.cwd()


def runs() -> Path:
    """The folder of all runs."""
    return home() / "runs"


def is_path(value: str) -> bool:
    """Whether an argument is a path (it has a separator or a suffix) and not a name.

    The name of a dataset may have a suffix: `my.videos` becomes the dataset `my.videos-<8 hex>`.
    """
    value = str(value)
    if "/" in value or os.sep in value or value in (".", ".."):
        return True
    return Path(value).suffix != "" and not (home() / "data" / value / "catalog.parquet").is_file()


def is_url(value: str | Path) -> bool:
    """Whether a value is an address (`s3://…`) and not a path."""
    return "://" in str(value)


def file_path(address: str) -> str:
    """The path of a `file:` address: `file:///a%20b` is `/a b`."""
    return unquote(re.sub(r"^//(localhost)?(?=/)", "", address[5:]))


def parse_dataset(data: str | Path) -> DatasetRef:
    """Parse a `data` argument: the name of a dataset, its folder, a path or an address.

    A name is `data/<name>`. A folder with a `catalog.parquet` is itself a dataset. The dataset of
    any other path or address is `data/<basename>-<8 hex of the path>`: the source is never
    written, and two folders with one name get two datasets.
    """
    if str(data)[:5].lower() == "file:":
        data = file_path(str(data))
    if not is_path(str(data)):
        return DatasetRef(home() / "data" / str(data), None)
    if is_url(data):
        address = str(data).rstrip("/")
        return DatasetRef(_folder_for(address, Path(address).stem), str(data))
    path = Path(data).expanduser().resolve()
    if (path / "catalog.parquet").is_file():
        return DatasetRef(path, None)
    name = path.stem if path.is_file() else path.name
    return DatasetRef(_folder_for(str(path), name or "data"), path)


def _folder_for(source: str, name: str) -> Path:
    digest = hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()
    if len(os.fsencode(name)) > 200:  # runs on it add to its name, and 255 bytes are the limit
        name = os.fsencode(name)[:150].decode("utf-8", "ignore")
    return home() / "data" / f"{name}-{digest[:8]}"


def dataset(data: str | Path) -> Path:
    """The dataset folder of a name, a path or an address; see `parse_dataset`."""
    return parse_dataset(data).folder


def name(folder: Path) -> str:
    """The `data` argument for a dataset folder: its name in `data/`, elsewhere its path."""
    folder = folder.resolve()
    return folder.name if folder.parent == (home() / "data").resolve() else str(folder)


def read_description(folder: Path) -> dict:
    """`dataset.json` of a dataset, which describes it beyond its catalog; {} where there is none.

    Entries: `ingest` (default settings), `pairs` and `categories` (of classes), `fold`, `folds`.
    Raises Damaged for one that cannot be read.
    """
    path = Path(folder) / "dataset.json"
    if not path.is_file():
        return {}
    with reading(path, "repeat the command that made the dataset, or restore a copy"):
        return dict(json.loads(path.read_text("utf-8")))
