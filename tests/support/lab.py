"""A real JupyterLab for the tests: its server, a kernel, and a notebook in Chromium.

    pytest_plugins = ["tests.support.browser", "tests.support.lab"]

    def test_a_cell_says_what_it_computes(notebook):
        book = notebook("6 * 7").run_all()
        assert book.text(0) == "42"

The server starts once for a module; each notebook has a page and a kernel of its own. Nothing
of it outlives the test, and nothing of it can reach the network.
"""

import ast
import base64
import contextlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

WAIT = 120  # seconds for what the machine may do slowly: a server, a page, a kernel, a cell
QUIET = {"CI", "TQDM_DISABLE", "SDNB_TIMES"}  # by which sdnb knows that no person looks
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # all cells are in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
# for the scripts below: the open document, and its list of cells
CURRENT = "const panel = window.jupyterapp.shell.currentWidget, book = panel.content;"


class Lab:
    """A running JupyterLab server, and where it is.

    Arguments:
        folder: of its notebooks, its settings and all else that it writes.
    """

    def __init__(self, folder):
        self.folder = folder
        self.names = (f"notebook-{n}.ipynb" for n in itertools.count())
        kernel = folder / "share" / "kernels" / "python3" / "kernel.json"
        kernel.parent.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.write_text(json.dumps({"argv": argv, "display_name": "ours", "language": "python"}))
        (folder / "notebooks").mkdir()
        self.set(dark=False)

        import jupyterlab

        installed = Path(jupyterlab.__file__).parents[4] / "share" / "jupyter"
        environ = {name: value for name, value in os.environ.items() if name not in QUIET}
        environ.update(
            IPYTHONDIR=str(folder / "ipython"),
            JUPYTER_CONFIG_DIR=str(folder / "config"),
            JUPYTER_DATA_DIR=str(folder / "data"),
            JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
            JUPYTER_PATH=os.pathsep.join([str(folder / "share"), str(installed)]),
            PYTHONPATH=str(Path(__file__).parents[2]),
        )
        options = [
            "--no-browser",
            "--allow-root",
            "--port=0",
            "--ip=127.0.0.1",
            f"--ServerApp.root_dir={folder / 'notebooks'}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
            "--LabApp.news_url=None",
            f"--LabApp.app_dir={installed / 'lab'}",
        ]
        with open(folder / "log.txt", "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *options],
                env=environ,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        try:
            self.url, self.token = self._where()
        except BaseException:
            self.stop()
            raise

    def _where(self):
        """The server's address and its token, once it answers."""
        for _ in range(WAIT * 10):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(StopIteration, ValueError, OSError, KeyError):
                about = next((self.folder / "runtime").glob("jpserver-*.json"))
                server = json.loads(about.read_text())
                status = f"{server['url']}api/status?token={server['token']}"
                urllib.request.urlopen(status, timeout=5).close()
                return server["url"], server["token"]
            time.sleep(0.1)
        raise RuntimeError("JupyterLab did not start:\n" + (self.folder / "log.txt").read_text())

    def set(self, *, dark):
        """Writes the user's settings; the next page reads them."""
        theme = {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}
        for name, values in {**SETTINGS, "apputils-extension/themes": theme}.items():
            folder = self.folder / "config" / "lab" / "user-settings" / "@jupyterlab"
            path = folder / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))

    def stop(self):
        """Ends the server, and with it all kernels."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Notebook:
    """A notebook, open in JupyterLab; `page` is Playwright's, for all that is not here.

    Arguments:
        context: Playwright's browser context.
        lab: the server.
        cells: the source of each code cell; or one path, of a notebook to open a copy of.
    """

    def __init__(self, context, lab, cells):
        self.lab, self.path = lab, lab.folder / "notebooks" / next(lab.names)
        if isinstance(cells[0], Path):
            shutil.copy(cells[0], self.path)
        else:
            self.path.write_text(json.dumps(_book(cells)))
        self.errors, self.strangers = [], []
        context.route(lambda url: not url.startswith((lab.url, "data:", "blob:")), self._refuse)
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT * 1000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"{lab.url}doc/tree/{self.path.name}?token={lab.token}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.wait()

    def _refuse(self, route):
        self.strangers.append(route.request.url)
        route.abort()

    def wait(self):
        """Waits until the kernel is there and idle, and no cell waits or runs."""
        self.page.wait_for_function(
            f"""() => {{
                {CURRENT}
                return panel.sessionContext.session?.kernel?.status === "idle" &&
                    !window.running && book.widgets.every(cell => cell.prompt !== "*");
            }}"""
        )
        return self

    def command(self, name):
        """Starts one of JupyterLab's commands, as its menus and keys do."""
        self.page.evaluate(
            """name => {
                window.running = (window.running ?? 0) + 1;
                window.jupyterapp.commands.execute(name).finally(() => window.running -= 1);
            }""",
            name,
        )

    def run(self, cell, *, wait=True):
        """Runs a cell, by its number from 0; without `wait` it is only started."""
        self.page.evaluate(
            f"n => {{ {CURRENT} book.activeCellIndex = n; book.deselectAll(); }}", cell
        )
        self.command("notebook:run-cell")
        return self.wait() if wait else self

    def run_all(self, *, wait=True):
        """Runs all cells, from the first to the last."""
        self.command("notebook:run-all-cells")
        return self.wait() if wait else self

    def interrupt(self):
        """The kernel's interrupt, as its button sends it."""
        self.command("notebook:interrupt-kernel")

    def add(self, source, *, wait=True):
        """Adds a cell at the end and runs it; gives its number."""
        cell = self.page.evaluate(
            f"""source => {{
                {CURRENT}
                const cells = book.model.sharedModel;
                cells.addCell({{cell_type: "code", source}});
                return cells.cells.length - 1;
            }}""",
            source,
        )
        self.page.wait_for_function(
            f"n => {{ {CURRENT} return book.widgets.length > n; }}", arg=cell
        )
        self.run(cell, wait=wait)
        return cell

    def source(self, cell):
        """What stands in a cell."""
        return self.page.evaluate(
            f"n => {{ {CURRENT} return book.widgets[n].model.sharedModel.getSource(); }}", cell
        )

    def cell(self, cell):
        """A cell as it is in the page: a locator."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell)

    def output(self, cell):
        """The outputs below a cell: a locator, of nothing where there are none."""
        return self.cell(cell).locator(".jp-Cell-outputArea")

    def text(self, cell):
        """What a reader can read below a cell, output by output, without the prompts."""
        child = "> .jp-OutputArea-child > .jp-OutputArea-output"
        return "\n".join(self.output(cell).locator(child).all_inner_texts())

    def outputs(self, cell):
        """What the kernel sent for a cell, as it would be saved: one dict an output."""
        return self.page.evaluate(
            f"n => {{ {CURRENT} return book.widgets[n].model.sharedModel.getOutputs(); }}", cell
        )

    def pixels(self, image):
        """The picture in an `<img>`, given as a locator: as it came, decoded by Pillow."""
        got = image.evaluate(
            """async image => {
                await image.decode();
                const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
                return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(""));
            }"""
        )
        return Image.open(io.BytesIO(base64.b64decode(got)))

    def value(self, expression):
        """What an expression is in the kernel, brought over as JSON; no cell is needed."""
        got = self.page.evaluate(
            f"""async expression => {{
                {CURRENT}
                const future = panel.sessionContext.session.kernel.requestExecute({{
                    code: "", silent: true, user_expressions: {{ it: expression }}
                }});
                return (await future.done).content.user_expressions.it;
            }}""",
            f"__import__('json').dumps({expression})",
        )
        if got["status"] != "ok":
            raise RuntimeError(f"{expression}: {got['ename']}: {got['evalue']}")
        return json.loads(ast.literal_eval(got["data"]["text/plain"]))

    def close(self):
        """Ends the kernel; the page is closed with its context."""
        self.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")


def _book(sources):
    """A notebook of code cells that were not run, as JSON has it."""
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{n}",
            "source": source,
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
        for n, source in enumerate(sources)
    ]
    about = {"kernelspec": {"name": "python3", "display_name": "ours"}}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab, once for the tests of a module."""
    if int(metadata.version("ipywidgets").partition(".")[0]) < 8:
        pytest.skip("JupyterLab 4 shows the widgets of ipywidgets 8; Colab's 7 has its own page")
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.stop()


@pytest.fixture
def notebook(chromium, lab):
    """Opens notebooks, as `Notebook` takes their cells; errors in the page fail the test."""
    contexts, books = [], []

    def open_notebook(*cells, dark=False, width=1000, height=1000):
        lab.set(dark=dark)
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}))
        books.append(Notebook(contexts[-1], lab, cells))
        return books[-1]

    yield open_notebook
    for book in books:
        book.close()
    for context in contexts:
        context.close()
    assert [error for book in books for error in book.errors] == []
    assert [url for book in books for url in book.strangers] == []
