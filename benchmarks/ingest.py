"""Films like YouTube's, ways to get clips from them, and whether memory grows with their number.

    python benchmarks/ingest.py                    # memory over 2,000 small files; some minutes
    python benchmarks/ingest.py --videos my_videos --json out.json

The films are 640×360 H.264 at 30 frames a second, with a key frame every 5 s. `bench.py` times with
them: `bare` decodes what ingest stores and keeps nothing, `prepared` ingests, `ON_THE_FLY` opens a
film for every clip. Memory is this process's resident set while small files (`--files`) are
ingested, a hundred at a time. Packages that a machine for training may lack are imported late.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from s1m_lab.common import system
from s1m_lab.training import runs

SIDE = 200  # of stored frames
GRAIN = 4  # standard deviation, of 255


def film(path: Path, seconds: float, seed: int) -> None:
    """A camera that pans over a textured world with players in it, and cuts; grain as of a camera.

    The grain is chosen so that a second takes what a second of Sports-1M's films takes as stored,
    about 85 kB (40 class totals, d3vyatk4ru/sports-1m): the cost of decoding follows the bits.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    grain = (rng.normal(size=(7, 360, 640, 1)) * GRAIN).astype(np.int16)
    size, frames = 34, round(seconds * 30)

    def images():
        for k in range(frames):
            t = k % 240
            if t == 0:  # a cut every 8 s
                world = np.zeros((720, 1280, 3), np.float32)
                for octave in range(2, 10):
                    cells = rng.normal(size=(3, 2**octave, 2**octave)).astype(np.float32)
                    planes = [Image.fromarray(c).resize((1280, 720), Image.BICUBIC) for c in cells]
                    world += np.stack([np.asarray(p) for p in planes], -1) * 60 / octave**1.5
                world = (128 + world).clip(0, 255).astype(np.int16)
                start, pan = rng.uniform((150, 280), (210, 360)), rng.uniform(-0.6, 0.6, 2)
                at, pace = rng.uniform((0, 0), (320, 600), (10, 2)), rng.uniform(-2, 2, (10, 2))
                looks = rng.integers(0, 255, (10, size, size, 3)).astype(np.int16)
            top, left = np.rint(start + pan * t).astype(int)
            image = world[top : top + 360, left : left + 640].copy()
            for (y, x), look in zip((at + pace * t).astype(int) % (320, 600), looks, strict=True):
                image[y : y + size, x : x + size] = look[: 360 - y, : 640 - x]
            yield (image + grain[k % 7]).clip(0, 255).astype(np.uint8)

    from s1m_lab.video import writer

    writer.encode(path, images(), fps=30, crf=23, gop=150)


def looped(source: Path, out: Path, seconds: float, sound: bool = False) -> Path:
    """The pictures of `source` over and over for so many seconds, with noise as their `sound`."""
    import av

    rng = np.random.default_rng(0)
    out.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as film, av.open(str(out), "w") as made:
        stream = made.add_stream_from_template(film.streams.video[0])
        voice = made.add_stream("aac", rate=48_000, layout="mono") if sound else None
        packets = [packet for packet in film.demux(video=0) if packet.size]
        about = [(p.pts, p.dts, p.time_base) for p in packets]
        length = len(packets) / 30
        for turn in range(max(1, round(seconds / length))):
            for packet, (pts, dts, base) in zip(packets, about, strict=True):
                shift = round(turn * length / base)
                packet.pts, packet.dts, packet.time_base = pts + shift, dts + shift, base
                packet.stream = stream
                made.mux(packet)
            wave = rng.normal(size=(1, round(length * 48_000))).astype(np.float32) / 20
            for first in range(0, wave.shape[1] if voice else 0, 1024):
                part = av.AudioFrame.from_ndarray(wave[:, first : first + 1024], "fltp", "mono")
                part.sample_rate, part.pts = 48_000, turn * wave.shape[1] + first
                made.mux(voice.encode(part))
        if voice:
            made.mux(voice.encode(None))
    return out


def segments_of(films: Sequence[Path], clips: int) -> list[tuple[Path, list[int]]]:
    """Each film with the first frame of every clip, spread over it as ingest spreads them."""
    from s1m_lab.video import reader

    found = []
    for path in films:
        starts = reader.starts(reader.probe(path).duration, clips, f"0\n{path.stem}")
        found.append((path, [round(start * 30) for start in starts]))
    return found


def bare(films: list[tuple[Path, list[int]]]) -> float:
    """Seconds of decoding 16 frames from each first frame, by decord, on one thread."""
    import decord

    start = time.perf_counter()
    for path, firsts in films:
        reader = decord.VideoReader(str(path), num_threads=1)
        for first in firsts:
            reader.get_batch(range(first, first + 16)).asnumpy()
    return time.perf_counter() - start


def prepared(source: Path, home: Path, clips: int, workers: int = 1) -> float:
    """Seconds of ingesting a folder of films into the dataset of a new home."""
    from s1m_lab.data.ingest import prepare

    shutil.rmtree(home, ignore_errors=True)
    before = os.environ.get("S1M_HOME")
    os.environ["S1M_HOME"] = str(home)
    start = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            prepare.prepare(source, clips=clips, size=SIDE, workers=workers)
    finally:
        os.environ.pop("S1M_HOME")
        os.environ |= {"S1M_HOME": before} if before else {}
    return time.perf_counter() - start


def _decord(path: Path, first: int, frames: Sequence[int]) -> np.ndarray:
    import decord

    reader = decord.VideoReader(str(path), num_threads=1)
    return _small(reader.get_batch([first + t for t in frames]).asnumpy())


def _av(path: Path, first: int, frames: Sequence[int]) -> np.ndarray:
    import av

    images = []
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        stream.thread_count = 1
        film.seek(round(first / 30 / stream.time_base) + stream.start_time, stream=stream)
        for frame in film.decode(stream):
            number = round(float((frame.pts - stream.start_time) * stream.time_base) * 30)
            if number - first in frames:
                images.append(frame.to_ndarray(format="rgb24", threads=1))
            if number >= first + frames[-1]:
                return _small(images)
    raise EOFError(f"{path} ends before frame {first + frames[-1]}")


def _small(images: Sequence[np.ndarray]) -> np.ndarray:
    from s1m_lab.video import reader

    return np.stack([reader.fit(image, SIDE, SIDE) for image in images])


# A clip (uint8 T×200×200×3) from a film opened for it alone: of path, first frame, frames.
ON_THE_FLY = {"decord": _decord, "PyAV": _av}


def resident() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(files: list[Path], folder: Path, total: int) -> list[float]:
    """MB after each tenth of `total` files, repeated as often as needed, in one worker's loop."""
    from s1m_lab.data.ingest import prepare, worker
    from s1m_lab.data.locate import Source

    found = []
    jobs, size = [], max(1, total // 20)
    settings = {**prepare.DEFAULTS, "data_seed": 0, "version": prepare.VERSION, "height": 112}
    settings["width"] = 112
    for n in range(total // size):
        videos = []
        for k in range(n * size, (n + 1) * size):
            path = files[k % len(files)]
            about = path.stat()
            source = Source("file", str(path), [about.st_size, about.st_mtime_ns])
            videos.append(worker.Video(f"{k:016x}", f"video {k}", [0], None, source))
        name = f"train-{n:05d}"
        jobs.append(worker.ShardJob(str(folder), name, "train", 4, settings, videos, f"{n}", "0"))
    for n, job in enumerate(jobs):
        _, stem, _ = worker.cut_shard(job)
        if n % max(1, len(jobs) // 20) == 0:
            found.append(round(resident(), 1))
        (folder / f"{stem}.tar").unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", help="a folder of small real videos")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--json")
    asked = parser.parse_args()
    from s1m_lab.video import reader

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if asked.videos:
            files = sorted(
                p for p in Path(asked.videos).rglob("*")
                if p.suffix.lower() in reader.SUFFIXES and p.stat().st_size < 1_000_000
            )  # fmt: skip
        else:
            files = [root / "film.mp4"]
            film(files[0], 20.0, seed=99)
        grown = memory(files, root / "memory", asked.files)
    print(f"resident MB while {asked.files:,} files are read: {grown}")
    if asked.json:
        about = {
            "date": date.today().isoformat(),
            "machine": system.machine(),
            "commit": runs.commit(),
            "resident_mb": grown,
        }
        Path(asked.json).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
