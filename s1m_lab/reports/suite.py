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

import glob
import io
import json
import os
import re
import shutil
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from s1m_lab import __version__
from s1m_lab.common import paths, system
from s1m_lab.common.files import (
    exclusive,
    file_digest,
    fingerprint,
    has_its_digest,
    move,
    write_text,
)
from s1m_lab.common.progress import clock
from s1m_lab.data import datasets
from s1m_lab.reports import html
from s1m_lab.reports.parameters import assignments, nearest
from s1m_lab.training import runs

LIBRARY = Path(__file__).parents[1]
FORM = "a suite is a list of [[report]], with or without [figures], as notebooks/pocket.toml is"
ENTRY: dict = {  # the defaults of an entry
    "name": "",
    "notebook": "",
    "parameters": {},
    "after": [],
    "runs": [],
    "trains": False,
    "last": False,
}


@dataclass(frozen=True)
class Report:
    """A notebook with parameters, as a suite lists it."""

    name: str
    notebook: Path
    parameters: dict
    suite: str  # the path of its file
    figures: Sequence[str] = ()
    after: Sequence["Report"] = ()
    runs: Sequence[str] = ()  # names of the runs it shows; * stands for any text
    trains: bool = False
    last: bool = False

    def values(self) -> dict:
        """All parameters of the notebook."""
        return _defaults(self.notebook) | self.parameters


class Ended(NamedTuple):
    """How a report ended, and why."""

    status: str  # "made", "up to date", "failed" or "skipped"
    seconds: float = 0.0
    why: str = ""


def folder() -> Path:
    return paths.home() / "reports"


# ------------------------------------------------------------------------------- the suite's file


def load(path: Path) -> list[Report]:
    """The reports of a suite, each below those it needs.

    ValueError names what is wrong in the file, before anything runs.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}; {FORM}") from None
    reports: dict[str, Report] = {}
    where = str(path)
    try:
        content = _checked(content, {"report": [], "figures": {}})
        entries, figures = content["report"], content["figures"]
        _checked(figures, dict.fromkeys(figures, []))
        if not entries or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(FORM)
        for entry in entries:
            where = f"{path}, report {entry.get('name')!r}"
            report = _report(path.resolve(), entry, figures, reports)
            reports[report.name] = report
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return sorted(reports.values(), key=lambda report: report.last)


def _checked(table: dict, known: dict) -> dict:
    """A table, with the defaults of `known`; ValueError for a key or a type that is not there."""
    for key, value in table.items():
        if key not in known:
            raise ValueError(f"no entry is called {key!r}; {nearest(key, known)}")
        if type(value) is not (kind := type(known[key])):
            raise ValueError(f"{key} must be of type {kind.__name__}, not {value!r}")
    return known | table


def _report(suite: Path, entry: dict, figures: dict, above: dict[str, Report]) -> Report:
    """The report of an entry, checked; `above` are the reports before it."""
    entry = _checked(entry, ENTRY)
    name, given = entry["name"], entry["parameters"]
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII) or name in above:
        raise ValueError("a name is unique, of letters, digits, '_' and '-'")
    for other in entry["after"]:
        if other not in above:
            raise ValueError(f"after {other!r}, but no report above it has this name")
    notebook = suite.parent / entry["notebook"]
    if not notebook.is_file():
        near = nearest(notebook.name, [other.name for other in notebook.parent.glob("*.ipynb")])
        raise ValueError(f"there is no notebook {notebook}; {near}")
    known = _defaults(notebook)
    for key in given:
        if key not in known:
            raise ValueError(f"{notebook.name} has no parameter {key!r}; {nearest(key, known)}")
    after = [above[other] for other in entry["after"]]
    shown = entry["runs"] + _named_runs(known | given) + [n for other in after for n in other.runs]
    cells, flags = figures.get(notebook.name, []), (entry["trains"], entry["last"])
    return Report(name, notebook, given, str(suite), cells, after, shown, *flags)


def _read(notebook: Path) -> dict:
    """A notebook's JSON. ValueError if the file holds something else."""
    nb = json.loads(notebook.read_text("utf-8"))
    if not isinstance(nb, dict) or "cells" not in nb:
        raise ValueError(f"{notebook} is not a notebook")
    return nb


def _defaults(notebook: Path) -> dict:
    """The parameters of a notebook with their values; {} if no cell is tagged as such."""
    for cell in _read(notebook)["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            return assignments("".join(cell["source"]))
    return {}


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
    """Which inputs of a report have changed; "" if it is up to date."""
    path = folder() / f"{report.name}.ipynb"
    page = path.with_suffix(".html")
    if not (path.is_file() and page.is_file()):
        return "new"
    if bad := [file.name for file in (path, page) if not has_its_digest(file)]:
        return f"{' and '.join(bad)} damaged, or changed by hand"
    if not (about := metadata(path)):
        return "made by an older lab"
    now, was = _inputs(report), about["inputs"]
    names = [name for name, digest in now.items() if was.get(name) != digest]
    return f"changed: {', '.join(names)}" if names else ""


def metadata(notebook: Path) -> dict:
    """The metadata that `execute` wrote; {} if it is missing, incomplete or of an older lab."""
    try:
        about = _read(notebook)["metadata"].get("s1m_lab", {})
    except (OSError, ValueError, KeyError):
        return {}
    return about if "inputs" in about else {}


def _inputs(report: Report) -> dict[str, str]:
    """The present digest of each input."""
    source = [*LIBRARY.rglob("*.py"), *LIBRARY.rglob("*.html")]
    return _given(report) | {
        "library": fingerprint(**{str(f.relative_to(LIBRARY)): file_digest(f) for f in source}),
        "dataset": _dataset(report.values().get("data", "")),
        "runs": fingerprint(**_finished_runs(report)),
    }


def _given(report: Report) -> dict[str, str]:
    """Digests of what is executed: the notebook, its parameters, and those of what it needs."""
    cells = _read(report.notebook)["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return {
        "notebook": fingerprint(cells=texts),
        "parameters": fingerprint(**report.parameters),
        "reports it needs": fingerprint(needed=[_given(other) for other in report.after]),
    }


def _dataset(data: str) -> str:
    """A digest of the catalogs of a dataset and its folds, and of the lists of their clips.

    The catalog of a folder or a table is brought up to date first.
    """
    if not data:
        return ""
    place = paths.dataset(data)
    if paths.is_path(data) and (place / "catalog.parquet").is_file():
        try:
            datasets.listed(data)
        except (OSError, ValueError) as error:  # the notebook will raise it
            return f"{type(error).__name__}: {error}"
    digests = {}
    for own in [place, *place.parent.glob(f"{glob.escape(place.name)}-fold*")]:
        for file in (own / "catalog.parquet", own / "clips" / "index.parquet"):
            if file.is_file():
                digests[str(file.relative_to(own.parent))] = file_digest(file)
    return fingerprint(**digests)


def _finished_runs(report: Report) -> dict[str, str]:
    """The digest of `results.json` of every finished run that a report shows, by run."""
    home = paths.runs()
    found = [glob.glob(f"{name}/results.json", root_dir=home) for name in report.runs]
    files = [home / file for file in sorted(set().union(*found))]
    return {file.parent.name: file_digest(file) for file in files}


# ---------------------------------------------------------------------------- executing notebooks


def run(path: Path, workers: int = 0) -> dict[str, Ended]:
    """Make the reports of a suite that are not up to date, and `reports/index.html`.

    `workers` notebooks run side by side, and only one of them trains. 0 is one, plus one for every
    four cores, at most four. Prints a line when a report ends. If none ends for a minute, it prints
    the last line of each notebook that runs. Raises ValueError as `load` does.
    """
    if workers < 0:
        raise ValueError(f"--workers {workers} is below 0 (0: by the cores)")
    workers = workers or min(4, 1 + system.cores() // 4)
    reports, start = load(path), time.monotonic()
    ended: dict[str, Ended] = {}
    jobs: dict[str, Future] = {}
    outputs: dict[str, io.StringIO] = {}  # of the notebooks that run
    training = ThreadPoolExecutor(1)
    others = ThreadPoolExecutor(workers - 1) if workers > 1 else training
    try:
        with exclusive(folder()):
            for report in reports:  # each stands below those it waits for, so one can always run
                above = {other.name: jobs[other.name] for other in report.after}
                needed = jobs.copy() if report.last else above
                pool = training if report.trains else others
                jobs[report.name] = pool.submit(_make, report, needed, outputs)
            names = {job: name for name, job in jobs.items()}
            while names:
                done = wait(names, timeout=60, return_when=FIRST_COMPLETED).done
                for job in done:
                    name, how = names.pop(job), job.result()
                    ended[name] = how
                    took = clock(how.seconds) if how.seconds else ""
                    print(f"{how.status:<12}{name:<28}{took:>7}  {how.why}".rstrip(), flush=True)
                    write_index(reports, ended)
                if not done:
                    spent = clock(time.monotonic() - start)
                    line = f"reports {len(ended)}/{len(reports)} · {spent}"
                    for name, output in list(outputs.items()):
                        line += f" · {name} {_last_line(output.getvalue())}"
                    print(line, flush=True)
            shutil.rmtree(folder() / ".partial", ignore_errors=True)
    finally:
        for pool in (training, others):
            pool.shutdown(wait=False, cancel_futures=True)
    return {report.name: ended[report.name] for report in reports}


def _make(report: Report, needed: dict[str, Future], outputs: dict[str, io.StringIO]) -> Ended:
    """Make a report once those that it needs have ended.

    It is made twice if it changed its own dataset, as a first ingest does. What it prints goes into
    `outputs` while it runs.
    """
    from jupyter_core.utils import ensure_event_loop

    for name, job in needed.items():
        if (status := job.result().status) in ("failed", "skipped") and not report.last:
            return Ended("skipped", why=f"it needs {name}: {status}")
    start, data = time.monotonic(), report.values().get("data", "")
    output = outputs[report.name] = io.StringIO()
    loop = ensure_event_loop()  # of this thread, for its kernel
    try:
        if not (why := changed(report)):
            return Ended("up to date")
        before = _dataset(data)
        execute(report, output)
        if _dataset(data) != before:
            execute(report, output)
            why += "; made twice, since it changed its dataset"
    except Exception as error:  # of any kind: the other reports go on
        failed = folder() / f"{report.name}.failed.ipynb"
        return Ended("failed", time.monotonic() - start, f"{_describe(error)} ({failed})")
    finally:
        loop.close()
        del outputs[report.name]
    return Ended("made", time.monotonic() - start, why)


def execute(report: Report, output: io.StringIO) -> None:
    """Execute a notebook into `reports/<name>.ipynb` and `.html`; `output` takes what it prints.

    Raises the error of the notebook, which is then kept as `<name>.failed`; an earlier report
    stays. The kernel ends with this process, even when that is killed.
    """
    import nbformat
    import papermill
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor
    from traitlets.config import Config

    start, inputs, failure = time.time(), _inputs(report), None
    partial = folder() / ".partial" / f"{report.name}.ipynb"
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    # papermill reads braces in a path as the name of a parameter
    source, target = (re.sub("([{}])", r"\1\1", str(path)) for path in (report.notebook, partial))
    options: dict = {"progress_bar": False, "stdout_file": output}
    with tempfile.TemporaryDirectory() as sockets:
        if os.name == "posix":  # another process can take a port before the kernel binds it
            kernel = {"transport": "ipc", "connection_file": f"{sockets}/kernel.json"}
            options["config"] = Config(KernelManager=kernel)
        try:
            papermill.execute_notebook(source, target, report.parameters, **options)
        except Exception as error:
            if not partial.is_file():
                raise
            failure = error

    shown = _finished_runs(report)
    nb = nbformat.read(partial, as_version=4)
    nb, _ = CoalesceStreamsPreprocessor().preprocess(nb, {})  # the last of lines on one another
    nb.metadata["s1m_lab"] = {
        "inputs": inputs | {"runs": fingerprint(**shown)},  # its own run is finished now
        "suite": report.suite,
        "figures": report.figures,
        "error": _describe(failure) if failure else "",
        "runs": list(shown),
        "seconds": round(time.time() - start, 1),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": system.machine(),
        "version": __version__,
        "commit": runs.commit(),
    }
    partial.write_text(nbformat.writes(nb) + "\n", "utf-8")
    name = f"{report.name}.failed" if failure else report.name
    move(html.html(partial), folder() / f"{name}.html", record=True)
    move(partial, folder() / f"{name}.ipynb", record=True)
    if failure:
        raise failure
    for old in folder().glob(f"{report.name}.failed.*"):
        old.unlink()


def _describe(error: Exception) -> str:
    """An error as one line; for papermill's, the error that the notebook raised."""
    name, value = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
    return _last_line(re.sub(r"\x1b\[[0-9;]*m", "", f"{name}: {value}"))


def _last_line(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or [""])[-1]


# --------------------------------------------------------------------------------------- the index

COLUMNS = {  # of a results.json: the title, and the format of numbers
    "model": ("Model", ""),
    "video_hit1": ("Video Hit@1", "{:.1%}"),
    "video_hit5": ("Hit@5", "{:.1%}"),
    "clip_hit1": ("Clip Hit@1", "{:.1%}"),
    "largest_class": ("Largest class", "{:.1%}"),
    "classes": ("Classes", "{:,.0f}"),
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
        if about and about["suite"] != suite and name not in listed:
            given = _read(path)["metadata"]["papermill"]["parameters"]
            listed[name] = Report(name, path, given, about["suite"], about["figures"])
    cards = [_card(report, ended.get(name)) for name, report in listed.items()]
    by_runs = sorted(reversed(cards), key=lambda card: -len(card["runs"]))
    found = {run.name: run.results for run in runs.finished_runs()}
    page = html.render(
        "index.html",
        columns=COLUMNS,
        runs=dict(sorted(found.items(), key=lambda item: -item[1]["video_hit1"])),
        # a run leads to the report that shows the fewest runs, among equals to the first
        pages={run: card["name"] for card in by_runs for run in card["runs"]},
        suites={report.suite: Path(report.suite).stem for report in listed.values()},
        reports=cards,
        left=len(reports) - len(ended),
        now=f"{datetime.now().astimezone():%Y-%m-%d %H:%M}",
        machine=f"{system.machine()} · commit {runs.commit() or 'unknown'}",
    )
    path = folder() / "index.html"
    write_text(path, page)
    return path


def _card(report: Report, ended: Ended | None = None) -> dict:
    """What the index shows of a report."""
    path, failed = (folder() / f"{report.name}{end}" for end in (".ipynb", ".failed.ipynb"))
    about = metadata(path)
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
