"""Check the parameters of a notebook.

papermill only warns of a parameter it does not know, and then the defaults are used. So a notebook
calls `check` in the cell after its parameters. It names each, and the values it may have:

    parameters.check(data=str, model=models.NAMES, epochs=(0, 1000), lr=(0.0, 10.0))

`str` is any text, `bool` True or False. A collection of texts is a choice. Two numbers are a range
with both ends in it; of whole numbers, only whole numbers. A wrong name, type or value ends the
notebook with one sentence.
"""

import ast
import difflib
from collections.abc import Collection, Iterable


class ParameterError(Exception):
    """A wrong parameter; shown as one sentence, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython asks an exception for this
        return [f"{type(self).__name__}: {self}"]


def check(**allowed) -> None:
    """Raise `ParameterError` if a parameter of the notebook is not as `allowed` says.

    Parameters are read from the cells that ran (IPython's `In`). Among the notebook's variables, a
    misspelt parameter looks like any other variable. Cells may be run again in any order.
    """
    from IPython import get_ipython

    if problems := find_problems(get_ipython().user_ns["In"], allowed):
        raise ParameterError("; ".join(problems))


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
