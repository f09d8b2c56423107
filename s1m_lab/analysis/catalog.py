"""Numbers of a catalog: classes, labels that go together, durations, titles, near-duplicates.

    df = load_catalog(prepare("pocket"))
    sizes, pairs = class_sizes(df), co_labels(df)

Functions take a catalog and return a tidy table; `figures.catalog` draws them. Work on a million
videos is left to Arrow and pandas and takes seconds.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from s1m_lab.data.shards import read_statuses
from s1m_lab.data.splits import SPLITS
from s1m_lab.data.sports1m import QUANTILES, SHARES, VIDEOS

NEAR = 1000  # ms: the largest difference between the durations of near-duplicates
COMMON = 100  # videos: a title that more of them have does not identify a video
# A word; three characters of a script that writes without spaces count as one.
WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]{3}|[\p{L}\p{M}\p{N}]+"


def add_measured(df: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, str]:
    """The catalog, with durations and sizes that the source lacks from `clips/status.parquet`,
    where ingest measured them; and a sentence with the counts."""
    full = df
    if (Path(folder) / "clips" / "status.parquet").is_file():
        names, full = ["duration", "width", "height"], df.copy()
        measured = read_statuses(folder, ["id", *names]).to_pandas(types_mapper=pd.ArrowDtype)
        measured = measured.set_index("id").reindex(df["id"]).set_axis(df.index)
        for name in names:
            full[name] = df[name].fillna(measured[name].astype(df.dtypes[name]))
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
    rows, sizes = members(df), pd.DataFrame({"class": df.attrs["classes"]})
    rows["several"] = rows.duplicated("video", keep=False)
    rows["duration"] = numbers(df, "duration")[rows["video"]]
    groups, split = rows.groupby("label"), df["split"].to_numpy()[rows["video"]]
    sizes["videos"] = groups.size()
    for name in SPLITS:
        sizes[name] = rows["label"][split == name].value_counts()
    sizes["several"] = groups["several"].sum()
    counts = ["videos", *SPLITS, "several"]
    sizes[counts] = sizes[counts].fillna(0).astype(int)
    sizes["duration"] = groups["duration"].median()
    return sizes.sort_values("videos", ascending=False, kind="stable").rename_axis("label")


def label_counts(df: pd.DataFrame) -> pd.DataFrame:
    """How many videos have one label, two, …"""
    each = np.bincount(members(df)["video"], minlength=len(df))
    counts = pd.Series(each).value_counts().sort_index().rename_axis("labels")
    return pd.DataFrame({"videos": counts, "share": counts / max(1, len(df))})


def co_labels(df: pd.DataFrame) -> pd.DataFrame:
    """Pairs of labels that videos have together, the commonest first.

    `jaccard` is the share of videos with both among those with either. `lift` is the share of
    videos with both over the product of the shares of each: 1 if the labels were independent.
    """
    rows, classes = members(df), pd.Series(df.attrs["classes"], dtype=str)
    sizes = rows["label"].value_counts().astype(float)
    shared = rows[rows.duplicated("video", keep=False)]
    pairs = shared.merge(shared, on="video", suffixes=("_a", "_b")).query("label_a < label_b")
    pairs = pairs.groupby(["label_a", "label_b"]).size().rename("videos").reset_index()
    for side in "ab":
        pairs[f"class_{side}"] = pairs[f"label_{side}"].map(classes)
    a, b, both = pairs["label_a"].map(sizes), pairs["label_b"].map(sizes), pairs["videos"]
    pairs["jaccard"], pairs["lift"] = both / (a + b - both), both * len(df) / (a * b)
    return pairs.sort_values("videos", ascending=False, kind="stable", ignore_index=True)


def durations(df: pd.DataFrame) -> pd.DataFrame:
    """Videos, unknown durations, hours, mean and quantiles (s) of each split and of all. The last
    row is Sports-1M as published: the paper's mean, the quantiles of its JSON."""
    seconds = pd.Series(numbers(df, "duration"))
    parts = {name: seconds[(df["split"] == name).to_numpy(bool)] for name in SPLITS}
    rows = {
        name: [len(s), s.isna().sum(), s.sum() / 3600, s.mean(), *s.quantile([0.5, *QUANTILES])]
        for name, s in (parts | {"all": seconds}).items()
    }
    rows["Sports-1M, published"] = [VIDEOS, np.nan, np.nan, 336, np.nan, *QUANTILES.values()]
    names = ["videos", "unknown", "hours", "mean", *(f"{q:.0%}" for q in [0.5, *QUANTILES])]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def split_sizes(df: pd.DataFrame) -> pd.DataFrame:
    """Videos and share of each split, and the paper's share."""
    counts = df["split"].value_counts().reindex(SPLITS, fill_value=0).astype("int64")
    table = pd.DataFrame({"videos": counts, "share": counts / max(1, len(df))})
    return table.assign(**{"the paper's share": list(SHARES.values())}).rename_axis("split")


def split_overlaps(df: pd.DataFrame) -> pd.DataFrame:
    """How many ids and groups there are, and how many of them are in several splits."""
    rows = {}
    for name in ("id", "group"):
        splits = df.groupby(name)["split"].nunique()
        rows[f"{name}s"] = [len(splits), (splits > 1).sum()]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["in all", "in several splits"])


def fold_overlaps(df: pd.DataFrame) -> pd.DataFrame:
    """One row per fold of the cross-validation, as `sports1m.read_beside` counted them; no row
    where the source had no folds."""
    names = ["fold", "train", "test", "in both", "lines set aside"]
    return pd.DataFrame(df.attrs.get("folds", []), columns=names).set_index("fold")


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
    coded = words.flatten().dictionary_encode()
    good = pc.match_substring_regex(coded.dictionary, r"\p{L}.|.\p{L}")
    rows = pa.table({"video": pc.list_parent_indices(words), "word": coded.indices}).to_pandas()
    rows = rows[good.to_numpy(zero_copy_only=False)[rows["word"]]].drop_duplicates()
    titles = rows["word"].value_counts()  # how many have each word
    rows = rows[rows["word"].map(titles) >= least]
    found = rows.merge(members(df), on="video").groupby(["label", "word"]).size()
    found = found.rename("videos").reset_index()
    # y of n words are in titles of the class, `rest` of `others` in all other titles
    y, n = found["videos"], found.groupby("label")["videos"].transform("sum")
    total = found["word"].map(titles)
    rest, others = total - y, len(rows) - n
    alpha = prior * total / max(1, len(rows))
    odds = (y + alpha) / np.maximum(n + prior - y - alpha, 1e-9)
    odds /= (rest + alpha) / np.maximum(others + prior - rest - alpha, 1e-9)
    found["z"] = np.log(odds) / np.sqrt(1 / (y + alpha) + 1 / (rest + alpha))
    found = found[found["z"] > 3].sort_values(["label", "z"], ascending=[True, False])
    found = found.groupby("label").head(top).reset_index(drop=True)
    found["word"] = coded.dictionary.take(pa.array(found["word"], pa.int64())).to_pylist()
    return found


def near_duplicates(df: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Videos with the same title whose durations differ by at most a second, and their counts.

    The first are rows of the catalog with their `group`, the largest group first. Titles are
    compared without case, punctuation and leading zeros of numbers, so "part 1" is not "part 2";
    they need three words. Sorted by duration, videos of a title form one group as long as each is
    within a second of the next. Titles of more than `COMMON` videos are left out.
    """
    titles, seconds = _normal(df), numbers(df, "duration")
    words = pc.fill_null(pc.count_substring_regex(titles, WORD), 0).to_numpy(zero_copy_only=False)
    code = pc.fill_null(titles.dictionary_encode().indices, -1).to_numpy().astype(np.int64)
    rows = pd.DataFrame({"title": code, "ms": np.clip(seconds * 1000 + 0.5, 0, 2**31) // 1})
    known = rows["ms"].dropna()
    rows = rows[(words >= 3) & rows["ms"].notna()]
    videos = rows["title"].value_counts()
    common = rows["title"].map(videos) > COMMON
    key = rows["title"] * 2**32 + rows["ms"].astype(np.int64)
    key = key[~common].sort_values(kind="stable")
    group = (key.diff() > NEAR).cumsum()  # a title and its durations, each near the next
    sizes = group.value_counts(sort=False).sort_values(ascending=False, kind="stable")
    sizes = sizes[sizes > 1]
    number = group.map(pd.Series(range(len(sizes)), sizes.index, dtype=float)).dropna().astype(int)
    found = df.iloc[number.index][["id", "split", "title", "duration", "labels"]]
    found.insert(0, "group", number.to_numpy())

    test = found.loc[found["split"] == "test", "group"].value_counts()
    leaks = test[test < found["group"].value_counts()[test.index]]
    kinds = found["labels"].astype(object).map(frozenset).groupby(found["group"]).nunique()
    # of all pairs of videos, the share whose durations are within a second; of those with a title
    share = _pairs(known.sort_values()) / max(1, len(known) * (len(known) - 1) // 2)
    alike = videos[videos <= COMMON]
    counts = {
        "videos compared": len(key),
        "groups": len(sizes),
        "videos in them": len(found),
        "pairs within a second": _pairs(key),
        "pairs that chance alone would give": round(share * (alike * (alike - 1) // 2).sum()),
        "groups in train or val and in test": len(leaks),
        "test videos with such a twin": int(leaks.sum()),
        "groups whose labels differ": int((kinds > 1).sum()),
        f"titles of over {COMMON} videos, left out": int((videos > COMMON).sum()),
        "videos with such a title": int(common.sum()),
    }
    return found.sort_values("group", kind="stable"), pd.Series(counts, name="count")


def _pairs(key: pd.Series) -> int:
    """How many pairs of sorted `key` lie within `NEAR`."""
    return int((np.searchsorted(key, key + NEAR, "right") - np.arange(len(key)) - 1).sum())


def _arrow(df: pd.DataFrame, name: str) -> pa.Array:
    column = pa.array(df[name])
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def numbers(df: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64, nan where it is unknown."""
    return df[name].to_numpy(np.float64, na_value=np.nan)


def members(df: pd.DataFrame) -> pd.DataFrame:
    """A row for each label of each video: `video`, its row in the catalog, and `label`."""
    labels = _arrow(df, "labels")
    rows = pa.table({"video": pc.list_parent_indices(labels), "label": pc.list_flatten(labels)})
    return rows.to_pandas().astype(np.int64).drop_duplicates(ignore_index=True)


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
