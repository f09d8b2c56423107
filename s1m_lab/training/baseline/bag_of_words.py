"""Videos as vectors: codebooks, soft assignment and a spatial pyramid (§5).

    folder = make_vectors(prepare("pocket"), words=64)
    train = load_vectors(folder, "train")          # vectors (mapped), ids, labels, by video
    layout(64)                                     # {"hog grid": slice(0, 320), …}

Every local descriptor of `descriptors` is shared among the words of its codebook. The shares are
counted over the frame and its 2×2 quarters and summed over a video's clips, and each histogram is
divided by its sum. 800 words give 25,009 dimensions (the paper: 25,000), 64 give 2,929.

A job describes one shard and leaves a file, on any number of workers. Codebooks come from a sample
of the training clips that is a function of `data_seed`, id and clip. The vectors lie in
`data/<name>/features/<fingerprint of the settings>/`.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial, reduce
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file
from threadpoolctl import threadpool_limits

from s1m_lab.common import files, processes, system
from s1m_lab.common.progress import Progress
from s1m_lab.data.shards import Shards, read_statuses
from s1m_lab.data.splits import SPLITS
from s1m_lab.training.baseline import descriptors
from s1m_lab.training.baseline.descriptors import KINDS

CODEBOOKS = "codebooks.safetensors"
VERSION = 1  # raise it when the same clips and settings give other vectors
CELLS = 5  # the frame, then its quarters, row by row
SAMPLE = (8, 32)  # training clips a word; descriptors of each kind a clip
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
    return [
        *(Block(kind, CELLS, words) for kind in KINDS),
        Block("hue-saturation", CELLS, descriptors.HUES * descriptors.SATURATIONS),
        Block("moments", CELLS, 9, histogram=False),
        Block("faces", 1, descriptors.FACES),
    ]


def layout(words: int) -> dict[str, slice]:
    """The place of each part in the vector."""
    ends = np.cumsum([0, *(b.rows * b.size for b in blocks(words))]).tolist()
    return {b.name: slice(*ends[n : n + 2]) for n, b in enumerate(blocks(words))}


def count_clip(clip: np.ndarray, codebooks: dict[str, Codebook]) -> np.ndarray:
    """The counts of a clip (uint8 T×H×W×3): float64, in the layout of the vector."""
    parts = [
        count_pyramid(assign_softly(values, codebooks[kind]), places)
        for kind, (values, places) in descriptors.local(clip).items()
    ]
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
    return {
        "clips": Shards(folder / "clips", "train").fingerprint,
        "words": words,
        "sample": SAMPLE,
        "sizes": {kind: descriptors.SIZES[kind.split()[0]] for kind in KINDS},
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
    here = folder / "features" / files.fingerprint(**facts)
    workers = max(1, min(workers or system.cores(), system.cores()))
    with files.exclusive(here):
        made = [here / name for name in ("about.json", CODEBOOKS)]
        made += [here / f"{split}.{kind}" for split in SPLITS for kind in ("npy", "parquet")]
        if not all([files.is_sound(file) for file in made]):
            (here / "about.json").unlink(missing_ok=True)
            read = pc.field("status") == "ok"
            videos = len(read_statuses(folder, ["id"], read))
            files.require_space(here, 2.1 * 4 * layout(words)["faces"].stop * videos)
            _make_codebooks(Shards(folder / "clips", "train"), here, words, workers, scheduler)
            _describe_videos(folder, here, words, workers, scheduler)
            if settings(folder, words) != facts:
                raise RuntimeError(
                    f"the clips of {folder.name} were made anew meanwhile; try again"
                )
            files.write_json(here / "about.json", facts)
            for piece in here.glob("*-[0-9]*.*"):
                piece.unlink()
    return here


class Job(NamedTuple):
    """The work on one shard, which leaves a file."""

    stored: Shards
    shard: int
    file: Path

    def clips(self, seed: int = 0, share: float = 1) -> Iterator[tuple[str, int, np.ndarray]]:
        """Video, key and frames of the clips, or of a share of them, chosen by their keys."""
        index = self.stored.index(self.shard)
        rows = zip(index["video"].to_pylist(), index["clip"].to_pylist(), strict=True)
        for row, (video, clip) in enumerate(rows):
            digest = hashlib.sha256(f"{seed}\n{video}\n{clip}".encode()).digest()
            key = int.from_bytes(digest[:8], "big")
            if key < share * 2**64:
                frames = range(self.stored.frames)
                yield video, key, self.stored.read(self.shard, [row], frames)[0]


def _jobs(stored: Shards, here: Path, name: str) -> list[Job]:
    """A job for every shard of a split; `name` is that of the file, without split and number."""
    shards = range(len(stored.counts))
    return [Job(stored, n, here / name.format(f"{stored.split}-{n:05d}")) for n in shards]


def _run(make: Callable, jobs: list[Job], what: str, workers: int, scheduler: str) -> None:
    """Run the jobs whose file is missing."""
    jobs = [job for job in jobs if not job.file.is_file()]
    progress = Progress(what, max(1, len(jobs)), "shards")
    for _ in processes.run(make, jobs, workers, scheduler):
        progress.update()


def _one_thread():
    """Limit the numeric libraries to one thread, so that sums have one order and the same bits.

    The process also keeps freed memory: returning it takes two fifths of a worker's time.
    """
    system.keep_freed_memory()
    return threadpool_limits(1)


def sample_shard(job: Job, seed: int, share: float) -> None:
    """Save up to 32 descriptors of each kind of a share of the clips."""
    sizes = {kind: descriptors.SIZES[kind.split()[0]] for kind in KINDS}
    found = {kind: [np.empty((0, size), np.float32)] for kind, size in sizes.items()}
    with _one_thread():
        for _, key, clip in job.clips(seed, share):
            rng = np.random.default_rng(key)
            for kind, (values, _) in descriptors.local(clip).items():
                found[kind].append(values[rng.permutation(len(values))[: SAMPLE[1]]])
    with files.atomic(job.file) as temporary:
        save_file({kind: np.concatenate(parts) for kind, parts in found.items()}, temporary)


def _make_codebooks(stored: Shards, here: Path, words: int, workers: int, scheduler: str) -> None:
    """Write `codebooks.safetensors` from a sample of the training clips."""
    if (here / CODEBOOKS).is_file():
        return
    share, seed = SAMPLE[0] * words / max(1, len(stored)), stored.settings["data_seed"]
    jobs = _jobs(stored, here, "sample-{}.safetensors")
    sample = partial(sample_shard, seed=seed, share=share)
    _run(sample, jobs, "sampling descriptors", workers, scheduler)
    samples = [load_file(job.file) for job in jobs]
    tensors: dict[str, np.ndarray] = {}
    with _one_thread():
        for kind in KINDS:
            values = np.concatenate([sample[kind] for sample in samples])
            codebook = fit_codebook(values, words, seed)
            tensors |= {kind: codebook.words, f"{kind} spread": np.array([codebook.spread])}
    with files.atomic(here / CODEBOOKS, record=True) as temporary:
        save_file(tensors, temporary)


def load_codebooks(folder: Path) -> dict[str, Codebook]:
    """The codebooks of a folder of vectors, by kind."""
    tensors = load_file(folder / CODEBOOKS)
    return {kind: Codebook(tensors[kind], float(tensors[f"{kind} spread"][0])) for kind in KINDS}


def describe_shard(job: Job) -> None:
    """Save the vectors of a shard's videos (float32 V×D), in its order."""
    codebooks = load_codebooks(job.file.parent)
    words, rows = len(codebooks[KINDS[0]].words), []
    with _one_thread():
        for _, clips in groupby(job.clips(), key=itemgetter(0)):  # of one video
            counts = [count_clip(clip, codebooks) for *_, clip in clips]
            rows.append(normalise(reduce(np.add, counts), len(counts), words))
    files.write_array(job.file, (len(rows), len(rows[0])), [np.stack(rows)])


def _describe_videos(folder: Path, here: Path, words: int, workers: int, scheduler: str) -> None:
    """Write `<split>.npy`, the vectors, and `<split>.parquet`, their videos, for every split."""
    jobs = {split: _jobs(Shards(folder / "clips", split), here, "{}.npy") for split in SPLITS}
    every = [job for own in jobs.values() for job in own]
    _run(describe_shard, every, "describing", workers, scheduler)
    for split, own in jobs.items():
        table = pa.concat_tables([VIDEOS.empty_table(), *map(_videos_of, own)])
        pieces = (np.load(job.file, allow_pickle=False) for job in own)
        files.write_array(here / f"{split}.npy", (len(table), layout(words)["faces"].stop), pieces)
        with files.atomic(here / f"{split}.parquet", record=True) as temporary:
            pq.write_table(table, temporary)


def _videos_of(job: Job) -> pa.Table:
    """A row a video of a shard: id, labels and the shard's number."""
    index = job.stored.index(job.shard).select(["video", "labels"])
    first = np.sort(np.unique(index["video"].to_numpy(), return_index=True)[1])
    shard = pa.array([job.shard] * len(first), pa.int32())
    return index.take(first).append_column("shard", shard).cast(VIDEOS)


class Vectors(NamedTuple):
    """The V videos of a split, in the order of the shards."""

    vectors: np.ndarray  # float32 V×D, mapped from disk
    ids: list[str]  # V
    labels: list[list[int]]  # V
    counts: np.ndarray  # videos of each shard


def load_vectors(folder: Path, split: str) -> Vectors:
    """The vectors of a split, from a folder that `make_vectors` returned."""
    table, path = pq.read_table(folder / f"{split}.parquet"), folder / f"{split}.npy"
    with files.reading(path, "repeat the command: it is made again", aside=True):
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    own = np.bincount(table["shard"].to_numpy()) if len(table) else np.zeros(0, int)
    return Vectors(found, table["video"].to_pylist(), table["labels"].to_pylist(), own)
