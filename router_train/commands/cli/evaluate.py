"""``router-train evaluate``."""

from typing import Annotated

import typer

from router_train.commands.cli.router import OutOption, RouterFolder, ThresholdOption
from router_train.data.question_choice import QuestionChoice
from router_train.inference.model_choice import ModelChoice
from search_cluster.console import TRAINING_RESUMES
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption


@command(
    epilog="Example: router-train evaluate --router runs/mine/routers/drllm --task elements "
    "--limit 200 --out runs/mine/evaluations/drllm.json --json",
    interrupted=TRAINING_RESUMES,
)
def evaluate(
    *,
    router: RouterFolder,
    questions: QuestionChoice,
    threshold: ThresholdOption = 0.0,
    oracle: Annotated[
        bool,
        typer.Option(
            "--oracle", help="Run all paths of the menu, for the bound of who knows the answers."
        ),
    ] = False,
    out: OutOption = None,
    model: ModelChoice,
    json_output: JsonOption = False,
) -> None:
    """Compare the routed model with the plain one on held-out questions; a second run continues."""
    from router_train.commands.evaluate import run_evaluate  # torch and transformers: seconds

    run_evaluate(
        router,
        questions,
        model,
        threshold=threshold,
        oracle=oracle,
        out=out,
        json_output=json_output,
    )
