"""The site: guides, notebooks and reference, as Sphinx makes them.

    pip install -r docs/requirements.txt && sphinx-build -W -c docs . build/site

The source is the whole repository, not this folder: so README, guides and notebooks are read where
they lie, and their links to each other are the same here and on GitHub.
"""

import os
import re
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import links  # noqa: E402
import rooms  # noqa: E402
from docutils import nodes  # noqa: E402
from sphinx.errors import ConfigError  # noqa: E402
from stamp import ROOT, address  # noqa: E402

project = "sdnb"
author = copyright = "the authors of sdnb"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

root_doc = "docs/index"
include_patterns = [
    "*.md", "benchmarks/*.md", "docs/*.md", "docs/reference/*.md", "notebooks/*.ipynb",
    "sdnb/*/*.md", "training/*.md",
]  # fmt: skip
# README.md is in docs/index.md and docs/about.md
exclude_patterns = ["README.md", ".*", "**/.*", "build", "tests"]

nb_execution_mode = "off"  # what the notebooks store is what the tests compare
nb_ipywidgets_js = {}  # no page asks another host for anything
nb_merge_streams = True
myst_heading_anchors = 3

smartquotes = False  # what stands in quotes is often Python
highlight_language = "text"  # of a block that names none
# docstrings name code in single backquotes; what is documented becomes a link
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# "width, height: pixels" names two
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
python_maximum_signature_line_length = 80
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "sdnb"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "to_start.html"}
templates_path = ["_templates"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": address(),
    "source_branch": "main",
    "source_directory": "",
    "footer_icons": [],
}


def command_help():
    """What `python -m sdnb --help` prints, as Markdown."""
    from sdnb.__main__ import parser

    os.environ["COLUMNS"] = "80"
    return f"```text\n{parser().format_help()}```"


WRITTEN = {
    "docs/rooms": ("<!-- the map, written by docs/rooms.py -->", rooms.page),
    "docs/reference/command": ("<!-- the help, written by docs/conf.py -->", command_help),
}


def read(app, docname, source):
    """Each page as it is read: with what is written into it, and links that work here."""
    if docname in WRITTEN:
        mark, text = WRITTEN[docname]
        source[0] = source[0].replace(mark, text())
    file = Path(app.env.doc2path(docname)).relative_to(ROOT).as_posix()
    source[0] = links.rewritten(source[0], file, app.env.found_docs)


def included(app, path, parent, source):
    """Likewise what a page includes."""
    source[0] = links.rewritten(source[0], Path(path).as_posix(), app.env.found_docs)


def as_rst(app, what, name, object_, options, lines):
    """A docstring of this house as napoleon and docutils read it.

    Names of arguments that go on in a second line come into one, and the indented lines of a
    module's docstring are code. A constant has no docstring, only its class has. `Sample`s has a
    letter where docutils wants a space.
    """
    text = "" if what == "data" else "\n".join(lines)
    names = re.compile(r"^( +(?:\w+, )*\w+,)\n +((?:\w+, )*\w+: )", re.MULTILINE)
    text = names.sub(r"\1 \2", text)
    text = re.sub(r"(`[^`]+`)(\w?)", lambda m: m[1] + "\\ " * bool(m[2]) + m[2], text)
    if what == "module":
        text = re.sub(r"\n\n(?= {4}\S)", "\n\n::\n\n", text)
    lines[:] = text.split("\n")


def dashed(app, doctree):
    """A dash between a parameter and its text, where Sphinx and napoleon write " -- "."""
    for text in list(doctree.findall(nodes.Text)):
        if text.startswith(" -- "):
            text.parent.replace(text, nodes.Text(f" – {text[4:]}"))


def in_sdnb(app, env, node, text):
    """A link for a bare name, such as `Sheet`, in the docstring of another module than sdnb's."""
    name = node["reftarget"]
    if node.get("refdomain") != "py" or "." in name:
        return None
    python = env.get_domain("py")
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", f"sdnb.{name}", node, text)


def setup(app):
    if Path(app.srcdir).resolve() != ROOT.resolve():
        raise ConfigError("The source is the repository: sphinx-build -W -c docs . build/site")
    app.connect("env-get-outdated", lambda *_: list(WRITTEN))  # they have no file of their own
    app.connect("source-read", read)
    app.connect("include-read", included)
    app.connect("autodoc-process-docstring", as_rst, priority=100)  # before napoleon
    app.connect("doctree-read", dashed)
    app.connect("missing-reference", in_sdnb)
