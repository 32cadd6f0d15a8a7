"""What this machine has: the device, the free memory; and which dtype a model gets there."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
import time
from functools import cache
from typing import TYPE_CHECKING

from sdnb import emoji

if TYPE_CHECKING:
    import torch

_probe_lock = threading.Lock()  # guards the probe of bfloat16
DTYPES = ("float32", "float16", "bfloat16")


def best() -> str:
    """ "cuda", "mps" or "cpu": the first that is there."""
    import torch

    if torch.cuda.is_available() and not too_old():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def too_old(number: int = 0) -> str:
    """Why PyTorch cannot use a GPU although it is there; empty where it can.

    Kaggle's P100 is such a one: `torch.cuda.is_available()` is true, and every kernel fails, since
    this PyTorch was built for newer GPUs only.

    Arguments:
        number: of the GPU.
    """
    import torch

    built = torch.cuda.get_arch_list()
    if not built:  # a build that does not say
        return ""
    made = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name) for name in built]
    major, minor = torch.cuda.get_device_capability(number)
    for each in filter(None, made):
        other = int(each[2]), int(each[3])
        # machine code runs on the same generation, from its own version on; PTX on all later ones
        near = other[0] == major if each[1] == "sm" else True
        if near and other <= (major, minor):
            return ""
    name = torch.cuda.get_device_name(number)
    return (
        f"The GPU here, a {name} (sm_{major}{minor}), is too old for this PyTorch, which has "
        f"kernels for {', '.join(built)}: choose another GPU (on Kaggle the T4), or device='cpu'."
    )


def check(device: str) -> str:
    """The device's name, if there is such a device here.

    Raises:
        ValueError: there is none.

    Example:
        >>> check("cpu")
        'cpu'
    """
    import torch

    try:
        kind, number = torch.device(device).type, torch.device(device).index
        there = kind == "cpu" or getattr(torch, kind).is_available()
    except (RuntimeError, AttributeError) as error:
        raise ValueError(f"There is no device {device!r}: give 'cpu' or 'cuda'.") from error
    if not there:
        raise ValueError(f"There is no {kind} device on this machine: give 'cpu' or 'auto'.")
    if kind == "cuda" and number and number >= (count := torch.cuda.device_count()):
        raise ValueError(f"There is no {device}: the last GPU of this machine is cuda:{count - 1}.")
    if kind == "cuda" and (why := too_old(number or 0)):
        raise ValueError(why)
    return device


# ---------------------------------------------------------------- the dtype
# What `load(dtype=…)` comes to: `dtype_name` before a model's files are looked at, and, where it
# was "auto" and the denoiser turns out to be a transformer, `dtype_of_transformer` after that.


def dtype_name(dtype: str | torch.dtype, device: str, source: str = "") -> str:
    """The dtype as torch names it, without the prefix.

    "auto" is what the environment variable SDNB_DTYPE says, else the fastest that is right.

    Arguments:
        dtype: as `load` takes it.
        device: the model's.
        source: the model, as `cache.locate` gives it: the embedded one's "auto" is float32.

    Raises:
        ValueError: it is no floating-point dtype that pipelines run in.

    Example:
        >>> import torch
        >>> dtype_name(torch.float16, "cpu"), dtype_name("auto", "mps")
        ('float16', 'float16')
    """
    name = str(dtype).removeprefix("torch.")
    if name == "auto":
        embedded = source == str(emoji.FOLDER) and not os.environ.get("SDNB_DTYPE")
        name = "float32" if embedded else why_dtype(device)[0]
    if name not in DTYPES:
        raise ValueError(f"dtype is {name!r}: give 'float32', 'float16', 'bfloat16' or 'auto'.")
    return name


def why_dtype(device: str) -> tuple[str, str]:
    """The dtype for Stable Diffusion on that device, and the reason in a few words.

    Example:
        >>> why_dtype("mps")
        ('float16', 'GPUs are twice as fast in half precision')
    """
    if given := os.environ.get("SDNB_DTYPE"):
        return given, "SDNB_DTYPE says so"
    if device.startswith("cpu"):
        gain = bfloat16_gain()
        if gain > 1.2:
            return "bfloat16", f"this CPU multiplies {gain:.1f} times as fast in bfloat16"
        return "float32", "this CPU is not faster in bfloat16"
    if device.startswith("cuda") and breaks_float16(device):
        return "float32", "GTX 16 GPUs give black pictures in float16"
    return "float16", "GPUs are twice as fast in half precision"


def dtype_of_transformer(chosen: str, device: str) -> str:
    """The dtype that `dtype_name` chose, as a model with a transformer gets it.

    They are trained in bfloat16, and the large ones (Flux, Z-Image) overflow in float16.

    Example:
        >>> dtype_of_transformer("float16", "mps")  # which has no bfloat16 of its own
        'float16'
    """
    if os.environ.get("SDNB_DTYPE") == chosen:
        return chosen
    return "bfloat16" if chosen == "float16" and has_bfloat16(device) else chosen


def has_bfloat16(device: str) -> bool:
    """Whether a GPU computes in bfloat16 itself (from Ampere on); elsewhere it is imitated.

    Example:
        >>> has_bfloat16("cpu")
        False
    """
    if not device.startswith("cuda"):
        return False
    import torch

    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


def half(device: str) -> str:
    """The half precision that pictures come out right in there; empty where none does.

    Example:
        >>> half("cpu"), half("mps")
        ('bfloat16', 'float16')
    """
    if device.startswith("cpu"):
        return "bfloat16"
    return "" if device.startswith("cuda") and breaks_float16(device) else "float16"


def breaks_float16(device: str) -> bool:
    """Whether the GPU is of the family whose half-precision convolutions give NaN.

    See https://github.com/huggingface/diffusers/issues/2153.
    """
    import torch

    return "GTX 16" in torch.cuda.get_device_name(device)


def bfloat16_gain() -> float:
    """How many times as fast as float32 this CPU multiplies matrices in bfloat16.

    Measured once a process, in about 50 ms: CPUs without bfloat16 units take bfloat16 too, but
    are slower in it.
    """
    with _probe_lock:  # each of two threads would get a gain of its own, and perhaps another dtype
        return _measured_gain()


@cache
def _measured_gain() -> float:
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a = torch.ones(768, 768, dtype=dtype)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - started)
        return min(times)  # the first is a warm-up, others may have been disturbed

    return seconds(torch.float32) / seconds(torch.bfloat16)


def openvino_gain(dtype: str) -> float:
    """How many times as fast as torch's OpenVINO's steps were measured on a CPU like this one.

    Of Stable Diffusion v1-4's size, 512 x 512 (benchmarks/README.md): 1.22 in bfloat16 on an AMD
    EPYC, which multiplies two to three times as fast in it as in float32. Others count as 1: an
    Intel Xeon without bfloat16 gained less than can be relied on, AMX was not measured.

    Arguments:
        dtype: the denoiser's.

    Example:
        >>> openvino_gain("float32")
        1.0
    """
    return 1.22 if dtype == "bfloat16" and 1.2 < bfloat16_gain() < 4 else 1.0


# ---------------------------------------------------------------- the memory


def free_memory(device: str) -> int:
    """Bytes that are free on the device; for a CPU, those that the system can give.

    Example:
        >>> free_memory("cpu") > 10**6
        True
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def trim() -> None:
    """Gives the system back what the process has freed: glibc keeps it, for the next time.

    See https://man7.org/linux/man-pages/man3/malloc_trim.3.html; nothing happens elsewhere.
    """
    if sys.platform == "linux":
        release = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if release:
            release(0)
