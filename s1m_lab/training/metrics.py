"""Hit@k, video averaging, average precision, confusion and pairs, from saved probabilities.

    metrics.hits(probabilities, labels, k=1).mean()   # N×K, N lists of true labels
    metrics.average_precision(probabilities[:, k], positive)

N samples, K classes. A sample has one or several true labels, as in Sports-1M.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

Labels = Sequence[Sequence[int]]


def truth(labels: Labels, classes: int) -> np.ndarray:
    """True labels as a bool N×K table."""
    table = np.zeros((len(labels), classes), bool)
    for row, own in zip(table, labels, strict=True):
        row[list(own)] = True
    return table


def hits(probabilities: np.ndarray, labels: Labels, k: int) -> np.ndarray:
    """Whether each of N samples has a true label among its top k (bool N); §4.

    A class is in the top k when fewer than k others score at least as much: a tie counts against
    the network, so that a constant prediction hits nothing by luck.
    """
    own = truth(labels, probabilities.shape[1])
    best = np.where(own, probabilities, -np.inf).max(axis=1)
    others = (~own & (probabilities >= best[:, None])).sum(axis=1)
    return np.isfinite(best) & (others < k)


def largest_class(labels: Labels) -> float:
    """The share of samples with the most frequent label: Hit@1 of always predicting that class."""
    counts = Counter(label for own in labels for label in set(own))
    return max(counts.values()) / len(labels)


def guesses(results: dict) -> str:
    """Video Hit@1 without looking, in words, to stand beside that of a run with these results."""
    text = f"chance {1 / results['classes']:.1%}"
    if "largest_class" in results:  # not in those of the first runs
        text += f", always the largest class {results['largest_class']:.1%}"
    return text


def leads(probabilities: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest wrong class of each of N samples, and its lead over the likeliest true class
    (floats, −1 to 1; below 0 where a true class leads)."""
    own = truth(labels, probabilities.shape[1])
    other = np.where(own, -np.inf, probabilities)
    return other.argmax(axis=1), other.max(axis=1) - np.where(own, probabilities, 0).max(axis=1)


def video_average(probabilities: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Mean over each video's clips: clips×K and the video number of each clip → videos×K (§4)."""
    total = np.zeros((int(video.max()) + 1, probabilities.shape[1]))
    np.add.at(total, video, probabilities)
    return total / np.bincount(video, minlength=len(total))[:, None]


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under precision over recall for one class: N scores, N bools. nan without positives.

    Tied samples share one threshold.
    """
    from sklearn.metrics import average_precision_score  # not above: it takes a second to import

    return float(average_precision_score(positive, scores)) if positive.any() else float("nan")


def confusion(probabilities: np.ndarray, labels: Labels) -> np.ndarray:
    """K×K counts, rows true, columns predicted; rows add up to the counted truth.

    A sample with several true labels is counted once under each: in that label's own column when
    the prediction is any of its true labels, otherwise in the column of the prediction. A video of
    labels 0 and 1 taken for 1 adds 1 to [0, 0] and to [1, 1]; taken for 2, to [0, 2] and to [1, 2].
    """
    classes = probabilities.shape[1]
    matrix = np.zeros((classes, classes), np.int64)
    for predicted, own in zip(probabilities.argmax(axis=1), labels, strict=True):
        for label in set(own):
            matrix[label, label if predicted in own else predicted] += 1
    return matrix


def pair_hits(probabilities: np.ndarray, labels: Labels, a: int, b: int) -> np.ndarray:
    """For each video of exactly one of two classes: does its own outscore the other? (floats)

    1.0 where it does, 0.0 where not, 0.5 for a tie; in the order of the videos.
    """
    own = truth(labels, probabilities.shape[1])
    rows = np.flatnonzero(own[:, a] != own[:, b])
    lead = (probabilities[rows, a] - probabilities[rows, b]) * np.where(own[rows, a], 1, -1)
    return (np.sign(lead) + 1) / 2
