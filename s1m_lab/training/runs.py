"""Runs: make, find and load the folder of a training.

    run = load_run("pocket-slow-s0-4fef3e43")
    run.results["video_hit1"], run.metrics, load_network(run)

A run is a folder `runs/<name>/`: `config.json` (its settings, and the facts of its machine),
`metrics.csv`, `model.safetensors` (the best validation epoch, with all that is needed to use it),
`checkpoint/` (the last two), `filters/` (the first layer during training), `labels.txt`,
`predictions/`, `events/` (for TensorBoard) and `results.json`, with which it is finished.
"""

import difflib
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from s1m_lab import __version__
from s1m_lab.common import paths
from s1m_lab.common.files import (
    Damaged,
    append_text,
    atomic,
    digests,
    file_digest,
    fingerprint,
    forget,
    is_sound,
    naming_full_disk,
    reading,
    write_json,
    write_text,
)

JSON: dict = {"end": "\n", "indent": 2, "ensure_ascii": False}  # how a run's JSON is written


@dataclass(frozen=True)
class Run:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def config(self) -> dict:
        """`settings` decide the weights and the name; `machine` was resolved when the run began."""
        path = self.path / "config.json"
        with reading(path, self.restored):
            config = json.loads(path.read_text("utf-8"))
            return config | {"settings": dict(config["settings"])}

    def command(self) -> str:
        """The command that trains this run: the options that differ from the defaults.

        For a tuned run and for histograms, the notebook that does; without sound settings, here or
        in a checkpoint, words for it.
        """
        from s1m_lab.training.config import unlike_defaults  # which imports this module

        for folder in (self.path, *_checkpoints(self)):
            path = folder / "config.json"
            with suppress(OSError), reading(path, "the next copy is read"):
                config = json.loads(path.read_bytes())
                settings, ranks = config["settings"], config["machine"].get("ranks", 1)
                if "tune" in settings or "words" in settings:
                    notebook = "06_ucf101" if "tune" in settings else "08_histograms"
                    return f"notebooks/{notebook}.ipynb, with the parameters of {self.name}"
                words = ["python -m s1m_lab train"]
                if ranks > 1:
                    words = [f"torchrun --nproc-per-node {ranks} -m s1m_lab -- train"]
                for name, value in unlike_defaults(settings).items():
                    value = "" if value is True else f" {shlex.quote(str(value))}"
                    words.append(f"--{name.replace('_', '-')}{value}")
                return " ".join(words)
        return f"the command of run {self.name}"

    def restored(self) -> str:
        """What to do if `config.json` is lost: each checkpoint has a copy."""
        return self.again() if _checkpoints(self) else self.anew()

    def anew(self) -> str:
        """What to do where something is lost that only another training can make."""
        return (
            f"it cannot be made again: to train anew, move {self.path} away and repeat "
            f"{self.command()}"
        )

    def again(self) -> str:
        """What to do where something is lost that the run can make again."""
        return f"to make it again, repeat {self.command()}"

    @property
    def finished(self) -> bool:
        return (self.path / "results.json").is_file()

    @property
    def results(self) -> dict:
        if not self.finished:
            raise FileNotFoundError(
                f"run {self.name!r} has no results; to resume it, repeat {self.command()}"
            )
        path = self.path / "results.json"
        with reading(path, self.again, aside=True):
            results = json.loads(path.read_text("utf-8"))
            about = {key: results[key] for key in ("model", "data")}
            return results | about | {"video_hit1": float(results["video_hit1"])}

    @property
    def metrics(self):
        """A row every few steps: step, epoch, lr, loss, val_loss, val_hit1, seconds, …"""
        import pandas as pd

        path = self.path / "metrics.csv"
        with reading(path, self.anew):
            return pd.read_csv(path)

    @property
    def labels(self) -> list[str]:
        path = self.path / "labels.txt"
        with reading(path, self.again, aside=True):
            return path.read_text("utf-8").splitlines()


def load_run(run: str | Path) -> Run:
    """The run of that name in `runs/`, or in that folder."""
    path = paths.runs() / str(run)
    if not path.is_dir() and paths.is_path(str(run)):
        path = Path(run)
    if (path / "model.safetensors").is_file() and not (path / "config.json").is_file():
        raise FileNotFoundError(f"{path}/config.json is missing; {Run(path).restored()}")
    if not (path / "config.json").is_file():
        make = f"; to make one: papermill notebooks/03_train.ipynb out.ipynb -p run {run}"
        raise FileNotFoundError(
            f"no run named {str(run)!r} in {paths.runs()}{_nearest(Path(run).name) or make}"
        )
    return Run(path)


def _nearest(name: str) -> str:
    """The runs with names nearest to this one, up to ten, and how many more there are."""
    known = sorted(file.parent.name for file in paths.runs().glob("*/config.json"))
    if not known:
        return ""
    near = sorted((other for other in known if name.lower() in other.lower()), key=len)
    near += difflib.get_close_matches(name, known)
    mean = f"; did you mean {near[0]!r}?" if near else ""
    first = list(dict.fromkeys([*near, *known]))[:10]
    more = f" and {len(known) - 10:,} more" if len(known) > 10 else ""
    return f"{mean}; there are: {', '.join(first)}{more}"


def begin(name: str, settings: dict, machine: dict, labels: list[str]) -> Run:
    """Make the run, or return the one of that name if its settings are the same.

    Otherwise raises ValueError, which lists the differences. An existing run keeps its `machine`.
    A new one also records the lab's version and commit.
    """
    run = Run(paths.runs() / name)
    _set_damaged_aside(run)
    if not (run.path / "labels.txt").is_file():
        text = "".join(f"{label}\n" for label in labels)
        write_text(run.path / "labels.txt", text, record=True)
    if not (run.path / "config.json").is_file():
        machine = machine | {"version": __version__, "commit": commit()}
        config = {"settings": settings, "machine": machine}
        write_json(run.path / "config.json", config, **JSON)
        return run
    found = run.config["settings"]
    differences = [
        f"{key}: {found.get(key)!r} in the run, {settings.get(key)!r} now"
        for key in sorted(found.keys() | settings.keys())
        if found.get(key) != settings.get(key)
    ]
    if differences:
        raise ValueError(
            f"run {name!r} exists with other settings; choose another name or remove {run.path}. "
            + "; ".join(differences)
        )
    return run


def _set_damaged_aside(run: Run) -> None:
    """Set damaged files of a run aside, so that this training makes them again.

    Without predictions a run is not finished. The settings stand in the checkpoints too, in case
    they are damaged or missing. Raises Damaged where they are lost and the run has weights, since
    these may be of other settings.
    """
    is_sound(run.path / "labels.txt")
    kinds = (".npy", ".parquet")
    files = {file for file in run.path.glob("predictions/*") if file.suffix in kinds}
    files |= {run.path / "predictions" / f"test{kind}" for kind in kinds}
    kept = [is_sound(file) for file in sorted(files)]
    if is_sound(run.path / "results.json") and not all(kept):
        print(f"run {run.name} lacks predictions: it is scored again", flush=True)
        (run.path / "results.json").unlink()
    if run.finished:
        try:
            weights_digest(run)
        except (FileNotFoundError, Damaged) as error:
            print(error, flush=True)
    path = run.path / "config.json"
    with suppress(FileNotFoundError, Damaged):  # a new run, or one that lost it
        run.config  # noqa: B018
        return
    for folder in _checkpoints(run):
        if is_sound(folder / path.name):
            write_json(path, json.loads((folder / path.name).read_text("utf-8")), **JSON)
            print(f"{path} was damaged or missing; it is restored from {folder}", flush=True)
            return
    if (run.path / "model.safetensors").is_file():
        raise Damaged(f"{path} is damaged or missing; {run.anew()}")
    path.unlink(missing_ok=True)


def default_name(settings: dict) -> str:
    """The name `<data>-<model>-s<seed>-<8 hex of the settings>`, starting with a letter.

    A tuned run is named `<data>-<model>-<tune>-s<seed>-…`.
    """
    digest, tuned = fingerprint(**settings)[:8], settings.get("tune", "")
    what = "-".join(filter(None, (Path(settings["data"]).name, settings["model"], tuned)))
    name = f"{what}-s{settings['seed']}-{digest}"
    name = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)
    return name if name[0].isalpha() else f"data-{name}"


def check_name(name: str) -> str:
    """Return a good name of a run; raises ValueError for a bad one.

    It starts with a letter, since papermill turns `-p run 0012` into the number 12.
    """
    if not (name[:1].isalpha() and all(c.isalnum() or c in "-_." for c in name)):
        raise ValueError(
            f"run {name!r}: a run's name starts with a letter and holds letters, digits, '-', '_' "
            "and '.' alone"
        )
    return name


class Log:
    """A growing `metrics.csv`; that of a resumed run begins with the rows of its checkpoint."""

    def __init__(self, run: Run, columns: tuple[str, ...], step: int):
        self.path = run.path / "metrics.csv"
        kept, rows = _checkpoint(run, step) / self.path.name, (",".join(columns) + "\n").encode()
        there = self.path.read_bytes() if self.path.is_file() else b""
        forget(self.path)
        if kept.is_file():
            rows = kept.read_bytes()
            if not there.startswith(rows):
                print(f"{self.path} was damaged or missing; its rows are those of the checkpoint")
        else:  # a new run, or an older one, whose checkpoints have no rows
            for line in there[: there.rfind(b"\n") + 1].splitlines(keepends=True):
                first = line.partition(b",")[0]
                rows += line if first.isdigit() and int(first) <= step else b""
        with atomic(self.path) as temporary:
            temporary.write_bytes(rows)

    def add(self, *values: float | None) -> None:
        """One row, in the order of the columns; None leaves a cell empty."""
        append_text(self.path, ",".join("" if v is None else repr(v) for v in values) + "\n")


def open_events(run: Run, step: int):
    """A writer of `events/`, which TensorBoard shows; None where `tensorboard` is not installed.

    A resumed run drops the events past its checkpoint.
    """
    if not importlib.util.find_spec("tensorboard"):
        return None
    from torch.utils.tensorboard import SummaryWriter

    with writing_events(run):
        return SummaryWriter(run.path / "events", purge_step=step + 1, flush_secs=10)


def writing_events(run: Run):
    """A context that turns the error of a full disk into DiskFull."""
    return naming_full_disk(run.path / "events", run.path / "events")


def save_checkpoint(run: Run, state: dict, **tensors: dict) -> None:
    """Write `checkpoint/<state["step"]>` atomically, and keep the one before it.

    Each of `tensors` is a dict of name → tensor and becomes one file. `config.json` and
    `metrics.csv` are copied too.
    """
    target = _checkpoint(run, state["step"])
    with atomic(target, record=True, size=sum(map(_bytes, tensors.values()))) as folder:
        folder.mkdir()
        for name, group in tensors.items():
            _save_tensors(folder / f"{name}.safetensors", group)
        (folder / "state.json").write_text(json.dumps(state), "utf-8")
        (folder / "config.json").write_text(json.dumps(run.config), "utf-8")
        if (log := run.path / "metrics.csv").is_file():
            shutil.copyfile(log, folder / log.name)
    for old in _checkpoints(run)[2:]:
        shutil.rmtree(old)


def load_checkpoint(run: Run) -> tuple[dict, dict[str, dict]]:
    """The state and tensors of the newest checkpoint that can be read; ({}, {}) without one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for folder in _checkpoints(run):
        try:
            for name in {"state.json", *digests(folder)}:
                with reading(folder / name, "it is passed over"):
                    pass
            state = json.loads((folder / "state.json").read_text("utf-8"))
            return state, {file.stem: load_file(file) for file in folder.glob("*.safetensors")}
        except (OSError, ValueError, SafetensorError) as error:
            print(f"checkpoint {folder} cannot be read ({error}); trying the one before it")
    if any(_checkpoints(run)):
        print(f"no checkpoint of run {run.name} can be read: the training begins anew", flush=True)
    return {}, {}


def _checkpoint(run: Run, step: int) -> Path:
    return run.path / "checkpoint" / f"{step:08d}"


def _checkpoints(run: Run) -> list[Path]:
    """Newest first."""
    return sorted((run.path / "checkpoint").glob("[0-9]*"), reverse=True)


def save_weights(path: Path, weights: dict, about: dict | None = None) -> None:
    """Write tensors by name, atomically, with a dict of all that is needed to use them."""
    with atomic(path, record=True, size=_bytes(weights)) as temporary:
        _save_tensors(temporary, weights, about)


def _bytes(tensors: dict) -> int:
    return sum(value.numel() * value.element_size() for value in tensors.values())


def _save_tensors(path: Path, tensors: dict, about: dict | None = None) -> None:
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(tensors, path, about and {"s1m_lab": json.dumps(about, ensure_ascii=False)})


def save_network(path: Path, net, labels: list[str], numbers: dict) -> None:
    """Write a network's weights with its architecture, preprocessing, labels and numbers."""
    about = {
        "model": net.name,
        "classes": net.classes,
        "width": net.width,
        "size": net.size,
        "mean": 117.0,
        "labels": labels,
        "numbers": numbers,
    }
    save_weights(path, net.state_dict(), about)


def load_network(run: Run):
    """The network of the best validation epoch, on the CPU; errors are those of `network_facts`.

    Weights of other shapes than the network's are refused before it takes memory.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from s1m_lab.training import networks

    about, path = network_facts(run), run.path / "model.safetensors"
    with reading(path, run.anew):  # its digest alone
        pass
    facts = [about[key] for key in ("model", "classes", "width", "size")]
    try:
        weights = load_file(path)
        with torch.device("meta"):  # has shapes alone
            networks.build(*facts).load_state_dict(weights, assign=True)
        net = networks.build(*facts)
        net.load_state_dict(weights)
    except (ValueError, RuntimeError, SafetensorError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} has another network's weights ({why}); {run.anew()}") from None
    return net.eval()


def network_facts(run: Run) -> dict:
    """The facts that `save_network` wrote: `model`, `classes`, `width`, `size`, …

    Raises ValueError for a run without a network, since the histogram baseline sees no frames, and
    for facts of no network.
    """
    from safetensors import SafetensorError, safe_open

    from s1m_lab.training import networks

    model = run.config["settings"].get("model")
    if model not in networks.names():
        what = f"is of {model}, a network that this code does not have"
        if model == "histograms":
            what = "classifies histograms of hand-made features"
        raise ValueError(
            f"run {run.name!r} {what}; it has no network that classifies frames. Name a run that "
            "has one: papermill notebooks/03_train.ipynb out.ipynb"
        )
    path = run.path / "model.safetensors"
    if not path.is_file():
        if run.finished:
            raise FileNotFoundError(f"the weights {path} are missing; {run.anew()}")
        raise FileNotFoundError(
            f"run {run.name!r} has not finished an epoch; repeat {run.command()}"
        )
    try:
        with safe_open(path, "pt") as file:
            about = dict(json.loads(file.metadata()["s1m_lab"]))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise ValueError(f"{path} holds no network of this lab ({why}); {run.anew()}") from None
    for name, kind, most in (
        ("classes", int, 32_768),
        ("width", int | float, 16),
        ("size", int, 1024),
    ):
        if not isinstance(n := about.get(name), kind) or not 0 < n <= most:
            raise ValueError(f"{path} is of no network: its {name} is {n!r:.100}; {run.anew()}")
    if about.get("model") != model:
        raise ValueError(f"{path} is of another model, {about.get('model')!r:.100}; {run.anew()}")
    for labels, place in ((about.get("labels"), path), (run.labels, run.path / "labels.txt")):
        if not isinstance(labels, list) or len(labels) != about["classes"]:
            raise ValueError(f"{place} does not name {about['classes']:,} classes; {run.anew()}")
    return about


def weights_digest(run: Run) -> str:
    """A digest that identifies the weights of a run."""
    path = run.path / "model.safetensors"
    with reading(path, run.anew):
        return file_digest(path)


def load_all_but_last_layer(net, start: Run) -> None:
    """Load the weights and the scale of a run's network into `net`, except the last layer."""
    weights = load_network(start).state_dict()
    old = {key: value for key, value in weights.items() if not key.startswith("fc8.")}
    missing, unknown = net.load_state_dict(old, strict=False)
    assert not unknown and {key.partition(".")[0] for key in missing} == {"fc8"}


def commit() -> str:
    """The commit of this code, with `+` if files have changed; empty outside a repository."""
    if not (paths.REPOSITORY / ".git").exists():
        return ""
    git = ["git", "-C", str(paths.REPOSITORY), "describe"]
    git += ["--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.check_output(
            git, stderr=subprocess.DEVNULL, text=True, timeout=10
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def finished_runs() -> list[Run]:
    """All finished runs that can be read, by name; prints a line for each of the others."""
    found = []
    for file in sorted(paths.runs().glob("*/results.json")):
        run = Run(file.parent)
        try:
            run.config, run.results  # noqa: B018
            found.append(run)
        except OSError as error:
            _print_once(f"run {run.name} is left out: {error}")
    return found


@lru_cache
def _print_once(line: str) -> None:
    print(line, flush=True)
