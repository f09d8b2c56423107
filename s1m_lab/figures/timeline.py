"""What was seen of a film over time: who led when, and how far two runs are apart.

timeline.draw(seen)                                   # of `overlay.draw`
timeline.leads(seen.table)                            # the same as a table
timeline.apart(seen)                                  # 0…1 at each time, of two runs
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from s1m_lab.figures import style
from s1m_lab.figures.overlay import Overlay


def leads(table: pd.DataFrame) -> pd.DataFrame:
    """Which class led when: run, label, start, end (s); a row for each time the leader changes."""
    rows = []
    for run, own in table.groupby("run", sort=False):
        label = own["label1"].to_numpy()
        first = np.flatnonzero(np.append(True, label[1:] != label[:-1]))
        start = own["seconds"].to_numpy()[first]
        end = np.append(start[1:], own["seconds"].iloc[-1])
        rows += [(run, *row) for row in zip(label[first], start, end, strict=True)]
    return pd.DataFrame(rows, columns=["run", "label", "start", "end"])


def verdict(seen: Overlay, run: str) -> str:
    """What a run made of the film, in a few words."""
    own = seen.table[seen.table["run"] == run]
    if not len(own):
        return "the film is too short for it to say anything"
    changes = len(leads(own)) - 1
    mind = {0: "never changes its mind", 1: "changes its mind once"}
    mind = mind.get(changes, f"changes its mind {changes} times")
    if seen.truth:
        return f"{mind}, right {own['label1'].isin(seen.truth).mean():.0%} of the time"
    most = own["label1"].value_counts().iloc[0] / len(own)
    return f"{mind}, one class leads {most:.0%} of the time"


@style.styled
def draw_timeline(seen: Overlay) -> Figure:
    """The smoothed probabilities of the classes that ever lead, a row a run.

    The leader is drawn in the run's colour, a line and its name mark where it changes; a true class
    is black where it does not lead. A line ends where its class is not among the five.
    """
    fig, axes = style.new_figure(len(seen.models), 1, 0.5 + 1.6 * len(seen.models), sharex=True)
    for ax, (run, model) in zip(axes[:, 0], seen.models.items(), strict=True):
        own, spans = (t[t["run"] == run] for t in (seen.table, leads(seen.table)))
        seconds = own["seconds"].to_numpy()
        for label in dict.fromkeys([*seen.truth, *spans["label"]]):
            true, leading = label in seen.truth, own["label1"].to_numpy() == label
            column = f"true{seen.truth.index(label) + 1}" if true else ""
            share = own[column].to_numpy() if true else _share(own, label)
            ax.plot(
                seconds, share, color=style.INK if true else style.PAPER, lw=1.3 if true else 0.8
            )
            ahead = leading | np.append(False, leading[:-1])  # up to where it is overtaken
            ax.plot(seconds, np.where(ahead, share, np.nan), color=style.colour(model), lw=2.6)
        ax.vlines(spans["start"].iloc[1:], 0, 1.2, color=style.FAINT, lw=0.8, zorder=0)
        for span in spans.itertuples():
            name = style.clean(span.label, 110 * (span.end - span.start) / seen.seconds)
            if len(name) > 3:
                weight = "bold" if span.label in seen.truth else "normal"
                ax.annotate(f" {name}", (span.start, 1.1), fontsize=8, va="center", weight=weight)
        ax.set(ylim=(0, 1.2), yticks=[0, 0.5, 1], xlim=(0, seen.seconds), ylabel="probability")
        ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        ax.set_title(style.clean(f"{seen.models[run]} ({run}) {verdict(seen, run)}", 100))
        ax.grid(axis="y")
    axes[-1, 0].set_xlabel("time of the film (s)")
    return fig


def _share(own: pd.DataFrame, label) -> np.ndarray:
    """The probability of a class, or of one for each row; nan where it is not among the five."""
    found = np.full(len(own), np.nan)
    for column in own.filter(regex="^label"):
        there = own[column].to_numpy() == label
        found[there] = own[column.replace("label", "probability")].to_numpy()[there]
    return found


def apart(seen: Overlay) -> pd.Series:
    """How far the first two runs are apart at each time both speak, 0…1.

    Half the sum of the differences of the probabilities of the classes that are shown: the share
    of the probability that lies elsewhere. Empty where there is but one run.
    """
    if len(seen.models) < 2:
        return pd.Series([], pd.Index([], dtype=float), float)
    first, second = (seen.table[seen.table["run"] == run].set_index("seconds")
                     for run in list(seen.models)[:2])  # fmt: skip
    both = first.index.intersection(second.index)
    first, second = first.loc[both], second.loc[both]
    total = sum(t.filter(like="probability").sum(axis=1) for t in (first, second))
    for label in second.filter(like="label"):
        share = second[label.replace("label", "probability")].to_numpy()
        there = np.nan_to_num(_share(first, second[label].to_numpy()))  # else it has none of it
        total -= 2 * np.minimum(there, share)
    return total / 2
