"""Strict parameters, and a report that asks nothing of the network."""

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from s1m_lab.reports import html, parameters, suite

ALLOWED = {"data": str, "model": ("single", "slow", "slow-multires"), "epochs": (0, 1000)}
ALLOWED |= {"lr": (0.0, 10.0), "run": str, "fetch": bool}
DEFAULTS = 'data: str = "pocket"  # help\nmodel = "slow"\nepochs = 0\nlr = 0.0\nrun = ""\n'


def problems(*cells):
    return parameters.find_problems(["", DEFAULTS, *cells], ALLOWED)


@pytest.mark.parametrize(
    "injected, said",
    [
        ('modle = "slow"', "no parameter is called 'modle'; the nearest is 'model'"),
        ("batch = 3", "(there are: data, model, epochs, lr, run, fetch)"),
        ('model = "slwo"', "model cannot be 'slwo'; the nearest is 'slow'"),
        ("epochs = -1", "epochs must be a whole number from 0 to 1000; it was given -1"),
        ('epochs = "two"', "epochs must be a whole number from 0 to 1000; it was given 'two'"),
        ("epochs = 2.0", "whole number"),
        ("epochs = True", "whole number"),
        ("epochs = None", "whole number"),
        ("lr = 11", "lr must be a number from 0.0 to 10.0; it was given 11"),
        ('lr = "1e-3"', "lr must be a number from 0.0 to 10.0; it was given '1e-3'"),
        ("lr = float('nan')", "it was given nan"),
        ("lr = float('inf')", "it was given inf"),
        (
            "run = 12",
            "run must be text; it arrived as 12; where digits are meant as text: -r run 12",
        ),
        ("model = 3", "model must be text"),
        ("fetch = 1", "fetch must be True or False, not 1"),
        ("data = None", "data must be text; it arrived as None"),
    ],
)
def test_wrong_parameters_are_named(injected, said):
    (problem,) = problems(f"# Parameters\n{injected}\n")
    assert said in problem


def test_every_wrong_parameter_is_named_at_once():
    assert len(problems('# Parameters\nmodle = "slow"\nepochs = -1\nlr = 11\n')) == 3


@pytest.mark.parametrize(
    "injected",
    [
        'model = "slow-multires"',
        "epochs = 1000",
        "fetch = True",
        "lr = 1",
        "lr = 0.001",
        'run = "a 7"',
        "",
    ],
)
def test_right_parameters_pass(injected):
    assert problems(f"# Parameters\n{injected}\n") == []


def test_cells_of_the_notebook_are_no_parameters():
    cells = [
        "modle = 1",
        "shown = 3\nfigure = None",
        "%matplotlib inline",
        "x.y = 1",
        "a, b = 1, 2",
    ]
    assert problems(*cells, "epochs_done = len(data)", "model = build('x')") == []


def test_the_last_word_counts():
    wrong, right = '# Parameters\nmodle = "slow"\n', '# Parameters\nmodel = "single"\n'
    assert problems(wrong, right) == []
    assert len(problems(right, wrong)) == 1
    assert len(problems("epochs = -1")) == 1, "a changed parameters cell is checked as well"
    assert problems("epochs = -1", "epochs = 1") == []
    assert problems("epochs: int = -1") and not problems("epochs: int = 1")


def test_cells_may_run_again_in_any_order(tmp_path):
    """In a real IPython: defaults, injected, check, then all of them again backwards."""
    check = "from s1m_lab.reports.parameters import check\n"
    check += "check(model=('single', 'slow'), epochs=(0, 9))"
    cells = ['model = "single"\nepochs = 0', '# Parameters\nmodel = "slow"\n', check, "modle = 1"]
    program = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in {cells + cells[::-1] + cells[2:]!r}:
    shell.run_cell(cell, store_history=True).raise_error()
shell.run_cell('# Parameters\\nmodel = "slwo"', store_history=True)
result = shell.run_cell({check!r}, store_history=True)
print("raised", type(result.error_in_exec).__name__)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "ParameterError: model cannot be 'slwo'; the nearest is 'slow' (it may be: single, slow)",
        "raised ParameterError",
    ]


CELLS = {
    "from s1m_lab.common import paths, files": None,
    "files.require_space(paths.home(), 1e30)": "DiskFull: ",
    "1 / 0": "",
    "int('x')": "",
    "paths.is_path(3, 4)": "",
    "from s1m_lab import load_run\nload_run('nosuchrun')": "FileNotFoundError: no run named",
}


@pytest.mark.parametrize("debug", ["", "1"])
def test_an_expected_error_of_the_lab_is_one_sentence_in_a_notebook(debug, home, monkeypatch):
    """By a real kernel; "" in `CELLS` stands for a traceback, None for no error."""
    import nbclient

    monkeypatch.setenv("S1M_DEBUG", debug)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    cells = ["from s1m_lab.reports import parameters\nparameters.check()", *CELLS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3")
    for cell, said in zip(client.execute().cells[1:], CELLS.values(), strict=True):
        errors = [output for output in cell.outputs if output.output_type == "error"]
        assert bool(errors) == (said is not None), cell
        for error in errors:
            text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
            if said and not debug:
                assert text == f"{error.ename}: {error.evalue}" and text.startswith(said)
                assert "\n" not in text
            else:
                assert "Traceback (most recent call last)" in text and "line" in text


def test_checking_asks_for_nothing_heavy():
    """A misspelt parameter is answered in a moment, before torch is loaded."""
    program = "import sys; from s1m_lab.reports import parameters; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_html_is_whole_and_without_scripts(tmp_path):
    data = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(data, "PNG")
    png = base64.b64encode(data.getvalue()).decode()
    notebook = nbformat.v4.new_notebook()
    hostile = (
        "<b>bold</b><script>alert(1)</script><SCRIPT src='http://evil.example/x.js'>\n</SCRIPT >"
    )
    outputs = [
        nbformat.v4.new_output("display_data", {"image/png": png}),
        nbformat.v4.new_output("display_data", {"text/html": hostile}),
        nbformat.v4.new_output("stream", text="<script>as text</script> Größe\n"),
        nbformat.v4.new_output("stream", text="the next line\n"),
    ]
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# 03 · A title"),
        nbformat.v4.new_code_cell("print('<script>')", outputs=outputs, execution_count=1),
    ]
    path = tmp_path / "a report.ipynb"
    nbformat.write(notebook, path)

    page = html.html(path)

    text = page.read_text("utf-8")
    assert page == tmp_path / "a report.html"
    assert "<script" not in text.lower() and "alert(1)" not in text
    assert "<b>bold</b>" in text and png in text and "A title" in text
    assert "&lt;script&gt;as text&lt;/script&gt; Größe\nthe next line\n" in text


HOSTILE = [
    "<script>RUN</script>",
    "<img src=x onerror=RUN>",
    "<img src=x OnErRoR = 'RUN'>",
    "<svg onload=RUN></svg>",
    "<svg><script>RUN</script></svg>",
    "<svg><style><img src=x onerror=RUN></style></svg>",
    "<noscript><style></noscript><img src=x onerror=RUN></style>",
    "<!--><img src=x onerror=RUN>-->",
    "<![CDATA[><img src=x onerror=RUN>]]>",
    "<iframe srcdoc='<script>parent.RUN</script>'></iframe>",
    "<iframe src='javascript:parent.RUN'></iframe>",
    "<object data='javascript:RUN'></object><embed src='javascript:RUN'>",
    "<a id=click href='java&Tab;script:RUN'>here</a>",
    "<a id=click href=' &#106;avascript:RUN'>here</a>",
    "<svg><a id=click xlink:href='javascript:RUN'><text y=20>here</text></a></svg>",
    "<form id=click action='javascript:RUN'><button formaction='javascript:RUN'>b</button></form>",
    "<meta http-equiv=refresh content='0;url=javascript:RUN'>",
    "<base href='http://evil.example/'><link rel=stylesheet href='x.css'>",
    "<details open ontoggle=RUN>x</details><input autofocus onfocus=RUN>",
    "<video autoplay src=x onerror=RUN><source src=x onerror=RUN></video>",
    "<math><mtext><mglyph><style><!--</style><img title='--&gt;&lt;img onerror=RUN&gt;'>",
    "<style>@import url(http://evil.example/x.css); b { background: url(//evil.example) }</style>",
    "<textarea><img src=x onerror=RUN></textarea><xmp><img src=x onerror=RUN></xmp>",
    "<img src=http://evil.example/x.png><audio src=http://evil.example/x.mp3></audio>",
]


@pytest.fixture
def hostile(tmp_path):
    """The page of a notebook whose outputs hold `HOSTILE`, as HTML and as Markdown."""
    notebook = nbformat.v4.new_notebook()
    for text in [text.replace("RUN", "window.ran=1") for text in HOSTILE]:
        data = ({"text/html": text}, {"text/markdown": text}, {"image/svg+xml": text})
        outputs = [nbformat.v4.new_output("display_data", each) for each in data]
        notebook.cells.append(nbformat.v4.new_code_cell("1", outputs=outputs))
        notebook.cells.append(nbformat.v4.new_markdown_cell(text))
    look = "<style>#look td { color: rgb(1, 2, 3) }</style><table id=look><td>x</table>"
    notebook.cells.append(
        nbformat.v4.new_code_cell(
            "1", outputs=[nbformat.v4.new_output("display_data", {"text/html": look})]
        )
    )
    nbformat.write(notebook, tmp_path / "hostile.ipynb")
    return html.html(tmp_path / "hostile.ipynb")


@pytest.mark.parametrize("policy", [True, False])
def test_nothing_in_a_report_runs_or_fetches(hostile, browser, policy):
    """With the page's policy and without, since a mail program may not know of it."""
    if not policy:
        text = hostile.read_text("utf-8")
        assert text.count("Content-Security-Policy") == 1
        hostile.write_text(text.replace("Content-Security-Policy", "none"), "utf-8")
    requests = browser.open(hostile).requests()
    browser.run("document.querySelectorAll('#click, #click *').forEach(e => e.click && e.click())")
    browser.run("document.querySelectorAll('input, details').forEach(e => e.focus())")
    later = "new Promise(done => setTimeout(done, 300))"
    browser.ask("Runtime.evaluate", expression=later, awaitPromise=True)
    assert browser.run("typeof window.ran") == "undefined"
    gone = "script, iframe, object, embed, base, form, link, meta[http-equiv=refresh]"
    assert browser.run(f"document.querySelectorAll({gone!r}).length") == 0
    attributes = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])"
    assert browser.run(f"{attributes}.filter(a => /^on|^srcdoc$/.test(a.name)).length") == 0
    assert browser.run(f"{attributes}.filter(a => /script:/.test(a.value)).length") == 0
    if policy:
        assert [request["url"] for request in requests] == [hostile.as_uri()]
    colour = "getComputedStyle(document.querySelector('#look td')).color"
    assert browser.run(colour) == "rgb(1, 2, 3)", "styles of outputs stay"


WORK = """from s1m_lab.common.progress import Progress
progress = Progress("working", 5, "steps", every=0)
for n in range(5):
    progress.update(note="with a long note" if n == 2 else "")
print("done")"""


def test_of_a_progress_the_last_line_stays_and_each_is_heard(home, tmp_path):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WORK)])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(nb, tmp_path / "work.ipynb")
    heard = io.StringIO()
    suite.execute(suite.Report("work", tmp_path / "work.ipynb", {}, "s.toml"), heard)
    assert heard.getvalue().count("working ") == 5
    made = home / "reports" / "work.ipynb"
    (output,) = nbformat.read(made, as_version=4).cells[0].outputs
    last, done = output.text.splitlines()
    assert last.startswith("working 5/5 · 100%") and done == "done"
    page = re.sub(r"<title>.*?</title>", "", made.with_suffix(".html").read_text("utf-8"))
    assert len(re.findall(r"working \d/5 ", page)) == 1
