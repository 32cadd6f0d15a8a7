"""A sweep on Ray with two faults: a worker killed in the middle, and the driver interrupted.

    python benchmarks/killed_sweep.py [--pictures 500] [--steps 2]

Two workers of one core make the pictures into an empty store. When a quarter of them is there one
worker is killed by SIGKILL, when half of them is there comes Ctrl-C. Then the same is run again,
and the pictures are compared with those of a run without Ray. "remade" counts pictures that were
in the store when Ctrl-C came and were written again. "worst" is the largest difference, of 255.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch

import sdnb
from sdnb.records.store import Store
from sdnb.sweeps.ray_engine import Ray


def workers() -> list[int]:
    """The processes of Ray Data's workers, which are started below this one."""
    below = psutil.Process().children(recursive=True)
    return [p.pid for p in below if p.is_running() and "MapWorker" in " ".join(p.cmdline())]


def at(count: int, folder: Path, act: Callable[[], object]) -> None:
    """Does something as soon as the folder has so many pictures, in a thread of its own."""

    def watch() -> None:
        while len(list(folder.glob("[0-9a-f]*.png"))) < count:
            time.sleep(0.02)
        act()

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Runs the sweep twice, and prints what was killed, kept and made again."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--pictures", type=int, default=500)
    p.add_argument("--steps", type=int, default=2)
    args = p.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    torch.set_num_threads(1)
    pipe = sdnb.load("emoji", device="cpu")
    plan = sdnb.plan("a fox", seed=range(args.pictures), steps=args.steps, pipe=pipe)
    killed: list[int] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def kill() -> None:
        killed.append(workers()[0])
        os.kill(killed[0], signal.SIGKILL)

    with tempfile.TemporaryDirectory() as name:
        folder, started = Path(name), time.monotonic()
        at(args.pictures // 4, folder, kill)
        at(args.pictures // 2, folder, lambda: os.kill(os.getpid(), signal.SIGINT))
        try:
            plan.run(store=Store(folder), engine=Ray(workers=2, cpus=1))
            raise SystemExit("The sweep ended before it was interrupted: take more pictures.")
        except KeyboardInterrupt:
            stopped = time.monotonic() - started
        kept = {path.name: path.read_bytes() for path in folder.glob("[0-9a-f]*.png")}
        left = workers()
        started = time.monotonic()
        sheet = plan.run(store=Store(folder), engine=Ray(workers=2, cpus=1))
        resumed = time.monotonic() - started
        remade = sum((folder / name).read_bytes() != data for name, data in kept.items())
        whole = len(Store(folder))
    started = time.monotonic()
    here = plan.run(store=False)
    alone = time.monotonic() - started
    pairs = [(np.asarray(a.image, int), np.asarray(b.image, int)) for a, b in zip(sheet, here)]
    worst = max(np.abs(a - b).max() for a, b in pairs)
    failed = sum("error" in sample.facts for sample in sheet)
    print(f"pictures {len(sheet)}, {args.steps} steps; workers killed {len(killed)}, "
          f"left after Ctrl-C {len(left)}; kept at Ctrl-C {len(kept)}, remade {remade}, "
          f"made after it {whole - len(kept)}; "
          f"failed {failed}, worst {worst}; seconds to Ctrl-C {stopped:.0f}, "
          f"after it {resumed:.0f}, without Ray {alone:.0f}")  # fmt: skip


if __name__ == "__main__":
    main()
