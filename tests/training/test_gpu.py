"""What a GPU computes is what a CPU computes. Nothing here has run yet: no GPU could be had."""

import numpy as np
import pytest
import torch

from s1m_lab import models
from s1m_lab.data import augment, loader
from s1m_lab.training import distributed, predict, train

if not torch.cuda.is_available():
    pytest.skip("there is no GPU", allow_module_level=True)

GPU = torch.device("cuda", 0)
# Processes that read ahead are forked from one with threads.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


class Noise:
    """The shards of a split: 40 clips of noise."""

    split, counts, height, width, frames = "train", np.array([40]), 60, 60, 16

    def __len__(self):
        return 40

    def labels(self, shard, rows):
        return [[row % 2] for row in rows]

    def read_into(self, out, shard, row, frames):
        out[:] = np.random.default_rng(row).integers(0, 256, out.shape, np.uint8)


@pytest.mark.parametrize("name", ["single", "slow", "early", "single-multires"])
@pytest.mark.parametrize("precision, close", [("fp32", 1e-3), ("bf16", 0.05)])
def test_a_network_computes_what_it_computes_on_a_cpu(name, precision, close):
    distributed.set_up(2, deterministic=False)
    net = models.build(name, 5, 0.25, 112)
    frames = torch.randint(0, 256, (4, len(net.frames), 132, 132, 3), dtype=torch.uint8)
    places = np.array([[0, 0, 0], [3, 9, 1], [13, 13, 1], [5, 1, 0]])
    x = augment.cut(frames, places, net.crop)
    assert torch.equal(augment.cut(frames.to(GPU), places, net.crop).cpu(), x)
    expected = net(x).detach()
    with predict.autocast(GPU, precision):
        found = net.to(GPU)(x.to(GPU)).detach().float().cpu()
    assert (found - expected).abs().max() < close * expected.abs().max()


@pytest.mark.parametrize("eighth", [1e9, 0], ids=["on the device", "pinned"])
def test_held_clips_are_those_that_are_decoded(eighth, monkeypatch):
    free = {"cuda": eighth, "cpu": 1e9}
    monkeypatch.setattr(loader.system, "free_memory", lambda device="cpu": 8 * free[device])
    plan = [loader.Plan(n, 0, np.arange(3), np.array([n, 39, 7])) for n in range(4)]
    reader = loader.ClipReader(Noise(), range(10), 2, threads=2, device=GPU)
    decoded = list(reader.batches(plan))
    reader.hold(np.arange(40), quiet=True)
    assert reader.held[0].device.type == ("cuda" if eighth else "cpu")
    for one, other in zip(decoded, reader.batches(plan), strict=True):
        assert other.frames.device == other.targets.device == GPU
        assert torch.equal(one.frames, other.frames.cpu())
        assert torch.equal(one.targets, other.targets.cpu())


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_a_step_does_not_wait_for_the_gpu():
    net = models.build("slow", 2, 0.25, 43).to(GPU)
    view, plans = augment.Augment(43, net.crop), loader.plan_batches(np.array([40]), 8, 0, 3)
    reader = loader.ClipReader(Noise(), net.frames, 2, threads=2, device=GPU)
    reader.hold(np.arange(40), quiet=True)
    optimizer = torch.optim.SGD(net.parameters(), 1e-4, 0.9, fused=True)
    try:
        for n, batch in enumerate(reader.batches(plans)):
            x = view(batch.frames, batch.plan.samples, batch.plan.epoch)
            dropout = train.step_dropout(0.5, 0, batch.plan, GPU)
            with predict.autocast(GPU, "bf16"):
                logits = net(x, dropout)
            torch.nn.functional.cross_entropy(logits.float(), batch.targets).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            if n == 2:  # the first steps may wait
                torch.cuda.set_sync_debug_mode("error")
    finally:
        torch.cuda.set_sync_debug_mode("default")
