"""Settings and model as a cell of plain diffusers code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packaging.version import Version

from sdnb import emoji, schedulers
from sdnb.settings import Settings, figure


def cell(settings: Settings, facts: Mapping[str, Any]) -> str:
    """Code that makes the picture again with diffusers alone.

    Arguments:
        settings: of a finished sample: seed and scheduler are known.
        facts: of the sample: model, revision, variant, dtype, device.

    Returns:
        Python source; its last line is the picture. Run on the same kind of device, with the
        same versions and dtype, it gives the same pixels. A scheduler that is not in
        `sdnb.schedulers.names()` is taken to be the model's own.

    Raises:
        ValueError: seed, model or dtype is not known, as in a picture from another program.

    Example:
        >>> print(cell(Settings("a fox", seed=7), {"model": "a/b", "dtype": "float16"}))
        import torch
        from diffusers import DiffusionPipeline
        <BLANKLINE>
        pipe = DiffusionPipeline.from_pretrained("a/b", dtype=torch.float16).to("cpu")
        image = pipe(
            "a fox",
            num_inference_steps=50,
            guidance_scale=7.5,
            generator=torch.Generator("cpu").manual_seed(7),
        ).images[0]
        image
    """
    if settings.seed is None or not {"model", "dtype"} <= set(facts):
        raise ValueError(
            "This picture was not made by sdnb, so there is no code that makes it again. "
            "sdnb.generate(sample.settings) makes one from the same settings."
        )
    imports = ["import torch", "from diffusers import DiffusionPipeline"]
    model = _text(facts["model"])
    if facts.get("model") == emoji.NAME:
        imports.insert(0, "from importlib.resources import files\n")
        model = 'files("sdnb") / "emoji"'
    options = [f"{k}={_text(facts[k])}" for k in ("revision", "variant") if facts.get(k)]
    keyword = dtype_keyword(facts.get("versions", {}).get("diffusers", "0.40"))
    options.append(f"{keyword}=torch.{facts['dtype']}")
    place = _text(facts.get("device", "cpu"))
    lines = [
        f"pipe = DiffusionPipeline.from_pretrained({', '.join([model, *options])}).to({place})"
    ]

    known = schedulers.SCHEDULERS.get(settings.scheduler or "")
    if known:
        imports[-1] = f"from diffusers import {', '.join(sorted(['DiffusionPipeline', known.cls]))}"
        needed = facts.get("scheduler_flags", known.flags)
        flags = "".join(f", {k}={_text(v)}" for k, v in needed.items())
        lines.append(f"pipe.scheduler = {known.cls}.from_config(pipe.scheduler.config{flags})")

    arguments = [_text(settings.prompt)]
    if settings.negative_prompt:
        arguments.append(f"negative_prompt={_text(settings.negative_prompt)}")
    arguments += [
        f"num_inference_steps={settings.steps}",
        f"guidance_scale={figure(settings.guidance)}",
        *(f"{k}={v}" for k in ("width", "height") if (v := getattr(settings, k))),
        f'generator=torch.Generator("cpu").manual_seed({settings.seed})',
    ]
    call = ["image = pipe(", *(f"    {a}," for a in arguments), ").images[0]", "image"]
    return "\n".join([*imports, "", *lines, *call])


def dtype_keyword(diffusers: str) -> str:
    """How that version of diffusers calls the dtype; the other name is ignored or deprecated.

    Example:
        >>> dtype_keyword("0.39.0"), dtype_keyword("0.42.1")
        ('torch_dtype', 'dtype')
    """
    return "dtype" if Version(diffusers) >= Version("0.40") else "torch_dtype"


def _text(value: object) -> str:
    """A Python literal in double quotes where that needs no escapes, else as repr writes it."""
    literal = repr(value)
    if isinstance(value, str) and literal[0] == "'" and '"' not in literal:
        return f'"{literal[1:-1]}"'
    return literal
