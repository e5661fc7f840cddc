"""The command line ``router-train``: options and their help. The work, and everything heavy, is in `commands`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from router_train.config import KEEP_ALL, KEEP_CHANGED, KEEP_RIGHT, FitConfig
from search_cluster.errors import SearchClusterError

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
_DEFAULTS = FitConfig()

app = typer.Typer(
    help="Train routers on a corpus of layer paths, and run and judge the routed model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RouterFolder = Annotated[Path, typer.Option("--router", help="Folder that 'fit' wrote.")]
ModelOption = Annotated[
    str | None, typer.Option(help="demo, a hub id or a folder; default: the model the corpus was searched with.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
DtypeOption = Annotated[str | None, typer.Option(help="Default: the dtype of the search. Part of the fingerprint.")]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
TrustOption = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]
ThresholdOption = Annotated[
    float, typer.Option(help="Decisions less probable than this run their layer once; 0 trusts every decision.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Turns known errors into one line on standard error and exit code 2, Ctrl-C into exit code 130."""
    try:
        yield
    except (SearchClusterError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(EXIT_ERROR) from error
    except KeyboardInterrupt as error:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from error


@app.command(
    epilog="Example: router-train fit --corpus runs/demo --router drllm --out runs/demo/routers/drllm --epochs 25"
)
def fit(
    corpus: Annotated[Path, typer.Option(help="Folder of a finished corpus.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; a finished one of the same inputs is kept.")],
    router: Annotated[str, typer.Option(help="drllm, static or identity.")] = _DEFAULTS.router,
    epochs: Annotated[int, typer.Option(help="Passes over the training labels at most.")] = _DEFAULTS.epochs,
    lr: Annotated[float, typer.Option(help="AdamW's learning rate at the start.")] = _DEFAULTS.learning_rate,
    batch_size: Annotated[int, typer.Option(help="Examples per step.")] = _DEFAULTS.batch_size,
    patience: Annotated[int, typer.Option(help="Epochs without a better validation loss.")] = _DEFAULTS.patience,
    bottleneck: Annotated[int, typer.Option(help="Width inside each layer's router.")] = _DEFAULTS.bottleneck,
    windows: Annotated[int, typer.Option(help="Mean-pooled windows per prompt.")] = _DEFAULTS.num_windows,
    gamma: Annotated[float, typer.Option(help="Exponent of the focal loss; 0: cross-entropy.")] = _DEFAULTS.focal_gamma,
    beta: Annotated[
        float, typer.Option(help="Effective-number class weights; 0: none, for which few labels are a reason.")
    ] = _DEFAULTS.effective_beta,
    keep: Annotated[
        str, typer.Option(help=f"Which examples teach: {KEEP_RIGHT}, {KEEP_CHANGED} or {KEEP_ALL}.")
    ] = _DEFAULTS.keep,
    seed: Annotated[int, typer.Option(help="Of the weights and the order of batches.")] = _DEFAULTS.seed,
    task: Annotated[str | None, typer.Option(help="The corpus's task, if its name alone does not find it.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    force: Annotated[bool, typer.Option("--force", help="Train again over what --out holds.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Train a router on the best paths of a corpus."""
    with _one_line_errors():
        from router_train.commands import ModelChoice, run_fit  # torch and transformers: seconds

        config = FitConfig(
            router=router,
            epochs=epochs,
            learning_rate=lr,
            batch_size=batch_size,
            patience=patience,
            bottleneck=bottleneck,
            num_windows=windows,
            focal_gamma=gamma,
            effective_beta=beta,
            keep=keep,
            seed=seed,
        )
        choice = ModelChoice(
            spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
        )
        run_fit(corpus, out, config, choice, task_spec=task, force=force, json_output=json_output)


@app.command(
    epilog="Example: router-train evaluate --router runs/demo/routers/drllm --task capitals --limit 200 "
    "--out runs/demo/evaluations/drllm.json --json"
)
def evaluate(
    router: RouterFolder,
    task: Annotated[str, typer.Option(help="A task name (see search-cluster tasks), a .py or a .toml file.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Questions at most; default: all of the split.")] = None,
    seed: Annotated[int, typer.Option(help="Which questions a limit takes.")] = 0,
    data_dir: Annotated[Path | None, typer.Option(help="Local benchmark files; default: LPS_DATA_DIR.")] = None,
    threshold: ThresholdOption = 0.0,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON object to this file.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Compare the routed model with the plain one on held-out questions; running it again continues."""
    with _one_line_errors():
        from router_train.commands import ModelChoice, Questions, run_evaluate  # torch and transformers: seconds

        questions = Questions(task_spec=task, split=split, limit=limit, seed=seed, data_dir=data_dir)
        choice = ModelChoice(
            spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
        )
        run_evaluate(router, questions, choice, threshold=threshold, out=out, json_output=json_output)


@app.command(
    epilog='Example: router-train generate --router runs/demo/routers/drllm --prompt "What is the capital of Peru?"'
)
def generate(
    router: RouterFolder,
    prompt: Annotated[str, typer.Option(help="What to ask; a chat model gets it as the user's message.")],
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate at most.")] = 64,
    threshold: ThresholdOption = 0.0,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Answer one prompt with the routed model."""
    with _one_line_errors():
        from router_train.commands import ModelChoice, run_generate  # torch and transformers: seconds

        choice = ModelChoice(
            spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
        )
        run_generate(
            router, prompt, choice, max_new_tokens=max_new_tokens, threshold=threshold, json_output=json_output
        )


def main() -> None:
    """Entry point of ``router-train``."""
    app()


if __name__ == "__main__":
    main()
