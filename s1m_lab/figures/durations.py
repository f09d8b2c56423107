"""TODO figures/durations."""

import math
from collections.abc import Callable, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from s1m_lab.figures import style


def slider(draw: Callable, limits: Sequence[float]):
    """A widget: a slider over `limits` (s), and below it the `Drawing` of `draw(limit)`. Without a
    kernel nothing moves it, so what it shows must stand beside it."""
    from ipywidgets import Image, Layout, SelectionSlider, VBox

    options = [("all" if math.isinf(s) else f"{s:,.6g} s", s) for s in limits]
    look = {"continuous_update": False, "layout": Layout(width="80%"), "description": "at most"}
    chosen = SelectionSlider(options=options, value=limits[-1], **look)
    # a picture and no Output: at `interactive` papermill was once seen waiting for ever
    first = draw(limits[-1]).image()
    picture = Image(value=first.data, format="png", width=first.width)
    chosen.observe(lambda change: setattr(picture, "value", draw(change["new"]).png()), "value")
    return VBox([chosen, picture])


@style.styled
def durations(
    seconds: np.ndarray, title: str, published: dict[float, float] | None = None
) -> Figure:
    """How long videos are: a histogram on a log axis and, as dots, quantiles.

    `seconds` are without nan; grey rings are the quantiles `published`, {share: seconds}.
    """
    if not len(seconds):
        return style.nothing(title)
    fig, ((left, right),) = style.new_figure(1, 2, 2.9, width_ratios=[3, 2])
    published, ends = published or {}, np.maximum(np.quantile(seconds, [0.0005, 0.9995]), 0.1)
    ends *= [0.99, 1.01]
    left.hist(np.clip(seconds, *ends), np.geomspace(*ends, 61), color=style.KINDS["detail"])
    shares = sorted({0.5, 0.8, 0.85, 0.9, 0.95, *published})
    for row, share in enumerate(shares):
        own, theirs = np.quantile(seconds, share), published.get(share, math.nan)
        right.plot([own, theirs], [row, row], color=style.FAINT, linewidth=2, zorder=1)
        right.plot(own, row, "o", color=style.INK, markersize=7)
        right.plot(theirs, row, "o", color=style.PAPER, fillstyle="none", markersize=9)
        text = f"{own:,.3g} s" + ("" if math.isnan(theirs) else f"   {theirs:,.3g} s")
        right.annotate(text, (1.05, row), va="center", fontsize=9,
                       xycoords=("axes fraction", "data"))  # fmt: skip
    right.set_yticks(range(len(shares)), [f"{share:.0%}" for share in shares])
    left.set(xlabel="duration (s, log axis)", ylabel="videos", title=style.clean(title, 62))
    left.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    style.log_seconds(left)
    left.grid(axis="y")
    right.set(xlabel="longest of them (s)", ylabel="the shortest …", xlim=(0, None))
    right.set_title("Dots here, rings published" if published else "Quantiles")
    right.grid(axis="x")
    return fig


@style.styled
def remaining(
    table: pd.DataFrame, sizes: dict[str, np.ndarray], limit: float = math.inf, title: str = ""
) -> Figure:
    """What is left when videos longer than a limit go, and where `limit` (s) stands in it.

    `table` is that of `costs.remaining`; `sizes` are bytes, rows × 3 (low, mid, high), by what is
    stored, each drawn with its range.
    """
    table = table[np.isfinite(table.index)]
    if not table["hours"].notna().any():
        return style.nothing(title)
    fig, ((left, middle, right),) = style.new_figure(1, 3, 3.1)
    x, hours = table.index, table["hours"] / max(table["hours"].max(), 1e-9)
    left.plot(x, 100 * table["share"], color=style.INK, label="videos")
    left.plot(x, 100 * hours, color=style.INK, linestyle="--", label="hours")
    left.set(ylabel="% kept", ylim=(0, 102), title="Videos and hours")
    shades = ["#444444", "#56B4E9", "#B8A800", "#CC79A7"]
    for shade, (name, size) in zip(shades, sizes.items(), strict=False):
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
def ranges(rows: pd.DataFrame, title: str, mark: float, named: str) -> Figure:
    """Bytes with their range, a row each, beside the `mark` (bytes), which is `named`.

    `rows` has columns `reading`, `size`, `low`, `mid`, `high`.
    """
    fig, ((ax,),) = style.new_figure(1, 1, 0.9 + 0.24 * len(rows))
    places = np.arange(len(rows))
    shades = np.where(
        rows["low"] > mark, "#CC79A7", np.where(rows["high"] > mark, style.PAPER, style.INK)
    )
    ax.hlines(places, rows["low"], rows["high"] * 1.001, color=shades, linewidth=4, alpha=0.5)
    ax.scatter(rows["mid"], places, color=shades, s=36, zorder=3)
    ax.axvline(mark, color=style.INK, linewidth=1, linestyle=":")
    ax.annotate(
        style.clean(named),
        (mark, -0.8),
        ha="center",
        va="bottom",
        fontsize=9,
        annotation_clip=False,
    )
    ax.set_yticks(places, [style.clean(f"{r.reading}, {r.size}", 40) for r in rows.itertuples()])
    ax.set(xscale="log", ylim=(len(rows) - 0.5, -0.8), xlabel="bytes (log axis)")
    ax.set_title(style.clean(title, 100), pad=16)
    ax.xaxis.set_major_formatter(mpl.ticker.EngFormatter("B", places=0))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    return fig
