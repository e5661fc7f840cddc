"""The dashboard's page in a headless Chromium.

Tried are content, clicks, live update, hostile texts, phone, light and dark.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.browser import BROWSER_MARKS, FITS, HOSTILE, PHONE, OpenPage, eventually, fits
from support.dashboard_process import Dashboard, running_dashboard
from support.prefix_proxy import behind_prefix
from support.run_folders import (
    PROVENANCE,
    all_kinds,
    counters,
    example,
    never,
    searched,
    solved_by,
    verdict,
    write_run,
    write_samples,
    write_session,
)

from search_cluster.cache.keys import VerdictContext
from search_cluster.cache.redis.store import RedisStore
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.corpus.record import PathEvidence
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example

pytestmark = BROWSER_MARKS


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: one example of each outcome, and thirty more."""
    folder = tmp_path_factory.mktemp("page") / "run"
    many = [searched(example(100 + number), solved_by(number % 8)) for number in range(30)]
    write_session(folder, counters(120, done=35, total=35, hits=100))
    write_samples(folder, [counters(second, done=second // 4) for second in range(0, 121, 4)])
    return write_run(folder, [*many, *all_kinds()], per_shard=16)


@pytest.fixture(scope="module")
def dashboard(run_dir: Path) -> Iterator[Dashboard]:
    with running_dashboard(run_dir) as running:
        yield running


def test_what_the_overview_says(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page(dashboard)
    assert page.inner_text("#title") == "Layer paths of toy on riddles"
    assert page.inner_text("#state") == "finished"
    assert page.inner_text("#progress-count") == "35 of 35 questions"
    topics = page.locator("#run-lines dt").all_inner_texts()
    assert topics == ["What was found", "Is it true?", "What it cost", "What next"]
    assert "router-train fit --corpus" in page.inner_text("#run-lines")
    assert page.inner_text("#notation").startswith("A path names the layers that run")
    cards = page.inner_text("#cards")
    assert "5,250" in cards, "350 paths in 240 s of devices are 5,250 an hour"
    assert "28.6 %" in cards, "100 of 350 came from the cache"
    assert "of 8" in cards
    for plot, least in (("rate", 2), ("device", 1), ("done", 1)):
        page.wait_for_selector(f"#plot-{plot} .scatterlayer .trace", state="attached")
        assert page.locator(f"#plot-{plot} .scatterlayer .trace").count() == least
    page.wait_for_selector("#plot-lengths .barlayer .point", state="attached")
    assert page.locator("#plot-layers .heatmaplayer image").count() == 3
    assert "skipped, 0" in page.inner_text("#plot-layers")
    costs = page.inner_text("#costs")
    assert re.search(r"why there was none\s+NonFiniteLogitsError \d+, PromptTooLongError 1", costs)
    assert re.search(r"no path is right\s+\d", page.inner_text("#found"))
    assert page.locator("#sessions tr").count() == 1
    assert "f" * 16 in page.inner_text("#provenance")
    page.select_option("#layers-of", "tried")
    eventually(
        page,
        "document.querySelector('#plot-layers').data[0].customdata[0].some((count) => count > 40)",
    )


def test_machine_behind_a_proxy_with_a_path_of_its_own(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    with behind_prefix(dashboard) as proxied:
        page = open_page(proxied)  # which asks nothing outside of the proxy's path
        assert page.inner_text("#progress-count") == "35 of 35 questions"
        page.wait_for_selector("#plot-lengths .barlayer .point", state="attached")
        page.click("#page-next")
        eventually(
            page,
            "document.querySelector('#examples-count').textContent === '21–35 of 35 questions'",
        )
        page.click("#examples-rows tr[data-id] a >> nth=0")
        page.wait_for_selector("#question")
        page.wait_for_selector("#tree .scatterlayer .point", state="attached")
        page.click("a.back")
        page.wait_for_selector("#overview:not([hidden])")
        page.context.close()


def test_the_table_is_filtered_sorted_and_paged(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page(dashboard)
    rows = page.locator("#examples-rows tr[data-id]")
    page.wait_for_selector("#examples-rows tr[data-id]")
    assert (rows.count(), page.inner_text("#examples-count")) == (20, "1–20 of 35 questions")
    assert rows.first.inner_text().startswith("Riddle 4?")
    page.click("#page-next")
    eventually(
        page, "document.querySelector('#examples-count').textContent === '21–35 of 35 questions'"
    )
    assert page.is_disabled("#page-next")
    page.select_option("#filter-outcome", "unsolved")
    eventually(page, "document.querySelector('#examples-rows').textContent.includes('Riddle 3?')")
    page.fill("#filter-text", "RIDDLE 3?")
    eventually(
        page, "document.querySelector('#examples-count').textContent === '1–1 of 1 question'"
    )
    page.fill("#filter-text", "no such riddle")
    eventually(
        page, "document.querySelector('#examples-rows').textContent.includes('none that fits')"
    )
    page.fill("#filter-text", "")
    page.select_option("#filter-outcome", "")
    page.select_option("#filter-order", "question")
    eventually(
        page, "document.querySelector('#examples-rows tr').textContent.startsWith('Riddle 0?')"
    )


def test_an_example_opens_with_its_tree_and_its_paths(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page(dashboard)
    page.fill("#filter-text", "Riddle 0?")
    page.click("#examples-rows tr[data-id]:has-text('Riddle 0?') a")
    page.wait_for_selector("#tree .scatterlayer .point", state="attached")
    assert page.inner_text("#question") == "Riddle 0?"
    assert page.inner_text("li.gold") == "yes"
    assert page.inner_text("#graph-title") == "Search tree"
    num_paths = page.locator("#paths tbody tr").count()
    nodes = page.locator("#tree .scatterlayer .point")
    assert nodes.count() == num_paths + 1 > 6, (
        "one for each path, and the ring around the selected one"
    )
    assert page.inner_text("#selected h2") == "Best path"
    assert re.search(r"skips .*[2-5]", page.inner_text("#selected-edits"))
    assert page.locator("#selected .strip i").count() == PROVENANCE.num_layers

    page.evaluate("document.querySelector('#tree').scrollIntoView({block: 'center'})")
    nodes.first.dispatch_event("mousemove")
    box = nodes.first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    eventually(page, "document.querySelector('#selected h2').textContent === 'Plain path'")
    assert re.search(rf"visits\s+{num_paths}\b", page.inner_text("#selected"))
    assert page.locator("#paths tr.selected").get_attribute("data-path") == "0"

    page.click("#paths tbody tr:nth-child(3)")
    assert page.inner_text("#selected-path") == page.inner_text(
        "#paths tbody tr:nth-child(3) .path"
    )
    page.click("a.back")
    page.wait_for_selector("#overview:not([hidden]) #plot-rate .main-svg", state="attached")
    assert page.is_hidden("#example")


def test_an_example_without_a_tree_says_why(tmp_path: Path, open_page: OpenPage) -> None:
    folder = tmp_path / "run"
    with CorpusWriter(folder, replace(PROVENANCE, seed=99)) as writer:  # not the seed of the search
        writer.add(searched(example(0), never))
        writer.close({})
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard, f"#example={example(0).example_id}")
        page.wait_for_selector("#tree .scatterlayer .point", state="attached")
        assert page.inner_text("#graph-title") == "Graph of edits"
        assert "can't be rebuilt" in page.inner_text("#graph-note")
        assert "visits" not in page.inner_text("#paths thead")


def test_what_speaks_for_a_path_is_shown(tmp_path: Path, open_page: OpenPage) -> None:
    record = searched(example(0), solved_by(2, 3, 4, 5))
    evidence = PathEvidence(
        path=record.best[0].path, guide_right=3, guide_identity_right=2, num_guide=3,
        verify_right=2, verify_identity_right=1, num_verify=3, probe_right=40,
        probe_identity_right=41, num_probes=90, credible=True, probe_chance=0.25,
    )  # fmt: skip
    folder = tmp_path / "run"
    with CorpusWriter(folder, replace(PROVENANCE, preset="credible", evidence="guide=3")) as writer:
        writer.add(replace(record, evidence=(evidence,)))
        writer.close({})
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard, f"#example={example(0).example_id}", viewport=PHONE)
        page.wait_for_selector("#tree .scatterlayer .point", state="attached")
        shown = page.inner_text("#selected")
        assert re.search(r"credible\s+yes", shown)
        assert re.search(r"right on other questions\s+40 of 90 \(plain path: 41\)", shown)
        assert re.search(r"95 % interval\s+44.4 % \(34.6 to 54.7\)", shown)
        assert re.search(r"guesses would be right on\s+25.0 %", shown)
        assert fits(page)


def test_an_unknown_example_is_said(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page(dashboard, "#example=<img src=x onerror=alert(1)>", may_fail=True)
    page.wait_for_selector("#example-problem:not([hidden])")
    assert "no searched question has the id" in page.inner_text("#example-problem")


def test_the_page_follows_a_search_that_runs(tmp_path: Path, open_page: OpenPage) -> None:
    folder = tmp_path / "run"
    (folder / "sessions").mkdir(parents=True)
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard)
        assert page.inner_text("#state") == "starting"
        assert "No samples over time yet" in page.inner_text("#plot-rate")

        write_run(folder, all_kinds()[:3], finish=False)
        write_session(folder, counters(40, done=4))
        write_samples(folder, [counters(second, done=second // 10) for second in range(0, 41, 4)])
        eventually(
            page, "document.querySelector('#progress-count').textContent === '4 of 10 questions'"
        )
        assert page.inner_text("#state") == "running"
        assert re.search(r"40\.0 %, about \d+ s left", page.inner_text("#progress-left"))
        assert "3 questions are in shards" in page.inner_text("#progress-note")
        assert page.locator("#examples-rows tr[data-id]").count() == 3
        page.wait_for_selector("#plot-rate .scatterlayer .trace", state="attached")
        before = page.evaluate("document.querySelector('#plot-rate').data[0].x.length")

        write_run(folder, all_kinds()[3:])
        write_session(folder, counters(80, done=10))
        write_samples(folder, [counters(second, done=second // 8) for second in range(0, 81, 4)])
        eventually(page, "document.querySelector('#state').textContent === 'finished'")
        eventually(page, "document.querySelectorAll('#examples-rows tr[data-id]').length === 5")
        eventually(page, f"document.querySelector('#plot-rate').data[0].x.length > {before}")


def _hostile_run(folder: Path) -> Example:
    item = Example(
        task="riddles",
        question=HOSTILE,
        choices=("no", HOSTILE + "!"),
        gold=HOSTILE,
        gold_index=0,
        split="train",
        source=HOSTILE,
        difficulty=HOSTILE,
    )
    provenance = replace(PROVENANCE, model_spec=HOSTILE, task=HOSTILE, versions={HOSTILE: HOSTILE})
    with CorpusWriter(folder, provenance) as writer:
        writer.add(searched(item, solved_by(2, 3, 4, 5, output=HOSTILE)))
        writer.close({})
    (folder / "data" / "shard-00009.parquet").write_text(HOSTILE)
    session = counters(8, done=1) | {"started_at": HOSTILE}
    write_session(folder, session)
    return item


def test_hostile_texts_stay_texts(tmp_path: Path, open_page: OpenPage) -> None:
    folder = tmp_path / "<img src=x onerror=window.hacked=6>"
    item = _hostile_run(folder)
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard, viewport=PHONE)
        page.wait_for_selector("#examples-rows tr[data-id]")
        assert HOSTILE in page.inner_text("#title")
        assert HOSTILE in page.inner_text("#provenance")
        assert page.locator("#examples-rows a").text_content() == HOSTILE
        assert folder.name in (page.text_content("#problems") or "")
        assert fits(page)
        page.click("#examples-rows a")
        page.wait_for_selector("#tree .scatterlayer .point", state="attached")
        assert page.text_content("#question") == item.question
        assert page.text_content("#selected-output") == HOSTILE
        assert page.locator("ol.choices li").all_text_contents() == list(item.choices)
        assert fits(page)
        page.hover("#paths tbody tr:last-child .path")
        page.evaluate("Plotly.Fx.hover('tree', [{curveNumber: 3, pointNumber: 1}])")
        page.wait_for_selector("#tree .hovertext", state="attached")
        assert page.evaluate("window.hacked") is None
        assert (
            page.locator("main script, main img, main svg[onload], main b:text-is('bold')").count()
            == 0
        )


def test_the_policy_stops_a_script_that_got_into_the_page(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    """The second line of defence, tried on its own."""
    page = open_page(dashboard, may_fail=True)
    page.evaluate(
        """() => {
          document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hacked = 1'>");
          const script = document.createElement("script");
          script.textContent = "window.hacked = 2";
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(
    dashboard: Dashboard, open_page: OpenPage, width: int
) -> None:
    page = open_page(dashboard, viewport={"width": width, "height": 800})
    page.wait_for_selector("#plot-layers .main-svg", state="attached")
    assert fits(page)
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.plot .main-svg')].map((e) => e.clientWidth))"
    )
    assert widest <= width
    page.set_viewport_size({"width": max(320, width // 2), "height": 800})
    eventually(page, FITS)
    page.locator("#examples-rows tr[data-id] a").first.click()
    page.wait_for_selector("#tree .main-svg", state="attached")
    assert fits(page)


def test_one_word_of_a_thousand_letters_fits_a_phone(tmp_path: Path, open_page: OpenPage) -> None:
    item = example(0, question="x" * 1000)
    record = searched(item, lambda path: verdict(path, 0.5, "y" * 1000))
    folder = tmp_path / ("z" * 200)
    with CorpusWriter(folder, replace(PROVENANCE, model_spec="m" * 1000)) as writer:
        writer.add(record)
        writer.close({})
    with running_dashboard(folder) as dashboard:
        page = open_page(dashboard, viewport=PHONE)
        page.wait_for_selector("#examples-rows tr[data-id]")
        assert fits(page)
        page.click("#examples-rows a")
        page.wait_for_selector("#tree .main-svg", state="attached")
        assert fits(page)


BRIGHTNESS = """(selector) => {
  const style = getComputedStyle(document.querySelector(selector));
  const colour = selector === "body" ? style.backgroundColor : style.fill;
  const [r, g, b] = colour.match(/[0-9.]+/g).map(Number);
  return (r + g + b) / 3;
}"""


def test_light_and_dark_follow_the_system_and_the_button(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page(dashboard, color_scheme="dark")
    page.wait_for_selector("#plot-rate .xtick text", state="attached")

    def is_dark() -> bool:
        back = page.evaluate(BRIGHTNESS, "body")
        text = page.evaluate(BRIGHTNESS, "#plot-rate .xtick text")
        assert abs(back - text) > 120, "the plots' texts can be read"
        dark: bool = back < 60
        return dark

    assert is_dark()
    page.emulate_media(color_scheme="light")
    assert not is_dark()
    for theme, dark in (("light", False), ("dark", True)):
        page.click("#theme")
        assert page.inner_text("#theme") == f"Theme: {theme}"
        assert is_dark() is dark
    page.reload()
    page.wait_for_selector("#plot-rate .xtick text", state="attached")
    assert page.inner_text("#theme") == "Theme: dark"
    assert is_dark(), "remembered"
    page.click("#theme")
    assert page.inner_text("#theme") == "Theme: system"
    assert not is_dark()


def test_a_dashboard_that_was_stopped_is_said(run_dir: Path, open_page: OpenPage) -> None:
    with running_dashboard(run_dir) as dashboard:
        page = open_page(dashboard, may_fail=True)
        assert page.is_hidden("#offline")
    page.wait_for_selector("#offline:not([hidden])")
    assert "does not answer" in page.inner_text("#offline")
    assert page.inner_text("#progress-count") == "35 of 35 questions", "the last numbers stay"


@pytest.mark.server
def test_the_view_of_a_cache_server(tmp_path: Path, run_dir: Path, open_page: OpenPage) -> None:
    context = VerdictContext(
        schema=1, model_fingerprint="f00d", task=HOSTILE, task_version="1", decoding="greedy",
        tie_threshold=0.01, num_layers=8,
    )  # fmt: skip
    with EmbeddedServer(tmp_path / "cache") as server:
        with contextlib.closing(RedisStore(server.url, context=context)) as store:
            path = LayerPath.identity(8)
            store.put_many([(f"{number:024x}", path, verdict(path, 1.0)) for number in range(1234)])
        with running_dashboard(LPS_REDIS_URL=server.url) as dashboard:
            page = open_page(dashboard, viewport=PHONE)
            page.wait_for_selector("#cache-contexts .context")
            assert page.inner_text("#title") == "Verdict cache"
            assert page.is_hidden("#overview")
            assert re.search(r"verdicts\s+1,234", page.inner_text("#cache-facts"))
            assert HOSTILE in page.inner_text("#cache-contexts h2")
            assert "f00d" in page.inner_text("#cache-contexts")
            assert page.evaluate("window.hacked") is None
            assert fits(page)
        with running_dashboard(run_dir, LPS_REDIS_URL=server.url) as dashboard:
            page = open_page(dashboard)
            page.wait_for_selector("#cache-contexts .context")
            assert page.inner_text("#title") == "Layer paths of toy on riddles"
            assert page.is_visible("#progress")
