"""Videos as vectors: codebooks, soft assignment and a spatial pyramid (§5).

    folder = make_vectors(prepare("pocket"), words=64)
    train = load_vectors(folder, "train")          # vectors (mapped), ids, labels, by video
    layout(64)                                     # {"hog grid": slice(0, 320), …}

Every local descriptor of `descriptors` is shared among the words of its codebook. The shares are
counted over the frame and its 2×2 quarters and summed over a video's clips, and each histogram is
divided by its sum. 800 words give 25,009 dimensions (the paper: 25,000), 64 give 2,929.

The work is a job a shard, each a function of its clips and the settings, on any number of workers.
A fingerprint recognises finished work, in `data/<name>/features/<fingerprint>/`. Codebooks come
from a sample of the training clips that is a function of `data_seed`, id and clip.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s1m_lab.common import system
from s1m_lab.common.files import atomic, exclusive, fingerprint, require_space, write_array
from s1m_lab.common.progress import Progress
from s1m_lab.data.ingest import cluster
from s1m_lab.data.shards import Shards
from s1m_lab.data.splits import SPLITS
from s1m_lab.training.baseline import descriptors
from s1m_lab.training.baseline.descriptors import KINDS

VERSION = 1  # raise it when the same clips and settings give other vectors
CELLS = 5  # the frame, then its quarters, row by row
SAMPLE = (8, 32)  # training clips a word; descriptors of each kind a clip
COLOUR_BINS = descriptors.HUES * descriptors.SATURATIONS
VIDEOS = pa.schema(
    [("video", pa.string()), ("labels", pa.list_(pa.int16())), ("shard", pa.int32())]
)


class Codebook(NamedTuple):
    """W words of D numbers, and the width of the soft assignment."""

    words: np.ndarray  # float32 W×D
    spread: float  # a squared distance


def fit_codebook(values: np.ndarray, words: int, seed: int) -> Codebook:
    """Fit k-means words to descriptors (N×D); fewer descriptors than words are repeated."""
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


def assign_softly(values: np.ndarray, codebook: Codebook) -> np.ndarray:
    """The share of each word in each descriptor (N×D): N×W, each row summing to 1.

    A share falls with a Gaussian of the distance (van Gemert et al. 2008). Its width makes the
    nearest word's share e times that of the next one, where these two differ by the average.
    """
    distances = squared_distances(values, codebook.words)
    nearest = distances.min(axis=1, keepdims=True)
    share = np.exp((nearest - distances) / codebook.spread)
    return share / share.sum(axis=1, keepdims=True)


def count_pyramid(shares: np.ndarray, places: np.ndarray) -> np.ndarray:
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
    whole = [Block("hue-saturation", CELLS, COLOUR_BINS), Block("moments", CELLS, 9, False)]
    return [*local, *whole, Block("faces", 1, descriptors.FACES)]


def layout(words: int) -> dict[str, slice]:
    """The place of each part in the vector."""
    ends = np.cumsum([0, *(b.rows * b.size for b in blocks(words))]).tolist()
    return {b.name: slice(*ends[n : n + 2]) for n, b in enumerate(blocks(words))}


def count_clip(clip: np.ndarray, codebooks: dict[str, Codebook]) -> np.ndarray:
    """The counts of a clip (uint8 T×H×W×3): float64, in the layout of the vector."""
    found = descriptors.local(clip)
    shares = {kind: assign_softly(found[kind].values, codebooks[kind]) for kind in KINDS}
    parts = [count_pyramid(shares[kind], found[kind].places) for kind in KINDS]
    colours = descriptors.hue_saturation(clip)
    parts += [colours.sum(axis=0), colours, descriptors.colour_moments(clip)]
    number = min(descriptors.faces(clip), descriptors.FACES - 1)  # none, one, two, more
    return np.concatenate([*map(np.ravel, parts), np.eye(descriptors.FACES)[number]])


def normalise(total: np.ndarray, clips: int, words: int) -> np.ndarray:
    """The vector (float32) of a video from the sum of its clips' counts.

    Every histogram sums to 1; that of a cell without descriptors is flat.
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
    """All settings that decide the vectors of a dataset folder's videos."""
    stored = Shards(folder / "clips", "train")
    sizes = {kind: descriptors.SIZES[kind.split()[0]] for kind in KINDS}
    return {
        "clips": stored.fingerprint,
        "words": words,
        "sample": SAMPLE,
        "sizes": sizes,
        "features": VERSION,
    }


def make_vectors(folder: Path, words: int, workers: int | None = None, scheduler: str = "") -> Path:
    """Make the vectors of a dataset's videos, unless they exist; returns their folder.

    Args:
        folder: the dataset's, with its clips (`prepare`).
        words: of each of the six codebooks.
        workers: processes, by default one a core. With one, this process does the work.
        scheduler: address of a Dask scheduler, in place of processes of this machine.

    Raises OSError where the disk has no room, FileNotFoundError where there are no clips.
    """
    facts = settings(folder, words)
    here = folder / "features" / fingerprint(**facts)
    workers = max(1, min(workers or system.cores(), system.cores()))
    with exclusive(here):
        if not (here / "about.json").is_file():
            require_space(here, 2.1 * 4 * layout(words)["faces"].stop * _videos_in(folder))
            _make_codebooks(folder, here, words, workers, scheduler)
            _describe_videos(folder, here, words, workers, scheduler)
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


def _jobs(folder: Path, here: Path, prefix: str, splits: Sequence[str], **more) -> list[dict]:
    """A job for every shard whose piece is missing."""
    jobs, clips = [], folder / "clips"
    for split in splits:
        for n, size in enumerate(Shards(clips, split).counts.tolist()):
            piece = here / f"{prefix}{split}-{n:05d}.npy"
            if not piece.is_file():
                job = {"clips": str(clips), "split": split, "shard": n, "size": size}
                jobs.append(job | {"piece": str(piece), **more})
    return jobs


def _make_codebooks(folder: Path, here: Path, words: int, workers: int, scheduler: str) -> None:
    """Write `codebooks.safetensors` from a sample of the training clips."""
    from safetensors.numpy import save_file

    if (here / "codebooks.safetensors").is_file():
        return
    stored = Shards(folder / "clips", "train")
    share, seed = SAMPLE[0] * words / max(1, len(stored)), stored.settings["data_seed"]
    jobs = _jobs(folder, here, "sample-", ["train"], share=share, seed=seed)
    progress = Progress("sampling descriptors", max(1, len(jobs)), "shards")
    for _ in cluster.run(sample_shard, jobs, workers, scheduler):
        progress.update()
    pieces = [np.load(piece, allow_pickle=False) for piece in sorted(here.glob("sample-*.npy"))]
    tensors: dict[str, np.ndarray] = {}
    first = 0
    for kind in KINDS:
        size = descriptors.SIZES[kind.split()[0]]
        own = np.concatenate([p[:, first : first + size] for p in pieces])
        own, first = own[~np.isnan(own[:, 0])], first + size
        with _one_thread():
            codebook = fit_codebook(own, words, seed)
        tensors |= {kind: codebook.words, f"{kind} spread": np.array([codebook.spread])}
    with atomic(here / "codebooks.safetensors") as temporary:
        save_file(tensors, temporary)


def _one_thread():
    """Limit the numeric libraries to one thread, so that sums have one order and the same bits.

    The process also keeps freed memory: returning it takes two fifths of a worker's time.
    """
    from threadpoolctl import threadpool_limits

    system.keep_freed_memory()
    return threadpool_limits(1)


def sample_shard(job: dict) -> None:
    """Save the descriptors of some clips of a shard, drawn by id and clip.

    The array is float32 with 32 rows a clip and the kinds side by side; nan fills up the rows of
    clips with fewer descriptors.
    """
    stored = Shards(job["clips"], job["split"])
    rows = []
    with _one_thread():
        for key, _, clip in _read_clips(stored, job["shard"], job["seed"], job["share"]):
            rng, found = np.random.default_rng(key), descriptors.local(clip)
            parts = []
            for kind in KINDS:
                values = found[kind].values
                values = values[rng.permutation(len(values))[: SAMPLE[1]]]
                room = ((0, SAMPLE[1] - len(values)), (0, 0))
                parts.append(np.pad(values, room, constant_values=np.nan))
            rows.append(np.concatenate(parts, axis=1))
    width = sum(descriptors.SIZES[kind.split()[0]] for kind in KINDS)
    _save_piece(job["piece"], np.concatenate(rows) if rows else np.empty((0, width), np.float32))


def _read_clips(
    stored: Shards, shard: int, seed: int, share: float = 1.0
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Key, video and frames of a shard's clips, or of a share of them, chosen by their keys."""
    index = stored.index(shard)
    rows = zip(index["video"].to_pylist(), index["clip"].to_pylist(), strict=True)
    for row, (video, clip) in enumerate(rows):
        digest = hashlib.sha256(f"{seed}\n{video}\n{clip}".encode()).digest()
        key = int.from_bytes(digest[:8], "big")
        if key < share * 2**64:
            yield key, video, stored.read(shard, [row], range(stored.frames))[0]


def _save_piece(path: str, table: np.ndarray) -> None:
    with atomic(Path(path)) as temporary, open(temporary, "wb") as file:
        np.save(file, table)


def load_codebooks(folder: Path) -> dict[str, Codebook]:
    """The codebooks of a folder of vectors, by kind."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / "codebooks.safetensors")
    return {kind: Codebook(tensors[kind], float(tensors[f"{kind} spread"][0])) for kind in KINDS}


def describe_shard(job: dict) -> int:
    """Save the vectors of a shard's videos (float32 V×D), in its order; returns its clips."""
    stored, codebooks = Shards(job["clips"], job["split"]), load_codebooks(Path(job["codebooks"]))
    words, last = len(codebooks[KINDS[0]].words), None
    totals: list[np.ndarray] = []  # of each video
    clips: list[int] = []
    with _one_thread():
        for _, video, clip in _read_clips(stored, job["shard"], 0):
            counts = count_clip(clip, codebooks)
            if video == last:
                totals[-1] += counts
                clips[-1] += 1
            else:
                totals.append(counts)
                clips.append(1)
            last = video
        rows = [normalise(total, n, words) for total, n in zip(totals, clips, strict=True)]
        _save_piece(job["piece"], np.stack(rows))
    return job["size"]


def _describe_videos(folder: Path, here: Path, words: int, workers: int, scheduler: str) -> None:
    """Write `<split>.npy`, the vectors, and `<split>.parquet`, their videos, for every split."""
    splits = [split for split in SPLITS if not (here / f"{split}.parquet").is_file()]
    jobs = _jobs(folder, here, "", splits, codebooks=str(here))
    progress = Progress("describing", max(1, sum(job["size"] for job in jobs)), "clips")
    for done in cluster.run(describe_shard, jobs, workers, scheduler):
        progress.update(done)
    for split in splits:
        stored = Shards(folder / "clips", split)
        videos = [VIDEOS.empty_table()]
        videos += [_videos_of(stored, shard) for shard in range(len(stored.counts))]
        table = pa.concat_tables(videos)
        files = [here / f"{split}-{shard:05d}.npy" for shard in range(len(stored.counts))]
        pieces = (np.load(file, allow_pickle=False) for file in files)
        write_array(here / f"{split}.npy", (len(table), layout(words)["faces"].stop), pieces)
        with atomic(here / f"{split}.parquet") as temporary:
            pq.write_table(table, temporary)


def _videos_of(stored: Shards, shard: int) -> pa.Table:
    """A row a video of a shard: id, labels and the shard's number."""
    index = stored.index(shard)
    ids = index["video"].combine_chunks()
    is_first = np.append(True, pc.not_equal(ids.slice(1), ids.slice(0, len(ids) - 1)))
    table = index.select(["video", "labels"]).take(pa.array(np.flatnonzero(is_first)))
    return table.append_column("shard", pa.array([shard] * len(table), pa.int32())).cast(VIDEOS)


class Vectors(NamedTuple):
    """The V videos of a split, in the order of the shards."""

    vectors: np.ndarray  # float32 V×D, mapped from disk
    ids: list[str]  # V
    labels: list[list[int]]  # V
    counts: np.ndarray  # videos of each shard


def load_vectors(folder: Path, split: str) -> Vectors:
    """The vectors of a split, from a folder that `make_vectors` returned."""
    table = pq.read_table(folder / f"{split}.parquet")
    found = np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False)
    own = np.bincount(table["shard"].to_numpy()) if len(table) else np.zeros(0, int)
    return Vectors(found, table["video"].to_pylist(), table["labels"].to_pylist(), own)
