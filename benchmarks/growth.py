"""How cost grows: seconds and memory against pictures, steps, batch and size.

    python benchmarks/growth.py [--runs 3] [--plot docs/growth.png]

The embedded model. One thing changes at a time, the others stay at one picture, 12 steps, one at
once, 128 x 128; the batch is measured on 32 pictures. Memory is what the process's resident size
rises by at its highest while the pictures are made. The last plot marks how many pictures sdnb
makes at once where nobody says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from matplotlib.figure import Figure

import sdnb
from sdnb.models import device
from sdnb.sweeps import batching

AXES: dict[str, list[int]] = {
    "pictures": [1, 2, 4, 8, 16, 32],
    "steps": [4, 8, 12, 25, 50],
    "size": [64, 128, 192, 256, 384],
    "batch": [1, 2, 4, 8, 12, 16, 24, 32],
}


class Peak:
    """The highest resident size while the block runs, in megabytes, looked at every 2 ms."""

    def __enter__(self) -> Peak:
        self._process, self._ended = psutil.Process(), threading.Event()
        self.start = self.highest = self._process.memory_info().rss
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(0.002):
            self.highest = max(self.highest, self._process.memory_info().rss)

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._watch.join()
        self.megabytes = (self.highest - self.start) / 1e6


def cost(pipe: Any, axis: str, value: int) -> tuple[float, float]:
    """Seconds and megabytes of one point of an axis."""
    pictures = {"pictures": value, "batch": 32}.get(axis, 1)
    side = value if axis == "size" else 128
    plan = sdnb.plan(
        "a fox", steps=value if axis == "steps" else 12, seed=range(pictures), width=side,
        height=side, pipe=pipe,
    )  # fmt: skip
    batch = {"pictures": None, "batch": value}.get(axis, 1)
    device.trim()
    with Peak() as peak:
        started = time.perf_counter()
        plan.run(store=False, batch=batch)
        seconds = time.perf_counter() - started
    return seconds, peak.megabytes


def plot(table: dict[str, dict[int, tuple[float, float]]], chosen: int) -> Figure:
    """Seconds above, megabytes below."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.subplots(2, len(table), sharex="col")
    for i, (axis, points) in enumerate(table.items()):
        for row, unit in enumerate(("seconds", "megabytes above rest")):
            ax = axes[row][i]
            ax.plot(list(points), [p[row] for p in points.values()], "o-", color=f"C{row}")
            ax.set_ylim(0, 1.1 * max(p[row] for p in points.values()))
            ax.grid(alpha=0.3)
            if i == 0:
                ax.set_ylabel(unit)
            if axis == "batch":
                ax.axvline(chosen, color="gray", linestyle="--", label=f"sdnb takes {chosen}")
                ax.legend()
        axes[1][i].set_xlabel(
            {"size": "side, pixels", "batch": "pictures at once, of 32"}.get(axis, axis)
        )
    return figure


def main() -> None:
    """Measures, prints the table, draws the plot."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--json", help="writes the figures there")
    p.add_argument("--plot", help="draws them there")
    args = p.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    pipe = sdnb.load("emoji", device="cpu")
    points = [(axis, value) for axis, values in AXES.items() for value in values]
    for axis, value in points[:: len(points) // 4]:
        cost(pipe, axis, value)  # a warm-up
    took: dict[tuple[str, int], list[tuple[float, float]]] = {point: [] for point in points}
    for _ in range(args.runs):
        for point in points:
            took[point].append(cost(pipe, *point))
    table = {
        axis: {
            v: tuple(statistics.median(column) for column in zip(*took[axis, v])) for v in values
        }
        for axis, values in AXES.items()
    }
    chosen = batching.MOST[batching.DENOISER]
    best = min(table["batch"], key=lambda n: table["batch"][n][0])
    print(f"{platform.platform(terse=True)}, {torch.get_num_threads()} threads, "
          f"median of {args.runs} runs; fastest batch {best}, sdnb takes {chosen}")  # fmt: skip
    print("| axis | value | seconds | MB |\n|---|---|---|---|")
    for axis, row in table.items():
        for value, (seconds, megabytes) in row.items():
            print(f"| {axis} | {value} | {seconds:.3f} | {megabytes:.0f} |")
    if args.json:
        Path(args.json).write_text(json.dumps({"fastest batch": best, "cost": table}, indent=1))
    if args.plot:
        plot(table, chosen).savefig(args.plot, dpi=90)


if __name__ == "__main__":
    main()
