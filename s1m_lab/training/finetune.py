"""UCF-101: scratch, top, top3, all.

    run = tune(Tuning("top3", "pocket101-fold1", start="pocket-slow-s0-1a2b3c4d"))
    run.results["video_hit1"], run.results["tune"], run.results["fold"], run.results["start"]

§5: a network that was trained on one dataset is tuned on another, in four ways.

- `top`: a new last layer on the last hidden layer's answers, which never change and are computed
  once (`features`); dropout before it.
- `top3`: both hidden layers too, on the last pooling's answers; dropout before all three.
- `all`: every layer, the old ones at a tenth of the rate (`train.SLOWER`).
- `scratch`: the same network from random weights.

Rates and lengths: silent. Here `top` and `top3` choose the rate and what dropout keeps on the
validation clips (`heads.grid`), `all` and `scratch` follow the recipe of the run they start from.
Since their features are kept, `top` and `top3` see a clip with one crop and flip; `all` and
`scratch` draw them in every epoch.

A tuned run is a folder like any other's. `results.json` has besides: `tune`, `fold` (0 where a
dataset has none), `start` (a run's name, "" from scratch) and, where so few were asked for, `few`.
"""

import json
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

import torch

from s1m_lab import models
from s1m_lab.common import paths, system
from s1m_lab.common.files import atomic, exclusive
from s1m_lab.data import catalog, loader
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.training import distributed, frozen_features, heads, predict, runs, torchvision_models
from s1m_lab.training.config import RECIPES, TrainConfig
from s1m_lab.training.train import run_of as trained_run_of
from s1m_lab.training.train import train

WAYS = ("scratch", "top", "top3", "all")
LAYERS = {"top": "fc7", "top3": "pool5"}  # whose answers are kept
# Of a trial of `top` and `top3`, whose steps are cheap: passes; steps, at least; clips a step.
EPOCHS, STEPS, BATCH = 30, 200, 128
VERSION = 1  # raise it when the same features and settings give other weights


class Tuning(NamedTuple):
    """What is asked for."""

    way: str  # one of WAYS
    data: str | Path  # a dataset's name or path; of UCF-101 a dataset is a fold (`ucf101.dataset`)
    # A run of any of the sixteen networks, trained on any classes: its width and size are kept. Or
    # one of `strangers.NAMES`, of which only the top is tuned.
    start: str
    seed: int = 0  # of crops, order, dropout and new weights
    keep: float = 0.0  # share that dropout keeps in `top` and `top3`; 0: chosen on validation clips
    epochs: int = 0  # 0: the recipe's; of `top` and `top3` EPOCHS
    few: int = 0  # training videos a class; 0: all


def tune(asked: Tuning) -> runs.Run:
    """Tune a network on a dataset; the finished run, scored on the test videos.

    A finished run is returned as it is, one that was stopped goes on. Raises ValueError where the
    start is no network that can be tuned so, or the dataset has no train, val or test clips.
    """
    folder = prepare.prepare(asked.data)
    if asked.way in LAYERS:
        return _tuned_top(asked, folder)
    return train(*_config(asked, folder))


def tune_all(asked: Sequence[Tuning]) -> list[runs.Run]:
    """The finished runs of several, in their order; three layers are tuned first, since of the
    features that they keep those of the last layer are made."""
    done = {each: tune(each) for each in sorted(asked, key=lambda each: each.way != "top3")}
    return [done[each] for each in asked]


def run_of(asked: Tuning) -> runs.Run:
    """The run that `tune` returns: finished, begun or not there yet; the clips must be there."""
    folder = paths.dataset(asked.data)
    if asked.way in LAYERS:
        return _settings(asked, folder)[0]
    return trained_run_of(*_config(asked, folder))


def fold_of(folder: Path) -> int:
    """The fold that a dataset says it is; 0 where it has none."""
    about = folder / "dataset.json"
    return json.loads(about.read_text("utf-8")).get("fold", 0) if about.is_file() else 0


def _purpose(asked: Tuning, folder: Path, start: str) -> dict:
    about = {"tune": asked.way, "fold": fold_of(folder), "start": start}
    return about | ({"few": asked.few} if asked.few else {})


def _config(asked: Tuning, folder: Path) -> tuple[TrainConfig, dict]:
    """The training of `scratch` or `all`, and what it is for."""
    if asked.way not in WAYS:
        raise ValueError(f"tune {asked.way!r} is not one of {', '.join(WAYS)}")
    run, own = _start(asked)
    given = {"recipe": _recipe(run), "seed": asked.seed, "few": asked.few}
    given |= {key: own[key] for key in ("model", "width", "size")} | {"epochs": asked.epochs}
    start = run.name if asked.way == "all" else ""
    return TrainConfig(paths.name(folder), start=start, **given), _purpose(asked, folder, start)


def _start(asked: Tuning) -> tuple[runs.Run, dict]:
    """The run to start from, and what is known of its network."""
    if asked.start in torchvision_models.NAMES:
        raise ValueError(f"of {asked.start}, a network of torchvision's, only the top is tuned")
    run = runs.load_run(asked.start)
    return run, runs.network(run)


def _recipe(run: runs.Run) -> str:
    """The name of the recipe of a run; one whose top was tuned has that of its start."""
    settings = run.config["settings"]
    return settings.get("recipe") or _recipe(runs.load_run(settings["start"]))


def _settings(asked: Tuning, folder: Path) -> tuple[runs.Run, dict]:
    """The run of `top` or `top3`, and all that decides its weights, as plain data."""
    for split in ("train", "val", "test"):
        if not len(Shards(folder / "clips", split)):
            raise ValueError(f"{folder.name} has no {split} clips; the top is trained on train, "
                             "chosen on val and scored on test videos")  # fmt: skip
    if asked.start in torchvision_models.NAMES and asked.way == "top":
        model, recipe, start = asked.start, "pocket", asked.start
        weights = start if start.endswith("-kinetics") else f"{start}, seed {asked.seed}"
    else:
        run, own = _start(asked)
        model, recipe = own["model"], _recipe(run)
        start, weights = run.name, runs.weights_print(run)
    recipe, stored = RECIPES[recipe], Shards(folder / "clips", "train")
    there = len(loader.few(stored, asked.few, asked.seed)[0]) if asked.few else len(stored)
    least = ceil(STEPS / max(1, there // BATCH))
    settings = {"model": model, "data": paths.name(folder), "clips": stored.fingerprint}
    settings |= {
        "seed": asked.seed,
        "keep": asked.keep,
        "epochs": asked.epochs or max(EPOCHS, least),
    }
    settings |= {"batch_size": BATCH, "momentum": recipe.momentum, "decay": recipe.decay}
    settings |= {"trials": [list(trial) for trial in heads.grid(asked.keep)], "weights": weights}
    settings |= {"training": VERSION, **_purpose(asked, folder, start)}
    return runs.Run(paths.runs() / runs.default_name(settings)), settings


def _tuned_top(asked: Tuning, folder: Path) -> runs.Run:
    """Features once, then every trial, then the test clips by the best."""
    system.keep_freed_memory()
    run, settings = _settings(asked, folder)
    with exclusive(run.path):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        machine = distributed.resolved("auto", distributed.World(0, 1, device))
        runs.begin(run.name, settings, machine, catalog.load_catalog(folder).attrs["classes"])
        if not run.finished:
            layer, kept = LAYERS[asked.way], run.config["machine"]
            distributed.tell_changes(run.name, kept, machine)
            machine = kept | {key: machine[key] for key in ("device", "torch")}  # features are of
            distributed.set_up(machine["threads"], deterministic=False)
            net = _network(asked, len(run.labels)).to(device)
            stored = {s: Shards(folder / "clips", s) for s in ("train", "val", "test")}
            found = {
                s: frozen_features.prepare(
                    net, settings["weights"], folder, s, layer, asked.seed, machine
                )
                for s in stored
            }
            state, best = heads.search(run, net, layer, found, stored)
            net.load_state_dict(best, strict=False)
            _save(run, net, best, state["best"])
            predict.write(
                run, stored["test"], net.classes, heads.probabilities(net, found["test"], layer)
            )
            runs.write(run.path / "results.json", _results(run, net, folder, state))
    return run


def _network(asked: Tuning, classes: int):
    """The network of the start, with a new last layer."""
    if asked.start in torchvision_models.NAMES:
        return torchvision_models.build(asked.start, classes, asked.seed)
    run, own = _start(asked)
    net = models.build(own["model"], classes, own["width"], own["size"], asked.seed)
    runs.adopt(net, run)
    return net


def _save(run: runs.Run, net, best: dict, numbers: dict) -> None:
    """`model.safetensors`: the whole network; of a stranger the last layer alone, which is ours."""
    if not isinstance(net, torchvision_models.Stranger):
        return runs.save_network(run.path / "model.safetensors", net, run.labels, numbers)
    from safetensors.torch import save_file

    about = {"model": net.name, "classes": net.classes, "labels": run.labels, "numbers": numbers}
    about["start"] = run.config["settings"]["start"]
    with atomic(run.path / "model.safetensors") as temporary:
        save_file(best, temporary, {"s1m_lab": json.dumps(about, ensure_ascii=False)})


def _results(run: runs.Run, net, folder: Path, state: dict) -> dict:
    settings, machine = run.config["settings"], run.config["machine"]
    keep, lr = settings["trials"][state["best"]["trial"]]
    return {
        **{key: settings[key] for key in ("model", "data")},
        "classes": net.classes,
        "seed": settings["seed"],
        "parameters": sum(p.numel() for p in net.parameters()),
        **predict.scores(run, folder),
        "epoch": state["best"]["epoch"],
        "seconds": round(state["seconds"], 3),  # of all trials, on features that are there
        "train_clips_per_second": round(state["clips"] / state["seconds"], 1),
        "data_wait": round(state["waited"] / state["seconds"], 4),
        **{key: machine[key] for key in ("precision", "threads", "version", "commit")},
        **{key: settings[key] for key in ("tune", "fold", "start", "few") if key in settings},
        **{"keep": keep, "lr": lr},
    }
