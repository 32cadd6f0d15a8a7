"""A stage's training log as a plot.

python -m training log        # docs/training.png
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

from training.run import WORK

PICTURE = Path(__file__).parent.parent / "docs" / "training.png"


def main(name: str = "denoiser", out: str = str(PICTURE)) -> None:
    """Writes the picture."""
    plot(name).savefig(out, dpi=110)


def plot(name: str) -> Figure:
    """The loss against the steps."""
    lines = [json.loads(text) for text in (WORK / f"{name}.jsonl").read_text().splitlines()]
    lines = list({line["step"]: line for line in lines}.values())  # a resumed run repeats a few
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axes = figure.subplots()
    steps = [line["step"] for line in lines]
    axes.plot(steps, [line["loss"] for line in lines], label="loss, mean of 50 steps")
    more = [key for key in lines[-1] if key not in ("step", "loss", "seconds")]
    for key in more:
        some = [(line["step"], line[key]) for line in lines if key in line]
        axes.plot(*zip(*some), ".", alpha=0.6, label=f"{key}, one batch")
    axes.set_xlabel("steps")
    axes.set_ylabel(name)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
