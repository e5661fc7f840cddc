"""The summary that ends a run on a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from search_cluster.corpus.summary import CorpusSummary, num_searched
from search_cluster.report.costs import cost_rows
from search_cluster.report.router_evaluations import (
    parse_evaluations,
    router_effect,
    router_sentence,
)


def summary_table(
    run: Mapping[str, Any], summary: CorpusSummary, evaluations: Sequence[Mapping[str, Any]] = ()
) -> Table:
    """A table of what was searched and found, and of how the routers fare.

    Args:
        run: what ``search --json`` says; missing keys are left out.
        summary: the summary of the corpus.
        evaluations: what ``router-train evaluate --json`` says, one per router.

    Raises:
        InvalidValueError: an evaluation lacks a key.
    """
    table = Table(title="What was searched and found", show_header=False, title_justify="left")
    table.add_column("what")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for what, value, interval in _search_rows(run, summary):
        table.add_row(what, value, interval)
    for item in parse_evaluations(evaluations):
        table.add_section()
        where = escape(f"{item.n} {item.split} questions")
        plain = _interval(item.accuracy_plain_low, item.accuracy_plain_high)
        routed = _interval(item.accuracy_routed_low, item.accuracy_routed_high)
        table.add_row(f"plain model, {where}", f"{item.accuracy_plain:.1%}", plain)
        table.add_row(
            f"router {escape(item.label)}, {where}", f"{item.accuracy_routed:.1%}", routed
        )
        low, high = item.diff_low, item.diff_high
        interval = ""
        if low is not None and high is not None and low < high:  # no width: too few questions
            interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
        table.add_row(
            f"difference in points: {router_effect(item)}",
            f"{100 * (item.accuracy_routed - item.accuracy_plain):+.1f}",
            interval,
        )
        if item.chance is not None:
            table.add_row("uniform guesses (chance)", f"{item.chance:.1%}", "")
        table.add_row(
            "layers a question, plain -> routed",
            f"{item.layers_plain:.1f} -> {item.layers_routed:.1f}",
            "",
        )
    return table


def print_summary(
    console: Console,
    run: Mapping[str, Any],
    summary: CorpusSummary,
    evaluations: Sequence[Mapping[str, Any]] = (),
    commands: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Print the table, notes, what each router's numbers mean, and commands to try next."""
    console.print(summary_table(run, summary, evaluations))
    for note in notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    for item in parse_evaluations(evaluations):
        console.print(router_sentence(item), markup=False, highlight=False)
    if commands:
        console.print("\nTry next:", highlight=False)
        for command in commands:
            console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


def next_commands(
    run_folder: Path,
    routers_folder: Path,
    *,
    task_file: str = "",
    router: str = "",
    has_report: bool = False,
) -> tuple[str, ...]:
    """Commands that go on from a finished run.

    Args:
        run_folder: what ``--run`` named; its shards are the corpus.
        routers_folder: the folder in which each router has a folder of its own.
        task_file: how to name a task that is not known by its name; empty for one that is.
        router: the name of a router that is trained already; empty if there is none.
        has_report: whether its report was just written.
    """
    run, folder = quote(str(run_folder)), quote(str(routers_folder / (router or "drllm")))
    commands = [
        f"search-cluster dashboard {run}" if has_report else f"search-cluster report {run}",
        f"search-cluster export {run} --format polar --out merged_mcts_samples.json",
    ]
    if not router:
        task = f" --task {task_file}" if task_file else ""
        return (*commands, f"router-train fit --corpus {run} --router drllm --out {folder}{task}")
    return (
        *commands,
        f'router-train generate --router {folder} --prompt "What is the capital of France?"',
    )


def _search_rows(run: Mapping[str, Any], summary: CorpusSummary) -> list[tuple[str, str, str]]:
    rows = [
        ("questions searched", f"{summary.examples:,}", ""),
        (
            "plain model is right on",
            f"{summary.identity_accuracy:.1%}" if summary.examples else "none asked",
            _interval(summary.identity_low, summary.identity_high),
        ),
        *(
            []
            if summary.chance is None
            else [("uniform guesses (chance)", f"{summary.chance:.1%}", "")]
        ),
        (
            "some path found is right on (gold answer known)",
            f"{summary.found_accuracy:.1%}" if summary.examples else "none asked",
            _interval(summary.found_low, summary.found_high),
        ),
        (
            f"layers of the best path, mean of {summary.num_best_right:,} right",
            f"{summary.mean_best_length:.1f} of {summary.num_layers}"
            if summary.best_lengths
            else "none is right",
            "",
        ),
        ("paths searched", f"{num_searched(run, summary):,}", ""),
    ]
    for key, what in (
        ("paths_evaluated", "paths evaluated on a device"),
        ("cache_hits", "answered by the cache"),
        ("cut_answers", "answers cut by max_new_tokens"),
        ("paths_per_device_hour", "paths per device-hour"),
    ):
        if isinstance(run.get(key), int | float):
            rows.append((what, f"{run[key]:,.0f}", ""))
    rows += [(what, text, "") for what, text in cost_rows(run)]
    return [*rows, ("paths without a verdict", f"{summary.failures:,}", "")]


def _interval(low: float, high: float) -> str:
    return f"{low:.1%} to {high:.1%}"
