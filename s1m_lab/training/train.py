"""The loop, resume; one process or torchrun.

    run = train(TrainConfig(model="slow"))              # finds, resumes or makes the run
    torchrun --nproc-per-node 4 -m s1m_lab -- train --model slow  # the same, data-parallel

A training is a function of its settings: run again, it goes on where it stopped and ends in the
same bits; on more processes it sees the same clips, crops and masks in the same global batches.
"""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from math import cos, isfinite, pi
from pathlib import Path

import torch
import torch.nn.functional as F

from s1m_lab import models
from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive, require_space
from s1m_lab.common.progress import Progress
from s1m_lab.data import augment, catalog, loader
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.training import distributed, predict, runs
from s1m_lab.training.config import RECIPES, Recipe, TrainConfig
from s1m_lab.training.distributed import World

VERSION = 2  # raise it when the same settings give other weights
ROW = 10  # steps in a row of metrics.csv
SLOWER = 0.1  # the rate of layers that were trained before, as a share of the new layer's
COLUMNS = ("step", "epoch", "lr", "loss", "val_loss", "val_hit1")
TIMED = ("seconds", "clips_per_second", "data_wait")  # differ from one time to the next


def train(config: TrainConfig, about: dict | None = None) -> runs.Run:
    """Train one network and score it on the test videos; returns the finished run.

    Prepares the dataset if need be. A run that is finished is returned as it is, one that was
    stopped goes on from its last checkpoint. Under `torchrun` every process calls this alike.
    `about` joins the settings and `results.json`: what the training is for (see `transfer`).
    Raises ValueError where a run of that name has other settings (it lists them), and where
    `start` is a run of another network.
    """
    about = about or {}
    system.keep_freed_memory()
    with distributed.joined() as world:
        if world.rank == 0:
            prepare.prepare(config.data)
        distributed.meet()
        folder = paths.dataset(config.data)
        config, settings, run = _asked(config, folder, about, world.ranks)
        with exclusive(run.path) if world.rank == 0 else nullcontext():
            if world.rank == 0:
                labels = catalog.load_catalog(folder).attrs["classes"]
                machine = distributed.resolved(config.precision, world)
                runs.begin(run.name, settings, machine, labels)
            distributed.meet()
            if not run.finished:
                precision, threads = _machine(run, config, world)
                distributed.set_up(threads, config.deterministic)
                state = _fit(run, config, folder, world, precision, threads)
                distributed.meet()  # the best epoch is on the disk
                _finish(run, config, folder, world, state, precision, threads, about)
            distributed.meet()
    return run


def run_of(config: TrainConfig, about: dict | None = None) -> runs.Run:
    """The run that `train` returns: finished, begun or not there yet.

    Its dataset must be there: the clips are among the settings that a run is named by.
    """
    return _asked(config, paths.dataset(config.data), about)[2]


def _asked(
    config: TrainConfig, folder: Path, about: dict | None = None, ranks: int = 1
) -> tuple[TrainConfig, dict, runs.Run]:
    """The config with its recipe's values, all that decides the weights as plain data, the run."""
    sizes = {split: len(Shards(folder / "clips", split)) for split in ("train", "test")}
    for split, clips_there in sizes.items():
        if not clips_there:
            raise ValueError(
                f"{folder.name} has no {split} clips; a dataset needs videos to train on and "
                "others to test on (ingest.statuses says what became of its videos)"
            )
    stored = Shards(folder / "clips", "train")
    there = len(loader.few(stored, config.few, config.seed)[0]) if config.few else len(stored)
    config = (_continued(config) if config.start else config).resolved(there)
    if min(config.batch_size, there) < ranks:
        raise ValueError(f"a batch of {config.batch_size} is too small for {ranks} processes")
    settings = RECIPES[config.recipe]._asdict() | asdict(config)
    settings |= {"data": paths.name(folder), "clips": stored.fingerprint, "training": VERSION}
    if config.start:
        settings["weights"] = runs.weights_print(runs.load_run(config.start))
    for young in ("start", "few"):  # which the first runs did not know
        if not settings[young]:
            del settings[young]
    settings |= about or {}
    return config, settings, runs.Run(paths.runs() / (config.run or runs.default_name(settings)))


def _continued(config: TrainConfig) -> TrainConfig:
    """The config with the width and size of the run it starts from; refuses another network."""
    own = runs.network(runs.load_run(config.start))
    for key in ("model", "width", "size"):
        asked = getattr(config, key)
        if asked and asked != own[key]:
            raise ValueError(
                f"run {config.start!r} is a network of {key} {own[key]}, not {asked}; a training "
                f"starts from the same network: give {key} {own[key]}"
            )
    return replace(config, width=own["width"], size=own["size"])


def _machine(run: runs.Run, config: TrainConfig, world: World) -> tuple[str, int]:
    """The precision and threads of a run on this machine; says what a resumed run will miss."""
    kept, now = run.config["machine"], distributed.resolved(config.precision, world)
    if world.rank == 0:
        distributed.tell_changes(run.name, kept, now)
    return kept["precision"], (kept if kept["ranks"] == now["ranks"] else now)["threads"]


@dataclass
class State:
    """Where a training stands: with the weights and momenta, all that a checkpoint holds."""

    step: int = 0
    clips: int = 0  # trained on, repeats counted
    judged: int = 0  # of them, when the validation clips were scored last
    cuts: int = 0  # of the rate, on a plateau
    best_epoch: int = -1
    best_hit1: float = -1.0
    best_loss: float = float("inf")
    seconds: float = 0.0  # in the loop, validation and checkpoints apart
    waited: float = 0.0  # of them, for data


def _fit(
    run: runs.Run, config: TrainConfig, folder: Path, world: World, precision: str, threads: int
) -> State:
    """The training loop: every step, every row of metrics.csv, every checkpoint."""
    recipe, device = RECIPES[config.recipe], world.device
    train_clips, val_clips = Shards(folder / "clips", "train"), Shards(folder / "clips", "val")
    net = models.build(config.model, len(run.labels), config.width, config.size, config.seed)
    net.scale.fill_(recipe.scale)
    net.dropout = recipe.dropout
    if config.start:
        runs.adopt(net, runs.load_run(config.start))
    net.to(device)
    optimizer = torch.optim.SGD(
        groups(net, config.start), config.lr, momentum=recipe.momentum, weight_decay=recipe.decay
    )
    state = _resume(run, net, optimizer)
    if world.rank == 0:  # two checkpoints, one on its way, and the best epoch
        require_space(run.path, 8 * sum(4 * p.numel() for p in net.parameters()))
    replica = net
    if world.ranks > 1:
        replica = torch.nn.parallel.DistributedDataParallel(net)

    counts, kept = train_clips.counts, None
    if config.few:
        kept, counts = loader.few(train_clips, config.few, config.seed)
    batch_size = min(config.batch_size, int(counts.sum()))
    epoch_steps = int(counts.sum()) // batch_size
    steps = epoch_steps * config.epochs
    workers = max(1, threads - 1) if device.type == "cuda" else 0
    data = loader.Clips(train_clips, net.frames, net.classes, 1 if workers else threads)
    plan = loader.plans(counts, batch_size, config.seed, config.epochs, state.step, *world[:2])
    if config.few:
        plan = (each._replace(samples=kept[each.samples]) for each in plan)
    log = runs.Log(run, COLUMNS + TIMED, state.step) if world.rank == 0 else None
    progress = Progress(f"training {config.model}", steps, "steps", state.step)
    losses, last, clock = [], replace(state), time.perf_counter()
    for batch in loader.loader(data, plan, workers):
        state.waited += time.perf_counter() - clock
        step, epoch, rows, samples = batch.plan
        rate = config.lr * _schedule(recipe, step, steps, state.cuts)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["share"]
        places = augment.crops(samples, config.seed, epoch, config.size, net.crop)
        x = augment.augment(
            batch.frames.to(device, non_blocking=True), places, config.size, net.crop
        )
        net.rows = augment.masks(config.seed, step, rows)
        with predict.autocast(device, precision):
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
        # Where epochs are short, as with few videos, not so often that it takes most of the time.
        due = state.clips - state.judged >= len(val_clips) or state.step == steps
        if epoch_ends and due:
            state.judged = state.clips
            val = predict.validate(net, val_clips, precision, threads)
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


def groups(net, start: str, trained: Sequence[str] = ("",)) -> list[dict]:
    """What an optimizer takes: the trained layers (by the start of their names), each group with
    its share of the rate. With a `start`, the layers that come from it learn `SLOWER`."""
    named = [(n, p) for n, p in net.named_parameters() if n.startswith(tuple(trained))]
    if not start:
        return [{"params": [p for _, p in named], "share": 1.0}]
    new = [p for n, p in named if n.startswith("fc8.")]
    old = [p for n, p in named if not n.startswith("fc8.")]
    shares = (1.0, new), (SLOWER, old)
    return [{"params": own, "share": share} for share, own in shares if own]


def _schedule(recipe: Recipe, step: int, steps: int, cuts: int) -> float:
    """The share of the learning rate at a step (counted from 0)."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.schedule == "cosine":
        return warm * (1 + cos(pi * step / steps)) / 2
    return warm * 0.1**cuts


def _mean(losses: list[torch.Tensor]) -> float:
    """The mean loss of the global batches of a row, on every process alike."""
    mean = distributed.total(torch.stack(losses).mean())
    if not isfinite(mean):
        raise FloatingPointError(
            f"the loss is {mean.item()}; try a lower rate (-p lr), or a recipe that clips gradients"
        )
    return mean.item()


def _judge(run, state: State, net, epoch: int, loss: float, hit1: float, world: World) -> None:
    """After a validation: keep the weights if they are the best, else (on a plateau) cut the rate.

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


def _finish(
    run: runs.Run,
    config: TrainConfig,
    folder: Path,
    world: World,
    state: State,
    precision: str,
    threads: int,
    about: dict,
) -> None:
    """Score the best epoch on the test videos; write predictions and results.json."""
    if Shards(folder / "clips", "test").fingerprint != run.config["settings"]["clips"]:
        raise RuntimeError(
            f"the clips of {folder.name} were made anew while {run.name} trained on them; remove "
            f"{run.path} and train again"
        )
    net = runs.load_network(run).to(world.device)
    predict.save(run, net, folder, "test", precision, threads)
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
        **about,
    }
    runs.write(run.path / "results.json", results)
