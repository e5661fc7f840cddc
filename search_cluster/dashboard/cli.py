"""``search-cluster dashboard``, ``top`` and ``tree``: watching a search."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import print_json
from search_cluster.hub_spec import FOUND
from search_cluster.options.commands import command
from search_cluster.options.groups import CorpusArgument, JsonOption, RunArgument
from search_cluster.options.hub_folder import FromHub
from search_cluster.telemetry.price import PriceOptions


@command(epilog="Example: search-cluster dashboard runs/demo")
def dashboard(
    *,
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Folder of a search, a scan or a depth study."),
        FromHub(FOUND),
    ] = None,
    redis_url: Annotated[
        str | None,
        typer.Option(
            help="A shared cache server, too, read only; a password is safer in the variable.",
            envvar="LPS_REDIS_URL",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Whoever reaches it can read all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8797,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further name by which browsers reach it, as of a proxy; may be given again.",
        ),
    ] = None,
    price: PriceOptions,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = False,
) -> None:
    """Serve a live page about a search: speed, progress, costs, paths, and each search tree.

    Of a scan, or of a depth study, also in the folder depth of a run: what was found.
    """
    from search_cluster.dashboard.serve import serve_dashboard

    shown = [str(run)] if run is not None else []
    shown += ["the cache server"] if redis_url is not None else []
    announced = f"dashboard of {' and '.join(shown)}"
    serve_dashboard(
        run,
        redis_url,
        host=host,
        port=port,
        allow_host=allow_host or (),
        open_browser=open_,
        price=price.named,
        announce=lambda url: print(f"{announced}: {url} (Ctrl-C ends it)", flush=True),
    )


@command(epilog="Example: search-cluster top runs/demo")
def top(
    *,
    run: RunArgument,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    price: PriceOptions,
    json_output: JsonOption = False,
) -> None:
    """Show a running search in the terminal: progress, rates, cache hits, failures, time left."""
    from rich.console import Console

    from search_cluster.dashboard.overview import describe_run
    from search_cluster.dashboard.run_folder import RunFolder
    from search_cluster.dashboard.terminal import render_run, watch_run

    folder = RunFolder(run, price=price.named)
    if json_output:
        print_json({key: item for key, item in describe_run(folder).items() if key != "history"})
    elif once:
        Console().print(render_run(describe_run(folder)))
    else:
        watch_run(folder, Console(), interval_s=interval)


@command(epilog="Example: search-cluster tree runs/demo/search --example 3")
def tree(
    run: CorpusArgument,
    example: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The question's number in the order in which they were searched, from 0.",
            show_default="the first that a path fixed, else shortened",
        ),
    ] = None,
    max_nodes: Annotated[
        int, typer.Option(min=1, help="Paths that are shown, the most visited first.")
    ] = 24,
    json_output: JsonOption = False,
) -> None:
    """Show one question's search tree: which paths were tried from which, and their answers."""
    from rich.console import Console

    from search_cluster.dashboard.example_detail import describe_example
    from search_cluster.dashboard.replay import rebuild_graph
    from search_cluster.dashboard.run_folder import RunFolder
    from search_cluster.dashboard.terminal_tree import one_example, print_tree

    record, provenance = one_example(RunFolder(run), example)
    if json_output:
        print_json(describe_example(record, provenance))
    else:
        print_tree(Console(), record, rebuild_graph(record, provenance), max_nodes=max_nodes)
