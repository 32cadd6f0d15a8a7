"""What ought to cost nothing: the import, a second load, the store, settings and labels around.

    OMP_NUM_THREADS=1 python benchmarks/free.py [--runs 20] [--profile]

Medians and quartiles. The import is that of a fresh process, less a bare Python's start. The
overhead is that of `generate(store=False)` over the pipeline's own call, by pairs of runs (ten at
least, either one first in turn), whose pictures must be the same: 50 steps of the embedded model.
The files hold 512 x 512 pixels of a photograph (scikit-image's astronaut) and of a gradient with
noise. Progress bars are off. `--profile` shows where in sdnb/ the overhead is, ten functions by
cumulative time; of those that the model is called from, by their own. cProfile makes all slower.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage import data

import sdnb

PROMPT = "an owl on a blue background"
MADE: dict[str, Any] = {"steps": 50, "guidance": 7.5, "seed": 510}
SIDE = 512  # pixels
Row = dict[str, Any]


def in_turns(runs: int, **ways: Callable[[], object]) -> dict[str, list[float]]:
    """Milliseconds of each run of each way; every second round goes backwards."""
    took: dict[str, list[float]] = {way: [] for way in ways}
    for i in range(runs):
        for way in list(ways)[:: -1 if i % 2 else 1]:
            started = time.perf_counter()
            ways[way]()
            took[way].append((time.perf_counter() - started) * 1000)
    return took


def row(values: list[float], unit: str, aim: float, beside: str = "") -> Row:
    """The median of the values, which is to be below the aim."""
    low, median, high = map(float, np.percentile(values, [25, 50, 75]))
    figures = {"median": median, "quartiles": [low, high], "unit": unit}
    return figures | {"aim": aim, "met": median < aim, "compared with": beside}


def imports(runs: int) -> dict[str, Row]:
    """`import sdnb` in a process of its own."""
    codes = {"bare": "pass", "ours": "import sdnb"}
    ways = {k: partial(subprocess.run, [sys.executable, "-c", c]) for k, c in codes.items()}
    in_turns(1, **ways)  # the first reads the files from the disk
    took = in_turns(runs, **ways)
    more = [ours - bare for ours, bare in zip(took["ours"], took["bare"])]
    return {"import sdnb": row(more, "ms", 150, f"bare {statistics.median(took['bare']):.0f} ms")}


def pictures(pipe: Any, runs: int) -> dict[str, Row]:
    """`generate` where the store has the picture, and its overhead where it makes it."""

    plain = {"num_inference_steps": MADE["steps"], "guidance_scale": MADE["guidance"]}

    def bare() -> Image.Image:
        generator = torch.Generator("cpu").manual_seed(MADE["seed"])
        return pipe(PROMPT, **plain, generator=generator).images[0]

    def ours(store: bool | sdnb.Store = False) -> sdnb.Sample:
        return sdnb.generate(PROMPT, **MADE, pipe=pipe, store=store)

    if np.any(np.asarray(bare()) != np.asarray(ours().image)):
        raise SystemExit("The two ways give different pictures: this would compare nothing.")
    took = in_turns(max(10, runs), bare=bare, ours=ours)
    more = [100 * (b / a - 1) for a, b in zip(took["bare"], took["ours"])]
    its, whole = (statistics.median(took[way]) for way in ("bare", "ours"))
    calls: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        store = sdnb.Store(folder)
        ours(store)
        hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
        again = in_turns(runs, ours=lambda: ours(store))["ours"]
        hook.remove()
    if calls:
        raise SystemExit("The store did not have the picture: this would measure something else.")
    table = {"generate, in the store": row(again, "ms", 20, f"made anew {whole:.0f} ms")}
    return table | {"generate, over the pipeline": row(more, "%", 3, f"pipe(…) {its:.0f} ms")}


def files(made: sdnb.Sample, runs: int) -> dict[str, Row]:
    """A large picture with the settings of a made one as a file, and with labels as a sheet."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    smooth = np.stack([x, y, (x + y) / 2], -1) * 220 + 16
    noisy = smooth + np.random.default_rng(510).normal(0, 4, smooth.shape)
    photos = {"photograph": data.astronaut(), "gradient": noisy.round().clip(0, 255).astype("u1")}
    table: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = ours, theirs = Path(folder, "ours.png"), Path(folder, "theirs.png")
        for name, pixels in photos.items():
            image = Image.fromarray(pixels)
            sample = replace(made, image=image, settings=made.settings.but(width=SIDE, height=SIDE))
            sheet = sdnb.Sheet([sample], 1, 1, ["seed 510"], ["50 steps"], PROMPT)
            ways = {"save": partial(sample.save, ours), "pillow": partial(image.save, theirs)}
            ways["grid"] = sheet.grid
            in_turns(1, **ways)  # the first reads the font
            took = in_turns(runs, **ways)
            kilobytes = " and ".join(f"{path.stat().st_size / 1000:.0f} kB" for path in paths)
            beside = f"Pillow alone {statistics.median(took['pillow']):.0f} ms; {kilobytes}"
            both = [a + b for a, b in zip(took["save"], took["grid"])]
            table[f"{name}, PNG with settings"] = row(took["save"], "ms", 50, beside)
            table[f"{name}, sheet of one"] = row(took["grid"], "ms", 50)
            table[f"{name}, both"] = row(both, "ms", 50)
    return table


def profile(pipe: Any, runs: int) -> None:
    """Prints where `generate` spends time of its own."""
    profiler, folder = cProfile.Profile(), str(Path(sdnb.__file__).parent)
    for _ in range(runs):
        profiler.runcall(sdnb.generate, PROMPT, **MADE, pipe=pipe, store=False)
    stats = pstats.Stats(profiler).stats  # function -> (…, calls, own, cumulative, its callers)
    news = {f for f in stats if f[2] == "_call_impl" or "/pipeline_stable" in f[0]}
    above = set(news)  # and all that these are called from
    while news := {caller for f in news for caller in stats[f][4]} - above:
        above |= news
    mine = [f for f in stats if f[0].startswith(folder)]
    whole = {f: stats[f][2 if f in above else 3] / runs * 1000 for f in mine}
    print("\n| calls | ms | one picture, in sdnb/ |\n|---|---|---|")
    for f in sorted(whole, key=whole.__getitem__, reverse=True)[:10]:
        where = f"{Path(f[0]).relative_to(folder)}:{f[1]} {f[2]}"
        print(f"| {stats[f][1] / runs:.0f} | {whole[f]:.2f} | {where} |")


def main() -> None:
    """Measures and prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=20)
    p.add_argument("--json", help="writes the figures there")
    p.add_argument("--profile", action="store_true")
    args = p.parse_args()
    os.environ["TQDM_DISABLE"] = "1"  # sdnb's own bars
    table = imports(args.runs)
    first, *again = in_turns(1 + args.runs, load=lambda: sdnb.load("emoji"))["load"]
    table["load again"] = row(again, "ms", 50, f"the first {first:.0f} ms")
    pipe = sdnb.load("emoji")
    pipe.set_progress_bar_config(disable=True)
    table |= pictures(pipe, args.runs)
    table |= files(sdnb.generate(PROMPT, **MADE, pipe=pipe, store=False), args.runs)
    print(f"{platform.platform(terse=True)}, {torch.get_num_threads()} threads, "
          f"median of {args.runs} runs")  # fmt: skip
    print(f"| {'what':29} | measured (quartiles) | aim | met | compared with |")
    print("|---" * 5 + "|")
    for what, r in table.items():
        low, high = r["quartiles"]
        measured = f"{r['median']:.3g} {r['unit']} ({low:.3g} to {high:.3g})"
        met = "yes" if r["met"] else "no"
        print(f"| {what:29} | {measured} | {r['aim']} {r['unit']} | {met} | {r['compared with']} |")
    if args.profile:
        profile(pipe, args.runs)
    if args.json:
        Path(args.json).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
