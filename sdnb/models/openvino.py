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

from sdnb.log import notice, notice_once
from sdnb.models import weights
from sdnb.models.denoiser import TIMESTEP_NAMES

KEPT = 2  # converted models on the disk
# how far outputs may be apart, relative to their size; bfloat16 is 0.02 from itself
ALIKE = {torch.float32: 0.01, torch.float16: 0.01, torch.bfloat16: 0.05}
FILE = "model.xml"
NOTE = "of.txt"  # beside it: which model it is of, as `load` was asked for it
TAKEN = ("UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel")
_requests_lock = threading.RLock()  # guards a compiled model's inputs and outputs


class Forward:
    """A denoiser's `forward`, made by OpenVINO as far as it can.

    The first call converts the module, for any number of rows, size and number of tokens, which is
    kept on the disk for the next time. The first call of each shape is made by torch too, and
    compared. A call that OpenVINO cannot make, or gets wrong, is torch's: with gradients, with
    options for attention, or where weights or attention were changed, moved or adapted since.
    Hooks inside the module do not run.

    Arguments:
        module: the UNet or transformer, on the CPU.
        of: which model it is a part of, for `is_converted`.

    Attributes:
        name: OpenVINO's name and version, for a picture's facts.
        calls: how many it has made.
    """

    def __init__(self, module: torch.nn.Module, of: str = "") -> None:
        import openvino

        self.of = of
        self.name = f"openvino {openvino.__version__.partition('-')[0]}"
        self.calls = 0
        self.module, self.plain = module, module.forward
        self.names = list(inspect.signature(self.plain).parameters)
        self.factor = 2 ** getattr(module, "num_upsamplers", 0)
        self.weights = _print(module)
        self.compiled: dict[Layout, Any] = {}
        self.alike: dict[tuple[Any, ...], bool] = {}  # the inputs' names and shapes -> as torch's
        functools.update_wrapper(self, self.plain)  # callers look its signature up

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.plain, memo)  # a copy's weights are its own: torch's

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        inputs = self._inputs(args, kwargs)
        if inputs is None or torch.is_grad_enabled() or _print(self.module) != self.weights:
            return self.plain(*args, **kwargs)
        shape = tuple((name, tuple(x.shape)) for name, x in inputs.items())
        with _requests_lock:
            output = self._made(inputs) if self.alike.get(shape, True) else None
            if output is not None and shape not in self.alike:
                right = self.plain(*args, **kwargs)[0]
                self.alike[shape] = _near(output, right)
                if not self.alike[shape]:
                    self._say("it does not give what torch gives")
            if output is None or not self.alike[shape]:
                return self.plain(*args, **kwargs)
            self.calls += 1
            return (output,)

    def _say(self, why: str) -> None:
        """Logs once why torch makes steps."""
        notice_once(f"Not all steps are OpenVINO's, but torch's: {why}.", about=self)

    def _inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """All tensors by name, "a.b" for b in the dict a; None if something else is given too."""
        arguments = dict(zip(self.names, args)) | kwargs
        if arguments.pop("return_dict", True):
            return None
        rows = len(arguments[self.names[0]])
        inputs: dict[str, torch.Tensor] = {}
        for name, value in arguments.items():
            if name in TIMESTEP_NAMES:  # one number for all rows, or one a row
                inputs[name] = torch.as_tensor(value, dtype=torch.float32).expand(rows)
                continue
            parts = {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {}
            for each, part in (parts or {name: value}).items():
                if torch.is_tensor(part):
                    inputs[each] = part.detach()
                elif part is not None and part != {}:
                    self._say(f"it does not take {each}")
                    return None
        return {n: x.float() if x.is_floating_point() else x for n, x in inputs.items()}

    def _layout(self, inputs: dict[str, torch.Tensor]) -> Layout:
        """What a converted model is made for: the inputs, and sizes that halve without a rest."""
        sides = [side for x in inputs.values() if x.ndim == 4 for side in x.shape[2:]]
        whole = all(side % self.factor == 0 for side in sides)
        return tuple((n, tuple(_shape(x)), str(x.dtype)) for n, x in inputs.items()), whole

    def _made(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """OpenVINO's output for these; None where it cannot convert the module, or call it."""
        layout = self._layout(inputs)
        try:
            if layout not in self.compiled:
                self.compiled[layout] = None  # unless it goes well
                self.compiled[layout] = _compiled(self, layout, inputs)
            if self.compiled[layout] is None:
                return None
            made = self.compiled[layout]([x.contiguous().numpy() for x in inputs.values()])[0]
        except Exception as error:  # what it cannot do gives any
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self._say(f"it cannot make them ({reason[0]})")
            return None
        return torch.from_numpy(made).to(next(self.module.parameters()).dtype)


# name, shape with -1 for what may change, dtype of each input; and whether sizes halve evenly
Layout = tuple[tuple[tuple[str, tuple[int, ...], str], ...], bool]


def take_over(module: torch.nn.Module, of: str = "") -> str:
    """Has OpenVINO make the calls of a denoiser from now on; its weights and class stay.

    Arguments:
        module: a UNet or transformer of diffusers, on the CPU.
        of: which model it is a part of, for `is_converted`.

    Returns:
        OpenVINO's name and version; empty, and logged, where it is not known to be right for them.
    """
    kind = type(module).__name__
    if kind not in TAKEN:
        notice(f"OpenVINO has not been tried with the class {kind}, so torch makes its steps.")
        return ""
    forward = Forward(module, of)
    # a twin of the batcher has another forward, and still the backend
    vars(module).update(forward=forward, backend=forward)
    return forward.name


def _print(module: torch.nn.Module) -> tuple[Any, ...]:
    """What changes when weights are changed, moved, cast or adapted, or attention replaced."""
    attention = [p for m in module.modules() if (p := vars(m).get("processor"))]
    free_u = [getattr(block, "s1", None) for block in getattr(module, "up_blocks", [])]
    first = next(module.parameters())
    return weights.trace(module), first.dtype, first.device, attention, free_u


def _near(a: torch.Tensor, b: torch.Tensor) -> bool:
    most = ALIKE[b.dtype]
    a, b = a.float(), b.float()
    return a.shape == b.shape and bool((a - b).norm() <= most * b.norm())


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


def _compiled(forward: Forward, layout: Layout, inputs: dict[str, torch.Tensor]) -> Any:
    """OpenVINO's model of the module, from the disk if it has been converted before."""
    import openvino

    file = folder() / _key(forward.module, layout) / FILE
    dtype = next(forward.module.parameters()).dtype
    core, options = openvino.Core(), _options(dtype)
    with suppress(OSError):
        os.utime(file.parent)  # the last used ones stay
    if file.exists():
        with suppress(OSError):
            (file.parent / NOTE).write_text(forward.of, "utf-8")
        with suppress(RuntimeError):  # damaged: it is made anew
            return core.compile_model(core.read_model(file), "CPU", options)
    notice("OpenVINO converts the model: a minute for one of Stable Diffusion's size, once.")
    model = _converted(forward, inputs)
    try:
        _save(model, file, half=dtype != torch.float32, of=forward.of)
    except (OSError, RuntimeError) as error:
        notice(f"The converted model cannot be kept in {file.parent.parent} ({error}).")
        return core.compile_model(model, "CPU", options)
    del model
    return core.compile_model(core.read_model(file), "CPU", options)


def _options(dtype: torch.dtype) -> dict[str, Any]:
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    if torch.get_num_threads() < (os.cpu_count() or 1):  # else it chooses, and binds, its own
        options["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
        options["ENABLE_CPU_PINNING"] = False  # other processes would be bound to the same cores
    return options


def _converted(forward: Forward, inputs: dict[str, torch.Tensor]) -> Any:
    """Traced in float32: in half precision the casts would be traced, too."""
    import openvino

    shapes = [_shape(x) for x in inputs.values()]
    with torch.no_grad(), weights.as_float32(forward.module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each comparison of sizes in diffusers' code
        flat = _Flat(forward, tuple(inputs)).eval()
        example = tuple(x.clone() for x in inputs.values())
        return openvino.convert_model(flat, example_input=example, input=shapes)


def _shape(x: torch.Tensor) -> list[int]:
    """-1 for rows, height, width and tokens; the number of channels or features stays."""
    channels = 1 if x.ndim == 4 else x.ndim - 1
    return [n if i == channels and i else -1 for i, n in enumerate(x.shape)]


def _save(model: Any, file: Path, half: bool, of: str) -> None:
    """Into a folder of its own first: what stands under its name is whole."""
    import openvino

    root = file.parent.parent
    root.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".sdnb-", dir=root))
    try:
        openvino.save_model(model, made / file.name, compress_to_fp16=half)
        (made / NOTE).write_text(of, "utf-8")
        shutil.rmtree(file.parent, ignore_errors=True)
        os.replace(made, file.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    with suppress(OSError):  # another process may be at it, too
        newest = sorted(root.iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)
        for old in newest[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)


def folder() -> Path:
    """Where converted models are kept: in the user's cache."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("sdnb")) / "openvino"


def is_converted(of: str) -> bool:
    """Whether a converted model of that one, as `take_over` was told it, is on the disk.

    Example:
        >>> is_converted("a model that nobody converted")
        False
    """
    for file in folder().glob(f"*/{NOTE}"):
        with suppress(OSError):
            if file.read_text("utf-8") == of and file.with_name(FILE).exists():
                return True
    return False


def clear() -> None:
    """Removes the converted models from the disk."""
    shutil.rmtree(folder(), ignore_errors=True)


def _key(module: Any, layout: Layout) -> str:
    """Of all that the converted model depends on: class, settings, weights, inputs, versions."""
    import diffusers
    import openvino

    config = {k: v for k, v in module.config.items() if not k.startswith("_")}
    versions = [openvino.__version__, torch.__version__, diffusers.__version__]
    told = [type(module).__name__, config, layout, versions]
    key = hashlib.blake2b(json.dumps(told, default=str).encode(), digest_size=16)
    for name, weight in module.named_parameters():
        key.update(f"{name} {weight.dtype}".encode())
        key.update(weight.detach().reshape(-1).view(torch.uint8).numpy())
    return key.hexdigest()
