"""One denoiser step at full size: sdnb against the article's cell, bfloat16 by hand and OpenVINO.

    pip install openvino        # for three of the ways; without it they are left out
    python benchmarks/one_step.py [--folder FOLDER] [--runs 1] [--steps 4] [--minutes 8]

Stable Diffusion v1-4's architecture with random weights (see full_size.py), 512 x 512, guidance on:
two rows a step. Each way is a process of its own that calls its pipeline, and measures the time
between the ends of steps, after a first one. The ways take turns, the most telling first, and each
prints its figures as it ends; what has not begun when --minutes are over is left out. "floor" is
what the step's operations, counted by torch, would take at the rate of a large matrix product in
the dtype that sdnb takes, measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from full_size import build

PLAIN = "the article's cell (diffusers, float32)"
SDNB = "sdnb.load"
WAYS = {
    SDNB: "sdnb",
    PLAIN: "float32",
    'sdnb.load, backend="openvino"': "sdnb backend",
    "OpenVINO, static shapes": "float32 openvino",
    "bfloat16 by hand, channels last": "bfloat16 channels_last",
    "float32, channels last": "float32 channels_last",
    "float32, merged query, key and value": "float32 fused",
    "torch.compile (inductor)": "float32 inductor",
    "torch.compile (openvino)": "float32 openvino_compile",
}


def pipeline(folder: str, how: set[str]) -> Any:
    """The pipeline as that way makes it."""
    import torch

    if "sdnb" in how:
        import sdnb

        return sdnb.load(folder, device="cpu", backend="openvino" if "backend" in how else "torch")
    import diffusers

    dtype = torch.bfloat16 if "bfloat16" in how else torch.float32
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder, torch_dtype=dtype)
    if "channels_last" in how:
        pipe.unet.to(memory_format=torch.channels_last)
    if "fused" in how:
        pipe.unet.fuse_qkv_projections()
    if "inductor" in how:
        pipe.unet.forward = torch.compile(pipe.unet.forward)
    if "openvino_compile" in how:
        import openvino.torch  # noqa: F401

        pipe.unet.forward = torch.compile(pipe.unet.forward, backend="openvino")
    if "openvino" in how:
        pipe.unet.forward = openvino_forward(pipe.unet)
    return pipe


def openvino_forward(unet: Any) -> Any:
    """The UNet's forward by OpenVINO: converted with static shapes, in its fastest precision."""
    import openvino
    import torch

    class Plain(torch.nn.Module):
        def forward(self, sample: Any, time: Any, text: Any) -> Any:
            return unet(sample, time, text, return_dict=False)[0]

    example = torch.zeros(2, 4, 64, 64), torch.tensor(1), torch.zeros(2, 77, 768)
    shapes = [list(x.shape) for x in example]
    module = Plain()
    module.unet = unet  # a submodule, so that its weights are found
    with torch.no_grad():
        model = openvino.convert_model(module, example_input=example, input=shapes)
    core = openvino.Core()
    fast = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    compiled = core.compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": fast, "PERFORMANCE_HINT": "LATENCY"}
    )

    def forward(sample: Any, time: Any, encoder_hidden_states: Any, **_: Any) -> tuple[Any]:
        inputs = (sample, torch.as_tensor(time), encoder_hidden_states)
        return (torch.from_numpy(compiled([x.numpy() for x in inputs])[0]),)

    return forward


def measure(folder: str, how: set[str], steps: int) -> dict[str, Any]:
    """Seconds until the first step has ended, and of each later one, in this process."""
    import torch

    pipe = pipeline(folder, how)
    made = time.perf_counter()
    ends = []

    def ended(pipe: Any, step: int, at: int, tensors: dict[str, Any]) -> dict[str, Any]:
        ends.append(time.perf_counter())
        return tensors

    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    pipe("a fox", num_inference_steps=steps, output_type="latent", callback_on_step_end=ended,
         generator=torch.Generator().manual_seed(0))  # fmt: skip
    result: dict[str, Any] = {
        "first step, s": ends[0] - made,
        "step, s": statistics.median(b - a for a, b in pairwise(ends)),
    }
    if how == {"sdnb"}:
        result |= {"floor, s": floor(pipe), "dtype": str(pipe.unet.dtype)}
    return result


def floor(pipe: Any) -> float:
    """Seconds that a step's operations take at the rate of a large matrix product."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    unet, dtype, n = pipe.unet, pipe.unet.dtype, 4096
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        unet(torch.zeros(2, 4, 64, 64, dtype=dtype), 1, torch.zeros(2, 77, 768, dtype=dtype))
    a = torch.randn(n, n).to(dtype)
    a @ a
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - started)
    return counter.get_total_flops() / (2 * n**3 / min(seconds))


def main() -> None:
    """Measures each way in turn, prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "sdnb-full-size"))
    p.add_argument("--runs", type=int, default=1)
    p.add_argument("--steps", type=int, default=4, help="of which the first is not counted")
    p.add_argument("--minutes", type=float, default=8, help="after which no other way is begun")
    p.add_argument("--json", help="writes the figures there")
    p.add_argument("--way", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.way:
        print("\n" + json.dumps(measure(args.folder, set(WAYS[args.way].split()), args.steps)))
        return
    until = time.monotonic() + 60 * args.minutes
    print("building a model of Stable Diffusion's size, where it is not there yet", flush=True)
    build(Path(args.folder))
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(args.runs):
        for way in WAYS:
            if runs[SDNB] and runs[PLAIN] and time.monotonic() > until:
                print(f"{way}: left out, the {args.minutes:g} minutes are over", flush=True)
                continue
            command = [sys.executable, __file__, "--folder", args.folder, "--way", way,
                       "--steps", str(args.steps)]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
            if done.returncode:
                print(f"{way}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
            runs[way].append(json.loads(done.stdout.splitlines()[-1]))
            figures = (f"{v:.2f}" if isinstance(v, float) else v for v in runs[way][-1].values())
            print(f"{way}: " + "; ".join(map(" ".join, zip(runs[way][-1], figures))), flush=True)
    table = {
        way: {k: statistics.median(r[k] for r in rs) for k in ("first step, s", "step, s")}
        for way, rs in runs.items()
        if rs
    }
    least = statistics.median(r["floor, s"] for r in runs[SDNB])
    for row in table.values():
        row["times as fast as the article's"] = table[PLAIN]["step, s"] / row["step, s"]
        row["times the floor"] = row["step, s"] / least
    print(f"{platform.platform(terse=True)}, median of {args.runs} runs of {args.steps - 1} steps; "
          f"floor {least:.2f} s in {runs[SDNB][0]['dtype']}")  # fmt: skip
    columns = list(table[SDNB])
    print(f"| {'way':40} | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for way, row in table.items():
        print(f"| {way:40} | " + " | ".join(f"{row[c]:.2f}" for c in columns) + " |")
    if args.json:
        Path(args.json).write_text(json.dumps({"floor, s": least, "ways": table}, indent=1))


if __name__ == "__main__":
    main()
