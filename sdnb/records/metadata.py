"""Settings in the picture's file, and back.

A PNG carries three texts: AUTOMATIC1111's `parameters` (what other programs read), our own JSON
(`sdnb`, lossless), and XMP that says a trained model made it (IPTC's digital source type,
https://cv.iptc.org/newscodes/digitalsourcetype/). JPEG and WebP carry the first in EXIF's comment,
as AUTOMATIC1111 has it, and the second within the XMP. No file names a folder of this machine.
"""

from __future__ import annotations

import errno
import html
import io
import json
import os
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import quoteattr

from PIL import Image, PngImagePlugin

from sdnb.files import check_folder, replacing, without_folder
from sdnb.image_file import decoding, opening
from sdnb.records import exif, other_programs
from sdnb.records.a1111 import from_a1111, to_a1111
from sdnb.records.fact_schema import check
from sdnb.settings import Settings

FORMAT = 1
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MIXED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")  # of those that Pillow opens: some others run programs

XMP = "XML:com.adobe.xmp"  # the name of a PNG's text
READ = ("sdnb", "parameters", XMP, *other_programs.TEXTS)
NEEDED = set(READ) - {"workflow"}  # ComfyUI's prompt says all of its workflow that is read
ENDINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
SEGMENT = 65_000  # bytes that a JPEG has for EXIF, and as many for XMP

Record = tuple[Settings, dict[str, Any]]  # settings, facts


def save(image: Image.Image, path: str | os.PathLike[str], records: Sequence[Record]) -> Path:
    """Writes a picture with the settings and facts of what it shows.

    Arguments:
        image: the picture.
        path: a file ending in .png, .webp (both lossless), .jpg or .jpeg (quality 95); an existing
            one is replaced, whole or not at all.
        records: settings and facts of each sample in the picture: one, or a sheet's, row by row.
            Those of pictures from elsewhere (`Sheet.beside`) hold nothing, and are left out.

    Returns:
        The path.

    Raises:
        ValueError: the path has another ending.
        OSError: the file cannot be written, or the texts are more than a reader takes; nothing
            half-written is left.
    """
    path = check_writable(path)
    kind = ENDINGS[path.suffix.lower()]
    if kind == "PNG":
        return save_png(image, path, records)
    options: dict[str, Any] = {"quality": 95, "subsampling": 0}
    if kind == "WEBP":
        options = {"lossless": True}
    records = [(s, portable(f)) for s, f in records if not f.get("elsewhere")]
    if records:
        comment = exif.written(to_a1111(*records[0]))
        xmp = to_xmp(records[0][0].strength is not None, to_json(records)).encode()
        if kind == "JPEG" and max(len(comment), len(xmp)) > SEGMENT:
            raise OSError(
                errno.EFBIG,
                f"its settings are {max(len(comment), len(xmp)) // 1000} kB of text, and a JPEG "
                f"has room for {SEGMENT // 1000}: let its name end in .png or .webp",
                str(path),
            )
        options |= {"exif": comment, "xmp": xmp}
    with replacing(path, *ENDINGS) as part:
        image.convert("RGB").save(part, format=kind, **options)
    return path


def save_png(image: Image.Image, path: str | os.PathLike[str], records: Sequence[Record]) -> Path:
    """As `save`, for a file ending in .png.

    Raises:
        ValueError: the path does not end in .png.
        OSError: as `save`.
    """
    path = check_writable(path)
    info = PngImagePlugin.PngInfo()
    records = [(s, portable(f)) for s, f in records if not f.get("elsewhere")]
    texts = {"parameters": to_a1111(*records[0]), "sdnb": to_json(records)} if records else {}
    size, most = sum(len(text.encode()) for text in texts.values()), PngImagePlugin.MAX_TEXT_MEMORY
    if size > most - 1000:  # there is XMP too
        raise OSError(
            errno.EFBIG,
            f"its settings are {size / 1e6:,.0f} MB of text, and a PNG is read with "
            f"{most / 1e6:,.0f} MB at most",
            str(path),
        )
    # tEXt is Latin-1 only and AUTOMATIC1111 writes iTXt for the rest; Pillow chooses likewise
    if records:
        info.add_text("parameters", texts["parameters"])
        info.add_itxt("sdnb", texts["sdnb"])
        info.add_itxt(XMP, to_xmp(records[0][0].strength is not None))
    # zlib looking for runs alone writes a picture three times as fast and as small; a sheet has
    # labels on flat paper, so for that Pillow's own choice stays
    strategy = zlib.Z_RLE if len(records) == 1 else -1
    with replacing(path, ".png") as part:
        image.save(part, format="PNG", pnginfo=info, compress_type=strategy)
    return path


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a picture can be written there; asked before long work, not after it.

    Raises:
        ValueError: it does not end as a format that is written, or is a folder.
        OSError: the folder is missing or may not be written.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"{path} does not end in .png, .jpg or .webp, which are written.")
    check_folder(path)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"Cannot write {path}: the folder {path.parent} is read-only.")
    return path


def read(
    path: str | os.PathLike[str] | IO[bytes], name: str = ""
) -> tuple[Image.Image, list[Record]]:
    """A picture and what it was made from: our own record, or else another program's.

    Arguments:
        path: a file, or one that is open: PNG, JPEG or WebP.
        name: what errors call it; the path unless given.

    Returns:
        The picture (RGB) and one (settings, facts) a sample in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, or carries no settings.
        ModuleNotFoundError: it is another program's, and sd-parsers is not installed.
    """
    name = name or str(path)
    with opening(path, name, FORMATS, NEEDED) as opened:
        texts = texts_of(opened)
        with decoding(name):
            image = opened.convert("RGB")
    records = _records(texts, name)
    settings, facts = records[0]
    if "sdnb" not in texts and settings.width is None and image.width % 8 == image.height % 8 == 0:
        records = [(settings.but(width=image.width, height=image.height), facts)]
    return image, records


def texts_of(picture: Image.Image) -> dict[str, str]:
    """The texts in an opened picture that may say how it was made, by the names that PNGs use."""
    found = {k: str(v) for k, v in picture.info.items() if k in READ and k != XMP}
    if "sdnb" in found:
        return found
    xmp = picture.info.get("xmp", b"")
    if isinstance(xmp, bytes) and (match := re.search(rb'sdnb:record="([^"]*)"', xmp)):
        found["sdnb"] = html.unescape(match[1].decode("utf-8", "replace"))
    return exif.texts(picture) | found


def _records(texts: Mapping[str, str], name: object) -> list[Record]:
    """What is read from the texts of a file."""
    if "sdnb" in texts:
        return from_json(texts["sdnb"], name)
    if other_programs.program(texts):
        return [other_programs.read(texts)]
    if "parameters" in texts:
        return [from_a1111(texts["parameters"])]
    raise ValueError(
        f"{name} carries no settings: neither sdnb nor a program whose form it reads has saved it."
    )


def prompt_of(picture: Any) -> str | None:
    """The prompt that a picture carries, in our own record or another program's.

    Arguments:
        picture: a PIL picture as it was opened, a file, its content, or what has such a picture as
            its `image`; anything else that holds a picture carries no text.

    Returns:
        None where it carries none, or several, as a sheet may.

    Raises:
        FileNotFoundError: there is no such file.

    Example:
        >>> opened = Image.new("RGB", (64, 64))
        >>> prompt_of(opened)
        >>> opened.info["parameters"] = "a fox\\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 1"
        >>> prompt_of(opened)
        'a fox'
    """
    picture = getattr(picture, "image", picture)
    try:
        if isinstance(picture, Image.Image):
            records = _records(texts_of(picture), "The picture")
        elif isinstance(picture, (str, os.PathLike)):
            records = read(Path(picture).expanduser())[1]
        elif isinstance(picture, bytes):
            records = read(io.BytesIO(picture), "The picture")[1]
        elif hasattr(picture, "read"):
            records = read(picture, "The picture")[1]
        else:
            return None
    except (ValueError, ModuleNotFoundError):  # no picture, no settings, or damaged ones
        return None
    prompts = {settings.prompt for settings, _ in records}
    return prompts.pop() if len(prompts) == 1 else None


def portable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts as files have them: of a folder or file of this machine only its own name.

    Example:
        >>> portable({"model": "/home/ada/dream", "start": {"image_file": "/home/ada/a.png"}})
        {'model': 'dream', 'start': {'image_file': 'a.png'}}
    """
    facts = dict(facts)
    facts = _without_folders(facts)
    if isinstance(vae := facts.get("vae"), Mapping):
        facts["vae"] = _without_folders(vae)
    if isinstance(each := facts.get("embeddings"), list):
        facts["embeddings"] = [_without_folders(e) if isinstance(e, Mapping) else e for e in each]
    if isinstance(loras := facts.get("lora"), Mapping):
        facts["lora"] = {
            name: {**lora, "source": without_folder(lora["source"])} for name, lora in loras.items()
        }
    if isinstance(start := facts.get("start"), Mapping):
        facts["start"] = {
            k: re.split(r"[/\\]", v)[-1] if k.endswith("file") and isinstance(v, str) else v
            for k, v in start.items()
        }
    if isinstance(facts.get("error"), str):
        facts["error"] = _PATH.sub(lambda path: without_folder(path[0]), facts["error"])
    return facts


def _without_folders(facts: Mapping[str, Any]) -> dict[str, Any]:
    named = {k: facts[k] for k in ("model", "config") if isinstance(facts.get(k), str)}
    return {**facts, **{name: without_folder(value) for name, value in named.items()}}


_PATH = re.compile(
    r"(?<![\w.:/])/(?:[\w.+~-]+/)+[\w.+~-]+|\b[A-Za-z]:\\(?:[^\s'\"\\]+\\)*[^\s'\"\\]+"
)


# ---------------------------------------------------------------- our own JSON


def to_json(records: Sequence[Record]) -> str:
    """Lossless: every field of every sample's settings and facts."""
    samples = [{"settings": s.to_dict(), "facts": f} for s, f in records]
    return json.dumps({"format": FORMAT, "samples": samples}, ensure_ascii=False)


def from_json(text: str, path: object = "The file") -> list[Record]:
    """What `to_json` wrote.

    Raises:
        ValueError: the text is damaged or of a newer format.
    """
    try:
        whole = json.loads(text)
        if whole["format"] > FORMAT:
            raise ValueError(f"a newer sdnb wrote them (format {whole['format']})")
        samples = [(Settings.from_dict(s["settings"]), s["facts"].copy()) for s in whole["samples"]]
        if not samples:
            raise ValueError("there are none")
        for _, facts in samples:
            check(facts)
            json.dumps(facts, ensure_ascii=False).encode()  # texts hold characters, nothing else
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"The settings in {path} are damaged: {error}") from error
    return samples


# ---------------------------------------------------------------- XMP


def to_xmp(composite: bool = False, record: str = "") -> str:
    """The XMP packet that says how the picture came to be.

    Arguments:
        composite: whether a user's picture went in (image to image).
        record: from `to_json`, for files that have no texts beside it.
    """
    ascii_only = json.dumps(json.loads(record)) if record else ""  # XML has no \0, JSON "\u0000"
    ours = f'xmlns:sdnb="urn:sdnb:1" sdnb:record="{html.escape(ascii_only)}" ' if record else ""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"{ours}Iptc4xmpExt:DigitalSourceType={quoteattr(MIXED if composite else SOURCE)}/>"
        "</rdf:RDF></x:xmpmeta>"
    )
