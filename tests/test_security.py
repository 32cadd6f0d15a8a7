"""What a prompt or a file of somebody else's cannot do. SECURITY.md says it in words."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import sdnb
from sdnb import Sample, Settings, image_conversion, schedulers
from sdnb.records import diffusers_code, fact_schema, metadata
from tests.records.test_fuzz import ANY_FACTS, FACTS, NAMES, SETTINGS, TEXTS, attempt, fuzzed

ROOT = Path(sdnb.__file__).parent


# ---------------------------------------------------------------- models


def test_no_line_of_the_package_lets_a_model_bring_its_own_program():
    for module in ROOT.rglob("*.py"):
        tree = ast.parse(module.read_text("utf-8"))
        words = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        assert not {"trust_remote_code", "custom_pipeline"} & (words | texts), module
        called = {ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        assert not {"eval", "exec", "compile", "torch.load", "pickle.load", "os.system"} & called
        if module.name not in (
            "ray_engine.py",
            "ray_worker.py",
        ):  # what Ray's workers send, and are sent
            assert not re.search(r"^(import|from) +\w*pickle", module.read_text("utf-8"), re.M)


# ---------------------------------------------------------------- code

DONE = st.lists(st.sampled_from([*image_conversion.STEPS]) | TEXTS, max_size=4).map(", ".join)
STARTS = st.fixed_dictionaries(
    {"image": TEXTS},
    optional={
        "image_file": TEXTS, "mask": TEXTS, "mask_file": TEXTS, "image_file_steps": DONE,
        "mask_file_steps": DONE,
    },
)  # fmt: skip
HONEST = st.fixed_dictionaries(
    {
        "model": TEXTS | st.just("emoji"), "dtype": st.just("float16"),
    },
    optional={
        "pipeline": st.sampled_from(["StableDiffusionPipeline", "StableDiffusionXLPipeline"]),
        "scheduler_flags": st.dictionaries(NAMES, st.booleans() | TEXTS, max_size=2),
        "pickled": st.booleans(),
        "revision": TEXTS, "variant": TEXTS, "device": TEXTS, "start": STARTS,
        "versions": st.just({"diffusers": "0.39.0"}),
        "channels_last": st.booleans(), "as_four_channels": st.booleans(),
        "pieces": st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=2, max_size=2),
    },
)  # fmt: skip
WORDS = {  # what the cell itself says
    "cpu", "sdnb", "emoji", "start.png", "mask.png", "L", "RGB", "RGBA", "white", "black", "uint8",
    "icc_profile", "sRGB",
}  # fmt: skip
FLAGS = {value for known in schedulers.SCHEDULERS.values() for value in known.flags.values()}
CALLS = {
    "pipe", "pipe.unet.to", "pipe.unet.register_to_config", "pipe.encode_prompt", "encode",
    "files", "load_image", "load_image(…).resize", "Image.open", "Image.open(…).convert",
    "Image.composite", "Image.open(…).convert(…).resize", "torch.Generator",
    "torch.Generator(…).manual_seed", "torch.no_grad", "torch.cat", "torch.zeros_like", "len",
    "DiffusionPipeline.from_pretrained",
    "DiffusionPipeline.from_pretrained(…).to",
    *(f"StableDiffusion{xl}Pipeline.from_pretrained" for xl in ("", "XL")),
    *(f"StableDiffusion{xl}Pipeline.from_pretrained(…).to" for xl in ("", "XL")),
    *(f"CompelForSD{xl}{pipe}" for xl in ("", "XL") for pipe in ("", "(…)")),
    *(f"{known.cls}.from_config" for known in schedulers.SCHEDULERS.values()),
    # what is done to a picture that comes in
    *(f"{x}.{name}" for x in ("start", "mask") for name in (
        "seek", "convert", "convert(…).resize", "convert(…).point")),
    "ImageOps.exif_transpose", "Image.fromarray", "np.asarray", "….round", "….round(…).astype",
    "ImageCms.profileToProfile", "ImageCms.ImageCmsProfile", "io.BytesIO", "Image.new",
    "ImageCms.createProfile", "Image.alpha_composite",
}  # fmt: skip


def name_of(node):
    """The name of what is called, with … for the arguments of calls within it."""
    if isinstance(node, ast.Call):
        return f"{name_of(node.func)}(…)"
    if isinstance(node, ast.BinOp):
        return "…"
    return f"{name_of(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else node.id


def texts_in(value):
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(
        value, (list, tuple)
    ) else ():  # fmt: skip
        yield from texts_in(inner)


@given(SETTINGS, HONEST | ANY_FACTS.map(lambda some: FACTS | some))
@fuzzed(300, 0.004)
@example(
    Settings("a", steps=1, seed=0),
    FACTS | {"pipeline": "StableDiffusionXLPipeline", "pieces": [["a"], [""]]},
)
def test_code_says_what_the_settings_are_and_does_nothing_that_they_say(tried, settings, known):
    tried()
    source, problem = attempt(diffusers_code.cell, settings, known)
    if problem:
        assert "fact" in problem or "no pipeline" in problem or "Invalid version" in problem
        return
    tree = ast.parse(source)
    texts = {n.value for n in ast.walk(tree) if isinstance(n, (ast.Constant)) and
             isinstance(n.value, str)}  # fmt: skip
    assert texts <= {*WORDS, *FLAGS, *texts_in(settings.to_dict()), *texts_in(known)}
    assert {name_of(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)} <= CALLS
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert modules <= {"compel", "diffusers", "diffusers.utils", "importlib.resources", "PIL"}
    named = {word.arg for n in ast.walk(tree) if isinstance(n, ast.Call) and
             name_of(n.func).endswith("from_config") for word in n.keywords}  # fmt: skip
    assert named <= {flag for known in schedulers.SCHEDULERS.values() for flag in known.flags}
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Import) and
                {a.name for a in n.names} - {"torch", "io", "numpy"}]  # fmt: skip


@pytest.mark.parametrize(
    "fact",
    [
        {"dtype": 'float32).to(__import__("os").system("touch ran"))#'},
        {"pipeline": "os\nimport os", "start": {"image": "x"}},
        {"pipeline": "loading_utils", "start": {"image": "x"}},
        {"scheduler_flags": {'a=__import__("os").system("touch ran"))#': True}},
        {"scheduler_flags": {"use_karras_sigmas": [1]}},
        {"scheduler_flags": {"import": True}},
        {"scheduler_flags": {"return_unused_kwargs": True}},
        {"pipeline": "None", "start": {"image": "x"}},
        {"pipeline": "UNet2DConditionModel", "start": {"image": "x"}},
        {"pieces": ["a", "b"]},
        {"start": {"image": "x", "image_file": 5}},
    ],
)
def test_a_fact_that_would_be_code_is_refused(fact):
    fox = Settings("a fox", scheduler="DDIM", seed=1, strength=0.5)
    with pytest.raises(ValueError, match=r"which is not|has no pipeline"):
        diffusers_code.cell(fox, FACTS | fact)


def test_code_takes_safetensors_alone_or_says_that_it_does_not():
    fox = Settings("a fox", seed=1)
    assert "use_safetensors=True" in diffusers_code.cell(fox, FACTS)
    told = diffusers_code.cell(fox, FACTS | {"pickled": True})
    assert "use_safetensors" not in told
    assert "# pickled weights, if it has any, can run any program" in told


def test_another_programs_text_cannot_pass_for_facts_of_ours():
    text = (
        "a fox\nSteps: 20, Seed: 1, Model: x, dtype: float32, device: cpu, pipeline: os, "
        "error: no, flagged: no, seconds: many, pieces: x, Start: y"
    )
    settings, found = metadata.from_a1111(text)
    assert found == {"model": "x"}
    sample = Sample(Image.new("RGB", (8, 8)), settings, found)
    assert not sample.flagged
    with pytest.raises(ValueError, match="not made by sdnb"):
        sample.code()
    fact_schema.check(found)


# ---------------------------------------------------------------- files that claim things

READS = """
import sys
import sdnb
from sdnb import Sample, metadata
from PIL import Image, PngImagePlugin
import importlib.metadata, packaging.version, PIL.WebPImagePlugin, PIL.JpegImagePlugin
import PIL.GifImagePlugin, PIL.ImageFont, sdnb.display.slider
with Image.open(sys.argv[2]) as warm:  # what reading loads once, it loads now
    warm.load()
sdnb.read(sys.argv[2])._repr_mimebundle_()
seen = []
def look(event, given):
    if event in ("open", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system",
                 "exec", "os.listdir", "os.scandir", "import"):
        seen.append((event, str(given[0])))
sys.addaudithook(look)
sample = sdnb.read(sys.argv[1])
repr(sample), sample._repr_mimebundle_()
text = sample.code()
look = lambda *_: None
for event, what in seen:
    print(event, what)
print("code", "evil/repo" in text, "/etc/passwd" in text)
print("torch" in sys.modules, "diffusers" in sys.modules)
"""


def test_a_png_that_claims_a_model_and_a_file_opens_neither(tmp_path):
    def saved(name, model, pieces):
        claims = {
            **FACTS, "model": model, "scheduler_flags": {}, "pieces": pieces,
            "revision": "refs/pr/1", "device": "cuda:7", "image_file": "/etc/passwd",
        }  # fmt: skip
        fox = Settings("a fox", scheduler="DDIM", seed=1, width=8, height=8)
        return Sample(Image.new("RGB", (8, 8)), fox, claims).save(tmp_path / name)

    honest = saved("honest.png", "emoji", [["a fox"], [""]])
    evil = saved("evil.png", "evil/repo", [["/etc/passwd"], [""]])
    done = subprocess.run(
        [sys.executable, "-c", READS, str(evil), str(honest)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *events, said, loaded = done.stdout.splitlines()
    assert events == [f"open {evil}"]
    assert said == "code True True"
    assert loaded == "False False"


def test_a_png_that_claims_a_picture_to_start_from_opens_no_file_for_it(tmp_path):
    start = {"image": "0" * 64, "image_file": "/etc/passwd", "mask": "0" * 64,
             "mask_file": str(tmp_path / "none")}  # fmt: skip
    fox = Settings("a fox", scheduler="DDIM", seed=1, strength=0.5)
    info = PngImagePlugin.PngInfo()  # not as sdnb writes it: it names no folders
    info.add_itxt("sdnb", metadata.to_json([(fox, {**FACTS, "start": start})]))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    opened, watching = [], [True]

    def look(event, given):
        if watching[0] and event == "open":
            opened.append(str(given[0]))

    sys.addaudithook(look)
    try:
        back = sdnb.read(tmp_path / "a.png")
        repr(back), back._repr_mimebundle_(), back.settings
    finally:
        watching[0] = False
    assert str(tmp_path / "a.png") in opened  # the hook sees what is opened
    assert not {"/etc/passwd", str(tmp_path / "none")} & set(opened)
    assert json.dumps(back.facts["start"]) == json.dumps(start)


def test_only_picture_formats_that_run_no_program_are_opened(tmp_path):
    """Pillow gives PostScript to Ghostscript, whatever the file's name."""
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with Image.open(path) as opened:
        assert opened.format == "EPS"  # Pillow alone would
    with pytest.raises(ValueError, match="is not a picture that can be read"):
        sdnb.read(path)
