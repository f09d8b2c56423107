"""Open a file safely with PyAV, and name everything that can go wrong with a video.

    with container.open_video(path) as (av_container, stream): ...

A file is opened as a local file of a known video format and as nothing else: no protocol, playlist
or option can hide in its name or its content. Every failure is a `VideoError` with a reason out of
`REASONS`, which are also the statuses of videos in a dataset.

`ok` means that the wanted frames could be decoded. Damaged bytes that still decode (a smear, a
patch of another colour) are not found: most containers carry no checksum.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REASONS = {
    "ok": "read without an error",
    "missing": "there is no such file",
    "unreadable": "the file system denies access",
    "empty": "the file has no bytes",
    "not a video": "the file is no video container that the lab knows",
    "truncated": "the file ends before its index, or before what its header promises",
    "no video stream": "a container without moving pictures (sound alone, or a cover image)",
    "unsupported": "no decoder for its codec, a frame size that changes or is too large, or an "
    "address that the lab does not follow",
    "corrupt": "the decoder met an error in a frame that was wanted",
    "too short": "shorter than one segment",
    "too long": "longer than the limit",
    "encrypted": "its frames cannot be read without a key",
    "private": "its owner or server denies access",
    "refused": "the server refused; retry later with --retry",
    "not fetched": "its path is an address, which --fetch downloads, or leads out of a dataset "
    "that was made elsewhere; --files names a folder that may be read",
    "unreachable": "its server or bucket did not answer; retry with --retry",
    "timed out": "reading it took longer than 30 minutes",
    "crashed": "its decoder crashed",
    "error": "the lab failed on it; please report it",
}
FORMATS = "mov,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,gif"
MAGIC = {b"ftyp": 4, b"moov": 4, b"mdat": 4, b"RIFF": 0, b"\x1aE\xdf\xa3": 0, b"OggS": 0}


class VideoError(Exception):
    """A file that cannot be read; `reason` is a key of `REASONS`, the text says more."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail or REASONS[reason]}")
        self.reason, self.detail = reason, detail


@contextmanager
def open_video(path: Path) -> Iterator:
    """PyAV's container and first video stream of a file, both closed when the block ends.

    Raises:
        VideoError: the file cannot be opened as a video.
    """
    import av

    magic = _read_magic(Path(path))
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        container = av.open(file_url(path), options=options, metadata_errors="ignore")
    except decode_errors() as error:
        known = any(magic[at : at + len(word)] == word for word, at in MAGIC.items())
        raise VideoError("truncated" if known else "not a video", error_line(error)) from None
    with container:
        Disposition = av.stream.Disposition
        cover, default = Disposition.attached_pic, Disposition.default
        streams = [s for s in container.streams.video if not s.disposition & cover]
        streams.sort(key=lambda s: not s.disposition & default)
        if not streams:
            raise VideoError("no video stream")
        if streams[0].codec_context is None:
            raise VideoError("unsupported", "no decoder for its codec")
        streams[0].thread_count = 1
        yield container, streams[0]


def _read_magic(path: Path) -> bytes:
    """The first 16 bytes of an ordinary file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise VideoError("not a video", "no ordinary file")
        with open(path, "rb") as file:
            magic = file.read(16)
    except FileNotFoundError:
        raise VideoError("missing") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise VideoError("unreadable", error_line(error)) from None
    if not magic:
        raise VideoError("empty")
    return magic


def lacks_times(container) -> bool:
    """Whether frames are numbered from the first one and have no presentation times: AVI."""
    return container.format.name == "avi"


def decode_frames(container, stream) -> Iterator:
    """All frames of a stream, in the order they are shown.

    A packet without bytes repeats the last picture; a decoder would take it for the end.
    """
    for packet in container.demux(stream):
        if packet.size or packet.dts is None:  # the last packet has neither
            yield from packet.decode()


def file_url(path: Path) -> str:
    """An absolute `file:` address, so that no name is taken for an option or a protocol."""
    return f"file:{Path(path).absolute()}"


def decode_errors() -> tuple[type[Exception], ...]:
    """The exceptions that PyAV raises for a damaged file."""
    import av

    return av.FFmpegError, ValueError, OverflowError, MemoryError


def error_line(error: Exception) -> str:
    """The message of an error as one line, without the path."""
    return (getattr(error, "strerror", None) or str(error)).strip().replace("\n", " ")[:200]
