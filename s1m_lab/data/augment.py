"""Crops, flips and the mean: from stored frames to the input of a network, a batch at a time.

    augment = Augment(net.size, net.crop, seed)
    x = augment(frames, samples, epoch)          # a random view of each clip, to train

`frames` are uint8 B×T×H×W×3 on any device, `x` is float B×3×T×crop×crop with 117 subtracted (§3.3).
The numbers behind a random view are a function of seed, epoch and sample. The fixed views of a test
clip are in `training.predict`. Needs torch and numpy.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from s1m_lab.data.keyed_random import CROPS, keyed_uniform
from s1m_lab.models import MEAN


@dataclass(frozen=True)
class Augment:
    """§3.3: one random crop and flip for a clip, the same for all its frames.

    Everything below `seed` is a parameter of the augmentation. A new one is a field here, and a
    line in `__call__`: `settings` makes it part of what a training is known by.
    """

    size: int  # side of the full-frame crop, which decides the stored size
    crop: int  # side of the crop
    seed: int = 0
    flip: bool = True  # half of all clips are mirrored

    def settings(self) -> dict[str, Any]:
        """The parameters that the first runs did not have, for run names and fingerprints."""
        first = {"flip": True}  # these values leave older names and fingerprints as they are
        known = {f.name: getattr(self, f.name) for f in fields(self)[3:]}
        changed = {name: value for name, value in known.items() if first.get(name) != value}
        return {"augment": changed} if changed else {}

    def places(self, samples: np.ndarray, epoch: int) -> np.ndarray:
        """The random crop of each sample: int B×3 of top, left (pixels) and flip (0 or 1)."""
        room = stored_side(self.size) - self.crop + 1
        numbers = keyed_uniform(self.seed, epoch, CROPS, samples[:, None], np.arange(3))
        limits = np.array([room, room, 2 if self.flip else 1], np.uint64)
        return (numbers % limits).astype(int)

    def __call__(self, frames: Tensor, samples: np.ndarray, epoch: int) -> Tensor:
        """A random view of each clip: float B×3×T×crop×crop."""
        frames = resize(frames, stored_side(self.size))
        return cut(frames, self.places(samples, epoch), self.crop)


def stored_side(size: int) -> int:
    """§3.3: frames of 200×200 for crops of 170, in proportion for other sizes (132 for 112)."""
    return round(size * 200 / 170)


def cut(frames: Tensor, places: ArrayLike, crop: int) -> Tensor:
    """Crop, flip and subtract 117: B×T×side×side×3 → B×3×T×crop×crop.

    `places` (B×3) holds top, left and flip of each clip.
    """
    pick = _gather if frames.is_cuda else _copy
    x = pick(frames, np.asarray(places), crop)  # T×B×S×S×3: the order in which the networks read
    return x.sub_(MEAN).permute(1, 4, 0, 2, 3)


def _copy(frames: Tensor, places: np.ndarray, crop: int) -> Tensor:
    """Crop and flip clip by clip: float T×B×S×S×3. On a CPU this is faster than `_gather`."""
    B, T, _, _, C = frames.shape
    x = torch.empty(T, B, crop, crop, C)
    for n, (top, left, flip) in enumerate(places.tolist()):
        clip = frames[n, :, top : top + crop, left : left + crop]
        x[:, n] = clip.flip(2) if flip else clip
    return x


def _gather(frames: Tensor, places: np.ndarray, crop: int) -> Tensor:
    """The same in one kernel for the batch, without waiting for the device."""
    (B, T), device = frames.shape[:2], frames.device
    top, left, flip = send(torch.from_numpy(places), device).T[..., None]  # B×1 each
    i = torch.arange(crop, device=device)
    rows, columns = top + i, left + torch.where(flip > 0, crop - 1 - i, i)  # B×S
    t, b = torch.arange(T, device=device)[:, None], torch.arange(B, device=device)
    x = frames[b[:, None, None], t[..., None, None], rows[:, :, None], columns[:, None]]
    return x.float()


def send(numbers: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on the device. A GPU is not waited for, thanks to pinned memory."""
    numbers = numbers.pin_memory() if device.type == "cuda" else numbers
    return numbers.to(device, non_blocking=True)


def resize(frames: Tensor, side: int) -> Tensor:
    """Frames of another size: their central square, resized to side × side pixels.

    The field of view therefore does not depend on `side`.
    """
    B, T, H, W = frames.shape[:4]
    if (H, W) == (side, side):
        return frames
    edge = min(H, W)
    top, left = (H - edge) // 2, (W - edge) // 2
    x = frames[:, :, top : top + edge, left : left + edge].flatten(0, 1).permute(0, 3, 1, 2)
    x = x if x.device.type == "cpu" else x.float()  # a CPU resizes bytes ten times as fast
    x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    return x.permute(0, 2, 3, 1).unflatten(0, (B, T))
