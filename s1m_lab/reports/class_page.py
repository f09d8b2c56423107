"""The class page: every class with a thumbnail, in one HTML file.

    gallery.write(paths.dataset("pocket"), Path("reports/pocket_classes.html"))

The page needs nothing beside itself: pictures are data: addresses, and its policy lets the browser
run only its own script (by hash) and fetch nothing that was not asked for. It is a plain page
without JavaScript, and has a search by keyboard with it. `gallery.html` is its template. Classes of
Sports-1M stand in groups of related sports (`SPORTS`), those with pairs by the kind of pair, many
others by their initial.
"""

import base64
import hashlib
import html
import io
import string
import unicodedata
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from s1m_lab.common.files import atomic
from s1m_lab.data import catalog, shards
from s1m_lab.data.splits import SPLITS

BUDGET = 7_000_000  # bytes of a page
# (longest side in pixels, quality) of the pictures, best first: the first that fits is taken
CODINGS = [(320, 85), (320, 75), (288, 70), (256, 60), (224, 50), (160, 40), (112, 30), (64, 15)]
CANDIDATES = 12  # clips of a class that its picture is chosen from
SOME_SHARDS, MOST_SHARDS = 64, 1000  # looked through in a split: at least, and for a rare class
ADDRESS = r"^https://[a-z0-9][a-z0-9.-]{0,252}(:[0-9]{1,5})?/[\w.~:/?#@!$&'()*+,;=%-]{0,500}$"

# Groups of Sports-1M, in the order of the page, each with the first classes of its ranges in
# labels.txt, where relatives stand together; a range ends where any other begins.
SPORTS = {
    "Football": "association football; beach soccer",
    "Rugby and gridiron": "australian rules football",
    "Basketball and handball": "basketball; team handball",
    "Volleyball and its kin": "volleyball; sepak takraw; football tennis; fistball",
    "Baseball and cricket": "kickball",
    "Hockey and lacrosse": "hockey; lacrosse; hurling",
    "Rackets and pelota": "tennis; squash (sport); table tennis; badminton; padel tennis; wallball"
    "; valencian frontó",
    "Field games and paintball": "ulama; capture the flag; dodgeball; paintball; airsoft",
    "Golf, bowling and boules": "golf; pitch and putt; bowling; boules",
    "Cue sports": "cue sports",
    "Throwing and flying discs": "boomerang; darts; skee ball; ultimate (sport); disc golf",
    "Archery and shooting": "archery; shooting sport",
    "Running and multisport": "running; triathlon",
    "Walking and climbing": "climbing",
    "Strength and fitness": "yoga; calisthenics; physical fitness",
    "Gymnastics and acrobatics": "gymnastics; color guard (flag spinning); juggling club"
    "; free running; footbag",
    "Skating": "figure skating; aggressive inline skating",
    "Skiing and sledding": "skiing; sledding",
    "Board sports": "board sports",
    "Cycling": "cycling",
    "Swimming and diving": "swimming (sport); diving",
    "Rowing, canoeing and sailing": "rowing (sport); canoe polo; canoeing; sailing",
    "Air sports and kites": "gliding; sport kite",
    "Boxing and martial arts": "boxing; mixed martial arts; sanshou; capoeira; kung fu (term)",
    "Wrestling and grappling": "judo; wrestling; grappling",
    "Fencing and swordsmanship": "fencing; kenjutsu; battōjutsu",
    "Cars and trucks": "auto racing",
    "Motorcycles and powerboats": "motorcycle racing; snowmobile; motorboat racing",
    "Models and robots": "remote control; model aircraft",
    "Horses and bulls": "equestrianism; barrel racing; polo",
    "Dogs": "disc dog",
    "Hunting and fishing": "hunting; fishing",
}


def write(folder: Path, page: Path, network: bool = False) -> Path:
    """Write the page of the dataset in `folder` to `page`, and return that.

    A class shows a frame of one of its clips; without clips, and if `network`, the thumbnail that
    the catalog names for one of its videos, which the reader's browser fetches when it is scrolled
    into view; otherwise a blank that says so. Pictures are made smaller and coarser until the page
    takes at most `BUDGET` bytes; `ValueError` where so many classes fit in no way.
    """
    folder, page = Path(folder), Path(page)
    df = catalog.load_catalog(folder)
    classes = df.attrs["classes"]
    names = [_line(name) or f"class {k}" for k, name in enumerate(classes)]
    frames = _frames(folder, len(names))
    remote = _addresses(df, set(range(len(names))) - set(frames)) if network else {}
    hosts = sorted({"https://" + urlsplit(address).netloc for address in remote.values()})
    groups, facts = _groups(folder, classes), _facts(df, len(names))
    later = 'loading="lazy" referrerpolicy="no-referrer"'
    blanks = {k: _image(address, names[k], later) for k, address in remote.items()}
    template = Path(__file__).with_suffix(".html").read_text("utf-8")

    def fill(pictures: dict[int, str]) -> str:
        pictures = dict.fromkeys(range(len(names)), '<div class="none">no picture</div>') | pictures
        cards = [_card(k, names[k], pictures[k], facts) for k in range(len(names))]
        return string.Template(template).substitute(
            policy=_policy(template, hosts),
            name=html.escape(_line(folder.resolve().name)),
            summary=_summary(df),
            total=_count(len(names), "class", "classes"),
            shape="square" if {f.shape[0] / f.shape[1] for f in frames.values()} == {1} else "",
            columns="columns" if len(groups) > 1 else "",
            jumps=_jumps(groups) if len(groups) > 1 else "",
            groups="\n".join(_section(g, cards, *group) for g, group in enumerate(groups.items())),
            notes=_notes(hosts),
        )

    room = BUDGET - len(fill(blanks).encode())
    text = fill(blanks | _coded(frames, names, room))
    with atomic(page) as temporary:
        temporary.write_bytes(text.encode())
    return page


def _line(text: str, length: int = 100) -> str:
    """Any text as one short line without control characters, those that turn its direction too."""
    joiners = "\u200c\u200d"  # some scripts and emoji are spelt with them
    text = "".join(c if c.isprintable() or c in joiners else " " for c in text[: 20 * length])
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"


def _facts(df: pd.DataFrame, classes: int) -> pd.DataFrame:
    """A row a class: videos in each split and in all, share with several labels, median seconds."""
    labels, several = _labels(df)
    video = pc.list_parent_indices(labels).to_numpy()
    rows = pd.DataFrame(
        {
            "label": pc.list_flatten(labels).to_numpy(),
            "split": df["split"].to_numpy()[video],
            "several": several[video],
            "duration": df["duration"].to_numpy(np.float32, na_value=np.nan)[video],
        }
    )
    counts = pd.crosstab(rows["label"], rows["split"])
    facts = counts.reindex(index=range(classes), columns=SPLITS, fill_value=0)
    facts["videos"] = rows["label"].value_counts().reindex(range(classes), fill_value=0)
    return facts.join(rows.groupby("label").agg({"several": "mean", "duration": "median"}))


def _labels(df: pd.DataFrame) -> tuple[pa.ListArray, np.ndarray]:
    """The labels of each video, and whether they are several."""
    labels = pa.chunked_array(df["labels"]).combine_chunks()
    return labels, pc.fill_null(pc.list_value_length(labels), 0).to_numpy() > 1


def _frames(folder: Path, classes: int) -> dict[int, np.ndarray]:
    """A frame of each class that has clips, by label: uint8 H×W×3, the middle one of a clip.

    Of a few videos' clips it is the one whose first, middle and last frame have the most usual
    mean colours among them, which leaves out black ones and most crowds and scoreboards. No other
    frame is read.
    """
    if not (folder / "clips" / "index.parquet").is_file():
        return {}
    stored = {split: shards.Shards(folder / "clips", split) for split in SPLITS}
    frames = {}
    for label, places in _candidates(stored, classes).items():
        ends = [0, stored[places[0][0]].frames // 2, stored[places[0][0]].frames - 1]
        seen = [stored[s].read(n, [row], ends)[0] for s, n, row in places]
        means = np.stack([clip.mean((1, 2)) for clip in seen])
        frames[label] = seen[np.abs(means[:, None] - means).sum((1, 2, 3)).argmin()][1]
    return frames


def _candidates(stored: dict[str, shards.Shards], classes: int) -> dict[int, list[tuple]]:
    """By label, up to `CANDIDATES` clips of different videos: (split, shard, row of its index).

    They have this label alone where there are such. Reads no more of the index than it takes: some
    shards of a split, then more while a class is missing; then the next split if it still is.
    """
    alone, among = defaultdict(dict), defaultdict(dict)
    order = np.random.default_rng(0)
    for split, clips in stored.items():
        if len(alone) == classes:
            break
        for looked, shard in enumerate(order.permutation(len(clips.counts))[:MOST_SHARDS]):
            if looked >= SOME_SHARDS and len(alone) == classes:
                break
            videos, labels = (clips.index(shard)[name].to_pylist() for name in ("video", "labels"))
            for k in order.permutation(len(videos)):
                for label in labels[k]:
                    found = (alone if len(labels[k]) == 1 else among)[label]
                    if len(found) < CANDIDATES:
                        found[videos[k]] = (split, shard, k)
    return {label: list(found.values()) for label, found in (among | alone).items()}


def _addresses(df: pd.DataFrame, wanted: set[int]) -> dict[int, str]:
    """The thumbnail's https address of a video of each wanted class that has one; what the
    catalog has as http is asked for as https, since the page asks for nothing in the clear."""
    address = pa.chunked_array(df["thumbnail"]).combine_chunks()
    address = pc.replace_substring_regex(address, "^http://", "https://")
    rows = np.flatnonzero(pc.match_substring_regex(address, ADDRESS).fill_null(False))
    labels, several = _labels(df)
    rows = rows[np.argsort(several[rows], kind="stable")]  # those of a single label first
    labels = labels.take(rows)
    found, first = np.unique(pc.list_flatten(labels), return_index=True)
    rows = rows[pc.list_parent_indices(labels).to_numpy()[first]]
    pairs = zip(found.tolist(), address.take(rows).to_pylist(), strict=True)
    return {label: text for label, text in pairs if label in wanted}


def _coded(frames: dict[int, np.ndarray], names: list[str], room: int) -> dict[int, str]:
    """An `img` of each frame, in the best of `CODINGS` in which all of them take `room` bytes."""
    for side, quality in CODINGS:
        images, left = {}, room
        for label, frame in frames.items():
            images[label] = _image(_webp(frame, side, quality), names[label])
            left -= len(images[label].encode())
            if left < 0:
                break
        else:
            return images
    raise ValueError(f"{len(names):,} classes do not fit in a page of {BUDGET / 1e6:g} MB")


def _webp(frame: np.ndarray, side: int, quality: int) -> str:
    from PIL import Image

    picture, file = Image.fromarray(frame), io.BytesIO()
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)  # never made larger
    picture.save(file, "WEBP", quality=quality, method=2)  # 2 % more than 4 takes
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def _image(address: str, name: str, more: str = "") -> str:
    alt = html.escape(f"A frame of {name}")
    return f'<img src="{html.escape(address)}" alt="{alt}" decoding="async" {more}>'


# ---------------------------------------------------------------------------------------- groups


def _groups(folder: Path, classes: list[str]) -> dict[str, list[int]]:
    """The numbers of the classes under the title of their group."""
    from s1m_lab.data import datasets

    if groups := _sports(classes):
        return groups
    if pairs := datasets.pairs(folder):
        number = {name: k for k, name in enumerate(classes)}
        groups = {
            f"{kind.capitalize()} pairs": [number[name] for pair in some for name in pair]
            for kind, some in pairs.items()
        }
        paired = set().union(*groups.values())
        return groups | {"Other classes": [k for k in range(len(classes)) if k not in paired]}
    if len(classes) <= 30:
        return {"All classes": list(range(len(classes)))}
    groups = defaultdict(list)
    plain = [unicodedata.normalize("NFKD", _line(name)).upper() for name in classes]
    for k in sorted(range(len(classes)), key=plain.__getitem__):
        groups[plain[k][0] if plain[k][:1].isalpha() else "Other"].append(k)
    return groups


def _sports(classes: list[str]) -> dict[str, list[int]]:
    """The groups of Sports-1M, {} where the classes are not its own."""
    first = {name: title for title, some in SPORTS.items() for name in some.split("; ")}
    if len(classes) != 487 or classes[0] not in first or not set(first) <= set(classes):
        return {}
    title, groups = "", {title: [] for title in SPORTS}
    for k, name in enumerate(classes):
        title = first.get(name, title)
        groups[title].append(k)
    return groups


# ---------------------------------------------------------------------------------------- pieces


def _policy(template: str, hosts: list[str]) -> str:
    """What the browser may do: the template's own style and script, and pictures from `hosts`."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for tag in ("style", "script"):
        text = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        rules.append(f"{tag}-src 'sha256-{digest}'")
    return "; ".join([*rules, " ".join(["img-src data:", *hosts])])


def _section(g: int, cards: list[str], title: str, members: list[int]) -> str:
    inside = "\n".join(cards[k] for k in members)
    return (
        f'<section id="g{g}">\n<h2><bdi>{html.escape(title)}</bdi> '
        f'<span class="quiet">{len(members)}</span></h2>\n'
        f'<ul class="cards" role="list">\n{inside}\n</ul>\n</section>'
    )


def _jumps(groups: dict[str, list[int]]) -> str:
    links = "\n".join(
        f'<li><a href="#g{g}"><bdi>{html.escape(title)}</bdi> '
        f'<span class="quiet">{len(members)}</span></a></li>'
        for g, (title, members) in enumerate(groups.items())
    )
    return f'<nav aria-label="Groups of classes">\n<ul role="list">\n{links}\n</ul>\n</nav>'


def _card(label: int, name: str, picture: str, facts: pd.DataFrame) -> str:
    fact = facts.loc[label]
    most, x, bars = max(facts["videos"].max(), 1), 0.0, ""
    for split in SPLITS:
        width = 1000 * fact[split] / most
        bars += f'<rect class="{split}" x="{x:.1f}" width="{width:.1f}" height="4"/>'
        x += width
    lines = [" · ".join(f"{split} {fact[split]:,.0f}" for split in SPLITS if fact[split])]
    if fact["several"] > 0:
        lines.append(f"{fact['several']:.0%} in several classes".replace("%", " %"))
    if fact["duration"] > 0:
        lines.append(f"median {_clock(fact['duration'])}")
    more = "".join(f'<p class="quiet">{line}</p>' for line in lines if line)
    return (
        f'<li class="card" id="c{label}">{picture}<div class="about"><div class="name">'
        f'<h3><a href="#c{label}"><bdi>{html.escape(name)}</bdi></a></h3>'
        f'<span class="quiet"><span class="unseen">class </span>{label}</span></div>'
        f'<svg viewBox="0 0 1000 4" preserveAspectRatio="none" aria-hidden="true">{bars}</svg>'
        f"<p>{_count(fact['videos'], 'video', 'videos')}</p>{more}</div></li>"
    )


def _count(n: float, one: str, many: str) -> str:
    return f"{n:,.0f} {one if n == 1 else many}"


def _clock(seconds: float) -> str:
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} h" if hours else f"{minutes}:{seconds:02} min"


def _summary(df: pd.DataFrame) -> str:
    counts = df["split"].value_counts()
    keys = [f'<span class="key {s}">{s} {counts[s]:,}</span>' for s in SPLITS if s in counts]
    classes = _count(len(df.attrs["classes"]), "class", "classes")
    return f"<span>{classes} · {_count(len(df), 'video', 'videos')}</span> {' '.join(keys)}"


def _notes(hosts: list[str]) -> str:
    if not hosts:
        return "This page fetches nothing."
    return f"Pictures of classes without clips are fetched from {', '.join(hosts)}."
