"""A confusion matrix to walk: a card for every class, pair and block.

All cards are made at once, as HTML, so that choosing one (`walk`) is instant; `page` shows a few of
them without a kernel. Each holds numbers of both runs, frames, and the part of both matrices that
lies around it. All text from outside is escaped, and never read as mathematics.

What confusion looks like: matrices, crops along their diagonal, and classes ranked.

`draw_…` functions take what `confusion` counted and return figures in the lab's style, at any
number of classes: few are drawn with their numbers, many as an overview and its blocks. One colour
scale everywhere: the root of the share of a row, the diagonal grey, what never happened white.
"""

import base64
import functools
import html
import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from s1m_lab.analysis.confusion import beyond_chance, shares
from s1m_lab.data import loader
from s1m_lab.data.shards import Shards
from s1m_lab.figures import catalog, style
from s1m_lab.figures.frames import contact_sheet
from s1m_lab.figures.style import FAINT, INK
from s1m_lab.training import metrics, runs
from s1m_lab.training.predict import Predictions


def shades(run: runs.Run, versus: runs.Run) -> tuple[str, str]:
    """A colour for each: that of its network, dark for the second where these are the same."""
    first, second = (style.colour(r.config["settings"]["model"]) for r in (run, versus))
    return first, second if second != first else style.INK


PAIRS = 200  # that have a card
BLOCK = 12  # classes of a block that has one
GRID = (  # on white, in a dark JupyterLab too: the darkest cells are the most confused
    "display:grid; gap:1px; font-size:.8em; line-height:1.75em; text-align:center; "
    f"background:#FFFFFF; color:{INK}; padding:.3em .6em .6em"
)
NAME = (
    "padding-right:.4em; text-align:right; white-space:nowrap; overflow:hidden; "
    "text-overflow:ellipsis"
)
SIDE = "display:flex; flex-wrap:wrap; gap:.4em 1.2em; margin-top:.3em"
FRAME = "display:inline-block; margin:.3em 6px 0 0; font-size:.8em; line-height:1.4"

Cards = dict[str, dict[int, tuple[str, str]]]  # by kind and number: (name, HTML), in order


class Walked(NamedTuple):
    """What all cards are made from; texts are escaped."""

    shares: list[np.ndarray]  # K×K of each run, rows add up to 1
    labels: np.ndarray  # in the order of the matrix
    place: np.ndarray  # of each label in it
    top: float  # the end of the colour scale
    said: list[str]  # the name of each class
    runs: list[str]
    frames: dict[int, str]  # the address of a picture of each class


def faces(both: Sequence[Predictions], stored: Shards, height: int = 84) -> dict[int, str]:
    """A picture of each class, by label, as a `data:` address of a small JPEG: a frame of the test
    clip that the runs find most surely of the class, so rather the sport than the crowd."""
    from PIL import Image

    own = metrics.truth(both[0].labels, both[0].clip_probabilities.shape[1])
    labels, picks, found = np.flatnonzero(own.any(axis=0)), [], {}
    for label in labels:
        mine = np.flatnonzero(own[:, label][both[0].clip_video])
        picks.append(mine[sum(p.clip_probabilities[mine, label] for p in both).argmax()])
    test, picks = loader.Clips(stored, [8], own.shape[1], threads=1), np.array(picks)
    frames = test.take(picks).frames[:, 0].numpy()
    for label, frame in zip(labels, frames, strict=True):
        image, file = Image.fromarray(frame), io.BytesIO()
        image = image.resize((round(height * image.width / image.height), height))
        image.save(file, "JPEG", quality=60, optimize=True)
        code = base64.b64encode(file.getvalue()).decode()
        found[int(label)] = f"data:image/jpeg;base64,{code}"
    return found


def cards(
    counts: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    table: pd.DataFrame,
    found: pd.DataFrame,
    frames: dict[int, str],
    names: Sequence[str],
) -> Cards:
    """The cards of every class, of the most confused pairs and of every block of the diagonal.

    `counts` are the matrices of two runs called `names`, `labels` their order, `table` and `found`
    from `confusion.precisions` and `pairs`, `frames` those of `faces`. A class has
    its label as its number, a pair its rank from 0, a block its place along the diagonal.
    """
    said = [html.escape(catalog.line(name, 40)) for name in classes]
    runs = [html.escape(catalog.line(name, 30)) for name in names]
    both = [shares(matrix) for matrix in counts]
    walked = Walked(both, labels, np.argsort(labels), top(*counts), said, runs, frames)
    by_name = table.sort_values("class", key=lambda column: column.str.casefold(), kind="stable")
    return {
        "class": {row.Index: _class(walked, row) for row in by_name.itertuples()},
        "pair": {row.Index: _pair(walked, row) for row in found[:PAIRS].itertuples()},
        "block": {n: _block(walked, n) for n in range(-(-len(labels) // BLOCK))},
    }


def _class(walked: Walked, row) -> tuple[str, str]:
    k, (_, other) = row.Index, walked.runs
    lines = [f"{row.videos:,} test videos"]
    if row.videos:
        lines[0] += f" · average precision {row.run:.2f} ({row.run_low:.2f} to {row.run_high:.2f})"
        lines[0] += f", {other} {row.versus:.2f} ({row.versus_low:.2f} to {row.versus_high:.2f})"
    shown = [k]
    for head, axis in (("taken for", 1), ("what is taken for it", 0)):
        run, versus = (np.delete(share.take(k, 1 - axis), k) for share in walked.shares)
        rest = np.delete(np.arange(len(walked.said)), k)
        best = [n for n in np.argsort(-run - versus, kind="stable")[:4] if run[n] + versus[n]]
        told = [f"{walked.said[rest[n]]} {run[n]:.0%} ({other} {versus[n]:.0%})" for n in best]
        lines += [f"<i>{head}</i> {', '.join(told)}"] if told else []
        shown += [int(rest[n]) for n in best]
    shown = list(dict.fromkeys(shown))[:5]
    title, block = f"{walked.said[k]} · label {k}", _around(walked, k, 5)
    return html.unescape(walked.said[k]), _card(walked, title, lines, shown, block, [k])


def _pair(walked: Walked, row) -> tuple[str, str]:
    a, b = row.label_a, row.label_b
    line = f"Of {row.counted:,} of the two classes {row.run:.0%} were taken for the other, "
    line += f"{walked.runs[1]} {row.versus:.0%}"
    near = np.concatenate([_around(walked, label, 2) for label in (a, b)])
    block = walked.labels[np.unique(walked.place[near])]
    name = f"{walked.said[a]} | {walked.said[b]}"
    return html.unescape(name), _card(walked, name, [line], [a, b], block, [a, b])


def _block(walked: Walked, number: int) -> tuple[str, str]:
    first = number * BLOCK
    block = walked.labels[first : first + BLOCK]
    name = f"{walked.said[block[0]]} … {walked.said[block[-1]]}"
    title = f"{name} · places {first + 1} to {first + len(block)} of the diagonal"
    run, versus = (np.where(np.eye(len(block)) > 0, 0, m[block][:, block]) for m in walked.shares)
    told, shown = [], []
    for cell in np.argsort(-(run + versus), axis=None, kind="stable")[:3]:
        row, column = np.unravel_index(cell, run.shape)
        if run[row, column] + versus[row, column]:
            share = f"{run[row, column]:.0%} ({walked.runs[1]} {versus[row, column]:.0%})"
            told.append(f"{walked.said[block[row]]} for {walked.said[block[column]]} {share}")
            shown += [int(block[row]), int(block[column])]
    lines = [f"<i>most taken</i> {', '.join(told)}"] if told else []
    shown = list(dict.fromkeys(shown))
    return html.unescape(name), _card(walked, title, lines, shown, block, [])


def _around(walked: Walked, label: int, reach: int) -> np.ndarray:
    """The labels up to `reach` places before and after this one; at the ends, more on one side."""
    wanted = 2 * reach + 1
    first = min(max(0, walked.place[label] - reach), max(0, len(walked.labels) - wanted))
    return walked.labels[first : first + wanted]


def _card(
    walked: Walked,
    title: str,
    lines: list[str],
    shown: list[int],
    block: np.ndarray,
    marked: list[int],
) -> str:
    """Title, lines, a frame of each label `shown`, and the rows and columns `block` of both
    matrices; the rows `marked` in bold."""
    frames = "".join(
        f'<span style="{FRAME}"><img alt="a frame of {walked.said[k]}" src="{walked.frames[k]}">'
        f"<br>{walked.said[k]}</span>"
        for k in shown
        if k in walked.frames
    )
    grids = ""
    for n, (run, share) in enumerate(zip(walked.runs, walked.shares, strict=True)):
        grids += f"<div>{run}, % of the row{_grid(walked, share, block, marked, named=not n)}</div>"
    parts = [f"<b>{title}</b>", *lines, frames]
    text = "".join(f"<div>{part}</div>" for part in parts if part)
    text += f'<div style="{SIDE}">{grids}</div>'
    return f'<div class="tex2jax_ignore mathjax_ignore" style="{catalog.CARD}">{text}</div>'


def _grid(
    walked: Walked, share: np.ndarray, block: np.ndarray, marked: list[int], named: bool
) -> str:
    """A part of a matrix as HTML, a letter to each class and its name before its row."""
    letters = LETTERS[: len(block)]
    head = ["", *letters] if not named else ["", "", *letters]
    cells = [f"<span>{letter}</span>" for letter in head]
    for n, (label, letter) in enumerate(zip(block, letters, strict=True)):
        opening = [walked.said[label], letter] if named else [letter]
        opening = [f"<b>{text}</b>" if label in marked else text for text in opening]
        cells += [f'<span style="{NAME}">{text}</span>' for text in opening]
        for column, value in enumerate(share[label, block]):
            depth = np.sqrt(min(1.0, value / walked.top))
            shade = FAINT if n == column else COLOURS(depth)
            ink = INK if n == column or depth < 0.4 else "#FFFFFF"
            style = f' style="background:{mpl.colors.to_hex(shade)}; color:{ink}"'
            empty = n != column and not value
            cells.append("<span></span>" if empty else f"<span{style}>{100 * value:.0f}</span>")
    columns = f"{'12em ' if named else ''}1.6em repeat({len(block)}, 2.1em)"
    return f'<div style="{GRID}; grid-template-columns:{columns}">{"".join(cells)}</div>'


def chosen(labels: np.ndarray, found: pd.DataFrame) -> dict[str, int]:
    """{kind: number} of the cards to show: the most confused pair, its first class, its block."""
    label = int(found["label_a"].iloc[0]) if len(found) else int(labels[0])
    return {"pair": 0, "class": label, "block": int(np.argsort(labels)[label]) // BLOCK}


def page(made: Cards, numbers: dict[str, int]):
    """The cards of these numbers by kind, below each other, as IPython shows HTML."""
    from IPython.display import HTML

    return HTML("".join(made[kind][n][1] for kind, n in numbers.items() if n in made[kind]))


def inline(text: object, length: int = 40) -> str:
    """Any text inside Markdown: what it, HTML or mathematics could read as a mark is an entity."""
    safe = (c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in catalog.line(text, length))
    return f'<span class="tex2jax_ignore mathjax_ignore">{"".join(safe)}</span>'


def walk(made: Cards):
    """Class, pair or block, and a list of these; the card below changes with the choice."""
    from ipywidgets import HTML, Dropdown, Layout, ToggleButtons, VBox

    lists = {
        kind: [(name, n) for n, (name, _) in group.items()] for kind, group in made.items() if group
    }
    kind = ToggleButtons(options=list(lists))
    choice = Dropdown(options=lists[kind.value], layout=Layout(width="30em"))
    card = HTML()

    def show(change=None):
        card.value = made[kind.value][choice.value][1]

    def fill(change):
        choice.options = lists[kind.value]
        show()

    kind.observe(fill, "value")
    choice.observe(show, "value")
    show()
    return VBox([kind, choice, card])


ANNOTATED = 20  # classes up to which a matrix is drawn with its numbers
# Perceptually uniform and safe for the colour-blind; what is not confused at all stays white.
COLOURS = mpl.colors.ListedColormap(mpl.colormaps["magma_r"](np.linspace(0.12, 0.92, 256)))
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def sheet(
    both: Sequence[Predictions], found: pd.DataFrame, stored: Shards, names: Sequence[str]
) -> Figure:
    """Frames of the pairs of `found`, one of a test clip of either class.

    It is the clip most surely of the pair, so rather the sport than the crowd. Below it, what it
    may be taken for and how likely either run finds that.
    """
    own = metrics.truth(both[0].labels, both[0].clip_probabilities.shape[1])
    picks, captions, video = [], [], both[0].clip_video
    for row in found.itertuples():
        sides = (row.label_a, row.label_b, row.class_a, row.class_b)
        for label, other, name, taken in (sides, [sides[k] for k in (1, 0, 3, 2)]):
            mine = np.flatnonzero((own[:, label] & ~own[:, other])[video])
            if not len(mine):
                continue
            seen = np.array([p.clip_probabilities[mine][:, [label, other]] for p in both])
            best = seen.sum(axis=(0, 2)).argmax()
            picks.append(mine[best])
            each = " | ".join(f"{share:.0%}" for share in seen[:, best, 1])
            captions.append(f"{name}\n{taken}?\n{each}")
    wanted = np.array(picks, int)
    test = loader.Clips(stored, [8], own.shape[1], threads=1)
    frames = test.take(wanted).frames[:, 0].numpy()
    title = f"Clips of confused pairs, and how likely they are the other ({' | '.join(names)})"
    return contact_sheet(frames, captions, title)


def _heat(ax, share: np.ndarray, most: float):
    """Shares of rows as an image, the diagonal grey; the root of a share is what one sees."""
    share = np.where(np.eye(len(share)) > 0, np.nan, share)
    image = ax.imshow(np.where(share > 0, share, np.nan), cmap=COLOURS, interpolation="nearest",
                      norm=mpl.colors.PowerNorm(0.5, 0, most))  # fmt: skip
    right = np.where(np.eye(len(share)) > 0, 1.0, np.nan)
    ax.imshow(right, cmap=mpl.colors.ListedColormap([style.FAINT]), interpolation="nearest")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set(visible=True, color=style.FAINT)
    return image


def top(*matrices: np.ndarray) -> float:
    """The largest share of a row off the diagonal: the end of the colour scale."""
    return max(1e-9, *(np.where(np.eye(len(m)) > 0, 0, shares(m)).max() for m in matrices))


def draw(
    counts: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    titles: Sequence[str],
    found: Sequence[np.ndarray],
) -> Figure:
    """Up to `ANNOTATED` classes: the matrices of two runs beside each other, with their `titles`;
    more: the whole matrix of the first run, with the blocks `found` in it. `labels` is the order.
    """
    if len(labels) <= ANNOTATED:
        return _numbers(counts, labels, classes, titles)
    return _overview(counts[0], labels, classes, found)


@style.styled
def _numbers(counts, labels, classes, titles) -> Figure:
    """Both matrices in % of the row."""
    fig, (axes,) = style.new_figure(1, 2, 2.3 + 0.235 * len(labels), sharey=True)
    names, most = [style.clean(classes[label], 18) for label in labels], top(*counts)
    for ax, matrix, title in zip(axes, counts, titles, strict=True):
        share = shares(matrix)[np.ix_(labels, labels)]
        _heat(ax, share, most)
        ax.set_aspect("auto")
        counted = np.diag(share.sum(axis=1) > 0)
        for row, column in np.argwhere((share >= 0.005) | counted):
            dark = row != column and share[row, column] > 0.15 * most
            ax.annotate(f"{100 * share[row, column]:.0f}", (column, row), ha="center", va="center",
                        fontsize=8, color="white" if dark else style.INK)  # fmt: skip
        ax.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
        ax.set(xlabel="was taken for … (%)", title=style.clean(title, 52))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("what is …")
    return fig


@style.styled
def _overview(matrix, labels, classes, found) -> Figure:
    """The whole matrix in its order, a whole number of pixels a class, and the blocks `found`."""
    side = len(labels) * max(1, 560 // len(labels)) / style.STYLE["figure.dpi"]  # inches
    fig, ((ax,),) = style.new_figure(1, 1, side + 0.95)
    fig.density = 2  # a whole number again
    fig.set_layout_engine("none")
    ax.set_position((0.035, 0.45 / (side + 0.95), side / style.WIDTH, side / (side + 0.95)))
    share, most = shares(matrix)[np.ix_(labels, labels)], top(matrix)
    image, place = _heat(ax, share, most), np.argsort(labels)
    lines = []
    for number, block in enumerate(found, 1):
        first, size = place[block[0]] - 0.5, len(block)
        box = Rectangle((first, first), size, size, fill=False, edgecolor=style.INK, linewidth=1)
        ax.add_patch(box)
        left = first > 0.06 * len(labels)
        ax.annotate(f"{number}", (first if left else first + size, first), (-4 if left else 4, 0),
                    textcoords="offset points", ha="right" if left else "left", va="top",
                    fontsize=10, fontweight="bold")  # fmt: skip
        inside = share[np.ix_(place[block], place[block])]
        np.fill_diagonal(inside, 0)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        names = [style.clean(classes[block[k]], 25) for k in (row, column)]
        lines.append(f"{number}  {names[0]}\n    as {names[1]} {inside.max():.0%}")
    x = ax.get_position().x1 + 0.03
    fig.text(x, ax.get_position().y1, "\n\n".join(["The worst of each block", *lines]), va="top",
             fontsize=9, linespacing=1.35)  # fmt: skip
    ax.set(xticks=[], yticks=[], xlabel="was taken for …", ylabel="what is …")
    bar = fig.colorbar(image, cax=fig.add_axes((x, ax.get_position().y0 + 0.02, 0.25, 0.018)),
                       orientation="horizontal", label="% of a class (root scale)")  # fmt: skip
    _percent(bar, most)
    wrong = share.sum() - share.trace()
    held = sum(share[np.ix_(place[b], place[b])].sum() - share[place[b], place[b]].sum()
               for b in found) / max(1e-9, wrong)  # fmt: skip
    title = f"{held:.0%} of the confusion of {len(labels)} classes lies in {len(found)} blocks of "
    title += f"{len(found[0])}" if found else "any size: nothing was confused"
    style.headline(fig, title)
    return fig


def _percent(bar, most: float) -> None:
    """Ticks of a colour bar in whole per cent, where the root scale leaves room for them."""
    ticks = [t for t in (0.01, 0.05, 0.2, 0.5, 1) if t < 0.75 * most] + [most]
    bar.set_ticks(ticks, labels=[f"{100 * tick:.2g}" for tick in ticks])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9)


@style.styled
def draw_crops(
    matrix: np.ndarray, found: Sequence[np.ndarray], classes: Sequence[str], height: float = 3.1
) -> Figure:
    """Blocks along the diagonal, big enough to read: a column has the letter of its row."""
    rows = max(1, -(-len(found) // 2))
    fig, axes = style.new_figure(rows, 2, 0.5 + height * rows)
    fig.density = 1.3  # many letters
    share, most, image = shares(matrix), top(matrix), None
    for ax in axes.flat[len(found) :]:
        ax.axis("off")
    for number, (ax, block) in enumerate(zip(axes.flat, found, strict=False), 1):
        image = _heat(ax, share[np.ix_(block, block)], most)
        ax.set_aspect("auto")  # else the layout leaves too little room for names
        ticks = np.arange(len(block))
        names = [
            f"{style.clean(classes[k], 25)}  {a}" for k, a in zip(block, LETTERS, strict=False)
        ]
        ax.set_yticks(ticks, names, fontsize=8)
        ax.set_xticks(ticks, list(LETTERS[: len(block)]), fontsize=8)
        ax.set_title(f"block {number}", loc="left", fontsize=10)
    if image:
        bar = fig.colorbar(image, ax=axes, location="bottom", shrink=0.4, aspect=40, pad=0.02,
                           label="taken for the class of the column, % (root scale)")  # fmt: skip
        _percent(bar, most)
    return fig


def _dots(ax, part: pd.DataFrame, name: str, shade: str, shift: float = 0.0, **more) -> None:
    """A dot a row with its interval."""
    rows = np.arange(len(part)) + shift
    ax.hlines(
        rows, part[f"{name}_low"], part[f"{name}_high"], color=shade, linewidth=1.4, alpha=0.6
    )
    ax.plot(part[name], rows, "o", color=shade, markersize=5, **more)


def _named(ax, part: pd.DataFrame, length: int = 26) -> None:
    """The classes as names of the rows, the first on top."""
    ax.set_yticks(range(len(part)), [style.clean(name, length) for name in part["class"]])
    ax.set_ylim(len(part) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


@style.styled
def draw_precisions(
    table: pd.DataFrame, mean: pd.Series, names: Sequence[str], colours: Sequence[str], most=15
) -> Figure:
    """Average precision by class, best first, with 95 % intervals; of more than 2 × `most` classes
    the best and the worst, and a histogram of all."""
    ranked = table.dropna(subset="run").sort_values(["run", "versus"], ascending=False)
    few = len(ranked) <= 2 * most
    if few:
        fig, axes = style.new_figure(1, 1, 1.3 + 0.27 * max(1, len(ranked)))
        shown = [(axes[0, 0], ranked, "")]
    else:
        fig, axes = style.new_figure(1, 3, 1.4 + 0.21 * most, width_ratios=[1, 1, 0.8])
        parts = (ranked[:most], ranked[-most:])
        shown = [*zip(axes[0], parts, (f"The best {most}", f"The worst {most}"), strict=False)]
        edges = np.linspace(0, 1, 21)
        for name, called, shade in zip(("run", "versus"), names, colours, strict=True):
            height = np.histogram(ranked[name], edges)[0]
            axes[0, 2].stairs(height, edges, color=shade, linewidth=1.6, label=style.clean(called))
        axes[0, 2].set(xlabel="average precision", ylabel="classes", title=f"All {len(ranked)}")
    for ax, part, title in shown:
        _dots(ax, part, "versus", colours[1], 0.17, label=style.clean(names[1]), fillstyle="none")
        _dots(ax, part, "run", colours[0], -0.17, label=style.clean(names[0]))
        _named(ax, part, 30 if few else 18)
        ax.set(xlabel="average precision", xlim=(-0.02, 1.02), title=title)
    title = f"Mean average precision {mean['run']:.3f} ({mean['run_low']:.3f} to "
    title += f"{mean['run_high']:.3f}); of {style.clean(names[1], 30)} {mean['versus']:.3f}"
    style.headline(fig, title)
    handles, texts = shown[0][0].get_legend_handles_labels()
    fig.legend(handles[::-1], texts[::-1], loc="outside lower left", ncols=2, fontsize=9)
    return fig


@style.styled
def draw_gains(
    table: pd.DataFrame, names: Sequence[str], colours: Sequence[str], most: int = 10
) -> Figure:
    """Table 2's two columns: the classes that gain most and those that lose most, or gain least.

    Dots are full where p ≤ 0.05; grey rings are the paper's ΔAP of a class of that
    name.
    """
    ranked = table.dropna(subset="gain").sort_values("gain", ascending=False)
    most = min(most, -(-len(ranked) // 2))
    fig, (axes,) = style.new_figure(1, 2, 1.9 + 0.25 * max(1, most), sharex=True)
    ends = (ranked[:most], ranked[most:][-most:][::-1])
    for ax, part, head in zip(axes, ends, ("gain most", "lose most, or gain least"), strict=True):
        for n, row in enumerate(part.itertuples()):
            full = row.p <= 0.05
            shade = (style.PAPER, colours[0], colours[1])[int(np.sign(row.gain))]
            ax.hlines(n, row.gain_low, row.gain_high, color=shade, linewidth=1.4, alpha=0.6)
            ax.plot(row.gain, n, "o", color=shade, markersize=6, mfc=shade if full else "white")
        rows = range(len(part))
        ax.plot(part["paper"], rows, "o", color=style.PAPER, fillstyle="none", markersize=10)
        ax.axvline(0, color=style.INK, linewidth=1)
        _named(ax, part, 24)
        ax.set(xlabel="difference of average precision", title=f"Those that {head}")
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    up, down, chance = beyond_chance(table)
    title = f"Of {len(ranked)} classes {up} gain and {down} lose at p ≤ 0.05; by chance alone "
    title += f"{chance:.1f} would"
    style.headline(fig, title)
    dot = functools.partial(Line2D, [], [], linestyle="", marker="o", color=style.INK, markersize=6)
    handles = [dot(label="p ≤ 0.05"), dot(label="may be chance", mfc="white")]
    if ranked["paper"].notna().any():
        ring = {"color": style.PAPER, "fillstyle": "none", "markersize": 10}
        handles.append(dot(label="the paper, slow against single on Sports-1M", **ring))
    fig.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9)
    return fig
