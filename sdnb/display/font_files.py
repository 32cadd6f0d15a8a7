"""Font files: which letters each one holds, and which of those on this machine hold a given one.

Pillow's own font has the letters of ASCII and a few signs. `fonts/DejaVuSans.ttf`, beside this
file, has Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic and signs. For all others the
fonts of the system are looked through.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

BUNDLED = str(Path(__file__).with_name("fonts") / "DejaVuSans.ttf")
SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")

# What is not a text's plain face goes last; and what draws a box for every letter is left out.
UNWANTED = re.compile(
    r"bold|bd\b|italic|oblique|mono|serif|condensed|narrow|light|thin|black|medium|vf\b|\[|nastaliq"
)
BOXES = re.compile(r"lastresort|adobeblank|notdef", re.IGNORECASE)

Ranges = tuple[tuple[int, int], ...]  # first and last code point, ascending


def holds(ranges: Ranges, character: str) -> bool:
    """Whether a font with these ranges holds the character."""
    code = ord(character)
    i = bisect_right(ranges, (code, sys.maxunicode))
    return i > 0 and ranges[i - 1][1] >= code


def ranges_of(font: bytes | mmap.mmap) -> Ranges:
    """The code points that a TrueType or OpenType font has glyphs for; of a collection the first's.

    Returns:
        Ascending ranges; none where it is no font, or one of pictures only (colour emoji).

    Source:
        https://learn.microsoft.com/typography/opentype/spec/cmap

    Example:
        >>> holds(ranges_of(Path(BUNDLED).read_bytes()), "ł")
        True
    """
    try:
        start = struct.unpack_from(">I", font, 12)[0] if font[:4] == b"ttcf" else 0
        tables = {
            font[at : at + 4]: struct.unpack_from(">I", font, at + 8)[0]
            for at in range(start + 12, start + 12 + 16 * _short(font, start + 4), 16)
        }
        if b"cmap" not in tables or not {b"glyf", b"CFF ", b"CFF2"} & tables.keys():
            return ()
        if {b"sbix", b"CBDT"} & tables.keys():
            return ()
        cmap = tables[b"cmap"]
        found: list[tuple[int, int]] = []
        for i in range(_short(font, cmap + 2)):
            platform, encoding, at = struct.unpack_from(">HHI", font, cmap + 4 + 8 * i)
            if platform == 0 or (platform, encoding) in ((3, 1), (3, 10)):
                found += _subtable(font, cmap + at)
    except (struct.error, IndexError):
        return ()
    joined: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return tuple(joined)


def _short(font: bytes | mmap.mmap, at: int) -> int:
    return int(struct.unpack_from(">H", font, at)[0])


def _subtable(font: bytes | mmap.mmap, at: int) -> Iterator[tuple[int, int]]:
    """Ranges of one subtable, of format 4 (the first 65,536 code points) or 12 (all)."""
    form = _short(font, at)
    if form == 12:
        (count,) = struct.unpack_from(">I", font, at + 12)
        for first, last, glyph in struct.iter_unpack(">III", font[at + 16 : at + 16 + 12 * count]):
            yield first + (glyph == 0), last  # glyph 0 is the box of what is missing
    elif form == 4:
        count = _short(font, at + 6) // 2
        ends, starts, deltas, offsets = (
            struct.unpack_from(f">{count}H", font, at + 14 + 2 * count * i + 2 * (i > 0))
            for i in range(4)
        )
        for i, (first, last, delta, offset) in enumerate(zip(starts, ends, deltas, offsets)):
            if first > last or first == 0xFFFF:
                continue
            if not offset:
                yield from ((a, b) for a, b in _but(first, last, -delta & 0xFFFF) if a <= b)
                continue
            place = at + 16 + 6 * count + 2 * i + offset
            for code in range(first, last + 1):
                glyph = _short(font, place + 2 * (code - first))
                if glyph and (glyph + delta) & 0xFFFF:
                    yield code, code


def _but(first: int, last: int, out: int) -> list[tuple[int, int]]:
    """The range without the code point that maps to glyph 0 (.notdef)."""
    if not first <= out <= last:
        return [(first, last)]
    return [(first, out - 1), (out + 1, last)]


@cache
def ranges_in(path: str) -> Ranges:
    """The same of a file; none where it cannot be read."""
    try:
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            return ranges_of(mapped)
    except (OSError, ValueError):  # ValueError: an empty file
        return ()


def covering(characters: Iterable[str]) -> dict[str, str]:
    """Fonts of the system that hold the characters: few of them.

    Returns:
        The file of each character; one that no font holds is left out.
    """
    asked = left = frozenset(characters)
    if asked in _complete:
        return _complete[asked]
    chosen: dict[str, str] = {}
    files = system_fonts() if left else []
    while left:
        held = [(sum(holds(ranges_in(path), c) for c in left), path) for path in files]
        most, best = max(held, key=lambda each: each[0], default=(0, ""))  # the first of the best
        if not most:
            break
        here = {c for c in left if holds(ranges_in(best), c)}
        chosen |= dict.fromkeys(here, best)
        left -= here
    if not left:
        _complete[asked] = chosen
    return chosen


_complete: dict[frozenset[str], dict[str, str]] = {}  # answers that no new font would better


def system_fonts() -> list[str]:
    """The font files on this machine, the plainest first; looked for anew each time.

    So a font that was installed a minute ago is found, without a new start of the kernel.
    """
    found = {
        os.path.join(folder, name)
        for root in {*_known_folders(), *_listed_folders()}
        for folder, _, names in os.walk(root)
        for name in names
        if name.lower().endswith(SUFFIXES) and not BOXES.search(name)
    }
    return sorted(found, key=_rank)


def _rank(path: str) -> tuple[int, bool, int, str]:
    name = os.path.basename(path).lower()
    return len(UNWANTED.findall(name)), "noto" not in name, len(name), path


def _known_folders() -> list[str]:
    folders: list[str] = []
    if sys.platform == "win32":
        folders = [r"%WINDIR%\Fonts", r"%LOCALAPPDATA%\Microsoft\Windows\Fonts"]
    elif sys.platform == "darwin":
        folders = ["/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"]
    else:
        folders = ["/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts"]
    folders.append(os.path.join(sys.prefix, "fonts"))  # conda's
    return [os.path.expandvars(os.path.expanduser(folder)) for folder in folders]


@cache
def _listed_folders() -> frozenset[str]:
    """Folders that fontconfig knows of besides, as on NixOS; none where it is not installed."""
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(
            ["fc-list", "--format", "%{file}\n"], capture_output=True, timeout=10, check=True
        ).stdout.decode(errors="replace")
        return frozenset(os.path.dirname(line) for line in listed.splitlines() if line)
    return frozenset()
