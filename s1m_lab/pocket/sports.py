"""The dataset `pocket`: sixteen rendered sports that stand for Sports-1M.

    folder = sports.make()            # data/pocket, about 1,160 videos in about a minute
    sports.rows(1160, data_seed=0)    # one row per video: id, split, labels, title, …

Small sports broadcasts as real H.264 files, with titles, durations, splits and labels. Every claim
of the paper has a pair of classes that can confirm or refute it.

The two classes of a pair are filmed as twins, from one scene and into one split. A motion twin is
the other's frames backwards, or its runners faster. A detail twin differs in a texture alone, a
surround twin in the stands alone. In films of motion pairs the codec predicts no frame from
another, so that it cannot reveal the direction of time. In every film, 20–35 % of the time shows
the crowd or the scoreboard. One film in twenty changes from one sport to another half-way.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from s1m_lab.common.files import atomic
from s1m_lab.pocket import render, sports_scenes, sprites
from s1m_lab.pocket.sports_plan import DEFAULT as DEFAULT  # `render` reads it here
from s1m_lab.pocket.sports_plan import FPS, PAIRS, STAGES, Scene, chance, plan

VERSION = 2  # raise it when a pixel changes: every video is rendered again
BYTES = 300_000  # of a video, at most
VIDEOS, SIZE = "videos", "videos"
ABOUT = "Sixteen rendered sports that stand for Sports-1M; made by s1m_lab.pocket."
SPLIT = "decided when it was rendered; twins, filmed from one scene, share a split and a group"
DETAILS = {
    "pairs": PAIRS,
    "ingest": {
        "height": sprites.HEIGHT,
        "width": sprites.HEIGHT,
        "clips": {"train": 6, "val": 4, "test": 6},
    },
}


def make(
    name: str = "pocket",
    videos: int = 0,
    data_seed: int | None = None,
    workers: int | None = None,
) -> Path:
    """Render the dataset `data/<name>` unless it is there, and return its folder.

    Args:
        videos: its size; all splits are scaled alike. Each split of each class gets its share of
            the default 1,160, rounded, and at least one video: 64 gives 72, 10,000 gives 9,998.
            0 is the size that the dataset has, or the default.
        data_seed: the same seed gives the same videos, titles and splits on every machine.
        workers: processes; by default, and at most, one per core.

    `data.datasets.make_pocket` calls this function and writes the catalog.
    """
    if videos < 0:
        raise ValueError(f"videos is the number of videos to render, not {videos}")
    return render.make(sys.modules[__name__], name, videos, data_seed, workers)


# --------------------------------------------------------------------------------------- filming


def film(scene: Scene, data_seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Each video of a scene: its id and its frames before coding (uint8 N×132×176×3)."""
    stage = STAGES[scene.stage]
    if len(stage.differ) == len(stage.classes):
        frames = None
        for id, options in zip(scene.ids, stage.differ, strict=True):
            frames = _shoot(scene, options, data_seed, twin=frames)
            yield id, frames
    else:
        frames = _shoot(scene, stage.differ[0], data_seed)
        yield scene.ids[0], frames
        yield scene.ids[1], frames[::-1]


def _shoot(
    scene: Scene, options: dict, data_seed: int, twin: np.ndarray | None = None
) -> np.ndarray:
    """The frames of one video: the sport, with one or two cutaways.

    All random draws are those of its twin. If the twin's frames are given, its cutaways are copied.
    """
    rngs = [chance(data_seed, *scene[:3], purpose) for purpose in (1, 2, 3)]
    away, other = cutaways(rngs[0], scene.frames), np.zeros(scene.frames, bool)
    draws: list[Callable] = [sports_scenes.crowd, sports_scenes.board]
    shots: list[tuple[Callable, dict, np.ndarray]] = [
        (draws[rngs[0].integers(2)], {}, away == k + 1) for k in range(away.max())
    ]
    if scene.second is not None:
        other[scene.frames // 2 :] = True
        second = STAGES[scene.second]
        shots.append((second.draw, second.differ[0], (away == 0) & other))
    shots.append((STAGES[scene.stage].draw, options, (away == 0) & ~other))
    out = np.empty((scene.frames, sprites.HEIGHT, sprites.WIDTH, 3), np.uint8)
    if twin is not None:
        out[:], shots = twin, shots[-1:]
    for draw, given, when in shots[::-1]:
        out[when] = draw(rngs[1], np.flatnonzero(when), **given)
    score = sprites.caption(rngs[2])
    for k in np.flatnonzero(away == 0):
        sprites.paste(out[k], score, 50, 12)
    return out


def cutaways(rng: np.random.Generator, frames: int) -> np.ndarray:
    """For each frame 0, or the number (1 or 2) of its cutaway.

    Cutaways take 20–35 % of a film. Their places are as likely in a film played backwards.
    """
    total, first = round(frames * rng.uniform(0.2, 0.35)), rng.uniform(0.35, 0.65)
    first = round(first * total)
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
            "width": sprites.WIDTH,
            "height": sprites.HEIGHT,
            "thumbnail": f"https://i.ytimg.com/vi/{id}/default.jpg",
            "path": f"videos/{id}.mp4",
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
        with atomic(folder / "sports1m_json" / f"sports1m_{source}.json") as temporary:
            temporary.write_text(json.dumps(records, ensure_ascii=False), "utf-8")
