"""``search-cluster verify``: a corpus' verdicts against the materialised model."""

from typing import Annotated

import typer

from search_cluster.commands.cli.again import ModelOption, TaskOption
from search_cluster.config import SearchConfig
from search_cluster.console import EXIT_DIFFERENCE, print_values
from search_cluster.options.commands import command
from search_cluster.options.groups import Flags, JsonOption, Overrides, RunArgument


@command(epilog="Example: search-cluster verify runs/demo --sample 200 --json")
def verify(
    *,
    run: RunArgument,
    sample: Annotated[int, typer.Option(min=1, help="Verdicts to run again, one at a time.")] = 100,
    seed: Annotated[int, typer.Option(help="The seed of the sample.")] = 0,
    model: ModelOption = None,
    task: TaskOption = None,
    flags: Annotated[
        Flags, Overrides(of=SearchConfig, only=("device", "revision", "trust_remote_code"))
    ],
    json_output: JsonOption = False,
) -> None:
    """Check a corpus' verdicts against the materialised model; exit code 1 if one differs."""
    from search_cluster.commands.verify import verify_corpus

    settings = SearchConfig().overridden(flags)
    result = verify_corpus(
        run,
        sample=sample,
        seed=seed,
        model=model,
        task=task,
        device=settings.device,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
    )
    print_values(result, json_output=json_output)
    if result["verdict_flips"]:
        raise typer.Exit(EXIT_DIFFERENCE)
