"""A home that cannot be written: all that only reads works."""

import subprocess

import pytest
from fault_lab import call, contents
from trials import Trial

HARM = "home read-only"
DRAW = "from s1m_lab.figures import overlay\nseen = overlay.draw([run], film)"
READERS = {
    "run": "print(run.config, run.results, run.labels, run.metrics)",
    "predictions": "print(load_predictions(run).video_probabilities.sum())",
    "clips": "print(Shards(folder / 'clips', 'test').read(0, [0], range(16)).sum())",
    "catalog": "print(len(load_catalog(folder)), load_statuses(folder))",
    "network": "from s1m_lab.training import runs\nprint(runs.load_network(run))",
    "filters": "from s1m_lab.analysis import filters\nprint(len(filters.filters_by_step(run)))",
    "finished training": "print(train(config).results)",
    "labels of new videos": "print(predict_videos(run, [film]))",
    "overlay": f"{DRAW}\nassert len(seen.table)",
    "results": "from s1m_lab.analysis import run_groups\n"
    "print(collect(run_groups.find(run.config['settings']['data'])))",
}
CODE = """
from pathlib import Path
from s1m_lab.common import paths
from s1m_lab import TrainConfig, load_run, load_predictions, load_catalog, load_statuses, Shards
from s1m_lab import train, predict_videos, collect
film = Path({films!r}) / "rising" / "0.mp4"
folder, run = paths.dataset({films!r}), load_run("done")
config = TrainConfig({films!r}, run="done", epochs=40, batch_size=6, width=0.0625, size=43)
"""


@pytest.fixture(scope="module")
def home(lab, tmp_path_factory):
    """The home of the lab, with an overlay, mounted so that nobody can write it."""
    place = tmp_path_factory.mktemp("home")
    written, home = lab.copy(place / "written", runs=True), place / "read-only"
    home.mkdir()
    done = call(written, CODE.format(films=str(lab.films)) + DRAW + "\n")
    assert done.status == 0, done.out
    done = subprocess.run(["mount", "--bind", written, home], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        yield home
    finally:
        subprocess.run(["umount", "--lazy", home], check=True)


@pytest.mark.trials(["run", "predictions", "finished training"], list(READERS))
def test_what_only_reads_needs_no_room(trial, home, lab, count, once):
    once(HARM, trial)
    before = contents(home)
    done = call(home, CODE.format(films=str(lab.films)) + READERS[trial] + "\n")
    said = done.said[:200]
    same = contents(home) == before
    count(Trial(HARM, trial, 1, done.status == 0 and done.in_words, lost=not same, said=said))
