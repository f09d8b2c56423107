"""Tables and controls as HTML, for notebooks; every text from outside is escaped.

    show_table(sizes)                          # a DataFrame, its numbers short
    explore(draw, [("luge", 0), ("judo", 1)])  # a list, and below it what `draw(choice)` returns

A report has no kernel, so a control does nothing there, and its notebook shows a static twin beside
it. HTML is marked so that MathJax leaves it alone.
"""

import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from s1m_lab.figures.frames import data_uri
from s1m_lab.figures.style import Drawing, format_number, one_line

if TYPE_CHECKING:
    from IPython.display import HTML

PLAIN = 'class="tex2jax_ignore mathjax_ignore"'  # MathJax leaves it as it is


def show_table(rows: pd.DataFrame, look: str = "") -> "HTML":
    """A table with short numbers, a line a text, and the first 60 rows of many.

    A `Markup` is shown as it is. `look` is the CSS of every cell.
    """
    from IPython.display import HTML

    styler = rows.style.format(_cell).set_table_attributes(PLAIN)
    styler.set_table_styles([{"selector": "th, td", "props": look}] if look else [])
    for axis in (0, 1):
        styler.format_index(_text, axis=axis).format_index_names(_text, axis=axis)
    return HTML(styler.to_html(max_rows=60))


def both_ends(ranked: pd.DataFrame, each: int = 10) -> pd.DataFrame:
    """The first and the last rows, `each` of them, or all where there are no more."""
    return ranked if len(ranked) <= 2 * each else pd.concat([ranked[:each], ranked[-each:]])


def _text(value: object) -> str:
    return value if isinstance(value, Markup) else html.escape(one_line(value))


def _cell(value: Any) -> str:
    number = pd.api.types.is_number(value) or (pd.api.types.is_scalar(value) and pd.isna(value))
    return format_number(value) if number else _text(value)


def explore(
    draw: Callable[[Any], "Drawing | HTML"],
    options: Sequence[tuple[str, Any]],
    value: Any = None,
    slider: bool = False,
):
    """A widget: a list (or a `slider`) of `options`, and below it what `draw` makes of the choice.

    `options` are (name, value) pairs; `value` is the first choice, by default the first option.
    """
    import ipywidgets

    kind = ipywidgets.SelectionSlider if slider else ipywidgets.Dropdown
    first = options[0][1] if value is None else value
    layout = ipywidgets.Layout(width="80%" if slider else "30em")
    choice = kind(options=options, value=first, layout=layout)
    choice.continuous_update = False  # of a slider: draw where it stops
    # HTML and no Output widget: papermill can wait for ever at one, as `interact` makes
    shown = ipywidgets.HTML()

    def show(change: dict) -> None:
        shown.value = _html(draw(change["new"]))

    show({"new": first})
    choice.observe(show, "value")
    return ipywidgets.VBox([choice, shown])


def _html(shown: "Drawing | HTML") -> str:
    """The HTML of a figure or of HTML."""
    if not isinstance(shown, Drawing):
        return shown.data
    image = shown.image()
    size = f'width="{image.width}"' if image.width else ""
    title = _text(shown.get_suptitle())
    return f'<img alt="{title}" {size} src="{data_uri(image.data, image.format)}">'


def inline(text: object, length: int = 40) -> str:
    """Any text as HTML inside Markdown, which then reads no mark and no mathematics in it."""
    safe = (c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in one_line(text, length))
    return f"<span {PLAIN}>{''.join(safe)}</span>"
