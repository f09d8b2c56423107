"""The pocket datasets: rendered sports, real files.

`pocket` stands for Sports-1M: sixteen sports in small broadcasts, real H.264 files with titles,
durations, splits and labels, in which every claim of the paper has a pair of classes that can
confirm or refute it.

    folder = sports.make()            # data/pocket, about 1,160 videos in about a minute
    sports.rows(1160, data_seed=0)    # one row per video: id, split, labels, title, …

Two classes of a pair are filmed as twins, from one scene and into one split: a motion twin is the
other's frames backwards (or its runners faster), a detail or surround twin differs in a texture or
in the stands and in nothing else. Films of the motion pairs are coded frame by frame, each frame by
itself, so that the codec cannot tell which way time ran. In every film, 20–35 % of the time shows
the crowd or the scoreboard; one film in twenty changes from one sport to another half-way.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s1m_lab.common import paths, system
from s1m_lab.common.files import atomic, exclusive, fingerprint, require_space
from s1m_lab.pocket import render, sports_scenes, sprites
from s1m_lab.pocket.sports_plan import DEFAULT, FPS, PAIRS, STAGES, Scene, chance, plan

VERSION = 2  # of all that decides a pixel; a new one renders every film again
SPLIT = "decided when it was rendered; twins, filmed from one scene, share a split and a group"
BYTES = 300_000  # what a film takes, rather too much than too little


# ------------------------------------------------------------------------------------- making it


def make(
    name: str = "pocket",
    videos: int = 0,
    data_seed: int | None = None,
    workers: int | None = None,
) -> Path:
    """Render the dataset `data/<name>` unless it is there, and return its folder.

    `videos` is its size, all splits scaled alike: each split of each class gets its share of the
    default 1,160, rounded, and at least one video, so 64 gives 72 and 10,000 gives 9,998. 0 is the
    size it has, or the default. The same `data_seed` gives the same videos, titles and splits on
    every machine, whatever `workers` (processes; at most, and by default, the cores).
    `data.datasets.make_pocket` calls this function and writes the catalog.
    """
    folder = paths.dataset(name)
    if videos < 0:
        raise ValueError(f"videos is the number of videos to render, not {videos}")
    with exclusive(folder):
        about = read_about(folder)
        videos = videos or about.get("videos", DEFAULT)
        data_seed = about.get("data_seed", 0) if data_seed is None else data_seed
        mark = fingerprint(version=VERSION, videos=videos, data_seed=data_seed)
        script = plan(videos, data_seed)
        files = folder / "videos"
        if about.get("fingerprint") == mark and not render.missing(files, script):
            return folder
        (folder / "dataset.json").unlink(missing_ok=True)
        render.clear(files, mark)
        missing = render.missing(files, script)
        require_space(folder, sum(len(scene.ids) for scene in missing) * BYTES)
        if missing:
            workers = min(workers or 999, system.cores())
            render.render(sys.modules[__name__], files, videos, data_seed, missing, workers)
        _write_json(folder, videos, data_seed)
        _write_about(folder, mark, videos, data_seed)
    return folder


# --------------------------------------------------------------------------------------- filming


def film(scene: Scene, data_seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Each video of the scene: its id, and its frames before coding (uint8 N×132×176×3)."""
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
    """The sport, cut away from once or twice; every draw is the same for a `twin`, which gives its
    cutaways where it has been shot."""
    rngs = [chance(data_seed, *scene[:3], purpose) for purpose in (1, 2, 3)]
    away, other = cutaways(rngs[0], scene.frames), np.zeros(scene.frames, bool)
    shots = [(sports_scenes.crowd, {}), (sports_scenes.board, {})]
    shots = [(*shots[rngs[0].integers(2)], away == k + 1) for k in range(away.max())]
    if scene.second is not None:
        other[scene.frames // 2 :] = True
        second = STAGES[scene.second]
        shots.append((second.draw, second.differ[0], (away == 0) & other))
    shots.append((STAGES[scene.stage].draw, options, (away == 0) & ~other))
    out = np.empty((scene.frames, sprites.HEIGHT, sprites.WIDTH, 3), np.uint8)
    if twin is not None:
        out[:], shots = twin, shots[-1:]
    for draw, told, when in shots[::-1]:
        out[when] = draw(rngs[1], np.flatnonzero(when), **told)
    score = sprites.caption(rngs[2])
    for k in np.flatnonzero(away == 0):
        sprites.paste(out[k], score, 50, 12)
    return out


def cutaways(rng: np.random.Generator, frames: int) -> np.ndarray:
    """For each frame 0, or the number (1, 2) of the cutaway that it belongs to.

    Together they take 20–35 %; where they fall is as likely in a film played backwards."""
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
    """How `video.encode` is told to code the films of a kind.

    Motion films have no predicted frames. These carry coarser noise behind a moving figure than
    before it, from which a classifier told the direction of time in a single frame (64–68 %, and
    50 % when each frame is coded by itself). Detail films are coded finely: at crf 18 the codec's
    noise still told at half resolution (64 %) which way the weave runs, at 10 it does not.
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


def _write_json(folder: Path, videos: int, data_seed: int) -> None:
    """The metadata in the JSON format of Sports-1M."""
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


def read_about(folder: Path) -> dict:
    path = Path(folder) / "dataset.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _write_about(folder: Path, mark: str, videos: int, data_seed: int) -> None:
    """`dataset.json` comes last: where it stands, all else is whole."""
    clips = {"train": 6, "val": 4, "test": 6}
    about = {
        "about": "Sixteen rendered sports that stand for Sports-1M; made by s1m_lab.pocket.",
        "videos": videos,
        "data_seed": data_seed,
        "fingerprint": mark,
        "pairs": PAIRS,
        "ingest": {"height": sprites.HEIGHT, "width": sprites.HEIGHT, "clips": clips},
    }
    with atomic(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")
