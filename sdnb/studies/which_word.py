"""Which word drew what: the picture without each word, and where the model looked for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy

from sdnb import image_input
from sdnb.generation import denoiser_calls, init_image, model_lock, sampling
from sdnb.generation.attention_recorder import Recorder
from sdnb.models import cache
from sdnb.models.capabilities import Capabilities
from sdnb.options import Options, spelled_out
from sdnb.prompt_words import without, words_of
from sdnb.records.attention import Attention
from sdnb.records.sample import why_black
from sdnb.records.word_effects import WordEffects, picture_names
from sdnb.settings import Settings
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.execution import Kept
from sdnb.sweeps.plan import Plan
from sdnb.sweeps.ray_engine import Ray

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from typing_extensions import Unpack


@spelled_out(Options)
def words(
    prompt: str | Settings,
    words: Iterable[str] | None = None,
    *,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    batch: int | None = None,
    engine: str | Ray | None = None,
    **options: Unpack[Options],
) -> WordEffects:
    """Leaves out one word at a time, and shows how much the picture changes, and where.

    All pictures start from the same noise, and are made together, as those of `compare` are. A
    change says that the word matters to this picture, not that its thing stands there: without a
    word the whole picture may come out otherwise.

    Arguments:
        prompt: what the picture shows, two words or more; or whole `Settings`, which the other
            arguments change.
        words: words or phrases of the prompt, such as ["fox", "blue background"]; one that stands
            there twice is left out twice. None leaves out each word by itself.
        negative_prompt, steps, guidance, scheduler, seed, width, height, strength, long_prompt,
            prompt_syntax, keep, lora, toward: as for `generate`.
        pipe, image, mask, store: as for `generate`.
        batch, engine: as for `compare`.

    Returns:
        The words in the order of their changes, each with its picture and its map.

    Raises:
        ValueError: a word is not in the prompt, nothing is left without it, a setting does not
            fit, or the whole prompt's picture came out black.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> pipe = sdnb.load("emoji")
        >>> prompt = "a fox on a blue background"
        >>> effects = words(prompt, ["fox", "blue"], steps=4, seed=1, pipe=pipe)
        >>> effects["fox"].sample.settings.prompt, effects["fox"].map.shape
        ('a on a blue background', (128, 128))
    """
    draft, start = Settings.of(prompt, **options), init_image.start(image, mask)
    pipe = cache.current(pipe)
    if not Capabilities.of(pipe).prompt:
        raise ValueError(
            f"{type(pipe).__name__} takes no prompt, so there are no words to leave out: "
            "load a model that makes pictures from text."
        )
    left_out = words_of(draft.prompt, words, weighted=draft.prompt_syntax == "compel")
    rest = [without(draft.prompt, word) for word in left_out]
    if draft.strength is None and "" in (each.strip() for each in rest):
        name = left_out[[each.strip() for each in rest].index("")].name
        raise ValueError(
            f"Without {name!r} nothing is left of the prompt {draft.prompt!r}: give a prompt that "
            "says more, or other words."
        )
    cells = [Cell(draft), *(Cell(draft.but(prompt=each)) for each in rest)]
    names = [word.name for word in left_out]
    planned = replace(
        Plan.of(cells, pipe, start), cols=len(cells),
        col_labels=picture_names(names),
        title=draft.prompt,
    )  # fmt: skip
    sheet = planned.run(store, batch, engine)
    if black := why_black(sheet[0].facts):
        raise ValueError(
            f"The picture of the whole prompt is no picture to compare with: {black[0]}."
        )
    return WordEffects.of(sheet.samples, names, sheet.note)


@spelled_out(Options)
def attention(
    prompt: str | Settings,
    words: Iterable[str] | None = None,
    *,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    **options: Unpack[Options],
) -> Attention:
    """Makes one picture, and a map for each word of where the denoiser looked for it.

    It works with SD 1, SD 2, SDXL, SD3 and Flux. A map says which places paid attention to the
    word's tokens, which is not yet what the word drew: attention spreads over the text, and much
    of it goes to the start token and to small words. How often the maps' peaks lie on the right
    thing is measured in docs/words.md. The picture is made anew, and is the same as without maps.

    Arguments:
        prompt: what the picture shows; or whole `Settings`, which the other arguments change.
        words: words or phrases of the prompt, such as ["fox", "blue background"]; None takes each
            word by itself.
        negative_prompt, steps, guidance, scheduler, seed, width, height, strength, long_prompt,
            prompt_syntax, keep, lora,
            toward: as for `generate`; prompts in pieces and with weights have
            no maps.
        pipe, image, mask: as for `generate`.

    Returns:
        The picture with its maps, as arrays and laid over it.

    Raises:
        ValueError: a word is not in the prompt or is cut off, a setting does not fit, where the
            model has its words is not known, or the denoiser returned NaN.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> seen = attention("a fox on a blue background", steps=4, seed=1, pipe=sdnb.load("emoji"))
        >>> seen.words, seen["fox"].shape
        (['a', 'fox', 'on', 'a (2)', 'blue', 'background'], (8, 8))
    """
    draft, start = Settings.of(prompt, **options), init_image.start(image, mask)
    pipe = sampling.pipeline_for(cache.current(pipe), start)
    settings = sampling.resolve(draft, pipe, start)
    found = words_of(settings.prompt, words)
    recorder = Recorder(pipe, settings, found)
    with (
        model_lock.lock(pipe),
        denoiser_calls.progress([denoiser_calls.calls_of(settings, pipe)]) as bar,
    ):
        sample = sampling.run(settings, pipe, bar.update, start, around=recorder.watching)
    maps = numpy.stack(recorder.maps)
    if not numpy.isfinite(maps).all():
        why = "; ".join(why_black(sample.facts)) or "the denoiser's attention is NaN"
        raise ValueError(f"This picture has no maps to show: {why}.")
    return Attention(sample, [word.name for word in found], maps)


__all__ = ["attention", "words"]
