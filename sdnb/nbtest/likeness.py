"""How alike two pictures are, as numbers and as a picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageSequence
from scipy.ndimage import uniform_filter
from skimage.metrics import structural_similarity

from sdnb.display.grid import image_grid
from sdnb.image_input import rgba

WINDOW = 64  # pixels; a whole sheet's average would hide one wrong picture among twelve
SSIM_WINDOW = 7  # pixels, scikit-image's own


class Likeness(NamedTuple):
    """How alike two pictures are where they are least alike.

    Both numbers are averages over a square of 64 x 64 pixels (of the whole picture where it is
    smaller), and of all such squares the worst counts.

    Attributes:
        mean: mean absolute difference in grey levels, 0 to 255; 0 for equal pictures.
        ssim: structural similarity, channel by channel, -1 to 1; 1 for equal pictures.
        box: left, top, right and bottom of the square with the largest mean, in pixels.
        frame: the frame of an animation that it lies in, from 0.
    """

    mean: float
    ssim: float
    box: tuple[int, int, int, int]
    frame: int


def likeness(expected: Image.Image, actual: Image.Image) -> Likeness:
    """Compares two pictures as they are seen.

    The mode does not count: a grey picture equals its copy in RGB. What is transparent has no
    colour. Of animations every frame is compared.

    Arguments:
        expected: one PIL picture.
        actual: the other, of the same size and with as many frames.

    Raises:
        ValueError: the sizes or the numbers of frames differ; the sentence says both.

    Source:
        Wang, Bovik, Sheikh, Simoncelli: Image quality assessment (2004), as in
        `skimage.metrics.structural_similarity`.

    Example:
        >>> from PIL import Image
        >>> red, blue = Image.new("RGB", (90, 70), "red"), Image.new("RGB", (90, 70), "blue")
        >>> likeness(red, red)
        Likeness(mean=0.0, ssim=1.0, box=(0, 0, 64, 64), frame=0)
        >>> likeness(red, blue).mean  # two of three channels are wrong by 255
        170.0
    """
    ours, theirs = _frames(expected), _frames(actual)
    if ours[0].shape != theirs[0].shape:
        raise ValueError(f"{pixels(expected)} expected, {pixels(actual)} found.")
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} frames expected, {len(theirs)} found.")
    found = [_compared(a, b, number) for number, (a, b) in enumerate(zip(ours, theirs))]
    worst = max(found, key=lambda one: one.mean)
    return worst._replace(ssim=min(one.ssim for one in found))


def pixels(image: Image.Image) -> str:
    """The picture's size in words, such as `320 x 200 pixels`."""
    seen = rgba(image)  # EXIF orientation
    return f"{seen.width} x {seen.height} pixels"


def side_by_side(
    expected: Image.Image | None, actual: Image.Image | None, title: str, frame: int = 0,
    box: tuple[int, int, int, int] | None = None,
) -> Image.Image:  # fmt: skip
    """Expected, actual and difference as one picture, to be looked at.

    Wide pictures stand one below the other. A faint difference is made brighter, and its label says
    by how much.

    Arguments:
        expected: a PIL picture, or None where there should be none.
        actual: a PIL picture, or None where there is none.
        title: a text above them.
        frame: which frame of an animation to show.
        box: left, top, right and bottom of a square to mark in the difference, in pixels.

    Example:
        >>> from PIL import Image
        >>> side_by_side(Image.new("L", (300, 300)), None, "missing").size  # (width, height)
        (618, 360)
    """
    images = {"expected": expected, "actual": actual}
    seen = [_view(image, frame) for image in images.values() if image]
    views = {}
    for name, image in images.items():
        if image:
            views[f"{name}, {pixels(image)}"] = _view(image, frame)
        else:
            size = seen[0].size if seen else (WINDOW, WINDOW)
            views[f"{name}: no picture"] = Image.new("RGB", size, "#d0d7de")
    if len(seen) == 2 and seen[0].size == seen[1].size:
        difference = ImageChops.difference(*seen).convert("RGB")
        levels = np.asarray(difference)
        # one pixel that is far off would leave all others dark
        times = int(255 // np.percentile(levels[levels > 0], 90)) if levels.any() else 1
        drawn = difference.point(lambda level: level * times)
        if box:
            left, top, right, bottom = box
            pen = ImageDraw.Draw(drawn)
            for width, colour in ((3, "white"), (1, "red")):  # seen on any colour
                pen.rectangle((left, top, right - 1, bottom - 1), None, colour, width)
        views["difference" + (f", {times} times as bright" if times > 1 else "")] = drawn
    width = max(view.width for view in views.values())
    scale = max(1, -(-200 // width))  # a label needs some room
    tiles = [view.resize((view.width * scale, view.height * scale), 0) for view in views.values()]
    cols = len(tiles) if width * scale <= 512 else 1
    return image_grid(tiles, cols=cols, labels=list(views), title=title)


def _view(image: Image.Image, frame: int) -> Image.Image:
    """One frame as RGB, what is transparent on white."""
    image.seek(min(frame, getattr(image, "n_frames", 1) - 1))
    drawn = rgba(image)
    seen = Image.new("RGBA", drawn.size, "white")
    seen.alpha_composite(drawn)
    return seen.convert("RGB")


def _frames(image: Image.Image) -> list[Any]:
    """(height, width, 4) of float32 in [0, 255]: red, green and blue times alpha, and alpha."""
    frames = ImageSequence.Iterator(image)
    return [np.asarray(rgba(frame).convert("RGBa"), "float32") for frame in frames]


def _compared(a: Any, b: Any, frame: int) -> Likeness:
    if (a[..., 3] == 255).all() and (b[..., 3] == 255).all():
        a, b = a[..., :3], b[..., :3]
    absolute = np.abs(a - b).mean(axis=2)
    height, width = absolute.shape
    tall, wide = min(height, WINDOW), min(width, WINDOW)
    means = _windows(absolute, tall, wide)
    top, left = np.unravel_index(means.argmax(), means.shape)
    box = (int(left), int(top), int(left) + wide, int(top) + tall)
    # where the pictures are smaller than SSIM's own window, their pixels are enlarged
    times = -(-SSIM_WINDOW // min(height, width))
    a, b = (x.repeat(times, axis=0).repeat(times, axis=1) for x in (a, b))
    _, similar = structural_similarity(
        a, b, win_size=SSIM_WINDOW, data_range=255, channel_axis=2, full=True
    )
    similar = similar.mean(axis=2)
    worst = _windows(similar, min(height * times, WINDOW), min(width * times, WINDOW)).min()
    return Likeness(float(means.max()), float(worst), box, frame)


def _windows(values: Any, tall: int, wide: int) -> Any:
    """The average over each window that lies inside, by its top left corner."""
    height, width = values.shape
    averages = uniform_filter(values.astype("float64"), size=(tall, wide), mode="nearest")
    rows = slice(tall // 2, tall // 2 + height - tall + 1)
    columns = slice(wide // 2, wide // 2 + width - wide + 1)
    return averages[rows, columns]
