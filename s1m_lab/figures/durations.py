"""How long videos are, and what a threshold on the duration leaves.

    draw_durations(df["duration"])
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
def draw_durations(seconds: pd.Series, published: dict[float, float] | None = None) -> Figure:
    """How long videos are: how many of each duration, and how many are shorter.

    Grey rings are `published` quantiles, {share: seconds}.
    """
    known, published = seconds.dropna().to_numpy(float), published or {}
    if not len(known):
        text = "No duration is known: the source has none, and no clips were made"
        return style.draw_nothing(text)
    fig, ((left, right),) = style.new_figure(1, 2, 2.9, width_ratios=[3, 2])
    shown = np.clip(known, *np.maximum(np.quantile(known, [0.0005, 0.9995]), 0.1))
    bins = int(np.clip(len(known) ** 0.4, 8, 60))
    sns.histplot(shown, bins=bins, log_scale=True, color=style.KINDS["detail"], ax=left)
    sns.ecdfplot(shown, stat="percent", log_scale=True, color=style.INK, ax=right)
    lines = []
    for share in sorted({0.5, 0.9, *published}):
        here = np.quantile(known, share)
        right.plot(here, 100 * share, "o", color=style.INK)
        lines.append(f"{share:.0%}: {here:,.3g} s")
        if share in published:
            right.plot(published[share], 100 * share, "o", markersize=8, **style.RING)
            lines[-1] += f" (published {published[share]:,.3g} s)"
    right.text(0.02, 0.98, "\n".join(lines), va="top", fontsize=8, transform=right.transAxes)
    left.set(xlabel="duration (s, log axis)", ylabel="videos")
    left.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    right.set(xlabel="duration (s, log axis)", ylabel="videos that are shorter (%)")
    for ax in (left, right):
        style.log_seconds(ax)
        ax.grid(axis="y")
    unknown = f"; {seconds.isna().mean():.1%} have no known duration" if seconds.hasnans else ""
    half = style.format_seconds(np.median(known))
    return style.headline(fig, f"Half of the videos last less than {half}{unknown}")


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
        return style.draw_nothing(title)
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
    return style.headline(fig, title)
