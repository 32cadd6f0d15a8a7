"""The panel through the kernel's protocol: what a front end sends, and what it gets for that.

The same messages under ipywidgets 7 and 8, and under kernels that queue callbacks and kernels
that answer them beside a running cell.
"""

import ast
import io
import json
import os
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("ipywidgets")
manager = pytest.importorskip("jupyter_client.manager")
LONG = 120  # seconds: far more than anything here takes
ROOT = Path(__file__).parents[2]
PANEL = "sdnb.panel('an owl on a blue background', steps=6, seed=510)"


class Kernel:
    """A kernel, and the widgets that it has opened, as a front end sees them.

    Attributes:
        widgets: comm id -> the state that the front end knows; buffers put in.
        heard: all messages about widgets: (kind, comm id, content, bytes).
    """

    def __init__(self, folder):
        environ = {k: v for k, v in os.environ.items() if k != "CI"}
        environ.update(PYTHONPATH=str(ROOT), IPYTHONDIR=str(folder))
        self.manager = manager.KernelManager()
        self.manager.kernel_spec.argv[0] = sys.executable
        self.manager.start_kernel(env=environ, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=LONG)
        self.widgets, self.heard, self.outputs, self.idle = {}, [], [], set()

    def send(self, kind, content, subshell=None, channel="shell"):
        message = self.client.session.msg(kind, content)
        if subshell:
            message["header"]["subshell_id"] = subshell
        getattr(self.client, f"{channel}_channel").send(message)
        return message["header"]["msg_id"]

    def start(self, code, cell="one", subshell=None):
        """Sends a cell, as a front end with a person at it."""
        content = {
            "code": code, "silent": False, "store_history": True, "user_expressions": {},
            "allow_stdin": True, "stop_on_error": True,
        }  # fmt: skip
        message = self.client.session.msg("execute_request", content)
        message["metadata"]["cellId"] = cell
        if subshell:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def run(self, code, cell="one"):
        """Runs a cell; gives its outputs' MIME bundles and texts."""
        self.outputs = []
        asked = self.start(code, cell)
        self.until(lambda: asked in self.idle)
        return self.outputs

    def value(self, expression):
        """What an expression is in the kernel."""
        texts = [o for o in self.run(f"print(repr({expression}))") if isinstance(o, str)]
        return ast.literal_eval("".join(texts))

    def until(self, enough):
        """Hears messages until there is enough."""
        ends = time.monotonic() + LONG
        while not enough():
            assert time.monotonic() < ends, (self.outputs, self.said())
            try:
                message = self.client.get_iopub_msg(timeout=0.1)
            except Exception as error:
                if type(error).__name__ != "Empty":
                    raise
                continue
            self._hear(message)

    def _hear(self, message):
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle":
            self.idle.add(message["parent_header"]["msg_id"])
        elif kind == "stream":
            self.outputs.append(content["text"])
        elif kind == "error":
            raise AssertionError("\n".join(content["traceback"]))
        elif "data" in content and kind in ("display_data", "execute_result"):
            self.outputs.append(content["data"])
        elif kind.startswith("comm_"):
            buffers = message.get("buffers") or []
            size = len(json.dumps(content)) + sum(len(b) for b in buffers)
            data = content.get("data", {})
            state = data.get("state", {})
            for path, buffer in zip(data.get("buffer_paths", []), buffers):
                state[path[0]] = bytes(buffer)
            self.heard.append((kind, content["comm_id"], state, size))
            if kind == "comm_close":
                self.widgets.pop(content["comm_id"], None)
            elif data.get("method") != "echo_update":
                self.widgets.setdefault(content["comm_id"], {}).update(state)

    def find(self, model, description=None):
        """The newest widget of that kind and description."""
        return [
            name
            for name, state in self.widgets.items()
            if state.get("_model_name") == model
            and (description is None or state.get("description") == description)
        ][-1]

    def set(self, widget, **state):
        data = {"method": "update", "state": state, "buffer_paths": []}
        self.send("comm_msg", {"comm_id": widget, "data": data})

    def click(self, widget, **options):
        data = {"method": "custom", "content": {"event": "click"}}
        return self.send("comm_msg", {"comm_id": widget, "data": data}, **options)

    def said(self):
        """The HTML of all widgets, in one text."""
        return "\n".join(str(s.get("value")) for s in self.widgets.values())

    def pictures(self, heard):
        """The pictures among messages, as they came."""
        found = [state["value"] for _, _, state, _ in heard if state.get("format")]
        return [Image.open(io.BytesIO(value)) for value in found if value]

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    made = Kernel(tmp_path_factory.mktemp("kernel"))
    made.run("import hashlib, io, sdnb, time\npipe = sdnb.load('emoji')")
    yield made
    made.stop()


def finished(kernel, since):
    """Whether a picture has been presented: its code is there to be copied."""
    return any("Copy settings" in str(s.get("value")) for _, _, s, _ in kernel.heard[since:])


def test_a_click_makes_the_picture_that_a_cell_makes(kernel, record_property):
    outputs = kernel.run(PANEL)
    [bundle] = [o for o in outputs if isinstance(o, dict) and "text/html" in o and len(o) > 2]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    kernel.set(kernel.find("IntSliderModel", "Steps"), value=12)
    since = len(kernel.heard)
    asked = kernel.click(kernel.find("ButtonModel", "Generate"))
    kernel.until(lambda: asked in kernel.idle and finished(kernel, since))
    heard = [m for m in kernel.heard[since:] if m[0] == "comm_msg"]
    *previews, last = kernel.pictures(heard)
    made = "sdnb.generate('an owl on a blue background', steps=12, seed=510).image.tobytes()"
    assert kernel.value(f"hashlib.sha256({made}).hexdigest()") == digest(last)
    assert all(p.format == "JPEG" and max(p.size) <= 256 for p in previews)
    sizes = sorted(size for *_, size in heard)
    record_property("messages", len(heard))
    record_property("bytes", sum(sizes))
    print(f"\n{len(heard)} messages, {sum(sizes)} bytes, {len(previews)} previews of at most "
          f"{max((len(p.fp.getvalue()) for p in previews if p.fp), default=0)} bytes")  # fmt: skip
    assert len(heard) <= 40 + 2 * 12  # at most a preview and a bar for each denoiser call
    assert sizes[-1] < 100_000


def digest(image):
    import hashlib

    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def test_stop_is_heard_and_the_next_picture_is_made(kernel):
    kernel.run(PANEL)
    kernel.set(kernel.find("IntSliderModel", "Steps"), value=100)
    since = len(kernel.heard)
    kernel.click(kernel.find("ButtonModel", "Generate"))
    kernel.until(lambda: len(kernel.pictures(kernel.heard[since:])) > 0)
    kernel.click(kernel.find("ButtonModel", "Stop"))
    kernel.until(lambda: "Stopped after" in kernel.said())
    kernel.set(kernel.find("IntSliderModel", "Steps"), value=2)
    since = len(kernel.heard)
    kernel.click(kernel.find("ButtonModel", "Generate"))
    kernel.until(lambda: finished(kernel, since))


def test_a_click_while_a_cell_runs_is_answered_after_it(kernel):
    kernel.run(PANEL)
    since = len(kernel.heard)
    cell = kernel.start("time.sleep(1)", "two")
    kernel.click(kernel.find("ButtonModel", "Generate"))
    kernel.until(lambda: finished(kernel, since))
    assert cell in kernel.idle


def test_a_click_while_a_cell_runs_is_answered_beside_it_where_the_kernel_can(kernel):
    import ipykernel

    if int(ipykernel.__version__.partition(".")[0]) < 7:
        pytest.skip("this kernel has no subshells")
    kernel.send("create_subshell_request", {}, channel="control")
    subshell = kernel.client.get_control_msg(timeout=LONG)["content"]["subshell_id"]
    asked = kernel.start(PANEL, "beside", subshell)
    kernel.until(lambda: asked in kernel.idle)
    since = len(kernel.heard)
    cell = kernel.start("go = False\nwhile not go: time.sleep(0.05)", "two")
    kernel.click(kernel.find("ButtonModel", "Generate"), subshell=subshell)
    kernel.until(lambda: finished(kernel, since))
    assert cell not in kernel.idle
    kernel.start("go = True", "three", subshell)
    kernel.until(lambda: cell in kernel.idle)


def test_a_cell_run_again_closes_the_widgets_of_its_earlier_panel(kernel):
    kernel.run(PANEL, "again")
    box = kernel.find("VBoxModel")
    since = len(kernel.heard)
    kernel.run(PANEL, "again")
    closed = {name for kind, name, *_ in kernel.heard[since:] if kind == "comm_close"}
    opened = {name for kind, name, *_ in kernel.heard[since:] if kind == "comm_open"}
    assert box in closed
    assert len(closed) > 30
    assert not closed & opened


def test_on_colab_the_interrupt_stops_a_picture_and_leaves_all_usable(kernel):
    kernel.run("from sdnb.widgets import frontend\nfrontend.in_colab = lambda: True")
    try:
        kernel.run(PANEL, "colab")
        kernel.set(kernel.find("IntSliderModel", "Steps"), value=100)
        since = len(kernel.heard)
        asked = kernel.click(kernel.find("ButtonModel", "Generate"))
        kernel.until(lambda: len(kernel.pictures(kernel.heard[since:])) > 0)
        assert asked not in kernel.idle  # the callback itself works
        kernel.manager.interrupt_kernel()
        kernel.until(lambda: asked in kernel.idle)
        assert "Stopped after" in kernel.said()
        kernel.set(kernel.find("IntSliderModel", "Steps"), value=2)
        since = len(kernel.heard)
        asked = kernel.click(kernel.find("ButtonModel", "Generate"))
        kernel.until(lambda: asked in kernel.idle)
        assert finished(kernel, since)
    finally:
        kernel.run("frontend.in_colab = lambda: False")


def test_where_a_program_runs_the_cell_there_is_a_picture_and_no_widget(kernel):
    kernel.outputs, opened = [], len([m for m in kernel.heard if m[0] == "comm_open"])
    asked = kernel.client.execute(PANEL.replace("steps=6", "steps=2"), allow_stdin=False)
    kernel.until(lambda: asked in kernel.idle)
    [bundle] = [o for o in kernel.outputs if isinstance(o, dict)]
    assert "image/png" in bundle
    assert "without anybody to use it" in bundle["text/plain"]
    assert "nobody is here" in "".join(o for o in kernel.outputs if isinstance(o, str))
    assert len([m for m in kernel.heard if m[0] == "comm_open"]) == opened


def test_a_kernel_that_is_shut_down_while_a_picture_is_made_ends(kernel):
    kernel.run(PANEL)
    kernel.set(kernel.find("IntSliderModel", "Steps"), value=100)
    since = len(kernel.heard)
    kernel.click(kernel.find("ButtonModel", "Generate"))
    kernel.until(lambda: len(kernel.pictures(kernel.heard[since:])) > 0)
    kernel.client.shutdown()
    ends = time.monotonic() + LONG
    while kernel.manager.is_alive():
        assert time.monotonic() < ends
        time.sleep(0.1)
