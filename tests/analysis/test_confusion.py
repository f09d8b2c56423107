"""Confusion, average precision and gains against plain loops; figures of 487 classes."""

import json
import re
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from s1m_lab import paper
from s1m_lab.analysis import confusion, intervals
from s1m_lab.data.ingest import prepare
from s1m_lab.figures import confusion as figures_confusion
from s1m_lab.figures import style
from s1m_lab.figures.frames import data_uri
from s1m_lab.figures.tables import inline
from s1m_lab.training import metrics
from s1m_lab.training.predict import Predictions

COLOURS = "#D55E00", "#0072B2"
HOSTILE = '<img src=x onerror="alert(1)"> $\\frac$ *bold* [a](javascript:b) \u202eesrever'


def predictions(probabilities, labels) -> Predictions:
    n = len(probabilities)
    ids = [f"v{i}" for i in range(n)]
    return Predictions(np.asarray(probabilities), np.arange(n), np.zeros(n, int), ids, labels)


def planted(classes: int, each: int, seed: int, size: int = 5) -> tuple[Predictions, np.ndarray]:
    """Predictions that confuse a class with the others of its group alone, and the groups; one
    video in twenty has a second label."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.arange(classes) // size)
    labels = [[int(k)] for k in np.repeat(np.arange(classes), each)]
    for n in range(0, len(labels), 20):
        labels[n] = sorted({labels[n][0], int(rng.integers(classes))})
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(len(labels), classes)).astype(np.float32)
    for n, own in enumerate(labels):
        scores[n, group == group[own[0]]] += 6
        scores[n, own] += 1
    return predictions(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), labels), group


@pytest.fixture
def small():
    """Two runs of 7 classes with ties (one decimal), several labels, and none of class 5."""
    rng = np.random.default_rng(1)
    known = [0, 1, 2, 3, 4, 6]
    labels = [sorted(rng.choice(known, rng.integers(1, 3), False).tolist()) for _ in range(60)]
    return [predictions(rng.random((60, 7)).round(1), labels) for _ in range(2)]


def names(classes: int) -> list[str]:
    return [f"class of sport number {k}" for k in range(classes)]


def loop(scores, positive) -> float:
    """Average precision as a sum over the thresholds, the highest first."""
    total = before = 0
    for threshold in sorted(set(scores), reverse=True):
        taken = [own for score, own in zip(scores, positive, strict=True) if score >= threshold]
        found = sum(taken)
        total += (found - before) * found / len(taken)
        before = found
    return total / sum(positive) if any(positive) else float("nan")


def test_precisions_and_gains_are_those_of_the_loop_and_of_scikit_learn(small):
    table, mean = confusion.precisions(small, names(7), draws=20)
    own = metrics.truth(small[0].labels, 7)
    for k, row in table.iterrows():
        each = [loop(p.video_probabilities[:, k].tolist(), own[:, k].tolist()) for p in small]
        assert np.allclose([row["run"], row["versus"]], each, equal_nan=True)
        assert np.allclose(row["gain"], each[0] - each[1], equal_nan=True)
        assert row["videos"] == own[:, k].sum()
        ends = row[["gain_least", "gain_most"]].to_numpy(float)  # over one pair of seeds
        assert np.allclose(ends, row["gain"], equal_nan=True)
        if k != 5:
            theirs = average_precision_score(own[:, k], small[0].video_probabilities[:, k])
            assert row["run"] == pytest.approx(theirs)
    assert table.loc[5, "videos"] == 0
    assert table.loc[5, ["run", "run_low", "run_high", "versus", "gain", "gain_low"]].isna().all()
    assert mean["run"] == pytest.approx(table["run"].drop(5).mean())


def test_intervals_are_those_of_a_plain_bootstrap(small):
    table, mean = confusion.precisions(small, names(7), seed=3, draws=150)
    own, rng, draws = metrics.truth(small[0].labels, 7), np.random.default_rng(3), []
    for _ in range(150):
        rows = rng.integers(0, 60, 60)
        draws.append(
            [
                [metrics.average_precision(p.video_probabilities[rows, k], own[rows, k])
                 for k in range(7)]
                for p in small
            ]
        )  # fmt: skip
    draws = np.array(draws)
    for name, some in (("run", draws[:, 0]), ("gain", draws[:, 0] - draws[:, 1])):
        for k in (0, 1, 2, 3, 4, 6):
            ends = table.loc[k, [f"{name}_low", f"{name}_high"]].to_numpy(float)
            low, high = np.nanpercentile(some[:, k], [2.5, 97.5])
            assert np.allclose(ends, [low, high], atol=1e-12)
        means = np.nanmean(np.delete(some, 5, axis=1), axis=1)
        ends = np.percentile(means, [2.5, 97.5]) - means.mean() + mean[name]
        assert np.allclose([mean[f"{name}_low"], mean[f"{name}_high"]], ends)


def test_a_gain_at_the_top_excludes_0_no_more_often_than_it_says():
    """Two equal runs that nearly always find a class of four videos first."""
    rng, excluded = np.random.default_rng(0), []
    for seed in range(4):
        own = np.zeros((300, 60), bool)
        for k in range(60):
            own[rng.choice(300, 4, replace=False), k] = True
        shared, labels = rng.normal(size=own.shape), [*map(np.flatnonzero, own)]
        each = [3 * own + (shared + rng.normal(size=own.shape)) / 2**0.5 for _ in range(2)]
        table, _ = confusion.precisions(
            [predictions(e, labels) for e in each], names(60), seed, 300
        )
        excluded += [((table["gain_low"] > 0) | (table["gain_high"] < 0)).mean()]
    assert np.mean(excluded) < 0.12


def test_a_class_that_a_draw_has_not_is_left_out_of_it():
    labels = [[0]] + [[1]] * 11
    some = intervals.resample_precision([np.random.default_rng(0).random((12, 2))], labels)
    missed = np.isnan(some[0, 1:, 0]).mean()
    assert missed == pytest.approx((11 / 12) ** 12, abs=0.05)
    assert not np.isnan(some[0, :, 1]).any()


@pytest.mark.parametrize("positives", [4, 12])
def test_equal_networks_differ_beyond_chance_as_often_as_it_says(positives):
    """400 classes in ten pairs of runs of equal skill, one surer than the other: 5 %, within 2.3
    standard errors."""
    rng, sure, expected = np.random.default_rng(0), 0, 0
    labels = [[k] for k in range(40) for _ in range(positives)]
    right = np.eye(40)[[own[0] for own in labels]]
    for seed in range(10):
        skills = [1.5 * right + rng.normal(size=right.shape) for _ in range(2)]
        both = [predictions(skills[0], labels), predictions(np.exp(2 * skills[1]), labels)]
        table, mean = confusion.precisions(both, names(40), seed, draws=20)
        up, down, chance = confusion.beyond_chance(table)
        sure, expected = sure + up + down, expected + chance
    assert expected == pytest.approx(20)
    assert 0.025 <= sure / 400 <= 0.075


def test_a_better_network_gains():
    labels = [[k] for k in range(20) for _ in range(20)]
    right, rng = np.eye(20)[[own[0] for own in labels]], np.random.default_rng(0)
    both = [predictions(s * right + rng.normal(size=right.shape), labels) for s in (3, 1.5)]
    up, down, chance = confusion.beyond_chance(confusion.precisions(both, names(20), draws=20)[0])
    assert up >= 18 and not down and chance == 1


def test_rows_add_up_to_the_counted_truth():
    both = [planted(30, 8, seed)[0] for seed in (1, 2)]
    level, counts = confusion.matrices(both)
    truth = metrics.truth(both[0].labels, 30).sum(axis=0)
    assert level == "videos" and truth.sum() > len(both[0].labels), "some have two labels"
    assert all(matrix.sum(axis=1).tolist() == truth.tolist() for matrix in counts)
    wrong = sum(p.video_probabilities[n].argmax() not in own
                for p in both for n, own in enumerate(p.labels)
                for _ in own)  # fmt: skip
    assert sum(matrix.sum() - matrix.trace() for matrix in counts) == wrong > 0


def test_clips_are_counted_where_videos_are_never_wrong():
    found = np.array([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8]])
    clips = Predictions(
        found, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), ["a", "b"], [[0], [1]]
    )
    level, (matrix, _) = confusion.matrices([clips, clips])
    assert level == "clips" and matrix.tolist() == [[1, 1], [0, 2]]


@pytest.mark.parametrize("classes", [1, 2, 3, 40])
def test_order_is_an_order(classes):
    matrix = np.random.default_rng(0).integers(0, 5, (classes, classes))
    assert sorted(confusion.order_classes(matrix)) == list(range(classes))
    matrix = np.zeros((classes, classes), int)
    assert sorted(confusion.order_classes(matrix)) == list(range(classes))


def test_planted_blocks_stand_together():
    both, group = zip(*[planted(60, 20, seed) for seed in (1, 2)], strict=True)
    _, counts = confusion.matrices(both)
    labels = confusion.order_classes(*counts)
    changes = np.count_nonzero(np.diff(group[0][labels]))
    assert changes == 11, "each of the 12 groups is in one piece"
    blocks = confusion.blocks(counts[0], labels, size=5, most=12)
    assert all(len(set(group[0][block])) == 1 for block in blocks) and len(blocks) == 12
    assert sorted(np.concatenate(blocks)) == list(range(60))


def test_blocks_are_the_worst_parts_of_the_diagonal():
    matrix = np.diag([10] * 9)
    matrix[4, 5], matrix[3, 4], matrix[7, 8], matrix[0, 8] = 7, 6, 3, 9  # 3 is next to a block
    assert [b.tolist() for b in confusion.blocks(matrix, np.arange(9), 2)] == [[4, 5], [7, 8]]
    assert confusion.blocks(np.diag([3, 4]), np.arange(2)) == []


def test_pairs():
    first = np.array([[6, 4, 0], [1, 9, 0], [0, 0, 5]])
    second = np.array([[9, 0, 1], [1, 9, 0], [0, 0, 5]])
    found = confusion.pairs([first, second], ["a", "b", "c"])
    assert found[["class_a", "class_b", "counted"]].values.tolist() == [
        ["a", "b", 20],
        ["a", "c", 15],
    ]
    assert found["run"].tolist() == [5 / 20, 0] and found["versus"].tolist() == [1 / 20, 1 / 15]
    assert len(confusion.pairs([np.diag([1, 2])] * 2, ["a", "b"])) == 0


def test_the_papers_pairs_beside_ours():
    classes = ["Hunting", "luge", "deer hunting", "hiking"]
    matrix = np.array([[5, 0, 4, 0], [9, 1, 0, 0], [1, 0, 9, 0], [0, 0, 0, 3]])
    found = confusion.paper_pairs(confusion.pairs([matrix, matrix], classes), classes)
    assert found.loc["deer hunting | hunting"].tolist()[:2] == ["both classes", 2]
    assert found.loc["hiking | backpacking (wilderness)", "here"] == "not in this dataset"
    assert (
        len(confusion.paper_pairs(confusion.pairs([matrix[1:2, 1:2]] * 2, ["luge"]), ["luge"])) == 5
    )


def test_the_papers_names_are_those_of_labels_txt(real_data):
    known = (real_data / "sports1m" / "labels.txt").read_text("utf-8").splitlines()
    assert {*paper.TABLE_2, *sum(confusion.PAPER_PAIRS, ())} <= set(known)
    gains = sorted(paper.TABLE_2.values())
    assert len(gains) == 20 and gains[:10] < [0] * 10 and gains[10:] > [0] * 10


def test_only_runs_on_the_same_videos_compare(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from s1m_lab.training import runs

    def made(name, ids, first=0, clips="aa"):
        folder = tmp_path / name / "predictions"
        folder.mkdir(parents=True)
        (tmp_path / name / "labels.txt").write_text("a\nb\n")
        (tmp_path / name / "config.json").write_text(
            json.dumps({"settings": {"data": "mine", "clips": clips}})
        )
        np.save(folder / "test.npy", np.full((len(ids), 2), 0.5, np.float32))
        rows = {"video": ids, "clip": range(first, first + len(ids)), "labels": [[0]] * len(ids)}
        pq.write_table(pa.table(rows), folder / "test.parquet")
        return runs.Run(tmp_path / name)

    one, same, other = made("one", ["x", "y"]), made("same", ["x", "y"]), made("other", ["y", "x"])
    assert confusion.load(one, same)[1].ids == ["x", "y"]
    for wrong in (other, made("later", ["x", "y"], 1), made("again", ["x", "y"], clips="bb")):
        with pytest.raises(ValueError, match=r"same videos .* 'one' on 2 videos of 'mine'"):
            confusion.load(one, wrong)


def run_of(model: str, name: str = "mine"):
    return SimpleNamespace(name=name, config={"settings": {"model": model}})


def test_runs_are_called_by_what_sets_them_apart():
    slow, single, again = run_of("slow"), run_of("single"), run_of("slow", "again")
    assert confusion.name_runs(slow, single) == ("slow", "single")
    assert confusion.name_runs(slow, again) == ("mine", "again")
    assert (
        figures_confusion.run_colours(slow, again)[1]
        == style.INK
        != figures_confusion.run_colours(slow, single)[1]
    )


@pytest.fixture(scope="module")
def large():
    """Everything of 487 classes but frames, and the seconds that the matrices took."""
    both = [planted(487, 20, seed, 7)[0] for seed in (1, 2)]
    start, classes = time.perf_counter(), names(487)
    _, counts = confusion.matrices(both)
    labels = confusion.order_classes(*counts)
    blocks = confusion.blocks(counts[0], labels)
    matrices = figures_confusion.Confusion(counts, labels, classes, ("slow", "single"))
    overview = figures_confusion.draw_confusion(matrices, blocks)
    worst = figures_confusion.draw_part(matrices, blocks[0])
    pictures = [overview.png(), worst.png()]
    seconds = time.perf_counter() - start
    table, mean = confusion.precisions(both, classes, draws=100)
    pictures += [figures_confusion.draw_gains(table, mean, ("slow", "single"), COLOURS).png()]
    found = confusion.pairs(counts, classes)
    return SimpleNamespace(**locals())


def test_487_classes_are_drawn_in_seconds_and_small(large):
    assert large.seconds < 10
    twin = figures_confusion.draw_first_look(large.matrices, large.found).image().data
    explorer = figures_confusion.explore_confusion(large.matrices, large.found, large.blocks)
    choice, shown = explorer.children
    size = sum(map(len, [*large.pictures, twin])) * 4 / 3
    assert size < 350_000 and size + len(shown.value) < 400_000, "500 KB with frames"
    pairs = min(figures_confusion.PAIRS, len(large.found))
    assert len(choice.options) == 487 + pairs + len(large.blocks)


def test_the_names_of_a_block_are_legible(large):
    """At the width of a report, 900 px: letters as high as a small print, none over another."""
    figure = large.worst
    figure.draw_without_rendering()
    scale = 900 / (style.WIDTH * figure.dpi)
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert min(box.height for box in boxes) * scale >= 10
    assert all(a.y0 >= b.y1 - 1 for a, b in zip(boxes, boxes[1:], strict=False))
    assert len(boxes) == 20 and min(box.x0 for box in boxes) >= 0


def test_the_overview_gives_every_class_a_pixel(large):
    large.overview.canvas.draw()
    box = large.overview.axes[0].get_window_extent()
    pixels = large.overview.density * style.STYLE["figure.dpi"] / large.overview.dpi
    assert box.width == pytest.approx(box.height) and box.width * pixels > 487


def test_few_classes_are_drawn_with_their_numbers():
    counts = [np.array([[3, 1], [0, 4]]), np.array([[4, 0], [4, 0]])]
    matrices = figures_confusion.Confusion(counts, np.array([1, 0]), ["a", "b"], ("one", "two"))
    figure = figures_confusion.draw_confusion(matrices, [])
    texts = [sorted(text.get_text() for text in ax.texts) for ax in figure.axes[:2]]
    assert texts == [["", "100", "25", "75"], ["", "0", "100", "100"]]


def test_a_dataset_without_mistakes_or_videos_is_drawn_too():
    for classes in (3, 40):
        own = [[k] for k in range(classes) if k]  # none of class 0
        sure = predictions(np.eye(classes)[1:], own)
        counts = confusion.matrices([sure, sure])[1]
        labels, called = confusion.order_classes(*counts), names(classes)
        blocks = confusion.blocks(counts[0], labels)
        matrices = figures_confusion.Confusion(counts, labels, called, ("a", "b"))
        assert figures_confusion.draw_confusion(matrices, blocks).png()
        table, mean = confusion.precisions([sure, sure], called, draws=20)
        assert figures_confusion.draw_gains(table, mean, ("a", "b"), COLOURS).png()
        assert confusion.beyond_chance(table) == (0, 0, 0)
        pairs = confusion.pairs(counts, called)
        figure = figures_confusion.draw_part(matrices, [0])
        assert "number 0: a gets 0% of 0 right" in figure.get_suptitle()
        assert figures_confusion.draw_first_look(matrices, pairs).image()
        figures_confusion.explore_confusion(matrices, pairs, blocks)


def test_gains_are_full_where_chance_is_unlikely():
    rows = [("rope climbing", 0.2, 0.1, 0.3, 0.01), ("b", 0.1, -0.1, 0.3, 0.4)]
    rows += [("c", -0.2, -0.3, -0.1, 0.05)]
    table = pd.DataFrame(rows, columns=["class", "gain", "gain_low", "gain_high", "p"])
    table["paper"] = [paper.TABLE_2.get(name) for name in table["class"]]
    mean = pd.Series({"gain": 0.03})
    figure = figures_confusion.draw_gains(table, mean, ("slow", "single"), COLOURS)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    drawn = {
        (round(float(x), 3), dot.get_color(), dot.get_markerfacecolor())
        for dot in dots
        if dot.get_color() != style.PAPER
        for x in dot.get_xdata()
        if not np.isnan(x)
    }
    assert drawn == {
        (0.2, "#D55E00", "#D55E00"),
        (0.1, "#D55E00", "white"),
        (-0.2, "#0072B2", "#0072B2"),
    }
    lines = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() != "o"]
    assert any(np.allclose(ends, (-0.1, 0.3)) for ends in lines if len(ends) == 2)
    (ring,) = [line for line in figure.axes[0].lines if line.get_markersize() == 10]
    assert ring.get_xdata()[0] == 0.06
    assert confusion.beyond_chance(table) == (1, 1, pytest.approx(0.15))


@pytest.fixture
def matrices():
    """The confusion of two runs on 30 classes, the first of a hostile name."""
    both, _ = zip(*[planted(30, 8, seed) for seed in (1, 2)], strict=True)
    _, counts = confusion.matrices(both)
    classes = [HOSTILE, *names(30)[1:]]
    return figures_confusion.Confusion(
        counts, confusion.order_classes(*counts), classes, (HOSTILE, "single")
    )


def test_hostile_names_are_only_text(matrices):
    pairs = confusion.pairs(matrices.counts, matrices.classes)
    for figure in (
        figures_confusion.draw_part(matrices, [0]),
        figures_confusion.draw_first_look(matrices, pairs),
    ):
        assert figure.image().data
        assert "\u202e" not in figure.get_suptitle()
    choice, shown = figures_confusion.explore_confusion(matrices, pairs, []).children
    assert re.fullmatch(
        r'<img alt="[^"<>]+" width="810" src="data:image/png;base64,[\w+/=]+">', shown.value
    )
    markdown = inline(HOSTILE)
    assert not re.search(r"[*$\[\]\\]", markdown) and markdown.count("<") == 2


def heats(figure) -> list[np.ndarray]:
    """The shares of each matrix of a figure, its diagonal nan."""
    return [
        np.ma.filled(ax.collections[0].get_array().astype(float), np.nan)
        for ax in figure.axes
        if ax.collections
    ]


def shown_parts(matrices, figure, rows: list[int]) -> None:
    """The figure shows these rows and columns of both matrices."""
    both = [confusion.shares(matrix) for matrix in matrices.counts]
    for drawn, share in zip(heats(figure), both, strict=True):
        wanted = share[np.ix_(rows, rows)]
        np.fill_diagonal(wanted, np.nan)
        assert np.allclose(drawn.reshape(wanted.shape), wanted, equal_nan=True)


def test_a_class_is_shown_among_those_that_it_is_confused_with(matrices):
    both, order = [confusion.shares(matrix) for matrix in matrices.counts], list(matrices.labels)
    for label in (3, 17):
        near = {label}
        for total in (sum(m[label] for m in both), sum(m[:, label] for m in both)):
            best = sorted(
                (k for k in range(30) if k != label and total[k]), key=lambda k: -total[k]
            )
            near |= (
                set(best[:4]) if len(best) <= 4 else {k for k in best if total[k] > total[best[4]]}
            )
        figure = figures_confusion.draw_part(matrices, [label])
        ticks = figure.axes[0].get_xticklabels()
        bold = [text.get_text() for text in ticks if text.get_fontweight() == "bold"]
        assert {style.clean(matrices.classes[k], 18) for k in near} <= {t.get_text() for t in ticks}
        assert bold == [style.clean(matrices.classes[label], 18)]
        rows = figures_confusion._confused_with(matrices, [label])
        assert near <= set(rows) and rows == sorted(rows, key=order.index)
        shown_parts(matrices, figure, rows)


def test_pairs_and_blocks_hold_both_matrices(matrices):
    a, b = confusion.pairs(matrices.counts, matrices.classes).loc[0, ["label_a", "label_b"]]
    total = matrices.counts[0][[a, b]].sum()
    right = [f"{(m[a, a] + m[b, b]) / total:.0%}" for m in matrices.counts]
    title = figures_confusion.draw_part(matrices, [a, b]).get_suptitle().replace("\n", " ")
    assert f"gets {right[0]} of {total} right, single {right[1]}" in title
    block = matrices.labels[12:24]
    shown_parts(matrices, figures_confusion.draw_part(matrices, block), block)


def test_a_choice_changes_the_figure(matrices):
    pairs = confusion.pairs(matrices.counts, matrices.classes)
    blocks = confusion.blocks(matrices.counts[0], matrices.labels, 5)
    choice, shown = figures_confusion.explore_confusion(matrices, pairs, blocks).children
    labels = [name for name, _ in choice.options]
    assert labels == sorted(labels, key=str.casefold)
    for size in (1, 2, 5):
        values = [value for _, value in choice.options if len(value) == size]
        before, choice.value = shown.value, values[-1]
        assert shown.value != before
        picture = figures_confusion.draw_part(matrices, values[-1]).image().data
        assert data_uri(picture, "png") in shown.value


@pytest.fixture
def filmed(home, tmp_path):
    """The test clips of a small dataset of two classes, and predictions on them."""
    from s1m_lab.data.shards import Shards
    from s1m_lab.video import writer

    for split, shades in {"train": (9,), "val": (9,), "test": (50, 100, 150)}.items():
        for number, shade in enumerate(shades):
            for name, more in (("luge", 0), ("judo", 25)):
                frames = (np.full((48, 48, 3), shade + more, np.uint8) for _ in range(50))
                writer.encode(tmp_path / "v" / split / name / f"{number}.mp4", frames)
    stored = Shards(prepare.prepare(tmp_path / "v", 2, 32, workers=1) / "clips", "test")
    index = pd.concat([stored.index(s).to_pandas() for s in range(len(stored.counts))])
    number, ids = pd.factorize(index["video"])
    own = index.groupby("video", sort=False)["labels"].first().map(list).tolist()
    found = np.random.default_rng(0).dirichlet(np.ones(3), len(index)).astype(np.float32)
    return stored, Predictions(found, number, index["clip"].to_numpy(), list(ids), own)


def frame(stored, clip: int) -> np.ndarray:
    shard = int(np.searchsorted(np.cumsum(stored.counts), clip, "right"))
    return stored.read(shard, [clip - int(stored.counts[:shard].sum())], [8])[0, 0]


def test_the_sheet_shows_the_clip_most_surely_of_the_pair(filmed):
    stored, saved = filmed
    found = saved.clip_probabilities
    pair = pd.DataFrame({"label_a": [0], "label_b": [1], "class_a": "judo", "class_b": "luge"})
    figure = figures_confusion.draw_confused_clips([saved, saved], pair, stored, ("slow", "single"))
    for label, ax in enumerate(figure.axes[:2]):
        mine = [n for n, labels in enumerate(saved.clip_labels) if label in labels]
        best = min(mine, key=lambda n: found[n, 2])
        name, taken = ("judo", "luge") if label == 0 else ("luge", "judo")
        share = f"{found[best, 1 - label]:.0%}"
        assert ax.get_xlabel() == f"{name}\n{taken}?\n{share} | {share}"
        assert (ax.images[0].get_array() == frame(stored, best)).all()


def test_frames_are_those_the_runs_saw_or_none(filmed, capsys):
    stored, _ = filmed
    settings = {"data": stored.folder.parent.name, "clips": stored.fingerprint}
    run = SimpleNamespace(name="mine", config={"settings": settings})
    assert confusion.load_test_clips(run).fingerprint == stored.fingerprint
    assert not capsys.readouterr().out
    prepare.prepare(stored.folder.parent, 1, 32, workers=1)  # fewer clips: rows are other clips
    assert confusion.load_test_clips(run) is None
    assert "were made again since mine was tested" in capsys.readouterr().out
    (stored.folder / "index.parquet").unlink()
    assert confusion.load_test_clips(run) is None
    assert "not on this machine" in capsys.readouterr().out
