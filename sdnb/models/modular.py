"""Modular pipelines of diffusers: what their blocks take, and what they do after denoising.

Their call's signature says nothing: `pipe.blocks` does, which are asked here.
https://huggingface.co/docs/diffusers/modular_diffusers/overview
"""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sdnb import compat, pipeline_class
from sdnb.pipeline_class import DENOISERS

if TYPE_CHECKING:
    import torch
    from PIL import Image

TEXT = {"prompt": True}
PICTURE = {"prompt": True, "image": True}
NOT_PICTURES = {"videos": "makes videos", "audio": "makes sound", "sound": "makes sound"}
NOT_LOADED = "has no {}: load its parts first, pipe.load_components()"


def is_modular(pipe: Any) -> bool:
    """Whether a pipeline, or a pipeline class, is a modular one.

    Example:
        >>> import diffusers
        >>> is_modular(diffusers.FluxModularPipeline), is_modular(diffusers.FluxPipeline)
        (True, False)
    """
    kind = pipe if isinstance(pipe, type) else type(pipe)
    return any(base.__name__ == "ModularPipeline" for base in kind.__mro__)


def arguments_of(pipe: Any) -> dict[str, Any]:
    """The inputs of its blocks, with their defaults; None for those without.

    Example:
        >>> import diffusers
        >>> arguments_of(diffusers.FluxModularPipeline())["guidance_scale"]
        3.5
    """
    return {given.name: given.default for given in pipe.blocks.inputs if given.name}


def needs_picture(pipe: Any) -> bool:
    """Whether its blocks cannot do without a picture."""
    return any(given.name == "image" and given.required for given in pipe.blocks.inputs)


def is_redrawn(pipe: Any) -> bool:
    """Whether the blocks that run with a picture, and without a mask, take a strength."""
    return any("strength" in block.input_names for block in _leaves(pipe, PICTURE))


def refusal(pipe: Any) -> str | None:
    """Why `generate` cannot use a modular pipeline, to follow "which"; None where it can.

    Example:
        >>> import diffusers
        >>> refusal(diffusers.WanModularPipeline())
        'makes videos'
    """
    blocks = pipe.blocks
    for pattern, why in pipeline_class.REFUSED.items():
        if re.search(pattern, type(pipe).__name__):
            return why
    made, takes = set(blocks.output_names), arguments_of(pipe)
    for name, why in NOT_PICTURES.items():
        if name in made:
            return why
    if "prompt" not in takes or "images" not in made:
        return "does not make pictures from text"
    if not {"num_inference_steps", "generator"} <= set(takes):
        return "does not make pictures from text in denoising steps"
    parts = set(blocks.component_names)
    if not parts & set(DENOISERS):
        return "has neither a UNet nor a transformer that sdnb knows"
    if "scheduler" not in parts:
        return "does not make pictures from text in denoising steps"
    return None


def lacking(pipe: Any) -> str | None:
    """Which parts are not loaded yet, to follow "which"; None where all that it needs are."""
    needed = [name for name in (*DENOISERS, "scheduler", "vae") if name in pipe.component_names]
    empty = [name for name in needed if getattr(pipe, name, None) is None]
    return NOT_LOADED.format(" and no ".join(empty)) if empty else None


def steps_made(pipe: Any, steps: int, strength: float) -> int:
    """How many of the steps its blocks make where they start from a picture.

    SDXL's make `int(steps * strength)`, those of flow models `steps - int(steps - steps *
    strength)`: the blocks' own `get_timesteps` is called, on a stub of a scheduler.

    Arguments:
        pipe: the pipeline.
        steps: of the whole schedule.
        strength: over 0 and up to 1.
    """
    scheduler = SimpleNamespace(
        timesteps=range(steps), order=1, set_begin_index=lambda _: None, config={}
    )
    for block in _leaves(pipe, PICTURE):
        if "strength" not in block.input_names:
            continue
        module = sys.modules[type(block).__module__]
        rule = getattr(block, "get_timesteps", None) or getattr(module, "get_timesteps", None)
        if rule is None:
            continue
        names = rule.__code__.co_varnames[: rule.__code__.co_argcount]
        known: dict[str, Any] = {
            "scheduler": scheduler, "components": SimpleNamespace(scheduler=scheduler),
            "num_inference_steps": steps, "strength": strength, "device": "cpu",
        }  # fmt: skip
        return len(rule(**{name: known[name] for name in names if name in known})[0])
    return steps - int(steps - steps * strength)


def decoded(pipe: Any, latents: torch.Tensor, size: tuple[int, int]) -> list[Image.Image]:
    """Latents as pictures, by the blocks that come after the denoising loop.

    What these ask for besides (FLUX.2's places of the latents) is made by the blocks that make it
    in a run.

    Arguments:
        pipe: the pipeline.
        latents: (B, …), as its scheduler has them.
        size: (width, height) in pixels.

    Raises:
        ValueError: there is no loop among its blocks.
    """
    import torch
    from diffusers.modular_pipelines import PipelineState

    leaves = _leaves(pipe, TEXT)
    at = _loop(leaves)
    if at is None:
        raise ValueError(f"The blocks of this {type(pipe).__name__} have no loop of steps.")
    state = PipelineState()
    width, height = size
    values = {
        "latents": latents, "width": width, "height": height, "output_type": "pil",
        "batch_size": 1, "num_images_per_prompt": 1, "dtype": latents.dtype,
        "generator": torch.Generator("cpu").manual_seed(0),
    }  # fmt: skip
    for name, value in values.items():
        state.set(name, value)
    with torch.no_grad():
        for block in leaves[at + 1 :]:
            for given in block.inputs:
                if given.name and given.required and state.get(given.name) is None:
                    state.set(given.name, _made(pipe, leaves[:at], given.name, values))
            _, state = block(pipe, state)
    return list(state.get("images"))


def has_loop(pipe: Any) -> bool:
    """Whether its blocks have a loop of steps, after which a run can be looked at."""
    return _loop(_leaves(pipe, TEXT)) is not None


def _made(pipe: Any, before: list[Any], name: str, values: dict[str, Any]) -> Any:
    """A value that one of the blocks before the loop makes, from the size alone."""
    from diffusers.modular_pipelines import PipelineState

    for block in reversed(before):
        if name in block.intermediate_output_names:
            state = PipelineState()
            for key, value in values.items():
                if key != "latents":
                    state.set(key, value)
            _, state = block(pipe, state)
            return state.get(name)
    return None


def _leaves(pipe: Any, given: dict[str, bool]) -> list[Any]:
    """The blocks that run with such inputs, in their order; a loop counts as one."""
    blocks = pipe.blocks
    if not blocks.sub_blocks:
        return [blocks]
    return list(blocks.get_execution_blocks(**given).sub_blocks.values())


def _loop(leaves: list[Any]) -> int | None:
    """The place of the denoising loop among the blocks."""
    from diffusers.modular_pipelines import LoopSequentialPipelineBlocks

    places = [i for i, b in enumerate(leaves) if isinstance(b, LoopSequentialPipelineBlocks)]
    return places[-1] if places else None


def without_bars(view: Any) -> None:
    """Gives a run's own view blocks of its own, whose loops show no progress bar."""
    blocks = view.blocks  # a copy, each time
    todo = [blocks]
    while todo:
        block = todo.pop()
        todo += (block.sub_blocks or {}).values()
        if hasattr(block, "progress_bar"):
            block.set_progress_bar_config(disable=True)
    compat.set_blocks(view, blocks)
