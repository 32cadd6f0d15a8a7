"""Every class of diffusers that makes pictures from text, and what sdnb does with it.

`python -m tests.support.gate` writes the table in docs/models.md anew; `tests/slow/test_gate.py`
compares it with what is committed, so that a new class of diffusers fails until somebody looks.
"""

import re
import sys
from pathlib import Path

import diffusers
from diffusers.pipelines import auto_pipeline

from sdnb import pipeline_class
from sdnb.models import modular
from sdnb.models.capabilities import Capabilities
from sdnb.settings import figure
from tests.support import families, modular_families

DOC = Path(__file__).parents[2] / "docs" / "models.md"
START, END = "<!-- every class: start -->", "<!-- every class: end -->"
# other tasks of the same models, which `image=` and `mask=` reach
TASKS = re.compile(r"Img2Img|Inpaint")
NOT_PICTURES = ("makes videos", "makes sound", "makes 3D shapes")

# classes that sdnb takes and the gate does not build yet, each with its reason
# tried: Qwen's raise ImportError, "Qwen2VLVideoProcessor requires the Torchvision library"
NEEDS_TORCHVISION = "its processor reads videos too, which needs torchvision"
NO_TOY = "there is no toy of it yet"
NOT_BUILT = {
    "BriaFibo2": NEEDS_TORCHVISION,
    "GlmImage": NO_TOY,
    "JoyImageEdit": NEEDS_TORCHVISION,
    "JoyImageEditPlus": NEEDS_TORCHVISION,
    "Kandinsky5I2I": NEEDS_TORCHVISION,
    "LongCatImageEdit": NEEDS_TORCHVISION,
    "OmniGen": "diffusers' code for it needs torchvision",
    "QwenImage21": NEEDS_TORCHVISION,
    "QwenImageEdit": NEEDS_TORCHVISION,
    "QwenImageEditPlus": NEEDS_TORCHVISION,
}


# the same of modular classes, whose parts are those of the classic toys
NO_CLASSIC = "its parts are in no classic pipeline, so there is no toy of it yet"
MODULAR_NOT_BUILT = {
    "Anima": NO_CLASSIC,
    "Flux3": NO_CLASSIC,
    "Flux3Distilled": NO_CLASSIC,
    "QwenImage21": NEEDS_TORCHVISION,
    "QwenImage21Turbo": NEEDS_TORCHVISION,
    "QwenImageEdit": NEEDS_TORCHVISION,
    "QwenImageEditPlus": NEEDS_TORCHVISION,
}


def not_built(name, kind):
    """Why the gate does not build a class that sdnb takes; empty where it does."""
    if modular.is_modular(kind):
        return MODULAR_NOT_BUILT.get(name.removesuffix("ModularPipeline"), "")
    if old := getattr(kind, "_last_supported_version", None):
        return f"diffusers has not kept it up since {old}"
    if ".deprecated." in kind.__module__:
        return "diffusers no longer keeps it up"
    return NOT_BUILT.get(name.removesuffix("Pipeline"), "")


def classes():
    """The names of all classes that are asked, with the class; those that lack a package too."""
    mapped = {kind.__name__ for kind in auto_pipeline.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    found = {}
    for name in sorted(dir(diffusers)):
        if not name.endswith("Pipeline") or TASKS.search(name) or "Modular" in name:
            continue
        kind = getattr(diffusers, name)
        if not is_there(kind) or name in mapped or _from_text(kind):
            found[name] = kind
    return found


def modular_classes():
    """The names of all modular classes, with the class."""
    names = [name for name in sorted(dir(diffusers)) if re.fullmatch(r".+ModularPipeline", name)]
    return {name: getattr(diffusers, name) for name in names}


def refusal(kind):
    """Why sdnb refuses a class; None where it takes it."""
    return modular.refusal(kind()) if modular.is_modular(kind) else pipeline_class.refusal(kind)


def toys():
    """The names of all classes that are built."""
    return sorted({**families.TOYS, **modular_families.TOYS})


def made(name):
    """A new toy pipeline of that class, always the same weights."""
    return (modular_families if name in modular_families.TOYS else families).made(name)


def is_there(kind):
    """False where its own package is not installed: diffusers then has a dummy in its place."""
    return issubclass(kind, diffusers.DiffusionPipeline) or modular.is_modular(kind)


def _from_text(kind):
    if "prompt" not in pipeline_class.arguments_of(kind):
        return False
    why = pipeline_class.refusal(kind) or ""
    return not why.startswith(NOT_PICTURES)


def row(name, kind):
    """A line of the table: class, what it takes, what is refused and why."""
    if not is_there(kind):
        return f"| {name} | not looked at: needs {' and '.join(kind._backends)} | |"
    if why := refusal(kind):
        return f"| {name} | refused: it {why} | |"
    if why := not_built(name, kind):
        return f"| {name} | taken; not built in the test: {why} | |"
    can = Capabilities.of(made(name))
    return f"| {name} | {_guidance(can)} | {_rest(can)} |"


def _guidance(can):
    rule = can.guide
    if not can.guidance:
        return f"none: {rule.why}"
    own = "a schedule" if rule.default is None else figure(float(rule.default))
    on = f", on above {figure(rule.above)}" if rule.above >= 0 else ""
    on = on if rule.off is None else f", off at {figure(rule.off)}"
    calls = ", two calls a step" if rule.calls == 2 else ""
    argument = "guider.guidance_scale" if rule.argument == "guider" else rule.argument
    return f"`{argument}`, own {own}{on}{calls}"


def _rest(can):
    masked = can.starts_from_picture and "mask_image" in can.arguments  # never without
    picture = "edits" if can.edits else "image to image" if can.picture and not masked else ""
    parts = [
        f"{can.steps} steps",
        "negative prompt" if can.negative_prompt else "no negative prompt",
        *([picture] if picture else []),
        *(["inpainting"] if can.mask else []),
        *([f"alone: {can.alone}"] if can.alone else []),
    ]
    return ", ".join(parts)


def table():
    """The table's lines, and a sentence that counts them."""
    first = (
        f"diffusers {diffusers.__version__} has {{}} classes that take a prompt and give pictures."
    )
    classic = _part(classes(), first)
    blocks = _part(modular_classes(), "It has {} modular classes.")
    return "\n".join([START, *classic, "", *blocks, END])


def _part(found, first):
    """A sentence that counts classes, and their table."""
    rows = [row(name, kind) for name, kind in found.items()]
    refused = sum("| refused" in line for line in rows)
    unbuilt = sum("not built in" in line or "not looked at" in line for line in rows)
    count = (
        f"{first.format(len(rows))} {len(rows) - refused - unbuilt} are built at toy size in "
        f"tests/slow/test_gate.py, {refused} are refused with the reason, {unbuilt} are not built "
        "in the test."
    )
    return [count, "", "| class | guidance | the rest |", "|---|---|---|", *rows]


def committed():
    """The table as docs/models.md has it; empty where there is none."""
    found = re.search(f"{START}.*?{END}", DOC.read_text(), re.DOTALL)
    return found[0] if found else ""


def main():
    """Writes the table into docs/models.md."""
    text = DOC.read_text()
    new = table()
    DOC.write_text(text.replace(committed(), new) if committed() else f"{text}\n{new}\n")
    sys.stdout.write(new.splitlines()[1] + "\n")


if __name__ == "__main__":
    main()
