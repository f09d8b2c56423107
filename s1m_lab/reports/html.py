"""TODO reports/html."""

import re
import shlex
from pathlib import Path


def onward(notebook: str, data: str) -> str:
    """The command that goes on with a dataset, as Markdown; "" for pocket, which needs no name."""
    if data == "pocket":
        return ""
    command = f"papermill notebooks/{notebook}.ipynb out.ipynb -p data {shlex.quote(data)}"
    return f"\n\nOn with this dataset: `{command}`"


def html(notebook: str | Path) -> Path:
    """Write an executed notebook as one HTML file beside it, which asks nothing of the network.

    Figures are embedded. Scripts are left out, nbconvert's own (they fetch what draws mathematics,
    diagrams and widgets; each widget has its static twin) and any that stands in an output.
    """
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

    from s1m_lab.common.files import atomic

    notebook = Path(notebook)
    joined = [CoalesceStreamsPreprocessor(enabled=True)]  # lines printed one by one, as one text
    exporter = HTMLExporter(embed_images=True, preprocessors=joined)
    text, _ = exporter.from_filename(str(notebook))
    text = re.sub(r"<script\b.*?</script\s*>", "", text, flags=re.DOTALL | re.IGNORECASE)
    page = notebook.with_suffix(".html")
    with atomic(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return page
