"""OpenVINO makes the denoiser's calls: the same pictures, and torch's where it cannot."""

import copy
import os

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnAddedKVProcessor

import sdnb
from sdnb.generation import sample_facts
from sdnb.models import backend, cache, denoiser, device, provenance
from tests.support import toys

openvino = pytest.importorskip("openvino", reason="pip install 'sdnb[openvino]'")
from sdnb.models import openvino as ours  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def converted(tmp_path_factory):
    """Converted models are kept in a folder of these tests."""
    cache = tmp_path_factory.mktemp("cache")
    path = cache / "openvino"
    path.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platformdirs.user_cache_dir", lambda name: str(cache))
        patch.setattr(ours, "KEPT", 100)  # what one test has converted serves another
        yield path


@pytest.fixture(scope="module")
def fast(converted):
    return sdnb.load("emoji", dtype="float32", backend="openvino")


@pytest.fixture
def fresh(converted):
    """A pipeline of which no call has been made, in the cache for this test only."""
    before = dict(cache._loaded)
    cache._loaded.clear()
    yield lambda model="emoji": sdnb.load(model, dtype="float32", backend="openvino")
    cache._loaded.clear()
    cache._loaded.update(before)


@pytest.fixture
def toy(converted):
    """Makes small UNets of the same weights that OpenVINO has taken over."""

    def made():
        torch.manual_seed(0)
        unet = toys.unet().eval()
        ours.take_over(unet)
        return unet

    return made


def called(unet, side=8, forward=None):
    """What it predicts for latents of `side` by 8."""
    torch.manual_seed(side)
    inputs = torch.randn(2, 4, side, 8), 5, torch.randn(2, 77, 32)
    with torch.no_grad():
        return (forward or unet)(*inputs, return_dict=False)[0]


def psnr(a, b):
    """Decibels between two samples' pictures."""
    error = np.square(np.asarray(a.image, float) - np.asarray(b.image, float)).mean()
    return 10 * np.log10(255**2 / max(error, 1e-9))


def alone(module, patch):
    """From now on torch may not make the module's calls."""
    patch.setattr(module.forward, "plain", lambda *_, **__: pytest.fail("torch was asked"))


def test_schedulers_steps_and_guidance_give_torchs_pictures(pipe, fast):
    axes = {"scheduler": ["DDIM", "Euler a", "Heun"], "steps": [4, 7], "guidance": [1, 5]}
    a, b = (sdnb.compare("two cats", **axes, seed=3, pipe=p, store=False) for p in (pipe, fast))
    assert min(map(psnr, a, b)) > 60
    assert len({s.image.tobytes() for s in b}) == 12
    assert all(fast.unet.forward.alike.values())


def test_a_picture_made_twice_is_the_same_and_torch_is_not_asked_again(fast, monkeypatch):
    one = sdnb.generate("a fox", seed=1, steps=4, pipe=fast, store=False)
    alone(fast.unet, monkeypatch)
    two = sdnb.generate("a fox", seed=1, steps=4, pipe=fast, store=False)
    assert one.image.tobytes() == two.image.tobytes()


@pytest.mark.parametrize("family", toys.FAMILIES)
def test_other_families_and_sizes(family, fresh, monkeypatch, tmp_path, heard):
    folder = toys.saved(family, tmp_path)
    asked = {"steps": 2, "guidance": 3, "seed": 1, "store": False}
    fast, plain = fresh(folder), sdnb.load(folder, dtype="float32", device="cpu")
    for size in (64, 96):
        a, b = (
            sdnb.generate("a fox", **asked, width=size, height=64, pipe=p) for p in (fast, plain)
        )
        assert "backend" in a.facts
        assert psnr(a, b) > 60
    alone(denoiser.denoiser_of(fast), monkeypatch)
    again = sdnb.generate("a fox", **asked, width=64, height=64, pipe=fast)
    assert psnr(again, sdnb.generate("a fox", **asked, width=64, height=64, pipe=plain)) > 60
    assert not any("torch's" in said for said in heard())


def test_latents_that_do_not_halve_evenly(toy):
    unet = toy()
    for side in (8, 9, 11):
        made = called(unet, side)
        assert torch.allclose(made, called(unet, side, unet.backend.plain), atol=1e-4)
    assert unet.backend.calls == 3


def test_from_a_picture_and_a_part_of_it(pipe, fast):
    start = sdnb.generate("a fox", seed=1, steps=4, pipe=pipe, store=False)
    mask = start.image.convert("L").point(lambda v: 255 if v > 128 else 0)
    for more in ({}, {"mask": mask}):
        a, b = (
            sdnb.generate("a cat", image=start, strength=0.6, steps=5, seed=2, pipe=p, store=False,
                          **more)
            for p in (pipe, fast)
        )  # fmt: skip
        assert psnr(a, b) > 60


def test_in_bfloat16_pictures_are_the_same_to_the_eye(pipe, converted):
    half = sdnb.load("emoji", dtype="bfloat16", backend="openvino")
    a, b = (sdnb.generate("a fox", seed=1, steps=25, pipe=p, store=False) for p in (pipe, half))
    assert psnr(a, b) > 30
    assert half.unet.dtype == torch.bfloat16


def test_what_made_a_picture_stands_under_it_and_in_its_code_and_its_key(pipe, fast):
    made = sdnb.generate("a fox", seed=1, steps=2, pipe=fast, store=False)
    name = f"openvino {openvino.__version__.partition('-')[0]}"
    assert made.facts["backend"] == name
    assert name in repr(made)
    assert "# made by OpenVINO" in made.code()
    keys = [sample_facts.made_by(made.settings, p) for p in (fast, pipe)]
    assert keys[0]["backend"] == name
    assert "backend" not in keys[1]


def test_auto_takes_openvino_once_the_model_has_been_converted(converted, monkeypatch, tmp_path):
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path))
    auto = {"dtype": "float32", "backend": "auto"}
    assert sdnb.load("emoji", **auto) is sdnb.load("emoji", dtype="float32")
    monkeypatch.setattr(cache, "_loaded", {})
    pipe = sdnb.load("emoji", dtype="float32", backend="openvino")
    sdnb.generate("a fox", seed=1, steps=1, pipe=pipe, store=False)
    assert sdnb.load("emoji", **auto) is pipe
    assert provenance.origin_of(pipe).backend.startswith("openvino")
    assert not provenance.origin_of(sdnb.load("emoji", quantize="fp8", **auto)).backend
    ours.clear()
    assert not provenance.origin_of(sdnb.load("emoji", **auto)).backend


def test_a_model_is_converted_once(toy, monkeypatch):
    one = called(toy())
    monkeypatch.setattr(ours, "_converted", lambda *_: pytest.fail("it was converted again"))
    assert torch.equal(one, called(toy()))


def test_a_damaged_file_is_made_anew(toy, converted):
    one = called(toy())
    newest = max(converted.iterdir(), key=lambda folder: folder.stat().st_mtime)
    for damaged in sorted(newest.iterdir()):
        size = damaged.stat().st_size
        os.truncate(damaged, size // 2)
        assert torch.equal(one, called(toy()))
        assert damaged.stat().st_size >= 0.9 * size  # the note is empty where the model has no name


def test_other_weights_are_another_model_on_the_disk(fresh, converted):
    pipe = fresh()
    layout = pipe.unet.forward._layout({"sample": torch.zeros(2, 16, 8, 8)})
    before = ours._key(pipe.unet, layout)
    with torch.no_grad():
        pipe.unet.conv_out.bias[0] += 0.5
    assert ours._key(pipe.unet, layout) != before


def test_changed_weights_count_at_once(fresh):
    changed = fresh()
    before = sdnb.generate("a fox", seed=1, steps=2, pipe=changed, store=False)
    changed.unet.conv_out.bias.data += 0.5  # as a LoRA is merged; torch does not count it
    assert provenance.differences(changed)
    after = sdnb.generate("a fox", seed=1, steps=2, pipe=changed, store=False)
    del changed.unet.forward  # torch's is below it
    torchs = sdnb.generate("a fox", seed=1, steps=2, pipe=changed, store=False)
    assert after.image.tobytes() == torchs.image.tobytes() != before.image.tobytes()


def test_attention_and_freeu_that_were_changed_count_at_once(fresh):
    changed = fresh()
    before = ours._print(changed.unet)
    changed.enable_freeu(s1=0.5, s2=0.2, b1=1.5, b2=1.6)
    assert ours._print(changed.unet) != before
    changed.disable_freeu()
    assert ours._print(changed.unet) == before
    changed.unet.set_attn_processor(AttnAddedKVProcessor())
    sdnb.generate("a fox", seed=1, steps=1, pipe=changed, store=False)
    assert not changed.unet.forward.compiled


def test_gradients_are_torchs(fast):
    latents = torch.zeros(1, 16, 8, 8, requires_grad=True)
    fast.unet(latents, 1, torch.zeros(1, 77, 192), return_dict=False)[0].sum().backward()
    assert latents.grad.abs().sum() > 0


def test_a_copy_of_the_denoiser_is_torchs_and_has_weights_of_its_own(fast):
    twin = copy.deepcopy(fast.unet)
    inputs = torch.ones(2, 16, 8, 8), 5, torch.ones(2, 77, 192)
    with torch.no_grad():
        right = fast.unet(*inputs, return_dict=False)[0]
        fast_bias = fast.unet.conv_out.bias.clone()
        twin.conv_out.bias += 1
        assert torch.allclose(twin(*inputs).sample, right + 1, atol=1e-4)
    assert torch.equal(fast.unet.conv_out.bias, fast_bias)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_denoiser_that_gives_back_its_noise_is_not_near_enough(dtype):
    """Of SD 1's noisiest step, where the prediction is nearly the input."""
    alphas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000).square().neg().add(1).cumprod(0)
    noise, picture = torch.randn(2, 2, 4, 64, 64)
    latents = alphas[981] ** 0.5 * picture + (1 - alphas[981]) ** 0.5 * noise
    assert not ours._near(latents, noise.to(getattr(torch, dtype)))
    assert ours._near(noise + 0.001 * picture, noise.to(getattr(torch, dtype)))


def test_a_call_that_fails_is_torchs(pipe, fresh, monkeypatch, heard):
    failing = fresh()
    monkeypatch.setattr(ours, "_compiled", lambda *_: lambda inputs: 1 / 0)
    a, b = (sdnb.generate("a fox", seed=1, steps=3, pipe=p, store=False) for p in (pipe, failing))
    assert a.image.tobytes() == b.image.tobytes()
    assert "it cannot make them (division by zero)" in heard()[-1]


def test_other_denoisers_are_torchs_and_it_is_said(heard):
    class Other(torch.nn.Module):
        pass

    assert ours.take_over(Other()) == ""
    assert heard() == [
        "OpenVINO has not been tried with the class Other, so torch makes its steps."
    ]


def test_what_openvino_gets_wrong_torch_makes_and_it_is_said(pipe, fresh, monkeypatch, heard):
    wrong = fresh()
    monkeypatch.setattr(ours.Forward, "_made", lambda self, inputs: inputs["sample"] * 2)
    a, b = (sdnb.generate("a fox", seed=1, steps=3, pipe=p, store=False) for p in (pipe, wrong))
    assert a.image.tobytes() == b.image.tobytes()
    assert heard() == [
        "Not all steps are OpenVINO's, but torch's: it does not give what torch gives."
    ]
    assert "backend" not in b.facts


def test_what_openvino_cannot_convert_torch_makes_and_it_is_said(pipe, fresh, monkeypatch, heard):
    def broken(*_):
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(ours, "_compiled", broken)
    a, b = (sdnb.generate("a fox", seed=1, steps=3, pipe=p, store=False) for p in (pipe, fresh()))
    assert a.image.tobytes() == b.image.tobytes()
    assert heard() == [
        "Not all steps are OpenVINO's, but torch's: it cannot make them (no such operation)."
    ]
    assert "backend" not in b.facts


def test_a_folder_that_cannot_be_written_is_said_and_the_call_is_made(
    toy, monkeypatch, tmp_path, heard
):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(ours, "folder", lambda: tmp_path / "file" / "below")
    unet = toy()
    called(unet)
    assert unet.backend.calls == 1
    assert heard()[-1].startswith(
        f"The converted model cannot be kept in {tmp_path / 'file' / 'below'}"
    )


def test_only_the_last_used_models_stay_on_the_disk(monkeypatch, tmp_path):
    class Tiny(torch.nn.Module):
        def forward(self, x):
            return x * 2

    monkeypatch.setattr(ours, "KEPT", 2)
    for i in range(4):
        model = openvino.convert_model(Tiny(), example_input=torch.ones(1))
        ours._save(model, tmp_path / str(i) / ours.FILE, half=False, of="")
        (tmp_path / f".sdnb-{i}").mkdir()  # as a killed process leaves it
    kept = {f.name for f in tmp_path.iterdir() if f.name != ".sdnb-3"}
    assert "3" in kept
    assert len(kept) == 2
    monkeypatch.setattr(ours, "folder", lambda: tmp_path)
    ours.clear()
    assert not tmp_path.exists()


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"backend": "tensorrt"}, ValueError,
         "There is no backend 'tensorrt': give 'torch', 'openvino' or 'auto'."),
        ({"backend": "openvino", "device": "cuda"}, ValueError,
         "OpenVINO runs on the CPU, and device is 'cuda': leave one out."),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(asked, error, sentence):
    with pytest.raises(error) as raised:
        sdnb.load("emoji", **asked)
    assert str(raised.value) == sentence


def test_memory_for_openvinos_own_weights_is_asked_for_before_anything_is_loaded(
    fresh, monkeypatch
):
    weights = 81_000_000  # bytes, in float32
    monkeypatch.setattr(device, "free_memory", lambda _: 2 * weights)
    with pytest.raises(MemoryError, match=r"needs 2\d\d MB of memory in float32, 16\d MB are free"):
        fresh()
    cache.clear()
    assert sdnb.load("emoji", dtype="float32", device="cpu")


def test_without_openvino_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sdnb\[openvino\]'"):
        sdnb.load("emoji", backend="openvino")
