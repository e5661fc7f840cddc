"""A scan in the dashboard: while it runs, when it is finished, and when its files are damaged."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.run_folders import counters, write_session
from support.scans import scan_progress, scan_result, write_running_scan, write_scan

from search_cluster.dashboard.overview import describe_run
from search_cluster.dashboard.run_folder import RunFolder, RunState
from search_cluster.dashboard.scan_folder import running_lines
from search_cluster.dashboard.terminal import render_run
from search_cluster.errors import CorpusError
from search_cluster.report.scan.verdict import verdict_line
from search_cluster.scan.progress import (
    PROGRESS_NAME,
    STANDINGS_NAME,
    ProgressLog,
    ScanStage,
    read_progress,
)


def seen(folder: Path) -> dict[str, Any]:
    """What the page gets, through JSON that has no NaN."""
    values = json.loads(json.dumps(describe_run(RunFolder(folder)), allow_nan=False))
    assert isinstance(values, dict)
    return values


def pictures(folder: Path) -> dict[str, Any]:
    values = json.loads(json.dumps(RunFolder(folder).scan.describe_pictures(), allow_nan=False))
    assert isinstance(values, dict)
    return values


def test_a_running_scan(tmp_path: Path) -> None:
    folder = write_running_scan(tmp_path / "run", finished_rungs=2)
    values = seen(folder)
    scan = values["scan"]
    assert values["run"]["state"] == RunState.RUNNING
    assert scan["title"] == "One path for SmolLM2-135M-Instruct (demo) on elements"
    assert scan["verdict"] is None
    lines = {line["topic"]: line["text"] for line in scan["lines"]}
    progress = read_progress(folder)
    assert progress is not None
    assert progress.best is not None
    assert lines["Now"] == (
        f"The race on train, single edits: {progress.num_paths:,} paths on 224 questions, 1,200 of "
        f"{progress.verdicts_wanted:,} verdicts."
    )
    best = progress.best
    assert (
        f"{100 * best.train.gain:+.1f} points ({100 * best.train.low:+.1f} to"
        in (lines["Best so far"])
    )
    assert "96 questions of train, which flatter it" in lines["Best so far"]
    assert [row["questions"] for row in scan["rungs"]] == ["32", "96"]
    drawn = pictures(folder)
    assert drawn["tag"] == scan["tag"]
    assert drawn["heat_map"]["data"][0]["type"] == "heatmap"
    assert drawn["heat_map"]["caption"].endswith("the others went on to up to 96.")
    assert (drawn["cards"], drawn["front"]) == ([], None)
    assert len(drawn["top"]) == 12


def test_before_the_first_round_has_ended(tmp_path: Path) -> None:
    folder = write_running_scan(tmp_path / "run", finished_rungs=0)
    assert [line["topic"] for line in seen(folder)["scan"]["lines"]] == ["Now", "So far"]
    drawn = pictures(folder)
    assert drawn["heat_map"] is None
    assert drawn["top"] == []


def test_the_pictures_have_another_tag_when_a_round_or_the_scan_ends(tmp_path: Path) -> None:
    folder = write_running_scan(tmp_path / "run", finished_rungs=1)
    view = RunFolder(folder)

    def tag() -> str:
        scan = describe_run(view)["scan"]
        assert view.scan.describe_pictures()["tag"] == scan["tag"]
        return str(scan["tag"])

    tags = [tag()]
    progress = read_progress(folder)
    assert progress is not None
    ProgressLog(folder).update(progress, force=True)
    assert tag() == tags[0], "the small file alone changes no picture"
    write_running_scan(folder, finished_rungs=2)
    tags.append(tag())
    write_scan(folder, scan_result())
    tags.append(tag())
    write_scan(folder, scan_result(is_sure=False))
    tags.append(tag())
    assert len(set(tags)) == 4
    assert describe_run(view)["scan"]["verdict"].startswith("plain model: nothing is sure")


@pytest.mark.parametrize("is_sure", [True, False])
def test_a_finished_scan(tmp_path: Path, is_sure: bool) -> None:
    result = scan_result(is_sure=is_sure)
    folder = write_scan(tmp_path / "run", result)
    values = seen(folder)
    assert values["run"]["state"] == RunState.FINISHED
    scan = values["scan"]
    assert (scan["verdict"], scan["sure"]) == (verdict_line(result), is_sure)
    topics = [line["topic"] for line in scan["lines"]]
    assert topics[:5] == [
        "What was found", "What held", "Is it true?", "What it cost", "What next",
    ]  # fmt: skip
    assert "12 min with 2 workers" in scan["lines"][3]["text"]
    drawn = pictures(folder)
    assert [card["number"] for card in drawn["cards"]] == [1, 2, 3, 4, 5]
    assert len(drawn["front"]["layout"]["meta"]["views"]) == 3
    assert ["digest", "d" * 64] in drawn["provenance"]


def test_a_search_has_no_scan(tmp_path: Path) -> None:
    write_session(tmp_path / "run", counters(10, done=1))
    assert seen(tmp_path / "run")["scan"] is None
    with pytest.raises(CorpusError, match="holds no scan"):
        pictures(tmp_path / "run")


@pytest.mark.parametrize("name", [PROGRESS_NAME, "scan.json"])
def test_a_damaged_file_is_a_problem_and_the_rest_is_shown(tmp_path: Path, name: str) -> None:
    folder = write_running_scan(tmp_path / "run")
    (folder / name).write_text("{")
    values = seen(folder)
    assert values["scan"] is None
    assert len(values["problems"]) == 1
    assert name in values["problems"][0]
    assert values["costs"]["paths_searched"] > 0


def test_damaged_standings_are_an_error_of_the_pictures_alone(tmp_path: Path) -> None:
    folder = write_running_scan(tmp_path / "run")
    (folder / STANDINGS_NAME).write_text("{")
    assert seen(folder)["scan"] is not None
    with pytest.raises(CorpusError, match=STANDINGS_NAME):
        pictures(folder)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (ScanStage.VALIDATION, "Finalists on validation: 232 paths on 96 questions, 1,200 of "),
        (ScanStage.TEST, "The reported paths on test: "),
        (ScanStage.GUARDS, "The tasks on which paths must not lose: "),
        (ScanStage.TIMING, "Measuring what paths take."),
    ],
)
def test_every_stage_is_said_in_words(tmp_path: Path, stage: ScanStage, words: str) -> None:
    progress, _ = scan_progress(stage=stage)
    assert running_lines(progress)[0][1].startswith(words.replace("232", str(progress.num_paths)))


def terminal(folder: Path, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_run(describe_run(RunFolder(folder))))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_a_scan(tmp_path: Path) -> None:
    running = terminal(write_running_scan(tmp_path / "running"))
    title = "One path for SmolLM2-135M-Instruct (demo) on elements"
    for words in (title, "verdicts, 50.0%", "Now: The race on train"):
        assert words in running
    assert "questions searched" not in running
    assert "some path found right" not in running
    result = scan_result()
    finished = terminal(write_scan(tmp_path / "finished", result))
    assert "skip 14-19 is better than the plain model" in finished
    assert "What next: search-cluster scan export" in finished
