"""Jobs in processes: every result, an error at once, an end for what kills every worker."""

import os
import signal
import time

import pytest

from s1m_lab.common import processes


@pytest.mark.parametrize("workers", [1, 3])
def test_every_job_has_its_result(workers):
    assert sorted(processes.run(abs, range(-9, 0), workers)) == list(range(1, 10))


def test_a_process_has_one_thread():
    assert list(processes.run(os.getenv, ["OMP_NUM_THREADS"], 2)) == ["1"]


def test_an_error_does_not_wait_for_other_jobs():
    start = time.monotonic()
    with pytest.raises(TypeError):
        list(processes.run(time.sleep, [90, "x"], 2))
    assert time.monotonic() - start < 80


def test_a_job_that_kills_every_worker_is_given_up(monkeypatch):
    monkeypatch.setattr(processes, "DEATHS", 2)
    with pytest.raises(RuntimeError, match="die again and again"):
        list(processes.run(signal.raise_signal, [signal.SIGKILL], 2))
