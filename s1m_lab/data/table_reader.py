"""A table of videos becomes a catalog.

df = read_table(Path("videos.csv"))   # columns path, labels; perhaps split, group, title
df.attrs["broken"]                    # rows set aside, by reason
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common.paths import is_url
from s1m_lab.data import catalog, splits

TEXT = ("path", "split", "group", "title")  # columns of a table, beside labels
# Labels that are numbers: `168,169`, or `168.0` as pandas writes it beside an empty cell
NUMBERS = r"^[,;| ]*\d+(\.0*)?([,;| ]+\d+(\.0*)?)*[,;| ]*$"


def accepts(source: Path | str) -> bool:
    """Whether a source has the suffix of a table."""
    return Path(source).suffix.lower() in (".csv", ".parquet")


def read_table(
    path: Path | str, data_seed: int = 0, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The catalog of a `.csv` or `.parquet` with `path, labels`, perhaps `split, group, title`.

    - Columns of a `.csv` are separated by commas, semicolons or tabs.
    - A relative path is relative to the table.
    - `labels` is a class name, or several joined by `|`; in Parquet also a list.
    - If all labels are whole numbers, they index the `labels.txt` beside the table, from 0 on.
      Without that file the classes are `class 0`, `class 1`, … Numbers are joined by `|`, `,`, `;`
      or a space, and `3.0` is 3.
    - A video listed twice gets the labels of both rows. A label named twice counts once.
    - Rows without a path or a label are set aside and counted.

    `known` is ignored: a row that left the table is no video any more.
    """
    path = Path(path).resolve()
    rows = read_rows(path)
    broken: Counter = Counter()
    for column, content in (("path", r"\S"), ("labels", r"[^\s|,;]")):
        good = pc.match_substring_regex(rows[column], content)
        rows = catalog.keep_rows(rows, good, broken, f"without {column}")
    if not rows.num_rows:
        raise ValueError(f"{path} has no row with both a path and labels")
    codes, classes = label_codes(rows["labels"], path.parent / "labels.txt")
    good = pc.greater(pc.list_value_length(codes), 0)
    rows, codes = catalog.keep_rows(rows, good, broken, "without labels"), codes.filter(good)
    columns = {"id": rows["path"], "labels": codes, "path": rows["path"]}
    columns |= {name: rows[name] for name in TEXT[1:] if name in rows.column_names}
    if "split" in columns:
        columns["split"] = splits.parse_splits(columns["split"], str(path))
    df = catalog.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    df["path"] = [name if is_url(name) else os.path.join(path.parent, name) for name in df["path"]]
    twice = df["id"].duplicated()
    if twice.any():
        broken["of a video already listed (labels joined)"] += int(twice.sum())
        joined = df[["id", "labels"]].explode("labels").drop_duplicates()
        df = df[~twice].reset_index(drop=True)
        df["labels"] = joined.groupby("id", sort=False)["labels"].agg(list).tolist()
    df["id"] = catalog.unique_ids(df["id"].tolist())
    rows = pa.Table.from_pandas(df, catalog.SCHEMA, preserve_index=False)
    return catalog.finish(rows, classes, data_seed, broken)


def read_rows(path: Path) -> pa.Table:
    """The rows of a table, all columns as text, several labels joined by `|`."""
    import pyarrow.csv

    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    try:
        if path.suffix.lower() == ".parquet":
            found = pq.read_table(path)
        else:
            text = dict.fromkeys([*TEXT, "labels"], pa.string())
            found = pyarrow.csv.read_csv(
                path,
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=_delimiter(path), newlines_in_values=True
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=text, strings_can_be_null=True
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
    columns = [name for name in (*TEXT, "labels") if name in found.column_names]
    if twice := [name for name in columns if found.column_names.count(name) > 1]:
        raise ValueError(f"{path} has several columns {' and '.join(twice)}; rename the others")
    return pa.table({name: _as_text(found[name]) for name in columns})


def _delimiter(path: Path) -> str:
    """The separator of a text table: a comma, semicolon or tab, whichever splits its header.

    Excel writes semicolons in many countries.
    """
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        header = file.readline(100_000).replace('"', "").strip()
    found = [mark for mark in ";\t" if {"path", "labels"} <= set(header.split(mark))]
    return found[0] if found else ","


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as text; the elements of a list are joined by `|`."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pc.binary_join(column.cast(pa.list_(pa.string())), "|")
    return column.cast(pa.string())


def label_codes(labels: pa.ChunkedArray, names: Path) -> tuple[pa.Array, list[str]]:
    """Class numbers (list<int16>) and class names of labels as text.

    `names` is the path of a `labels.txt`, which may not exist. Empty names give no number.
    """
    text = labels.combine_chunks()
    if pc.all(pc.match_substring_regex(text, NUMBERS)).as_py():
        parts = pc.split_pattern_regex(pc.utf8_trim(text, " ,;|"), r"[,;| ]+")
        numbers: list = [
            int(n) for n in pc.replace_substring_regex(parts.flatten(), r"\.0*$", "").to_pylist()
        ]
        highest = max(numbers)
        if highest > np.iinfo(np.int16).max:
            raise ValueError(
                f"label {highest} is beyond the 32,768 classes that a dataset may have"
            )
        classes = (
            catalog.read_labels(names)
            if names.is_file()
            else [f"class {n}" for n in range(highest + 1)]
        )
        if highest >= len(classes):
            raise ValueError(f"label {highest} is beyond the {len(classes)} classes of {names}")
    else:
        parts = pc.split_pattern(text, "|")
        written = [catalog.one_line(name) for name in parts.flatten().to_pylist()]
        classes = sorted(set(written) - {""})
        number = {name: n for n, name in enumerate(classes)}
        numbers = [number.get(name) for name in written]
    codes = pa.ListArray.from_arrays(parts.offsets, pa.array(numbers, pa.int16()))
    return catalog.distinct(codes), classes
