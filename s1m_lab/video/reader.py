"""Probe, decode and encode a file; every failure gets a name.

    info = video.probe(path)                              # size, rate, duration, who may decode it
    for clip in video.segments(path, [0.0, 2.5]): ...     # uint8 16×H×W×3 at 30 frames a second
    for seconds, image in video.read(path): ...           # the whole film, one frame at a time
    with video.opened(path) as (container, stream): ...   # what PyAV makes of it, opened safely

Time 0 is the first frame. A segment is sampled and held: its frame k is what a player shows at
`start + k/fps` (the last frame whose time is not later), so of a 25-fps film every fifth frame
stands twice and of a 60-fps film every other one is left out; the speed of motion never changes.

decord reads what it can be trusted with (see `probe`), PyAV all else; where both may, they give
the same bytes, so that PyAV reads all of it where decord is not installed. A file is opened as a
local file of a known video container and as nothing else: no protocol, playlist or option can hide
in its name or its content.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from s1m_lab.video.container import VideoError, decode_errors, error_line, lacks_times, open_video
from s1m_lab.video.decoders import TICK, Av, Decord, FrameBuffer

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .wmv .flv .mpg .mpeg .ts .mts .m2ts .3gp .ogv .gif".split()
)
LARGEST = 8192 * 8192  # pixels


@dataclass(frozen=True)
class Info:
    """What `probe` found. `width` and `height` are those of the picture as it is shown, upright by
    `rotation`, quarter turns (degrees, counter-clockwise)."""

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
    aspect: float = 1.0  # how much wider than high a pixel is to be shown
    broken: str = ""  # why the file ends before its time, "" where it does not


def probe(path: Path, whole: bool = True) -> Info:
    """Read the header, the times of all frames and the first frame.

    Without `whole`, a file that is cut off is not refused: what is told is that of its part. A cut
    is known by a header that promises more: frames (MP4, QuickTime, AVI), or a duration of which
    more than a second is missing (Matroska, WebM). A WebM without a duration, as browsers record
    them, and MPEG-TS promise nothing: where these are cut off, no one can tell.

    Pixels that a player would show wider than high stay as they are stored, as decord, torchvision
    and most pipelines leave them: `aspect` tells. Ratios beyond 1:4 and 4:1 are taken for a mistake
    of the header.

    decord is trusted with MP4 and QuickTime files of one video stream, 8-bit 4:2:0, not rotated,
    at an even rate, whose header counts exactly the frames that are shown. Elsewhere it is known to
    disagree with a full decode: it counts AVI's empty packets and frames that an edit list
    hides, picks another of several streams, loses precision of 10-bit video, turns rotated
    pictures by itself, takes narrow pictures (48 pixels) to have four channels, and cannot open
    files without a duration.

    Raises:
        VideoError: the file is missing, empty, no video, cut off, or its first frame is damaged.
    """
    with open_video(path) as (container, stream):
        times, hidden, broken = _times(container, stream)
        if whole and broken:
            raise VideoError("truncated", broken)
        try:
            container.seek(0)
            picture = next(container.decode(stream), None)
        except decode_errors() as error:
            raise VideoError("corrupt", f"at the first frame: {error_line(error)}") from None
        if picture is None:
            raise VideoError("corrupt", "no frame can be decoded")
        aspect = _aspect(stream)
        size = picture.width, picture.height
        if math.prod(size) > LARGEST:
            raise VideoError("unsupported", f"a frame of {size[0]}×{size[1]} pixels")
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
            and stream.frames == len(times)
            and not (rotation or uneven or hidden)
        )
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
            origin=0.0 if lacks_times(container) else float(times[0]),
            aspect=1 / aspect if rotation % 180 else aspect,
            broken=broken,
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
        tape = FrameBuffer(
            reader, partial(fit, height=size[0], width=size[1]) if size else np.asarray
        )
        for start in starts:
            clip = tape.at(start + np.arange(frames) / fps)
            if len({image.shape for image in clip}) > 1:
                raise VideoError("unsupported", "the size of the picture changes within the film")
            yield np.stack(clip)


def read(
    path: Path, fps: float | None = None, whole: bool = True, info: Info | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """The whole film, streaming: (seconds, uint8 H×W×3), by default at its own exact times.

    `fps` resamples it by sample and hold. Without `whole`, a film that is cut off or damaged gives
    its frames up to there, and only then raises the `VideoError` that says what is wrong. `info`
    is what `probe` has found, if it was asked before: a long file takes a while.
    """
    info = info or probe(path, whole)
    if fps is None:
        reader = _av(path, info)  # decord knows no times, only a mean rate
        with closing(reader):
            for time, image in reader.frames(0.0):
                yield time, image()
        if info.broken:
            raise VideoError("truncated", info.broken)
        return
    with closing(_reader(path, info)) as reader:
        tape = FrameBuffer(reader)
        for number in range(max(1, round(info.duration * fps))):
            yield number / fps, tape.at([number / fps])[0]


def _reader(path: Path, info: Info) -> Decord | Av:
    if info.decoder == "decord":
        try:
            reader = Decord(path, info.fps)
        except ImportError:  # no wheel of it for this machine: the same bytes, in more time
            return _av(path, info)
        if len(reader.film) == info.frames:
            return reader
        reader.close()
    return _av(path, info)


def _av(path: Path, info: Info) -> Av:
    return Av(path, info.fps, info.rotation)


def count_readable_frames(path: Path) -> int:
    """How many frames a decode from the start gives until it ends or fails."""
    count = 0
    with open_video(path) as (container, stream):
        try:
            for _ in container.decode(stream):
                count += 1
        except decode_errors():
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

    176×132 to 132×132 is a crop of 22 columns on each side and no resize. The filter is Pillow's
    (bilinear, in whole numbers), by torch in a quarter of its time; in one pixel of a hundred the
    two differ by 1 of 255.
    """
    full_height, full_width = image.shape[:2]
    scale = min(full_height / height, full_width / width)
    tall, wide = round(height * scale), round(width * scale)
    top, left = (full_height - tall) // 2, (full_width - wide) // 2
    crop = image[top : top + tall, left : left + wide]
    if crop.shape[:2] == (height, width):
        return crop
    import torch

    x = torch.from_numpy(crop.copy())[None].permute(0, 3, 1, 2)  # 1×3×H×W, colours still last
    x = torch.nn.functional.interpolate(x, (height, width), mode="bilinear", antialias=True)
    return x.permute(0, 2, 3, 1)[0].numpy()


def _times(container, stream) -> tuple[np.ndarray, int, str]:
    """When each frame is shown (s, ascending), how many an edit list hides, and why the file ends
    before its time, "" where it does not."""
    stamps, hidden, ends, broken = [], 0, {}, ""
    timed = "matroska" in container.format.name and not stream.frames and container.duration
    try:
        for packet in container.demux() if timed else container.demux(stream):
            if timed and packet.pts is not None:
                end = packet.pts + (packet.duration or 0)
                ends[packet.stream_index] = max(end, ends.get(packet.stream_index, end))
            if packet.stream_index != stream.index:
                continue
            if not stamps and packet.has_sidedata("encryption_info"):
                raise VideoError("encrypted")
            if packet.size > 1:  # one byte is DivX's place-holder, of which no frame comes
                hidden += packet.is_discard
                if not packet.is_discard:
                    stamps.append(packet.pts)
    except decode_errors() as error:
        broken = f"after {len(stamps)} frames: {error_line(error)}"
    if not stamps:
        raise VideoError("truncated", broken or "no frame is there")
    rate, base = float(stream.average_rate or 25), float(stream.time_base)
    uncounted = lacks_times(container) or None in stamps
    times = np.arange(len(stamps)) / rate if uncounted else np.sort(np.array(stamps)) * base
    last = max((end * container.streams[k].time_base for k, end in ends.items()), default=0)
    if not broken and stream.frames > len(times) + hidden + 1:
        broken = f"{len(times)} of {stream.frames} frames are there"
    if not broken and timed and container.duration / 1e6 - last > max(1.0, 2 / rate):
        broken = f"{float(last):.2f} of {container.duration / 1e6:.2f} s are there"
    return times, hidden, broken


def _aspect(stream) -> float:
    """The width of a pixel over its height, as the file and its codec say; 1 where they do not."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 1 / 4 <= ratio <= 4 else 1.0
