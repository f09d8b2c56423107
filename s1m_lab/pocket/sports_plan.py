"""The plan of `pocket`: its classes and pairs, and every scene to film.

    for scene in sports_plan.plan(videos=1160, data_seed=0): ...

The plan is a function of the two numbers, the same on every machine.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from s1m_lab.pocket import sports_games, sports_scenes

FPS, SHORTEST, LONGEST = 30, 75, 150  # frames
SPLITS = ("train", "val", "test")
TWO_LABELS = 0.05  # share of all videos


class Stage(NamedTuple):
    """A scene and the class, or the two twin classes, filmed in it."""

    kind: str
    draw: Callable
    classes: tuple[str, ...]
    differ: tuple[dict, ...] = ({},)  # options of `draw` per class; one entry: B is A backwards


STAGES = (
    Stage("motion", sports_scenes.wall, ("rope climbing", "abseiling")),
    Stage("motion", sports_scenes.chute, ("bobsleigh", "luge")),
    Stage(
        "motion", sports_scenes.track, ("race walking", "sprinting"), ({"speed": 1}, {"speed": 7})
    ),
    Stage(
        "detail", sports_scenes.mat, ("judo", "aikido"), ({"weave": "along"}, {"weave": "across"})
    ),
    Stage("surround", sports_games.hall, ("futsal", "handball"), ({"stands": 0}, {"stands": 1})),
    Stage("camera", sports_scenes.sea, ("sailing",), ({"boats": True},)),
    Stage("camera", sports_scenes.sea, ("surfing",), ({"boats": False},)),
    Stage("appearance", sports_scenes.pool, ("swimming",)),
    Stage("appearance", sports_games.rink, ("ice hockey",)),
    Stage("appearance", sports_games.court, ("basketball",)),
    Stage("appearance", sports_games.pitch, ("football",)),
)
CLASSES = [name for stage in STAGES for name in stage.classes]
PAIRS = {
    kind: [list(stage.classes) for stage in STAGES if stage.kind == kind]
    for kind in ("motion", "detail", "surround")
} | {"camera": [["sailing", "surfing"]]}

# Videos of a class: at least 100 test videos in each kind of pair that a claim rests on.
TRAIN, VAL = 40, 8
TEST = {"motion": 20, "detail": 50, "surround": 50, "camera": 12, "appearance": 12}
DEFAULT = sum((TRAIN + VAL + TEST[stage.kind]) * len(stage.classes) for stage in STAGES)

TOWNS = "Ålesund,Łódź,Little Snoring,Reykjavík,São Tomé,Timbuktu,Ushuaia,Đà Nẵng,Zagreb,京都".split(
    ","
)
TITLES = (
    "{sport} final, {town} Open",
    "{town} vs {other}: {sport} highlights",
    "Grandma tries {sport} (take {n})",
    "{sport} & biscuits with the {town} Wanderers",
    "POV: {sport} before breakfast",
    "we <3 {sport} | {town} {year}",
    "How NOT to do {sport} <tutorial {n}>",
    "{town} Cup {year}: {sport}, round {n}",
    "My first {sport} lesson… it's going great!",
    '"{n} minutes of {sport}" — {other} Archive',
)


class Scene(NamedTuple):
    """One scene: a video of a stage's class, or of its two twin classes."""

    stage: int
    split: str
    number: int
    second: int | None  # the stage that the second half of the film shows
    frames: int
    ids: tuple[str, ...]  # one a class of the stage
    titles: tuple[str, ...]

    @property
    def group(self) -> str:
        return f"{STAGES[self.stage].classes[0]} {self.split} {self.number}".replace(" ", "-")

    @property
    def files(self) -> list[str]:
        return [f"{id}.mp4" for id in self.ids]

    @property
    def kind(self) -> str:
        return STAGES[self.stage].kind

    def labels(self, k: int) -> list[int]:
        names = [STAGES[self.stage].classes[k]]
        if self.second is not None:
            names += STAGES[self.second].classes
        return [CLASSES.index(name) for name in names]


@lru_cache(4)
def plan(videos: int, data_seed: int) -> list[Scene]:
    """Every scene of the dataset, a function of the two numbers."""
    slots = []
    for split in SPLITS:
        for k, stage in enumerate(STAGES):
            base = {"train": TRAIN, "val": VAL, "test": TEST[stage.kind]}[split]
            slots += [(k, split, n) for n in range(max(1, round(base * videos / DEFAULT)))]
    single = [slot for slot in slots if len(STAGES[slot[0]].classes) == 1]
    share = TWO_LABELS * (2 * len(slots) - len(single)) / len(single)
    double = {slot for k, slot in enumerate(single) if int((k + 1) * share) > int(k * share)}
    return [_scene(*slot, slot in double, data_seed) for slot in slots]


def _scene(stage: int, split: str, number: int, double: bool, data_seed: int) -> Scene:
    rng = chance(data_seed, stage, split, number, 0)
    frames = int(rng.integers(SHORTEST, LONGEST + 1))
    others = [
        k for k, s in enumerate(STAGES) if len(s.classes) == 1 and s.draw != STAGES[stage].draw
    ]
    second = int(rng.choice(others)) if double else None
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    ids, titles = [], []
    for sport in STAGES[stage].classes:
        ids.append("".join(letters[k] for k in rng.integers(64, size=11)))
        town, other = rng.permutation(TOWNS)[:2]
        words = {"sport": sport, "town": town, "other": other}
        words |= {"n": rng.integers(2, 12), "year": rng.integers(2007, 2014)}
        title = TITLES[rng.integers(len(TITLES))].format(**words)
        titles.append(title[0].upper() + title[1:])
    return Scene(stage, split, number, second, frames, tuple(ids), tuple(titles))


def chance(
    data_seed: int, stage: int, split: str, number: int, purpose: int
) -> np.random.Generator:
    """The random generator of a scene: purpose 0 the plan, 1 cutaways, 2 pictures, 3 the score."""
    return np.random.default_rng([data_seed, stage, SPLITS.index(split), number, purpose])
