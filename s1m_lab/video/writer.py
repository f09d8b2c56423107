"""Write one video: from frames alone, or frame by frame with times and sound.

    writer.encode("out.mp4", frames, fps=30)              # uint8 H×W×3, even sides
    with writer.open_writer("out.mp4", sound="in.mov") as out:
        out.add(seconds, image)
    writer.show_video("out.mp4")                          # in a notebook or a report

`open_writer` makes H.264 in an MP4 with frame times in 1/90,000 s, so a variable rate stays. Sound
is encoded as AAC. Sound and pictures are written side by side, so memory does not grow with the
video, except for the index of the file. A file appears when it is whole.
"""

import math
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s1m_lab.common.files import atomic
from s1m_lab.video import reader
from s1m_lab.video.container import decode_errors, error_line, file_url, open_video

TICKS = 90_000  # a second; 1/24, 1001/30000 and 1/25 s are whole numbers of them
AAC_RATES = (16000, 22050, 24000, 32000, 44100, 48000)  # Hz
CONTROLS = 56  # px below the picture in a player, so that its buttons hide nothing


def encode(
    path: Path, frames: Iterable[np.ndarray], fps: float = 30.0, crf: int = 18, gop: int = 30
) -> None:
    """Write `frames` (uint8 H×W×3, RGB, even sides) as H.264 into an MP4, MOV, MKV or AVI.

    One encoder thread and no time stamps in the header: the same frames give the same bytes.
    The file appears when it is whole.
    """
    import av

    path = Path(path)
    kind = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}[path.suffix.lower()]
    stream, exact = None, {"fflags": "+bitexact"}
    with (
        atomic(path) as temporary,
        av.open(file_url(temporary), "w", format=kind, options=exact) as container,
    ):
        for image in frames:
            stream = stream or _add_stream(container, image, fps, crf=crf, g=gop)
            picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(picture))
        if stream is None:
            raise ValueError(f"no frames to write into {path}")
        container.mux(stream.encode(None))


def _add_stream(container, image: np.ndarray, fps: float, **options):
    """A stream of H.264, 4:2:0, for pictures like `image`."""
    # x264's macroblock tree does not give the same bytes twice: one file in five came out otherwise
    fixed = {"preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
    given = {name: str(value) for name, value in options.items()}
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate, options=fixed | given)
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = "yuv420p"
    # BT.601, limited range, written into the stream so that no reader guesses
    stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
    return stream


@contextmanager
def open_writer(
    path: Path, sound: Path | None = None, origin: float = 0.0, fps: float = 30.0, bit_rate: int = 0
) -> Iterator["VideoWriter"]:
    """A `VideoWriter` to add frames to; the file `path` appears when the block ends.

    Args:
        sound: a video whose first sound track is written beside the frames.
        origin: its own time stamp of its first frame (s).
        bit_rate: highest rate of the pictures (bits a second); the file may hold one second's
            worth more. 0 is constant quality (crf 20).

    Raises:
        ValueError: no frame was added.
    """
    import av

    with (
        atomic(Path(path)) as temporary,
        av.open(file_url(temporary), "w", format="mp4") as container,
    ):
        written = VideoWriter(container, fps, bit_rate)
        with closing(written._encode_sound(sound, origin)) as written.packets:
            yield written
            if written.stream is None:
                raise ValueError("no frames to write")
            container.mux(written.stream.encode(None))
            written._write_sound(math.inf)


class VideoWriter:
    """What `open_writer` gives. `sound` says in words what became of the sound."""

    def __init__(self, container, fps: float, bit_rate: int):
        self.container, self.fps = container, fps
        self.stream: Any = None  # of pictures, from the first frame on
        self.encoding = {"crf": 20}
        if bit_rate:
            self.encoding = dict.fromkeys(("b", "maxrate", "bufsize"), bit_rate)
        self.sound = "none"
        self.packets: Iterator = iter(())
        self.next_packet: Any = None
        self.last_tick = -1  # of the last frame

    def add(self, seconds: float, image: np.ndarray) -> None:
        """Write one frame, shown from `seconds` (ascending) on, and the sound up to there."""
        import av

        if self.stream is None:
            self.stream = _add_stream(self.container, image, self.fps, g=60, **self.encoding)
            self.stream.time_base = self.stream.codec_context.time_base = Fraction(1, TICKS)
            self.next_packet = next(self.packets, None)  # adds its stream before the header
        self._write_sound(seconds)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        picture.time_base = self.stream.codec_context.time_base
        picture.pts = self.last_tick = max(round(seconds * TICKS), self.last_tick + 1)
        self.container.mux(self.stream.encode(picture))

    def end_sound(self, seconds: float) -> None:
        """Write the sound up to `seconds` and none after it."""
        self._write_sound(seconds)
        self.next_packet = None

    def _write_sound(self, end: float) -> None:
        """Write the packets of sound that begin before `end` (s)."""
        while self.next_packet and self.next_packet.pts * self.next_packet.time_base < end:
            self.container.mux(self.next_packet)
            self.next_packet = next(self.packets, None)

    def _encode_sound(self, path: Path | None, origin: float) -> Generator:
        """AAC packets of the first sound track of `path`, timed from the frame at `origin` (s).

        A packet that cannot be decoded is left out, a track that breaks off ends there, and `sound`
        reports both.
        """
        if path is None:
            return
        with open_video(path) as (source, _):
            track = next((s for s in source.streams.audio if s.codec_context is not None), None)
            if track is None:
                return
            codec = track.codec_context.codec.canonical_name
            rate = track.codec_context.sample_rate
            rate = rate if rate in AAC_RATES else 48000
            layout = "mono" if track.codec_context.layout.nb_channels == 1 else "stereo"
            target = self.container.add_stream("aac", rate=rate, layout=layout)
            self.sound, decoded, lost = f"{codec}, encoded as AAC", 0, 0
            try:
                for frame in _decode_sound(source, track, origin):
                    if frame is None:
                        lost += 1
                        continue
                    decoded += frame.samples / frame.sample_rate
                    yield from target.encode(frame)
                yield from target.encode(None)
            except decode_errors() as error:
                self.sound += f", broken off after {decoded:.1f} s ({error_line(error)})"
            if not decoded:
                self.sound = f"{codec}, of which nothing can be read"
            elif lost:
                self.sound += f", {decoded:.1f} s of it ({lost:,} packets cannot be decoded)"


def _decode_sound(source, track, origin: float) -> Iterator:
    """The frames of a sound track, `origin` s earlier, from 0 on.

    None stands for a packet that cannot be decoded, or for a frame without a time.
    """
    for packet in source.demux(track):
        try:
            frames = packet.decode()
        except decode_errors():
            yield None
            continue
        for frame in frames:
            if frame.pts is None:
                yield None
                continue
            frame.pts -= round(origin / frame.time_base)
            if frame.pts * frame.time_base + frame.samples / frame.sample_rate > 0:
                yield frame


def show_video(path: str | Path, seconds: float = 8.0, limit: int = 230_000):
    """A player for a cell to end with, which holds the video itself: no script, no network.

    A file of more than `limit` bytes is shown as an excerpt: its first `seconds`, coarser, at most
    640 pixels wide and silent. A printed line says so.
    """
    from IPython.display import Video

    path, info = Path(path), reader.probe(path)
    if path.stat().st_size <= limit:
        data = path.read_bytes()
    else:
        data = _encode_excerpt(path, info, min(seconds, info.duration), limit)
        part = f"the first {seconds:g} of" if info.duration > seconds else "all"
        print(
            f"Shown coarser and silent: {part} {info.duration:,.1f} s. The file has the original."
        )
    scale = min(1.25, 720 / info.width, 600 / info.height)
    width, height = round(info.width * scale), round(info.height * scale) + CONTROLS
    look = f"max-width:100%;height:auto;aspect-ratio:{width}/{height};object-position:top"
    attributes = f'controls loop muted playsinline style="{look}"'
    return Video(data, None, None, True, "video/mp4", width, html_attributes=attributes)


def _encode_excerpt(path: Path, info: reader.Info, seconds: float, limit: int) -> bytes:
    """The first `seconds` of a video as an MP4 of at most `limit` bytes, if that can be."""
    scale = min(1.0, 640 / max(info.width, info.height))
    width, height = (2 * max(1, round(side * scale / 2)) for side in (info.width, info.height))
    rate = round(8 * 0.9 * limit / (seconds + 1))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "excerpt.mp4"
        with open_writer(out, fps=info.fps, bit_rate=rate) as written:
            for time, image in reader.read(path, info=info):
                if time >= seconds:
                    break
                small = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
                written.add(time, np.asarray(small))
        return out.read_bytes()
