"""A real browser for the tests: Chromium without a window, driven by Playwright."""

import os
import shutil

import pytest


@pytest.fixture(scope="module")  # longer would keep Playwright's event loop over other tests
def chromium():
    """The browser; where there is none the tests are skipped, but not in CI."""
    names = ["chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, names)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        found = None
    if found is None:
        tell = pytest.fail if "CI" in os.environ else pytest.skip
        tell("needs the package playwright, and Chromium or Chrome on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens HTML from a file, offline; errors in its scripts fail the test."""
    errors, contexts = [], []

    def open_html(text, **options):
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(text, "utf-8")
        context = chromium.new_context(**{"viewport": {"width": 700, "height": 900}, **options})
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_html
    for context in contexts:
        context.close()
    assert errors == []
