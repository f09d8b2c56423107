"""A folder of class folders becomes a catalog.

df = read_folder(Path("my_videos"))           # my_videos/<class>/…/<video>
df = read_folder("s3://bucket/my_videos")     # or below train/, val/ and test/
"""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from s1m_lab.common.paths import is_url
from s1m_lab.common.storage import list_files
from s1m_lab.data import catalog, splits


def accepts(source: Path | str) -> bool:
    """Whether a source is a folder on this disk, or an address."""
    return is_url(source) or Path(source).is_dir()


def read_folder(path: Path | str, data_seed: int = 0, known: Iterable[str] = ()) -> pd.DataFrame:
    """The catalog of class folders, optionally below `train`, `val` (or `validation`) and `test`.

    The class of a video is the folder directly below `path`, or directly below the split. Deeper
    folders are searched too. Only files with a video's suffix count. Broken videos are listed;
    ingest finds out about them. Videos in no class folder are set aside and counted.

    Args:
        path: a folder on this disk, or the address of one in a bucket (`s3://…`).
        data_seed: governs the split.
        known: paths of an earlier catalog. Those that are missing now are listed all the same, so
            that no class, split or id of the others changes; `.attrs["gone"]` counts them.
    """
    from s1m_lab.video.reader import SUFFIXES

    root = str(path).rstrip("/") if is_url(path) else str(Path(path).resolve())
    separator = "/" if is_url(root) else os.sep
    there = set(list_files(root))
    known = {path[len(root) + 1 :] for path in known if path.startswith(root + separator)}
    gone = {name.replace(separator, "/") for name in known} - there
    found: list[tuple[str, ...]] = []
    broken: Counter = Counter()
    for name in sorted(there | gone):
        parts = tuple(name.split("/"))
        hidden = any(part.startswith(".") for part in parts)
        if hidden or os.path.splitext(name)[1].lower() not in SUFFIXES:
            continue
        if re.search(r"[\ud800-\udfff]", name):  # bytes that are no text
            broken["its name is not UTF-8"] += 1
        else:
            found.append(parts)
    split_first = _has_splits(root, found)
    classless = [parts for parts in found if len(parts) < 2 + split_first]
    broken["in no class folder"] += len(classless)
    found = [parts for parts in found if len(parts) >= 2 + split_first]
    if not found:
        raise ValueError(
            f"no class folders with videos in {root}; put the videos of a class into a folder with "
            f"its name (videos end in {', '.join(sorted(SUFFIXES))}), or give a table (.csv or "
            ".parquet) with the columns path and labels"
        )
    names = [catalog.one_line(parts[split_first]) for parts in found]
    classes = sorted(set(names))
    number = {name: n for n, name in enumerate(classes)}
    columns = {
        "id": catalog.unique_ids(["/".join(parts) for parts in found]),
        "labels": [[number[name]] for name in names],
        "title": [catalog.one_line(Path(parts[-1]).stem) for parts in found],
        "path": [separator.join((root, *parts)) for parts in found],
    }
    if split_first:
        columns["split"] = [splits.NAMES[parts[0].lower()] for parts in found]
    df = catalog.finish(catalog.table(columns), classes, data_seed, +broken)
    if gone:
        df.attrs["gone"] = len(gone)
    return df


def _has_splits(root: str, found: list[tuple[str, ...]]) -> bool:
    """Whether the top folders are splits; raises where some are and others are classes."""
    tops = {parts[0].lower() for parts in found if len(parts) > 1}
    others = tops - set(splits.NAMES)
    if others and {"train", "test"} <= tops:
        raise ValueError(
            f"{root} holds train and test and, beside them, {', '.join(sorted(others))}; is it "
            "split, or are these classes? Keep one of the two, or give a table"
        )
    return "train" in tops and not others
