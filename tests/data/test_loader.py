"""Sampling as a pure function; the batched device step against a plain one."""

import os
import sys
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from s1m_lab.data import augment, keyed_random, loader

COUNTS = np.array([7, 30, 12, 25, 16, 9, 31, 2])


def test_draws_are_uniform_and_a_function_of_all_their_keys():
    numbers = keyed_random.keyed_uniform(0, 1, 2, np.arange(20_000))
    assert np.array_equal(numbers[:5], keyed_random.keyed_uniform(0, 1, 2, np.arange(5)))
    share = np.bincount((numbers % 10).astype(int)) / 20_000
    assert np.abs(share - 0.1).max() < 0.01
    for keys in ((0, 1, 3), (0, 2, 2), (1, 1, 2), (-1, 1, 2)):
        other = keyed_random.keyed_uniform(*keys, np.arange(20_000))
        assert np.intersect1d(numbers, other).size == 0
    corners = np.corrcoef(
        (keyed_random.keyed_uniform(np.arange(5000)) >> 40).astype(float)[:-1],
        (keyed_random.keyed_uniform(np.arange(5000)) >> 40).astype(float)[1:],
    )
    assert abs(corners[0, 1]) < 0.05


@pytest.mark.parametrize("window", [1, 3, 16])
def test_an_epoch_sees_each_clip_at_most_once(window):
    for epoch in range(3):
        plan = [p for p in loader.plan_batches(COUNTS, 10, 5, 3, window=window) if p.epoch == epoch]
        seen = np.concatenate([p.samples for p in plan])
        assert len(plan) == 13 and len(np.unique(seen)) == 130 and seen.max() < COUNTS.sum()
        assert [p.step for p in plan] == list(range(epoch * 13, epoch * 13 + 13))


def test_the_order_changes_with_epoch_and_seed():
    first, second, *_ = np.split(
        np.stack([p.samples for p in loader.plan_batches(COUNTS, 10, 5, 3)]), 3
    )
    other = np.stack([p.samples for p in loader.plan_batches(COUNTS, 10, 6, 1)])
    assert not np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize("start", [0, 1, 12, 13, 20, 38])
def test_a_resumed_order_is_the_rest_of_the_whole(start):
    whole = list(loader.plan_batches(COUNTS, 10, 5, 3, window=2))
    rest = list(loader.plan_batches(COUNTS, 10, 5, 3, start=start, window=2))
    assert len(rest) == 39 - start
    for a, b in zip(whole[start:], rest, strict=True):
        assert (a.step, a.epoch) == (b.step, b.epoch) and np.array_equal(a.samples, b.samples)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_processes_share_the_same_global_batches(ranks):
    whole = list(loader.plan_batches(COUNTS, 10, 5, 2))
    parts = [list(loader.plan_batches(COUNTS, 10, 5, 2, rank=r, ranks=ranks)) for r in range(ranks)]
    for step, plan in enumerate(whole):
        together = [part[step] for part in parts]
        assert np.array_equal(np.concatenate([p.samples for p in together]), plan.samples)
        assert np.array_equal(np.concatenate([p.rows for p in together]), np.arange(10))


def test_crops_depend_on_the_sample_and_reach_every_place():
    samples = np.arange(20_000)
    view = augment.Augment(170, 170, seed=0)
    places = view.places(samples, epoch=1)
    assert np.array_equal(places[[3, 77]], view.places(samples[[3, 77]], 1))
    assert places[:, :2].min() == 0 and places[:, :2].max() == 30
    assert len(np.unique(places[:, 0] * 31 + places[:, 1])) == 31 * 31
    assert places[:, 2].mean() == pytest.approx(0.5, abs=0.02)


def test_the_batched_step_is_the_plain_one():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 3, 132, 132, 3), np.uint8)
    view = augment.Augment(112, 112)
    places, x = view.places(np.arange(5), 0), view(torch.from_numpy(frames), np.arange(5), 0)
    assert x.shape == (5, 3, 3, 112, 112) and x.dtype == torch.float32
    for clip, (top, left, flip), ours in zip(frames, places, x, strict=True):
        for t in range(3):
            plain = clip[t, top : top + 112, left : left + 112].astype(np.float32) - 117
            plain = plain[:, ::-1] if flip else plain
            assert np.array_equal(ours[:, t].numpy(), plain.transpose(2, 0, 1))


@dataclass(frozen=True)
class Jittered(augment.Augment):
    brightness: float = 0.1


def test_what_changes_an_augmentation_changes_names_and_fingerprints():
    assert augment.Augment(112, 112, seed=3).settings() == {}, "names of older runs stay"
    plain = augment.Augment(112, 112, flip=False)
    assert plain.settings() == {"augment": {"flip": False}}
    assert plain.places(np.arange(100), 0)[:, 2].sum() == 0
    assert Jittered(112, 112).settings() == {"augment": {"brightness": 0.1}}


class TwoLabels:
    """What `Clips` asks of the shards of a split: three clips, the second of two classes."""

    split, counts, height, width, frames = "train", np.array([3]), 4, 4, 16

    def __len__(self):
        return self.counts.sum()

    def read(self, shard, rows, frames):
        return np.zeros((len(rows), len(frames), 4, 4, 3), np.uint8)

    def read_into(self, out, shard, row, frames):
        out[:] = self.read(shard, [row], frames)[0]

    def labels(self, shard, rows):
        return [[[2], [0, 2], [1]][row] for row in rows]


def test_several_labels_share_the_target():
    data = loader.Clips(TwoLabels(), [0], classes=3, threads=1)
    batch = data.take([1, 0, 2])
    assert batch.targets.tolist() == [[0.5, 0, 0.5], [0, 0, 1], [0, 1, 0]]


def test_an_example_of_each_class_is_found_among_clips_of_one_label():
    found = loader.example_clips(TwoLabels(), seed=1)
    assert sorted(found) == [1, 2] and found[1].shape == (16, 4, 4, 3)


def test_where_all_clips_have_several_labels_each_class_has_an_example():
    shards = TwoLabels()
    shards.labels = lambda shard, rows: [[0, 2] for _ in rows]
    assert sorted(loader.example_clips(shards, seed=1)) == [0, 2]


class Cut(TwoLabels):
    """Nine clips of one class: six of green (about 90), one of them cut to red after its middle,
    and three of red."""

    counts = np.array([9])
    red = {1, 4, 7}

    def labels(self, shard, rows):
        return [[0]] * len(rows)

    def read(self, shard, rows, frames):
        out = np.zeros((len(rows), len(frames), 4, 4, 3), np.uint8)
        for n, row in enumerate(rows):
            for t, frame in enumerate(frames):
                red = row in self.red or (row == 5 and frame > 9)
                out[n, t, ..., 0 if red else 1] = 200 if red else 90 + row
        return out


def test_the_clip_of_a_class_is_a_usual_one():
    for seed in range(5):
        clip = loader.example_clips(Cut(), seed)[0]
        assert (clip[..., 0] == 0).all(), "neither another thing nor cut"


def test_clips_are_held_where_they_fit_and_give_the_same_batches(monkeypatch):
    plan = [
        loader.Plan(n, 0, np.arange(2), np.array(rows)) for n, rows in enumerate([[5, 1], [8, 5]])
    ]

    def batches(free):
        monkeypatch.setattr(loader.system, "free_memory", lambda device: free)
        reader = loader.ClipReader(Cut(), [0, 15], 2, threads=1, device=torch.device("cpu"))
        reader.hold(np.array([1, 5, 8]))
        return reader, list(reader.batches(plan))

    size = 3 * 2 * 4 * 4 * 3  # bytes of three clips
    (held, own), (anew, others) = batches(8 * size), batches(8 * size - 1)
    assert held.samples is not None and anew.samples is None
    for one, other in zip(own, others, strict=True):
        assert torch.equal(one.frames, other.frames) and torch.equal(one.targets, other.targets)
        assert one.frames.float().mean() > 0
    held.shards.read = None  # it reads nothing more
    assert torch.equal(next(held.batches(plan)).frames, own[0].frames)


def test_rows_of_held_clips_reach_another_device():
    """As from pinned memory to a GPU; `cpu:0` counts as another device than `cpu`."""
    whole, rows = torch.arange(12).reshape(4, 3), torch.tensor([2, 0, 2])
    for device in ("cpu", "cpu:0"):
        assert torch.equal(loader._take(whole, rows, torch.device(device)), whole[rows])


def test_the_crops_of_a_gpu_are_those_of_a_cpu():
    frames = torch.randint(0, 256, (5, 3, 20, 22, 3), dtype=torch.uint8)
    places = np.array([[0, 0, 0], [4, 6, 1], [1, 2, 1], [4, 0, 0], [3, 3, 1]])
    x = augment.cut(frames, places, 16)
    assert torch.equal(augment._gather(frames, places, 16) - 117, x.permute(2, 0, 3, 4, 1))
    for clip, (top, left, flip), own in zip(frames.numpy(), places, x.numpy(), strict=True):
        own = own.transpose(1, 2, 3, 0) + 117  # T×S×S×3
        for i in range(16):
            for j in range(16):
                column = left + (15 - j if flip else j)
                assert (own[:, i, j] == clip[:, top + i, column]).all()


@pytest.mark.skipif(sys.platform != "linux", reason="free memory is not known there")
def test_free_memory_is_known(monkeypatch):
    free = loader.system.free_memory()
    assert 0 < free < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert loader.system.free_memory() == pytest.approx(free / 4, rel=0.3)


def test_a_split_without_clips_is_held():
    empty = Cut()
    empty.counts = np.array([0])
    reader = loader.ClipReader(empty, [0], 2, threads=1, device=torch.device("cpu"))
    reader.hold(np.arange(0))
    assert list(reader.batches([])) == []
