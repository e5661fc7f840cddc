"""``router-train exits``."""

from typing import Annotated

import typer

from router_train.commands.cli.router import OutOption, RouterFolder, ThresholdOption
from router_train.data.question_choice import QuestionChoice
from router_train.inference.model_choice import ModelChoice
from search_cluster.console import TRAINING_RESUMES
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption, Options

PROMPTS = Options(
    helps={
        "task_spec": "The task after whose prompts text is generated; ``None``: the router's own.",
        "limit": "The largest number of prompts; ``None``: all of the split.",
        "seed": "The seed that draws the prompts.",
    },
)


@command(
    epilog="Example: router-train exits --router runs/mine/routers/tokens --limit 50 --json",
    interrupted=TRAINING_RESUMES,
)
def exits(
    *,
    router: RouterFolder,
    questions: Annotated[QuestionChoice, PROMPTS],
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate, at most.")] = 32,
    threshold: ThresholdOption = 0.0,
    out: OutOption = None,
    model: ModelChoice,
    json_output: JsonOption = False,
) -> None:
    """Count where the tokens of generated text stop, what that saves, and whether the text changes.

    For routers of fit --router lens-exit --exit token. Every prompt is answered by the plain model,
    read again with exits on that text, and answered with exits.
    """
    from router_train.commands.exits import run_exits  # torch and transformers: seconds

    run_exits(
        router,
        questions,
        model,
        new_tokens=new_tokens,
        threshold=threshold,
        out=out,
        json_output=json_output,
    )
