"""Top layers trained on cached features; validation chooses the dropout and the rate.

    state, best = search(run, net, "fc7", features, shards)

Features are read from the disk, so that a trial on pocket101 takes seconds where a training of the
whole network takes minutes. A small `grid` of trials can therefore be tried. Dropout acts before
every layer that is trained; the paper keeps "as little as 10 %" of units (§5).
"""

import time
from collections.abc import Iterator
from itertools import product
from math import cos, isfinite, pi
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from s1m_lab.common.progress import Progress
from s1m_lab.data import loader
from s1m_lab.data.shards import Shards
from s1m_lab.models import Dropout, drop
from s1m_lab.training import predict, runs
from s1m_lab.training.train import parameter_groups, step_dropout

TRAINED = {"fc7": ("fc8.",), "pool5": ("fc6.", "fc7.", "fc8.")}  # on the features of a layer
KEEPS = (0.1, 0.5, 0.9)  # shares of units that dropout keeps
RATES = (0.01, 0.1)
CLIP = 5.0  # norm of the gradient
MIN_STEPS = 10  # between two validations
PART = 1024  # clips scored at a time
COLUMNS = ("step", "trial", "keep", "lr", "epoch", "loss", "val_loss", "val_hit1", "seconds")


class Trial(NamedTuple):
    keep: float
    lr: float


class Epoch(NamedTuple):
    """One epoch of a trial, or several short ones."""

    number: int
    loss: float
    seconds: float
    waited: float  # of these seconds, for reading
    clips: int


def grid(keep: float = 0.0) -> list[Trial]:
    """The trials, in order; with a `keep`, only the rate varies."""
    return [Trial(*values) for values in product((keep,) if keep else KEEPS, RATES)]


def classify(net, x: Tensor, layer: str, dropout: Dropout | None = None) -> Tensor:
    """Logits B×classes of the features of a layer."""
    if layer == "pool5":
        x = net.hidden(drop(x, 5, dropout), dropout)
    return net.fc8(drop(x, 7, dropout))


@torch.no_grad()
def probabilities(net, features: np.ndarray, layer: str) -> Iterator[np.ndarray]:
    """Class probabilities of all clips, averaged over their passes: float32 B×K at a time."""
    for first in range(0, len(features), PART):
        x = torch.tensor(features[first : first + PART], device=net.scale.device)  # B×passes×D
        found = F.softmax(classify(net, x.flatten(0, 1), layer), dim=1)
        yield found.unflatten(0, x.shape[:2]).mean(dim=1).cpu().numpy()


def search(
    run: runs.Run, net, layer: str, features: dict[str, np.ndarray], shards: dict[str, Shards]
) -> tuple[dict, dict[str, Tensor]]:
    """Train every remaining trial; returns the state of the run and the best weights by name.

    `features` and `shards` hold the clips of `train` and `val`. A higher Hit@1 on the validation
    clips is better, or the same one with a lower loss. An epoch whose loss is not finite is never
    the best; raises FloatingPointError where the first trial has no other.
    """
    settings, trained = run.config["settings"], TRAINED[layer]
    for name, p in net.named_parameters():
        p.requires_grad_(name.startswith(trained))
    first = {k: v.clone() for k, v in net.state_dict().items() if k.startswith(trained)}
    val_labels = predict.clip_index(shards["val"])["labels"]
    state, tensors = runs.load_checkpoint(run)
    state = state or {"step": 0, "trial": 0, "clips": 0, "seconds": 0.0, "waited": 0.0, "best": {}}
    best = tensors.get("best", {})
    log = runs.Log(run, COLUMNS, state["step"])
    trials = [Trial(*values) for values in settings["trials"]]
    progress = Progress(f"training {run.name}", len(trials), "trials", state["trial"])
    for number in range(state["trial"], len(trials)):
        net.load_state_dict(first, strict=False)
        trial = trials[number]
        for epoch in train_epochs(net, trial, layer, features["train"], shards["train"], settings):
            found = probabilities(net, features["val"], layer)
            loss, hit1 = predict.loss_and_hit1(found, val_labels)
            state["step"] += 1
            for key in ("clips", "seconds", "waited"):
                state[key] += getattr(epoch, key)
            row = epoch.number, epoch.loss, loss, hit1, epoch.seconds
            log.add(state["step"], number, *trial, *row)
            score = [hit1, -loss]
            if isfinite(loss) and (not state["best"] or score > state["best"]["score"]):
                state["best"] = {"score": score, "trial": number, "epoch": epoch.number}
                best = {k: v.cpu().clone() for k, v in net.state_dict().items() if k in first}
        state["trial"] = number + 1
        if not state["best"]:
            raise FloatingPointError(f"no trial up to {trial} has a finite loss")
        runs.save_checkpoint(run, state, best=best)
        progress.update(note=f"val Hit@1 {state['best']['score'][0]:.1%}")
    return state, best


def train_epochs(
    net, trial: Trial, layer: str, features: np.ndarray, shards: Shards, settings: dict
) -> Iterator[Epoch]:
    """Train one trial; yields after epochs of at least `MIN_STEPS` steps, and after the last."""
    seed, device = settings["seed"], net.scale.device
    samples, counts = loader.choose_few(shards, settings.get("few", 0), seed)
    labels = predict.clip_index(shards)["labels"].combine_chunks()
    batch_size = min(settings["batch_size"], len(samples))
    epoch_steps = len(samples) // batch_size
    steps = epoch_steps * settings["epochs"]
    momentum, decay = settings["momentum"], settings["decay"]
    groups = parameter_groups(net, bool(settings["start"]), TRAINED[layer])
    optimizer = torch.optim.SGD(groups, trial.lr, momentum, weight_decay=decay, fused=True)
    losses, waited, clock = [], 0.0, time.perf_counter()
    for plan in loader.plan_batches(counts, batch_size, seed, settings["epochs"]):
        for group in optimizer.param_groups:
            group["lr"] = trial.lr * group["share"] * (1 + cos(pi * plan.step / steps)) / 2

        before = time.perf_counter()
        clips = samples[plan.samples]
        own = loader.soft_targets(labels.take(pa.array(clips)).to_pylist(), net.classes)
        targets = torch.from_numpy(own).float().to(device)  # B×classes
        x = torch.from_numpy(features[clips, 0]).to(device)  # B×D
        waited += time.perf_counter() - before

        dropout = step_dropout(1 - trial.keep, seed, plan, device)
        loss = F.cross_entropy(classify(net, x, layer, dropout), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], CLIP)
        optimizer.step()
        losses.append(loss.detach())
        last = plan.step + 1 == steps
        if last or ((plan.step + 1) % epoch_steps == 0 and len(losses) >= MIN_STEPS):
            mean, seconds = torch.stack(losses).mean().item(), time.perf_counter() - clock
            yield Epoch(plan.epoch, mean, seconds, waited, len(losses) * batch_size)
            losses, waited, clock = [], 0.0, time.perf_counter()
