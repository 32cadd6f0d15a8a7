"""LoRAs and embeddings on a model in a single file, and on quantised weights."""

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import sdnb
from sdnb.models import provenance
from tests.support import checkpoints, loras, programs

HOW = {"seed": 1, "steps": 2, "guidance": 3.0, "width": 32, "height": 32}
PLAIN = {"device": "cpu", "dtype": "float32"}
PROMPT = "a blurry fox"


def pixels(sample):
    return np.asarray(sample.image).astype(int)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """SD 1's toy as folder and file, a LoRA of unet and text encoder, and an embedding."""
    folder = tmp_path_factory.mktemp("toy")
    kept, pipe = checkpoints.saved(checkpoints.sd1, folder)
    file = checkpoints.write(pipe, folder / "dream.safetensors")
    lora = loras.written(pipe, folder / "style.safetensors", text=True)
    embedding = folder / "blurry.safetensors"
    vectors = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    save_file({"emb_params": vectors}, embedding)
    yield kept, file, lora, embedding
    sdnb.clear()


def theirs(toy, kind, weight):
    """The same by hand, from the folder."""
    folder, _, lora, embedding = toy
    given = {}
    if kind == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        mapping = {"unet": diffusers.TorchAoConfig(Int8WeightOnlyConfig())}
        given["quantization_config"] = diffusers.PipelineQuantizationConfig(quant_mapping=mapping)
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, **given)
    pipe.load_textual_inversion(load_file(embedding)["emb_params"], token="blurry")
    if weight:
        pipe.load_lora_weights(str(lora.parent), weight_name=lora.name, adapter_name="style")
        pipe.set_adapters(["style"], [weight])
    if kind == "fp8":
        pipe.unet.enable_layerwise_casting(
            storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32
        )
    return np.asarray(
        pipe(
            PROMPT, num_inference_steps=2, guidance_scale=3.0, width=32, height=32,
            generator=torch.Generator("cpu").manual_seed(1),
        ).images[0]
    ).astype(int)  # fmt: skip


@pytest.mark.parametrize("kind", [None, "fp8", "int8"])
def test_loras_and_embeddings_go_on_files_and_quantised_weights_as_by_hand(toy, kind, tmp_path):
    if kind == "int8":
        pytest.importorskip("torchao", reason="pip install 'sdnb[quantize]'")
    folder, file, lora, embedding = toy
    own = {"lora": lora, "embeddings": embedding, "quantize": kind, **PLAIN}
    by_hand = {weight: theirs(toy, kind, weight) for weight in (0, 0.7)}
    assert np.abs(by_hand[0] - by_hand[0.7]).mean() > 1
    made = {}
    for source, more in ((folder, {}), (file, {"config": folder})):
        pipe = sdnb.load(source, **own, **more)
        sheet = sdnb.compare(PROMPT, lora={"style": [0, 0.7]}, pipe=pipe, store=False, **HOW)
        for sample, weight in zip(sheet, by_hand):
            # the two are one call of the denoiser, beside one by one
            assert np.abs(pixels(sample) - by_hand[weight]).max() <= 2, (source, weight)
        made[source] = sdnb.generate(PROMPT, lora={"style": 0.7}, pipe=pipe, **HOW)
        assert np.array_equal(pixels(made[source]), by_hand[0.7])
        assert provenance.differences(pipe) == {}
    for i, sample in enumerate(made.values()):
        programs.run("-c", f"{sample.code()}\nimage.save('{i}.png')", cwd=tmp_path, check=True)
        again = np.asarray(Image.open(tmp_path / f"{i}.png"))
        assert np.array_equal(again, pixels(sample)), sample.code()


def test_a_lora_keeps_its_own_numbers_where_layers_are_cast_to_eight_bits(toy):
    folder, _, lora, _ = toy
    pipe = sdnb.load(folder, lora=lora, quantize="fp8", **PLAIN)
    kept = {n: p.dtype for n, p in pipe.unet.named_parameters() if "lora_" in n}
    assert set(kept.values()) == {torch.float32}
    below = {p.dtype for n, p in pipe.unet.named_parameters() if "base_layer.weight" in n}
    assert below == {torch.float8_e4m3fn}
    there = load_file(lora)
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    weight = pipe.unet.get_submodule(f"{name}.lora_A")[next(iter(
        pipe.unet.peft_config))].weight  # fmt: skip
    assert torch.equal(weight, there[f"unet.{name}.lora_A.weight"])
