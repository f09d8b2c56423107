"""One report: a notebook executed, published with its stamp, told from one out of date.

    report = Report("03_slow", Path("notebooks/03_train.ipynb"), {"model": "slow"}, "0f3a…")
    if not is_current(report):
        make(report, Said())                # reports/03_slow.ipynb and .html

The stamp stands in the executed notebook's metadata, so that a report is published whole with it
or not at all; see `stamps`.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from s1m_lab.common import paths
from s1m_lab.common.files import atomic
from s1m_lab.reports import html, stamps


class Report(NamedTuple):
    name: str  # of its files in reports/
    notebook: Path
    parameters: dict
    fingerprint: str = ""
    trains: bool = False  # so that no other that trains may run beside it
    after: tuple[str, ...] = ()  # the reports it waits for, and needs
    last: bool = False  # is made whatever became of those
    figures: tuple[str, ...] = ()  # the cells whose figures stand for it in the index


class Ended(NamedTuple):
    """What became of a report in a suite."""

    status: str  # "made", "as it was", "failed" or "skipped"
    seconds: float = 0.0
    why: str = ""  # it failed (the last line of what went wrong), was skipped, or is made again


class Said:
    """A file that remembers the last line written to it: what a notebook is at."""

    line = ""

    def write(self, text: str) -> None:
        if lines := [line for line in text.splitlines() if line.strip()]:
            self.line = " ".join(lines[-1].split())

    def flush(self) -> None:
        pass


def folder() -> Path:
    return paths.home() / "reports"


def make(report: Report, said: Said) -> None:
    """Execute a notebook into `reports/`, and tell `said` what it prints.

    It is published with its stamp, its HTML before it. Raises what the notebook raises, and keeps
    it and its HTML as `<name>.failed` then; what there is of an earlier report stays.
    """
    import papermill

    start, whole = time.time(), folder() / f"{report.name}.ipynb"
    before = stamps.given(report.notebook, report.parameters)
    with _working(report.name) as place, tempfile.TemporaryDirectory() as sockets:
        out = place / whole.name
        options = {"progress_bar": False, "stdout_file": said, "config": _own_sockets(sockets)}
        try:
            papermill.execute_notebook(
                _literal(report.notebook), _literal(out), report.parameters, **options
            )
        except Exception:
            if out.is_file():
                _publish(out, whole.with_suffix(".failed.ipynb"))
            raise
        stamps.write(out, report.fingerprint, start, before)
        _publish(out, whole)
    for suffix in (".failed.ipynb", ".failed.html"):
        whole.with_suffix(suffix).unlink(missing_ok=True)


@contextmanager
def _working(name: str) -> Iterator[Path]:
    """A folder to work in, cleared of what a killed process left there."""
    place = folder() / f".{name}.partial"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _literal(path: Path) -> str:
    """A path for papermill, which takes braces in it for the name of a parameter."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _own_sockets(place: str):
    """Kernels that talk through files of their own.

    By default a port is looked for, let go, and bound by the kernel half a second later; another
    process may have taken it by then. Files in a folder of one's own cannot be taken. The folder's
    path must be short: that of a socket has about a hundred letters. Windows has none; there, the
    ports of one process are at least never given twice.
    """
    from traitlets.config import Config

    if os.name != "posix":
        return Config()
    return Config(KernelManager={"transport": "ipc", "connection_file": f"{place}/kernel.json"})


def _publish(out: Path, whole: Path) -> None:
    """Move an executed notebook to its place, its HTML first: who sees the one finds the other."""
    page = html.html(out)
    for source, target in ((page, whole.with_suffix(".html")), (out, whole)):
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)


def last_line(error: Exception) -> str:
    """What went wrong in one line, as the end of a traceback says it."""
    text = f"{type(error).__name__}: {error}"
    if hasattr(error, "ename"):  # papermill's, which holds that of the notebook
        text = f"{error.ename}: {error.evalue}"
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def is_current(report: Report) -> bool:
    """Whether its files are there, made from what it would be made from, of what there is now."""
    notebook = folder() / f"{report.name}.ipynb"
    about = stamps.read(notebook)
    if about.get("fingerprint") != report.fingerprint:
        return False
    if not notebook.with_suffix(".html").is_file():
        return False
    return stamps.holds(about)


def reached(notebook: Path) -> list[str]:
    """A line for each finished run whose folder an executed notebook names."""
    text, found = notebook.read_text("utf-8"), []
    for file in sorted(paths.runs().glob("*/results.json")):
        if re.search(re.escape(json.dumps(str(file.parent))[1:-1]) + r"(?![\w.-])", text):
            scores = json.loads(file.read_text("utf-8"))
            clips = scores["clip_hit1"]  # null for histograms, which see whole videos
            of_clips = "" if clips is None else f", of clips {clips:.1%}"
            reached = f"video Hit@1 {scores['video_hit1']:.1%}{of_clips}"
            found.append(f"{scores['model']}: {reached}, in {file.parent}")
    return found
