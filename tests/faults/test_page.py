"""The table of docs/faults.md is that of the figures, and counts rightly."""

import json

import pytest
import trials
from trials import Tally, Trial


def test_the_page_has_the_figures_of_the_last_run():
    if not trials.FIGURES.is_file():
        pytest.skip("the long form has not run yet: make faults")
    about = json.loads(trials.FIGURES.read_text("utf-8"))
    page = trials.PAGE.read_text("utf-8")
    assert trials.fill(page, about) == page, "make faults"
    assert all(harm in page for harm in trials.HARMS)


def test_a_tally_counts_and_forgets_what_failed(tmp_path):
    tally = Tally(tmp_path / "faults.json")
    tally.add(Trial("disk full", "one", survived=True, noticed=True, healed=True, seconds=[2.04]))
    tally.add(Trial("training killed", "run 0", 5, 5, healed=4, lost=1, seconds=[9]))
    again = Tally(tmp_path / "faults.json")
    assert again.has("disk full", "one") and not again.has("training killed", "run 0")
    again.add(Trial("training killed", "run 0", 5, 5, healed=5, seconds=[7, 8, 3]))
    about = json.loads((tmp_path / "faults.json").read_text("utf-8"))
    table = trials.table(about)
    assert "| training killed | 5 | 5 | – | 5 | 0 | 7.0 |" in table
    assert "| disk full | 1 | 1 | 1 | 1 | 0 | 2.0 |" in table
