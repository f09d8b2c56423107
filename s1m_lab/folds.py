"""Sports-1M's cross-validation and Freebase ids, kept beside its catalog.

    folds.keep(source, folder, classes)     # those that lie beside the metadata, or above it
    folds.overlap(folder)                   # a row a fold: train, test, how many stand in both
    folds.load(folder); folds.mids(folder)  # every line of both, as tables

The ten folds name every video many times, so they are tables of their own (`folds.parquet`,
`mids.parquet`) in the dataset's folder: the columns of a catalog are fixed. A video with several
labels may stand in both halves of a fold, which `overlap` counts.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab import sports1m, stages

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
        with stages.atomic(folder / "mids.parquet") as temporary:
            pq.write_table(_mids(file, classes), temporary)
    for fold in [fold for fold, halves in folds.items() if len(halves) < 2]:
        print(f"fold {fold} of the cross-validation has one half; it is left out", flush=True)
        del folds[fold]
    if folds:
        with stages.atomic(folder / "folds.parquet") as temporary:
            _write(temporary, folds, len(classes))


def _write(path: Path, folds: dict[int, dict[str, Path]], classes: int) -> None:
    """The lines of every fold, a half at a time, and what `overlap` tells of them."""
    counts = []
    with pq.ParquetWriter(path, LINES, compression="zstd") as writer:
        for fold in sorted(folds):
            ids, broken = {}, 0
            for split in ("train", "test"):
                rows, wrong = sports1m.read_list(folds[fold][split], classes)
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
    pairs = [map(str.strip, line.partition(",")[::2]) for line in sports1m.read_labels(path)]
    rows = [{"mid": mid, "label": label, "number": number.get(label)} for mid, label in pairs]
    return pa.Table.from_pylist(rows, MIDS)
