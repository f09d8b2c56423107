"""Where videos lie: on this disk, in a bucket, at an address.

    found = sources.find(df, folder, files="s3://bucket/sports")   # a Source a row of the catalog
    with sources.local(found[0], seconds=600) as path: ...          # a file that can be decoded

A video in a bucket, or at an address (a page that yt-dlp can read), is copied to a temporary file,
sampled and removed: no original is kept. Nothing is asked of the network unless the user names a
place there (`data` or `files` is an address) or sets `fetch`: a catalog's own addresses may be a
stranger's.
"""

import math
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from s1m_lab.common.paths import is_url
from s1m_lab.video.container import VideoError
from s1m_lab.video.reader import SUFFIXES

if TYPE_CHECKING:  # a worker has no catalog, and pandas takes half its start
    import pandas as pd

CHUNK = 1 << 20  # bytes
PROTOCOLS = set("http https s3 s3a gs gcs abfs abfss az oss hdfs webhdfs sftp ftp memory".split())
HEIGHT = 480  # pixels; of the qualities that a page offers, the best not above


class Source(NamedTuple):
    kind: str  # "file", "bucket", "address" (of a page), "unasked" or "forbidden"
    where: str
    state: list | None  # changes when the content does: size and date of a file; None: not known

    @property
    def size(self) -> float:
        """Bytes of a file of this disk; of what lies elsewhere infinitely many."""
        return self.state[0] if self.kind == "file" and self.state else math.inf


# What yt-dlp says when it fails, and the reason it stands for; the first match counts.
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
    """Where the video of each row of a catalog lies now; None where it lies nowhere.

    `path` counts first: an address, or a file, a relative one being relative to `files` or, where
    that is not given, to the dataset `folder`. Without a path it is the file in `files` (a folder
    or an fsspec address; by default the dataset's `videos/`) whose name without suffix is the id;
    and with `fetch` the row's `url`. A path that is an address is followed with `fetch`, or below
    an address that is `data` or `files`. Buckets are listed once, not asked for every video.
    """
    root = str(files) or str(folder / "videos")
    paths, urls = (df[name].to_numpy(object, na_value=None).tolist() for name in ("path", "url"))
    named = {}
    if None in paths or files:
        named = listing(root)
    films = [name for name in sorted(named)[::-1] if os.path.splitext(name)[1].lower() in SUFFIXES]
    stems = {os.path.splitext(name.rpartition("/")[2])[0]: name for name in films}
    places = tuple(f"{str(place).rstrip('/')}/" for place in (data, files) if is_url(place))
    addresses = [path for path in paths if path is not None and is_url(path)]
    remote = _remote(addresses, "" if fetch else places)
    found = []
    for id, path, url in zip(df["id"], paths, urls, strict=True):
        name = stems.get(id) if path is None else path
        source = None
        if name is None:
            if fetch and url is not None and re.match("https?://", url):
                source = Source("address", url, ["address"])
        elif is_url(name):
            source = remote.get(name)
        elif is_url(root) and not os.path.isabs(name):
            state = named.get(name)
            source = state and Source("bucket", f"{root.rstrip('/')}/{name}", state)
        else:
            base = root if files or path is None else folder
            source = _file(os.path.join(base, name))
        found.append(source)
    return found


def listing(root: str) -> dict[str, list]:
    """The files below a folder or an address, by their names relative to that, with the state that
    a listing of the address gives; for a file of this disk that is `[]`, since asking costs.

    Raises OSError for a folder that cannot be looked into: its videos are not gone.
    """
    if is_url(root):
        import fsspec

        fs, top = fsspec.core.url_to_fs(root)
        fs.invalidate_cache()
        found = fs.find(top, detail=True)
        return {name[len(top) :].lstrip("/"): _state(about) for name, about in found.items()}
    names, seen = {}, set()
    for folder, folders, files in os.walk(root, onerror=_raised, followlinks=True):
        if os.path.realpath(folder) in seen:  # a link to where we have been
            folders[:] = []
            continue
        seen.add(os.path.realpath(folder))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inner = os.path.relpath(folder, root).replace(os.sep, "/")
        names |= {name if inner == "." else f"{inner}/{name}": [] for name in files}
    return names


def _raised(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _state(about: dict) -> list:
    """What changes when a file in a bucket does: its size, and its tag or date."""
    tags = "ETag etag md5Hash content_md5 LastModified last_modified mtime updated created".split()
    return [about.get("size"), next((str(about[tag]) for tag in tags if about.get(tag)), "")]


def _file(path: str) -> Source | None:
    try:
        about = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    return Source("file", path, [about.st_size, about.st_mtime_ns])


def _remote(urls: list[str], places: str | tuple[str, ...]) -> dict[str, Source]:
    """The sources of videos whose catalog path is an address, by a listing of what they share.

    Only addresses that begin with one of `places` are followed, with "" all of them; never those
    that lead to other addresses (`a::b`), or are of a protocol that no store of videos has: a
    catalog may be a stranger's. A web server cannot be listed, nor a bucket that does not answer;
    what they hold is known when it is read.
    """
    found, listable = {}, {}
    for url in urls:
        protocol = url.partition("://")[0].lower()
        if "::" in url or protocol not in PROTOCOLS:
            found[url] = Source("forbidden", url, ["address"])
        elif not url.startswith(places):
            found[url] = Source("unasked", url, None)
        elif protocol in ("http", "https"):
            found[url] = Source("bucket", url, ["address"])
        else:
            listable.setdefault("/".join(url.split("/")[:3]), []).append(url)
    for mine in listable.values():
        folders = [url.rpartition("/")[0] + "/" for url in mine]
        top = os.path.commonprefix(folders).rpartition("/")[0]
        try:
            names = listing(top)
        except Exception:  # each protocol has its own; the reader of the video will name it
            found |= {url: Source("bucket", url, ["address"]) for url in mine}
            continue
        states = {url: names.get(url[len(top) + 1 :]) for url in mine}
        found |= {url: Source("bucket", url, state) for url, state in states.items() if state}
    return found


@contextmanager
def local(source: Source, seconds: float) -> Iterator[str]:
    """The path of a file on this disk with the video of a source, for as long as the block lasts.

    Raises:
        VideoError: it is gone, private, refused or unreachable, or took longer than `seconds`; or
            it lies at an address that nobody asked for.
    """
    if source.kind == "file":
        yield source.where
        return
    if source.kind == "forbidden":
        raise VideoError("unsupported", "the lab does not follow such an address")
    if source.kind == "unasked":
        raise VideoError("not fetched", "its path is an address; --fetch reads it")
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="s1m-") as folder:
        get = _fetch if source.kind == "address" else _copy
        yield get(source.where, folder, end)


def _copy(url: str, folder: str, end: float) -> str:
    import fsspec

    path = os.path.join(folder, "video")
    try:
        with fsspec.open(url, "rb") as file, open(path, "wb") as out:
            while data := file.read(CHUNK):
                out.write(data)
                in_time(end)
    except FileNotFoundError as error:
        code = getattr(error.__cause__, "status", 404)  # what a web server had said
        raise VideoError(reason(f"HTTP Error {code}"), f"HTTP {code}") from None
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
    """The video of a page, by yt-dlp; it lies in `folder`."""
    import yt_dlp

    options = {
        "format": f"bv*[height<=?{HEIGHT}]/b[height<=?{HEIGHT}]/w",
        "outtmpl": os.path.join(folder, "video.%(ext)s"),
        "logger": _Silent(),
        "progress_hooks": [lambda _: in_time(end)],
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
    files = os.listdir(folder)
    if len(files) != 1:
        raise VideoError("not a video", f"{len(files)} videos at that address")
    return os.path.join(folder, files[0])


def reason(said: str) -> str:
    """The status that stands for what yt-dlp says of a failure."""
    for name, pattern in REFUSALS.items():
        if re.search(pattern, said, re.IGNORECASE):
            return name
    return "unreachable"


class _Silent:
    """yt-dlp's log, which would fill a worker's."""

    def debug(self, text: str) -> None: ...

    info = warning = error = debug


def in_time(end: float) -> None:
    """Raise `VideoError("timed out")` when `time.monotonic()` is past `end`."""
    if time.monotonic() > end:
        raise VideoError("timed out")


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]
