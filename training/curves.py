"""How right the pictures are against steps, guidance and scheduler, by the judge.

    python -m training curves        # docs/curves.png, and training/curves.json

Three of score's tasks, each with `count` prompts that are the same at every point; one thing
changes at a time, the others stay at score's 25 steps, guidance 5 and DPM++ 2M.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import torch
from matplotlib.figure import Figure

from training import export, judge, score, sheet, world

TABLE = Path(__file__).parent / "curves.json"
PICTURE = Path(__file__).parent.parent / "docs" / "curves.png"
TASKS = ("single object", "counting 2, 3, 4", "position")
AXES = {
    "steps": [4, 6, 8, 12, 16, 25, 38, 50],
    "guidance": [1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0],
    "scheduler": ["DDIM", "PNDM", "LMS", "Euler", "Euler a", "Heun", "DPM++ 2M",
                  "DPM++ 2M Karras", "UniPC"],
}  # fmt: skip


@torch.inference_mode()
def main(
    count: int = 50, name: str = "denoiser", table: str = str(TABLE), out: str = str(PICTURE)
) -> None:
    """Measures every point, writes the table and the plot."""
    eye, pipe = judge.load(), export.pipeline(name)
    asked = {task: score.asked(score.TASKS[task], count) for task in TASKS}
    texts = {t: [world.sentence(Random(0), s, plain=True) for s in asked[t]] for t in TASKS}
    known: dict[tuple[object, ...], dict[str, float]] = {}
    curves: dict[str, dict[str, dict[str, float]]] = {}
    for axis, values in AXES.items():
        curves[axis] = {}
        for value in values:
            settings = {"steps": 25, "guidance": 5.0, "scheduler": "DPM++ 2M"} | {axis: value}
            point = tuple(settings.values())
            if point not in known:  # the one that all axes share
                known[point] = {
                    task: score.share(
                        score.TASKS[task],
                        asked[task],
                        score.tensor(sheet.pictures(pipe, texts[task], **settings)),
                        eye,
                    )
                    for task in TASKS
                }
            curves[axis][str(value)] = known[point]
            print(f"{axis} {value}: {known[point]}", flush=True)
    Path(table).write_text(json.dumps({"prompts a task": count, "curves": curves}, indent=1) + "\n")
    plot(curves, count).savefig(out, dpi=100)


def plot(curves: dict[str, dict[str, dict[str, float]]], count: int) -> Figure:
    """One plot an axis, a line a task."""
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    for ax, (axis, points) in zip(figure.subplots(1, len(curves), sharey=True), curves.items()):
        words = axis == "scheduler"
        at = range(len(points)) if words else [float(value) for value in points]
        for task in TASKS:
            shares = [100 * point[task] for point in points.values()]
            ax.plot(at, shares, "o" if words else "o-", label=task)
        if words:
            ax.set_xticks(at, list(points), rotation=40, ha="right")
        ax.set_xlabel(axis)
        ax.grid(alpha=0.3)
        ax.set_ylim(0, 103)
    figure.axes[0].set_ylabel(f"right, % of {count} prompts")
    figure.axes[0].legend(loc="lower right")
    return figure
