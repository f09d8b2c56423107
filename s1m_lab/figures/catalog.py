"""What a catalog holds: sizes of classes, labels that go together, and each class in a column.

    draw_sizes(catalog.class_sizes(df))
    described = describe_classes(df, sizes, pairs, words, thumbnails(folder, len(sizes)))
    explore_classes(described)               # without a kernel: tables.show_table(described[some])

`draw_…` functions take the tables of `s1m_lab.analysis.catalog`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from markupsafe import Markup
from matplotlib.figure import Figure

from s1m_lab.analysis.catalog import members
from s1m_lab.data import loader
from s1m_lab.data.shards import Shards
from s1m_lab.data.splits import SPLITS
from s1m_lab.figures import frames, style, tables
from s1m_lab.figures.style import format_seconds

SHADES = {"train": "#777777", "val": "#0072B2", "test": "#CC79A7"}
MOST_SHARDS = 256  # of a split, looked through for a clip of every class
LIST = Markup(" · ").join  # escapes each text
IMAGE = Markup('<img alt="a frame of {}" src="{}" style="width:120px">')  # escapes both


@style.styled
def draw_sizes(sizes: pd.DataFrame) -> Figure:
    """The number of videos of each class: bars by split up to 30 classes, else a curve.

    `sizes` is the table of `class_sizes`. The band is the paper's range.
    """
    videos = sizes["videos"]
    many = len(sizes) > 30
    fig, ((ax,),) = style.new_figure(1, 1, 3.6 if many else 0.8 + 0.24 * max(1, len(sizes)))
    title = f"{len(sizes):,} classes have {videos.min():,} to {videos.max():,} videos"
    if many:
        title += f"; half have more than {videos.median():,.0f}"
        ax.plot(range(1, len(sizes) + 1), videos, drawstyle="steps-mid", color="#56B4E9")
        ax.set(xlabel="class, by size", ylabel="videos", ylim=(0, None))
        if videos.max() >= 1000:
            ax.axhspan(1000, 3000, color=style.FAINT, label="the paper: 1,000 to 3,000 a class")
            ax.legend()
    else:
        sizes[list(SHADES)].plot.barh(stacked=True, color=SHADES, width=0.8, legend=False, ax=ax)
        style.name_rows(ax, sizes["class"], 30)
        ax.set(xlabel="videos", ylabel="")
        fig.legend(loc="outside lower left", ncols=3, fontsize=9)
    ax.set_title(title)
    return fig


def strongest_pairs(pairs: pd.DataFrame, most: int = 14) -> list[int]:
    """The labels of the pairs of greatest Jaccard, up to `most`."""
    best = pairs.sort_values("jaccard", ascending=False, kind="stable")
    return pd.unique(best[["label_a", "label_b"]].to_numpy().ravel())[:most].tolist()


def _from_either_side(pairs: pd.DataFrame) -> pd.DataFrame:
    """Each pair twice: its labels also the other way round."""
    turned = pairs.rename(columns={"label_a": "label_b", "label_b": "label_a"})
    both = pd.concat([pairs, turned], ignore_index=True)
    return both.sort_values("videos", ascending=False, kind="stable")


@style.styled
def draw_co_labels(pairs: pd.DataFrame, sizes: pd.DataFrame, least: int = 1) -> Figure:
    """The share of the videos of a class (row) that carry another label too (column), in %.

    Rows are the classes of the strongest pairs that at least `least` videos carry.
    """
    labels = strongest_pairs(pairs[pairs["videos"] >= least])
    if not labels:
        return style.draw_nothing(f"No two labels share {least:,} videos")
    share = _from_either_side(pairs).pivot(index="label_a", columns="label_b", values="videos")
    share = share.reindex(labels, columns=labels).fillna(0)
    share = 100 * share.div(sizes["videos"][labels], axis=0)
    names = [style.clean(sizes["class"][label], 24) for label in labels]
    text = share.map(lambda percent: f"{percent:.0f}" if percent >= 0.5 else "")
    fig, ((ax,),) = style.new_figure(1, 1, 1.9 + 0.3 * len(labels))
    sns.heatmap(share, mask=np.eye(len(labels)) > 0, annot=text, fmt="", annot_kws={"fontsize": 8},
                cmap="Blues", vmin=0, cbar=False, xticklabels=names, yticklabels=names,
                ax=ax)  # fmt: skip
    ax.set_facecolor(style.FAINT)  # the diagonal
    ax.set_xticklabels(names, rotation=40, ha="right", rotation_mode="anchor")
    ax.set(xlabel="… are labelled with this too (%)", ylabel="of the videos of …")
    row, column = np.unravel_index(share.to_numpy().argmax(), share.shape)
    title = f"{share.iloc[row, column]:.1f}% of the videos of {names[row]} are labelled "
    ax.set_title(style.clean(f"{title}{names[column]} too", 100))
    return fig


def thumbnails(folder: Path, classes: int) -> dict[int, str]:
    """The middle frame of a typical clip of each class, by label, as a `data:` address.

    Empty where no clips were made. Later splits are read only for classes without a clip in earlier
    ones.
    """
    found: dict[int, str] = {}
    for split in SPLITS if (folder / "clips" / "index.parquet").is_file() else ():
        if len(found) < classes:
            stored = Shards(folder / "clips", split)
            middle = [stored.frames // 2]
            clips = loader.example_clips(stored, most_shards=MOST_SHARDS, frames=middle)
            found = {label: frames.thumbnail(clip[0]) for label, clip in clips.items()} | found
    return found


def describe_classes(
    df: pd.DataFrame,
    sizes: pd.DataFrame,
    pairs: pd.DataFrame,
    words: pd.DataFrame,
    pictures: dict[int, str],
    seed: int = 0,
) -> pd.DataFrame:
    """A column a class, by label: counts, duration, words, co-labels, titles and a frame.

    `pictures` are those of `thumbnails`; `seed` draws the titles.
    """
    partners = _from_either_side(pairs).groupby("label_a").head(4)
    names = sizes["class"].map(lambda name: style.one_line(name, 40))
    counted = [f"{names[k]} ({n:,})" for k, n in partners[["label_b", "videos"]].to_numpy()]
    together = pd.Series(counted, partners.index, str).groupby(partners["label_a"])
    titles = members(df)
    titles["title"] = df["title"].take(titles["video"]).array
    titles = titles.dropna().sample(frac=1, random_state=seed).groupby("label").head(5)
    titles["number"] = [f"title {n + 1}" for n in titles.groupby("label").cumcount()]
    table = sizes.assign(duration=sizes["duration"].map(format_seconds))
    table = table.rename(columns={"several": "of several labels", "duration": "median duration"})
    short = words["word"].map(lambda word: style.one_line(word, 30)).groupby(words["label"])
    table["words"], table["together with"] = short.agg(LIST), together.agg(LIST)
    table = table.join(titles.pivot(index="label", columns="number", values="title"))
    images = {k: IMAGE.format(name, pictures[k]) for k, name in names.items() if k in pictures}
    table["a frame"] = pd.Series(images, dtype=object)  # text would lose its `Markup`
    return table.T


def choose_labels(sizes: pd.DataFrame, pairs: pd.DataFrame, seed: int = 0) -> list[int]:
    """Labels to show: the largest class, the smallest, the strongest pair, and one by `seed`."""
    some = [sizes.index[0], sizes.index[-1], *strongest_pairs(pairs, 2)]
    some.append(np.random.default_rng(seed).choice(sizes.index))
    return list(dict.fromkeys(int(label) for label in some))


def explore_classes(described: pd.DataFrame):
    """A list of all classes by name, and below it the column of the chosen one."""
    names = described.loc[["class", "videos"]].T.sort_values("class", kind="stable")
    options = [(f"{style.one_line(name)} ({n:,})", label) for label, name, n in names.itertuples()]
    return tables.explore(
        lambda label: tables.show_table(described[[label]]), options, described.columns[0]
    )
