"""The panel in a real JupyterLab: what a person types and presses, and the pixels they then see."""

import hashlib
import json

import nbconvert
import pytest
from PIL import Image

from tests.support import modular_families

pytest.importorskip("ipywidgets")
pytest_plugins = ["tests.support.browser", "tests.support.lab"]

SETUP = """
import hashlib, sdnb
pipe = sdnb.load("emoji")
def digest(sample): return hashlib.sha256(sample.image.tobytes()).hexdigest()
"""
PANEL = "panel = sdnb.panel('a fox', steps=60, seed=510)\npanel"


def digest(picture):
    return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def picture(page):
    return page.locator(".sdnb-picture")


def idle(page):
    """Waits until a picture is finished and nothing runs."""
    page.wait_for_function(
        "() => document.querySelector('.sdnb-copy')"
        " && !document.querySelector('.sdnb-run')?.offsetParent"
    )


def has_code(page, text):
    """Waits until the picture's code, which is folded away, has a text."""
    page.wait_for_function(
        "text => document.querySelector('.sdnb-panel details pre')?.textContent.includes(text)",
        arg=text,
    )


def watch_picture(page):
    """From now on, keeps the address of all that the picture shows."""
    page.evaluate(
        """() => {
            const image = document.querySelector('.sdnb-picture');
            window.seen = [];
            new MutationObserver(() => window.seen.push(image.src)).observe(
                image, { attributes: true, attributeFilter: ['src'] });
        }"""
    )


def test_type_generate_compare_go_back_and_copy_the_cell_out(notebook):
    book = notebook(SETUP, PANEL, height=1400).run_all()
    page = book.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    watch_picture(page)

    # a prompt typed, steps set with the arrow keys, JupyterLab's own use of them kept out
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("")
    prompt.press_sequentially("an owl on a blue background")
    page.get_by_text("6 of 75 tokens").wait_for()
    steps = page.get_by_role("slider", name="Steps")
    steps.focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.activeElement.ariaValueNow === '57.0'")

    # generated, with previews on the way
    button(page, "Generate").press("Enter")
    page.locator(".sdnb-run progress").wait_for()
    idle(page)
    seen = page.evaluate("window.seen")
    assert len(set(seen)) >= 3  # two previews and the picture
    made = "sdnb.generate('an owl on a blue background', steps=57, seed=510)"
    assert digest(book.pixels(picture(page))) == book.value(f"digest({made})")
    assert "57 steps, guidance 7.5" in page.locator(".sdnb-panel .sdnb-about").inner_text()
    assert picture(page).get_attribute("alt").startswith("an owl on a blue background")

    # copied as a cell, which makes the same picture
    button(page, "Copy as cell").press("Enter")
    page.get_by_text("Copied.").wait_for()
    code = page.evaluate("navigator.clipboard.readText()")
    book.add(code.removesuffix("image") + "image.resize((128, 128))")
    assert book.value("hashlib.sha256(image.tobytes()).hexdigest()") == book.value(
        "digest(panel.sample)"
    )

    # compared: a sheet, and a slider that moves
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("Values").fill("2, few")
    button(page, "Compare").click()
    page.get_by_role("alert").filter(has_text="'few' is no whole number").wait_for()
    page.get_by_label("Values").fill("2, 3, 4")
    button(page, "Compare").click()
    slider = page.get_by_role("slider", name="Picture", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    shown = page.locator(".sdnb-live figure:not([hidden]) img")
    assert shown.get_attribute("alt") == "3 steps"
    assert book.pixels(shown).size == (128, 128)
    idle(page)
    assert book.pixels(picture(page)).width > 3 * 128

    # back by the history: the picture and the controls
    page.get_by_role("button", name="57 · 7.5 · DDIM").click()
    page.wait_for_function(
        "() => document.querySelector('.sdnb-about')?.innerText.includes('57 steps')"
    )
    assert digest(book.pixels(picture(page))) == book.value(f"digest({made})")
    assert steps.get_attribute("aria-valuenow") == "57.0"


def test_stop_run_again_save_and_open_without_a_kernel(notebook, tmp_path):
    book = notebook(SETUP, PANEL, width=520).run_all()
    page = book.page

    # stopped; a sentence says so, and all can be used again
    button(page, "Generate").click()
    button(page, "Stop").click()
    page.get_by_text("Stopped").first.wait_for()
    page.wait_for_function("() => !document.querySelector('.sdnb-run').offsetParent")
    button(page, "Dice").click()
    button(page, "Generate").click()
    idle(page)
    last = digest(book.pixels(picture(page)))
    assert last == book.value("digest(panel.sample)")

    # at 400 pixels nothing sticks out
    box = page.locator(".sdnb-panel")
    assert box.bounding_box()["width"] < 440
    assert box.evaluate("e => e.scrollWidth <= e.clientWidth")

    # the saved notebook has no state that could break it, and shows the last picture
    book.command("docmanager:save")
    page.wait_for_function(
        "() => !window.running && !window.jupyterapp.shell.currentWidget.context.model.dirty"
    )
    saved = json.loads(book.path.read_text())
    states = saved["metadata"].get("widgets", {}).values()
    assert all("state" in each for each in states)
    html = tmp_path / "page.html"
    html.write_text(nbconvert.HTMLExporter().from_filename(str(book.path))[0], "utf-8")
    reader = page.context.browser.new_context(offline=True)
    try:
        plain = reader.new_page()
        plain.goto(html.as_uri())
        images = plain.locator(".jp-OutputArea-output img")
        assert images.count() == 1
        assert images.evaluate("e => e.naturalWidth") == 128
        assert images.is_visible()
    finally:
        reader.close()

    # run again: the earlier panel is gone, the plain picture hidden
    book.run(1)
    assert page.locator(".sdnb-panel").count() == 1
    assert page.locator("[class^=sdnb-plain]").filter(visible=True).count() == 0


def test_in_the_dark_texts_and_controls_can_be_read(notebook):
    book = notebook(SETUP, PANEL, dark=True).run_all()
    page = book.page
    page.get_by_role("slider", name="Steps").wait_for()
    worst = page.evaluate(
        """() => {
            const light = colour => {
                const [r, g, b] = colour.match(/[\\d.]+/g).map(n => n / 255).map(
                    c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
                return .2126 * r + .7152 * g + .0722 * b;
            };
            const ground = e => {
                for (; e; e = e.parentElement) {
                    const colour = getComputedStyle(e).backgroundColor;
                    if (!/, 0\\)|transparent/.test(colour)) return colour;
                }
                return 'rgb(255, 255, 255)';
            };
            const texts = document.querySelectorAll(
                '.sdnb-panel :is(textarea, select, input[type=text], ' +
                '.jupyter-button:not(.sdnb-thumb))');
            return Math.min(...[...texts].filter(e => e.offsetParent).map(e => {
                const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
                return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
            }));
        }"""
    )
    assert worst >= 4.5
    ground = page.evaluate(
        "getComputedStyle(document.querySelector('.sdnb-panel textarea')).backgroundColor"
    )
    assert sum(map(float, ground[4:-1].split(",")[:3])) < 3 * 80
    # every control that can be reached with Tab has a name
    nameless = page.evaluate(
        """() => [...document.querySelectorAll(
            '.sdnb-panel :is(input, textarea, select, button, [tabindex="0"], [contenteditable])')]
            .filter(e => e.offsetParent && e.type !== 'file')
            .filter(e => !(e.ariaLabel || e.title
                || e.matches('button, [role=tab]') && e.textContent.trim()
                || e.labels?.length && [...e.labels].some(l => l.textContent.trim())))
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


def test_a_dropped_png_brings_its_settings(notebook, tmp_path):
    import sdnb

    settings = sdnb.Settings("a cat", steps=7, guidance=3.0, scheduler="LMS", seed=9)
    file = sdnb.Sample(Image.new("RGB", (64, 64), "red"), settings).save(tmp_path / "cat.png")
    book = notebook(SETUP, PANEL).run_all()
    page = book.page
    page.get_by_role("slider", name="Steps").wait_for()
    page.evaluate(
        """async bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], 'cat.png', { type: 'image/png' }));
            document.querySelector('.sdnb-panel').dispatchEvent(
                new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        list(file.read_bytes()),
    )
    page.locator(".sdnb-panel .sdnb-about").wait_for()
    assert page.get_by_label("Prompt", exact=True).input_value() == "a cat"
    assert page.get_by_role("slider", name="Steps").get_attribute("aria-valuenow") == "7.0"
    assert page.get_by_label("Scheduler").input_value() == "LMS"
    assert page.get_by_label("Seed", exact=True).input_value() == "9"
    assert book.pixels(picture(page)).convert("RGB").getpixel((9, 9)) == (255, 0, 0)


def test_a_page_that_was_closed_during_a_run_shows_the_picture_when_it_is_opened_again(notebook):
    book = notebook(SETUP, PANEL).run_all()
    button(book.page, "Generate").click()
    book.page.locator(".sdnb-run progress").wait_for()
    book.command("docmanager:save")
    book.page.wait_for_function("() => !window.running")
    book.page.close()
    book.page = page = book.page.context.new_page()
    page.goto(f"{book.lab.url}doc/tree/{book.path.name}?token={book.lab.token}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    book.wait()
    idle(page)
    assert digest(book.pixels(picture(page))) == book.value("digest(panel.sample)")
    assert page.get_by_role("slider", name="Steps").get_attribute("aria-valuenow") == "60.0"


def test_the_sliders_of_ipywidgets_7_have_names_and_values_too(opened):
    from sdnb.widgets import style

    page = opened(
        f"""<div class="sdnb-panel">{style.dress("7")}
        <div class="widget-slider"><label class="widget-label">Steps</label>
        <span class="ui-slider-handle" tabindex="0"></span>
        <div class="widget-readout" contenteditable>50</div></div></div>"""
    )
    slider = page.get_by_role("slider", name="Steps")
    assert slider.get_attribute("aria-valuenow") == "50"
    page.get_by_role("textbox", name="Steps").evaluate("e => e.textContent = '12'")
    page.wait_for_function(
        "() => document.querySelector('.ui-slider-handle').ariaValueNow === '12'"
    )


def test_a_loras_slider_and_fewer_bits(notebook, tmp_path):
    """By the arrow keys and the fields below the model: the pictures are those of a cell."""
    pytest.importorskip("peft", reason="peft is not installed: pip install 'sdnb[lora]'")
    setup = SETUP.replace('"emoji"', '"emoji", lora=["sepia", "cyanotype"]')
    panel = "panel = sdnb.panel('a fox', steps=4, seed=510, lora={'sepia': 1})\npanel"
    book = notebook(setup, panel, height=1500).run_all()
    page = book.page
    slider = page.get_by_role("slider", name="LoRA sepia")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.activeElement.ariaValueNow === '0.8'")
    button(page, "Generate").click()
    idle(page)
    made = "sdnb.generate('a fox', steps=4, seed=510, lora={'sepia': 0.8})"
    assert digest(book.pixels(picture(page))) == book.value(f"digest({made})")

    # what it was loaded with stands below the model; one LoRA less, and fewer bits
    assert page.get_by_label("LoRAs, one a line").input_value() == "sepia\ncyanotype"
    page.get_by_label("LoRAs, one a line").fill("sepia")
    page.get_by_label("Weights", exact=True).select_option(label="fp8: the denoiser in 8 bits")
    button(page, "Load").click()
    page.get_by_text("emoji is loaded.").wait_for()
    assert page.get_by_role("slider", name="LoRA cyanotype").count() == 0
    button(page, "Generate").click()
    has_code(page, "layerwise")
    idle(page)
    there = "sdnb.load('emoji', lora='sepia', quantize='fp8')"
    made = f"sdnb.generate(panel.sample.settings, pipe={there})"
    assert digest(book.pixels(picture(page))) == book.value(f"digest({made})")
    page.screenshot(path=str(tmp_path / "loras.png"))


def test_another_vae_and_an_embedding(notebook, tmp_path):
    """Typed below the model: the picture is the one of a cell that loads the same."""
    setup = f"""{SETUP}
import torch
from safetensors.torch import save_file
last = pipe.vae.decoder.layers[-1]
kept = last.weight.data.clone()
last.weight.data[:] = kept.mean(0)
pipe.vae.save_pretrained({str(tmp_path / "grey")!r})
last.weight.data[:] = kept
words = pipe.text_encoder.get_input_embeddings().weight.detach()
given = pipe.tokenizer("red blue").input_ids[1:3]
save_file({{"emb_params": words[given].mean(0, keepdim=True)}},
          {str(tmp_path / "violet.safetensors")!r})
sdnb.clear()
"""
    panel = "panel = sdnb.panel('an owl on a violet background', steps=4, seed=1)\npanel"
    book = notebook(setup, panel, height=1700).run_all()
    page = book.page
    page.get_by_text("With LoRAs, a VAE, embeddings, fewer bits").click()
    page.get_by_label("VAE", exact=True).fill(str(tmp_path / "grey"))
    page.get_by_label("Embeddings, one a line").fill(str(tmp_path / "violet.safetensors"))
    button(page, "Load").click()
    page.get_by_text("emoji is loaded.").wait_for()
    button(page, "Generate").click()
    has_code(page, "violet")
    idle(page)
    there = f"sdnb.load('emoji', vae={str(tmp_path / 'grey')!r}, embeddings="
    there += f"{str(tmp_path / 'violet.safetensors')!r})"
    made = f"sdnb.generate(panel.sample.settings, pipe={there})"
    assert digest(book.pixels(picture(page))) == book.value(f"digest({made})")
    assert "VAE grey, embedding violet" in page.locator(".sdnb-panel .sdnb-about").inner_text()
    assert page.get_by_text("does not know").count() == 0
    page.screenshot(path=str(tmp_path / "parts.png"))


def test_a_modular_pipeline_has_previews_and_stop(notebook, tmp_path):
    """diffusers' modular pipelines have no callbacks; here of random weights, so of noise."""
    folder = tmp_path / "modular"
    modular_families.made("StableDiffusionXLModularPipeline").save_pretrained(
        str(folder), overwrite_modular_index=True
    )
    setup = SETUP.replace('"emoji"', f'{str(folder)!r}, device="cpu", dtype="float32"')
    panel = "panel = sdnb.panel('a fox', steps=400, seed=1, width=64, height=64)\npanel"
    book = notebook(setup, panel, height=1400).run_all()
    page = book.page
    watch_picture(page)
    button(page, "Generate").click()
    page.wait_for_function("() => new Set(window.seen).size >= 2")
    page.screenshot(path=str(tmp_path / "preview.png"))
    button(page, "Stop").click()
    page.get_by_text("Stopped").first.wait_for()
    page.wait_for_function("() => !document.querySelector('.sdnb-run').offsetParent")

    page.evaluate("window.seen = []")
    button(page, "Generate").click()
    idle(page)
    assert len(set(page.evaluate("window.seen"))) >= 3  # two previews and the picture
    made = "sdnb.generate('a fox', steps=400, seed=1, width=64, height=64)"
    assert digest(book.pixels(picture(page))) == book.value(f"digest({made})")
    page.screenshot(path=str(tmp_path / "picture.png"))
