"""The paper's four tables, ours beside them.

    found = rows.find("pocket")
    table = results.table1(found, rows.score(found))   # nine rows, with intervals and seeds
    gains, mean = results.table2(found)                # ΔAP of slow fusion over a single frame
    transfers = results.transfers(found)               # UCF-101: runs that start from these
    results.table3(found, transfers), results.table4(transfers)

Every number is that of a run's `results.json` or made of its saved predictions; see `rows` for
which runs, and for what the intervals say.
"""

import json
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from s1m_lab import models, paper
from s1m_lab.analysis import comparisons, intervals, transfer
from s1m_lab.analysis.intervals import drawn, ends, together
from s1m_lab.analysis.run_groups import OWN, SCORES, Found, Row, alike, command, finished, unlike
from s1m_lab.common import paths
from s1m_lab.training import metrics, predict
from s1m_lab.training.runs import Run

# What may differ between runs of one way of tuning; `epochs` only from fold to fold.
PER_FOLD = {*OWN, "data", "clips", "fold", "start", "weights", "epochs"}
GAINS = ["gain", "gain_low", "gain_high", "gain_sure", "gain_least", "gain_most"]  # of Table 2
COLUMNS = ["class", "videos", *GAINS, "p", "paper"]


def table1(found: Found, rows: dict[str, Row], seed: int = 0) -> pd.DataFrame:
    """Table 1, a row a row of the paper's, by its short name.

    Columns: `name`; of each of `SCORES` the mean over seeds (a fraction), `…_low` and `…_high`,
    `…_seeds` (a list) and `…_paper`; `gain`, video Hit@1 above a single frame's, `gain_low` and
    `gain_high` of the paired difference; `first`, whether it has most video Hit@1, or cannot be
    told from the row that has, by the rule of `comparisons`; `parameters` and `seconds` of
    training, of one run, of the average those of its members together; `clips_per_second` in
    training; `seeds`, `runs` (names: their results.json has these numbers) and `command` where
    there is none.
    """
    scores, out = drawn(rows, seed), []
    best = max(rows, key=lambda key: scores[key][:, 1, 0].mean(), default="")
    for key, printed in paper.TABLE_1.items():
        row = {"row": key, "name": paper.ROWS[key]}
        row |= {f"{s}_paper": p / 100 for s, p in zip(SCORES, printed, strict=True)}
        if key in rows:
            part = comparisons.hit1(rows, scores, best, key)
            row["first"] = part.verdict != comparisons.AGREES
            out.append(row | _scores(rows[key], scores[key]) | _costs(rows[key]))
            if "single" in rows:
                gain = scores[key][:, 1].mean(axis=0) - scores["single"][:, 1].mean(axis=0)
                out[-1] |= {"gain": gain[0]}
                out[-1] |= dict(zip(("gain_low", "gain_high"), ends(gain[1:]), strict=True))
        else:
            missing = {"first": False, "runs": [], "seeds": [], "command": command(found, key)}
            out.append(row | missing)
    names = [f"{s}{end}" for s in SCORES for end in ("", "_low", "_high", "_paper", "_seeds")]
    columns = [*names, "gain", "gain_low", "gain_high", "first", "parameters", "seconds"]
    columns += ["clips_per_second", "seeds", "runs", "command"]
    return pd.DataFrame(out).set_index("row").reindex(columns=["name", *columns])


def _scores(row: Row, scores: np.ndarray) -> dict:
    """The scores of a row, of its part of `rows.drawn`."""
    by_clip = row.members[0][0].results["clip_hit1"] is not None  # features are of whole videos
    out = {}
    for k, name in enumerate(SCORES):
        value, *draws = scores[:, k].mean(axis=0)
        said = value, *ends(np.array(draws)), scores[:, k, 0].tolist()
        said = said if k or by_clip else (np.nan, np.nan, np.nan, [])
        out |= dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_seeds"), said, strict=True))
    return out


def _costs(row: Row) -> dict:
    """What a row weighs and took, the mean over its seeds, and which runs say so."""
    groups = [[run.results for run in group] for group in row.members]
    keys = "parameters", "seconds"
    out = {
        key: np.mean([sum(each.get(key) or 0 for each in own) for own in groups]) for key in keys
    }
    speeds = [each.get("train_clips_per_second") for own in groups for each in own]
    alone = len(groups[0]) == 1 and None not in speeds
    out["clips_per_second"] = np.mean(speeds) if alone else np.nan
    names = [run.name for group in row.members for run in group]
    return out | {"seeds": row.seeds, "runs": names, "command": ""}


def table2(found: Found, seed: int = 0, draws: int = 1000) -> tuple[pd.DataFrame, pd.Series]:
    """ΔAP of slow fusion over a single frame: (a row a class, the mean over the classes).

    Columns `class`, `videos`, `gain` (the mean over the seeds of either), `gain_low`, `gain_high`,
    `gain_sure` (lower ends that hold for all classes at once: `rows.together`), `gain_least` and
    `gain_most` (of any two seeds), `p` (`metrics.swapped_precision` of the probabilities averaged
    over the seeds of either) and `paper` (Table 2); no rows unless there are runs of both. As in
    `confusion.precisions`, the interval of the mean is moved back by what videos that are drawn
    twice lift it. Of 487 classes and 200,000 videos about 7 minutes a run and 8 more, and 0.8 GB a
    run (CONTRIBUTING says how that was measured).
    """
    groups = [
        [predict.load_predictions(run) for run in found.runs[model]] for model in ("slow", "single")
    ]
    if not all(groups):
        return pd.DataFrame(columns=COLUMNS), pd.Series(np.nan, index=COLUMNS)
    (saved, *_), classes = groups[0], found.runs["slow"][0].labels
    own = metrics.truth(saved.labels, len(classes))
    scores = [_means(p) for group in groups for p in group]
    exact = np.full((len(scores), 1, len(classes)), np.nan)
    for r, k in np.ndindex(len(scores), len(classes)):
        exact[r, 0, k] = metrics.average_precision(scores[r][:, k], own[:, k])
    some = intervals.resampled_precision(scores, saved.labels, seed, draws)
    each = np.concatenate([exact, some], axis=1)
    mean = np.nanmean(each[:, :, own.any(axis=0)], axis=2, keepdims=True)
    each = np.append(each, mean, axis=2)  # runs × 1+draws × K+1
    slow, single = np.split(each, [len(groups[0])])
    gain = slow.mean(axis=0) - single.mean(axis=0)
    low, high = np.array([ends(drawn) for drawn in gain[1:].T]).T
    for end in (low, high):
        end[-1] -= gain[1:, -1].mean() - gain[0, -1]
    sure = np.append(together(gain[0, :-1], gain[1:, :-1]), np.nan)
    slow, single = slow[:, 0], single[:, 0]
    least, most = slow.min(axis=0) - single.max(axis=0), slow.max(axis=0) - single.min(axis=0)
    parts = scores[: len(groups[0])], scores[len(groups[0]) :]
    both = [sum(part) / len(part) for part in parts]
    table = pd.DataFrame({"class": [*classes, "mean"], "videos": [*own.sum(axis=0), len(own)]})
    table = table.assign(**dict(zip(GAINS, (gain[0], low, high, sure, least, most), strict=True)))
    table["p"] = np.append(intervals.swapped_precision(both, saved.labels, seed), np.nan)
    table["paper"] = [paper.TABLE_2.get(name.casefold(), np.nan) for name in table["class"]]
    return table[:-1], table.iloc[-1]


def _means(saved: predict.Predictions) -> np.ndarray:
    """float32 V×K, made in parts: of 200,000 videos and 487 classes 390 MB."""
    out, first = np.empty((len(saved.ids), saved.clip_probabilities.shape[1]), np.float32), 0
    for part in saved.parts():
        out[first : first + len(part.ids)] = part.video_probabilities
        first += len(part.ids)
    return out


def multiply_adds(run: Run) -> float:
    """What one clip costs a run's network, in multiplications with their additions."""
    settings, counted = run.config["settings"], []
    net = models.build(settings["model"], len(run.labels), settings["width"], settings["size"])

    def count(layer, inputs, output):
        counted.append(layer.weight.numel() * output.numel() / len(layer.weight))

    for layer in net.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    with torch.no_grad():
        net(torch.zeros(1, 3, len(net.frames), net.crop, net.crop))
    return float(sum(counted))


def transfers(found: Found, model: str = "slow") -> list[Run]:
    """The finished runs of a network that were tuned on another dataset, with all of its training
    videos, from one of these runs or from scratch.

    Those count whose network is that of these runs, and of each way those that were tuned alike but
    for fold and seed; of one way, fold and seed the first by name. A run whose dataset is not here
    does not count: that says which videos are alike. Those left out are printed, with the reason.
    """
    several, aside = {}, {}
    starts = {run.name: run for run in found.runs[model]}
    base = next((_network(run) for run in starts.values()), None)
    for run in finished():
        about = run.results
        if about.get("start") not in {"", *starts} or about["model"] != model or about.get("few"):
            continue
        network = _network(starts.get(about["start"], run))
        if not (paths.dataset(about["data"]) / "catalog.parquet").is_file():
            aside[run.name] = f"its dataset {about['data']} is not here"
        elif network != (base or network):
            aside[run.name] = f"its network is {_said(network)}, not {_said(base)}"
        else:
            several.setdefault((whole(run), about["tune"]), []).append(run)
    out = [run for own in several.values() for run in _tuned_alike(own, aside)]
    for name, why in aside.items():
        print(f"not in Tables 3 and 4: {name}: {why}")
    return out


def _tuned_alike(several: list[Run], aside: dict[str, str]) -> list[Run]:
    """Of runs of one way those with the same settings, by fold and seed. How many epochs a recipe
    takes depends on a fold's clips, so these are compared within a fold."""
    same, out = alike(several, PER_FOLD), {}
    for run in several:
        fold = [r for r in same if r.results["fold"] == run.results["fold"]]
        best = alike(fold, PER_FOLD - {"epochs"})
        key = run.results["fold"], run.results["seed"]
        if run not in same:
            why = unlike(run, same[0], PER_FOLD)
            aside[run.name] = f"tuned otherwise than {same[0].name}: {why}"
        elif run not in best:
            why = unlike(run, best[0], PER_FOLD - {"epochs"})
            aside[run.name] = f"tuned otherwise than {best[0].name}: {why}"
        elif key in out:
            aside[run.name] = f"the same way, fold and seed as {out[key].name}"
        else:
            out[key] = run
    return list(out.values())


def _network(run: Run) -> dict:
    return {key: run.config["settings"].get(key) for key in ("model", "recipe", "width", "size")}


def _said(network: dict) -> str:
    """`slow, recipe pocket, width 0.25, size 112`."""
    model, *others = network.items()
    return ", ".join([str(model[1]), *(f"{key} {value}" for key, value in others)])


def whole(run: Run) -> str:
    """The dataset of a run without its fold: `pocket101` of `pocket101-fold2`."""
    return re.sub(r"-fold\d+$", "", run.results["data"])


def by_data(several: list[Run]) -> dict[str, list[Run]]:
    """Tuned runs by their dataset, of whatever fold, way by way; a rendered one comes last."""
    names = sorted({whole(run) for run in several}, key=lambda name: (name == "pocket101", name))
    ways = [run for way in paper.RETRAINED for run in several if run.results["tune"] == way]
    return {name: [run for run in ways if whole(run) == name] for name in names}


def tuning(found: Found, ways: Sequence[str]) -> str:
    """The command that tunes the first run of slow fusion in such ways, or in all four."""
    start = [f"-p run {run.name}" for run in found.runs["slow"][:1]]
    way = [f"-p tune {ways[0]}"] if len(ways) == 1 else []
    return " ".join(["papermill notebooks/06_ucf101.ipynb out.ipynb", *start, *way])


def table3(found: Found, several: list[Run], seed: int = 0) -> pd.DataFrame:
    """Table 3 by `data` and `tune`: video Hit@1, the mean over folds of the mean over seeds.

    Columns: `paper`, `ours`, `low`, `high` (fractions), `folds` and `seeds` (lists), and `command`
    where there is no run. Intervals are those of `gains.standings`: they draw whole groups of test
    videos, seeds averaged before.
    """
    out = []
    for data, there in (by_data(several) or {"ucf101": []}).items():
        standings = transfer.standings(transfer.by_seed(there, seed)) if there else None
        for tune, printed in paper.TABLE_3.items():
            row = {"data": data, "tune": tune, "paper": printed / 100, "command": ""}
            own = [run for run in there if run.results["tune"] == tune]
            row |= {k: sorted({r.results[k[:-1]] for r in own}) for k in ("folds", "seeds")}
            if own:
                row |= standings.loc[tune, ["ours", "low", "high"]].to_dict()
            elif tune in paper.RETRAINED:
                row["command"] = tuning(found, [tune])
            out.append(row)
    columns = ["paper", "ours", "low", "high", "folds", "seeds", "command"]
    return pd.DataFrame(out).set_index(["data", "tune"]).reindex(columns=columns)


def table4(several: list[Run]) -> pd.DataFrame:
    """Table 4 by `data` and group of classes: mean average precision, and the paper's.

    Columns are (tune, "ours" or "paper"). Groups are those of `categories`; "all" is the mean over
    all classes. As in Table 3, seeds are averaged in each fold first.
    """
    out = {}
    for data, there in (by_data(several) or {"ucf101": []}).items():
        groups = categories(there)
        for group, printed in paper.TABLE_4.items():
            for tune, theirs in printed.items():
                own = [run for run in there if run.results["tune"] == tune]
                found = [_group_precision(run, groups.get(group), group == "all") for run in own]
                by_fold = pd.Series(found, [r.results["fold"] for r in own], float)
                row = out.setdefault((data, group), {})
                row[tune, "ours"] = by_fold.groupby(level=0).mean().mean()
                row[tune, "paper"] = theirs
    columns = pd.MultiIndex.from_product([paper.TABLE_4["all"], ["ours", "paper"]])
    table = pd.DataFrame(out.values(), pd.MultiIndex.from_tuples(out))
    return table.reindex(columns=columns).astype(float)


def categories(several: list[Run]) -> dict[str, list[str]]:
    """The classes of each group, as the `dataset.json` of the runs' first dataset has them."""
    for run in several[:1]:
        about = paths.dataset(run.results["data"]) / "dataset.json"
        if about.is_file():
            return json.loads(about.read_text("utf-8")).get("categories", {})
    return {}


def _group_precision(run: Run, names: list[str] | None, every: bool) -> float:
    """The mean average precision over the classes of those `names`; nan where none is there."""
    saved = predict.load_predictions(run)
    scores, own = saved.video_probabilities, metrics.truth(saved.labels, len(run.labels))
    wanted = [k for k, name in enumerate(run.labels) if every or name in (names or ())]
    found = [metrics.average_precision(scores[:, k], own[:, k]) for k in wanted if own[:, k].any()]
    return float(np.mean(found)) if found else float("nan")
