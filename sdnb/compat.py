"""What leans on other libraries' internals or versions, with its reason and a canary test."""

from __future__ import annotations

import copy
import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any, BinaryIO

from packaging.version import Version

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

# Names of attributes by which sdnb.models compares an object with how it was. Of torch:
VERSION = "_version"  # a tensor's counter of changes
version_of = attrgetter(VERSION)
MODULE_DICTS = frozenset({"_modules", "_parameters", "_buffers"})  # where a module has its parts
# Of diffusers and transformers, where each keeps what sdnb looks at by itself:
CONFIG = "_internal_dict"  # of a pipeline
RUST_TOKENIZER = "_tokenizer"  # of a tokenizer
# And what changes no picture: a pipeline's bar; how a modular pipeline's parts were loaded; that
# `is_capturing`'s hooks are there; what finds a model's hooks; where a scheduler was loaded from.
PIPELINE_KEEPS = frozenset({"_progress_bar_config"})
MODULAR_KEEPS = frozenset({"_component_specs", "_components_manager", "_collection"})
MODEL_KEEPS = frozenset({"_output_capturing_hooks_installed"})
# Qwen-VL and GLM-Image keep the places of a prompt's tokens from one token to the next.
LANGUAGE_MODEL_KEEPS = frozenset({"rope_deltas", "_cached_decode_position_ids", "_prefill_len"})
HOOKS_KEEP = frozenset({"_module_ref", "_child_registries_cache"})
SCHEDULER_KEEPS = frozenset({"_diffusers_load_id"})
# The class of what bitsandbytes keeps beside an 8-bit layer's weights, and each call writes into:
# https://github.com/bitsandbytes-foundation/bitsandbytes/blob/main/bitsandbytes/autograd/_functions.py
STATE_OF_8BIT = "bitsandbytes.autograd._functions.MatmulLtState"
# What Python's abc and transformers write into classes as they go, answers to themselves; before
# 5.23 a class that was loaded entered itself into the list of those whose states can be recorded.
CLASSES_KEEP = frozenset({
    "_abc_impl", "_can_set_attn_implementation_cached_value",
    "_can_set_experts_implementation_cached_value", "_CAN_RECORD_REGISTRY",
})  # fmt: skip
_load_file_lock = threading.RLock()  # guards safetensors.torch.load_file, one for all threads


# ---------------------------------------------------------------- torch


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


def uncompiled(module: Any) -> Any:
    """The module within torch.compile's wrapper, or itself where it is not compiled.

    https://github.com/pytorch/pytorch/blob/v2.13.0/torch/_dynamo/eval_frame.py
    """
    return getattr(module, "_orig_mod", module)


def twin(module: Any, forward: Callable[..., Any]) -> Any:
    """The module once more: weights and config are shared, hooks are its own, forward is given.

    Arguments:
        module: any, also a compiled one, whose own module is then taken.
        forward: what a call of the copy runs, in place of the module's `forward`.

    Returns:
        The copy; the module itself stays as it is.

    https://github.com/pytorch/pytorch/blob/v2.13.0/torch/nn/modules/module.py
    """
    import torch

    made = copy.copy(uncompiled(module))
    made.__dict__.update({k: v for k, v in vars(torch.nn.Module()).items() if "_hook" in k})
    made._modules = dict(made._modules)
    made.forward = forward
    return made


# ---------------------------------------------------------------- diffusers


def dtype_keyword(diffusers: str) -> str:
    """How that version of diffusers calls the dtype; the other name is ignored or deprecated.

    Example:
        >>> dtype_keyword("0.39.0"), dtype_keyword("0.42.1")
        ('torch_dtype', 'dtype')
    """
    return "dtype" if Version(diffusers) >= Version("0.40") else "torch_dtype"


def execution_device(pipe: DiffusionPipeline) -> str:
    """Where a pipeline's calls run; with offloading its public `device` is the CPU.

    https://github.com/huggingface/diffusers/blob/main/src/diffusers/pipelines/pipeline_utils.py
    """
    return str(pipe._execution_device)


def offload_hooks(pipe: DiffusionPipeline) -> list[Any]:
    """The hooks of `enable_model_cpu_offload`, which only the pipeline's private list tells."""
    return getattr(pipe, "_all_hooks", [])


def forget_offload_hooks(view: DiffusionPipeline) -> None:
    """A shallow copy's call then ends without sending the shared modules back to the CPU."""
    view._all_hooks = []


def packages_of(made: type) -> list[str]:
    """The packages that a class of diffusers needs where a stand-in for it says so.

    https://github.com/huggingface/diffusers/blob/main/src/diffusers/utils/import_utils.py
    """
    return list(getattr(made, "_backends", []))


def keeps_float32(part: type) -> bool:
    """Whether diffusers loads some layers of that class in float32, whatever the dtype.

    https://github.com/huggingface/diffusers/blob/main/src/diffusers/models/modeling_utils.py
    """
    return bool(getattr(part, "_keep_in_fp32_modules", None))


def usual_attention_backend() -> str:
    """The name of what computes diffusers' attention where nobody chose, such as "NATIVE"."""
    from diffusers.models import attention_dispatch

    return str(attention_dispatch.DIFFUSERS_ATTN_BACKEND).upper()


def attention_backend() -> str:
    """The name of what computes diffusers' attention now; the public function only sets it.

    https://github.com/huggingface/diffusers/blob/main/src/diffusers/models/attention_dispatch.py
    """
    from diffusers.models import attention_dispatch

    return str(attention_dispatch._AttentionBackendRegistry._active_backend.name)


def begin_at(scheduler: Any, timestep: Any) -> None:
    """Sets the scheduler's `step_index` as its first `step` would, to read the sigma before it.

    https://github.com/huggingface/diffusers/blob/main/src/diffusers/schedulers/scheduling_euler_discrete.py
    """
    scheduler._init_step_index(timestep)


def unpacked(pipe: DiffusionPipeline, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Latents as the VAE takes them: Flux packs 2 x 2 of them into one token of its transformer.

    Arguments:
        pipe: whatever has no such packing gets its latents back.
        latents: (B, tokens, channels) where they are packed.
        size: (width, height) in pixels.
    """
    if not hasattr(pipe, "_unpack_latents"):
        return latents
    width, height = size
    return pipe._unpack_latents(latents, height, width, pipe.vae_scale_factor)


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


@contextmanager
def safetensors_read_by(read: Callable[[Any], dict[str, torch.Tensor] | None]) -> Iterator[None]:
    """While the block runs, diffusers reads its models' files by that function.

    It takes no reader as an argument, and looks `load_file` up in its module at each call
    (https://github.com/huggingface/diffusers/blob/main/src/diffusers/models/model_loading_utils.py).

    Arguments:
        read: of a file's name; None leaves the file to safetensors.
    """
    import safetensors.torch

    with _load_file_lock:
        plain = safetensors.torch.load_file

        def load_file(filename: Any, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
            return read(filename) or plain(filename, *args, **kwargs)

        safetensors.torch.load_file = load_file
        try:
            yield
        finally:
            safetensors.torch.load_file = plain


def set_blocks(view: Any, blocks: Any) -> None:
    """Gives a shallow copy of a modular pipeline other blocks, which only its constructor takes.

    https://github.com/huggingface/diffusers/blob/main/src/diffusers/modular_pipelines/modular_pipeline.py
    """
    view._blocks = blocks


def repository_of(pipe: Any) -> str | None:
    """The folder or hub id that a modular pipeline was made from; its config does not have it."""
    return getattr(pipe, "_pretrained_model_name_or_path", None)


# ---------------------------------------------------------------- transformers, peft


def is_capturing(function: Any) -> bool:
    """Whether this is a hook by which transformers hands out the states of a model's layers.

    The first call that asks for them puts these hooks there, for good; they change no number.
    https://github.com/huggingface/transformers/blob/main/src/transformers/utils/output_capturing.py
    """
    return function.__globals__.get("__name__") == "transformers.utils.output_capturing"


def active_adapters(layer: Any) -> Any:
    """Which of a peft layer's adapters count, as it holds them: a name, or a list of names."""
    return layer._active_adapter


def set_active_adapters(layer: Any, names: Any) -> None:
    """Chooses them; the public `set_adapter` also turns gradients on for all their weights.

    https://github.com/huggingface/peft/blob/v0.21.0/src/peft/tuners/tuners_utils.py
    """
    layer._active_adapter = names


# ---------------------------------------------------------------- huggingface_hub


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


def cache_folder(model: str) -> str:
    """The name of a repository's folder in the hub's cache; no public function says it.

    https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/file_download.py

    Example:
        >>> cache_folder("CompVis/stable-diffusion-v1-4")
        'models--CompVis--stable-diffusion-v1-4'
    """
    from huggingface_hub.file_download import repo_folder_name

    return repo_folder_name(repo_id=model, repo_type="model")


def download(url: str, file: BinaryIO, size: int, name: str) -> None:
    """Fetches what the file still lacks; the hub's public download begins anew after a failure.

    Arguments:
        url: of the hub.
        file: opened for appending; what it holds already is not fetched again.
        size: of the whole file, in bytes.
        name: for the progress bar.
    """
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    http_get(
        url, file, resume_size=file.tell(), headers=build_hf_headers(), expected_size=size,
        displayed_filename=name,
    )  # fmt: skip


# ---------------------------------------------------------------- notebooks


def allows_input() -> bool:
    """Whether the front end of this kernel lets a cell ask for input, as it says with every cell.

    nbclient, nbval and papermill say no.
    https://github.com/ipython/ipykernel/blob/main/ipykernel/kernelbase.py
    """
    from IPython import get_ipython

    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))


def empty_upload(field: Any) -> None:
    """Takes the files out of an ipywidgets 7 `FileUpload`, whose value cannot be set.

    Its value is made of its counter, metadata and contents:
    https://github.com/jupyter-widgets/ipywidgets/blob/7.x/ipywidgets/widgets/widget_upload.py
    """
    field.metadata, field.data = [], []
    field._counter = 0
