"""HTML files that need no network: executed notebooks, and pages from a template.

html.html("reports/03_train_slow.ipynb")            # reports/03_train_slow.html beside it
html.render("index.html", rows=rows, …)             # the text of a page
"""

import base64
import hashlib
import re
import shlex
from collections.abc import Collection
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from s1m_lab.common.files import digests, write_text

# What a report may show: its own styles, and pictures, films and fonts that stand in it.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'"
)
REMOVED = "script iframe frame frameset object embed applet base link plaintext".split()
ADDRESS = re.compile("(java|vb)script:|data:text/html", re.IGNORECASE)  # which a browser runs


def onward(notebook: str, data: str) -> str:
    """The command that goes on with a dataset, as Markdown; "" for pocket, which needs no name."""
    if data == "pocket":
        return ""
    command = f"papermill notebooks/{notebook}.ipynb out.ipynb -p data {shlex.quote(data)}"
    return f"\n\nOn with this dataset: `{command}`"


def html(notebook: str | Path) -> Path:
    """Write an executed notebook as one HTML file beside it, which needs no network.

    Scripts are left out: nbconvert's own, which fetch what draws mathematics and widgets (each has
    its static twin), and whatever an output could run or fetch.
    """
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

    notebook = Path(notebook)
    joined = [CoalesceStreamsPreprocessor(enabled=True)]  # lines printed one by one, as one text
    exporter = HTMLExporter(embed_images=True, preprocessors=joined)
    text, _ = exporter.from_filename(str(notebook))
    page = notebook.with_suffix(".html")
    write_text(page, _without_scripts(text), record=page.name in digests(page.parent))
    return page


def _without_scripts(text: str) -> str:
    """A page without what a browser would run or send; its policy stops what would be left."""
    from bs4 import BeautifulSoup
    from bs4.element import Doctype, PreformattedString

    page = BeautifulSoup(text, "html.parser", multi_valued_attributes=None)
    for part in page.find_all(string=True):
        if isinstance(part, PreformattedString) and not isinstance(part, Doctype):
            part.extract()  # comments: browsers differ in where one ends
    for tag in page.find_all(True):
        if tag.name in REMOVED or (tag.name == "meta" and "http-equiv" in tag.attrs):
            tag.extract()
        elif tag.name == "style":  # not everywhere does a browser take its text for a style
            tag.string = tag.get_text().replace("<", r"\3c ")
        elif tag.name == "form":
            tag.name, tag.attrs = "div", {}
        for name, value in list(tag.attrs.items()):
            called, plain = name.lower(), re.sub(r"[\x00-\x20]", "", str(value))
            if called.startswith("on") or called in ("srcdoc", "formaction", "ping"):
                del tag[name]
            elif ADDRESS.search(plain):
                del tag[name]
    meta = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return str(page).replace("<head>", f"<head>{meta}", 1)


def render(template: str, hosts: Collection[str] = (), **values) -> str:
    """The page of a template beside this module, with every value escaped.

    The browser may run the template's own style and script, known by their hashes, and show
    pictures of `data:` addresses and of `hosts`. It may fetch nothing else.
    """
    text = Path(__file__).with_name(template).read_text("utf-8")
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    rules.append(" ".join(["img-src data:", *hosts]))
    for tag in ("style", "script"):
        own = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        rules.append(f"{tag}-src 'sha256-{digest}'")
    pages = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return pages.from_string(text).render(policy="; ".join(rules), hosts=hosts, **values)
