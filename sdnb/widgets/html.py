"""The texts of a panel as HTML; everything that a person typed is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from sdnb.display import slider
from sdnb.generation.init_image import Start
from sdnb.models.provenance import Origin
from sdnb.records import sample
from sdnb.records.sample import Sample
from sdnb.records.sheet import Sheet
from sdnb.settings import LORA, Settings
from sdnb.widgets import parsing

QUIET = "tex2jax_ignore mathjax_ignore"  # keeps MathJax away from a prompt with $ in it

# The button copies without asking the kernel. Where the page may not use the clipboard, it shows
# the text, selected.
COPY = """
const stage = this.closest('.sdnb-stage-box'), text = this.dataset.text;
const say = words => { stage.querySelector('.sdnb-said').textContent = words; };
const select = () => {
  const pre = stage.querySelector('pre');
  stage.querySelector('details').open = true;
  pre.textContent = text;
  getSelection().selectAllChildren(pre);
  say(document.execCommand('copy') ? 'Copied.' : 'Press Ctrl+C to copy.');
};
if (navigator.clipboard) navigator.clipboard.writeText(text).then(() => say('Copied.'), select);
else select();
"""


def tokens(count: int, most: int | None, lost: str, unknown: Sequence[str] = ()) -> str:
    """How long a prompt is, which end of it would be cut, which words are not known.

    Example:
        >>> tokens(6, 75, "")
        '<span>6 of 75 tokens</span>'
    """
    texts = [f"<span>{count} of {most} tokens</span>"] if most else []
    if lost:
        texts.append(f"<strong>would be cut: “{escape(lost)}”</strong>")
    if unknown:
        texts.append(f"<span>not known: {escape(', '.join(unknown))}</span>")
    return " · ".join(texts)


def progress(done: int, total: int, seconds: float) -> str:
    """A bar, and how much longer it takes.

    Arguments:
        done, total: denoiser calls.
        seconds: since the first.
    """
    words = f"{done} of {total}"
    if left := remaining(done, total, seconds):
        words += f" · {left}"
    return (
        f'<label class="sdnb-bar"><span>{words}</span>'
        f'<progress value="{done}" max="{max(total, 1)}">{words}</progress></label>'
    )


def remaining(done: int, total: int, seconds: float) -> str:
    """How much longer, in words; nothing before there is something to tell from.

    Example:
        >>> remaining(10, 50, 1.0), remaining(1, 50, 60), remaining(10, 50, 60), remaining(0, 9, 0)
        ('4 s left', '49 min left', '4 min left', '')
    """
    if not 0 < done < total:
        return ""
    left = seconds / done * (total - done)
    if left < 1:
        return "under 1 s left"
    return f"{left:.0f} s left" if left < 100 else f"{left / 60:.0f} min left"


def failed(error: Exception) -> str:
    """An error in one sentence; its kind too, where it is not one of ours."""
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, (ValueError, TypeError, OSError, MemoryError)) and first:
        return first
    return f"This failed: {type(error).__name__}: {first}"


def said(text: str, wrong: bool = False) -> str:
    """A message; screen readers read an error out at once."""
    if not text:
        return '<div role="status"></div>'
    kind = 'class="sdnb-wrong" role="alert"' if wrong else 'role="status"'
    return f'<div {kind}><p class="{QUIET}">{escape(text)}</p></div>'


def caption(shown: Sample) -> str:
    """Prompt, numbers and maker below a picture, and why it is black where it is."""
    lines = "".join(
        f"<p>{escape(line)}</p>" for line in sample.lines_of(shown, sample.maker_with_parts)
    )
    return f'<div class="sdnb-about {QUIET}">{lines}</div>'


def out(code: str, settings: str) -> str:
    """The buttons that copy code and settings."""

    def button(name: str, text: str) -> str:
        return (
            f'<button type="button" class="sdnb-copy" onclick="{escape(COPY)}" '
            f'data-text="{escape(text)}">{name}</button>'
        )

    buttons = [button("Copy as cell", code)] if code else []
    buttons.append(button("Copy settings", settings))
    return (
        f'<div class="sdnb-buttons {QUIET}">{"".join(buttons)}'
        '<span class="sdnb-said" role="status"></span></div>'
    )


def unfold(code: str) -> str:
    """The code itself, to be unfolded and read; also where it is selected to be copied."""
    return f'<details class="{QUIET}"><summary>Code</summary><pre>{escape(code)}</pre></details>'


def code_of(shown: Sample) -> str:
    """The cell that makes a picture again; empty for one that sdnb did not make."""
    try:
        return shown.code()
    except ValueError:
        return ""


def comparison(
    settings: Settings,
    axis: str,
    among: Sequence[Any],
    origin: Origin,
    start: Start | None = None,
    extras: Mapping[str, Any] | None = None,
) -> str:
    """A cell that makes a comparison again; one that starts from a picture asks for its file.

    Arguments:
        settings: what the pictures share.
        axis, among: the setting that differs, and its values.
        origin: of the pipeline.
        start: the picture that they start from.
        extras: other arguments of `load`.

    Example:
        >>> emoji = Origin("emoji", None, "float32", "cpu", None)
        >>> print(comparison(Settings("a fox", guidance=7.5, seed=1), "steps", [12, 24], emoji))
        import sdnb
        <BLANKLINE>
        pipe = sdnb.load('emoji')
        sdnb.compare('a fox', steps=[12, 24], guidance=7.5, seed=1, pipe=pipe)
    """
    given = _written(settings)
    if axis.startswith(LORA):
        weights = {**(settings.lora or {}), axis.removeprefix(LORA): among}
        given["lora"] = _dict(weights)
    else:
        given[axis] = parsing.written(among)
    words = [given.pop("prompt"), *(f"{n}={given[n]}" for n in settings.to_dict() if n in given)]
    return _cell("compare", words, origin, start, extras)


def voting(
    settings: Settings,
    sides: tuple[Mapping[str, Any], Mapping[str, Any]],
    seeds: range,
    origin: Origin,
    start: Start | None = None,
    extras: Mapping[str, Any] | None = None,
) -> str:
    """A cell that opens the same vote.

    Arguments:
        settings: what the pictures share.
        sides: the setting that differs, with its value on each side.
        seeds: of the pairs.
        origin, start, extras: as for `comparison`.

    Example:
        >>> emoji = Origin("emoji", None, "float32", "cpu", None)
        >>> sides = {"steps": 12}, {"steps": 24}
        >>> print(voting(Settings("a fox", guidance=7.5), sides, range(8), emoji).splitlines()[-1])
        sdnb.vote({'steps': 12}, {'steps': 24}, 'a fox', seeds=range(0, 8), guidance=7.5, pipe=pipe)
    """
    given = _written(settings.but(seed=None))
    both = ["{" + ", ".join(f"{k!r}: {_value(v)}" for k, v in side.items()) + "}" for side in sides]
    for name in sides[0]:
        given.pop(name, None)
    words = [*both, *([given.pop("prompt")] if "prompt" in given else []), f"seeds={seeds!r}"]
    words += [f"{name}={value}" for name, value in given.items()]
    return _cell("vote", words, origin, start, extras)


def _written(settings: Settings) -> dict[str, str]:
    """The settings that are not the usual ones, as code."""
    usual = Settings("usual").to_dict()
    return {n: _value(v) for n, v in settings.to_dict().items() if v != usual[n] or n == "prompt"}


def _value(value: Any) -> str:
    return _dict(value) if isinstance(value, Mapping) else parsing.written([value])[1:-1]


def _cell(
    call: str,
    words: list[str],
    origin: Origin,
    start: Start | None,
    extras: Mapping[str, Any] | None,
) -> str:
    """A cell that loads the model and calls a function of sdnb with these arguments."""
    if start is not None:
        files = ["start.png", *(f"start_{i}.png" for i in range(2, len(start.images) + 1))]
        words = [*words, f"image={files if start.others else files[0]!r}"]
        words += ["mask='mask.png'"] * (start.mask is not None)
    named = [each for each in origin.lora if not each.is_named_by_file()]
    asked = (each.asked() for each in origin.lora)
    loras = f", lora=[{', '.join(asked)}]" if origin.lora else ""
    if named:
        pairs = (f"{each.name!r}: {each.asked()}" for each in origin.lora)
        loras = f", lora={{{', '.join(pairs)}}}"
    others = "".join(f", {k}={v!r}" for k, v in (extras or {}).items())
    return (
        f"import sdnb\n\npipe = sdnb.load({origin.model!r}{loras}{others})\n"
        f"sdnb.{call}({', '.join(words)}, pipe=pipe)"
    )


def _dict(weights: Mapping[str, Any]) -> str:
    """LoRA weights as code, numbers as short as they can be."""
    texts = {
        name: parsing.written(value) if isinstance(value, list) else repr(value)
        if isinstance(value, Mapping) else parsing.written([value])[1:-1]
        for name, value in weights.items()
    }  # fmt: skip
    return "{" + ", ".join(f"{name!r}: {text}" for name, text in texts.items()) + "}"


def scrubbed(sheet: Sheet) -> str:
    """The sheet's slider, alive in a place where scripts of inserted HTML do not run."""
    view = sheet.slider()
    html = slider.view(view.images, view.labels, row_labels=view.row_labels, title=view.title)
    still, _, _ = html.partition("<script>")
    return f'{still}<style onload="{escape(slider.SCRIPT)}"></style>'


def plain(picture: bytes, about: str, name: str) -> str:
    """The last picture, for a saved notebook: hidden as long as the panel `name` is alive."""
    return f'<div class="sdnb-plain-{name}">{_img(picture, "")}{about}</div>'


def jpeg(image: Image.Image, side: int) -> bytes:
    r"""A picture as a small JPEG, at most so many pixels wide and high.

    Example:
        >>> jpeg(Image.new("RGB", (512, 256)), 256)[:2]
        b'\xff\xd8'
    """
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def small(image: Image.Image) -> str:
    """A picture beside the button that chose it."""
    return _img(jpeg(image, 64), "The picture to start from")


def background(name: str, picture: bytes) -> str:
    """The style that gives the button of that class its picture."""
    return (
        f"<style>.sdnb-panel .{name}.jupyter-button "
        f"{{ background-image: url({_url(picture)}) }}</style>"
    )


def _img(picture: bytes, alt: str) -> str:
    return f'<img src="{_url(picture)}" alt="{alt}">'


def _url(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
