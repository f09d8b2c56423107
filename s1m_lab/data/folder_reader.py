"""TODO data/folder_reader."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from s1m_lab.common.paths import is_url
from s1m_lab.data import catalog, splits, table_reader


def read_folder(path: Path, data_seed: int = 0, known: Iterable[str] = ()) -> pd.DataFrame:
    """Class folders of videos, optionally under `train`, `val` (or `validation`) and `test`.

    `path` is a folder on this disk, or the address of one in a bucket (`s3://…`).
    The class of a video is the folder right below `path` (or below the split); deeper folders are
    looked through. Files without a video's suffix are ignored; broken videos are listed, their
    state is found at ingest. Videos in no class folder are set aside and counted. Of videos that
    are `known` (by the `path` of an earlier catalog) those that are not there now are listed as if
    they were, so that no class, split or id of the others changes; `.attrs["gone"]` counts them.
    """
    from s1m_lab.data import locate
    from s1m_lab.video.reader import SUFFIXES

    root = str(path).rstrip("/") if is_url(path) else str(Path(path).resolve())
    found, broken = [], Counter()
    there, between = set(locate.listing(root)), "/" if is_url(root) else os.sep
    known = {path[len(root) + 1 :] for path in known if path.startswith(root + between)}
    gone = {name.replace(between, "/") for name in known} - there
    for name in sorted(there | gone):
        parts = tuple(name.split("/"))
        hidden = any(part.startswith(".") for part in parts)
        if hidden or os.path.splitext(name)[1].lower() not in SUFFIXES:
            continue
        if re.search(r"[\ud800-\udfff]", name):  # bytes that no text stands for
            broken["its name is not UTF-8"] += 1
        else:
            found.append(parts)
    tops = {parts[0].lower() for parts in found if len(parts) > 1}
    others = tops - set(splits.NAMES)
    split_first = "train" in tops and not others
    if not split_first and {"train", "test"} <= tops:
        raise ValueError(
            f"{root} holds train and test and, beside them, {', '.join(sorted(others))}; is it "
            "split, or are these classes? Keep one of the two, or give a table"
        )
    classless = [parts for parts in found if len(parts) < 2 + split_first]
    broken["in no class folder"] += len(classless)
    found = [parts for parts in found if len(parts) >= 2 + split_first]
    if not found:
        raise ValueError(
            f"no class folders with videos in {root}; put the videos of a class into a folder with "
            f"its name (videos end in {', '.join(sorted(SUFFIXES))}), or give a table (.csv or "
            ".parquet) with the columns path and labels"
        )
    names = [table_reader.clean(parts[split_first]) for parts in found]
    classes = sorted(set(names))
    number = {name: n for n, name in enumerate(classes)}
    columns = {
        "id": catalog.unique_ids(["/".join(parts) for parts in found]),
        "labels": [[number[name]] for name in names],
        "title": [table_reader.clean(Path(parts[-1]).stem) for parts in found],
        "path": [between.join((root, *parts)) for parts in found],
    }
    if split_first:
        columns["split"] = [splits.NAMES[parts[0].lower()] for parts in found]
    df = catalog.finish(catalog.table(columns), classes, data_seed, +broken)
    if gone:
        df.attrs["gone"] = len(gone)
    return df
