"""Progress of a search: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from search_cluster.console import left_text

WIDE_TERMINAL = 110
"""Columns of a terminal from which on a bar is long."""
NARROW_BAR, WIDE_BAR = 8, 30
"""Columns of a bar."""


class ProgressReporter:
    """Says how far a search is; a context manager, used from one thread.

    On a terminal it draws one bar. Elsewhere (log files, jobs) it writes a plain line at most every
    ``interval_s``, and a last one when the block ends, however it ends.

    Args:
        total_examples: how many examples there are to search.
        description: what runs, one or two words.
        stream: where to write; ``None``: standard error.
        clock: seconds that only grow.
        interval_s: between two lines.
        unit: what is counted.
    """

    def __init__(
        self,
        total_examples: int,
        description: str,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = 5.0,
        unit: str = "questions",
    ) -> None:
        self._total = total_examples
        self._description = description
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._interval_s = interval_s
        self._unit = unit
        self._counts = (0, 0, 0, 0)
        self._num_elsewhere = 0
        self._study_budget = 0
        self._first_done: int | None = None
        self._started_s = self._last_line_s = clock()
        console = Console(file=self._stream)
        self._bar = _bar(console) if console.is_terminal else None
        self._task = (
            None
            if self._bar is None
            else self._bar.add_task(description, total=total_examples, detail="")
        )

    def expect(self, total_examples: int) -> None:
        """Take how many there are, where that was not known before."""
        self._total = total_examples
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=total_examples)

    def wait_for(self, num_elsewhere: int) -> None:
        """Take how many paths wait for a verdict that another process computes, if it lives."""
        self._num_elsewhere = num_elsewhere

    def study(self, budget: int) -> None:
        """Take how many paths a study of other questions may search, while one goes on; else 0."""
        self._study_budget = budget

    def update(
        self,
        num_examples_done: int,
        num_paths_searched: int,
        num_cache_hits: int,
        num_failures: int,
    ) -> None:
        """Take the totals so far and show them if it is time to."""
        self._counts = (num_examples_done, num_paths_searched, num_cache_hits, num_failures)
        if self._first_done is None:
            self._first_done = num_examples_done
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=num_examples_done, detail=self._detail())
        elif self._clock() - self._last_line_s >= self._interval_s:
            self._write_line()

    def __enter__(self) -> "ProgressReporter":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._write_line()

    def _write_line(self) -> None:
        self._last_line_s = self._clock()
        done = f"{self._counts[0]}/{self._total} {self._unit}"
        line = f"{self._description}: {done}, {self._detail()}{self._time_left()}"
        print(line, file=self._stream, flush=True)

    def _detail(self) -> str:
        _, num_paths_searched, num_cache_hits, num_failures = self._counts
        study = ""
        if self._study_budget:
            study = f"studying other questions first, at most {self._study_budget:,} paths: "
        elapsed_s = self._clock() - self._started_s
        rate = f", {num_paths_searched / elapsed_s:.1f} paths/s" if elapsed_s > 0 else ""
        leased = f", {self._num_elsewhere} leased by another process" if self._num_elsewhere else ""
        of_these = f"{num_cache_hits} cached, {num_failures} failed"
        return f"{study}{num_paths_searched} paths ({of_these}){rate}{leased}"

    def _time_left(self) -> str:
        # Examples that were there at the first call come from an earlier run and say nothing about
        # the speed.
        done = self._counts[0] - (self._first_done or 0)
        if done < 1 or self._counts[0] >= self._total:
            return ""
        left_s = (self._clock() - self._started_s) / done * (self._total - self._counts[0])
        return f", {left_text(left_s)}"


def _bar(console: Console) -> Progress:
    """A bar whose last column gives way where a terminal is narrow, not the count nor the time."""
    detail = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=24)),
        BarColumn(bar_width=NARROW_BAR if console.width < WIDE_TERMINAL else WIDE_BAR),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        TextColumn("left,", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[detail]}", table_column=detail),
        console=console,
        expand=True,
    )
