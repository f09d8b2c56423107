"""pocket101: its films, its lists, and what one of its frames may tell."""

import json

import numpy as np
import pytest

from s1m_lab.common import paths, system
from s1m_lab.data import ucf101
from s1m_lab.pocket import activities, activities_far, sports, sprites
from s1m_lab.video import reader


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S1M_HOME", str(tmp_path_factory.mktemp("a home")))
        patch.setattr(system, "cores", lambda: 2)
        return activities.make("small", groups=4, workers=2)


def decoded(path):
    return np.stack([image for _, image in reader.read(path)])


def test_classes_and_categories():
    """Every category of UCF-101, sports the largest, and no sport of `pocket`."""
    named = sum(activities.CATEGORIES.values(), [])
    assert sorted(named) == activities.CLASSES and len(named) == len(set(named)) == 24
    assert list(activities.CATEGORIES) == list(ucf101.CATEGORIES)
    sizes = [len(names) for names in activities.CATEGORIES.values()]
    assert min(sizes) >= 2 and max(sizes) == sizes[-1]
    assert not {name.lower() for name in named} & {n.replace(" ", "") for n in sports.CLASSES}
    for category, names in ucf101.CATEGORIES.items():  # a class of UCF-101 is where that has it
        assert all(name not in named or name in activities.CATEGORIES[category] for name in names)
    assert (activities.WIDTH, activities.HEIGHT) != (sprites.WIDTH, sprites.HEIGHT)


def test_the_plan():
    script = activities.plan(25, 0)
    files = [file for scene in script for file in scene.files]
    assert len(files) == len(set(files)) == 24 * (12 + 2 * 13)
    assert script == activities.plan(25, 0) != activities.plan(25, 1)
    assert "HandstandPushups/v_HandStandPushups_g25_c02.avi" in files


@pytest.mark.parametrize("groups", [4, 25, 99])
def test_every_fold_tests_other_groups(groups):
    tests = [activities.tested(fold, groups) for fold in (1, 2, 3)]
    assert len(set().union(*tests)) == sum(map(len, tests)) and max(tests[2]) < groups
    if groups == 25:
        assert tests == [range(1, 8), range(8, 15), range(15, 22)]


def test_files_are_what_the_lists_say(small):
    there = sorted(str(f.relative_to(small / "UCF-101")) for f in small.rglob("*.avi"))
    assert len(there) == 24 * 6 and not list(small.rglob(".*.partial"))
    text = (small / "ucfTrainTestlist" / "classInd.txt").read_bytes().decode()
    classes = dict(line.split()[::-1] for line in text.split("\r\n")[:-1])
    assert list(classes) == activities.CLASSES and classes["Archery"] == "1"
    for fold in (1, 2, 3):
        lists = [small / "ucfTrainTestlist" / f"{s}list0{fold}.txt" for s in ("train", "test")]
        train, test = (path.read_bytes().decode().split("\r\n")[:-1] for path in lists)
        assert sorted([line.split()[0] for line in train] + test) == there
        assert all(line.split()[1] == classes[line.partition("/")[0]] for line in train)
        assert {line[-11:-8] for line in test} == {f"g{fold:02}"[-3:]}
    for name in there[::7]:
        info = reader.probe(small / "UCF-101" / name)
        assert (info.width, info.height, info.codec) == (192, 144, "h264")
        assert 50 <= info.frames <= 75 and not info.broken and abs(info.fps - 25) < 1e-6
    about = json.loads((small / "dataset.json").read_text("utf-8"))
    assert about["categories"] == activities.CATEGORIES and about["groups"] == 4


def test_the_same_bytes_again(small, tmp_path, monkeypatch):
    """One worker, and films that an interrupted run had left, give what two workers gave."""
    monkeypatch.setenv("S1M_HOME", str(tmp_path))
    folder = paths.dataset("again")
    for path in sorted(small.rglob("*.avi"))[:100] + [small / "UCF-101" / ".fingerprint"]:
        copy = folder / path.relative_to(small)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    activities.make("again", groups=4, workers=1)
    made = [
        path
        for path in small.rglob("*")
        if path.is_file() and path.name not in (".lock", ".sha256")
    ]
    assert len(made) == 24 * 6 + 9
    for path in made:
        assert (folder / path.relative_to(small)).read_bytes() == path.read_bytes(), path
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.avi")}
    assert activities.make("again") == folder
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.avi")}
    with pytest.raises(ValueError, match="4 to 99"):
        activities.make("again", groups=3)


def shown(stage, group=2, seed=3):
    """The frames of a group of a stage by class, before coding."""
    scene = next(s for s in activities.plan(4, seed) if (s.stage, s.group) == (stage, group))
    names = [name.partition("/")[0] for name in scene.files]
    return dict(zip(names, activities.film(scene, seed), strict=True))


def rounds_of(name):
    """The stage of a class, and the frames that its twins take for a round."""
    return next((k, s.rounds) for k, s in enumerate(activities.STAGES) if name in s.rounds)


REVERSED = [name for s in activities.STAGES for name, length in s.rounds.items() if length < 0]


@pytest.mark.parametrize("name", REVERSED)
def test_a_reversed_twin_is_exact(name):
    stage, rounds = rounds_of(name)
    forth, back = shown(stage).values()
    assert np.array_equal(forth, back[::-1]) and not np.array_equal(forth, back)
    assert list(rounds.values())[0] == -rounds[name]


def test_runners_are_walkers_hurried():
    """One group's people and place, and one first picture; the fast ones change it more."""
    slow, fast = shown(rounds_of("BeachRunning")[0]).values()
    assert np.array_equal(slow[0], fast[0])
    change = [np.abs(np.diff(film.astype(int), axis=0)).mean() for film in (slow, fast)]
    assert change[1] > 1.5 * change[0]
    still = [np.median(film, axis=0) for film in (slow, fast)]
    assert (np.abs(still[0] - still[1]).mean(2) < 12).mean() > 0.85


def test_runners_and_walkers_show_the_same_pictures_in_another_order():
    """The way round is 236 pixels and a double step 48: after 2832 pixels all have been shown."""
    sums = []
    for pixels in (1, 7):
        moments = np.arange(2832) * pixels / activities_far.STRIDE
        cast, dice = (np.random.default_rng(k) for k in (3, 4))
        out = np.zeros((2832, activities.HEIGHT, activities.WIDTH, 3), np.uint8)
        activities_far.running(out, cast, dice, moments)
        sums.append(out.sum(0, dtype=int))
    assert np.array_equal(*sums) and sums[0].any()


def test_any_moment_is_as_likely_in_a_walker_as_in_a_runner(monkeypatch):
    """Over many groups their frames, and the first alone, show every part of a round."""
    moments = []

    def running(out, cast, dice, rounds):
        moments.append(rounds % 1)

    stage, _ = rounds_of("BeachRunning")
    stages = list(activities.STAGES)
    stages[stage] = stages[stage]._replace(act=running)
    monkeypatch.setattr(activities, "STAGES", stages)
    for scene in activities.plan(99, 0):
        if scene.stage == stage:
            list(activities.film(scene, 0))
    assert len(moments) == 2 * 149
    every = np.concatenate(moments)
    parts = np.histogram(every, 8, (0, 1))[0] / len(every)
    assert np.abs(parts - 1 / 8).max() < 0.05
    first = np.histogram([m[0] for m in moments], 8, (0, 1))[0] / len(moments)
    assert np.abs(first - 1 / 8).max() < 3 * np.sqrt(7 / 64 / 149)  # of so many draws


def test_a_group_shares_people_and_place_and_others_do_not():
    """Two clips of a group are nearer to each other than to any clip of another group."""
    scenes = [s for s in activities.plan(6, 0) if s.stage == 1 and s.group % 2]
    films = [[f.mean(0) for f in activities.film(scene, 0)] for scene in scenes]
    apart = lambda a, b: np.abs(a - b).mean()  # noqa: E731
    for k, (one, two) in enumerate(films):
        others = [film for n, group in enumerate(films) for film in group if n != k]
        assert apart(one, two) < min(apart(one, other) for other in others)


def test_one_frame_tells_most_classes_and_no_twin(small):
    """Nearest neighbours among frames of other groups: far better than chance over the stages,
    and no better than chance between twins."""
    x, stage, label, group = [], [], [], []
    for k, scene in enumerate(activities.plan(8, 5)):
        if scene.group % 2:
            continue
        for name, frames in zip(scene.files, activities.film(scene, 5), strict=True):
            for n in np.random.default_rng(k).choice(len(frames), 4, replace=False):
                small_frame = frames[n].reshape(18, 8, 24, 8, 3).mean((1, 3))
                x.append((small_frame - small_frame.mean((0, 1))).ravel())
                stage.append(scene.stage), group.append(scene.group)
                label.append(name.partition("/")[0])
    x, stage, label, group = map(np.array, (x, stage, label, group))
    distance = ((x[:, None] - x[None]) ** 2).sum(2)
    distance[group[:, None] == group[None]] = np.inf
    nearest = distance.argmin(1)
    assert (stage[nearest] == stage).mean() > 0.5
    twins = np.isin(label, sum(activities.PAIRS["motion"], [])) & (stage[nearest] == stage)
    rate = (label[nearest] == label)[twins].mean()
    assert abs(rate - 0.5) < 2.5 * 0.5 / np.sqrt(twins.sum() / 4), rate
