"""Sliders for the LoRAs of the panel's pipeline, and the weights that stand in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from sdnb.lora_weights import of_part
from sdnb.models.lora_files import Lora
from sdnb.settings import Settings

MOST = 2  # where the sliders end, until a larger weight is restored


class LoraSliders:
    """One slider for each LoRA; none are shown where there is no LoRA.

    Arguments:
        moved: called in place of each change of a slider, with what the slider itself does where
            a person has moved it.

    Attributes:
        box: what is to be shown.
        sliders: by the LoRAs' names.
    """

    def __init__(self, moved: Callable[[Callable[[], object]], object]) -> None:
        self._moved = moved
        self._known: Sequence[Lora] = ()
        self._parts: dict[str, Any] = {}  # weights by parts, for which a slider is too little
        self.sliders: dict[str, Any] = {}
        self.box = widgets.VBox([])
        self.box.layout.display = "none"

    def fit(self, known: Sequence[Lora]) -> None:
        """A slider for each of the pipeline's LoRAs, at the weight that it was loaded with."""
        if known == self._known:
            return
        for slider in self.sliders.values():
            slider.close()
        self._known, self._parts = known, {}
        self.sliders = {lora.name: self._slider(lora) for lora in known}
        self.box.children = tuple(self.sliders.values())
        self.box.layout.display = None if known else "none"

    def _slider(self, lora: Lora) -> Any:
        slider = widgets.FloatSlider(
            of_part(lora.weight, "denoiser"), min=-MOST, max=MOST, step=0.05,
            description=f"LoRA {lora.name}", continuous_update=False, readout_format="",
        )  # fmt: skip
        if isinstance(lora.weight, Mapping):
            self._parts[lora.name] = lora.weight

        def one_for_all_parts() -> None:
            self._parts.pop(lora.name, None)

        slider.observe(lambda _: self._moved(one_for_all_parts), "value")
        return slider

    def weights(self) -> dict[str, Any] | None:
        """The weights that stand there, those restored by parts as they were; None: no LoRAs."""
        if not self.sliders:
            return None
        return {
            name: self._parts.get(name, slider.value)
            for name, slider in self.sliders.items()
            if slider.value or name in self._parts
        }

    def restore(self, settings: Settings) -> list[str]:
        """Sets the sliders to what made a picture; returns which LoRAs are not here, in words."""
        own = {lora.name: lora.weight for lora in self._known}
        weights = own if settings.lora is None else settings.lora
        self._parts = {n: w for n, w in weights.items() if n in own and isinstance(w, Mapping)}
        for name, slider in self.sliders.items():
            weight = weights.get(name, 0.0)
            weight = of_part(own[name] if weight is None else weight, "denoiser")
            slider.max = max(MOST, weight)
            slider.min = min(-MOST, weight)
            slider.value = weight
        return [f"the LoRA {name} is not loaded" for name in weights if name not in own]
