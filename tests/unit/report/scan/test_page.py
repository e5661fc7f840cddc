"""The report of a scan as a browser reads it."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.html_page import EXTERNAL, HOSTILE, HtmlPage, parsed, plots_of
from support.scans import scan_result

from search_cluster.report.scan.html import write_scan_report
from search_cluster.report.scan.verdict import first_screen, verdict_line
from search_cluster.scan.result import ScanResult

RUN = {
    "elapsed_seconds": 720.0, "workers": 2, "paths_evaluated": 36_784, "cache_hits": 2000,
    "device_seconds": 1440.0, "failures": 0,
}  # fmt: skip


def written(folder: Path, result: ScanResult) -> HtmlPage:
    out = folder / "report.html"
    write_scan_report(folder / "my scan", out, result=result, run=RUN)
    return parsed(out)


@pytest.mark.parametrize("is_sure", [True, False])
def test_the_first_screen_comes_first(tmp_path: Path, is_sure: bool) -> None:
    result = scan_result(is_sure=is_sure)
    page = written(tmp_path, result)
    at = page.words.index(verdict_line(result))
    assert at < 250, "only the title and what was scanned stand above it"
    for line in first_screen(result, RUN, tmp_path / "my scan"):
        assert f"{line.topic} {line.text}" in page.words
    assert at < page.words.index("What was found") < page.words.index("Every block, skipped")
    assert (("class", "verdict helps") in page.attributes) is is_sure


def test_everything_is_in_the_page(tmp_path: Path) -> None:
    result = scan_result()
    page = written(tmp_path, result)
    for expected in (
        "One path for SmolLM2-135M-Instruct (demo) on elements",
        "Scan my scan: 939 paths of repeat, skip, seed 0",
        "Best paths of the search",
        "1. skip 14-19 reported 24 of 30 layers 6 layers fewer (20%)",
        "chosen on it: flattered",
        "tasks on which it must not lose arc_easy 400 questions, 2 paths compared",
        "Accuracy, layers and time",
        "The race",
        "single edits 32 929",
        "uses of test 1",
        "paths evaluated on a device 36,784",
        "guards arc_easy, mmlu",
        "versions search-cluster 0.2.0; torch 2.9; transformers 5.23",
        "digest " + "d" * 64,
    ):
        assert expected in page.words, expected
    assert "schema" not in page.words
    heat_map, front = plots_of(page)
    assert [trace["type"] for trace in heat_map["data"][:3]] == ["heatmap"] * 3
    assert heat_map["layout"]["meta"]["square"] is True
    assert len(front["layout"]["meta"]["views"]) == 3


def test_a_scan_of_a_list_without_finalists_has_a_page(tmp_path: Path) -> None:
    result = scan_result(is_sure=False)
    listed = tuple(replace(item, edits=()) for item in result.candidates[:4])
    page = written(tmp_path, replace(result, candidates=listed, finalists=(), guards=()))
    assert plots_of(page) == []
    assert f"path {listed[0].path}" in page.words
    assert "no path was worth a look at validation" in page.words
    assert "What finalists cost" not in page.words


def test_hostile_texts_stay_texts_and_nothing_is_fetched(tmp_path: Path) -> None:
    result = scan_result()
    plain = written(tmp_path, result)
    first = result.finalists[0]
    bad = replace(first.summary, path=HOSTILE, edits=())
    page = written(
        tmp_path,
        replace(
            result,
            model=HOSTILE,
            tasks=(HOSTILE,),
            families=(HOSTILE,),
            candidates=(*result.candidates, replace(bad, shrunk=0.9)),
            finalists=(replace(first, summary=bad, guards={HOSTILE: first.test}),),
            chosen=HOSTILE,
        ),
    )
    assert "img" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
    ours = [text for attributes, text in page.scripts if "data-plot" not in attributes]
    assert ours == [text for attributes, text in plain.scripts if "data-plot" not in attributes]
    data = [text for attributes, text in page.scripts if "data-plot" in attributes]
    assert len(data) == 2
    assert not [text for text in data if "<" in text]
    assert "{{ 7*7 }}" in page.words
    assert not [(name, value) for name, value in page.attributes if name in EXTERNAL]
    assert "link" not in page.tags


def test_pages_about_the_same_model_in_the_run_folder_are_linked(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    (folder / "depth").mkdir(parents=True)
    result = scan_result()
    write_scan_report(folder, folder / "report.html", result=result, run={})
    assert 'id="beside"' not in (folder / "report.html").read_text()
    for name in ("lens.html", "depth/report.html"):
        (folder / name).write_text("")
    write_scan_report(folder, folder / "report.html", result=result, run={})
    text = (folder / "report.html").read_text()
    assert '<a href="lens.html">what it would say after each layer</a>' in text
    assert '<a href="depth/report.html">' in text
    write_scan_report(folder, tmp_path / "elsewhere.html", result=result, run={})
    assert '<a href="a%20run/lens.html">' in (tmp_path / "elsewhere.html").read_text()
