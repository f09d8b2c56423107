"""What every trial of a harm ended in, and the table of docs/faults.md.

    tally.add(Trial("training killed", "run 0", tried=5, survived=5, healed=5, seconds=[3.1]))
    tally.write()                          # benchmarks/faults.json and docs/faults.md

The next `make faults` does not repeat a trial that went well.
"""

import json
import re
import statistics
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from s1m_lab.common import system
from s1m_lab.training import runs

ROOT = Path(__file__).resolve().parents[2]
FIGURES, PAGE = ROOT / "benchmarks" / "faults.json", ROOT / "docs" / "faults.md"
START, END = "<!-- faults: written by make faults -->", "<!-- faults: end -->"
HARMS = {  # in the order of the table
    "training killed": "SIGKILL of `train` at random moments",
    "training stopped": "SIGTERM of `train`",
    "two ranks stopped": "SIGTERM of `train` on two ranks under torchrun",
    "ingest killed": "SIGKILL of `ingest` at random moments, one process",
    "ingest with workers killed": "SIGKILL of `ingest` at random moments, two workers",
    "worker killed": "SIGKILL of one worker of an ingest",
    "videos broken": "Bytes of videos flipped, cut, spliced, zeroed",
    "files damaged": "Files of a dataset, a run, features and reports damaged",
    "disk full": "A disk that becomes full",
    "strangers": "Hostile folders, archives, tables and weights",
    "home read-only": "A home that cannot be written",
}


@dataclass
class Trial:
    """One trial of a harm, or several of one kind; numbers are how many of those `tried`.

    None stands for what does not apply: nobody needs to notice a kill.
    """

    harm: str
    name: str
    tried: int = 1
    survived: int = 0  # other work went on, or the process ended in one sentence
    noticed: int | None = None  # the sentence names the file
    by_check: int = 0  # of the noticed, those that only `python -m s1m_lab check` names
    healed: int | None = None  # the same command, repeated, ended in the bytes of undisturbed work
    lost: int = 0  # files that nothing brought back
    seconds: list[float] = field(default_factory=list)  # of the repeated commands
    said: str = ""
    commit: str = ""

    @property
    def good(self) -> bool:
        counts = (self.survived, self.noticed, self.healed)
        return not self.lost and all(n in (None, self.tried) for n in counts)


class Tally:
    """The trials of a session and of earlier ones, in a file."""

    def __init__(self, file: Path):
        self.file, self.trials = file, list[Trial]()
        self.commit = runs.commit()  # now, since the figures themselves change a file of it
        if file.is_file():
            about = json.loads(file.read_text("utf-8"))
            self.trials = [Trial(**row) for row in about["trials"]]

    def has(self, harm: str, name: str) -> bool:
        """Whether a trial was made before, and ended well."""
        return any(t.good for t in self.trials if (t.harm, t.name) == (harm, name))

    def add(self, trial: Trial) -> None:
        """Count a trial, in place of an earlier one of its name."""
        trial.commit = self.commit
        trial.said = re.sub(r"/\S*/home(?=/)", "…", trial.said)  # no folder of this machine
        for key in ("survived", "noticed", "by_check", "healed", "lost"):  # True is 1
            if (value := getattr(trial, key)) is not None:
                setattr(trial, key, int(value))
        trial.seconds = [round(seconds, 1) for seconds in trial.seconds]
        same = (trial.harm, trial.name)
        self.trials = [t for t in self.trials if (t.harm, t.name) != same] + [trial]
        order = list(HARMS)
        self.trials.sort(key=lambda t: order.index(t.harm))
        about = {"machine": system.machine(), "date": f"{date.today()}"}
        rows = [asdict(each) for each in self.trials]
        text = json.dumps(about | {"trials": rows}, indent=1, ensure_ascii=False)
        self.file.write_text(text + "\n", "utf-8")


def table(about: dict) -> str:
    """The figures of `benchmarks/faults.json` as a table, a row a harm."""
    trials = [Trial(**row) for row in about["trials"]]
    rows = ["| harm | tried | survived | noticed | healed | lost | recovery, s |"]
    rows += ["|---|--:|--:|--:|--:|--:|--:|"]
    for harm in HARMS:
        own = [trial for trial in trials if trial.harm == harm]
        if not own:
            continue
        seconds = [s for trial in own for s in trial.seconds]
        middle = f"{statistics.median(seconds):.1f}" if seconds else "–"
        counts = [_sum(own, key) for key in ("tried", "survived", "noticed", "healed", "lost")]
        if alone := sum(trial.by_check for trial in own):
            counts[2] += f" ({alone:,} by `check` alone)"
        rows.append(f"| {harm} | {' | '.join(counts)} | {middle} |")
    commits = ", ".join(sorted({f"`{trial.commit}`" for trial in trials}))
    made = f"`make faults` on {about['machine']}, {about['date']}, commit {commits}."
    return "\n".join([*rows, "", made])


def _sum(trials: list[Trial], key: str) -> str:
    counted = [trial for trial in trials if getattr(trial, key) is not None]
    some = f" of {sum(t.tried for t in counted):,}" if len(counted) < len(trials) else ""
    return f"{sum(getattr(t, key) for t in counted):,}{some}" if counted else "–"


def fill(page: str, about: dict) -> str:
    """The page with the table of these figures."""
    before, rest = page.split(START)
    return f"{before}{START}\n\n{table(about)}\n\n{END}{rest.split(END)[1]}"
