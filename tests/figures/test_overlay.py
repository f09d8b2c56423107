"""What is drawn on a film, and that the film stays what it was: frames, times, sound, way up."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import torch

from s1m_lab import models
from s1m_lab.analysis import overlay as analysis
from s1m_lab.common import system
from s1m_lab.data import catalog, datasets
from s1m_lab.figures import overlay, style, timeline
from s1m_lab.training import predict, runs
from s1m_lab.video import container, reader, writer
from s1m_lab.video.container import VideoError

LABELS = ["luge", "bobsleigh", "rope climbing", "judo", "surfing", "sailing"]


def make_run(name: str, model: str, labels=LABELS, data="none", **more) -> runs.Run:
    """A run that was never trained: small, random, and with the files that a run has."""
    run = runs.begin(name, {"model": model, "data": data}, {"precision": "fp32"}, labels)
    net = models.build(model, len(labels), 1 / 16, 43, **more)
    net.scale.fill_(1 / 58)
    torch.nn.init.normal_(net.fc8.weight, std=0.4, generator=torch.Generator().manual_seed(1))
    runs.save_network(run.path / "model.safetensors", net, labels, {})
    return run


@pytest.fixture
def slow(home):
    return make_run("slow0", "slow")


@pytest.fixture
def single(home):
    return make_run("single0", "single", seed=1)


def moving(count: int, height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """Pictures that differ: a square that wanders over a gradient, blue above and red below."""
    y, x = np.mgrid[:height, :width]
    ground = np.stack([200 * y / height, 30 + 0 * x, 200 - 200 * y / height], -1).astype(np.uint8)
    for k in range(count):
        image = ground.copy()
        left = (3 * k + 17 * seed) % max(1, width - 10)
        image[height // 3 : height // 3 + 8, left : left + 8] = [250, 240, 20]
        yield image


def write(path: Path, times: np.ndarray, images, codec="", late=0.0, origin=0.0, rate=48_000):
    """A film whose frames are shown at `times` (s), with a sine as its sound given a `codec`.

    The sound begins `late` (s); the stamps of both begin at `origin`.
    """
    images = list(images)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"bf": "2", "g": "15"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p" if not (stream.height % 2 or stream.width % 2) else "yuv444p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
        sound = out.add_stream(codec, rate=rate, layout="mono") if codec else None
        if sound:
            count = round((times[-1] + 1 / 30) * 48_000)
            wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(count) / 48_000, dtype=np.float32)
            for first in range(0, count, 960):
                part = wave[None, first : first + 960]
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "fltp", "mono")
                frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
                frame.pts = first + round((late + origin) * 48_000)
                out.mux(sound.encode(frame))
        for seconds, image in zip(times, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (
                round((seconds + origin) * 90_000),
                stream.codec_context.time_base,
            )
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound:
            out.mux(sound.encode(None))
    return path


def stamps(path: Path, kind: str = "video") -> np.ndarray:
    """The times (s) of all frames or, for sound, of its first and past its last sample."""
    with av.open(str(path)) as container:
        frames = list(container.decode(getattr(container.streams, kind)[0]))
    times = [float(frame.pts * frame.time_base) for frame in frames]
    if kind == "audio":
        return np.array([times[0], times[-1] + frames[-1].samples / frames[-1].sample_rate])
    return np.array(times)


def demuxed(path: Path) -> list[dict]:
    """Of each stream what a reader that knows nothing of the lab finds in the packets."""
    found = []
    with av.open(str(path)) as container:
        for stream in container.streams:
            container.seek(0)
            packets = [packet for packet in container.demux(stream) if packet.size]
            about = stream.codec_context
            found.append({"kind": stream.type, "codec": about.codec.canonical_name})
            end = max(packet.pts + packet.duration for packet in packets)
            found[-1] |= {"packets": len(packets), "seconds": float(end * stream.time_base)}
            if stream.type == "video":
                container.seek(0)
                turned = next(container.decode(stream)).rotation
                found[-1] |= {"size": (about.width, about.height), "turned": turned}
    return found


def steady(count: int, fps: float = 30.0) -> np.ndarray:
    return np.arange(count) / fps


UNEVEN = np.cumsum([0, *([0.02, 0.05, 0.1, 0.033] * 8)])


@pytest.mark.parametrize("times", [steady(40), steady(31, 24), steady(25, 30000 / 1001), UNEVEN])
def test_frames_stay_at_their_times(slow, tmp_path, times):
    path = write(tmp_path / "a.mp4", times, moving(len(times), 48, 64))
    seen = overlay.draw([slow], path)
    assert seen.frames == len(times) and not seen.ended and seen.sound == "none"
    assert np.abs(stamps(seen.path) - times).max() < 2e-5
    info = reader.probe(seen.path)
    assert abs(info.duration - reader.probe(path).duration) < 1 / info.fps / 2
    with container.open_video(seen.path) as (_, stream):
        assert (info.codec, stream.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(
    "size, expected",
    [
        ((64, 64), (512, 512)),
        ((132, 176), (396, 528)),
        ((51, 75), (408, 600)),
        ((360, 640), (360, 640)),
        ((361, 641), (362, 642)),
        ((640, 360), (640, 360)),
    ],
)
def test_small_pictures_grow_and_odd_ones_become_even(slow, single, tmp_path, size, expected):
    path = write(tmp_path / "a.mp4", steady(12), moving(12, *size))
    seen = overlay.draw([slow, single], path)
    (_, image), *_ = reader.read(seen.path)
    assert image.shape[:2] == expected
    assert image[0].mean(0)[2] > 150 > 90 > image[0].mean(0)[0], "blue is above"


@pytest.mark.parametrize("width, height", [(64, 64), (1, 1), (30, 900), (1000, 40), (360, 640)])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_cards_lie_within_the_canvas_and_apart(width, height, count):
    layout = overlay.Layout(width, height, count, 5)
    (w, h), (cw, ch) = layout.card, layout.canvas
    assert layout.em >= 11 and cw % 2 == ch % 2 == 0
    boxes = [(left, top, left + w, top + h) for left, top in layout.corners]
    for k, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= cw and 0 <= top < bottom <= ch
        for other in boxes[:k]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
    assert w >= 12 * layout.em, "room for a name, a bar and a number"


@pytest.mark.parametrize(
    "suffix, codec, name",
    [(".mp4", "aac", "aac"), (".mkv", "libopus", "opus"), (".mkv", "flac", "flac")],
)
@pytest.mark.parametrize("late", [0.0, 0.4])
def test_sound_is_kept(slow, tmp_path, suffix, codec, name, late):
    """As long, beginning when it did, and the same tone."""
    path = tmp_path / f"a{suffix}"
    write(path, steady(60), moving(60, 48, 64), codec, late=late)
    seen = overlay.draw([slow], path)
    assert seen.sound == f"{codec.removeprefix('lib')}, encoded as AAC"
    before, after = stamps(path, "audio"), stamps(seen.path, "audio")
    assert np.abs(after - before).max() < 1 / 30, (before, after)
    with av.open(str(seen.path)) as container:
        wave = [f.to_ndarray()[0] for f in container.decode(container.streams.audio[0])]
    wave = np.concatenate(wave)[9_600:57_600].astype(float)
    assert abs(np.abs(np.fft.rfft(wave)).argmax() - 440) <= 1


@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_sound_keeps_step_where_stamps_begin_late(slow, tmp_path, codec):
    path = write(tmp_path / "a.mkv", steady(60), moving(60, 48, 64), codec, late=0.2, origin=7.0)
    assert stamps(path)[0] == 7.0
    seen = overlay.draw([slow], path)
    before, after = stamps(path, "audio") - stamps(path)[0], stamps(seen.path, "audio")
    assert np.abs(after - before).max() < 1 / 30, (before, after)


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="no ffprobe is installed here")
def test_ffprobe_agrees(slow, tmp_path):
    path = write(tmp_path / "a.mkv", steady(75, 25), moving(75, 48, 64), "flac")
    seen = overlay.draw([slow], path)
    command = ["ffprobe", "-v", "error", "-count_packets", "-show_streams", "-of", "json"]
    done = subprocess.run([*command, seen.path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    film, sound = json.loads(done.stdout)["streams"]
    assert (film["codec_name"], film["width"], film["height"]) == ("h264", 512, 384)
    assert int(film["nb_read_packets"]) == seen.frames == 75
    assert abs(float(film["duration"]) - 3.0) < 1 / 25
    assert sound["codec_name"] == "aac" and abs(float(sound["duration"]) - 3.0) < 0.1


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050])
def test_sound_of_any_rate_is_encoded(slow, tmp_path, rate):
    path = tmp_path / "a.mkv"
    write(path, steady(60), moving(60, 48, 64), "libmp3lame", rate=rate)
    seen = overlay.draw([slow], path)
    assert seen.sound.endswith(", encoded as AAC") and seen.frames == 60
    before, after = stamps(path, "audio"), stamps(seen.path, "audio")
    assert np.abs(after - before).max() < 0.1, (before, after)  # MP3 has frames of 0.07 s


@pytest.mark.parametrize(
    "codec, sync, intact, expected",
    [
        ("flac", b"\xff\xf8", 0, "flac, of which nothing can be read"),
        ("eac3", b"\x0b\x77", 20, "eac3, encoded as AAC, 0.6 s of it"),
    ],
)
def test_sound_that_fails_ends_and_the_film_goes_on(slow, tmp_path, codec, sync, intact, expected):
    """From a packet on it is noise that no decoder reads."""
    path = tmp_path / "a.mkv"
    write(path, steady(90), moving(90, 48, 64), codec)
    parts = path.read_bytes().split(sync)  # each packet begins so
    assert len(parts) > 30
    good, noise = parts[: intact + 1], parts[intact + 1 :]
    path.write_bytes(b"\x07\x07".join([sync.join(good), *noise]))
    seen = overlay.draw([slow], path)
    assert seen.frames == 90 == len(stamps(seen.path)) and not seen.ended
    assert seen.sound.startswith(expected)
    if intact:
        assert "packets cannot be decoded" in seen.sound
        assert abs(stamps(seen.path, "audio")[1] - intact * 0.032) < 0.1


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_it_stands_upright(slow, tmp_path, rotation):
    """The picture is that of a full decode, turned, and the result needs no turning."""
    plain = write(tmp_path / "plain.mp4", steady(6), moving(6, 48, 64))
    path = tmp_path / "turned.mov"
    matrix = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[rotation]
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix is 40 bytes into the box
    a, b, c, d = (value * 65536 for value in matrix)
    numbers = (a, b, 0, c, d, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(int(n).to_bytes(4, "big", signed=True) for n in numbers)
    path.write_bytes(data)
    seen = overlay.draw([slow], path)
    assert reader.probe(seen.path).rotation == 0
    ((_, image), *_), ((_, source), *_) = reader.read(seen.path), reader.read(plain)
    expected = np.rot90(source, -rotation // 90)  # a matrix turns clockwise
    assert (image.shape[0] > image.shape[1]) == (expected.shape[0] > expected.shape[1])
    for x in (0, -1):  # the colours of the upper corners say which way is up
        corner = image[:9, :9] if x == 0 else image[:9, -9:]
        assert np.abs(corner.mean((0, 1)) - expected[0, x]).max() < 25


def test_wide_pixels_become_square(slow, tmp_path):
    """352×288 with pixels of 16:11 is a picture of 512×288, in which a disc is round."""
    y, x = np.mgrid[:288, :352]
    disc = (np.hypot((x - 250) * 16 / 11, y - 200) < 50)[..., None]
    image, path = np.where(disc, 230, 20).astype(np.uint8).repeat(3, -1), tmp_path / "wide.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 352, 288, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        for _ in range(9):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    seen = overlay.draw([slow], path)
    info = reader.probe(seen.path)
    (_, image), *_ = reader.read(seen.path)
    scale = info.height / 288
    assert info.aspect == 1 and info.width == pytest.approx(512 * scale, abs=2)
    found = image[int(150 * scale) :, int(290 * scale) :, 1] > 125
    assert found.any(0).sum() == pytest.approx(found.any(1).sum(), abs=4)
    assert found.any(1).sum() == pytest.approx(100 * scale, abs=4)


def damaged(tmp_path: Path, how: str) -> tuple[Path, int]:
    """A film of 90 frames that breaks off, and how many frames a plain decode gives of it."""
    whole = write(tmp_path / "whole.mkv", steady(90), moving(90, 48, 64), "aac")
    data = bytearray(whole.read_bytes())
    path = tmp_path / "broken.mkv"
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        with av.open(str(whole)) as source, av.open(str(path), "w") as out:
            new = [out.add_stream_from_template(s) for s in source.streams]
            for number, packet in enumerate(source.demux()):
                if packet.dts is None:
                    continue
                if packet.stream.type == "video" and packet.pts * packet.time_base > 1.5:
                    noise = av.Packet(b"\0\0\0\x09\x65\xff" + bytes([number % 256] * 60))
                    noise.pts, noise.dts = packet.pts, packet.dts
                    noise.time_base, noise.is_keyframe = packet.time_base, packet.is_keyframe
                    noise.stream = new[0]
                    packet = noise
                else:
                    packet.stream = new[packet.stream.index]
                out.mux(packet)
    return path, reader.count_readable_frames(path)


@pytest.mark.parametrize("how", ["cut", "noise"])
def test_a_film_that_breaks_off_gives_its_part(slow, tmp_path, how):
    path, count = damaged(tmp_path, how)
    assert 20 < count < 80
    seen = overlay.draw([slow], path)
    assert seen.frames == count == len(stamps(seen.path))
    reason = {"noise": "corrupt", "cut": r"truncated: [12]\.\d\d of 3\.0\d s are there"}[how]
    assert re.match(f"after {count} frames, at {count / 30:.2f} s: {reason}", seen.ended)
    assert stamps(seen.path, "audio")[1] < count / 30 + 1 / 30
    images = [image for _, image in reader.read(seen.path)]
    note = images[-1][:60, :200].astype(int)
    assert (note < 60).all(-1).mean() > 0.1 + (images[-2][:60, :200] < 60).all(-1).mean()


def test_an_mp4_that_is_cut_off_gives_its_part(slow, tmp_path):
    """Its header, in front, promises more frames than are there."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for image in moving(90, 48, 64):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(VideoError, match="truncated"):
        reader.probe(path)
    seen = overlay.draw([slow], path)
    assert 20 < seen.frames < 90 and seen.frames == len(stamps(seen.path))
    assert seen.ended.startswith(f"after {seen.frames} frames")


def test_what_cannot_be_read_raises_its_reason_and_leaves_nothing(slow, tmp_path):
    for content, reason in ((b"", "empty"), (b"no film at all, but text" * 9, "not a video")):
        (tmp_path / "a.mp4").write_bytes(content)
        with pytest.raises(VideoError, match=reason):
            overlay.draw([slow], tmp_path / "a.mp4")
    with pytest.raises(VideoError, match="missing"):
        overlay.draw([slow], tmp_path / "gone.mp4")
    assert not list(slow.path.glob("*overlay*"))


def test_smoothing_is_that_of_a_plain_loop(single, tmp_path, monkeypatch):
    """Predictions are held for 0.1 s, and a thousand small steps follow each."""
    given = iter(np.random.default_rng(0).dirichlet(np.ones(len(LABELS)), 99).astype(np.float32))
    came = []

    def forward(net, x):
        came.append(next(given))
        return torch.log(torch.from_numpy(came[-1]))[None].expand(2, -1)

    monkeypatch.setattr(models.Network, "forward", forward)
    path = write(tmp_path / "a.mp4", UNEVEN, moving(len(UNEVEN), 48, 64))
    seen = overlay.draw([single], path)
    shown, held, now, expected = None, None, 0.0, {}
    for seconds, latest in zip(seen.table["seconds"], came, strict=True):
        if shown is None:
            shown = latest.astype(float)
        else:
            for _ in range(10_000):
                shown = shown + (held - shown) * (seconds - now) / 10_000 / overlay.SMOOTH
        expected[seconds], now, held = shown, seconds, latest
    for row in seen.table.itertuples():
        best = np.argsort(-expected[row.seconds])[:5]
        assert [getattr(row, f"label{i}") for i in range(1, 6)] == [LABELS[k] for k in best]
        shares = [getattr(row, f"probability{i}") for i in range(1, 6)]
        assert np.allclose(shares, expected[row.seconds][best], atol=1e-3)
    times = seen.table["seconds"].to_numpy()
    assert len(times) == len(came) > 10 and set(times.round(4)) <= set(UNEVEN.round(4))


@pytest.mark.parametrize("model", ["single", "late", "slow"])
def test_a_network_sees_what_ends_with_the_screen(home, tmp_path, model):
    """Its first prediction comes when its frames are there; a plain pass over them agrees."""
    run = make_run("a", model)
    blocks = np.random.default_rng(0).integers(0, 255, (20, 6, 8, 3), np.uint8)
    path = write(tmp_path / "a.mp4", steady(20), blocks.repeat(10, 1).repeat(10, 2))
    seen = overlay.draw([run], path)
    net = runs.load_network(run)
    images = [reader.fit(image, 51, 51) for _, image in reader.read(path)]  # 51: 43 · 200 / 170
    first, last = seen.table.iloc[0], net.frames[-1]
    now = round(first["seconds"] * 30)
    assert last <= now <= last + 2, "a prediction every third frame"
    cut = np.stack([images[now - last + k] for k in net.frames])[:, 4:47, 4:47]
    both = np.stack([cut, cut[:, :, ::-1]]).astype(np.float32) - 117
    precision = "bf16" if system.has_bf16("cpu") else "fp32"
    with torch.no_grad(), predict.autocast(torch.device("cpu"), precision):
        found = net(torch.from_numpy(both).permute(0, 4, 1, 2, 3)).float().softmax(1).mean(0)
    shares, best = found.sort(descending=True)
    assert 0.3 < shares[0] < 0.99, "it tells something"
    assert [first[f"label{i}"] for i in range(1, 6)] == [LABELS[k] for k in best[:5]]
    assert np.allclose([first[f"probability{i}"] for i in range(1, 6)], shares[:5], atol=2e-3)


def test_several_runs_have_a_card_each_and_a_true_class_its_mark(slow, single, tmp_path):
    image = np.full((360, 640, 3), 120, np.uint8)
    layout = overlay.Layout(640, 360, 2, 5)
    rows = [(name, 0.5 - i / 10) for i, name in enumerate(LABELS[:5])]
    cards = [overlay.Card(*names, rows) for names in (("slow", slow.name), ("single", single.name))]
    plain, marked = (
        overlay.paint(layout, image, cards, truth).astype(int) for truth in ((), (LABELS[1],))
    )
    for (left, top), colour in zip(layout.corners, ((213, 94, 0), (0, 114, 178)), strict=True):
        width, height = layout.card
        box = np.s_[top : top + height, left : left + width]
        bars = (np.abs(plain[box] - colour).sum(-1) < 6).sum(1)
        lengths = [bars[layout.head + i * layout.row + layout.row // 2] for i in range(5)]
        full = lengths[0] / 0.5
        assert np.allclose(lengths, [full * share for _, share in rows], atol=1.01)
        y = top + layout.head + layout.row + layout.row // 2
        dot = np.s_[y - 1 : y + 2, left + layout.pad : left + layout.pad + layout.em // 2]
        assert marked[dot].min(-1).max() > 250, "a white dot"
        other = np.s_[y + layout.row - 1 : y + layout.row + 2, dot[1]]
        assert marked[other].max() < 100, "and at the true class alone"
    assert np.array_equal(plain[:10], np.full((10, 640, 3), 120))


def test_hostile_labels_are_drawn_as_they_stand(home, tmp_path):
    bad = [
        "<script>alert(1)</script>",
        "$\\frac{1}{0}$",
        "a\x00b\x1b[2J\u202e",
        "x" * 5000,
        "中文 ❤",
        "",
    ]
    run = make_run("bad", "single", bad)
    path = write(tmp_path / "a.mp4", steady(8), moving(8, 64, 64))
    seen = overlay.draw([run], path, truth=bad[:4])
    assert seen.frames == 8
    timeline.draw_timeline(seen).canvas.draw()
    assert "<script" not in writer.show_video(seen.path)._repr_html_()


def test_the_player_holds_the_file(tmp_path, capsys):
    path = tmp_path / "a.mp4"
    writer.encode(path, moving(60, 360, 640))
    shown = writer.show_video(path)._repr_html_()
    data = base64.b64encode(path.read_bytes()).decode()
    assert f"data:video/mp4;base64,{data}" in shown.replace("\n", "") and "<script" not in shown
    assert not capsys.readouterr().out


def test_the_player_of_a_large_file_holds_an_excerpt(tmp_path, capsys):
    rng = np.random.default_rng(0)
    noise = (rng.integers(0, 255, (360, 640, 3), np.uint8) for _ in range(90))
    writer.encode(tmp_path / "noise.mp4", noise)
    shown = writer.show_video(tmp_path / "noise.mp4", seconds=2.0, limit=60_000)
    assert "the first 2 of 3.0 s" in capsys.readouterr().out
    assert len(shown.data) <= 60_000 and len(shown._repr_html_()) < 4 / 3 * 60_000 + 2000
    (tmp_path / "excerpt.mp4").write_bytes(shown.data)
    assert reader.probe(tmp_path / "excerpt.mp4").duration == pytest.approx(2.0, abs=0.1)


def table(labels: str):
    about = {"label1": list(labels), "probability1": 0.5, "seconds": np.arange(len(labels)) / 10}
    return pd.DataFrame(about | {"run": "a"})


def test_leading_classes_and_their_description():
    seen = analysis.Overlay(Path("x"), table("aabbba"), ["a"], {"a": "slow"}, 60, 0.6, "", "none")
    rows = [
        tuple(row) for row in analysis.leading_classes(seen.table).round(3).itertuples(index=False)
    ]
    assert rows == [("a", "a", 0.0, 0.2), ("a", "b", 0.2, 0.5), ("a", "a", 0.5, 0.5)]
    assert (
        analysis.describe_run(seen, "a") == "changes its class 2 times and is right 50% of the time"
    )
    assert not len(analysis.disagreement(seen))


def test_a_line_ends_where_its_class_is_not_among_the_five():
    """A true class is drawn all along, by a probability of its own; no other falls to 0."""
    rows = table("aab").assign(label2=list("bcc"), probability2=0.25, true1=[0.5, 0.5, 0.125])
    seen = analysis.Overlay(Path("x"), rows, ["a"], {"a": "slow"}, 9, 0.3, "", "none")
    (ax,) = timeline.draw_timeline(seen).axes
    lines = {line.get_color(): line.get_ydata() for line in ax.lines}
    assert lines[style.INK].tolist() == [0.5, 0.5, 0.125]
    np.testing.assert_array_equal(lines[style.PAPER], [0.25, np.nan, 0.5])  # b


def test_what_is_kept_of_a_true_class_is_its_own_probability(single, tmp_path, monkeypatch):
    """At rank 6 too; of a class that the run does not know, nothing."""
    given = np.array([0.3, 0.2, 0.15, 0.14, 0.13, 0.08], np.float32)
    log = torch.log(torch.from_numpy(given))[None].expand(2, -1)
    monkeypatch.setattr(models.Network, "forward", lambda net, x: log)
    path = write(tmp_path / "a.mp4", steady(12), moving(12, 48, 64))
    seen = overlay.draw([single], path, ["sailing", "chess"])
    assert len(seen.table) == 4 and np.allclose(seen.table["true1"], 0.08, atol=1e-3)
    assert seen.table["true2"].isna().all()
    assert "sailing" not in seen.table.filter(like="label").to_numpy()


def test_apart_is_half_the_sum_of_differences():
    a, b = table("ab"), table("bb").assign(run="b", probability1=0.25)
    a, b = (t.assign(label2=list("bc"), probability2=0.125) for t in (a, b))
    b["label2"] = list("ac")
    both = pd.concat([a, b])
    seen = analysis.Overlay(Path("x"), both, [], {"a": "slow", "b": "single"}, 6, 0.2, "", "none")
    # {a .5, b .125} against {b .25, a .125}; {b .5, c .125} against {b .25, c .125}
    assert analysis.disagreement(seen).tolist() == [(0.375 + 0.125) / 2, 0.25 / 2]


def test_what_is_drawn_once_is_found_again(slow, single, tmp_path):
    """And nothing else is: neither another film, nor other runs, weights or truth."""
    path = write(tmp_path / "a b.mp4", steady(24), moving(24, 48, 64))
    first = overlay.draw([slow], path, ["judo"])
    state = first.path.stat()
    again = overlay.draw([runs.load_run("slow0")], path, ["judo"])
    assert again.path.stat() == state and again._replace(table=0) == first._replace(table=0)
    pd.testing.assert_frame_equal(again.table, first.table)
    other = tmp_path / "b" / "a_b.mp4"
    other.parent.mkdir()
    write(other, steady(24), moving(24, 48, 64, seed=5))
    made = [first, overlay.draw([slow], other, ["judo"]), overlay.draw([slow], path, ["luge"])]
    made.append(overlay.draw([slow, single], path, ["judo"]))
    write(path, steady(30), moving(30, 48, 64))
    made.append(overlay.draw([slow], path, ["judo"]))
    make_run("slow0", "slow", seed=7)
    made.append(overlay.draw([slow], path, ["judo"]))
    assert len({seen.path for seen in made}) == len(made) == len(list(slow.path.glob("*.mp4")))
    assert len(made[3].models) == 2 and made[4].frames == 30 and first.path.stat() == state
    for seen in made:
        assert re.fullmatch(r"overlay-a_b-[0-9a-f]{8}\.mp4", seen.path.name)
    first.path.with_suffix(".parquet").unlink()  # as if the process had died before it was there
    assert overlay.draw([slow], path, ["judo"]).path == made[-1].path


def test_a_run_beside_itself_is_drawn_once(slow, tmp_path):
    path = write(tmp_path / "a.mp4", steady(24), moving(24, 48, 64))
    alone, twice = overlay.draw([slow], path), overlay.draw([slow, runs.load_run("slow0")], path)
    assert twice.path == alone.path and list(twice.models) == ["slow0"]
    pd.testing.assert_frame_equal(twice.table, alone.table)
    assert len(timeline.draw_timeline(twice).axes) == 1 and analysis.disagreement(twice).empty


PROCESS = """
import sys
from s1m_lab import load_run
from s1m_lab.figures import overlay
seen = overlay.draw([load_run("slow0")], sys.argv[1])
print(seen.frames, seen.path)
"""


def test_two_processes_draw_one_film_once(slow, tmp_path):
    path = write(tmp_path / "a.mp4", steady(120), moving(120, 48, 64))
    command = [sys.executable, "-c", PROCESS, str(path)]
    root = {"cwd": Path(__file__).parents[2], "text": True}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, **root) for _ in range(2)]
    printed = [process.communicate(timeout=120)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed[0][-1] == printed[1][-1] and printed[0][-1].startswith("120 ")
    (made,) = slow.path.glob("*.mp4")
    assert len(stamps(made)) == 120
    assert not list(slow.path.glob(".*partial"))
    drawn = ["drawing" in " ".join(lines) for lines in printed]
    waited = ["waiting for it" in " ".join(lines) for lines in printed]
    assert sum(drawn) == 1 and (sum(waited) == 0 or waited != drawn)


def test_the_room_it_asks_for_is_that_of_its_pictures(single, tmp_path):
    """Not of the file: here a terabyte, all but the film a hole."""
    path = write(tmp_path / "a.mp4", steady(12), moving(12, 48, 64))
    os.truncate(path, 2**40)
    assert shutil.disk_usage(tmp_path).free < 4 * 2**40
    assert overlay.draw([single], path).frames == 12


NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "07_overlay.ipynb"


def reported(folder: Path, **parameters) -> str:
    """All that the notebook says when it runs with these parameters."""
    executed = folder / "executed.ipynb"
    papermill.execute_notebook(NOTEBOOK, executed, parameters, cwd=folder, progress_bar=False)
    return "".join(
        "".join(output.get("text", ""))
        for cell in nbformat.read(executed, as_version=4).cells
        for output in cell.get("outputs", [])
    )


def test_the_notebook_follows_the_dataset_of_a_named_run(home, tmp_path):
    """Film and truth are of that dataset; nothing is made of `data`, and no clips of any."""
    for label in ("bend", "jack", "wave"):
        for k in range(6):
            film = tmp_path / "mine" / label / f"{label}{k}.mp4"
            film.parent.mkdir(parents=True, exist_ok=True)
            write(film, steady(30), moving(30, 64, 64, seed=k))
    source = datasets.listed(tmp_path / "mine")
    for name, model in (("first", "slow"), ("second", "single")):
        made = make_run(name, model, ["bend", "jack", "wave"], data=source.name)
        about = {"model": model, "data": source.name, "classes": 3}
        scores = {"clip_hit1": 0.5, "video_hit1": 0.5}
        (made.path / "results.json").write_text(json.dumps(about | scores))
    shown = reported(tmp_path, run="first", versus="second")
    assert f"{tmp_path / 'mine'}/" in shown and "true class not known" not in shown
    made = [path.name for path in (home / "data").iterdir() if path.is_dir()]
    assert made == [source.name]
    assert not (source / "clips").exists()
    (made,) = (home / "runs" / "first").glob("overlay-*.mp4")
    assert re.match(r"overlay-(bend|jack|wave)\d-", made.name)
    odd = write(tmp_path / "a\x1b[2Jb.mp4", steady(12), moving(12, 64, 64))
    shown = reported(tmp_path, run="first", versus="second", video=str(odd))
    assert "a [2Jb.mp4: true class not known" in shown and "\x1b[2J" not in shown
    make_run("other", "single", LABELS)
    (home / "runs" / "other" / "results.json").write_text(json.dumps(about | scores))
    with pytest.raises(papermill.PapermillExecutionError, match="only runs of the same classes"):
        reported(tmp_path, run="first", versus="other")


def test_runs_of_other_classes_are_not_drawn_together(slow, tmp_path):
    other = make_run("other", "single", LABELS[::-1])
    path = write(tmp_path / "a.mp4", steady(8), moving(8, 48, 64))
    with pytest.raises(ValueError, match="same classes .* 'slow0' knows 6 of 'none'"):
        overlay.draw([slow, other], path)


def test_the_example_is_a_test_video_on_this_disk(home, tmp_path):
    (tmp_path / "b.mp4").write_bytes(b"x")
    rows = {"id": ["a", "b", "c"], "split": ["test", "test", "train"], "labels": [[0], [1], [0]]}
    rows["path"] = [str(tmp_path / f"{id}.mp4") for id in "abc"]
    catalog.save_catalog(
        catalog.frame(catalog.table(rows), classes=["luge", "judo"], data_seed=0, split="given"),
        home / "data" / "mine",
    )
    for seed in range(3):
        assert analysis.find_video("mine", seed) == (tmp_path / "b.mp4", ["judo"])
    (tmp_path / "c.mp4").write_bytes(b"x")
    assert analysis.find_video("mine", 0, str(tmp_path / "c.mp4")) == (tmp_path / "c.mp4", ["luge"])
    assert analysis.find_video("mine", 0, "/other/c.mp4") == (Path("/other/c.mp4"), [])
    (tmp_path / "b.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="no test video of mine is on this disk"):
        analysis.find_video("mine")
    before = sorted(home.rglob("*"))
    assert analysis.find_video("pocket", 0, "/other/c.mp4") == (Path("/other/c.mp4"), [])
    assert sorted(home.rglob("*")) == before, "a film that is named needs no dataset"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film(single, tmp_path, monkeypatch):
    """Three minutes of film, with sound; what is resident after a third is what is there later."""
    path = tmp_path / "long.mp4"
    write(path, steady(60 * 30), moving(60 * 30, 96, 128), "aac")
    with av.open(str(path)) as source, av.open(str(tmp_path / "loop.mp4"), "w") as out:
        new = [out.add_stream_from_template(s) for s in source.streams]
        packets = [p for p in source.demux() if p.dts is not None]
        keep = [(p, p.pts, p.dts, p.time_base, p.stream.index) for p in packets]
        for turn in range(3):
            for packet, pts, dts, base, index in keep:
                shift = round(turn * 61 / base)
                packet.pts, packet.dts, packet.stream = pts + shift, dts + shift, new[index]
                packet.time_base = base
                out.mux(packet)
    sizes, stop = [], threading.Event()

    def watch():
        while not stop.wait(0.2):
            words = Path("/proc/self/statm").read_text().split()
            sizes.append((time.monotonic(), int(words[1]) * 4096 / 1e6))

    if not Path("/proc/self/statm").is_file():
        pytest.skip("no /proc here")
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        monkeypatch.setattr(overlay, "STEP", 0.5)
        seen = overlay.draw([single], tmp_path / "loop.mp4")
    finally:
        stop.set()
        watcher.join()
    assert seen.frames == 3 * 60 * 30
    third = len(sizes) // 3
    early, late = (
        np.median([s for _, s in part]) for part in (sizes[third : third + 5], sizes[-5:])
    )
    print(f"{early:.1f} MB, {late:.1f} MB")
    assert late - early < 12, f"{early:.0f} MB after a third, {late:.0f} MB at the end"


@pytest.mark.parametrize(
    "name, size",
    [
        ("odd/moviepy-fire2.mp4", (1280, 720)),
        ("mmaction2/demo_skeleton.mp4", (1920, 1080)),
        ("odd/decord-video_90.mov", (640, 1136)),
        ("odd/decord-corrupted.mp4", (1280, 720)),
        ("odd/moviepy-big_buck_bunny_432_433.webm", (1280, 720)),
    ],
)
def test_real_files(slow, single, real_data, tmp_path, name, size):
    """Upright, as many frames at the same times, sound within a frame; what is damaged, in part."""
    path = real_data / "videos" / name
    seen = overlay.draw([slow, single], path)
    film, *sound = demuxed(seen.path)
    assert film["size"] == size and film["turned"] == 0
    assert (film["kind"], film["codec"]) == ("video", "h264")
    assert seen.frames == film["packets"] == reader.count_readable_frames(path)
    assert len(sound) == (seen.sound != "none")
    for stream in sound:
        assert stream["kind"] == "audio" and abs(stream["seconds"] - film["seconds"]) < 0.3
    assert bool(seen.ended) == ("corrupted" in name)
    source = reader.probe(path)
    times = [time for time, _ in zip_read(path)]
    assert np.abs(stamps(seen.path) - times).max() < 2e-5
    if seen.sound != "none":
        assert np.abs(stamps(seen.path, "audio") - stamps(path, "audio")).max() < 1 / source.fps


def zip_read(path):
    try:
        yield from reader.read(path, whole=False)
    except VideoError:
        return
