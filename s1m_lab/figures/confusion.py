"""Confusion of two runs: matrices, parts of them, frames, and the classes that gain and lose.

    matrices = Confusion(counts, labels, classes, names)          # K×K counts, one matrix a run
    draw_confusion(matrices, blocks)
    draw_part(matrices, [3])                                      # class 3 and its neighbours
    draw_gains(table, mean, names, run_colours(run, versus))  # Table 2

`draw_…` functions take what `s1m_lab.analysis.confusion` counts, of any number of classes. All
matrices share one colour scale: the root of the share of a row. The diagonal is grey, and what
never happened is white.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
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
# Perceptually uniform and safe for the colour-blind; white is what never happened.
HEAT = mpl.colors.ListedColormap(
    ["#FFFFFF", *mpl.colormaps["magma_r"](np.linspace(0.12, 0.92, 255))]
).with_extremes(bad=style.FAINT)


class Confusion(NamedTuple):
    """The confusion matrices of two runs on the same videos or clips."""

    counts: Sequence[np.ndarray]  # K×K, one a run: rows are true, columns predicted
    labels: np.ndarray  # the order of the classes in a matrix
    classes: Sequence[str]
    names: Sequence[str]  # of the runs


def run_colours(run: runs.Run, versus: runs.Run) -> tuple[str, str]:
    """The colours of two runs, those of their networks; black for the second if these are alike."""
    first, second = (style.colour(r.config["settings"]["model"]) for r in (run, versus))
    return first, second if second != first else style.INK


# ---------------------------------------------------------------------------------------- matrices


def _heat(ax: Axes, share: np.ndarray, top: float, numbers: bool = False) -> QuadMesh:
    """Draw shares of rows (n×n), `top` the end of the colour scale, with `numbers` in per cent."""
    off_diagonal = np.where(np.eye(len(share)) > 0, np.nan, share)
    text = np.where(share > 0, np.char.mod("%.0f", 100 * share), "") if numbers else None
    sns.heatmap(
        off_diagonal, cmap=HEAT, norm=mpl.colors.PowerNorm(0.5, 0, top), vmin=0, vmax=top,
        annot=text, fmt="", annot_kws={"fontsize": 8}, cbar=False, xticklabels=False,
        yticklabels=False, ax=ax,
    )  # fmt: skip
    for k in np.flatnonzero(share.sum(axis=1) > 0) if numbers else ():
        ax.text(k + 0.5, k + 0.5, f"{100 * share[k, k]:.0f}", ha="center", va="center", fontsize=8)
    ax.spines[:].set(visible=True, color=style.FAINT)
    image: Any = ax.collections[0]
    return image


def largest_share(*matrices: np.ndarray) -> float:
    """The largest share of a row off the diagonal: the end of the colour scale."""
    return max(1e-9, *(np.where(np.eye(len(m)) > 0, 0, shares(m)).max() for m in matrices))


def draw_confusion(matrices: Confusion, blocks: Sequence[np.ndarray]) -> Figure:
    """The matrices of two runs; of more than `ANNOTATED` classes that of the first run.

    A large matrix has no numbers; it shows where the `blocks` lie.
    """
    if len(matrices.labels) > ANNOTATED:
        return _draw_overview(matrices.counts[0], matrices.labels, blocks)
    return draw_part(matrices, matrices.labels)


@style.styled
def _draw_overview(matrix: np.ndarray, labels: np.ndarray, blocks: Sequence[np.ndarray]) -> Figure:
    """The whole matrix in its order, and where the blocks lie."""
    fig, ((ax,),) = style.new_figure(1, 1, 6.6)
    share = shares(matrix)[np.ix_(labels, labels)]
    image = _heat(ax, share, largest_share(matrix))
    percent = mpl.ticker.PercentFormatter(1, 0)
    fig.colorbar(image, label="of a class (root scale)", format=percent, shrink=0.5)
    np.fill_diagonal(share, 0)
    inside = 0.0
    for number, block in enumerate(blocks, 1):
        first, size = labels.tolist().index(block[0]), len(block)
        inside += share[first : first + size, first : first + size].sum()
        ax.add_patch(Rectangle((first, first), size, size, fill=False, edgecolor=style.INK))
        ax.text(first + size, first, f" {number}", va="top", fontweight="bold")
    ax.set(xlabel="predicted class", ylabel="true class", aspect="equal")
    title = f"No video of {len(labels)} classes is confused"
    if blocks:
        title = f"{inside / share.sum():.0%} of the confusion of {len(labels)} classes lies in "
        title += f"{len(blocks)} blocks of {len(blocks[0])}"
    return style.headline(fig, title)


def _confused_with(matrices: Confusion, marked: list[int]) -> list[int]:
    """These classes and those most confused with them, in the order of the matrix.

    For one class these are up to four that it is taken for and four that are taken for it, for a
    pair two each, for more classes none.
    """
    both = np.sum([shares(matrix) for matrix in matrices.counts], axis=0)
    both[np.ix_(marked, marked)] = 0
    near = set(marked)
    for share in (*both[marked], *both[:, marked].T):
        best = np.argsort(-share, kind="stable")[: 4 // len(marked)]
        near.update(best[share[best] > 0])
    return [k for k in matrices.labels if k in near]


@style.styled
def draw_part(matrices: Confusion, marked: Sequence[int] | np.ndarray) -> style.Drawing:
    """Both matrices, in % of the row, for the classes `marked` and those most confused with them.

    One class or a pair is in bold.
    """
    marked = [int(label) for label in marked]
    labels = _confused_with(matrices, marked)
    names = [style.clean(matrices.classes[label], 18) for label in labels]
    fig, (axes,) = style.new_figure(1, 2, 2.7 + 0.235 * len(labels))
    middles, top = np.arange(len(labels)) + 0.5, largest_share(*matrices.counts)
    for ax, matrix, title in zip(axes, matrices.counts, matrices.names, strict=True):
        _heat(ax, shares(matrix)[np.ix_(labels, labels)], top, numbers=True)
        ax.set_xticks(middles, names, rotation=55, ha="right", rotation_mode="anchor")
        ax.set(xlabel="predicted class (%)", title=style.clean(title, 52))
    axes[0].set_yticks(middles, names)
    axes[0].set_ylabel("true class")
    bold = marked if len(marked) < 3 else []
    for axis in (axes[0].xaxis, axes[1].xaxis, axes[0].yaxis):
        for name, label in zip(axis.get_ticklabels(), labels, strict=True):
            name.set_fontweight("bold" if label in bold else "normal")
    what = " | ".join(matrices.classes[k] for k in bold) or f"{len(marked)} classes"
    total = int(matrices.counts[0][marked].sum())
    right = [f"{m[marked, marked].sum() / max(1, total):.0%}" for m in matrices.counts]
    run, versus = (style.clean(name, 30) for name in matrices.names)
    title = f"{what}: {run} gets {right[0]} of {total:,} right, {versus} {right[1]}"
    return style.headline(fig, title)


# ------------------------------------------------------------------------------------------ frames


def draw_confused_clips(
    both: Sequence[Predictions], pairs: pd.DataFrame, stored: Shards, names: Sequence[str]
) -> Figure:
    """A frame of either class of each of the `pairs`, and how likely either run finds the other.

    It is of the clip that both runs are surest is of the pair.
    """
    classes, video = both[0].clip_probabilities.shape[1], both[0].clip_video
    own = metrics.truth(both[0].labels, classes)
    clips, captions = [], []
    for row in pairs.itertuples():
        sides = [(row.label_a, row.class_a), (row.label_b, row.class_b)]
        for (label, name), (other, taken) in (sides, sides[::-1]):
            mine = np.flatnonzero((own[:, label] & ~own[:, other])[video])
            if len(mine):
                likely = np.array([p.clip_probabilities[mine][:, [label, other]] for p in both])
                best = likely.sum(axis=(0, 2)).argmax()
                clips.append(mine[best])
                each = " | ".join(f"{share:.0%}" for share in likely[:, best, 1])
                captions.append(f"{name}\n{taken}?\n{each}")
    frames = loader.Clips(stored, [8], classes, threads=1).take(clips).frames[:, 0].numpy()
    title = f"Clips of confused pairs, and how likely they are the other ({' | '.join(names)})"
    return contact_sheet(list(frames), captions, title)


# ----------------------------------------------------------------------- one class, pair or block


def draw_first_look(matrices: Confusion, pairs: pd.DataFrame) -> Figure:
    """The most confused pair: what a report shows in place of the widget."""
    return draw_part(matrices, _labels_of(pairs)[0] if len(pairs) else matrices.labels[:1])


def explore_confusion(matrices: Confusion, pairs: pd.DataFrame, blocks: Sequence[np.ndarray]):
    """A widget: a list of classes, pairs (a | b) and blocks (a … b), and a figure of the choice."""
    names = [style.one_line(name, 40) for name in matrices.classes]
    options: list[tuple[str, Any]] = [(name, [k]) for k, name in enumerate(names)]
    options += [(f"{names[a]} | {names[b]}", [a, b]) for a, b in _labels_of(pairs)[:PAIRS]]
    options += [(f"{names[block[0]]} … {names[block[-1]]}", block.tolist()) for block in blocks]
    options.sort(key=lambda option: option[0].casefold())
    return tables.explore(lambda labels: draw_part(matrices, labels), options)


def _labels_of(pairs: pd.DataFrame) -> list[list[int]]:
    return pairs[["label_a", "label_b"]].to_numpy().tolist()


# ----------------------------------------------------------------------------------- class by class


@style.styled
def draw_gains(
    table: pd.DataFrame, mean: pd.Series, names: Sequence[str], colours: Sequence[str]
) -> Figure:
    """Table 2: the classes at either end of the gain in average precision, and the paper's.

    `table` and `mean` are those of `confusion.precisions`, of two runs called `names`. Dots are
    full where p ≤ 0.05, in the colour of the run that is better; rings are the paper's numbers.
    """
    ranked = table.dropna(subset="gain").sort_values("gain", ascending=False, kind="stable")
    ends = tables.both_ends(ranked)
    published = pd.Series(paper.TABLE_2).sort_values(ascending=False)
    rows = max(len(ends), len(published))
    fig, (axes,) = style.new_figure(1, 2, 1.6 + 0.2 * rows)
    shades = np.array([style.PAPER, *colours])[np.sign(ends["gain"]).astype(int)]
    sure = ends["p"] <= 0.05
    for part, fill in ((sure, {}), (~sure, {"markerfacecolor": "white"})):
        if part.any():
            at = np.flatnonzero(part)
            style.draw_intervals(axes[0], ends[part], "gain", at, shades[at], **fill)
    axes[0].plot(ends["paper"], range(len(ends)), "o", markersize=10, **style.RING)
    axes[0].axvline(mean["gain"], color=style.INK, linestyle=":", linewidth=1.2)
    axes[1].plot(published, range(len(published)), "o", markersize=8, **style.RING)
    titles = f"Here; dotted the mean, {mean['gain']:+.3f}", "The paper, slow over single"
    for ax, own, title in zip(axes, (ends["class"], published.index), titles, strict=True):
        style.name_rows(ax, own, rows=rows)
        ax.axvline(0, color=style.INK, linewidth=1)
        ax.set(xlabel="difference of average precision", title=title)
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
