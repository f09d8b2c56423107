"""Where each video lies: on this disk, in a bucket, or at an address.

    found = locate.find(df, folder, files="s3://bucket/sports")  # one Source per row of a catalog
    with locate.local_copy(found[0], seconds=600) as path: ...   # a file that can be decoded

A video in a bucket or at an address is copied to a temporary file, sampled and removed. An address
may be a page that yt-dlp can read. The network is used only where the user names a place there
(`data` or `files` is an address) or sets `fetch`: a stranger may have written the catalog.
A new protocol is one word in `PROTOCOLS`, if fsspec can read it.
"""

import hashlib
import logging
import math
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s1m_lab.common.files import digests, file_digest, has_its_digest, set_aside, temporary_folder
from s1m_lab.common.paths import home, is_url, parse_dataset
from s1m_lab.common.storage import list_files
from s1m_lab.data import places
from s1m_lab.video.container import VideoError
from s1m_lab.video.reader import is_video

if TYPE_CHECKING:  # a worker has no catalog, and pandas takes half its start
    import pandas as pd

CHUNK = 1 << 20  # bytes
PROTOCOLS = set("http https s3 s3a gs gcs abfs abfss az oss hdfs webhdfs sftp ftp memory".split())
HEIGHT = 480  # pixels; of the qualities that a page offers, the best not above


class Source(NamedTuple):
    """Where a video lies."""

    kind: str  # "file", "bucket", "address" (of a page), or one not read: "unasked", "forbidden"
    where: str
    state: list | None  # changes with the content: size and date of a file; None: unknown

    @property
    def size(self) -> float:
        """Bytes of a file on this disk; infinite for what lies elsewhere."""
        return self.state[0] if self.kind == "file" and self.state else math.inf


# Reasons for yt-dlp's error messages. The first pattern that matches counts.
REFUSALS = {
    "refused": r"\b(403|429|503)\b|too many requests|not a bot|rate.limit",
    "private": r"\b401\b|private|members.only|sign in|log ?in|age.restricted|your age|payment",
    "missing": r"\b(404|410)\b|unavailable|removed|not available|no longer|terminated|deleted",
    "timed out": r"timed? ?out",
    "not a video": r"unsupported url|no video formats|no video could be found",
    "unreachable": r"connection|resolve|unreachable|network|getaddrinfo|transport",
}


def find(
    df: "pd.DataFrame", folder: Path, files: str = "", fetch: bool = False, data: str = ""
) -> list[Source | None]:
    """The source of each row of a catalog; None where its video lies nowhere.

    - A row's `path` is an address, or a file. A relative one is relative to `files`, or without
      `files` to the dataset `folder`. One of the table `data` may also lie in `files`.
    - Without a path, the video is the file in `files` whose name without suffix is the id. `files`
      is a folder or an fsspec address, by default the dataset's `videos/`.
    - Without such a file, the video is at the row's `url`, if `fetch` is set.

    A path that is an address is followed if `fetch` is set, or if it begins with `data` or `files`.
    Buckets are listed once. A path that leads out of a dataset that was made elsewhere is followed
    into `files` alone.
    """
    root = str(files) or str(folder / "videos")
    own = bool(data) and parse_dataset(data).source is not None
    tops = (
        None if own or (tops := places.allowed(folder)) is None else [*tops, os.path.abspath(root)]
    )
    paths, urls = (df[name].to_numpy(object, na_value=None).tolist() for name in ("path", "url"))
    # a table's relative paths, which were made absolute, count from `files` too
    table = f"{Path(data).resolve().parent}{os.sep}" if files and os.path.isfile(data) else ""
    named: dict[str, list] = {}
    if None in paths or files:
        named = list_files(root)
    films = [name for name in sorted(named)[::-1] if is_video(name)]
    stems = {os.path.splitext(name.rpartition("/")[2])[0]: name for name in films}
    asked = tuple(f"{str(place).rstrip('/')}/" for place in (data, files) if is_url(place))
    addresses = [path for path in paths if path is not None and is_url(path)]
    remote = _remote(addresses, "" if fetch else asked)

    def source_of(id: str, path: str | None, url: str | None) -> Source | None:
        name = stems.get(id) if path is None else path
        if name is None:
            if url is None or not fetch or not re.match("https?://", url):
                return None
            return Source("address", url, ["address"])
        if is_url(name):
            return remote.get(name)
        if is_url(root) and not os.path.isabs(name):
            state = named.get(name)
            return Source("bucket", f"{root.rstrip('/')}/{name}", state) if state else None
        place = os.path.join(root if files or path is None else folder, name)
        if not places.inside(place, tops):
            return Source("unasked", place, None)
        found = _file(place)
        if found is None and table and name.startswith(table):
            found = _file(os.path.join(root, name[len(table) :]))
        return found

    return [source_of(*row) for row in zip(df["id"], paths, urls, strict=True)]


def _file(path: str) -> Source | None:
    try:
        about = os.stat(path)
    except PermissionError:  # in a folder that is locked; reading the video will report it
        return Source("file", path, [0, 0])
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return Source("file", path, [about.st_size, about.st_mtime_ns])


def _remote(urls: list[str], asked: str | tuple[str, ...]) -> dict[str, Source]:
    """The sources of catalog paths that are addresses.

    Only addresses that begin with one of `asked` are followed; "" allows all of them. Chained
    addresses (`a::b`) and protocols outside `PROTOCOLS` are forbidden. Buckets are listed once, at
    the longest common folder. Web servers, and buckets that do not answer, are tried when read.
    """
    found: dict[str, Source] = {}
    listable: dict[str, list[str]] = {}
    for url in urls:
        protocol = url.partition("://")[0].lower()
        if "::" in url or protocol not in PROTOCOLS:
            found[url] = Source("forbidden", url, ["address"])
        elif not url.startswith(asked):
            found[url] = Source("unasked", url, None)
        elif protocol in ("http", "https"):
            found[url] = Source("bucket", url, ["address"])
        else:
            listable.setdefault("/".join(url.split("/")[:3]), []).append(url)
    for mine in listable.values():
        folders = [url.rpartition("/")[0] + "/" for url in mine]
        top = os.path.commonprefix(folders).rpartition("/")[0]
        try:
            names = list_files(top)
        except Exception:  # each protocol has its own errors; reading the video will report them
            found |= {url: Source("bucket", url, ["address"]) for url in mine}
            continue
        states = {url: names.get(url[len(top) + 1 :]) for url in mine}
        found |= {url: Source("bucket", url, state) for url, state in states.items() if state}
    return found


def find_copies(sources: list[Source | None]) -> list[dict[int, str]]:
    """Groups of files on this disk with the same bytes, not empty: their paths by row."""
    found = dict(enumerate(sources))
    files = {n: own for n, own in found.items() if own and 0 < own.size < math.inf}

    def first_digest(n: int) -> bytes:
        with open(files[n].where, "rb") as file:
            return hashlib.sha256(file.read(CHUNK)).digest()

    def digest(n: int) -> str:
        return file_digest(Path(files[n].where))

    groups = [list(files)]
    for key in (lambda n: files[n].size, first_digest, digest):  # each reads more than the last
        alike: dict = {}
        for number, group in enumerate(groups):
            for n in group:
                with suppress(OSError):  # ingest finds out
                    alike.setdefault((number, key(n)), []).append(n)
        groups = [group for group in alike.values() if len(group) > 1]
    return [{n: files[n].where for n in group} for group in groups]


@contextmanager
def local_copy(source: Source, seconds: float) -> Iterator[Path]:
    """Yield the path of a video on this disk; a copy lasts as long as the block.

    Raises:
        VideoError: the video is missing, private, refused or unreachable, or copying it took more
            than `seconds`, or its address may not be followed.
    """
    if source.kind == "file":
        path = Path(source.where)
        if path.name in digests(path.parent) and path.is_file() and not has_its_digest(path):
            if path.is_relative_to(home() / "data"):  # nothing else is written
                set_aside(path)
            raise VideoError("corrupt", "its bytes are not those that were written")
        yield path
        return
    if source.kind == "forbidden":
        raise VideoError("unsupported", "the lab does not follow such an address")
    if source.kind == "unasked":
        if is_url(source.where):
            raise VideoError("not fetched", "its path is an address; --fetch reads it")
        raise VideoError("not fetched", "its path leads out of a dataset that was made elsewhere")
    end = time.monotonic() + seconds
    with temporary_folder() as folder:
        get = _fetch if source.kind == "address" else _copy
        yield Path(get(source.where, str(folder), end))


def _copy(url: str, folder: str, end: float) -> str:
    import fsspec

    path = os.path.join(folder, "video")
    url = re.sub(r"^\w+:", lambda protocol: protocol[0].lower(), url)  # HTTP:// as people write it
    # a web server need not give parts of a file, which fsspec asks for unless it streams
    stream = {"block_size": 0} if url.lower().startswith("http") else {}
    try:
        with fsspec.open(url, "rb", **stream) as file, open(path, "wb") as out:
            while data := file.read(CHUNK):
                out.write(data)
                check_time(end)
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec gives this error for any failure of a web server
        if code := getattr(cause, "status", 0 if stream else 404):
            raise VideoError(reason(f"HTTP Error {code}"), f"HTTP {code}") from None
        raise VideoError("unreachable", _line(cause or error)) from None
    except PermissionError as error:
        raise VideoError("private", _line(error)) from None
    except TimeoutError as error:
        raise VideoError("timed out", _line(error)) from None
    except VideoError:
        raise
    except Exception as error:  # every protocol has errors of its own
        raise VideoError("unreachable", f"{type(error).__name__}: {_line(error)}") from None
    return path


def _fetch(url: str, folder: str, end: float) -> str:
    """Download the video of a page into `folder` with yt-dlp."""
    import yt_dlp

    options = {
        "format": f"bv*[height<=?{HEIGHT}]/b[height<=?{HEIGHT}]/w",
        "outtmpl": os.path.join(folder, "video.%(ext)s"),
        "logger": logging.Logger("yt-dlp", logging.CRITICAL),  # prints nothing
        "progress_hooks": [lambda _: check_time(end)],
        "noprogress": True,
        "noplaylist": True,
        "playlist_items": "1",
        "match_filter": yt_dlp.utils.match_filter_func("!is_live"),
        "cachedir": False,
        "socket_timeout": max(1.0, min(30.0, end - time.monotonic())),
    }
    try:
        with yt_dlp.YoutubeDL(options) as downloader:
            downloader.download([url])
    except yt_dlp.utils.DownloadError as error:
        if time.monotonic() > end:
            raise VideoError("timed out") from None
        text = re.sub(r"\x1b\[[0-9;]*m|^ERROR: ", "", str(error))
        raise VideoError(reason(text), _line(text)) from None
    files = [name for name in os.listdir(folder) if name[0] != "."]
    if len(files) != 1:
        raise VideoError("not a video", f"{len(files)} videos at that address")
    return os.path.join(folder, files[0])


def reason(message: str) -> str:
    """The status for an error message of yt-dlp's."""
    for name, pattern in REFUSALS.items():
        if re.search(pattern, message, re.IGNORECASE):
            return name
    return "unreachable"


def check_time(end: float) -> None:
    """Raise `VideoError("timed out")` once `time.monotonic()` is past `end`."""
    if time.monotonic() > end:
        raise VideoError("timed out")


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]
