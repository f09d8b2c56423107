"""Which places a dataset may name: its own folder, and those that this home gave it.

    places.note(folder)                       # this home made the dataset: it may name any place
    places.note(folder, "s3://bucket/clips")  # the user named this place for it
    places.check(folder, output=root)         # raises for any other place

A dataset that somebody else made is data: it may hold any path and any address. The ledger is
`data/.made-here` in the home. A line is a folder and a place, as a JSON list.
"""

import json
import os
import shlex
from contextlib import suppress
from pathlib import Path

from s1m_lab.common import paths
from s1m_lab.common.paths import is_url


def note(folder: Path, place: str = "") -> None:
    """Allow a dataset a place, or any place, unless that is allowed already."""
    if inside(place, allowed(folder)) if place else allowed(folder) is None:
        return
    ledger, line = _ledger(), json.dumps([_name(folder), place]) + "\n"
    with suppress(OSError):  # a home that cannot be written: its datasets name no other place
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with open(ledger, "ab") as file:  # one write, so that processes may add theirs at once
            file.write(line.encode())


def allowed(folder: Path) -> list[str] | None:
    """The folders and addresses that a dataset may name; None: any."""
    found, name = [os.path.abspath(folder), str(Path(folder).resolve())], _name(folder)
    for line in _ledger().read_bytes().splitlines() if _ledger().is_file() else ():
        with suppress(ValueError, TypeError):  # of a process that was killed
            known, place = json.loads(line)
            if known == name and not place:
                return None
            found += [place] if known == name else []
    return found


def inside(place: str, tops: list[str] | None) -> bool:
    """Whether a path or an address is one of `tops`, or below one; links are not resolved."""
    if tops is None or place in tops:
        return True
    if is_url(place):
        odd = "::" in place or ".." in place.split("/")
        return not odd and any(is_url(t) and place.startswith(t.rstrip("/") + "/") for t in tops)
    place = os.path.abspath(place)
    return any(os.path.join(place, "").startswith(os.path.join(top, "")) for top in tops)


def check(folder: Path, named: dict | None = None, **written: str) -> None:
    """Raise ValueError where a place is not allowed that is `written` in files of a dataset.

    Keywords are the options of `prepare`; `named` are those that the user has given.
    """
    outside = {option: p for option, p in written.items() if p and not inside(p, allowed(folder))}
    if foreign := [place for option, place in outside.items() if not (named or {}).get(option)]:
        options = " ".join(f"--{option} {shlex.quote(p)}" for option, p in outside.items())
        raise ValueError(
            f"{folder} was made elsewhere and names {' and '.join(foreign)}, which is outside of "
            "it and was not opened; to allow it: python -m s1m_lab ingest "
            f"{shlex.quote(paths.name(Path(folder)))} {options}"
        )


def _ledger() -> Path:
    return paths.home() / "data" / ".made-here"


def _name(folder: Path) -> str:
    """A dataset's folder as the ledger has it: relative to `data/`, so that a home may move."""
    folder, data = Path(folder).resolve(), (paths.home() / "data").resolve()
    return folder.relative_to(data).as_posix() if folder.is_relative_to(data) else str(folder)
