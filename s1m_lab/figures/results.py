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
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from s1m_lab import paper
from s1m_lab.analysis import comparisons
from s1m_lab.analysis.run_groups import SCORES
from s1m_lab.figures import style
from s1m_lab.figures.style import RING
from s1m_lab.figures.tables import as_html, template

if TYPE_CHECKING:
    from IPython.display import HTML

MARKERS = {"multires": "s", "fovea": "^", "context": "v"}
# Mark and colour of a verdict; the word stands beside them.
MARKS = {
    comparisons.AGREES: ("✓", "#1B7F4B"),
    comparisons.DISAGREES: ("✗", "#C0392B"),
    comparisons.OPEN: ("?", "#7A7A7A"),
}

# ---------------------------------------------------------------------------------------- tables

TABLE_1 = template("""\
{% set cell = "text-align:left; vertical-align:top; white-space:normal; padding:.35em .7em" %}
{% set number = "text-align:right; vertical-align:top; white-space:nowrap; padding:.35em .7em" %}
{% set small = "font-size:.85em; opacity:.75" %}
<div class="tex2jax_ignore mathjax_ignore"><table><thead><tr>
{% for head in ["", "clip Hit@1, %", "video Hit@1, %", "video Hit@5, %", "video Hit@1 by seed, %",
                "weights, M", "training"] %}
<th style="{{ cell }}">{{ head }}</th>
{% endfor %}
</tr></thead><tbody>
{% for row in rows %}
<tr>
<td style="{{ cell }}"><span style="color:{{ row.colour }}">&#9632;</span> {{ row.name }}</td>
{% for score in row.scores %}
<td style="{{ number }}">
{% if score.ours %}<b>{{ score.ours }}</b><br>{% endif %}
{% if score.low %}
<span style="{{ small }}">{{ score.low }} to {{ score.high }}</span><br>
{% endif %}
<span style="{{ small }}">paper {{ score.paper }}</span></td>
{% endfor %}
{% if row.runs %}
<td style="{{ number }}">{{ row.seeds }}</td>
<td style="{{ number }}">{{ row.weights }}
{% if row.printed %}<br><span style="{{ small }}">paper {{ row.printed }}</span>{% endif %}</td>
<td style="{{ number }}">{{ row.seconds }}</td>
{% else %}
<td style="{{ cell }}" colspan="3">no run; make one:
{% for line in row.commands %}<br><code style="{{ small }}">{{ line }}</code>{% endfor %}</td>
{% endif %}
</tr>
{% endfor %}
</tbody></table></div>
""")


def show_table1(table: pd.DataFrame) -> "HTML":
    """Table 1 of `results.table1`: in every cell ours in %, its interval, and the paper's."""
    rows = []
    for key, row in table.iterrows():
        about = {"name": row["name"], "colour": style.colour(key), "runs": row["runs"]}
        about["scores"] = [_score(row, score) for score in SCORES]
        if row["runs"]:
            seeds = " · ".join(f"{100 * value:.1f}" for value in row["video_hit1_seeds"])
            about |= {"seeds": seeds, "weights": f"{row['parameters'] / 1e6:.2f}"}
            about |= {"seconds": style.format_seconds(row["seconds"])}
            about |= {"printed": paper.PARAMETERS.get(key)}
        else:
            about["commands"] = row["command"].split("\n")
        rows.append(about)
    return as_html(TABLE_1.render(rows=rows))


def _score(row: pd.Series, score: str) -> dict[str, str]:
    """A cell in %: `ours` with `low` and `high`, where there is a run, and the `paper`'s."""

    def percent(name: str) -> str:
        return "–" if np.isnan(row[name]) else f"{100 * row[name]:.1f}"

    cell = {"paper": percent(f"{score}_paper")}
    if row["runs"]:
        cell["ours"] = percent(score)
    if row["runs"] and not np.isnan(row[score]):
        cell |= {end: percent(f"{score}_{end}") for end in ("low", "high")}
    return cell


CLAIMS = template("""\
{% set cell = "text-align:left; vertical-align:top; white-space:normal; padding:.35em .7em" %}
{% set small = "font-size:.85em; opacity:.75" %}
<div class="tex2jax_ignore mathjax_ignore"><table><thead><tr>
{% for head in ["claim", "the paper", "ours, in points, with 95 % intervals", "verdict"] %}
<th style="{{ cell }}">{{ head }}</th>
{% endfor %}
</tr></thead><tbody>
{% for row in rows %}
<tr>
<td style="{{ cell }}; min-width:7em">{{ row.claim }}</td>
<td style="{{ cell }}; min-width:7em">{{ row.paper }}</td>
<td style="{{ cell }}; min-width:24em">
{% for part in row.parts %}
<div style="padding-left:1em; text-indent:-1em">{{ part }}</div>
{% endfor %}
{% if row.why %}<div><i style="{{ small }}">{{ row.why }}</i></div>{% endif %}
{% for line in row.commands %}<code style="{{ small }}">{{ line }}</code><br>{% endfor %}</td>
<td style="{{ cell }}"><span style="color:#fff; background:{{ row.shade }}; border-radius:.8em;
 padding:.1em .6em; white-space:nowrap">{{ row.mark }} {{ row.verdict }}</span>
{% if row.seeds %}<br><span style="{{ small }}">{{ row.seeds }}</span>{% endif %}</td>
</tr>
{% endfor %}
</tbody></table></div>
""")


def show_claims(table: pd.DataFrame, most: int = 4) -> "HTML":
    """The claims of `claims.judge` with their verdicts.

    Of many comparisons it shows the `most` that are closest to a no: those that disagree, then the
    undecided ones, in each group those with the least room first.
    """
    order = (comparisons.DISAGREES, comparisons.OPEN, comparisons.AGREES)
    rows = []
    for row in table.itertuples():
        parts = sorted(row.parts, key=lambda p: (order.index(p.verdict), comparisons.margin(p)))
        texts = [comparisons.in_words(part) for part in parts[:most]]
        if len(parts) > most:
            clear = {part.verdict for part in parts[most:]} == {comparisons.AGREES}
            texts.append(f"and {len(parts) - most} more{', all clearer' * clear}")
        mark, shade = MARKS[row.verdict]
        rows.append(row._asdict() | {"parts": texts, "mark": mark, "shade": shade})
    return as_html(CLAIMS.render(rows=rows))


# --------------------------------------------------------------------------------------- figures


@style.styled
def draw_table1(table: pd.DataFrame) -> Figure:
    """Hit@1 of clips and of whole videos, ours beside the paper's, and the gain on one frame."""
    fig, ((left, right),) = style.new_figure(1, 2, 5.2, width_ratios=[3, 2])
    percent = 100 * table.select_dtypes("number")
    rows, shades = np.arange(len(table)), np.array([style.colour(key) for key in table.index])
    ours = table["runs"].astype(bool).to_numpy()
    for n in rows:
        for y, end, shade in ((n - 0.17, "", shades[n]), (n + 0.17, "_paper", style.FAINT)):
            both = percent.iloc[n][[f"clip_hit1{end}", f"video_hit1{end}"]]
            left.plot(both, [y, y], color=shade, alpha=1 if end else 0.3, linewidth=2, zorder=1)
    for score, size, ring in (("clip_hit1", 5, 6), ("video_hit1", 8, 9)):
        left.plot(percent[f"{score}_paper"], rows + 0.17, "o", markersize=ring, **RING)
        _ours(left, percent[ours], score, rows[ours] - 0.17, shades[ours], size)
        for n in rows[ours]:
            seeds = 100 * np.array(table[f"{score}_seeds"].iloc[n])
            if len(seeds) > 1:
                left.plot(seeds, [n - 0.43] * len(seeds), "|", color=shades[n], markersize=5)
    for n in rows[~ours]:
        left.annotate("no run", (0.5, n - 0.17), xycoords=("axes fraction", "data"), ha="center",
                      va="center", fontsize=9, color=style.PAPER)  # fmt: skip
    _ours(right, percent[ours], "gain", rows[ours] - 0.17, shades[ours], 8)
    published = percent["video_hit1_paper"]
    right.plot(published - published["single"], rows + 0.17, "o", markersize=9, **RING)
    style.name_rows(left, table["name"], 34)
    style.name_rows(right, [""] * len(table))
    left.set(xlim=(0, 102), xlabel="Hit@1 (%)", title="From one clip to a whole video")
    right.set(xlabel="video Hit@1 (points)", title="Above a single frame")
    right.axvline(0, color=style.INK, linewidth=1)
    handles = [
        style.legend_dot("clips, 95 % interval", markersize=5, linestyle="-"),
        style.legend_dot("videos, 95 % interval", markersize=8, linestyle="-"),
        style.legend_dot("each seed", marker="|"),
        style.legend_dot("the paper, on Sports-1M (487 classes)", markersize=9, **RING),
    ]
    fig.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=9)
    style.headline(fig, summarize(table))
    return fig


def _ours(
    ax: Axes, rows: pd.DataFrame, name: str, y: np.ndarray, shades: np.ndarray, size: int
) -> None:
    if len(rows):
        style.draw_intervals(ax, rows, name, y, shades, markersize=size)


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
            marker = MARKERS.get(key.partition("-")[2], "o")
            ax.vlines(cost[key], low[key], high[key], color=style.colour(key), linewidth=1.4,
                      alpha=0.6)  # fmt: skip
            ax.plot(cost[key], hit[key], marker, color=style.colour(key), markersize=8.5,
                    mec="white", label=key, linestyle="")  # fmt: skip
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
    several, one = shown.loc[both, "clips_per_second"]
    speed, less = several / one, sums[both[0]] / sums[both[1]]
    return f"Two resolutions take {less:.2f}× the arithmetic and run at {speed:.2f}× the mean speed"
