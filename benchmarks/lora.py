"""LoRA weights: a row of eight merged, one by one, and set_adapters in a loop by hand.

    python benchmarks/lora.py [--runs 3] [--steps 25]

Denoiser calls, seconds, and the largest and mean difference of the pictures to those of the loop,
which is what diffusers' documentation shows. The embedded model with its own LoRA, as it is
loaded by sdnb for all three ways; and a toy SDXL (random weights, 64 x 64). The ways take turns;
medians are shown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

import sdnb
from sdnb.models.denoiser import denoiser_of
from sdnb.sweeps.batching import Batcher

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.support import loras, toys

WEIGHTS = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]


def by_hand(pipe: Any, name: str, given: dict[str, Any]) -> list[Any]:
    """The loop of diffusers' documentation."""
    images = []
    for weight in WEIGHTS:
        pipe.set_adapters([name], [weight])
        images.append(
            pipe(
                "a fox", num_inference_steps=given["steps"], width=given["width"],
                height=given["height"], generator=torch.Generator().manual_seed(given["seed"]),
            ).images[0]
        )  # fmt: skip
    pipe.set_adapters([name], [1.0])
    return images


def by_sdnb(pipe: Any, name: str, given: dict[str, Any], batch: int | None) -> list[Any]:
    plan = sdnb.plan("a fox", lora={name: WEIGHTS}, pipe=pipe, **given)
    made = dict(Batcher(pipe, batch).run([*plan.settings]))
    return [made[i].image for i in range(len(plan))]


def timed(pipe: Any, way: Callable[[], list[Any]]) -> tuple[float, int, list[Any]]:
    """Seconds, calls of the real denoiser, and the pictures."""
    calls: list[None] = []
    hook = denoiser_of(pipe).register_forward_hook(lambda *_: calls.append(None))
    started = time.perf_counter()
    try:
        images = way()
    finally:
        hook.remove()
    return time.perf_counter() - started, len(calls), images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25)
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        toy = toys.saved("SDXL", Path(folder))
        bare = diffusers.DiffusionPipeline.from_pretrained(toy)
        file = loras.written(bare, Path(folder, "ink.safetensors"), size=3)
        models = {
            "embedded model": (sdnb.load("emoji", lora="blueprint"), "blueprint", 128),
            "toy SDXL": (sdnb.load(toy, lora=file), "ink", 64),
        }
        for model, (pipe, name, side) in models.items():
            compared(model, pipe, name, {"steps": args.steps, "seed": 1, "width": side,
                                         "height": side}, args.runs)  # fmt: skip


def compared(model: str, pipe: Any, name: str, given: dict[str, Any], runs: int) -> None:
    pipe.set_progress_bar_config(disable=True)
    ways: dict[str, Callable[[], list[Any]]] = {
        "set_adapters in a loop": lambda: by_hand(pipe, name, given),
        "one by one": lambda: by_sdnb(pipe, name, given, 1),
        "merged": lambda: by_sdnb(pipe, name, given, None),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    last: dict[str, tuple[int, list[Any]]] = {}
    for way in ways.values():
        way()  # warms up
    for _ in range(runs):
        for way, make in ways.items():
            took, calls, images = timed(pipe, make)
            seconds[way].append(took)
            last[way] = calls, images
    first = [np.asarray(image, int) for image in last["set_adapters in a loop"][1]]
    slowest = statistics.median(seconds["set_adapters in a loop"])
    for way, (calls, images) in last.items():
        median = statistics.median(seconds[way])
        far = [np.abs(np.asarray(image, int) - a) for image, a in zip(images, first)]
        print(f"{model}, {way}: {calls} denoiser calls, {median:.2f} s, "
              f"{slowest / median:.2f} times as fast, differs by at most "
              f"{max(d.max() for d in far)} and on average {np.mean([d.mean() for d in far]):.3f}",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
