"""TODO data/augment."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from s1m_lab.data import keyed_random
from s1m_lab.models import MEAN


class Plan(NamedTuple):
    """What one process loads for one step."""

    step: int
    epoch: int
    rows: np.ndarray  # places in the global batch
    samples: np.ndarray  # clip numbers in the split


class Batch(NamedTuple):
    plan: Plan
    frames: Tensor  # uint8 b×T×H×W×3
    targets: Tensor  # float32 b×classes, each row summing to 1


def stored_side(size: int) -> int:
    """§3.3: frames of 200×200 for crops of 170, in proportion for other sizes (132 for 112)."""
    return round(size * 200 / 170)


def crops(samples: np.ndarray, seed: int, epoch: int, size: int, crop: int) -> np.ndarray:
    """The random crop of each sample: int B×3 of top, left (pixels) and flip (0 or 1)."""
    room = stored_side(size) - crop + 1
    numbers = keyed_random.draw(seed, epoch, keyed_random.CROPS, samples[:, None], np.arange(3))
    return (numbers % np.array([room, room, 2], np.uint64)).astype(int)


def masks(seed: int, step: int, rows: np.ndarray) -> Tensor:
    """The key of each clip's dropout masks: int64, a function of its place in the global batch."""
    return torch.from_numpy(keyed_random.draw(seed, step, keyed_random.MASKS, rows).view(np.int64))


def passes(size: int, crop: int, n: int = 4) -> list[tuple[int, int, int]]:
    """The crops of a test clip (top, left, flip): 4, two crops × two flips, or 1, the centre.

    The paper says "different crops and flips"; which is silent. The two crops are the top left and
    the bottom right one, which together see every pixel that training can see.
    """
    room = stored_side(size) - crop
    if n == 1:
        return [(room // 2, room // 2, 0)]
    return [(edge, edge, flip) for edge in (0, room) for flip in (0, 1)]


def augment(frames: Tensor, places: Sequence[Sequence[int]], size: int, crop: int) -> Tensor:
    """Crop, flip and subtract 117, on the device of `frames`, a batch in one step.

    `frames`: uint8 B×T×H×W×3 as stored; `places`: top, left, flip of each clip. Frames of another
    size than `stored_side(size)` are cut to their central square and resized to it first, so that
    the field of view does not depend on `size`. Returns float B×3×T×crop×crop.
    """
    frames = _resized(frames, stored_side(size))
    cut = []
    for clip, (top, left, flip) in zip(frames, places, strict=True):
        clip = clip[:, top : top + crop, left : left + crop]
        cut.append(clip.flip(2) if flip else clip)
    x = torch.stack(cut, dim=1)  # T×B×S×S×3: the order in which the networks read
    return x.float().sub_(MEAN).permute(1, 4, 0, 2, 3)


def _resized(frames: Tensor, side: int) -> Tensor:
    B, T, H, W = frames.shape[:4]
    if (H, W) == (side, side):
        return frames
    edge = min(H, W)
    top, left = (H - edge) // 2, (W - edge) // 2
    x = frames[:, :, top : top + edge, left : left + edge].flatten(0, 1).permute(0, 3, 1, 2)
    x = x if x.device.type == "cpu" else x.float()  # a CPU resizes bytes ten times as fast
    x = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
    return x.permute(0, 2, 3, 1).unflatten(0, (B, T))
