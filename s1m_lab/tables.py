"""A user's table of videos, read and checked: its rows, and labels as numbers.

    rows = tables.rows(Path("videos.csv"))             # path, labels, perhaps split, group, title
    codes, classes = tables.codes(rows["labels"], Path("labels.txt"))

What becomes of them is said at `catalog.read_table`.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab import sports1m

# labels that are numbers, as `168,169`, or as pandas writes them beside an empty cell: `168.0`
NUMBERS = r"^[,;| ]*\d+(\.0*)?([,;| ]+\d+(\.0*)?)*[,;| ]*$"


def rows(path: Path) -> pa.Table:
    """The rows of a table: its text columns as text, its labels as text joined by `|`."""
    import pyarrow.csv

    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    try:
        if path.suffix.lower() == ".parquet":
            found = pq.read_table(path)
        else:
            names = pyarrow.csv.open_csv(path).schema.names
            found = pyarrow.csv.read_csv(
                path,
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
                ),
            )
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path} cannot be read as a table (UTF-8, with a header): {error}"
        ) from None
    missing = {"path", "labels"} - set(found.column_names)
    if missing:
        raise ValueError(
            f"{path} has no column {' and no column '.join(sorted(missing))}; it needs path and "
            f"labels (and may have split, group, title), it has {', '.join(found.column_names)}"
        )
    text = [name for name in ("path", "split", "group", "title") if name in found.column_names]
    if twice := [name for name in [*text, "labels"] if found.column_names.count(name) > 1]:
        raise ValueError(f"{path} has several columns {' and '.join(twice)}; name the others anew")
    for name in text:
        found = found.set_column(
            found.column_names.index(name), name, found[name].cast(pa.string())
        )
    return found.set_column(found.column_names.index("labels"), "labels", _joined(found["labels"]))


def _joined(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """Labels as text, several of them joined by `|`."""
    if pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type):
        return pc.binary_join(labels.cast(pa.list_(pa.string())), "|")
    return labels.cast(pa.string())


def codes(labels: pa.ChunkedArray, names: Path) -> tuple[pa.Array, list[str]]:
    """(list<int16> of class numbers, class names) of labels as text; empty names give no number."""
    text = labels.combine_chunks()
    if pc.all(pc.match_substring_regex(text, NUMBERS)).as_py():
        parts = pc.split_pattern_regex(pc.utf8_trim(text, " ,;|"), r"[,;| ]+")
        numbers = [
            int(n) for n in pc.replace_substring_regex(parts.flatten(), r"\.0*$", "").to_pylist()
        ]
        most = max(numbers)
        if most > np.iinfo(np.int16).max:
            raise ValueError(f"label {most} is beyond the 32,768 classes that a dataset may have")
        classes = (
            sports1m.read_labels(names)
            if names.is_file()
            else [f"class {n}" for n in range(most + 1)]
        )
        if most >= len(classes):
            raise ValueError(f"label {most} is beyond the {len(classes)} classes of {names}")
    else:
        parts = pc.split_pattern(text, "|")
        called = [clean(name) for name in parts.flatten().to_pylist()]
        classes = sorted(set(called) - {""})
        number = {name: n for n, name in enumerate(classes)}
        numbers = [number.get(name) for name in called]
    codes = pa.ListArray.from_arrays(parts.offsets, pa.array(numbers, pa.int16()))
    return sports1m.distinct(codes), classes


def clean(text: str) -> str:
    """A name on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
