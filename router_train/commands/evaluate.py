"""``router-train evaluate``: judge a router on questions, beside the plain model."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from router_train.commands.asked import asked_task, may_have_taught, taught_lines
from router_train.data.question_choice import QuestionChoice
from router_train.evaluation.evaluate import EvaluationReport, evaluate
from router_train.evaluation.predictions import PREDICTIONS_FOLDER, PredictionLog
from router_train.inference.model_choice import ModelChoice
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import load_router, read_meta
from search_cluster.console import print_json, say, show
from search_cluster.errors import ConfigError
from search_cluster.files import write_text_whole
from search_cluster.hub.folders import fetched_from
from search_cluster.model.load.user_cache import user_cache_dir
from search_cluster.paths.codec import parse_path
from search_cluster.stats import EFFECT_RULE, Effect
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.selection import select_examples


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
    result = judge_router(router_folder, questions, model, threshold=threshold, oracle=oracle)
    show(_evaluation_text(result), json_output=json_output)
    if out is not None:
        write_text_whole(out, json.dumps(result, indent=2) + "\n")
    if json_output:
        print_json(result)


def judge_router(
    router_folder: Path,
    questions: QuestionChoice,
    model: ModelChoice,
    *,
    threshold: float = 0.0,
    oracle: bool = False,
) -> dict[str, Any]:
    """What ``router-train evaluate --json`` prints; answers of earlier calls are kept.

    Raises:
        SearchClusterError: router, task or model are not as they must be.
    """
    task = asked_task(router_folder, questions)
    meta = read_meta(router_folder)
    if oracle and not meta.menu:
        raise ConfigError(
            f"{router_folder} knows no menu of paths, so that --oracle has none to choose from: "
            "leave --oracle out, or write the table of paths (search-cluster crossexec RUN --menu "
            "16) and fit a router to it"
        )
    found = task.load(questions.split, resolve_data_dir(questions.data_dir))
    if found.malformed:
        first = found.malformed[0]
        say(
            f"{len(found.malformed)} malformed rows skipped, the first at {first.source}: "
            f"{first.reason}"
        )
    examples = select_examples(found.examples, questions.limit, questions.seed)
    loaded = model.load(meta.model_spec, meta.model_dtype, meta.chat)
    router, meta = load_router(router_folder, loaded)
    key = {
        "model": loaded.fingerprint,
        "router": meta.digest,
        "threshold": threshold,
        "task": task.name,
        "task_version": task.version,
    }
    log = PredictionLog(_predictions_folder(router_folder, meta.digest), key)
    report = evaluate(
        loaded,
        RoutedModel(loaded, router, threshold=threshold),
        task,
        examples,
        log,
        static_path=parse_path(meta.static_path, meta.num_layers) if meta.static_path else None,
        menu=[parse_path(text, meta.num_layers) for text in meta.menu] if oracle else (),
        fact_of=facts_of(found.examples),
    )
    return {
        "router": meta.kind,
        "router_digest": meta.digest,
        "task": task.name,
        "split": questions.split,
        "trained_on": meta.inputs.task,
        "may_have_taught": may_have_taught(meta, task, questions),
        "threshold": threshold,
        "model": loaded.spec,
        **report_json(report),
    }


def _predictions_folder(router: Path, digest: str) -> Path:
    """Where answers are kept: in the router's folder, or in the user's cache of one of the hub."""
    own = router if fetched_from(router) is None else user_cache_dir() / "routers" / digest
    return own / PREDICTIONS_FOLDER


def report_json(report: EvaluationReport) -> dict[str, Any]:
    """The report as one flat JSON object."""
    values = asdict(report)
    return {**values.pop("comparison"), **values, "helps_rule": EFFECT_RULE}


_EFFECT_TEXT = {
    Effect.HELPS: "the router helps here",
    Effect.HURTS: "the router HURTS here",
    Effect.CANT_TELL: "can't tell whether the router helps here",
}


def _evaluation_text(result: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            f"{result['router']} on {result['n']} question{'s' * (result['n'] != 1)} of "
            f"{result['task']} ({result['split']}), one answer each{_facts_text(result)}",
            *(
                f"{name:<7} accuracy {result[f'accuracy_{name}']:.3f} "
                f"[{result[f'accuracy_{name}_low']:.3f}, {result[f'accuracy_{name}_high']:.3f}], "
                f"{result[f'layers_{name}']:.2f} layers"
                for name in ("plain", "routed")
            ),
            f"difference {_difference_text(result)}; {_saved_text(result['layers_saved_share'])}",
            f"right only routed {result['num_fixed']}, only plain {result['num_broken']}, exact "
            f"McNemar p = {result['p_value']:.3g}",
            f"{result['layer_token_share_with_routing']:.1%} of the plain model's layer-token "
            "work, the choice of the path included",
            *_reading_lines(result),
            *_chance_lines(result),
            *_beside_lines(result),
            *_left_out_lines(result),
            f"{_EFFECT_TEXT[result['effect']]} ({result['helps_rule']})",
        ]
    )


def _facts_text(result: Mapping[str, Any]) -> str:
    """How many facts are asked for, where several questions ask for one."""
    if result["num_facts"] == result["n"]:
        return ""
    return f"; they ask for {result['num_facts']} facts, which is what intervals count"


def _difference_text(compared: Mapping[str, Any]) -> str:
    """A difference with its interval; one without width is a lack of questions."""
    low, high = compared["diff_low"], compared["diff_high"]
    if low == high:
        return f"{compared['diff']:+.3f} (the same on every question, which gives no interval)"
    return f"{compared['diff']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _saved_text(share: float) -> str:
    if share < 0:
        return f"{-share:.1%} more layer applications"
    return f"{share:.1%} of the layer applications saved"


def _reading_lines(result: Mapping[str, Any]) -> list[str]:
    if not result["layers_reading"]:
        return []
    return [
        f"of the routed layers {result['layers_reading']:.2f} a question stand for what is read "
        "and crossed on the way (translators, rows of the head, bridges)"
    ]


def _chance_lines(result: Mapping[str, Any]) -> list[str]:
    if result["chance"] is None:
        return []
    told = (
        "the plain model can't be told from guessing"
        if result["plain_is_guessing"]
        else "the plain model is better than guessing"
    )
    return [f"chance {result['chance']:.3f} (uniform guesses): {told}"]


def _left_out_lines(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if result["num_too_long"]:
        lines.append(
            f"{result['num_too_long']} more questions are longer than the model's context and left "
            "out"
        )
    if result["num_failures"]:
        lines.append(
            f"{result['num_failures']} questions had no answer of one of the models and count as "
            "wrong there"
        )
    for name in ("plain", "routed"):
        if num_cut := result[f"num_cut_{name}"]:
            lines.append(
                f"{num_cut} of {result['n']} {name} answers were cut by the task's max_new_tokens "
                "before they ended"
            )
    return [*lines, *taught_lines(result)]


def _beside_lines(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if (static := result["static"]) is not None:
        lines.append(
            f"beside it: one path for all, {static['path']} ({static['layers']:.4g} layers), "
            f"accuracy {static['accuracy']:.3f}, difference {_difference_text(static)} "
            f"({static['effect']})"
        )
    if (oracle := result["oracle"]) is not None:
        lines.append(
            f"bound (gold answers known): some of {oracle['num_paths']} paths is right on "
            f"{oracle['accuracy']:.1%}, {oracle['layers']:.2f} layers"
        )
    return lines
