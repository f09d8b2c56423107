"""Two hundred generated folders and tables: half are valid and are read as they were meant, the
other half are damaged and end in success or in one sentence."""

import os
import random
from pathlib import Path
from urllib.parse import quote

import pytest

from s1m_lab.common import paths
from s1m_lab.data import catalog, datasets
from s1m_lab.data.ingest import prepare

WORDS = (
    "run walk jump épée 登山 ski-jump 100m 2 10 1 high_jump o'clock café a&b [x] 50% ÅÄÖ".split()
)
STEMS = ["clip", "my film", "v_01", "-dash", "ñandú", "видео", "a.b.c", "(1)", "x" * 120, "1"]
SUFFIXES = [".mp4", ".AVI", ".webm", ".mkv", ".mov", ".MpG"]
JUNK = [".DS_Store", "._a.mp4", "Thumbs.db", "@eaDir/a.mp4", ".Trash-0/b.mp4", "notes.txt"]
SPLIT_NAMES = [("train", "test"), ("Training", "Testing"), ("train", "val", "test"), ("trn", "tst")]
MEANS = {"t": "train", "v": "val"} | {"test": "test", "testing": "test", "tst": "test"}
Truth = dict[str, tuple[tuple[str, ...], str]]  # class names and split of each path


def means(split: str) -> str:
    return MEANS.get(split.lower(), MEANS[split[0].lower()])


def videos(rng: random.Random, root: Path, classes: list[str], splits: tuple) -> Truth:
    """Files in class folders below `root`, and what each of them is."""
    truth: Truth = {}
    inside = rng.random() < 0.3  # the splits lie in each class
    for name in classes:
        for split in splits or ("",):
            stems = rng.sample(STEMS, rng.randint(2, 5))
            for stem in stems:
                parts = [name, split] if inside else [split, name]
                parts += ["deep"] * (rng.random() < 0.2) + [stem + rng.choice(SUFFIXES)]
                place = root.joinpath(*filter(None, parts))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(b"not decoded here")
                truth[str(place)] = ((name,), means(split) if split else "")
    for name in rng.sample(JUNK, 3):
        place = root.joinpath(rng.choice([*classes, ""]), name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"junk")
    return truth


def folder(rng: random.Random, root: Path) -> tuple[Path, Truth]:
    splits = rng.choice([(), *SPLIT_NAMES])
    return root, videos(rng, root, rng.sample(WORDS, rng.randint(1, 5)), splits)


def table(rng: random.Random, root: Path) -> tuple[Path, Truth]:
    """A table of videos in a form that some tool writes."""
    classes = sorted(rng.sample(WORDS[:7], rng.randint(2, 5)))
    truth = videos(rng, root / "films", classes, ())
    mark = rng.choice(",;\t")
    head = rng.choice(["path,labels", " Path , Labels ", "video,label", "filename,class"]).split(
        ","
    )
    numbers, named = rng.random() < 0.4, rng.random() < 0.5
    if numbers and named:
        (root / "labels.txt").write_text("".join(f"{name}\n" for name in classes), "utf-8")
    split_names = rng.choice([(), ("train", "test"), ("training", "validation", "testing")])
    lines, wanted = [mark.join([*head, *["split"] * bool(split_names)])], {}
    for n, (path, ((name,), _)) in enumerate(sorted(truth.items())):
        own = [name] if n < len(classes) * 5 else rng.sample(classes, 1)
        if rng.random() < 0.2:
            own = sorted({*own, rng.choice(classes)})
        split = split_names[n % len(split_names)] if split_names else ""
        style = rng.choice(["relative", "absolute", "backslash", "file", "percent"])
        relative = str(Path(path).relative_to(root))
        forms = {"absolute": path, "file": f"file://{quote(path)}", "percent": quote(relative)}
        text = (forms | {"backslash": relative.replace("/", "\\")}).get(style, relative)
        keys = [str(classes.index(each)) for each in own] if numbers else own
        label = f"[{', '.join(keys)}]" if numbers and rng.random() < 0.5 else "|".join(keys)
        cells = [text, label, *[split] * bool(split)]
        lines.append(mark.join(f'"{cell}"' for cell in cells))
        shown = own if named or not numbers else [f"class {classes.index(each)}" for each in own]
        wanted[path] = (tuple(shown), means(split) if split else "")
    path = root / f"list{rng.choice(['.csv', '.tsv', '.txt'])}"
    code, end = rng.choice(["utf-8", "utf-8-sig", "utf-16"]), rng.choice(["\n", "\r\n"])
    path.write_bytes(end.join(lines).encode(code))
    return path, wanted


def damage(rng: random.Random, source: Path) -> None:
    """Break a source in one of many ways."""
    if source.is_dir():
        inner = sorted(path for path in source.rglob("*") if path.is_dir())
        there = rng.choice(inner or [source])
        how = rng.randrange(5)
        if how == 0:
            (source / rng.choice(["train", "test", "val"])).mkdir(exist_ok=True)
            (source / "train" / "x").mkdir(parents=True, exist_ok=True)
            (source / "train" / "x" / "a.mp4").write_bytes(b"x")
        elif how == 1:
            for path in source.rglob("*.*"):
                if path.is_file():
                    path.rename(path.with_suffix(".jpg"))
        elif how == 2:
            there.rename(there.with_name(rng.choice(["train", "$RECYCLE.BIN", ".hidden", "eval"])))
        elif how == 3:
            (there / "loop").symlink_to(source)
        else:
            (there / "\udcff.mp4").write_bytes(b"x")  # no text
        return
    data = bytearray(source.read_bytes())
    how, at = rng.randrange(6), rng.randrange(len(data))
    if how == 0:
        del data[at:]
    elif how == 1:
        for _ in range(20):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif how == 2:
        data = bytearray(rng.randbytes(300))
    elif how == 3:
        data = data.replace(b"path", b"place").replace(b"label", b"lab")
    elif how == 4:
        data = data[data.find(b"\n") + 1 :]
    else:
        del data[:at]
    source.write_bytes(data)


@pytest.mark.parametrize("seed", range(100))
def test_a_valid_source_is_read_as_it_was_meant(seed, home, tmp_path):
    rng = random.Random(seed)
    source, wanted = (folder, table)[seed % 2](rng, tmp_path / "set")
    assert prepare.preview(source)[0].startswith(f"{len(wanted)} videos, ")
    df = catalog.load_catalog(datasets.listed(source))
    classes = df.attrs["classes"]
    found = {
        path: tuple(sorted(classes[n] for n in own))
        for path, own in zip(df["path"], df["labels"], strict=True)
    }
    assert found == {path: tuple(sorted(names)) for path, (names, _) in wanted.items()}
    given = {path: split for path, (_, split) in wanted.items() if split}
    made = dict(zip(df["path"], df["split"], strict=True))
    if "val" in given.values() or not given:
        assert {path: made[path] for path in given} == given
    else:
        assert {path: made[path] == "test" for path in given} == {
            path: split == "test" for path, split in given.items()
        }


@pytest.mark.parametrize("seed", range(100, 200))
def test_a_damaged_source_ends_in_success_or_one_sentence(seed, home, tmp_path):
    rng = random.Random(seed)
    source, _ = (folder, table)[seed % 2](rng, tmp_path / "set")
    damage(rng, source)
    try:
        assert prepare.preview(source)
    except (ValueError, OSError) as error:
        words = str(error)
        assert str(source) in words and "\n" not in words and 40 < len(words) < 900
        assert not isinstance(error, UnicodeError | FileNotFoundError)


@pytest.mark.parametrize(
    ("table", "settings", "words"),
    [
        ("path,labels\nb/1.mp4,b\nb/2.mp4,c\n", {}, "such as {root}/b/1.mp4; correct the paths"),
        ("path,labels,split\na/1.mp4,a,train\na/2.mp4,a,foo\n", {}, "{root}/t.csv: split is 'foo'"
         " in some rows, such as that of a/2.mp4"),
        ("path,labels,split\na/1.mp4,a,train\na/2.mp4,a,train\n", {}, "{root}/t.csv: of the splits"
         " only train is given"),
        ("path,labels\na/1.mp4,a\n", {"files": "/nowhere"}, "files is /nowhere, and there is no"),
        ("path,labels\na/1.mp4,a\n", {"clips": 0}, "1 to 999 per video are possible"),
        ("path,labels\na/1.mp4,a\n", {"size": 5}, "16 to 1024 are possible"),
        ("path,labels\na/1.mp4,a\n", {"max_duration": -1.0}, "it must be above 0"),
        ("path,labels\na/1.mp4,a\n", {"max_duration": float("nan")}, "it must be above 0"),
        ("path,labels\na/1.mp4,a\n", {"output": "{root}/t.csv"}, "t.csv, which is no folder"),
    ],
)  # fmt: skip
def test_a_mistake_gets_its_answer_before_any_work(table, settings, words, home, tmp_path):
    (tmp_path / "a").mkdir()
    for n in (1, 2):
        (tmp_path / "a" / f"{n}.mp4").write_bytes(b"not decoded here")
    (tmp_path / "t.csv").write_text(table)
    for function in (prepare.preview, prepare.prepare):
        with pytest.raises((ValueError, OSError)) as error:
            given = {
                k: v.format(root=tmp_path) if k == "output" else v for k, v in settings.items()
            }
            function(tmp_path / "t.csv", **given)
        assert words.format(root=tmp_path) in str(error.value)
    assert not list((home / "data").glob("*/clips"))


def test_videos_without_a_class_folder_and_one_video_say_what_to_give(home, tmp_path):
    (tmp_path / "1.mp4").write_bytes(b"not decoded here")
    with pytest.raises(ValueError, match="; 1 videos lie in no class folder; put the videos of a"):
        prepare.preview(tmp_path)
    with pytest.raises(ValueError, match="1.mp4 is one video; give the folder above its class"):
        prepare.preview(tmp_path / "1.mp4")


@pytest.mark.parametrize("name", ["r" * 255, "名" * 84, "v" * 250 + ".csv"])
def test_a_source_of_a_long_name_gets_a_dataset(name, home, tmp_path):
    inside = tmp_path / "set"
    for label in "ab":
        (inside / label).mkdir(parents=True)
        for n in range(4):
            (inside / label / f"{n}.mp4").write_bytes(b"not decoded here")
    source = tmp_path / name
    if name.endswith(".csv"):
        source.write_text("path,labels\n" + "".join(f"set/a/{n}.mp4,a\n" for n in range(4)))
    else:
        inside.rename(source)
    assert len(os.fsencode(paths.dataset(source).name)) < 170
    with pytest.raises(ValueError, match="not one clip could be made"):
        prepare.prepare(source, workers=1)


def test_a_folder_is_found_by_its_file_address_and_by_a_dot(home, tmp_path, monkeypatch):
    (tmp_path / "my videos" / "a").mkdir(parents=True)
    (tmp_path / "my videos" / "a" / "0.mp4").write_bytes(b"not decoded here")
    monkeypatch.chdir(tmp_path / "my videos")
    one = paths.dataset(tmp_path / "my videos")
    assert paths.dataset(".") == one == paths.dataset((tmp_path / "my videos").as_uri())
    assert prepare.preview(".")[0] == prepare.preview((tmp_path / "my videos").as_uri())[0]


def test_files_of_a_table_may_lie_elsewhere(home, tmp_path):
    (tmp_path / "v").mkdir()
    for n in range(4):
        (tmp_path / "v" / f"{n}.mp4").write_bytes(b"not decoded here")
    table = tmp_path / "t.csv"
    table.write_text("path,labels\n" + "".join(f"{n}.mp4,a\n" for n in range(4)))
    with pytest.raises(ValueError, match="correct the paths"):
        prepare.preview(table)
    assert not [x for x in prepare.preview(table, files=str(tmp_path / "v")) if "out of" in x]
    far = tmp_path / "far" / "v"
    far.mkdir(parents=True)
    (far / "0.mp4").write_bytes(b"not decoded here")
    table.write_text(table.read_text() + "../../gone.mp4,a\n")
    (tmp_path / "gone.mp4").write_bytes(b"where ../.. leads from files, which is not asked for")
    out = prepare.preview(table, files=str(far))
    assert any(line.startswith("out of reach: 4 videos") for line in out)


def test_a_dry_run_of_addresses_fetches_nothing(home, tmp_path):
    (tmp_path / "t.csv").write_text("path,labels\nhttp://127.0.0.1:9/a.mp4,a\n")
    lines = prepare.preview(tmp_path / "t.csv")
    assert "out of reach: 1 videos, such as http://127.0.0.1:9/a.mp4" in lines
    assert lines[-1].startswith("at most 0 clips")


def test_a_wrong_place_is_answered_with_the_nearest(home, tmp_path):
    (tmp_path / "videos" / "a").mkdir(parents=True)
    (tmp_path / "videos" / "a" / "0.mp4").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no folder or table .*/vidoes; there is videos$"):
        prepare.preview(tmp_path / "vidoes")
    with pytest.raises(FileNotFoundError, match="that is a path of Windows"):
        prepare.preview(r"C:\Users\me\videos")
    assert f"empty files: 1, such as {tmp_path}/videos/a/0.mp4" in prepare.preview(
        tmp_path / "videos"
    )


@pytest.mark.parametrize("name", ["videos.csv", "list.txt", "a.mp4"])
def test_the_address_of_a_file_says_what_to_give(name, home):
    with pytest.raises(
        ValueError, match=f"memory://b/{name} is a file; give the address of a fold"
    ):
        prepare.preview(f"memory://b/{name}")
