"""Inputs that nobody would think of: what goes out comes back, and what is bad gets a sentence.

A few hundred inputs each time, always the same.
`SDNB_FUZZ=1000000 pytest tests/records/test_fuzz.py -s`
tries at least so many new ones, and says how many there were.
"""

import ast
import io
import json
import keyword
import operator
import os
import random
import re
import string
import struct
import time
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from sdnb import Sample, Settings, image_file, read, schedulers
from sdnb.generation import init_image
from sdnb.records import diffusers_code, fact_schema, metadata

MANY = int(os.environ.get("SDNB_FUZZ", 0))
EACH = 500 if MANY else 1  # mutations of one example
kinds: dict[str, int] = {}


def fuzzed(examples, share=0.0):
    """Settings of hypothesis: so many examples, or a share of SDNB_FUZZ."""
    number = max(1, int(MANY * share)) if MANY else examples
    chosen = settings(
        max_examples=number,
        derandomize=not MANY,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: pytest.mark.tries(number)(chosen(test))


def attempt(call, *given):
    """What it returns and "", or None and the sentence; any other error than ours goes through."""
    try:
        return call(*given), ""
    except ValueError as error:
        return None, str(error)


def count(what):
    kinds[what] = kinds.get(what, 0) + 1


@pytest.fixture(scope="module", autouse=True)
def figures():
    started = time.perf_counter()
    yield
    if MANY:
        took = time.perf_counter() - started
        print(f"\n{sum(kinds.values()):,} inputs in {took:,.0f} s: {kinds}")


# ---------------------------------------------------------------- what there is to try

# with more of what means something in one of the formats, or breaks lines, or turns them round
TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("\n\r\t\0\x1b\x85\u2028\u202e\u200f\ufeff\"'\\,:<>&$`{}#"),
    ),
    max_size=60,
) | st.sampled_from(
    [
        "Negative prompt: a", "Steps: 3, Sampler: x, Seed: 4", "\nSeed: 4", '", Seed: 4, "',
        '"""', "'''", "\\", "{0}", "%s", "__import__('os')", "</script>", "a" * 3000,
    ]
)  # fmt: skip
PROMPTS = TEXTS.filter(str.strip)
SETTINGS = st.builds(
    Settings,
    prompt=PROMPTS,
    negative_prompt=TEXTS,
    steps=st.integers(1, 1000),
    guidance=st.floats(0, 1e300),
    scheduler=st.none() | st.sampled_from(schedulers.names()) | TEXTS.filter(bool),
    seed=st.integers(0, 2**64 - 1),
    width=st.none() | st.integers(1, 500).map(lambda n: 8 * n),
    height=st.none() | st.integers(1, 500).map(lambda n: 8 * n),
    strength=st.none() | st.floats(1e-9, 1),
    long_prompt=st.sampled_from(["error", "cut", "chunk"]),
    prompt_syntax=st.sampled_from([None, None, "compel"]),
    keep=st.sampled_from([None, None, "pixels"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
FACTS = {
    "model": "a/b", "revision": "abc", "variant": None, "dtype": "float16", "device": "cuda",
    "pipeline": "StableDiffusionPipeline", "denoiser_calls": 25, "seconds": 1.5, "flagged": False,
    "scheduler_flags": {"use_karras_sigmas": True}, "versions": {"diffusers": "0.42.1"},
}  # fmt: skip
NAMES = (
    st.sampled_from([*keyword.kwlist, *keyword.softkwlist])
    | st.sampled_from(["use_karras_sigmas", "skip_prk_steps", "loading_utils", "DiffusionPipeline"])
    | st.from_regex(r"[A-Za-z_]\w{0,8}", fullmatch=True)
)
ANY_FACTS = st.builds(
    operator.or_,
    st.dictionaries(st.sampled_from(sorted(fact_schema.KNOWN)) | TEXTS, JSON, max_size=6),
    st.fixed_dictionaries(
        {},
        optional={
            "pipeline": NAMES,
            "scheduler_flags": st.dictionaries(NAMES, st.booleans() | TEXTS, max_size=2),
        },
    ),
)

FOX = Settings("a fox, (red:1.2)", "blur", 24, 7.0, "DPM++ 2M Karras", 1234567890, 512, 768)
CORPUS = [
    metadata.to_a1111(FOX, FACTS),
    metadata.to_a1111(FOX.but(prompt="one\n\nSteps: 3, Seed: 4, Size: 8x8"), {"model": "a, b"}),
    "portrait, (sharp:1.2)\nNegative prompt: blur\nSteps: 20, Sampler: DPM++ 2M, Schedule type: "
    "Karras, CFG scale: 7, Seed: 1234567890, Size: 512x768, Model hash: 6ce0161689, Model: v1-5, "
    'Denoising strength: 0.7, Hires upscale: 2, Lora hashes: "a: 1, b: \\"2\\"", Version: v1.10.1',
    'a\nSteps: 1, Sampler: ", CFG scale: 7.5, Seed: 510, Size: 64x64, Model: ","',
    "a\nSteps: 20, Sub.Seed: 9, Variation seed: 3, Seed: 5, Sampler: Euler, Seed: 5",
    "a\nSteps: 20, Sampler: Euler, Seed: 1_0",
    "a\nSteps: 20, Sampler: Euler, Seed: ٣",
    "a\nSteps: 20, Sampler: Euler, Seed: 1, Seed: 2",
    "a\nSteps: 20, Sampler: Euler, Seed: -1",
    f"a\nSteps: 20, Sampler: Euler, Seed: {'9' * 5000}",
    "a\nSteps: 1, dtype: float32).__class__, device: cpu, model: x, seconds: y, Seed: 1",
]  # fmt: skip
RECORD = metadata.to_json([(FOX, FACTS), (FOX.but(seed=7), {"model": "emoji", "step": 3})])
PIECES = [
    *"0123456789", ", ", ": ", "\n", '"', "\\", "{", "}", "[", "]", "null", "true", "NaN", "1e999",
    "-1", "Seed: 4", ", Seed: 4", '"seed": 4', "Negative prompt:", "\ud800", "\\ud800", "\0",
    "\u2028", "9" * 400, "x", "_", "٣",
]  # fmt: skip


def mutated(text, chance):
    """The text with a few pieces taken out, doubled, put elsewhere or replaced."""
    for _ in range(chance.choice([1, 1, 2, 3, 8])):
        a = chance.randrange(len(text) + 1)
        b = min(len(text), a + chance.choice([0, 1, 1, 3, 20]))
        piece = chance.choice([*PIECES, "", "", text[a:b] * 2, chance.choice(string.printable)])
        c = chance.choice([a, a, chance.randrange(len(text) + 1)])
        text = text[:a] + text[b:]
        text = text[:c] + piece + text[c:]
    return text


# ---------------------------------------------------------------- what goes out comes back


@given(SETTINGS, ANY_FACTS)
@fuzzed(200, 0.004)
def test_settings_come_back_from_our_record_unchanged(tried, fox, facts):
    tried()
    count("settings through JSON")
    text = metadata.to_json([(fox, facts)])
    records, problem = attempt(metadata.from_json, text)
    if problem:
        assert "The fact" in problem
        return
    [(back, back_facts)] = records
    assert back == fox
    assert json.dumps(back_facts) == json.dumps(facts)


@given(SETTINGS, TEXTS)
@fuzzed(200, 0.004)
@example(Settings("a", scheduler='"', seed=510), ",")
def test_the_seed_comes_back_from_automatic1111s_text_whatever_stands_beside_it(tried, fox, model):
    tried()
    count("settings through AUTOMATIC1111's text")
    text = metadata.to_a1111(fox, {"model": model})
    found, problem = attempt(metadata.from_a1111, text)
    if problem:  # such a prompt reads as a negative one, and none is left
        assert "cannot be used" in problem
        return
    back, _ = found
    assert (back.seed, back.steps, back.guidance) == (fox.seed, fox.steps, fox.guidance)


def settings_in(source):
    """The settings that a cell of code gives to the pipeline, and before it to compel."""
    calls = {
        ast.unparse(node.func): node for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    }  # fmt: skip
    seed = calls["torch.Generator('cpu').manual_seed"].args[0]
    found = {"seed": ast.literal_eval(seed)}
    for name in ("pipe", "CompelForSD(pipe)"):
        if name in calls:
            if calls[name].args:
                found["prompt"] = ast.literal_eval(calls[name].args[0])
            found |= {
                word.arg: ast.literal_eval(word.value)
                for word in calls[name].keywords
                if isinstance(word.value, ast.Constant)
            }
    return found


@given(SETTINGS, st.booleans())
@fuzzed(300, 0.004)
@pytest.mark.filterwarnings("ignore::FutureWarning:torch", "ignore::UserWarning:torch")
def test_settings_come_back_from_the_code_unchanged(tried, fox, started):
    tried()
    count("settings through code")
    names = ["prompt", "negative_prompt", "seed"]
    if started:
        start = {"image": "0" * 64, "image_file": "fox.png"}
        whole = FACTS | {"start": start, "pipeline": "StableDiffusionImg2ImgPipeline"}
        names.append("strength")
    else:
        whole = FACTS
        names += ["width", "height"]
    found = settings_in(diffusers_code.cell(fox.but(strength=fox.strength or 1), whole))
    assert found.pop("num_inference_steps") == fox.steps
    assert found.pop("guidance_scale") == fox.guidance
    if found.get("negative_prompt") == "":
        assert fox.prompt_syntax
        del found["negative_prompt"]
    assert found == {
        name: value for name in names
        if (value := getattr(fox.but(strength=fox.strength or 1), name)) not in (None, "")
    }  # fmt: skip


# ---------------------------------------------------------------- what is bad gets a sentence


def check_a1111(text):
    count("AUTOMATIC1111 texts")
    record, problem = attempt(metadata.from_a1111, text)
    if problem:
        assert "AUTOMATIC1111 settings" in problem, text
        return
    found, facts = record
    seed = re.compile(r'(?:^|,)\s*Seed *:\s*"?0*([0-9]+)"?\s*(?=,|$)', re.IGNORECASE)
    lines = [seed.findall(line) for line in text.strip().split("\n")]  # one of them was read
    mine = [seeds for seeds in lines if str(found.seed) in seeds]
    assert found.seed is None or mine, text
    assert found.seed is None or min(len(set(seeds)) for seeds in mine) < 2 or '"' in text, text
    repr(Sample(Image.new("RGB", (8, 8)), found, facts))


@given(st.text() | st.lists(st.sampled_from([*PIECES, *CORPUS]), max_size=8).map("".join))
@fuzzed(200, 0.004)
def test_any_text_is_automatic1111s_or_gets_a_sentence(tried, text):
    tried()
    check_a1111(text)


@given(st.sampled_from(CORPUS), st.integers(0, 2**64))
@fuzzed(300, 1 / EACH)
def test_a_changed_automatic1111_text_never_gives_a_seed_that_is_not_in_it(tried, text, seed):
    tried()
    chance = random.Random(seed)
    for _ in range(EACH):
        check_a1111(mutated(text, chance))


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_the_corpus_holds(text):
    check_a1111(text)


def check_record(text):
    count("records")
    records, problem = attempt(metadata.from_json, text)
    if problem:
        assert "are damaged" in problem, text
        return
    for found, facts in records:
        assert found.seed is None or str(found.seed) in text, text
        check_shown(Sample(Image.new("RGB", (8, 8)), found, facts))


def check_shown(sample):
    """A sample that was read can be shown; its code is code, or there is a sentence."""
    repr(sample)
    source, problem = attempt(sample.code)
    assert problem or ast.parse(source)


@given(
    JSON
    | st.fixed_dictionaries(
        {
            "format": st.just(1),
            "samples": st.lists(
                st.fixed_dictionaries(
                    {
                        "settings": SETTINGS.map(Settings.to_dict),
                        "facts": ANY_FACTS | ANY_FACTS.map(lambda some: FACTS | some),
                    }
                )
            ),
        }
    )
)
@fuzzed(200, 0.004)
@example("[" * 100_000)
def test_any_record_is_ours_or_gets_a_sentence(tried, value):
    tried()
    check_record(value if isinstance(value, str) else json.dumps(value))


@given(st.integers(0, 2**64))
@fuzzed(300, 0.1 / EACH)
def test_a_changed_record_never_gives_a_seed_that_is_not_in_it(tried, seed):
    tried()
    chance = random.Random(seed)
    for _ in range(EACH):
        check_record(mutated(RECORD, chance))


# ---------------------------------------------------------------- PNGs


def repaired(png):
    """The file with the checksums that its chunks, as they are now, should have."""
    out, at = png[:8], 8
    while at + 8 <= len(png):
        length, _ = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 4 : at + 8 + length]
        out += png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out


def changed(png, chance):
    damaged = bytearray(png)
    for _ in range(chance.choice([1, 1, 2, 5, 40])):
        at = chance.randrange(len(damaged))
        match chance.randrange(5):
            case 0:
                damaged[at] ^= 1 << chance.randrange(8)
            case 1:
                damaged[at] = chance.randrange(256)
            case 2:
                del damaged[at : at + chance.choice([1, 4, 100])]
            case 3:
                damaged[at:at] = chance.randbytes(chance.choice([1, 4, 30]))
            case 4:  # a whole chunk is missing: readers pass over kinds that they do not know
                kind = chance.choice([b"PLTE", b"tRNS", b"IDAT", b"iTXt", b"IEND", b"VP8 "])
                damaged = damaged.replace(kind, b"xxxx", 1)
    return bytes(damaged)


def interlaced(image, text):
    """A grey picture as a PNG in seven passes, which Pillow reads but does not write."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *image.size, 8, 0, 0, 0, 1)), (b"iTXt", text)]
    rows = []
    for x, y, across, down in [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]:  # fmt: skip
        for row in range(y, image.height, down):
            line = bytes(image.getpixel((col, row)) for col in range(x, image.width, across))
            rows.append(b"\0" + line)
    chunks += [(b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    bare = b"".join(struct.pack(">I", len(body)) + kind + body + b"    " for kind, body in chunks)
    return repaired(b"\x89PNG\r\n\x1a\n" + bare)


def pictured(kind):
    """A file of that kind; the PNGs carry settings."""
    noise = Image.effect_noise((64, 48), 80)
    record = metadata.to_json([(FOX, FACTS)])
    if kind == "interlaced":
        return interlaced(noise, b"sdnb\0\0\0\0\0" + record.encode())
    buffer = io.BytesIO()
    if kind in metadata.FORMATS or kind in image_file.FORMATS:
        exif = {} if kind in ("GIF", "BMP") else {"exif": Image.Exif()}
        noise.convert("RGB").save(buffer, kind, **exif)
    else:
        image = noise.convert(kind.split()[0])
        info = PngImagePlugin.PngInfo()
        info.add_itxt("sdnb", record)
        clear = {"transparency": 0} if kind.endswith("clear") else {}
        image.save(buffer, "PNG", pnginfo=info, **clear)
    return buffer.getvalue()


PNGS = ["RGB", "RGBA", "P", "P clear", "L", "L clear", "LA", "I;16", "1", "interlaced"]
KINDS = [*PNGS, *image_file.FORMATS[1:]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.mark.parametrize("kind", PNGS)
def test_pngs_of_every_kind_give_the_very_settings(folder, kind):
    path = folder / "whole.png"
    path.write_bytes(pictured(kind))
    assert read(path).settings == FOX
    assert read(path).image.size == (64, 48)


@given(st.sampled_from(KINDS), st.integers(0, 2**64), st.booleans())
@fuzzed(900, 0.01 / EACH)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
def test_a_changed_picture_gives_the_very_settings_or_a_sentence(tried, folder, kind, seed, mended):
    tried()
    path = folder / "fox.png"
    whole, chance = pictured(kind), random.Random(seed)
    mended, name = mended and kind in PNGS, "PNGs" if kind in PNGS else f"{kind}s"
    for _ in range(EACH):
        count("PNGs, with checksums that fit" if mended else name)
        damaged = changed(whole, chance)
        path.write_bytes(repaired(damaged) if mended else damaged)
        found, problem = attempt(read, path)
        if problem:
            assert str(path) in problem or "AUTOMATIC1111" in problem
        elif mended:
            check_shown(found)
        else:
            assert found.settings == FOX
        start, problem = attempt(init_image.start, path, None)
        assert start or str(path) in problem
