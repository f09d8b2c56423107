"""Files are read frame by frame as a full decode gives them, or get a name for what is wrong."""

import csv
import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from s1m_lab.video import decoders, writer
from s1m_lab.video import reader as video_reader
from s1m_lab.video.container import REASONS, VideoError


def counter(n: int, side: int = 192) -> list[np.ndarray]:
    """n pictures whose mean brightness counts: 4, 8, 12, …"""
    return [np.full((side, side, 3), 4 + 4 * k, np.uint8) for k in range(n)]


def numbers(clip: np.ndarray) -> list[int]:
    """The frame numbers that `counter` drew into a clip."""
    return np.rint(clip.reshape(len(clip), -1).mean(1) / 4 - 1).astype(int).tolist()


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mp4"
    writer.encode(path, counter(60), gop=12)
    return path


def test_encode_is_byte_stable(film, tmp_path):
    again = tmp_path / "again.mp4"
    writer.encode(again, counter(60), gop=12)
    assert again.read_bytes() == film.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_probe(film, tmp_path):
    info = video_reader.probe(film)
    assert (info.width, info.height, info.fps, info.frames) == (192, 192, 30, 60)
    assert info.duration == pytest.approx(2) and info.decoder == "decord"
    writer.encode(tmp_path / "film.avi", counter(60))
    assert video_reader.probe(tmp_path / "film.avi").decoder == "av"


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
@pytest.mark.parametrize("fps", [15, 25, 30, 60])
def test_segments_sample_and_hold(tmp_path, suffix, fps):
    """Frame k is the last one that began by start + k/30, at any rate of the source."""
    path = tmp_path / f"film{suffix}"
    writer.encode(path, counter(60), fps=fps, gop=12)
    starts = [0.0, 0.1, 0.2, 0.4]
    for start, clip in zip(starts, video_reader.segments(path, starts), strict=True):
        wanted = [min(59, int((start + k / 30 + 1e-6) * fps)) for k in range(16)]
        assert clip.shape == (16, 192, 192, 3) and numbers(clip) == wanted


def test_segments_in_any_order_and_beyond_the_end(film):
    starts = [1.5, 0.0, 1.2, 1.9]
    clips = [numbers(clip) for clip in video_reader.segments(film, starts)]
    assert [clip[0] for clip in clips] == [45, 0, 36, 57]
    assert clips[3] == [57, 58] + [59] * 14  # the last frame is held


@pytest.mark.parametrize("width", [16, 24, 48, 62, 64, 66, 72, 80, 96, 128, 144, 176])
def test_pictures_of_any_width_have_three_channels(tmp_path, width):
    images = [np.full((48, width, 3), 40 + 4 * k, np.uint8) for k in range(20)]
    writer.encode(tmp_path / "narrow.mp4", images)
    (clip,) = video_reader.segments(tmp_path / "narrow.mp4", [0.1])
    assert clip.shape == (16, 48, width, 3)
    assert np.abs(clip.mean((1, 2, 3)) - (52 + 4 * np.arange(16))).max() < 2


def test_the_two_decoders_agree_bit_for_bit(film):
    info = video_reader.probe(film)
    other = dataclasses.replace(info, decoder="av")
    starts = [0.0, 0.37, 1.3]
    fast, slow = (list(video_reader.segments(film, starts, info=i)) for i in (info, other))
    assert np.array_equal(fast, slow)


def test_read_the_whole_film(film):
    times, images = zip(*video_reader.read(film), strict=True)
    assert numbers(np.stack(images)) == list(range(60)) and times[30] == pytest.approx(1)


def test_size_is_a_centre_crop(film):
    (clip,) = video_reader.segments(film, [0.0], size=(32, 16))
    assert clip.shape == (16, 32, 16, 3)
    image = np.arange(100 * 60 * 3, dtype=np.uint32).reshape(100, 60, 3).astype(np.uint8)
    assert np.array_equal(video_reader.fit(image, 60, 60), image[20:80])


@pytest.mark.parametrize("size", [(360, 640), (48, 64), (203, 361), (7, 9), (1, 1)])
def test_resizing_is_pillows(size):
    rng = np.random.default_rng(0)
    image = np.asarray(
        Image.fromarray(rng.integers(0, 256, (9, 16, 3), np.uint8)).resize(size[::-1])
    )
    edge = min(size)
    top, left = (size[0] - edge) // 2, (size[1] - edge) // 2
    crop = Image.fromarray(image[top : top + edge, left : left + edge].copy())
    truth = np.asarray(crop.resize((200, 200), Image.BILINEAR))
    apart = np.abs(video_reader.fit(image, 200, 200).astype(int) - truth)
    assert apart.mean() < 0.02 and apart.max() <= 2  # each of two directions rounds once


def test_starts():
    assert video_reader.starts(0.5, 4, "a") == []
    assert video_reader.starts(0.6, 9, "a") == pytest.approx([0, 1 / 30, 2 / 30])
    starts = video_reader.starts(60, 20, "a")
    assert starts == video_reader.starts(60, 20, "a") != video_reader.starts(60, 20, "b")
    assert all(b > a for a, b in pairwise(starts)) and starts[-1] + 15 / 30 < 60
    assert np.allclose(np.array(starts) * 30, np.round(np.array(starts) * 30))
    many = np.array([video_reader.starts(10.5, 1, str(k))[0] for k in range(2000)])
    assert abs(many.mean() - 5) < 4 * 10 / 12**0.5 / 2000**0.5  # uniform over the film


def broken(folder, film):
    data = film.read_bytes()
    assert data[4:8] == b"ftyp"
    yield "missing", folder / "missing.mp4", None
    yield "empty", folder / "empty.mp4", b""
    yield "truncated", folder / "cut.mp4", data[: len(data) // 2]
    yield "not a video", folder / "text.mp4", b"no video at all" * 40
    yield "not a video", folder / "list.mp4", b"ffconcat version 1.0\nfile film.mp4\n"
    yield "not a video", folder / "playlist.mp4", b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/\n"


def test_every_failure_has_a_name(film, tmp_path):
    for reason, path, data in broken(tmp_path, film):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(VideoError) as caught:
            video_reader.probe(path)
        assert caught.value.reason == reason in REASONS, path
    with pytest.raises(VideoError, match="no ordinary file"):
        video_reader.probe(tmp_path)


def test_an_encrypted_film_is_named(tmp_path):
    import av

    key = "00112233445566778899aabbccddeeff"
    scheme = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    with av.open(str(tmp_path / "e.mp4"), "w", options=scheme) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width = stream.height = 64
        for image in counter(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="encrypted"):
        video_reader.probe(tmp_path / "e.mp4")


def test_a_truncated_film_with_its_index_in_front(film, tmp_path):
    import av

    whole, cut = tmp_path / "fast.mp4", tmp_path / "cut.mp4"
    with (
        av.open(str(film)) as source,
        av.open(str(whole), "w", options={"movflags": "faststart"}) as out,
    ):
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    assert video_reader.probe(whole).frames == 60
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 3 // 4])
    with pytest.raises(VideoError, match="of 60 frames"):
        video_reader.probe(cut)


def sounding(path, seconds, codec="libvpx", sound="libopus", live=False):
    """A Matroska film of 30 frames a second, with a tone beside it; `live`: without a duration."""
    import av

    kind, options = "webm" if codec == "libvpx" else None, {"live": "1"} if live else {}
    with av.open(str(path), "w", format=kind, options=options) as out:
        stream = out.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tone = out.add_stream(sound, rate=48_000, layout="mono") if sound else None
        rng = np.random.default_rng(0)
        for k in range(round(30 * seconds)):
            image = rng.integers(0, 255, (48, 64, 3), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            if tone:
                wave = rng.normal(size=(1, 1600)).astype(np.float32) / 9
                part = av.AudioFrame.from_ndarray(wave, "flt", "mono")
                part.sample_rate, part.pts = 48_000, 1600 * k
                out.mux(tone.encode(part))
        out.mux(stream.encode(None))
        out.mux(tone.encode(None) if tone else [])
    return path


@pytest.mark.parametrize("codec, sound", [("libvpx", "libopus"), ("libvpx", ""), ("libx264", "")])
def test_a_matroska_film_that_is_cut_off_is_named(tmp_path, codec, sound):
    """Its header promises no frames but a duration, of which a part is not there."""
    whole = sounding(tmp_path / "a.mkv", 8, codec, sound)
    assert not video_reader.probe(whole).broken
    data = whole.read_bytes()
    for share in (0.5, 0.8):
        (tmp_path / "cut.mkv").write_bytes(data[: round(share * len(data))])
        with pytest.raises(VideoError, match="truncated: .* of 8.0. s are there") as caught:
            video_reader.probe(tmp_path / "cut.mkv")
        said = float(caught.value.detail.split()[0])
        count = video_reader.count_readable_frames(tmp_path / "cut.mkv")
        assert said == pytest.approx(count / 30, abs=0.3) == pytest.approx(8 * share, abs=0.8)
        part = video_reader.probe(tmp_path / "cut.mkv", whole=False)
        assert part.broken == caught.value.detail and abs(part.frames - count) <= 1
        times = []
        with pytest.raises(VideoError, match="s are there"):
            times.extend(time for time, _ in video_reader.read(tmp_path / "cut.mkv", whole=False))
        assert len(times) == count


def test_a_matroska_film_whose_sound_or_pictures_end_first_is_whole(tmp_path):
    """What its duration promises is there, be it in another stream."""
    import av

    whole = sounding(tmp_path / "a.mkv", 6)
    for kept in ("video", "audio"):
        path = tmp_path / f"{kept} goes on.mkv"
        with av.open(str(whole)) as source, av.open(str(path), "w") as out:
            new = [out.add_stream_from_template(s) for s in source.streams]
            for packet in source.demux():
                goes_on = packet.stream.type == kept
                if packet.dts is not None and (goes_on or packet.pts * packet.time_base < 2):
                    packet.stream = new[packet.stream.index]
                    out.mux(packet)
        assert video_reader.probe(path).frames == pytest.approx(
            180 if kept == "video" else 60, abs=1
        )


def test_a_film_without_a_duration_is_taken_as_it_is(tmp_path):
    path = sounding(tmp_path / "a.webm", 3, live=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 20 < video_reader.probe(path).frames < 80


def narrow(path, ratio):
    """A film of 352×288 whose pixels are to be shown `ratio` as wide as high."""
    import av

    image = np.full((288, 352, 3), 99, np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 352, 288, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*ratio)
        for _ in range(30):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("ratio, told", [((16, 11), 16 / 11), ((10, 11), 10 / 11), ((1, 1), 1),
                                         ((1000, 1), 1), ((1, 1000), 1)])  # fmt: skip
def test_pixels_stay_as_they_are_stored_and_their_shape_is_told(tmp_path, ratio, told):
    path = narrow(tmp_path / "a.mp4", ratio)
    info = video_reader.probe(path)
    assert (info.width, info.height) == (352, 288) and info.aspect == pytest.approx(told)
    (clip,) = video_reader.segments(path, [0.2])
    (_, image), *_ = video_reader.read(path)
    assert clip[0].shape == image.shape == (288, 352, 3)


def test_a_turned_film_of_wide_pixels_has_high_ones(tmp_path):
    path = narrow(tmp_path / "a.mov", (16, 11))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes into the box
    turned = b"".join(int(n).to_bytes(4, "big", signed=True) for n in (0, 65536, 0, -65536, 0))
    data[at : at + 20] = turned
    path.write_bytes(data)
    info = video_reader.probe(path)
    (_, image), *_ = video_reader.read(path)
    assert info.rotation in (90, 270) and image.shape == (info.height, info.width, 3)
    assert (info.width, info.height) == (288, 352) and info.aspect == pytest.approx(11 / 16)


@pytest.mark.parametrize(
    "name", ["-rf.mp4", "a\nb?c#d%03d.mp4", "http:x.mp4", "concat:a|b.mp4", "…ü.mp4"]
)
def test_hostile_names_are_names(film, tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(film.read_bytes())
    monkeypatch.chdir(tmp_path)
    (clip,) = video_reader.segments(name, [0.2])
    assert numbers(clip)[0] == 6


def test_nothing_is_said_on_stderr(film, tmp_path, capfd):
    for _, path, data in broken(tmp_path, film):
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(VideoError):
            video_reader.probe(path)
    list(video_reader.segments(film, [0.0]))
    assert capfd.readouterr() == ("", "")


def truth(folder) -> list[dict]:
    with open(folder / "videos" / "truth.csv") as file:
        return list(csv.DictReader(file))


def test_real_files_are_what_a_full_decode_gives(real_data):
    for row in truth(real_data):
        path = real_data / "videos" / row["path"]
        try:
            info = video_reader.probe(path)
        except VideoError as error:
            assert error.reason == "empty" and row["decoded_frames"] == "0"
            continue
        if row["error"] == "InvalidDataError":
            with pytest.raises(VideoError, match="corrupt"):
                list(video_reader.read(path))
            continue
        size = (int(row["width"]), int(row["height"]))
        turned = int(row["rotation"]) % 360
        assert (info.width, info.height) == (size[::-1] if turned % 180 else size), path
        assert info.rotation == turned, path
        assert info.frames == int(row["decoded_frames"]), path
        if info.width <= 640:
            images = [image for _, image in video_reader.read(path)]
            assert len(images) == info.frames and images[0].shape == (info.height, info.width, 3)


@pytest.mark.slow
def test_real_segments_are_those_of_a_full_decode(real_data):
    """Seeking gives the frames of decoding from the start, by either decoder, on every file."""
    for row in truth(real_data):
        path = real_data / "videos" / row["path"]
        if row["error"] == "InvalidDataError" or int(row["width"]) > 1280:
            continue
        info = video_reader.probe(path)
        by_av = dataclasses.replace(info, decoder="av")
        reader = decoders.Av(path, by_av)
        times, images = zip(
            *((t, video_reader.fit(i(), 48, 48)) for t, i in reader.frames(0)), strict=True
        )
        reader.close()
        starts = [info.duration * part for part in (0.6, 0.1, 0.15, 0.9, 0.0)]
        for chosen in {info.decoder: info, "av": by_av}.values():
            clips = video_reader.segments(path, starts, size=(48, 48), info=chosen)
            for start, clip in zip(starts, clips, strict=True):
                last = np.searchsorted(times, start + np.arange(16) / 30 + 1e-3, "right") - 1
                assert np.array_equal(clip, np.stack(images)[last]), (path, chosen.decoder, start)


def test_without_decord_pyav_gives_the_same_bytes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    writer.encode(tmp_path / "film.mp4", rng.integers(0, 256, (40, 64, 200, 3), np.uint8))
    info = video_reader.probe(tmp_path / "film.mp4")
    assert info.decoder == "decord"
    both = list(video_reader.segments(tmp_path / "film.mp4", [0.1, 0.6], info=info))
    monkeypatch.setitem(sys.modules, "decord", None)
    alone = list(video_reader.segments(tmp_path / "film.mp4", [0.1, 0.6], info=info))
    np.testing.assert_array_equal(alone, both)


def ffmpeg(*words):
    """Run ffmpeg; without it the test is skipped."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", "1"]
    subprocess.run([*command, *map(str, words)], check=True)


def decoded(path) -> list[int]:
    """The frame numbers of a full decode, by nothing but PyAV."""
    import av

    with av.open(str(path)) as container:
        packets = (p for p in container.demux(video=0) if p.size or p.dts is None)
        images = [f.to_ndarray(format="rgb24") for p in packets for f in p.decode()]
    return numbers(np.stack(images))


def copied(film, out, keep=lambda n: True):
    """The packets `keep` of a film, in another file."""
    import av

    with av.open(str(film)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for n, packet in enumerate(source.demux(video=0)):
            if packet.size and keep(n):
                packet.stream = stream
                target.mux(packet)
    return out


def holds(path, fps=30):
    """Frames, duration and clips are those of a full decode, each frame shown for 1/fps."""
    truth, info = decoded(path), video_reader.probe(path)
    assert info.frames == len(truth) and info.duration == pytest.approx(len(truth) / fps, abs=0.04)
    starts = [0.0, 0.4, info.duration - 0.5]
    for start, clip in zip(starts, video_reader.segments(path, starts), strict=True):
        wanted = [truth[min(len(truth) - 1, int((start + k / 30 + 1e-3) * fps))] for k in range(16)]
        assert numbers(clip) == wanted, start
    return truth


@pytest.mark.parametrize("suffix, codec", [("ts", "copy"), ("mpg", "mpeg2video"), ("mkv", "copy")])
@pytest.mark.parametrize("offsets", [(0, 0), (0, 500), (500, 0)])
def test_joined_films_are_as_long_as_both(tmp_path, suffix, codec, offsets):
    data = b""
    for k, offset in enumerate(offsets):
        writer.encode(tmp_path / "part.mp4", counter(60)[30 * k : 30 * (k + 1)], gop=15)
        part = tmp_path / f"{k}.{suffix}"
        moved = ["-output_ts_offset", offset if suffix != "mkv" else 0]
        ffmpeg("-i", tmp_path / "part.mp4", "-c", codec, "-q:v", 1, *moved, part)
        data += part.read_bytes()
    (tmp_path / f"joined.{suffix}").write_bytes(data)
    assert holds(tmp_path / f"joined.{suffix}") == list(range(60))


@pytest.mark.parametrize("offset", [95442.7, -1])  # s; TS and PS begin anew after 2^33/90,000 s
@pytest.mark.parametrize("suffix, codec", [("ts", "copy"), ("mpg", "mpeg2video"), ("mkv", "copy")])
def test_frames_before_time_zero_are_read(tmp_path, suffix, codec, offset):
    writer.encode(tmp_path / "part.mp4", counter(60), gop=15)
    moved = ["-output_ts_offset", offset, "-avoid_negative_ts", "disabled"]
    ffmpeg("-i", tmp_path / "part.mp4", "-c", codec, "-q:v", 1, *moved, tmp_path / f"a.{suffix}")
    assert holds(tmp_path / f"a.{suffix}") == list(range(60))


def test_a_jump_between_key_frames_is_named(tmp_path):
    writer.encode(tmp_path / "a.mp4", counter(60))
    ffmpeg("-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "a.ts")
    ffmpeg("-i", copied(tmp_path / "a.mp4", tmp_path / "b.mp4", lambda n: n >= 5),
           "-c", "copy", "-copyinkf", tmp_path / "b.ts")  # fmt: skip
    data = (tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(data)
    with pytest.raises(VideoError, match="corrupt: time stamps jump from .* to .* s between"):
        video_reader.probe(tmp_path / "joined.ts")


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv"])
def test_frames_before_the_first_key_frame_do_not_count(film, tmp_path, suffix):
    cut = copied(film, tmp_path / f"cut.{suffix}", lambda n: n >= 5)
    assert holds(cut) == list(range(12, 60))


def test_a_decoder_that_ends_early_is_named(film):
    for decoder in ("decord", "av"):
        info = dataclasses.replace(video_reader.probe(film), frames=70, decoder=decoder)
        assert len(list(video_reader.segments(film, [0.5], info=info))) == 1
        with pytest.raises(VideoError, match="corrupt: no frame can be decoded after 1.97 s"):
            list(video_reader.segments(film, [0.5, 1.8], info=info))


@pytest.mark.parametrize("decoder", ["decord", "av"])
def test_a_film_may_lack_its_last_two_frames(film, decoder):
    info = dataclasses.replace(video_reader.probe(film), frames=62, decoder=decoder)
    (clip,) = video_reader.segments(film, [1.5], info=info)
    assert numbers(clip) == [*range(45, 60), 59]


def test_a_slideshow_is_whole(tmp_path):
    """Holds of half a minute, of an even rate or not, are what the file says."""
    for suffix in ("mp4", "mkv", "ts", "gif"):
        path = tmp_path / f"slides.{suffix}"
        writer.encode(tmp_path / "a.mp4", counter(9), fps=1 / 20)
        ffmpeg("-i", tmp_path / "a.mp4", path)
        info = video_reader.probe(path)
        assert (info.frames, info.times) == (9, None) and info.duration == pytest.approx(180, abs=2)
        clips = video_reader.segments(path, [50.0, 150.0])
        assert all((clip == clip[0]).all() for clip in clips)


def test_an_avi_of_empty_chunks_holds_pictures(tmp_path):
    """A stream copy with B-frames has one after each picture, a variable rate where it pauses."""
    writer.encode(tmp_path / "a.mp4", counter(60), gop=12)
    ffmpeg("-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.avi")
    assert holds(tmp_path / "b.avi") == list(range(60))
    pause = "select=not(between(n\\,20\\,34))"
    ffmpeg("-i", tmp_path / "a.mp4", "-vf", pause, "-fps_mode", "vfr", "-c:v", "mpeg4",
           "-q:v", 1, "-bf", 0, tmp_path / "pause.avi")  # fmt: skip
    info = video_reader.probe(tmp_path / "pause.avi")
    assert info.frames == 45 and info.duration == pytest.approx(2, abs=0.05)
    (clip,) = video_reader.segments(tmp_path / "pause.avi", [0.5])
    assert numbers(clip) == [15, 16, 17, 18, 19, *[19] * 11]
    data = (tmp_path / "b.avi").read_bytes()
    middle = (data.index(b"movi") + data.index(b"idx1")) // 2
    (tmp_path / "cut.avi").write_bytes(data[:middle])
    with pytest.raises(VideoError, match="truncated"):
        video_reader.probe(tmp_path / "cut.avi")


def test_packets_without_bytes_hold_the_picture(tmp_path):
    writer.encode(tmp_path / "a.mp4", counter(60))
    ffmpeg("-i", tmp_path / "a.mp4", "-f", "lavfi", "-i", "sine=d=2", "-c:v", "mpeg4", "-q:v", 1,
           "-g", 12, tmp_path / "b.mp4")  # fmt: skip
    data = bytearray((tmp_path / "b.mp4").read_bytes())
    at = data.index(b"stsz") + 16  # the table of sizes of the first track, the pictures'
    for n in (10, 11, 23, 59):
        data[at + 4 * n : at + 4 * n + 4] = bytes(4)
    (tmp_path / "b.mp4").write_bytes(data)
    assert len(decoded(tmp_path / "b.mp4")) == video_reader.probe(tmp_path / "b.mp4").frames == 56
    (clip,) = video_reader.segments(tmp_path / "b.mp4", [0.2])
    assert numbers(clip) == [6, 7, 8, 9, 9, 9, *range(12, 22)]


U = 65536
MATRICES = {
    "0": (U, 0, 0, U), "90": (0, U, -U, 0), "180": (-U, 0, 0, -U), "270": (0, -U, U, 0),
    "mirror": (-U, 0, 0, U), "flip": (U, 0, 0, -U), "transpose": (0, U, U, 0),
    "other diagonal": (0, -U, -U, 0), "zero": (0, 0, 0, 0), "line": (U, 0, 0, 0),
    "point": (0, U, 0, U), "twice": (2 * U, 0, 0, 2 * U),
}  # fmt: skip


@pytest.mark.parametrize("name", MATRICES)
def test_a_display_matrix_is_obeyed_as_by_ffmpeg(tmp_path, name):
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(0, 256, (6, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    path = tmp_path / "a.mp4"
    writer.encode(path, [image] * 4)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes into the box
    a, b, c, d = MATRICES[name]
    data[at : at + 20] = struct.pack(">5i", a, b, 0, c, d)
    path.write_bytes(data)
    ffmpeg("-i", path, "-frames:v", 1, tmp_path / "a.png")
    truth = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    info = video_reader.probe(path)
    (clip,), ((_, image), *_) = video_reader.segments(path, [0.0]), video_reader.read(path)
    assert clip[0].shape == (info.height, info.width, 3) == truth.shape
    assert np.array_equal(image, clip[0]) and np.abs(clip[0] - truth).max() <= 2


def test_what_may_not_be_read_is_named(film, tmp_path):
    """In a process that has no right of root to read all."""
    command = [sys.executable, "-m", "s1m_lab", "ingest"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root reads everything, and setpriv is not installed")
        rights = "-dac_override,-dac_read_search"
        command = ["setpriv", "--bounding-set", rights, "--inh-caps", rights, *command]
    for name in ("locked", "open/a", "open/b"):
        (tmp_path / name).mkdir(parents=True)
    for n in range(6):
        shutil.copy(film, tmp_path / "open" / "ab"[n % 2] / f"{n}.mp4")
    shutil.copy(film, tmp_path / "locked" / "6.mp4")
    names = [*(f"open/{'ab'[n % 2]}/{n}.mp4,{'ab'[n % 2]}" for n in range(6)), "locked/6.mp4,a"]
    (tmp_path / "t.csv").write_text("\n".join(["path,labels", *names]))
    (tmp_path / "open/a/0.mp4").chmod(0)
    (tmp_path / "locked").chmod(0)
    try:
        for source, said in [("locked", "permission denied: "), ("t.csv", "  unreadable 2: ")]:
            whole = [*command, str(tmp_path / source), "--workers", "1"]
            home = {**os.environ, "S1M_HOME": str(tmp_path)}
            done = subprocess.run(whole, capture_output=True, text=True, env=home)
            assert said in done.stdout + done.stderr and "Traceback" not in done.stderr, source
    finally:
        (tmp_path / "locked").chmod(0o700)
