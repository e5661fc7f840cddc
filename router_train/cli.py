"""The command line ``router-train``: options and their help. The work, and everything heavy, is in `commands`."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from router_train.config import (
    AIM_ACCURACY,
    AIM_LAYERS,
    BALANCE_EFFECTIVE,
    BALANCE_INVERSE,
    KEEP_ALL,
    KEEP_CHANGED,
    KEEP_RIGHT,
    LABELS_BEST,
    LABELS_UNGUARDED,
    LOSS_MARGIN,
    LOSS_VERDICT,
    FitConfig,
)
from router_train.study.cli import app as study_app
from search_cluster.cluster.environment import prepare_ray_environment
from search_cluster.config import RAY_NONE
from search_cluster.console import TRAINING_RESUMES, one_line_errors, run_app
from search_cluster.errors import ConfigError

_DEFAULTS = FitConfig()

app = typer.Typer(
    help="Train routers on a corpus of layer paths, and run and judge the routed model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(study_app, name="study")

RouterFolder = Annotated[Path, typer.Option("--router", help="Folder that 'fit' wrote.")]
ModelOption = Annotated[
    str | None, typer.Option(help="demo, a hub id or a folder; default: the model the corpus was searched with.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
DtypeOption = Annotated[str | None, typer.Option(help="Default: the dtype of the search. Part of the fingerprint.")]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")]
TrustOption = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model.")]
ThresholdOption = Annotated[
    float,
    typer.Option(help="Decisions less sure than this fall back to identity; 0: only the router's own threshold holds."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]


@app.command(
    epilog="Example: router-train fit --corpus runs/demo --router drllm --out runs/demo/routers/drllm --epochs 25"
)
def fit(
    corpus: Annotated[Path, typer.Option(help="Folder of a finished corpus.")],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint; a finished one of the same inputs is kept.")],
    router: Annotated[str, typer.Option(help="drllm, polar, menu, early-exit, static or identity.")] = _DEFAULTS.router,
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
    labels: Annotated[
        str, typer.Option(help=f"Best paths that teach: {LABELS_BEST} (credible) or {LABELS_UNGUARDED} (partly luck).")
    ] = _DEFAULTS.labels,
    train_limit: Annotated[int | None, typer.Option(help="Training questions at most; default: all.")] = None,
    balance: Annotated[
        str, typer.Option(help=f"drllm's classes: {BALANCE_EFFECTIVE} (as published) or {BALANCE_INVERSE} (frequency).")
    ] = _DEFAULTS.class_balance,
    loss: Annotated[
        str, typer.Option(help=f"What a menu router learns from: {LOSS_MARGIN} or {LOSS_VERDICT}.")
    ] = _DEFAULTS.loss,
    feature_layer: Annotated[
        int | None, typer.Option(help="Layers that menu and polar read; default: those all paths begin with; a sixth.")
    ] = None,
    aim: Annotated[
        str, typer.Option(help=f"Of the threshold: fewest {AIM_LAYERS}, or highest {AIM_ACCURACY}, within the floor.")
    ] = _DEFAULTS.aim,
    max_drop: Annotated[
        float, typer.Option(help="Accuracy floor: points below the plain model on validation data; may be negative.")
    ] = _DEFAULTS.max_drop,
    floor_errors: Annotated[
        float, typer.Option(help="Standard errors by which validation must clear the floor; 0: none.")
    ] = _DEFAULTS.floor_errors,
    max_layers_share: Annotated[
        float, typer.Option(help="Layer budget: mean layers on validation data over the plain model's.")
    ] = _DEFAULTS.max_layers_share,
    seed: Annotated[int, typer.Option(help="Of the weights and the order of batches.")] = _DEFAULTS.seed,
    task: Annotated[str | None, typer.Option(help="The corpus's task, if its name alone does not find it.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    force: Annotated[bool, typer.Option("--force", help="Train again over what --out holds.")] = False,
    ray: Annotated[
        str, typer.Option(help="none (this process), local (a private Ray), auto (a running one) or an address.")
    ] = RAY_NONE,
    num_workers: Annotated[int, typer.Option(min=1, help="Processes that train together on Ray.")] = 1,
    json_output: JsonOption = False,
) -> None:
    """Train a router on the best paths of a corpus."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.commands.fit import run_fit
        from router_train.inference.model_choice import ModelChoice  # torch and transformers: seconds

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
            labels=labels,
            train_limit=train_limit,
            class_balance=balance,
            loss=loss,
            feature_layer=feature_layer,
            aim=aim,
            max_drop=max_drop,
            floor_errors=floor_errors,
            max_layers_share=max_layers_share,
            seed=seed,
        )
        choice = ModelChoice(
            spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
        )
        train = None
        if ray != RAY_NONE:
            prepare_ray_environment(ray)
            from router_train.training.ray_fit import fit_on_ray

            train = partial(fit_on_ray, mode=ray, num_workers=num_workers)
        run_fit(corpus, out, config, choice, task_spec=task, force=force, json_output=json_output, train=train)


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
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Run all paths of the menu, for the bound of who knows the answers.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON object to this file.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Compare the routed model with the plain one on held-out questions; running it again continues."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.commands.evaluate import run_evaluate
        from router_train.data.question_choice import QuestionChoice
        from router_train.inference.model_choice import ModelChoice

        questions = QuestionChoice(task_spec=task, split=split, limit=limit, seed=seed, data_dir=data_dir)
        choice = ModelChoice(
            spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
        )
        run_evaluate(router, questions, choice, threshold=threshold, oracle=oracle, out=out, json_output=json_output)


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
    with one_line_errors(TRAINING_RESUMES):
        from router_train.commands.generate import run_generate
        from router_train.inference.model_choice import ModelChoice  # torch and transformers: seconds

        choice = ModelChoice(
            spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
        )
        run_generate(
            router, prompt, choice, max_new_tokens=max_new_tokens, threshold=threshold, json_output=json_output
        )


@app.command(epilog="Example: router-train bench runs/demo --batch-sizes 1,8,32 --json")
def bench(
    place: Annotated[list[Path], typer.Argument(metavar="RUN_OR_ROUTER...", help="Router folders, or runs with some.")],
    batch_sizes: Annotated[str, typer.Option(help="Rows answered together, separated by commas.")] = "1,8,32",
    new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate per row.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Per batch size; medians are reported.")] = 5,
    task: Annotated[str, typer.Option(help="Whose prompts are read; default: the router's own.")] = "",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    seed: Annotated[int, typer.Option(help="Which prompts are taken.")] = 0,
    data_dir: Annotated[Path | None, typer.Option(help="Local benchmark files; default: LPS_DATA_DIR.")] = None,
    threshold: ThresholdOption = 0.0,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Measure routed generation against plain generation, beside what the saved layers allow."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.commands.bench import run_bench  # torch and transformers: seconds
        from router_train.data.question_choice import QuestionChoice
        from router_train.inference.model_choice import ModelChoice

        run_bench(
            place,
            QuestionChoice(task_spec=task, split=split, limit=None, seed=seed, data_dir=data_dir),
            ModelChoice(spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code),
            batch_sizes=_numbers(batch_sizes, "--batch-sizes"),
            new_tokens=new_tokens,
            num_rounds=rounds,
            threshold=threshold,
            json_output=json_output,
        )


@app.command(epilog="Example: router-train export runs/demo/routers/drllm --out exports/demo-drllm")
def export(
    router: Annotated[Path, typer.Argument(metavar="ROUTER", help="Folder that 'fit' wrote.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist.")],
    plain: Annotated[
        bool, typer.Option("--plain", help="A static path as an ordinary checkpoint that needs nothing of ours.")
    ] = False,
    with_base: Annotated[bool, typer.Option("--with-base", help="Copy the base model into the folder.")] = False,
    evaluation: Annotated[
        list[Path] | None, typer.Option(help="JSON of 'evaluate --out' for the card; default: the run's.")
    ] = None,
    push_to_hub: Annotated[str | None, typer.Option(metavar="REPO", help="Also upload it; needs a token.")] = None,
    threshold: ThresholdOption = 0.0,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Write a folder that AutoModelForCausalLM loads, with a model card."""
    with one_line_errors(TRAINING_RESUMES):
        from router_train.commands.export import run_export
        from router_train.export.export import ExportOptions  # torch and transformers: seconds
        from router_train.inference.model_choice import ModelChoice

        run_export(
            router,
            out,
            ModelChoice(spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code),
            ExportOptions(threshold=threshold, with_base=with_base, plain=plain, revision=revision),
            evaluations=evaluation or (),
            push_to_hub=push_to_hub,
            json_output=json_output,
        )


@app.command(
    "lm-eval",
    epilog="Example: router-train lm-eval --router runs/demo/routers/menu --tasks arc_easy,piqa --limit 100 --json",
)
def lm_eval(
    router: RouterFolder,
    tasks: Annotated[str, typer.Option(help="Names of the harness' tasks or groups, separated by commas.")],
    include_path: Annotated[
        Path | None, typer.Option(help="Folder with task files (YAML) beside the harness' own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions per task at most; default: all.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(min=0, help="Examples in front; default: the task's.")] = None,
    apply_chat_template: Annotated[
        bool, typer.Option("--apply-chat-template", help="Ask in the model's chat template.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows that run together.")] = 8,
    plain: Annotated[bool, typer.Option(help="Run the plain model, too.")] = True,
    threshold: ThresholdOption = 0.0,
    out: Annotated[Path | None, typer.Option(help="Also write the JSON object to this file.")] = None,
    model: ModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = None,
    revision: RevisionOption = None,
    trust_remote_code: TrustOption = False,
    json_output: JsonOption = False,
) -> None:
    """Run EleutherAI's evaluation harness on the routed model (needs the extra lm-eval)."""
    with one_line_errors(TRAINING_RESUMES):
        if find_spec("lm_eval") is None:
            raise ConfigError("the harness is not installed; install it: pip install 'search-cluster[lm-eval]'")
        from router_train.commands.lm_eval import HarnessOptions, run_harness  # torch and transformers: seconds
        from router_train.inference.model_choice import ModelChoice

        options = HarnessOptions(
            tasks=tuple(name.strip() for name in tasks.split(",") if name.strip()),
            include_path=include_path,
            limit=limit,
            num_fewshot=num_fewshot,
            apply_chat_template=apply_chat_template,
            batch_size=batch_size,
            threshold=threshold,
            plain=plain,
        )
        choice = ModelChoice(
            spec=model, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
        )
        run_harness(router, options, choice, out=out, json_output=json_output)


def _numbers(text: str, name: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise ConfigError(f"{name} is {text!r}; it is whole numbers from 1, separated by commas, such as 1,8,32")
    return tuple(map(int, parts))


def main() -> None:
    """Entry point of ``router-train``."""
    run_app(app)


if __name__ == "__main__":
    main()
