"""Sample: a picture that knows how it was made, and how it shows itself."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from sdnb.display.grid import image_grid
from sdnb.display.preview import enlarged, preview
from sdnb.records import diffusers_code, metadata
from sdnb.settings import Settings, label, printable


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """One picture, what it was made from and how.

    Attributes:
        image: PIL picture, RGB.
        settings: all settings, with seed, scheduler and size as they were used.
        facts: model, revision, variant, dtype, device, denoiser_calls, seconds, flagged,
            versions.

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
        """Writes a PNG that carries settings and facts; `sdnb.read` gives them back.

        Raises:
            ValueError: the path does not end in .png.
            OSError: it cannot be written; nothing half-written is left.
        """
        return metadata.save_png(self.image, path, [(self.settings, self.facts)])

    def code(self) -> str:
        """A cell of plain diffusers code that makes this very picture.

        What it cannot know, as a change of the pipeline by hand, stands in a comment.
        """
        return diffusers_code.cell(self.settings, self.facts)

    def __repr__(self) -> str:
        return f"Sample({about(self.settings, self.facts)})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        lines = [self.settings.prompt, numbers(self.settings), maker(self.facts)]
        if self.facts.get("elsewhere"):
            lines = [maker(self.facts)]
        lines += why_black(self.facts)
        shown = image_grid(enlarged([self.image]), footer="\n".join(lines))
        return {"text/plain": repr(self), **preview(shown)}


def why_black(facts: dict[str, Any]) -> list[str]:
    """The reason in words, where a picture is black for one; a dark picture has none."""
    if facts.get("error"):
        return [f"failed ({facts['error']})"]
    if facts.get("flagged"):
        return ["blackened by the model's safety checker"]
    if facts.get("broken"):
        where = "decoder" if facts.get("decoder_broken") else "denoiser"
        return [f"black because the {where} gave no numbers (NaN)"]
    return []


def read(path: str | os.PathLike[str]) -> Sample:
    """Opens a picture with the settings that made it: sdnb's own or AUTOMATIC1111's.

    Arguments:
        path: a file that `Sample.save` or AUTOMATIC1111's web UI wrote.

    Returns:
        The sample, its settings exactly as they were saved.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, carries no settings, or is a sheet of several pictures.

    Example:
        >>> import tempfile
        >>> sample = Sample(Image.new("RGB", (64, 64)), Settings("a fox", seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read(sample.save(f"{folder}/fox.png")).settings
        Settings(prompt='a fox', seed=0)
    """
    image, records = metadata.read_png(path)
    if len(records) > 1:
        raise ValueError(
            f"{path} is a sheet of {len(records)} pictures: "
            "sdnb.metadata.read_png(path) gives the settings of each."
        )
    return Sample(image, *records[0])


def numbers(settings: Settings) -> str:
    """All settings but the prompt, as they read below a picture.

    Example:
        >>> numbers(Settings("a fox", steps=24, scheduler="DDIM", seed=510))
        '24 steps, guidance 7.5, DDIM, seed 510'
    """
    shown = ["steps", "guidance", "scheduler", "seed", "strength", "negative_prompt"]
    values = settings.to_dict()
    texts = [label(name, values[name]) for name in shown if values[name] not in (None, "")]
    if settings.width and settings.height:
        texts.append(f"{settings.width} x {settings.height}")
    return ", ".join(texts)


def maker(facts: dict[str, Any]) -> str:
    """Who made a picture.

    Example:
        >>> maker({"model": "emoji", "dtype": "float32", "device": "cpu"})
        "sdnb's embedded model emoji, float32 on cpu"
    """
    model = facts.get("model", "unknown model")
    name = "sdnb's embedded model emoji" if model == "emoji" else model
    known = {"dtype", "device"} <= set(facts)
    if not known:
        return name
    by = f" by {facts['backend']}" if facts.get("backend") else ""
    return f"{name}, {facts['dtype']} on {facts['device']}{by}"


def about(settings: Settings, facts: dict[str, Any]) -> str:
    """A picture in one line: its prompt, settings, maker, denoiser calls."""
    if facts.get("elsewhere"):
        return maker(facts)
    count = facts.get("denoiser_calls")
    calls = [f"{count} denoiser call{'s' * (count != 1)}"] if count else []
    parts = [repr(settings.prompt), numbers(settings), maker(facts), *calls]
    return printable("; ".join([*parts, *why_black(facts)]))
