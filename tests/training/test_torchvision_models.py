"""torchvision's networks trained as ours are: real ones, on films and crops that are small."""

import functools
import json
import re
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import get_model, get_model_weights

from s1m_lab import models
from s1m_lab.analysis import filters, overlay, results
from s1m_lab.common import paths
from s1m_lab.data import datasets, loader
from s1m_lab.data.shards import Shards
from s1m_lab.training import (
    distributed,
    finetune,
    label_videos,
    networks,
    predict,
    runs,
    torchvision_models,
    train,
)
from s1m_lab.training.config import RECIPES, TrainConfig
from s1m_lab.video import writer

KNOWN = ("r3d_18", "mc3_18", "r2plus1d_18")
# A process whose crops have 16 pixels instead of 112 trains in a fiftieth of the time.
SMALL = """
from s1m_lab.training import torchvision_models, train
from s1m_lab.training.config import RECIPES, TrainConfig
torchvision_models.SIZE, torchvision_models.CROP = 15, 16
torchvision_models.FIXED["size"] = 15
RECIPES["pocket"] = RECIPES["pocket"]._replace(checkpoint=2)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """2 classes × 6 films of 24 frames: a square that moves left or right."""
    folder = tmp_path_factory.mktemp("films")
    for n in range(6):
        frames = np.full((24, 48, 64, 3), 40 + 10 * n, np.uint8)
        for t, frame in enumerate(frames):
            frame[8 * (n % 4) : 8 * (n % 4) + 12, 2 * t : 2 * t + 12] = 220
        for label, order in (("left", -1), ("right", 1)):
            (folder / label).mkdir(exist_ok=True)
            writer.encode(folder / label / f"{n}.mp4", frames[::order])
    return folder


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def small(films, shared_home, monkeypatch):
    """What `SMALL` changes, here; returns a config of one epoch."""
    monkeypatch.setenv("S1M_HOME", str(shared_home))
    monkeypatch.setattr(torchvision_models, "SIZE", 15)
    monkeypatch.setattr(torchvision_models, "CROP", 16)
    monkeypatch.setitem(torchvision_models.FIXED, "size", 15)
    monkeypatch.setitem(RECIPES, "pocket", RECIPES["pocket"]._replace(checkpoint=2))
    known = {"data": str(films), "model": "mc3_18", "epochs": 1, "batch_size": 8, "few": 2}
    return lambda **changes: TrainConfig(**{**known, **changes})


def weights(run):
    return (run.path / "model.safetensors").read_bytes()


# ---------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "r3d18"}, "model cannot be 'r3d18'; the nearest is 'r3d_18' "),
        ({"model": "mc3"}, "model cannot be 'mc3'; the nearest is 'mc3_18' "),
        ({"model": "r3d_18_kinetics"}, "cannot be .*; the nearest is 'r3d_18-kinetics' "),
        ({"model": "r3d_18", "width": 0.5}, "width 0.5: r3d_18 has one width; leave it at 0"),
        ({"model": "mc3_18-kinetics", "size": 112}, "size 112: mc3_18-kinetics has one size"),
    ],
)
def test_wrong_settings_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        TrainConfig(**wrong)


@pytest.mark.parametrize("name", torchvision_models.NAMES)
def test_their_width_and_size_are_their_own(name):
    config = TrainConfig(model=name).resolved()
    assert (config.width, config.size) == (1.0, 109) and config.lr == RECIPES["pocket"].lr
    assert TrainConfig(model=name, width=1, size=109).resolved() == config
    assert TrainConfig().resolved().size == RECIPES["pocket"].size


@pytest.mark.parametrize("name", KNOWN)
def test_their_costs_are_those_that_torchvision_prints(name):
    """Billions of multiplications for a clip, and weights, with the 400 classes of Kinetics."""
    published, net = get_model_weights(name).DEFAULT.meta, networks.build(name, 400)
    settings = {"model": name, "width": 1.0, "size": 109}
    run = SimpleNamespace(config={"settings": settings}, labels=["x"] * 400)
    assert results.multiply_adds(run) / 1e9 == pytest.approx(published["_ops"], abs=1e-3)
    assert sum(p.numel() for p in net.parameters()) == published["num_params"]
    table = networks.summary(net).set_index("layer")
    assert table["parameters"].sum() == published["num_params"]
    assert table["shape"]["frame (input)"] == "16×3×112×112" and table["shape"]["fc8"] == "400"
    assert table["shape"]["stem"] == "16×64×56×56"


# ---------------------------------------------------------------------------------------- training


def test_a_training_is_one_of_many(small, films, capsys):
    """Trained, evaluated, loaded and used to predict; the same again from the same seed."""
    run = train.train(small())
    assert re.search(
        r"training takes about \d+:\d\d \(\d+ steps of 8 clips at [\d.,]+ clips/s\), plus reading",
        capsys.readouterr().out,
    )
    settings, facts = run.config["settings"], runs.network_facts(run)
    assert (settings["model"], settings["width"], settings["size"]) == ("mc3_18", 1.0, 15)
    assert (facts["width"], facts["size"], facts["classes"]) == (1.0, 15, 2)
    assert list((run.path).glob("filters/*")) == []
    net = runs.load_network(run)
    assert run.results["parameters"] == sum(p.numel() for p in net.parameters())
    fresh = networks.build("mc3_18", 2, seed=0)
    moved = {k for k, v in fresh.state_dict().items() if not torch.equal(v, net.state_dict()[k])}
    same = {"scale", "mean", "spread"}
    assert moved == set(fresh.state_dict()) - same, "every weight and running statistic"
    shards = Shards(paths.dataset(str(films)) / "clips", "test")
    reader = loader.ClipReader(shards, net.frames, net.classes, 2, torch.device("cpu"))
    found = np.concatenate([*predict.probabilities(net, reader, "fp32", predict.PASSES)])
    np.testing.assert_allclose(predict.load_predictions(run).clip_probabilities, found, atol=1e-5)
    table = label_videos.predict_videos(run, [films / "left" / "0.mp4"], n=1)
    assert table["status"].tolist() == ["ok"]
    window = overlay.SlidingWindowPredictor(run, smooth=0.4)
    for t in range(20):
        window.add(t / 25, np.zeros((48, 64, 3), np.uint8))
    window.predict()
    assert len(window.rows) == 1
    with pytest.raises(ValueError, match="mc3_18 lacks the layer of 11×11 pixels"):
        filters.first_layer(net)
    with pytest.raises(ValueError, match="mc3_18 has no hidden layers: tune scratch, top or all"):
        finetune.tune(finetune.Tuning("top3", str(films), run.name))
    again = train.train(small(run="again"))
    assert weights(again) == weights(run)


def test_scores_use_running_statistics(small):
    """A clip gets the same probabilities alone as among others."""
    net, x = runs.load_network(train.train(small())), torch.randn(3, 3, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[:1], net(x[:1]), atol=1e-5, rtol=1e-5)
        assert not torch.allclose(net.train()(x)[:1], net(x[:1]), atol=1e-3)


def test_on_a_cpu_they_train_in_fp32(films, home, monkeypatch):
    """torch 2.14 gives nan in bf16, whatever the processor could do; ours may have bf16."""
    monkeypatch.setattr(distributed.system, "has_bf16", lambda device="cpu": True)
    alone = distributed.World(0, 1, torch.device("cpu"))
    settings = {"model": "r3d_18", "data": "films", "seed": 0, "precision": "auto"}
    folder = datasets.listed(films)
    begin = functools.partial(distributed.begin_or_resume, folder=folder, world=alone)
    assert begin(runs.Run(paths.runs() / "a"), settings)["precision"] == "fp32"
    with pytest.raises(ValueError, match="r3d_18 trains on a CPU in fp32 alone"):
        begin(runs.Run(paths.runs() / "b"), settings | {"precision": "bf16"})
    assert begin(runs.Run(paths.runs() / "c"), settings | {"model": "slow"})["precision"] == "bf16"


def test_a_killed_training_ends_in_the_same_bits(small):
    """SIGKILL after the first checkpoint, which holds weights, momenta and running statistics."""
    whole, config = train.train(small(epochs=2, run="whole")), small(epochs=2, run="killed")
    killed = runs.Run(whole.path.with_name("killed"))
    program = SMALL + f"train.train(TrainConfig(**{vars(config)!r}))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    while process.poll() is None and not (killed.path / "checkpoint" / "00000002").is_dir():
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not killed.finished, "the training was over before it was killed"
    assert train.train(config) == killed
    assert weights(killed) == weights(whole)
    first, second = (load_file(max(r.path.glob("checkpoint/*")) / "weights.safetensors")
                     for r in (whole, killed))  # fmt: skip
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
    assert int(first["body.stem.1.num_batches_tracked"]) == max(whole.metrics["step"])


def test_batch_norm_on_several_processes_asks_for_gpus(small):
    """PyTorch counts the batches of all processes on GPUs alone."""
    world = distributed.World(0, 2, torch.device("cpu"))
    with pytest.raises(ValueError, match="networks with batch norm train on one process, or on"):
        distributed.replicate(networks.build("mc3_18", 2), world)


# ------------------------------------------------------------------------------- published weights


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torch hub and no network; returns the file that is looked for."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder / get_model_weights("mc3_18").DEFAULT.url.rpartition("/")[2]


def test_published_weights_come_from_the_cache(hub):
    published = get_model("mc3_18", weights=None)
    torch.save(published.state_dict(), hub)
    net, fresh = (networks.build("mc3_18-kinetics", 5, seed=1) for _ in range(2))
    torchvision_models.load_published(net)
    body = {k: v for k, v in published.state_dict().items() if not k.startswith("fc.")}
    assert body.keys() == net.body.state_dict().keys()
    assert all(torch.equal(v, net.body.state_dict()[k]) for k, v in body.items())
    assert torch.equal(net.fc8.weight, fresh.fc8.weight)


def other_network(file):
    torch.save(get_model("r2plus1d_18", weights=None).state_dict(), file)


def half_a_file(file):
    torch.save(get_model("mc3_18", weights=None).state_dict(), file)
    file.write_bytes(file.read_bytes()[:1_000_000])


BAD = {
    "nothing": lambda file: None,
    "text": lambda file: file.write_text("<html>"),
    "empty": lambda file: file.write_bytes(b""),
    "a list": lambda file: torch.save([1], file),
    "half": half_a_file,
    "another network": other_network,
    "code": lambda file: torch.save(print, file),
}


@pytest.mark.parametrize("what", BAD)
def test_weights_that_are_not_there_or_not_those_are_asked_for(what, hub):
    BAD[what](hub)
    net = networks.build("mc3_18-kinetics", 5)
    with pytest.raises(OSError) as said:
        torchvision_models.load_published(net)
    text = str(said.value)
    assert text.startswith("the weights of mc3_18-kinetics could not be loaded (")
    assert text.endswith(f"elsewhere and put it at {hub}") and "\n" not in text
    assert get_model_weights("mc3_18").DEFAULT.url in text


def test_a_training_starts_from_published_weights(small, hub):
    """The old layers learn at a tenth of the rate, as those of a start do."""
    with pytest.raises(OSError, match="put it at"):
        train.train(small(model="mc3_18-kinetics"))
    torch.save(get_model("mc3_18", weights=None).state_dict(), hub)
    trainer = train.Trainer(small(model="mc3_18-kinetics"))
    run = trainer.train()
    shares = [(group["share"], len(group["params"])) for group in trainer.optimizer.param_groups]
    assert shares[0] == (1.0, 2) and shares[1][0] == train.SLOWER
    hub.unlink()
    assert runs.load_network(run).name == "mc3_18-kinetics", "a run needs no other weights"
    assert results.multiply_adds(run) > 0


def test_a_run_that_holds_only_a_last_layer_is_refused(home):
    """As tunings of torchvision's networks were saved at first."""
    run = runs.Run(home / "runs" / "old")
    run.path.mkdir(parents=True)
    settings = {"model": "r3d_18", "tune": "top", "start": "r3d_18"}
    (run.path / "config.json").write_text(json.dumps({"settings": settings}))
    about = {"model": "r3d_18", "classes": 2, "labels": ["a", "b"], "numbers": {}}
    tensors = {"fc8.weight": torch.zeros(2, 512), "fc8.bias": torch.zeros(2)}
    runs.save_weights(run.path / "model.safetensors", tensors, about)
    with pytest.raises(ValueError, match="is of no network: its width is None; it cannot"):
        runs.load_network(run)
    assert models.NAMES == networks.names()[:16]
