"""Milliseconds that the question takes whether a pipeline is as `load` left it.

    python benchmarks/as_loaded.py [model ...]

Asked for every picture; the embedded model's shall take less than 5 ms on a machine of its own.
"""

from __future__ import annotations

import os
import sys
import time

import sdnb
from sdnb.models import provenance

TIMES = 200


def measured(model: str) -> str:
    """Best and median of 200, on the wall's clock and the thread's own."""
    pipe = sdnb.load(model, device="cpu")
    wall, thread = [], []
    for _ in range(TIMES):
        start, own = time.perf_counter(), time.thread_time()
        assert provenance.differences(pipe) == {}
        thread.append(time.thread_time() - own)
        wall.append(time.perf_counter() - start)
    figures = (f"{min(t) * 1e3:.2f} / {sorted(t)[TIMES // 2] * 1e3:.2f}" for t in (wall, thread))
    return f"{model}: " + " ms, ".join(figures) + " ms of CPU (best / median)"


if __name__ == "__main__":
    print(f"load before: {os.getloadavg()[0]:.1f}")
    for name in sys.argv[1:] or ["emoji"]:
        print(measured(name))
    print(f"load after: {os.getloadavg()[0]:.1f}")
