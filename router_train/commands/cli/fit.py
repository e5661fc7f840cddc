"""``router-train fit``: its options are the settings of a training."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from router_train.config import FEATURE_CACHE_GB, FitConfig
from router_train.inference.model_choice import ModelChoice
from search_cluster.cluster.environment import prepare_ray_environment
from search_cluster.config import RAY_NONE
from search_cluster.console import TRAINING_RESUMES
from search_cluster.errors import ConfigError
from search_cluster.hub.choice import PushChoice
from search_cluster.hub_spec import FolderKind
from search_cluster.options.commands import command
from search_cluster.options.groups import JsonOption
from search_cluster.options.hub_folder import FromHub


@command(
    epilog="Example: router-train fit --corpus runs/mine --router drllm "
    "--out runs/mine/routers/drllm --epochs 25",
    interrupted=TRAINING_RESUMES,
)
def fit(
    *,
    corpus: Annotated[
        Path,
        typer.Option(help="Folder of a finished corpus, or hub:NAME."),
        FromHub((FolderKind.CORPUS,)),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for the checkpoint; a finished one of the same inputs is kept."),
    ],
    config: FitConfig,
    task: Annotated[
        str | None, typer.Option(help="The corpus's task, if its name alone does not find it.")
    ] = None,
    model: ModelChoice,
    force: Annotated[
        bool, typer.Option("--force", help="Train again over what --out holds.")
    ] = False,
    ray: Annotated[
        str,
        typer.Option(
            help="none (this process), local (a private Ray), auto (a running one) or an address."
        ),
    ] = RAY_NONE,
    num_workers: Annotated[
        int, typer.Option(min=1, help="Processes that train together on Ray.")
    ] = 1,
    report_to: Annotated[
        str,
        typer.Option(
            help="Trackers that are told the training curve and its figures, with commas between: "
            "tensorboard, wandb, mlflow, trackio."
        ),
    ] = "",
    feature_cache_gb: Annotated[
        float,
        typer.Option(
            min=0.0,
            envvar="LPS_FEATURE_CACHE_GB",
            help="Features of questions that stay in the folder 'features' beside --out for the "
            "next training, at most, in gigabytes; the least recently used go first.",
        ),
    ] = FEATURE_CACHE_GB,
    choice: PushChoice,
    json_output: JsonOption = False,
) -> None:
    """Train a router on the best paths of a corpus."""
    from router_train.commands.fit import run_fit  # torch and transformers: seconds

    train = None
    if ray == RAY_NONE and num_workers > 1:
        raise ConfigError(
            f"--num-workers is {num_workers}, and without Ray this process trains alone; add --ray "
            "local or --ray auto, or leave --num-workers out"
        )
    if ray != RAY_NONE:
        prepare_ray_environment(ray)
        from router_train.training.ray_fit import fit_on_ray

        train = partial(fit_on_ray, mode=ray, num_workers=num_workers)
    run_fit(
        corpus,
        out,
        config,
        model,
        task_spec=task,
        force=force,
        json_output=json_output,
        train=train,
        report_to=report_to,
        feature_cache_gb=feature_cache_gb,
        choice=choice,
    )
