"""EXIF's comment, where JPEG and WebP keep what a PNG has in texts."""

from __future__ import annotations

import re
import struct

from PIL import Image

SUB, COMMENT = 0x8769, 0x9286  # the IFD of EXIF's own tags; UserComment
NAMED = (0x010E, 0x010F, 0x0110)  # ImageDescription, Make, Model


def texts(image: Image.Image) -> dict[str, str]:
    """The texts in a picture's EXIF that tell how it was made.

    Returns:
        "parameters": the comment; and what ComfyUI writes as `name:{…}` into other tags, by name.
    """
    try:
        exif = image.getexif()
        comment = exif.get_ifd(SUB).get(COMMENT) or exif.get(COMMENT)
        others = [str(exif.get(tag, "")) for tag in NAMED]
    except (SyntaxError, ValueError, KeyError, TypeError, OSError, struct.error):
        return {}  # damaged, or none
    found = {name: text for name, _, text in (s.partition(":") for s in others) if "{" in text[:2]}
    if isinstance(comment, bytes):
        comment = decoded(comment)
    return found | ({"parameters": str(comment)} if comment else {})


def decoded(comment: bytes) -> str:
    """The text of a UserComment: eight bytes name its encoding, which not all programs heed.

    Example:
        >>> decoded(b"UNICODE\\0" + "a fox".encode("utf-16-be"))
        'a fox'
        >>> decoded(b"UNICODE\\0" + "a fox".encode("utf-16-le")), decoded(b"ASCII\\0\\0\\0a fox")
        ('a fox', 'a fox')
    """
    named, text = comment[:8], comment[8:]
    if not re.fullmatch(rb"UNICODE\0|ASCII\0{3}|JIS\0{5}|\0{8}", named):
        named, text = b"", comment
    if named.startswith(b"JIS"):
        return text.decode("iso2022_jp", "replace").strip("\0 ")
    # UTF-16 has a zero byte beside every letter of ASCII, before it in the order of EXIF's "MM"
    before, after = text[::2].count(0), text[1::2].count(0)
    if text.startswith((b"\xfe\xff", b"\xff\xfe")):
        encoding = "utf-16"
    elif before > after and before > len(text) / 16:
        encoding = "utf-16-be"
    elif after > before and after > len(text) / 16:
        encoding = "utf-16-le"
    else:
        encoding = "utf-8"
    return text.decode(encoding, "replace").strip("\0 ")


def written(comment: str) -> bytes:
    """EXIF with this as its comment, as AUTOMATIC1111 writes it: UTF-16, the high byte first."""
    exif = Image.Exif()
    exif.get_ifd(SUB)[COMMENT] = b"UNICODE\0" + comment.encode("utf-16-be", "replace")
    return exif.tobytes()
