"""The dataset `pocket`: sixteen rendered sports that stand for Sports-1M.

    datasets.make_pocket()            # data/pocket, about 1,160 videos in about a minute
    sports.rows(1160, data_seed=0)    # one row per video: id, split, labels, title, …

Small sports broadcasts as real H.264 files, with titles, durations, splits and labels. Every claim
of the paper has a pair of classes that can confirm or refute it.

The two classes of a pair are filmed as twins, from one scene and into one split. A motion twin is
the other's frames backwards, or its runners faster. A detail twin differs in a texture alone, a
surround twin in the stands alone. In films of motion pairs the codec predicts no frame from
another, so that it cannot reveal the direction of time. In every film, 20–35 % of the time shows
the crowd or the scoreboard. One film in twenty changes from one sport to another half-way.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s1m_lab.common.files import write_json
from s1m_lab.pocket import sports_scenes as scenes
from s1m_lab.pocket.sprites import HEIGHT, WIDTH, paste

VERSION = 2  # raise it when a pixel changes: every video is rendered again
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
    Stage("motion", scenes.wall, ("rope climbing", "abseiling")),
    Stage("motion", scenes.chute, ("bobsleigh", "luge")),
    Stage("motion", scenes.track, ("race walking", "sprinting"), ({"speed": 1}, {"speed": 7})),
    Stage("detail", scenes.mat, ("judo", "aikido"), ({"weave": "along"}, {"weave": "across"})),
    Stage("surround", scenes.hall, ("futsal", "handball"), ({"stands": 0}, {"stands": 1})),
    Stage("camera", scenes.sea, ("sailing",), ({"boats": True},)),
    Stage("camera", scenes.sea, ("surfing",), ({"boats": False},)),
    Stage("appearance", scenes.pool, ("swimming",)),
    Stage("appearance", scenes.rink, ("ice hockey",)),
    Stage("appearance", scenes.court, ("basketball",)),
    Stage("appearance", scenes.pitch, ("football",)),
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

INGEST = {"height": HEIGHT, "width": HEIGHT, "clips": {"train": 6, "val": 4, "test": 6}}
# Names that `render` reads
VIDEOS, SIZE = "videos", "videos"
DETAILS = {"pairs": PAIRS, "ingest": INGEST}

SPLIT = "decided when it was rendered; twins, filmed from one scene, share a split and a group"
TOWNS = "Ålesund,Łódź,Little Snoring,Reykjavík,São Tomé,Timbuktu,Ushuaia,Đà Nẵng,Zagreb,京都"
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
    def coding(self) -> dict:
        return coding(STAGES[self.stage].kind)

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
    single = [k for k, s in enumerate(STAGES) if len(s.classes) == 1]
    others = [k for k in single if STAGES[k].draw != STAGES[stage].draw]
    second = int(rng.choice(others)) if double else None
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    ids, titles = [], []
    for sport in STAGES[stage].classes:
        ids.append("".join(letters[k] for k in rng.integers(64, size=11)))
        town, other = rng.permutation(TOWNS.split(","))[:2]
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


# --------------------------------------------------------------------------------------- filming


def film(scene: Scene, data_seed: int) -> Iterator[np.ndarray]:
    """The frames of each of the scene's `files` before coding (uint8 N×132×176×3)."""
    stage = STAGES[scene.stage]
    frames = _shoot(scene, stage.differ[0], data_seed)
    yield frames
    if len(stage.differ) == 2:
        yield _shoot(scene, stage.differ[1], data_seed, twin=frames)
    elif len(stage.classes) == 2:
        yield frames[::-1]


def _shoot(
    scene: Scene, options: dict, data_seed: int, twin: np.ndarray | None = None
) -> np.ndarray:
    """The frames of one video: the sport, with one or two cutaways.

    All random draws are those of its twin. If the twin's frames are given, its cutaways are copied.
    """
    rngs = [chance(data_seed, *scene[:3], purpose) for purpose in (1, 2, 3)]
    shot = cutaways(rngs[0], scene.frames)  # 1 and 2; 0 is the sport, 3 the second one
    draws: dict[int, tuple[Callable, dict]] = {}
    for k in range(shot.max()):
        draws[k + 1] = [scenes.crowd, scenes.board][rngs[0].integers(2)], {}
    if scene.second is not None:
        shot[(shot == 0) & (np.arange(scene.frames) >= scene.frames // 2)] = 3
        draws[3] = STAGES[scene.second].draw, STAGES[scene.second].differ[0]
    draws[0] = STAGES[scene.stage].draw, options
    out = np.empty((scene.frames, HEIGHT, WIDTH, 3), np.uint8)
    if twin is not None:
        out[:], draws = twin, {0: draws[0]}
    for k, (draw, given) in reversed(draws.items()):
        when = np.flatnonzero(shot == k)
        out[when] = draw(rngs[1], when, **given)
    score = scenes.caption(rngs[2])
    for frame in np.flatnonzero(np.isin(shot, [0, 3])):
        paste(out[frame], score, 50, 12)
    return out


def cutaways(rng: np.random.Generator, frames: int) -> np.ndarray:
    """For each frame 0, or the number (1 or 2) of its cutaway.

    Cutaways take 20–35 % of a film. Their places are as likely in a film played backwards.
    """
    total = round(frames * rng.uniform(0.2, 0.35))
    first = round(rng.uniform(0.35, 0.65) * total)
    lengths = [[total], [first, total - first]][rng.integers(2)]
    begins = np.sort(rng.integers(0, frames - total + 1, len(lengths)))
    away = np.zeros(frames, int)
    for k, length in enumerate(lengths):
        start = begins[k] + sum(lengths[:k])
        away[start : start + length] = k + 1
    return away


def coding(kind: str) -> dict:
    """Options of `video.writer.encode` for the films of a kind.

    Motion films have no predicted frames. Predicted frames have coarser noise behind a moving
    figure than before it: a classifier found the direction of time in a single frame (64–68 %, and
    50 % without prediction). Detail films have crf 10. At crf 18 the codec's noise still revealed
    the direction of the weave at half resolution (64 %).
    """
    gop, crf = {"motion": (1, 18), "detail": (FPS, 10)}.get(kind, (FPS, 18))
    return {"fps": FPS, "crf": crf, "gop": gop}


# ----------------------------------------------------------------------------------------- lists


def rows(videos: int, data_seed: int) -> list[dict]:
    """One row per video of the dataset, in the columns of a catalog."""
    return [
        {
            "id": id,
            "split": scene.split,
            "labels": scene.labels(k),
            "title": scene.titles[k],
            "duration": scene.frames / FPS,
            "width": WIDTH,
            "height": HEIGHT,
            "thumbnail": f"https://i.ytimg.com/vi/{id}/default.jpg",
            "path": f"{VIDEOS}/{id}.mp4",
            "group": scene.group,
        }
        for scene in plan(videos, data_seed)
        for k, id in enumerate(scene.ids)
    ]


def write_lists(folder: Path, videos: int, data_seed: int) -> None:
    """Write the metadata in the JSON format of Sports-1M."""
    for source, splits in (("train", ("train", "val")), ("test", ("test",))):
        records = [
            {
                "stitle": row["title"],
                "label487": row["labels"],
                "thumbnail": row["thumbnail"],
                "width": row["width"],
                "height": row["height"],
                "duration": round(row["duration"]),
                "id": row["id"],
                "source487": source,
            }
            for row in rows(videos, data_seed)
            if row["split"] in splits
        ]
        path = folder / "sports1m_json" / f"sports1m_{source}.json"
        write_json(path, records, ensure_ascii=False)
