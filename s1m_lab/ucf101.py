"""UCF-101, and its pocket twin, as datasets: one a fold.

    folder = ucf101.dataset("pocket101", fold=2)                    # data/pocket101-fold2
    folder = ucf101.dataset("/path/to/UCF-101", fold=1, lists="/path/to/ucfTrainTestlist")
    ingest.prepare(folder)                                          # its clips

The name `pocket101` alone is fold 1 too, for whoever wants to train on it and no more. The folds
share films and no clips: a clip is what a split takes of a film, and splits differ. The twin's
clips take 0.3 GB a fold. Those of UCF-101, at 50 clips a training video and 20 of the others, are
about 520,000 of 197 kB each (measured on four of its videos): 100 GB a fold, less with fewer
`clips`. What `transfer` keeps of slow fusion at full width would be about 40 GB a fold and start
for `top3`, 14 for `top` (reckoned: 50 and 16 kB for each pass of a clip).
"""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from s1m_lab import catalog, paths, pocket101, stages, ucflists

INGEST = {"clips": {"train": 50, "val": 20, "test": 20}}  # §4.3: 50 a video; evaluated as Sports-1M


def dataset(
    data: str | Path = "pocket101",
    fold: int = 1,
    lists: str = "",
    clips: int | dict | None = None,
) -> Path:
    """The dataset folder of a fold of UCF-101, with its catalog up to date; clips are not made.

    Args:
        data: `pocket101` (rendered if it is not there), a name in `data/`, or the path of the
            folder that holds UCF-101's class folders, or of the one above.
        fold: 1 to 3.
        lists: the folder of the official lists; "": `data` itself, a folder `ucfTrainTestlist` in
            it, or either of its parent.
        clips: segments a video, for all splits or by split, where not the dataset's own default.

    Its `dataset.json` names `categories` (classes by group), `fold`, `folds`, and `ingest`.

    Raises:
        FileNotFoundError: there is no such dataset or folder.
        ValueError: no such fold, no lists, or lists that split a group.
    """
    if not 1 <= int(fold) <= ucflists.FOLDS:
        raise ValueError(f"fold is {fold}; UCF-101 has folds 1 to {ucflists.FOLDS}")
    if str(data) == "pocket101":
        pocket101.make()
    where = paths.is_path(str(data))
    source = Path(data).expanduser().resolve() if where else paths.dataset(data)
    if not source.is_dir():
        raise FileNotFoundError(
            f"no folder {source}; data is pocket101, or the path of UCF-101's class folders"
        )
    name = f"{paths.dataset(data).name}-fold{fold}"
    return _write(paths.dataset(name), source, fold, lists, clips)


def lost(folder: Path) -> pd.DataFrame:
    """Videos that gave no clips, by class: a row a class that has such, columns `missing` and
    `unreadable`; the clips of the fold must be made."""
    df = catalog.load(folder)
    rows = pq.read_table(folder / "clips" / "status.parquet", columns=["id", "status"]).to_pandas()
    status = rows.set_index("id")["status"][df["id"]].to_numpy()
    of_class = df["labels"].map(lambda own: df.attrs["classes"][own[0]]).to_numpy()
    columns = {"missing": status == "missing", "unreadable": ~np.isin(status, ["ok", "missing"])}
    counts = pd.DataFrame(columns).groupby(of_class).sum().rename_axis("class")
    return counts[counts.any(axis=1)]


def pocket(name: str, data_seed: int | None = None, workers: int | None = None) -> Path:
    """The dataset that `pocket101`, which is fold 1, or `pocket101-fold2` stands for."""
    source = pocket101.make(data_seed=data_seed, workers=workers)
    return _write(paths.dataset(name), source, int(name[-1]) if "-" in name else 1)


def _write(folder: Path, source: Path, fold: int, lists: str = "", clips=None) -> Path:
    """The catalog of a fold, and what is said of it, written where they have changed."""
    own = _about(source)
    df = catalog.read_ucf101(lists or source, source, fold, own.get("data_seed", 0))
    df["path"] = _relative(df["path"], folder)
    about = {"categories": ucflists.categories(df.attrs["classes"]), "ingest": INGEST} | own
    about |= {"fold": int(fold), "folds": ucflists.FOLDS}
    if clips is not None:
        clips = dict.fromkeys(("train", "val", "test"), clips) if isinstance(clips, int) else clips
        about["ingest"] = about["ingest"] | {"clips": about["ingest"]["clips"] | clips}
    with stages.exclusive(folder):
        old = catalog.load(folder) if (folder / "catalog.parquet").is_file() else None
        if _about(folder) != about:
            with stages.atomic(folder / "dataset.json") as temporary:
                temporary.write_text(json.dumps(about, indent=1, ensure_ascii=False), "utf-8")
        if old is None or old.attrs != df.attrs or not old.equals(df):
            catalog.save(df, folder)
            said = [
                f"{len(df):,} videos",
                *(f"{n:,} {why}" for why, n in df.attrs["broken"].items()),
            ]
            print(f"{folder.name}: {' · '.join(said)}", flush=True)
    return folder


def _relative(files: pd.Series, folder: Path) -> pd.Series:
    """Paths in the home's `data/` relative to the dataset's folder, so that a home may move."""
    inside = f"{folder.parent}{os.sep}"
    return files.map(
        lambda path: os.path.relpath(path, folder) if path.startswith(inside) else path,
        na_action="ignore",
    ).astype(files.dtype)


def _about(folder: Path) -> dict:
    path = folder / "dataset.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}
