"""Scores are made in parts: the same numbers as from the whole, in little memory."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from s1m_lab import models
from s1m_lab.data import loader
from s1m_lab.data.shards import Shards
from s1m_lab.training import metrics, predict, runs


def saved_run(folder, counts, classes, seed=0):
    """A run with predictions of videos of so many clips each, and the folder of its dataset."""
    rng, run = np.random.default_rng(seed), runs.Run(folder / "runs" / "mine")
    (run.path / "predictions").mkdir(parents=True)
    (folder / "clips").mkdir()
    video = np.repeat(np.arange(len(counts)), counts)
    found = rng.random((len(video), classes), np.float32).round(2)
    np.save(run.path / "predictions" / "test.npy", found)
    own = [
        sorted({int(k) for k in rng.integers(classes, size=1 + v % 2)}) for v in range(len(counts))
    ]
    index = {
        "video": [f"v{v}" for v in video],
        "clip": np.concatenate([np.arange(n) for n in counts]),
        "labels": [own[v] for v in video],
    }
    pq.write_table(pa.table(index), run.path / "predictions" / "test.parquet")
    status = {"split": ["test", "train", "test"], "status": ["missing", "empty", "ok"]}
    pq.write_table(pa.table(status), folder / "clips" / "status.parquet")
    return run, found, video, own


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_parts_are_the_whole_with_every_video_in_one(tmp_path, size):
    counts = [3, 1, 2, 9, 1, 1, 4]
    run, found, video, own = saved_run(tmp_path, counts, 5)
    saved, parts = predict.load_predictions(run), []
    assert saved.ids == [f"v{v}" for v in range(7)] and saved.labels == own
    assert np.array_equal(saved.clip_video, video)
    for part in saved.parts(size):
        parts.append(part)
        assert len(part.clip_video) <= max(size, *counts) and part.clip_video[0] == 0
        assert len(part.clip_video) <= size or len(part.ids) == 1
    assert [i for part in parts for i in part.ids] == saved.ids
    assert [own for part in parts for own in part.clip_labels] == saved.clip_labels
    assert np.array_equal(np.concatenate([p.clip_probabilities for p in parts]), found)
    means = np.concatenate([part.video_probabilities for part in parts])
    assert np.array_equal(means, saved.video_probabilities)  # to the bit


def test_scores_by_plain_loops(tmp_path, monkeypatch):
    counts = np.random.default_rng(1).integers(1, 9, 60)
    run, found, video, own = saved_run(tmp_path, counts, 12)

    def right(row, true, k):
        return any((np.delete(row, true) >= row[label]).sum() < k for label in true)

    clip = [right(row, own[v], 1) for row, v in zip(found, video, strict=True)]
    means = [found[video == v].astype(float).mean(axis=0) for v in range(60)]
    expected = {"clip_hit1": np.mean(clip), "clips": len(video), "videos": 60, "videos_missing": 1}
    expected["largest_class"] = max(sum(k in each for each in own) for k in range(12)) / 60
    for k in (1, 5):
        expected[f"video_hit{k}"] = np.mean([right(means[v], own[v], k) for v in range(60)])
    for size in (5, 4096):
        monkeypatch.setattr(predict.Predictions.parts, "__defaults__", (size,))
        assert predict.scores(run, tmp_path) == expected


def test_scoring_takes_no_memory_for_all_clips(tmp_path):
    """30,000 clips × 200 classes are 24 MB of floats."""
    run, found, _, _ = saved_run(tmp_path, [20] * 1500, 200)
    tracemalloc.start()
    predict.scores(run, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found.nbytes


def test_validation_is_that_of_all_clips_at_once(small_home, monkeypatch):
    monkeypatch.setenv("S1M_HOME", str(small_home))
    shards = Shards(small_home / "data" / "pocket" / "clips", "val")
    net = models.build("single", 16, 0.1, 56)
    monkeypatch.setattr(predict, "BATCH", 7)
    assert len(shards) > 14
    reader = loader.ClipReader(shards, net.frames, net.classes, 1, torch.device("cpu"))
    loss, hit = predict.validate(net, reader, "fp32")
    found = np.concatenate([*predict.probabilities(net, reader, "fp32", passes=1)])
    data = loader.Clips(shards, net.frames, 16, 1)
    targets = data.take(range(len(shards))).targets.numpy()
    assert loss == pytest.approx(-(targets * np.log(found)).sum(axis=1).mean())
    assert hit == metrics.hits(found, [np.flatnonzero(row) for row in targets], 1).mean()


@pytest.mark.parametrize("height,width", [(200, 200), (227, 277), (100, 100)])
def test_other_stored_sizes_keep_the_field_of_view(height, width):
    ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
    frames = ramp.astype(np.uint8)[None, None]
    (x,) = predict.fixed_views(torch.from_numpy(frames), 112, 132, n=1)
    x = x[0, :, 0] + 117
    edge, left = min(height, width), (width - min(height, width)) // 2
    square = Image.fromarray(frames[0, 0][:, left : left + edge])
    expected = np.asarray(square.resize((132, 132), Image.BILINEAR)).astype(float)
    assert np.abs(x.permute(1, 2, 0).numpy() - expected).mean() < 1


def test_the_four_passes_are_two_crops_and_two_flips():
    assert predict.fixed_places(170, 170) == [(0, 0, 0), (0, 0, 1), (30, 30, 0), (30, 30, 1)]
    assert predict.fixed_places(170, 178, n=1) == [(11, 11, 0)]
    frames = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 1, 79, 79, 3), np.uint8)
    )
    views = list(predict.fixed_views(frames, 67, 67))
    assert torch.equal(views[1], views[0].flip(-1)) and torch.equal(views[3], views[2].flip(-1))
    assert torch.equal(views[2][0, :, 0], frames[0, 0, 12:, 12:].permute(2, 0, 1).float() - 117)
