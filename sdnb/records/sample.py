"""Sample: a picture that knows how it was made, and how it shows itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from sdnb.display.grid import image_grid
from sdnb.display.preview import enlarged, preview
from sdnb.files import without_folder
from sdnb.image_input import rgb
from sdnb.log import notice
from sdnb.records import diffusers_code, metadata
from sdnb.records.a1111 import not_applied
from sdnb.settings import Settings, label, printable


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """One picture, what it was made from and how.

    Attributes:
        image: PIL picture, RGB.
        settings: all settings, with seed, scheduler and size as they were used.
        facts: how it was made, by the names of `sdnb.records.fact_schema.KNOWN`: always model,
            revision, variant, dtype, device, denoiser_calls, seconds, flagged and versions where
            sdnb made it; others, such as lora, vae or broken, where they apply.

    Example:
        >>> import sdnb
        >>> sample = sdnb.generate("a fox", steps=4, seed=510, pipe=sdnb.load("emoji"))
        >>> sample.settings.seed, sample.image.size
        (510, (128, 128))
    """

    image: Image.Image
    settings: Settings
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def flagged(self) -> bool:
        """Whether the model's safety checker blackened the picture."""
        return bool(self.facts.get("flagged"))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a file that carries settings and facts; `sdnb.read` gives them back.

        Arguments:
            path: ends in .png or .webp, which keep each pixel, or .jpg, which does not.

        Returns:
            The path, with `~` expanded.

        Raises:
            ValueError: the path ends otherwise.
            OSError: it cannot be written; nothing half-written is left.
        """
        return metadata.save(self.image, path, [(self.settings, self.facts)])

    def code(self) -> str:
        """A cell of plain diffusers code that makes this very picture.

        What it cannot know, as a change of the pipeline by hand, stands in a comment.
        """
        return diffusers_code.cell(self.settings, self.facts)

    def __repr__(self) -> str:
        return f"Sample({about(self)})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        footer = "\n".join(lines_of(self, model_name))
        shown = image_grid(enlarged([rgb(self.image)]), footer=footer)
        return {"text/plain": repr(self), **preview(shown)}


class Elsewhere(Sample):
    """A picture that another program made: of its settings nothing is known.

    Attributes:
        image: PIL picture, RGB.
        settings: None.
        facts: `model` is the name that it was given.

    Example:
        >>> Elsewhere(Image.new("RGB", (64, 64)), "DALL-E 2")
        Sample(DALL-E 2)
    """

    settings: None  # type: ignore[assignment]  # so that those of every other sample are Settings

    def __init__(self, image: Image.Image, name: str) -> None:
        super().__init__(image, None, {"model": name, "elsewhere": True})  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        return Elsewhere, (self.image, self.facts["model"])

    def code(self) -> str:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{self.facts['model']} was not made by sdnb, so there is no code of it.")


def lines_of(sample: Sample, name: Callable[[dict[str, Any]], str]) -> list[str]:
    """Prompt, numbers and maker, as they read below a picture, and why it is black where it is.

    Arguments:
        name: names the maker from the facts: `maker_with_parts`, or `model_name` for text that is
            drawn into a picture, which is to be the same on every device.
    """
    if isinstance(sample, Elsewhere):
        return [name(sample.facts)]
    settings, facts = sample.settings, sample.facts
    return [settings.prompt, numbers(settings), name(facts), *why_black(facts)]


def why_black(facts: dict[str, Any]) -> list[str]:
    """The reason in words, where a picture is black for one; a dark picture has none."""
    if facts.get("error"):
        return [f"failed ({facts['error']})"]
    if facts.get("flagged"):
        return ["blackened by the model's safety checker"]
    if facts.get("broken"):
        where = "decoder" if facts.get("decoder_broken") else "denoiser"
        return [f"black because the {where} returned NaN"]
    return []


def read(path: str | os.PathLike[str]) -> Sample:
    """Opens a picture with the settings that made it: sdnb's own or another program's.

    Arguments:
        path: a PNG, JPEG or WebP that `Sample.save` or AUTOMATIC1111's web UI wrote, or Forge,
            SD.Next or Civitai; with `pip install 'sdnb[formats]'` also ComfyUI, InvokeAI, Fooocus
            or NovelAI.

    Returns:
        The sample, its settings exactly as they were saved. What of another program's sdnb does
        not apply, such as weights in the prompt and LoRAs, is logged.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, carries no settings, or is a sheet of several pictures.
        ModuleNotFoundError: it needs the package that reads other programs' forms.

    Example:
        >>> import tempfile
        >>> sample = Sample(Image.new("RGB", (64, 64)), Settings("a fox", seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read(sample.save(f"{folder}/fox.png")).settings
        Settings(prompt='a fox', seed=0)
    """
    image, records = metadata.read(path)
    if len(records) > 1:
        raise ValueError(
            f"{path} is a sheet of {len(records)} pictures: "
            "sdnb.metadata.read(path) gives the settings of each."
        )
    settings, facts = records[0]
    if "dtype" not in facts and (lost := not_applied(settings, facts)):
        notice(f"{path} was made with what sdnb does not apply: {'; '.join(lost)}.")
    if "dtype" not in facts and settings.lora:
        names = " and ".join(settings.lora)
        notice(f"{path} was made with the LoRA {names}: sdnb.load(..., lora=[...]) loads LoRAs.")
    return Sample(image, settings, facts)


def numbers(settings: Settings) -> str:
    """All settings but the prompt, as they read below a picture.

    Example:
        >>> numbers(Settings("a fox", "", 24, 7.5, "DDIM", 510))
        '24 steps, guidance 7.5, DDIM, seed 510'
    """
    shown = [
        "steps", "guidance", "scheduler", "seed", "strength", "keep", "lora",
        "toward", "negative_prompt",
    ]  # fmt: skip
    values = settings.to_dict()
    texts = [label(name, values[name]) for name in shown if values[name] not in (None, "")]
    if settings.width and settings.height:
        texts.append(f"{settings.width} x {settings.height}")
    return ", ".join(texts)


def model_name(facts: dict[str, Any]) -> str:
    """The model that made a picture, as it reads below it.

    Example:
        >>> model_name({"model": "emoji", "dtype": "float32", "device": "cpu"})
        "sdnb's embedded model emoji"
    """
    model = facts.get("model", "unknown model")
    return "sdnb's embedded model emoji" if model == "emoji" else without_folder(model)


def maker(facts: dict[str, Any]) -> str:
    """Who made a picture, and where.

    Example:
        >>> maker({"model": "emoji", "dtype": "float32", "device": "cpu"})
        "sdnb's embedded model emoji, float32 on cpu"
    """
    name = model_name(facts)
    if not {"dtype", "device"} <= set(facts):
        return name
    by = f" by {facts['backend']}" if facts.get("backend") else ""
    return f"{name}, {facts['dtype']} on {facts['device']}{by}"


def maker_with_parts(facts: dict[str, Any]) -> str:
    """Who made a picture, where, and what was put into the model.

    Example:
        >>> on = {"model": "emoji", "dtype": "float32", "device": "cpu"}
        >>> maker_with_parts(on | {"quantize": "fp8", "vae": {"model": "/home/ada/grey"}})
        "sdnb's embedded model emoji, float32 on cpu, fp8, VAE grey"
        >>> maker_with_parts({"model": "a", "embeddings": [{"token": "<eyes>"}, {"token": "blue"}]})
        'a, embeddings <eyes>, blue'
    """
    found = [maker(facts)]
    if facts.get("quantize"):
        found.append(str(facts["quantize"]))
    if facts.get("vae"):
        found.append(f"VAE {without_folder(facts['vae'].get('model', 'unknown'))}")
    if words := [each["token"] for each in facts.get("embeddings", [])]:
        found.append(f"embedding{'s' * (len(words) > 1)} {', '.join(words)}")
    return ", ".join(found)


def about(sample: Sample) -> str:
    """A picture in one line: its prompt, settings, maker, denoiser calls."""
    if isinstance(sample, Elsewhere):
        return printable(maker(sample.facts))
    settings, facts = sample.settings, sample.facts
    count = facts.get("denoiser_calls")
    calls = [f"{count} denoiser call{'s' * (count != 1)}"] if count else []
    parts = [repr(settings.prompt), numbers(settings), maker_with_parts(facts), *calls]
    return printable("; ".join([*parts, *why_black(facts)]))
