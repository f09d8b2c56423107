"""The paper's sixteen networks: one class and two tables, FUSIONS × VIEWS.

    net = build("slow", classes=487)           # or "single-multires", "late-fovea", …
    logits = net(x)                            # x: B×3×T×S×S, T = len(net.frames), S = net.crop

A network is named `<fusion>` or `<fusion>-<view>`. The fusion sets which frames of a clip it takes
and how far the first three convolutions reach in time. The view sets which part of the frame it
takes. A new fusion is one more row of `FUSIONS`. This module needs torch and numpy alone.

Letters: B clips, T frames, C channels, H rows, W columns, S the side of the square crop. Sections
(§) are those of Karpathy et al., CVPR 2014. Where the paper is silent we decided:

- conv1 pads nothing (Figure 2 prints 27 after it on an 89×89 stream), conv2…conv5 keep the size,
  and pooling rounds up. No other reading ends at 7×7×256 for 170 and for 89 alike.
- Normalisation uses β = 0.5 as printed. AlexNet, which the paper calls the same, prints 0.75.
- Weights start He-normal, biases at zero, the last layer at N(0, 0.01). AlexNet's own start (0.01
  everywhere, biases of 1) does not leave chance at small widths.
- Dropout acts on both hidden layers, and only where a training passes it to `forward`.
- The two streams of a multiresolution network cut their own fovea and context from one crop of
  178/170 of the side. The context averages 2×2 pixels, since plain subsampling would alias.
"""

from collections import OrderedDict
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Fusion(NamedTuple):
    frames: Sequence[int]  # the frames taken, of a clip of 16
    time: tuple[tuple[int, int], ...]  # (extent, stride) in time of conv1, conv2, conv3


class View(NamedTuple):
    streams: tuple[str, ...]  # towers, each with its own weights
    halved: bool  # streams of half the crop's side, without the last pooling


# §3.1, Figure 1.
FUSIONS = {
    "single": Fusion(frames=(0,), time=((1, 1), (1, 1), (1, 1))),
    "early": Fusion(frames=range(10), time=((10, 1), (1, 1), (1, 1))),
    "late": Fusion(frames=(0, 15), time=((1, 1), (1, 1), (1, 1))),
    "slow": Fusion(frames=range(10), time=((4, 2), (2, 2), (2, 2))),
}
# §3.2, Figure 2.
VIEWS = {
    "": View(streams=("frame",), halved=False),
    "multires": View(streams=("fovea", "context"), halved=True),
    "fovea": View(streams=("fovea",), halved=True),
    "context": View(streams=("context",), halved=True),
}
NAMES = [f"{fusion}-{view}".rstrip("-") for fusion in FUSIONS for view in VIEWS]


def split_name(name: str) -> tuple[str, str]:
    """Split a network's name into its fusion and its view ("" for the full frame)."""
    fusion, _, view = name.partition("-")
    return fusion, view


class Layer(NamedTuple):
    filters: int
    extent: int  # in space
    stride: int
    padding: int
    norm: bool
    pool: bool


# §3.1: C(96,11,3)-N-P-C(256,5,1)-N-P-C(384,3,1)-C(384,3,1)-C(256,3,1)-P-FC(4096)-FC(4096)
LAYERS = (
    Layer(96, 11, 3, 0, norm=True, pool=True),
    Layer(256, 5, 1, 2, norm=True, pool=True),
    Layer(384, 3, 1, 1, norm=False, pool=False),
    Layer(384, 3, 1, 1, norm=False, pool=False),
    Layer(256, 3, 1, 1, norm=False, pool=True),
)
HIDDEN = 4096
MEAN = 117.0  # §3.3: subtracted from raw pixel values, before the network


class TimeConv(nn.Conv2d):
    """A convolution with an extent of `time[0]` frames and a stride of `time[1]` frames.

    It stacks the frames of its extent as channels. This equals a 3-D convolution without padding
    in time: all positions in time share the weights. T×B×C×H×W → T'×B×filters×H'×W'.
    """

    def __init__(self, channels: int, filters: int, layer: Layer, time: tuple[int, int]):
        super().__init__(channels * time[0], filters, layer.extent, layer.stride, layer.padding)
        self.time = time

    def forward(self, x: Tensor) -> Tensor:
        extent, stride = self.time
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))  # before copies, not after
        if extent > 1:
            last = len(x) - extent + 1
            x = x.movedim(2, -1)  # T×B×H×W×C, the order in memory: one copy stacks the frames
            x = torch.cat([x[t : last + t : stride] for t in range(extent)], -1)
            x = x.movedim(-1, 2)  # T'×B×(extent·C)×H×W
        # A GPU's matrix units need more than the 3 channels of conv1. In fp32, where it uses none,
        # and on a CPU blocks are slower.
        in_blocks = x.is_cuda and x.dtype != torch.float32 and self.stride[0] > 1
        return _each(self.convolve_blocks if in_blocks else super().forward, x)

    def convolve_blocks(self, x: Tensor) -> Tensor:
        """The convolution of a stride s without padding, computed with stride 1: N×C×H×W.

        Blocks of s×s pixels become channels (space-to-depth), and so do blocks of the kernel, which
        is padded with zeros to whole blocks. Channels are padded to a multiple of 8.
        """
        (k, _), (s, _) = self.kernel_size, self.stride
        taps = ceil(k / s)
        blocks = [(side - k) // s + taps for side in x.shape[2:]]  # 170 gives 54 + 3
        rows, columns = (s * n - side for n, side in zip(blocks, x.shape[2:], strict=True))
        x = F.pad(x, [0, columns, 0, rows])  # or cut, where it is below 0
        weight = F.pad(self.weight, [0, s * taps - k] * 2)
        return F.conv2d(_to_depth(x, s), _to_depth(weight, s), self.bias)


def _to_depth(x: Tensor, s: int) -> Tensor:
    """N×C×(h·s)×(w·s) → N×(s·s·C, padded with zeros to a multiple of 8)×h×w."""
    N, C, H, W = x.shape
    x = x.permute(0, 2, 3, 1).reshape(N, H // s, s, W // s, s, C)
    x = x.transpose(2, 3).flatten(3)  # N×h×w×(s·s·C)
    return F.pad(x, [0, -x.shape[-1] % 8]).permute(0, 3, 1, 2)


class Norm(nn.Module):
    """Local response normalisation (§3.1: k=2, n=5, α=1e-4, β=0.5) of T×B×C×H×W.

    x_i · (k + α Σ x_j²)^-β over the n channels around i. The sum is a 1×1 convolution with a banded
    matrix. It equals the formula, is faster than padding and pooling, and is deterministic on every
    device. (`torch.nn.LocalResponseNorm` divides α by n; pass it alpha=5e-4.)
    """

    def __init__(self, channels: int, n: int = 5, k: float = 2.0, alpha: float = 1e-4):
        super().__init__()
        i = torch.arange(channels)
        band = alpha * ((i[:, None] - i[None]).abs() <= n // 2)
        self.register_buffer("band", band[:, :, None, None], persistent=False)
        self.register_buffer("k", torch.full((channels,), k), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return _each(lambda x: _Normalise.apply(x, self.band.to(x.dtype), self.k.to(x.dtype)), x)


class _Normalise(torch.autograd.Function):
    """y = x·r with r = (k + band∗x²)^-½, so dx = dy·r − x·(band∗(dy·x·r³)). It stores x and r."""

    @staticmethod
    def forward(ctx, x, band, k):
        with torch.autocast(x.device.type, enabled=False):
            r = F.conv2d(x.square(), band, k).rsqrt_()
        ctx.save_for_backward(x, r, band)
        return x * r

    @staticmethod
    def backward(ctx, dy):
        x, r, band = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            dyr = dy * r
            through = F.conv2d(dyr * x * r.square(), band)
            return torch.addcmul(dyr, x, through, value=-1), None, None


class Pool(nn.MaxPool2d):
    """§3.1: 2×2, non-overlapping, max. The last row and column may be half a window."""

    def __init__(self):
        super().__init__(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        return _each(super().forward, x)


def _each(function, x: Tensor) -> Tensor:
    """Apply a function of N×C×H×W to every frame of T×B×C×H×W."""
    return function(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _tower(fusion: Fusion, width: float, last_pool: bool) -> nn.Sequential:
    """The convolutions of one stream: T×B×3×H×W → T'×B×(256·width)×h×w."""
    steps: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 3
    times = fusion.time + ((1, 1), (1, 1))
    for number, (layer, time) in enumerate(zip(LAYERS, times, strict=True), 1):
        filters = max(1, round(layer.filters * width))
        steps[f"conv{number}"] = TimeConv(channels, filters, layer, time)
        steps[f"relu{number}"] = nn.ReLU()
        if layer.norm:
            steps[f"norm{number}"] = Norm(filters)
        if layer.pool and (last_pool or number < len(LAYERS)):
            steps[f"pool{number}"] = Pool()
        channels = filters
    return nn.Sequential(steps)


def _halve(x: Tensor) -> Tensor:
    """The mean of 2×2 pixels: N×C×H×W → N×C×H/2×W/2. With rows first, a CPU takes a third of the
    time of `F.avg_pool2d`, and 0.93 of the time of a step of slow-multires."""
    x = x[:, :, ::2] + x[:, :, 1::2]
    return (x[..., ::2] + x[..., 1::2]) / 4


class Dropout(NamedTuple):
    """Dropout of a batch: each clip's mask is a function of its key, the layer and the unit.

    A mask is therefore the same in whichever process and order its clip is computed.
    """

    share: float  # of units dropped
    keys: Tensor  # int64 B

    def __call__(self, x: Tensor, layer: int) -> Tensor:
        """Drop units of x (B×units) and scale the others up."""
        units = torch.arange(x.shape[1], device=x.device) + (layer << 24)
        keys = self.keys.to(x.device, non_blocking=True)[:, None] & 0xFFFFFFFF
        bits = _mix(_mix(keys) ^ units)  # B×units, uniform below 2³²
        return x * (bits >= int(self.share * 2**32)) / (1 - self.share)


def _mix(x: Tensor) -> Tensor:
    """Scramble 32-bit numbers held in int64, alike on every device."""
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def drop(x: Tensor, layer: int, dropout: Dropout | None) -> Tensor:
    """Apply dropout before a layer; without it, or with a share of 0, return x."""
    return dropout(x, layer) if dropout and dropout.share else x


class Network(nn.Module):
    """One of the sixteen networks; `build` makes it.

    - `frames`: the frames of a clip that it takes
    - `size`: the side of the full-frame crop in pixels
    - `crop`: the side of the crop that this network takes (§3.2: 178 for 170 with two streams)
    - `scale`: the factor of its input, saved with the weights, which fit no other
    """

    scale: Tensor

    def __init__(self, name: str, classes: int, width: float, size: int):
        super().__init__()
        fusion, view = split_name(name)
        self.name, self.classes, self.width, self.size = name, classes, width, size
        self.fusion, self.view = FUSIONS[fusion], VIEWS[view]
        self.frames = tuple(self.fusion.frames)
        self.crop = view_crop(size) if self.view.halved else size
        self.register_buffer("scale", torch.ones(()))

        self.towers = nn.ModuleDict(
            {s: _tower(self.fusion, width, not self.view.halved) for s in self.view.streams}
        )
        hidden, inputs = fc6_shape(name, width, size)
        self.fc6 = nn.Linear(inputs, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.fc8 = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits B×classes of x: float B×3×T×S×S, `MEAN` already subtracted."""
        x = self.hidden(self.pooled(x), dropout)  # B×units
        return self.fc8(drop(x, 7, dropout))

    def pooled(self, x: Tensor) -> Tensor:
        """The outputs of all towers' last pooling, B×numbers."""
        x = torch.cat([self.towers[s](frames) for s, frames in self.streams(x).items()], dim=2)
        return x.movedim(0, 1).flatten(1)  # T'×B×C×h×w → B×(T'·C·h·w)

    def hidden(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """The outputs of fc6 and fc7 for `pooled`: B×units."""
        x = F.relu(self.fc6(x))
        return F.relu(self.fc7(drop(x, 6, dropout)))

    def streams(self, x: Tensor) -> dict[str, Tensor]:
        """The scaled input of each tower from x (B×3×T×S×S): T×B×3×s×s, s = S or S/2."""
        B, C, T, S = x.shape[:4]
        if (T, S, x.shape[4]) != (len(self.frames), self.crop, self.crop):
            raise ValueError(
                f"{self.name} takes B×3×{len(self.frames)}×{self.crop}×{self.crop}, "
                f"not {'×'.join(map(str, x.shape))}"
            )
        x = (x.movedim(2, 0) * self.scale).flatten(0, 1)  # (T·B)×3×S×S
        x = x.contiguous(memory_format=torch.channels_last)
        edge = S // 4
        cut = {
            "frame": lambda: x,
            "fovea": lambda: x[:, :, edge : edge + S // 2, edge : edge + S // 2],
            "context": lambda: _halve(x),
        }
        return {s: cut[s]().unflatten(0, (T, B)) for s in self.view.streams}


def build(
    name: str, classes: int = 487, width: float = 1.0, size: int = 170, seed: int = 0
) -> Network:
    """Build the network `name` with `width` times the paper's filters and units in every layer.

    `size` is the side of the full-frame crop in pixels (views take 178/170 of it). `seed` governs
    the starting weights. Raises ValueError for an unknown name, and for a size at which the full
    and the two-stream networks do not end on the same grid. `build("slow")` has 75.5 M weights.
    """
    if name not in NAMES:
        raise ValueError(f"no network named {name!r}; there are: {', '.join(NAMES)}")
    check_size(size)
    net = Network(name, classes, width, size)
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.get_parameter("bias"))
    nn.init.normal_(net.fc8.weight, std=0.01, generator=generator)
    return net.to(memory_format=torch.channels_last)


def fc6_shape(name: str, width: float, size: int) -> tuple[int, int]:
    """Units and inputs of fc6, the layer with the most weights."""
    fusion, view = split_name(name)
    columns = len(FUSIONS[fusion].frames)  # in time, after each convolution
    for extent, stride in FUSIONS[fusion].time:
        columns = (columns - extent) // stride + 1
    channels = len(VIEWS[view].streams) * max(1, round(LAYERS[-1].filters * width))
    return max(1, round(HIDDEN * width)), columns * channels * _grid(size, pools=3) ** 2


def check_size(size: int) -> None:
    """Raise ValueError, with the nearest good size, where the last grids of views differ."""
    if not _agree(size):
        nearest = min(filter(_agree, range(24, 2 * size + 48)), key=lambda s: (abs(s - size), s))
        raise ValueError(
            f"size {size} does not suit both the full frame and the two streams "
            f"(their last grids differ); the nearest that does is {nearest}"
        )


def view_crop(size: int) -> int:
    """§3.2: 178 for 170, an even number of pixels in proportion for other sizes."""
    return 2 * round(size * 178 / 170 / 2)


def _grid(side: int, pools: int) -> int:
    """The side of the last feature map of a stream of `side` pixels: 170 with 3 pools gives 7."""
    side = (side - LAYERS[0].extent) // LAYERS[0].stride + 1
    for _ in range(pools):
        side = ceil(side / 2)
    return side


def _agree(size: int) -> bool:
    return size >= 43 and _grid(size, pools=3) == _grid(view_crop(size) // 2, pools=2)


def summary(net: Network):
    """Tabulate the layers: columns `layer`, `shape` (of one clip) and `parameters`.

    A shape is T×C×H×W, or the number of units.
    """
    import pandas as pd

    rows = []

    def note(layer: str, shape: Sequence[int], *weights: Tensor) -> None:
        rows.append((layer, "×".join(map(str, shape)), sum(w.numel() for w in weights)))

    streams = net.streams(torch.zeros(1, 3, len(net.frames), net.crop, net.crop))
    for stream, x in streams.items():
        note(f"{stream} (input)", x[:, 0].shape)
    with torch.no_grad():
        for stream, x in streams.items():
            for layer, module in net.towers[stream].named_children():
                x = module(x)  # T×B×C×H×W
                if not isinstance(module, nn.ReLU):
                    name = f"{stream}.{layer}".removeprefix("frame.")
                    note(name, x[:, 0].shape, *module.parameters())
    for layer in ("fc6", "fc7", "fc8"):
        linear = getattr(net, layer)
        note(layer, [linear.out_features], *linear.parameters())
    return pd.DataFrame(rows, columns=["layer", "shape", "parameters"])
