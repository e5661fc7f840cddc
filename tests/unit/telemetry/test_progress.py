"""A bar on a terminal, lines elsewhere."""

import io
import re

import pytest

from search_cluster.telemetry.progress import ProgressReporter


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_every_few_seconds_and_a_last_one():
    clock, stream = _Clock(), io.StringIO()
    with ProgressReporter(10, "searching t", stream, clock=clock, interval_s=5) as reporter:
        for second in range(13):
            clock.now_s = 1000.0 + second
            reporter.update(second // 2, 3 * second, second, 1)
    assert stream.getvalue().splitlines() == [
        "searching t: 2/10 questions, 15 paths (5 cached, 1 failed), 3.0 paths/s, about 20 s left",
        "searching t: 5/10 questions, 30 paths (10 cached, 1 failed), 3.0 paths/s, about 10 s left",
        "searching t: 6/10 questions, 36 paths (12 cached, 1 failed), 3.0 paths/s, about 8 s left",
    ]


def test_examples_of_an_earlier_run_do_not_make_it_look_faster():
    clock, stream = _Clock(), io.StringIO()
    with ProgressReporter(200, "s", stream, clock=clock) as reporter:
        reporter.update(100, 0, 0, 0)
        clock.now_s += 60
        reporter.update(110, 50, 0, 0)
    assert stream.getvalue().splitlines()[0].endswith("about 9 min left")


def test_paths_that_another_process_holds_are_said_as_long_as_there_are_any():
    clock, stream = _Clock(), io.StringIO()
    with ProgressReporter(10, "s", stream, clock=clock, interval_s=0) as reporter:
        reporter.wait_for(7)
        reporter.update(0, 20, 0, 0)
        reporter.wait_for(0)
        reporter.update(0, 30, 0, 0)
    said = stream.getvalue().splitlines()
    leased = "7 leased by another process"
    assert said[0] == f"s: 0/10 questions, 20 paths (0 cached, 0 failed), {leased}"
    assert said[1] == "s: 0/10 questions, 30 paths (0 cached, 0 failed)"


def test_an_error_in_the_block_still_leaves_a_last_line_and_passes():
    stream = io.StringIO()
    try:
        with ProgressReporter(10, "s", stream, clock=_Clock()) as reporter:
            reporter.update(1, 2, 0, 0)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert stream.getvalue() == "s: 1/10 questions, 2 paths (0 cached, 0 failed)\n"
    else:
        raise AssertionError("the interrupt was swallowed")


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    stream = _Terminal()
    with ProgressReporter(10, "searching t", stream, clock=_Clock()) as reporter:
        reporter.update(10, 30, 4, 0)
    text = stream.getvalue()
    assert "\x1b[" in text
    assert "10/10" in text
    assert "30 paths (4 cached, 0 failed)" in text
    assert "examples," not in text


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_count_and_time_left_are_seen_on_a_narrow_terminal(monkeypatch, columns):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    stream, clock = _Terminal(), _Clock()
    with ProgressReporter(91740, "searching arc_easy", stream, clock=clock) as reporter:
        for num_done in range(0, 9174, 917):
            clock.now_s += 10
            reporter.update(num_done, 3 * num_done, num_done, 0)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n").strip()
    line = last.splitlines()[-1]
    assert len(line) <= columns
    assert line.startswith("searching arc_easy")
    assert "9170/91740" in line
    assert re.search(r"(\d+:\d\d|--:--) left", line)


def test_what_is_counted_and_how_much_of_it_there_is_may_be_said_later():
    clock, stream = _Clock(), io.StringIO()
    with ProgressReporter(0, "s", stream, clock=clock, unit="verdicts") as reporter:
        reporter.update(0, 0, 0, 0)
        reporter.expect(50)
        clock.now_s += 10
        reporter.update(10, 10, 0, 0)
    wanted = "s: 10/50 verdicts, 10 paths (0 cached, 0 failed), 1.0 paths/s, about 40 s left"
    assert stream.getvalue().splitlines()[0] == wanted
