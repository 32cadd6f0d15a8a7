"""What every training stage shares: the device, checkpoints, resuming, the log, the deadline."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torch.utils.data import DataLoader

from sdnb.models import device
from training.optimiser import Average, Optimiser

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# On a GPU, pictures are drawn ahead by the cores that have nothing else to do.
WORKERS = max(1, min(16, (os.cpu_count() or 1) - 1)) if DEVICE == "cuda" else 0
WORK = Path(os.environ.get("SDNB_TRAINING", Path.home() / ".cache" / "sdnb-training"))


class OutOfTimeError(Exception):
    """The minutes that `all` was given are over; every stage has saved where it is."""


class Clock:
    """The time that a command may take; without `minutes`, as long as it likes."""

    started = time.monotonic()
    minutes = math.inf

    @classmethod
    def seconds_left(cls) -> float:
        return cls.minutes * 60 - (time.monotonic() - cls.started)


def cosine(step: int, steps: int, warm: int = 100, floor: float = 0.02) -> float:
    """The learning rate's scale: a linear warm-up, then half a cosine down to `floor`."""
    warm = min(warm, max(1, steps // 10))
    if step < warm:
        return (step + 1) / warm
    t = min(1.0, (step - warm) / max(1, steps - warm))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * t))


def dtype() -> torch.dtype:
    """Of what tolerates it: bfloat16 where the GPU or the CPU is faster in it, else float32."""
    if DEVICE == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        faster = device.why_dtype("cpu")[0] == "bfloat16"
    return torch.bfloat16 if faster else torch.float32


def autocast() -> torch.autocast:
    """bfloat16 for what tolerates it, where that is faster; else all in float32."""
    return torch.autocast(DEVICE, torch.bfloat16, enabled=dtype() == torch.bfloat16)


S, T = TypeVar("S"), TypeVar("T")


def ahead(make: Callable[[S], T], items: Sequence[S]) -> Iterator[T]:
    """make(item) of each, in order; where there are WORKERS, they call it, so on the CPU alone."""
    workers = min(WORKERS, len(items))
    return iter(DataLoader(items, batch_size=None, num_workers=workers, collate_fn=make))


class Run:
    """One stage's checkpoint and log in WORK: `save` every few minutes, `load` to go on."""

    def __init__(self, name: str, minutes: float = 4):
        WORK.mkdir(parents=True, exist_ok=True)
        self.checkpoint = WORK / f"{name}.pt"
        self.log_file = WORK / f"{name}.jsonl"
        self.every = minutes * 60
        self.saved = time.monotonic()

    def load(self) -> dict | None:
        """The last checkpoint, or None at the start."""
        if not self.checkpoint.exists():
            return None
        return torch.load(self.checkpoint, map_location=DEVICE)

    def due(self) -> bool:
        return time.monotonic() - self.saved > self.every

    def save(self, state: dict) -> None:
        """Writes whole or not at all, so that a kill in between loses nothing."""
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)
        self.saved = time.monotonic()

    def log(self, **values: float) -> None:
        line = json.dumps({k: round(v, 6) for k, v in values.items()})
        print(line, flush=True)
        with self.log_file.open("a") as f:
            f.write(line + "\n")

    def done(self, steps: int) -> bool:
        """Whether that many steps lie behind; an adopted checkpoint counts as done."""
        state = self.load()
        return state is not None and state.get("step", steps) >= steps


Loss = tuple[torch.Tensor, dict[str, float]]


def train(
    name: str, model: nn.Module, optimiser: Optimiser, average: Average, steps: int,
    batches: Callable[[int], Iterator[T]], loss_of: Callable[[int, T], Loss],
    rate: Callable[[int, int], float] = cosine, look: Callable[[], dict[str, float]] | None = None,
    every: int = 50, until: int | None = None,
) -> None:  # fmt: skip
    """Trains one stage, or goes on from its checkpoint; the same steps in either way.

    Arguments:
        batches: gives the batches from a step on.
        loss_of: the loss of a step and its batch, and more numbers for the log.
        rate: the learning rate's scale at (step, steps).
        look: what else is logged, every `every` steps.
        until: stop after this step as if killed (tests of resuming), with a checkpoint.

    Raises:
        OutOfTimeError: the clock ran out; the checkpoint holds the last step.
    """
    run, first, spent = Run(name), 0, 0.0
    if state := run.load():
        model.load_state_dict(state["model"])
        first, spent = state["step"], state.get("seconds", 0.0)
        if "optimiser" in state:
            optimiser.load(state["optimiser"])
        average.values = [v.detach().clone() for v in state["average"]]
    if first >= steps:
        return
    started, recent = time.monotonic(), []
    model.train()
    for step, batch in enumerate(batches(first), first):
        torch.manual_seed(1000 + step)
        loss, values = loss_of(step, batch)
        loss.backward()
        optimiser.step(rate(step, steps))
        average.update(step)
        recent.append(loss.detach())
        seconds = spent + time.monotonic() - started
        last = step + 1 in (steps, until)
        over = Clock.seconds_left() < 0
        if (step + 1) % every == 0 or last or over:
            more = look() if look else {}
            run.log(
                step=step + 1,
                loss=float(torch.stack(recent).mean()),
                **values,
                **more,
                seconds=seconds,
            )
            recent = []
        if run.due() or last or over:
            run.save({"model": model.state_dict(), "optimiser": optimiser.state(),
                      "average": average.values, "step": step + 1, "seconds": seconds})  # fmt: skip
        if over and not last:
            raise OutOfTimeError
        if last:
            return


def averaged(name: str, model: nn.Module) -> nn.Module:
    """The model with a checkpoint's averaged weights, ready to be used.

    Raises:
        FileNotFoundError: that stage was not run yet.
    """
    state = Run(name).load()
    if state is None:
        raise FileNotFoundError(
            f"No checkpoint of {name} yet: run `python -m training {name}` first."
        )
    model.load_state_dict(state["model"])
    for p, v in zip(model.parameters(), state["average"]):
        p.data.copy_(v)
    return model.to(DEVICE).eval()
