"""``router-train fit``: train a router from a corpus, and say what it learned from."""

from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Protocol

from router_train.config import FEATURE_CACHE_GB, FitConfig
from router_train.data.feature_store import FEATURES_FOLDER, FeatureUse, bound_features
from router_train.export.publish import push_at_end
from router_train.inference.model_choice import ModelChoice
from router_train.inference.router_task import task_flag
from router_train.routers.checkpoint import CURVE_NAME, RouterMeta
from router_train.routers.curve import read_curve
from router_train.training.fit import FitOutcome, fit
from search_cluster.console import print_json, say, show
from search_cluster.hub.choice import PushChoice
from search_cluster.hub.push import require_token
from search_cluster.trackers import TENSORBOARD, open_trackers, tracker_names

_POINT = ("num_questions", "accuracy_routed", "accuracy_plain", "standard_error", "mean_layers")
"""The figures of an operating point, as `OperatingPoint.metrics` names them."""


class Train(Protocol):
    """Another way to train than `router_train.training.fit.fit` in this process."""

    def __call__(
        self,
        corpus: Path,
        out: Path,
        config: FitConfig,
        model: ModelChoice,
        *,
        task_spec: str | None,
        force: bool,
    ) -> FitOutcome:
        """As `router_train.training.fit.fit`."""
        ...


def run_fit(
    corpus: Path,
    out: Path,
    config: FitConfig,
    model: ModelChoice,
    *,
    task_spec: str | None,
    force: bool,
    json_output: bool,
    train: Train | None = None,
    report_to: str = "",
    feature_cache_gb: float = FEATURE_CACHE_GB,
    choice: PushChoice | None = None,
) -> None:
    """``router-train fit``.

    Args:
        corpus: a finished corpus.
        out: the checkpoint's folder.
        config: settings of the training.
        model: where another model than the corpus's is named.
        task_spec: the corpus's task, if its name alone does not find it.
        force: whether to train over what ``out`` holds.
        json_output: whether to print one JSON object.
        train: takes the place of training in this process.
        report_to: trackers that are told the curve and the figures, with commas between.
            TensorBoard has the curve already, as it was trained.
        feature_cache_gb: how much of the features stays for the next training.
        choice: where the router is pushed to, if it is.
    """
    choice = choice or PushChoice()
    require_token(choice)
    reports_to = tracker_names(report_to)
    if train is None:
        outcome = fit(
            corpus,
            out,
            config,
            model.load,
            task_spec=task_spec,
            force=force,
            check_model=model.is_named,
        )
    else:
        outcome = train(corpus, out, config, model, task_spec=task_spec, force=force)
    meta = outcome.meta
    with open_trackers(reports_to, out, asdict(config) | {"corpus": corpus}) as trackers:
        for row in read_curve(out / CURVE_NAME):
            trackers.log(row, step=int(row["epoch"]), known_to=TENSORBOARD)
        trackers.log(meta.metrics)
    if outcome.already_finished:
        say(
            f"{out} already holds this {meta.kind} router (same corpus, model and settings); "
            "--force trains it again"
        )
    else:
        show(_fit_text(meta, out, task_spec), json_output=json_output)
    folder = out.parent / FEATURES_FOLDER
    use = bound_features(folder, round(feature_cache_gb * 1e9))
    if use.num_bytes or use.num_removed_bytes:
        say(_features_text(folder, use, feature_cache_gb))
    hub = push_at_end(out, choice, source=corpus, json_output=json_output)
    if json_output:
        print_json(
            {
                "router": meta.kind,
                "out": str(out),
                "already_finished": outcome.already_finished,
                "digest": meta.digest,
                "num_train": meta.num_train,
                "num_validation": meta.num_validation,
                "class_counts": meta.class_counts,
                "left_out": meta.left_out,
                "metrics": meta.metrics,
                "metrics_in_sample": _is_in_sample(meta),
                "metrics_judged_on": meta.judged_on,
                "features": str(folder),
                "feature_bytes": use.num_bytes,
                **hub,
            }
        )


def _features_text(folder: Path, use: FeatureUse, limit_gb: float) -> str:
    """What is kept for the next training, where, and how to be rid of it."""
    removed = f"{use.num_removed_bytes / 1e6:,.0f} MB of them were removed, since "
    return (
        f"features of questions: {use.num_bytes / 1e6:,.0f} MB in {folder} for the next training; "
        f"{removed if use.num_removed_bytes else ''}--feature-cache-gb allows {limit_gb:g} GB "
        f"(rm -r {quote(str(folder))} loses nothing but time)"
    )


def _fit_text(meta: RouterMeta, out: Path, task_spec: str | None) -> str:
    skips, executes, repeats = meta.class_counts
    lines = [
        f"{meta.kind} router saved in {out}",
        f"labels: {meta.num_train} train, {meta.num_validation} validation; {skips} skips, "
        f"{executes} executes, {repeats} repeats",
        *_metric_lines(meta),
        f"next: router-train evaluate --router {quote(str(out))}"
        f"{task_flag(out, task_spec or meta.inputs.task)} --split test --limit 200{_reported(out)}",
    ]
    return "\n".join(lines)


def _metric_lines(meta: RouterMeta) -> list[str]:
    """What training saw of the router, and that it is no promise for other questions."""
    metrics, point = dict(meta.metrics), {}
    for name in _POINT:
        if (value := metrics.pop(f"validation_{name}", None)) is not None:
            point[name] = value
    lines = []
    if len(point) >= len(_POINT) - 1:  # older checkpoints lack the number of questions
        gain = point["accuracy_routed"] - point["accuracy_plain"]
        num = point.get("num_questions")
        of_all = f"{num:.0f} question{'s' * (num != 1)}: " if num is not None else ""
        error = point["standard_error"]
        spread = f"standard error {error:.3f}" if error else "the same on every question"
        lines.append(
            f"in-sample, {of_all}accuracy {point['accuracy_routed']:.3f} routed, "
            f"{point['accuracy_plain']:.3f} plain, difference {gain:+.3f} "
            f"({spread}), {point['mean_layers']:.2f} layers"
        )
    if metrics:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        lines.append(f"training: {shown}")
    if _is_in_sample(meta):
        judged_on = f"on {meta.judged_on}" if meta.judged_on else "on questions that chose it"
        lines.append(
            f"in-sample: {judged_on}; expect less on other questions, evaluate says how much"
        )
    elif lines and meta.judged_on:
        lines.append(f"these are figures on {meta.judged_on}")
    return lines


def _is_in_sample(meta: RouterMeta) -> bool:
    """Whether the metrics hold accuracies, which always come from questions that chose."""
    return "validation_accuracy_routed" in meta.metrics


def _reported(out: Path) -> str:
    """The flag that puts an evaluation where the report of the run folder around ``out`` looks."""
    if out.parent.name != "routers":
        return ""
    return f" --out {quote(str(out.parent.parent / 'evaluations' / f'{out.name}.json'))}"
