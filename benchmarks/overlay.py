"""How fast films are drawn on, against their own length, and whether memory grows with them.

    python benchmarks/overlay.py                    # makes its own films; about eight minutes
    python benchmarks/overlay.py --minutes 120 --json out.json

The film is like YouTube's: 640×360 H.264 at 30 frames a second with AAC sound, made as in
`benchmarks/ingest.py`. The networks are those of the pocket recipe (width 0.25, size 112, 16
classes), untrained: they cost what trained ones cost. In every round `overlay.draw` draws
`--seconds` of film for slow fusion, for a single frame, and for both, everything included: probing,
decoding, predicting ten times a second, painting, encoding, sound. Memory is the resident set of
this process while both watch a film of `--minutes`, at a third of the time and at the end (medians
of 5 s).
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ingest import film as pictures
from ingest import looped, resident

from s1m_lab import models
from s1m_lab.common import system
from s1m_lab.figures import overlay
from s1m_lab.training import runs

SEEN = {"slow": ["slow"], "single": ["single"], "both": ["slow", "single"]}


def watcher(model: str, seed: int) -> runs.Run:
    """A run that was never trained, of the size that the pocket recipe has."""
    labels = [f"class {k}" for k in range(16)]
    run = runs.begin(model, {"model": model, "data": "none"}, {"precision": "auto"}, labels)
    import torch  # not before the lab has said how its threads wait

    torch.manual_seed(seed)
    net = models.build(model, len(labels), 0.25, 112)
    runs.save_network(run.path / "model.safetensors", net, labels, {})
    return run


def drawn(chosen: list[runs.Run], path: Path) -> tuple[float, float]:
    """(seconds it took, seconds of the film); what was drawn is removed."""
    start = time.perf_counter()
    seen = overlay.draw(chosen, path)
    took = time.perf_counter() - start
    assert not seen.ended and seen.sound == "aac, encoded as AAC", (seen.ended, seen.sound)
    seen.path.unlink()
    return took, seen.seconds


def memory(chosen: list[runs.Run], path: Path) -> tuple[float, float, float, float]:
    """MB resident after a third and at the end, and what `drawn` returns."""
    found, stop = [], threading.Event()

    def watch():
        while not stop.wait(0.5):
            found.append(resident())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        took, seconds = drawn(chosen, path)
    finally:
        stop.set()
        watching.join()
    third = len(found) // 3
    return (
        statistics.median(found[third : third + 10]),
        statistics.median(found[-10:]),
        took,
        seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of film, for the speed")
    parser.add_argument("--minutes", type=float, default=10.0, help="of film, for the memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write the figures here too")
    asked = parser.parse_args()
    import torch

    about = {
        "command": " ".join(["python", "benchmarks/overlay.py", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "commit": runs.commit(),
        "machine": f"{platform.processor() or platform.machine()}, {system.cores()} cores",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(about))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["S1M_HOME"] = str(folder / "home")
        known = {model: watcher(model, seed) for seed, model in enumerate(("slow", "single"))}
        pictures(folder / "pictures.mp4", asked.seconds, seed=0)
        path = looped(folder / "pictures.mp4", folder / "film.mp4", asked.seconds, sound=True)
        about["film_bytes_per_second"] = round(path.stat().st_size / asked.seconds)
        rounds = []
        for _ in range(asked.rounds):
            speeds = {}
            for kind, names in SEEN.items():
                took, seconds = drawn([known[n] for n in names], path)
                speeds[kind] = round(seconds / took, 3)
            rounds.append(speeds)
            print(f"times real time: {speeds}", flush=True)
        median = {kind: statistics.median(r[kind] for r in rounds) for kind in SEEN}
        long = looped(folder / "pictures.mp4", folder / "long.mp4", 60 * asked.minutes, sound=True)
        third, end, took, seconds = memory(list(known.values()), long)
    print(f"median: {median}")
    print(f"{seconds / 60:.1f} minutes in {took / 60:.1f}: {third:.0f} MB after a third, {end:.0f}")
    about |= {"rounds": rounds, "times_real_time": median}
    about["memory"] = {
        "film_minutes": round(seconds / 60, 2),
        "took_minutes": round(took / 60, 2),
        "mb_after_a_third": round(third, 1),
        "mb_at_the_end": round(end, 1),
    }
    if asked.json:
        Path(asked.json).write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
