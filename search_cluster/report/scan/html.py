"""The report of a scan, as one HTML file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_cluster.bridged_spec import model_name
from search_cluster.files import write_text_whole
from search_cluster.paths.words import EDIT_WORDS
from search_cluster.report.beside import pages_beside
from search_cluster.report.costs import cost_rows
from search_cluster.report.scan.cards import finalist_cards
from search_cluster.report.scan.front import front_figure
from search_cluster.report.scan.heat_map import heat_map_figure
from search_cluster.report.scan.page import SCAN_PAGE
from search_cluster.report.scan.tables import (
    front_columns,
    front_rows,
    provenance_rows,
    rung_rows,
    top_rows,
)
from search_cluster.report.scan.verdict import first_screen, verdict_line
from search_cluster.report.shell import plot_values, render_page
from search_cluster.report.tables import RUN_LABELS
from search_cluster.scan.result import ScanResult

LIMITS = (
    "A heat map flatters. Of a thousand cells that do nothing some look good on any set of "
    "questions, and the best is the luckiest. Only what is left on validation and test counts.",
    "An interval is about these tasks' questions, not about other tasks. Guards say what a path "
    "does elsewhere, as far as they go.",
    "Layers are not seconds. Times were taken here, on this machine, at these batch sizes.",
)


def scan_title(model: str, tasks: tuple[str, ...]) -> str:
    """What a page about a scan is called."""
    return f"One path for {model_name(model)} on {', '.join(tasks)}"


def write_scan_report(
    folder: Path, out: Path, *, result: ScanResult, run: Mapping[str, Any]
) -> None:
    """Write the report of a scan as one self-contained HTML file, atomically.

    Args:
        folder: the run's folder, named in the report.
        out: the file to write.
        result: what the scan found.
        run: the sums of its sessions; missing keys are left out.

    Raises:
        CorpusError: the operating system refused.
    """
    heat_map = heat_map_figure(result.candidates, result.num_layers)
    front = front_figure(result)
    text = render_page(
        SCAN_PAGE,
        beside=pages_beside(folder, out),
        title=scan_title(result.model, result.tasks),
        subtitle=(
            f"Scan {folder.name}: {result.num_candidates:,} paths of {', '.join(result.families)}, "
            f"seed {result.seed}"
        ),
        verdict=verdict_line(result),
        sure=result.sure,
        screen=first_screen(result, run, folder),
        heat_map=None if heat_map is None else plot_values(heat_map),
        notation=EDIT_WORDS,
        top=top_rows(result.candidates),
        cards=finalist_cards(result),
        front=None if front is None else plot_values(front),
        front_columns=front_columns(result),
        front_rows=front_rows(result),
        rungs=rung_rows(result.rungs),
        costs=_cost_rows(result, run),
        limits=LIMITS,
        provenance=provenance_rows(result),
    )
    write_text_whole(out, text)


def _cost_rows(result: ScanResult, run: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("verdicts that the search asked for", f"{result.verdicts:,}"),
        ("all paths on all questions of the race", f"{result.exhaustive_verdicts:,}"),
        ("uses of test", f"{result.test_uses:,}"),
    ]
    rows += [
        (label, f"{round(run[key], 1):,}")
        for key, label in RUN_LABELS.items()
        if key != "paths_searched" and isinstance(run.get(key), int | float)
    ]
    return rows + cost_rows(run)
