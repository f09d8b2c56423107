"""Fixtures for the tests, and a home of their own for tests and notebooks alike.

It stands at the root because `pytest --nbmake notebooks` reads it too: kernels inherit the
environment, so every notebook under test finds its data, runs and reports in a temporary home.
"""

import os
import tempfile
from pathlib import Path

import pytest


def pytest_configure(config):
    """Send what a test or a notebook under test writes to a home that ends with the session."""
    folder = tempfile.TemporaryDirectory(prefix="s1m tests ", ignore_cleanup_errors=True)
    os.environ["S1M_HOME"] = folder.name  # with a space in it: paths must survive that
    os.environ["MPLBACKEND"] = "agg"
    import s1m_lab  # noqa: F401  before torch, which tests import first: it says how threads wait

    config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items):
    """Notebooks under test find small pocket datasets in that home, and two small runs."""
    if any(getattr(item, "nbmake", False) for item in items):
        make_small()


def make_small() -> None:
    """In the home of now: `pocket` and `pocket101` in small, and two runs on the first, `small` and
    `small_single`."""
    from s1m_lab.data import datasets
    from s1m_lab.pocket import activities
    from s1m_lab.training import train
    from s1m_lab.training.config import TrainConfig

    datasets.make_pocket(videos=128)
    activities.make(groups=4)
    for name, model in (("small", "slow"), ("small_single", "single")):
        train.train(TrainConfig(model=model, epochs=1, size=56, width=0.1, run=name))


@pytest.fixture(scope="session")
def small_home(tmp_path_factory) -> Path:
    """A home with that dataset and those runs, made once; a test that writes takes a copy."""
    folder, before = tmp_path_factory.mktemp("small") / "home", os.environ["S1M_HOME"]
    os.environ["S1M_HOME"] = str(folder)
    try:
        make_small()
    finally:
        os.environ["S1M_HOME"] = before
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty `S1M_HOME` for one test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("S1M_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real videos and lists named by `S1M_REAL_DATA`; the test skips without one."""
    folder = os.environ.get("S1M_REAL_DATA", "")
    if not folder:
        pytest.skip("S1M_REAL_DATA does not name a folder of real videos")
    if not Path(folder).is_dir():
        pytest.fail(f"S1M_REAL_DATA names {folder}, which is not a folder")
    return Path(folder).resolve()
