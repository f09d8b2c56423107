"""Transfer (§5): a network that was trained on one dataset is tuned on another, in four ways.

    run = tune(Tuning("top3", "pocket101-fold1", start="pocket-slow-s0-1a2b3c4d"))
    run.results["video_hit1"], run.results["tune"], run.results["fold"], run.results["start"]

- `top`: a new last layer on the last hidden layer, whose features are cached; dropout before it.
- `top3`: both hidden layers too, on the last pooling's features; dropout before all three.
- `all`: every layer, the old ones at a tenth of the rate (`train.SLOWER`).
- `scratch`: the same network from random weights.

The paper gives neither rates nor lengths. Here `top` and `top3` choose the rate and the dropout on
the validation clips (`top_layers.grid`), and train on one crop and flip of a clip. `all` and
`scratch` follow the recipe of the run they start from, with another crop in every epoch.

The `results.json` of a tuned run also has `tune`, `fold` (0 where a dataset has none), `start` (a
run's name, "" from scratch) and, with few videos, `few`.
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import NamedTuple

from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive
from s1m_lab.data import loader
from s1m_lab.data.augment import Augment
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.training import (
    distributed,
    frozen_features,
    networks,
    predict,
    runs,
    top_layers,
    torchvision_models,
)
from s1m_lab.training.config import RECIPES, TrainConfig
from s1m_lab.training.train import require_clips, train

WAYS = ("scratch", "top", "top3", "all")
LAYERS = {"top": "fc7", "top3": "pool5"}  # whose features are cached
EPOCHS, MIN_STEPS, BATCH = 30, 200, 128  # of a trial of `top` and `top3`, whose steps are cheap
VERSION = 1  # raise it when the same features and settings give other weights


class Tuning(NamedTuple):
    """The settings of a tuning.

    `start` is a run of any network, trained on any classes; its width and size are kept. It may
    also be one of `torchvision_models.NAMES`, of which only the top is tuned.
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
    if tuning.way not in WAYS:
        raise ValueError(f"tune {tuning.way!r} is not one of {', '.join(WAYS)}")
    folder, start = prepare.prepare(tuning.data), _start(tuning)
    fold = paths.read_description(folder).get("fold", 0)
    about = {"tune": tuning.way, "fold": fold, "start": start.name}
    if tuning.few:
        about["few"] = tuning.few
    if tuning.way in LAYERS:
        return _tune_top(tuning, folder, start, about)
    config = TrainConfig(
        paths.name(folder),
        start.model,
        start.recipe,
        epochs=tuning.epochs,
        width=start.width,
        size=start.size,
        seed=tuning.seed,
        start=start.name,
        few=tuning.few,
    )
    return train(config, about, folder)


def tune_all(tunings: Sequence[Tuning]) -> list[runs.Run]:
    """The finished runs of several tunings, in their order.

    `top3` goes first, since the features that `top` needs are computed from those it caches.
    """
    done = {each: tune(each) for each in sorted(tunings, key=lambda each: each.way != "top3")}
    return [done[each] for each in tunings]


class _Start(NamedTuple):
    """The network that a tuning starts from."""

    name: str  # of its run, or torchvision's; "" from scratch
    weights: str  # identifies them
    model: str
    recipe: str
    width: float
    size: int


def _start(tuning: Tuning) -> _Start:
    if tuning.start in torchvision_models.NAMES:
        if tuning.way != "top":
            raise ValueError(f"of torchvision's {tuning.start} only the top is tuned")
        trained = tuning.start.endswith("-kinetics")
        weights = tuning.start if trained else f"{tuning.start}, seed {tuning.seed}"
        size = torchvision_models.SIZE
        return _Start(tuning.start, weights, tuning.start, "pocket", 1.0, size)
    run = runs.load_run(tuning.start)
    own, weights, recipe = runs.network_facts(run), runs.weights_digest(run), _recipe(run)
    if tuning.way == "top3" and own["model"] in torchvision_models.NAMES:
        raise ValueError(f"{own['model']} has no hidden layers: tune scratch, top or all, not top3")
    name, model = run.name, own["model"]
    if tuning.way == "scratch":
        name, model = "", model.removesuffix("-kinetics")
    return _Start(name, weights, model, recipe, own["width"], own["size"])


def _recipe(run: runs.Run) -> str:
    """The name of a run's recipe; a run whose top was tuned has that of its start."""
    settings = run.config["settings"]
    return settings.get("recipe") or _recipe(runs.load_run(settings["start"]))


def _settings(tuning: Tuning, folder: Path, start: _Start) -> dict:
    """The settings of `top` or `top3` that decide the weights, without `about`."""
    require_clips(folder, "train", "val", "test")
    stored, recipe = Shards(folder / "clips", "train"), RECIPES[start.recipe]
    clips = len(loader.choose_few(stored, tuning.few, tuning.seed)[0])
    return {
        "model": start.model,
        "data": paths.name(folder),
        "clips": stored.fingerprint,
        "seed": tuning.seed,
        "keep": tuning.keep,
        "epochs": tuning.epochs or max(EPOCHS, ceil(MIN_STEPS / max(1, clips // BATCH))),
        "batch_size": BATCH,
        "momentum": recipe.momentum,
        "decay": recipe.decay,
        "trials": [list(trial) for trial in top_layers.grid(tuning.keep)],
        "weights": start.weights,
        "training": VERSION,
        **Augment(start.size, start.size).settings(),
    }


def _tune_top(tuning: Tuning, folder: Path, start: _Start, about: dict) -> runs.Run:
    """Cache the features, train every trial, score the test clips by the best."""
    system.keep_freed_memory()
    settings = _settings(tuning, folder, start) | about
    run = runs.Run(paths.runs() / runs.default_name(settings))
    with exclusive(run.path):
        world, layer = distributed.alone(), LAYERS[tuning.way]
        machine = distributed.begin_or_resume(run, settings, folder, world)
        if run.finished:
            return run
        net = _network(tuning, start, len(run.labels)).to(world.device)
        shards = {split: Shards(folder / "clips", split) for split in ("train", "val", "test")}
        features = {
            split: frozen_features.load_or_compute(
                net, start.weights, folder, split, layer, tuning.seed, machine
            )
            for split in shards
        }
        state, best = top_layers.search(run, net, layer, features, shards)
        net.load_state_dict(best, strict=False)
        runs.save_network(run.path / "model.safetensors", net, run.labels, state["best"])
        found = top_layers.probabilities(net, features["test"], layer)
        index = predict.clip_index(shards["test"])
        predict.write_predictions(run, "test", index, net.classes, found)
        keep, lr = settings["trials"][state["best"]["trial"]]
        more = about | {"keep": keep, "lr": lr}
        predict.write_results(run, net, folder, state["best"]["epoch"], state, more)
    return run


def _network(tuning: Tuning, start: _Start, classes: int):
    """The network of the start, with a new last layer."""
    net = networks.build(start.model, classes, start.width, start.size, tuning.seed)
    if tuning.start not in torchvision_models.NAMES:
        runs.load_all_but_last_layer(net, runs.load_run(tuning.start))
    elif torchvision_models.is_published(tuning.start):
        torchvision_models.load_published(net)
    return net
