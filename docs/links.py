"""Links on the site: one file is read on GitHub, on Colab and here, and its links work in each.

Sphinx reads the files where they lie (docs/conf.py). A link to another page of the site leads
there; one to any other file or folder of the repository leads to its address, from setup.cfg.
"""

import posixpath
import re
from collections.abc import Container
from pathlib import Path

from stamp import BADGE, ROOT, address

TARGET = re.compile(r"(?<=\]\()[^()\s]+")
PICTURES = {".gif", ".jpg", ".png", ".svg", ".webp"}
START = "docs/index.md"  # holds what README.md says


def rewritten(text: str, file: str, pages: Container[str]) -> str:
    """A page's Markdown, or its notebook's JSON, with the links that Sphinx can follow.

    Arguments:
        text: all of it.
        file: its path in the repository, with "/".
        pages: the paths that are pages of the site, without their endings.
    """
    text = text.replace(f"![Open in Colab]({BADGE})", "Open in Colab")  # a page asks nobody else
    folder = posixpath.dirname(file)
    return TARGET.sub(lambda match: _target(match[0], folder, pages), text)


def _target(link: str, folder: str, pages: Container[str]) -> str:
    link = re.sub(rf"^{re.escape(address())}/(blob|tree)/main/", "/", link)
    if link.startswith("attachment:"):  # a notebook's own copy of a picture of the docs
        link = link.replace("attachment:", "/docs/", 1)
    if re.match(r"\w+:|#", link):
        return link
    path, mark, anchor = link.partition("#")
    path = posixpath.normpath(posixpath.join("/", folder, path)).lstrip("/")
    place = ROOT / path
    if not place.exists():
        return link  # which Sphinx warns of
    if path == "README.md":
        path = START
    if Path(path).with_suffix("").as_posix() in pages or place.suffix in PICTURES:
        return f"/{path}{mark}{anchor}"
    return f"{address()}/{'tree' if place.is_dir() else 'blob'}/main/{path}{mark}{anchor}"
