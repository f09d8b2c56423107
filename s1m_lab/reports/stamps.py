"""What a report was made of and has read, stamped into it, so that one out of date is told.

    made_of = stamps.fingerprint(notebook, parameters, needed=[])
    before = stamps.given(notebook, parameters)        # then it is executed
    stamps.write(executed, made_of, start, before)
    stamps.holds(stamps.read(executed))                # whether all it has read is as it was

A stamp holds a fingerprint of what the report was made from and a digest of what it has read: its
dataset, and every run whose name it shows. A notebook that shows its dataset and then makes its
clips has shown what is no more: it is out of date as it is made, and no longer when it is made
again.
"""

import ast
import functools
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from s1m_lab import __version__
from s1m_lab.common import paths, system
from s1m_lab.common.files import fingerprint
from s1m_lab.data import datasets, shards
from s1m_lab.training import runs

VERSION = 2  # raise it when a stamp says something else
LIBRARY = Path(__file__).parent.parent
# how notebooks name a run: by its folder, in quotes or a cell of a table, at the start of a line
# before a colon, alone on a line, or after a colon
NAMED = re.compile(
    r"""\bruns[/\\]+([\w.-]+) | (?<=["'>])([\w.-]+)(?=["'<])
    | ^([\w.-]+)(?=:[ ]|$) | (?<=:[ ])([\w.-]+)(?=,|$)""",
    re.MULTILINE | re.VERBOSE,
)


def report_fingerprint(notebook: Path, parameters: dict, needed: Sequence[str]) -> str:
    """What a report is made from: the text of the notebook's cells, its parameters, the text of
    those modules of the lab that it imports and that these import, and the fingerprints of the
    reports it needs. Versions of other packages do not count."""
    nb = json.loads(notebook.read_text("utf-8"))
    cells = [[cell["cell_type"], "".join(cell["source"])] for cell in nb["cells"]]
    code = [source for kind, source in cells if kind == "code"]
    made_of = {"cells": cells, "parameters": parameters, "needed": list(needed)}
    return fingerprint(**made_of, library=_library(code), stamp=VERSION)


def _library(sources: list[str]) -> dict[str, str]:
    """A digest of every module of the lab that is imported by `sources`, or by one of these."""
    found, left = {}, {"__init__"}.union(*map(_imports, sources))
    while left:
        name = left.pop()
        text = (LIBRARY / f"{name.replace('.', '/')}.py").read_text("utf-8")
        template = LIBRARY / f"{name.replace('.', '/')}.html"
        drawn = template.read_text("utf-8") if template.is_file() else ""
        found[name] = fingerprint(text=text, template=drawn)
        left |= _imports(text) - found.keys()
    return found


@functools.cache
def _imports(source: str) -> set[str]:
    """The modules of the lab that Python source imports, wherever in it; all, if it cannot tell."""
    paths = [path.relative_to(LIBRARY).with_suffix("") for path in LIBRARY.rglob("*.py")]
    modules, names = {".".join(path.parts) for path in paths}, set()
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic
        return modules
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    if "s1m_lab" in names:  # for whatever it holds
        return modules
    return {name.removeprefix("s1m_lab.") for name in names} & modules


def read(notebook: Path) -> dict:
    """`fingerprint, reads, seconds, runs, date, machine, version, commit` of an executed notebook;
    {} if it has none. `runs` are how many runs it has `shown`, and how many of these were trained
    `before` it was executed, in how many `seconds`."""
    try:
        return json.loads(notebook.read_text("utf-8"))["metadata"].get("s1m_lab", {})
    except (OSError, ValueError, KeyError):
        return {}


def write(notebook: Path, made_of: str, start: float, before: dict[str, str]) -> None:
    """Stamp a notebook that is made of that fingerprint and whose execution began at `start`, when
    what it was `given` was as `before` says; of each line that was written over, the last is kept.
    """
    import nbformat
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

    nb, _ = CoalesceStreamsPreprocessor().preprocess(nbformat.read(notebook, as_version=4), {})
    finished = {path.parent.name: path for path in paths.runs().glob("*/results.json")}
    named = {name: finished[name] for name in sorted(finished.keys() & shown(nb))}
    reads = {what: _digest(what) for what in [*before, *(f"run {name}" for name in named)]}
    kept = {what: was for what, was in before.items() if _has_seen(nb, what)}
    earlier = [file for file in named.values() if file.stat().st_mtime < start]
    trained = sum(json.loads(file.read_text("utf-8")).get("seconds") or 0 for file in earlier)
    nb["metadata"]["s1m_lab"] = {
        "fingerprint": made_of,
        "reads": reads | kept,
        "seconds": round(time.time() - start, 1),
        "runs": {"shown": len(named), "before": len(earlier), "seconds": round(trained, 1)},
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine(),
        "version": __version__,
        "commit": runs.commit(),
    }
    notebook.write_text(nbformat.writes(nb) + "\n", "utf-8")


def given(notebook: Path, parameters: dict) -> dict[str, str]:
    """What a notebook is asked to read, each with its digest of now: `data <name>`, and `runs`
    where it counts all there are."""
    known = defaults(notebook) | parameters
    asked = [f"data {known['data']}"] if known.get("data") else []
    return {what: _digest(what) for what in asked + ["runs"] * (known.get("runs") == "")}


def holds(about: dict) -> bool:
    """Whether all that a report has read, by its stamp, is as it was."""
    return all(_digest(what) == digest for what, digest in about["reads"].items())


def _has_seen(nb: dict, what: str) -> bool:
    """Whether an executed notebook has shown what it was given as it had been before: all runs, or
    a dataset that was changed after a cell had ended with an output."""
    kind, _, name = what.partition(" ")
    changed = max((file.stat().st_mtime for file in _files(name)), default=0.0)
    told = [cell["metadata"]["papermill"] for cell in nb["cells"] if cell.get("outputs")]
    ends = [datetime.fromisoformat(about["end_time"]).timestamp() for about in told]
    return kind == "runs" or min(ends, default=changed) < changed


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


def _digest(what: str) -> str:
    """Changes when that dataset (catalog or clips), that run's results or any run's change."""
    kind, _, name = what.partition(" ")
    if kind == "data":
        return _dataset(name)
    files = sorted(paths.runs().glob(f"{name if kind == 'run' else '*'}/results.json"))
    return fingerprint(**{file.parent.name: _sha256(file) for file in files})


def _dataset(data: str) -> str:
    catalog = paths.dataset(data) / "catalog.parquet"
    if paths.is_path(data) and catalog.is_file():  # it follows what it was made from
        try:
            datasets.listed(data)
        except (OSError, ValueError) as error:  # which the notebook will say
            return f"{type(error).__name__}: {error}"
    files, place = _files(data), paths.dataset(data).parent
    return fingerprint(**{str(file.relative_to(place)): _told(file) for file in files})


def _files(data: str) -> list[Path]:
    """Of a dataset and of its folds the catalog, and the index of the clips, if they are there."""
    place, names = paths.dataset(data), ("catalog.parquet", "clips/index.parquet")
    folders = [place, *sorted(place.parent.glob(f"{glob.escape(place.name)}-fold*"))]
    files = [folder / name for folder in folders for name in names]
    return [file for file in files if file.is_file()]


def _told(file: Path) -> str:
    """What an index of clips is of; of another file its bytes."""
    if file.parent.name == "clips":
        return shards.describe(file.parent)["fingerprint"]
    return _sha256(file)


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
    parts.append(f"{own or system.cores()} cores")
    if shutil.which("nvidia-smi"):
        ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        parts += subprocess.run(ask, capture_output=True, text=True).stdout.splitlines()
    return ", ".join(" ".join(part.split()) for part in parts)
