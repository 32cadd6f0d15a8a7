"""Large files of the hub, fetched so that a broken download goes on where it broke."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sdnb import compat


def fetch(model: str, name: str, commit: str, size: int, digest: str) -> bool:
    """Fetches a file into the hub's cache, or the rest of it where an earlier call broke off.

    huggingface_hub deletes what a failed download left
    (https://github.com/huggingface/huggingface_hub/pull/4228). Here it stays beside the blobs, as
    *digest*.incomplete; the whole file becomes the blob, which snapshot_download then finds.

    Arguments:
        model: the hub id.
        name: of the file, such as "unet/diffusion_pytorch_model.safetensors".
        commit: of the repository.
        size: in bytes.
        digest: its SHA-256, which is the blob's name too.

    Returns:
        Whether it is here now and whole; False if it arrived damaged, and was removed.

    Raises:
        OSError: the hub or the disk fails; so do the errors of huggingface_hub's HTTP library.
    """
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import WeakFileLock

    cache = Path(constants.HF_HUB_CACHE)
    folder = compat.cache_folder(model)
    blob = cache / folder / "blobs" / digest
    part = blob.with_name(f"{digest}.incomplete")
    lock = cache / ".locks" / folder / f"{digest}.lock"
    for each in (blob, lock):
        each.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():  # another process was faster
            return True
        with part.open("ab") as file:
            if file.tell() > size:
                file.truncate(file.seek(0))
            compat.download(
                huggingface_hub.hf_hub_url(model, name, revision=commit), file, size, name
            )
        if sha256(part) != digest:
            part.unlink()
            return False
        part.replace(blob)
        return True


def sha256(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
