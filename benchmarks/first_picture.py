"""From the start of a process to the embedded model's first picture.

    python benchmarks/first_picture.py [--runs 5]

Beside it the floor, the bare imports of torch and diffusers; what it takes to import diffusers'
pipeline class; and the same picture by plain diffusers. The picture has 50 steps, sdnb's default.
The ways take turns, each a process of its own; seconds of the whole process, medians. `--profile`
shows what is imported beyond the floor, as Python's own `-X importtime` counts it.
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
import time
from pathlib import Path

WAYS = {
    "python alone": "",
    "the floor: import torch, diffusers": "import torch, diffusers",
    "from diffusers import StableDiffusionPipeline": (
        "import torch; from diffusers import StableDiffusionPipeline"
    ),
    "diffusers' first picture": (
        "import torch; from diffusers import StableDiffusionPipeline as P\n"
        "from sdnb import emoji\n"
        "p = P.from_pretrained(emoji.FOLDER); p.set_progress_bar_config(disable=True)\n"
        "p('a fox', generator=torch.Generator().manual_seed(1)).images[0].tobytes()"
    ),
    "sdnb's first picture": (
        "import sdnb\n"
        "sdnb.generate('a fox', seed=1, pipe=sdnb.load('emoji'), store=False).image.tobytes()"
    ),
}
FLOOR, OURS = list(WAYS)[1], list(WAYS)[-1]


def seconds(code: str) -> float:
    """Of a whole Python process that runs the code."""
    started = time.perf_counter()
    quiet = os.environ | {"TQDM_DISABLE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=quiet)
    return time.perf_counter() - started


def imports(code: str) -> dict[str, float]:
    """Milliseconds of each module's own body, without what it imports."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    found = (re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line) for line in lines)
    return {m[2]: int(m[1]) / 1000 for m in found if m}


def profile() -> None:
    """Prints the packages whose modules our first picture imports and the floor does not."""
    beyond = imports(WAYS[OURS])
    for name in imports(WAYS[FLOOR]):
        beyond.pop(name, None)
    packages: dict[str, float] = {}
    for name, ms in beyond.items():
        top = ".".join(name.split(".")[:2])
        packages[top] = packages.get(top, 0) + ms
    for name, ms in sorted(packages.items(), key=lambda each: -each[1])[:15]:
        print(f"{ms:7.0f} ms  {name}")
    print(f"{sum(packages.values()):7.0f} ms  in all")


def main() -> None:
    """Measures and prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--json", help="writes the figures there")
    p.add_argument("--profile", action="store_true")
    args = p.parse_args()
    if args.profile:
        profile()
        return
    seconds(WAYS[OURS])  # files are read from the disk once
    took: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(args.runs):
        for way, code in WAYS.items():
            took[way].append(seconds(code))
    table = {way: statistics.median(times) for way, times in took.items()}
    print(f"{platform.platform(terse=True)}, {os.cpu_count()} cores, median of {args.runs} runs")
    print("| | seconds | times the floor |\n|---|---|---|")
    for way, middle in table.items():
        print(f"| {way} | {middle:.2f} | {middle / table[FLOOR]:.2f} |")
    if args.json:
        Path(args.json).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
