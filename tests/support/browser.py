"""A real browser for the tests: Chromium without a window, driven by Playwright."""

import shutil

import pytest

from tests.support.needs import need


@pytest.fixture(scope="module")  # longer would keep Playwright's event loop over other tests
def chromium():
    """The browser; where there is none the tests are skipped."""
    need("chromium")
    names = ["chromium", "chromium-browser", "google-chrome"]
    found = next(filter(None, map(shutil.which, names)))
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'sdnb[test]'")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
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
