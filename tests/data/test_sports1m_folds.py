"""Cross-validation and Freebase ids reach the dataset that is made of Sports-1M's own folder."""

import pandas as pd
import pytest

from s1m_lab.data import catalog, datasets, sports1m

URL = "https://www.youtube.com/watch?v="


@pytest.fixture
def repository(tmp_path):
    """Sports-1M's own layout: the lists in `original`, all else beside it. In fold n, n videos of
    two labels stand in both halves, twice in train."""
    root = tmp_path / "sports-1m-dataset"
    for name in ("original", "cross-validation"):
        (root / name).mkdir(parents=True)
    (root / "labels.txt").write_text("chess\nrugby, the other\nluge\n")
    mids = "/m/b,boxing\n/m/a,rugby, the other\n/m/c,chess\n"
    (root / "sports_mids.txt").write_text(mids, "utf-8")
    every = [f"{URL}both{n:07d} 0,1" for n in range(9)]
    every += [f"{URL}{part}{n} 2" for n in range(10) for part in ("train_____", "test______")]
    for split, some in (("train", every[::2]), ("test", every[1::2])):
        (root / "original" / f"{split}_partition.txt").write_text("\n".join(some))
    for fold in range(10):
        both = every[:fold]
        train = [*both, *both, f"{URL}train_____{fold} 2", "broken", f"{URL}train_____9 7"]
        test = [*both, f"{URL}test______{fold} 2"]
        for split, lines in (("train", train), ("test", test)):
            file = root / "cross-validation" / f"sports{fold}_{split}.txt"
            file.write_text("\n".join(lines))
    (root / "cross-validation" / "sports0_other.txt").write_text("not a half")
    return root


def test_folds_reach_the_dataset(repository, home):
    folder = datasets.listed("pocket", source=str(repository / "original"))
    counts = sports1m.overlap(folder)
    assert counts["in both"].to_dict() == {n: n for n in range(10)}
    assert counts.loc[9].tolist() == [10, 10, 9, 2]
    df = pd.read_parquet(folder / "folds.parquet")
    assert list(df.columns) == ["fold", "split", "id", "labels"]
    assert df.groupby(["fold", "split"]).size().loc[9].to_dict() == {"test": 10, "train": 19}
    row = df[df["id"] == "train_____3"].iloc[0]
    assert (row["fold"], row["split"], list(row["labels"])) == (3, "train", [2])
    assert set(df["id"]) == set(catalog.load_catalog(folder)["id"])
    mids = sports1m.mids(folder)
    assert mids["mid"].tolist() == ["/m/b", "/m/a", "/m/c"]
    assert mids["label"].tolist() == ["boxing", "rugby, the other", "chess"]
    assert mids["number"].tolist() == [pd.NA, 1, 0]


def test_half_a_fold_is_left_out_and_what_is_gone_goes(repository, home, capsys):
    (repository / "cross-validation" / "sports3_test.txt").unlink()
    folder = datasets.listed("s", source=str(repository / "original"))
    assert sports1m.overlap(folder).index.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert "fold 3 of the cross-validation has one half" in capsys.readouterr().out
    for file in [*repository.glob("cross-validation/*"), repository / "sports_mids.txt"]:
        file.unlink()
    assert datasets.listed("s", source=str(repository / "original")) == folder
    assert sports1m.overlap(folder).empty and sports1m.mids(folder).empty


def test_the_real_mids(real_data, home):
    source = real_data / "sports1m" / "test_videos.txt"
    folder = datasets.listed("sports1m", source=str(source))
    mids, classes = sports1m.mids(folder), catalog.read_labels(folder / "labels.txt")
    assert len(mids) == 487 and mids["mid"].is_unique and mids["mid"][0] == "/m/010dmf"
    assert [classes[n] for n in mids["number"]] == mids["label"].tolist()
    assert sports1m.overlap(folder).empty
