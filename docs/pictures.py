"""Makes the README's pictures: python docs/pictures.py

The panel's is a screenshot of JupyterLab in Chromium, after a press on Generate. It stands in the
notebook on the panel too, as an attachment.
"""

import base64
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import sdnb

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from tests.support.lab import Lab, Notebook  # noqa: E402

CELLS = ("import sdnb\npipe = sdnb.load('emoji')", "sdnb.panel(seed=510)")


def steps(path):
    """The sheet with 12, 24, 38 and 50 steps."""
    prompt, steps = "an astronaut riding a horse", [12, 24, 38, 50]
    sdnb.compare(prompt, steps=steps, seed=510, pipe=sdnb.load("emoji")).grid().save(path)


def panel(path):
    """The panel with a finished picture."""
    os.environ["SDNB_STORE"] = "off"  # a history of nobody's pictures
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        try:
            context = browser.new_context(viewport={"width": 900, "height": 1700})
            book = Notebook(context, lab, CELLS).run_all()
            book.page.get_by_role("button", name="Generate", exact=True).click()
            book.page.wait_for_function(
                "() => document.querySelector('.sdnb-copy')"
                " && !document.querySelector('.sdnb-run')?.offsetParent"
            )
            book.page.get_by_text("With LoRAs, a VAE, embeddings, fewer bits").click()
            book.page.mouse.move(0, 0)
            shot = Image.open(io.BytesIO(book.page.locator(".sdnb-panel").screenshot()))
            shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
            book.close()
        finally:
            browser.close()
            lab.stop()


def attach(picture, notebook):
    """Puts a picture into the notebook's cell that has an attachment of its name."""
    book = json.loads(notebook.read_text("utf-8"))
    held = {"image/png": base64.b64encode(picture.read_bytes()).decode()}
    for cell in book["cells"]:
        if picture.name in cell.get("attachments", {}):
            cell["attachments"][picture.name] = held
    notebook.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    steps(DOCS / "steps.png")
    panel(DOCS / "panel.png")
    attach(DOCS / "panel.png", DOCS.parent / "notebooks" / "02_panel.ipynb")
