"""What leans on other libraries' internals or versions, each with its reason and a test."""

from __future__ import annotations

from packaging.version import Version


def dtype_keyword(diffusers: str) -> str:
    """How that version of diffusers calls the dtype; the other name is ignored or deprecated.

    Example:
        >>> dtype_keyword("0.39.0"), dtype_keyword("0.42.1")
        ('torch_dtype', 'dtype')
    """
    return "dtype" if Version(diffusers) >= Version("0.40") else "torch_dtype"
