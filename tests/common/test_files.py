"""Files are whole or absent, carry their digests, and a damaged one is named."""

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from s1m_lab.common import files


def flip(path: Path, place: int = -1, bit: int = 1) -> None:
    """Change one bit, and neither the size nor the date."""
    about, data = path.stat(), bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def sound_in_another_process(path: Path) -> bool:
    program = "import sys, pathlib; from s1m_lab.common.files import has_its_digest as h"
    program += "; sys.exit(not h(pathlib.Path(sys.argv[1])))"
    return subprocess.run([sys.executable, "-c", program, str(path)]).returncode == 0


def test_one_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with files.reading(path, "mend it"):
        assert json.loads(path.read_text()) == {"a": 1}
    flip(path, place=6)  # 1 becomes 0: the form is right
    assert json.loads(path.read_text()) == {"a": 0}
    assert not sound_in_another_process(path)
    assert not files.has_its_digest(path, again=True)


def test_a_damaged_file_is_named_and_set_aside_once(tmp_path, capsys):
    path = tmp_path / "b.npy"
    files.write_array(path, (2, 3), [np.ones((1, 3)), np.zeros((1, 3))])
    path.write_bytes(b"x")
    with pytest.raises(files.Damaged, match=r"b\.npy is damaged .*; mend it") as error:
        with files.reading(path, "mend it", aside=True):
            raise AssertionError("a damaged file is not read")
    assert "kept as b.npy.damaged" in str(error.value)
    assert not path.exists() and path.with_name("b.npy.damaged").read_bytes() == b"x"
    with pytest.raises(FileNotFoundError, match=r"b\.npy is missing; mend it"):
        with files.reading(path, "mend it"):
            path.read_bytes()
    files.write_array(path, (1, 3), [np.ones((1, 3))])
    assert not path.with_name("b.npy.damaged").exists(), "it is made again"
    assert files.is_sound(path)


def test_a_file_without_a_digest_is_checked_for_its_form(tmp_path):
    path = tmp_path / "hand-made.json"
    path.write_text("{")
    with pytest.raises(files.Damaged, match=r"hand-made\.json is damaged \(JSONDecodeError"):
        with files.reading(path, "mend it"):
            json.loads(path.read_text())
    path.write_text("{}")
    with files.reading(path, "mend it"):
        assert json.loads(path.read_text()) == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_between_the_digest_and_the_file_is_no_damage(tmp_path, moment):
    """The list then has the digests of the old file and of the new one: either is sound."""
    path = tmp_path / "c.json"
    files.write_json(path, "old")
    program = f"""if True:
        import os, signal, sys
        from pathlib import Path
        from s1m_lab.common import files
        replace = os.replace
        def killed(a, b):
            if {moment == "after"}:
                replace(a, b)
            os.kill(os.getpid(), signal.SIGKILL)
        os.replace = killed
        files.write_json(Path(sys.argv[1]), "new")
    """
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == -9
    assert json.loads(path.read_text()) == ("old" if moment == "before" else "new")
    assert files.is_sound(path)
    assert len(files.digests(tmp_path)["c.json"]) == 2


def test_many_writers_share_a_list(tmp_path):
    def write(n: int) -> None:
        files.write_json(tmp_path / f"{n % 50}.json", n)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(50)))
    assert set(files.digests(tmp_path)) == {f"{n}.json" for n in range(50)}
    assert all(files.is_sound(tmp_path / f"{n}.json") for n in range(50))


def test_a_damaged_line_of_the_list_is_no_digest(tmp_path):
    path = tmp_path / "d.json"
    files.write_json(path, 1)
    flip(tmp_path / files.DIGESTS, place=3)
    assert files.digests(tmp_path) == {}
    assert sound_in_another_process(path), "the file is not accused"


def test_half_a_line_of_the_list_spoils_no_other(tmp_path):
    """A process was killed, or the disk was full, while it added its line."""
    path = tmp_path / "d.json"
    files.write_json(path, 1)
    with open(tmp_path / files.DIGESTS, "ab") as listed:
        listed.write(b"0123456789abcdef")
    files.write_json(path, 2)
    assert len(files.digests(tmp_path)["d.json"]) == 2
    assert sound_in_another_process(path)


def test_a_growing_file_is_forgotten_and_noted_at_its_end(tmp_path):
    path = tmp_path / "log.csv"
    files.write_text(path, "a\n", record=True)
    files.forget(path)
    files.append_text(path, "1\n")
    assert files.is_sound(path) and not files.digests(tmp_path)["log.csv"]
    files.record(path)
    flip(path, place=2)
    assert not files.has_its_digest(path, again=True)


def test_an_array_has_the_bytes_that_numpy_writes(tmp_path):
    rows = np.random.default_rng(0).random((7, 2, 3))
    files.write_array(tmp_path / "a.npy", rows.shape, [rows[:4], rows[4:4], rows[4:]])
    np.save(tmp_path / "b.npy", rows.astype(np.float32))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    with pytest.raises(ValueError, match="not of the shape"):
        files.write_array(tmp_path / "a.npy", (7, 2, 3), [rows[:4]])
    assert np.load(tmp_path / "a.npy").shape == (7, 2, 3), "the file before is kept"


def test_a_folder_is_replaced_whole_with_the_digests_of_its_files(tmp_path):
    for n in (1, 2):
        with files.atomic(tmp_path / "f", record=True) as folder:
            folder.mkdir()
            (folder / "x").write_text(str(n))
    assert (tmp_path / "f" / "x").read_text() == "2" and files.is_sound(tmp_path / "f" / "x")
    flip(tmp_path / "f" / "x", 0)
    assert not files.has_its_digest(tmp_path / "f" / "x", again=True)


def test_temporary_folders_of_the_dead_are_removed_and_of_the_living_kept(tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    program = """if True:
        import os, signal, sys, time
        from s1m_lab.common.files import temporary_folder
        with temporary_folder() as folder:
            (folder / "large").write_bytes(bytes(1000))
            print(folder, flush=True)
            os.utime(folder, (0, 0))
            if sys.argv[1] == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if sys.argv[1] == "wait":
                sys.stdin.read()
    """
    command = [sys.executable, "-c", program]
    dead = subprocess.run([*command, "die"], env=env, stdout=subprocess.PIPE, text=True)
    living = subprocess.Popen(
        [*command, "wait"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    here = Path(living.stdout.readline().strip())
    assert not Path(dead.stdout.strip()).exists(), "the next process removed it"
    subprocess.run([*command, "end"], env=env, check=True, stdout=subprocess.DEVNULL)
    assert (here / "large").exists()
    living.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_a_message_of_a_lack_of_room_has_the_amounts(tmp_path):
    with pytest.raises(files.DiskFull, match=r"needs 1,000,000\.0 GB .* GB free.* are missing"):
        files.require_space(tmp_path, 1e15)
    error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(files.DiskFull, match=r"x\.bin cannot be written, 3 bytes .* 7 bytes are"):
        with files.atomic(tmp_path / "x.bin", size=10) as temporary:
            temporary.write_bytes(b"abc")
            raise error
    assert list(tmp_path.iterdir()) == []
