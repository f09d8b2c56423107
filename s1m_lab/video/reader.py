"""Read one video: probe it, cut segments out of it, or read all of it.

    info = reader.probe(path)                             # size, rate, duration, decoder
    for clip in reader.segments(path, [0.0, 2.5]): ...    # uint8 16×H×W×3 at 30 frames a second
    for seconds, image in reader.read(path): ...          # the whole video, frame by frame
    videos, left_out = reader.list_videos(folder)         # what counts as a video in a folder

This is the door for every other room; `container` opens files, `decoders` decodes them. A failure
is a `VideoError` whose reason is a key of `container.REASONS`.

Time 0 is the first frame that decodes. Segments are sampled and held: frame k is what a player
shows at `start + k/fps`. So at 30 frames a second a 25-fps video gives every fifth frame twice, a
60-fps video every other frame, and the speed of motion stays.

decord reads the files on which it agrees with a full decode (see `probe`), PyAV all others. There
both give the same bytes, so PyAV reads everything where decord is not installed.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from s1m_lab.common.storage import JUNK, list_files
from s1m_lab.video.container import (
    VideoError,
    decode_errors,
    decode_frames,
    error_line,
    lacks_times,
    open_video,
)
from s1m_lab.video.decoders import TICK, Av, Decord, Info, pictures_at

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .wmv .flv .mpg .mpeg .ts .mts .m2ts .3gp .ogv .gif .vob .f4v "
    ".3g2 .ogm .m1v .m2v .mpe .mpv .m2t .tp .trp .mod .tod .asf .divx .xvid .qt .ismv .mk3d".split()
)
LARGEST = 8192 * 8192  # pixels


def is_video(name: str) -> bool:
    """Whether a file of this name, relative to the folder in question, counts as a video.

    It has a suffix of `SUFFIXES`, in any case. No part of it is hidden or left by a system.
    """
    known = os.path.splitext(name)[1].lower() in SUFFIXES
    return known and not any(map(JUNK.fullmatch, name.split("/")))


def list_videos(root: Path | str) -> tuple[dict[str, list], dict[str, list[str]]]:
    """The videos below a folder or an address, and the names that are left out, by reason.

    Videos are relative names with their state (see `storage.list_files`). Links are followed. Left
    out are junk (folders of that kind, and videos) and files without a video's suffix. A folder
    ends in a slash.

    Raises OSError for a folder that cannot be read.
    """
    videos, junk, other = dict[str, list](), list[str](), list[str]()
    for name, state in sorted(list_files(str(root)).items()):
        if is_video(name):
            videos[name] = state
        elif not any(map(JUNK.fullmatch, name.split("/"))):
            other.append(name)
        elif name.endswith("/") or os.path.splitext(name)[1].lower() in SUFFIXES:
            junk.append(name)
    left = {"files hidden or left by a system": junk, "files without a video's suffix": other}
    return videos, left


def probe(path: Path, whole: bool = True) -> Info:
    """Read the header, the times of all frames and the first frame.

    Without `whole`, a file that is cut off is not refused: the part that is there is described. A
    cut is known by a header that promises more: frames (MP4, QuickTime, AVI), or a duration of
    which more than a second is missing (Matroska, WebM). A WebM without a duration, as browsers
    record them, and MPEG-TS promise nothing, so a cut there stays unknown.

    Pixels that a player would show wider than high stay as they are stored, as decord, torchvision
    and most pipelines leave them; `aspect` has their shape. Ratios beyond 1:4 and 4:1 are taken for
    a mistake of the header.

    Raises:
        VideoError: the file is missing, empty, no video, cut off, or its first frame is damaged.
    """
    with ExitStack() as opened:
        container, stream = opened.enter_context(open_video(path))
        stamps, times, clock, hidden, broken = _read_times(container, stream)
        if whole and broken:
            raise VideoError("truncated", broken)
        if clock and times.min() >= 0:
            container.seek(0)
        else:  # time stamps would mislead it, and frames before 0 would be lost
            container, stream = opened.enter_context(open_video(path))
        picture = _read_first_picture(container, stream)
        if picture.pts in stamps:  # a key frame that is cut off leaves frames that do not decode
            times = times[times >= times[stamps.index(picture.pts)]]
        times = np.sort(times)
        rotation, mirrored = _orientation(picture)
        step = float(times[-1] - times[0]) / max(1, len(times) - 1)
        step = step or 1 / float(stream.average_rate or 25)
        uneven = np.abs(times - times[0] - np.arange(len(times)) * step).max() > step / 4
        turned = picture.side_data.get("DISPLAYMATRIX")
        plain = stream.frames == len(times) and not (turned or uneven or hidden) and clock
        trusted = plain and _is_for_decord(container, stream, picture)
        width, height = picture.width, picture.height
        aspect = float(stream.sample_aspect_ratio or 1)
        aspect = aspect if 1 / 4 <= aspect <= 4 else 1.0
        if rotation % 180:
            width, height, aspect = height, width, 1 / aspect
        return Info(
            width=width,
            height=height,
            fps=1 / step,
            frames=len(times),
            duration=len(times) * step,
            rotation=rotation,
            codec=stream.codec_context.name,
            decoder="decord" if trusted else "av",
            origin=0.0 if lacks_times(container) else float(times[0]),
            aspect=aspect,
            broken=broken,
            mirrored=mirrored,
            times=None if clock else times - times[0],
        )


def _read_first_picture(container, stream):
    try:
        picture = next(decode_frames(container, stream), None)
    except decode_errors() as error:
        raise VideoError("corrupt", f"at the first frame: {error_line(error)}") from None
    if picture is None:
        raise VideoError("corrupt", "no frame can be decoded")
    if picture.width * picture.height > LARGEST:
        raise VideoError("unsupported", f"a frame of {picture.width}×{picture.height} pixels")
    return picture


def _orientation(picture) -> tuple[int, bool]:
    """The turn (degrees counter-clockwise), and whether it is mirrored after that.

    The display matrix ((a, b), (c, d)) shows the point (x, y) at (ax + cy, bx + dy). One without an
    area is ignored, as players do.
    """
    if (matrix := picture.side_data.get("DISPLAYMATRIX")) is None:
        return 0, False
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    area = a * d - b * c
    turn = -math.degrees(math.atan2(b, a if area > 0 else -a)) if area else 0.0
    return round(turn / 90) * 90 % 360, area < 0


def _is_for_decord(container, stream, picture) -> bool:
    """Whether decord agrees with a full decode, given an even rate and no hidden frames.

    Elsewhere it is known to disagree: it counts AVI's empty packets and frames that an edit list
    hides, picks another of several streams, loses precision of 10-bit video, turns rotated pictures
    by itself, takes some narrow pictures to have four channels, and cannot open files without a
    duration.
    """
    return (
        "mp4" in container.format.name
        and len(container.streams.video) == 1
        and stream.codec_context.name == "h264"
        and picture.format.name in ("yuv420p", "yuvj420p")
        and not _rows_mislead(picture.width)
    )


def _rows_mislead(width: int) -> bool:
    """Whether decord may take a picture to have more than three channels: it divides the bytes of
    a row in memory by the width. Rows are padded to 16, 32 (AVX2) or 64 pixels (AVX-512)."""
    padded = [-(-width // step) * step for step in (16, 32, 64)]
    return any(3 * row % width == 0 for row in padded if row > width)


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
    finish = partial(fit, height=size[0], width=size[1]) if size else np.asarray
    times = ((start + np.arange(frames) / fps).tolist() for start in starts)
    with closing(_open_decoder(path, info)) as decoder:
        for clip in pictures_at(decoder, times, finish):
            if len({image.shape for image in clip}) > 1:
                raise VideoError("unsupported", "the size of the picture changes within the video")
            yield np.stack(clip)


def read(
    path: Path, whole: bool = True, info: Info | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """The whole video, streaming: (seconds, uint8 H×W×3) at its own exact times.

    Without `whole`, a video that is cut off or damaged gives its frames up to there, and then
    raises the `VideoError`. `info` is the result of `probe`, where it is known: probing a long file
    takes a while.
    """
    info = info or probe(path, whole)
    # decord has no frame times, only a mean rate
    with closing(Av(path, info)) as decoder:
        for time, image in decoder.frames(0.0):
            yield time, image()
    if info.broken:
        raise VideoError("truncated", info.broken)


def _open_decoder(path: Path, info: Info) -> Decord | Av:
    if info.decoder == "decord":
        try:
            decoder = Decord(path, info)
            if len(decoder.video) == info.frames:
                return decoder
            decoder.close()
        except ImportError:  # no wheel of it for this machine: the same bytes, in more time
            pass
    return Av(path, info)


def count_readable_frames(path: Path) -> int:
    """The number of frames that decode from the start until the end or the first error."""
    count = 0
    with open_video(path) as (container, stream), suppress(*decode_errors()):
        for _ in decode_frames(container, stream):
            count += 1
    return count


def starts(
    duration: float, count: int, key: str, frames: int = 16, fps: float = 30.0
) -> list[float]:
    """Where up to `count` random segments of a video begin (s, ascending, all different).

    A pure function: the usable length is cut into `count` equal strata and a hash of (key, clip
    number) chooses the place in each, on the grid of 1/fps. Every place of the video is equally
    likely, and the clips spread over it. A video of 0.5 s or less has no place for 16 frames at
    30 fps: []. One of 0.6 s has three places, so at most three clips.
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


def _read_times(container, stream) -> tuple[list[int | None], np.ndarray, bool, int, str]:
    """Of every frame, as stored, its stamp and when it is shown (s); whether the stamps are a clock
    (`_clock`); how many frames are empty or hidden by an edit list; why the file ends early."""
    stamps, rows = list[int | None](), list[tuple]()
    hidden, broken, last = 0, "", 0.0  # last: s, the end of any stream
    timed = "matroska" in container.format.name and not stream.frames and container.duration
    try:
        for packet in container.demux() if timed else container.demux(stream):
            if timed and packet.pts is not None:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index or not packet.size and packet.dts is None:
                continue
            if not stamps and packet.has_sidedata("encryption_info"):
                raise VideoError("encrypted")
            if packet.size <= 1 or packet.is_discard:  # one byte is DivX's place-holder
                hidden += 1
                continue
            stamps.append(packet.pts)
            rows.append((packet.pts, packet.dts, hidden, packet.is_keyframe))
    except decode_errors() as error:
        broken = f"after {len(stamps)} frames: {error_line(error)}"
    if not stamps:
        raise VideoError("truncated", broken or "no frame is there")
    shown, order, before, keys = np.array(rows, float).T
    there = len(stamps) + hidden
    if lacks_times(container):  # its header counts empty frames too
        there = max(there, order[-1] + np.median(np.diff(order, prepend=-1)))
        shown = order = order - before
    if not broken and stream.frames > there + 1:
        broken = f"{len(stamps)} of {stream.frames} frames are there"
    rate, base = float(stream.average_rate or 25), float(stream.time_base)
    if not broken and timed and container.duration / 1e6 - last > max(1.0, 2 / rate):
        broken = f"{last:.2f} of {container.duration / 1e6:.2f} s are there"
    return stamps, *_clock(container, shown * base, order * base, keys > 0, rate), hidden, broken


def _clock(
    container, shown: np.ndarray, order: np.ndarray, keys: np.ndarray, rate: float
) -> tuple[np.ndarray, bool]:
    """When each frame is shown (s), and whether the stamps say so: one that jumps is no clock.

    Decoding stamps never go back, and go at most an hour ahead, in formats made for broadcast 10 s
    (as in ffmpeg). What follows a jump is moved: it begins one usual step after the last frame
    before. Frames without stamps are counted, at the mean rate.

    Raises:
        VideoError: a jump at a frame that needs others, or fewer frames than the stamps span.
    """
    import av

    steps = np.diff(order)
    known = steps[~np.isnan(steps)]
    usual = float(np.median(known)) if known.size else 0.0
    jumps = steps < -3 * usual  # a few frames back: a guess of B-frames that have no such stamp
    broadcast = container.format.flags & av.format.Flags.ts_discont.value
    jumps |= steps > max(10.0 if broadcast else 3600.0, 10 * usual)
    if (stampless := np.isnan(shown)).any():
        stamped = shown[~stampless]
        if stamped.size and np.ptp(stamped) > (len(shown) + 16) / rate:
            raise VideoError("corrupt", f"{stampless.sum()} frames without a time; encode it anew")
        return np.arange(len(shown)) / rate, False
    starts = np.flatnonzero(jumps) + 1
    if starts.size:  # MPEG-PS stamps the last frame before a jump by the first one after it
        shown = np.where(shown - order > 20 * usual, order + usual, shown)
    for at, end in pairwise([*starts, len(shown)]):
        if not keys[at]:
            why = f"time stamps jump from {order[at - 1]:.2f} to {order[at]:.2f} s"
            raise VideoError("corrupt", f"{why} between two key frames; encode it anew")
        shown[at:end] += shown[:at].max() + usual - shown[at:end].min()
    return shown, not (lacks_times(container) or jumps.any())
