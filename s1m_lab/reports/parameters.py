"""Check the parameters of a notebook.

papermill only warns of a parameter it does not know, and then the defaults are used. So a notebook
calls `check` in the cell after its parameters. It names each, and the values it may have:

    parameters.check(data=str, model=models.NAMES, epochs=(0, 1000), lr=(0.0, 10.0))

`str` is any text, `bool` True or False. A collection of texts is a choice. Two numbers are a range
with both ends in it; of whole numbers, only whole numbers. A wrong name, type or value ends the
notebook with one sentence.

From then on an error that the lab expects is one sentence too. S1M_DEBUG=1 keeps its traceback.
"""

import ast
import difflib
import os
import traceback
from collections.abc import Collection, Iterable
from types import TracebackType

# Errors whose message says what to do; any other is an error of the lab itself.
EXPECTED = (OSError, ValueError, ImportError, FloatingPointError, MemoryError)


class ParameterError(ValueError):
    """A wrong parameter of a notebook."""


def check(**allowed) -> None:
    """Raise `ParameterError` if a parameter of the notebook is not as `allowed` says.

    Parameters are read from the cells that ran (IPython's `In`). Among the notebook's variables, a
    misspelt parameter looks like any other variable. Cells may be run again in any order.
    """
    from IPython import get_ipython

    shell = get_ipython()
    shell.set_custom_exc((Exception,), _show_error)
    if problems := find_problems(shell.user_ns["In"], allowed):
        raise ParameterError("; ".join(problems))


def _show_error(
    shell, kind: type, error: Exception, trace: TracebackType, tb_offset: int | None = None
) -> None:
    """Show an expected error of the lab as one sentence, any other with its traceback."""
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(trace)]
    of_lab = any(name.partition(".")[0] == "s1m_lab" for name in modules)
    if of_lab and isinstance(error, EXPECTED) and not os.environ.get("S1M_DEBUG"):
        error._render_traceback_ = lambda: [f"{kind.__name__}: {error}"]  # type: ignore
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)


def find_problems(cells: list[str], allowed: dict) -> list[str]:
    """A sentence for each wrong parameter among the sources of the `cells` that ran, in order.

    A cell of nothing but literal assignments gives parameters; the last of a name counts. All
    names must be known only in the cell that papermill injects, the last that opens with
    `# Parameters`.
    """
    known = ", ".join(allowed)
    given: dict[str, object] = {}
    injected: dict[str, object] = {}
    for cell in cells:
        values = assignments(cell)
        given |= {name: value for name, value in values.items() if name in allowed}
        injected = values if cell.startswith("# Parameters\n") else injected
    unknown = [
        f"no parameter is called {name!r}; {nearest(name, allowed)} (there are: {known})"
        for name in injected
        if name not in allowed
    ]
    return unknown + [p for name, value in given.items() if (p := _wrong(name, value, allowed))]


def assignments(cell: str) -> dict[str, object]:
    """`{name: value}` of a cell that holds nothing else, `{}` of any other."""
    values = {}
    try:
        for statement in ast.parse(cell).body:
            annotated = isinstance(statement, ast.AnnAssign)
            (target,) = [statement.target] if annotated else statement.targets  # type: ignore
            values[target.id] = _value(statement.value)  # type: ignore
    except (SyntaxError, ValueError, AttributeError):  # a magic, an expression, `a.b = 1`
        return {}
    return values


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "float":
        return float(*map(ast.literal_eval, node.args))  # papermill's way to write nan and inf
    return ast.literal_eval(node)


def nearest(name: str, known: Iterable[str]) -> str:
    """A phrase that gives the known name nearest to a wrong one."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"the nearest is {near[0]!r}" if near else "there are none"


def _wrong(name: str, value: object, allowed: dict) -> str:
    """What is wrong with `value`; "" if it is allowed."""
    wanted = allowed[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(wanted, tuple) and not isinstance(wanted[0], str):
        low, high = wanted
        whole = isinstance(low, int) and isinstance(high, int)
        if number and low <= value <= high and not (whole and isinstance(value, float)):
            return ""
        kind = "a whole number" if whole else "a number"
        return f"{name} must be {kind} from {low} to {high}; it was given {value!r}"
    if wanted is bool:
        return "" if isinstance(value, bool) else f"{name} must be True or False, not {value!r}"
    if not isinstance(value, str):
        raw = f"; where digits are meant as text: -r {name} {value}" if number else ""
        return f"{name} must be text; it arrived as {value!r}{raw}"
    if isinstance(wanted, Collection) and value not in wanted:
        known = ", ".join(each or "empty" for each in wanted)
        return f"{name} cannot be {value!r}; {nearest(value, wanted)} (it may be: {known})"
    return ""
