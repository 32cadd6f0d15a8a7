"""Many runs at once: the pictures of one-by-one runs, with fewer denoiser calls."""

import contextvars
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product

import diffusers
import numpy as np
import pytest
import torch
from greenlet import getcurrent
from PIL import Image

import sdnb
from sdnb import Settings, schedulers
from sdnb.generation import init_image, sampling
from sdnb.models import device, provenance
from sdnb.sweeps import batched_calls
from sdnb.sweeps.batching import Batcher
from tests.support import toys

PROMPT = "a fox on a blue background"
NATIVE = {"width": 128, "height": 128}


def plan(pipe, start=None, /, **axes):
    """Resolved settings for each combination; the first of the lists runs fastest."""
    axes = {"prompt": PROMPT, "seed": 510, "steps": 2, "width": 64, "height": 64} | axes
    lists = [v if isinstance(v, (list, range)) else [v] for v in axes.values()][::-1]
    drafts = [Settings(**dict(zip(list(axes)[::-1], each))) for each in product(*lists)]
    return [sampling.resolve(draft, pipe, start) for draft in drafts]


def one_by_one(jobs, pipe, make=sampling.run):
    return [make(job, pipe) for job in jobs]


def batched(jobs, batcher, make=sampling.run):
    """The samples in the order of the jobs."""
    made = dict(batcher.run(jobs, make))
    assert sorted(made) == list(range(len(jobs)))
    for sample in made.values():
        if isinstance(sample, Exception):
            raise sample
    return [made[i] for i in range(len(jobs))]


def assert_same(ours, theirs, most=2, mean=0.1):
    """The pictures are the same but for rounding, and so is what is said of them."""
    for a, b in zip(ours, theirs, strict=True):
        off = np.abs(np.asarray(a.image, int) - np.asarray(b.image, int))
        assert off.max() <= most
        assert off.mean() <= mean
        assert a.settings == b.settings
        beside = {"seconds": 0, "changed": ""}  # the hooks of some tests
        assert a.facts | beside == b.facts | beside


@contextmanager
def watching(module, see):
    """Shows each call of a module, its positional and other inputs, before it is made."""
    hook = module.register_forward_pre_hook(lambda _, *inputs: see(*inputs), with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def rows_of(args, kwargs):
    return len((*args, *kwargs.values())[0])


@contextmanager
def left_as_it_was(pipe):
    """What is to be true when a batch ended, however it ended."""

    def state():
        parts = [part for part in pipe.components.values() if hasattr(part, "modules")]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks)
                 for part in parts for m in part.modules()]  # fmt: skip
        return dict(vars(pipe)), hooks, [p.dtype for part in parts for p in part.parameters()]

    torch.set_grad_enabled(True)
    before = state()
    yield
    assert torch.is_grad_enabled()
    assert state() == before


# ---------------------------------------------------------------- the same pictures


def test_the_longest_run_decides_how_often_the_denoiser_is_called(pipe):
    jobs, batcher = plan(pipe, steps=[2, 4, 6, 8], **NATIVE), Batcher(pipe)
    with left_as_it_was(pipe):
        ours = batched(jobs, batcher)
    assert_same(ours, one_by_one(jobs, pipe))
    assert batcher.calls["denoiser"] == 8
    assert [s.facts["denoiser_calls"] for s in ours] == [2, 4, 6, 8]
    assert batcher.alone == {}


def test_pictures_come_as_soon_as_they_are_finished(pipe):
    jobs, batcher = plan(pipe, steps=[4, 2, 3], guidance=1), Batcher(pipe)
    seen = [(index, batcher.calls["denoiser"]) for index, _ in batcher.run(jobs)]
    assert seen == [(1, 2), (2, 3), (0, 4)]


def test_all_schedulers_with_and_without_guidance_go_together(pipe):
    jobs = plan(pipe, scheduler=schedulers.names(), guidance=[1, 7.5], steps=2)
    batcher = Batcher(pipe, most=len(jobs))
    rows = []
    with watching(pipe.unet, lambda args, kwargs: rows.append(rows_of(args, kwargs))):
        ours = batched(jobs, batcher)
    assert_same(ours, one_by_one(jobs, pipe))
    assert batcher.calls["denoiser"] == 3  # some make two a step, but for the last
    assert rows[0] == len(jobs) // 2 * (1 + 2)
    assert 1 <= batcher.calls["decoder"] < len(jobs) / 2


def test_a_text_is_encoded_once(pipe):
    jobs = plan(pipe, prompt=["a fox", "a cat", "an owl"], steps=[1, 2], negative_prompt="a cat")
    batcher = Batcher(pipe)
    assert_same(batched(jobs, batcher), one_by_one(jobs, pipe))
    assert batcher.calls["text encoder"] == 3


def test_one_at_a_time_is_the_same_bit_for_bit(pipe):
    jobs, batcher = plan(pipe, scheduler=["Euler a", "DPM++ 2M SDE"], steps=3), Batcher(pipe, 1)
    assert_same(batched(jobs, batcher), one_by_one(jobs, pipe), most=0)
    assert batcher.calls["denoiser"] == 6


def test_sizes_go_apart(pipe):
    jobs, batcher = plan(pipe, width=[64, 128], steps=[1, 2]), Batcher(pipe)
    assert_same(batched(jobs, batcher), one_by_one(jobs, pipe))
    assert batcher.calls["denoiser"] == 2 + 2
    assert batcher.alone == {}


def test_what_goes_with_no_other_is_told(pipe):
    long = " ".join(["a fox"] * 60)  # read in pieces, it gives more embeddings
    jobs = plan(pipe, long_prompt="chunk") * 2 + plan(pipe, prompt=long, long_prompt="chunk")
    batcher = Batcher(pipe)
    assert_same(batched(jobs, batcher), one_by_one(jobs, pipe))
    assert batcher.calls["denoiser"] == 2 + 2
    assert batcher.alone == {2: "they differ in the length of their prompts"}


def test_a_sheet_says_in_plain_words_why_its_pictures_were_made_one_by_one(pipe):
    sheet = sdnb.compare("a fox", width=[64, 128], steps=1, seed=1, pipe=pipe)
    assert sheet.note == "made one by one: they differ in size"


@pytest.mark.parametrize("mask", [None, Image.new("L", (64, 64), 255)], ids=["image", "mask"])
def test_image_to_image_and_inpainting(pipe, mask):
    start = init_image.start(Image.new("RGB", (64, 64), "orange"), mask)
    view = sampling.pipeline_for(pipe, start)
    jobs = plan(view, start, strength=[0.5, 1.0], steps=4)
    batcher, make = Batcher(view), partial(sampling.run, start=start)
    assert_same(batched(jobs, batcher, make), one_by_one(jobs, view, make))
    assert batcher.calls["denoiser"] == 4


def toy(family, folder):
    folder = toys.saved(family, folder)
    return sdnb.load(folder, device="cpu", dtype="float32")


@pytest.mark.parametrize("family", toys.FAMILIES)
def test_other_families(family, tmp_path):
    pipe = toy(family, tmp_path)
    jobs = plan(pipe, guidance=[1, 3], seed=[1, 2], steps=[1, 3], width=32, height=32)
    batcher = Batcher(pipe)
    theirs = one_by_one(jobs, pipe)  # first: transformers puts its own hooks in at a first call
    with left_as_it_was(pipe):
        ours = batched(jobs, batcher)
    assert_same(ours, theirs)
    assert batcher.calls["denoiser"] == 3
    assert len({s.image.tobytes() for s in ours}) > 4  # noise and guidance do have an effect


def test_positions_of_flux_are_not_taken_for_rows():
    layer = torch.nn.Module()
    layer.forward = lambda hidden_states, img_ids: hidden_states
    calls = [
        batched_calls.Call.of(layer, (torch.zeros(3, 5), torch.full((3, 2), v)), {}) for v in (1, 2)
    ]
    assert batched_calls.differing(*calls) == "img_ids"
    assert batched_calls.differing(calls[0], calls[0]) is None


def test_a_denoiser_that_keeps_a_cache_is_left_to_one_run_after_another(tmp_path):
    pipe = toy("Flux", tmp_path)
    pipe.transformer.enable_cache(diffusers.FirstBlockCacheConfig(threshold=0.2))
    jobs, batcher = plan(pipe, seed=[1, 2], steps=4, width=32, height=32), Batcher(pipe)
    assert_same(batched(jobs, batcher), one_by_one(jobs, pipe), most=0)
    assert batcher.alone == dict.fromkeys((0, 1), "the denoiser keeps a cache between steps")


# ---------------------------------------------------------------- memory


def short_of_memory(most):
    """A look at the denoiser's calls that fails as a GPU does; and the rows that it saw."""
    rows = []

    def see(args, kwargs):
        rows.append(rows_of(args, kwargs))
        if rows[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return see, rows


def test_when_memory_runs_out_the_batch_is_halved_and_nothing_is_lost(pipe):
    jobs, batcher = plan(pipe, seed=range(6)), Batcher(pipe)
    see, rows = short_of_memory(5)
    with watching(pipe.unet, see):
        ours = batched(jobs, batcher)
    assert_same(ours, one_by_one(jobs, pipe))
    assert rows == [12, 6, 2, 2, 2, 6, 2, 2, 2, *[2] * 6]


def test_a_run_that_is_too_large_by_itself_gets_the_error_alone(pipe):
    jobs, batcher = plan(pipe, guidance=[1, 7.5]), Batcher(pipe)
    see, _ = short_of_memory(1)
    with watching(pipe.unet, see), left_as_it_was(pipe):
        made = dict(batcher.run(jobs))
    assert isinstance(made[0], sdnb.Sample)
    assert isinstance(made[1], torch.OutOfMemoryError)


def test_a_run_that_finds_no_memory_beside_others_is_tried_again_alone(pipe):
    tried = []

    def make(settings, *others):
        tried.append(settings.seed)
        if tried.count(2) == 1 and settings.seed == 2:
            raise MemoryError
        return sampling.run(settings, *others)

    jobs = plan(pipe, seed=[1, 2, 3])
    assert_same(batched(jobs, Batcher(pipe), make), one_by_one(jobs, pipe))
    assert tried == [1, 2, 3, 2]


@pytest.mark.parametrize(("free", "expected"), [(10**12, 16), (10**8, 7), (0, 1)])
def test_free_memory_decides_how_many_go_at_once(pipe, monkeypatch, free, expected):
    monkeypatch.setattr(device, "free_memory", lambda _: free)
    rows = []
    jobs = plan(pipe, seed=range(20), steps=1, guidance=1)
    with watching(pipe.unet, lambda args, kwargs: rows.append(rows_of(args, kwargs))):
        for _ in zip(Batcher(pipe).run(jobs), range(2)):
            pass
    assert rows[0] == expected


def test_at_least_one_picture_must_be_made_at_once(pipe):
    with pytest.raises(ValueError, match="0 pictures at once cannot be made"):
        Batcher(pipe, most=0)


# ---------------------------------------------------------------- failures


def test_one_failing_run_does_not_end_the_others(pipe):
    def make(settings, pipe, on_call):
        def on_call():
            if settings.seed == 2:
                raise RuntimeError("seed 2 is unlucky")

        return sampling.run(settings, pipe, on_call)

    jobs = plan(pipe, seed=[1, 2, 3])
    with left_as_it_was(pipe):
        made = dict(Batcher(pipe).run(jobs, make))
    assert str(made[1]) == "seed 2 is unlucky"
    assert_same([made[0], made[2]], one_by_one([jobs[0], jobs[2]], pipe))


def test_where_merged_calls_fail_they_are_made_one_by_one_and_the_reason_is_kept(pipe):
    def see(args, kwargs):
        if rows_of(args, kwargs) > 2:
            raise ValueError("one picture only")

    jobs, batcher = plan(pipe, seed=[1, 2], steps=3), Batcher(pipe)
    with watching(pipe.unet, see):
        assert_same(batched(jobs, batcher), one_by_one(jobs, pipe))
    assert batcher.alone == dict.fromkeys((0, 1), "merged calls fail: one picture only")


@pytest.mark.parametrize("how", ["Ctrl-C in the denoiser", "Ctrl-C in a run", "closed"])
def test_stopping_keeps_what_is_finished_and_leaves_everything_as_it_was(pipe, how):
    cleaned, kept, batcher, greenlets = [], [], Batcher(pipe), []

    def make(settings, *others):
        greenlets.append(getcurrent())  # one that is forgotten would end by itself
        try:
            return sampling.run(settings, *others)
        finally:
            cleaned.append(settings.steps)

    def interrupt(*_):
        if batcher.calls["denoiser"] == 3:
            raise KeyboardInterrupt

    jobs = plan(pipe, steps=[2, 6, 8])
    denoiser = interrupt if how == "Ctrl-C in the denoiser" else lambda *_: None
    on_call = interrupt if how == "Ctrl-C in a run" else lambda: None
    with left_as_it_was(pipe), watching(pipe.unet, denoiser):
        pairs = batcher.run(jobs, make, on_call)
        kept.append(next(pairs))
        if how == "closed":
            pairs.close()
        else:
            with pytest.raises(KeyboardInterrupt):
                kept.extend(pairs)
    assert [index for index, _ in kept] == [0]
    assert sorted(cleaned) == [2, 6, 8]
    assert all(each.dead for each in greenlets)
    assert_same([kept[0][1]], one_by_one(jobs[:1], pipe))


# ---------------------------------------------------------------- what the runs share


def test_gradients_are_off_within_the_runs_and_on_outside(pipe):
    within, outside = set(), set()
    jobs = plan(pipe, steps=[1, 3, 2])
    for _ in Batcher(pipe).run(jobs, on_call=lambda: within.add(torch.is_grad_enabled())):
        outside.add(torch.is_grad_enabled())
    assert (within, outside) == ({False}, {True})


def test_runs_know_the_context_that_they_were_started_in(pipe):
    cell = contextvars.ContextVar("cell", default=None)
    token, seen = cell.set(7), []
    try:
        list(Batcher(pipe).run(plan(pipe), on_call=lambda: seen.append(cell.get())))
    finally:
        cell.reset(token)
    assert seen == [7, 7]


def test_a_run_that_turns_the_weights_to_float32_disturbs_no_other(pipe):
    half = sdnb.load("emoji", dtype="bfloat16", device="cpu")
    jobs = plan(half, seed=[1, 2, 3], width=32, height=32)

    def overflow(module, inputs, output):
        return output * float("nan") if output.dtype == torch.bfloat16 else None

    hook = half.vae.decoder.register_forward_hook(overflow)
    try:
        with left_as_it_was(half):
            ours = batched(jobs, Batcher(half))
        assert_same(ours, one_by_one(jobs, half), most=255, mean=3)
    finally:
        hook.remove()
    assert all(s.facts["decoder_upcast"] for s in ours)


def test_offloaded_modules_go_back_when_all_runs_have_ended(monkeypatch, tmp_path):
    pipe = toy("SDXL", tmp_path)
    pipe.enable_model_cpu_offload(device=torch.device("cpu"))  # as on a GPU, but to and from here
    freed = []
    free = type(pipe).maybe_free_model_hooks
    monkeypatch.setattr(type(pipe), "maybe_free_model_hooks", lambda self: (
        freed.append(bool(self._all_hooks)), free(self)))  # fmt: skip
    jobs, batcher = plan(pipe, steps=[1, 3], width=32, height=32), Batcher(pipe)
    ours = batched(jobs, batcher)
    assert [each for each in freed if each] == [True]
    assert pipe.unet._hf_hook
    assert batcher.calls["denoiser"] == 3
    assert_same(ours, one_by_one(jobs, pipe))


def test_facts_tell_where_the_pipeline_came_from(pipe, monkeypatch):
    origin = replace(provenance.origin_of(pipe), revision="abc", variant="fp16")
    monkeypatch.setattr(provenance._records[pipe], "origin", origin)
    facts = batched(plan(pipe, steps=1), Batcher(pipe))[0].facts
    assert (facts["revision"], facts["variant"]) == ("abc", "fp16")


def test_a_decoder_that_its_pipeline_turns_to_float32_is_left_to_one_run_after_another(tmp_path):
    pipe = sdnb.load(toys.saved("SDXL", tmp_path), dtype="float16", device="cpu")
    jobs, batcher = plan(pipe, seed=[1, 2], width=32, height=32), Batcher(pipe)
    assert pipe.vae.config.force_upcast
    theirs = one_by_one(jobs, pipe)
    with left_as_it_was(pipe):
        ours = batched(jobs, batcher)
    assert_same(ours, theirs, mean=0.5)
    assert (batcher.calls["denoiser"], batcher.calls["decoder"]) == (2, 2)
