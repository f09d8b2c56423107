"""Top layers trained on kept features; how much is dropped, and the rate, by validation.

    state, best = heads.search(run, net, "fc7", found, shards)

Features are read from the disk, so that on pocket101 a trial takes seconds where a training of the
whole network takes minutes, and a small grid (`grid`) can be tried. Dropout acts before every layer
that is trained; the paper keeps "as little as 10 %".
"""

import time
from collections.abc import Iterator
from itertools import product
from math import cos, pi
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F

from s1m_lab.common.progress import Progress
from s1m_lab.data import augment, loader
from s1m_lab.data.shards import Shards
from s1m_lab.training import metrics, predict, runs
from s1m_lab.training.train import groups

TRAINED = {"fc7": ("fc8.",), "pool5": ("fc6.", "fc7.", "fc8.")}  # on the features of a layer
KEEPS = (0.1, 0.5, 0.9)  # shares of units that dropout keeps
RATES = (0.01, 0.1)
CLIP = 5.0  # norm of the gradient
LEAST = 10  # steps between two looks at the validation clips
PART = 1024  # clips scored at a time
COLUMNS = ("step", "trial", "keep", "lr", "epoch", "loss", "val_loss", "val_hit1")
TIMED = ("seconds",)


class Trial(NamedTuple):
    keep: float
    lr: float


def grid(keep: float = 0.0) -> list[Trial]:
    """The trials, in order; with a `keep` those of the rate alone."""
    return [Trial(*values) for values in product((keep,) if keep else KEEPS, RATES)]


def classify(net, x: torch.Tensor, layer: str) -> torch.Tensor:
    """Logits B×classes of the features of a layer."""
    if layer == "pool5":
        x = net.hidden(net.drop(x, layer=5))
    return net.fc8(net.drop(x, layer=7))


@torch.no_grad()
def probabilities(net, features: np.ndarray, layer: str) -> Iterator[np.ndarray]:
    """Class probabilities of all clips, averaged over their passes: float32 B×K at a time."""
    net.eval()
    for first in range(0, len(features), PART):
        x = torch.tensor(features[first : first + PART], device=net.scale.device)  # B×passes×D
        found = F.softmax(classify(net, x.flatten(0, 1), layer), dim=1)
        yield found.unflatten(0, x.shape[:2]).mean(dim=1).cpu().numpy()
    net.train()


def search(
    run: runs.Run, net, layer: str, found: dict[str, np.ndarray], stored: dict[str, Shards]
) -> tuple[dict, dict[str, torch.Tensor]]:
    """Every trial that is not done yet: (where the run stands, the best weights by name).

    `found` are the features of the clips of `train` and `val`, `stored` these clips. The best epoch
    of the best trial has the higher Hit@1 on the validation clips, of equals the lower loss.
    """
    settings, trained = run.config["settings"], TRAINED[layer]
    for name, p in net.named_parameters():
        p.requires_grad_(name.startswith(trained))
    first = {k: v.clone() for k, v in net.state_dict().items() if k.startswith(trained)}
    state, tensors = runs.load_checkpoint(run)
    state = state or {"step": 0, "trial": 0, "clips": 0, "seconds": 0.0, "waited": 0.0, "best": {}}
    best = tensors.get("best", {})
    log = runs.Log(run, COLUMNS + TIMED, state["step"])
    todo = [Trial(*values) for values in settings["trials"]]
    progress = Progress(f"training {run.name}", len(todo), "trials", state["trial"])
    for number in range(state["trial"], len(todo)):
        net.load_state_dict(first, strict=False)
        every = _epochs(net, todo[number], layer, found["train"], stored["train"], settings)
        for row, seconds, waited, done in every:
            loss, hit1 = predict.judged(stored["val"], probabilities(net, found["val"], layer))
            state["step"], state["clips"] = state["step"] + 1, state["clips"] + done
            state["seconds"], state["waited"] = state["seconds"] + seconds, state["waited"] + waited
            log.add(state["step"], number, *todo[number], *row, loss, hit1, seconds)
            score = [hit1, -loss]
            if not state["best"] or score > state["best"]["score"]:
                state["best"] = {"score": score, "trial": number, "epoch": row[0]}
                best = {k: v.cpu().clone() for k, v in net.state_dict().items() if k in first}
        state["trial"] = number + 1
        runs.save_checkpoint(run, state, best=best)
        progress.update(note=f"val Hit@1 {state['best']['score'][0]:.1%}")
    return state, best


def _epochs(
    net, trial: Trial, layer: str, features: np.ndarray, shards: Shards, settings: dict
) -> Iterator[tuple[tuple[int, float], float, float, int]]:
    """One trial, epoch by epoch: ((epoch, mean loss), seconds, of them for reading, clips)."""
    seed, few, device = settings["seed"], settings.get("few", 0), net.scale.device
    kept, counts = np.arange(len(shards)), shards.counts
    if few:
        kept, counts = loader.few(shards, few, seed)
    owners = predict.index(shards)["labels"].combine_chunks()
    batch_size = min(settings["batch_size"], len(kept))
    epoch_steps = len(kept) // batch_size
    steps = epoch_steps * settings["epochs"]
    momentum, decay = settings["momentum"], settings["decay"]
    parts = groups(net, settings["start"], TRAINED[layer])
    optimizer = torch.optim.SGD(parts, trial.lr, momentum=momentum, weight_decay=decay)
    net.train()  # whoever computed the features left it otherwise
    net.dropout = 1 - trial.keep
    losses, waited, clock = [], 0.0, time.perf_counter()
    for step, epoch, rows, samples in loader.plans(counts, batch_size, seed, settings["epochs"]):
        before = time.perf_counter()
        own = metrics.truth(owners.take(pa.array(kept[samples])).to_pylist(), net.classes)
        x = torch.from_numpy(features[kept[samples], 0]).to(device)
        targets = torch.from_numpy(own / own.sum(axis=1, keepdims=True)).float().to(device)
        waited += time.perf_counter() - before
        for group in optimizer.param_groups:
            group["lr"] = trial.lr * group["share"] * (1 + cos(pi * step / steps)) / 2
        net.rows = augment.masks(seed, step, rows)
        loss = F.cross_entropy(classify(net, x, layer), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for part in parts for p in part["params"]], CLIP)
        optimizer.step()
        losses.append(loss.detach())
        if (step + 1) % epoch_steps == 0 and (len(losses) >= LEAST or step + 1 == steps):
            mean, seconds = torch.stack(losses).mean().item(), time.perf_counter() - clock
            yield (epoch, mean), seconds, waited, len(losses) * batch_size
            losses, waited, clock = [], 0.0, time.perf_counter()
