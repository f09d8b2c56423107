"""How long videos are, what a threshold on the duration leaves, and what that weighs.

    draw_durations(seconds, "Half of the videos are shorter than 4 s")
    draw_remaining(grid, sizes, 300.0)       # below a limit of five minutes
    explore_limits(lambda limit: draw_remaining(grid, sizes, limit), grid.index)

The tables are those of `s1m_lab.analysis.costs`; durations are in seconds.
"""

import math
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from s1m_lab.figures import style, tables

SHADES = ["#444444", "#56B4E9", "#B8A800", "#CC79A7"]  # of what is stored


def explore_limits(draw: Callable[[float], style.Drawing], limits: Sequence[float]):
    """A slider over `limits` (s), at first the last of them, and below it `draw(limit)`."""
    options = [("at most " + ("∞" if math.isinf(s) else f"{s:,.6g} s"), s) for s in limits]
    return tables.explore(draw, options, limits[-1], slider=True)


@style.styled
def draw_durations(
    seconds: np.ndarray, title: str, published: dict[float, float] | None = None
) -> Figure:
    """How long videos are: how many of each duration, and how many are shorter.

    `seconds` are without nan. Grey rings are `published` quantiles, {share: seconds}.
    """
    if not len(seconds):
        return style.nothing(title)
    fig, ((left, right),) = style.new_figure(1, 2, 2.9, width_ratios=[3, 2])
    published, ends = published or {}, np.maximum(np.quantile(seconds, [0.0005, 0.9995]), 0.1)
    shown = np.clip(seconds, *ends * [0.99, 1.01])
    sns.histplot(shown, bins=60, log_scale=True, color=style.KINDS["detail"], alpha=1, linewidth=0,
                 ax=left)  # fmt: skip
    sns.ecdfplot(shown, stat="percent", log_scale=True, color=style.INK, ax=right)
    quantiles = {share: np.quantile(seconds, share) for share in sorted({0.5, 0.9, *published})}
    lines = []
    for dots, look in ((quantiles, {"color": style.INK}), (published, style.RING)):
        right.plot(list(dots.values()), [100 * share for share in dots], "o", markersize=8, **look)
    for share, here in quantiles.items():
        beside = f" (published {published[share]:,.3g} s)" if share in published else ""
        lines.append(f"{share:.0%}: {here:,.3g} s{beside}")
    right.annotate("\n".join(lines), (0.02, 0.98), va="top", fontsize=8,
                   xycoords="axes fraction")  # fmt: skip
    left.set(xlabel="duration (s, log axis)", ylabel="videos", title=style.clean(title, 62))
    left.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    right.set(xlabel="duration (s, log axis)", ylabel="videos that are shorter (%)")
    right.set_title("Dots here, rings published" if published else "Quantiles")
    for ax in (left, right):
        style.log_seconds(ax)
        ax.grid(axis="y")
    return fig


@style.styled
def draw_remaining(
    table: pd.DataFrame, sizes: dict[str, np.ndarray], limit: float = math.inf, title: str = ""
) -> Figure:
    """What is left when videos longer than a limit go, and where `limit` (s) lies.

    `table` is that of `costs.remaining`. `sizes` are bytes by what is stored, rows × 3 (low, mid,
    high), each drawn with its range.
    """
    table = table[np.isfinite(table.index)]
    if not table["hours"].notna().any():
        return style.nothing(title)
    fig, ((left, middle, right),) = style.new_figure(1, 3, 3.1)
    x, hours = table.index, table["hours"] / max(table["hours"].max(), 1e-9)
    left.plot(x, 100 * table["share"], color=style.INK, label="videos")
    left.plot(x, 100 * hours, color=style.INK, linestyle="--", label="hours")
    left.set(ylabel="% kept", ylim=(0, 102), title="Videos and hours")
    for shade, (name, size) in zip(SHADES, sizes.items(), strict=False):
        low, mid, high = np.maximum(size[: len(table)], 1).T
        middle.fill_between(x, low, high, color=shade, alpha=0.25, linewidth=0)
        middle.plot(x, mid, color=shade, label=style.clean(name, 30))
    middle.set(yscale="log", title="Bytes, with their range")
    middle.yaxis.set_major_formatter(mpl.ticker.EngFormatter("B", places=0))
    middle.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    right.plot(x, table["thin"], color=style.INK)
    right.set(title="Thin classes", ylim=(0, max(1, table["thin"].max()) * 1.05))
    for ax in (left, middle, right):
        ax.set_xlabel("longest video kept (s)")
        ax.grid()
        style.log_seconds(ax)
        if math.isfinite(limit):
            ax.axvline(limit, color=style.PAPER, linewidth=1.2)
    left.legend(fontsize=9)
    fig.legend(*middle.get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=9)
    style.headline(fig, title)
    return fig


@style.styled
def draw_sizes(rows: pd.DataFrame, title: str, mark: float, named: str) -> Figure:
    """Bytes with their range, one estimate a row, beside the `mark` (bytes) that is `named`.

    `rows` has columns `reading`, `size`, `low`, `mid`, `high`.
    """
    fig, ((ax,),) = style.new_figure(1, 1, 0.9 + 0.24 * len(rows))
    open_ = np.where(rows["high"] > mark, style.PAPER, style.INK)
    shades = np.where(rows["low"] > mark, "#CC79A7", open_)
    ax.set_xscale("log")
    ends = rows.rename(columns={"low": "mid_low", "high": "mid_high"})
    style.draw_intervals(ax, ends, "mid", colour=shades)
    ax.axvline(mark, color=style.INK, linewidth=1, linestyle=":")
    ax.annotate(style.clean(named), (mark, -0.8), ha="center", va="bottom", fontsize=9,
                annotation_clip=False)  # fmt: skip
    style.name_rows(ax, [f"{r.reading}, {r.size}" for r in rows.itertuples()], 40)
    ax.set(ylim=(len(rows) - 0.5, -0.8), xlabel="bytes (log axis)")
    ax.set_title(style.clean(title, 100), pad=16)
    ax.xaxis.set_major_formatter(mpl.ticker.EngFormatter("B", places=0))
    return fig
