"""The backend that makes a denoiser's calls: torch, or OpenVINO; which, and what it gains."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from sdnb.log import notice
from sdnb.models import device
from sdnb.models.denoiser import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from sdnb.models.build import Request

# The backends, and how many times its weights a model takes with each: OpenVINO has its own.
TIMES = {"torch": 1, "openvino": 2.5}
LARGE = 100e6  # weights of a denoiser for which it matters which backend makes its calls


def chosen(request: Request, quantize: str | None) -> str:
    """Which backend makes the calls: "auto" is OpenVINO where that costs no conversion."""
    if request.backend != "auto":
        return request.backend
    plain = request.device == "cpu" and not (request.lora or quantize)
    if not (plain and find_spec("openvino")):
        return "torch"
    from sdnb.models import openvino

    return "openvino" if openvino.is_converted(request.converted) else "torch"


def check(backend: str, where: str) -> str:
    """The device that the backend leaves: OpenVINO runs on the CPU.

    Raises:
        ValueError: there is no such backend, or not for that device.
        ModuleNotFoundError: it is not installed.
    """
    if backend not in ("auto", *TIMES):
        raise ValueError(f"There is no backend {backend!r}: give 'torch', 'openvino' or 'auto'.")
    if backend != "openvino":
        return where
    if where not in ("auto", "cpu"):
        raise ValueError(f"OpenVINO runs on the CPU, and device is {where!r}: leave one out.")
    if not find_spec("openvino"):
        raise ModuleNotFoundError(
            "OpenVINO is not installed: pip install 'sdnb[openvino]', or leave backend= out."
        )
    return "cpu"


def take_over(pipe: DiffusionPipeline, request: Request) -> str:
    """Has OpenVINO make the denoiser's calls where that was asked for.

    Returns:
        Its name and version; empty where torch makes them.
    """
    if request.backend != "openvino":
        return ""
    from sdnb.models import openvino

    return openvino.take_over(denoiser_of(pipe), request.converted)


def say_faster(pipe: DiffusionPipeline, model: str) -> None:
    """Logs where OpenVINO was measured to make such a model's steps faster on such a CPU."""
    from sdnb.models.openvino import TAKEN

    denoiser = denoiser_of(pipe)
    if type(denoiser).__name__ not in TAKEN or denoiser.num_parameters() < LARGE:
        return
    gain = device.openvino_gain(str(denoiser.dtype).removeprefix("torch."))
    if gain > 1.2:
        there = "" if find_spec("openvino") else ", after pip install 'sdnb[openvino]'"
        notice(
            f"OpenVINO makes steps about {gain:.1f} times as fast on a CPU like this one: "
            f"sdnb.load({model!r}, backend='openvino'){there}."
        )
