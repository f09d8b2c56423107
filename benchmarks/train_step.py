"""The plain PyTorch reading of the paper, and a training step to time.

`benchmarks/bench.py` times with these; `train_step_gpu.json` and `train_step_gpu_all.json` are what
an earlier form of this file measured on an NVIDIA H200. Plain: `nn.Conv3d`, `nn.LocalResponseNorm`,
`nn.MaxPool3d`. Needs torch, and the repository.
"""

import time

import torch
import torch.nn.functional as F
from torch import nn

from s1m_lab import models

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
    optimizer = torch.optim.SGD(net.parameters(), 1e-6, 0.9, weight_decay=5e-4, fused=True)
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
