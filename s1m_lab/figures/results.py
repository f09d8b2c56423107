"""The paper's Table 1 beside ours, accuracy over cost, and the claims with their verdicts.

    table = results.table1(evidence)
    show_table1(table)                  # HTML
    draw_table1(table)                  # a figure

They take the tables of `s1m_lab.analysis.results` and `claims`. Each fusion has its colour, the
paper's numbers are grey rings, and every text in HTML is escaped. Table 2 is
`s1m_lab.figures.confusion.draw_gains`.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from s1m_lab import paper
from s1m_lab.analysis import comparisons
from s1m_lab.analysis.run_groups import SCORES
from s1m_lab.figures import style
from s1m_lab.figures.style import RING
from s1m_lab.figures.tables import show_table
from s1m_lab.models import split_name

if TYPE_CHECKING:
    from IPython.display import HTML

MARKERS = {"multires": "s", "fovea": "^", "context": "v", "kinetics": "P"}  # by a name's end
# Mark and colour of a verdict; the word stands beside them.
MARKS = {
    comparisons.AGREES: ("✓", "#1B7F4B"),
    comparisons.DISAGREES: ("✗", "#C0392B"),
    comparisons.OPEN: ("?", "#7A7A7A"),
}

CELL = "text-align:left; vertical-align:top; white-space:normal; padding:.35em .7em; min-width:4em"
# Parts of a cell; `format` and `join` escape what they insert.
LINES = Markup("<br>")
NAME = Markup('<span style="color:{}">&#9632;</span> {}')
SMALL = Markup('<span style="font-size:.85em; opacity:.75">{}</span>')
COMMAND = Markup('<br><code style="font-size:.85em; opacity:.75">{}</code>')
PART = Markup('<div style="min-width:24em; padding-left:1em; text-indent:-1em">{}</div>')
VERDICT = Markup(
    '<span style="color:#fff; background:{}; border-radius:.8em; padding:.1em .6em; '
    'white-space:nowrap">{} {}</span>'
)


def show_table1(table: pd.DataFrame) -> "HTML":
    """Table 1 of `results.table1`: in every cell ours in %, its interval, and the paper's."""
    rows: dict[Markup, list[str]] = {}
    for key, row in table.iterrows():
        cells: list[str] = [_score(row, score) for score in SCORES]
        if row["runs"]:
            cells.append(" · ".join(f"{100 * value:.1f}" for value in row["video_hit1_seeds"]))
            weights = [f"{row['parameters'] / 1e6:.2f}"]
            if key in paper.PARAMETERS:
                weights.append(SMALL.format(f"paper {paper.PARAMETERS[key]}"))
            cells += [LINES.join(weights), style.format_seconds(row["seconds"])]
        else:
            commands = map(COMMAND.format, row["command"].splitlines())
            cells += [Markup("no run; make one:") + Markup().join(commands), "", ""]
        rows[NAME.format(style.colour(key), row["name"])] = cells
    scores = [f"{name}, %" for name in ("clip Hit@1", "video Hit@1", "video Hit@5")]
    heads = [*scores, "video Hit@1 by seed, %", "weights, M", "training"]
    return _show_rows(rows, heads)


def _show_rows(rows: dict[Markup, list[str]], heads: list[str]) -> "HTML":
    """A table whose cells and names of rows are `Markup`; `object` keeps them that."""
    index = pd.Index(list(rows), dtype=object)
    return show_table(pd.DataFrame(list(rows.values()), index, heads, dtype=object), CELL)


def _score(row: pd.Series, score: str) -> Markup:
    """A cell in %: ours and its interval, where there is a run, and the paper's."""
    ours, low, high, printed = (
        "–" if np.isnan(row[score + end]) else f"{100 * row[score + end]:.1f}"
        for end in ("", "_low", "_high", "_paper")
    )
    lines = [Markup("<b>{}</b>").format(ours)] if row["runs"] else []
    if ours != "–":
        lines.append(SMALL.format(f"{low} to {high}"))
    return LINES.join([*lines, SMALL.format(f"paper {printed}")])


def show_claims(table: pd.DataFrame, most: int = 4) -> "HTML":
    """The claims of `claims.judge` with their verdicts.

    Of many comparisons it shows the `most` that are closest to a no: those that disagree, then the
    undecided ones, in each group those with the least room first.
    """
    order = (comparisons.DISAGREES, comparisons.OPEN, comparisons.AGREES)
    rows: dict[Markup, list[str]] = {}
    for row in table.itertuples():
        parts = sorted(row.parts, key=lambda p: (order.index(p.verdict), comparisons.margin(p)))
        ours = [PART.format(comparisons.in_words(part)) for part in parts[:most]]
        if len(parts) > most:
            clear = {part.verdict for part in parts[most:]} == {comparisons.AGREES}
            ours.append(PART.format(f"and {len(parts) - most} more{', all clearer' * clear}"))
        if row.why:
            ours.append(SMALL.format(row.why))
        ours += map(COMMAND.format, row.commands)
        mark, shade = MARKS[row.verdict]
        verdict = [VERDICT.format(shade, mark, row.verdict)]
        if row.seeds:
            verdict.append(SMALL.format(row.seeds))
        rows[escape(row.claim)] = [escape(row.paper), Markup().join(ours), LINES.join(verdict)]
    heads = ["the paper", "ours, in points, with 95 % intervals", "verdict"]
    return _show_rows(rows, heads)


@style.styled
def draw_table1(table: pd.DataFrame) -> Figure:
    """Hit@1 of clips and of whole videos, ours beside the paper's, and the gain on one frame."""
    fig, ((left, right),) = style.new_figure(1, 2, 5.2, width_ratios=[3, 2])
    percent = 100 * table.select_dtypes("number")
    percent["gain_paper"] = percent["video_hit1_paper"] - percent["video_hit1_paper"]["single"]
    rows, shades = np.arange(len(table)), np.array([style.colour(key) for key in table.index])
    ours = table["runs"].astype(bool).to_numpy()
    for ax, name, size in ((left, "clip_hit1", 5), (left, "video_hit1", 8), (right, "gain", 8)):
        ax.plot(percent[f"{name}_paper"], rows + 0.17, "o", markersize=size + 1, **RING)
        if ours.any():
            at = rows[ours] - 0.17
            style.draw_intervals(ax, percent[ours], name, at, shades[ours], markersize=size)
    for row in rows[ours]:
        seeds = 100 * np.array(table["video_hit1_seeds"].iloc[row])
        left.plot(seeds, np.full(len(seeds), row - 0.43), "|", color=shades[row])
    style.name_rows(left, table["name"], 34)
    style.name_rows(right, [""] * len(table))
    left.set(xlim=(0, 102), title="From one clip to a whole video")
    left.set_xlabel("Hit@1 of clips (small) and videos (large), %; rings: the paper")
    right.set(xlabel="video Hit@1 (points)", title="Above a single frame")
    right.axvline(0, color=style.INK, linewidth=1)
    return style.headline(fig, summarize(table))


def summarize(table: pd.DataFrame) -> str:
    """One sentence: the best row here, with those that tie with it, and the paper's best."""
    first = max(paper.TABLE_1, key=lambda row: paper.TABLE_1[row][1])
    there = f"{paper.ROWS[first]}, {paper.TABLE_1[first][1]}%"
    best = table[table["first"]]
    if best.empty:
        return f"No row has a run yet; in the paper the best is {there}"
    *others, last = best["name"]
    low, high = (f"{share:.1%}" for share in best["video_hit1"].agg(["min", "max"]))
    share = high if low == high else f"{low[:-1]} to {high}"
    if not others:
        return f"{last} is the best here, {share} of videos; in the paper {there}"
    return f"{', '.join(others)} and {last} tie for the best here, {share}; in the paper {there}"


@style.styled
def draw_costs(table: pd.DataFrame, sums: dict[str, float]) -> Figure:
    """Video Hit@1 over what a network costs: its speed, its weights and its arithmetic.

    `sums` are the multiplications for a clip by row, of `results.multiply_adds`; rows without
    them are left out.
    """
    shown = table[[bool(names) and key in sums for key, names in table["runs"].items()]]
    fig, (axes,) = style.new_figure(1, 3, 3.9, sharey=True)
    costs = shown["clips_per_second"], shown["parameters"] / 1e6, pd.Series(sums, dtype=float) / 1e6
    labels = "training clips/s (faster →)", "weights (M)", "multiplications a clip (M)"
    hit, low, high = (
        100 * shown[f"video_hit1{end}"].astype(float) for end in ("", "_low", "_high")
    )
    for ax, cost, label in zip(axes, costs, labels, strict=True):
        for key in shown.index:
            colour, marker = style.colour(key), MARKERS.get(split_name(key)[1], "o")
            ax.vlines(cost[key], low[key], high[key], color=colour, alpha=0.6)
            ax.plot(cost[key], hit[key], marker, color=colour, markersize=8, label=key)
        own = cost[shown.index]
        ax.set(xlabel=label, xscale="log", xlim=(own.min() / 2.1, own.max() * 2.1))
        style.log_seconds(ax)
        ax.grid()
    axes[0].set_ylabel("video Hit@1 (%)")
    handles, names = axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower left", ncols=4, fontsize=9)
    return style.headline(fig, _trade(shown, sums))


def _trade(shown: pd.DataFrame, sums: dict[str, float]) -> str:
    """The title of the costs: what two resolutions save, where both networks have runs."""
    if not {"single", "single-multires"} <= set(shown.index):
        return "Accuracy over cost"
    both = ["single-multires", "single"]
    several, one = shown.loc[both, "clips_per_second"]
    speed, less = several / one, sums[both[0]] / sums[both[1]]
    return f"Two resolutions take {less:.2f}× the arithmetic and run at {speed:.2f}× the mean speed"
