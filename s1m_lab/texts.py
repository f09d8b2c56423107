"""Columns of text, read as the bytes they are: a hash, what is odd in them, the numbers they write.

A million titles are looked through in a few milliseconds, since none becomes a Python object.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.lib.stride_tricks import sliding_window_view

NUMBER = r"^\d{1,9}(\.\d+)?([eE][+-]?\d)?$"


def hash64(ids: pa.Array, seed: int = 0) -> np.ndarray:
    """uint64 of every id: FNV-1a over its UTF-8 bytes, begun at `seed`, then the mixing of
    splitmix64; a function of the two alone, on every machine and in every version. Takes as many
    bytes of memory as if all were as long as the longest."""
    offsets, data = _bytes(ids)
    length = np.diff(offsets)
    least, most = length.min(initial=np.iinfo(np.int32).max), length.max(initial=0)
    h = np.full(len(ids), (0xCBF29CE484222325 ^ seed) & (2**64 - 1), np.uint64)
    if most:
        padded = np.append(data[offsets[0] : offsets[-1]], np.zeros(most, np.uint8))
        window = sliding_window_view(padded, most)[offsets[:-1] - offsets[0]]
        for k, byte in enumerate(window.T):
            more = True if k < least else length > k
            np.bitwise_xor(h, byte, out=h, where=more)
            np.multiply(h, np.uint64(0x100000001B3), out=h, where=more)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def _bytes(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(where each text begins, and the last ends; the bytes of all), not copied."""
    _, offsets, data = text.buffers()
    offsets = np.frombuffer(offsets or bytes(4), np.int32)
    return offsets[text.offset : text.offset + len(text) + 1], np.frombuffer(data or b"", np.uint8)


def having(odd: Callable[[np.ndarray], np.ndarray], text: pa.Array) -> np.ndarray:
    """bool for every text: whether one of its bytes is `odd`, which tells for many at once."""
    offsets, data = _bytes(text)
    at = np.flatnonzero(odd(data[offsets[0] : offsets[-1]])) + offsets[0]
    having = np.zeros(len(text), bool)
    having[np.searchsorted(offsets, at, "right") - 1] = True
    return having


def among(letters: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """For `having`: which bytes are one of these."""
    table = np.isin(np.arange(256), list(letters)).tobytes()
    return lambda data: np.frombuffer(data.tobytes().translate(table), bool)


def control(data: np.ndarray) -> np.ndarray:
    """Of every byte of UTF-8, whether a control character begins there: C0, DEL or C1."""
    odd = (data < 0x20) | (data == 0x7F)
    odd[:-1] |= (data[:-1] == 0xC2) & (data[1:] < 0xA0)
    return odd


def seconds(duration: pa.Array) -> pa.Array:
    """float32 of every JSON value that is a number, not below 0 and of less than ten digits."""
    number = pc.fill_null(pc.less(pc.binary_length(duration), 10), False)
    number = number.to_numpy(zero_copy_only=False)
    number &= ~having(lambda data: (data < 0x30) | (data > 0x39), duration)  # most: digits alone
    other = np.flatnonzero(~number)
    matches = pc.match_substring_regex(duration.take(pa.array(other)), NUMBER)
    number[other] = pc.fill_null(matches, False).to_numpy(zero_copy_only=False)
    return pc.if_else(pa.array(number), duration, None).cast(pa.float32())
