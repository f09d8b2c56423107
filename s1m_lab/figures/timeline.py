"""The predictions on a video over time, one row per run.

timeline.draw_timeline(overlay.draw([run, versus], "film.mp4"))
"""

import numpy as np
from matplotlib.figure import Figure

from s1m_lab.analysis.overlay import Overlay, describe_run, leading_classes, probability_of
from s1m_lab.figures import style


@style.styled
def draw_timeline(seen: Overlay) -> Figure:
    """The smoothed probabilities of the classes that ever lead, one row per run.

    The leading class has the colour of the run's network; a line and its name mark where it
    changes. A true class is black where it does not lead. A line ends where its class is not among
    the five likeliest.
    """
    fig, axes = style.new_figure(len(seen.models), 1, 0.5 + 1.6 * len(seen.models), sharex=True)
    for ax, run in zip(axes[:, 0], seen.models, strict=True):
        _draw_run(ax, seen, run)
    axes[-1, 0].set_xlabel("time of the video (s)")
    return fig


def _draw_run(ax, seen: Overlay, run: str) -> None:
    own, model = seen.table[seen.table["run"] == run], seen.models[run]
    spans, seconds = leading_classes(own), own["seconds"].to_numpy()
    for label in dict.fromkeys([*seen.truth, *spans["label"]]):
        true, leads = label in seen.truth, own["label1"].to_numpy() == label
        column = f"true{seen.truth.index(label) + 1}" if true else ""
        share = own[column].to_numpy() if true else probability_of(own, label)
        shade, width = (style.INK, 1.3) if true else (style.PAPER, 0.8)
        ax.plot(seconds, share, color=shade, lw=width)
        leads |= np.append(False, leads[:-1])  # up to where it is overtaken
        ax.plot(seconds, np.where(leads, share, np.nan), color=style.colour(model), lw=2.6)
    ax.vlines(spans["start"].iloc[1:], 0, 1.2, color=style.FAINT, lw=0.8, zorder=0)
    for span in spans.itertuples():
        name = style.clean(span.label, 110 * (span.end - span.start) / seen.seconds)
        if len(name) > 3:
            weight = "bold" if span.label in seen.truth else "normal"
            ax.annotate(f" {name}", (span.start, 1.1), fontsize=8, va="center", weight=weight)
    ax.set(ylim=(0, 1.2), yticks=[0, 0.5, 1], xlim=(0, seen.seconds), ylabel="probability")
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.set_title(style.clean(f"{model} ({run}) {describe_run(seen, run)}", 100))
    ax.grid(axis="y")
