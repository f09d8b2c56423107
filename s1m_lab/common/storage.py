"""A folder of files, on this disk or in a bucket.

    store = Store("s3://bucket/clips")              # or a path, or what else fsspec knows
    store.publish(path, "train-00000.tar")          # whole or not at all
    store.read("train-00000.tar", start=512, length=9000)

Files on this disk are read and written as such; all else goes through fsspec, which brings the
protocols of its optional packages (`s3fs`, `gcsfs`). A store holds no connection and no open file,
so it may be pickled, forked and shared between threads.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from s1m_lab.common.files import atomic
from s1m_lab.common.paths import is_url


class Store:
    """The files right in `root`, a folder or an address; errors are those of files (`OSError`)."""

    def __init__(self, root: str | Path):
        self.root = str(root).rstrip("/") if is_url(root) else str(root)
        self.local = not is_url(root)

    @property
    def fs(self):
        """The file system of an address; `ImportError` says which package it needs."""
        import fsspec

        return fsspec.core.url_to_fs(self.root)[0]  # kept by fsspec, anew after a fork

    def where(self, name: str) -> str:
        return f"{self.root}/{name}" if not self.local else os.path.join(self.root, name)

    def publish(self, path: Path, name: str) -> None:
        """Make a finished file of this disk (of the store's own, where that is local) `name`."""
        if not self.local:
            self.fs.put_file(str(path), self.where(name))
            return
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(path, self.where(name))

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes of a file from `start` on, or all of it."""
        if not self.local:
            end = None if length is None else start + length
            return self.fs.cat_file(self.where(name), start=start, end=end)
        with open(self.where(name), "rb", buffering=0) as file:
            file.seek(start)
            return file.read(-1 if length is None else length)

    def pieces(self, name: str, starts: Sequence[int], lengths: Sequence[int]) -> list[bytes]:
        """Pieces of a file: from this disk each by itself, from a bucket all in one request."""
        if self.local:
            with open(self.where(name), "rb", buffering=0) as file:
                return [self._piece(file, *piece) for piece in zip(starts, lengths, strict=True)]
        first, end = int(min(starts)), int(max(s + n for s, n in zip(starts, lengths, strict=True)))
        data = self.read(name, first, end - first)
        return [data[s - first : s - first + n] for s, n in zip(starts, lengths, strict=True)]

    @staticmethod
    def _piece(file, start: int, length: int) -> bytes:
        file.seek(int(start))
        return file.read(int(length))

    def write(self, name: str, data: bytes) -> None:
        if not self.local:
            self.fs.pipe_file(self.where(name), data)
            return
        with atomic(Path(self.where(name))) as temporary:
            temporary.write_bytes(data)

    def remove(self, *names: str) -> None:
        """Remove files; one that is not there is no error."""
        for name in names:
            if self.local:
                Path(self.where(name)).unlink(missing_ok=True)
            elif self.fs.exists(self.where(name)):
                self.fs.rm_file(self.where(name))

    def size(self, name: str) -> int | None:
        """Bytes of a file, None where there is none."""
        try:
            if self.local:
                return os.stat(self.where(name)).st_size
            self.fs.invalidate_cache()
            return self.fs.size(self.where(name))
        except FileNotFoundError:
            return None

    def sizes(self) -> dict[str, int]:
        """Bytes of every file that lies right in the folder, by name; those of others' work in
        progress may be missing."""
        if self.local:
            names = os.listdir(self.root) if os.path.isdir(self.root) else ()
            found = {name: self.size(name) for name in names}
            return {name: size for name, size in found.items() if size is not None}
        self.fs.invalidate_cache()
        found = self.fs.find(self.root, maxdepth=1, detail=True).values()
        return {file["name"].rpartition("/")[2]: file["size"] for file in found}

    def clear(self, folder: str) -> None:
        """Remove a folder in the store and all in it, if there is one."""
        if self.local:
            shutil.rmtree(self.where(folder), ignore_errors=True)
        elif self.fs.exists(self.where(folder)):
            self.fs.rm(self.where(folder), recursive=True)
