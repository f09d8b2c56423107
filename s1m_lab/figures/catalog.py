"""What a catalog holds: sizes of classes, labels that go together, and a card for each class.

    draw_sizes(catalog.class_sizes(df))
    cards = make_cards(df, sizes, pairs, words, thumbnails(folder))      # HTML by label
    explore_classes(cards, sizes)

`draw_…` functions take the tables of `s1m_lab.analysis.catalog`. `show_cards` shows a few cards
without a kernel.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from s1m_lab.analysis.catalog import members
from s1m_lab.data.shards import Shards
from s1m_lab.figures import frames, style, tables
from s1m_lab.figures.style import format_seconds

if TYPE_CHECKING:
    from IPython.display import HTML

SHADES = {"train": "#777777", "val": "#0072B2", "test": "#CC79A7"}
SHOWN = 40  # shards that are searched for frames


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


def thumbnails(folder: Path, each: int = 5) -> dict[int, list[str]]:
    """Frames of up to `each` training videos by label, as `data:` addresses.

    Empty where no clips were made. At most `SHOWN` shards are searched.
    """
    found: dict[int, list[str]] = defaultdict(list)
    if not (Path(folder) / "clips" / "index.parquet").is_file():
        return found
    stored = Shards(Path(folder) / "clips", "train")
    for shard in range(min(SHOWN, len(stored.names))):
        index = stored.index(shard).select(["clip", "labels"]).to_pandas()
        for row, labels in index.loc[index["clip"] == 0, "labels"].items():
            if len(found[int(labels[0])]) < each:
                frame = stored.read(shard, [row], [8])[0, 0]
                found[int(labels[0])].append(frames.thumbnail(frame))
    return found


def make_cards(
    df: pd.DataFrame,
    sizes: pd.DataFrame,
    pairs: pd.DataFrame,
    words: pd.DataFrame,
    pictures: dict[int, list[str]],
    seed: int = 0,
) -> dict[int, "HTML"]:
    """A card for every class, by label: counts, duration, words, co-labels, titles and frames.

    `pictures` are those of `thumbnails`; `seed` draws the titles.
    """
    partners = _from_either_side(pairs).groupby("label_a").head(6)
    together = [
        f"{style.one_line(sizes['class'][other], 40)} ({videos:,})"
        for other, videos in partners[["label_b", "videos"]].to_numpy()
    ]
    together = pd.Series(together, partners.index, str).groupby(partners["label_a"])
    own_words = words["word"].map(lambda word: style.one_line(word, 30)).groupby(words["label"])
    titles = members(df)
    titles["title"] = df["title"].take(titles["video"]).array
    titles = titles.dropna().sample(frac=1, random_state=seed).groupby("label").head(5)
    titles = titles["title"].map(style.one_line).groupby(titles["label"])
    lists = {"words": own_words, "together with": together, "titles": titles}
    lists = {name: groups.agg(list).to_dict() for name, groups in lists.items()}
    cards = {}
    for label, name, videos, train, val, test, several, seconds in sizes.itertuples():
        facts = [f"{videos:,} videos", f"{train:,} train, {val:,} val, {test:,} test"]
        facts += [f"{several / max(1, videos):.1%} with other labels too"]
        facts += [f"median {format_seconds(seconds)}"] if np.isfinite(seconds) else []
        notes = [
            (note, ", ".join(lists[note].get(label, []))) for note in ("words", "together with")
        ]
        text = tables.CARD.render(
            name=style.one_line(name, 80), about=f"label {label}", facts=" · ".join(facts),
            notes=notes, frames=pictures.get(label, []), titles=lists["titles"].get(label, []),
        )  # fmt: skip
        cards[label] = tables.as_html(text)
    return cards


def choose_labels(sizes: pd.DataFrame, pairs: pd.DataFrame, seed: int = 0) -> list[int]:
    """Labels to show: the largest class, the smallest, the strongest pair, and one by `seed`."""
    some = [sizes.index[0], sizes.index[-1], *strongest_pairs(pairs, 2)]
    some.append(np.random.default_rng(seed).choice(sizes.index))
    return list(dict.fromkeys(int(label) for label in some))


def show_cards(cards: dict[int, "HTML"], labels: Iterable[int]) -> "HTML":
    """The cards of `labels`, one below the other."""
    return tables.as_html("".join(cards[label].data for label in labels))


def explore_classes(cards: dict[int, "HTML"], sizes: pd.DataFrame):
    """A list of all classes by name, and below it the card of the chosen one."""
    names = sizes.sort_values("class", kind="stable")
    options = [
        (f"{style.one_line(name)} ({n:,})", label)
        for label, name, n in names[["class", "videos"]].itertuples()
    ]
    return tables.explore(cards.__getitem__, options, sizes.index[0])
