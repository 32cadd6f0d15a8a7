"""Canaries: what sdnb asks of other libraries' internals still answers, and is right."""

import contextlib
import copy
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FluxPipeline,
)
from huggingface_hub import errors, try_to_load_from_cache
from huggingface_hub.file_download import http_get
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


def test_diffusers_reads_weights_by_the_function_that_is_replaced(tmp_path):
    AutoencoderTiny().save_pretrained(tmp_path)
    asked = []
    with compat.safetensors_read_by(asked.append):
        AutoencoderTiny.from_pretrained(tmp_path)
    assert [Path(name).parent for name in asked] == [tmp_path]
    AutoencoderTiny.from_pretrained(tmp_path)
    assert len(asked) == 1


@pytest.mark.parametrize("kind", [EulerDiscreteScheduler, DPMSolverMultistepScheduler])
def test_a_scheduler_begins_where_its_first_step_begins(kind):
    ready, stepped = kind(), kind()
    for scheduler in (ready, stepped):
        scheduler.set_timesteps(8)
    time, x = ready.timesteps[3], torch.zeros(1, 4, 2, 2)
    stepped.step(x, time, x)
    compat.begin_at(ready, time)
    assert ready.step_index == 3 == stepped.step_index - 1


def test_fluxs_latents_are_unpacked_and_others_left_as_they_are():
    latents, size = torch.randn(1, 16, 8, 4), (32, 64)
    packed = FluxPipeline._pack_latents(latents, 1, 16, 8, 4)
    flux = SimpleNamespace(_unpack_latents=FluxPipeline._unpack_latents, vae_scale_factor=8)
    assert torch.equal(compat.unpacked(flux, packed, size), latents)
    assert compat.unpacked(SimpleNamespace(), latents, size) is latents


def test_offloading_is_told_by_the_pipelines_hooks_until_they_are_forgotten(pipe):
    view = copy.copy(pipe)
    assert compat.offload_hooks(view) == []
    view.enable_model_cpu_offload(device="cpu")
    assert len(compat.offload_hooks(view)) == 3
    view.remove_all_hooks()
    compat.forget_offload_hooks(view)
    assert compat.offload_hooks(view) == [] == compat.offload_hooks(pipe)


def test_the_hub_fetches_the_rest_of_a_file_that_it_did_not_finish():
    takes = inspect.signature(http_get).parameters
    assert {"resume_size", "headers", "expected_size", "displayed_filename"} <= set(takes)


def test_a_repositorys_folder_is_where_the_hub_looks(tmp_path):
    folder = tmp_path / compat.cache_folder("CompVis/a")
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("c0")
    (folder / "snapshots/c0").mkdir(parents=True)
    file = folder / "snapshots/c0/x.json"
    file.write_text("{}")
    assert try_to_load_from_cache("CompVis/a", "x.json", cache_dir=tmp_path) == str(file)


def test_diffusers_still_tells_a_checkpoints_family_by_names_and_shapes():
    shapes = {"model.diffusion_model.input_blocks.0.0.weight": (320, 9, 3, 3)}
    assert compat.kind_of_single_file(shapes) == "inpainting"
    assert compat.kind_of_single_file({"x": (1,)}) == "v1", "what it does not know"
    assert "stable-diffusion-xl-base" in compat.repository_of_kind("xl_base")


def test_which_adapters_of_a_peft_layer_count():
    from peft import LoraConfig, inject_adapter_in_model

    plain = torch.nn.Sequential(torch.nn.Linear(2, 2))
    given = torch.ones(1, 2)
    expected = plain(given)
    config = LoraConfig(r=1, target_modules=["0"], init_lora_weights=False)
    [layer] = inject_adapter_in_model(config, plain, "ink")
    assert layer.active_adapters == ["ink"]
    assert not torch.equal(layer(given), expected)
    gradients = [p.requires_grad for p in layer.parameters()]
    before = compat.active_adapters(layer)
    compat.set_active_adapters(layer, [])
    assert torch.equal(layer(given), expected)
    compat.set_active_adapters(layer, before)
    assert layer.active_adapters == ["ink"]
    assert [p.requires_grad for p in layer.parameters()] == gradients


def test_a_peft_layer_multiplies_by_its_scaling_as_it_stands():
    """So it can be a number for each row: see `sdnb.models.lora`."""
    from peft import LoraConfig, inject_adapter_in_model

    from sdnb.models.lora import PerRow

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Conv2d(2, 2, 1))
    config = LoraConfig(r=1, target_modules=["0", "1"], init_lora_weights=False)
    linear, conv = inject_adapter_in_model(config, model, "ink")
    for layer, given in ((linear, torch.randn(3, 2)), (linear, torch.randn(3, 4, 2)),
                         (conv, torch.randn(3, 2, 4, 4))):  # fmt: skip
        alone = []
        for scale in (0.0, 0.5, 2.0):
            layer.scaling["ink"] = scale
            alone.append(layer(given))
        layer.scaling["ink"] = PerRow([0.0, 0.5, 2.0], [1, 1, 1], "cpu")
        rows = torch.stack([each[i] for i, each in enumerate(alone)])
        assert torch.allclose(layer(given), rows, atol=1e-6)
        with pytest.raises(ValueError, match="3 rows went in"):
            layer(given[:2])


def test_a_modular_pipeline_runs_the_blocks_that_it_is_given_and_knows_its_repository():
    from diffusers import FluxModularPipeline

    pipe = FluxModularPipeline()
    view, blocks = copy.copy(pipe), pipe.blocks
    del blocks.sub_blocks["decode"]
    compat.set_blocks(view, blocks)
    assert "decode" not in view.blocks.sub_blocks
    assert "decode" in pipe.blocks.sub_blocks
    assert compat.repository_of(pipe) is None
