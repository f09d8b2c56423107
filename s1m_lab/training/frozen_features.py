"""What the fixed part of a network makes of every clip, computed once and kept.

    found = features.prepare(net, weights, folder, "train", "fc7", seed, machine)
    found[samples, 0]              # float32 B×4096, read from the disk

Where only the top of a network is trained, what lies below says the same of a clip in every epoch.
It is kept in the dataset's `features/`, float32, in the order of the clips: N×passes×numbers. A
training clip has one pass, with a crop and a flip drawn once; validation and test clips have the
four of §4. A file is known by the bytes of the weights, the clips, the layer, the seed of the crops
and the machine's precision and threads, so that the same batches, computed again, give its bits.
Where `pool5` is kept, `fc7` is made of it, without a look at the clips.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from s1m_lab.common.files import atomic, exclusive, fingerprint, require_space
from s1m_lab.common.progress import Progress
from s1m_lab.data import augment, loader
from s1m_lab.data.shards import Shards
from s1m_lab.training import predict

VERSION = 1  # raise it when the same network and clips give other numbers
LAYERS = ("pool5", "fc7")  # the last pooling, the last hidden layer
MACHINE = ("precision", "threads", "device", "torch")  # on which the last bits depend


def prepare(
    net, weights: str, folder: Path, split: str, layer: str, seed: int, machine: dict
) -> np.ndarray:
    """The answers of a layer to all clips of a split: float32 N×passes×numbers, mapped from disk.

    Args:
        net: a `models.Network` with the dataset's number of classes, or a `strangers.Stranger`.
        weights: what those below the layer are known by (`runs.weights_print`).
        folder: of the dataset, its clips made.
        layer: one of `LAYERS`.
        seed: of the crops and flips of training clips.
        machine: `config.json`'s of the run.

    Raises OSError where the disk has no room.
    """
    shards, here = Shards(folder / "clips", split), folder / "features"
    about = {"weights": weights, "clips": shards.fingerprint, "version": VERSION}
    about |= {"seed": seed if split == "train" else None, **{key: machine[key] for key in MACHINE}}
    name = f"{split}-{fingerprint(**about)}.npy"
    path, below = here / f"{layer}-{name}", here / f"pool5-{name}"
    with exclusive(here):
        if not path.is_file():
            shape = (len(shards), _passes(split), _numbers(net, layer))
            require_space(here, 4 * np.prod(shape, dtype=float))
            progress = Progress(f"{layer} of {split} clips", len(shards), "clips")
            if below.is_file():
                parts = _hidden(net, np.load(below, mmap_mode="r", allow_pickle=False), machine)
            else:
                parts = computed(net, shards, layer, seed, machine)
            with atomic(path) as temporary:
                out, done = np.lib.format.open_memmap(temporary, "w+", np.float32, shape), 0
                for part in parts:
                    out[done : done + len(part)] = part
                    done += len(part)
                    progress.update(len(part))
                out.flush()
                del out  # closed, before Windows is to rename it
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _passes(split: str) -> int:
    return 1 if split == "train" else 4


def _numbers(net, layer: str) -> int:
    return (net.fc6 if layer == "pool5" else net.fc8).in_features


@torch.no_grad()
def _hidden(net, pooled: np.ndarray, machine: dict) -> Iterator[np.ndarray]:
    """What `computed` gives of the last hidden layer, from what it gave of the last pooling."""
    device = net.scale.device
    net.eval()
    for first in range(0, len(pooled), predict.BATCH):
        passes = torch.tensor(pooled[first : first + predict.BATCH]).to(device).unbind(dim=1)
        with predict.autocast(device, machine["precision"]):
            out = [net.hidden(x.contiguous()).float().cpu() for x in passes]
        yield torch.stack(out, dim=1).numpy()


@torch.no_grad()
def computed(net, shards: Shards, layer: str, seed: int, machine: dict) -> Iterator[np.ndarray]:
    """What `prepare` keeps, batch by batch: float32 B×passes×numbers at a time."""
    device, total = net.scale.device, len(shards)
    workers = max(1, machine["threads"] - 1) if device.type == "cuda" else 0
    data = loader.Clips(shards, net.frames, net.classes, 1 if workers else machine["threads"])
    rows = np.split(np.arange(total), range(predict.BATCH, total, predict.BATCH))
    net.eval()
    for batch in loader.loader(data, [augment.Plan(0, 0, row, row) for row in rows], workers):
        row, frames = batch.plan.samples, batch.frames.to(device, non_blocking=True)
        if _passes(shards.split) == 1:
            views = [augment.crops(row, seed, 0, net.size, net.crop)]
        else:
            views = [[place] * len(row) for place in augment.passes(net.size, net.crop)]
        out = []
        for places in views:
            x = augment.augment(frames, places, net.size, net.crop)
            with predict.autocast(device, machine["precision"]):
                x = net.pooled(x)
                out.append((x if layer == "pool5" else net.hidden(x)).float().cpu())
        yield torch.stack(out, dim=1).numpy()
