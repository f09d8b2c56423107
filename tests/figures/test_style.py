"""Every figure draws, with any text; photographs stay small."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from s1m_lab import models
from s1m_lab.analysis import mistakes
from s1m_lab.figures import overlay, style, training
from s1m_lab.figures.frames import contact_sheet, strips
from s1m_lab.training import metrics
from s1m_lab.training.predict import Predictions

RESULTS = {"clip_hit1": 0.8, "video_hit1": 0.9, "video_hit5": 1.0, "classes": 16}
HOSTILE = ["$\\frac{1$ & $_^", "<b>x</b>\n\n\t中文 🏃 \x00\x07", "w" * 5000, ""]


@pytest.fixture
def frames():
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 30, 40, 3))
    return noise.astype(np.uint8)


def drawn(figure):
    data = io.BytesIO()
    figure.savefig(data, format="png")
    assert not plt.get_fignums(), "an open figure would be shown twice by a notebook"
    return data.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_drawn_as_it_stands(text, frames):
    drawn(contact_sheet(frames[:, 0], [text] * 4, title=text))
    drawn(strips(frames, [text] * 4, title=text))
    drawn(training.draw_pairs(pairs(text), text))
    drawn(training.draw_scores(RESULTS, "slow", text))


def pairs(name="a | b"):
    rows = [("motion", name, 0.9, 0.8, 1.0, 50), ("other", name, 0.4, 0.3, 0.6, 7)]
    return pd.DataFrame(rows, columns=["kind", "pair", "accuracy", "low", "high", "videos"])


def test_clean():
    assert style.clean("a  b\nc\t d") == "a b c d"
    assert style.clean("Größe – 3×2 $x$ <b>") == "Größe – 3×2 $x$ <b>"
    assert style.clean("\U000f0000x") == "x" and style.clean("a\x07\u202eb") == "a b"
    unknown = next(c for c in "𓀀𝌆𐎀𒀀" if not style.font_of(c))  # no system has fonts for all
    assert style.clean(f"{unknown}x") == "□x"
    assert style.clean("n" * 50, 10) == "n" * 8 + "…" and style.clean("n" * 10, 10) == "n" * 10
    assert len(style.clean("w" * 50, 10)) < 9 < 15 < len(style.clean("i" * 50, 10))
    for accents in ("e\u0301pe\u0301e", "a\u200db", "caf\u00e9"):  # of no width of their own
        assert style.clean(accents) == accents
    assert style.clean("") == ""
    assert style.clean(3.5) == "3.5"


@pytest.mark.parametrize("text", ["登山", "クライミング", "등산", "登 climb"])
def test_names_in_other_scripts_are_drawn_where_a_font_has_them(text, frames):
    if not all(map(style.font_of, text)):
        pytest.skip("no font of this system has these characters")
    assert style.clean(text) == text
    drawn(contact_sheet(frames[:, 0], [text] * 4, title=text))  # a missing glyph is a warning


def test_a_character_is_drawn_by_the_first_font_that_has_it(monkeypatch):
    monkeypatch.setattr(style, "FONTS", ["cmr10", "DejaVu Sans"])  # cmr10 has no Cyrillic
    for cached in (style.font_of, style._width):
        cached.cache_clear()
    try:
        assert [style.font_of(c) for c in "nж\U000f0000"] == ["cmr10", "DejaVu Sans", ""]
        letters = [overlay.Face(20).length(text) for text in ("n", "ж", "nжn")]
        assert letters[2] == pytest.approx(2 * letters[0] + letters[1])
        assert style._width("ж") * letters[0] == pytest.approx(letters[1], abs=1.5)  # whole pixels
        draw = ImageDraw.Draw(image := Image.new("L", (80, 30)))
        overlay.Face(20).write(draw, 2, 15, "nж", 255)
        alone = Image.new("L", (80, 30))
        dejavu = overlay.Face(20).fonts["DejaVu Sans"]
        ImageDraw.Draw(alone).text((2 + letters[0], 15), "ж", 255, dejavu, "lm")
        right = slice(2 + int(letters[0]) + 1, None)
        assert np.array_equal(np.asarray(image)[:, right], np.asarray(alone)[:, right])
    finally:
        for cached in (style.font_of, style._width):
            cached.cache_clear()


def test_a_contact_sheet_holds_any_number_of_frames(frames):
    for n in (1, 2, 4):
        sheet = contact_sheet(frames[:n, 0], ["one"] * n, columns=3)
        assert len([ax for ax in sheet.axes if ax.images]) == n
    shown = sheet.axes[1].images[0].get_array()
    assert np.array_equal(shown, frames[1, 0])
    drawn(contact_sheet([], []))


def test_strips_show_frames_in_the_order_of_time(frames):
    figure = strips(frames[:2], ["a", "b"], shown=6)
    shown = [ax.images[0].get_array() for ax in figure.axes]
    for i, (picture, k) in enumerate(zip(shown, [0, 3, 6, 9, 12, 15] * 2, strict=True)):
        assert np.array_equal(picture, frames[i // 6, k])
    below = [ax.get_xlabel() for ax in figure.axes]
    assert below == [""] * 6 + ["0.00 s", "0.10 s", "0.20 s", "0.30 s", "0.40 s", "0.50 s"]
    drawn(strips([], []))


def test_strips_of_networks_that_see_few_frames(frames):
    for numbers in ((0,), (0, 15)):
        figure = strips(frames[:3][:, list(numbers)], ["a", "b", "c"], numbers)
        below = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
        assert below == [f"{k / 30:.2f} s" for k in numbers]
        assert figure.get_figheight() < 5
        drawn(figure)


def test_photographs_are_shown_as_jpeg_alone(monkeypatch):
    y, x = np.mgrid[:132, :176] / 200
    noise = np.random.default_rng(0).normal(0, 4, (4, 132, 176, 3))
    frames = (np.stack([x, y, x * y], axis=-1) * 200 + noise).clip(0, 255).astype(np.uint8)
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figure = contact_sheet(frames, ["a", "b", "c", "d"])
    figure._ipython_display_()
    (image,) = shown
    assert image.format == "jpeg" and image.data[:2] == b"\xff\xd8"
    assert len(image.data) < len(drawn(figure)) / 2


def test_drawings_are_sharp_and_small_and_as_wide_as_a_report(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figure = training.draw_pairs(pairs(), "x")
    figure._ipython_display_()
    (image,) = shown
    data, metadata = image._repr_png_()
    assert metadata == {"width": 810}
    picture = Image.open(io.BytesIO(image.data))
    assert picture.mode == "P" and picture.size[0] == 1296
    assert len(image.data) < len(drawn(figure)), "more pixels in fewer bytes"
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=144)
    full = np.asarray(Image.open(file).convert("RGB"), int)
    assert np.abs(np.asarray(picture.convert("RGB")) - full).max() < 20, "the colours are its own"


def test_curves_draw_from_the_first_row_on():
    nothing = pd.DataFrame(columns=["step", "loss", "val_hit1"], dtype=float)
    drawn(training.draw_training_curve(nothing, "slow"))
    rows = pd.DataFrame({"step": [10, 20], "loss": [2.0, 1.0], "val_hit1": [np.nan, np.nan]})
    assert "not measured" in training.draw_training_curve(rows, "slow").axes[1].get_title("left")
    rows.loc[1, "val_hit1"] = 0.25
    figure = training.draw_training_curve(rows, "late", chance=0.1)
    assert "best 25.0% at step 20" in figure.axes[1].get_title("left")
    assert {line.get_color() for line in figure.axes[0].lines} == {style.COLOURS["late"]}
    drawn(figure)


def test_pair_bars_stand_on_one_half():
    bars = training.draw_pairs(pairs(), "x").axes[0].patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [
        (0.5, 0.4),
        (0.5, pytest.approx(-0.1)),
    ]


def some_predictions(gain: float) -> Predictions:
    """30 videos of 2 to 5 clips, 4 classes; `gain` is what the true classes get beside chance."""
    rng = np.random.default_rng(7)
    labels = [rng.choice(4, 1 + v % 2, replace=False).tolist() for v in range(30)]
    video = np.repeat(np.arange(30), rng.integers(2, 6, 30))
    found = rng.random((len(video), 4)) + gain * metrics.truth([labels[v] for v in video], 4)
    found = (found / found.sum(axis=1, keepdims=True)).astype(np.float32)
    return Predictions(found, video, np.arange(len(video)), [f"v{n}" for n in range(30)], labels)


def test_the_hardest_videos_are_mistakes_one_clip_each():
    saved = some_predictions(0.3)
    table, scores = mistakes.hardest_videos(saved, 30), saved.video_probabilities
    wrong = [v for v in range(30) if scores[v].argmax() not in saved.labels[v]]
    assert 2 < len(wrong) < 30 and table["lead"].is_monotonic_decreasing
    shown = saved.clip_video[table["clip"]]
    assert sorted(shown) == wrong, "every mistake once, and nothing else"
    for v, row in zip(shown, table.itertuples(), strict=True):
        mine = np.flatnonzero(saved.clip_video == v)
        assert row.other == scores[v].argmax() and row.own in saved.labels[v]
        assert row.clip == max(mine, key=lambda n: saved.clip_probabilities[n, row.other])
        assert row.lead == pytest.approx(row.other_gets - row.own_gets)
    assert mistakes.hardest_videos(saved, 2)["clip"].tolist() == table["clip"][:2].tolist()


def test_without_a_mistake_the_closest_calls():
    saved = some_predictions(5.0)
    table, scores = mistakes.hardest_videos(saved, 6), saved.video_probabilities
    assert metrics.hits(scores, saved.labels, 1).mean() == 1
    assert len(table) == 6 and (table["lead"] < 0).all()
    for v, row in zip(saved.clip_video[table["clip"]], table.itertuples(), strict=True):
        mine = np.flatnonzero(saved.clip_video == v)
        assert row.own == scores[v].argmax()
        assert row.clip == max(mine, key=lambda n: saved.clip_probabilities[n, row.own])


def test_the_pair_table_leaves_out_pairs_without_videos():
    saved, classes = some_predictions(0.3), ["a", "b", "c", "d", "e", "f"]
    wide = np.pad(saved.clip_probabilities, ((0, 0), (0, 2)))
    saved = saved._replace(clip_probabilities=wide)
    pairs = {"motion": [["a", "b"], ["e", "f"]], "detail": [["c", "d"]]}
    table = mistakes.pair_table(saved, pairs, classes)
    assert table[["kind", "pair"]].to_numpy().tolist() == [["motion", "a | b"], ["detail", "c | d"]]
    scores = saved.video_probabilities
    mine = [v for v in range(30) if (0 in saved.labels[v]) != (1 in saved.labels[v])]
    right = [(scores[v, 0] > scores[v, 1]) == (0 in saved.labels[v]) for v in mine]
    assert table["videos"][0] == len(mine) and table["accuracy"][0] == pytest.approx(np.mean(right))
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()


def test_beside_paper_shows_both_and_survives_a_gap():
    figure = training.draw_scores(RESULTS, "slow", "x")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["80.0%, paper 41.9%", "90.0%, paper 60.9%", "100.0%, paper 80.2%"]
    chance = next(line for line in figure.axes[0].lines if line.get_label() == "chance, here")
    assert list(chance.get_xdata()) == [1 / 16, 1 / 16, 5 / 16]
    figure = training.draw_scores(RESULTS, "late-fovea", "x")
    assert [text.get_text() for text in figure.axes[0].texts][0] == "80.0%"
    drawn(figure)


def test_five_of_five_classes_is_no_score():
    figure = training.draw_scores(RESULTS | {"classes": 5}, "slow", "x")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["clip Hit@1", "video Hit@1"] and len(figure.axes[0].texts) == 2
    drawn(figure)


@pytest.mark.parametrize("name", models.NAMES)
def test_the_shape_flow_of_every_network(name):
    net = models.build(name, classes=7, width=0.05)
    figure = training.draw_shapes(models.summary(net), name)
    texts = [text.get_text() for text in figure.axes[0].texts]
    streams = len(net.view.streams)
    assert texts.count("conv1") == streams and texts.count("fc6") == 1 and texts[-1] == "7"
    drawn(figure)


def test_each_fusion_has_a_colour_of_its_own():
    rows = ("single", "early", "late", "slow", "histograms", "average")
    shades = {style.colour(row) for row in rows}
    assert len(shades) == len(rows) and style.OTHER not in shades
    assert style.colour("fifth-fovea") == style.OTHER, "a new fusion needs no colour of its own"
    assert style.colour("slow-multires") == style.colour("slow")


def test_intervals_are_drawn_as_they_are_given():
    """Also where the value lies outside of its interval, or where that is unknown."""
    rows = pd.DataFrame({"gain": [0.1, 0.5, -0.2], "gain_low": [0.0, 0.6, np.nan]})
    rows["gain_high"] = [0.3, 0.7, np.nan]
    for colour in ("#123456", ["#111111", "#222222", "#333333"]):
        fig, ((ax,),) = style.new_figure()
        style.draw_intervals(ax, rows, "gain", [0.2, 1.2, 2.2], colour)
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        points = {(x, y) for dot in dots for x, y in dot.get_xydata().tolist() if x == x}
        assert points == {(0.1, 0.2), (0.5, 1.2), (-0.2, 2.2)}
        ends = [line.get_xdata() for line in ax.lines if line.get_marker() != "o"]
        ends = {tuple(pair) for pair in ends if len(pair) == 2 and not np.isnan(pair).any()}
        assert {(0.0, 0.3), (0.6, 0.7)} <= ends
        drawn(fig)


def test_a_headline_stays_on_its_figure():
    """Long ones take two lines, and no more."""
    long = (
        "From scratch 75.9% of videos are told, more than by what was tuned: top 3 layers 63.3%, "
    )
    for text in ("short", long + "−12.6 points to scratch (−17.2 to −7.8)", 9 * long, "W" * 300):
        fig, _ = style.new_figure()
        style.headline(fig, text)
        fig.canvas.draw()
        box = fig._suptitle.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= fig.bbox.x1, text
        assert fig._suptitle.get_text().count("\n") == (long in text)


def test_the_two_lines_of_a_headline_are_even():
    for words in range(1, 22):
        fig, _ = style.new_figure()
        style.headline(fig, " ".join(["letters"] * words))
        counts = [len(line.split()) for line in fig._suptitle.get_text().split("\n")]
        assert counts == [words] if len(counts) == 1 else counts == [words - words // 2, words // 2]
    assert len(counts) == 2
