"""Hand-made features against independent truth: formulas, plain loops, other libraries."""

import colorsys

import numpy as np
import pytest
from scipy import stats
from skimage import data
from skimage.feature import hog as reference

from s1m_lab.training.baseline import descriptors


def grating(angle: float, period: float = 6.0, side: int = 64, phase: float = 0.0) -> np.ndarray:
    """Stripes whose gradient points at `angle` degrees, clockwise from x: float 0…1."""
    y, x = np.mgrid[:side, :side]
    along = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    return (0.5 + 0.5 * np.cos(2 * np.pi * along / period + phase)).astype(np.float32)


def blob(T: int = 16, side: int = 48, speed: int = 2) -> np.ndarray:
    """A bright square that moves to the right on grey: uint8 T×H×W×3."""
    clip = np.full((T, side, side, 3), 60, np.uint8)
    for t in range(T):
        clip[t, 20:28, 6 + speed * t : 14 + speed * t] = 220
    return clip


@pytest.fixture
def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 40, 52, 3), np.uint8)


@pytest.mark.parametrize("bin", range(9))
def test_a_grating_of_a_known_angle_peaks_in_its_bin(bin):
    found = descriptors.hog(
        descriptors.summed(grating(bin * 20 + 10)), np.array([[24, 24], [32, 40]])
    )
    assert found.shape == (2, 36)
    assert (found.reshape(2, 4, 9).argmax(axis=2) == bin).all()


def test_on_the_grid_it_is_that_of_scikit_image(clip):
    image = descriptors.grey(clip)[0][:40, :48]
    blocks = reference(image, 9, (8, 8), (2, 2), feature_vector=False)
    rows, columns = np.mgrid[8:33:8, 8:41:8]
    found = descriptors.hog(
        descriptors.summed(image), np.stack([rows.ravel(), columns.ravel()], -1)
    )
    np.testing.assert_allclose(found, blocks.reshape(-1, 36), atol=2e-3)


def test_textons_answer_to_stripes_and_not_to_light():
    bank = descriptors.bank()
    np.testing.assert_allclose(bank.sum(axis=(0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(bank).sum(axis=(0, 1)), 1, atol=1e-6)
    assert np.abs(descriptors.textons(np.full((40, 40), 0.7, np.float32))).max() < 1e-3
    for number in range(6):
        found = descriptors.textons(grating(30 * number, period=5.0))[4:12, 4:12]
        bars = np.abs(found[..., 1:12:2]).mean(axis=(0, 1))
        assert bars.argmax() == number
    image = np.random.default_rng(1).random((30, 26), np.float32)
    padded = np.pad(image, 8, mode="reflect")
    answer = (padded[12 : 12 + 17, 8 : 8 + 17] * bank[..., 3]).sum()
    wanted = np.sign(answer) * np.log(1 + abs(answer) / 0.03)
    assert descriptors.textons(image)[3, 2, 3] == pytest.approx(wanted, rel=1e-4)


def test_something_happens_only_where_something_moves():
    still = np.repeat(blob()[:1], 16, axis=0)
    smooth = descriptors.smoothed(descriptors.grey(still))
    assert descriptors.motion_energy(smooth).max() < 1e-10
    assert len(descriptors.events(smooth)) == 0
    assert len(descriptors.local(still)["cuboid points"].values) == 0
    smooth = descriptors.smoothed(descriptors.grey(blob()))
    points = descriptors.events(smooth)
    assert len(points) >= 3
    assert (np.diff(descriptors.motion_energy(smooth)[tuple(points.T)]) <= 0).all()
    middle = 10 + 2 * points[:, 0]  # of the square, in each point's frame
    assert (np.abs(points[:, 1] - 24) < 9).all() and (np.abs(points[:, 2] - middle) < 13).all()


def test_the_motion_energy_is_its_formula():
    smooth = np.random.default_rng(2).random((16, 3, 3))
    t, tau = np.arange(-4, 5), descriptors.TAU
    bell = np.exp(-(t**2) / tau**2)
    even = bell * np.cos(2 * np.pi * 0.3 * t)
    even = (even - bell * even.sum() / bell.sum()) / bell.sum()
    odd = bell * np.sin(2 * np.pi * 0.3 * t) / bell.sum()
    wanted = sum((smooth[4:13] * f[:, None, None]).sum(axis=0) ** 2 for f in (even, odd))
    np.testing.assert_allclose(descriptors.motion_energy(smooth)[8], wanted, rtol=1e-9)


def test_a_cuboid_is_the_gradient_and_knows_the_direction_of_time():
    smooth = np.random.default_rng(3).random((16, 30, 30)) * 4
    (found,) = descriptors.cuboids(smooth, np.array([[7, 15, 12]]))
    raw = []
    for step in np.eye(3, dtype=int):
        for t in range(3, 12, 2):
            for y in range(9, 22, 3):
                for x in range(6, 19, 3):
                    at = np.array([t, y, x])
                    raw.append(smooth[tuple(at + step)] - smooth[tuple(at - step)])
    own, wanted = found.reshape(3, 5, 5, 5), np.array(raw).reshape(3, 5, 5, 5)
    length = np.sqrt((wanted**2).sum() + 0.01)
    assert sorted(found) == pytest.approx(sorted(np.ravel(wanted) / length))
    np.testing.assert_allclose(np.sort(own[0].ravel()), np.sort(wanted[0].ravel()) / length)
    (back,) = descriptors.cuboids(smooth[::-1], np.array([[8, 15, 12]]))
    back = back.reshape(3, 5, 5, 5)
    assert sorted(back[0].ravel()) == pytest.approx(sorted(-own[0].ravel()))
    assert sorted(back[1].ravel()) == pytest.approx(sorted(own[1].ravel()))


def test_colour_is_that_of_plain_loops(clip):
    counts, size = np.zeros((4, 192)), clip.shape[1:3]
    for t in descriptors.chosen(len(clip)):
        for y in range(size[0]):
            for x in range(size[1]):
                hue, saturation, _ = colorsys.rgb_to_hsv(*(clip[t, y, x] / 255))
                cell = 2 * (y >= size[0] // 2) + (x >= size[1] // 2)
                counts[cell, min(int(hue * 24), 23) * 8 + min(int(saturation * 8), 7)] += 1
    found = descriptors.hue_saturation(clip)
    assert found.sum() == counts.sum()
    assert np.abs(found - counts).sum() < 0.005 * counts.sum()  # hues right on an edge


def test_moments_are_their_formulas(clip):
    frames = clip[descriptors.chosen(len(clip))] / 255
    corner = frames[:, 20:, :26]
    found = descriptors.colour_moments(clip)
    assert found.shape == (5, 3, 3)
    for part, own in ((frames, found[0]), (corner, found[3])):
        pixels = part.reshape(-1, 3)
        np.testing.assert_allclose(own[:, 0], pixels.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(own[:, 1], pixels.std(axis=0), atol=1e-6)
        third = np.cbrt(stats.moment(pixels, 3, axis=0))
        np.testing.assert_allclose(own[:, 2], third, atol=2e-3)


def test_a_face_is_counted():
    picture = data.astronaut()[:300, 100:400]
    assert descriptors.faces(np.stack([picture] * 3)) == 1
    assert descriptors.faces(np.full((3, 100, 100, 3), 90, np.uint8)) == 0


def test_every_kind_has_its_size_and_lies_in_the_frame(clip):
    found = descriptors.local(clip)
    assert tuple(found) == descriptors.KINDS
    for kind, (values, places) in found.items():
        assert values.shape == (len(places), descriptors.SIZES[kind.split()[0]])
        assert values.dtype == np.float32 and np.isfinite(values).all()
        assert len(values) and 0 < places.min() and places.max() < 1
    again = descriptors.local(clip.copy())
    assert all(np.array_equal(found[k].values, again[k].values) for k in found)
    with pytest.raises(ValueError, match="9×24×24"):
        descriptors.local(clip[:, :20])
