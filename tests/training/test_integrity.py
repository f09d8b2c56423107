"""The command `check`: real datasets and runs, damaged on purpose."""

import json
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.numpy import save_file

from s1m_lab import __main__
from s1m_lab.common import files
from s1m_lab.data import places
from s1m_lab.data.ingest import prepare
from s1m_lab.training import integrity, runs


@pytest.fixture
def lab(small_home, tmp_path, monkeypatch):
    """A copy of the small home, with the clips and runs that it has."""
    shutil.copytree(small_home, tmp_path / "home")
    monkeypatch.setenv("S1M_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def check(monkeypatch, capsys, *arguments):
    """The exit status and the lines of `python -m s1m_lab check`."""
    monkeypatch.setattr(sys, "argv", ["s1m_lab", "check", *arguments])
    status = __main__.main()
    return status, capsys.readouterr().out.splitlines()


def flip(path, at=-1):
    """Change one byte of a file, in place."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_sound_home_is_all_sound_and_nothing_is_changed(lab, monkeypatch, capsys):
    before = {path: path.stat().st_mtime_ns for path in lab.rglob("*")}
    status, (line,) = check(monkeypatch, capsys)
    assert status == 0 and line.startswith("checked ") and line.endswith(": all sound")
    tars = [path for path in lab.rglob("*.tar")]
    assert tars and int(line.split()[1].replace(",", "")) > len(tars)
    assert {path: path.stat().st_mtime_ns for path in lab.rglob("*")} == before


DAMAGE = {
    "data/pocket/clips/index.parquet": "damaged and run python -m s1m_lab ingest pocket",
    "data/pocket/clips/status.parquet": "damaged and run python -m s1m_lab ingest pocket",
    "data/pocket/catalog.parquet": "damaged and repeat the command that made it",
    "runs/small/results.json": "COMMAND",
    "runs/small/predictions/test.npy": "COMMAND",
    "runs/small/config.json": "COMMAND",
    "runs/small/model.safetensors": "it cannot be made again: to train anew, move",
}


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("listed", [True, False])
def test_a_damaged_file_is_named_with_what_mends_it(name, listed, lab, monkeypatch, capsys):
    """With a digest a flipped byte is found; without one, a file that has lost its end."""
    path, way = lab / name, DAMAGE[name]
    if way == "COMMAND":  # which sets a file aside that has another digest
        renamed = "" if listed else f"rename it to {path.name}.damaged and "
        way = f"); {renamed}repeat {runs.load_run('small').command()}"
    if listed:
        files.record(path)
        flip(path)
    else:
        for lists in path.parent.glob(".sha256"):
            lists.unlink()
        path.write_bytes(path.read_bytes()[:-20])
    status, lines = check(monkeypatch, capsys)
    assert status == 1 and lines[-1].endswith(": 1 damaged") and len(lines) == 2
    assert lines[0].startswith(f"{path} is damaged (") and way in lines[0]
    assert check(monkeypatch, capsys, "small_single")[0] == 0, "another run"
    one = "pocket" if name.startswith("data") else "small"
    assert check(monkeypatch, capsys, one)[1][0] == lines[0]


def test_a_flipped_byte_of_a_shard_is_found_and_a_missing_one(lab, monkeypatch, capsys):
    one, two, *_ = sorted((lab / "data" / "pocket" / "clips").glob("*.tar"))
    flip(one, 5000)
    two.unlink()
    status, lines = check(monkeypatch, capsys, "pocket")
    assert status == 1 and len(lines) == 3 and lines[-1].endswith(": 2 damaged")
    assert any(line.startswith(f"{one} is damaged (its bytes are not") for line in lines)
    assert f"{two} is missing; run python -m s1m_lab ingest pocket" in lines


@pytest.mark.parametrize(
    ("name", "way"),
    {
        "model.safetensors": "it cannot be made again",
        "predictions/test.npy": "repeat python -m s1m_lab train",
        "filters/00000064.safetensors": "04_filters shows fewer steps without it; it cannot be",
    }.items(),
)
def test_what_a_finished_run_lacks_is_named(name, way, lab, monkeypatch, capsys):
    path = lab / "runs" / "small" / name
    if "filters" in name:  # so small a training keeps none
        runs.save_weights(path, {"conv1.weight": torch.zeros(2, 3, 11, 11)})
    path.unlink()
    status, lines = check(monkeypatch, capsys, "small")
    assert status == 1 and lines[0].startswith(f"{path} is missing; {way}") and len(lines) == 2


def test_shards_that_lie_elsewhere_are_read(lab, tmp_path, monkeypatch, capsys):
    prepare.prepare("pocket", 1, 48, output=str(tmp_path / "else where"), workers=1)
    assert check(monkeypatch, capsys, "pocket")[0] == 0
    flip(sorted((tmp_path / "else where").glob("*.tar"))[0], 5000)
    assert check(monkeypatch, capsys, "pocket")[0] == 1


def test_lists_and_leftovers_are_named(lab, monkeypatch, capsys):
    folder = lab / "runs" / "small"
    (folder / "labels.csv.damaged").write_text("old")
    status, lines = check(monkeypatch, capsys)
    assert status == 0 and lines[0] == f"{folder}/labels.csv.damaged was set aside, and is not used"
    files.record(folder / "results.json")
    flip(folder / files.DIGESTS, 70)
    status, lines = check(monkeypatch, capsys, "small")
    assert status == 1 and f"{folder}/.sha256 is damaged (its line 1 cannot be read)" in lines[1]
    assert "remove this list" in lines[1]


def test_the_ledger_of_places_is_checked(lab, monkeypatch, capsys):
    flip(places.ledger(), 3)
    assert check(monkeypatch, capsys, "pocket")[0] == 0
    status, lines = check(monkeypatch, capsys)
    assert status == 1 and lines[0].startswith(f"{places.ledger()} is damaged (its bytes are not")


def test_a_checkpoint_and_an_unfinished_run_can_go_on(tmp_path):
    assert "before it" in integrity.mend(f"{tmp_path}/checkpoint/00000060/weights.safetensors")
    (tmp_path / "checkpoint").mkdir()
    assert "cannot be made again" in integrity.mend(f"{tmp_path}/model.safetensors")


def test_an_empty_home_is_sound(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("S1M_HOME", str(tmp_path / "none"))
    assert check(monkeypatch, capsys) == (0, ["checked 0 files, 0 bytes: all sound"])


def test_every_form_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(9))
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    save_file({"x": np.zeros(9)}, tmp_path / "a.safetensors")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps({"x": "é"}))
    (tmp_path / "notes.txt").write_text("no form")
    read = []
    assert list(integrity.damaged(tmp_path, read)) == [] and len(read) == 5
    for path in tmp_path.glob("a.*"):
        path.write_bytes(path.read_bytes()[:-1])
    found = {path for path, _ in integrity.damaged(tmp_path, [])}
    assert found == {str(path) for path in tmp_path.glob("a.*")}


def test_what_is_not_there_is_one_sentence(home, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["s1m_lab", "check", "gone"])
    with pytest.raises(SystemExit, match="no dataset or run in .* is called 'gone'"):
        __main__.main()


def test_a_run_with_damaged_scores_labels_videos_and_says_where(lab, monkeypatch, capsys):
    flip(lab / "runs" / "small" / "results.json")
    (lab / "new").mkdir()
    for video in sorted((lab / "data" / "pocket" / "videos").glob("*.mp4"))[:2]:
        shutil.copy(video, lab / "new")
    monkeypatch.setattr(sys, "argv", ["s1m_lab", "predict", "small", str(lab / "new")])
    assert __main__.main() == 0
    out = capsys.readouterr().out
    assert "results.json is damaged (" in out and "2 of 2 videos labelled: " in out
