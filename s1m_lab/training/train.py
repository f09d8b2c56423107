"""Training: the loop of §3.3, from the last checkpoint on, on one process or several.

    run = train(TrainConfig(model="slow"))                        # finds, resumes or makes the run
    torchrun --nproc-per-node 4 -m s1m_lab -- train --model slow  # the same, data-parallel

`Trainer.fit` is the loop. Around it stand the set-up, the learning rate as a function of the step
(`rate_share`), and the bookkeeping after each step: log, validation, checkpoint.

A training is a function of its settings. Repeated, it resumes and ends in the same bits. More
processes train on the same clips, crops and masks in the same global batches.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from math import ceil, cos, isfinite, log, nan, pi
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from s1m_lab import models
from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive, reading, require_space
from s1m_lab.common.progress import Progress, clock
from s1m_lab.data import loader
from s1m_lab.data.augment import Augment, send
from s1m_lab.data.ingest import prepare
from s1m_lab.data.keyed_random import DROPOUT, keyed_uniform
from s1m_lab.data.shards import Shards
from s1m_lab.training import distributed, networks, predict, runs, torchvision_models
from s1m_lab.training.config import RECIPES, Recipe, TrainConfig

VERSION = 2  # raise it when the same settings give other weights
ROW = 10  # steps in a row of metrics.csv
SLOWER = 0.1  # the rate of layers that were trained before, as a share of the new layer's
COLUMNS = ("step", "epoch", "lr", "loss", "val_loss", "val_hit1")
LOWER = "the training diverged: try a lower lr, or a recipe that clips gradients"
TIMED = ("seconds", "clips_per_second", "data_wait", "mfu")  # differ from one time to the next


def train(config: TrainConfig, about: dict | None = None, folder: Path | None = None) -> runs.Run:
    """Train one network and score it on the test videos; returns the finished run.

    A finished run is returned as it is. An interrupted one resumes from its last checkpoint. Under
    `torchrun` every process makes this call. The arguments and errors are those of `Trainer`.
    """
    with distributed.process_group() as world:
        return Trainer(config, about, folder, world).train()


def find_or_train(name: str, data: str, model: str, seed: int = 0) -> runs.Run:
    """The run of that name; without a name the default run of a network, trained if missing."""
    if name:
        return runs.load_run(name)
    print(f"No run is named: the default run of {model} on {data}, trained if it is missing")
    return train(TrainConfig(data=data, model=model, seed=seed))


@dataclass
class State:
    """The progress of a training: with weights and momenta, all that a checkpoint holds."""

    step: int = 0
    clips: int = 0  # trained on, repeats counted
    judged: int = 0  # `clips` at the last validation
    cuts: int = 0  # of the rate, on a plateau
    best_epoch: int = -1
    best_hit1: float = -1.0
    best_loss: float = float("inf")
    seconds: float = 0.0  # in the loop, without validation and checkpoints
    waited: float = 0.0  # for data, that is held or not; included in `seconds`

    def improve(self, epoch: int, loss: float, hit1: float) -> bool:
        """Whether an epoch is the best so far; if not, the plateau schedule cuts the rate.

        A higher Hit@1 on the validation clips is better, or the same one with a lower loss. Without
        validation clips (both nan) every epoch is the best.
        """
        if hit1 < self.best_hit1 or (hit1 == self.best_hit1 and loss >= self.best_loss):
            self.cuts += 1
            return False
        self.best_epoch, self.best_hit1, self.best_loss = epoch, hit1, loss
        return True


class Trainer:
    """One training. It names its `run` at once; `train` begins, resumes or returns that run.

    Args:
        config: the settings; zeros stand for the recipe's values.
        about: what the training is for; joins the settings and `results.json` (see `finetune`).
        folder: the dataset's, if it is prepared; otherwise it is prepared here.
        world: the processes that train together; by default this one alone.

    Raises ValueError where `start` is a run of another network, or the dataset lacks clips.
    """

    def __init__(
        self,
        config: TrainConfig,
        about: dict | None = None,
        folder: Path | None = None,
        world: distributed.World | None = None,
    ):
        self.world = world or distributed.alone()
        if not folder:
            if self.world.rank == 0:
                prepare.prepare(config.data)
            distributed.barrier()
        self.folder = folder or paths.dataset(config.data)
        self.about, self.recipe = about or {}, RECIPES[config.recipe]
        resolved = resolve(config, self.folder, self.about, self.world.ranks)
        self.config, self.settings, self.run = resolved

    def train(self) -> runs.Run:
        """Train and score; returns the finished run.

        Raises ValueError where a run of that name has other settings, and lists them; and
        InterruptedError after SIGTERM, once a checkpoint is written.
        """
        run = self.run
        system.keep_freed_memory()
        with exclusive(run.path) if self.world.rank == 0 else nullcontext():
            machine = distributed.begin_or_resume(run, self.settings, self.folder, self.world)
            if not run.finished:
                self.set_up(machine)
                with system.noting_sigterm() as self.sigterm:
                    try:
                        self.fit_in_memory()
                    finally:
                        if self.events:
                            with runs.writing_events(run):
                                self.events.close()
                self.train_clips.release()
                self.val_clips.release()
                self.print_whether_learnt()
                distributed.barrier()  # the best epoch is on the disk
                self.score()
            distributed.barrier()
        return run

    # ------------------------------------------------------------------------------------ the loop

    def fit(self) -> None:
        """§3.3: stochastic gradient descent with momentum, to the last step."""
        config, recipe, device = self.config, self.recipe, self.world.device
        for batch in self.read_batches():
            lr = config.lr * rate_share(recipe, batch.plan.step, self.steps, self.state.cuts)
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group["share"]

            frames = batch.frames.to(device, non_blocking=True)  # uint8 B×T×H×W×3
            x = self.augment(frames, batch.plan.samples, batch.plan.epoch)  # B×3×T×S×S
            dropout = step_dropout(recipe.dropout, config.seed, batch.plan, device)
            with predict.autocast(device, self.precision):
                logits = self.replica(x, dropout)  # B×classes
            targets = batch.targets.to(device, non_blocking=True)  # B×classes
            # The sum over the global batch divided by its size, whatever share of it is here.
            loss = F.cross_entropy(logits.float(), targets, reduction="sum") / self.batch_size

            self.optimizer.zero_grad(set_to_none=True)
            (loss * self.world.ranks).backward()  # since replicas average their gradients
            if recipe.clip_norm:
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip_norm)
            self.optimizer.step()
            self.after_step(batch.plan.epoch, lr, loss.detach())

    # ---------------------------------------------------------------------------------- its set-up

    def set_up(self, machine: dict) -> None:
        """Build the network and its optimizer, and load the last checkpoint, if there is one."""
        run, config, world = self.run, self.config, self.world
        self.precision, self.threads = machine["precision"], machine["threads"]
        state, tensors = runs.load_checkpoint(run)
        self.net = self.build_network(fresh=not state)
        published = torchvision_models.is_published(config.model)
        self.optimizer = torch.optim.SGD(
            parameter_groups(self.net, started=bool(config.start) or published),
            config.lr,
            momentum=self.recipe.momentum,
            weight_decay=self.recipe.decay,
            fused=True,  # one pass over the weights: 1 to 12 % of a step on two cores
        )
        self.state = self.restore(state, tensors) if state else State()
        if self.state.best_epoch >= 0:
            with reading(run.path / "model.safetensors", run.anew):  # raises if they are lost
                pass
        if world.rank == 0:  # two checkpoints, one on its way, and the best epoch
            require_space(run.path, 8 * sum(4 * p.numel() for p in self.net.parameters()))
        self.replica = distributed.replicate(self.net, world)
        self.peak = system.measure_peak(world.device.type, self.precision)  # FLOP/s
        self.clip_flops = step_flops(self.net)

        self.augment = Augment(config.size, self.net.crop, config.seed)
        self.train_clips, self.val_clips = self.reader("train"), self.reader("val")
        stored = self.train_clips.clips.shards
        self.samples, self.counts = loader.choose_few(stored, config.few, config.seed)
        self.batch_size = min(config.batch_size, len(self.samples))
        self.epoch_steps = len(self.samples) // self.batch_size
        self.steps = self.epoch_steps * config.epochs

        first = world.rank == 0
        self.log = runs.Log(run, COLUMNS + TIMED, self.state.step) if first else None
        self.events = runs.open_events(run, self.state.step) if first else None
        self.progress = Progress(f"training {config.model}", self.steps, "steps", self.state.step)
        self.losses: list[torch.Tensor] = []  # of the steps since the last row
        self.last_row = replace(self.state)

    def reader(self, split: str) -> loader.ClipReader:
        """What reads the clips of a split for this network."""
        stored = Shards(self.folder / "clips", split)
        net, device = self.net, self.world.device
        return loader.ClipReader(stored, net.frames, net.classes, self.threads, device)

    def fit_in_memory(self) -> None:
        """`fit`; raises ValueError with a batch that fits where the memory is not enough."""
        try:
            if self.world.rank == 0:
                print(self.forecast(), flush=True)
            return self.fit()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        # Not in the `except`: until its end the error holds the activations of its step.
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()
        batch, ranks = self.batch_size, self.world.ranks
        halves = (batch >> n for n in range(1, (batch // ranks).bit_length()))
        fitting = next(filter(self.fits, halves), 0)
        way = f"{fitting} do: give batch_size {fitting}, and another run if it has a name"
        way = way if fitting else "nor do fewer: give a smaller width or size"
        raise ValueError(f"{batch} clips a step do not fit into the memory, {way} ({reason})")

    def fits(self, count: int) -> bool:
        """Whether the memory is enough for a step of so many clips, over all processes."""
        if self.world.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            net = deepcopy(self.net).eval()  # in place of momenta; without the hooks of replicas
            shape = ceil(count / self.world.ranks), 3, len(net.frames), net.crop, net.crop
            with predict.autocast(self.world.device, self.precision):
                logits = net(torch.zeros(shape, device=self.world.device))
            logits.float().sum().backward()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def print_whether_learnt(self) -> None:
        """Print a note where the training loss ends near that of guessing, and validation too."""
        if self.world.rank:
            return
        classes, epochs = max(2, len(self.run.labels)), self.config.epochs
        loss = self.run.metrics["loss"].dropna().tail(5).mean()  # of the last rows
        learnt = self.state.best_hit1 > (1 + 2 / classes) / 3  # a third of the way from chance
        if loss > 0.9 * log(classes) and not learnt:
            default = replace(self.config, epochs=0).resolved(len(self.samples)).epochs
            way = f"the recipe takes {default}" if epochs < default else f"try {3 * epochs}"
            print(
                f"the training loss ends at {loss:.2f}, where guessing gives {log(classes):.2f}: "
                f"the network has hardly learnt by epoch {epochs}; {way}",
                flush=True,
            )

    def build_network(self, fresh: bool):
        """The network on its device; a `fresh` one with the weights it starts from."""
        config, classes = self.config, len(self.run.labels)
        net = networks.build(config.model, classes, config.width, config.size, config.seed)
        if config.model in models.NAMES:
            net.scale.fill_(self.recipe.scale)
        if fresh and config.start:
            runs.load_all_but_last_layer(net, runs.load_run(config.start))
        elif fresh and torchvision_models.is_published(config.model):
            torchvision_models.load_published(net)
        return net.to(self.world.device)

    def forecast(self) -> str:
        """How long the steps will take, by a few that are tried on a copy of the network."""
        count = ceil(self.batch_size / self.world.ranks)
        speed = measure_speed(deepcopy(self.net), count, self.precision) * self.world.ranks
        steps = self.steps - self.state.step
        return (
            f"training takes about {clock(steps * self.batch_size / speed)} ({steps:,} steps of "
            f"{self.batch_size} clips at {speed:,.3g} clips/s), plus reading, validation, scoring"
        )

    def restore(self, state: dict, tensors: dict[str, dict]) -> State:
        """Load a checkpoint into the network and its optimizer; returns its state."""
        self.net.load_state_dict(tensors["weights"])
        for name, p in self.net.named_parameters():
            momentum = torch.empty_like(p).copy_(tensors["momenta"][name])
            self.optimizer.state[p]["momentum_buffer"] = momentum
        print(f"{self.run.name} resumes from step {state['step']}")
        return State(**state)

    def read_batches(self) -> Iterator[loader.Batch]:
        """This process's part of every batch from the present step on; counts the time waited."""
        config, (rank, ranks, _) = self.config, self.world
        plan = loader.plan_batches(
            self.counts, self.batch_size, config.seed, config.epochs, self.state.step, rank, ranks
        )
        plan = (each._replace(samples=self.samples[each.samples]) for each in plan)
        self.clock = time.perf_counter()
        if self.steps - self.state.step > self.epoch_steps:  # more than one pass
            self.train_clips.hold(self.samples, quiet=rank > 0)
        for batch in self.train_clips.batches(plan):
            self.state.waited += time.perf_counter() - self.clock
            yield batch

    # ----------------------------------------------------------------------------- its bookkeeping

    def after_step(self, epoch: int, lr: float, loss: torch.Tensor) -> None:
        """Count the step. Some steps write a row of metrics.csv, validate or save a checkpoint."""
        state = self.state
        state.step, state.clips = state.step + 1, state.clips + self.batch_size
        self.losses.append(loss)
        epoch_ends = state.step % self.epoch_steps == 0
        row_ends = epoch_ends or state.step % ROW == 0
        mean_loss = mean_over_processes(self.losses) if row_ends else nan
        state.seconds += time.perf_counter() - self.clock

        ends = self.is_to_end(row_ends)
        saves = ends or state.step % self.recipe.checkpoint == 0 or state.step == self.steps
        if epoch_ends or saves:
            require_finite(self.net)
        val_loss, val_hit1 = self.validate(epoch) if epoch_ends else (None, None)
        note = self.write_row(epoch, lr, mean_loss, val_loss, val_hit1) if row_ends else ""
        if self.world.rank == 0:
            if saves:
                self.save_checkpoint()
            self.progress.update(note=note)
        if ends:
            distributed.barrier()  # a rank that ends alone would end the others
            raise InterruptedError(
                f"{self.run.name} was stopped by SIGTERM and has a checkpoint of step "
                f"{state.step:,}; repeat the command to resume"
            )
        self.clock = time.perf_counter()

    def is_to_end(self, row_ends: bool) -> bool:
        """Whether a row has ended, and SIGTERM was sent to a process of this training.

        Not between rows: a checkpoint does not hold the losses of a row that has begun.
        """
        if not row_ends:
            return False  # before the GPU is waited for
        sent = torch.tensor(len(self.sigterm), device=self.world.device)
        return bool(distributed.all_reduce(sent))

    def write_row(self, epoch: int, lr: float, loss: float, *scores: float | None) -> str:
        """Write a row of metrics.csv: the steps since the last row. Returns it in a few words."""
        state, last = self.state, self.last_row
        seconds = state.seconds - last.seconds
        speed = (state.clips - last.clips) / seconds
        wait, mfu = (state.waited - last.waited) / seconds, self.mfu(speed)
        if self.log:
            row = epoch, lr, loss, *scores, state.seconds, speed, wait, mfu
            self.log.add(state.step, *row)
            if self.events:
                with runs.writing_events(self.run):
                    for name, value in zip((COLUMNS + TIMED)[1:], row, strict=True):
                        if value is not None:
                            self.events.add_scalar(name, value, state.step)
        self.losses, self.last_row = [], replace(state)
        return f"loss {loss:.3f}, MFU {mfu:.0%}"

    def mfu(self, clips_per_second: float) -> float:
        """Model FLOPs utilisation: the share of the machine's measured peak (Chowdhery, 2022)."""
        return clips_per_second * self.clip_flops / (self.peak * self.world.ranks)

    def validate(self, epoch: int) -> tuple[float | None, float | None]:
        """Loss and Hit@1 on the validation clips, and the weights saved if they are the best.

        An epoch is not validated (None, None) until as many clips have been trained on, since the
        last validation, as are validated. So with few videos most epochs are not.
        """
        state = self.state
        if state.clips - state.judged < len(self.val_clips) and state.step < self.steps:
            return None, None
        state.judged = state.clips
        if state.step < self.steps and self.val_clips.samples is None:  # it is not the last time
            self.val_clips.hold(np.arange(len(self.val_clips)), quiet=self.world.rank > 0)
        loss, hit1 = predict.validate(self.net, self.val_clips, self.precision)
        if len(self.val_clips) and not isfinite(loss):
            raise FloatingPointError(f"the validation loss is {loss}; {LOWER}")
        if state.improve(epoch, loss, hit1) and self.world.rank == 0:
            numbers = {"epoch": epoch, "val_hit1": hit1, "val_loss": loss, "step": state.step}
            path = self.run.path / "model.safetensors"
            runs.save_network(path, self.net, self.run.labels, numbers)
        return loss, hit1

    def save_checkpoint(self) -> None:
        """A checkpoint. With the 1st, 2nd, 4th, 8th …, the first layer is kept for good (04)."""
        step, every, weights = self.state.step, self.recipe.checkpoint, self.net.state_dict()
        keeps_filters = self.config.model in models.NAMES
        if keeps_filters and step % every == 0 and (step // every).bit_count() == 1:
            first = {k: v for k, v in weights.items() if k.endswith(".conv1.weight")}
            runs.save_weights(self.run.path / "filters" / f"{step:08d}.safetensors", first)
        momenta = {
            name: self.optimizer.state[p]["momentum_buffer"]
            for name, p in self.net.named_parameters()
        }
        runs.save_checkpoint(self.run, asdict(self.state), weights=weights, momenta=momenta)

    def score(self) -> None:
        """Score the best epoch on the test videos; writes predictions and `results.json`."""
        run, folder, state = self.run, self.folder, self.state
        net = runs.load_network(run).to(self.world.device)
        reader = self.reader("test")
        shards = reader.shards
        if shards.fingerprint != self.settings["clips"]:
            raise ValueError(
                f"the clips of {folder.name} were made anew while {run.name} trained on them; "
                f"remove {run.path} and train again"
            )
        found = predict.probabilities(net, reader, self.precision, predict.PASSES)
        predict.write_predictions(run, "test", predict.clip_index(shards), net.classes, found)
        if self.world.rank == 0:
            rows = run.metrics  # a resumed training has measured more than one peak
            seconds = rows["seconds"].diff().fillna(rows["seconds"])
            mfu = (rows["mfu"] * seconds).sum() / seconds[rows["mfu"].notna()].sum()
            more = {"mfu": round(float(mfu), 4)} | self.about
            predict.write_results(run, net, folder, state.best_epoch, asdict(state), more)


def resolve(
    config: TrainConfig, folder: Path, about: dict, ranks: int = 1
) -> tuple[TrainConfig, dict, runs.Run]:
    """The config with its recipe's values, all settings that decide the weights, and the run.

    The run need not exist. Its name holds a fingerprint of the settings, clips among them.
    """
    require_clips(folder, "train", "test")
    stored = Shards(folder / "clips", "train")
    clips = len(loader.choose_few(stored, config.few, config.seed)[0])
    config = (_as_start(config) if config.start else config).resolved(clips)
    if min(config.batch_size, clips) < ranks:
        raise ValueError(f"a batch of {config.batch_size} is too small for {ranks} processes")
    settings = RECIPES[config.recipe]._asdict() | asdict(config)
    settings |= {"data": paths.name(folder), "clips": stored.fingerprint, "training": VERSION}
    if config.start:
        settings["weights"] = runs.weights_digest(runs.load_run(config.start))
    for young in ("start", "few"):  # settings that the first runs did not have
        if not settings[young]:
            del settings[young]
    settings |= Augment(config.size, config.size).settings() | about
    return config, settings, runs.Run(paths.runs() / (config.run or runs.default_name(settings)))


def require_clips(folder: Path, *splits: str) -> None:
    """Raise ValueError where a dataset has no clips of one of these splits."""
    for split in splits:
        if not len(Shards(folder / "clips", split)):
            raise ValueError(
                f"{folder.name} has no {split} clips; this needs videos of {', '.join(splits)} "
                "(python -m s1m_lab ingest <data> --dry-run shows the splits)"
            )


def _as_start(config: TrainConfig) -> TrainConfig:
    """The config with the width and size of its start; refuses a start of another network."""
    own = runs.network_facts(runs.load_run(config.start))
    for key in ("model", "width", "size"):
        wanted = getattr(config, key)
        if wanted and wanted != own[key]:
            raise ValueError(
                f"run {config.start!r} is a network of {key} {own[key]}, not {wanted}; a training "
                f"starts from the same network: give {key} {own[key]}"
            )
    return replace(config, width=own["width"], size=own["size"])


def rate_share(recipe: Recipe, step: int, steps: int, cuts: int) -> float:
    """The learning rate at a step (counted from 0), as a share of the recipe's."""
    warm = min(1.0, (step + 1) / recipe.warmup) if recipe.warmup else 1.0
    if recipe.schedule == "cosine":
        return warm * (1 + cos(pi * step / steps)) / 2
    return warm * 0.1**cuts  # §3.3: cut when validation stops improving


def step_dropout(
    share: float, seed: int, plan: loader.Plan, device: torch.device
) -> models.Dropout:
    """The dropout of a step: a clip's mask is a function of its place in the global batch."""
    keys = keyed_uniform(seed, plan.step, DROPOUT, plan.rows).view("int64")
    return models.Dropout(share, send(torch.from_numpy(keys), device))


def parameter_groups(net, started: bool, trained: Sequence[str] = ("",)) -> list[dict]:
    """The optimizer's groups of parameters, each with its share of the learning rate.

    Only layers whose names begin with one of `trained` are in them. In a network that started from
    trained weights, all but the new last layer learn at `SLOWER`.
    """
    named = [(n, p) for n, p in net.named_parameters() if n.startswith(tuple(trained))]
    if not started:
        return [{"params": [p for _, p in named], "share": 1.0}]
    new = [p for n, p in named if n.startswith("fc8.")]
    old = [p for n, p in named if not n.startswith("fc8.")]
    shares = (1.0, new), (SLOWER, old)
    return [{"params": own, "share": share} for share, own in shares if own]


def measure_speed(net, batch_size: int, precision: str) -> float:
    """The clips/s at which a network trains on its device, by batches of up to two seconds.

    Reading, augmentation and the optimizer are not counted. The network's gradients change.
    """
    net, device, count, seconds = net.eval(), net.scale.device, 2, 0.0  # batch norm needs no others
    on_gpu = device.type == "cuda"  # which is slow at a size that it has not had
    for turn in range(8 if on_gpu else 3):  # the first is slower; each sets the size of the next
        count = min(count, batch_size)
        x = torch.ones(len(net.frames), count, net.crop, net.crop, 3, device=device)
        x = x.permute(1, 4, 0, 2, 3)  # in memory as `augment.cut` leaves it
        if on_gpu:
            torch.cuda.synchronize()
        start = time.perf_counter()
        with predict.autocast(device, precision):
            logits = net(x)
        logits.float().logsumexp(1).sum().backward()
        net.fc8.bias.grad.sum().item()  # waits for a GPU
        seconds = (time.perf_counter() - start) / count
        if turn and seconds * count > 2:
            break
        count = max(2, int(2 / seconds))
    return 1 / seconds


def step_flops(net) -> float:
    """FLOPs of a training step of one clip: those of convolutional and linear layers alone.

    The gradients cost twice the forward pass; the network's input needs none. Normalisation and
    pooling are not counted.
    """
    layers = count_multiplications(deepcopy(net).eval())  # batch norm keeps its statistics
    return sum(2 * products * (3 if has_gradient else 2) for products, has_gradient in layers)


def count_multiplications(net) -> list[tuple[int, bool]]:
    """The multiplications (each with its addition) of each convolutional or linear layer for one
    clip, and whether its input needs a gradient. The hooks that count stay on the network."""
    counted: list[tuple[int, bool]] = []

    def count(module, inputs, output):
        counted.append((module.weight[0].numel() * output.numel(), inputs[0].requires_grad))

    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)):
            module.register_forward_hook(count)
    net(torch.zeros(1, 3, len(net.frames), net.crop, net.crop, device=net.scale.device))
    return counted


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of PyTorch says that the memory of the GPU or of the host is not enough."""
    text = str(error).lower()
    signs = ["out of memory", "can't allocate memory", "could not create a primitive"]  # oneDNN's
    signs += ["status_alloc_failed", "unable to find an engine to execute"]  # cuBLAS's, cuDNN's
    return isinstance(error, torch.OutOfMemoryError) or any(sign in text for sign in signs)


def mean_over_processes(losses: list[torch.Tensor]) -> float:
    """The mean loss of some global batches, the same on every process."""
    mean = distributed.all_reduce(torch.stack(losses).mean())
    if not isfinite(mean):
        raise FloatingPointError(f"the loss is {mean.item()}; {LOWER}")
    return mean.item()


def require_finite(net) -> None:
    """Raise FloatingPointError unless all weights of a network are finite."""
    for name, values in net.state_dict().items():
        if not values.isfinite().all():
            raise FloatingPointError(f"{name} has values that are not finite; {LOWER}")
