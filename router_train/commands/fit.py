"""What the commands do: load, call the library, show the result to people or to machines."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Protocol

from router_train.commands.output import print_json as _print_json
from router_train.commands.output import say as _say
from router_train.commands.output import show as _show
from router_train.config import FitConfig
from router_train.evaluation.evaluate import HELPS_RULE, EvaluationReport, evaluate
from router_train.evaluation.predictions import PREDICTIONS_FOLDER, PredictionLog
from router_train.inference.routed_model import RoutedModel
from router_train.training.checkpoint import RouterMeta, load_router, read_meta
from router_train.training.fit import FitOutcome, fit
from search_cluster.files import write_text_whole
from search_cluster.model.load.loading import LoadedModel, load_model
from search_cluster.paths.codec import parse_path
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """How the command line names the model."""

    spec: str | None
    """``None``: the one that the corpus or the checkpoint names."""
    device: str
    dtype: str | None
    trust_remote_code: bool
    revision: str | None = None
    """Branch, tag or commit of a hub id."""

    def load(self, spec: str, dtype: str) -> LoadedModel:
        """The chosen model; ``spec`` and ``dtype`` where nothing was chosen."""
        return load_model(
            self.spec or spec,
            dtype=self.dtype or dtype,
            device=self.device,
            revision=self.revision,
            trust_remote_code=self.trust_remote_code,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionChoice:
    """Which questions are asked."""

    task_spec: str
    split: str
    limit: int | None
    seed: int
    data_dir: Path | None


class Train(Protocol):
    """Another way to train than `router_train.training.fit.fit` in this process."""

    def __call__(
        self, corpus: Path, out: Path, config: FitConfig, model: ModelChoice, *, task_spec: str | None, force: bool
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
) -> None:
    """``router-train fit``; ``train`` takes the place of training in this process."""
    if train is None:
        outcome = fit(corpus, out, config, model.load, task_spec=task_spec, force=force)
    else:
        outcome = train(corpus, out, config, model, task_spec=task_spec, force=force)
    meta = outcome.meta
    if outcome.already_finished:
        _say(f"{out} already holds this {meta.kind} router (same corpus, model and settings); --force trains it again")
    else:
        _show(_fit_text(meta, out, task_spec or meta.inputs.task), json_output=json_output)
    if json_output:
        _print_json(
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
            }
        )


def run_evaluate(
    router_folder: Path,
    questions: QuestionChoice,
    model: ModelChoice,
    *,
    threshold: float,
    oracle: bool,
    out: Path | None,
    json_output: bool,
) -> None:
    """``router-train evaluate``."""
    task = get_task(questions.task_spec)
    found = task.load(questions.split, resolve_data_dir(questions.data_dir))
    if found.malformed:
        first = found.malformed[0]
        _say(f"{len(found.malformed)} malformed rows skipped, the first at {first.source}: {first.reason}")
    examples = select_examples(found.examples, questions.limit, questions.seed)
    meta = read_meta(router_folder)
    loaded = model.load(meta.model_spec, meta.model_dtype)
    router, meta = load_router(router_folder, loaded)
    key = {
        "model": loaded.fingerprint,
        "router": meta.digest,
        "threshold": threshold,
        "task": task.name,
        "task_version": task.version,
    }
    log = PredictionLog(router_folder / PREDICTIONS_FOLDER, key)
    report = evaluate(
        loaded,
        RoutedModel(loaded, router, threshold=threshold),
        task,
        examples,
        log,
        static_path=parse_path(meta.static_path, meta.num_layers) if meta.static_path else None,
        menu=[parse_path(text, meta.num_layers) for text in meta.menu] if oracle else (),
    )
    result = {
        "router": meta.kind,
        "task": task.name,
        "split": questions.split,
        "trained_on": meta.inputs.task,
        "threshold": threshold,
        "model": loaded.spec,
        **report_json(report),
    }
    _show(_evaluation_text(result), json_output=json_output)
    if out is not None:
        write_text_whole(out, json.dumps(result, indent=2) + "\n")
    if json_output:
        _print_json(result)


def run_generate(
    router_folder: Path, prompt: str, model: ModelChoice, *, max_new_tokens: int, threshold: float, json_output: bool
) -> None:
    """``router-train generate``: the answer goes to standard output."""
    meta = read_meta(router_folder)
    loaded = model.load(meta.model_spec, meta.model_dtype)
    router, meta = load_router(router_folder, loaded)
    answer = RoutedModel(loaded, router, threshold=threshold).answer([prompt], max_new_tokens=max_new_tokens)[0]
    path = answer.routed.path
    _say(f"path {path}: {len(path)} of {loaded.num_layers} layers, confidence {answer.routed.confidence:.2f}")
    if not json_output:
        print(answer.text)
        return
    _print_json(
        {
            "text": answer.text,
            "path": list(path.layers),
            "num_layers": loaded.num_layers,
            "confidence": answer.routed.confidence,
            "num_fallbacks": answer.routed.num_fallbacks,
            "new_tokens": len(answer.token_ids),
        }
    )


def report_json(report: EvaluationReport) -> dict[str, Any]:
    """The report as one flat JSON object."""
    values = asdict(report)
    return {**values.pop("comparison"), **values, "helps_rule": HELPS_RULE}


def _fit_text(meta: RouterMeta, out: Path, task_spec: str) -> str:
    skips, executes, repeats = meta.class_counts
    lines = [
        f"{meta.kind} router saved in {out}",
        f"labels: {meta.num_train} train, {meta.num_validation} validation; {skips} skips, {executes} executes, "
        f"{repeats} repeats",
        *(f"{name}: {value:.4g}" for name, value in meta.metrics.items()),
        f"next: router-train evaluate --router {quote(str(out))} --task {quote(task_spec)} --split test --limit 200"
        f"{_reported(out)}",
    ]
    return "\n".join(lines)


def _reported(out: Path) -> str:
    """The flag that puts an evaluation where the run's report looks, for a router that lies in its run folder."""
    if out.parent.name != "routers":
        return ""
    return f" --out {quote(str(out.parent.parent / 'evaluations' / f'{out.name}.json'))}"


def _evaluation_text(result: Mapping[str, Any]) -> str:
    verdict = "the router helps" if result["helps"] else "the router does NOT help"
    return "\n".join(
        [
            f"{result['router']} on {result['n']} questions of {result['task']} ({result['split']}), one answer each",
            *(
                f"{name:<7} accuracy {result[f'accuracy_{name}']:.3f} "
                f"[{result[f'accuracy_{name}_low']:.3f}, {result[f'accuracy_{name}_high']:.3f}], "
                f"{result[f'layers_{name}']:.2f} layers"
                for name in ("plain", "routed")
            ),
            f"difference {result['diff']:+.3f} [{result['diff_low']:+.3f}, {result['diff_high']:+.3f}]; "
            f"{result['layers_saved_share']:.1%} of the layer applications saved",
            f"fixed {result['num_fixed']}, broken {result['num_broken']}, exact McNemar p = {result['p_value']:.3g}; "
            f"{result['layer_token_share']:.1%} of the plain model's layer-token work",
            *_beside_lines(result),
            *_left_out_lines(result),
            f"{verdict} here (helps = {result['helps_rule']})",
        ]
    )


def _left_out_lines(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if result["num_too_long"]:
        lines.append(f"{result['num_too_long']} more questions are longer than the model's context and left out")
    if result["num_failures"]:
        lines.append(f"{result['num_failures']} questions had no answer of one of the models and count as wrong there")
    return lines


def _beside_lines(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if (static := result["static"]) is not None:
        lines.append(
            f"beside it: one path for all, {static['path']} ({static['layers']} layers), accuracy "
            f"{static['accuracy']:.3f}, difference {static['diff']:+.3f} [{static['diff_low']:+.3f}, "
            f"{static['diff_high']:+.3f}]"
        )
    if (oracle := result["oracle"]) is not None:
        lines.append(
            f"bound (gold answers known): some of {oracle['num_paths']} paths is right on {oracle['accuracy']:.1%}, "
            f"{oracle['layers']:.2f} layers"
        )
    return lines
