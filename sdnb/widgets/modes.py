"""Modes: below the settings, how many pictures are made, or what is compared or voted on."""

from __future__ import annotations

import ipywidgets as widgets

from sdnb.widgets import parsing
from sdnb.widgets.controls import Controls

MOST = 8  # pictures at once
PAIRS = 40  # of a vote, at most


class Modes:
    """Two tabs of controls, each with its buttons.

    Arguments:
        controls: the settings, which decide what can be compared.
        inline: whether callbacks make pictures themselves (Colab): nothing is live then.

    Attributes:
        box: what is to be shown.
        count, live, make: of the first tab: how many pictures, at each change or at a press.
        axis, among, set_out, pairs, vote: of the second: the setting, its values, Compare; how
            many pairs, Vote.
    """

    def __init__(self, controls: Controls, inline: bool) -> None:
        self.count = widgets.IntSlider(1, 1, MOST, description="Pictures", continuous_update=False)
        self.live = widgets.Checkbox(description="Live: generate at each change", indent=False)
        if inline:  # each change would wait for the one before
            self.live.layout.display = "none"
        self.make = widgets.Button(description="Generate", button_style="primary")
        self.axis = widgets.Dropdown(
            description="Compare", options=parsing.axes_of(controls.can, controls.loras)
        )
        self.among = widgets.Textarea(
            parsing.AXES["steps"], description="Values", rows=2, continuous_update=False
        )
        self.set_out = widgets.Button(description="Compare", button_style="primary")
        self.pairs = widgets.IntSlider(8, 2, PAIRS, description="Pairs", continuous_update=False)
        self.vote = widgets.Button(
            description="Vote",
            tooltip="Pairs of two values, left and right drawn by lot: say which is better",
        )
        self.box = widgets.Tab(
            [
                widgets.VBox([self.count, self.live, self.make]),
                widgets.VBox([self.axis, self.among, self.set_out, self.pairs, self.vote]),
            ]
        )
        self.box.set_title(0, "Generate")
        self.box.set_title(1, "Compare")
        self.box.add_class("sdnb-modes")

    def fit(self, controls: Controls) -> None:
        """Offers what another model can be compared along."""
        self.axis.options = parsing.axes_of(controls.can, controls.loras)
