"""Videos are split into train, val and test, with every group kept whole.

    split, how = splits.complete(rows, data_seed=0)     # rows of a catalog; `how` is a sentence

Missing splits are made by class: a hash of (data_seed, name) orders the groups of a class, or its
videos where no groups are known. So a split depends on `data_seed` and names alone.
"""

import hashlib
import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SPLITS = ("train", "val", "test")
NAMES = {  # in any case, beside a word of `AFFIX`: `Training_Set`, `videos_train`, `val_256`
    "train": "train(ing)?|trn|entrenamiento|训练集?",
    "val": "val(id(at(e|ion))?)?|dev(elopment)?|validación|验证集?",
    "test": "test(ing|s)?|tst|eval(uation)?|pruebas?|测试集?",
}
AFFIX = r"(set|split|data|videos?|clips|\d{3,4}p?)"  # `train1` and `train2` are folds, no split
LIKE = r"(?i)(?<![a-z])(train|test|val|valid)(?![a-z])|^(train|test|val)"  # may mean a split
UNGROUPED = (
    "; no groups are known, so videos of one person or scene may stand in several splits: a table "
    "with a column group keeps them together"
)


def meanings(names: Iterable[str]) -> dict[str, str]:
    """The split that each of `names` means; names that mean none are left out.

    `eval` is test, or val beside another name for test.
    """
    found = {
        name: split
        for name in names
        for split, pattern in NAMES.items()
        if re.fullmatch(rf"({AFFIX}[ _-]?)?({pattern})([ _-]?{AFFIX})*", name.strip().lower())
    }
    evals = {name for name in found if "eval" in name.lower()}
    if "test" in {split for name, split in found.items() if name not in evals}:
        found |= dict.fromkeys(evals, "val")
    return found


def parse_splits(split: pa.ChunkedArray, path: pa.ChunkedArray) -> pa.Array | None:
    """train, val or test for each text; None where all are null.

    Raises ValueError, which names the `path` of such a row, for other texts.
    """
    if split.null_count == len(split):
        return None
    values = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(split, "")))
    named = meanings(pc.unique(values).to_pylist())
    wrong = sorted(set(pc.unique(values).to_pylist()) - set(named))
    if wrong:
        first = path[values.to_pylist().index(wrong[0])]
        raise ValueError(
            f"split is {', '.join(map(repr, wrong[:5]))} in some rows, such as that of {first}; it "
            "must be train, val or test in all of them, or left out"
        )
    return pa.array([named[value] for value in values.to_pylist()])


def complete(rows: pa.Table, data_seed: int) -> tuple[pa.Array, str]:
    """The split of every row, and a sentence on how it was made.

    `rows` has the columns `id, split, labels, group` of a catalog. A given split stays as it is,
    and what is missing of train, val and test is made.

    Raises ValueError where only one of the splits is given.
    """
    known = set(pc.unique(rows["split"]).to_pylist()) - {None}
    split = rows["split"].to_numpy().astype(object)
    if known == set(SPLITS):
        how = "train, val and test as given"
    elif known == {"train", "test"}:
        how = "train and test as given; an eighth of train became val"
    elif known == {"train", "val"}:
        split[split == "val"] = "test"
        how = "train as given, the given val became test; an eighth of train became val"
    elif known:
        raise ValueError(
            f"of the splits only {', '.join(sorted(known))} is given; name train and test, or none"
        )
    else:
        split = _assign(rows, data_seed, test=0.2, val=0.1)
        how = "no split was given, so one was made for 70 % train, 10 % val and 20 % test"
    if "an eighth" in how:
        part = split == "train"
        split[part] = _assign(rows.filter(pa.array(part)), data_seed, test=0, val=1 / 8)
    if "became" in how or "made" in how:
        grouped = rows["group"].null_count < len(rows)
        whole = " and every group whole" if grouped else ""
        how += f", by class{whole} (data_seed {data_seed}){'' if grouped else UNGROUPED}"
    split = pa.array(split, pa.string())
    groups = pa.table({"group": rows["group"], "split": split}).drop_null()
    each = groups.group_by("group").aggregate([("split", "count_distinct")])
    if torn := pc.sum(pc.greater(each["split_count_distinct"], 1)).as_py():
        how += f"; {torn} groups stand in several splits, as given"
    return split, how


def _assign(rows: pa.Table, data_seed: int, test: float, val: float) -> np.ndarray:
    """train, val or test for every row, by class, with every group in one of them.

    A unit is a group, or a video without one. Units with the same set of classes are ordered by a
    hash of (data_seed, unit). The first share of them is test, the next val. With shares 0.2 and
    0.1, 9 units give 2 test, 1 val and 6 train; 3 units 1, 1 and 1; 2 units 1 test and 1 train.
    All sets of classes with a single unit are split together.
    """
    import pandas as pd  # not above: workers need only SPLITS, and pandas is slow to import

    own = pc.binary_join_element_wise("video", rows["id"], ":")
    shared = pc.binary_join_element_wise("group", rows["group"], ":")
    units = pc.coalesce(shared, own).combine_chunks().dictionary_encode()
    codes = units.indices.to_numpy()
    first = pc.list_element(rows["labels"], 0).to_numpy()
    pairs = pd.DataFrame({"unit": codes, "kind": first}).drop_duplicates()
    pairs = pairs.sort_values(["unit", "kind"])
    kind = (pairs["kind"].astype(str) + ",").groupby(pairs["unit"]).sum()  # "3,7," of a unit
    kind[~kind.duplicated(keep=False)] = "alone"
    rank = [
        hashlib.sha256(f"{data_seed}\n{name}".encode()).hexdigest()[:16]
        for name in units.dictionary.to_pylist()
    ]
    order = pd.DataFrame({"kind": kind.to_numpy(), "rank": rank}).sort_values(["kind", "rank"])
    place = order.groupby("kind").cumcount().to_numpy()
    size = order.groupby("kind")["rank"].transform("size").to_numpy()
    tests = np.where(size >= 2, np.maximum(np.floor(size * test + 0.5), test > 0), 0)
    vals = np.where(size >= 2 + (test > 0), np.maximum(np.floor(size * val + 0.5), 1), 0)
    chosen = np.where(place < tests, "test", np.where(place < tests + vals, "val", "train"))
    split = np.empty(len(order), object)
    split[order.index] = chosen
    return split[codes]
