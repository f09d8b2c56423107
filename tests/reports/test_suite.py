"""A suite of small notebooks, run by real kernels: what becomes of each, and what is made again."""

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
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from s1m_lab import models
from s1m_lab.reports import index, report, stamps, suite

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=alert(1)>&\u202e`[x](y)"
FIGURE = """
import numpy as np
from IPython.display import Image, display
from PIL import Image as Picture
import io
file = io.BytesIO()
Picture.fromarray(np.full((90, 300, 3), 200, np.uint8)).save(file, "png")
display(Image(file.getvalue()))
"""


def notebook(path: Path, *code: str, title: str = "T · One") -> None:
    """A notebook with the parameters `word` and `seconds`, each bit of code a cell."""
    defaults = 'word: str = "a"  # any\nseconds: float = 0.0  # to wait'
    check = "from s1m_lab.reports.parameters import check\ncheck(word=str, seconds=(0.0, 99.0))"
    cells = [new_markdown_cell(f"# {title}\n\n> What is it? Nothing.")]
    cells.append(new_code_cell(defaults, metadata={"tags": ["parameters"]}))
    cells += [new_code_cell(text) for text in (check, *code)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def notebook_on_data(path: Path, *code: str) -> None:
    """One with the parameter `data` besides, that has imported `datasets` and `ingest`."""
    notebook(path, *code)
    nb = nbformat.read(path, 4)
    nb.cells[1].source += "\ndata: str = ''"
    nb.cells[
        2
    ].source = (
        "from s1m_lab.data import datasets\nfrom s1m_lab.data.ingest import prepare as ingest"
    )
    nbformat.write(nb, path)


@pytest.fixture
def folder(home, tmp_path, monkeypatch):
    """A folder of notebooks in an empty home, with braces in its path."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder = tmp_path / "note {books}"
    folder.mkdir()
    notebook(folder / "good.ipynb", "import time; time.sleep(seconds); print(word)", FIGURE)
    return folder


def written(folder: Path, text: str) -> Path:
    (folder / "s.toml").write_text(text, "utf-8")
    return folder / "s.toml"


def status(ended: dict) -> dict[str, str]:
    return {name: how.status for name, how in ended.items()}


def output(name: str) -> str:
    nb = nbformat.read(report.folder() / f"{name}.ipynb", 4)
    return "".join(o.get("text", "") for cell in nb.cells for o in cell.get("outputs", []))


THREE = """
[[report]]
name = "good"
notebook = "good.ipynb"
parameters = { word = "first" }
[[report]]
name = "bad"
notebook = "bad.ipynb"
[[report]]
name = "child"
notebook = "good.ipynb"
after = ["bad"]
[[report]]
name = "sum"
notebook = "good.ipynb"
last = true
"""


def test_a_failed_report_is_kept_and_named_and_the_others_go_on(folder):
    notebook(folder / "bad.ipynb", f"print(1)\nraise ValueError('first\\n{HOSTILE}')", "print(2)")
    file, out = written(folder, THREE), report.folder()
    command = [sys.executable, "-m", "s1m_lab", "suite", str(file), "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:4]] == [
        ["made", "good"], ["failed", "bad"], ["skipped", "child"], ["made", "sum"]
    ]  # fmt: skip
    assert HOSTILE in lines[1] and f"({out / 'bad.failed.ipynb'})" in lines[1]
    assert "it needs bad, which failed" in lines[2] and lines[4] == str(out / "index.html")
    assert output("good") == "first\n" and output("sum") == "a\n"
    failed = nbformat.read(out / "bad.failed.ipynb", 4)
    assert "ValueError" in str(failed.cells) and (out / "bad.failed.html").is_file()
    assert not (out / "bad.ipynb").exists() and not (out / "child.ipynb").exists()
    assert (out / "good.html").is_file()

    notebook(folder / "bad.ipynb", "print('mended')")
    ended = suite.run(file, 1)
    assert status(ended) == {
        "good": "as it was",
        "bad": "made",
        "child": "made",
        "sum": "as it was",
    }
    assert not list(out.glob("*.failed.*"))
    assert set(status(suite.run(file, 1)).values()) == {"as it was"}


def test_a_changed_parameter_makes_its_report_alone(folder):
    notebook(folder / "other.ipynb", "print('run-1')")
    entry = '[[report]]\nname = "{}"\nnotebook = "{}.ipynb"\nparameters = {{ word = "{}" }}\n'
    texts = [entry.format("a", "good", "x"), entry.format("b", "good", "x")]
    texts.append(entry.format("c", "other", "x") + 'after = ["b"]\n')
    run = os.environ["S1M_HOME"] + "/runs/run-1/results.json"
    os.makedirs(os.path.dirname(run))
    Path(run).write_text('{"video_hit1": 0.5}')

    def made():
        ended = status(suite.run(written(folder, "".join(texts)), 1))
        assert set(ended.values()) <= {"made", "as it was"}
        return [name for name, how in ended.items() if how == "made"]

    assert made() == ["a", "b", "c"]
    texts[0] = texts[0].replace('"x"', '"y"')
    assert made() == ["a"] and output("a") == "y\n"
    texts[1] = texts[1].replace('"x"', '"z"')
    assert made() == ["b", "c"], "c needs b"
    Path(run).write_text('{"video_hit1": 0.6}')
    assert made() == ["c"], "c has read run-1"
    (report.folder() / "a.html").unlink()
    assert made() == ["a"]
    nb = nbformat.read(folder / "good.ipynb", 4)
    nb.cells[-1].outputs = []
    nb.metadata["seen"] = True
    nbformat.write(nb, folder / "good.ipynb")
    assert made() == [], "what is no text of a cell does not count"


def test_code_is_that_of_all_modules_imported_however_far_down():
    found = stamps._library(["from s1m_lab.reports import class_page\nimport numpy"])
    assert {
        "__init__",
        "reports.class_page",
        "data.catalog",
        "common.files",
        "video.reader",
    } <= found.keys()
    assert not {"training.train", "reports.suite", "models"} & found.keys()
    assert stamps._library(["%magic"]).keys() >= {"training.train", "reports.suite"}, (
        "all, where it cannot tell"
    )
    assert stamps._library(["import os"]).keys() == {"__init__"}


@pytest.mark.parametrize(
    "text, named",
    [
        ("/home/me/runs/slow\n3 s of training", True),
        ("C:\\me\\runs\\slow", True),
        ("It is in runs/slow.", True),
        ("slow: early on pocket, seed 0\n", True),
        ("fusion: slow, Hit@1 of videos 3 %\n", True),
        ("first\nslow\n", True),
        ("<tr><th>slow</th><td>0.5</td></tr>", True),
        ("no run named 'slow' here", True),
        ("No run is named: slow fusion on pocket, found or made", False),
        ("trained on slow, early", False),
        ("runs/slow-2, runs/my-slow, slow:fast, 'slow fusion'", False),
    ],
)
def test_a_run_is_shown_where_it_is_named_as_one(text, named):
    stream = nbformat.v4.new_output("stream", text=text)
    plain = {"text/plain": "a figure", "image/svg+xml": "<text>slow</text>"}
    figure = nbformat.v4.new_output("display_data", data=plain)
    said = new_code_cell('model = "slow"', outputs=[stream, figure])
    nb = new_notebook(cells=[new_markdown_cell("slow"), said])
    assert ("slow" in stamps.shown(nb)) == named
    parted = json.loads(nbformat.writes(nb))  # as it lies on disk, line by line
    assert stamps.shown(parted) == stamps.shown(nb)


def test_a_report_is_out_of_date_when_its_folder_of_videos_has_grown(folder, tmp_path):
    import numpy as np

    from s1m_lab.video import writer

    def film(name):
        writer.encode(
            tmp_path / "films" / name, (np.full((48, 48, 3), k, np.uint8) for k in range(20))
        )

    film("a/1.mp4")
    notebook_on_data(folder / "data.ipynb", "folder = datasets.listed(data)")
    text = '[[report]]\nname = "x"\nnotebook = "data.ipynb"\nparameters = { data = "%s" }\n'
    file = written(folder, text % (tmp_path / "films"))
    assert [status(suite.run(file))["x"] for _ in range(2)] == ["made", "as it was"]
    film("a/2.mp4")
    assert [status(suite.run(file))["x"] for _ in range(2)] == ["made", "as it was"]
    file = written(folder, text % (tmp_path / "gone"))
    ended = suite.run(file)["x"]
    assert ended.status == "failed" and "FileNotFoundError" in ended.why


@pytest.mark.parametrize("late", [True, False])
def test_a_report_that_changes_what_it_shows_is_made_once_more(folder, tmp_path, late, capsys):
    """And no more than once; one that makes the clips before it shows anything is right already."""
    import numpy as np

    from s1m_lab.video import writer

    for n in range(9):
        frames = (np.full((48, 48, 3), k, np.uint8) for k in range(20))
        writer.encode(tmp_path / "films" / "ab"[n % 2] / f"{n}.mp4", frames)
    look = "clips = datasets.listed(data) / 'clips/index.parquet'\nprint('clips:', clips.is_file())"
    steps = [look, "ingest.prepare(data, 1, 48, workers=1)"]
    notebook_on_data(folder / "grows.ipynb", *(steps if late else steps[::-1]))
    text = '[[report]]\nname = "x"\nnotebook = "grows.ipynb"\nparameters = { data = "%s" }\n'
    text += '[[report]]\nname = "child"\nnotebook = "good.ipynb"\nafter = ["x"]\n'
    file = written(folder, text % (tmp_path / "films"))
    assert status(suite.run(file, 1)) == {"x": "made", "child": "made"}
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines == [["made", "x"]] * (1 + late) + [["made", "child"]]
    assert "clips: True" in output("x"), "it shows the dataset as it has made it"
    assert set(status(suite.run(file, 1)).values()) == {"as it was"}


def test_the_folds_of_a_dataset_are_read_with_it(folder, home):
    notebook_on_data(folder / "data.ipynb", "print(data)")
    text = '[[report]]\nname = "x"\nnotebook = "data.ipynb"\nparameters = { data = "ucf" }\n'
    file = written(folder, text)
    for fold in (1, 2):
        (home / "data" / f"ucf-fold{fold}").mkdir(parents=True)
        (home / "data" / f"ucf-fold{fold}" / "catalog.parquet").write_bytes(b"as it is")
        assert [status(suite.run(file))["x"] for _ in range(2)] == ["made", "as it was"]


def test_a_stamp_says_which_runs_were_there_before(folder, home):
    """Of those that a report shows, and what training them had taken."""
    for name, seconds in (("run-a", 100.0), ("run-b", 20.5), ("run-c", 7.0)):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "results.json").write_text(json.dumps({"seconds": seconds}))
    code = "import os, pathlib\nhome = pathlib.Path(os.environ['S1M_HOME'])\n"
    code += "(home / 'runs' / 'run-c' / 'results.json').write_text('{\"seconds\": 7}')\n"
    notebook(folder / "runs.ipynb", code + "print('run-a')\nprint('run-b')\nprint('run-c')")
    notebook(folder / "none.ipynb", "print(1)")
    text = '[[report]]\nname = "{0}"\nnotebook = "{0}.ipynb"\n'
    suite.run(written(folder, text.format("runs") + text.format("none")), 1)
    about = {name: stamps.read(report.folder() / f"{name}.ipynb") for name in ("runs", "none")}
    assert about["runs"]["runs"] == {"shown": 3, "before": 2, "seconds": 120.5}
    assert about["none"]["runs"] == {"shown": 0, "before": 0, "seconds": 0}
    page = (report.folder() / "index.html").read_text("utf-8")
    assert page.count(" s, of 2 runs trained before in 120 s") == page.count("trained before") == 1


def gone(process: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = Path(f"/proc/{process}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_it_leaves_no_kernel_and_goes_on_where_it_was(folder, tmp_path):
    sign = tmp_path / "kernel"
    code = f"from pathlib import Path\nimport os, time\nsign = Path({str(sign)!r})\n"
    code += "first = not sign.exists()\nsign.write_text(str(os.getpid()))\n"
    notebook(folder / "long.ipynb", code + "time.sleep(99 * first)\nprint('whole')")
    text = '[[report]]\nname = "{0}"\nnotebook = "{1}.ipynb"\n'
    file = written(folder, text.format("a", "good") + text.format("b", "long"))
    process = subprocess.Popen([sys.executable, "-m", "s1m_lab", "suite", str(file), "--workers=1"])
    end = time.monotonic() + 60
    while not (sign.exists() and sign.read_text()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(int(sign.read_text()), 10), "the kernel outlived its suite"
    assert not (report.folder() / "b.ipynb").exists()
    assert (report.folder() / "index.html").is_file(), "written with every report"
    assert status(suite.run(file, 1)) == {"a": "as it was", "b": "made"}
    assert output("b") == "whole\n"


def test_many_at_once_share_no_port_and_no_core(folder):
    about = "import ipykernel, os\nabout = ipykernel.get_connection_info(unpack=True)\n"
    about += "print(about['transport'], sorted(os.sched_getaffinity(0)), word)"
    notebook(folder / "about.ipynb", about)
    entry = '[[report]]\nname = "r{0}"\nnotebook = "about.ipynb"\nparameters = {{ word = "{1}" }}\n'
    for turn in range(2):
        file = written(folder, "".join(entry.format(k, turn) for k in range(8)))
        ended = suite.run(file, 8)
        assert status(ended) == dict.fromkeys((f"r{k}" for k in range(8)), "made")
    said = [output(f"r{k}").split(maxsplit=1) for k in range(8)]
    assert {transport for transport, _ in said} == {"ipc"}


def test_shares_are_all_cores_and_none_twice():
    for cores, workers in (([0, 1], 1), ([0, 1], 2), (list(range(3, 19)), 4)):
        found = suite.shares(cores, workers)
        assert len(found) == workers and set().union(*found) == set(cores)
        assert sum(map(len, found)) == len(cores) and len(found[0]) == len(cores) - workers + 1
    assert suite.shares([5, 7], 4) == [{5}, {7}, {5}, {7}]


def test_one_training_at_a_time_beside_what_does_not_train(folder, tmp_path):
    log = tmp_path / "log.txt"
    code = f"import os, time\nlog = open({str(log)!r}, 'a', buffering=1)\n"
    code += "log.write(f'{word} {time.time()}\\n')\ntime.sleep(seconds)\n"
    notebook(folder / "log.ipynb", code + "log.write(f'{word} {time.time()}\\n')")
    entry = '[[report]]\nname = "{0}"\nnotebook = "log.ipynb"\ntrains = {1}\n'
    entry += 'parameters = {{ word = "{0}", seconds = {2} }}\n'
    three = ("other", "false", 0.1), ("train1", "true", 4.0), ("train2", "true", 0.1)
    file = written(folder, "".join(entry.format(*each) for each in three))
    assert set(status(suite.run(file, 2)).values()) == {"made"}
    times: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        word, when = line.split()
        times.setdefault(word, []).append(float(when))
    assert times["train1"][1] < times["train2"][0]
    assert times["other"][0] < times["train1"][1], "the other one ran beside it"


@pytest.mark.parametrize(
    "text, said",
    [
        ("[[report]", "is not TOML: Expected ']]'"),
        ("reports = 1", "no entry is called 'reports'; the nearest is 'report'; a suite is a list"),
        ("report = [1]", "a list of [[report]]"),
        ("", "a list of [[report]]"),
        ("GOOD\n[figures]\n'good.ipynb' = 1", "a list of [[report]]"),
        ("[[report]]\nnoteboook = 1", "no entry is called 'noteboook'; the nearest is 'notebook'"),
        ('[[report]]\nname = "../x"', "a name is of letters"),
        ('[[report]]\nname = "x"\nnotebook = "gone.ipynb"', "the nearest is 'good.ipynb'"),
        ('[[report]]\nname = "x"', "it has no notebook"),
        ('[[report]]\nname = "x"\nnotebook = "s.toml"', "s.toml is no notebook that can be read"),
        ('GOOD\nparameters = { wrod = "b" }', "no parameter 'wrod'; the nearest is 'word'"),
        ('GOOD\nafter = ["later"]', "after 'later', but no report above"),
        ('GOOD\ntrains = "yes"', "trains must be of type bool"),
        ("GOOD\nGOOD", "two of that name"),
        (
            'GOOD\n[[report]]\nname = "y"\nnotebook = "good.ipynb"\nafter = ["x"]\nlast = true',
            "last",
        ),
    ],
)
def test_what_is_wrong_in_a_suite_is_said_before_anything_runs(folder, text, said):
    file = written(folder, text.replace("GOOD", '[[report]]\nname = "x"\nnotebook = "good.ipynb"'))
    with pytest.raises(ValueError, match=re.escape(said)):
        suite.run(file)
    assert not report.folder().exists()


@pytest.mark.parametrize("name", ["nofile", "", "good.ipynb", "letters.toml"])
def test_what_is_no_suite_ends_in_one_line(folder, name):
    (folder / "letters.toml").write_bytes(b"\xff")
    for what in ("suite", "exhibits"):
        command = [sys.executable, "-m", "s1m_lab", what, str(folder / name)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and not done.stdout
        (line,) = done.stderr.splitlines()
        assert str(folder / name) in line and "as notebooks/pocket.toml is" in line


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
    assert there == wanted, "the suite names every notebook, and no others"
    for name in there:
        ids = {cell["id"] for cell in nbformat.read(file.parent / name, 4).cells}
        assert text["figures"][name] and set(text["figures"][name]) <= ids, name
    assert [r.name for r in suite.load(file)] == [entry["name"] for entry in listed]


# ------------------------------------------------------------------------------------------- index


@pytest.fixture
def page(folder, monkeypatch):
    """The index of three runs and two reports, with the worst of titles."""
    notebook(folder / "evil.ipynb", "print('run-b')", FIGURE, title=HOSTILE)
    results = {"model": "slow", "data": "pocket", "seed": 0, "clip_hit1": 0.5, "videos": 392}
    for name, hit, more in (
        ("run-a", 0.5, {"clip_hit1": None, "model": HOSTILE}),
        ("run-b", 0.9, {"seconds": 100.0}),
        ("run-c", 0.09, {"seconds": 9.5, "commit": HOSTILE}),
    ):
        (Path(os.environ["S1M_HOME"]) / "runs" / name).mkdir(parents=True)
        path = Path(os.environ["S1M_HOME"]) / "runs" / name / "results.json"
        path.write_text(json.dumps(results | {"video_hit1": hit} | more))
    text = '[[report]]\nname = "evil"\nnotebook = "evil.ipynb"\n'
    text += f"parameters = {{ word = '{HOSTILE}' }}\n"
    text += '[[report]]\nname = "bad"\nnotebook = "bad.ipynb"\n'
    notebook(folder / "bad.ipynb", f"raise ValueError({HOSTILE!r})")
    file = written(folder, text)
    ended = suite.run(file, 1)
    assert status(ended) == {"evil": "made", "bad": "failed"}
    return report.folder() / "index.html"


ORDER = "[...document.querySelectorAll('tbody th')].map(e => e.textContent).join()"
HEAD = "[...document.querySelectorAll('thead th')].find(e => e.textContent === {!r})"


def test_the_index_in_a_browser(page, browser):
    browser.open(page, width=1200)
    assert browser.requests() == [{**browser.requests()[0], "url": page.as_uri()}]
    assert browser.run(ORDER) == "run-b,run-a,run-c"
    assert browser.run("document.querySelectorAll('img[onerror], main script').length") == 0
    assert "<img src=x onerror=alert(1)>" in browser.run("document.body.textContent")
    assert browser.run("document.querySelector('tbody a').getAttribute('href')") == "evil.html"
    assert browser.run("document.querySelector('.plate img').naturalWidth") == 300
    failed = browser.run("document.querySelector('#bad').textContent")
    assert "failed" in failed and "ValueError" in failed

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


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
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


def test_the_index_of_nothing(folder):
    file = written(folder, '[[report]]\nname = "x"\nnotebook = "good.ipynb"')
    text = index.write(file, suite.load(file), {}).read_text("utf-8")
    assert "No run is finished yet." in text and "not made yet" in text and "1 to come" in text


def test_the_index_keeps_the_reports_of_other_suites(folder, tmp_path):
    """Failed ones too; what two suites list stands under the one that ran last."""
    notebook(folder / "bad.ipynb", "raise ValueError('broken')")
    one, two = folder / "one.toml", tmp_path / "two.toml"
    entry = '[[report]]\nname = "{}"\nnotebook = "{}.ipynb"\n'
    one.write_text("".join(entry.format(*each) for each in (("a", "good"), ("b", "bad"))))
    two.write_text("".join(entry.format(n, f"note {{books}}/{k}") for n, k in (("c", "good"),)))

    def shown():
        text = (report.folder() / "index.html").read_text("utf-8")
        parts = re.split(r"<h2 id=\"suite-\d\">Reports of <bdi>(\w+)</bdi>", text)[1:]
        cards = [re.findall(r'class="card" id="(\w+)"', part) for part in parts[1::2]]
        return list(zip(parts[::2], cards, strict=True)), text

    suite.run(one, 1)
    assert shown()[0] == [("one", ["a", "b"])]
    suite.run(two, 1)
    found, text = shown()
    assert found == [("two", ["c"]), ("one", ["a", "b"])]
    assert "3 reports" in text and '<b class="bad">1 failed</b>' in text and "ValueError" in text
    assert str(one) in text and str(two) in text
    two.write_text(two.read_text() + entry.format("a", "note {books}/good"))
    assert status(suite.run(two, 1)) == {"c": "as it was", "a": "as it was"}
    assert shown()[0] == [("two", ["c", "a"]), ("one", ["b"])]
    one.write_text(entry.format("a", "good"))
    suite.run(one, 1)
    assert shown()[0] == [("one", ["a"]), ("two", ["c"])], "b is in no suite any more"
    (report.folder() / "c.ipynb").unlink()
    shutil.move(folder / "good.ipynb", folder / "better.ipynb")
    one.write_text(entry.format("a", "better"))
    suite.run(one, 1)
    assert shown()[0] == [("one", ["a"])], "c is not there, nor its notebook"
