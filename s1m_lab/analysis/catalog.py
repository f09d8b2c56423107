"""Numbers of a catalog: classes, labels that go together, durations, titles, near-duplicates.

    df = load_catalog(prepare("pocket"))
    sizes, pairs = class_sizes(df), co_labels(df)

Functions take a catalog and return a tidy table; `figures.catalog` draws them. Labels, words and
titles are Arrow columns and numpy arrays, without a loop over videos: a million take seconds.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.data.splits import SPLITS
from s1m_lab.data.sports1m import QUANTILES, SHARES, VIDEOS

SHAPES = ("4:3", "16:9", "other landscape", "square", "portrait", "unknown")
NEAR = 1000  # ms: the largest difference between the durations of near-duplicates
COMMON = 100  # videos: a title that more of them have does not identify a video
TESTS = {"Sports-1M, published list": 218_667, "Sports-1M, published JSON": 201_309}
LABELS = 1 << 16  # more than any dataset has
# A word; three characters of a script that writes without spaces count as one.
WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]{3}|[\p{L}\p{M}\p{N}]+"


def add_measured(df: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, str]:
    """The catalog, with durations and sizes that the source lacks from `clips/status.parquet`,
    where ingest measured them; and a sentence with the counts."""
    status, full = Path(folder) / "clips" / "status.parquet", df
    names = ["duration", "width", "height"]
    if status.is_file():
        rows, full = pq.read_table(status, columns=["id", *names]), df.copy()
        place = pc.index_in(_arrow(df, "id"), rows["id"].combine_chunks())
        for name in names:
            found = pc.take(rows[name].combine_chunks(), place)
            both = pc.coalesce(_arrow(df, name), found.cast(df.dtypes[name].pyarrow_dtype))
            full[name] = pd.Series(both, df.index, df.dtypes[name])
    parts = []
    for what, name in (("durations", "duration"), ("sizes", "height")):
        known, now = int(df[name].notna().sum()), int(full[name].notna().sum())
        text = f"{what}: {known:,} from the source, {now - known:,} measured at ingest"
        parts.append(f"{text}, {len(df) - now:,} unknown")
    return full, "; ".join(parts)


def skipped_rows(df: pd.DataFrame) -> pd.DataFrame:
    """How many rows of the source the catalog lacks, by reason."""
    broken = pd.Series(df.attrs.get("broken", {}), dtype="int64").sort_values(ascending=False)
    share = broken / max(1, len(df) + broken.sum())
    return pd.DataFrame({"rows": broken, "share of the source": share}).rename_axis("reason")


def class_sizes(df: pd.DataFrame) -> pd.DataFrame:
    """A row a class, the largest first: `class`, `videos`, videos of each split, `several` (videos
    that have other labels too) and the median `duration` (s)."""
    classes, (video, label) = df.attrs["classes"], members(df)
    split = pc.fill_null(pc.index_in(_arrow(df, "split"), pa.array(SPLITS)), 3).to_numpy()
    counts = np.bincount(label * 4 + split[video], minlength=4 * len(classes)).reshape(-1, 4)
    sizes = pd.DataFrame({"class": classes, "videos": counts.sum(1)})
    sizes[list(SPLITS)] = counts[:, :3]
    shared = np.bincount(video, minlength=len(df))[video] > 1
    sizes["several"] = np.bincount(label[shared], minlength=len(classes))
    sizes["duration"] = pd.Series(numbers(df, "duration")[video]).groupby(label).median()
    return sizes.sort_values("videos", ascending=False, kind="stable").rename_axis("label")


def label_counts(df: pd.DataFrame) -> pd.DataFrame:
    """How many videos have one label, two, …"""
    each = np.bincount(members(df)[0], minlength=len(df))
    counts = pd.Series(each).value_counts().sort_index().rename_axis("labels")
    return pd.DataFrame({"videos": counts, "share": counts / max(1, len(df))})


def co_labels(df: pd.DataFrame, least: int = 1) -> pd.DataFrame:
    """Pairs of labels that at least `least` videos have together, the commonest first.

    `jaccard` is the share of videos with both among those with either. `lift` is the share of
    videos with both over the product of the shares of each: 1 if the labels were independent.
    """
    classes, (video, label) = pd.Series(df.attrs["classes"], dtype=str), members(df)
    sizes = np.bincount(label, minlength=len(classes))
    shared = np.bincount(video, minlength=len(df))[video] > 1
    rows = pd.DataFrame({"video": video[shared], "label": label[shared]})
    pairs = rows.merge(rows, on="video", suffixes=("_a", "_b")).query("label_a < label_b")
    pairs = pairs.groupby(["label_a", "label_b"]).size().rename("videos").reset_index()
    pairs = pairs[pairs["videos"] >= least]
    a, b, both = (pairs[name].to_numpy() for name in ("label_a", "label_b", "videos"))
    pairs["class_a"], pairs["class_b"] = classes.to_numpy()[a], classes.to_numpy()[b]
    pairs["jaccard"] = both / (sizes[a] + sizes[b] - both)
    pairs["lift"] = both * float(len(df)) / (sizes[a] * sizes[b].astype(float))
    return pairs.sort_values("videos", ascending=False, kind="stable", ignore_index=True)


def durations(df: pd.DataFrame) -> pd.DataFrame:
    """Videos, unknown durations, hours, mean and quantiles (s) of each split and of all. The last
    row is Sports-1M as published: the paper's mean, the quantiles of its JSON."""
    seconds, rows = pd.Series(numbers(df, "duration")), {}
    for name in (*SPLITS, "all"):
        s = seconds if name == "all" else seconds[(df["split"] == name).to_numpy(bool)]
        rows[name] = [len(s), s.isna().sum(), s.sum() / 3600, s.mean()]
        rows[name] += s.quantile([0.5, *QUANTILES]).tolist()
    rows["Sports-1M, published"] = [VIDEOS, np.nan, np.nan, 336, np.nan, *QUANTILES.values()]
    names = ["videos", "unknown", "hours", "mean", *(f"{q:.0%}" for q in [0.5, *QUANTILES])]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def frame_sizes(df: pd.DataFrame) -> pd.DataFrame:
    """How many videos have each `width` and `height` (pixels), the commonest first, and their
    `shape`: 4:3 and 16:9 within 2 %."""
    sizes = pd.DataFrame({side: numbers(df, side) for side in ("width", "height")})
    sizes = sizes.where((sizes > 0).all(axis=1)).value_counts(dropna=False)
    sizes = sizes.rename("videos").reset_index()
    ratio = sizes["width"] / sizes["height"]
    tests = [(ratio / r - 1).abs() < 0.02 for r in (4 / 3, 16 / 9)]
    tests += [ratio > 1.02, ratio >= 1 / 1.02, ratio > 0]
    sizes["shape"] = np.select(tests, SHAPES[:5], SHAPES[5])
    sizes["share"] = sizes["videos"] / max(1, len(df))
    return sizes


def split_sizes(df: pd.DataFrame) -> pd.DataFrame:
    """Videos and share of each split, and the paper's share."""
    counts = df["split"].value_counts().reindex(SPLITS, fill_value=0).astype("int64")
    table = pd.DataFrame({"videos": counts, "share": counts / max(1, len(df))})
    return table.assign(**{"the paper's share": list(SHARES.values())}).rename_axis("split")


def split_overlaps(df: pd.DataFrame) -> pd.DataFrame:
    """How many ids and groups there are, and how many of them are in several splits."""
    rows = {}
    for name in ("id", "group"):
        both = pa.table({"what": _arrow(df, name), "split": _arrow(df, "split")}).drop_null()
        found = both.group_by("what").aggregate([("split", "count_distinct")])
        several = pc.sum(pc.greater(found["split_count_distinct"], 1)).as_py() or 0
        rows[f"{name}s"] = [len(found), several]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["in all", "in several splits"])


def lists_against(df: pd.DataFrame, source: str) -> pd.DataFrame:
    """The published lists compared with the catalog made from the JSON: a row a list.

    The lists are `*_partition.txt` beside the JSON, or in its folder `original`. Without lists or
    JSON: the number of test videos here, and the published ones.
    """
    place = Path(source).expanduser().resolve()
    place = place if place.is_dir() else place.parent
    files = sorted([*place.glob("*_partition.txt"), *place.glob("original/*_partition.txt")])
    if not source or not files or df["title"].isna().all():  # the lists have no titles
        counts = {"this catalog": int((df["split"] == "test").sum())} | TESTS
        return pd.DataFrame({"test videos": counts})
    rows, names, own = {}, _arrow(df, "id"), np.stack(members(df)).T @ [LABELS, 1]
    test = (df["split"] == "test").to_numpy(bool)
    for file in files:
        lines = pa.array([file.read_bytes().decode("utf-8", "replace")], pa.large_string())
        lines = pc.list_flatten(pc.split_pattern(lines, "\n"))
        found = pc.extract_regex(lines, r"(?P<id>[\w-]{11})\s+(?P<labels>\d[\d,]*)\s*$").drop_null()
        listed = pd.Series(pc.struct_field(found, "id"), dtype="string[pyarrow]")
        found = found.filter(pa.array(~listed.duplicated().to_numpy()))
        row = pc.index_in(pc.struct_field(found, "id"), names).cast(pa.int64())
        row = pc.fill_null(row, -1).to_numpy()  # in the catalog, or −1
        mine = test if "test" in file.name else ~test
        here = row[row >= 0]
        both = int(mine[here].sum())
        theirs = pc.split_pattern(pc.struct_field(found, "labels"), ",").cast(pa.list_(pa.int32()))
        theirs = row[pc.list_parent_indices(theirs)] * LABELS + pc.list_flatten(theirs).to_numpy()
        ours = own[np.isin(own // LABELS, here)]
        differ = np.setxor1d(theirs[theirs >= 0], ours) // LABELS
        listed_here = [len(row), int(mine.sum()), both, len(here) - both, len(row) - len(here)]
        rows[file.name] = [*listed_here, int(mine.sum()) - both, len(np.unique(differ))]
    names = ["in the list", "in the JSON", "in both", "in the JSON's other part"]
    names += ["in the list alone", "in the JSON alone", "labels differ"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def characteristic_words(
    df: pd.DataFrame, least: int = 5, top: int = 12, prior: float = 500.0
) -> pd.DataFrame:
    """The words that distinguish the titles of a class from all others: `label, word, videos, z`.

    Log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, eq. 16 to 22). A
    word counts once a title, in the class and in all other videos. The prior is worth `prior`
    words, distributed as in all titles. `z` is the log-odds ratio over its standard deviation. The
    `top` words of each class with `z` over 3 and at least `least` titles are returned. Words are
    two or more letters and digits; a phrase in a script without spaces is one word.
    """
    words = pc.utf8_split_whitespace(_normal(df))
    title, found = pc.list_parent_indices(words).to_numpy(), words.flatten().dictionary_encode()
    texts, code = found.dictionary, found.indices.to_numpy().astype(np.int64)
    good = pc.match_substring_regex(texts, r"\p{L}.|.\p{L}").to_numpy(zero_copy_only=False)
    title, code = title[good[code]], code[good[code]]
    whole = _distinct(title.astype(np.int64) * len(texts) + code)  # a word once a title
    code = whole % max(1, len(texts))
    often = np.bincount(code, minlength=len(texts)) >= least
    whole, code = whole[often[code]], code[often[code]]
    total = np.bincount(code, minlength=len(texts)).astype(float)
    first = np.searchsorted(whole, np.arange(len(df) + 1) * len(texts))
    video, label = members(df)
    length = np.diff(first)[video]
    place = np.repeat(first[video] - (length.cumsum() - length), length) + np.arange(length.sum())
    keys, y = np.unique(np.repeat(label, length) * len(texts) + code[place], return_counts=True)
    label, code = keys // max(1, len(texts)), keys % max(1, len(texts))
    z = log_odds(y, np.bincount(label, y)[label], total[code], len(whole), prior)
    rows = pd.DataFrame({"label": label, "code": code, "videos": y, "z": z})
    rows = rows[rows["z"] > 3].sort_values(["label", "z"], ascending=[True, False], kind="stable")
    rows = rows.groupby("label").head(top)
    rows.insert(1, "word", texts.take(pa.array(rows.pop("code"), pa.int64())).to_pylist())
    return rows.reset_index(drop=True)


def log_odds(own, size, total, whole, prior: float) -> np.ndarray:
    """z of words that occur `own` times among `size` in a class, `total` among `whole` in all."""
    alpha, rest = prior * total / max(1, whole), total - own
    odds = (own + alpha) / np.maximum(size + prior - own - alpha, 1e-9)
    others = (rest + alpha) / np.maximum(whole - size + prior - rest - alpha, 1e-9)
    return np.log(odds / others) / np.sqrt(1 / (own + alpha) + 1 / (rest + alpha))


def near_duplicates(df: pd.DataFrame) -> pd.DataFrame:
    """Videos with the same title whose durations differ by at most a second: the catalog's rows,
    with their `group`, the largest group first.

    Titles are compared without case, punctuation and leading zeros of numbers, so "part 1" is not
    "part 2"; they need three words. Sorted by duration, videos of a title form one group as long as
    each is within a second of the next. Titles of more than `COMMON` videos are left out. `attrs`:
    the videos `compared`, the `pairs` within a second, the pairs expected by `chance`, the `common`
    titles, and the videos `left_out` for them.
    """
    titles, seconds = _normal(df), numbers(df, "duration")
    words = pc.fill_null(pc.count_substring_regex(titles, WORD), 0).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero((words >= 3) & np.isfinite(seconds))
    code = titles.take(pa.array(rows)).dictionary_encode().indices.to_numpy().astype(np.int64)
    borne = np.bincount(code)
    common = borne[code] > COMMON
    rows, code = rows[~common], code[~common]
    key = (code << 32) + np.clip(seconds[rows] * 1000 + 0.5, 0, 2**31).astype(np.int64)
    rows, key = rows[np.argsort(key, kind="stable")], np.sort(key)
    group = np.cumsum(np.diff(key, prepend=key[:1]) > NEAR)
    size = np.bincount(group, minlength=1)
    twin = size[group] > 1
    by_size = np.stack([-size[group], group])[:, twin]
    _, number = np.unique(by_size, axis=1, return_inverse=True)
    found = df.take(rows[twin])[["id", "split", "title", "duration", "labels"]]
    found.insert(0, "group", number)
    every = np.sort(seconds[np.isfinite(seconds)] * 1000 + 0.5).astype(np.int64)
    some = borne[borne <= COMMON].astype(float)
    rate = _pairs(every) / max(1.0, len(every) * (len(every) - 1) / 2)
    found.attrs = {"pairs": _pairs(key), "chance": rate * (some * (some - 1) / 2).sum()}
    found.attrs |= {"common": int((borne > COMMON).sum()), "left_out": int(common.sum())}
    found.attrs |= {"compared": len(rows)}
    return found.sort_values("group", kind="stable")


def _pairs(key: np.ndarray) -> int:
    """How many pairs of sorted `key` lie within `NEAR`."""
    return int((np.searchsorted(key, key + NEAR, "right") - np.arange(len(key)) - 1).sum())


def duplicate_counts(found: pd.DataFrame) -> pd.Series:
    """Counts over `near_duplicates`; a leak is a group in train or val and in test."""
    group, split = found["group"].to_numpy(), found["split"].to_numpy()
    groups = int(group.max(initial=-1)) + 1
    test = np.bincount(group[split == "test"], minlength=groups)
    size = np.bincount(group, minlength=groups)
    leaks = (test > 0) & (test < size)
    video, label = members(found)
    alike = pd.DataFrame({"group": group[video], "label": label}).value_counts().reset_index()
    differ = alike["group"][alike["count"].to_numpy() < size[alike["group"]]].nunique()
    return pd.Series(
        {
            "videos compared": found.attrs["compared"],
            "groups": groups,
            "videos in them": len(found),
            "pairs within a second": found.attrs["pairs"],
            "pairs that chance alone would give": round(found.attrs["chance"]),
            "groups in train or val and in test": int(leaks.sum()),
            "test videos with such a twin": int(test[leaks].sum()),
            "groups whose labels differ": int(differ),
            f"titles of over {COMMON} videos, left out": found.attrs["common"],
            "videos with such a title": found.attrs["left_out"],
        }
    ).rename("count")


def _arrow(df: pd.DataFrame, name: str) -> pa.Array:
    column = pa.array(df[name])
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def numbers(df: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64, nan where it is unknown."""
    return df[name].to_numpy(np.float64, na_value=np.nan)


def _distinct(keys: np.ndarray) -> np.ndarray:
    """The distinct values of `keys` (all ≥ 0), sorted; many times faster than `np.unique`, which
    hashes them."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]


def members(df: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(row of the video in the catalog, label) for each label of each video, in order."""
    labels = _arrow(df, "labels")
    video = pc.list_parent_indices(labels).to_numpy().astype(np.int64)
    return np.divmod(_distinct(video * LABELS + pc.list_flatten(labels).to_numpy()), LABELS)


def _normal(df: pd.DataFrame) -> pa.Array:
    """Titles as words between single spaces, without case, punctuation, apostrophes and leading
    zeros of numbers; null where nothing is left."""
    titles = pc.utf8_normalize(_arrow(df, "title").cast(pa.string()), "NFKC")
    titles = pc.utf8_lower(pc.utf8_upper(titles))  # ς and σ are both Σ
    titles = pc.replace_substring_regex(titles, r"['’ʼ]", "")
    titles = pc.replace_substring_regex(titles, r"[^\p{L}\p{M}\p{N}]+", " ")
    titles = pc.replace_substring_regex(titles, r"(^| )0+(\d)", r"\1\2")
    titles = pc.utf8_trim(titles, " ")
    return pc.if_else(pc.equal(titles, ""), None, titles)
