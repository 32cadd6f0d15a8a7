"""image_grid: pictures and their labels as one picture."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from PIL import Image, ImageDraw

from sdnb.display.text_line import Typeface, clusters
from sdnb.image_input import Source, rgb

GAP = 6  # pixels between pictures and around the labels
MOST_LINES = 6  # of one paragraph in a label: a longer one ends in "…"
PAPER, INK, FAINT = "#ffffff", "#1f2328", "#59636e"  # contrast at least 4.5 : 1 on the paper


def image_grid(
    images: Sequence[Source],
    rows: int | None = None,
    cols: int | None = None,
    *,
    labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    col_labels: Sequence[str] | None = None,
    title: str = "",
    footer: str = "",
) -> Image.Image:
    """Sets pictures into rows and columns, filled row by row.

    Pictures of different sizes share the largest cell and are centred in it; none is scaled.
    Without any text the result has no border: `rows * height` by `cols * width` pixels.

    Arguments:
        images: PIL pictures, files, `Sample`s or arrays, as `sdnb.image_input.picture` takes them;
            at least one. What is transparent lies on white.
        rows: number of rows; what is left out is worked out from the other.
        cols: number of columns; with both left out, one row.
        labels: one text a picture, set below it.
        row_labels: one text a row, set to its left.
        col_labels: one text a column, set above it.
        title: a text above everything; broken into lines where it is long.
        footer: a small text below everything.

    Returns:
        One RGB picture.

    Raises:
        ValueError: no pictures, the cells cannot hold them, or labels and pictures differ in
            number; the sentence says both numbers.

    Example:
        >>> from PIL import Image
        >>> tile = Image.new("RGB", (64, 48))
        >>> image_grid([tile] * 4, rows=2, cols=2).size  # (width, height)
        (128, 96)
    """
    rows, cols = shape_of(len(images), rows, cols)
    check_texts("labels", labels, "images", len(images))
    check_texts("row labels", row_labels, "rows", rows)
    check_texts("column labels", col_labels, "columns", cols)
    texts = [labels, row_labels, col_labels, title, footer]
    gap = GAP if any(texts) else 0
    pictures = [rgb(image) for image in images]
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)

    below = _Block(labels or [], width, 13, INK)
    above = _Block(col_labels or [], width, 13, INK)
    beside = _Block(row_labels or [], max(96, min(width, 160)), 13, INK)
    left = beside.width + gap if row_labels else 0
    whole = left + cols * (width + gap) + gap
    head = _Block([title] if title else [], whole - 2 * gap, 16, INK)
    foot = _Block([footer] if footer else [], whole - 2 * gap, 11, FAINT)

    row_height = height + (below.height + gap if labels else 0)
    top = gap + (head.height + gap if title else 0) + (above.height + gap if col_labels else 0)
    end = top + rows * (row_height + gap)
    sheet = Image.new("RGB", (whole, end + (foot.height + gap if footer else 0)), PAPER)
    pen = ImageDraw.Draw(sheet)

    head.draw(pen, 0, gap, gap, "left")
    for col in range(cols if col_labels else 0):
        above.draw(pen, col, gap + left + col * (width + gap), top - gap - above.height)
    for row in range(rows if row_labels else 0):
        middle = top + row * (row_height + gap) + (height - beside.heights[row]) // 2
        beside.draw(pen, row, gap, middle, "right")
    for i, picture in enumerate(pictures):
        x = gap + left + (i % cols) * (width + gap)
        y = top + (i // cols) * (row_height + gap)
        place = (x + (width - picture.width) // 2, y + (height - picture.height) // 2)
        sheet.paste(picture, place)
        if labels:
            below.draw(pen, i, x, y + height + gap)
    foot.draw(pen, 0, gap, end, "left")
    return sheet


def shape_of(count: int, rows: int | None, cols: int | None) -> tuple[int, int]:
    """Rows and columns that hold `count` pictures.

    Arguments:
        count: of pictures.
        rows, cols: 1 or more; None follows from the other, and where both are, it is one row.

    Raises:
        ValueError: there are no pictures, or too few cells for them.

    Example:
        >>> shape_of(4, None, None), shape_of(5, 2, None)
        ((1, 4), (2, 3))
    """
    check_some(count)
    for name, value in (("rows", rows), ("cols", cols)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}: give 1 or more.")
    if rows is None:
        cols = cols or count
        rows = math.ceil(count / cols)
    elif cols is None:
        cols = math.ceil(count / rows)
    if rows * cols < count:
        raise ValueError(f"{rows} x {cols} = {rows * cols} cells cannot hold {count} images.")
    return rows, cols


class _Block:
    """Texts of one kind, each broken into lines of at most `width` pixels."""

    def __init__(self, texts: Sequence[str], width: int, size: int, ink: str):
        texts = [unicodedata.normalize("NFC", text) for text in texts]
        self.width, self.face, self.ink = width, Typeface(size, texts), ink
        self.texts = [_lines(text, width, self.face) for text in texts]
        self.heights = [sum(map(self.face.height, lines)) for lines in self.texts]
        self.height = max(self.heights, default=0)

    def draw(
        self, pen: ImageDraw.ImageDraw, i: int, x: float, y: float, align: str = "center"
    ) -> None:
        """Draws text `i` into the box whose upper left corner is (x, y), if there is one."""
        for line in self.texts[i] if self.texts else []:
            space = self.width - self.face.getlength(line)
            shift = {"left": 0.0, "center": space / 2, "right": space}[align]
            self.face.draw(pen, x + shift, y, line, self.ink)
            y += self.face.height(line)


def _lines(text: str, width: int, face: Typeface) -> list[str]:
    """The text's paragraphs as lines, broken where they are too long."""
    lines = []
    most = MOST_LINES * width  # letters: hardly any is narrower than a pixel
    for paragraph in text.splitlines()[:MOST_LINES] or [""]:
        broken = _broken(paragraph[:most], width, face)
        whole = len(broken) <= MOST_LINES and len(paragraph) <= most
        lines += broken if whole else [*broken[: MOST_LINES - 1], "…"]
    return lines


def _broken(paragraph: str, width: int, face: Typeface) -> list[str]:
    """Lines of at most `width` pixels, broken at spaces, or else inside words.

    There are enough of them to see whether the paragraph is too long, but no more.
    """
    lines = [""]
    for word in paragraph.split():
        if len(lines) > MOST_LINES:
            break
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in clusters(word):
            if lines[-1] and face.getlength(lines[-1] + letter) > width:
                if len(lines) > MOST_LINES:
                    break
                lines.append("")
            lines[-1] += letter
    return lines


def check_some(images: int) -> None:
    """Raises ValueError where there is no image."""
    if not images:
        raise ValueError("There are no images: give at least one.")


def check_texts(name: str, texts: Sequence[str] | None, what: str, count: int) -> None:
    """Raises ValueError where texts and what they belong to differ in number."""
    if texts is not None and len(texts) != count:
        raise ValueError(
            f"{len(texts)} {name} for {count} {what}: give one {name.removesuffix('s')} "
            f"per {what.removesuffix('s')}, or none."
        )
