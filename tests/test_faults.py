"""Faults, one after another: what a person has afterwards. docs/reliability.md is their table."""

import ast
import base64
import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import nbconvert
import pytest
import torch
from nbformat import v4
from PIL import Image, ImageChops

import sdnb
from sdnb import Sample, Settings, Sheet, image_grid, read
from sdnb.display.slider import page, view
from sdnb.generation import init_image
from sdnb.records import metadata
from sdnb.sweeps.plan import Plan
from tests.support import denoiser_calls
from tests.support.needs import need

pytest_plugins = ["tests.support.browser"]

ROOT = Path(__file__).parents[1]
SMALL = {"width": 64, "height": 64}


def tile(color="orange"):
    return Image.new("RGB", (64, 64), color)


def off(one, other):
    """The largest difference of two pictures, of 255."""
    return max(high for _, high in ImageChops.difference(one.image, other.image).getextrema())


def noisy(seed=0):
    return Image.effect_noise((64, 64), 90).rotate(seed).convert("RGB")


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.slow
@pytest.mark.tries(200)
def test_ctrl_c_at_200_random_moments_leaves_nothing_behind(tmp_path, tried):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "tests.support.interrupts", tmp_path, "200", "0"]
    environment = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}  # as people have it
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, capture_output=True, text=True,
        env={**environment, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["lost"] == []
    tried(found["tried"])
    assert found["kept"] > 10


# ---------------------------------------------------------------- a full disk

FULL = """
import json, os, resource, signal, sys
from pathlib import Path
from PIL import Image
from sdnb import Sample, Settings, Sheet
from sdnb import Store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the encoder of MP4 inherits it
folder, how = Path(sys.argv[1]), sys.argv[2]
fox = [Sample(Image.effect_noise((64, 64), 90).convert("RGB"), Settings("a fox", seed=n, steps=n))
       for n in (1, 2, 3)]
sheet = Sheet(fox, 1, 3, col_labels=["1", "2", "3"])
key = Store.key(fox[0].settings, {})
writers = {
    "store": lambda: Store(folder / "store").put(key, fox[0]),
    "sample.save": lambda: fox[0].save(folder / "a.png"),
    "sheet.save": lambda: sheet.save(folder / "s.png"),
    "slider.save": lambda: sheet.slider().save(folder / "a.html"),
    "animate gif": lambda: sheet.animate(folder / "a.gif"),
    "animate webp": lambda: sheet.animate(folder / "a.webp"),
    "animate mp4": lambda: sheet.animate(folder / "a.mp4"),
}


class Room:
    # so many bytes can be written: into a disk of which the rest is taken, or into any one file
    def __init__(self, most):
        self.most = most

    def __enter__(self):
        if how == "tmpfs":
            there = os.statvfs(folder)
            blocks = there.f_bavail - self.most // there.f_frsize
            (folder / "ballast").write_bytes(b"x" * (blocks * there.f_frsize))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, -1))

    def __exit__(self, *_):
        if how == "tmpfs":
            (folder / "ballast").unlink()
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))


def files():
    return {str(p): p.read_bytes() for p in folder.rglob("*")
            if p.is_file() and p.name != "ballast"}


found = {}
for name, write in writers.items():
    before = files()
    write()
    old = files()
    largest = max(len(text) for path, text in old.items() if path not in before)
    for quarter in range(4):  # of the room that it needs
        if name == "store":
            Store(folder / "store").clear()
        said = False
        with Room(largest * quarter // 4):
            try:
                write()
            except OSError as error:
                said = bool(str(error))
        if name == "store":  # says it in the log, and goes on
            assert Store(folder / "store").get(key) is None
            write()
        else:
            assert said, (name, quarter)
        assert files() == old, (name, quarter)
    found[name] = 4
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.tries(28)
@pytest.mark.parametrize("how", ["a full disk", "a limit for each file"])
def test_a_full_disk_leaves_every_old_file_whole_and_no_half_a_one(tmp_path, how, tried):
    mounted = how == "a full disk"
    if mounted:
        need("mount")
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path]
        subprocess.run(mount, check=True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", FULL, str(tmp_path), "tmpfs" if mounted else "limit"],
            capture_output=True, text=True, cwd=ROOT,
        )  # fmt: skip
    finally:
        if mounted:
            subprocess.run(["umount", tmp_path], check=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 7
    tried(sum(found.values()))


# ---------------------------------------------------------------- files


def chunk(kind, body):
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(width, height, *texts):
    """The start of a PNG of that size, with texts, and without pixels."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(texts) + chunk(b"IEND", b"")


BOMBS = {
    "pixels": png(60_000, 60_000),
    "text": png(8, 8, chunk(b"zTXt", b"sdnb\0\0" + zlib.compress(b" " * 100_000_000))),
    "international text": png(
        8, 8, chunk(b"iTXt", b"sdnb\0\1\0\0\0" + zlib.compress(b" " * 100_000_000))
    ),
    "many texts": png(8, 8, *[chunk(b"tEXt", b"a\0" + b" " * 900_000)] * 90),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_decompression_bomb_is_refused_with_a_sentence(tmp_path, kind):
    path = tmp_path / "bomb.png"
    path.write_bytes(BOMBS[kind])
    assert path.stat().st_size < 100_000 or kind == "many texts"
    with pytest.raises(ValueError, match=r"bomb\.png is not a picture that can be read"):
        read(path)


def test_a_bomb_as_the_picture_to_start_from_is_refused_too(tmp_path, pipe):
    path = tmp_path / "bomb.png"
    path.write_bytes(BOMBS["pixels"])
    with pytest.raises(
        ValueError, match=r"bomb\.png is not a picture that can be read: Image size"
    ):
        sdnb.generate("a fox", image=path, pipe=pipe)


PALETTES = {
    "no palette": b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", b"\0\0\0\x08\0\0\0\x08\x08\x03\0\0\0")
    + chunk(b"tRNS", b"\0") + chunk(b"tEXt", b"parameters\0a fox\nSteps: 1, Seed: 2, Size: 8x8")
    + chunk(b"IDAT", zlib.compress(b"\0" * 72)) + chunk(b"IEND", b""),
    "cut": b"", "changed": b"", "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
}  # fmt: skip


USES = {"read": read, "start": lambda path: init_image.start(path, None)}


@pytest.mark.parametrize(
    ("kind", "use"),
    [(k, u) for k in PALETTES for u in USES if k != "no palette"],  # that is read
)
def test_a_broken_picture_is_refused_with_a_sentence_also_to_start_from(tmp_path, kind, use):
    path = tmp_path / "broken.png"
    Sample(noisy(), Settings("a fox", seed=1)).save(path)
    whole = path.read_bytes()
    at = whole.index(b"IDAT")
    changed = whole[: at + 50] + b"IDAT" + whole[at + 54 :]
    path.write_bytes(PALETTES[kind] or {"cut": whole[: len(whole) // 2], "changed": changed}[kind])
    with pytest.raises(ValueError, match=r"broken\.png is not a picture that can be read[.:]"):
        USES[use](path)


LARGE = """
import resource, sys
import sdnb
from sdnb.generation import init_image
from PIL import Image
Image.new("RGB", (8, 8)).save(sys.argv[2])
init_image.start(sys.argv[2], None)  # what opening loads once, it loads now
resource.setrlimit(resource.RLIMIT_AS, (700_000_000, -1))
for use in (sdnb.read, lambda path: init_image.start(path, None)):
    try:
        use(sys.argv[1])
    except ValueError as error:
        print(error)
"""


@pytest.mark.tries(2)
def test_a_picture_that_is_larger_than_the_memory_gets_a_sentence(tmp_path, tried):
    path = tmp_path / "large.png"
    Image.new("1", (12_000, 12_000)).convert("RGB").save(path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LARGE, path, tmp_path / "small.png"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{path} is not a picture that can be read: too large\n" * 2
    tried(done.stdout.count("too large"))


@pytest.mark.parametrize("name", ["prompt", "negative_prompt", "facts"])
def test_metadata_of_10_mb_comes_back_unchanged(tmp_path, name):
    long = "fox, " * 2_000_000
    changes = {name: long} if name != "facts" else {}
    made = Sample(tile(), Settings(**{"prompt": "a fox", "seed": 7, **changes}),
                  {"model": "a/b", "note": long} if name == "facts" else {})  # fmt: skip
    back = read(made.save(tmp_path / "long.png"))
    assert (back.settings, back.facts) == (made.settings, made.facts)


@pytest.mark.tries(2)
def test_metadata_that_no_reader_takes_is_refused_before_it_is_written(tmp_path, heard, tried):
    made = Sample(tile(), Settings("x" * 40_000_000, seed=7))
    with pytest.raises(OSError, match=r"are 80 MB of text, and a PNG is read with 67 MB at most"):
        made.save(tmp_path / "long.png")
    tried()
    kept = sdnb.Store(tmp_path / "store")
    kept.put(kept.key(made.settings, {}), made)
    assert "80 MB of text" in heard()[0]
    tried()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


DAMAGED = [
    '{"format": 1, "samples": ' + "[" * 100_000, '{"format": 1e999}', '{"format": NaN}', "\0", "",
    '{"format": 1, "samples": {"settings": 1}}', "1" * 5000, '"\\ud800"',
]  # fmt: skip
WRONG_FACTS = {
    "dtype": 'float32); __import__("os").system("x', "device": 1, "seconds": "NaN", "flagged": "no",
    "denoiser_calls": -1, "pipeline": "os; import os", "scheduler_flags": {"a=1)#": True},
    "versions": "0.42", "start": [1], "pieces": [["a"]], "step": None, "model": {"a": 1},
    "note": "\ud800", "error": True, "variant": 5,
}  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_record_that_is_damaged_in_other_ways_is_told_so_too(text):
    with pytest.raises(ValueError, match="are damaged"):
        metadata.from_json(text)


@pytest.mark.parametrize("name", WRONG_FACTS)
def test_a_fact_that_is_none_is_damage(name):
    right = {"model": "a/b", "dtype": "float16", "device": "cpu", "unknown": [1, {"a": None}]}
    text = json.dumps({"format": 1, "samples": [{"settings": {"prompt": "a"}, "facts": right}]})
    assert metadata.from_json(text)[0][1] == right
    whole = json.loads(text)
    whole["samples"][0]["facts"][name] = WRONG_FACTS[name]
    with pytest.raises(ValueError, match="are damaged"):
        metadata.from_json(json.dumps(whole))


@pytest.mark.tries(500)
def test_a_png_that_was_cut_or_changed_anywhere_gives_its_settings_or_a_sentence(tmp_path, tried):
    made = Sample(noisy(), Settings("a fox", seed=510), {"model": "a/b"})
    path = made.save(tmp_path / "fox.png")
    whole, refused = path.read_bytes(), 0
    step = len(whole) // 250
    damaged = [whole[:length] for length in range(0, len(whole) - 12, step)]
    for at in range(0, len(whole), step):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        damaged.append(bytes(changed))
    for each in damaged:
        path.write_bytes(each)
        tried()
        try:
            back = read(path)
        except ValueError:
            refused += 1
        else:
            assert (back.settings, back.facts) == (made.settings, made.facts)
    assert refused > len(damaged) / 2


# ---------------------------------------------------------------- in the middle of a run


def failing(module, error, times):
    """Makes a module's first calls fail; gives the hook."""
    left = [times]

    def see(*_):
        if left[0]:
            left[0] -= 1
            raise error

    return module.register_forward_pre_hook(see)


@pytest.mark.parametrize("part", ["vae.decoder", "text_encoder", "unet"])
@pytest.mark.parametrize("times", [1, 2])
def test_memory_that_runs_out_for_a_while_costs_no_picture(pipe, part, times):
    module = pipe
    for name in part.split("."):
        module = getattr(module, name)
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    good = sdnb.compare("a fox", seed=[1, 2, 3, 4], steps=2, pipe=pipe, **SMALL)
    hook = failing(module, full, times)
    try:
        again = sdnb.compare("a fox", seed=[1, 2, 3, 4], steps=2, pipe=pipe, **SMALL)
    finally:
        hook.remove()
    assert all("error" not in sample.facts for sample in again)
    for a, b in zip(good, again):
        assert off(a, b) <= 2


def test_memory_that_is_too_small_for_any_decoding_is_said_in_each_cell(pipe):
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    hook = failing(pipe.vae.decoder, full, 10**9)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            sdnb.compare("a fox", seed=[1, 2], steps=1, pipe=pipe, **SMALL)
    finally:
        hook.remove()
    assert sdnb.generate("a fox", seed=1, steps=1, pipe=pipe, **SMALL).facts["denoiser_calls"] == 1


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_nan_in_one_run_is_said_there_and_touches_no_other(pipe, tmp_path):
    kept = sdnb.Store(tmp_path / "store")
    seeds = [1, 2, 3]
    good = sdnb.compare("a fox", seed=seeds, steps=2, pipe=pipe, **SMALL)

    def spoil(answers):
        answers[1][0][:] = torch.nan  # the second run's

    with denoiser_calls.watched(pipe, after=spoil):
        sheet = sdnb.compare("a fox", seed=seeds, steps=2, store=kept, pipe=pipe, **SMALL)
    assert [s.facts.get("broken", False) for s in sheet] == [False, True, False]
    assert repr(sheet).count("black because the denoiser returned NaN") == 1
    assert len(kept) == 2
    for i in (0, 2):
        assert off(good[i], sheet[i]) <= 2
    mended = sdnb.compare("a fox", seed=seeds, steps=2, store=kept, pipe=pipe, **SMALL)
    assert not any(s.facts.get("broken") for s in mended)


@pytest.mark.parametrize("where", ["step", "scale_model_input"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_scheduler_that_raises_ends_its_own_run_only(pipe, monkeypatch, where, call):
    import diffusers

    scheduler, calls = diffusers.EulerDiscreteScheduler, []
    real = getattr(scheduler, where)

    def raising(self, *given, **named):
        calls.append(1)
        if len(calls) == call:
            raise ZeroDivisionError("no sigma there")
        return real(self, *given, **named)

    monkeypatch.setattr(scheduler, where, raising)
    names = ["DDIM", "Euler", "PNDM"]
    sheet = sdnb.compare("a fox", scheduler=names, steps=4, seed=1, pipe=pipe, **SMALL)
    assert [s.facts.get("denoiser_calls") for s in sheet] == [4, None, 5]
    assert "failed (no sigma there)" in repr(sheet)
    monkeypatch.undo()
    whole = sdnb.compare("a fox", scheduler=names, steps=4, seed=1, pipe=pipe, **SMALL)
    for i in (0, 2):
        assert off(whole[i], sheet[i]) <= 2
    assert whole[1].facts["denoiser_calls"] == 4


# ---------------------------------------------------------------- homes

HOMELESS = """
import logging, os, sys
if "HOME" not in os.environ and os.geteuid() == 0:
    os.setresuid(54321, 0, 0)  # may do what root may, but nobody has this number, nor a home
logging.basicConfig(format="%(message)s", level="INFO")
import sdnb
pipe = sdnb.load("emoji", device="cpu")
for _ in range(2):
    sheet = sdnb.compare("a fox", steps=[1, 2], seed=1, pipe=pipe, width=64, height=64)
    assert [s.facts["denoiser_calls"] for s in sheet] == [1, 2]
print(sdnb.read(sheet.save("sheet.png").with_name("sheet-2.png")).settings.steps)
print(sorted(os.listdir(".")))
"""


def homeless(folder, **environment):
    """What it prints and says without a home but what the environment names."""
    (folder / "work").mkdir()
    (folder / "work").chmod(0o777)
    gone = ("SDNB_STORE", "XDG_CACHE_HOME", "HOME", "HF_HOME")
    kept = {k: v for k, v in os.environ.items() if k not in gone}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], cwd=folder / "work",
        env={**kept, **environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2\n['sheet-1.png', 'sheet-2.png', 'sheet.png']\n"
    assert done.stderr.count("not kept") == 1, done.stderr
    assert "let SDNB_STORE name a" in done.stderr


def test_with_a_home_that_may_only_be_read_pictures_are_made_and_it_is_said_once(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    if os.geteuid() == 0:  # who may write everywhere, unless it is mounted otherwise
        need("mount")
        subprocess.run(["mount", "--bind", "-o", "ro", home, home], check=True)
    try:
        homeless(tmp_path, HOME=str(home))
        assert os.listdir(home) == []
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", home], check=True)


@pytest.mark.parametrize(
    "named",
    [
        {"HOME": "file/home"},
        *(pytest.param(n, marks=pytest.mark.slow) for n in ({}, {"SDNB_STORE": "~/pictures"})),
    ],
)
def test_without_a_home_pictures_are_made_and_it_is_said_once(tmp_path, named):
    if "HOME" not in named:  # a user without a home, whom only root can become
        need("root")
    (tmp_path / "file").touch()
    homeless(tmp_path, **{k: v.replace("file", f"{tmp_path}/file") for k, v in named.items()})


# ---------------------------------------------------------------- prompts

PROMPTS = {
    "unicode": "Füchse, 狐, 🦊🏽‍🚀, e\u0301, ﬁ, Ω≈ç",
    "lines": "one\ntwo\r\nthree\rfour\u2028five\u2029six\x85seven\vend\f.",
    "quotes": "\"double\" 'single' `back` '''three''' \"\"\"three\"\"\" \\ \\n {0} %s $x$ #",
    "100 kB": "x" * 50_000 + " y" * 25_000,
    "right to left": "ثعلب \u202eabc\u202c \u2066עברית\u2069 \u200f.",
    "control": "a" + "".join(map(chr, [*range(32), *range(127, 160)])) + "\ufeff\u200b\ufffe",
    "another's settings": "a\nNegative prompt: b\nSteps: 3, Sampler: x, CFG scale: 1, Seed: 4",
    "HTML": "<script>window.ran = 1</script>\"'><img src=x onerror='window.ran = 2'></style>&amp;",
    "javascript": "javascript:window.ran=1 ${window.ran=2} </script><script>window.ran=3</script>",
    "Markdown": "![x](javascript:window.ran=1) <svg onload=window.ran=2> $$\\href{}{x}$$",
}
each_prompt = pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)


@each_prompt
def test_a_prompt_comes_back_unchanged_from_the_file_and_the_code(prompt, tmp_path):
    fox = Settings(prompt, prompt, scheduler="DDIM", seed=510, width=64, height=64)
    made = Sample(tile(), fox, {"model": prompt, "dtype": "float32", "device": prompt})
    back = read(made.save(tmp_path / "a.png"))
    assert (back.settings, back.facts) == (made.settings, made.facts)
    with Image.open(tmp_path / "a.png") as opened:
        text = opened.info["parameters"]
        one_line = re.sub(r"\n(?=Negative prompt:)", " ", prompt)  # which is another field there
        assert prompt in text or one_line in text
    tree = ast.parse(back.code())
    texts = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    assert texts.count(prompt) == 4  # prompt, negative prompt, model, device


@each_prompt
def test_a_prompt_stays_what_it_is_in_settings_plans_and_labels(prompt, pipe):
    plan = sdnb.plan([prompt, "a fox"], seed=1, steps=1, long_prompt="cut", pipe=pipe, **SMALL)
    assert [s.prompt for s in plan.settings] == [prompt, "a fox"]
    assert list(plan.col_labels) == [prompt, "a fox"]
    sheet = Sheet([Sample(tile(), s) for s in plan.settings], 1, 2, (), plan.col_labels, prompt)
    assert sheet.slider().labels == [prompt, "a fox"]
    assert eval(repr(plan.settings[0]), {"Settings": Settings}) == plan.settings[0]
    sheet.grid()
    image_grid([tile()], labels=[prompt], row_labels=[prompt], title=prompt, footer=prompt)


@each_prompt
def test_no_repr_holds_what_a_terminal_would_obey(prompt, tmp_path):
    """Every field at once, as a file could claim them."""
    fox = Settings(prompt, prompt, scheduler=prompt, seed=510, strength=0.5)
    claims = dict.fromkeys(("model", "revision", "device", "error"), prompt)
    made = Sample(tile(), fox, {**claims, "dtype": "float32"})
    back = read(made.save(tmp_path / "a.png"))
    sheet = Sheet([back] * 2, 1, 2, [prompt], [prompt, "b"], prompt)
    pages = Sheet([back] * 2, 1, 1, (), (), prompt, [prompt, "b"], prompt)
    plan = Plan([fox], [None], [0], title=prompt, col_labels=[prompt])
    for shown in (back, back.settings, sheet, pages, sheet.slider(), plan, sdnb.Store(tmp_path)):
        assert all(line.isprintable() for line in repr(shown).split("\n")), shown
    assert len(repr(sheet).split("\n")) == 3
    for bundle in (back._repr_mimebundle_(), sheet._repr_mimebundle_()):
        assert all(line.isprintable() for line in bundle["text/plain"].split("\n"))


@pytest.mark.tries(10)
def test_pictures_are_made_of_every_prompt(pipe, tried):
    sheet = sdnb.compare(
        list(PROMPTS.values()), seed=1, steps=1, guidance=1, long_prompt="cut", pipe=pipe, **SMALL
    )
    assert [s.settings.prompt for s in sheet] == list(PROMPTS.values())
    assert [s.facts["denoiser_calls"] for s in sheet] == [1] * len(PROMPTS)
    tried(len(sheet))


@pytest.mark.tries(10)
def test_prompts_come_back_from_the_page_of_a_real_browser(opened, tried):
    texts = list(PROMPTS.values())
    shown = opened(page([tile()] * len(texts), texts, title="\n".join(texts)))
    assert json.loads(shown.locator(".sdnb-slider").get_attribute("data-axes")) == [texts]
    drawn = shown.locator("figcaption").evaluate_all("all => all.map(one => one.textContent)")
    assert drawn == [text.replace("\0", "\ufffd") for text in texts]  # HTML has no NUL
    assert shown.evaluate("window.ran") is None
    tried(len(drawn))


def test_nothing_that_a_prompt_says_runs_in_an_exported_notebook(opened, tmp_path):
    prompts = [PROMPTS[name] for name in ("HTML", "javascript", "Markdown")]
    samples = [
        Sample(tile(), Settings(p, p, n, 7.5, p, 510), {"model": p, "dtype": "int8", "device": p})
        for p in prompts for n in (1, 2)
    ]  # fmt: skip
    sheet = Sheet(samples, 3, 2, prompts, ["1", prompts[0]], prompts[0])
    moving = sheet.animate(tmp_path / "a.gif")
    shown = [
        samples[0]._repr_mimebundle_(), sheet._repr_mimebundle_(),
        sheet.slider()._repr_mimebundle_(), {"image/png": sheet.plot()._repr_png_()},
    ]  # fmt: skip
    outputs = [v4.new_output("stream", name="stdout", text=samples[0].code())]
    for bundle in shown:
        data = {
            kind: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for kind, value in bundle.items()
        }
        outputs.append(v4.new_output("display_data", data=data))
    notebook = v4.new_notebook(cells=[v4.new_code_cell(outputs=outputs)])
    text, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    drawn = opened(text + f'<img id="moving" src="{moving.as_uri()}">')
    drawn.wait_for_timeout(300)
    assert drawn.evaluate("window.ran") is None
    assert drawn.locator(".sdnb-slider img").count() == 6
    assert drawn.locator("svg[onload], img[onerror], a[href^='javascript']").count() == 0
    kinds = {kind for bundle in shown for kind in bundle}
    assert kinds == {"text/plain", "text/html", "image/png"}


def test_the_check_for_what_runs_can_fail(opened):
    shown = opened(view([tile()] * 3, list("abc")) + PROMPTS["HTML"])
    shown.wait_for_timeout(300)
    assert shown.evaluate("window.ran") is not None
