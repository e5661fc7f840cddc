"""``search-cluster scan``: its options are settings of a search, and those of a scan alone."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.commands.push.at_end import push_at_end, require_pushable
from search_cluster.config import SearchConfig, read_settings, setting_types
from search_cluster.console import print_json
from search_cluster.errors import ConfigError
from search_cluster.hub.choice import PushChoice
from search_cluster.options.commands import command
from search_cluster.options.groups import ConfigOption, Flags, JsonOption, Overrides
from search_cluster.scan.settings import ScanSettings

DEFAULT_RUN = Path("runs/scan")
OPTIONS = Overrides(
    of=SearchConfig,
    only=(
        "model", "revision", "bridges", "dtype", "device", "trust_remote_code", "chat", "data_dir",
        "seed", "depth_prior", "report_to", "ray", "redis_url", "workers", "workers_per_gpu",
        "devices_per_worker", "threads_per_worker", "price_per_gpu_hour", "currency",
    ),
)  # fmt: skip

OF_A_SEARCH = (
    "split", "preset", "budget", "leaves_per_round", "visit_total", "exploration", "study",
    "coordinators", "coordinator_timeout_s", "examples_per_shard",
)  # fmt: skip
"""Settings of a search that a scan has no use for, or has one of its own for."""


@command(
    epilog="\b\n"
    "Examples:\n"
    "  search-cluster scan --model demo --task elements --run runs/elements\n"
    "  search-cluster scan --model org/name --task arc_easy --aim layers --guard mmlu "
    "--run runs/arc --json"
)
def scan(
    *,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="A task to be better at, by name or file; may be given again: then a path must "
            "not lose on any of them."
        ),
    ] = None,
    guard: Annotated[
        list[str] | None,
        typer.Option(help="A task on which losses are reported; may be given again."),
    ] = None,
    settings: Annotated[Flags, Overrides(of=ScanSettings)],
    paths: Annotated[
        Path | None,
        typer.Option(
            help="A file with paths to try, too, in our notation or another tool's, one a line."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="The largest number of questions per task that the race, a step of growth, "
            "validation, test or a guard asks.",
            show_default="524 in the race, 224 in a step of growth, 1000 for validation, 2000 else",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run folder: the result, all verdicts, the embedded cache. The same command on "
            "the same folder resumes.",
            show_default=str(DEFAULT_RUN),
        ),
    ] = None,
    config: ConfigOption = None,
    flags: Annotated[Flags, OPTIONS],
    choice: PushChoice,
    json_output: JsonOption = False,
) -> None:
    """Find the best one layer path for a task, and say what is sure of it.

    All skips and repeats of one block race on questions of train, survivors are combined,
    validation confirms the best, test reports them once. Running it again resumes.
    """
    from search_cluster.commands.scan.report import print_scan_run
    from search_cluster.commands.scan.run import run_scan  # the rooms: a second

    require_pushable(choice)
    own = setting_types(ScanSettings)
    keys = setting_types(SearchConfig, without=OF_A_SEARCH) | own
    file = {} if config is None else read_settings(config, keys)
    of_scan = {name: file.pop(name) for name in own if name in file} | settings
    asked = SearchConfig(**{"run": DEFAULT_RUN} | file).overridden(
        {**flags, "limit": limit, "run": run}
    )
    tasks = task or ([file["task"]] if "task" in file else [])
    if not tasks:
        raise ConfigError(
            "no task is named; name one with --task, `search-cluster tasks` lists them"
        )
    result = run_scan(asked, ScanSettings(**of_scan), tasks=tasks, guards=guard or (), paths=paths)
    result |= push_at_end(asked.run, choice, json_output=json_output)
    if json_output:
        print_json(result)
    else:
        print_scan_run(asked.run)
