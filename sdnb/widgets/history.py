"""History: thumbnails of what was made, here and before; each a way back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets

from sdnb.generation.init_image import Start
from sdnb.records import sample
from sdnb.records.sample import Sample
from sdnb.settings import figure
from sdnb.widgets import html

MOST = 24  # thumbnails; older ones are closed
SIDE = 84  # pixels
_numbers = itertools.count(1)  # so that no two thumbnails of a page share their style


class History:
    """A row of buttons with pictures on them, the newest first.

    Arguments:
        chosen: called with the sample and the picture that it started from, if that is known.

    Attributes:
        box: what is to be shown.
        samples: what it holds, the newest first.
    """

    def __init__(self, chosen: Callable[[Sample, Start | None], object]) -> None:
        self._chosen = chosen
        self._entries: list[tuple[Sample, Any]] = []
        self.box = widgets.Box()
        self.box.add_class("sdnb-thumbs")

    @property
    def samples(self) -> list[Sample]:
        """What it holds, the newest first; also what is hidden."""
        return [entry[0] for entry in self._entries]

    def add(self, made: Sample, start: Start | None = None) -> None:
        """Puts a picture first; one that is there already moves there."""
        same = [entry for entry in self._entries if _same(entry[0], made)]
        thumb = same[0][1] if same else self._thumb(made, start)
        self._entries = [(made, thumb), *(e for e in self._entries if e not in same)]
        self._entries, old = self._entries[:MOST], self._entries[MOST:]
        self._show()
        for _, thumb in old:
            _close(thumb)

    def extend(self, older: list[Sample]) -> None:
        """Puts pictures from the store last."""
        for made in older:
            if len(self._entries) < MOST and not any(_same(s, made) for s in self.samples):
                self._entries.append((made, self._thumb(made, None)))
        self._show()

    def hide(self, voted_on: Sequence[Sample]) -> None:
        """Takes these pictures out of sight, and shows all others."""
        for made, thumb in self._entries:
            hidden = any(_same(made, each) for each in voted_on)
            thumb.layout.display = "none" if hidden else None

    def _show(self) -> None:
        self.box.children = tuple(thumb for _, thumb in self._entries)

    def _thumb(self, made: Sample, start: Start | None) -> Any:
        name = f"sdnb-thumb-{next(_numbers)}"
        settings = made.settings
        guidance = None if settings.guidance is None else figure(settings.guidance)
        button = widgets.Button(
            description=" · ".join(
                filter(None, [str(settings.steps), guidance, settings.scheduler])
            ),
            tooltip=f"Back to: {settings.prompt}; {sample.numbers(settings)}",
        )
        button.add_class("sdnb-thumb")
        button.add_class(name)
        button.on_click(lambda _: self._chosen(made, start))
        style = widgets.HTML(html.background(name, html.jpeg(made.image, SIDE)))
        style.layout.display = "none"
        return widgets.Box([style, button])


def _same(a: Sample, b: Sample) -> bool:
    return a.settings == b.settings and a.facts.get("model") == b.facts.get("model")


def _close(thumb: Any) -> None:
    for child in thumb.children:
        child.close()
    thumb.close()
