"""A folder of files, on this disk or in a bucket.

    store = Store("s3://bucket/clips")              # or a path, or what else fsspec knows
    with store.put("train-00000.tar") as path: ...  # what is written there is published when whole
    store.read("train-00000.tar", start=512, length=9000)

Files on this disk are read and written as such; all else goes through fsspec, which brings the
protocols of its optional packages (`s3fs`, `gcsfs`). A store holds no connection and no open file,
so it may be pickled, forked and shared between threads.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from s1m_lab import stages
from s1m_lab.paths import is_url


class Store:
    def __init__(self, root: str | Path):
        self.root = str(root).rstrip("/") if is_url(root) else str(root)
        self.local = not is_url(root)

    @property
    def fs(self):
        import fsspec

        return fsspec.core.url_to_fs(self.root)[0]  # kept by fsspec, anew after a fork

    def where(self, name: str) -> str:
        return f"{self.root}/{name}" if not self.local else os.path.join(self.root, name)

    @contextmanager
    def put(self, name: str) -> Iterator[Path]:
        """A path to write a file to; it becomes `name`, whole or not at all."""
        if self.local:
            with stages.atomic(Path(self.where(name))) as temporary:
                yield temporary
            return
        with tempfile.TemporaryDirectory(prefix="s1m-") as folder:
            temporary = Path(folder, "file")
            yield temporary
            self.fs.put_file(str(temporary), self.where(name))

    @contextmanager
    def here(self, name: str) -> Iterator[Path]:
        """A path on this disk where `name` can be read."""
        if self.local:
            yield Path(self.where(name))
            return
        with tempfile.TemporaryDirectory(prefix="s1m-") as folder:
            self.fs.get_file(self.where(name), str(Path(folder, "file")))
            yield Path(folder, "file")

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
        with self.put(name) as temporary:
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
