"""Options of commands that run a trained router."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.hub_spec import FolderKind
from search_cluster.options.hub_folder import FromHub

RouterFolder = Annotated[
    Path,
    typer.Option("--router", help="Folder that 'fit' wrote, or hub:NAME."),
    FromHub((FolderKind.ROUTER,)),
]
ThresholdOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Decisions less sure than this fall back to identity; 0: only the router's own "
        "threshold holds.",
    ),
]
OutOption = Annotated[Path | None, typer.Option(help="Also write the JSON object to this file.")]
