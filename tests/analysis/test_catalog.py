"""What a catalog holds, against plain loops over its rows; and what is drawn of it, any text."""

import io
import json
import math
import os
import re
from collections import Counter
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s1m_lab.analysis import catalog as analysis_catalog
from s1m_lab.data import catalog, datasets, splits
from s1m_lab.figures import catalog as figures_catalog
from s1m_lab.figures import style
from s1m_lab.figures.durations import draw_durations
from s1m_lab.figures.tables import show_table

HOSTILE = '<script>alert(1)</script> "><img src=x onerror=alert(2)> $x^2$ \u202e\x07 ' + "w" * 3000
CLASSES = ["judo", "ice hockey", HOSTILE, "滑雪", "never seen"]
TITLES = [
    "Judo final 03",
    "judo: FINAL, 3!",
    "Zürich ice hockey",
    "滑雪大赛东京决赛",
    HOSTILE,
    None,
]


def make(rows: list[tuple], classes=CLASSES, **more) -> pd.DataFrame:
    """A catalog of (split, labels, title, duration) rows."""
    split, labels, title, duration = zip(*rows, strict=True) if rows else [()] * 4
    columns = {"id": [f"v{n}" for n in range(len(rows))], "split": split, "labels": labels}
    columns |= {"title": title, "duration": duration, **more}
    attrs = {"classes": classes, "data_seed": 0, "split": "as given", "broken": {"torn": 2}}
    return catalog.frame(catalog.table(columns), **attrs)


@pytest.fixture(scope="module")
def rows() -> list[tuple]:
    draw = np.random.default_rng(0)
    found = []
    for _ in range(300):
        labels = draw.choice(4, draw.choice([1, 1, 2, 3]), replace=False).tolist()
        number = draw.integers(len(TITLES)) if draw.random() < 0.4 else labels[0] + 1
        seconds = None if draw.random() < 0.2 else float(draw.integers(1, 40)) / 2
        found.append((str(draw.choice(splits.SPLITS)), labels, TITLES[number], seconds))
    return found


@pytest.fixture(scope="module")
def df(rows) -> pd.DataFrame:
    return make(rows)


EMPTY = [
    pytest.param([], id="no rows"),
    pytest.param([("train", [0], None, None), ("test", [1], None, None)], id="nothing known"),
]


def test_class_sizes(df, rows):
    sizes = analysis_catalog.class_sizes(df)
    assert sizes["videos"].is_monotonic_decreasing and sorted(sizes.index) == list(range(5))
    for label, row in sizes.iterrows():
        own = [r for r in rows if label in r[1]]
        assert row["class"] == CLASSES[label] and row["videos"] == len(own)
        for split in ("train", "val", "test"):
            assert row[split] == sum(r[0] == split for r in own)
        assert row["several"] == sum(len(r[1]) > 1 for r in own)
        known = [r[3] for r in own if r[3] is not None]
        assert row["duration"] == np.median(known) if known else math.isnan(row["duration"])


def test_a_label_given_twice_counts_once():
    df = make([("train", [1, 1, 0], "x", 1.0)])
    assert analysis_catalog.label_counts(df)["videos"].to_dict() == {2: 1}
    assert analysis_catalog.class_sizes(df)["videos"].to_dict() == {0: 1, 1: 1, 2: 0, 3: 0, 4: 0}


def test_labels_that_go_together(df, rows):
    counts = analysis_catalog.label_counts(df)
    assert counts["videos"].to_dict() == Counter(len(r[1]) for r in rows)
    assert counts["share"].sum() == pytest.approx(1)
    sizes = Counter(label for r in rows for label in r[1])
    both = Counter(pair for r in rows for pair in combinations(sorted(r[1]), 2))
    pairs = analysis_catalog.co_labels(df)
    assert pairs["videos"].is_monotonic_decreasing
    found = pairs.set_index(["label_a", "label_b"])
    assert found["videos"].to_dict() == both
    for (a, b), row in found.iterrows():
        assert (row["class_a"], row["class_b"]) == (CLASSES[a], CLASSES[b])
        either = sum(a in r[1] or b in r[1] for r in rows)
        assert row["jaccard"] == pytest.approx(both[a, b] / either)
        chance = sizes[a] / len(rows) * sizes[b] / len(rows)
        assert row["lift"] == pytest.approx(both[a, b] / len(rows) / chance)


def test_durations(df, rows):
    table = analysis_catalog.durations(df)
    for name in ("train", "val", "test", "all"):
        own = [r[3] for r in rows if name in (r[0], "all")]
        known = [seconds for seconds in own if seconds is not None]
        row = table.loc[name]
        assert row["videos"] == len(own) and row["unknown"] == len(own) - len(known)
        assert row["hours"] == pytest.approx(sum(known) / 3600)
        assert row["mean"] == pytest.approx(np.mean(known))
        for name, share in (("50%", 0.5), ("95%", 0.95)):
            assert row[name] == pytest.approx(np.quantile(known, share))


def test_splits_and_what_is_torn(rows):
    group = [None if n % 5 == 0 else f"g{n // 3}" for n in range(len(rows))]
    df = make(rows, group=group)
    df["id"] = df["id"].where(np.arange(len(df)) > 1, "v2")
    found = analysis_catalog.split_sizes(df)
    assert found["videos"].to_dict() == Counter(r[0] for r in rows)
    assert found["share"].sum() == pytest.approx(1) and found["the paper's share"].sum() == 1
    torn = analysis_catalog.split_overlaps(df)
    for name, column in (("ids", df["id"]), ("groups", df["group"])):
        places = {}
        for value, split in zip(column, df["split"], strict=True):
            if value is not pd.NA:
                places.setdefault(value, set()).add(split)
        several = sum(len(place) > 1 for place in places.values())
        assert torn.loc[name].tolist() == [len(places), several]


def test_what_was_set_aside(df):
    aside = analysis_catalog.skipped_rows(df)
    assert aside["rows"].to_dict() == {"torn": 2}
    assert aside["share of the source"].tolist() == [2 / 302]


@pytest.mark.parametrize("prior", [10.0, 500.0])
def test_characteristic_words_are_those_of_the_formula(df, rows, prior):
    """Monroe et al. 2008, equations 15, 16, 20 and 22, written out."""
    plain = {"Judo final 03": "judo final", "judo: FINAL, 3!": "judo final", None: ""}
    plain |= {"Zürich ice hockey": "zürich ice hockey", "滑雪大赛东京决赛": "滑雪大赛东京决赛"}
    plain[HOSTILE] = "script alert img src onerror " + "w" * 3000
    words = [set(plain[r[2]].split()) for r in rows]
    total = Counter(word for own in words for word in own)
    whole, expected = sum(total.values()), {}
    for label in range(4):
        own = Counter(w for r, ws in zip(rows, words, strict=True) if label in r[1] for w in ws)
        size = sum(own.values())
        for word, y in own.items():
            alpha, rest = prior * total[word] / whole, total[word] - y
            odds = (y + alpha) / (size + prior - y - alpha)
            others = (rest + alpha) / (whole - size + prior - rest - alpha)
            deviation = math.sqrt(1 / (y + alpha) + 1 / (rest + alpha))
            expected[label, word] = y, (math.log(odds) - math.log(others)) / deviation
    expected = {key: value for key, value in expected.items() if value[1] > 3}
    found = analysis_catalog.characteristic_words(df, least=1, prior=prior)
    keys = list(zip(found["label"], found["word"], strict=True))
    assert set(keys) == set(expected) and len(keys) == len(expected) > 5
    best = analysis_catalog.characteristic_words(df, least=1, top=1, prior=prior)
    assert len(best) == len({label for label, _ in keys})
    assert found["videos"].tolist() == [expected[key][0] for key in keys]
    assert found["z"].tolist() == pytest.approx([expected[key][1] for key in keys])


def test_characteristic_words_find_what_is_planted():
    rows = [("train", [n % 3], f"{'abc'[n % 3]}mark of the day", 1.0) for n in range(90)]
    rows += [("test", [0], "rare word", 1.0)]
    found = analysis_catalog.characteristic_words(make(rows))
    assert dict(zip(found["label"], found["word"], strict=True)) == dict(
        enumerate(["amark", "bmark", "cmark"])
    )


def test_a_class_of_one_word_is_the_formula_where_the_prior_is_small():
    """Its odds are over the prior's other words alone: over less than one word."""
    rows = [("train", [0], "luge", 1.0)] * 50
    rows += [("train", [1], f"word{n:02}", 1.0) for n in range(50)]
    found = analysis_catalog.characteristic_words(make(rows, ["a", "b"]), least=1, prior=0.5)
    assert found[["label", "word", "videos"]].to_numpy().tolist() == [[0, "luge", 50]]
    # 50 of 50 words, and none of 50 others; the prior has 0.25 of "luge" and 0.25 of the others
    z = math.log((50.25 / 0.25) / (0.25 / 50.25)) / math.sqrt(1 / 50.25 + 1 / 0.25)
    assert found["z"].tolist() == pytest.approx([z])


def test_the_same_title_and_a_second_apart():
    rows = [
        ("train", [0], "The BEST of  Judo: part 07!", 10.0),
        ("test", [0], "the best of judo — Part 7", 11.0),  # a second: twins
        ("test", [1], "ｔｈｅ best of judo part 7?", 11.5),  # half a second: and their twin
        ("val", [0], "the best of judo part 7", 12.501),  # 1.001 s
        ("train", [0], "the best of judo part 8", 10.0),  # another part
        ("train", [0], "my judo", 3.0),  # two words say nothing
        ("test", [0], "My Judo", 3.0),
        ("test", [0], "Don't stop ΤΕΛΟΣ", 5.0),
        ("test", [0, 1], "dont stop τελος", 5.0),
        ("val", [1, 0], "don’t stop Τελοσ", 5.0),
        ("train", [3], "滑雪大赛东京决赛二", 8.0),  # nine characters without spaces: three words
        ("test", [3], "滑雪大赛东京决赛二", 8.0),
        ("train", [0], "a title without duration", None),
        ("test", [0], "a title without duration", None),
    ]
    found, counts = analysis_catalog.near_duplicates(make(rows))
    groups = {frozenset(part["id"]) for _, part in found.groupby("group")}
    assert groups == {
        frozenset({"v0", "v1", "v2"}),
        frozenset({"v7", "v8", "v9"}),
        frozenset({"v10", "v11"}),
    }
    assert found["group"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2], "the largest first"
    assert counts["videos compared"] == 10 and counts["groups"] == 3
    assert counts["pairs within a second"] == 2 + 3 + 1
    assert counts["groups in train or val and in test"] == 3
    assert counts["test videos with such a twin"] == 2 + 2 + 1
    assert counts["groups whose labels differ"] == 2


def test_doubles_are_those_of_a_plain_loop():
    draw = np.random.default_rng(1)
    rows = [
        (
            str(draw.choice(["train", "val", "test"])),
            draw.choice(3, draw.integers(1, 3), replace=False).tolist(),
            f"one of the {draw.integers(12)} titles",
            round(float(draw.random() * 60), 3),
        )
        for _ in range(250)
    ]
    close = {
        (a, b)
        for a, b in combinations(range(len(rows)), 2)
        if rows[a][2] == rows[b][2] and abs(round((rows[a][3] - rows[b][3]) * 1000)) <= 1000
    }
    leader = list(range(len(rows)))
    for a, b in sorted(close) * 30:
        leader[a] = leader[b] = min(leader[a], leader[b])
    groups = {}
    for n, first in enumerate(leader):
        groups.setdefault(first, []).append(n)
    groups = [group for group in groups.values() if len(group) > 1]
    found, counts = analysis_catalog.near_duplicates(make(rows))
    mine = {tuple(sorted(part.index)) for _, part in found.groupby("group")}
    assert mine == {tuple(group) for group in groups}
    assert counts["pairs within a second"] == len(close)
    leaks = [g for g in groups if len({rows[n][0] == "test" for n in g}) == 2]
    assert counts["groups in train or val and in test"] == len(leaks)
    twins = sum(rows[n][0] == "test" for g in leaks for n in g)
    assert counts["test videos with such a twin"] == twins
    differ = [g for g in groups if len({frozenset(rows[n][1]) for n in g}) > 1]
    assert counts["groups whose labels differ"] == len(differ)
    times = [r[3] for r in rows]
    near = [abs(round((a - b) * 1000)) <= 1000 for a, b in combinations(times, 2)]
    alike = sum(a[2] == b[2] for a, b in combinations(rows, 2))
    assert counts["pairs that chance alone would give"] == round(np.mean(near) * alike)


def test_a_title_that_everybody_uses_says_nothing():
    rows = [("train", [0], "my new phone video", 5.0)] * (analysis_catalog.COMMON + 1)
    rows += [("train", [0], "our old phone video", 5.0)] * analysis_catalog.COMMON
    _, counts = analysis_catalog.near_duplicates(make(rows))
    assert counts["groups"] == 1 and counts["videos in them"] == analysis_catalog.COMMON
    assert counts[f"titles of over {analysis_catalog.COMMON} videos, left out"] == 1
    assert counts["videos with such a title"] == analysis_catalog.COMMON + 1


@pytest.mark.parametrize("rows", EMPTY)
def test_an_empty_catalog_is_described_as_it_is(rows):
    df = make(rows)
    sizes, pairs = analysis_catalog.class_sizes(df), analysis_catalog.co_labels(df)
    assert sizes["videos"].sum() == len(rows) and len(pairs) == 0
    assert analysis_catalog.durations(df).loc["all", "unknown"] == len(rows)
    assert len(analysis_catalog.characteristic_words(df)) == 0
    assert analysis_catalog.near_duplicates(df)[1].sum() == 0
    assert drawn(draw_durations(df["duration"])) == ["No duration is known: the source has none"]
    assert drawn(figures_catalog.draw_co_labels(pairs, sizes)) == ["No two labels share 1 videos"]
    words = analysis_catalog.characteristic_words(df)
    made = figures_catalog.describe_classes(df, sizes, pairs, words, {})
    assert made.shape[1] == len(CLASSES)
    assert (made.loc["median duration"] == "unknown").all()


def test_what_ingest_measured_fills_what_the_source_does_not_tell(tmp_path):
    rows = [("train", [0], "a", 7.0), ("train", [0], "b", None), ("test", [1], "c", None)]
    df = make(rows, width=[640, None, None], height=[480, None, None])
    again, counts = analysis_catalog.add_measured(df, tmp_path)
    assert again is df and "durations: 1 from the source, 0 measured at ingest, 2 unk" in counts
    (tmp_path / "clips").mkdir()
    status = {"id": ["v1", "v0"], "duration": [2.5, 9.0], "width": [320, 1], "height": [240, 1]}
    pq.write_table(pa.table(status), tmp_path / "clips" / "status.parquet")
    full, counts = analysis_catalog.add_measured(df, tmp_path)
    assert full["duration"].tolist() == [7.0, 2.5, pd.NA] and "source, 1 measured" in counts
    assert full["width"].tolist() == [640, 320, pd.NA]
    assert df["duration"].isna().sum() == 2, "the catalog itself stays as it is"
    assert full.dtypes["duration"] == df.dtypes["duration"] and full.attrs == df.attrs


def write_sports1m(folder, ids=range(30)):
    folder.mkdir(exist_ok=True)
    for split, part in (("train", 0), ("test", 1)):
        found = [
            {"id": f"video-{n:05d}", "stitle": f"t {n}", "label487": [n % 3], "duration": 9 + n}
            for n in ids
            if (n % 5 == 0) == part
        ]
        (folder / f"sports1m_{split}.json").write_text(json.dumps(found))
    (folder / "labels.txt").write_text("a\nb\nc\n")
    return folder


def test_a_source_is_read_again_only_when_it_changes(home, tmp_path):
    source = write_sports1m(tmp_path / "json")
    folder = datasets.listed("pocket", source=str(source))
    assert folder == home / "data" / "sports1m" and len(catalog.load_catalog(folder)) == 30
    written = (folder / "catalog.parquet").stat().st_mtime_ns
    assert datasets.listed("pocket", source=str(source)) == folder
    assert (folder / "catalog.parquet").stat().st_mtime_ns == written
    write_sports1m(source, range(40))
    datasets.listed("pocket", source=str(source))
    assert len(catalog.load_catalog(folder)) == 40
    mine = datasets.listed("mine", source=str(source))
    assert mine == home / "data" / "mine" and datasets.listed("mine") == mine
    file = source / "sports1m_test.json"
    os.utime(file, ns=(1, 1))
    written = (folder / "catalog.parquet").stat().st_mtime_ns
    datasets.listed("sports1m", source=str(source))
    assert (folder / "catalog.parquet").stat().st_mtime_ns != written
    with pytest.raises(FileNotFoundError, match=r"sports1m_json\.zip"):
        datasets.listed("pocket", source=str(tmp_path / "gone"))


def test_a_source_never_takes_the_place_of_another_dataset(home, tmp_path):
    catalog.save_catalog(make([("train", [0], "x", 1.0)]), home / "data" / "mine")
    with pytest.raises(ValueError, match="another name"):
        datasets.listed("mine", source=str(write_sports1m(tmp_path / "json")))
    assert len(catalog.load_catalog(home / "data" / "mine")) == 1


def test_another_source_takes_no_datasets_place(home, tmp_path):
    folder = datasets.listed("pocket", source=str(write_sports1m(tmp_path / "one")))
    other = write_sports1m(tmp_path / "two", range(10))
    with pytest.raises(
        ValueError, match=r"made from .*one, not from .*two; give data another name"
    ):
        datasets.listed("sports1m", source=str(other))
    assert len(catalog.load_catalog(folder)) == 30


def test_labels_in_the_folder_above_are_followed(home, tmp_path):
    """Sports-1M's own layout: `original/` beside `labels.txt`."""
    source = write_sports1m(tmp_path / "original")
    above = (source / "labels.txt").rename(tmp_path / "labels.txt")
    folder = datasets.listed("pocket", source=str(source))
    above.write_text("x\ny\nz\n")
    datasets.listed("pocket", source=str(source))
    assert catalog.load_catalog(folder).attrs["classes"] == ["x", "y", "z"]
    (source / "labels.txt").write_text("p\nq\nr\n")
    datasets.listed("pocket", source=str(source))
    assert catalog.load_catalog(folder).attrs["classes"] == ["p", "q", "r"]


def drawn(figure) -> list[str]:
    """The titles of a figure that was drawn."""
    figure.savefig(io.BytesIO(), format="png")
    assert not plt.get_fignums(), "an open figure would be shown twice by a notebook"
    return [ax.get_title(loc="left").partition(",")[0] for ax in figure.axes]


@pytest.mark.parametrize("classes", [5, 487])
def test_figures_say_what_they_show(df, classes):
    df.attrs["classes"] = CLASSES + [f"class {n}" for n in range(classes - 5)]
    sizes, pairs = analysis_catalog.class_sizes(df), analysis_catalog.co_labels(df)
    most = sizes["videos"].max()
    (title,) = drawn(figures_catalog.draw_sizes(sizes))
    assert title.startswith(f"{classes} classes have 0 to {most}")
    drawn(figures_catalog.draw_co_labels(pairs, sizes, least=2))
    seconds = df["duration"].dropna().median()
    title = draw_durations(df["duration"]).get_suptitle()
    assert title.startswith(f"Half of the videos last less than {style.format_seconds(seconds)}; ")
    df.attrs["classes"] = CLASSES


def test_the_heat_map_holds_shares_of_its_rows(df, rows):
    sizes, pairs = analysis_catalog.class_sizes(df), analysis_catalog.co_labels(df)
    (ax,) = figures_catalog.draw_co_labels(pairs, sizes).axes
    share, labels = ax.collections[0].get_array() / 100, figures_catalog.strongest_pairs(pairs)
    share = np.reshape(share, (4, 4))
    assert sorted(labels) == [0, 1, 2, 3]
    for (m, a), (n, b) in combinations(enumerate(labels), 2):
        both = sum(a in r[1] and b in r[1] for r in rows)
        assert share[m, n] == pytest.approx(both / sum(a in r[1] for r in rows))
        assert share[n, m] == pytest.approx(both / sum(b in r[1] for r in rows))


def test_words_for_numbers():
    assert style.format_seconds(3.75) == "3.8 s" and style.format_seconds(4.0) == "4 s"
    assert style.format_seconds(75) == "1 min 15 s" and style.format_seconds(7260) == "2 h 1 min"
    assert style.format_seconds(59.97) == "1 min" and style.format_seconds(3600) == "1 h"
    assert style.format_seconds(math.nan) == "unknown"
    assert style.format_number(1133158) == "1,133,158" and style.format_number(0.04989) == "0.0499"
    assert style.format_number(68179.5) == "68,180" and style.format_number(math.nan) == "–"
    assert style.format_number(-12.04) == "−12.0" and style.format_number(99.97) == "100"
    assert style.format_number(12.0) == "12" and style.format_number(math.inf) == "inf"


@pytest.fixture(scope="module")
def described(df) -> pd.DataFrame:
    sizes, pairs = analysis_catalog.class_sizes(df), analysis_catalog.co_labels(df)
    words = analysis_catalog.characteristic_words(df)
    pictures = {0: "data:x", CLASSES.index(HOSTILE): "data:y", 99: "data:z"}  # of an older ingest
    return figures_catalog.describe_classes(df, sizes, pairs, words, pictures)


def test_hostile_text_is_only_text(df, described):
    page = show_table(described).data
    table = show_table(analysis_catalog.class_sizes(df).set_index("class", append=True)).data
    table += show_table(df.head(20)[["title", "split"]]).data
    for text in (page, table):
        assert "<script" not in text and "<img src=x" not in text and "\u202e" not in text
        assert "&lt;script&gt;" in text and "mathjax_ignore" in text
    tags = set(re.findall(r"<(\w+)", page))
    assert tags == {"style", "table", "thead", "tbody", "tr", "th", "td", "img"}
    assert len(page) < 20_000, "a long title is cut"


def test_a_column_tells_its_class(df, rows, described):
    own = [r for r in rows if 0 in r[1]]
    first, second, last = (described[label] for label in (0, 1, 4))
    assert first["class"] == "judo" and first["videos"] == len(own)
    assert '<img alt="a frame of judo" src="data:x"' in show_table(described[[0]]).data
    titles = second[[name for name in described.index if name.startswith("title ")]]
    assert len(titles) == 5 and set(titles) <= {r[2] for r in rows if 1 in r[1] and r[2]}
    count = sum({0, 1} <= set(r[1]) for r in rows)
    assert f"judo ({count:,})" in second["together with"]
    assert second["words"] in show_table(described).data, "it is not cut"
    assert last["videos"] == 0 and last[titles.index].isna().all()


def test_the_explorer_shows_the_class_that_is_chosen(described):
    widget = figures_catalog.explore_classes(described)
    choice, shown = widget.children
    assert len(choice.options) == len(CLASSES)
    for label in (3, 0, 4):
        choice.value = label
        for text in described[label].dropna().astype(str)[["videos", "median duration"]]:
            assert f">{text}</td>" in shown.value
    widget.close_all()


def test_chosen_classes(df):
    sizes, pairs = analysis_catalog.class_sizes(df), analysis_catalog.co_labels(df)
    some = figures_catalog.choose_labels(sizes, pairs, seed=3)
    assert some[0] == sizes["videos"].idxmax() and some[1] == 4
    best = pairs.loc[pairs["jaccard"].idxmax()]
    assert {best["label_a"], best["label_b"]} <= set(some) and len(set(some)) == len(some)
    assert some == figures_catalog.choose_labels(sizes, pairs, seed=3)


def test_frames_of_pocket_are_small_pictures(home):
    from s1m_lab.data.ingest import prepare

    datasets.make_pocket(videos=16)
    assert figures_catalog.thumbnails(datasets.listed("pocket"), 16) == {}
    folder = prepare.prepare("pocket", clips=1)
    frames = figures_catalog.thumbnails(folder, 16)
    assert 4 <= len(frames) <= 16
    for address in frames.values():
        assert address.startswith("data:image/webp;base64,") and len(address) < 20_000
