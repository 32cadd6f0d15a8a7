"""Pictures that come in: whatever holds one, as 8-bit RGB, a grey mask, or RGBA.

Everything that takes a picture from a user goes through here: the start of image to image, masks,
grids, sliders, animations, the panel, and the comparison of notebooks' pictures. What was done to
a picture on the way is kept as `steps`, names of `STEPS`, each of which says it in words and, where
Pillow alone does it, in code.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from PIL import Image, ImageOps, UnidentifiedImageError

from sdnb.log import notice

# Of those that Pillow opens: some others run programs. AVIF: where Pillow was built with it.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

WHITE, BLACK = "white", "black"


class HasImage(Protocol):
    """What carries a picture, such as a `Sample`."""

    @property
    def image(self) -> Image.Image: ...


class HasArray(Protocol):
    """A NumPy array, or what NumPy makes one of: a tensor of PyTorch, JAX or TensorFlow."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...


Source = Image.Image | str | os.PathLike[str] | bytes | IO[bytes] | HasImage | HasArray
Sources = Source | Sequence[Source]  # several, for models that take several


class Step(NamedTuple):
    """One conversion: in words, and as a line of Pillow for a variable {x}, or "" for none."""

    words: str
    code: str


# In the order in which they are done. After the last one comes `.convert("RGB")`, or "L" of a mask.
STEPS = {
    "array": Step("made of an array of numbers", ""),
    "first frame": Step("the first of several frames", "{x}.seek(0)"),
    "orientation": Step("turned upright, as its EXIF says", "{x} = ImageOps.exif_transpose({x})"),
    "16 bits": Step(
        "16-bit grey rounded to 8 bits",
        '{x} = Image.fromarray((np.asarray({x}) / 257).round().astype("uint8"))',
    ),
    "float": Step("numbers from 0 to 1 taken as grey levels from 0 to 255", ""),
    "palette": Step("colours looked up in its palette", '{x} = {x}.convert("RGBA")'),
    "profile": Step(
        "converted from its colour profile to sRGB",
        "{x} = ImageCms.profileToProfile(\n"
        '    {x}, ImageCms.ImageCmsProfile(io.BytesIO({x}.info["icc_profile"])),\n'
        '    ImageCms.createProfile("sRGB"),\n'
        '    outputMode="RGBA" if {x}.mode == "RGBA" else "RGB",\n'
        ")",
    ),
    "grey profile": Step("grey levels converted from its profile to sRGB", ""),
    "lab": Step("converted from CIELAB to sRGB", ""),
    "paper": Step(
        "what is transparent lies on white",
        '{x} = Image.alpha_composite(Image.new("RGBA", {x}.size, "white"), {x}.convert("RGBA"))',
    ),
    "transparent stays": Step(
        "what is transparent in the mask stays",
        '{x} = Image.alpha_composite(Image.new("RGBA", {x}.size, "black"), {x}.convert("RGBA"))',
    ),
    "0 and 1": Step(
        "a mask of 0 and 1 taken as black and white",
        '{x} = {x}.convert("L").point(lambda level: 255 * level)',
    ),
}


@dataclass(frozen=True)
class Picture:
    """A picture that came in: its pixels, its file where it has one, and what was done to it."""

    image: Image.Image
    path: str | None = None
    steps: tuple[str, ...] = ()


def picture(source: Source, name: str = "The picture") -> Picture:
    """A picture as a model, or a page, takes it: upright, sRGB, on white paper.

    EXIF orientation is applied, of files and of PIL pictures alike; a colour profile is converted
    to sRGB; 16-bit grey is scaled to 8 bits; of what moves the current frame is taken, the first
    of a file, which is said once.

    Arguments:
        source: a PIL picture; a file's path, content as bytes, or an open file such as `BytesIO`;
            a `Sample`; an array or tensor of shape (h, w), (h, w, c), (c, h, w), or one of these in
            a batch of one. c is 1 (grey), 2 (grey, alpha), 3 (RGB; OpenCV's BGR is
            `array[..., ::-1]`) or 4 (RGBA). Numbers are bool, uint8 or other integers from 0 to
            255, uint16 from 0 to 65535, or floats from 0 to 1 or 0 to 255.
        name: what errors call it.

    Returns:
        The picture, of mode RGB.

    Raises:
        ValueError: it is no picture, damaged, too large, an address, or numbers out of range.
        TypeError: nothing in it is a picture.
        FileNotFoundError: there is no such file.

    Example:
        >>> picture(Image.new("LA", (8, 8), (0, 0))).image.getpixel((0, 0))
        (255, 255, 255)
    """
    if type(source) is Image.Image and source.mode == "RGB" and not source.info:
        _check_size(source, name)
        return Picture(source)  # by far the most pictures, untouched
    return _taken(source, name, lambda image, steps: _on(WHITE, _colour(image, steps), steps))


def rgb(source: Source) -> Image.Image:
    """The pixels of `picture`; those of a plain RGB picture are the very same object."""
    return picture(source).image


def mask(source: Source) -> Picture:
    """A mask as inpainting takes it: white is painted anew, black and what is transparent stays.

    Its numbers count, not colours: a colour profile is left aside. 0 and 1 are black and white.

    Arguments:
        source: as for `picture`.

    Returns:
        The mask, of mode L.

    Raises:
        ValueError, TypeError, FileNotFoundError: as `picture`.

    Example:
        >>> mask(Image.new("RGBA", (8, 8), (255, 255, 255, 0))).image.getpixel((0, 0))
        0
    """

    def grey(image: Image.Image, steps: list[str]) -> Image.Image:
        if image.mode in ("LAB", "CMYK"):
            image = _colour(image, steps)
        image = _on(BLACK, image, steps).convert("L")
        if image.getextrema()[1] == 1:
            steps.append("0 and 1")
            image = image.point(lambda level: 255 * level)
        return image

    return _taken(source, "The mask", grey)


def rgba(frame: Image.Image) -> Image.Image:
    """The current frame of a PIL picture as it is seen, with its alpha channel.

    Example:
        >>> rgba(Image.new("I;16", (8, 8), 65535)).getpixel((0, 0))
        (255, 255, 255, 255)
    """
    return _colour(_upright(frame, []), []).convert("RGBA")


@contextmanager
def opening(
    path: str | os.PathLike[str] | IO[bytes],
    name: str,
    formats: tuple[str, ...] = FORMATS,
    texts: Container[str] = (),
) -> Iterator[Image.Image]:
    """A picture that is open and loaded; what Pillow raises for it in the block is a sentence.

    Of a PNG whose texts are larger than Pillow reads, only those named in `texts` are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is none of these formats, or damaged, or too large for the memory; or its
            path is an address.
    """
    try:
        with _loaded(path, formats, texts) as opened:
            yield opened
    except FileNotFoundError:
        check_address(name)
        raise FileNotFoundError(f"There is no file {name}.") from None
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is not a picture that can be read.") from error
    except Exception as error:  # of any kind: Pillow asserts what a file may lack
        why = str(error) or ("too large" if isinstance(error, MemoryError) else "it is damaged")
        raise ValueError(f"{name} is not a picture that can be read: {why}") from error


def _loaded(
    path: str | os.PathLike[str] | IO[bytes], formats: tuple[str, ...], texts: Container[str]
) -> Image.Image:
    """The picture, opened and loaded, whatever large texts a PNG carries beside what is read."""
    try:
        opened = Image.open(path, formats=formats)
        opened.load()  # closes its file
    except ValueError as error:
        if "text chunk" not in str(error).lower().replace("_", " "):
            raise
        if isinstance(path, (str, os.PathLike)):
            data = Path(path).read_bytes()
        else:
            path.seek(0)
            data = path.read()
        opened = Image.open(io.BytesIO(_with_texts(data, texts)), formats=formats)
        opened.load()
    return opened


def _with_texts(png: bytes, texts: Container[str]) -> bytes:
    """A PNG's bytes with these texts alone; its chunks are length, kind, data, check."""
    kept, at = [png[:8]], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        kind, name = png[at + 4 : at + 8], png[at + 8 : at + 88].partition(b"\0")[0]
        if kind not in (b"tEXt", b"zTXt", b"iTXt") or name.decode("latin-1") in texts:
            kept.append(png[at:end])
        at = end
    return b"".join(kept)


def check_address(text: str) -> None:
    """Raises ValueError where a path is an address: nothing is fetched from the network unasked."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) or text.startswith("data:"):
        shown = text if len(text) <= 80 else f"{text[:79]}…"
        raise ValueError(
            f"{shown} is an address, and pictures are not fetched from the network: give the "
            "picture itself, as diffusers.utils.load_image(address) gets it."
        )


_said: set[str] = set()  # sentences that are said once


def _taken(source: Source, name: str, convert: Any) -> Picture:
    """The picture in a source, with its path, as `convert(image, steps)` makes it."""
    steps: list[str] = []
    found, path = _found(source, name)
    if isinstance(found, Image.Image):
        try:
            image = _plain(convert(_upright(_still(found, steps, name), steps, name), steps))
        except (ValueError, TypeError):
            raise
        except Exception as error:  # one that was opened, but is damaged further on
            raise ValueError(f"{name} is not a picture that can be read: {error}") from error
    elif path is None and not isinstance(found, (str, bytes)) and hasattr(found, "shape"):
        image = convert(_of_array(found, steps, name), steps)
    else:
        file = io.BytesIO(found) if isinstance(found, bytes) else found
        with opening(file, path or name, FORMATS) as opened:
            still = _still(opened, steps, path or name)
            image = _plain(convert(_upright(still, steps, path or name), steps))
    return Picture(image, path, tuple(step for step in STEPS if step in steps))


def _plain(image: Image.Image) -> Image.Image:
    """The picture without its file."""
    return image if type(image) is Image.Image else image.copy()


def _found(source: Any, name: str) -> tuple[Any, str | None]:
    """The PIL picture, array, bytes, path or open file in a source; and its path as a text."""
    if isinstance(source, (str, os.PathLike)):
        if isinstance(source, str):
            check_address(source)
        path = Path(source).expanduser()
        return path, str(path)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), None
    if isinstance(source, Image.Image):
        return source, None
    if isinstance(getattr(source, "image", None), Image.Image):
        return source.image, None
    for several in ("images", "samples"):  # what a pipeline returns; a Sheet
        inside = getattr(source, several, None)
        if isinstance(inside, (list, tuple)):
            kind = type(source).__name__
            raise ValueError(f"{name} is a {kind} of {len(inside)}: give one, .{several}[0].")
    if isinstance(source, (list, tuple)):
        raise ValueError(f"{name} is a {type(source).__name__} of {len(source)}: give one picture.")
    if hasattr(source, "read") and hasattr(source, "seek"):
        return source, None
    if hasattr(source, "shape") and (hasattr(source, "__array__") or hasattr(source, "detach")):
        return source, None
    raise TypeError(
        f"{name} is {_kind(source)}: give a PIL picture, a file, a Sample, or an array of numbers."
    )


def _kind(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"


# ---------------------------------------------------------------- arrays


def _of_array(given: Any, steps: list[str], name: str) -> Image.Image:
    """An array or tensor as a PIL picture; the sentences name its shape, type or range."""
    import numpy as np

    channels_first = hasattr(given, "detach")  # PyTorch's order, where both would fit
    if channels_first:
        given = given.detach().cpu()
        if given.is_floating_point():
            given = given.float()  # NumPy has no bfloat16
    numbers = np.asarray(given)
    shape = "x".join(map(str, numbers.shape)) or "no"
    if numbers.ndim == 4:
        if len(numbers) != 1:
            raise ValueError(f"{name} is a batch of {len(numbers)} ({shape}): give one of them.")
        numbers = numbers[0]
    if numbers.ndim == 3:
        first, last = numbers.shape[0] in (1, 2, 3, 4), numbers.shape[2] in (1, 2, 3, 4)
        if first and (channels_first or not last):
            numbers = np.moveaxis(numbers, 0, 2)
        elif not last:
            raise ValueError(
                f"{name} is an array of shape {shape}: give height x width x channels, of which "
                "there are 1 to 4."
            )
        if numbers.shape[2] == 1:
            numbers = numbers[..., 0]
    if numbers.ndim != 2 and numbers.ndim != 3:
        raise ValueError(
            f"{name} is an array of shape {shape}: give height x width, or height x width x "
            "channels."
        )
    if 0 in numbers.shape:
        raise ValueError(f"{name} has no pixels: its shape is {shape}.")
    steps.append("array")
    return Image.fromarray(_eight_bits(numbers, steps, name))


def _eight_bits(numbers: Any, steps: list[str], name: str) -> Any:
    """Numbers as uint8 in [0, 255].

    What is up to 1 in floats is a share of white; uint16 is scaled from 65535.
    """
    import numpy as np

    kind = numbers.dtype
    if kind == np.uint8:
        return numbers
    if kind.kind == "b":
        return np.where(numbers, np.uint8(255), np.uint8(0))
    if kind.kind not in "fiu":
        raise ValueError(f"{name} holds {kind}: give uint8, uint16, bool or float.")
    least, most = float(numbers.min()), float(numbers.max())
    if not (np.isfinite(least) and np.isfinite(most)):
        raise ValueError(f"{name} holds NaN or infinite numbers: give numbers from 0 to 1.")
    if kind.kind == "f":
        if least < -0.001:
            fix = ", as (x + 1) / 2 makes of -1 to 1" if least >= -1.001 and most <= 1.001 else ""
            raise ValueError(f"{name} holds numbers down to {least:.3g}: give 0 to 1{fix}.")
        if 1.001 < most < 2 or most > 255.001:
            raise ValueError(f"{name} holds numbers up to {most:.4g}: give 0 to 1, or 0 to 255.")
        if most < 2:
            steps.append("float")
            numbers = numbers * 255
        return numbers.clip(0, 255).round().astype("uint8")
    if kind == np.uint16:
        steps.append("16 bits")
        return (numbers / 257).round().astype("uint8")
    if least < 0 or most > 255:
        raise ValueError(
            f"{name} holds {kind} from {least:.0f} to {most:.0f}: give 0 to 255, or uint16."
        )
    return numbers.astype("uint8")


# ---------------------------------------------------------------- PIL pictures


def _still(image: Image.Image, steps: list[str], name: str) -> Image.Image:
    """The picture; says once that the first of its frames is taken, where nobody chose one."""
    # MPO, a camera's JPEG of two frames, holds the same picture twice
    if getattr(image, "is_animated", False) and image.format != "MPO" and image.tell() == 0:
        steps.append("first frame")
        _say(f"{name} has {getattr(image, 'n_frames', 2)} frames: the first is taken.")
    return image


def _upright(image: Image.Image, steps: list[str], name: str = "The picture") -> Image.Image:
    """The current frame, upright, 8 bits a channel, with its palette looked up."""
    _check_size(image, name)
    if _orientation(image) != 1:
        steps.append("orientation")
        image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        image = _of_deep(image, steps, name)
    if image.mode in ("RGBa", "La"):  # multiplied with alpha
        image = image.convert(image.mode.upper())
    if image.mode in ("P", "PA") or "transparency" in image.info:
        steps.append("palette")
        info = image.info
        image = image.convert("RGBA")
        image.info = {k: v for k, v in info.items() if k != "transparency"}
    return image


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(0x0112, 1) or 1)


def _check_size(image: Image.Image, name: str) -> None:
    if 0 in image.size:
        raise ValueError(f"{name} has no pixels: it is {image.width} x {image.height}.")


def _of_deep(image: Image.Image, steps: list[str], name: str) -> Image.Image:
    """A grey picture of 16 bits, 32 bits or floats, in 8 bits."""
    import numpy as np

    numbers, see_through = np.asarray(image), image.info.get("transparency")
    if image.mode != "F":
        # Pillow has opened 16-bit files as 32-bit "I"
        deep = image.mode != "I" or image.format is not None or numbers.max() > 255
        if deep and numbers.min() >= 0 and numbers.max() <= 65535:
            numbers = numbers.astype("uint16")
    grey = Image.fromarray(_eight_bits(numbers, steps, name))
    if isinstance(see_through, int):  # the one level that is transparent
        alpha = Image.fromarray(np.where(np.asarray(image) == see_through, 0, 255).astype("uint8"))
        grey = Image.merge("LA", (grey, alpha))
    grey.info = {k: v for k, v in image.info.items() if k != "transparency"}
    return grey


def _colour(image: Image.Image, steps: list[str]) -> Image.Image:
    """In sRGB, of mode RGB or with alpha RGBA."""
    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        from PIL import ImageCms

        steps.append("lab")
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
    if isinstance(profile, bytes) and profile:
        image = _to_srgb(image, profile, steps)
    alpha = image.mode in ("LA", "RGBA")
    return image if image.mode in ("RGB", "RGBA") else image.convert("RGBA" if alpha else "RGB")


def _to_srgb(image: Image.Image, profile: bytes, steps: list[str]) -> Image.Image:
    """Converted from the profile, unless that is of other channels, is sRGB, or is damaged."""
    from PIL import ImageCms, features

    if not features.check("littlecms2"):
        _say("Pillow here has no LittleCMS, so colour profiles are left aside.")
        return image
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        space = own.profile.xcolor_space.strip()
        if space == "GRAY" and image.mode in ("L", "LA"):
            grey = image.convert("L")
            turned = ImageCms.profileToProfile(grey, own, srgb, outputMode="RGB")
            if turned is None or _same(turned, grey.convert("RGB")):
                return image
            steps.append("grey profile")
            if image.mode == "LA":
                turned.putalpha(image.getchannel("A"))
            return turned
        if (space, image.mode) not in (("RGB", "RGB"), ("RGB", "RGBA"), ("CMYK", "CMYK")):
            return image  # of what the picture was before somebody converted it
        if space == "RGB":
            probe = _probe()
            seen = ImageCms.profileToProfile(probe, own, srgb)
            if seen is None or _same(seen, probe):
                return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        turned = ImageCms.profileToProfile(image, own, srgb, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        _say(f"A picture's colour profile cannot be used ({error}): it is taken as sRGB.")
        return image
    steps.append("profile")
    return turned or image


def _probe() -> Image.Image:
    """Colours from everywhere, 9 levels a channel, to see what a profile does to them."""
    levels = range(0, 256, 31)
    data = bytes(value for r in levels for g in levels for b in levels for value in (r, g, b))
    return Image.frombytes("RGB", (81, 9), data)


def _same(one: Image.Image, other: Image.Image) -> bool:
    """Whether no level differs by more than 2, as the sRGB profiles of two makers do."""
    from PIL import ImageChops

    return max(ImageChops.difference(one, other).tobytes()) <= 2


def _on(paper: str, image: Image.Image, steps: list[str]) -> Image.Image:
    """What is transparent on paper of that colour, in RGB; what has no alpha as it is."""
    if image.mode not in ("LA", "RGBA"):
        return image
    if image.getchannel("A").getextrema() != (255, 255):
        steps.append("paper" if paper == WHITE else "transparent stays")
        ground = Image.new("RGBA", image.size, paper)
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")


def _say(sentence: str) -> None:
    """Says it once."""
    if sentence not in _said:
        _said.add(sentence)
        notice(sentence)
