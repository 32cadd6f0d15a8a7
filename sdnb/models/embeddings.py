"""Embeddings: words that a text encoder was taught by textual inversion, put into a pipeline.

https://huggingface.co/docs/diffusers/using-diffusers/textual_inversion_inference
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from sdnb.hub import contents, names, repository, resumable_download
from sdnb.settings import printable

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

# what `load` takes: a file, a folder or a hub id; or a dict of words and these, or of vectors
Given = Union[str, "os.PathLike[str]", Mapping[str, Any]]
LEARNED = "learned_embeds.safetensors"  # as diffusers' training writes it
NAMELESS = ("emb_params", "*")  # where a file has no word: AUTOMATIC1111 takes the file's name
# of the encoders that a file names, each with a part of the pipeline
ENCODERS = {"clip_l": "text_encoder", "clip_g": "text_encoder_2", "t5": "text_encoder_2"}


@dataclass(frozen=True)
class Embedding:
    """An embedding that is asked for.

    Attributes:
        source: a file, a folder or a hub id; of vectors that were given, their SHA-256.
        token: the word that stands for it in prompts; None: the one that it was saved with.
        vectors: (n, width), where they were given.
    """

    source: str
    token: str | None = None
    vectors: Any = field(default=None, compare=False, repr=False)

    @property
    def given(self) -> Any:
        """As `load` takes it."""
        source = self.source if self.vectors is None else self.vectors
        return source if self.token is None else {self.token: source}


def asked(given: Given | Iterable[Given] | None) -> tuple[Embedding, ...]:
    """What `load` was given, as a part of its request.

    Raises:
        ValueError: one is pickled, or no file, folder or hub id.
        FileNotFoundError: there is no such file.
        TypeError: it is none of what is taken.

    Example:
        >>> asked(["someone/eyes", {"<cat>": "someone/cat"}])
        (Embedding(source='someone/eyes', token=None), Embedding(source='someone/cat', \
token='<cat>'))
    """
    if given is None:
        return ()
    if isinstance(given, (str, os.PathLike, Mapping)):
        given = [given]
    found: list[Embedding] = []
    if not isinstance(given, Iterable):
        names.check_is_name(given)
    for each in given:
        if isinstance(each, Mapping):
            found += [_named(token, source) for token, source in each.items()]
        else:
            found.append(Embedding(names.place(each)))
    return tuple(found)


def _named(token: str, source: Any) -> Embedding:
    if isinstance(source, (str, os.PathLike)):
        return Embedding(names.place(source), token)
    if not hasattr(source, "detach"):
        raise TypeError(
            f"The embedding {token!r} is {type(source).__name__}: give a file, a hub id or a "
            "torch.Tensor of vectors."
        )
    vectors = source.detach().cpu().clone()
    said = hashlib.sha256(vectors.float().contiguous().numpy().tobytes()).hexdigest()
    return Embedding(said, token, vectors)


def put_in(pipe: DiffusionPipeline, wanted: Iterable[Embedding]) -> list[dict[str, Any]]:
    """Puts embeddings into a pipeline that nobody uses yet.

    Arguments:
        pipe: changed in place; where an embedding does not fit, not to be used any more.
        wanted: from `asked`.

    Returns:
        A fact for each: its word, where it came from, and which of its vectors went where.

    Raises:
        ValueError: one is of another family, or its word is one that the tokenizer has.
        OSError: the hub does not give one, or it is damaged.
    """
    if wanted and not hasattr(pipe, "load_textual_inversion"):
        raise ValueError(f"A {type(pipe).__name__} takes no embeddings: leave them out.")
    return [_put(pipe, each) for each in wanted]


def _put(pipe: DiffusionPipeline, wanted: Embedding) -> dict[str, Any]:
    if wanted.vectors is not None:
        tensors, fact = {str(wanted.token): wanted.vectors}, {"sha256": wanted.source}
        name = str(wanted.token)
    else:
        tensors, fact, name = _read(wanted.source)
    keys = list(tensors)
    if len(keys) == 1:
        name = name if keys[0] in NAMELESS or keys[0] in ENCODERS else keys[0]
    token = wanted.token or name
    places = {key: _place(pipe, token, key, tensors[key], len(keys) == 1) for key in keys}
    for key, part in places.items():
        vectors = tensors[key] if tensors[key].ndim > 1 else tensors[key][None]
        encoder = getattr(pipe, part)
        tokenizer = getattr(pipe, part.replace("text_encoder", "tokenizer"))
        if token in tokenizer.get_vocab() or f"{token}_1" in tokenizer.get_vocab():
            raise ValueError(
                f"The tokenizer knows {token!r} already: give the embedding another word, "
                f"embeddings=[{{'my-word': {fact.get('model', 'vectors')!r}}}]."
            )
        pipe.load_textual_inversion(vectors, token=token, tokenizer=tokenizer, text_encoder=encoder)
    return {"token": token, **fact, "parts": places}


def _read(source: str) -> tuple[dict[str, torch.Tensor], dict[str, Any], str]:
    """The vectors, where they are from, and the name that they have where they have no word."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path, file, commit = _fetched(source)
    if repository.is_pointer(path):
        raise repository.damaged(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise repository.damaged(path, source, commit is not None) from error
    fact = {"model": source if commit else str(path), "sha256": resumable_download.sha256(path)}
    fact |= {name: value for name, value in (("file", file), ("revision", commit)) if value}
    stem = path.stem if path.name != LEARNED else Path(source).name
    return tensors, fact, stem


def _fetched(source: str) -> tuple[Path, str, str | None]:
    """Where the file is; its name and its commit, where it is of a repository."""
    if names.is_file(source) and Path(source).is_file():
        return Path(source), "", None
    hub_id, name = names.split(source) if names.is_file(source) else (source, "")
    there = contents.of(hub_id, None, name, source)
    if not name:
        files = [n for n in there.files if n.endswith(names.ENDING)]
        if LEARNED in files:
            files = [LEARNED]
        if len(files) != 1:
            pickled = any(n.endswith(names.PICKLED) for n in there.files)
            has = f"has {', '.join(sorted(files)[:5])}: name one of them" if files else (
                "has a pickled embedding only, which can run any program when it is opened"
                if pickled else "has no embedding")  # fmt: skip
            raise ValueError(f"{source} {has}.")
        [name] = files
    found = there.listing([name], source)
    folder = repository.download(found, None)
    return folder / name, name if there.commit else "", there.commit


def _place(
    pipe: DiffusionPipeline, token: str, key: str, vectors: torch.Tensor, alone: bool
) -> str:
    """The text encoder that vectors are for.

    Raises:
        ValueError: none takes them.
    """
    widths = {
        name: part.get_input_embeddings().weight.shape[1]
        for name in ("text_encoder", "text_encoder_2")
        if (part := getattr(pipe, name, None)) is not None
    }
    width = vectors.shape[-1] if vectors.ndim in (1, 2) else 0
    part = ENCODERS.get(key)
    if part is None or alone:
        fitting = [name for name, each in widths.items() if each == width]
        part = part if part in fitting else next(iter(fitting), None)
    if part not in widths or widths[part] != width:
        takes = " and ".join(str(each) for each in dict.fromkeys(widths.values()))
        raise ValueError(
            f"The embedding {printable(token)!r} does not fit: its vectors ({key}) have {width} "
            f"numbers, and this model's text encoders take {takes}. It is for another family."
        )
    return part


__all__ = ["Embedding", "Given", "asked", "put_in"]
