"""The index page: every run in a sortable table, every report with its key figures, one HTML file.

    index.write(path, suite.load(path), ended)      # reports/index.html

It shows the reports of every suite that was run in this home, which `reports/suites.json`
remembers: the last run first, a report that several suites list under the last of them.

It needs nothing beside itself but the reports it links to: pictures are data: addresses, and its
policy lets the browser run its own script alone, by hash, and fetch nothing. Without JavaScript it
is the same page, the table sorted by video Hit@1. `index.html` is the template.
"""

import base64
import functools
import hashlib
import html
import io
import json
import string
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from numbers import Real
from pathlib import Path

from s1m_lab.common import paths
from s1m_lab.common.files import atomic
from s1m_lab.figures import style
from s1m_lab.reports import stamps
from s1m_lab.reports.report import Ended, Report, folder
from s1m_lab.training import runs

VERSION = 1  # of `suites.json`; what another wrote is forgotten
KEY = 3  # figures of a report, where its suite does not name them
Outcome = tuple[Report, Ended | None]  # a report of a suite, and what became of it, if it has ended
WIDE, NARROW = 800, 400  # pixels: twice what the first and the other figures take on the page
# what a results.json says, how it is headed, how it is written; numbers sort from the top
COLUMNS = [
    ("model", "Model", str),
    ("video_hit1", "Video Hit@1", "{:.1%}"),
    ("video_hit5", "Hit@5", "{:.1%}"),
    ("clip_hit1", "Clip Hit@1", "{:.1%}"),
    ("seed", "Seed", "{:.0f}"),
    ("parameters", "Parameters", "{:,.0f}"),
    ("seconds", "Training, s", "{:,.0f}"),
    ("train_clips_per_second", "Clips/s", "{:,.0f}"),
    ("data", "Data", str),
    ("videos", "Videos", "{:,.0f}"),
    ("precision", "Precision", str),
    ("threads", "Threads", "{:.0f}"),
    ("commit", "Commit", str),
]


def write(suite: Path, listed: Sequence[Report], ended: dict[str, Ended]) -> Path:
    """Write `reports/index.html` of all finished runs and of all suites, reports in their order.

    `ended` tells what became of those of this suite that have ended; the others are shown as not
    made yet, or as they were before.
    """
    template = Path(__file__).with_suffix(".html").read_text("utf-8")
    trained, suites = _runs(), _remembered(suite, [(r, ended.get(r.name)) for r in listed])
    every = [report for own in suites.values() for report, _ in own]
    made = {report.name: _read(report) for report in every}
    naming = [(report, stamps.shown(made[report.name])) for report in every if made[report.name]]
    naming.sort(key=lambda pair: not pair[0].trains)  # that of a run's own training first
    page = string.Template(template).substitute(
        policy=_policy(template),
        summary=_summary(suites, len(listed) - len(ended), len(trained)),
        heads="".join(_head(*column) for column in COLUMNS),
        rows="\n".join(_row(name, results, naming) for name, results in trained) or _NO_RUNS,
        suites="\n".join(_section(n, *own, made) for n, own in enumerate(suites.items())),
        footer=_text(f"{stamps.machine()} · commit {runs.commit() or 'unknown'}"),
    )
    path = folder() / "index.html"
    with atomic(path) as temporary:
        temporary.write_text(page, "utf-8", errors="replace", newline="\n")
    return path


def _remembered(suite: Path, own: list[Outcome]) -> dict[str, list[Outcome]]:
    """The reports of every suite by its file, this one's first; they are remembered as they are.

    Forgotten is a report of another suite that this one lists too, or that is not there any more,
    neither executed nor as a notebook.
    """
    place, suites = folder() / "suites.json", {str(suite.resolve()): own}
    known = json.loads(place.read_text("utf-8")) if place.is_file() else {}
    known = known if known.get("version") == VERSION else {"suites": {}}
    for path, entries in known["suites"].items():
        taken = {report.name for listed in suites.values() for report, _ in listed}
        left = [(report, how) for report, how in map(_outcome, entries) if report.name not in taken]
        left = [(r, how) for r, how in left if _file(r).is_file() or r.notebook.is_file()]
        if left and path not in suites:
            suites[path] = left
    kept = {path: [_entry(*each) for each in listed] for path, listed in suites.items()}
    text = {"version": VERSION, "suites": kept}
    with atomic(place) as temporary:
        temporary.write_text(json.dumps(text, indent=1, default=str), "utf-8")
    return suites


def _entry(report: Report, how: Ended | None) -> dict:
    """What `suites.json` keeps of a report."""
    kept = {key: getattr(report, key) for key in ("name", "parameters", "trains", "figures")}
    return kept | {"notebook": str(report.notebook), "ended": how}


def _outcome(entry: dict) -> Outcome:
    ended = entry.pop("ended")
    return Report(**entry | {"notebook": Path(entry["notebook"])}), ended and Ended(*ended)


def _file(report: Report) -> Path:
    return folder() / f"{report.name}.ipynb"


def _read(report: Report) -> dict:
    """An executed notebook, {} where there is none."""
    path = _file(report)
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _text(value: object) -> str:
    return html.escape(" ".join(str(value)[:1000].split()))


def _summary(suites: dict[str, list[Outcome]], left: int, trained: int) -> str:
    every = [how for own in suites.values() for _, how in own]
    counts = Counter(how.status for how in every if how)
    parts = [
        f"{n} {what}{'s' * (n != 1)}" for n, what in ((len(every), "report"), (trained, "run"))
    ]
    parts += [f'<b class="bad">{counts[s]} {s}</b>' for s in ("failed", "skipped") if counts[s]]
    if left:
        parts.append(f"{left} to come")
    return " · ".join([*parts, f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"])


# -------------------------------------------------------------------------------------------- runs

_NO_RUNS = f'<tr><td colspan="{len(COLUMNS) + 1}">No run is finished yet.</td></tr>'


def _runs() -> list[tuple[str, dict]]:
    """The name and results of every finished run, the best on video first."""
    found = []
    for path in sorted(paths.runs().glob("*/results.json")):
        found.append((path.parent.name, json.loads(path.read_text("utf-8"))))
    return sorted(found, key=lambda run: -(_number(run[1].get("video_hit1")) or 0))


def _number(value: object) -> float | None:
    good = isinstance(value, Real) and not isinstance(value, bool) and value == value
    return float(value) if good else None


def _head(key: str, title: str, form) -> str:
    kind = ' class="number"' if form is not str else ""
    order = ' aria-sort="descending"' if key == "video_hit1" else ""
    return f'<th scope="col"{kind}{order}>{_text(title)}</th>'


def _row(name: str, results: dict, naming: list[tuple[Report, set[str]]]) -> str:
    label = f"<bdi>{_text(name)}</bdi>"
    own = next((report for report, shown in naming if name in shown), None)
    link = f'<a href="{own.name}.html">{label}</a>' if own else label
    cells = "".join(_cell(key, form, results.get(key)) for key, _, form in COLUMNS)
    return f'<tr><th scope="row">{link}</th>{cells}</tr>'


def _cell(key: str, form, value: object) -> str:
    if form is str:
        dot = _dot(str(value)) if key == "model" else ""
        return f"<td>{dot}<bdi>{_text('–' if value in (None, '') else value)}</bdi></td>"
    number = _number(value)
    if number is None:
        return '<td class="number">–</td>'
    return f'<td class="number" data-value="{number!r}">{form.format(number)}</td>'


def _dot(model: str) -> str:
    colour = style.COLOURS.get(model.partition("-")[0], style.PAPER)
    circle = f'<circle cx="1" cy="1" r="1" fill="{colour}"/>'
    return f'<svg viewBox="0 0 2 2" aria-hidden="true">{circle}</svg>'


# ----------------------------------------------------------------------------------------- reports


def _section(number: int, path: str, listed: list[Outcome], made: dict[str, dict]) -> str:
    """The reports of a suite, under its name."""
    cards = "\n".join(_card(report, made[report.name], how) for report, how in listed)
    return (
        f'<section aria-labelledby="suite-{number}"><h2 id="suite-{number}">Reports of '
        f'<bdi>{_text(Path(path).stem)}</bdi></h2>\n<p class="quiet"><bdi>{_text(path)}</bdi></p>\n'
        f'<ul class="cards" role="list">\n{cards}\n</ul></section>'
    )


def _card(report: Report, nb: dict, how: Ended | None) -> str:
    title, question = _opening(nb or json.loads(report.notebook.read_text("utf-8")))
    given = " · ".join(f"{key} {value}" for key, value in report.parameters.items() if value != "")
    values = f"<p><bdi>{_text(given)}</bdi></p>" if given else ""
    page = f"{report.name}.html"
    figures = "".join(_figures(nb, report.figures)) if nb else ""
    plate = f'<a class="plate" href="{page}" tabindex="-1" aria-hidden="true">{figures}</a>'
    name = f"<bdi>{_text(title)}</bdi>"
    head = f'<a href="{page}">{name}</a>' if nb else name
    return (
        f'<li class="card" id="{report.name}">{plate if figures else ""}<div class="about">'
        f"<h3>{head}</h3>{values}"
        f'<p class="quiet"><bdi>{_text(question)}</bdi></p>'
        f'<p class="quiet state">{_state(report, nb, how)}</p></div></li>'
    )


def _opening(nb: dict) -> tuple[str, str]:
    """The title of a notebook and the question it asks."""
    texts = ("".join(cell["source"]) for cell in nb["cells"] if cell["cell_type"] == "markdown")
    lines = "\n".join(texts).splitlines()
    title = next((line[2:] for line in lines if line.startswith("# ")), "Untitled")
    asked, mark, _ = next((line[2:] for line in lines if line.startswith("> ")), "").partition("?")
    return title, asked + mark


def _state(report: Report, nb: dict, how: Ended | None) -> str:
    """When a report was made, or what became of it instead, with links to its files."""
    about = nb["metadata"].get("s1m_lab", {}) if nb else {}
    parts = []
    if how and how.status in ("failed", "skipped"):
        parts.append(f'<b class="bad">{how.status}</b> <bdi>{_text(how.why)}</bdi>')
    if how and how.status == "failed":
        failed = folder() / f"{report.name}.failed.html"
        parts += [f'<a href="{failed.name}">how far it came</a>'] * failed.is_file()
    if not nb:
        return " · ".join(parts or ["not made yet"])
    before = "" if how and not parts else "before: "
    if about:
        took = f"{about['seconds']:,.0f} s{_of_old_runs(**about.get('runs', {}))}"
        parts.append(f"{before}{_text(about['date'][:10])}, {took}")
    return " · ".join([*parts, f'<a href="{report.name}.ipynb">notebook</a>'])


def _of_old_runs(shown: int = 0, before: int = 0, seconds: float = 0.0) -> str:
    """`, of 12 runs trained before in 1,234 s`; "" where a report shows none of those."""
    runs = f"{before} run{'s' * (before != 1)}"
    return f", of {runs} trained before in {seconds:,.0f} s" if before else ""


def _figures(nb: dict, cells: Sequence[str]) -> list[str]:
    """The figures of those cells as thumbnails; without such, a few from first to last."""
    found = [
        (cell.get("id"), "".join(output["data"][kind]))
        for cell in nb["cells"]
        for output in cell.get("outputs", [])
        for kind in ("image/png", "image/jpeg")
        if kind in output.get("data", {})
    ]
    chosen = [data for wanted in cells for cell, data in found if cell == wanted]
    if not chosen:
        step = max(1, (len(found) - 1) / (KEY - 1))
        chosen = [found[round(k * step)][1] for k in range(min(KEY, len(found)))]
    return [_thumbnail(data, WIDE if k == 0 else NARROW) for k, data in enumerate(chosen[:KEY])]


@functools.lru_cache(maxsize=256)  # the page is written after every report
def _thumbnail(data: str, width: int) -> str:
    """A picture (base64) as a smaller one on white; "" where it cannot be read."""
    from PIL import Image

    file = io.BytesIO()
    try:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            picture = picture.convert("RGBA")
    except (OSError, ValueError):
        return ""
    white = Image.new("RGBA", picture.size, "white")
    small = Image.alpha_composite(white, picture).convert("RGB")
    small.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)  # never made larger
    small.save(file, "WEBP", quality=75)
    code = base64.b64encode(file.getvalue()).decode()
    size = f'width="{small.width}" height="{small.height}"'
    return (
        f'<img src="data:image/webp;base64,{code}" {size} alt="" loading="lazy" decoding="async">'
    )


def _policy(template: str) -> str:
    """What the browser may do: the template's own style and script, by hash, and data: pictures."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "img-src data:"]
    for tag in ("style", "script"):
        text = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        rules.append(f"{tag}-src 'sha256-{digest}'")
    return "; ".join(rules)
