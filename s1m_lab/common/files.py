"""Atomic files, exclusive folders, fingerprints, checks of disk space.

    with exclusive(folder):                        # one process at a time
        if fingerprint(videos=videos) != before:
            with atomic(folder / "scores.npy") as temporary:
                …

Every long stage (rendering, ingest, training, prediction) is built on these. A stage may be rerun
at will. It recognises finished work by a fingerprint of its inputs and settings, publishes a file
or folder only when it is complete, and takes over from a dead process.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

UMASK = os.umask(0)  # can only be read by setting it; once, since all threads share it
os.umask(UMASK)


def fingerprint(**inputs) -> str:
    """16 hex digits that change with any of the JSON-able `inputs`; the same on every machine."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block succeeds.

    The block may write a file or a folder there. After an exception or a kill, `path` is unchanged.
    Leftovers of a killed process are removed when the same path is written again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    _remove(temporary)
    try:
        yield temporary
        for file in [temporary, *temporary.rglob("*")]:
            if file.is_file():
                os.chmod(file, 0o666 & ~UMASK)  # safetensors writes files only their owner can read
        if temporary.is_file():
            with open(temporary, "rb+") as opened:
                os.fsync(opened.fileno())
        elif path.is_dir():
            _remove(path)  # os.replace cannot replace a folder that is not empty
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
    """Lock `folder` for this process; wait, with a printed line, while another process holds it.

    The lock belongs to the operating system, so it ends with its process, however that ends.
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


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8; what UTF-8 cannot hold becomes `?`."""
    with atomic(path) as temporary:
        temporary.write_text(text, "utf-8", errors="replace", newline="\n")


def write_json(path: Path, value: object, end: str = "", **options) -> None:
    """Write a JSON file atomically; `options` are those of `json.dumps`."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, **options) + end, "utf-8")


def require_space(folder: Path, size: float) -> None:
    """Raise `OSError` unless the disk of `folder` has `size` bytes free."""
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
