"""Exhibits: the reports of a suite that are small, in the repository for others to read.

    exhibits.write(Path("notebooks/pocket.toml"))

copies each to `reports/<suite>-<report>.ipynb`, naming the commit, the kind of machine and the date
it was made by, what that took, and what training the runs took that were there before; without what
else is of that machine: its paths, papermill's environment, the state of widgets (each has its
static twin). Where `09_results` is among them, its Table 1 and what becomes of the paper's claims
are written into the README.
"""

import copy
import html
import json
import re
from pathlib import Path

import pandas as pd

from s1m_lab.analysis.comparisons import AGREES, DISAGREES, OPEN
from s1m_lab.common import paths
from s1m_lab.common.files import atomic
from s1m_lab.reports import stamps, suite
from s1m_lab.reports.report import Report, folder, is_current
from s1m_lab.training import runs

LARGEST = 500_000  # bytes of an exhibit
RESULTS = "09_results.ipynb"  # the notebook whose Table 1 and claims are the README's
MARKS = "<!-- results: make exhibits -->", "<!-- end of results -->"
# where a path may begin: after what is no part of another, after an option (-I/usr), in an address
START = r"(?:(?<![\w.~/<}-])|(?<=(?<![\w-])-[A-Za-z])|(?<=\bfile://))"
ROOTED = re.compile(START + r"/([\w.@-]+)/[\w./@-]+|\b[A-Za-z]:\\\w+")


def write(file: Path, repository: Path = paths.REPOSITORY) -> int:
    """Write the exhibits of a suite and the README's table; returns how many were left out.

    Left out, saying why, are reports that are missing or out of date, as large as `LARGEST`, or
    that hold a path of this machine; an earlier exhibit of theirs stays. The table is that of
    `RESULTS`, and stays as it is where this is no exhibit. Exhibits of this suite that it no
    longer lists are removed. Raises ValueError before anything is written, as `suite.load` does, or
    where there is no README with a place for the table.
    """
    readme, folder = repository / "README.md", repository / "reports"
    if not readme.is_file():
        raise ValueError(f"exhibits stand in the repository, and {repository} is none")
    _parts(readme)
    listed, texts, table = suite.load(file), {}, ""
    for report in listed:
        try:
            texts[_target(file, report)] = exhibit(report, file.stem)
        except ValueError as error:
            print(f"left out  {report.name}: {error}", flush=True)
    for report in listed:
        if report.notebook.name == RESULTS and _target(file, report) in texts:
            table = _table(report, _target(file, report))
    for name, text in texts.items():
        with atomic(folder / name) as temporary:
            temporary.write_text(text, "utf-8", newline="\n")
        print(f"written   {name}, {len(text.encode()) / 1e3:,.0f} kB", flush=True)
    _remove_old(folder, file.stem, {_target(file, report) for report in listed})
    if table:
        _write_table(readme, table)
    else:
        print(f"as it was the README's table: {RESULTS} is no exhibit of this suite", flush=True)
    return len(listed) - len(texts)


def _target(file: Path, report: Report) -> str:
    return f"{file.stem}-{report.name}.ipynb"


def _remove_old(folder: Path, of: str, kept: set[str]) -> None:
    """Remove the exhibits that say they are of this suite, but those that are kept."""
    for old in folder.glob(f"{of}-*.ipynb"):
        if old.name not in kept and stamps.read(old).get("suite") == of:
            old.unlink()


def exhibit(report: Report, of: str) -> str:
    """An executed report as it can be shown, of that suite; ValueError says why it cannot."""
    path = folder() / f"{report.name}.ipynb"
    if not is_current(report):
        raise ValueError("it is missing or out of date; make it: python -m s1m_lab suite …")
    nb = cleaned(json.loads(path.read_text("utf-8")), of)
    text = json.dumps(nb, indent=1, ensure_ascii=False) + "\n"
    if paths_left := _rooted("\n".join(stamps.texts(nb["cells"]))):
        raise ValueError(f"it names a path of this machine, {paths_left[0]!r}")
    if len(text.encode()) >= LARGEST:
        raise ValueError(f"{len(text.encode()) / 1e3:,.0f} kB are not below {LARGEST / 1e3:,.0f}")
    return text


def cleaned(nb: dict, of: str) -> dict:
    """A copy of an executed notebook without what is of this machine, and a cell that says what
    kind of machine, when and by what commit; its metadata names the suite it is of."""
    nb = copy.deepcopy(nb)
    about = nb["metadata"].get("s1m_lab", {})
    kept = {key: about[key] for key in ("date", "seconds", "runs", "machine", "version", "commit")}
    kept["suite"] = of
    language = {"name": nb["metadata"].get("language_info", {}).get("name", "python")}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb["metadata"] = {"kernelspec": kernel, "language_info": language, "s1m_lab": kept}
    for cell in nb["cells"]:
        tags = cell["metadata"].get("tags", [])
        cell["metadata"] = {"tags": tags} if tags else {}
        source = _without_paths("".join(cell["source"])).rstrip("\n")  # papermill ends with one
        cell["source"] = source.splitlines(keepends=True)
        outputs = [o for o in cell.get("outputs", []) if not _is_widget(o)]
        if cell["cell_type"] == "code":
            cell["outputs"] = [{k: _without_paths(v) for k, v in o.items()} for o in outputs]
            for output in cell["outputs"]:
                if "metadata" in output:
                    output["metadata"] = {}
    said = (
        f"Executed on {kept['date'][:10]} in {kept['seconds']:,.0f} s on {kept['machine']}, by "
        f"commit {kept['commit'] or 'unknown'} of s1m_lab {kept['version']}."
    )
    said = f"*{said}{_trained(**kept['runs'])}*"
    made = {"cell_type": "markdown", "id": "executed", "metadata": {}, "source": [said]}
    nb["cells"].insert(1, made)
    return nb


def _trained(shown: int, before: int, seconds: float) -> str:
    """` 2 of the 3 runs that it shows had been trained before, in 1,234 s.`; "" of none."""
    if not before:
        return ""
    which = f"{before} of the {shown} runs"
    if before == shown:
        which = f"The {shown} runs" if shown > 1 else "The run"
    return f" {which} that it shows had been trained before, in {seconds:,.0f} s."


def _is_widget(output: dict) -> bool:
    return any("jupyter.widget" in kind for kind in output.get("data", {}))


def _without_paths(value, places: dict[str, str] | None = None):
    """A JSON value in which paths of the home and the repository begin there, and not at the root.

    Pictures are left alone, and what only has the letters of such a path within: `/database` and
    `s3://bucket/data` where the home is `/data`.
    """
    places = _places() if places is None else places
    if isinstance(value, dict):
        return {
            k: v if k.startswith("image/") else _without_paths(v, places) for k, v in value.items()
        }
    if isinstance(value, list):
        return [_without_paths(item, places) for item in value]
    if not isinstance(value, str) or not places:
        return value
    roots = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))  # the innermost first
    pattern = rf"(?:\bfile://)?{START}({roots})(?:(/)(?=[\w.@-])|(?![\w-]|\.\w))"
    return re.sub(pattern, lambda m: _shortened(places[m[1]], m[2]), value)


def _shortened(short: str, inside: str | None) -> str:
    if inside:
        return f"{short}/" if short else ""
    return short or "."


def _places() -> dict[str, str]:
    """Folders of this machine, and what stands for each."""
    found = {str(Path.home()): "~", str(paths.REPOSITORY): "", str(paths.home()): ""}
    found |= {html.escape(root): short for root, short in found.items()}
    return {root: short for root, short in found.items() if root != "/"}


def _rooted(text: str) -> list[str]:
    """The paths in a text that begin at the root of this machine, or with a drive."""
    found = ROOTED.finditer(text)
    return [m[0] for m in found if m[1] is None or Path("/", m[1]).is_dir()]


# -------------------------------------------------------------------------------------- the README


def _parts(readme: Path) -> tuple[str, str]:
    """What stands before the README's two marks, and after them."""
    before, _, rest = readme.read_text("utf-8").partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"{readme} has no place for results: {MARKS[0]} … {MARKS[1]}")
    return before, after


def _write_table(readme: Path, text: str) -> None:
    before, after = _parts(readme)
    with atomic(readme) as temporary:
        whole = f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}"
        temporary.write_text(whole, "utf-8", newline="\n")


def _table(report: Report, target: str) -> str:
    """Table 1 of `RESULTS`, of the same runs as there, where it comes from, and what of the paper
    those runs confirm."""
    from s1m_lab.analysis import claims, results, run_groups
    from s1m_lab.analysis.evidence import collect

    known = stamps.defaults(report.notebook) | report.parameters
    found = run_groups.find(known["data"], known["runs"])
    evidence = collect(found, known["seed"])
    table, judged = results.table1(evidence), claims.judge(evidence)
    origin = _origin(found.data, table, report, target)
    return f"{readme_table(table)}\n\n{origin}\n\n{readme_claims(judged)}"


def readme_table(rows: pd.DataFrame) -> str:
    """`results.table1` as Markdown: scores in %, video Hit@1 with its 95 % interval, the paper's
    three beside them, and a dash where there is no number."""
    lines = [
        "| network | clip Hit@1 | video Hit@1 | video Hit@5 | paper's three | seeds | training |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for _, row in rows.iterrows():
        interval = ""
        if pd.notna(row["video_hit1_low"]):
            interval = f" ({_percent(row['video_hit1_low'])} to {_percent(row['video_hit1_high'])})"
        scores = ("clip_hit1", "video_hit1", "video_hit5")
        ours = [_percent(row[score]) for score in scores]
        ours[1] += interval
        theirs = " · ".join(_percent(row[f"{score}_paper"]) for score in scores)
        took = "–" if pd.isna(row["seconds"]) else f"{row['seconds']:,.0f} s"
        seeds = str(len(row["seeds"])) if len(row["seeds"]) else "–"
        lines.append(f"| {_cell(row['name'])} | {' | '.join(ours)} | {theirs} | {seeds} | {took} |")
    return "\n".join(lines)


def readme_claims(judged: pd.DataFrame) -> str:
    """`claims.judge` as a sentence: how many of the paper's claims hold here, and which do not."""
    sides = []
    for verdict, verb in ((AGREES, "agree with"), (DISAGREES, "disagree with")):
        own = [claim.rstrip(".") for claim in judged.loc[judged["verdict"] == verdict, "claim"]]
        sides.append(f"{verb} {len(own)}" + (f" (*{'*; *'.join(own)}*)" if own else ""))
    return (f"Of {len(judged)} claims of the paper these runs {' and '.join(sides)}; "
            f"{(judged['verdict'] == OPEN).sum()} undecided.")  # fmt: skip


def _percent(share: float) -> str:
    return "–" if pd.isna(share) else f"{100 * share:.1f}"


def _cell(text: str) -> str:
    """A text that is neither Markdown nor HTML, nor ends a cell."""
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", html.escape(" ".join(str(text).split())))


def _origin(data: str, table: pd.DataFrame, report: Report, target: str) -> str:
    """What report the table is of, what runs it counts, and what its columns say."""
    about = stamps.read(folder() / f"{report.name}.ipynb")
    found = [
        runs.load_run(name) for name in sorted({name for own in table["runs"] for name in own})
    ]
    if not found:
        return f"No run on `{data}` is finished yet."
    threads = sorted({run.results["threads"] for run in found})
    devices = sorted({run.config["machine"]["device"] for run in found})
    commits = sorted({run.results.get("commit") or "unknown" for run in found})
    return (
        f"Table 1 of [{report.name}](reports/{target}), executed on {about['date'][:10]} on "
        f"{about['machine']}: {len(found)} runs on `{data}`, trained on {', '.join(devices)} by "
        f"{' or '.join(map(str, threads))} threads, commit {', '.join(commits)}. Scores in %, "
        "means over the seeds, with the 95 % interval over test videos. The paper's three are its "
        "clip Hit@1, video Hit@1 and video Hit@5 on the 487 classes of Sports-1M: to be compared "
        "in their order, not their size, and `pocket` is made so that motion matters. Training is "
        "that of one network, in seconds; of the average that of its networks together, of the "
        "histograms that of all trials of their grid, without the time that describing the videos "
        "takes."
    )
