"""Settings and model as a cell of plain diffusers code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sdnb import image_conversion, pipeline_class, schedulers
from sdnb.lora_weights import adapter_of
from sdnb.records.fact_schema import check
from sdnb.records.loading_code import EMOJI_FILES, Loading, is_modular, loading, tell_of_folder
from sdnb.records.loading_code import literal as _text
from sdnb.settings import Settings, figure, printable


def cell(settings: Settings, facts: Mapping[str, Any]) -> str:
    """Code that makes the picture again with diffusers alone.

    Arguments:
        settings: of a finished sample: seed and scheduler are known.
        facts: of the sample: model, revision, variant, dtype, device.

    Returns:
        Python source; its last line is the picture. Run on the same kind of device, with the
        same versions and dtype, it gives the same pixels, unless a comment says what it does not
        know: that something was changed in the pipeline before the picture was made. A scheduler
        that is not in `sdnb.schedulers.names()` is taken to be the model's own.

    Raises:
        ValueError: seed, model or dtype is not known, as in a picture from another program; or a
            fact is not of its kind: what stands in a file is never written into code as it is.

    Example:
        >>> print(cell(Settings("a fox", steps=50, seed=7), {"model": "a/b", "dtype": "float16"}))
        import torch
        from diffusers import DiffusionPipeline
        <BLANKLINE>
        pipe = DiffusionPipeline.from_pretrained(
            "a/b", use_safetensors=True, dtype=torch.float16
        ).to("cpu")
        image = pipe(
            "a fox",
            num_inference_steps=50,
            generator=torch.Generator("cpu").manual_seed(7),
        ).images[0]
        image
    """
    _check_known(settings, facts)
    start, in_parts = facts.get("start"), _in_parts(settings, facts)
    made = str(facts["pipeline"]) if start else "DiffusionPipeline"
    code = loading(facts, made)
    _set_up(code, settings, facts)
    arguments = _numbers(settings, facts)
    if number := arguments.pop("guider", None):
        code.lines.append(
            f"pipe.update_components(guider=pipe.guider.new(guidance_scale={number}, enabled=True))"
        )
    if in_parts:
        pipeline, pieces = str(facts["pipeline"]), facts.get("pieces")
        before, embeds = _embedded(pipeline, pieces) if pieces else _weighted(pipeline, settings)
        code.lines += before
        arguments = embeds | arguments
    elif settings.negative_prompt:
        arguments = {"negative_prompt": _text(settings.negative_prompt)} | arguments
    if start:
        imports, before, pictures = _started(settings, start)
        code.imports += ["from PIL import Image", *sorted(imports)]
        code.lines += before
        arguments |= pictures
        arguments |= {} if settings.strength is None else {"strength": settings.strength}
        if not is_modular(facts):
            taken = _parameters(made)
            arguments = {k: v for k, v in arguments.items() if k in taken}
    if settings.toward:
        code.imports.append("import inspect")
        code.lines += _between(settings.seed, settings.toward)
    arguments["generator"] = f'torch.Generator("cpu").manual_seed({settings.seed})'
    head = [
        *dict.fromkeys(code.imports),
        "import torch",
        *([f"from diffusers import {', '.join(sorted(code.classes))}"] if code.classes else []),
    ]
    return "\n".join(
        [*sorted(head, key=_group), "", *code.lines, *_call(settings, facts, arguments)]
    )


def _check_known(settings: Settings, facts: Mapping[str, Any]) -> None:
    """Raises ValueError where the picture's code cannot be known."""
    if settings.seed is None or not {"model", "dtype"} <= set(facts):
        raise ValueError(
            "This picture was not made by sdnb, so there is no code that makes it again. "
            "sdnb.generate(sample.settings) makes one from the same settings."
        )
    check(facts)
    if (facts.get("start") or _in_parts(settings, facts)) and "pipeline" not in facts:
        raise ValueError("The facts of this picture do not say which pipeline made it.")


def _in_parts(settings: Settings, facts: Mapping[str, Any]) -> bool:
    """Whether the pipeline was given embeddings, and no prompts."""
    return bool(facts.get("pieces") or settings.prompt_syntax)


def _set_up(code: Loading, settings: Settings, facts: Mapping[str, Any]) -> None:
    """Writes what is done to the pipeline between loading and calling it."""
    if facts.get("as_four_channels"):
        code.lines.append(
            "pipe.unet.register_to_config(in_channels=4)  # the mask is not among them"
        )
    if facts.get("channels_last"):
        code.lines.append("pipe.unet.to(memory_format=torch.channels_last)")
    if settings.lora:
        imports, lines = _loras(settings.lora, facts)
        code.imports += imports
        code.lines += lines
    code.lines += [*code.last, *_changed(facts)]
    if known := schedulers.SCHEDULERS.get(settings.scheduler or ""):
        code.classes.add(known.cls)
        needed = facts.get("scheduler_flags", known.flags)
        flags = "".join(f", {k}={_text(v)}" for k, v in needed.items())
        made_anew = f"{known.cls}.from_config(pipe.scheduler.config{flags})"
        if is_modular(facts):
            code.lines.append(f"pipe.update_components(scheduler={made_anew})")
        else:
            code.lines.append(f"pipe.scheduler = {made_anew}")


def _call(settings: Settings, facts: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """The lines that call the pipeline, and show the picture."""
    words = [f"{name}={value}" for name, value in arguments.items()]
    if settings.prompt and not _in_parts(settings, facts):
        words.insert(0, "prompt=" * bool(facts.get("prompt_by_name")) + _text(settings.prompt))
    result = facts.get("output", "images")
    lines = ["image = pipe(", *(f"    {word}," for word in words), f").{result}[0]"]
    if "mask" in facts.get("start", {}) and settings.keep:
        lines.append("image = Image.composite(image, start, mask)  # its own pixels are kept")
    return [*lines, "image"]


def _changed(facts: Mapping[str, Any]) -> list[str]:
    """Lines that change what was loaded as it was changed then; comments where they cannot."""
    parts = [part for part in ("tiling", "slicing") if facts.get(f"vae_{part}")]
    lines = [f"pipe.vae.enable_{part}()" for part in parts]
    if facts.get("backend"):
        lines.insert(0, "# made by OpenVINO; by torch, as here, it is the same to the eye")
    if scales := facts.get("freeu"):
        numbers = ", ".join(f"{name}={_text(scales[name])}" for name in ("s1", "s2", "b1", "b2"))
        lines.append(f"pipe.enable_freeu({numbers})")
    if changed := facts.get("changed"):
        lines.append(f"# made otherwise than by this pipeline as it is loaded here: {changed}")
    if facts.get("adapters"):  # others than sdnb has loaded
        lines.append("# made with adapters (LoRA) in the pipeline, which have to be loaded here")
    if facts.get("decoder_upcast"):
        lines.append("# decoded in float32, since in this dtype the decoder returned NaN")
    return lines


def _numbers(settings: Settings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the call that are numbers, as code."""
    guidance = None if settings.guidance is None else figure(settings.guidance)
    scale = facts.get("guidance_argument", "guidance_scale")
    if scale == "guidance_schedule" and guidance:
        guidance = f"[{guidance}] * {settings.steps}"
    arguments: dict[str, Any] = {"num_inference_steps": settings.steps, scale: guidance}
    arguments |= {k: getattr(settings, k) for k in ("width", "height")}
    arguments = {k: v for k, v in arguments.items() if v is not None}
    return arguments | {name: _text(value) for name, value in facts.get("beside", {}).items()}


def _group(line: str) -> int:
    """The standard library first, as isort has it, and diffusers' parts after diffusers."""
    if line in ("import io", "import inspect") or "importlib" in line:
        return 0
    return 2 if line.startswith("from diffusers.") else 1


def _loras(weights: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Imports, and lines that load the LoRAs and set their weights."""
    known, lines, imports = facts.get("lora", {}), [], set()
    for name in weights:
        made, adapter = known.get(name), _text(adapter_of(name))
        if made is None:
            lines.append(f"# made with the LoRA {printable(name)}, which has to be loaded here")
            continue
        source, file = made["source"], made.get("file")
        if file:
            options = {"weight_name": file, "revision": made.get("revision")}
            given = ", ".join([_text(source), *(f"{k}={_text(v)}" for k, v in options.items())])
        elif source.endswith(".safetensors"):
            lines += tell_of_folder(source)
            folder, name = os.path.split(source)
            given = f"{_text(folder or '.')}, weight_name={_text(name)}"
        else:  # one that comes with sdnb
            imports.add(EMOJI_FILES)
            given = 'str(files("sdnb") / "emoji" / "lora"), '
            given += f"weight_name={_text(f'{source}.safetensors')}"
        lines += ["pipe.load_lora_weights(", f"    {given}, adapter_name={adapter}", ")"]
    names = [adapter_of(name) for name in weights]
    numbers = [_parts(weight, facts) for weight in weights.values()]
    lines.append(f"pipe.set_adapters([{', '.join(map(_text, names))}], [{', '.join(numbers)}])")
    return sorted(imports), lines


def _parts(weight: Any, facts: Mapping[str, Any]) -> str:
    """A weight as set_adapters takes it."""
    if not isinstance(weight, Mapping):
        return figure(weight)
    import diffusers

    made: Any = getattr(diffusers, str(facts.get("pipeline")), diffusers.StableDiffusionPipeline)
    taken = pipeline_class.parts_of(made)
    parts = [n for n in taken if n in pipeline_class.DENOISERS or n.startswith("text_encoder")]
    each = {
        part: weight["text_encoder" if part.startswith("text") else "denoiser"] for part in parts
    }
    return (
        "{" + ", ".join(f"{_text(part)}: {figure(number)}" for part, number in each.items()) + "}"
    )


def _started(
    settings: Settings, start: Mapping[str, Any]
) -> tuple[set[str], list[str], dict[str, str]]:
    """What opens the picture to start from and its mask: imports, lines, and the arguments."""
    size = f"({settings.width}, {settings.height}), Image.Resampling.LANCZOS"
    # variations and editing models fit the picture by themselves
    whole = settings.strength is None or (not settings.prompt and settings.strength == 1)
    fit = "" if whole else f".resize({size})"
    imports, lines = _opened("start", start.get("image_file"), start.get("image_file_steps"), fit)
    arguments = {"image": "start"}
    several = ["start"]
    while (key := f"image_{len(several) + 1}") in start:
        several.append(f"start_{len(several) + 1}")
        more, opened = _opened(
            several[-1], start.get(f"{key}_file"), start.get(f"{key}_file_steps"), fit
        )
        imports, lines = imports | more, lines + opened
    if len(several) > 1:
        arguments["image"] = f"[{', '.join(several)}]"
    if "mask" in start:
        more, opened = _opened(
            "mask", start.get("mask_file"), start.get("mask_file_steps"), f".resize({size})"
        )
        imports, lines = imports | more, lines + opened
        arguments["mask_image"] = "mask"
    return imports, lines, arguments


def _opened(name: str, file: str | None, done: str | None, fit: str) -> tuple[set[str], list[str]]:
    """Imports and lines that open one picture and do to it what was done when it came in.

    Arguments:
        name: "start", "start_2" … or "mask", the variable.
        file: its path; None where it came from none.
        done: from the facts, names of `image_conversion.STEPS` with ", " between them.
        fit: how its size is made to fit, as code.
    """
    source = _text(file or f"{name}.png")
    unknown = "" if file else "  # sdnb does not know its file"
    mode = "L" if name == "mask" else "RGB"
    if not done:
        if name != "mask":
            opened = f"load_image({source}){fit}"
            return {"from diffusers.utils import load_image"}, [f"{name} = {opened}{unknown}"]
        return set(), [f'mask = Image.open({source}).convert("L"){fit}{unknown}']
    lines = [f"{name} = Image.open({source}){unknown}"]
    imports: set[str] = set()
    steps = done.split(", ")
    known = [step for step in image_conversion.STEPS if step in steps]
    for step in known:
        words, code = image_conversion.STEPS[step]
        lines += code.format(x=name).splitlines() or [f"# not written here: {words}"]
        imports |= {line for used, line in _IMPORTS.items() if f"{used}." in code}
    if len(known) < len(steps):
        lines.append("# not written here: what another version of sdnb did to it")
    if "16 bits" in known and {"paper", "transparent stays"} & set(known):
        lines.append("# not written here: the level of grey that is transparent in its file")
    return imports, [*lines, f'{name} = {name}.convert("{mode}"){fit}']


# what a step's line uses -> the line that imports it
_IMPORTS = {
    "ImageCms": "from PIL import ImageCms", "ImageOps": "from PIL import ImageOps",
    "io": "import io", "np": "import numpy as np",
}  # fmt: skip


def _embedded(
    pipeline: str, pieces: tuple[list[str], list[str]]
) -> tuple[list[str], dict[str, str]]:
    """Lines that read a long prompt in pieces, and the arguments that take the embeddings."""
    lines = [
        "def encode(part):  # one piece of at most 75 tokens",
        "    return pipe.encode_prompt(",
        "        prompt=part, device=pipe.device, num_images_per_prompt=1,",
        "        do_classifier_free_guidance=False,",
        "    )",
        "with torch.no_grad():",
        f"    parts = [encode(part) for part in {pieces[0]!r}]",
        f"    negative_parts = [encode(part) for part in {pieces[1]!r}]",
    ]
    pooled = "XL" in pipeline  # by its name: what reads a file imports no diffusers
    if pooled and not any(pieces[1]):
        lines += [
            "if pipe.config.force_zeros_for_empty_prompt:  # so the pipeline takes an empty one",
            "    nothing = [x if x is None else torch.zeros_like(x) for x in negative_parts[0]]",
            "    negative_parts = [nothing] * len(negative_parts)",
        ]
    arguments = {}
    for prefix in ("", "negative_"):
        joined = f"torch.cat([part[0] for part in {prefix}parts], dim=1)"
        arguments[f"{prefix}prompt_embeds"] = joined
        if pooled:
            arguments[f"{prefix}pooled_prompt_embeds"] = f"{prefix}parts[0][2]"
    return lines, arguments


def _weighted(pipeline: str, settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Lines that read prompts with compel's weights, and the arguments that take the embeddings."""
    pooled = "XL" in pipeline
    kind = "CompelForSDXL" if pooled else "CompelForSD"
    lines = [
        f"from compel import {kind}",
        "with torch.no_grad():",
        f"    prompts = {kind}(pipe)(",
        f"        {_text(settings.prompt)},",
        f"        negative_prompt={_text(settings.negative_prompt)},",
        "    )",
    ]
    names = ["", "negative_"]
    arguments = {f"{name}prompt_embeds": f"prompts.{name}embeds" for name in names}
    if pooled:
        arguments |= {f"{n}pooled_prompt_embeds": f"prompts.{n}pooled_embeds" for n in names}
    return lines, arguments


def _between(seed: int | None, toward: Mapping[str, Any]) -> list[str]:
    """Lines that mix what the pipeline encodes, and the noise it starts from, with another's."""
    part, prompt, other = figure(toward["part"]), toward["prompt"], toward["seed"]
    lines = []
    if prompt is not None:
        lines += [
            "def mixed(one, other):  # embeddings, on the straight line between two",
            "    if isinstance(one, (tuple, list)):",
            "        return [mixed(*both) for both in zip(one, other)]",
            "    if one is None or torch.equal(one, other):",
            "        return one",
            f"    return one + {part} * (other - one)",
            "encode = pipe.encode_prompt",
            "def encoded(*args, **options):",
            "    given = inspect.signature(encode).bind(*args, **options).arguments",
            f"    return mixed(encode(**given), encode(**{{**given, 'prompt': {_text(prompt)}}}))",
            "pipe.encode_prompt = encoded",
        ]
    if other is not None:
        lines += [
            "def slerp(one, other):  # noise, on the arc between two",
            "    a, b = one.float(), other.float()",
            "    cosine = (a.flatten() @ b.flatten()) / (a.norm() * b.norm())",
            "    angle = cosine.clamp(-1, 1).acos()",
            f"    made = ((1 - {part}) * angle).sin() * a + ({part} * angle).sin() * b",
            "    return (made / angle.sin()).to(one.dtype)",
            "prepare = pipe.prepare_latents",
            "def prepared(*args, **options):",
            "    given = inspect.signature(prepare).bind(*args, **options).arguments",
            f'    noises = [torch.Generator("cpu").manual_seed(n) for n in ({seed}, {other})]',
            "    one, other = (prepare(**{**given, 'generator': noise}) for noise in noises)",
            "    if isinstance(one, tuple):",
            "        return (slerp(one[0], other[0]), *one[1:])",
            "    return slerp(one, other)",
            "pipe.prepare_latents = prepared",
        ]
    return lines


def _parameters(pipeline: str) -> set[str]:
    import diffusers

    known: Any = getattr(diffusers, pipeline, None)
    if not (isinstance(known, type) and issubclass(known, diffusers.DiffusionPipeline)):
        raise ValueError(f"diffusers {diffusers.__version__} has no pipeline {pipeline}.")
    return set(pipeline_class.arguments_of(known))
