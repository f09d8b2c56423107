"""What the whole of Sports-1M takes, stage by stage, as hardware grows.

    draw_scale(costs.grow(machine, speeds, [1, 2, 4, 8]), machine.gpus)

The tables are those of `s1m_lab.analysis.costs`.
"""

import pandas as pd
from matplotlib.figure import Figure

from s1m_lab.figures import style

STAGES = {  # colour and line of each column of `costs.grow`
    "training": ("#0072B2", "-"),
    "computing": ("#0072B2", ":"),
    "ingest": ("#009E73", "-"),
    "download": ("#D55E00", "-"),
}


@style.styled
def draw_scale(hours: pd.DataFrame, gpus: int, title: str) -> Figure:
    """Hours of each stage (columns) by number of GPUs (rows), and where `gpus` lies."""
    fig, ((ax,),) = style.new_figure(1, 1, 3.4)
    names = {"computing": "training, if reading took no time"}
    for stage, (colour, line) in STAGES.items():
        label = names.get(stage, stage)
        ax.plot(hours.index, hours[stage], line, color=colour, label=label)
    if gpus:
        ax.axvline(gpus, color=style.PAPER, linewidth=1.2)
    ax.set(xscale="log", yscale="log", xlabel="GPUs", ylabel="hours")
    ax.set_xticks(hours.index, [f"{n}" for n in hours.index])
    ax.minorticks_off()
    ax.yaxis.set_major_formatter("{x:,g}")
    ax.grid()
    fig.legend(loc="outside lower left", ncols=4, fontsize=9)
    return style.headline(fig, title)
