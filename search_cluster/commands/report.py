"""Looking at a run folder: its state, its numbers, its report."""

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from rich.console import Console

from search_cluster.commands.progress_words import has_begun, search_stage
from search_cluster.commands.scan.report import (
    describe_scan,
    print_scan_run,
    write_scan_run_report,
)
from search_cluster.corpus.manifest import MANIFEST_NAME
from search_cluster.corpus.reader import provenance_so_far, read_corpus, read_shards
from search_cluster.corpus.summary import CorpusSummary, summarise
from search_cluster.depth.result import holds_study, read_depth_result
from search_cluster.errors import CorpusError, InvalidValueError
from search_cluster.hub.folders import fetched_from, shown_folder
from search_cluster.paths.cost import BARE
from search_cluster.report.depth.html import write_depth_report
from search_cluster.report.depth.words import headline
from search_cluster.report.first_screen import ROUTERS_FOLDER
from search_cluster.report.html import write_report
from search_cluster.report.notes import cut_notes, search_notes
from search_cluster.report.preset_benches import parse_search_bench
from search_cluster.report.router_evaluations import parse_evaluations
from search_cluster.report.terminal import next_commands, print_summary
from search_cluster.scan.progress import holds_scan
from search_cluster.scan.result_file import is_finished
from search_cluster.tasks.kept import read_kept
from search_cluster.tasks.registry import list_tasks
from search_cluster.telemetry.price import COST_KEYS, Price, priced
from search_cluster.telemetry.run_counters import used_figures
from search_cluster.telemetry.sessions import read_sessions, total_of

logger = logging.getLogger(__name__)

EVALUATIONS_FOLDER = "evaluations"
"""The folder in a run folder with one JSON file per ``router-train evaluate --out``."""
BENCHES_FOLDER = "benches"
"""The folder in a run folder with what ``search-cluster bench search --json`` printed."""


_COSTS = (
    "sessions", "paths_evaluated", "cache_hits", "device_seconds", "paths_per_device_hour",
    "cut_answers", "paths_searched", "examples_total",
)  # fmt: skip
"""What ``status`` takes from sessions."""


def describe_status(run: Path, price: Price | None = None) -> dict[str, Any]:
    """How far a search or a scan is, what it found and what it cost over all its sessions.

    What it cost is not known (``None``) of one that was taken from the hub: its sessions stayed.

    Args:
        run: the run folder.
        price: of a device-hour, in the place of those that the sessions ran at.

    Raises:
        CorpusError: there is no such run folder, or it is damaged.
    """
    values = _describe(run, price)
    if fetched_from(run) is not None:
        values |= {name: None for name in _COSTS if name in values}
    return values


def _describe(run: Path, price: Price | None) -> dict[str, Any]:
    sessions, problems = read_sessions(run)
    total = total_of(priced(sessions.values(), price))
    if holds_scan(run):
        _warn_of(problems)
        return {
            "run": str(shown_folder(run)),
            "finished": is_finished(run),
            "sessions": len(sessions),
            **describe_scan(run),
            "paths_evaluated": total["paths_evaluated"],
            "cache_hits": total["cache_hits"],
            "failures": total["failures"],
            "device_seconds": total["device_seconds"],
            "paths_per_device_hour": total["paths_per_device_hour"],
            **_use_and_cost(total),
        }
    summary = _summarise_shards(run, started=bool(sessions or problems) or has_begun(run))
    _warn_of(problems)
    finished = (run / MANIFEST_NAME).is_file()
    return {
        "run": str(shown_folder(run)),
        "finished": finished,
        "now": None if finished else search_stage(total, started=bool(sessions)),
        "sessions": len(sessions),
        "examples": summary.examples,
        "examples_total": total.get("examples_total"),
        # Of no example there is no share, and without a right best path nothing is saved or not.
        "identity_accuracy": summary.identity_accuracy if summary.examples else None,
        "found_accuracy": summary.found_accuracy if summary.examples else None,
        "mean_layers_saved": summary.mean_layers_saved if summary.num_best_right else None,
        "chance": summary.chance,
        "plain_is_guessing": summary.plain_is_guessing,
        "paths_searched": total.get("paths_searched", 0),
        "paths_evaluated": total["paths_evaluated"],
        "cache_hits": total["cache_hits"],
        "failures": summary.failures,
        "cut_answers": total["cut_answers"],
        "first_failure": summary.first_failure or None,
        "device_seconds": total["device_seconds"],
        "paths_per_device_hour": total["paths_per_device_hour"] or None,
        **_use_and_cost(total),
        "evaluations": [evaluation.get("router") for evaluation in read_evaluations(run)],
    }


def _use_and_cost(total: dict[str, Any]) -> dict[str, Any]:
    return used_figures(total) | {key: total[key] for key in COST_KEYS}


def write_run_report(run: Path, out: Path | None, price: Price | None = None) -> Path:
    """Write the HTML report of a finished search, scan or depth study; returns its path.

    Args:
        run: the run folder.
        out: the file; ``None``: ``report.html`` in the run folder, and of one that was taken from
            the hub a file of its name where we are.
        price: of a device-hour, in the place of those that the sessions ran at.

    Raises:
        CorpusError: the search is unfinished, or its folder is damaged.
    """
    target = _default_report(run) if out is None else out
    shown = shown_folder(run)
    if holds_study(run):
        write_depth_report(shown, target, read_depth_result(run))
        return target
    sessions, problems = read_sessions(run)
    if holds_scan(run):
        _warn_of(problems)
        write_scan_run_report(run, target, total_of(priced(sessions.values(), price)))
        return target
    corpus = read_corpus(run)
    _warn_of(problems)
    write_report(
        shown,
        target,
        corpus=corpus,
        run=total_of(priced(sessions.values(), price)),
        evaluations=read_evaluations(run),
        benches=_read_objects(
            run / BENCHES_FOLDER,
            parse_search_bench,
            "measure again with 'search-cluster bench search --json'",
        ),
    )
    return target


def _default_report(run: Path) -> Path:
    spec = fetched_from(run)
    return run / "report.html" if spec is None else Path(f"{spec.name}.html")


def print_run(
    run: Path, *, with_notes: bool, report: Path | None = None, price: Price | None = None
) -> None:
    """Print the table of a finished search, what its routers achieve, and the next commands to try.

    Of a scan or a depth study, print what it found.

    Args:
        run: the run folder.
        with_notes: print the search's notes, too; a search itself has just given them as warnings.
            Who prints them has just written the report, and warned of damaged sessions.
        report: where the report was written, if it was.
        price: of a device-hour, in the place of those that the sessions ran at.

    Raises:
        CorpusError: the search is unfinished, or its folder is damaged.
    """
    if holds_study(run):
        for line in headline(read_depth_result(run)):
            print(line)
        _print_report(report)
        return
    if holds_scan(run):
        print_scan_run(run, report, price)
        return
    corpus = read_corpus(run)
    routers = sorted(path.parent.name for path in (run / ROUTERS_FOLDER).glob("*/router.json"))
    name = corpus.manifest.provenance.task
    known = name in {task.name for task in list_tasks()} or read_kept(name, run) is not None
    commands = next_commands(
        shown_folder(run),
        run / ROUTERS_FOLDER if fetched_from(run) is None else Path(ROUTERS_FOLDER),
        task_file="" if known else "YOUR_TASK_FILE",
        router=routers[0] if routers else "",
        has_report=report is not None,
    )
    summary = summarise(corpus.records, corpus.manifest.provenance.costs)
    sessions, problems = read_sessions(run)
    if not with_notes:
        _warn_of(problems)
    total = total_of(priced(sessions.values(), price))
    print_summary(
        Console(),
        total,
        summary,
        read_evaluations(run),
        commands,
        (*search_notes(summary, corpus.manifest.provenance), *cut_notes(total))
        if with_notes
        else (),
    )
    _print_report(report)


def _print_report(report: Path | None) -> None:
    if report is not None:
        print(f"report: {report}")


def _warn_of(problems: Iterable[str]) -> None:
    for problem in problems:
        logger.warning("%s", problem)


def read_evaluations(run: Path) -> list[dict[str, Any]]:
    """The router evaluations that lie in a run folder, in the order of their file names.

    Raises:
        CorpusError: a file is not an evaluation.
    """
    return _read_objects(
        run / EVALUATIONS_FOLDER,
        lambda value: parse_evaluations([value]),
        "evaluate the router again",
    )


def _read_objects(
    folder: Path, check: Callable[[dict[str, Any]], Any], remedy: str
) -> list[dict[str, Any]]:
    """The JSON objects of a folder's files, in the order of their names, that ``check`` passes."""
    objects = []
    for path in sorted(folder.glob("*.json")):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CorpusError(f"{path} is not JSON ({error}); delete it and {remedy}") from error
        if not isinstance(value, dict):
            raise CorpusError(f"{path} holds no JSON object; delete it and {remedy}")
        try:
            check(value)
        except InvalidValueError as error:
            raise CorpusError(f"{path}: {error}; or delete it and {remedy}") from error
        objects.append({"name": path.stem, **value})
    return objects


def _summarise_shards(run: Path, *, started: bool) -> CorpusSummary:
    records = read_shards(run)
    if not records and not started:
        raise CorpusError(
            f"{run} is not a run folder: it has no shard and no session; name what --run named"
        )
    begun = provenance_so_far(run)
    return summarise(records, BARE if begun is None else begun.costs)
