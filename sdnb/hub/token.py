"""Where the hub's token comes from, and what to do where the hub does not accept it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PAGE = "https://huggingface.co"
VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # in the order in which the hub's client looks
FILE, SECRET = "the token file", "the Colab secret HF_TOKEN"


def source() -> str | None:
    """What the token comes from; None where there is no token.

    Returns:
        One of VARIABLES, FILE or SECRET. huggingface_hub looks in this order and takes the first.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict("os.environ", HF_TOKEN="hf_example"):
        ...     source()
        'HF_TOKEN'
    """
    from huggingface_hub import constants, get_token

    token = get_token()
    if not token:
        return None
    for name in VARIABLES:
        if os.environ.get(name, "").strip() == token:
            return name
    with suppress(OSError):
        if Path(constants.HF_TOKEN_PATH).read_text().strip():
            return FILE
    return SECRET


def fix(found: str | None) -> str:
    """What to do about a token that the hub does not accept: the end of a sentence.

    Arguments:
        found: from `source`.

    Example:
        >>> fix("HF_TOKEN")
        'put a new one, from https://huggingface.co/settings/tokens, into the environment \
variable HF_TOKEN, or remove it, and restart the kernel (a login does not replace it)'
    """
    if found in VARIABLES:
        return (
            f"put a new one, from {PAGE}/settings/tokens, into the environment variable {found}, "
            "or remove it, and restart the kernel (a login does not replace it)"
        )
    if found == SECRET:
        return (
            f"put a new one, from {PAGE}/settings/tokens, into {SECRET} and restart the session, "
            "or log in for this session with sdnb.notebook_login(force=True)"
        )
    return "log in again with sdnb.notebook_login(force=True)"
