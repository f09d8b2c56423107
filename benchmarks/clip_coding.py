"""How should a clip be stored? JPEG, small H.264 or raw: bytes, speed and loss on one machine.

    python benchmarks/clip_coding.py                       # rendered segments, 200×200
    python benchmarks/clip_coding.py --videos my_videos --size 132 227x277 --json out.json

Every coding stores the same segments of 16 frames. Read speeds are clips a second of one core, from
the page cache, for a network that sees 1, 10 or 16 frames; H.264 has to decode from its first frame
on, JPEG and raw only what is wanted. The last lines are `Shards.read`, as training uses it. Beside
the mean bytes of a clip stands its 95 % interval, by drawing the videos anew.

`clip_coding.json` beside this file is what it wrote on real videos; `analysis/costs.py` prices
with it.
"""

import argparse
import datetime
import importlib.metadata
import io
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import av
import decord
import numpy as np
from PIL import Image

from s1m_lab.analysis import intervals
from s1m_lab.common import system
from s1m_lab.data import shards
from s1m_lab.training import runs
from s1m_lab.video import writer
from s1m_lab.video.container import VideoError
from s1m_lab.video.reader import SUFFIXES, probe, segments

FRAMES = {1: [0], 10: list(range(10)), 16: list(range(16))}


def rendered(n: int, height: int, width: int) -> list[np.ndarray]:
    """Segments with what real video has: texture of all scales, a panning camera, moving things,
    and a little noise. uint8 16×height×width×3 each."""
    rng, clips, size = np.random.default_rng(0), [], max(height, width)
    for _ in range(n):
        side, world = size * 2, np.zeros((size * 2, size * 2, 3))
        for octave in range(2, 9):
            cells = rng.normal(size=(2**octave, 2**octave, 3)).astype(np.float32)
            planes = [
                np.asarray(Image.fromarray(cells[..., c]).resize((side, side), Image.BICUBIC))
                for c in range(3)
            ]
            world += np.stack(planes, -1) * 60 / octave**1.5
        pan, frames = rng.uniform(-3, 3, 2), []
        ball, speed = rng.uniform(0.3, 0.7, 2) * (height, width), rng.uniform(-6, 6, 2)
        y, x = np.mgrid[:height, :width]
        for t in range(16):
            top, left = np.rint(size / 2 + pan * t).astype(int)
            image = 128 + world[top : top + height, left : left + width]
            image = image + rng.normal(size=image.shape) * 2
            at = ball + speed * t
            image[np.hypot(y - at[0], x - at[1]) < size / 10] = (230, 220, 60)
            frames.append(image.clip(0, 255).astype(np.uint8))
        clips.append(np.stack(frames))
    return clips


def recorded(folders: list[str], n: int, height: int, width: int) -> list[np.ndarray]:
    """The middle segment of n videos, the same every time; none that would have to be enlarged,
    since enlarged frames take fewer bytes."""
    files = [p for f in folders for p in sorted(Path(f).rglob("*")) if p.suffix in SUFFIXES]
    clips, out = [], 0
    for k in np.random.default_rng(0).permutation(len(files)):
        try:
            info = probe(files[k])
            if info.height >= height and info.width >= width and len(clips) < n:
                start = max(0.0, info.duration / 2 - 0.25)
                clips += segments(files[k], [start], size=(height, width), info=info)
            else:
                out += len(clips) < n
        except VideoError as error:
            print(f"left out: {files[k].name}: {error}")
    print(f"{out} videos smaller than {height}×{width} left out")
    return clips


class Jpeg:
    def __init__(self, quality: int):
        self.name, self.quality = f"JPEG q{quality}", quality

    def write(self, clip: np.ndarray, path: Path) -> list[int]:
        parts = []
        for frame in clip:
            file = io.BytesIO()
            Image.fromarray(frame).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
            parts.append(file.getvalue())
        path.write_bytes(b"".join(parts))
        return np.cumsum([0, *map(len, parts)]).tolist()

    def read(self, path: Path, offsets: list[int], wanted: list[int]) -> np.ndarray:
        images = []
        with open(path, "rb") as file:
            for t in wanted:
                file.seek(offsets[t])
                data = file.read(offsets[t + 1] - offsets[t])
                images.append(np.asarray(Image.open(io.BytesIO(data))))
        return np.stack(images)


class H264:
    def __init__(self, crf: int, reader: str):
        self.name, self.crf, self.reader = f"H.264 crf {crf}, {reader}", crf, reader

    def write(self, clip: np.ndarray, path: Path) -> tuple:
        height, width = clip.shape[1:3]  # 4:2:0 wants even sides: the last row or column twice
        even = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "edge")
        writer.encode(path, even, crf=self.crf, gop=16)
        return slice(None), slice(height), slice(width)

    def read(self, path: Path, own: tuple, wanted: list[int]) -> np.ndarray:
        if self.reader == "decord":
            return decord.VideoReader(str(path), num_threads=1).get_batch(wanted).asnumpy()[own]
        images = []
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            for t, frame in enumerate(container.decode(video=0)):
                if t in wanted:
                    images.append(frame.to_ndarray(format="rgb24", threads=1))
                if t == wanted[-1]:
                    return np.stack(images)[own]


class Raw:
    name = "raw uint8"

    def write(self, clip: np.ndarray, path: Path) -> tuple:
        path.write_bytes(clip.tobytes())
        return clip.shape[1:]

    def read(self, path: Path, shape: tuple, wanted: list[int]) -> np.ndarray:
        out, size = np.empty((len(wanted), *shape), np.uint8), int(np.prod(shape))
        with open(path, "rb", buffering=0) as file:
            for n, t in enumerate(wanted):
                file.seek(t * size)
                file.readinto(out[n])
        return out


def rate(work, n: int, least: float = 0.5) -> float:
    """Calls of `work(k)` a second of processor time (all threads together), so that other loads
    of the machine do not count; k runs through 0…n−1 for at least `least` seconds."""
    work(0)
    done, start = 0, time.process_time()
    while time.process_time() - start < least:
        work(done % n)
        done += 1
    return done / (time.process_time() - start)


def measure(coding, clips: list[np.ndarray], folder: Path) -> dict:
    files = [folder / f"{n}.mp4" for n in range(len(clips))]
    keys = [coding.write(clip, file) for clip, file in zip(clips, files, strict=True)]
    sizes = np.array([file.stat().st_size for file in files], float)
    low, high = intervals.bootstrap(sizes)
    row = {"coding": coding.name, "bytes": sizes.mean(), "low": low, "high": high}
    row["write"] = rate(lambda k: coding.write(clips[k], files[k]), len(clips))
    for n, wanted in FRAMES.items():
        row[f"read {n}"] = rate(lambda k, w=wanted: coding.read(files[k], keys[k], w), len(clips))
    errors = [
        np.square(coding.read(file, key, FRAMES[16]).astype(float) - clip).mean()
        for clip, file, key in zip(clips, files, keys, strict=True)
    ]
    if max(errors):  # raw has none
        row["psnr"] = 10 * np.log10(255**2 / np.mean(errors))
    return row


def measure_shards(clips: list[np.ndarray], folder: Path) -> dict:
    """`Shards.read` of random rows, 32 at a time."""
    import pyarrow.parquet as pq

    made = (shards.Clip(f"v{n}", f"v{n}", 0, 0.0, [0], clip) for n, clip in enumerate(clips))
    table = shards.write(folder / "train-00000.tar", made)
    settings = dict(zip(("frames", "height", "width"), clips[0].shape[:3], strict=True), fps=30.0)
    about = {"settings": settings, "fingerprint": "", "shards": []}
    about["shards"].append({"name": "train-00000.tar", "split": "train", "clips": len(clips)})
    pq.write_table(
        table.replace_schema_metadata({"s1m": json.dumps(about)}), folder / "index.parquet"
    )
    reader, rng = shards.Shards(folder, "train"), np.random.default_rng(0)
    row = {
        "coding": "Shards.read",
        "bytes": table["sizes"].combine_chunks().flatten().sum().as_py(),
    }
    row["bytes"] /= len(clips)
    for n, wanted in FRAMES.items():
        rows = rng.integers(0, len(clips), (64, 32))
        row[f"read {n}"] = 32 * rate(lambda k, w=wanted, r=rows: reader.read(0, r[k], w), 64)
    return row


def compare(clips: list[np.ndarray]) -> list[dict]:
    """A row a coding, printed as it is found."""
    _, height, width, _ = clips[0].shape
    codings = [Jpeg(85), Jpeg(90), Jpeg(95), H264(18, "decord"), H264(18, "PyAV"), H264(23, "PyAV")]
    print(f"{len(clips)} segments of 16 frames, {height}×{width}; clips/s of one core")
    print(f"{'':20}{'KB/clip':>9}{'write':>8}{'1 frame':>9}{'10':>7}{'16':>7}{'PSNR':>7}")
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(coding, clips, Path(folder)) for coding in [*codings, Raw()]]
        rows.append(measure_shards(clips, Path(folder)))
    for row in rows:
        cells = [row["bytes"] / 1000, *(row.get(k, 0) for k in ("write", "read 1", "read 10"))]
        text = [f"{c:.0f}" if c else "" for c in [*cells, row["read 16"]]]
        text.append(f"{row['psnr']:.1f}" if "psnr" in row else "")
        widths = (9, 8, 9, 7, 7, 7)
        print(
            f"{row['coding']:20}" + "".join(f"{c:>{w}}" for c, w in zip(text, widths, strict=True))
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", nargs="+", help="folders of videos instead of rendered ones")
    parser.add_argument("--size", nargs="+", default=["200"], help="of stored frames: 132 227x277")
    parser.add_argument("--segments", type=int, default=24)
    parser.add_argument("--json", default="", help="also write the figures here")
    args = parser.parse_args()
    decord.logging.set_level(decord.logging.QUIET)
    packages = ("av", "decord2", "numpy", "pillow")
    about = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {system.cores()} cores, {platform.system()}",
        "commit": runs.commit(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "videos": [Path(folder).name for folder in args.videos or []] or "rendered",
        "sizes": {},
    }
    for size in args.size:
        height, width = map(int, (size if "x" in size else f"{size}x{size}").split("x"))
        if args.videos:
            clips = recorded(args.videos, args.segments, height, width)
        else:
            clips = rendered(args.segments, height, width)
        about["sizes"][f"{height}×{width}"] = {"segments": len(clips), "codings": compare(clips)}
    if args.json:
        text = json.dumps(about, indent=1, ensure_ascii=False, default=float)
        Path(args.json).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
