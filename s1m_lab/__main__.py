"""The commands of the lab; without one, the doctor says what is broken and how to fix it.

python -m s1m_lab --help lists them.
"""

import argparse
import dataclasses
import importlib
import importlib.metadata as packages
import inspect
import itertools
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from s1m_lab import __version__
from s1m_lab.common import files, paths, system
from s1m_lab.reports.parameters import EXPECTED

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
    """Print a line per check, and below a broken one its fix; 1 if something is broken.

    What takes the disk stands below: the datasets, runs and reports, the largest first.
    """
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
    print_disk_use()
    done = (paths.home() / "reports" / "03_train_slow.html").is_file()
    after = "make lab" if done else "make demo"
    print(f"\n{len(fixes)} broken" if fixes else f"\neverything works; next: {after}")
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


def print_disk_use(lines: int = 20) -> None:
    """Print the bytes of each dataset, run and report, the largest first, and of all."""
    home, sizes = paths.home(), dict[str, int]()
    print(f"\ndisk use of {home}:", flush=True)
    for place in (home / "data", home / "runs", home / "reports"):
        sizes |= dict(_sizes(str(place)))
    for path in sorted(sizes, key=lambda path: -sizes[path])[:lines]:
        print(f"  {files.amount(sizes[path]):>11}  {os.path.relpath(path, home)}")
    more = f", with {len(sizes) - lines:,} more" if len(sizes) > lines else ""
    print(f"  {files.amount(sum(sizes.values())):>11}  in all{more}")


def _sizes(folder: str) -> Iterator[tuple[str, int]]:
    """Bytes of all that lies in a folder, each with what is below it; links are not followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process has removed it
                    size = entry.stat(follow_symlinks=False).st_size
                    if entry.is_dir(follow_symlinks=False):
                        size += sum(size for _, size in _sizes(entry.path))
                    yield entry.path, size
    except FileNotFoundError:
        pass
    except OSError as error:
        print(f"  {folder} cannot be read: {error.strerror}")


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

    run = training_train.train(TrainConfig(**settings))
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
    from s1m_lab.training.label_videos import path_text, score_by_folders, short_name, write_labels
    from s1m_lab.training.metrics import guesses

    folder = Path(os.path.expanduser(folder))
    videos = _find_videos(folder)
    trained = runs.load_run(run)
    out = Path(os.path.expanduser(out or trained.path / f"labels-{short_name(folder)}.csv"))
    rows = write_labels(trained, videos, out)
    if not trained.finished:
        print(f"{trained.name} is not finished; its best weights so far gave the labels")
    elif results := files.sound(lambda: trained.results):
        print(f"{trained.name} has video Hit@1 {results['video_hit1']:.1%} ({guesses(results)})")
    counts = Counter(row["status"] for row in rows.values())
    why = "".join(f" · {reason} {n:,}" for reason, n in sorted(counts.items()) if reason != "ok")
    print(f"{counts['ok']:,} of {len(rows):,} videos labelled{why}: {path_text(out)}")
    if folder.is_dir() and (score := score_by_folders(trained, folder, rows)):
        print(score)
    return 0 if counts["ok"] else 1


def _find_videos(folder: Path) -> list[Path]:
    """The videos below a folder, or one file; prints what is left out. OSError without any."""
    from s1m_lab.video import reader

    if re.match(r"\w\w+:/", str(folder)):
        raise ValueError(f"{folder} is an address; predict reads files of this disk")
    if not os.path.exists(folder):
        what = "(predict takes a run, then a folder of videos or a video)"
        raise FileNotFoundError(f"there is no {folder} {what}")
    if folder.suffix.lower() in (".csv", ".tsv", ".parquet", ".txt"):
        raise ValueError(f"{folder} is a table; predict takes a folder of videos, or one video")
    if folder.is_file():
        return [folder]
    found, left = reader.list_videos(folder)
    if not found:
        looked_for = ", ".join(sorted(reader.SUFFIXES))
        raise FileNotFoundError(f"no video in {folder} (looked for {looked_for})")
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
            raise FileNotFoundError(f"there is no notebook {path}")
        try:
            page = html.html(path)
        except ValueError as error:
            why = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} is no notebook: {why}") from error
        print(*_scores(path), f"report: {page}", sep="\n")
        if '"output_type": "error"' in path.read_text("utf-8"):
            failed.append(path)
            print(f"{path} did not run to its end; its last output says why")
    return int(len(failed) > 0)


def _scores(notebook: Path) -> list[str]:
    """A line for each run whose folder a notebook names: its scores, or why there are none."""
    from s1m_lab.training.metrics import guesses
    from s1m_lab.training.runs import Run

    text, lines = notebook.read_text("utf-8"), []
    for run in map(Run, sorted(paths.runs().glob("*/"))):
        if re.search(re.escape(json.dumps(str(run.path))[1:-1]) + r"(?![\w.-])", text):
            try:
                scores = run.results
            except OSError as error:
                lines.append(str(error))
                continue
            clips = scores.get("clip_hit1")  # null for histograms, which classify whole videos
            of_clips = "" if clips is None else f", of clips {clips:.1%}"
            reached = f"video Hit@1 {scores['video_hit1']:.1%}{of_clips} ({guesses(scores)})"
            lines.append(f"{scores['model']}: {reached}, in {run.path}")
    return lines


def suite(file: Path, workers: int) -> int:
    """Make every report of a suite that is not up to date, and an index of them."""
    from s1m_lab.reports.suite import run

    try:
        ended = run(file, workers)
    except KeyboardInterrupt as stop:  # threads wait for kernels, which end with this process
        os._exit(_stopped(stop))
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


def check(name: str) -> int:
    """Read every file of the datasets and runs, or of one, and name those that are damaged.

    It changes nothing. A file with a digest must have it; of the others the form is checked.
    Without a name, the list of allowed places is checked too.
    """
    from s1m_lab.training import integrity

    home, read, damaged = paths.home(), list[int](), 0
    places = [*(home / "data").glob("*"), *paths.runs().glob("*")]
    if name:
        places = [paths.dataset(name), paths.runs() / Path(name).name]
    folders = sorted(filter(Path.is_dir, places))
    if name and not folders:
        raise FileNotFoundError(f"no dataset or run in {home} is called {name!r}")
    found = [integrity.damaged(folder, read) for folder in folders]
    if not name and (home / "data").is_dir():
        found.append((str(path), why) for path, why in files.damaged(home / "data", below=False))
    for path, why in itertools.chain(*found):
        if path.endswith(".damaged"):
            print(f"{path} was set aside, and is not used", flush=True)
        else:
            damaged += 1
            how = why if why == integrity.MISSING else f"is damaged ({why})"
            print(f"{path} {how}; {integrity.mend(path, why)}", flush=True)
    end = f"{damaged:,} damaged" if damaged else "all sound"
    print(f"checked {len(read):,} files, {files.amount(sum(read))}: {end}")
    return int(damaged > 0)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m s1m_lab", description=__doc__)
    debug: dict = {"action": "store_true", "default": argparse.SUPPRESS, "help": "show tracebacks"}
    parser.add_argument("--debug", **debug)
    commands = parser.add_subparsers(title="commands", metavar="command")

    def command(function: Callable[..., int]) -> argparse.ArgumentParser:
        text = inspect.getdoc(function) or ""
        added = commands.add_parser(function.__name__, help=text.split("\n")[0], description=text)
        added.set_defaults(function=function)
        added.add_argument("--debug", **debug)
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
    if "train" in sys.argv[1:3]:  # torch is imported for no other command
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

    name = "a dataset's name or path, or a run's (default: all datasets and runs)"
    command(check).add_argument("name", nargs="?", default="", help=name)
    return parser


def main() -> int:
    """Run the command of the shell, and return its exit status; an error is one sentence."""
    settings = vars(parser().parse_args())
    function, debug = settings.pop("function", doctor), settings.pop("debug", False)
    signal.signal(signal.SIGTERM, _terminate)
    threading.excepthook = _print_thread_error
    try:
        return function(**settings)
    except KeyboardInterrupt as stop:
        return _stopped(stop)
    except Exception as error:
        if debug:
            raise
        text = str(error) or type(error).__name__
        if isinstance(error, InterruptedError):  # a training after SIGTERM
            print(text, file=sys.stderr)
            return 143
        if isinstance(error, PermissionError):
            where = error.filename or error
            text = f"permission denied: {where}; change who may read or write it"
        elif not isinstance(error, EXPECTED):
            text = f"{type(error).__name__}: {error} — an error of the lab; --debug shows where"
        sys.exit(text)


def _print_thread_error(about: threading.ExceptHookArgs) -> None:
    """Print a thread's error, unless the disk is full: the main thread reports that."""
    if not files.is_full(about.exc_value):
        threading.__excepthook__(about)


def _terminate(*_) -> None:
    """SIGTERM, which SLURM and `kill` send, ends a command as Ctrl-C does."""
    raise KeyboardInterrupt("SIGTERM")


def _stopped(stop: KeyboardInterrupt) -> int:
    """Print what stopped a command, and return its exit status."""
    by, status = ("stopped by SIGTERM", 143) if stop.args else ("interrupted", 130)
    print(f"\n{by}; repeat the command to resume", file=sys.stderr, flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
