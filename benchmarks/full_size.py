"""Loading and running a model of Stable Diffusion v1-4's size, against plain diffusers.

    python benchmarks/full_size.py [--folder FOLDER] [--runs 3]

The exact architecture of CompVis/stable-diffusion-v1-4 (UNet, VAE, text encoder: 1.07 G parameters)
with random weights, saved in half precision (2.1 GB in FOLDER, made once and kept there). Each way
then loads it in a process of its own and makes one 512 x 512 picture in two steps. The ways take
turns; medians are shown. Peak memory is the process's largest resident size.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WAYS = {
    "sdnb.load": "import sdnb; pipe = sdnb.load({folder!r}, device='cpu')",
    "sdnb.load, OpenVINO, new": (
        "import sdnb; from sdnb.models import openvino; openvino.clear();"
        "pipe = sdnb.load({folder!r}, backend='openvino')"
    ),
    "sdnb.load, OpenVINO": "import sdnb; pipe = sdnb.load({folder!r}, backend='openvino')",
    "from_pretrained, bfloat16": (
        "import torch; from diffusers import StableDiffusionPipeline as P;"
        "pipe = P.from_pretrained({folder!r}, dtype=torch.bfloat16)"
    ),
    "from_pretrained, float32": (
        "import torch; from diffusers import StableDiffusionPipeline as P;"
        "pipe = P.from_pretrained({folder!r}, dtype=torch.float32)"
    ),
}
PICTURE = "pipe('a fox', num_inference_steps=2)"


def build(folder: Path) -> None:
    """Saves the model, unless it is there."""
    if (folder / "model_index.json").is_file():
        return
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from sdnb import emoji

    torch.manual_seed(0)
    diffusers.StableDiffusionPipeline(
        unet=diffusers.UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8
        ),
        vae=diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                num_attention_heads=12, vocab_size=49408, projection_dim=768,
            )
        ),
        tokenizer=CLIPTokenizer.from_pretrained(emoji.FOLDER / "tokenizer"),
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).to(torch.float16).save_pretrained(folder)  # fmt: skip


def measure(code: str) -> dict[str, float]:
    """Seconds and peak megabytes of loading, then of one picture, in this process."""

    def peak() -> float:
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1000

    started, names = time.perf_counter(), {}
    exec(code, names)
    loaded, at_load = time.perf_counter() - started, peak()
    started = time.perf_counter()
    exec(PICTURE, names)
    return {
        "load, s": loaded,
        "load, peak MB": at_load,
        "picture, s": time.perf_counter() - started,
        "peak MB": peak(),
    }


def main() -> None:
    """Builds, measures each way in turn, prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "sdnb-full-size"))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--json", help="writes the figures there")
    p.add_argument("--way", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.way:
        print("\n" + json.dumps(measure(WAYS[args.way].format(folder=args.folder))))
        return
    build(Path(args.folder))
    weights = sum(f.stat().st_size for f in Path(args.folder).rglob("*.safetensors")) / 1e6
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(args.runs):
        for way in WAYS:
            command = [sys.executable, __file__, "--folder", args.folder, "--way", way]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            runs[way].append(json.loads(out.splitlines()[-1]))
    print(f"{platform.platform(terse=True)}, weights {weights:,.0f} MB, median of {args.runs} runs")
    columns = list(runs["sdnb.load"][0])
    print(f"| {'way':26} | " + " | ".join(f"{c:>13}" for c in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    table = {w: {c: statistics.median(r[c] for r in rs) for c in columns} for w, rs in runs.items()}
    for way, row in table.items():
        print(f"| {way:26} | " + " | ".join(f"{row[c]:13,.1f}" for c in columns) + " |")
    if args.json:
        Path(args.json).write_text(json.dumps({"weights, MB": weights, "ways": table}, indent=1))


if __name__ == "__main__":
    main()
