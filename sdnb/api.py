"""What users call: one picture, a comparison, variations, one run looked at on its way."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sdnb.generation import init_image, model_lock, sampling, x0_preview
from sdnb.log import notice
from sdnb.models import cache
from sdnb.records import metadata
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.records.store import Store
from sdnb.settings import Settings
from sdnb.sweeps import axes
from sdnb.sweeps.axes import Cell
from sdnb.sweeps.plan import Plan
from sdnb.sweeps.ray_engine import Ray

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def generate(
    prompt: str | Settings,
    *,
    pipe: DiffusionPipeline | None = None,
    negative_prompt: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    seed: int | None = None,
    width: int | None = None,
    height: int | None = None,
    image: init_image.Source | None = None,
    mask: init_image.Source | None = None,
    strength: float | None = None,
    long_prompt: str | None = None,
    prompt_syntax: str | None = None,
    store: bool | Store = True,
) -> Sample:
    """Makes one picture from a text, or from a text and a picture.

    Arguments:
        prompt: what the picture shows; or whole `Settings`, which the other arguments change.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        negative_prompt: what the picture should not show.
        steps: denoising steps, 1 to 1000; 50 where not given.
        guidance: classifier-free guidance scale, 0 or more; 7.5 where not given.
        scheduler: a name of `sdnb.schedulers.names()`; the model's own where not given.
        seed: of the starting noise, always drawn on the CPU; where not given one is drawn, and
            recorded in the sample. Before torch 2.12 half precision draws other noise than float32.
        width: pixels; the model's own where not given.
        height: pixels; the model's own where not given.
        image: a picture to start from (image to image): a PIL picture, a file, a `Sample`. It is
            fitted to width and height; without them it keeps its shape, at the model's size.
        mask: white where the picture is to be painted anew, black where it stays (inpainting).
        strength: how much of the picture is redrawn, over 0 and up to 1; the pipeline's own
            (usually 0.8, for inpainting 1) where not given.
        long_prompt: a prompt longer than the model reads is an "error" unless it is to be "cut",
            or read in pieces ("chunk"; SD 1, SD 2 and SDXL).
        prompt_syntax: "compel" where the prompts hold weights such as "fox++" or "(sky)1.3" (SD 1,
            SD 2 and SDXL; `pip install sdnb[compel]`).
        store: where finished pictures are looked for and kept; False makes it anew.

    Returns:
        The sample, with its picture, the settings as they were used, and facts.

    Raises:
        ValueError: a setting is out of its range or does not fit the model; before anything runs.
        FileNotFoundError: there is no such picture.

    Example:
        >>> import sdnb
        >>> sample = generate("a fox on a blue background", steps=4, pipe=sdnb.load("emoji"))
        >>> sample.image.size
        (128, 128)
    """
    given = {
        "negative_prompt": negative_prompt, "steps": steps, "guidance": guidance,
        "scheduler": scheduler, "seed": seed, "width": width, "height": height,
        "strength": strength, "long_prompt": long_prompt, "prompt_syntax": prompt_syntax,
    }  # fmt: skip
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    if isinstance(prompt, Settings):
        settings = prompt.but(**changes)
    else:
        settings = Settings(prompt, **changes)
    return Plan.of([Cell(settings)], pipe, init_image.start(image, mask)).run(store)[0]


def compare(
    prompt: str | Iterable[str],
    *,
    pipe: DiffusionPipeline | None = None,
    model: str | Iterable[str] | None = None,
    negative_prompt: str | Iterable[str] = "",
    steps: int | Iterable[int] | None = None,
    calls: int | None = None,
    guidance: float | Iterable[float] = 7.5,
    scheduler: str | Iterable[str] | None = None,
    seed: int | Iterable[int] | None = None,
    width: int | Iterable[int] | None = None,
    height: int | Iterable[int] | None = None,
    strength: float | Iterable[float] | None = None,
    image: init_image.Source | None = None,
    mask: init_image.Source | None = None,
    long_prompt: str = "error",
    prompt_syntax: str | None = None,
    store: bool | Store = True,
    batch: int | None = None,
    engine: str | Ray | None = None,
) -> Sheet:
    """Makes one picture for each combination of the settings that are given as lists.

    One list gives one row. With two, the columns are the first of them in the order of the
    arguments below, the rows the second. With three, each value of the third is a page of its
    own. Without a seed one is drawn and shared, so that all pictures start from the same noise.

    The pictures are made together, their denoiser calls merged; each is what it would be alone,
    but for the last digits. Those made before come from the store. Ctrl-C keeps what is finished.

    Arguments:
        prompt, negative_prompt, steps, guidance, scheduler, seed, width, height, strength: as
            for `generate`; each also as a list, range, tuple or array of values.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        model: instead of `pipe`: what `load` takes; a list compares models.
        calls: instead of `steps`: each scheduler makes about so many denoiser calls, so that they
            are compared at equal cost.
        image, mask, long_prompt, prompt_syntax: as for `generate`; the same for all pictures.
        store: where finished pictures are looked for and kept; False makes all anew.
        batch: pictures at once; 1 makes them one by one. None takes what fits into the memory.
        engine: "ray" makes them on Ray's workers, on all GPUs or cores of this machine or of a
            cluster (docs/clusters.md); `sdnb.cluster.Ray` says on how many. None makes them here.

    Returns:
        A labelled sheet; `sheet.samples` are its pictures, row by row.

    Raises:
        ValueError: a value is out of its range or does not fit the model, or a list is empty;
            before anything runs.

    Example:
        >>> import sdnb
        >>> sheet = compare("a fox", steps=[2, 4], seed=510, pipe=sdnb.load("emoji"))
        >>> sheet.rows, sheet.cols, sheet.col_labels
        (1, 2, ['2 steps', '4 steps'])
    """
    given = {k: v for k, v in locals().items() if k not in ("store", "batch", "engine")}
    return plan(**given).run(store, batch, engine)


def plan(
    prompt: str | Iterable[str],
    *,
    pipe: DiffusionPipeline | None = None,
    model: str | Iterable[str] | None = None,
    negative_prompt: str | Iterable[str] = "",
    steps: int | Iterable[int] | None = None,
    calls: int | None = None,
    guidance: float | Iterable[float] = 7.5,
    scheduler: str | Iterable[str] | None = None,
    seed: int | Iterable[int] | None = None,
    width: int | Iterable[int] | None = None,
    height: int | Iterable[int] | None = None,
    strength: float | Iterable[float] | None = None,
    image: init_image.Source | None = None,
    mask: init_image.Source | None = None,
    long_prompt: str = "error",
    prompt_syntax: str | None = None,
) -> Plan:
    """What `compare` would do: the list of settings and what they cost, without running.

    It takes the arguments of `compare`, but for store, batch and engine, which `Plan.run` takes.

    Returns:
        A plan; it prints itself, and `plan.run()` makes the pictures.

    Raises:
        ValueError: as `compare`.

    Example:
        >>> import sdnb
        >>> plan("a fox", steps=[12, 24, 38, 50], seed=510, pipe=sdnb.load("emoji"))
        Plan(4 pictures, 124 denoiser calls, merged about 50)
    """
    given: dict[str, Any] = {
        "prompt": prompt, "negative_prompt": negative_prompt, "guidance": guidance,
        "scheduler": scheduler, "seed": seed, "width": width, "height": height,
        "strength": strength, "long_prompt": long_prompt, "prompt_syntax": prompt_syntax,
    }  # fmt: skip
    given |= {k: v for k, v in {"steps": steps, "model": model}.items() if v is not None}
    if model is not None and pipe is not None:
        raise ValueError("Give pipe or model, not both.")
    fixed, lists = axes.split(**given)
    drafts = axes.cells(fixed, lists, calls)
    made = Plan.of(drafts, pipe, init_image.start(image, mask))
    cols, rows, pages = axes.labels(lists)
    return replace(
        made, rows=len(rows) or 1, cols=len(cols) or 1, col_labels=cols, row_labels=rows,
        page_labels=pages,
        title=axes.title(made.settings[0], lists | made.differing),
    )  # fmt: skip


def variations(
    image: init_image.Source,
    n: int = 4,
    *,
    prompt: str | None = None,
    pipe: DiffusionPipeline | None = None,
    seed: int | None = None,
    strength: float = 0.6,
    steps: int = 50,
    guidance: float = 7.5,
) -> Sheet:
    """Makes pictures that resemble a given one.

    With an image-variations model (the article's is "lambdalabs/sd-image-variations-diffusers",
    revision "v2.0") the picture takes the prompt's place; with any other this is image to image.

    Arguments:
        image: a PIL picture, a file, or a `Sample`.
        n: how many.
        prompt: what the picture shows, for image to image. Where not given it is the `Sample`'s,
            or what sdnb or AUTOMATIC1111 wrote into the picture; where there is none it is empty,
            which is said.
        pipe: the pipeline; None takes the one that `load` last returned, or loads the default.
        seed: of the first; the others have the next numbers. Drawn where not given.
        strength: how much is redrawn, over 0 and up to 1; variations models redraw all.
        steps: denoising steps.
        guidance: guidance scale.

    Returns:
        A sheet of one row.

    Raises:
        ValueError: a setting does not fit.

    Example:
        >>> import sdnb
        >>> fox = sdnb.generate("a fox", steps=4, seed=1, pipe=sdnb.load("emoji"))
        >>> len(variations(fox, 2, steps=4, seed=1))
        2
    """
    if n < 1:
        raise ValueError(f"n is {n}: give 1 or more.")
    pipe = cache.current(pipe)
    if "ImageVariation" in type(pipe).__name__:
        prompt, strength = "", 1.0
    elif prompt is None:
        prompt = image.settings.prompt if isinstance(image, Sample) else metadata.prompt_of(image)
        if prompt is None:
            prompt = ""
            notice(
                "The picture does not say what it shows, so its variations are made without a "
                "prompt. With one they are better: sdnb.variations(image, prompt=...)."
            )
    first = secrets.randbelow(2**32) if seed is None else seed
    return compare(
        prompt, image=image, strength=strength, steps=steps, guidance=guidance, pipe=pipe,
        seed=[first + i for i in range(n)],
    )  # fmt: skip


def evolution(
    prompt: str | Settings,
    at: Iterable[int] = (12, 24, 38, 50),
    *,
    pipe: DiffusionPipeline | None = None,
    negative_prompt: str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    seed: int | None = None,
) -> Sheet:
    """Makes ONE run, and shows the picture that the denoiser predicted on its way.

    `compare(steps=[12, 24, 38, 50])` makes four runs, each of which walks its own path;
    this looks at one path at four places.

    Arguments:
        prompt: what the picture shows; or whole `Settings`, which the other arguments change.
        at: after how many steps to look.
        pipe, negative_prompt, guidance, scheduler, seed: as for `generate`.
        steps: of the whole run; where not given those of the `Settings`, or 50, or the largest
            of `at` where that is more.

    Returns:
        A sheet of one row, a picture for each of `at`; the settings are those of the whole run,
        and each sample's fact `step` says where it was.

    Raises:
        ValueError: a step is outside the run, a setting does not fit, or the model's latents
            cannot be decoded on the way; before anything runs.

    Example:
        >>> import sdnb
        >>> evolution("a fox", [2, 4], steps=4, seed=1, pipe=sdnb.load("emoji")).col_labels
        ['after 2 of 4 steps', 'after 4 of 4 steps']
    """
    asked = list(at)
    places = [int(place) for place in asked]
    given = {
        "negative_prompt": negative_prompt, "guidance": guidance, "scheduler": scheduler,
        "seed": seed,
    }  # fmt: skip
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    draft = prompt if isinstance(prompt, Settings) else Settings(prompt)
    whole = max([draft.steps, *places]) if steps is None else steps
    if not places or places != asked or not all(1 <= place <= whole for place in places):
        raise ValueError(f"at is {asked}: give steps from 1 to {whole}.")
    pipe = cache.current(pipe)
    x0_preview.check(pipe)
    settings = sampling.resolve(draft.but(steps=whole, **changes), pipe)
    seen: dict[int, Any] = {}
    # a step ends where the next one's first call would come
    wanted = {whole: sampling.calls_of(settings)} | {
        place: sampling.calls_of(settings.but(steps=place + 1)) - 1
        for place in places if place < whole
    }  # fmt: skip

    def look(call: int, latents: Any) -> None:
        for place, number in wanted.items():
            if number == call:
                seen[place] = latents

    samples = []
    with model_lock.lock(pipe):
        with sampling.progress([settings]) as bar:
            last = sampling.run(settings, pipe, bar.update, on_step=look)
        for place in places:
            image = last.image
            if place < whole:
                image = x0_preview.decoded(pipe, seen[place], image.size)[0].convert("RGB")
            facts = last.facts | {"step": place, "denoiser_calls": wanted[place]}
            samples.append(Sample(image, last.settings, facts))
    return Sheet(
        samples, 1, len(places), col_labels=[f"after {p} of {whole} steps" for p in places],
        title=axes.title(last.settings, {"steps": []}),
    )  # fmt: skip
