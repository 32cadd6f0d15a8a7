"""Big sweeps on Ray: pictures a second against workers, and against one process without Ray.

    python benchmarks/big_sweeps.py [--pictures 500] [--steps 2] [--workers 1 2] [--cpus 1]

Each way makes the same settings on the embedded model, into an empty store. "start" is the time
until the first picture: Ray, then the workers' imports and the model. "a second" counts the
pictures after it. "making" is the share of the workers' time after the start that went into making
pictures: what is missing from 1 went into files, into Ray, or into waiting for a core. The
pictures of each way are compared with those of one process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import sdnb
from sdnb.records.store import Store
from sdnb.sweeps.ray_engine import Ray


def measure(plan, engine) -> tuple[dict[str, float], list[np.ndarray]]:
    """Runs the plan once, into an empty store: the figures and the pictures."""
    workers = engine.workers if engine else 1
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        sheet = plan.run(store=Store(folder), engine=engine)
        ended = time.time()
        # the store marks when each was put; the driver marks none after that
        times = sorted(file.stat().st_mtime for file in Path(folder).glob("*.png"))
    failed = sum("error" in sample.facts for sample in sheet)
    first, count = times[0] - started, len(sheet)
    making = sum(sample.facts.get("seconds", 0) for sample in sheet)
    return {
        "workers": workers,
        "pictures": count,
        "failed": failed,
        "seconds": ended - started,
        "start": first,
        "a second": (count - 1) / (times[-1] - times[0]),
        "a second, start included": count / (ended - started),
        "making": making / (workers * (times[-1] - times[0])),
    }, [np.asarray(sample.image, int) for sample in sheet]


def main() -> None:
    """Measures and prints the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--pictures", type=int, default=500)
    p.add_argument("--steps", type=int, default=2)
    p.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    p.add_argument("--cpus", type=int, default=1, help="cores and threads of each worker")
    p.add_argument("--json", help="writes the figures there")
    args = p.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(args.cpus)
    pipe = sdnb.load("emoji", device="cpu")
    sdnb.generate("a fox", steps=1, pipe=pipe, store=False)  # warms up
    plan = sdnb.plan("a fox", seed=range(args.pictures), steps=args.steps, pipe=pipe)
    ways = {"one process": None}
    ways |= {f"Ray, {n} worker{'s' * (n > 1)}": Ray(n, args.cpus) for n in args.workers}
    table, pictures = {}, {}
    for way, engine in ways.items():
        table[way], pictures[way] = measure(plan, engine)
        off = [np.abs(a - b).max() for a, b in zip(pictures[way], pictures["one process"])]
        table[way]["largest difference"] = int(max(off))
    print(f"{platform.platform(terse=True)}, {os.cpu_count()} cores, {args.cpus} a worker, "
          f"{args.steps} steps")  # fmt: skip
    columns = list(table["one process"])
    print(f"| {'':14} | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for way, row in table.items():
        print(f"| {way:14} | " + " | ".join(f"{row[c]:.3g}" for c in columns) + " |")
    if args.json:
        Path(args.json).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
