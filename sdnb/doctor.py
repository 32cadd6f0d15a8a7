"""python -m sdnb doctor: what this machine can do, and what to do about what it cannot."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from sdnb import emoji
from sdnb.hub import errors as hub_errors
from sdnb.hub import token as hub_token
from sdnb.models import cache, device, quantization

HOME = "set HF_HOME to a folder of yours on another disk and restart the kernel"
LATER = "ask again in a few minutes: python -m sdnb doctor"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `fix` says what to do, where something is wrong."""

    what: str
    value: str
    fix: str = ""

    def __str__(self) -> str:
        mark = "!" if self.fix else " "
        lines = [f"{mark} {self.what:<16} {self.value}"]
        return "\n".join([*lines, *([f"  {'':<16} -> {self.fix}"] if self.fix else [])])


def examine() -> Iterator[Finding]:
    """Looks at one thing after another.

    Example:
        >>> {finding.what for finding in examine()} >= {"device", "dtype", "hub", "token"}
        True
    """
    yield Finding("python", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield from _packages()
    yield from _together()
    yield from _device()
    yield from _disk()
    yield from _hub()
    if not _without_torch():
        default = cache.default_model()
        yield Finding("default model", default + (" (embedded)" if default == emoji.NAME else ""))


def _together() -> Iterator[Finding]:
    """The three that have to move together: an old transformers does not import beside a new hub.

    `pip install -U diffusers` brings huggingface_hub 2, which transformers 5.15 (Colab's) refuses
    as it is imported.
    """
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        three = "diffusers", "transformers", "huggingface_hub"
        found = ", ".join(f"{name} {_version(name)}" for name in three)
        why = str(error).strip().splitlines()[0] if str(error).strip() else "it does not say why"
        yield Finding(
            "together", f"transformers cannot be imported ({found}): {why}",
            f"these three move together: pip install -U {' '.join(three)}; restart the kernel",
        )  # fmt: skip


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _packages() -> Iterator[Finding]:
    """The installed versions, against the ranges that this package asks for."""
    try:
        wanted = [Requirement(text) for text in requires("sdnb") or []]
    except PackageNotFoundError:  # used from a folder, without being installed
        wanted = []
    for each in wanted:
        needed = each.marker is None or each.marker.evaluate({"extra": ""})
        if not needed and each.name not in ("ipywidgets", "matplotlib"):
            continue
        try:
            found = version(each.name)
        except PackageNotFoundError:
            if needed:
                yield Finding(each.name, "missing", f'pip install "{each.name}{each.specifier}"')
            continue
        fits = each.specifier.contains(found, prereleases=True)
        fix = "" if fits else f'pip install "{each.name}{each.specifier}"'
        yield Finding(each.name, found, fix)


def _without_torch() -> str:
    """Why torch cannot be imported; empty where it can."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:  # an OSError where one of its libraries is missing
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ""


def _device() -> Iterator[Finding]:
    if why := _without_torch():
        fix = "install it anew: pip install --force-reinstall torch; then restart the kernel"
        yield Finding("device", f"unknown, torch cannot be imported: {why}", fix)
        return
    import torch

    where = device.best()
    name = torch.cuda.get_device_name() if where == "cuda" else platform.processor() or "CPU"
    yield Finding("device", f"{where} ({name}, {os.cpu_count()} CPU cores)")
    if torch.cuda.is_available() and (why := device.too_old()):
        yield Finding("GPU", "there, and not used", why)
    free = device.free_memory(where) / 1e6
    small = "close other notebooks: Stable Diffusion v1-4 takes about 3,000 MB in half precision"
    yield Finding("free memory", f"{free:,.0f} MB", small if free < 3000 else "")
    dtype, why = device.why_dtype(where)
    yield Finding("dtype", f"{dtype}: {why}")
    yield Finding("quantize", ", ".join(quantization.usable(where)))


def _disk() -> Iterator[Finding]:
    import shutil

    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    folder = Path(constants.HF_HUB_CACHE)
    try:
        found = scan_cache_dir(folder)
        size, models = found.size_on_disk, len(found.repos)
    except (CacheNotFound, ValueError):
        size, models = 0, 0
    yield Finding("model cache", f"{models} models, {size / 1e6:,.0f} MB in {folder}")
    there = next(p for p in [folder, *folder.parents] if p.exists())
    free = shutil.disk_usage(there).free / 1e6
    small = f"make room, or {HOME}: Stable Diffusion v1-4 takes 2,800 MB"
    yield Finding("free disk", f"{free:,.0f} MB", small if free < 4000 else "")
    if not os.access(there, os.W_OK):
        yield Finding("cache folder", "cannot be written", HOME)


def _hub() -> Iterator[Finding]:
    import huggingface_hub
    from huggingface_hub.utils import get_session, hf_raise_for_status

    token = huggingface_hub.get_token()
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        yield Finding("hub", "not asked: HF_HUB_OFFLINE is set (to download, unset it and restart)")
        yield Finding("token", "there" if token else "none")
        return
    api = huggingface_hub.HfApi()
    try:
        # not by list_models, which goes on trying for half a minute
        hf_raise_for_status(get_session().get(f"{api.endpoint}/api/models?limit=1", timeout=20))
    except hub_errors.library_errors() as error:
        status = hub_errors.status_of(error)
        value = f"answers with status {status}" if status else "cannot be reached"
        yield Finding("hub", f"{api.endpoint} {value}", "go online, or use sdnb.load('emoji')")
        yield Finding("token", "there" if token else "none")
        return
    yield Finding("hub", f"{api.endpoint} can be reached")
    if not token:
        yield Finding(
            "token", "none; needed only for gated models: sdnb.notebook_login(force=True)"
        )
        return
    try:
        yield Finding("token", f"of {api.whoami()['name']}")
    except hub_errors.library_errors() as error:
        status = hub_errors.status_of(error)
        if status == 401:
            found = hub_token.source()
            yield Finding("token", f"from {found}: not accepted", hub_token.fix(found))
        else:
            says = f"it answers with status {status}" if status else "it cannot be reached"
            rights = f"see what it may do at {hub_token.PAGE}/settings/tokens"
            fix = rights if status == 403 else LATER
            yield Finding("token", f"there; the hub does not say whose: {says}", fix)
