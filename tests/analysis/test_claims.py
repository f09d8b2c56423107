"""Verdicts follow the predictions: they flip when networks are swapped, and wait for evidence."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from test_results import CLASSES, dataset, films, known, save, tuned

from s1m_lab import paper
from s1m_lab.analysis import claims, comparisons, intervals, results, run_groups, transfer
from s1m_lab.analysis.comparisons import AGREES, DISAGREES, OPEN
from s1m_lab.analysis.evidence import collect
from s1m_lab.figures.results import _trade, show_claims
from s1m_lab.training import metrics, predict, runs

# The ids of claims.
EARLY, SLOW_BEST, VIEWS, AVERAGE, MULTIRES = "early", "slow", "views", "average", "multires"
MOTION, CAMERA, FEW, HISTOGRAMS, VIDEO = "motion", "camera", "few", "histograms", "video"
RETRAINED, THREE, OUTSIDE = "retraining", "three-layers", "outside-sports"


def judged(names=""):
    evidence = collect(run_groups.find("pocket", names), draws=200)
    return claims.judge(evidence).set_index("id")


def networks(home, n=120, **shares):
    """A run of each network at seed 0 that tells such a share of its clips."""
    labels, counts = films(n=n)
    for number, (name, share) in enumerate(shares.items()):
        save(home, name.replace("_", "-"), 0, known(labels, counts, share, number), labels, counts)
    return labels, counts


def swap(home, one, other):
    """The predictions of two runs change places, and what their results.json says of them."""
    one, other = (home / "runs" / f"pocket-{name}-s0" for name in (one, other))
    both = [json.loads((run / "results.json").read_text()) for run in (one, other)]
    for run, own, theirs in ((one, *both), (other, *both[::-1])):
        scores = {key: theirs[key] for key in run_groups.SCORES}
        (run / "results.json").write_text(json.dumps(own | scores))
    shutil.move(one / "predictions", home / "kept")
    shutil.move(other / "predictions", one / "predictions")
    shutil.move(home / "kept", other / "predictions")


def test_a_verdict_flips_when_two_networks_are_swapped(home):
    networks(home, early=0.3, slow=0.7)
    before = judged().loc[EARLY]
    swap(home, "early", "slow")
    after = judged().loc[EARLY]
    assert (before["verdict"], after["verdict"]) == (AGREES, DISAGREES)
    (ours,), (swapped,) = before["parts"], after["parts"]
    assert ours.value == pytest.approx(-swapped.value) and ours.low == pytest.approx(-swapped.high)


def test_a_difference_within_its_interval_decides_nothing(home):
    """Slow is a little better by points, on too few videos to tell."""
    networks(home, n=60, early=0.5, slow=0.53)
    row = judged().loc[EARLY]
    (part,) = row["parts"]
    assert part.value > 0 > part.low and row["verdict"] == OPEN
    assert row["why"] == "the interval holds 0: slow − early" and row["commands"] == []


def test_equal_predictions_cannot_be_told(home):
    labels, counts = networks(home, slow=0.5)
    save(home, "early", 0, known(labels, counts, 0.5, 0), labels, counts)
    row = judged().loc[EARLY]
    assert row["verdict"] == OPEN and row["why"] == "no difference on any video: slow − early"


def test_the_interval_is_paired_and_seeds_are_averaged_on_every_draw(home):
    labels, counts = networks(home, early=0.5, slow=0.6)
    save(home, "slow", 1, known(labels, counts, 0.6, 8), labels, counts)
    (part,) = judged().loc[EARLY]["parts"]
    hits = {}
    for run in runs.finished_runs():
        saved = predict.load_predictions(run)
        hits[run.name] = metrics.hits(saved.video_probabilities, saved.labels, 1).astype(float)
    slow = (hits["pocket-slow-s0"] + hits["pocket-slow-s1"]) / 2
    gain = slow - hits["pocket-early-s0"]
    assert part.value == pytest.approx(gain.mean())
    assert (part.low, part.high) == pytest.approx(intervals.bootstrap(gain))


def test_two_seeds_of_one_network_refute_nothing(home):
    """Slow against slow, trained alike but for the seed: one is worse by luck, the interval over
    videos excludes 0, and yet it is the same network."""
    labels, counts = films(n=300)
    share = {"slow": (0.75, 0.55), "early": (0.65, 0.45)}
    for name, each in share.items():
        for seed, correct in enumerate(each):
            save(home, name, seed, known(labels, counts, correct, 3 * seed), labels, counts)
    row = judged().loc[EARLY]
    (part,) = row["parts"]
    hit = {run.name: run.results["video_hit1"] for run in runs.finished_runs()}
    slow, early = ([hit[f"pocket-{name}-s{seed}"] for seed in (0, 1)] for name in share)
    assert part.least == pytest.approx(min(slow) - max(early)) and part.least < 0 < part.low
    assert part.most == pytest.approx(max(slow) - min(early))
    assert row["verdict"] == OPEN and row["why"] == "seeds do not agree: slow − early"
    assert row["seeds"] == "" and "by seed −" in comparisons.in_words(part)
    row = judged("pocket-slow-s0,pocket-slow-s1,pocket-early-s1").loc[EARLY]
    assert row["verdict"] == AGREES and row["seeds"] == "one seed of early"  # 0.55 and 0.75 > 0.45
    row = judged("pocket-slow-s1,pocket-early-s0,pocket-early-s1").loc[EARLY]
    assert row["verdict"] == OPEN and row["seeds"] == "one seed of slow"
    table = judged("pocket-slow-s0,pocket-early-s1").reset_index()
    shown = show_claims(table[table["id"] == EARLY]).data
    assert re.search(r"✓ agrees</span>\s*<br><span[^>]*>one seed of early, slow<", shown)


def test_a_run_is_compared_with_itself_seed_by_seed(home):
    """Each seed classifies a video better than a clip, though one seed's clips beat the other's
    videos."""
    labels, counts = films(n=300)
    for seed, correct in enumerate((0.2, 0.9)):
        save(home, "late", seed, known(labels, counts * 3, correct, seed), labels, counts * 3)
    row = judged().loc[VIDEO]
    (part,) = row["parts"]
    each = [run.results["video_hit1"] - run.results["clip_hit1"] for run in runs.finished_runs()]
    assert (part.least, part.most) == pytest.approx((min(each), max(each)))
    assert row["verdict"] == AGREES and row["seeds"] == ""


def test_one_network_refutes_what_is_said_of_all(home):
    """Slow below late: refuted, whatever the networks that have no run would do."""
    networks(home, single=0.4, late=0.9, slow=0.5)
    row = judged().loc[SLOW_BEST]
    assert row["verdict"] == DISAGREES and row["commands"] == []
    swap(home, "late", "slow")
    row = judged().loc[SLOW_BEST]
    assert row["verdict"] == OPEN and row["why"].startswith("there is no run of single-multires")
    assert [line.split("-p model ")[1].split()[0] for line in row["commands"]] == [
        "single-multires", "single-fovea", "single-context", "early"
    ]  # fmt: skip


def test_what_is_said_of_all_holds_when_each_holds(home):
    networks(home, single=0.9, single_context=0.4, single_fovea=0.05)
    assert judged().loc[VIEWS, "verdict"] == AGREES
    swap(home, "single-context", "single-fovea")
    assert judged().loc[VIEWS, "verdict"] == DISAGREES


def test_the_average_is_compared_with_its_members_at_its_own_seeds(home):
    labels, counts = networks(home, single=0.45, early=0.45, late=0.45, slow=0.45)
    best = save(home, "slow", 1, known(labels, counts, 1.0, 9), labels, counts)
    row = judged().loc[AVERAGE]
    assert row["verdict"] == AGREES and len(row["parts"]) == 4
    saved = predict.average([runs.load_run(f"pocket-{name}-s0") for name in paper.MEMBERS])
    hit = metrics.hits(saved.video_probabilities, saved.labels, 1).mean()
    slow = runs.load_run("pocket-slow-s0").results["video_hit1"]
    assert row["parts"][3].what == "average − slow"
    assert row["parts"][3].value == pytest.approx(hit - slow)
    assert best.results["video_hit1"] > hit  # seed 1 would have refuted it


def test_histograms_are_compared_video_by_video(home):
    labels, counts = networks(home, single=0.7, early=0.7, late=0.7, slow=0.7)
    ones = np.ones(len(labels), int)
    save(home, "histograms", 0, known(labels, ones, 0.3, 9), labels, ones, settings={"words": 1})
    assert judged().loc[HISTOGRAMS, "verdict"] == AGREES
    strong = known(labels, ones, 1.0, 9)
    save(home, "histograms", 0, strong, labels, ones, "strong", settings={"words": 1})
    four = ",".join(f"pocket-{name}-s0" for name in paper.MEMBERS)
    assert judged(f"{four},strong").loc[HISTOGRAMS, "verdict"] == DISAGREES


def test_a_video_is_better_than_a_clip_only_if_it_has_several(home):
    labels, _ = films()
    for seed, each in enumerate((9, 1)):
        counts = np.full(len(labels), each)
        save(home, "late", seed, known(labels, counts, 0.4), labels, counts, f"late-{each}")
    row = judged("late-9").loc[VIDEO]
    found = runs.load_run("late-9").results
    (part,) = row["parts"]
    assert part.value == pytest.approx(found["video_hit1"] - found["clip_hit1"])
    assert row["verdict"] == AGREES and judged("late-1").loc[VIDEO, "verdict"] == OPEN


# ---------------------------------------------------------------------------- cost, pairs, classes


def speeds(home, labels, counts, **clips_per_second):
    for name, values in clips_per_second.items():
        for seed, (speed, threads) in enumerate(values):
            about = {"train_clips_per_second": speed, "threads": threads}
            name = name.replace("_", "-")
            save(home, name, seed, known(labels, counts, 0.5), labels, counts, **about)


@pytest.mark.parametrize(
    "multires, verdict",
    [
        ([(200, 2), (210, 2)], AGREES),
        ([(80, 2), (90, 2)], DISAGREES),
        ([(95, 2), (120, 2)], OPEN),
        ([(200, 2), (210, 1)], OPEN),  # another number of threads: no ratio
    ],
)
def test_speed_is_told_by_the_ratios_between_runs(home, multires, verdict):
    labels, counts = films()
    speeds(home, labels, counts, single=[(100, 2), (101, 2)], single_multires=multires)
    row = judged().loc[MULTIRES]
    accuracy, faster, fewer = row["parts"]
    assert row["verdict"] == verdict and accuracy.value == 0 and accuracy.verdict == AGREES
    if verdict in (AGREES, DISAGREES):
        assert faster.low == pytest.approx(multires[0][0] / 101)
        assert faster.high == pytest.approx(multires[1][0] / 100)
    assert fewer.low == fewer.high and "exactly" in comparisons.in_words(fewer)
    table = results.table1(collect(run_groups.find("pocket"), draws=20))
    ratio = comparisons.with_unit(faster.value, "×")
    assert f"run at {ratio} the mean speed" in _trade(table, {n: 1.0 for n in table.index})
    speeds_of = [[speed for speed, _ in own] for own in (multires, [(100, 2), (101, 2)])]
    assert faster.value == pytest.approx(np.mean(speeds_of[0]) / np.mean(speeds_of[1]))


def test_one_run_of_either_does_not_tell_speed(home):
    labels, counts = films()
    speeds(home, labels, counts, single=[(100, 2)], single_multires=[(900, 2)])
    row = judged().loc[MULTIRES]
    assert row["verdict"] == OPEN and "a single measurement" in row["why"]
    assert "9.00×" in comparisons.in_words(row["parts"][1])


def pocket(home):
    pairs = {"motion": [["luge", "judo"]], "camera": [["sailing", "surfing"]]}
    (home / "data" / "pocket").mkdir(parents=True)
    (home / "data" / "pocket" / "dataset.json").write_text(json.dumps({"pairs": pairs}))


def blind(found, labels, counts, seed, pair=(0, 1)):
    """The same predictions, but for a pair of classes that luck alone separates."""
    rng, video = np.random.default_rng(seed), np.repeat(np.arange(len(counts)), counts)
    for v, own in enumerate(labels):
        if set(own) & set(pair) and rng.random() < 0.5:
            found[np.ix_(video == v, pair)] = found[np.ix_(video == v, pair[::-1])]
    return found


def test_motion_pairs_by_a_plain_count(home):
    pocket(home)
    labels, counts = films(n=300)
    for seed in (0, 1):
        slow = known(labels, counts, 1.0, seed)
        save(home, "slow", seed, slow, labels, counts)
        save(home, "single", seed, blind(slow.copy(), labels, counts, 5 + seed), labels, counts)
    row = judged().loc[MOTION]
    alone, gained = row["parts"]
    right = []
    for seed in (0, 1):
        saved = predict.load_predictions(runs.load_run(f"pocket-single-s{seed}"))
        for means, own in zip(saved.video_probabilities, saved.labels, strict=True):
            if (0 in own) != (1 in own):
                right.append(means[0] > means[1] if 0 in own else means[1] > means[0])
    assert alone.value == pytest.approx(np.mean(right)) and 0.4 < alone.value < 0.6
    assert gained.value == pytest.approx(1 - np.mean(right), abs=0.01)
    assert row["verdict"] == AGREES
    for seed in (0, 1):  # a single frame that sees the pair refutes it
        shutil.rmtree(home / "runs" / f"pocket-single-s{seed}")
        save(home, "single", seed, known(labels, counts, 1.0, seed), labels, counts)
    assert judged().loc[MOTION, "verdict"] == DISAGREES


@pytest.mark.parametrize("single, slow, verdict", [(0.9, 0.4, AGREES), (0.4, 0.9, DISAGREES)])
def test_a_moving_camera_is_judged_where_the_camera_moves(home, single, slow, verdict):
    """Elsewhere the networks differ the other way."""
    pocket(home)
    labels, counts = films(n=240)
    moving = np.repeat([bool({3, 4} & set(own)) for own in labels], counts)[:, None]
    for name, share in (("single", single), ("slow", slow)):
        there = known(labels, counts, share, 1)
        elsewhere = known(labels, counts, 1.3 - share, 2)
        save(home, name, 0, np.where(moving, there, elsewhere), labels, counts)
    assert judged().loc[CAMERA, "verdict"] == verdict


def test_without_pairs_there_is_nothing_to_judge(home):
    networks(home, single=0.4, slow=0.6)
    table = judged()
    for claim in (MOTION, CAMERA):
        assert table.loc[claim, "verdict"] == OPEN
        assert table.loc[claim, "why"] == "this dataset names no such classes"
        assert table.loc[claim, "commands"] == []


def test_a_few_classes_or_all_of_them(home):
    labels, counts = films(n=600)
    base = known(labels, counts, 0.95, 1)
    save(home, "slow", 0, base, labels, counts)
    save(home, "single", 0, known(labels, counts, 0.2, 2), labels, counts, "all-lose")
    assert judged("pocket-slow-s0,all-lose").loc[FEW, "verdict"] == DISAGREES
    found = base.copy()
    for n in np.flatnonzero(np.repeat([0 in own for own in labels], counts)):
        found[n, 0] *= 0.68
    save(home, "single", 0, found, labels, counts, "one-loses")
    row = judged("pocket-slow-s0,one-loses").loc[FEW]
    evidence = collect(run_groups.find("pocket", "pocket-slow-s0,one-loses"), draws=200)
    gains, mean = evidence.gains, evidence.mean_gain
    most, little = row["parts"]
    assert most.what == f"ΔAP of {CLASSES[0]}, picked of 6"
    assert most.value == gains["gain"].max() and most.high == gains["gain_high"].max()
    assert most.low == gains["gain_sure"].max() < gains["gain_low"].max()
    assert little.value == mean["gain"] == pytest.approx(gains["gain"].mean())
    assert most.low > claims.GAIN > little.high and row["verdict"] == AGREES


def equal_networks(seed, n=400, k=16):
    """Scores of two networks that are as good in every class; a positive is 25 times in 400."""
    rng, labels = np.random.default_rng(seed), [[v % k] for v in range(n)]
    own = metrics.truth(labels, k)
    hard = own * (2 + 0.5 * rng.normal(size=(n, 1)))  # the same for both
    return labels, [hard + rng.normal(size=(n, k)) for _ in range(2)]


def test_a_class_that_was_picked_is_judged_as_one_of_all():
    """Of two equal networks some class gains most: by its own interval it often gains a lot."""
    alone = picked = 0
    for seed in range(80):
        labels, scores = equal_networks(seed)
        one, other = intervals.resample_precision(scores, labels, seed, 200)
        gain, drawn = (one - other)[0], (one - other)[1:]
        sure = intervals.simultaneous_lower(gain, drawn)
        alone += np.percentile(drawn[:, gain.argmax()], 2.5) > claims.GAIN
        picked += sure.max() > claims.GAIN
        assert (sure < np.percentile(drawn, 2.5, axis=0) + 0.02).all()
    assert alone > 10 and picked <= 4


def test_lower_ends_of_one_value_are_those_of_its_interval():
    draws = np.random.default_rng(0).normal(3.0, 0.5, (20_000, 1))
    (end,) = intervals.simultaneous_lower(np.array([3.0]), draws)
    assert end == pytest.approx(np.percentile(draws, 2.5), abs=0.02)
    many = np.random.default_rng(1).normal(3.0, 0.5, (20_000, 100))
    far = (3 - intervals.simultaneous_lower(np.full(100, 3.0), many)) / 0.5
    assert far == pytest.approx(3.48, abs=0.1)  # a normal lies beyond once in 4,000 draws
    unknown = intervals.simultaneous_lower(
        np.array([np.nan, 1.0]), np.stack([draws[:, 0] * np.nan, many[:, 0]]).T
    )
    assert np.isnan(unknown[0]) and np.isfinite(unknown[1])


# --------------------------------------------------------------------------------------- transfer

WAYS = "top", "top3"
GROUPS = {"Sports": CLASSES[:2], "Body-Motion Only": CLASSES[2:]}


def retrained(home, shares, folds=(1, 2), seeds=(0,), n=90, group=3):
    """Runs that tell such a share of their clips by way, on folds whose videos are their own."""
    labels, counts = films(n=n)
    for fold in folds:
        groups = [f"fold{fold}-g{v // group}" for v in range(n)]
        dataset(home, f"films-fold{fold}", counts, groups)
        about = home / "data" / f"films-fold{fold}" / "dataset.json"
        about.write_text(json.dumps({"categories": GROUPS}))
        for way, share in shares.items():
            for seed in seeds:
                start = "" if way == "scratch" else "pocket-slow-s0"
                correct = share[seed] if isinstance(share, tuple) else share
                tuned(home, labels, counts, correct, fold, seed, start=start, tune=way)
    return labels, counts


@pytest.fixture
def slow(home):
    labels, counts = films()
    save(home, "slow", 0, known(labels, counts, 0.8, 1), labels, counts)


def test_retraining_is_judged_by_way_over_folds(slow, home):
    retrained(home, {"scratch": 0.2, "top": 0.55, "top3": 0.95, "all": 0.5})
    table = judged()
    assert [table.loc[claim, "verdict"] for claim in (RETRAINED, THREE)] == [AGREES, AGREES]
    assert table.loc[RETRAINED, "seeds"] == "one seed of scratch, top, top3, all"
    parts = {part.what: part for part in table.loc[RETRAINED, "parts"]}
    standings = transfer.standings(
        transfer.hit1_by_seed(run_groups.find_transfers(run_groups.find("pocket")))
    )
    for way in ("top", "top3", "all"):
        part, row = parts[f"{way} − scratch"], standings.loc[way]
        ours = part.value, part.low, part.high
        assert ours == pytest.approx(tuple(row[["gain", "gain_low", "gain_high"]]))
    for way, share in (("scratch", 0.95), ("top3", 0.2)):
        for fold in (1, 2):
            shutil.rmtree(home / "runs" / f"films-{way}-{fold}-s0")
            labels, counts = films()
            tuned(home, labels, counts, share, fold, tune=way,
                  start="" if way == "scratch" else "pocket-slow-s0")  # fmt: skip
    table = judged()
    assert [table.loc[claim, "verdict"] for claim in (RETRAINED, THREE)] == [DISAGREES, DISAGREES]
    assert table.loc[THREE, "commands"] == []


def test_what_was_not_retrained_has_its_command(slow, home):
    command = "papermill notebooks/06_ucf101.ipynb out.ipynb -p run pocket-slow-s0"
    table = judged()
    for claim in (RETRAINED, THREE, OUTSIDE):
        assert table.loc[claim, "verdict"] == OPEN and table.loc[claim, "commands"] == [command]
    why = "there is no run of scratch, top, top3, all on UCF-101"
    assert table.loc[RETRAINED, "why"] == why
    retrained(home, {"scratch": 0.2, "top": 0.6, "top3": 0.9})
    row = judged().loc[RETRAINED]
    assert row["verdict"] == OPEN and row["why"] == "there is no run of all on UCF-101"
    assert row["commands"] == [f"{command} -p tune all"] and len(row["parts"]) == 2
    assert judged().loc[OUTSIDE, "commands"] == []


def test_every_pair_of_seeds_decides_what_is_retrained(slow, home):
    """Beyond its interval, but seed 0 of top3 is worse than scratch."""
    retrained(home, {"scratch": 0.4, "top": 0.9, "top3": (0.3, 1.0), "all": 0.9}, seeds=(0, 1))
    row = judged().loc[RETRAINED]
    parts = {part.what: part for part in row["parts"]}
    assert parts["top3 − scratch"].low > 0 > parts["top3 − scratch"].least
    assert row["verdict"] == OPEN and row["why"] == "seeds do not agree: top3 − scratch"
    assert row["seeds"] == ""
    assert parts["top − scratch"].verdict == AGREES


def test_ways_are_compared_on_the_folds_of_both(slow, home):
    retrained(home, {"scratch": 0.5}, folds=(1, 2, 3))
    retrained(home, {"top": 0.5, "top3": 0.9, "all": 0.9}, folds=(2,))
    table = judged()
    parts = {part.what: part.value for part in table.loc[RETRAINED, "parts"]}
    top, scratch = (runs.load_run(f"films-{way}-2-s0").results for way in ("top", "scratch"))
    gain = top["video_hit1"] - scratch["video_hit1"]
    assert parts["top − scratch"] == pytest.approx(gain)
    shutil.rmtree(home / "runs" / "films-scratch-2-s0")
    row = judged().loc[RETRAINED]
    assert row["parts"] == [] and row["why"] == "the ways have no fold in common"


@pytest.mark.parametrize("better, verdict", [(slice(2, 6), AGREES), (slice(0, 2), DISAGREES)])
def test_three_layers_help_outside_sports_or_in_sports(slow, home, better, verdict):
    """By mean average precision, against a plain loop."""
    labels, counts = retrained(home, {"top": 0.4, "top3": 0.4}, n=240)
    video = np.repeat(np.arange(len(counts)), counts)
    helped = np.array([set(own) & set(range(6)[better]) != set() for own in labels])[video]
    for fold in (1, 2):
        saved = [home / "runs" / f"films-{way}-{fold}-s0" / "predictions/test.npy" for way in WAYS]
        strong = known(labels, counts, 1.0, 7 * fold).astype(np.float32)
        np.save(saved[1], np.where(helped[:, None], strong, np.load(saved[0])))
    row = judged().loc[OUTSIDE]
    outside, beyond = row["parts"]
    own, means = metrics.truth(labels, 6), {}
    for way in WAYS:
        each = []
        for fold in (1, 2):
            saved = predict.load_predictions(runs.load_run(f"films-{way}-{fold}-s0"))
            scores = saved.video_probabilities
            each.append([metrics.average_precision(scores[:, k], own[:, k]) for k in range(6)])
        means[way] = np.mean(each, axis=0)
    gain = means["top3"] - means["top"]
    several = run_groups.find_transfers(run_groups.find("pocket"))
    for scores in transfer.group_precision(several, [CLASSES[2:], CLASSES[:2]]).values():
        assert scores[..., 1:].mean(-1) == pytest.approx(scores[..., 0]), "moved back"
    assert outside.value == pytest.approx(gain[2:].mean(), abs=1e-6)
    assert beyond.value == pytest.approx(gain[2:].mean() - gain[:2].mean(), abs=1e-6)
    assert row["verdict"] == verdict and outside.low < outside.value < outside.high
    for fold in (1, 2):
        (home / "data" / f"films-fold{fold}" / "dataset.json").unlink()
    assert judged().loc[OUTSIDE, "why"].startswith("this dataset names no groups of classes")


def test_average_precision_of_drawn_groups_by_a_plain_loop():
    rng = np.random.default_rng(2)
    labels = [[v % 3] for v in range(30)]
    scores, own = rng.random((30, 3)), metrics.truth(labels, 3)
    units = np.repeat(np.arange(6), 5)[rng.permutation(30)]
    (found,) = intervals.resample_precision([scores], labels, 4, 20, (units, 8))
    rng = np.random.default_rng(4)
    for draw in found[1:]:
        picked = np.concatenate([np.flatnonzero(units == u) for u in rng.integers(0, 8, 8)])
        for k in range(3):
            expected = metrics.average_precision(scores[picked, k], own[picked, k])
            assert draw[k] == pytest.approx(expected, nan_ok=True)


# ------------------------------------------------------------------------------------- how it reads


def test_nothing_can_be_told_without_runs(home):
    table = judged()
    assert len(table) == 13 and set(table["verdict"]) == {OPEN}
    assert all("there is no run" in why for why in table["why"])
    assert "-p model early" in " ".join(table.loc[EARLY, "commands"])
    shown = show_claims(table.reset_index()).data
    assert shown.count("undecided") == 13 and "papermill notebooks/03_train.ipynb" in shown


def test_a_comparison_is_told_with_its_unit():
    part = comparisons.Comparison("slow − early", 0.028, 0.0191, -0.00004)
    assert comparisons.in_words(part) == "slow − early: +2.8 (+1.9 to 0.0)"
    part = comparisons.Comparison("x", 0.5, 0.44, 0.57, "", 0.6, above=False)
    assert comparisons.in_words(part) == "x: 0.50 (0.44 to 0.57), to be below 0.60"
    assert part.verdict == AGREES and comparisons.margin(part) == pytest.approx(0.03)
    assert part._replace(low=0.61, high=0.7).verdict == DISAGREES
    assert part._replace(high=0.7).verdict == OPEN
    alone = comparisons.Comparison("speed", 2.0, np.nan, np.nan, "×", 1.0)
    assert comparisons.in_words(alone) == "speed: 2.00×" and alone.verdict == OPEN


def test_of_many_comparisons_those_closest_to_a_no_are_shown(home):
    networks(home, single=0.4, single_multires=0.42, single_fovea=0.1, single_context=0.2,
             early=0.45, late=0.5, slow=0.9)  # fmt: skip
    table = judged().reset_index()
    row = table[table["id"] == SLOW_BEST]
    shown = show_claims(row, most=2).data
    first, second = sorted(row["parts"].iloc[0], key=lambda part: part.low)[:2]
    assert shown.index(first.what) < shown.index(second.what)
    assert "and 4 more, all clearer" in shown and "✓ agrees" in shown


def test_the_comparison_that_refutes_is_shown_first():
    """It may have more room than those that undecided; nor are these clearer."""
    parts = [comparisons.Comparison(f"slow − {n}", 0.0, -0.03, 0.03) for n in range(5)]
    parts.insert(3, comparisons.Comparison("slow − early", -0.01, -0.018, -0.002))
    row = dict(claim="c", paper="p", parts=parts, verdict=DISAGREES, why="", seeds="", commands=[])
    shown = show_claims(pd.DataFrame([row])).data
    assert 0 < shown.index("slow − early: −1.0 (−1.8 to −0.2)") < shown.index("slow − 0")
    assert "and 2 more</div>" in shown and "clearer" not in shown
