"""LoRAs in a pipeline: loading them, and setting their weights for a call or for each of its rows.

peft computes a layer as `base(x) + lora_B(lora_A(x)) * scaling`. Where `scaling` holds a number for
each row of the batch, runs with different weights, or with none, are one call of the denoiser.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdnb import compat
from sdnb.hub import errors as hub_errors
from sdnb.log import notice, quiet
from sdnb.lora_weights import LoraWeights, OtherProgramsLoras, of_part
from sdnb.models import lora_files
from sdnb.models.lora_files import Lora, Wanted
from sdnb.pipeline_class import DENOISERS
from sdnb.settings import suggestion

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline


def part_of(component: str) -> str | None:
    """Which of a LoRA's parts a pipeline's component is; None for one that takes no LoRA."""
    if component in DENOISERS:
        return "denoiser"
    return "text_encoder" if component.startswith("text_encoder") else None


def resolved(weights: Mapping[str, Any] | None, known: Sequence[Lora]) -> LoraWeights | None:
    """The weights that a run has: of each LoRA that is on, a number; None without any LoRAs.

    Arguments:
        weights: of the settings; None for those that the LoRAs were loaded with.
        known: the pipeline's LoRAs.

    Raises:
        ValueError: a name is not among them; of another program's picture that is logged instead,
            where the pipeline has no LoRA at all.
    """
    own = {lora.name: lora.weight for lora in known}
    if weights and not own and isinstance(weights, OtherProgramsLoras):
        notice(
            f"Another program made the picture with the LoRA {', '.join(weights)}, which is not in "
            "this pipeline: made without. sdnb.load(model, lora=[...]) loads one."
        )
        return None
    for name in weights or ():
        if name in own:
            continue
        if not own:
            raise ValueError(
                f"There is no LoRA {name!r} in this pipeline: sdnb.load(model, lora=[...]) loads "
                "some, and lora={} makes the picture without."
            )
        raise ValueError(
            f"There is no LoRA {name!r} in this pipeline{suggestion(name, own)} "
            f"Those in it are {', '.join(own)}."
        )
    if not own:
        return None
    given = own if weights is None else {
        name: own[name] if weight is None else weight for name, weight in weights.items()
    }  # fmt: skip
    return LoraWeights({name: weight for name, weight in given.items() if weight != 0})


# ---------------------------------------------------------------- put into a pipeline


def load(pipe: DiffusionPipeline, wanted: Sequence[Wanted]) -> tuple[Lora, ...]:
    """Puts LoRAs into a pipeline, active with the weights that they are to have.

    Arguments:
        pipe: without LoRAs; it stays so where one of them fails.
        wanted: one after another.

    Raises:
        ModuleNotFoundError: peft is not installed.
        ValueError: the pipeline takes no LoRA, or one does not fit it.
        OSError: one cannot be had.
    """
    if not find_spec("peft"):
        raise ModuleNotFoundError(
            "LoRAs need the package peft: pip install 'sdnb[lora]', then restart Python."
        )
    if not hasattr(pipe, "load_lora_weights"):
        raise ValueError(f"diffusers loads no LoRA into a {type(pipe).__name__}: leave lora= out.")
    made: list[Lora] = []
    try:
        for request in wanted:
            lora, path = lora_files.found(request, [each.name for each in made])
            with _silent():
                _put(pipe, lora, path)
            made.append(lora)
    except BaseException:
        with suppress(Exception):
            pipe.unload_lora_weights()
        raise
    weights = LoraWeights({lora.name: lora.weight for lora in made})
    for component, module in pipe.components.items():
        if part := part_of(component):
            _set([OfPart.of(module, part, weights, made)], [1])
    return tuple(made)


@contextmanager
def _silent() -> Iterator[None]:
    """peft imports all packages that it can work with, and their warnings are shown."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), quiet(warnings=True):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _put(pipe: DiffusionPipeline, lora: Lora, path: Path) -> None:
    """One LoRA into the pipeline; all of it, or it is an error."""
    from safetensors import SafetensorError, safe_open

    what, kind = f"The LoRA {lora.name} ({path.name})", type(pipe).__name__
    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
    except (SafetensorError, OSError) as error:
        raise OSError(f"{what} is damaged: put a whole copy in its place, {path}.") from error
    if any(name.endswith("dora_scale") for name in names):
        raise ValueError(
            f"{what} is a DoRA in kohya's form, of which diffusers leaves out the magnitudes, so "
            "its pictures would be others. peft's form of a DoRA can be loaded."
        )
    if not any("lora" in name.lower() or "lokr" in name for name in names):
        raise ValueError(f"{what} holds no LoRA: its weights have names such as {names[0]!r}.")
    adapter = lora.adapter
    try:
        # diffusers 0.39 wants weight_name where there is no network
        given: dict[str, Any] = {"use_safetensors": True, "weight_name": path.name}
        pipe.load_lora_weights(str(path.parent), adapter_name=adapter, **given)
        if "XL" in kind:
            given["unet_config"] = pipe.unet.config
        expected = pipe.lora_state_dict(str(path.parent), **given)
    except Exception as error:  # any, by the form of the file
        why = hub_errors.reason(error).rstrip(".")
        raise ValueError(
            f"{what} does not fit this {kind}: {why}. Is it for another model?"
        ) from error
    expected = expected[0] if isinstance(expected, tuple) else expected
    there = [n for n, w in expected.items() if "alpha" not in n and hasattr(w, "ndim") and w.ndim]
    placed = _count(pipe, adapter)
    if placed < len(there):
        lost = _without_place(pipe, there)
        some = f", such as {lost[0]}" if lost else ""
        raise ValueError(
            f"{what} does not fit this {kind}: {len(there) - placed} of its {len(there)} weights "
            f"have no place in it{some}. Is it for another model?"
        )


def _count(pipe: DiffusionPipeline, adapter: str) -> int:
    """How many weights of that name are in the pipeline."""
    modules = [m for name, m in pipe.components.items() if m is not None and part_of(name)]
    names = (name.split(".") for module in modules for name, _ in module.named_parameters())
    return sum(adapter in parts[-2:] for parts in names)


def _without_place(pipe: DiffusionPipeline, names: Sequence[str]) -> list[str]:
    """Those of a LoRA's weights whose layer the pipeline does not have, as far as names tell."""
    layers: set[str] = set()
    for component, module in pipe.components.items():
        if module is not None and part_of(component):
            inner = (name.replace(".base_layer", "") for name, _ in module.named_modules())
            layers |= {f"{component}.{name}" for name in inner}
    ends = re.compile(r"[._]lora[._].*|\.lokr_.*")
    return [
        name for name in names
        if ends.sub("", name).replace(".processor", "").replace("text_model.", "") not in layers
    ]  # fmt: skip


# ---------------------------------------------------------------- the weights of a call


@dataclass(frozen=True)
class OfPart:
    """The weights of a run's LoRAs in one of the pipeline's modules.

    Attributes:
        weights: pairs of a LoRA's adapter and its weight, 0 for those that are off.
        merges: whether calls with other weights can be made together with this one's. Not so with
            DoRA, which scales the whole layer, other kinds of adapters, and what is fused.
        layers: peft's layers in the module.
    """

    weights: tuple[tuple[str, float], ...]
    merges: bool = True
    layers: tuple[Any, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(
        cls, module: Any, part: str, weights: Mapping[str, Any], known: Sequence[Lora]
    ) -> OfPart:
        """Looks at the module.

        Arguments:
            module: a denoiser or a text encoder; None has no LoRA.
            part: which of `lora_weights.PARTS` it is.
            weights: resolved.
            known: all LoRAs that sdnb has loaded into the pipeline.
        """
        layers = tuple(layers_of(module))
        pairs = (
            (lora.adapter, of_part(weights.get(lora.name, 0.0), part))
            for lora in sorted(known, key=lambda lora: lora.name)
        )
        return cls(tuple(pairs), all(map(_is_plain, layers)), layers)


def layers_of(module: Any) -> list[Any]:
    """peft's layers in a module, of whatever kind of adapter."""
    if not getattr(module, "peft_config", None):
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [layer for layer in module.modules() if isinstance(layer, BaseTunerLayer)]


def _is_plain(layer: Any) -> bool:
    from peft.tuners.lora import LoraLayer

    return isinstance(layer, LoraLayer) and not layer.merged and not layer.lora_variant


@contextmanager
def applied(
    pipe: DiffusionPipeline, weights: Mapping[str, Any] | None, known: Sequence[Lora]
) -> Iterator[None]:
    """The pipeline's LoRAs have these weights while the block runs, then those from before.

    Arguments:
        weights: resolved; None leaves all as it is.
        known: all LoRAs that sdnb has loaded into the pipeline.
    """
    with ExitStack() as stack:
        for component, module in pipe.components.items() if weights is not None else ():
            if part := part_of(component):
                stack.enter_context(weighted([OfPart.of(module, part, weights or {}, known)], [1]))
        yield


@contextmanager
def weighted(each: Sequence[OfPart | None], rows: Sequence[int]) -> Iterator[None]:
    """A module's LoRAs have these weights while the block runs, then those from before.

    Arguments:
        each: of the calls that are merged; None, as of all, leaves the module as it is.
        rows: of each call.
    """
    first = each[0]
    layers = first.layers if first else ()
    kept = [(layer, compat.active_adapters(layer), dict(layer.scaling)) for layer in layers]
    try:
        _set([one for one in each if one], rows)
        yield
    finally:
        for layer, active, scaling in kept:  # the very same objects: nothing has changed
            compat.set_active_adapters(layer, active)
            layer.scaling.update(scaling)


def _set(each: Sequence[OfPart], rows: Sequence[int]) -> None:
    """Sets the weights of one call, or of several that are merged."""
    if not each:
        return
    names = [name for name, _ in each[0].weights]
    of_calls = {name: [dict(one.weights)[name] for one in each] for name in names}
    on = [name for name in names if any(of_calls[name])]
    made: dict[Any, PerRow] = {}
    for layer in each[0].layers:
        for name in on:
            if name not in layer.scaling:
                continue
            if len(set(of_calls[name])) == 1:
                layer.set_scale(name, of_calls[name][0])
                continue
            scales = []
            for weight in of_calls[name]:
                layer.set_scale(name, weight)
                scales.append(layer.scaling[name])
            where = next(layer.lora_A[name].parameters()).device
            key = (tuple(scales), where)
            if key not in made:
                made[key] = PerRow(scales, rows, where)
            layer.scaling[name] = made[key]
        others = [name for name in layer.active_adapters if name not in names]
        compat.set_active_adapters(layer, [*others, *on])


class PerRow:
    """A LoRA's scaling that has a number for each row: what a layer gives is multiplied by it.

    Arguments:
        scales: of each call.
        rows: of each call.
        device: where the layer is.

    Example:
        >>> import torch
        >>> (torch.ones(3, 2) * PerRow([0.5, 2.0], [1, 2], "cpu"))[:, 0]
        tensor([0.5000, 2.0000, 2.0000])
    """

    def __init__(
        self, scales: Sequence[float], rows: Sequence[int], device: torch.device | str
    ) -> None:
        import torch

        numbers = [scale for scale, count in zip(scales, rows) for _ in range(count)]
        self.numbers = torch.tensor(numbers, dtype=torch.float32, device=device)

    def __rmul__(self, output: torch.Tensor) -> torch.Tensor:
        if output.shape[0] != len(self.numbers):  # so the rows are not along the first axis
            raise ValueError(f"{len(self.numbers)} rows went in, {output.shape[0]} to a LoRA.")
        shaped = self.numbers.reshape(-1, *[1] * (output.ndim - 1))  # (rows, 1, 1) for (B, T, C)
        return (output * shaped).to(output.dtype)


__all__ = ["Lora", "OfPart", "PerRow", "Wanted", "applied", "layers_of", "load",
           "part_of", "resolved", "weighted"]  # fmt: skip
