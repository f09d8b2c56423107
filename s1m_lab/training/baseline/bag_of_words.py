"""Videos as vectors: codebooks, soft words, a spatial pyramid, side by side (§5).

    folder = histograms.prepare(ingest.prepare("pocket"), words=64)
    train = histograms.load(folder, "train")       # vectors (mapped), ids, labels, by video
    layout(64)                                     # {"hog grid": slice(0, 320), …}

Every local descriptor of `descriptors` is shared among the words of its codebook; counts are taken
over the frame and its 2×2 quarters, added up over a video's clips, and each histogram is divided by
its sum. 800 words give 25,009 dimensions (the paper: 25,000), 64 give 2,929.

The work is a job a shard, each a function of its clips and the settings, on any number of workers;
what is finished is recognised by its fingerprint (`data/<name>/features/<fingerprint>/`). Codebooks
come from a sample of the training clips that is a function of `data_seed`, id and clip.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common import system
from s1m_lab.common.files import atomic, exclusive, fingerprint, require_space
from s1m_lab.common.progress import Progress
from s1m_lab.data.ingest import cluster
from s1m_lab.data.shards import Shards
from s1m_lab.data.splits import SPLITS
from s1m_lab.training.baseline import descriptors
from s1m_lab.training.baseline.descriptors import KINDS

VERSION = 1  # raise it when the same clips and settings give other vectors
CELLS = 5  # the frame, then its quarters by rows
SAMPLE = (8, 32)  # training clips a word; descriptors of each kind a clip
COLOURS = descriptors.HUES * descriptors.SATURATIONS
WHOSE = pa.schema([("video", pa.string()), ("labels", pa.list_(pa.int16())), ("shard", pa.int32())])


class Codebook(NamedTuple):
    """W words of D numbers, and how far apart two words are that share a descriptor."""

    words: np.ndarray  # float32 W×D
    spread: float  # a squared distance


def codebook(values: np.ndarray, words: int, seed: int) -> Codebook:
    """The k-means words of descriptors (N×D); fewer descriptors than words are repeated."""
    from sklearn.cluster import MiniBatchKMeans

    if len(values) < words:
        centres = np.resize(values, (words, values.shape[1]))  # zeros where there is nothing
    else:
        kmeans = MiniBatchKMeans(words, random_state=seed, batch_size=4096, n_init=1)
        centres = kmeans.fit(values).cluster_centers_
    centres = centres.astype(np.float32)
    two = np.partition(squared_distances(values[: 1 << 16], centres), 1, axis=1)
    gap = float((two[:, 1] - two[:, 0]).mean()) if len(values) else 0.0
    return Codebook(centres, max(gap, 1e-9))


def squared_distances(values: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Squared distances N×W."""
    squares = (values**2).sum(axis=1)[:, None] + (words**2).sum(axis=1)
    return np.maximum(squares - 2 * (values @ words.T), 0)


def soft(values: np.ndarray, book: Codebook) -> np.ndarray:
    """How descriptors (N×D) are shared among the words: N×W, each row summing to 1.

    By a Gaussian of the distance (van Gemert et al. 2008), whose width is that of the codebook: of
    two words as far apart as the nearest and the next are on average, the nearer gets e times more.
    """
    apart = squared_distances(values, book.words)
    share = np.exp((apart.min(axis=1, keepdims=True) - apart) / book.spread)
    return share / share.sum(axis=1, keepdims=True)


def pyramid(shares: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Word counts of the frame and its quarters (5×W), of descriptors at places (y, x in 0…1)."""
    quarter = np.eye(4, dtype=shares.dtype)[descriptors.quarters(places)]
    cells = (quarter.T @ shares).astype(float)
    return np.concatenate([cells.sum(axis=0, keepdims=True), cells])


class Block(NamedTuple):
    """A part of the vector: `rows` histograms (or lists of numbers) of `size`."""

    name: str
    rows: int
    size: int
    histogram: bool = True


def blocks(words: int) -> list[Block]:
    """The parts of the vector, in order."""
    local = [Block(kind, CELLS, words) for kind in KINDS]
    whole = [Block("hue-saturation", CELLS, COLOURS), Block("moments", CELLS, 9, False)]
    return [*local, *whole, Block("faces", 1, descriptors.FACES)]


def layout(words: int) -> dict[str, slice]:
    """Where each part lies in the vector."""
    ends = np.cumsum([0, *(b.rows * b.size for b in blocks(words))]).tolist()
    return {b.name: slice(*ends[n : n + 2]) for n, b in enumerate(blocks(words))}


def counts(clip: np.ndarray, books: dict[str, Codebook]) -> np.ndarray:
    """What a clip (uint8 T×H×W×3) adds to its video's vector: float64, laid out as that is."""
    found = descriptors.local(clip)
    parts = [pyramid(soft(found[kind].values, books[kind]), found[kind].places) for kind in KINDS]
    colours = descriptors.hue_saturation(clip)
    parts += [colours.sum(axis=0), colours, descriptors.colour_moments(clip)]
    number = min(descriptors.faces(clip), descriptors.FACES - 1)  # none, one, two, more
    return np.concatenate([*map(np.ravel, parts), np.eye(descriptors.FACES)[number]])


def vector(total: np.ndarray, clips: int, words: int) -> np.ndarray:
    """The vector (float32) of a video whose clips added up to `total`.

    Every histogram sums to 1; one of a cell in which nothing was found is flat.
    """
    out = np.empty(len(total), np.float32)
    for block, part in zip(blocks(words), layout(words).values(), strict=True):
        rows = total[part].reshape(block.rows, block.size)
        if block.histogram:
            sums = rows.sum(axis=1, keepdims=True)
            rows = np.where(sums > 0, rows / np.where(sums > 0, sums, 1), 1 / block.size)
        else:
            rows = rows / clips
        out[part] = rows.ravel()
    return out


# --------------------------------------------------------------------------------- a whole dataset


def settings(folder: Path, words: int) -> dict:
    """All that decides the vectors of a dataset folder's videos, as plain data."""
    stored = Shards(folder / "clips", "train")
    sizes = {kind: descriptors.SIZES[kind.split()[0]] for kind in KINDS}
    return {"clips": stored.fingerprint, "words": words, "sample": SAMPLE, "sizes": sizes,
            "features": VERSION}  # fmt: skip


def prepare(folder: Path, words: int, workers: int | None = None, scheduler: str = "") -> Path:
    """The folder of a dataset's feature vectors, made where they are not there yet.

    Args:
        folder: of the dataset, its clips made (`ingest.prepare`).
        words: of each of the six codebooks.
        workers: processes; by default one a core. One: this process.
        scheduler: address of a Dask scheduler, in place of processes of this machine.

    Raises OSError where the disk has no room, FileNotFoundError where there are no clips.
    """
    facts = settings(folder, words)
    here = folder / "features" / fingerprint(**facts)
    workers = max(1, min(workers or system.cores(), system.cores()))
    with exclusive(here):
        if not (here / "about.json").is_file():
            require_space(here, 2.1 * 4 * layout(words)["faces"].stop * _videos_in(folder))
            _sampled(folder, here, words, workers, scheduler)
            _described(folder, here, words, workers, scheduler)
            if settings(folder, words) != facts:
                raise RuntimeError(
                    f"the clips of {folder.name} were made anew meanwhile; try again"
                )
            with atomic(here / "about.json") as temporary:
                temporary.write_text(json.dumps(facts))
            for piece in here.glob("*-[0-9]*.*"):
                piece.unlink()
    return here


def _videos_in(folder: Path) -> int:
    status = pq.read_table(folder / "clips" / "status.parquet", columns=["status"])
    return pc.sum(pc.equal(status["status"], "ok")).as_py() or 0


def _jobs(folder: Path, here: Path, prefix: str, splits, **more) -> list[dict]:
    """A job for every shard whose piece is not there yet."""
    jobs, clips = [], str(folder / "clips")
    for split in splits:
        for n, size in enumerate(Shards(folder / "clips", split).counts.tolist()):
            piece = here / f"{prefix}{split}-{n:05d}.npy"
            if not piece.is_file():
                job = {"clips": clips, "split": split, "shard": n, "size": size}
                jobs.append(job | {"piece": str(piece), **more})
    return jobs


def _sampled(folder: Path, here: Path, words: int, workers: int, scheduler: str) -> None:
    """`codebooks.safetensors`, from a sample of the training clips."""
    from safetensors.numpy import save_file

    if (here / "codebooks.safetensors").is_file():
        return
    stored = Shards(folder / "clips", "train")
    share, seed = SAMPLE[0] * words / max(1, len(stored)), stored.settings["data_seed"]
    jobs = _jobs(folder, here, "sample-", ["train"], share=share, seed=seed)
    progress = Progress("sampling descriptors", max(1, len(jobs)), "shards")
    for _ in cluster.run(sample, jobs, workers, scheduler):
        progress.update()
    pieces = [np.load(piece, allow_pickle=False) for piece in sorted(here.glob("sample-*.npy"))]
    tensors, first = {}, 0
    for kind in KINDS:
        size = descriptors.SIZES[kind.split()[0]]
        own = np.concatenate([p[:, first : first + size] for p in pieces])
        own, first = own[~np.isnan(own[:, 0])], first + size
        with _one_thread():
            book = codebook(own, words, seed)
        tensors |= {kind: book.words, f"{kind} spread": np.array([book.spread])}
    with atomic(here / "codebooks.safetensors") as temporary:
        save_file(tensors, temporary)


def _one_thread():
    """Sums in one order: the last bits do not depend on how many threads a process has.

    Freed memory is kept, too: returning it takes two fifths of a worker's time.
    """
    from threadpoolctl import threadpool_limits

    system.keep_freed_memory()
    return threadpool_limits(1)


def sample(job: dict) -> None:
    """Descriptors of some clips of a shard, drawn by id and clip: float32, a row 32 a clip, the
    kinds side by side, nan where a clip has fewer."""
    stored = Shards(job["clips"], job["split"])
    rows = []
    with _one_thread():
        for key, _, clip in _clips(stored, job["shard"], job["seed"], job["share"]):
            rng, found = np.random.default_rng(key), descriptors.local(clip)
            parts = []
            for kind in KINDS:
                values = found[kind].values
                values = values[rng.permutation(len(values))[: SAMPLE[1]]]
                room = ((0, SAMPLE[1] - len(values)), (0, 0))
                parts.append(np.pad(values, room, constant_values=np.nan))
            rows.append(np.concatenate(parts, axis=1))
    width = sum(descriptors.SIZES[kind.split()[0]] for kind in KINDS)
    _publish(job["piece"], np.concatenate(rows) if rows else np.empty((0, width), np.float32))


def _clips(
    stored: Shards, shard: int, seed: int, share: float = 1.0
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Key, video and frames of the clips of a shard, or of a share of them chosen by their keys."""
    index = stored.index(shard)
    rows = zip(index["video"].to_pylist(), index["clip"].to_pylist(), strict=True)
    for row, (video, clip) in enumerate(rows):
        digest = hashlib.sha256(f"{seed}\n{video}\n{clip}".encode()).digest()
        key = int.from_bytes(digest[:8], "big")
        if key < share * 2**64:
            yield key, video, stored.read(shard, [row], range(stored.frames))[0]


def _publish(path: str, table: np.ndarray) -> None:
    with atomic(Path(path)) as temporary, open(temporary, "wb") as file:
        np.save(file, table)


def books(folder: Path) -> dict[str, Codebook]:
    """The codebooks of a folder of features, by kind."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / "codebooks.safetensors")
    return {kind: Codebook(tensors[kind], float(tensors[f"{kind} spread"][0])) for kind in KINDS}


def describe(job: dict) -> int:
    """The vectors of a shard's videos (float32 V×D), in its order; returns how many clips."""
    stored, own = Shards(job["clips"], job["split"]), books(Path(job["books"]))
    words, rows, last = len(own[KINDS[0]].words), [], None
    with _one_thread():
        for _, video, clip in _clips(stored, job["shard"], 0):
            if video != last:
                rows.append([0.0, 0])
                last = video
            rows[-1] = [rows[-1][0] + counts(clip, own), rows[-1][1] + 1]
        _publish(job["piece"], np.stack([vector(total, n, words) for total, n in rows]))
    return job["size"]


def _described(folder: Path, here: Path, words: int, workers: int, scheduler: str) -> None:
    """`<split>.npy` and `<split>.parquet` of every split: vectors, and whose they are."""
    splits = [split for split in SPLITS if not (here / f"{split}.parquet").is_file()]
    jobs = _jobs(folder, here, "", splits, books=str(here))
    todo = sum(job["size"] for job in jobs)
    progress = Progress("describing", max(1, todo), "clips")
    for done in cluster.run(describe, jobs, workers, scheduler):
        progress.update(done)
    for split in splits:
        stored = Shards(folder / "clips", split)
        tables = [_whose(stored, n) for n in range(len(stored.counts))]
        shape = (sum(map(len, tables)), layout(words)["faces"].stop)
        with atomic(here / f"{split}.npy") as temporary:
            out, first = np.lib.format.open_memmap(temporary, "w+", np.float32, shape), 0
            for n, table in enumerate(tables):
                piece = np.load(here / f"{split}-{n:05d}.npy", allow_pickle=False)
                out[first : first + len(table)] = piece
                first += len(table)
            out.flush()
            del out  # closed, before Windows is to rename it
        with atomic(here / f"{split}.parquet") as temporary:
            pq.write_table(pa.concat_tables(tables) if tables else WHOSE.empty_table(), temporary)


def _whose(stored: Shards, shard: int) -> pa.Table:
    """A row a video of a shard: id, labels and the shard's number."""
    index = stored.index(shard)
    first = np.flatnonzero(_first_rows(index["video"].combine_chunks()))
    table = index.select(["video", "labels"]).take(pa.array(first))
    return table.append_column("shard", pa.array([shard] * len(table), pa.int32())).cast(WHOSE)


def _first_rows(ids: pa.Array) -> np.ndarray:
    """Which rows begin another video than the one before."""
    return np.append(True, pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)))


class Vectors(NamedTuple):
    """The V videos of a split, in the order of the shards."""

    vectors: np.ndarray  # float32 V×D, mapped from disk
    ids: list[str]  # V
    labels: list[list[int]]  # V
    counts: np.ndarray  # videos of each shard


def load(folder: Path, split: str) -> Vectors:
    """The vectors of a split, from a folder that `prepare` made."""
    table = pq.read_table(folder / f"{split}.parquet")
    found = np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False)
    own = np.bincount(table["shard"].to_numpy()) if len(table) else np.zeros(0, int)
    return Vectors(found, table["video"].to_pylist(), table["labels"].to_pylist(), own)
