"""Where a run fails: accuracy on pairs of classes, and its worst mistakes.

mistakes.pair_table(predictions, datasets.pairs(folder), classes)
mistakes.hardest_videos(predictions)
"""

import numpy as np
import pandas as pd

from s1m_lab.analysis import intervals
from s1m_lab.training import metrics
from s1m_lab.training.predict import Predictions


def pair_table(
    saved: Predictions, pairs: dict[str, list[list[str]]], classes: list[str]
) -> pd.DataFrame:
    """One row per pair: `kind`, `pair`, `accuracy`, its 95 % interval `low` to `high`, `videos`.

    `pairs` are those of `datasets.pairs`, by kind. A pair without test videos is left out.
    """
    scores, rows = saved.video_probabilities, []
    for kind, group in pairs.items():
        for a, b in group:
            hits = metrics.pair_hits(scores, saved.labels, classes.index(a), classes.index(b))
            if len(hits):
                interval = intervals.bootstrap(hits)
                rows.append((kind, f"{a} | {b}", hits.mean(), *interval, len(hits)))
    return pd.DataFrame(rows, columns=["kind", "pair", "accuracy", "low", "high", "videos"])


def hardest_videos(saved: Predictions, most: int = 12) -> pd.DataFrame:
    """The worst mistakes, one row per video; where there are none, the closest calls.

    `own` is the likeliest of the video's true classes and `other` of all others, with probabilities
    `own_gets` and `other_gets`. `lead` is their difference, from 0 up for a mistake. `clip` is the
    clip with the highest probability of the winner.
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
