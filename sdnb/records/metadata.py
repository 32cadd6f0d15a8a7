"""Settings in the picture's file, and back.

A PNG carries three texts: AUTOMATIC1111's `parameters` (what other programs read), our own JSON
(`sdnb`, lossless), and XMP that says a trained model made it (IPTC's digital source type,
https://cv.iptc.org/newscodes/digitalsourcetype/).
"""

from __future__ import annotations

import errno
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import quoteattr

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from sdnb import schedulers
from sdnb.files import replacing
from sdnb.records.fact_schema import KNOWN, check
from sdnb.settings import Settings, figure

FORMAT = 1
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MIXED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")  # of those that Pillow opens: some others run programs

Record = tuple[Settings, dict[str, Any]]  # settings, facts


def save_png(image: Image.Image, path: str | os.PathLike[str], records: Sequence[Record]) -> Path:
    """Writes a picture with the settings and facts of what it shows.

    Arguments:
        image: the picture.
        path: a file ending in .png; an existing one is replaced, whole or not at all.
        records: settings and facts of each sample in the picture: one, or a sheet's, row by row.
            Those of pictures from elsewhere (`Sheet.beside`) say nothing, and are left out.

    Returns:
        The path.

    Raises:
        ValueError: the path does not end in .png.
        OSError: the file cannot be written, or the texts are more than a reader takes; nothing
            half-written is left.
    """
    path = check_writable(path)
    info = PngImagePlugin.PngInfo()
    records = [record for record in records if not record[1].get("elsewhere")]
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
        info.add_itxt("XML:com.adobe.xmp", to_xmp(records[0][0].strength is not None))
    # zlib looking for runs alone writes a picture three times as fast and as small; a sheet has
    # labels on flat paper, so for that Pillow's own choice stays
    strategy = zlib.Z_RLE if len(records) == 1 else -1
    with replacing(path, ".png") as part:
        image.save(part, format="PNG", pnginfo=info, compress_type=strategy)
    return path


def check_writable(path: str | os.PathLike[str]) -> Path:
    """The path, if a PNG can be written there; asked before long work, not after it.

    Raises:
        ValueError: it does not end in .png, or is a folder.
        OSError: the folder is missing or may not be written.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} does not end in .png, the only format that is written.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give a file in it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"Cannot write {path}: there is no folder {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"Cannot write {path}: the folder {path.parent} is read-only.")
    return path


def read_png(
    path: str | os.PathLike[str] | IO[bytes], name: str = ""
) -> tuple[Image.Image, list[Record]]:
    """A picture and what it was made from: our own record, or else AUTOMATIC1111's.

    Arguments:
        path: a file, or one that is open.
        name: what errors call it; the path unless given.

    Returns:
        The picture (RGB) and one (settings, facts) a sample in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no picture, or carries no settings.
    """
    name = name or str(path)
    with opening(path, name) as opened:
        texts = {k: str(v) for k, v in opened.info.items() if k in ("sdnb", "parameters")}
        image = opened.convert("RGB")
    if "sdnb" in texts:
        return image, from_json(texts["sdnb"], name)
    if "parameters" in texts:
        settings, facts = from_a1111(texts["parameters"])
        size = {"width": image.width, "height": image.height}
        if settings.width is None and image.width % 8 == image.height % 8 == 0:
            settings = settings.but(**size)
        return image, [(settings, facts)]
    raise ValueError(f"{name} carries no settings: it was not saved by sdnb or AUTOMATIC1111.")


def prompt_of(picture: Any) -> str | None:
    """The prompt that a picture carries, in our own record or in AUTOMATIC1111's.

    Arguments:
        picture: a PIL picture as it was opened, a file, or what has such a picture as its `image`.

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
        if not isinstance(picture, Image.Image):
            records = read_png(Path(picture).expanduser())[1]
        elif "sdnb" in picture.info:
            records = from_json(str(picture.info["sdnb"]))
        else:
            records = [from_a1111(str(picture.info.get("parameters", "")))]
    except ValueError:  # no picture, no settings, or damaged ones: no prompt
        return None
    prompts = {settings.prompt for settings, _ in records}
    return prompts.pop() if len(prompts) == 1 else None


@contextmanager
def opening(
    path: str | os.PathLike[str] | IO[bytes], name: str, formats: tuple[str, ...] = FORMATS
) -> Iterator[Image.Image]:
    """A picture that is open and loaded; what Pillow raises for it in the block is a sentence.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of these formats, or damaged, or too large for the memory.
    """
    try:
        with Image.open(path, formats=formats) as opened:
            opened.load()
            yield opened
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file {name}.") from None
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is not a picture that can be read.") from error
    except Exception as error:  # of any kind: Pillow asserts what a file may lack
        why = str(error) or ("too large" if isinstance(error, MemoryError) else "it is damaged")
        raise ValueError(f"{name} is not a picture that can be read: {why}") from error


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


# ---------------------------------------------------------------- AUTOMATIC1111's text


def to_a1111(settings: Settings, facts: Mapping[str, Any]) -> str:
    """AUTOMATIC1111's `parameters` text.

    Example:
        >>> print(to_a1111(Settings("a fox", "blur", 24, 7.5, "DDIM", seed=510), {}))
        a fox
        Negative prompt: blur
        Steps: 24, Sampler: DDIM, CFG scale: 7.5, Seed: 510
    """
    pairs: dict[str, Any] = {"Steps": settings.steps}
    if settings.scheduler:
        pairs |= schedulers.to_a1111(settings.scheduler)
    guidance = None if settings.guidance is None else figure(settings.guidance)
    pairs |= {"CFG scale": guidance, "Seed": settings.seed}
    if settings.width and settings.height:
        pairs["Size"] = f"{settings.width}x{settings.height}"
    pairs |= {"Model": facts.get("model"), "Denoising strength": settings.strength}
    last = ", ".join(f"{k}: {_quoted(str(v))}" for k, v in pairs.items() if v is not None)
    negative = settings.negative_prompt
    lines = [settings.prompt, f"Negative prompt: {negative}" if negative else "", last]
    return "\n".join(line for line in lines if line)


def from_a1111(text: str) -> Record:
    """Settings and further facts from AUTOMATIC1111's `parameters` text.

    Raises:
        ValueError: it holds no prompt or no settings.

    Example:
        >>> text = "a fox\\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
        >>> from_a1111(text)[0].scheduler
        'Euler a'
    """
    *lines, last = text.strip().split("\n")
    pairs: dict[str, str] = {}
    for key, raw in _PAIR.findall(last):
        key, value = key.strip(), _unquoted(raw)
        if key in OURS and pairs.get(key, value) != value:
            raise ValueError(f"The AUTOMATIC1111 settings say {key} twice: {pairs[key]}, {value}.")
        pairs[key] = value
    if len(pairs) < 3:  # AUTOMATIC1111's own rule for telling them from a prompt
        raise ValueError("The text holds no AUTOMATIC1111 settings: its last line names none.")
    texts = re.split(r"^Negative prompt:", "\n".join(lines), maxsplit=1, flags=re.MULTILINE)
    prompt, negative = (*texts, "")[:2]
    width, _, height = pairs.pop("Size", "").partition("x")
    sampler, schedule = pairs.pop("Sampler", ""), pairs.pop("Schedule type", "")
    # with "Hires …" it is of a second pass over the picture, not of image to image
    hires = any(k.startswith("Hires") for k in pairs) or pairs.get("Denoising strength") == "0"
    strength = None if hires else pairs.pop("Denoising strength", None)
    try:
        settings = Settings(
            prompt=prompt.strip(),
            negative_prompt=negative.strip(),
            steps=_whole(pairs.pop("Steps")) if "Steps" in pairs else None,
            guidance=_real(pairs.pop("CFG scale")) if "CFG scale" in pairs else None,
            scheduler=schedulers.from_a1111(sampler, schedule) if sampler else None,
            seed=_whole(pairs.pop("Seed")) if "Seed" in pairs else None,
            width=_whole(width) if width else None,
            height=_whole(height) if height else None,
            strength=_real(strength) if strength else None,
        )
    except ValueError as error:
        raise ValueError(f"The AUTOMATIC1111 settings cannot be used: {error}") from error
    # what only sdnb knows of a picture, another program cannot say of its own
    others = {k.lower(): v for k, v in pairs.items()}
    return settings, {k: v for k, v in others.items() if k == "model" or k not in KNOWN}


OURS = {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Denoising strength"}

# A key stands at the start or after a comma, so that no text is gone through twice.
_PAIR = re.compile(r'(?:^|,)\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?=,|$)')


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):  # int() takes more: 1_000, ٣
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _real(text: str) -> float:
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:\n"]', value) else value


def _unquoted(value: str) -> str:
    if value.startswith('"'):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value.strip()


# ---------------------------------------------------------------- XMP


def to_xmp(composite: bool = False) -> str:
    """The XMP packet that says how the picture came to be.

    Arguments:
        composite: whether a user's picture went in (image to image).
    """
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"Iptc4xmpExt:DigitalSourceType={quoteattr(MIXED if composite else SOURCE)}/>"
        "</rdf:RDF></x:xmpmeta>"
    )
