"""Sums against plain loops, figures against their sources, prices against arithmetic."""

import functools
import json
import math
import re
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s1m_lab import models
from s1m_lab.analysis import costs
from s1m_lab.data import catalog, datasets, shards, sports1m
from s1m_lab.data.ingest import prepare, worker
from s1m_lab.figures import durations
from s1m_lab.figures.frames import data_uri
from s1m_lab.training import distributed, runs, train
from s1m_lab.video import reader, writer

ROOT = Path(__file__).parents[2]
CLIPS = {"train": 8, "val": 4, "test": 20}


@pytest.fixture
def videos() -> pd.DataFrame:
    """300 invented videos of 5 classes, some with two labels; of some nobody knows the duration, of
    others the size."""
    rng = np.random.default_rng(0)
    seconds = np.exp(rng.normal(4, 1.5, 300)).astype(np.float32)
    seconds[:6] = 0.4, 0.5, 0.52, 0.6, 30, 60
    unknown, smaller = rng.random((2, 300)) < 0.1
    height = rng.choice([240, 360, 720], 300)
    columns = {
        "id": [f"v{n}" for n in range(300)],
        "split": rng.choice(list(CLIPS), 300, p=[0.7, 0.1, 0.2]).tolist(),
        "labels": [
            sorted(set(rng.integers(0, 5, rng.integers(1, 3)).tolist())) for _ in range(300)
        ],
        "duration": [None if gone else s for s, gone in zip(seconds, unknown, strict=True)],
        "width": [
            None if gone else int(h * 16 / 9) for h, gone in zip(height, smaller, strict=True)
        ],
        "height": [None if gone else h for h, gone in zip(height, smaller, strict=True)],
    }
    classes = ["a", "<b>", "c", "d", "e"]
    return catalog.frame(catalog.table(columns), classes=classes, data_seed=0, split="invented")


def test_sums_are_those_of_a_plain_loop(videos, tmp_path):
    limits = [0.5, 30.0, 60.0, 500.0, math.inf]
    own = costs.describe_videos(tmp_path, videos, CLIPS)
    table = costs.remaining(own, limits)
    assert costs.thin_below(own) == math.ceil(
        np.median([sum(k in labels for labels in videos["labels"]) for k in range(5)]) / 2
    )
    heard = [row for row in videos.to_dict("records") if not pd.isna(row["duration"])]
    for limit, row in zip(limits, table.itertuples(), strict=True):
        kept = [v for v in heard if v["duration"] <= limit]
        assert row.videos == len(kept) and row.share == pytest.approx(len(kept) / len(heard))
        assert row.hours == pytest.approx(sum(v["duration"] for v in kept) / 3600)
        places = [len(reader.starts(v["duration"], CLIPS[v["split"]], v["id"])) for v in kept]
        assert row.clips == sum(places)
        members = [sum(k in v["labels"] for v in kept) for k in range(5)]
        assert row.thin == sum(n < costs.thin_below(own) for n in members)
        for n, weight in enumerate((row.low, row.mid, row.high)):
            sizes = [math.nan if pd.isna(v["width"]) else v["width"] * v["height"] for v in kept]
            each = [costs.bytes_per_second(size)[n] for size in sizes]
            assert weight == pytest.approx(
                sum(v["duration"] * rate for v, rate in zip(kept, each, strict=True))
            )
    assert 0 < table["videos"].iloc[0] < table["videos"].iloc[-1] == len(heard) < len(videos)


def test_what_the_catalog_leaves_open_is_what_ingest_measured(videos, tmp_path):
    own = costs.describe_videos(tmp_path, videos, CLIPS)
    gone = int(videos["duration"].isna().sum())
    counts = f"durations: {300 - gone} from the source, 0 measured at ingest, {gone} unknown"
    assert counts in own.attrs["source"]
    rows = [
        {"id": f"v{n}", "duration": 7.0, "width": 10, "height": 20} for n in reversed(range(299))
    ]
    (tmp_path / "clips").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, worker.STATUS), tmp_path / "clips/status.parquet")
    more = costs.describe_videos(tmp_path, videos, CLIPS)
    was = own["duration"].isna().to_numpy()
    assert (more["duration"][was][:-1] == 7).all() and more["duration"][~was].equals(
        own["duration"][~was]
    )
    assert (more["pixels"][own["pixels"].isna()].iloc[:-1] == 200).all()
    left = int(was[299])
    assert f"{gone - left} measured at ingest, {left} unknown" in more.attrs["source"]


def test_nothing_known_is_said_and_drawn(videos, tmp_path):
    videos["duration"] = pd.array([None] * 300, videos["duration"].dtype)
    own = costs.describe_videos(tmp_path, videos, CLIPS)
    assert costs.slider_limits(own) == [math.inf]
    table = costs.remaining(own, costs.limits(own))
    assert costs.in_words(table, math.inf) == "all: 300 videos; their durations are not known"
    assert costs.in_words(table, 30.0) == "up to 30 s: how many videos those are is not known"
    text = costs.as_text(table)
    assert (text.drop(columns="all") == "–").all(axis=None)
    thin = sum(sum(k in own for own in videos["labels"]) < costs.thin_below(own) for k in range(5))
    clips = sum(CLIPS[split] for split in videos["split"])
    assert list(text["all"].iloc[:5]) == ["300", "100.0%", str(thin), "–", f"{clips:,}"]
    assert (text["all"].filter(like="originals") == "–").all()
    assert not text["all"].filter(like="segments").str.startswith(("–", "0")).any()
    figure = durations.draw_remaining(table, costs.stored_bytes(table), title="no")
    assert figure.axes[0].get_title("left") == "no"
    figure = durations.draw_durations(own["duration"])
    assert figure.axes[0].get_title("left").startswith("No duration is known")
    assert own["clips"].sum() == sum(CLIPS[split] for split in videos["split"])


def test_limits_suit_the_set(videos, tmp_path):
    own = costs.describe_videos(tmp_path, videos, CLIPS)
    assert costs.limits(own) == list(costs.LIMITS)
    assert costs.limits(own, 100.5) == sorted([*costs.LIMITS, 100.5])
    own["duration"] /= 20
    short = costs.limits(own)
    assert short[-1] == math.inf and 0.1 < short[0] < 2 < short[-2]
    steps = costs.slider_limits(own)
    assert steps == sorted(set(steps)) and steps[-1] == math.inf and len(steps) > 50


def test_clips_a_video_are_those_of_the_dataset(tmp_path):
    assert costs.clips_per_video(tmp_path) == prepare.DEFAULTS["clips"]
    assert costs.clips_per_video(tmp_path, 3) == {"train": 3, "val": 3, "test": 3}
    (tmp_path / "dataset.json").write_text('{"ingest": {"clips": {"train": 6}}}')
    assert costs.clips_per_video(tmp_path) == {**prepare.DEFAULTS["clips"], "train": 6}


def test_a_second_grows_with_the_picture_and_so_does_what_is_not_known():
    low, mid, high = costs.bytes_per_second(list(costs.RESOLUTIONS.values())).T
    assert (np.diff(low) > 0).all() and (low < mid).all() and (mid < high).all()
    assert np.array_equal(costs.bytes_per_second(math.nan), costs.STORED)
    assert costs.bytes_per_second(640 * 480)[1] == costs.STORED[1]
    assert costs.bytes_per_second(4 * 640 * 480)[1] == pytest.approx(costs.STORED[1] * 4**0.8)
    # every corner of what is assumed lies within
    for pixels in costs.RESOLUTIONS.values():
        corners = [
            rate * (pixels / anchor) ** power
            for rate in costs.STORED
            for anchor in costs.ANCHOR
            for power in costs.EXPONENT
        ]
        found = costs.bytes_per_second(pixels)
        assert found[0] == pytest.approx(min(corners)) and found[2] == pytest.approx(max(corners))


def test_the_exponent_is_that_of_the_published_rates():
    pixels = [costs.RESOLUTIONS[name] for name in ("360p", "480p", "720p", "1080p")]
    slope, _ = np.polyfit(np.log(pixels), np.log([520, 830, 1600, 3000]), 1)
    assert costs.EXPONENT[1] == pytest.approx(slope, abs=0.01)


def test_rates_are_those_of_the_real_classes(real_data):
    """The totals of 20 classes in two splits, as a copy of Sports-1M gives them."""
    rows = pd.read_csv(real_data / "sports1m" / "class_durations.csv")
    seconds, size = rows["total_seconds"], 1e6 * rows["total_size_MB_as_stored"]
    binary = 2**20 / 1e6
    rates = size / seconds
    assert costs.STORED[0] == pytest.approx(rates.quantile(0.05), rel=0.01)
    assert costs.STORED[1] == pytest.approx(
        size.sum() / seconds.sum() * math.sqrt(binary), rel=0.01
    )
    assert costs.STORED[2] == pytest.approx(rates.quantile(0.95) * binary, rel=0.01)
    sums = rows.groupby("class")[["total_seconds", "total_size_MB_as_stored"]].sum()
    seconds, size = sums.to_numpy().T * [[1], [1e6]]
    drawn = np.random.default_rng(0).integers(0, 20, (5000, 20))
    pooled = np.quantile(size[drawn].sum(axis=1) / seconds[drawn].sum(axis=1), [0.025, 0.975])
    text = (ROOT / "s1m_lab" / "analysis" / "costs.py").read_text("utf-8")
    ends = re.search(r"known better, to (\d+)–(\d+) kB/s", text).groups()
    assert list(map(int, ends)) == [
        pytest.approx(pooled[0] / 1e3, abs=1.1),
        pytest.approx(pooled[1] * binary / 1e3, abs=1.1),
    ]


def test_clip_bytes_are_those_of_the_benchmark():
    about = json.loads((ROOT / "benchmarks" / "clip_coding.json").read_text("utf-8"))
    assert set(about) >= {"machine", "date", "commit", "versions"}
    names = {"raw": "raw uint8", "JPEG q90": "JPEG q90"}
    for (coding, size), found in costs.CLIP_BYTES.items():
        rows = {row["coding"]: row for row in about["sizes"][size]["codings"]}
        row = rows[names.get(coding, f"{coding}, PyAV")]
        measured = [row["low"], row["bytes"], row["high"]]
        assert found == pytest.approx(measured, abs=600), (coding, size)


def test_published_quantiles_hold_and_bound_what_is_inferred():
    """The mean of a slice lies between its quantiles; below the first, only the width is free."""
    at = {**sports1m.QUANTILES}
    for low, high in ((0.8, 0.85), (0.85, 0.9), (0.9, 0.95)):
        between = costs.sports1m_seconds(high) - costs.sports1m_seconds(low)
        mean = between / (sports1m.VIDEOS * (high - low))
        assert (at[low] < mean).all() and (mean < at[high]).all()
    below = costs.sports1m_seconds(0.8) / (0.8 * sports1m.VIDEOS)
    assert 100 < below[0] < below[1] < below[2] < at[0.8]
    log = np.log(list(at.values()))
    z = [NormalDist().inv_cdf(share) for share in at]
    slopes = np.diff(log) / np.diff(z)
    assert costs.WIDTHS[0] == pytest.approx(max(slopes), abs=0.01)
    assert costs.WIDTHS[1] == pytest.approx(np.polyfit(z, log, 1)[0], abs=0.01)
    assert costs.WIDTHS[2] == pytest.approx(min(slopes), abs=0.01)


def test_a_claim_is_true_false_or_open():
    claim = costs.claim(costs.sports1m_seconds(0.9), 0.9 * sports1m.VIDEOS * 10)
    for row in claim.itertuples():
        assert row.low <= row.mid <= row.high
        if row.verdict == "open":
            assert row.low <= costs.FEW < row.high
        else:
            assert (row.verdict == "true") == (row.high <= costs.FEW), row
    verdict = claim["verdict"]
    assert verdict["originals, as stored"] == verdict["segments, raw, 227×277"] == "false"
    assert verdict["segments, JPEG q90, 227×277"] == "true"


def test_calibrate_measures_this_machine():
    rates = costs.calibrate(seconds=12, repeats=2, clips=4)
    for values, least, most in zip(rates, (1e-4, 1e-3), (5, 5), strict=True):
        assert values.shape == (3,) and (np.diff(values) >= 0).all()
        assert least < values[0] and values[2] < most
    assert rates.video[1] != rates.clip[1]


def test_the_film_is_of_youtube_s_kind(tmp_path):
    path = tmp_path / "film.mp4"
    writer.encode(path, costs._film(250), fps=25, crf=22, gop=125)
    info = reader.probe(path)
    assert (info.width, info.height, info.codec, info.frames) == (640, 360, "h264", 250)
    kbits = 8 * path.stat().st_size / info.duration / 1000
    assert 200 < kbits < 1500  # the copy of Sports-1M has 550 to 820


def test_price_is_arithmetic():
    rates = costs.Rates(np.array([0.1, 0.2, 0.3]), np.array([0.01, 0.02, 0.04]))
    price = costs.price(1000, 8000, rates)
    assert price["core-hours"] == pytest.approx([180 / 3600, 360 / 3600, 620 / 3600])
    assert price["1 worker"] == pytest.approx([180, 360, 620])
    assert price["512 workers"] == pytest.approx(price["1 worker"] / 512)


def test_both_prices_weigh_a_shard_as_it_is_on_disk(videos, tmp_path, monkeypatch):
    """A shard of 40 clips of noise: what it weighs, by the bytes of its coded frames."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 16, 60, 80, 3)) * rng.random((40, 16, 1, 1, 1))
    made = [
        shards.Clip("0123456789abcdef", "UDqivjS-lpI", n, 1.5, [168, 169], clip)
        for n, clip in enumerate(noise.astype(np.uint8))
    ]
    index = shards.write(tmp_path / "a.tar", made)
    coded = np.array([sum(sizes) for sizes in index["sizes"].to_pylist()])
    monkeypatch.setitem(costs.CLIP_BYTES, costs.STORED_AS, np.full(3, coded.mean()))
    weight = (tmp_path / "a.tar").stat().st_size
    assert weight > 1.2 * coded.sum()  # else the tar would not matter
    rates = costs.Rates(*np.ones((2, 3)))
    assert costs.price(1, 40, rates)["bytes"] == pytest.approx(weight, rel=0.02)
    own = costs.describe_videos(tmp_path, videos, CLIPS)
    table = costs.remaining(own, [math.inf])
    price = costs.price(len(own), table["clips"].iloc[0], rates)["bytes"]
    name = f"segments, {', '.join(costs.STORED_AS)}"
    assert costs.stored_bytes(table)[name][0] == pytest.approx(price)
    claim = costs.claim(np.ones(3), 40)
    assert claim.loc["segments, JPEG q90, 200×200", "mid"] == pytest.approx(weight, rel=0.02)


def test_originals_on_disk_are_weighed(videos, tmp_path):
    own = costs.describe_videos(tmp_path, videos, CLIPS)
    assert costs.on_disk(tmp_path, videos, own) == ""
    (tmp_path / "a.mp4").write_bytes(bytes(3_000_000))
    paths = [None] * 300
    paths[4], paths[5] = "a.mp4", "gone.mp4"
    videos["path"] = pd.array(paths, videos["path"].dtype)
    sentence = costs.on_disk(tmp_path, videos, own)
    model = costs.format_range(30 * costs.bytes_per_second(own["pixels"][4]))
    assert sentence == f"1 originals on this disk: 3.0 MB, by the model {model}"


@pytest.mark.parametrize(
    "sizes, unit, text",
    [
        ([11.2e12, 16.4e12, 22.3e12], "B", "16 (11–22) TB"),
        ([0, 0, 0], "B", "0 B"),
        ([996e6, 996e6, 996e6], "B", "1,000 MB"),
        ([0.5, 1, 2], "s", "1.0 (0.50–2.0) s"),
        ([3600, 7200, 10800], "s", "2.0 (1.0–3.0) h"),
        ([0.0012, 0.0034, 1234], "ms", "0.0034 (0.0012–1,200) ms"),
    ],
)
def test_written(sizes, unit, text):
    assert costs.format_range(np.array(sizes, float), unit) == text


def test_the_slider_draws_what_it_stands_on(videos, tmp_path):
    own, drawn = costs.describe_videos(tmp_path, videos, CLIPS), []
    limits = costs.slider_limits(own)

    def draw(limit):
        drawn.append(limit)
        return durations.draw_durations(pd.Series([1.0, 2.0, limits.index(limit)]))

    choice, shown = durations.explore_limits(draw, limits).children
    before, picture = shown.value, data_uri(draw(drawn.pop()).png(), "png")
    assert 'width="810"' in before and picture in before
    choice.value = limits[3]
    assert drawn == [limits[-1], limits[3]]
    assert shown.value != before and shown.value.startswith("<img")
    assert choice.label == f"at most {limits[3]:,.6g} s"


def test_figures_draw_any_text(videos, tmp_path):
    own = costs.describe_videos(tmp_path, videos, CLIPS)
    table, text = costs.remaining(own, costs.slider_limits(own)), "$\\frac{1$ <b>\n中文"
    sizes = list(costs.stored_bytes(table).values())[:4]
    sizes = {f"{text} {n}": size for n, size in enumerate(sizes)}
    durations.draw_remaining(table, sizes, 30.0, text).savefig(tmp_path / "a.png")
    durations.draw_durations(own["duration"], sports1m.QUANTILES).savefig(tmp_path / "b.png")


# ------------------------------------------------------------------------- the whole of Sports-1M


SPEEDS = costs.Speeds(
    {name: np.full(3, speed) for name, (speed, _) in costs.STEPS.items()},
    np.array([1e-4, 2e-4, 4e-4]),
    costs.Rates(np.full(3, 0.1), np.full(3, 0.05)),
)


def test_a_plan_is_arithmetic():
    machine = costs.Machine(cores=10, gpus=1, bandwidth=2.0, price=3.0)
    table = costs.plan_training(machine, SPEEDS)
    clips = 500e6 + 0.2 * sports1m.VIDEOS * 20 * 4 / 3  # examples; passes of test clips
    assert table["hours"]["slow"][1] == pytest.approx(clips / 3675 / 3600)
    assert table["reading"]["slow"].tolist() == pytest.approx([2500, 5000, 10000])  # 10 frames
    assert table["hours"]["slow"][2] == pytest.approx(clips / 2500 / 3600)  # the slower of both
    assert table["price"]["slow"][1] == pytest.approx(3 * table["hours"]["slow"][1])
    assert table["energy"]["slow"][1] == pytest.approx(table["hours"]["slow"][1] * 0.660)
    assert table["limit"].to_dict() == dict.fromkeys(table.index, "computing") | {
        "early": "reading"
    }
    stages = costs.plan(machine, SPEEDS)
    assert stages["download"][1] == pytest.approx(sports1m.VIDEOS * 336 * 88e3 * 8 / 2e9 / 3600)
    segments = sports1m.VIDEOS * (0.7 * 63 + 0.1 * 4 + 0.2 * 20)
    work = sports1m.VIDEOS * 0.1 + segments * 0.05
    assert stages["ingest"][1] == pytest.approx(work / 10 / 3600)
    assert stages["training"][1] == pytest.approx(sum(h[1] for h in table["hours"]))
    half = costs.plan(machine, SPEEDS, sports1m.VIDEOS / 2)
    assert all(half[stage] == pytest.approx(hours / 2) for stage, hours in stages.items())


def test_more_hardware_moves_the_limit():
    machine = costs.Machine(cores=64, gpus=0, bandwidth=10.0, price=0.1)
    hours = costs.grow(machine, SPEEDS, [1, 2, 4, 64, 512])
    assert (hours["computing"] <= hours["training"] + 1e-9).all()
    assert hours["training"][2] == pytest.approx(hours["training"][1] / 2 / 0.9)
    assert hours["training"][512] > 10 * hours["computing"][512]
    assert hours["ingest"].nunique() == hours["download"].nunique() == 1
    text = costs.describe_limit(hours)
    assert text.startswith("Training takes longest up to ") and text.endswith("wait for reading")


def test_without_gpus_cores_compute_and_read_in_turn(monkeypatch):
    monkeypatch.setattr(costs.system, "cores", lambda: 4)  # of one machine
    machine = costs.Machine(cores=4, gpus=0, bandwidth=1.0, price=0.1)
    table = costs.plan_training(machine, SPEEDS)
    seconds = 1 / (4 * 7661) + 1 / (4 / 2e-4)  # a clip of `single`, of one frame
    clips = 500e6 + 0.2 * sports1m.VIDEOS * 20 * 4 / 3
    assert table["hours"]["single"][1] == pytest.approx(clips * seconds / 3600)
    assert table["price"]["single"][1] == pytest.approx(0.4 * table["hours"]["single"][1])


def test_reading_a_frame_takes_what_it_takes():
    low, mid, high = costs.measure_reading(repeats=3)
    assert 1e-5 < low <= mid <= high < 1e-2


@pytest.mark.parametrize("fast, precision", [(True, "bf16"), (False, "fp32")])
def test_speeds_are_those_of_the_precision_that_a_training_takes(monkeypatch, fast, precision):
    """Of small networks here; `measure` builds them in the paper's size."""
    used, measured = [], train.measure_speed

    def measure_speed(net, batch, how):
        used.append(how)
        return measured(net, batch, how)

    small = functools.partial(models.build, classes=2, width=1 / 16, size=43)
    monkeypatch.setattr(models, "build", small)
    monkeypatch.setattr(costs.system, "has_bf16", lambda device="cpu": fast)
    monkeypatch.setattr(train, "measure_speed", measure_speed)
    monkeypatch.setattr(costs, "measure_reading", lambda: None)
    monkeypatch.setattr(costs, "calibrate", lambda: None)
    speeds = costs.measure(gpus=0)
    assert used == [precision] * 2 and all((rates > 0).all() for rates in speeds.clips.values())


def test_the_papers_time_follows_from_its_speed():
    assert costs.paper_time("slow-fovea") == "–"
    days = 500e6 / 5 / 3600 / 24  # of one replica
    assert costs.paper_time(
        "slow"
    ) == f"{days / 30:.0f} ({days / 50:.0f}–{days / 10:.0f}) days".replace("116", "120")


def test_small_work_is_predicted(small_home, monkeypatch):
    """Processor time of real videos, on a busy machine, and of a real training by its parts."""
    monkeypatch.setenv("S1M_HOME", str(small_home))
    ((name, found),) = costs.check_ingest(datasets.listed("pocket")).items()
    assert name.startswith("ingest of ") and 0.3 < found["measured"] / found["predicted"] < 3
    run = runs.load_run("small")
    batch, rows = run.config["settings"]["batch_size"], run.metrics
    monkeypatch.setattr(train, "measure_speed", lambda net, count, precision: 10.0 * count)
    found = costs.check_trainings([run], np.array([1.0, 2.0, 3.0]))
    assert found["small"]["measured"] == run.results["seconds"]
    first = batch * rows.loc[rows["epoch"] == 0, "step"].iloc[-1]
    read = first * 10 * 2.0 / run.results["threads"]  # ten frames of a clip, two seconds each
    steps = rows["step"].iloc[-1]
    assert found["small"]["predicted"] == pytest.approx(steps / 10 + read)
    monkeypatch.setattr(distributed, "device_name", lambda device: "another GPU")
    assert not costs.check_trainings([run], np.array([1.0, 2.0, 3.0]))


def test_steps_are_those_that_were_measured():
    measured = json.loads((ROOT / "benchmarks" / "train_step_gpu_all.json").read_text())["rows"]
    measured = {row["model"]: row for row in measured}
    for name, (speed, gflop) in costs.STEPS.items():
        assert speed == round(measured[name]["clips_per_second"])
        assert gflop == round(measured[name]["gflop_per_clip"], 2)


def test_cores_of_several_machines_keep_less_of_their_speed(monkeypatch):
    monkeypatch.setattr(costs.system, "cores", lambda: 4)
    rates = costs.Rates(*np.ones((2, 3)))
    speeds = costs.Speeds({"single": np.full(3, 10.0)}, np.full(3, 1e-9), rates)
    for cores, compute in {4: [40, 40, 40], 8: [56, 72, 80]}.items():
        plan = costs.plan_training(costs.Machine(cores, 0, 1.0, 0.0), speeds)
        assert plan.loc["single", "compute"] == pytest.approx(compute)
