"""OpenVINO: a denoiser's calls made by Intel's runtime for CPUs, behind the same pipeline."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import json
import os
import shutil
import tempfile
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from sdnb import decoding, merging
from sdnb.notices import notice

KEPT = 2  # converted models on the disk; one of Stable Diffusion's takes 1.7 GB
ALIKE = 0.1  # of the output's own size: bfloat16 differs from itself by a fifth of that
_turn = threading.RLock()


class Forward:
    """A denoiser's `forward`, made by OpenVINO as far as it can.

    The first call converts the module, with any number of rows, any size and any number of tokens,
    which is kept on the disk for the next time. The first call of each shape is made by torch too,
    and compared. A call that OpenVINO cannot make, or gets wrong, is torch's: with gradients, with
    options for attention, or where weights or attention were changed, moved or adapted since.
    Hooks inside the module do not run.

    Arguments:
        module: the UNet or transformer; in float32 or bfloat16, on the CPU.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.module, self.plain = module, module.forward
        self.names = list(inspect.signature(self.plain).parameters)
        self.weights = _print(module)
        self.compiled: dict[tuple[str, ...], Any] = {}  # the inputs' names -> OpenVINO's model
        self.alike: dict[tuple[Any, ...], bool] = {}  # the inputs' names and shapes -> as torch's
        functools.update_wrapper(self, self.plain)  # its signature is asked for

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.plain, memo)  # a copy's weights are its own: torch's

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = self._inputs(args, kwargs)
        if inputs is None or torch.is_grad_enabled() or _print(self.module) != self.weights:
            return self.plain(*args, **kwargs)
        shape = tuple((name, tuple(x.shape)) for name, x in inputs.items())
        with _turn:
            output = self._made(inputs) if self.alike.get(shape, True) else None
            if output is None:
                return self.plain(*args, **kwargs)
            if shape not in self.alike:
                right = self.plain(*args, **kwargs)
                self.alike[shape] = _near(output, right[0])
                if not self.alike[shape]:
                    notice(
                        "OpenVINO does not give what torch gives for this model at this size, so "
                        "torch makes its steps."
                    )
                    return right
            return (output,)

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """All tensors by name, "a.b" for b in the dict a; None if something else is given too."""
        arguments = dict(zip(self.names, args)) | kwargs
        if arguments.pop("return_dict", True):
            return None
        rows = len(arguments[self.names[0]])
        inputs: dict[str, torch.Tensor] = {}
        for name, value in arguments.items():
            if name in merging.TIMES:  # one number for all rows, or one a row
                inputs[name] = torch.as_tensor(value, dtype=torch.float32).expand(rows)
            elif torch.is_tensor(value):
                inputs[name] = value
            elif isinstance(value, dict) and all(torch.is_tensor(x) for x in value.values()):
                inputs |= {f"{name}.{key}": x for key, x in value.items()}
            elif value is not None:
                return None
        return {n: x.float() if x.is_floating_point() else x for n, x in inputs.items()}

    def _made(self, inputs: dict[str, Any]) -> torch.Tensor | None:
        """OpenVINO's output for these; None where it cannot convert the module."""
        names = tuple(inputs)
        if names not in self.compiled:
            try:
                self.compiled[names] = _compiled(self, inputs)
            except Exception as error:  # what cannot be converted gives any
                self.compiled[names] = None
                reason = str(error).strip().splitlines() or [type(error).__name__]
                notice(f"OpenVINO cannot take this model, so torch makes its steps: {reason[0]}")
        model = self.compiled[names]
        if model is None:
            return None
        made = model([x.contiguous().numpy() for x in inputs.values()])[0]
        return torch.from_numpy(made.copy()).to(next(self.module.parameters()).dtype)


def take_over(module: torch.nn.Module) -> str:
    """Has OpenVINO make the calls of a denoiser from now on; its weights and class stay.

    Arguments:
        module: a UNet or transformer of diffusers, on the CPU.

    Returns:
        OpenVINO's name and version, for a picture's facts.
    """
    import openvino

    module.forward = Forward(module)
    return f"openvino {openvino.__version__.partition('-')[0]}"


def _print(module: torch.nn.Module) -> tuple[Any, ...]:
    """What changes when weights are changed, moved, cast or adapted, or attention replaced."""
    weights = list(module.parameters())
    attention = [id(p) for m in module.modules() if (p := vars(m).get("processor"))]
    free_u = [getattr(block, "s1", None) for block in getattr(module, "up_blocks", [])]
    versions = sum(p._version for p in weights)
    return len(weights), versions, weights[0].dtype, weights[0].device, attention, free_u


def _near(a: torch.Tensor, b: torch.Tensor) -> bool:
    a, b = a.float(), b.float()
    return a.shape == b.shape and bool((a - b).norm() <= ALIKE * b.norm())


# ---------------------------------------------------------------- from torch to OpenVINO


class _Flat(torch.nn.Module):
    """The module as a function of flat tensors, which is what can be traced."""

    def __init__(self, forward: Forward, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module = forward.module  # so that its weights are found
        self._plain, self._names = forward.plain, names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        arguments: dict[str, Any] = {}
        for name, tensor in zip(self._names, tensors):
            outer, _, inner = name.partition(".")
            if inner:
                arguments.setdefault(outer, {})[inner] = tensor
            else:
                arguments[outer] = tensor
        output: torch.Tensor = self._plain(**arguments, return_dict=False)[0]
        return output


def _compiled(forward: Forward, inputs: dict[str, torch.Tensor]) -> Any:
    """OpenVINO's model of the module, from the disk if it has been converted before."""
    import openvino

    file = folder() / f"{_key(forward.module, inputs)}.xml"
    half = next(forward.module.parameters()).dtype != torch.float32
    core, options = openvino.Core(), _options(half)
    with suppress(RuntimeError, OSError):  # not there, damaged, or made by another version
        os.utime(file)  # the last used ones stay
        return core.compile_model(core.read_model(file), "CPU", options)
    notice("OpenVINO converts the model: a minute for one of Stable Diffusion's size, once.")
    model = _converted(forward, inputs)
    try:
        _save(model, file, half)
    except (OSError, RuntimeError) as error:
        notice(f"The converted model cannot be kept in {file.parent} ({error}).")
        return core.compile_model(model, "CPU", options)
    del model
    return core.compile_model(core.read_model(file), "CPU", options)


def _options(half: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    if torch.get_num_threads() < (os.cpu_count() or 1):  # else it chooses, and binds, its own
        options["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
    return options


def _converted(forward: Forward, inputs: dict[str, torch.Tensor]) -> Any:
    """Traced in float32: in half precision the casts would be traced, too."""
    import openvino

    shapes = [_shape(x) for x in inputs.values()]
    with torch.no_grad(), decoding.as_float32(forward.module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each comparison of sizes in diffusers' code
        flat = _Flat(forward, tuple(inputs)).eval()
        example = tuple(x.clone() for x in inputs.values())
        return openvino.convert_model(flat, example_input=example, input=shapes)


def _shape(x: torch.Tensor) -> list[int]:
    """-1 for rows, height, width and tokens; the number of channels or features stays."""
    channels = 1 if x.ndim == 4 else x.ndim - 1
    return [n if i == channels and i else -1 for i, n in enumerate(x.shape)]


def _save(model: Any, file: Path, half: bool) -> None:
    """Into a folder of its own first: what stands under its name is whole."""
    import openvino

    file.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".sdnb-", dir=file.parent))
    try:
        openvino.save_model(model, made / file.name, compress_to_fp16=half)
        weights = file.with_suffix(".bin").name
        os.replace(made / weights, file.parent / weights)
        os.replace(made / file.name, file)
    finally:
        shutil.rmtree(made)
    newest = sorted(file.parent.glob("*.xml"), key=lambda f: f.stat().st_mtime, reverse=True)
    for old in newest[KEPT:]:
        with suppress(OSError):  # in use on Windows
            old.unlink()
            old.with_suffix(".bin").unlink()


def folder() -> Path:
    """Where converted models are kept: in the user's cache."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("sdnb")) / "openvino"


def clear() -> None:
    """Removes the converted models from the disk."""
    for file in folder().glob("*"):
        file.unlink()


def _key(module: Any, inputs: dict[str, torch.Tensor]) -> str:
    """Of all that the converted model depends on: class, settings, weights, inputs, versions."""
    import diffusers
    import openvino

    config = {k: v for k, v in module.config.items() if not k.startswith("_")}
    versions = [openvino.__version__, torch.__version__, diffusers.__version__]
    shapes = [(name, _shape(x), str(x.dtype)) for name, x in inputs.items()]
    told = [type(module).__name__, config, shapes, versions]
    key = hashlib.blake2b(json.dumps(told, default=str).encode(), digest_size=16)
    for name, weight in module.named_parameters():
        key.update(f"{name} {weight.dtype}".encode())
        key.update(weight.detach().reshape(-1).view(torch.uint8).numpy())
    return key.hexdigest()
