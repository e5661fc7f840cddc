"""Looking at the run folder of a scan: how far it is, what it found, its report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from search_cluster.errors import CorpusError
from search_cluster.hub.folders import shown_folder
from search_cluster.report.scan.html import write_scan_report
from search_cluster.report.scan.in_short import in_short
from search_cluster.report.scan.next_step import next_commands, next_step, static_router
from search_cluster.report.scan.terminal import print_scan
from search_cluster.report.scan.verdict import verdict_line
from search_cluster.report.scan.words import edits_text
from search_cluster.scan.progress import read_progress
from search_cluster.scan.result import ScanResult
from search_cluster.scan.result_file import is_finished, read_result
from search_cluster.telemetry.price import Price, priced
from search_cluster.telemetry.sessions import read_sessions, total_of


def write_scan_run_report(run: Path, target: Path, total: Mapping[str, Any]) -> None:
    """Write the HTML report of a finished scan.

    Args:
        run: the run folder.
        target: the file to write.
        total: the sums of its sessions.

    Raises:
        CorpusError: the scan is unfinished, or its folder is damaged.
    """
    write_scan_report(shown_folder(run), target, result=_result(run), run=total)


def print_scan_run(run: Path, report: Path | None = None, price: Price | None = None) -> None:
    """Print what a finished scan found, what that is worth in one sentence, and what to do next.

    Args:
        run: the run folder.
        report: where its report was just written, if it was.
        price: of a device-hour, in the place of those that the sessions ran at.

    Raises:
        CorpusError: the scan is unfinished, or its folder is damaged.
    """
    result = _result(run)
    console = Console()
    sessions, _ = read_sessions(run)
    print_scan(console, result, total_of(priced(sessions.values(), price)))
    lines = ["", f"In short: {in_short(result)}"]
    if report is not None:
        lines += [f"report: {report}"]
    if not result.sure:
        lines += [f"Next: {next_step(result, shown_folder(run))}"]
    has_router = (static_router(run) / "router.json").is_file()
    commands = next_commands(result, shown_folder(run), has_router=has_router)
    lines += ["Try next:", *(f"  {command}" for command in commands)]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def describe_scan(run: Path) -> dict[str, Any]:
    """How far a scan is, or what it found.

    Raises:
        CorpusError: its folder is damaged.
    """
    if is_finished(run):
        return _found(read_result(run))
    progress = read_progress(run)
    if progress is None:
        return {"stage": None}
    best = progress.best
    return {
        "stage": progress.stage.value,
        "step": progress.step,
        "num_questions": progress.num_questions,
        "num_paths": progress.num_paths,
        "verdicts_done": progress.verdicts_done,
        "verdicts_wanted": progress.verdicts_wanted,
        "verdicts": progress.verdicts,
        "num_candidates": progress.num_candidates,
        "best": None if best is None else edits_text(best),
        "best_gain": None if best is None else best.train.gain,
        "best_low": None if best is None else best.train.low,
        "best_high": None if best is None else best.train.high,
    }


def _found(result: ScanResult) -> dict[str, Any]:
    return {
        "verdict": verdict_line(result),
        "path": result.chosen,
        "sure": result.sure,
        "num_candidates": result.num_candidates,
        "verdicts": result.verdicts,
        "exhaustive_verdicts": result.exhaustive_verdicts,
        "chance_best": result.chance_best,
        "test_uses": result.test_uses,
        "digest": result.digest,
    }


def _result(run: Path) -> ScanResult:
    if not is_finished(run):
        raise CorpusError(
            f"the scan in {run} is unfinished; run the same scan again, which goes on with it "
            "('search-cluster dashboard' shows what it knows so far)"
        )
    return read_result(run)
