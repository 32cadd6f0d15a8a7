"""Memory: loading a full-size model, and a sweep of 200 pictures.

    python benchmarks/memory.py [--folder FOLDER] [--runs 3] [--pictures 200]

Loading: Stable Diffusion v1-4's architecture, random weights in float16 files (see full_size.py),
loaded in bfloat16, the half precision of CPUs. Each way is a process of its own; its largest
resident size is shown, what the libraries themselves take when they are imported, and the rest as
a multiple of the weights.

The sweep: pictures of the embedded model, two steps each, into an empty store: the resident size
after every so many pictures, and what the pictures would take if they were all kept as pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
from full_size import build

IMPORTS = (
    "import torch, diffusers, transformers; from diffusers import StableDiffusionPipeline as P"
)
LOADS = {
    "sdnb.load": "import sdnb; pipe = sdnb.load({folder!r}, dtype='bfloat16', device='cpu')",
    "from_pretrained": "pipe = P.from_pretrained({folder!r}, torch_dtype=torch.bfloat16)",
    "from_pretrained, then channels last": (
        "pipe = P.from_pretrained({folder!r}, torch_dtype=torch.bfloat16);"
        "pipe.unet.to(memory_format=torch.channels_last)"
    ),
}


def peak() -> float:
    """The process's largest resident size so far, in MB; `ru_maxrss` counts a parent's too."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1000


def load(way: str, folder: str) -> dict[str, float]:
    """Megabytes of one way to load, in this process."""
    names: dict[str, object] = {}
    exec(IMPORTS, names)
    libraries = peak()
    exec(LOADS[way].format(folder=folder), names)
    after = psutil.Process().memory_info().rss / 1e6
    return {"libraries, MB": libraries, "peak, MB": peak(), "after, MB": after}


def sweep(pictures: int) -> list[tuple[int, float]]:
    """(pictures made, megabytes) on the way through a sweep."""
    import sdnb
    from sdnb.sweeps.execution import Making

    pipe = sdnb.load("emoji", device="cpu")
    seen = []
    with tempfile.TemporaryDirectory() as folder:
        plan = sdnb.plan("a fox", steps=2, seed=range(pictures), pipe=pipe)
        making = Making(plan, sdnb.Store(folder))
        for n, _ in enumerate(making.go_on(), 1):
            if n % max(1, pictures // 10) == 0:
                seen.append((n, psutil.Process().memory_info().rss / 1e6))
        making.finished()
    return seen


def fresh(*options: str) -> object:
    """What this script prints in a process of its own."""
    quiet = os.environ | {"TQDM_DISABLE": "1"}
    command = [sys.executable, __file__, *options]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=quiet).stdout
    return json.loads(out.splitlines()[-1])


def main() -> None:
    """Measures and prints the tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--folder", default=str(Path(tempfile.gettempdir()) / "sdnb-full-size"))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--pictures", type=int, default=200)
    p.add_argument("--json", help="writes the figures there")
    p.add_argument("--way", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.way:
        made = sweep(args.pictures) if args.way == "sweep" else load(args.way, args.folder)
        print("\n" + json.dumps(made))
        return
    build(Path(args.folder))
    weights = sum(f.stat().st_size for f in Path(args.folder).rglob("*.safetensors")) / 1e6
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in LOADS}
    for _ in range(args.runs):
        for way in LOADS:
            runs[way].append(fresh("--way", way, "--folder", args.folder))
    table = {w: {c: statistics.median(r[c] for r in rs) for c in rs[0]} for w, rs in runs.items()}
    for row in table.values():
        row["peak without the libraries / weights"] = (
            row["peak, MB"] - row["libraries, MB"]
        ) / weights
    print(f"{platform.platform(terse=True)}, weights {weights:,.0f} MB, median of {args.runs} runs")
    columns = list(table["sdnb.load"])
    print("| loading | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for way, row in table.items():
        cells = (f"{v:.2f}" if "/" in c else f"{v:,.0f}" for c, v in row.items())
        print(f"| {way} | " + " | ".join(cells) + " |")
    seen = fresh("--way", "sweep", "--pictures", str(args.pictures))
    print(f"\nA sweep of {args.pictures}:\n| pictures | resident, MB |\n|---|---|")
    for n, mb in seen:
        print(f"| {n} | {mb:,.0f} |")
    if args.json:
        Path(args.json).write_text(json.dumps({"loading": table, "sweep": seen}, indent=1))


if __name__ == "__main__":
    main()
