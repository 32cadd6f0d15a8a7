"""The repository's address where people click on it, and what a click on Colab's badge installs."""

import configparser
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
stamp = runpy.run_path(str(ROOT / "docs" / "stamp.py"))
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
ELSEWHERE = "https://github.com/someone/else"


def config():
    read = configparser.ConfigParser()
    read.read(ROOT / "setup.cfg")
    return read


def test_notebooks_and_readme_carry_the_address_of_setup_cfg():
    wrong = [path.name for path in stamp["differing"]()]
    assert wrong == [], "python docs/stamp.py writes them"


def test_the_address_stands_nowhere_else():
    name = config()["metadata"]["url"].removeprefix("https://github.com/")
    places = ("*.*", "docs/*", ".ci/*", ".github/**/*.yml", "sdnb/**/*.py", "sdnb/**/*.md")
    files = {file for place in places for file in ROOT.glob(place) if file.is_file()}
    found = {file.name for file in files if name in file.read_text("utf-8", "replace")}
    assert found == {"README.md", "setup.cfg"}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_moves_to_another_address_and_back_byte_for_byte(name):
    text, path = (ROOT / "notebooks" / name).read_text("utf-8"), f"notebooks/{name}"
    moved = stamp["stamped_notebook"](text, ELSEWHERE, path)
    ours = config()["metadata"]["url"]
    assert ours not in moved
    assert f"/github/someone/else/blob/main/{path})" in moved
    assert f"{ELSEWHERE}/archive/main.zip" in moved
    assert stamp["stamped_notebook"](moved, ours, path) == text


def test_a_new_notebook_gets_badge_and_set_up_cell_and_keeps_the_rest():
    title = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# New"]}
    code = {"cell_type": "code", "id": "b", "source": ["1 + 1"], "outputs": [{"text": ["2"]}]}
    text = json.dumps({"cells": [title, code], "metadata": {"a": 1}})
    once = stamp["stamped_notebook"](text, ELSEWHERE, "notebooks/new.ipynb")
    first, install, last = json.loads(once)["cells"]
    assert "".join(first["source"]).startswith("# New\n\n[![Open in Colab](")
    assert "".join(install["source"]) == stamp["setup_cell"](ELSEWHERE)
    assert last == code
    assert stamp["stamped_notebook"](once, ELSEWHERE, "notebooks/new.ipynb") == once


@pytest.mark.parametrize(
    "link", ["../docs/a.md", "https://github.com/who/what/blob/main/docs/a.md"]
)
def test_a_link_to_the_docs_works_on_colab_too(link):
    title = {
        "cell_type": "markdown",
        "id": "a",
        "metadata": {},
        "source": ["# New\n", f"[a]({link})"],
    }
    text = json.dumps({"cells": [title], "metadata": {}})
    first = json.loads(stamp["stamped_notebook"](text, ELSEWHERE, "new.ipynb"))["cells"][0]
    assert first["source"][-1] == f"[a]({ELSEWHERE}/blob/main/docs/a.md)"


def test_what_the_readme_says_of_a_notebook_stays():
    readme = (
        f"{stamp['START']}\n- [Old](notebooks/a.ipynb) [![O](b)](c) what it shows\n\n{stamp['END']}"
    )
    new = stamp["stamped_readme"](readme, ELSEWHERE, {"notebooks/a.ipynb": "New", "b.ipynb": "B"})
    first, second = (line for line in new.splitlines() if line.startswith("- "))
    assert first.startswith("- [New](notebooks/a.ipynb)")
    assert first.endswith(") what it shows")
    assert second.endswith("/b.ipynb)")


def test_a_notebook_without_a_title_is_told():
    text = json.dumps({"cells": [{"cell_type": "markdown", "source": ["Hello"]}]})
    with pytest.raises(ValueError, match=r"^new\.ipynb does not begin with a title\.$"):
        stamp["stamped_notebook"](text, ELSEWHERE, "new.ipynb")


@pytest.mark.parametrize(("there", "installed"), [(True, 0), (False, 1)])
def test_the_set_up_cell_installs_only_what_is_missing(there, installed):
    cell = stamp["setup_cell"](ELSEWHERE)
    assert len(cell.splitlines()) <= 10
    program = f"""
import importlib.util
from unittest.mock import patch
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
asked = []
shell.register_magic_function(asked.append, magic_name="pip")
find = {{"sdnb": {there} or None}}.get
with patch("importlib.util.find_spec", find):
    shell.run_cell({cell!r}).raise_error()
print(asked)
"""
    got = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert got.stdout.strip() == str([f"install -q {ELSEWHERE}/archive/main.zip"] * installed)


def test_what_colab_has_fits_so_that_installing_changes_none_of_it():
    options = config()
    wanted = options["options"]["install_requires"].split("\n")
    wanted += options["options.extras_require"]["notebook"].split("\n")
    ranges = [Requirement(line) for line in wanted if line]
    lines = (ROOT / ".ci" / "colab.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert {"torch", "transformers", "diffusers", "ipywidgets"} <= {pin.name for pin in pins}
    for pin in pins:
        [version] = [part.version for part in pin.specifier]
        assert all(version in r.specifier for r in ranges if r.name == pin.name), pin
