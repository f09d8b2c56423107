"""What ingest takes: a film made, cut and timed on this machine, and the price of a job by that.

    rates = timing.calibrate()
    timing.price(videos=1160, clips=6960, rates=rates)     # core-hours, seconds, bytes

As in `costs`, a figure that is not certain is an array whose last axis is low, mid, high.
"""

import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s1m_lab import costs, shards, video

WORKERS = (1, 2, 8, 64, 512)


class Rates(NamedTuple):
    """What ingest takes on this machine; each low, mid, high of the repeats."""

    video: np.ndarray  # s of one core to open a video
    clip: np.ndarray  # s of one core to sample and store a segment


def calibrate(seconds: int = 60, repeats: int = 5, clips: int = 8) -> Rates:
    """Make a YouTube-like film (640×360 H.264, a key frame every 5 s) and take `clips` segments of
    200×200 out of it, as ingest does: median and range of the `repeats`, each of other segments.

    Seconds are those of the processor, so that other work on the machine counts little. To open a
    film of five minutes takes longer than one of 60 s, since all its packets are looked at.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path, shard = Path(folder) / "film.mp4", Path(folder) / "train-00000.tar"
        video.encode(path, _film(25 * seconds), fps=25, crf=22, gop=125)
        for repeat in range(repeats + 1):
            start = time.process_time()
            info = video.probe(path)
            list(video.segments(path, [], info=info))  # opens it
            opened = time.process_time()
            starts = video.starts(info.duration, clips, str(repeat))
            frames = video.segments(path, starts, size=(200, 200), info=info)
            made = (shards.Clip("film", "film", n, 0.0, [0], clip) for n, clip in enumerate(frames))
            shards.write(shard, made)
            each = (time.process_time() - opened) / clips  # opens it again: little in so many
            found.append((opened - start, each))
    return Rates(*np.quantile(found[1:], [0, 0.5, 1], axis=0).T)  # the first time, code is loaded


def _film(frames: int) -> Iterator[np.ndarray]:
    """A camera that wanders over texture of all scales, with noise; uint8 360×640×3."""
    from PIL import Image

    rng, world = np.random.default_rng(0), np.zeros((720, 1280, 3), np.float32)
    for octave in range(2, 9):
        cells = rng.normal(128, 40 / octave, (9 << octave - 2, 16 << octave - 2, 3)).clip(0, 255)
        layer = Image.fromarray(cells.astype(np.uint8)).resize((1280, 720), Image.BICUBIC)
        world += np.asarray(layer, np.float32) - 128
    world = (128 + world).astype(np.int16)
    noise = rng.normal(0, 2, (368, 648, 3)).round().astype(np.int16)
    for t in range(frames):
        top, left = round(180 + 170 * math.sin(t / 90)), round(320 + 310 * math.sin(t / 70))
        grain = noise[t % 8 :][:360, 3 * t % 8 :][:, :640]
        yield (world[top : top + 360, left : left + 640] + grain).clip(0, 255).astype(np.uint8)


def price(videos: float, clips: float, rates: Rates) -> dict[str, np.ndarray]:
    """The price of `clips` segments (all together) out of `videos`, stored as ingest does:
    core-hours, the seconds that each number of `WORKERS` takes, and bytes, each low, mid, high.

    Those are the seconds of one core over workers: nobody waits for a disk, a network or another
    worker.
    """
    work = videos * rates.video + clips * rates.clip
    price = {"core-hours": work / 3600}
    price |= {f"{n} worker{'s' * (n > 1)}": work / n for n in WORKERS}
    return price | {"bytes": clips * costs.a_clip(*costs.STORED_AS)}
