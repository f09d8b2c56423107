"""What a catalog holds: sizes of classes, labels that go together, durations, and class cards.

    draw_sizes(catalog.class_sizes(df))
    cards = make_cards(df, sizes, pairs, words, thumbnails(folder))      # HTML by label
    explore_classes(cards, sizes)

`draw_…` functions take the tables of `s1m_lab.analysis.catalog`. Cards are made for all classes at
once, so a choice in the list is instant; `show_cards` shows a few of them without a kernel.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.compute as pc
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from s1m_lab.analysis.catalog import SHAPES, members
from s1m_lab.data.shards import Shards
from s1m_lab.figures import frames, style, tables
from s1m_lab.figures.style import format_seconds

if TYPE_CHECKING:
    from IPython.display import HTML

BAR = "#56B4E9"
SHADES = {"train": "#777777", "val": "#0072B2", "test": "#CC79A7"}
TICKS = {0.1: "0.1 s", 0.2: "0.2 s", 0.5: "0.5 s", 1: "1 s", 2: "2 s", 5: "5 s", 10: "10 s"}
TICKS |= {30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min", 600: "10 min", 1800: "30 min"}
TICKS |= {3600: "1 h", 10800: "3 h", 36000: "10 h", 172800: "2 days", 864000: "10 days"}
MEAN = 336  # s; the paper's mean of 5 minutes 36
SHOWN = 40  # shards that are searched for frames


@style.styled
def draw_sizes(sizes: pd.DataFrame) -> Figure:
    """The number of videos of each class: bars by split up to 30 classes, else a curve.

    `sizes` is the table of `class_sizes`. The curve names the five classes at either end.
    """
    videos = sizes["videos"].to_numpy()
    most = videos.max(initial=0)
    title = f"{len(sizes):,} classes have {videos.min(initial=most):,} to {most:,} videos"
    if len(sizes) > 30:
        return _size_curve(sizes, title)
    fig, ((ax,),) = style.new_figure(1, 1, 0.8 + 0.24 * max(1, len(sizes)))
    sizes[list(SHADES)].plot.barh(stacked=True, color=SHADES, width=0.8, legend=False, ax=ax)
    style.name_rows(ax, sizes["class"], 30)
    ax.set(xlabel="videos", ylabel="", title=title)
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=9)
    return fig


def _size_curve(sizes: pd.DataFrame, title: str) -> Figure:
    """Videos over rank, the ends named."""
    videos, rank = sizes["videos"].to_numpy(), np.arange(1, len(sizes) + 1)
    fig, ((ax,),) = style.new_figure(1, 1, 3.6)
    ax.fill_between(rank, videos, step="mid", color=BAR, alpha=0.45, linewidth=0)
    ax.step(rank, videos, where="mid", color=BAR)
    if videos.max() >= 1000:
        ax.axhspan(1000, 3000, color=style.FAINT, alpha=0.6, zorder=0, linewidth=0)
        ax.annotate("the paper: 1,000 to 3,000 a class", (1, 3000), (-4, 3), ha="right", fontsize=9,
                    xycoords=("axes fraction", "data"), textcoords="offset points",
                    color=style.PAPER)  # fmt: skip
    for part, x, how in ((sizes[:5], 0.03, "left"), (sizes[-5:], 0.99, "right")):
        lines = [f"{style.clean(r[1], 30)}  {r.videos:,}" for r in part.itertuples()]
        head = "the largest" if how == "left" else "the smallest"
        ax.annotate("\n".join([head, *lines]), (x, 0.98), xycoords="axes fraction", va="top",
                    ha=how, fontsize=9, linespacing=1.35)  # fmt: skip
    ax.set(xlabel="class, by size", ylabel="videos", xlim=(0, len(sizes) + 1))
    ax.set_ylim(0, videos.max() * 1.5)
    ax.set_title(f"{title}; half have more than {int(np.median(videos)):,}")
    ax.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    return fig


def strongest_pairs(pairs: pd.DataFrame, most: int = 14) -> list[int]:
    """The labels of the pairs of greatest Jaccard, up to `most`, each beside its partner."""
    order: list[int] = []
    best = pairs.sort_values("jaccard", ascending=False, kind="stable")
    for a, b in zip(best["label_a"], best["label_b"], strict=True):
        new = [label for label in (a, b) if label not in order]
        if len(order) + len(new) > most:
            break
        old = next((order.index(label) + 1 for label in (a, b) if label in order), len(order))
        order[old:old] = new
    return order


@style.styled
def draw_co_labels(
    pairs: pd.DataFrame, sizes: pd.DataFrame, least: int = 1, most: int = 14
) -> Figure:
    """The share of the videos of a class (row) that carry another label too (column), in %.

    Rows are up to `most` classes of the strongest pairs that at least `least` videos carry.
    """
    labels = strongest_pairs(pairs[pairs["videos"] >= least], most)
    if not labels:
        return style.nothing(f"No two labels share {least:,} videos")
    place = pd.Series(range(len(labels)), labels)
    inside = pairs[pairs["label_a"].isin(labels) & pairs["label_b"].isin(labels)]
    a, b = (place[inside[name]].to_numpy() for name in ("label_a", "label_b"))
    share = np.zeros((len(labels), len(labels)))
    share[a, b] = share[b, a] = inside["videos"]
    share *= 100 / sizes["videos"][labels].to_numpy()[:, None]
    top, digits = share.max(), 0 if share.max() > 20 else 1
    text = np.where(share > top / 20, np.char.mod(f"%.{digits}f", share), "")
    names = [style.clean(sizes["class"][label], 24) for label in labels]
    fig, ((ax,),) = style.new_figure(1, 1, 1.9 + 0.3 * len(labels))
    sns.heatmap(share, mask=np.eye(len(labels)) > 0, annot=text, fmt="", annot_kws={"fontsize": 8},
                cmap="Blues", vmin=0, vmax=1.2 * top, cbar=False, ax=ax,
                xticklabels=names, yticklabels=names)  # fmt: skip
    ax.set_facecolor(style.FAINT)  # the diagonal
    ax.set_xticklabels(names, rotation=40, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.set(xlabel="… are labelled with this too (%)", ylabel="of the videos of …")
    row, column = np.unravel_index(share.argmax(), share.shape)
    title = f"{top:.1f}% of the videos of {names[row]} are labelled {names[column]} too"
    ax.set_title(style.clean(title, 100))
    return fig


@style.styled
def draw_durations(df: pd.DataFrame) -> Figure:
    """How durations are distributed in each split, on a logarithmic axis."""
    seconds = df["duration"].to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(seconds) & (seconds > 0)
    if not known.any():
        return style.nothing("No duration is known: the source has none, and no clips were made")
    rows = pd.DataFrame({"seconds": seconds, "split": df["split"].astype(object)})[known]
    counts = rows["split"].value_counts()
    names = {split: f"{split} ({counts[split]:,})" for split in SHADES if split in counts}
    shades = {name: SHADES[split] for split, name in names.items()}
    fig, ((ax,),) = style.new_figure(1, 1, 3.0)
    sns.histplot(rows.replace({"split": names}), x="seconds", hue="split", hue_order=list(shades),
                 palette=shades, stat="percent", common_norm=False, element="step", fill=False,
                 bins=int(np.clip(known.sum() ** 0.4, 8, 60)), log_scale=True, ax=ax)  # fmt: skip
    sns.move_legend(ax, "upper left", title=None, fontsize=9)
    low, high = ax.set_xlim(rows["seconds"].min() / 1.1, rows["seconds"].max() * 1.1)
    ax.set_ylim(0, 1.25 * ax.dataLim.ymax)
    median = rows["seconds"].median()
    _mark(ax, median, f"median {format_seconds(median)}", "right", 0.99)
    if low <= MEAN <= high:
        _mark(ax, MEAN, f"the paper's mean {format_seconds(MEAN)}", "left", 0.9, linestyle=":")
    _name_seconds(ax)
    ax.set(xlabel="duration", ylabel="videos of the split (%)")
    unknown = "" if known.all() else f"; {(~known).mean():.1%} have no known duration"
    ax.set_title(f"Half of the videos last less than {format_seconds(median)}{unknown}")
    ax.grid(axis="y")
    return fig


def _mark(ax: Axes, seconds: float, text: str, side: str, height: float, **line) -> None:
    """A named line at so many seconds; `side` is where its name ends."""
    ax.axvline(seconds, color=style.INK, linewidth=1.2, **line)
    shift = -4 if side == "right" else 4
    ax.annotate(text, (seconds, height), (shift, 0), va="top", ha=side, fontsize=9,
                xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip


def _name_seconds(ax: Axes) -> None:
    """Ticks in the units of daily life: 10 s, 5 min, 1 h."""
    low, high = ax.get_xlim()
    ticks = {at: name for at, name in TICKS.items() if low <= at <= high}
    if len(ticks) < 3:
        nice = mpl.ticker.MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
        ticks = {at: format_seconds(at) for at in nice if low <= at <= high}
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())


@style.styled
def draw_pictures(pictures: pd.DataFrame, most: int = 8) -> Figure:
    """The most frequent picture sizes, and the share of each shape."""
    known = pictures[pictures["shape"] != "unknown"]
    if not len(known):
        return style.nothing("No size is known: the source has none, and no clips were made")
    top = known.head(most)
    names = [f"{w:.0f}×{h:.0f}" for w, h in zip(top["width"], top["height"], strict=True)]
    shapes = pictures.groupby("shape")["share"].sum().reindex(SHAPES).dropna()
    best = shapes.drop("unknown", errors="ignore")
    title = f"{names[0]} is the most frequent of {len(known):,} sizes"
    title = title if len(known) > 1 else f"{names[0]} is the only size"
    rows = max(len(names), len(shapes), 3)
    fig, ((left, right),) = style.new_figure(1, 2, 0.7 + 0.28 * rows)
    fig.set_layout_engine("constrained", wspace=0.06)
    shares = f"{best.max():.1%} are {best.idxmax()}"
    both = (left, top["share"], names, title), (right, shapes, list(shapes.index), shares)
    for ax, share, ticks, title in both:
        sns.barplot(x=100 * share.to_numpy(), y=np.arange(len(share)), orient="y", color=BAR,
                    saturation=1, width=0.65, errorbar=None, ax=ax)  # fmt: skip
        ax.bar_label(ax.containers[0], fmt="%.1f%%", padding=4, fontsize=9)
        style.name_rows(ax, ticks, rows=rows)
        ax.set(xlabel="videos (%)", ylabel="", title=title)
        ax.set(xticks=[], xlim=(0, 122 * max(0.01, share.max())))
    return fig


def thumbnails(folder: Path, each: int = 5, height: int = 84) -> dict[int, list[str]]:
    """Frames of up to `each` training videos by label, as `data:` addresses of small JPEGs.

    Empty where no clips were made. At most `SHOWN` shards are searched.
    """
    found: dict[int, list[str]] = defaultdict(list)
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    if not (Path(folder) / "clips" / "index.parquet").is_file():
        return found
    stored = Shards(Path(folder) / "clips", "train")
    for shard in range(min(SHOWN, len(stored.names))):
        index = stored.index(shard)
        labels = pc.list_element(index["labels"], 0).to_numpy()
        for row in np.flatnonzero(pc.equal(index["clip"], 0).to_numpy()).tolist():
            if len(places[labels[row]]) < each:
                places[labels[row]].append((shard, row))
    for label, wanted in places.items():
        for shard, row in wanted:
            frame = stored.read(shard, [row], [8])[0, 0]
            found[int(label)].append(frames.thumbnail(frame, height))
    return found


def sample_titles(df: pd.DataFrame, each: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """(labels, titles) of up to `each` videos of every class, drawn by `seed`."""
    video, label = members(df)
    titled = df["title"].notna().to_numpy(bool)[video]
    video, label = video[titled], label[titled]
    order = np.lexsort((np.random.default_rng(seed).random(len(df))[video], label))
    video, label = video[order], label[order]
    some = np.arange(len(label)) - np.searchsorted(label, label) < each
    return label[some], df["title"].take(video[some]).tolist()


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
    own_words: dict[int, list[str]] = defaultdict(list)
    others: dict[int, list[str]] = defaultdict(list)
    titles: dict[int, list[str]] = defaultdict(list)
    for label, word in zip(words["label"], words["word"], strict=True):
        own_words[label].append(style.one_line(word, 30))
    for a, b, n in zip(pairs["label_a"], pairs["label_b"], pairs["videos"], strict=True):
        for one, other in ((a, b), (b, a)):
            if len(others[one]) < 6:
                others[one].append(f"{style.one_line(sizes['class'][other], 40)} ({n:,})")
    for label, title in zip(*sample_titles(df, 5, seed), strict=True):
        titles[label].append(style.one_line(title))
    cards = {}
    for label, name, videos, train, val, test, several, seconds in sizes.itertuples():
        facts = [f"{videos:,} videos", f"{train:,} train, {val:,} val, {test:,} test"]
        facts += [f"{several / max(1, videos):.1%} with other labels too"]
        facts += [f"median {format_seconds(seconds)}"] if np.isfinite(seconds) else []
        notes = [("words", ", ".join(own_words[label]))]
        notes.append(("together with", ", ".join(others[label])))
        text = tables.CARD.render(
            name=style.one_line(name, 80), about=f"label {label}", facts=" · ".join(facts),
            notes=notes, frames=pictures.get(label, []), titles=titles[label],
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
