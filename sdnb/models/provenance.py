"""A pipeline's provenance: where it came from, and whether it is as `load` left it."""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

from sdnb import compat, emoji, schedulers
from sdnb.models import library_code, modular, torch_state
from sdnb.models.denoiser import denoiser_of
from sdnb.models.fingerprint import Fingerprint
from sdnb.models.lora_files import Lora
from sdnb.models.value_tokens import Differences

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

PLACES = ("model", "config", "vae", "embeddings")  # facts that may name what lies on this machine
FREEU = ("s1", "s2", "b1", "b2")


@dataclass(frozen=True)
class Origin:
    """Where a pipeline came from, as a picture's facts say it.

    `model` is "emoji", a folder's full path or a hub id; `revision` is the commit where the hub
    gave one; `dtype` is torch's name without the prefix, such as "float16"; `backend` is empty for
    torch itself, else a name and a version. `additions` are facts that few pipelines have: of a
    single file its hash, where its settings are from, and the parts that are from there too.
    """

    model: str
    revision: str | None
    dtype: str
    device: str
    variant: str | None
    backend: str = ""
    lora: tuple[Lora, ...] = ()
    additions: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Record:
    """The provenance of one pipeline.

    Attributes:
        origin: where it came from.
        pickled: whether it was loaded with pickled weights allowed (use_safetensors=False).
        request: what was asked of `load`; None where it was not.
        scheduler: the config of its scheduler, as the model has it.
        made: its fingerprint when it was made; None for a run's own copy, judged by `base` alone.
        base: the pipeline whose parts it shares; None for one that `load` made.
        classes: of the objects in it, and of its scheduler.
        own: the scheduler that was last compared, and its fingerprint then.
    """

    origin: Origin
    pickled: bool
    scheduler: Any
    made: Fingerprint | None = None
    base: ref[DiffusionPipeline] | None = None
    classes: frozenset[type] | None = None
    own: tuple[ref[Any], Fingerprint] | None = None
    request: Any = None


# attributes that each call of an object sets anew, by its class
_WRITTEN_BY_CALLS = {
    "sdnb.models.openvino.Forward": frozenset({"alike", "calls", "compiled"}),
    compat.STATE_OF_8BIT: frozenset({"idx", "is_training"}),
}
# where a pipeline's config names its scheduler's class
_OF_SCHEDULER = (f"{compat.CONFIG}.scheduler", f"{compat.CONFIG}['scheduler']")
_records: WeakKeyDictionary[DiffusionPipeline, Record] = WeakKeyDictionary()


def remember(pipe: DiffusionPipeline, origin: Origin, pickled: bool, request: Any = None) -> None:
    """Notes where a pipeline came from, by what request of `load`, and how it is now."""
    made = Fingerprint(pipe, _ignored, harmless=compat.is_capturing)
    _records[pipe] = Record(origin, pickled, pipe.scheduler.config, made, request=request)
    library_code.differences(_classes(pipe, _records[pipe]))  # how they are from here on


def derive(view: DiffusionPipeline, pipe: DiffusionPipeline) -> None:
    """Notes that a pipeline was made of another's parts, and how it is now."""
    inherit(view, pipe)
    if pipe in _records and not is_runs_own(pipe):
        _records[view].made = Fingerprint(view, _ignored, _records[pipe].made, compat.is_capturing)


def inherit(view: DiffusionPipeline, pipe: DiffusionPipeline) -> None:
    """Notes that a pipeline is one run's copy of another, and changed where that one is."""
    known = _records.get(pipe)
    if known is None:
        return
    _records[view] = Record(
        origin_of(pipe), known.pickled, known.scheduler, base=ref(pipe), request=known.request
    )


def origin_of(pipe: DiffusionPipeline) -> Origin:
    """Where a pipeline came from, also one that `load` did not make; dtype and device as now."""
    where = pipe.config.get("_name_or_path") or compat.repository_of(pipe)
    path = str(where or type(pipe).__name__)
    name = emoji.NAME if path == str(emoji.FOLDER) else path
    known = _records[pipe].origin if pipe in _records else Origin(name, None, "", "", None)
    dtype, where = str(pipe.dtype).removeprefix("torch."), compat.execution_device(pipe)
    return replace(known, dtype=dtype, device=where)


def places(pipe: DiffusionPipeline) -> dict[str, Any]:
    """The facts of a pipeline that may name folders and files of this machine."""
    origin = origin_of(pipe)
    known = {"model": origin.model, **origin.additions}
    return {name: known[name] for name in PLACES if name in known}


def request_of(pipe: DiffusionPipeline) -> Any:
    """What was asked of `load` for it; None where `load` did not make it."""
    return _records[pipe].request if pipe in _records else None


def takes_safetensors_only(pipe: DiffusionPipeline) -> bool:
    """Whether the pipeline was loaded from safetensors only, as is the default."""
    return not (pipe in _records and _records[pipe].pickled)


def scheduler_flags(pipe: DiffusionPipeline, own: DiffusionPipeline) -> dict[str, Any]:
    """The flags that its scheduler needs beside the config that the model was loaded with."""
    config = _records[own].scheduler if own in _records else own.scheduler.config
    return schedulers.needed_flags(pipe.scheduler, config)


def has_adapters(pipe: DiffusionPipeline) -> bool:
    """Whether LoRAs or other adapters are in a part of it that `load` did not put there."""
    known = {lora.adapter for lora in origin_of(pipe).lora}
    there = (getattr(part, "peft_config", None) or () for part in pipe.components.values())
    return any(name not in known for names in there for name in names)


def is_runs_own(pipe: DiffusionPipeline) -> bool:
    """Whether it is one run's copy of another pipeline, for a batch: see `inherit`."""
    record = _records.get(pipe)
    return record is not None and record.made is None


def is_channels_last(pipe: DiffusionPipeline) -> bool:
    """Whether the UNet's weights lie in the channels-last order, which changes the last digits."""
    import torch

    first = getattr(getattr(pipe, "unet", None), "conv_in", None)
    if first is None or first.weight.shape[1] == 1:
        return False
    return first.weight.is_contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------- as load left it


def differences(pipe: DiffusionPipeline, scheduler: Any = None) -> Differences:
    """What has changed in the pipeline since `load` returned it; empty if nothing has.

    Everything that it is made of is compared, the code of its classes, and torch's own switches;
    a scheduler that the user put in is no change if its class and config fully describe it.

    Arguments:
        pipe: the pipeline.
        scheduler: the one that it runs with, if not its own, whose code counts too.

    Example:
        >>> import sdnb
        >>> pipe = sdnb.load("emoji", device="cpu")
        >>> differences(pipe)
        {}
        >>> pipe.unet.conv_in.padding_mode = "circular"
        >>> differences(pipe)
        {'unet.conv_in.padding_mode': ("'zeros'", "'circular'")}
        >>> pipe.unet.conv_in.padding_mode = "zeros"
    """
    record = _records.get(pipe)
    if record is None:
        return {"the pipeline": ("loaded by sdnb.load", "not")}
    found: Differences = {}
    if record.base is not None:
        base = record.base()
        if base is None:
            return {"the pipeline": ("there", "gone")}
        found |= differences(base, scheduler)
    if record.made is not None:
        found |= {
            name: both
            for name, both in record.made.differences(pipe).items()
            if not name.startswith(_OF_SCHEDULER)  # which is looked at by itself
        }
        # with model offloading (hooks), modules that are not in use are on the CPU
        if not found and not compat.offload_hooks(pipe):
            now, then = next(denoiser_of(pipe).parameters()).device.type, record.origin.device
            if now != then.partition(":")[0]:
                found["the device"] = then, now
        found |= library_code.differences(_classes(pipe, record, scheduler))
        found |= _scheduler_differences(pipe, record)
        found |= torch_state.unusual()
    return found


def in_words(changed: Differences) -> str:
    """What changed, in one line: the first of it, and how much more there is.

    Example:
        >>> circular = "'zeros'", "'circular'"
        >>> in_words({"unet.conv_in.padding_mode": circular, "vae.decoder.conv_in.x": ("1", "2")})
        "unet.conv_in.padding_mode was 'zeros' and is 'circular', and 1 more"
    """
    if not changed:
        return ""
    if "the pipeline" in changed:
        return "sdnb.load did not make it"
    if f"tokenizer.{compat.RUST_TOKENIZER}" in changed:
        return "its tokenizer reads otherwise, as after load_textual_inversion"
    where = min(changed, key=lambda name: (name.count("."), name))
    was, now = changed[where]
    where = where or "the pipeline's class"
    more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
    if {was, now} == {"other values"}:
        return f"{where} has other values{more}"
    return f"{where} was {was} and is {now}{more}"


def switches(pipe: DiffusionPipeline, changed: Differences) -> tuple[dict[str, Any], Differences]:
    """Of what changed: what diffusers' own switches do, as facts name it; and the rest.

    Arguments:
        pipe: the pipeline.
        changed: from `differences`.

    Returns:
        "freeu" with its four numbers, "vae_tiling" and "vae_slicing", as far as they are on; and
        the differences that these do not explain.
    """
    found: dict[str, Any] = {}
    rest = dict(changed)
    for name in ("tiling", "slicing"):
        if rest.get(f"vae.use_{name}", ("", ""))[1] == "True":
            del rest[f"vae.use_{name}"]
            found[f"vae_{name}"] = True
    blocks = getattr(getattr(pipe, "unet", None), "up_blocks", [])
    scales = [{name: vars(block).get(name) for name in FREEU} for block in blocks]
    there = {f"unet.up_blocks.{i}.{name}" for i in range(len(scales)) for name in FREEU}
    alike = bool(scales) and all(each == scales[0] for each in scales)
    if alike and there <= rest.keys() and all(type(v) in (int, float) for v in scales[0].values()):
        found["freeu"] = scales[0]
        rest = {name: both for name, both in rest.items() if name not in there}
    return found, rest


def _classes(pipe: DiffusionPipeline, record: Record, other: Any = None) -> frozenset[type]:
    kind = type(pipe.scheduler)
    if record.classes is None or kind not in record.classes:
        made = record.made.classes if record.made else set()
        record.classes = frozenset({*made, kind})
    return record.classes if other is None else record.classes | {type(other)}


@functools.cache
def _ignored(kind: type) -> frozenset[str]:
    """Attributes that change no picture, by class: a run sets them, or whoever looks does."""
    from diffusers import DiffusionPipeline
    from diffusers.hooks import HookRegistry
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    if issubclass(kind, DiffusionPipeline):
        # what each call sets anew; the scheduler is looked at by itself
        call = inspect.unwrap(kind.__call__)
        state = {name for name in _stored_by(call) if name[0] == "_"}  # SDXL's also sets its vae
        return frozenset({"scheduler", *compat.PIPELINE_KEEPS, *state})
    if modular.is_modular(kind):  # by name: diffusers 0.39 warns when its modular part is imported
        return frozenset({"scheduler", *compat.MODULAR_KEEPS})
    if issubclass(kind, PreTrainedTokenizerBase):
        return frozenset({"deprecation_warnings"})  # that were given
    if issubclass(kind, PreTrainedModel):
        return compat.MODEL_KEEPS | compat.LANGUAGE_MODEL_KEEPS
    if issubclass(kind, HookRegistry):  # which an empty one is as good as none of
        return frozenset({"", *compat.HOOKS_KEEP})
    if kept := _WRITTEN_BY_CALLS.get(f"{kind.__module__}.{kind.__name__}"):
        return kept
    return _written_when_shown(kind)


def _written_when_shown(kind: type) -> frozenset[str]:
    """What the libraries write into a config when it is shown or saved: names and versions."""
    from diffusers.configuration_utils import FrozenDict
    from transformers import PreTrainedConfig

    if issubclass(kind, FrozenDict):
        return frozenset({"_class_name", "_diffusers_version"})
    if issubclass(kind, PreTrainedConfig):
        return frozenset({"architectures", "transformers_version"})
    return frozenset()


def _stored_by(function: Any) -> set[str]:
    """The names of the attributes that a function sets."""
    code = function.__code__
    return {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_ATTR"}


# ---------------------------------------------------------------- the scheduler


def _scheduler_differences(pipe: DiffusionPipeline, record: Record) -> Differences:
    """State of the pipeline's scheduler that a fresh one of its class and config would not have.

    A picture gets a scheduler of its own, made from the config; the store's key holds that.
    """
    scheduler = pipe.scheduler
    if record.own is None or record.own[0]() is not scheduler:
        found = _beside_config(scheduler)
        if found:
            return found
        record.own = ref(scheduler), Fingerprint(scheduler, _scheduler_state)
    changed = record.own[1].differences(scheduler)
    if changed and not (found := _beside_config(scheduler)):
        record.own = None  # another config, which is reported as a whole
        return {}
    return {f"scheduler.{name}": both for name, both in changed.items()}


def _beside_config(scheduler: Any) -> Differences:
    kind = type(scheduler)
    if kind.__module__.partition(".")[0] != "diffusers":
        return {"scheduler": ("one of diffusers", f"{kind.__module__}.{kind.__qualname__}")}
    fresh = schedulers.copy_of(scheduler)
    found = Fingerprint(fresh, _scheduler_state).differences_to(scheduler)
    return {f"scheduler.{name}": both for name, both in found.items()}


@functools.cache
def _scheduler_state(kind: type) -> frozenset[str]:
    """The attributes that a scheduler sets as it goes from step to step, or that looking sets."""
    methods = [
        inspect.unwrap(method)
        for made in kind.__mro__
        if made.__module__.startswith("diffusers.schedulers.")
        for name, method in vars(made).items()
        if inspect.isfunction(method) and name != "__init__"
    ]
    written = _written_when_shown(kind) | compat.SCHEDULER_KEEPS
    return frozenset().union(written, *map(_stored_by, methods))
