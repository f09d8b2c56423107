"""The commands of the lab; without one, the doctor says what is broken and how to fix it.

python -m s1m_lab --help lists them.
"""

import argparse
import dataclasses
import importlib
import importlib.metadata as packages
import inspect
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from s1m_lab import __version__
from s1m_lab.common import paths, system

INSTALL = f'cd "{paths.REPOSITORY}" && "{sys.executable}" -m pip install -c constraints.txt -e .'
# the system's Python: nothing is to be installed into that
if sys.prefix == sys.base_prefix and "CONDA_PREFIX" not in os.environ and os.name == "posix":
    INSTALL = f'cd "{paths.REPOSITORY}" && make setup && . .venv/bin/activate'


class Broken(Exception):
    """What is broken; `mend` is the command, or the words, that fix it."""

    def __init__(self, what: str, mend: str = INSTALL):
        super().__init__(what)
        self.mend = mend


def doctor() -> int:
    """Print a line per check, and below a broken one its fix; 1 if something is broken."""
    print(f"s1m_lab {__version__} · {platform.platform()} · {sys.executable}\n")
    fixes: list[str] = []
    for check in (python, installed, torch, device, decoder, notebooks, home):
        try:
            print(f"  ok      {check.__name__:<10} {check()}", flush=True)
        except Exception as error:  # of any kind: the doctor reports it
            what = " ".join(f"{type(error).__name__}: {error}".split()).removeprefix("Broken: ")
            print(f"  BROKEN  {check.__name__:<10} {what}")
            fixes.append(getattr(error, "mend", INSTALL))
            fix = "as above" if fixes[-2:-1] == fixes[-1:] else fixes[-1]
            print(f"          fix it:    {fix}", flush=True)
    print(f"\n{len(fixes)} broken" if fixes else "\neverything works; next: make demo")
    return int(len(fixes) > 0)


def python() -> str:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise Broken(
            f"Python {platform.python_version()} is not one of 3.11, 3.12, 3.13",
            "make clean && make setup PYTHON=python3.12",
        )
    return platform.python_version()


def installed() -> str:
    """Every package that the lab requires is installed, in a version it allows."""
    from packaging.requirements import Requirement

    wrong = []
    required = [Requirement(line) for line in packages.requires("s1m_lab") or []]
    required = [need for need in required if need.marker is None or need.marker.evaluate()]
    for need in required:
        try:
            if (found := packages.version(need.name)) not in need.specifier:
                wrong.append(f"{need.name} {found} is not {need.specifier}")
        except packages.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
    if wrong:
        raise Broken("; ".join(wrong))
    return f"{len(required)} packages, all in versions that the lab allows"


def torch() -> str:
    """torch and torchvision were built for each other: torch 2.N goes with torchvision 0.(N+15)."""
    versions = packages.version("torch"), packages.version("torchvision")
    minor, vision = (int(version.split(".")[1]) for version in versions)
    text = "torch {} with torchvision {}".format(*versions)
    mend = INSTALL.replace("-e .", "--force-reinstall torch torchvision")
    if versions[0].startswith("2.") and vision != minor + 15:
        raise Broken(f"{text}: torch 2.{minor} goes with torchvision 0.{minor + 15}", mend)
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        raise Broken(f"{text}: {error}", mend) from error
    return text


def device() -> str:
    import torch

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind == "cpu" and shutil.which("nvidia-smi"):
        raise Broken(
            f"an NVIDIA driver is installed, but torch {torch.__version__} finds no GPU",
            "update the driver for CUDA " + (torch.version.cuda or "(this torch has none)"),
        )
    return f"{system.machine()}; trains in {'bf16' if system.has_bf16(kind) else 'fp32'}"


def decoder() -> str:
    """Write half a second of video, and read it back."""
    import numpy as np

    from s1m_lab.video import reader, writer

    frames = np.linspace(0, 200, 16 * 64 * 192 * 3).astype(np.uint8).reshape(16, 64, 192, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "doctor.mp4"
        writer.encode(path, frames)
        (decoded,) = reader.segments(path, [0.0])
        name = reader.probe(path).decoder
    difference = np.abs(decoded.astype(int) - frames).mean()
    if difference > 4:
        raise Broken(f"frames read by {name} differ from those written by {difference:.0f} of 255")
    versions = packages.version("av"), packages.version("decord2")
    return "av {}, decord2 {}; a video written and read back by {}".format(*versions, name)


def notebooks() -> str:
    """papermill is installed, and the kernel that it starts is this Python."""
    from jupyter_client.kernelspec import KernelSpecManager

    command = KernelSpecManager().get_kernel_spec("python3").argv
    program = command[0] if os.sep in command[0] else sys.executable
    if Path(program).resolve() != Path(sys.executable).resolve():
        raise Broken(
            f"notebooks would run in {program}",
            f'"{sys.executable}" -m ipykernel install --sys-prefix',
        )
    return f"papermill {packages.version('papermill')}, kernel python3 is this Python"


def home() -> str:
    folder = paths.home()
    mend = "set S1M_HOME to a folder that can be written, on a disk with free space"
    near = next(p for p in (folder, *folder.parents) if p.is_dir())
    if not os.access(near, os.W_OK):
        raise Broken(f"{folder} cannot be written", mend)
    free = shutil.disk_usage(near).free / 1e9
    if free < 1:
        raise Broken(f"{folder} has {free:.1f} GB free", mend)
    return f"{folder}, {free:,.0f} GB free (S1M_HOME moves it)"


# ------------------------------------------------------------------------------------ the commands
# The docstring of a command is its help.


def ingest(data: str, dry_run: bool, **settings) -> int:
    """Cut a dataset's videos into clips, here or on a Dask cluster, and print its folder."""
    from s1m_lab.data.ingest import prepare

    if dry_run:
        for name in ("workers", "scheduler", "retry"):  # what it does not show
            del settings[name]
        print(*prepare.preview(data, **settings), "nothing was decoded or written", sep="\n")
        return 0
    print(prepare.prepare(data, **settings))
    return 0


def train(**settings) -> int:
    """Train one network as the notebook does, data-parallel under torchrun; print its scores."""
    from s1m_lab.training import metrics
    from s1m_lab.training import train as training_train
    from s1m_lab.training.config import TrainConfig

    try:
        config = TrainConfig(**settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    run = training_train.train(config)
    if int(os.environ.get("RANK", 0)) == 0:
        scores = {key: run.results[key] for key in ("clip_hit1", "video_hit1", "video_hit5")}
        reached = ", ".join(f"{key} {value:.3f}" for key, value in scores.items())
        print(f"{run.path}: {reached} ({metrics.guesses(run.results)})")
    return 0


def predict(run: str, folder: Path, out: Path | None) -> int:
    """Write path, status and the five most likely labels of a folder's videos into a CSV.

    If interrupted, rerun the command: it resumes. Where the videos lie in folders named as classes
    of the run, it also prints their video Hit@1.
    """
    from s1m_lab.training import runs
    from s1m_lab.training.label_videos import (
        path_text,
        score_by_folders,
        short_name,
        write_labels,
    )
    from s1m_lab.training.metrics import guesses

    folder = Path(os.path.expanduser(folder))
    files = _find_videos(folder)
    trained = runs.load_run(run)
    out = Path(os.path.expanduser(out or trained.path / f"labels-{short_name(folder)}.csv"))
    rows = write_labels(trained, files, out)
    if trained.finished:
        score = trained.results["video_hit1"]
        print(f"{trained.name} has video Hit@1 {score:.1%} ({guesses(trained.results)})")
    counts = Counter(row["status"] for row in rows.values())
    why = "".join(f" · {reason} {n:,}" for reason, n in sorted(counts.items()) if reason != "ok")
    print(f"{counts['ok']:,} of {len(rows):,} videos labelled{why}: {path_text(out)}")
    if folder.is_dir() and (score := score_by_folders(trained, folder, rows)):
        print(score)
    return 0 if counts["ok"] else 1


def _find_videos(folder: Path) -> list[Path]:
    """The videos below a folder, or one file; prints what is left out, and exits without any."""
    from s1m_lab.video import reader

    if re.match(r"\w\w+:/", str(folder)):
        sys.exit(f"{folder} is an address; predict reads files of this disk")
    if not os.path.exists(folder):
        sys.exit(f"there is no {folder} (predict takes a run, then a folder of videos or a video)")
    if folder.suffix.lower() in (".csv", ".tsv", ".parquet", ".txt"):
        sys.exit(f"{folder} is a table; predict takes a folder of videos, or one video")
    if folder.is_file():
        return [folder]
    found, left = reader.list_videos(folder)
    if not found:
        sys.exit(f"no video in {folder} (looked for {', '.join(sorted(reader.SUFFIXES))})")
    for how, names in left.items():
        if names:
            print(f"left out: {len(names):,} {how}, such as {names[0]!r}")
    return sorted(folder / name for name in found)


def report(notebook: list[Path]) -> int:
    """Write the HTML of executed notebooks beside them, and print the scores of their runs."""
    from s1m_lab.reports import html

    failed = []
    for path in notebook:
        if not path.is_file():
            sys.exit(f"there is no notebook {path}")
        try:
            page = html.html(path)
        except ValueError as error:
            sys.exit(f"{path} is no notebook: {' '.join(str(error).split())[:200]}")
        print(*_scores(path), f"report: {page}", sep="\n")
        if '"output_type": "error"' in path.read_text("utf-8"):
            failed.append(path)
            print(f"{path} did not run to its end; its last output says why")
    return int(len(failed) > 0)


def _scores(notebook: Path) -> list[str]:
    """A line for each finished run whose folder an executed notebook names."""
    from s1m_lab.training.metrics import guesses

    text, lines = notebook.read_text("utf-8"), []
    for file in sorted(paths.runs().glob("*/results.json")):
        if re.search(re.escape(json.dumps(str(file.parent))[1:-1]) + r"(?![\w.-])", text):
            scores = json.loads(file.read_text("utf-8"))
            clips = scores["clip_hit1"]  # null for histograms, which classify whole videos
            of_clips = "" if clips is None else f", of clips {clips:.1%}"
            reached = f"video Hit@1 {scores['video_hit1']:.1%}{of_clips} ({guesses(scores)})"
            lines.append(f"{scores['model']}: {reached}, in {file.parent}")
    return lines


def suite(file: Path, workers: int) -> int:
    """Make every report of a suite that is not up to date, and an index of them."""
    from s1m_lab.reports.suite import run

    try:
        ended = run(file, workers)
    except KeyboardInterrupt:  # threads wait for kernels, which end with this process
        print("\ninterrupted; rerun the command to resume", flush=True)
        os._exit(130)
    print(paths.home() / "reports" / "index.html")
    return int(any(how.status in ("failed", "skipped") for how in ended.values()))


def exhibits(file: Path) -> int:
    """Copy the small reports of a suite into the repository, without paths of this machine.

    They become reports/<suite>-<report>.ipynb. Table 1 of 09_results and the paper's claims go into
    README. Reports that are missing, out of date or too large are left out and named; make them
    with suite first.
    """
    from s1m_lab.reports.exhibits import write

    return int(write(file) > 0)


def classes(data: str, network: bool) -> int:
    """Write every class of a dataset with a picture, as one HTML page, into reports/."""
    from s1m_lab.data import datasets
    from s1m_lab.reports import class_page

    folder = datasets.listed(data)
    page = paths.home() / "reports" / f"{folder.name}_classes.html"
    print(class_page.write(folder, page, network))
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s1m_lab", description=__doc__)
    commands = parser.add_subparsers(title="commands", metavar="command")

    def command(function: Callable[..., int]) -> argparse.ArgumentParser:
        text = inspect.getdoc(function) or ""
        added = commands.add_parser(function.__name__, help=text.split("\n")[0], description=text)
        added.set_defaults(function=function)
        return added

    options = command(ingest).add_argument
    options("data", help="a dataset's name, a folder or address of class folders, a table")
    options("--clips", type=int, help="segments a video")
    options("--size", type=int, help="side of the stored frames, pixels")
    options("--max-duration", type=float, help="leave out longer videos, s (0: none)")
    options("--files", help="folder or address (s3://…) of a catalog's files")
    options("--output", help="address for the shards (default: in the dataset)")
    options("--workers", type=int, help="processes here (default and most: the cores)")
    options("--scheduler", default="", help="a Dask scheduler's address instead")
    options("--fetch", action="store_true", help="follow the catalog's own addresses")
    options("--retry", action="store_true", help="try failed videos again")
    options("--forget", action="store_true", help="remove videos that left the folder")
    options("--dry-run", action="store_true", help="print what is understood, and write nothing")

    options = command(train).add_argument
    if sys.argv[1:2] == ["train"]:  # torch is imported for no other command
        from s1m_lab.training.config import TrainConfig

        for field in dataclasses.fields(TrainConfig):
            kind = {"action": "store_true"} if field.type is bool else {"type": field.type}
            text = field.metadata["help"] + f" (default: {field.default})" * bool(field.default)
            name = f"--{field.name.replace('_', '-')}"
            options(name, default=field.default, help=text, **kind)

    options = command(predict).add_argument
    options("run", help="a run's name, or its folder")
    options("folder", type=Path, help="a folder of videos, or one video")
    options("--out", type=Path, help="the CSV (default: in the run's folder)")

    options = command(report).add_argument
    options("notebook", type=Path, nargs="+", help="such as reports/mine.ipynb")

    listed = "a TOML file that lists reports, such as notebooks/pocket.toml"
    options = command(suite).add_argument
    options("file", type=Path, help=listed)
    options("--workers", type=int, default=0, help="notebooks side by side (default: by the cores)")
    command(exhibits).add_argument("file", type=Path, help=listed)

    options = command(classes).add_argument
    options("data", help="a dataset's name, a folder of class folders, or a table")
    options("--network", action="store_true", help="let the page fetch missing pictures")
    return parser


def main() -> int:
    settings = vars(parser().parse_args())
    function = settings.pop("function", doctor)
    try:
        return function(**settings)
    except PermissionError as error:
        sys.exit(f"permission denied: {error.filename or error}; change who may read or write it")
    except (OSError, ModuleNotFoundError, ValueError, FloatingPointError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; rerun the command to resume")


if __name__ == "__main__":
    sys.exit(main())
