"""``router-train bench``."""

from pathlib import Path
from typing import Annotated

import typer

from router_train.commands.cli.router import ThresholdOption
from router_train.data.question_choice import QuestionChoice
from router_train.inference.model_choice import ModelChoice
from search_cluster.console import TRAINING_RESUMES
from search_cluster.hub_spec import FolderKind
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption, Options, positive_numbers
from search_cluster.options.hub_folder import FromHub

PROMPTS = Options(
    without=("limit",),
    helps={
        "task_spec": "The task whose prompts are read; ``None``: the router's own.",
        "seed": "The seed that draws the prompts.",
    },
)


@command(
    epilog="Example: router-train bench runs/mine --batch-sizes 1,8,32 --json",
    interrupted=TRAINING_RESUMES,
)
def bench(
    *,
    place: Annotated[
        list[Path],
        typer.Argument(metavar="RUN_OR_ROUTER...", help="Router folders, or runs with some."),
        FromHub((FolderKind.ROUTER,)),
    ],
    batch_sizes: Annotated[
        str, typer.Option(help="Rows answered together, separated by commas.")
    ] = "1,8,32",
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate per row.")] = 32,
    rounds: Annotated[
        int, typer.Option(min=1, help="Rounds per batch size; medians are reported.")
    ] = 5,
    questions: Annotated[QuestionChoice, PROMPTS],
    threshold: ThresholdOption = 0.0,
    model: ModelChoice,
    json_output: JsonOption = False,
) -> None:
    """Measure routed generation against plain generation, beside what the saved layers allow."""
    from router_train.commands.bench import run_bench  # torch and transformers: seconds

    run_bench(
        place,
        questions,
        model,
        batch_sizes=positive_numbers(batch_sizes, "--batch-sizes"),
        new_tokens=new_tokens,
        num_rounds=rounds,
        threshold=threshold,
        json_output=json_output,
    )
