"""The benchmark of real video: splits, the nearest neighbour, and the tables of the documents."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import real_videos
from s1m_lab.analysis import intervals
from s1m_lab.data import catalog, datasets
from s1m_lab.video import reader, writer

GROUPS = (1, 7, 8, 10, 11, 25)
OUT = json.loads(real_videos.JSON.read_text("utf-8"))


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    """Two classes of UCF-101, Weizmann's people and the fights, as tiny films."""
    source = tmp_path_factory.mktemp("real")
    names = [
        f"ucf101_six/{label}/v_{label}_g{group:02d}_c{clip:02d}.avi"
        for label in ("Archery", "Surfing")
        for group in GROUPS
        for clip in (1, 2)
    ]
    names += [f"videos/weizmann64/{a}/p{p}_{a}.avi" for a in ("bend", "jack") for p in range(9)]
    names += [f"videos/fight_surv/{k}/{k}{n}.mp4" for k in ("fight", "noFight") for n in range(20)]
    films = {suffix: source / f"film{suffix}" for suffix in (".avi", ".mp4")}
    for film in films.values():
        ramp = np.linspace(0, 255, 6, dtype=np.uint8)
        writer.encode(film, (np.full((16, 18, 3), grey) for grey in ramp), gop=1)
    for path in (source / name for name in names):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(films[path.suffix], path)
    cut = source / "ucf101_six/Surfing/v_Surfing_g25_c02.avi"
    cut.write_bytes(cut.read_bytes()[:-1500])
    return source


def table(name, source):
    """A dataset's table as the lab reads it."""
    real_videos.make_table.cache_clear()
    folder = datasets.listed(real_videos.make_table(name, source))
    df = catalog.load_catalog(folder)
    assert df.attrs["split"] == "train, val and test as given"
    return df.assign(label=[df.attrs["classes"][own[0]] for own in df["labels"]])


def test_no_group_of_ucf_is_in_two_splits(footage, home):
    df = table("ucf101_six", footage)
    assert len(df) == 24 and df["group"].nunique() == 12
    assert (df.groupby("group")["split"].nunique() == 1).all()
    number = df["group"].str[-2:].astype(int)
    assert set(df["split"][number <= 7]) == {"test"} and set(df["split"][number > 10]) == {"train"}
    assert set(df["split"][(number > 7) & (number <= 10)]) == {"val"}
    assert (df["label"] == df["group"].str[:-4]).all()
    assert not df["id"].str.contains(footage.name).any(), (
        "an id, so the clips, would be of its place"
    )


def test_twins_of_the_arrow_are_one_film_in_one_split(footage, home, capsys):
    df = table("arrow", footage)
    assert "no twins of v_Surfing_g25_c02.avi" in capsys.readouterr().out
    assert len(df) == 2 * 23 and df["label"].value_counts().to_list() == [23, 23]
    film = df["path"].str.extract(r"(v_\w+)\.mp4")[0]
    both = df.groupby(film)
    assert (both["split"].nunique() == 1).all() and (both["group"].nunique() == 1).all()
    assert (both["label"].nunique() == 2).all()
    assert (df.groupby("group")["split"].nunique() == 1).all()
    one, other = (
        np.array([image for _, image in reader.read(path)], int)
        for path in df["path"][film == "v_Archery_g01_c01"]
    )
    assert len(one) == 6 and np.abs(one - other[::-1]).max() < 4 < np.abs(one - other).max()


def test_people_and_fights_are_split_by_rule(footage, home):
    people = table("weizmann64", footage)
    person = people["path"].str.extract(r"p(\d)_")[0]
    assert (people.groupby(person)["split"].nunique() == 1).all()
    assert people["split"].value_counts().to_dict() == {"train": 10, "test": 6, "val": 2}
    fights = table("fight_surv", footage)
    counts = fights.groupby(["label", "split"]).size()
    assert counts.unstack().to_dict("index") == dict.fromkeys(
        ("fight", "noFight"), {"test": 12, "val": 4, "train": 4}
    )


def test_a_folder_without_the_videos_is_refused(tmp_path, home):
    with pytest.raises(FileNotFoundError, match="holds no videos of weizmann64"):
        real_videos.make_table("weizmann64", tmp_path)


def test_the_nearest_neighbour_by_a_plain_loop():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(60, 8)), rng.normal(size=(90, 8))
    train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
    labels, video = rng.integers(0, 3, 60), rng.permutation(np.arange(90) % 12)
    expected = []
    for v in range(12):
        votes = [0, 0, 0]
        for clip in test[video == v]:
            votes[labels[max(range(60), key=lambda n: clip @ train[n])]] += 1  # noqa: B023
        expected.append(votes.index(max(votes)))
    found = real_videos.nearest_neighbour(train, labels, test, video)
    assert found.tolist() == expected and len(set(expected)) == 3


def test_a_score_has_the_interval_of_the_lab():
    rng = np.random.default_rng(1)
    seeds = [real_videos.Found(rng.random(40) < share, {}) for share in (0.6, 0.8)]
    mean = np.mean([found.hits for found in seeds], axis=0)
    alone = real_videos.score(seeds, np.arange(40))
    assert alone["mean"] == pytest.approx(mean.mean(), abs=1e-4)
    assert alone["interval"] == pytest.approx(intervals.bootstrap(mean), abs=1e-4)
    pairs = real_videos.score(seeds, np.arange(40) // 2)
    assert pairs["interval"] == pytest.approx(
        intervals.bootstrap(mean.reshape(20, 2).mean(axis=1)), abs=1e-4
    )
    gain = real_videos.difference(seeds[1:], seeds[:1], np.arange(40))
    paired = seeds[1].hits.astype(float) - seeds[0].hits
    assert gain["interval"] == pytest.approx(intervals.bootstrap(paired), abs=1e-4)


def test_scores_are_those_of_the_runs(small_home, monkeypatch):
    monkeypatch.setenv("S1M_HOME", str(small_home))
    found = {"single": {0: real_videos.runs.load_run("small_single")}}
    found["slow"] = {0: real_videos.runs.load_run("small")}
    out = real_videos.describe("pocket", found)
    for row, own in found.items():
        results = own[0].results
        assert out["scores"][row]["mean"] == pytest.approx(results["video_hit1"], abs=1e-4)
        assert out["videos"]["test"] == results["videos"] >= out["groups"] > 1
    assert 0 < out["scores"]["nearest"]["mean"] <= 1 and out["scores"]["average"]["seeds"]
    gain = out["scores"]["slow"]["mean"] - out["scores"]["single"]["mean"]
    assert out["differences"]["slow − single"]["mean"] == pytest.approx(gain, abs=2e-4)


def test_clips_before_a_time_do_not_count(tmp_path):
    (tmp_path / "predictions").mkdir()
    starts = pa.table({"start": [0.0, 0.6, 0.4, 0.5]})
    pq.write_table(starts, tmp_path / "predictions" / "test.parquet")
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])
    video, clip = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    saved = real_videos.predict.Predictions(probabilities, video, clip, ["a", "b"], [[1], [0]])
    run = real_videos.runs.Run(tmp_path)
    assert real_videos.video_hits(saved, run, 0.0).tolist() == [False, True]
    assert real_videos.video_hits(saved, run, 0.5).tolist() == [True, False]


@pytest.mark.parametrize("path", real_videos.DOCUMENTS, ids=lambda path: path.name)
def test_documents_have_the_tables_of_the_scores(path):
    text = path.read_text("utf-8")
    assert real_videos.fill(text, OUT) == text, "python benchmarks/real_videos.py --write"
    other = json.loads(json.dumps(OUT))
    other["data"]["ucf101_six"]["scores"]["slow"]["mean"] = 0.0123
    assert real_videos.fill(text, other) != text


def test_the_title_of_the_figure_holds_of_the_scores():
    """Ten frames beat one on lips, not surely on UCF-101; none sees the arrow of time."""
    gains = {name: own["differences"]["slow − single"] for name, own in OUT["data"].items()}
    assert gains["lips_words"]["interval"][0] > 0.1 > 0 > gains["ucf101_six"]["interval"][0]
    for row, found in OUT["data"]["arrow"]["scores"].items():
        assert found["interval"][0] <= 0.5 <= found["interval"][1], row
    assert len(real_videos.FIGURE.read_bytes()) < 60_000
