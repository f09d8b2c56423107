"""Install the lab into the environment of this Python: python install.py, or python install.py dev

Words after it name extras of pyproject.toml: dev (all), s3, tensorboard, youtube. uv installs, much
faster than pip. Where uv is not available or fails, pip installs the same versions from
constraints.txt.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DETAILS = ("Downloading ", " Downloaded ", " + ", " - ", " ~ ")  # uv's lines for one package each


def main(extras: list[str]) -> int:
    """Install the lab with these extras; returns pip's status, or 0 after uv."""
    start = time.monotonic()
    lab = ["-c", "constraints.txt", "-e", f".[{','.join(extras)}]" if extras else "."]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    uv = subprocess.run([*pip, "--quiet", "--only-binary=:all:", "uv"], cwd=ROOT)
    status = uv.returncode or install_with_uv(lab)
    if status:
        print("uv is not available or failed; pip installs instead, which takes longer", flush=True)
        status = subprocess.run([*pip, *lab], cwd=ROOT).returncode
    if status == 0:
        print(f"installed in {time.monotonic() - start:.0f} s", flush=True)
    return status


def install_with_uv(lab: list[str]) -> int:
    """Run `uv pip install`, one line per stage; a terminal also shows the package at work."""
    variables, options = uv_settings()
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    process = subprocess.Popen(
        [*command, *options, *lab],
        cwd=ROOT,
        env={**variables, **os.environ},  # uv's own variables, where set, win
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    )
    clear = "\r\x1b[K" if sys.stdout.isatty() else ""
    for line in process.stderr:
        if not line.startswith(DETAILS):
            print(f"{clear}{line}", end="", flush=True)
        elif clear:
            print(f"{clear}{line.strip()}", end="", flush=True)
    print(clear, end="", flush=True)
    return process.wait()


def uv_settings() -> tuple[dict[str, str], list[str]]:
    """pip's settings as uv's environment variables and options.

    uv reads neither pip.conf nor PIP_ variables. Only pip's own parser merges them all.
    """
    from pip._internal.commands import create_command
    from pip._internal.models.index import PyPI

    pip, _ = create_command("install").parse_args([])
    other_index = pip.index_url.rstrip("/") != PyPI.simple_url
    variables = {
        "UV_DEFAULT_INDEX": pip.index_url if other_index else "",
        "UV_INDEX": " ".join(pip.extra_index_urls),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if pip.extra_index_urls else "",  # as pip does
        "UV_FIND_LINKS": ",".join(pip.find_links),
        "UV_INSECURE_HOST": " ".join(pip.trusted_hosts),
        "UV_HTTP_TIMEOUT": f"{pip.timeout:.0f}" if pip.timeout > 30 else "",  # uv's default is 30
        "SSL_CERT_FILE": pip.cert,
        "SSL_CLIENT_CERT": pip.client_cert,
        "HTTP_PROXY": pip.proxy,
        "HTTPS_PROXY": pip.proxy,
    }
    options = ["--no-index"] if pip.no_index else []
    for file in pip.constraints:
        options += ["-c", file]
    return {name: value for name, value in variables.items() if value}, options


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # uv draws its errors with signs that some logs lack
    sys.exit(main(sys.argv[1:]))
