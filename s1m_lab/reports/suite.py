"""Execute a list of notebooks into `reports/`, and write the page that lists runs and reports.

    ended = suite.run(Path("notebooks/pocket.toml"))
    ended["05_confusion"].status             # "made", "up to date", "failed" or "skipped"

A suite is a TOML file; paths of notebooks are relative to it:

    [[report]]
    name = "05_confusion"                 # of reports/05_confusion.ipynb and .html
    notebook = "05_confusion.ipynb"
    parameters = { seed = 1 }             # all others keep the notebook's values
    after = ["03_slow", "03_single"]      # the reports above that it needs
    runs = ["mine-*"]                     # runs it shows, besides those its parameters name
    trains = true                         # trains a network: one such report at a time
    last = true                           # after all others, even where some failed

    [figures]                             # cells whose figures stand for a notebook in the index
    "05_confusion.ipynb" = ["gains", "matrix"]

A report is up to date while its inputs have the digests in its metadata: notebook, parameters,
source of the lab, reports it needs, dataset, and the `results.json` of its runs. A report of an
older lab has no such digests, and is made again.
"""

import difflib
import glob
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from s1m_lab import __version__
from s1m_lab.common import paths, system
from s1m_lab.common.files import atomic, exclusive, fingerprint
from s1m_lab.common.progress import clock
from s1m_lab.data import datasets, shards
from s1m_lab.reports import html
from s1m_lab.reports.parameters import assignments
from s1m_lab.training import runs

LIBRARY = Path(__file__).parents[1]
FORM = "a suite is a list of [[report]], with or without [figures], as notebooks/pocket.toml is"
KEYS: dict[str, type] = {
    "name": str,
    "notebook": str,
    "parameters": dict,
    "after": list,
    "runs": list,
    "trains": bool,
    "last": bool,
}


@dataclass(frozen=True)
class Report:
    """A notebook with parameters, as a suite lists it."""

    name: str
    notebook: Path
    parameters: dict
    suite: str  # the path of its file
    figures: Sequence[str] = ()
    after: tuple[str, ...] = ()
    trains: bool = False
    last: bool = False
    data: str = ""  # the dataset it shows
    runs: Sequence[str] = ()  # names of the runs it shows; * stands for any text
    inputs: dict[str, str] = field(default_factory=dict)  # digests of those that no run changes


class Ended(NamedTuple):
    """How a report ended, and why."""

    status: str  # "made", "up to date", "failed" or "skipped"
    seconds: float = 0.0
    why: str = ""


def folder() -> Path:
    return paths.home() / "reports"


# ------------------------------------------------------------------------------- the suite's file


def load(path: Path) -> list[Report]:
    """The reports of a suite. ValueError names what is wrong in the file, before anything runs."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}; {FORM}") from None
    _check(content, {"report": list, "figures": dict}, f"{path}: {FORM}")
    if not all(isinstance(entry, dict) for entry in content.get("report", [""])):
        raise ValueError(f"{path}: {FORM}")
    figures, library = content.get("figures", {}), _library()
    known: dict[str, Report] = {}
    _check(figures, dict.fromkeys(figures, list), f"{path}, figures")
    for entry in content["report"]:
        _check(entry, KEYS, f"{path}, report {entry.get('name')!r}")
        try:
            report = _report(path, entry, known, library)
        except ValueError as error:
            raise ValueError(f"{path}, report {entry.get('name')!r}: {error}") from None
        known[report.name] = replace(report, figures=figures.get(report.notebook.name, []))
    others = tuple(report.name for report in known.values() if not report.last)
    return [replace(r, after=others) if r.last else r for r in known.values()]


def _check(table: dict, kinds: dict[str, type], where: str) -> None:
    """Raise ValueError for an entry that is unknown or of another type."""
    for key, value in table.items():
        if key not in kinds:
            raise ValueError(f"{where}: no entry is called {key!r}; {_nearest(key, kinds)}")
        if not isinstance(value, kinds[key]):
            raise ValueError(f"{where}: {key} must be of type {kinds[key].__name__}, not {value!r}")


def _report(path: Path, entry: dict, above: dict[str, Report], library: str) -> Report:
    """An entry, checked. `above` are the reports before it, `library` the digest of the source."""
    name, after, given = entry.get("name", ""), entry.get("after", []), entry.get("parameters", {})
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII) or name in above:
        raise ValueError("a name is unique, of letters, digits, '_' and '-'")
    if unknown := [other for other in after if other not in above]:
        raise ValueError(f"after {unknown[0]!r}, but no report above it has this name")
    notebook = path.resolve().parent / entry.get("notebook", "")
    if not notebook.is_file():
        near = _nearest(notebook.name, [other.name for other in notebook.parent.glob("*.ipynb")])
        raise ValueError(f"there is no notebook {notebook}; {near}")
    values = defaults(notebook)
    if unknown := [key for key in given if key not in values]:
        near = _nearest(unknown[0], values)
        raise ValueError(f"{notebook.name} has no parameter {unknown[0]!r}; {near}")
    values |= given
    needed = [above[other] for other in after]
    named = [*entry.get("runs", []), *_named_runs(values), *(n for r in needed for n in r.runs)]
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in _read(notebook)["cells"]]
    inputs = {
        "notebook": fingerprint(cells=cells),
        "parameters": fingerprint(**given),
        "library": library,
        "reports it needs": fingerprint(needed=[report.inputs for report in needed]),
    }
    trains, last = entry.get("trains", False), entry.get("last", False)
    data, suite = values.get("data", ""), str(path.resolve())
    return Report(name, notebook, given, suite, (), tuple(after), trains, last, data, named, inputs)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"the nearest is {near[0]!r}" if near else "there are none"


def _read(notebook: Path) -> dict:
    """A notebook's JSON. ValueError if the file holds something else."""
    nb = json.loads(notebook.read_text("utf-8"))
    if not isinstance(nb, dict) or "cells" not in nb:
        raise ValueError(f"{notebook} is not a notebook")
    return nb


def defaults(notebook: Path) -> dict:
    """The parameters of a notebook with their values; {} if no cell is tagged as such."""
    cells = _read(notebook)["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    return assignments("".join(tagged[0]["source"])) if tagged else {}


def _named_runs(values: dict) -> list[str]:
    """The runs that the parameters of a notebook name, or else the default run of its `model`.

    An empty parameter `runs` stands for all runs.
    """
    if values.get("runs") == "":
        return ["*"]
    if "model" in values and not values.get("run"):
        data = paths.dataset(values["data"]).name
        return [f"{data}-{values['model']}-s{values['seed']}-*"]
    names = ",".join(values.get(key, "") for key in ("run", "versus", "runs"))
    return [name.strip() for name in names.split(",") if name.strip()]


# ------------------------------------------------------------------------------ what is up to date


def changed(report: Report) -> str:
    """What differs from the report that is there, by name; "" of one that is up to date."""
    path = folder() / f"{report.name}.ipynb"
    if not (path.is_file() and path.with_suffix(".html").is_file()):
        return "new"
    was = metadata(path).get("inputs", {})
    if not was:
        return "made by an older lab"
    names = [name for name, digest in _inputs(report).items() if was.get(name) != digest]
    return f"changed: {', '.join(names)}" if names else ""


def metadata(notebook: Path) -> dict:
    """What `execute` has written about an executed notebook; {} if there is none, or not whole."""
    try:
        return _read(notebook)["metadata"].get("s1m_lab", {})
    except (OSError, ValueError, KeyError):
        return {}


def _inputs(report: Report) -> dict[str, str]:
    """A digest of each input, as they are now."""
    results = {file.parent.name: _digest(file) for file in _results(report)}
    return report.inputs | {"dataset": _dataset(report.data), "runs": fingerprint(**results)}


def _library() -> str:
    """A digest of the lab's source, templates included."""
    files = [*LIBRARY.rglob("*.py"), *LIBRARY.rglob("*.html")]
    return fingerprint(**{str(file.relative_to(LIBRARY)): _digest(file) for file in files})


def _dataset(data: str) -> str:
    """A digest of a dataset and its folds: their catalogs, and what their clips are made of.

    The catalog of a folder or a table is brought up to date first.
    """
    place, digests = paths.dataset(data), {}
    if paths.is_path(data) and (place / "catalog.parquet").is_file():
        try:
            datasets.listed(data)
        except (OSError, ValueError) as error:  # the notebook will raise it
            return f"{type(error).__name__}: {error}"
    for own in [place, *place.parent.glob(f"{glob.escape(place.name)}-fold*")] if data else []:
        if (own / "catalog.parquet").is_file():
            digests[own.name] = _digest(own / "catalog.parquet")
        if (own / "clips" / "index.parquet").is_file():
            digests[f"{own.name}/clips"] = shards.describe(own / "clips")["fingerprint"]
    return fingerprint(**digests)


def _results(report: Report) -> list[Path]:
    """The `results.json` of every finished run that a report shows."""
    home = paths.runs()
    found = [glob.glob(f"{name}/results.json", root_dir=home) for name in report.runs]
    return [home / file for file in sorted(set().union(*found))]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


# ---------------------------------------------------------------------------- executing notebooks


def run(path: Path, workers: int = 0) -> dict[str, Ended]:
    """Make the reports of a suite that are not up to date, and `reports/index.html`.

    `workers` notebooks run side by side, of which one may train. 0 is one, and another for every
    four cores, up to four. Prints how each report ended, and returns it in the order of the file.
    Raises ValueError as `load` does.
    """
    if workers < 0:
        raise ValueError(f"--workers {workers} is below 0 (0: by the cores)")
    workers = workers or min(4, 1 + system.cores() // 4)
    reports = load(path)
    ended: dict[str, Ended] = {}
    jobs: dict[Future, str] = {}
    running: dict[str, io.StringIO] = {}  # what each notebook has printed
    waiting, status = list(reports), Status(len(reports))
    training = ThreadPoolExecutor(1)
    others = ThreadPoolExecutor(workers - 1) if workers > 1 else training
    try:
        with exclusive(folder()):
            while waiting or jobs:
                for report in [r for r in waiting if ended.keys() >= set(r.after)]:
                    waiting.remove(report)
                    pool = training if report.trains else others
                    jobs[pool.submit(_make, report, ended, running)] = report.name
                for job in wait(jobs, timeout=0.5, return_when=FIRST_COMPLETED).done:
                    name = jobs.pop(job)
                    ended[name] = job.result()
                    status.print_ended(name, ended[name])
                    write_index(reports, ended)
                status.print_running(len(ended), running)
            shutil.rmtree(folder() / ".partial", ignore_errors=True)
    finally:
        for pool in (training, others):
            pool.shutdown(wait=False, cancel_futures=True)
    return {report.name: ended[report.name] for report in reports}


class Status:
    """Prints a line per report that has ended, and one about those that run.

    On a terminal the latter is rewritten in place; elsewhere it is printed once a minute.
    """

    def __init__(self, total: int):
        self.total, self.start = total, time.monotonic()
        self.printed, self.terminal = self.start, sys.stdout.isatty()

    def print_ended(self, name: str, how: Ended) -> None:
        clear = "\r\x1b[K" if self.terminal else ""
        took = clock(how.seconds) if how.seconds else ""
        print(f"{clear}{how.status:<12}{name:<28}{took:>7}  {how.why}".rstrip(), flush=True)

    def print_running(self, done: int, running: dict[str, io.StringIO]) -> None:
        now = time.monotonic()
        if not running or not self.terminal and now - self.printed < 60:
            return
        self.printed, line = now, f"reports {done}/{self.total} · {clock(now - self.start)}"
        for name, output in sorted(running.items()):
            line += " · " + f"{name} {output.getvalue().rstrip()}".splitlines()[-1]
        if self.terminal:
            line = f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}"
        print(line, end="" if self.terminal else "\n", flush=True)


def _make(report: Report, ended: dict[str, Ended], running: dict[str, io.StringIO]) -> Ended:
    """Make a report in a thread; once more if it changed its own dataset, as a first ingest does.

    `ended` holds the reports it comes after; its output goes into `running` while it runs.
    """
    from jupyter_core.utils import ensure_event_loop

    for name in () if report.last else report.after:
        if ended[name].status in ("failed", "skipped"):
            return Ended("skipped", why=f"it needs {name}: {ended[name].status}")
    if not (why := changed(report)):
        return Ended("up to date")
    start, output = time.monotonic(), io.StringIO()
    running[report.name] = output
    loop = ensure_event_loop()  # of this thread, for its kernel
    try:
        execute(report, output)
        if changed(report):
            execute(report, output)
            why += "; made twice, since it changed its dataset"
    except Exception as error:  # of any kind: the other reports go on
        failed = folder() / f"{report.name}.failed.ipynb"
        return Ended("failed", time.monotonic() - start, f"{_last_line(error)} ({failed})")
    finally:
        loop.close()
        del running[report.name]
    return Ended("made", time.monotonic() - start, why)


def execute(report: Report, output: io.StringIO) -> None:
    """Execute a notebook into `reports/<name>.ipynb` and `.html`.

    Raises what the notebook raises. It is kept as `<name>.failed` then, and an earlier report
    stays. Its kernel ends with this process, also when that is killed.
    """
    import papermill
    from traitlets.config import Config

    start, inputs = time.time(), _inputs(report)
    partial = folder() / ".partial" / f"{report.name}.ipynb"
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    # papermill reads braces in a path as the name of a parameter
    source, target = (re.sub("([{}])", r"\1\1", str(path)) for path in (report.notebook, partial))
    options = {"progress_bar": False, "stdout_file": output}
    with tempfile.TemporaryDirectory() as sockets:
        if os.name == "posix":  # another process can take a port before the kernel binds it
            kernel = {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}
            options["config"] = Config(KernelManager=kernel)
        try:
            papermill.execute_notebook(source, target, report.parameters, **options)
        except Exception as error:
            if partial.is_file():
                _publish(partial, f"{report.name}.failed", report, inputs, start, _last_line(error))
            raise
    inputs["runs"] = _inputs(report)["runs"]  # its own run is finished now
    _publish(partial, report.name, report, inputs, start)
    for suffix in (".failed.ipynb", ".failed.html"):
        (folder() / f"{report.name}{suffix}").unlink(missing_ok=True)


def _publish(
    partial: Path, name: str, report: Report, inputs: dict[str, str], start: float, error: str = ""
) -> None:
    """Move an executed notebook with its metadata, and its HTML, to `reports/<name>`.

    Of lines that were printed over one another, the last stays.
    """
    import nbformat
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

    nb, _ = CoalesceStreamsPreprocessor().preprocess(nbformat.read(partial, as_version=4), {})
    nb.metadata["s1m_lab"] = {
        "inputs": inputs,
        "suite": report.suite,
        "figures": report.figures,
        "error": error,
        "runs": [file.parent.name for file in _results(report)],
        "seconds": round(time.time() - start, 1),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "version": __version__,
        "commit": runs.commit(),
    }
    partial.write_text(nbformat.writes(nb) + "\n", "utf-8")
    os.replace(html.html(partial), folder() / f"{name}.html")
    os.replace(partial, folder() / f"{name}.ipynb")


def _last_line(error: Exception) -> str:
    """An error in one line, as a traceback ends; of papermill's, the error of the notebook."""
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", f"{name}: {value}").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def machine() -> str:
    """The processor, its cores and the GPUs: `AMD EPYC, 2 cores`."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    parts = [model[1] if model else platform.processor() or platform.machine()]
    parts.append(f"{system.cores()} cores")
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        parts += subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return ", ".join(" ".join(part.split()) for part in parts)


# --------------------------------------------------------------------------------------- the index

COLUMNS = {  # of a results.json: the title, and the format of numbers
    "model": ("Model", ""),
    "video_hit1": ("Video Hit@1", "{:.1%}"),
    "video_hit5": ("Hit@5", "{:.1%}"),
    "clip_hit1": ("Clip Hit@1", "{:.1%}"),
    "seed": ("Seed", "{:.0f}"),
    "parameters": ("Parameters", "{:,.0f}"),
    "seconds": ("Training, s", "{:,.0f}"),
    "train_clips_per_second": ("Clips/s", "{:,.0f}"),
    "data": ("Data", ""),
    "videos": ("Videos", "{:,.0f}"),
    "precision": ("Precision", ""),
    "threads": ("Threads", "{:.0f}"),
    "commit": ("Commit", ""),
}


def write_index(reports: list[Report], ended: dict[str, Ended]) -> Path:
    """Write `reports/index.html`: all finished runs, the reports of this suite and of others.

    `ended` says how reports of this suite ended. Those of others are the executed ones.
    """
    suite, listed = reports[0].suite, {report.name: report for report in reports}
    for path in sorted(folder().glob("*.ipynb")):
        name, about = path.name.split(".")[0], metadata(path)
        if "inputs" in about and about["suite"] != suite and name not in listed:
            given = _read(path)["metadata"]["papermill"]["parameters"]
            listed[name] = Report(name, path, given, about["suite"], about["figures"])
    cards = [_card(report, ended.get(name)) for name, report in listed.items()]
    page = html.render(
        "index.html",
        columns=COLUMNS,
        runs=_read_runs().to_dict("index"),
        pages=_pages(cards),
        suites={report.suite: Path(report.suite).stem for report in listed.values()},
        reports=cards,
        left=len(reports) - len(ended),
        now=f"{datetime.now().astimezone():%Y-%m-%d %H:%M}",
        machine=f"{machine()} · commit {runs.commit() or 'unknown'}",
    )
    path = folder() / "index.html"
    with atomic(path) as temporary:
        temporary.write_text(page, "utf-8", errors="replace", newline="\n")
    return path


def _read_runs() -> pd.DataFrame:
    """The `COLUMNS` of every finished run, by name; the best on video first."""
    files = sorted(paths.runs().glob("*/results.json"))
    found = {file.parent.name: json.loads(file.read_text("utf-8")) for file in files}
    df = pd.DataFrame.from_dict(found, orient="index").reindex(columns=list(COLUMNS))
    for key, (_, form) in COLUMNS.items():
        if form:
            df[key] = pd.to_numeric(df[key], errors="coerce").astype(float)
    df = df.sort_values("video_hit1", ascending=False, kind="stable").astype(object)
    return df.where(df.notna(), None)


def _pages(cards: list[dict]) -> dict[str, str]:
    """The report of each run: of those that show it the one of the fewest runs, then the first."""
    by_runs = sorted(reversed(cards), key=lambda card: -len(card["runs"]))
    return {run: card["name"] for card in by_runs for run in card["runs"]}


def _card(report: Report, ended: Ended | None = None) -> dict:
    """What the index shows of a report."""
    path, failed = (folder() / f"{report.name}{end}" for end in (".ipynb", ".failed.ipynb"))
    about = metadata(path)
    if "inputs" not in about:  # missing, or made by an older lab
        about = {}
    nb = _read(path if about else report.notebook)
    opening = "".join(nb["cells"][0]["source"])
    title, question = (re.search(f"^{mark} (.*)", opening, re.MULTILINE) for mark in "#>")
    return {
        "name": report.name,
        "suite": report.suite,
        "title": title[1] if title else report.name,
        "question": question[1].partition("?")[0] + "?" if question else "",
        "parameters": {key: value for key, value in report.parameters.items() if value != ""},
        "figures": _figures(nb, report.figures) if about else [],
        "about": about,
        "runs": about.get("runs", []),
        "skipped": ended.why if ended and ended.status == "skipped" else "",
        "error": metadata(failed).get("error", ""),
    }


def _figures(nb: dict, cells: Sequence[str]) -> list[str]:
    """The figures of those cells as `data:` addresses; without such, the first three."""
    found = {}
    for cell in nb["cells"]:
        for output in cell.get("outputs", []):
            for kind in {"image/png", "image/jpeg"} & output.get("data", {}).keys():
                data = "".join("".join(output["data"][kind]).split())
                found[cell.get("id")] = f"data:{kind};base64,{data}"
    return [found[cell] for cell in cells if cell in found] or list(found.values())[:3]
