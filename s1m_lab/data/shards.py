"""Clips on disk: tar shards with an index, so that any frame of any clip costs one read.

    shards = Shards(folder / "clips", "train")
    shards.counts                                  # clips in each shard, e.g. [384 384 371]
    shards.read(0, rows=[7, 7, 300], frames=range(10))     # uint8 3×10×H×W×3

WebDataset can read the tar files too. A clip is `<key>.00.jpg` … `<key>.15.jpg` and `<key>.json`
with its video, start and labels; the key is `<hash of id>-<clip>`. `index.parquet` beside the tar
files has one row per clip and one row group per shard.

Why JPEG: see `benchmarks/clip_coding.py`. H.264 takes a tenth of the space, but a network of one
frame gets its clips seven times slower, and one of ten frames a third slower.
"""

import io
import json
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from s1m_lab.common.files import Damaged, reading
from s1m_lab.common.storage import Store
from s1m_lab.data import places

QUALITY = 90  # of JPEG, in new datasets
BLOCK = 512  # bytes; a tar member is a header of one block and its data, padded to whole blocks

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("clip", pa.int16()),
        ("start", pa.float64()),  # s
        ("labels", pa.list_(pa.int16())),
        ("offset", pa.int64()),  # bytes to the header of the clip's first member
        ("sizes", pa.list_(pa.int32())),  # bytes of each frame's JPEG
        ("crcs", pa.list_(pa.uint32())),  # CRC-32 of each frame's JPEG; null in older datasets
    ]
)
AGAIN = "repeat the command: ingest makes it again"


class Clip(NamedTuple):
    """One segment of a video, to be written into a shard."""

    name: str  # of the video in file names, [0-9a-z]; ids never become names of files
    video: str
    clip: int
    start: float
    labels: list[int]
    frames: np.ndarray | list[bytes]  # uint8 T×H×W×3, or JPEG files as another shard has them

    @property
    def key(self) -> str:
        return f"{self.name}-{self.clip:03d}"


def write(path: Path, clips: Iterable[Clip], quality: int = QUALITY) -> pa.Table:
    """Write a shard and return its part of the index. The same clips give the same bytes."""
    rows, offset = [], 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for clip in clips:
            images = [
                frame if isinstance(frame, bytes) else _encode(frame, quality)
                for frame in clip.frames
            ]
            about = {"id": clip.video, "clip": clip.clip, "start": round(clip.start, 6)}
            about |= {"labels": clip.labels}
            for number, data in enumerate(images):
                _add(tar, f"{clip.key}.{number:02d}.jpg", data)
            _add(tar, f"{clip.key}.json", json.dumps(about).encode())
            sizes = [len(data) for data in images]
            crcs = list(map(zlib.crc32, images))
            rows.append(dict(zip(SCHEMA.names, (*clip[1:5], offset, sizes, crcs), strict=True)))
            offset = tar.offset
    return pa.Table.from_pylist(rows, SCHEMA)


def _encode(image: np.ndarray, quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # no time, no owner: a shard is a function of its clips
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


class Shards:
    """The clips of one split.

    It holds no open file, so it may be forked, pickled and shared between threads.
    """

    def __init__(self, folder: Path, split: str, root: str = ""):
        """`root` is the folder or address of the shards; by default the index names it.

        Raises ValueError where it names a place that the dataset may not (see `places`).
        """
        self.folder, self.split = Path(folder), split
        about = describe(self.folder)
        if not root:
            places.check(self.folder.parent, output=about.get("root", ""))
        self.store = Store(root or about.get("root") or self.folder)
        self.settings: dict = about["settings"]
        self.fingerprint: str = about["fingerprint"]
        self.height: int = self.settings["height"]
        self.width: int = self.settings["width"]
        self.frames: int = self.settings["frames"]
        mine = [(group, s) for group, s in enumerate(about["shards"]) if s["split"] == split]
        self.groups = [group for group, _ in mine]
        self.names = [shard["name"] for _, shard in mine]
        self.counts = np.array([shard["clips"] for _, shard in mine], np.int64)
        self._table = lru_cache(maxsize=64)(self._load)  # more than are mixed at a time
        self._footer = None  # of the index; long where there are thousands of shards

    def __reduce__(self):
        # with the root, since the ledger of another machine may not have it
        return Shards, (self.folder, self.split, self.store.root)

    def __len__(self) -> int:
        return int(self.counts.sum())

    def _load(self, shard: int) -> tuple[pa.Table, np.ndarray, np.ndarray, np.ndarray | None]:
        """Index of one shard; first byte, number of bytes and CRC-32 of every frame (N×T each)."""
        path = self.folder / "index.parquet"
        with reading(path, AGAIN, aside=True):
            self._footer = self._footer or pq.read_metadata(path)
            with pq.ParquetFile(path, metadata=self._footer) as file:
                table = file.read_row_group(self.groups[shard])
            sizes = table["sizes"].combine_chunks().flatten().to_numpy().reshape(-1, self.frames)
            crcs = None
            if "crcs" in table.column_names and not table["crcs"].null_count:
                crcs = table["crcs"].combine_chunks().flatten().to_numpy().reshape(sizes.shape)
        return table, firsts(table["offset"].to_numpy()[:, None], sizes), sizes, crcs

    def index(self, shard: int) -> pa.Table:
        """One row per clip, in the columns of `SCHEMA`."""
        return self._table(shard)[0]

    def labels(self, shard: int, rows: Sequence[int]) -> list[list[int]]:
        """The labels of the clips at `rows` of a shard."""
        return self.index(shard)["labels"].take(pa.array(rows, pa.int64())).to_pylist()

    def read(self, shard: int, rows: Sequence[int], frames: Sequence[int]) -> np.ndarray:
        """The given frames of the clips at `rows` of a shard: uint8 N×T×H×W×3.

        No other frame is read or decoded.
        """
        out = np.empty((len(rows), len(frames), self.height, self.width, 3), np.uint8)
        for row, clip in zip(rows, out, strict=True):
            self.read_into(clip, shard, row, frames)
        return out

    def read_into(self, out: np.ndarray, shard: int, row: int, frames: Sequence[int]) -> None:
        """Read frames of one clip into `out` (uint8 T×H×W×3).

        Most of the work releases the interpreter's lock, so threads may share a batch.

        Raises Damaged where a frame is not what was written, and then sets the shard aside. Raises
        OSError where the shard cannot be read, and ValueError where `out` has room for another
        number of frames.
        """
        table, first, sizes, crcs = self._table(shard)
        frames, name = list(frames), self.names[shard]
        try:
            data = self.store.read_parts(name, first[row, frames], sizes[row, frames])
        except FileNotFoundError:
            path = self.store.path_of(name)  # another thread may have set it aside
            how = "damaged" if os.path.exists(f"{path}.damaged") else "missing"
            raise FileNotFoundError(f"{path} is {how}; {AGAIN}") from None
        for frame, picture, into in zip(frames, data, out, strict=True):
            try:
                if crcs is not None and zlib.crc32(picture) != crcs[row, frame]:
                    raise ValueError("its bytes are not those that were written")
                decode(picture, into)
            except (ValueError, OSError) as error:
                video = table["video"][row].as_py()
                kept = f"it is kept as {name}.damaged; " if self.store.set_aside(name) else ""
                raise Damaged(
                    f"{self.store.path_of(name)} is damaged (frame {frame} of a clip of {video}: "
                    f"{error}); {kept}{AGAIN}"
                ) from None


def decode(data: bytes, out: np.ndarray) -> None:
    """Decode a JPEG into `out` (uint8 H×W×3); `ValueError` if it has another size or is cut off.

    Without simplejpeg, Pillow gives the same bytes and takes half as long again.
    """
    height, width, _ = out.shape
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        out[:] = np.asarray(Image.frombytes("RGB", (width, height), data, "jpeg", "RGB", ""))
        return
    picture = decode_jpeg(data, buffer=out)
    if picture.shape != out.shape:
        raise ValueError(
            f"a picture of {picture.shape[1]}×{picture.shape[0]}, not {width}×{height}"
        )


def firsts(offset, sizes: np.ndarray) -> np.ndarray:
    """The first byte of every frame of clips whose members begin at `offset`."""
    members = BLOCK + -(-sizes.astype(np.int64) // BLOCK) * BLOCK
    return offset + BLOCK + members.cumsum(-1) - members


def describe(folder: Path) -> dict:
    """The metadata of `index.parquet` in a folder of shards.

    It holds `settings`, `fingerprint`, and `shards` in the order of the row groups, each with
    `name`, `split` and `clips`.
    """
    path = Path(folder) / "index.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"no clips in {folder}; make them: python -c "
            f"\"from s1m_lab import prepare; prepare('{Path(folder).parent}')\""
        )
    with reading(path, AGAIN, aside=True):
        about = json.loads(pq.read_metadata(path).metadata[b"s1m"])
        for shard in about["shards"]:
            if not re.fullmatch(r"(train|val|test)-[\w-]+\.tar", shard["name"], re.ASCII):
                raise ValueError(f"no shard is called {shard['name']!r}")
        return about


def read_statuses(folder: Path, columns: Sequence[str], filters=None) -> pa.Table:
    """Columns of `clips/status.parquet` of a dataset: what became of each of its videos."""
    path = Path(folder) / "clips" / "status.parquet"
    with reading(path, AGAIN, aside=True):
        return pq.read_table(path, columns=list(columns), filters=filters)
