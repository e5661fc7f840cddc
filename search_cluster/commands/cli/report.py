"""``search-cluster status`` and ``search-cluster report``: looking at a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import print_json
from search_cluster.options.commands import command
from search_cluster.options.groups import FoundArgument, JsonOption, VerdictsArgument
from search_cluster.telemetry.price import PriceOptions


@command(epilog="Example: search-cluster status runs/demo --json")
def status(*, run: VerdictsArgument, price: PriceOptions, json_output: JsonOption = False) -> None:
    """Say how far a search is and what it found; works while it runs, too."""
    from search_cluster.commands.progress_words import status_lines
    from search_cluster.commands.report import describe_status

    values = describe_status(run, price.named)
    if json_output:
        print_json(values)
    else:
        print(*status_lines(values), sep="\n")


@command(epilog="Example: search-cluster report runs/demo --out report.html")
def report(
    *,
    run: FoundArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="HTML file.", show_default="DIR/report.html, of hub:org/NAME: NAME.html"),
    ] = None,
    price: PriceOptions,
    json_output: JsonOption = False,
) -> None:
    """Write the HTML report of a finished search and of its routers, and print the summary table.

    Of a scan: the heat map of all blocks, the finalists and what they cost. Of a depth study: its
    findings and curves.

    The routers are those that were evaluated on the run. What 'bench search --json' printed is
    drawn, too, if it lies in DIR/benches/*.json.
    """
    from search_cluster.commands.report import print_run, write_run_report

    target = write_run_report(run, out, price.named)
    if json_output:
        print_json({"report": str(target)})
    else:
        print_run(run, with_notes=True, report=target, price=price.named)
