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
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from s1m_lab.common import paths
from s1m_lab.reports import exhibits, suite

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
LARGE = "import random; print(random.Random(0).randbytes(250_000).hex())"
ENTRY = '[[report]]\nname = "{0}"\nnotebook = "{1}.ipynb"\n'


def notebook(path: Path, *code: str, more: str = "") -> None:
    cells = [new_markdown_cell("# T · One\n\n> What?")]
    cells.append(new_code_cell(f'word: str = "a"{more}', metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(text) for text in code]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_home):
    """A suite that was made in a home with two small runs; its report `late` is missing."""
    folder = tmp_path_factory.mktemp("exhibits")
    shutil.copytree(small_home / "data", folder / "home" / "data")
    shutil.copytree(small_home / "runs", folder / "home" / "runs")
    notebook(folder / "shown.ipynb", SHOWN, WIDGET)
    notebook(folder / "rooted.ipynb", "print('/opt/private/x')")
    notebook(folder / "large.ipynb", LARGE)
    more = '\ndata: str = "pocket"\nseed: int = 0\nruns: str = ""'
    notebook(folder / exhibits.RESULTS, more=more)
    text = ENTRY.format("shown", "shown") + f'parameters = {{ word = "{folder}/home/x" }}\n'
    text += "".join(ENTRY.format(name, name) for name in ("rooted", "large"))
    text += ENTRY.format("sum", "09_results") + "last = true\n"
    (folder / "mine.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S1M_HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", str(ROOT))
        ended = suite.run(folder / "mine.toml", 1)
    assert {how.status for how in ended.values()} == {"made"}
    (folder / "mine.toml").write_text(text + ENTRY.format("late", "shown"))
    return folder


@pytest.fixture
def folder(made, monkeypatch):
    """The folder of that suite, whose home is `S1M_HOME`."""
    monkeypatch.setenv("S1M_HOME", str(made / "home"))
    return made


def test_an_exhibit_names_commit_machine_and_date_and_nothing_else_of_this_machine(folder):
    reports = {report.name: report for report in suite.load(folder / "mine.toml")}
    home = folder / "home"
    text = exhibits.exhibit(reports["shown"])
    nb = nbformat.reads(text, 4)
    nbformat.validate(nb)
    for place in (str(home), str(ROOT), str(Path.home()), "papermill", "jupyter.widget", "iopub"):
        assert place not in text.replace("# Parameters", ""), place
    said = "".join(o.get("text", "") for cell in nb.cells for o in cell.get("outputs", []))
    assert said == "runs/pocket-slow-s0 and .\nthe static twin\n"
    assert "'runs/pocket-slow-s0'>notebooks</a> 3/4 of it" in text and "~/films" in text
    assert 'word = "x"' in nb.cells[3].source, "the parameters that were given"
    (made,) = [cell.source for cell in nb.cells if cell.source.startswith("*Executed on")]
    about = suite.metadata(home / "reports" / "shown.ipynb")
    assert about["date"][:10] in made and about["machine"] in made and "cores" in made
    assert about["commit"] and f"commit {about['commit']}" in made
    for name, why in (("rooted", "a path of this machine"), ("large", "not below 500")):
        with pytest.raises(ValueError, match=why):
            exhibits.exhibit(reports[name])
    with pytest.raises(ValueError, match=r"missing or out of date \(new\)"):
        exhibits.exhibit(reports["late"])


def notebook_of(text: str) -> nbformat.NotebookNode:
    """An executed notebook with a text in its source and in two outputs, and as a picture."""
    data = {"text/html": text, "image/png": text}
    outputs = [new_output("stream", text=text), new_output("display_data", data=data)]
    about = dict.fromkeys(exhibits.KEPT, "2026") | {"seconds": 1.0}
    nb = new_notebook(cells=[new_code_cell(text, outputs=outputs)])
    nb.metadata["s1m_lab"] = about
    return nb


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
        ("A=/usr/bin:/usr/lib", ["/usr/bin", "/usr/lib"]),
        ("https://example.org//usr/lib, f'{there}/usr/lib', s3://bucket/usr/lib", []),
    ],
)
def test_paths_from_the_root_are_found(text, found):
    nb = notebook_of("")
    assert exhibits.machine_paths(nb) == []
    nb.cells[0].outputs[1].data["image/png"] = text
    assert exhibits.machine_paths(nb) == [], "a picture names no path"
    nb.cells[0].outputs[1].data["text/html"] = text
    assert exhibits.machine_paths(nb) == found
    assert exhibits.machine_paths(notebook_of(text)) == found * 3


@pytest.mark.parametrize(
    "text, left",
    [
        ("s3://bucket/data/clips and runs/data/x", "s3://bucket/data/clips and runs/data/x"),
        ("'/data/clips', /data. /data", "'clips', .. ."),
        ("/database/x /data-2 /data.old ~/data/x ../data",) * 2,
        ("file:///data/clips A=/data/a:/data/b", "clips A=a:b"),
        ("/me/films, /me and /mew, </me>, {x}/me/f", "~/films, ~ and /mew, </me>, {x}/me/f"),
        ("/data/me/x /me/data/x /me/ /me/lab/x", "me/x ~/data/x ~/ x"),
    ],
)
def test_a_path_is_shortened_and_what_only_looks_like_it_is_not(text, left, monkeypatch):
    monkeypatch.setattr(paths, "REPOSITORY", Path("/me/lab"))
    monkeypatch.setattr(paths, "home", lambda: Path("/data"))
    monkeypatch.setattr(Path, "home", lambda: Path("/me"))
    assert exhibits.shortened(text) == left
    cell = exhibits.cleaned(notebook_of(text)).cells[0]
    assert cell.source == cell.outputs[0].text == cell.outputs[1].data["text/html"] == left
    assert cell.outputs[1].data["image/png"] == text


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
    table = [{"name": "Single-frame"} | theirs | ours]
    table.append({"name": "Features"} | theirs | ours | {"clip_hit1": math.nan})
    table[1] |= {"clip_hit1_paper": math.nan, "video_hit5_paper": math.nan}
    return pd.DataFrame([*table, {"name": "Slow"} | theirs | none])


def test_the_table_is_made_of_numbers():
    lines = exhibits.readme_table(rows()).splitlines()
    assert len(lines) == 5 and {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
    assert lines[2] == (
        "| Single-frame | 63.2 | 84.4 (80.0 to 88.9) | 100.0 | 41.1 · 59.3 · 77.7 | 3 | 52 s |"
    )
    assert lines[3].startswith("| Features | – | 84.4 ") and "| – · 59.3 · – |" in lines[3]
    assert lines[4] == "| Slow | – | – | – | 41.1 · 59.3 · 77.7 | – | – |"


def test_the_claims_are_told_in_a_sentence():
    verdicts = ["agrees", "undecided", "disagrees", "agrees"]
    claims = pd.DataFrame({"claim": ["A is B", "C", "D", "E"], "verdict": verdicts})
    said = exhibits.readme_claims(claims)
    assert said == (
        "Of 4 claims of the paper these runs agree with 2 (*A is B*; *E*) and disagree with 1 "
        "(*D*); 1 are undecided."
    )
    said = exhibits.readme_claims(claims.assign(verdict="undecided"))
    assert said.endswith("agree with 0 and disagree with 0; 4 are undecided.")


@pytest.fixture
def repository(tmp_path):
    """A repository with a place for results."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "README.md").write_text("before\n\n" + "\n".join(exhibits.MARKS) + "\n\nafter\n")
    return tmp_path


def test_make_exhibits_writes_the_readme_and_what_is_small(folder, repository, capsys):
    home = folder / "home"
    (repository / "reports" / "mine-notes.ipynb").write_text("{}")
    assert exhibits.write(folder / "mine.toml", repository) == 3
    said = capsys.readouterr().out
    assert "written   mine-shown.ipynb" in said and "left out  late: it is missing" in said
    there = {path.name for path in (repository / "reports").iterdir()}
    assert there == {"mine-shown.ipynb", "mine-sum.ipynb", "mine-notes.ipynb"}
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
    about = suite.metadata(home / "reports" / "sum.ipynb")
    made = f"[sum](reports/mine-sum.ipynb), executed on {about['date'][:10]} on {about['machine']}"
    assert f"{made}: 2 runs on `pocket`, trained on cpu" in table
    assert re.search(r"Of 13 claims of the paper these runs agree with \d+", table)
    exhibits.write(folder / "mine.toml", repository)
    assert readme.read_text("utf-8") == text, "written twice, the same"


def test_the_readme_keeps_its_table_where_the_results_are_no_exhibit(folder, repository):
    readme = repository / "README.md"
    text, by_hand = readme.read_text("utf-8"), folder / "home" / "runs" / "by_hand"
    shutil.copytree(folder / "home" / "runs" / "small", by_hand)
    try:
        assert exhibits.write(folder / "mine.toml", repository) == 4
    finally:
        shutil.rmtree(by_hand)
    assert readme.read_text("utf-8") == text, "a run that the report of 09 does not show"
    for old in (repository / "reports").iterdir():
        old.unlink()
    readme.write_text("no place")
    with pytest.raises(ValueError, match="has no place for results"):
        exhibits.write(folder / "mine.toml", repository)
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
        assert not exhibits.machine_paths(nbformat.reads(text, 4)), path.name
        assert "papermill" not in nb["metadata"], path.name
        assert "*Executed on" in "".join(nb["cells"][1]["source"]), path.name
