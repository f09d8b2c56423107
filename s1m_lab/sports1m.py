"""Sports-1M's own files: JSON, lists, the names of its classes.

A million rows of JSON are read in a second: duckdb parses, Arrow checks what it has parsed batch by
batch, and no row becomes a Python object. What is broken is set aside and counted (`BROKEN`).

    videos, about = sports1m.read("sports1m_json.zip")  # what `catalog.read_sports1m` gives
"""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, digits

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s1m_lab import stages, texts

# published: how many, the paper's shares of the splits, quantiles of the JSON's durations (s)
CLASSES, VIDEOS = 487, 1_133_158
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
QUANTILES = {0.8: 338, 0.85: 416, 0.9: 526, 0.95: 643}
# why a row is set aside; it counts once, under the first reason that holds
BROKEN = (
    "without an id",  # of letters, digits, `_`, `-` and `.`, at most 100 of them
    "without labels",
    "with a label that has no class",
    "with a duration that is no number above 0",  # null or missing is merely unknown
    "with a title of more than 1,000 characters",
    "with a title with control characters",
    "of a video already listed",
)
# as duckdb takes them from an object of the JSON; what does not fit becomes null
COLUMNS = {
    "id": "VARCHAR",
    "stitle": "VARCHAR",
    "label487": "DOUBLE[]",  # not INTEGER, which would make class 2 of 1.5
    "duration": "JSON",  # as it stands: "12" is a text
    "width": "INTEGER",
    "height": "INTEGER",
    "thumbnail": "VARCHAR",
    "source487": "VARCHAR",
}
BATCH = 40_000  # rows
UNFIT_FOR_ID = bytes(set(range(256)) - set(f"{ascii_letters}{digits}_.-".encode()))


def read(path: Path, labels: str = "", data_seed: int = 0) -> tuple[pa.Table, dict]:
    """The videos that `path` lists, in columns of the catalog's types, and the catalog's attrs.

    `path` is the zip of the JSON, a folder of the JSON files, a folder of the partition lists or
    of a single list, or one file of either kind; rows stand in the order of the files' names.
    `labels` is the path of a `labels.txt`; without it, the one beside the data or in the folder
    above, and without that the classes are called `class 205`. Train and test are what the source
    says (`source487`, else the file's name); no validation list was published, so an eighth of
    train becomes val, by `hash64`. Raises `ValueError` where a file as a whole is not what it
    should be.
    """
    path = Path(path).resolve()
    beside = [path / "labels.txt", path.parent / "labels.txt"]
    names = [Path(labels)] if labels else [file for file in beside if file.is_file()]
    classes = read_labels(names[0]) if names else []
    stages.keep_memory()
    pa.set_memory_pool(pa.system_memory_pool())  # with Arrow's own this takes half a second more
    with _files(path) as files, ThreadPoolExecutor(stages.cores()) as pool:
        work = partial(_read_file, classes=len(classes) or CLASSES, data_seed=data_seed)
        parts = [part for found in pool.map(work, files) for part in found]
    if not parts:
        raise ValueError(f"{path} lists no videos")
    parts, hashes, why = zip(*parts, strict=True)
    ends, why = np.cumsum([len(part) for part in parts]), np.concatenate(why)
    why[_already_listed(parts, np.concatenate(hashes))] = len(BROKEN) - 1
    keeps = np.split(why < 0, ends[:-1])
    kept = [_kept(part, keep) for part, keep in zip(parts, keeps, strict=True)]
    videos = pa.Table.from_batches(sum(kept, []))
    if not classes:
        most = pc.max(pc.list_flatten(videos["labels"])).as_py()
        classes = [f"class {n}" for n in range((-1 if most is None else most) + 1)]
    how = f"; an eighth of train became val, by a hash of data_seed {data_seed} and the video's id"
    if not pc.any(pc.equal(videos["split"], "val")).as_py():
        how = ""  # a list of test videos alone
    return videos, {
        "classes": classes,
        "data_seed": data_seed,
        "split": "train and test as the source says" + how,
        "broken": _by_reason(why),
    }


def read_labels(path: Path) -> list[str]:
    """The names of `labels.txt`, a class a line, by number."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    lines = Path(path).read_text("utf-8-sig").splitlines()
    return [line.strip() for line in lines if line.strip()]


def read_list(path: Path, classes: int) -> tuple[pa.RecordBatch, dict[str, int]]:
    """`id, labels` of the sound lines of a list, one id as often as it stands there, and how many
    lines are broken, by reason."""
    rows, _, why = _checked(_list(path), "", classes, data_seed=0)
    return rows.select(["id", "labels"]).filter(pa.array(why < 0)), _by_reason(why)


def distinct(labels: pa.ListArray) -> pa.ListArray:
    """The lists (int16) without nulls, and without what a list has already, in order."""
    row, value = pc.list_parent_indices(labels).to_numpy(), labels.flatten()
    keys = row.astype(np.int64) << 17 | pc.fill_null(value.cast(pa.int32()), 1 << 16).to_numpy()
    several = keys[np.bincount(row)[row] > 1]  # few, so that most of the time this is all:
    if not value.null_count and len(np.unique(several)) == len(several):
        return labels
    keys, first = np.unique(keys, return_index=True)
    first = np.sort(first[keys & 1 << 16 == 0])
    ends = np.bincount(row[first], minlength=len(labels)).cumsum()
    return pa.ListArray.from_arrays(pa.array([0, *ends], pa.int32()), value.take(pa.array(first)))


def _by_reason(why: np.ndarray) -> dict[str, int]:
    """How many rows are broken, by reason; `why` is as `_checked` gives it."""
    broken = np.bincount(why[why >= 0], minlength=len(BROKEN)).tolist()
    return {reason: n for reason, n in zip(BROKEN, broken, strict=True) if n}


def _already_listed(parts: list[pa.RecordBatch], hashes: np.ndarray) -> np.ndarray:
    """The places of videos whose id is another one's, that stands before it or in test.

    A video in train and test is tested on, and never trained on.
    """
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    at = np.flatnonzero(np.isin(hashes, twice))
    rows = pa.Table.from_batches([part.select(["id", "split"]) for part in parts])
    rows = rows.take(pa.array(at)).to_pandas()
    rows = rows.assign(train=rows["split"] != "test", at=at).sort_values(["id", "train", "at"])
    return rows["at"][rows["id"].duplicated() & rows["id"].notna()].to_numpy()


def _kept(part: pa.RecordBatch, keep: np.ndarray) -> list[pa.RecordBatch]:
    """The rows to keep, as what lies between the few others: only where these are many, a copy."""
    others = np.flatnonzero(~keep)
    if len(others) > 100:
        return [part.filter(pa.array(keep))]
    return [part.slice(a + 1, b - a - 1) for a, b in pairwise([-1, *others, len(part)])]


@contextmanager
def _files(path: Path) -> Iterator[list[Path]]:
    """The files that `path` is or holds, by name; JSON files go before lists.

    Members of a zip are read, never unpacked under their own names.
    """
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            members = [m for m in archive.infolist() if _is_json(m.filename)]
            members.sort(key=lambda m: (Path(m.filename).name, m.filename))
            stages.require_space(Path(folder), sum(m.file_size for m in members))
            for n, member in enumerate(members):
                out = Path(folder) / f"{n:06d}_{_split_of(member.filename)}.json"
                with archive.open(member) as source, open(out, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            with _files(Path(folder)) as files:
                yield files
        return
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    texts = [file for file in inside if file.suffix.lower() == ".txt"]
    lists = [file for file in texts if file == path or "partition" in file.name]
    files = list(filter(_is_json, inside)) or lists
    if not files:  # a single list needs no particular name
        single = list(filter(_is_list, texts))
        files = single if len(single) == 1 else []
    if not files:
        names = [file.name for file in inside if not file.name.startswith(".")]
        there = ", ".join(names[:10]) + (", …" if len(names) > 10 else "") or "nothing"
        raise ValueError(
            f"no Sports-1M metadata in {path} (there: {there}); it should be sports1m_json.zip, or "
            "hold sports1m_train.json and sports1m_test.json, or train_ and test_partition.txt; "
            "one file of lines `<address or id> <labels>` will do: name it as the source"
        )
    yield files


def _is_list(path: Path) -> bool:
    """Whether the first line of a text is one of a list of videos, with labels."""
    line = r"(\S*[=/])?[A-Za-z0-9_-]{11}\s+\d+([, ]+\d+)*\s*"
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return bool(re.fullmatch(line, file.readline(1000)))


def _is_json(path: str | Path) -> bool:
    name = Path(path).name
    return name.lower().endswith(".json") and not name.startswith(".")


def _split_of(path: str | Path) -> str:
    return "test" if "test" in Path(path).name.lower() else "train"


def _read_file(path: Path, classes: int, data_seed: int) -> list[tuple]:
    """What `_checked` gives for each batch of the file's rows."""
    import duckdb

    work = partial(_checked, split=_split_of(path), classes=classes, data_seed=data_seed)
    if not _is_json(path):
        return [work(_list(path))]
    with ThreadPoolExecutor(1) as other:  # which checks a batch while the next is parsed
        try:
            return list(other.map(work, _json(path)))
        except duckdb.Error as error:
            first = error
        with tempfile.TemporaryDirectory() as folder:  # half a character spoils the whole file
            try:
                return list(other.map(work, _json(_mended(path, Path(folder) / "mended.json"))))
            except duckdb.Error:
                raise ValueError(f"{path} is no JSON list of objects: {first}") from None


def _mended(path: Path, copy: Path) -> Path:
    """A copy in which bytes that are no UTF-8, and halves of a surrogate pair, became U+FFFD."""
    stages.require_space(copy.parent, 2 * path.stat().st_size)
    text = path.read_bytes().decode("utf-8", "replace")
    whole = r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(?!u[dD][89a-fA-F])."
    escape = re.compile(rf"({whole})|\\u....")
    copy.write_text(escape.sub(lambda found: found[1] or r"\ufffd", text), "utf-8")
    return copy


def _json(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of the objects of a JSON list, in order; what is no object gives a row of nulls."""
    import duckdb

    query = f"from read_json($1, columns = {COLUMNS}, format = 'array', ignore_errors = true)"
    with duckdb.connect(config={"threads": 1}) as connection:  # a file is parsed by one at best
        yield from connection.sql(query, params=[str(path)]).to_arrow_reader(BATCH)


def _list(path: Path) -> pa.RecordBatch:
    """Lines `https://www.youtube.com/watch?v=UDqivjS-lpI 168,169`, or with the id alone."""
    lines = map(str.strip, path.read_text("utf-8-sig", "replace").splitlines())
    lines = pa.array(filter(None, lines), pa.string())
    name, numbers = r"(?P<id>[A-Za-z0-9_-]{11})", r"(?P<labels>-?\d{1,9}(?:[, ]+-?\d{1,9})*)"
    found = pc.extract_regex(lines, rf"^(?:\S*[=/])?{name}(?:\s+{numbers})?(?:\s|$)")
    labels = pc.split_pattern_regex(pc.struct_field(found, "labels"), "[, ]+")
    labels = pc.if_else(pc.equal(pc.struct_field(found, "labels"), ""), None, labels)
    text, size = pa.nulls(len(lines), pa.string()), pa.nulls(len(lines), pa.int32())
    columns = {**dict.fromkeys(COLUMNS, text), "width": size, "height": size}
    columns |= {"id": pc.struct_field(found, "id"), "label487": labels.cast(pa.list_(pa.float64()))}
    return pa.RecordBatch.from_pydict(columns)


def _checked(
    rows: pa.RecordBatch, split: str, classes: int, data_seed: int
) -> tuple[pa.RecordBatch, np.ndarray, np.ndarray]:
    """(the rows in columns of the catalog, their hashes, why each is broken: the number of the
    reason, -1 for a sound one). The id of a broken row is null, and its other columns mean nothing:
    it costs less to leave out the few at the end than to copy the others."""

    def sure(condition: pa.Array) -> np.ndarray:
        return pc.fill_null(condition, False).to_numpy(zero_copy_only=False)

    title, labels, duration = rows["stitle"], rows["label487"], rows["duration"]
    number = labels.flatten().to_numpy(zero_copy_only=False)
    wrong = ~((number >= 0) & (number < classes) & (number == np.floor(number)))
    classless = np.zeros(len(rows), bool)
    classless[pc.list_parent_indices(labels).to_numpy()[wrong]] = True
    seconds = texts.seconds(duration)
    size = pc.fill_null(pc.binary_length(rows["id"]), 0).to_numpy()
    long = sure(pc.greater(pc.binary_length(title), 1000))
    long[long] = sure(pc.greater(pc.utf8_length(title.filter(long)), 1000))
    conditions = [
        (size < 1) | (size > 100) | texts.having(texts.among(UNFIT_FOR_ID), rows["id"]),
        ~sure(pc.greater(pc.list_value_length(labels), 0)),
        classless,
        sure(duration.is_valid()) & ~sure(pc.greater(seconds, 0)),
        long,
        texts.having(texts.control, title),
    ]
    why = np.select(conditions, range(len(conditions)), -1)
    ids = _where(pa.array(why < 0), rows["id"])
    hashes = texts.hash64(ids, data_seed)
    return _columns(rows, ids, seconds, split, hashes), hashes, why


def _columns(
    rows: pa.RecordBatch, ids: pa.Array, seconds: pa.Array, split: str, hashes: np.ndarray
) -> pa.RecordBatch:
    """The rows in the catalog's columns; one that names no split is of `split`.

    An eighth of train becomes val: the hashes that begin with three zero bits. A size below 1 and
    an address of another kind than http become null.
    """
    image, source = rows["thumbnail"], rows["source487"]
    safe = pc.or_(pc.starts_with(image, "https://"), pc.starts_with(image, "http://"))
    url = pc.binary_join_element_wise("https://www.youtube.com/watch?v", ids, "=")
    dotted = pa.array(texts.having(texts.among(b"."), ids))
    youtube = pc.and_not(pc.equal(pc.binary_length(ids), 11), dotted)
    split = pc.if_else(pc.is_in(source, pa.array(["train", "test"])), source, split)
    val = pc.and_(pc.equal(split, "train"), pa.array(hashes >> np.uint64(61) == 0))
    columns = {
        "id": ids,
        "split": pc.if_else(val, "val", split),
        "labels": distinct(rows["label487"].cast(pa.list_(pa.int16()), safe=False)),
        "title": rows["stitle"],
        "duration": seconds,
        "thumbnail": _where(safe, image),
        "url": _where(youtube, url),
    }
    for side in ("width", "height"):
        columns[side] = _where(pc.greater(rows[side], 0), rows[side])
    return pa.RecordBatch.from_pydict(columns)


def _where(condition: pa.Array, values: pa.Array) -> pa.Array:
    """The values, null where the condition is false; not copied where it never is."""
    return values if pc.all(condition).as_py() else pc.if_else(condition, values, None)
