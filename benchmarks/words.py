"""How often a word's map peaks on its thing: attention and leaving out, beside chance.

    python benchmarks/words.py [--seeds 2] [--steps 8] [--model emoji]
    python benchmarks/words.py --memory

Two kinds of scenes whose truth is known. Coloured shapes, "a red square to the left of a blue
circle": the picture is made, and `sdnb.counting.patches` says where in it each colour is; a peak
counts if it lies in the square of the patch's area around its middle, and chance is that square's
share of the picture. A picture where the eye does not find one patch of each colour has no truth
and is left out, which is counted. Objects, "a dog to the left of a cat": the side is the one that
the sentence says, which the embedded model draws 97.5 % ± 2 % right (its card), and chance is a
half. Scenes are made from the words that the model knows, so that a later model is scored as it is.

`--memory` measures the peak of one denoiser call with guidance of a UNet of Stable Diffusion 1's
size, random weights, 512 x 512 pixels, float32, with and without recording twelve words.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np

import sdnb
from sdnb import emoji

COLORS = ("red", "blue", "green")
OBJECTS = ("dog", "cat", "horse", "fox", "lion", "owl", "penguin", "rabbit", "whale", "pizza")
SIDES = {"left": "right", "right": "left"}
FIXED = {"scheduler": "DPM++ 2M", "guidance": 3, "store": False}


def shapes() -> Iterator[tuple[str, dict[str, str]]]:
    """A sentence, and each of its words -> the colour of the patch that it is about."""
    for one, other in permutations(COLORS, 2):
        for side in SIDES:
            about = {one: one, "square": one, other: other, "circle": other}
            yield f"a {one} square to the {side} of a {other} circle", about


def objects() -> Iterator[tuple[str, dict[str, str]]]:
    """A sentence, and its two objects -> their sides; each pair once, by turns left and right."""
    for n, pair in enumerate(combinations(OBJECTS, 2)):
        one, other = pair if n % 4 < 2 else pair[::-1]
        side = list(SIDES)[n % 2]
        a, b = (f"an {w}" if w[0] in "aeiou" else f"a {w}" for w in (one, other))
        yield f"{a} to the {side} of {b}", {one: side, other: SIDES[side]}


def known(scenes: Iterator[tuple[str, dict[str, str]]]) -> list[tuple[str, dict[str, str]]]:
    """The scenes all of whose words the embedded model knows."""
    return [scene for scene in scenes if not emoji.unknown_words(scene[0])]


def boxes(image: Any) -> dict[str, tuple[float, float, float, float]] | None:
    """Where each colour is: left, top, right, bottom, of 1; only where two colours have a patch."""
    found = {color: sdnb.counting.patches(image, color) for color in COLORS}
    found = {color: patches for color, patches in found.items() if patches}
    if len(found) != 2 or any(len(patches) != 1 for patches in found.values()):
        return None
    made = {}
    for color, [patch] in found.items():
        half = patch.area**0.5 / 2
        made[color] = (max(0, patch.x - half), max(0, patch.y - half),
                       min(1, patch.x + half), min(1, patch.y + half))  # fmt: skip
    return made


def peaks(
    pipe: Any, prompt: str, names: list[str], **options: Any
) -> tuple[Any, dict[str, dict[str, tuple[float, float]]]]:
    """The picture, and for each way the place of each word's peak, (x, y) of 1."""
    seen = sdnb.attention(
        prompt, names, pipe=pipe, **{k: v for k, v in options.items() if k != "store"}
    )
    left_out = sdnb.words(prompt, names, pipe=pipe, **options)
    changed = {}
    for name in names:
        where = left_out[name].map
        row, col = np.unravel_index(where.argmax(), where.shape)
        changed[name] = (int(col) + 0.5) / where.shape[1], (int(row) + 0.5) / where.shape[0]
    found = {"attention": {name: seen.peak(name) for name in names}, "leaving out": changed}
    return seen.sample.image, found


def scored(model: str, seeds: range, steps: int) -> None:
    pipe = sdnb.load(model)
    hits: Counter[tuple[str, str]] = Counter()
    of: Counter[tuple[str, str]] = Counter()
    chance: dict[str, list[float]] = {}
    unclear = 0
    for n, (prompt, about) in enumerate(known(shapes())):
        for seed in seeds:
            options = {"seed": seed + 100 * n, "steps": steps, **FIXED}
            image, found = peaks(pipe, prompt, list(about), **options)
            where = boxes(image)
            if where is None or set(where) != set(about.values()):
                unclear += 1
                continue
            for word, color in about.items():
                task = "colour words" if word == color else "shape words"
                left, top, right, bottom = where[color]
                chance.setdefault(task, []).append((right - left) * (bottom - top))
                for way, places in found.items():
                    x, y = places[word]
                    of[task, way] += 1
                    hits[task, way] += left <= x <= right and top <= y <= bottom
    for n, (prompt, about) in enumerate(known(objects())):
        options = {"seed": n, "steps": steps, **FIXED}
        _, found = peaks(pipe, prompt, list(about), **options)
        for word, side in about.items():
            chance.setdefault("objects, the side", []).append(0.5)
            for way, places in found.items():
                of["objects, the side", way] += 1
                hits["objects, the side", way] += (places[word][0] < 0.5) == (side == "left")
    print(
        "| words | way | right | of | share (95 % interval) | chance |\n|---|---|---|---|---|---|"
    )
    for task, way in of:
        right, total = hits[task, way], of[task, way]
        low, high = sdnb.counting.interval(right, total)
        print(
            f"| {task} | {way} | {right} | {total} | {right / total:.0%} ({low:.0%} to {high:.0%}) "
            f"| {np.mean(chance[task]):.0%} |"
        )
    print(f"\n{unclear} pictures of shapes had no clear truth and were left out.")


def memory() -> None:
    for way in ("plain", "recorded"):
        done = subprocess.run(
            [sys.executable, __file__, "--one", way], capture_output=True, text=True, check=True
        )
        print(way, done.stdout.strip().splitlines()[-1])


def one(way: str) -> None:
    """A denoiser call of full size in this process; prints the peak before and after it, in MB."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    text = CLIPTextConfig(vocab_size=1163, hidden_size=768, num_hidden_layers=1, bos_token_id=1161,
                          eos_token_id=1162, pad_token_id=1162)  # fmt: skip
    pipe = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderTiny(), text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer.from_pretrained(emoji.FOLDER / "tokenizer"),
        unet=diffusers.UNet2DConditionModel(cross_attention_dim=768, sample_size=64),
        scheduler=diffusers.DDIMScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before = peak()
    prompt = "a small red fox to the left of an owl on a blue background"
    settings = {"steps": 1, "seed": 1, "scheduler": "DDIM", "pipe": pipe}
    if way == "plain":
        sdnb.generate(prompt, store=False, **settings)
    else:
        sdnb.attention(prompt, **settings)
    print(json.dumps({"before": round(before), "peak": round(peak())}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--one", choices=["plain", "recorded"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one)
    elif given.memory:
        memory()
    else:
        scored(given.model, range(given.seeds), given.steps)
