"""The runs that stand for the rows of Table 1, and what they hit on every test video.

    found = rows.find("pocket")                   # the finished runs on a dataset, by row
    hits = rows.score(found)                      # of every row and seed, video by video
    rows.command(found, "early")                  # what makes a row that has no run

Nothing is made here. Several seeds of a network are one row, the mean over its seeds. Intervals are
of 95 %, over test videos: these are drawn again and again, the same for all rows and seeds, so that
differences are paired. They say nothing of how another seed would do; the seeds stand side by side
for that.
"""

import shlex
from collections.abc import Container, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab import paper
from s1m_lab.common import paths
from s1m_lab.training import metrics, predict
from s1m_lab.training.config import RECIPES
from s1m_lab.training.predict import Predictions
from s1m_lab.training.runs import Run, load_run

SCORES = ("clip_hit1", "video_hit1", "video_hit5")
OWN = ("model", "seed", "run", "precision", "deterministic")  # settings that a comparison may vary


class Found(NamedTuple):
    """The runs that stand for the rows of Table 1."""

    data: str  # as commands name it
    runs: dict[str, list[Run]]  # of a row, by seed; of the average none
    aside: dict[str, str]  # finished runs that are not among them: name → why


class Row(NamedTuple):
    """A row of Table 1 on V test videos; of S seeds, one by one."""

    members: list[tuple[Run, ...]]  # S; the average has several runs a seed
    clips: np.ndarray  # int V: of each video
    hits: np.ndarray  # int S×V×3: right clips; whether the video is right at 1, at 5

    @property
    def seeds(self) -> list[int]:
        return [group[0].results["seed"] for group in self.members]


# ------------------------------------------------------------------------------------- which runs


def find(data: str, names: str = "") -> Found:
    """The finished runs on a dataset that a table can compare, or those of `names` (by commas).

    Of all runs those count that were trained alike but for network and seed: of several such
    groups the one with the most networks, then runs. Two runs of one network and seed are one too
    many: the first by name counts. Runs that are named all count; their dataset is the table's.

    Raises:
        FileNotFoundError: a named run is not there, or not finished.
        ValueError: named runs of several datasets, of no row of the table, or twice of one seed.
    """
    if names.strip():
        return _named([load_run(name.strip()) for name in names.split(",") if name.strip()])
    folder, aside, there = paths.dataset(data).name, {}, []
    for run in finished():
        if run.results["data"] == folder and "tune" not in run.results:
            known = run.results["model"] in paper.ROWS
            there.append(run) if known else aside.update({run.name: "no row of the paper's"})
    if not there:
        known = sorted({run.results["data"] for run in finished()})
        print(
            f"no finished run on {data!r}; there are runs on: {', '.join(known) or 'nothing yet'}"
        )
    by_row = {row: [] for row in paper.ROWS}
    features = [run for run in there if run.results["model"] == "histograms"]
    for group in (features, [run for run in there if run not in features]):
        same = alike(group)
        for run in group:
            own = by_row[run.results["model"]]
            twin = [r.name for r in own if r.results["seed"] == run.results["seed"]]
            if run not in same:
                aside[run.name] = f"trained otherwise than {same[0].name}: {unlike(run, same[0])}"
            elif twin:
                aside[run.name] = f"the same network and seed as {twin[0]}"
            else:
                own.append(run)
    return Found(data, {row: sorted(own, key=_seed) for row, own in by_row.items()}, aside)


def _named(several: Sequence[Run]) -> Found:
    data = {run.results["data"] for run in several}
    if len(data) > 1:
        raise ValueError(f"runs of one dataset compare; these are of {', '.join(sorted(data))}")
    by_row = {row: [] for row in paper.ROWS}
    for run in several:
        model, seed = run.results["model"], run.results["seed"]
        if model not in by_row or "tune" in run.results:
            raise ValueError(f"run {run.name!r} is of no row of Table 1")
        if twin := [r.name for r in by_row[model] if r.results["seed"] == seed]:
            raise ValueError(f"{twin[0]!r} and {run.name!r} are both {model} with seed {seed}")
        by_row[model].append(run)
    return Found(data.pop(), {row: sorted(own, key=_seed) for row, own in by_row.items()}, {})


def _seed(run: Run) -> int:
    return run.results["seed"]


def finished() -> list[Run]:
    """All runs with results, by name."""
    return [Run(file.parent) for file in sorted(paths.runs().glob("*/results.json"))]


def _settings(run: Run, vary: Container[str]) -> dict:
    return {k: v for k, v in run.config["settings"].items() if k not in vary}


def alike(several: Sequence[Run], vary: Container[str] = OWN) -> list[Run]:
    """Those whose settings are the same but for what may `vary`: the group of most networks and
    datasets, then of most runs, then the first."""
    groups: list[list[Run]] = []
    for run in several:
        own = _settings(run, vary)
        group = next((g for g in groups if _settings(g[0], vary) == own), None)
        groups.append([run]) if group is None else group.append(run)
    kinds = {id(g): len({(r.results["model"], r.results["data"]) for r in g}) for g in groups}
    return max(groups, key=lambda g: (kinds[id(g)], len(g)), default=[])


def unlike(run: Run, other: Run, vary: Container[str] = OWN) -> str:
    """How a run was trained otherwise than another: `width 1.0, not 0.25`."""
    mine, theirs = _settings(run, vary), _settings(other, vary)
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    return ", ".join(f"{key} {mine.get(key)}, not {theirs.get(key)}" for key in keys)


def sources(several: dict[str, list[Run]], *more: str) -> pd.DataFrame:
    """What the `results.json` of every run says, by row; no file is read but these. `more` are what
    else of it stands before the scores."""
    keys = ("seed", *more, *SCORES, "seconds", "precision", "commit")
    out = [
        {"row": row, "run": run.name} | {key: run.results.get(key) for key in keys}
        for row, own in several.items()
        for run in own
    ]
    return pd.DataFrame(out, columns=["row", "run", *keys]).set_index("row")


def aside(found: Found) -> pd.DataFrame:
    """The finished runs that do not count, and why."""
    return pd.DataFrame({"run": found.aside.keys(), "why": found.aside.values()}).set_index("run")


def command(found: Found, row: str, seed: int = 0) -> str:
    """The command that makes a run of a row, with the settings of the runs that are there."""
    if row == "average":
        lacking = [m for m in paper.MEMBERS if seed not in map(_seed, found.runs[m])]
        return "\n".join(command(found, member, seed) for member in lacking)
    notebook = "08_histograms" if row == "histograms" else "03_train"
    given = {} if found.data == "pocket" else {"data": found.data}
    if row != "histograms":
        given["model"] = row
        there = [run for name, own in found.runs.items() if name != "histograms" for run in own]
        settings = there[0].config["settings"] if there else {"recipe": "pocket"}
        recipe = {"recipe": "pocket"} | RECIPES[settings["recipe"]]._asdict()
        for key in ("recipe", "epochs", "batch_size", "lr", "width", "size"):
            if settings.get(key, recipe[key]) != recipe[key]:
                given[key] = settings[key]
    if seed:
        given["seed"] = seed
    words = " ".join(f"-p {key} {shlex.quote(str(value))}" for key, value in given.items())
    return f"papermill notebooks/{notebook}.ipynb out.ipynb {words}".rstrip()


# ------------------------------------------------------------------------------------- every video


def score(found: Found) -> dict[str, Row]:
    """The rows there are, in the paper's order, each seed scored video by video.

    The average is of the `paper.MEMBERS`, at every seed that all of them have. Scores are made of
    saved predictions, in parts; ValueError where they are not those of a run's results.json, or
    where two runs were tested on other videos.
    """
    several = {row: [(run,) for run in own] for row, own in found.runs.items()}
    several["average"] = [
        tuple(run for m in paper.MEMBERS for run in found.runs[m] if _seed(run) == seed)
        for seed in common_seeds(found)
    ]
    rows, first = {}, None
    for name, members in several.items():
        tallies = []
        for group in members:
            saved = (
                predict.load_predictions(group[0]) if len(group) == 1 else predict.average(group)
            )
            tallies.append(tally(saved))
            if len(group) == 1:
                _check(group[0], *tallies[-1])
            first = first or (group[0], saved)
            if (saved.ids, saved.labels) != (first[1].ids, first[1].labels):
                raise ValueError(
                    f"{group[0].name!r} and {first[0].name!r} were tested on other videos and "
                    "cannot stand in one table; name the runs that belong together"
                )
        if tallies:
            rows[name] = Row(members, tallies[0][0], np.array([hits for _, hits in tallies]))
    return rows


def common_seeds(found: Found) -> list[int]:
    """The seeds that all members of the average have."""
    return sorted(set.intersection(*(set(map(_seed, found.runs[m])) for m in paper.MEMBERS)))


def tally(saved: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """(V, V×3): the clips of every video; its right clips, whether it is right at 1 and at 5."""
    clips, hits = [], []
    for part in saved.parts():
        means, n = part.video_probabilities, len(part.ids)
        right = metrics.hits(part.clip_probabilities, part.clip_labels, 1)
        at = [metrics.hits(means, part.labels, k) for k in (1, 5)]
        clips.append(np.bincount(part.clip_video, minlength=n))
        hits.append(np.stack([np.bincount(part.clip_video, right, n), *at], axis=1).astype(int))
    return np.concatenate(clips), np.concatenate(hits)


def _check(run: Run, clips: np.ndarray, hits: np.ndarray) -> None:
    found = hits.sum(axis=0) / [clips.sum(), len(clips), len(clips)]
    for key, value in zip(SCORES, found, strict=True):
        kept = run.results[key]
        if kept is not None and abs(kept - value) > 1e-9:
            raise ValueError(
                f"results.json of {run.name!r} says {key} {kept}, its predictions give {value}; "
                f"remove {run.path} and train again"
            )
