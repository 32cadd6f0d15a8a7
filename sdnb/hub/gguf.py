"""The headers of GGUF files, which llama.cpp and ComfyUI write: the tensors, without reading one.

The format is at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import BinaryIO

from sdnb.hub import errors as hub_errors
from sdnb.hub import repository
from sdnb.hub.headers import Tensor

MAGIC = b"GGUF"
FIRST = 1_000_000  # bytes that are asked of the hub; eight times as many where that is not all
MOST = 100_000_000  # bytes of a header
# types of values by their numbers, as struct has them; 8 is a text, 9 a list
_VALUES = dict(enumerate(["B", "b", "H", "h", "I", "i", "f", "?", ".", ".", "Q", "q", "d"]))
_TEXT, _LIST = 8, 9
# what is no quantisation; all else diffusers keeps as bytes, of bfloat16 too
_NUMBERS = {0: "F32", 1: "F16"}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a GGUF file; those that are quantised have the dtype "U8".

    Raises:
        OSError: it is damaged, or git's pointer to the file.
    """
    if repository.is_pointer(path):
        raise repository.damaged(path)
    try:
        with path.open("rb") as file:
            return _tensors(file, path.stat().st_size)
    except (ValueError, EOFError) as error:
        raise repository.damaged(path, why=str(error)) from error


def of_file(found: repository.Listing) -> dict[str, Tensor]:
    """The tensors of a listing's one GGUF file, here or on the hub.

    Raises:
        OSError: the hub does not give it, or it is damaged.
    """
    [(name, size)] = found.files.items()
    at = repository.at(found, name)
    return read(at) if at else of_hub(found.source, name, found.commit, size)


def of_hub(hub_id: str, name: str, commit: str | None, size: int) -> dict[str, Tensor]:
    """The same of a file on the hub: requests for its first megabytes.

    Arguments:
        hub_id: the repository.
        name: of the file in it.
        commit: of the repository.
        size: of the file, in bytes.

    Raises:
        OSError: the hub does not give it, or it is damaged.
    """
    import huggingface_hub
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    model, much = f"{hub_id}/{name}", FIRST
    while True:
        try:
            response = get_session().get(
                huggingface_hub.hf_hub_url(hub_id, name, revision=commit),
                headers={**build_hf_headers(), "range": f"bytes=0-{min(much, size) - 1}"},
                timeout=20,
            )  # fmt: skip
            hf_raise_for_status(response)
        except hub_errors.library_errors() as error:
            raise hub_errors.explained(error, model) from error
        try:
            return _tensors(io.BytesIO(response.content), size)
        except (EOFError, ValueError) as error:
            if isinstance(error, ValueError) or much >= min(size, MOST):
                raise OSError(f"{model} is no whole GGUF file on the hub.") from error
            much *= 8


def _tensors(file: BinaryIO, size: int) -> dict[str, Tensor]:
    """Raises EOFError where there is too little of it, ValueError where it is none."""
    if _take(file, 4) != MAGIC:
        raise ValueError("it does not begin as GGUF files do")
    version, count, pairs = _numbers(file, "<IQQ")
    if version not in (2, 3) or count > 1_000_000 or pairs > 1_000_000:
        raise ValueError(f"it is GGUF of version {version}, and 2 and 3 are known")
    alignment = 32
    for _ in range(pairs):
        key = _text(file)
        [kind] = _numbers(file, "<I")
        value = _value(file, kind)
        if key == "general.alignment" and isinstance(value, int):
            alignment = value
    found = []
    for _ in range(count):
        name = _text(file)
        [dimensions] = _numbers(file, "<I")
        if dimensions > 8:
            raise ValueError(f"{name} has {dimensions} dimensions")
        shape = _numbers(file, f"<{dimensions}Q")[::-1]  # the fastest comes first in the file
        kind, offset = _numbers(file, "<IQ")
        found.append((name, shape, _NUMBERS.get(kind, "U8"), offset))
    start = -(-file.tell() // alignment) * alignment
    ends = [*sorted(offset for _, _, _, offset in found)[1:], size - start]
    end_of = dict(zip(sorted(offset for _, _, _, offset in found), ends))
    tensors = {}
    for name, shape, dtype, offset in found:
        tensor = Tensor(tuple(shape), dtype, end_of[offset] - offset)
        width = {"F32": 4, "F16": 2}.get(dtype, 0)
        if tensor.nbytes <= 0 or tensor.nbytes < tensor.numbers * width:
            raise ValueError("it is cut off")
        tensors[name] = tensor
    return tensors


def _value(file: BinaryIO, kind: int) -> object:
    if kind == _TEXT:
        return _text(file)
    if kind == _LIST:
        inner, length = _numbers(file, "<IQ")
        if inner in (_TEXT, _LIST):
            for _ in range(length):
                _value(file, inner)
        else:
            _take(file, length * struct.calcsize(_format(inner)))
        return None
    return _numbers(file, _format(kind))[0]


def _format(kind: int) -> str:
    if kind not in _VALUES or kind in (_TEXT, _LIST):
        raise ValueError(f"it has a value of the unknown type {kind}")
    return f"<{_VALUES[kind]}"


def _text(file: BinaryIO) -> str:
    [length] = _numbers(file, "<Q")
    return _take(file, length).decode("utf-8", "replace")


def _numbers(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, _take(file, struct.calcsize(form)))


def _take(file: BinaryIO, count: int) -> bytes:
    if count > MOST:
        raise ValueError("its header has no end")
    found = file.read(count)
    if len(found) < count:
        raise EOFError("it is cut off")
    return found


__all__ = ["of_file", "of_hub", "read"]
