"""TrainConfig, the loop, resume; one process or torchrun.

    run = train(TrainConfig(model="slow"))              # finds, resumes or makes the run
    torchrun --nproc-per-node 4 -m s1m_lab -- train --model slow  # the same, data-parallel

A training is a function of its settings: run again, it goes on where it stopped and ends in the
same bits; on more processes it sees the same clips, crops and masks in the same global batches.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from math import ceil, cos, isfinite, pi
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F

from s1m_lab import __version__, catalog, clips, ingest, models, paths, predict, runs, stages
from s1m_lab.shards import Shards


class Recipe(NamedTuple):
    epochs: int
    least_steps: int  # on a small dataset, more epochs
    batch_size: int
    lr: float
    width: float
    size: int
    schedule: str  # "plateau": cut by 10 when validation stops improving; "cosine": down to 0
    warmup: int  # steps over which the rate rises
    clip_norm: float  # of the gradient; 0: not clipped
    dropout: float
    scale: float  # of the input, after 117 is subtracted
    checkpoint: int  # steps between checkpoints
    momentum: float = 0.9
    decay: float = 5e-4


RECIPES = {
    # §3.3. Silent: the factor of a cut (10), how long to wait for one (an epoch without a better
    # validation error), dropout (AlexNet's 0.5). Ten passes over 50 M example frames are the 500 M.
    "paper": Recipe(10, 0, 32, 1e-3, 1.0, 170, "plateau", 0, 0.0, 0.5, 1.0, 1000),
    # Learns to see motion in minutes on two cores. Without the clipped gradient one run in three
    # collapses at this rate; the scale brings pixels to unit variance.
    "pocket": Recipe(5, 400, 32, 0.01, 0.25, 112, "cosine", 50, 5.0, 0.0, 1 / 58, 60),
}
VERSION = 1  # raise it when the same settings give other weights
PRECISIONS = ("auto", "fp32", "bf16")
ROW = 10  # steps in a row of metrics.csv
COLUMNS = ("step", "epoch", "lr", "loss", "val_loss", "val_hit1")
TIMED = ("seconds", "clips_per_second", "data_wait")  # differ from one time to the next


@dataclass(frozen=True)
class TrainConfig:
    """What a training is asked for; 0 and "" stand for the recipe's value or the default."""

    data: str = "pocket"  # a dataset's name, or a path to videos or to a table of them
    model: str = "slow"  # one of models.NAMES
    recipe: str = "pocket"
    epochs: int = 0
    batch_size: int = 0  # of the global batch, over all processes
    lr: float = 0.0
    width: float = 0.0
    size: int = 0  # side of the full-frame crop, pixels
    seed: int = 0
    run: str = ""  # the run's name
    precision: str = "auto"
    deterministic: bool = False  # on a GPU, at some cost; a CPU always is

    def __post_init__(self):
        for name, known in (
            ("model", models.NAMES),
            ("recipe", list(RECIPES)),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {', '.join(known)}")
        for name in ("lr", "width"):  # 1 and 1.0 are one setting
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("epochs", "batch_size", "lr", "width", "size"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0 (0: the recipe's)")
        if self.size:
            models.check_size(self.size)
        if self.run:
            runs.check_name(self.run)

    def resolved(self, clips: int = 0) -> "TrainConfig":
        """With the recipe's values in place of zeros, for that many training clips."""
        recipe = RECIPES[self.recipe]
        zeros = {
            name: value for name, value in recipe._asdict().items() if not vars(self).get(name, 1)
        }
        config = replace(self, **zeros)
        if self.epochs or not clips:
            return config
        least = ceil(recipe.least_steps / max(1, clips // config.batch_size))
        return replace(config, epochs=max(recipe.epochs, least))


class World(NamedTuple):
    rank: int
    ranks: int
    device: torch.device


def train(config: TrainConfig) -> runs.Run:
    """Train one network and score it on the test videos; returns the finished run.

    Prepares the dataset if need be. A run that is finished is returned as it is, one that was
    stopped goes on from its last checkpoint. Under `torchrun` every process calls this alike.
    Raises ValueError where a run of that name has other settings (it lists them).
    """
    stages.keep_memory()
    with _processes() as world:
        if world.rank == 0:
            ingest.prepare(config.data)
        _meet()
        folder = paths.dataset(config.data)
        config, settings, run = _asked(config, folder, world.ranks)
        with stages.exclusive(run.path) if world.rank == 0 else nullcontext():
            if world.rank == 0:
                labels = catalog.load(folder).attrs["classes"]
                runs.begin(run.name, settings, _machine(config, world), labels)
            _meet()
            if not run.finished:
                _set_up(run, config, world)
                state = _fit(run, config, folder, world)
                _meet()  # the best epoch is on the disk
                _finish(run, config, folder, world, state)
            _meet()
    return run


def run_of(config: TrainConfig) -> runs.Run:
    """The run that `train(config)` returns: finished, begun or not there yet.

    Its dataset must be there: the clips are among the settings that a run is named by.
    """
    return _asked(config, paths.dataset(config.data))[2]


def _asked(config: TrainConfig, folder: Path, ranks: int = 1) -> tuple[TrainConfig, dict, runs.Run]:
    """The config with its recipe's values, all that decides the weights as plain data, the run."""
    sizes = {split: len(Shards(folder / "clips", split)) for split in ("train", "test")}
    for split, clips_there in sizes.items():
        if not clips_there:
            raise ValueError(
                f"{folder.name} has no {split} clips; a dataset needs videos to train on and "
                "others to test on (ingest.statuses says what became of its videos)"
            )
    config = config.resolved(sizes["train"])
    if min(config.batch_size, sizes["train"]) < ranks:
        raise ValueError(f"a batch of {config.batch_size} is too small for {ranks} processes")
    clips_print = Shards(folder / "clips", "train").fingerprint
    settings = RECIPES[config.recipe]._asdict() | asdict(config)
    settings |= {"data": folder.name, "clips": clips_print, "training": VERSION}
    return config, settings, runs.Run(paths.runs() / (config.run or runs.default_name(settings)))


@contextmanager
def _processes() -> Iterator[World]:
    """This process among those `torchrun` started; alone without it."""
    local = int(os.environ.get("LOCAL_RANK", 0))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if "RANK" not in os.environ:
        yield World(0, 1, device)
        return
    # A first process that scores a large test set keeps the others waiting for long.
    dist.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(days=1))
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def _meet() -> None:
    if dist.is_initialized():
        dist.barrier()


def _machine(config: TrainConfig, world: World) -> dict:
    """What is resolved once, by rule, and kept by the run: precision, threads, processes."""
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if stages.has_bf16(world.device.type) else "fp32"
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return {
        "precision": precision,
        "threads": max(1, stages.cores() // beside),
        "ranks": world.ranks,
        "device": torch.cuda.get_device_name() if world.device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "version": __version__,
        "commit": runs.commit(),
    }


def _set_up(run: runs.Run, config: TrainConfig, world: World) -> None:
    """Threads, precision and determinism of this process; says what a resumed run will miss."""
    machine, now = run.config["machine"], _machine(config, world)
    changed = [key for key in ("ranks", "device", "torch") if machine[key] != now[key]]
    if changed and world.rank == 0:
        there = ", ".join(f"{key} {machine[key]} (now {now[key]})" for key in changed)
        print(f"{run.name} was begun with {there}: its last bits may differ from the whole's")
    torch.set_num_threads(now["threads"] if "ranks" in changed else machine["threads"])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)


@dataclass
class State:
    """Where a training stands: with the weights and momenta, all that a checkpoint holds."""

    step: int = 0
    clips: int = 0  # trained on, repeats counted
    cuts: int = 0  # of the rate, on a plateau
    best_epoch: int = -1
    best_hit1: float = -1.0
    best_loss: float = float("inf")
    seconds: float = 0.0  # in the loop, validation and checkpoints apart
    waited: float = 0.0  # of them, for data


def _fit(run: runs.Run, config: TrainConfig, folder: Path, world: World) -> State:
    """The training loop: every step, every row of metrics.csv, every checkpoint."""
    recipe, machine, device = RECIPES[config.recipe], run.config["machine"], world.device
    train_clips, val_clips = Shards(folder / "clips", "train"), Shards(folder / "clips", "val")
    net = models.build(config.model, len(run.labels), config.width, config.size, config.seed)
    net.scale.fill_(recipe.scale)
    net.dropout = recipe.dropout
    net.to(device)
    optimizer = torch.optim.SGD(
        net.parameters(), config.lr, momentum=recipe.momentum, weight_decay=recipe.decay
    )
    state = _resume(run, net, optimizer)
    if world.rank == 0:  # two checkpoints, one on its way, and the best epoch
        stages.require_space(run.path, 8 * sum(4 * p.numel() for p in net.parameters()))
    replica = net
    if world.ranks > 1:
        replica = torch.nn.parallel.DistributedDataParallel(net)

    batch_size = min(config.batch_size, len(train_clips))
    epoch_steps = len(train_clips) // batch_size
    steps = epoch_steps * config.epochs
    workers = max(1, machine["threads"] - 1) if device.type == "cuda" else 0
    data = clips.Clips(train_clips, net.frames, net.classes, 1 if workers else machine["threads"])
    plan = clips.plans(
        train_clips.counts, batch_size, config.seed, config.epochs, state.step, *world[:2]
    )
    log = runs.Log(run, COLUMNS + TIMED, state.step) if world.rank == 0 else None
    progress = stages.Progress(f"training {config.model}", steps, "steps", state.step)
    losses, last, clock = [], replace(state), time.perf_counter()
    for batch in clips.loader(data, plan, workers):
        state.waited += time.perf_counter() - clock
        step, epoch, rows, samples = batch.plan
        rate = config.lr * _schedule(recipe, step, steps, state.cuts)
        for group in optimizer.param_groups:
            group["lr"] = rate
        places = clips.crops(samples, config.seed, epoch, config.size, net.crop)
        x = clips.augment(batch.frames.to(device, non_blocking=True), places, config.size, net.crop)
        net.rows = clips.masks(config.seed, step, rows)
        with predict.autocast(device, machine["precision"]):
            logits = replica(x)
        # The sum over the global batch by its size, whatever share of the batch is here.
        targets = batch.targets.to(device, non_blocking=True)
        loss = F.cross_entropy(logits.float(), targets, reduction="sum") / batch_size
        optimizer.zero_grad(set_to_none=True)
        (loss * world.ranks).backward()  # since replicas average their gradients
        if recipe.clip_norm:
            torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_norm)
        optimizer.step()
        losses.append(loss.detach())
        state.step, state.clips = state.step + 1, state.clips + batch_size

        epoch_ends = state.step % epoch_steps == 0
        row_ends = state.step % ROW == 0 or epoch_ends
        mean_loss = _mean(losses) if row_ends else None
        state.seconds += time.perf_counter() - clock
        val = (None, None)
        if epoch_ends:
            val = predict.validate(net, val_clips, machine)
            _judge(run, state, net, epoch, *val, world)
        if row_ends and log:
            seconds = state.seconds - last.seconds
            speed = (state.clips - last.clips) / seconds
            wait = (state.waited - last.waited) / seconds
            log.add(state.step, epoch, rate, mean_loss, *val, state.seconds, speed, wait)
        if row_ends:
            losses, last = [], replace(state)
        if world.rank == 0:
            if state.step % recipe.checkpoint == 0 or state.step == steps:
                _save(run, net, optimizer, state, recipe.checkpoint)
            progress.update(note=f"loss {mean_loss:.3f}" if row_ends else "")
        clock = time.perf_counter()
    return state


def _schedule(recipe: Recipe, step: int, steps: int, cuts: int) -> float:
    """The share of the learning rate at a step (counted from 0)."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.schedule == "cosine":
        return warm * (1 + cos(pi * step / steps)) / 2
    return warm * 0.1**cuts


def _mean(losses: list[torch.Tensor]) -> float:
    """The mean loss of the global batches of a row, on every process alike."""
    mean = torch.stack(losses).mean()
    if dist.is_initialized():
        dist.all_reduce(mean)
    if not isfinite(mean):
        raise FloatingPointError(
            f"the loss is {mean.item()}; try a lower rate (-p lr), or a recipe that clips gradients"
        )
    return mean.item()


def _judge(run, state: State, net, epoch: int, loss: float, hit1: float, world: World) -> None:
    """After an epoch: keep the weights if they are the best yet, else (on a plateau) cut the rate.

    Best is the higher Hit@1 on the validation clips, of equals the lower loss. Without validation
    clips (both nan) every epoch is kept.
    """
    if hit1 < state.best_hit1 or (hit1 == state.best_hit1 and loss >= state.best_loss):
        state.cuts += 1
        return
    state.best_epoch, state.best_hit1, state.best_loss = epoch, hit1, loss
    if world.rank == 0:
        numbers = {"epoch": epoch, "val_hit1": hit1, "val_loss": loss, "step": state.step}
        runs.save_network(run.path / "model.safetensors", net, run.labels, numbers)


def _save(run: runs.Run, net, optimizer, state: State, every: int) -> None:
    """A checkpoint, and of the 1st, 2nd, 4th, 8th … (a short list) the first layer for good."""
    if state.step % every == 0 and (state.step // every).bit_count() == 1:
        runs.save_first_layer(run, state.step, net)
    momenta = {n: optimizer.state[p]["momentum_buffer"] for n, p in net.named_parameters()}
    runs.save_checkpoint(run, asdict(state), weights=net.state_dict(), momenta=momenta)


def _resume(run: runs.Run, net, optimizer) -> State:
    """Take the network and its optimizer up where the run's last checkpoint left them."""
    state, tensors = runs.load_checkpoint(run)
    if not state:
        return State()
    net.load_state_dict(tensors["weights"])
    for name, p in net.named_parameters():
        optimizer.state[p]["momentum_buffer"] = torch.empty_like(p).copy_(tensors["momenta"][name])
    print(f"{run.name} goes on from step {state['step']}")
    return State(**state)


def _finish(run: runs.Run, config: TrainConfig, folder: Path, world: World, state: State) -> None:
    """Score the best epoch on the test videos; write predictions and results.json."""
    if Shards(folder / "clips", "test").fingerprint != run.config["settings"]["clips"]:
        raise RuntimeError(
            f"the clips of {folder.name} were made anew while {run.name} trained on them; remove "
            f"{run.path} and train again"
        )
    net = runs.load_network(run).to(world.device)
    predict.save(run, net, folder, "test", run.config["machine"])
    if world.rank:
        return
    machine = run.config["machine"]
    results = {
        "model": config.model,
        "data": run.config["settings"]["data"],
        "classes": len(run.labels),
        "seed": config.seed,
        "parameters": sum(p.numel() for p in net.parameters()),
        **predict.scores(run, folder),
        "epoch": state.best_epoch,
        "seconds": round(state.seconds, 3),
        "train_clips_per_second": round(state.clips / state.seconds, 1),
        "data_wait": round(state.waited / state.seconds, 4),
        **{key: machine[key] for key in ("precision", "threads", "version", "commit")},
    }
    runs.write(run.path / "results.json", results)
