"""The gate: every class of diffusers that makes pictures from text is held to its own call.

Each is built at toy size with random weights (tests/support/families.py). What is compared comes
from outside: a plain call of diffusers' own pipeline, and a count by PyTorch's own hooks.
"""

from contextlib import contextmanager
from functools import cached_property

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, ModularPipeline
from PIL import Image

import sdnb
from sdnb.models import modular
from sdnb.models.capabilities import Capabilities
from tests.support import gate

# (width, height) of the pictures; else 32 x 32
SIZES = {
    "BriaFiboPipeline": (64, 64),
    "BriaFiboEditPipeline": (64, 64),
    "FluxKontextPipeline": (64, 64),
    "FluxKontextModularPipeline": (64, 64),
}
# what the plain call is given beside prompt, steps, size and generator
BESIDE = {
    "FluxKontextPipeline": {"max_area": 64 * 64},
    "QwenImagePipeline": {"negative_prompt": " "},
    "StableDiffusion3ModularPipeline": {"negative_prompt": " "},
    "SanaSprintPipeline": {"intermediate_timesteps": None},
    "FluxKontextModularPipeline": {"max_area": 64 * 64},
    "Ideogram4ModularPipeline": {"guidance_schedule": [7.0] * 3},
    "Ideogram4Pipeline": {"guidance_scale": 7.0, "guidance_schedule": None},
}
# its encoder writes the prompt anew before it reads it: a toy writes always the same
REWRITTEN = {"LongCatImagePipeline"}
# what their prompt has to be, else their call raises
WRITTEN = {"BriaFiboEditPipeline": '{{"edit_instruction": "{}"}}'}


class Toy:
    """A toy pipeline, saved and loaded, so that its pictures have a history."""

    def __init__(self, name, folder):
        toy = gate.made(name)
        blocks = {"overwrite_modular_index": True} if modular.is_modular(toy) else {}
        toy.save_pretrained(str(folder), **blocks)
        self.name, self.folder = name, folder
        self.pipe = sdnb.load(folder, device="cpu", dtype="float32")
        self.can = Capabilities.of(self.pipe)
        width, height = SIZES.get(name, (32, 32))
        self.settings = {"width": width, "height": height, "steps": 3, "seed": 1}
        self.pictures = {}  # files, where it starts from a picture
        if self.can.starts_from_picture:
            self.pictures["image"] = folder / "start.png"
            noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(noise).save(self.pictures["image"])
        if "mask_image" in self.can.arguments and self.pictures:
            self.pictures["mask"] = folder / "mask.png"
            white = Image.new("L", (width, height), 255)
            white.paste(0, (0, 0, width // 2, height))
            white.save(self.pictures["mask"])

    @cached_property
    def sample(self):
        return self.generate()

    def prompt(self, words):
        return WRITTEN.get(self.name, "{}").format(words)

    def generate(self, prompt="a fox", **settings):
        given = self.settings | self.pictures | settings
        return sdnb.generate(self.prompt(prompt), pipe=self.pipe, store=False, **given)

    def compare(self, prompt="a fox", **settings):
        words = [prompt] if isinstance(prompt, str) else prompt
        given = self.settings | self.pictures | settings
        return sdnb.compare([*map(self.prompt, words)], pipe=self.pipe, store=False, **given)

    def own_call(self):
        """The same picture by a plain call of diffusers' own pipeline."""
        own = plain(self)
        given = {"width": self.settings["width"], "height": self.settings["height"]}
        given |= {"image": Image.open(self.pictures["image"])} if self.pictures else {}
        given |= (
            {"mask_image": Image.open(self.pictures["mask"])} if "mask" in self.pictures else {}
        )
        output = own(
            prompt=self.prompt("a fox"), num_inference_steps=3,
            generator=torch.Generator("cpu").manual_seed(1), **BESIDE.get(self.name, {}),
            **{k: v for k, v in given.items() if k in self.can.arguments},
        )  # fmt: skip
        return output.image[0] if self.name == "Kandinsky5T2IPipeline" else output.images[0]

    def differ(self, name, values, **settings):
        """Whether the pictures of an axis differ; a sentence where the axis is refused."""
        try:
            samples = self.compare(**{name: values}, **settings).samples
        except ValueError as error:
            return str(error)
        first = np.asarray(samples[0].image)
        return all(np.asarray(s.image).shape != first.shape or (np.asarray(s.image) != first).any()
                   for s in samples[1:])  # fmt: skip


@pytest.fixture(scope="module", params=gate.toys())
def toy(request, tmp_path_factory):
    return Toy(request.param, tmp_path_factory.mktemp(request.param))


def pixels(sample):
    return np.asarray(getattr(sample, "image", sample)).astype(int)


def plain(toy):
    """The toy as diffusers itself loads it."""
    if not modular.is_modular(toy.pipe):
        own = DiffusionPipeline.from_pretrained(toy.folder)
        own.set_progress_bar_config(disable=True)
        return own
    own = ModularPipeline.from_pretrained(toy.folder)
    own.load_components()
    return own


@contextmanager
def counted(pipe):
    """A list that grows with each call of the denoisers."""
    calls = []
    parts = ("unet", "transformer", "unconditional_transformer")
    there = [part for name in parts if (part := getattr(pipe, name, None)) is not None]
    hooks = [part.register_forward_hook(lambda *_: calls.append(1)) for part in there]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def test_its_pixels_are_those_of_its_own_call_and_of_its_code(toy):
    sample = toy.sample
    assert (pixels(sample) == pixels(toy.own_call())).all()
    assert pixels(sample).std() > 0
    assert "changed" not in sample.facts
    scope = {}
    exec(sample.code(), scope)
    assert (pixels(sample) == pixels(scope["image"])).all()


def test_every_value_of_an_axis_reaches_it_or_the_axis_is_refused(toy):
    assert toy.differ("steps", [2, 3]) is True
    assert toy.differ("seed", [1, 2]) is True
    told = toy.compare(["a fox", "two blue cats"])
    assert toy.name in REWRITTEN or (pixels(told[0]) != pixels(told[1])).any()
    guidance = toy.differ("guidance", [2, 9])
    assert guidance is True if toy.can.guidance else "takes no guidance" in guidance
    negatives = ["two blue cats", "a red horse on a hill"]
    negative = toy.differ("negative_prompt", negatives)
    if (
        toy.can.negative_prompt
        and toy.can.guidance
        and not toy.can.guided(toy.sample.settings.guidance)
    ):
        assert "counts only with guidance" in negative
        assert toy.differ("negative_prompt", negatives, guidance=5) is True
    elif toy.can.negative_prompt:
        assert negative is True
    else:
        assert "takes no negative prompt" in negative
    if len(toy.can.schedulers) > 1:  # each is told from the first
        assert toy.differ("scheduler", list(toy.can.schedulers[:4])) is True


def test_the_calls_that_are_counted_are_those_that_are_made(toy):
    for guidance in [None, 0, 1, 5] if toy.can.guidance else [None]:
        if guidance == 0 and toy.name.startswith("PRX"):
            continue  # raises below 1
        if guidance in (0, 1) and toy.name == "HunyuanDiTPAGPipeline":
            continue  # raises at 1 and below, in diffusers' own call too
        given = toy.settings | toy.pictures
        plan = sdnb.plan(toy.prompt("a fox"), guidance=guidance, pipe=toy.pipe, **given)
        with counted(toy.pipe) as calls:
            sample = plan.run(store=False)[0]
        assert plan.calls == len(calls) == sample.facts["denoiser_calls"], guidance


def test_a_batch_is_what_its_pictures_are_alone_or_says_why_not(toy):
    sheet = toy.compare(seed=[1, 2, 3])
    for sample, alone in zip(sheet.samples, [toy.sample, toy.generate(seed=2)]):
        assert np.abs(pixels(sample) - pixels(alone)).max() <= 2
    assert sheet.note == "" or "one by one" in sheet.note


def test_what_made_it_comes_back_from_its_file(toy, tmp_path):
    sample = toy.sample
    sample.save(tmp_path / "picture.png")
    back = sdnb.read(tmp_path / "picture.png")
    assert back.settings == sample.settings
    folders = {"model", "start"}  # no file names a folder of the machine that made it
    for name in sample.facts.keys() - folders:
        assert back.facts[name] == sample.facts[name], name
    for name, fact in sample.facts.get("start", {}).items():
        told = fact.rpartition("/")[2] if name.endswith("_file") else fact
        assert back.facts["start"][name] == told, name


def test_where_it_starts_from_a_picture_that_picture_and_its_mask_are_seen(toy, tmp_path):
    if not toy.can.starts_from_picture:
        with pytest.raises(ValueError, match="give the picture to start from"):
            toy.generate(strength=0.5)
        return
    with pytest.raises(ValueError, match="starts from a picture: give image="):
        toy.generate(**dict.fromkeys(toy.pictures))
    for name, file in toy.pictures.items():
        turned = Image.open(file).rotate(180)
        assert (pixels(toy.generate(**{name: turned})) != pixels(toy.sample)).any(), name


def test_the_table_in_the_docs_is_what_the_classes_say():
    assert gate.committed() == gate.table()


def test_every_class_is_built_or_refused_or_listed_with_its_reason():
    for name, kind in (gate.classes() | gate.modular_classes()).items():
        if not gate.is_there(kind):
            continue  # a package is not installed
        if not gate.refusal(kind):
            assert (name in gate.toys()) != bool(gate.not_built(name, kind)), name
