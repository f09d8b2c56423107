"""The files of one folder, on this disk or in a bucket.

    store = Store("s3://bucket/clips")                # or a path, or another address of fsspec's
    store.publish(path, "train-00000.tar")            # complete or not at all
    store.read("train-00000.tar", start=512, length=9000)
    list_files("s3://bucket/videos")                  # all files below a folder or an address

Files on this disk are read and written directly. Others go through fsspec, whose optional packages
bring the protocols (`s3fs`, `gcsfs`).
"""

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from s1m_lab.common.files import atomic, move, set_aside
from s1m_lab.common.paths import is_url

if TYPE_CHECKING:
    import numpy as np

# Hidden names, and what Windows, macOS, Linux, NAS boxes and Python leave in folders
JUNK = re.compile(
    r"\..*|\$recycle\.bin|\$extend|recycler|system volume information|found\.\d{3}|thumbs\.db"
    r"|desktop\.ini|__macosx|__pycache__|network trash folder|temporary items|lost\+found"
    r"|@eadir|@recycle|@recently-snapshot|@synoresource|@tmp|#recycle|#snapshot|~snapshot"
    r"|lost\.dir|recycled|config\.msi|\$winreagent|_gsdata_|@sharebin",
    re.IGNORECASE,
)


class Store:
    """The files directly in `root`, a folder or an address; errors are `OSError`.

    A store holds no connection and no open file, so it may be pickled, forked and shared.
    """

    def __init__(self, root: str | Path):
        self.root = str(root).rstrip("/") if is_url(root) else str(root)
        self.local = not is_url(root)

    @property
    def fs(self):
        """The file system of an address; `ImportError` names the package that is missing."""
        import fsspec

        return fsspec.core.url_to_fs(self.root)[0]  # cached by fsspec, per process

    def path_of(self, name: str) -> str:
        """The path or address of a file."""
        return f"{self.root}/{name}" if not self.local else os.path.join(self.root, name)

    def publish(self, path: Path, name: str, record: bool = False) -> None:
        """Move a finished file to `name`; a local store takes files of its own disk only.

        A local store may `record` its digest.
        """
        if self.local:
            move(path, Path(self.path_of(name)), record)
        else:
            self.fs.put_file(str(path), self.path_of(name))

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes of a file from `start` on; by default all of them."""
        if not self.local:
            end = None if length is None else start + length
            return self.fs.cat_file(self.path_of(name), start=start, end=end)
        with open(self.path_of(name), "rb", buffering=0) as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def read_parts(
        self, name: str, starts: "Sequence[int] | np.ndarray", lengths: "Sequence[int] | np.ndarray"
    ) -> list[bytes]:
        """Parts of a file: one read each from this disk, one request for all from a bucket."""
        if self.local:
            parts = []
            with open(self.path_of(name), "rb", buffering=0) as file:
                for start, length in zip(starts, lengths, strict=True):
                    file.seek(int(start))
                    parts.append(file.read(int(length)))
            return parts
        first, end = int(min(starts)), int(max(s + n for s, n in zip(starts, lengths, strict=True)))
        data = self.read(name, first, end - first)
        return [data[s - first : s - first + n] for s, n in zip(starts, lengths, strict=True)]

    def write(self, name: str, data: bytes) -> None:
        """Write a small file atomically."""
        if not self.local:
            self.fs.pipe_file(self.path_of(name), data)
            return
        with atomic(Path(self.path_of(name))) as temporary:
            temporary.write_bytes(data)

    def set_aside(self, name: str) -> bool:
        """Rename a damaged file to `<name>.damaged`; False if it cannot be."""
        if self.local:
            return set_aside(Path(self.path_of(name)))
        try:
            self.fs.mv(self.path_of(name), self.path_of(f"{name}.damaged"))
        except Exception:  # every protocol has errors of its own; a bucket may be read alone
            return False
        return True

    def remove(self, *names: str) -> None:
        """Remove files or whole folders; a missing one is no error."""
        for path in map(self.path_of, names):
            if not self.local:
                if self.fs.exists(path):
                    self.fs.rm(path, recursive=True)
            elif os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                Path(path).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Bytes of every file directly in the folder, by name.

        Files that another process is writing may be missing.
        """
        if self.local:
            names = os.listdir(self.root) if os.path.isdir(self.root) else ()
            found = {}
            for name in names:
                with suppress(FileNotFoundError):
                    found[name] = os.stat(self.path_of(name)).st_size
            return found
        try:
            self.fs.invalidate_cache()
            files = self.fs.find(self.root, maxdepth=1, detail=True).values()
        except (OSError, ImportError):
            raise
        except Exception as error:  # every protocol has errors of its own
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise OSError(f"{self.root} cannot be reached ({why})") from None
        return {file["name"].rpartition("/")[2]: file["size"] for file in files}


def list_files(root: str) -> dict[str, list]:
    """All files below a folder or an address: relative name → state.

    The state of a file in a bucket is its size and tag or date, which change with its content. For
    a file of this disk it is `[]`, since reading it takes time. Links to folders are followed once.
    Names that end in a slash are folders: junk, empty, or a link to a folder listed before.

    Raises OSError for a folder that cannot be read: its videos are not gone.
    """
    if is_url(root):
        import fsspec

        fs, top = fsspec.core.url_to_fs(root)
        fs.invalidate_cache()
        found = fs.find(top, detail=True)
        return {name[len(top) :].lstrip("/"): _state(about) for name, about in found.items()}
    names: dict[str, list] = {}
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, onerror=_raise, followlinks=True):
        inner = os.path.relpath(folder, root).replace(os.sep, "/")
        start = "" if inner == "." else f"{inner}/"
        if os.path.realpath(folder) in seen or not (folders or files):
            folders[:], files = [], [""] if start else []
        seen.add(os.path.realpath(folder))
        files += [f"{name}/" for name in folders if JUNK.fullmatch(name)]
        links = {name: os.path.islink(os.path.join(folder, name)) for name in folders}
        kept = (name for name in folders if not JUNK.fullmatch(name))
        folders[:] = sorted(kept, key=lambda name: (links[name], name))  # a target before its link
        names |= {start + name: [] for name in files}
    return names


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _state(about: dict) -> list:
    tags = "ETag etag md5Hash content_md5 LastModified last_modified mtime updated created".split()
    return [about.get("size"), next((str(about[tag]) for tag in tags if about.get(tag)), "")]
