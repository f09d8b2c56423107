"""The long form of the fault suite, and what it counts."""

import json

import pytest
import trials
from fault_lab import Lab, call, make_films


def pytest_addoption(parser):
    parser.addoption(
        "--long", action="store_true", help="the fault suite's long form (make faults)"
    )


def is_long(config) -> bool:
    return config.getoption("--long", False)


def pytest_generate_tests(metafunc):
    """A test marked `trials(short, long)` gets that many trials by number, or the trials listed."""
    if marker := metafunc.definition.get_closest_marker("trials"):
        chosen = marker.args[is_long(metafunc.config)]
        chosen = range(chosen) if isinstance(chosen, int) else chosen
        metafunc.parametrize("trial", chosen, ids=str)


@pytest.fixture(scope="session")
def long(request) -> bool:
    return is_long(request.config)


def pytest_runtest_logreport(report):
    """The tests of test_strangers.py count themselves."""
    if "test_strangers.py" in report.nodeid and report.when == "call" and not report.skipped:
        _strangers.append(report.passed)


_strangers: list[bool] = []


@pytest.fixture(scope="session")
def tally(long, tmp_path_factory):
    """What the trials count into; the long form's is resumed, and written into the page."""
    tally = trials.Tally(trials.FIGURES if long else tmp_path_factory.getbasetemp() / "faults.json")
    yield tally
    if _strangers:
        tried, well = len(_strangers), sum(_strangers)
        tally.add(trials.Trial("strangers", "all", tried, well, well))
    if long and tally.trials:
        about = json.loads(trials.FIGURES.read_text("utf-8"))
        trials.PAGE.write_text(trials.fill(trials.PAGE.read_text("utf-8"), about), "utf-8")


@pytest.fixture
def count(tally):
    """Count a trial, and fail unless all went well in it."""

    def count(trial: trials.Trial) -> None:
        tally.add(trial)
        assert trial.good, trial

    return count


@pytest.fixture
def once(tally):
    """Skip a trial that an earlier session has made."""

    def once(harm: str, name: str) -> None:
        if tally.has(harm, name):
            pytest.skip("made before")

    return once


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Two classes of twelve films each."""
    return make_films(tmp_path_factory.mktemp("films") / "films")


@pytest.fixture(scope="session")
def lab(films, tmp_path_factory) -> Lab:
    """The films, and a home with their clips and a finished run; writers take a copy."""
    lab = Lab(films, tmp_path_factory.mktemp("lab") / "home")
    lab.home.mkdir()
    for words in (lab.ingest(), lab.train("done")):
        done = call(lab.home, *words)
        assert done.status == 0, done.out
    return lab
