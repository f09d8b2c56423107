"""Sports-1M's metadata: the published JSON, the partition lists, the folds, the names of classes.

    df = read_sports1m("sports1m_json.zip")           # a catalog: one row per video
    df.attrs["broken"]                                # rows set aside, by reason (see `BROKEN`)
    read_beside(source, classes=487)                  # folds of the cross-validation, Freebase ids

A million rows take a second or two. duckdb parses the JSON, Arrow checks each batch, and no row
becomes a Python object. The format is that of https://cs.stanford.edu/people/karpathy/deepvideo.
"""

import re
import shutil
import zipfile
from collections.abc import Iterator
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

from s1m_lab.common import system
from s1m_lab.common.files import amount, require_space, temporary_folder
from s1m_lab.data import catalog

VERSION = 2  # raise it when the same files give another catalog, or other attributes of it
# As published: sizes, the paper's shares of the splits, quantiles of the JSON's durations (s)
CLASSES, VIDEOS = 487, 1_133_158
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
QUANTILES = {0.8: 338, 0.85: 416, 0.9: 526, 0.95: 643}
# Why a row is set aside. A row counts once, under the first reason that holds.
BROKEN = (
    "without an id",  # of letters, digits, `_`, `-` and `.`, at most 100 of them
    "without labels",
    "with a label that has no class",
    "with a duration that is no number above 0",  # null or missing is merely unknown
    "with a title of more than 1,000 characters",
    "with a title with control characters",
    "of a video already listed",
)
# The types that duckdb casts the JSON's fields to. A value that does not fit becomes null.
COLUMNS = {
    "id": "VARCHAR",
    "stitle": "VARCHAR",
    "label487": "DOUBLE[]",  # not INTEGER, which would make class 2 of 1.5
    "duration": "JSON",  # the text as it stands: "12" in quotes is no number
    "width": "INTEGER",
    "height": "INTEGER",
    "thumbnail": "VARCHAR",
    "source487": "VARCHAR",
}
BATCH = 40_000  # rows
UNPACKED, MEMBERS = 4e9, 1000  # bytes and JSON files that a zip may unpack to
ID_LETTERS = f"{ascii_letters}{digits}_.-"
CONTROL = r"[\x00-\x1f\x7f-\x{9f}]"
NUMBER = r"^\d{1,9}(\.\d+)?([eE][+-]?\d)?$"


def read_sports1m(path: Path, data_seed: int = 0) -> pd.DataFrame:
    """The catalog of Sports-1M as it was published.

    The names of its classes are the lines of a `labels.txt` in its folder, or in the one above.
    Without any, classes are called `class 205`.

    Args:
        path: the zip of the JSON, a folder of the JSON files, a folder of the partition lists or
            of a single list, or one file of either kind. Rows keep the order of the files' names.
        data_seed: governs the validation split. The source names train and test (`source487`, else
            the file's name). No validation list was published, so an eighth of train becomes val.

    Raises `ValueError` where a file as a whole is not what it should be.
    """
    path = Path(path).resolve()
    lists = [folder / "labels.txt" for folder in (path, path.parent)]
    classes = next((catalog.read_labels(names) for names in lists if names.is_file()), [])
    system.keep_freed_memory()
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own pool takes half a second more
    with _source_files(path) as files, ThreadPoolExecutor(system.cores()) as pool:
        read = partial(_read_file, classes=len(classes) or CLASSES, data_seed=data_seed)
        batches = [batch for found in pool.map(read, files) for batch in found]
    if not batches:
        raise ValueError(f"{path} lists no videos")
    rows = pa.Table.from_batches(batches)
    why = np.where(_already_listed(rows), len(BROKEN) - 1, rows["why"].to_numpy())
    videos = _drop(rows, np.flatnonzero(why >= 0))
    if not classes:
        highest = pc.max(pc.list_flatten(videos["labels"])).as_py()
        classes = [f"class {n}" for n in range((-1 if highest is None else highest) + 1)]
    how = f"; an eighth of train became val, by a hash of data_seed {data_seed} and the video's id"
    if not pc.any(pc.equal(videos["split"], "val")).as_py():
        how = ""  # a list of test videos alone
    return catalog.frame(
        catalog.table({name: videos[name] for name in videos.column_names}),
        classes=classes,
        data_seed=data_seed,
        split="train and test as the source says" + how,
        broken=_count_reasons(why),
    )


# --------------------------------------------------------------------------------------- the files


@contextmanager
def _source_files(path: Path) -> Iterator[list[Path]]:
    """The files that `path` is or holds, by name. Where there are JSON files, lists are ignored.

    Members of a zip are read, never unpacked under their own names.
    """
    if path.suffix.lower() == ".zip":
        with temporary_folder() as folder:
            _unpack(path, folder)
            with _source_files(folder) as files:
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


def _unpack(path: Path, folder: Path) -> None:
    """Unpack the JSON of a zip under names of our own, of no more bytes than `UNPACKED`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if _is_json(m.filename)]
            members.sort(key=lambda m: (Path(m.filename).name, m.filename))
            declared = sum(m.file_size for m in members)
            if declared > UNPACKED or len(members) > MEMBERS:  # zipfile reads no more than that
                raise ValueError(f"it unpacks to {len(members):,} files of {amount(declared)}")
            require_space(folder, declared)
            for n, member in enumerate(members):
                out = folder / f"{n:06d}_{_split_of(member.filename)}.json"
                with archive.open(member) as source, open(out, "wb") as target:
                    shutil.copyfileobj(source, target)
    except OSError:
        raise
    except Exception as error:  # zipfile has several
        raise ValueError(
            f"{path} cannot be unpacked ({error}); unpack it yourself and name the folder"
        ) from None


def _is_list(path: Path) -> bool:
    """Whether the first line of a text names a video and its labels."""
    line = r"(\S*[=/])?[A-Za-z0-9_-]{11}\s+\d+([, ]+\d+)*\s*"
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return bool(re.fullmatch(line, file.readline(1000)))


def _is_json(path: str | Path) -> bool:
    name = Path(path).name
    return name.lower().endswith(".json") and not name.startswith(".")


def _split_of(path: str | Path) -> str:
    return "test" if "test" in Path(path).name.lower() else "train"


def _read_file(path: Path, classes: int, data_seed: int) -> list[pa.RecordBatch]:
    """The rows of a file, checked batch by batch."""
    import duckdb

    check = partial(_check, split=_split_of(path), classes=classes, data_seed=data_seed)
    if not _is_json(path):
        return [check(_parse_list(path))]
    with ThreadPoolExecutor(1) as other:  # checks a batch while the next is parsed
        try:
            return list(other.map(check, _parse_json(path)))
        except duckdb.Error as error:
            first = error
        with temporary_folder() as folder:  # half a character spoils the whole file
            try:
                mended = _mend_text(path, folder / "mended.json")
                return list(other.map(check, _parse_json(mended)))
            except duckdb.Error:
                raise ValueError(f"{path} is no JSON list of objects: {first}") from None


def _mend_text(path: Path, copy: Path) -> Path:
    """A copy in which bytes that are no UTF-8, and halves of a surrogate pair, became U+FFFD."""
    require_space(copy.parent, 2 * path.stat().st_size)
    text = path.read_bytes().decode("utf-8", "replace")
    whole = r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(?!u[dD][89a-fA-F])."
    escape = re.compile(rf"({whole})|\\u....")
    copy.write_text(escape.sub(lambda found: found[1] or r"\ufffd", text), "utf-8")
    return copy


def _parse_json(path: Path) -> Iterator[pa.RecordBatch]:
    """Batches of the objects of a JSON list, in order. What is no object gives a row of nulls."""
    import duckdb

    query = f"from read_json($1, columns = {COLUMNS}, format = 'array', ignore_errors = true)"
    with duckdb.connect(config={"threads": 1}) as connection:  # one thread parses a file at best
        yield from connection.sql(query, params=[str(path)]).to_arrow_reader(BATCH)


def _parse_list(path: Path) -> pa.RecordBatch:
    """The lines `https://www.youtube.com/watch?v=UDqivjS-lpI 168,169`, or with the id alone."""
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


# -------------------------------------------------------------------------------------- the checks


def _check(rows: pa.RecordBatch, split: str, classes: int, data_seed: int) -> pa.RecordBatch:
    """The rows in columns of the catalog, the `hash` of each id, and `why` (see `_find_broken`).

    The id of a broken row is null; its other columns mean nothing. A row that names no split is of
    `split`. An eighth of train becomes val: the hashes that begin with three zero bits. A size
    below 1 becomes null, and so does an address that is not http.
    """
    image, source = rows["thumbnail"], rows["source487"]
    is_number = pc.match_substring_regex(rows["duration"], NUMBER)
    seconds = _null_unless(is_number, rows["duration"]).cast(pa.float32())
    why = _find_broken(rows, seconds, classes)
    ids = _null_unless(pa.array(why < 0), rows["id"])
    hashes = catalog.hash_ids(ids, data_seed)
    split = pc.if_else(pc.is_in(source, pa.array(["train", "test"])), source, split)
    val = pc.and_(pc.equal(split, "train"), pa.array(hashes >> np.uint64(61) == 0))
    http = pc.or_(pc.starts_with(image, "https://"), pc.starts_with(image, "http://"))
    youtube = pc.and_not(pc.equal(pc.binary_length(ids), 11), pc.match_substring(ids, "."))
    url = pc.binary_join_element_wise("https://www.youtube.com/watch?v", ids, "=")
    columns = {
        "id": ids,
        "split": pc.if_else(val, "val", split),
        "labels": catalog.distinct(rows["label487"].cast(pa.list_(pa.int16()), safe=False)),
        "title": rows["stitle"],
        "duration": seconds,
        "thumbnail": _null_unless(http, image),
        "url": _null_unless(youtube, url),
        "hash": hashes,
        "why": why,
    }
    for side in ("width", "height"):
        columns[side] = _null_unless(pc.greater(rows[side], 0), rows[side])
    return pa.RecordBatch.from_pydict(columns)


def _find_broken(rows: pa.RecordBatch, seconds: pa.Array, classes: int) -> np.ndarray:
    """Why each row is set aside: the number of a reason of `BROKEN`, -1 for a sound row."""
    title, labels = rows["stitle"], rows["label487"]
    number = labels.flatten().to_numpy(zero_copy_only=False)
    wrong = ~((number >= 0) & (number < classes) & (number == np.floor(number)))
    classless = np.zeros(len(rows), bool)
    classless[pc.list_parent_indices(labels).to_numpy()[wrong]] = True
    size = pc.fill_null(pc.binary_length(rows["id"]), 0).to_numpy()
    long = _true(pc.greater(pc.binary_length(title), 1000))
    long[long] = _true(pc.greater(pc.utf8_length(title.filter(long)), 1000))
    conditions = [
        (size < 1) | (size > 100) | ~_true(pc.equal(pc.ascii_trim(rows["id"], ID_LETTERS), "")),
        ~_true(pc.greater(pc.list_value_length(labels), 0)),
        classless,
        _true(rows["duration"].is_valid()) & ~_true(pc.greater(seconds, 0)),
        long,
        _true(pc.match_substring_regex(title, CONTROL)),
    ]
    return np.select(conditions, range(len(conditions)), -1)


def _true(condition: pa.Array) -> np.ndarray:
    """A condition as bool, False where it is null."""
    return pc.fill_null(condition, False).to_numpy(zero_copy_only=False)


def _null_unless(condition: pa.Array, values: pa.Array) -> pa.Array:
    """The values, null where the condition is false; not copied where it never is."""
    return values if pc.all(condition).as_py() else pc.if_else(condition, values, None)


def _already_listed(rows: pa.Table) -> np.ndarray:
    """Whether another row has the same id, and stands before this one or in test.

    A video in train and test is tested on, and never trained on. Of a million ids two share a hash
    with a chance of 3e-8.
    """
    order = np.argsort(pc.not_equal(rows["split"], "test").to_numpy(), kind="stable")
    listed = order[rows["id"].is_valid().to_numpy()[order]]
    twice = np.zeros(len(rows), bool)
    twice[listed] = pd.Series(rows["hash"].to_numpy()[listed]).duplicated()
    return twice


def _drop(rows: pa.Table, broken: np.ndarray) -> pa.Table:
    """The other rows: slices between the few broken ones, which need no copy, or else a copy."""
    if len(broken) > 1000:
        return rows.take(pa.array(np.delete(np.arange(len(rows)), broken)))
    ends = pairwise([-1, *broken, len(rows)])
    return pa.concat_tables([rows.slice(a + 1, b - a - 1) for a, b in ends])


def _count_reasons(why: np.ndarray) -> dict[str, int]:
    """How many rows are broken, by reason; `why` is as in `_find_broken`."""
    counts = np.bincount(why[why >= 0], minlength=len(BROKEN)).tolist()
    return {reason: n for reason, n in zip(BROKEN, counts, strict=True) if n}


# ------------------------------------------------------------------- cross-validation, Freebase ids

HALF = r"sports(\d+)_(train|test)\.txt"


def fold_files(source: Path) -> list[Path]:
    """`cross-validation/sports{0…9}_{train,test}.txt` and `sports_mids.txt` of the metadata.

    They lie in the folder `source`, or else in the one above.
    """
    found = []
    for pattern in ("cross-validation/sports*.txt", "sports_mids.txt"):
        inside, above = (sorted(folder.glob(pattern)) for folder in (source, source.parent))
        found += inside or above
    return [f for f in found if re.fullmatch(HALF, f.name) or f.name == "sports_mids.txt"]


def read_beside(source: Path, classes: int) -> dict:
    """What lies beside the lists or the JSON: attributes for a catalog.

    - `folds`: a row per fold of the cross-validation: how many videos `train` and `test` name, how
      many stand `in both`, and `lines set aside`. A fold with one half alone is left out, with a
      printed line.
    - `mids`: the Freebase id of each class name.
    """
    halves: dict[int, dict[str, Path]] = {}
    folds, mids = list[dict](), dict[str, str]()
    for file in fold_files(source):
        if half := re.fullmatch(HALF, file.name):
            halves.setdefault(int(half[1]), {})[half[2]] = file
        else:  # lines such as `/m/01cgz,boxing`
            pairs = [line.partition(",")[::2] for line in catalog.read_labels(file)]
            mids = {name.strip(): mid.strip() for mid, name in pairs}
    for fold, files in sorted(halves.items()):
        if len(files) < 2:
            print(f"fold {fold} of the cross-validation has one half; it is left out", flush=True)
            continue
        read = [read_list(files[split], classes) for split in ("train", "test")]
        train, test = (pc.unique(rows["id"]) for rows, _ in read)
        row = {"fold": fold, "train": len(train), "test": len(test)}
        row["in both"] = pc.sum(pc.is_in(train, test)).as_py() or 0
        row["lines set aside"] = sum(n for _, broken in read for n in broken.values())
        folds.append(row)
    return {"folds": folds, "mids": mids}


def read_list(path: Path, classes: int) -> tuple[pa.RecordBatch, dict[str, int]]:
    """`id, labels` of the sound lines of a list, repeated ids too, and broken lines by reason."""
    rows = _check(_parse_list(path), "", classes, data_seed=0)
    sound = rows.filter(pc.less(rows["why"], 0)).select(["id", "labels"])
    return sound, _count_reasons(rows["why"].to_numpy())
