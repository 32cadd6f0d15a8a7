"""The panel: pictures by hand, with previews, and the code that makes each of them again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdnb import api, image_input, prompts
from sdnb.generation import init_image
from sdnb.log import notice
from sdnb.models import cache
from sdnb.options import Options, spelled_out
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.settings import Settings
from sdnb.sweeps.execution import Kept
from sdnb.widgets import frontend

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from typing_extensions import Unpack

    from sdnb.widgets.controller import Controller

PROMPT = prompts.EMOJI.astronaut
_open: dict[str, list[tuple[str, Panel]]] = {}  # cell -> which run of it, and its panels


@spelled_out(Options)
def panel(
    prompt: str | Settings = PROMPT,
    *,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    **options: Unpack[Options],
) -> Panel:
    """Makes, compares and votes on pictures by hand: sliders, a live preview, a history.

    All that is done there can be done in a cell, and each picture gives the cell that makes it.
    Where nobody can click (a script, CI, a notebook run by a program) it shows the picture that
    it starts with.

    Arguments:
        prompt: what stands there to begin with; or whole `Settings`.
        negative_prompt, steps, guidance, scheduler, width, height, strength, long_prompt,
            prompt_syntax, keep, lora,
            toward: likewise what the controls start with, as for `generate`.
        seed: likewise, and kept until it is changed; drawn for each picture where not given.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
            Another that is loaded in the panel is the panel's alone.
        image, mask: a picture to start from, and what of it is painted anew, as for `generate`.
        store: where finished pictures are looked for and kept, as for `generate`.

    Returns:
        A panel, which shows itself; `sample` is the picture that stands in it.

    Raises:
        ModuleNotFoundError: ipywidgets is not installed.
        ValueError: a value is out of its range.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> panel("a fox", steps=2, seed=510, pipe=sdnb.load("emoji")).sample.image.size
        (128, 128)
    """
    settings, start = Settings.of(prompt, **options), init_image.start(image, mask)
    return Panel(cache.current(pipe), settings, start, store)


class Panel:
    """What `panel` returns: widgets where somebody can click, else a picture.

    Attributes:
        sample: the picture, or the sheet, that stands there: made last, or gone back to since;
            None before the first. Where there are no widgets, what the starting values give.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        settings: Settings,
        start: init_image.Start | None,
        store: Kept = True,
    ) -> None:
        self._pipe, self._settings, self._start, self._store = pipe, settings, start, store
        self._made: Sample | Sheet | None = None
        self._controller = (
            _controller(pipe, settings, start, store) if frontend.shows_widgets() else None
        )
        if self._controller is not None:
            _replace(self)

    @property
    def sample(self) -> Any:
        """The `Sample` or `Sheet` that stands there; None before the first."""
        if self._controller is not None:
            return self._controller.output.shown
        if self._made is None:
            image, mask = (self._start.given, self._start.mask) if self._start else (None, None)
            self._made = api.generate(
                self._settings, pipe=self._pipe, image=image, mask=mask, store=self._store
            )
        return self._made

    def close(self) -> None:
        """Stops what runs and takes the widgets away."""
        if self._controller is not None:
            self._controller.close()

    def __repr__(self) -> str:
        if self._controller is not None:
            return "Panel: run this cell to use it."
        return f"Panel, without anybody to use it: {self.sample!r}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The widgets, and for a page without a kernel words or a picture in their place."""
        if self._controller is None:
            return self.sample._repr_mimebundle_() | {"text/plain": repr(self)}
        instead = "This was a panel. Run the cell to use it."
        return frontend.bundle(self._controller.box, repr(self), instead)

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        if self._controller is None:
            notice(
                "A panel needs somebody to use it, and nobody is here: "
                "this is the picture that it starts with."
            )
        display(self._repr_mimebundle_(), raw=True)
        if (controller := self._controller) is None:
            return
        # what a saved notebook shows: the last picture, which the panel hides while it is alive
        plain = display(HTML(""), display_id=True)
        controller.finished = lambda made: plain.update(HTML(controller.plain(made)))


def _controller(
    pipe: DiffusionPipeline, settings: Settings, start: init_image.Start | None, store: Kept
) -> Controller:
    with frontend.widgets_for("The panel"):
        from sdnb.widgets.controller import Controller
    return Controller(pipe, settings, start, keep_seed=settings.seed is not None, store=store)


def _replace(new: Panel) -> None:
    """Closes the panels that an earlier run of the same cell made."""
    cell, run = frontend.cell()
    if not cell:
        return
    old = [each for each in _open.get(cell, []) if each[0] != run]
    for _, each in old:
        each.close()
    _open[cell] = [*(each for each in _open.get(cell, []) if each not in old), (run, new)]
