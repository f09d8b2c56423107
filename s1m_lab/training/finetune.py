"""Transfer (§5): a network that was trained on one dataset is tuned on another, in four ways.

    run = tune(Tuning("top3", "pocket101-fold1", start="pocket-slow-s0-1a2b3c4d"))
    run.results["video_hit1"], run.results["tune"], run.results["fold"], run.results["start"]

- `top`: a new last layer on the last hidden layer, whose features are cached; dropout before it.
- `top3`: both hidden layers too, on the last pooling's features; dropout before all three.
- `all`: every layer, the old ones at a tenth of the rate (`train.SLOWER`).
- `scratch`: the same network from random weights.

The paper gives neither rates nor lengths. Here `top` and `top3` choose the rate and the dropout on
the validation clips (`heads.grid`); `all` and `scratch` follow the recipe of the run they start
from. With cached features, `top` and `top3` see one crop and flip of a clip; `all` and `scratch`
see another in every epoch.

A tuned run is a folder like any other run's. Its `results.json` also has `tune`, `fold` (0 where a
dataset has none), `start` (a run's name, "" from scratch) and, with few videos, `few`.
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

from s1m_lab import models
from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive
from s1m_lab.data import catalog, loader
from s1m_lab.data.augment import Augment
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.training import distributed, frozen_features, heads, predict, runs, torchvision_models
from s1m_lab.training.config import RECIPES, TrainConfig
from s1m_lab.training.train import train

WAYS = ("scratch", "top", "top3", "all")
LAYERS = {"top": "fc7", "top3": "pool5"}  # whose features are cached
EPOCHS, MIN_STEPS, BATCH = 30, 200, 128  # of a trial of `top` and `top3`, whose steps are cheap
VERSION = 1  # raise it when the same features and settings give other weights


class Tuning(NamedTuple):
    """The settings of a tuning.

    `start` is a run of any of the sixteen networks, trained on any classes; its width and size are
    kept. It may also be one of `torchvision_models.NAMES`, of which only the top is tuned.
    """

    way: str  # one of WAYS
    data: str | Path  # a dataset's name or path; of UCF-101 a dataset is a fold (`ucf101.dataset`)
    start: str
    seed: int = 0  # of crops, order, dropout and new weights
    keep: float = 0.0  # share that dropout keeps in `top` and `top3`; 0: chosen on validation clips
    epochs: int = 0  # 0: the recipe's; for `top` and `top3` EPOCHS
    few: int = 0  # training videos a class; 0: all


def tune(tuning: Tuning) -> runs.Run:
    """Tune a network on a dataset; returns the finished run, scored on the test videos.

    A finished run is returned as it is, an interrupted one resumes. Raises ValueError where the
    start cannot be tuned in this way, or the dataset has no train, val or test clips.
    """
    folder = prepare.prepare(tuning.data)
    if tuning.way in LAYERS:
        return _tune_top(tuning, folder)
    return train(*_config(tuning, folder), folder)


def tune_all(tunings: Sequence[Tuning]) -> list[runs.Run]:
    """The finished runs of several tunings, in their order.

    `top3` goes first, since the features that `top` needs are computed from those it caches.
    """
    done = {each: tune(each) for each in sorted(tunings, key=lambda each: each.way != "top3")}
    return [done[each] for each in tunings]


def fold_of(folder: Path) -> int:
    """The fold in a dataset's `dataset.json`; 0 where it has none."""
    return paths.read_description(folder).get("fold", 0)


def _purpose(tuning: Tuning, folder: Path, start: str) -> dict:
    about = {"tune": tuning.way, "fold": fold_of(folder), "start": start}
    return about | ({"few": tuning.few} if tuning.few else {})


def _config(tuning: Tuning, folder: Path) -> tuple[TrainConfig, dict]:
    """The training of `scratch` or `all`, and its purpose."""
    if tuning.way not in WAYS:
        raise ValueError(f"tune {tuning.way!r} is not one of {', '.join(WAYS)}")
    run, network = _start(tuning)
    start = run.name if tuning.way == "all" else ""
    config = TrainConfig(
        paths.name(folder),
        network["model"],
        _recipe(run),
        epochs=tuning.epochs,
        width=network["width"],
        size=network["size"],
        seed=tuning.seed,
        start=start,
        few=tuning.few,
    )
    return config, _purpose(tuning, folder, start)


def _start(tuning: Tuning) -> tuple[runs.Run, dict]:
    """The run to start from, and the facts of its network."""
    if tuning.start in torchvision_models.NAMES:
        raise ValueError(f"of {tuning.start}, a network of torchvision's, only the top is tuned")
    run = runs.load_run(tuning.start)
    return run, runs.network_facts(run)


def _recipe(run: runs.Run) -> str:
    """The name of a run's recipe; a run whose top was tuned has that of its start."""
    settings = run.config["settings"]
    return settings.get("recipe") or _recipe(runs.load_run(settings["start"]))


def _settings(tuning: Tuning, folder: Path) -> tuple[runs.Run, dict]:
    """The run of `top` or `top3`, and all settings that decide its weights."""
    for split in ("train", "val", "test"):
        if not len(Shards(folder / "clips", split)):
            raise ValueError(
                f"{folder.name} has no {split} clips; the top is trained on train, "
                "chosen on val and scored on test videos"
            )
    if tuning.start in torchvision_models.NAMES and tuning.way == "top":
        model, size, recipe, start = tuning.start, torchvision_models.SIZE, "pocket", tuning.start
        weights = start if start.endswith("-kinetics") else f"{start}, seed {tuning.seed}"
    else:
        run, network = _start(tuning)
        model, size, recipe = network["model"], network["size"], _recipe(run)
        start, weights = run.name, runs.weights_digest(run)
    stored = Shards(folder / "clips", "train")
    clips = len(loader.choose_few(stored, tuning.few, tuning.seed)[0])
    epochs = tuning.epochs or max(EPOCHS, ceil(MIN_STEPS / max(1, clips // BATCH)))
    settings = {
        "model": model,
        "data": paths.name(folder),
        "clips": stored.fingerprint,
        "seed": tuning.seed,
        "keep": tuning.keep,
        "epochs": epochs,
        "batch_size": BATCH,
        "momentum": RECIPES[recipe].momentum,
        "decay": RECIPES[recipe].decay,
        "trials": [list(trial) for trial in heads.grid(tuning.keep)],
        "weights": weights,
        "training": VERSION,
        **_purpose(tuning, folder, start),
        **Augment(size, size).settings(),
    }
    return runs.Run(paths.runs() / runs.default_name(settings)), settings


def _tune_top(tuning: Tuning, folder: Path) -> runs.Run:
    """Cache the features, train every trial, score the test clips by the best."""
    system.keep_freed_memory()
    run, settings = _settings(tuning, folder)
    with exclusive(run.path):
        world = distributed.alone()
        machine = distributed.resolve_machine("auto", world)
        runs.begin(run.name, settings, machine, catalog.load_catalog(folder).attrs["classes"])
        if run.finished:
            return run
        begun = run.config["machine"]
        distributed.print_machine_changes(run.name, begun, machine)
        machine = begun | {key: machine[key] for key in ("device", "torch")}  # of the features
        distributed.set_up(machine["threads"], deterministic=False)
        net = _network(tuning, len(run.labels)).to(world.device)
        layer, weights = LAYERS[tuning.way], settings["weights"]
        shards = {split: Shards(folder / "clips", split) for split in ("train", "val", "test")}
        features = {
            split: frozen_features.load_or_compute(
                net, weights, folder, split, layer, tuning.seed, machine
            )
            for split in shards
        }
        state, best = heads.search(run, net, layer, features, shards)
        net.load_state_dict(best, strict=False)
        _save(run, net, best, state["best"])
        found = heads.probabilities(net, features["test"], layer)
        index = predict.clip_index(shards["test"])
        predict.write_predictions(run, "test", index, net.classes, found)
        keep, lr = settings["trials"][state["best"]["trial"]]
        more = {key: settings[key] for key in ("tune", "fold", "start", "few") if key in settings}
        more |= {"keep": keep, "lr": lr}
        timing = state["seconds"], state["waited"], state["clips"]  # of all trials
        predict.write_results(run, net, folder, state["best"]["epoch"], *timing, more)
    return run


def _network(tuning: Tuning, classes: int):
    """The network of the start, with a new last layer."""
    if tuning.start in torchvision_models.NAMES:
        return torchvision_models.build(tuning.start, classes, tuning.seed)
    run, own = _start(tuning)
    net = models.build(own["model"], classes, own["width"], own["size"], tuning.seed)
    runs.load_all_but_last_layer(net, run)
    return net


def _save(run: runs.Run, net, best: dict, numbers: dict) -> None:
    """Write `model.safetensors`: the whole network; of torchvision's only the last layer, ours."""
    path = run.path / "model.safetensors"
    if not isinstance(net, torchvision_models.VideoNetwork):
        return runs.save_network(path, net, run.labels, numbers)
    about = {"model": net.name, "classes": net.classes, "labels": run.labels, "numbers": numbers}
    runs.save_weights(path, best, about | {"start": run.config["settings"]["start"]})
