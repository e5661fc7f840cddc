"""``search-cluster crossexec``: a menu of globally useful paths, run on every example."""

from typing import Annotated

import typer

from search_cluster.commands.cli.again import ModelOption, TaskOption
from search_cluster.config import SearchConfig, read_settings
from search_cluster.console import print_json
from search_cluster.options.commands import command
from search_cluster.options.groups import ConfigOption, Flags, JsonOption, Overrides, RunArgument

OPTIONS = Overrides(
    of=SearchConfig,
    only=(
        "limit", "ray", "redis_url", "workers", "threads_per_worker", "device", "revision",
        "bridges", "trust_remote_code",
    ),
)  # fmt: skip


@command(epilog="Example: search-cluster crossexec runs/mine --menu 16 --json")
def crossexec(
    *,
    run: RunArgument,
    menu: Annotated[
        int, typer.Option(min=1, help="Largest number of paths on the menu, identity included.")
    ],
    path: Annotated[
        list[str] | None,
        typer.Option(help="A path to run besides, such as 0-15,17-29; may be given again."),
    ] = None,
    config: ConfigOption = None,
    model: ModelOption = None,
    task: TaskOption = None,
    flags: Annotated[Flags, OPTIONS],
    json_output: JsonOption = False,
) -> None:
    """Pick useful paths of a finished corpus, run all on every question, write DIR/menu.parquet."""
    from rich.console import Console

    from search_cluster.commands.crossexec import cross_execute
    from search_cluster.report.path_table import print_path_table

    file = {} if config is None else read_settings(config)
    result = cross_execute(
        SearchConfig(**file).overridden({**flags, "run": run}),
        menu_size=menu,
        extra_paths=path or (),
        model=model or file.get("model"),
        task=task or file.get("task"),
    )
    if json_output:
        print_json(result)
    else:
        print_path_table(Console(), result)
