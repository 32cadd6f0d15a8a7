"""What users call: one picture, a comparison, variations, one run's predicted x0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Union

from sdnb import image_input
from sdnb.generation import init_image, sampling, x0_preview
from sdnb.log import notice
from sdnb.models import cache
from sdnb.models.capabilities import Capabilities
from sdnb.options import Axes, Options, spelled_out
from sdnb.records import metadata
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.settings import Settings, draw_seed
from sdnb.sweeps import axes
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.evolution import Evolution
from sdnb.sweeps.execution import Kept
from sdnb.sweeps.plan import Plan
from sdnb.sweeps.ray_engine import Ray

if TYPE_CHECKING:
    import os

    import torch
    from diffusers import DiffusionPipeline
    from typing_extensions import Unpack

Dtype = Union[str, "torch.dtype"]
RESEMBLING = 0.6  # strength of variations


@spelled_out(Options)
def generate(
    prompt: str | Settings,
    *,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    **options: Unpack[Options],
) -> Sample:
    """Makes one picture from a text, or from a text and a picture.

    Arguments:
        prompt: what the picture shows; or whole `Settings`, which the other arguments change.
        negative_prompt: what the picture should not show.
        steps: denoising steps, 1 to 1000; where not given the pipeline's own number, which for
            the embedded model and Stable Diffusion 1 is 50.
        guidance: classifier-free guidance scale, 0 or more; where not given the pipeline's own,
            which for the embedded model and Stable Diffusion 1 is 7.5.
        scheduler: a name of `sdnb.schedulers.names()`; the model's own where not given.
        seed: of the starting noise, always drawn on the CPU; where not given one is drawn, and
            recorded in the sample. Before torch 2.12 half precision draws other noise than float32.
        width: pixels; the model's own where not given.
        height: pixels; the model's own where not given.
        strength: how much of the picture is redrawn, over 0 and up to 1; the pipeline's own
            (usually 0.8, for inpainting 1) where not given.
        long_prompt: a prompt longer than the model reads is an "error" unless it is to be "cut",
            or read in pieces ("chunk"; SD 1, SD 2 and SDXL).
        prompt_syntax: "compel" where the prompts hold weights such as "fox++" or "(sky)1.3" (SD 1,
            SD 2 and SDXL; `pip install sdnb[compel]`).
        keep: "pixels" puts the picture's own pixels back where the mask is black, and mixes them
            where it is grey, as along a smooth edge. None leaves them as they were decoded.
        lora: the weights of LoRAs that `load` put into the pipeline, by their names, such as
            {"style": 0.8}; those that are not named are off. Where not given each has the weight
            that it was loaded with.
        toward: a part of the way to another prompt or seed, such as {"prompt": "a cat", "part":
            0.5}; `path` makes the whole way.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        image: a picture to start from (image to image): a PIL picture, a file, a `Sample`, an array
            or whatever else `sdnb.image_input.picture` takes. It is fitted to width and height;
            without them it keeps its shape, at the model's size. A list of several for editing
            models that take several (FLUX.2, Qwen-Image-Edit-Plus).
        mask: white where the picture is to be painted anew, black where it stays (inpainting); what
            is transparent in it stays too. As diffusers does it, what stays is kept in the latents,
            and so goes through the VAE's encoder and decoder: it looks the same but is not the same
            pixel for pixel. See `keep`.
        store: where finished pictures are looked for and kept: True for the usual place, a
            folder, a `Store`; False makes it anew.

    Returns:
        The sample, with its picture, the settings as they were used, and facts.

    Raises:
        ValueError: a setting is out of its range or does not fit the model; before anything runs.
        TypeError: there is no such setting; where diffusers has it, the error names ours.
        FileNotFoundError: there is no such picture.

    Example:
        >>> import sdnb
        >>> sample = generate("a fox on a blue background", steps=4, pipe=sdnb.load("emoji"))
        >>> sample.image.size
        (128, 128)
    """
    cell = Cell(Settings.of(prompt, **options))
    return Plan.of([cell], pipe, init_image.start(image, mask)).run(store)[0]


@spelled_out(Axes)
def compare(
    prompt: str | Settings | Iterable[str],
    *,
    calls: int | None = None,
    model: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    dtype: Dtype | Iterable[Dtype] | None = None,
    quantize: str | Iterable[str | None] | None = None,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    batch: int | None = None,
    engine: str | Ray | None = None,
    **options: Unpack[Axes],
) -> Sheet:
    """Makes one picture for each combination of the settings that are given as lists.

    One list gives one row. With two, the columns are the first of them in the order of the
    arguments, the rows the second. With three, each value of the third is a page of its own.
    Without a seed one is drawn and shared, so that all pictures start from the same noise.

    The pictures are made together, their denoiser calls merged; each is what it would be alone,
    apart from rounding. Those made before come from the store. Ctrl-C keeps what is finished.

    Models that are compared are loaded one after another, and leave the memory again where it is
    too small for all of them; each of these is then read from the disk twice, once to check the
    settings and once to make its pictures. The current pipeline stays what it is.

    Arguments:
        prompt, negative_prompt, steps, guidance, scheduler, seed, width, height, strength,
            long_prompt, prompt_syntax, keep, lora,
            toward: as for `generate`; each also as a list, range,
            tuple or array of values. A list as one LoRA's weight is an axis of its own:
            lora={"style": [0, 0.4, 0.8]}. Choices in one prompt, "a {red|blue} fox", are an axis,
            two of them two; \\{ is a brace. Instead of one prompt whole `Settings`, which the
            others change.
        calls: instead of `steps`: each scheduler makes about so many denoiser calls, so that they
            are compared at equal cost.
        model: instead of `pipe`: what `load` takes; a list compares models.
        dtype, quantize: as for `load`, of the model, or of the pipeline, which is loaded once
            more; a list compares them, and under each picture stands how far it is from the one in
            full precision.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        image, mask, store: as for `generate`; the same for all pictures.
        batch: pictures at once; 1 makes them one by one. None takes what fits into the memory.
        engine: "ray" makes them on Ray's workers, on all GPUs or cores of this machine or of a
            cluster (docs/clusters.md); `sdnb.Ray` says on how many. None makes them here.

    Returns:
        A labelled sheet; `sheet.samples` are its pictures, row by row.

    Raises:
        ValueError: a value is out of its range or does not fit the model, or a list is empty;
            before anything runs.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> sheet = compare("a fox", steps=[2, 4], seed=510, pipe=sdnb.load("emoji"))
        >>> sheet.rows, sheet.cols, sheet.col_labels
        (1, 2, ['2 steps', '4 steps'])
    """
    planned = plan(
        prompt, calls=calls, model=model, dtype=dtype, quantize=quantize, pipe=pipe, image=image,
        mask=mask, **options,
    )  # fmt: skip
    return planned.run(store, batch, engine)


@spelled_out(Axes)
def plan(
    prompt: str | Settings | Iterable[str],
    *,
    calls: int | None = None,
    model: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    dtype: Dtype | Iterable[Dtype] | None = None,
    quantize: str | Iterable[str | None] | None = None,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    **options: Unpack[Axes],
) -> Plan:
    """What `compare` would do: the list of settings and what they cost, without running.

    It takes the arguments of `compare`, but for store, batch and engine, which `Plan.run` takes.

    Returns:
        A plan; it prints itself, and `plan.run()` makes the pictures.

    Raises:
        ValueError, TypeError: as `compare`.

    Example:
        >>> import sdnb
        >>> plan("a fox", steps=[12, 24, 38, 50], seed=510, pipe=sdnb.load("emoji"))
        Plan(4 pictures, 124 denoiser calls, merged about 50)
    """
    given = _given(prompt, options, calls)
    fixed, lists = axes.split(
        not isinstance(prompt, Settings), **given, model=model, dtype=dtype, quantize=quantize
    )
    drafts = axes.cells(fixed, lists, calls)
    made = Plan.of(drafts, pipe, init_image.start(image, mask))
    made.check_axes(drafts, lists)
    cols, rows, pages = axes.labels(lists)
    return replace(
        made, rows=len(rows) or 1, cols=len(cols) or 1, col_labels=cols, row_labels=rows,
        page_labels=pages,
        title=axes.title(
            made.settings[0], lists | made.differing,
            fixed["prompt"] if axes.has_choices(lists) else "",
        ),
    )  # fmt: skip


def _given(
    prompt: str | Settings | Iterable[str], options: Mapping[str, Any], calls: int | None
) -> dict[str, Any]:
    """Each setting that was given, be it alone, as a list, or as one of whole `Settings`."""
    if not isinstance(prompt, Settings):
        return {"prompt": prompt, **options}
    whole = prompt.to_dict() | {k: v for k, v in options.items() if v is not None}
    if calls is not None and options.get("steps") is None:
        del whole["steps"]  # they follow from calls
    return whole


@spelled_out(Options)
def variations(
    image: image_input.Source,
    n: int = 4,
    *,
    prompt: str | Settings | None = None,
    pipe: DiffusionPipeline | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    **options: Unpack[Options],
) -> Sheet:
    """Makes pictures that resemble a given one.

    With an image-variations model (the article's is "lambdalabs/sd-image-variations-diffusers",
    revision "v2.0") the picture takes the prompt's place; an editing model (FLUX.1 Kontext) changes
    what the prompt says; with any other this is image to image.

    Arguments:
        image: a PIL picture, a file, a `Sample`, or an array, as for `generate`.
        n: how many.
        negative_prompt, steps, guidance, scheduler, width, height, long_prompt, prompt_syntax,
            keep, lora, toward: as for `generate`.
        seed: of the first; the others have the next numbers. Drawn where not given.
        strength: how much is redrawn, over 0 and up to 1; 0.6 where not given. Variations models
            redraw all, and editing models take none.
        prompt: what the picture shows, for image to image; or whole `Settings`. Where not given it
            is the `Sample`'s, or what sdnb or AUTOMATIC1111 wrote into the picture; where there is
            none it is empty, which is logged. An editing model needs one: what is to change.
        pipe, mask, store: as for `generate`.

    Returns:
        A sheet of one row.

    Raises:
        ValueError: a setting does not fit, or an editing model has no prompt.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> fox = sdnb.generate("a fox", steps=4, seed=1, pipe=sdnb.load("emoji"))
        >>> len(variations(fox, 2, steps=4, seed=1))
        2
    """
    if n < 1:
        raise ValueError(f"n is {n}: give 1 or more.")
    pipe = cache.current(pipe)
    can = Capabilities.of(pipe)
    reads, edits = can.prompt, can.edits and mask is None
    if edits and not prompt:
        raise ValueError(
            f"{can.name} edits a picture by the words of the prompt: say in prompt= what is to "
            "change."
        )
    if prompt is None:
        prompt = _prompt_of(image) if reads else ""
    strength = options.pop("strength", None)
    if strength is None and isinstance(prompt, Settings):
        strength = prompt.strength
    if strength is None and not edits:
        strength = RESEMBLING
    draft = Settings.of(prompt, strength=strength, **options)
    if not reads:
        draft = draft.but(prompt="", strength=1.0)
    first = draw_seed() if draft.seed is None else draft.seed
    seeds = [first + i for i in range(n)]
    return compare(draft, seed=seeds, image=image, mask=mask, pipe=pipe, store=store)


def _prompt_of(image: image_input.Source) -> str:
    """The prompt in a picture's metadata; empty where there is none, which is logged."""
    prompt = image.settings.prompt if isinstance(image, Sample) else metadata.prompt_of(image)
    if prompt is None:
        notice(
            "The picture does not say what it shows, so its variations are made without a "
            "prompt. With one they are better: sdnb.variations(image, prompt=...)."
        )
    return prompt or ""


@spelled_out(Options)
def evolution(
    prompt: str | Settings,
    at: Iterable[int] = (12, 24, 38, 50),
    *,
    pipe: DiffusionPipeline | None = None,
    image: image_input.Sources | None = None,
    mask: image_input.Source | None = None,
    store: Kept = True,
    **options: Unpack[Options],
) -> Sheet:
    """Makes ONE run, and shows what picture the denoiser predicted (x0) after some of its steps.

    `compare(steps=[12, 24, 38, 50])` makes four runs, each of which walks its own path;
    this looks at one path at four places.

    Arguments:
        prompt: what the picture shows; or whole `Settings`, which the other arguments change.
        at: after how many steps to look.
        negative_prompt, guidance, scheduler, seed, width, height, strength, long_prompt,
            prompt_syntax, keep, lora, toward: as for `generate`.
        steps: of the whole run; where not given the pipeline's own number, or the largest of `at`
            where that is more. Image to image makes as many of them as `strength` says, and `at`
            counts those.
        pipe, image, mask, store: as for `generate`.

    Returns:
        A sheet of one row, a picture for each of `at`; the settings are those of the whole run,
        and each sample's fact `step` says where it was.

    Raises:
        ValueError: a step is outside the run, a setting does not fit, or the model's latents
            cannot be decoded before the end; before anything runs.
        TypeError: there is no such setting; where diffusers has it, the error names ours.

    Example:
        >>> import sdnb
        >>> evolution("a fox", [2, 4], steps=4, seed=1, pipe=sdnb.load("emoji")).col_labels
        ['after 2 of 4 steps', 'after 4 of 4 steps']
    """
    asked = list(at)
    draft, start = Settings.of(prompt, **options), init_image.start(image, mask)
    pipe = sampling.pipeline_for(cache.current(pipe), start)
    x0_preview.check(pipe)
    if draft.steps is None:
        draft = draft.but(steps=max([Capabilities.of(pipe).steps, *(int(p) for p in asked)]))
    run = Evolution.of(sampling.resolve(draft, pipe, start), pipe, start)
    places = [int(place) for place in asked]
    if not places or places != asked or not all(1 <= place <= run.steps for place in places):
        raise ValueError(f"at is {asked}: give steps from 1 to {run.steps}.")
    samples = run.seen(places, store)
    return Sheet(
        samples, 1, len(places), col_labels=[f"after {p} of {run.steps} steps" for p in places],
        title=axes.title(samples[0].settings, {"steps": []}),
    )  # fmt: skip
