"""Training as users meet it: stopped, killed, resumed, on several processes.

The dataset is a folder of short films of two classes, a disc that rises and one that falls.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from s1m_lab import __main__, models
from s1m_lab.common import files, paths
from s1m_lab.data import catalog
from s1m_lab.data.ingest import prepare
from s1m_lab.training import label_videos, predict, runs, train
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


def launched(config: TrainConfig, ranks: int, *options: str) -> list[str]:
    """Its command, on several processes under torchrun."""
    python, module, name, *own = command(config)
    if ranks == 1:
        return [python, module, name, *own]
    torchrun = [python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    return [*torchrun, *options, module, name, "--", *own]


@pytest.fixture
def undisturbed(lab):
    """A run of 8 epochs on so many processes, made once for all tests of this file."""

    def make(ranks: int) -> runs.Run:
        run = runs.Run(paths.runs() / f"undisturbed-{ranks}")
        if not run.finished:
            own = launched(lab(run=run.name, epochs=8), ranks)
            subprocess.run(own, check=True, timeout=300, stdout=subprocess.DEVNULL)
        return run

    return make


def bits(run: runs.Run) -> dict:
    """All that must come out the same: weights, predictions, untimed columns, kept filters."""
    return {
        "weights": (run.path / "model.safetensors").read_bytes(),
        "predictions": (run.path / "predictions" / "test.npy").read_bytes(),
        "metrics": run.metrics[list(train.COLUMNS)].to_csv(),
        "filters": {p.name: p.read_bytes() for p in sorted(run.path.glob("filters/*.safetensors"))},
    }


def test_a_training_that_hardly_learns_says_so(lab, capsys):
    config = lab(run="no-rate", lr=1e-9, epochs=1)
    run = train.train(config)
    said = (
        r"loss ends at 0\.\d\d, where guessing gives 0\.69: .* learnt by epoch 1; the recipe takes"
    )
    assert re.search(said, capsys.readouterr().out)
    trainer = train.Trainer(config)
    trainer.set_up(run.config["machine"])
    trainer.print_whether_learnt()
    assert "hardly" in capsys.readouterr().out
    trainer.state.best_hit1 = 0.9  # of validation clips
    trainer.print_whether_learnt()
    trainer.state.best_hit1 = 0.5
    run.metrics.assign(loss=0.1).to_csv(run.path / "metrics.csv", index=False)
    files.record(run.path / "metrics.csv")
    trainer.print_whether_learnt()
    assert "hardly" not in capsys.readouterr().out


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
    peak = metrics["clips_per_second"] * train.step_flops(net) / metrics["mfu"]
    assert peak.min() == pytest.approx(peak.max()) and 1e8 < peak[0] < 1e15  # FLOP/s
    row = metrics[["step", "seconds"]].diff().fillna(metrics[["step", "seconds"]])
    clips = metrics["clips_per_second"] * row["seconds"]
    assert clips.tolist() == pytest.approx((row["step"] * TINY["batch_size"]).tolist())
    assert metrics["mfu"].min() <= results["mfu"] + 1e-4 <= metrics["mfu"].max() + 2e-4
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


def test_the_flops_of_a_step_are_those_that_pytorch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    for name in ("single", "slow-multires"):
        net = models.build(name, 4, width=1 / 8, size=66)
        for tower in net.towers.values():
            tower.norm1 = tower.norm2 = torch.nn.Identity()  # no part of the model's own FLOPs
        with FlopCounterMode(display=False) as counter:
            net(torch.zeros(1, 3, len(net.frames), net.crop, net.crop)).sum().backward()
        assert train.step_flops(net) == counter.get_total_flops() > 0


def test_tensorboard_shows_the_metrics_of_a_resumed_training(lab):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = lab(run="events", epochs=8)
    killed = runs.Run(paths.runs() / "events")
    process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL)
    while process.poll() is None and not (killed.path / "checkpoint/00000060").is_dir():
        time.sleep(0.01)
    process.kill()
    process.wait()
    metrics = train.train(config).metrics
    shown = accumulator.EventAccumulator(str(killed.path / "events")).Reload()
    for name in ("loss", "val_hit1", "mfu"):
        own = metrics.set_index("step")[name].dropna()
        events = {event.step: event.value for event in shown.Scalars(name)}
        assert events == pytest.approx(own.to_dict(), rel=1e-6)


def test_without_tensorboard_there_are_no_events(lab, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    run = train.train(lab(run="no-events", epochs=1))
    assert run.finished and not (run.path / "events").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_too_large_a_batch_ends_in_a_sentence_with_one_that_fits(lab):
    """The process may take 150 MB more than it has when the training begins."""
    code = """
import re, resource, sys
from pathlib import Path
from s1m_lab import __main__
from s1m_lab.training import train
set_up = train.Trainer.set_up
def limited(self, machine):
    set_up(self, machine)
    now = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (now + 150_000_000,) * 2)
train.Trainer.set_up = limited
sys.argv = ["s1m_lab", *sys.argv[1:]]
sys.exit(__main__.main())
"""
    options = command(lab(run="large", width=0.25, size=112, batch_size=150, epochs=1))[3:]
    done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.fullmatch(
        r"1\d\d clips a step do not fit into the memory, \d+ do: give batch_size \d+, and another "
        r"run if it has a name \(.*(can't allocate memory|could not create a primitive).*\)",
        done.stderr.strip().splitlines()[-1],
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_rank_killed_under_torchrun_ends_in_the_same_bits(lab, undisturbed, rank):
    """SIGKILL of one of two ranks after a checkpoint; torchrun restarts both."""
    whole, killed = undisturbed(ranks=2), runs.Run(paths.runs() / f"rank-{rank}-killed")
    own = launched(lab(run=killed.name, epochs=8), 2, "--max-restarts=1")
    process = subprocess.Popen(own)
    while process.poll() is None and not (killed.path / "checkpoint/00000060").is_dir():
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    environment = {int(child): Path(f"/proc/{child}/environ").read_bytes() for child in children}
    (victim,) = (
        child for child, text in environment.items() if f"\0RANK={rank}\0".encode() in text
    )
    os.kill(victim, signal.SIGKILL)
    assert process.wait(300) == 0
    assert bits(killed) == bits(whole)


def test_errors_that_are_not_of_memory_are_not_explained(lab, monkeypatch):
    config = lab(run="odd-error", epochs=1)

    def fail(self):
        raise RuntimeError("unable to allocate shared memory(shm)")

    monkeypatch.setattr(train.Trainer, "fit", fail)
    with pytest.raises(RuntimeError, match="^unable to allocate shared"):
        train.train(config)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_errors_of_a_full_gpu_are_recognised(text):
    assert train.is_out_of_memory(RuntimeError(text))
    assert not train.is_out_of_memory(RuntimeError("CUDNN_STATUS_EXECUTION_FAILED"))


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
    "more",
    [{}, {"run": "named", "deterministic": True, "few": 3}, {"recipe": "paper", "lr": 0.001}],
)
def test_the_command_of_a_run_makes_it_again(more, lab, monkeypatch):
    run = train.train(lab(epochs=1, seed=5, **more))
    command, before = run.command(), bits(run)
    assert command.startswith("python -m s1m_lab train --data 'my films")
    shutil.rmtree(run.path)
    monkeypatch.setattr(sys, "argv", ["s1m_lab", *shlex.split(command)[3:]])
    assert __main__.main() == 0 and bits(run) == before


def test_a_run_without_settings_has_its_name_for_a_command(home):
    run = runs.Run(home / "runs" / "mine")
    assert run.command() == "the command of run mine"
    run.path.mkdir(parents=True)
    for text in ("{", "[]", '{"settings": {"recipe": "of others"}}'):
        (run.path / "config.json").write_text(text)
        assert run.command() == "the command of run mine"
    (run.path / "config.json").write_text('{"settings": {"tune": "top"}, "machine": {}}')
    assert run.command() == "notebooks/06_ucf101.ipynb, with the parameters of mine"
    settings = {"recipe": "pocket", "model": "late", "epochs": 5}
    files.write_json(run.path / "config.json", {"settings": settings, "machine": {"ranks": 2}})
    command = "torchrun --nproc-per-node 2 -m s1m_lab -- train --model late"
    assert run.command() == command
    text = (run.path / "config.json").read_text()
    (run.path / "config.json").write_text(text.replace("5", "6"))
    assert run.command() == "the command of run mine", "not by settings that are damaged"
    files.write_json(run.path / "checkpoint" / "00000060" / "config.json", json.loads(text))
    assert run.command() == command


def test_weights_whose_settings_are_lost_are_not_trained_on(lab):
    """No checkpoint holds the settings either, so they may be others."""
    run = train.train(lab(run="lost", epochs=1))
    shutil.rmtree(run.path / "checkpoint")
    (run.path / "config.json").write_text("{")
    before = (run.path / "model.safetensors").read_bytes()
    for _ in range(2):
        with pytest.raises(files.Damaged, match="config.json is damaged or missing; it cannot be"):
            train.train(lab(run="lost", epochs=1))
    (run.path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="config.json is missing; it cannot be made again"):
        runs.load_run("lost")
    assert (run.path / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("kept", [0, 100])
def test_a_finished_training_names_the_weights_that_it_lacks(kept, lab, capsys):
    run = train.train(lab(run="weightless", epochs=1))
    weights = run.path / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:kept]) if kept else weights.unlink()
    assert train.train(lab(run="weightless", epochs=1)).finished
    out = capsys.readouterr().out
    assert (
        f"{weights} is {'damaged' if kept else 'missing'}" in out and "cannot be made again" in out
    )
    weights.write_bytes(data)


@pytest.mark.parametrize("kept", [0, 100])
def test_lost_weights_of_the_best_epoch_stop_an_unfinished_training(kept, lab, capsys):
    """At once, and not when it is to be scored."""
    run = train.train(lab(run="half", epochs=1))
    (run.path / "results.json").unlink()
    weights = run.path / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:kept]) if kept else weights.unlink()
    words = "damaged" if kept else "missing"
    sentence = f"{weights} is {words}.*; it cannot be made again: to train anew, move {run.path} "
    with pytest.raises(OSError, match=sentence):
        train.train(lab(run="half", epochs=1))
    assert "training takes" not in capsys.readouterr().out.partition("resumes from")[2]
    weights.write_bytes(data)
    assert train.train(lab(run="half", epochs=1)).finished


@pytest.mark.parametrize(
    "wrong", [{"model": "slwo"}, {"epochs": -1}, {"recipe": "papr"}, {"precision": "fp8"}]
)
def test_wrong_settings_stop_at_once(lab, wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} "):
        lab(**wrong)


def test_a_killed_training_ends_in_the_same_bits(lab, undisturbed):
    """SIGKILL after the first checkpoint and after the second, each at a random moment more."""
    whole, rng = undisturbed(ranks=1), np.random.default_rng()
    killed = runs.Run(whole.path.with_name("killed"))
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


@pytest.mark.parametrize("ranks", [1, 2])
def test_sigterm_writes_a_checkpoint_and_the_same_command_resumes(lab, undisturbed, ranks):
    whole, stopped = undisturbed(ranks), runs.Run(paths.runs() / f"stopped-{ranks}")
    own = launched(lab(run=stopped.name, epochs=8), ranks)
    process = subprocess.Popen(own, stderr=subprocess.PIPE, text=True)
    log = stopped.path / "metrics.csv"
    while process.poll() is None and not (log.is_file() and len(log.read_text().split()) > 8):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # torchrun passes it on
    said = process.communicate(timeout=60)[1]
    step = max(int(path.name) for path in (stopped.path / "checkpoint").iterdir())
    assert step > 60 and step % 60, "a checkpoint of its own"
    sentence = f"{stopped.name} was stopped by SIGTERM and has a checkpoint of step {step}; repeat"
    assert sentence in said
    if ranks == 1:
        assert process.returncode == 143 and len(said.splitlines()) == 1
    subprocess.run(own, check=True, timeout=300, stdout=subprocess.DEVNULL)
    assert bits(stopped) == bits(whole)


@pytest.mark.parametrize(
    "there", [b"step,loss\n50,1\n60,2\n70,3\n8", b"step,loss\n50,1\n60,2\n", b""]
)
@pytest.mark.parametrize("kept", [True, False])
def test_a_resumed_log_has_the_rows_of_its_checkpoint(tmp_path, capsys, kept, there):
    """Without a copy in the checkpoint, as in an older run, the file's own up to its step."""
    run = runs.Run(tmp_path)
    (tmp_path / "metrics.csv").write_bytes(there)
    if kept:
        (tmp_path / "checkpoint" / "00000060").mkdir(parents=True)
        copy = tmp_path / "checkpoint" / "00000060" / "metrics.csv"
        copy.write_bytes(b"step,loss\n50,1\n60,2\n")
    log = runs.Log(run, ("step", "loss"), 60)
    log.add(70, 0.5)
    rows = ["step,loss", "50,1", "60,2", "70,0.5"] if kept or there else ["step,loss", "70,0.5"]
    assert (tmp_path / "metrics.csv").read_text().split() == rows
    assert ("damaged or missing" in capsys.readouterr().out) == (kept and not there)


def test_a_last_step_that_diverges_leaves_no_weights(lab):
    """There is one step: its loss is that of the start, and its update is what diverges."""
    config = lab(run="diverged", lr=1e10, batch_size=10_000, epochs=1)
    with pytest.raises(FloatingPointError, match=r"validation loss is nan; .*: try a lower lr"):
        train.train(config)
    run = runs.load_run(config.run)
    assert not run.finished and not (run.path / "model.safetensors").exists()
    assert not list((run.path / "checkpoint").glob("*"))


def test_weights_that_are_not_finite_are_not_kept(lab):
    net = models.build("single", 2, 1 / 16, 43)
    train.require_finite(net)
    torch.nn.init.constant_(net.fc7.bias, float("inf"))
    with pytest.raises(FloatingPointError, match="^fc7.bias .* not finite"):
        train.require_finite(net)


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
    table = label_videos.predict_videos(run, files)
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
    table = label_videos.predict_videos(run, [odd, files[0]])
    assert table["path"].tolist() == [rf"{tmp_path}/\xff.mp4", str(files[0])]
    assert table["status"].tolist() == ["ok", "ok"] and table["label1"][0] in run.labels


def labels_command(run, folder, *options) -> list[str]:
    return [sys.executable, "-m", "s1m_lab", "predict", run.name, str(folder), *map(str, options)]


def copies(films, folder, count: int):
    """A folder of so many videos, one of them empty, one with a line break in its name."""
    folder.mkdir(parents=True)
    files = sorted(films.rglob("*.mp4"))
    for n in range(count):
        shutil.copy(files[n % len(files)], folder / f"{n:04}, so.mp4")
    shutil.copy(files[0], folder / 'two\nlines and a "quote".mp4')
    (folder / "0000.mp4").write_bytes(b"")
    return folder


def test_labels_of_a_killed_command_are_resumed(lab, films, tmp_path):
    """A process ends with SIGKILL; the CSV is that of an undisturbed run, byte for byte."""
    run = train.train(lab(run="for-new", epochs=1))
    folder = copies(films, tmp_path / "videos", 40)
    whole, out = tmp_path / "whole.csv", tmp_path / "labels.csv"
    subprocess.run(labels_command(run, folder, "--out", whole), check=True)
    process = subprocess.Popen(labels_command(run, folder, "--out", out))
    while not out.is_file() or out.read_bytes().count(b"\n") < 15:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    assert process.wait() != 0
    kept = out.read_bytes()
    assert 15 <= kept.count(b"\n") < 40 and whole.read_bytes().startswith(kept)
    out.write_bytes(kept + whole.read_bytes()[len(kept) :][:9])  # half a line
    before = out.read_bytes()
    done = subprocess.run(labels_command(run, folder, "--out", out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == whole.read_bytes() and out.read_bytes().startswith(before)
    assert "41 of 42 videos labelled · empty 1" in done.stdout
    assert len(pd.read_csv(out)) == 42


def relabel(run, folder, out, monkeypatch, seen: list):
    """The names that `predict` decodes when it is run on a folder again."""
    score = label_videos._score
    with monkeypatch.context() as patch:
        patch.setattr(
            label_videos,
            "_score",
            lambda net, path, *a: seen.append(path.name) or score(net, path, *a),
        )
        return __main__.predict(run.name, folder, out)


def test_a_finished_csv_is_recognised_and_new_files_are_added(lab, films, tmp_path, monkeypatch):
    run, seen = train.train(lab(run="for-new", epochs=1)), []
    folder, out = copies(films, tmp_path / "videos", 3), tmp_path / "labels.csv"
    assert relabel(run, folder, out, monkeypatch, seen) == 0 and len(seen) == 5
    first = out.read_bytes()
    assert relabel(run, folder, out, monkeypatch, seen) == 0 and len(seen) == 5
    assert out.read_bytes() == first
    shutil.copy(folder / "0001, so.mp4", folder / "0000b.mp4")
    assert relabel(run, folder, out, monkeypatch, seen) == 0
    assert seen[5:] == ["0000b.mp4"] and out.read_bytes().startswith(first)


def change_file(folder, out, run):
    shutil.copy(folder / "0001, so.mp4", folder / "0000.mp4")
    return folder


def remove_file(folder, out, run):
    (folder / "0001, so.mp4").unlink()
    return folder


def name_another_folder(folder, out, run):
    return shutil.copytree(folder, folder.parent / "else" / folder.name)


def change_weights(folder, out, run):
    model = run.path / "model.safetensors"
    weights = runs.load_network(run).state_dict()
    runs.save_network(model, runs.load_network(run), run.labels, {"other": len(weights)})
    return folder


def edit(folder, out, run):
    out.write_bytes(out.read_bytes().replace(b"\n", b"\r\n"))
    return folder


def change_digit(folder, out, run):
    data = out.read_bytes()
    assert data[-2:-1].isdigit()
    out.write_bytes(data[:-2] + (b"1" if data[-2:-1] != b"1" else b"2") + b"\n")
    return folder


def replace(folder, out, run):
    out.write_text("name,age\nme,7\n")
    return folder


def leave(folder, out, run):
    return folder


CHANGES = {
    change_file: "0000.mp4, which is not there or has changed",
    remove_file: "0001, so.mp4, which is not there or has changed",
    name_another_folder: "0000, so.mp4, which is not there or has changed",
    change_weights: "holds labels by other weights",
    edit: "was edited or damaged",
    change_digit: "was edited or damaged",
    replace: "was edited or damaged",
    leave: "",
}


@pytest.mark.parametrize("change", CHANGES)
def test_labels_of_other_files_or_weights_do_not_mix(change, lab, films, tmp_path):
    copied = shutil.copytree(train.train(lab(run="for-new", epochs=1)).path, tmp_path / "run")
    run, out = runs.Run(copied), tmp_path / "labels.csv"
    folder = copies(films, tmp_path / "videos", 3)
    assert __main__.predict(str(run.path), folder, out) == 0
    folder = change(folder, out, run)
    if not CHANGES[change]:
        assert __main__.predict(str(run.path), folder, out) == 0
        return
    before = out.read_bytes()
    with pytest.raises(FileExistsError) as said:
        __main__.predict(str(run.path), folder, out)
    assert str(said.value).endswith(
        f"{CHANGES[change]}; remove it, or name another file with --out"
    )
    assert str(said.value).startswith(str(out)) and out.read_bytes() == before
    out.unlink()
    assert __main__.predict(str(run.path), folder, out) == 0, "its advice helps"


def test_labels_that_were_moved_are_recognised(lab, films, tmp_path, monkeypatch):
    run, seen = train.train(lab(run="for-new", epochs=1)), []
    folder, out = copies(films, tmp_path / "videos", 3), tmp_path / "here" / "labels.csv"
    out.parent.mkdir()
    assert relabel(run, folder, out, monkeypatch, seen) == 0 and len(seen) == 5
    moved = out.parent.rename(tmp_path / "there") / out.name
    assert relabel(run, folder, moved, monkeypatch, seen) == 0 and len(seen) == 5


def test_two_folders_of_one_name_get_two_files(lab, films, tmp_path, capsys):
    run = train.train(lab(run="for-new", epochs=1))
    files = []
    for parent in ("a", "b"):
        folder = copies(films, tmp_path / parent / "videos", 1)
        for given in (folder, folder / ".." / "videos"):
            assert __main__.predict(run.name, given, None) == 0
            files.append(capsys.readouterr().out.strip().rpartition(": ")[2])
    assert files[0] == files[1] != files[2] == files[3]
    for file, parent in zip(files[::2], "ab", strict=True):
        assert file.startswith(f"{run.path}/labels-videos-")
        paths = pd.read_csv(file)["path"]
        assert len(paths) == 3 and all(f"/{parent}/videos/" in path for path in paths)


def bad_outputs(folder) -> dict:
    """Outputs that cannot be written, or are something else, and what is said of them."""
    (folder / "there.csv").write_text("mine\n")
    (folder / "text").write_text("")
    os.mkfifo(folder / "pipe")
    return {
        folder: "is a folder",
        folder / "gone" / "labels.csv": "there is no folder for",
        folder / "text" / "labels.csv": "there is no folder for",
        folder / ("n" * 300): "cannot be written (File name too long)",
        "/proc/labels.csv": "cannot be written",
        folder / "there.csv": "is there already",
        folder / "pipe": "is there already",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="its files are those of Linux")
def test_an_output_that_cannot_be_written_is_refused_before_work(lab, films, tmp_path, monkeypatch):
    run = train.train(lab(run="for-new", epochs=1))
    for out, why in bad_outputs(tmp_path).items():
        with monkeypatch.context() as patch:
            patch.setattr(label_videos, "_score", None)
            patch.setattr(sys, "argv", ["s1m_lab", *labels_command(run, films, "--out", out)[3:]])
            with pytest.raises(SystemExit) as end:
                __main__.main()
        assert why in str(end.value) and str(out) in str(end.value)
        assert "\n" not in str(end.value)
    assert (tmp_path / "there.csv").read_text() == "mine\n"
    for good in ("text", "new.csv", "n" * 255):  # an empty file may be written
        one = films / "rising" / "0.mp4"
        assert __main__.predict(run.name, one, tmp_path / good) == 0
        assert len(pd.read_csv(tmp_path / good)) == 1


NAMES = ["n" * 246 + ".mp4", "名" * 83 + ".mp4", os.fsdecode(b"\xff" * 240 + b".mp4"), "a\rb.mp4"]


@pytest.mark.parametrize("name", NAMES, ids=["ascii", "chinese", "bytes", "return"])
def test_videos_and_folders_of_any_name_are_labelled(name, lab, films, tmp_path, capsys):
    run = train.train(lab(run="for-new", epochs=1))
    try:
        (tmp_path / name).write_bytes((films / "rising" / "0.mp4").read_bytes())
        shutil.copytree(films / "rising", tmp_path / "in" / name)
    except OSError:
        pytest.skip("this file system has no such names")
    for given, count in ((tmp_path / name, 1), (tmp_path / "in" / name, 12)):
        for _ in range(2):
            assert __main__.predict(run.name, given, None) == 0
            out = capsys.readouterr().out.strip().rpartition(": ")[2]
        assert f"/labels-{name[:30]}" in out or "\udcff" in name or "\r" in name
        table = pd.read_csv(out)
        assert table["status"].tolist() == ["ok"] * count
        expected = label_videos.predict_videos(
            run, [given] if count == 1 else sorted(given.iterdir())
        )
        assert table["path"].tolist() == expected["path"].tolist()


def class_folders(films, folder, train_first: bool, extra: int):
    """Films in class folders, an unreadable one, and `extra` in a folder of no class."""
    folder = folder / "test" if train_first else folder
    for label, count in (("falling", 5), ("rising", 3)):
        (folder / label).mkdir(parents=True)
        for n in range(count):
            shutil.copy(films / label / f"{n}.mp4", folder / label)
    (folder / "falling" / "empty.mp4").write_bytes(b"")
    (folder / "other").mkdir()
    for n in range(extra):
        shutil.copy(films / "rising" / f"{n}.mp4", folder / "other")


@pytest.mark.parametrize("split,extra", [(False, 0), (True, 2)])
def test_a_folder_of_known_classes_is_scored(split, extra, lab, films, tmp_path, capsys):
    run = train.train(lab(run="for-new", epochs=1))
    class_folders(films, tmp_path / "films", split, extra)
    for _ in range(2):  # also when all is labelled
        assert __main__.predict(run.name, tmp_path / "films", tmp_path / "labels.csv") == 0
        said = capsys.readouterr().out.splitlines()[-1]
        table = pd.read_csv(tmp_path / "labels.csv").query("status == 'ok'")
        known = table[~table["path"].str.contains("/other/")]
        hit = np.mean([f"/{row.label1}/" in row.path for row in known.itertuples()])
        assert len(known) == 8 and said.startswith(f"video Hit@1 {hit:.1%} · chance 50.0% · ")
        assert "largest class (falling) 62.5% · on 8 readable videos in folders of 2 of 2" in said
        assert ("· 2 readable videos in other folders are not scored" in said) == bool(extra)


def test_a_score_of_training_videos_says_so(lab, films, tmp_path, capsys):
    config = lab(run="for-new", epochs=1)
    run = train.train(config)
    (tmp_path / "films").symlink_to(films)
    assert __main__.predict(run.name, tmp_path / "films", tmp_path / "labels.csv") == 0
    df = catalog.load_catalog(paths.dataset(config.data))
    trained = (df["split"] == "train").sum()
    assert (
        f" · {trained} scored videos are training videos, so the score" in capsys.readouterr().out
    )


def test_a_folder_of_other_names_is_not_scored(lab, films, tmp_path, capsys):
    run = train.train(lab(run="for-new", epochs=1))
    shutil.copytree(films / "rising", tmp_path / "films" / "upwards")
    assert __main__.predict(run.name, tmp_path / "films", tmp_path / "labels.csv") == 0
    assert "readable videos in folders" not in capsys.readouterr().out


def test_scores_of_folders_count_a_tie_against_the_network(tmp_path):
    run = runs.Run(tmp_path)
    (tmp_path / "labels.txt").write_text("cafe\u0301\nb\nc\nd\n", "utf-8")
    (tmp_path / "config.json").write_text('{"settings": {"data": "not-here"}}')
    row = {"status": "ok", "label1": "cafe\u0301", "probability1": "0.500000"}
    tie = row | {"probability2": "0.500000"}
    sure = row | {"probability2": "0.200000"}
    rows = {tmp_path / "caf\u00e9" / str(n): r for n, r in enumerate([tie, sure, sure])}
    said = label_videos.score_by_folders(run, tmp_path, rows)
    assert said.startswith("video Hit@1 66.7% · chance 25.0% · ") and "100.0% · on 3" in said
