"""What a catalog looks like: figures, and a card for every class.

`draw_…` functions take the tables of `explore` and return figures in the lab's style. `cards` makes
the HTML of every class at once, so that choosing one (`explorer`) is instant; `page` shows a few of
them without a kernel. All text from outside is escaped, and never read as mathematics.
"""

import base64
import html
import io
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.figure import Figure

from s1m_lab.analysis.catalog import SHAPES, members
from s1m_lab.data.shards import Shards
from s1m_lab.figures import style

BAR = "#56B4E9"
SHADES = {"train": "#777777", "val": "#0072B2", "test": "#CC79A7"}
TICKS = {0.1: "0.1 s", 0.2: "0.2 s", 0.5: "0.5 s", 1: "1 s", 2: "2 s", 5: "5 s", 10: "10 s"}
TICKS |= {30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min", 600: "10 min", 1800: "30 min"}
TICKS |= {3600: "1 h", 10800: "3 h", 36000: "10 h", 172800: "2 days", 864000: "10 days"}
MEAN = 336  # s; the paper's 5 minutes 36
SHOWN = 40  # shards that are looked through for frames
CARD = "max-width:56em; padding:.6em 0; border-top:1px solid #8A8A8A; line-height:1.5"


def clock(seconds: float) -> str:
    """3.75 is `3.8 s`, 75 is `1 min 15 s`, 7260 is `2 h 1 min`."""
    if not np.isfinite(seconds):
        return "unknown"
    if seconds < 59.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s".replace(" 0 s", "")
    return f"{minutes // 60} h {minutes % 60} min".replace(" 0 min", "")


def line(text: object, length: int = 100) -> str:
    """Any text on one line of at most `length`, without control and direction characters."""
    text = "".join(c if c.isprintable() else " " for c in str(text)[: 10 * length])
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def number(value: float) -> str:
    """1133158 is `1,133,158`, 0.04989 is `0.0499`, what is not known is `–`."""
    if pd.isna(value):
        return "–"
    whole = isinstance(value, int | np.integer) or abs(value) >= 100
    return f"{value:,.0f}" if whole else f"{value:,.3g}"


def table(rows: pd.DataFrame):
    """A table as IPython shows it: numbers by `number`, texts by `line`; all of it escaped."""
    from IPython.display import HTML

    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in rows.dtypes]
    formats = [number if wanted else line for wanted in numeric]
    text = rows.rename(index=line).to_html(formatters=formats, na_rep="–", max_rows=60)
    return HTML(f'<div class="tex2jax_ignore mathjax_ignore">{text}</div>')


@style.styled
def draw_sizes(sizes: pd.DataFrame) -> Figure:
    """The classes by size: bars with names up to 30 of them, else a curve with its ends named."""
    videos = sizes["videos"].to_numpy()
    most = videos.max(initial=0)
    title = f"{len(sizes):,} classes of {videos.min(initial=most):,} to {most:,} videos"
    if len(sizes) <= 30:
        fig, ((ax,),) = style.new_figure(1, 1, 0.8 + 0.24 * max(1, len(sizes)))
        left = np.zeros(len(sizes))
        for split, shade in SHADES.items():
            ax.barh(np.arange(len(sizes)), sizes[split], left=left, color=shade, label=split)
            left += sizes[split].to_numpy()
        ax.set_yticks(np.arange(len(sizes)), [style.clean(name, 30) for name in sizes["class"]])
        ax.set(xlabel="videos", ylim=(len(sizes) - 0.4, -0.6), title=title)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        fig.legend(loc="outside lower left", ncols=3, fontsize=9)
        return fig
    fig, ((ax,),) = style.new_figure(1, 1, 3.6)
    rank = np.arange(1, len(sizes) + 1)
    ax.fill_between(rank, videos, step="mid", color=BAR, alpha=0.45, linewidth=0)
    ax.step(rank, videos, where="mid", color=BAR)
    if most >= 1000:
        ax.axhspan(1000, 3000, color=style.FAINT, alpha=0.6, zorder=0, linewidth=0)
        ax.annotate("the paper: 1,000 to 3,000 a class", (1, 3000), (-4, 3), ha="right", fontsize=9,
                    xycoords=("axes fraction", "data"), textcoords="offset points",
                    color=style.PAPER)  # fmt: skip
    for part, x, how in ((sizes[:5], 0.03, "left"), (sizes[-5:], 0.99, "right")):
        lines = [f"{style.clean(r[1], 30)}  {r.videos:,}" for r in part.itertuples()]
        head = "the largest" if how == "left" else "the smallest"
        ax.annotate("\n".join([head, *lines]), (x, 0.98), xycoords="axes fraction", va="top",
                    ha=how, fontsize=9, linespacing=1.35)  # fmt: skip
    median = int(np.median(videos))
    ax.set(xlabel="class, by size", ylabel="videos", xlim=(0, len(sizes) + 1), ylim=(0, most * 1.5))
    ax.set_title(f"{title}; half have more than {median:,}")
    ax.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    return fig


def entangled(pairs: pd.DataFrame, most: int = 14) -> list[int]:
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
def draw_together(
    pairs: pd.DataFrame, sizes: pd.DataFrame, least: int = 1, most: int = 14
) -> Figure:
    """Of the videos of a class (row), the share that is also labelled with another (column); for
    the classes of the strongest pairs of at least `least` videos."""
    labels = entangled(pairs[pairs["videos"] >= least], most)
    if not labels:
        return style.nothing(f"No two labels share {least:,} videos")
    fig, ((ax,),) = style.new_figure(1, 1, 1.9 + 0.3 * len(labels))
    place = pd.Series(range(len(labels)), labels)
    inside = pairs[pairs["label_a"].isin(labels) & pairs["label_b"].isin(labels)]
    a, b = (place[inside[name]].to_numpy() for name in ("label_a", "label_b"))
    share = np.zeros((len(labels), len(labels)))
    share[a, b] = share[b, a] = inside["videos"]
    share /= sizes["videos"][labels].to_numpy()[:, None]
    top = share.max()
    ax.imshow(np.where(np.eye(len(labels)), np.nan, share), cmap="Blues", vmax=1.2 * top, vmin=0,
              aspect="auto")  # fmt: skip
    ax.set_facecolor(style.FAINT)  # the diagonal
    for row, column in np.argwhere(share > top / 20):
        shade = "white" if share[row, column] > 0.65 * top else style.INK
        text = f"{100 * share[row, column]:.{0 if top > 0.2 else 1}f}"
        ax.annotate(text, (column, row), ha="center", va="center", fontsize=8, color=shade)
    names = [style.clean(sizes["class"][label], 24) for label in labels]
    ax.set_yticks(range(len(names)), names)
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.set(xlabel="… are labelled with this too (%)", ylabel="of the videos of …")
    row, column = np.unravel_index(share.argmax(), share.shape)
    title = f"{top:.1%} of the videos of {names[row]} are labelled {names[column]} too"
    ax.set_title(style.clean(title, 100))
    return fig


@style.styled
def draw_durations(df: pd.DataFrame) -> Figure:
    """The distribution of durations on a logarithmic axis, a line for each split."""
    seconds = df["duration"].to_numpy(np.float64, na_value=np.nan)
    known = np.isfinite(seconds) & (seconds > 0)
    if not known.any():
        return style.nothing(
            "No duration is known: the source does not tell, and no clips were made"
        )
    fig, ((ax,),) = style.new_figure(1, 1, 3.0)
    low, high = seconds[known].min() / 1.1, seconds[known].max() * 1.1
    bins = np.geomspace(low, high, int(np.clip(known.sum() ** 0.4, 8, 60)) + 1)
    for split, shade in SHADES.items():
        own = seconds[known & (df["split"] == split).to_numpy(bool)]
        if len(own):
            share = 100 * np.histogram(own, bins)[0] / len(own)
            ax.stairs(share, bins, color=shade, label=f"{split} ({len(own):,})", linewidth=1.6,
                      fill=split == "train", alpha=0.35 if split == "train" else 1)  # fmt: skip
    median = np.median(seconds[known])
    ax.axvline(median, color=style.INK, linewidth=1)
    ax.annotate(f"median {clock(median)}", (median, 1), (-4, -2), va="top", ha="right",
                xycoords=("data", "axes fraction"), textcoords="offset points",
                fontsize=9)  # fmt: skip
    if low <= MEAN <= high:
        ax.axvline(MEAN, color=style.INK, linewidth=1.2, linestyle=":")
        ax.annotate(f"the paper's mean {clock(MEAN)}", (MEAN, 0.86), (4, 0), fontsize=9,
                    xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
    ax.set_xscale("log")
    ticks = {at: name for at, name in TICKS.items() if low <= at <= high}
    if len(ticks) < 3:
        nice = mpl.ticker.MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
        ticks = {at: clock(at) for at in nice if low <= at <= high}
    ax.set_xticks(list(ticks), list(ticks.values()))
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    ax.set(xlabel="duration", ylabel="videos of the split (%)", xlim=(low, high))
    ax.set_ylim(0, 1.25 * ax.dataLim.ymax)
    rest = "" if known.all() else f"; {(~known).mean():.1%} do not say how long"
    ax.set_title(f"Half of the videos last less than {clock(median)}{rest}")
    ax.grid(axis="y")
    fig.legend(loc="outside lower left", ncols=3, fontsize=9)
    return fig


@style.styled
def draw_pictures(pictures: pd.DataFrame, most: int = 8) -> Figure:
    """The commonest sizes of picture, and the shares of their shapes."""
    unknown = pictures[pictures["shape"] == "unknown"]
    top = pictures.drop(unknown.index).head(most)
    if not len(top):
        return style.nothing("No size is known: the source does not tell, and no clips were made")
    names = [f"{w:.0f}×{h:.0f}" for w, h in zip(top["width"], top["height"], strict=True)]
    shapes = pictures.groupby("shape")["share"].sum().reindex(SHAPES).dropna()
    best, several = shapes.drop("unknown", errors="ignore"), len(pictures) - len(unknown)
    titles = [f"{names[0]} is the commonest of {several:,} sizes"]
    titles = [f"{names[0]} is the only size"] if several == 1 else titles
    titles.append(f"{best.max():.1%} are {best.idxmax()}")
    rows = max(len(names), len(shapes), 3)
    fig, ((left, right),) = style.new_figure(1, 2, 0.7 + 0.28 * rows)
    fig.get_layout_engine().set(wspace=0.06)
    both = ((left, top["share"], names), (right, shapes, list(shapes.index)))
    for (ax, shares, ticks), title in zip(both, titles, strict=True):
        ax.barh(np.arange(len(ticks)), 100 * shares, color=BAR, height=0.65)
        for row, share in enumerate(shares):
            ax.annotate(f"{share:.1%}", (100 * share, row), (4, 0), va="center", fontsize=9,
                        textcoords="offset points")  # fmt: skip
        ax.set_yticks(np.arange(len(ticks)), ticks)
        ax.set(xlabel="videos (%)", ylim=(rows - 0.4, -0.6), title=title)
        ax.set(xticks=[], xlim=(0, 122 * max(0.01, shares.max())))
        ax.tick_params(axis="y", length=0)
    return fig


def thumbnails(folder: Path, each: int = 5, height: int = 84) -> dict[int, list[str]]:
    """By label, frames of up to `each` training videos as `data:` addresses of small JPEGs; empty
    where no clips were made. At most `SHOWN` shards are looked through."""
    from PIL import Image

    found, places = defaultdict(list), defaultdict(list)
    if not (Path(folder) / "clips" / "index.parquet").is_file():
        return found
    stored = Shards(Path(folder) / "clips", "train")
    for shard in range(min(SHOWN, len(stored.names))):
        index = stored.index(shard)
        labels = pc.list_element(index["labels"], 0).to_numpy()
        for row in np.flatnonzero(pc.equal(index["clip"], 0).to_numpy()):
            if len(places[labels[row]]) < each:
                places[labels[row]].append((shard, row))
    for label, wanted in places.items():
        for shard, row in wanted:
            image = Image.fromarray(stored.read(shard, [row], [8])[0, 0])
            image = image.resize((round(height * image.width / image.height), height))
            file = io.BytesIO()
            image.save(file, "JPEG", quality=60, optimize=True)
            code = base64.b64encode(file.getvalue()).decode()
            found[int(label)].append(f"data:image/jpeg;base64,{code}")
    return found


def some_titles(df: pd.DataFrame, each: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """(labels, titles) of up to `each` videos of every class, drawn by `seed`."""
    video, label = members(df)
    titled = df["title"].notna().to_numpy(bool)[video]
    video, label = video[titled], label[titled]
    order = np.lexsort((np.random.default_rng(seed).random(len(df))[video], label))
    video, label = video[order], label[order]
    some = np.arange(len(label)) - np.searchsorted(label, label) < each
    return label[some], df["title"].take(video[some]).tolist()


def cards(
    df: pd.DataFrame,
    sizes: pd.DataFrame,
    pairs: pd.DataFrame,
    words: pd.DataFrame,
    frames: dict[int, list[str]],
    seed: int = 0,
) -> dict[int, str]:
    """The HTML of every class by label: counts, duration, characteristic words, co-labels, a few
    titles and frames. Which titles is a matter of `seed`."""
    said, others, titles = (defaultdict(list) for _ in range(3))
    for label, word in zip(words["label"], words["word"], strict=True):
        said[label].append(html.escape(line(word, 30)))
    for a, b, n in zip(pairs["label_a"], pairs["label_b"], pairs["videos"], strict=True):
        for one, other in ((a, b), (b, a)):
            if len(others[one]) < 6:
                name = html.escape(line(sizes["class"][other], 40))
                others[one].append(f"{name} ({n:,})")
    for label, title in zip(*some_titles(df, 5, seed), strict=True):
        titles[label].append(f"<li><bdi>{html.escape(line(title))}</bdi></li>")
    made = {}
    for label, name, videos, train, val, test, several, seconds in sizes.itertuples():
        name, facts = html.escape(line(name, 80)), [f"{videos:,} videos"]
        facts += [f"{train:,} train, {val:,} val, {test:,} test"]
        facts += [f"{several / max(1, videos):.1%} with other labels too"]
        facts += [f"median {clock(seconds)}"] if np.isfinite(seconds) else []
        image = '<img alt="a frame of {}" src="{}" style="display:inline-block; margin:0 3px 0 0">'
        parts = [f"<b>{name}</b> · label {label}", " · ".join(facts)]
        parts += [f"<i>words</i> {', '.join(said[label])}"] if said[label] else []
        parts += [f"<i>together with</i> {', '.join(others[label])}"] if others[label] else []
        parts += ["".join(image.format(name, source) for source in frames.get(label, []))]
        text = "".join(f"<div>{part}</div>" for part in parts if part)
        text += f"<ul style='margin:.2em 0'>{''.join(titles[label])}</ul>" if titles[label] else ""
        made[label] = f'<div class="tex2jax_ignore mathjax_ignore" style="{CARD}">{text}</div>'
    return made


def chosen(sizes: pd.DataFrame, pairs: pd.DataFrame, seed: int = 0) -> list[int]:
    """Labels to show: the largest class, the smallest, the two most entangled, one by `seed`."""
    some = [sizes.index[0], sizes.index[-1], *entangled(pairs, 2)]
    some.append(np.random.default_rng(seed).choice(sizes.index))
    return list(dict.fromkeys(int(label) for label in some))


def page(made: dict[int, str], labels: Iterable[int]):
    """The cards of `labels`, below each other, as IPython shows HTML."""
    from IPython.display import HTML

    return HTML("".join(made[label] for label in labels))


def explorer(made: dict[int, str], sizes: pd.DataFrame):
    """A list of all classes by name; its card below it changes with the choice."""
    from ipywidgets import HTML, Dropdown, Layout, VBox

    names = sizes.sort_values("class", kind="stable")
    options = [
        (f"{line(name)} ({n:,})", i) for i, name, n in names[["class", "videos"]].itertuples()
    ]
    layout = Layout(width="26em")
    choice = Dropdown(options=options, value=sizes.index[0], description="class", layout=layout)
    card = HTML(made[choice.value])
    choice.observe(lambda change: setattr(card, "value", made[change["new"]]), "value")
    return VBox([choice, card])
