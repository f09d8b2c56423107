"""The catalog: one row per video, whatever the source.

    df = load_catalog(folder)          # the columns of `SCHEMA`
    df.attrs["classes"]                # class names, by number
    save_catalog(df, folder)           # catalog.parquet and labels.txt

Columns are backed by Arrow, so that a million rows stay small and fast. `.attrs` describes the
whole set: `classes`, `data_seed`, `split` (a sentence on how the split was made) and `broken` (rows
of the source that were set aside, by reason).
"""

import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common.files import atomic, digests, reading, sound, write_text
from s1m_lab.data import places, splits
from s1m_lab.data.keyed_random import keyed_uniform

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
REQUIRED = ("id", "split", "labels")  # the others may be missing, and become null
ATTRS: dict[str, type] = {"classes": list, "data_seed": int, "split": str, "broken": dict}
ATTRS |= {"source": dict, "folds": list, "mids": dict, "fold": int, "gone": int}
ATTRS |= {"missing": dict, "unlisted": dict}
AGAIN = "it is made again from its source"
RESTORE = (
    "restore it from a copy, or repeat the command that made it: ingest with its folder or table, "
    "for Sports-1M 01_explore with -p source"
)
# Columns with few values
LOW = ["split", "labels.list.element", "duration", "width", "height", "group"]
PARQUET = {  # ids do not compress, and compressing titles is slowest
    "compression": dict.fromkeys([*SCHEMA.names, "labels.list.element"], "snappy")
    | {"id": "none", "title": "none"},
    "use_dictionary": LOW,
    "write_statistics": LOW,
    "row_group_size": 1 << 17,
}


def table(columns: dict) -> pa.Table:
    """An Arrow table of `SCHEMA` from lists or arrays by column name; missing columns are null."""
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
    """A catalog from an Arrow table of `SCHEMA`.

    `attrs` are at least `classes`, `data_seed` and `split`.
    """
    df = rows.select(SCHEMA.names).cast(SCHEMA).to_pandas(types_mapper=pd.ArrowDtype)
    df.attrs = attrs
    return df


def save_catalog(df: pd.DataFrame, folder: Path) -> None:
    """Write `labels.txt` (one class per line), then `catalog.parquet` (attrs in its schema)."""
    folder = Path(folder)
    rows = pa.Table.from_pandas(df, SCHEMA, preserve_index=False)
    rows = rows.replace_schema_metadata({"s1m": json.dumps(df.attrs, ensure_ascii=False)})
    write_text(folder / "labels.txt", _class_lines(df), record=True)
    with atomic(folder / "catalog.parquet", record=True) as temporary:
        pq.write_table(rows, temporary, **PARQUET)
    places.note(folder)


def _class_lines(df: pd.DataFrame) -> str:
    return "".join(f"{name}\n" for name in df.attrs["classes"])


def update_catalog(df: pd.DataFrame, folder: Path) -> bool:
    """Write a dataset's catalog where it is missing, damaged or differs; whether it was written."""
    old, labels = sound(load_catalog, folder, AGAIN, True), Path(folder) / "labels.txt"
    if old is None or old.attrs != df.attrs or not old.equals(df):
        save_catalog(df, folder)
        return True
    if not labels.is_file() or labels.read_bytes() != _class_lines(df).encode():
        write_text(labels, _class_lines(df), record=True)
    places.note(folder)
    return False


def load_catalog(folder: Path, mend: str = "", aside: bool = False) -> pd.DataFrame:
    """The catalog of a dataset folder, as `save_catalog` was given it, or another program wrote it.

    `mend` and `aside` are those of `files.reading`. Raises Damaged for a file that cannot be read,
    and ValueError, which names the first bad row, for one that is no catalog.
    """
    path = Path(folder) / "catalog.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"no dataset in {folder} (it has no catalog.parquet); "
            "make one: python -c \"from s1m_lab import prepare; prepare('pocket')\""
        )
    about: dict[str, Any] = {"data_seed": 0, "split": "as given", "broken": {}}
    with reading(path, mend or RESTORE, aside):
        rows = pq.read_table(path, partitioning=None, read_dictionary=["split"])
        about |= json.loads((rows.schema.metadata or {}).get(b"s1m", "{}"))
    try:
        if "classes" not in about:  # a catalog that another program wrote
            about["classes"] = read_labels(path.with_name("labels.txt"))
        return frame(_checked(rows, about, path.name in digests(path.parent)), **about)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{path} is no catalog: {error}; {mend or 'correct that'}") from None


def _checked(rows: pa.Table, about: dict[str, Any], own: bool) -> pa.Table:
    """The rows in the columns of `SCHEMA`; raises ValueError for the first that is no video.

    An id may be any text: it never becomes the name of a file. The texts of the lab's `own` files
    are UTF-8.
    """
    for name, kind in ATTRS.items():
        if not isinstance(about.get(name, kind()), kind):
            raise ValueError(f"{name} in its metadata is {about[name]!r:.100}")
    classes, columns = about["classes"], {}
    texts = [name for name in classes if isinstance(name, str)]
    if len(texts) < len(classes) or len(set(texts)) < len(texts):
        raise ValueError(f"its classes are no texts, or stand there twice: {classes!r:.200}")
    for field in SCHEMA:
        if field.name in REQUIRED and field.name not in rows.column_names:
            raise ValueError(f"it has no column {field.name}")
        with suppress(KeyError):
            column, kind = rows[field.name], field.type
            try:
                if column.type != kind:  # labels as int64, so that any can be named
                    column = column.cast(pa.list_(pa.int64()) if pa.types.is_list(kind) else kind)
                if not own:
                    column.validate(full=pa.types.is_string(kind))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                why = f"{rows[field.name].type}, not {kind}: {' '.join(str(error).split())}"
                raise ValueError(f"its column {field.name} is {why:.200}") from None
            columns[field.name] = column

    def refuse(name: str, good: pa.Array, need: str) -> None:
        if (row := pc.index(pc.fill_null(good, False), False).as_py()) < 0:
            return  # a word of the column's dictionary that no row has
        id, value = ids[row].as_py(), columns[name][row].as_py()
        raise ValueError(f"row {row + 1:,}, of video {id!r:.100}: {name} {value!r:.100} {need}")

    ids, split, labels = (columns[name] for name in REQUIRED)
    sizes, lengths, numbers = (
        pc.binary_length(ids),
        pc.list_value_length(labels),
        pc.list_flatten(labels),
    )
    least, most = pc.min_max(numbers).as_py().values()
    if ids.null_count or pc.min(sizes).as_py() == 0:
        refuse("id", pc.greater(sizes, 0), "is needed")
    coded = pa.types.is_dictionary(rows["split"].type)
    words = [part.dictionary if coded else part.unique() for part in rows["split"].chunks]
    if split.null_count or not set().union(*(w.to_pylist() for w in words)) <= set(splits.SPLITS):
        refuse("split", pc.is_in(split, pa.array(splits.SPLITS)), "must be train, val or test")
    if labels.null_count or pc.min(lengths).as_py() == 0:
        refuse("labels", pc.greater(lengths, 0), "must be a list of class numbers")
    if len(numbers) and (numbers.null_count or least < 0 or most >= len(classes)):
        known = set(range(len(classes)))
        good = pa.array(known.issuperset(row) for row in labels.to_pylist())
        refuse("labels", good, f"must be class numbers from 0 to {len(classes) - 1:,}")
    if not _are_unique(ids):
        good = pa.array(~ids.to_pandas().duplicated().to_numpy())
        refuse("id", good, "stands in an earlier row too")
    return table(columns)


def _are_unique(ids: pa.ChunkedArray) -> bool:
    """Whether no two texts agree: by hashes, which take a tenth of the time, or else exactly."""
    if len(ids) and pc.max(pc.binary_length(ids)).as_py() <= 64:  # all are padded to the longest
        hashes = np.sort(np.concatenate([hash_ids(part) for part in ids.chunks]))
        if (hashes[1:] != hashes[:-1]).all():
            return True
    return pc.count_distinct(ids).as_py() == len(ids)


def hash_ids(ids: pa.Array, seed: int = 0) -> np.ndarray:
    """uint64 of every id: `keyed_uniform` over the seed and its bytes, eight at a time.

    A function of the seed and the id alone, on every machine and in every version. Zero bytes at
    the end of an id do not count; a null is hashed as an empty text.
    """
    longest = pc.max(pc.binary_length(ids)).as_py() or 0
    words = -(-longest // 8)
    padded = pc.ascii_rpad(pc.fill_null(ids, ""), 8 * words, "\0").cast(pa.binary(8 * words))
    values = np.frombuffer(padded.buffers()[1] or b"", "<i8")[: len(ids) * words]
    hashes = np.full(len(ids), keyed_uniform(seed % 2**63))
    for word in values.reshape(len(ids), words).T:
        hashes = np.where(word == 0, hashes, keyed_uniform(hashes, word))
    return hashes


def finish(rows: pa.Table, classes: list[str], data_seed: int, broken: dict) -> pd.DataFrame:
    """A catalog of `rows`, in which missing splits are made and empty reasons are left out."""
    split, how = splits.complete(rows, data_seed)
    place = rows.schema.get_field_index("split")
    rows = rows.set_column(place, SCHEMA.field("split"), split)
    broken = {reason: int(n) for reason, n in broken.items() if n}
    return frame(rows, classes=classes, data_seed=data_seed, split=how, broken=broken)


def summarise(df: pd.DataFrame, notes: Sequence[str] = ()) -> list[str]:
    """What a catalog holds, a line each: videos by class and split, what is left out, and notes."""
    classes, videos = df.attrs["classes"], df["labels"].explode().value_counts()
    each = [f"{name} {videos.get(n, 0):,}" for n, name in enumerate(classes)]
    of_split = df["split"].value_counts()
    counts = " · ".join(f"{split} {of_split.get(split, 0):,}" for split in splits.SPLITS)
    plural = "class" if len(classes) == 1 else "classes"
    lines = [
        f"{len(df):,} videos, {len(classes):,} {plural}: {some(each, 20)}",
        f"{counts} ({df.attrs['split']})",
    ]
    lines += [f"left out: {n:,} {reason}" for reason, n in df.attrs.get("broken", {}).items()]
    names = Counter(name.casefold() for name in classes)
    if alike := [name for name in classes if names[name.casefold()] > 1]:
        notes = [*notes, f"classes whose names differ in case alone: {some(alike)}"]
    return [*lines, *notes, *class_notes(df)]


def class_notes(df: pd.DataFrame, what: str = "video") -> list[str]:
    """A sentence for a single class, and for classes without a row in all, train or test."""
    classes, used = df.attrs["classes"], df[["split", "labels"]].explode("labels")
    of_split = {split: set(used.loc[used["split"] == split, "labels"]) for split in splits.SPLITS}
    there = set().union(*of_split.values())
    notes = []
    if len(there) == 1:
        name = classes[min(there)]
        notes.append(f"every {what} is of class {name!r}, so any score is 100 %; add another class")
    for kind, numbers in {
        what: set(range(len(classes))) - there,
        f"{what} in train": there - of_split["train"],
        f"{what} in test": there - of_split["test"],
    }.items():
        if numbers:
            names = some(classes[n] for n in sorted(numbers))
            hint = "; numbers of labels count from 0" if kind == "video" else ""
            notes.append(
                f"{len(numbers):,} of {len(classes):,} classes have no {kind}: {names}{hint}"
            )
    return notes


def some(names: Iterable[str], most: int = 5) -> str:
    """The first names on one line, and the number of the others."""
    names = list(map(one_line, names))
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def unique_ids(names: list[str]) -> list[str]:
    """Unique ids of letters, digits, `_`, `-` and `.` from relative paths.

    `bend/p0.avi` becomes `bend-p0`. An odd character, a very long name, or two files that differ
    only in their suffix add 8 hex digits of a hash of the path.
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
    """The good rows; the others are counted in `broken` under `reason`."""
    kept = rows.filter(pc.fill_null(good, False))
    broken[reason] += len(rows) - len(kept)
    return kept


def read_labels(path: Path) -> list[str]:
    """The class names of `labels.txt`, one per line; empty lines are skipped."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    lines = read_text(path).splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_text(path: Path) -> str:
    """A text in UTF-8, or in UTF-16 with its mark; ValueError, which names the file, for others."""
    data = Path(path).read_bytes()
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8; save it as UTF-8") from None


def distinct(labels: pa.ListArray) -> pa.ListArray:
    """The lists (int16) without nulls, each value once, in order."""
    several = labels.filter(pc.greater(pc.list_value_length(labels), 1)).to_pylist()
    if not labels.flatten().null_count and all(len(set(row)) == len(row) for row in several):
        return labels
    rows = [row and [n for n in dict.fromkeys(row) if n is not None] for row in labels.to_pylist()]
    return pa.array([row or [] for row in rows], labels.type)


def one_line(text: str) -> str:
    """A text on one line; control characters and those that turn its direction become spaces."""
    joiners = "\u200c\u200d"  # some scripts and emoji are spelt with them
    return " ".join("".join(c if c.isprintable() or c in joiners else " " for c in text).split())


def class_name(text: str) -> str:
    """A class name as the catalog has it: on one line, accents composed (NFC)."""
    return unicodedata.normalize("NFC", one_line(text))


def sort_classes(names: Iterable[str], old: Sequence[str] = ()) -> list[str]:
    """The different names, in the order of their numbers: 1, 2, 10. Where the `old` classes of a
    catalog are sorted as text, they still are."""

    def numbers(name: str) -> tuple[list, str]:
        parts = re.split(r"(\d+)", name)
        return [int(part) if n % 2 else part for n, part in enumerate(parts)], name

    as_text = sorted(old) == list(old) != sorted(old, key=numbers)
    return sorted(set(names), key=None if as_text else numbers)
