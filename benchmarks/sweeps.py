"""Sweeps: batched against one by one, the article's loop, and diffusers' own prompt batching.

    python benchmarks/sweeps.py [--runs 3]

Real denoiser calls, seconds, and the largest and mean difference of the pictures, on the embedded
model: the article's 12/24/38/50 steps, and 24 mixed runs (schedulers, steps, guidance). The ways
take turns; medians are shown.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import sdnb

PROMPT = "an astronaut riding a horse"
SWEEPS = {
    "12/24/38/50 steps": {"steps": [12, 24, 38, 50]},
    "24 mixed runs": {
        "steps": [12, 24],
        "guidance": [1.0, 5.0, 7.5],
        "scheduler": ["DDIM", "Euler a", "DPM++ 2M Karras", "Heun"],
    },
}


def loop(pipe, plan) -> list:
    """As a person would write it: the pipeline called for one picture after another."""
    images = []
    for settings in plan.settings:
        pipe.scheduler = sdnb.schedulers.make(settings.scheduler, pipe.scheduler)
        images.append(
            pipe(
                settings.prompt, num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                generator=torch.Generator("cpu").manual_seed(settings.seed),
            ).images[0]
        )  # fmt: skip
    return images


def main() -> None:
    """Measures and prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--json", help="writes the figures there")
    args = p.parse_args()
    pipe = sdnb.load("emoji", device="cpu")
    pipe.set_progress_bar_config(disable=True)
    own = pipe.scheduler
    calls = []
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    table = {}
    for name, axes in SWEEPS.items():
        plan = sdnb.plan(PROMPT, **axes, seed=510, pipe=pipe)
        ways = {
            "batched": lambda plan=plan: [s.image for s in plan.run(store=False)],
            "one by one": lambda plan=plan: [s.image for s in plan.run(store=False, batch=1)],
            "the article's loop": lambda plan=plan: loop(pipe, plan),
        }
        seconds = {way: [] for way in ways}
        made, counts = {}, {}
        for _ in range(args.runs):
            for way, run in ways.items():
                calls.clear()
                started = time.perf_counter()
                made[way] = [np.asarray(image, int) for image in run()]
                seconds[way].append(time.perf_counter() - started)
                counts[way] = len(calls)
                pipe.scheduler = own
        for way in ways:
            off = [np.abs(a - b) for a, b in zip(made[way], made["the article's loop"])]
            table[f"{name}, {way}"] = {
                "calls": counts[way],
                "seconds": statistics.median(seconds[way]),
                "times as fast": statistics.median(
                    a / b for a, b in zip(seconds["the article's loop"], seconds[way])
                ),
                "largest difference": int(max(o.max() for o in off)),
                "mean difference": float(np.mean([o.mean() for o in off])),
            }
    print(f"{platform.platform(terse=True)}, {torch.get_num_threads()} threads, "
          f"median of {args.runs} runs")  # fmt: skip
    columns = list(next(iter(table.values())))
    print(f"| {'':36} | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for way, row in table.items():
        print(f"| {way:36} | " + " | ".join(f"{row[c]:.4g}" for c in columns) + " |")
    if args.json:
        Path(args.json).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
