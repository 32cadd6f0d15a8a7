"""The headers of safetensors files: names, shapes, dtypes of the tensors, not their values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdnb.hub import errors as hub_errors
from sdnb.hub import repository


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape, its dtype as safetensors names it, such as "F16", and its bytes there."""

    shape: tuple[int, ...]
    dtype: str
    nbytes: int = 0

    @property
    def numbers(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by its header.

    Raises:
        OSError: it is damaged, or git's pointer to the file.

    Example:
        >>> from sdnb import emoji
        >>> tensors = read(emoji.FOLDER / "unet" / "diffusion_pytorch_model.safetensors")
        >>> tensors["conv_in.bias"].dtype
        'F16'
    """
    if repository.is_pointer(path):
        raise repository.damaged(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            whole = json.loads(file.read(min(length, 100_000_000)))
            end = max((t["data_offsets"][1] for n, t in whole.items() if n != "__metadata__"))
        if path.stat().st_size != 8 + length + end:
            raise ValueError("it is cut off")
        return {
            name: Tensor(tuple(tensor["shape"]), tensor["dtype"], _span(tensor["data_offsets"]))
            for name, tensor in whole.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise repository.damaged(path) from error


def of_hub(hub_id: str, name: str, commit: str | None) -> dict[str, Tensor]:
    """The same of a file on the hub: a request for its first 100 kB.

    Raises:
        OSError: the hub does not give it, or it is damaged.
    """
    import huggingface_hub

    model = f"{hub_id}/{name}"
    try:
        header = huggingface_hub.HfApi().parse_safetensors_file_metadata(
            hub_id, name, revision=commit
        )
    except huggingface_hub.errors.SafetensorsParsingError as error:
        raise OSError(f"{model} is no whole safetensors file on the hub.") from error
    except hub_errors.library_errors() as error:
        raise hub_errors.explained(error, model) from error
    return {
        n: Tensor(tuple(t.shape), str(t.dtype), _span(t.data_offsets))
        for n, t in header.tensors.items()
    }


def of_file(found: repository.Listing) -> dict[str, Tensor]:
    """The tensors of a listing's one safetensors file, here or on the hub.

    Raises:
        OSError: the hub does not give it, or it is damaged.
    """
    [name] = found.files
    at = repository.at(found, name)
    return read(at) if at else of_hub(found.source, name, found.commit)


def of_listing(found: repository.Listing) -> dict[str, dict[str, Tensor]]:
    """The tensors of each part's weights: by the headers of their files, here or there.

    Where a header cannot be read, the size of the file stands for them.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for name, size in found.files.items():
        if not name.endswith((".safetensors", ".bin")):
            continue
        guess = {name: Tensor((size // (2 if found.variant in ("fp16", "bf16") else 4),), "", size)}
        if name.endswith(".safetensors"):
            with suppress(OSError):
                at = repository.at(found, name)
                guess = read(at) if at else of_hub(found.source, name, found.commit)
        parts.setdefault(name.partition("/")[0], {}).update(guess)
    return parts


def _span(offsets: Sequence[int]) -> int:
    return offsets[1] - offsets[0]
