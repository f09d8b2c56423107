"""Make a rendered dataset: several processes film its plan, and resume an interrupted rendering.

    folder = render.make(sports, "pocket", size=1160, data_seed=0, workers=2)

A module describes the dataset:

- `plan(size, data_seed)`: its scenes, each with the names of its `files` and a `kind`;
- `film(scene, data_seed)`: (name, frames) for each of `scene.files`;
- `coding(kind)`: options of `video.writer.encode`;
- `write_lists(folder, size, data_seed)`: writes its metadata files;
- `VERSION`, `BYTES` (of a video, at most), `VIDEOS` (the folder of the videos), `SIZE` (what its
  size counts), `DEFAULT` (size), `ABOUT` and `DETAILS` (of its `dataset.json`).
"""

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from s1m_lab.common import paths, system
from s1m_lab.common.files import exclusive, fingerprint, require_space, write_json
from s1m_lab.common.progress import Progress
from s1m_lab.video import writer


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
        before = paths.read_description(folder)
        size = size or before.get(dataset.SIZE, dataset.DEFAULT)
        data_seed = before.get("data_seed", 0) if data_seed is None else data_seed
        inputs = {"version": dataset.VERSION, dataset.SIZE: size, "data_seed": data_seed}
        mark = fingerprint(**inputs)
        scenes, files = dataset.plan(size, data_seed), folder / dataset.VIDEOS
        if before.get("fingerprint") == mark and not missing(files, scenes):
            return folder
        (folder / "dataset.json").unlink(missing_ok=True)
        clear(files, mark)
        todo = missing(files, scenes)
        require_space(folder, sum(len(scene.files) for scene in todo) * dataset.BYTES)
        if todo:
            workers = min(workers or system.cores(), system.cores())
            render(dataset, files, size, data_seed, todo, workers)
        dataset.write_lists(folder, size, data_seed)
        about = {"about": dataset.ABOUT, dataset.SIZE: size, "data_seed": data_seed}
        about |= {"fingerprint": mark} | dataset.DETAILS
        write_json(folder / "dataset.json", about, end="\n", indent=1, ensure_ascii=False)
    return folder


def missing(files: Path, scenes: list) -> list:
    """The scenes of which a video is missing in the folder `files`."""
    return [scene for scene in scenes if not all((files / name).is_file() for name in scene.files)]


def clear(files: Path, mark: str) -> None:
    """Keep the videos of an interrupted rendering with the fingerprint `mark`, and nothing else."""
    seal = files / ".fingerprint"
    if not seal.is_file() or seal.read_text() != mark:
        if files.is_dir():
            shutil.rmtree(files)
        files.mkdir(parents=True)
        seal.write_text(mark)


def render(
    dataset: ModuleType, files: Path, size: int, data_seed: int, scenes: list, workers: int
) -> None:
    """Film `scenes`, the missing ones of the plan, in `workers` processes.

    Processes are started by command line: `multiprocessing` would import the caller's script again,
    or fork a notebook with its threads. All of them print into one pipe.
    """
    code = "import sys; from s1m_lab.pocket import render; render.work(*sys.argv[1:])"
    around = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    library = str(paths.REPOSITORY)
    around["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, [*sys.path, library]))
    workers = min(workers, len(scenes))
    progress = Progress("rendering", sum(len(scene.files) for scene in scenes), "videos")
    output, pipe = os.pipe()
    processes = []
    for worker in range(workers):
        arguments = (dataset.__name__, files, size, data_seed, worker, workers)
        command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=around, stdout=pipe, stderr=pipe))
    os.close(pipe)
    problem: list[str] = []
    try:
        with open(output, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("filmed "):
                    progress.update(int(line.split()[1]))
                else:
                    problem.append(line)
        failed = any([process.wait() for process in processes])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if failed:
        text = "".join(problem[-20:]) or "it was killed"
        raise RuntimeError(f"a rendering process failed; run it again to resume:\n{text}")


def work(dataset: str, files: str, size: str, data_seed: str, worker: str, workers: str) -> None:
    """One rendering process: film scenes `worker`, `worker + workers`, … if a file is missing.

    The plan is divided, not the list of what is missing, which shrinks while we work.
    """
    module, folder, seed = import_module(dataset), Path(files), int(data_seed)
    for scene in module.plan(int(size), seed)[int(worker) :: int(workers)]:
        if not missing(folder, [scene]):
            continue
        for name, (_, frames) in zip(scene.files, module.film(scene, seed), strict=True):
            if not (folder / name).exists():  # only its twin may be missing
                writer.encode(folder / name, frames, **module.coding(scene.kind))
        # one write: the lines of several processes would mix, where Python does not buffer
        os.write(sys.stdout.fileno(), f"filmed {len(scene.files)}\n".encode())
