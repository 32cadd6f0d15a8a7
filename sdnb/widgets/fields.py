"""The fields of a panel, and how they are laid out."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from sdnb.widgets.model_choice import ModelChoice
from sdnb.widgets.style import styled

STEPS, GUIDANCE = 100, 20  # where the sliders end, until a larger value is restored
STRENGTH = 0.05  # where its slider begins, until a smaller value is restored
LONG = [("show an error", "error"), ("cut the end", "cut"), ("read it in pieces", "chunk")]


class Fields:
    """The widgets for one value each, empty, and not yet watched.

    Arguments:
        loras: the box with the LoRAs' sliders.

    Attributes:
        ask, settings_box: what is to be shown: the prompts, and all the rest.
        choice: which model is to be loaded, and with what.
    """

    def __init__(self, loras: Any) -> None:
        self.choice = ModelChoice()
        self.model, self.load = self.choice.model, self.choice.load
        self.ask = styled(widgets.VBox(self._of_prompts()), "sdnb-ask")
        self.settings_box = styled(
            widgets.VBox(
                [
                    *self._of_sampling(), *self._of_seed(), *self._of_size(), *self._of_start(),
                    loras, self.choice.box,
                ]
            ),
            "sdnb-settings",
        )  # fmt: skip

    def _of_prompts(self) -> list[Any]:
        self.prompt = styled(widgets.Textarea(description="Prompt", rows=3), "sdnb-prompt")
        self.prompt_tokens = styled(widgets.HTML(), "sdnb-tokens")
        self.negative = widgets.Textarea(
            description="Negative prompt: what it should not show", rows=1
        )
        self.negative_tokens = styled(widgets.HTML(), "sdnb-tokens")
        self.long = widgets.Dropdown(description="A prompt that is too long", options=LONG)
        self.weights = widgets.Checkbox(
            description="Weights in the prompt, as in fox++", indent=False
        )
        return [
            self.prompt, self.prompt_tokens, self.negative, self.negative_tokens,
            self.long, self.weights,
        ]  # fmt: skip

    def _of_sampling(self) -> list[Any]:
        self.steps = widgets.IntSlider(50, 1, STEPS, description="Steps", continuous_update=False)
        self.guidance = widgets.FloatSlider(
            7.5, min=0, max=GUIDANCE, step=0.5, description="Guidance", continuous_update=False,
            readout_format="",
        )  # fmt: skip
        self.scheduler = widgets.Dropdown(description="Scheduler")
        return [self.steps, self.guidance, self.scheduler]

    def _of_seed(self) -> list[Any]:
        # a text, because a page's numbers end at 2**53, and seeds do not
        self.seed = widgets.Text(description="Seed", continuous_update=False)
        self.dice = styled(
            widgets.Button(description="Dice", tooltip="Draw another seed"), "sdnb-small"
        )
        self.lock = widgets.Checkbox(description="Keep the seed", indent=False)
        return [_row(self.seed, self.dice), self.lock]

    def _of_size(self) -> list[Any]:
        self.width = widgets.Dropdown(description="Width")
        self.height = widgets.Dropdown(description="Height")
        return [_row(self.width, self.height)]

    def _of_start(self) -> list[Any]:
        self.strength = widgets.FloatSlider(
            0.8, min=STRENGTH, max=1, step=0.05, description="Strength: how much is redrawn",
            continuous_update=False, readout_format="",
        )  # fmt: skip
        self.upload = widgets.FileUpload(
            accept="image/*", multiple=False, description="Start from a picture",
            tooltip="Image to image: choose a picture to start from",
        )  # fmt: skip
        self.forget = widgets.Button(description="Remove", tooltip="Start from noise again")
        self.thumbnail = styled(widgets.HTML(), "sdnb-small")
        return [_row(self.thumbnail, self.upload, self.forget), self.strength]


def choices(field: Any, options: list[tuple[str, Any]], usual: Any) -> None:
    """New options; the value stays if it is among them."""
    before = field.value
    field.options = options
    field.value = before if before in [value for _, value in options] and before else usual


def show(widget: Any, wanted: bool) -> None:
    """Shows a widget, or hides it."""
    widget.layout.display = None if wanted else "none"


def _row(*children: Any) -> Any:
    return styled(widgets.Box(list(children)), "sdnb-pair")
