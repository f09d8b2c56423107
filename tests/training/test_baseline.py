"""Words, vectors and the baseline: against loops, against kills, on any number of workers.

The dataset is a folder of short films of two classes, a disc that rises and one that falls.
"""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from skimage import data

from s1m_lab import models
from s1m_lab.analysis import confusion, intervals
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.figures.confusion import draw_confused_clips
from s1m_lab.training import config, label_videos, metrics, predict, runs
from s1m_lab.training.baseline import bag_of_words, descriptors, train
from s1m_lab.training.baseline.bag_of_words import Codebook
from s1m_lab.training.train import train as train_network
from s1m_lab.video import writer

REPOSITORY = Path(__file__).parents[2]
IMPORTS = "from s1m_lab.training.baseline import bag_of_words, train"
WORDS = 12
CLIPS = {"clips": {"train": 2, "val": 2, "test": 2}, "size": 128}  # two shards to train on


# ------------------------------------------------------------------------------- words and vectors


def test_a_planted_word_is_found():
    rng = np.random.default_rng(0)
    planted = rng.normal(size=(6, 20)) * 5
    values = (planted[rng.integers(6, size=3000)] + rng.normal(size=(3000, 20))).astype(np.float32)
    found = bag_of_words.fit_codebook(values, 6, seed=1)
    apart = np.linalg.norm(found.words[:, None] - planted, axis=-1)
    assert sorted(apart.argmin(axis=0)) == list(range(6))
    assert apart.min(axis=0).max() < 0.5
    nearest = np.sort(((values[:, None] - found.words) ** 2).sum(-1), axis=1)
    assert found.spread == pytest.approx((nearest[:, 1] - nearest[:, 0]).mean(), rel=1e-4)


def test_few_descriptors_still_make_a_codebook():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for few in (values, values[:0]):
        book = bag_of_words.fit_codebook(few, 5, seed=0)
        assert book.words.shape == (5, 3) and book.spread > 0
        assert np.isfinite(bag_of_words.assign_softly(values, book)).all()


def test_soft_assignment_sums_to_one_and_is_its_formula():
    rng = np.random.default_rng(1)
    values, words = rng.normal(size=(50, 7)), rng.normal(size=(9, 7))
    found = bag_of_words.assign_softly(values, Codebook(words, 1.7))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for v, row in zip(values, found, strict=True):
        kernel = [np.exp(-sum((v - w) ** 2) / 1.7) for w in words]
        np.testing.assert_allclose(row, np.array(kernel) / sum(kernel), rtol=1e-6)
    far = bag_of_words.assign_softly(values + 1e4, Codebook(words, 1e-6))
    np.testing.assert_allclose(far.sum(axis=1), 1)


def test_the_cells_of_the_pyramid_add_up_to_the_whole():
    rng = np.random.default_rng(2)
    shares, places = rng.random((200, 5)), rng.random((200, 2))
    found = bag_of_words.count_pyramid(shares, places)
    np.testing.assert_allclose(found[1:].sum(axis=0), found[0])
    np.testing.assert_allclose(found[0], shares.sum(axis=0))
    cells = np.zeros((4, 5))
    for (y, x), share in zip(places, shares, strict=True):
        cells[(2 if y >= 0.5 else 0) + (1 if x >= 0.5 else 0)] += share
    np.testing.assert_allclose(found[1:], cells)


@pytest.mark.parametrize(("faces", "counted"), [(0, 0), (1, 1), (2, 2), (4, 3)])
def test_the_last_numbers_say_whether_a_clip_has_none_one_two_or_more_faces(faces, counted):
    sizes = descriptors.SIZES
    books = {
        kind: Codebook(np.zeros((7, sizes[kind.split()[0]]), np.float32), 1.0)
        for kind in descriptors.KINDS
    }
    face = data.astronaut()[:300, 100:400]
    picture = np.hstack([face] * faces) if faces else np.full((100, 100, 3), 90, np.uint8)
    found = bag_of_words.count_clip(np.stack([picture] * 9), books)
    assert found[bag_of_words.layout(7)["faces"]].tolist() == np.eye(4)[counted].tolist()


def test_every_histogram_of_a_vector_sums_to_one():
    rng = np.random.default_rng(3)
    sizes = descriptors.SIZES
    books = {k: Codebook(rng.normal(size=(7, sizes[k.split()[0]])).astype(np.float32), 1.0)
             for k in descriptors.KINDS}  # fmt: skip
    clips = rng.integers(0, 256, (2, 16, 40, 40, 3), np.uint8)
    clips[:, 1:] = clips[:, :1]  # still: no cuboid is interesting
    total = sum(bag_of_words.count_clip(clip, books) for clip in clips)
    found, layout = bag_of_words.normalise(total, 2, 7), bag_of_words.layout(7)
    assert len(found) == len(total) == layout["faces"].stop
    for block in bag_of_words.blocks(7):
        rows = found[layout[block.name]].reshape(block.rows, block.size)
        if block.histogram:
            np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[layout["cuboid points"]], 1 / 7, rtol=1e-6)
    moments = np.mean([descriptors.colour_moments(clip).ravel() for clip in clips], axis=0)
    np.testing.assert_allclose(found[layout["moments"]], moments, rtol=1e-5)
    assert bag_of_words.layout(800)["faces"].stop == 25_009


# ---------------------------------------------------------------------------------- a whole dataset


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """2 classes × 40 films of 20 to 39 frames, 64×48."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    y, x = np.mgrid[:48, :64]
    for n in range(40):
        start, column, length = rng.integers(48), rng.integers(16, 48), 20 + rng.integers(20)
        heights = (start + 3 * np.arange(length)) % 60 - 6
        discs = (y - heights[:, None, None]) ** 2 + (x - column) ** 2 < 49
        frames = np.where(discs[..., None], [250, 240, 60], [20, 70, 30]).astype(np.uint8)
        for label, order in (("falling", 1), ("rising", -1)):
            writer.encode(folder / label / f"{n}.mp4", frames[::order])
    return folder


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def folder(films, shared_home, monkeypatch) -> Path:
    """The dataset, made once for all tests of this file."""
    monkeypatch.setenv("S1M_HOME", str(shared_home))
    return prepare.prepare(films, workers=1, **CLIPS)


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())
            if not p.name.startswith(".")}  # fmt: skip


def started(home: Path, program: str) -> subprocess.Popen:
    env = {**os.environ, "S1M_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", f"{IMPORTS}\n{program}"]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)


def killed(process: subprocess.Popen, when, seconds: float = 120) -> None:
    """Kill it as soon as `when()` holds; it must not have ended by then."""
    end = time.monotonic() + seconds
    while not when():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_workers_and_kills_change_no_byte(folder, tmp_path):
    made = bag_of_words.make_vectors(folder, WORDS, workers=1)
    whole = digests(made)
    assert set(whole) == {"about.json", "codebooks.safetensors"} | {
        f"{split}.{kind}" for split in ("train", "val", "test") for kind in ("npy", "parquet")
    }
    before = (made / "train.npy").stat().st_mtime_ns
    assert bag_of_words.make_vectors(folder, WORDS, workers=1) == made
    assert (made / "train.npy").stat().st_mtime_ns == before, "made once"
    other = made.rename(tmp_path / "whole")
    assert digests(bag_of_words.make_vectors(folder, WORDS, workers=2)) == digests(other)

    made.rename(tmp_path / "two")
    program = f"bag_of_words.make_vectors(Path({str(folder)!r}), {WORDS}, workers=1)"
    make = f"from pathlib import Path\n{program}"
    for prefix, pieces in (("sample-", 1), ("train-", 1)):
        killed(
            started(folder.parent.parent, make),
            lambda p=prefix, n=pieces: len(list(made.glob(f"{p}*"))) >= n,
        )
        assert not (made / "about.json").exists()
    assert digests(bag_of_words.make_vectors(folder, WORDS, workers=1)) == whole


def test_vectors_are_those_of_the_videos_in_their_order(folder):
    made = bag_of_words.make_vectors(folder, WORDS, workers=1)
    books = bag_of_words.load_codebooks(made)
    for split in ("train", "test"):
        stored, found = Shards(folder / "clips", split), bag_of_words.load_vectors(made, split)
        index = [stored.index(n).to_pylist() for n in range(len(stored.counts))]
        assert found.ids == list(dict.fromkeys(row["video"] for rows in index for row in rows))
        assert found.counts.sum() == len(found.ids) == len(found.vectors)
        last = len(index) - 1
        own = [n for n, row in enumerate(index[last]) if row["video"] == found.ids[-1]]
        total = sum(bag_of_words.count_clip(c, books) for c in stored.read(last, own, range(16)))
        wanted = bag_of_words.normalise(total, len(own), WORDS)
        np.testing.assert_allclose(found.vectors[-1], wanted, atol=1e-6)
        assert found.labels[-1] == index[last][own[0]]["labels"]
    assert len(Shards(folder / "clips", "train").counts) > 1


def test_changed_settings_are_made_anew(folder, monkeypatch):
    first = bag_of_words.make_vectors(folder, WORDS, workers=1)
    other = bag_of_words.settings(folder, WORDS + 1)
    assert other != bag_of_words.settings(folder, WORDS)
    monkeypatch.setattr(bag_of_words, "VERSION", 99)
    assert bag_of_words.settings(folder, WORDS)["features"] == 99
    second = bag_of_words.make_vectors(folder, 4, workers=1)
    assert second != first and bag_of_words.load_vectors(second, "val").vectors.shape[1] != 0
    assert len(bag_of_words.load_codebooks(second)["hog grid"].words) == 4


# -------------------------------------------------------------------------------------- the tuning


def bits(run: runs.Run) -> dict:
    return {
        "weights": (run.path / "model.safetensors").read_bytes(),
        "predictions": digests(run.path / "predictions"),
        "metrics": run.metrics[list(train.COLUMNS)].to_csv(),
    }


def test_the_network_beats_chance_and_its_run_is_like_any_other(folder, films):
    run = train.tune(films, WORDS, epochs=12, workers=1)
    assert run == train.tune(films, WORDS, 0, 12, workers=1), "a finished run is found"
    assert run.name.startswith(f"{folder.name}-histograms-s0-")
    results = run.results
    saved = predict.load_predictions(run)
    low, _ = intervals.bootstrap(metrics.hits(saved.video_probabilities, saved.labels, 1))
    assert results["video_hit1"] >= 0.75 and low > 0.5
    assert results["clip_hit1"] is None
    assert results["clips"] == len(Shards(folder / "clips", "test"))
    assert results["videos"] == len(saved.ids) == len(saved.clip_probabilities) >= 6
    hits = [saved.video_probabilities[n].argmax() in own for n, own in enumerate(saved.labels)]
    assert results["video_hit1"] == pytest.approx(np.mean(hits))
    keys = {"model", "data", "classes", "seed", "parameters", "clip_hit1", "video_hit1", "epoch",
            "video_hit5", "largest_class", "clips", "videos", "videos_missing", "seconds",
            "data_wait", "precision", "train_clips_per_second", "threads", "version",
            "commit"}  # fmt: skip
    assert set(results) == keys
    linear = predict.load_predictions(run, "linear")
    assert linear.ids == saved.ids
    assert not np.array_equal(linear.clip_probabilities, saved.clip_probabilities)
    written = (run.path / "results.json").stat().st_mtime_ns
    assert train.tune(films, WORDS, epochs=12, workers=1).path == run.path
    assert (run.path / "results.json").stat().st_mtime_ns == written


def test_the_table_of_trials_is_that_of_the_metrics(folder, films):
    run = train.tune(films, WORDS, epochs=12, workers=1)
    table = train.trials(run)
    assert len(table) == len(train.grid()) and table["chosen"].sum() == 2
    for number, rows in run.metrics.groupby("trial"):
        best = max(rows.to_dict("records"), key=lambda r: (r["val_hit1"], -r["val_loss"]))
        assert table.loc[number, "val_loss"] == best["val_loss"]
    networks = table[table["depth"] > 0]
    chosen = networks[networks["chosen"]].iloc[0]
    top = networks[networks["val_hit1"] == networks["val_hit1"].max()]
    assert chosen["val_loss"] == top["val_loss"].min()
    assert run.results["epoch"] == chosen["epoch"]


def test_a_killed_search_ends_in_the_same_bits(folder, films):
    whole = train.tune(films, WORDS, epochs=12, run="whole", workers=1)
    program = f"train.tune({str(films)!r}, {WORDS}, epochs=12, run='killed', workers=1)"
    run = runs.Run(whole.path.with_name("killed"))
    killed(
        started(folder.parent.parent, program),
        lambda: len(list(run.path.glob("checkpoint/0*"))) == 2,
    )
    assert not run.finished
    assert bits(train.tune(films, WORDS, epochs=12, run="killed", workers=1)) == bits(whole)
    with pytest.raises(ValueError, match="epochs: 12 in the run, 13 now"):
        train.tune(films, WORDS, epochs=13, run="killed", workers=1)


def test_tuning_is_told_by_epoch_and_ends_at_all_of_them(home, capsys):
    rng = np.random.default_rng(0)
    for split, n in (("train", 24), ("val", 8)):
        own = [[k % 2] for k in range(n)]
        vectors = rng.normal(size=(n, 5)).astype(np.float32) + np.array(own, np.float32)
        np.save(home / f"{split}.npy", vectors)
        columns = {"video": list(map(str, range(n))), "labels": own, "shard": [0] * n}
        pq.write_table(pa.table(columns), home / f"{split}.parquet")
    settings = {"model": train.MODEL, "data": "x", "seed": 0, "epochs": 4, "batch_size": 8}
    run = runs.begin("told", settings | {"patience": 1}, {"threads": 1}, ["a", "b"])
    state, _ = train.search(run, home, torch.device("cpu"))
    n, trials = len(run.metrics), len(train.grid())
    assert state["step"] == n and trials < n < 4 * trials, "some trials ended early, some did not"
    told = [line for line in capsys.readouterr().out.splitlines() if "tuning" in line]
    assert (
        told[-1].startswith(f"tuning {n}/{n} · 100% · ") and f"trial {trials}/{trials}" in told[-1]
    )


def test_a_network_is_its_formula():
    rng, trial = np.random.default_rng(5), train.Trial(2, 11, 0.5, 1e-3, 0.01)
    mean, scale = (torch.tensor(rng.random(6), dtype=torch.float32) for _ in range(2))
    net = train.HistogramNetwork(mean, scale, 3, trial).eval()
    x = rng.normal(size=(4, 6)) * 20
    y = np.clip((x - mean.numpy()) * scale.numpy(), -5, 5)
    first, second, last = (m for m in net.layers if isinstance(m, torch.nn.Linear))
    for layer in (first, second):
        y = np.maximum(0, y @ layer.weight.detach().numpy().T + layer.bias.detach().numpy())
    y = y @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(net(torch.tensor(x).float()), y, atol=1e-4)


def test_whoever_needs_a_network_on_frames_is_told(folder, films):
    run = train.tune(films, WORDS, epochs=12, workers=1)
    with pytest.raises(ValueError, match="no network that classifies frames"):
        runs.load_network(run)
    with pytest.raises(ValueError, match="no network that classifies frames"):
        label_videos.predict_videos(run, [])
    assert train.MODEL not in models.NAMES


def test_it_compares_with_a_network_clip_by_clip(folder, films):
    run = train.tune(films, WORDS, epochs=12, workers=1)
    tiny = {"model": "single", "epochs": 1, "batch_size": 8, "width": 1 / 16, "size": 43}
    other = train_network(config.TrainConfig(data=str(films), **tiny))
    network, found = confusion.load(other, run)
    assert np.array_equal(network.clip_video, found.clip_video)
    alone = predict.load_predictions(run)
    for clip, video_number in enumerate(network.clip_video):
        row = alone.clip_probabilities[video_number]
        np.testing.assert_allclose(found.clip_probabilities[clip], row, rtol=1e-6)
    np.testing.assert_allclose(found.video_probabilities, alone.video_probabilities, rtol=1e-6)
    pairs = confusion.pairs(confusion.matrices((network, found))[1], run.labels)
    stored = Shards(folder / "clips", "test")
    assert draw_confused_clips((network, found), pairs[:1], stored, ("single", "histograms"))
