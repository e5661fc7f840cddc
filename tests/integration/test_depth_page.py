"""A depth study on the dashboard's page, in a headless Chromium."""

from pathlib import Path

import pytest
from support.browser import BROWSER_MARKS, HOSTILE, PHONE, OpenPage, eventually, fits
from support.dashboard_process import running_dashboard
from support.depth_studies import made_up_study
from support.run_folders import all_kinds, write_run

from search_cluster.depth.result import write_depth_result

pytestmark = BROWSER_MARKS
LAPTOP = {"width": 1280, "height": 800}
DRAWN = "document.querySelectorAll('#depth-plots .plot .main-svg').length > 0"


@pytest.mark.parametrize("viewport", [LAPTOP, PHONE])
def test_a_study_fills_the_page(
    tmp_path: Path, open_page: OpenPage, viewport: dict[str, int]
) -> None:
    write_depth_result(tmp_path, made_up_study(notes=(HOSTILE,)))
    with running_dashboard(tmp_path) as dashboard:
        page = open_page(dashboard, viewport=viewport)
        eventually(page, DRAWN)
        assert page.inner_text("#title") == "Depth of tiny"
        assert page.inner_text("#depth-notes").startswith("<script>")
        assert page.evaluate("window.hacked") is None
        for hidden in ("#progress", "#cards", "#examples", "#plot-rate", "#sessions"):
            assert page.is_hidden(hidden), hidden
        assert "Layer cards" in page.inner_text("#depth-tables")
        assert fits(page)
        page.click("#depth-plot-0-views >> text=probability, logit")
        assert page.get_attribute("text=probability, logit", "aria-pressed") == "true"


def test_beside_a_run_it_is_drawn_when_it_is_opened(tmp_path: Path, open_page: OpenPage) -> None:
    folder = write_run(tmp_path / "run", all_kinds())
    (folder / "depth").mkdir()
    write_depth_result(folder / "depth", made_up_study())
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard, viewport=LAPTOP)
        eventually(page, "document.getElementById('depth-title').textContent !== ''")
        assert page.is_visible("#examples")
        assert not page.evaluate(DRAWN)
        page.click("#depth summary")
        eventually(page, DRAWN)
        box = page.locator("#depth-plot-0").bounding_box()
        assert box is not None
        assert box["width"] > 900
