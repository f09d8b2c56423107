"""The class page: every class with a picture and its counts, in one HTML file.

    class_page.write(paths.dataset("pocket"), Path("reports/pocket_classes.html"))

The page fetches nothing, unless `network` lets it fetch the catalog's thumbnails. It works without
JavaScript; with it, classes are searched by keyboard. `class_page.html` is its template.
"""

from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from s1m_lab.analysis.catalog import class_sizes
from s1m_lab.common.files import write_text
from s1m_lab.data import catalog
from s1m_lab.data.splits import SPLITS
from s1m_lab.figures.catalog import thumbnails
from s1m_lab.figures.style import one_line
from s1m_lab.reports import html

ADDRESS = r"https://[a-z0-9][a-z0-9.-]{0,252}(:[0-9]{1,5})?/[\w.~:/?#@!$&'()*+,;=%-]{0,500}"


def write(folder: Path, page: Path, network: bool = False) -> Path:
    """Write the page of the dataset in `folder` to `page`, and return that.

    A class shows a frame of one of its clips. If it has none, and if `network`, the browser fetches
    the thumbnail that the catalog names for one of its videos.
    """
    df = catalog.load_catalog(folder)
    pictures = thumbnails(folder, len(df.attrs["classes"]))
    if network:
        pictures = _thumbnails(df) | pictures
    addresses = [address for address in pictures.values() if address.startswith("https:")]
    classes = class_sizes(df).sort_index().reset_index(names="label").to_dict("records")
    for row in classes:
        row["name"] = one_line(row["class"]) or f"class {row['label']}"
        row["picture"] = pictures.get(row["label"], "")
    text = html.render(
        "class_page.html",
        hosts=sorted({f"https://{urlsplit(address).netloc}" for address in addresses}),
        name=one_line(folder.resolve().name),
        classes=classes,
        splits={split: int((df["split"] == split).sum()) for split in SPLITS},
        videos=len(df),
    )
    write_text(page, text)
    return page


def _thumbnails(df: pd.DataFrame) -> dict[int, str]:
    """The https address of a thumbnail of each class that has one, by label.

    What the catalog has as http is fetched by https. Videos of a single label come first.
    """
    address = df["thumbnail"].astype("str").str.replace("^http://", "https://", regex=True)
    good = address.str.fullmatch(ADDRESS).fillna(False)
    rows = pd.DataFrame({"label": df["labels"], "address": address})[good]
    rows["several"] = rows["label"].map(len) > 1
    rows = rows.sort_values("several", kind="stable").explode("label")
    return rows.groupby("label")["address"].first().to_dict()
