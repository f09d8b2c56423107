"""The feature-histogram baseline: a small network on the vectors of videos, tuned on validation.

    run = tune("pocket", words=64)        # finds, resumes or makes the run
    trials(run)                           # a row a trial of the grid

§5: one or two layers of ReLU and a softmax; width, depth, dropout, rate and decay are tuned on the
validation videos (`GRID`; the paper's own values: silent). A linear model is tuned beside it, so
that one sees what the layers are for; its test predictions are kept as the split `linear`. The run
is a folder like any other's, and `results.json` has no `clip_hit1`, as the paper's row has none.
"""

import json
import time
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s1m_lab.common import paths, system
from s1m_lab.common.files import atomic, exclusive, fingerprint
from s1m_lab.common.progress import Progress
from s1m_lab.data import catalog, loader
from s1m_lab.data.ingest import prepare
from s1m_lab.data.shards import Shards
from s1m_lab.training import distributed, metrics, predict, runs
from s1m_lab.training.baseline import bag_of_words
from s1m_lab.training.baseline.bag_of_words import Vectors

MODEL = "histograms"
VERSION = 1  # raise it when the same vectors and settings give other weights
GRID = {
    "depth": (0, 1, 2),  # layers of ReLU; 0 is the linear model, without width and dropout
    "width": (128, 512),
    "dropout": (0.0, 0.5),  # of every hidden layer
    "lr": (1e-4, 1e-3),
    "decay": (0.01, 1.0),
}
BATCH, PATIENCE = 32, 10  # videos a step; epochs without a better one that end a trial
PART = 4096  # videos held in memory while they are scored
CUT = 5.0  # standard deviations
COLUMNS = ("step", "trial", *GRID, "epoch", "loss", "val_loss", "val_hit1")
TIMED = ("seconds",)


class Trial(NamedTuple):
    depth: int
    width: int
    dropout: float
    lr: float
    decay: float


def grid() -> list[Trial]:
    """The trials, in order: `GRID` with each linear model once."""
    every = [Trial(*values) for values in product(*GRID.values())]
    plain = [trial._replace(width=0, dropout=0.0) if not trial.depth else trial for trial in every]
    return list(dict.fromkeys(plain))


class Network(nn.Module):
    """D numbers of a video → logits of the classes; each number is standardised by the training
    videos' `mean` and `scale` (one over its standard deviation) and cut at 5 of these."""

    def __init__(self, mean: Tensor, scale: Tensor, classes: int, trial: Trial):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        layers, dims = [], len(mean)
        for _ in range(trial.depth):
            layers += [nn.Linear(dims, trial.width), nn.ReLU(), nn.Dropout(trial.dropout)]
            dims = trial.width
        self.layers = nn.Sequential(*layers, nn.Linear(dims, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(((x - self.mean) * self.scale).clamp(-CUT, CUT))


def tune(
    data: str | Path = "pocket",
    words: int = 64,
    seed: int = 0,
    epochs: int = 60,
    run: str = "",
    workers: int | None = None,
    scheduler: str = "",
) -> runs.Run:
    """Describe the videos, train every trial of the grid and score the best; the finished run.

    Args:
        data: a dataset's name, or a path to videos or to a table of them.
        words: of each of six codebooks; 800 are the paper's 25,000 dimensions.
        seed: of the training; the codebooks have the dataset's `data_seed`.
        epochs: passes over the training videos, at most; a trial ends early.
        run: the run's name; "": made from its settings.
        workers, scheduler: for the features, see `histograms.prepare`.

    A finished run is returned as it is, one that was stopped goes on after its last trial. Raises
    ValueError for a name with other settings, and for a dataset without train, val or test clips.
    """
    system.keep_freed_memory()
    folder = prepare.prepare(data)
    settings, found = _asked(folder, words, seed, epochs, run)
    with exclusive(found.path):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        machine = distributed.resolved("fp32", distributed.World(0, 1, device))
        runs.begin(found.name, settings, machine, catalog.load_catalog(folder).attrs["classes"])
        if not found.finished:
            features = bag_of_words.prepare(folder, words, workers, scheduler)
            distributed.set_up(found.config["machine"]["threads"], deterministic=False)
            state, best = _search(found, features, device)
            _finish(found, folder, features, state, best, device)
    return found


def run_of(data: str | Path, words: int, seed: int, epochs: int, run: str = "") -> runs.Run:
    """The run that `tune` returns: finished, begun or not there yet; the clips must be there."""
    return _asked(paths.dataset(data), words, seed, epochs, run)[1]


def _asked(folder: Path, words: int, seed: int, epochs: int, run: str) -> tuple[dict, runs.Run]:
    """All that decides the weights, as plain data, and the run of that."""
    for split in ("train", "val", "test"):
        if not len(Shards(folder / "clips", split)):
            raise ValueError(f"{folder.name} has no {split} clips; the baseline is trained on "
                             "train, tuned on val and scored on test videos")  # fmt: skip
    settings = {"model": MODEL, "data": folder.name, "seed": seed, "words": words,
                "epochs": epochs, "grid": {key: list(values) for key, values in GRID.items()},
                "batch_size": BATCH, "patience": PATIENCE, "training": VERSION}  # fmt: skip
    settings |= {"clips": Shards(folder / "clips", "train").fingerprint}
    settings |= {"features": fingerprint(**bag_of_words.settings(folder, words))}
    name = runs.check_name(run) if run else runs.default_name(settings)
    return settings, runs.Run(paths.runs() / name)


def _search(run: runs.Run, features: Path, device) -> tuple[dict, dict[str, dict]]:
    """Every trial that is not done yet; the weights of the best `linear` model and `network`."""
    train, val = (bag_of_words.load(features, split) for split in ("train", "val"))
    settings, classes = run.config["settings"], len(run.labels)
    state, best = runs.load_checkpoint(run)
    state = state or {"step": 0, "trial": 0, "seconds": 0.0, "waited": 0.0, "best": {}}
    log = runs.Log(run, COLUMNS + TIMED, state["step"])
    mean, scale = _spread(train)
    todo = grid()
    done, left = state["step"], settings["epochs"] * (len(todo) - state["trial"])
    progress = Progress("tuning", done + left, "epochs", done)  # at most
    for number in range(state["trial"], len(todo)):
        trial, kind = todo[number], "network" if todo[number].depth else "linear"
        with torch.random.fork_rng():
            torch.manual_seed(settings["seed"])
            net = Network(mean, scale, classes, trial).to(device)
            rows, weights, seconds, waited = _fit(net, trial, train, val, settings, progress)
        for row in rows:
            state["step"] += 1
            log.add(state["step"], number, *trial, *row, seconds / len(rows))
        state["trial"], state["seconds"] = number + 1, state["seconds"] + seconds
        state["waited"] += waited
        epoch = _best_epoch(rows)
        score = [rows[epoch][3], -rows[epoch][2]]  # Hit@1; of equals the lower loss
        if kind not in best or score > state["best"][kind]["score"]:
            state["best"][kind] = {"score": score, "trial": number, "epoch": epoch}
            best[kind] = weights
        runs.save_checkpoint(run, state, **best)
        progress.total -= settings["epochs"] - len(rows)  # those that were not needed
        of = f"trial {number + 1}/{len(todo)}"
        progress.update(note=f"{of}, best {kind}: val Hit@1 {state['best'][kind]['score'][0]:.1%}")
    return state, best


def _best_epoch(rows: list[tuple]) -> int:
    return max(range(len(rows)), key=lambda n: (rows[n][3], -rows[n][2]))


def _spread(train: Vectors) -> tuple[Tensor, Tensor]:
    """Mean, and one over the standard deviation (0 where a number never differs), in parts."""
    total, squares = 0.0, 0.0
    for first in range(0, len(train.ids), PART):
        part = train.vectors[first : first + PART].astype(float)
        total, squares = total + part.sum(axis=0), squares + (part**2).sum(axis=0)
    mean = total / len(train.ids)
    spread = np.sqrt(np.maximum(squares / len(train.ids) - mean**2, 0))
    scale = np.where(spread > 1e-7, 1 / np.maximum(spread, 1e-7), 0)
    return torch.from_numpy(mean).float(), torch.from_numpy(scale).float()


def _targets(labels: list[list[int]], classes: int) -> Tensor:
    """An equal share on each true label, as for the networks on frames: N×K."""
    own = metrics.truth(labels, classes).astype(np.float32)
    return torch.from_numpy(own / own.sum(axis=1, keepdims=True))


def _fit(
    net: Network,
    trial: Trial,
    train: Vectors,
    val: Vectors,
    settings: dict,
    progress: Progress,
) -> tuple[list[tuple], dict[str, Tensor], float, float]:
    """One trial: (epoch, loss, val_loss, val_hit1) of every epoch, the best epoch's weights,
    seconds of training, of them for reading. Videos come in the order clips would. `progress` is
    told of every epoch but the last, which ends the trial."""
    device, classes = net.mean.device, net.layers[-1].out_features
    optimizer = torch.optim.AdamW(net.parameters(), trial.lr, weight_decay=trial.decay)
    batch_size = min(settings["batch_size"], len(train.ids))
    steps = len(train.ids) // batch_size
    plans = loader.plans(train.counts, batch_size, settings["seed"], settings["epochs"])
    rows, losses, weights, waited, clock = [], [], {}, 0.0, time.perf_counter()
    seconds = 0.0
    for plan in plans:
        before = time.perf_counter()
        x = torch.from_numpy(train.vectors[plan.samples]).to(device)
        targets = _targets([train.labels[n] for n in plan.samples], classes).to(device)
        waited += time.perf_counter() - before
        loss = F.cross_entropy(net(x), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        if (plan.step + 1) % steps:
            continue
        seconds += time.perf_counter() - clock
        rows.append((plan.epoch, torch.stack(losses).mean().item(), *_validated(net, val)))
        losses, best = [], _best_epoch(rows)
        if best == plan.epoch:
            weights = {key: value.cpu().clone() for key, value in net.state_dict().items()}
        if plan.epoch - best >= settings["patience"] or plan.epoch + 1 == settings["epochs"]:
            break
        progress.update(note=f"val Hit@1 {rows[-1][3]:.1%}")
        clock = time.perf_counter()
    return rows, weights, seconds, waited


@torch.no_grad()
def _scored(net: Network, found: Vectors):
    """Class probabilities of all videos, in parts: float32 V×K."""
    net.eval()
    for first in range(0, len(found.ids), PART):
        x = torch.tensor(found.vectors[first : first + PART], device=net.mean.device)
        yield F.softmax(net(x), dim=1).cpu().numpy()
    net.train()


def _validated(net: Network, val: Vectors) -> tuple[float, float]:
    """Cross-entropy and Hit@1 of the validation videos."""
    found = np.concatenate(list(_scored(net, val)))
    share = _targets(val.labels, found.shape[1]).numpy()
    loss = -(share * np.log(np.maximum(found, 1e-12))).sum(axis=1).mean()
    return float(loss), metrics.hit_at_k(found, val.labels, 1)


def _finish(run: runs.Run, folder: Path, features: Path, state: dict, best: dict, device) -> None:
    """Weights, predictions of the network and of the linear model, `results.json`."""
    test, classes = bag_of_words.load(features, "test"), len(run.labels)
    for kind, name in (("linear", "linear"), ("network", "test")):
        trial, weights = grid()[state["best"][kind]["trial"]], best[kind]
        net = Network(weights["mean"], weights["scale"], classes, trial)
        net.load_state_dict(weights)
        _save_predictions(run, net.to(device), test, name)
    _save_network(run, net, trial, state["best"]["network"])
    machine = run.config["machine"]
    results = {
        "model": MODEL,
        "data": run.config["settings"]["data"],
        "classes": classes,
        "seed": run.config["settings"]["seed"],
        "parameters": sum(p.numel() for p in net.parameters()),
        **predict.scores(run, folder),
        "clip_hit1": None,  # a video has one vector, as in Table 1
        "clips": len(Shards(folder / "clips", "test")),
        "epoch": state["best"]["network"]["epoch"],
        "seconds": round(state["seconds"], 3),  # of all trials
        "train_clips_per_second": None,
        "data_wait": round(state["waited"] / state["seconds"], 4),
        **{key: machine[key] for key in ("precision", "threads", "version", "commit")},
    }
    runs.write(run.path / "results.json", results)


def _save_predictions(run: runs.Run, net: Network, test: Vectors, name: str) -> None:
    """`predictions/<name>.npy` and `.parquet`, a row a video."""
    shape = (len(test.ids), net.layers[-1].out_features)
    target = run.path / "predictions" / f"{name}.npy"
    with atomic(target) as temporary:
        out, first = np.lib.format.open_memmap(temporary, "w+", np.float32, shape), 0
        for part in _scored(net, test):
            out[first : first + len(part)] = part
            first += len(part)
        out.flush()
        del out  # closed, before Windows is to rename it
    none = np.zeros(len(test.ids))
    labels = pa.array(test.labels, pa.list_(pa.int16()))
    columns = {"video": test.ids, "clip": none.astype(np.int16), "start": none, "labels": labels}
    with atomic(target.with_suffix(".parquet")) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _save_network(run: runs.Run, net: Network, trial: Trial, numbers: dict) -> None:
    """`model.safetensors`, with what is needed to use it."""
    from safetensors.torch import save_file

    settings = run.config["settings"]
    about = {"model": MODEL, "classes": len(run.labels), "words": settings["words"],
             "features": settings["features"], **trial._asdict(), "labels": run.labels,
             "numbers": numbers}  # fmt: skip
    weights = {key: value.cpu().contiguous() for key, value in net.state_dict().items()}
    with atomic(run.path / "model.safetensors") as temporary:
        save_file(weights, temporary, {"s1m_lab": json.dumps(about, ensure_ascii=False)})


def trials(run: runs.Run) -> pd.DataFrame:
    """A row a trial: its settings, and its best epoch with that one's losses and `val_hit1`;
    `epochs` it took, and `chosen`, whether it is the best of its kind, linear or network."""
    table = run.metrics
    order = table.sort_values(
        ["trial", "val_hit1", "val_loss", "epoch"], ascending=[True, False, True, True]
    )
    best = order.groupby("trial").first()
    best["epochs"] = table.groupby("trial").size()
    kinds = best.sort_values(["val_hit1", "val_loss"], ascending=[False, True], kind="stable")
    first = kinds.groupby(kinds["depth"] > 0).head(1).index
    return best.drop(columns=["step", "seconds"]).assign(chosen=best.index.isin(first))
