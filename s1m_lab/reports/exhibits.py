"""Copy the small reports of a suite into the repository, and write README's table.

    exhibits.write(Path("notebooks/pocket.toml"))

An exhibit is `reports/<suite>-<report>.ipynb`. It names the date, machine and commit that made it,
and no path of this machine. README takes Table 1 and the paper's claims from the runs that
`09_results` shows.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from s1m_lab.analysis.comparisons import AGREES, DISAGREES, OPEN
from s1m_lab.common import paths
from s1m_lab.common.files import write_text
from s1m_lab.reports import suite
from s1m_lab.training import runs

if TYPE_CHECKING:
    from nbformat import NotebookNode

LARGEST = 500_000  # bytes of an exhibit
RESULTS = "09_results.ipynb"  # the notebook whose Table 1 and claims are README's
MARKS = "<!-- results: make exhibits -->", "<!-- end of results -->"
START = r"(?:file://|(?<![\w.~/<}-]))"  # where an absolute path begins in a text
KEPT = ("date", "seconds", "machine", "version", "commit")  # of a report's metadata


def write(file: Path, repository: Path = paths.REPOSITORY) -> int:
    """Write the exhibits of a suite and README's table; returns how many reports were left out.

    A report is left out, with a message, if it is missing or out of date, not below `LARGEST`, or
    names a path of this machine. Its earlier exhibit stays. README's table stays as it is where
    `RESULTS` is left out. Raises ValueError as `suite.load` does, or if README has no place for
    the table.
    """
    readme, listed, left_out = repository / "README.md", suite.load(file), 0
    if not readme.is_file() or any(mark not in readme.read_text("utf-8") for mark in MARKS):
        raise ValueError(f"{readme} has no place for results: {MARKS[0]} … {MARKS[1]}")
    for report in listed:
        name = f"{file.stem}-{report.name}.ipynb"
        try:
            text = exhibit(report)
        except ValueError as error:
            print(f"left out  {report.name}: {error}", flush=True)
            left_out += 1
            continue
        write_text(repository / "reports" / name, text)
        print(f"written   {name}, {len(text.encode()) / 1e3:,.0f} kB", flush=True)
        if report.notebook.name == RESULTS:
            before, _, rest = readme.read_text("utf-8").partition(MARKS[0])
            after = rest.partition(MARKS[1])[2]
            own = f"{MARKS[0]}\n\n{results(report, name)}\n\n{MARKS[1]}"
            write_text(readme, before + own + after)
    return left_out


# -------------------------------------------------------------------------------------- an exhibit


def exhibit(report: suite.Report) -> str:
    """The text of a report as it can be shown; ValueError says why it cannot."""
    import nbformat

    if why := suite.changed(report):
        raise ValueError(f"it is missing or out of date ({why}); make it: python -m s1m_lab suite")
    nb = cleaned(nbformat.read(suite.folder() / f"{report.name}.ipynb", as_version=4))
    text = nbformat.writes(nb) + "\n"
    if found := machine_paths(nb):
        raise ValueError(f"it names a path of this machine, {found[0]!r}")
    if len(text.encode()) >= LARGEST:
        raise ValueError(f"{len(text.encode()) / 1e3:,.0f} kB are not below {LARGEST / 1e3:,.0f}")
    return text


def cleaned(nb: "NotebookNode") -> "NotebookNode":
    """An executed notebook without what belongs to this machine, and a cell that says who made it.

    Metadata of papermill, widgets (each has its static twin) and paths are left out.
    """
    import nbformat

    about = {key: nb.metadata["s1m_lab"][key] for key in KEPT}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python"}
    nb.metadata = {"kernelspec": kernel, "language_info": language, "s1m_lab": about}
    for cell in nb.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags" and v}
        if cell.cell_type == "code":
            cell.source = cell.source.rstrip()  # papermill's own cell ends in an empty line
            cell.outputs = [o for o in cell.outputs if "widget" not in "".join(o.get("data", {}))]
            for output in cell.outputs:
                if "metadata" in output:
                    output.metadata = {}
    for place, key in _texts(nb):
        place[key] = shortened(place[key])
    made = (
        f"*Executed on {about['date'][:10]} in {about['seconds']:,.0f} s on {about['machine']}, by "
        f"commit {about['commit'] or 'unknown'} of s1m_lab {about['version']}.*"
    )
    nb.cells.insert(1, nbformat.v4.new_markdown_cell(made, id="executed"))
    return nb


def _texts(nb: dict) -> Iterator[tuple[dict, str]]:
    """Where the texts of a notebook stand: a dict and its key; pictures are no texts."""
    for cell in nb["cells"]:
        yield cell, "source"
        for output in cell.get("outputs", []):
            if "text" in output:
                yield output, "text"
            for kind, value in output.get("data", {}).items():
                if isinstance(value, str) and not kind.startswith("image/"):
                    yield output["data"], kind


def shortened(text: str) -> str:
    """A text in which paths inside the home or the repository are relative to these.

    The user's own folder becomes `~`. Where only the letters are the same (`/database` and `/data`)
    a path stays.
    """
    roots = {str(Path.home()): "~/", str(paths.REPOSITORY): "", str(paths.home()): ""}
    for root in sorted(roots, key=len, reverse=True):  # the innermost first
        start, short = START + re.escape(root), roots[root]
        text = re.sub(rf"{start}/(?=[\w.@-])", short, text)
        text = re.sub(rf"{start}(?![\w-]|\.\w)", short.rstrip("/") or ".", text)
    return text


def machine_paths(nb: dict) -> list[str]:
    """The absolute paths in a notebook's texts that begin in a folder of this machine."""
    text = "\n".join(place[key] for place, key in _texts(nb))
    found = re.finditer(START + r"(/([\w.@-]+)/[\w./@-]+)|\b[A-Z]:\\\w+", text)
    return [m[1] or m[0] for m in found if m[2] is None or Path("/", m[2]).is_dir()]


# -------------------------------------------------------------------------------------- the README


def results(report: suite.Report, name: str) -> str:
    """Table 1 of `RESULTS` as Markdown, what it is made of, and the claims that its runs confirm.

    `name` is the file of the exhibit.
    """
    from s1m_lab.analysis import claims, results, run_groups
    from s1m_lab.analysis.evidence import collect

    values = report.values()
    found = run_groups.find(values["data"], values["runs"])
    evidence = collect(found, values["seed"])
    table, judged = results.table1(evidence), claims.judge(evidence)
    several = [runs.load_run(name) for name in sorted({n for own in table["runs"] for n in own})]
    if not several:
        return f"{readme_table(table)}\n\nNo run on `{found.data}` is finished yet."
    threads = sorted({str(run.results["threads"]) for run in several})
    devices = sorted({run.config["machine"]["device"] for run in several})
    commits = sorted({run.results.get("commit") or "unknown" for run in several})
    about = suite.metadata(suite.folder() / f"{report.name}.ipynb")
    origin = (
        f"Table 1 of [{report.name}](reports/{name}), executed on {about['date'][:10]} on "
        f"{about['machine']}: {len(several)} runs on `{found.data}`, trained on "
        f"{', '.join(devices)} with {' or '.join(threads)} threads, commit {', '.join(commits)}."
        "\n\nScores in %, means over the seeds, with the 95 % interval over test videos. The "
        "paper's three are its clip Hit@1, video Hit@1 and video Hit@5 on 487 classes. "
        "Compare their order, not their size: `pocket` is made so that motion matters. Training "
        "time: seconds per network; the average sums its members, of the seed that all have; the "
        "histograms include all trials of their grid."
    )
    return f"{readme_table(table)}\n\n{origin}\n\n{readme_claims(judged)}"


def readme_table(rows: pd.DataFrame) -> str:
    """`results.table1` as Markdown: scores in %, a dash where there is none."""
    lines = [
        "| network | clip Hit@1 | video Hit@1 | video Hit@5 | paper's three | seeds | training |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for _, row in rows.iterrows():
        scores = ("clip_hit1", "video_hit1", "video_hit5")
        ours = [_percent(row[score]) for score in scores]
        low, high = _percent(row["video_hit1_low"]), _percent(row["video_hit1_high"])
        ours[1] += f" ({low} to {high})" if low != "–" else ""
        theirs = " · ".join(_percent(row[f"{score}_paper"]) for score in scores)
        took = "–" if pd.isna(row["seconds"]) else f"{row['seconds']:,.0f} s"
        seeds = str(len(row["seeds"]) or "–")
        lines.append(f"| {row['name']} | {' | '.join(ours)} | {theirs} | {seeds} | {took} |")
    return "\n".join(lines)


def readme_claims(judged: pd.DataFrame) -> str:
    """`claims.judge` as a sentence: how many of the paper's claims hold here, and which do not."""
    sides = []
    for verdict, verb in ((AGREES, "agree with"), (DISAGREES, "disagree with")):
        own = [claim.rstrip(".") for claim in judged.loc[judged["verdict"] == verdict, "claim"]]
        sides.append(f"{verb} {len(own)}" + (f" (*{'*; *'.join(own)}*)" if own else ""))
    undecided = (judged["verdict"] == OPEN).sum()
    return (
        f"Of {len(judged)} claims of the paper these runs {' and '.join(sides)}; "
        f"{undecided} are undecided."
    )


def _percent(share: float) -> str:
    return "–" if pd.isna(share) else f"{100 * share:.1f}"
