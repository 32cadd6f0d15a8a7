"""Logging in to the Hugging Face hub, where that is needed and somebody is there to do it."""

from __future__ import annotations

from sdnb import emoji, interactive
from sdnb.hub import errors as hub_errors
from sdnb.hub import token as hub_token
from sdnb.log import notice
from sdnb.models import cache


def notebook_login(force: bool = False) -> None:
    """Logs in to the Hugging Face hub; returns at once where a token is already there.

    A token is looked for where huggingface_hub looks: the environment (`HF_TOKEN`), the token
    file, a Colab secret. Whose it is is logged; the token itself never. Without one, and
    where the hub does not accept it, huggingface_hub's own login opens; but not where the embedded
    model is used, which needs none, and not where nobody can answer (a script, CI, a notebook run
    by a program). A token in the environment goes before any login: what to change there is logged.

    Arguments:
        force: open the login in any case, for another account, or for a model that needs it.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict("os.environ", HF_TOKEN="hf_example"):
        ...     notebook_login()
    """
    import huggingface_hub

    found = hub_token.source()
    if force:
        if found in hub_token.VARIABLES:
            notice(
                f"The environment variable {found} goes before the login: remove it and restart "
                "the kernel, so that the new token is used."
            )
        huggingface_hub.notebook_login(skip_if_logged_in=False)
    elif found:
        status, name = _whose()
        if status != 401:
            notice(f"Already logged in to the Hugging Face hub{name}.")
        elif found in hub_token.VARIABLES or not interactive.someone_can_answer():
            notice(f"The hub does not accept the token that is here: {hub_token.fix(found)}.")
        else:
            notice(f"The hub does not accept the token from {found}, so its login opens.")
            huggingface_hub.notebook_login(skip_if_logged_in=False)
    elif cache.default_model() == emoji.NAME:
        notice(
            "No login needed: sdnb's own model is used here. "
            "For models that need one: sdnb.notebook_login(force=True)."
        )
    elif not interactive.someone_can_answer():
        notice(
            "Not logged in, and there is nobody here to ask. For models that need it, set "
            "HF_TOKEN, or run `hf auth login` in a terminal."
        )
    else:
        huggingface_hub.notebook_login()


def _whose() -> tuple[int | None, str]:
    """What the hub answers about the token: a status where it is an error, and " as NAME"."""
    import huggingface_hub

    try:
        return None, f" as {huggingface_hub.HfApi().whoami()['name']}"
    except hub_errors.library_errors() as error:
        status = hub_errors.status_of(error)
        if status:
            return status, f" (as whom, the hub does not say: it answers with status {status})"
        return None, " (the hub cannot be reached to say as whom)"
