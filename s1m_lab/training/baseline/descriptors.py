"""Hand-made descriptors of one clip: HOG, textons, cuboids, colour, faces.

    found = local(clip)["hog points"]
    found.values, found.places          # float32 N×36, and N×2: y and x, 0…1 of the frame

§5 of the paper names these features and little else; sizes and sources stand beside each. A clip is
uint8 T×H×W×3. Local descriptors are computed on a dense grid and at interest points, and become
words in `bag_of_words`. With one thread, the same clip gives the same bits in any worker.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade, corner_harris, peak_local_max

STEP = 8  # every 8th frame is described (the paper: all), since neighbours are nearly alike
ANGLES, CELL = 9, 8  # Dalal and Triggs 2005: a cell of 8 pixels, blocks of 2×2 cells
GRID = 4  # pixels between textons
RADIUS = 8  # of a texton's filters, pixels
SIGMA, TAU = 2.0, 2.0  # of the detector of cuboids: pixels, frames
RATE = 0.6 / TAU  # cycles/frame; see `motion_energy`
CUBOID = (np.arange(-4, 5, 2), np.arange(-6, 7, 3))  # where a cuboid is read: in time, in space
SPACING = 12  # pixels between dense cuboids
CORNERS, EVENTS = 60, 40  # interest points, at most: of a frame, of a clip
FAINT = 1e-4  # squared response below which there is no motion
HUES, SATURATIONS, FACES = 24, 8, 4
SIZES = {"hog": 4 * ANGLES, "texton": 26, "cuboid": 3 * 5 * 5 * 5}
KINDS = tuple(f"{name} {where}" for name in SIZES for where in ("grid", "points"))


class Local(NamedTuple):
    """N descriptors and their places in the frame."""

    values: np.ndarray  # float32 N×D
    places: np.ndarray  # float32 N×2: y and x of each, 0…1


def local(clip: np.ndarray) -> dict[str, Local]:
    """The local features of a clip, by `KINDS`; ValueError for one smaller than 9×24×24."""
    T, H, W = clip.shape[:3]
    if T < 9 or min(H, W) < 24:
        raise ValueError(f"a clip of {T}×{H}×{W} has no room for features; 9×24×24 has")
    volume = grey(clip)
    blocks = _mesh(*(np.arange(CELL, side - CELL + 1, CELL) for side in (H, W)))
    every_fourth = _mesh(*(np.arange(0, side, GRID) for side in (H, W)))
    found: dict[str, list] = {kind: [] for kind in KINDS}
    for image in volume[chosen(T)]:
        dots, sums, filtered = corners(image), summed(image), textons(image)
        for where, points in (("grid", blocks), ("points", dots)):
            found[f"hog {where}"].append((hog(sums, points), points))
        for where, points in (("grid", every_fourth), ("points", dots)):
            found[f"texton {where}"].append((filtered[tuple(points.T // GRID)], points))
    smooth = smoothed(volume)
    for where, points in (("grid", _lattice(volume.shape)), ("points", events(smooth))):
        found[f"cuboid {where}"].append((cuboids(smooth, points), points[:, 1:]))
    joined = {kind: map(np.concatenate, zip(*parts, strict=True)) for kind, parts in found.items()}
    size = np.array([H, W], np.float32)
    return {kind: Local(v.astype(np.float32), (p + 0.5) / size) for kind, (v, p) in joined.items()}


def chosen(T: int) -> np.ndarray:
    """The numbers of the frames that are described one by one: of T = 16, 4 and 12."""
    return np.arange(STEP // 2, T, STEP)


def grey(clip: np.ndarray) -> np.ndarray:
    """uint8 …×3 → float32 …, 0…1 (ITU-R BT.709)."""
    return clip @ (np.array([0.2125, 0.7154, 0.0721], np.float32) / 255)


def _mesh(*axes: np.ndarray) -> np.ndarray:
    """All points with one coordinate of each axis, the last one changing first: N×axes."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


# ------------------------------------------------------------------------------------------- HOG


def summed(image: np.ndarray) -> np.ndarray:
    """The magnitude of a frame's gradient by its bin, summed from the upper left: 9×(H+1)×(W+1).

    `image` is float H×W, 0…1.
    """
    y, x = np.zeros_like(image), np.zeros_like(image)
    y[1:-1], x[:, 1:-1] = image[2:] - image[:-2], image[:, 2:] - image[:, :-2]
    bins = (np.degrees(np.arctan2(y, x)) % 180 // (180 / ANGLES)).astype(np.intp) % ANGLES
    sums = np.zeros((ANGLES, image.shape[0] + 1, image.shape[1] + 1))
    np.put_along_axis(sums[:, 1:, 1:], bins[None], np.hypot(x, y)[None], 0)
    return sums.cumsum(1).cumsum(2)


def hog(sums: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (float N×36) around pixels (N×2) at least 8 from the edge.

    `sums` are of `summed`. A block is 2×2 cells of 8×8 pixels around a point. Its 9 bins are 20° of
    the gradient's direction, from 0° (dark to light along x). On the grid of cells this is
    `skimage.feature.hog`, except that flat blocks stay near 0.
    """
    corner = [sums[:, points[:, 0] + dy, points[:, 1] + dx]
              for dy in (-CELL, 0, CELL) for dx in (-CELL, 0, CELL)]  # fmt: skip
    cells = np.array([corner[n] - corner[n + 1] - corner[n + 3] + corner[n + 4]
                      for n in (0, 1, 3, 4)]) / CELL**2  # 4×9×N  # fmt: skip
    block = cells.reshape(4 * ANGLES, len(points)).T
    block = np.minimum(_bounded(block, 0.02), 0.2)  # L2-Hys
    return _bounded(block, 1e-3)


def _bounded(values: np.ndarray, floor: float) -> np.ndarray:
    """Rows scaled to length 1; those far below the `floor` stay near 0."""
    return values / np.sqrt((values**2).sum(axis=-1, keepdims=True) + floor**2)


def corners(image: np.ndarray) -> np.ndarray:
    """Up to 60 corners of a frame (float H×W, 0…1): rows and columns N×2, the strongest first."""
    strength = corner_harris(image, sigma=1.5)
    return peak_local_max(
        strength, min_distance=4, threshold_abs=1e-6, exclude_border=CELL, num_peaks=CORNERS
    )


# --------------------------------------------------------------------------------------- textons


@cache
def bank() -> np.ndarray:
    """26 filters of 17×17 in the manner of Leung and Malik 2001: float32 17×17×26.

    Edges and bars at 2 scales (σ of 1 and 2 pixels, twice as long as wide) × 6 angles, then two
    Laplacians of Gaussians. Each sums to 0, its magnitudes to 1.
    """
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1].astype(float)
    filters = []
    for s in (1, 2):
        for angle in np.pi * np.arange(6) / 6:
            u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
            bell = np.exp(-(u**2) / (2 * s**2) - v**2 / (8 * s**2))
            filters += [u * bell, (u**2 / s**2 - 1) * bell]
    for s in (1, 2):
        r = (x**2 + y**2) / (2 * s**2)
        filters.append((1 - r) * np.exp(-r))
    bank = np.stack(filters, -1)
    bank -= bank.mean(axis=(0, 1))
    return (bank / np.abs(bank).sum(axis=(0, 1))).astype(np.float32)


def textons(image: np.ndarray) -> np.ndarray:
    """Filter responses on a grid of 4 pixels: float H×W, 0…1 → float32 ⌈H/4⌉×⌈W/4⌉×26.

    Contrast is compressed as in Varma and Zisserman 2005 (Weber's law).
    """
    padded = np.pad(image, RADIUS, mode="reflect")
    side = 2 * RADIUS + 1
    patches = np.lib.stride_tricks.sliding_window_view(padded, (side, side))[::GRID, ::GRID]
    answers = patches.reshape(*patches.shape[:2], -1) @ bank().reshape(side**2, -1)
    return np.sign(answers) * np.log1p(np.abs(answers) / 0.03)


# --------------------------------------------------------------------------------------- cuboids


def smoothed(volume: np.ndarray) -> np.ndarray:
    """float T×H×W, every frame blurred by `SIGMA`."""
    return ndimage.gaussian_filter(volume, (0, SIGMA, SIGMA), truncate=3)


def motion_energy(smooth: np.ndarray) -> np.ndarray:
    """Dollár et al. 2005: the squared response of a pair of Gabor filters in time, T×H×W.

    Their ω = 4/τ is above half a cycle a frame for any τ below 8, where frames cannot distinguish
    it from a slower one. Here it is 0.6/τ, which leaves the even filter almost no constant part.
    """
    t = np.arange(-int(2 * TAU), int(2 * TAU) + 1)
    bell = np.exp(-(t**2) / TAU**2)
    even, odd = bell * np.cos(2 * np.pi * RATE * t), bell * np.sin(2 * np.pi * RATE * t)
    even -= bell * even.sum() / bell.sum()  # a still image has no response
    pair = [ndimage.correlate1d(smooth, each / bell.sum(), 0) for each in (even, odd)]
    return pair[0] ** 2 + pair[1] ** 2


def events(smooth: np.ndarray) -> np.ndarray:
    """Frame, row and column (N×3) of up to 40 maxima of the motion energy, the strongest first."""
    energy = motion_energy(smooth)
    best = (ndimage.maximum_filter(energy, (5, 9, 9)) == energy) & (energy > FAINT)
    inside = np.zeros_like(best)
    inside[tuple(slice(m, s - m) for m, s in zip(_margins(), smooth.shape, strict=True))] = True
    points = np.argwhere(best & inside)
    order = np.argsort(-energy[tuple(points.T)], kind="stable")
    return points[order[:EVENTS]]


def _margins() -> tuple[int, int, int]:
    time, space = CUBOID
    return time[-1], space[-1] + 1, space[-1] + 1


def _lattice(shape: tuple[int, ...]) -> np.ndarray:
    """Frames, rows and columns of the dense cuboids: first and last that fit in time, N×3."""
    ends = [(m, side - 1 - m) for m, side in zip(_margins(), shape, strict=True)]
    rows, columns = (np.arange(first, last + 1, SPACING) for first, last in ends[1:])
    return _mesh(np.unique(ends[0]), rows, columns)


def cuboids(smooth: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The gradients of blurred space-time around points (N×3): float32 N×375.

    In time, y and x (3), at 5×5×5 places of 9 frames × 13×13 pixels. Dollár et al. keep those of
    every pixel and project them; blurred gradients lose little when read at every third pixel.
    """
    time, space = CUBOID
    at, ends = points[:, None] + _mesh(time, space, space), np.array(smooth.shape) - 1  # N×125×3
    read = [
        smooth[tuple(np.minimum(at + step, ends).T)] - smooth[tuple(np.maximum(at - step, 0).T)]
        for step in np.eye(3, dtype=int)
    ]
    return _bounded(np.concatenate(read).T, 0.1)


# ----------------------------------------------------------------------------- the frame as a whole


def quarters(places: np.ndarray) -> np.ndarray:
    """The number of the quarter of each place (N×2 of y, x, 0…1): 0…3, row by row."""
    return (places[:, 0] >= 0.5) * 2 + (places[:, 1] >= 0.5)


def hue_saturation(clip: np.ndarray) -> np.ndarray:
    """Counts of pixels in each quarter by 24 hues × 8 saturations: float 4×192.

    Grey pixels have hue 0 and saturation 0.
    """
    hsv = rgb2hsv(clip[chosen(len(clip))])
    hue = np.minimum(hsv[..., 0] * HUES, HUES - 1).astype(int)
    bins = hue * SATURATIONS + np.minimum(hsv[..., 1] * SATURATIONS, SATURATIONS - 1).astype(int)
    size = HUES * SATURATIONS
    return np.array([np.bincount(own.ravel(), minlength=size) for own in _cells(bins)], float)


def colour_moments(clip: np.ndarray) -> np.ndarray:
    """Colour moments (Stricker and Orengo 1995) of the frame and its quarters: float 5×3×3.

    By red, green, blue: mean, standard deviation and cube root of the third central moment, in 0…1.
    """
    frames = clip[chosen(len(clip))] / np.float32(255)
    powers = np.stack([frames**n for n in range(4)], -1)
    sums = np.array([own.sum(axis=(0, 1, 2), dtype=float) for own in _cells(powers)])
    sums = np.concatenate([sums.sum(axis=0, keepdims=True), sums])  # 5×3×4
    _, m, m2, m3 = np.moveaxis(sums / sums[..., :1], -1, 0)
    spread, third = np.sqrt(np.maximum(m2 - m**2, 0)), np.cbrt(m3 - 3 * m * m2 + 2 * m**3)
    return np.stack([m, spread, third], -1)


def _cells(frames: np.ndarray) -> list[np.ndarray]:
    """The four quarters of T×H×W×…, by rows."""
    H, W = frames.shape[1:3]
    rows, columns = ((slice(None, n // 2), slice(n // 2, None)) for n in (H, W))
    return [frames[:, r, c] for r in rows for c in columns]


def faces(clip: np.ndarray) -> int:
    """The number of frontal faces that scikit-image's own cascade finds in the middle frame."""
    found = _cascade().detect_multi_scale(
        clip[len(clip) // 2],
        scale_factor=1.3,
        step_ratio=1.5,
        min_size=(24, 24),
        max_size=clip.shape[1:3],
        min_neighbor_number=2,
    )
    return len(found)


@cache
def _cascade():
    return Cascade(lbp_frontal_face_cascade_filename())
