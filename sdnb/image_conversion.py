"""Conversions of a picture to 8-bit sRGB; each has a name in `STEPS`, with its words and its code.

The functions here add the names of what they did to the `steps` that they are given.
"""

from __future__ import annotations

import io
from typing import Any, NamedTuple

from PIL import Image, ImageOps

from sdnb.log import notice_once
from sdnb.settings import rounded

WHITE, BLACK = "white", "black"


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

# ---------------------------------------------------------------- arrays


def of_array(given: Any, steps: list[str], name: str) -> Image.Image:
    """An array or tensor as a PIL picture.

    Arguments:
        given: height x width, with 1 to 4 channels last, or first as tensors have them; also as a
            batch of one. uint8, uint16, bool, or floats from 0 to 1 or 0 to 255.
        steps: gets the names of what was done to it, as in `STEPS`.
        name: what errors call it.

    Raises:
        ValueError: its shape, type or range is another; the sentence says which.
    """
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
            raise ValueError(f"{name} holds numbers down to {rounded(least, 3)}: give 0 to 1{fix}.")
        if 1.001 < most < 2 or most > 255.001:
            raise ValueError(
                f"{name} holds numbers up to {rounded(most, 4)}: give 0 to 1, or 0 to 255."
            )
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


def still(image: Image.Image, steps: list[str], name: str) -> Image.Image:
    """The picture; logs once that the first of its frames is taken, where nobody chose one."""
    # MPO, a camera's JPEG of two frames, holds the same picture twice
    if getattr(image, "is_animated", False) and image.format != "MPO" and image.tell() == 0:
        steps.append("first frame")
        notice_once(f"{name} has {getattr(image, 'n_frames', 2)} frames: the first is taken.")
    return image


def upright(image: Image.Image, steps: list[str], name: str = "The picture") -> Image.Image:
    """The current frame, upright, 8 bits a channel, with its palette looked up."""
    check_size(image, name)
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


def check_size(image: Image.Image, name: str) -> None:
    """Raises ValueError, which calls the picture by `name`, where it has no pixels."""
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


def colour(image: Image.Image, steps: list[str]) -> Image.Image:
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
        notice_once("Pillow here has no LittleCMS, so colour profiles are left aside.")
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
        notice_once(f"A picture's colour profile cannot be used ({error}): it is taken as sRGB.")
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


def on_paper(paper: str, image: Image.Image, steps: list[str]) -> Image.Image:
    """What is transparent on paper of that colour, in RGB; what has no alpha as it is."""
    if image.mode not in ("LA", "RGBA"):
        return image
    if image.getchannel("A").getextrema() != (255, 255):
        steps.append("paper" if paper == WHITE else "transparent stays")
        ground = Image.new("RGBA", image.size, paper)
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")
