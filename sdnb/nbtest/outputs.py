"""The pictures and texts of a cell's outputs, stored and fresh."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

# what an output may offer of one picture, the form without loss first
TYPES = ("image/png", "image/webp", "image/gif", "image/jpeg")
URI = re.compile(
    r"data:(image/(?:png|webp|gif|jpe?g))(?:;[\w=-]+)*;base64,((?:[A-Za-z0-9+/=]|\\?\n|%2B|%2F|%3D)+)"
)
MOST = 8  # differing pictures of one cell that are drawn and reported
BEFORE = r"(?:(?<![\w/+.~-])|(?<=\[0m)|(?<=\[\d\dm)|(?<=;\d\dm))"  # or the end of a colour code

TIMINGS = (
    # %time, %%time
    (re.compile(r"^(CPU times: |Wall time: ).*$", re.M), r"\1…"),
    # %timeit
    (re.compile(r"^.* per loop \(mean ± std\. dev\. of .*\)$", re.M), "… per loop"),
    # tqdm: [00:12<00:38, 4.10it/s]
    (re.compile(r"\[\d+:\d\d(?::\d\d)?(?:<|, )[^\]\n]*(?:/s|s/)[^\]\n]*\]"), "[…]"),
)


class Tolerance(NamedTuple):
    """What may differ and still pass.

    Attributes:
        mean: grey levels of 255; a picture passes up to it.
        ssim: a picture passes down to it.
    """

    mean: float
    ssim: float

    def of(self, metadata: Mapping[str, Any]) -> Tolerance:
        """This tolerance with what a cell's metadata say under `nbtest`.

        Raises:
            ValueError: they say something else than `mean` and `ssim` with numbers in range.

        Example:
            >>> Tolerance(3, 0.9).of({"nbtest": {"mean": 6}})
            Tolerance(mean=6, ssim=0.9)
        """
        given = metadata.get("nbtest", {})
        known = isinstance(given, Mapping) and set(given) <= set(self._fields)
        if not known or not all(_number(value) for value in given.values()):
            raise ValueError(f"{given!r} in the cell's metadata: {WANTED}.")
        changed = self._replace(**given)
        if not (0 <= changed.mean <= 255 and -1 <= changed.ssim <= 1):
            raise ValueError(f"{given!r} in the cell's metadata: {WANTED}.")
        return changed


WANTED = "nbtest knows mean (0 to 255) and ssim (-1 to 1), such as {'mean': 6, 'ssim': 0.8}"


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Picture(NamedTuple):
    """One picture of an output.

    Attributes:
        place: where it stands, such as `output 2`.
        forms: its bytes in base64, by their type; an output may offer the same as PNG and JPEG.
    """

    place: str
    forms: Mapping[str, str]


class Difference(NamedTuple):
    """A picture that is not as it should be.

    Attributes:
        sentence: what is wrong, with the numbers and the limits.
        sheet: expected, actual and difference; None where neither can be shown.
    """

    sentence: str
    sheet: Image.Image | None


def pictures(outputs: Iterable[Mapping[str, Any]]) -> list[Picture]:
    """The pictures of a cell's outputs, in their order, also those inside HTML and other texts.

    Example:
        >>> html = '<img src="data:image/png;base64,iVBORw0KGgo=">'
        >>> pictures([{"data": {"text/html": html}}])
        [Picture(place='output 1, text/html', forms={'image/png': 'iVBORw0KGgo='})]
    """
    found = []
    for number, output in enumerate(outputs, 1):
        data = output.get("data", {})
        if forms := {kind: data[kind] for kind in TYPES if kind in data}:
            found.append(Picture(f"output {number}", forms))
        for kind, text in data.items():
            if isinstance(text, str) and kind not in TYPES:
                found += [
                    Picture(f"output {number}, {kind}", {match[1].replace("jpg", "jpeg"): match[2]})
                    for match in URI.finditer(text)
                ]
    return found


def differences(
    stored: Iterable[Mapping[str, Any]],
    fresh: Iterable[Mapping[str, Any]],
    tolerance: Tolerance,
) -> list[Difference]:
    """What differs between the pictures of stored and of fresh outputs; empty where they agree.

    The first stored picture is compared with the first fresh one, and so on. Where both offer
    several forms, the best that both have is compared; a PNG that has become a JPEG is compared
    by its pixels.

    Arguments:
        stored: a cell's outputs as in the notebook file.
        fresh: its outputs from running it.
        tolerance: how much may differ.
    """
    kept, made = pictures(stored), pictures(fresh)
    counts = f"{len(kept)} stored, {len(made)} fresh"
    found = []
    for number, (old, new) in enumerate(zip_longest(kept, made), 1):
        place = f"Picture {number} ({(old or new).place})"
        if difference := _difference(old, new, place, counts, tolerance):
            found.append(difference)
    return found


def _difference(
    old: Picture | None, new: Picture | None, place: str, counts: str, tolerance: Tolerance
) -> Difference | None:
    from sdnb.nbtest import likeness  # here, so that a pytest without pictures loads no NumPy

    shared = [kind for kind in TYPES if old and new and kind in old.forms and kind in new.forms]
    try:
        expected = _opened(old, shared, "stored") if old else None
        actual = _opened(new, shared, "fresh") if new else None
    except ValueError as error:
        return Difference(f"{place}: {error}", None)
    if expected is None or actual is None:
        sentence = f"{place}: {'one too many' if new else 'missing'}; pictures: {counts}."
        return Difference(sentence, likeness.side_by_side(expected, actual, sentence))
    try:
        alike = likeness.likeness(expected, actual)
    except ValueError as error:
        sentence = f"{place}: {error}"
        return Difference(sentence, likeness.side_by_side(expected, actual, sentence))
    if alike.mean <= tolerance.mean and alike.ssim >= tolerance.ssim:
        return None
    kinds = "" if shared else f" ({expected.format} stored, {actual.format} fresh)"
    left, top, right, bottom = alike.box
    frame = f" of frame {alike.frame + 1}" if getattr(expected, "n_frames", 1) > 1 else ""
    sentence = (
        f"{place} differs{kinds}: mean absolute difference {alike.mean:.2f} "
        f"(at most {tolerance.mean:g}), SSIM {alike.ssim:.3f} (at least {tolerance.ssim:g}); "
        f"worst at x {left} to {right}, y {top} to {bottom}{frame}."
    )
    sheet = likeness.side_by_side(expected, actual, sentence, alike.frame, alike.box)
    return Difference(sentence, sheet)


def _opened(picture: Picture, shared: list[str], whose: str) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    kind = shared[0] if shared else next(iter(picture.forms))
    text = picture.forms[kind].replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")
    try:
        image = Image.open(io.BytesIO(base64.b64decode(text)))
        image.load()
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"the {whose} {kind} cannot be read: {error}") from error
    return image


def with_texts(
    outputs: Iterable[dict[str, Any]], change: Callable[[str], str], *, keep: bool
) -> list[dict[str, Any]]:
    """Copies of outputs with their texts changed.

    Arguments:
        outputs: a cell's outputs.
        change: is given each text and returns the new one; pictures are not given to it.
        keep: whether pictures stay; without, they are left out, also from inside other texts.
    """
    changed = []
    for output in outputs:
        copy: dict[str, Any] = {**output}
        for key in ("text", "evalue"):
            if key in copy:
                copy[key] = change(copy[key])
        if "traceback" in copy:
            copy["traceback"] = [change(line) for line in copy["traceback"]]
        if "data" in copy:
            copy["data"] = {
                kind: value if kind in TYPES else _changed(value, change, keep)
                for kind, value in copy["data"].items()
                if keep or kind not in TYPES
            }
        changed.append(type(output)(copy))  # nbformat's dict has its keys as attributes too
    return changed


def _changed(value: Any, change: Callable[[str], str], keep: bool) -> Any:
    if not isinstance(value, str):
        return value
    parts, end = [], 0
    for match in URI.finditer(value):
        parts += [change(value[end : match.start()]), match[0] if keep else "data:image"]
        end = match.end()
    return "".join([*parts, change(value[end:])])


def scrubbed(text: str, roots: Mapping[str, str], ignored: Iterable[re.Pattern[str]] = ()) -> str:
    """A text without what is different on each machine and in each run.

    Replaced are paths under the given roots, the name that IPython gives to a cell's code in
    warnings, and timings in three exact forms: those of %time, of %timeit and of tqdm's bars.

    Arguments:
        text: any text.
        roots: folders and what stands for them.
        ignored: what they match becomes "…" too.

    Example:
        >>> scrubbed("saved to /home/me/cat.png", {"/home/me": "~"})
        'saved to ~/cat.png'
        >>> scrubbed("Wall time: 3.2 s", {})
        'Wall time: …'
    """
    for pattern, put in [*TIMINGS, *((each, "…") for each in ignored)]:
        text = pattern.sub(put, text)
    text = re.sub(BEFORE + r"[\w/.+-]*/ipykernel_\d+/\d+\.py", "<cell>", text)
    for root in sorted(roots, key=len, reverse=True):
        text = re.sub(BEFORE + re.escape(root) + r"(?![\w.-])", roots[root], text)
    return text
