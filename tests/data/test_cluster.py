"""Ingest over a scheduler and workers that are processes of their own, and are really killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distributed import Client
from test_ingest import REPOSITORY, digests, film, status

from s1m_lab.data.ingest import prepare

SETTINGS = {"size": 96, "clips": 4}
VIDEOS = 320


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Eight films, each forty times under other names."""
    folder = tmp_path_factory.mktemp("many")
    for k in range(8):
        first = folder / "abcd"[k % 4] / f"{k}.mp4"
        film(first, 20 + 20 * k)
        for n in range(1, VIDEOS // 8):
            shutil.copy2(first, first.with_name(f"{k}-{n}.mp4"))
    return folder


def program(home: Path, *arguments: str) -> subprocess.Popen:
    env = {**os.environ, "S1M_HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
    log = open(home / "log.txt", "a")
    command = [sys.executable, *arguments]
    with log:
        return subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)


@pytest.fixture
def scheduler(tmp_path):
    """The address of a Dask scheduler with three workers."""
    file = tmp_path / "scheduler.json"
    started = [
        program(tmp_path, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(file),
                "--port", "0", "--dashboard-address", "127.0.0.1:0"),
        program(tmp_path, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file),
                "--nworkers", "3", "--nthreads", "2", "--no-dashboard"),
    ]  # fmt: skip
    wait(lambda: file.exists() and file.read_text(), started)
    yield json.loads(file.read_text())["address"]
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(until, alive: list[subprocess.Popen], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end and all(process.poll() is None for process in alive)
        time.sleep(0.02)


def test_a_killed_worker_and_a_killed_client_change_no_byte(
    films, scheduler, home, tmp_path, monkeypatch
):
    whole = digests(prepare.prepare(films, workers=1, **SETTINGS))
    assert len([name for name in whole if name.endswith(".tar")]) >= 8
    script = tmp_path / "script.py"
    script.write_text(
        f"from s1m_lab import prepare\n"
        f"print(prepare({str(films)!r}, scheduler={scheduler!r}, **{SETTINGS}))\n"
    )

    def shards() -> int:
        return len(list(tmp_path.glob("data/*/clips/*.tar")))

    client = program(tmp_path, str(script))
    wait(lambda: shards() >= 2, [client])
    with Client(scheduler, set_as_default=False) as watcher:
        pids = list(watcher.run(os.getpid).values())
    os.kill(pids[0], signal.SIGKILL)
    count = shards()
    wait(lambda: shards() >= count + 2, [client])
    os.killpg(client.pid, signal.SIGKILL)
    assert client.wait() == -signal.SIGKILL
    assert not list(tmp_path.glob("data/*/clips/index.parquet"))
    again = program(tmp_path, str(script))
    assert again.wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()
    monkeypatch.setenv("S1M_HOME", str(tmp_path))
    (folder,) = (path.parent for path in tmp_path.glob("data/*/clips"))
    assert digests(folder) == whole
    assert list(status(folder).values()) == ["ok"] * VIDEOS
    assert "dashboard: http://" in (tmp_path / "log.txt").read_text()
