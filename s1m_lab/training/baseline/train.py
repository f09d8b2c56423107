"""The feature-histogram baseline (§5): a small network on the vectors of videos.

    run = tune("pocket", words=64)        # finds, resumes or makes the run
    trials(run)                           # a table with a row a trial of the grid

The network has one or two layers of ReLU and a softmax. Width, depth, dropout, rate and decay are
chosen on the validation videos; the paper does not print its own values. A linear model is chosen
beside it, to show what the layers add: its test predictions are saved as the split `linear`. The
run is a folder like any other run's. Its `clip_hit1` is None, as in the paper's row.
"""

import time
from collections.abc import Iterator
from itertools import product
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive, fingerprint
from s1m_lab.common.progress import Progress
from s1m_lab.data import loader
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.training import distributed, predict, runs
from s1m_lab.training.baseline import bag_of_words
from s1m_lab.training.baseline.bag_of_words import Vectors
from s1m_lab.training.top_layers import Epoch
from s1m_lab.training.train import require_clips

MODEL = "histograms"
VERSION = 1  # raise it when the same vectors and settings give other weights
GRID = {
    "depth": (0, 1, 2),  # layers of ReLU; 0 is the linear model, without width and dropout
    "width": (128, 512),
    "dropout": (0.0, 0.5),  # of every hidden layer
    "lr": (1e-4, 1e-3),
    "decay": (0.01, 1.0),
}
BATCH, PATIENCE = 32, 10  # videos a step; epochs without a better one that end a trial
PART = 4096  # videos held in memory while they are scored
LIMIT = 5.0  # standard deviations, of an input
COLUMNS = ("step", "trial", *GRID, "epoch", "loss", "val_loss", "val_hit1")


class Trial(NamedTuple):
    depth: int
    width: int
    dropout: float
    lr: float
    decay: float

    @property
    def kind(self) -> str:
        return "network" if self.depth else "linear"


def grid() -> list[Trial]:
    """The trials, in order: `GRID` with each linear model once."""
    every = [Trial(*values) for values in product(*GRID.values())]  # type: ignore[arg-type]
    plain = [trial if trial.depth else trial._replace(width=0, dropout=0.0) for trial in every]
    return list(dict.fromkeys(plain))


class HistogramNetwork(nn.Module):
    """Logits of the classes from the D numbers of a video.

    `mean` and `scale` (one over the standard deviation) of the training videos standardise each
    number, which is then limited to five standard deviations.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, classes: int, trial: Trial):
        super().__init__()
        self.classes = classes
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        layers, dims = [], len(mean)
        for _ in range(trial.depth):
            layers += [nn.Linear(dims, trial.width), nn.ReLU(), nn.Dropout(trial.dropout)]
            dims = trial.width
        self.layers = nn.Sequential(*layers, nn.Linear(dims, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(((x - self.mean) * self.scale).clamp(-LIMIT, LIMIT))


def tune(
    data: str | Path = "pocket",
    words: int = 64,
    seed: int = 0,
    epochs: int = 60,
    run: str = "",
    workers: int | None = None,
    scheduler: str = "",
) -> runs.Run:
    """Describe the videos, train every trial of the grid and score the best; the finished run.

    Args:
        data: a dataset's name, or a path to videos or to a table of them.
        words: of each of six codebooks; 800 give the paper's 25,000 dimensions.
        seed: of the training; the codebooks have the dataset's `data_seed`.
        epochs: passes over the training videos, at most; a trial ends early.
        run: the run's name; "": made from its settings.
        workers, scheduler: for the vectors, see `bag_of_words.make_vectors`.

    A finished run is returned as it is. An interrupted one resumes after its last trial. Raises
    ValueError for a name with other settings, and for a dataset without train, val or test clips.
    """
    system.keep_freed_memory()
    folder = prepare.prepare(data)
    require_clips(folder, "train", "val", "test")
    settings = {
        "model": MODEL,
        "data": folder.name,
        "seed": seed,
        "words": words,
        "epochs": epochs,
        "grid": {key: list(values) for key, values in GRID.items()},
        "batch_size": BATCH,
        "patience": PATIENCE,
        "training": VERSION,
        "clips": Shards(folder / "clips", "train").fingerprint,
        "features": fingerprint(**bag_of_words.settings(folder, words)),
    }
    name = runs.check_name(run) if run else runs.default_name(settings)
    found = runs.Run(paths.runs() / name)
    with exclusive(found.path):
        world = distributed.alone()
        distributed.begin_or_resume(found, settings, folder, world, "fp32")
        if not found.finished:
            vectors = bag_of_words.make_vectors(folder, words, workers, scheduler)
            state, best = search(found, vectors, world.device)
            _score(found, folder, vectors, state, best, world.device)
    return found


def search(run: runs.Run, vectors: Path, device) -> tuple[dict, dict[str, dict]]:
    """Train every remaining trial; returns the state and the best weights of each kind.

    A higher Hit@1 on the validation videos is better, or the same one with a lower loss. A trial
    ends after `patience` epochs without a better one.
    """
    train, val = (bag_of_words.load_vectors(vectors, split) for split in ("train", "val"))
    settings, val_labels, trials = run.config["settings"], pa.array(val.labels), grid()
    mean, scale = _mean_and_scale(train)
    state, weights = runs.load_checkpoint(run)
    state = state or {"step": 0, "trial": 0, "seconds": 0.0, "waited": 0.0, "best": {}}
    log = runs.Log(run, (*COLUMNS, "seconds"), state["step"])
    left = settings["epochs"] * (len(trials) - state["trial"])  # at most
    progress = Progress("tuning", state["step"] + left, "epochs", state["step"])
    for number in range(state["trial"], len(trials)):
        trial, best, scores = trials[number], state["best"], []
        with torch.random.fork_rng():
            torch.manual_seed(settings["seed"])
            net = HistogramNetwork(mean, scale, len(run.labels), trial).to(device)
            for epoch in train_epochs(net, trial, train, settings):
                loss, hit1 = predict.loss_and_hit1(probabilities(net, val), val_labels)
                state["step"] += 1
                state["seconds"] += epoch.seconds
                state["waited"] += epoch.waited
                row = epoch.number, epoch.loss, loss, hit1, epoch.seconds
                log.add(state["step"], number, *trial, *row)
                scores.append([hit1, -loss])
                if not isfinite(loss):
                    raise FloatingPointError(f"the validation loss of {trial} is {loss}")
                if trial.kind not in best or scores[-1] > best[trial.kind]["score"]:
                    facts = {"score": scores[-1], "trial": number, "epoch": epoch.number}
                    best[trial.kind] = facts
                    weights[trial.kind] = {k: v.cpu().clone() for k, v in net.state_dict().items()}
                patience_ends = epoch.number - scores.index(max(scores)) >= settings["patience"]
                if patience_ends:
                    progress.total -= settings["epochs"] - len(scores)
                note = f"trial {number + 1}/{len(trials)}, best {trial.kind}: val Hit@1"
                progress.update(note=f"{note} {best[trial.kind]['score'][0]:.1%}")
                if patience_ends:
                    break
        state["trial"] = number + 1
        runs.save_checkpoint(run, state, **weights)
    return state, weights


def train_epochs(
    net: HistogramNetwork, trial: Trial, train: Vectors, settings: dict
) -> Iterator[Epoch]:
    """Train one trial; yields after every epoch. Videos come in the order that clips would."""
    device = net.mean.device
    optimizer = torch.optim.AdamW(net.parameters(), trial.lr, weight_decay=trial.decay)
    batch_size = min(settings["batch_size"], len(train.ids))
    epoch_steps = len(train.ids) // batch_size
    losses, waited, clock = [], 0.0, time.perf_counter()
    for plan in loader.plan_batches(train.counts, batch_size, settings["seed"], settings["epochs"]):
        before = time.perf_counter()
        x = torch.from_numpy(train.vectors[plan.samples]).to(device)  # B×D
        own = loader.soft_targets([train.labels[n] for n in plan.samples], net.classes)
        targets = torch.from_numpy(own).float().to(device)  # B×classes
        waited += time.perf_counter() - before

        loss = F.cross_entropy(net(x), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        if (plan.step + 1) % epoch_steps == 0:
            mean, seconds = torch.stack(losses).mean().item(), time.perf_counter() - clock
            yield Epoch(plan.epoch, mean, seconds, waited, len(losses) * batch_size)
            losses, waited, clock = [], 0.0, time.perf_counter()


@torch.no_grad()
def probabilities(net: HistogramNetwork, videos: Vectors) -> Iterator[np.ndarray]:
    """Class probabilities of all videos, in order: float32 B×K at a time."""
    net.eval()
    for first in range(0, len(videos.ids), PART):
        x = torch.tensor(videos.vectors[first : first + PART], device=net.mean.device)
        yield F.softmax(net(x), dim=1).cpu().numpy()
    net.train()


def _mean_and_scale(train: Vectors) -> tuple[Tensor, Tensor]:
    """Mean, and one over the standard deviation (0 where a number never differs), in parts."""
    total, squares = 0.0, 0.0
    for first in range(0, len(train.ids), PART):
        part = train.vectors[first : first + PART].astype(float)
        total, squares = total + part.sum(axis=0), squares + (part**2).sum(axis=0)
    mean = total / len(train.ids)
    spread = np.sqrt(np.maximum(squares / len(train.ids) - mean**2, 0))
    scale = np.where(spread > 1e-7, 1 / np.maximum(spread, 1e-7), 0)
    return torch.from_numpy(mean).float(), torch.from_numpy(scale).float()


def _score(run: runs.Run, folder: Path, vectors: Path, state: dict, weights: dict, device) -> None:
    """Write the weights, the predictions of the network and the linear model, `results.json`."""
    test, settings = bag_of_words.load_vectors(vectors, "test"), run.config["settings"]
    none = np.zeros(len(test.ids))  # a video has one vector and no clips
    labels = pa.array(test.labels, pa.list_(pa.int16()))
    columns = {"video": test.ids, "clip": none.astype(np.int16), "start": none, "labels": labels}
    for kind, split in (("linear", "linear"), ("network", "test")):
        best, own = state["best"][kind], weights[kind]
        trial = grid()[best["trial"]]
        net = HistogramNetwork(own["mean"], own["scale"], len(run.labels), trial)
        net.load_state_dict(own)
        found = probabilities(net.to(device), test)
        predict.write_predictions(run, split, pa.table(columns), net.classes, found)
    about = {
        "model": MODEL,
        "classes": net.classes,
        "words": settings["words"],
        "features": settings["features"],
        **trial._asdict(),
        "labels": run.labels,
        "numbers": best,
    }
    runs.save_weights(run.path / "model.safetensors", net.state_dict(), about)
    clips = len(Shards(folder / "clips", "test"))
    more = {"clip_hit1": None, "clips": clips, "train_clips_per_second": None}  # as in Table 1
    predict.write_results(run, net, folder, best["epoch"], state | {"clips": 0}, more)


def trials(run: runs.Run) -> pd.DataFrame:
    """A row a trial: its settings, and its best epoch with that one's losses and `val_hit1`;
    `epochs` it took, and `chosen`, whether it is the best of its kind, linear or network."""
    table = run.metrics
    best_first = ["val_hit1", "val_loss", "trial", "epoch"]
    order = table.sort_values(best_first, ascending=[False, True, True, True])
    best = order.drop_duplicates("trial").set_index("trial")
    best["epochs"] = table.groupby("trial").size()
    best["chosen"] = ~(best["depth"] > 0).duplicated()  # the first of its kind
    return best.drop(columns=["step", "seconds"]).sort_index()
