"""Fewer bits: what the embedded model takes in memory, and how far its pictures are.

    python benchmarks/quantize.py [--steps 12]

Each way is a process of its own. The bytes are those of the storages of all weights; "resident"
is how much the process has grown by loading and one picture after the libraries were there; the
differences are of four pictures from those in float32. "int8" needs torchao and is left out where
that is not installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

WAYS: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "bfloat16, fp8": {"dtype": "bfloat16", "quantize": "fp8"},
    "bfloat16, int8": {"dtype": "bfloat16", "quantize": "int8"},
}
PROMPTS = ["a fox", "two cats", "a rocket on a red background", "an astronaut riding a horse"]


def stored(module: Any) -> int:
    """The bytes of a module's storages; torchao's weights hold several."""
    found = 0
    for weight in module.parameters():
        inner = getattr(weight, "__tensor_flatten__", lambda: ([], None))()[0]
        tensors = [getattr(weight, name) for name in inner] or [weight]
        found += sum(tensor.untyped_storage().nbytes() for tensor in tensors)
    return found


def one(way: str, steps: int, out: Path) -> None:
    import diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion  # noqa: F401
    import psutil
    import transformers.models.clip.modeling_clip  # noqa: F401

    import sdnb

    before = psutil.Process().memory_info().rss
    pipe = sdnb.load("emoji", device="cpu", **WAYS[way])
    given = {"seed": 1, "steps": steps, "scheduler": "DPM++ 2M", "guidance": 5, "store": False}
    images = [sdnb.generate(prompt, pipe=pipe, **given).image for prompt in PROMPTS]
    np.save(out, np.stack([np.asarray(image, np.int16) for image in images]))
    parts = {name: stored(getattr(pipe, name)) for name in ("unet", "text_encoder", "vae")}
    print(json.dumps({**parts, "resident": psutil.Process().memory_info().rss - before}))


def main(steps: int) -> None:
    print(
        "| way | denoiser, bytes | all weights, bytes | resident, MB | largest | mean difference |"
    )
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        full = None
        for n, way in enumerate(WAYS):
            out = Path(folder, f"{n}.npy")
            done = subprocess.run(
                [sys.executable, __file__, "--one", way, "--out", out, "--steps", str(steps)],
                capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                print(f"| {way} | {done.stderr.strip().splitlines()[-1]} | | | | |")
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            images = np.load(out)
            full = images if full is None else full
            apart = np.abs(images - full)
            resident = found.pop("resident") / 1e6
            print(f"| {way} | {found['unet']:,} | {sum(found.values()):,} | {resident:.0f} "
                  f"| {apart.max()} | {apart.mean():.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--one", choices=[*WAYS], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, given.steps, given.out)
    else:
        main(given.steps)
