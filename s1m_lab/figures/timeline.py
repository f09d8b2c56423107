"""The predictions on a video over time, one row per run.

timeline.draw_timeline(overlay.draw([run, versus], "film.mp4"))
"""

from matplotlib.figure import Figure

from s1m_lab.analysis.overlay import Overlay, class_probabilities, describe_run, leading_classes
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
    spans, shares = leading_classes(own), class_probabilities(own)
    own = own.set_index("seconds")
    true = {label: own[f"true{n + 1}"] for n, label in enumerate(seen.truth)}
    for label in dict.fromkeys([*true, *spans["label"]]):
        share = true.get(label, shares.get(label))
        shade, width = (style.INK, 1.3) if label in true else (style.PAPER, 0.8)
        ax.plot(share, color=shade, linewidth=width)
        leads = own["label1"] == label
        leads |= leads.shift(fill_value=False)  # up to where it is overtaken
        ax.plot(share.where(leads), color=style.colour(model), linewidth=2.6)
    ax.vlines(spans["start"].iloc[1:], 0, 1.2, color=style.FAINT, lw=0.8, zorder=0)
    for span in spans.itertuples():
        name = style.clean(span.label, 110 * (span.end - span.start) / seen.seconds)
        if len(name) > 3:
            weight = "bold" if span.label in seen.truth else "normal"
            ax.annotate(f" {name}", (span.start, 1.1), fontsize=8, va="center", weight=weight)
    ax.set(ylim=(0, 1.2), yticks=[0, 0.5, 1], xlim=(0, seen.seconds), ylabel="probability")
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    alone = list(seen.models.values()).count(model) == 1
    ax.set_title(style.clean(f"{model if alone else run} {describe_run(seen, run)}", 90))
    ax.grid(axis="y")
