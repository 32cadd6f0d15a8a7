"""torch's switches: those that change results, for a whole process or a thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sdnb import compat


def unusual() -> dict[str, tuple[str, str]]:
    """The switches that are not as torch sets them: name -> (as torch sets it, as it is).

    The number of threads is not among them, nor is the kind of CPU: where these change a picture
    it is by less than can be seen, and a store may be used from several machines.

    Example:
        >>> import torch
        >>> unusual()
        {}
        >>> with torch.autocast("cpu", dtype=torch.bfloat16):
        ...     unusual()
        {'torch.autocast': ('off', 'on')}
    """
    found = {}
    for name, usual, read in _switches():
        try:
            now = read()
        except RuntimeError:  # torch refuses to name one where old and new names were mixed
            now = "mixed"
        # "highest", set by name, is what a CPU does where nothing is set
        if now != usual and (usual, now) != ("none", "ieee"):
            found[name] = str(usual), str(now)
    return found


@functools.cache
def _switches() -> list[tuple[str, Any, Callable[[], Any]]]:
    """Name, usual value, and how it is read, of each that this version of torch has."""
    import torch
    from torch import backends

    tiny = torch.tensor(1e-39)
    on_off = ("off", "on")
    listed: list[tuple[str, Any, Callable[[], Any]]] = [
        ("torch.autocast", "off", lambda: on_off[compat.is_autocast_on()]),
        ("torch.set_default_dtype", torch.float32, torch.get_default_dtype),
        ("torch's modes of functions", 0, compat.count_of_modes),
        ("torch's hooks of all modules", False, compat.has_global_hooks),
        ("torch.use_deterministic_algorithms", False, torch.are_deterministic_algorithms_enabled),
        ("torch.set_float32_matmul_precision", "highest", torch.get_float32_matmul_precision),
        ("torch.set_flush_denormal", False, lambda: (tiny * 1).item() == 0),
        ("diffusers' attention backend", compat.usual_attention_backend(),
         compat.attention_backend),
    ]  # fmt: skip
    kept: list[tuple[Any, str, Any]] = [
        (backends.cudnn, "enabled", True),
        (backends.cudnn, "benchmark", False),
        (backends.cudnn, "deterministic", False),
        (backends.cudnn, "allow_tf32", True),
        (backends.cuda.matmul, "allow_tf32", False),
        (backends.cuda.matmul, "allow_fp16_accumulation", False),
        (backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", True),
        (backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", True),
        (backends, "fp32_precision", "none"),
        (backends.mkldnn, "enabled", True),
        (backends.mkldnn, "deterministic", False),
        (getattr(backends.mkldnn, "matmul", None), "fp32_precision", "none"),
        (getattr(backends.mkldnn, "conv", None), "fp32_precision", "none"),
    ]
    for owner, name, usual in kept:
        try:
            getattr(owner, name)
        except (AttributeError, AssertionError):
            continue
        except RuntimeError:  # set already, in two ways
            pass
        where = getattr(owner, "__name__", None) or type(owner).__name__
        listed.append((f"{where}.{name}", usual, functools.partial(getattr, owner, name)))
    for name in ("flash", "mem_efficient", "math", "cudnn"):
        read = getattr(backends.cuda, f"{name}_sdp_enabled", None)
        if read:
            listed.append((f"torch.backends.cuda.enable_{name}_sdp", True, read))
    if hasattr(backends, "mha"):
        listed.append(("torch.backends.mha", True, backends.mha.get_fastpath_enabled))
    return listed
