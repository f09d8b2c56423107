"""Metadata in the format of Sports-1M, and what reading it costs.

    python benchmarks/catalog.py FOLDER                     # 1,133,158 rows, as in the real set
    python benchmarks/catalog.py FOLDER --rows 20000

Where S1M_REAL_DATA names the real lists, ids and labels of test videos are real; all other ids, and
every title, duration and size, are invented: durations follow the published quantiles (80/85/90/95
%: 338/416/526/643 s, mean 336 s), titles a few templates. A known number of rows is broken, in
every way that the reader must notice. `benchmarks/bench.py` times with `measure`: each reading runs
in a fresh process; its time leaves imports out, its peak memory counts them.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from s1m_lab.common.files import atomic
from s1m_lab.data.catalog import read_labels

ROOT = Path(__file__).resolve().parent.parent
ROWS = 1_133_158
NEAR_DUPLICATES = 1_755 / ROWS  # published
ALPHABET = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
# share of videos → duration in s; between two points its logarithm grows evenly
SHARES = (0, 0.1, 0.25, 0.5, 0.8, 0.85, 0.9, 0.95, 1)
DURATIONS = (4, 30, 70, 160, 338, 416, 526, 643, 9_000)
SIZES = ((640, 360), (480, 360), (1280, 720), (320, 240), (1920, 1080), (640, 480), (360, 640))
SIZE_SHARES = (0.34, 0.24, 0.2, 0.12, 0.05, 0.03, 0.02)
TITLES = """{name} {year}|{name} highlights {year}|How to: {name} for beginners (part {n})|
{place} {name} final {year} HD|{name} - {place} vs {other}|best of {name} #{n}|My first {name} :)|
{name} Weltmeisterschaft {place} {year}|{name}: Training für Anfänger, Teil {n}|
Finale de {name} à {place}, n°{n}|Championnat de {name} {year}|Campeonato de {name} en {place}|
Чемпионат {year}, {place} — {name}|Тренировка № {n}|{name} 選手権大会 {year}|第{n}回 {place}大会|
{name} 精彩集锦 {year}|بطولة {name} {year}|Mistrzostwa {place} {year} ({name})|IMG_{n}.MOV|
GOPR{n}|a day in {place} "{n}"|<b>{name}</b> & friends {year}|vacation {place} {year}"""
PLACES = "Praha Zürich London Rio Москва 東京 Oslo Wien Lima Seoul Kraków Nice Cairo Perth".split()


def published(real: Path | None, rng: np.random.Generator) -> tuple[list, list, list]:
    """(class names, ids, label lists) of the real test list; without it, all three invented."""
    if real:
        folder = real / "sports1m"
        lines = (folder / "test_videos.txt").read_text("utf-8").splitlines()
        pairs = [line.split() for line in lines]
        labels = [[int(n) for n in numbers.split(",")] for _, numbers in pairs]
        return read_labels(folder / "labels.txt"), [name for name, _ in pairs], labels
    first = rng.integers(0, 487, 10_000)
    labels = [[int(n)] if k % 20 else sorted({int(n), int(n) // 2}) for k, n in enumerate(first)]
    return [f"sport {n}" for n in range(487)], [], labels


def invent_ids(n: int, taken: set, rng: np.random.Generator) -> list[str]:
    """n new ids of 11 characters, none of them in `taken`."""
    letters = ALPHABET[rng.integers(0, 64, (n + n // 100 + 10, 11))]
    made = dict.fromkeys(map("".join, letters.tolist()))
    return [name for name in made if name not in taken][:n]


def invent_titles(labels: list, classes: list, rng: np.random.Generator) -> list[str]:
    """A title for every video, most of them with its class's name in it."""
    templates = [line.strip() for line in TITLES.replace("\n", "").split("|")]
    which = rng.integers(0, len(templates), len(labels)).tolist()
    years = rng.integers(2005, 2014, len(labels)).tolist()
    numbers = rng.integers(1, 9999, len(labels)).tolist()
    places = rng.integers(0, len(PLACES), (len(labels), 2)).tolist()
    return [
        templates[t].format(name=classes[row[0]], year=year, n=n, place=PLACES[a], other=PLACES[b])
        for t, row, year, n, (a, b) in zip(which, labels, years, numbers, places, strict=True)
    ]


def broken(rows: list[dict], tested: dict, n: int, rng: np.random.Generator) -> dict[str, int]:
    """Break about n rows of train for each reason, and a different number for each: the numbers.

    A row broken twice counts once. `tested` is a test video, which some rows of train repeat.
    """
    ways = {
        "without an id": [{"id": "", "stitle": "y" * 100_000}, {"id": None}],
        "without labels": [{"label487": []}, {"label487": None}],
        "with a label that has no class": [{"label487": [487]}, {"label487": [0, -1]}],
        "with a duration that is no number above 0": [{"duration": 0}, {"duration": "unknown"}],
        "with a title of more than 1,000 characters": [{"stitle": "x" * 1_001}],
        "with a title with control characters": [{"stitle": "a\nb"}, {"stitle": "a\x7fb\x85"}],
        "of a video already listed": [{"id": rows[0]["id"]}, {"id": tested["id"]}],
    }
    counts = {reason: n + extra for extra, reason in enumerate(ways)}
    chosen = iter(rng.permutation(np.arange(1, len(rows)))[: sum(counts.values())].tolist())
    for reason, changes in ways.items():
        for k in range(counts[reason]):
            rows[next(chosen)] |= changes[k % len(changes)]
    return counts


def make(folder: Path, rows: int = ROWS, real: Path | None = None, seed: int = 0) -> dict:
    """Write `sports1m_train.json`, `sports1m_test.json` and `labels.txt` into `folder`.

    Returns what is real and what invented, and how many rows are broken, by reason; `made.txt`
    holds the same, as JSON.
    """
    rng = np.random.default_rng(seed)
    classes, known, labels = published(real, rng)
    tests = rows // 5
    ids = [known[k] for k in rng.permutation(len(known))[:tests]] if known else []
    number = dict(zip(known, labels, strict=False))
    drawn = rng.integers(0, len(labels), rows - len(ids)).tolist()
    labels = [number[name] for name in ids] + [labels[k] for k in drawn]
    invented = rows - len(ids)
    ids += invent_ids(invented, set(known), rng)
    titles = invent_titles(labels, classes, rng)
    seconds = np.exp(np.interp(rng.random(rows), SHARES, np.log(DURATIONS)))
    seconds = np.rint(seconds).astype(int).tolist()
    sizes = rng.choice(len(SIZES), rows, p=SIZE_SHARES).tolist()
    near = rng.permutation(rows)[: 2 * max(1, round(rows * NEAR_DUPLICATES))].reshape(2, -1)
    for one, other in near.T.tolist():
        titles[other], seconds[other] = titles[one], seconds[one]
    videos = [
        {
            "stitle": titles[k],
            "label487": labels[k],
            "thumbnail": f"https://i.ytimg.com/vi/{ids[k]}/default.jpg",
            "width": SIZES[sizes[k]][0],
            "height": SIZES[sizes[k]][1],
            "duration": seconds[k],
            "id": ids[k],
            "source487": "test" if k < tests else "train",
        }
        for k in range(rows)
    ]
    counts = broken(videos[tests:], videos[0], max(2, rows // 40_000), rng)
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in (("test", videos[:tests]), ("train", videos[tests:])):
        with atomic(folder / f"sports1m_{split}.json") as path:
            path.write_text(json.dumps(part), "utf-8")
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in classes), "utf-8")
    about = {
        "rows": rows,
        "real": "ids and labels of test videos" if known else "nothing",
        "ids invented": invented,
        "titles, durations, sizes": "all invented",
        "seed": seed,
        "near-duplicates": near.shape[1],
        "mean duration": round(float(np.mean(seconds)), 1),
        "broken": counts,
    }
    (folder / "made.txt").write_text(json.dumps(about, indent=1, ensure_ascii=False), "utf-8")
    return about


PROGRAM = """
import json, sys, time
from pathlib import Path
import duckdb, pandas
from s1m_lab.data.catalog import load_catalog, save_catalog
from s1m_lab.data.sports1m import read_sports1m

def most():  # bytes that this process has held
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

folder, files = Path(sys.argv[1]), sorted(Path(sys.argv[1]).glob("sports1m_*.json"))
before, start = most(), time.perf_counter()
{work}
about = {{"seconds": time.perf_counter() - start, "rows": rows}}
about |= {{"peak_gb": most() / 1e9, "grown_mb": (most() - before) / 1e6}}
print(json.dumps(about | {{"broken": df.attrs.get("broken", {{}}) if ours else {{}}}}))
"""
RIVAL, OURS = "pandas.read_json", "read, split and save the JSON"
AGAIN, BOUND = "load what was saved", "DuckDB parsing alone"
WORKS = {
    RIVAL: "rows, ours = sum(len(pandas.read_json(file)) for file in files), False",
    OURS: "df = read_sports1m(folder); save_catalog(df, folder / 'catalog')\n"
    "ours, rows = True, len(df)",
    AGAIN: "df = load_catalog(folder / 'catalog'); ours, rows = False, len(df)",
    BOUND: "from s1m_lab.data.sports1m import COLUMNS\n"
    "how = f\"columns = {COLUMNS}, format = 'array', ignore_errors = true\"\n"
    "each = [duckdb.sql(f\"from read_json('{file}', {how})\") for file in files]\n"
    "ours, rows = False, sum(len(one.to_arrow_table()) for one in each)",
}


def measure(folder: Path, rounds: int, names: Sequence[str] = tuple(WORKS)) -> dict:
    """What every work took, round by round, each time in a fresh process. Needs Linux."""
    found: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, "-c", PROGRAM.format(work=WORKS[name]), str(folder)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to make the files")
    parser.add_argument("--rows", type=int, default=ROWS)
    args = parser.parse_args()
    real = os.environ.get("S1M_REAL_DATA")
    about = make(args.folder.resolve(), args.rows, Path(real) if real else None)
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
