"""What ``status`` says of a run that has not found anything yet."""

from pathlib import Path

import pytest
from support.run_folders import all_kinds, counters, write_run, write_session

from search_cluster.commands.progress_words import BEGUN, status_lines
from search_cluster.commands.report import describe_status
from search_cluster.errors import CorpusError
from search_cluster.lock import locked_run_folder


def said(run: Path) -> dict[str, str]:
    lines = status_lines(describe_status(run))
    return dict(line.split(": ", 1) for line in lines)


def test_what_is_not_known_yet_is_said_as_such_and_not_as_zero(tmp_path: Path) -> None:
    with locked_run_folder(tmp_path):
        loading = said(tmp_path)
        assert loading["now"] == BEGUN
    write_session(tmp_path, counters(4, done=0) | {"study_budget": 900, "paths_searched": 120})
    studying = said(tmp_path)
    assert studying["now"].startswith("studying other questions first: 120 of at most 900 paths")
    for key in ("identity_accuracy", "found_accuracy", "mean_layers_saved"):
        assert loading[key] == studying[key] == "not yet"
    for key in ("paths_evaluated", "paths_searched", "cache_hits", "failures", "device_seconds"):
        assert loading[key] == "not yet"
    assert studying["examples_total"] == "10"


def test_a_finished_run_has_nothing_to_come(tmp_path: Path) -> None:
    run = write_run(tmp_path, all_kinds())
    write_session(run, counters(4, done=5))
    lines = said(run)
    assert "not yet" not in lines.values()
    assert "now" not in lines
    assert lines["examples"] == "5"


def test_a_running_search_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path, all_kinds(), finish=False)
    write_session(run, counters(4, done=5))
    assert said(run)["now"] == "searching questions"


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"is not a run folder: .*; name what --run named"):
        describe_status(tmp_path)
