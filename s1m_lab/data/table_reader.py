"""A table of videos becomes a catalog.

df = read_table(Path("videos.csv"))   # columns path, labels; perhaps split, group, title
df.attrs["broken"]                    # rows set aside, by reason
df.attrs["notes"]                     # sentences on what was understood from odd input
"""

import ast
import csv
import difflib
import os
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common.paths import is_url
from s1m_lab.data import catalog, splits

TEXT = ("path", "split", "group", "title")  # columns of a table, beside labels
# Names of these columns in other tools' tables; the first that a table has counts.
ALIASES = {
    "path": "path video_path file_path filepath clip_path file_name filename file video video_file "
    "video_name clip clip_name youtube_id",
    "labels": "labels label class class_name label_name category tag tags action label_id class_id",
}
TIMES = r"(time_?|clip_?)?(start|end)(_?(time|sec|seconds|frame))?"  # columns of moments
LISTS = (".tsv", ".txt", ".list", ".lst")  # besides .csv and .parquet
# Labels that are numbers: `168,169`, or `168.0` as pandas writes it beside an empty cell
NUMBERS = r"^[,;| ]*(-?\d+(\.0*)?([,;| ]+-?\d+(\.0*)?)*)?[,;| ]*$"


def accepts(source: Path | str) -> bool:
    """Whether a source has the suffix of a table."""
    return Path(source).suffix.lower() in (".csv", ".parquet", *LISTS)


def read_table(
    path: Path | str, data_seed: int = 0, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The catalog of a table with `path, labels`, perhaps `split, group, title`.

    - A text table (`.csv`, `.tsv`, `.txt`, `.list`) is separated by commas, semicolons, tabs or
      blanks. Without a header, each line is a video's path, its label and perhaps its split.
    - Capitals and blanks in the header do not matter; `ALIASES` has other names of columns.
    - A relative path is relative to the table; see `_locate` for those of other systems.
    - `labels` is a class name, or several joined by `|`, or a list such as `[0, 3]`.
    - If all labels are whole numbers, they index the `labels.txt` beside the table, from 0 on.
      Without that file the classes are `class 0`, `class 1`, … Numbers are joined by `|`, `,`, `;`
      or a space, and `3.0` is 3. The label -1 means "not labelled".
    - A video listed twice gets the labels of both rows. A label named twice counts once.
    - Rows without a path or a label are set aside and counted.

    `known` is ignored: a row that left the table is no video any more.

    Raises ValueError, which names the file, the fault and the remedy, for any other table.
    """
    path = Path(path).resolve()
    broken: Counter = Counter()
    notes: list[str] = []
    rows, column = read_rows(path, broken, notes)
    for name, content in (("path", r"\S"), ("labels", r"[^\s|,;]")):
        good = pc.match_substring_regex(rows[name], content)
        rows = catalog.keep_rows(rows, good, broken, f"without {name}")
    if not rows.num_rows:
        raise ValueError(f"{path} has no row with both a path and labels")
    marked = _drop_unlabelled(_split_one_hot(_split_lists(rows["labels"]), notes), path)
    rows = rows.set_column(rows.schema.get_field_index("labels"), "labels", marked)
    rows = catalog.keep_rows(rows, pc.not_equal(marked, ""), broken, "not labelled (-1, [])")
    if not rows.num_rows:
        raise ValueError(f"no row of {path} is labelled; write a class into the column labels")
    try:
        codes, classes = label_codes(rows["labels"], path.parent / "labels.txt", notes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    good = pc.greater(pc.list_value_length(codes), 0)
    rows, codes = catalog.keep_rows(rows, good, broken, "without labels"), codes.filter(good)
    columns = {"id": rows["path"], "labels": codes, "path": rows["path"]}
    columns |= {name: rows[name] for name in TEXT[1:] if name in rows.column_names}
    if "split" in columns:
        columns["split"] = splits.parse_splits(columns["split"], str(path))
    df = catalog.table(columns).to_pandas(types_mapper=pd.ArrowDtype)
    df["path"] = _locate(df["path"].tolist(), path, column, notes)
    twice = df["path"].duplicated()
    if twice.any():
        broken["of a video already listed (labels joined)"] += int(twice.sum())
        joined = df[["path", "labels"]].explode("labels").drop_duplicates()
        df = df[~twice].reset_index(drop=True)
        df["labels"] = joined.groupby("path", sort=False)["labels"].agg(list).tolist()
    df["id"] = catalog.unique_ids(df["id"].tolist())
    rows = pa.Table.from_pandas(df, catalog.SCHEMA, preserve_index=False)
    df = catalog.finish(rows, classes, data_seed, broken)
    if notes:
        df.attrs["notes"] = notes
    return df


def read_rows(path: Path, broken: Counter, notes: list[str]) -> tuple[pa.Table, str]:
    """The rows of a table as text, several labels joined by `|`; the name of the path column.

    Lines that are no row are counted in `broken`; `notes` gets a sentence on each odd thing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no table {path}")
    try:
        if path.suffix.lower() == ".parquet":
            found = pq.read_table(path)
        else:
            found = _read_text(path, broken, notes)
        names = _find_columns(found.column_names, path)
        rows = pa.table({role: _as_text(found[name]) for role, name in names.items()})
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, csv.Error) as error:
        raise ValueError(
            f"{path} cannot be read as a table with a header ({' '.join(str(error).split())}); "
            "write one row a line, and cells with a separator in quotes"
        ) from None
    if renamed := [f"{a} from {b}" for a, b in names.items() if b.strip().lower() != a]:
        notes.append(f"columns read: {', '.join(renamed)}")
    times = [name for name in found.column_names if re.fullmatch(TIMES, name.strip().lower())]
    if times and names["path"].strip() != "youtube_id":
        notes.append(f"{' and '.join(times)} are not read: each label counts for the whole video")
    if names["path"].strip() == "youtube_id":  # Kinetics names its files id_start_end
        cells = [_as_text(found[name]).to_pylist() for name in times]
        ids = [
            "_".join([name, *(cell.partition(".")[0].zfill(6) for cell in part if cell)])
            if name
            else None
            for name, *part in zip(rows["path"].to_pylist(), *cells, strict=True)
        ]
        rows = rows.set_column(rows.schema.get_field_index("path"), "path", pa.array(ids))
    return rows, names["path"].strip().lower()


def _read_text(path: Path, broken: Counter, notes: list[str]) -> pa.Table:
    """The table of a text file; without a header its columns are `path, labels` and `split`."""
    import pyarrow.csv

    text = _decode(path, notes)
    text = re.sub(r"\A(\s*\n)*(sep=.\s*\n)?", "", text)  # Excel begins with its separator
    header = text.partition("\n")[0][:100_000].strip("\r")
    for mark in ",;\t| ":
        names = next(csv.reader([header], delimiter=mark, skipinitialspace=True), [])
        roles = _roles(names)
        if {"path", "labels"} <= set(roles):
            break
    else:
        if _pattern().fullmatch(header) or _pattern(first="labels").fullmatch(header):
            return _read_lines(path, text, broken)
        if re.fullmatch(_pattern().pattern.partition("(?P<mark>")[0], header, re.I):
            raise ValueError(
                f'{path} begins with "{header[:80]}", which has no label; write a label behind '
                "every path, or begin with the header path,labels"
            )
        if re.fullmatch(r"\S+([\s,;]+)\d+([\s,;]+\d+)?", header):
            raise ValueError(
                f'{path} begins with "{header[:80]}", which names no video file (folders of frames '
                "are not read); list video files with their suffix, or add the header path,labels"
            )
        mark = max(",;\t", key=header.count)
    if mark == " " and len(names) == 2:
        first = "path" if names[0] == roles["path"] else "labels"
        return _read_lines(path, text.partition("\n")[2], broken, first)
    blank = header.startswith(" ") or f"{mark} " in header
    if blank and mark != " ":
        text = re.sub(rf'{re.escape(mark)} +"', f'{mark}"', text)
    raw = next(csv.reader([header], delimiter=mark, skipinitialspace=blank), [])
    if raw:  # a file of one line may be no table at all
        _find_columns(raw, path)
    found = pyarrow.csv.read_csv(
        pa.BufferReader(text.encode()),
        parse_options=pyarrow.csv.ParseOptions(delimiter=mark, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in [*raw, *(f" {name}" for name in raw)]},
            strings_can_be_null=True,
        ),
    )
    if not blank:
        return found
    cells = [pc.utf8_trim_whitespace(_as_text(column)) for column in found.columns]
    return pa.Table.from_arrays(cells, [name.strip() for name in found.column_names])


def _decode(path: Path, notes: list[str]) -> str:
    """The text of a file in UTF-8, UTF-16 or Windows-1252, with or without a byte order mark."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif b"\0" in data[:2]:
        encodings = ["utf-16-le" if data[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        if encoding in ("cp1252", "latin-1"):
            notes.append("not UTF-8, read as Windows-1252; if names look wrong, save it as UTF-8")
        return text if "\n" in text else text.replace("\r", "\n")
    raise ValueError(f"{path} is no text but a file of another kind; save it as CSV in UTF-8")


def _roles(names: list[str]) -> dict[str, str]:
    """The name in a header of each column that the lab reads."""
    plain = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names]
    found = {}
    for role in (*TEXT, "labels"):
        for alias in ALIASES.get(role, role).split():
            if alias in names or alias in plain:
                found[role] = alias if alias in names else names[plain.index(alias)]
                break
    return found


def _find_columns(names: list[str], path: Path) -> dict[str, str]:
    """As `_roles`; raises ValueError where `path` or `labels` is missing or stands twice."""
    found = _roles(names)
    if missing := [role for role in ("path", "labels") if role not in found]:
        near = [
            f"rename {name!r} to {role}"
            for role in missing
            for name in names
            if difflib.get_close_matches(name.strip().lower(), ALIASES[role].split(), 1, 0.7)
        ]
        raise ValueError(
            f"{path} has no column {' and no column '.join(missing)}; it needs path and labels "
            f"(and may have split, group, title), it has {', '.join(names)}"
            + "".join(f"; {hint}" for hint in near)
        )
    if twice := [role for role, name in found.items() if names.count(name) > 1]:
        raise ValueError(f"{path} has several columns {' and '.join(twice)}; rename the others")
    return found


def _pattern(first: str = "path", loose: bool = False) -> re.Pattern:
    """A line of a list: a video's path or address and its labels, whichever is `first`.

    A path may hold blanks, since it ends with a video's suffix; a `loose` one needs no suffix.
    """
    from s1m_lab.video.reader import SUFFIXES

    ends = "|".join(suffix[1:] for suffix in sorted(SUFFIXES))
    other = r"|[^,;\t]*[^,;\s]" if loose else ""
    place = rf'"?(?P<path>.*\.(?:{ends})|\w+://[^\s,;]+{other})"?'
    if first == "path":
        return re.compile(rf"\s*{place}(?P<mark>\s*[,;\t]\s*|\s+)(?P<labels>.*\S)\s*", re.I)
    names = r"(?P<labels>[^,;\t]+?(?=\s*[,;\t])|\d+(?=\s))"
    return re.compile(rf"\s*{names}(?P<mark>\s*[,;\t]\s*|\s+){place}\s*", re.I)


def _read_lines(path: Path, text: str, broken: Counter, first: str = "") -> pa.Table:
    """The rows of a list of `path label` lines, as SlowFast, TSN and MMAction write them.

    `first` is the first column of the header, if there was one.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    pattern = _pattern(first or "path", loose=bool(first))
    if not first and not pattern.fullmatch(lines[0]):
        pattern = _pattern("labels")
    rows, counts = [], set()
    for line in lines:
        match = pattern.fullmatch(line)
        if not match:
            broken["whose line is no path and label"] += 1
            continue
        mark = match["mark"].strip() or ("\t" if "\t" in match["mark"] else " ")
        cells = next(csv.reader([match["labels"]], delimiter=mark, skipinitialspace=True))
        split = cells.pop() if len(cells) > 1 and splits.meanings(cells[-1:]) else None
        if len(cells) > 1 and not all(re.match(NUMBERS, cell) for cell in cells):
            if mark != " ":
                raise ValueError(
                    f'{path}: in "{line[:100]}" it is not plain which cell is the label; '
                    "write a header with path and labels"
                )
            cells = [" ".join(cells)]
        counts.add(len(cells))
        rows.append((match["path"], "|".join(cells), split))
    if counts == {2} and not first:
        raise ValueError(
            f'{path}: "{lines[0][:100]}" has two numbers, which are two labels or the number of '
            "frames and a label; write a header: path labels, or path frames labels"
        )
    columns = dict(zip(("path", "labels", "split"), zip(*rows, strict=True), strict=True))
    if not any(columns.get("split", ())):
        columns.pop("split", None)
    names = columns or {"path": (), "labels": ()}
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in names.items()})


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as text; the elements of a list are joined by `|`."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pc.binary_join(column.cast(pa.list_(pa.string())), "|")
    return column.cast(pa.string())


def _locate(names: list[str], table: Path, column: str, notes: list[str]) -> list[str]:
    """The absolute path, or address, of each path in the `column` of a table.

    A path as another system writes it (`~/`, `file://`, `%20`, backslashes, `C:`) is translated
    where that leads to a file. A bare name is also looked up below the table's folder, with or
    without its suffix, and counts where one file has it.

    Raises ValueError where names without suffix, in a column that is not `path`, have no file.
    """
    folder, found, lost, index = table.parent, [], [], None
    for name in names:
        plain = os.path.join(folder, name)
        odd, bare = (
            re.search(r"^[~/]|^file:|^[a-z]:|[%\\]", name, re.I),
            not re.search(r"[/\\]", name),
        )
        if is_url(name) and not name.lower().startswith("file:"):
            plain = name
        elif (odd or bare) and not os.path.exists(plain):
            forms = [os.path.join(folder, form) for form in _forms(name)]
            if bare:
                index = _index(folder) if index is None else index
                forms += [str(folder / place) for place in index.get(name, [])][:1]
            plain = next((form for form in forms if os.path.exists(form)), forms[0])
            if not os.path.exists(plain):
                lost.append(name)
        found.append(plain)
    if lost:
        notes.append(
            f"{len(lost):,} paths lead to no file, or to several, as {lost[0]}; write them with "
            f"their suffix, with / and relative to {folder}"
        )
    suffixes = any(os.path.splitext(name)[1] for name in names)
    if index is not None and column != "path" and not suffixes | any(map(os.path.exists, found)):
        raise ValueError(
            f"{table}: no video named {names[0]} of column {column} lies in {folder} or below; "
            "put the videos there, or write their paths into a column path"
        )
    return found


def _forms(name: str) -> list[str]:
    """Paths that a path as another system writes it may stand for."""
    if name.lower().startswith("file:"):
        name = unquote(re.sub(r"^file:(//(localhost)?(?=/))?", "", name, flags=re.I))
    forms = [name, unquote(name)]
    forms += [form.replace("\\", "/") for form in forms]
    forms += [re.sub(r"^/?([A-Za-z]):/", lambda m: f"/mnt/{m[1].lower()}/", form) for form in forms]
    forms += [form.lstrip("/") for form in forms]  # Kaggle's are absolute below the table
    return [os.path.expanduser(form) for form in dict.fromkeys(forms)]


def _index(folder: Path) -> dict[str, list[str]]:
    """The videos below a folder by file name, and by name without suffix, where that is unique."""
    from s1m_lab.video.reader import list_videos

    index: dict[str, list[str]] = {}
    for place in list_videos(folder)[0]:
        stem, suffix = os.path.splitext(os.path.basename(place))
        index.setdefault(stem, []).append(place)
        index.setdefault(stem + suffix, []).append(place)
    return {name: places for name, places in index.items() if len(places) == 1}


def _split_lists(labels: pa.ChunkedArray) -> pa.Array:
    """Labels as text in which lists (`[0, 3]`, `['run', 'jump']`, `[0 3]`) are joined by `|`."""
    texts = labels.to_pylist()
    lists = [re.match(r"\s*[\[(].*[\])]\s*$", text, re.S) is not None for text in texts]
    if not any(lists):
        return pc.coalesce(labels.combine_chunks(), "")
    return pa.array(
        [
            _parse_list(text, all(lists)) if one else text
            for text, one in zip(texts, lists, strict=True)
        ],
        pa.string(),
    )


def _split_one_hot(labels: pa.Array, notes: list[str]) -> pa.Array:
    """Labels as text in which `0|0|1` is 2, if all labels are 0 and 1 and equally many."""
    if not pc.all(pc.match_substring_regex(labels, r"^[01]([|,; ]+[01]){2,}$")).as_py():
        return labels
    rows = [re.findall("[01]", text) for text in labels.to_pylist()]
    if len({len(row) for row in rows}) > 1:
        return labels
    notes.append("labels are a 0 or 1 for each class, as one-hot vectors")
    return pa.array(["|".join(str(n) for n, one in enumerate(row) if one == "1") for row in rows])


def _parse_list(text: str, bare: bool) -> str:
    """The elements of a list joined by `|`; the text itself if it is a name in brackets.

    Elements may lack quotes if they are numbers, or if all labels are lists (`bare`).
    """
    inner = text.strip()[1:-1].strip()
    if re.match(NUMBERS, inner):
        return re.sub(r"[,;|\s]+", "|", inner)
    try:
        cells = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        cells = [cell.strip(" \"'") for cell in inner.split(",")] if bare else text
    return "|".join(map(str, cells)) if isinstance(cells, list | tuple) else text


def _split_names(labels: pa.Array) -> pa.Array:
    """Labels as text in which names joined by `;` or `,` are joined by `|`.

    Such a label is one name, unless each of its parts is the label of another row.
    """
    names = {name.strip() for text in pc.unique(labels).to_pylist() for name in text.split("|")}
    several = {}
    for name in names:
        parts = [part.strip() for part in re.split("[;,]", name)]
        if len(parts) > 1 and names.issuperset(parts):
            several[name] = "|".join(parts)
    if not several:
        return labels
    texts = [[name.strip() for name in text.split("|")] for text in labels.to_pylist()]
    return pa.array(["|".join(several.get(name, name) for name in row) for row in texts])


def _drop_unlabelled(labels: pa.Array, path: Path) -> pa.Array:
    """Labels without -1, by which other tools mark what is not labelled; "" where none is left.

    Raises ValueError where -1 and 1 are all there is: they may be two classes.
    """
    texts = labels.to_pylist()
    mark = r"[|,;\s]" if all(re.match(NUMBERS, text) for text in texts) else r"\|"
    minus = re.compile(rf"(^|{mark})\s*-1(\.0*)?\s*(?=$|{mark})")
    dropped = [minus.sub(r"\1", text) if "-1" in text else text for text in texts]
    dropped = ["" if not text.strip("|,; ") else text for text in dropped]
    if dropped != texts and {text.strip() for text in dropped} <= {"", "1", "1.0", "+1"}:
        if any(dropped):
            raise ValueError(
                f"{path} has no labels but -1 and 1; -1 means not labelled, so write two classes "
                "as 0 and 1, or as names"
            )
    return pa.array(dropped, pa.string())


def label_codes(
    labels: pa.ChunkedArray | pa.Array, names: Path, notes: list[str] | None = None
) -> tuple[pa.Array, list[str]]:
    """Class numbers (list<int16>) and class names of labels as text.

    `names` is the path of a `labels.txt`, which may not exist. Empty names give no number. `notes`
    gets a sentence where the numbers run from 1 to the number of names.
    """
    text = labels.combine_chunks() if isinstance(labels, pa.ChunkedArray) else labels
    if pc.all(pc.match_substring_regex(text, NUMBERS)).as_py():
        parts = pc.split_pattern_regex(pc.utf8_trim(text, " ,;|"), r"[,;| ]+")
        numbers: list = [
            int(n) for n in pc.replace_substring_regex(parts.flatten(), r"\.0*$", "").to_pylist()
        ]
        lowest, highest = min(numbers), max(numbers)
        if lowest < 0:
            raise ValueError(f"label {lowest} is no class; count classes from 0")
        if highest > np.iinfo(np.int16).max:
            raise ValueError(
                f"label {highest} is beyond the 32,768 classes that a dataset may have"
            )
        classes = (
            catalog.read_labels(names)
            if names.is_file()
            else [f"class {n}" for n in range(highest + 1)]
        )
        if lowest > 0 and highest == len(classes) and notes is not None:
            numbers = [n - 1 for n in numbers]
            notes.append(f"labels run from 1 to {highest}; 1 is the first of {names.name}")
        elif highest >= len(classes):
            raise ValueError(
                f"label {highest} is beyond the {len(classes)} classes of {names}, whose first "
                "line is class 0; correct the labels or that file"
            )
    else:
        parts = pc.split_pattern(_split_names(text), "|")
        written = [catalog.one_line(name) for name in parts.flatten().to_pylist()]
        classes = sorted(set(written) - {""})
        number = {name: n for n, name in enumerate(classes)}
        numbers = [number.get(name) for name in written]
    codes = pa.ListArray.from_arrays(parts.offsets, pa.array(numbers, pa.int16()))
    return catalog.distinct(codes), classes
