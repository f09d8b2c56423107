"""Sports-1M's own files: nothing broken is fatal, nothing is set aside without being counted."""

import importlib.util
import json
import re
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from s1m_lab.data import catalog, sports1m

NO_ID, NO_LABELS, NO_CLASS, NO_DURATION, LONG_TITLE, CONTROL, AGAIN = sports1m.BROKEN


def video(name: str, **changes) -> dict:
    """An object of the JSON, invented; `name` is padded to a YouTube id."""
    fields = {
        "stitle": "A title — Ü 選手",
        "label487": [3],
        "thumbnail": "https://i.ytimg.com/vi/x/default.jpg",
        "width": 640,
        "height": 360,
        "duration": 100,
        "id": name.ljust(11, "_"),
        "source487": "train",
    }
    return {**fields, **changes}


def write(folder: Path, train: list | bytes = (), test: list = (), classes: int = 487) -> Path:
    """The two JSON files and a `labels.txt` in `folder`."""
    folder.mkdir(exist_ok=True)
    train = train if isinstance(train, bytes) else json.dumps(list(train)).encode()
    (folder / "sports1m_train.json").write_bytes(train)
    (folder / "sports1m_test.json").write_text(json.dumps(list(test)))
    (folder / "labels.txt").write_text("".join(f"sport {n}\n" for n in range(classes)))
    return folder


def ids(df: pd.DataFrame) -> list[str]:
    return [name.rstrip("_") for name in df["id"]]


def keyed_uniform(*keys: int) -> int:
    """`keyed_uniform`, one number at a time."""
    state, most = 0, 2**64 - 1
    for key in keys:
        state = ((state ^ key) + 0x9E3779B97F4A7C15) & most
        state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & most
        state = ((state ^ state >> 27) * 0x94D049BB133111EB) & most
        state ^= state >> 31
    return state


def hash_id(text: str, seed: int) -> int:
    """The hash of an id, eight letters at a time."""
    state, data = keyed_uniform(seed % 2**63), text.encode()
    for k in range(0, len(data), 8):
        state = keyed_uniform(state, int.from_bytes(data[k : k + 8], "little"))
    return state


def plain_read(objects: list[dict], data_seed: int = 0, classes: int = 487) -> tuple[list, dict]:
    """The rows and counts of `read` by the rules as they are told, one object after another."""
    kept, counts = {}, Counter()
    for o in sorted(objects, key=lambda o: o["source487"] == "train"):
        title, labels, seconds = o["stitle"] or "", o["label487"], o["duration"]
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", o["id"] or ""):
            counts[NO_ID] += 1
        elif not labels:
            counts[NO_LABELS] += 1
        elif not all(0 <= n < classes for n in labels):
            counts[NO_CLASS] += 1
        elif seconds is not None and (isinstance(seconds, str) or seconds <= 0):
            counts[NO_DURATION] += 1
        elif len(title) > 1000:
            counts[LONG_TITLE] += 1
        elif any(ord(c) < 32 or 127 <= ord(c) < 160 for c in title):
            counts[CONTROL] += 1
        elif o["id"] in kept:
            counts[AGAIN] += 1
        else:
            val = o["source487"] == "train" and hash_id(o["id"], data_seed) < 2**61
            split = "val" if val else o["source487"]
            kept[o["id"]] = (o["id"], split, labels, o["stitle"], seconds, o["width"])
    return list(kept.values()), counts


def rows(df: pd.DataFrame) -> list[tuple]:
    table = pa.Table.from_pandas(df, preserve_index=False)
    columns = ("id", "split", "labels", "title", "duration", "width")
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))


@pytest.mark.parametrize("batch", [7, 40_000])
def test_against_a_plain_loop(tmp_path, monkeypatch, batch):
    """All that the benchmark's maker makes, sound or broken, whatever the batches."""
    monkeypatch.setattr(sports1m, "BATCH", batch)
    path = Path(__file__).parents[2] / "benchmarks" / "catalog.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_the_catalog", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    made = benchmark.make(tmp_path, 3_000)
    df = sports1m.read_sports1m(tmp_path, data_seed=5)
    assert df.attrs["broken"] == made["broken"] and len(made["broken"]) == 7
    objects = []
    for name in ("test", "train"):
        objects += json.loads((tmp_path / f"sports1m_{name}.json").read_text())
    expected, counts = plain_read(objects, data_seed=5)
    assert rows(df) == expected and df.attrs["broken"] == counts
    assert len(df) == 3_000 - counts.total() and len(df.attrs["classes"]) == 487


BROKEN = {
    NO_ID: [
        {"id": None}, {"id": ""}, {"id": " "}, {"id": "../../etc/x"}, {"id": "a\nb"}, {"id": "é"},
        {"id": ["a"]}, {"id": {"a": 1}}, {"id": "x" * 101}, {"id": "", "label487": [487]},
    ],
    NO_LABELS: [
        {"label487": None}, {"label487": []}, {"label487": "3"}, {"label487": {"3": 1}},
        {"label487": 3}, {"label487": [], "stitle": "\n"},
    ],
    NO_CLASS: [
        {"label487": [487]}, {"label487": [-1]}, {"label487": [0, 487]}, {"label487": [1.5]},
        {"label487": ["boxing"]}, {"label487": [None]}, {"label487": [3, None]},
        {"label487": [[3]]}, {"label487": [10**30]}, {"label487": [-1], "duration": "x"},
    ],
    NO_DURATION: [
        {"duration": 0}, {"duration": 0.0}, {"duration": "100"}, {"duration": "long"},
        {"duration": ""}, {"duration": -3}, {"duration": [9]}, {"duration": True},
        {"duration": float("nan")}, {"duration": float("inf")}, {"duration": 1e300},
        {"duration": 0, "stitle": "x" * 2000},
    ],
    LONG_TITLE: [{"stitle": "x" * 1001}, {"stitle": "ü" * 100_000}, {"stitle": "\0" * 1001}],
    CONTROL: [
        *({"stitle": f"a{chr(n)}b"} for n in (*range(32), *range(127, 160))),
        {"stitle": "\n"}, {"stitle": "end\x9f"},
    ],
}  # fmt: skip


@pytest.mark.parametrize("reason", BROKEN)
def test_what_is_broken_counts_once_under_its_reason(tmp_path, reason):
    bad = [video(f"bad{n}", **changes) if "id" not in changes else video("", **changes)
           for n, changes in enumerate(BROKEN[reason])]  # fmt: skip
    mixed = [part for n, one in enumerate(bad) for part in (video(f"good{n}"), one)]
    df = sports1m.read_sports1m(write(tmp_path, mixed))
    assert ids(df) == [f"good{n}" for n in range(len(bad))]
    assert df.attrs["broken"] == {reason: len(bad)}


def test_what_is_merely_unusual_stays(tmp_path):
    odd = [
        video("none", duration=None, stitle=None, width=None, thumbnail=None),
        {"id": "bare", "label487": [0, 486]},
        video("text", stitle="x" * 1000),
        video("ümlaut".replace("ü", "u"), stitle="°«»¿ÂÃ\u2028\u202e<script>"),
        video("real", duration=12.25, width=-5, height="tall", thumbnail="javascript:alert(1)"),
        video("more", extra={"a": [{"id": "no"}, 1]}, ID="other", another=None),
        dict(video("v"), id="a.b-c_d"),
    ]
    df = sports1m.read_sports1m(write(tmp_path, odd)).set_index("id")
    assert not df.attrs["broken"] and len(df) == len(odd)
    none, bare, real = df.iloc[0], df.loc["bare"], df.iloc[4]
    assert all(none[name] is pd.NA for name in ("duration", "title", "width", "thumbnail"))
    assert list(bare["labels"]) == [0, 486] and bare["duration"] is pd.NA
    assert bare["split"] in ("train", "val") and bare["url"] is pd.NA
    assert real["duration"] == 12.25
    assert all(real[name] is pd.NA for name in ("width", "height", "thumbnail"))
    assert df["url"].iloc[0] == "https://www.youtube.com/watch?v=none_______"
    assert df["title"].iloc[3] == odd[3]["stitle"]


def test_what_is_no_object_is_set_aside(tmp_path):
    good = json.dumps(video("good"))
    text = f'\ufeff[5, "x", null, [{good}], {good}, true, {{}}]'
    df = sports1m.read_sports1m(write(tmp_path, text.encode()))
    assert ids(df) == ["good"] and df.attrs["broken"] == {NO_ID: 6}


def test_half_a_character_spoils_its_title_alone(tmp_path):
    one, other = (json.dumps(video(name, stitle="STITLE")).encode() for name in ("one", "other"))
    both = rb"\\ud800 \ud83d\ude00 \uD800 \udc00\n".replace(rb"\n", b" \xff")
    df = sports1m.read_sports1m(
        write(tmp_path, b"[" + one.replace(b"STITLE", both) + b"," + other + b"]")
    )
    assert ids(df) == ["one", "other"] and not df.attrs["broken"]
    assert df["title"][0] == "\\ud800 😀 \ufffd \ufffd \ufffd"


@pytest.mark.parametrize("text", ['[{"id": "a"', '{"id": "a"}', "<html>", "5"])
def test_a_file_that_is_no_list_says_so(tmp_path, text):
    with pytest.raises(ValueError, match=r"sports1m_train.json is no JSON list of objects"):
        sports1m.read_sports1m(write(tmp_path, text.encode()))


def test_nothing_at_all(tmp_path):
    with pytest.raises(ValueError, match="lists no videos"):
        sports1m.read_sports1m(write(tmp_path))
    df = sports1m.read_sports1m(write(tmp_path, [video("bad", duration=0)]))
    assert len(df) == 0 and df.attrs["broken"] == {NO_DURATION: 1}


def test_a_video_in_train_and_test_is_tested_on(tmp_path):
    train = [video("a", stitle="train"), video("b"), video("c", stitle="first"), video("c")]
    train += [video("d"), video("d", source487="test", stitle="test")]
    test = [video("a", source487="test", stitle="test"), video("e", source487="train")]
    df = sports1m.read_sports1m(write(tmp_path, train, test))
    assert ids(df) == ["a", "e", "b", "c", "d"] and df.attrs["broken"] == {AGAIN: 3}
    found = dict(zip(ids(df), zip(df["title"], df["split"], strict=True), strict=True))
    assert found["a"] == found["d"] == ("test", "test") and found["c"][0] == "first"
    assert found["e"][1] in ("train", "val")


def test_a_label_given_twice_counts_once(tmp_path):
    train = [video("a", label487=[1, 1]), video("b", label487=[2, 0, 2]), video("c", label487=[3])]
    df = sports1m.read_sports1m(write(tmp_path, train, []))
    assert [list(own) for own in df["labels"]] == [[1], [2, 0], [3]]
    lists = [[5, None, 5], [], [7], [None], [7, 5, 7, 0]]
    array = pa.array([[1, 1], *lists, [9]], pa.list_(pa.int16())).slice(1, len(lists))
    assert catalog.distinct(array).to_pylist() == [[5], [], [7], [], [7, 5, 0]]


def test_the_split_is_a_function_of_seed_and_id_alone(tmp_path, real_data):
    lines = (real_data / "sports1m" / "test_videos.txt").read_text().splitlines()[:40_000]
    path = tmp_path / "train_partition.txt"
    path.write_text("\n".join(lines))
    df = sports1m.read_sports1m(path, data_seed=7)
    expected = ["val" if hash_id(line[:11], 7) < 2**61 else "train" for line in lines]
    assert df["split"].tolist() == expected
    ids = pa.array([line[:11] for line in lines])
    shares = [(catalog.hash_ids(ids, seed) < 2**61).mean() for seed in range(20)]
    assert abs(np.mean(shares) - 1 / 8) < 0.005 / 20**0.5  # three standard errors of 20 seeds
    assert 0.5 < np.std(shares) / (1 / 8 * 7 / 8 / len(lines)) ** 0.5 < 1.5, "as independent draws"
    assert "data_seed 7" in df.attrs["split"] and df.attrs["data_seed"] == 7
    path.write_text("\n".join(lines[::-3]))
    some = sports1m.read_sports1m(path, data_seed=7)
    assert some["split"].tolist() == expected[::-3]
    other = sports1m.read_sports1m(path, data_seed=-1)["split"]
    agree = (other == some["split"]).mean()  # 1/64 + 49/64 by chance
    assert 0.76 < agree < 0.80
    path = path.rename(tmp_path / "test_partition.txt")
    assert sports1m.read_sports1m(path).attrs["split"] == "train and test as the source says"


def test_hashes_of_ids_of_any_length():
    names = ["", "a", "12345678", "x" * 100, "UDqivjS-lpI", "x" * 99, ""]
    for array in (pa.array(names), pa.array(["before", *names, "after"]).slice(1, len(names))):
        for seed in (0, 1, 2**70 + 3, -5):
            found = catalog.hash_ids(array, seed).tolist()
            assert found == [hash_id(name, seed) for name in names]
    assert len(catalog.hash_ids(pa.array([], pa.string()))) == 0
    assert catalog.hash_ids(pa.array([None], pa.string())).tolist() == [hash_id("", 0)]


def test_odd_letters_are_found_in_their_row_alone(tmp_path):
    """Wherever a batch begins: what Arrow hands on is often a slice."""
    objects = [video("a"), video("b", stitle="x\x85"), video("c", stitle=None), video("d")]
    objects += [video("e", stitle="é"), video("f", id="f!"), video("g", duration="1"), video("h")]
    (rows,) = sports1m._parse_json(write(tmp_path, objects) / "sports1m_train.json")
    truth = [-1, 5, -1, -1, -1, 0, 3, -1]
    for start in range(len(truth)):
        checked = sports1m._check(rows.slice(start), "train", 487, 0)
        assert checked["why"].to_pylist() == truth[start:]
        assert checked["id"].is_null().to_pylist() == [n >= 0 for n in truth[start:]]


def test_a_zip_is_read_and_never_unpacked_by_its_names(tmp_path):
    folder = write(tmp_path / "files", [video(f"a{n}") for n in range(50)], [video("t")])
    path = tmp_path / "in" / "j.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(folder / "sports1m_train.json", "/etc/../../evil/sports1m_train.json")
        archive.write(folder / "sports1m_test.json", "..\\..\\evil/<img src=x>/sports1m_test.json")
        archive.writestr("__MACOSX/._sports1m_train.json", b"\0\5\x16\7 not JSON")
        archive.writestr("sports1m.json/", "")
        archive.writestr("readme.txt", "hello")
    shutil.copy(folder / "labels.txt", path.parent)
    df = sports1m.read_sports1m(path)
    pd.testing.assert_frame_equal(df, sports1m.read_sports1m(folder))
    assert {p.name for p in tmp_path.rglob("*")} == {
        "files", "in", "j.zip", "labels.txt", "sports1m_train.json", "sports1m_test.json"
    }  # fmt: skip


def test_lists(tmp_path):
    url = "https://www.youtube.com/watch?v="
    train = [f"{url}AAAAAAAAAAA 0,486", "", "what", f"{url}BBBBBBBBBBB", f"{url}CCCCCCCCCCC -1"]
    train += [f"{url}DDDDDDDDDDD 487", "EEEEEEEEEEE\t3, 4 ", f"{url}FFFFFFFFFFF 3", "short 3"]
    folder = tmp_path / "original"
    folder.mkdir()
    (folder / "train_partition.txt").write_text("\r\n".join(train))
    (folder / "test_partition.txt").write_text(f"{url}FFFFFFFFFFF 5\n{url}-_GGGGGGGGG 6")
    (folder / "notes.txt").write_text("HHHHHHHHHHH 3")
    df = sports1m.read_sports1m(folder)
    assert [(one[0][-1], one[2]) for one in rows(df)] == [
        ("F", [5]), ("G", [6]), ("A", [0, 486]), ("E", [3, 4])
    ]  # fmt: skip
    assert df["url"].tolist() == [url + name for name in df["id"]] and df["title"].isna().all()
    assert df.attrs["broken"] == {NO_ID: 2, NO_LABELS: 1, NO_CLASS: 2, AGAIN: 1}
    assert len(df.attrs["classes"]) == 487 and df.attrs["classes"][3] == "class 3"
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n")  # where the real repository has it
    df = sports1m.read_sports1m(folder)
    assert df.attrs["classes"] == list("abcde") and df.attrs["broken"][NO_CLASS] == 5
    with pytest.raises(ValueError, match=r"no Sports-1M .* \(there: labels.txt, original\)"):
        sports1m.read_sports1m(tmp_path)


def test_a_folder_with_a_single_list_is_that_list(tmp_path):
    (tmp_path / "labels.txt").write_text("boomerang 1\nice climbing\nice_skating\n")
    (tmp_path / "mids.txt").write_text("/m/010dmf,boomerang\n")
    (tmp_path / "test_videos.txt").write_text("AAAAAAAAAAA 0,2\nBBBBBBBBBBB 1\n")
    df = sports1m.read_sports1m(tmp_path)
    assert df["id"].tolist() == ["A" * 11, "B" * 11] and set(df["split"]) == {"test"}
    assert df.attrs["classes"] == ["boomerang 1", "ice climbing", "ice_skating"]
    (tmp_path / "more.txt").write_text("CCCCCCCCCCC 1\n")
    with pytest.raises(ValueError, match="labels.txt, mids.txt, more.txt, .*one file of lines"):
        sports1m.read_sports1m(tmp_path)


def test_the_real_list(real_data):
    df = sports1m.read_sports1m(real_data / "sports1m" / "test_videos.txt")
    lines = (real_data / "sports1m" / "test_videos.txt").read_text().splitlines()
    truth = [(line[:11], [int(n) for n in line[12:].split(",")]) for line in lines]
    assert [(name, labels) for name, _, labels, *_ in rows(df)] == truth
    assert len(df) == 188_714 and not df.attrs["broken"] and set(df["split"]) == {"test"}
    assert sum(len(labels) > 1 for _, labels in truth) == 7_701
    counts = df["labels"].explode().value_counts()
    assert (counts.min(), counts.max(), len(counts)) == (36, 872, 487)
    names = (real_data / "sports1m" / "labels.txt").read_text("utf-8").splitlines()
    assert df.attrs["classes"] == names


def test_lines_of_a_list(tmp_path):
    lines = ["AAAAAAAAAAA 0,2", "what", "AAAAAAAAAAA 1,1", "BBBBBBBBBBB 3"]
    (tmp_path / "x.txt").write_text("\n".join(lines))
    found, broken = sports1m.read_list(tmp_path / "x.txt", classes=3)
    assert found.to_pydict() == {"id": ["A" * 11] * 2, "labels": [[0, 2], [1]]}
    assert broken == {NO_ID: 1, NO_CLASS: 1}
