"""The panel's answer, as a front end has it: from a slider's release to the picture.

    OMP_NUM_THREADS=1 python benchmarks/panel.py [--runs 10]

A real kernel gets the messages that a front end sends: a slider is released ("live" set: a picture
is made; not set: one that the store has is shown), or Generate is pressed. "preview" and "picture"
are the times from there until the message with the first preview, and with the finished picture,
is here; what the browser then needs to draw is not in them. A preview is made 0.25 s after the
start at the earliest, so a fast picture has none. The floor, after each new picture, is the bare
`pipe(…)` in a cell of that kernel, and "over it" the difference. Messages and kilobytes are all
that the kernel sends about widgets and outputs for one picture, headers included.

"Stop" is pressed at a random moment of a run of 100 steps: milliseconds until the panel is idle,
those as denoiser steps of that run, and how many were begun after the press was sent.

Each run has a seed of its own: its picture was never shown. Where the store has it, a cell has put
it there. The finished picture must have the pixels that the bare pipeline makes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ipykernel
import ipywidgets
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # the repository, for its tests

from tests.slow.test_panel_kernel import Kernel

SETUP = """import hashlib, time, torch, sdnb
pipe = sdnb.load('emoji')
pipe.set_progress_bar_config(disable=True)
panel = sdnb.panel('an owl on a blue background', seed=0)
begun = []
pipe.unet.register_forward_pre_hook(lambda *_: begun.append(time.time()))

def bare(steps, seed):
    generator, started = torch.Generator('cpu').manual_seed(seed), time.perf_counter()
    image = pipe('an owl on a blue background', num_inference_steps=steps, guidance_scale=7.5,
                 generator=generator).images[0]
    return 1000 * (time.perf_counter() - started), hashlib.sha256(image.tobytes()).hexdigest()

def put(steps, seed):
    made = sdnb.generate('an owl on a blue background', steps=steps, seed=seed)
    return hashlib.sha256(made.image.tobytes()).hexdigest()

panel"""
CASES = [  # what is released or pressed, and whether the store has the picture
    ("live slider", False), ("Generate", False),
    ("live slider", True), ("Generate", True), ("slider", True),
]  # fmt: skip
STOP = ("ButtonModel", "Stop")
LIVE, STEPS = ("CheckboxModel", "Live: generate at each change"), ("IntSliderModel", "Steps")
SEED, BUTTON = ("TextModel", "Seed"), ("ButtonModel", "Generate")
OUTPUTS = {"display_data", "update_display_data"}


class FrontEnd(Kernel):
    """A kernel whose messages are timed.

    Attributes:
        came: those about widgets and outputs: when (seconds), how many bytes, the picture in it.
        lags: seconds from a message's own time to here.
    """

    def __init__(self, folder: str) -> None:
        self.came: list[tuple[float, int, bytes]] = []
        self.lags: list[float] = []
        self.subshell = None
        super().__init__(folder)
        if int(ipykernel.__version__.partition(".")[0]) >= 7:  # so does JupyterLab with these
            self.send("create_subshell_request", {}, channel="control")
            self.subshell = self.client.get_control_msg(timeout=60)["content"]["subshell_id"]

    def _hear(self, message: dict[str, Any]) -> None:
        now, kind = time.perf_counter(), message["msg_type"]
        if kind.startswith("comm_") or kind in OUTPUTS:
            self.lags.append(time.time() - message["header"]["date"].timestamp())
            parts = [message[k] for k in ("header", "parent_header", "metadata", "content")]
            buffers = message.get("buffers") or []
            size = len(json.dumps(parts, default=str)) + sum(map(len, buffers))
            widget = self.widgets.get(message["content"].get("comm_id"), {})
            shown = widget.get("_model_name") == "ImageModel" and buffers  # there is but one
            self.came.append((now, size, bytes(buffers[0]) if shown else b""))
        super()._hear(message)

    def tell(self, widget: tuple[str, str], value: Any = None) -> str:
        """Sets a control, or clicks a button; returns the message's id."""
        click = {"method": "custom", "content": {"event": "click"}}
        update = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        content = {"comm_id": self.find(*widget), "data": click if value is None else update}
        return self.send("comm_msg", content, self.subshell)

    def settle(self, asked: str) -> None:
        """Waits until the panel has nothing more to do, and all its messages are here."""
        self.until(lambda: asked in self.idle)
        self.run("assert panel._controller.jobs.wait(60)")

    def answer(self, way: str, stored: bool, steps: int, seed: int) -> dict[str, Any]:
        """What comes of a slider released, or a button pressed."""
        before = steps if way == "Generate" else steps + 1
        changes = (LIVE, False), (SEED, str(seed)), (STEPS, before), (LIVE, way == "live slider")
        for control, value in changes:
            self.settle(self.tell(control, value))
        digest = self.value(f"put({steps}, {seed})") if stored else ""
        self.came.clear()

        started = time.perf_counter()
        asked = self.tell(BUTTON) if way == "Generate" else self.tell(STEPS, steps)
        self.until(lambda: any(data.startswith(b"\x89PNG") for *_, data in self.came))
        self.settle(asked)

        count, size = len(self.came), sum(each[1] for each in self.came)
        *previews, (at, last) = [(now, data) for now, _, data in self.came if data]
        if not all(data.startswith(b"\xff\xd8") for _, data in previews):
            raise SystemExit("Something else than previews came before the picture.")
        took = None
        if not stored:
            took, digest = self.value(f"bare({steps}, {seed})")
        pixels = Image.open(io.BytesIO(last)).convert("RGB").tobytes()
        if hashlib.sha256(pixels).hexdigest() != digest:
            raise SystemExit("The panel shows another picture than the pipeline makes.")
        return {
            "preview, ms": (previews[0][0] - started) * 1000 if previews else None,
            "picture, ms": (at - started) * 1000,
            "pipe(…), ms": took,
            "over it, ms": took and (at - started) * 1000 - took,
            "previews": len(previews),
            "messages": count,
            "kB": size / 1000,
        }

    def stopped(self, after: float, seed: int) -> dict[str, float]:
        """What comes of Stop, so many seconds after the first of 100 denoiser steps."""
        for control, value in ((LIVE, False), (SEED, str(seed)), (STEPS, 100)):
            self.settle(self.tell(control, value))
        self.run("begun.clear()")
        self.tell(BUTTON)
        while not self.value("begun[:1]"):
            pass
        time.sleep(after)
        pressed = time.time()
        self.tell(STOP)
        self.run("assert panel._controller.jobs.wait(60)")
        idle, begun = self.value("time.time()"), self.value("begun")
        if len(begun) >= 100:
            raise SystemExit("The run was finished before Stop was pressed.")
        step = statistics.median(b - a for a, b in itertools.pairwise(begun))
        return {
            "ms": (idle - pressed) * 1000,
            "steps": (idle - pressed) / step,
            "begun after it": sum(at > pressed for at in begun),
        }


def main() -> None:
    """Measures and prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=10)
    p.add_argument("--steps", type=int, nargs="+", default=[12, 50])
    p.add_argument("--json", help="writes the figures there")
    args = p.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SDNB_STORE": str(Path(folder, "store")), "TQDM_DISABLE": "1"}
        kernel = FrontEnd(folder)
        try:
            kernel.run(SETUP)
            kernel.answer("Generate", False, 4, 0)  # the first of a process is slower
            cases = itertools.product(range(args.runs), args.steps, CASES)
            for seed, (_, steps, (way, stored)) in enumerate(cases, 1):
                name = f"{way}, {steps} steps, {'stored' if stored else 'new'}"
                rows.setdefault(name, []).append(kernel.answer(way, stored, steps, seed))
            moments = random.Random(0)
            stops = [kernel.stopped(moments.uniform(0.1, 1.5), n) for n in range(args.runs)]
        finally:
            kernel.stop()
    columns, table = list(rows[next(iter(rows))][0]), {}
    for name, each in rows.items():
        there = {c: [row[c] for row in each if row[c] is not None] for c in columns}
        table[name] = {c: statistics.median(values) for c, values in there.items() if values}
    print(f"{platform.platform(terse=True)}, ipykernel {ipykernel.__version__}, ipywidgets "
          f"{ipywidgets.__version__}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}, median "
          f"of {args.runs} runs; a message took {1000 * statistics.median(kernel.lags):.1f} ms "
          "to get here")  # fmt: skip
    print(f"| {'':30} | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in table.items():
        texts = [f"{row[c]:.4g}" if c in row else "" for c in columns]
        print(f"| {name:30} | " + " | ".join(texts) + " |")
    print("Stop: " + "; ".join(
        f"{key} {statistics.median(each[key] for each in stops):.3g} (at most "
        f"{max(each[key] for each in stops):.3g})" for key in stops[0]
    ))  # fmt: skip
    if args.json:
        Path(args.json).write_text(json.dumps(table | {"Stop": stops}, indent=1) + "\n")


if __name__ == "__main__":
    main()
