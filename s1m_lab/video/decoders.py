"""Decode frames with decord or PyAV, and sample them at any times.

    decoder = Decord(path, info.fps)                      # or Av(path, info.fps, info.rotation)
    frames = FrameBuffer(decoder).at([0.0, 0.1, 0.2])     # uint8 H×W×3: RGB, upright

Use them through `reader`, which chooses the decoder by what `probe` found. `frames(start)` of a
decoder gives (seconds from the first frame, a function that makes the picture) from `start` on.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from s1m_lab.video.container import (
    VideoError,
    decode_errors,
    error_line,
    file_url,
    lacks_times,
    open_video,
)

TICK = 1e-3  # s; the coarsest time stamp in use, so what times may be off by
NEAR = 1.0  # s; up to here it is cheaper to decode on than to seek


class FrameBuffer:
    """Decoded frames from a start on, each passed through `finish` once.

    Segments that overlap are decoded once: frames stay until a segment begins after them.
    """

    def __init__(self, decoder, finish: Callable[[np.ndarray], np.ndarray] = np.asarray):
        self.decoder, self.finish = decoder, finish
        self.buffer: deque = deque()  # [seconds, function that makes the picture, picture]

    def at(self, times: Sequence[float]) -> list[np.ndarray]:
        """The picture on screen at each time (ascending): the last frame that is not later."""
        first, buffer = times[0] + TICK, self.buffer
        if not buffer or first < buffer[0][0] or first > buffer[-1][0] + NEAR:
            self.coming = self.decoder.frames(times[0])
            buffer.clear()
        images = []
        for time in times:
            while not buffer or buffer[-1][0] <= time + TICK:
                if (frame := next(self.coming, None)) is None:
                    break
                buffer.append([*frame, None])
                self._drop_before(first)
            self._drop_before(first)
            if not buffer:
                raise VideoError("corrupt", f"no frame can be decoded at {time:.2f} s")
            earlier = [frame for frame in buffer if frame[0] <= time + TICK]
            images.append(self._picture(earlier[-1] if earlier else buffer[0]))
        return images

    def _drop_before(self, first: float) -> None:
        """Drop the frames that are no longer on screen at `first`."""
        while len(self.buffer) > 1 and self.buffer[1][0] <= first:
            self.buffer.popleft()

    def _picture(self, frame: list) -> np.ndarray:
        if frame[2] is None:
            frame[2] = self.finish(frame[1]())
            frame[1] = None
        return frame[2]


class Decord:
    """Decode a file with decord, from the frame that is on screen at `start`."""

    def __init__(self, path: Path, fps: float):
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self.fps, self.error = fps, decord.DECORDError
        with self._errors_named():
            self.video = decord.VideoReader(file_url(path), num_threads=1)

    def frames(self, start: float) -> Iterator:
        last = len(self.video) - 1
        first = min(max(0, int((start + TICK) * self.fps)), last)
        for number in range(first, last + 1):
            with self._errors_named():
                if number == first:
                    self.video.seek_accurate(number)
                image = self.video.next().asnumpy()
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

    def __init__(self, path: Path, fps: float, rotation: int):
        from av.video.reformatter import VideoReformatter

        self.path, self.fps, self.rotation = path, fps, rotation
        self.opened: AbstractContextManager | None = None
        self.container: Any = None
        self.stream: Any = None
        self.convert = VideoReformatter().reformat
        self.origin: float | None = None  # s, the time stamp of the first frame

    def frames(self, start: float) -> Iterator:
        for back in (0.0, 2.0, 10.0):
            # AVI stores no presentation times: its frames are numbered from the first one
            if self.origin is None or start - back <= 0 or lacks_times(self.container):
                break
            target = int((self.origin + start - back) / self.stream.time_base)
            self.container.seek(target, stream=self.stream)
            frames = self._decode(key=True)
            first = next(frames, None)
            if first is not None and first[0] <= start + TICK:
                return itertools.chain([first], frames)
        self.close()
        self.opened = opened = open_video(self.path)
        self.container, self.stream = opened.__enter__()
        return self._decode()

    def _decode(self, key: bool = False) -> Iterator:
        timeless = lacks_times(self.container)
        try:
            for number, picture in enumerate(self.container.decode(self.stream)):
                key = key and not picture.key_frame
                if key:
                    continue
                time = number / self.fps
                if not timeless and picture.pts is not None:
                    time = float(picture.pts * self.stream.time_base)
                    self.origin = time if self.origin is None else self.origin
                    time -= self.origin
                yield time, lambda picture=picture: self._upright(picture)
        except decode_errors() as error:
            raise VideoError("corrupt", error_line(error)) from None

    def _upright(self, picture) -> np.ndarray:
        image = self.convert(picture, format="rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, self.rotation // 90))

    def close(self) -> None:
        if self.opened:
            self.opened.__exit__(None, None, None)
            self.opened = None
