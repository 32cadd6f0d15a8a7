"""Where the time goes: a run's parts, and the operations of a denoiser call.

    python benchmarks/shares.py [--runs 3] [--folder FOLDER]

The embedded model's picture, sweeps and seeds, and, where `--folder` names a model of full size
(full_size.py and one_step.py leave one in the temporary folder), two steps of it. Parts are timed
at the modules' own `forward`; operations by torch's profiler, in a run of their own, as shares of
the processor's time that the operations themselves took.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import sdnb

PROMPT = "an astronaut riding a horse"
SWEEPS: dict[str, dict[str, Any]] = {
    "one picture, 50 steps": {"steps": [50], "seed": 510},
    "12/24/38/50 steps": {"steps": [12, 24, 38, 50], "seed": 510},
    "16 seeds, 24 steps": {"steps": [24], "seed": range(16)},
}
FULL = {"full size, 2 steps": {"steps": [2], "seed": 510, "scheduler": "DDIM"}}
PARTS = ("text encoder", "denoiser", "decoder")
KINDS = {  # the first that an operation's name contains
    "conv": "convolutions",
    "attention": "attention", "flash": "attention",
    "norm": "normalisation",
    "silu": "activations", "gelu": "activations",
    "mm": "matrix products", "linear": "matrix products", "matmul": "matrix products",
    "copy": "copies", "cat": "copies", "contiguous": "copies", "clone": "copies",
}  # fmt: skip


def parts(pipe: Any, run: Callable[[], object], runs: int) -> dict[str, float]:
    """Seconds of a run, and the share of each part; medians."""
    modules = {
        "text encoder": (pipe.text_encoder, "forward"),
        "denoiser": (pipe.unet, "forward"),
        "decoder": (pipe.vae, "decode"),
    }
    spent: Counter[str] = Counter()

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def measured(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - started

        return measured

    for name, (module, method) in modules.items():
        setattr(module, method, timed(name, getattr(module, method)))
    rows = []
    try:
        for _ in range(runs):
            spent.clear()
            started = time.perf_counter()
            run()
            total = time.perf_counter() - started
            rows.append({"seconds": total} | {name: spent[name] / total for name in PARTS})
    finally:
        for module, method in modules.values():
            delattr(module, method)
    row = {key: statistics.median(r[key] for r in rows) for key in rows[0]}
    return row | {"all else": 1 - sum(row[name] for name in PARTS)}


def operations(run: Callable[[], object]) -> dict[str, float]:
    """The shares of the kinds of operations, of the time that operations took themselves."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        run()
    took: Counter[str] = Counter()
    for event in seen.key_averages():
        kind = next((kind for part, kind in KINDS.items() if part in event.key), "all else")
        took[kind] += event.self_cpu_time_total
    return {
        kind: took[kind] / took.total() for kind in (*dict.fromkeys(KINDS.values()), "all else")
    }


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Prints a table; all but seconds are shares."""
    columns = list(next(iter(table.values())))
    print(f"\n| {title} | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in table.items():
        cells = [f"{row[c]:.3g}" if c == "seconds" else f"{row[c]:.1%}" for c in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Measures and prints the tables."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--folder", help="of a model of full size")
    p.add_argument("--json", help="writes the figures there")
    args = p.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    warnings.simplefilter("ignore")
    print(f"{platform.platform(terse=True)}, {torch.get_num_threads()} threads, "
          f"median of {args.runs} runs")  # fmt: skip
    todo = [(sdnb.load("emoji", device="cpu"), SWEEPS)]
    if args.folder:
        todo.append((sdnb.load(args.folder, device="cpu"), FULL))
    shares, kinds = {}, {}
    for pipe, sweeps in todo:
        for name, axes in sweeps.items():
            plan = sdnb.plan(PROMPT, **axes, pipe=pipe)
            run = functools.partial(plan.run, store=False)
            run()
            shares[name] = parts(pipe, run, args.runs)
            kinds[name] = operations(run)
    show("parts", shares)
    show("operations", kinds)
    if args.json:
        Path(args.json).write_text(json.dumps({"parts": shares, "operations": kinds}, indent=1))


if __name__ == "__main__":
    main()
