"""Confusion of two runs: matrices, their blocks, classes ranked, and a look at any class.

    draw_confusion(counts, labels, classes, titles, blocks)     # K×K counts, one matrix a run
    draw_gains(table, mean, names, run_colours(run, versus))    # Table 2
    draw_class(Confusion(counts, labels, classes, names, table, pairs, pictures), label)

`draw_…` functions take what `s1m_lab.analysis.confusion` counts, of any number of classes. All
matrices share one colour scale: the root of the share of a row. The diagonal is grey, and what
never happened is white.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from s1m_lab import paper
from s1m_lab.analysis.confusion import beyond_chance, shares
from s1m_lab.data import loader
from s1m_lab.data.shards import Shards
from s1m_lab.figures import style, tables
from s1m_lab.figures.frames import contact_sheet
from s1m_lab.training import metrics, runs
from s1m_lab.training.predict import Predictions

ANNOTATED = 20  # classes up to which a matrix is drawn with its numbers
PAIRS = 200  # pairs that can be chosen
BLOCK = 12  # classes of a block that can be chosen
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Perceptually uniform and safe for the colour-blind; white is what never happened.
HEAT = mpl.colors.ListedColormap(
    ["#FFFFFF", *mpl.colormaps["magma_r"](np.linspace(0.12, 0.92, 255))]
).with_extremes(bad=style.FAINT)


class Confusion(NamedTuple):
    """What a look at one class, pair or block needs."""

    counts: Sequence[np.ndarray]  # K×K, one a run: rows are true, columns predicted
    labels: np.ndarray  # the order of the classes in a matrix
    classes: Sequence[str]
    names: Sequence[str]  # of the runs
    table: pd.DataFrame  # of `confusion.precisions`
    pairs: pd.DataFrame  # of `confusion.pairs`
    pictures: dict[int, np.ndarray]  # a frame of each class, of `class_frames`


def run_colours(run: runs.Run, versus: runs.Run) -> tuple[str, str]:
    """The colours of two runs, those of their networks; black for the second if these are alike."""
    first, second = (style.colour(r.config["settings"]["model"]) for r in (run, versus))
    return first, second if second != first else style.INK


# ---------------------------------------------------------------------------------------- matrices


def _heat(ax: Axes, share: np.ndarray, top: float, numbers: bool = False) -> QuadMesh:
    """Draw shares of rows (n×n), `top` the end of the colour scale, with `numbers` in per cent."""
    diagonal = np.eye(len(share)) > 0
    text = np.where(share > 0, np.char.mod("%.0f", 100 * share), "")
    sns.heatmap(
        np.where(diagonal, np.nan, share), cmap=HEAT, norm=mpl.colors.PowerNorm(0.5, 0, top),
        vmin=0, vmax=top, annot=text if numbers else None, fmt="", annot_kws={"fontsize": 8},
        cbar=False, xticklabels=False, yticklabels=False, ax=ax,
    )  # fmt: skip
    for k in np.flatnonzero(share.sum(axis=1) > 0) if numbers else ():
        ax.text(k + 0.5, k + 0.5, f"{100 * share[k, k]:.0f}", ha="center", va="center", fontsize=8)
    for spine in ax.spines.values():
        spine.set(visible=True, color=style.FAINT)
    ax.tick_params(length=0)
    image: Any = ax.collections[0]
    return image


def largest_share(*matrices: np.ndarray) -> float:
    """The largest share of a row off the diagonal: the end of the colour scale."""
    return max(1e-9, *(np.where(np.eye(len(m)) > 0, 0, shares(m)).max() for m in matrices))


def _numbers(
    axes: Sequence[Axes],
    counts: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    length: int = 18,
) -> None:
    """Draw a part of each matrix, in % of the row, with the names of its classes."""
    names = [style.clean(classes[label], length) for label in labels]
    middles = np.arange(len(labels)) + 0.5
    for ax, matrix in zip(axes, counts, strict=True):
        _heat(ax, shares(matrix)[np.ix_(labels, labels)], largest_share(*counts), numbers=True)
        ax.set_xticks(middles, names, rotation=55, ha="right", rotation_mode="anchor")
        ax.set_xlabel("was taken for … (%)")
    axes[0].set_yticks(middles, names)
    axes[0].set_ylabel("what is …")


@style.styled
def draw_confusion(
    counts: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    titles: Sequence[str],
    blocks: Sequence[np.ndarray],
) -> Figure:
    """The matrices of two runs; of more than `ANNOTATED` classes that of the first run.

    `labels` is the order of the classes, and `titles` are of the runs. A large matrix has no
    numbers; it shows where the `blocks` lie.
    """
    if len(labels) > ANNOTATED:
        return _overview(counts[0], labels, classes, blocks)
    fig, (axes,) = style.new_figure(1, 2, 2.3 + 0.235 * len(labels))
    _numbers(axes, counts, labels, classes)
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(style.clean(title, 52))
    return fig


def _overview(
    matrix: np.ndarray, labels: np.ndarray, classes: Sequence[str], blocks: Sequence[np.ndarray]
) -> Figure:
    """The whole matrix in its order, a whole number of pixels a class, and where blocks lie."""
    side = len(labels) * max(1, 560 // len(labels)) / style.STYLE["figure.dpi"]  # inches
    fig, ((ax,),) = style.new_figure(1, 1, side + 0.95)
    fig.density = 2  # a whole number again
    fig.set_layout_engine("none")
    ax.set_position((0.035, 0.45 / (side + 0.95), side / style.WIDTH, side / (side + 0.95)))
    share, top = shares(matrix)[np.ix_(labels, labels)], largest_share(matrix)
    image, place = _heat(ax, share, top), np.argsort(labels)
    wrong = np.where(np.eye(len(share)) > 0, 0, share)
    lines, inside = ["The worst of each block"], 0.0
    for number, block in enumerate(blocks, 1):
        part = wrong[np.ix_(place[block], place[block])]
        row, column = np.unravel_index(part.argmax(), part.shape)
        names = [style.clean(classes[block[k]], 25) for k in (row, column)]
        lines.append(f"{number}  {names[0]}\n    as {names[1]} {part.max():.0%}")
        inside += part.sum() / max(1e-9, wrong.sum())
        _mark_block(ax, number, place[block[0]], len(block))
    x = ax.get_position().x1 + 0.03
    fig.text(x, ax.get_position().y1, "\n\n".join(lines), va="top", fontsize=9, linespacing=1.35)
    ax.set(xlabel="was taken for …", ylabel="what is …")
    bar = fig.colorbar(image, cax=fig.add_axes((x, ax.get_position().y0 + 0.02, 0.25, 0.018)),
                       orientation="horizontal", label="% of a class (root scale)")  # fmt: skip
    _ticks_in_percent(bar, top)
    title = f"{inside:.0%} of the confusion of {len(labels)} classes lies in {len(blocks)} blocks"
    title = (
        f"{title} of {len(blocks[0])}"
        if blocks
        else f"No video of {len(labels)} classes is confused"
    )
    style.headline(fig, title)
    return fig


def _mark_block(ax: Axes, number: int, first: int, size: int) -> None:
    """Draw a square around a block of the diagonal, and its number beside it."""
    ax.add_patch(Rectangle((first, first), size, size, fill=False, edgecolor=style.INK))
    left = first > 0.06 * ax.get_xlim()[1]
    ax.annotate(f"{number}", (first if left else first + size, first), (-4 if left else 4, 0),
                textcoords="offset points", ha="right" if left else "left", va="top",
                fontsize=10, fontweight="bold")  # fmt: skip


def _ticks_in_percent(bar: Colorbar, top: float) -> None:
    """Ticks of a colour bar in whole per cent, where the root scale leaves room for them."""
    ticks = [t for t in (0.01, 0.05, 0.2, 0.5, 1) if t < 0.75 * top] + [top]
    bar.set_ticks(ticks, labels=[f"{100 * tick:.2g}" for tick in ticks])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9)


@style.styled
def draw_blocks(
    matrix: np.ndarray, blocks: Sequence[np.ndarray], classes: Sequence[str], height: float = 3.1
) -> Figure:
    """Blocks of the diagonal, large enough to read: a column has the letter of its row."""
    rows = max(1, -(-len(blocks) // 2))
    fig, axes = style.new_figure(rows, 2, 0.5 + height * rows)
    fig.density = 1.3  # many letters
    share, top, image = shares(matrix), largest_share(matrix), None
    for ax in axes.flat[len(blocks) :]:
        ax.axis("off")
    for number, (ax, block) in enumerate(zip(axes.flat, blocks, strict=False), 1):
        image = _heat(ax, share[np.ix_(block, block)], top)
        letters, middles = LETTERS[: len(block)], np.arange(len(block)) + 0.5
        names = [f"{style.clean(classes[k], 25)}  {a}" for k, a in zip(block, letters, strict=True)]
        ax.set_yticks(middles, names, fontsize=8)
        ax.set_xticks(middles, list(letters), fontsize=8)
        ax.set_title(f"block {number}", fontsize=10)
    if image:
        bar = fig.colorbar(image, ax=axes, location="bottom", shrink=0.4, aspect=40, pad=0.02,
                           label="taken for the class of the column, % (root scale)")  # fmt: skip
        _ticks_in_percent(bar, top)
    return fig


# ------------------------------------------------------------------------------------------ frames


def _middle_frames(stored: Shards, clips: Sequence[int], classes: int) -> np.ndarray:
    """Frame 8 of these clips, N×H×W×3."""
    taken = loader.Clips(stored, [8], classes, threads=1).take([int(clip) for clip in clips])
    return taken.frames[:, 0].numpy()


def class_frames(both: Sequence[Predictions], stored: Shards) -> dict[int, np.ndarray]:
    """A frame of each class, by label: of the test clip that both runs are surest of.

    So it shows rather the sport than the crowd.
    """
    own = metrics.truth(both[0].labels, both[0].clip_probabilities.shape[1])
    labels, clips = np.flatnonzero(own.any(axis=0)), []
    for label in labels:
        mine = np.flatnonzero(own[:, label][both[0].clip_video])
        clips.append(mine[sum(p.clip_probabilities[mine, label] for p in both).argmax()])
    frames = _middle_frames(stored, clips, own.shape[1])
    return dict(zip(labels.tolist(), frames, strict=True))


def draw_confused_clips(
    both: Sequence[Predictions], pairs: pd.DataFrame, stored: Shards, names: Sequence[str]
) -> Figure:
    """A frame of either class of each of the `pairs`, and how likely either run finds the other.

    It is of the clip that both runs are surest is of the pair.
    """
    own = metrics.truth(both[0].labels, both[0].clip_probabilities.shape[1])
    clips, captions, video = [], [], both[0].clip_video
    for row in pairs.itertuples():
        sides = (row.label_a, row.label_b, row.class_a, row.class_b)
        for label, other, name, taken in (sides, [sides[k] for k in (1, 0, 3, 2)]):
            mine = np.flatnonzero((own[:, label] & ~own[:, other])[video])
            if not len(mine):
                continue
            likely = np.array([p.clip_probabilities[mine][:, [label, other]] for p in both])
            best = likely.sum(axis=(0, 2)).argmax()
            clips.append(mine[best])
            each = " | ".join(f"{share:.0%}" for share in likely[:, best, 1])
            captions.append(f"{name}\n{taken}?\n{each}")
    frames = _middle_frames(stored, clips, own.shape[1])
    title = f"Clips of confused pairs, and how likely they are the other ({' | '.join(names)})"
    return contact_sheet(list(frames), captions, title)


# ----------------------------------------------------------------------- one class, pair or block


def draw_class(seen: Confusion, label: int) -> Figure:
    """A class among those it is most often taken for, and those most often taken for it."""
    row, (_, other) = seen.table.loc[label], seen.names
    title = f"{seen.classes[label]}: {row['videos']:,} test videos"
    if row["videos"]:
        ends = [f"{row[r]:.2f} ({row[f'{r}_low']:.2f} to {row[f'{r}_high']:.2f})" for r in
                ("run", "versus")]  # fmt: skip
        title += f", average precision {ends[0]}, {other} {ends[1]}"
    return _draw_part(seen, _confused_with(seen, [label], 4), [label], title)


def draw_pair(seen: Confusion, rank: int) -> Figure:
    """A pair of classes, the most confused has `rank` 0, among those confused with either."""
    row = seen.pairs.iloc[rank]
    pair = [row["label_a"], row["label_b"]]
    run, other = seen.names
    title = f"{row['class_a']} and {row['class_b']}: of {row['counted']:,}, {run} takes "
    title += f"{row['run']:.0%} for the other, {other} {row['versus']:.0%}"
    return _draw_part(seen, _confused_with(seen, pair, 2), pair, title)


def draw_block(seen: Confusion, number: int) -> Figure:
    """`BLOCK` classes that follow each other in the order of the matrix, the first has number 0."""
    block = seen.labels[number * BLOCK :][:BLOCK]
    each = [np.where(np.eye(len(block)) > 0, 0, shares(m)[np.ix_(block, block)])
            for m in seen.counts]  # fmt: skip
    row, column = np.unravel_index((each[0] + each[1]).argmax(), each[0].shape)
    title = f"{seen.classes[block[0]]} … {seen.classes[block[-1]]}"
    if (worst := [share[row, column] for share in each]) != [0, 0]:
        title += f": {seen.classes[block[row]]} is taken for {seen.classes[block[column]]} most, "
        title += f"{worst[0]:.0%} ({seen.names[1]} {worst[1]:.0%})"
    return _draw_part(seen, block, [], title)


def _confused_with(seen: Confusion, labels: list[int], most: int) -> np.ndarray:
    """These labels, and up to `most` others for each that it is taken for, or is taken for it.

    They stand in the order of the matrix.
    """
    both = np.sum([shares(matrix) for matrix in seen.counts], axis=0)
    near = set(labels)
    for label in labels:
        for share in (both[label].copy(), both[:, label].copy()):
            share[labels] = 0
            near |= {int(k) for k in np.argsort(-share, kind="stable")[:most] if share[k]}
    return np.array([k for k in seen.labels if k in near])


@style.styled
def _draw_part(seen: Confusion, labels: np.ndarray, marked: list[int], title: str) -> Figure:
    """The rows and columns `labels` of both matrices, below frames of these; `marked` in bold."""
    shown = [k for k in [*marked, *labels] if k in seen.pictures]
    shown = list(dict.fromkeys(shown))[:6]
    heights = [1.25, 2.1 + 0.235 * len(labels)]
    fig = plt.figure(figsize=(style.WIDTH, sum(heights) + 0.4), FigureClass=style.Photographs)
    plt.close(fig)
    below: Any = fig
    if shown:
        (above,), (below,) = fig.subfigures(2, 1, height_ratios=heights, squeeze=False)
        pictures = above.subplots(1, 6)
        for ax in pictures[len(shown) :]:
            ax.axis("off")
        for k, ax in zip(shown, pictures, strict=False):
            style.show_image(ax, seen.pictures[k])
            ax.set_xlabel(style.clean(seen.classes[k], 17), fontsize=9)
    axes = below.subplots(1, 2)
    _numbers(axes, seen.counts, labels, seen.classes)
    for ax, name in zip(axes, seen.names, strict=True):
        ax.set_title(style.clean(name, 40))
        for names in (ax.get_xticklabels(), ax.get_yticklabels()):
            for text, label in zip(names, labels, strict=False):
                text.set_fontweight("bold" if label in marked else "normal")
    style.headline(fig, title)
    return fig


def draw_first_look(seen: Confusion) -> Figure:
    """The most confused pair, which stands in a report for every choice."""
    return draw_pair(seen, 0) if len(seen.pairs) else draw_class(seen, int(seen.labels[0]))


def explore_confusion(seen: Confusion):
    """A widget: a list of classes, pairs (a | b) and blocks (a … b), and a figure of the choice."""
    names = [style.one_line(name, 40) for name in seen.classes]
    options: list[tuple[str, Any]] = [(name, (draw_class, k)) for k, name in enumerate(names)]
    pairs = zip(seen.pairs["label_a"][:PAIRS], seen.pairs["label_b"][:PAIRS], strict=True)
    options += [(f"{names[a]} | {names[b]}", (draw_pair, n)) for n, (a, b) in enumerate(pairs)]
    for n in range(-(-len(names) // BLOCK)):
        block = seen.labels[n * BLOCK :][:BLOCK]
        options.append((f"{names[block[0]]} … {names[block[-1]]}", (draw_block, n)))
    options.sort(key=lambda option: option[0].casefold())
    return tables.explore(lambda choice: choice[0](seen, choice[1]), options)


# ----------------------------------------------------------------------------------- class by class


@style.styled
def draw_precisions(
    table: pd.DataFrame,
    mean: pd.Series,
    names: Sequence[str],
    colours: Sequence[str],
    most: int = 15,
) -> Figure:
    """Average precision by class, the best first, with 95 % intervals.

    Of more than 2 × `most` classes, the best and the worst, and how the precisions of all are
    distributed.
    """
    ranked = table.dropna(subset="run").sort_values(["run", "versus"], ascending=False)
    few = len(ranked) <= 2 * most
    if few:
        fig, axes = style.new_figure(1, 1, 1.3 + 0.27 * max(1, len(ranked)))
        shown = [(axes[0, 0], ranked, "")]
    else:
        fig, axes = style.new_figure(1, 3, 1.4 + 0.21 * most, width_ratios=[1, 1, 0.8])
        parts = (ranked[:most], ranked[-most:])
        shown = [*zip(axes[0], parts, (f"The best {most}", f"The worst {most}"), strict=False)]
        sns.histplot(ranked[["run", "versus"]], bins=np.linspace(0, 1, 21), element="step",
                     fill=False, palette=list(colours), legend=False, ax=axes[0, 2])  # fmt: skip
        axes[0, 2].set(xlabel="average precision", ylabel="classes", title=f"All {len(ranked)}")
    look = {"markersize": 5}
    for ax, part, title in shown:
        rows = np.arange(len(part))
        style.draw_intervals(ax, part, "versus", rows + 0.17, colours[1], mfc="white", **look)
        style.draw_intervals(ax, part, "run", rows - 0.17, colours[0], **look)
        style.name_rows(ax, part["class"], 30 if few else 18)
        ax.set(xlabel="average precision", xlim=(-0.02, 1.02), title=title)
    title = f"Mean average precision {mean['run']:.3f} ({mean['run_low']:.3f} to "
    title += f"{mean['run_high']:.3f}); {style.clean(names[1], 30)} has {mean['versus']:.3f}"
    style.headline(fig, title)
    keys = [
        style.legend_dot(style.clean(names[0]), color=colours[0]),
        style.legend_dot(style.clean(names[1]), color=colours[1], markerfacecolor="white"),
    ]
    fig.legend(handles=keys, loc="outside lower left", ncols=2, fontsize=9)
    return fig


@style.styled
def draw_gains(
    table: pd.DataFrame,
    mean: pd.Series,
    names: Sequence[str],
    colours: Sequence[str],
    most: int = 10,
) -> Figure:
    """Table 2: the classes at either end of the gain in average precision, and the paper's.

    `table` and `mean` are those of `confusion.precisions`, of two runs called `names`. Dots are
    full where p ≤ 0.05, in the colour of the run that is better; rings are the paper's numbers.
    """
    ranked = table.dropna(subset="gain").sort_values("gain", ascending=False, kind="stable")
    ends = ranked if len(ranked) <= 2 * most else pd.concat([ranked[:most], ranked[-most:]])
    published = pd.Series(paper.TABLE_2).sort_values(ascending=False)
    rows = max(len(ends), len(published))
    fig, (axes,) = style.new_figure(1, 2, 1.6 + 0.2 * rows)
    sign, sure = np.sign(ends["gain"]).astype(int), ends["p"] <= 0.05
    shades = np.array([style.PAPER, *colours])[sign]
    for part, fill in ((sure, {}), (~sure, {"markerfacecolor": "white"})):
        at = np.flatnonzero(part)
        if len(at):
            style.draw_intervals(axes[0], ends.iloc[at], "gain", at, shades[at], **fill)
    axes[0].plot(ends["paper"], range(len(ends)), "o", markersize=10, **style.RING)
    axes[0].axvline(mean["gain"], color=style.INK, linestyle=":", linewidth=1.2)
    axes[0].annotate(f"mean {mean['gain']:+.3f}", (mean["gain"], 1), (4, 0), va="bottom",
                     xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=9,
                     annotation_clip=False)  # fmt: skip
    axes[1].plot(published, range(len(published)), "o", markersize=8, **style.RING)
    titles = "Here", "The paper, slow over single"
    for ax, own, title in zip(axes, (ends["class"], published.index), titles, strict=True):
        style.name_rows(ax, own, rows=rows)
        ax.axvline(0, color=style.INK, linewidth=1)
        ax.set(xlabel="difference of average precision", title=title)
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    up, down, chance = beyond_chance(table)
    what = " over ".join(style.clean(name, 30) for name in names)
    title = f"{what}: {up} of {len(ranked)} classes gain and {down} lose (p ≤ 0.05); chance alone "
    style.headline(fig, title + f"would give {chance:.1f}")
    handles = [
        style.legend_dot("p ≤ 0.05"),
        style.legend_dot("may be chance", markerfacecolor="white"),
    ]
    handles.append(style.legend_dot("the paper", **style.RING | {"markersize": 8}))
    fig.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9)
    return fig
