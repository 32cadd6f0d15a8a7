"""What a failing hub means in the user's words, and the one thing to do next."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from sdnb import compat
from sdnb.hub import token as hub_token
from sdnb.hub.token import PAGE

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # errors of a full disk
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def explained(
    error: BaseException, model: str, revision: str | None = None, downloading: bool = False
) -> OSError:
    """The library's error in the user's words: what happened, and the one thing to do next.

    Returns:
        A PermissionError, FileNotFoundError, ConnectionError or OSError.
    """
    chain = list(_causes(error))
    if not _status(chain) and not unreachable(error) and (full := _disk(error, model)):
        return full
    return (
        _of_access(chain, model, revision)
        or _of_the_hub(chain, model)
        or _of_the_network(error, chain, model, downloading)
        or OSError(f"{model} could not be loaded: {reason(error)}")
    )


def _of_access(
    chain: list[BaseException], model: str, revision: str | None
) -> PermissionError | FileNotFoundError | None:
    """The hub does not give that model, or that revision of it, to this token."""
    from huggingface_hub import errors, get_token

    page, status, says = f"{PAGE}/{model}", _status(chain), _says(chain)
    if _among(chain, errors.GatedRepoError):
        if "fine-grained" in says:
            return PermissionError(
                f"Your token may not read gated models such as {model}: allow it to at "
                f"{PAGE}/settings/tokens (read access to public gated repositories)."
            )
        if not get_token():
            return PermissionError(
                f"{model} is gated: accept its terms at {page}, then log in with "
                "sdnb.notebook_login(force=True)."
            )
        return PermissionError(
            f"{model} is gated, and your account has no access yet: accept its terms at {page}."
        )
    invalid = "Invalid credentials" in says or "Invalid username" in says
    if status == 401 and invalid and get_token():
        return PermissionError(
            "The hub does not accept your token: it is mistyped or has expired. To go on, "
            f"{hub_token.fix(hub_token.source())}."
        )
    if _among(chain, errors.RevisionNotFoundError):
        return FileNotFoundError(
            f"{model} has no revision {revision!r}: its branches are at {page}/tree/main."
        )
    if _among(chain, errors.RepositoryNotFoundError) or status == 401:
        if get_token():
            return FileNotFoundError(
                f"There is no model {model} that your account can see: check its name at {page}."
            )
        return FileNotFoundError(
            f"There is no model {model} on the hub, or it is private: check its name at {page}; "
            "if it is private, log in first with sdnb.notebook_login(force=True)."
        )
    if status == 403:
        return PermissionError(
            f"The hub refuses {model} to your token: see what the token may do at "
            f"{PAGE}/settings/tokens."
        )
    return None


def _of_the_hub(chain: list[BaseException], model: str) -> ConnectionError | None:
    """The hub answers that it cannot serve just now."""
    status = _status(chain)
    if status == 429:
        return ConnectionError(
            f"The hub has had too many requests from here{_retry_after(chain)}. "
            "Wait, then load again; with a login it allows more."
        )
    if status and status >= 500:
        return ConnectionError(
            f"The hub has a fault of its own (status {status}): load {model} again in a few "
            "minutes. What has been downloaded is kept."
        )
    return None


def _of_the_network(
    error: BaseException, chain: list[BaseException], model: str, downloading: bool
) -> ConnectionError | None:
    """The hub cannot be reached, or must not be asked."""
    from huggingface_hub import constants, errors

    broken = unreachable(error) or "Consistency check failed" in _says(chain)
    if downloading and broken:
        return ConnectionError(
            f"The download of {model} broke off: load it again. What has been downloaded is kept."
        )
    forbidden = os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES
    if _among(chain, errors.OfflineModeIsEnabled) or forbidden:
        return ConnectionError(
            f"{model} is not in the cache, and HF_HUB_OFFLINE forbids to download it: unset it "
            "and restart the kernel."
        )
    if unreachable(error):
        return ConnectionError(
            f"The hub cannot be reached, and {model} is not in the cache: is this machine online? "
            "sdnb.load('emoji') needs no network."
        )
    return None


def _among(chain: list[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(error, kind) for error in chain)


def _status(chain: list[BaseException]) -> int | None:
    return next((status for error in chain if (status := status_of(error))), None)


def _says(chain: list[BaseException]) -> str:
    return " ".join(str(getattr(error, "server_message", None) or error) for error in chain)


def _disk(error: BaseException, model: str) -> OSError | None:
    """What the disk says, if it is the disk that failed."""
    from huggingface_hub import constants

    number = errno_of(error)
    if number in FULL:
        return OSError(
            f"The disk is too full for {model}, which is to go to {constants.HF_HUB_CACHE}. Make "
            "room there, or set HF_HOME to a folder on another disk."
        )
    if number in UNUSABLE:
        return PermissionError(
            f"{model} cannot be kept in {constants.HF_HUB_CACHE} ({os.strerror(number)}): set "
            "HF_HOME to a folder of yours, and restart Python."
        )
    return None


def reason(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def library_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises: OSErrors, and its HTTP library's errors."""
    from huggingface_hub import errors

    return (OSError, compat.http_library().HTTPError, errors.EntryNotFoundError)


def unreachable(error: BaseException) -> bool:
    """Whether the connection failed, or the hub itself, and not what was asked of it."""
    status = status_of(error)
    if status:
        return status >= 500 or status == 429
    from huggingface_hub import errors

    transport = compat.http_library().TransportError
    network = errors.OfflineModeIsEnabled, TimeoutError, ConnectionError, transport
    return any(isinstance(cause, network) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a library's error carries, such as 404; None where it has none."""
    return getattr(getattr(error, "response", None), "status_code", None)


def errno_of(error: BaseException) -> int | None:
    """The system's number of an error or of what caused it, such as `errno.ENOSPC`; or None."""
    return next((n for e in _causes(error) if (n := getattr(e, "errno", None))), None)


def _retry_after(chain: list[BaseException]) -> str:
    headers = [getattr(getattr(e, "response", None), "headers", {}) for e in chain]
    seconds = next((h["Retry-After"] for h in headers if "Retry-After" in h), "")
    return f" (it asks to wait {seconds} seconds)" if seconds else ""
