"""``search-cluster submit``: the flags of a search, passed on to a job of a cluster."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from search_cluster.commands.cli.search import search
from search_cluster.config import SearchConfig
from search_cluster.console import print_json
from search_cluster.options.commands import command
from search_cluster.options.groups import ConfigOption, JsonOption


@command(
    epilog="\b\n"
    "Example:\n"
    "  search-cluster submit --address http://head:8265 --config deploy/runs/capitals.toml "
    "--run /mnt/shared/runs/capitals",
    passes_on=True,
)
def submit(
    context: typer.Context,
    address: Annotated[
        str,
        typer.Option(
            help="The cluster's job server: its dashboard.", envvar="RAY_API_SERVER_ADDRESS"
        ),
    ],
    config: ConfigOption = None,
    working_dir: Annotated[
        Path, typer.Option(help="Copied to the cluster; the search starts in it.")
    ] = Path(),
    wait: Annotated[bool, typer.Option(help="Show the job's log and wait for its end.")] = True,
    json_output: JsonOption = False,
) -> None:
    """Run a search as a job of a running Ray cluster; all flags of 'search' may follow.

    --run is absolute. Ctrl-C leaves the job running and says how to follow or stop it. The exit
    code is the search's.
    """
    from search_cluster.commands.submit import plan_search, submit_search

    known = {item.name for item in fields(SearchConfig)}
    written = search.written(context.args).items()
    flags = {name: value for name, value in written if name in known}
    planned = plan_search(config, context.args, flags, working_dir=working_dir)
    result = submit_search(planned, address=address, wait=wait)
    if json_output:
        print_json(result)
    raise typer.Exit(result["exit_code"])
