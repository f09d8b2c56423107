"""What results look like: Table 1 as a table and a figure, costs, and claims with their verdicts.

Tables are HTML whose every text is escaped, legible in light and dark; figures are in the lab's
style, a colour a fusion, the paper's numbers grey rings. They take the tables of `results` and
`claims`.
"""

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from s1m_lab import paper
from s1m_lab.analysis import comparisons
from s1m_lab.analysis.confusion import beyond_chance
from s1m_lab.analysis.run_groups import SCORES
from s1m_lab.figures import catalog, style

COLOURS = {"histograms": style.HISTOGRAMS, "average": style.INK}  # the rows that have no fusion
COMPARED = style.COLOURS["slow"], style.COLOURS["single"]
MARKERS = {"multires": "s", "fovea": "^", "context": "v"}
# Mark and colour of a verdict; the word stands beside them.
MARKS = {
    comparisons.AGREES: ("✓", "#1B7F4B"),
    comparisons.DISAGREES: ("✗", "#C0392B"),
    comparisons.OPEN: ("?", "#7A7A7A"),
}
RING = {"color": style.PAPER, "fillstyle": "none", "markeredgewidth": 1.5}  # of the paper
SMALL = "font-size:.85em; opacity:.75"
CELL = "text-align:left; vertical-align:top; white-space:normal; padding:.35em .7em"
NUMBER = "text-align:right; vertical-align:top; white-space:nowrap; padding:.35em .7em"


def colour(row: str) -> str:
    return COLOURS.get(row) or style.colour(row)


def _marker(row: str) -> str:
    return MARKERS.get(row.partition("-")[2], "D" if row in COLOURS else "o")


# ---------------------------------------------------------------------------------------- tables


def _table(head: Sequence[str], rows: Sequence[str]):
    from IPython.display import HTML

    cells = "".join(f'<th style="{CELL}">{html.escape(text)}</th>' for text in head)
    text = f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return HTML(f'<div class="tex2jax_ignore mathjax_ignore">{text}</div>')


def _code(commands: Sequence[str]) -> str:
    lines = "<br>".join(f"<code>{html.escape(line)}</code>" for line in commands)
    return f'<span style="{SMALL}">{lines}</span>'


def show_table1(table: pd.DataFrame):
    """Table 1 of `results.table1`: in every cell ours in %, its interval, and the paper's."""
    head = ["", "clip Hit@1, %", "video Hit@1, %", "video Hit@5, %"]
    head += ["video Hit@1 by seed, %", "weights, M", "training"]
    lines = []
    for key, row in table.iterrows():
        first = f'<span style="color:{colour(key)}">&#9632;</span> {html.escape(row["name"])}'
        cells = [f'<td style="{CELL}">{first}</td>']
        if row["runs"]:
            cells += [f'<td style="{NUMBER}">{_score(row, score)}</td>' for score in SCORES]
            each = " · ".join(f"{100 * value:.1f}" for value in row["video_hit1_seeds"])
            texts = html.escape(each), _weights(row), html.escape(catalog.clock(row["seconds"]))
            cells += [f'<td style="{NUMBER}">{text}</td>' for text in texts]
        else:
            cells += [f'<td style="{NUMBER}">{_theirs(row, score)}</td>' for score in SCORES]
            code = _code(row["command"].split("\n"))
            cells.append(f'<td style="{CELL}" colspan="3">no run; make one:<br>{code}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return _table(head, lines)


def _weights(row: pd.Series) -> str:
    own, printed = f"{row['parameters'] / 1e6:.2f}", paper.PARAMETERS.get(row.name)
    return own + (f'<br><span style="{SMALL}">paper {printed:.1f}</span>' if printed else "")


def _theirs(row: pd.Series, score: str) -> str:
    printed = row[f"{score}_paper"]
    text = "–" if np.isnan(printed) else f"{100 * printed:.1f}"
    return f'<span style="{SMALL}">paper {text}</span>'


def _score(row: pd.Series, score: str) -> str:
    value, low, high = (100 * row[f"{score}{end}"] for end in ("", "_low", "_high"))
    if np.isnan(value):
        return f"–<br>{_theirs(row, score)}"
    interval = f'<span style="{SMALL}">{low:.1f} to {high:.1f}</span>'
    return f"<b>{value:.1f}</b><br>{interval}<br>{_theirs(row, score)}"


def show_claims(table: pd.DataFrame, most: int = 4):
    """The claims of `claims.judge`; of many comparisons the `most` that are closest to a no: those
    that refute, then those that cannot be told, in each the ones with the least room first."""
    order = (comparisons.DISAGREES, comparisons.OPEN, comparisons.AGREES)
    lines = []
    for row in table.itertuples():
        mark, shade = MARKS[row.verdict]
        pill = f"color:#fff; background:{shade}; border-radius:.8em; padding:.1em .6em"
        verdict = f'<span style="{pill}; white-space:nowrap">{mark} {row.verdict}</span>'
        if row.seeds:
            verdict += f'<br><span style="{SMALL}">{html.escape(row.seeds)}</span>'
        parts = sorted(row.parts, key=lambda p: (order.index(p.verdict), comparisons.margin(p)))
        told = [html.escape(comparisons.in_words(part)) for part in parts[:most]]
        told = [f'<div style="padding-left:1em; text-indent:-1em">{line}</div>' for line in told]
        if len(parts) > most:
            clear = {part.verdict for part in parts[most:]} == {comparisons.AGREES}
            told.append(f"<div>and {len(parts) - most} more{', all clearer' * clear}</div>")
        if row.why:
            told.append(f'<i style="{SMALL}">{html.escape(row.why)}</i>')
        if row.commands:
            told.append(_code(row.commands))
        cells = html.escape(row.claim), html.escape(row.paper), "".join(told), verdict
        wide = ["; min-width:7em"] * 2 + ["; min-width:24em", ""]
        cells = [f'<td style="{CELL}{w}">{c}</td>' for w, c in zip(wide, cells, strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return _table(["claim", "the paper", "ours, in points, with 95 % intervals", "verdict"], lines)


# --------------------------------------------------------------------------------------- figures


@style.styled
def draw_table1(table: pd.DataFrame) -> Figure:
    """Ours beside the paper's: from clip to video Hit@1, and video Hit@1 less a single frame's."""
    fig, ((left, right),) = style.new_figure(1, 2, 5.2, sharey=True, width_ratios=[3, 2])
    theirs = table["video_hit1_paper"]
    for y, (key, row) in enumerate(table.iterrows()):
        shade = colour(key)
        for score, ring in (("clip_hit1", 6), ("video_hit1", 9)):
            left.plot(100 * row[f"{score}_paper"], y + 0.17, "o", markersize=ring, **RING)
        printed = 100 * row[["clip_hit1_paper", "video_hit1_paper"]].astype(float)
        left.plot(printed, [y + 0.17] * 2, color=style.FAINT, linewidth=2, zorder=1)
        more = 100 * (theirs[key] - theirs["single"])
        right.plot(more, y + 0.17, "o", markersize=9, **RING)
        if not row["runs"]:
            left.annotate("no run", (0.5, y - 0.17), xycoords=("axes fraction", "data"),
                          ha="center", va="center", fontsize=9, color=style.PAPER)  # fmt: skip
            continue
        _dumbbell(left, row, y - 0.17, shade)
        right.hlines(y - 0.17, 100 * row["gain_low"], 100 * row["gain_high"], color=shade,
                     linewidth=1.6)  # fmt: skip
        right.plot(100 * row["gain"], y - 0.17, "o", color=shade, markersize=8)
    names = [style.clean(name, 34) for name in table["name"]]
    left.set_yticks(range(len(table)), names)
    left.set(ylim=(len(table) - 0.4, -0.6), xlim=(0, 102), xlabel="Hit@1 (%)")
    left.set_title("From one clip to a whole video")
    right.set(xlabel="video Hit@1 (points)", title="Above a single frame")
    right.axvline(0, color=style.INK, linewidth=1)
    for ax in (left, right):
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    handles = [
        _key("clips, 95 % interval", "o", 5, linestyle="-"),
        _key("videos, 95 % interval", "o", 8, linestyle="-"),
        _key("each seed", "|", 6),
        _key("the paper, on Sports-1M (487 classes)", "o", 9, **RING),
    ]
    fig.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=9)
    style.headline(fig, finding(table))
    return fig


def _key(label: str, marker: str, size: int, **look) -> Line2D:
    """An entry of a legend."""
    look = {"color": style.INK, "linestyle": ""} | look
    return Line2D([], [], marker=marker, markersize=size, label=label, **look)


def finding(table: pd.DataFrame) -> str:
    """In a line, the best row here, or those that cannot be told from it, and the best there."""
    first = max(paper.TABLE_1, key=lambda row: paper.TABLE_1[row][1])
    there = f"{paper.ROWS[first]}, {paper.TABLE_1[first][1]}%"
    best = table[table["first"]]
    if best.empty:
        return f"No row has a run yet; in the paper the best is {there}"
    *others, last = best["name"]
    low, high = (f"{share:.1%}" for share in best["video_hit1"].agg(["min", "max"]))
    share = high if low == high else f"{low[:-1]} to {high}"
    if not others:
        return f"{last} tells most videos here, {share}; in the paper {there}"
    return f"{', '.join(others)} and {last} tie for most videos here, {share}; in the paper {there}"


def _dumbbell(ax, row: pd.Series, y: float, shade: str) -> None:
    """A small dot for clips, a large one for videos, their intervals and seeds."""
    ax.plot(100 * row[["clip_hit1", "video_hit1"]].astype(float), [y, y], color=shade, alpha=0.3,
            linewidth=2, zorder=1)  # fmt: skip
    for score, size in (("clip_hit1", 5), ("video_hit1", 8)):
        ax.hlines(y, 100 * row[f"{score}_low"], 100 * row[f"{score}_high"], color=shade,
                  linewidth=1.6)  # fmt: skip
        ax.plot(100 * row[score], y, "o", color=shade, markersize=size)
        if len(row[f"{score}_seeds"]) > 1:
            seeds = 100 * np.array(row[f"{score}_seeds"])
            ax.plot(seeds, np.full(len(seeds), y - 0.26), "|", color=shade, markersize=5)


@style.styled
def draw_table2(gains: pd.DataFrame, mean: pd.Series, most: int = 10) -> Figure:
    """The classes at either end of Table 2, ours with 95 % intervals, and the paper's own.

    As in 05, dots are full where p ≤ 0.05, in the colour of the network that is better.
    """
    ranked = gains.sort_values("gain", ascending=False, kind="stable")
    ends = ranked if len(ranked) <= 2 * most else pd.concat([ranked[:most], ranked[-most:]])
    fig, (axes,) = style.new_figure(1, 2, 1.6 + 0.2 * max(len(ends), 2 * most), sharex=True)
    shades = np.where(ends["gain"] >= 0, *COMPARED)
    fills = np.where(ends["p"] <= 0.05, shades, "white")
    axes[0].hlines(range(len(ends)), ends["gain_low"], ends["gain_high"], color=shades, alpha=0.6)
    axes[0].scatter(ends["gain"], range(len(ends)), c=fills, edgecolors=shades, s=36, zorder=3)
    axes[0].axvline(mean["gain"], color=style.INK, linestyle=":", linewidth=1.2)
    axes[0].annotate(f"mean {mean['gain']:+.3f}", (mean["gain"], 1), (4, 0), va="bottom",
                     xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=9,
                     annotation_clip=False)  # fmt: skip
    printed = sorted(paper.TABLE_2.items(), key=lambda each: -each[1])
    gained = [gain for _, gain in printed]
    axes[1].plot(gained, range(len(printed)), "o", markersize=8, **RING)
    titles = "Here", "The paper, on Sports-1M"
    for ax, names, title in zip(axes, (ends["class"], dict(printed)), titles, strict=True):
        ax.set_yticks(range(len(names)), [style.clean(name, 26) for name in names], fontsize=9)
        ax.set(ylim=(max(len(ends), 2 * most) - 0.4, -0.6), title=title)
        ax.set_xlabel("AP of slow fusion less a single frame's")
        ax.axvline(0, color=style.INK, linewidth=1)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    up, down, chance = beyond_chance(gains)
    handles = [_key("p ≤ 0.05", "o", 6), _key("may be chance", "o", 6, mfc="white")]
    handles.append(_key("the paper", "o", 8, **RING))
    fig.legend(handles=handles, loc="outside lower left", ncols=3, fontsize=9)
    title = f"Of {len(ranked)} classes {up} gain and {down} lose (p ≤ 0.05)"
    title += f"; by chance alone {chance:.1f} would"
    style.headline(fig, title)
    return fig


@style.styled
def draw_costs(table: pd.DataFrame, sums: dict[str, float]) -> Figure:
    """Video Hit@1 over what a network costs: its speed, its weights and its arithmetic.

    `sums` are the multiplications a clip of each row, of `results.multiply_adds`;
    rows without them are left out.
    """
    shown = table[[bool(names) and key in sums for key, names in table["runs"].items()]]
    fig, (axes,) = style.new_figure(1, 3, 3.9, sharey=True)
    costs = shown["clips_per_second"], shown["parameters"] / 1e6, pd.Series(sums, dtype=float) / 1e6
    labels = "training clips/s (faster →)", "weights (M)", "multiplications a clip (M)"
    for ax, cost, label in zip(axes, costs, labels, strict=True):
        for key, row in shown.iterrows():
            low, value, high = (100 * row[f"video_hit1{end}"] for end in ("_low", "", "_high"))
            ax.vlines(cost[key], low, high, color=colour(key), linewidth=1.4, alpha=0.6)
            ax.plot(cost[key], value, _marker(key), color=colour(key), markersize=8.5, mec="white",
                    label=key, linestyle="")  # fmt: skip
        ax.set(xlabel=label, ylabel="video Hit@1 (%)" if ax is axes[0] else "")
        if len(shown):
            own = cost[shown.index]
            ax.set(xscale="log", xlim=(own.min() / 2.1, own.max() * 2.1))
            style.log_seconds(ax)
        ax.grid()
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower left", ncols=4, fontsize=9)
    style.headline(fig, _trade(shown, sums))
    return fig


def _trade(shown: pd.DataFrame, sums: dict[str, float]) -> str:
    """The title of the costs: what two resolutions save, where both networks have runs."""
    if not {"single", "single-multires"} <= set(shown.index):
        return "Accuracy over cost"
    both = ["single-multires", "single"]
    speed = np.divide(*shown.loc[both, "clips_per_second"])
    less = np.divide(*(sums[key] for key in both))
    return f"Two resolutions take {less:.2f}× the arithmetic and run at {speed:.2f}× the mean speed"
