"""A folder of class folders becomes a catalog.

df = read_folder(Path("my_videos"))           # my_videos/<class>/…/<video>
df = read_folder("s3://bucket/my_videos")     # or below train/, val/ and test/
"""

import os
import re
from collections import Counter
from pathlib import Path

import pandas as pd

from s1m_lab.common.paths import is_url
from s1m_lab.data import catalog, splits
from s1m_lab.data.catalog import some
from s1m_lab.video.reader import SUFFIXES, is_video, list_videos


def accepts(source: Path | str) -> bool:
    """Whether a source is a folder on this disk, or an address."""
    return is_url(source) or Path(source).is_dir()


def read_folder(
    path: Path | str, data_seed: int = 0, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The catalog of class folders, optionally below or above folders of the splits.

    The class of a video is the folder directly below `path`, or directly below the split. Splits
    may also lie in each class: `walk/train`. They have the usual names (`splits.NAMES`). Deeper
    folders are searched too. `reader.list_videos` decides what is a video. Broken videos are
    listed; ingest finds out about them. What is left out is counted in `.attrs["broken"]`.

    Class names are composed (NFC) and in the order of their numbers: 1, 2, 10.

    Args:
        path: a folder on this disk, or the address of one in a bucket (`s3://…`).
        data_seed: governs the split.
        known: the catalog of before. Its names and order of classes stay. Its videos that are
            missing now are listed all the same, so that no class, split or id of the others
            changes; `.attrs["gone"]` counts them.

    Raises:
        ValueError: no class folder has a video, or some folders are splits and others are not.
    """
    root = str(path).rstrip("/") if is_url(path) else str(Path(path).resolve())
    separator = "/" if is_url(root) else os.sep
    videos, left = list_videos(root)
    before = [] if known is None else known["path"].dropna()
    inside = {name[len(root) + 1 :] for name in before if name.startswith(root + separator)}
    gone = set(filter(is_video, (name.replace(separator, "/") for name in inside))) - videos.keys()
    broken: Counter = Counter()
    found: list[tuple[str, ...]] = []
    for name in sorted(videos.keys() | gone):
        if re.search(r"[\ud800-\udfff]", name):  # bytes that are no text
            broken["files whose name is not UTF-8"] += 1
        else:
            found.append(tuple(name.split("/")))
    level, split_of = _find_splits(root, found)
    depth = 1 + (level is not None)
    broken["videos in no class folder"] += sum(len(parts) <= depth for parts in found)
    found = [parts for parts in found if len(parts) > depth]
    if not found:
        raise ValueError(_without_classes(root, left, broken["videos in no class folder"]))
    own = 1 if level == 0 else 0
    old = [] if known is None else known.attrs["classes"]
    kept = {catalog.class_name(name): name for name in old}
    names = [catalog.class_name(parts[own]) for parts in found]
    names = [kept.get(name, name) for name in names]  # a class is called as before
    classes = catalog.sort_classes(names, old)
    broken += _count_left(left, {parts[own] for parts in found}, own)
    number = {name: n for n, name in enumerate(classes)}
    columns = {
        "id": catalog.unique_ids(["/".join(parts) for parts in found]),
        "labels": [[number[name]] for name in names],
        "title": [catalog.one_line(Path(parts[-1]).stem) for parts in found],
        "path": [separator.join((root, *parts)) for parts in found],
    }
    if level is not None:
        columns["split"] = [split_of[parts[level]] for parts in found]
    try:
        df = catalog.finish(catalog.table(columns), classes, data_seed, +broken)
    except ValueError as error:
        loose = broken["videos in no class folder"]
        raise ValueError(
            f"{error}{f'; {loose:,} videos lie in no class folder' * (loose > 0)}"
        ) from None
    if gone:
        df.attrs["gone"] = len(gone)
    return df


def _find_splits(root: str, found: list[tuple[str, ...]]) -> tuple[int | None, dict[str, str]]:
    """Which folders are splits: those at the top (0), those in each class (1), or none (None).

    Also the split of each of their names. Raises where some folders are splits and others not.
    """
    inner = [parts for parts in found if len(parts) > 1]
    tops, deep = {parts[0] for parts in inner}, all(len(parts) > 2 for parts in inner)
    split_of = _all_or_none(root, tops, deep)
    if len(set(split_of.values())) > 1 or "train" in split_of.values() or (split_of and deep):
        return 0, split_of
    below = {parts[1] for parts in inner if parts[2:]}
    split_of = _all_or_none(f"the classes in {root}", below)
    if len(set(split_of.values())) < 2 or not deep:
        return None, {}
    if len(tops) == 1 and all(len(parts) > 3 for parts in inner):
        (top,) = tops
        raise ValueError(f"{root} holds {top} alone, which holds the splits; give {root}/{top}")
    return 1, split_of


def _all_or_none(place: str, names: set[str], deep: bool = False) -> dict[str, str]:
    """The split of each folder, {} where some mean none.

    Raises where it is unclear whether they are splits: beside train and another split, and with
    `deep`, where they hold folders of their own, beside any.
    """
    split_of = splits.meanings(names)
    kinds, others = set(split_of.values()), names - set(split_of)
    if others and kinds and (deep or ("train" in kinds and len(kinds) > 1)):
        raise ValueError(
            f"{place} holds folders of splits ({some(sorted(split_of))}) and other folders "
            f"({some(sorted(others))}); move the others away, or list the videos in a table with a "
            "column split"
        )
    if deep and len(like := [name for name in others if re.search(splits.LIKE, name)]) > 1:
        raise ValueError(
            f"{place} holds folders that may be splits or classes ({some(sorted(like))}); name "
            "splits train, val and test, or list the videos in a table"
        )
    return {} if others else split_of


def _count_left(left: dict[str, list[str]], folders: set[str], own: int) -> Counter:
    """How many names are left out, by a reason that lists examples; `own`: level of the class."""
    bare: dict[str, set[str]] = {}
    counts: Counter = Counter()
    suffixes, inside = set(), 0
    junk, other = left.values()
    if junk:
        counts[f"files hidden or left by a system ({some(sorted(junk))})"] = len(junk)
    for name in other:
        parts = name.split("/")
        suffix = "empty or read before" if name.endswith("/") else _suffix(name)
        if len(parts) > own + 1 and parts[own] and parts[own] not in folders:
            bare.setdefault(parts[own], set()).add(suffix)
            inside += 1
        elif not name.endswith("/"):
            suffixes.add(suffix)
    if bare:
        names = some(f"{name} ({some(sorted(kinds))})" for name, kinds in bare.items())
        counts[f"files in folders without a video, which are no classes: {names}"] = inside
    if rest := sum(not name.endswith("/") for name in other) - inside:
        counts[f"files without a video's suffix ({some(sorted(suffixes))})"] = rest
    return counts


def _without_classes(root: str, left: dict[str, list[str]], loose: int) -> str:
    """The error that no class folder holds a video; `loose` videos lie in none."""
    there = {_suffix(name) for names in left.values() for name in names if name[-1:] != "/"}
    seen = f"; there are {some(sorted(there))}" if there else ""
    if there & {".jpg", ".jpeg", ".png", ".bmp"}:
        seen += " (frames as pictures are not read: join each video's into a file with ffmpeg)"
    seen = f"; {loose:,} videos lie in no class folder" if loose else seen
    suffixes = "" if loose else f" (videos end in {', '.join(sorted(SUFFIXES))})"
    return (
        f"no class folders with videos in {root}{seen}; put the videos of a class into a folder "
        "with its name, or give a table (.csv or .parquet) with the columns path and labels"
        f"{suffixes}"
    )


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() or "no suffix"
