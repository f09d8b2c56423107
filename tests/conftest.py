"""A real browser for tests: a tab of a headless Chromium, driven through its DevTools protocol."""

import base64
import itertools
import json
import shutil
import subprocess
import time
import urllib.request

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)


class Browser:
    def __init__(self, address):
        from websocket import create_connection

        self.socket = create_connection(address, timeout=30, suppress_origin=True)
        self.numbers, self.events = itertools.count(1), []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")
        self.ask("Page.setLifecycleEventsEnabled", enabled=True)

    def ask(self, method, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, path, fragment="", width=1280, height=900, scheme="light"):
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.ask("Emulation.setEmulatedMedia", features=features)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        target = path if isinstance(path, str) else path.as_uri() + fragment
        for address in ("about:blank", target):
            self.events.clear()
            loader = self.ask("Page.navigate", url=address)["loaderId"]
            while not any(self.loaded(event, loader) for event in self.events):
                self.events.append(json.loads(self.socket.recv()))
        return self

    @staticmethod
    def loaded(event, loader):
        about = event["params"]
        return about.get("name") == "load" and about.get("loaderId") == loader

    def run(self, script):
        done = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def press(self, *keys):
        for key in keys:
            text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
            codes = {"Tab": 9, "Enter": 13, "Escape": 27}
            codes |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
            more = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0]))}
            self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **more)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **more)

    def wait(self, script, seconds=60.0):
        """What a script comes to, once that is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"not true after {seconds:.0f} s: {script}"
            time.sleep(0.1)
        return value

    def picture(self, path):
        """A screenshot of what the window shows."""
        data = self.ask("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def requests(self):
        """What the page has asked the network for, half a second after it was there."""
        later = "new Promise(done => setTimeout(done, 500))"
        self.ask("Runtime.evaluate", expression=later, awaitPromise=True)
        about = [(event["method"], event["params"]) for event in self.events]
        stopped = {p["requestId"] for m, p in about if p.get("blockedReason") == "csp"}
        asked = [p for m, p in about if m == "Network.requestWillBeSent"]
        asked = [p["request"] for p in asked if p["requestId"] not in stopped]
        return [request for request in asked if not request["url"].startswith("data:")]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if not CHROMIUM:
        pytest.skip("no Chromium is installed here")
    pytest.importorskip("websocket", reason="websocket-client drives the browser")
    folder = tmp_path_factory.mktemp("chromium")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    flags += " --disable-background-networking --disable-component-update --remote-debugging-port=0"
    command = [CHROMIUM, *flags.split(), f"--user-data-dir={folder}"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "about:blank"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    try:
        for _ in range(300):
            if (folder / "DevToolsActivePort").is_file():
                break
            time.sleep(0.1)
        port = (folder / "DevToolsActivePort").read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            tab = next(t for t in json.load(answer) if t["type"] == "page")
        tab = Browser(tab["webSocketDebuggerUrl"])
        yield tab
        tab.ask("Browser.close")
        tab.socket.close()
    finally:
        process.terminate()
        process.wait(20)
