"""Looking at a pipeline is no change: whatever shows, saves, copies, moves or uses it as it is."""

import contextlib
import copy
import inspect
import io
import pickle
import pprint
import tempfile

import diffusers
import huggingface_hub
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from IPython.lib.pretty import pretty
from PIL import Image

import sdnb
from sdnb.models import provenance
from tests.support import toys

FAMILIES = ["emoji", "SDXL", "SD3", "Flux"]
SMALL = {"width": 64, "height": 64}
RED = Image.new("RGB", (64, 64), "red")
MASK = Image.new("L", (64, 64), 255)


def parts(pipe):
    return [part for part in pipe.components.values() if part is not None]


def modules(pipe):
    return [part for part in parts(pipe) if isinstance(part, torch.nn.Module)]


def configs(pipe):
    return [part.config for part in (pipe, *parts(pipe)) if hasattr(part, "config")]


def shown(pipe):
    """By print, by a notebook, by a debugger."""
    formatter = DisplayFormatter()
    for each in formatter.formatters.values():
        each.enabled = True
    for item in (pipe, *parts(pipe), *configs(pipe)):
        print(item, repr(item), f"{item}", file=io.StringIO())
        formatter.format(item)
        pretty(item)
        dir(item)
        hasattr(item, "in_channels")
        hasattr(item, "no_such_name")


def inspected(pipe):
    inspect.signature(pipe.__call__)
    inspect.getsource(type(pipe).__call__)
    for name in dir(type(pipe)):
        if isinstance(inspect.getattr_static(type(pipe), name), property):
            getattr(pipe, name, None)


def configs_are_written_out(pipe):
    for config in configs(pipe):
        pprint.pformat(config)
        copy.deepcopy(config)
        for name in ("to_dict", "to_diff_dict", "to_json_string"):
            getattr(config, name, lambda: None)()
    for item in (pipe, *parts(pipe)):
        getattr(item, "to_json_string", lambda: None)()


def saved(pipe):
    with tempfile.TemporaryDirectory() as folder:
        pipe.save_pretrained(folder)
        pipe.save_pretrained(folder, safe_serialization=False)
    for item in (*parts(pipe), *configs(pipe)):
        with tempfile.TemporaryDirectory() as folder:
            getattr(item, "save_pretrained", lambda _: None)(folder)
            getattr(item, "save_config", lambda _: None)(folder)


def copied(pipe):
    copy.copy(pipe)
    copy.deepcopy(pipe)
    with contextlib.suppress(AttributeError):  # transformers' own hooks cannot be pickled
        pickle.loads(pickle.dumps(pipe))


def counted(pipe):
    for module in modules(pipe):
        for weight in module.parameters():
            weight.numel()
            weight.detach().numpy()
            repr(weight)
            weight.untyped_storage()
        torch.save(module.state_dict(), io.BytesIO())
        dict(module.named_modules())
        getattr(module, "num_parameters", lambda: None)()
        getattr(module, "get_memory_footprint", lambda: None)()


def moved(pipe):
    pipe.to("cpu")
    pipe.to("cpu", torch.float32)
    for module in modules(pipe):
        module.to("cpu").float().train().eval()
        module.zero_grad()


def moved_away_and_back(pipe):
    """As to a GPU: the numbers lie elsewhere afterwards."""
    for module in modules(pipe):
        module._apply(lambda numbers: numbers.clone())


def used_as_diffusers_uses_it(pipe):
    pipe.set_progress_bar_config(disable=True, desc="a fox")
    pipe("a fox", num_inference_steps=1, **SMALL)
    pipe("a fox", num_inference_steps=2, num_images_per_prompt=2, guidance_scale=3.0,
         output_type="latent", callback_on_step_end=lambda *given: given[-1], **SMALL)  # fmt: skip


def stopped(pipe):
    def interrupt(pipe, step, time, given):
        pipe._interrupt = True
        return given

    def fail(*_):
        raise KeyboardInterrupt

    pipe("a fox", num_inference_steps=2, callback_on_step_end=interrupt, **SMALL)
    with pytest.raises(KeyboardInterrupt):
        pipe("a fox", num_inference_steps=2, callback_on_step_end=fail, **SMALL)


def used_as_sdnb_uses_it(pipe):
    made = {"steps": 2, "pipe": pipe, "store": False, **SMALL}
    sdnb.compare("a fox", seed=[1, 2], **made)
    sdnb.generate("a fox", image=RED, strength=0.5, **made)
    sdnb.generate("a fox", image=RED, mask=MASK, strength=0.5, **made)


def words_are_read(pipe):
    for part in parts(pipe):
        if hasattr(part, "tokenize"):
            part(["a fox", "a cat on a mat"], padding=True, return_tensors="pt")
            part("a " * 900, truncation=True, max_length=7, padding="max_length")
            part("a " * 900)
            part.decode(part.encode("a fox"))
            part.get_vocab()
            len(part)


def pictures_are_encoded_and_decoded(pipe):
    with torch.no_grad():
        pixels = pipe.image_processor.preprocess(RED)
        encoded = pipe.vae.encode(pixels)
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
        pipe.image_processor.postprocess(pipe.vae.decode(latents).sample)


def made_into_other_pipelines(pipe):
    view = diffusers.AutoPipelineForImage2Image.from_pipe(pipe)
    view.set_progress_bar_config(disable=True)
    type(view)(**view.components)
    if "vae_scale_factor" not in vars(view) or not hasattr(view.vae.config, "sample_size"):
        return  # diffusers' own img2img takes no AutoencoderTiny without a size
    view("a fox", image=RED, num_inference_steps=2, strength=0.6)


def the_scheduler_is_looked_at(pipe):
    own = pipe.scheduler
    repr(own)
    own.set_timesteps(7)
    copy.deepcopy(own)
    pipe.scheduler = type(own).from_config(own.config)
    pipe.scheduler = own


def switched_on_and_off(pipe):
    """What diffusers itself leaves behind where nothing is on any more."""
    pipe.vae.enable_tiling()
    pipe.vae.disable_tiling()
    pipe.vae.enable_slicing()
    pipe.vae.disable_slicing()
    if hasattr(pipe, "unet"):
        pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.1, b2=1.2)
        pipe.disable_freeu()
    pipe.maybe_free_model_hooks()
    pipe.remove_all_hooks()
    for module in modules(pipe):
        module.register_forward_hook(lambda *_: None).remove()
        if hasattr(module, "attn_processors"):
            module.set_attn_processor(module.attn_processors)


LOOKS = [
    shown, inspected, configs_are_written_out, saved, copied, counted, moved, moved_away_and_back,
    used_as_diffusers_uses_it, stopped, used_as_sdnb_uses_it, words_are_read,
    pictures_are_encoded_and_decoded, made_into_other_pipelines, the_scheduler_is_looked_at,
    switched_on_and_off,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_whoever_looks_at_a_pipeline_still_gets_the_stored_picture(family, tmp_path):
    sdnb.clear()
    model = "emoji" if family == "emoji" else toys.saved(family, tmp_path)
    pipe = sdnb.load(model, device="cpu", dtype="float32")
    store = sdnb.Store(tmp_path / "store")
    fox = {"prompt": "a fox", "steps": 2, "seed": 1, "pipe": pipe, "store": store, **SMALL}
    kept = sdnb.generate(**fox)
    changed = {}
    for look in LOOKS:
        look(pipe)
        if found := provenance.differences(pipe):
            changed[look.__name__] = found
    assert changed == {}
    again = sdnb.generate(**fox)
    assert len(store) == 1
    assert again.facts["seconds"] == kept.facts["seconds"], "it was made anew"
    sdnb.clear()


def test_other_models_that_are_loaded_and_used_are_no_change(tmp_path):
    """Libraries keep lists of the classes that they have seen."""
    sdnb.clear()
    pipe = sdnb.load("emoji", device="cpu")
    sdnb.generate("a fox", steps=1, seed=1, pipe=pipe, store=False, **SMALL)
    for family in FAMILIES[1:]:
        toy = sdnb.load(toys.saved(family, tmp_path / family), device="cpu", dtype="float32")
        sdnb.generate("a fox", steps=1, seed=1, pipe=toy, store=False, **SMALL)
        assert provenance.differences(pipe) == {}, family
    sdnb.clear()


def test_the_hubs_client_that_transformers_makes_when_it_first_asks_is_no_change(monkeypatch):
    from transformers.utils import hub

    from sdnb.models import library_code

    monkeypatch.setattr(hub, "_hf_api", None)
    monkeypatch.setattr(library_code, "_spaces", {})
    monkeypatch.setattr(library_code, "_libraries", {})
    assert library_code.differences([hub.PushToHubMixin]) == {}
    hub._hf_api = huggingface_hub.HfApi()
    assert library_code.differences([hub.PushToHubMixin]) == {}
    hub._hf_api = lambda *_: None
    [name] = library_code.differences([hub.PushToHubMixin])
    assert name == "transformers.utils.hub._hf_api"


def test_progress_bars_in_a_librarys_module_are_no_change(monkeypatch):
    """As transformers' modules of language models have, which encode some pipelines' prompts."""
    from tqdm import tqdm
    from transformers.models.clip import modeling_clip

    from sdnb.models import library_code

    monkeypatch.setattr(modeling_clip, "bar", tqdm.write, raising=False)
    monkeypatch.setattr(library_code, "_spaces", {})
    monkeypatch.setattr(library_code, "_libraries", {})
    assert library_code.differences([modeling_clip.CLIPTextModel]) == {}


def test_a_stand_in_for_what_is_not_installed_is_passed_over(monkeypatch):
    """transformers 5.15 has them among its modules' names: asked for anything, they raise."""
    from sdnb.models import library_code

    class Absent(type):
        def __getattribute__(cls, name):
            raise ImportError(f"{name} requires the Torchvision library")

    class Owner:
        processor = Absent("AutoImageProcessor", (), {})

        @staticmethod
        def code():
            return 1

    monkeypatch.setattr(library_code, "_spaces", {})
    space = library_code._Namespace(Owner, callables_only=False)
    assert space.functions == [Owner.code]
    assert space.is_untouched()
