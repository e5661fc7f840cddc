"""``search-cluster scan export``: a found path for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from search_cluster.config import SearchConfig
from search_cluster.options.commands import command
from search_cluster.options.groups import (
    BestOption,
    Flags,
    JsonOption,
    Overrides,
    PathOption,
    ScanArgument,
)
from search_cluster.scan.specs.traps import SpecFormat


@command(
    "export",
    epilog="Example: search-cluster scan export runs/scan --format mergekit --out path.yml",
)
def scan_export(
    *,
    run: ScanArgument,
    format_: Annotated[SpecFormat, typer.Option("--format", help="What to write.")],
    path: PathOption = None,
    best: BestOption = False,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, for hf a new folder.", show_default="the terminal"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Where the model is now.", show_default="the scan's")
    ] = None,
    flags: Annotated[Flags, Overrides(of=SearchConfig, only=("revision", "trust_remote_code"))],
    json_output: JsonOption = False,
) -> None:
    """Write the path of a finished scan for other tools, with the command to run and what to mind.

    hf: an ordinary checkpoint with a model card. mergekit: a passthrough YAML. gguf-path: for
    layer_path.py. prune-layers: for llama-quantize. rys: blocks or a list; to a .json file, a
    queue. layers: a plain list.
    """
    from search_cluster.commands.scan.export import ExportedModel, export_path, show_export

    settings = SearchConfig().overridden(flags)
    done = export_path(
        run,
        format_,
        named=path,
        best=best,
        out=out,
        model=ExportedModel(
            spec=model,
            revision=settings.revision,
            trust_remote_code=settings.trust_remote_code,
        ),
    )
    show_export(done, json_output=json_output)
