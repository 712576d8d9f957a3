"""What a reader's browser makes of the site of `make docs`, opened from its files without a network."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

SITE = Path(__file__).parents[2] / "build/site"
PAGES = ("README", "docs/concepts", "docs/tutorial", "docs/benchmark", "docs/reference/vssl.value")


@pytest.fixture
def page(browser) -> Page:
    """A page whose `complaints` and `requests` are kept."""
    assert (SITE / "index.html").is_file(), "no site in build/site: run make docs first"
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url[:80]}"))
    page.on("request", lambda request: page.requests.append(request.url))
    return page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_asks_no_server(page, name):
    page.goto((SITE / f"{name}.html").as_uri(), wait_until="load")
    assert page.complaints == []
    assert all(address.startswith(("file:", "data:")) for address in page.requests)
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_index_leads_to_the_first_page(page):
    page.goto((SITE / "index.html").as_uri())
    page.wait_for_url("**/README.html")
    assert page.inner_text("h1").startswith("vssl")


@pytest.mark.parametrize(
    ("words", "found"), [("matched cost", "docs/concepts.html"), ("UnitNorm", "docs/reference/vssl.value.html")]
)
def test_search_needs_no_network(page, words, found):
    page.goto((SITE / "README.html").as_uri())
    page.fill("input[name=q]", words)
    page.press("input[name=q]", "Enter")
    page.wait_for_selector("#search-results li a")
    links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.getAttribute('href'))")
    assert any(link.partition("#")[0].partition("?")[0] == found for link in links), links
    assert page.complaints == []
