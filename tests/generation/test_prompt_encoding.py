"""Prompts that are longer than the model reads."""

import compel
import numpy as np
import pytest
import torch
from PIL import Image

import sdnb
from sdnb.generation import prompt_encoding
from sdnb.models import capabilities
from tests.support import programs, toys

LONG = "a fox on a blue background " * 14 + "and a cat"  # 14 * 6 + 3 = 87 tokens


def test_a_prompt_that_is_too_long_is_an_error_that_names_what_would_be_cut(pipe):
    with pytest.raises(ValueError, match="The prompt has 87 tokens") as caught:
        sdnb.generate(LONG, steps=1, pipe=pipe)
    assert str(caught.value) == (
        "The prompt has 87 tokens, the model reads 75: 'a blue background a fox on a blue "
        "background and a cat' would be cut off. Shorten it, or give long_prompt='cut', or 'chunk' "
        "to read it in pieces."
    )
    with pytest.raises(ValueError, match="The negative prompt has 87 tokens"):
        sdnb.compare("a fox", negative_prompt=LONG, steps=[1, 2], pipe=pipe)


def test_cut_is_what_the_pipeline_does_by_itself(pipe):
    ours = sdnb.generate(LONG, steps=2, seed=1, long_prompt="cut", pipe=pipe)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(LONG, num_inference_steps=2, generator=torch.Generator().manual_seed(1)).images[0]
    assert np.array_equal(np.asarray(ours.image), np.asarray(theirs))


def test_in_pieces_the_end_counts_too(pipe):
    def picture(prompt, way):
        sample = sdnb.generate(prompt, steps=3, seed=1, long_prompt=way, pipe=pipe)
        return np.asarray(sample.image, int)

    other = LONG.replace("cat", "bus")
    assert np.array_equal(picture(LONG, "cut"), picture(other, "cut"))
    assert np.abs(picture(LONG, "chunk") - picture(other, "chunk")).mean() > 0.1


def test_a_short_prompt_is_the_same_in_every_way(pipe):
    made = [sdnb.generate("a fox", steps=2, seed=1, long_prompt=way, pipe=pipe)
            for way in ("error", "cut", "chunk")]  # fmt: skip
    assert len({s.image.tobytes() for s in made}) == 1


def test_the_code_of_a_prompt_in_pieces_makes_the_same_picture(pipe, tmp_path):
    sample = sdnb.generate(LONG, negative_prompt="a dog", steps=2, seed=1, long_prompt="chunk",
                           pipe=pipe)  # fmt: skip
    code = sample.code() + "\nimage.save('again.png')\n"
    programs.run("-c", code, cwd=tmp_path, check=True)
    again = Image.open(tmp_path / "again.png")
    assert np.array_equal(np.asarray(again), np.asarray(sample.image))
    assert sdnb.read(sample.save(tmp_path / "long.png")).settings.long_prompt == "chunk"


def test_pieces_break_between_words_and_lose_none(pipe):
    parts = prompt_encoding.pieces(pipe, LONG)
    assert " ".join(parts).split() == LONG.split()
    assert all(not prompt_encoding.lost(pipe, part) for part in parts)


@pytest.mark.parametrize(
    "text",
    ["fox," * 100 + "cat", "狐狸和猫在蓝色的背景上" * 10, "a fox " + "猫🦊" * 60 + " and a cat",
     "x" * 500, "a,b;c|" * 60],
    ids=["tags", "Chinese", "mixed", "one letter", "signs"],
)  # fmt: skip
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_a_word_that_is_too_long_is_parted_too_and_loses_no_letter(pipe, text, fast, monkeypatch):
    if not fast:
        monkeypatch.setattr(type(pipe.tokenizer), "is_fast", False)
    parts = prompt_encoding.pieces(pipe, text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(0 < prompt_encoding.count(pipe, part) <= 75 for part in parts)
    whole = prompt_encoding.count(pipe, text)
    assert len(parts) <= whole // 60 + 2


def test_the_end_of_a_list_without_spaces_counts(pipe):
    def picture(prompt):
        made = sdnb.generate(prompt, steps=3, seed=1, long_prompt="chunk", pipe=pipe)
        return np.asarray(made.image, int)

    assert np.abs(picture("fox," * 100 + "cat") - picture("fox," * 100 + "bus")).mean() > 0.1


# ---------------------------------------------------------------- weights

WEIGHED = "a fox++ on a (blue)0.7 background"


def plain_call(pipe, prompt, negative=""):
    """What compel and the pipeline make of it without us."""
    read = compel.CompelForSD(pipe)(prompt, negative_prompt=negative)
    pipe.set_progress_bar_config(disable=True)
    return pipe(
        prompt_embeds=read.embeds, negative_prompt_embeds=read.negative_embeds,
        num_inference_steps=2, generator=torch.Generator().manual_seed(1),
    ).images[0]  # fmt: skip


def test_weights_do_what_compel_itself_does(pipe):
    for prompt, negative in ((WEIGHED, ""), ("a fox", "a (dog)1.5"), (LONG, "")):
        ours = sdnb.generate(
            prompt, negative_prompt=negative, steps=2, seed=1, prompt_syntax="compel", pipe=pipe
        )
        theirs = plain_call(pipe, prompt, negative)
        assert np.array_equal(np.asarray(ours.image), np.asarray(theirs)), prompt


def test_weights_change_the_picture_and_their_absence_does_not(pipe):
    def picture(prompt, syntax):
        return sdnb.generate(prompt, steps=2, seed=1, prompt_syntax=syntax, pipe=pipe).image

    assert picture("a fox", "compel").tobytes() == picture("a fox", None).tobytes()
    assert picture("a (fox)0.3", "compel").tobytes() != picture("a fox", None).tobytes()


def test_weighed_pictures_made_together_are_those_made_alone(pipe):
    sheet = sdnb.compare(WEIGHED, steps=[2, 3], seed=1, prompt_syntax="compel", pipe=pipe)
    for sample in sheet:
        alone = sdnb.generate(sample.settings, pipe=pipe)
        far = np.abs(np.asarray(alone.image, int) - np.asarray(sample.image, int))
        assert far.max() <= 2


@pytest.mark.parametrize("way", ["text", "image"])
def test_the_code_of_weighed_prompts_makes_the_same_picture(pipe, tmp_path, way):
    start = {}
    if way == "image":
        sdnb.generate("a cat", steps=2, seed=3, pipe=pipe).save(tmp_path / "cat.png")
        start = {"image": tmp_path / "cat.png", "strength": 0.7}
    sample = sdnb.generate(
        WEIGHED, negative_prompt="a dog-", steps=3, seed=1, prompt_syntax="compel", pipe=pipe,
        **start,
    )  # fmt: skip
    code = sample.code() + "\nimage.save('again.png')\n"
    programs.run("-c", code, cwd=tmp_path, check=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "again.png")), np.asarray(sample.image))
    assert sdnb.read(sample.save(tmp_path / "w.png")).settings == sample.settings


def test_sdxl_takes_weights_and_flux_says_that_it_does_not(tmp_path):
    xl = sdnb.load(toys.saved("SDXL", tmp_path / "xl"), dtype="float32")
    both = [
        sdnb.generate(p, steps=2, seed=1, width=64, height=64, prompt_syntax="compel", pipe=xl)
        for p in ("a fox++", "a fox")
    ]
    assert both[0].image.tobytes() != both[1].image.tobytes()
    flux = sdnb.load(toys.saved("Flux", tmp_path / "flux"), dtype="float32")
    with pytest.raises(ValueError, match="compel cannot weigh the prompts of a FluxPipeline"):
        sdnb.generate("a fox++", steps=2, width=64, height=64, prompt_syntax="compel", pipe=flux)


def test_weights_without_compel_name_the_package_to_install(pipe, monkeypatch):
    monkeypatch.setattr(capabilities, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'sdnb\[compel\]'"):
        sdnb.generate(WEIGHED, steps=1, prompt_syntax="compel", pipe=pipe)


def test_another_syntax_is_refused():
    with pytest.raises(ValueError, match="prompt_syntax is 'a1111': give 'compel' or None"):
        sdnb.Settings("a fox", prompt_syntax="a1111")


@pytest.fixture(scope="module")
def inverted(tmp_path_factory):
    """A pipeline with an embedding of 20 vectors, one word in a prompt."""
    folder = tmp_path_factory.mktemp("toy")
    pipe = sdnb.load(toys.saved("SD 2", folder), device="cpu", dtype="float32")
    torch.manual_seed(1)
    pipe.load_textual_inversion({"<barn>": torch.randn(20, 32)}, token="<barn>")
    return pipe


def read(pipe, prompt):
    """The tokens that the pipeline itself reads, without start and end."""
    whole = pipe.maybe_convert_prompt(prompt, pipe.tokenizer)
    return pipe.tokenizer(whole, add_special_tokens=False).input_ids


@pytest.mark.parametrize("words", [0, 20, 28, 80])
def test_an_embedding_of_several_vectors_counts_as_many_tokens(inverted, words):
    prompt = "<barn> " + "a fox " * words + "on a <barn> red background"
    ids = read(inverted, prompt)
    assert prompt_encoding.count(inverted, prompt) == len(ids)
    lost = prompt_encoding.lost(inverted, prompt)
    assert bool(lost) == (len(ids) > 75)
    assert prompt.endswith(lost)
    parts = prompt_encoding.pieces(inverted, prompt)
    assert " ".join(parts) == prompt.strip()
    assert all(len(read(inverted, part)) <= 75 for part in parts)


def test_what_is_lost_behind_an_embedding_is_an_error_or_read_in_pieces(inverted):
    prompt = "<barn> " + "a fox " * 28 + "on a red background"
    with pytest.raises(ValueError, match="has 80 tokens, the model reads 75: 'fox on a red"):
        sdnb.generate(prompt, steps=1, pipe=inverted, store=False)
    made = [
        sdnb.generate(text, steps=1, seed=1, pipe=inverted, store=False, long_prompt="chunk")
        for text in (prompt, prompt.replace("red", "blue"))
    ]
    assert made[0].image.tobytes() != made[1].image.tobytes()


def test_an_embedding_that_is_cut_within_is_lost_as_a_whole_word(inverted):
    prompt = "a fox " * 32 + "<barn> on a red background"
    assert prompt_encoding.lost(inverted, prompt) == "<barn> on a red background"


def test_an_embedding_that_is_longer_than_the_model_reads_is_told_so(tmp_path):
    pipe = sdnb.load(toys.saved("SD 2", tmp_path), device="cpu", dtype="float32")
    pipe.load_textual_inversion({"<huge>": torch.randn(80, 32)}, token="<huge>")
    with pytest.raises(ValueError, match="'<huge>' is an embedding of 80 tokens"):
        sdnb.generate("a fox <huge>", steps=1, pipe=pipe, store=False, long_prompt="chunk")


def test_pieces_fit_each_of_two_tokenizers_that_differ(tmp_path):
    pipe = sdnb.load(toys.saved("SDXL", tmp_path), device="cpu", dtype="float32")
    pipe.tokenizer_2.model_max_length = 42  # 40 of the prompt's
    for text in ("a fox " * 30, "fox," * 30):
        parts = prompt_encoding.pieces(pipe, text)
        assert "".join(parts).replace(" ", "") == text.replace(" ", "")
        longest = max(
            len(pipe.tokenizer_2(part, add_special_tokens=False).input_ids) for part in parts
        )
        assert longest <= 40
