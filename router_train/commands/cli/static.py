"""``router-train static``."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.console import TRAINING_RESUMES
from search_cluster.hub.choice import PushChoice
from search_cluster.options.commands import command
from search_cluster.options.groups import (
    BestOption,
    JsonOption,
    PathOption,
    ScanArgument,
)


@command(
    epilog="Example: router-train static runs/scan --out runs/scan/routers/static",
    interrupted=TRAINING_RESUMES,
)
def static(
    *,
    scan: ScanArgument,
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; the same one is kept.")],
    path: PathOption = None,
    best: BestOption = False,
    force: Annotated[bool, typer.Option("--force", help="Write over what --out holds.")] = False,
    choice: PushChoice,
    json_output: JsonOption = False,
) -> None:
    """Make a static router of the path that 'search-cluster scan' found; trains nothing."""
    from router_train.commands.static import run_static  # torch: seconds

    run_static(
        scan, out, named=path, best=best, force=force, json_output=json_output, choice=choice
    )
