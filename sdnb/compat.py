"""What leans on other libraries' internals or versions, with its reason and a canary test."""

from __future__ import annotations

import importlib
from typing import Any

from packaging.version import Version


def dtype_keyword(diffusers: str) -> str:
    """How that version of diffusers calls the dtype; the other name is ignored or deprecated.

    Example:
        >>> dtype_keyword("0.39.0"), dtype_keyword("0.42.1")
        ('torch_dtype', 'dtype')
    """
    return "dtype" if Version(diffusers) >= Version("0.40") else "torch_dtype"


def is_autocast_on() -> bool:
    """Whether torch casts in this thread, on any device; the public question is of one device.

    https://github.com/pytorch/pytorch/blob/v2.13.0/torch/csrc/autograd/init.cpp
    """
    import torch

    read = getattr(torch._C, "_is_any_autocast_enabled", None)
    return read() if read else torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")


def count_of_modes() -> int:
    """How many modes stand between torch's functions and their work, such as a default device."""
    import torch

    return torch._C._len_torch_function_stack() + torch._C._len_torch_dispatch_stack()


def has_global_hooks() -> bool:
    """Whether a hook was registered that is called for every module there is."""
    from torch.nn.modules import module

    return bool(module._has_any_global_hook())


def http_library() -> Any:
    """The module whose errors huggingface_hub lets through: httpx, or httpx2 since its version 2.

    The hub's own error is one of that library's; which library it is, the hub says nowhere else.
    See https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/errors.py.

    Example:
        >>> http_library().HTTPError.__name__
        'HTTPError'
    """
    from huggingface_hub.errors import HfHubHTTPError

    base = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    return importlib.import_module(base.__module__.partition(".")[0])


def active_adapters(layer: Any) -> Any:
    """Which of a peft layer's adapters count, as it holds them: a name, or a list of names."""
    return layer._active_adapter


def set_active_adapters(layer: Any, names: Any) -> None:
    """Chooses them; the public `set_adapter` also turns gradients on for all their weights.

    https://github.com/huggingface/peft/blob/v0.21.0/src/peft/tuners/tuners_utils.py
    """
    layer._active_adapter = names
