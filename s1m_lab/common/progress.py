"""One line of progress for a long stage, in a terminal, a notebook or a log file.

progress = Progress("training", total=250, unit="clips")
for batch in batches:
    progress.update(len(batch), note=f"loss {loss:.3f}")
"""

import builtins
import sys
import time
from collections.abc import Iterable, Iterator


class Progress:
    """One throttled line: `training 120/250 · 48% · 171 clips/s · 0:24 left · loss 1.23`.

    A terminal shows one line, rewritten in place. A log file gets a new line at most every `every`
    seconds, and always the last one. In a notebook a line ends in a carriage return: JupyterLab and
    the report keep only the last, and papermill's log shows each.
    """

    def __init__(self, what: str, total: int, unit: str = "", done: int = 0, every: float = 10.0):
        self.what, self.total, self.unit, self.every = what, total, unit, every
        self.done, self.first, self.start = done, done, time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.end = "\r" if hasattr(builtins, "__IPYTHON__") else "\n"
        self.width = 0  # of the printed line, which the next must cover
        self.printed = self.start if not self.terminal else 0.0

    def over(self, parts: Iterable) -> Iterator:
        """Yield the parts (arrays, lists, …) and count the rows of each once it is used."""
        for part in parts:
            yield part
            self.update(len(part))

    def update(self, n: int = 1, note: str = "") -> None:
        """Count `n` more units as done, and print the line when it is due."""
        self.done += n
        now = time.monotonic()
        last = self.done >= self.total
        if not last and now - self.printed < (0.2 if self.terminal else self.every):
            return
        self.printed = now
        rate = (self.done - self.first) / max(now - self.start, 1e-9)
        left = 0 if last else (self.total - self.done) / max(rate, 1e-9)
        parts = [f"{self.what} {self.done:,}/{self.total:,} · {self.done / self.total:.0%}"]
        parts.append(f"{rate:,.3g} {self.unit}/s" if rate < 1000 else f"{rate:,.0f} {self.unit}/s")
        spent = clock(now - self.start)
        parts.append(f"took {spent}" if last else f"{clock(left)} left")
        line = " · ".join(parts + ([note] if note else []))
        if self.terminal:
            print(f"\r\x1b[K{line}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            end = "\n" if last else self.end
            print(line.ljust(self.width), end=end, flush=True)
            self.width = len(line) if end == "\r" else 0


def clock(seconds: float) -> str:
    """Seconds as text: 75 is `1:15`, 7260 is `2:01:00`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
