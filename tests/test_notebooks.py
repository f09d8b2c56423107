"""The notebook contract, and parameters that are refused by a real papermill."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import papermill
import pytest

from s1m_lab.reports.parameters import find_problems

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture
def cells(path) -> list:
    return nbformat.read(path, as_version=4).cells


def code(cells) -> list:
    return [cell for cell in cells if cell.cell_type == "code"]


def parameters(cells) -> dict:
    """`{name: default}` of the parameters cell, by its syntax tree."""
    (cell,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert cell is cells[1], "the parameters are the second cell"
    body = ast.parse(cell.source).body
    assert all(isinstance(line, ast.AnnAssign) for line in body), "name: type = literal"
    return {line.target.id: ast.literal_eval(line.value) for line in body}


def test_it_opens_with_its_question_and_what_it_costs(path, cells):
    title, question, cost = cells[0].source.split("\n\n", 2)
    assert title.startswith(f"# {path.stem[:2]} · ")
    assert question.startswith("> ") and "?" in question
    assert "minute" in cost and "GB" in cost


def test_it_ends_with_what_we_saw_and_what_is_next(cells):
    assert cells[-2].cell_type == "code" and "**What we saw**" in cells[-2].source
    assert cells[-2].source.count("\n- ") == 3
    assert cells[-1].source.startswith("**Next →**")


def test_parameters_are_literals_with_help_and_papermill_sees_them(path, cells):
    defaults = parameters(cells)
    assert 2 <= len(defaults) <= 10 and list(defaults)[:2] == ["data", "seed"]
    seen = papermill.inspect_notebook(path)
    assert list(seen) == list(defaults)
    for name, value in defaults.items():
        assert ast.literal_eval(seen[name]["default"]) == value
        assert seen[name]["inferred_type_name"] == type(value).__name__
        assert seen[name]["help"], f"{name} has no help"


def test_small_values_for_tests_are_parameters(cells):
    defaults, mock = parameters(cells), cells[1].metadata["nbmake"]["mock"]
    for name, value in mock.items():
        assert type(value) is type(defaults[name]), name
        assert "'" not in str(value), "an apostrophe breaks nbmake"


def test_every_parameter_is_checked_before_anything_is_loaded(cells):
    """`parameters.check` stands in the fourth cell and knows the very names of the second."""
    defaults = parameters(cells)
    assert cells[2].source.startswith(("import ", "from "))
    assert "parameters.check(" in cells[3].source
    asked = {}
    names = {"RECIPES": {}, "WAYS": [], "str": str}
    names["networks"] = type("", (), {"names": list})
    names["torchvision_models"] = type("", (), {"NAMES": []})
    names["parameters"] = type("", (), {"check": lambda **allowed: asked.update(allowed)})
    exec("\n".join(cells[3].source.partition("\nconfig")[:1]), names)
    assert set(asked) == set(defaults)
    for name, allowed in asked.items():
        number = isinstance(allowed, tuple)
        kind = allowed if isinstance(allowed, type) else int | float if number else str
        assert isinstance(defaults[name], kind), name
        if number or isinstance(allowed, type):
            assert not find_problems([f"{name} = {defaults[name]!r}"], {name: allowed})


def test_it_is_short_and_says_what_is_said(cells):
    lines = [cell.source.count("\n") + 1 for cell in code(cells)]
    assert len(cells) < 40 and max(lines) < 15 and sum(lines) < 120
    for cell in code(cells):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef | ast.Try | ast.TryStar)
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 8, node.name
        assert not re.search(r"^\s*[!%]", cell.source, flags=re.MULTILINE)


def test_no_cell_takes_the_name_of_a_parameter(cells):
    """Else a cell above it, run again, would be given something else."""
    for cell in code(cells)[1:]:
        stored = {
            node.id
            for node in ast.walk(ast.parse(cell.source))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        assert not stored & set(parameters(cells))


@pytest.mark.slow
def test_any_cell_may_run_again_in_any_order(path, small_home, monkeypatch, tmp_path):
    """All cells, then all of them backwards, in one kernel; with the small values for tests."""
    monkeypatch.setenv("S1M_HOME", str(shutil.copytree(small_home, tmp_path / "home")))
    notebook = nbformat.read(path, as_version=4)
    again = [*notebook.cells, *reversed(notebook.cells)]
    notebook.cells = []
    for number, cell in enumerate(again):
        mock = cell.metadata.get("nbmake", {}).get("mock", {})
        small = "".join(f"\n{name} = {value!r}" for name, value in mock.items())
        cell = nbformat.from_dict({**cell, "source": cell.source + small, "id": f"cell-{number}"})
        notebook.cells.append(cell)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()


def test_it_is_stripped(path, cells):
    for cell in code(cells):
        assert cell.outputs == [] and cell.execution_count is None
        assert set(cell.metadata) <= {"tags", "nbmake"}
    ids = [cell.id for cell in cells]
    assert len(set(ids)) == len(ids) and not any(id.isdigit() for id in ids)
    assert json.loads(path.read_text("utf-8"))["metadata"]["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize(
    "given, said",
    [
        (
            {"modle": "slow", "model": "slwo", "epochs": "two", "run": "0012"},
            [
                "no parameter is called 'modle'; the nearest is 'model'",
                "model cannot be 'slwo'; the nearest is 'slow'",
                "epochs must be a whole number from 0 to 10000; it was given 'two'",
                "run must be text; it arrived as 12",
            ],
        ),
        ({"size": "64"}, ["the nearest that does is 66"]),
        ({"data": "nosuchthing"}, ['FileNotFoundError: no dataset "nosuchthing" in']),
    ],
)
def test_papermill_refuses(given, said, home, tmp_path):
    """In another working directory, with a space in its path; and nothing has been made by then."""
    folder = tmp_path / "else where"
    folder.mkdir()
    command = [sys.executable, "-m", "papermill", FOLDER / "03_train.ipynb", "out.ipynb"]
    for name, value in given.items():
        command += ["-p", name, value]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)
    assert done.returncode != 0
    *_, where, last = done.stderr.strip().splitlines()
    assert all(each in last for each in said), last
    assert where.startswith("Exception encountered at"), "one sentence"
    assert list(home.iterdir()) == [], "nothing is loaded or made before the check"
