"""Animation: pictures one after another, as GIF, WebP or MP4."""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sdnb.display.grid import PAPER, check_some, check_texts, image_grid
from sdnb.files import replacing
from sdnb.image_input import Source

LEAST, MOST = 0.02, 60  # seconds: browsers slow down what is faster
RATE = 25  # frames a second of an MP4: some players stumble over one or two


def animate(
    images: Sequence[Source],
    path: str | os.PathLike[str],
    *,
    seconds: float = 0.5,
    labels: Sequence[str] | None = None,
) -> Path:
    """Writes pictures as an animation that starts over at its end.

    GIF opens everywhere, in 256 colours a picture; WebP is smaller and truer; MP4 is for video
    players, which decide themselves whether to start over, and needs the package imageio-ffmpeg.

    Arguments:
        images: PIL pictures, files, `Sample`s or arrays in order, at least one; smaller ones are
            set on white.
        path: a file ending in .gif, .webp or .mp4; an existing one is replaced, whole or not.
        seconds: how long each picture is shown, 0.02 to 60; GIF rounds to hundredths, MP4 to
            twenty-fifths.
        labels: one text a picture, set below it.

    Returns:
        The path.

    Raises:
        ValueError: no images, another ending, seconds out of range, or labels and images differ
            in number.
        ModuleNotFoundError: an MP4 is wanted and imageio-ffmpeg is not installed.
        OSError: the file cannot be written; nothing half-written is left.

    Example:
        >>> import tempfile
        >>> tiles = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Image.open(animate(tiles, f"{folder}/tiles.gif")) as moving:
        ...         moving.n_frames
        2
    """
    check_some(len(images))
    if not LEAST <= seconds <= MOST:
        raise ValueError(f"seconds is {seconds:g}: give {LEAST} to {MOST}.")
    check_texts("labels", labels, "images", len(images))
    with replacing(path, ".gif", ".webp", ".mp4") as part:
        texts = [None] * len(images) if labels is None else [[label] for label in labels]
        frames = _same_size([image_grid([i], labels=t) for i, t in zip(images, texts)])
        kind = part.suffix.lower()
        if kind == ".mp4":
            _write_mp4(frames, part, seconds)
        else:
            # quantize twice: the first finds the colours, the second dithers to them
            if kind == ".gif":
                frames = [frame.quantize(palette=frame.quantize()) for frame in frames]
            frames[0].save(
                part,
                save_all=True,
                append_images=frames[1:],
                duration=round(seconds * 1000),
                loop=0,  # without end
                quality=90,  # of WebP
            )
    return Path(path).expanduser()


def _same_size(frames: list[Image.Image]) -> list[Image.Image]:
    """The frames at the upper middle of the same paper; sides are even, as H.264 needs them."""
    width, height = (2 * math.ceil(max(sides) / 2) for sides in zip(*(f.size for f in frames)))
    sheets = []
    for frame in frames:
        sheet = Image.new("RGB", (width, height), PAPER)
        sheet.paste(frame, ((width - frame.width) // 2, 0))
        sheets.append(sheet)
    return sheets


def _write_mp4(frames: Sequence[Image.Image], path: Path, seconds: float) -> None:
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "MP4 needs imageio-ffmpeg: pip install imageio-ffmpeg, or write a .webp or .gif."
        ) from error
    width, height = frames[0].size
    # its program alone: its own `write_frames` does not tell when that fails
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", str(1 / seconds), "-i", "-", "-r", str(RATE),
        "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p",
        # converted to BT.709, as players assume for H.264, and tagged so in the file
        "-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,"
        "setparams=colorspace=bt709:color_primaries=bt709:color_trc=iec61966-2-1",
        "-movflags", "+faststart", str(path),
    ]  # fmt: skip
    pixels = b"".join(frame.tobytes() for frame in frames)
    done = subprocess.run(command, input=pixels, capture_output=True)
    if done.returncode:
        says = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise OSError(f"Cannot write the MP4: {says[-1]}")
