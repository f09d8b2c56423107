"""The frames of a film by decord or PyAV, and a tape on which they are sampled and held.

Either decoder is made with what `video.probe` found and gives `frames(start)`, from second `start`
on: (seconds from the first frame, a function that makes the uint8 H×W×3 picture: RGB, upright, of
square pixels).
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    """A film that is sampled and held, each picture `finish`ed once, and that can be wound back to
    the last segment's start, so that segments which overlap are decoded once."""

    def __init__(self, reader, finish: Callable[[np.ndarray], np.ndarray] = np.asarray):
        self.reader, self.finish = reader, finish
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
            frame[2] = self.finish(frame[1]())
            frame[1] = None
        return frame[2]


class Decord:
    """Frames of a file by decord, from the one that is on screen at `start`."""

    def __init__(self, path: Path, fps: float):
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self.fps, self.error = fps, decord.DECORDError
        with self._named():
            self.film = decord.VideoReader(file_url(path), num_threads=1)

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
            raise VideoError("corrupt", error_line(error).rsplit(": ", 1)[-1]) from None

    def close(self) -> None:
        self.film = None


class Av:
    """Frames of a file by PyAV, from `start` or a little before.

    A seek counts only when it ends on a key frame not later than `start`; what decoders put out
    before that key frame is incomplete.
    """

    def __init__(self, path: Path, fps: float, rotation: int):
        from av.video.reformatter import VideoReformatter

        self.path, self.fps, self.rotation = path, fps, rotation
        self.opened = None
        self.convert = VideoReformatter().reformat
        self.origin = None  # s, the stamp of the first frame

    def frames(self, start: float) -> Iterator:
        for back in (0.0, 2.0, 10.0):
            # AVI stores no times of presentation: its frames are counted from the first one
            if self.origin is None or start - back <= 0 or lacks_times(self.container):
                break
            target = int((self.origin + start - back) / self.stream.time_base)
            self.container.seek(target, stream=self.stream)
            frames = self._decode(key=True)
            first = next(frames, None)
            if first is not None and first[0] <= start + TICK:
                return itertools.chain([first], frames)
        self.close()
        self.opened = open_video(self.path)
        self.container, self.stream = self.opened.__enter__()
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
