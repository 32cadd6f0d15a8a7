"""Sheet: samples in rows and columns, as one labelled picture, a table, a plot, a slider."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from sdnb.display.grid import GAP, image_grid
from sdnb.display.preview import LEAST, MOST, enlarged, preview
from sdnb.image_input import Source, rgb
from sdnb.records import metadata
from sdnb.records.sample import Elsewhere, Sample, about, maker, model_name, why_black
from sdnb.settings import NAMES, printable

if TYPE_CHECKING:
    from sdnb.display import plots
    from sdnb.display.slider import Slider

WIDE = 16  # pictures of a single axis in one line
FEW = 64  # pictures of a sheet whose whole grid is shown, and that its text names
SHOWN = 256  # pictures of a larger sheet that are shown
LARGE = 80_000_000  # pixels of a sheet, from which on it is reduced; Pillow warns at 89 million


@dataclass(frozen=True, eq=False, repr=False)
class Sheet:
    """Samples in rows and columns, with what differs as labels.

    Attributes:
        samples: row by row.
        rows, cols: their numbers, on each page.
        row_labels, col_labels: one text a row and a column, or none.
        title: what all samples share.
        page_labels: one text a page; none where there is one page.
        note: a text below all.
        below: one text a sample, under its picture; or none.

    Raises:
        ValueError: pages x rows x cols is not the number of samples.
    """

    samples: Sequence[Sample]
    rows: int
    cols: int
    row_labels: Sequence[str] = ()
    col_labels: Sequence[str] = ()
    title: str = ""
    page_labels: Sequence[str] = ()
    note: str = ""
    below: Sequence[str] = ()

    def __post_init__(self) -> None:
        cells = self.pages * self.rows * self.cols
        if cells != len(self.samples):
            pages = f"{self.pages} x " if self.page_labels else ""
            raise ValueError(
                f"{pages}{self.rows} x {self.cols} = {cells} cells "
                f"for {len(self.samples)} samples: the numbers must agree."
            )

    @property
    def pages(self) -> int:
        """How many tables there are."""
        return len(self.page_labels) or 1

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> Sample:
        return self.samples[i]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def grid(self) -> Image.Image:
        """The sheet as one labelled picture; samples under 256 pixels wide are enlarged.

        More than 16 of a single axis are set in lines; of very many each is reduced.

        Under each stands what it cost; with `SDNB_TIMES=off` in the environment no seconds, so
        that a picture stored in a notebook is the same tomorrow.
        """
        return self._drawn()

    def _shape(self) -> tuple[int, int]:
        """Rows and columns as they are drawn: a long single axis is set in lines."""
        count = max(self.rows, self.cols)
        if min(self.rows, self.cols) > 1 or count <= WIDE:
            return self.rows, self.cols
        lines = math.ceil(count / max(WIDE, math.sqrt(count)))
        return lines, math.ceil(count / lines)

    def _drawn(self, width: int | None = None) -> Image.Image:
        """The sheet as one picture, each of its pictures so many pixels wide at most."""
        # dtype and device only where they tell pictures apart: another device's sheet reads alike
        makers = dict.fromkeys(model_name(s.facts) for s in self.samples)
        exactly = dict.fromkeys(maker(s.facts) for s in self.samples)
        if len(exactly) > len(makers):
            makers = exactly
        black: dict[str, list[str]] = {}
        for i, sample in enumerate(self.samples, 1):
            for why in why_black(sample.facts):
                black.setdefault(why, []).append(str(i))
        notes = [*makers, *(f"{why}: {', '.join(which)}" for why, which in black.items())]
        if self.note:
            notes.append(self.note)
        images = _fitted([rgb(s.image) for s in self.samples], width)
        below = [*map(_cost, self.samples)]
        if self.below:
            below = ["\n".join(filter(None, both)) for both in zip(below, self.below)]
        size, titles = self.rows * self.cols, list(self.page_labels) or [self.title]
        row_labels, col_labels = self.row_labels, self.col_labels
        rows, cols = self._shape()
        if (rows, cols) != (self.rows, self.cols):  # each label goes below its picture
            names, others = (col_labels, row_labels) if self.rows == 1 else (row_labels, col_labels)
            if names:
                below = [f"{names[i % size]}\n{cost}" for i, cost in enumerate(below)]
            titles = ["\n".join(filter(None, [title, *others])) for title in titles]
            row_labels = col_labels = ()
        tables = [
            image_grid(
                images[start : start + size],
                rows,
                cols,
                labels=below[start : start + size] if any(below) else None,
                row_labels=row_labels or None,
                col_labels=col_labels or None,
                title=titles[start // size],
                footer="" if self.page_labels else " · ".join(notes),
            )
            for start in range(0, len(images), size)
        ]
        if not self.page_labels:
            return tables[0]
        return image_grid(tables, cols=1, title=self.title, footer=" · ".join(notes))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the labelled picture, and each of its pictures beside it as NAME-1.png, ….

        All carry settings and facts; files of these names are replaced. The name may also end in
        .webp or .jpg.

        Returns:
            The path of the labelled picture; `files` gives those of the others.

        Raises:
            ValueError: the path ends otherwise, or the sheet is too large a picture.
            OSError: it cannot be written; nothing half-written is left.
        """
        path = metadata.check_writable(path)
        whole = self.grid()
        if whole.width * whole.height > 2 * (Image.MAX_IMAGE_PIXELS or math.inf):
            raise ValueError(
                f"A sheet of {len(self)} pictures is {whole.width} x {whole.height} pixels, more "
                "than is read again: save its samples one by one."
            )
        for sample, file in zip(self.samples, self.files(path)):
            sample.save(file)
        return metadata.save(whole, path, [(s.settings, s.facts) for s in self.samples])

    def files(self, path: str | os.PathLike[str]) -> list[Path]:
        """Where `save` puts the single pictures; none where there is but one."""
        path, count = Path(path).expanduser(), len(self.samples)
        return [path.with_name(f"{path.stem}-{i + 1}.png") for i in range(count) if count > 1]

    def table(self) -> list[dict[str, Any]]:
        """One row a picture with its settings and facts, as `pandas.DataFrame` takes them.

        Example:
            >>> from sdnb import Settings
            >>> sheet = Sheet([Sample(Image.new("RGB", (8, 8)), Settings("a fox", steps=50))], 1, 1)
            >>> sheet.table()[0]["steps"]
            50
        """
        return [_row(sample) for sample in self.samples]

    def plot(self) -> plots.Plot:
        """How far each picture is from the one with most steps, against steps, calls and seconds.

        Raises:
            ValueError: no two pictures differ in steps alone.
            ModuleNotFoundError: matplotlib is not installed.
        """
        from sdnb.display import plots

        return plots.convergence([s for s in self.samples if not isinstance(s, Elsewhere)])

    def slider(self) -> Slider:
        """A view to scrub through, with mouse or arrow keys, that needs no kernel.

        It works in a saved notebook, an exported page, and as a file of its own:
        `sheet.slider().save("fox.html")`.
        """
        from sdnb.display.slider import Slider

        rows = list(self.row_labels)
        if self.page_labels:
            rows = [f"{p}, {r}" if r else p for p in self.page_labels for r in rows or [""]]
        cols = list(self.col_labels) or [str(i + 1) for i in range(self.cols)]
        return Slider([s.image for s in self.samples], cols, rows, self.title)

    def animate(
        self, path: str | os.PathLike[str], *, seconds: float = 0.5, labels: bool = True
    ) -> Path:
        """Writes the pictures one after another as a .gif, .webp or .mp4 that runs in a loop.

        Arguments:
            path: where; the ending says what.
            seconds: that each picture stays.
            labels: whether its label stands under each.

        Raises:
            ValueError: another ending.
            OSError: it cannot be written.
        """
        from sdnb.display.animation import animate

        slider = self.slider()
        names = [
            ", ".join(filter(None, [row, col]))
            for row in slider.row_labels or [""]
            for col in slider.labels
        ]
        images = enlarged([rgb(s.image) for s in self.samples])
        return animate(images, path, seconds=seconds, labels=names if labels else None)

    def beside(self, pictures: Source | Sequence[Source], name: str) -> Sheet:
        """The sheet with one more column: pictures from elsewhere, such as another program's.

        Arguments:
            pictures: one a row, as PIL pictures, files or arrays; a single one where there is one
                row. They are fitted into the size of the others.
            name: the column's label, and all that is known of the pictures: their samples'
                `settings` are None, `table` has no numbers for them, and their files no settings.

        Raises:
            ValueError: another number of pictures than rows.
        """
        several = isinstance(pictures, (list, tuple, Sheet))
        given: list[Any] = [*pictures] if several else [pictures]  # type: ignore[misc]
        lines = self.pages * self.rows
        if len(given) != lines:
            raise ValueError(f"{len(given)} pictures for {lines} rows: give one picture per row.")
        samples: list[Sample] = []
        below: list[str] = []
        for i, picture in enumerate(given):
            below += [*self.below[i * self.cols : (i + 1) * self.cols], ""] if self.below else []
            line = list(self.samples[i * self.cols : (i + 1) * self.cols])
            fitted = ImageOps.pad(rgb(picture), line[-1].image.size, color="white")
            samples += [*line, Elsewhere(fitted, name)]
        labels = self.col_labels or [""] * self.cols
        return replace(
            self, samples=samples, cols=self.cols + 1, col_labels=[*labels, name], below=below
        )

    def __repr__(self) -> str:
        title = printable(self.title.replace("\n", " · "))
        lines = [f"Sheet({self.rows} x {self.cols}: {title})"]
        lines += [f"  {about(s)}" for s in self.samples[:FEW]]
        more = len(self) - FEW
        return "\n".join([*lines, f"  … and {more} more"] if more > 0 else lines)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/plain": repr(self), **preview(self._view())}

    def _view(self) -> Image.Image:
        """What a notebook shows; of a large sheet the first rows and columns, reduced to fit."""
        if len(self) <= FEW:
            return self.grid()
        cols = min(self.cols, WIDE if self.rows > 1 else SHOWN)
        rows = min(self.rows, SHOWN // cols)
        pages = min(self.pages, SHOWN // (rows * cols))
        places = [
            (page * self.rows + row) * self.cols + col
            for page in range(pages) for row in range(rows) for col in range(cols)
        ]  # fmt: skip
        hidden = len(places) < len(self)
        part = replace(
            self, samples=[self.samples[i] for i in places], rows=rows, cols=cols,
            row_labels=self.row_labels[:rows], col_labels=self.col_labels[:cols],
            page_labels=self.page_labels[:pages],
            below=[self.below[i] for i in places] if self.below else (),
            note=" · ".join(filter(None, [
                f"showing {len(places)} of {len(self)} pictures" * hidden, self.note,
            ])),
        )  # fmt: skip
        return part._drawn(MOST // part._shape()[1] - GAP)


def _fitted(images: list[Image.Image], width: int | None) -> list[Image.Image]:
    """The pictures as they go into a sheet: enlarged if small, reduced if so many are too large.

    Arguments:
        images: the pictures.
        width: pixels that the widest may have; None for as many as there is room for.
    """
    widest, highest = (max(side) for side in zip(*(image.size for image in images)))
    if width is None:
        times = -(-LEAST // widest)
        area = (widest * times + GAP) * (highest * times + 10 * GAP) * len(images)  # with labels
        if area <= LARGE:
            return enlarged(images)
        width = int(math.sqrt(LARGE / 2 / len(images) * widest / highest))
    scale = min(1, width / widest)
    return [
        image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
        for image in images
    ]


def _cost(sample: Sample) -> str:
    """ "50 calls, 1.2 s", as far as it is known."""
    calls, seconds = (sample.facts.get(name) for name in ("denoiser_calls", "seconds"))
    texts = [f"{calls} call{'s' * (calls != 1)}"] if calls else []
    if seconds and os.environ.get("SDNB_TIMES") != "off":
        texts.append(f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds * 1000:.0f} ms")
    return ", ".join(texts)


def _row(sample: Sample) -> dict[str, Any]:
    facts = {k: v for k, v in sample.facts.items() if not isinstance(v, (dict, list, tuple))}
    known = not isinstance(sample, Elsewhere)
    return (sample.settings.to_dict() if known else dict.fromkeys(NAMES)) | facts
