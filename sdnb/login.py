"""Logging in to the Hugging Face hub, where that is needed and somebody is there to do it."""

from __future__ import annotations

import os
import sys

from sdnb import emoji, failures, loading
from sdnb.notices import notice


def notebook_login(force: bool = False) -> None:
    """Logs in to the Hugging Face hub; returns at once where a token is already there.

    A token is looked for where huggingface_hub looks: the environment (`HF_TOKEN`), the token
    file, a Colab secret. Whose it is is said; the token itself is never shown. Without one,
    huggingface_hub's own login opens; but not where the embedded model is used, which needs
    none, and not where nobody can answer (a script, CI, a notebook run by a program).

    Arguments:
        force: open the login in any case, for another account, or for a model that needs it.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict("os.environ", HF_TOKEN="hf_example"):
        ...     notebook_login()
    """
    import huggingface_hub

    if force:
        huggingface_hub.notebook_login(skip_if_logged_in=False)
    elif huggingface_hub.get_token():
        notice(f"Already logged in to the Hugging Face hub{_whose()}.")
    elif loading.default_model() == emoji.NAME:
        notice(
            "No login needed: sdnb's own model is used here. "
            "For models that need one: sdnb.notebook_login(force=True)."
        )
    elif not someone_can_answer():
        notice(
            "Not logged in, and there is nobody here to ask. For models that need it, set "
            "HF_TOKEN, or run `hf auth login` in a terminal."
        )
    else:
        huggingface_hub.notebook_login()


def _whose() -> str:
    """ " as NAME", if the hub can be asked."""
    import huggingface_hub

    try:
        return f" as {huggingface_hub.HfApi().whoami()['name']}"
    except failures.library_errors() as error:
        if failures.status_of(error) == 401:
            return (
                ", but the hub does not accept the token: make a new one at "
                f"{failures.PAGE}/settings/tokens"
            )
        return " (the hub cannot be reached to say as whom)"


def someone_can_answer() -> bool:
    """Whether a person sits at the notebook or the terminal; not where a program runs it."""
    if "CI" in os.environ:
        return False
    if "ipykernel" in sys.modules:
        from IPython import get_ipython

        # what a front end says with every cell: nbclient, nbval and papermill say no
        return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()
