"""UCF-101 by its official lists: folds, groups, categories, and what of it lies on the disk."""

import json
import shutil

import pytest

from s1m_lab.common import paths
from s1m_lab.data import catalog, datasets, shards, ucf101
from s1m_lab.data.ingest import prepare
from s1m_lab.pocket import activities
from s1m_lab.video import reader

# published: how many clips the lists of each fold have (Soomro et al., and PAPER's §4.3)
PUBLISHED = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}


@pytest.fixture(scope="module")
def official(real_data):
    return real_data / "ucf101"


def write_lists(folder, train, test, classes=("Juggling", "HandstandPushups"), end="\n", fold=1):
    folder.mkdir(parents=True, exist_ok=True)
    numbered = [f"{n} {name}" for n, name in enumerate(classes, 1)]
    names = ("classInd", f"trainlist{fold:02}", f"testlist{fold:02}")
    for name, lines in zip(names, (numbered, train, test), strict=True):
        (folder / f"{name}.txt").write_bytes("".join(line + end for line in lines).encode())
    return folder


def clip(name, group, number=1, label=""):
    stem = name.replace("HandstandPushups", "HandStandPushups")
    return f"{name}/v_{stem}_g{group:02}_c{number:02}.avi{label and f' {label}'}"


def some_lists(folder, **more):
    """Two classes; train has groups 8 to 25, test 1 to 7, each of two clips."""
    names = ("Juggling", "HandstandPushups")
    train = [clip(n, g, c, k) for k, n in enumerate(names, 1) for g in range(8, 26) for c in (1, 2)]
    test = [clip(n, g, c) for n in names for g in range(1, 8) for c in (1, 2)]
    return write_lists(folder, train, test, **more)


# ---------------------------------------------------------------------------- the official lists


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_the_official_folds(official, fold):
    df = ucf101.read_ucf101(official, fold=fold)
    sides = df["split"].replace({"val": "train"}).value_counts()
    assert (sides["train"], sides["test"]) == PUBLISHED[fold]
    assert len(df) == df["id"].nunique() == 13_320 and len(df.attrs["classes"]) == 101
    assert df["path"].isna().all() and df["duration"].isna().all()
    assert df.attrs["broken"] == {} and df.attrs["missing"] == {}
    assert (df.groupby("group")["split"].nunique() == 1).all()
    # by hand, from the lines: the group and class of each, and the side that it stands on
    for split, name in (("train", "train"), ("test", "test")):
        lines = (official / f"{name}list{fold:02}.txt").read_text().split()
        stems = {word.split("/")[1][:-4]: word.split("/")[0] for word in lines if "/" in word}
        own = df[df["split"].isin(["train", "val"] if split == "train" else ["test"])]
        assert set(own["id"]) == set(stems)
        classes = own["labels"].map(lambda labels: df.attrs["classes"][labels[0]])
        assert [stems[id] for id in own["id"]] == classes.tolist()
    groups = df.groupby("group")["split"].first()
    kinds = groups.groupby([groups.index.str.rpartition("-").get_level_values(0), groups])
    counts = kinds.size().unstack(fill_value=0)
    assert (counts.sum(axis=1) == 25).all() and (counts == [7, 16, 2]).all(axis=None)


def test_the_five_categories(official):
    classes = ucf101.read_ucf101(official).attrs["classes"]
    found = ucf101.categories(classes)
    assert [len(names) for names in found.values()] == [20, 16, 5, 10, 50]
    assert sorted(sum(found.values(), [])) == sorted(classes)
    assert found == json.loads((official / "categories.json").read_text("utf-8"))


def test_val_follows_data_seed(official):
    splits = [ucf101.read_ucf101(official, data_seed=seed)["split"] for seed in (0, 0, 1)]
    assert splits[0].equals(splits[1]) and not splits[0].equals(splits[2])
    assert ((splits[0] == "test") == (splits[2] == "test")).all()


# ------------------------------------------------------------------------------- lists as they come


def test_line_ends_case_and_labels_of_test_lists(tmp_path):
    first = ucf101.read_ucf101(some_lists(tmp_path / "lf"))
    assert first.equals(ucf101.read_ucf101(some_lists(tmp_path / "crlf", end="\r\n")))
    lines = (tmp_path / "lf" / "testlist01.txt").read_text().splitlines()
    named = [f"{line} {1 if line.startswith('Jugg') else 2}" for line in lines]
    (tmp_path / "lf" / "testlist01.txt").write_text("\n".join(named))
    assert first.equals(ucf101.read_ucf101(tmp_path / "lf"))
    row = first[first["id"] == "v_HandStandPushups_g08_c02"].iloc[0]
    assert (list(row["labels"]), row["group"]) == ([1], "HandstandPushups-g08")
    assert set(first[first["group"] == row["group"]]["split"]) in ({"train"}, {"val"})


def test_what_lists_may_not_say(tmp_path):
    with pytest.raises(ValueError, match="official lists are a folder of classInd.txt"):
        ucf101.read_ucf101(tmp_path)
    lists = some_lists(tmp_path / "lists")
    with pytest.raises(
        ValueError, match=r"fold is 2, and .* has no trainlist02.txt; its folds.* 1"
    ):
        ucf101.read_ucf101(lists, fold=2)
    train = (lists / "trainlist01.txt").read_text().splitlines()
    write_lists(lists, [*train, clip("Juggling", 3, 9, 1)], [clip("Juggling", 3)])
    with pytest.raises(ValueError, match="1 groups stand in both.*v_Juggling_g03_c01"):
        ucf101.read_ucf101(lists)
    for line in (clip("Juggling", 9, 9, 2), clip("Juggling", 9, 9, 3), clip("Chess", 9)):
        write_lists(lists, [*train, line], [clip("Juggling", 3)])
        with pytest.raises(ValueError, match="trainlist01.txt, line 73: .* is of no class"):
            ucf101.read_ucf101(lists)
    write_lists(lists, [*train, train[0], "", "# a remark"], [clip("Juggling", 3)])
    broken = ucf101.read_ucf101(lists).attrs["broken"]
    assert broken == {"listed twice": 1, "in trainlist01.txt, a line that names no clip": 1}
    (lists / "classInd.txt").write_text("1 Juggling\n3 HandstandPushups\n")
    with pytest.raises(ValueError, match="must have a class a line"):
        ucf101.read_ucf101(lists)


@pytest.mark.parametrize("place", ["given", "above", "inside", "beside"])
def test_videos_are_found_and_counted_by_class(tmp_path, place):
    roots = {"given": "far/away", "above": "UCF-101", "inside": "lists", "beside": "."}
    lists, root = some_lists(tmp_path / "lists"), tmp_path / roots[place]
    wanted = [clip("Juggling", g) for g in (1, 2, 9)] + [clip("HandstandPushups", 8, 2)]
    for name in [*wanted, clip("Juggling", 99), "Juggling/notes.txt", "Other/v_x_g01_c01.avi"]:
        file = root / name.replace("HandstandPushups/", "HandStandPushups/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    df = ucf101.read_ucf101(lists, root if place == "given" else "")
    there = [name.replace("HandstandPushups/", "HandStandPushups/") for name in wanted]
    assert sorted(df["path"].dropna()) == sorted(str((root / name).resolve()) for name in there)
    assert df.attrs["missing"] == {"HandstandPushups": 49, "Juggling": 47}
    assert df.attrs["unlisted"] == {"Juggling": 1}
    other = next(
        why for why in df.attrs["broken"] if why.startswith("videos in folders of no class")
    )
    assert df.attrs["broken"].pop(other) == 1 and sum(df.attrs["broken"].values()) == 97
    with pytest.raises(ValueError, match="holds no folder with the name of a class"):
        ucf101.read_ucf101(lists, tmp_path / "lists" / "nowhere")


# --------------------------------------------------------------------------- datasets of the folds


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A home with a small twin, of 4 groups a class."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S1M_HOME", str(tmp_path_factory.mktemp("ucf home")))
        yield activities.make("pocket101", groups=4, workers=2)


def test_folds_of_the_twin(small):
    tests = []
    for fold in (1, 2, 3):
        folder = ucf101.dataset("pocket101", fold)
        df, about = catalog.load_catalog(folder), json.loads((folder / "dataset.json").read_text())
        assert folder == paths.dataset(f"pocket101-fold{fold}") == datasets.listed(folder.name)
        assert (about["fold"], about["folds"]) == (fold, 3)
        assert about["categories"] == activities.CATEGORIES
        assert (df.groupby("group")["split"].nunique() == 1).all()
        assert df.groupby("split")["labels"].agg(lambda s: len({x[0] for x in s})).eq(24).all()
        assert all((folder / path).is_file() for path in df["path"])
        tests.append(set(df[df["split"] == "test"]["group"]))
    assert not set.intersection(*tests) and len(set.union(*tests)) == 3 * 24
    before = (folder / "catalog.parquet").stat().st_mtime_ns
    assert ucf101.dataset("pocket101", 3) == folder
    assert (folder / "catalog.parquet").stat().st_mtime_ns == before
    assert datasets.own_settings(folder) == activities.INGEST
    assert catalog.load_catalog(datasets.listed("pocket101")).attrs["fold"] == 1
    for wrong in (0, 4):
        with pytest.raises(ValueError, match="folds 1 to 3"):
            ucf101.dataset("pocket101", wrong)
    with pytest.raises(FileNotFoundError, match="UCF-101's class folders"):
        ucf101.dataset("/no/where")


def test_real_clips_and_the_twin_in_one_folder(small, real_data, tmp_path):
    """UCF-101's exact layout: real clips beside rendered ones, lists of all three folds."""
    root, lists = tmp_path / "UCF-101", tmp_path / "ucfTrainTestlist"
    real = sorted((real_data / "videos" / "ucf101").glob("*/*.avi"))
    drawn = sorted((small / "UCF-101").glob("[FGH]*/*.avi"))
    for file in [*real, *drawn]:
        (root / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / file.parent.name)
    (root / "Haircut" / "v_Haircut_g04_c01.avi").write_bytes(b"RIFF, and no more")
    classes = sorted({file.parent.name for file in [*real, *drawn]})
    lines = [f"{file.parent.name}/{file.name}" for file in [*real, *drawn]]
    lines += ["Haircut/v_Haircut_g02_c07.avi"]
    for fold in (1, 2, 3):
        test = [line for line in lines if f"_g{fold:02}_" in line]
        train = [f"{t} {classes.index(t.partition('/')[0]) + 1}" for t in lines if t not in test]
        write_lists(lists, train, test, classes, "\r\n", fold)
    for given in ({"data": root}, {"data": tmp_path, "lists": str(lists)}):
        for fold in (1, 2, 3):
            folder = ucf101.dataset(fold=fold, **given)
            df = catalog.load_catalog(folder)
            assert len(df) == len(lines) and df.attrs["missing"] == {"Haircut": 1}
            assert df["path"].dropna().map(lambda p: p.startswith(str(root))).all()
    assert datasets.own_settings(folder) == ucf101.INGEST
    prepare.prepare(folder, clips=2, size=64, workers=1)
    counts = prepare.load_statuses(folder)["videos"].to_dict()
    assert counts == {"ok": len(lines) - 2, "missing": 1, "truncated": 1}
    lost = ucf101.count_lost(folder).to_dict("index")
    assert lost == {"Haircut": {"missing": 1, "unreadable": 1}}
    whole = sum(shard["clips"] for shard in shards.describe(folder / "clips")["shards"])
    assert whole == 2 * (len(lines) - 2)
    assert {reader.probe(file).width for file in real} == {320}


def test_classes_without_a_file_are_left_out(home, real_data, capsys):
    """Six class folders against the official lists of 101 classes."""
    source, official = real_data / "ucf101_six", real_data / "ucf101"
    folder = ucf101.dataset(source, 1, str(official))
    df, whole = catalog.load_catalog(folder), ucf101.read_ucf101(official)
    there = sorted(path.name for path in source.iterdir() if path.is_dir())
    assert df.attrs["classes"] == there and len(there) == 6
    assert df["path"].notna().sum() == sum(len(list((source / n).iterdir())) for n in there) == 234
    assert len(df) + df.attrs["broken"]["listed videos of 95 classes without a file"] == 13_320
    rows = whole.set_index("id").loc[df["id"]]  # splits and classes are those of the whole
    assert (rows["split"].to_numpy() == df["split"].to_numpy()).all()
    names = [[names[own[0]] for own in each["labels"]] for each, names in
             ((rows, whole.attrs["classes"]), (df, there))]  # fmt: skip
    assert names[0] == names[1]
    groups = paths.read_description(folder)["categories"]
    assert sorted(sum(groups.values(), [])) == there and all(groups.values())
    assert f"{len(df)} videos, 6 classes: Archery 145" in capsys.readouterr().out
