"""What a class of diffusers can be asked: arguments, parts, tasks, and why it is refused."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sdnb import compat

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

DENOISERS = ("unet", "transformer")  # what pipelines call theirs
TASKS = {"Img2Img": "image to image", "Inpaint": "inpainting"}  # as diffusers names its classes
# packages that diffusers' own code takes for granted: the first letters of a class -> its package
NEEDS = {"PRX": "ftfy", "OmniGen": "torchvision"}
# what a class's name says, and its signature does not: pattern -> why it is refused
REFUSED = {
    "Video|Kandinsky5(T2V|I2V)|SanaWM|Helios|Wan|LTX|Cosmos": "makes videos",
    "Audio|AceStep": "makes sound",
    "Upscale|SuperRes|Kandinsky6SR|Refiner": "enlarges or refines pictures",
    "Combined|Cascade|Wuerstchen|UnCLIP|Prior": "is several models in a row (a prior and a "
    "decoder) or one of them, which sdnb does not run",
    "LLaDA|DiffusionGemma|UniDiffuser": "writes text",
    "DiffEdit|Pix2PixZero": "starts from latents that another run has inverted",
    "Layered": "gives a picture in layers",
    "Onnx|Flax": "runs in another library than torch",
    "3D|ShapE": "makes 3D shapes",
}


@functools.cache
def arguments_of(made: Any) -> dict[str, Any]:
    """The arguments of a pipeline class's call, with their defaults; None for those without.

    Example:
        >>> import diffusers
        >>> arguments_of(diffusers.StableDiffusionXLPipeline)["guidance_scale"]
        5.0
    """
    return {name: None if p.default is p.empty else p.default for name, p in _taken(made).items()}


def _taken(made: type[DiffusionPipeline]) -> dict[str, inspect.Parameter]:
    taken = inspect.signature(made.__call__).parameters
    return {name: parameter for name, parameter in taken.items() if name != "self"}


def parts_of(made: type[DiffusionPipeline]) -> list[str]:
    """The parts and options that a pipeline class is made of."""
    return list(inspect.signature(made.__init__).parameters)[1:]


def task_class(made: Any, task: str) -> Any:
    """The class of diffusers that does a task with the same model; None where there is none.

    Arguments:
        made: a pipeline class; one that does the task itself is given back.
        task: "Img2Img" or "Inpaint".

    Example:
        >>> import diffusers
        >>> task_class(diffusers.FluxPipeline, "Inpaint").__name__
        'FluxInpaintPipeline'
    """
    import diffusers

    if task in made.__name__ or (task == "Inpaint" and "mask_image" in arguments_of(made)):
        return made
    stem = re.sub(r"(Img2Img|Inpaint)?Pipeline$", "", made.__name__)
    names = f"{stem}{task}Pipeline", f"{stem}{task}ingPipeline"  # DeepFloyd's is IFInpainting…
    return next((found for name in names if (found := getattr(diffusers, name, None))), None)


def lacking(made: Any, index: Mapping[str, Any] | None = None) -> list[str]:
    """Packages that pipelines of that class need, and that are not installed.

    Arguments:
        made: the class.
        index: of the model: name -> library and class, of each part.

    Example:
        >>> import diffusers
        >>> lacking(diffusers.FluxPipeline)
        []
    """
    needed = compat.packages_of(made)
    needed += [package for name, package in NEEDS.items() if made.__name__.startswith(name)]
    if any(reads_videos(part) for part in (index or {}).values()):
        needed.append("torchvision")
    return [package for package in dict.fromkeys(needed) if not find_spec(package)]


def reads_videos(part: Any) -> bool:
    """Whether a part of an index is one of transformers' processors that read videos too.

    These need torchvision, for text alone too; those that read pictures do without.

    Example:
        >>> reads_videos(["transformers", "Qwen2VLProcessor"])
        True
        >>> reads_videos(["transformers", "CLIPImageProcessor"])
        False
    """
    if not isinstance(part, list) or part[:1] != ["transformers"]:
        return False
    import transformers

    name = str(part[1])
    made: Any = getattr(transformers, name, None) if name.endswith("Processor") else None
    return made is not None and "video_processor" in inspect.signature(made.__init__).parameters


def refusal(made: type[DiffusionPipeline]) -> str | None:
    """Why `generate` cannot use pipelines of that class, to follow "which"; None where it can.

    Example:
        >>> import diffusers
        >>> refusal(diffusers.StableDiffusionControlNetPipeline)
        'needs a control picture beside the prompt'
        >>> refusal(diffusers.FluxPipeline) is None
        True
    """
    name, parts, takes = made.__name__, set(parts_of(made)), _taken(made)
    for pattern, why in REFUSED.items():
        if re.search(pattern, name):
            return why
    if any(argument.startswith(("num_frames", "frames", "video")) for argument in takes):
        return "makes videos"
    if parts & {"controlnet", "adapter", "depth_estimator"} or any(
        argument.startswith(("control_", "reference_image")) for argument in takes
    ):
        return "needs a control picture beside the prompt"
    if "vocoder" in parts or any(argument.startswith("audio") for argument in takes):
        return "makes sound"
    if "prompt" not in takes and "ImageVariation" not in name:
        return "does not make pictures from text"
    asked = [
        n for n, p in takes.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if more := [n for n in asked if n not in ("prompt", "image", "mask_image")]:
        return f"needs {' and '.join(more)} beside the prompt"
    if not {"num_inference_steps", "generator"} <= set(takes) or "scheduler" not in parts:
        return "does not make pictures from text in denoising steps"
    if not parts & {*DENOISERS}:
        return "has neither a UNet nor a transformer that sdnb knows"
    if "vqvae" in parts:
        return "keeps its pictures as tokens, which sdnb does not follow"
    return None
