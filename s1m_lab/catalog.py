"""Sports-1M, UCF-101, folders and tables as one tidy DataFrame.

A catalog holds a row a video (`SCHEMA`). It is backed by Arrow, without object columns, so that a
million rows stay small and fast. What belongs to the whole set is in `.attrs`: `classes` (their
names, by number), `data_seed`, `split` (a sentence on how the split came about) and `broken` (how
many rows of the source were set aside, by reason).

    df = catalog.read_folder("my_videos")        # class folders, perhaps under train/ val/ test/
    df = catalog.read_table("videos.csv")        # path, labels, and if known split, group
    catalog.save(df, folder); df = catalog.load(folder)
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab import splits, sports1m, stages, tables, ucflists
from s1m_lab.paths import is_url

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("labels", pa.list_(pa.int16())),
        ("title", pa.string()),
        ("duration", pa.float32()),  # s, as the source says; 0 and unknown are null
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("thumbnail", pa.string()),
        ("path", pa.string()),  # of the video file; a relative one is relative to the dataset
        ("url", pa.string()),
        ("group", pa.string()),  # videos that must not be split (one person, one recording)
    ]
)
LOW = ["split", "labels.list.element", "duration", "width", "height", "group"]  # few values
PARQUET = {  # ids do not compress, and packing titles takes longest
    "compression": dict.fromkeys([*SCHEMA.names, "labels.list.element"], "snappy")
    | {"id": "none", "title": "none"},
    "use_dictionary": LOW,
    "write_statistics": LOW,
    "row_group_size": 1 << 17,
}


def table(columns: dict) -> pa.Table:
    """An Arrow table of `SCHEMA` from lists or arrays by column name; what is left out is null."""
    rows = len(columns["id"])
    arrays = []
    for field in SCHEMA:
        column = columns.get(field.name)
        if column is None:
            arrays.append(pa.nulls(rows, field.type))
        elif isinstance(column, pa.Array | pa.ChunkedArray):
            arrays.append(column.cast(field.type))
        else:
            arrays.append(pa.array(column, field.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def frame(rows: pa.Table, **attrs) -> pd.DataFrame:
    """The catalog of an Arrow table of `SCHEMA`; `attrs` are at least `classes`, `data_seed` and
    `split`."""
    df = rows.select(SCHEMA.names).cast(SCHEMA).to_pandas(types_mapper=pd.ArrowDtype)
    df.attrs = attrs
    return df


def save(df: pd.DataFrame, folder: Path) -> None:
    """Write `catalog.parquet` (attrs as JSON in its schema) and `labels.txt` (a class a line).

    The catalog comes last: where it stands, all of it stands.
    """
    folder = Path(folder)
    rows = pa.Table.from_pandas(df, SCHEMA, preserve_index=False)
    rows = rows.replace_schema_metadata({"s1m": json.dumps(df.attrs, ensure_ascii=False)})
    with stages.atomic(folder / "labels.txt") as temporary:
        text = "".join(f"{name}\n" for name in df.attrs["classes"])
        temporary.write_bytes(text.encode())
    with stages.atomic(folder / "catalog.parquet") as temporary:
        pq.write_table(rows, temporary, **PARQUET)


def load(folder: Path) -> pd.DataFrame:
    """The catalog of a dataset folder, as `save` was given it."""
    path = Path(folder) / "catalog.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is no dataset (it holds no catalog.parquet); "
            "make one: python -c \"from s1m_lab import ingest; ingest.prepare('pocket')\""
        )
    rows = pq.read_table(path)
    about = json.loads((rows.schema.metadata or {}).get(b"s1m", "{}"))
    if not about:  # somebody else's catalog
        classes = sports1m.read_labels(path.with_name("labels.txt"))
        about = {"classes": classes, "data_seed": 0, "split": "as given", "broken": {}}
    return frame(rows, **about)


def read_folder(path: Path, data_seed: int = 0, known: Iterable[str] = ()) -> pd.DataFrame:
    """Class folders of videos, optionally under `train`, `val` (or `validation`) and `test`.

    `path` is a folder on this disk, or the address of one in a bucket (`s3://…`).
    The class of a video is the folder right below `path` (or below the split); deeper folders are
    looked through. Files without a video's suffix are ignored; broken videos are listed, their
    state is found at ingest. Videos in no class folder are set aside and counted. Of videos that
    are `known` (by the `path` of an earlier catalog) those that are not there now are listed as if
    they were, so that no class, split or id of the others changes; `.attrs["gone"]` counts them.
    """
    from s1m_lab import sources
    from s1m_lab.video import SUFFIXES

    root = str(path).rstrip("/") if is_url(path) else str(Path(path).resolve())
    found, broken = [], Counter()
    there, between = set(sources.listing(root)), "/" if is_url(root) else os.sep
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
    names = [tables.clean(parts[split_first]) for parts in found]
    classes = sorted(set(names))
    number = {name: n for n, name in enumerate(classes)}
    columns = {
        "id": _ids(["/".join(parts) for parts in found]),
        "labels": [[number[name]] for name in names],
        "title": [tables.clean(Path(parts[-1]).stem) for parts in found],
        "path": [between.join((root, *parts)) for parts in found],
    }
    if split_first:
        columns["split"] = [splits.NAMES[parts[0].lower()] for parts in found]
    df = _finish(table(columns), classes, data_seed, +broken)
    if gone:
        df.attrs["gone"] = len(gone)
    return df


def read_table(path: Path, data_seed: int = 0) -> pd.DataFrame:
    """A `.csv` or `.parquet` with `path, labels` and, if known, `split, group, title`.

    Columns of a `.csv` are parted by commas, semicolons or tabs.
    A relative path is relative to the table. `labels` is a class name, or several joined by `|`;
    in Parquet also a list. Where all are whole numbers (joined by `|`, `,`, `;` or a space; `3.0`
    is 3), they are numbers from 0 on into the `labels.txt` beside the table, or without one into
    `class 0`, `class 1`, … A video listed twice gets the labels of both rows, a label named twice
    counts once. Rows without a path or a label are set aside and counted.
    """
    path = Path(path).resolve()
    rows = tables.rows(path)
    broken = Counter()
    for column, some in (("path", r"\S"), ("labels", r"[^\s|,;]")):
        good = pc.match_substring_regex(rows[column], some)
        rows = _keep(rows, good, broken, f"without {column}")
    if not rows.num_rows:
        raise ValueError(f"{path} has no row with both a path and labels")
    codes, classes = tables.codes(rows["labels"], path.parent / "labels.txt")
    good = pc.greater(pc.list_value_length(codes), 0)
    rows, codes = _keep(rows, good, broken, "without labels"), codes.filter(good)
    columns = {
        name: rows[name] for name in ("split", "group", "title") if name in rows.schema.names
    }
    if "split" in columns:
        columns["split"] = splits.named(columns["split"], str(path))
    df = table(
        {
            "id": rows["path"],
            "labels": codes,
            "path": [
                name if is_url(name) else os.path.join(path.parent, name)
                for name in rows["path"].to_pylist()
            ],
            **columns,
        }
    ).to_pandas(types_mapper=pd.ArrowDtype)
    twice = df["id"].duplicated()
    if twice.any():
        broken["of a video already listed (labels joined)"] += int(twice.sum())
        joined = df[["id", "labels"]].explode("labels").drop_duplicates()
        df = df[~twice].reset_index(drop=True)
        df["labels"] = joined.groupby("id", sort=False)["labels"].agg(list).tolist()
    df["id"] = _ids(df["id"].tolist())
    rows = pa.Table.from_pandas(df, SCHEMA, preserve_index=False)
    return _finish(rows, classes, data_seed, broken)


def read_sports1m(path: Path, labels: str = "", data_seed: int = 0) -> pd.DataFrame:
    """Sports-1M as it was published: the zip of its JSON, a folder of the JSON files, a folder of
    the partition lists, or one file of either kind.

    `labels` is the path of a `labels.txt`; without it, the one beside the data, and without that
    the classes are called `class 205`. No validation list was published: an eighth of train
    becomes val. Rows that are broken are set aside and counted (`sports1m.BROKEN`).
    """
    videos, about = sports1m.read(path, labels, data_seed)
    return frame(table(dict(zip(videos.column_names, videos.columns, strict=True))), **about)


def read_ucf101(
    lists: str | Path, videos: str | Path = "", fold: int = 1, data_seed: int = 0
) -> pd.DataFrame:
    """One fold of UCF-101 by its official lists, whose folder is `lists`: 13,320 rows.

    `videos` is the folder of the class folders or the one above; "" is `lists` itself, its parent,
    or a folder `UCF-101` in either, and where none has them paths are null. `group` is the class
    and group of a clip (`Fencing-g07`). An eighth of the groups of each class in train becomes val,
    by a hash of `data_seed`. `.attrs["missing"]` and `["unlisted"]` count listed clips without a
    file, and files without a line, by class; `broken` has their sums. Raises ValueError for a fold
    without lists, a line of no class, and a group on both sides.
    """
    columns, classes, about = ucflists.read(lists, str(videos or ""), fold)
    df = _finish(table(columns), classes, data_seed, about.pop("broken"))
    df.attrs |= about
    return df


def _finish(rows: pa.Table, classes: list[str], data_seed: int, broken: dict) -> pd.DataFrame:
    """The catalog of `rows`, with a split where none or only a part is known."""
    split, how = splits.complete(rows, data_seed)
    place = rows.schema.get_field_index("split")
    rows = rows.set_column(place, SCHEMA.field("split"), split)
    broken = {reason: int(n) for reason, n in broken.items() if n}
    return frame(rows, classes=classes, data_seed=data_seed, split=how, broken=broken)


def _ids(names: list[str]) -> list[str]:
    """Unique ids of letters, digits, `_`, `-` and `.` from relative paths.

    `bend/p0.avi` is `bend-p0`. Where that loses anything (an odd character, two files that differ
    in their suffix, a very long name), 8 hex digits of a hash of the whole path are added.
    """
    plain = [os.path.splitext(name)[0].replace(os.sep, "/") for name in names]
    safe = [re.sub(r"[^\w.-]+", "_", name.replace("/", "-"), flags=re.ASCII) for name in plain]
    safe = [name.strip("-._")[:80] for name in safe]
    count = Counter(safe)
    return [
        made
        if count[made] == 1 and made == name.replace("/", "-")
        else f"{made}-{hashlib.sha256(path.encode()).hexdigest()[:8]}".lstrip("-")
        for made, name, path in zip(safe, plain, names, strict=True)
    ]


def _keep(rows: pa.Table, good: pa.Array, broken: Counter, reason: str) -> pa.Table:
    """The rows that are good; the others are counted."""
    kept = rows.filter(pc.fill_null(good, False))
    broken[reason] += len(rows) - len(kept)
    return kept
