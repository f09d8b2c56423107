"""First-layer filters: how they look, move and are tuned.

    now, before = filters.first_layer(runs.load_network(run)), filters.at_start(run)
    new = filters.learnt(now, before)           # what training added to the random start
    table = filters.measures(new)               # a row a filter
    filters.evidence(new)                       # is it space-time-oriented, beyond shuffled time?

Filters are float arrays N×3×T×11×11, a dict of them by stream. A measure of a filter does not
change when the filter is scaled. Frequencies are read from spectra padded with zeros, after the
mean of every frame is taken away: what a flat picture gives has no frequency. Energies add up over
red, green and blue. Angles are degrees anticlockwise as seen, 0 pointing right.
"""

from itertools import islice, permutations
from math import factorial
from typing import NamedTuple

import numpy as np
import pandas as pd

from s1m_lab import metrics, models, runs

Streams = dict[str, np.ndarray]
PADDED = 64  # a spectrum's samples along each side and in time
ORDERS = 500  # orders of the frames in the null distribution, where there are more


def first_layer(net) -> Streams:
    """The filters of conv1 by stream, N×3×T×11×11 (`models.TimeConv` stacks T as channels)."""
    weights = {s: tower.conv1.weight.detach().cpu().numpy() for s, tower in net.towers.items()}
    return {stream: _unstack(weight) for stream, weight in weights.items()}


def _unstack(weight: np.ndarray) -> np.ndarray:
    """N×(T·3)×11×11 → N×3×T×11×11."""
    return weight.astype(float).reshape(len(weight), -1, 3, *weight.shape[2:]).swapaxes(1, 2)


def at_start(run: runs.Run) -> Streams:
    """The filters the run started from, drawn again from its seed."""
    s = run.config["settings"]
    net = models.build(s["model"], len(run.labels), s["width"], s["size"], s["seed"])
    return first_layer(net)


def history(run: runs.Run) -> dict[int, Streams]:
    """The filters by step: the start, those kept on the way and in the last two checkpoints."""
    from safetensors.numpy import load_file

    kept = {int(file.stem): file for file in run.path.glob("filters/*.safetensors")}
    kept |= {int(file.parent.name): file for file in run.path.glob("checkpoint/*/weights.*")}
    found = {0: at_start(run)}
    for step, file in sorted(kept.items()):
        weights = load_file(file)
        found[step] = {s: _unstack(weights[f"towers.{s}.conv1.weight"]) for s in found[0]}
    return found


def left_of_start(now: Streams, start: Streams) -> float:
    """The share a of the start that is still there, by least squares over all weights."""
    pairs = [(now[s].ravel(), start[s].ravel()) for s in start]
    return float(sum(w @ w0 for w, w0 in pairs) / sum(w0 @ w0 for _, w0 in pairs))


def learnt(now: Streams, start: Streams) -> Streams:
    """What training added: now − a·start, a being `left_of_start` (decay shrinks the start).

    Trained for long enough a is 0, and what was learnt is the filters.
    """
    a = left_of_start(now, start)
    return {s: now[s] - a * start[s] for s in start}


def colourfulness(w: np.ndarray) -> np.ndarray:
    """The share of each filter's energy off the grey axis, where red, green and blue are equal.

    N×3×T×H×W → N. 0 for grey, 2/3 for one pure channel or white noise, 1 where channels cancel.
    """
    whole = _energy(w)
    return 1 - 3 * _energy(w.mean(axis=1, keepdims=True)) / whole


def _energy(w: np.ndarray) -> np.ndarray:
    return np.maximum((w**2).sum(axis=(1, 2, 3, 4)), 1e-30)


def _spatial(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each frame's spectrum N×3×T×F without its mean, and the F frequencies x + iy, y upwards."""
    w = w - w.mean(axis=(3, 4), keepdims=True)
    spectrum = np.fft.fft2(w, (PADDED, PADDED))
    along = np.fft.fftfreq(PADDED)
    frequency = along[None, :] - 1j * along[:, None]
    return spectrum.reshape(*w.shape[:3], -1)[..., 1:], frequency.ravel()[1:]


def spectrum_peak(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spatial (cycles/pixel) and temporal (cycles/frame) frequency where the energy is highest.

    N×3×T×H×W → two arrays of N, without signs; in space to 1/64, in time refined by a parabola. A
    blob of 11 pixels that does not oscillate at all peaks below 1/11.
    """
    found = []
    for one in w:  # a filter at a time: 64³ numbers
        spectrum, frequency = _spatial(one[None])
        energy = (np.abs(np.fft.fft(spectrum[0], PADDED, axis=1)) ** 2).sum(axis=0)
        t, f = np.unravel_index(energy.argmax(), energy.shape)
        before, here, after = energy[[t - 1, t, (t + 1) % PADDED], f]
        bend = before - 2 * here + after
        shift = (before - after) / (2 * bend) if bend < -1e-9 * here else 0.0
        turns = (t + shift) / PADDED
        found.append((abs(frequency[f]), abs(turns - round(turns))))
    return tuple(np.array(found).reshape(-1, 2).T)


def orientation(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each filter's stripes: their angle, 0 ≤ degrees < 180, and how selective it is, 0…1.

    The energy-weighted mean over the spectrum of doubled angles, and its length: 1 for one
    orientation, 0 for none (one minus the circular variance of Ringach et al. 2002).
    """
    spectrum, frequency = _spatial(w)
    energy = (np.abs(spectrum) ** 2).sum(axis=(1, 2))
    mean = energy @ (frequency / np.abs(frequency)) ** 2 / np.maximum(energy.sum(axis=1), 1e-30)
    return (np.degrees(np.angle(mean)) / 2 + 90) % 180, np.abs(mean)


def _opponency(w: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Moving energy as a vector, of each filter (N) with its frames in each of P orders: N×P.

    At every spatial frequency f, the energy that moves one way less that which moves the other
    (Adelson and Bergen 1985), along f; summed over f by direction, as a share of all energy. The
    sum over temporal frequencies, each with its sign, has a closed form: frames t and u enter with
    −2i/(π(t − u)) where t − u is odd, and not at all where it is even (Hilbert's transform).
    """
    spectrum, frequency = _spatial(w)
    towards = frequency / np.abs(frequency)
    gram = np.einsum("nctf,f,ncuf->ntu", spectrum, towards, spectrum.conj(), optimize=True)
    apart = np.subtract.outer(np.arange(w.shape[2]), np.arange(w.shape[2]))
    sign = np.where(apart % 2, -2j / (np.pi * np.where(apart, apart, 1)), 0)
    energy = np.maximum((np.abs(spectrum) ** 2).sum(axis=(1, 2, 3)), 1e-30)
    ordered = gram[:, orders[:, :, None], orders[:, None, :]]  # N×P×T×T
    return -np.einsum("nptu,tu->np", ordered, sign) / energy[:, None]


def motion(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The direction each filter prefers (0 ≤ degrees < 360) and its direction selectivity, 0…1.

    N×3×T×H×W → two arrays of N. The selectivity is its *space-time orientation*: 0 for a filter
    that is a picture times a course in time, near 1 for a pattern that drifts one way.
    """
    vector = _opponency(w, np.arange(w.shape[2])[None])[:, 0]
    return np.degrees(np.angle(vector)) % 360, np.abs(vector)


def measures(streams: Streams) -> pd.DataFrame:
    """A row a filter: `stream, filter` and how it is tuned.

    `colourfulness` (share), `frequency` (cycles/pixel), `orientation` (degrees) with its
    `orientation_selectivity`, `flicker` (cycles/frame), `speed` (pixels/frame, that at the peak of
    the spectrum), `direction` (degrees) with its `direction_selectivity`. Filters of one frame have
    no flicker, speed or direction (nan).
    """
    tables = []
    for stream, w in streams.items():
        frequency, flicker = spectrum_peak(w)
        turned, oriented = orientation(w)
        direction, selective = motion(w)
        table = pd.DataFrame({"stream": stream, "filter": range(len(w))})
        table["colourfulness"], table["frequency"] = colourfulness(w), frequency
        table["orientation"], table["orientation_selectivity"] = turned, oriented
        table["flicker"], table["speed"] = flicker, flicker / frequency
        table["direction"], table["direction_selectivity"] = direction, selective
        if w.shape[2] == 1:
            table.loc[:, "flicker":] = np.nan
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


class Evidence(NamedTuple):
    """Space-time orientation of N filters against their own frames in shuffled order."""

    each: np.ndarray  # N
    mean: float
    low: float  # 95 % interval of the mean, over filters
    high: float
    null: np.ndarray  # the mean of all filters, their frames shuffled, again and again
    p: float  # the share of these as high, counting the one observed
    threshold: float  # 95 % of single shuffled filters stay below


def evidence(streams: Streams, seed: int = 0, draws: int = 9999) -> Evidence:
    """Are the filters more space-time-oriented than the same frames in any order?

    A permutation test: were time nothing to them, each order of a filter's frames would be as
    likely. All T! orders where they are at most 500, else 500 by chance; each draw takes one order
    for every filter. Needs filters of at least two frames (three to be told from reversed ones).
    """
    w, rng = np.concatenate(list(streams.values())), np.random.default_rng(seed)
    frames = w.shape[2]
    orders = np.array(list(islice(permutations(range(frames)), ORDERS)))
    if factorial(frames) > ORDERS:
        orders = rng.permuted(np.tile(np.arange(frames), (ORDERS, 1)), axis=1)
    each = motion(w)[1]
    shuffled = np.abs(_opponency(w, orders))
    picks = rng.integers(len(orders), size=(draws, len(w)))
    null = shuffled[np.arange(len(w)), picks].mean(axis=1)
    p = (1 + (null >= each.mean() * (1 - 1e-9)).sum()) / (1 + draws)
    low, high = metrics.bootstrap(each, seed)
    return Evidence(each, each.mean(), low, high, null, p, float(np.quantile(shuffled, 0.95)))
