"""What a reader's browser makes of the pages: nothing is missing, nothing is fetched, nothing sticks out.

Not part of the default tests, since it needs a browser: make test-browser.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from vssl.reports import collect, write_page

ROOT = Path(__file__).parents[2]
# Every <img>, and every <image> inside an SVG, loaded again from its own address.
IMAGE_WIDTHS = """async () => {
    const addresses = [...document.querySelectorAll('img')].map(i => i.currentSrc)
    const drawn = [...document.querySelectorAll('svg image')].map(i => i.href.baseVal)
    const width = async address => {
        const image = new Image()
        image.src = address
        await image.decode().catch(() => 0)
        return image.naturalWidth
    }
    const shown = [...document.querySelectorAll('img')].map(i => i.naturalWidth)
    return [...shown, ...await Promise.all([...addresses, ...drawn].map(width))]
}"""


@pytest.fixture
def policy_page(run) -> Path:
    """Written by the command, as a user does."""
    command = [sys.executable, "tools/visualize_policy.py", str(run)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return run / "policy.html"


@pytest.fixture
def comparison_page(folder, layout, environment) -> Path:
    """Written as tools/compare.py ends."""
    return write_page(collect(folder, layout, environment), folder)


class Visit:
    """One page, opened offline from its file, with everything unfolded."""

    def __init__(self, browser: Browser, path: Path, width: int):
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_context(offline=True, viewport={"width": width, "height": 900}).new_page()
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url[:80]}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri(), wait_until="load")
        self.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


@pytest.fixture(params=["policy_page", "comparison_page"])
def path(request) -> Path:
    return request.getfixturevalue(request.param)


def test_a_page_opens_offline_without_a_complaint_on_a_desktop_and_on_a_phone(browser, path):
    for width in (1280, 390):
        visit = Visit(browser, path, width)
        assert visit.complaints == []
        widths = visit.page.evaluate(IMAGE_WIDTHS)
        assert len(widths) >= 12 and min(widths) > 0
        assert visit.requests[0] == path.as_uri()
        assert all(address.startswith("data:") for address in visit.requests[1:])
        # Wide tables scroll by themselves; the page does not.
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
        text = visit.page.inner_text("body")
        assert not [word for word in ("NaN", "nan ", "None", "undefined", "Traceback") if word in text]


def test_what_the_checks_would_see(browser, tmp_path):
    """The same checks on a page that is broken in each way."""
    broken = tmp_path / "broken.html"
    broken.write_text(
        "<img src='missing.png'><img src='https://example.org/a.png'><script>fail()</script>"
        "<div style='width:3000px'>wide</div>"
    )
    visit = Visit(browser, broken, 1280)
    assert any("fail is not defined" in complaint for complaint in visit.complaints)
    assert sum(complaint.startswith("failed: ") for complaint in visit.complaints) == 2
    assert min(visit.page.evaluate(IMAGE_WIDTHS)) == 0
    assert any(address.startswith("https:") for address in visit.requests)
    assert visit.page.evaluate("document.documentElement.scrollWidth") > 1280
