"""A film written frame by frame, with times of its own and the sound of another.

    with film.writing("out.mp4", like="in.mov") as out:
        out.add(seconds, image)                           # uint8 H×W×3, even sides
    film.player("out.mp4")                                # to look at, in a notebook or a report

H.264 in an MP4, frame times in 1/90,000 s, so a film of variable rate keeps it. Sound is copied
packet by packet where MP4 can hold it and encoded as AAC where not; one that fails ends there, and
the film goes on. Sound and pictures are written side by side, so memory does not grow with the film
but for the file's index. The file appears when it is whole.
"""

import base64
import errno
import io
import itertools
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from fractions import Fraction
from html import escape
from pathlib import Path

import numpy as np

from s1m_lab.common.files import atomic
from s1m_lab.video import reader
from s1m_lab.video.container import errors, line, opened, url


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
    with atomic(path) as temporary:
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
                picture = av.VideoFrame.from_numpy_buffer(
                    np.ascontiguousarray(image), format="rgb24"
                )
                container.mux(stream.encode(picture))
            if stream is None:
                raise ValueError(f"no frames to write into {path}")
            container.mux(stream.encode(None))


TICKS = 90_000  # a second; 1/24, 1001/30000 and 1/25 s are whole numbers of them
COPIED = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})  # others become AAC
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # errors of the disk
CONTROLS = 56  # px below the picture in a player, so that its buttons hide nothing
PRIMED = 0.1  # s of sound kept before the first frame, that a decoder needs and a player hides


@contextmanager
def writing(
    path: Path, like: Path | None = None, origin: float = 0.0, **encoding
) -> Iterator["Film"]:
    """A `Film` to add frames to, with the first sound track of the film `like`, whose first frame
    is stamped `origin` (s)."""
    import av

    path = Path(path)
    with (
        atomic(path) as temporary,
        av.open(url(temporary), "w", format="mp4") as container,
    ):
        film = Film(container, **encoding)
        with closing(film.sound_of(like, origin)) as film.packets:
            yield film
            film.finish()


class Film:
    """What `writing` gives. `sound` says in words what became of the sound."""

    def __init__(self, container, fps: float = 30.0, crf: int = 20, bit_rate: int = 0):
        self.container, self.fps, self.stream = container, fps, None
        self.encoding = {"b": str(bit_rate)} if bit_rate else {"crf": str(crf)}
        self.sound, self.packets, self.waiting = "none", iter(()), None
        self.last, self.heard = -1, 0  # stamp of the last frame; packets of sound that were written

    def add(self, seconds: float, image: np.ndarray) -> None:
        """One frame, shown from `seconds` (ascending) on, and the sound up to there."""
        import av

        if self.stream is None:
            self.stream = self._pictures(*image.shape[:2])
            self.waiting = next(self.packets, None)  # the tracks of a file are known at its start
        self.hear(seconds)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        picture.time_base = self.stream.codec_context.time_base
        picture.pts = max(round(seconds * TICKS), self.last + 1)
        self.last = picture.pts
        self.write(self.stream.encode(picture))

    def hear(self, seconds: float) -> None:
        """Write the sound that begins before `seconds`."""
        while self.waiting is not None and self.waiting[0] < seconds:
            packet, self.waiting = self.waiting[1], next(self.packets, None)
            self.heard += 1
            self.write([packet])

    def write(self, packets: Sequence) -> None:
        """Into the file, which holds packets back to put them in order: what it refuses is a packet
        of the sound, though it may say so at one of the pictures."""
        for packet in packets:
            try:
                self.container.mux(packet)
            except errors() as error:
                if not self.heard or getattr(error, "errno", None) in FULL:
                    raise
                self.heard -= 1
                if self.waiting is not None:
                    self.sound += _broken(self.waiting[0], error)
                    self.end(0.0)

    def end(self, seconds: float) -> None:
        """No sound from `seconds` on, where the pictures end before their time."""
        self.hear(seconds)
        self.waiting, self.packets = None, iter(())

    def finish(self) -> None:
        if self.stream is None:
            raise ValueError("no frames to write")
        self.write(self.stream.encode(None))
        self.hear(math.inf)

    def _pictures(self, height: int, width: int):
        from fractions import Fraction

        options = {"preset": "veryfast", "g": "60", "threads": "1", "x264-params": "mbtree=0"}
        rate = Fraction(self.fps).limit_denominator(1001)
        stream = self.container.add_stream("libx264", rate=rate, options=options | self.encoding)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1  # BT.601, limited
        return stream

    def sound_of(self, path: Path | None, origin: float) -> Iterator:
        """(seconds, packet) of the first sound track, timed from the frame stamped `origin`.

        What cannot be read is left out; a track that breaks off ends there, and `sound` says so.
        """
        if path is None:
            return
        seconds = None
        with opened(path) as (source, _):
            track = next((s for s in source.streams.audio if s.codec_context is not None), None)
            if track is None:
                return
            codec = track.codec_context.codec.canonical_name
            copied = codec in COPIED and _held(path, track.index)
            self.sound = f"{codec}, copied" if copied else f"{codec}, made aac"
            make = _copies if copied else _encoded
            try:
                for packet in make(source, track, self.container, origin):
                    seconds = float(packet.pts * packet.time_base)
                    yield seconds, packet
                if seconds is None:
                    self.sound = f"{codec}, of which nothing can be read"
            except errors() as error:
                self.sound += _broken(seconds or 0.0, error)


def _broken(seconds: float, error: Exception) -> str:
    return f", broken off at about {seconds:.1f} s ({line(error)})"


def _held(path: Path, index: int) -> bool:
    """Whether an MP4 takes that sound as it is: tried with its first packets.

    It does not take MP3 below 16 kHz, or AAC whose set-up stands in its packets, as in MPEG-TS.
    """
    import av

    out = av.open(io.BytesIO(), "w", format="mp4")
    try:
        with opened(path) as (source, _):
            for packet in itertools.islice(_copies(source, source.streams[index], out, 0.0), 9):
                out.mux(packet)
        out.close()
    except errors():
        with suppress(*errors()):
            out.close()
        return False
    return True


def _copies(source, track, container, origin: float) -> Iterator:
    """The packets as they are, `origin` seconds earlier."""
    target, last = container.add_stream_from_template(track), None
    for packet in source.demux(track):
        if packet.dts is None or packet.pts is None or (last is not None and packet.dts <= last):
            continue
        last, shift = packet.dts, round(origin / packet.time_base)
        packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
        if (packet.pts + (packet.duration or 0)) * packet.time_base > -PRIMED:
            packet.stream = target
            yield packet


def _encoded(source, track, container, origin: float) -> Iterator:
    """The sound decoded and encoded as AAC; packets that cannot be decoded are left out."""
    rate = track.codec_context.sample_rate
    rate = rate if rate in (16000, 22050, 24000, 32000, 44100, 48000) else 48000
    layout = "mono" if track.codec_context.layout.nb_channels == 1 else "stereo"
    target = container.add_stream("aac", rate=rate, layout=layout)
    for packet in source.demux(track):
        try:
            frames = packet.decode()
        except errors():
            continue
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(origin / frame.time_base)
                if (frame.pts + frame.samples / frame.sample_rate / frame.time_base) <= 0:
                    continue
            yield from target.encode(frame)
    yield from target.encode(None)


def player(path: str | Path, seconds: float = 8.0, limit: int = 230_000):
    """The film as HTML that plays anywhere, the file itself within it: no script, no network.

    One of more than `limit` bytes is shown as an excerpt, its first `seconds`, coarser, no wider
    than 640 pixels and without its sound; the line below says so, and where the whole film is.
    """
    from IPython.display import HTML

    path = Path(path)
    data, said = path.read_bytes() if path.stat().st_size <= limit else b"", "The whole film"
    info = reader.probe(path)
    if not data:
        data = _excerpt(path, info, min(seconds, info.duration), limit)
        said = "The whole film, coarser and silent here"
        if info.duration > seconds:
            said = f"The first {seconds:g} of {info.duration:,.1f} s, coarser and silent here"
    text = base64.b64encode(data).decode()
    scale = min(1.25, 720 / info.width, 600 / info.height)
    width, height = round(info.width * scale), round(info.height * scale) + CONTROLS
    return HTML(
        f'<figure style="margin:0"><video controls loop muted playsinline preload="auto" '
        f'style="width:100%;max-width:{width}px;aspect-ratio:{width}/{height};object-fit:contain;'
        f'object-position:top;background:#0d0f14" src="data:video/mp4;base64,{text}"></video>'
        f'<figcaption style="font-size:85%">{said}: <code>{escape(str(path))}</code></figcaption>'
        "</figure>"
    )


def _excerpt(path: Path, info: reader.Info, seconds: float, limit: int) -> bytes:
    """The beginning of a film in no more than `limit` bytes, as far as that can be had."""
    from PIL import Image

    scale = min(1.0, 640 / max(info.width, info.height))
    size = tuple(2 * max(1, round(side * scale / 2)) for side in (info.width, info.height))
    for share in (0.9, 0.6, 0.3, 0.1):
        with tempfile.TemporaryDirectory() as folder:
            out, rate = Path(folder) / "excerpt.mp4", round(8 * share * limit / max(seconds, 0.5))
            frames = reader.read(path, info=info)
            with writing(out, fps=info.fps, bit_rate=rate) as film:
                for time, image in itertools.takewhile(lambda f: f[0] < seconds, frames):
                    small = Image.fromarray(image).resize(size, Image.LANCZOS)
                    film.add(time, np.asarray(small))
            data = out.read_bytes()
        if len(data) <= limit:
            break
    return data
