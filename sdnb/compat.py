"""What leans on other libraries' internals or versions, with its reason and a canary test."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
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


def kind_of_single_file(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The family that diffusers' loader takes a checkpoint for; "v1" where it knows none.

    The loader wants the tensors themselves; here it gets ones without memory, so that the question
    can be asked before a download.
    https://github.com/huggingface/diffusers/blob/main/src/diffusers/loaders/single_file_utils.py

    Arguments:
        shapes: of the file's tensors, by their names.
    """
    import torch
    from diffusers.loaders import single_file_utils

    empty = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    try:
        return str(single_file_utils.infer_diffusers_model_type(empty))
    except (KeyError, IndexError, NameError, RuntimeError, ValueError):  # of no shape that it knows
        return ""


def repository_of_kind(kind: str) -> str:
    """The hub id from which diffusers takes the settings of a family.

    Example:
        >>> repository_of_kind("v1")
        'stable-diffusion-v1-5/stable-diffusion-v1-5'
    """
    from diffusers.loaders import single_file_utils

    known = single_file_utils.DIFFUSERS_DEFAULT_PIPELINE_PATHS
    return str(known[kind]["pretrained_model_name_or_path"])
