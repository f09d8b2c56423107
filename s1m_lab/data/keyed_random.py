"""TODO data/keyed_random."""

import numpy as np

SHARDS, SAMPLES, CROPS, MASKS, SHOW, FEW = range(6)  # what a draw is for: streams that never meet


def draw(*keys) -> np.ndarray:
    """Uniform uint64 numbers, a pure function of integer keys (arrays broadcast)."""
    state = np.zeros(1, np.uint64)
    for key in keys:
        key = np.asarray(key, np.int64).astype(np.uint64)
        state = (state ^ key) + np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele et al. 2014)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def shuffled(n: int, *keys) -> np.ndarray:
    """The numbers 0…n−1 in an order that is a function of the keys."""
    return np.argsort(draw(*keys, np.arange(n)), kind="stable")
