"""Cached activations of the frozen layers, one row per clip.

    features = load_or_compute(net, weights, folder, "train", "fc7", seed, machine)
    features[samples, 0]           # float32 B×4096, read from the disk

Where only the top of a network is trained, the layers below give the same numbers in every epoch.
They are cached in the dataset's `features/` as float32 N×passes×numbers, in the order of the clips.
A training clip has one pass, with a random crop and flip; validation and test clips have the four
of §4. Where `pool5` is cached, `fc7` is computed from it, without reading the clips.

A file's name is a fingerprint of all that decides its bits. (`features/` also holds a folder for
each bag of words, see `baseline.bag_of_words`.)
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from s1m_lab.common.files import exclusive, fingerprint, is_sound, reading, write_array
from s1m_lab.common.progress import Progress
from s1m_lab.data import loader
from s1m_lab.data.augment import Augment
from s1m_lab.data.shards import Shards
from s1m_lab.training import predict

VERSION = 1  # raise it when the same network and clips give other numbers
MACHINE = ("precision", "threads", "device", "torch")  # the last bits depend on these


def load_or_compute(
    net, weights: str, folder: Path, split: str, layer: str, seed: int, machine: dict
) -> np.ndarray:
    """The activations of a layer for all clips of a split: float32 N×passes×numbers, memory-mapped.

    Args:
        net: a `models.Network` with the dataset's number of classes, or one of torchvision's.
        weights: an identifier of the weights below the layer (`runs.weights_digest`).
        folder: of the dataset, its clips made.
        layer: "pool5", the last pooling, or "fc7", the last hidden layer.
        seed: of the crops and flips of training clips.
        machine: from the run's `config.json`.

    Raises OSError where the disk has no room.
    """
    shards, here = Shards(folder / "clips", split), folder / "features"
    about = {"weights": weights, "clips": shards.fingerprint, "version": VERSION}
    about |= {"seed": seed if split == "train" else None, **{key: machine[key] for key in MACHINE}}
    if split == "train":
        about |= Augment(net.size, net.crop, seed).settings()
    name = f"{split}-{fingerprint(**about)}.npy"
    path, below = here / f"{layer}-{name}", here / f"pool5-{name}"
    with exclusive(here):
        if not is_sound(path):
            progress = Progress(f"{layer} of {split} clips", len(shards), "clips")
            if is_sound(below):
                parts = _hidden(net, np.load(below, mmap_mode="r", allow_pickle=False), machine)
            else:
                parts = compute(net, shards, layer, seed, machine)
            numbers = (net.fc6 if layer == "pool5" else net.fc8).in_features
            shape = (len(shards), 1 if split == "train" else predict.PASSES, numbers)
            write_array(path, shape, progress.over(parts))
    with reading(path, "repeat the command: it is made again", aside=True):
        return np.load(path, mmap_mode="r", allow_pickle=False)


@torch.no_grad()
def _hidden(net, pooled: np.ndarray, machine: dict) -> Iterator[np.ndarray]:
    """The last hidden layer from the last pooling, with the bits of `compute`."""
    device = net.scale.device
    net.eval()
    for first in range(0, len(pooled), predict.BATCH):
        passes = torch.tensor(pooled[first : first + predict.BATCH]).to(device).unbind(dim=1)
        with predict.autocast(device, machine["precision"]):
            out = [net.hidden(x.contiguous()).float().cpu() for x in passes]
        yield torch.stack(out, dim=1).numpy()


@torch.no_grad()
def compute(net, shards: Shards, layer: str, seed: int, machine: dict) -> Iterator[np.ndarray]:
    """The activations of a layer, batch by batch: float32 B×passes×numbers at a time."""
    device, total = net.scale.device, len(shards)
    reader = loader.ClipReader(shards, net.frames, net.classes, machine["threads"], device)
    augment = Augment(net.size, net.crop, seed)
    rows = np.split(np.arange(total), range(predict.BATCH, total, predict.BATCH))
    plan = [loader.Plan(0, 0, row, row) for row in rows]
    net.eval()
    for batch in reader.batches(plan):
        frames, out = batch.frames.to(device, non_blocking=True), []  # uint8 B×T×H×W×3
        views = predict.fixed_views(frames, net.size, net.crop)
        if shards.split == "train":
            views = iter([augment(frames, batch.plan.samples, epoch=0)])
        for x in views:  # B×3×T×S×S
            with predict.autocast(device, machine["precision"]):
                x = net.pooled(x)
                out.append((x if layer == "pool5" else net.hidden(x)).float().cpu())
        yield torch.stack(out, dim=1).numpy()
