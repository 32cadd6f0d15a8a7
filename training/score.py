"""Stage 7: how well the model draws what it is asked, by the judge.

    python -m training score --count 400        # writes training/scores.json

GenEval's tasks (https://arxiv.org/abs/2310.11513) on our world. Relations, counts and riders are
combinations that training never showed. Beside each score stands its upper bound: the judge's
score on real scenes that went through the autoencoder.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from scipy import linalg

from training import autoencoder, export, judge, sheet, world

Seen = tuple[list[judge.Found], str]
TABLE = Path(__file__).parent / "scores.json"


def names(seen: Seen) -> Counter[str]:
    return Counter(f.name for f in seen[0])


def right_names(scene: world.Scene, seen: Seen) -> bool:
    """Exactly the objects of the sentence, each as often as it says."""
    return names(seen) == dict(scene.kinds)


def right_background(scene: world.Scene, seen: Seen) -> bool:
    return seen[1] == scene.background


def both_there(scene: world.Scene, seen: Seen) -> bool:
    return all(names(seen)[name] for name, _ in scene.kinds)


def right_sides(scene: world.Scene, seen: Seen) -> bool:
    """Both there, and the first one left of (or above) the second."""
    if not both_there(scene, seen):
        return False
    (a, _), (b, _) = scene.kinds
    axis = "x" if scene.arrangement in ("beside", "columns") else "y"
    first, second = (
        np.mean([getattr(f, axis) for f in seen[0] if f.name == name]) for name in (a, b)
    )
    return bool(second - first > 12)


def rides(scene: world.Scene, seen: Seen) -> bool:
    """Both there, the rider above the mount and no more than 32 pixels beside its middle."""
    (a, _), (b, _) = scene.kinds
    return any(
        m.y - r.y > 12 and abs(m.x - r.x) <= 32
        for r in seen[0] if r.name == a
        for m in seen[0] if m.name == b
    )  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What is asked, and when the picture is right."""

    mix: dict[str, float]
    right: Callable[[world.Scene, Seen], bool]
    held: bool = True
    ask: Callable[[world.Scene], bool] = lambda scene: True
    share: int = 1  # a task of our own, beyond GenEval's, gets a part of the prompts: 1 in so many


def _two_colors(scene: world.Scene) -> bool:
    """Two shapes of different colours, neither hidden by a background of its own."""
    colors = [name.split()[0] for name, _ in scene.kinds if name in world.SHAPES]
    return len(set(colors)) == 2


TASKS = {
    "single object": Task({"single": 1}, right_names, held=False),
    "background colour": Task(
        {"single": 1}, right_background, held=False, ask=lambda s: s.background is not None
    ),
    "counting 2, 3, 4": Task({"count": 1}, right_names),
    "two objects": Task({"beside": 1, "above": 1}, both_there),
    "position": Task({"beside": 1, "above": 1}, right_sides),
    "colour binding": Task({"beside": 1, "above": 1}, right_sides, ask=_two_colors),
    "riding": Task({"riding": 1}, rides),
    "two counted kinds": Task({"rows": 1, "columns": 1}, right_names, share=4),
    "coloured squares and circles": Task(
        {"single": 1, "small": 1},
        right_names,
        held=False,
        ask=lambda s: s.kinds[0][0] in world.SHAPES,
        share=4,
    ),
}


def asked(task: Task, count: int, seed: int = 99) -> list[world.Scene]:
    """The task's scenes: always the same ones."""
    stream = world.scenes(seed, task.mix, task.held)
    return list(islice((s for s in stream if task.ask(s)), count))


def tensor(images: Iterable[Image.Image]) -> torch.Tensor:
    """PIL pictures as (B, 3, 128, 128) in [-1, 1]."""
    return autoencoder.scaled(autoencoder.pixels(images))


def share(task: Task, scenes: list[world.Scene], pictures: torch.Tensor, eye: judge.Judge) -> float:
    """How many of the pictures are right, 0 to 1."""
    seen = [s for part in pictures.split(64) for s in eye.look(part)]
    return float(np.mean([task.right(scene, s) for scene, s in zip(scenes, seen)]))


def interval(p: float, n: int) -> float:
    """Half the width of the 95 % interval of a share p among n (normal approximation)."""
    return 1.96 * math.sqrt(max(p * (1 - p), 1 / n) / n)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance of two sets of features (N, D), as FID takes it of Inception's.

    https://arxiv.org/abs/1706.08500; 0 for the same distribution, and more for few samples.
    """
    means = np.square(a.mean(0) - b.mean(0)).sum()
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(one @ two)
    return float(means + np.trace(one + two - 2 * root.real))


def features(pictures: torch.Tensor, eye: judge.Judge) -> np.ndarray:
    """What the judge makes of pictures before it names things, (N, 192): mean over places."""
    return torch.cat([eye.features(part).mean((2, 3)) for part in pictures.split(64)]).cpu().numpy()


@torch.inference_mode()
def main(
    count: int = 400, steps: int = 25, guidance: float = 5.0, name: str = "denoiser",
    table: str = str(TABLE),
) -> None:  # fmt: skip
    """Scores every task and writes the table."""
    eye, vae, pipe = judge.load(), autoencoder.load(), export.pipeline(name)
    rows, seen = {}, {"drawn": [], "real": []}
    for title, task in TASKS.items():
        scenes = asked(task, count // task.share)
        real = torch.cat(
            [vae.decode(vae.encode(part).latents).sample
             for part in tensor(map(world.render, scenes)).split(50)]
        )  # fmt: skip
        started = time.monotonic()
        texts = [world.sentence(Random(0), s, plain=True) for s in scenes]
        drawn = tensor(sheet.pictures(pipe, texts, steps, guidance))
        seen["drawn"].append(features(drawn, eye))
        seen["real"].append(features(real.clamp(-1, 1), eye))
        rows[title] = {
            "score": share(task, scenes, drawn, eye),
            "upper bound": share(task, scenes, real.clamp(-1, 1), eye),
            "prompts": len(scenes),
            "pictures a second": len(scenes) / (time.monotonic() - started),
        }
        row = rows[title]
        print(f"{title:30} {row['score']:6.1%} ± {interval(row['score'], len(scenes)):.1%}"
              f"   upper bound {row['upper bound']:.1%}", flush=True)  # fmt: skip
    same = tensor(sheet.pictures(pipe, ["a fox"] * min(50, count), steps, guidance))
    differ = [float((a - b).abs().mean() / 2) for a, b in pairwise(same)]
    print(f"{len(same)} seeds of 'a fox' differ by {np.mean(differ):.3f} of 1.0 on average, "
          f"at least {min(differ):.3f}")  # fmt: skip
    drawn, real = (np.concatenate(each) for each in seen.values())
    other = np.random.default_rng(0).permutation(len(real))
    half = len(real) // 2
    distance = {
        "drawn to real": frechet(drawn, real),
        "real to real": frechet(real[other[:half]], real[other[half:]]),  # half as many: its floor
    }
    print(f"Fréchet distance on the judge's features: {distance}")
    whole = {
        "settings": {"steps": steps, "guidance": guidance, "scheduler": "DPM++ 2M"},
        "tasks": rows,
        "diversity": float(np.mean(differ)),
        "frechet distance": distance,
    }
    Path(table).write_text(json.dumps(whole, indent=1) + "\n")
