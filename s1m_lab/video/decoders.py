"""Decode frames with decord or PyAV, and sample them at any times.

    decoder = Decord(path, info)                          # or Av(path, info)
    for images in pictures_at(decoder, [[0.0, 0.1], [0.5, 0.6]], np.asarray): ...

Pictures are uint8 H×W×3: RGB, upright.

Use them through `reader`, which chooses the decoder by what `probe` found. `frames(start)` of a
decoder gives (seconds from the first frame, a function that makes the picture) from `start` on.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s1m_lab.video.container import (
    VideoError,
    decode_errors,
    decode_frames,
    error_line,
    file_url,
    open_video,
)

TICK = 1e-3  # s; the coarsest time stamp in use, so what times may be off by
MISSING = 0.1  # s; so much may be missing at the end of a film, where the last frame is held
NEAR = 1.0  # s; up to here it is cheaper to decode on than to seek


@dataclass(frozen=True)
class Info:
    """What `reader.probe` found; `width` and `height` of the upright picture, in stored pixels."""

    width: int
    height: int
    fps: float  # mean rate of the frames that are shown
    frames: int  # how many are shown
    duration: float  # s, from the first frame to the end of the last
    rotation: int  # degrees counter-clockwise, in quarter turns, that make it upright
    codec: str
    decoder: str  # "decord" or "av"
    origin: float  # s, the file's own time stamp of the first frame; sound is timed by it
    aspect: float = 1.0  # width of a shown pixel over its height
    broken: str = ""  # why the file ends early, "" where it does not
    mirrored: bool = False  # left and right change places, once it is turned
    times: np.ndarray | None = None  # s, of all frames; None where the file's own stamps are


def pictures_at(
    decoder, segments: Iterable[Sequence[float]], finish: Callable[[np.ndarray], np.ndarray]
) -> Iterator[list[np.ndarray]]:
    """For each segment the pictures on screen at its times (s, ascending), through `finish`.

    On screen is the last frame that is not later. Segments that overlap are decoded once: frames
    stay until a segment begins after them. The last frame of the video is held; a decoder that ends
    more than `MISSING` before it raises `VideoError`.
    """
    info = decoder.info
    early = (info.frames - 1) / info.fps - max(1.5 / info.fps, MISSING)  # s
    buffer: deque = deque()  # frames: [seconds, function that makes the picture, picture]
    for times in segments:
        first = times[0] + TICK
        if not buffer or first < buffer[0][0] or first > buffer[-1][0] + NEAR:
            coming = decoder.frames(times[0])
            buffer.clear()
        while not buffer or buffer[-1][0] <= times[-1] + TICK:
            if (frame := next(coming, None)) is None:
                if buffer and buffer[-1][0] < early:
                    why = f"no frame can be decoded after {buffer[-1][0]:.2f} s"
                    raise VideoError("corrupt", why)
                break
            buffer.append([*frame, None])
            while len(buffer) > 1 and buffer[1][0] <= first:
                buffer.popleft()
        if not buffer:
            raise VideoError("corrupt", f"no frame can be decoded at {times[0]:.2f} s")
        images = []
        for time in times:
            earlier = [frame for frame in buffer if frame[0] <= time + TICK]
            shown = earlier[-1] if earlier else buffer[0]
            if shown[2] is None:
                shown[1:] = None, finish(shown[1]())
            images.append(shown[2])
        yield images


class Decord:
    """Decode a file with decord, from the frame that is on screen at `start`."""

    def __init__(self, path: Path, info: Info):
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self.info, self.fps, self.error = info, info.fps, decord.DECORDError
        with self._errors_named():
            self.video = decord.VideoReader(file_url(path), num_threads=1)

    def frames(self, start: float) -> Iterator:
        last = len(self.video) - 1
        first = min(max(0, int((start + TICK) * self.fps)), last)
        for number in range(first, last + 1):
            with self._errors_named():
                image = self.video[number].asnumpy()
            yield number / self.fps, lambda image=image: image

    @contextmanager
    def _errors_named(self):
        try:
            yield
        except (self.error, RuntimeError, AssertionError, StopIteration) as error:
            raise VideoError("corrupt", error_line(error).rsplit(": ", 1)[-1]) from None

    def close(self) -> None:
        self.video = None


class Av:
    """Decode a file with PyAV, from `start` or a little before.

    A seek is accepted only if it ends on a key frame not later than `start`. Pictures that come
    before that key frame are incomplete, and are skipped.
    """

    def __init__(self, path: Path, info: Info):
        from av.video.reformatter import VideoReformatter

        self.path, self.info = path, info
        self.opened = ExitStack()
        self.container: Any = None
        self.stream: Any = None
        self.convert = VideoReformatter().reformat
        self.origin: float | None = None  # s, the time stamp of the first frame

    def frames(self, start: float) -> Iterator:
        for back in (0.0, 2.0, 10.0):
            # without a clock frames are counted from the first one
            if self.origin is None or start - back <= 0 or self.info.times is not None:
                break
            target = int((self.origin + start - back) / self.stream.time_base)
            self.container.seek(target, stream=self.stream)
            frames = self._decode(key=True)
            first = next(frames, None)
            if first is not None and first[0] <= start + TICK:
                return itertools.chain([first], frames)
        self.close()
        self.container, self.stream = self.opened.enter_context(open_video(self.path))
        return self._decode()

    def _decode(self, key: bool = False) -> Iterator:
        times = self.info.times
        try:
            for number, picture in enumerate(decode_frames(self.container, self.stream)):
                key = key and not picture.key_frame
                if key:
                    continue
                time = number / self.info.fps
                if times is not None:
                    time = float(times[min(number, len(times) - 1)])
                elif picture.pts is not None:
                    time = float(picture.pts * self.stream.time_base)
                    self.origin = time if self.origin is None else self.origin
                    time -= self.origin
                yield time, lambda picture=picture: self._upright(picture)
        except decode_errors() as error:
            raise VideoError("corrupt", error_line(error)) from None

    def _upright(self, picture) -> np.ndarray:
        image = self.convert(picture, format="rgb24", threads=1).to_ndarray()
        image = np.rot90(image, self.info.rotation // 90)
        return np.ascontiguousarray(image[:, ::-1] if self.info.mirrored else image)

    def close(self) -> None:
        self.opened.close()
