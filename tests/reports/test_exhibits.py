"""Exhibits: what is taken out of an executed notebook, what is left out, the README's table."""

import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from s1m_lab.common import paths
from s1m_lab.reports import exhibits, stamps, suite
from s1m_lab.reports import report as reports_report

ROOT = Path(__file__).resolve().parents[2]
SHOWN = """
import sys
from pathlib import Path
from IPython.display import HTML, display
from s1m_lab.common import paths
run = paths.home() / "runs" / "pocket-slow-s0"
print(run, "and", paths.home())
display(HTML(f"<a href='{run}'>{paths.REPOSITORY}/notebooks</a> 3/4 of it, </b>/b"), run)
Path.home() / "films"
"""
WIDGET = """
import ipywidgets
display(ipywidgets.IntSlider(description="twin"))
print("the static twin")
"""


def notebook(path: Path, *code: str) -> None:
    cells = [new_markdown_cell("# T · One\n\n> What?")]
    cells.append(new_code_cell('word: str = "a"', metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(text) for text in code]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def folder(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook(tmp_path / "shown.ipynb", SHOWN, WIDGET)
    notebook(tmp_path / "rooted.ipynb", "print('/opt/private/x')")
    notebook(
        tmp_path / "large.ipynb", "import random; print(random.Random(0).randbytes(250_000).hex())"
    )
    entry = '[[report]]\nname = "{0}"\nnotebook = "{0}.ipynb"\n'
    text = "".join(entry.format(name) for name in ("shown", "rooted", "large"))
    text = text.replace('shown.ipynb"\n', f'shown.ipynb"\nparameters = {{ word = "{home}/x" }}\n')
    (tmp_path / "mine.toml").write_text(text + entry.format("late").replace("late.i", "shown.i"))
    return tmp_path


def test_an_exhibit_names_commit_machine_and_date_and_nothing_else_of_this_machine(folder, home):
    shown, rooted, large, late = suite.load(folder / "mine.toml")
    suite.run(folder / "mine.toml", 1)
    (reports_report.folder() / "late.ipynb").unlink()
    text = exhibits.exhibit(shown, "mine")
    nb = nbformat.reads(text, 4)
    nbformat.validate(nb)
    for place in (str(home), str(ROOT), str(Path.home()), "papermill", "jupyter.widget", "iopub"):
        assert place not in text.replace("# Parameters", ""), place
    said = "".join(o.get("text", "") for cell in nb.cells for o in cell.get("outputs", []))
    assert said == "runs/pocket-slow-s0 and .\nthe static twin\n"
    assert "'runs/pocket-slow-s0'>notebooks</a> 3/4 of it" in text and "~/films" in text
    assert 'word = "x"' in nb.cells[3].source, "the parameters that were given"
    (made,) = [cell.source for cell in nb.cells if cell.source.startswith("*Executed on")]
    about = stamps.read(reports_report.folder() / "shown.ipynb")
    assert about["date"][:10] in made and about["machine"] in made and "cores" in made
    assert about["commit"] and f"commit {about['commit']}" in made
    assert "trained" not in made
    for report, why in (
        (rooted, "a path of this machine"),
        (large, "not below 500"),
        (late, "out"),
    ):
        with pytest.raises(ValueError, match=why):
            exhibits.exhibit(report, "mine")
    (home / "reports" / "shown.html").unlink()
    with pytest.raises(ValueError, match="out of date"):
        exhibits.exhibit(shown, "mine")


@pytest.mark.parametrize(
    "about, said",
    [
        ((0, 0, 0.0), ""),
        ((2, 0, 0.0), ""),
        ((1, 1, 113.4), " The run that it shows had been trained before, in 113 s."),
        ((12, 12, 1234), " The 12 runs that it shows had been trained before, in 1,234 s."),
        ((3, 1, 9), " 1 of the 3 runs that it shows had been trained before, in 9 s."),
    ],
)
def test_an_exhibit_says_what_was_trained_before_it_was_executed(about, said):
    assert exhibits._trained(*about) == said
    own = dict(zip(("shown", "before", "seconds"), about, strict=True))
    known = {"date": "2026-11-23", "seconds": 6.2, "machine": "m", "version": "1", "commit": "c"}
    nb = {"metadata": {"s1m_lab": known | {"runs": own}}, "cells": []}
    (made,) = exhibits.cleaned(nb, "mine")["cells"]
    executed = "Executed on 2026-11-23 in 6 s on m, by commit c of s1m_lab 1."
    assert made["source"] == [f"*{executed}{said}*"]


@pytest.mark.parametrize(
    "text, found",
    [
        ("see /usr/lib/python3 there", ["/usr/lib/python3"]),
        ("'/etc/hosts'", ["/etc/hosts"]),
        ("https://example.org/usr/lib", []),
        ("-p video /path/to/film.mp4", []),
        ("clips/s, and/or, </usr/x>, runs/usr/lib, ../usr/lib", []),
        (r"C:\Users\me", ["C:\\Users"]),
        ("file:///usr/lib/x", ["/usr/lib/x"]),
        ("cc -I/usr/include -x", ["/usr/include"]),
        ("-L/usr/lib", ["/usr/lib"]),
        ("A=/usr/bin:/usr/lib", ["/usr/bin", "/usr/lib"]),
        ("https://example.org//usr/lib, f'{there}/usr/lib', s3://bucket/usr/lib", []),
    ],
)
def test_paths_from_the_root_are_found(text, found):
    assert exhibits._rooted(text) == found


@pytest.mark.parametrize(
    "text, left",
    [
        ("s3://bucket/data/clips and runs/data/x", "s3://bucket/data/clips and runs/data/x"),
        ("'/data/clips', /data. /data", "'clips', .. ."),
        (
            "/database/x /data-2 /data.old ~/data/x ../data",
            "/database/x /data-2 /data.old ~/data/x ../data",
        ),
        ("file:///data/clips -I/data/clips -I/data A=/data/a:/data/b", "clips -Iclips -I. A=a:b"),
        (
            "/me/films, /me and /mew, </me>, {x}/me/films",
            "~/films, ~ and /mew, </me>, {x}/me/films",
        ),
        ("/data/me/x /me/data/x /me/ ", "me/x ~/data/x ~/ "),
    ],
)
def test_a_path_is_shortened_and_what_only_looks_like_it_is_not(text, left):
    places = {"/data": "", "/me": "~"}
    assert exhibits._without_paths({"a": [text], "image/png": text}, places) == {
        "a": [left],
        "image/png": text,
    }
    assert exhibits._without_paths("/me/lab/x /me/x", {"/me": "~", "/me/lab": ""}) == "x ~/x"


def test_git_lets_exhibits_through_and_nothing_else():
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    names = ["pocket-03_slow.ipynb", "README.md", "pocket.png"]
    ignored = ["03_slow.ipynb", "03_train_slow.ipynb", "index.html", "pocket-03_slow.html"]
    ignored += [
        "pocket_classes.html",
        "08.failed.ipynb",
        ".lock",
        ".03_slow.partial/pocket-1.ipynb",
    ]
    command = ["git", "check-ignore", "--no-index", *(f"reports/{n}" for n in names + ignored)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [f"reports/{name}" for name in ignored]


def rows() -> pd.DataFrame:
    """Two rows of Table 1, one of them without runs, and one of features, without clips."""
    none = dict.fromkeys(["clip_hit1", "video_hit1", "video_hit5", "seconds"], math.nan)
    none |= {"video_hit1_low": math.nan, "video_hit1_high": math.nan, "seeds": [], "runs": []}
    theirs = {"clip_hit1_paper": 0.411, "video_hit1_paper": 0.593, "video_hit5_paper": 0.777}
    ours = {"clip_hit1": 0.6317, "video_hit1": 0.84439, "video_hit5": 1.0, "seconds": 52.4}
    ours |= {"video_hit1_low": 0.8, "video_hit1_high": 0.88888, "seeds": [0, 1, 2], "runs": ["a"]}
    table = [{"name": "Single | *frame* <b>"} | theirs | ours]
    table.append({"name": "Features"} | theirs | ours | {"clip_hit1": math.nan})
    table[1] |= {"clip_hit1_paper": math.nan, "video_hit5_paper": math.nan}
    return pd.DataFrame([*table, {"name": "Slow"} | theirs | none])


def test_the_table_is_made_of_numbers():
    lines = exhibits.readme_table(rows()).splitlines()
    assert len(lines) == 5 and {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
    assert lines[2] == (
        r"| Single \| \*frame\* &lt;b&gt; | 63.2 | 84.4 (80.0 to 88.9) | 100.0 | "
        "41.1 · 59.3 · 77.7 | 3 | 52 s |"
    )
    assert lines[3].startswith("| Features | – | 84.4 ") and "| – · 59.3 · – |" in lines[3]
    assert lines[4] == "| Slow | – | – | – | 41.1 · 59.3 · 77.7 | – | – |"


def test_the_claims_are_told_in_a_sentence():
    verdicts = ["agrees", "undecided", "disagrees", "agrees"]
    claims = pd.DataFrame({"claim": ["A is B", "C", "D", "E"], "verdict": verdicts})
    said = exhibits.readme_claims(claims)
    assert said == (
        "Of 4 claims of the paper these runs agree with 2 (*A is B*; *E*) and disagree with 1 "
        "(*D*); 1 undecided."
    )
    said = exhibits.readme_claims(claims.assign(verdict="undecided"))
    assert said.endswith("agree with 0 and disagree with 0; 4 undecided.")


@pytest.fixture
def repository(folder, small_home, home):
    """A repository beside a suite whose `09_results` counts the two small runs."""
    shutil.copytree(small_home / "data", home / "data")
    shutil.copytree(small_home / "runs", home / "runs")
    repository = folder / "repository"
    (repository / "reports").mkdir(parents=True)
    (repository / "README.md").write_text("before\n\n" + "\n".join(exhibits.MARKS) + "\n\nafter\n")
    notebook(folder / exhibits.RESULTS)
    nb = nbformat.read(folder / exhibits.RESULTS, 4)
    nb.cells[1].source += '\ndata: str = "pocket"\nseed: int = 0\nruns: str = ""'
    nbformat.write(nb, folder / exhibits.RESULTS)
    text = f'[[report]]\nname = "sum"\nnotebook = "{exhibits.RESULTS}"\nlast = true\n'
    with open(folder / "mine.toml", "a") as file:
        file.write(text)
    return repository


def test_make_exhibits_writes_the_readme_and_what_is_small(folder, repository, home, capsys):
    exhibit = {"metadata": {"s1m_lab": {"suite": "mine"}}}
    (repository / "reports" / "mine-gone.ipynb").write_text(json.dumps(exhibit))
    exhibit["metadata"]["s1m_lab"]["suite"] = "mine-large"
    (repository / "reports" / "mine-large-gone.ipynb").write_text(json.dumps(exhibit))
    (repository / "reports" / "mine-notes.ipynb").write_text("{}")
    suite.run(folder / "mine.toml", 1)
    (reports_report.folder() / "late.ipynb").unlink()
    capsys.readouterr()
    assert exhibits.write(folder / "mine.toml", repository) == 3
    said = capsys.readouterr().out
    assert "written   mine-shown.ipynb" in said and "left out  late: it is missing" in said
    there = {path.name for path in (repository / "reports").iterdir()}
    others = {"mine-large-gone.ipynb", "mine-notes.ipynb"}
    assert there == {"mine-shown.ipynb", "mine-sum.ipynb"} | others
    readme = repository / "README.md"
    text = readme.read_text("utf-8")
    before, _, rest = text.partition(exhibits.MARKS[0])
    table, _, after = rest.partition(exhibits.MARKS[1])
    assert (before, after) == ("before\n\n", "\n\nafter\n")
    for name, title in (("small", "Slow fusion"), ("small_single", "Single-frame")):
        results = json.loads((home / "runs" / name / "results.json").read_text())
        (line,) = [line for line in table.splitlines() if line.startswith(f"| {title} |")]
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        ours = [f"{100 * results[key]:.1f}" for key in ("clip_hit1", "video_hit1", "video_hit5")]
        assert [cells[1], cells[2].split()[0], cells[3]] == ours
        assert cells[5:] == ["1", f"{results['seconds']:,.0f} s"]
    about = stamps.read(reports_report.folder() / "sum.ipynb")
    made = f"[sum](reports/mine-sum.ipynb), executed on {about['date'][:10]} on {about['machine']}"
    assert f"{made}: 2 runs on `pocket`, trained on cpu" in table
    assert re.search(r"Of 13 claims of the paper these runs agree with \d+", table)
    exhibits.write(folder / "mine.toml", repository)
    assert readme.read_text("utf-8") == text, "written twice, the same"


def test_the_readme_keeps_its_table_where_the_results_are_no_exhibit(folder, repository, home):
    readme, file = repository / "README.md", folder / "mine.toml"
    suite.run(file, 1)
    text = readme.read_text("utf-8")
    shutil.copytree(home / "runs" / "small", home / "runs" / "by_hand")
    exhibits.write(file, repository)
    assert readme.read_text("utf-8") == text, "a run that 09 has not seen"
    shutil.rmtree(home / "runs" / "by_hand")
    notebook(folder / "alone.ipynb")
    (folder / "none.toml").write_text('[[report]]\nname = "alone"\nnotebook = "alone.ipynb"\n')
    suite.run(folder / "none.toml", 1)
    assert exhibits.write(folder / "none.toml", repository) == 0
    assert readme.read_text("utf-8") == text, "a suite without data, and without results"
    for old in (repository / "reports").iterdir():
        old.unlink()
    readme.write_text("no place")
    with pytest.raises(ValueError, match="has no place for results"):
        exhibits.write(file, repository)
    assert not list((repository / "reports").iterdir()), "said before anything is written"


def test_the_readme_has_a_place_for_results():
    text = (ROOT / "README.md").read_text("utf-8")
    assert [text.count(mark) for mark in exhibits.MARKS] == [1, 1]
    assert text.index(exhibits.MARKS[0]) < text.index(exhibits.MARKS[1])
    assert paths.REPOSITORY == ROOT and os.path.isfile(ROOT / "notebooks" / "pocket.toml")


OPTIONAL = "06_ucf101.ipynb"  # the notebook whose report need not be an exhibit


def test_every_report_of_the_suite_that_can_be_has_its_exhibit():
    there = {path.name for path in (ROOT / "reports").glob("pocket-*.ipynb")}
    listed = suite.load(ROOT / "notebooks" / "pocket.toml")
    wanted = {f"pocket-{report.name}.ipynb" for report in listed}
    optional = {f"pocket-{r.name}.ipynb" for r in listed if r.notebook.name == OPTIONAL}
    assert wanted - optional - there == set(), "no exhibit: make reports, then make exhibits"
    assert there - wanted == set(), "exhibits of no report"


def test_committed_exhibits_are_small_and_of_no_machine():
    committed = sorted((ROOT / "reports").glob("pocket-*.ipynb"))
    assert committed
    for path in committed:
        text = path.read_text("utf-8")
        nb = json.loads(text)
        assert len(text.encode()) < exhibits.LARGEST, path.name
        assert not exhibits._rooted("\n".join(stamps.texts(nb["cells"]))), path.name
        assert "papermill" not in nb["metadata"], path.name
        assert nb["metadata"]["s1m_lab"]["suite"] == "pocket", path.name
        assert "*Executed on" in "".join(nb["cells"][1]["source"]), path.name
