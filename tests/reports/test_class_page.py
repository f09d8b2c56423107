"""The class page in a real browser: what it shows, runs, fetches and lets a keyboard do."""

import base64
import io
import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from s1m_lab.data import catalog, shards
from s1m_lab.figures.frames import thumbnail
from s1m_lab.reports import class_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
EVIL = [
    "<script>document.title = 'ran'; window.ran = 1</script>",
    '"><img src=x onerror="document.title = \'ran\'; window.ran = 1">',
    "' onmouseover='window.ran = 1' autofocus onfocus='window.ran = 1",
    "</bdi></a></h3><svg onload=window.ran=1>",
    "--></style></script><script>window.ran = 1</script>",
    "\u202egnp.exe\u202c \u2066turned\x00 round\x1b[31m",
    "two\nlines\r\nand\u2028three",
    "&lt;b&gt; ${window.ran = 1} $name $$",
    "",
    "long " * 2000,
    "x" * 10_000,
    "שלום עולם",
]
SPORTS = ["Ålesund rowing", "yağlı güreş", "t'ai chi ch'uan", "ice hockey", "field hockey"]


def dataset(folder, classes, videos=(), clips=()):
    """A dataset folder: `videos` are dicts of catalog columns, `clips` (labels, frame) in train."""
    videos = [{"split": "train", "labels": [0]} | video for video in videos]
    columns = {key: [v.get(key) for v in videos] for key in catalog.SCHEMA.names}
    columns["id"] = [f"v{k}" for k in range(len(videos))]
    df = catalog.frame(catalog.table(columns), classes=classes, data_seed=0, split="as given")
    catalog.save_catalog(df, folder)
    if clips:
        (folder / "clips").mkdir()
        stored = [
            shards.Clip(f"v{k}", f"v{k}", 0, 0.0, labels, frame[None])
            for k, (labels, frame) in enumerate(clips)
        ]
        table = shards.write(folder / "clips" / "train-00000.tar", stored)
        height, width = clips[0][1].shape[:2]
        settings = {"height": height, "width": width, "frames": 1, "fps": 30.0}
        found = [{"name": "train-00000.tar", "split": "train", "clips": len(clips)}]
        about = {"settings": settings, "fingerprint": "f", "shards": found}
        schema = shards.SCHEMA.with_metadata({"s1m": json.dumps(about)})
        pq.write_table(table.cast(schema), folder / "clips" / "index.parquet")
    return folder


def plain(*colour, size=(24, 32)):
    return np.full((*size, 3), colour, np.uint8)


class Page(HTMLParser):
    """Every element of a page, in order, as (tag, attributes), and the text of the cards."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.cards = [], {}
        self.card = None
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.elements.append((tag, attributes))
        if attributes.get("class") == "card":
            self.card = int(attributes["id"][1:])
            self.cards[self.card] = []

    def handle_endtag(self, tag):
        self.card = None if tag == "li" else self.card

    def handle_data(self, data):
        if self.card is not None and data.strip():
            self.cards[self.card].append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def shown(browser):
    """Names of the cards that can be seen, in their order."""
    return browser.run(
        "[...document.querySelectorAll('.card')].filter(c => c.checkVisibility())"
        ".map(c => c.querySelector('bdi').textContent)"
    )


def focus(browser):
    """The name of the class that has the focus, or else the type of the element."""
    return browser.run(
        "(e => e.id ? e.querySelector('bdi').textContent : e.type)(document.activeElement)"
    )


def said(browser):
    return browser.run("document.querySelector('[role=status]').textContent")


# ------------------------------------------------------------------------------------- hostility


@pytest.fixture
def evil(tmp_path):
    thumbnails = [
        'https://evil.example/"><script>window.ran=1</script>',
        "javascript:window.ran=1",
        "http://i.ytimg.com/vi/http/default.jpg",
        "https://evil.example; script-src 'unsafe-inline'/x.jpg",
        "https://user@evil.example/x.jpg",
        "https://i.ytimg.com/vi/a/default.jpg",
        "https://i.ytimg.com/vi/b/de fault.jpg",
        "//i.ytimg.com/x.jpg",
    ]
    videos = [
        {"labels": [k], "title": EVIL[k], "thumbnail": (thumbnails + [None] * 9)[k]}
        for k in range(len(EVIL))
    ]
    folder = tmp_path / '<img src=x onerror="window.ran=1">'
    classes = [name.replace("\n", " ") for name in EVIL]
    return class_page.write(dataset(folder, classes, videos), tmp_path / "page.html", network=True)


def test_hostile_texts_are_shown_and_nothing_runs(evil, browser):
    browser.open(evil, width=320)
    assert browser.run("document.title") == 'Classes of <img src=x onerror="window.ran=1">'
    assert browser.run("typeof window.ran") == "undefined"
    assert browser.run("document.scripts.length") == 1
    named = shown(browser)
    assert len(named) == len(EVIL)
    assert named[:5] == EVIL[:5] and named[6:9] == ["two lines and three", EVIL[7], "class 8"]
    assert named[5] == "gnp.exe turned round [31m", "no control characters, of direction neither"
    assert named[11] == EVIL[11]
    assert max(map(len, named)) <= 100
    handlers = "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some("
    assert (
        browser.run(handlers + "a => a.name.startsWith('on') || a.name === 'style')).length") == 0
    )
    assert browser.run("document.documentElement.scrollWidth") <= 320, "nothing sticks out"


def test_the_policy_stops_what_escaping_would_let_through(evil, browser):
    text = evil.read_text("utf-8").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')
    text = text.replace("</main>", '<img src="https://tracker.example/x.png"></main>')
    evil.write_text(text, "utf-8")
    browser.open(evil)
    hosts = {request["url"].split("/")[2] for request in browser.requests()}
    assert hosts == {"", "i.ytimg.com"}
    assert browser.run("document.scripts.length") > 1, "unescaped, there are scripts"
    assert browser.run("typeof window.ran") == "undefined"
    assert browser.run("document.title").startswith("Classes of")


def test_only_what_was_allowed_is_fetched(evil, browser, tmp_path):
    """With the network thumbnails over https alone, even where the catalog says http, without a
    referrer; without it, nothing."""
    requests = browser.open(evil, height=9000).requests()
    addresses = {f"https://i.ytimg.com/vi/{name}/default.jpg" for name in ("a", "http")}
    assert len(requests) == 3 and {r["url"] for r in requests[1:]} == addresses
    assert requests[1]["referrerPolicy"] == "no-referrer"
    videos = [{"thumbnail": "https://i.ytimg.com/vi/a/default.jpg"}]
    page = class_page.write(dataset(tmp_path / "two", ["a"], videos), tmp_path / "two.html")
    assert [r["url"] for r in browser.open(page, height=9000).requests()] == [page.as_uri()]
    assert "no picture" in Page(page).cards[0]
    blocked = [e for e in browser.events if e["method"] == "Log.entryAdded"]
    assert not blocked, "the policy allows all that the page itself needs"


# ---------------------------------------------------------------------------------------- content


def test_a_card_tells_what_plain_counting_tells(tmp_path):
    rng = np.random.default_rng(3)
    videos = [
        {
            "split": str(rng.choice(["train", "val", "test"])),
            "labels": rng.choice(6, rng.choice([1, 1, 3]), replace=False).tolist(),
        }
        for _ in range(400)
    ]
    videos += [{"labels": [6]}]
    classes = [f"sport {k}" for k in range(8)]
    page = Page(class_page.write(dataset(tmp_path / "d", classes, videos), tmp_path / "p.html"))
    for label in range(6):
        mine = [v for v in videos if label in v["labels"]]
        count = {s: sum(v["split"] == s for v in mine) for s in ("train", "val", "test")}
        *text, splits = page.cards[label]
        assert text == ["no picture", f"sport {label}", f"class {label}", f"{len(mine)} videos"]
        assert splits == " · ".join(f"{s} {n}" for s, n in count.items())
    assert page.cards[6][3:] == ["1 video", "train 1"]
    assert page.cards[7][3:] == ["0 videos"]


def colour(image):
    """The mean colour of a picture in the page."""
    data = base64.b64decode(image["src"].removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).mean((0, 1))


def test_a_picture_is_of_its_class(tmp_path):
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (9, 99, 99)]
    clips = [([k], plain(*c)) for k, c in enumerate(colours[:2]) for _ in range(40)]
    clips += [([2], plain(0, 0, 0))] * 3 + [([2], plain(*colours[2]))] * 6  # cutaways are few
    clips += [([4, 3], plain(200, 200, 40))] * 8 + [([3], plain(*colours[3]))] * 2
    folder = dataset(tmp_path / "d", list("abcdef"), [{}], clips)
    page = Page(class_page.write(folder, tmp_path / "p.html"))
    images = page.all("img")
    assert [i["alt"] for i in images] == [f"A frame of {name}" for name in "abcd"]
    for image, wanted in zip(images, colours, strict=True):
        assert np.abs(colour(image) - wanted).max() < 8
    assert page.cards[4][0] == page.cards[5][0] == "no picture", "e has no clip of its own"


def test_pictures_are_small():
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    address = thumbnail(noise)
    data = base64.b64decode(address.removeprefix("data:image/webp;base64,"))
    assert Image.open(io.BytesIO(data)).size == (240, 180) and len(address) < 40_000
    assert Image.open(io.BytesIO(data)).format == "WEBP"


# -------------------------------------------------------------------------------------- keyboard


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Forty classes, half of them with pictures."""
    folder = tmp_path_factory.mktemp("page") / "mine"
    classes = SPORTS + [f"bowls {k}" for k in range(35)]
    videos = [{"labels": [k, 39], "split": s} for k in range(39) for s in ("train", "val", "test")]
    clips = [([k], plain(40, 6 * k, 99)) for k in range(0, 40, 2)]
    return class_page.write(dataset(folder, classes, videos, clips), folder.parent / "page.html")


@pytest.mark.parametrize(
    "typed, hits",
    [
        ("hockey", SPORTS[3:5]),
        ("HOCKEY ice", ["ice hockey"]),
        ("alesund", SPORTS[:1]),
        ("yagli gures", SPORTS[1:2]),
        ("yağlı", SPORTS[1:2]),
        ("tai  chi", SPORTS[2:3]),
        (
            "3",
            ["ice hockey", "bowls 13", "bowls 23", "bowls 3"] + [f"bowls 3{k}" for k in range(5)],
        ),
        ("<b>", []),
    ],
)
def test_typing_finds_classes(page, browser, typed, hits):
    browser.open(page).press("/")
    assert focus(browser) == "search"
    browser.ask("Input.insertText", text=typed)
    assert sorted(shown(browser)) == sorted(hits)
    assert said(browser) == f"{len(hits)} of 40 classes"


def test_the_keyboard_goes_everywhere(page, browser):
    browser.open(page).press("/")
    browser.ask("Input.insertText", text="hockey")
    browser.press("Enter")
    assert focus(browser) == "ice hockey"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Tab")
    assert focus(browser) == "field hockey"
    browser.press("Escape")
    assert focus(browser) == "search" and len(shown(browser)) == 40
    assert said(browser) == "40 of 40 classes" and browser.run("box.value") == ""
    names = shown(browser)
    browser.press(*["Tab"] * 25)
    assert focus(browser) == names[24]
    low, high, top = browser.run(
        "(() => { const r = document.activeElement.getBoundingClientRect();"
        "return [r.bottom, r.top, form.getBoundingClientRect().bottom] })()"
    )
    assert top <= high < low <= 900, "the whole card is in view, below the search"
    browser.press("/")
    assert focus(browser) == "search" and browser.run("box.value") == ""
    browser.run("scrollTo(0, 1e6)")
    browser.ask("Input.insertText", text="bowls")
    assert browser.run("scrollY") == 0, "the first hits are in view"


def test_without_javascript_it_is_a_plain_page(page, browser):
    browser.ask("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        assert len(shown(browser)) == 40
        assert not browser.run("document.querySelector('form').checkVisibility()")
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


# ------------------------------------------------------------------------------------ readability


def luminance(rgb):
    """WCAG 2: relative luminance of 8-bit sRGB."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


COLOURS = """
(() => {
  const found = new Set();
  const note = (element, colour) => {
    let under = element;
    const behind = () => getComputedStyle(under).backgroundColor;
    while (behind() === "rgba(0, 0, 0, 0)") under = under.parentElement;
    found.add(colour + "|" + behind());
  };
  for (const e of document.querySelectorAll("body *:not(script)")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (own || e.tagName === "IMG" || e.tagName === "INPUT") note(e, getComputedStyle(e).color);
    if (e.tagName === "INPUT") note(e, getComputedStyle(e, "::placeholder").color);
  }
  return [...found];
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(page, browser, scheme):
    browser.open(page, scheme=scheme)
    pairs = browser.run(COLOURS)
    assert len(pairs) >= 5
    for pair in pairs:
        text, under = (
            luminance([int(c) / 255 for c in re.findall(r"\d+", colour)[:3]])
            for colour in pair.split("|")
        )
        light, dark = max(text, under), min(text, under)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, pair
    dark_page = luminance(
        [
            int(c) / 255
            for c in re.findall(
                r"\d+", browser.run("getComputedStyle(document.body).backgroundColor")
            )
        ]
    )
    assert (dark_page < 0.1) == (scheme == "dark")


def test_a_phone_shows_it_large_enough(page, browser):
    browser.open(page, width=390, height=844)
    assert browser.run("document.documentElement.scrollWidth") == 390, "nothing sticks out"
    least = browser.run(
        "Math.min(...[...document.querySelectorAll('h1, h2, p, input, .none')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert least >= 16
    heights = browser.run(
        "[...document.querySelectorAll('input, .card')].map(e => e.getBoundingClientRect().height)"
    )
    assert min(heights) >= 44


def test_a_screen_reader_finds_its_way(page):
    found = Page(page)
    (html,), (title,) = (
        found.all("html"),
        re.findall("<title>(.*)</title>", page.read_text("utf-8")),
    )
    assert html["lang"] == "en" and title == "Classes of mine"
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.all(
        "meta"
    )
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for landmark in ("header", "main", "footer"):
        assert len(found.all(landmark)) == 1, landmark
    assert found.all("form")[0]["role"] == "search" and found.all("input")[0]["aria-label"]
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == 40
    assert all(image["alt"].startswith("A frame of ") for image in found.all("img"))
    assert len(found.all("img")) == 20
    sources = [a[key] for _, a in found.elements for key in ("src", "srcset", "action") if key in a]
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
