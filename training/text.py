"""Stage 2: the tokenizer and the text encoder, sentences -> what they mean.

    python -m training text --steps 1500

A text encoder does not learn from the denoising loss alone in any time we have, so it first
learns to tell what a sentence means: who, how many, arranged how, where, in which light and
style. A small probe reads that off with the same kind of cross-attention as the denoiser's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training import run, world
from training.optimiser import Average, Optimiser
from training.run import DEVICE, WORK, ahead, autocast
from training.world.layouts import ARRANGEMENTS

WIDTH, LAYERS, LENGTH = 256, 4, 77
SHORT = 32  # places that every sentence of the world fits in; the first nine tenths learn in them
START, END = "<|startoftext|>", "<|endoftext|>"
NONE = "nothing"  # what a sentence does not say
ANSWERS = {
    "arrangement": ARRANGEMENTS,
    "place": [NONE, *world.PLACES, *world.PLAIN],
    "light": [NONE, *world.LIGHTS],
    "style": [NONE, *world.STYLES],
    "size": [NONE, "small", "large"],
    "first": [NONE, *world.NAMES],
    "second": [NONE, *world.NAMES],
    "first count": [0, 1, 2, 3, 4],
    "second count": [0, 1, 2, 3, 4],
}


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's byte-level BPE, trained until each word of the world is one token.

    Other words fall into pieces and letters, so every text has tokens.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, min_frequency=1, initial_alphabet=alphabet, end_of_word_suffix="</w>",
        show_progress=False,
    )  # fmt: skip
    bpe.train_from_iterator(world.vocabulary(), trainer)
    merges = [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]]
    tokens = alphabet + [c + "</w>" for c in alphabet] + ["".join(pair) for pair in merges]
    vocab = {t: i for i, t in enumerate(dict.fromkeys([*tokens, START, END]))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    tokenizer = CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=END, unk_token=END,
        bos_token=START, eos_token=END, model_max_length=LENGTH,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return tokenizer


def new(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Four layers of 256."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH,
            projection_dim=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=WIDTH // 64,
            max_position_embeddings=LENGTH, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def tokens(tokenizer: CLIPTokenizer, texts: list[str], length: int = LENGTH) -> torch.Tensor:
    """Token ids (B, 77), padded and cut as the pipeline does it."""
    return tokenizer(
        texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids.to(DEVICE)


class Probe(nn.Module):
    """Reads the answers off the text encoder's output by cross-attention from one query each."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(ANSWERS), WIDTH) * 0.1)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, len(a)) for a in ANSWERS.values())

    def forward(self, text: torch.Tensor) -> list[torch.Tensor]:
        queries = self.queries.expand(len(text), -1, -1)
        read, _ = self.attention(queries, text, text, need_weights=False)  # (B, questions, 256)
        return [head(read[:, i]) for i, head in enumerate(self.heads)]


def answers(scene: world.Scene) -> list[int]:
    """What the sentence of a scene means, as one class index a question."""
    (a, n), (b, m) = (*scene.kinds, (NONE, 0), (NONE, 0))[:2]
    size = next((word for word in ("small", "large") if word in scene.said), NONE)
    place = scene.place if "place" in scene.said or not scene.kinds else NONE
    light, style = (
        getattr(scene, each) if each in scene.said else NONE for each in ("light", "style")
    )
    values = (scene.arrangement, place, light, style, size, a, b, n, m)
    return [list(options).index(v) for options, v in zip(ANSWERS.values(), values)]


def encode(model: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """The embeddings that the pipeline gives the denoiser, (B, 77, 256)."""
    return model(ids).last_hidden_state


def train(steps: int = 1500, batch: int = 128, lr: float = 2e-3, until: int = 0) -> None:
    """Trains tokenizer, text encoder and probe, or goes on from the checkpoint."""
    if run.Run("text").done(steps):
        return
    torch.manual_seed(1)
    tokenizer = make_tokenizer(WORK / "tokenizer")
    both = nn.ModuleDict({"text": new(tokenizer), "probe": Probe()}).to(DEVICE)
    optimiser = Optimiser(both, lr=lr, muon_lr=lr, plain=("embed", "queries", "heads"))

    def logits(texts: list[str], length: int = LENGTH) -> list[torch.Tensor]:
        return both["probe"](encode(both["text"], tokens(tokenizer, texts, length)))

    def batches(first: int) -> Iterator[tuple[list[str], torch.Tensor]]:
        return ahead(partial(asked_at, size=batch), range(first, steps))

    def loss(step: int, given: tuple[list[str], torch.Tensor]) -> run.Loss:
        texts, truth = given
        truth = truth.to(DEVICE)
        with autocast():
            out = logits(texts, SHORT if step < 0.9 * steps else LENGTH)
        losses = [nn.functional.cross_entropy(x.float(), truth[:, i]) for i, x in enumerate(out)]
        right = [float((x.argmax(1) == truth[:, i]).float().mean()) for i, x in enumerate(out)]
        return sum(losses, torch.zeros((), device=DEVICE)), {"worst": min(right)}

    average = Average(both, horizon=max(8, min(200, steps / 8)))
    run.train("text", both, optimiser, average, steps, batches, loss, until=until)
    texts, truth = asked_at(-1, 256, held=True)
    with torch.no_grad():
        out = logits(texts)
    for i, (question, x) in enumerate(zip(ANSWERS, out)):
        right = float((x.argmax(1).cpu() == truth[:, i]).float().mean())
        print(f"held out, {question}: {right:.3f}", flush=True)


def asked_at(step: int, size: int, held: bool = False) -> tuple[list[str], torch.Tensor]:
    """The step's own sentences, and what they mean (size, questions)."""
    scenes = list(islice(world.scenes(2 * 10**6 + step, held=held), size))
    return [s.caption for s in scenes], torch.tensor([answers(s) for s in scenes])


def load() -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Tokenizer and text encoder as trained."""
    state = run.Run("text").load()
    if state is None:
        raise FileNotFoundError("No text encoder yet: run `python -m training text` first.")
    tokenizer = CLIPTokenizer.from_pretrained(WORK / "tokenizer")
    if "text" in state:  # adopted from an exported folder
        model = new(tokenizer)
        model.load_state_dict(state["text"])
        return tokenizer, model.to(DEVICE).eval()
    both = nn.ModuleDict({"text": new(tokenizer), "probe": Probe()})
    return tokenizer, run.averaged("text", both)["text"]
