"""Stage 2: the tokenizer and the text encoder, sentences -> what they mean.

    python -m training text --steps 700        # 4 minutes on two cores

A text encoder does not learn from the denoising loss alone in any time we have, so it first
learns to tell what a sentence means: who, how many, arranged how, on which background. A small
probe reads that off with the same kind of cross-attention as the denoiser's.
"""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from training import world
from training.optimiser import Optimiser
from training.run import DEVICE, WORK, Run, autocast, cosine

WIDTH, LENGTH = 192, 77
START, END = "<|startoftext|>", "<|endoftext|>"
NONE = "nothing"
ANSWERS = {
    "arrangement": world.ARRANGEMENTS,
    "background": [NONE, *world.BACKGROUNDS],
    "first": world.NAMES,
    "second": [NONE, *world.NAMES],
    "first count": [1, 2, 3, 4],
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
    """Three layers of 192."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=4 * WIDTH,
            projection_dim=WIDTH, num_hidden_layers=3, num_attention_heads=WIDTH // 64,
            max_position_embeddings=LENGTH, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def tokens(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token ids (B, 77), padded and cut as the pipeline does it."""
    return tokenizer(
        texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids.to(DEVICE)


class Probe(nn.Module):
    """Reads the answers off the text encoder's output by cross-attention from one query each."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(ANSWERS), WIDTH) * 0.1)
        self.attention = nn.MultiheadAttention(WIDTH, 3, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(WIDTH, len(a)) for a in ANSWERS.values())

    def forward(self, text: torch.Tensor) -> list[torch.Tensor]:
        queries = self.queries.expand(len(text), -1, -1)
        read, _ = self.attention(queries, text, text, need_weights=False)  # (B, 6, 192)
        return [head(read[:, i]) for i, head in enumerate(self.heads)]


def answers(scene: world.Scene) -> list[int]:
    """What the sentence of a scene means, as one class index a question."""
    (a, n), (b, m) = (*scene.kinds, (NONE, 0))[:2]
    values = (scene.arrangement, scene.background or NONE, a, b, n, m)
    return [list(options).index(v) for options, v in zip(ANSWERS.values(), values)]


def encode(model: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """The embeddings that the pipeline gives the denoiser, (B, 77, 192)."""
    return model(ids).last_hidden_state


def train(steps: int = 700, batch: int = 128, lr: float = 2e-3) -> None:
    """Trains tokenizer and text encoder; a checkpoint at the end only, it takes minutes."""
    torch.manual_seed(1)
    run = Run("text")
    if run.load():
        return
    tokenizer = make_tokenizer(WORK / "tokenizer")
    model, probe = new(tokenizer).train(), Probe()
    both = nn.ModuleDict({"text": model, "probe": probe}).to(DEVICE)
    optimiser = Optimiser(both, lr=lr, muon_lr=lr, plain=("embed", "queries", "heads"))
    stream = world.scenes(seed=2)
    started = time.monotonic()
    for step in range(steps):
        scenes = list(islice(stream, batch))
        truth = torch.tensor([answers(s) for s in scenes], device=DEVICE)  # (B, 6)
        with autocast():
            logits = probe(encode(model, tokens(tokenizer, [s.caption for s in scenes])))
        loss = sum(
            nn.functional.cross_entropy(x.float(), truth[:, i]) for i, x in enumerate(logits)
        )
        loss.backward()
        optimiser.step(cosine(step, steps))
        if step % 50 == 0 or step == steps - 1:
            right = [
                float((x.argmax(1) == truth[:, i]).float().mean()) for i, x in enumerate(logits)
            ]
            run.log(
                step=step, loss=loss.item(), worst=min(right), seconds=time.monotonic() - started
            )
    scenes = list(islice(world.scenes(seed=3, held=True), 1000))
    truth = torch.tensor([answers(s) for s in scenes], device=DEVICE)
    with torch.no_grad():
        logits = probe(encode(model.eval(), tokens(tokenizer, [s.caption for s in scenes])))
    for i, (question, x) in enumerate(zip(ANSWERS, logits)):
        print(f"held out, {question}: {float((x.argmax(1) == truth[:, i]).float().mean()):.3f}")
    run.save({"text": model.state_dict(), "probe": probe.state_dict()})


def load() -> tuple[CLIPTokenizer, CLIPTextModel]:
    """Tokenizer and text encoder as trained."""
    state = Run("text").load()
    if state is None:
        raise FileNotFoundError("No text encoder yet: run `python -m training text` first.")
    tokenizer = CLIPTokenizer.from_pretrained(WORK / "tokenizer")
    model = new(tokenizer).to(DEVICE)
    model.load_state_dict(state["text"])
    return tokenizer, model.eval()
