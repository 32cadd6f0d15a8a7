"""What each word of a prompt changes: the pictures without it, how far they are, and where."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageChops

from sdnb.display import heat
from sdnb.display.distance import difference
from sdnb.display.grid import image_grid
from sdnb.display.preview import enlarged, preview
from sdnb.records import metadata
from sdnb.records.sample import Sample, about, model_name, numbers, why_black
from sdnb.records.sheet import Sheet
from sdnb.settings import printable

if TYPE_CHECKING:
    import numpy

    from sdnb.display import plots

WIDE = 8  # pictures in one line


@dataclass(frozen=True, eq=False, repr=False)
class WordEffect:
    """One word, and the picture of the prompt without it.

    Attributes:
        word: the word or phrase.
        sample: the picture without it.
        change: mean absolute difference from the whole prompt's picture over all pixels and
            channels, 0 to 255; NaN where one of the two failed or is blackened.
        map: where: (height, width), the same difference at each pixel, blurred by a thirty-second
            of the width.
    """

    word: str
    sample: Sample
    change: float
    map: numpy.ndarray[Any, Any]

    def __repr__(self) -> str:
        return f"WordEffect({printable(self.word)}: {_figure(self.change)} of 255)"


@dataclass(frozen=True, eq=False, repr=False)
class WordEffects:
    """A prompt's words, the one that changes the picture most first.

    Attributes:
        whole: the picture of the whole prompt.
        effects: one for each word, ordered by their change.
        note: what else is to be said, below.
    """

    whole: Sample
    effects: Sequence[WordEffect]
    note: str = ""

    @classmethod
    def of(cls, samples: Sequence[Sample], words: Sequence[str], note: str = "") -> WordEffects:
        """Compares pictures of the same noise.

        Arguments:
            samples: the whole prompt's, then those without each word.
            words: their names.
            note: what else is to be said.
        """
        whole, *others = samples
        made = [WordEffect(w, s, *_apart(whole, s)) for w, s in zip(words, others)]
        made.sort(key=lambda effect: -math.inf if math.isnan(effect.change) else effect.change)
        return cls(whole, made[::-1], note)

    @property
    def words(self) -> list[str]:
        """The words in order."""
        return [effect.word for effect in self.effects]

    @property
    def changes(self) -> dict[str, float]:
        """A word -> how far the picture without it is, 0 to 255; in order."""
        return {effect.word: effect.change for effect in self.effects}

    @property
    def sheet(self) -> Sheet:
        """The pictures as a `Sheet` of one row, which has a slider, a table and files."""
        below = ["", *(f"{_figure(effect.change)} of 255" for effect in self.effects)]
        return Sheet(
            [self.whole, *(effect.sample for effect in self.effects)], 1, len(self.effects) + 1,
            col_labels=picture_names(self.words),
            title=self._title, note=self.note, below=below,
        )  # fmt: skip

    @property
    def _title(self) -> str:
        return f"{self.whole.settings.prompt}\n{numbers(self.whole.settings)}"

    def __len__(self) -> int:
        return len(self.effects)

    def __iter__(self) -> Iterator[WordEffect]:
        return iter(self.effects)

    def __getitem__(self, word: int | str) -> WordEffect:
        """The effect of a word, by its name or its place in the order.

        Raises:
            KeyError: there is no such word.
        """
        if isinstance(word, int):
            return self.effects[word]
        for effect in self.effects:
            if effect.word.lower() == word.lower():
                return effect
        raise KeyError(f"{word!r} is none of the words {', '.join(self.words)}.")

    def grid(self) -> Image.Image:
        """The pictures as one: the whole prompt's, those without each word, and maps below them.

        All maps have the same colours: from no difference, dark blue, to the largest one of this
        prompt, yellow. Below the whole prompt's picture is the mean of all maps.
        """
        import numpy

        known = [e.map for e in self.effects if not math.isnan(e.change)]
        most = max((float(each.max()) for each in known), default=1.0) or 1.0
        mean = numpy.mean(known, axis=0) if known else numpy.zeros((1, 1))
        maps = [mean, *(effect.map for effect in self.effects)]
        pictures = [self.whole.image, *(effect.sample.image for effect in self.effects)]
        overlays = [heat.overlay(self.whole.image, each, 0, most) for each in maps]
        names = picture_names(self.words)
        figures = ["mean of all", *(f"{_figure(e.change)} of 255" for e in self.effects)]
        cols = min(WIDE, len(pictures))
        blank = Image.new("RGB", self.whole.image.size, "white")
        cells: list[Image.Image] = []
        labels: list[str] = []
        for start in range(0, len(pictures), cols):
            line = slice(start, start + cols)
            rest = [blank] * (cols - len(pictures[line]))
            cells += [*pictures[line], *rest, *overlays[line], *rest]
            labels += [*names[line], *[""] * len(rest), *figures[line], *[""] * len(rest)]
        notes = [model_name(self.whole.facts), self.note]
        return image_grid(
            enlarged(cells), cols=cols, labels=labels, title=self._title,
            footer=" · ".join(filter(None, notes)),
        )  # fmt: skip

    def plot(self) -> plots.Plot:
        """How much each word changes the picture, as bars.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        from sdnb.display import plots

        known = {word: change for word, change in self.changes.items() if not math.isnan(change)}
        return plots.bars(known, "mean difference of 255 where the word is left out")

    def table(self) -> list[dict[str, Any]]:
        """One row a word with the settings and facts of its picture, as pandas takes them."""
        rows = self.sheet.table()[1:]
        return [
            {"word": effect.word, "change": effect.change} | row
            for effect, row in zip(self.effects, rows)
        ]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes `grid` as a .png, .webp or .jpg that carries the settings of all pictures.

        Raises:
            ValueError: the path ends otherwise.
            OSError: it cannot be written; nothing half-written is left.
        """
        samples = [self.whole, *(effect.sample for effect in self.effects)]
        return metadata.save(self.grid(), path, [(s.settings, s.facts) for s in samples])

    def __repr__(self) -> str:
        lines = [f"WordEffects({about(self.whole)})"]
        lines += [f"  {_figure(e.change):>5}  {printable(e.word)}" for e in self.effects]
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), **preview(self.grid())}


def picture_names(words: Sequence[str]) -> list[str]:
    """What stands at the pictures: the whole prompt's, and those without each word."""
    return ["whole prompt", *(f"without “{word}”" for word in words)]


def _apart(one: Sample, other: Sample) -> tuple[float, numpy.ndarray[Any, Any]]:
    """How far two pictures are from each other, and where."""
    import numpy

    black = why_black(one.facts) or why_black(other.facts)
    if black or one.image.size != other.image.size:
        return math.nan, numpy.zeros(one.image.size[::-1])
    differing = ImageChops.difference(one.image.convert("RGB"), other.image.convert("RGB"))
    # blurred as one channel of whole numbers, which is exact enough for a map
    grey = numpy.asarray(differing, dtype="float64").mean(axis=2)
    blurred = heat.smooth(Image.fromarray(grey.astype("float32")).convert("L"))
    return difference(one.image, other.image), numpy.asarray(blurred, dtype="float64")


def _figure(change: float) -> str:
    return "unknown" if math.isnan(change) else f"{change:.1f}"


__all__ = ["WordEffect", "WordEffects"]
