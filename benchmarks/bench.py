"""The lab against named rivals, one table: the same work, in turns, in one run.

    make bench                                     # a CPU; under 15 minutes on two cores
    make bench-gpu                                 # a GPU; under 8 minutes
    python benchmarks/bench.py --parts read crops  # some parts of it
    python benchmarks/bench.py --prepare FOLDER    # shards for a machine that lacks decord or av,
    python benchmarks/bench.py --shards FOLDER     # which takes them from there

A ratio is the rival's time over ours for the same work: above 1, ours is faster. Both take turns,
and the ratio is the median over the turns, with its range. The limit is the ratio that the machine
would allow; its last column names what sets it. A row of growth is an exponent: 1 is linear.

Parts whose packages are missing are listed as skipped, parts that would not fit in `--minutes` as
left out. Training takes the precision that a training would take here: bf16 where the device is
fast at it. On a CPU networks have the pocket recipe's size, on a GPU the paper's.

Longer benchmarks have their own files: transfer.py, real_videos.py and pocket_claims.py (scores),
gpu_training.py and same_bits.py (whole trainings), clip_coding.py (how clips are stored),
overlay.py (films drawn on), ingest.py (memory over thousands of files).
"""

import argparse
import gc
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler prints to stderr otherwise
import s1m_lab  # noqa: F401  before torch, so that OpenMP waits as it does in a training

# isort: split
import numpy as np
import torch

from benchmarks import catalog, ingest
from benchmarks.train_step import CLASSES, PlainNetwork, seconds, stepper
from s1m_lab import models
from s1m_lab.common import system
from s1m_lab.common.files import write_json
from s1m_lab.data import augment, loader
from s1m_lab.data.shards import Shards, decode
from s1m_lab.training import distributed, runs, torchvision_models
from s1m_lab.training.train import step_flops

ROOT = Path(__file__).resolve().parents[1]
FRAMES = range(10)  # of a clip's 16, as slow fusion takes them
FIRST = ("single", "slow", "single-multires", "slow-multires")
OTHERS = [name for name in models.NAMES if name not in FIRST]
COMPILED = "plain + torch.compile"
TORCHVISION = ("r3d_18", "mc3_18", "r2plus1d_18")
CLIPS = 8  # a film, as for training
FILMS, SHARDS = ("av", "decord", "PIL"), "shards"  # packages that make films, and what they become
LINEAR = 1.05  # the highest exponent that counts as linear
PACKAGES = ("av", "decord2", "duckdb", "numpy", "pandas", "pillow", "pyarrow", "simplejpeg")
PACKAGES += ("torch", "torchvision", "webdataset")


# ------------------------------------------------------------------------------------ the figures


@dataclass
class Row:
    """One line of the table: ours against a rival, in `unit` a second, or an exponent."""

    part: str
    name: str
    rival: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    low: float
    high: float
    limit: float  # of the ratio
    bound: str  # what sets the limit
    aim: float | None = None
    note: str = ""
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 2))


class Skip(NamedTuple):
    """A row that could not be measured, and why."""

    name: str
    why: str


def compared(
    part: str,
    names: tuple[str, str],
    unit: str,
    amounts: tuple[float, float],
    took: tuple[Sequence[float], Sequence[float]],
    most: float,
    bound: str,
    **more,
) -> Row:
    """The row of two works that took turns.

    `amounts` is the work of ours and theirs in `unit`, `took` the seconds of each turn. `most` is
    the rate, in `unit` a second, that the machine would allow.
    """
    ours, theirs = (
        [n / s for s in each] for n, each in zip(amounts, took, strict=True)
    )  # a second
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    rival = statistics.median(theirs)
    return Row(
        part, *names, unit, statistics.median(ours), rival, statistics.median(ratios),
        min(ratios), max(ratios), most / rival, bound, **more,
    )  # fmt: skip


def take_turns(works: dict[str, Callable], turns: int, most: float = float("inf")) -> dict:
    """The seconds of each work, turn by turn; every second turn goes backwards.

    No turn begins after `most` seconds, but there are two at least.
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    start = time.perf_counter()
    for turn in range(turns):
        if turn > 1 and time.perf_counter() - start > most:
            break
        for name in list(works)[:: -1 if turn % 2 else 1]:
            found[name].append(works[name]())
    return found


def timed(work: Callable) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def slope(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, list[float]]:
    """The exponent of `values` against `sizes`: least squares over all points, on logarithms, and
    the exponent between each point and the next."""
    x, y = np.log(sizes), np.log(values)
    return float(np.polyfit(x, y, 1)[0]), (np.diff(y) / np.diff(x)).tolist()


def growth(name: str, against: str, unit: str, sizes: Sequence, values: Sequence[float]) -> Row:
    """The row of an exponent; its rates are those of the smallest and the largest size."""
    exponent, local = slope(sizes, values)
    note = f"{sizes[0]:,} to {sizes[-1]:,}; last step {local[-1]:.2f}; {unit}: "
    note += ", ".join(f"{v:.3g}" for v in values)
    ends = sizes[0] / values[0], sizes[-1] / values[-1]
    return Row(
        "growth", name, against, f"/{unit}", ends[1], ends[0], exponent, min(local), max(local),
        LINEAR, "linear", note=note,
    )  # fmt: skip


class Budget:
    """The time that is left of `minutes`."""

    def __init__(self, minutes: float):
        self.start, self.seconds = time.monotonic(), 60 * minutes

    @property
    def left(self) -> float:
        return self.start + self.seconds - time.monotonic()

    def fits(self, expected: float) -> bool:
        return expected <= self.left


@dataclass
class Lab:
    """What all parts share: the device, the size of the networks, the folder, the time left."""

    device: torch.device
    precision: str
    width: float
    size: int
    batch: int
    plan: str
    tiny: bool
    folder: Path
    shards: Path | None
    budget: Budget
    nets: dict[str, tuple[Callable, float]] = field(default_factory=dict)  # steps of ours, FLOP

    def films(self) -> list[Path]:
        """Seven films like YouTube's: three of 20 s, repeated to several lengths."""
        folder = self.folder / "films"
        if not folder.is_dir():
            length, wholes = (2.0, (4, 6)) if self.tiny else (20.0, (60, 80))
            jobs = [(self.folder / f"{k}.mp4", length, k) for k in range(3)]
            with ProcessPoolExecutor(system.cores(), get_context("spawn")) as pool:
                list(pool.map(ingest.film, *zip(*jobs, strict=True)))
            for whole in wholes:
                for path, _, k in jobs:
                    made = folder / "train" / "ab"[k % 2] / f"{k}-{whole}.mp4"
                    ingest.looped(path, made, whole)
            ingest.looped(jobs[0][0], folder / "test" / "a" / "t.mp4", 2 * length)
        return sorted(folder.rglob("*.mp4"))

    def clips(self, each: int = CLIPS) -> Shards:
        """The training clips of those films at 200×200, or those that were prepared."""
        if not self.shards:
            self.films()
            ingest.prepared(self.folder / "films", self.folder / "home", each)
            self.shards = next((self.folder / "home" / "data").glob("*/clips")).parent
        return Shards(self.shards / "clips", "train")

    def child(self, work: Callable, *given):
        """What `work` returns in a fresh process, whose memory is its own."""
        with ProcessPoolExecutor(1, get_context("spawn")) as other:
            return other.submit(work, *given).result()


# --------------------------------------------------------------------------------------- training


def stored(lab: Lab, frames: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips as shards hold them, uint8 B×T×side×side×3, and their labels, on the device."""
    side, rng = augment.stored_side(lab.size), np.random.default_rng(0)
    clips = torch.from_numpy(rng.integers(0, 256, (batch, frames, side, side, 3), np.uint8))
    labels = torch.from_numpy(rng.integers(0, CLASSES, batch))
    return clips.to(lab.device), labels.to(lab.device)


def step_of(lab: Lab, net, frames: int, crop: int, precision: str, batch: int, dims: int = 5):
    """A training step of any network, from uint8 clips on the device to updated weights.

    `dims` 5 is channels-last as 3-D convolutions take it; ours (4) folds time away itself.
    """
    clips, labels = stored(lab, frames, batch)
    room = augment.stored_side(lab.size) - crop + 1
    places = np.random.default_rng(0).integers(0, (room, room, 2), (batch, 3)).tolist()

    def batch_of():
        x = augment.cut(clips, places, crop)
        if dims == 5:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        return x, labels

    net = net.to(lab.device)
    for weight in net.parameters():
        if weight.ndim == 5:  # torchvision's network has buffers of 4 dimensions, which refuse it
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
    return stepper(net, batch_of, lab.device, precision)


def our_step(lab: Lab, name: str) -> tuple[Callable, float]:
    """The step of one of our networks, built once, and the FLOP of a clip in it."""
    if name not in lab.nets:
        net = models.build(name, CLASSES, lab.width, lab.size)
        work = step_flops(net)
        step = step_of(lab, net, len(net.frames), net.crop, lab.precision, lab.batch, dims=4)
        lab.nets[name] = step, work
    return lab.nets[name]


def peak(lab: Lab) -> float:
    """The measured rate of large products, in the precision of ours."""
    measure = system.measure_peak.__wrapped__  # anew, not the figure it keeps
    return measure(lab.device.type, lab.precision)


def in_turns(lab: Lab, steps: dict[str, Callable], turns: int, most: float) -> tuple[dict, float]:
    """The seconds of each step in each turn, and the mean peak measured before and after."""
    for step in steps.values():
        seconds(step, lab.device, 2)
    before = peak(lab)
    repeats = 10 if lab.device.type == "cuda" else 1  # a training does not wait for each step
    works = {name: partial(seconds, step, lab.device, repeats) for name, step in steps.items()}
    found = take_turns(works, turns, most)
    return found, (before + peak(lab)) / 2


def clean(lab: Lab) -> None:
    """Free what the last network took."""
    torch._dynamo.reset()
    gc.collect()
    if lab.device.type == "cuda":
        torch.cuda.empty_cache()


def against_plain(lab: Lab, name: str, compiled: bool) -> Iterator[Row | Skip]:
    """A training step of ours and of plain PyTorch, alone or with torch.compile."""
    ours, work = our_step(lab, name)
    net = models.build(name, CLASSES, lab.width, lab.size)
    plain = PlainNetwork(net)
    rival = COMPILED if compiled else "plain PyTorch"
    steps = {"ours": ours}
    made = torch.compile(plain, dynamic=False) if compiled else plain
    steps[rival] = step_of(lab, made, len(net.frames), net.crop, lab.precision, lab.batch)
    start = time.perf_counter()
    try:
        seconds(steps[rival], lab.device)
    except Exception as error:
        if not compiled:
            raise
        yield Skip(f"{name} against {rival}", one_line(error))
        return
    first = time.perf_counter() - start
    found, most = in_turns(lab, steps, 7, 10)
    yield compared(
        "training", (name, rival), "clips", (lab.batch, lab.batch), (found["ours"], found[rival]),
        most / work, "matrix peak", aim=1 if compiled else None,
        note=f"{lab.precision}, batch {lab.batch}"
        + (f", compiled in {first:.0f} s" if compiled else ""),
    )  # fmt: skip
    clean(lab)


def against_torchvision(lab: Lab) -> Iterator[Row]:
    """Training steps of `single` and `slow`, and of torchvision's networks on the same clips.

    On a CPU these train in fp32 (their gradients in bf16 are nan there, now and then) and take a
    step of one clip, since it takes seconds.
    """
    on_gpu = lab.device.type == "cuda"
    batch, precision = (lab.batch, lab.precision) if on_gpu else (1, "fp32")
    steps = {ours: our_step(lab, ours)[0] for ours in FIRST[:2]}
    notes = {}
    for name in TORCHVISION:
        net = torchvision_models.build(name, CLASSES)
        crop = min(net.crop, lab.size)
        steps[name] = step_of(lab, net, len(net.frames), crop, precision, batch)
        notes[name] = f"{precision}, batch {batch}, {len(net.frames)} frames of {crop}×{crop}"
    found, most = in_turns(lab, steps, 5, 30)
    for name in TORCHVISION:
        for ours in FIRST[:2]:
            yield compared(
                "training", (ours, name), "clips", (lab.batch, batch), (found[ours], found[name]),
                most / our_step(lab, ours)[1], "matrix peak",
                note=f"{lab.precision}, batch {lab.batch}; {name}: {notes[name]}",
            )  # fmt: skip
    clean(lab)


def multires(lab: Lab) -> Iterator[Row]:
    """How much two streams at half resolution speed up a network, beside the arithmetic."""
    found, _ = in_turns(lab, {name: our_step(lab, name)[0] for name in FIRST}, 7, 10)
    aim = 1.6 if lab.device.type == "cuda" else 1.3
    for name in FIRST[:2]:
        both = f"{name}-multires"
        yield compared(
            "training", (both, name), "clips", (lab.batch, lab.batch), (found[both], found[name]),
            our_step(lab, name)[1] / our_step(lab, both)[1] * lab.batch
            / statistics.median(found[name]),
            "arithmetic", aim=aim, note=f"{lab.precision}, batch {lab.batch}",
        )  # fmt: skip


def fed(lab: Lab) -> Iterator[Row]:
    """Steps fed from shards, decoded for every batch or held, and steps on one batch that stays:
    what waiting for data costs."""
    shards = lab.clips()
    net = models.build("slow", CLASSES, lab.width, lab.size).to(lab.device)
    batch = min(lab.batch, len(shards))
    view = augment.Augment(lab.size, net.crop)

    def batches(holds: bool) -> Iterator[loader.Batch]:
        reader = loader.ClipReader(shards, net.frames, CLASSES, system.cores(), lab.device)
        if holds:
            reader.hold(np.arange(len(shards)), quiet=True)
        return reader.batches(loader.plan_batches(shards.counts, batch, 0, 10**6))

    decoded, held = batches(holds=False), batches(holds=True)
    resident = next(held)

    def take(of):
        one = of()
        x = view(one.frames.to(lab.device, non_blocking=True), one.plan.samples, one.plan.epoch)
        return x, one.targets.to(lab.device, non_blocking=True)

    sources = {
        "slow fed from shards": lambda: next(decoded),
        "slow fed from held clips": lambda: next(held),
        "one resident batch": lambda: resident,
    }
    steps = {
        name: stepper(net, partial(take, source), lab.device, lab.precision)
        for name, source in sources.items()
    }
    found = take_turns({n: partial(seconds, s, lab.device, 4) for n, s in steps.items()}, 8, 20)
    found = {name: each[1:] for name, each in found.items()}  # the loader's processes start
    *ours, one = found
    for name in ours:
        yield compared(
            "reading", (name, one), "clips", (batch, batch), (found[name], found[one]),
            batch / statistics.median(found[one]), "reading is free",
            aim=0.97 if "held" in name else None,
            note=f"{lab.precision}, batch {batch}, frames of {shards.height}×{shards.width}",
        )  # fmt: skip


def profile(lab: Lab, name: str, steps: int = 5) -> dict[str, dict[str, float]]:
    """The ten operations that take most of our step: ms a step, and share of all operations."""
    on_gpu = lab.device.type == "cuda"
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA][: 1 + on_gpu]) as found:
        seconds(our_step(lab, name)[0], lab.device, steps)
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    cpu = torch.autograd.DeviceType.CPU  # where operations start; a GPU's kernels stand there too
    took = {e.key: getattr(e, own) for e in found.key_averages() if e.device_type == cpu}
    whole, most = sum(took.values()), sorted(took, key=lambda key: -took[key])[:10]
    return {key[:80]: {"ms": took[key] / 1000 / steps, "share": took[key] / whole} for key in most}


# -------------------------------------------------------------------------- one process and two


def replica(lab: Lab, name: str, steps: int = 6) -> None:
    """A few steps as one of the processes that torchrun started; the first prints its seconds."""
    with distributed.process_group() as world:
        distributed.set_up(max(1, system.cores() // world.ranks), deterministic=False)
        net = models.build(name, CLASSES, lab.width, lab.size)
        batch, (frames, crop) = lab.batch // world.ranks, (len(net.frames), net.crop)
        net = distributed.replicate(net, world)
        step = step_of(lab, net, frames, crop, lab.precision, batch, dims=4)
        seconds(step, lab.device, 2)
        took = seconds(step, lab.device, steps)
        distributed.barrier()
        if not world.rank:
            print(f"seconds a step: {took}", flush=True)


def two_processes(lab: Lab) -> Iterator[Row]:
    """The same global batch on one process and on two, under torchrun, with gloo."""

    def run(ranks: int, name: str) -> float:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={ranks}", __file__, "--replica", name, "--device=cpu"]
        command += [f"--width={lab.width}", f"--size={lab.size}", f"--batch={lab.batch}"]
        around = os.environ | {"OMP_NUM_THREADS": str(max(1, system.cores() // ranks))}
        done = subprocess.run(command, capture_output=True, text=True, env=around)
        if done.returncode:
            raise RuntimeError(one_line(done.stderr))
        return float(done.stdout.split("seconds a step:")[1].split()[0])

    name = FIRST[1]
    found = take_turns({n: partial(run, n, name) for n in (1, 2)}, 3, 60)
    most = lab.batch / statistics.median(found[1])
    yield compared(
        "training", (f"{name}, two processes", "one process"), "clips", (lab.batch, lab.batch),
        (found[2], found[1]), most, "the same cores",
        note=f"{lab.precision}, batch {lab.batch} in all, gloo, {system.cores()} cores",
    )  # fmt: skip


# ---------------------------------------------------------------------------------- reading clips


def batch_order(shards: Shards, n: int) -> list[np.ndarray]:
    """The numbers of n clips in the order of a training, 32 at a time."""
    size = min(32, len(shards))
    plan = loader.plan_batches(shards.counts, size, 0, 10**6)
    return [each.samples for each in islice(plan, max(1, n // size))]


def bare_decoding(lab: Lab, shards: Shards) -> float:
    """Clips a second of decoding alone, from bytes in memory."""
    first, sizes = shards._table(0)[1:3]
    clips = list(range(min(24, shards.counts[0])))
    out = np.empty((len(FRAMES), shards.height, shards.width, 3), np.uint8)
    name, frames = shards.names[0], list(FRAMES)
    data = [shards.store.read_parts(name, first[k, frames], sizes[k, frames]) for k in clips]
    took = timed(lambda: [decode(p, to) for clip in data for p, to in zip(clip, out, strict=True)])
    return len(clips) / took


def reading(lab: Lab) -> Iterator[Row]:
    """Random clips from shards, against clips from a film that is opened for each."""
    shards, films = lab.clips(), lab.films()
    clips, rng = loader.Clips(shards, FRAMES, 2, threads=1), np.random.default_rng(0)
    batches, each = batch_order(shards, 64 if lab.tiny else 192), 3 if lab.tiny else 8
    from s1m_lab.video import reader

    ends = {path: round(reader.probe(path).duration * 30) - 20 for path in films}
    places = [(path, int(rng.integers(ends[path]))) for path in rng.choice(films, each)]
    near = [ingest.ON_THE_FLY[name](*places[0], FRAMES) for name in ("decord", "PyAV")]
    apart = np.abs(np.subtract(*near, dtype=int)).mean()
    assert near[0].shape == near[1].shape == (10, 200, 200, 3) and apart < 2, apart

    def ours() -> None:
        for samples in batches:
            clips.take(samples)

    works = {"ours": partial(timed, ours)}
    for name, sample in ingest.ON_THE_FLY.items():
        works[name] = partial(timed, lambda s=sample: [s(*place, FRAMES) for place in places])
    clips.take([0])
    found = take_turns(works, 7, 25)
    most, n = bare_decoding(lab, shards), sum(map(len, batches))
    for name in ingest.ON_THE_FLY:
        yield compared(
            "reading", ("clips from shards", f"{name} on the fly"), "clips", (n, each),
            (found["ours"], found[name]), most, "decoding JPEG alone", aim=30,
            note="10 frames of 200×200, one thread; films of 640×360, a key frame every 5 s",
        )  # fmt: skip


def webdataset_reader(shards: Shards, fast: bool) -> Iterator[np.ndarray]:
    """uint8 T×H×W×3 clip by clip in the order of the files; `fast` decodes with simplejpeg."""
    import webdataset as wds

    keys = [f"{t:02d}.jpg" for t in FRAMES]
    files = [str(shards.folder / name) for name in shards.names]
    data = wds.WebDataset(files, shardshuffle=False, empty_check=False)
    if fast:
        from simplejpeg import decode_jpeg

        data = data.map(lambda s: np.stack([decode_jpeg(s[k]) for k in keys]))
    else:
        data = data.decode("rgb8", only=keys).map(lambda s: np.stack([s[k] for k in keys]))
    return iter(data)


def against_webdataset(lab: Lab) -> Iterator[Row]:
    """The same shards read by WebDataset, in the order of the files; ours in that of a training."""
    shards = lab.clips()
    clips = loader.Clips(shards, FRAMES, 2, threads=1)
    batches = batch_order(shards, len(shards))
    n = sum(map(len, batches))
    in_order = clips.take(range(len(shards))).frames.numpy()
    kinds = {"WebDataset, PIL": False} | (
        {"WebDataset, simplejpeg": True} if find_spec("simplejpeg") else {}
    )
    for fast in kinds.values():  # the same clips, the same frames, the same pixels
        own = list(webdataset_reader(shards, fast))
        assert len(own) == len(in_order)
        assert all(np.array_equal(a, b) for a, b in zip(own, in_order, strict=True))

    def ours() -> None:
        for samples in batches:
            clips.take(samples)

    def theirs(fast: bool) -> None:
        batch = [clip for clip in islice(webdataset_reader(shards, fast), n)]
        for first in range(0, n, 32):
            torch.from_numpy(np.stack(batch[first : first + 32]))

    works = {"ours": partial(timed, ours)}
    works |= {name: partial(timed, partial(theirs, fast)) for name, fast in kinds.items()}
    found = take_turns(works, 9, 20)
    most = bare_decoding(lab, shards)
    for name in kinds:
        yield compared(
            "reading", ("clips from shards", name), "clips", (n, n), (found["ours"], found[name]),
            most, "decoding JPEG alone", aim=1,
            note="10 frames of 200×200, one thread; ours in random order, theirs in sequence",
        )  # fmt: skip


def crops(lab: Lab) -> Iterator[Row]:
    """Crop, flip and subtract 117, a batch at a time against clip by clip."""
    from torchvision.transforms.v2 import functional as v2

    crop, batch = lab.size, lab.batch
    frames = stored(lab, len(FRAMES), batch)[0].to(lab.device)
    room = frames.shape[2] - crop + 1
    places = np.random.default_rng(1).integers(0, (room, room, 2), (batch, 3)).tolist()
    mean = [float(models.MEAN)] * 3

    def theirs() -> torch.Tensor:
        done = []
        for clip, (top, left, flip) in zip(frames, places, strict=True):
            x = v2.crop(clip.permute(0, 3, 1, 2), top, left, crop, crop)  # T×3×S×S
            x = v2.to_dtype(v2.horizontal_flip(x) if flip else x, torch.float32, scale=False)
            done.append(v2.normalize(x, mean, [1.0, 1.0, 1.0]))
        return torch.stack(done)

    ours = partial(augment.cut, frames, places, crop)
    assert torch.equal(ours().transpose(1, 2), theirs())
    out = torch.empty((len(FRAMES), batch, crop, crop, 3), device=lab.device)
    small = torch.empty(out.shape, dtype=torch.uint8, device=lab.device)
    works = {"ours": ours, "theirs": theirs, "copy": lambda: out.copy_(small)}
    for work in works.values():
        seconds(work, lab.device, 2)
    found = take_turns({n: partial(seconds, w, lab.device, 5) for n, w in works.items()}, 9, 20)
    yield compared(
        "reading", ("crops of a batch", "torchvision v2 per clip"), "clips", (batch, batch),
        (found["ours"], found["theirs"]), batch / statistics.median(found["copy"]),
        "one copy to floats", aim=1, note=f"{len(FRAMES)} frames, {crop}×{crop}, batch {batch}",
    )  # fmt: skip


# ------------------------------------------------------------------------- metadata and ingest


def metadata(lab: Lab) -> Iterator[Row]:
    """The million-row JSON read, split and saved, against pandas reading it."""
    folder, n = lab.folder / "json", 20_000 if lab.tiny else catalog.ROWS
    real = os.environ.get("S1M_REAL_DATA")
    made = catalog.make(folder, n, Path(real) if real else None)
    works = (catalog.RIVAL, catalog.OURS, catalog.BOUND)
    found = catalog.measure(folder, 2 if lab.tiny else 5, works)
    assert all(one["broken"] == made["broken"] for one in found[catalog.OURS])
    took = {name: [one["seconds"] for one in each] for name, each in found.items()}
    most = n / statistics.median(took[catalog.BOUND])
    memory = [
        f"{statistics.median(one['peak_gb'] for one in found[name]):.2f} GB"
        for name in (catalog.OURS, catalog.RIVAL)
    ]
    yield compared(
        "metadata", (catalog.OURS, catalog.RIVAL), "rows", (n, n),
        (took[catalog.OURS], took[catalog.RIVAL]), most, "DuckDB parsing alone", aim=7,
        note=f"{n:,} rows of Sports-1M's JSON; peak memory {' against '.join(memory)}",
    )  # fmt: skip


def ingesting(lab: Lab) -> Iterator[Row]:
    """Ingest on one core and on all, against decoding the same frames and keeping nothing."""
    films, cores = ingest.segments_of(lab.films(), CLIPS), system.cores()
    folder = lab.folder / "films"
    works = {
        "bare": partial(ingest.bare, films),
        1: partial(ingest.prepared, folder, lab.folder / "home", CLIPS),
        2: partial(ingest.prepared, folder, lab.folder / "two", CLIPS, 2),
    }
    found = take_turns(works, 1 if lab.tiny else 2)
    n = sum(len(starts) for _, starts in films)
    for workers in (1, 2):
        most = min(workers, cores) * n / statistics.median(found["bare"])
        yield compared(
            "ingest", (f"ingest, {workers} worker{'s' * (workers > 1)}", "decord decoding alone"),
            "clips", (n, n), (found[workers], found["bare"]), most, "decoding, per core",
            note=f"{n} clips of 16 frames from films of 640×360",
        )  # fmt: skip
    lab.shards = next((lab.folder / "home" / "data").glob("*/clips")).parent


# ----------------------------------------------------------------------------------------- growth


def peak_bytes() -> float:
    """The most memory that this process has held; `inf` off Linux."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("inf")
    return 1024 * float(status.read_text().split("VmHWM:")[1].split()[0])


def growth_of_batch(lab: Lab, name: str, batches: Sequence[int]) -> list[tuple[float, float]]:
    """Seconds and bytes of a training step, batch by batch; bytes above those before the network.

    Batches grow, so the peak of the process is that of the last one.
    """
    if lab.device.type == "cpu":
        system.keep_freed_memory()
        distributed.set_up(system.cores(), deterministic=False)
    on_gpu, found = lab.device.type == "cuda", []
    before = torch.cuda.memory_allocated() if on_gpu else peak_bytes()
    net = models.build(name, CLASSES, lab.width, lab.size)
    for batch in batches:
        step = step_of(lab, net, len(net.frames), net.crop, lab.precision, batch, dims=4)
        seconds(step, lab.device, 2)
        took = min(seconds(step, lab.device) for _ in range(3))
        most = torch.cuda.max_memory_allocated() if on_gpu else peak_bytes()
        found.append((took, most - before))
        del step
    return found


def growth_by_batch(lab: Lab) -> Iterator[Row]:
    """Time and memory of a training step against its batch."""
    batches = (2, 4) if lab.tiny else (8, 16, 32, 64, 128)
    for name in FIRST[:2]:
        apart = Lab(**{**vars(lab), "nets": {}})
        took, held = zip(*lab.child(growth_of_batch, apart, name, batches), strict=True)
        yield growth(f"time of a step of {name}", "batch", "s", batches, took)
        megabytes = [each / 1e6 for each in held]
        if np.isfinite(megabytes).all():
            yield growth(f"memory of a step of {name}", "batch", "MB", batches, megabytes)


def plan_of(rows: int) -> tuple[float, float]:
    """Seconds and bytes of planning an epoch over 8 clips a row, in shards of 384."""
    clips = 8 * rows
    counts = np.diff([*range(0, clips, 384), clips])

    def work() -> None:
        for _ in loader.plan_batches(counts, 32, 0, 1):
            pass

    work()
    took = min(timed(work) for _ in range(3))
    tracemalloc.start()
    work()
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return took, held


def growth_by_rows(lab: Lab) -> Iterator[Row]:
    """Time and memory of the catalog and of an epoch's plan against the rows of the catalog."""
    sizes = (100, 1_000) if lab.tiny else (100, 1_000, 10_000, 100_000)
    found = []
    for rows in sizes:
        folder = lab.folder / f"rows{rows}"
        catalog.make(folder, rows)
        own = catalog.measure(folder, 1 if lab.tiny else 3, [catalog.OURS, catalog.AGAIN])
        found.append(own)
    for key, unit, what in (("seconds", "s", "time"), ("grown_mb", "MB", "memory")):
        for name in (catalog.OURS, catalog.AGAIN):
            values = [statistics.median(one[key] for one in own[name]) for own in found]
            yield growth(f"{what} of: {name}", "catalog rows", unit, sizes, values)
    took, held = zip(*map(plan_of, sizes), strict=True)
    yield growth("time of an epoch's plan", "catalog rows", "s", sizes, took)
    yield growth("memory of an epoch's plan", "catalog rows", "MB", sizes, [h / 1e6 for h in held])


# ---------------------------------------------------------------------------------- the whole


class Part(NamedTuple):
    name: str
    seconds: float  # that it takes on two cores, or on a GPU
    needs: tuple[str, ...]  # packages; or SHARDS, which take FILMS unless they were prepared
    measure: Callable[[Lab], Iterator[Row | Skip]]


def parts(plan: str) -> list[Part]:
    """The parts of a plan, `cpu` or `gpu`, the most important first."""

    def step(name: str, compiled: bool, expected: float) -> Part:
        label = f"train {name}{' compiled' * compiled}"
        return Part(label, expected, (), partial(against_plain, name=name, compiled=compiled))

    torchvision = Part("train torchvision", 90, ("torchvision",), against_torchvision)
    cut = Part("crops", 10, ("torchvision",), crops)
    web = Part("webdataset", 20, ("webdataset", SHARDS), against_webdataset)
    wait = Part("fed", 20, (SHARDS,), fed)
    by_batch = Part("growth by batch", 60, (), growth_by_batch)
    if plan == "gpu":
        return [
            *(step(name, False, 8) for name in FIRST), Part("multires", 5, (), multires),
            step("single", True, 50), step("slow", True, 50),
            *(step(name, False, 8) for name in OTHERS), wait, cut,
            torchvision._replace(seconds=30), *(step(name, True, 50) for name in FIRST[2:]),
            web, Part("read", 60, FILMS, reading), by_batch,
            *(step(name, True, 50) for name in OTHERS),
        ]  # fmt: skip
    return [
        step("single", False, 20), step("slow", False, 25), cut,
        Part("ingest", 90, FILMS, ingesting),
        Part("read", 25, FILMS, reading), web,
        Part("metadata", 90, ("duckdb",), metadata),
        step("single", True, 70), step("slow", True, 70), torchvision,
        *(step(name, False, 15) for name in FIRST[2:]),
        Part("multires", 12, (), multires), by_batch,
        Part("growth by rows", 40, ("duckdb",), growth_by_rows),
        Part("processes", 60, (), two_processes), wait,
        *(step(name, True, 70) for name in FIRST[2:]),
    ]  # fmt: skip


def one_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:150]


def measure(
    lab: Lab, chosen: Sequence[Part], note: Callable = lambda rows, skipped: None
) -> tuple[list[Row], list[Skip]]:
    """The rows of the parts that fit and can run here, and the others with the reason.

    `note` gets both after each part, so that an interrupted run leaves what it has measured.
    """
    rows: list[Row] = []
    skipped: list[Skip] = []
    planned, took = 0.0, 0.0  # seconds of the parts that ran; a busy machine takes longer
    for part in chosen:
        note(rows, skipped)
        expected = part.seconds * max(1.0, took / planned if planned else 1.0)
        needs = [name for name in part.needs if name != SHARDS]
        if SHARDS in part.needs and not lab.shards:
            needs += FILMS
        missing = [name for name in needs if find_spec(name) is None]
        if missing:
            skipped.append(Skip(part.name, f"not installed: {', '.join(missing)}"))
        elif not lab.budget.fits(0 if lab.tiny else expected):
            why = f"left out: it takes about {expected:.0f} s, {lab.budget.left:.0f} are left"
            skipped.append(Skip(part.name, why))
        else:
            start = time.perf_counter()
            try:
                for found in part.measure(lab):
                    (skipped if isinstance(found, Skip) else rows).append(found)
            except Exception as error:  # the other parts go on
                skipped.append(Skip(part.name, f"{type(error).__name__}: {one_line(error)}"))
            planned, took = planned + part.seconds, took + time.perf_counter() - start
            print(f"{part.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    note(rows, skipped)
    return rows, skipped


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Sequence[Row], skipped: Sequence[Skip]) -> str:
    """The table as text: one line a row, in the order of the parts."""
    heads = (
        "",
        "against",
        "ratio",
        "range",
        "ours",
        "theirs",
        "a second",
        "limit",
        "set by",
        "aim",
    )
    cells = [heads]
    for r in sorted(rows, key=lambda row: row.part == "growth"):
        cells.append((
            r.name, r.rival, f"{r.ratio:.2f}", f"{r.low:.2f}–{r.high:.2f}", number(r.ours),
            number(r.theirs), r.unit, f"{r.limit:.2f}", r.bound,
            "" if r.aim is None else f"{r.aim:g}" + ("" if r.ratio >= r.aim else " missed"),
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left = {0, 1, 6, 8, 9}
    lines = [
        "  ".join(
            text.ljust(width) if n in left else text.rjust(width)
            for n, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    return "\n".join([*lines, *(f"no {name}: {why}" for name, why in skipped)])


def finding(rows: Sequence[Row]) -> str:
    """What the table says, in a sentence: the least gain of each kind, then where a rival wins."""
    kinds = {
        "on the fly": "Clips come {:.0f} times as fast from shards as from films",
        "plain PyTorch": "slow fusion trains {:.1f} times as fast as plain PyTorch",
    }
    sentences = []
    for rival, text in kinds.items():
        mine = [
            r.ratio for r in rows if rival in r.rival and r.name in ("slow", "clips from shards")
        ]
        sentences += [text.format(min(mine))] if mine else []
    compiled = [r.ratio for r in rows if r.rival == COMPILED]
    if lost := sum(ratio < 1 for ratio in compiled):
        sentences.append(f"torch.compile beats {lost} of {len(compiled)} networks")
    return ", ".join(sentences) or f"{len(rows)} rows of the table"


def draw(rows: Sequence[Row]):
    """The figure: a bar a ratio on a logarithmic axis, its range and limit, and a line at 1."""
    import matplotlib

    from s1m_lab.figures import style

    bars = [row for row in rows if row.part != "growth"]
    dots = [row for row in rows if row.part == "growth"]
    heights = [max(1, len(bars)), max(1, len(dots)) + 0.5]
    with matplotlib.rc_context(style.STYLE):
        fig, axes = style.new_figure(
            2 if dots else 1, 1, 1.2 + 0.21 * sum(heights), height_ratios=heights[: 1 + bool(dots)]
        )
        ax = axes[0, 0]
        for y, row in enumerate(bars):
            shade = style.colour(row.name.split(",")[0]) if row.part == "training" else style.PAPER
            ax.barh(y, row.ratio - 1, left=1, height=0.7, color=shade)
            ax.plot([row.low, row.high], [y, y], color=style.INK, linewidth=1.2)
            ax.plot([row.limit], [y], marker="|", color=style.INK, markersize=8, linestyle="")
        ax.set_xscale("log")
        style.name_rows(ax, [f"{row.name} / {row.rival}" for row in bars], 60)
        style.note_rows(ax, [f"{number(row.ratio)}×" for row in bars])
        ax.axvline(1, color=style.INK, linewidth=1)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("ours / rival, in work a second; line: range of the turns, tick: limit")
        if dots:
            ax = axes[1, 0]
            for y, row in enumerate(dots):
                ax.plot([row.low, row.high], [y, y], color=style.PAPER, linewidth=1.2)
                ax.plot([row.ratio], [y], **{"marker": "o", "color": style.INK, "markersize": 5})
            style.name_rows(ax, [row.name for row in dots], 60)
            style.note_rows(ax, [f"{row.ratio:.2f}" for row in dots])
            ax.axvline(LINEAR, color=style.INK, linewidth=1)
            ax.set_xlabel("exponent against size; 1 is linear; line: from step to step")
        style.headline(fig, finding(rows))
    return fig


KEY = (  # the rows that README has
    ("single", "plain PyTorch"), ("single", COMPILED),
    ("slow", "plain PyTorch"), ("slow", COMPILED),
    ("single-multires", "single"), ("slow-multires", "slow"), ("slow", "r3d_18"),
    ("clips from shards", "decord on the fly"), ("clips from shards", "PyAV on the fly"),
    ("clips from shards", "WebDataset, PIL"), ("clips from shards", "WebDataset, simplejpeg"),
    ("crops of a batch", "torchvision v2 per clip"), (catalog.OURS, catalog.RIVAL),
    ("ingest, 1 worker", "decord decoding alone"), ("ingest, 2 workers", "decord decoding alone"),
)  # fmt: skip
START, END = "<!-- bench: make bench -->", "<!-- end of bench -->"


def fill(text: str, about: dict) -> str:
    """A document with the key rows of `bench.json` between its marks."""
    rows = {(row["name"], row["rival"]): Row(**row) for row in about["rows"]}
    lines = ["| ours | rival | ratio | range | ours, a second | rival's | limit |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for r in (rows[key] for key in KEY if key in rows):
        lines.append(
            f"| {r.name} | {r.rival} | {r.ratio:.2f} | {r.low:.2f} to {r.high:.2f} | "
            f"{number(r.ours)} {r.unit} | {number(r.theirs)} | {r.limit:.2f} |"
        )
    worst = max(
        (r for r in rows.values() if r.part == "growth"), key=lambda r: r.ratio, default=None
    )
    grown = f" The steepest growth is that of {worst.name}: {worst.ratio:.2f}." if worst else ""
    load = "{:.1f} before and {:.1f} after".format(*about["load"])
    missing = ", ".join(one["name"] for one in about["skipped"])
    grown += f" Not measured in this run: {missing}." if missing else ""
    lines += ["", f"{about['machine']}, {about['precision']}, torch {about['versions']['torch']}, "
              f"commit {about['commit']}, {about['date']}, load {load}, `benchmarks/bench.json` "
              f"(all rows).{grown}"]  # fmt: skip
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n\n" + "\n".join(lines) + f"\n\n{END}{after}"


def write(folder: Path, about: dict, rows: Sequence[Row]) -> None:
    """The figure and README's table; on a GPU the figure alone."""
    name = "bench_gpu" if about["plan"] == "gpu" else "bench"
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / f"{name}.png").write_bytes(draw(rows).png())
    readme = folder / "README.md"
    if about["plan"] == "cpu" and readme.is_file():
        readme.write_text(fill(readme.read_text("utf-8"), about), "utf-8")


def machine(lab: Lab) -> dict:
    """What the figures were measured on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    sizes = {"width": lab.width, "size": lab.size, "batch": lab.batch, "precision": lab.precision}
    return {
        "command": " ".join(["python benchmarks/bench.py", *map(os.path.basename, sys.argv[1:])]),
        "machine": system.machine(),
        "device": str(lab.device),
        "commit": runs.commit(),
        "date": date.today().isoformat(),
        "versions": versions,
        **sizes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=14.0, help="parts beyond are left out")
    parser.add_argument("--plan", choices=("cpu", "gpu"), help="which parts, in which order")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="only parts with these words")
    parser.add_argument("--device", help="cuda where there is one, else cpu")
    parser.add_argument("--width", type=float, default=0.0, help="of the networks")
    parser.add_argument("--size", type=int, default=0, help="of their crops")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help="make shards, and end")
    parser.add_argument("--shards", type=Path, metavar="FOLDER", help="take what --prepare made")
    parser.add_argument("--tiny", action="store_true", help="a trial: its figures mean nothing")
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER",
        help="write benchmarks/bench.json, reports/bench.png and README's table in this folder",
    )  # fmt: skip
    parser.add_argument("--replica", metavar="MODEL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write and args.write.resolve() == ROOT and args.parts:
        parser.error("README has the whole table; --parts prints some rows of it")
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    on_gpu = device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        width, size, batch = (1.0, 170, 256) if on_gpu else (0.25, 112, 32)
        lab = Lab(
            device, "bf16" if system.has_bf16(device.type) else "fp32", args.width or width,
            args.size or size, args.batch or batch, args.plan or ("gpu" if on_gpu else "cpu"),
            args.tiny, Path(folder), args.shards, Budget(args.minutes),
        )  # fmt: skip
        if not on_gpu:
            system.keep_freed_memory()  # as a training does
        if args.replica:
            return replica(lab, args.replica)
        distributed.set_up(system.cores(), deterministic=False)
        if args.prepare:
            print(f"{len(lab.clips(4 * CLIPS))} clips in {args.prepare}")
            shutil.copytree(lab.shards / "clips", args.prepare / "clips")
            return
        chosen = [
            p for p in parts(lab.plan) if not args.parts or set(args.parts) & set(p.name.split())
        ]
        about = machine(lab) | {"plan": lab.plan}
        before = os.getloadavg()[0]

        def note(rows: list[Row], skipped: list[Skip]) -> None:
            about["load"] = [round(load, 2) for load in (before, os.getloadavg()[0])]
            about["minutes"] = round((lab.budget.seconds - lab.budget.left) / 60, 1)
            about["rows"] = [asdict(row) for row in rows]
            about["skipped"] = [one._asdict() for one in skipped]
            if args.write:
                name = "bench_gpu.json" if lab.plan == "gpu" else "bench.json"
                (args.write / "benchmarks").mkdir(exist_ok=True)
                write_json(args.write / "benchmarks" / name, about, "\n", indent=1)

        rows, skipped = measure(lab, chosen, note)
        print(table(rows, skipped))
        about["profile"] = {name: profile(lab, name) for name in FIRST if name in lab.nets}
        note(rows, skipped)
    if args.write:
        write(args.write, about, rows)


if __name__ == "__main__":
    main()
