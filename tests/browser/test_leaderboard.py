"""The leaderboard as a reader uses it: search, sort, compare two."""

import pytest

from vssl.results.leaderboard import write_leaderboard


@pytest.fixture
def page(browser, store, tmp_path):
    path = write_leaderboard(store, tmp_path / "board.html", "Leaderboard", {})
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.complaints.append(request.url))
    page.goto(path.as_uri(), wait_until="load")
    page.complaints.remove(path.as_uri())
    yield page
    assert not [line for line in page.complaints if not line.startswith("data:")]


def names(page, table: str) -> list[str]:
    """Of the rows that are shown, from top to bottom."""
    rows = page.locator(f"#{table} tbody tr:visible").all()
    return [row.locator("td").nth(1).get_attribute("data-value") for row in rows]


def test_search_leaves_rows_that_have_every_word(page):
    page.fill("#search", "unmask SIMCLR fixed")
    assert names(page, "steered1") == []
    page.fill("#search", "simclr fix")
    assert names(page, "steered1") == ["fixed recipe"]
    assert set(names(page, "probe1")) == {"fixed recipe", "fixed, step-matched"}
    assert page.inner_text("#shown") == "5 of 13 rows"
    page.fill("#search", "")
    assert len(names(page, "probe1")) == 5 and page.inner_text("#shown") == ""


def test_a_heading_sorts_up_and_down_by_number(page):
    heading = page.locator("#probe2 th", has_text="mIoU")
    heading.click()
    rising = ["start.safetensors", "fixed, step-matched", "random feedback", "fixed recipe", "V-Pretraining"]
    assert names(page, "probe2") == rising and heading.get_attribute("aria-sort") == "ascending"
    heading.click()
    assert names(page, "probe2") == rising[::-1] and heading.get_attribute("aria-sort") == "descending"
    page.locator("#probe2 th", has_text="backbone").press("Enter")
    assert names(page, "probe2") == sorted(rising, key=str.lower)
    assert heading.get_attribute("aria-sort") is None


def test_two_rows_of_a_table_are_compared_and_rows_of_two_are_not(page):
    assert page.locator("#pair").is_hidden()
    page.locator("#steered1").get_by_label("Compare V-Pretraining").check()
    page.locator("#steered1").get_by_label("Compare fixed recipe").check()
    page.click("#pair summary")
    said = page.inner_text("#pair")
    assert "V-Pretraining − fixed recipe" in said and "+1.00 [0.75, 1.25] (n = 3)" in said
    assert "designer.type" in said and "Designer of vpretraining" in said and "optimizer.lr" not in said
    page.locator("#probe1").get_by_label("Compare random feedback").check()  # the first that was ticked makes room
    assert not page.locator("#steered1").get_by_label("Compare V-Pretraining").is_checked()
    assert "not compared" in page.inner_text("#pair") and "[" not in page.inner_text("#pair")
    page.locator("#probe1").get_by_label("Compare random feedback").uncheck()
    assert page.locator("#pair").is_hidden()


def test_it_fits_a_phone_and_shows_no_nothing(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.locator("#steered1").get_by_label("Compare V-Pretraining").check()
    page.locator("#steered1").get_by_label("Compare random feedback").check()
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    text = page.inner_text("body")
    assert not [word for word in ("NaN", "None", "undefined", "null", "Infinity") if word in text]
