"""The commands of the lab: the doctor, ingest, train, predict, report, suite, exhibits, classes.

python -m s1m_lab                               what is installed, what is broken, how to fix it
python -m s1m_lab ingest <data> …               videos → clips, here or on a Dask cluster
python -m s1m_lab train --model slow …          the settings of TrainConfig; under torchrun too
python -m s1m_lab predict <run> <folder>        classify the videos of a folder into a CSV
python -m s1m_lab report <notebook> …           executed notebooks → HTML beside them
python -m s1m_lab suite <suite.toml>            every report of a suite, and an index of them
python -m s1m_lab exhibits <suite.toml>         its small reports into the repository
python -m s1m_lab classes <data>                every class with a picture, as one HTML page
"""

import argparse
import dataclasses
import importlib
import importlib.metadata as packages
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from s1m_lab import __version__
from s1m_lab.common import paths, system
from s1m_lab.common.files import atomic

INSTALL = f'cd "{paths.REPOSITORY}" && "{sys.executable}" -m pip install -c constraints.txt -e .'
# the system's Python: nothing is to be installed into that
if sys.prefix == sys.base_prefix and "CONDA_PREFIX" not in os.environ and os.name == "posix":
    INSTALL = f'cd "{paths.REPOSITORY}" && make setup && . .venv/bin/activate'

EXHIBITS = """: reports that are up to date are copied to reports/<suite>-<report>.ipynb without
paths of this machine. Table 1 of 09_results and the paper's claims go into README. Reports that are
missing, out of date or too large are left out and named; make them with suite first.
"""


class Broken(Exception):
    """What is broken; `mend` is the command, or the words, that fix it."""

    def __init__(self, what: str, mend: str = INSTALL):
        super().__init__(what)
        self.mend = mend


def doctor() -> int:
    """Print a line per check, and below a broken one its fix; returns how many are broken."""
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
    return len(fixes)


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
    mend = INSTALL.replace("-e .", "--force-reinstall torch torchvision")
    minor, vision = (int(version.split(".")[1]) for version in versions)
    text = "torch {} with torchvision {}".format(*versions)
    if versions[0].startswith("2.") and vision != minor + 15:
        raise Broken(f"{text}: torch 2.{minor} goes with torchvision 0.{minor + 15}", mend)
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError) as error:
        raise Broken(f"{text}: {error}", mend) from error
    return text


def device() -> str:
    import torch

    cores = f"{system.cores()} cores"
    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi"):
            raise Broken(
                f"an NVIDIA driver is installed, but torch {torch.__version__} finds no GPU",
                "update the driver for CUDA " + (torch.version.cuda or "(this torch has none)"),
            )
        return f"CPU, {cores}; trains in {'bf16' if system.has_bf16('cpu') else 'fp32'}"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{', '.join(names)}, {cores}; trains in {'bf16' if system.has_bf16('cuda') else 'fp32'}"


def decoder() -> str:
    """Write half a second of video, and read it back."""
    import numpy as np

    from s1m_lab.video import reader, writer

    ramp = np.linspace(0, 160, 64, dtype=np.uint8)
    frames = np.stack([np.add.outer(ramp, ramp)[..., None] // 2 + 4 * t for t in range(16)])
    frames = np.repeat(frames, 3, axis=-1).astype(np.uint8)
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


def predict(run: str, folder: Path, out: Path | None) -> int:
    """Write path, status and the five most likely labels of every video file in a folder."""
    from s1m_lab.training import runs
    from s1m_lab.training.predict import predict_videos
    from s1m_lab.video import reader

    if not folder.exists():
        sys.exit(f"there is no {folder}")
    files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    files = [p for p in files if p.suffix.lower() in reader.SUFFIXES or p == folder]
    if not files:
        sys.exit(f"no video in {folder} (looked for {', '.join(sorted(reader.SUFFIXES))})")
    try:
        found = runs.load_run(run)
    except FileNotFoundError as error:
        sys.exit(str(error))
    table = predict_videos(found, files)
    out = out or found.path / f"labels-{folder.resolve().stem}.csv"
    with atomic(out) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f", errors="backslashreplace")
    read = int((table["status"] == "ok").sum())
    failed = table["status"][table["status"] != "ok"].value_counts().sort_index()
    why = "".join(f" · {reason} {n:,}" for reason, n in failed.items())
    print(f"{read} of {len(table)} videos labelled{why}: {out}")
    return 0 if read else 1


def report(notebook: list[Path]) -> int:
    """Write the HTML of executed notebooks beside them, and print the scores of their runs."""
    from s1m_lab.reports import html

    for path in notebook:
        if not path.is_file():
            sys.exit(f"there is no notebook {path}")
        try:
            page = html.html(path)
        except ValueError as error:
            sys.exit(f"{path} is no notebook: {' '.join(str(error).split())[:200]}")
        print(*_scores(path), f"report: {page}", sep="\n")
    return 0


def _scores(notebook: Path) -> list[str]:
    """A line for each finished run whose folder an executed notebook names."""
    text, lines = notebook.read_text("utf-8"), []
    for file in sorted(paths.runs().glob("*/results.json")):
        if re.search(re.escape(json.dumps(str(file.parent))[1:-1]) + r"(?![\w.-])", text):
            scores = json.loads(file.read_text("utf-8"))
            clips = scores["clip_hit1"]  # null for histograms, which classify whole videos
            of_clips = "" if clips is None else f", of clips {clips:.1%}"
            reached = f"video Hit@1 {scores['video_hit1']:.1%}{of_clips}"
            lines.append(f"{scores['model']}: {reached}, in {file.parent}")
    return lines


def train(**settings) -> int:
    """Train a network as the notebook does, and print its scores; 2 if a setting is wrong."""
    from s1m_lab.training import train as training_train
    from s1m_lab.training.config import TrainConfig

    try:
        config = TrainConfig(**settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        run = training_train.train(config)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    if int(os.environ.get("RANK", 0)) == 0:
        scores = {key: run.results[key] for key in ("clip_hit1", "video_hit1", "video_hit5")}
        print(f"{run.path}: " + ", ".join(f"{key} {value:.3f}" for key, value in scores.items()))
    return 0


def ingest(data: str, **settings) -> int:
    """Make the clips of a dataset, and print how many videos have which status."""
    from s1m_lab.data.ingest import prepare

    try:
        print(prepare.prepare(data, **settings))
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        sys.exit(str(error))
    return 0


def suite(file: Path, workers: int) -> int:
    """Make the reports of a suite; 1 if one failed."""
    from s1m_lab.reports.suite import run

    try:
        ended = run(file, workers)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:  # threads wait for kernels, which end with this process
        print("\ninterrupted; rerun the command to resume", flush=True)
        os._exit(130)
    print(paths.home() / "reports" / "index.html")
    return int(any(how.status in ("failed", "skipped") for how in ended.values()))


def exhibits(file: Path) -> int:
    """Copy the small reports of a suite into the repository; 1 if one was left out."""
    from s1m_lab.reports.exhibits import write

    try:
        return int(write(file) > 0)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))


def classes(data: str, network: bool) -> int:
    """Write the class page of a dataset into `reports/`."""
    from s1m_lab.data import datasets
    from s1m_lab.reports import class_page

    try:
        folder = datasets.listed(data)
        page = paths.home() / "reports" / f"{folder.name}_classes.html"
        print(class_page.write(folder, page, network))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(str(error))
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m s1m_lab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = "ingest | train | predict | report | suite | exhibits | classes"
    commands = parser.add_subparsers(dest="command", metavar=names)

    def command(name: str, text: str, more: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=f"{text}{more}")

    clips = command("ingest", "videos → clips, here or on a Dask cluster")
    clips.add_argument(
        "data", help="a dataset's name, a folder or address of class folders, a table"
    )
    clips.add_argument("--clips", type=int, help="segments a video")
    clips.add_argument("--size", type=int, help="side of the stored frames, pixels")
    clips.add_argument("--max-duration", type=float, help="leave out longer videos, s (0: none)")
    clips.add_argument("--files", help="folder or address (s3://…) of a catalog's files")
    clips.add_argument("--output", help="address for the shards (default: in the dataset)")
    clips.add_argument("--workers", type=int, help="processes here (default and most: the cores)")
    clips.add_argument("--scheduler", default="", help="a Dask scheduler's address instead")
    clips.add_argument("--fetch", action="store_true", help="follow the catalog's own addresses")
    clips.add_argument("--retry", action="store_true", help="try failed videos again")
    clips.add_argument("--forget", action="store_true", help="remove videos that left the folder")
    training = command("train", "train one network, data-parallel under torchrun")
    prediction = command("predict", "classify the videos of a folder into a CSV")
    prediction.add_argument("run", help="a run's name, or its folder")
    prediction.add_argument("folder", type=Path, help="a folder of videos, or one video")
    prediction.add_argument("--out", type=Path, help="the CSV (default: in the run's folder)")
    pages = command("report", "executed notebooks → HTML beside them")
    pages.add_argument("notebook", type=Path, nargs="+", help="such as reports/mine.ipynb")
    listed = "a TOML file that lists reports, such as notebooks/pocket.toml"
    several = command("suite", "every report of a suite, and an index of them")
    several.add_argument("file", type=Path, help=listed)
    several.add_argument(
        "--workers", type=int, default=0, help="notebooks side by side (default: by the cores)"
    )
    shown = command("exhibits", "small reports of a suite → the repository", EXHIBITS)
    shown.add_argument("file", type=Path, help=listed)
    page = command("classes", "every class with a picture, as one HTML page")
    page.add_argument("data", help="a dataset's name, a folder of class folders, or a table")
    page.add_argument("--network", action="store_true", help="let the page fetch missing pictures")
    if sys.argv[1:2] == ["train"]:  # torch is imported for no other command
        from s1m_lab.training.config import TrainConfig

        for field in dataclasses.fields(TrainConfig):
            kind = {"action": "store_true"} if field.type is bool else {"type": field.type}
            text = field.metadata["help"] + f" (default: {field.default})" * bool(field.default)
            name = f"--{field.name.replace('_', '-')}"
            training.add_argument(name, default=field.default, help=text, **kind)
    return parser


def main() -> int:
    settings = vars(parser().parse_args())
    functions = {f.__name__: f for f in (ingest, train, predict, report, suite, exhibits, classes)}
    command = settings.pop("command")
    return functions[command](**settings) if command else min(doctor(), 1)


if __name__ == "__main__":
    sys.exit(main())
