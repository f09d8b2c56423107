"""A suite of small notebooks, run once by real kernels: how each ends, and what is made again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from s1m_lab import __main__, models
from s1m_lab.common.files import record
from s1m_lab.reports import html, suite
from s1m_lab.video import writer

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=alert(1)>&\u202e`[x](y)"
FIGURE = """
import io
import numpy as np
from IPython.display import Image, display
from PIL import Image as Picture
file = io.BytesIO()
Picture.fromarray(np.full((90, 300, 3), 200, np.uint8)).save(file, "png")
display(Image(file.getvalue()))
"""
GROWS = [
    "from s1m_lab.data import datasets\nfrom s1m_lab.data.ingest import prepare",
    "clips = datasets.listed(data) / 'clips/index.parquet'\nprint('clips:', clips.is_file())",
    "prepare.prepare(data, 1, 48, workers=1)",
]
SUITE = """
[[report]]
name = "good"
notebook = "good.ipynb"
parameters = { word = "first" }
[[report]]
name = "evil"
notebook = "evil.ipynb"
parameters = { word = 'HOSTILE' }
runs = ["run-[ab]"]
[[report]]
name = "bad"
notebook = "bad.ipynb"
[[report]]
name = "child"
notebook = "good.ipynb"
after = ["bad"]
[[report]]
name = "grows"
notebook = "grows.ipynb"
parameters = { data = "FILMS" }
[[report]]
name = "sum"
notebook = "good.ipynb"
after = []
last = true
[figures]
"good.ipynb" = ["figure"]
"""


def notebook(path: Path, *code: str, title: str = "T · One", more: str = "") -> None:
    """A notebook with the parameters `word` and `seconds` and `more`, each bit of code a cell."""
    defaults = f'word: str = "a"  # any\nseconds: float = 0.0{more}'
    cells = [new_markdown_cell(f"# {title}\n\n> What is it? Nothing.")]
    cells.append(new_code_cell(defaults, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(text) for text in code]
    cells[-1]["id"] = "figure"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def film(path: Path) -> None:
    writer.encode(path, (np.full((48, 48, 3), k, np.uint8) for k in range(20)))


def write_notebooks(folder: Path) -> Path:
    """The notebooks of `SUITE`, its file, and the films that one of them reads."""
    folder.mkdir()
    notebook(folder / "good.ipynb", "import time; time.sleep(seconds); print(word)", FIGURE)
    notebook(folder / "evil.ipynb", "print(word)", FIGURE, title=HOSTILE)
    notebook(folder / "bad.ipynb", f"print(1)\nraise ValueError('first\\n{HOSTILE}')", "print(2)")
    notebook(folder / "grows.ipynb", *GROWS, more='\ndata: str = ""')
    for n in range(9):
        film(folder / "films" / "ab"[n % 2] / f"{n}.mp4")
    text = SUITE.replace("HOSTILE", HOSTILE).replace("FILMS", str(folder / "films"))
    (folder / "s.toml").write_text(text, "utf-8")
    return folder / "s.toml"


def write_runs(home: Path) -> None:
    results = {"model": "slow", "data": "pocket", "seed": 0, "clip_hit1": 0.5, "videos": 392}
    results["classes"] = 16
    config = {"settings": {"model": "slow"}, "machine": {}}
    for name, hit, more in (
        ("run-a", 0.5, {"clip_hit1": None, "model": HOSTILE}),
        ("run-b", 0.9, {"seconds": 100.0}),
        ("run-c", 0.09, {"seconds": 9.5, "commit": HOSTILE}),
    ):
        (home / "runs" / name).mkdir(parents=True)
        text = json.dumps(results | {"video_hit1": hit} | more)
        (home / "runs" / name / "results.json").write_text(text)
        (home / "runs" / name / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a suite (braces in its path), its home, and the command that made it."""
    root = tmp_path_factory.mktemp("suite")
    file, home = write_notebooks(root / "note {books}"), root / "home"
    write_runs(home)
    command = [sys.executable, "-m", "s1m_lab", "suite", str(file), "--workers", "1"]
    env = os.environ | {"S1M_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return root, subprocess.run(command, capture_output=True, text=True, env=env)


@pytest.fixture
def file(made, tmp_path, monkeypatch):
    """The file of that suite in a home that a test may change."""
    shutil.copytree(made[0] / "home", tmp_path / "home")
    monkeypatch.setenv("S1M_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return made[0] / "note {books}" / "s.toml"


def status(ended: dict) -> dict[str, str]:
    return {name: how.status for name, how in ended.items()}


def outdated(file: Path) -> dict[str, str]:
    """What differs, of each report that is not up to date."""
    return {r.name: why for r in suite.load(file) if (why := suite.changed(r))}


def output(name: str) -> str:
    nb = nbformat.read(suite.folder() / f"{name}.ipynb", 4)
    return "".join(o.get("text", "") for cell in nb.cells for o in cell.get("outputs", []))


ENDED = {
    "good": "made",
    "evil": "made",
    "bad": "failed",
    "child": "skipped",
    "grows": "made",
    "sum": "made",
}
NEVER_MADE = {"bad": "new", "child": "new"}


def test_a_failed_report_is_kept_and_named_and_the_others_go_on(made, file):
    done, out = made[1], made[0] / "home" / "reports"
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("reports ")]
    assert {line.split()[1]: line.split()[0] for line in lines[:6]} == ENDED
    by_name = {line.split()[1]: line for line in lines[:6]}
    assert HOSTILE in by_name["bad"] and f"({out / 'bad.failed.ipynb'})" in by_name["bad"]
    assert "it needs bad: failed" in by_name["child"] and lines[6] == str(out / "index.html")
    assert output("good") == "first\n" and output("sum") == "a\n"
    failed = nbformat.read(out / "bad.failed.ipynb", 4)
    assert "ValueError" in str(failed.cells) and (out / "bad.failed.html").is_file()
    assert not (out / "bad.ipynb").exists() and not (out / "child.ipynb").exists()
    assert not (out / ".partial").exists()
    for name in ("good", "evil", "grows", "sum"):
        assert f"<title>{name}</title>" in (out / f"{name}.html").read_text("utf-8")


def test_a_report_that_changes_its_dataset_is_made_twice(made, file):
    line = next(line for line in made[1].stdout.splitlines() if line.split()[1] == "grows")
    assert "made twice" in line and made[1].stdout.count("made twice") == 1
    assert "clips: True" in output("grows"), "it shows the dataset as it is now"


def test_metadata_names_what_a_report_was_made_of(file):
    about = suite.metadata(suite.folder() / "evil.ipynb")
    assert about["runs"] == ["run-a", "run-b"] and about["suite"] == str(file)
    assert "cores" in about["machine"] and about["commit"] and 0 < about["seconds"] < 600
    assert outdated(file) == NEVER_MADE


def test_the_same_command_makes_again_only_what_failed(file, tmp_path):
    shutil.copytree(file.parent, tmp_path / "copy")
    mended = tmp_path / "copy" / "s.toml"
    notebook(mended.parent / "bad.ipynb", "print('mended')")
    ended = suite.run(mended, 1)
    assert status(ended) == dict.fromkeys(ENDED, "up to date") | {"bad": "made", "child": "made"}
    assert not list(suite.folder().glob("*.failed.*")) and output("bad") == "mended\n"
    assert outdated(mended) == {}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A copy of the lab's source, of which digests are taken."""
    shutil.copytree(suite.LIBRARY, tmp_path / "s1m_lab", ignore=shutil.ignore_patterns("__pyc*"))
    monkeypatch.setattr(suite, "LIBRARY", tmp_path / "s1m_lab")
    return tmp_path / "s1m_lab"


def test_what_makes_a_report_out_of_date(file, library):
    text, home = file.read_text("utf-8"), suite.folder().parent

    def changed(text=text):
        """The reports that are out of date beside those that were never made."""
        (file.parent / "t.toml").write_text(text, "utf-8")
        found = outdated(file.parent / "t.toml")
        assert NEVER_MADE.items() <= found.items()
        return {name: why for name, why in found.items() if name not in NEVER_MADE}

    assert changed() == {}
    assert changed(text=text.replace('"first"', '"other"')) == {"good": "changed: parameters"}
    after = text.replace('name = "evil"', 'name = "evil"\nafter = ["good"]')
    assert changed(text=after) == {"evil": "changed: reports it needs"}
    run = home / "runs" / "run-a" / "results.json"
    run.write_text(run.read_text().replace("0.5", "0.6"))
    assert changed() == {"evil": "changed: runs"}
    shutil.rmtree(run.parent)
    assert changed() == {"evil": "changed: runs"}
    (home / "runs" / "run-c" / "results.json").write_text("{}")
    assert changed() == {"evil": "changed: runs"}, "no report shows run-c"
    (suite.folder() / "good.html").unlink()
    assert changed()["good"] == "new"
    nb = nbformat.read(suite.folder() / "sum.ipynb", 4)
    del nb.metadata["s1m_lab"]["inputs"]
    nbformat.write(nb, suite.folder() / "sum.ipynb")
    record(suite.folder() / "sum.ipynb")
    assert changed()["sum"] == "made by an older lab"
    damaged = suite.folder() / "evil.ipynb"
    damaged.write_bytes(damaged.read_bytes().replace(b"What is it", b"What is ot"))
    assert changed()["evil"] == "evil.ipynb damaged, or changed by hand"
    page = suite.folder() / "grows.html"
    page.write_bytes(page.read_bytes()[:-100])
    assert changed()["grows"] == "grows.html damaged, or changed by hand"
    html.html(page.with_suffix(".ipynb"))
    assert "grows" not in changed(), "the command `report` may make it again"
    with open(library / "reports" / "index.html", "a") as template:
        template.write("<!-- changed -->")
    assert changed()["grows"] == "changed: library"


def test_only_the_text_of_cells_counts_of_a_notebook(file, tmp_path):
    shutil.copytree(file.parent, tmp_path / "copy")
    path = tmp_path / "copy" / "good.ipynb"
    nb = nbformat.read(path, 4)
    nb.metadata["editor"] = "another"
    nb.cells[-1].outputs = [nbformat.v4.new_output("stream", text="seen")]
    nbformat.write(nb, path)
    assert outdated(tmp_path / "copy" / "s.toml") == NEVER_MADE
    nb.cells[-1].source += "\n# more"
    nbformat.write(nb, path)
    found = outdated(tmp_path / "copy" / "s.toml")
    assert found["good"] == found["sum"] == "changed: notebook"


def test_a_report_is_out_of_date_when_its_videos_have_changed(file, tmp_path):
    new = file.parent / "films" / "a" / "new.mp4"
    film(new)
    try:
        assert outdated(file) == NEVER_MADE | {"grows": "changed: dataset"}
    finally:
        new.unlink()


def test_the_folds_of_a_dataset_count_with_it(home):
    digests = {suite._dataset("ucf")}
    for fold in (1, 2):
        (home / "data" / f"ucf-fold{fold}").mkdir(parents=True)
        (home / "data" / f"ucf-fold{fold}" / "catalog.parquet").write_bytes(b"as it is")
        digests.add(suite._dataset("ucf"))
    assert len(digests) == 3


@pytest.mark.parametrize(
    "values, named",
    [
        ({"data": "pocket", "seed": 1, "model": "slow", "run": ""}, ["pocket-slow-s1-*"]),
        ({"data": "pocket", "seed": 1, "model": "slow", "run": "mine"}, ["mine"]),
        ({"data": "pocket", "run": "", "versus": "other"}, ["other"]),
        ({"data": "pocket", "runs": ""}, ["*"]),
        ({"data": "pocket", "runs": "a, b"}, ["a", "b"]),
        ({"word": "a"}, []),
    ],
)
def test_the_parameters_of_a_report_name_its_runs(values, named):
    assert suite._named_runs(values) == named


def test_the_default_run_is_found_by_its_name():
    """The pattern of a report fits the name that `train` makes of the settings."""
    from s1m_lab.training.runs import default_name

    name = default_name({"data": "pocket", "model": "slow", "seed": 1, "lr": 0.1})
    (pattern,) = suite._named_runs({"data": "pocket", "model": "slow", "seed": 1, "run": ""})
    assert Path(name).match(pattern)


def gone(process: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_it_leaves_no_kernel_and_resumes(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    sign = tmp_path / "kernel"
    code = f"from pathlib import Path\nimport os, time\nsign = Path({str(sign)!r})\n"
    code += "first = not sign.exists()\nsign.write_text(str(os.getpid()))\n"
    notebook(tmp_path / "good.ipynb", "print(word)")
    notebook(tmp_path / "long.ipynb", code + "time.sleep(99 * first)\nprint('whole')")
    file, entry = tmp_path / "s.toml", '[[report]]\nname = "{0}"\nnotebook = "{0}.ipynb"\n'
    file.write_text(entry.format("good") + entry.format("long"))
    process = subprocess.Popen([sys.executable, "-m", "s1m_lab", "suite", str(file), "--workers=1"])
    end = time.monotonic() + 120
    while not (sign.exists() and sign.read_text()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(int(sign.read_text()), 20), "the kernel outlived its suite"
    assert not (suite.folder() / "long.ipynb").exists()
    assert (suite.folder() / "index.html").is_file(), "written with every report"
    assert status(suite.run(file, 1)) == {"good": "up to date", "long": "made"}
    assert output("long") == "whole\n"


def test_one_training_at_a_time_beside_what_does_not_train(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    log = tmp_path / "log.txt"
    code = f"import ipykernel, time\nlog = open({str(log)!r}, 'a', buffering=1)\n"
    code += "transport = ipykernel.get_connection_info(unpack=True)['transport']\n"
    code += "log.write(f'{word} {time.time()} {transport}\\n')\ntime.sleep(seconds)\n"
    notebook(tmp_path / "log.ipynb", code + "log.write(f'{word} {time.time()} {transport}\\n')")
    entry = '[[report]]\nname = "{0}"\nnotebook = "log.ipynb"\ntrains = {1}\n'
    entry += 'parameters = {{ word = "{0}", seconds = {2} }}\n'
    three = ("train1", "true", 6.0), ("train2", "true", 0.1), ("other", "false", 0.1)
    (tmp_path / "s.toml").write_text("".join(entry.format(*each) for each in three))
    assert set(status(suite.run(tmp_path / "s.toml", 2)).values()) == {"made"}
    times: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        word, when, transport = line.split()
        times.setdefault(word, []).append(float(when))
        assert transport == "ipc" or os.name != "posix", "no port that another process can take"
    assert times["train1"][1] < times["train2"][0]
    assert times["other"][0] < times["train1"][1], "it ran beside the training"


@pytest.mark.parametrize(
    "text, said",
    [
        ("[[report]", "is not a TOML file: Expected ']]'"),
        ("reports = 1", "no entry is called 'reports'; the nearest is 'report'"),
        ("report = [1]", "a list of [[report]]"),
        ("", "a list of [[report]]"),
        ("GOOD\n[figures]\n'good.ipynb' = 1", "must be of type list"),
        ("[[report]]\nnoteboook = 1", "no entry is called 'noteboook'; the nearest is 'notebook'"),
        ('[[report]]\nname = "../x"', "a name is unique, of letters"),
        ('[[report]]\nname = "x"\nnotebook = "gone.ipynb"', "the nearest is 'good.ipynb'"),
        ('[[report]]\nname = "x"', "there is no notebook"),
        ('[[report]]\nname = "x"\nnotebook = "odd.json"', "odd.json is not a notebook"),
        ('GOOD\nparameters = { wrod = "b" }', "no parameter 'wrod'; the nearest is 'word'"),
        ('GOOD\nafter = ["later"]', "after 'later', but no report above"),
        ('GOOD\ntrains = "yes"', "trains must be of type bool"),
        ("GOOD\nGOOD", "a name is unique"),
    ],
)
def test_what_is_wrong_in_a_suite_is_said_before_anything_runs(home, tmp_path, text, said):
    notebook(tmp_path / "good.ipynb", "1")
    (tmp_path / "odd.json").write_text("{}")
    file = tmp_path / "s.toml"
    file.write_text(text.replace("GOOD", '[[report]]\nname = "x"\nnotebook = "good.ipynb"'))
    with pytest.raises(ValueError, match=re.escape(said)) as raised:
        suite.run(file)
    assert str(file) in str(raised.value) and not suite.folder().exists()


def command(monkeypatch, *arguments) -> int | str:
    """The exit status of `python -m s1m_lab …`, run in this process, or its last words."""
    monkeypatch.setattr(sys, "argv", ["s1m_lab", *map(str, arguments)])
    try:
        return __main__.main()
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize("name", ["nofile", "", "odd.json", "letters.toml"])
def test_what_is_no_suite_ends_in_one_line(home, tmp_path, monkeypatch, capsys, name):
    (tmp_path / "odd.json").write_text("{}")
    (tmp_path / "letters.toml").write_bytes(b"\xff")
    for what in ("suite", "exhibits"):
        line = command(monkeypatch, what, tmp_path / name)
        assert str(tmp_path / name) in line and "as notebooks/pocket.toml is" in line
        assert "\n" not in line and not capsys.readouterr().out


def test_the_command_ends_with_0_1_or_130(home, monkeypatch, capsys):
    ended = {"x": suite.Ended("up to date")}
    monkeypatch.setattr(suite, "run", lambda file, workers: ended)
    assert command(monkeypatch, "suite", "s.toml") == 0
    ended["y"] = suite.Ended("skipped")
    assert command(monkeypatch, "suite", "s.toml") == 1

    def interrupted(file, workers):
        raise KeyboardInterrupt

    monkeypatch.setattr(suite, "run", interrupted)
    monkeypatch.setattr(os, "_exit", sys.exit)
    assert command(monkeypatch, "suite", "s.toml") == 130
    assert capsys.readouterr().err == "\ninterrupted; repeat the command to resume\n"


def test_the_pocket_suite_is_the_issue_of_the_paper():
    """Its seven networks, three seeds of two of them, everything else once, results last."""
    file = ROOT / "notebooks" / "pocket.toml"
    text = tomllib.loads(file.read_text("utf-8"))
    listed = text["report"]
    trained = [entry.get("parameters") for entry in listed if entry["notebook"] == "03_train.ipynb"]
    seven = {"single", "early", "late", "slow", "single-multires", "single-fovea", "single-context"}
    assert seven < set(models.NAMES)
    assert {p["model"] for p in trained if "seed" not in p} == seven and len(trained) == 11
    seeds = {(p["model"], p["seed"]) for p in trained if "seed" in p}
    assert seeds == {(model, seed) for model in ("single", "slow") for seed in (1, 2)}
    assert listed[-1] == {"name": "09_results", "notebook": "09_results.ipynb", "last": True}
    there = {path.name for path in file.parent.glob("*.ipynb")}
    wanted = {entry["notebook"] for entry in listed}
    assert wanted <= there, "the suite names notebooks that exist"
    for name in wanted:
        ids = {cell["id"] for cell in nbformat.read(file.parent / name, 4).cells}
        assert text["figures"][name] and set(text["figures"][name]) <= ids, name
    reports = {report.name: report for report in suite.load(file)}
    assert list(reports) == [entry["name"] for entry in listed]
    runs = {name: set(report.runs) for name, report in reports.items()}
    both = {"pocket-slow-s0-*", "pocket-single-s0-*"}
    assert runs["03_slow"] == {"pocket-slow-s0-*"} and runs["05_confusion"] == both
    assert runs["06_ucf101"] == {"pocket101-*", "pocket-slow-s0-*"} and runs["09_results"] == {"*"}


# ------------------------------------------------------------------------------------------- index

ORDER = "[...document.querySelectorAll('tbody th')].map(e => e.textContent).join()"
HEAD = "[...document.querySelectorAll('thead th')].find(e => e.textContent === {!r})"


@pytest.fixture(scope="module")
def page(made):
    return made[0] / "home" / "reports" / "index.html"


def test_the_index_in_a_browser(page, browser):
    browser.open(page, width=1200)
    assert browser.requests() == [{**browser.requests()[0], "url": page.as_uri()}]
    assert browser.run(ORDER) == "run-b,run-a,run-c"
    assert browser.run("document.querySelectorAll('img[onerror], main script').length") == 0
    assert "<img src=x onerror=alert(1)>" in browser.run("document.body.textContent")
    links = browser.run("[...document.querySelectorAll('tbody a')].map(e => e.href.slice(-9))")
    assert links == ["evil.html"] * 2, "no report shows run-c"
    assert browser.run("document.querySelector('#good img').naturalWidth") == 300
    failed = browser.run("document.querySelector('#bad').textContent")
    assert "failed" in failed and HOSTILE in failed
    assert "skipped" in browser.run("document.querySelector('#child').textContent")

    hit, took = HEAD.format("Video Hit@1"), HEAD.format("Training, s")
    assert browser.run(f"{hit}.getAttribute('aria-sort')") == "descending"
    browser.run(f"{hit}.querySelector('button').click()")
    assert browser.run(ORDER) == "run-c,run-a,run-b"
    browser.run(f"{took}.querySelector('button').click()")
    assert browser.run(ORDER) == "run-b,run-c,run-a", "100 above 9.5, what is not known below"
    browser.run(f"{took}.querySelector('button').click()")
    assert browser.run(ORDER) == "run-c,run-b,run-a", "what is not known stays below"
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1


def test_the_index_is_sorted_by_key(page, browser):
    browser.open(page, width=1200)
    wanted = HEAD.format("Run") + ".querySelector('button')"
    for _ in range(10):
        browser.press("Tab")
        if browser.run(f"document.activeElement === {wanted}"):
            break
    browser.press("Enter")
    assert browser.run(ORDER) == "run-a,run-b,run-c"
    browser.press(" ")
    assert browser.run(ORDER) == "run-c,run-b,run-a"


@pytest.mark.parametrize("width, scheme", [(390, "light"), (1200, "dark")])
def test_the_index_fits_and_can_be_read(page, browser, width, scheme):
    browser.open(page, width=width, scheme=scheme)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    colours = "(e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor])"
    ink, paper = browser.run(f"{colours}(document.body)")
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ink, paper)]
    assert (light[0] < 200 and light[1] > 600) == (scheme == "light")
    assert (light[0] > 600 and light[1] < 200) == (scheme == "dark")
    small = "[...document.querySelectorAll('main *')].filter(e => e.children.length == 0 && "
    small += "e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 14).length"
    assert browser.run(small) == 0
    if folder := os.environ.get("S1M_SCREENSHOTS"):
        browser.picture(Path(folder) / f"index-{width}-{scheme}.png")


BROKEN = {
    "cut": '{"model": "slow", "vid',
    "list": "[1, 2]",
    "lacks": '{"model": "slow", "data": "pocket", "seed": 0, "classes": 3}',
    "text": '{"model": "slow", "data": "pocket", "seed": 0, "classes": 3, "video_hit1": "high"}',
}


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_shown(file, capsys):
    home = suite.folder().parent
    for name, text in BROKEN.items():
        shutil.copytree(home / "runs" / "run-b", home / "runs" / name)
        (home / "runs" / name / "results.json").write_text(text)
    shutil.copytree(home / "runs" / "run-b", home / "runs" / "set")
    (home / "runs" / "set" / "config.json").write_text("{}")
    text = suite.write_index(suite.load(file), {}).read_text("utf-8")
    listed = re.findall(r'<tr><th scope="row" data-value="([\w-]+)"', text)
    assert listed == ["run-b", "run-a", "run-c"]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5
    for name in (*BROKEN, "set"):
        (line,) = [line for line in said if line.startswith(f"run {name} is left out: ")]
        place = home / "runs" / name / ("config.json" if name == "set" else "results.json")
        assert f"{place} is damaged (" in line and "repeat " in line


def test_the_index_of_nothing(home, tmp_path):
    notebook(tmp_path / "good.ipynb", "1")
    (tmp_path / "s.toml").write_text('[[report]]\nname = "x"\nnotebook = "good.ipynb"')
    text = suite.write_index(suite.load(tmp_path / "s.toml"), {}).read_text("utf-8")
    assert "No run is finished yet." in text and "not made yet" in text and "1 to come" in text


def test_the_index_keeps_the_reports_of_other_suites(file):
    """Failed ones too. A report that two suites list stands under the present one."""
    two = file.parent / "two.toml"
    entry = '[[report]]\nname = "{}"\nnotebook = "good.ipynb"\n'
    two.write_text(entry.format("good") + entry.format("new"))
    text = suite.write_index(suite.load(two), {}).read_text("utf-8")
    parts = re.split(r"<h2>Reports of <bdi>(\w+)</bdi>", text)[1:]
    cards = [re.findall(r'class="card" id="(\w+)"', part) for part in parts[1::2]]
    assert dict(zip(parts[::2], cards, strict=True)) == {
        "two": ["good", "new"],
        "s": ["bad", "evil", "grows", "sum"],
    }
    assert "6 reports" in text and "<b>1 failed</b>" in text and "onerror=alert(1)&gt;" in text
    assert str(two) in text and str(file) in text
    (suite.folder() / "evil.ipynb").unlink()
    (suite.folder() / "partial.ipynb").write_text('{"cells": [')  # papermill writes it at this time
    assert 'id="evil"' not in suite.write_index(suite.load(two), {}).read_text("utf-8")
