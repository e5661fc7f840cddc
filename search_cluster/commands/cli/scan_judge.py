"""``search-cluster scan judge``: a found path on questions that its scan never asked."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.config import SearchConfig
from search_cluster.console import print_json
from search_cluster.options.commands import command
from search_cluster.options.groups import BestOption, Flags, JsonOption, Overrides, PathOption

OPTIONS = Overrides(
    of=SearchConfig,
    only=(
        "split", "limit", "seed", "data_dir", "revision", "bridges", "trust_remote_code", "device",
        "ray", "redis_url", "workers", "workers_per_gpu", "devices_per_worker",
        "threads_per_worker",
    ),
)  # fmt: skip


@command(
    "judge",
    epilog="Example: search-cluster scan judge runs/scan --best --split train --limit 1000",
)
def scan_judge(
    *,
    run: Annotated[Path, typer.Argument(metavar="DIR", help="Run folder of a finished scan.")],
    task: Annotated[
        str | None,
        typer.Option(help="The task to ask, by name or file.", show_default="the scan's"),
    ] = None,
    path: PathOption = None,
    best: BestOption = False,
    model: Annotated[
        str | None, typer.Option(help="Where the model is now.", show_default="the scan's")
    ] = None,
    flags: Annotated[Flags, OPTIONS],
    json_output: JsonOption = False,
) -> None:
    """Judge the path of a finished scan by questions that no part of the scan asked.

    The plain model and the path are asked the same questions; what is said is the difference, with
    its 95 % interval. What the scan asked is left aside, however it is typed. DIR/judged.json keeps
    and counts all judgements. Running it again resumes.
    """
    from search_cluster.commands.scan.judge import judge_path, show_judgement

    judgement, figures = judge_path(
        SearchConfig().overridden({**flags, "run": run}),
        task=task,
        named=path,
        best=best,
        model=model,
    )
    if json_output:
        print_json(figures)
    else:
        show_judgement(judgement, figures)
