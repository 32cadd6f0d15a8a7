"""The controls of a panel, and the settings that stand in them."""

from __future__ import annotations

import copy
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from PIL import Image

from sdnb import compat, emoji, image_input, schedulers
from sdnb.generation import init_image, prompt_encoding
from sdnb.generation.init_image import Start
from sdnb.models import provenance
from sdnb.models.capabilities import Capabilities
from sdnb.settings import Settings
from sdnb.widgets import html, parsing
from sdnb.widgets.lora_sliders import LoraSliders
from sdnb.widgets.model_choice import ModelChoice

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

AUTOMATIC = 0  # pixels: the model's own, or the picture's shape; None is no value of a Dropdown
STEPS, GUIDANCE = 100, 20  # where the sliders end, until a larger value is restored
STRENGTH = 0.05  # where its slider begins, until a smaller value is restored
LONG = [("say so", "error"), ("cut the end", "cut"), ("read it in pieces", "chunk")]


class Controls:
    """The controls of one panel.

    Arguments:
        pipe: what it makes pictures with; only what it can do is shown.
        changed: called after the person changed a setting; with True while a text is typed.
        complain: is given a sentence where a file is no picture.
        lock: held while a change is answered: two may come at once, in different threads.

    Attributes:
        choice: which model is to be loaded, and with what.
        ask, settings_box: what is to be shown: the prompts, and all the rest.
        reader: the pipeline with tokenizers of its own, for whoever has the lock; a tokenizer
            cannot be used by two threads at once.
        start: the picture to start from, if there is one.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        changed: Callable[[bool], object],
        complain: Callable[[str], object],
        lock: threading.RLock,
    ) -> None:
        self._changed, self._complain, self._lock = changed, complain, lock
        self._filling = threading.local()  # who changes a value calls its observers
        self._diced = False  # whether no picture was made yet with the seed that was diced
        self.start: Start | None = None

        def area(name: str, rows: int, css: str = "") -> Any:
            return _styled(widgets.Textarea(description=name, rows=rows), css)

        self.prompt = area("Prompt", 3, "sdnb-prompt")
        self.prompt_tokens = _styled(widgets.HTML(), "sdnb-tokens")
        self.negative = area("Negative prompt: what it should not show", 1)
        self.negative_tokens = _styled(widgets.HTML(), "sdnb-tokens")
        self.long = widgets.Dropdown(description="A prompt that is too long", options=LONG)
        self.weights = widgets.Checkbox(
            description="Weights in the prompt, as in fox++", indent=False
        )
        self.steps = widgets.IntSlider(50, 1, STEPS, description="Steps", continuous_update=False)
        self.guidance = widgets.FloatSlider(
            7.5, min=0, max=GUIDANCE, step=0.5, description="Guidance", continuous_update=False,
            readout_format="",
        )  # fmt: skip
        self.scheduler = widgets.Dropdown(description="Scheduler")
        # a text, because a page's numbers end at 2**53, and seeds do not
        self.seed = widgets.Text(description="Seed", continuous_update=False)
        self.dice = _styled(
            widgets.Button(description="Dice", tooltip="Draw another seed"), "sdnb-small"
        )
        self.lock = widgets.Checkbox(description="Keep the seed", indent=False)
        self.width = widgets.Dropdown(description="Width")
        self.height = widgets.Dropdown(description="Height")
        self.strength = widgets.FloatSlider(
            0.8, min=STRENGTH, max=1, step=0.05, description="Strength: how much is redrawn",
            continuous_update=False, readout_format="",
        )  # fmt: skip
        self.upload = widgets.FileUpload(
            accept="image/*", multiple=False, description="Start from a picture",
            tooltip="Image to image: choose a picture to start from",
        )  # fmt: skip
        self.forget = widgets.Button(description="Remove", tooltip="Start from noise again")
        self.thumbnail = _styled(widgets.HTML(), "sdnb-small")
        self._loras = LoraSliders(self._moved_lora)
        self.choice = ModelChoice()
        self.model, self.load = self.choice.model, self.choice.load
        self.ask = _styled(
            widgets.VBox(
                [
                    self.prompt, self.prompt_tokens, self.negative, self.negative_tokens,
                    self.long, self.weights,
                ]
            ),
            "sdnb-ask",
        )  # fmt: skip
        self.settings_box = _styled(
            widgets.VBox(
                [
                    self.steps, self.guidance, self.scheduler,
                    _pair(self.seed, self.dice), self.lock,
                    _pair(self.width, self.height),
                    _pair(self.thumbnail, self.upload, self.forget), self.strength,
                    self._loras.box,
                    self.choice.box,
                ]
            ),
            "sdnb-settings",
        )  # fmt: skip
        self.draw()
        self.fit(pipe)
        self.model.value = provenance.origin_of(pipe).model
        self._watch()

    def fit(self, pipe: DiffusionPipeline) -> None:
        """Shows the controls that a pipeline has a use for; what is set stays where it fits."""
        can, reader = Capabilities.of(pipe), _reader(pipe)  # these may fail: nothing is changed yet
        with self._lock:
            self._fit(pipe, can, reader)

    def _fit(self, pipe: DiffusionPipeline, can: Capabilities, reader: DiffusionPipeline) -> None:
        self.can, self.reader = can, reader
        self._own = own = schedulers.name_of(pipe.scheduler)
        self._embedded = provenance.origin_of(pipe).model == emoji.NAME
        with self.filling():
            _choices(self.scheduler, [(name, name) for name in can.schedulers], own)
            _choices(self.long, LONG if can.pieces else LONG[:2], "error")
            for field in (self.width, self.height):
                sizes = [("automatic", AUTOMATIC)]
                _choices(field, sizes + [(f"{n} px", n) for n in can.sizes], AUTOMATIC)
        _show(self.prompt, can.prompt)
        _show(self.negative, can.negative_prompt)
        _show(self.guidance, can.guidance)
        _show(self.scheduler, len(can.schedulers) > 1)
        for field in (self.width, self.height):
            _show(field, bool(can.sizes))
        _show(self.weights, can.weights)
        self._loras.fit(provenance.origin_of(pipe).lora)
        self.choice.fit(pipe)
        _show(self.upload, can.picture)
        if not can.picture:
            self.start = None
        self._show_start()
        self._count()

    def settings(self) -> Settings:
        """What stands in the controls; what the pipeline does not take is left out.

        Raises:
            ValueError: a value does not fit; the sentence says which.
        """
        can = self.can
        return Settings(
            prompt=self.prompt.value if can.prompt else "",
            negative_prompt=self.negative.value if can.negative_prompt else "",
            steps=self.steps.value,
            guidance=self.guidance.value if can.guidance else None,
            scheduler=self.scheduler.value,
            seed=parsing.seed(self.seed.value),
            width=(self.width.value or None) if can.sizes else None,
            height=(self.height.value or None) if can.sizes else None,
            strength=self.strength.value if self.start else None,
            long_prompt=self.long.value,
            prompt_syntax="compel" if can.weights and self.weights.value else None,
            lora=self._loras.weights(),
        )

    def restore(self, settings: Settings, start: Start | None = None) -> list[str]:
        """Sets all controls to what made a picture.

        Returns:
            What of it this pipeline cannot do, or is not known, each in words.
        """
        lacks = []
        with self.filling():
            self.prompt.value = settings.prompt
            self.negative.value = settings.negative_prompt
            if settings.negative_prompt and not self.can.negative_prompt:
                lacks.append("it takes no negative prompt")
            steps, guidance = settings.steps or self.can.steps, settings.guidance
            self.steps.max = max(STEPS, steps)
            self.steps.value = steps
            guidance = self.can.guidance_scale if guidance is None else guidance
            if guidance is not None:
                self.guidance.max = max(GUIDANCE, guidance)
                self.guidance.value = guidance
            if (settings.scheduler or self._own) in self.can.schedulers:
                self.scheduler.value = settings.scheduler or self._own
            else:
                lacks.append(f"{settings.scheduler} does not fit it")
            if settings.seed is not None:
                self.seed.value = str(settings.seed)
                self.lock.value, self._diced = True, False
            for field, pixels in ((self.width, settings.width), (self.height, settings.height)):
                if pixels and pixels not in [n for _, n in field.options]:
                    field.options = [*field.options, (f"{pixels} px", pixels)]
                field.value = pixels or AUTOMATIC
            if settings.long_prompt in [way for _, way in self.long.options]:
                self.long.value = settings.long_prompt
            self.weights.value = settings.prompt_syntax == "compel"
            if settings.prompt_syntax and not self.can.weights:
                lacks.append("weights in a prompt cannot be read here")
            lacks += self._loras.restore(settings)
            if settings.keep:
                lacks.append("it was painted anew in part, by a mask, which no panel takes")
            if settings.toward:
                lacks.append("it was made on the way to another picture, which no panel makes")
            self.start = start if self.can.picture else None
            if settings.strength is not None:
                self.strength.min = min(STRENGTH, settings.strength)
                self.strength.value = settings.strength
                if start is None:
                    lacks.append("the picture that it started from is to be chosen again")
        self._show_start()
        self._count()
        return lacks

    @property
    def loras(self) -> dict[str, Any]:
        """The LoRAs' sliders by their names."""
        return self._loras.sliders

    def _moved_lora(self, by_person: Callable[[], object]) -> None:
        with self._lock:
            if not self._is_filling:
                by_person()
            self._told()

    def take_seed(self, drawn: bool) -> None:
        """Before a picture: draws its seed where that is wanted, and none is kept or was diced."""
        if drawn and not (self.lock.value or self._diced):
            self.draw()
        self._diced = False

    def draw(self) -> None:
        """Draws another seed."""
        with self.filling():
            self.seed.value = str(secrets.randbelow(2**32))

    @contextmanager
    def filling(self) -> Iterator[None]:
        """While it lasts, changes of this thread are the program's, not the person's."""
        before, self._filling.now = self._is_filling, True
        try:
            yield
        finally:
            self._filling.now = before

    @property
    def _is_filling(self) -> bool:
        return getattr(self._filling, "now", False)

    def _watch(self) -> None:
        def alone(act: Callable[[], object]) -> Callable[[Any], None]:
            def answer(_: Any) -> None:
                with self._lock:
                    act()

            return answer

        for field in (
            self.long, self.weights, self.steps, self.guidance, self.scheduler, self.width,
            self.height, self.strength,
        ):  # fmt: skip
            field.observe(alone(self._told), "value")
        for field in (self.prompt, self.negative):
            field.observe(alone(self._count), "value")
            field.observe(alone(lambda: self._told(typing=True)), "value")
        self.seed.observe(alone(self._typed_seed), "value")
        self.dice.on_click(alone(self._threw))
        self.upload.observe(alone(self._uploaded), "value")
        self.forget.on_click(alone(lambda: self._begin(None)))

    def _told(self, typing: bool = False) -> None:
        if not self._is_filling:
            self._changed(typing)

    def _threw(self) -> None:
        self.draw()
        self._diced = True
        self._told()

    def _typed_seed(self) -> None:
        if not self._is_filling:
            self.lock.value, self._diced = True, False  # nobody types one to have it thrown away
            self._changed(False)

    def _uploaded(self) -> None:
        for name, content in uploads(self.upload):
            try:
                start = init_image.start(opened(name, content), None)
            except ValueError as error:
                self._complain(str(error))
            else:
                self._begin(start)

    def _begin(self, start: Start | None) -> None:
        """Takes a picture as the one to start from; or none."""
        self.start = start
        self._show_start()
        self._told()

    def _show_start(self) -> None:
        self.thumbnail.value = html.small(self.start.image) if self.start else ""
        for field in (self.thumbnail, self.forget, self.strength):
            _show(field, self.start is not None)

    def _count(self) -> None:
        """Says how long the prompts are, for the encoder."""
        too_long = False
        for field, told in (
            (self.prompt, self.prompt_tokens), (self.negative, self.negative_tokens)
        ):  # fmt: skip
            most = prompt_encoding.limit(self.reader)[1]
            lost = prompt_encoding.lost(self.reader, field.value)
            unknown = emoji.unknown_words(field.value) if self._embedded else []
            told.value = html.tokens(
                prompt_encoding.count(self.reader, field.value), most, lost, unknown
            )
            _show(told, bool(field.value) and field.layout.display != "none")
            too_long = too_long or bool(lost)
        _show(self.long, too_long)


def uploads(field: Any) -> list[tuple[str, bytes]]:
    """Takes names and contents of the files out of a `FileUpload`: the same can then come again.

    Its value is a tuple in ipywidgets 8, and in 7 a dictionary, made of what is beside it.
    """
    value = field.value
    if not value:
        return []
    if isinstance(value, dict):
        files = [(name, bytes(file["content"])) for name, file in value.items()]
        compat.empty_upload(field)
    else:
        files = [(file["name"], bytes(file["content"])) for file in value]
        field.value = ()
    return files


def opened(name: str, content: bytes) -> Image.Image:
    """The picture in a file's bytes.

    Raises:
        ValueError: it is none.
    """
    return image_input.picture(content, name).image


def _reader(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """A copy that has tokenizers of its own."""
    reader = copy.copy(pipe)
    provenance.inherit(reader, pipe)
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        if getattr(pipe, name, None) is not None:
            setattr(reader, name, copy.deepcopy(getattr(pipe, name)))
    return reader


def _choices(field: Any, options: list[tuple[str, Any]], usual: Any) -> None:
    """New options; the value stays if it is among them."""
    before = field.value
    field.options = options
    field.value = before if before in [value for _, value in options] and before else usual


def _styled(widget: Any, *classes: str) -> Any:
    for name in filter(None, classes):
        widget.add_class(name)
    return widget


def _pair(*children: Any) -> Any:
    return _styled(widgets.Box(list(children)), "sdnb-pair")


def _show(widget: Any, wanted: bool) -> None:
    widget.layout.display = None if wanted else "none"
