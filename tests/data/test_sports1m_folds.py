"""Cross-validation and Freebase ids reach the dataset that is made of Sports-1M's own folder."""

import pytest

from s1m_lab.analysis.catalog import fold_overlaps
from s1m_lab.data import catalog, datasets

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
    df = catalog.load_catalog(datasets.listed("pocket", source=str(repository / "original")))
    counts = fold_overlaps(df)
    assert counts["in both"].to_dict() == {n: n for n in range(10)}
    assert counts.loc[9].tolist() == [10, 10, 9, 2]
    mids = {"boxing": "/m/b", "rugby, the other": "/m/a", "chess": "/m/c"}
    assert df.attrs["mids"] == mids


def test_half_a_fold_is_left_out_and_what_is_gone_goes(repository, home, capsys):
    (repository / "cross-validation" / "sports3_test.txt").unlink()
    folder = datasets.listed("s", source=str(repository / "original"))
    counts = fold_overlaps(catalog.load_catalog(folder))
    assert counts.index.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert "fold 3 of the cross-validation has one half" in capsys.readouterr().out
    for file in [*repository.glob("cross-validation/*"), repository / "sports_mids.txt"]:
        file.unlink()
    assert datasets.listed("s", source=str(repository / "original")) == folder
    df = catalog.load_catalog(folder)
    assert fold_overlaps(df).empty and df.attrs["mids"] == {}


def test_the_real_mids(real_data, home):
    source = real_data / "sports1m" / "test_videos.txt"
    df = catalog.load_catalog(datasets.listed("sports1m", source=str(source)))
    mids = df.attrs["mids"]
    assert len(set(mids.values())) == 487 and next(iter(mids.values())) == "/m/010dmf"
    assert set(mids) == set(df.attrs["classes"]) and fold_overlaps(df).empty
