"""What is known of a pipeline: where it came from, what it is made of, whether it was changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from sdnb import emoji, schedulers
from sdnb.models import weights

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


@dataclass(frozen=True)
class Origin:
    """Where a pipeline came from, as a picture's facts say it.

    `model` is "emoji", a folder's full path or a hub id; `revision` is the commit where the hub
    gave one; `dtype` is torch's name without the prefix, such as "float16"; `backend` is empty for
    torch itself, else a name and a version.
    """

    model: str
    revision: str | None
    dtype: str
    device: str
    variant: str | None
    backend: str = ""


_origins: WeakKeyDictionary[DiffusionPipeline, Origin] = WeakKeyDictionary()
_prints: WeakKeyDictionary[DiffusionPipeline, tuple[Any, ...]] = WeakKeyDictionary()
_schedulers: WeakKeyDictionary[DiffusionPipeline, Any] = WeakKeyDictionary()  # config as loaded
_pickled: WeakSet[DiffusionPipeline] = WeakSet()  # loaded where pickled weights were allowed


def remember(pipe: DiffusionPipeline, origin: Origin, pickled: bool) -> None:
    """Notes where a pipeline came from, whether pickled weights were allowed, and how it is now."""
    _origins[pipe], _prints[pipe], _schedulers[pipe] = origin, _print(pipe), pipe.scheduler.config
    if pickled:
        _pickled.add(pipe)


def inherit(view: DiffusionPipeline, pipe: DiffusionPipeline) -> None:
    """Notes that a pipeline came from where another did, whose weights it shares."""
    _origins[view] = origin_of(pipe)
    _schedulers[view] = _schedulers.get(pipe, pipe.scheduler.config)
    if pipe in _pickled:
        _pickled.add(view)


def seal(view: DiffusionPipeline, pipe: DiffusionPipeline) -> None:
    """Notes that a pipeline is as loaded, if the other one is, whose weights it shares."""
    if is_as_loaded(pipe):
        _prints[view] = _print(view)


def origin_of(pipe: DiffusionPipeline) -> Origin:
    """Where a pipeline came from, also one that `load` did not make; dtype and device as now."""
    path = str(pipe.config.get("_name_or_path") or type(pipe).__name__)
    name = emoji.NAME if path == str(emoji.FOLDER) else path
    known = _origins.get(pipe, Origin(name, None, "", "", None))
    dtype, where = str(pipe.dtype).removeprefix("torch."), str(pipe._execution_device)
    return replace(known, dtype=dtype, device=where)


def takes_safetensors_only(pipe: DiffusionPipeline) -> bool:
    """Whether the pipeline was loaded as a rule: without pickled weights."""
    return pipe not in _pickled


def scheduler_flags(pipe: DiffusionPipeline, own: DiffusionPipeline) -> dict[str, Any]:
    """The flags that its scheduler needs beside the config that the model was loaded with."""
    return schedulers.needed_flags(pipe.scheduler, _schedulers.get(own, own.scheduler.config))


def has_adapters(pipe: DiffusionPipeline) -> bool:
    """Whether LoRAs or other adapters are loaded into a part of it."""
    return any(getattr(part, "peft_config", None) for part in pipe.components.values())


def is_channels_last(pipe: DiffusionPipeline) -> bool:
    """Whether the UNet's weights lie in the channels-last order, which changes the last digits."""
    import torch

    first = getattr(getattr(pipe, "unet", None), "conv_in", None)
    if first is None or first.weight.shape[1] == 1:
        return False
    return first.weight.is_contiguous(memory_format=torch.channels_last)


def is_as_loaded(pipe: DiffusionPipeline) -> bool:
    """Whether a pipeline's parts and weights are those that `load` gave it."""
    return pipe in _prints and _prints[pipe] == _print(pipe)


def _print(pipe: DiffusionPipeline) -> tuple[Any, ...]:
    """What changes where parts are replaced, adapters added, or weights changed in their place."""
    import torch

    modules = [m for m in pipe.components.values() if isinstance(m, torch.nn.Module)]
    free_u = [getattr(b, "s1", None) for m in modules for b in getattr(m, "up_blocks", [])]
    attention = [type(p) for m in modules for p in getattr(m, "attn_processors", {}).values()]
    return list(map(id, modules)), weights.trace(*modules), free_u, attention
