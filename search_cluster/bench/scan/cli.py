"""The command group ``search-cluster bench scan``."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.bench.scan.config import ScanReplayConfig, ScanTableConfig
from search_cluster.console import NOTHING_KEPT, print_values, say
from search_cluster.options.commands import command, new_app
from search_cluster.options.groups import JsonOption

TableArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder that `bench scan table` wrote.")
]


@command(
    epilog="Example: search-cluster bench scan table --task arc_easy --num-questions 1524 "
    "--out tables/arc_easy"
)
def table(config: ScanTableConfig, json_output: JsonOption = False) -> None:
    """Ask many questions of all single edits, and keep the scores of all choices."""
    from search_cluster.bench.scan.fill import fill_table

    print_values(fill_table(config, say), json_output=json_output)


@command(
    epilog="Example: search-cluster bench scan replay tables/arc_easy --json",
    interrupted=NOTHING_KEPT,
)
def replay(
    folder: TableArgument, config: ScanReplayConfig, json_output: JsonOption = False
) -> None:
    """Replay races, their statistics and published protocols over a table, without a model."""
    from search_cluster.bench.scan.replay import replay_table

    print_values(replay_table(folder, config, say), json_output=json_output)


scan = new_app(
    "Prove a scan's race and statistics by replay over a table of all paths.", table, replay
)
