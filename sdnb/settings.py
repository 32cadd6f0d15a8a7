"""Settings: everything that decides what a picture looks like, in one frozen value."""

from __future__ import annotations

import difflib
import math
import operator
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from sdnb.lora_weights import in_words, lora_weights
from sdnb.toward import MAX_SEED, Toward
from sdnb.toward import in_words as toward_in_words

MAX_STEPS = 1000  # the noise schedules of Stable Diffusion have 1000 timesteps


@dataclass(frozen=True)
class Settings:
    """What a picture is made from; `None` means "the pipeline's own" until it is made.

    Arguments:
        prompt: what the picture shows; empty only where `strength` is given, as a picture is then
            the start.
        negative_prompt: what it should not show.
        steps: denoising steps, 1 to 1000; None for the pipeline's own (Stable Diffusion 1: 50).
        guidance: classifier-free guidance scale, 0 or more; 1 and below turn guidance off; None
            for the pipeline's own (Stable Diffusion 1: 7.5).
        scheduler: a name of `sdnb.schedulers.names()`, or None for the model's own.
        seed: of the starting noise, 0 to 2**64 - 1; None draws one, which is then recorded.
        width: pixels, a multiple of 8; None for the model's own.
        height: pixels, a multiple of 8; None for the model's own.
        strength: for image to image, how much of the picture to redraw, over 0 and up to 1; None
            for the pipeline's own, and where there is no picture to start from.
        long_prompt: what to do with a prompt that is longer than the model reads: "error" raises
            one, "cut" drops the end, "chunk" reads it in pieces.
        prompt_syntax: "compel" where the prompts hold weights as the package compel writes them,
            such as "fox++" or "(blue sky)1.3"; None for plain words.
        keep: for inpainting, "pixels" where the picture's own are put back in the end where the
            mask is black; None leaves them as the model's decoder gives them, which is nearly so.
        lora: the weights of LoRAs that `load` was given, by their names: a number each, or one for
            each part, as in {"style": {"denoiser": 0.8, "text_encoder": 0.5}}. Those that are not
            named are off; None gives each the weight that it was loaded with.
        toward: a part of the way to another prompt, another seed's noise, or both, as in
            {"prompt": "a cat", "seed": 2, "part": 0.25}: prompt embeddings are mixed, and noise
            along the sphere on which it lies (slerp). `sdnb.path` makes the whole way.

    Raises:
        ValueError: a value is outside its range; the sentence says which and what fits.
        TypeError: a value is not of its type.

    Example:
        >>> Settings("a fox", steps=24, seed=510)
        Settings(prompt='a fox', steps=24, seed=510)
        >>> Settings("a fox", width=500)
        Traceback (most recent call last):
            ...
        ValueError: width 500 is not a multiple of 8: use 496 or 504.
    """

    prompt: str
    negative_prompt: str = ""
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    strength: float | None = None
    long_prompt: str = "error"
    prompt_syntax: str | None = None
    keep: str | None = None
    lora: Mapping[str, Any] | None = None
    toward: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise TypeError(f"{name} is {value!r}: give a text.")
            _check_characters(name, value)
        if not self.prompt.strip() and self.strength is None:
            raise ValueError("The prompt is empty: say in words what the picture should show.")
        self._check_numbers()
        self._check_words()

    def _check_numbers(self) -> None:
        if self.steps is not None:
            self._set("steps", _whole("steps", self.steps))
            if not 1 <= self.steps <= MAX_STEPS:
                raise ValueError(f"steps is {self.steps}: give a number from 1 to {MAX_STEPS}.")
        if self.guidance is not None:
            self._set("guidance", _number("guidance", self.guidance))
            if self.guidance < 0:
                raise ValueError(f"guidance is {self.guidance:g}: give 0 or more; 7.5 is usual.")
        if self.seed is not None:
            self._set("seed", _whole("seed", self.seed))
            if not 0 <= self.seed <= MAX_SEED:
                raise ValueError(f"seed is {self.seed}: give a number from 0 to {MAX_SEED}.")
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                self._set(name, _whole(name, getattr(self, name)))
                check_multiple(name, getattr(self, name), 8)
        if self.strength is not None:
            self._set("strength", _number("strength", self.strength))
            if not 0 < self.strength <= 1:
                raise ValueError(f"strength is {self.strength:g}: give over 0 and up to 1.")

    def _check_words(self) -> None:
        if self.scheduler is not None and not isinstance(self.scheduler, str):
            raise TypeError(f"scheduler is {self.scheduler!r}: give its name, such as 'DDIM'.")
        if self.scheduler == "":
            raise ValueError("scheduler is empty: give its name, such as 'DDIM', or None.")
        _check_characters("scheduler", self.scheduler or "")
        if self.long_prompt not in ("error", "cut", "chunk"):
            raise ValueError(f"long_prompt is {self.long_prompt!r}: give error, cut or chunk.")
        if self.prompt_syntax not in (None, "compel"):
            raise ValueError(f"prompt_syntax is {self.prompt_syntax!r}: give 'compel' or None.")
        if self.keep not in (None, "pixels"):
            raise ValueError(f"keep is {self.keep!r}: give 'pixels' or None.")
        if self.lora is not None:
            self._set("lora", lora_weights(self.lora))
        if self.toward is not None:
            self._set("toward", Toward(self.toward))
            _check_characters("the prompt of toward", self.toward["prompt"] or "")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen for everyone else

    def __repr__(self) -> str:
        shown = {k: v for k, v in asdict(self).items() if k == "prompt" or v != _DEFAULTS.get(k)}
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    @classmethod
    def of(cls, prompt: str | Settings, **options: Any) -> Settings:
        """Whole settings from what a function was given; an option that is None changes nothing.

        Arguments:
            prompt: what the picture shows; or whole `Settings`, which the options change.
            options: fields by their names.

        Raises:
            TypeError: there is no such setting, or a value is not of its type.
            ValueError: a value is outside its range.

        Example:
            >>> Settings.of(Settings("a fox", seed=1), steps=12, scheduler=None)
            Settings(prompt='a fox', steps=12, seed=1)
        """
        check_names(options)
        given = {name: value for name, value in options.items() if value is not None}
        return replace(prompt, **given) if isinstance(prompt, Settings) else cls(prompt, **given)

    def but(self, **changes: Any) -> Settings:
        """The same settings with some changed, checked again.

        Raises:
            TypeError: there is no such setting.

        Example:
            >>> Settings("a fox", seed=1).but(steps=12)
            Settings(prompt='a fox', steps=12, seed=1)
        """
        check_names(changes)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, as JSON takes them.

        Example:
            >>> Settings("a fox", steps=50).to_dict()["steps"]
            50
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """The settings that `to_dict` gave.

        Raises:
            TypeError: a field is unknown, or the prompt is missing.
            ValueError: a value is outside its range.

        Example:
            >>> Settings.from_dict(Settings("a fox", seed=0).to_dict())
            Settings(prompt='a fox', seed=0)
        """
        check_names(values)
        return cls(**values)


NAMES = tuple(f.name for f in fields(Settings))
_DEFAULTS = {f.name: f.default for f in fields(Settings)}
LORA = "lora:"  # before a LoRA's name: the setting of its weight alone, as an axis

# what diffusers, AUTOMATIC1111 and others call them, and how it is written here
THEIRS = {
    "num_inference_steps": "steps=50", "num_steps": "steps=50", "inference_steps": "steps=50",
    "sampling_steps": "steps=50", "guidance_scale": "guidance=7.5", "cfg": "guidance=7.5",
    "cfg_scale": "guidance=7.5", "true_cfg_scale": "guidance=7.5", "scale": "guidance=7.5",
    "generator": "seed=510, a number", "negative": 'negative_prompt="blurred"',
    "neg_prompt": 'negative_prompt="blurred"', "sampler": 'scheduler="DDIM"',
    "sampler_name": 'scheduler="DDIM"', "size": "width=512, height=512",
    "init_image": "image=", "mask_image": "mask=", "denoising_strength": "strength=0.6",
    "loras": 'lora={"style": 0.8}', "adapter_weights": 'lora={"style": 0.8}',
    "num_images_per_prompt": "seed=[1, 2, 3] in sdnb.compare", "pipeline": "pipe=",
}  # fmt: skip


def check_names(names: Iterable[str]) -> None:
    """Raises TypeError for the first name that is no setting, with what it is called here.

    Example:
        >>> check_names(["guidance_scale"])
        Traceback (most recent call last):
            ...
        TypeError: There is no setting 'guidance_scale': here it is guidance=7.5.
    """
    for name in names:
        if name in THEIRS:
            raise TypeError(f"There is no setting {name!r}: here it is {THEIRS[name]}.")
        if name not in NAMES:
            raise TypeError(
                f"There is no setting {name!r}{suggestion(name, NAMES)} "
                f"The settings are {', '.join(NAMES)}."
            )


def draw_seed() -> int:
    """A seed, where none is given; it is recorded."""
    return secrets.randbelow(2**32)


def suggestion(word: str, known: Iterable[str]) -> str:
    """The end of a sentence: `": did you mean 'X'?"` for the nearest known word, or `"."`.

    Arguments:
        word: what was given.
        known: what could have been meant; upper and lower case do not count.

    Example:
        >>> suggestion("ddmi", ["DDIM", "PNDM"])
        ": did you mean 'DDIM'?"
        >>> suggestion("zebra", ["DDIM", "PNDM"])
        '.'
    """
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f": did you mean {by_lower[near[0]]!r}?" if near else "."


def check_multiple(name: str, pixels: int, multiple: int) -> None:
    """Raises ValueError unless `pixels` is a positive multiple; names the two nearest that are."""
    if pixels < multiple:
        raise ValueError(f"{name} {pixels} is too small: use {multiple} or more.")
    if pixels % multiple:
        below = pixels - pixels % multiple
        raise ValueError(
            f"{name} {pixels} is not a multiple of {multiple}: use {below} or {below + multiple}."
        )


def label(name: str, value: Any) -> str:
    """How one setting reads under a picture.

    Arguments:
        name: of a setting, or "lora:" and the name of one LoRA.
        value: the setting's; None stands for the pipeline's own.

    Example:
        >>> label("steps", 12), label("steps", 1), label("guidance", 7.5)
        ('12 steps', '1 step', 'guidance 7.5')
    """
    if name == "lora" or name.startswith(LORA):
        return _lora_label(name, value)
    if name == "toward":
        return toward_in_words(value)
    if value is None and name not in ("prompt_syntax", "keep"):
        return f"own {name}"
    if name == "steps":
        return f"{value} step" if value == 1 else f"{value} steps"
    if name in ("scheduler", "prompt"):
        return value
    if name == "keep":
        return "pixels kept" if value else "as decoded"
    text = figure(value) if isinstance(value, float) else str(value)
    return f"{name.replace('_', ' ')} {text or 'none'}"


def _lora_label(name: str, value: Any) -> str:
    if name.startswith(LORA):
        return in_words({name.removeprefix(LORA): value})
    return "own LoRA" if value is None else in_words(lora_weights(value))


def printable(text: str) -> str:
    r"""The text with what cannot be printed escaped: it is not to steer a terminal.

    Example:
        >>> print(printable("a fox\x1b[2J"))
        a fox\x1b[2J
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def figure(number: float) -> str:
    """The shortest text that reads back as the same number.

    Example:
        >>> figure(7.0), figure(7.5)
        ('7', '7.5')
    """
    return str(int(number)) if number.is_integer() else repr(number)


def rounded(number: float, digits: int) -> str:
    """A number to so many significant digits, with no exponent and no whole digit lost.

    Arguments:
        number: finite.
        digits: at least so many, zeros at the end of its decimals left out.

    Example:
        >>> rounded(0.012345, 2), rounded(3.04, 2), rounded(119.7, 2), rounded(0.0, 2)
        ('0.012', '3', '120', '0')
    """
    size = math.floor(math.log10(abs(number))) if number else 0
    text = f"{number:.{max(0, digits - 1 - size)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _check_characters(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} holds what is no character: {error}.") from None


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}: give a whole number.")
    try:
        return operator.index(value)  # type: ignore[arg-type]  # the except is the check
    except TypeError:
        raise TypeError(f"{name} is {value!r}: give a whole number.") from None


def _number(name: str, value: object) -> float:
    if isinstance(value, (bool, str)):
        raise TypeError(f"{name} is {value!r}: give a number.")
    try:
        number = float(value)  # type: ignore[arg-type]  # the except is the check
    except OverflowError:
        raise ValueError(f"{name} is too large: give a smaller number.") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}: give a number.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is {number}: give a finite number.")
    return number
