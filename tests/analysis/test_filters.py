"""First-layer filters against filters whose tuning is known, and against plain loops."""

import base64
import io
import itertools
import re

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from s1m_lab import models
from s1m_lab.analysis import filters
from s1m_lab.figures import style
from s1m_lab.figures.filters import (
    MEASURES,
    animate,
    draw_grid,
    draw_growth,
    draw_motion,
    draw_sorted,
    draw_strips,
    pictures,
    tile,
)
from s1m_lab.reports import html
from s1m_lab.training import config, runs, train
from s1m_lab.video import writer

GREY, RED, OPPOSED = (1, 1, 1), (1, 0, 0), (1, -1, 0)


def gabor(frequency=0.15, towards=0.0, speed=0.0, frames=4, colour=GREY, sigma=2.5, flicker=0.0):
    """A striped patch 1×3×T×11×11 that drifts `towards` (degrees, y up) by `speed` pixels a frame.

    With `flicker` (cycles a frame) it stays in its place and blinks.
    """
    t, y, x = np.mgrid[:frames, 5:-6:-1, -5:6].astype(float)
    angle = np.radians(towards)
    along = x * np.cos(angle) + y * np.sin(angle) - speed * t
    patch = np.exp(-(x**2 + y**2) / (2 * sigma**2)) * np.cos(2 * np.pi * frequency * along)
    patch *= np.cos(2 * np.pi * flicker * t)
    return (np.array(colour)[:, None, None, None] * patch)[None]


def noise(n=24, frames=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3, frames, 11, 11))


def angle_between(a, b, turn):
    return abs((a - b + turn / 2) % turn - turn / 2)


@pytest.mark.parametrize("name", ["single", "slow", "early-multires"])
def test_the_first_layer_is_what_the_network_computes(name):
    """One response of every stream by plain loops over filters 3×T×11×11."""
    net = models.build(name, 3, 1 / 16, 66, seed=1).eval()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 3, len(net.frames), net.crop, net.crop)).astype(np.float32)
    for stream, shown in net.streams(torch.from_numpy(x)).items():  # T×1×3×s×s
        w = filters.first_layer(net)[stream]
        extent, step = net.fusion.time[0]
        assert w.shape == (6, 3, extent, 11, 11)
        with torch.no_grad():
            response = net.towers[stream].conv1(shown).numpy()
        column = len(response) - 1
        for k in (0, 5):
            total = float(net.towers[stream].conv1.bias[k].detach())
            for c, t, i, j in np.ndindex(3, extent, 11, 11):
                total += w[k, c, t, i, j] * float(shown[column * step + t, 0, c, 3 * 2 + i, 3 + j])
            assert response[column, 0, k, 2, 1] == pytest.approx(total, abs=1e-3)


def test_colourfulness_of_known_colours():
    known = {GREY: 0, RED: 2 / 3, OPPOSED: 1, (1, 1, 0): 1 / 3, (0.2, 0.2, 0.2): 0}
    for colour, share in known.items():
        assert filters.colourfulness(gabor(colour=colour))[0] == pytest.approx(share, abs=1e-9)
    assert filters.colourfulness(noise(200)).mean() == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("frames", [4, 10])
@pytest.mark.parametrize("colour", [GREY, OPPOSED])
@pytest.mark.parametrize("towards", [0, 40, 90, 200, 315])
@pytest.mark.parametrize("frequency, speed", [(0.15, 1.0), (0.15, 2.0), (0.25, 1.0), (0.2, 0.6)])
def test_drifting_stripes(frames, colour, towards, frequency, speed):
    row = filters.measures(gabor(frequency, towards, speed, frames, colour)).iloc[0]
    assert row["frequency"] == pytest.approx(frequency, abs=0.02)
    assert row["speed"] == pytest.approx(speed, rel=0.15)
    assert angle_between(row["direction"], towards, 360) < 5
    assert angle_between(row["orientation"], towards + 90, 180) < 5
    assert row["direction_selectivity"] > 0.55 and row["orientation_selectivity"] > 0.75


@pytest.mark.parametrize("towards", [0, 70, 135])
def test_what_does_not_drift_has_no_direction(towards):
    still, blinking = gabor(towards=towards), gabor(towards=towards, flicker=0.25, frames=10)
    assert filters.measures(still)["speed"][0] == pytest.approx(0, abs=1e-3)
    assert filters.measures(blinking)["flicker"][0] == pytest.approx(0.25, abs=0.02)
    rows = filters.measures(gabor(towards=towards) * np.array([1, -2, 0.5, 3])[:, None, None])
    for found in (
        filters.motion(still),
        filters.motion(blinking),
        (0, rows["direction_selectivity"]),
    ):
        assert found[1][0] == pytest.approx(0, abs=1e-9)
    both = gabor(towards=towards, speed=1.5) + gabor(towards=towards + 180, speed=1.5)
    assert filters.motion(both)[1][0] < 1e-9


def test_reversed_time_turns_the_direction_and_nothing_else():
    w = noise(5)
    there, back = filters.measures(w), filters.measures(w[:, :, ::-1])
    turned = angle_between(there["direction"], back["direction"], 360)
    np.testing.assert_allclose(turned, 180)
    columns = ["colourfulness", "frequency", "speed", "stillness", "direction_selectivity"]
    np.testing.assert_allclose(there[columns], back[columns])
    np.testing.assert_allclose(filters.measures(7 * w)[columns], there[columns])


def test_a_blob_has_no_orientation_and_two_orientations_cancel():
    assert filters.orientation(gabor(frequency=0))[1][0] < 0.01
    crossed = gabor(0.2, 0) + gabor(0.2, 90)
    assert filters.orientation(crossed)[1][0] < 0.01
    assert filters.spectrum_peak(gabor(frequency=0))[0][0] == pytest.approx(1 / 11, abs=0.025)


def test_stillness():
    assert filters.stillness(gabor())[0] == pytest.approx(1)
    assert filters.stillness(gabor(flicker=0.5))[0] == pytest.approx(0, abs=1e-9)
    assert filters.stillness(noise(100)).mean() == pytest.approx(1 / 4, abs=0.01)


@pytest.mark.parametrize("frames", [2, 3, 4, 5])
def test_direction_selectivity_is_that_of_the_whole_spectrum(frames, monkeypatch):
    """Fourier's sum by loops, over 16² spatial frequencies and 256 temporal ones."""
    monkeypatch.setattr(filters, "PADDED", 16)
    w = np.random.default_rng(frames).normal(size=(2, 3, frames, 5, 5))
    for one, direction, selectivity in zip(w, *filters.motion(w), strict=True):
        one = one - one.mean(axis=(2, 3), keepdims=True)
        t, y, x = np.arange(frames), np.arange(5), np.arange(5)
        moving, whole = 0, 0.0
        for i, j in itertools.product(range(-8, 8), range(-8, 8)):
            if (i, j) == (0, 0):
                continue
            wave = np.exp(-2j * np.pi * (i / 16 * y[:, None] + j / 16 * x[None]))
            amplitudes = (one * wave).sum(axis=(2, 3))  # 3×T
            for turns in (np.arange(-128, 128) + 0.5) / 256:
                energy = (np.abs(amplitudes @ np.exp(-2j * np.pi * turns * t)) ** 2).sum()
                moving += -np.sign(turns) * energy * (j - 1j * i) / np.hypot(i, j)  # y is down
                whole += energy
        assert selectivity == pytest.approx(abs(moving) / whole, rel=1e-3)
        assert angle_between(direction, np.degrees(np.angle(moving)), 360) < 0.1


def test_the_null_distribution_is_that_of_all_orders_of_the_frames():
    w = np.concatenate([noise(3), gabor(speed=1.5)])
    seen = filters.shuffle_test(w, draws=2000)
    orders = list(itertools.permutations(range(4)))
    every = np.array([filters.motion(w[:, :, list(order)])[1] for order in orders])  # 24×N
    others = [k for k, order in enumerate(orders) if order not in ((0, 1, 2, 3), (3, 2, 1, 0))]
    assert len(others) == 22 and seen.threshold == pytest.approx(np.quantile(every[others], 0.95))
    assert seen.null.mean() == pytest.approx(every.mean(), abs=0.005)
    np.testing.assert_allclose(seen.each, every[0])
    assert (every[:, 3] <= every[0, 3] + 1e-9).all(), "stripes drift best in their own order"
    assert seen.p == (1 + (seen.null >= seen.mean * (1 - 1e-9)).sum()) / 2001


@pytest.mark.parametrize("frames", [4, 10])
def test_drift_is_found_and_noise_is_not(frames):
    drifting = [gabor(0.15, turn, 1.0, frames) for turn in range(0, 360, 45)]
    mixed = np.concatenate(drifting) + 0.3 * noise(8, frames)
    seen = filters.shuffle_test(mixed, draws=999)
    assert seen.p == 0.001 and (seen.each > seen.threshold).all()
    assert seen.mean > seen.limit and filters.describe_test(seen).startswith("measurably more")
    p = [filters.shuffle_test(noise(8, frames, seed), seed, draws=199).p for seed in range(30)]
    assert 0.35 < np.mean(p) < 0.65 and np.mean(np.array(p) <= 0.1) < 0.25


def test_two_frames_have_no_order_to_shuffle():
    seen = filters.shuffle_test(noise(4, frames=2), draws=99)
    assert seen.p == 1 and not (seen.each > seen.threshold).any()


def test_the_line_the_words_and_p_say_the_same():
    """At the margin too: filters that stand on the 0.05, and one shuffle to either side of it."""
    sides = set()
    for seed in range(60):
        drawn = noise(6, seed=seed) + 0.35 * np.concatenate([gabor(speed=1.0)] * 6)
        seen = filters.shuffle_test(drawn, seed, draws=199)
        verdict = filters.describe_test(seen)
        assert (seen.p <= 0.05) == (seen.mean > seen.limit) == verdict.startswith("measurably more")
        assert f"(p = {seen.p:.4f})" in verdict
        sides.add(seen.p <= 0.05)
    assert sides == {True, False}
    null = np.sort(seen.null)
    assert (null > seen.limit).sum() == 9, "one more and p would be 0.055"


def test_no_speed_is_below_zero():
    """Neither a tick nor a dot that is cut: filters that stand still lie on the axis."""
    for w in (np.concatenate([gabor(towards=t) for t in (0, 45, 90)]), noise(12), 0 * noise(2)):
        figure = draw_motion(
            filters.measure_table({"frame": w}), filters.shuffle_test(w, draws=99), "black", "x"
        )
        figure.draw_without_rendering()
        left = figure.axes[0]
        low, high = left.get_ylim()
        assert low == 0 < high and left.get_xlim()[0] == 0
        shown = [t for t in left.get_yticks() if low <= t <= high]
        assert len(shown) > 1 and min(shown) == 0
        assert not any(dots.get_clip_on() for dots in left.collections)


def test_what_was_learnt_is_apart_from_the_start():
    start, added = {"frame": noise(seed=1)}, noise(seed=2)
    added -= (added * start["frame"]).sum() / (start["frame"] ** 2).sum() * start["frame"]
    now = {"frame": 0.4 * start["frame"] + added}
    assert filters.remaining_share(now, start) == pytest.approx(0.4)
    np.testing.assert_allclose(filters.learnt(now, start)["frame"], added, atol=1e-12)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains on twelve films of two classes, in a home of this file's own."""
    films, home = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("home")
    frames = np.random.default_rng(0).integers(0, 255, (6, 24, 48, 64, 3), dtype=np.uint8)
    for n, part in enumerate(frames):
        for label, order in (("falling", 1), ("rising", -1)):
            writer.encode(films / label / f"{n}.mp4", part[::order])
    small = {"data": str(films), "epochs": 8, "batch_size": 4, "width": 1 / 16, "size": 43}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S1M_HOME", str(home))
        yield lambda **changes: train.train(config.TrainConfig(**{**small, **changes}))


@pytest.mark.parametrize("model", ["slow", "single-multires"])
def test_the_start_is_drawn_again(trained, model):
    """At a rate of almost nothing a network ends where it started."""
    run = trained(model=model, lr=1e-12, epochs=1, seed=3)
    now, start = filters.first_layer(runs.load_network(run)), filters.initial_filters(run)
    assert list(now) == list(start) == list(models.VIEWS[model.partition("-")[2]].streams)
    for stream in now:
        np.testing.assert_allclose(now[stream], start[stream], atol=1e-6)
    assert filters.remaining_share(now, start) == pytest.approx(1)


def test_history_holds_the_way_from_the_start_to_the_end(trained):
    run = trained(model="slow")
    steps = int(run.metrics["step"].iloc[-1])
    found = filters.filters_by_step(run)
    best = run.metrics.query("epoch == @run.results['epoch']")["step"].max()
    assert set(found) == {0, best, *range(60, steps, 60), steps} and list(found) == sorted(found)
    network = filters.first_layer(runs.load_network(run))
    np.testing.assert_array_equal(found[best]["frame"], network["frame"])
    sizes = [filters.norm(filters.learnt(w, found[0])) for w in found.values()]
    assert sizes[0] == pytest.approx(0, abs=1e-6) and min(sizes[1:]) > 1e-3


def test_pictures_are_scaled_around_mid_grey():
    w = np.zeros((2, 3, 2, 11, 11))
    w[0, 0, 0, 2, 3], w[0, 1, 1, 4, 5], w[1, 2, 0, 0, 0] = 0.5, -1.0, 8.0
    first, second = pictures(w)
    assert first.shape == (2, 11, 11, 3)
    assert first[0, 2, 3].tolist() == [192, 128, 128] and first[1, 4, 5].tolist() == [128, 1, 128]
    assert second[0, 0, 0].tolist() == [128, 128, 255] and (second[1] == 128).all()
    assert (pictures(np.zeros((1, 3, 1, 11, 11))) == 128).all()
    assert filters.strongest_frames(w).tolist() == [1, 0]


def test_nothing_yet_is_grey_in_the_notebook_too():
    """64 colours are few for noise, but mid-grey is one of them."""
    found = {0: {"frame": noise(12)}, 9: {"frame": noise(12) + noise(12, seed=1)}}
    figure = draw_growth(found, "")
    shown = np.asarray(Image.open(io.BytesIO(figure.png())).convert("RGB")).astype(int)
    figure.draw_without_rendering()
    left, bottom, right, top = figure.axes[0].get_position().extents  # of step 0
    row = shown[round((1 - (bottom + top) / 2) * len(shown))]
    row = row[round(left * len(row)) : round(right * len(row))]
    assert (np.abs(row - 128).max(axis=1) <= 1).mean() > 0.8, "the rest is between the filters"


def test_tiles_stand_row_by_row():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 3, 3), np.uint8)
    sheet = tile(images, 2)
    assert sheet.shape == (13, 9, 3)
    assert [int(sheet[4 * (k // 2) + 1, 4 * (k % 2) + 1, 0]) for k in range(5)] == list(range(5))
    assert (sheet[::4] == 255).all() and (sheet[9:, 5:] == 255).all()


def decoded(shown) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(re.search('base64,([^"]+)"', shown.data)[1])))


def test_the_animation_plays_in_a_report_without_a_script(tmp_path):
    streams = {"fovea": noise(6), "context": noise(6, seed=1)}
    shown = animate(streams, '<script>alert("x")</script>')
    picture = decoded(shown)
    assert picture.n_frames == 4 and picture.info["loop"] == 0 and picture.info["duration"] >= 200
    played = [np.asarray(f.convert("RGB")).astype(int) for f in ImageSequence.Iterator(picture)]
    assert all((a != b).mean() > 0.3 for a, b in itertools.pairwise(played))
    expected = pictures(streams["fovea"])[0, 2]  # the first tile, third frame
    assert np.abs(played[2][1:12, 1:12] - expected).mean() < 25, "32 colours are near"
    output = nbformat.v4.new_output("display_data", {"text/html": shown.data})
    cell = nbformat.v4.new_code_cell("", outputs=[output], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    page = html.html(tmp_path / "a.ipynb").read_text("utf-8")
    assert page.count('src="data:image/gif;base64,') == 1 and "<script" not in page.lower()
    assert "&lt;script&gt;" in page


def test_a_full_network_stays_within_half_a_megabyte():
    """96 filters of ten frames of pure noise, which no coding makes smaller."""
    streams = {"frame": noise(96, 10)}
    table, seen = filters.measure_table(streams), filters.shuffle_test(streams["frame"], draws=99)
    figures = [draw_grid(streams, "a")] * 2
    figures += [draw_sorted(streams, table, "b"), draw_strips(streams, "c")]
    figures += [draw_strips(streams, "d", np.flatnonzero(seen.each > seen.threshold))]
    figures += [draw_motion(table, seen, style.COLOURS["early"], "e")]
    figures += [draw_growth({0: {"frame": noise(96, 10, 1)}, 60: streams}, "h")]
    total = sum(4 / 3 * len(figure.png()) for figure in figures)
    assert total + len(animate(streams, "j").data) < 450_000


def test_filters_of_one_frame_have_no_time():
    streams = {"fovea": noise(3, 1), "context": noise(3, 1, seed=1)}
    table = filters.measure_table(streams)
    assert table["speed"].isna().all() and table["direction_selectivity"].isna().all()
    assert table["stream"].tolist() == ["fovea"] * 3 + ["context"] * 3
    assert table["filter"].tolist() == [0, 1, 2] * 2
    assert draw_sorted(streams, table, "").bbox.height > 100


def test_a_filter_of_zeros_measures_nothing_and_has_no_place():
    w = np.concatenate([noise(5), np.zeros((1, 3, 4, 11, 11))])
    table = filters.measure_table({"frame": w})
    measured = table.drop(columns=["stream", "filter"])
    assert measured.iloc[5].isna().all() and not measured.iloc[:5].isna().any(axis=None)
    assert np.allclose(measured.iloc[:5], filters.measures(w[:5]))
    figure = draw_sorted({"frame": w}, table, "x")
    assert sum(len(ax.images) for ax in figure.axes) == len(MEASURES)
    assert draw_sorted({"frame": 0 * w}, filters.measure_table({"frame": 0 * w}), "x") is not None
    seen = filters.shuffle_test(w, draws=99)
    assert draw_motion(table, seen, "black", "x").png()


def test_the_statistic_of_04_tells_motion_from_noise():
    """Learnt filters count as oriented in space-time when gratings that drift do, and noise, or
    the same gratings in shuffled order, does not."""
    rng = np.random.default_rng(0)
    drifting = np.concatenate([
        gabor(0.15, rng.uniform(0, 360), 1.0, 4) for _ in range(24)
    ]) + 0.02 * noise(24)  # fmt: skip
    shuffled = np.array([one[:, rng.permutation(4)] for one in drifting])
    seen = filters.shuffle_test(drifting, draws=999)
    assert seen.p <= 0.001 and seen.mean > 1.4 * seen.null.mean() and seen.mean > 0.5
    again = filters.shuffle_test(shuffled, draws=999)
    assert again.p > 0.05 and again.mean < 0.7 * seen.mean
    p = [filters.shuffle_test(noise(24, seed=seed), draws=199).p for seed in range(40)]
    assert np.mean(np.array(p) <= 0.05) <= 0.15 and 0.3 < np.mean(p) < 0.7
