"""What a filter answers to: colour, frequency, orientation, motion.

    table = measures(w)             # a row a filter
    shuffle_test(w)                 # is it space-time-oriented, beyond shuffled time?

Filters are float arrays N×3×T×H×W. No measure changes when a filter is scaled. Frequencies are
read from spectra padded with zeros, after the mean of every frame is taken away: what a flat
picture gives has no frequency. Energies add up over red, green and blue. Angles are degrees
anticlockwise as seen, 0 pointing right.
"""

from itertools import islice, permutations
from math import factorial
from typing import NamedTuple

import numpy as np
import pandas as pd
from safetensors import safe_open

from s1m_lab import models
from s1m_lab.common.files import reading
from s1m_lab.training import runs

PADDED = 64  # a spectrum's samples along each side and in time
ORDERS = 500  # orders of the frames in the null distribution, where there are more


def colourfulness(w: np.ndarray) -> np.ndarray:
    """The share of each filter's energy off the grey axis, where red, green and blue are equal.

    N×3×T×H×W → N. 0 for grey, 2/3 for one pure channel or white noise, 1 where channels cancel,
    nan for a filter of zeros.
    """
    return 1 - 3 * _share(w.mean(axis=1, keepdims=True), w)


def _share(part: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The energy of a part over that of the filter: N; nan for one of zeros."""
    energy, whole = ((v**2).sum(axis=(1, 2, 3, 4)) for v in (part, w))
    return np.where(whole > 0, energy / np.maximum(whole, 1e-30), np.nan)


def _spatial(one: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each frame's spectrum 3×T×F without its mean, and the F frequencies x + iy, y upwards."""
    one = one - one.mean(axis=(2, 3), keepdims=True)
    spectrum = np.fft.fft2(one, (PADDED, PADDED))
    along = np.fft.fftfreq(PADDED)
    frequency = along[None, :] - 1j * along[:, None]
    return spectrum.reshape(*one.shape[:2], -1)[..., 1:], frequency.ravel()[1:]


def stillness(w: np.ndarray) -> np.ndarray:
    """The share of each filter's energy that is the same in all T frames.

    N×3×T×H×W → N. 1 for a still picture, 1/T for white noise, 0 for what sums to nothing over
    time, nan for a filter of zeros.
    """
    return w.shape[2] * _share(w.mean(axis=2, keepdims=True), w)


def spectrum_peak(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spatial (cycles/pixel) and temporal (cycles/frame) frequency where the energy is highest.

    N×3×T×H×W → two arrays of N, without signs; in space to 1/64, in time refined by a parabola. A
    blob of 11 pixels that does not oscillate at all peaks at about 1/11.
    """
    found = []
    for one in w:
        spectrum, frequency = _spatial(one)
        energy = (np.abs(np.fft.fft(spectrum, PADDED, axis=1)) ** 2).sum(axis=0)
        t, f = np.unravel_index(energy.argmax(), energy.shape)
        before, here, after = energy[[t - 1, t, (t + 1) % PADDED], f]
        bend = before - 2 * here + after
        shift = (before - after) / (2 * bend) if bend < -1e-9 * here else 0.0
        turns = (t + shift) / PADDED
        found.append((abs(frequency[f]), abs(turns - round(turns))))
    space, time = np.array(found).reshape(-1, 2).T
    return space, time


def orientation(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each filter's stripes: their angle, 0 ≤ degrees < 180, and how selective it is, 0…1.

    The energy-weighted mean over the spectrum of doubled angles, and its length: 1 for one
    orientation, 0 for none (one minus the circular variance of Ringach et al. 2002).
    """
    means = []
    for one in w:
        spectrum, frequency = _spatial(one)
        energy = (np.abs(spectrum) ** 2).sum(axis=(0, 1))
        doubled = (frequency / np.abs(frequency)) ** 2
        means.append(energy @ doubled / max(energy.sum(), 1e-30))
    return (np.degrees(np.angle(means)) / 2 + 90) % 180, np.abs(means)


def _opponency(w: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Moving energy as a vector, of each filter (N) with its frames in each of P orders: N×P.

    At every spatial frequency f, the energy that moves one way less that which moves the other
    (Adelson and Bergen 1985), along f; summed over f by direction, as a share of all energy. The
    sum over temporal frequencies, each with its sign, has a closed form: frames t and u enter with
    −2i/(π(t − u)) where t − u is odd, and not at all where it is even (Hilbert's transform).
    """
    apart = np.subtract.outer(np.arange(w.shape[2]), np.arange(w.shape[2]))
    sign = np.where(apart % 2, -2j / (np.pi * np.where(apart, apart, 1)), 0)
    found = []
    for one in w:
        spectrum, frequency = _spatial(one)
        along = spectrum * (frequency / np.abs(frequency))
        gram = np.einsum("ctf,cuf->tu", along, spectrum.conj(), optimize=True)
        energy = max((np.abs(spectrum) ** 2).sum(), 1e-30)
        ordered = gram[orders[:, :, None], orders[:, None, :]]  # P×T×T
        found.append(-np.einsum("ptu,tu->p", ordered, sign) / energy)
    return np.array(found)


def motion(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The direction each filter prefers (0 ≤ degrees < 360) and its direction selectivity, 0…1.

    N×3×T×H×W → two arrays of N. The selectivity is its *space-time orientation*: 0 for a filter
    that is a picture times a course in time, near 1 for a pattern that drifts one way.
    """
    vector = _opponency(w, np.arange(w.shape[2])[None])[:, 0]
    return np.degrees(np.angle(vector)) % 360, np.abs(vector)


def measures(w: np.ndarray) -> pd.DataFrame:
    """A row a filter of N×3×T×H×W: how it is tuned.

    `colourfulness` (share), `frequency` (cycles/pixel), `orientation` (degrees) with its
    `orientation_selectivity`, `flicker` (cycles/frame), `speed` (pixels/frame, that at the peak of
    the spectrum), `direction` (degrees) with its `direction_selectivity`, `stillness` (share).
    Filters of one frame have no flicker, speed or direction (nan), a filter of zeros has nothing.
    """
    table = pd.DataFrame({"colourfulness": colourfulness(w)})
    table["frequency"], table["flicker"] = spectrum_peak(w)
    table["orientation"], table["orientation_selectivity"] = orientation(w)
    table["speed"] = table["flicker"] / table["frequency"]
    table["direction"], table["direction_selectivity"] = motion(w)
    table["stillness"] = stillness(w)
    if w.shape[2] == 1:
        table[["flicker", "speed", "direction", "direction_selectivity"]] = np.nan
    table[~w.any(axis=(1, 2, 3, 4))] = np.nan
    return table


class ShuffleTest(NamedTuple):
    """Space-time orientation of N filters against their own frames in shuffled order."""

    each: np.ndarray  # N
    mean: float
    null: np.ndarray  # the mean of all filters, their frames shuffled, again and again
    limit: float  # p ≤ 0.05 where the mean is above this
    p: float  # the share of these as high, counting the one observed
    threshold: float  # 95 % of single filters stay below, their frames in another order


def shuffle_test(w: np.ndarray, seed: int = 0, draws: int = 9999) -> ShuffleTest:
    """Are the filters more space-time-oriented than the same frames in any order?

    A permutation test: were time nothing to them, each order of a filter's frames would be as
    likely. All T! orders where they are at most 500, else 500 by chance; each draw takes one order
    for every filter. The threshold leaves out the own order and its reverse, which moves as much
    the other way. Needs filters of three frames or more.
    """
    rng, frames = np.random.default_rng(seed), w.shape[2]
    orders = np.array(list(islice(permutations(range(frames)), ORDERS)))
    if factorial(frames) > ORDERS:
        orders = rng.permuted(np.tile(np.arange(frames), (ORDERS, 1)), axis=1)
    each = motion(w)[1]
    shuffled = np.abs(_opponency(w, orders))
    picks = rng.integers(len(orders), size=(draws, len(w)))
    null = shuffled[np.arange(len(w)), picks].mean(axis=1)
    p = (1 + (null >= each.mean() * (1 - 1e-9)).sum()) / (1 + draws)
    limit = float(np.sort(null)[-max(1, (1 + draws) // 20)])
    own = np.arange(frames)
    others = (orders != own).any(axis=1) & (orders != own[::-1]).any(axis=1)
    # two frames have no other order, and no filter of theirs is told from chance
    threshold = float(np.quantile(shuffled[:, others], 0.95)) if others.any() else np.inf
    return ShuffleTest(each, each.mean(), null, limit, p, threshold)


def describe_test(test: ShuffleTest) -> str:
    """The verdict of a test in the words of titles and summaries: its p, held to 0.05."""
    verdict = "measurably more" if test.p <= 0.05 else "not measurably more"
    return f"{verdict} oriented in space-time than shuffled (p = {test.p:.4f})"


Streams = dict[str, np.ndarray]


def first_layer(net) -> Streams:
    """The filters of conv1 by stream, N×3×T×11×11 (`models.TimeConv` stacks T as channels)."""
    if net.name not in models.NAMES:
        raise ValueError(
            f"{net.name} lacks the layer of 11×11 pixels whose filters are measured here; name a "
            "run of one of the sixteen networks: -p run <run>"
        )
    weights = {s: tower.conv1.weight.detach().cpu().numpy() for s, tower in net.towers.items()}
    return {stream: _unstack(weight) for stream, weight in weights.items()}


def _unstack(weight: np.ndarray) -> np.ndarray:
    """N×(T·3)×11×11 → N×3×T×11×11."""
    return weight.astype(float).reshape(len(weight), -1, 3, *weight.shape[2:]).swapaxes(1, 2)


def initial_filters(run: runs.Run) -> Streams:
    """The filters the run started from, drawn again from its seed."""
    s = run.config["settings"]
    net = models.build(s["model"], len(run.labels), s["width"], s["size"], s["seed"])
    return first_layer(net)


def filters_by_step(run: runs.Run) -> dict[int, Streams]:
    """The filters by step: the start, those kept on the way, of the best epoch, and the last."""
    best = run.path / "model.safetensors"
    kept = {runs.network_facts(run)["numbers"]["step"]: best}
    kept |= {int(file.parent.name): file for file in run.path.glob("checkpoint/[0-9]*/weights.*")}
    kept |= {int(file.stem): file for file in run.path.glob("filters/[0-9]*.safetensors")}
    found = {0: initial_filters(run)}
    for step in sorted(kept):
        with reading(kept[step], run.anew), safe_open(kept[step], "np") as file:
            found[step] = {
                s: _unstack(file.get_tensor(f"towers.{s}.conv1.weight")) for s in found[0]
            }
    return found


def remaining_share(now: Streams, start: Streams) -> float:
    """The share a of the start that is still there, by least squares over all weights."""
    pairs = [(now[s].ravel(), start[s].ravel()) for s in start]
    return float(sum(w @ w0 for w, w0 in pairs) / sum(w0 @ w0 for _, w0 in pairs))


def learnt(now: Streams, start: Streams) -> Streams:
    """What training added: now − a·start, a being `remaining_share` (decay shrinks the start).

    Trained for long enough a is 0, and what was learnt is the filters.
    """
    a = remaining_share(now, start)
    return {s: now[s] - a * start[s] for s in start}


def stack_streams(streams: Streams) -> np.ndarray:
    """The filters of all streams, one stream after the other: N×3×T×11×11."""
    return np.concatenate(list(streams.values()))


def norm(streams: Streams) -> float:
    """The root of the sum of all squared weights."""
    return float(np.linalg.norm(stack_streams(streams)))


def measure_table(streams: Streams) -> pd.DataFrame:
    """`measures` of the filters of all streams, with the columns `stream` and `filter`."""
    each = {stream: measures(w) for stream, w in streams.items()}
    return pd.concat(each, names=["stream", "filter"]).reset_index()


def strongest_frames(w: np.ndarray) -> np.ndarray:
    """The frame of each filter that holds most energy: N."""
    return (w**2).sum(axis=(1, 3, 4)).argmax(axis=1)
