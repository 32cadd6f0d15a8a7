"""Stage 7: how well the model draws what it is asked, and how it behaves; both tables.

    python -m training score --count 400                    # training/scores.json
    python -m training score --folder some/model --count 0  # only how another model behaves

GenEval's tasks (https://arxiv.org/abs/2310.11513) on our world, in combinations that training
never showed. Beside each score stands its 95 % interval (Wilson's) and its upper bound: the
judge's score on real scenes that went through the autoencoder.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image

from training import autoencoder, behaviour, judge, sheet, world
from training.judge import Seen

TABLE = Path(__file__).parent / "scores.json"


def names(seen: Seen) -> Counter[str]:
    return Counter(f.name for f in seen.objects)


def right_names(scene: world.Scene, seen: Seen) -> bool:
    """Exactly the objects of the sentence, each as often as it says."""
    return names(seen) == dict(scene.kinds)


def both_there(scene: world.Scene, seen: Seen) -> bool:
    return all(names(seen)[name] for name, _ in scene.kinds)


def right_sides(scene: world.Scene, seen: Seen) -> bool:
    """Both there, and the first one left of (or above) the second."""
    if not both_there(scene, seen):
        return False
    (a, _), (b, _) = scene.kinds
    axis = "x" if scene.arrangement in ("beside", "columns", "corner") else "y"
    first, second = (
        np.mean([getattr(f, axis) for f in seen.objects if f.name == name]) for name in (a, b)
    )
    return bool(second - first > 16)


def rides(scene: world.Scene, seen: Seen) -> bool:
    """Both there, the rider above the mount and no more than 64 pixels beside its middle."""
    (a, _), (b, _) = scene.kinds
    return any(
        m.y - r.y > 16 and abs(m.x - r.x) <= 64
        for r in seen.objects if r.name == a
        for m in seen.objects if m.name == b
    )  # fmt: skip


def facts(scene: world.Scene, seen: Seen) -> list[bool]:
    """What the sentence says, each right or wrong: objects, relation, place, light, style."""
    relations = {"beside": right_sides, "above": right_sides, "riding": rides, "rows": right_sides,
                 "columns": right_sides, "corner": right_sides}  # fmt: skip
    right = [right_names(scene, seen)] if scene.kinds else []
    if relation := relations.get(scene.arrangement):
        right.append(relation(scene, seen))
    right += [getattr(seen, each) == getattr(scene, each)
              for each in ("place", "light", "style") if each in scene.said]  # fmt: skip
    return right


@dataclass(frozen=True)
class Task:
    """What is asked, and when the picture is right."""

    mix: dict[str, float]
    right: Callable[[world.Scene, Seen], bool]
    held: bool = True
    ask: Callable[[world.Scene], bool] = lambda scene: "style" not in scene.said
    share: int = 1  # a task of our own, beyond GenEval's, gets a part of the prompts: 1 in so many


def _two_colors(scene: world.Scene) -> bool:
    """Two shapes of different colours."""
    colors = [name.split()[0] for name, _ in scene.kinds if name in world.SHAPES]
    return len(set(colors)) == 2 and "style" not in scene.said


def _open_counts(scene: world.Scene) -> bool:
    return "style" not in scene.said and max(n for _, n in scene.kinds) > 1


TASKS = {
    "single object": Task({"single": 1}, right_names),
    "place": Task({"single": 1, "scenery": 0.2}, lambda s, seen: seen.place == s.place, held=False,
                  ask=lambda s: "style" not in s.said and ("place" in s.said or not s.kinds)),
    "light": Task({"single": 1}, lambda s, seen: seen.light == s.light, held=False,
                  ask=lambda s: {"light", "place"} <= s.said and "style" not in s.said, share=4),
    "style": Task({"single": 1}, lambda s, seen: seen.style == s.style,
                  ask=lambda s: s.style != "photograph"),
    "counting 2, 3, 4": Task({"count": 1}, right_names),
    "two objects": Task({"beside": 1, "above": 1}, both_there),
    "position": Task({"beside": 1, "above": 1}, right_sides),
    "colour binding": Task({"beside": 1, "above": 1}, right_sides, ask=_two_colors),
    "riding": Task({"riding": 1}, rides),
    "wearing and playing": Task({"wearing": 1, "playing": 1}, both_there, share=4),
    "chess and pilots": Task({"chess": 1, "pilot": 1}, both_there, held=False, share=4),
    "two counted kinds": Task({"rows": 1, "columns": 1, "corner": 1}, right_names, ask=_open_counts,
                              share=4),
}  # fmt: skip


def asked(task: Task, count: int, seed: int = 99) -> list[world.Scene]:
    """The task's scenes, the same on every machine."""
    scenes = filter(task.ask, world.scenes(seed, task.mix, held=task.held))
    return list(islice(scenes, count))


def tensor(images: Iterable[Image.Image]) -> torch.Tensor:
    """Pictures as numbers in [-1, 1], on the device."""
    return autoencoder.scaled(autoencoder.pixels(images))


def looked(eye: judge.Judge, pictures: torch.Tensor) -> list[Seen]:
    """What the judge sees, in parts that fit the memory."""
    return [seen for part in pictures.split(50) for seen in eye.look(part)]


def interval(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, p = 1.96, right / count
    middle = (p + z * z / 2 / count) / (1 + z * z / count)
    half = z * math.sqrt(p * (1 - p) / count + z * z / 4 / count**2) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def accuracy(
    pipe: object, count: int, steps: int, guidance: float, scheduler: str
) -> dict[str, dict]:
    """Draws and judges every task's prompts; prints a row each."""
    eye, vae, rows = judge.load(), autoencoder.load(), {}
    print(f"{'task':22} {'right':>7} {'95 % interval':>16} {'upper bound':>12} prompts", flush=True)
    for title, task in TASKS.items():
        scenes = asked(task, max(1, count // task.share))
        real = torch.cat([vae.decode(vae.encode(part).latents).sample.clamp(-1, 1)
                          for part in tensor(map(world.render, scenes)).split(25)])  # fmt: skip
        started = time.monotonic()
        texts = [world.sentence(Random(0), s, plain=True) for s in scenes]
        drawn = tensor(sheet.pictures(pipe, texts, steps, guidance, scheduler))
        seconds = time.monotonic() - started
        right, bound = (
            sum(map(task.right, scenes, looked(eye, pictures))) for pictures in (drawn, real)
        )
        low, high = interval(right, len(scenes))
        n = len(scenes)
        rows[title] = {
            "right": right,
            "prompts": n,
            "interval": [low, high],
            "upper bound": bound / n,
            "pictures a second": n / seconds,
        }
        cells = f"{right / n:7.1%} {low:7.1%} to {high:6.1%} {bound / n:11.1%} {n:7}"
        print(f"{title:22} {cells}", flush=True)
    return rows


@torch.inference_mode()
def main(
    count: int = 400, prompts: int = 32, steps: int = 50, guidance: float = 7.5,
    scheduler: str = "PNDM", name: str = "denoiser", folder: str = "", table: str = str(TABLE),
) -> None:  # fmt: skip
    """Prints both tables and writes them.

    Arguments:
        count: prompts a task; 0 leaves this table out.
        prompts: those of the table of behaviour; 0 leaves it out.
        folder: an exported model in place of the checkpoints. One that was not trained on this
            world gets `count` 0: the judge knows only this world's objects.
    """
    pipe = sheet.open_pipeline(name, folder)
    whole: dict[str, object] = {
        "model": folder or name,
        "steps": steps,
        "guidance": guidance,
        "scheduler": scheduler,
    }
    if prompts:
        whole["behaviour"] = behaviour.table(pipe, prompts, count > 0, steps)
    if count:
        whole["tasks"] = accuracy(pipe, count, steps, guidance, scheduler)
    Path(table).write_text(json.dumps(whole, indent=1) + "\n")
