"""A suite: a list of reports, made one after another or side by side, resumable.

A suite is a TOML file; its notebooks lie beside it:

    [[report]]
    name = "05_confusion"                 # of reports/05_confusion.ipynb and .html
    notebook = "05_confusion.ipynb"
    parameters = { seed = 1 }             # what is left out has the notebook's own value
    after = ["03_slow", "03_single"]      # reports above that it needs; if one fails, it is skipped
    trains = true                         # trains a network: one such report at a time
    last = true                           # after all others, whatever became of them

    [figures]                             # cells whose figures stand for a notebook in the index
    "05_confusion.ipynb" = ["gains", "matrix"]

    ended = suite.run(Path("notebooks/pocket.toml"))
    ended["05_confusion"].status            # "made", "as it was", "failed" or "skipped"

Run again, it makes what failed, what is missing and what is out of date, see `reports.is_current`.
So is a report that changed what it had shown, as `02_durations` does where it makes the clips: it
is made once more at once, of what it has made.
Threads are a budget: reports side by side share the cores, each kernel with all that it starts is
bound to its share, and what trains gets all that the others leave. Kernels are children of this
process and end with it, also when it is killed.
"""

import difflib
import os
import queue
import re
import shutil
import sys
import threading
import time
import tomllib
from pathlib import Path

from s1m_lab.common import system
from s1m_lab.common.files import exclusive
from s1m_lab.common.progress import clock
from s1m_lab.reports import index, stamps
from s1m_lab.reports.report import Ended, Report, Said, folder, is_current, last_line, make

KEYS = {
    "name": str,
    "notebook": str,
    "parameters": dict,
    "after": list,
    "trains": bool,
    "last": bool,
}


def load(path: Path) -> list[Report]:
    """The reports of a suite file; ValueError names what is wrong in it, before anything is run."""
    form = "a suite is a list of [[report]], perhaps with [figures], as notebooks/pocket.toml is"
    if not path.is_file():
        raise ValueError(f"there is no file {path}; {form}")
    try:
        text = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # of letters, or of TOML
        raise ValueError(f"{path} is not TOML: {error}; {form}") from None
    entries, figures = text.get("report"), text.get("figures", {})
    if wrong := [key for key in text if key not in ("report", "figures")]:
        near = _nearest(wrong[0], ["report", "figures"])
        raise ValueError(f"{path}: no entry is called {wrong[0]!r}; {near}; {form}")
    tables = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    cells = isinstance(figures, dict) and all(isinstance(each, list) for each in figures.values())
    if not (tables and cells):
        raise ValueError(f"{path}: {form}")
    known: dict[str, Report] = {}
    for entry in entries:
        report = _report(path, entry, known)
        shown = figures.get(report.notebook.name, [])
        known[report.name] = report._replace(figures=tuple(shown))
    others = tuple(report.name for report in known.values() if not report.last)
    return [r._replace(after=others) if r.last else r for r in known.values()]


def _report(path: Path, entry: dict, above: dict[str, Report]) -> Report:
    name = entry.get("name", "")
    where = f"{path}, report {name!r}"
    if wrong := [key for key in entry if key not in KEYS]:
        raise ValueError(f"{where}: no entry is called {wrong[0]!r}; {_nearest(wrong[0], KEYS)}")
    for key, value in entry.items():
        if not isinstance(value, KEYS[key]):
            raise ValueError(f"{where}: {key} must be of type {KEYS[key].__name__}, not {value!r}")
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
        raise ValueError(f"{where}: a name is of letters, digits, '_' and '-'")
    if name in above:
        raise ValueError(f"{where}: there are two of that name")
    if "notebook" not in entry:
        raise ValueError(f"{where}: it has no notebook")
    notebook = path.resolve().parent / entry["notebook"]
    if not notebook.is_file():
        near = _nearest(notebook.name, [other.name for other in notebook.parent.glob("*.ipynb")])
        raise ValueError(f"{where}: there is no notebook {notebook}; {near}")
    try:
        given, taken = entry.get("parameters", {}), stamps.defaults(notebook)
    except (ValueError, KeyError):
        raise ValueError(f"{where}: {notebook} is no notebook that can be read") from None
    if wrong := [key for key in given if key not in taken]:
        raise ValueError(
            f"{where}: {notebook.name} has no parameter {wrong[0]!r}; {_nearest(wrong[0], taken)}"
        )
    after = entry.get("after", [])
    if wrong := [other for other in after if other not in above]:
        raise ValueError(f"{where}: after {wrong[0]!r}, but no report above it is called so")
    needed = [above[other].fingerprint for other in after]
    made_of = stamps.report_fingerprint(notebook, given, needed)
    trains, last = entry.get("trains", False), entry.get("last", False)
    if last and after:
        raise ValueError(f"{where}: what is last comes after all others; it takes no after")
    return Report(name, notebook, given, made_of, trains, tuple(after), last)


def _nearest(name: str, known) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"the nearest is {near[0]!r}" if near else "there are none"


def run(path: Path, workers: int = 0) -> dict[str, Ended]:
    """Make every report of a suite that is not there as it would be made now, and the index.

    `workers` notebooks run side by side; 0 is one, and another for every four cores, up to four,
    where cores can be parted.
    Returns what became of each report, in the order of the file. ValueError as in `load`, or where
    several workers are asked for and cores cannot be parted among them.
    """
    listed = load(path)
    parted = _parted(workers)
    ended: dict[str, Ended] = {}
    with exclusive(folder()):
        _work(path, listed, parted, ended)
        index.write(path, listed, ended)
    return {report.name: ended[report.name] for report in listed}


def _parted(workers: int) -> list[set[int]]:
    """The cores of each worker; empty where a system cannot bind a process to some."""
    if workers < 0:
        raise ValueError(f"--workers {workers} is below 0 (0: by the cores)")
    if hasattr(os, "sched_setaffinity"):
        return shares(sorted(os.sched_getaffinity(0)), workers or min(4, 1 + system.cores() // 4))
    if workers > 1:
        raise ValueError("cores cannot be parted among notebooks on this system: --workers 1")
    return [set()]


def shares(cores: list[int], workers: int) -> list[set[int]]:
    """One core for each worker, and all that is left for the first, who trains."""
    first = max(1, len(cores) - workers + 1)
    return [set(cores[:first])] + [{cores[-1 - k % len(cores)]} for k in range(workers - 1)]


def _work(
    path: Path, listed: list[Report], parted: list[set[int]], ended: dict[str, Ended]
) -> None:
    """Hand out reports until all are in `ended`, and none is out of date by its own doing."""
    waiting, busy, back, line = list(listed), {}, queue.Queue(), Line(len(listed))
    again: set[str] = set()

    def end(report: Report, how: Ended) -> None:
        ended[report.name] = how
        line.ended(report, how)

    while waiting or busy:
        for worker, share in enumerate(parted):
            while worker not in busy and (report := _next(worker, len(parted), waiting, ended)):
                waiting.remove(report)
                if how := _at_once(report, ended):
                    end(report, how)
                    continue
                busy[worker] = report, Said(), time.monotonic()
                job = (worker, share, *busy[worker], back)
                threading.Thread(target=_make, args=job, daemon=True).start()
        try:
            worker, how = back.get(timeout=0.5) if busy else (None, None)
        except queue.Empty:
            line.show(len(ended), busy)
            continue
        if how:
            report = busy.pop(worker)[0]
            if how.status == "made" and report.name not in again and not is_current(report):
                line.ended(report, how._replace(why="it has changed what it shows: once more"))
                again.add(report.name)
                waiting.insert(0, report)  # what comes after it waits
            else:
                end(report, how)
            index.write(path, listed, ended)


def _next(worker: int, workers: int, waiting: list[Report], ended: dict) -> Report | None:
    """The report that a worker is to take: only the first trains, and prefers to."""
    ready = [report for report in waiting if all(name in ended for name in report.after)]
    if worker:
        ready = [report for report in ready if not report.trains]
    elif workers > 1:
        ready.sort(key=lambda report: not report.trains)
    return ready[0] if ready else None


def _at_once(report: Report, ended: dict[str, Ended]) -> Ended | None:
    """How a report ends that is not to be executed, None if it is."""
    for name in () if report.last else report.after:
        if ended[name].status in ("failed", "skipped"):
            return Ended("skipped", why=f"it needs {name}, which {_was(ended[name])}")
    if is_current(report):
        return Ended("as it was")
    return None


def _was(how: Ended) -> str:
    return "failed" if how.status == "failed" else "was skipped"


def _make(
    worker: int, share: set[int], report: Report, said: Said, start: float, back: queue.Queue
) -> None:
    """Make a report in this thread, whose cores its kernel and all that this starts inherit."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()  # of this thread, on which it talks with its kernel
    try:
        if share:
            os.sched_setaffinity(0, share)  # of this thread alone
        make(report, said)
        how = Ended("made", time.monotonic() - start)
    except Exception as error:  # of any kind: the other reports go on
        how = Ended("failed", time.monotonic() - start, last_line(error))
    finally:
        loop.close()
    back.put((worker, how))


class Line:
    """A line for each report that has ended, and one, throttled, of how far the others are.

    On a terminal the latter is rewritten in place; elsewhere it is printed once a minute.
    """

    def __init__(self, total: int):
        self.total, self.start = total, time.monotonic()
        self.terminal, self.printed = sys.stdout.isatty(), self.start

    def ended(self, report: Report, how: Ended) -> None:
        clear = "\r\x1b[K" if self.terminal else ""
        took = clock(how.seconds) if how.seconds else ""
        where = f" ({folder() / report.name}.failed.ipynb)" if how.status == "failed" else ""
        said = f"  {how.why}{where}" if how.why else ""
        print(f"{clear}{how.status:<10}{report.name:<28}{took:>7}{said}".rstrip(), flush=True)

    def show(self, done: int, busy: dict[int, tuple[Report, Said, float]]) -> None:
        now = time.monotonic()
        if not self.terminal and now - self.printed < 60:
            return
        self.printed = now
        each = [f"{r.name} {clock(now - start)} {said.line}" for r, said, start in busy.values()]
        parts = [f"reports {done}/{self.total}", clock(now - self.start), *each]
        text = " · ".join(part.strip() for part in parts)
        if self.terminal:
            print(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        else:
            print(text, flush=True)
