"""The size of a set of videos, as originals and as clips, and the time that ingest takes.

    own = costs.describe_videos(folder, videos, clips)     # duration, pixels, clips of each video
    table = costs.remaining(own, limits)                   # what is left at each longest duration
    costs.stored_bytes(table)                              # bytes, as originals and as clips
    costs.price(videos=1160, clips=6960, rates=costs.calibrate())     # core-hours, seconds, bytes

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

from s1m_lab.analysis.catalog import add_measured, members, numbers
from s1m_lab.data import datasets, shards
from s1m_lab.data.ingest import prepare
from s1m_lab.data.splits import SPLITS
from s1m_lab.data.sports1m import QUANTILES, VIDEOS
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
# The relative error of a class's bytes when predicted from the other 19 classes: the median, and
# what 90 % of the classes stay below.
ERRORS = {"seconds": (0.06, 0.23), "videos": (0.38, 0.87)}
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


def readings(seconds: np.ndarray, clips: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Bytes (…×3) of `seconds` of originals at each of `RESOLUTIONS`, and of `clips` (a number) in
    each coding and size; both …×1 or …×3."""
    found = {("originals", name): seconds * bytes_per_second(n) for name, n in RESOLUTIONS.items()}
    return found | {(f"segments, {k[0]}", k[1]): clips * bytes_per_clip(*k) for k in CLIP_BYTES}


def stored_bytes(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Bytes (rows × 3) of each row of `remaining`: as originals at their own size, and in all
    `readings`."""
    seconds, clips = (table[name].to_numpy()[:, None] for name in ("hours", "clips"))
    found = {("originals", "own size"): table[["low", "mid", "high"]].to_numpy()}
    found |= readings(3600 * seconds, clips)
    return {", ".join(name): sizes for name, sizes in found.items()}


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

    Columns: `reading`, `size`, `low`, `mid`, `high` (bytes) and `verdict`: true where the high end
    is at most a few TB, false where the low end is more, else open.
    """
    stored = readings(seconds, np.array([clips]))
    found = {("originals", "as stored"): seconds * STORED} | stored
    rows = [(*name, *sizes) for name, sizes in found.items()]
    table = pd.DataFrame(rows, columns=["reading", "size", "low", "mid", "high"])
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
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path, shard = Path(folder) / "film.mp4", Path(folder) / "train-00000.tar"
        writer.encode(path, _film(25 * seconds), fps=25, crf=22, gop=125)
        for repeat in range(repeats + 1):
            start = time.process_time()
            info = reader.probe(path)
            list(reader.segments(path, [], info=info))  # opens it
            opened = time.process_time()
            starts = reader.starts(info.duration, clips, str(repeat))
            frames = reader.segments(path, starts, size=(200, 200), info=info)
            made = (shards.Clip("film", "film", n, 0.0, [0], clip) for n, clip in enumerate(frames))
            shards.write(shard, made)
            each = (time.process_time() - opened) / clips  # opens it again: little in so many
            found.append((opened - start, each))
    return Rates(*np.quantile(found[1:], [0, 0.5, 1], axis=0).T)  # the first time, code is loaded


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
