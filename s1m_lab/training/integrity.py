"""Which files of a dataset or a run are damaged, and what mends them. Nothing is changed.

    read = []                                         # the bytes of each file that was checked
    for path, why in damaged(folder, read):
        print(path, why, mend(path))

A file with a digest must have it, and a shard that of its side file. Other files of `FORMS` must
have their form. A finished run must have its weights, its test predictions and its filters.
"""

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors import safe_open

from s1m_lab.common import files, paths
from s1m_lab.common.storage import Store
from s1m_lab.data.ingest.worker import list_stems
from s1m_lab.training.runs import Run

FORMS: dict[str, Callable] = {  # what raises where a file has not the form of its suffix
    ".json": lambda path: json.loads(path.read_bytes()),
    ".npy": lambda path: np.load(path, mmap_mode="r"),
    ".parquet": pq.read_metadata,
    ".safetensors": lambda path: safe_open(path, "np"),
}
RUN_FILES = "config.json", "results.json", "metrics.csv"
MISSING = "is missing"
PART = 1 << 23  # bytes of a shard that are read at a time


def damaged(folder: Path, read: list[int]) -> Iterator[tuple[str, str]]:
    """Damaged and missing files of a dataset or a run, with what is wrong; `read` gets the bytes of
    all."""
    for path, why in files.damaged(folder):
        yield str(path), why
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name != "videos"]
        known = files.digests(Path(place))
        for path in [Path(place, name) for name in names if name[0] != "."]:
            try:
                if known.get(path.name) or path.suffix in FORMS:
                    read.append(path.stat().st_size)
                    if not known.get(path.name):
                        FORMS[path.suffix](path)
            except FileNotFoundError:  # another process has removed it
                continue
            except Exception as error:  # every format has errors of its own
                yield str(path), " ".join(f"{type(error).__name__}: {error}".split())[:150]
    if (folder / "results.json").is_file():
        written = ["model.safetensors", "predictions/test.npy", "predictions/test.parquet"]
        written += [f"filters/{name}" for name in files.digests(folder / "filters")]
        for name in written:
            if not (folder / name).is_file():
                yield str(folder / name), MISSING
    if (folder / "clips").is_dir():
        yield from _damaged_shards(folder / "clips", read)


def _damaged_shards(clips: Path, read: list[int]) -> Iterator[tuple[str, str]]:
    """Shards that are missing, or not what their side files say; they may lie elsewhere."""
    try:
        about = json.loads(pq.read_metadata(clips / "index.parquet").metadata[b"s1m"])
    except Exception:  # there is no index yet, or it is named already
        about = {"shards": []}
    store = Store(about.get("root") or clips)
    sizes = store.sizes()
    for name in sorted({shard["name"] for shard in about["shards"]} - sizes.keys()):
        yield store.path_of(name), MISSING
    for stem in list_stems(sizes):
        name, digest = f"{stem}.tar", hashlib.sha256()
        try:
            schema = pq.read_schema(BytesIO(store.read(f"{stem}.parquet")))
            for start in range(0, sizes.get(name, 0), PART):
                digest.update(store.read(name, start, min(PART, sizes[name] - start)))
            if digest.hexdigest() != json.loads(schema.metadata[b"s1m"])["sha256"]:
                yield store.path_of(name), files.CHANGED
        except Exception as error:  # of its side file
            yield store.path_of(f"{stem}.parquet"), str(error)
        read.append(sizes.get(name, 0))


def mend(path: str, why: str = "") -> str:
    """What the user can do about a file that `damaged` names."""
    folder, name = os.path.split(path)
    if name == files.DIGESTS:
        return "remove this list: the form of its files is then checked alone"
    if os.path.basename(os.path.dirname(folder)) == "checkpoint":
        return "the checkpoint before it is used"
    within = os.path.basename(folder)
    run = Run(Path(os.path.dirname(folder) if within in ("filters", "predictions") else folder))
    resumes = (run.path / "checkpoint").is_dir()
    if within == "filters":
        return f"04_filters shows fewer steps without it; {run.anew()}"
    if (
        run.finished
        and (name.endswith(".safetensors") or name == "metrics.csv")
        or resumes
        and name == "model.safetensors"
    ):
        return run.anew()
    again, noticed = "repeat the command that made it", False
    if within == "predictions" or name in RUN_FILES:
        again, noticed = f"repeat {run.command()}", why == files.CHANGED  # by the command itself
    data = os.path.join(paths.home(), "data", "")
    dataset, _, rest = path.removeprefix(data).partition("/")
    if path.startswith(data) and rest.startswith(("clips/", "videos/")):
        again = f"run python -m s1m_lab ingest {shlex.quote(dataset)}"
    if why == MISSING or noticed:
        return again
    # not by repeating alone: ingest looks at the sizes of shards and the dates of videos
    return f"rename it to {name}.damaged and {again}"
