"""What ingest costs beside bare decoding, what reading clips back gains, and whether memory grows.

    python benchmarks/ingest.py                    # makes its own films; about ten minutes
    python benchmarks/ingest.py --videos my_videos --json out.json

The films are like YouTube's: 640×360 H.264 at 30 frames a second, a key frame every 5 s, 2 to 5
minutes long (`--films`, `--minutes`). In every round, of one core, one after the other:

- *bare*: the frames that ingest stores are decoded by decord and nothing is done with them;
- *ingest*: `ingest.prepare` of the same files in this process, with probing, resizing and JPEG;
- *sample*: random clips from those files (open, seek, decode, resize), as loaders on the fly do;
- *read*: random clips from the shards; both whole, 16 frames, and as networks read them, 10 frames.

Ratios are paired within a round. Memory is this process's resident set while 2,000 small files
(`--files`) are ingested, a hundred at a time.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import decord
import numpy as np
from PIL import Image

from s1m_lab.common import system
from s1m_lab.data import catalog, shards
from s1m_lab.data.ingest import prepare, worker
from s1m_lab.data.locate import Source
from s1m_lab.video import reader as video_reader
from s1m_lab.video import writer

CLIPS = 8  # a video, as for training
GRAIN = 4  # standard deviation, of 255


def film(path: Path, seconds: float, seed: int) -> None:
    """A camera that pans over a textured world with players in it, and cuts; grain as of a camera.

    The grain is chosen so that a second takes what a second of Sports-1M's films takes as stored,
    about 85 kB (40 class totals, d3vyatk4ru/sports-1m): the cost of decoding follows the bits.
    """
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

    writer.encode(path, images(), fps=30, crf=23, gop=150)


def frames_of(path: Path, starts: list[float]) -> list[list[int]]:
    return [[round(start * 30) + k for k in range(16)] for start in starts]


def bare(films: list[tuple[Path, list[float]]]) -> float:
    start = time.perf_counter()
    for path, starts in films:
        reader = decord.VideoReader(str(path), num_threads=1)
        for wanted in frames_of(path, starts):
            reader.get_batch(wanted).asnumpy()
    return time.perf_counter() - start


def prepared(source: Path, home: Path) -> float:
    shutil.rmtree(home, ignore_errors=True)
    os.environ["S1M_HOME"] = str(home)
    start = time.perf_counter()
    prepare.prepare(source, clips=CLIPS, size=200, workers=1)
    return time.perf_counter() - start


def sampled(films: list[tuple[Path, list[float]]], n: int, frames: int, seed: int) -> float:
    """Seconds a clip, each from a file opened for it alone."""
    rng = np.random.default_rng(seed)
    start = time.perf_counter()
    for _ in range(n):
        path, starts = films[rng.integers(len(films))]
        reader = decord.VideoReader(str(path), num_threads=1)
        (wanted,) = frames_of(path, [rng.uniform(0, starts[-1])])
        [video_reader.fit(frame, 200, 200) for frame in reader.get_batch(wanted[:frames]).asnumpy()]
    return (time.perf_counter() - start) / n


def read_back(folder: Path, n: int, frames: int, seed: int) -> float:
    """Seconds a clip."""
    reader = shards.Shards(folder / "clips", "train")
    rng = np.random.default_rng(seed)
    places = [(s, rng.integers(reader.counts[s])) for s in rng.integers(len(reader.counts), size=n)]
    reader.read(0, [0], [0])
    start = time.perf_counter()
    for shard, row in places:
        reader.read(shard, [row], range(frames))
    return (time.perf_counter() - start) / n


def resident() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(files: list[Path], folder: Path, total: int) -> list[float]:
    """MB after each tenth of `total` files, repeated as often as needed, in one worker's loop."""
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
    parser.add_argument("--films", type=int, default=6)
    parser.add_argument("--minutes", type=float, nargs=2, default=(2.0, 5.0))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--videos", help="a folder of small real videos for the memory")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--json")
    asked = parser.parse_args()
    system.keep_freed_memory()  # as trainings do
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        lengths = np.linspace(*asked.minutes, asked.films) * 60
        for k, seconds in enumerate(lengths):
            film(root / "films" / "train" / "abc"[k % 3] / f"{k}.mp4", float(seconds), seed=k)
        film(root / "films" / "test" / "a" / "t.mp4", 20.0, seed=99)
        print(f"{asked.films} films of {asked.minutes[0]:g} to {asked.minutes[1]:g} minutes made")
        rounds = []
        for number in range(asked.rounds):
            took = {"ingest": prepared(root / "films", root / "home")}
            folder = next((root / "home" / "data").iterdir())
            df = catalog.load_catalog(folder)
            films = []
            for path, id in zip(df["path"], df["id"], strict=True):
                info = video_reader.probe(path)
                films.append((Path(path), video_reader.starts(info.duration, CLIPS, f"0\n{id}")))
            took["bare"] = bare(films)
            for frames in (16, 10):
                took[f"sample{frames}"] = sampled(films, 40, frames, number)
                took[f"read{frames}"] = read_back(folder, 400, frames, number)
            ratios = {
                "ingest_to_bare": took["ingest"] / took["bare"],
                "sample_to_read16": took["sample16"] / took["read16"],
                "sample_to_read10": took["sample10"] / took["read10"],
            }
            rounds.append({k: round(v, 5) for k, v in (took | ratios).items()})
            print(", ".join(f"{key} {value:.4g}" for key, value in rounds[-1].items()), flush=True)
        files = sorted(path for path in (root / "films").rglob("t.mp4"))
        if asked.videos:
            files = sorted(
                p for p in Path(asked.videos).rglob("*")
                if p.suffix.lower() in video_reader.SUFFIXES and p.stat().st_size < 1_000_000
            )  # fmt: skip
        grown = memory(files, root / "memory", asked.files)
        print(f"resident MB while {asked.files:,} files are read: {grown}")
    median = {key: float(np.median([r[key] for r in rounds])) for key in rounds[0]}
    print(
        f"ingest is {median['ingest_to_bare']:.2f} times bare decoding; 10 frames of a clip "
        f"are read back {median['sample_to_read10']:.0f} times faster than sampled, all 16 "
        f"{median['sample_to_read16']:.0f} times"
    )
    if asked.json:
        git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
        about = {
            "command": " ".join(
                ["python benchmarks/ingest.py", *map(os.path.basename, sys.argv[1:])]
            ),
            "date": str(date.today()),
            "machine": f"{platform.machine()}, {system.cores()} cores, {platform.system()}",
            "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
            "rounds": rounds,
            "median": median,
            "resident_mb": grown,
        }
        Path(asked.json).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
