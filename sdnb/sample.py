"""Sample and Sheet: pictures that know how they were made, and how they show themselves."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from sdnb import code, metadata
from sdnb.grid import image_grid
from sdnb.settings import Settings, label

LEAST, MOST = 256, 1600  # pixels wide: smaller is shown enlarged, larger reduced
HEAVY = 100_000  # bytes: a preview whose PNG is larger is shown as JPEG


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
        """A cell of plain diffusers code that makes this very picture."""
        return code.cell(self.settings, self.facts)

    def __repr__(self) -> str:
        return f"Sample({_about(self.settings, self.facts)})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        lines = [self.settings.prompt, _numbers(self.settings), _maker(self.facts)]
        lines += why_black(self.facts)
        shown = image_grid(_enlarged([self.image]), footer="\n".join(lines))
        return {"text/plain": repr(self), **preview(shown)}


def why_black(facts: dict[str, Any]) -> list[str]:
    """The reason in words, where a picture is black for one; a dark picture has none."""
    if facts.get("flagged"):
        return ["blackened by the model's safety checker"]
    return ["black because the denoiser gave no numbers (NaN)"] if facts.get("broken") else []


@dataclass(frozen=True, eq=False, repr=False)
class Sheet:
    """Samples in rows and columns, with what differs as labels.

    Attributes:
        samples: row by row.
        rows, cols: their numbers.
        row_labels, col_labels: one text a row and a column, or none.
        title: what all samples share.

    Raises:
        ValueError: rows x cols is not the number of samples.
    """

    samples: Sequence[Sample]
    rows: int
    cols: int
    row_labels: Sequence[str] = ()
    col_labels: Sequence[str] = ()
    title: str = ""

    def __post_init__(self) -> None:
        if self.rows * self.cols != len(self.samples):
            raise ValueError(
                f"{self.rows} x {self.cols} = {self.rows * self.cols} cells "
                f"for {len(self.samples)} samples: the numbers must agree."
            )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Sample:
        return self.samples[i]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def grid(self) -> Image.Image:
        """The sheet as one labelled picture; samples under 256 pixels wide are enlarged."""
        makers = dict.fromkeys(_maker(s.facts) for s in self.samples)
        black: dict[str, list[str]] = {}
        for i, sample in enumerate(self.samples, 1):
            for why in why_black(sample.facts):
                black.setdefault(why, []).append(str(i))
        notes = [*makers, *(f"{why}: {', '.join(which)}" for why, which in black.items())]
        return image_grid(
            _enlarged([s.image for s in self.samples]),
            self.rows,
            self.cols,
            row_labels=self.row_labels or None,
            col_labels=self.col_labels or None,
            title=self.title,
            footer=" · ".join(notes),
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the labelled picture as a PNG that carries all samples' settings and facts.

        Raises:
            ValueError: the path does not end in .png.
            OSError: it cannot be written; nothing half-written is left.
        """
        return metadata.save_png(self.grid(), path, [(s.settings, s.facts) for s in self.samples])

    def __repr__(self) -> str:
        title = self.title.replace("\n", " · ")
        lines = [f"Sheet({self.rows} x {self.cols}: {title})"]
        lines += [f"  {_about(s.settings, s.facts)}" for s in self.samples]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), **preview(self.grid())}


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


def preview(image: Image.Image) -> dict[str, bytes]:
    """A picture as a notebook shows it: PNG, or JPEG where that is far smaller."""
    if image.width > MOST:
        image = image.resize((MOST, round(image.height * MOST / image.width)))
    png = _encoded(image, "PNG", optimize=True)
    if len(png) <= HEAVY:
        return {"image/png": png}
    return {"image/jpeg": _encoded(image, "JPEG", quality=88)}


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _enlarged(images: list[Image.Image]) -> list[Image.Image]:
    """The pictures at the least multiple of their size that makes the widest LEAST pixels wide."""
    times = -(-LEAST // max(image.width for image in images))
    if times == 1:
        return images
    return [
        image.resize((image.width * times, image.height * times), Image.Resampling.LANCZOS)
        for image in images
    ]


def _numbers(settings: Settings) -> str:
    shown = ["steps", "guidance", "scheduler", "seed", "strength", "negative_prompt"]
    values = settings.to_dict()
    texts = [label(name, values[name]) for name in shown if values[name] not in (None, "")]
    if settings.width and settings.height:
        texts.append(f"{settings.width} x {settings.height}")
    return ", ".join(texts)


def _maker(facts: dict[str, Any]) -> str:
    """Who made it: "sdnb's embedded model emoji, float32 on cpu"."""
    model = facts.get("model", "unknown model")
    name = "sdnb's embedded model emoji" if model == "emoji" else model
    return f"{name}, {facts['dtype']} on {facts['device']}" if "dtype" in facts else name


def _about(settings: Settings, facts: dict[str, Any]) -> str:
    count = facts.get("denoiser_calls")
    calls = [f"{count} denoiser call{'s' * (count != 1)}"] if count else []
    about = [repr(settings.prompt), _numbers(settings), _maker(facts), *calls]
    return "; ".join([*about, *why_black(facts)])
