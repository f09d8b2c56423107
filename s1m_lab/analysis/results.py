"""The paper's four tables, ours beside them.

    evidence = collect(run_groups.find("pocket"))
    results.table1(evidence)        # a row a network, with intervals and seeds
    evidence.gains                  # Table 2: ΔAP of slow fusion over a single frame
    results.table3(evidence)        # UCF-101: Hit@1 by what was retrained
    results.table4(evidence)        # UCF-101: mean average precision by category

`run_groups` says which runs stand for a row, `intervals` what an interval is.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch

from s1m_lab import paper
from s1m_lab.analysis import run_groups, transfer
from s1m_lab.analysis.comparisons import AGREES
from s1m_lab.analysis.evidence import HIT1, Evidence, Row, compare_hit1
from s1m_lab.analysis.intervals import interval
from s1m_lab.analysis.run_groups import SCORES
from s1m_lab.training import networks
from s1m_lab.training.runs import Run
from s1m_lab.training.train import count_multiplications


def table1(evidence: Evidence) -> pd.DataFrame:
    """Table 1: the paper's rows by their short names, then the networks that only our runs have.

    Columns: `name`; for each of `SCORES` the mean over seeds (a fraction), `…_low`, `…_high`,
    `…_seeds` (a list) and `…_paper`; `gain`, video Hit@1 above a single frame's, with `gain_low`
    and `gain_high` of the paired difference; `first`, whether the row has the highest video Hit@1
    or ties with it (`comparisons`); `parameters` and `seconds` of training of one run (for the
    average, the sum over its members); `clips_per_second` in training; `seeds`; `runs` (names);
    `command`, which makes the run where there is none.
    """
    scores, rows = evidence.scores, {}
    best = max(scores, key=lambda row: scores[row][:, HIT1, 0].mean(), default="")
    for key in evidence.found.runs:
        printed = paper.TABLE_1.get(key, (np.nan,) * len(SCORES))
        row: dict[str, Any] = {"name": paper.ROWS.get(key, key), "first": False, "command": ""}
        row |= {f"{s}_paper": p / 100 for s, p in zip(SCORES, printed, strict=True)}
        if key in evidence.rows:
            row["first"] = compare_hit1(evidence, best, key).verdict != AGREES
            row |= _costs(evidence.rows[key]) | _scores(evidence.rows[key], scores[key])
            if "single" in scores:
                means = [scores[k][:, HIT1].mean(axis=0) for k in (key, "single")]
                row |= _with_interval("gain", means[0] - means[1])
        else:
            row |= {"runs": [], "seeds": [], "command": run_groups.command(evidence.found, key)}
        rows[key] = row
    names = [f"{s}{end}" for s in SCORES for end in ("", "_low", "_high", "_paper", "_seeds")]
    columns = ["name", *names, "gain", "gain_low", "gain_high", "first", "parameters", "seconds"]
    columns += ["clips_per_second", "seeds", "runs", "command"]
    return pd.DataFrame(rows.values(), pd.Index(rows, name="row")).reindex(columns=columns)


def _with_interval(name: str, values: np.ndarray) -> dict[str, float]:
    """What was measured and its interval; `values` (1+draws) hold it first, then the resamples."""
    low, high = interval(values[1:])
    return {name: values[0], f"{name}_low": low, f"{name}_high": high}


def _scores(row: Row, scores: np.ndarray) -> dict[str, Any]:
    """The scores of a row with their intervals (`scores` are S×3×(1+draws))."""
    out: dict[str, Any] = {}
    for k, name in enumerate(SCORES):
        known = row.members[0][0].results[name] is not None  # features are of whole videos
        out[f"{name}_seeds"] = scores[:, k, 0].tolist() if known else []
        if known:
            out |= _with_interval(name, scores[:, k].mean(axis=0))
    return out


def _costs(row: Row) -> dict[str, Any]:
    """The size of a row's networks and the time they took, means over seeds; and its runs."""
    by_seed = [[run.results for run in runs] for runs in row.members]
    out: dict[str, Any] = {
        key: np.mean([sum(each.get(key) or 0 for each in own) for own in by_seed])
        for key in ("parameters", "seconds")
    }
    speeds = [own[0].get("train_clips_per_second") or np.nan for own in by_seed]
    out["clips_per_second"] = np.mean(speeds) if len(by_seed[0]) == 1 else np.nan
    return out | {"seeds": row.seeds, "runs": [run.name for runs in row.members for run in runs]}


def multiply_adds(run: Run) -> float:
    """The multiplications (each with its addition) of one clip in a run's network."""
    settings = run.config["settings"]
    net = networks.build(settings["model"], len(run.labels), settings["width"], settings["size"])
    with torch.no_grad():
        return float(sum(products for products, _ in count_multiplications(net)))


def table3(evidence: Evidence) -> pd.DataFrame:
    """Table 3 by `data` and `tune`: video Hit@1, the mean over folds of the mean over seeds.

    Columns: `paper`, `ours`, `low`, `high` (fractions), `folds` and `seeds` (lists), and `command`
    where there is no run. Intervals are those of `transfer.standings`.
    """
    tables = {}
    for data, runs in _by_dataset(evidence):
        ways = {way: [r.results for r in runs if r.results["tune"] == way] for way in paper.TABLE_3}
        table = transfer.standings(evidence.transfer_scores.get(data, {})).reindex(ways)
        table = table[["ours", "low", "high"]].astype(float)
        table.insert(0, "paper", pd.Series(paper.TABLE_3) / 100)
        for key in ("fold", "seed"):
            table[f"{key}s"] = [sorted({about[key] for about in own}) for own in ways.values()]
        table["command"] = [
            run_groups.tuning_command(evidence.found, [way])
            if way in paper.RETRAINED and not own
            else ""
            for way, own in ways.items()
        ]
        tables[data] = table
    return pd.concat(tables, names=["data", "tune"])


def table4(evidence: Evidence) -> pd.DataFrame:
    """Table 4 by dataset and category of classes: `transfer.precision_by_category` of each."""
    tables = {data: transfer.precision_by_category(runs) for data, runs in _by_dataset(evidence)}
    return pd.concat(tables)


def _by_dataset(evidence: Evidence) -> Iterable[tuple[str, list[Run]]]:
    """The tuned runs of each dataset; where there are none, "ucf101" without runs."""
    return (evidence.transfers or {"ucf101": []}).items()
