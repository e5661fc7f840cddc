"""``search-cluster verify``: the verdicts of a search or a scan computed again."""

from enum import StrEnum
from typing import Annotated

import typer

from search_cluster.commands.cli.again import ModelOption, TaskOption
from search_cluster.config import SearchConfig
from search_cluster.console import EXIT_DIFFERENCE, print_values
from search_cluster.options.commands import command
from search_cluster.options.groups import Flags, JsonOption, Overrides, VerdictsArgument


class Reference(StrEnum):
    """What computes verdicts again."""

    MATERIALISED = "materialised"
    ENGINE = "engine"


@command(epilog="Example: search-cluster verify runs/demo --sample 200 --json")
def verify(
    *,
    run: VerdictsArgument,
    sample: Annotated[int, typer.Option(min=1, help="Verdicts to run again, one at a time.")] = 100,
    seed: Annotated[int, typer.Option(help="The seed of the sample.")] = 0,
    reference: Annotated[
        Reference, typer.Option(help="What runs them: the plain transformers model, or the engine.")
    ] = Reference.MATERIALISED,
    model: ModelOption = None,
    task: TaskOption = None,
    flags: Annotated[
        Flags,
        Overrides(
            of=SearchConfig,
            only=(
                "data_dir",
                "device",
                "devices_per_worker",
                "revision",
                "bridges",
                "trust_remote_code",
            ),
        ),
    ],
    json_output: JsonOption = False,
) -> None:
    """Run verdicts of a search or a scan again, one at a time, and count those that differ.

    materialised: the model in plain transformers; exit code 1 if a float32 verdict differs. In 16
    bits both round differently, and the agreement is only measured. engine: exit code 1 if a
    verdict differs, or a bit of its margin where the search needed no rechecks.
    """
    from search_cluster.commands.verify import verify_run

    settings = SearchConfig().overridden(flags)
    result = verify_run(
        run,
        sample=sample,
        seed=seed,
        model=model,
        task=task,
        device=settings.device,
        devices_per_worker=settings.devices_per_worker,
        data_dir=settings.data_dir,
        revision=settings.revision,
        bridges=settings.bridges,
        trust_remote_code=settings.trust_remote_code,
        reference=reference.value,
    )
    print_values(result, json_output=json_output)
    if not result["ok"]:
        raise typer.Exit(EXIT_DIFFERENCE)
