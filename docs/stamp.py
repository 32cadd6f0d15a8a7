"""Writes the repository's address from setup.cfg into the notebooks and the README.

    python docs/stamp.py

Each notebook gets a Colab badge under its title and the set-up cell; the README gets its list
of notebooks. Outputs stay, and what is right already is not written again.
"""

import configparser
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
SETUP = 'find_spec("sdnb")'
DOCS = re.compile(r"\]\((?:https://github\.com/[\w.-]+/[\w.-]+/blob/main|\.\.)/docs/")
ABOUT = re.compile(r"^- \[.*?\]\((notebooks/.*?)\) \[!\[.*?\]\(.*?\)\]\(.*?\)(.*)$", re.MULTILINE)
START, END = "<!-- notebooks, written by docs/stamp.py -->\n", "<!-- end -->\n"


def address():
    """The repository on GitHub: "https://github.com/WHO/WHAT"."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"]["url"].rstrip("/")


def badge(repository, path):
    """Markdown that opens a notebook of the repository on Colab."""
    name = repository.removeprefix("https://github.com/")
    link = f"https://colab.research.google.com/github/{name}/blob/main/{path}"
    return f"[![Open in Colab]({BADGE})]({link})"


def setup_cell(repository):
    """Python that takes sdnb where it is missing, and nothing that is there already."""
    return (
        "import importlib.util\n"
        "\n"
        f"if importlib.util.{SETUP} is None:  # torch and widgets stay as they are\n"
        f"    %pip install -q {repository}/archive/main.zip"
    )


def stamped_notebook(text, repository, path):
    """A notebook's JSON with badge, set-up cell, and links to the docs that work anywhere.

    Raises:
        ValueError: it does not begin with a title.
    """
    book = json.loads(text)
    cells = book["cells"]
    first, *lines = "".join(cells[0]["source"]).split("\n")
    if not first.startswith("# "):
        raise ValueError(f"{path} does not begin with a title.")
    rest = "\n".join(line for line in lines if not line.startswith("[![Open in Colab]"))
    title = f"{first}\n\n{badge(repository, path)}\n\n{rest.lstrip()}".rstrip()
    cells[0]["source"] = title.splitlines(keepends=True)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    install = next((cell for cell in code if SETUP in "".join(cell["source"])), None)
    if install is None:
        install = {"cell_type": "code", "execution_count": None, "id": "set-up", "metadata": {}}
        install |= {"outputs": [], "source": []}
        cells.insert(cells.index(code[0]) if code else len(cells), install)
    install["source"] = setup_cell(repository).splitlines(keepends=True)
    for cell in cells:
        if cell["cell_type"] == "markdown":
            lines = (DOCS.sub(f"]({repository}/blob/main/docs/", line) for line in cell["source"])
            cell["source"] = list(lines)
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def stamped_readme(text, repository, titles):
    """The README with its list of notebooks, {path: title}; what follows a badge there stays."""
    about = dict(ABOUT.findall(text))
    lines = [
        f"- [{title}]({path}) {badge(repository, path)}{about.get(path, '')}\n"
        for path, title in titles.items()
    ]
    listed = "\n".join([START, "".join(lines), END])
    pattern = re.escape(START) + ".*?" + re.escape(END)
    new, times = re.subn(pattern, lambda _: listed, text, flags=re.DOTALL)
    if times != 1:
        raise ValueError(f"README.md has {times} places for the list of notebooks, not one.")
    return new


def stamped():
    """All files that carry the address: {path: text as it should be}."""
    repository, titles, texts = address(), {}, {}
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        path = file.relative_to(ROOT).as_posix()
        texts[file] = stamped_notebook(file.read_text("utf-8"), repository, path)
        source = json.loads(texts[file])["cells"][0]["source"]
        titles[path] = source[0].removeprefix("# ").strip()
    readme = ROOT / "README.md"
    texts[readme] = stamped_readme(readme.read_text("utf-8"), repository, titles)
    return texts


def differing():
    """Those of them that are not as they should be: {path: text as it should be}."""
    return {file: text for file, text in stamped().items() if file.read_text("utf-8") != text}


if __name__ == "__main__":
    for file, text in differing().items():
        file.write_text(text, "utf-8")
        print(file.relative_to(ROOT))
