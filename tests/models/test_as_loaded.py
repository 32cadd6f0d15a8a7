"""Whether a pipeline is as `load` left it: every attribute of every part is changed in turn."""

import builtins
import random
from collections import Counter, OrderedDict, defaultdict

import diffusers
import numpy as np
import pytest
import torch
from tokenizers import normalizers
from torch.autograd import grad_mode

import sdnb
from sdnb.models import provenance, torch_state
from sdnb.models.fingerprint import Fingerprint
from sdnb.sweeps import execution
from tests.support import toys

FAMILIES = ["emoji", "SDXL", "SD3", "Flux"]
# what no picture hangs on, and why
HARMLESS = {
    "_last": "a layer's own memory of its last output, by its input",
    "_progress_bar_config": "what the terminal shows",
    "deprecation_warnings": "which warnings a tokenizer gave",
    # test_looking.py: who shows or saves a config has these written
    "_class_name": "a config's own class",
    "_diffusers_version": "which version of diffusers wrote a config",
    "architectures": "a config's own class",
    "transformers_version": "which version of transformers wrote a config",
    "_output_capturing_hooks_installed": "whether transformers' hooks for hidden states are there",
}


def loaded(family, folder):
    sdnb.clear()
    if family == "emoji":
        return sdnb.load("emoji", device="cpu")
    return sdnb.load(toys.saved(family, folder), device="cpu", dtype="float32")


def other(value):
    """Another value than this, of its kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return f"{value} other"
    if isinstance(value, tuple) and type(value) is tuple:
        return (*value, 1)
    if isinstance(value, torch.Tensor):
        return value.detach().clone() + 1
    return 1


def changes(owner, name, value):
    """Ways to change one attribute: pairs of (do, undo)."""

    def put(new):
        vars(owner)[name] = new

    yield lambda: put(other(value)), lambda: put(value)
    if type(value) in (list, set) or isinstance(value, dict):
        # past what a class of its own forbids, such as diffusers' frozen configs
        kind = next(k for k in (OrderedDict, dict, set, list) if isinstance(value, k))
        kept = list(value.items()) if isinstance(value, dict) else list(value)

        def back():
            kind.clear(value)
            if isinstance(value, dict):
                for key, each in kept:
                    kind.__setitem__(value, key, each)
            else:
                (kind.extend if kind is list else kind.update)(value, kept)

        if isinstance(value, dict):
            yield lambda: kind.__setitem__(value, "a key of mine", lambda *_: None), back
            for key, each in list(value.items()):
                if name == "_internal_dict" and (key == "scheduler" or key in HARMLESS):
                    continue  # the name of its class; the scheduler is looked at by itself
                if isinstance(each, torch.nn.Parameter):
                    new = torch.nn.Parameter(each.detach().clone(), requires_grad=False)
                elif isinstance(each, torch.nn.Module):
                    new = torch.nn.Identity()
                else:
                    new = other(each)
                yield lambda key=key, new=new: kind.__setitem__(value, key, new), back
        elif isinstance(value, list):
            yield lambda: value.append(1), back
        else:
            yield lambda: value.add("mine"), back


def owners(pipe):
    """Every object whose attributes decide pictures: (where, object)."""
    yield "", pipe
    seen = set()
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            for path, module in part.named_modules():
                yield f"{name}.{path}", module
                # processors, activations, configs and what else hangs on a module
                for key, value in vars(module).items():
                    held = hasattr(value, "__dict__") and not isinstance(value, type)
                    if held and id(value) not in seen and not hasattr(value, "func"):
                        seen.add(id(value))
                        yield f"{name}.{path}.{key}", value
        elif part is not None and name != "scheduler":
            yield name, part
    yield "image_processor", pipe.image_processor
    yield "image_processor.config", pipe.image_processor.config
    yield "config", pipe.config


def walk(pipe, most=None):
    """Changes attributes, all or `most` of them, and asks each time; counts what was noticed."""
    found, silent, kinds = Counter(), [], {}
    everything = [(w, o, n) for w, o in owners(pipe) for n in list(vars(o))]
    if most:
        random.Random(0).shuffle(everything)
        first = {n: (w, o, n) for w, o, n in everything}  # each name at least
        everything = [*first.values(), *everything[:most]]
    state = provenance._ignored(type(pipe))
    for where, owner, name in everything:
        value = vars(owner)[name]
        if name in HARMLESS or (where in ("", "config") and name in state):
            found["harmless"] += 1
            continue
        for do, undo in changes(owner, name, value):
            found["tried"] += 1
            kinds[type(owner)] = True
            do()
            try:
                noticed = is_noticed(pipe)
            finally:
                undo()
            found["noticed"] += noticed
            if not noticed:
                silent.append(f"{where}.{name}")
    for where, owner in owners(pipe):
        if isinstance(owner, torch.nn.Module):
            for name, weight in owner.named_parameters(recurse=False):
                for way in ("counted", "by .data"):
                    if most and random.Random(where).random() > 0.01:
                        continue
                    found["tried"] += 1
                    before = weight.detach().clone()
                    # torch never counts back, but for this
                    with torch.no_grad(), grad_mode._unsafe_preserve_version_counter(weight):
                        weight.mul_(1.5).add_(1) if way == "counted" else weight.data.add_(1)
                        noticed = bool(provenance.differences(pipe))
                        weight.data.copy_(before)
                    found["noticed"] += noticed
                    if not noticed:
                        silent.append(f"{where}.{name} {way}")
    return found, silent, len(kinds)


def is_noticed(pipe):
    """Whether the store would not answer; without looking further once a change was found."""
    found = provenance._records[pipe].made.in_objects()
    known = any(not name.startswith(provenance._OF_SCHEDULER) for name in found)
    return known or bool(provenance.differences(pipe))


def test_no_change_of_any_attribute_is_silent(tmp_path):
    """A sample of them; all of them below."""
    pipe = loaded("emoji", tmp_path)
    found, silent, kinds = walk(pipe, most=150)
    assert silent == []
    assert found["tried"] == found["noticed"] > 300
    assert kinds > 20
    assert provenance.differences(pipe) == {}, "all was put back"
    sdnb.clear()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_no_change_of_any_attribute_is_silent_in_any_family(family, tmp_path, capsys):
    pipe = loaded(family, tmp_path)
    found, silent, kinds = walk(pipe)
    with capsys.disabled():
        print(f"\n{family:6} objects of {kinds} classes: {dict(found)}, silent {len(silent)}")
    assert silent == []
    assert found["tried"] == found["noticed"]
    assert provenance.differences(pipe) == {}, "all was put back"
    sdnb.clear()


def test_a_model_that_was_loaded_in_inference_mode_is_like_any_other(tmp_path):
    sdnb.clear()
    with torch.inference_mode():
        pipe = sdnb.load("emoji", device="cpu")
        inside = sdnb.generate("a fox", steps=2, seed=1, pipe=pipe, store=sdnb.Store(tmp_path))
    assert not any(weight.is_inference() for weight in pipe.unet.parameters())
    outside = sdnb.generate("a fox", steps=2, seed=1, pipe=pipe, store=False)
    assert np.array_equal(np.asarray(inside.image), np.asarray(outside.image))
    assert len(sdnb.Store(tmp_path)) == 1, "it was kept: the mode changes no number"
    assert provenance.differences(pipe) == {}
    sdnb.clear()


def test_what_a_notebook_puts_among_the_builtins_is_no_change(monkeypatch):
    """ipykernel sets input() anew in each cell, and a terminal keeps the last value."""
    sdnb.clear()
    pipe = sdnb.load("emoji", device="cpu")
    for name in ("input", "_", "get_ipython"):
        monkeypatch.setattr(builtins, name, lambda *_: "", raising=False)
    assert provenance.differences(pipe) == {}
    sdnb.clear()


@pytest.mark.parametrize("when", ["before it is made", "while it is made"])
def test_a_change_after_the_plan_was_checked_keeps_the_picture_out_of_the_store(when, tmp_path):
    sdnb.clear()
    pipe, store = sdnb.load("emoji", device="cpu"), sdnb.Store(tmp_path)
    making = execution.Making(sdnb.plan("a fox", seed=1, steps=2, pipe=pipe), store)

    def change():
        pipe.unet.conv_in.padding_mode = "circular"

    if when == "before it is made":
        change()
        list(making.go_on())
    else:
        list(making.go_on(on_call=change))
    [made] = making.finished()
    assert made.facts["changed"] == "unet.conv_in.padding_mode was 'zeros' and is 'circular'"
    assert len(store) == 0
    sdnb.clear()


def test_a_picture_asks_twice_and_one_from_the_store_once(tmp_path, monkeypatch):
    """Each time takes milliseconds: before, whether it is there, and after it was made."""
    sdnb.clear()
    pipe, store = sdnb.load("emoji", device="cpu"), sdnb.Store(tmp_path)
    real, asked = torch_state.unusual, []
    monkeypatch.setattr(torch_state, "unusual", lambda: asked.append(1) or real())
    for times in (2, 1):
        asked.clear()
        sdnb.generate("a fox", seed=1, steps=1, pipe=pipe, store=store)
        assert len(asked) == times
    sdnb.clear()


def another_class(module):
    """As tomesd patches blocks."""
    module.__class__ = type("Mine", (type(module),), {})


def another_meaning_of_a_word(pipe):
    """As scripts for textual inversion wrote it, past torch's count of changes."""
    pipe.text_encoder.get_input_embeddings().weight.data[5] = 1


def a_tokenizer_that_tells_capitals(pipe):
    pipe.tokenizer._tokenizer.normalizer = normalizers.NFC()


def entries_of_a_dict_of_its_own(pipe):
    pipe.unet.mine["scale"] = 2


CHANGES = {
    "the pipeline's class": another_class,
    "a block's class": lambda pipe: another_class(pipe.unet.mid_block),
    "a row of an embedding": another_meaning_of_a_word,
    "a tokenizer's normalizer": a_tokenizer_that_tells_capitals,
    "a defaultdict's entries": entries_of_a_dict_of_its_own,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_leaves_every_attribute_alone_is_noticed(change):
    sdnb.clear()
    pipe = sdnb.load("emoji", device="cpu")
    pipe.unet.mine = defaultdict(int)
    made = Fingerprint(pipe, provenance._ignored)
    assert made.differences(pipe) == {}
    CHANGES[change](pipe)
    assert made.differences(pipe)
    assert made.differences(pipe), "the second time, too"
    sdnb.clear()


def test_the_code_of_the_scheduler_that_a_picture_is_made_with_counts(tmp_path, monkeypatch):
    """Also of one that is not the pipeline's own, and was patched before anybody looked at it."""
    sdnb.clear()
    pipe, store = sdnb.load("emoji", device="cpu"), sdnb.Store(tmp_path)
    plain = diffusers.DEISMultistepScheduler.step
    fox = {"prompt": "a fox", "steps": 1, "seed": 1, "pipe": pipe, "store": store}
    with monkeypatch.context() as patch:
        patch.setattr(
            diffusers.DEISMultistepScheduler, "step", lambda *given, **named: plain(*given, **named)
        )
        made = sdnb.generate(**fox, scheduler="DEIS")
        assert "DEISMultistepScheduler.step" in made.facts["changed"]
        assert len(store) == 0
        sdnb.generate(**fox, scheduler="Euler")
        assert len(store) == 1
    sdnb.generate(**fox, scheduler="DEIS")
    assert len(store) == 2
    sdnb.clear()


def test_what_torch_adds_to_its_own_names_is_no_change(monkeypatch):
    """As importing torch._dynamo or torch.onnx does; and what is set to its default by name."""
    sdnb.clear()
    pipe = sdnb.load("emoji", device="cpu")
    assert provenance.differences(pipe) == {}
    monkeypatch.setattr(torch, "a_part_that_is_imported_late", object(), raising=False)
    torch.set_float32_matmul_precision("highest")
    assert provenance.differences(pipe) == {}
    sdnb.clear()


def test_a_changed_vae_is_noticed_where_the_pipelines_call_sets_its_vae(tmp_path):
    """SDXL's call moves its VAE (`self.vae = …`), which made it look like a run's own state."""
    pipe = loaded("SDXL", tmp_path)
    assert provenance.differences(pipe) == {}
    pipe.vae.use_slicing = True
    assert "vae.use_slicing" in provenance.differences(pipe)
