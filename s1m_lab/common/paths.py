"""Where data, runs and reports live.

One variable moves everything: `S1M_HOME`. Without it the lab lives in its repository, and where
there is no repository (an installed package) in the working directory.
"""

import hashlib
import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def home() -> Path:
    """The folder that holds `data/`, `runs/` and `reports/`, as an absolute path."""
    if os.environ.get("S1M_HOME"):
        return Path(os.environ["S1M_HOME"]).expanduser().resolve()
    return REPOSITORY if (REPOSITORY / "notebooks").is_dir() else Path.cwd()


def runs() -> Path:
    return home() / "runs"


def is_path(value: str) -> bool:
    """Whether a `data` argument is a path (it has a separator or a suffix) and not a name.

    A suffix makes no path of a dataset in `data/`: that of `my.videos` is `my.videos-<8 hex>`.
    """
    value = str(value)
    if "/" in value or os.sep in value:
        return True
    return Path(value).suffix != "" and not (home() / "data" / value / "catalog.parquet").is_file()


def is_url(value: str | Path) -> bool:
    """Whether a value is an address (`s3://…`) and not a path."""
    return "://" in str(value)


def name(folder: Path) -> str:
    """What `dataset` finds a dataset's folder by: its name in `data/`, elsewhere its path."""
    folder = folder.resolve()
    return folder.name if folder.parent == (home() / "data").resolve() else str(folder)


def dataset(data: str | Path) -> Path:
    """The dataset folder that a name or a path stands for; nothing is made.

    A name is `data/<name>`. A path that is itself a dataset (it holds `catalog.parquet`) is that
    folder; any other path, or an address (`s3://…`), is ingested into
    `data/<basename>-<8 hex of the resolved path>`, so that the source is never written and two
    folders of one name never meet.
    """
    if not is_path(str(data)):
        return home() / "data" / str(data)
    if is_url(data):
        address = str(data).rstrip("/")
        digest = hashlib.sha256(address.encode()).hexdigest()[:8]
        return home() / "data" / f"{Path(address).stem}-{digest}"
    source = Path(data).expanduser().resolve()
    if (source / "catalog.parquet").is_file():
        return source
    digest = hashlib.sha256(str(source).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    name = source.stem if source.is_file() else source.name
    return home() / "data" / f"{name or 'data'}-{digest}"
