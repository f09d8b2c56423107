"""Probe, decode and encode a file; every failure gets a name.

    info = video.probe(path)                              # size, rate, duration, who may decode it
    for clip in video.segments(path, [0.0, 2.5]): ...     # uint8 16×H×W×3 at 30 frames a second
    for seconds, image in video.read(path): ...           # the whole film, one frame at a time
    with video.opened(path) as (container, stream): ...   # what PyAV makes of it, opened safely

Time 0 is the first frame. A segment is sampled and held: its frame k is what a player shows at
`start + k/fps` (the last frame whose time is not later), so of a 25-fps film every fifth frame
stands twice and of a 60-fps film every other one is left out; the speed of motion never changes.

decord reads what it can be trusted with (see `probe`), PyAV all else; where both may, they give
the same bytes. A file is opened as a local file of a known video container and as nothing else:
no protocol, playlist or option can hide in its name or its content.
"""

import hashlib
import itertools
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from s1m_lab import stages

REASONS = {
    "ok": "read without an error",
    "missing": "there is no such file",
    "unreadable": "the file system does not let it be read",
    "empty": "the file has no bytes",
    "not a video": "the file is no video container that the lab knows",
    "truncated": "the file ends before its index, or before the frames its header promises",
    "no video stream": "a container without moving pictures (sound alone, or a cover image)",
    "unsupported": "no decoder for the codec, or frames of a size that changes or is absurd",
    "corrupt": "the decoder met an error in a frame that was wanted",
    "too short": "shorter than one segment",
    "too long": "longer than was asked for",
    "encrypted": "its frames cannot be read without a key",
    "private": "whoever holds it does not let it be read",
    "refused": "the server refused for now, or asked to slow down; try it again",
    "unreachable": "no way to where it lies; try it again",
    "timed out": "it took longer than a video may",
    "crashed": "the decoder took its process down",
    "error": "the lab itself failed on it; please report it",
}

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .wmv .flv .mpg .mpeg .ts .mts .m2ts .3gp .ogv .gif".split()
)
CONTAINERS = "mov,matroska,webm,avi,asf,flv,mpeg,mpegts,mpegvideo,ogg,gif"
MAGIC = {b"ftyp": 4, b"moov": 4, b"mdat": 4, b"RIFF": 0, b"\x1aE\xdf\xa3": 0, b"OggS": 0}
TICK = 1e-3  # s; the coarsest time stamp in use, so what times may be off by
NEAR = 1.0  # s; up to here it is cheaper to decode on than to seek
LARGEST = 8192 * 8192  # pixels


class VideoError(Exception):
    """A file that cannot be read; `reason` is a key of `REASONS`, the text says more."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail or REASONS[reason]}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Info:
    """What `probe` found. `width` and `height` are those of the upright picture, `rotation` the
    quarter turns (degrees, counter-clockwise) that make it upright."""

    width: int
    height: int
    fps: float  # mean rate of the frames that are shown
    frames: int  # how many are shown
    duration: float  # s, from the first frame to the end of the last
    rotation: int
    codec: str
    pixel_format: str
    variable: bool  # frames are not evenly spaced in time
    decoder: str  # "decord" or "av"
    origin: float  # s, the file's own stamp of the first frame: what its sound is timed by


def probe(path: Path, whole: bool = True) -> Info:
    """Read the header, the times of all frames and the first frame.

    Without `whole`, a file that is cut off is not refused: what is told is that of its part.

    decord is trusted with MP4 and QuickTime files of one video stream, 8-bit 4:2:0, not rotated,
    at an even rate, whose header counts exactly the frames that are shown. Elsewhere it is known
    to disagree with a full decode: it counts AVI's empty packets and frames that an edit list
    hides, picks another of several streams, loses precision of 10-bit video, turns rotated
    pictures by itself, takes narrow pictures (48 pixels) to have four channels, and cannot open
    files without a duration.

    Raises:
        VideoError: the file is missing, empty, no video, cut off, or its first frame is damaged.
    """
    with opened(path) as (container, stream):
        times, hidden = _times(container, stream, whole)
        promised = stream.frames
        if whole and promised > len(times) + hidden + 1:
            raise VideoError("truncated", f"{len(times)} of {promised} frames are there")
        try:
            container.seek(0)
            picture = next(container.decode(stream), None)
        except errors() as error:
            raise VideoError("corrupt", f"at the first frame: {line(error)}") from None
        if picture is None:
            raise VideoError("corrupt", "no frame can be decoded")
        if picture.width * picture.height > LARGEST:
            raise VideoError("unsupported", f"a frame of {picture.width}×{picture.height} pixels")
        rotation = round(picture.rotation / 90) * 90 % 360
        step = float(times[-1] - times[0]) / max(1, len(times) - 1)
        step = step or 1 / float(stream.average_rate or 25)
        uneven = np.abs(times - times[0] - np.arange(len(times)) * step).max() > step / 4
        trusted = (
            "mp4" in container.format.name
            and len(container.streams.video) == 1
            and stream.codec_context.name == "h264"
            and picture.format.name in ("yuv420p", "yuvj420p")
            and picture.width >= 64
            and promised == len(times)
            and not (rotation or uneven or hidden)
        )
        size = (picture.width, picture.height)
        width, height = size if rotation % 180 == 0 else size[::-1]
        return Info(
            width=width,
            height=height,
            fps=1 / step,
            frames=len(times),
            duration=len(times) * step,
            rotation=rotation,
            codec=stream.codec_context.name,
            pixel_format=picture.format.name,
            variable=bool(uneven),
            decoder="decord" if trusted else "av",
            origin=0.0 if _counted(container) else float(times[0]),
        )


def segments(
    path: Path,
    starts: Sequence[float],
    frames: int = 16,
    fps: float = 30.0,
    size: tuple[int, int] | None = None,
    info: Info | None = None,
) -> Iterator[np.ndarray]:
    """One uint8 `frames`×H×W×3 (RGB, upright) for each of `starts` (seconds, best ascending).

    The file is opened once; memory holds one segment. `size` (height, width) applies `fit` to
    every frame. At 30 fps a segment of 16 frames spans 0.5 s from its first to its last frame.
    """
    info = info or probe(path)
    with closing(_reader(path, info)) as reader:
        tape = _Tape(reader, size)
        for start in starts:
            clip = tape.at(start + np.arange(frames) / fps)
            if len({image.shape for image in clip}) > 1:
                raise VideoError("unsupported", "the size of the picture changes within the film")
            yield np.stack(clip)


def read(
    path: Path, fps: float | None = None, whole: bool = True
) -> Iterator[tuple[float, np.ndarray]]:
    """The whole film, streaming: (seconds, uint8 H×W×3), by default at its own exact times.

    `fps` resamples it by sample and hold. Without `whole`, a film that is cut off or damaged gives
    its frames up to there, and only then raises the `VideoError` that says what is wrong.
    """
    info = probe(path, whole)
    if fps is None:
        with closing(_Av(path, info)) as reader:  # decord knows no times, only a mean rate
            for time, image in reader.frames(0.0):
                yield time, image()
        if not whole:
            probe(path)  # says what is missing
        return
    with closing(_reader(path, info)) as reader:
        tape = _Tape(reader)
        for number in range(max(1, round(info.duration * fps))):
            yield number / fps, tape.at([number / fps])[0]


def readable(path: Path) -> int:
    """How many frames a decode from the start gives until it ends or fails."""
    count = 0
    with opened(path) as (container, stream):
        try:
            for _ in container.decode(stream):
                count += 1
        except errors():
            pass
    return count


def starts(
    duration: float, count: int, key: str, frames: int = 16, fps: float = 30.0
) -> list[float]:
    """Where up to `count` random segments of a film begin (s, ascending, all different).

    A pure function: the usable length is cut into `count` equal strata and a hash of (key, clip
    number) chooses the place in each, on the grid of 1/fps. Every place of the film is equally
    likely, and the clips spread over it. A film of 0.5 s or less has no place for 16 frames at
    30 fps: []. One of 0.6 s has three places, so never more than three clips.
    """
    places = int(np.floor((duration - TICK - (frames - 1) / fps) * fps)) + 1
    count = min(count, places)
    chosen = []
    for clip in range(count):
        first, end = clip * places // count, (clip + 1) * places // count
        digest = hashlib.sha256(f"{key}\n{clip}".encode()).digest()
        chosen.append((first + int.from_bytes(digest[:8], "big") * (end - first) // 2**64) / fps)
    return chosen


def fit(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The centre of an H×W×3 picture in the aspect height:width, resized with antialiasing.

    176×132 to 132×132 is a crop of 22 columns on each side and no resize.
    """
    from PIL import Image

    full_height, full_width = image.shape[:2]
    scale = min(full_height / height, full_width / width)
    tall, wide = round(height * scale), round(width * scale)
    top, left = (full_height - tall) // 2, (full_width - wide) // 2
    crop = image[top : top + tall, left : left + wide]
    if crop.shape[:2] == (height, width):
        return crop
    resized = Image.fromarray(np.ascontiguousarray(crop)).resize(
        (width, height), Image.BILINEAR, reducing_gap=2.0
    )
    return np.asarray(resized)


class _Tape:
    """A film that is sampled and held, and that can be wound back to the last segment's start, so
    that segments which overlap are decoded once."""

    def __init__(self, reader, size: tuple[int, int] | None = None):
        self.reader, self.size = reader, size
        self.kept: deque = deque()  # [seconds, function that makes it, picture]

    def at(self, times: Sequence[float]) -> list[np.ndarray]:
        """The picture on screen at each time (ascending): the last frame that is not later."""
        first = times[0] + TICK
        if not self.kept or first < self.kept[0][0] or first > self.kept[-1][0] + NEAR:
            self.coming = self.reader.frames(times[0])
            self.kept.clear()
        images = []
        for time in times:
            while not self.kept or self.kept[-1][0] <= time + TICK:
                if (frame := next(self.coming, None)) is None:
                    break
                self.kept.append([*frame, None])
                self._forget(first)
            self._forget(first)
            if not self.kept:
                raise VideoError("corrupt", f"no frame can be decoded at {time:.2f} s")
            earlier = [frame for frame in self.kept if frame[0] <= time + TICK]
            images.append(self._picture(earlier[-1] if earlier else self.kept[0]))
        return images

    def _forget(self, first: float) -> None:
        """Drop what is not on screen any more at `first`."""
        while len(self.kept) > 1 and self.kept[1][0] <= first:
            self.kept.popleft()

    def _picture(self, frame: list) -> np.ndarray:
        if frame[2] is None:
            frame[2] = frame[1]() if self.size is None else fit(frame[1](), *self.size)
            frame[1] = None
        return frame[2]


def _reader(path: Path, info: Info):
    if info.decoder == "decord":
        reader = _Decord(path, info)
        if len(reader.film) == info.frames:
            return reader
        reader.close()
    return _Av(path, info)


class _Decord:
    """Frames of a file by decord: `frames(start)` yields (seconds, function) from `start` on."""

    def __init__(self, path: Path, info: Info):
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self.fps, self.error = info.fps, decord.DECORDError
        with self._named():
            self.film = decord.VideoReader(url(path), num_threads=1)

    def frames(self, start: float) -> Iterator:
        last = len(self.film) - 1
        first = min(max(0, int((start + TICK) * self.fps)), last)
        for number in range(first, last + 1):
            with self._named():
                if number == first:
                    self.film.seek_accurate(number)
                image = self.film.next().asnumpy()
            yield number / self.fps, lambda image=image: image

    @contextmanager
    def _named(self):
        try:
            yield
        except (self.error, RuntimeError, AssertionError, StopIteration) as error:
            raise VideoError("corrupt", line(error).rsplit(": ", 1)[-1]) from None

    def close(self) -> None:
        self.film = None


class _Av:
    """Frames of a file by PyAV, as `_Decord` gives them, from `start` or a little before.

    A seek counts only when it ends on a key frame not later than `start`; what decoders put out
    before that key frame is incomplete.
    """

    def __init__(self, path: Path, info: Info):
        from av.video.reformatter import VideoReformatter

        self.path, self.info, self.opened = path, info, None
        self.convert = VideoReformatter().reformat
        self.origin = None  # s, the stamp of the first frame

    def frames(self, start: float) -> Iterator:
        for back in (0.0, 2.0, 10.0):
            # AVI stores no times of presentation: its frames are counted from the first one
            if self.origin is None or start - back <= 0 or _counted(self.container):
                break
            target = int((self.origin + start - back) / self.stream.time_base)
            self.container.seek(target, stream=self.stream)
            frames = self._decode(key=True)
            first = next(frames, None)
            if first is not None and first[0] <= start + TICK:
                return itertools.chain([first], frames)
        self.close()
        self.opened = opened(self.path)
        self.container, self.stream = self.opened.__enter__()
        return self._decode()

    def _decode(self, key: bool = False) -> Iterator:
        counted = _counted(self.container)
        try:
            for number, picture in enumerate(self.container.decode(self.stream)):
                key = key and not picture.key_frame
                if key:
                    continue
                time = number / self.info.fps
                if not counted and picture.pts is not None:
                    time = float(picture.pts * self.stream.time_base)
                    self.origin = time if self.origin is None else self.origin
                    time -= self.origin
                yield time, lambda picture=picture: self._upright(picture)
        except errors() as error:
            raise VideoError("corrupt", line(error)) from None

    def _upright(self, picture) -> np.ndarray:
        image = self.convert(picture, format="rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, self.info.rotation // 90))

    def close(self) -> None:
        if self.opened:
            self.opened.__exit__(None, None, None)
            self.opened = None


@contextmanager
def opened(path: Path) -> Iterator:
    """(container, stream) of the film in `path`; whatever goes wrong has a name."""
    import av

    magic = _magic(Path(path))
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(url(path), options=options, metadata_errors="ignore")
    except errors() as error:
        known = any(magic[at : at + len(word)] == word for word, at in MAGIC.items())
        raise VideoError("truncated" if known else "not a video", line(error)) from None
    with container:
        Disposition = av.stream.Disposition
        films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        films.sort(key=lambda s: not s.disposition & Disposition.default)
        if not films:
            raise VideoError("no video stream")
        if films[0].codec_context is None:
            raise VideoError("unsupported", "no decoder for its codec")
        films[0].thread_count = 1
        yield container, films[0]


def _magic(path: Path) -> bytes:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise VideoError("not a video", "no ordinary file")
        with open(path, "rb") as file:
            magic = file.read(16)
    except FileNotFoundError:
        raise VideoError("missing") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise VideoError("unreadable", line(error)) from None
    if not magic:
        raise VideoError("empty")
    return magic


def _times(container, stream, whole: bool) -> tuple[np.ndarray, int]:
    """When each frame is shown (s, ascending), and how many frames an edit list hides."""
    stamps, hidden = [], 0
    try:
        for packet in container.demux(stream):
            if not stamps and packet.has_sidedata("encryption_info"):
                raise VideoError("encrypted")
            if packet.size > 1:  # one byte is DivX's place-holder, of which no frame comes
                hidden += packet.is_discard
                if not packet.is_discard:
                    stamps.append(packet.pts)
    except errors() as error:
        if whole or not stamps:
            raise VideoError("truncated", f"after {len(stamps)} frames: {line(error)}") from None
    if not stamps:
        raise VideoError("truncated", "no frame is there")
    if _counted(container) or None in stamps:
        return np.arange(len(stamps)) / float(stream.average_rate or 25), hidden
    return np.sort(np.array(stamps)) * float(stream.time_base), hidden


def _counted(container) -> bool:
    return container.format.name == "avi"


def url(path: Path) -> str:
    """An absolute `file:` address, so that no name is taken for an option or a protocol."""
    return f"file:{Path(path).absolute()}"


def errors() -> tuple:
    import av

    return av.FFmpegError, ValueError, OverflowError, MemoryError


def line(error: Exception) -> str:
    """The error in a line, without the path."""
    return (getattr(error, "strerror", None) or str(error)).strip().replace("\n", " ")[:200]


def encode(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: float = 30.0,
    crf: int = 18,
    preset: str = "veryfast",
    gop: int = 30,
) -> None:
    """Write `frames` (uint8 H×W×3, RGB, even sides) as H.264, 4:2:0, into an MP4, MOV, MKV or AVI.

    One encoder thread and no time stamps in the header: the same frames give the same bytes.
    The file appears when it is whole.
    """
    import av

    path = Path(path)
    containers = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
    rate = Fraction(fps).limit_denominator(1001)
    options = {"crf": str(crf), "preset": preset, "g": str(gop), "threads": "1"}
    # x264's macroblock tree does not give the same bytes twice: one file in five came out otherwise
    options["x264-params"] = "mbtree=0"
    stream = None
    with stages.atomic(path) as temporary:
        with av.open(
            url(temporary),
            "w",
            format=containers[path.suffix.lower()],
            options={"fflags": "+bitexact"},
        ) as container:
            for image in frames:
                if stream is None:
                    stream = container.add_stream("libx264", rate=rate, options=options)
                    stream.height, stream.width = image.shape[:2]
                    stream.pix_fmt = "yuv420p"
                    stream.codec_context.thread_count = 1
                    # BT.601, limited range, written into the stream so that no reader guesses
                    stream.codec_context.colorspace = 6
                    stream.codec_context.color_range = 1
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(picture))
            if stream is None:
                raise ValueError(f"no frames to write into {path}")
            container.mux(stream.encode(None))
