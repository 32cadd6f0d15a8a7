"""The controls of a panel, and the settings that stand in them."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from PIL import Image

from sdnb import compat, emoji, image_input, schedulers
from sdnb.generation import init_image, prompt_encoding
from sdnb.generation.init_image import Start
from sdnb.models import provenance
from sdnb.models.capabilities import Capabilities
from sdnb.settings import Settings, draw_seed
from sdnb.widgets import html, parsing
from sdnb.widgets.fields import GUIDANCE, LONG, STEPS, STRENGTH, Fields, choices, show
from sdnb.widgets.lora_sliders import LoraSliders

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

AUTOMATIC = 0  # pixels: the model's own, or the picture's shape; None is no value of a Dropdown


class Controls(Fields):
    """The controls of one panel.

    Arguments:
        pipe: what it makes pictures with; only what it can do is shown.
        changed: called after the person changed a setting; with True while a text is typed.
        complain: is given a sentence where a file is no picture.
        lock: held while a change is answered: two may come at once, in different threads.

    Attributes:
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
        self._loras = LoraSliders(self._moved_lora)
        super().__init__(self._loras.box)
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
        self._learned = [*pipe.tokenizer.get_added_vocab()] if self._embedded else []
        with self.filling():
            choices(self.scheduler, [(name, name) for name in can.schedulers], own)
            choices(self.long, LONG if can.pieces else LONG[:2], "error")
            for field in (self.width, self.height):
                sizes = [("automatic", AUTOMATIC)]
                choices(field, sizes + [(f"{n} px", n) for n in can.sizes], AUTOMATIC)
        show(self.prompt, can.prompt)
        show(self.negative, can.negative_prompt)
        show(self.guidance, can.guidance)
        show(self.scheduler, len(can.schedulers) > 1)
        for field in (self.width, self.height):
            show(field, bool(can.sizes))
        show(self.weights, can.weights)
        self._loras.fit(provenance.origin_of(pipe).lora)
        self.choice.fit(pipe)
        show(self.upload, can.picture)
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
        with self.filling():
            self._fill(settings)
            lacks = self._lacking(settings, start, self._loras.restore(settings))
        self.start = start if self.can.picture else None
        self._show_start()
        self._count()
        return lacks

    def _fill(self, settings: Settings) -> None:
        self.prompt.value = settings.prompt
        self.negative.value = settings.negative_prompt
        steps, guidance = settings.steps or self.can.steps, settings.guidance
        self.steps.max = max(STEPS, steps)
        self.steps.value = steps
        guidance = self.can.guidance_scale if guidance is None else guidance
        if guidance is not None:
            self.guidance.max = max(GUIDANCE, guidance)
            self.guidance.value = guidance
        if (settings.scheduler or self._own) in self.can.schedulers:
            self.scheduler.value = settings.scheduler or self._own
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
        if settings.strength is not None:
            self.strength.min = min(STRENGTH, settings.strength)
            self.strength.value = settings.strength

    def _lacking(self, settings: Settings, start: Start | None, loras: list[str]) -> list[str]:
        """What a picture was made with, and would not be made with here; each in words."""
        can, lacks = self.can, []
        if settings.negative_prompt and not can.negative_prompt:
            lacks.append("it takes no negative prompt")
        if (settings.scheduler or self._own) not in can.schedulers:
            lacks.append(f"{settings.scheduler} does not fit it")
        if settings.prompt_syntax and not can.weights:
            lacks.append("weights in a prompt cannot be read here")
        lacks += loras
        if settings.keep:
            lacks.append("it was painted anew in part, by a mask, which no panel takes")
        if settings.toward:
            lacks.append("it was made with toward=, which no panel takes")
        if settings.strength is not None and start is None:
            lacks.append("the picture that it started from is to be chosen again")
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
            self.seed.value = str(draw_seed())

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
            show(field, self.start is not None)

    def _count(self) -> None:
        """Shows how many tokens the prompts have, and what would be cut."""
        too_long = False
        for field, told in (
            (self.prompt, self.prompt_tokens), (self.negative, self.negative_tokens)
        ):  # fmt: skip
            most = prompt_encoding.limit(self.reader)[1]
            lost = prompt_encoding.lost(self.reader, field.value)
            unknown = emoji.unknown_words(field.value, self._learned) if self._embedded else []
            told.value = html.tokens(
                prompt_encoding.count(self.reader, field.value), most, lost, unknown
            )
            show(told, bool(field.value) and field.layout.display != "none")
            too_long = too_long or bool(lost)
        show(self.long, too_long)


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
