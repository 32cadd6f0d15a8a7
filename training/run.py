"""What every training stage shares: the device, checkpoints, saving, resuming, the log."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.data import DataLoader

from sdnb.models import device

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# On a GPU, pictures are drawn ahead by the cores that have nothing else to do.
WORKERS = min(8, (os.cpu_count() or 1) - 1) if DEVICE == "cuda" else 0
WORK = Path(os.environ.get("SDNB_TRAINING", Path.home() / ".cache" / "sdnb-training"))


def cosine(step: int, steps: int, warm: int = 100, floor: float = 0.02) -> float:
    """The learning rate's scale: a linear warm-up, then half a cosine down to `floor`."""
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
    """One stage's checkpoint and log: `save` every few minutes, `load` to go on from there."""

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
