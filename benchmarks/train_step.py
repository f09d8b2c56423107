"""Time one training step of a network against the plain PyTorch reading of the paper.

    python benchmarks/train_step.py                                  # slow and single, this CPU
    python benchmarks/train_step.py --models slow --device cuda --batch 256 --json out.json
    python benchmarks/train_step.py --models all --precision bf16 --alone     # ours, all sixteen

Ours: uint8 frames, cropped, flipped and centred on the device; time folded into channels or batch;
banded normalisation; channels-last. Plain: `nn.Conv3d`, `nn.LocalResponseNorm`, `nn.MaxPool3d`,
float frames already cropped on the host. Both end with the same SGD step; the two are timed in
turns within one process, and the ratio is that of each turn. The share of the peak is the
arithmetic of convolutions and matrix products alone (gradients included, twice the forward; none
for the input), over the best rate of a large matrix product and a large convolution measured in
the same turn. On a GPU, `peak_gb` is the most memory that ours took: weights, gradients, momenta,
activations and the batch; neither side may use TF32, as in a training. Needs torch and numpy, and
the repository.
"""

import argparse
import datetime
import gc
import json
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import s1m_lab  # before torch, so that OpenMP waits as it does in a training

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from s1m_lab import models
from s1m_lab.common import system
from s1m_lab.data import augment
from s1m_lab.training import distributed, runs

CLASSES = 487


class PlainNetwork(nn.Module):
    """The same network as one writes it from the paper, B×3×T×S×S → B×487."""

    def __init__(self, net: models.Network):
        super().__init__()
        self.view, self.crop = net.view, net.crop
        times = net.fusion.time + ((1, 1), (1, 1))
        self.towers = nn.ModuleDict()
        for stream in net.view.streams:
            layers, channels = [], 3
            for n, (layer, (extent, stride)) in enumerate(
                zip(models.LAYERS, times, strict=True), 1
            ):
                filters = max(1, round(layer.filters * net.width))
                k, s, p = layer.extent, layer.stride, layer.padding
                layers += [
                    nn.Conv3d(channels, filters, (extent, k, k), (stride, s, s), (0, p, p)),
                    nn.ReLU(),
                ]
                if layer.norm:
                    layers.append(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.5, k=2))
                if layer.pool and (n < 5 or not net.view.halved):
                    layers.append(nn.MaxPool3d((1, 2, 2), ceil_mode=True))
                channels = filters
            self.towers[stream] = nn.Sequential(*layers)
        hidden = net.fc7.in_features
        self.head = nn.Sequential(
            nn.Linear(net.fc6.in_features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, CLASSES),
        )

    def forward(self, x):
        edge, half = self.crop // 4, self.crop // 2
        cut = {
            "frame": lambda: x,
            "fovea": lambda: x[..., edge : edge + half, edge : edge + half],
            "context": lambda: F.avg_pool3d(x, (1, 2, 2)),
        }
        features = [self.towers[s](cut[s]()).flatten(1) for s in self.view.streams]
        return self.head(torch.cat(features, 1))


def flops(net: models.Network) -> float:
    """Multiplications and additions of a training step of one clip in its products alone."""
    total = []

    def count(module, inputs, output):
        channels = output.shape[2 if output.ndim == 5 else 1]
        forward = 2 * module.weight.numel() * output.numel() / channels
        total.append(forward * (2 if module in first else 3))

    first = {tower.conv1 for tower in net.towers.values()}
    products = [m for m in net.modules() if isinstance(m, (models.TimeConv, nn.Linear))]
    hooks = [m.register_forward_hook(count) for m in products]
    with torch.no_grad():
        net(torch.zeros(1, 3, len(net.frames), net.crop, net.crop))
    for hook in hooks:
        hook.remove()
    return sum(total)


def matrix_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Measured FLOP/s: the best of a large matrix product and a large 3×3 convolution.

    Both, because on a CPU they are different libraries, of which either may be the faster.
    """
    n, c, h = (8192, 512, 128) if device.type == "cuda" else (3072, 256, 64)
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    frames, kernel = (
        torch.randn(shape, device=device, dtype=dtype).to(memory_format=torch.channels_last)
        for shape in ((8, c, h, h), (c, c, 3, 3))
    )

    def best(step):
        step()
        return min(seconds(step, device) for _ in range(3))

    with torch.no_grad():
        product = 2 * n**3 / best(lambda: a @ b)
        convolution = 2 * 9 * c * c * 8 * h * h / best(lambda: F.conv2d(frames, kernel, padding=1))
    return max(product, convolution)


def seconds(step, device: torch.device, repeats: int = 1) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def stepper(net, take_input, device, precision):
    """One whole training step as a function: input to the device, loss, gradients, SGD."""
    optimizer = torch.optim.SGD(net.parameters(), 1e-6, momentum=0.9, weight_decay=5e-4)
    low = precision == "bf16"

    def step():
        x, targets = take_input()
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            logits = net(x)
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def measure(name, args, device, precision, kind) -> dict:
    net = models.build(name, CLASSES, args.width, args.size)
    work = flops(net)
    side, rng = augment.stored_side(args.size), np.random.default_rng(0)
    shape = (args.batch, len(net.frames), side, side, 3)
    frames = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
    view, samples = augment.Augment(args.size, net.crop), np.arange(args.batch)
    targets = torch.from_numpy(rng.integers(0, CLASSES, args.batch))
    if device.type == "cuda":
        frames, targets = frames.pin_memory(), targets.pin_memory()
        gc.collect()  # the network before, and its optimizer
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def to(t):
        return t.to(device, non_blocking=True)

    def ours():
        return view(to(frames), samples, epoch=0), to(targets)

    steps = [stepper(net.to(device), ours, device, precision)]
    seconds(steps[0], device, 3)
    row = {"model": name, "precision": precision}
    if device.type == "cuda":  # before the plain network is there
        row["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    if not args.alone:
        floats = view(frames, samples, epoch=0).contiguous()
        floats = floats.pin_memory() if device.type == "cuda" else floats
        plain = PlainNetwork(net).to(device)
        steps.append(stepper(plain, lambda: (to(floats), to(targets)), device, precision))
        seconds(steps[1], device, 3)
    turns = [
        [*(seconds(step, device, args.steps) for step in steps), matrix_peak(device, kind)]
        for _ in range(args.turns)
    ]
    took = [statistics.median(column) for column in zip(*turns, strict=True)]
    shares = [[work * args.batch / each / most for each in both] for *both, most in turns]
    shares = [statistics.median(column) for column in zip(*shares, strict=True)]
    row |= {
        "clips_per_second": args.batch / took[0],
        "gflop_per_clip": work / 1e9,
        "peak_tflops": took[-1] / 1e12,
        "share_of_peak": shares[0],
    }
    if args.alone:
        return row
    ratios = sorted(theirs / mine for mine, theirs, _ in turns)
    return row | {
        "plain_clips_per_second": args.batch / took[1],
        "ratio": statistics.median(ratios),
        "ratio_range": [ratios[0], ratios[-1]],
        "plain_share_of_peak": shares[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", default=["single", "slow"], help="names, or `all`")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=170)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3, help="steps in a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="ours alone, without the plain one")
    parser.add_argument("--json", help="write the figures here too")
    args = parser.parse_args()
    names = models.NAMES if args.models == ["all"] else args.models
    device = torch.device(args.device)
    if device.type == "cpu":
        system.keep_freed_memory()  # for both
    distributed.set_up(torch.get_num_threads(), deterministic=False)  # as a training does
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    about = {
        "date": datetime.date.today().isoformat(),
        "commit": runs.commit(),
        "machine": torch.cuda.get_device_name()
        if device.type == "cuda"
        else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "version": s1m_lab.__version__,
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
        "width": args.width,
        "size": args.size,
        "batch": args.batch,
    }
    print(json.dumps(about))
    print(f"{'model':16} {'':5} {'clips/s':>9} {'of peak':>8} {'GB':>6}", end="")
    print("" if args.alone else f" {'plain':>9} {'ratio':>6} {'of peak':>8}")
    rows = []
    for name in names:
        for precision in args.precision:
            r = measure(name, args, device, precision, kinds[precision])
            rows.append(r)
            line = f"{name:16} {precision:5} {r['clips_per_second']:9,.1f} "
            line += f"{r['share_of_peak']:8.1%} {r.get('peak_gb', float('nan')):6.2f}"
            if not args.alone:
                line += f" {r['plain_clips_per_second']:9,.1f} {r['ratio']:6.2f}"
                line += f" {r['plain_share_of_peak']:8.1%}"
            print(line, flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
