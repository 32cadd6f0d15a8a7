"""Sweeps: batched against one by one, the article's loop, and diffusers' own prompt batching.

    python benchmarks/sweeps.py [--runs 3] [--only "12/24/38/50 steps"]

Real denoiser calls, seconds, and the largest and mean difference of the pictures, on the embedded
model and on a toy SDXL (random weights, 64 x 64): the article's 12/24/38/50 steps, 24 mixed runs
(schedulers, steps, seeds), and 16 seeds of the same settings. "diffusers' batching" hands all
pictures that differ by nothing but their seed to one call of the pipeline, as a list of prompts;
for the steps there are none such. Both of these have the embedded model as diffusers alone loads
it, without what `sdnb.load` does to its denoiser. The ways take turns; medians are shown.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

import sdnb
from sdnb import emoji

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.support import toys

PROMPT = "an astronaut riding a horse"
SWEEPS = {
    "12/24/38/50 steps": {"steps": [12, 24, 38, 50]},
    "24 mixed runs": {
        "steps": [12, 24],
        "scheduler": ["DDIM", "Euler a", "DPM++ 2M Karras", "Heun"],
        "seed": [510, 511, 512],
    },
    "16 seeds": {"steps": [24], "seed": range(16)},
}


LOOP = "the article's loop"


def loop(pipe: Any, plan: Any) -> list[Any]:
    """As a person would write it: the pipeline called for one picture after another."""
    return [image for settings in plan.settings for image in call(pipe, [settings])]


def lists(pipe: Any, plan: Any) -> list[Any]:
    """diffusers' own batching: one call for all pictures that differ by their seed alone."""
    groups: dict[Any, list[int]] = {}
    for i, settings in enumerate(plan.settings):
        groups.setdefault(settings.but(seed=0), []).append(i)
    images = {}
    for group in groups.values():
        made = call(pipe, [plan.settings[i] for i in group])
        images |= dict(zip(group, made))
    return [images[i] for i in range(len(images))]


def call(pipe: Any, group: list[Any]) -> list[Any]:
    """One call of the pipeline for settings that differ by their seed alone."""
    first = group[0]
    pipe.scheduler = sdnb.schedulers.make(first.scheduler, pipe.scheduler)
    return pipe(
        [s.prompt for s in group], num_inference_steps=first.steps, guidance_scale=first.guidance,
        generator=[torch.Generator("cpu").manual_seed(s.seed) for s in group],
    ).images  # fmt: skip


def measure(pipe: Any, bare: Any, runs: int, sweeps: dict[str, Any]) -> dict[str, dict[str, float]]:
    """A row for each sweep and way; `bare` is the pipeline as diffusers loads it."""
    calls: list[int] = []
    for each in {id(each): each for each in (pipe, bare)}.values():
        each.set_progress_bar_config(disable=True)
        each.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    own, theirs = pipe.scheduler, bare.scheduler
    table = {}
    for name, axes in sweeps.items():
        axes = {"seed": 510} | axes
        plan = sdnb.plan(PROMPT, **axes, pipe=pipe)
        ways = {
            LOOP: lambda plan=plan: loop(bare, plan),
            "sdnb, one by one": lambda plan=plan: [
                s.image for s in plan.run(store=False, batch=1).samples
            ],
            "sdnb": lambda plan=plan: [s.image for s in plan.run(store=False).samples],
            "diffusers' batching": lambda plan=plan: lists(bare, plan),
        }
        if "seed" not in SWEEPS[name]:
            del ways["diffusers' batching"]
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        made, counts = {}, {}
        for _ in range(runs):
            for way, run in ways.items():
                calls.clear()
                started = time.perf_counter()
                made[way] = [np.asarray(image, int) for image in run()]
                seconds[way].append(time.perf_counter() - started)
                counts[way] = len(calls)
                pipe.scheduler, bare.scheduler = own, theirs
        for way in ways:
            off = [np.abs(a - b) for a, b in zip(made[way], made[LOOP])]
            table[f"{name}, {way}"] = {
                "calls": counts[way],
                "seconds": statistics.median(seconds[way]),
                "times as fast": statistics.median(
                    a / b for a, b in zip(seconds[LOOP], seconds[way])
                ),
                "largest difference": int(max(o.max() for o in off)),
                "mean difference": float(np.mean([o.mean() for o in off])),
            }
    return table


def main() -> None:
    """Measures and prints the tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--only", choices=SWEEPS, help="one of the sweeps")
    p.add_argument("--json", help="writes the figures there")
    args = p.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    warnings.simplefilter("ignore")
    whole = {}
    print(f"{platform.platform(terse=True)}, {torch.get_num_threads()} threads, "
          f"median of {args.runs} runs")  # fmt: skip
    toy = toys.sdxl(Path())
    plain = diffusers.StableDiffusionPipeline.from_pretrained(emoji.FOLDER, safety_checker=None)
    sweeps = {args.only: SWEEPS[args.only]} if args.only else SWEEPS
    for model, pipe, bare in (
        ("the embedded model", sdnb.load("emoji", device="cpu"), plain), ("a toy SDXL", toy, toy)
    ):  # fmt: skip
        whole[model] = table = measure(pipe, bare, args.runs, sweeps)
        columns = list(next(iter(table.values())))
        print(f"\n| {model:40} | " + " | ".join(columns) + " |")
        print("|---" * (len(columns) + 1) + "|")
        for way, row in table.items():
            print(f"| {way:40} | " + " | ".join(f"{row[c]:.4g}" for c in columns) + " |")
    if args.json:
        Path(args.json).write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
