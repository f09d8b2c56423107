"""UCF-101's own files: the official lists, the folders of its classes, its five categories.

    rows, classes, about = ucflists.read("ucfTrainTestlist", fold=2)    # what a catalog is made of

`classInd.txt` has a class a line (`1 ApplyEyeMakeup`), `trainlist0k.txt` and `testlist0k.txt` a
clip a line: `Class/v_Class_gGG_cCC.avi`, and a 1-based label that test lists leave out. Lines end
in CRLF or LF, and names agree but for case: `HandstandPushups/v_HandStandPushups_g01_c01.avi`.
A group is what one person, place or recording gave; its clips must not be split.

UCF-101, and its pocket twin, as datasets: one a fold.

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
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from s1m_lab.common import paths
from s1m_lab.common.files import atomic, exclusive
from s1m_lab.data import catalog
from s1m_lab.pocket import activities
from s1m_lab.video.reader import SUFFIXES


def read_ucf101(
    lists: str | Path, videos: str | Path = "", fold: int = 1, data_seed: int = 0
) -> pd.DataFrame:
    """One fold of UCF-101 by its official lists, whose folder is `lists`: 13,320 rows.

    `videos` is the folder of the class folders or the one above; "" is `lists` itself, its parent,
    or a folder `UCF-101` in either, and where none has them paths are null. `group` is the class
    and group of a clip (`Fencing-g07`). An eighth of the groups of each class in train becomes val,
    by a hash of `data_seed`. `.attrs["missing"]` and `["unlisted"]` count listed clips without a
    file, and files without a line, by class; `broken` has their sums. Raises ValueError for a fold
    without lists, a line of no class, and a group on both sides.
    """
    columns, classes, about = read(lists, str(videos or ""), fold)
    df = catalog.finish(catalog.table(columns), classes, data_seed, about.pop("broken"))
    df.attrs |= about
    return df


LISTS, VIDEOS, CLASS_FILE = "ucfTrainTestlist", "UCF-101", "classInd.txt"  # as they are published
FOLDS = 3
CLIP = re.compile(r"(?P<folder>[^/\\]+)[/\\](?P<id>v_\w+_g(?P<group>\d+)_c(?P<clip>\d+))\.\w+")
OBJECT, MOTION, HUMAN = "Human-Object Interaction", "Body-Motion Only", "Human-Human Interaction"
MUSIC, SPORTS = "Playing Musical Instruments", "Sports"
# Soomro, Zamir and Shah, UCF101 (CRCV-TR-12-01), as Table 4 of the paper groups its classes
CATEGORIES = {
    OBJECT: """ApplyEyeMakeup ApplyLipstick BlowDryHair BrushingTeeth CuttingInKitchen Hammering
        HulaHoop JugglingBalls JumpRope Knitting Mixing MoppingFloor Nunchucks PizzaTossing
        ShavingBeard SkateBoarding SoccerJuggling Typing WritingOnBoard YoYo""".split(),
    MOTION: """BabyCrawling BlowingCandles BodyWeightSquats HandstandPushups HandstandWalking
        JumpingJack Lunges PullUps PushUps RockClimbingIndoor RopeClimbing Swing TaiChi
        TrampolineJumping WalkingWithDog WallPushups""".split(),
    HUMAN: "BandMarching Haircut HeadMassage MilitaryParade SalsaSpin".split(),
    MUSIC: """Drumming PlayingCello PlayingDaf PlayingDhol PlayingFlute PlayingGuitar PlayingPiano
        PlayingSitar PlayingTabla PlayingViolin""".split(),
    SPORTS: """Archery BalanceBeam BaseballPitch Basketball BasketballDunk BenchPress Biking
        Billiards Bowling BoxingPunchingBag BoxingSpeedBag BreastStroke CleanAndJerk CliffDiving
        CricketBowling CricketShot Diving Fencing FieldHockeyPenalty FloorGymnastics FrisbeeCatch
        FrontCrawl GolfSwing HammerThrow HighJump HorseRace HorseRiding IceDancing JavelinThrow
        Kayaking LongJump ParallelBars PoleVault PommelHorse Punch Rafting Rowing Shotput Skiing
        Skijet SkyDiving SoccerPenalty StillRings SumoWrestling Surfing TableTennisShot TennisSwing
        ThrowDiscus UnevenBars VolleyballSpiking""".split(),
}  # fmt: skip


def read(lists: Path, videos: str = "", fold: int = 1) -> tuple[dict, list[str], dict]:
    """Columns of a catalog (`split` train or test), the names of the classes, and about the files:
    `broken`, how many by reason; `missing` and `unlisted`, how many by class.

    A listed clip without a file keeps its row, its path null; all have null where there are no
    class folders. Files that no list of the fold names are counted. See `catalog.read_ucf101`.
    """
    folder, fold = lists_in(Path(lists)), int(fold)
    names = {split: folder / f"{split}list{fold:02}.txt" for split in ("train", "test")}
    if gone := [path.name for path in names.values() if not path.is_file()]:
        there = sorted(int(path.stem[-2:]) for path in folder.glob("trainlist[0-9][0-9].txt"))
        there = ", ".join(map(str, there)) or "none"
        raise ValueError(f"fold is {fold}, and {folder} has no {gone[0]}; its folds are {there}")
    classes = read_classes(folder / CLASS_FILE)
    broken, rows = Counter(), []
    for split, path in names.items():
        rows += _read_list(path, split, classes, broken)
    rows = _once(rows, broken)
    _check_groups(rows, folder, fold)
    root = _videos(folder, videos, classes)
    files = _files(root, classes) if root else {}
    unlisted = Counter(classes[label] for label, _ in set(files) - {key(row) for row in rows})
    missing = Counter(classes[row["label"]] for row in rows if root and key(row) not in files)
    broken["listed, but without a file (they stay)"] = missing.total()
    broken["in a class folder, but in no list of this fold"] = unlisted.total()
    columns = {
        "id": [row["id"] for row in rows],
        "split": [row["split"] for row in rows],
        "labels": [[row["label"]] for row in rows],
        "title": [f"{classes[row['label']]}, {row['group']}, {row['clip']}" for row in rows],
        "path": [files.get(key(row)) for row in rows],
        "group": [f"{classes[row['label']]}-{row['group']}" for row in rows],
    }
    about = {"fold": fold, "missing": dict(sorted(missing.items()))}
    about |= {"unlisted": dict(sorted(unlisted.items())), "broken": broken}
    return columns, classes, about


def lists_in(path: Path) -> Path:
    """The folder of the official lists: `path`, or `ucfTrainTestlist` in it or beside it."""
    path = path.expanduser().resolve()
    places = [path, path / LISTS, path.parent / LISTS, path.parent]
    for place in places:
        if (place / CLASS_FILE).is_file():
            return place
    raise ValueError(
        f"no {CLASS_FILE} in {path}, nor in a folder {LISTS} in it or beside it; UCF-101's "
        "official lists are a folder of classInd.txt, trainlist01.txt, testlist01.txt and so on"
    )


def read_classes(path: Path) -> list[str]:
    """The classes of `classInd.txt` (`1 ApplyEyeMakeup`), by number from 0 on."""
    lines = [line.split() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    numbers = [words[0] for words in lines]
    if any(len(words) != 2 for words in lines) or numbers != [
        str(k + 1) for k in range(len(lines))
    ]:
        raise ValueError(f"{path} must have a class a line: 1 ApplyEyeMakeup, 2 ApplyLipstick, …")
    return [words[1] for words in lines]


def categories(classes: list[str]) -> dict[str, list[str]]:
    """Those of `classes` that belong to each of the five categories of UCF-101."""
    own = {name.lower(): name for name in classes}
    return {
        category: [own[name.lower()] for name in names if name.lower() in own]
        for category, names in CATEGORIES.items()
    }


def key(row: dict) -> tuple[int, str]:
    """What a clip of a list and its file agree in."""
    return row["label"], row["id"].lower()


def _read_list(path: Path, split: str, classes: list[str], broken: Counter) -> list[dict]:
    number, rows = {name.lower(): n for n, name in enumerate(classes)}, []
    for n, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        name, _, label = line.strip().partition(" ")
        clip = CLIP.fullmatch(name)
        if not clip:
            broken[f"in {path.name}, a line that names no clip"] += bool(name)
            continue
        known = number.get(clip["folder"].lower())
        given = int(label) - 1 if label.strip().isdigit() else known
        if given is None or not 0 <= given < len(classes) or known not in (None, given):
            raise ValueError(f"{path}, line {n}: {line.strip()!r} is of no class of {CLASS_FILE}")
        row = {"id": clip["id"], "label": given, "split": split}
        rows.append(row | {"group": f"g{clip['group']}", "clip": f"c{clip['clip']}"})
    return rows


def _once(rows: list[dict], broken: Counter) -> list[dict]:
    """Each clip once, as it is listed first."""
    first = {}
    for row in rows:
        first.setdefault((row["id"].lower(), row["split"]), row)
    broken["listed twice"] = len(rows) - len(first)
    return list(first.values())


def _check_groups(rows: list[dict], folder: Path, fold: int) -> None:
    sides = {}
    for row in rows:
        sides.setdefault((row["label"], row["group"]), {}).setdefault(row["split"], row["id"])
    torn = [sorted(ids.values()) for ids in sides.values() if len(ids) == 2]
    if torn:
        raise ValueError(
            f"{folder}: {len(torn)} groups stand in both trainlist{fold:02}.txt and "
            f"testlist{fold:02}.txt ({' and '.join(torn[0])}); their clips are of the same person "
            "or place, and a score on them would say little"
        )


def _videos(lists: Path, videos: str, classes: list[str]) -> Path | None:
    """The folder of the class folders: `videos`, else by the lists; None where there is none."""
    roots = [Path(videos).expanduser().resolve()] if videos else [lists, lists.parent]
    for place in [place for root in roots for place in (root, root / VIDEOS)]:
        if place.is_dir() and _folders(place, classes):
            return place
    if not videos:
        return None
    raise ValueError(f"{roots[0]} holds no folder with the name of a class, such as {classes[0]}")


def _folders(root: Path, classes: list[str]) -> dict[Path, int]:
    """The class folders in `root`, and their labels."""
    number = {name.lower(): n for n, name in enumerate(classes)}
    there = [Path(entry.path) for entry in os.scandir(root) if entry.is_dir()]
    return {
        path: number[path.name.lower()] for path in sorted(there) if path.name.lower() in number
    }


def _files(root: Path, classes: list[str]) -> dict[tuple[int, str], str]:
    """The videos in the class folders, by label and name in small letters."""
    return {
        (label, path.stem.lower()): str(path)
        for folder, label in _folders(root, classes).items()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    }


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
    if not 1 <= int(fold) <= FOLDS:
        raise ValueError(f"fold is {fold}; UCF-101 has folds 1 to {FOLDS}")
    if str(data) == "pocket101":
        activities.make()
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
    df = catalog.load_catalog(folder)
    rows = pq.read_table(folder / "clips" / "status.parquet", columns=["id", "status"]).to_pandas()
    status = rows.set_index("id")["status"][df["id"]].to_numpy()
    of_class = df["labels"].map(lambda own: df.attrs["classes"][own[0]]).to_numpy()
    columns = {"missing": status == "missing", "unreadable": ~np.isin(status, ["ok", "missing"])}
    counts = pd.DataFrame(columns).groupby(of_class).sum().rename_axis("class")
    return counts[counts.any(axis=1)]


def pocket(name: str, data_seed: int | None = None, workers: int | None = None) -> Path:
    """The dataset that `pocket101`, which is fold 1, or `pocket101-fold2` stands for."""
    source = activities.make(data_seed=data_seed, workers=workers)
    return _write(paths.dataset(name), source, int(name[-1]) if "-" in name else 1)


def _write(folder: Path, source: Path, fold: int, lists: str = "", clips=None) -> Path:
    """The catalog of a fold, and what is said of it, written where they have changed."""
    own = _about(source)
    df = read_ucf101(lists or source, source, fold, own.get("data_seed", 0))
    df["path"] = _relative(df["path"], folder)
    about = {"categories": categories(df.attrs["classes"]), "ingest": INGEST} | own
    about |= {"fold": int(fold), "folds": FOLDS}
    if clips is not None:
        clips = dict.fromkeys(("train", "val", "test"), clips) if isinstance(clips, int) else clips
        about["ingest"] = about["ingest"] | {"clips": about["ingest"]["clips"] | clips}
    with exclusive(folder):
        old = catalog.load_catalog(folder) if (folder / "catalog.parquet").is_file() else None
        if _about(folder) != about:
            with atomic(folder / "dataset.json") as temporary:
                temporary.write_text(json.dumps(about, indent=1, ensure_ascii=False), "utf-8")
        if old is None or old.attrs != df.attrs or not old.equals(df):
            catalog.save_catalog(df, folder)
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
