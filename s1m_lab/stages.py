"""What every long stage stands on: atomic files, one owner at a time, fingerprints, progress.

A stage (making videos, ingest, training, prediction) is run again at will. It recognises finished
work by a `fingerprint` of its inputs and settings, publishes a file or folder only when it is whole
(`atomic`), lets one process work at a time and takes over from a dead one (`exclusive`), and looks
at the disk before it starts (`require_space`).
"""

import builtins
import ctypes
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UMASK = os.umask(0)  # read by setting it, once: it is the process's, not the thread's
os.umask(UMASK)


def fingerprint(**inputs) -> str:
    """16 hex digits that change when any of the JSON-able `inputs` does, on every machine alike."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes it when the block ends well.

    The block may make a file or a folder there. An exception or a kill leaves `path` as it was;
    what a killed process left behind is cleared by the next one that writes the same path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    _remove(temporary)
    try:
        yield temporary
        for file in [temporary, *temporary.rglob("*")]:
            if file.is_file():
                os.chmod(file, 0o666 & ~UMASK)  # safetensors makes files for their owner alone
        if temporary.is_file():
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            _remove(path)  # os.replace cannot put a folder over a folder that is not empty
        os.replace(temporary, path)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process: wait for a live owner (saying so), take over from a dead one.

    The lock is the operating system's, so it ends with its owner, however that ends.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process works in {folder}; waiting for it …", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def require_space(folder: Path, size: float) -> None:
    """Raise `OSError` unless the disk of `folder` can hold `size` bytes more."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            f"{folder} needs {size / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB free; "
            "make room, or set S1M_HOME to a folder on a larger disk"
        )


def cores() -> int:
    """How many cores this process may use: the budget that trainer, loaders and workers share."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bf16(device: str = "cpu") -> bool:
    """Whether bf16 pays on this device: GPUs since Ampere, CPUs whose flags name bf16 products."""
    if device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


def keep_memory() -> None:
    """Tell glibc to keep freed memory instead of returning every large block to the system.

    A training step frees and asks for the same blocks again; returning them costs a third of the
    step. Does nothing on other C libraries.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    for option, value in ((-3, 1 << 30), (-1, 1 << 30), (-2, 64 << 20)):  # mmap, trim, top pad
        mallopt(option, value)


class Progress:
    """One throttled line: `training 120/250 · 48% · 171 clips/s · 0:24 left · loss 1.23`.

    On a terminal the line is rewritten in place. Elsewhere (a log file) a new line is printed, at
    most one every `every` seconds, and always the last; a notebook's end in a carriage return, so
    that JupyterLab and the report keep the last alone, and papermill's log shows each.
    """

    def __init__(self, what: str, total: int, unit: str = "", done: int = 0, every: float = 10.0):
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done, self.first, self.start = done, done, time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.end = "\r" if hasattr(builtins, "__IPYTHON__") else "\n"
        self.width = 0  # of the line that the next covers
        self.printed = self.start if not self.terminal else 0.0

    def update(self, n: int = 1, note: str = "") -> None:
        self.done += n
        now = time.monotonic()
        last = self.done >= self.total
        if not last and now - self.printed < (0.2 if self.terminal else self.every):
            return
        self.printed = now
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        left = 0 if last else (self.total - self.done) / max(rate, 1e-9)
        parts = [f"{self.what} {self.done:,}/{self.total:,} · {self.done / self.total:.0%}"]
        parts.append(f"{rate:,.3g} {self.unit}/s" if rate < 1000 else f"{rate:,.0f} {self.unit}/s")
        spent = clock(now - self.start)
        parts.append(f"took {spent}" if last else f"{clock(left)} left")
        line = " · ".join(parts + ([note] if note else []))
        if self.terminal:
            print(f"\r\x1b[K{line}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            end = "\n" if last else self.end
            print(line.ljust(self.width), end=end, flush=True)
            self.width = len(line) if end == "\r" else 0


def clock(seconds: float) -> str:
    """75 is `1:15`, 7260 is `2:01:00`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
