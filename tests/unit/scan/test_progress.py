"""What a running scan says of itself: how often, and what comes back."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.scans import scan_progress, scan_result

from search_cluster.errors import CorpusError
from search_cluster.scan.progress import (
    PROGRESS_NAME,
    STANDINGS_NAME,
    ProgressLog,
    ScanStage,
    holds_scan,
    read_progress,
    read_standings,
)
from search_cluster.scan.result_file import write_result


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    progress, standings = scan_progress(finished_rungs=2)
    assert progress.best is not None
    ProgressLog(tmp_path).end_round(progress, standings)
    assert read_progress(tmp_path) == progress
    assert read_standings(tmp_path) == tuple(standings)


def test_the_small_file_is_written_now_and_then_and_when_it_must_be(tmp_path: Path) -> None:
    progress, standings = scan_progress(finished_rungs=0)
    now_s = [100.0]
    log = ProgressLog(tmp_path, clock=lambda: now_s[0], interval_s=2.0)

    def said(second: float, verdicts: int, **how: bool) -> int:
        now_s[0] = second
        log.update(replace(progress, verdicts=verdicts), **how)
        found = read_progress(tmp_path)
        assert found is not None
        return found.verdicts

    assert said(100.0, 1) == 1
    assert said(101.9, 2) == 1
    assert said(102.0, 3) == 3
    assert said(102.1, 4, force=True) == 4
    assert said(104.0, 5) == 4
    log.end_round(replace(progress, verdicts=6), standings)
    found = read_progress(tmp_path)
    assert found is not None
    assert found.verdicts == 6


def test_before_the_first_word_there_is_nothing(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    assert read_standings(tmp_path) == ()
    assert not holds_scan(tmp_path)
    ProgressLog(tmp_path).update(scan_progress(finished_rungs=0)[0])
    assert holds_scan(tmp_path)


def test_a_finished_scan_is_one_without_the_files_of_a_running_one(tmp_path: Path) -> None:
    write_result(tmp_path, scan_result())
    assert holds_scan(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"stage": "lunch"}'])
def test_damaged_files_are_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PROGRESS_NAME).write_bytes(content)
    with pytest.raises(CorpusError, match=rf"{PROGRESS_NAME}: .*delete it: it is for watching"):
        read_progress(tmp_path)
    (tmp_path / STANDINGS_NAME).write_bytes(content or b"{}")
    if content != b"[]":
        with pytest.raises(CorpusError, match=rf"{STANDINGS_NAME}: .*delete it"):
            read_standings(tmp_path)


def test_stages_have_the_names_of_the_file() -> None:
    assert [stage.value for stage in ScanStage] == [
        "race", "validation", "test", "guards", "timing",
    ]  # fmt: skip
