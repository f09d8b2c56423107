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

from s1m_lab.common.files import write_text


def onward(notebook: str, data: str) -> str:
    """The command that goes on with a dataset, as Markdown; "" for pocket, which needs no name."""
    if data == "pocket":
        return ""
    command = f"papermill notebooks/{notebook}.ipynb out.ipynb -p data {shlex.quote(data)}"
    return f"\n\nOn with this dataset: `{command}`"


def html(notebook: str | Path) -> Path:
    """Write an executed notebook as one HTML file beside it, which needs no network.

    Scripts are left out: nbconvert's own, which fetch what draws mathematics and widgets (each has
    its static twin), and any that stands in an output.
    """
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

    notebook = Path(notebook)
    joined = [CoalesceStreamsPreprocessor(enabled=True)]  # lines printed one by one, as one text
    exporter = HTMLExporter(embed_images=True, preprocessors=joined)
    text, _ = exporter.from_filename(str(notebook))
    text = re.sub(r"<script\b.*?</script\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    page = notebook.with_suffix(".html")
    write_text(page, text)
    return page


def render(template: str, hosts: Collection[str] = (), **values) -> str:
    """The page of a template beside this module, with every value escaped.

    The browser may run the template's own style and script, known by their hashes, and show
    pictures of `data:` addresses and of `hosts`. It may fetch nothing else.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    place = Path(__file__).parent
    text = (place / template).read_text("utf-8")
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    rules.append(" ".join(["img-src data:", *hosts]))
    for tag in ("style", "script"):
        own = text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        rules.append(f"{tag}-src 'sha256-{digest}'")
    pages = Environment(
        loader=FileSystemLoader(place),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template(template).render(policy="; ".join(rules), hosts=hosts, **values)
