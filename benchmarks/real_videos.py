"""What the networks learn on real video: five small datasets, video Hit@1 with intervals.

    python benchmarks/real_videos.py FOLDER     # train what is missing, write the scores
    python benchmarks/real_videos.py            # print the tables of the scores that are there

FOLDER holds `ucf101_six`, `lips_words`, `videos/weizmann64` and
`videos/fight_surv`; docs/real.md gives their sources. Tables with the splits, and the films of the
arrow of time, are made in `data/real_videos` of the home. FOLDER is never written.

Trainings run one after another in the order of `trainings`, and the scores are written after each.
A finished run is found again, an interrupted one resumes. Intervals are 95 % bootstrap ones over
the test videos, the seeds averaged first. Where videos have groups, whole groups are drawn.
"""

import argparse
import datetime
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from s1m_lab.analysis import intervals
from s1m_lab.common import paths, system
from s1m_lab.common.files import write_json
from s1m_lab.data import catalog
from s1m_lab.data.shards import Shards
from s1m_lab.data.splits import SPLITS
from s1m_lab.figures import style
from s1m_lab.training import metrics, predict, runs
from s1m_lab.training.baseline.train import tune
from s1m_lab.training.config import TrainConfig
from s1m_lab.training.train import train
from s1m_lab.video import container, reader, writer

ROOT = Path(__file__).resolve().parents[1]
JSON = ROOT / "benchmarks" / "real_videos.json"
PLACES = {  # in the folder of real videos
    "ucf101_six": "ucf101_six",
    "lips_words": "lips_words",
    "arrow": "ucf101_six",
    "weizmann64": "videos/weizmann64",
    "fight_surv": "videos/fight_surv",
}
NAMES = {
    "ucf101_six": "UCF-101, six classes",
    "lips_words": "GRID lips, four words",
    "arrow": "Arrow of time, two directions",
    "weizmann64": "Weizmann, four actions",
    "fight_surv": "Surveillance, fight or not",
}
SIDE = 16  # pixels of the grey pictures of the nearest neighbour
FRAME = 8  # of a clip's 16, the middle one, that they show
# s; the first frame of a clip never comes from a film's last half second. Of the clips that start
# at half a second or later, first frames are as likely in a film as in its twin.
ARROW_SINCE = 0.5
TENFOLD = "slow, ten times the steps"
FOUR = ("single", "early", "late", "slow")  # of the paper's CNN average
THREEFOLD = {network: f"{network}, three times the steps" for network in FOUR}
LONGER = dict.fromkeys(THREEFOLD.values(), 3) | {TENFOLD: 10}
STARTED = "slow, started from pocket"
ROWS = {  # of the tables, with their names there and in the figure
    "nearest": ("nearest neighbour of one grey picture", "nearest neighbour"),
    "histograms": ("feature histograms + neural net", "feature histograms"),
    "single": ("single frame", "single frame"),
    "early": ("early fusion", "early fusion"),
    "late": ("late fusion", "late fusion"),
    "slow": ("slow fusion", "slow fusion"),
    "average": ("average of single frame and slow fusion", "single + slow"),
    "all": ("average of all four networks", "all four"),
    STARTED: ("slow fusion, started from `pocket`", "slow from pocket"),
    THREEFOLD["single"]: ("single frame, three times the steps", "single, 3 × steps"),
    THREEFOLD["early"]: ("early fusion, three times the steps", "early, 3 × steps"),
    THREEFOLD["late"]: ("late fusion, three times the steps", "late, 3 × steps"),
    THREEFOLD["slow"]: ("slow fusion, three times the steps", "slow, 3 × steps"),
    TENFOLD: ("slow fusion, ten times the steps", "slow, 10 × steps"),
}
COMPARED = {
    "early": "single",
    "late": "single",
    "slow": "single",
    "average": "single",
    "all": "single",
}
COMPARED |= {STARTED: "slow", THREEFOLD["slow"]: THREEFOLD["single"], TENFOLD: "slow"}
HEADLINE = "Ten frames beat one on lips; on UCF-101 the gain is undecided"
DOCUMENTS = ROOT / "docs" / "real.md", ROOT / "README.md"
FIGURE = ROOT / "reports" / "real_videos.png"


# --------------------------------------------------------------------------------------- datasets


def ucf_rows(folder: Path) -> list[dict]:
    """The clips of UCF-101 below `folder`, split by their groups.

    1–7 are test, as in the official split 1; 8–10 are validation, the rest train.
    """
    rows = []
    for path in sorted(folder.glob("*/*.avi")):
        label, group = re.fullmatch(r"v_(\w+)_g(\d\d)_c\d\d", path.stem).groups()
        split = "test" if int(group) <= 7 else "val" if int(group) <= 10 else "train"
        name = f"{folder.name}/{path.parent.name}/{path.name}"
        rows.append({"path": name, "labels": label, "split": split, "group": f"{label}-g{group}"})
    return rows


def weizmann_rows(folder: Path) -> list[dict]:
    """The Weizmann clips: persons 0–2 test, 3 validation, 4–8 train."""
    rows = []
    for path in sorted(folder.glob("*/p*.avi")):
        person = int(path.stem[1])
        split = "test" if person <= 2 else "val" if person == 3 else "train"
        name = f"{folder.name}/{path.parent.name}/{path.name}"
        rows.append({"path": name, "labels": path.parent.name, "split": split})
    return rows


def fight_rows(folder: Path) -> list[dict]:
    """The fights and the other videos: of each, by the SHA-256 of a file's name, the first 12 are
    test, the next 4 validation, the rest train."""
    rows = []
    for label in ("fight", "noFight"):
        videos = (folder / label).glob("*.mp4")
        order = sorted(videos, key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
        for n, path in enumerate(order):
            split = "test" if n < 12 else "val" if n < 16 else "train"
            name = f"{folder.name}/{label}/{path.name}"
            rows.append({"path": name, "labels": label, "split": split})
    return rows


def arrow_rows(rows: Sequence[dict], folder: Path) -> Iterator[dict]:
    """Of each video of `rows` (paths relative to `folder`) twins in `folder/arrow`: played forwards
    and backwards, coded anew frame by frame. Twins have their video's split and group.

    A video that does not decode to its end is left out.
    """
    for row in rows:
        path = folder / row["path"]
        twins = {way: f"arrow/{way}/{path.stem}.mp4" for way in ("forwards", "backwards")}
        if not all((folder / name).is_file() for name in twins.values()):
            try:
                info = reader.probe(path)
                frames = [_even(image) for _, image in reader.read(path, info=info)]
            except container.VideoError as error:
                print(f"no twins of {path.name}: {error}", flush=True)
                continue
            for name, images in zip(twins.values(), (frames, frames[::-1]), strict=True):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                writer.encode(folder / name, images, fps=info.fps, gop=1)
        for way, name in twins.items():
            yield row | {"path": name, "labels": way}


def _even(image: np.ndarray) -> np.ndarray:
    height, width = (side // 2 * 2 for side in image.shape[:2])
    return image[:height, :width]


@functools.cache
def make_table(name: str, source: Path) -> Path:
    """The table of a dataset. All but that of the lips are written, beside a link to the videos:
    a video's id, which decides its clips, is then the same on every machine."""
    place = source / PLACES[name]
    if name == "lips_words":
        return place / "words.csv"
    folder = paths.home() / "data" / "real_videos"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / place.name
    if not link.is_symlink():
        link.symlink_to(place.resolve(), target_is_directory=True)
    read = {"weizmann64": weizmann_rows, "fight_surv": fight_rows}.get(name, ucf_rows)
    if not (rows := read(link)):
        raise FileNotFoundError(
            f"{place} holds no videos of {name}; docs/real.md says what it needs"
        )
    rows = list(arrow_rows(rows, folder)) if name == "arrow" else rows
    pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder / f"{name}.csv"


# ---------------------------------------------------------------------------------------- trainings


class Training(NamedTuple):
    """One training; `row` is the row of the tables that it belongs to."""

    data: str
    row: str
    seed: int = 0


def trainings() -> list[Training]:
    """All trainings, those that say most first."""
    both, large = ("single", "slow"), ("ucf101_six", "lips_words")
    first = [Training(data, network) for data in (*large, "arrow") for network in both]
    seeds = [Training(d, network, s) for d in large for network in both for s in (1, 2)]
    other = [Training(data, network) for data in large for network in ("early", "late")]
    other += [Training(d, n) for d in ("weizmann64", "fight_surv") for n in both]
    other += [Training(data, "histograms") for data in large]
    started = [Training("ucf101_six", STARTED, seed) for seed in (0, 1, 2)]
    longer = [Training("lips_words", THREEFOLD[network], s) for network in both for s in (0, 1, 2)]
    longer += [Training("lips_words", THREEFOLD[network]) for network in ("early", "late")]
    return [*first, *seeds, *other, *started, Training("arrow", TENFOLD), *longer]


def run_training(one: Training, table: Path) -> runs.Run:
    """The finished run of a training, found or made."""
    if one.row == "histograms":
        return tune(table, seed=one.seed)
    model = one.row.partition(",")[0]
    config = TrainConfig(data=str(table), model=model, seed=one.seed)
    if one.row == STARTED:
        start = train(TrainConfig(data="pocket", model=model))
        config = TrainConfig(data=str(table), model=model, seed=one.seed, start=start.name)
    elif one.row in LONGER:
        epochs = LONGER[one.row] * train(config).config["settings"]["epochs"]
        config = TrainConfig(data=str(table), model=model, seed=one.seed, epochs=epochs)
    return train(config)


# ------------------------------------------------------------------------------------------- scores


class Found(NamedTuple):
    """The test videos that one predictor of a dataset classified right, and what it is made of."""

    hits: np.ndarray  # bool V
    facts: dict  # of its training


def video_hits(saved: predict.Predictions, run: runs.Run, since: float) -> np.ndarray:
    """Which test videos are classified right by their clips that start at `since` s or later.

    `run` is one of those that the predictions are of.
    """
    index = pq.read_table(run.path / "predictions" / "test.parquet", columns=["start"])
    kept = np.flatnonzero(index["start"].to_numpy() >= since)
    probabilities = saved.clip_probabilities[kept]
    means = metrics.video_average(probabilities, saved.clip_video[kept])  # V×K
    return metrics.hits(means, saved.labels, 1)


def measure(run: runs.Run, since: float) -> Found:
    """The hits of a finished run, and how its training went."""
    log = run.metrics
    facts = {"epoch": run.results["epoch"], "steps": int(log["step"].iloc[-1])}
    if run.results["model"] != "histograms":
        facts |= {"loss": round(float(log["loss"].dropna().iloc[-1]), 4)}
        facts |= {"val_hit1": round(float(log["val_hit1"].max()), 4)}
    return Found(video_hits(predict.load_predictions(run), run, since), facts)


def summary(draws: np.ndarray) -> dict:
    """The measured value and its interval, of a value measured and in every resample."""
    ends = [round(float(end), 4) for end in intervals.interval(draws[1:])]
    return {"mean": round(float(draws[0]), 4), "interval": ends}


def score(several: Sequence[Found], groups: np.ndarray) -> dict:
    """Video Hit@1 of one row: the mean over the seeds with its interval, and each seed.

    `groups` is the number of each video's group; whole groups are drawn.
    """
    return summary(resample(several, groups)) | {
        "seeds": [round(float(found.hits.mean()), 4) for found in several],
        "trainings": [found.facts for found in several if found.facts],
    }


def resample(several: Sequence[Found], groups: np.ndarray) -> np.ndarray:
    """The mean over the seeds of the share of hits, measured and in every resample: 1+draws."""
    each = [np.bincount(groups, found.hits) for found in several]
    counts = [[hits, np.bincount(groups)] for hits in each]  # S×2×U
    shares = intervals.resample_ratios(np.moveaxis(np.array(counts), 1, 2)[:, :, None])
    return shares[:, 0].mean(axis=0)


def difference(one: Sequence[Found], other: Sequence[Found], groups: np.ndarray) -> dict:
    """By how much `one` is above `other`, on the same videos, with the paired interval."""
    return summary(resample(one, groups) - resample(other, groups))


def pictures(shards: Shards) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The middle frame of every clip as a small grey picture (N×256, mean 0, length 1), the clip's
    class, and its video's id."""
    rows, labels, videos = [], [], []
    for shard, count in enumerate(shards.counts):
        index = shards.index(shard)
        labels += [own[0] for own in index["labels"].to_pylist()]
        videos += index["video"].to_pylist()
        for row in range(count):
            image = shards.read(shard, [row], [FRAME])[0, 0]
            rows.append(reader.fit(image, SIDE, SIDE).mean(axis=-1).ravel())
    flat = np.array(rows) - np.mean(rows, axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    return flat, np.array(labels), videos


def nearest_neighbour(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, video: np.ndarray
) -> np.ndarray:
    """The class of every test video (V): each of its clips votes for the class of the most similar
    training clip, by the cosine of `train` (N×D) and `test` (M×D, rows of length 1).

    `video` is the number of each test clip's video. Of equal votes the lower class wins.
    """
    chosen = [labels[(part @ train.T).argmax(axis=1)] for part in np.array_split(test, 50)]
    votes = np.zeros((video.max() + 1, labels.max() + 1), int)
    np.add.at(votes, (video, np.concatenate(chosen)), 1)
    return votes.argmax(axis=1)


@functools.cache
def neighbour_choices(folder: Path) -> dict[str, int]:
    """The class that the nearest neighbour gives each test video of a dataset, by id."""
    train, labels, _ = pictures(Shards(folder / "clips", "train"))
    test, _, videos = pictures(Shards(folder / "clips", "test"))
    ids, video = np.unique(videos, return_inverse=True)
    chosen = nearest_neighbour(train, labels, test, video)
    return dict(zip(ids.tolist(), chosen.tolist(), strict=True))


def group_numbers(folder: Path, ids: Sequence[str]) -> np.ndarray:
    """The number of each video's group; a video without one is its own."""
    own = catalog.load_catalog(folder).set_index("id")["group"].dropna().to_dict()
    return np.unique([own.get(name, name) for name in ids], return_inverse=True)[1]


def describe(table: Path, found: dict[str, dict[int, runs.Run]]) -> dict:
    """All that the JSON holds of one dataset; `found` are its finished runs by row and seed."""
    folder, since = paths.dataset(table), ARROW_SINCE if Path(table).stem == "arrow" else 0.0
    saved = predict.load_predictions(found["single"][0])
    groups = group_numbers(folder, saved.ids)
    rows = {name: [measure(run, since) for run in own.values()] for name, own in found.items()}
    for name, members in (("average", ("single", "slow")), ("all", FOUR)):
        seeds = sorted(set.intersection(*(set(found.get(member, {})) for member in members)))
        several = [[found[member][s] for member in members] for s in seeds]
        means = [video_hits(predict.average(each), each[0], since) for each in several]
        rows |= {name: [Found(mean, {}) for mean in means]} if means else {}
    chosen = neighbour_choices(folder)
    nearest = [[chosen[name]] == own for name, own in zip(saved.ids, saved.labels, strict=True)]
    rows["nearest"] = [Found(np.array(nearest), {})]
    classes = catalog.load_catalog(folder).attrs["classes"]
    out = {
        "classes": classes,
        "videos": {split: count_videos(Shards(folder / "clips", split)) for split in SPLITS},
        "groups": len(set(groups)),  # of test videos; as many where they have none
        "chance": round(1 / len(classes), 4),
        "largest": round(max(np.bincount(np.concatenate(saved.labels))) / len(saved.ids), 4),
        "scores": {name: score(several, groups) for name, several in rows.items()},
        "differences": {},
    }
    for name in [n for n in ROWS if n in rows and n in COMPARED]:
        one, other = rows[name], rows[COMPARED[name]]
        seeds = min(len(one), len(other))  # the same of both
        key = f"{name} − {COMPARED[name]}"
        out["differences"][key] = difference(one[:seeds], other[:seeds], groups)
    return out


def count_videos(shards: Shards) -> int:
    """How many videos of a split have clips."""
    parts = [shards.index(shard)["video"].to_pylist() for shard in range(len(shards.counts))]
    return len({name for part in parts for name in part})


def write_scores(tables: dict[str, Path], found: dict, path: Path) -> None:
    """Write the JSON of all runs found so far."""
    several = [run for rows in found.values() for own in rows.values() for run in own.values()]
    out = {
        "date": datetime.date.today().isoformat(),
        "machine": system.machine(),
        "torch": sorted({run.config["machine"]["torch"] for run in several}),
        "precision": sorted({run.results["precision"] for run in several}),
        "commit": sorted({run.results["commit"] for run in several}),
        "command": "python benchmarks/real_videos.py FOLDER",
        "data": {name: describe(tables[name], rows) for name, rows in found.items()},
    }
    write_json(path, out, "\n", indent=1, ensure_ascii=False)


def train_all(source: Path, path: Path) -> None:
    """Train what is missing, and write the scores after each training."""
    tables: dict[str, Path] = {}
    found: dict[str, dict[str, dict[int, runs.Run]]] = {}
    for one in trainings():
        print(f"{one.data}: {one.row}, seed {one.seed}", flush=True)
        tables[one.data] = make_table(one.data, source)
        run = run_training(one, tables[one.data])
        found.setdefault(one.data, {}).setdefault(one.row, {})[one.seed] = run
        write_scores(tables, found, path)


# -------------------------------------------------------------------------------- tables, figure


def percent(value: dict, sign: str = "") -> str:
    """`79.8 (71.4 to 88.1)`, in %; with the sign "+" `+3.2 (−1.0 to +7.1)`, in points."""
    ends = " to ".join(f"{100 * end:{sign}.1f}" for end in value["interval"])
    text = f"{100 * value['mean']:{sign}.1f} ({ends})"
    seeds = len(value.get("seeds", []))
    return text.replace("-", "−") + (f" ×{seeds}" if seeds > 1 else "")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table; its first row is the header, its first column is text, the others are numbers."""
    lines = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(out: dict, data: str, row: str) -> str:
    """One score; `missing` where its training is planned and not finished, `–` where none is."""
    if value := out["data"].get(data, {}).get("scores", {}).get(row):
        return percent(value)
    return "missing" if any((one.data, one.row) == (data, row) for one in trainings()) else "–"


def gain(out: dict, data: str, key: str = "slow − single") -> str:
    """One paired difference, in points."""
    value = out["data"].get(data, {}).get("differences", {}).get(key)
    return percent(value, "+") if value else "missing"


def origin(out: dict) -> str:
    """What the numbers are, and what made them."""
    several = [own for about in out["data"].values() for own in about["scores"].values()]
    count = sum(len(own["trainings"]) for own in several)
    made = f"{count} trainings on {out['machine']}, in {' and '.join(out['precision'])}, torch "
    made += f"{', '.join(out['torch'])}, commit {', '.join(out['commit'])}, {out['date']}"
    return (
        "Video Hit@1 in %, with the 95 % interval over test videos (on clips of UCF-101 over whole "
        "groups). ×3 is the mean of three seeds; a score without it is of one seed. Gains are in "
        f"points, on the same videos and seeds. {made}, by `{out['command']}` "
        "(`benchmarks/real_videos.json`)."
    )


def score_table(out: dict) -> str:
    """Every predictor on every dataset, and what made the numbers."""
    about = [out["data"].get(data) for data in NAMES]
    facts = {
        "videos in train, val, test": lambda own: " · ".join(map(str, own["videos"].values())),
        "chance": lambda own: f"{100 * own['chance']:.1f}",
        "always the largest class": lambda own: f"{100 * own['largest']:.1f}",
    }
    table = markdown(
        [
            ["", *NAMES.values()],
            *(
                [name, *(fact(own) if own else "–" for own in about)]
                for name, fact in facts.items()
            ),
            *([text, *(cell(out, data, row) for data in NAMES)] for row, (text, _) in ROWS.items()),
        ]
    )
    return f"{table}\n\n{origin(out)}"


def difference_table(out: dict) -> str:
    """The paired differences on every dataset."""
    keys = [f"{row} − {other}" for row, other in COMPARED.items()]
    found = [
        (data, k) for data in out["data"] for k in keys if k in out["data"][data]["differences"]
    ]
    rows = [[NAMES[data], key, gain(out, data, key)] for data, key in found]
    return markdown([["dataset", "difference", "points"], *rows])


def summary_table(out: dict) -> str:
    """The README's table: a row a dataset with scores, and what made the numbers."""
    names = {row: ROWS[row][1] for row in ("nearest", "histograms", "single", "slow")}
    rows = [["", "test videos", "chance", *names.values(), "slow − single"]]
    for data, own in out["data"].items():
        facts = [str(own["videos"]["test"]), f"{100 * own['chance']:.1f}"]
        scores = [cell(out, data, row) for row in names]
        rows.append([NAMES[data], *facts, *scores, gain(out, data)])
        if any(one.data == data and one.row in THREEFOLD.values() for one in trainings()):
            pair = THREEFOLD["single"], THREEFOLD["slow"]
            scores = ["", "", *(cell(out, data, row) for row in pair)]
            longer = gain(out, data, " − ".join(pair[::-1]))
            rows.append(["… three times the steps", "", "", *scores, longer])
    return f"{markdown(rows)}\n\n{origin(out)}"


TABLES = {"scores": score_table, "differences": difference_table, "summary": summary_table}


def fill(text: str, out: dict) -> str:
    """A document with its tables made anew of the JSON.

    A table stands between `<!-- real videos: <its name> -->` and `<!-- end -->`.
    """
    return re.sub(
        r"(<!-- real videos: (\w+) -->\n).*?(?=<!-- end -->)",
        lambda m: f"{m[1]}\n{TABLES[m[2]](out)}\n\n",
        text,
        flags=re.DOTALL,
    )


@style.styled
def draw(out: dict):
    """A panel a dataset: video Hit@1 of every predictor, with its interval and its seeds."""
    names = [name for name in ROWS if any(name in own["scores"] for own in out["data"].values())]
    fig, (axes,) = style.new_figure(1, len(out["data"]), 3.6, sharey=True)
    for ax, (data, own) in zip(axes, out["data"].items(), strict=True):
        rows = [row for row, name in enumerate(names) if name in own["scores"]]
        scores = [own["scores"][names[row]] for row in rows]
        values = [[100 * v for v in (s["mean"], *s["interval"])] for s in scores]
        table = pd.DataFrame(values, columns=["hit1", "hit1_low", "hit1_high"])
        colours = [
            style.PAPER if names[row] == "nearest" else style.colour(names[row].partition(",")[0])
            for row in rows
        ]
        style.draw_intervals(ax, table, "hit1", rows, colours)
        for row, found in zip(rows, scores, strict=True):
            if len(seeds := found["seeds"]) > 1:
                ax.plot(
                    100 * np.array(seeds), [row + 0.28] * len(seeds), "|", color=style.INK, ms=4
                )
        ax.axvline(100 * own["chance"], color=style.PAPER, linestyle=":", linewidth=1.4, zorder=0)
        ax.set(xlim=(0, 103), xticks=(0, 50, 100))
        name = NAMES[data].replace(", ", "\n")
        ax.set_title(f"{name}\n{own['videos']['test']} test videos", fontsize=9)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
    style.name_rows(axes[0], [ROWS[name][1] for name in names], length=22)
    axes[len(axes) // 2].set_xlabel("video Hit@1 (%); dotted: chance; ticks: seeds")
    style.headline(fig, HEADLINE)
    return fig


def write_documents(out: dict) -> None:
    """Make the tables of the documents and the figure anew."""
    for path in DOCUMENTS:
        path.write_text(fill(path.read_text("utf-8"), out), "utf-8")
    FIGURE.write_bytes(draw(out).png())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", help="the real videos; without it nothing is trained")
    parser.add_argument("--json", type=Path, default=JSON, help="the scores are written here")
    parser.add_argument(
        "--write",
        action="store_true",
        help="train nothing, make the tables of the documents and the figure anew",
    )
    args = parser.parse_args()
    if args.folder and not args.write:
        train_all(Path(args.folder), args.json)
    out = json.loads(args.json.read_text("utf-8"))
    if args.write:
        write_documents(out)
    print(score_table(out), difference_table(out), sep="\n\n")


if __name__ == "__main__":
    main()
