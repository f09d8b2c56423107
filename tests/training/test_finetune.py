"""Four ways of tuning, on films of a disc that rises, falls or rests, against plain recomputing."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from s1m_lab import models
from s1m_lab.analysis import intervals, run_groups, transfer
from s1m_lab.common import paths
from s1m_lab.common.files import Damaged, fingerprint, record
from s1m_lab.data import augment, catalog, loader
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.figures.transfer import (
    NAMES,
    _gains_at_both_ends,
    draw_classes,
    draw_curve,
    draw_standings,
    summarize,
)
from s1m_lab.training import (
    finetune,
    frozen_features,
    metrics,
    predict,
    runs,
    top_layers,
    torchvision_models,
    train,
)
from s1m_lab.training.config import TrainConfig
from s1m_lab.training.finetune import Tuning, tune
from s1m_lab.video import writer

TINY = {"epochs": 2, "batch_size": 8, "width": 1 / 16, "size": 43}
WAYS = {"falling": 1, "resting": 0, "rising": -1}


def film(path, way, place, length):
    y, x = np.mgrid[:48, :64]
    heights = (place + 3 * way * np.arange(length)) % 60 - 6
    discs = (y - heights[:, None, None]) ** 2 + (x - 10 - place % 40) ** 2 < 49
    writer.encode(path, np.where(discs[..., None], [250, 240, 60], [20, 70, 30]).astype(np.uint8))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A home with a start trained on two classes, and two folds of a dataset of three."""
    home, before = tmp_path_factory.mktemp("home"), os.environ["S1M_HOME"]
    os.environ["S1M_HOME"] = str(home)
    films, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    for name, way in WAYS.items():
        (films / name).mkdir()
        for n in range(12):
            film(films / name / f"{n}.mp4", way, int(rng.integers(48)), 24)
    for data, classes in (("source", ("falling", "rising")), ("three-fold1", WAYS),
                          ("three-fold2", WAYS)):  # fmt: skip
        fold = int(data[-1]) if data[-1].isdigit() else 0
        made = [(name, n) for name in classes for n in range(12)]
        order = {n: (n + 4 * fold) % 12 for n in range(12)}
        split = ["test" if order[n] < 4 else "val" if order[n] < 6 else "train" for _, n in made]
        columns = {"id": [f"{name}-{n}" for name, n in made], "split": split}
        columns |= {"labels": [[list(classes).index(name)] for name, _ in made]}
        columns |= {"path": [str(films / name / f"{n}.mp4") for name, n in made]}
        columns |= {"group": [f"{name}{n // 2}" for name, n in made]}
        about = {"classes": list(classes), "data_seed": 0, "split": "as given", "broken": {}}
        catalog.save_catalog(catalog.frame(catalog.table(columns), **about), home / "data" / data)
        about = {"ingest": {"height": 51, "width": 51, "clips": {"train": 3, "val": 2, "test": 2}}}
        about |= {"fold": fold, "categories": {"Sports": ["falling", "rising"]}} if fold else {}
        (home / "data" / data / "dataset.json").write_text(json.dumps(about))
        prepare.prepare(data, workers=1)
    for model in ("slow", "single-multires"):
        train.train(TrainConfig(data="source", model=model, run=model, **TINY))
    os.environ["S1M_HOME"] = before
    return home


@pytest.fixture
def lab(shared, monkeypatch):
    monkeypatch.setenv("S1M_HOME", str(shared))
    return lambda way, fold=1, start="slow", **more: tune(
        Tuning(way, f"three-fold{fold}", start, **{"epochs": 2, **more})
    )


def weights(run):
    return runs.load_network(run).state_dict()


def same(first, second, names):
    return all(torch.equal(first[key], second[key]) for key in first if key.startswith(names))


@pytest.mark.parametrize("start", ["slow", "single-multires"])
def test_what_is_fixed_keeps_its_bits_and_what_is_trained_does_not(lab, start):
    old = weights(runs.load_run(start))
    for way, fixed, trained in (
        ("top", ("towers.", "fc6.", "fc7.", "scale"), ("fc8.",)),
        ("top3", ("towers.", "scale"), ("fc6.", "fc7.")),
    ):
        run = lab(way, start=start)
        new = weights(run)
        assert same(old, new, fixed), way
        assert new["fc8.weight"].shape[0] == 3, "a list of classes of its own"
        fresh = models.build(start, 3, 1 / 16, 43, seed=0).state_dict()
        for layer in trained:
            before = fresh if layer == "fc8." else old
            assert not torch.equal(before[f"{layer}weight"], new[f"{layer}weight"]), layer


@pytest.mark.parametrize("way", finetune.WAYS)
def test_a_tuned_run_is_a_start_too(lab, way):
    first = lab("top3")
    run = lab(way, fold=2, start=first.name)
    assert run.finished and run.results["start"] == ("" if way == "scratch" else first.name)
    if way == "top":
        assert same(weights(first), weights(run), ("towers.", "fc6.", "fc7."))
        assert not torch.equal(weights(first)["fc8.weight"], weights(run)["fc8.weight"])


def test_of_several_three_layers_are_tuned_first(lab):
    """The last layer's features then need no second look at the clips; runs stand as asked for."""
    asked = [Tuning(way, "three-fold1", "slow", 11, epochs=2) for way in ("top", "scratch", "top3")]
    several = finetune.tune_all(asked)
    assert [run.results["tune"] for run in several] == ["top", "scratch", "top3"]
    made = [(run.path / "config.json").stat().st_mtime_ns for run in several]
    assert min(made) == made[2]


def test_all_starts_from_the_weights_and_scratch_does_not(lab):
    run, scratch = lab("all"), lab("scratch")
    assert run.config["settings"]["start"] == "slow" and run.results["start"] == "slow"
    assert scratch.results["start"] == ""
    old, new, other = weights(runs.load_run("slow")), weights(run), weights(scratch)
    key = "towers.frame.conv2.weight"
    near, far = ((w[key] - old[key]).abs().mean() for w in (new, other))
    assert 0 < near < far / 5
    own = scratch.results | run.results
    assert {"tune", "fold", "start", "video_hit1", "videos_missing", "epoch"} <= set(own)
    assert (own["tune"], own["fold"], own["data"]) == ("all", 1, "three-fold1")


def test_old_layers_learn_at_a_tenth_of_the_rate(lab):
    """One step of plain SGD, by hand: every layer moves by its rate times its gradient."""
    net = models.build("slow", 3, 1 / 16, 43)
    net.scale.fill_(1 / 58)
    first = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = torch.optim.SGD(train.parameter_groups(net, "slow"), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * group["share"]
    x = torch.randn(2, 3, 10, 43, 43) * 58
    F.cross_entropy(net(x), torch.tensor([0, 2])).backward()
    optimizer.step()
    for name, p in net.named_parameters():
        rate = 0.01 if name.startswith("fc8.") else 0.001
        torch.testing.assert_close(first[name] - p.detach(), rate * p.grad, atol=1e-7, rtol=1e-4)
    every = [p for group in train.parameter_groups(net, "slow") for p in group["params"]]
    assert (
        len(every)
        == len(list(net.parameters()))
        == len(train.parameter_groups(net, "")[0]["params"])
    )


@pytest.mark.parametrize("layer, split", [("fc7", "train"), ("fc7", "val"), ("pool5", "test")])
def test_kept_features_are_recomputed_bit_for_bit(lab, layer, split):
    run = lab("top" if layer == "fc7" else "top3")
    machine = run.config["machine"]
    folder = paths.dataset("three-fold1")
    net = models.build("slow", 3, 1 / 16, 43)
    runs.load_all_but_last_layer(net, start := runs.load_run("slow"))
    made = sorted((folder / "features").iterdir())
    kept = frozen_features.load_or_compute(
        net, runs.weights_digest(start), folder, split, layer, 0, machine
    )
    assert sorted((folder / "features").iterdir()) == made, "the run's own file was found"
    stored, done = Shards(folder / "clips", split), 0
    net.eval()
    data = loader.Clips(stored, net.frames, 3, 1)
    for first in range(0, len(stored), predict.BATCH):
        samples = np.arange(len(stored))[first : first + predict.BATCH]
        frames = augment.resize(data.take(samples).frames, augment.stored_side(43))
        if split == "train":
            views = [augment.Augment(43, 43).places(samples, 0)]
        else:
            views = [[place] * len(samples) for place in predict.fixed_places(43, 43)]
        for n, places in enumerate(views):
            with torch.no_grad(), predict.autocast(torch.device("cpu"), machine["precision"]):
                x = augment.cut(frames, places, 43)
                x = torch.cat([net.towers[s](v) for s, v in net.streams(x).items()], dim=2)
                x = x.movedim(0, 1).flatten(1)
                if layer == "fc7":
                    x = F.relu(net.fc7(F.relu(net.fc6(x))))
            assert np.array_equal(kept[samples, n], x.float().numpy())
        done += len(samples)
    assert done == len(kept) and kept.shape[1] == (1 if split == "train" else 4)


class Pickle:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("layer", ["pool5", "fc7"])
def test_a_pickle_among_kept_features_is_not_run(lab, layer, tmp_path, monkeypatch):
    """A stranger's dataset may have features, and no list of digests."""
    run = lab("top")
    monkeypatch.setenv("S1M_HOME", str(shutil.copytree(paths.home(), tmp_path / "home")))
    folder = paths.dataset("three-fold1")
    (folder / "features" / ".sha256").unlink()
    for path in list((folder / "features").glob("fc7-val-*.npy")):
        path.unlink()
        path = path.with_name(path.name.replace("fc7", layer, 1))
        path.write_bytes(pickle.dumps(Pickle(tmp_path / "run")))
    start = runs.load_run("slow")
    net = models.build("slow", 3, 1 / 16, 43)
    with pytest.raises((ValueError, Damaged), match="pickle"):
        frozen_features.load_or_compute(
            net, runs.weights_digest(start), folder, "val", "fc7", 0, run.config["machine"]
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["slow", "single-multires"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_last_hidden_layer_of_a_kept_pooling_has_the_bits_of_the_whole_network(
    lab, split, model
):
    machine, folder = lab("top3", start=model).config["machine"], paths.dataset("three-fold1")
    net = models.build(model, 3, 1 / 16, 43)
    runs.load_all_but_last_layer(net, start := runs.load_run(model))
    asked = runs.weights_digest(start), folder, split
    whole = frozen_features.compute(net, Shards(folder / "clips", split), "fc7", 0, machine)
    whole = np.concatenate(list(whole))
    old = {file: file.read_bytes() for file in (folder / "features").glob(f"fc7-{split}-*")}
    for file in old:
        file.unlink()
    assert np.array_equal(frozen_features.load_or_compute(net, *asked, "fc7", 0, machine), whole)
    other = np.asarray(frozen_features.load_or_compute(net, *asked, "pool5", 0, machine))
    (file,) = (folder / "features").glob(f"fc7-{split}-*")
    below = file.with_name(file.name.replace("fc7", "pool5"))
    kept = below.read_bytes()
    file.unlink()
    np.save(below, 2 * other)
    record(below)
    assert not np.array_equal(
        frozen_features.load_or_compute(net, *asked, "fc7", 0, machine), whole
    )
    file.unlink()
    below.write_bytes(kept)
    for file, content in old.items():
        file.write_bytes(content)


def test_features_are_of_the_machine_that_made_them(lab, capsys):
    """A run that was begun on a GPU, and goes on where there is none."""
    run, folder = lab("top", seed=7), paths.dataset("three-fold1") / "features"
    made = sorted(folder.iterdir())
    config = json.loads((run.path / "config.json").read_text())
    device, config["machine"]["device"] = config["machine"]["device"], "NVIDIA H200"
    (run.path / "config.json").write_text(json.dumps(config))
    record(run.path / "config.json")
    (run.path / "results.json").unlink()
    capsys.readouterr()
    assert lab("top", seed=7).finished and sorted(folder.iterdir()) == made
    assert f"begun with device NVIDIA H200 (now {device})" in capsys.readouterr().out


def test_other_weights_crops_or_machines_have_other_features(lab):
    run = lab("top")
    folder, machine = paths.dataset("three-fold1"), run.config["machine"]
    net = models.build("slow", 3, 1 / 16, 43)
    runs.load_all_but_last_layer(net, runs.load_run("slow"))

    def files(weights, split, seed, **other):
        frozen_features.load_or_compute(
            net, weights, folder, split, "fc7", seed, {**machine, **other}
        )
        return len(list((folder / "features").glob("*.npy")))

    before = files("a", "train", 0)
    assert files("a", "train", 0) == before
    assert files("b", "train", 0) == before + 1
    assert files("a", "train", 1) == before + 2, "crops are drawn by the seed"
    assert files("a", "val", 0) == files("a", "val", 1) == before + 3, "passes are not"
    assert files("a", "val", 1, precision="other") == before + 4


@pytest.mark.parametrize("way", ["top", "top3"])
def test_predictions_from_features_are_those_of_the_whole_network(lab, way):
    run = lab(way)
    net, stored = runs.load_network(run), Shards(paths.dataset("three-fold1") / "clips", "test")
    machine = run.config["machine"]
    reader = loader.ClipReader(stored, net.frames, net.classes, 1, torch.device("cpu"))
    whole = predict.probabilities(net, reader, machine["precision"], passes=4)
    tolerance = 2e-2 if machine["precision"] == "bf16" else 1e-5
    saved = predict.load_predictions(run)
    np.testing.assert_allclose(
        np.concatenate(list(whole)), saved.clip_probabilities, atol=tolerance
    )
    own = [p.argmax() in c for p, c in zip(saved.video_probabilities, saved.labels, strict=True)]
    assert run.results["video_hit1"] == pytest.approx(np.mean(own))


def test_dropout_before_a_trained_layer_keeps_its_share(monkeypatch):
    net = models.build("slow", 3, 1 / 4, 43)
    x = torch.ones(64, net.fc6.in_features)
    numbers = np.arange(64)
    dropout = train.step_dropout(0.9, 0, loader.Plan(0, 0, numbers, numbers), torch.device("cpu"))
    dropped = models.drop(x, 5, dropout)
    assert (dropped != 0).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert dropped.unique().tolist() == pytest.approx([0, 10])
    seen = []
    monkeypatch.setattr(models.Dropout, "__call__", lambda self, x, layer: seen.append(layer) or x)
    top_layers.classify(net, x, "pool5", dropout)
    assert seen == [5, 6, 7], "before all three"
    seen.clear()
    top_layers.classify(net, torch.ones(2, net.fc8.in_features), "fc7", dropout)
    assert seen == [7]


def test_keep_and_rate_are_chosen_on_validation(lab):
    run = lab("top", epochs=3)
    table = run.metrics
    assert len(table.groupby("trial")) == len(top_layers.grid()) == 6
    best = table.sort_values(["val_hit1", "val_loss"], ascending=[False, True]).iloc[0]
    found = run.results
    assert (found["keep"], found["lr"], found["epoch"]) == (best["keep"], best["lr"], best["epoch"])
    given = lab("top", keep=0.1)
    assert given.results["keep"] == 0.1 and set(given.metrics["keep"]) == {0.1}


def kill_at_checkpoint(number: int, asked: str) -> None:
    """Tune in another process, which is killed when it has written its `number`th checkpoint."""
    program = f"""
import os
from s1m_lab.training import runs
from s1m_lab.training.finetune import Tuning, tune
save, done = runs.save_checkpoint, []
def once(*arguments, **more):
    save(*arguments, **more)
    done.append(1)
    if len(done) == {number}:
        os.kill(os.getpid(), 9)
runs.save_checkpoint = once
tune({asked})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=200)
    assert ended.returncode == -9


def test_a_tuning_that_was_killed_ends_in_the_same_bits(lab, shared):
    whole = lab("top3", epochs=4)
    kept = (whole.path / "model.safetensors").read_bytes()
    predictions = (whole.path / "predictions" / "test.npy").read_bytes()
    untimed = whole.metrics.drop(columns="seconds").to_csv()
    assert lab("top3", epochs=4).path == whole.path, "a finished run is found"
    whole.path.rename(whole.path.with_name("aside"))
    aside = runs.Run(whole.path.with_name("aside"))
    order = aside.metrics.sort_values(["val_hit1", "val_loss"], ascending=[False, True])
    best = int(order["trial"].iloc[0])  # so that its weights must come from the checkpoint
    kill_at_checkpoint(best + 1, 'Tuning("top3", "three-fold1", "slow", epochs=4)')
    assert not whole.finished and list((whole.path / "checkpoint").iterdir())
    again = lab("top3", epochs=4)
    assert again.path == whole.path
    assert (again.path / "model.safetensors").read_bytes() == kept
    assert (again.path / "predictions" / "test.npy").read_bytes() == predictions
    assert again.metrics.drop(columns="seconds").to_csv() == untimed


def test_a_tuning_on_few_videos_that_was_killed_is_judged_after_the_same_steps(lab):
    """With one video a class an epoch is one step, and every other one ends in validation."""
    whole = lab("scratch", few=1, epochs=63)
    weights = (whole.path / "model.safetensors").read_bytes()
    untimed = whole.metrics[list(train.COLUMNS)].to_csv()
    assert whole.metrics["val_hit1"].notna().sum() == 32
    whole.path.rename(whole.path.with_name("aside-few"))
    kill_at_checkpoint(1, 'Tuning("scratch", "three-fold1", "slow", few=1, epochs=63)')
    assert [path.name for path in (whole.path / "checkpoint").iterdir()] == ["00000060"]
    again = lab("scratch", few=1, epochs=63)
    assert (again.path / "model.safetensors").read_bytes() == weights
    assert again.metrics[list(train.COLUMNS)].to_csv() == untimed


def test_few_are_so_many_videos_of_every_class_and_each_among_more(lab):
    stored = Shards(paths.dataset("three-fold1") / "clips", "train")
    rows_of = [row for s in range(len(stored.counts)) for row in stored.index(s).to_pylist()]
    owners = [(row["video"], row["labels"][0]) for row in rows_of]
    before = set()
    for n in (1, 2, 4):
        numbers, counts = loader.choose_few(stored, n, seed=3)
        assert counts.sum() == len(numbers) and len(counts) == len(stored.counts)
        videos = {owners[k] for k in numbers}
        assert [sum(label == k for _, label in videos) for k in range(3)] == [n] * 3
        assert len(numbers) == sum(v in videos for v in owners), "all clips of a video"
        assert before <= videos
        before = videos
    assert set(loader.choose_few(stored, 1, seed=4)[0]) != set(
        loader.choose_few(stored, 1, seed=3)[0]
    )
    run = lab("scratch", few=1)
    assert run.results["few"] == run.config["settings"]["few"] == 1
    steps = run.metrics["step"].iloc[-1]
    assert steps == 2, "9 clips are one batch an epoch"
    # the 12 validation clips are not scored after 8 clips of training
    assert run.metrics["val_hit1"].notna().tolist() == [False, True]


def test_a_start_that_cannot_be_tuned_is_refused(lab):
    with pytest.raises(ValueError, match="tune 'bottom' is not one of scratch, top, top3, all"):
        lab("bottom")
    with pytest.raises(FileNotFoundError, match="no run named 'slwo'.*did you mean 'slow'"):
        lab("top", start="slwo")
    config = TrainConfig(data="three-fold1", model="slow", start="slow", width=0.5)
    with pytest.raises(ValueError, match="is a network of width 0.0625, not 0.5"):
        train.train(config)
    with pytest.raises(ValueError, match="of model single-multires, not slow"):
        train.Trainer(TrainConfig(data="three-fold1", start="single-multires"))
    with pytest.raises(ValueError, match="only the top is tuned"):
        lab("all", start="r3d_18")


def test_runs_that_were_not_tuned_keep_their_names():
    """The names of before: settings that nobody asks for are not among them."""
    settings = {"data": "a", "model": "slow", "seed": 0}
    assert runs.default_name(settings) == "a-slow-s0-" + fingerprint(**settings)[:8]
    assert runs.default_name({**settings, "tune": "top"}).startswith("a-slow-top-s0-")


# -------------------------------------------------------------------------- torchvision's networks


def test_a_stranger_sees_clips_as_its_own_transform_would(tmp_path):
    """torchvision's transform on the same crop, and its network on that, against ours."""
    from torchvision.models.video import R3D_18_Weights, r3d_18

    net = torchvision_models.build("r3d_18", 5, seed=3).eval()
    frames = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (1, 16, 128, 128, 3), np.uint8)
    )
    (x,) = predict.fixed_views(frames, net.size, net.crop, n=1)
    assert x.shape == (1, 3, 16, 112, 112)
    own = R3D_18_Weights.DEFAULT.transforms()
    own.resize_size = [128]  # of a square; theirs is made for films
    theirs = own(frames[0].permute(0, 3, 1, 2))[None]
    torch.testing.assert_close(
        ((x + models.MEAN) * net.scale - net.mean) / net.spread, theirs, atol=1e-5, rtol=1e-5
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        other = r3d_18(weights=None).eval()
    other.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(net.pooled(x), other(theirs), atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="no network named 'resnet'"):
        torchvision_models.build("resnet", 5)


def test_a_stranger_is_a_row_of_its_own(lab, monkeypatch):
    """With a body that is small, since a real one costs 40 billion multiplications a clip."""
    from torchvision import models as theirs

    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(1, 1)
            self.first = torch.nn.Conv3d(3, 512, 8, 16)

        def forward(self, x):
            return self.fc(self.first(x).amax(dim=(2, 3, 4)))

    monkeypatch.setattr(theirs, "get_model", lambda name, weights: Small())
    run = lab("top", start="r3d_18")
    assert (run.results["model"], run.results["start"]) == ("r3d_18", "r3d_18")
    assert run not in run_groups.find_transfers(run_groups.find("source"))
    assert runs.load_network(run).fc8.out_features == 3, "the whole network is saved"
    table = transfer.standings(transfer.hit1_by_seed([lab("scratch"), run]))
    assert list(table.index) == ["scratch", "r3d_18, random weights"]
    assert np.isnan(table["paper"].iloc[1]) and not np.isnan(table["gain"].iloc[1])
    draw_standings(table).savefig("/dev/null", format="png")


# ------------------------------------------------------------------------------------------ tables


def test_tables_are_those_of_plain_loops(lab):
    several = [lab(way, fold) for fold in (1, 2) for way in ("scratch", "top", "all")]
    scores = transfer.hit1_by_seed(several)
    assert list(scores) == ["scratch", "top", "all"]
    table = transfer.standings(scores)
    for way in table.index:
        each = [r.results["video_hit1"] for r in several if r.results["tune"] == way]
        assert table.loc[way, "folds"] == pytest.approx(each)
        assert table.loc[way, "ours"] == pytest.approx(np.mean(each))
        assert table.loc[way, "low"] <= table.loc[way, "ours"] <= table.loc[way, "high"]
    assert table.loc["top", "gain"] == pytest.approx(np.diff(table["ours"][["scratch", "top"]])[0])
    assert list(run_groups.by_dataset(several)) == ["three"]
    fourth = transfer.precision_by_category(several)
    own = transfer.class_precision(several, "top", draws=20).set_index("class")
    found = []
    for run in several:
        if run.results["tune"] == "top":
            saved = predict.load_predictions(run)
            true = metrics.truth(saved.labels, 3)
            pairs = zip(saved.video_probabilities.T, true.T, strict=True)
            found.append([metrics.average_precision(p, t) for p, t in pairs])
    mean = pd.Series(np.mean(found, axis=0), ["falling", "resting", "rising"])
    pd.testing.assert_series_equal(own["top"].sort_index(), mean, check_names=False)
    assert fourth.loc["all", ("top", "ours")] == pytest.approx(mean.mean())
    assert fourth.loc["Sports", ("top", "ours")] == pytest.approx(
        mean[["falling", "rising"]].mean()
    )
    np.testing.assert_allclose(own["gain"], own["top"] - own["scratch"])
    for figure in (
        draw_standings(table),
        draw_classes(own.reset_index(), "top"),
        draw_curve(transfer.curve([lab("scratch", few=1), *several]), 1 / 3),
    ):
        figure.savefig("/dev/null", format="png")
    found = run_groups.find_transfers(run_groups.find("source"))
    tuned = [{(r.results["tune"], r.results["fold"]) for r in own} for own in (found, several)]
    assert tuned[0] >= tuned[1] and not any("few" in r.results for r in found)


def test_intervals_of_classes_draw_whole_groups(lab):
    """Against a plain loop. Of twelve test videos two at a time are a group."""
    several, rng = [lab("scratch"), lab("top")], np.random.default_rng(1)
    saved = [predict.load_predictions(run) for run in several]
    owners = catalog.load_catalog(paths.dataset("three-fold1")).set_index("id")["group"][
        saved[0].ids
    ]
    true = metrics.truth(saved[0].labels, 3) > 0
    members, gains_drawn = [np.flatnonzero(owners == name) for name in owners.unique()], []
    for _ in range(2000):
        rows = np.concatenate([members[n] for n in rng.integers(0, len(members), len(members))])
        precision = np.full((2, 3), np.nan)
        for k in np.flatnonzero(true[rows].any(axis=0)):
            for run, p in enumerate(saved):
                scores = p.video_probabilities[rows, k]
                precision[run, k] = metrics.average_precision(scores, true[rows, k])
        gains_drawn.append(precision[1] - precision[0])
    own = (
        transfer.class_precision(several, "top", draws=2000)
        .set_index("class")
        .loc[several[0].labels]
    )
    ends = np.nanpercentile(gains_drawn, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(own[["gain_low", "gain_high"]].T, ends, atol=0.05)


def test_the_curve_compares_a_seed_with_itself_where_it_drew_the_videos(lab):
    several = [
        lab(way, seed=seed, few=few, epochs=6)
        for few in (0, 1)
        for seed in (0, 1, 2)
        for way in ("scratch", "top")
    ]
    every, one = np.reshape([run.results["video_hit1"] for run in several], (2, 3, 2))
    own, any_two = one[:, 1] - one[:, 0], np.subtract.outer(every[:, 1], every[:, 0])
    curve = transfer.curve(several).xs("top", level="way").sort_index()[["least", "most"]]
    expected = [[own.min(), own.max()], [any_two.min(), any_two.max()]]
    np.testing.assert_allclose(curve, expected)


def standings(*seeds: pd.DataFrame, same: bool = False) -> pd.DataFrame:
    """Of the hits of each seed, a table with a row a video (fold, group, id) and a column a way."""
    counted = []  # S×W×G×F×2
    for hits in seeds:
        cells = hits.groupby(["group", "fold"]).agg(["sum", "count"]).unstack(fill_value=0)
        cells = cells.to_numpy(float).reshape(len(cells), hits.shape[1], 2, -1)  # G×W×2×F
        counted.append(cells.transpose(1, 0, 3, 2))
    ways = zip(seeds[0], np.moveaxis(counted, 1, 0), strict=True)
    return transfer.standings({way: intervals.resample_ratios(own) for way, own in ways}, same)


def twins(**ways: float) -> pd.DataFrame:
    """A share of fifty videos of one fold that each way tells, every one a group."""
    order = np.arange(50) * 7 % 50
    keys = {"fold": 1, "group": np.arange(50), "id": np.arange(50)}
    hits = {way: (order < round(50 * share)).astype(float) for way, share in ways.items()}
    return pd.DataFrame(keys | hits).set_index([*keys])


def test_intervals_draw_whole_groups():
    """Groups whose videos are alike are as few as they are: the interval of ten groups of ten
    videos is that of ten videos, and far wider than that of a hundred."""
    right = np.repeat([1.0, 0.0] * 5, 10)
    groups = np.repeat(np.arange(10), 10)
    rows_of = {"fold": 1, "group": groups, "id": np.arange(100), "top": right, "scratch": 0.0}
    hits = pd.DataFrame(rows_of).set_index(["fold", "group", "id"])
    row = standings(hits).loc["top"]
    low, high = intervals.bootstrap(right[::10])
    assert (row["low"], row["high"]) == (
        pytest.approx(low, abs=0.06),
        pytest.approx(high, abs=0.06),
    )
    assert (row["gain_low"], row["gain_high"]) == (row["low"], row["high"])
    narrow = intervals.bootstrap(right)
    assert row["high"] - row["low"] > 2 * (narrow[1] - narrow[0])


def test_the_title_of_the_curve_tells_gains_at_both_ends():
    first, second = twins(scratch=0.2, top=0.5), twins(scratch=0.6, top=0.9)
    most = standings(twins(scratch=0.9, top=0.2), twins(scratch=0.5, top=0.52))
    parts = {20.5: most, 1: standings(first, second, same=True)}
    curve = pd.concat(parts, names=["videos", "way"])
    text = _gains_at_both_ends(curve)
    assert text.startswith("Top layer over scratch: +30.0 points with 1 training video a class (+")
    assert "; −34.0 points with 20.5 (−" in text
    assert text.endswith(", seeds differ)") and text.count("seeds") == 1
    several = _gains_at_both_ends(curve.rename({1: 2}, level="videos"))
    assert "points with 2 training videos a class (" in several
    alone = _gains_at_both_ends(curve.xs("scratch", level="way", drop_level=False))
    assert alone == "Hit@1 by the number of training videos"


def test_the_stranger_and_titles_are_said():
    assert finetune.WAYS == tuple(NAMES)
    assert torchvision_models.display_name("r3d_18-kinetics") == "r3d_18, Kinetics-400"


@pytest.mark.parametrize(
    ("gain", "finding"),
    [
        (0.05, "Best tuned: top layer (60.0%): +5.0 points against scratch"),
        (-0.05, "Training from scratch (65.0%) beats tuning, at best top layer (60.0%): −5.0"),
        (np.nan, "Tuning the top layer classifies 60.0% of videos correctly"),
    ],
)
def test_the_finding_says_which_side_wins(gain, finding):
    ours = {"top": 0.6} if np.isnan(gain) else {"scratch": 0.6 - gain, "top": 0.6}
    table = pd.DataFrame({"ours": ours, "gain": {"top": gain}})
    table["gain_low"], table["gain_high"] = table["gain"] - 0.02, table["gain"] + 0.02
    table["ties"], table["best"], table["least"], table["most"] = True, table.index == "top", 0, 0
    table["verdict"] = "disagrees" if gain < 0 else "agrees"
    assert summarize(table).startswith(finding)


def test_the_title_names_what_the_best_way_ties_with():
    """Ahead by one of fifty videos is no lead, by half of them it is."""
    right = np.arange(50) % 2 == 0
    ways = {
        "scratch": 0,
        "top": right,
        "top3": right | (np.arange(50) == 1),
        "all": 0,
    }
    keys = {"fold": 1, "group": np.arange(50), "id": np.arange(50)}
    hits = pd.DataFrame(keys | ways).set_index([*keys]).astype(float)
    table = standings(hits)
    assert table["ties"].to_dict() == {"scratch": False, "top": True, "top3": True, "all": False}
    text = summarize(table)
    assert "Best tuned: top 3 layers (52.0%), which ties with top layer: +52.0" in text
    alone = summarize(standings(hits[["scratch", "top3", "all"]]))
    assert "top 3 layers (52.0%): +52.0" in alone
    behind = standings(hits.assign(scratch=1.0))
    assert behind["ties"].to_dict() == {"scratch": True, "top": True, "top3": True, "all": False}


def test_a_seed_that_says_otherwise_makes_a_tie():
    """Ahead by far in the mean of two seeds, and behind in one of them."""
    hits = twins(top=0.2, top3=0.9)
    other = hits.assign(top=1.0)
    assert not standings(hits)["ties"]["top"]
    table = standings(hits, other)
    assert table["ties"].to_dict() == {"top": True, "top3": True} and table["best"]["top3"]


def test_seeds_that_drew_the_videos_are_compared_with_themselves():
    """The other seed's videos teach more by whatever way; with its own, each way gains."""
    seeds = twins(scratch=0.2, top=0.5), twins(scratch=0.6, top=0.9)
    any_two, own = standings(*seeds).loc["top"], standings(*seeds, same=True).loc["top"]
    assert (own["least"], own["most"]) == (pytest.approx(0.3), pytest.approx(0.3))
    assert (any_two["least"], any_two["most"]) == (pytest.approx(-0.1), pytest.approx(0.7))
    assert (any_two["verdict"], own["verdict"]) == ("undecided", "agrees")
    assert own[transfer.GAIN].to_list() == pytest.approx(any_two[transfer.GAIN].to_list())
    behind = standings(*seeds, twins(scratch=0.6, top=0.58), same=True).loc["top"]
    assert behind["least"] == pytest.approx(-0.02) and behind["verdict"] == "undecided"
    lacking = standings(*seeds, twins(scratch=1.0).assign(top=np.nan), same=True).loc["top"]
    assert lacking["gain"] == pytest.approx(0.3) and lacking["verdict"] == "agrees"


def test_the_finding_tells_what_seeds_differ_by():
    first, second = twins(scratch=0.4, top=0.5), twins(scratch=0.4, top=0.9)
    text = summarize(standings(first, second))
    assert "+30.0 points against scratch (" in text and ", by seed +10.0 to +50.0)" in text
    assert "by seed" not in summarize(standings(first))


def test_the_best_way_is_best_where_all_were_tuned():
    """top has an easy fold alone; on it top3 is better still."""
    hits = pd.concat([twins(top3=0.6), twins(top=0.8, top3=0.95).rename({1: 2}, level="fold")])
    table = standings(hits)
    assert table["ours"]["top"] > table["ours"]["top3"]
    assert table["best"].to_dict() == {"top3": True, "top": False}
    assert "top 3 layers (78.0%)" in summarize(table)
    apart = standings(pd.concat([twins(top3=0.6), twins(top=0.8).rename({1: 2}, level="fold")]))
    assert apart["ties"].all() and apart["best"]["top"]


def test_scratch_ahead_by_a_video_is_not_surely_more():
    text = summarize(standings(twins(scratch=0.54, top=0.52)))
    assert text.startswith("Training from scratch (54.0%) does not surely beat tuning")
    text = summarize(standings(twins(scratch=0.9, top=0.52)))
    assert text.startswith("Training from scratch (90.0%) beats tuning")
