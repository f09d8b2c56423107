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
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common.files import atomic
from s1m_lab.data import splits, sports1m

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


def save_catalog(df: pd.DataFrame, folder: Path) -> None:
    """Write `catalog.parquet` (attrs as JSON in its schema) and `labels.txt` (a class a line).

    The catalog comes last: where it stands, all of it stands.
    """
    folder = Path(folder)
    rows = pa.Table.from_pandas(df, SCHEMA, preserve_index=False)
    rows = rows.replace_schema_metadata({"s1m": json.dumps(df.attrs, ensure_ascii=False)})
    with atomic(folder / "labels.txt") as temporary:
        text = "".join(f"{name}\n" for name in df.attrs["classes"])
        temporary.write_bytes(text.encode())
    with atomic(folder / "catalog.parquet") as temporary:
        pq.write_table(rows, temporary, **PARQUET)


def update_catalog(df: pd.DataFrame, folder: Path) -> bool:
    """Write a dataset's catalog where it is missing or differs; returns whether it was written."""
    old = load_catalog(folder) if (Path(folder) / "catalog.parquet").is_file() else None
    if old is not None and old.attrs == df.attrs and old.equals(df):
        return False
    save_catalog(df, folder)
    return True


def load_catalog(folder: Path) -> pd.DataFrame:
    """The catalog of a dataset folder, as `save` was given it."""
    path = Path(folder) / "catalog.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is no dataset (it holds no catalog.parquet); "
            "make one: python -c \"from s1m_lab import prepare; prepare('pocket')\""
        )
    rows = pq.read_table(path)
    about = json.loads((rows.schema.metadata or {}).get(b"s1m", "{}"))
    if not about:  # somebody else's catalog
        classes = sports1m.read_labels(path.with_name("labels.txt"))
        about = {"classes": classes, "data_seed": 0, "split": "as given", "broken": {}}
    return frame(rows, **about)


def finish(rows: pa.Table, classes: list[str], data_seed: int, broken: dict) -> pd.DataFrame:
    """The catalog of `rows`, with a split where none or only a part is known."""
    split, how = splits.complete(rows, data_seed)
    place = rows.schema.get_field_index("split")
    rows = rows.set_column(place, SCHEMA.field("split"), split)
    broken = {reason: int(n) for reason, n in broken.items() if n}
    return frame(rows, classes=classes, data_seed=data_seed, split=how, broken=broken)


def unique_ids(names: list[str]) -> list[str]:
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


def keep_rows(rows: pa.Table, good: pa.Array, broken: Counter, reason: str) -> pa.Table:
    """The rows that are good; the others are counted."""
    kept = rows.filter(pc.fill_null(good, False))
    broken[reason] += len(rows) - len(kept)
    return kept
