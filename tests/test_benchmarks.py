"""The benchmark table: exponents, ratios, the budget, its text, and a run of some parts."""

import itertools
import json
import subprocess
import sys
import types

import numpy as np
import pytest

from benchmarks import bench, gpu_training, train_step


def test_the_slope_of_a_power_law_is_its_exponent():
    sizes = [10, 100, 1_000, 10_000]
    fit, local = bench.slope(sizes, [3 * n**1.5 for n in sizes])
    assert fit == pytest.approx(1.5) and local == pytest.approx([1.5] * 3)
    fit, local = bench.slope(sizes, [100 + n**2 for n in sizes])  # a fixed cost bends it
    assert fit < 1.95 < local[-1] < 2
    row = bench.growth("a step", "batch", "s", sizes, [100 + n**2 for n in sizes])
    assert (row.ratio, row.high, row.limit) == (fit, local[-1], bench.LINEAR)


def test_a_ratio_is_the_median_of_the_turns_not_the_ratio_of_medians():
    took = [1.0, 2.0, 4.0], [2.0, 8.0, 4.0]
    row = bench.compared("training", ("a", "b"), "clips", (10, 20), took, 8.0, "peak")
    assert (row.low, row.ratio, row.high) == (0.5, 1.0, 2.0)
    assert (row.ours, row.theirs, row.limit) == (5.0, 5.0, 1.6)


def test_every_work_takes_its_turn_and_the_order_turns():
    order = []
    works = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert bench.take_turns(works, 3) == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert bench.take_turns(works, 9, most=0) == {"a": [7, 10], "b": [8, 9]}


def lab(tmp_path, minutes):
    cpu = bench.torch.device("cpu")
    budget = bench.Budget(minutes)
    return bench.Lab(cpu, "fp32", 0.25, 112, 32, "cpu", False, tmp_path, None, budget)


def test_what_cannot_run_or_does_not_fit_is_named(tmp_path):
    def some(lab):
        yield bench.growth("a step", "batch", "s", [1, 2], [1, 2])
        raise RuntimeError("first line\nno memory\n")

    chosen = [
        bench.Part("long", 61, (), some),
        bench.Part("foreign", 1, ("torch", "no_such_package"), some),
        bench.Part("short", 1, (), some),
    ]
    rows, skipped = bench.measure(lab(tmp_path, 1), chosen)
    assert [row.name for row in rows] == ["a step"]
    assert [one.name for one in skipped] == ["long", "foreign", "short"]
    long, foreign, short = (one.why for one in skipped)
    assert long.startswith("left out: it takes about 61 s")
    assert foreign == "not installed: no_such_package" and short == "RuntimeError: no memory"


def test_on_a_gpu_all_sixteen_networks_fit_the_most_important_first():
    plan = bench.parts("gpu")
    names = [part.name for part in plan]
    assert names[:4] == [f"train {name}" for name in bench.FIRST]
    last = max(names.index(f"train {name}") for name in bench.models.NAMES)
    assert sum(part.seconds for part in plan[: last + 1]) < 7 * 60, "the minutes of make bench-gpu"
    for plan in ("cpu", "gpu"):
        names = [part.name for part in bench.parts(plan)]
        assert len(names) == len(set(names)) and "train slow compiled" in names


@pytest.mark.parametrize("part, calls", [("crops", 5), ("fed", 4)])
def test_rates_are_clips_of_a_batch_over_the_seconds_of_a_step(part, calls, tmp_path, monkeypatch):
    """By a clock that moves a second with every look at it: a turn of n calls takes 1/n s each."""
    if part == "fed":
        pytest.importorskip("decord")
    cpu, budget = bench.torch.device("cpu"), bench.Budget(9)
    small = bench.Lab(cpu, "fp32", 1 / 16, 66, 4, "cpu", True, tmp_path, None, budget)
    clock = itertools.count()
    fake = types.SimpleNamespace(perf_counter=lambda: float(next(clock)))
    monkeypatch.setattr(train_step, "time", fake)
    for row in getattr(bench, part)(small):
        assert (row.ours, row.theirs) == (4 * calls, 4 * calls) and row.ratio == 1


def test_a_killed_training_is_run_again(tmp_path, monkeypatch):
    monkeypatch.setenv("S1M_HOME", str(tmp_path))
    data = gpu_training.dataset(66, videos=64)
    config = gpu_training.TrainConfig(
        data=data, model="single", run="killed", epochs=8, batch_size=4, width=0.0625, size=66
    )
    (line,) = gpu_training.killed(config)["resumed"]
    assert line.startswith("killed resumes from step ")


@pytest.mark.slow
def test_trainings_are_repeated_and_compared(tmp_path, monkeypatch):
    """`benchmarks/gpu_training.py` to its end, on the CPU."""
    command = [sys.executable, "benchmarks/gpu_training.py", "--cpu", "--models=single"]
    command += ["--width=0.0625", "--size=66", "--videos=64", "--epochs=1", "--short=8"]
    command += ["--precision=fp32", "--batch=4", f"--json={tmp_path / 'out.json'}"]
    monkeypatch.setenv("S1M_HOME", str(tmp_path))
    done = subprocess.run(command, cwd=bench.ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "out.json").read_text())
    assert len(about["trainings"]) == 1 and not any("failed" in row for row in about["repeats"])
    compared = [row["same_bits"] for row in about["repeats"] if "against" in row]
    assert compared == [True] * 4
    assert sum("resumes from step" in row.get("resumed", "") for row in about["repeats"]) == 2


def test_the_table_has_a_line_for_every_row_and_every_gap():
    row = bench.compared("read", ("clips", "PIL"), "clips", (1, 1), ([1], [20]), 2, "JPEG", aim=30)
    text = bench.table([row], [bench.Skip("films", "not installed: av")]).splitlines()
    heads, line, gap = text
    assert line.split() == "clips PIL 20.00 20.00–20.00 1 0.05 clips 40.00 JPEG 30 missed".split()
    assert heads.index("ratio") + len("ratio") == line.index("20.00") + len("20.00")
    assert gap == "no films: not installed: av"


def test_parts_run_on_small_sizes_and_write_figures(tmp_path):
    command = [sys.executable, "benchmarks/bench.py", "--device=cpu", "--tiny", "--width=0.0625"]
    command += ["--size=66", "--batch=4", "--parts", "crops", "multires", "--write", tmp_path]
    (tmp_path / "README.md").write_text(f"A\n\n{bench.START}\nold\n{bench.END}\n\nB\n")
    done = subprocess.run(command, cwd=bench.ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "benchmarks" / "bench.json").read_text("utf-8"))
    names = [row["name"] for row in about["rows"]]
    assert {"crops of a batch", "single-multires", "slow-multires"} <= set(names)
    assert all(np.isfinite(row["ratio"]) and row["ratio"] > 0 for row in about["rows"])
    assert {"commit", "date", "load", "machine"} <= set(about) and not about["skipped"]
    assert (tmp_path / "reports" / "bench.png").stat().st_size < 200_000
    assert "torchvision v2 per clip" in done.stdout
    readme = (tmp_path / "README.md").read_text()
    assert "| crops of a batch | torchvision v2 per clip |" in readme and "old" not in readme
    assert readme.startswith("A\n") and readme.endswith("\n\nB\n")


def test_the_readme_has_the_rows_of_the_last_run():
    about = json.loads((bench.ROOT / "benchmarks" / "bench.json").read_text("utf-8"))
    text = (bench.ROOT / "README.md").read_text("utf-8")
    assert bench.fill(text, about) == text, "make bench"
    about["rows"][0]["ratio"] = 0.123
    assert bench.fill(text, about) != text
