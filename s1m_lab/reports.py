"""One report: a notebook executed, stamped with what it was made of, told from one out of date.

    report = Report("03_slow", Path("notebooks/03_train.ipynb"), {"model": "slow"}, "0f3a…")
    if not is_current(report):
        make(report, Said())                # reports/03_slow.ipynb and .html

The stamp stands in the executed notebook's metadata, so that a report is published whole with it
or not at all. It holds a fingerprint of what the report was made from (`fingerprint`) and a digest
of what it has read: its dataset, and every run whose name it shows.
"""

import ast
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from s1m_lab import __version__, datasets, pages, paths, runs, shards, stages

LIBRARY = Path(__file__).parent
# how notebooks name a run: by its folder, in quotes or a cell of a table, at the start of a line
# before a colon, alone on a line, or after a colon
NAMED = re.compile(
    r"""\bruns[/\\]+([\w.-]+) | (?<=["'>])([\w.-]+)(?=["'<])
    | ^([\w.-]+)(?=:[ ]|$) | (?<=:[ ])([\w.-]+)(?=,|$)""",
    re.MULTILINE | re.VERBOSE,
)


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
    error: str = ""  # the last line of what went wrong


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

    start, whole = time.monotonic(), folder() / f"{report.name}.ipynb"
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
        _write_stamp(report, out, time.monotonic() - start)
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
    page = pages.html(out)
    for source, target in ((page, whole.with_suffix(".html")), (out, whole)):
        with stages.atomic(target) as temporary:
            shutil.copyfile(source, temporary)


def last_line(error: Exception) -> str:
    """What went wrong in one line, as the end of a traceback says it."""
    text = f"{type(error).__name__}: {error}"
    if hasattr(error, "ename"):  # papermill's, which holds that of the notebook
        text = f"{error.ename}: {error.evalue}"
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


# --------------------------------------------------------------------------------------- freshness


def fingerprint(notebook: Path, parameters: dict, needed: Sequence[str]) -> str:
    """What a report is made from: the text of the notebook's cells, its parameters, the text of
    those modules of the lab that it imports and that these import, and the fingerprints of the
    reports it needs. Versions of other packages do not count."""
    nb = json.loads(notebook.read_text("utf-8"))
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in nb["cells"]]
    code = [source for kind, source in cells if kind == "code"]
    return stages.fingerprint(
        cells=cells, parameters=parameters, needed=list(needed), library=_library(code)
    )


def _library(sources: list[str]) -> dict[str, str]:
    """A digest of every module of the lab that is imported by `sources`, or by one of these."""
    found, left = {}, {"__init__"}.union(*map(_imports, sources))
    while left:
        name = left.pop()
        text = (LIBRARY / f"{name}.py").read_text("utf-8")
        template = LIBRARY / f"{name}.html"
        drawn = template.read_text("utf-8") if template.is_file() else ""
        found[name] = stages.fingerprint(text=text, template=drawn)
        left |= _imports(text) - found.keys()
    return found


@functools.cache
def _imports(source: str) -> set[str]:
    """The modules of the lab that Python source imports, wherever in it; all, if it cannot tell."""
    modules, names = {path.stem for path in LIBRARY.glob("*.py")}, set()
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic
        return modules
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {f"{node.module}."}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    if "s1m_lab" in names:  # for whatever it holds
        return modules
    return {name.split(".")[1] for name in names if name.startswith("s1m_lab.")} & modules


def is_current(report: Report) -> bool:
    """Whether its files are there, made from what it would be made from, of what there is now."""
    notebook = folder() / f"{report.name}.ipynb"
    about = stamp(notebook)
    if about.get("fingerprint") != report.fingerprint:
        return False
    if not notebook.with_suffix(".html").is_file():
        return False
    return all(_digest(what) == digest for what, digest in about["reads"].items())


def stamp(notebook: Path) -> dict:
    """`fingerprint, reads, seconds, date, machine, version, commit` of an executed notebook; {} if
    it has none."""
    try:
        return json.loads(notebook.read_text("utf-8"))["metadata"].get("s1m_lab", {})
    except (OSError, ValueError, KeyError):
        return {}


def _write_stamp(report: Report, notebook: Path, seconds: float) -> None:
    """Stamp an executed notebook; of each line that was written over, the last is kept."""
    import nbformat
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

    nb, _ = CoalesceStreamsPreprocessor().preprocess(nbformat.read(notebook, as_version=4), {})
    nb["metadata"]["s1m_lab"] = {
        "fingerprint": report.fingerprint,
        "reads": {what: _digest(what) for what in _reads(report, nb)},
        "seconds": round(seconds, 1),
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "version": __version__,
        "commit": runs.commit(),
    }
    notebook.write_text(nbformat.writes(nb) + "\n", "utf-8")


def _reads(report: Report, nb: dict) -> list[str]:
    """What a report depends on: `data <name>`, `run <name>` of each it shows, or `runs`, all."""
    known = defaults(report.notebook) | report.parameters
    reads = [f"data {known['data']}"] if known.get("data") else []
    if known.get("runs") == "":
        reads.append("runs")
    finished = {path.parent.name for path in paths.runs().glob("*/results.json")}
    return reads + [f"run {name}" for name in sorted(finished & shown(nb))]


def shown(nb: dict) -> set[str]:
    """Whatever the outputs of an executed notebook name as they do a run; see `NAMED`."""
    outputs = [cell.get("outputs", []) for cell in nb["cells"]]
    found = {name for text in texts(outputs) for name in NAMED.findall(text)}
    found = {name for several in found for name in several}
    return found | {name.rstrip(".") for name in found}


def texts(value) -> list[str]:
    """Every text in a JSON value but pictures; one that was parted into lines is whole."""
    if isinstance(value, dict):
        return [t for k, v in value.items() if not k.startswith("image/") for t in texts(v)]
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return ["".join(value)]
    if isinstance(value, list):
        return [t for item in value for t in texts(item)]
    return [value] if isinstance(value, str) else []


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


def _digest(what: str) -> str:
    """Changes when that dataset (catalog or clips), that run's results or any run's change."""
    kind, _, name = what.partition(" ")
    if kind == "data":
        return _dataset(name)
    files = sorted(paths.runs().glob(f"{name if kind == 'run' else '*'}/results.json"))
    return stages.fingerprint(**{file.parent.name: _sha256(file) for file in files})


def _dataset(data: str) -> str:
    if paths.is_path(data):  # its catalog follows the folder or table it was made from
        try:
            datasets.listed(data)
        except (OSError, ValueError) as error:  # which the notebook will say
            return f"{type(error).__name__}: {error}"
    place = paths.dataset(data)
    catalog = place / "catalog.parquet"
    clips = (place / "clips" / "index.parquet").is_file()
    return stages.fingerprint(
        catalog=_sha256(catalog) if catalog.is_file() else "",
        clips=shards.describe(place / "clips")["fingerprint"] if clips else "",
    )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def defaults(notebook: Path) -> dict:
    """The parameters of a notebook with their values, {} where no cell is tagged as such."""
    nb = json.loads(notebook.read_text("utf-8"))
    cells = [c for c in nb["cells"] if "parameters" in c["metadata"].get("tags", [])]
    return dict(_literals("".join(cells[0]["source"]))) if cells else {}


@functools.cache
def _literals(source: str) -> dict:
    """The values that names are given. Python 3.11 sometimes fails to parse in several threads at
    once, so what all reports need is parsed before the first thread starts."""
    lines = ast.parse(source).body
    pairs = [(getattr(line, "target", None) or line.targets[0], line.value) for line in lines]
    return {target.id: ast.literal_eval(value) for target, value in pairs}


def machine() -> str:
    """What kind of machine this is: `AMD EPYC, 2 cores`, with its GPU if it has one."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    parts = [model[1] if model else platform.processor() or platform.machine()]
    # of the process: the thread of a report has a share of them
    own = hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(os.getpid()))
    parts.append(f"{own or stages.cores()} cores")
    if shutil.which("nvidia-smi"):
        ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        parts += subprocess.run(ask, capture_output=True, text=True).stdout.splitlines()
    return ", ".join(" ".join(part.split()) for part in parts)
