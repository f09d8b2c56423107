"""Sports-1M's own files: JSON, lists, the names of its classes.

A million rows of JSON are read in a second: duckdb parses, Arrow checks what it has parsed batch by
batch, and no row becomes a Python object. What is broken is set aside and counted (`BROKEN`).

    videos, about = sports1m.read("sports1m_json.zip")  # what `catalog.read_sports1m` gives

Sports-1M's cross-validation and Freebase ids, kept beside its catalog.

    folds.keep(source, folder, classes)     # those that lie beside the metadata, or above it
    folds.overlap(folder)                   # a row a fold: train, test, how many stand in both
    folds.load(folder); folds.mids(folder)  # every line of both, as tables

The ten folds name every video many times, so they are tables of their own (`folds.parquet`,
`mids.parquet`) in the dataset's folder: the columns of a catalog are fixed. A video with several
labels may stand in both halves of a fold, which `overlap` counts.

Columns of text, read as the bytes they are: a hash, what is odd in them, the numbers they write.

A million titles are looked through in a few milliseconds, since none becomes a Python object.
"""

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, digits

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.lib.stride_tricks import sliding_window_view

from s1m_lab.common import system
from s1m_lab.common.files import atomic, require_space
from s1m_lab.data import catalog


def read_sports1m(path: Path, labels: str = "", data_seed: int = 0) -> pd.DataFrame:
    """Sports-1M as it was published: the zip of its JSON, a folder of the JSON files, a folder of
    the partition lists, or one file of either kind.

    `labels` is the path of a `labels.txt`; without it, the one beside the data, and without that
    the classes are called `class 205`. No validation list was published: an eighth of train
    becomes val. Rows that are broken are set aside and counted (`sports1m.BROKEN`).
    """
    videos, about = read(path, labels, data_seed)
    return catalog.frame(
        catalog.table(dict(zip(videos.column_names, videos.columns, strict=True))), **about
    )


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
    system.keep_memory()
    pa.set_memory_pool(pa.system_memory_pool())  # with Arrow's own this takes half a second more
    with _files(path) as files, ThreadPoolExecutor(system.cores()) as pool:
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
            require_space(Path(folder), sum(m.file_size for m in members))
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
    require_space(copy.parent, 2 * path.stat().st_size)
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
    seconds = parse_seconds(duration)
    size = pc.fill_null(pc.binary_length(rows["id"]), 0).to_numpy()
    long = sure(pc.greater(pc.binary_length(title), 1000))
    long[long] = sure(pc.greater(pc.utf8_length(title.filter(long)), 1000))
    conditions = [
        (size < 1) | (size > 100) | having(among(UNFIT_FOR_ID), rows["id"]),
        ~sure(pc.greater(pc.list_value_length(labels), 0)),
        classless,
        sure(duration.is_valid()) & ~sure(pc.greater(seconds, 0)),
        long,
        having(control, title),
    ]
    why = np.select(conditions, range(len(conditions)), -1)
    ids = _where(pa.array(why < 0), rows["id"])
    hashes = hash64(ids, data_seed)
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
    dotted = pa.array(having(among(b"."), ids))
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


HALF = r"sports(\d+)_(train|test)\.txt"
LINES = pa.schema(
    [
        ("fold", pa.int8()),
        ("split", pa.string()),
        ("id", pa.string()),
        ("labels", pa.list_(pa.int16())),
    ]
)
MIDS = pa.schema({"mid": pa.string(), "label": pa.string(), "number": pa.int16()})


def files(source: Path) -> list[Path]:
    """`cross-validation/sports{0…9}_{train,test}.txt` and `sports_mids.txt` of Sports-1M's metadata
    `source`, from its folder or else the one above."""
    halves = _first(source, "cross-validation/sports*.txt")
    halves = [file for file in halves if re.fullmatch(HALF, file.name)]
    return halves + _first(source, "sports_mids.txt")


def _first(source: Path, pattern: str) -> list[Path]:
    inside, above = (sorted(folder.glob(pattern)) for folder in (source, source.parent))
    return inside or above


def keep(source: Path, folder: Path, classes: list[str]) -> None:
    """Write the folds and the Freebase ids of `source` into a dataset's folder, where it has them;
    a fold of which one half is not there is left out, saying so."""
    folds: dict[int, dict[str, Path]] = {}
    for name in ("folds.parquet", "mids.parquet"):
        (folder / name).unlink(missing_ok=True)
    for file in files(source):
        if half := re.fullmatch(HALF, file.name):
            folds.setdefault(int(half[1]), {})[half[2]] = file
            continue
        with atomic(folder / "mids.parquet") as temporary:
            pq.write_table(_mids(file, classes), temporary)
    for fold in [fold for fold, halves in folds.items() if len(halves) < 2]:
        print(f"fold {fold} of the cross-validation has one half; it is left out", flush=True)
        del folds[fold]
    if folds:
        with atomic(folder / "folds.parquet") as temporary:
            _write(temporary, folds, len(classes))


def _write(path: Path, folds: dict[int, dict[str, Path]], classes: int) -> None:
    """The lines of every fold, a half at a time, and what `overlap` tells of them."""
    counts = []
    with pq.ParquetWriter(path, LINES, compression="zstd") as writer:
        for fold in sorted(folds):
            ids, broken = {}, 0
            for split in ("train", "test"):
                rows, wrong = read_list(folds[fold][split], classes)
                columns = [pa.repeat(pa.scalar(fold, pa.int8()), len(rows))]
                columns += [pa.repeat(split, len(rows)), rows["id"], rows["labels"]]
                writer.write_table(pa.table(columns, schema=LINES))
                ids[split], broken = pc.unique(rows["id"]), broken + sum(wrong.values())
            row = {"fold": fold, "train": len(ids["train"]), "test": len(ids["test"])}
            row["in both"] = pc.sum(pc.is_in(ids["train"], ids["test"])).as_py() or 0
            counts.append(row | {"lines set aside": broken})
        writer.add_key_value_metadata({"s1m": json.dumps(counts)})


def overlap(folder: Path) -> pd.DataFrame:
    """A row a fold: how many videos `train` and `test` name, how many stand `in both`, and how many
    lines were set aside; no row where the source had no folds."""
    path = Path(folder) / "folds.parquet"
    rows = json.loads(pq.read_metadata(path).metadata[b"s1m"]) if path.is_file() else []
    names = ["fold", "train", "test", "in both", "lines set aside"]
    return pd.DataFrame(rows, columns=names).set_index("fold")


def load(folder: Path) -> pd.DataFrame:
    """Every sound line of every fold: `fold, split` (`train` or `test`), `id, labels`."""
    return pq.read_table(Path(folder) / "folds.parquet").to_pandas(types_mapper=pd.ArrowDtype)


def mids(folder: Path) -> pd.DataFrame:
    """The Freebase ids of the classes, in the order of the file: `mid, label` and `number`, that of
    the class of this name, or NA; no row where the source had none."""
    path = Path(folder) / "mids.parquet"
    rows = pq.read_table(path) if path.is_file() else MIDS.empty_table()
    return rows.to_pandas(types_mapper=pd.ArrowDtype)


def _mids(path: Path, classes: list[str]) -> pa.Table:
    """The lines `/m/01cgz,boxing` of `sports_mids.txt`."""
    number = {name: n for n, name in enumerate(classes)}
    pairs = [map(str.strip, line.partition(",")[::2]) for line in read_labels(path)]
    rows = [{"mid": mid, "label": label, "number": number.get(label)} for mid, label in pairs]
    return pa.Table.from_pylist(rows, MIDS)


NUMBER = r"^\d{1,9}(\.\d+)?([eE][+-]?\d)?$"


def hash64(ids: pa.Array, seed: int = 0) -> np.ndarray:
    """uint64 of every id: FNV-1a over its UTF-8 bytes, begun at `seed`, then the mixing of
    splitmix64; a function of the two alone, on every machine and in every version. Takes as many
    bytes of memory as if all were as long as the longest."""
    offsets, data = _bytes(ids)
    length = np.diff(offsets)
    least, most = length.min(initial=np.iinfo(np.int32).max), length.max(initial=0)
    h = np.full(len(ids), (0xCBF29CE484222325 ^ seed) & (2**64 - 1), np.uint64)
    if most:
        padded = np.append(data[offsets[0] : offsets[-1]], np.zeros(most, np.uint8))
        window = sliding_window_view(padded, most)[offsets[:-1] - offsets[0]]
        for k, byte in enumerate(window.T):
            more = True if k < least else length > k
            np.bitwise_xor(h, byte, out=h, where=more)
            np.multiply(h, np.uint64(0x100000001B3), out=h, where=more)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _bytes(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(where each text begins, and the last ends; the bytes of all), not copied."""
    _, offsets, data = text.buffers()
    offsets = np.frombuffer(offsets or bytes(4), np.int32)
    return offsets[text.offset : text.offset + len(text) + 1], np.frombuffer(data or b"", np.uint8)


def having(odd: Callable[[np.ndarray], np.ndarray], text: pa.Array) -> np.ndarray:
    """bool for every text: whether one of its bytes is `odd`, which tells for many at once."""
    offsets, data = _bytes(text)
    at = np.flatnonzero(odd(data[offsets[0] : offsets[-1]])) + offsets[0]
    having = np.zeros(len(text), bool)
    having[np.searchsorted(offsets, at, "right") - 1] = True
    return having


def among(letters: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """For `having`: which bytes are one of these."""
    table = np.isin(np.arange(256), list(letters)).tobytes()
    return lambda data: np.frombuffer(data.tobytes().translate(table), bool)


def control(data: np.ndarray) -> np.ndarray:
    """Of every byte of UTF-8, whether a control character begins there: C0, DEL or C1."""
    odd = (data < 0x20) | (data == 0x7F)
    odd[:-1] |= (data[:-1] == 0xC2) & (data[1:] < 0xA0)
    return odd


def parse_seconds(duration: pa.Array) -> pa.Array:
    """float32 of every JSON value that is a number, not below 0 and of less than ten digits."""
    number = pc.fill_null(pc.less(pc.binary_length(duration), 10), False)
    number = number.to_numpy(zero_copy_only=False)
    number &= ~having(lambda data: (data < 0x30) | (data > 0x39), duration)  # most: digits alone
    other = np.flatnonzero(~number)
    matches = pc.match_substring_regex(duration.take(pa.array(other)), NUMBER)
    number[other] = pc.fill_null(matches, False).to_numpy(zero_copy_only=False)
    return pc.if_else(pa.array(number), duration, None).cast(pa.float32())
