"""What a running scan says of itself, for those who watch it: two files of its folder.

One is small and rewritten every few seconds, the other holds all paths of the race and is rewritten
when a round ends. Nothing is read back to go on: a scan that resumes writes them anew.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from search_cluster.corpus.json_files import read_value, write_value
from search_cluster.scan.result import CandidateSummary, Rung
from search_cluster.scan.result_file import is_finished

PROGRESS_NAME = "scan_progress.json"
"""The small file."""
STANDINGS_NAME = "scan_standings.json"
"""The file with all paths of the race."""
PROGRESS_SCHEMA = 1
"""The version of the small file."""


class ScanStage(StrEnum):
    """What a scan does now."""

    RACE = "race"
    """Paths run on questions of train, and the better ones go on."""
    VALIDATION = "validation"
    """Few paths run on validation."""
    TEST = "test"
    """Those that are reported run on test."""
    GUARDS = "guards"
    """They run on the tasks on which they must not lose."""
    TIMING = "timing"
    """What they take is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanProgress:
    """How far a scan is."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = PROGRESS_SCHEMA
    """The version of the file."""
    model: str
    """As the settings name it."""
    tasks: tuple[str, ...]
    """Names of the tasks."""
    num_layers: int
    """The model's depth."""
    seed: int
    """The seed of the draws of questions."""
    stage: ScanStage
    """What it does now."""
    step: int
    """0: all single edits; 1 and more: the steps of growth."""
    num_questions: int
    """Questions on which each path has run when the round, or the stage, ends."""
    num_paths: int
    """Paths in the round or the stage."""
    verdicts_done: int
    """Pairs of path and question of this round or stage that have their verdict."""
    verdicts_wanted: int
    """Those that it needs."""
    verdicts: int
    """All that were asked for since the scan began."""
    num_candidates: int
    """Paths that were compared so far."""
    rungs: tuple[Rung, ...] = ()
    """The rounds of the race that ended, in order."""
    best: CandidateSummary | None = None
    """The path that the race thinks best now; ``None`` before the first round has ended."""


_PROGRESS = TypeAdapter(ScanProgress)
_STANDINGS = TypeAdapter(tuple[CandidateSummary, ...])
_DELETE = "delete it: it is for watching only"


class ProgressLog:
    """Writes both files of a folder; owned by one scan.

    Args:
        folder: the run folder.
        clock: seconds that only grow.
        interval_s: between two writes of the small file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        interval_s: float = 2.0,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._interval_s = interval_s
        self._last_s: float | None = None

    def update(self, progress: ScanProgress, *, force: bool = False) -> None:
        """Write how far the scan is if the last write is old enough, or if forced.

        Raises:
            CorpusError: the operating system refused.
        """
        now_s = self._clock()
        if not force and self._last_s is not None and now_s - self._last_s < self._interval_s:
            return
        self._last_s = now_s
        write_value(self._folder / PROGRESS_NAME, _PROGRESS, progress)

    def end_round(self, progress: ScanProgress, standings: Sequence[CandidateSummary]) -> None:
        """Write where all paths stand when a round has ended, and how far the scan is.

        Raises:
            CorpusError: the operating system refused.
        """
        write_value(self._folder / STANDINGS_NAME, _STANDINGS, tuple(standings))
        self.update(progress, force=True)


def holds_scan(folder: Path) -> bool:
    """Whether a scan wrote, or writes, into a folder."""
    return is_finished(folder) or (folder / PROGRESS_NAME).is_file()


def read_progress(folder: Path) -> ScanProgress | None:
    """How far the scan of a folder is; ``None`` if it has not said anything yet.

    Raises:
        CorpusError: the file is damaged.
    """
    path = folder / PROGRESS_NAME
    return read_value(path, _PROGRESS, remedy=_DELETE) if path.is_file() else None


def read_standings(folder: Path) -> tuple[CandidateSummary, ...]:
    """Where all paths stood when the last round ended; none before the first one has.

    Raises:
        CorpusError: the file is damaged.
    """
    path = folder / STANDINGS_NAME
    return read_value(path, _STANDINGS, remedy=_DELETE) if path.is_file() else ()
