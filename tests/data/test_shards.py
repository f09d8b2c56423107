"""A shard is a function of its clips, any tool can read it, and any frame costs one read."""

import io
import json
import pickle
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from s1m_lab.data import places, shards
from s1m_lab.data.loader import Clips, Plan


def some_clips(n: int, seed: int = 0) -> list[shards.Clip]:
    """Smooth random clips 16×24×32, so that JPEG changes them little."""
    rng = np.random.default_rng(seed)
    clips = []
    for k in range(n):
        small = rng.integers(40, 216, (16, 3, 4, 3), dtype=np.uint8)
        big = [np.asarray(Image.fromarray(s).resize((32, 24), Image.BICUBIC)) for s in small]
        name = f"../../evil\n{k // 3}"
        clips.append(
            shards.Clip(f"{7 + k // 3:016x}", name, k % 3, 0.1 * k, [k % 2, 5], np.stack(big))
        )
    return clips


@pytest.fixture
def folder(tmp_path):
    """A folder of two train shards and one test shard, indexed as ingest does it."""
    found, tables = [], []
    for name, split, n in (
        ("train-00000", "train", 6),
        ("test-00000", "test", 3),
        ("train-00001", "train", 5),
    ):
        tables.append(shards.write(tmp_path / f"{name}.tar", some_clips(n, seed=n)))
        found.append({"name": f"{name}.tar", "split": split, "clips": n})
    settings = {"height": 24, "width": 32, "frames": 16, "fps": 30.0}
    about = {"settings": settings, "fingerprint": "f", "shards": found}
    schema = shards.SCHEMA.with_metadata({"s1m": json.dumps(about)})
    with pq.ParquetWriter(tmp_path / "index.parquet", schema) as writer:
        for table in tables:
            writer.write_table(table.cast(schema))
    return tmp_path


def test_bytes_are_stable(tmp_path):
    first = shards.write(tmp_path / "a.tar", some_clips(4))
    second = shards.write(tmp_path / "b.tar", some_clips(4))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert first.equals(second)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in tar} == {(0, 0, 0, "", "")}


@pytest.mark.parametrize("installed", [True, False])
def test_a_picture_is_what_pillow_makes_of_it(installed, monkeypatch):
    if not installed:
        monkeypatch.setitem(sys.modules, "simplejpeg", None)
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    data = shards._encode(image, quality=90)
    out = np.zeros((2, 37, 53, 3), np.uint8)
    shards.decode(data, out[1])
    assert (out[1] == np.asarray(Image.open(io.BytesIO(data)))).all() and not out[0].any()
    for wrong in (data[:200], data[:-60], b""):
        with pytest.raises((ValueError, OSError)):
            shards.decode(wrong, out[0])
    for side in (36, 38):
        with pytest.raises(ValueError):
            shards.decode(data, np.zeros((side, 53, 3), np.uint8))


def test_webdataset_can_read_it(tmp_path):
    """WebDataset groups members by what stands before the first dot, in the order of the file."""
    clips = some_clips(4)
    shards.write(tmp_path / "a.tar", clips)
    samples: dict[str, dict] = {}
    with tarfile.open(tmp_path / "a.tar") as tar:
        for member in tar:
            key, _, suffix = member.name.partition(".")
            assert set(key) <= set("0123456789abcdef-")
            samples.setdefault(key, {})[suffix] = tar.extractfile(member).read()
    assert list(samples) == [clip.key for clip in clips]
    for clip, sample in zip(clips, samples.values(), strict=True):
        assert list(sample) == [f"{t:02d}.jpg" for t in range(16)] + ["json"]
        about = json.loads(sample["json"])
        assert about["id"] == clip.video and about["labels"] == clip.labels
        image = np.asarray(Image.open(io.BytesIO(sample["03.jpg"])))
        assert np.abs(image.astype(int) - clip.frames[3]).mean() < 4


def test_read_gives_the_frames_that_were_written(folder):
    reader = shards.Shards(folder, "train")
    assert reader.counts.tolist() == [6, 5] and len(reader) == 11
    with tarfile.open(folder / "train-00001.tar") as tar:
        wanted = {
            m.name: np.asarray(Image.open(tar.extractfile(m)))
            for m in tar
            if m.name.endswith("jpg")
        }
    clips, frames = some_clips(5, seed=5), [0, 15, 7]
    rows = [4, 0, 4, 2]
    got = reader.read(1, rows, frames)
    assert got.shape == (4, 3, 24, 32, 3) and got.dtype == np.uint8
    for n, row in enumerate(rows):
        for t, frame in enumerate(frames):
            assert np.array_equal(got[n, t], wanted[f"{clips[row].key}.{frame:02d}.jpg"])
    threaded = np.zeros_like(got)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(reader.read_into, threaded, [1] * 4, np.array(rows), [frames] * 4))
    assert np.array_equal(got, threaded)
    assert np.array_equal(got, pickle.loads(pickle.dumps(reader)).read(1, rows, frames))


def test_a_batch_over_shards_has_each_clip_with_its_target(folder):
    reader, order = shards.Shards(folder, "train"), np.array([7, 0, 10, 5, 6])
    batch = Clips(reader, [0, 15, 7], classes=7, threads=3)[Plan(0, 0, np.arange(5), order)]
    written = some_clips(6, seed=6) + some_clips(5, seed=5)
    names = ["train-00000.tar"] * 6 + ["train-00001.tar"] * 5
    for frames, target, number in zip(batch.frames, batch.targets, order, strict=True):
        clip = written[number]
        with tarfile.open(folder / names[number]) as tar:
            for got, frame in zip(frames, (0, 15, 7), strict=True):
                picture = Image.open(tar.extractfile(f"{clip.key}.{frame:02d}.jpg"))
                assert np.array_equal(got, np.asarray(picture))
        share = [1 / len(clip.labels) if k in clip.labels else 0 for k in range(7)]
        assert target.tolist() == pytest.approx(share)


def test_index_and_labels(folder):
    reader = shards.Shards(folder, "train")
    clips = some_clips(6, seed=6)
    table = reader.index(0).to_pylist()
    for row, clip in zip(table, clips, strict=True):
        assert (row["video"], row["clip"]) == (clip.video, clip.clip)
        assert row["start"] == pytest.approx(clip.start) and row["labels"] == clip.labels
    assert reader.labels(0, [5, 0]) == [[1, 5], [0, 5]]
    assert shards.Shards(folder, "test").index(0).num_rows == 3
    assert shards.Shards(folder, "val").counts.sum() == 0


def test_a_shard_that_is_gone_is_named_with_what_makes_it_again(folder):
    (folder / "train-00001.tar").unlink()
    reader = shards.Shards(folder, "train")
    with pytest.raises(FileNotFoundError, match=r"train-00001\.tar is missing; repeat the command"):
        reader.read(1, [0], [0])
    assert reader.read(0, [0], [0]).shape == (1, 1, 24, 32, 3), "another shard"


def test_no_clips_says_how_to_make_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="import prepare; prepare"):
        shards.Shards(tmp_path, "train")


def test_pickled_shards_need_no_ledger(tmp_path, monkeypatch):
    """A worker on another machine reads the bucket that this machine was allowed to read."""
    folder, root = tmp_path / "home" / "data" / "set", f"memory://{tmp_path.name}"
    monkeypatch.setenv("S1M_HOME", str(tmp_path / "home"))
    (folder / "clips").mkdir(parents=True)
    about = {"root": root, "settings": {"height": 8, "width": 8, "frames": 2, "fps": 30.0}}
    about |= {"fingerprint": "f", "shards": []}
    schema = shards.SCHEMA.with_metadata({"s1m": json.dumps(about)})
    pq.write_table(schema.empty_table(), folder / "clips" / "index.parquet")
    places.note(folder, root)
    sent = pickle.dumps(shards.Shards(folder / "clips", "train"))
    monkeypatch.setenv("S1M_HOME", str(tmp_path / "another"))
    with pytest.raises(ValueError, match="was made elsewhere and names memory://"):
        shards.Shards(folder / "clips", "train")
    assert pickle.loads(sent).store.root == root
