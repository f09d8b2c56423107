"""UCF-101: the official lists, the class folders, and one dataset per fold.

    df = read_ucf101("ucfTrainTestlist", videos="UCF-101", fold=2)  # a catalog
    folder = ucf101.dataset("pocket101", fold=2)                    # data/pocket101-fold2
    folder = ucf101.dataset("/path/to/UCF-101", fold=1, lists="/path/to/ucfTrainTestlist")
    prepare(folder)                                                 # its clips

`classInd.txt` has one class per line (`1 ApplyEyeMakeup`). `trainlist0k.txt` and `testlist0k.txt`
have one clip per line: `Class/v_Class_gGG_cCC.avi`, in train lists with a label that counts from 1.
Lines end in CRLF or LF. Names agree but for case: `HandstandPushups/v_HandStandPushups_g01_c01.avi`
is published so. A group holds the clips of one person, place or recording, and is never split.

The name `pocket101` alone is fold 1 too. Folds share films and no clips, since their splits differ.
Clips of a fold of `pocket101` take 0.3 GB. Those of UCF-101 take 100 GB a fold: 50 for a training
video and 20 for the others make 520,000 clips of 197 kB (measured on four videos). The frozen
features of slow fusion at full width would take 40 GB a fold for `top3` and 14 GB for `top`
(computed: 50 and 16 kB for each pass of a clip).
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from s1m_lab.common import paths
from s1m_lab.common.files import exclusive, sound, write_json
from s1m_lab.data import catalog, shards
from s1m_lab.pocket import activities
from s1m_lab.pocket.activities import CLASS_FILE, FOLDS, LISTS, VIDEOS
from s1m_lab.video.reader import list_videos

CLIP = r"(?P<folder>[^/\\ ]+)[/\\](?P<id>v_\w+_(?P<group>g\d+)_(?P<clip>c\d+))\.\w+"
LINE = rf"^{CLIP}(?: +(?:(?P<label>\d+)|.*))?$"
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
INGEST = {"clips": {"train": 50, "val": 20, "test": 20}}  # §4.3: 50 a video; tested as Sports-1M


# ------------------------------------------------------------------------------ lists and folders


def read_ucf101(
    lists: str | Path, videos: str | Path = "", fold: int = 1, data_seed: int = 0
) -> pd.DataFrame:
    """The catalog of one fold of UCF-101: 13,320 rows where all class folders are there.

    Args:
        lists: the folder of the official lists.
        videos: the folder of the class folders, or the one above. By default `lists`, its parent,
            or a folder `UCF-101` in either. Without class folders, all paths are null.
        fold: 1 to 3.
        data_seed: governs which eighth of the groups of each class moves from train to val.

    `group` is the class and group of a clip (`Fencing-g07`). Classes without a file are left out,
    unless there are no class folders. Any other listed clip without a file keeps its row, with a
    null path. `.attrs["missing"]` counts these by class, `.attrs["unlisted"]` files
    without a line, and `broken` has both sums.

    Raises ValueError for a fold without lists, a line of no class, and a group on both sides.
    """
    folder, fold = find_lists(Path(lists)), int(fold)
    names = _list_paths(folder, fold)
    classes = read_classes(folder / CLASS_FILE)
    broken: Counter = Counter()
    rows = pd.concat(
        _read_list(path, classes, broken).assign(split=split) for split, path in names.items()
    )
    rows["key"] = list(zip(rows["label"], rows["id"].str.lower(), strict=True))
    twice = rows.duplicated(["key", "split"])
    broken["listed twice"] = twice.sum()
    rows = rows[~twice]
    _check_groups(rows, folder, fold)
    root = _find_videos(folder, str(videos or ""), classes)
    files, others = _list_files(root, classes) if root else ({}, Counter[str]())
    kept = sorted({label for label, _ in files} or range(len(classes)))
    absent = ~rows["label"].isin(kept)
    lacking = len(classes) - len(kept)
    broken[f"listed videos of {lacking} classes without a file"] = absent.sum()
    rows = rows[~absent]
    unlisted = Counter(classes[label] for label, _ in set(files) - set(rows["key"]))
    missing = Counter(classes[key[0]] for key in rows["key"] if root and key not in files)
    broken["listed videos without a file, which count as missing"] = missing.total()
    broken["videos in a class folder, but in no list of this fold"] = unlisted.total()
    broken[f"videos in folders of no class of {CLASS_FILE}: {catalog.some(sorted(others))}"] = (
        others.total()
    )
    names_of = rows["label"].map(dict(enumerate(classes)))
    columns = {
        "id": rows["id"],
        "split": rows["split"],
        "labels": [[kept.index(label)] for label in rows["label"]],
        "title": names_of + ", " + rows["group"] + ", " + rows["clip"],
        "path": [files.get(key) for key in rows["key"]],
        "group": names_of + "-" + rows["group"],
    }
    df = catalog.finish(catalog.table(columns), [classes[n] for n in kept], data_seed, broken)
    df.attrs["fold"] = fold
    df.attrs["missing"] = dict(sorted(missing.items()))
    df.attrs["unlisted"] = dict(sorted(unlisted.items()))
    return df


def find_lists(path: Path) -> Path:
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


def _list_paths(folder: Path, fold: int) -> dict[str, Path]:
    """The lists of a fold, train and test; raises where one is missing."""
    names = {split: folder / f"{split}list{fold:02}.txt" for split in ("train", "test")}
    if missing := [path.name for path in names.values() if not path.is_file()]:
        there = sorted(int(path.stem[-2:]) for path in folder.glob("trainlist[0-9][0-9].txt"))
        raise ValueError(
            f"fold is {fold}, and {folder} has no {missing[0]}; its folds are "
            f"{', '.join(map(str, there)) or 'none'}"
        )
    return names


def read_classes(path: Path) -> list[str]:
    """The class names of `classInd.txt` (`1 ApplyEyeMakeup`), by number from 0 on."""
    lines = [line.split() for line in catalog.read_text(path).splitlines() if line.strip()]
    if [words[:-1] for words in lines] != [[str(n)] for n in range(1, len(lines) + 1)]:
        raise ValueError(f"{path} must have a class a line: 1 ApplyEyeMakeup, 2 ApplyLipstick, …")
    return [words[-1] for words in lines]


def categories(classes: list[str]) -> dict[str, list[str]]:
    """Which of `classes` belong to each of the five categories of UCF-101; none is empty."""
    own = {name.lower(): name for name in classes}
    return {
        category: [own[name.lower()] for name in names if name.lower() in own]
        for category, names in CATEGORIES.items()
        if any(name.lower() in own for name in names)
    }


def _read_list(path: Path, classes: list[str], broken: Counter) -> pd.DataFrame:
    """The clips of a list: `id, label, group` (`g01`) `, clip` (`c02`).

    Lines that name no clip are counted in `broken`. Raises ValueError for a line of no class.
    """
    lines = pd.Series(catalog.read_text(path).splitlines(), dtype=str).str.strip()
    rows = lines[lines != ""].str.extract(LINE)
    broken[f"in {path.name}, a line that names no clip"] = rows["id"].isna().sum()
    rows = rows.dropna(subset="id")
    known = rows["folder"].str.lower().map({name.lower(): n for n, name in enumerate(classes)})
    label = (rows["label"].astype(float) - 1).fillna(known)
    wrong = ~label.isin(range(len(classes))) | (known.notna() & (known != label))
    for n in label.index[wrong]:
        raise ValueError(f"{path}, line {n + 1}: {lines[n]!r} is of no class of {CLASS_FILE}")
    return rows.assign(label=label.astype(int))


def _check_groups(rows: pd.DataFrame, folder: Path, fold: int) -> None:
    """Raise ValueError where a group stands in both lists."""
    first = rows.groupby(["label", "group", "split"], sort=False)["id"].first()
    torn = first.unstack().reindex(columns=["train", "test"]).dropna()
    if len(torn):
        raise ValueError(
            f"{folder}: {len(torn)} groups stand in both trainlist{fold:02}.txt and "
            f"testlist{fold:02}.txt ({' and '.join(sorted(torn.iloc[0]))}); their clips are of the "
            "same person or place, and a score on them would say little"
        )


def _find_videos(lists: Path, videos: str, classes: list[str]) -> Path | None:
    """The folder of the class folders: in `videos`, else near the lists; None without any."""
    roots = [Path(videos).expanduser().resolve()] if videos else [lists, lists.parent]
    names = {name.lower() for name in classes}
    for place in [place for root in roots for place in (root, root / VIDEOS)]:
        inside = place.iterdir() if place.is_dir() else ()
        if any(path.is_dir() and path.name.lower() in names for path in inside):
            return place
    if not videos:
        return None
    raise ValueError(f"{roots[0]} holds no folder with the name of a class, such as {classes[0]}")


def _list_files(root: Path, classes: list[str]) -> tuple[dict[tuple[int, str], str], Counter[str]]:
    """The videos in the class folders, by label and lower-case name; how many lie in others."""
    number = {name.lower(): n for n, name in enumerate(classes)}
    files, others = {}, Counter[str]()
    for name in list_videos(root)[0]:
        top, *inner = name.split("/")
        if len(inner) == 1 and (label := number.get(top.lower())) is not None:
            files[label, Path(name).stem.lower()] = str(root / name)
        elif inner:
            others[top] += 1
    return files, others


# ---------------------------------------------------------------------------- datasets of the folds


def dataset(data: str | Path = "pocket101", fold: int = 1, lists: str = "") -> Path:
    """The dataset folder of a fold of UCF-101, with its catalog up to date; clips are not made.

    Args:
        data: `pocket101` (rendered if it is missing), a name in `data/`, or the path of the folder
            with UCF-101's class folders, or of the one above.
        fold: 1 to 3.
        lists: the folder of the official lists. By default `data`, a folder `ucfTrainTestlist` in
            it, or either in its parent.

    Its `dataset.json` holds `categories` (classes by group), `fold`, `folds` and `ingest`.

    Raises:
        FileNotFoundError: there is no such dataset or folder.
        ValueError: no such fold, no lists, or lists that split a group.
    """
    if not 1 <= int(fold) <= FOLDS:
        raise ValueError(f"fold is {fold}; UCF-101 has folds 1 to {FOLDS}")
    if str(data) == "pocket101":
        activities.make()
    ref = paths.parse_dataset(data)
    source = Path(ref.source or ref.folder)
    if not source.is_dir():
        raise FileNotFoundError(
            f"no folder {source}; data is pocket101, or the path of UCF-101's class folders"
        )
    return _write_fold(paths.dataset(f"{ref.folder.name}-fold{fold}"), source, fold, lists)


def count_lost(folder: Path) -> pd.DataFrame:
    """Videos without clips, one row per class that has such: columns `missing` and `unreadable`.

    The clips of the fold must have been made.
    """
    df = catalog.load_catalog(folder)
    rows = shards.read_statuses(folder, ["id", "status"]).to_pandas()
    status = rows.set_index("id")["status"][df["id"]].to_numpy()
    of_class = df["labels"].map(lambda own: df.attrs["classes"][own[0]]).to_numpy()
    columns = {"missing": status == "missing", "unreadable": ~np.isin(status, ["ok", "missing"])}
    counts = pd.DataFrame(columns).groupby(of_class).sum().rename_axis("class")
    return counts[counts.any(axis=1)]


def make_pocket101(name: str, data_seed: int | None = None, workers: int | None = None) -> Path:
    """The dataset called `pocket101` (fold 1) or `pocket101-fold2`, rendered if it is missing."""
    source = activities.make(data_seed=data_seed, workers=workers)
    return _write_fold(paths.dataset(name), source, int(name[-1]) if "-" in name else 1)


def _write_fold(folder: Path, source: Path, fold: int, lists: str = "") -> Path:
    """Write the catalog and the description of a fold, each only if it has changed."""
    own = paths.read_description(source)
    df = read_ucf101(lists or source, source, fold, own.get("data_seed", 0))
    df["path"] = _relative(df["path"], folder)
    about = {"categories": categories(df.attrs["classes"]), "ingest": INGEST} | own
    about |= {"fold": int(fold), "folds": FOLDS}
    with exclusive(folder):
        if sound(paths.read_description, folder) != about:
            write_json(folder / "dataset.json", about, indent=1, ensure_ascii=False)
        if catalog.update_catalog(df, folder):
            there = df["path"].notna().sum()
            print(f"{folder.name}: {there:,} of {len(df):,} listed videos have a file", flush=True)
            print("\n  ".join([f"{folder.name}:", *catalog.summarise(df)]), flush=True)
    return folder


def _relative(files: pd.Series, folder: Path) -> pd.Series:
    """Paths in the home's `data/` become relative to the dataset's folder, so the home may move."""
    inside = f"{folder.parent}{os.sep}"
    return files.map(
        lambda path: os.path.relpath(path, folder) if path.startswith(inside) else path,
        na_action="ignore",
    ).astype(files.dtype)
