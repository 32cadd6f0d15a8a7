"""Lines of text in a picture: measured and drawn, each letter in a font that has it."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from PIL import ImageDraw, ImageFont, features

from sdnb.display import font_files
from sdnb.log import is_first, notice

OWN = ""  # the "file" of Pillow's own font
NONE = "none"  # that of letters which no font has: a `CodeBox`
SMALLER = 12 / 13  # DejaVu's letters are larger than those of Pillow's own font at the same size
JOINERS = "\u200c\u200d"  # they join and part letters, and have no shape

# Scripts whose letters change with their neighbours, which only Raqm knows.
SHAPED = {
    "ARABIC", "SYRIAC", "THAANA", "NKO", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA",
    "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "TIBETAN", "MYANMAR", "KHMER",
    "MONGOLIAN",
}  # fmt: skip
CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")


class CodeBox:
    """The "font" of letters that no font has: each is a box with its code point, as browsers do.

    So two texts never look the same, and which letter it is can be looked up.

    Arguments:
        size: in pixels, of the line that the boxes stand in.

    Example:
        >>> box = CodeBox(13)
        >>> box.getlength("狐狸") == 2 * box.getlength("狐")
        True
    """

    def __init__(self, size: int) -> None:
        self.digits: Any = ImageFont.load_default(max(7, round(size * 0.58)))
        self._above, self._below = _font(OWN, size).getmetrics()
        self._digit = max(self.digits.getlength(c) for c in "0123456789ABCDEF")

    def getlength(self, text: str) -> float:
        """How wide the boxes are, in pixels."""
        return sum(self._width(c) for c in text)

    def getmetrics(self) -> tuple[int, int]:
        """Pixels above and below the baseline."""
        return self._above, self._below

    def draw(
        self, pen: ImageDraw.ImageDraw, x: float, baseline: float, text: str, ink: str
    ) -> None:
        """Draws the boxes from `x` on."""
        top, bottom = baseline - self._above, baseline + self._below - 1
        for c in text:
            right = x + self._width(c)
            pen.rectangle((x + 1, top, right - 2, bottom), outline=ink)
            middles = (3 * top + bottom) / 4 + 1, (top + 3 * bottom) / 4
            for digits, y in zip(_halves(c), middles):
                pen.text(((x + right) / 2, y), digits, font=self.digits, fill=ink, anchor="mm")
            x = right

    def _width(self, character: str) -> int:
        return round(len(_halves(character)[1]) * self._digit) + 6


def _halves(character: str) -> tuple[str, str]:
    """A code point in two lines of hexadecimal digits: 2 and 2, or 3 and 3."""
    code = f"{ord(character):04X}"
    code = code if len(code) == 4 else f"{code:>06}"
    return code[: len(code) // 2], code[len(code) // 2 :]


class Run(NamedTuple):
    """Neighbouring letters in one font and one direction."""

    text: str
    font: ImageFont.FreeTypeFont | CodeBox
    options: dict[str, Any]  # direction and language, where Raqm sets the text


class Typeface:
    """Letters of one size, for given texts.

    Pillow's own font draws what it has. Of a text with other Latin letters (é, ł) all Latin is in
    the bundled font, so no word mixes fonts; other scripts are in that one, or in a font of the
    system. What no font has is a box with its code point, and is logged once a script.

    Arguments:
        size: in pixels.
        texts: what will be drawn.
    """

    def __init__(self, size: int, texts: Iterable[str]) -> None:
        self.size = size
        letters = {c for text in texts for c in cleaned(text) if c not in JOINERS}
        lacking = {c for c in letters if not font_files.holds(_own_ranges(), c)}
        bundled = font_files.ranges_in(font_files.BUNDLED)
        other = {c for c in lacking if not font_files.holds(bundled, c)}
        self._files = dict.fromkeys(lacking - other, font_files.BUNDLED)
        self._files |= font_files.covering(other)
        self._lost = other - self._files.keys()
        _say_missing({c for c in self._lost if unicodedata.category(c)[0] != "M"} or self._lost)
        _say_unshaped(lacking & self._files.keys())

    def getlength(self, line: str) -> float:
        """How wide a line is, in pixels."""
        return sum(run.font.getlength(run.text, **run.options) for run in self._runs(line))

    def height(self, line: str) -> int:
        """How high a line is, in pixels: as its highest font needs it."""
        return sum(self._metrics(line))

    def draw(self, pen: ImageDraw.ImageDraw, x: float, y: float, line: str, ink: str) -> None:
        """Draws a line whose upper left corner is (x, y)."""
        runs = self._runs(line)
        own = _font(OWN, self.size)
        if [run.font for run in runs] == [own]:
            pen.text((x, y), runs[0].text, font=own, fill=ink)
            return
        baseline = y + self._metrics(line)[0]
        for text, font, options in runs:
            if isinstance(font, CodeBox):
                font.draw(pen, x, baseline, text, ink)
            else:
                pen.text((x, baseline), text, font=font, fill=ink, anchor="ls", **options)
            x += font.getlength(text, **options)

    def _metrics(self, line: str) -> tuple[int, int]:
        """Pixels above and below the baseline."""
        fonts = [_font(OWN, self.size), *(run.font for run in self._runs(line))]
        ascents, descents = zip(*(font.getmetrics() for font in fonts))
        return max(ascents), max(descents)

    def _runs(self, line: str) -> list[Run]:
        """The line's runs from left to right."""
        if not self._files and not self._lost:
            line = cleaned(line)
            return [Run(line, _font(OWN, self.size), {})]
        pieces = [part for piece in clusters(line) for part in self._parts(piece)]
        latin = OWN
        if any(self._files.get(c) == font_files.BUNDLED and _is_latin(c) for c in line):
            latin = font_files.BUNDLED
        files: list[str] = []
        before = latin
        for piece in pieces:
            if piece[0] in self._lost:
                files.append(NONE)
            else:
                files.append(before := self._file(piece, latin, before))
        kana = any(script(c) in ("HIRAGANA", "KATAKANA") for c in line)
        visual: list[Run] = []
        for is_right, indices in _directed(pieces):
            for i in indices if is_right else ():
                if files[i] == OWN:  # Raqm sets it, which turns brackets round
                    files[i] = font_files.BUNDLED
            runs: list[Run] = []
            for file, group in itertools.groupby(indices, lambda i: files[i]):
                here = [pieces[i] for i in group]
                runs.append(self._run(here, file, is_right, kana))
            visual += runs[::-1] if is_right else runs
        return visual

    def _parts(self, piece: str) -> list[str]:
        """A cluster in one piece, or, where no font has some of it, each of these by itself."""
        if self._lost.isdisjoint(piece):
            return [piece]
        lost = "".join(map(re.escape, self._lost))
        return re.findall(f"[{lost}]|[^{lost}]+", piece)

    def _file(self, piece: str, latin: str, before: str) -> str:
        """The font of one cluster; signs, digits and spaces go on in the font before them."""
        first = piece[0]
        own = self._files.get(first, latin)
        if first.isalpha() or not _has(before, first):
            # a letter that Pillow's own font has, with a mark that it lacks
            others = [self._files[c] for c in piece[1:] if c in self._files]
            return others[0] if own == OWN and others and _has(others[0], first) else own
        return before

    def _run(self, pieces: list[str], file: str, is_right: bool, kana: bool) -> Run:
        if file == NONE:
            return Run("".join(pieces[::-1] if is_right else pieces), _boxes(self.size), {})
        font = _font(file, self.size)
        if file == OWN:
            return Run("".join(pieces), font, {})
        if not _has_raqm():
            text = "".join(pieces[::-1] if is_right else pieces)
            return Run("".join(c for c in text if c not in JOINERS), font, {})
        options: dict[str, Any] = {"direction": "rtl" if is_right else "ltr"}
        text = "".join(pieces)
        if not kana and any(script(c) == "CJK" for c in text):
            options["language"] = "zh-Hans"  # else Chinese is drawn in Japanese forms
        return Run(text, font, options)


def cleaned(text: str) -> str:
    """The text without what has no shape of its own: controls, marks of direction, selectors.

    Example:
        >>> cleaned("a\\x1bb\\u202ec\\ufe0f")
        'abc'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        for c in text
        if c in JOINERS
        or not (unicodedata.category(c) in ("Cc", "Cf", "Cs") or "\ufe00" <= c <= "\ufe0f")
    )


def clusters(text: str) -> list[str]:
    """Letters with the marks that belong to them, which no line or font may part.

    Example:
        >>> clusters("ab")
        ['a', 'b']
        >>> [len(cluster) for cluster in clusters("x\\u0301y")]
        [2, 1]
    """
    found: list[str] = []
    for c in cleaned(text):
        belongs = c in JOINERS or unicodedata.category(c) in ("Mn", "Mc", "Me")
        if found and (belongs or found[-1][-1] == "\u200d"):
            found[-1] += c
        else:
            found.append(c)
    return found


def script(character: str) -> str:
    """The script of a letter as Unicode's name of it begins; "emoji", or "signs".

    Example:
        >>> script("狐"), script("л"), script("🦊"), script("×")
        ('CJK', 'CYRILLIC', 'emoji', 'signs')
    """
    if ord(character) >= 0x1F000 and unicodedata.category(character) in ("So", "Sk"):
        return "emoji"
    if "\u3000" <= character <= "\u303f" or "\uff00" <= character <= "\uffef":
        return "CJK"  # its own commas and wide letters
    if not character.isalpha() and unicodedata.category(character)[0] != "M":
        return "signs"
    return unicodedata.name(character, "signs").partition(" ")[0].partition("-")[0]


def _directed(pieces: list[str]) -> list[tuple[bool, list[int]]]:
    """Stretches from left to right: whether each reads from right to left, and its clusters.

    The two levels of Unicode's bidirectional algorithm (https://www.unicode.org/reports/tr9/) that
    labels need: digits go with the letters before them; what has no direction takes that of its
    neighbours where they agree, else the line's, which is that of its first letter. Inside a
    stretch Raqm knows all levels.
    """
    kinds = [unicodedata.bidirectional(piece[0]) for piece in pieces]
    line = next((kind != "L" for kind in kinds if kind in ("L", "R", "AL")), False)
    if not {"R", "AL", "AN"} & {*kinds}:
        return [(False, [*range(len(pieces))])] if pieces else []
    strong: list[bool | None] = []
    for kind in kinds:
        if kind == "EN":
            strong.append(next((s for s in strong[::-1] if s is not None), line))
        else:
            strong.append({"L": False, "R": True, "AL": True, "AN": True}.get(kind))
    stretches: list[tuple[bool, list[int]]] = []
    for i, own in enumerate(strong):
        right = own
        if right is None:
            before = next((s for s in strong[i::-1] if s is not None), line)
            after = next((s for s in strong[i:] if s is not None), line)
            right = before if before == after else line
        if not stretches or stretches[-1][0] != right:
            stretches.append((right, []))
        stretches[-1][1].append(i)
    return stretches[::-1] if line else stretches


def _is_latin(character: str) -> bool:
    return script(character) in ("LATIN", "COMBINING")


@cache
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    if file == OWN:
        return ImageFont.load_default(size)  # type: ignore[return-value]  # bitmap only without FreeType
    if file == font_files.BUNDLED:
        size = round(size * SMALLER)
    try:
        return ImageFont.truetype(file, size)
    except OSError:  # a file that FreeType does not take
        return _font(font_files.BUNDLED, size)


@cache
def _boxes(size: int) -> CodeBox:
    return CodeBox(size)


@cache
def _own_ranges() -> font_files.Ranges:
    return font_files.ranges_of(_font(OWN, 13).font_bytes)


def _has(file: str, character: str) -> bool:
    ranges = _own_ranges() if file == OWN else font_files.ranges_in(file)
    return font_files.holds(ranges, character)


@cache
def _has_raqm() -> bool:
    return bool(features.check("raqm"))


def _say_missing(characters: set[str]) -> None:
    """Logs once a script of which letters the code points are drawn, and what to install."""
    first = {kind for kind in map(script, characters) if is_first(("no font has", kind))}
    new = [c for c in sorted(characters) if script(c) in first]
    lost: dict[tuple[str, str], dict[str, list[str]]] = {}
    for c in new:
        lost.setdefault(_fix(script(c)), {}).setdefault(script(c), []).append(c)
    for (font, package), by_script in lost.items():
        shown = [
            f"{''.join(letters[:8])}{'…' * (len(letters) > 8)} ({_named(kind)})"
            for kind, letters in by_script.items()
        ]
        notice(
            f"No font here has {', '.join(shown)}, so boxes with their code points stand for them: "
            f"install {font} "
            f"(on Debian, Ubuntu and Colab: apt-get install {package}) and draw again."
        )


def _fix(kind: str) -> tuple[str, str]:
    """A font for that script, and the Debian package that has it."""
    if kind in CJK:
        return "Noto Sans CJK", "fonts-noto-cjk"
    if kind == "emoji":
        return "a font of emoji without colours, such as Symbola", "fonts-symbola"
    return "Noto Sans", "fonts-noto-core"


def _named(kind: str) -> str:
    return kind if kind in ("CJK", "emoji", "signs") else kind.title()


def _say_unshaped(characters: set[str]) -> None:
    """Logs once that letters are not joined, where Pillow has no Raqm."""
    kinds = sorted({script(c) for c in characters} & (SHAPED | {"HEBREW"}))
    if kinds and not _has_raqm() and is_first("no Raqm"):
        notice(
            f"Pillow finds no Raqm here, so {', '.join(map(_named, kinds))} is drawn letter by "
            "letter, not joined: install FriBiDi (apt-get install libfribidi0, brew install "
            "fribidi) and restart Python."
        )
