"""Canaries: what sdnb asks of other libraries' internals still answers, and is right."""

import contextlib

import pytest
import torch
from huggingface_hub import errors
from torch.nn.modules import module
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTextConfig, CLIPTextModel

from sdnb import compat
from sdnb.models import torch_state
from tests.support import toys

NAMES = {
    torch._C: [
        "_is_any_autocast_enabled", "_len_torch_function_stack", "_len_torch_dispatch_stack",
    ],
    module: ["_has_any_global_hook"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in NAMES.items() for name in names]
)
def test_torch_has_not_renamed_it(owner, name):
    assert callable(getattr(owner, name))


@contextlib.contextmanager
def hooked():
    handle = module.register_module_forward_hook(lambda *_: None)
    yield
    handle.remove()


SWITCHED = {
    "autocast": (lambda: torch.autocast("cpu", torch.bfloat16), compat.is_autocast_on),
    "default device": (lambda: torch.device("cpu"), compat.count_of_modes),
    "function mode": (TorchFunctionMode, compat.count_of_modes),
    "dispatch mode": (TorchDispatchMode, compat.count_of_modes),
    "hook of all modules": (hooked, compat.has_global_hooks),
}


@pytest.mark.parametrize("name", SWITCHED)
def test_what_is_switched_on_is_seen_until_it_is_off_again(name):
    switched, read = SWITCHED[name]
    assert not read()
    with switched():
        assert read()
        assert torch_state.unusual()
    assert not read()
    assert torch_state.unusual() == {}


def test_transformers_hooks_for_the_states_of_layers_are_known_and_no_others():
    encoder = CLIPTextModel(CLIPTextConfig(**toys.TEXT))
    encoder.register_forward_hook(lambda *_: None)
    encoder(torch.tensor([[1161, 5, 1162]]), output_hidden_states=True)
    hooks = {
        owner: [hook for each in part.modules() for hook in each._forward_hooks.values()]
        for owner, part in (("all", encoder), ("layers", encoder.encoder))
    }
    assert len(hooks["layers"]) == 4  # a layer's states, and its attention, of two layers
    assert all(map(compat.is_capturing, hooks["layers"]))
    assert [compat.is_capturing(hook) for hook in hooks["all"]].count(False) == 1


def test_diffusers_attention_backend_is_seen():
    """Its registry is private, and is where the choice stands."""
    from diffusers.models import attention_dispatch

    with attention_dispatch.attention_backend("_native_math"):
        assert torch_state.unusual() == {"diffusers' attention backend": ("NATIVE", "_NATIVE_MATH")}
    assert torch_state.unusual() == {}


def test_the_hubs_errors_are_its_http_librarys():
    library = compat.http_library()
    assert issubclass(errors.HfHubHTTPError, library.HTTPError)
    assert issubclass(library.ConnectError, library.TransportError)
    assert issubclass(library.ReadTimeout, library.TransportError)
