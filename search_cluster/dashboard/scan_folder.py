"""A scan as the page shows it, while it runs and afterwards, ready for JSON.

What changes every few seconds is small; the plots and cards are large and have a tag, so that a
page asks for them only when they are others.
"""

from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from search_cluster.dashboard.pictures import picture, tag_of
from search_cluster.errors import CorpusError
from search_cluster.paths.words import EDIT_WORDS
from search_cluster.report.chart import ReportFigure
from search_cluster.report.scan.cards import finalist_cards
from search_cluster.report.scan.front import front_figure
from search_cluster.report.scan.heat_map import heat_map_figure
from search_cluster.report.scan.html import scan_title
from search_cluster.report.scan.tables import provenance_rows, rung_rows, top_rows
from search_cluster.report.scan.verdict import first_screen, verdict_line
from search_cluster.report.scan.words import edits_text, gain_text, layers_text
from search_cluster.scan.progress import (
    STANDINGS_NAME,
    ScanProgress,
    ScanStage,
    read_progress,
    read_standings,
)
from search_cluster.scan.result import SCAN_NAME, ScanResult
from search_cluster.scan.result_file import is_finished, read_result

STAGE_WORDS = {
    ScanStage.RACE: "The race on train",
    ScanStage.VALIDATION: "Finalists on validation",
    ScanStage.TEST: "The reported paths on test",
    ScanStage.GUARDS: "The tasks on which paths must not lose",
    ScanStage.TIMING: "Measuring what paths take",
}
"""What a stage is called."""


class ScanFolder:
    """Reads what a scan wrote into a run folder; safe to share between threads.

    Args:
        folder: the run folder, of a scan or not.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._tag = ""
        self._result: ScanResult | None = None

    def describe(self, total: dict[str, Any]) -> dict[str, Any] | None:
        """What is known of the scan; ``None`` if the folder holds none.

        Args:
            total: the sums of its sessions.

        Raises:
            CorpusError: a file is damaged.
        """
        if (result := self._read_result()) is not None:
            return self._finished(result, total)
        progress = read_progress(self._folder)
        return None if progress is None else self._running(progress)

    def describe_pictures(self) -> dict[str, Any]:
        """The plots, the cards and the table of the best.

        Raises:
            CorpusError: a file is damaged, or there is no scan.
        """
        tag = self._pictures_tag()
        if (result := self._read_result()) is not None:
            return {
                "tag": tag,
                "heat_map": _figure(heat_map_figure(result.candidates, result.num_layers)),
                "front": _figure(front_figure(result)),
                "cards": [asdict(card) for card in finalist_cards(result)],
                "top": top_rows(result.candidates),
                "provenance": provenance_rows(result),
            }
        progress = read_progress(self._folder)
        if progress is None:
            raise CorpusError(f"{self._folder} holds no scan; name what 'scan --run' named")
        standings = read_standings(self._folder)
        return {
            "tag": tag,
            "heat_map": _figure(heat_map_figure(standings, progress.num_layers)),
            "front": None,
            "cards": [],
            "top": top_rows(standings),
            "provenance": [],
        }

    def _read_result(self) -> ScanResult | None:
        if not is_finished(self._folder):
            return None
        tag = tag_of(self._folder / SCAN_NAME)
        with self._lock:
            if self._result is None or tag != self._tag:
                self._tag, self._result = tag, read_result(self._folder)
            return self._result

    def _pictures_tag(self) -> str:
        name = SCAN_NAME if is_finished(self._folder) else STANDINGS_NAME
        return f"{name} {tag_of(self._folder / name)}"

    def _finished(self, result: ScanResult, total: dict[str, Any]) -> dict[str, Any]:
        return {
            "title": scan_title(result.model, result.tasks),
            "seed": result.seed,
            "notation": EDIT_WORDS,
            "verdict": verdict_line(result),
            "sure": result.sure,
            "lines": [asdict(line) for line in first_screen(result, total, self._folder)],
            "rungs": rung_rows(result.rungs),
            "tag": self._pictures_tag(),
        }

    def _running(self, progress: ScanProgress) -> dict[str, Any]:
        return {
            "title": scan_title(progress.model, progress.tasks),
            "seed": progress.seed,
            "notation": EDIT_WORDS,
            "verdict": None,
            "sure": False,
            "lines": [
                {"topic": topic, "text": text, "kind": ""}
                for topic, text in running_lines(progress)
            ],
            "rungs": rung_rows(progress.rungs),
            "tag": self._pictures_tag(),
        }


def running_lines(progress: ScanProgress) -> list[tuple[str, str]]:
    """What a running scan does, and what it thinks best."""
    step = ""
    if progress.stage is ScanStage.RACE:
        step = f", growth {progress.step}" if progress.step else ", single edits"
    now = (
        f"{STAGE_WORDS[progress.stage]}{step}: {progress.num_paths:,} paths on "
        f"{progress.num_questions:,} questions, {progress.verdicts_done:,} of "
        f"{progress.verdicts_wanted:,} verdicts"
    )
    if progress.stage is ScanStage.TIMING:
        now = STAGE_WORDS[progress.stage]
    lines = [
        ("Now", f"{now}."),
        (
            "So far",
            f"{progress.num_candidates:,} paths were compared by {progress.verdicts:,} verdicts.",
        ),
    ]
    if (best := progress.best) is not None:
        lines.append(
            (
                "Best so far",
                f"{edits_text(best)}, {layers_text(best.layers, progress.num_layers)} layers: "
                f"{gain_text(best.train)} questions of train, which flatter it.",
            )
        )
    return lines


def _figure(figure: ReportFigure | None) -> dict[str, Any] | None:
    return None if figure is None else picture(figure)
