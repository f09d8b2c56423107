"""The dataset `pocket101`: rendered activities that stand for UCF-101, in its own layout.

    folder = activities.make()        # data/pocket101: 912 videos of 24 classes, in about a minute

The activities are other than those of `pocket`, in all five categories of UCF-101. Files are AVI,
192×144 at 25 frames a second: `UCF-101/<Class>/v_<Class>_gGG_cCC.avi`. `ucfTrainTestlist/` has
lists like the official ones, with CRLF and `HandstandPushups/v_HandStandPushups_…`. A group is one
or two videos of the same people, place and colours. Of the 25 groups of a class, 7 are the test set
of fold 1, the next 7 of fold 2, and so on.

Places and clothes reveal little of most classes: three are done in the same hall. In six pairs of
classes any one frame is equally likely in both. Five of them are each other backwards, as
rappelling is climbing; in the sixth, runners on the beach are walkers in a hurry. Their videos are
twins, of the same groups and frames, coded like the motion pairs of `pocket`. Five pairs are filmed
from as far as the sports of `pocket`: other people on other ground, but the same motion, so that
training on `pocket` can help here. The other classes are filmed from near.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageOps

from s1m_lab.common.files import atomic
from s1m_lab.pocket import activities_far as far
from s1m_lab.pocket import activities_near as near
from s1m_lab.pocket import backgrounds, render
from s1m_lab.pocket.people import CLOTHES, dress
from s1m_lab.pocket.sports_scenes import wander
from s1m_lab.pocket.sprites import Pen, Sprite, animate

VERSION = 2  # raise it when a pixel changes: every video is rendered again
WIDTH, HEIGHT, FPS = 192, 144, 25
SHORTEST, LONGEST = 50, 75  # frames
POSES, MARGIN = 24, 8  # drawings a round; px that the camera may swing
DEFAULT = 25  # groups of a class
FOLDS = 3


class Stage(NamedTuple):
    """An activity in a place: one class, or two twin classes.

    `rounds` are the frames of one round of the motion; a negative number plays it backwards.
    """

    act: Callable
    place: Callable
    rounds: dict[str, int]
    travel: int = 0  # px that the world moves in a round
    far: bool = False  # an act of `activities_far`


STAGES = (
    Stage(near.hammering, backgrounds.workshop, {"Hammering": 22}),
    Stage(near.rope_jumping, backgrounds.gym, {"JumpRope": 16}),
    Stage(near.mopping, backgrounds.room, {"MoppingFloor": 40}),
    Stage(near.handstand_push_ups, backgrounds.gym, {"HandstandPushups": 44}),
    Stage(near.push_ups, backgrounds.gym, {"PushUps": 36}),
    Stage(near.strolling, backgrounds.street, {"Strolling": 28, "Moonwalking": -28}, travel=80),
    Stage(near.hair_cutting, backgrounds.salon, {"Haircut": 40}),
    Stage(near.salsa, backgrounds.stage, {"SalsaSpin": 32}),
    Stage(near.drumming, backgrounds.stage, {"Drumming": 14}),
    Stage(near.guitar_playing, backgrounds.room, {"PlayingGuitar": 18}),
    Stage(near.violin_playing, backgrounds.stage, {"PlayingViolin": 60}),
    Stage(near.archery, backgrounds.park, {"Archery": 70}),
    Stage(near.biking, backgrounds.road, {"Biking": 24}, travel=130),
    Stage(far.climbing, backgrounds.cliff, {"RockClimbing": 13, "Rappelling": -13}, far=True),
    Stage(far.gliding, backgrounds.sky, {"Parasailing": 13, "SkyDiving": -13}, far=True),
    Stage(far.paddling, backgrounds.river, {"Kayaking": 13, "BackPaddling": -13}, far=True),
    Stage(far.karting, backgrounds.lane, {"KartRacing": 27, "KartReversing": -27}, far=True),
    Stage(far.running, backgrounds.beach, {"BeachWalking": 40, "BeachRunning": 6}, far=True),
)
CLASSES = sorted(name for stage in STAGES for name in stage.rounds)
CATEGORIES = {
    "Human-Object Interaction": ["Hammering", "JumpRope", "MoppingFloor"],
    "Body-Motion Only": ["HandstandPushups", "Moonwalking", "PushUps", "Strolling"],
    "Human-Human Interaction": ["Haircut", "SalsaSpin"],
    "Playing Musical Instruments": ["Drumming", "PlayingGuitar", "PlayingViolin"],
    "Sports": ["Archery", "Biking", *(name for s in STAGES if s.far for name in s.rounds)],
}
PAIRS = {"motion": [list(stage.rounds) for stage in STAGES if len(stage.rounds) == 2]}
# UCF-101 has 50, 20 and 20 (§4.3). With 4, four ways of tuning × three folds end in minutes.
INGEST = {"height": 132, "width": 132, "clips": {"train": 4, "val": 4, "test": 4}}
# Names that `render` reads, and the names of UCF-101
SIZE, VIDEOS = "groups", "UCF-101"
LISTS, CLASS_FILE = "ucfTrainTestlist", "classInd.txt"
DETAILS = {"categories": CATEGORIES, "pairs": PAIRS, "ingest": INGEST}


class Scene(NamedTuple):
    """One scene: a group of a class, or of two twin classes."""

    stage: int
    group: int  # from 1
    lengths: tuple[int, ...]  # frames of each clip of a class

    @property
    def coding(self) -> dict:
        """Options of `video.writer.encode`; twins are coded frame by frame, see `sports.coding`."""
        return {"fps": FPS, "crf": 20, "gop": 1 if len(STAGES[self.stage].rounds) == 2 else FPS}

    @property
    def files(self) -> list[str]:
        """Its files, class by class. UCF-101 itself spells HandstandPushups differently in them."""
        ends = [f"g{self.group:02}_c{clip:02}.avi" for clip in range(1, len(self.lengths) + 1)]
        names = {name: name.replace("Handstand", "HandStand") for name in STAGES[self.stage].rounds}
        return [f"{folder}/v_{name}_{end}" for folder, name in names.items() for end in ends]


def make(
    name: str = "pocket101",
    groups: int = 0,
    data_seed: int | None = None,
    workers: int | None = None,
) -> Path:
    """Render the videos and lists of `data/<name>` unless they are there; see `render.make`.

    A class has 4 to 99 `groups`, so that every fold has groups to test and to train; 0 is as many
    as the dataset has, or 25. `data.ucf101.dataset` makes the catalogs of the folds.
    """
    if groups and not 4 <= groups <= 99:
        raise ValueError(f"groups is {groups}; a class has 4 to 99 of them")
    return render.make(sys.modules[__name__], name, groups, data_seed, workers)


def plan(groups: int, data_seed: int) -> list[Scene]:
    """Every scene, a function of the two numbers. Every other group has two clips of a class."""
    scenes = []
    for stage in range(len(STAGES)):
        for group in range(1, groups + 1):
            rng = chance(data_seed, stage, group, 0)
            lengths = rng.integers(SHORTEST, LONGEST + 1, 1 + group % 2)
            scenes.append(Scene(stage, group, tuple(lengths.tolist())))
    return scenes


def chance(data_seed: int, stage: int, group: int, purpose: int) -> np.random.Generator:
    """The random generator of a group: purpose 0 the lengths, 1 the picture, 2 and up a clip."""
    return np.random.default_rng([data_seed, 101, stage, group, purpose])


def film(scene: Scene, data_seed: int) -> Iterator[np.ndarray]:
    """The frames of each of the scene's `files` before coding (uint8 N×144×192×3)."""
    stage = STAGES[scene.stage]
    rng = chance(data_seed, scene.stage, scene.group, 1)
    facing, tempo, shake = int(rng.choice([-1, 1])), rng.uniform(0.88, 1.14), rng.uniform(1, 4)
    world = stage.place(rng, 2 * WIDTH if stage.travel else WIDTH + 2 * MARGIN).picture()
    if stage.travel:  # the world continues as its own mirror image
        world = np.concatenate([world, world[:, ::-1]], 1)
    if stage.far:
        cast = rng.integers(2**32)
    else:
        poses = _draw_poses(stage.act, rng, facing)
    for length in stage.rounds.values():
        for clip, count in enumerate(scene.lengths):
            dice, times = chance(data_seed, scene.stage, scene.group, 2 + clip), np.arange(count)
            rounds = dice.random() + times / (abs(length) * tempo)
            x = np.clip(wander(dice, times, shake), -MARGIN, MARGIN) + MARGIN
            y = np.clip(wander(dice, times, shake / 2), -MARGIN / 2, MARGIN / 2) + MARGIN / 2
            camera = np.round([x, y]).astype(int)
            out = np.empty((count, HEIGHT, WIDTH, 3), np.uint8)
            for n, (left, top) in enumerate(camera.T):
                columns = left + round(facing * stage.travel * rounds[n]) + np.arange(WIDTH)
                out[n] = world[top : top + HEIGHT, columns % world.shape[1]]
            if stage.far:  # the actors go their own ways
                stage.act(out, np.random.default_rng(cast), dice, rounds)
            else:  # they stay in the middle
                x, y = [[WIDTH // 2 + MARGIN], [HEIGHT // 2 + MARGIN // 2]] - camera
                animate(out, poses, rounds * POSES, x, y)
            yield out if length > 0 else out[::-1]


def _draw_poses(act: Callable, rng, facing: int) -> list[Sprite]:
    """The drawings of one round of an act seen from near, in the clothes and colours of a group."""
    people = [dress(rng) for _ in range(2)]
    tones = [CLOTHES[k] for k in rng.permutation(len(CLOTHES))[:2]]
    poses = []
    for k in range(POSES):
        pen = Pen(WIDTH, HEIGHT)
        act(pen, people, tones, k / POSES)
        poses.append(Sprite(pen.image if facing > 0 else ImageOps.mirror(pen.image)))
    return poses


def tested(fold: int, groups: int) -> range:
    """The test groups of a fold: of 25, groups 1 to 7, 8 to 14, and 15 to 21."""
    each = max(1, groups * 7 // DEFAULT)
    return range(1 + each * (fold - 1), 1 + each * fold)


def write_lists(folder: Path, groups: int, data_seed: int) -> None:
    """Write `classInd.txt`, and `trainlist0k.txt` and `testlist0k.txt` of every fold."""
    number = {name: n for n, name in enumerate(CLASSES, 1)}
    texts = {CLASS_FILE: [f"{n} {name}" for name, n in number.items()]}
    scenes = plan(groups, data_seed)
    clips = sorted((file, scene.group) for scene in scenes for file in scene.files)
    for fold in range(1, FOLDS + 1):
        test = tested(fold, groups)
        texts[f"trainlist{fold:02}.txt"] = [
            f"{file} {number[file.partition('/')[0]]}" for file, group in clips if group not in test
        ]
        texts[f"testlist{fold:02}.txt"] = [file for file, group in clips if group in test]
    for name, lines in texts.items():
        with atomic(folder / LISTS / name) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\r\n")
