"""Scores: how good a picture is, as a number, for `sdnb.duel`.

Any function of a `Sample` that returns a number is a score, higher is better. One that cannot
judge every prompt has a method `check(settings)` too, which raises before anything runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdnb import counting
from sdnb.hub import errors as hub_errors
from sdnb.image_input import rgb
from sdnb.models import device

if TYPE_CHECKING:
    from sdnb.records.sample import Sample
    from sdnb.settings import Settings

NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4}
_PHRASE = re.compile(
    rf"\b({'|'.join(NUMBERS)})\s+({'|'.join(counting.HUES)})\s+(?:square|circle|cube)s?\b", re.I
)
# what it does not count: other colours, other numbers, and shapes with further words or with none
_OTHER = re.compile(
    rf"\b(?:{'|'.join(NUMBERS)}|five|six|seven|eight|nine|ten|some|several|many|\d+)"
    r"\s+(?:(?!and\b|or\b)[\w-]+\s+){0,2}?(?:square|circle|cube)s?\b", re.I
)  # fmt: skip
_GROUND = re.compile(rf"\b({'|'.join(counting.HUES)})\s+background\b", re.I)
_BETWEEN = re.compile(r"\b(left of|right of|above|below)\b", re.I)
_AFTER = re.compile(r"\bon the (left|right)(?! of)\b", re.I)


@dataclass(frozen=True)
class Counted:
    """How much of what a prompt says of squares and circles is so: a share, from 0 to 1.

    It reads sentences of the embedded model's world, such as "two red squares", "a red square to
    the left of a blue circle" or "three green cubes on the right", and looks with
    `sdnb.counting.patches`: is each colour there as often as it says, and where it says? Shapes it
    does not tell apart, and of colours it knows those of `sdnb.counting.HUES`: black, white and
    brown have no hue of their own.

    Example:
        >>> import sdnb
        >>> from PIL import Image, ImageDraw
        >>> image = Image.new("RGB", (128, 128), "white")
        >>> ImageDraw.Draw(image).rectangle((80, 40, 120, 80), fill="red")
        >>> prompts = ["a red square", "two red squares", "a red square on the left"]
        >>> [Counted()(sdnb.Sample(image, sdnb.Settings(prompt))) for prompt in prompts]
        [1.0, 0.0, 0.5]
    """

    def check(self, settings: Settings) -> None:
        """Raises ValueError for a prompt with no squares or circles, or with some it cannot count.

        Arguments:
            settings: the prompt's.
        """
        _read(settings.prompt)

    def __call__(self, sample: Sample) -> float:
        """The share of what the prompt says that is so.

        Raises:
            ValueError: as for `check`.
        """
        counts, orders, sides = _read(sample.settings.prompt)
        found = {color: counting.patches(sample.image, color) for color in counts}
        met = [len(found[color]) == number for color, number in counts.items()]
        for one, other, axis in orders:  # the first lies before the second
            ends = max((getattr(p, axis) for p in found[one]), default=1.0)
            begins = min((getattr(p, axis) for p in found[other]), default=0.0)
            met.append(ends < begins)
        for color, side in sides:
            left = [patch.x < 0.5 for patch in found[color]]
            met.append(bool(left) and all(each == (side == "left") for each in left))
        return sum(met) / len(met)


def _read(
    prompt: str,
) -> tuple[dict[str, int], list[tuple[str, str, str]], list[tuple[str, str]]]:
    """What a prompt says: numbers by colour, which lies before which on x or y, and on which side.

    Example:
        >>> _read("a red square to the right of two blue circles")
        ({'red': 1, 'blue': 2}, [('blue', 'red', 'x')], [])
        >>> _read("four red squares on the left together with a green cube")
        ({'red': 4, 'green': 1}, [], [('red', 'left')])
    """
    phrases = list(_PHRASE.finditer(prompt))
    colors = [phrase[2].lower() for phrase in phrases]
    grounds = {ground.lower() for ground in _GROUND.findall(prompt)}
    others = [other[0] for other in _OTHER.finditer(_PHRASE.sub(";", prompt))]
    if not phrases or grounds & {*colors} or others:
        *hues, last = counting.HUES
        raise ValueError(
            f"sdnb.scores.Counted cannot judge {(others or [prompt])[0]!r}: it counts one "
            f"to four squares or circles in {', '.join(hues)} or {last}, as in 'two red squares', "
            "on a background of another colour. Give another score=, such as sdnb.scores.Clip() "
            "or a function of your own."
        )
    counts: dict[str, int] = {}
    orders, sides = [], []
    for i, (phrase, color) in enumerate(zip(phrases, colors)):
        counts[color] = counts.get(color, 0) + NUMBERS[phrase[1].lower()]
        after = prompt[phrase.end() : phrases[i + 1].start() if i + 1 < len(phrases) else None]
        if side := _AFTER.search(after):
            sides.append((color, side[1].lower()))
        other = colors[i + 1] if i + 1 < len(colors) else color
        if (between := _BETWEEN.search(after)) and other != color:
            word = between[1].lower()
            axis = "x" if "of" in word else "y"
            first = word in ("left of", "above")
            orders.append((color, other, axis) if first else (other, color, axis))
    return counts, orders, sides


@dataclass
class Clip:
    """How near a picture is to its prompt in CLIP's eyes: the cosine, from -1 to 1.

    (https://arxiv.org/abs/2104.08718; their score is 2.5 times as much.) A CLIP reads 77 tokens,
    and the end of a longer prompt is cut. It hardly counts, and does not know left from right.

    Arguments:
        model: a CLIP model of the hub, or a folder; it is loaded when it is first needed.
        device: where it runs, such as "cpu"; None takes the best that there is.

    Raises:
        OSError: the hub does not give it; when it is first needed.
        ValueError: it is no CLIP model; likewise.
    """

    model: str = "openai/clip-vit-base-patch32"
    device: str | None = None
    _parts: Any = field(default=None, repr=False, compare=False)

    def check(self, settings: Settings) -> None:
        """Loads the model, so that it raises before anything runs where something is missing."""
        self._load()

    def __call__(self, sample: Sample) -> float:
        """The cosine of the picture and its prompt."""
        import torch

        clip, looker, tokenizer = self._load()
        seen = looker(images=[rgb(sample.image)], return_tensors="pt")
        read = tokenizer([sample.settings.prompt], truncation=True, return_tensors="pt")
        with torch.no_grad():
            out = clip(**{k: v.to(clip.device) for k, v in {**seen, **read}.items()})
        return float((out.image_embeds * out.text_embeds).sum())  # (1, d), both of length 1

    def _load(self) -> Any:
        if self._parts is None:
            from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, CLIPModel

            failing: tuple[type[Exception], ...] = (ValueError, *hub_errors.library_errors())
            try:
                kind = AutoConfig.from_pretrained(self.model).model_type
            except failing as error:
                raise hub_errors.explained(error, self.model) from error
            if kind != "clip":
                raise ValueError(
                    f"{self.model} is a model of type {kind!r}, and no CLIP: give one such as "
                    "openai/clip-vit-base-patch32."
                )
            try:
                clip = CLIPModel.from_pretrained(self.model).eval()
                looker = AutoImageProcessor.from_pretrained(self.model)
                tokenizer = AutoTokenizer.from_pretrained(self.model)
            except failing as error:
                raise hub_errors.explained(error, self.model) from error
            self._parts = clip.to(self.device or device.best()), looker, tokenizer
        return self._parts
