"""``router-train generate``."""

from typing import Annotated

import typer

from router_train.commands.cli.router import RouterFolder, ThresholdOption
from router_train.inference.model_choice import ModelChoice
from search_cluster.console import TRAINING_RESUMES
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption


@command(
    epilog="Example: router-train generate --router runs/mine/routers/drllm "
    '--prompt "What is the capital of Peru?"',
    interrupted=TRAINING_RESUMES,
)
def generate(
    *,
    router: RouterFolder,
    prompt: Annotated[
        str, typer.Option(help="What to ask; a chat model gets it as the user's message.")
    ],
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Largest number of tokens to generate.")
    ] = 64,
    threshold: ThresholdOption = 0.0,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also answer with the plain model, side by side.")
    ] = False,
    model: ModelChoice,
    json_output: JsonOption = False,
) -> None:
    """Answer one prompt with the routed model."""
    from router_train.commands.generate import run_generate  # torch and transformers: seconds

    run_generate(
        router,
        prompt,
        model,
        max_new_tokens=max_new_tokens,
        threshold=threshold,
        compare=compare,
        json_output=json_output,
    )
