"""What confusion looks like: matrices, crops along their diagonal, and classes ranked.

`draw_…` functions take what `confusion` counted and return figures in the lab's style, at any
number of classes: few are drawn with their numbers, many as an overview and its blocks. One colour
scale everywhere: the root of the share of a row, the diagonal grey, what never happened white.
"""

import functools
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from s1m_lab import clips, metrics, plots
from s1m_lab.confusion import beyond_chance, shares
from s1m_lab.predict import Predictions
from s1m_lab.shards import Shards

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
    test = clips.Clips(stored, [8], own.shape[1], threads=1)
    frames = test[clips.Plan(0, 0, wanted, wanted)].frames[:, 0].numpy()
    title = f"Clips of confused pairs, and how likely they are the other ({' | '.join(names)})"
    return plots.contact_sheet(frames, captions, title)


def _heat(ax, share: np.ndarray, most: float):
    """Shares of rows as an image, the diagonal grey; the root of a share is what one sees."""
    share = np.where(np.eye(len(share)) > 0, np.nan, share)
    image = ax.imshow(np.where(share > 0, share, np.nan), cmap=COLOURS, interpolation="nearest",
                      norm=mpl.colors.PowerNorm(0.5, 0, most))  # fmt: skip
    right = np.where(np.eye(len(share)) > 0, 1.0, np.nan)
    ax.imshow(right, cmap=mpl.colors.ListedColormap([plots.FAINT]), interpolation="nearest")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set(visible=True, color=plots.FAINT)
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


@plots.styled
def _numbers(counts, labels, classes, titles) -> Figure:
    """Both matrices in % of the row."""
    fig, (axes,) = plots._figure(1, 2, 2.3 + 0.235 * len(labels), sharey=True)
    names, most = [plots.clean(classes[label], 18) for label in labels], top(*counts)
    for ax, matrix, title in zip(axes, counts, titles, strict=True):
        share = shares(matrix)[np.ix_(labels, labels)]
        _heat(ax, share, most)
        ax.set_aspect("auto")
        counted = np.diag(share.sum(axis=1) > 0)
        for row, column in np.argwhere((share >= 0.005) | counted):
            dark = row != column and share[row, column] > 0.15 * most
            ax.annotate(f"{100 * share[row, column]:.0f}", (column, row), ha="center", va="center",
                        fontsize=8, color="white" if dark else plots.INK)  # fmt: skip
        ax.set_xticks(range(len(names)), names, rotation=55, ha="right", rotation_mode="anchor")
        ax.set(xlabel="was taken for … (%)", title=plots.clean(title, 52))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("what is …")
    return fig


@plots.styled
def _overview(matrix, labels, classes, found) -> Figure:
    """The whole matrix in its order, a whole number of pixels a class, and the blocks `found`."""
    side = len(labels) * max(1, 560 // len(labels)) / plots.STYLE["figure.dpi"]  # inches
    fig, ((ax,),) = plots._figure(1, 1, side + 0.95)
    fig.density = 2  # a whole number again
    fig.set_layout_engine("none")
    ax.set_position((0.035, 0.45 / (side + 0.95), side / plots.WIDTH, side / (side + 0.95)))
    share, most = shares(matrix)[np.ix_(labels, labels)], top(matrix)
    image, place = _heat(ax, share, most), np.argsort(labels)
    lines = []
    for number, block in enumerate(found, 1):
        first, size = place[block[0]] - 0.5, len(block)
        box = Rectangle((first, first), size, size, fill=False, edgecolor=plots.INK, linewidth=1)
        ax.add_patch(box)
        left = first > 0.06 * len(labels)
        ax.annotate(f"{number}", (first if left else first + size, first), (-4 if left else 4, 0),
                    textcoords="offset points", ha="right" if left else "left", va="top",
                    fontsize=10, fontweight="bold")  # fmt: skip
        inside = share[np.ix_(place[block], place[block])]
        np.fill_diagonal(inside, 0)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        names = [plots.clean(classes[block[k]], 25) for k in (row, column)]
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
    plots.headline(fig, title)
    return fig


def _percent(bar, most: float) -> None:
    """Ticks of a colour bar in whole per cent, where the root scale leaves room for them."""
    ticks = [t for t in (0.01, 0.05, 0.2, 0.5, 1) if t < 0.75 * most] + [most]
    bar.set_ticks(ticks, labels=[f"{100 * tick:.2g}" for tick in ticks])
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9)


@plots.styled
def draw_crops(
    matrix: np.ndarray, found: Sequence[np.ndarray], classes: Sequence[str], height: float = 3.1
) -> Figure:
    """Blocks along the diagonal, big enough to read: a column has the letter of its row."""
    rows = max(1, -(-len(found) // 2))
    fig, axes = plots._figure(rows, 2, 0.5 + height * rows)
    fig.density = 1.3  # many letters
    share, most, image = shares(matrix), top(matrix), None
    for ax in axes.flat[len(found) :]:
        ax.axis("off")
    for number, (ax, block) in enumerate(zip(axes.flat, found, strict=False), 1):
        image = _heat(ax, share[np.ix_(block, block)], most)
        ax.set_aspect("auto")  # else the layout leaves too little room for names
        ticks = np.arange(len(block))
        names = [
            f"{plots.clean(classes[k], 25)}  {a}" for k, a in zip(block, LETTERS, strict=False)
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
    ax.set_yticks(range(len(part)), [plots.clean(name, length) for name in part["class"]])
    ax.set_ylim(len(part) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")


@plots.styled
def draw_precisions(
    table: pd.DataFrame, mean: pd.Series, names: Sequence[str], colours: Sequence[str], most=15
) -> Figure:
    """Average precision by class, best first, with 95 % intervals; of more than 2 × `most` classes
    the best and the worst, and a histogram of all."""
    ranked = table.dropna(subset="run").sort_values(["run", "versus"], ascending=False)
    few = len(ranked) <= 2 * most
    if few:
        fig, axes = plots._figure(1, 1, 1.3 + 0.27 * max(1, len(ranked)))
        shown = [(axes[0, 0], ranked, "")]
    else:
        fig, axes = plots._figure(1, 3, 1.4 + 0.21 * most, width_ratios=[1, 1, 0.8])
        parts = (ranked[:most], ranked[-most:])
        shown = [*zip(axes[0], parts, (f"The best {most}", f"The worst {most}"), strict=False)]
        edges = np.linspace(0, 1, 21)
        for name, called, shade in zip(("run", "versus"), names, colours, strict=True):
            height = np.histogram(ranked[name], edges)[0]
            axes[0, 2].stairs(height, edges, color=shade, linewidth=1.6, label=plots.clean(called))
        axes[0, 2].set(xlabel="average precision", ylabel="classes", title=f"All {len(ranked)}")
    for ax, part, title in shown:
        _dots(ax, part, "versus", colours[1], 0.17, label=plots.clean(names[1]), fillstyle="none")
        _dots(ax, part, "run", colours[0], -0.17, label=plots.clean(names[0]))
        _named(ax, part, 30 if few else 18)
        ax.set(xlabel="average precision", xlim=(-0.02, 1.02), title=title)
    title = f"Mean average precision {mean['run']:.3f} ({mean['run_low']:.3f} to "
    title += f"{mean['run_high']:.3f}); of {plots.clean(names[1], 30)} {mean['versus']:.3f}"
    plots.headline(fig, title)
    handles, texts = shown[0][0].get_legend_handles_labels()
    fig.legend(handles[::-1], texts[::-1], loc="outside lower left", ncols=2, fontsize=9)
    return fig


@plots.styled
def draw_gains(
    table: pd.DataFrame, names: Sequence[str], colours: Sequence[str], most: int = 10
) -> Figure:
    """Table 2's two columns: the classes that gain most and those that lose most, or gain least.

    Dots are full where p ≤ 0.05; grey rings are the paper's ΔAP of a class of that
    name.
    """
    ranked = table.dropna(subset="gain").sort_values("gain", ascending=False)
    most = min(most, -(-len(ranked) // 2))
    fig, (axes,) = plots._figure(1, 2, 1.9 + 0.25 * max(1, most), sharex=True)
    ends = (ranked[:most], ranked[most:][-most:][::-1])
    for ax, part, head in zip(axes, ends, ("gain most", "lose most, or gain least"), strict=True):
        for n, row in enumerate(part.itertuples()):
            full = row.p <= 0.05
            shade = (plots.PAPER, colours[0], colours[1])[int(np.sign(row.gain))]
            ax.hlines(n, row.gain_low, row.gain_high, color=shade, linewidth=1.4, alpha=0.6)
            ax.plot(row.gain, n, "o", color=shade, markersize=6, mfc=shade if full else "white")
        rows = range(len(part))
        ax.plot(part["paper"], rows, "o", color=plots.PAPER, fillstyle="none", markersize=10)
        ax.axvline(0, color=plots.INK, linewidth=1)
        _named(ax, part, 24)
        ax.set(xlabel="difference of average precision", title=f"Those that {head}")
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    up, down, chance = beyond_chance(table)
    title = f"Of {len(ranked)} classes {up} gain and {down} lose at p ≤ 0.05; by chance alone "
    title += f"{chance:.1f} would"
    plots.headline(fig, title)
    dot = functools.partial(Line2D, [], [], linestyle="", marker="o", color=plots.INK, markersize=6)
    handles = [dot(label="p ≤ 0.05"), dot(label="may be chance", mfc="white")]
    if ranked["paper"].notna().any():
        ring = {"color": plots.PAPER, "fillstyle": "none", "markersize": 10}
        handles.append(dot(label="the paper, slow against single on Sports-1M", **ring))
    fig.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9)
    return fig
