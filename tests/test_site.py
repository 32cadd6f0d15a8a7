"""The site of docs/: what is public is in its reference, and its links lead somewhere.

Sphinx finds the rest when it builds the site: names and pages that are not there.
"""

import re
import sys
from pathlib import Path

import pytest

import sdnb

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import links  # noqa: E402
import rooms  # noqa: E402
from stamp import BADGE, address  # noqa: E402

PAGES = {"docs/index", "docs/models", "notebooks/01_stable_diffusion"}


def documented():
    """The full names of which autodoc is told in docs/reference/."""
    texts = [page.read_text("utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")]
    return set(re.findall(r"auto(?:class|function|module):: ([\w.]+)", "".join(texts)))


def test_the_reference_has_every_public_name():
    public = {f"sdnb.{name}" for name in sdnb.__all__} | {"sdnb.nbtest"}
    assert public - documented() == set(), "docs/reference/ lacks them"


def test_the_map_has_every_module_once():
    listed = re.findall(r"\]\(/(sdnb/[\w/]+\.py)\) \|", rooms.page())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "sdnb").rglob("*.py")}
    assert sorted(listed) == sorted(m for m in modules if not m.endswith("__init__.py"))


def test_the_map_says_what_each_room_is_for():
    page = rooms.page()
    for init in (ROOT / "sdnb").glob("*/__init__.py"):
        first = init.read_text("utf-8").split('"""')[1].split("\n")[0]
        assert f"\n## {init.parent.name}\n\n{first}" in page


@pytest.mark.parametrize(
    ("file", "link", "there"),
    [
        ("docs/clusters.md", "models.md#black-pictures", "/docs/models.md#black-pictures"),
        ("README.md", "docs/models.md", "/docs/models.md"),
        ("docs/models.md", "../README.md", "/docs/index.md"),
        ("docs/models.md", "steps.png", "/docs/steps.png"),
        ("docs/models.md", "../tests/conftest.py", "../tests/conftest.py"),  # is not there
        ("docs/models.md", "../conftest.py", "{address}/blob/main/conftest.py"),
        ("README.md", "notebooks/", "{address}/tree/main/notebooks"),
        ("notebooks/a.ipynb", "{address}/blob/main/docs/models.md", "/docs/models.md"),
        ("notebooks/a.ipynb", "attachment:panel.png", "/docs/panel.png"),
        ("docs/models.md", "https://docs.openvino.ai", "https://docs.openvino.ai"),
        ("docs/models.md", "#black-pictures", "#black-pictures"),
    ],
)
def test_a_link_leads_to_the_page_or_to_the_repository(file, link, there):
    link, there = link.format(address=address()), there.format(address=address())
    assert links.rewritten(f"a [b]({link}), c", file, PAGES) == f"a [b]({there}), c"


def test_a_page_asks_no_other_host_for_its_badge():
    badge = f"[![Open in Colab]({BADGE})](https://colab.research.google.com/github/a/b)"
    assert BADGE not in links.rewritten(badge, "notebooks/a.ipynb", PAGES)
