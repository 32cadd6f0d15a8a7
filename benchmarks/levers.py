"""What may make the denoiser faster, one by one: how much it does, and what it does to pictures.

    python benchmarks/levers.py [--runs 5]

The embedded model, 25 steps, one picture and sixteen at once, against plain float32. PSNR is that
of the sixteen pictures against float32's: the least and the median, in decibels (inf: the same
pixels). `sdnb.load` takes float32 for this model, and for others what "on" says here.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from sdnb import emoji
from sdnb.models import device

PROMPTS = ["an astronaut riding a horse", "two cats", "a red square above a blue circle", "a fox"]


def fresh(dtype: torch.dtype = torch.float32) -> Any:
    """The plain pipeline, as diffusers loads it."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(emoji.FOLDER).to(dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def channels_last(pipe: Any) -> Any:
    pipe.unet.to(memory_format=torch.channels_last)
    return pipe


def compiled(pipe: Any) -> Any:
    pipe.unet.forward = torch.compile(pipe.unet.forward)
    return pipe


def fused(pipe: Any) -> Any:
    pipe.unet.fuse_qkv_projections()
    return pipe


def sliced(pipe: Any) -> Any:
    pipe.enable_attention_slicing()
    return pipe


LEVERS: dict[str, Callable[[], Any]] = {
    "float32": fresh,
    "float32, channels last": lambda: channels_last(fresh()),
    "bfloat16": lambda: fresh(torch.bfloat16),
    "bfloat16, channels last": lambda: channels_last(fresh(torch.bfloat16)),
    "float32, torch.compile": lambda: compiled(fresh()),
    "float32, merged query, key and value": lambda: fused(fresh()),
    "float32, sliced attention": lambda: sliced(fresh()),
}


def pictures(pipe: Any, count: int) -> np.ndarray:
    """So many pictures at once, (N, 128, 128, 3) in [0, 1]."""
    seeds = [torch.Generator().manual_seed(i) for i in range(count)]
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(count)]
    return pipe(prompts, num_inference_steps=25, generator=seeds, output_type="np").images


def psnr(a: np.ndarray, b: np.ndarray) -> list[float]:
    """Decibels, one for each pair of pictures."""
    errors = np.square(a.astype(float) - b).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return list(-10 * np.log10(errors))


def main() -> None:
    """Measures and prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--json", help="writes the figures there")
    args = p.parse_args()
    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()
    pipes, rows = {}, {}
    for name, make in LEVERS.items():
        try:
            pipes[name] = make()
            started = time.perf_counter()
            pictures(pipes[name], 1)
            rows[name] = {"first picture, s": time.perf_counter() - started}
            pictures(pipes[name], 16)
        except Exception as error:  # a lever that this model does not take is a result too
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0]}")
            pipes.pop(name, None)
    seconds = {(name, count): [] for name in pipes for count in (1, 16)}
    made = {}
    for _ in range(args.runs):
        for name, pipe in pipes.items():
            for count in (1, 16):
                started = time.perf_counter()
                made[name] = pictures(pipe, count)
                seconds[name, count].append(time.perf_counter() - started)
    for name in pipes:
        quality = psnr(made[name], made["float32"])
        rows[name] |= {
            "one, s": statistics.median(seconds[name, 1]),
            "sixteen, s": statistics.median(seconds[name, 16]),
            "PSNR, least": min(quality),
            "PSNR, median": statistics.median(quality),
        }
    gain = device.bfloat16_gain()
    print(f"{platform.platform(terse=True)}, {torch.get_num_threads()} threads, median of "
          f"{args.runs} runs; bfloat16 multiplies {gain:.2f} times as fast, so models other than "
          f"the embedded one are loaded in {device.why_dtype('cpu')[0]}")  # fmt: skip
    rows = {name: rows[name] for name in pipes}
    columns = list(rows["float32"])
    print(f"| {'lever':36} | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name:36} | " + " | ".join(f"{row[c]:.2f}" for c in columns) + " |")
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
