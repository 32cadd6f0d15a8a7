"""Progress of a plan in the panel: previews, denoiser calls, and where Stop takes effect.

`on_call` comes after each denoiser call and first calls the job's `check`, which raises `Stopped`
where Stop was pressed (`job_thread`): within one denoiser step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb.display.grid import image_grid
from sdnb.generation import x0_preview
from sdnb.log import notice
from sdnb.settings import Settings
from sdnb.sweeps.execution import Making
from sdnb.widgets import html
from sdnb.widgets.job_thread import Check

if TYPE_CHECKING:
    import torch

EVERY = 0.25  # seconds between two previews, at least
SHARE = 4  # a preview that took a second is followed by so many without one
SIDE = 256  # pixels: of a preview
FIRST = 2  # the denoiser call from which there is something to see


class Progress:
    """Hooks for `Making.go_on`.

    Arguments:
        making: the plan that is being run.
        check: called at every denoiser call; it raises where the run is to end.
        tell: is given how many of how many denoiser calls are done, and the seconds they took.
        show: is given a preview, JPEG; None for none.
    """

    def __init__(
        self,
        making: Making,
        check: Check,
        tell: Callable[[int, int, float], object],
        show: Callable[[bytes], object] | None,
    ) -> None:
        plan = making.plan
        self.done = 0
        self.total = sum(plan.counts[i] for i in making.todo)
        self._making, self._check, self._tell, self._show = making, check, tell, show
        self._index = {id(settings): i for i, settings in enumerate(plan.settings)}
        self._latents: dict[int, torch.Tensor | Exception] = {}
        self._started = self._told = self._shown = time.monotonic()
        self._pause = EVERY

    def on_call(self) -> None:
        """After each denoiser call of each picture."""
        self._check()
        self.done += 1
        now = time.monotonic()
        if self.done == 1:  # what comes before it, encoding the text, is no measure
            self._started = now
        if now - self._told >= EVERY:
            self._told = now
            self._tell(self.done, self.total, now - self._started)

    def on_step(self, settings: Settings, call: int, latents: torch.Tensor | Exception) -> None:
        """With predicted x0; a preview that cannot be made is the last of the run."""
        if self._show is None or call < FIRST:
            return
        self._latents[self._index[id(settings)]] = latents
        started = time.monotonic()
        if started - self._shown < self._pause:
            return
        try:
            self._show(self._preview())
        except Exception as error:  # whatever a model's parts lack, the picture may well be made
            self._show = None
            notice(f"There is no preview of this run: {type(error).__name__}: {error}")
        self._shown = time.monotonic()
        self._pause = max(EVERY, SHARE * (self._shown - started))

    def _preview(self) -> bytes:
        plan = self._making.plan
        tiles = [self._tile(i, plan.settings[i]) for i in range(len(plan))]
        return html.jpeg(image_grid(tiles, cols=plan.cols), SIDE)

    def _tile(self, i: int, settings: Settings) -> Image.Image:
        """Picture i as far as it is known, small where there are many."""
        plan = self._making.plan
        if i in self._making.made:
            self._latents.pop(i, None)
            image = self._making.made[i].image
        elif i in self._latents and (pipe := self._making.pipe) is not None:
            size = (settings.width or SIDE, settings.height or SIDE)
            image = x0_preview.decoded(pipe, _reduced(self._latents[i], size), size)[0]
            image = image.convert("RGB")
        else:
            return Image.new("RGB", (SIDE // plan.cols,) * 2, "#9aa4ae")
        side = SIDE // max(plan.cols, len(plan) // plan.cols)
        image = image.copy()
        image.thumbnail((side, side))
        return image


def _reduced(latents: Any, size: tuple[int, int]) -> Any:
    """Latents of no more pixels than a preview has; packed ones (Flux) as they are."""
    times = max(size) // SIDE
    if times < 2 or getattr(latents, "ndim", 0) != 4:
        return latents
    import torch

    return torch.nn.functional.avg_pool2d(latents.float(), times)
