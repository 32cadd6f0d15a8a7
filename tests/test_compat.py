"""Canaries: what sdnb asks of other libraries' internals still answers, and is right."""

import ast
import contextlib
import copy
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    AutoencoderTiny,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FluxPipeline,
    UNet2DConditionModel,
)
from huggingface_hub import errors, try_to_load_from_cache
from huggingface_hub.file_download import http_get
from torch.nn.modules import module
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTextConfig, CLIPTextModel

import sdnb
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


def test_a_tensors_counter_counts_changes():
    tensor = torch.zeros(2)
    before = compat.version_of(tensor)
    tensor.add_(1)
    assert compat.version_of(tensor) == before + 1


def test_the_module_within_a_compiled_one():
    layer = torch.nn.Linear(2, 2)
    compiled = torch.compile(layer)
    assert compiled is not layer
    assert compat.uncompiled(compiled) is compat.uncompiled(layer) is layer


def test_a_twin_has_the_modules_weights_and_hooks_and_a_forward_of_its_own():
    module = torch.nn.Sequential(torch.nn.Linear(2, 2))
    called = []
    module.register_forward_hook(lambda *_: called.append("hook"))
    twin = compat.twin(module, lambda x: x + 1)
    twin.register_forward_hook(lambda *_: called.append("twin's"))
    given = torch.zeros(1, 2)
    assert torch.equal(twin(given), given + 1)
    assert called == ["twin's"]
    assert twin[0] is module[0]
    twin[0] = torch.nn.Identity()
    assert isinstance(module[0], torch.nn.Linear)
    module(given)
    assert called == ["twin's", "hook"]


def test_a_modules_parts_stand_in_dicts_of_these_names():
    layer = torch.nn.BatchNorm2d(2)
    assert {name for name, value in vars(layer).items() if name in compat.MODULE_DICTS} == {
        "_modules", "_parameters", "_buffers",
    }  # fmt: skip


def test_a_pipelines_calls_run_where_offloading_sends_its_parts(pipe):
    view = copy.copy(pipe)
    assert compat.execution_device(view) == "cpu"
    view.enable_model_cpu_offload(device="cpu")
    assert compat.execution_device(view) == "cpu:0"
    view.remove_all_hooks()


def test_which_layers_diffusers_keeps_in_float32():
    from diffusers import QwenImageTransformer2DModel, WanTransformer3DModel

    assert compat.keeps_float32(WanTransformer3DModel)
    assert not compat.keeps_float32(QwenImageTransformer2DModel)
    assert not compat.keeps_float32(UNet2DConditionModel)


def test_a_stand_in_of_diffusers_names_its_packages():
    from diffusers.utils import dummy_torch_and_transformers_objects as stand_ins

    assert compat.packages_of(stand_ins.FluxPipeline) == ["torch", "transformers"]
    assert compat.packages_of(FluxPipeline) == []


def test_a_kernel_says_whether_a_cell_may_ask():
    from ipykernel.kernelbase import Kernel

    assert Kernel()._allow_stdin is False


def test_a_pipelines_config_and_a_tokenizers_rust_are_found_under_these_names(pipe):
    assert getattr(pipe, compat.CONFIG) == pipe.config
    assert getattr(pipe.tokenizer, compat.RUST_TOKENIZER) is pipe.tokenizer.backend_tokenizer


def test_what_changes_no_picture_is_where_the_libraries_keep_it(pipe):
    from diffusers import FluxModularPipeline
    from diffusers.hooks import HookRegistry
    from diffusers.modular_pipelines import ComponentsManager

    view = copy.copy(pipe)
    view.set_progress_bar_config(disable=True)
    assert vars(view).keys() >= compat.PIPELINE_KEEPS
    manager = ComponentsManager()
    modular = FluxModularPipeline(components_manager=manager, collection="a")
    assert vars(modular).keys() >= compat.MODULAR_KEEPS
    registry = HookRegistry(torch.nn.Identity())
    registry._get_child_registries()
    assert vars(registry).keys() >= compat.HOOKS_KEEP
    encoder = CLIPTextModel(CLIPTextConfig(**toys.TEXT))
    encoder(torch.tensor([[1161, 5, 1162]]), output_hidden_states=True)
    held = {name for part in encoder.modules() for name in vars(part)}
    assert held >= compat.MODEL_KEEPS


def test_bitsandbytes_keeps_the_state_of_an_8_bit_layer_in_this_class():
    reason = "pip install 'sdnb[quantize]'"
    bitsandbytes = pytest.importorskip("bitsandbytes", reason=reason)
    kind = type(bitsandbytes.nn.Linear8bitLt(2, 2).state)
    assert f"{kind.__module__}.{kind.__qualname__}" == compat.STATE_OF_8BIT


# keys of the files that diffusers writes (model_index.json and the like), which are no code
IN_FILES = {"_class_name", "_blocks_class_name", "_diffusers_version", "_name_or_path"}
DOCUMENTED = {"_fields", "_replace", "_repr_png_"}  # of namedtuples, of IPython
ENDINGS = {"_file", "_file_steps", "_sdp", "_sdp_enabled"}  # of names
OURS = {"_sheet"}  # a Plan's, for its Execution


def made_in(tree: ast.AST) -> Iterator[str]:
    """The names of a module's functions, classes, variables, and its own objects' attributes."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and own(node):
            yield node.attr


def own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def used_in(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Line and name of what is read or imported; whether it is read of self or cls."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.lineno, node.attr, own(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in (getattr(node, "module", ""), *(alias.name for alias in node.names)):
                for part in (name or "").split("."):
                    yield node.lineno, part, False
        elif isinstance(node, ast.Constant) and id(node) not in prose:  # for getattr and the like
            path = re.fullmatch(r"[\w.\[\]'\"]+", str(node.value))
            for part in re.findall(r"(?:^|\.)(_[A-Za-z]{2}\w+)", path[0]) if path else ():
                yield node.lineno, part, False


def foreign_privates(sources: dict[str, str]) -> list[str]:
    """Private names in these modules that none of them makes: "module:line name"."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    made = {name: set(made_in(tree)) for name, tree in trees.items()}
    anywhere = set().union(*made.values())
    return [
        f"{file}:{line} {name}"
        for file, tree in trees.items()
        for line, name, of_self in used_in(tree)
        if name.startswith("_")
        and not name.startswith("__")
        and name not in (anywhere if of_self else made[file])
    ]


def test_private_names_of_other_libraries_stand_in_compat_alone():
    folder = Path(sdnb.__file__).parent
    sources = {
        str(file.relative_to(folder)): file.read_text("utf-8")
        for file in folder.rglob("*.py")
        if file.name != "compat.py"
    }
    allowed = IN_FILES | DOCUMENTED | ENDINGS | OURS
    assert [each for each in foreign_privates(sources) if each.split()[1] not in allowed] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("pipe._execution_device", ["a:1 _execution_device"]),
        ("getattr(made, '_backends', [])", ["a:1 _backends"]),
        ("from torch._C import _x", ["a:1 _C", "a:1 _x"]),
        ("changed['tokenizer._tokenizer']", ["a:1 _tokenizer"]),
        ("self._b = 1\nother._b", []),
        ("def _b(): ...\na._b()", []),
        ("self._of_base", ["a:1 _of_base"]),
        ("'a sentence of _names'", []),
        ("a.__class__", []),
    ],
)
def test_a_private_name_of_others_is_told_from_ones_own(source, found):
    assert foreign_privates({"a": source}) == found
