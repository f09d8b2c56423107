"""Label new videos by a run's network: into a table, or into a CSV that grows as they are read.

predict_videos("pocket-slow-s0-4fef3e43", ["surf.mp4"])      # a table
rows = write_labels(run, files, Path("labels.csv"))          # rerun it to resume
"""

import csv
import io
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from s1m_lab.common import files, system
from s1m_lab.common import paths as places
from s1m_lab.common.progress import Progress
from s1m_lab.data import catalog
from s1m_lab.data.augment import stored_side
from s1m_lab.training import distributed, predict, runs
from s1m_lab.video import container, reader

CLIPS = 20  # §4: clips of a new video


def predict_videos(run: runs.Run | str, paths: Iterable[str | Path], n: int = CLIPS):
    """Label new videos: a DataFrame with a row a path: path, status, label1…5, probability1…5.

    Up to `n` clips of each are scored as test clips are. A video that cannot be read has a row too,
    with the reason as its status.
    """
    run = run if isinstance(run, runs.Run) else runs.load_run(run)
    return pd.DataFrame(_label(run, list(paths), n), columns=_columns(run))


def write_labels(run: runs.Run, paths: Sequence[Path], out: Path) -> dict[Path, dict[str, str]]:
    """Label new videos into a CSV as they are read; a row (its cells as text) for each path.

    The columns are those of `predict_videos`. If interrupted, call it again: it labels the missing
    videos. New files get their rows at the end. A hidden folder beside the CSV records the weights,
    and each file's path, size and time of change. `.sha256` has the digest of a complete CSV.

    Raises OSError before any work if `out` cannot be written, or holds anything else.
    """
    runs.network_facts(run)
    if os.path.isdir(out):
        raise IsADirectoryError(f"{path_text(out)} is a folder; --out takes the name of a CSV")
    if not os.path.isdir(out.parent):
        raise FileNotFoundError(f"there is no folder for {path_text(out)}; make it first")
    record = out.with_name(f".{_cut(out.stem)}-{files.fingerprint(name=path_text(out.name))[:8]}")
    record /= "inputs.json"
    fresh = not os.path.exists(out) or os.path.isfile(out) and not os.path.getsize(out)
    if not fresh and not (os.path.isfile(out) and record.is_file()):
        raise _taken(out, "is there already")
    with _writing(out):
        record.parent.mkdir(exist_ok=True)
        open(out, "ab").close()
    with files.exclusive(record.parent):
        order, done = _resume(run, paths, out, record)
        if missing := order[len(done) :]:
            with _writing(out):
                files.forget(out)
            for row in _label(run, missing, CLIPS, len(done)):
                cells = [row.get(column, "") for column in _columns(run)]
                done.append([c if isinstance(c, str) else f"{c:.6f}" for c in cells])
                _append(out, done[-1])
        if not files.digests(out.parent).get(out.name):
            with _writing(out):
                files.record(out)
    named = (dict(zip(_columns(run), row, strict=True)) for row in done)
    return dict(zip(order, named, strict=True))


def score_by_folders(run: runs.Run, folder: Path, rows: dict[Path, dict[str, str]]) -> str:
    """A sentence: video Hit@1 of the readable videos in folders named as classes of the run.

    `rows` are those of `write_labels`. The class of a video is the folder directly below `folder`,
    or below that (of a split). Empty where no folder bears a class's name.
    """
    own = {catalog.class_name(label): label for label in run.labels}
    right, counts, others, scored = 0, Counter[str](), 0, set()
    for path, row in rows.items():
        parts = [catalog.class_name(part) for part in path.relative_to(folder).parts[:-1][:2]]
        label = next((own[part] for part in parts if part in own), None)
        if row["status"] != "ok" or label is None:
            others += row["status"] == "ok"
            continue
        counts[label] += 1
        scored.add(str(path.resolve()))
        # as in `metrics.hits`, a tie counts against the network
        right += row["label1"] == label and row["probability1"] != row.get("probability2")
    if not (n := counts.total()):
        return ""
    largest, most = counts.most_common(1)[0]
    aside = f" · {others:,} readable videos in other folders are not scored" if others else ""
    if seen := len(_training_videos(run) & scored):
        aside += f" · {seen:,} scored videos are training videos, so the score is too high"
    return (
        f"video Hit@1 {right / n:.1%} · chance {1 / len(own):.1%} · always the largest class "
        f"({largest}) {most / n:.1%} · on {n:,} readable videos in folders of {len(counts):,} of "
        f"{len(own):,} classes{aside}"
    )


def _training_videos(run: runs.Run) -> set[str]:
    """The paths of the videos of the training split of a run's dataset, if that is here."""
    folder = places.dataset(run.config["settings"]["data"])
    if not (folder / "catalog.parquet").is_file():
        return set()
    df = catalog.load_catalog(folder)
    train = df["path"][df["split"] == "train"].dropna()
    return {str((folder / path).resolve()) for path in train if not places.is_url(path)}


def short_name(path: Path) -> str:
    """The stem of a path, cut to 100 bytes of printable text, and 8 hex of the whole path."""
    return f"{_cut(path.resolve().stem)}-{files.fingerprint(path=path_text(path.resolve()))[:8]}"


def _cut(name: str) -> str:
    return catalog.one_line(os.fsencode(name)[:100].decode("utf-8", "ignore"))


def _columns(run: runs.Run) -> list[str]:
    numbers = range(1, min(5, len(run.labels)) + 1)
    return ["path", "status", *(f"{c}{i}" for i in numbers for c in ("label", "probability"))]


def _label(
    run: runs.Run, paths: Sequence[str | Path], n: int, done: int = 0
) -> Iterator[dict[str, str | float]]:
    """The row of each path, in order; `done` others were labelled before."""
    device = distributed.alone().device
    precision = "bf16" if system.has_bf16(device.type) else "fp32"
    net = runs.load_network(run).to(device)
    if done:
        print(f"{done:,} videos were labelled before", flush=True)
    progress = Progress("labelling", done + len(paths), "videos", done)
    for path in paths:
        name = path_text(path)
        row: dict[str, str | float] = {"path": name, "status": "ok"}
        try:
            with _readable_name(Path(path)) as readable:
                mean = _score(net, readable, n, device, precision, path_text(Path(path).name))
            best = np.argsort(-mean, kind="stable")[:5]
            row |= {f"label{i}": run.labels[k] for i, k in enumerate(best, 1)}
            row |= {f"probability{i}": float(mean[k]) for i, k in enumerate(best, 1)}
        except container.VideoError as error:
            row["status"] = error.reason
        except Exception as error:  # one strange file must not lose the labels of all others
            row["status"] = "error"
            print(f"{name}: {type(error).__name__}: {error}")
        yield row
        progress.update()


def _resume(
    run: runs.Run, paths: Sequence[Path], out: Path, record: Path
) -> tuple[list[Path], list[list[str]]]:
    """All paths in the order of the CSV, and its complete rows; half a row at its end is dropped.

    Raises FileExistsError if rows are of other weights or files, or were edited or damaged.
    """
    data, weights = out.read_bytes(), runs.weights_digest(run)
    lines = list(csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline="")))
    if lines and (data[-1:] != b"\n" or len(lines[-1]) != len(_columns(run))):
        lines.pop()
    kept = "".join(map(_csv_line, lines)).encode()
    before: dict = {"weights": weights, "files": []}
    if lines:
        again = f"remove {path_text(out)} and repeat the command: it labels all videos again"
        with files.reading(record, again):
            before = json.loads(record.read_text("utf-8"))
    now = {_stamp(path): path for path in paths}
    stamps = [tuple(stamp) for stamp in before["files"][: max(0, len(lines) - 1)]]
    header, *rows = lines or [_columns(run)]
    if before["weights"] != weights:
        raise _taken(out, "holds labels by other weights")
    is_ours = header == _columns(run) and data.startswith(kept) and len(rows) == len(stamps)
    if not is_ours or lines and not files.has_its_digest(out):
        raise _taken(out, "was edited or damaged")
    for stamp in stamps:
        if stamp not in now:
            raise _taken(out, f"holds a label of {stamp[0]}, which is not there or has changed")
    order = list(dict.fromkeys([*stamps, *now]))
    with _writing(out):
        files.write_json(record, {"weights": weights, "files": order})
        if len(kept) < len(data):
            os.truncate(out, len(kept))
    if not lines:
        _append(out, _columns(run))
    return [now[stamp] for stamp in order], rows


def _stamp(path: Path) -> tuple[str, int, int]:
    """Name, size and time of change of a file: another file or an edit gives another stamp."""
    name = path_text(path.parent.resolve() / path.name)
    try:
        about = path.stat()
    except OSError:  # such as a link to nothing, whose row will say so
        return name, -1, -1
    return name, about.st_size, about.st_mtime_ns


def _append(out: Path, cells: list[str]) -> None:
    with _writing(out), open(out, "ab") as file:
        file.write(_csv_line(cells).encode())


def _csv_line(cells: list[str]) -> str:
    csv.writer(text := io.StringIO(), lineterminator="\n").writerow(cells)
    return text.getvalue()


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        with files.naming_full_disk(out, out):
            yield
    except files.DiskFull:
        raise
    except OSError as error:
        why = container.error_line(error)
        raise OSError(
            f"{path_text(out)} cannot be written ({why}); name another file with --out"
        ) from None


def _taken(out: Path, why: str) -> FileExistsError:
    return FileExistsError(f"{path_text(out)} {why}; remove it, or name another file with --out")


def path_text(path: str | Path) -> str:
    r"""A file's name as text for a table; bytes that are no UTF-8 become `\xff`, a return `\r`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\r", r"\r")


@contextmanager
def _readable_name(path: Path) -> Iterator[Path]:
    """The path, or a link to it where its name is not UTF-8, which no decoder opens."""
    if not re.search(r"[\ud800-\udfff]", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"video{path.suffix}"
        link.symlink_to(path.absolute())
        yield link


@torch.no_grad()
def _score(net, path: Path, n: int, device, precision: str, key: str) -> np.ndarray:
    """The class probabilities (K) of one video file; `key` governs the places of its clips."""
    side, total, passes = stored_side(net.size), np.zeros(net.classes, np.float32), 0
    info = reader.probe(path)
    starts = reader.starts(info.duration, n, key)
    if not starts:
        raise container.VideoError("too short", f"{info.duration:.2f} s")
    for clip in reader.segments(path, starts, size=(side, side), info=info):
        frames = torch.from_numpy(clip[None, list(net.frames)]).to(device)  # 1×T×H×W×3
        for x in predict.fixed_views(frames, net.size, net.crop):
            with predict.autocast(device, precision):
                logits = net(x)  # 1×K
            total = total + F.softmax(logits[0].float(), dim=0).cpu().numpy()
            passes += 1
    return total / passes
