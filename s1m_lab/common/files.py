"""Atomic files with digests, exclusive folders, fingerprints, checks of disk space.

    with exclusive(folder):                        # one process at a time
        if fingerprint(videos=videos) != before:
            with atomic(folder / "scores.npy", record=True) as temporary:
                …
    with reading(folder / "scores.npy", "repeat the command"):
        …                                          # raises Damaged if its bytes have changed

Every long stage (rendering, ingest, training, prediction) is built on these. A stage may be rerun
at will. It recognises finished work by a fingerprint of its inputs and settings, publishes a file
or folder only when it is complete, and takes over from a dead process.

A folder's `.sha256` lists the digests of its files: a line is the digest, the name, and a checksum
of both. The line of a file is added before the file is replaced, so either one is sound. A file
without a line is checked for its form alone.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from math import prod
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

DIGESTS = ".sha256"
CHANGED = "its bytes are not those that were written"
FULL = (errno.ENOSPC, errno.EDQUOT)
MORE_ROOM = (
    "make room, or use a larger disk: S1M_HOME moves everything, ingest --output the shards, "
    "predict --out the CSV"
)
UMASK = os.umask(0)  # can only be read by setting it; once, since all threads share it
os.umask(UMASK)


class Damaged(OSError):
    """A file that does not hold what was written to it; the message says what to do."""


class DiskFull(OSError):
    """A disk without room for a file; the message says which, and how much is missing."""


def fingerprint(**inputs) -> str:
    """16 hex digits that change with any of the JSON-able `inputs`; the same on every machine."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# -------------------------------------------------------------------------------------- writing


@contextmanager
def atomic(path: Path, record: bool = False, size: float = 0) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which replaces `path` when the block succeeds.

    The block may write a file or a folder there. After an exception or a kill, `path` is unchanged.
    Leftovers of a killed process are removed when the same path is written again.

    Args:
        record: note the digest of the file, or of all files of the folder.
        size: bytes that will be written, if known.

    Raises DiskFull where there is no room for it.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with naming_full_disk(path, temporary, size):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove(temporary)
            yield temporary
            for file in [temporary, *temporary.rglob("*")]:
                if file.is_file():
                    os.chmod(file, 0o666 & ~UMASK)  # safetensors writes them for their owner alone
            move(temporary, path, record)
    finally:
        _remove(temporary)


@contextmanager
def naming_full_disk(path: Path, written: Path, size: float = 0) -> Iterator[None]:
    """Turn the error of a full disk into DiskFull, which names `path`.

    `written` is the file, or the folder of files, that holds what found room; `size` are the bytes
    that were to be written, if known.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFull) or not is_full(error):
            raise
        raise DiskFull(_describe_full(path, written, size)) from None


def move(temporary: Path, path: Path, record: bool = False) -> None:
    """Move a finished file or folder to `path`, on the same disk; `record` as for `atomic`."""
    if temporary.is_dir():
        for file in [file for file in temporary.rglob("*") if file.is_file()]:
            _sync(file)
            if record:
                _note(file.parent, file.name, file_digest(file))
        if path.is_dir():
            _remove(path)  # os.replace cannot replace a folder that is not empty
    elif record:
        _note(path.parent, path.name, file_digest(temporary))
    _sync(temporary)
    os.replace(temporary, path)
    path.with_name(f"{path.name}.damaged").unlink(missing_ok=True)  # it is made again
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file, or the list of a folder's files, is on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_full(error: BaseException | None) -> bool:
    """Whether an error says that the disk is full; safetensors raises one of its own."""
    is_known = isinstance(error, DiskFull) or getattr(error, "errno", None) in FULL
    return is_known or "os error 28" in str(error)


def _describe_full(path: Path, written: Path, size: float) -> str:
    """What to say of a disk that became full while `path` was written."""
    files = [file for file in [written, *written.rglob("*")] if file.is_file()]
    done = sum(file.stat().st_size for file in files)
    lacks = f"{amount(size - done)} are missing" if size > done else "the rest is missing"
    return (
        f"the disk is full: {path} cannot be written, {amount(done)} of it found room and {lacks}; "
        f"{MORE_ROOM}; then repeat the command"
    )


def amount(size: float) -> str:
    """Bytes as text: `3.1 MB`."""
    for unit, bytes in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes:
            return f"{size / bytes:,.1f} {unit}"
    return f"{size:.0f} bytes"


def write_text(path: Path, text: str, record: bool = False) -> None:
    """Write a text file atomically, in UTF-8; what UTF-8 cannot hold becomes `?`."""
    with atomic(path, record) as temporary:
        temporary.write_text(text, "utf-8", errors="replace", newline="\n")


def append_text(path: Path, text: str) -> None:
    """Add to the end of a text file; raises DiskFull where there is no room."""
    with naming_full_disk(path, path), open(path, "a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_json(path: Path, value: object, end: str = "", record: bool = True, **options) -> None:
    """Write a JSON file atomically; `options` are those of `json.dumps`."""
    with atomic(path, record) as temporary:
        temporary.write_text(json.dumps(value, **options) + end, "utf-8")


def write_array(path: Path, shape: tuple[int, ...], parts: Iterable) -> None:
    """Write a float32 array of `shape` to a `.npy` file, atomically and part by part.

    `parts` are arrays of consecutive rows, so that memory holds one part at a time. Raises DiskFull
    unless the disk can hold the array, and ValueError where the parts have another shape.
    """
    import numpy as np

    require_space(path.parent, 4 * prod(shape))
    with atomic(path, record=True, size=4 * prod(shape)) as temporary:
        # Not by a mapped file: on a full disk, writing to that kills the process.
        with open(temporary, "wb") as file:
            about = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, about)
            start = file.tell()
            for part in parts:
                file.write(np.ascontiguousarray(part, "<f4").data)
            if file.tell() - start != 4 * prod(shape):
                raise ValueError(f"the parts of {path} are not of the shape {shape}")


def require_space(folder: Path, size: float) -> None:
    """Raise DiskFull unless the disk of `folder` has `size` bytes free."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DiskFull(
            f"{folder} needs {amount(size)} and its disk has {amount(free)} free, so that "
            f"{amount(size - free)} are missing; {MORE_ROOM}"
        )


# ------------------------------------------------------------------------- reading, with digests


@contextmanager
def reading(path: Path, mend: str | Callable[[], str], aside: bool = False) -> Iterator[None]:
    """Check the digest of a file, and turn every error of the block, which reads it, into Damaged.

    Args:
        mend: what the user can do: the end of the error's sentence, or what returns it.
        aside: rename a damaged file to `<name>.damaged`, so that it is made again.

    Raises FileNotFoundError for a missing file, and Damaged.
    """
    try:
        why = "" if has_its_digest(path) else CHANGED
        if not why:
            yield
            return
    except FileNotFoundError:
        if path.exists():
            raise
        raise FileNotFoundError(f"{path} is missing; {_call(mend)}") from None
    except (PermissionError, MemoryError, Damaged):
        raise
    except Exception as error:  # every format has errors of its own
        why = " ".join(f"{type(error).__name__}: {error}".split())[:150]
    kept = f"it is kept as {path.name}.damaged; " if aside and set_aside(path) else ""
    raise Damaged(f"{path} is damaged ({why}); {kept}{_call(mend)}")


def _call(text: str | Callable[[], str]) -> str:
    return text if isinstance(text, str) else text()


def sound(read: Callable, *args: Any) -> Any:
    """What `read(*args)` gives; None for a missing file, and for a damaged one, which is named."""
    try:
        return read(*args)
    except FileNotFoundError:
        return None
    except Damaged as error:
        print(error, flush=True)
        return None


def set_aside(path: Path) -> bool:
    """Rename a damaged file to `<name>.damaged`, so that it is made again; False if it fails."""
    try:
        os.replace(path, path.with_name(f"{path.name}.damaged"))
    except OSError:  # a folder that cannot be written, or another process was faster
        return False
    return True


def is_sound(path: Path, mend: str = "it is made again") -> bool:
    """Whether a file is there and has its digest; a damaged one is named and set aside."""

    def look() -> bool:
        with reading(path, mend, aside=True):
            return True

    return bool(sound(look))


def has_its_digest(path: Path, again: bool = False) -> bool:
    """Whether a file has a digest of the folder's list, or no digest is known of it.

    Every state of a file (size, date) is read once in a process, unless `again`.
    """
    about = path.stat()
    state = (path, about.st_size, about.st_mtime_ns, about.st_ino)
    if again or state not in _sound:
        if known := digests(path.parent).get(path.name):
            digest = file_digest(path)  # another process may have replaced the file since
            if digest not in known and digest not in digests(path.parent).get(path.name, ()):
                return False
        _sound.add(state)
    return True


_sound: set[tuple] = set()


def digests(folder: Path) -> dict[str, set[str]]:
    """The digests in the list of a folder, by name of the file."""
    path = folder / DIGESTS
    try:
        about = path.stat()
    except OSError:
        return {}
    return _digests(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _digests(path: Path, size: int, date: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in path.read_bytes().splitlines():
        if match := _LINE.fullmatch(line):
            digest, name = match[2].decode(), os.fsdecode(match[3])
            if zlib.crc32(match[1]) == int(match[4], 16):
                found[name] = found.get(name, set()) | {digest} if digest != UNKNOWN else set()
    return found


UNKNOWN = "-"  # forgets the digests before it
_LINE = re.compile(rb"(([0-9a-f]{64}|-)  (.+))  ([0-9a-f]{8})", re.DOTALL)


def record(path: Path) -> None:
    """Note the digest of a file that was written in parts and is complete now."""
    _note(path.parent, path.name, file_digest(path))


def forget(path: Path) -> None:
    """Drop the digests of a file that will grow."""
    if path.name in digests(path.parent):
        _note(path.parent, path.name, UNKNOWN)


def _note(folder: Path, name: str, digest: str) -> None:
    """Add a line to the list of a folder: one write, so that processes may add theirs at once."""
    line = f"{digest}  ".encode() + os.fsencode(name)
    line += f"  {zlib.crc32(line):08x}\n".encode()
    opened = os.open(folder / DIGESTS, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        if (size := os.fstat(opened).st_size) and os.lseek(opened, size - 1, os.SEEK_SET) >= 0:
            line = line if os.read(opened, 1) == b"\n" else b"\n" + line  # after half a line
        if os.write(opened, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / DIGESTS))
        os.fsync(opened)
    finally:
        os.close(opened)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(folder: Path, below: bool = True) -> Iterator[tuple[Path, str]]:
    """Files in a folder, and `below`, that are not what was written, with what is wrong; reads all
    that have a digest. A list with a damaged line counts, and a file that was set aside earlier."""
    unreadable: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = folders if below else []
        yield from ((Path(place, name), "set aside") for name in names if name.endswith(".damaged"))
        if DIGESTS not in names:
            continue
        path = Path(place, DIGESTS)
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            match = _LINE.fullmatch(line)
            if not match or zlib.crc32(match[1]) != int(match[4], 16):
                yield path, f"its line {number} cannot be read"
        for name, known in digests(path.parent).items():
            try:
                file = path.with_name(name)
                if known and file.is_file() and not has_its_digest(file, again=True):
                    yield file, CHANGED
            except OSError as error:
                unreadable.append(error)
    yield from ((Path(error.filename or folder), str(error.strerror)) for error in unreadable)


# ------------------------------------------------------------------------- folders of one process


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock `folder` for this process; wait, with a printed line, while another process holds it.

    The lock belongs to the operating system, so it ends with its process, however that ends. A
    folder that cannot be written needs no lock.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process works in {folder}; waiting for it …", flush=True)
        lock.acquire()
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM) or not folder.is_dir():
            raise
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for temporary files, removed with the block.

    Those of processes that were killed are removed by the next call.
    """
    from filelock import FileLock, Timeout

    for old in Path(gettempdir()).glob("s1m-*"):
        with suppress(OSError, Timeout):
            about, own = old.lstat(), getattr(os, "getuid", int)()
            if (
                stat.S_ISDIR(about.st_mode)
                and about.st_uid == own
                and about.st_mtime < time.time() - 60
            ):
                with FileLock(old / ".lock", timeout=0):
                    shutil.rmtree(old, ignore_errors=True)
    folder = Path(mkdtemp(prefix="s1m-"))
    try:
        with FileLock(folder / ".lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
