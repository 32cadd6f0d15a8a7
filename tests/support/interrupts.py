"""A sweep stopped at random moments, as by Ctrl-C. A program: FOLDER, how often, seed of chance.

A timer calls Python's own handler of Ctrl-C. Half of the moments are random in time, so most lie
within torch and diffusers; at the others the timer is set again until it strikes within sdnb's or
Pillow's code, which takes little of the time. After each it looks at what a person would find who
runs the next cell; the traceback is kept, as notebooks keep it. It prints what it found, as JSON.
"""

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import sdnb
from sdnb.generation import sampling
from sdnb.sweeps import greenlets

SIZE = {"width": 64, "height": 64}
OURS = (str(Path(sdnb.__file__).parent), str(Path(Image.__file__).parent))

folder, wanted, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
hits, picky = 0, False
started = weakref.WeakSet()


class Greenlet(greenlets.greenlet):
    """One that is counted."""

    def __init__(self, *given):
        super().__init__(*given)
        started.add(self)


def strike(number, frame):
    if picky and not frame.f_code.co_filename.startswith(OURS):
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 5e-4))
    else:
        signal.default_int_handler(number, frame)


def sweep(store):
    return sdnb.compare("a fox", steps=[1, 2], seed=1, pipe=pipe, store=store, **SIZE)


def hooks():
    parts = [part for part in pipe.components.values() if hasattr(part, "modules")]
    modules = [module for part in parts for module in part.modules()]
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules], dict(vars(pipe))


def off(image, other):
    return int(np.abs(np.asarray(image, int) - np.asarray(other, int)).max())


def found(store):
    """What is not as it should be."""
    if not torch.is_grad_enabled():
        torch.set_grad_enabled(True)
        yield "gradients stayed off"
    if any(started):  # true where it was started and has not ended
        yield "a greenlet is left"
        started.clear()
    if set(threading.enumerate()) - threads:
        yield "a thread is left"
    if hooks() != as_it_was:
        yield "the pipeline was changed"
    for path in store.folder.glob(".*"):
        path.unlink()
        yield f"a half-written file is left: {path.name}"
    for name in set(os.listdir(tempfile.gettempdir())) - temporary:
        temporary.add(name)
        yield f"a temporary file is left: {name}"
    if sampling.run(one, pipe).image.tobytes() != picture:
        yield "the next picture is another"
    for path in store.folder.glob("*.png"):
        kept = sdnb.read(path)
        if store.get(path.stem) is None or off(kept.image, whole[kept.settings.steps]) > 2:
            yield "a kept picture is damaged"


greenlets.greenlet = Greenlet
pipe = sdnb.load("emoji", dtype="float32", device="cpu")
one = sampling.resolve(sdnb.Settings("a fox", steps=1, seed=7, **SIZE), pipe)
picture = sampling.run(one, pipe).image.tobytes()
for _ in range(2):  # the first loads what is loaded when it is used
    begun = time.perf_counter()
    whole = {s.settings.steps: s.image for s in sweep(sdnb.Store(folder / f"whole-{begun}"))}
    took = time.perf_counter() - begun
threads, as_it_was = set(threading.enumerate()), hooks()
temporary = set(os.listdir(tempfile.gettempdir()))
signal.signal(signal.SIGALRM, strike)
lost, kept, sweeps = [], 0, 0
while hits < wanted:
    picky, sweeps, stopped = hits % 2 == 1, sweeps + 1, False
    store = sdnb.Store(folder / str(sweeps))
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-4, took))
        sweep(store)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt as error:
        sys.last_exc, stopped = error, True
    signal.setitimer(signal.ITIMER_REAL, 0)
    if stopped:
        hits += 1
        kept += len(store)
        lost += list(found(store))
again = sweep(store)  # goes on where it was
if any(off(sample.image, whole[sample.settings.steps]) > 2 for sample in again):
    lost.append("the sweep that goes on is another")
print(json.dumps({"tried": hits, "kept": kept, "lost": lost}))
