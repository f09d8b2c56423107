"""JupyterLab itself, in a real browser: every notebook with a widget runs, and the widget answers.

Screenshots go into the folder that `S1M_SCREENSHOTS` names, if it does.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
# the notebook, what is changed in its parameters, the cell of the widget, what moves it, the theme
WIDGETS = [
    ("01_explore", {}, "explorer", "select", "s", "Light"),
    ("02_durations", {}, "slider", ".noUi-handle", "ArrowLeft", "Light"),
    ("05_confusion", {"run": "small", "versus": "small_single"}, "walk", "select", "s", "Dark"),
]
# The contrast of each text that a cell put out with what lies below it: that of WCAG 2.2, from the
# colours that the browser computed.
CONTRAST = """(node => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
    const below = at => {
        const colour = numbers(getComputedStyle(at).backgroundColor);
        return colour.length < 4 || colour[3] === 1 ? colour : below(at.parentElement);
    };
    const holds = at => [...at.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    const all = [...node.querySelectorAll('.jp-OutputArea-output *')];
    return all.filter(at => at.offsetParent && holds(at)).map(at => {
        const [a, b] = [numbers(getComputedStyle(at).color), below(at)].map(light);
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    });
})"""


@pytest.fixture(scope="module")
def lab(small_home, tmp_path_factory):
    """The address of a JupyterLab on copies of the notebooks, in a small home."""
    folder = tmp_path_factory.mktemp("jupyterlab")
    shutil.copytree(small_home, folder / "home")
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"-m jupyterlab --no-browser --port {port} --ServerApp.port_retries=0"
    command += " --IdentityProvider.token=t --LabApp.expose_app_in_browser=True --allow-root"
    env = {**os.environ, "S1M_HOME": str(folder / "home"), "PYTHONPATH": str(NOTEBOOKS.parent)}
    env.pop("MPLBACKEND", None)  # of the tests; a reader's kernel draws into the notebook
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR"):
        env[name] = str(folder / name.lower())
    env["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    with open(folder / "log.txt", "w") as log:
        server = subprocess.Popen(
            [sys.executable, *command.split(), f"--ServerApp.root_dir={folder / 'notebooks'}"],
            env=env, stdout=log, stderr=log,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/api?token=t").close()
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < end, (
                folder / "log.txt"
            ).read_text()
            time.sleep(0.1)
    yield address, folder / "notebooks"
    server.terminate()
    server.wait(30)


def given(path: Path, parameters: dict) -> None:
    """Write parameters into a copy as papermill would, in a cell of their own."""
    notebook = json.loads(path.read_text("utf-8"))
    at = next(
        n for n, cell in enumerate(notebook["cells"])
        if "parameters" in cell["metadata"].get("tags", [])
    )  # fmt: skip
    source = "# Parameters\n" + "".join(f"{k} = {v!r}\n" for k, v in parameters.items())
    cell = {"cell_type": "code", "id": "injected", "metadata": {}, "source": source}
    notebook["cells"].insert(at + 1, cell | {"outputs": [], "execution_count": None})
    path.write_text(json.dumps(notebook), "utf-8")


@pytest.mark.parametrize(
    "name, parameters, cell, handle, key, theme", WIDGETS, ids=lambda v: str(v)[:12]
)
def test_a_widget_answers(browser, lab, name, parameters, cell, handle, key, theme):
    address, folder = lab
    panel = f"[...jupyterapp.shell.widgets('main')].find(w => w.title.label === '{name}.ipynb')"
    code = f"{panel}.content.widgets.filter(c => c.model.type === 'code')"
    given(folder / f"{name}.ipynb", parameters)
    browser.open(f"{address}/lab/tree/{name}.ipynb?token=t", width=1200, height=1000)
    browser.wait(f"window.jupyterapp && {panel}?.context?.isReady || false")
    browser.wait(f"{panel}.sessionContext.session?.kernel?.connectionStatus === 'connected'")
    change = f"'apputils:change-theme', {{theme: 'JupyterLab {theme}'}}"
    browser.run(f"void jupyterapp.commands.execute({change})")
    browser.wait(f"document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
    browser.run("void jupyterapp.commands.execute('notebook:run-all-cells')")
    browser.wait(f"{code}.every(c => c.model.executionCount) && {code}.length", 240)
    failed = f"{code}.flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type === 'error')"
    assert browser.run(f"{failed}.map(o => o.evalue)") == []
    number = browser.run(f"{panel}.content.widgets.findIndex(c => c.model.id === '{cell}')")
    browser.run(f"void {panel}.content.scrollToItem({number}, 'center')")
    widget = f"{panel}.content.widgets[{number}].node"
    browser.wait(f"!!{widget}.querySelector('{handle}')")
    seen = f"[...{widget}.querySelectorAll('img')].map(picture => picture.src).join()"
    before = browser.wait(seen)
    picture(browser, f"{name}-before")
    browser.run(f"{widget}.querySelector('{handle}').focus()")
    for _ in range(3):
        browser.press(key)
    browser.wait(f"{seen} !== {json.dumps(before)}")
    picture(browser, f"{name}-after")
    contrast = browser.run(f"{CONTRAST}({widget})")
    assert contrast or cell == "walk", "only that of 05 puts out a picture without text"
    assert min(contrast, default=21) >= 4.5, sorted(contrast)[:5]
    browser.run("void jupyterapp.commands.execute('docmanager:save')")  # else it asks to stay
    browser.wait(f"!{panel}.context.model.dirty")
    browser.run(f"void {panel}.sessionContext.shutdown()")


def picture(browser, name: str) -> None:
    if os.environ.get("S1M_SCREENSHOTS"):
        folder = Path(os.environ["S1M_SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        browser.picture(folder / f"{name}.png")
