"""What made a picture: a sample's facts, and what the store's key holds besides the settings."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from sdnb import schedulers
from sdnb.generation import init_image, watched_call
from sdnb.log import notice_once
from sdnb.models import provenance, tasks
from sdnb.records.sample import Sample
from sdnb.settings import Settings

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def of_origin(
    settings: Settings, pipe: DiffusionPipeline, dtype: str, calls: int, seconds: float
) -> dict[str, Any]:
    """What made the picture, and what it cost."""
    origin = provenance.origin_of(pipe)
    facts: dict[str, Any] = {
        "model": origin.model, "revision": origin.revision, "variant": origin.variant,
        "dtype": dtype, "device": origin.device, "pipeline": type(pipe).__name__,
        "denoiser_calls": calls, "seconds": seconds,
    }  # fmt: skip
    facts |= origin.additions
    if settings.lora:
        used = [each for each in origin.lora if each.name in settings.lora]
        facts["lora"] = {each.name: each.facts() for each in used}
    return facts


def of_call(
    made: watched_call.Call, view: DiffusionPipeline, pipe: DiffusionPipeline
) -> dict[str, Any]:
    """What every sample's facts have beside what made it and its cost."""
    unsafe = getattr(made.result, "nsfw_content_detected", None)
    known = schedulers.name_of(view.scheduler) in schedulers.SCHEDULERS
    return {
        "flagged": bool(unsafe and unsafe[0]),
        "scheduler_flags": provenance.scheduler_flags(view, pipe) if known else {},
        "versions": {n: version_of(n) for n in ("sdnb", "diffusers", "transformers", "torch")},
    }


def unusual(
    made: watched_call.Call,
    pipe: DiffusionPipeline,
    changed: dict[str, tuple[str, str]],
    start: init_image.Start | None,
    pieces: tuple[list[str], list[str]] | None,
) -> dict[str, Any]:
    """Facts that a sample has only if they apply."""
    switches, changed = provenance.switches(pipe, changed)
    unusual = {
        "broken": made.seen.broken or made.seen.decoder_broken,
        "decoder_broken": made.seen.decoder_broken,
        "decoder_upcast": made.seen.upcast,
        "channels_last": provenance.is_channels_last(pipe),
        "backend": made.backend,
        "start": start.facts() if start else None,
        "as_four_channels": tasks.is_for_inpainting(pipe),
        "pickled": not provenance.takes_safetensors_only(pipe),
        "pieces": pieces,
        "adapters": provenance.has_adapters(pipe),
        "changed": provenance.in_words(changed),
        **switches,
    }
    return {k: v for k, v in unusual.items() if v}


def made_by(
    settings: Settings, pipe: DiffusionPipeline, start: init_image.Start | None = None
) -> dict[str, Any] | None:
    """What besides the settings decides what a picture looks like, for the store's key.

    Returns:
        None where that is not known, which is logged once: the pipeline is not as `load` made it (a
        LoRA was added, a hook, a switch of torch's), or it was not made by `load` at all.
    """
    if changed := provenance.differences(pipe, schedulers.new(settings.scheduler, pipe.scheduler)):
        why = provenance.in_words(changed)
        notice_once(f"Pictures are made anew and not kept in the store: {why}.", about=pipe)
        return None
    return made_by_as_loaded(settings, pipe, start)


def made_by_as_loaded(
    settings: Settings, pipe: DiffusionPipeline, start: init_image.Start | None = None
) -> dict[str, Any]:
    """The same of a pipeline that is as `load` made it, unchecked: `run` looks when it ends."""
    origin = asdict(provenance.origin_of(pipe))
    if not origin["backend"]:
        del origin["backend"]  # torch itself
    origin |= origin.pop("additions")
    if loras := origin.pop("lora"):
        origin["lora"] = {each["name"]: each["sha256"] for each in loras}
    config = schedulers.new(settings.scheduler, pipe.scheduler).config
    used = ["diffusers", "transformers", "torch"] + ["compel"] * bool(settings.prompt_syntax)
    return origin | {
        "pipeline": type(pipe).__name__,
        "scheduler": {k: repr(v) for k, v in sorted(config.items()) if not k.startswith("_")},
        "channels_last": provenance.is_channels_last(pipe),
        "checker": getattr(pipe, "safety_checker", None) is not None,
        "start": {k: v for k, v in start.facts().items() if "file" not in k} if start else None,
        "versions": {name: version_of(name) for name in used},
    }


def placed(
    sample: Sample, made_by: Mapping[str, Any], start: init_image.Start | None = None
) -> Sample:
    """A sample from the store with this machine's paths in its facts: files hold none.

    Arguments:
        sample: from the store.
        made_by: what it was asked for with, from `made_by` or `provenance.places`.
        start: the picture that it was asked for with.
    """
    facts = sample.facts | {name: made_by[name] for name in provenance.PLACES if name in made_by}
    return replace(sample, facts=facts | ({"start": start.facts()} if start else {}))


@functools.cache  # the package's metadata is a file, read and parsed
def version_of(package: str) -> str:
    """The installed version; "unknown" where there is none."""
    try:
        return version(package)
    except PackageNotFoundError:  # used from a folder, without being installed
        return "unknown"
