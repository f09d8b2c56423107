"""Whatever a user brings becomes one tidy catalog: typed, uniquely named, split by a rule."""

import json
import time
import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from s1m_lab.data import catalog, datasets, folder_reader, sports1m, table_reader


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def lines(path, *rows):
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def labels_of(df) -> list[list[str]]:
    return [[df.attrs["classes"][n] for n in row] for row in df["labels"]]


def splits(df) -> dict:
    return df.groupby("split")["id"].count().to_dict()


def test_save_and_load(tmp_path):
    touch(tmp_path / "videos", *(f"{c}/{k}.mp4" for c in ("rückwärts", "b c") for k in range(5)))
    df = folder_reader.read_folder(tmp_path / "videos", data_seed=3)
    catalog.save_catalog(df, tmp_path / "set")
    again = catalog.load_catalog(tmp_path / "set")
    pd.testing.assert_frame_equal(df, again)
    assert again.attrs == df.attrs and again.attrs["data_seed"] == 3
    assert (tmp_path / "set" / "labels.txt").read_text("utf-8") == "b c\nrückwärts\n"
    assert all(isinstance(t, pd.ArrowDtype) for t in df.dtypes)
    assert df.dtypes["labels"].pyarrow_dtype == pa.list_(pa.int16())
    with pytest.raises(FileNotFoundError, match="no dataset"):
        catalog.load_catalog(tmp_path)


def test_class_folders(tmp_path):
    touch(tmp_path, *(f"{c}/{k}.mp4" for c in "ab" for k in range(10)), "b/deep/er/x.MKV")
    touch(tmp_path, "a/notes.txt", "a/.hidden.mp4", ".git/x.mp4", "loose.mp4", "empty/readme.md")
    df = folder_reader.read_folder(tmp_path)
    assert df.attrs["classes"] == ["a", "b"] and len(df) == 21
    assert df.attrs["broken"] == {
        "videos in no class folder": 1,
        "files hidden or left by a system (.git/, a/.hidden.mp4)": 2,
        "files in folders without a video, which are no classes: empty (.md)": 1,
        "files without a video's suffix (.txt)": 1,
    }
    assert splits(df) == {"train": 15, "val": 2, "test": 4}
    for label in (0, 1):
        part = df[[row[0] == label for row in df["labels"]]]
        assert set(part["split"]) == {"train", "val", "test"}
    assert "b-deep-er-x" in set(df["id"])


def test_links_are_followed_once(tmp_path):
    touch(tmp_path / "elsewhere", "x.mp4", "y.mp4")
    touch(tmp_path / "set", "a/0.mp4")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "b" / "loop").symlink_to(tmp_path / "set")
    df = folder_reader.read_folder(tmp_path / "set")
    assert sorted(df["id"]) == ["a-0", "b-x", "b-y"]


def test_folders_under_splits(tmp_path):
    touch(
        tmp_path, *(f"{s}/{c}/{k}.mp4" for s in ("train", "test") for c in "ab" for k in range(8))
    )
    df = folder_reader.read_folder(tmp_path)
    assert df.attrs["classes"] == ["a", "b"]
    assert splits(df) == {"train": 14, "val": 2, "test": 16}
    assert "an eighth of train became val" in df.attrs["split"]
    touch(tmp_path, *(f"validation/{c}/{k}.mp4" for c in "ab" for k in range(3)))
    df = folder_reader.read_folder(tmp_path)
    assert splits(df) == {"train": 16, "val": 6, "test": 16}
    assert df.attrs["split"] == "train, val and test as given"


TWO = {"train": 16, "test": 16}


def test_a_folder_has_its_own_name_and_not_that_of_a_link(tmp_path):
    touch(tmp_path, "walk/0.mp4", "run/0.mp4")
    (tmp_path / "aaa").symlink_to(tmp_path / "walk")
    assert folder_reader.read_folder(tmp_path).attrs["classes"] == ["run", "walk"]


@pytest.mark.parametrize(
    "folders, split",
    [
        ("training testing", TWO),
        ("Train TEST", TWO),
        ("train eval", TWO),
        ("videos_train videos_val", TWO),
        ("train_256 val_256", TWO),
        ("train2017 test2017", TWO),
        ("split-train Test_Videos_240p", TWO),
        ("entrenamiento prueba", TWO),
        ("训练集 测试集", TWO),
        ("train valid", TWO),
        ("train dev", TWO),
        ("train_set test_set", TWO),
        ("Training-Data Evaluation", TWO),
        ("train validation test", TWO | {"val": 16}),
        ("train dev test", TWO | {"val": 16}),
        ("train val eval", TWO | {"val": 16}),
        ("train eval test", TWO | {"val": 16}),
        ("training validation testing", TWO | {"val": 16}),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_splits_under_the_names_people_use(tmp_path, folders, split, inside):
    for part in folders.split():
        places = [f"{c}/{part}" if inside else f"{part}/{c}" for c in "ab"]
        touch(tmp_path, *(f"{place}/{k}.mp4" for place in places for k in range(8)))
    touch(tmp_path, "intro.mp4")  # beside the splits, and of none
    df = folder_reader.read_folder(tmp_path)
    assert df.attrs["classes"] == ["a", "b"] and "as given" in df.attrs["split"]
    assert df.attrs["broken"] == {"videos in no class folder": 1}
    if "val" not in split:  # an eighth of train became val
        split = {"train": 14, "val": 2, "test": 16}
    assert splits(df) == split
    rows = "".join(f"{n}.mp4,x,{part}\n" for n, part in enumerate(folders.split()))
    (tmp_path / "t.csv").write_text(f"path,labels,split\n{rows}")
    assert set(table_reader.read_table(tmp_path / "t.csv")["split"]) <= {"train", "val", "test"}


@pytest.mark.parametrize(
    "names, says",
    [
        (
            "train/a/0 test/a/0 extra/a/0",
            "holds folders of splits .test, train. and other folders .extra.",
        ),
        ("training/a/0 eval/a/0 a/0", "other folders .a."),
        ("a/train/0 a/test/0 b/other/0", "the classes in .* other folders .other."),
        ("val/a/0 val/b/0", "of the splits only val is given"),
        ("train/a/0 extra/a/0", "other folders .extra."),
        ("training/a/0 holdout/b/0", "other folders .holdout."),
        ("val/a/0 test/a/0 walk/a/0", "other folders .walk."),
        ("trainval/a/0 test/a/0", "other folders .trainval."),
        ("train1/a/0 train2/a/0 test1/a/0", "may be splits or classes .test1, train1, train2."),
        ("trainlist01/a/0 testlist01/a/0", "may be splits or classes .testlist01, trainlist01."),
        ("train/a/0 test/0 test/1", "only train is given; .*; 2 videos lie in no class folder"),
        ("set/train/a/0 set/test/a/0", "give .*/set"),
    ],
)
def test_folders_that_are_half_split_are_refused(tmp_path, names, says):
    touch(tmp_path, *(f"{name}.mp4" for name in names.split()))
    with pytest.raises(ValueError, match=says):
        folder_reader.read_folder(tmp_path)


@pytest.mark.parametrize("names", ["train bus car", "test walk", "training dancing", "eval_x dev"])
def test_classes_may_be_called_like_a_split(tmp_path, names):
    touch(tmp_path, *(f"{name}/{k}.mp4" for name in names.split() for k in range(4)))
    assert folder_reader.read_folder(tmp_path).attrs["classes"] == sorted(names.split())


JUNK = (
    "$RECYCLE.BIN @eaDir .ipynb_checkpoints .Trash-1000 .Trashes __MACOSX #recycle lost+found "
    ".git .AppleDouble @Recycle FOUND.000 LOST.DIR RECYCLED ~snapshot Config.Msi $WinREAgent"
)


@pytest.mark.parametrize("junk", [*JUNK.split(), "System Volume Information"])
@pytest.mark.parametrize("place", ["", "a/"])
def test_junk_of_systems_is_ignored_and_counted(tmp_path, junk, place):
    touch(tmp_path, "a/0.mp4", "a/1.mp4", "b/0.mp4", "b/Thumbs.db", f"{place}{junk}/x/y.mp4")
    df = folder_reader.read_folder(tmp_path)
    assert df.attrs["classes"] == ["a", "b"] and len(df) == 3
    assert df.attrs["broken"] == {f"files hidden or left by a system ({place}{junk}/)": 1}


def test_folders_without_a_video_are_named_with_what_they_hold(tmp_path):
    touch(tmp_path, "disc/0.VOB", "web/0.f4v", "frames/0.jpg", "frames/1.jpg", "old/0.rmvb")
    (tmp_path / "none").mkdir()
    df = folder_reader.read_folder(tmp_path)
    assert df.attrs["classes"] == ["disc", "web"]
    told = "frames (.jpg), none (empty or read before), old (.rmvb)"
    assert df.attrs["broken"] == {
        f"files in folders without a video, which are no classes: {told}": 4,
    }
    (tmp_path / "disc" / "0.VOB").unlink()
    (tmp_path / "web" / "0.f4v").unlink()
    with pytest.raises(ValueError, match="there are .jpg, .rmvb .frames as pictures are not read"):
        folder_reader.read_folder(tmp_path)


@pytest.mark.parametrize("name", ["Café", "ü b", "한국", "が"])
def test_accents_composed_or_not_are_one_class(tmp_path, name):
    one, other = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    touch(tmp_path, f"{one}/0.mp4", f"{other}/1.mp4", "x/0.mp4")
    df = folder_reader.read_folder(tmp_path)
    assert sorted(df.attrs["classes"]) == sorted([one, "x"]) and len(df) == 3
    assert len(set(df["path"])) == len(set(df["id"])) == 3


def test_a_catalog_that_exists_keeps_its_names_and_numbers(tmp_path):
    accent = unicodedata.normalize("NFD", "é")
    touch(tmp_path, *(f"{c}/{k}.mp4" for c in ("1", "2", "10", accent) for k in range(3)))
    new = folder_reader.read_folder(tmp_path)
    assert new.attrs["classes"] == ["1", "2", "10", "é"]
    old = new.copy()
    old.attrs = new.attrs | {"classes": ["1", "10", "2", accent]}
    again = folder_reader.read_folder(tmp_path, known=old)
    assert again.attrs["classes"] == old.attrs["classes"]
    assert again["id"].equals(new["id"]) and again["split"].equals(new["split"])
    touch(tmp_path, "3/0.mp4")
    assert folder_reader.read_folder(tmp_path, known=old).attrs["classes"][1] == "10"
    longer = ["1", "2", "3", "10", "é"]
    assert folder_reader.read_folder(tmp_path, known=new).attrs["classes"] == longer


def test_numbers_in_class_names_sort_as_numbers(tmp_path):
    names = ["1", "2", "10", "011", "class 2", "class 10", "x", "x1y2", "x1y10"]
    touch(tmp_path, *(f"{name}/0.mp4" for name in names))
    assert folder_reader.read_folder(tmp_path).attrs["classes"] == names


def test_a_folder_without_classes_says_what_to_do(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(ValueError, match="put the videos of a class into a folder"):
        folder_reader.read_folder(tmp_path)


def test_hostile_names(tmp_path):
    names = ["c/-rf.mp4", "c/a\nb.mp4", "c/<img src=x>.mp4", "c/x.mp4", "c/x.avi", "c/X y.mp4"]
    names += ["c/X_y.mp4", "c/" + "n" * 200 + ".mp4", "c/ü.mp4", "--\n-/x.mp4"]
    touch(tmp_path, *names)
    df = folder_reader.read_folder(tmp_path)
    assert len(df) == len(names) and df["id"].is_unique
    assert df["id"].str.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}").all(), list(df["id"])
    assert df.attrs["classes"] == ["-- -", "c"]
    assert sorted(df["path"]) == sorted(str(tmp_path / name) for name in names)


def test_a_name_that_is_not_text_is_set_aside(tmp_path):
    touch(tmp_path, "c/a.mp4")
    try:
        (tmp_path / "c" / b"\xff.mp4".decode(errors="surrogateescape")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system has no such names")
    df = folder_reader.read_folder(tmp_path)
    assert len(df) == 1 and df.attrs["broken"] == {"files whose name is not UTF-8": 1}


def test_split_depends_on_seed_and_not_on_other_classes(tmp_path):
    touch(tmp_path, *(f"a/{k}.mp4" for k in range(20)))
    touch(tmp_path, *(f"b/{k}.mp4" for k in range(20)))
    one = folder_reader.read_folder(tmp_path).set_index("id")["split"]
    assert one.equals(folder_reader.read_folder(tmp_path).set_index("id")["split"])
    assert not one.equals(folder_reader.read_folder(tmp_path, data_seed=1).set_index("id")["split"])
    touch(tmp_path, *(f"c/{k}.mp4" for k in range(20)))
    assert one.equals(folder_reader.read_folder(tmp_path).set_index("id")["split"].loc[one.index])


@pytest.mark.parametrize("n, test, val", [(1, 0, 0), (2, 1, 0), (3, 1, 1), (9, 2, 1), (30, 6, 3)])
def test_small_classes_are_tested_where_possible(tmp_path, n, test, val):
    touch(tmp_path, *(f"a/{k}.mp4" for k in range(n)), *(f"b/{k}.mp4" for k in range(40)))
    df = folder_reader.read_folder(tmp_path)
    mine = [split for split, row in zip(df["split"], df["labels"], strict=True) if row[0] == 0]
    assert (mine.count("test"), mine.count("val")) == (test, val)


def test_groups_stay_whole(tmp_path):
    """Nine people do every action, as in Weizmann's set: nobody is in two splits."""
    rows = [f"{c}/p{k}.avi,{c},p{k}" for c in ("bend", "jack", "wave") for k in range(9)]
    df = table_reader.read_table(lines(tmp_path / "t.csv", "path,labels,group", *rows))
    assert df.groupby("group")["split"].nunique().max() == 1
    assert splits(df) == {"train": 18, "val": 3, "test": 6}
    assert "every group whole" in df.attrs["split"]
    assert "no groups are known" not in df.attrs["split"]


@pytest.mark.parametrize("column", ["", ",split"])
def test_without_groups_none_is_said_to_be_whole(tmp_path, column):
    rows = [f"{k}.mp4,x{column and ',train' if k else column and ',test'}" for k in range(20)]
    df = table_reader.read_table(lines(tmp_path / "t.csv", f"path,labels{column}", *rows))
    assert df["group"].isna().all()
    assert "group whole" not in df.attrs["split"]
    assert "one person or scene may stand in several splits" in df.attrs["split"]


def test_given_splits_that_tear_groups_are_told(tmp_path):
    rows = ["a.mp4,x,train,g", "b.mp4,x,test,g", "c.mp4,x,val,h"]
    df = table_reader.read_table(lines(tmp_path / "t.csv", "path,labels,split,group", *rows))
    assert df["split"].tolist() == ["train", "test", "val"]
    assert "1 groups stand in several splits" in df.attrs["split"]


def test_table(tmp_path):
    rows = [
        'a.mp4,run|jump,"a, ""b"" c"',
        "../../x.mp4,jump,",
        ",run,x",
        "b.mp4,,",
        "/abs/c.mp4,run,",
    ]
    df = table_reader.read_table(
        lines(tmp_path / "t.csv", "path,labels,title", *rows, "a.mp4,swim,again")
    )
    assert labels_of(df) == [["run", "jump", "swim"], ["jump"], ["run"]]
    assert df["path"].tolist()[2] == "/abs/c.mp4"
    assert df["path"].tolist()[1] == str(tmp_path.parent.parent / "x.mp4")
    assert df["title"][0] == 'a, "b" c' and df["id"].str.match(r"\w").all()
    assert sum(df.attrs["broken"].values()) == 3


def test_labels_are_names_once_each(tmp_path):
    """A separator too many, a name twice, and cells with separators alone."""
    rows = ["a.mp4,luge|", "b.mp4, | ", "c.mp4,|", "d.mp4,bob|bob", "e.mp4,| luge ||bob|luge"]
    rows += ["f.mp4,\u200b", "g.mp4,\u200b|bob"]
    df = table_reader.read_table(lines(tmp_path / "t.csv", "path,labels", *rows))
    assert labels_of(df) == [["luge"], ["bob"], ["luge", "bob"], ["bob"]]
    assert df.attrs["broken"] == {"rows without labels": 3}
    df = table_reader.read_table(
        lines(tmp_path / "n.csv", "path,labels", "a.mp4,1|1", 'b.mp4,"|0,"')
    )
    assert [list(row) for row in df["labels"]] == [[1], [0]]


def test_numbers_that_pandas_wrote_are_numbers(tmp_path):
    """Beside an empty cell a column of whole numbers becomes one of floats."""
    lines(tmp_path / "labels.txt", "x", "y", "z")
    table = pd.DataFrame({"path": list("abc"), "labels": [1, None, 2]})
    table.to_csv(tmp_path / "t.csv", index=False)
    assert "1.0" in (tmp_path / "t.csv").read_text()
    table.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        df = table_reader.read_table(tmp_path / name)
        assert labels_of(df) == [["y"], ["z"]] and df.attrs["broken"] == {"rows without labels": 1}


def test_table_of_numbers(tmp_path):
    path = lines(tmp_path / "t.csv", "path,labels", "a.mp4,3", 'b.mp4,"0,2"', "c.mp4,1|3")
    assert table_reader.read_table(path).attrs["classes"] == [f"class {n}" for n in range(4)]
    lines(tmp_path / "labels.txt", "w", "x", "y", "z")
    assert labels_of(table_reader.read_table(path)) == [["z"], ["w", "y"], ["x", "z"]]
    lines(tmp_path / "labels.txt", "w", "x")
    with pytest.raises(ValueError, match="label 3 is beyond the 2 classes"):
        table_reader.read_table(path)


@pytest.mark.parametrize("labels", [["x", "y"], [0, 1], [["x"], ["x", "y"]], [[1], [0, 1]]])
def test_parquet_table(tmp_path, labels):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"path": ["a.mp4", "b.mp4"], "labels": labels}).to_parquet(path)
    df = table_reader.read_table(path)
    assert len(df) == 2 and len(df.attrs["classes"]) == 2
    assert [len(row) for row in df["labels"]] == [
        1,
        len(labels[1]) if labels[0] != labels[1] and isinstance(labels[1], list) else 1,
    ]


@pytest.mark.parametrize(
    "text, says",
    [
        ("path,lapels\na.mp4,x\n", "no column labels.*rename 'lapels' to labels"),
        ("path,labels,split\na.mp4,x,trian\n", "'trian'"),
        ("path,labels,split\na.mp4,x,train\nb.mp4,x,\n", "''"),
        ("path,labels\n,\n", "no row"),
        ("path,labels\na.mp4,x,y,z\n", "cannot be read"),
        ("", "cannot be read"),
        ("path,labels,path\na.mp4,1,b.mp4\n", "several columns path"),
        ("path,labels\na.mp4,99999999999\n", "label 99999999999 is beyond"),
    ],
)
def test_wrong_tables_say_what_is_wrong(tmp_path, text, says):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        table_reader.read_table(tmp_path / "t.csv")


def test_sports1m_is_saved_as_it_was_read(tmp_path):
    """Invented titles and durations in the format of the published JSON."""
    train = [
        {
            "stitle": f'A "title" & <b>{k}</b> 選手',
            "label487": [k % 7],
            "duration": k,
            "id": f"v{k}",
        }
        for k in range(70)
    ]
    (tmp_path / "sports1m_train.json").write_text(json.dumps(train))
    df = sports1m.read_sports1m(tmp_path, data_seed=2)
    assert df.attrs["broken"] == {"with a duration that is no number above 0": 1} and len(df) == 69
    assert df.attrs["classes"] == [f"class {n}" for n in range(7)]
    assert pa.Table.from_pandas(df, preserve_index=False).schema.equals(catalog.SCHEMA)
    catalog.save_catalog(df, tmp_path / "set")
    again = catalog.load_catalog(tmp_path / "set")
    pd.testing.assert_frame_equal(df, again)
    assert again.attrs == df.attrs and set(df["split"]) == {"train", "val"}
    first = (tmp_path / "set" / "catalog.parquet").read_bytes()
    catalog.save_catalog(sports1m.read_sports1m(tmp_path, data_seed=2), tmp_path / "set")
    assert (tmp_path / "set" / "catalog.parquet").read_bytes() == first


def test_real_sports1m_list(real_data):
    """The real test list, 188,714 videos, in seconds."""
    rows = (real_data / "sports1m" / "test_videos.txt").read_text().splitlines()
    start = time.monotonic()
    table = pa.table({"path": [r.split()[0] for r in rows], "labels": [r.split()[1] for r in rows]})
    codes, classes = table_reader.label_codes(
        table["labels"], real_data / "sports1m" / "labels.txt", []
    )
    assert len(classes) == 487 and np.diff(codes.offsets).sum() > len(rows)
    assert time.monotonic() - start < 10


# ----------------------------------------------------- tables as people and other tools write them


def read(tmp_path, text, name="t.csv", names=(), files=()):
    """The videos of a table by path, relative to it: their class names; and the catalog."""
    touch(tmp_path, *files)
    if names:
        lines(tmp_path / "labels.txt", *names)
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    df = table_reader.read_table(tmp_path / name)
    places = [path.removeprefix(f"{tmp_path}/") for path in df["path"]]
    return dict(zip(places, labels_of(df), strict=True)), df


@pytest.mark.parametrize(
    "cells, wanted",
    [
        (['"[0, 3]"', "[1]"], [["class 0", "class 3"], ["class 1"]]),
        (['"{0,3}"', "{1}"], [["class 0", "class 3"], ["class 1"]]),
        (['"array([0, 3])"', '"array([1], dtype=int64)"'], [["class 0", "class 3"], ["class 1"]]),
        (['"[np.int64(0), np.int64(3)]"', "tensor(1)"], [["class 0", "class 3"], ["class 1"]]),
        (["\"{'run', 'jump'}\"", "\"{'jump'}\""], [["run", "jump"], ["jump"]]),
        (['"[1, 0, 0, 1]"', '"[0, 1, 0, 0]"'], [["class 0", "class 3"], ["class 1"]]),
        (["1 0 0 1", "0 1 0 0"], [["class 0", "class 3"], ["class 1"]]),
        (['"[1, 0]"', '"[0, 1]"'], [["class 0"], ["class 1"]]),
        (['"[0, 1]"', "[1]"], [["class 0", "class 1"], ["class 1"]]),
        (["[0 3]", "[1]"], [["class 0", "class 3"], ["class 1"]]),
        (['"(0, 3)"', '"(1,)"'], [["class 0", "class 3"], ["class 1"]]),
        (["0|3", "1"], [["class 0", "class 3"], ["class 1"]]),
        (["0;3", "1.0"], [["class 0", "class 3"], ["class 1"]]),
        (["\"['run', 'jump']\"", "\"['jump']\""], [["run", "jump"], ["jump"]]),
        (['"[""run"", ""jump""]"', "jump"], [["run", "jump"], ["jump"]]),
        (['"[run, jump]"', "[jump]"], [["run", "jump"], ["jump"]]),
        (["run;jump", "run", "jump"], [["run", "jump"], ["run"], ["jump"]]),
        (['"run, jump"', "run", "jump"], [["run", "jump"], ["run"], ["jump"]]),
        (['"clean, jerk"', "[misc]", "(other)"], [["clean, jerk"], ["[misc]"], ["(other)"]]),
        (["\"['run' 'jump']\"", "x"], [["run", "jump"], ["x"]]),
        (['"[""it\'s"", \'x\']"', "x"], [["it's", "x"], ["x"]]),
    ],
)
def test_labels_as_other_tools_write_them(tmp_path, cells, wanted):
    rows = [f"{n}.mp4,{cell}" for n, cell in enumerate(cells)]
    found, df = read(tmp_path, "\n".join(["path,labels", *rows]))
    assert list(found.values()) == wanted and not df.attrs["broken"]


@pytest.mark.parametrize(
    "cells, names, wanted",
    [
        (["0", "-1", '"1,-1"'], "xy", {"0.mp4": ["x"], "2.mp4": ["y"]}),
        (["0.0", "-1.0", "1.0"], "xy", {"0.mp4": ["x"], "2.mp4": ["y"]}),
        (["[0]", "[-1]", "[1]"], "xy", {"0.mp4": ["x"], "2.mp4": ["y"]}),
        (["0", "[]", "1"], "xy", {"0.mp4": ["x"], "2.mp4": ["y"]}),
        (["run", "-1", "spin -1|-1"], "", {"0.mp4": ["run"], "2.mp4": ["spin -1"]}),
    ],
)
def test_minus_one_is_not_labelled(tmp_path, cells, names, wanted):
    rows = [f"{n}.mp4,{cell}" for n, cell in enumerate(cells)]
    found, df = read(tmp_path, "\n".join(["path,labels", *rows]), names=names)
    assert found == wanted and df.attrs["broken"] == {"rows not labelled (-1, [])": 1}


@pytest.mark.parametrize(
    "text, files, wanted",
    [
        (' path, labels\na.mp4, "x, y"\nb.mp4, z\n', (), {"a.mp4": ["x, y"], "b.mp4": ["z"]}),
        ("Path,Labels\na.mp4,x\n", (), {"a.mp4": ["x"]}),
        ("video,label\na.mp4,x\n", (), {"a.mp4": ["x"]}),
        (",path,labels\n0,a.mp4,x\n", (), {"a.mp4": ["x"]}),
        ("\tpath\tlabels\n0\ta.mp4\tx\n", (), {"a.mp4": ["x"]}),
        ("clip_name,clip_path,label\na,v/a.mp4,x\n", (), {"v/a.mp4": ["x"]}),
        ("clip_name,clip_path,label\na,/v/a.mp4,x\n", ["v/a.mp4"], {"v/a.mp4": ["x"]}),
        ("file_name,class\na.mp4,x\n", ["v/a.mp4"], {"v/a.mp4": ["x"]}),
        ("video_name,tag\na,x\nb,y\n", ["v/a.avi", "b.mp4"], {"v/a.avi": ["x"], "b.mp4": ["y"]}),
        ("filename;Tag\na.mp4;x\n", (), {"a.mp4": ["x"]}),
        ("label,video,path\nx,no,a.mp4\n", (), {"a.mp4": ["x"]}),
        (
            "label,youtube_id,time_start,time_end,split\nx,-bcdefghijk,7,17,validate\n"
            "y,bbcdefghijk,0,10,train\n",
            ["v/-bcdefghijk_000007_000017.mp4", "v/bbcdefghijk_000000_000010.mp4"],
            {
                "v/-bcdefghijk_000007_000017.mp4": ["x"],
                "v/bbcdefghijk_000000_000010.mp4": ["y"],
            },
        ),
    ],
)
def test_headers_as_people_write_them(tmp_path, text, files, wanted):
    assert read(tmp_path, text, files=files)[0] == wanted


TWO = "ü/a b.mp4,grün\nc.avi,rot\n"
TWO_READ = {"ü/a b.mp4": ["grün"], "c.avi": ["rot"]}


@pytest.mark.parametrize("encoding", "utf-8-sig utf-16 latin-1 cp1252".split())
@pytest.mark.parametrize("header", ["path,labels\n", "", "\n\npath,labels\n"])
def test_encodings(tmp_path, encoding, header):
    found, df = read(tmp_path, (header + TWO).encode(encoding))
    assert found == TWO_READ
    noted = any("Windows-1252" in note for note in df.attrs.get("notes", []))
    assert noted == (encoding in ("latin-1", "cp1252"))


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t.LIST"])
@pytest.mark.parametrize("mark", [",", ";", "\t", " ", ", "])
@pytest.mark.parametrize("header", ["path,labels\n", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_separators(tmp_path, name, mark, header, end):
    two = TWO.replace("ü/a b.mp4", '"ü/a b.mp4"') if header else TWO  # blanks separate, or not
    text = (header + two).replace(",", mark).replace("\n", end)
    assert read(tmp_path, text, name)[0] == TWO_READ


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("my v/a b.mp4 0\nc.avi 1\n", {"my v/a b.mp4": ["class 0"], "c.avi": ["class 1"]}),
        ("a.mp4,1.0\nb.mp4,0.0\n", {"a.mp4": ["class 1"], "b.mp4": ["class 0"]}),
        ("a.mp4 0 2\nb.mp4 1\n", {"a.mp4": ["class 0", "class 2"], "b.mp4": ["class 1"]}),
        (
            "path frames labels\na.mp4 120 0\nb.mp4 130 1\n",
            {"a.mp4": ["class 0"], "b.mp4": ["class 1"]},
        ),
        ('"a, b.mp4","x, y"\nc.mp4,z\n', {"a, b.mp4": ["x, y"], "c.mp4": ["z"]}),
        ("a.mp4,x,train\nb.mp4,y,test\n", {"a.mp4": ["x"], "b.mp4": ["y"]}),
        (
            "https://x.org/watch?v=a 0,1,2\n",
            {"https://x.org/watch?v=a": [f"class {n}" for n in range(3)]},
        ),
    ],
)
def test_lists_of_other_tools(tmp_path, text, wanted):
    found, df = read(tmp_path, text, "train.txt")
    assert found == wanted and not df.attrs["broken"]
    if ",train" in text:
        assert df["split"].tolist() == ["train", "test"]


def test_a_line_that_is_no_row_is_counted(tmp_path):
    found, df = read(tmp_path, "a.mp4 0\nand so on\n\nb.mp4 1\n", "t.txt")
    assert len(found) == 2 and df.attrs["broken"] == {"lines without a path and a label": 1}


@pytest.mark.parametrize(
    "text, says",
    [
        ("vidoe,lable\na.mp4,x\n", "rename 'vidoe' to path; rename 'lable' to labels"),
        ("path,labels\na.mp4,-1\nb.mp4,1\n", "no labels but -1 .not labelled. and 1"),
        ("path,labels\na.mp4,-1\n", "no row is labelled: all labels are -1 or empty"),
        ("path,labels\na.mp4,[]\n", "no row is labelled"),
        ('path,labels\na.mp4,"{""id"": 3}"\n', "labels such as .* are no names; write the class"),
        ('path,labels\na.mp4,"run\nb.mp4,jump\n', "labels of a.mp4 run over several lines"),
        ("path,labels\na.mp4,-2\nb.mp4,1\n", "label -2 is no class"),
        ("some/dir-1 163 1\n", "no column path.*folders of frames are not read"),
        ("a.mp4 120 2\nb.mp4 130 1\n", "two numbers.*path frames labels"),
        ("my v/a.avi\nb.avi\n", "no column path.*with its suffix and its label"),
        ("a.mp4,x,y\nb.mp4,x,z\n", "no column path and no column labels"),
        ('path,labels\n"a.mp4,x\nb.mp4,y\n', "cannot be read as a table"),
        (b"PK\x03\x04\x14\0\0\0\x08\0", "cannot be read: it is empty or no text"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isom", "cannot be read: it is empty or no text"),
    ],
)
def test_tables_that_are_not_understood_say_what_to_do(tmp_path, text, says):
    with pytest.raises(ValueError, match=says) as error:
        read(tmp_path, text)
    assert str(tmp_path / "t.csv") in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, file",
    [
        (r"my v\a b.mp4", "my v/a b.mp4"),
        ("my%20v/a%20b.mp4", "my v/a b.mp4"),
        (r"my%20v\a b.mp4", "my v/a b.mp4"),
        ("file://{here}/my%20v/a.mp4", "my v/a.mp4"),
        ("file://localhost{here}/a.mp4", "a.mp4"),
        ("FILE:{here}/a.mp4", "a.mp4"),
        ("~/a.mp4", "home/a.mp4"),
        ("~/a%20b.mp4", "home/a b.mp4"),
        ("100%.mp4", "100%.mp4"),
        ("a%20b.mp4", "a%20b.mp4"),
        (r"a\b.mp4", r"a\b.mp4"),
    ],
)
def test_paths_as_other_systems_write_them(tmp_path, monkeypatch, name, file):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    row = f"path,labels\n{name.format(here=tmp_path)},x\ns3://b/a%20b.mp4,y\n"
    found, df = read(tmp_path, row, files=[file])
    assert found == {file: ["x"], "s3://b/a%20b.mp4": ["y"]} and "notes" not in df.attrs


@pytest.mark.parametrize(
    "name",
    [r"C:\me\a.mp4", "C:/me/a.mp4", "~/no.mp4", "file:///no/a.mp4", "/no/a.mp4", "a%20b.mp4"],
)
def test_paths_that_lead_nowhere_stay_and_are_told(tmp_path, name):
    found, df = read(tmp_path, f"path,labels\n{name},x\nb.mp4,y\n", files=["b.mp4"])
    assert (
        len(found) == 2
        and f"paths without one matching file: 1, such as {name};" in df.attrs["notes"][0]
    )


@pytest.mark.parametrize(
    "rows, names",
    [
        ("path,labels\na.mp4,x\npath,labels\nb.mp4,y\n", ["x", "y"]),
        ("| path | labels |\n|---|:--:|\n| a.mp4 | x |\n| b.mp4 | y |\n", ["x", "y"]),
        ("Video Path,Action Class\na.mp4,x\nb.mp4,y\n", ["x", "y"]),
        ("a.mp4 toy train\nb.mp4 bus\n", ["bus", "toy train"]),
        ('path,labels\n" a.mp4",x\n"b.mp4 ",y\n', ["x", "y"]),
    ],
)
def test_tables_as_people_paste_them(tmp_path, rows, names):
    found, df = read(tmp_path, rows, files=["a.mp4", "b.mp4"])
    assert set(found) == {"a.mp4", "b.mp4"} and df.attrs["classes"] == names


def test_names_that_differ_in_case_alone_are_told(tmp_path):
    df = read(tmp_path, "path,labels\na.mp4,Run\nb.mp4,run\nc.mp4,jump\n")[1]
    assert "classes whose names differ in case alone: Run, run" in catalog.summarise(df)
    lines(tmp_path / "labels.txt", "x", "y", "x")
    with pytest.raises(ValueError, match="labels.txt has 'x' twice"):
        read(tmp_path, "path,labels\na.mp4,0\nb.mp4,1\n")


@pytest.mark.parametrize("name", ["./a.mp4", "sub/../a.mp4", "sub/./../a.mp4", "./sub//../a.mp4"])
def test_a_path_has_one_spelling(tmp_path, name):
    (tmp_path / "sub").mkdir()
    found, _ = read(tmp_path, f"path,labels\na.mp4,x\n{name},y\n", files=["a.mp4"])
    assert found == {"a.mp4": ["x", "y"]}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_of_a_table_composed_or_not_are_one_class_and_one_file(tmp_path, form):
    name = unicodedata.normalize(form, "café")
    other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], "café")
    rows = f"path,labels\n{other}.mp4,{name}\nb.mp4,{other}\nc.mp4,b\n"
    found, df = read(tmp_path, rows, files=[f"{name}.mp4", "b.mp4", "c.mp4"])
    assert df.attrs["classes"] == ["b", "caf\u00e9"] and "notes" not in df.attrs
    assert set(found) == {f"{name}.mp4", "b.mp4", "c.mp4"}


def test_numbers_in_names_of_a_table_count_unless_they_did_not_before(tmp_path):
    rows = "path,labels\n" + "".join(f"{n}.mp4,step {n}\n" for n in (1, 2, 10))
    df = read(tmp_path, rows)[1]
    assert df.attrs["classes"] == ["step 1", "step 2", "step 10"]
    df.attrs["classes"] = ["step 1", "step 10", "step 2"]  # of a dataset of an older version
    again = table_reader.read_table(tmp_path / "t.csv", known=df)
    assert again.attrs["classes"] == ["step 1", "step 10", "step 2"]


def test_a_video_under_two_spellings_is_one(tmp_path):
    found, df = read(tmp_path, "path,labels\na b.mp4,x\na%20b.mp4,y\n", files=["a b.mp4"])
    assert found == {"a b.mp4": ["x", "y"]}
    why = f"rows that repeat a video, labels joined (first: {tmp_path / 'a b.mp4'})"
    assert df.attrs["broken"] == {why: 1}


@pytest.mark.parametrize("split, torn", [("test", True), ("train", False)])
def test_a_video_in_two_splits_is_told(tmp_path, split, torn):
    rows = f"path,labels,split\na.mp4,x,train\nb.mp4,x,test\na.mp4,y,{split}\n"
    found, df = read(tmp_path, rows, files=["a.mp4", "b.mp4"])
    assert found == {"a.mp4": ["x", "y"], "b.mp4": ["x"]}
    notes = [note for note in df.attrs.get("notes", []) if "rows in several splits" in note]
    assert len(notes) == torn
    assert not torn or notes[0].endswith(f"1, such as {tmp_path}/a.mp4; the first row decides")


def test_numbers_from_one_on(tmp_path):
    """They fit `labels.txt` in one way only; without that file, or with gaps, nobody knows."""
    rows = "path,labels\na.mp4,1\nb.mp4,2\n"
    assert read(tmp_path, rows)[0] == {"a.mp4": ["class 1"], "b.mp4": ["class 2"]}
    found, df = read(tmp_path, rows, names="xy")
    assert found == {"a.mp4": ["x"], "b.mp4": ["y"]} and "from 1 to 2" in df.attrs["notes"][0]
    assert read(tmp_path, rows, names="xyz")[0] == {"a.mp4": ["y"], "b.mp4": ["z"]}
    with pytest.raises(ValueError, match="t.csv: label 2 is beyond the 2 classes"):
        read(tmp_path, "path,labels\na.mp4,0\nb.mp4,2\n", names="xy")


def test_moments_are_not_read(tmp_path):
    df = read(tmp_path, "video,label,start,end\na.mp4,x,0,3\n", files=["a.mp4"])[1]
    assert "not read: start, end; each label counts for a whole video" in df.attrs["notes"][-1]


@pytest.mark.parametrize(
    "rows, says",
    [
        ([f"{n}.mp4,{n % 3 + 1}" for n in range(9)], "1 of 4 classes have no video: class 0;"),
        (
            ["a.mp4,7", "b.mp4,1990", "c.mp4,7"],
            "1,989 of 1,991 classes have no video: class 0, ",
        ),
        (
            ["a.mp4,x,train", "b.mp4,x,train", "c.mp4,y,test"],
            "1 of 2 classes have no video in train: y\n",
        ),
        ([f"{n}.mp4,{n % 3}" for n in range(9)], ""),
    ],
)
def test_classes_without_videos_are_told(tmp_path, capsys, monkeypatch, rows, says):
    monkeypatch.setenv("S1M_HOME", str(tmp_path / "home"))
    header = f"path,labels{',split' * rows[0].endswith('train')}"
    folder = datasets.listed(lines(tmp_path / "t.csv", header, *rows))
    printed = capsys.readouterr().out
    assert says in printed and ("classes have no" in printed) == bool(says)
    assert "notes" not in catalog.load_catalog(folder).attrs
    datasets.listed(tmp_path / "t.csv")
    assert capsys.readouterr().out == ""
