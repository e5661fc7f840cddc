"""The report of a search in a headless Chromium: its first screen, on any screen."""

import pytest
from support.browser import BROWSER_MARKS, PHONE, OpenPage, fits
from support.run_folders import all_kinds, counters, write_run, write_session

from search_cluster.commands.report import write_run_report

pytestmark = BROWSER_MARKS
LAPTOP = {"width": 1280, "height": 800}
ON_SCREEN = "document.querySelector('#screen dd:last-of-type').getBoundingClientRect().bottom"
HINT = "getComputedStyle(document.querySelector('.scroll.more'), '::before').content"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = write_run(tmp_path_factory.mktemp("report") / "run", all_kinds())
    write_session(run, counters(120, done=5, total=5))
    return write_run_report(run, None).as_uri()


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_screen_answers_the_four_questions(
    report: str, open_page: OpenPage, viewport: dict[str, int], scheme: str
) -> None:
    page = open_page(report, viewport=viewport, color_scheme=scheme)
    assert page.inner_text(".verdict").startswith("Some path is right on")
    topics = page.locator("#screen dt").all_inner_texts()
    assert [topic for topic in topics if topic != "Beware"] == [
        "What was found", "Is it true?", "What it cost", "What next",
    ]  # fmt: skip
    if viewport == LAPTOP:
        assert page.evaluate(ON_SCREEN) < viewport["height"]
    assert fits(page)


def test_wide_tables_say_on_a_phone_that_they_scroll(report: str, open_page: OpenPage) -> None:
    page = open_page(report, viewport={"width": 320, "height": 700})
    wide = page.locator(".scroll.more").count()
    assert wide >= 1
    assert "scrolls sideways" in page.evaluate(HINT)
    assert page.locator(".scroll.more[tabindex='0']").count() == wide
    page.set_viewport_size(LAPTOP)
    page.wait_for_function("document.querySelectorAll('.scroll.more').length === 0")
