"""A confusion matrix to walk: a card for every class, pair and block.

All cards are made at once, as HTML, so that choosing one (`walk`) is instant; `page` shows a few of
them without a kernel. Each holds numbers of both runs, frames, and the part of both matrices that
lies around it. All text from outside is escaped, and never read as mathematics.
"""

import base64
import html
import io
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd

from s1m_lab import browse, clips, metrics, plots
from s1m_lab.confusion import shares
from s1m_lab.heatmaps import COLOURS, LETTERS, top
from s1m_lab.predict import Predictions
from s1m_lab.shards import Shards

PAIRS = 200  # that have a card
BLOCK = 12  # classes of a block that has one
GRID = (  # on white, in a dark JupyterLab too: the darkest cells are the most confused
    "display:grid; gap:1px; font-size:.8em; line-height:1.75em; text-align:center; "
    f"background:#FFFFFF; color:{plots.INK}; padding:.3em .6em .6em"
)
NAME = (
    "padding-right:.4em; text-align:right; white-space:nowrap; overflow:hidden; "
    "text-overflow:ellipsis"
)
SIDE = "display:flex; flex-wrap:wrap; gap:.4em 1.2em; margin-top:.3em"
FRAME = "display:inline-block; margin:.3em 6px 0 0; font-size:.8em; line-height:1.4"

Cards = dict[str, dict[int, tuple[str, str]]]  # by kind and number: (name, HTML), in order


class Walked(NamedTuple):
    """What all cards are made from; texts are escaped."""

    shares: list[np.ndarray]  # K×K of each run, rows add up to 1
    labels: np.ndarray  # in the order of the matrix
    place: np.ndarray  # of each label in it
    top: float  # the end of the colour scale
    said: list[str]  # the name of each class
    runs: list[str]
    frames: dict[int, str]  # the address of a picture of each class


def faces(both: Sequence[Predictions], stored: Shards, height: int = 84) -> dict[int, str]:
    """A picture of each class, by label, as a `data:` address of a small JPEG: a frame of the test
    clip that the runs find most surely of the class, so rather the sport than the crowd."""
    from PIL import Image

    own = metrics.truth(both[0].labels, both[0].clip_probabilities.shape[1])
    labels, picks, found = np.flatnonzero(own.any(axis=0)), [], {}
    for label in labels:
        mine = np.flatnonzero(own[:, label][both[0].clip_video])
        picks.append(mine[sum(p.clip_probabilities[mine, label] for p in both).argmax()])
    test, picks = clips.Clips(stored, [8], own.shape[1], threads=1), np.array(picks)
    frames = test[clips.Plan(0, 0, picks, picks)].frames[:, 0].numpy()
    for label, frame in zip(labels, frames, strict=True):
        image, file = Image.fromarray(frame), io.BytesIO()
        image = image.resize((round(height * image.width / image.height), height))
        image.save(file, "JPEG", quality=60, optimize=True)
        code = base64.b64encode(file.getvalue()).decode()
        found[int(label)] = f"data:image/jpeg;base64,{code}"
    return found


def cards(
    counts: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    table: pd.DataFrame,
    found: pd.DataFrame,
    frames: dict[int, str],
    names: Sequence[str],
) -> Cards:
    """The cards of every class, of the most confused pairs and of every block of the diagonal.

    `counts` are the matrices of two runs called `names`, `labels` their order, `table` and `found`
    from `confusion.precisions` and `pairs`, `frames` those of `faces`. A class has
    its label as its number, a pair its rank from 0, a block its place along the diagonal.
    """
    said = [html.escape(browse.line(name, 40)) for name in classes]
    runs = [html.escape(browse.line(name, 30)) for name in names]
    both = [shares(matrix) for matrix in counts]
    walked = Walked(both, labels, np.argsort(labels), top(*counts), said, runs, frames)
    by_name = table.sort_values("class", key=lambda column: column.str.casefold(), kind="stable")
    return {
        "class": {row.Index: _class(walked, row) for row in by_name.itertuples()},
        "pair": {row.Index: _pair(walked, row) for row in found[:PAIRS].itertuples()},
        "block": {n: _block(walked, n) for n in range(-(-len(labels) // BLOCK))},
    }


def _class(walked: Walked, row) -> tuple[str, str]:
    k, (_, other) = row.Index, walked.runs
    lines = [f"{row.videos:,} test videos"]
    if row.videos:
        lines[0] += f" · average precision {row.run:.2f} ({row.run_low:.2f} to {row.run_high:.2f})"
        lines[0] += f", {other} {row.versus:.2f} ({row.versus_low:.2f} to {row.versus_high:.2f})"
    shown = [k]
    for head, axis in (("taken for", 1), ("what is taken for it", 0)):
        run, versus = (np.delete(share.take(k, 1 - axis), k) for share in walked.shares)
        rest = np.delete(np.arange(len(walked.said)), k)
        best = [n for n in np.argsort(-run - versus, kind="stable")[:4] if run[n] + versus[n]]
        told = [f"{walked.said[rest[n]]} {run[n]:.0%} ({other} {versus[n]:.0%})" for n in best]
        lines += [f"<i>{head}</i> {', '.join(told)}"] if told else []
        shown += [int(rest[n]) for n in best]
    shown = list(dict.fromkeys(shown))[:5]
    title, block = f"{walked.said[k]} · label {k}", _around(walked, k, 5)
    return html.unescape(walked.said[k]), _card(walked, title, lines, shown, block, [k])


def _pair(walked: Walked, row) -> tuple[str, str]:
    a, b = row.label_a, row.label_b
    line = f"Of {row.counted:,} of the two classes {row.run:.0%} were taken for the other, "
    line += f"{walked.runs[1]} {row.versus:.0%}"
    near = np.concatenate([_around(walked, label, 2) for label in (a, b)])
    block = walked.labels[np.unique(walked.place[near])]
    name = f"{walked.said[a]} | {walked.said[b]}"
    return html.unescape(name), _card(walked, name, [line], [a, b], block, [a, b])


def _block(walked: Walked, number: int) -> tuple[str, str]:
    first = number * BLOCK
    block = walked.labels[first : first + BLOCK]
    name = f"{walked.said[block[0]]} … {walked.said[block[-1]]}"
    title = f"{name} · places {first + 1} to {first + len(block)} of the diagonal"
    run, versus = (np.where(np.eye(len(block)) > 0, 0, m[block][:, block]) for m in walked.shares)
    told, shown = [], []
    for cell in np.argsort(-(run + versus), axis=None, kind="stable")[:3]:
        row, column = np.unravel_index(cell, run.shape)
        if run[row, column] + versus[row, column]:
            share = f"{run[row, column]:.0%} ({walked.runs[1]} {versus[row, column]:.0%})"
            told.append(f"{walked.said[block[row]]} for {walked.said[block[column]]} {share}")
            shown += [int(block[row]), int(block[column])]
    lines = [f"<i>most taken</i> {', '.join(told)}"] if told else []
    shown = list(dict.fromkeys(shown))
    return html.unescape(name), _card(walked, title, lines, shown, block, [])


def _around(walked: Walked, label: int, reach: int) -> np.ndarray:
    """The labels up to `reach` places before and after this one; at the ends, more on one side."""
    wanted = 2 * reach + 1
    first = min(max(0, walked.place[label] - reach), max(0, len(walked.labels) - wanted))
    return walked.labels[first : first + wanted]


def _card(
    walked: Walked,
    title: str,
    lines: list[str],
    shown: list[int],
    block: np.ndarray,
    marked: list[int],
) -> str:
    """Title, lines, a frame of each label `shown`, and the rows and columns `block` of both
    matrices; the rows `marked` in bold."""
    frames = "".join(
        f'<span style="{FRAME}"><img alt="a frame of {walked.said[k]}" src="{walked.frames[k]}">'
        f"<br>{walked.said[k]}</span>"
        for k in shown
        if k in walked.frames
    )
    grids = ""
    for n, (run, share) in enumerate(zip(walked.runs, walked.shares, strict=True)):
        grids += f"<div>{run}, % of the row{_grid(walked, share, block, marked, named=not n)}</div>"
    parts = [f"<b>{title}</b>", *lines, frames]
    text = "".join(f"<div>{part}</div>" for part in parts if part)
    text += f'<div style="{SIDE}">{grids}</div>'
    return f'<div class="tex2jax_ignore mathjax_ignore" style="{browse.CARD}">{text}</div>'


def _grid(
    walked: Walked, share: np.ndarray, block: np.ndarray, marked: list[int], named: bool
) -> str:
    """A part of a matrix as HTML, a letter to each class and its name before its row."""
    letters = LETTERS[: len(block)]
    head = ["", *letters] if not named else ["", "", *letters]
    cells = [f"<span>{letter}</span>" for letter in head]
    for n, (label, letter) in enumerate(zip(block, letters, strict=True)):
        opening = [walked.said[label], letter] if named else [letter]
        opening = [f"<b>{text}</b>" if label in marked else text for text in opening]
        cells += [f'<span style="{NAME}">{text}</span>' for text in opening]
        for column, value in enumerate(share[label, block]):
            depth = np.sqrt(min(1.0, value / walked.top))
            shade = plots.FAINT if n == column else COLOURS(depth)
            ink = plots.INK if n == column or depth < 0.4 else "#FFFFFF"
            style = f' style="background:{mpl.colors.to_hex(shade)}; color:{ink}"'
            empty = n != column and not value
            cells.append("<span></span>" if empty else f"<span{style}>{100 * value:.0f}</span>")
    columns = f"{'12em ' if named else ''}1.6em repeat({len(block)}, 2.1em)"
    return f'<div style="{GRID}; grid-template-columns:{columns}">{"".join(cells)}</div>'


def chosen(labels: np.ndarray, found: pd.DataFrame) -> dict[str, int]:
    """{kind: number} of the cards to show: the most confused pair, its first class, its block."""
    label = int(found["label_a"].iloc[0]) if len(found) else int(labels[0])
    return {"pair": 0, "class": label, "block": int(np.argsort(labels)[label]) // BLOCK}


def page(made: Cards, numbers: dict[str, int]):
    """The cards of these numbers by kind, below each other, as IPython shows HTML."""
    from IPython.display import HTML

    return HTML("".join(made[kind][n][1] for kind, n in numbers.items() if n in made[kind]))


def inline(text: object, length: int = 40) -> str:
    """Any text inside Markdown: what it, HTML or mathematics could read as a mark is an entity."""
    safe = (c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in browse.line(text, length))
    return f'<span class="tex2jax_ignore mathjax_ignore">{"".join(safe)}</span>'


def walk(made: Cards):
    """Class, pair or block, and a list of these; the card below changes with the choice."""
    from ipywidgets import HTML, Dropdown, Layout, ToggleButtons, VBox

    lists = {
        kind: [(name, n) for n, (name, _) in group.items()] for kind, group in made.items() if group
    }
    kind = ToggleButtons(options=list(lists))
    choice = Dropdown(options=lists[kind.value], layout=Layout(width="30em"))
    card = HTML()

    def show(change=None):
        card.value = made[kind.value][choice.value][1]

    def fill(change):
        choice.options = lists[kind.value]
        show()

    kind.observe(fill, "value")
    choice.observe(show, "value")
    show()
    return VBox([kind, choice, card])
