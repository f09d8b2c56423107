"""Make a rendered dataset: several processes film its plan, and resume an interrupted rendering.

    folder = render.make(sports, "pocket", size=1160, data_seed=0, workers=2)

A module describes the dataset:

- `plan(size, data_seed)`: its scenes, each with the names of its `files` and their `coding`, the
  options of `video.writer.encode`;
- `film(scene, data_seed)`: the frames of each of `scene.files`;
- `write_lists(folder, size, data_seed)`: writes its metadata files;
- `VERSION`, `VIDEOS` (the folder of the videos), `SIZE` (what its size counts), `DEFAULT` (size)
  and `DETAILS` (of its `dataset.json`).
"""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from s1m_lab.common import paths, processes, system
from s1m_lab.common.files import exclusive, fingerprint, record, require_space, sound, write_json
from s1m_lab.common.progress import Progress
from s1m_lab.video import writer

BYTES = 300_000  # of a video, at most


def make(
    dataset: ModuleType, name: str, size: int, data_seed: int | None, workers: int | None
) -> Path:
    """Render `data/<name>` unless it is complete, and return its folder.

    A `size` of 0 and a `data_seed` of None are what the dataset has, or its defaults. The same seed
    gives the same bytes on every machine. There is one process per core, or `workers` if that is
    less. Videos of an interrupted rendering are kept. `dataset.json` is written last: it marks a
    complete dataset.
    """
    folder = paths.dataset(name)
    with exclusive(folder):
        files = folder / dataset.VIDEOS
        seal = files / ".fingerprint"  # what the videos were made with
        before = sound(paths.read_description, folder) or read_seal(seal)
        size = size or before.get(dataset.SIZE, dataset.DEFAULT)
        data_seed = before.get("data_seed", 0) if data_seed is None else data_seed
        inputs = {"version": dataset.VERSION, dataset.SIZE: size, "data_seed": data_seed}
        mark = fingerprint(**inputs)
        scenes = dataset.plan(size, data_seed)
        if before.get("fingerprint") == mark and not missing(files, scenes):
            if not read_seal(seal):
                with suppress(OSError):
                    write_json(seal, inputs)
            return folder
        (folder / "dataset.json").unlink(missing_ok=True)
        if read_seal(seal) != inputs:
            if files.is_dir():
                shutil.rmtree(files)
            write_json(seal, inputs)
        todo = missing(files, scenes)
        require_space(folder, sum(len(scene.files) for scene in todo) * BYTES)
        if todo:
            workers = min(workers or system.cores(), system.cores())
            render(dataset, files, data_seed, todo, workers)
        dataset.write_lists(folder, size, data_seed)
        about = {dataset.SIZE: size, "data_seed": data_seed, "fingerprint": mark} | dataset.DETAILS
        write_json(folder / "dataset.json", about, end="\n", indent=1, ensure_ascii=False)
    return folder


def missing(files: Path, scenes: list) -> list:
    """The scenes of which a video is missing in the folder `files`."""
    return [scene for scene in scenes if not all((files / name).is_file() for name in scene.files)]


def read_seal(seal: Path) -> dict:
    """The inputs of the videos in the folder of this file; {} where it is missing or damaged."""
    try:
        inputs = json.loads(seal.read_bytes())
        return inputs if all(type(n) is int and n >= 0 for n in inputs.values()) else {}
    except (OSError, ValueError, AttributeError):
        return {}


def render(dataset: ModuleType, files: Path, data_seed: int, scenes: list, workers: int) -> None:
    """Film `scenes`, the missing ones of the plan, in up to `workers` processes."""
    progress = Progress("rendering", sum(len(scene.files) for scene in scenes), "videos")
    film = partial(film_scene, dataset.film, files, data_seed)
    for videos in processes.run(film, scenes, min(workers, len(scenes))):
        progress.update(videos)


def film_scene(film: Callable, files: Path, data_seed: int, scene: Any) -> int:
    """Write the missing videos of a scene; returns how many videos it has."""
    for name, frames in zip(scene.files, film(scene, data_seed), strict=True):
        if not (files / name).exists():  # only its twin may be missing
            writer.encode(files / name, frames, **scene.coding)
            record(files / name)
    return len(scene.files)
