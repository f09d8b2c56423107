"""Scores against plain loops, scikit-learn and worked examples."""

import numpy as np
import pytest
from scipy import stats

from s1m_lab.analysis import intervals
from s1m_lab.training import metrics


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(7), 300)
    labels = [sorted(rng.choice(7, rng.integers(1, 4), replace=False).tolist()) for _ in range(300)]
    return probabilities, labels


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_hit_at_k_is_the_loop(scored, k):
    probabilities, labels = scored
    found = 0
    for row, own in zip(probabilities, labels, strict=True):
        ranked = sorted(range(7), key=lambda c: -row[c])
        # a video of several labels: its best-ranked true label must beat the false ones
        false_ahead = [c for c in ranked[: min(ranked.index(c) for c in own)] if c not in own]
        found += len(false_ahead) < k
    assert metrics.hits(probabilities, labels, k).mean() == pytest.approx(found / 300)


def test_hit_at_1_is_argmax_among_the_true(scored):
    probabilities, labels = scored
    expected = np.mean([p.argmax() in own for p, own in zip(probabilities, labels, strict=True)])
    assert metrics.hits(probabilities, labels, 1).mean() == pytest.approx(expected)


def test_a_constant_prediction_hits_nothing():
    assert metrics.hits(np.full((4, 5), 0.2), [[0], [1], [2], [3]], 1).mean() == 0
    assert metrics.hits(np.full((4, 5), 0.2), [[0], [1], [2], [3]], 5).mean() == 1


def test_the_largest_class_against_a_plain_loop(scored):
    labels = scored[1]
    shares = [sum(k in own for own in labels) / len(labels) for k in range(7)]
    assert metrics.largest_class(labels) == max(shares)
    results = {"classes": 7, "largest_class": max(shares)}
    wanted = f"chance 14.3%, always the largest class {max(shares):.1%}"
    assert metrics.guesses(results) == wanted
    assert metrics.guesses({"classes": 4}) == "chance 25.0%"  # a run of before


def test_video_average():
    probabilities = np.array([[1.0, 0.0], [0.0, 1.0], [0.2, 0.8]])
    averaged = metrics.video_average(probabilities, np.array([0, 0, 1]))
    assert averaged.tolist() == [[0.5, 0.5], [0.2, 0.8]]


@pytest.mark.parametrize("decimals", [8, 1])  # with one decimal there are many ties
def test_average_precision_is_a_plain_loop(decimals):
    rng = np.random.default_rng(1)
    scores, positive = rng.random(200).round(decimals), rng.random(200) < 0.2
    precision = [positive[scores >= own].mean() for own in scores[positive]]
    expected = np.mean(precision)  # at the threshold of each positive
    assert metrics.average_precision(scores, positive) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(metrics.average_precision(scores, np.zeros(200, bool)))


def test_resampled_precision_is_that_of_the_resampled():
    """Ties, several labels, a class that is absent; both runs are drawn alike."""
    rng = np.random.default_rng(2)
    labels = [sorted({*rng.integers(0, 4, 2).tolist()}) for _ in range(40)]
    scores, own = [rng.random((40, 5)).round(1) for _ in range(2)], metrics.truth(labels, 5)
    found = intervals.resample_precision(scores, labels, seed=7, draws=120)
    rng = np.random.default_rng(7)
    for draw in range(120):
        rows = rng.integers(0, 40, 40)
        for r, k in np.ndindex(2, 5):
            expected = metrics.average_precision(scores[r][rows, k], own[rows, k])
            assert found[r, 1 + draw, k] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_confusion_rows_are_the_counted_truth(scored):
    probabilities, labels = scored
    matrix = metrics.confusion(probabilities, labels)
    assert matrix.sum(axis=1).tolist() == metrics.truth(labels, 7).sum(axis=0).tolist()
    assert metrics.confusion(np.array([[0.1, 0.9, 0]]), [[0, 1]]).tolist() == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 0],
    ]
    assert metrics.confusion(np.array([[0.1, 0.9]]), [[1, 1]]).tolist() == [[0, 0], [0, 1]]


def test_pairs_count_the_videos_of_one_of_the_two():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.4, 0.4, 0.2], [0, 0, 1.0]])
    labels = [[0], [1], [1, 2], [0, 1]]  # the last is of both and does not count
    assert metrics.pair_hits(probabilities, labels, 0, 1).tolist() == [1, 0, 0.5]


def test_bootstrap_is_scipys():
    values = np.random.default_rng(1).random(40)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(7)
    )
    ours = intervals.bootstrap(values, seed=7, draws=500)
    assert ours == pytest.approx(tuple(theirs.confidence_interval))


def test_the_bias_of_resamples_is_removed_as_its_formula_says():
    """In a plain loop, and so that the resamples' mean becomes what was measured."""
    rng = np.random.default_rng(0)
    measured, draws = rng.random(3), rng.random((50, 3))
    moved = intervals.remove_bias(draws, measured, draws)
    for k in range(3):
        bias = sum(draws[:, k]) / 50 - measured[k]
        assert moved[:, k].tolist() == pytest.approx([x - bias for x in draws[:, k]])
        assert sum(moved[:, k]) / 50 == pytest.approx(measured[k])


def test_bootstrap_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        low, high = intervals.bootstrap(rng.random(100) < 0.3, seed=seed, draws=300)
        inside += low <= 0.3 <= high
    assert 180 <= inside <= 199


def test_swapping_two_runs_sample_by_sample_against_plain_loops():
    """The p of every class, by average precision of swapped ranks, ties and absent classes in."""
    rng = np.random.default_rng(3)
    both = [rng.random((40, 4)).round(1), 9 * rng.random((40, 4))]
    labels = [[int(k)] for k in rng.integers(0, 3, 40)]  # none of class 3
    found = intervals.permuted_precision(both, labels, seed=5, draws=60)
    rng = np.random.default_rng(5)
    kept = rng.random((40, 60)) < 0.5
    for k in range(3):
        ranks = [[(s[:, k] <= score).sum() for score in s[:, k]] for s in both]
        ranks = [[rank + higher[rank] for rank in side]
                 for side, higher in zip(ranks, rng.random((2, 41)), strict=True)]  # fmt: skip
        own = np.array([label == [k] for label in labels])
        gains = []
        for keep in (np.ones(40, bool), *kept.T):
            sides = [np.where(keep, *pair) for pair in (ranks, ranks[::-1])]
            gains.append(np.subtract(*(metrics.average_precision(s, own) for s in sides)))
        reached = sum(abs(gain) >= abs(gains[0]) - 1e-9 for gain in gains)
        assert found[k] == pytest.approx(reached / 61)
    assert np.isnan(found[3])


def test_leads_against_a_plain_loop():
    rng = np.random.default_rng(3)
    found = rng.dirichlet(np.ones(5), 60)
    labels = [rng.choice(5, rng.integers(1, 4), replace=False).tolist() for _ in found]
    other, lead = metrics.leads(found, labels)
    for n, own in enumerate(labels):
        rest = max((k for k in range(5) if k not in own), key=lambda k: found[n, k])
        assert other[n] == rest
        assert lead[n] == pytest.approx(found[n, rest] - max(found[n, k] for k in own))
    assert ((lead < 0) == metrics.hits(found, labels, 1)).all()
