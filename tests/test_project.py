"""The project as a whole: environments that cannot drift apart, the README, the doctor."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "s1m_lab").rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)
README = (ROOT / "README.md").read_text("utf-8")


def requirements():
    lines = PROJECT["dependencies"] + sum(PROJECT["optional-dependencies"].values(), [])
    return [need for line in lines if (need := Requirement(line)).name != PROJECT["name"]]


def test_conda_gets_its_packages_from_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, packages = environment["dependencies"]
    assert Requirement(python).specifier == SpecifierSet(PROJECT["requires-python"])
    assert (pip, packages) == ("pip", {"pip": ["-c constraints.txt", "-e .[dev]"]})


def pinned():
    """Name → its pins. A package whose versions differ by Python or system has several."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {}
    for line in lines:
        if not line.startswith("#"):
            pin = Requirement(line)  # refuses options such as --index-url and --hash
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def test_constraints_pin_every_dependency_within_its_range():
    tested = {
        name: [str(pin.specifier).removeprefix("==") for pin in pins]
        for name, pins in pinned().items()
    }
    for need in requirements():
        assert tested[need.name], need
        assert all(version in need.specifier for version in tested[need.name]), need
    (torch,), (vision,) = tested["torch"], tested["torchvision"]
    assert int(vision.split(".")[1]) == int(torch.split(".")[1]) + 15, (
        "torch 2.N goes with torchvision 0.(N+15)"
    )


def test_constraints_pin_what_the_dependencies_need():
    """Else pip searches for versions that fit together, for minutes."""
    found, todo = set(), requirements()
    while todo:
        need = todo.pop()
        key = canonicalize_name(need.name), frozenset(need.extras)
        if key in found:
            continue
        found.add(key)
        for line in metadata.requires(need.name) or []:
            below = Requirement(line)
            extras = need.extras or {""}
            if not below.marker or any(below.marker.evaluate({"extra": e}) for e in extras):
                todo.append(below)
    pins, names = pinned(), {name for name, _ in found}
    assert len(names) > 150
    for name in names:
        here = [pin for pin in pins.get(name, []) if not pin.marker or pin.marker.evaluate()]
        assert len(here) == 1, name


def test_constraints_leave_cuda_to_linux():
    for name, pins in pinned().items():
        if name.startswith(("nvidia-", "cuda-", "triton")):
            for pin in pins:
                for other in ("darwin", "win32"):
                    assert not pin.marker.evaluate({"sys_platform": other}), pin


def test_every_dependency_has_its_sentence():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    missing = [need.name for need in requirements() if f"`{need.name}`" not in text]
    assert not missing


def test_the_tree_in_the_readme_is_that_of_the_notebooks():
    listed = dict(re.findall(r"^ +(\w+\.ipynb) +(.+)$", README, flags=re.MULTILINE))
    found = {}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        first = nbformat.read(path, 4).cells[0].source
        found[path.name] = re.search(r"^> (.+?\?)", first, flags=re.MULTILINE)[1]
    assert listed == found


def test_every_room_is_described_and_every_module_says_what_it_holds():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rooms = {path.name for path in (ROOT / "s1m_lab").iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(re.findall(r"^\| `(\w+)/` \|", text, flags=re.MULTILINE))
    for module in MODULES:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
        assert ast.get_docstring(ast.parse(source)), module


def test_the_readme_names_commands_that_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "reports/README.md"):
        used = re.findall(
            r"(?:^ *|`)make ([a-z-]+)", (ROOT / name).read_text("utf-8"), re.MULTILINE
        )
        assert set(used) <= targets, name
    assert "\n    make demo" in README and "\n    make test" in README
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text("utf-8")


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
def test_make_help_lists_everything():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = "setup demo test test-all lint notebooks report reports exhibits lab clean help"
    assert {*wanted.split(), "bench", "bench-gpu"} <= set(
        re.findall(r"make ([a-z-]+)", done.stdout)
    )


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
@pytest.mark.parametrize("target", ["demo", "reports", "lab", "doctor"])
def test_make_installs_what_tests_need_for_tests_alone(target, tmp_path):
    def planned(target):
        command = ["make", "--dry-run", target, f"VENV={tmp_path}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return [
            line.split("install.py")[1].strip()
            for line in done.stdout.splitlines()
            if "install.py" in line
        ]

    assert planned(target) == [""]
    for tests in ("setup", "test", "test-all", "notebooks", "lint", "bench"):
        assert planned(tests) == ["", "dev"]


def install_py(program: str, **environment):
    """What a program prints that has imported install.py."""
    done = subprocess.run(
        [sys.executable, "-c", f"import json, subprocess, install\n{program}"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_pip_settings_reach_uv(tmp_path):
    pytest.importorskip("pip")
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://me:word@mirror.test/simple\ntrusted-host = mirror.test\n"
        "extra-index-url = https://a.test/simple\n  https://b.test/simple\ntimeout = 90\n"
        "[install]\nconstraint = /etc/ours.txt\nno-index = true\n"
    )
    own = {name: "" for name in os.environ if name.startswith("PIP_")}
    given = {"PIP_FIND_LINKS": "/wheels https://c.test/", "PIP_CERT": "/etc/ca.pem"}
    given |= {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_PROXY": "http://proxy.test:80"}
    said = install_py("print(json.dumps(install.uv_settings()))", **own | given)
    variables, options = json.loads(said[0])
    assert variables == {
        "UV_DEFAULT_INDEX": "https://me:word@mirror.test/simple",
        "UV_INDEX": "https://a.test/simple https://b.test/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,https://c.test/",
        "UV_INSECURE_HOST": "mirror.test",
        "UV_HTTP_TIMEOUT": "90",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "HTTP_PROXY": "http://proxy.test:80",
        "HTTPS_PROXY": "http://proxy.test:80",
    }
    assert options == ["--no-index", "-c", "/etc/ours.txt"]


@pytest.mark.parametrize(
    ("without_uv", "uv_fails", "runs"),
    [(0, 0, ["pip uv", "uv"]), (0, 2, ["pip uv", "uv", "pip"]), (1, 0, ["pip uv", "pip"])],
)
def test_pip_installs_the_same_where_uv_cannot(without_uv, uv_fails, runs):
    program = f"""
runs = []
def run(command, cwd):
    runs.append(command)
    return subprocess.CompletedProcess(command, {without_uv} if command[-1] == "uv" else 0)
def install_with_uv(lab):
    runs.append(["uv", *lab])
    return {uv_fails}
subprocess.run, install.install_with_uv = run, install_with_uv
assert install.main(["dev"]) == 0
print(json.dumps(runs))
"""
    *_, said = install_py(program)
    commands = json.loads(said)
    kinds = [c[0] if c[0] == "uv" else "pip uv" if c[-1] == "uv" else "pip" for c in commands]
    assert kinds == runs
    assert all(
        command[-4:] == ["-c", "constraints.txt", "-e", ".[dev]"] for command in commands[1:]
    )


def run_without(blocked: str, program: str):
    """Run a program in which importing any package named in `blocked` fails."""
    block = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked.split()!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Block())
"""
    return subprocess.run([sys.executable, "-c", block + program], capture_output=True, text=True)


@pytest.fixture(scope="module")
def light_imports() -> dict[str, str]:
    """What each module printed when it was imported without the heavy packages, "" for nothing."""
    heavy = "IPython jupyterlab jupyter_client ipykernel ipywidgets nbconvert nbformat papermill"
    program = f"""
import importlib, json
failed = {{}}
for module in {MODULES}:
    try:
        importlib.import_module(module)
    except ImportError as error:
        failed[module] = str(error)
print(json.dumps(failed))
"""
    done = run_without(f"{heavy} av decord dask distributed", program)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_without_what_they_do_not_use(module, light_imports):
    assert module not in light_imports


@pytest.mark.parametrize("module", ["models", "training.metrics", "data.augment", "data.loader"])
def test_the_core_needs_torch_and_numpy_alone(module):
    others = (
        "pandas pyarrow matplotlib PIL duckdb safetensors scipy sklearn skimage filelock fsspec"
    )
    done = run_without(f"{others} seaborn torchvision", f"import s1m_lab.{module}")
    assert done.returncode == 0, done.stderr


def doctor(folder: Path, **environment):
    return subprocess.run(
        [sys.executable, "-m", "s1m_lab"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_the_doctor_finds_all_well(home, tmp_path):
    done = doctor(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = re.findall(r"^  ok +(\w+)", done.stdout, flags=re.MULTILINE)
    assert checks == ["python", "installed", "torch", "device", "decoder", "notebooks", "home"]
    assert str(home) in done.stdout and done.stdout.endswith("next: make demo\n")
    (home / "reports").mkdir(parents=True)
    (home / "reports" / "03_train_slow.html").touch()
    assert doctor(tmp_path).stdout.endswith("next: make lab\n")


def test_the_doctor_names_what_is_broken_and_what_mends_it(tmp_path):
    (tmp_path / "av.py").write_text("raise ImportError('libavcodec is gone')")
    done = doctor(tmp_path, S1M_HOME="/proc/nowhere", PYTHONPATH=str(tmp_path))
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and lines[-1] == "2 broken"
    at = next(i for i, line in enumerate(lines) if line.startswith("  BROKEN  decoder"))
    assert "libavcodec is gone" in lines[at]
    assert "fix it:" in lines[at + 1] and "-m pip install" in lines[at + 1]
    at = next(i for i, line in enumerate(lines) if line.startswith("  BROKEN  home"))
    assert "S1M_HOME" in lines[at + 1]


@pytest.mark.skipif(
    sys.prefix == sys.base_prefix or os.name != "posix", reason="needs a virtual environment, make"
)
def test_the_doctor_knows_who_forgot_to_activate(tmp_path):
    """The Python that the environment was made of: nothing is to be installed into that."""
    (tmp_path / "av.py").write_text("raise ImportError('none')")
    (tmp_path / "jupyter_client.py").write_text("raise ImportError('none')")
    outside = [sys._base_executable, "-m", "s1m_lab"]
    env = {key: value for key, value in os.environ.items() if key != "CONDA_PREFIX"}
    env["PYTHONPATH"] = os.pathsep.join(map(str, (tmp_path, ROOT)))
    done = subprocess.run(outside, env=env, capture_output=True, text=True)
    assert "make setup && . .venv/bin/activate" in done.stdout, done.stderr
    assert "pip install" not in done.stdout and "fix it:    as above" in done.stdout


def command(monkeypatch, *arguments) -> int:
    """The exit status of `python -m s1m_lab …`, run in this process."""
    from s1m_lab import __main__

    monkeypatch.setattr(sys, "argv", ["s1m_lab", *map(str, arguments)])
    try:
        return __main__.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code)
        return end.code if isinstance(end.code, int) else 1


def test_the_doctor_tells_what_takes_the_disk(home, monkeypatch, capsys):
    """Hidden files count, links are not followed, a folder that cannot be read is named."""
    from s1m_lab import __main__

    for n in range(25):
        (home / "runs" / f"run-{n:02}").mkdir(parents=True)
        (home / "runs" / f"run-{n:02}" / "weights").write_bytes(bytes(10_000 * (n + 1)))
    (home / "data" / "films" / "clips").mkdir(parents=True)
    (home / "data" / "films" / "clips" / ".hidden").write_bytes(bytes(5_000_000))
    (home / "data" / "films" / "link").symlink_to(home / "runs")
    (home / "data" / "linked").symlink_to(home / "runs")
    scandir, closed = os.scandir, home / "runs" / "run-24"

    def refused(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    __main__.print_disk_use()
    _, title, unreadable, *lines = capsys.readouterr().out.splitlines()
    assert title == f"disk use of {home}:"
    assert unreadable == f"  {closed} cannot be read: Permission denied"
    assert len(lines) == 21 and re.fullmatch(r" +5\.0 MB  data/films", lines[0])
    assert re.fullmatch(r" +24\d\.\d kB  runs/run-23", lines[1])
    assert re.fullmatch(r" +8\.\d MB  in all, with 7 more", lines[-1])


@pytest.mark.slow
def test_the_doctor_counts_a_hundred_thousand_files_in_seconds(home, capsys):
    from s1m_lab import __main__

    for n in range(100):
        (home / "data" / "many" / str(n)).mkdir(parents=True)
        for k in range(1000):
            (home / "data" / "many" / str(n) / str(k)).touch()
    start = time.monotonic()
    __main__.print_disk_use()
    assert time.monotonic() - start < 5


ERRORS = {
    "ValueError('x is wrong; write y')": "x is wrong; write y",
    "FileNotFoundError('no run named x')": "no run named x",
    "ModuleNotFoundError('install y')": "install y",
    "FloatingPointError('the loss is nan')": "the loss is nan",
    "PermissionError(13, 'no', '/x')": "permission denied: /x; change who may read or write it",
    "MemoryError()": "MemoryError",
    "KeyError('x')": "KeyError: 'x' — an error of the lab; --debug shows where",
    "RuntimeError('x')": "RuntimeError: x — an error of the lab; --debug shows where",
}


def shell(code: str, *arguments) -> subprocess.Popen:
    """`python -m s1m_lab` in a process of its own, in which `classes` runs this code."""
    program = "import os, signal, sys, time\nfrom s1m_lab import __main__\n"
    program += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # even in a job of `&`
    program += "def classes(data, network):\n    'Do it.'\n    " + code.replace("\n", "\n    ")
    program += "\n__main__.classes = classes\nsys.exit(__main__.main())"
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_a_sentence_and_debug_shows_where(error, monkeypatch, capsys):
    from s1m_lab import __main__

    def classes(data, network):
        """Do it."""
        raise eval(error)

    monkeypatch.setattr(__main__, "classes", classes)
    assert command(monkeypatch, "classes", "pocket") == 1
    assert capsys.readouterr().out == f"{ERRORS[error]}\n"
    for arguments in (["--debug", "classes", "pocket"], ["classes", "pocket", "--debug"]):
        with pytest.raises(type(eval(error))):
            command(monkeypatch, *arguments)


def test_debug_prints_the_traceback():
    sentence = shell("raise ValueError('x is wrong')", "classes", "pocket")
    assert sentence.communicate() == ("", "x is wrong\n") and sentence.returncode == 1
    traced = shell("raise ValueError('x is wrong')", "--debug", "classes", "pocket")
    out, said = traced.communicate()
    assert traced.returncode == 1 and said.startswith("Traceback") and "in classes" in said


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM")
@pytest.mark.parametrize(
    "sent, status, said", [("SIGTERM", 143, "stopped by SIGTERM"), ("SIGINT", 130, "interrupted")]
)
def test_a_stopped_command_says_so(sent, status, said):
    code = "try:\n    print('up', flush=True)\n    time.sleep(60)\nfinally:\n    print('tidy')"
    process = shell(code, "classes", "pocket")
    assert process.stdout.readline() == "up\n"
    process.send_signal(getattr(signal, sent))
    out, text = process.communicate(timeout=30)
    assert (process.returncode, out) == (status, "tidy\n")
    assert text == f"\n{said}; repeat the command to resume\n"


def test_a_training_that_sigterm_ended_has_its_status(monkeypatch, capsys):
    from s1m_lab import __main__

    def classes(data, network):
        """Do it."""
        raise InterruptedError("it has a checkpoint; repeat the command")

    monkeypatch.setattr(__main__, "classes", classes)
    assert command(monkeypatch, "classes", "pocket") == 143
    assert capsys.readouterr().err == "it has a checkpoint; repeat the command\n"


@pytest.mark.parametrize("name", ["lr", "width"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_setting_that_is_no_number_is_refused(name, value, monkeypatch, capsys):
    assert command(monkeypatch, "train", f"--{name}", value) == 1
    said = f"{name} is {float(value)}; it must be 0 or a number above 0\n"
    assert capsys.readouterr().out == said


COMMANDS = ["ingest", "train", "predict", "report", "suite", "exhibits", "classes", "check"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_what_it_takes(name, monkeypatch, capsys):
    assert command(monkeypatch, name, "--help") == 0
    usage, does, *rest = capsys.readouterr().out.split("\n\n")
    assert len(does.split()) > 4 and not does.startswith(("options:", "positional"))
    options = re.findall(r"^  (?:-h, )?(--?[\w-]+|\w+)(.*(?:\n {6,}.*)*)", "\n".join(rest), re.M)
    for option, text in options:
        assert "_" not in option, "hyphens, in every command"
        assert text.strip(), option
    if name == "exhibits":
        assert "reports/<suite>-<report>.ipynb" in does and "README" in does


def test_predict_says_what_is_missing(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").write_text("no video")
    for folder, said in ((tmp_path / "gone", "there is no"), (tmp_path, "no video in")):
        assert command(monkeypatch, "predict", "mine", folder) == 1
        assert said in capsys.readouterr().out
    (tmp_path / "a.mp4").write_bytes(b"")
    assert command(monkeypatch, "predict", "mine", tmp_path) == 1
    assert "no run named 'mine'" in capsys.readouterr().out


@pytest.mark.parametrize("typed,first", [("weizman", "weizmann"), ("SLOW", "films-slow-s0")])
def test_predict_names_the_nearest_runs_first(typed, first, home, tmp_path, monkeypatch, capsys):
    for name in ("other", "weizmann", "films-slow-s0", *(f"a{n}" for n in range(20))):
        (home / "runs" / name).mkdir(parents=True)
        (home / "runs" / name / "config.json").write_text("{}")
    (tmp_path / "a.mp4").write_bytes(b"")
    assert command(monkeypatch, "predict", typed, tmp_path / "a.mp4") == 1
    said = capsys.readouterr().out
    assert f"did you mean '{first}'?; there are: {first}, " in said
    assert said.partition("there are: ")[2].partition(" and 13 more; to make")[0].count(", ") == 9


@pytest.mark.parametrize("few", [1, 10])
def test_few_runs_are_all_named(few, home, tmp_path, monkeypatch, capsys):
    for n in range(few):
        (home / "runs" / f"films-{n}").mkdir(parents=True)
        (home / "runs" / f"films-{n}" / "config.json").write_text("{}")
    (tmp_path / "a.mp4").write_bytes(b"")
    assert command(monkeypatch, "predict", "xyz", tmp_path / "a.mp4") == 1
    said = capsys.readouterr().out
    assert "more" not in said and "did you mean" not in said and said.count("films-") == few


def test_report_of_no_notebook_is_one_line(tmp_path, monkeypatch, capsys):
    assert command(monkeypatch, "report", tmp_path / "none.ipynb") == 1
    assert capsys.readouterr().out == f"there is no notebook {tmp_path / 'none.ipynb'}\n"
    (tmp_path / "odd.ipynb").write_text("# no JSON")
    assert command(monkeypatch, "report", tmp_path / "odd.ipynb") == 1
    assert capsys.readouterr().out.count("\n") == 1


def test_report_of_a_failed_notebook_says_so(home, tmp_path, monkeypatch, capsys):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    error = nbformat.v4.new_output("error", ename="ZeroDivisionError", evalue="1", traceback=[])
    made.cells[0].outputs = [error]
    nbformat.write(made, tmp_path / "a.ipynb")
    assert command(monkeypatch, "report", tmp_path / "a.ipynb") == 1
    assert "a.ipynb did not run to its end" in capsys.readouterr().out
    made.cells[0].outputs = []
    nbformat.write(made, tmp_path / "a.ipynb")
    assert command(monkeypatch, "report", tmp_path / "a.ipynb") == 0


def test_predict_of_a_table_and_of_nothing_say_what_it_takes(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.csv").write_text("path,labels\n")
    for given, said in (
        ("a.csv", "is a table; predict takes a folder"),
        ("b", "takes a run, then a"),
    ):
        assert command(monkeypatch, "predict", "xyz", tmp_path / given) == 1
        assert said in capsys.readouterr().out
    assert command(monkeypatch, "predict", "xyz", "http://127.0.0.1:9/a.mp4") == 1
    assert "is an address; predict reads files of this disk" in capsys.readouterr().out


def test_report_says_what_its_run_reached(home, tmp_path, monkeypatch, capsys):
    for name, hit in (("mine", 0.5), ("mine-2", 0.875)):
        (home / "runs" / name).mkdir(parents=True)
        results = {"model": "late", "video_hit1": hit, "clip_hit1": 0.25, "classes": 8}
        results |= {"data": "pocket", "seed": 0}
        (home / "runs" / name / "config.json").write_text('{"settings": {}, "machine": {}}')
        (home / "runs" / name / "results.json").write_text(json.dumps(results))
    said = nbformat.v4.new_output("stream", text=f"{home / 'runs' / 'mine-2'}\n")
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("mine", outputs=[said])])
    nbformat.write(nb, tmp_path / "done.ipynb")
    assert command(monkeypatch, "report", tmp_path / "done.ipynb") == 0
    run, page = capsys.readouterr().out.splitlines()
    assert (
        run
        == f"late: video Hit@1 87.5%, of clips 25.0% (chance 12.5%), in {home / 'runs' / 'mine-2'}"
    )
    assert page == f"report: {tmp_path / 'done.html'}" and (tmp_path / "done.html").is_file()
    (home / "runs" / "mine-2" / "results.json").unlink()
    assert command(monkeypatch, "report", tmp_path / "done.ipynb") == 0
    assert capsys.readouterr().out.startswith("run 'mine-2' has no results; to resume it, repeat")


def test_ingest_from_the_shell(home, tmp_path, monkeypatch, capsys):
    import inspect

    import numpy as np

    from s1m_lab.data.ingest import prepare
    from s1m_lab.video import writer

    assert command(monkeypatch, "ingest", tmp_path / "nowhere") == 1
    assert "no folder or table" in capsys.readouterr().out
    for split in ("train", "val", "test"):
        frames = (np.full((48, 48, 3), k, np.uint8) for k in range(40))
        writer.encode(tmp_path / "v" / split / "a" / "1.mp4", frames)
    assert command(monkeypatch, "ingest", tmp_path / "v", "--clips", 2, "--size", 32) == 0
    assert "3 videos, 6 clips\n  ok 3\n" in capsys.readouterr().out
    command(monkeypatch, "ingest", "--help")
    options = set(re.findall(r"^  --([\w-]+)", capsys.readouterr().out, flags=re.MULTILINE))
    known = {name.replace("_", "-") for name in inspect.signature(prepare.prepare).parameters}
    assert options == known - {"data", "data-seed"} | {"dry-run", "debug"}


def test_train_takes_every_setting(home, monkeypatch, capsys):
    from dataclasses import fields

    from s1m_lab.training.config import TrainConfig

    assert command(monkeypatch, "train", "--help") == 0
    said = capsys.readouterr().out
    options = dict(re.findall(r"^  --([\w-]+)(?: [A-Z_]+)?\s+(\w.*)$", said, flags=re.MULTILINE))
    names = [field.name.replace("_", "-") for field in fields(TrainConfig)]
    assert list(options) == ["debug", *names], "each with its help"
    for name, wrong, near in (
        ("model", "slw", "slow"),
        ("recipe", "papr", "paper"),
        ("precision", "bf61", "bf16"),
    ):
        assert command(monkeypatch, "train", f"--{name}", wrong) == 1
        error = capsys.readouterr().out
        assert f"{name} cannot be '{wrong}'; the nearest is '{near}' (it may be: " in error
        assert error.count("\n") == 1
    assert list(home.iterdir()) == []
    assert command(monkeypatch, "train", "--data", "nowhere") == 1
    assert capsys.readouterr().out.startswith('no dataset "nowhere"')


def test_classes_writes_the_page_of_a_dataset(home, monkeypatch, capsys):
    from s1m_lab.data import catalog

    rows = catalog.table({"id": ["a"], "split": ["train"], "labels": [[0]]})
    df = catalog.frame(rows, classes=["luge"], data_seed=0, split="as given")
    catalog.save_catalog(df, home / "data" / "mine")
    assert command(monkeypatch, "classes", "mine") == 0
    page = home / "reports" / "mine_classes.html"
    assert capsys.readouterr().out == f"{page}\n"
    assert "<bdi>luge</bdi>" in page.read_text("utf-8")
    assert command(monkeypatch, "classes", "yours") == 1
    assert 'no dataset "yours"' in capsys.readouterr().out
