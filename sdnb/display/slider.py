"""Slider: pictures to scrub through, or two to wipe between, in a page that needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape as escaped
from pathlib import Path
from typing import Any

from PIL import Image

from sdnb.display.grid import check_some
from sdnb.files import replacing
from sdnb.image_input import Source, rgb
from sdnb.settings import printable

SIDE = 512  # pixels: longest side of one picture in the page
PIXELS = 16 * SIDE * SIDE  # of all pictures together: more of them are smaller
BYTES = 750_000  # of all pictures together, as far as QUALITIES allow
QUALITIES = (88, 70, 50)  # of WebP; noise, which few steps leave, needs the lower ones
WIDE = 256  # pixels: smaller pictures are shown enlarged


@dataclass(frozen=True, eq=False, repr=False)
class Slider:
    """Pictures behind a slider; exactly two lie over each other, with an edge to drag.

    It shows itself in a notebook, saved or exported, without a kernel; where scripts do not run,
    the pictures stand side by side.

    Arguments:
        images: PIL pictures, files, `Sample`s or arrays, row by row.
        labels: one text a picture; with `row_labels`, one a column.
        row_labels: one text a row: then there are two sliders.
        title: what all pictures share.

    Raises:
        ValueError: pictures and labels differ in number, or there are none.

    Example:
        >>> tile = Image.new("RGB", (64, 64))
        >>> Slider([tile] * 3, ["12 steps", "24 steps", "38 steps"])
        Slider(3 pictures: 12 steps, 24 steps, 38 steps)
    """

    images: Sequence[Source]
    labels: Sequence[str]
    row_labels: Sequence[str] = ()
    title: str = ""

    def __post_init__(self) -> None:
        _check(len(self.images), len(self.labels), len(self.row_labels))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes a page of HTML, complete in one file; it opens in any browser, offline.

        Raises:
            ValueError: the path does not end in .html.
            OSError: it cannot be written; nothing half-written is left.
        """
        text = page(self.images, self.labels, row_labels=self.row_labels, title=self.title)
        with replacing(path, ".html", ".htm") as part:
            part.write_text(text, "utf-8")
        return Path(path).expanduser()

    def __repr__(self) -> str:
        rows = f" x {', '.join(self.row_labels)}" if self.row_labels else ""
        return printable(f"Slider({len(self.images)} pictures: {', '.join(self.labels)}{rows})")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        shown = view(self.images, self.labels, row_labels=self.row_labels, title=self.title)
        return {"text/plain": repr(self), "text/html": shown}


def page(
    images: Sequence[Source],
    labels: Sequence[str],
    *,
    row_labels: Sequence[str] = (),
    title: str = "",
) -> str:
    """The slider as a whole HTML page; arguments as for `Slider`."""
    shown = view(images, labels, row_labels=row_labels, title=title)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title.partition(chr(10))[0] or "Pictures")}</title>
<style>body {{ margin: 24px 16px }} .sdnb-live {{ margin: auto }}</style>
</head>
<body>
{shown}
</body>
</html>
"""


def view(
    images: Sequence[Source],
    labels: Sequence[str],
    *,
    row_labels: Sequence[str] = (),
    title: str = "",
) -> str:
    """The slider as a piece of HTML, as a notebook shows it; arguments as for `Slider`.

    Any number of them can be in one page. It is the same for the same pictures.
    """
    _check(len(images), len(labels), len(row_labels))
    pictures = [rgb(image) for image in images]
    axes = [list(texts) for texts in (row_labels, labels) if texts]
    captions = [f"{r} · {c}" for r in row_labels for c in labels] if row_labels else labels
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    wide = max(WIDE, width * SIDE // max(SIDE, width, height))
    figures = "\n".join(
        f'<figure><img src="data:image/webp;base64,{base64.b64encode(webp).decode()}" '
        f'alt="{escape(caption)}" width="{WIDE * picture.width // width}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for picture, webp, caption in zip(pictures, previews(pictures), captions)
    )
    # the classes keep MathJax away from a prompt with $ in it
    return f"""<div class="sdnb-slider tex2jax_ignore mathjax_ignore"
 style="--wide: {wide}px; --shape: {width} / {height}" data-axes="{escaped(json.dumps(axes))}">
<style>{STYLE}</style>
{f"<p>{escape(title)}</p>" if title else ""}
<div class="sdnb-stage">
{figures}
</div>
<div class="sdnb-controls"></div>
</div>
<script>{SCRIPT}</script>"""


def previews(images: Sequence[Source]) -> list[bytes]:
    """The pictures as small WebP files, small enough together for a page.

    Example:
        >>> [preview] = previews([Image.new("RGB", (2048, 1024))])
        >>> Image.open(io.BytesIO(preview)).size
        (512, 256)
    """
    side = min(SIDE, math.isqrt(PIXELS // len(images)))
    small = [rgb(image).copy() for image in images]
    for image in small:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)  # in place; never enlarges
    encoded: list[bytes] = []
    for quality in QUALITIES:
        encoded = [_webp(image, quality) for image in small]
        if sum(map(len, encoded)) <= BYTES:
            break
    return encoded


def escape(text: str) -> str:
    """The text as HTML that reads as this text again; but HTML has no NUL, and shows a mark."""
    return escaped(text).replace("\r", "&#13;").replace("\0", "&#0;")


def _webp(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()


def _check(images: int, labels: int, rows: int) -> None:
    check_some(images)
    if labels * (rows or 1) != images:
        raise ValueError(
            f"{labels} labels{f' x {rows} row labels' * bool(rows)} for {images} images: "
            f"give one label per {'column' if rows else 'image'}."
        )


# Without the script nothing is .sdnb-live, and the figures stand side by side. Colours are the
# page's own, for light and dark themes alike.
STYLE = """
.sdnb-slider { font: 14px/1.4 system-ui, sans-serif; overflow-wrap: anywhere }
.sdnb-slider p { margin: 0 0 8px; white-space: pre-line }
.sdnb-slider .sdnb-stage { display: flex; flex-wrap: wrap; gap: 8px }
.sdnb-slider figure { margin: 0; padding: 0; max-width: 100% }
.sdnb-slider img { display: block; margin: 0; max-width: 100%; height: auto }
.sdnb-slider.sdnb-live { width: var(--wide); max-width: 100% }
.sdnb-live .sdnb-stage { display: grid; position: relative; aspect-ratio: var(--shape) }
.sdnb-live figure { grid-area: 1 / 1; min-width: 0; min-height: 0 }
.sdnb-live figure[hidden], .sdnb-live figcaption { display: none }
.sdnb-live img { width: 100%; height: 100%; object-fit: contain }
.sdnb-live .sdnb-controls > label:not([hidden]) { display: block; margin: 8px 0 0 }
.sdnb-live .sdnb-texts { display: flex; justify-content: space-between; gap: 16px }
.sdnb-live .sdnb-texts :first-child { font-weight: 600 }
.sdnb-live .sdnb-texts :last-child { flex: none }
.sdnb-live .sdnb-controls input { width: 100%; margin: 4px 0; height: 24px; cursor: pointer }
.sdnb-live .sdnb-edge { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0;
  opacity: 0; cursor: ew-resize; touch-action: pan-y; -webkit-appearance: none; appearance: none }
.sdnb-edge::-webkit-slider-thumb { -webkit-appearance: none; width: 2px; height: 100% }
.sdnb-edge::-moz-range-thumb { width: 2px; height: 100%; border: 0 }
.sdnb-wipe figure:last-of-type img { clip-path: inset(0 0 0 var(--cut)) }
.sdnb-wipe .sdnb-stage::before, .sdnb-wipe .sdnb-stage::after { content: ""; z-index: 1;
  position: absolute; left: var(--cut); transform: translateX(-50%); pointer-events: none;
  background: #fff; box-shadow: 0 0 0 1px #0008 }
.sdnb-wipe .sdnb-stage::before { width: 2px; top: 0; bottom: 0 }
.sdnb-wipe .sdnb-stage::after { width: 10px; height: 32px; top: calc(50% - 16px);
  border-radius: 5px }
.sdnb-wipe .sdnb-stage:has(:focus-visible) { outline: 2px solid currentColor; outline-offset: 2px }
.sdnb-wipe .sdnb-texts { margin-top: 8px }
.sdnb-wipe .sdnb-texts :last-child { font-weight: 600; flex: 0 1 auto; text-align: right }
"""

# It takes every slider of the page that is not live yet, so it needs no ids, and it does not
# matter when or how often it runs. A page that was saved while live has no properties, only marks.
SCRIPT = """
(() => {
  const made = (name, parent, properties = {}) =>
    parent.appendChild(Object.assign(document.createElement(name), properties));

  const range = (parent, name, properties) => {
    const input = made("input", parent, { type: "range", ...properties });
    input.setAttribute("aria-label", name);
    input.setAttribute("data-lm-suppress-shortcuts", "");  // else JupyterLab takes arrow keys
    return input;
  };

  const scrub = (axes, figures, controls) => {
    const roles = axes.length > 1 ? ["Row", "Column"] : ["Picture"];
    const moving = axes.map((texts, i) => {
      const label = made("label", controls, { hidden: texts.length < 2 });
      const line = made("div", label, { className: "sdnb-texts" });
      const [name, count] = [made("span", line), made("span", line)];
      const most = texts.length - 1;
      const input = range(label, roles[i], { max: most, value: 0 });
      return { texts, name, count, input };
    });
    const show = () => {
      let at = 0;
      for (const { texts, name, count, input } of moving) {
        at = at * texts.length + Number(input.value);
        name.textContent = texts[input.value];
        count.textContent = `${Number(input.value) + 1} of ${texts.length}`;
        input.setAttribute("aria-valuetext", texts[input.value]);
      }
      figures.forEach((figure, i) => { figure.hidden = i !== at; });
    };
    controls.oninput = show;
    controls.onkeydown = event => {  // in a table, up and down change the row
      const [axis, by] = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [1, -1],
        ArrowRight: [1, 1] }[event.key] || [];
      if (by === undefined || moving.some(({ texts }) => texts.length < 2) || !moving[1]) return;
      event.preventDefault();
      moving[axis].input.value = Number(moving[axis].input.value) + by;
      show();
    };
    show();
  };

  const wipe = (names, view, stage, controls) => {
    view.classList.add("sdnb-wipe");
    const edge = range(stage, `Edge between ${names.join(" and ")}`, { max: 100, value: 50 });
    edge.className = "sdnb-edge";
    const line = made("div", controls, { className: "sdnb-texts" });
    for (const textContent of names) made("span", line, { textContent });
    edge.oninput = () => {
      stage.style.setProperty("--cut", `${edge.value}%`);
      edge.setAttribute("aria-valuetext", `${edge.value}% ${names[0]}`);
    };
    edge.oninput();
  };

  for (const view of document.querySelectorAll(".sdnb-slider")) {
    if (view.sdnbLive) continue;
    view.sdnbLive = true;
    view.classList.add("sdnb-live");
    const [stage, controls] = view.querySelectorAll(".sdnb-stage, .sdnb-controls");
    const figures = [...stage.querySelectorAll("figure")];
    controls.replaceChildren();
    stage.querySelector(".sdnb-edge")?.remove();
    if (figures.length === 2) {
      wipe(figures.map(figure => figure.textContent), view, stage, controls);
    } else {
      scrub(JSON.parse(view.dataset.axes), figures, controls);
    }
  }
})();
"""
