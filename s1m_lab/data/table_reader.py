"""A table of videos becomes a catalog.

df = read_table(Path("videos.csv"))   # columns path, labels; perhaps split, group, title
df.attrs["broken"]                    # rows set aside, by reason
df.attrs["notes"]                     # sentences on what was understood from odd input
"""

import csv
import difflib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from s1m_lab.common.paths import file_path, is_url
from s1m_lab.data import catalog, splits
from s1m_lab.video.reader import SUFFIXES, list_videos

COLUMNS = {  # of a table, with their names in other tools' tables; the first that is there counts
    "path": "path video_path file_path filepath clip_path file_name filename file video video_file "
    "video_name clip clip_name youtube_id",
    "labels": "labels label class action_class class_name label_name category tag tags action "
    "label_id class_id",
} | {name: name for name in ("split", "group", "title")}
# Labels that are numbers: `168,169`, or `168.0` as pandas writes it beside an empty cell
NUMBERS = r"^[,;| ]*(-?\d+(\.0*)?([,;| ]+-?\d+(\.0*)?)*)?[,;| ]*$"
NO_HEADER = (
    "; without a header, each line is a video file with its suffix and its label (folders of "
    "frames are not read)"
)
ITEM = r"""("[^"]*"|'[^']*'|-?\d+(?:\.0*)?(?=[\s,]|$))[\s,]*"""  # of a list in brackets


def accepts(source: Path | str) -> bool:
    """Whether a source has the suffix of a table."""
    return Path(source).suffix.lower() in (".csv", ".parquet", ".tsv", ".txt", ".list")


def read_table(
    path: Path | str, data_seed: int = 0, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The catalog of a table with `path, labels`, perhaps `split, group, title`.

    - A text table (`.csv`, `.tsv`, `.txt`, `.list`) is separated by commas, semicolons, tabs or
      blanks. Without a header, each line is a video's path, its label and perhaps its split.
    - Capitals and blanks in the header do not matter; `COLUMNS` has other names of columns.
    - A relative path is relative to the table; see `_locate` for those of other systems.
    - `labels` is a class name, or several joined by `|`, or a list such as `[0, 3]`.
    - If all labels are whole numbers (joined by `|`, `,`, `;` or a space; `3.0` is 3), they count
      from 0 in the `labels.txt` beside the table, else as `class 0`, … -1 means "not labelled".
    - A video listed twice gets the labels of both rows. A label named twice counts once.
    - Rows without a path or a label are set aside and counted.

    Of `known`, the catalog before, only the order of the classes counts: a row that left the table
    is no video any more.

    Raises ValueError, which names the file, the fault and the remedy, for any other table.
    """
    path = Path(path).resolve()
    broken: Counter = Counter()
    notes: list[str] = []
    try:
        rows, by_name = read_rows(path, broken, notes)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        mend = "write one row a line, and cells with a separator in quotes"
        if path.suffix.lower() == ".parquet":
            mend = "write paths as text, and labels as text, numbers or lists of them"
        why = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read as a table ({why}); {mend}") from None
    for name, content in (("path", r"\S"), ("labels", r"[^\s|,;]")):
        good = pc.match_substring_regex(rows[name], content)
        rows = catalog.keep_rows(rows, good, broken, f"rows without {name}")
    if not rows.num_rows:
        raise ValueError(f"{path} has no row with both a path and labels")
    try:
        old = [] if known is None else known.attrs["classes"]
        codes, classes = label_codes(rows["labels"], path.parent / "labels.txt", notes, old)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    rows = rows.set_column(rows.schema.get_field_index("labels"), "labels", codes)
    good = pc.is_valid(rows["labels"])
    rows = catalog.keep_rows(rows, good, broken, "rows not labelled (-1, [])")
    good = pc.greater(pc.list_value_length(rows["labels"]), 0)
    rows = catalog.keep_rows(rows, good, broken, "rows without labels")
    columns = {name: rows[name] for name in rows.column_names} | {"id": rows["path"]}
    if "split" in columns:
        columns["split"] = splits.parse_splits(columns["split"], rows["path"])
    df = catalog.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    df["path"] = _locate(df["path"].tolist(), path, by_name, notes)
    twice = df["path"].duplicated()
    if twice.any():
        first = df["path"][twice].iloc[0]
        broken[f"rows that repeat a video, labels joined (first: {first})"] += int(twice.sum())
        if (torn := df.groupby("path")["split"].nunique().loc[lambda n: n > 1]).size:
            notes.append(
                f"videos with rows in several splits: {len(torn):,}, such as {torn.index[0]}; the "
                "first row decides"
            )
        joined = df[["path", "labels"]].explode("labels").drop_duplicates()
        df = df[~twice].reset_index(drop=True)
        df["labels"] = joined.groupby("path", sort=False)["labels"].agg(list).tolist()
    df["id"] = catalog.unique_ids(df["id"].tolist())
    rows = pa.Table.from_pandas(df, catalog.SCHEMA, preserve_index=False)
    df = catalog.finish(rows, classes, data_seed, broken)
    df.attrs |= {"notes": notes} if notes else {}
    return df


def read_rows(path: Path, broken: Counter, notes: list[str]) -> tuple[pa.Table, bool]:
    """The columns of `COLUMNS` as text, several labels joined by `|`.

    Also whether paths may be mere names, as their column has another name than `path`. Lines that
    are no row are counted in `broken`; `notes` gets a sentence on each odd thing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    if path.suffix.lower() == ".parquet":
        found = pq.read_table(path)
    else:
        found = _read_text(path, broken, notes)
    names = _find_columns(found.column_names)
    if missing := [role for role in ("path", "labels") if role not in names]:
        near = [
            f"; rename {name!r} to {role}"
            for role in missing
            for name in found.column_names
            if difflib.get_close_matches(name.strip().lower(), COLUMNS[role].split(), 1, 0.7)
        ]
        raise ValueError(
            f"{path} has no column {' and no column '.join(missing)}; it needs path and labels "
            f"(and may have split, group, title), it has {', '.join(found.column_names)}"
            f"{''.join(near) or NO_HEADER}"
        )
    if twice := [role for role, name in names.items() if found.column_names.count(name) > 1]:
        raise ValueError(f"{path} has several columns {' and '.join(twice)}; rename the others")
    notes += [f"{a} is read from {b}" for a, b in names.items() if b.strip().lower() != a]
    if left := [name for name in found.column_names if name.strip() and name not in names.values()]:
        notes.append(f"columns not read: {', '.join(left)}; each label counts for a whole video")
    blank = any(name != name.strip() for name in names.values())
    texts = {role: _as_text(found[name]) for role, name in names.items()}
    rows = {role: pc.utf8_trim_whitespace(t) if blank else t for role, t in texts.items()}
    return pa.table(rows), names["path"].strip().lower() != "path"


def _read_text(path: Path, broken: Counter, notes: list[str]) -> pa.Table:
    """The table of a text file; without a header its columns are `path, labels, split`."""
    try:
        text = catalog.read_text(path)
    except ValueError:
        text = path.read_bytes().decode("cp1252", "replace")
        notes.append("not UTF-8, read as Windows-1252; if names look wrong, save it as UTF-8")
    text = text.lstrip("\r\n")
    if not text.strip() or "\0" in text:
        raise ValueError(f"{path} cannot be read: it is empty or no text; save it as CSV in UTF-8")
    header = re.split("[\r\n]", text[:100_000], maxsplit=1)[0]
    for mark in (",", ";", "\t", "|", " "):
        names = next(csv.reader([header], delimiter=mark), [])
        if mark == " " and re.search("[,;\t|]", header):
            continue
        if {"path", "labels"} <= set(own := _find_columns(names)):
            break
    else:
        return _read_lines(text, path, broken)
    if f"{mark} " in header:
        text = re.sub(rf'{re.escape(mark)} +"', f'{mark}"', text)
    table = pyarrow.csv.read_csv(
        pa.BufferReader(text.encode()),
        parse_options=pyarrow.csv.ParseOptions(delimiter=mark, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True
        ),
    )
    if any(table.column_names.count(own[role]) > 1 for role in ("path", "labels")):
        return table  # which is refused
    path_column, labels = (pc.fill_null(table[own[role]], "") for role in ("path", "labels"))
    if pc.any(long := pc.match_substring(labels, "\n")).as_py():
        raise ValueError(
            f"{path}: the labels of {path_column.filter(long)[0]} run over several lines; is a "
            "quote not closed?"
        )
    again = pc.and_(pc.equal(path_column, own["path"]), pc.equal(labels, own["labels"]))
    rule = pc.match_substring_regex(path_column, "^ *:?--+:? *$")
    good = pc.invert(pc.or_(again, rule))
    return catalog.keep_rows(table, good, broken, "lines that repeat the header")


def _read_lines(text: str, path: Path, broken: Counter) -> pa.Table:
    """The rows of a list of `path label` lines, as SlowFast, TSN and MMAction write them.

    A path may hold blanks, since it ends with a video's suffix. Labels may be several numbers, and
    a split may follow.
    """
    place = rf"(?i:.*\.(?:{'|'.join(suffix[1:] for suffix in SUFFIXES)})|\w+://[^\s,;]+)"
    label = r'"[^"]*"|[^,;\t"]+?|-?\d+(?:[,;|\s]+-?\d+)*'
    split = r"(?:[,;\s]+(?P<split>(?i:train|val|test)\w*))?"
    line = rf'^\s*"?(?P<path>{place})"?(?:\s*[,;]\s*|\s+)(?P<labels>{label}){split}\s*$'
    lines = [row for row in text.splitlines() if row.strip()]
    found = pc.extract_regex(pa.array(lines, pa.string()), line)
    good = pc.is_valid(found)
    if not good[0].as_py():
        return pa.table({name: [""] for name in lines[0][:200].split(",")})
    broken["lines without a path and a label"] += pc.sum(pc.invert(good)).as_py()
    found = found.filter(good)
    if pc.any(pc.equal(found.field("split"), "")).as_py():  # `toy train` is a label
        found = pc.extract_regex(pa.array(lines, pa.string()).filter(good), line.replace(split, ""))
    columns = {field.name: found.field(field.name) for field in found.type}
    two = pc.match_substring_regex(columns["labels"], r"^\d+[,;\s]+\d+$")
    if pc.all(two).as_py():
        raise ValueError(
            f"{path}: two numbers a line are two labels, or the number of frames and a label; "
            "write a header: path labels, or path frames labels"
        )
    columns["labels"] = pc.utf8_trim(columns["labels"], '"')
    return pa.table(columns)


def _find_columns(names: list[str]) -> dict[str, str]:
    """The name in a header of each column of `COLUMNS` that is there."""
    plain = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in reversed(names)}
    plain |= {name: name for name in names}
    found = {}
    for role, aliases in COLUMNS.items():
        if there := [alias for alias in aliases.split() if alias in plain]:
            found[role] = plain[there[0]]
    return found


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as text; the elements of a list are joined by `|`."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pc.binary_join(column.cast(pa.list_(pa.string())), "|")
    return column.cast(pa.string())


def _locate(names: list[str], table: Path, by_name: bool, notes: list[str]) -> list[str]:
    """The absolute path, or address, of each path in a table.

    A path as another system writes it (`~/`, `file:`, `%20`, backslashes, `/` for the table's
    folder) is translated where that leads to a file. With `by_name`, a name that is no path is
    also looked up below the table's folder, where one file has it.
    """
    folder, lost = str(table.parent), []
    is_folder, index = cache(os.path.isdir), cache(_index)
    odd = re.compile(r"^[~/\s]|\s$|^file:|^[a-z]:|[%\\]|[^\0-\x7f]" + "|^[^/]*$" * by_name, re.I)
    found = [name if is_url(name) else os.path.join(folder, name) for name in names]
    found = [os.path.normpath(name) if "/." in name else name for name in found]

    def exists(place: str) -> bool:  # folders that are not there answer for all that is in them
        return is_folder(place.rpartition("/")[0]) and os.path.exists(place)

    for n, name in enumerate(names):
        local = name[:5].lower() == "file:" or not is_url(name)
        if not (local and odd.search(name)) or exists(found[n]):
            continue
        if name[:5].lower() == "file:":
            name = file_path(name)
        name = name.strip()
        forms = [name, name.lstrip("/")]  # Kaggle's are absolute below the table
        if re.search(r"[%\\~]", name):
            plain = name.replace("\\", "/")
            forms = [name, unquote(name), plain, unquote(plain)]
            forms = [os.path.expanduser(form) for form in forms]
        forms = [unicodedata.normalize(way, f) for f in forms for way in ("NFC", "NFD")]
        forms = [os.path.join(folder, form) for form in forms]
        if by_name and "/" not in name:
            forms.append(index(folder).get(name, ""))
        there = next(filter(exists, forms), "")
        if not there:
            lost.append(names[n])
        found[n] = there or forms[0]
    if lost:
        notes.append(
            f"paths without one matching file: {len(lost):,}, such as {lost[0]}; write each with "
            f"its suffix, with / and relative to {folder}"
        )
    return found


def _index(folder: str) -> dict[str, str]:
    """The videos below a folder by file name, where that is unique.

    They also go by their name without suffix and without Kinetics' `_<start>_<end>`.
    """
    index: dict[str, str] = {}
    for place in list_videos(folder)[0]:
        name = os.path.basename(place)
        for key in {name, re.sub(r"(_\d{6}_\d{6})?\.\w+$", "", name)}:
            index[key] = "" if key in index else os.path.join(folder, place)
    return index


def label_codes(
    labels: pa.ChunkedArray, names: Path, notes: list[str], old: Sequence[str] = ()
) -> tuple[pa.Array, list[str]]:
    """Class numbers (list<int16>) and class names of labels as text; null for -1 and for [].

    `names` is the path of a `labels.txt`, which may not exist. Empty names give no number. `notes`
    gets a sentence on each odd form. `old` are the classes of the catalog before, which may be in
    another order (`catalog.sort_classes`).

    Raises ValueError for labels that are no names, and for numbers that are no class.
    """
    coded = labels.combine_chunks().dictionary_encode()
    texts = _split_labels(coded.dictionary.to_pylist(), notes)  # each text of the table once
    if all(re.match(NUMBERS, text, re.ASCII) for text in texts):
        rows = [[int(n) for n in re.findall(r"(-?\d+)(?:\.0*)?", text)] for text in texts]
        numbers = {n for row in rows for n in row}
        lowest, highest = min(numbers), max(numbers)
        if lowest < 0:
            raise ValueError(f"label {lowest} is no class; count classes from 0")
        if highest > np.iinfo(np.int16).max:
            raise ValueError(f"label {highest} is beyond the 32,768 classes a dataset may have")
        classes = [f"class {n}" for n in range(highest + 1)]
        classes = catalog.read_labels(names) if names.is_file() else classes
        if twice := [name for name in classes if classes.count(name) > 1]:
            raise ValueError(f"{names} has {twice[0]!r} twice; give each class a name of its own")
        if lowest > 0 and highest == len(classes):
            rows = [[n - 1 for n in row] for row in rows]
            notes.append(f"labels run from 1 to {highest}; 1 is the first of {names.name}")
        elif highest >= len(classes):
            raise ValueError(
                f"label {highest} is beyond the {len(classes)} classes of {names}, whose first "
                "line is class 0; correct the labels or that file"
            )
    else:
        parts = [[catalog.class_name(name) for name in text.split("|")] for text in texts]
        classes = catalog.sort_classes({name for row in parts for name in row} - {""}, old)
        number = {name: n for n, name in enumerate(classes)}
        rows = [[number[name] for name in row if name] for row in parts]
    codes = [
        list(dict.fromkeys(row)) if text else None for text, row in zip(texts, rows, strict=True)
    ]
    return pa.array(codes, pa.list_(pa.int16())).take(coded.indices), classes


def _split_labels(texts: list[str], notes: list[str]) -> list[str]:
    """Labels as text in which lists, and numbers, are joined by `|`; -1 is left out.

    Names joined by `;` or `,` are one name, unless each of them is also the label of another row.

    Raises ValueError where no label is left, or -1 and 1, which may be two classes.
    """
    texts = [re.sub(r"\bnp\.\w+\(([^()]*)\)", r"\1", text.strip()) for text in texts]
    texts = [re.sub(r"^(?:array|tensor|set)\((.*?)(?:, dtype=\S+)?\)$", r"\1", t) for t in texts]
    if odd := [text for text in texts if re.match(r"""\[?\s*\{\s*["']?\w+["']?\s*:""", text)]:
        raise ValueError(f"labels such as {odd[0]} are no names; write the class alone")
    lists = [re.fullmatch(r"[\[({]\s*(.*)[\])}]", text, re.S) for text in texts]
    numeric = all(re.match(NUMBERS, text) for text in texts)
    rows = [re.split(r"[|,; ]+" if numeric else r"\|", text) for text in texts]
    for n, match in enumerate(lists):
        if match and re.fullmatch(f"({ITEM})*", match[1]):
            rows[n] = [item.strip("\"'") for item in re.findall(ITEM, match[1])]
        elif match and all(lists):
            rows[n] = match[1].split(",")
    rows = [[name.strip() for name in row] for row in rows]
    if _are_one_hot(rows):
        rows = [[str(k) for k, bit in enumerate(row) if float(bit)] for row in rows]
        notes.append("labels are one-hot: a 1 in the first place is class 0")
    names = {name for row in rows for name in row}
    parts = {name: [part.strip() for part in re.split("[;,]", name)] for name in names}
    parts = {name: several for name, several in parts.items() if names.issuperset(several)}
    rows = [[part for name in row for part in parts.get(name, [name])] for row in rows]
    left = {re.sub(r"\.0*$", "", name) for row in rows for name in row} - {""}
    if left == {"-1", "1"}:
        raise ValueError("no labels but -1 (not labelled) and 1; write classes as 0 and 1")
    if left <= {"-1"}:
        raise ValueError("no row is labelled: all labels are -1 or empty")
    return ["|".join(x for x in row if x and not re.fullmatch(r"-1(\.0*)?", x)) for row in rows]


def _are_one_hot(rows: list[list[str]]) -> bool:
    """Whether rows hold a 0 or 1 for every class: equally many, one of them twice in some row, or
    both in each row, which as labels would say nothing."""
    bits = {bit for row in rows for bit in row} <= {"0", "1", "0.", "1.", "0.0", "1.0"}
    each = [len(set(row)) for row in rows]
    repeated = any(n < len(row) for n, row in zip(each, rows, strict=True))
    return bits and len(set(map(len, rows))) == 1 and (repeated or set(each) == {2})
