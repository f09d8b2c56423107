"""TODO analysis/mistakes."""

import numpy as np
import pandas as pd

from s1m_lab.analysis import intervals
from s1m_lab.training import metrics
from s1m_lab.training.predict import Predictions


def pair_table(
    saved: Predictions, pairs: dict[str, list[list[str]]], classes: list[str]
) -> pd.DataFrame:
    """A row a pair: `kind`, `pair`, its `accuracy` over so many `videos`, and the 95 % interval
    from `low` to `high`; a pair without videos is left out. `pairs` are those of `pocket.pairs`."""
    scores, rows = saved.video_probabilities, []
    for kind, group in pairs.items():
        for a, b in group:
            hits = metrics.pair_hits(scores, saved.labels, classes.index(a), classes.index(b))
            if len(hits):
                interval = intervals.bootstrap(hits)
                rows.append((kind, f"{a} | {b}", hits.mean(), *interval, len(hits)))
    return pd.DataFrame(rows, columns=["kind", "pair", "accuracy", "low", "high", "videos"])


def clearest_clips(saved: Predictions, labels: list[int]) -> dict[int, int]:
    """By label, the clip that shows it best to the network: of the class's video to which it is
    likeliest, the clip to which it is. A class without videos is left out."""
    scores, found = saved.video_probabilities, {}
    for k in labels:
        mine = [v for v, own in enumerate(saved.labels) if k in own]
        if mine:
            found[k] = saved.surest(mine[scores[mine, k].argmax()], k)
    return found


def hardest_videos(saved: Predictions, most: int = 12) -> pd.DataFrame:
    """The videos in which a class that is none of their own leads by most, a row each: mistakes,
    whose `lead` is not below 0, or where there is none the closest calls.

    `own` is the likeliest of a video's classes, `other` of the rest, `own_gets` and `other_gets`
    what they get; `clip` is the clip to which the winner is likeliest.
    """
    scores = saved.video_probabilities
    other, lead = metrics.leads(scores, saved.labels)
    rows = []
    for v in np.argsort(-lead, kind="stable")[:most]:
        own = max(saved.labels[v], key=scores[v].__getitem__)
        clip = saved.surest(v, other[v] if lead[v] >= 0 else own)
        rows.append((own, other[v], lead[v], scores[v, own], scores[v, other[v]], clip))
    table = pd.DataFrame(rows, columns=["own", "other", "lead", "own_gets", "other_gets", "clip"])
    return table[table["lead"] >= 0] if lead.max() >= 0 else table
