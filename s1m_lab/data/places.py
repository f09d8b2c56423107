"""Which places a dataset may name: its own folder, and those that this home gave it.

    places.note(folder)                       # this home made the dataset: it may name any place
    places.note(folder, "s3://bucket/clips")  # the user named this place for it
    places.check(folder, output=root)         # raises for any other place

A dataset that somebody else made is data: it may hold any path and any address. The ledger is
`data/.made-here` in the home: a JSON list of pairs, a folder and a place that it may name, where ""
stands for any place.
"""

import json
import os
import shlex
from contextlib import suppress
from pathlib import Path

from s1m_lab.common import paths
from s1m_lab.common.files import exclusive, reading, sound, write_json
from s1m_lab.common.paths import is_url


def note(folder: Path, place: str = "") -> None:
    """Allow a dataset a place, or any place, unless that is allowed already."""
    if inside(place, allowed(folder)) if place else allowed(folder) is None:
        return
    with suppress(OSError), exclusive(ledger().parent):  # of a home that cannot be written
        write_json(ledger(), [*(sound(_entries) or []), (_name(folder), place)], end="\n", indent=0)


def allowed(folder: Path) -> list[str] | None:
    """The folders and addresses that a dataset may name; None: any."""
    own = [place for name, place in sound(_entries) or [] if name == _name(folder)]
    return None if "" in own else [os.path.abspath(folder), str(Path(folder).resolve()), *own]


def ledger() -> Path:
    """The file that lists the places."""
    return paths.home() / "data" / ".made-here"


def _entries() -> list[tuple[str, str]]:
    with reading(
        ledger(), "ingest lists its dataset again, or names the options to repeat", aside=True
    ):
        return [(str(name), str(place)) for name, place in json.loads(ledger().read_bytes())]


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


def _name(folder: Path) -> str:
    """A dataset's folder as the ledger has it: relative to `data/`, so that a home may move."""
    folder, data = Path(folder).resolve(), (paths.home() / "data").resolve()
    return folder.relative_to(data).as_posix() if folder.is_relative_to(data) else str(folder)
