"""Training as users meet it: stopped, killed, resumed, on several processes.

The dataset is a folder of short films of two classes, a disc that rises and one that falls.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from s1m_lab import __main__
from s1m_lab.common import paths
from s1m_lab.data.ingest import prepare
from s1m_lab.training import predict, runs, train
from s1m_lab.training.config import RECIPES, TrainConfig
from s1m_lab.video import writer

TINY = {"model": "slow", "epochs": 4, "batch_size": 6, "width": 1 / 16, "size": 43}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """2 classes × 12 films of 20 to 39 frames, 64×48."""
    folder = tmp_path_factory.mktemp("my films")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :64]
    for n in range(12):
        start, column, length = rng.integers(48), rng.integers(16, 48), 20 + rng.integers(20)
        heights = (start + 3 * np.arange(length)) % 60 - 6
        discs = (y - heights[:, None, None]) ** 2 + (x - column) ** 2 < 49
        frames = np.where(discs[..., None], [250, 240, 60], [20, 70, 30]).astype(np.uint8)
        for label, order in (("falling", 1), ("rising", -1)):
            path = folder / label / f"{n}.mp4"
            path.parent.mkdir(exist_ok=True)
            writer.encode(path, frames[::order])
    return folder


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """A home whose dataset is made once for all tests of this file."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def lab(films, shared_home, monkeypatch):
    monkeypatch.setenv("S1M_HOME", str(shared_home))
    return lambda **changes: TrainConfig(**{"data": str(films), **TINY, **changes})


def test_the_dataset_of_a_run_is_found_again(films, home, tmp_path):
    """From what a run stores of it, also where its folder has a dot, or lies outside the home."""
    shutil.copytree(films, tmp_path / "my.films")
    inside = prepare.prepare(tmp_path / "my.films", 2, 48, workers=1)
    outside = shutil.copytree(inside, tmp_path / "else.where" / "my.films")
    for given, folder in ((tmp_path / "my.films", inside), (outside, outside)):
        config = TrainConfig(**{**TINY, "data": str(given)})
        _, settings, run = train.resolve(config, paths.dataset(str(given)), {})
        assert paths.dataset(settings["data"]) == folder
        assert prepare.prepare(settings["data"]) == folder, "no dataset is made of a dataset"
        again = TrainConfig(**{**TINY, "data": settings["data"]})
        assert train.Trainer(again).run.path == run.path and run.name.startswith("my.films-")
    assert not paths.is_path(inside.name) and paths.is_path("my.films")
    assert [folder.name for folder in (home / "data").iterdir() if folder.is_dir()] == [inside.name]


def command(config: TrainConfig) -> list[str]:
    changed = {k: v for k, v in vars(config).items() if v != getattr(TrainConfig, k)}
    options = [f"--{key.replace('_', '-')}={value}" for key, value in changed.items()]
    return [sys.executable, "-m", "s1m_lab", "train", *options]


def bits(run: runs.Run) -> dict:
    """All that must come out the same: weights, predictions, untimed columns, kept filters."""
    return {
        "weights": (run.path / "model.safetensors").read_bytes(),
        "predictions": (run.path / "predictions" / "test.npy").read_bytes(),
        "metrics": run.metrics[list(train.COLUMNS)].to_csv(),
        "filters": {p.name: p.read_bytes() for p in sorted((run.path / "filters").iterdir())},
    }


def test_a_run_holds_what_it_says(lab):
    run = train.train(lab())
    assert train.Trainer(lab()).run == run
    results = run.results
    assert (results["model"], results["classes"], results["seed"]) == ("slow", 2, 0)
    net = runs.load_network(run)
    assert results["parameters"] == sum(p.numel() for p in net.parameters())
    assert run.labels == ["falling", "rising"]
    saved = predict.load_predictions(run)
    assert results["clips"] == len(saved.clip_video)
    assert results["videos"] == len(saved.ids) >= 4
    np.testing.assert_allclose(saved.clip_probabilities.sum(axis=1), 1, atol=1e-5)
    own = [
        p.argmax() in c for p, c in zip(saved.clip_probabilities, saved.clip_labels, strict=True)
    ]
    assert results["clip_hit1"] == pytest.approx(np.mean(own))
    metrics = run.metrics
    best = (
        metrics.dropna(subset="val_hit1")
        .sort_values(["val_hit1", "val_loss"], ascending=[False, True])
        .iloc[0]
    )
    assert results["epoch"] == best["epoch"]
    assert metrics["loss"].iloc[-1] < metrics["loss"].iloc[0]
    kept = sorted(path.name for path in (run.path / "checkpoint").iterdir())
    last = RECIPES["pocket"].checkpoint, int(metrics["step"].iloc[-1])
    assert kept == [f"{step:08d}" for step in last]
    modes = {path.stat().st_mode for path in run.path.rglob("*.*") if path.is_file()}
    assert len(modes) == 1, "who may read one file of a run may read all"


def test_a_finished_run_is_found_and_other_settings_stop(lab):
    run = train.train(lab(run="mine", epochs=1))
    assert train.Trainer(lab(run="mine", epochs=1)).run == run
    before = (run.path / "results.json").stat().st_mtime_ns
    assert train.train(lab(run="mine", epochs=1)).path == run.path
    assert (run.path / "results.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="epochs: 1 in the run, 2 now"):
        train.train(lab(run="mine", epochs=2))
    assert train.train(lab(run="v1.1", epochs=1)).path == runs.load_run("v1.1").path
    with pytest.raises(ValueError, match="starts with a letter"):
        train.train(lab(run="0012"))


@pytest.mark.parametrize(
    "wrong", [{"model": "slwo"}, {"epochs": -1}, {"recipe": "papr"}, {"precision": "fp8"}]
)
def test_wrong_settings_stop_at_once(lab, wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} "):
        lab(**wrong)


def test_a_killed_training_ends_in_the_same_bits(lab):
    """SIGKILL after the first checkpoint and after the second, each at a random moment more."""
    whole = train.train(lab(run="whole", epochs=8))
    killed, rng = runs.Run(whole.path.with_name("killed")), np.random.default_rng()
    again = command(lab(run="killed", epochs=8))
    for step in (60, 120):
        process = subprocess.Popen(again, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (killed.path / f"checkpoint/{step:08d}").is_dir():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.wait()
        assert not killed.finished, "the training was over before it was killed"
    log = subprocess.run(again, capture_output=True, text=True, timeout=300, check=True).stdout
    assert "resumes from step 120" in log
    assert bits(killed) == bits(whole)
    steps = int(whole.metrics["step"].iloc[-1])
    kept = [f"{n:08d}.safetensors" for n in (60, 120, 240, 480) if n <= steps]  # 1st, 2nd, 4th, 8th
    assert list(bits(whole)["filters"]) == kept


@pytest.fixture(scope="module")
def traced(films, shared_home, tmp_path_factory):
    """20 steps on 1, 2 and 3 gloo processes: what each saw, its first gradients, its losses."""
    script = tmp_path_factory.mktemp("script") / "traced.py"
    script.write_text(f"""
import os, sys, torch
from pathlib import Path
from s1m_lab import TrainConfig, train
from s1m_lab.data.augment import Augment
from s1m_lab.training import train as training
config = TrainConfig(data={str(films)!r}, run=sys.argv[1], precision="fp32", recipe="paper",
                           **{ {**TINY, "epochs": 1, "lr": 1e-4}!r})
seen, places = [], Augment.places
def crops(self, samples, epoch):
    seen.append([samples.tolist(), places(self, samples, epoch).tolist()])
    return places(self, samples, epoch)
Augment.places = crops
masks, dropout = [], training.step_dropout
def record(*arguments):
    masks.append(dropout(*arguments).keys.tolist())
    return dropout(*arguments)
training.step_dropout = record
step, gradients = torch.optim.SGD.step, []
def first(self, *rest):
    if not gradients:
        gradients.extend(p.grad.clone() for g in self.param_groups for p in g["params"])
    return step(self, *rest)
torch.optim.SGD.step = first
run = train(config)
rank = os.environ.get("RANK", "0")
threads = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
trace = {{"seen": seen, "masks": masks, "gradients": gradients, "threads": threads}}
torch.save(trace, run.path / f"trace{{rank}}.pt")
""")
    found = {}
    for ranks in (1, 2, 3):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        launch += ["--nproc-per-node", str(ranks), str(script), f"on-{ranks}"]
        environment = os.environ | {"S1M_HOME": str(shared_home)}
        subprocess.run(launch, env=environment, check=True, timeout=300)
        run = runs.Run(shared_home / "runs" / f"on-{ranks}")
        traces = [torch.load(run.path / f"trace{r}.pt", weights_only=True) for r in range(ranks)]
        found[ranks] = run, traces
    return found


@pytest.mark.parametrize("ranks", [2, 3])
def test_several_processes_train_as_one(traced, ranks):
    (one, (alone,)), (several, traces) = traced[1], traced[ranks]
    for step in range(len(alone["seen"])):
        for part in (0, 1):  # samples, then crops, in the order of the global batch
            together = [row for trace in traces for row in trace["seen"][step][part]]
            assert together == alone["seen"][step][part]
        together = [key for trace in traces for key in trace["masks"][step]]
        assert together == alone["masks"][step]
    for trace in traces:
        for mine, theirs in zip(alone["gradients"], trace["gradients"], strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    losses = [run.metrics["loss"][:2] for run in (one, several)]
    np.testing.assert_allclose(*losses, atol=1e-4)
    np.testing.assert_allclose(
        *(predict.load_predictions(run).clip_probabilities for run in (one, several)), atol=1e-3
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks for threads in /proc")
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_group_of_processes_leaves_no_thread(traced, ranks):
    """One that is still at work when Python ends aborts its process."""
    for trace in traced[ranks][1]:
        assert trace["threads"] and not [name for name in trace["threads"] if "gloo" in name]


def test_resolved_fills_in_the_recipe():
    config = TrainConfig(epochs=2).resolved()
    recipe = RECIPES["pocket"]
    assert (config.epochs, config.lr, config.size) == (2, recipe.lr, recipe.size)
    assert TrainConfig().resolved(3200).epochs == recipe.epochs  # 100 steps each
    assert TrainConfig().resolved(320).epochs == recipe.least_steps / 10
    assert TrainConfig(lr=1).lr == 1.0 and TrainConfig(width=1) == TrainConfig(width=1.0)


def test_the_papers_rate_is_cut_where_validation_stops_improving():
    recipe, state = RECIPES["paper"], train.State()
    rates, better = [], []
    for epoch, (loss, hit1) in enumerate([(2, 0.3), (1, 0.4), (1, 0.4), (0.9, 0.4), (0.5, 0.3)]):
        better.append(state.improve(epoch, loss, hit1))
        rates.append(train.rate_share(recipe, 5, 10, state.cuts))
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert better == [True, True, False, True, False]  # of equal Hit@1 the lower loss
    assert state.best_epoch == 3


def test_without_validation_clips_the_last_epoch_is_kept():
    state, nan = train.State(), float("nan")
    assert all(state.improve(epoch, nan, nan) for epoch in range(3))
    assert (state.best_epoch, state.cuts) == (2, 0)


def test_a_notebook_knows_the_run_before_it_is_trained(lab, monkeypatch):
    config = lab(run="known-before", epochs=1)
    folder = prepare.prepare(config.data)
    monkeypatch.setattr(prepare, "prepare", None)  # it is not prepared again
    trainer = train.Trainer(config, folder=folder)
    assert not trainer.run.path.exists()
    assert trainer.train() == trainer.run and trainer.run.finished


def test_without_a_name_the_default_run_is_trained(lab, monkeypatch):
    monkeypatch.setattr(train, "train", lambda config: config)
    assert train.find_or_train("", "films", "single", 3) == TrainConfig("films", "single", seed=3)
    with pytest.raises(FileNotFoundError, match="no run named 'slwo'"):
        train.find_or_train("slwo", "films", "single")


def test_the_pocket_rate_rises_and_falls():
    pocket = RECIPES["pocket"]
    rates = [train.rate_share(pocket, step, 600, 0) for step in range(600)]
    assert rates[0] == pytest.approx(1 / 50) and max(rates) > 0.97 and rates[-1] < 1e-4


def test_new_videos_are_labelled_and_broken_ones_named(lab, films, tmp_path, capsys):
    run = train.train(lab(run="for-new", epochs=1))
    empty = tmp_path / "-rf.mp4"
    empty.write_bytes(b"")
    files = [films / "rising" / "0.mp4", empty, tmp_path / "gone.mp4"]
    table = predict.predict_videos(run, files)
    assert table["status"].tolist() == ["ok", "empty", "missing"]
    assert table["label1"][0] in run.labels and pd.isna(table["label1"][1])
    assert table["probability1"][0] + table["probability2"][0] == pytest.approx(1, abs=1e-5)
    assert json.loads(table.to_json(orient="records"))
    (tmp_path / "good.mp4").write_bytes(files[0].read_bytes())
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "text.avi").write_text("no video")
    assert __main__.predict(run.name, tmp_path, tmp_path / "labels.csv") == 0
    assert "1 of 4 videos labelled · empty 1 · not a video 2: " in capsys.readouterr().out
    numbers = re.findall(r",(\d\.\d+)", (tmp_path / "labels.csv").read_text())
    assert len(numbers) == 2 and {len(number) for number in numbers} == {8}
    odd = tmp_path / os.fsdecode(b"\xff.mp4")
    try:
        odd.write_bytes(files[0].read_bytes())
    except OSError:
        pytest.skip("this file system has no names that are not UTF-8")
    table = predict.predict_videos(run, [odd, files[0]])
    assert table["path"].tolist() == [rf"{tmp_path}/\xff.mp4", str(files[0])]
    assert table["status"][1] == "ok" and table["label1"][1] in run.labels
