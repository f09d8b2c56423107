"""Videos with flipped, cut, spliced and zeroed bytes: each gets a status, and harms no other."""

import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fault_lab import call, make_films
from trials import Trial

from s1m_lab.data.shards import Shards
from s1m_lab.video.container import REASONS

BATCH = 25  # broken videos of one ingest
SUFFIXES = (".mp4", ".avi", ".mov", ".mkv")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two films of every suffix and class, and those that stay sound."""
    folder = tmp_path_factory.mktemp("videos")
    for suffix in SUFFIXES:
        make_films(folder / "models", 2, suffix)
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        make_films(folder / "sound" / split, count)
    return folder


def break_bytes(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One of eight harms to the bytes of a video; `other` is another video."""
    out, size = np.frombuffer(data, np.uint8).copy(), len(data)
    first, second = sorted(rng.integers(0, size, 2).tolist())
    match rng.integers(8):
        case 0:  # bits anywhere
            places = rng.integers(0, size, 2 ** rng.integers(0, 8))
            out[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
        case 1:  # bits of the header or of the index at the end
            ends = np.r_[:64, size - 1024 : size] % size
            places = rng.choice(ends, 2 ** rng.integers(0, 5))
            out[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
        case 2:
            return data[:first]
        case 3:
            return data[first:]
        case 4:  # a part is another video's
            part = np.frombuffer(other, np.uint8)[: second - first]
            out[first : first + len(part)] = part
        case 5:  # a part is missing
            return data[:first] + data[second:]
        case 6:  # a part stands twice
            return data[:second] + data[first:]
        case 7:
            out[first:second] = 0
    return out.tobytes()


def pictures(folder: Path, sound: set[str]) -> dict:
    """The frames of every clip of the sound videos."""
    found = {}
    for split in ("train", "val", "test"):
        shards = Shards(folder / "clips", split)
        for shard in range(len(shards.counts)):
            for row, about in enumerate(shards.index(shard).to_pylist()):
                if about["video"] in sound:
                    key = about["video"], about["clip"]
                    found[key] = shards.read(shard, [row], range(16)).tobytes()
    return found


def ingest(home: Path, source: Path):
    done = call(home, "ingest", source, "--workers=2", "--size=32", "--clips=2")
    (folder,) = (path for path in (home / "data").iterdir() if path.is_dir())
    rows = pq.read_table(folder / "clips" / "status.parquet").to_pylist()
    return done, folder, {row["id"]: row["status"] for row in rows}


@pytest.fixture(scope="module")
def undisturbed(videos, tmp_path_factory):
    home = tmp_path_factory.mktemp("undisturbed")
    done, folder, statuses = ingest(home, videos / "sound")
    assert done.status == 0 and set(statuses.values()) == {"ok"}, done.out
    return pictures(folder, set(statuses))


@pytest.mark.trials(1, 40)
def test_broken_videos_end_with_a_status(trial, videos, undisturbed, tmp_path, count, once):
    once("videos broken", f"batch {trial}")
    rng, source = np.random.default_rng(trial), tmp_path / "source"
    shutil.copytree(videos / "sound", source)
    models = [path for path in sorted(videos.glob("models/*/*")) if path.is_file()]
    for n in range(BATCH):
        model, other = (models[k] for k in rng.integers(0, len(models), 2))
        folder = source / "train" / model.parent.name
        broken = break_bytes(model.read_bytes(), other.read_bytes(), rng)
        (folder / f"broken-{n}{model.suffix}").write_bytes(broken)
    done, folder, statuses = ingest(tmp_path, source)
    broken = {id: status for id, status in statuses.items() if "broken" in id}
    sound = statuses.keys() - broken.keys()
    same = pictures(folder, sound) == undisturbed
    kinds = Counter(broken.values())
    counted = all(
        re.search(rf"^  {kind} {n}\b", done.out, re.M) for kind, n in kinds.items() if kind != "ok"
    )
    known = sum(status == "ok" or status in REASONS for status in broken.values())
    said = ", ".join(f"{kind} {n}" for kind, n in kinds.most_common())
    ended = done.status == 0 and done.in_words
    count(
        Trial(
            "videos broken",
            f"batch {trial}",
            BATCH,
            survived=known * ended,
            noticed=BATCH * counted,
            healed=BATCH * same,
            lost=sum(statuses[id] != "ok" for id in sound),
            said=said,
        )
    )
