"""Trainings and ingests that are killed or stopped at random moments, and repeated."""

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from fault_lab import (
    contents,
    differing,
    finish,
    lists_hold,
    start,
    wait_until,
)
from trials import Trial

LINUX = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc lists processes")
KILLS = 5  # of one training
CLIPS = ("--size=96", "--clips=10")  # two shards of training clips
LAUNCH = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")


@pytest.fixture(scope="module")
def home(lab, tmp_path_factory):
    """A home with the clips of the films, for runs."""
    return lab.copy(tmp_path_factory.mktemp("killed") / "home")


@pytest.fixture(scope="module")
def whole(lab):
    """What an undisturbed training leaves."""
    return lab.wanted("done")


def in_the_loop(run: Path, since: float):
    """Whether a process that was started at a time has begun to train."""
    log = run / "metrics.csv"
    return lambda: log.is_file() and log.stat().st_mtime > since and log.stat().st_size > 100


def repeat(home, words, **more) -> tuple[float, object]:
    """A command to its end: the seconds it took, and how it ended."""
    begin = time.monotonic()
    done = finish(start(home, *words, **more))
    return time.monotonic() - begin, done


def strike(process, run: Path, last: str, kind: str, rng) -> None:
    """Wait for a random moment of a training: while it starts, in its steps, or after its last
    checkpoint."""
    since = time.time()
    if kind == "start":
        time.sleep(rng.uniform(0, 4))
    elif kind == "end":
        wait_until(process, (run / last).is_dir, 0.001)
        time.sleep(rng.uniform(0, 0.2))
    elif wait_until(process, in_the_loop(run, since)):
        time.sleep(rng.uniform(0.1, 2.0))


@pytest.mark.trials(1, 11)
def test_a_killed_training_ends_in_the_same_bits(trial, lab, home, whole, long, count, once):
    """Killed several times on the way, the last time while or after it scores."""
    once("training killed", f"run {trial}")
    rng, run = np.random.default_rng(trial), home / "runs" / f"killed-{trial}"
    last = max(str(Path(name).parent) for name in whole if name.startswith("checkpoint/"))
    words, kills, later, took = lab.train(run.name), 0, 0, []
    kinds = ["steps", *rng.choice(["start", "steps", "steps", "steps"], KILLS - 2), "end"]
    for kind in kinds if long else ["steps", "steps", "end"]:
        process = start(home, *words)
        strike(process, run, last, kind, rng)
        process.kill()
        died = process.wait() == -signal.SIGKILL
        kills += died
        later += died and any((run / "checkpoint").glob("[0-9]*"))
        process.stdout.close()
    seconds, done = repeat(home, words)
    took.append(seconds)
    lost = differing(run, whole)
    healed = kills if not lost and lists_hold(run) and done.status == 0 else 0
    said = f"{later} of {kills} kills after a checkpoint; {done.said}"
    name, found = f"run {trial}", {"healed": healed, "lost": len(lost), "said": said}
    count(Trial("training killed", name, kills, kills, seconds=took, **found))


@pytest.mark.trials(1, 10)
def test_a_stopped_training_has_a_checkpoint_of_its_last_step(trial, lab, home, whole, count, once):
    once("training stopped", f"run {trial}")
    rng, run = np.random.default_rng(trial + 100), home / "runs" / f"stopped-{trial}"
    words = lab.train(run.name)
    process = start(home, *words)
    assert wait_until(process, in_the_loop(run, time.time()))
    time.sleep(rng.uniform(0, 1.0))
    process.terminate()
    done = finish(process)
    step = re.search(r"SIGTERM and has a checkpoint of step ([\d,]+)", done.said)
    saved = step and (run / "checkpoint" / f"{int(step[1].replace(',', '')):08d}").is_dir()
    seconds, again = repeat(home, words)
    lost = differing(run, {k: v for k, v in whole.items() if not k.startswith("checkpoint/")})
    count(
        Trial(
            "training stopped",
            f"run {trial}",
            survived=done.in_words and done.status == 143,
            noticed=bool(saved),
            healed=not lost and again.status == 0,
            lost=len(lost),
            seconds=[seconds],
            said=done.said,
        )
    )


@LINUX
@pytest.mark.trials(0, 3)
def test_two_ranks_stop_together(trial, lab, home, count, once):
    """SIGTERM of the first rank, of the second, and of torchrun, which passes it on."""
    once("two ranks stopped", f"run {trial}")
    whole, run = home / "runs" / "whole-of-two", home / "runs" / f"two-stopped-{trial}"
    if not whole.is_dir():
        done = finish(start(home, *lab.train(whole.name), launch=LAUNCH))
        assert done.status == 0, done.out
    words = lab.train(run.name)
    process = start(home, *words, launch=LAUNCH)
    assert wait_until(process, in_the_loop(run, time.time()))
    time.sleep(0.3)
    os.kill(process.pid if trial == 2 else rank_of(process.pid, trial), signal.SIGTERM)
    done = finish(process)
    steps = re.findall(r"SIGTERM and has a checkpoint of step ([\d,]+)", done.out)
    folders = [run / "checkpoint" / f"{int(step.replace(',', '')):08d}" for step in steps]
    saved = bool(folders) and all(folder.is_dir() for folder in folders)
    seconds, again = repeat(home, words, launch=LAUNCH)
    other = ("checkpoint/", "config.json")  # it holds the name
    wanted = {k: v for k, v in contents(whole).items() if not k.startswith(other)}
    lost = differing(run, wanted)
    count(
        Trial(
            "two ranks stopped",
            f"run {trial}",
            survived=done.status == 1,
            noticed=saved,
            healed=not lost and again.status == 0,
            lost=len(lost),
            seconds=[seconds],
            said=steps and f"checkpoint of step {steps[0]}" or done.said,
        )
    )


def children(process: int) -> list[int]:
    return [
        int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def rank_of(launcher: int, rank: int) -> int:
    """The process of a rank under torchrun."""
    found = {pid: Path(f"/proc/{pid}/environ").read_bytes() for pid in children(launcher)}
    return next(pid for pid, text in found.items() if f"\0RANK={rank}\0".encode() in text)


# ------------------------------------------------------------------------------------------ ingest


@pytest.fixture(scope="module")
def clips(films, tmp_path_factory):
    """What an undisturbed ingest leaves, and how long its work takes (s)."""
    home = tmp_path_factory.mktemp("undisturbed")
    process = start(home, "ingest", films, "--workers=1", *CLIPS)
    assert wait_until(process, lambda: any(home.glob("data/*/clips/.work")))
    begin = time.monotonic()
    assert finish(process).status == 0
    return contents(home / "data"), time.monotonic() - begin


def kill_ingest(films, home, workers, kind, rng, seconds) -> bool:
    """Start an ingest and kill it, or one of its workers, at a random moment of its work."""
    process = start(home, "ingest", films, f"--workers={workers}", *CLIPS)
    if kind == "start":
        time.sleep(rng.uniform(0, 2))
    elif wait_until(process, lambda: any(home.glob("data/*/clips/.work"))):
        time.sleep(rng.uniform(0, seconds))
    process.kill()
    died = process.wait() == -signal.SIGKILL
    process.stdout.close()
    return died


@pytest.mark.trials([(1, 0), (2, 0)], [(workers, n) for n in range(20) for workers in (1, 2)])
def test_a_killed_ingest_ends_in_the_same_bytes(trial, films, clips, tmp_path, count, once):
    workers, number = trial
    harm = "ingest with workers killed" if workers > 1 else "ingest killed"
    once(harm, f"run {number}")
    rng, (wanted, seconds) = np.random.default_rng([workers, number]), clips
    kind = "start" if number % 10 == 9 else "work"
    died = kill_ingest(films, tmp_path, workers, kind, rng, seconds / workers)
    took, done = repeat(tmp_path, ("ingest", films, f"--workers={workers}", *CLIPS))
    lost = differing(tmp_path / "data", wanted)
    healed = int(not lost and done.status == 0 and lists_hold(tmp_path / "data"))
    found = {"healed": healed, "lost": len(lost), "said": done.said}
    count(Trial(harm, f"run {number}", survived=1, seconds=[took] * died, **found))


@LINUX
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core has no workers")
@pytest.mark.trials(1, 10)
def test_an_ingest_outlives_its_workers(trial, films, clips, tmp_path, count, once):
    """SIGKILL of one of two workers at a random moment: the command itself goes on."""
    once("worker killed", f"run {trial}")
    rng, (wanted, seconds) = np.random.default_rng(trial + 200), clips
    process = start(tmp_path, "ingest", films, "--workers=2", *CLIPS)
    assert wait_until(process, lambda: any(tmp_path.glob("data/*/clips/.work/*/reading")))
    time.sleep(rng.uniform(0, seconds / 2))
    begin = time.monotonic()
    workers = [
        pid
        for pid in children(process.pid)
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    if workers:
        os.kill(int(rng.choice(workers)), signal.SIGKILL)
    done = finish(process)
    took = time.monotonic() - begin
    lost = differing(tmp_path / "data", wanted)
    ended = done.status == 0 and bool(workers)
    said = done.said if workers else "it was over before a worker could be killed"
    found = {"healed": not lost, "lost": len(lost), "said": said}
    count(Trial("worker killed", f"run {trial}", survived=ended, seconds=[took], **found))
