"""A headless Chromium, and pages that must neither fail nor ask another server for anything."""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from support.dashboard_process import Dashboard

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
BROWSER_MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install Debian's package chromium"),
]
HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = "
    "2'></script></td><b>bold</b><svg/onload=window.hacked=3> {{7*7}} %{x} ${window.hacked=4} "
    "javascript:window.hacked=5 \" ' & \u202e txet"
)
PHONE = {"width": 390, "height": 844}
FITS = "document.documentElement.scrollWidth <= window.innerWidth"
OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="the package playwright is not installed"
    )
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


def _is_complaint(said: "ConsoleMessage") -> bool:
    """Whether a console message is an error.

    A page that outlives its dashboard in a test may complain.
    """
    return said.type == "error" and "net::ERR_CONNECTION" not in said.text


@pytest.fixture
def open_page(browser: "Browser") -> Iterator[OpenPage]:
    """Opens a page of a dashboard, or the one at an address.

    Afterwards, no script has failed and nothing was asked of another server.
    """
    problems: list[str] = []
    with contextlib.ExitStack() as stack:

        def build(
            place: Dashboard | str, where: str = "", *, may_fail: bool = False, **options: object
        ) -> "Page":
            url = place if isinstance(place, str) else place.url
            context = stack.enter_context(contextlib.closing(browser.new_context(**options)))
            page = context.new_page()
            page.set_default_timeout(30_000)
            page.on("pageerror", lambda error: problems.append(f"script failed: {error}"))
            page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
            page.on("request", lambda asked: _is_own(asked.url, url) or problems.append(asked.url))
            if not may_fail:
                page.on("console", lambda said: _is_complaint(said) and problems.append(said.text))
            page.goto(url + where)
            page.wait_for_selector("main:not([hidden]):not(#loading)")
            return page

        yield build
    assert problems == []


def _is_own(asked: str, url: str) -> bool:
    own = (url, "data:", "blob:") if url.startswith("file:") else (url,)
    return asked.startswith(own)


def fits(page: "Page") -> bool:
    """Whether nothing makes the page scroll sideways."""
    fits: bool = page.evaluate(FITS)
    return fits


def eventually(page: "Page", expression: str, *, timeout_s: float = 30) -> None:
    """Waits until the expression is true.

    The page's policy forbids Playwright's own way, which evaluates a string.
    """
    give_up_s = time.monotonic() + timeout_s
    while not page.evaluate(expression):
        assert time.monotonic() < give_up_s, f"in vain: {expression}"
        page.wait_for_timeout(50)
