"""Attention: where a model looked for each word of a prompt."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb.display import heat
from sdnb.display.grid import image_grid
from sdnb.display.preview import enlarged, preview
from sdnb.records import metadata
from sdnb.records.sample import Sample, about, model_name, numbers
from sdnb.settings import printable

if TYPE_CHECKING:
    import numpy

WIDE = 8  # pictures in one line


@dataclass(frozen=True, eq=False, repr=False)
class Attention:
    """A picture, and for each word a map of the attention that its places paid to it.

    Attributes:
        sample: the picture; the same as without looking.
        words: the words, in the order of the prompt or as they were given.
        calls: (denoiser calls, words, rows, columns), float32, 0 to 1: which share of its attention
            a place of the latents paid to the word's tokens, mean over heads and layers.

    Example:
        >>> import sdnb
        >>> seen = sdnb.attention("a red fox", ["fox"], steps=4, seed=1, pipe=sdnb.load("emoji"))
        >>> seen.calls.shape, seen["fox"].shape
        ((4, 1, 8, 8), (8, 8))
    """

    sample: Sample
    words: Sequence[str]
    calls: numpy.ndarray[Any, Any]

    @property
    def maps(self) -> dict[str, numpy.ndarray[Any, Any]]:
        """A word -> its map, (rows, columns), mean over all denoiser calls."""
        return dict(zip(self.words, self.calls.mean(axis=0)))

    def __getitem__(self, word: str) -> numpy.ndarray[Any, Any]:
        """The map of a word.

        Raises:
            KeyError: there is no such word.
        """
        return self.calls[:, self._index(word)].mean(axis=0)

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def peak(self, word: str) -> tuple[float, float]:
        """The middle of the place that paid the word most attention: (x, y), of 1.

        `x` goes from left to right, `y` from top to bottom.
        """
        import numpy

        values = self[word]
        row, col = numpy.unravel_index(values.argmax(), values.shape)
        return (int(col) + 0.5) / values.shape[1], (int(row) + 0.5) / values.shape[0]

    def overlay(self, word: str, call: int | None = None) -> Image.Image:
        """The picture under a word's map, from its least, dark blue, to its most, yellow.

        Arguments:
            word: one of the words.
            call: of which denoiser call, from 0; None takes the mean of all.

        Raises:
            KeyError: there is no such word.
            IndexError: there was no such call.
        """
        values = self[word]
        if call is not None:
            if not -len(self.calls) <= call < len(self.calls):
                raise IndexError(
                    f"There is no call {call}: {len(self.calls)} were made, counted from 0."
                )
            values = self.calls[call, self._index(word)]
        return heat.overlay(self.sample.image, values, float(values.min()), float(values.max()))

    def grid(self) -> Image.Image:
        """The picture and all overlays as one; below each word its least and most attention."""
        labels = ["the picture"]
        for word, values in self.maps.items():
            labels.append(f"{word}\n{_range(float(values.min()), float(values.max()))}")
        images = [self.sample.image, *(self.overlay(word) for word in self.words)]
        settings = self.sample.settings
        return image_grid(
            enlarged(images), cols=min(WIDE, len(images)), labels=labels,
            title=f"{settings.prompt}\n{numbers(settings)}", footer=model_name(self.sample.facts),
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes `grid` as a .png, .webp or .jpg that carries the picture's settings.

        Raises:
            ValueError: the path ends otherwise.
            OSError: it cannot be written; nothing half-written is left.
        """
        return metadata.save(self.grid(), path, [(self.sample.settings, self.sample.facts)])

    def _index(self, word: str) -> int:
        for i, each in enumerate(self.words):
            if each.lower() == word.lower():
                return i
        raise KeyError(f"{word!r} is none of the words {', '.join(self.words)}.")

    def __repr__(self) -> str:
        lines = [f"Attention({about(self.sample)})"]
        for word in self.words:
            x, y = self.peak(word)
            lines.append(f"  {printable(word)}: most at {x:.2f} from the left, {y:.2f} from above")
        return "\n".join(lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), **preview(self.grid())}


def _range(least: float, most: float) -> str:
    """Two shares of 1 in percent, with digits enough to tell them apart, and the larger from none.

    Example:
        >>> _range(0.021, 0.35), _range(0.01234, 0.01251), _range(0.00002, 0.00007)
        ('2.1 to 35.0 %', '1.2 to 1.3 %', '0.0020 to 0.0070 %')
        >>> _range(0.2, 0.2), _range(0, 1e-10)
        ('20.0 %', 'under 0.000001 %')
    """
    if 0 < 100 * most < 1e-6:
        return "under 0.000001 %"
    if least == most:
        return f"{100 * most:.1f} %"
    for digits in range(max(1, 1 - math.floor(math.log10(100 * most))), 8):
        texts = [f"{100 * share:.{digits}f}" for share in (least, most)]
        if texts[0] != texts[1]:
            break
    return f"{texts[0]} to {texts[1]} %"


__all__ = ["Attention"]
