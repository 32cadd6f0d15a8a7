"""On an NVIDIA GPU: Stable Diffusion v1-4's size in float16, sdnb against diffusers by hand.

    python benchmarks/gpu.py [--folder FOLDER] [--runs 3] [--only speed batches memory stop]

The exact architecture with random weights (see full_size.py), 512 x 512. "speed" is one picture of
50 steps, the article's 12/24/38/50 steps and 16 seeds, each by a plain loop over the pipeline and
by sdnb, in turns, medians. "batches" is 32 seeds of 12 steps with so many pictures at once.
"memory" fills the GPU until only so much is free, loads the model and makes 16 pictures of 4 steps.
"stop" is Ctrl-C in the middle of a picture: how long until it has stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import build

import sdnb

PROMPT = "an astronaut riding a horse"
Table = dict[str, dict[str, float]]


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that it takes until the GPU has done it, and what it gives."""
    torch.cuda.synchronize()
    started = time.perf_counter()
    made = run()
    torch.cuda.synchronize()
    return time.perf_counter() - started, made


def speed(folder: str, runs: int) -> Table:
    """Loops by hand and sdnb, in turns."""
    import diffusers

    bare = diffusers.StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float16, safety_checker=None
    ).to("cuda")
    bare.set_progress_bar_config(disable=True)
    pipe = sdnb.load(folder)
    table: Table = {}
    for name, axes in {
        "one picture, 50 steps": {"steps": [50]},
        "12/24/38/50 steps": {"steps": [12, 24, 38, 50]},
        "16 seeds, 24 steps": {"steps": [24], "seed": range(16)},
    }.items():
        plan = sdnb.plan(PROMPT, **({"seed": 510} | axes), pipe=pipe)
        by_us = lambda plan=plan: [s.image for s in plan.run(store=False).samples]  # noqa: E731
        ways = {
            "diffusers": lambda plan=plan: [
                bare(
                    s.prompt, num_inference_steps=s.steps, guidance_scale=s.guidance,
                    generator=torch.Generator("cpu").manual_seed(s.seed),
                ).images[0]
                for s in plan.settings
            ],
            "sdnb": by_us,
            "sdnb, weights in torch's own order": by_us,
        }  # fmt: skip
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        images, peaks = {}, {}
        for i in range(runs + 1):  # the first is a warm-up
            for way, run in ways.items():
                own = way.endswith("own order")
                pipe.unet.to(memory_format=torch.contiguous_format if own else torch.channels_last)
                torch.cuda.reset_peak_memory_stats()
                took, images[way] = timed(run)
                peaks[f"{way}, peak MB"] = torch.cuda.max_memory_allocated() / 1e6
                seconds[way] += [took] if i else []
        pairs = zip(images["diffusers"], images["sdnb"])
        off = [np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() for a, b in pairs]
        row = {f"{way}, s": statistics.median(each) for way, each in seconds.items()}
        ratio = statistics.median(a / b for a, b in zip(seconds["diffusers"], seconds["sdnb"]))
        table[name] = row | {"times as fast": ratio, "difference": float(max(off))} | peaks
    return table


def batches(folder: str, runs: int) -> Table:
    """Pictures a second with so many at once."""
    pipe = sdnb.load(folder)
    plan = sdnb.plan(PROMPT, steps=12, seed=range(32), pipe=pipe)
    table: Table = {}
    for most in (1, 2, 4, 8, 16, 32):
        torch.cuda.reset_peak_memory_stats()
        plan.run(store=False, batch=most)
        took = statistics.median(
            timed(lambda most=most: plan.run(store=False, batch=most))[0] for _ in range(runs)
        )
        peak = torch.cuda.max_memory_allocated() / 1e6
        table[f"{most} at once"] = {"pictures a second": 32 / took, "peak, MB": peak}
    return table


def memory(folder: str, runs: int) -> Table:
    """A GPU that is nearly full; megabytes that are left."""
    sizes = (15_000, 8_000, 4_000, 3_000, 2_200, 1_500)
    return {f"{free:,} MB free": nearly_full(folder, free * 10**6) for free in sizes}


def nearly_full(folder: str, free: int) -> dict[str, float]:
    """What becomes of loading and 16 pictures where so many bytes are free."""
    sdnb.clear()
    torch.cuda.empty_cache()
    if (left := torch.cuda.mem_get_info()[0]) < free:
        return {}
    ballast = torch.empty(left - free, dtype=torch.uint8, device="cuda")  # noqa: F841
    rows: list[int] = []
    try:
        loading, pipe = timed(lambda: sdnb.load(folder))
        hook = pipe.unet.register_forward_hook(lambda *given: rows.append(len(given[1][0])))
        plan = sdnb.plan(PROMPT, steps=4, seed=range(16), pipe=pipe)
        making, sheet = timed(lambda: plan.run(store=False))
    except (MemoryError, torch.OutOfMemoryError) as error:
        print(f"{free / 1e6:,.0f} MB free: {error}")
        return {"failed": 16}
    hook.remove()
    return {
        "load, s": loading, "16 pictures, s": making, "at once": max(rows) / 2,
        "failed": sum("error" in sample.facts for sample in sheet),
        "in turns": float(pipe.unet.device.type == "cpu"),
    }  # fmt: skip


def stop(folder: str, runs: int) -> Table:
    """Ctrl-C after 20 of 50 steps."""
    pipe = sdnb.load(folder)
    rows: list[dict[str, float]] = []
    for _ in range(runs):
        calls: list[float] = []
        asked: list[float] = []

        def note(*_: Any, calls: list[float] = calls, asked: list[float] = asked) -> None:
            calls.append(time.perf_counter())
            if len(calls) == 20:
                asked.append(time.perf_counter())
                threading.Timer(0.0, lambda: signal.raise_signal(signal.SIGINT)).start()

        hook = pipe.unet.register_forward_hook(note)
        with contextlib.suppress(KeyboardInterrupt):
            sdnb.generate(PROMPT, seed=1, pipe=pipe, store=False)
        torch.cuda.synchronize()
        after = sum(call > asked[0] for call in calls)
        rows.append({"ms": 1000 * (time.perf_counter() - asked[0]), "more calls": float(after)})
        hook.remove()
    return {"Ctrl-C at step 20": {k: statistics.median(r[k] for r in rows) for k in rows[0]}}


PARTS = {"speed": speed, "batches": batches, "memory": memory, "stop": stop}


def main() -> None:
    """Builds the model, measures, prints the tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "sdnb-full-size"))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    p.add_argument("--json", help="writes the figures there")
    args = p.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("There is no NVIDIA GPU on this machine.")
    os.environ["TQDM_DISABLE"] = "1"
    warnings.simplefilter("ignore")
    build(Path(args.folder))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {args.runs} runs")
    whole = {}
    for part in args.only:
        sdnb.clear()  # what one part has changed
        whole[part] = table = PARTS[part](args.folder, args.runs)
        columns = list(dict.fromkeys(c for row in table.values() for c in row))
        print(f"\n| {part:24} | " + " | ".join(columns) + " |")
        print("|---" * (len(columns) + 1) + "|")
        for name, row in table.items():
            cells = [f"{row[c]:.4g}" if c in row else "" for c in columns]
            print(f"| {name:24} | " + " | ".join(cells) + " |", flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
