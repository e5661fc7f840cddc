"""The terminal view: what it shows, how it ends."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from support.run_folders import all_kinds, counters, write_run, write_samples, write_session

from search_cluster.dashboard.overview import describe_run
from search_cluster.dashboard.run_folder import RunFolder
from search_cluster.dashboard.terminal import duration, render_run, watch_run


def _text(folder: Path, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(render_run(describe_run(RunFolder(folder))))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_running_search(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "[red]run", all_kinds()[:4], finish=False)
    write_session(folder, counters(100, done=5, hits=10))
    write_samples(folder, [counters(second, done=second // 20) for second in range(0, 101, 4)])
    text = _text(folder)
    for wanted in (
        "[red]run toy on riddles, preset drllm", "running", "5 of 10 questions, 50.0%", "min left",
        "10 (20.0%)", "900", "2026-01-01 00:00", "90.0%", "of 8",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert all(len(line) <= 60 for line in _text(folder, width=60).splitlines())


@pytest.mark.parametrize(
    ("age_s", "finish", "words"),
    [(3600, False, "no sign of life for 60 min"), (0, True, "finished")],
)
def test_other_states(tmp_path: Path, age_s: float, finish: bool, words: str) -> None:
    folder = write_run(tmp_path / "run", all_kinds(), finish=finish)
    write_session(folder, counters(10, done=5), age_s=age_s)
    assert words in _text(folder)


def test_before_the_first_number_and_with_many_sessions(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "sessions").mkdir(parents=True)
    assert "starting" in _text(folder)
    for number in range(9):
        write_session(folder, counters(10, done=1), name=str(number))
    assert "and 3 earlier ones" in _text(folder)


def test_watching_ends_with_the_search_and_with_an_interrupt(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds()[:4], finish=False)
    write_session(folder, counters(100, done=4))
    console = Console(file=io.StringIO(), width=100)
    naps = []

    def finish(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            write_run(folder, all_kinds()[4:])

    watch_run(RunFolder(folder), console, interval_s=1.5, sleep=finish)
    assert naps == [1.5, 1.5]
    assert isinstance(console.file, io.StringIO)
    assert "finished" in console.file.getvalue()

    (folder / "manifest.json").unlink()

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    watch_run(RunFolder(folder), console, interval_s=1.5, sleep=interrupt)


def test_durations() -> None:
    shown = [duration(seconds) for seconds in (None, 0, 89, 90, 5399, 5400, 172799, 172800)]
    assert shown == ["-", "0 s", "89 s", "2 min", "90 min", "1.5 h", "48.0 h", "2.0 days"]
