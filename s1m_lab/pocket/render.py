"""Films rendered by several processes, resumed where they stopped.

    filming.clear(folder, mark)                # films made otherwise go
    filming.render(pocket, folder, size, data_seed, missing, workers)

A studio is a module with `plan(size, data_seed)`, the scenes of a dataset; `film(scene,
data_seed)`, which yields (name, frames) for each of `scene.files`; and `coding(scene.kind)`, how
`video.encode` is told to code them.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import ModuleType

from s1m_lab.common.progress import Progress
from s1m_lab.video import writer


def missing(files: Path, script: list) -> list:
    """The scenes of which a film is not in the folder `files`."""
    return [scene for scene in script if not all((files / name).is_file() for name in scene.files)]


def clear(files: Path, mark: str) -> None:
    """Keep the films of an interrupted rendering with the same fingerprint, and nothing else."""
    seal = files / ".fingerprint"
    if not seal.is_file() or seal.read_text() != mark:
        if files.is_dir():
            shutil.rmtree(files)
        files.mkdir(parents=True)
        seal.write_text(mark)
    for leftover in files.glob(".work-*"):
        shutil.rmtree(leftover)


def render(
    studio: ModuleType, files: Path, size: int, data_seed: int, scenes: list, workers: int
) -> None:
    """Film `scenes`, those of the studio's plan that are missing, in `workers` processes, each
    every so-manieth scene of the plan.

    They are started by command line and not by `multiprocessing`, which would import the caller's
    script anew in every child, or fork a notebook's kernel with its threads.
    """
    code = "import sys; from s1m_lab.pocket import render; render.work(*sys.argv[1:])"
    library = str(Path(__file__).resolve().parents[2])
    around = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    around["PYTHONPATH"] = os.pathsep.join([library, *filter(None, [os.environ.get("PYTHONPATH")])])
    workers = min(workers, len(scenes))
    progress = Progress("rendering", sum(len(scene.files) for scene in scenes), "videos")
    told = (studio.__name__, files, size, data_seed)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, (*told, k, workers))],
            env=around,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        for k in range(workers)
    ]

    def watch(process: subprocess.Popen) -> str:
        said = []
        for line in process.stdout:
            if line.startswith("filmed "):
                progress.update(int(line.split()[1]))
            else:
                said.append(line)
        return "" if process.wait() == 0 else "".join(said[-20:]) or "it was killed"

    with ThreadPoolExecutor(workers) as pool:
        try:
            problems = list(filter(None, pool.map(watch, processes)))
        finally:
            for process in processes:
                process.kill()
                process.wait()
                process.stdout.close()
    if problems:
        raise RuntimeError(f"a rendering process failed; run it again to go on:\n{problems[0]}")


def work(studio: str, files: str, size: str, data_seed: str, worker: str, workers: str) -> None:
    """A rendering process: film its part of the scenes whose files are missing."""
    studio, folder, seed = import_module(studio), Path(files), int(data_seed)
    scratch = folder / f".work-{os.getpid()}"  # an orphan of a killed run has its own
    scratch.mkdir()
    # The list of what is missing shrinks while we work: divide the plan, not the list.
    for scene in studio.plan(int(size), seed)[int(worker) :: int(workers)]:
        if not missing(folder, [scene]):
            continue
        how = studio.coding(scene.kind)
        for name, (_, frames) in zip(scene.files, studio.film(scene, seed), strict=True):
            path, made = folder / name, scratch / Path(name).name
            if path.exists():
                continue  # its twin is what is missing
            path.parent.mkdir(parents=True, exist_ok=True)
            writer.encode(made, frames, **how)
            os.replace(made, path)
        print("filmed", len(scene.files), flush=True)
    scratch.rmdir()
