"""Which finished runs stand for which row of the paper's tables. Nothing is trained or scored here.

    found = run_groups.find("pocket")             # the runs on a dataset, by row of Table 1
    tuned = run_groups.find_transfers(found)      # the runs tuned on UCF-101 from these
    run_groups.command(found, "early")            # the command that makes a missing row

Runs that were trained alike but for network and seed can be compared; the others are set aside,
with the reason. Several seeds of a network are one row.
"""

import re
import shlex
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import pandas as pd

from s1m_lab import paper
from s1m_lab.common import paths
from s1m_lab.training import networks, torchvision_models
from s1m_lab.training.config import unlike_defaults
from s1m_lab.training.runs import Run, finished_runs, load_run

SCORES = ("clip_hit1", "video_hit1", "video_hit5")
OWN = ("model", "seed", "run", "precision", "deterministic")  # settings that may differ in a table
TORCHVISION = (*OWN, *torchvision_models.FIXED)  # of a run of torchvision's, from one of ours
# Settings that may differ between runs tuned in one way; `epochs` only from fold to fold.
PER_FOLD = {*OWN, "data", "clips", "fold", "start", "weights", "epochs"}


class Found(NamedTuple):
    """The runs that stand for the rows of Table 1."""

    data: str  # as commands name it
    runs: dict[str, list[Run]]  # of each row, by seed; none of the average, which has no own runs
    aside: dict[str, str]  # the other finished runs on the dataset: name → why


def find(data: str, names: str = "") -> Found:
    """The finished runs on a dataset that one table can compare, or those of `names` (by commas).

    Runs count if they were trained alike but for network and seed. Of several such groups, the one
    with most networks counts, then the one with most runs. Two runs of one network and seed: the
    first by name counts. Named runs all count, and the table is of their dataset. Networks that are
    not in the paper get a row below the paper's, torchvision's the last; these may differ in width
    and size too.

    Raises:
        FileNotFoundError: a named run is not there, or not finished.
        ValueError: named runs of several datasets, tuned ones, or two of one network and seed.
    """
    named = [load_run(name.strip()) for name in names.split(",") if name.strip()]
    if named:
        data = _dataset_of(named)
    folder = paths.dataset(data).name
    runs = named or [
        run
        for run in finished_runs()
        if run.results["data"] == folder and "tune" not in run.results
    ]
    if not runs:
        known = sorted({run.results["data"] for run in finished_runs()})
        there = ", ".join(known) or "nothing yet"
        print(f"no finished run on {data!r}; there are runs on: {there}")
    rows = list(dict.fromkeys([*paper.ROWS, *networks.names()]))
    unknown = {run.name: run.results["model"] for run in runs if run.results["model"] not in rows}
    aside = {name: f"this code has no network {model!r}" for name, model in unknown.items()}
    runs = [run for run in runs if run.name not in unknown]
    others = sorted({run.results["model"] for run in runs} - set(paper.ROWS))
    others.sort(key=lambda row: row in torchvision_models.NAMES)
    by_row: dict[str, list[Run]] = {row: [] for row in (*paper.ROWS, *others)}
    features = [run for run in runs if run.results["model"] == "histograms"]
    theirs = [run for run in runs if run.results["model"] in torchvision_models.NAMES]
    ours = [run for run in runs if run not in features + theirs]
    for group, like, vary in (
        (features, features, OWN),
        (ours, ours, OWN),
        (theirs, ours or theirs, TORCHVISION),
    ):
        first = trained_alike(like)[:1]
        for run in group:
            row = by_row[run.results["model"]]
            twin = next((other for other in row if _seed(other) == _seed(run)), None)
            if not named and (why := differing_settings(run, first[0], vary)):
                aside[run.name] = f"trained otherwise than {first[0].name}: {why}"
            elif twin is None:
                row.append(run)
            elif named:
                what = f"{run.results['model']} with seed {_seed(run)}"
                raise ValueError(f"{twin.name!r} and {run.name!r} are both {what}")
            else:
                aside[run.name] = f"the same network and seed as {twin.name}"
    return Found(data, {row: sorted(own, key=_seed) for row, own in by_row.items()}, aside)


def _dataset_of(named: Sequence[Run]) -> str:
    """The dataset of runs that the user named; ValueError if they have several or were tuned."""
    data = {run.results["data"] for run in named}
    if len(data) > 1:
        raise ValueError(f"runs of one dataset compare; these are of {', '.join(sorted(data))}")
    if tuned := [run.name for run in named if "tune" in run.results]:
        raise ValueError(f"run {tuned[0]!r} was tuned, so it is no row of Table 1")
    return data.pop()


def _seed(run: Run) -> int:
    return run.results["seed"]


def common_seeds(found: Found) -> list[int]:
    """The seeds that all members of the average have."""
    return sorted(set.intersection(*(set(map(_seed, found.runs[m])) for m in paper.MEMBERS)))


# ---------------------------------------------------------------------------- trained alike or not


def _settings(run: Run, vary: Container[str]) -> dict[str, Any]:
    return {k: v for k, v in run.config["settings"].items() if k not in vary}


def trained_alike(runs: Sequence[Run], vary: Container[str] = OWN) -> list[Run]:
    """The runs whose settings are the same but for those that may `vary`.

    Of several such groups, it is the one with most networks and datasets, then with most runs, then
    the first.
    """
    groups: list[list[Run]] = []
    for run in runs:
        settings = _settings(run, vary)
        group = next((g for g in groups if _settings(g[0], vary) == settings), None)
        groups.append([run]) if group is None else group.append(run)

    def size(group: list[Run]) -> tuple[int, int]:
        return len({(r.results["model"], r.results["data"]) for r in group}), len(group)

    return max(groups, key=size, default=[])


def differing_settings(run: Run, other: Run, vary: Container[str] = OWN) -> str:
    """The settings in which a run differs from another: `width 1.0, not 0.25`."""
    mine, theirs = _settings(run, vary), _settings(other, vary)
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return ", ".join(f"{key} {mine.get(key)}, not {theirs.get(key)}" for key in keys)


# --------------------------------------------------------------------------------- tuned runs


def find_transfers(found: Found) -> list[Run]:
    """The finished runs of slow fusion that were tuned on another dataset with all of its training
    videos, from one of the found runs or from scratch.

    A run counts if it has the network of the found runs, and the settings of the others of its way
    but for fold and seed. Two runs of one way, fold and seed: the first by name counts. The dataset
    must be here, since it says which videos belong to one group. Runs that do not count are printed
    with the reason.
    """
    by_way: dict[tuple[str, str], list[Run]] = {}
    aside: dict[str, str] = {}
    starts = {run.name: run for run in found.runs["slow"]}
    network = next((_network(run) for run in starts.values()), None)
    for run in finished_runs():
        about = run.results
        if about.get("start") not in {"", *starts} or about["model"] != "slow" or about.get("few"):
            continue
        own = _network(starts.get(about["start"], run))
        if not (paths.dataset(about["data"]) / "catalog.parquet").is_file():
            aside[run.name] = f"its dataset {about['data']} is not here"
        elif network and own != network:
            aside[run.name] = f"its network is {own}, not {network}"
        else:
            by_way.setdefault((without_fold(run), about["tune"]), []).append(run)
    tuned = [run for runs in by_way.values() for run in _tuned_alike(runs, aside)]
    for name, why in aside.items():
        print(f"not in Tables 3 and 4: {name}: {why}")
    return tuned


def _tuned_alike(runs: list[Run], aside: dict[str, str]) -> list[Run]:
    """The runs of one way that have the same settings, one for each fold and seed; the others go
    into `aside`. The epochs of a recipe depend on the fold's clips: they compare within a fold."""
    same, in_a_fold = trained_alike(runs, PER_FOLD), PER_FOLD - {"epochs"}
    out: dict[tuple[int, int], Run] = {}
    for run in runs:
        alike, vary = same, PER_FOLD
        if run in same:
            fold = [other for other in same if other.results["fold"] == run.results["fold"]]
            alike, vary = trained_alike(fold, in_a_fold), in_a_fold
        key = run.results["fold"], _seed(run)
        if run not in alike:
            why = differing_settings(run, alike[0], vary)
            aside[run.name] = f"tuned otherwise than {alike[0].name}: {why}"
        elif key in out:
            aside[run.name] = f"the same way, fold and seed as {out[key].name}"
        else:
            out[key] = run
    return list(out.values())


def _network(run: Run) -> str:
    """`slow, recipe pocket, width 0.25, size 112`."""
    settings = run.config["settings"]
    others = (f"{key} {settings.get(key)}" for key in ("recipe", "width", "size"))
    return ", ".join([settings["model"], *others])


def without_fold(run: Run) -> str:
    """The dataset of a run without its fold: `pocket101` of `pocket101-fold2`."""
    return re.sub(r"-fold\d+$", "", run.results["data"])


def by_dataset(tuned: Sequence[Run]) -> dict[str, list[Run]]:
    """Tuned runs by their dataset, over all folds, in the order of the ways of Table 3; the
    rendered dataset comes last."""
    names = sorted(map(without_fold, tuned), key=lambda name: (name == "pocket101", name))
    ordered = sorted(tuned, key=lambda run: paper.RETRAINED.index(run.results["tune"]))
    return {name: [run for run in ordered if without_fold(run) == name] for name in names}


# ----------------------------------------------------------------------------- what runs there are


def list_runs(runs_by_row: dict[str, list[Run]], *more: str) -> pd.DataFrame:
    """The numbers in the `results.json` of each run, by row; `more` are further keys to show."""
    keys = ("seed", *more, *SCORES, "seconds", "precision", "commit")
    rows = [
        {"row": row, "run": run.name} | {key: run.results.get(key) for key in keys}
        for row, runs in runs_by_row.items()
        for run in runs
    ]
    return pd.DataFrame(rows, columns=["row", "run", *keys]).set_index("row")


def list_left_out(found: Found) -> pd.DataFrame:
    """The finished runs that do not count, and why."""
    return pd.DataFrame({"run": found.aside.keys(), "why": found.aside.values()}).set_index("run")


def command(found: Found, row: str) -> str:
    """The command that makes a run of a row at seed 0, with the settings of the runs that are
    there; for the average a line for each member that lacks one."""
    if row == "average":
        lacking = [m for m in paper.MEMBERS if 0 not in map(_seed, found.runs[m])]
        return "\n".join(command(found, member) for member in lacking)
    notebook = "08_histograms" if row == "histograms" else "03_train"
    parameters: dict[str, Any] = {} if found.data == "pocket" else {"data": found.data}
    if row != "histograms":
        parameters |= {"model": row} | _unlike_recipe(found, row)
    words = " ".join(f"-p {key} {shlex.quote(str(value))}" for key, value in parameters.items())
    return f"papermill notebooks/{notebook}.ipynb out.ipynb {words}".rstrip()


def _unlike_recipe(found: Found, model: str) -> dict[str, Any]:
    """The parameters of `03_train` in which the found runs differ from its defaults.

    Without width and size where one of the networks is torchvision's.
    """
    runs = [run for row, own in found.runs.items() if row != "histograms" for run in own]
    if not runs:
        return {}
    settings = runs[0].config["settings"]
    keys = ["recipe", "epochs", "batch_size", "lr"]
    if not {model, settings["model"]} & {*torchvision_models.NAMES}:
        keys += ["width", "size"]
    return {key: value for key, value in unlike_defaults(settings).items() if key in keys}


def commands(found: Found, missing: Sequence[str]) -> list[str]:
    """The commands that make these rows of Table 1, or these ways of Table 3, each once."""
    ways = [name for name in missing if name in paper.RETRAINED]
    rows = [name for name in missing if name not in ways]
    lines = [line for row in rows for line in command(found, row).split("\n")]
    return list(dict.fromkeys(lines + ([tuning_command(found, ways)] if ways else [])))


def tuning_command(found: Found, ways: Sequence[str]) -> str:
    """The command that tunes the first run of slow fusion in one way, or in all four."""
    start = [f"-p run {run.name}" for run in found.runs["slow"][:1]]
    way = [f"-p tune {ways[0]}"] if len(ways) == 1 else []
    return " ".join(["papermill notebooks/06_ucf101.ipynb out.ipynb", *start, *way])
