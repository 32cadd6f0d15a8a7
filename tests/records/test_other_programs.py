"""Pictures of ComfyUI, InvokeAI, Fooocus, NovelAI, SD.Next, Civitai, in their documented forms."""

import json

import pytest
from PIL import Image, PngImagePlugin

from sdnb import Settings, read
from sdnb.records import other_programs

FOX = Settings("a fox, red fur", "owl", 28, 6.5, "DPM++ 2M Karras", 2**63 + 12345, 832, 1216)


def comfy(sampler="dpmpp_2m", schedule="karras", more=()):
    """The default workflow, through a LoRA."""
    inputs = {
        "seed": FOX.seed, "steps": 28, "cfg": 6.5, "sampler_name": sampler, "scheduler": schedule,
        "denoise": 1.0, "model": ["11", 0], "positive": ["6", 0], "negative": ["7", 0],
        "latent_image": ["5", 0],
    }  # fmt: skip
    nodes = {
        "4": ("CheckpointLoaderSimple", {"ckpt_name": "dream.safetensors"}),
        "5": ("EmptyLatentImage", {"width": 832, "height": 1216, "batch_size": 1}),
        "6": ("CLIPTextEncode", {"text": "a fox, red fur", "clip": ["11", 1]}),
        "7": ("CLIPTextEncode", {"text": "owl", "clip": ["11", 1]}),
        "11": ("LoraLoader", {"lora_name": "x", "model": ["4", 0], "clip": ["4", 1]}),
        "3": ("KSampler", inputs),
        **dict(more),
    }
    return json.dumps(
        {n: {"class_type": kind, "inputs": given} for n, (kind, given) in nodes.items()}
    )


REFINES = {
    "2": ("KSampler", {
        "seed": 1, "steps": 10, "cfg": 2, "sampler_name": "euler", "scheduler": "normal",
        "denoise": 0.4, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0],
        "latent_image": ["3", 0],
    }),
}  # fmt: skip
INVOKE = {
    "generation_mode": "sdxl_txt2img", "positive_prompt": FOX.prompt, "negative_prompt": "owl",
    "width": 832, "height": 1216, "seed": FOX.seed, "rand_device": "cpu", "cfg_scale": 6.5,
    "steps": 28, "scheduler": "dpmpp_2m_k", "app_version": "5.0.0",
    "model": {"key": "a", "hash": "b", "name": "dream", "base": "sdxl", "type": "main"},
}  # fmt: skip
FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)", "base_model": "dream", "base_model_hash": "aeb7e9e689",
    "guidance_scale": 6.5, "loras": [], "metadata_scheme": "fooocus", "negative_prompt": "owl",
    "performance": "Speed", "prompt": FOX.prompt, "resolution": "(832, 1216)",
    "sampler": "dpmpp_2m", "scheduler": "karras", "seed": str(FOX.seed), "sharpness": 2,
    "steps": 28, "styles": "['Fooocus V2']", "vae": "Default (model)", "version": "Fooocus v2.5.5",
}  # fmt: skip
NOVEL = {
    "steps": 28, "height": 1216, "width": 832, "scale": 6.5, "uc": "owl", "seed": FOX.seed,
    "sampler": "k_dpmpp_2m", "noise_schedule": "karras", "sm": False,
}  # fmt: skip
PAIRS = f"Seed: {FOX.seed}, CFG scale: 6.5, Size: 832x1216"
A1111 = f"{FOX.prompt}\nNegative prompt: owl\nSteps: 28, Sampler: DPM++ 2M"
FORMS = {
    "ComfyUI": {"prompt": comfy(), "workflow": "{}"},
    "ComfyUI through its API": {"prompt": comfy()},
    "ComfyUI with a second pass": {"prompt": comfy(more=REFINES)},
    "InvokeAI": {"invokeai_metadata": json.dumps(INVOKE)},
    "Fooocus": {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"},
    "NovelAI": {
        "Title": "AI generated image", "Description": FOX.prompt, "Software": "NovelAI",
        "Source": "Stable Diffusion XL C1E1DE52", "Comment": json.dumps(NOVEL),
    },
    "SD.Next": {"parameters": f"{A1111} Karras, {PAIRS}, Parser: native, App: SD.Next"},
    "Civitai": {"parameters": f"{A1111}, Schedule type: karras, {PAIRS}, Created Date: 2024-05-01, "
                'Civitai resources: [{"type":"checkpoint","modelVersionId":1,"modelName":"A, B"}]'},
}  # fmt: skip


def saved(path, texts):
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    Image.new("RGB", (832, 1216)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("name", FORMS)
def test_settings_are_read_from_each_programs_own_form(tmp_path, name):
    sample = read(saved(tmp_path / "a.png", FORMS[name]))
    assert sample.settings == FOX
    if name.partition(" ")[0] in ("ComfyUI", "InvokeAI", "Fooocus"):
        assert sample.facts["model"].startswith("dream")
    assert sample.facts.get("program") in (name.partition(" ")[0], None)
    with pytest.raises(ValueError, match="not made by sdnb"):
        sample.code()


def test_older_forms_of_invokeai_are_read(tmp_path):
    dream = '"a fox, red fur [owl]" -s 28 -S 77 -W 832 -H 1216 -C 6.5 -A k_euler_a'
    short = FOX.but(seed=77, scheduler="Euler a")
    assert read(saved(tmp_path / "a.png", {"Dream": dream})).settings == short
    whole = {"model_weights": "dream", "image": {
        "prompt": [{"prompt": "a fox, red fur [owl]", "weight": 1}], "steps": 28, "cfg_scale": 6.5,
        "sampler": "k_euler_a", "seed": 77, "width": 832, "height": 1216}}  # fmt: skip
    assert read(saved(tmp_path / "b.png", {"sd-metadata": json.dumps(whole)})).settings == short


def test_comfyui_s_webp_and_fooocus_s_jpeg_say_it_in_exif(tmp_path):
    for ending, tag, text in (
        ("webp", 0x0110, "prompt:" + comfy()), ("jpg", 0x9286, json.dumps(FOOOCUS))
    ):  # fmt: skip
        exif = Image.Exif()
        exif[tag] = text
        path = tmp_path / f"a.{ending}"
        Image.new("RGB", (832, 1216)).save(path, exif=exif)
        assert read(path).settings == FOX


@pytest.mark.parametrize(
    ("sampler", "schedule", "ours"),
    [
        ("euler", "normal", "Euler"), ("euler_ancestral", "normal", "Euler a"),
        ("ddim", "ddim_uniform", "DDIM"), ("uni_pc", "normal", "UniPC"), ("lcm", "normal", "LCM"),
        ("dpmpp_2m_sde_gpu", "karras", "DPM++ 2M SDE Karras"), ("euler", "simple", "Euler Simple"),
        ("dpm_2", "normal", "DPM2"), ("res_multistep", "beta", "res_multistep Beta"),
    ],
)  # fmt: skip
def test_comfyui_s_samplers_have_our_names(tmp_path, sampler, schedule, ours):
    path = saved(tmp_path / "a.png", {"prompt": comfy(sampler, schedule)})
    assert read(path).settings.scheduler == ours


def test_styles_that_are_not_applied_are_said(tmp_path, caplog):
    caplog.set_level("INFO", logger="sdnb")
    read(saved(tmp_path / "a.png", FORMS["Fooocus"]))
    assert caplog.messages[-1].endswith("what sdnb does not apply: styles ['Fooocus V2'].")


def test_values_of_comfyui_that_stand_in_nodes_of_their_own_are_found(tmp_path):
    nodes = json.loads(comfy())
    for number, name, value in (("20", "steps", 28), ("21", "seed", FOX.seed)):
        nodes[number] = {"class_type": "PrimitiveInt", "inputs": {"value": value}}
        nodes["3"]["inputs"][name] = [number, 0]
    nodes["22"] = {"class_type": "PrimitiveString", "inputs": {"value": FOX.prompt}}
    nodes["6"]["inputs"]["text"] = ["22", 0]
    assert read(saved(tmp_path / "a.png", {"prompt": json.dumps(nodes)})).settings == FOX
    nodes["20"] = {"class_type": "Sum", "inputs": {"a": 20, "b": 8}}
    with pytest.raises(ValueError, match="it does not say its steps"):
        read(saved(tmp_path / "b.png", {"prompt": json.dumps(nodes)}))


def test_automatic1111_s_form_beside_comfyui_s_is_the_one_that_is_read(tmp_path):
    both = {"prompt": comfy("euler", "normal"), **FORMS["Civitai"]}
    assert read(saved(tmp_path / "a.png", both)).settings == FOX


@pytest.mark.parametrize(
    "texts",
    [
        {"prompt": '{"1": {"class_type": "PreviewImage", "inputs": {}}}'},
        {"prompt": '{"class_type'},
        {"prompt": '["class_type"]'},
        {"invokeai_metadata": "{}"},
        {"parameters": '{"sui_image_params": {"prompt": "a fox"}}'},
        {"Comment": '["sampler"]', "Description": "a", "Source": "b"},
        {"Comment": '{"sampler": "k_euler"}', "Description": "a", "Source": "b"},
        {"prompt": comfy().replace("28", '"many"')},
    ],
)
def test_what_cannot_be_used_is_told_with_its_program(tmp_path, texts):
    with pytest.raises(ValueError, match=r"(ComfyUI|InvokeAI|Fooocus|NovelAI)'s settings in it"):
        read(saved(tmp_path / "a.png", texts))


def test_without_the_package_it_is_said_which(tmp_path, monkeypatch):
    monkeypatch.setattr(other_programs, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"ComfyUI made this picture; .*sdnb\[formats\]"):
        read(saved(tmp_path / "a.png", FORMS["ComfyUI"]))
    assert read(saved(tmp_path / "b.png", FORMS["SD.Next"])).settings == FOX
