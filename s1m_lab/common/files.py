"""What every long stage stands on: atomic files, one owner at a time, fingerprints, progress.

A stage (making videos, ingest, training, prediction) is run again at will. It recognises finished
work by a `fingerprint` of its inputs and settings, publishes a file or folder only when it is whole
(`atomic`), lets one process work at a time and takes over from a dead one (`exclusive`), and looks
at the disk before it starts (`require_space`).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
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


def write_array(path: Path, shape: tuple[int, ...], parts: Iterable) -> None:
    """Write a float32 array of `shape` to a `.npy` file, atomically and part by part.

    `parts` are arrays of consecutive rows, so that memory holds one part at a time. Raises OSError
    unless the disk can hold the array.
    """
    import numpy as np

    require_space(path.parent, 4 * prod(shape))
    with atomic(path) as temporary:
        out, done = np.lib.format.open_memmap(temporary, "w+", np.float32, shape), 0
        for part in parts:
            out[done : done + len(part)] = part
            done += len(part)
        out.flush()
        del out  # Windows renames no file that is open
