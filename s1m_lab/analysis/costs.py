"""The size of a set of videos, as originals and as clips, and the time of ingest and training.

    own = costs.describe_videos(folder, videos, clips)     # duration, pixels, clips of each video
    table = costs.remaining(own, limits)                   # what is left at each longest duration
    costs.stored_bytes(table)                              # bytes, as originals and as clips
    costs.price(videos=1160, clips=6960, rates=costs.calibrate())     # core-hours, seconds, bytes
    costs.plan(machine, costs.measure(machine.gpus))       # the whole of Sports-1M, stage by stage

An uncertain number is an array whose last axis is low, mid, high. In a product all factors are at
their low end, or all at their high end, so that the range is too wide rather than too narrow. Each
number has its source: *measured* (here, by the command named), *published* or *assumed*.
"""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from s1m_lab import models, paper
from s1m_lab.analysis.catalog import add_measured, members, numbers
from s1m_lab.common import system
from s1m_lab.common.storage import Store
from s1m_lab.data import datasets, locate, shards
from s1m_lab.data.catalog import load_catalog
from s1m_lab.data.ingest import prepare
from s1m_lab.data.splits import SPLITS
from s1m_lab.data.sports1m import QUANTILES, SHARES, VIDEOS
from s1m_lab.models import FUSIONS, split_name
from s1m_lab.training import distributed, runs, train
from s1m_lab.video import decoders, reader, writer

# Fitted to the four published quantiles: a normal distribution of log(s). Its width between
# neighbouring points is 1.07, 0.96 and 0.55, by least squares 0.80; how wide it is below the first
# point is not published.
WIDTHS = np.array([1.07, 0.80, 0.55])  # the widest has the shortest videos
# Published: a copy of 20 classes of Sports-1M (github.com/d3vyatk4ru/sports-1m), 34,361 videos of
# 8.7 million s and 751 thousand MB; resolution and sound are not stated. Mid: all MB over all s.
# Low and high: 5 and 95 % of its 40 rows, a class in a split. A MB may be 1 or 1.049 million bytes,
# and mid lies between; the s may leave out WebM, 6 % of the files, and the rate be as much too
# high. The mean over many classes is known better, to 82–94 kB/s (bootstrap over classes).
STORED = np.array([69e3, 88e3, 102e3])  # bytes a second
# Assumed: that copy is of 640×480, or else between 640×360 and 854×480 (pixels).
ANCHOR = np.array([854 * 480, 640 * 480, 640 * 360])
# Bytes grow with pixels ** 0.8: published for one YouTube video in H.264, 520, 830, 1600 and 3000
# kbit/s at 360, 480, 720 and 1080 lines (B. Hassler, "YouTube bitrates", 2013-06-24). Assumed: 0.6
# to 1 for other videos.
EXPONENT = np.array([0.6, 0.8, 1.0])
SIDES = {240: 426, 360: 640, 480: 854, 720: 1280, 1080: 1920}
RESOLUTIONS = {f"{height}p": height * width for height, width in SIDES.items()}  # pixels
# Measured: bytes of a coded clip of 16 frames, height×width, mean of 60 real segments and its 95 %
# interval, without its tar; benchmarks/clip_coding.json has videos, machine, commit and date.
CLIP_BYTES = {
    ("JPEG q90", "227×277"): np.array([256e3, 270e3, 285e3]),
    ("H.264 crf 18", "227×277"): np.array([33e3, 36e3, 38e3]),
    ("H.264 crf 23", "227×277"): np.array([20e3, 21e3, 23e3]),
    ("raw", "227×277"): np.array([3018e3, 3018e3, 3018e3]),
    ("JPEG q90", "200×200"): np.array([175e3, 184e3, 193e3]),
    ("H.264 crf 18", "200×200"): np.array([24e3, 25e3, 27e3]),
    ("H.264 crf 23", "200×200"): np.array([14e3, 15e3, 16e3]),
    ("raw", "200×200"): np.array([1920e3, 1920e3, 1920e3]),
}
STORED_AS = "JPEG q90", "200×200"  # what ingest makes by default
LIMITS = (15, 30, 60, 120, 240, *QUANTILES.values(), math.inf)  # s
FEW = 5e12  # bytes; assumed: "a few TB" are up to five
UNITS: dict[str, dict[str, float]] = {
    "B": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
    "s": {"s": 1, "min": 60, "h": 3600},
    "h": {"h": 1, "days": 24},
}


def describe_videos(folder: Path, videos: pd.DataFrame, clips: dict[str, int]) -> pd.DataFrame:
    """`duration` (s), `pixels`, `clips` (how many fit into it) and `labels` of each video, in the
    order of the catalog; nan where they are unknown.

    Durations and sizes that the catalog lacks are those that ingest measured (`add_measured`).
    attrs: `source` is a sentence with the counts of both, `classes` the number of classes.
    """
    videos, source = add_measured(videos, folder)
    seconds, width, height = (numbers(videos, name) for name in ("duration", "width", "height"))
    # as many as `reader.starts` finds places for
    places = np.floor((seconds - decoders.TICK - 0.5) * 30) + 1
    own = pd.DataFrame({"duration": seconds, "pixels": width * height})
    own["clips"] = np.fmin(np.maximum(places, 0), videos["split"].map(clips).to_numpy(float))
    own["labels"] = videos["labels"].array
    own.attrs = {"source": source, "classes": len(videos.attrs["classes"])}
    return own


def clips_per_video(folder: Path, clips: int = 0) -> dict[str, int]:
    """Clips a video by split: `clips`, or for 0 the setting of the dataset."""
    if clips:
        return dict.fromkeys(SPLITS, clips)
    if (Path(folder) / "clips" / "index.parquet").is_file():
        return shards.describe(Path(folder) / "clips")["settings"]["clips"]
    defaults = prepare.DEFAULTS["clips"]
    return {**defaults, **datasets.own_settings(folder).get("clips", {})}


def limits(own: pd.DataFrame, longest: float = 0.0) -> list[float]:
    """The longest durations (s) to compare: `LIMITS`, or quantiles of the set where most of its
    videos are shorter than all of these; and `longest`, unless it is 0."""
    seconds, found = own["duration"].dropna(), list(LIMITS)
    if len(seconds) and seconds.median() < LIMITS[0]:
        found = [*seconds.quantile([0.1, 0.25, 0.5, 0.75, 0.9, 0.95]).round(1), math.inf]
    return sorted({*found, *([longest] if longest else [])})


def slider_limits(own: pd.DataFrame, steps: int = 120) -> list[float]:
    """Limits (s) of a slider: even on a log axis over the set's durations, each of three digits;
    the last one is infinite."""
    seconds = own["duration"].dropna()
    if not len(seconds):
        return [math.inf]
    low, high = (max(0.1, seconds.quantile(share)) for share in (0.001, 0.999))
    return sorted({float(f"{limit:.3g}") for limit in np.geomspace(low, high, steps)}) + [math.inf]


def remaining(own: pd.DataFrame, limits: Sequence[float]) -> pd.DataFrame:
    """What is left of `describe_videos` when videos longer than a limit (s, ascending) are dropped:
    a row a limit.

    Columns: `videos`, their `share` of all whose duration is known, `thin` (classes with fewer than
    `thin_below` videos), `hours`, `clips`, and `low`, `mid`, `high`: bytes of the originals at
    their own size. A video of unknown duration is in no row. Where no duration is known, all
    numbers are nan, but for a limit of inf: it keeps all videos, with hours and bytes nan.
    """
    seconds, known = own["duration"], own["duration"].notna().any()
    # the first limit that keeps a video; for nan one past the last
    place = np.searchsorted(limits, seconds if known else seconds.fillna(math.inf))

    def total(values: np.ndarray | pd.Series) -> np.ndarray:
        return np.bincount(place, values, len(limits) + 1)[:-1].cumsum()

    videos, rates = total(np.ones(len(own))), bytes_per_second(own["pixels"].to_numpy())
    table = {"videos": videos.astype(int)}
    table["share"] = videos / max(1, seconds.notna().sum() if known else len(own))
    rows = members(own)
    each = pd.crosstab(rows["label"], place[rows["video"]])  # classes × limits
    each = each.reindex(range(own.attrs["classes"]), columns=range(len(limits)), fill_value=0)
    table["thin"] = (each.cumsum(axis=1) < thin_below(own)).sum().to_numpy()
    table |= {"hours": total(seconds / 3600), "clips": total(own["clips"])}
    table |= {name: total(seconds * rates[:, n]) for n, name in enumerate(("low", "mid", "high"))}
    table = pd.DataFrame(table, index=pd.Index(limits, name="longest"))
    return table if known else table[np.isinf(table.index)].reindex(table.index)


def thin_below(own: pd.DataFrame) -> int:
    """A class is thin with fewer videos than this: 100, or half of the median class if that is
    less."""
    videos = np.bincount(members(own)["label"], minlength=own.attrs["classes"])
    return int(min(100, math.ceil(np.median(videos) / 2)))


def bytes_per_second(pixels: float | np.ndarray) -> np.ndarray:
    """Bytes of a second of an original of `pixels` (width × height; any shape): …×3.

    bytes = STORED · (pixels / ANCHOR) ** EXPONENT; for unknown pixels (nan) STORED.
    """
    ratio = np.asarray(pixels, float)[..., None] / ANCHOR
    power = np.where(ratio > 1, EXPONENT, EXPONENT[::-1])  # below the anchor low and high swap
    return STORED * np.where(np.isnan(ratio), 1.0, ratio**power)


def bytes_per_clip(coding: str, size: str) -> np.ndarray:
    """Bytes of a clip in a shard: 3. The tar adds a header and on average half a block to each of
    its files (16 in JPEG, else one), and a header and a block for its JSON."""
    files = 16 if coding.startswith("JPEG") else 1
    return CLIP_BYTES[coding, size] + shards.BLOCK * (1.5 * files + 2)


def readings(seconds: np.ndarray, clips: np.ndarray) -> dict[str, np.ndarray]:
    """Bytes (…×3) of `seconds` of originals at each of `RESOLUTIONS`, and of `clips` (a number) in
    each coding and size; both …×1 or …×3."""
    found = {f"originals, {name}": seconds * bytes_per_second(n) for name, n in RESOLUTIONS.items()}
    return found | {f"segments, {', '.join(k)}": clips * bytes_per_clip(*k) for k in CLIP_BYTES}


def stored_bytes(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Bytes (rows × 3) of each row of `remaining`: as originals at their own size, and in all
    `readings`."""
    seconds, clips = (table[name].to_numpy()[:, None] for name in ("hours", "clips"))
    own = {"originals, own size": table[["low", "mid", "high"]].to_numpy()}
    return own | readings(3600 * seconds, clips)


def format_range(sizes: np.ndarray, unit: str = "B") -> str:
    """`[11e12, 16e12, 22e12]` is "16 (11–22) TB": two digits, as no more are certain; nan is
    "–"."""
    if np.isnan(sizes[1]):
        return "–"
    units = UNITS.get(unit, {unit: 1})
    name = [name for name, scale in units.items() if sizes[1] >= scale or scale == 1][-1]
    low, mid, high = (two_digits(size / units[name]) for size in sizes)
    return f"{mid}{f' ({low}–{high})' if low != high else ''} {name}"


def two_digits(value: float) -> str:
    """1234 is "1,200", 0.0567 is "0.057", nan is "–"."""
    if not value or math.isnan(value):
        return "–" if value else "0"
    value = float(f"{value:.2g}")
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(0, digits)}f}"


def in_words(table: pd.DataFrame, limit: float) -> str:
    """The row of `remaining` at a limit (s), in a line."""
    row, at_most = table.loc[limit], f"up to {limit:,.4g} s" if limit < math.inf else "all"
    if math.isnan(row["videos"]):
        return f"{at_most}: how many videos those are is not known"
    if math.isnan(row["hours"]):
        return f"{at_most}: {row['videos']:,.0f} videos; their durations are not known"
    originals = format_range(row[["low", "mid", "high"]].to_numpy())
    return (
        f"{at_most}: {row['videos']:,.0f} videos ({row['share']:.1%}), {two_digits(row['hours'])} h"
        f", {originals} of originals, {row['thin']:.0f} thin classes"
    )


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    """`remaining` and `stored_bytes` as text: a column a limit, uncertain numbers with a range."""
    text = pd.DataFrame(
        {
            "videos": table["videos"].map("{:,.0f}".format),
            "share": table["share"].map("{:.1%}".format),
            "thin classes": table["thin"].map("{:.0f}".format),
            "hours": table["hours"].map(two_digits),
            "segments": table["clips"].map("{:,.0f}".format),
        }
    ).replace(["nan", "nan%"], "–")
    text = text.assign(**{k: list(map(format_range, v)) for k, v in stored_bytes(table).items()})
    return text.rename(lambda s: "all" if math.isinf(s) else f"≤ {s:,.6g} s").rename_axis(None).T


def sports1m_seconds(share: float) -> np.ndarray:
    """Seconds of the shortest `share` (up to 0.95) of Sports-1M: low, mid, high.

    Between the published quantiles, log(s) is interpolated against the quantiles of a normal
    distribution. Below the first it is a normal distribution of each of the `WIDTHS`.
    """
    from scipy.special import ndtri  # quantiles of a normal distribution

    part = (np.arange(20_000) + 0.5) / 20_000
    z, at = ndtri(part[part <= share]), ndtri(list(QUANTILES))
    log = np.log(list(QUANTILES.values()))
    below = log[0] + WIDTHS[:, None] * (z - at[0])
    seconds = np.exp(np.where(z < at[0], below, np.interp(z, at, log)))
    return VIDEOS / len(part) * seconds.sum(axis=1)


def on_disk(folder: Path, videos: pd.DataFrame, own: pd.DataFrame, most: int = 1000) -> str:
    """A sentence: the bytes of up to `most` originals on this disk, measured and by the model; ""
    where there are none."""
    files = videos["path"].dropna().iloc[:: max(1, len(videos) // most)]
    files = {row: file for row, name in files.items() if (file := Path(folder, name)).is_file()}
    mine = own.loc[list(files)].dropna(subset=["duration"])
    if not len(mine):
        return ""
    size = np.full(3, sum(files[row].stat().st_size for row in mine.index))
    rates = bytes_per_second(mine["pixels"].to_numpy())
    model = format_range((rates * mine["duration"].to_numpy()[:, None]).sum(axis=0))
    return f"{len(mine):,} originals on this disk: {format_range(size)}, by the model {model}"


def claim(seconds: np.ndarray, clips: float) -> pd.DataFrame:
    """The project page's "a large portion (90 %+) can thus add up to at most a few TB": a row for
    each way to read it, for a portion of `seconds` (low, mid, high) and `clips`.

    Columns: `low`, `mid`, `high` (bytes) and `verdict`: true where the high end is at most a few
    TB, false where the low end is more, else open.
    """
    found = {"originals, as stored": seconds * STORED} | readings(seconds, np.array([clips]))
    table = pd.DataFrame.from_dict(found, "index", columns=["low", "mid", "high"])
    verdicts = np.select([table["high"] <= FEW, table["low"] > FEW], ["true", "false"], "open")
    return table.assign(verdict=verdicts)


WORKERS = (1, 2, 8, 64, 512)


class Rates(NamedTuple):
    """The time of ingest on this machine; each low, mid, high of the repeats."""

    video: np.ndarray  # s of one core to open a video
    clip: np.ndarray  # s of one core to sample and store a segment


def calibrate(seconds: int = 60, repeats: int = 5, clips: int = 8) -> Rates:
    """Measure ingest: encode a YouTube-like film (640×360 H.264, a key frame every 5 s), sample
    `clips` segments of 200×200 from it and store them, `repeats` times at other places.

    Returns the median and the range. Seconds are processor time, so that other work on the machine
    counts little. A film of five minutes takes longer to open than one of 60 s: all its packets are
    read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        writer.encode(path, _film(25 * seconds), fps=25, crf=22, gop=125)
        found = [_cut(path, clips, str(repeat)) for repeat in range(repeats + 1)]
    return Rates(*np.quantile(found[1:], [0, 0.5, 1], axis=0).T)  # the first time, code is loaded


def _cut(path: Path, clips: int, key: str) -> tuple[float, float]:
    """Seconds of processor time to open a video, and to sample and store each of its segments."""
    start = time.process_time()
    info = reader.probe(path)
    list(reader.segments(path, [], info=info))  # opens it
    opened = time.process_time()
    starts = reader.starts(info.duration, clips, key)
    frames = reader.segments(path, starts, size=(200, 200), info=info)
    made = (shards.Clip("film", "film", n, 0.0, [0], clip) for n, clip in enumerate(frames))
    with tempfile.TemporaryDirectory() as folder:
        shards.write(Path(folder) / "train-00000.tar", made)
    # opens it again: little in so many
    return opened - start, (time.process_time() - opened) / max(1, len(starts))


def _film(frames: int) -> Iterator[np.ndarray]:
    """A camera that moves over texture of all scales (amplitudes as 1/frequency, as in nature),
    with noise: uint8 360×640×3 a frame."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(720)[:, None], np.fft.rfftfreq(1280))
    world = np.fft.rfft2(rng.normal(size=(3, 720, 1280))) / (frequency + 1 / 1280)
    world = np.fft.irfft2(world).transpose(1, 2, 0)
    world = 128 + 20 * world / world.std()
    noise = rng.normal(0, 2, (368, 648, 3))
    for t in range(frames):
        top, left = round(180 + 170 * math.sin(t / 90)), round(320 + 310 * math.sin(t / 70))
        grain = noise[t % 8 :][:360, 3 * t % 8 :][:, :640]
        yield (world[top : top + 360, left : left + 640] + grain).clip(0, 255).astype(np.uint8)


def price(videos: float, clips: float, rates: Rates) -> dict[str, np.ndarray]:
    """The price of `clips` segments (in all) from `videos`, stored as ingest does: core-hours,
    seconds for each number of `WORKERS`, and bytes; each low, mid, high.

    Seconds are those of one core divided by the workers, without waiting for a disk, a network or
    another worker.
    """
    work = videos * rates.video + clips * rates.clip
    price = {"core-hours": work / 3600}
    price |= {f"{n} worker{'s' * (n > 1)}": work / n for n in WORKERS}
    return price | {"bytes": clips * bytes_per_clip(*STORED_AS)}


# ------------------------------------------------------------------------- the whole of Sports-1M

# §3.3: 50 million example frames, each network saw 500 million; §4: 20 segments a test video
EXAMPLES, SEGMENTS = 500e6, {"train": 63, "val": 4, "test": 20}
TEST_PASSES = 20 * 4 / 3  # of a test video; a pass costs a third of a step, which also goes back
MEAN_SECONDS = 336  # of a video, as published
# Measured: a training step at the paper's size in bf16 with batches of 256 on one NVIDIA H200:
# clips/s, and GFLOP a clip; benchmarks/train_step_gpu_all.json. At commit fd40415, before conv1 was
# computed in blocks and crops of a batch were gathered.
STEPS = {
    "single": (7661, 7.16),
    "single-multires": (12388, 4.20),
    "single-fovea": (22556, 2.16),
    "single-context": (20395, 2.16),
    "early": (5874, 10.81),
    "late": (3891, 14.20),
    "slow": (3675, 22.36),
}
ON_GPU = {name: np.full(3, speed) for name, (speed, _) in STEPS.items()}
# Assumed: the share of its speed that each of several GPUs or machines keeps, and watts
SCALING = np.array([0.7, 0.9, 1.0])
WATTS = {"gpu": np.array([400, 600, 700]), "core": np.array([3, 6, 10])}


class Machine(NamedTuple):
    """What the work runs on."""

    cores: int
    gpus: int
    bandwidth: float  # Gbit/s, to where the videos come from
    price: float  # of an hour of a GPU, or of a core where there is no GPU


class Speeds(NamedTuple):
    """How fast one part of a machine is; arrays are low, mid, high."""

    clips: dict[str, np.ndarray]  # clips/s in training, of one GPU or of one core
    frame: np.ndarray  # s of one core to read and decode a stored frame
    ingest: Rates


def measure(gpus: int) -> Speeds:
    """Measure ingest and reading on one core; training on one core, or with `gpus` on one GPU.

    `single` and `slow` train at the paper's size. The other networks follow from their
    multiplications, with the range of these two. Without a GPU here, `gpus` are H200 (`STEPS`).
    """
    clips, device, batch, parts = ON_GPU, "cuda", 256, 1
    if not gpus:
        device, batch, parts = "cpu", 8, system.cores()
    if not gpus or torch.cuda.is_available():
        precision, two = "bf16" if system.has_bf16(device) else "fp32", ("single", "slow")
        found = {
            name: train.measure_speed(models.build(name).to(device), batch, precision)
            for name in two
        }
        flops = sorted(speed * STEPS[name][1] for name, speed in found.items())
        rates = np.array([flops[0], sum(flops) / 2, flops[1]]) / parts
        clips = {name: rates / flop for name, (_, flop) in STEPS.items()}
        clips |= {name: np.full(3, speed / parts) for name, speed in found.items()}
    return Speeds(clips, measure_reading(), calibrate())


def measure_reading(repeats: int = 5) -> np.ndarray:
    """Seconds of one core to read and decode a stored frame of 200×200: low, mid, high."""
    clip, out = np.stack([frame[:200, :200] for frame in _film(16)]), np.empty((200, 200, 3), "u1")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        made = [shards.Clip("film", "film", n, 0.0, [0], clip) for n in range(10)]
        index = shards.write(Path(folder) / "train-00000.tar", made)
        sizes = np.array(index["sizes"].to_pylist())
        firsts = shards.firsts(index["offset"].to_numpy()[:, None], sizes)
        for _ in range(repeats):
            start = time.process_time()
            for row in zip(firsts, sizes, strict=True):
                for data in Store(folder).read_parts("train-00000.tar", *row):
                    shards.decode(data, out)
            found.append((time.process_time() - start) / sizes.size)
    return np.quantile(found, [0, 0.5, 1])


def plan_training(machine: Machine, speeds: Speeds, videos: float = VIDEOS) -> pd.DataFrame:
    """What each network of Table 1 takes, training and test: a row a network.

    Columns, each low, mid, high: `compute` and `reading` (clips/s of all GPUs, and that all cores
    can read), `hours`, `energy` (kWh), `price`. `limit` names the slower of the two. Without GPUs
    the cores do both in turn. Examples are in proportion to the `videos`, and lie on local disks.
    """
    gpus, rows = machine.gpus, {}
    scaling = SCALING if gpus > 1 or (not gpus and machine.cores > system.cores()) else 1
    clips = EXAMPLES * videos / VIDEOS + SHARES["test"] * videos * TEST_PASSES
    watts = gpus * WATTS["gpu"] + machine.cores * WATTS["core"]
    for name, speed in speeds.clips.items():
        frames = len(FUSIONS[split_name(name)[0]].frames)
        reading = machine.cores / (frames * speeds.frame[::-1])
        compute = speed * (gpus or machine.cores) * scaling
        both = np.minimum(compute, reading) if gpus else 1 / (1 / compute + 1 / reading)
        hours = clips / both[::-1] / 3600
        rows[name] = {
            "compute": compute,
            "reading": reading,
            "hours": hours,
            "energy": hours * watts / 1000,
            "price": hours * machine.price * (gpus or machine.cores),
            "limit": "computing" if compute[1] < reading[1] else "reading",
        }
    return pd.DataFrame.from_dict(rows, "index")


def plan(machine: Machine, speeds: Speeds, videos: float = VIDEOS) -> dict[str, np.ndarray]:
    """Hours (low, mid, high) of each stage: the download of the originals, their ingest, and the
    training and test of all networks of Table 1, one after the other."""
    work, sizes = price(videos, _segments(videos), speeds.ingest), plan_storage(videos)
    return {
        "download": 8 * sizes["originals"] / (machine.bandwidth * 1e9) / 3600,
        "ingest": work["core-hours"] / machine.cores,
        "training": plan_training(machine, speeds, videos)["hours"].sum(),
    }


def plan_storage(videos: float = VIDEOS) -> dict[str, np.ndarray]:
    """Bytes (low, mid, high) of the originals, and of the segments that `plan` cuts from them."""
    return {
        "originals": videos * MEAN_SECONDS * STORED,
        "segments": _segments(videos) * bytes_per_clip(*STORED_AS),
    }


def _segments(videos: float) -> float:
    """How many segments `plan` cuts from so many videos."""
    return videos * sum(share * SEGMENTS[split] for split, share in SHARES.items())


def paper_time(name: str, videos: float = VIDEOS) -> str:
    """The time that the paper's replicas need for the examples of one network, in words."""
    if name not in paper.CLIPS_PER_SECOND:
        return "–"
    hours = EXAMPLES * videos / VIDEOS / paper.CLIPS_PER_SECOND[name] / 3600
    few, many = paper.REPLICAS
    return format_range(hours / np.array([many, (few + many) / 2, few]), "h")


def describe_limit(hours: pd.DataFrame) -> str:
    """Which stage of `grow` takes longest as GPUs are added, and from how many on they wait."""
    longest = hours[["download", "ingest", "training"]].idxmax(axis=1)
    first, last = longest.iloc[0], longest.iloc[-1]
    text = f"{first} takes longest".capitalize()
    if first != last:
        text += f" up to {longest.index[longest == first][-1]} GPUs, then {last}"
    waits = hours.index[hours["training"] > 1.5 * hours["computing"]]
    return text + (f"; from {waits[0]} on GPUs wait for reading" if len(waits) else "")


def grow(machine: Machine, speeds: Speeds, gpus: Sequence[int], videos: float = VIDEOS):
    """Hours of each stage of `plan`: a row a number of GPUs.

    The column `computing` is training without any time for reading.
    """
    rows = {}
    speeds = speeds if machine.gpus else speeds._replace(clips=ON_GPU)
    endless = speeds._replace(frame=speeds.frame * 1e-9)
    for n in gpus:
        there = machine._replace(gpus=n)
        hours = {stage: own[1] for stage, own in plan(there, speeds, videos).items()}
        rows[n] = hours | {"computing": plan_training(there, endless, videos)["hours"].sum()[1]}
    return pd.DataFrame.from_dict(rows, "index").rename_axis("gpus")


def check_ingest(folder: Path) -> dict[str, dict[str, float]]:
    """Seconds of one core for the ingest of videos of a dataset that are on this disk.

    `predicted` is the `price` by the rates of every fifth of up to 25 videos, `measured` that of
    the others; both by a name. {} where there are fewer than ten videos.
    """
    clips, most, videos = 8, 25, load_catalog(folder)
    sources = locate.find(videos.iloc[:: max(1, len(videos) // most)], folder)
    files = [Path(own.where) for own in sources if own and own.kind == "file"]
    if len(files) < 10:
        return {}
    places = [len(reader.starts(reader.probe(path).duration, clips, path.name)) for path in files]
    found = np.array([_cut(path, clips, path.name) for path in files])  # opened, each
    few = np.arange(len(files)) % 5 == 0
    rates = Rates(*np.median(found[few], axis=0)[:, None].repeat(3, axis=1))
    others = np.array(places)[~few]
    return {
        f"ingest of {len(others)} videos": {
            "predicted": price(len(others), others.sum(), rates)["1 worker"][1],
            "measured": (found[~few, 0] + others * found[~few, 1]).sum(),
        }
    }


def check_trainings(found: Sequence[runs.Run], frame: np.ndarray) -> dict[str, dict[str, float]]:
    """Seconds of up to three finished trainings on a device like this machine's, by name:
    `predicted` from a few steps now, and `measured`.

    Their clips are taken to be read once, in the first epoch, and then held.
    """
    device, rows = distributed.alone().device, {}
    here = [r for r in found if r.config["machine"]["device"] == distributed.device_name(device)]
    for run in here[:3]:
        net, results = runs.load_network(run).to(device), run.results
        table, batch = run.metrics, run.config["settings"]["batch_size"]
        epochs = (table, table.query("epoch == 0"))
        clips, different = (batch * steps["step"].max() for steps in epochs)
        reading = len(net.frames) * frame[1] / results["threads"]
        step = 1 / train.measure_speed(net, batch, results["precision"])
        predicted = float(clips * step + different * reading)
        rows[run.name] = {"predicted": predicted, "measured": results["seconds"]}
    return rows
