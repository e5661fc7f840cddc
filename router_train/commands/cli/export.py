"""``router-train export``."""

from pathlib import Path
from typing import Annotated

import typer

from router_train.commands.cli.router import ThresholdOption
from router_train.inference.model_choice import ModelChoice
from search_cluster.console import TRAINING_RESUMES
from search_cluster.hub.choice import PushChoice
from search_cluster.hub_spec import FolderKind
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption, Options
from search_cluster.options.hub_folder import FromHub


@command(
    epilog="Example: router-train export runs/mine/routers/drllm --out exports/mine",
    interrupted=TRAINING_RESUMES,
)
def export(
    *,
    router: Annotated[
        Path,
        typer.Argument(metavar="ROUTER", help="Folder that 'fit' wrote, or hub:NAME."),
        FromHub((FolderKind.ROUTER,)),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="A static path as an ordinary checkpoint that needs nothing of ours."
        ),
    ] = False,
    with_base: Annotated[
        bool, typer.Option("--with-base", help="Copy the base model into the folder.")
    ] = False,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="JSON of 'evaluate --out' for the card.", show_default="the run's"),
    ] = None,
    choice: Annotated[PushChoice, Options(without=("include_rows", "licence"))],
    threshold: ThresholdOption = 0.0,
    model: Annotated[ModelChoice, Options(defaults={"device": "cpu"})],
    json_output: JsonOption = False,
) -> None:
    """Write a folder that AutoModelForCausalLM loads, with a model card."""
    from router_train.commands.export import run_export
    from router_train.export.export import ExportOptions  # torch and transformers: seconds

    run_export(
        router,
        out,
        model,
        ExportOptions(
            threshold=threshold, with_base=with_base, plain=plain, revision=model.revision
        ),
        evaluations=evaluation or (),
        choice=choice,
        json_output=json_output,
    )
