"""Random numbers that are a pure function of integer keys.

    keyed_uniform(seed, epoch, CROPS, samples)     # uint64, one for each sample
    keyed_permutation(n, seed, epoch, SHARD_ORDER)

A number depends on its keys alone, never on worker, rank or history. One process or four, fresh or
resumed, draw the same numbers for the same (seed, epoch, sample).
"""

import numpy as np

# The purpose of a number is one of its keys, so that two purposes never share numbers.
SHARD_ORDER, CLIP_ORDER, CROPS, DROPOUT, EXAMPLES, FEW_VIDEOS = range(6)


def keyed_uniform(*keys) -> np.ndarray:
    """Uniform uint64 numbers, one for each row of the keys (integers or arrays, broadcast)."""
    state = np.zeros(1, np.uint64)
    for key in keys:
        key = np.asarray(key, np.int64).astype(np.uint64)
        state = (state ^ key) + np.uint64(0x9E3779B97F4A7C15)  # splitmix64 (Steele et al. 2014)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def keyed_permutation(n: int, *keys) -> np.ndarray:
    """The numbers 0…n−1 in an order that is a function of the keys."""
    return np.argsort(keyed_uniform(*keys, np.arange(n)), kind="stable")
