"""A scan in a headless Chromium: its report, and the dashboard while it runs and afterwards."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.browser import BROWSER_MARKS, HOSTILE, PHONE, OpenPage, eventually, fits
from support.dashboard_process import running_dashboard
from support.scans import scan_result, write_running_scan, write_scan

from search_cluster.commands.report import write_run_report
from search_cluster.report.scan.verdict import verdict_line
from search_cluster.scan.result import ScanResult

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = BROWSER_MARKS
LAPTOP = {"width": 1280, "height": 800}
MAP = "document.querySelectorAll('.map .heatmaplayer image').length"
LINES = "document.querySelectorAll('.map .scatterlayer .trace').length"


def report_of(folder: Path, result: ScanResult) -> str:
    return write_run_report(write_scan(folder, result), None).as_uri()


def colour_of(page: "Page", selector: str, name: str = "stroke") -> str:
    colour: str = page.evaluate(
        f"getComputedStyle(document.querySelector({selector!r})).getPropertyValue({name!r})"
    )
    return colour


def hover(page: "Page", selector: str, row: int, column: int, num_layers: int) -> str:
    """Points at a cell of the map; what the page says of it."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(f"{selector} .nsewdrag").first.bounding_box()
    assert box is not None
    side = box["width"] / (num_layers + 1)
    page.mouse.move(box["x"] + side * (column + 0.5), box["y"] + side * (row + 0.5))
    page.wait_for_selector(f"{selector} .hovertext")
    return page.locator(f"{selector} .hovertext").first.text_content() or ""


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_on_any_screen(
    tmp_path: Path, open_page: OpenPage, viewport: dict[str, int], scheme: str
) -> None:
    result = scan_result()
    page = open_page(report_of(tmp_path / "run", result), viewport=viewport, color_scheme=scheme)
    assert page.inner_text(".verdict") == verdict_line(result)
    assert fits(page)
    eventually(page, f"{MAP} === 2")  # the colours that are shown, and the grid that says more
    assert page.evaluate(LINES) == 3
    box = page.locator(".map .nsewdrag").first.bounding_box()
    assert box is not None
    assert box["width"] == pytest.approx(box["height"], rel=0.02), "cells are squares"
    assert box["width"] > 0.6 * min(viewport["width"], 680)
    ink = colour_of(page, "body", "color")
    assert colour_of(page, ".map .scatterlayer .js-line") == ink
    assert "skip 14-19, 24 of 30 layers" in hover(page, "#plot-1", 20, 14, 30)
    assert page.locator(".finalist").count() == 5
    whisker = page.locator("#finalist-1 svg.whisker").last.bounding_box()
    assert whisker is not None
    assert whisker["width"] > 100


def test_buttons_switch_what_is_drawn(tmp_path: Path, open_page: OpenPage) -> None:
    page = open_page(report_of(tmp_path / "run", scan_result()))
    shown = "document.getElementById('plot-1').data.slice(0, 2).map((trace) => trace.visible)"
    assert page.evaluate(shown) == [True, False]
    before = page.inner_text(".scale")
    page.click("text=gain as measured")
    eventually(page, f"JSON.stringify({shown}) === '[false,true]'")
    assert page.inner_text(".scale") != before
    assert page.get_attribute("text=gain as measured", "aria-pressed") == "true"
    page.click("text=time, batch 8")
    title = "document.querySelector('#plot-2 .xtitle').textContent"
    eventually(page, f"{title} === 'time at batch 8, % of plain'")


def test_a_deep_model_is_drawn_at_once(tmp_path: Path, open_page: OpenPage) -> None:
    page = open_page(report_of(tmp_path / "run", scan_result(num_layers=80)))
    eventually(page, f"{MAP} === 2")
    assert "repeat 10-69, 140 of 80 layers" in hover(page, "#plot-1", 10, 70, 80)
    assert page.evaluate("document.querySelectorAll('.map svg *').length") < 1500


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE])
def test_the_dashboard_follows_a_scan(
    tmp_path: Path, open_page: OpenPage, viewport: dict[str, int]
) -> None:
    folder = write_running_scan(tmp_path / "run", finished_rungs=0)
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard, viewport=viewport)
        eventually(page, "document.querySelector('#scan-lines dd') !== null")
        assert page.inner_text("#title") == "One path for SmolLM2-135M-Instruct (demo) on elements"
        assert page.inner_text("#state") == "running"
        assert "929 paths on 32 questions" in page.inner_text("#scan-lines")
        assert page.is_hidden("#scan-map-section")
        assert page.is_hidden("#examples")
        assert "verdicts" in page.inner_text("#progress-count")

        write_running_scan(folder, finished_rungs=1)
        eventually(page, f"{MAP} === 2")
        assert "All cells ran on the same 32 questions." in page.inner_text("#scan-map-caption")
        page.click("#scan-map-views >> text=gain as measured")

        write_running_scan(folder, finished_rungs=2)
        said = "document.getElementById('scan-map-caption').textContent"
        eventually(page, f"{said}.endsWith('went on to up to 96.')")
        chosen = "document.getElementById('scan-map').data.slice(0, 2).map((one) => one.visible)"
        eventually(page, f"JSON.stringify({chosen}) === '[false,true]'")
        assert "Best so far" in page.inner_text("#scan-lines")
        assert page.locator("#scan-rungs tr").count() == 2
        assert page.is_hidden("#scan-verdict")

        result = scan_result()
        write_scan(folder, result)
        eventually(page, "document.querySelectorAll('#scan-cards section').length === 5")
        assert page.inner_text("#scan-verdict") == verdict_line(result)
        assert page.inner_text("#state") == "finished"
        assert page.locator("#scan-front .main-svg").count() > 0
        assert "skip 14-19" in hover(page, "#scan-map", 20, 14, 30)
        assert "digest" in page.inner_text("#provenance")
        assert fits(page)


def test_hostile_names_stay_texts(tmp_path: Path, open_page: OpenPage) -> None:
    result = scan_result()
    first = result.finalists[0]
    bad = replace(first.summary, path=HOSTILE, edits=())
    hostile = replace(
        result,
        model=HOSTILE,
        tasks=(HOSTILE,),
        candidates=(replace(bad, shrunk=0.9), *result.candidates),
        finalists=(replace(first, summary=bad, guards={HOSTILE: first.test}),),
        chosen=HOSTILE,
    )
    folder = write_scan(tmp_path / "run", hostile)
    report = open_page(report_of(folder, hostile), viewport=PHONE)
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard, viewport=PHONE)
        eventually(page, "document.querySelectorAll('#scan-cards section').length === 1")
        for seen, where in ((report, ".finalist"), (page, "#scan-cards")):
            assert HOSTILE in seen.locator(where).first.text_content()
            assert seen.evaluate("window.hacked") is None
            assert fits(seen)
