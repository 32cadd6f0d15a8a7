"""The front end: whether widgets can be shown, whether it is Colab, which cell runs.

The panel is made of core widgets. Three pieces are there because these send each change by itself:
the script in a `<style onload>` (style.py), the replaced `HTMLInputElement.prototype.click` in it,
which hands a dropped file to a FileUpload, and the wait for a page without changes
(quiet.py). One anywidget (0.9.21) among them was tried in their place, which reads all
models at a press and sends them in one message, sends dropped files, and names the sliders. In
JupyterLab 4.6 with ipywidgets 8.1 five of the six tests of tests/slow/test_panel_lab.py passed with
it (the sixth needs `<style onload>`); with 7.7.1 only its presence beside core buttons was tried.
It was not taken:

- A kernel cannot know whether the page has anywidget's own JavaScript. JupyterLab needs it
  installed beside the server, which may be another environment than the kernel's; Colab exchanges
  its widget manager for it, for the whole page (anywidget's _util.py). Where it is missing, names
  and drops would be gone, so the three pieces would have to stay beside it.
- Waiting stays anyway, for texts that are typed while "Live" is on, and so does `<style onload>`,
  for the slider of a sheet. An anywidget is rendered before it is in the page and has to look for
  its panel from frame to frame; `onload` comes when it is there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sdnb import interactive


def shows_widgets() -> bool:
    """Whether a person sits at a notebook; not in a terminal, nor where a program runs it."""
    return "ipykernel" in sys.modules and interactive.someone_can_answer()


def in_colab() -> bool:
    """Whether this is Google Colab, where widgets change only while a callback runs."""
    return "google.colab" in sys.modules


@contextmanager
def widgets_for(what: str) -> Iterator[None]:
    """To be around an import that needs ipywidgets; its error says how to get it, and for what."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        raise ModuleNotFoundError(
            f"{what} needs ipywidgets: pip install sdnb[notebook]", name="ipywidgets"
        ) from error


def bundle(box: Any, text: str, instead: str) -> dict[str, Any]:
    """A widget as a cell's output, with words in its place for a page without a kernel.

    Arguments:
        box: the widget.
        text: for a terminal.
        instead: for a page.
    """
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    return {
        "application/vnd.jupyter.widget-view+json": view,
        "text/html": f"<p>{instead}</p>",
        "text/plain": text,
    }


def cell() -> tuple[str, str]:
    """The running cell, and which run of it this is; two empty texts outside a notebook.

    A cell is known by the id that the front end sends with it, or else by its text.
    """
    if "ipykernel" not in sys.modules:
        return "", ""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return "", ""
    request: dict[str, Any] = kernel.get_parent("shell")
    name = request.get("metadata", {}).get("cellId") or request.get("content", {}).get("code", "")
    return str(name), str(request.get("header", {}).get("msg_id", ""))
