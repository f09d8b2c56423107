"""pocket: its plan, its films and its lists; twins differ in one thing."""

import json
from itertools import product

import numpy as np
import pytest

from s1m_lab.common import paths, system
from s1m_lab.data import catalog, datasets, locate
from s1m_lab.pocket import render as pocket_render
from s1m_lab.pocket import sports
from s1m_lab.pocket.sports_scenes import SQUARE, weaving
from s1m_lab.video import reader, writer
from s1m_lab.video.container import VideoError

FULL, TWO = 112, 118  # px: the crop of the full frame, and of the two-stream views, in 132×132
STORED = slice(22, 154)  # columns of the centre crop that is stored


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A pocket of 72 videos, made by two processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S1M_HOME", str(tmp_path_factory.mktemp("a home")))
        patch.setattr(system, "cores", lambda: 2)
        return datasets.make_pocket("small", videos=64, workers=2)


def decoded(path):
    return np.stack([image for _, image in reader.read(path)])


def coded(frames, folder, kind):
    """The frames as a network meets them: coded as `pocket` does, decoded, centre crop."""
    writer.encode(folder / "x.mp4", frames, **sports.coding(kind))
    return decoded(folder / "x.mp4")[:, :, STORED]


def scenes_of(kind, count, split="train", seed=5):
    script = sports.plan(sports.DEFAULT, seed)
    stage = [k for k, s in enumerate(sports.STAGES) if s.kind == kind]
    return [[s for s in script if s.stage == k and s.split == split][:count] for k in stage]


def on_air(scene, seed):
    """The numbers of the frames that show the sport."""
    return np.flatnonzero(sports.cutaways(sports.chance(seed, *scene[:3], 1), scene.frames) == 0)


# ------------------------------------------------------------------------------------- the plan


def test_default_size_splits_and_pairs():
    script = sports.plan(sports.DEFAULT, data_seed=0)
    assert sum(len(scene.ids) for scene in script) == sports.DEFAULT
    count = {name: dict.fromkeys(("train", "val", "test"), 0) for name in sports.CLASSES}
    for scene in script:
        for name in sports.STAGES[scene.stage].classes:
            count[name][scene.split] += 1
    assert all(c["train"] == 40 and c["val"] == 8 and c["test"] >= 12 for c in count.values())
    for kind in ("motion", "detail", "surround"):
        assert sum(count[name]["test"] for pair in sports.PAIRS[kind] for name in pair) >= 100
    ids = [id for scene in script for id in scene.ids]
    assert len(set(ids)) == len(ids)
    two = [scene for scene in script if len(scene.labels(0)) == 2]
    assert abs(len(two) / len(ids) - 0.05) < 0.002
    for scene in two:
        drawn = {sports.STAGES[k].draw for k in (scene.stage, scene.second)}
        kinds = {sports.STAGES[k].kind for k in (scene.stage, scene.second)}
        assert len(drawn) == 2 and kinds <= {"camera", "appearance"}


@pytest.mark.parametrize("videos", [1, 64, 10_000])
def test_every_class_in_every_split(videos):
    script = sports.plan(videos, data_seed=1)
    there = {(scene.stage, scene.split) for scene in script}
    assert len(there) == len(sports.STAGES) * 3
    if videos >= 64:
        assert abs(sum(len(s.ids) for s in script) / videos - 1) < 0.15


def test_cutaways_take_their_share_and_look_alike_backwards():
    shares, profile = [], np.zeros(100)
    for k in range(4000):
        away = sports.cutaways(np.random.default_rng(k), 100) > 0
        shares.append(away.mean())
        profile += away / 4000
    assert 0.19 <= min(shares) and max(shares) <= 0.36
    assert np.abs(profile - profile[::-1]).max() < 0.05


# ------------------------------------------------------------------------------------- the files


def test_catalog_and_files(small):
    df = catalog.load_catalog(small)
    assert len(df) == 72 and df.attrs["classes"] == sports.CLASSES and df.attrs["data_seed"] == 0
    assert (small / "labels.txt").read_text("utf-8").splitlines() == sports.CLASSES
    assert set(df["split"]) == {"train", "val", "test"}
    assert (df.groupby("group")["split"].nunique() == 1).all()
    for row in df.itertuples():
        info = reader.probe(small / row.path)
        assert (info.width, info.height, info.codec) == (176, 132, "h264")
        assert info.frames == round(row.duration * 30) and 2.5 <= row.duration <= 5
        assert info.fps == 30 and info.decoder == "decord"
    twins = df[df["group"].map(df["group"].value_counts()) == 2]
    names = {
        frozenset(sports.CLASSES[row[0]] for row in g["labels"]) for _, g in twins.groupby("group")
    }
    assert names == {
        frozenset(p) for kind in ("motion", "detail", "surround") for p in sports.PAIRS[kind]
    }
    assert not list((small / "videos").glob(".*.partial"))


def test_sports1m_format(small):
    df = catalog.load_catalog(small).set_index("id")
    seen = 0
    for source, splits in (("train", {"train", "val"}), ("test", {"test"})):
        records = json.loads(
            (small / "sports1m_json" / f"sports1m_{source}.json").read_text("utf-8")
        )
        for record in records:
            row = df.loc[record["id"]]
            assert record == {
                "stitle": row["title"],
                "label487": list(row["labels"]),
                "thumbnail": f"https://i.ytimg.com/vi/{record['id']}/default.jpg",
                "width": 176,
                "height": 132,
                "duration": round(row["duration"]),
                "id": record["id"],
                "source487": source,
            }
            assert row["split"] in splits and len(record["id"]) == 11
        seen += len(records)
    assert seen == len(df)
    assert any("<" in title for title in df["title"]) and any("&" in title for title in df["title"])
    assert any(not title.isascii() for title in df["title"])


def test_same_bytes_from_one_worker_and_an_interrupted_run(small, tmp_path, monkeypatch):
    """One worker, a folder that a killed run left behind, and another machine: the same dataset."""
    monkeypatch.setenv("S1M_HOME", str(tmp_path))
    folder, kept = paths.dataset("again"), sorted((small / "videos").glob("*.mp4"))[:60]
    (folder / "videos").mkdir(parents=True)
    missing = next(p for p in (small / "videos").glob("*.mp4") if p not in kept)
    (folder / "videos" / f".{missing.name}.partial").write_bytes(b"half")
    seal = (small / "videos" / ".fingerprint").read_text()
    (folder / "videos" / ".fingerprint").write_text(seal)
    for path in kept:
        (folder / "videos" / path.name).write_bytes(path.read_bytes())
    times = {path.name: (folder / "videos" / path.name).stat().st_mtime_ns for path in kept}
    datasets.make_pocket("again", videos=64, workers=1)
    for path in (p for p in small.rglob("*") if p.is_file() and p.name not in (".lock", ".sha256")):
        assert (folder / path.relative_to(small)).read_bytes() == path.read_bytes(), path
    assert len(list(folder.rglob("*"))) == len(list(small.rglob("*")))
    for name, before in times.items():  # what was whole is kept
        assert (folder / "videos" / name).stat().st_mtime_ns == before


def test_make_again(small, monkeypatch, capsys):
    """Finished is finished; a lost file comes back; other settings render everything again."""
    monkeypatch.setenv("S1M_HOME", str(small.parent.parent))
    calls = []
    render = pocket_render.render
    monkeypatch.setattr(pocket_render, "render", lambda *a: (calls.append(a), render(*a)))
    for videos in (64, 0):
        assert datasets.make_pocket("small", videos=videos) == small
    assert not calls
    lost = next((small / "videos").glob("*.mp4"))
    whole = lost.read_bytes()
    lost.unlink()
    datasets.make_pocket("small")
    assert lost.read_bytes() == whole and [len(call[3]) for call in calls] == [1]
    monkeypatch.setattr(pocket_render, "render", lambda *a: (_ for _ in ()).throw(KeyError("work")))
    monkeypatch.setattr(sports, "VERSION", -1)
    (small.parent / "elsewhere" / "videos").mkdir(parents=True)
    (small.parent / "elsewhere" / "videos" / ".fingerprint").write_text('{"old": 1}')
    (small.parent / "elsewhere" / "videos" / "old.mp4").write_bytes(b"old")
    with pytest.raises(KeyError, match="work"):
        datasets.make_pocket("elsewhere", videos=64)
    assert not (small.parent / "elsewhere" / "videos" / "old.mp4").exists()
    assert datasets.pairs(small) == sports.PAIRS and datasets.pairs(small / "videos") == {}


@pytest.mark.parametrize("how", ["damaged", "missing", "older seal"])
def test_a_lost_description_costs_no_video(small, monkeypatch, capsys, how):
    """Size and seed stand in the seal of the videos too."""
    monkeypatch.setenv("S1M_HOME", str(small.parent.parent))
    films = {path: path.stat().st_mtime_ns for path in (small / "videos").glob("*.mp4")}
    about, seal = (small / "dataset.json").read_bytes(), small / "videos" / ".fingerprint"
    if how == "older seal":
        seal.write_text(json.loads(about)["fingerprint"])
        datasets.make_pocket("small")  # writes it anew
    if how == "missing":
        (small / "dataset.json").unlink()
    else:
        (small / "dataset.json").write_bytes(about[:50] + b"X" + about[51:])
    assert datasets.make_pocket("small") == small
    assert (small / "dataset.json").read_bytes() == about
    assert {path: path.stat().st_mtime_ns for path in films} == films and len(films) == 72
    assert ("dataset.json is damaged" in capsys.readouterr().out) == (how != "missing")


def test_a_damaged_video_is_noticed_and_rendered_again(small, monkeypatch):
    monkeypatch.setenv("S1M_HOME", str(small.parent.parent))
    path = next((small / "videos").glob("*.mp4"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    source = locate.Source("file", str(path), [1, 1])
    with pytest.raises(VideoError, match="corrupt: its bytes are not those that were written"):
        with locate.local_copy(source, 60):
            pass
    assert not path.exists()
    datasets.make_pocket("small")
    with locate.local_copy(source, 60) as same:
        assert same.read_bytes() == whole


def test_a_failing_worker_is_heard(tmp_path, monkeypatch):
    monkeypatch.setenv("S1M_HOME", str(tmp_path))
    (tmp_path / "data" / "bad").mkdir(parents=True)
    (tmp_path / "data" / "bad" / "nowhere").write_bytes(b"no folder")
    script = sports.plan(64, 0)
    with pytest.raises(OSError, match="nowhere"):
        pocket_render.render(sports, tmp_path / "data" / "bad" / "nowhere", 0, script, 2)
    with pytest.raises(ValueError, match="not -5"):
        datasets.make_pocket("bad", videos=-5)


# --------------------------------------------------------------------------- what a pair may tell


def test_reversed_twins_are_exact():
    for scenes in scenes_of("motion", 2)[:2]:
        for scene in scenes:
            a, b = sports.film(scene, 5)
            assert np.array_equal(a, b[::-1]) and not np.array_equal(a, b)


def test_speed_twins_are_the_same_pictures_in_another_order():
    """A round is 220 pixels and a double step 48: after 2640 frames both have shown every one."""
    draw, options = next((s.draw, s.differ) for s in sports.STAGES if "sprinting" in s.classes)
    shown = [
        sum(draw(np.random.default_rng(3), times, **told).sum(0, dtype=int) for times in parts)
        for told, parts in zip(options, [np.arange(2640).reshape(8, -1)] * 2, strict=True)
    ]
    assert np.array_equal(*shown)


def test_weave_means_nothing_at_any_alignment():
    for weave, phase, fold in product(("along", "across"), (0, 1), (0, 1)):
        wave = np.pad(weaving(weave, phase, fold), 3)
        means = (wave[:-1, :-1] + wave[1:, :-1] + wave[:-1, 1:] + wave[1:, 1:]) / 4
        assert np.abs(means).max() < 6 and 45 <= np.abs(wave).max() < 48
    assert SQUARE <= 45  # what every fovea sees: 59 of a crop that moves by 14


def test_surround_twins_differ_only_where_no_fovea_looks(tmp_path):
    """And there so much that every crop of every network sees it, after the codec."""
    for scene in scenes_of("surround", 2)[0]:
        a, b = sports.film(scene, 5)
        assert np.array_equal(a[:, 29:104], b[:, 29:104])
        when = on_air(scene, 5)[::12]
        a, b = (coded(raw, tmp_path, "surround")[when].astype(np.float32) for raw in (a, b))
        for crop in (FULL, TWO):
            for x, y in product((0, (132 - crop) // 2, 132 - crop), repeat=2):
                seen = np.abs(a - b)[:, y : y + crop, x : x + crop]
                half = seen.reshape(len(seen), crop // 2, 2, crop // 2, 2, 3).mean((2, 4))
                assert (half[..., 2] > 60).mean() > 0.05  # orange or pink: the blue differs


def seen_in_a_view(view):
    """Colours, and how much the picture changes across and down, in patches of 8×8."""
    grey = view.mean(2)
    across, down = np.abs(np.diff(grey, axis=1))[:58], np.abs(np.diff(grey, axis=0))[:, :58]
    across, down = (patches(np.minimum(change, 12)) for change in (across, down))
    return np.concatenate([patches(view) / 20, np.log1p(across), np.log1p(across) - np.log1p(down)])


def patches(image, side=8):
    rows, columns = image.shape[0] // side, image.shape[1] // side
    image = image[: rows * side, : columns * side]
    return image.reshape(rows, side, columns, side, -1).mean((1, 3)).ravel()


def views(scene, folder, numbers, seed=5):
    """Context and fovea of some frames of both twins, cut as the networks cut them."""
    corners = np.random.default_rng(seed).integers(0, 15, (len(numbers), 2))
    for b, raw in enumerate(sports.film(scene, seed)):
        shown = coded(raw, folder, sports.STAGES[scene.stage].kind)
        for k, (y, x) in zip(numbers, corners, strict=True):
            crop = shown[k, y : y + TWO, x : x + TWO].astype(np.float32)
            yield b, crop.reshape(59, 2, 59, 2, 3).mean((1, 3)), crop[29:88, 29:88]


@pytest.mark.parametrize("kind, sees, blind", [("detail", 2, 1), ("surround", 1, 2)])
def test_one_view_sees_the_pair_and_the_other_cannot(kind, sees, blind, tmp_path):
    """After the codec: 1 the context (2×2 means), 2 the fovea; for random crops."""
    rows = []
    for group, scene in enumerate(scenes_of(kind, 30)[0]):
        numbers = np.random.default_rng(group).choice(on_air(scene, 5), 4, replace=False)
        rows += [(*row, group) for row in views(scene, tmp_path, numbers)]
    truth, group = np.array([row[0] for row in rows]), np.array([row[3] for row in rows])
    accuracy, _ = cross_validated([seen_in_a_view(row[sees]) for row in rows], truth, group)
    assert accuracy > 0.95
    accuracy, error = cross_validated([seen_in_a_view(row[blind]) for row in rows], truth, group)
    assert accuracy < 0.5 + max(2 * error, 0.05), f"{accuracy:.3f} ± {error:.3f}"


# ------------------------------------------------------- one decoded frame does not tell the time


def seen_in_a_frame(frame):
    """Colours, and what a codec leaves behind: noise around what moves, by direction."""
    from scipy.ndimage import uniform_filter

    frame = frame[:, STORED]
    grey = frame.mean(2)
    noise = np.abs(grey - uniform_filter(grey, 3))
    mover = uniform_filter((frame.max(2) > 200).astype(float), 5) > 0.5
    trails = []
    for reach in (4, 8, 12, 16, 22):
        for shift in ((-reach, 0), (reach, 0), (0, -reach), (0, reach)):
            beside = np.roll(mover, shift, (0, 1)) & ~mover & (noise < 6)
            trails.append(np.log1p(noise[beside].mean() if beside.any() else 0.0))
    trails = np.array(trails)
    pooled = np.log1p(np.minimum(noise, 8).reshape(12, 11, 12, 11).mean((1, 3))).ravel()
    pixels = frame.reshape(12, 11, 12, 11, 3).mean((1, 3)).ravel() / 25
    return np.concatenate([pixels, pooled, trails, trails[0::2] - trails[1::2]])


def cross_validated(x, truth, group):
    """Accuracy and its standard error (over groups) of a classifier that never met the group."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, right = np.array(x), np.zeros(len(truth))
    for train, test in GroupKFold(5).split(x, truth, group):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=300))
        right[test] = model.fit(x[train], truth[train]).predict(x[test]) == truth[test]
    by_group = np.array([right[group == g].mean() for g in np.unique(group)])
    return by_group.mean(), by_group.std(ddof=1) / np.sqrt(len(by_group))


def told_from_one_frame(scenes, folder, film=sports.film, frames=6, seed=5, **coding):
    """Accuracy and standard error of a classifier that sees one decoded frame of a motion twin."""
    x, truth, group = [], [], []
    for g, scene in enumerate(scenes):
        numbers = np.random.default_rng(g).choice(on_air(scene, seed), frames, replace=False)
        for b, raw in enumerate(film(scene, seed)):
            writer.encode(folder / "x.mp4", raw, **(sports.coding("motion") | coding))
            shown = decoded(folder / "x.mp4")
            backwards = b and len(sports.STAGES[scene.stage].differ) == 1
            for k in numbers:
                x.append(seen_in_a_frame(shown[scene.frames - 1 - k if backwards else k]))
                truth.append(b)
                group.append(g)
    return cross_validated(x, np.array(truth), np.array(group))


@pytest.mark.parametrize("pair", range(3))
def test_one_frame_does_not_tell(pair, tmp_path):
    accuracy, error = told_from_one_frame(scenes_of("motion", 30)[pair], tmp_path)
    assert accuracy < 0.5 + 2 * error, f"{accuracy:.3f} ± {error:.3f}"


@pytest.mark.slow
@pytest.mark.parametrize("pair", range(3))
def test_one_frame_does_not_tell_in_many_films(pair, tmp_path):
    stage = scenes_of("motion", 1)[pair][0].stage
    scenes = [scene for scene in sports.plan(6000, 5) if scene.stage == stage][:200]
    accuracy, error = told_from_one_frame(scenes, tmp_path, frames=12)
    assert accuracy < 0.5 + 2 * error, f"{accuracy:.3f} ± {error:.3f}"


def test_the_classifier_would_see_a_leak(tmp_path):
    """It finds the trail that predicted frames leave, and a light that slowly rises: a test of
    the test, and the reason why motion films are coded frame by frame."""
    scenes = scenes_of("motion", 20)[0]
    accuracy, error = told_from_one_frame(scenes, tmp_path, gop=30)
    assert accuracy > 0.5 + 2 * error, f"{accuracy:.3f} ± {error:.3f}"

    def brighter(scene, seed):
        for b, raw in enumerate(sports.film(scene, seed)):
            yield np.clip(raw * (1.04 if b else 1.0), 0, 255).astype(np.uint8)

    accuracy, error = told_from_one_frame(scenes, tmp_path, film=brighter)
    assert accuracy > 0.5 + 2 * error, f"{accuracy:.3f} ± {error:.3f}"
