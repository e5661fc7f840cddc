"""What of the harness' tasks our two kinds of answers can do, and what not, with the reason.

Choices are scored (`AnswerKind.CHOICE`), or a greedy answer is compared by the harness' own filters
and its ``exact_match``. Perplexities, sampled or repeated answers, images and results that a task
computes by itself have no place in a reward of one answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_cluster.errors import TaskError
from search_cluster.tasks.sources.harness.yaml_file import FunctionReference
from search_cluster.tasks.task import AnswerKind

KINDS = {"multiple_choice": AnswerKind.CHOICE, "generate_until": AnswerKind.GENERATE}
DEFAULT_OUTPUT = "generate_until"
DEFAULT_MAX_NEW_TOKENS = 256
"""What the harness generates at most, unless a task says otherwise."""
FILTERS = frozenset({"take_first", "regex", "remove_whitespace", "lowercase", "uppercase", "map"})
"""Filters that look at nothing but the answer."""
_CHOICE_METRICS = frozenset({"acc", "acc_norm", "acc_bytes", "f1", "mcc"})
"""Metrics of which choice is taken."""
_MAX_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_OF_METRICS = frozenset({"metric", "aggregation", "higher_is_better", "hf_evaluate"})
_REFUSED = {
    "class": "a Python class that asks and grades by itself",
    "process_results": "a function of its own that computes its results (process_results)",
    "doc_to_image": "images",
    "doc_to_audio": "sounds",
    "unsafe_code": "answers that are run as programs (unsafe_code)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRules:
    """How a harness task's generated answer is decoded and compared."""

    max_new_tokens: int
    stop_strings: tuple[str, ...]
    filter_name: str
    """The pipeline that is used; empty if the task names none."""
    filters: tuple[Mapping[str, Any], ...]
    """Its steps, as the task file has them."""
    exact_match: Mapping[str, Any]
    """What the metric ignores, by its keywords."""


def kind_of(name: str, config: Mapping[str, Any]) -> AnswerKind:
    """The kind of a task's answers.

    Raises:
        TaskError: it has none of ours; the message says why.
    """
    output = config.get("output_type", DEFAULT_OUTPUT)
    if output not in KINDS:
        raise _refused(
            name,
            f"output_type {output!r} (a reward needs a right answer: multiple_choice, or "
            "generate_until with exact_match)",
        )
    for key, what in _REFUSED.items():
        if config.get(key):
            raise _refused(name, what)
    if config.get("repeats", 1) != 1:
        raise _refused(name, f"{config['repeats']} answers to each question (repeats)")
    metrics = _metrics(config)
    if KINDS[output] is AnswerKind.CHOICE and metrics and not metrics & _CHOICE_METRICS:
        raise _refused(name, f"the metrics {', '.join(sorted(metrics))}, none of which is accuracy")
    return KINDS[output]


def answer_rules(name: str, config: Mapping[str, Any], filter_name: str) -> AnswerRules:
    """How the generated answers of a task are decoded and compared.

    Args:
        name: the task's name.
        config: what its file says.
        filter_name: the pipeline of filters to use; empty takes the first that can be used.

    Raises:
        TaskError: it samples, or compares in a way that is not ours.
    """
    settings = dict(config.get("generation_kwargs") or {})
    if settings.get("do_sample") and settings.get("temperature", 1.0) != 0:
        raise _refused(name, "sampled answers (do_sample); answers are greedy here")
    metrics = _metrics(config)
    if metrics and "exact_match" not in metrics:
        raise _refused(
            name, f"the metrics {', '.join(sorted(metrics))}; generated answers need exact_match"
        )
    entries: Sequence[Mapping[str, Any]] = config.get("metric_list") or []
    exact = next((item for item in entries if item["metric"] == "exact_match"), {})
    until = settings.get("until", [config.get("fewshot_delimiter", "\n\n")])
    chosen, steps = _filters(name, config.get("filter_list"), filter_name)
    return AnswerRules(
        max_new_tokens=int(
            next((settings[key] for key in _MAX_TOKENS if key in settings), DEFAULT_MAX_NEW_TOKENS)
        ),
        stop_strings=tuple(
            str(text) for text in ([until] if isinstance(until, str) else until or []) if text
        ),
        filter_name=chosen,
        filters=steps,
        exact_match={key: value for key, value in exact.items() if key not in _OF_METRICS},
    )


def _metrics(config: Mapping[str, Any]) -> set[str]:
    return {
        metric.qualified if isinstance(metric, FunctionReference) else str(metric)
        for item in config.get("metric_list") or []
        if (metric := item.get("metric")) is not None
    }


def _filters(
    name: str, listed: Sequence[Mapping[str, Any]] | None, wanted: str
) -> tuple[str, tuple[Mapping[str, Any], ...]]:
    """The pipeline of that name, or the first that looks at nothing but the answer."""
    pipelines = {str(item["name"]): tuple(item.get("filter") or ()) for item in listed or ()}
    if wanted and wanted not in pipelines:
        raise TaskError(
            f"the harness' task {name} has no filter {wanted!r}; it has "
            f"{', '.join(pipelines) or 'none'}"
        )
    usable = {
        key: steps
        for key, steps in pipelines.items()
        if all(step.get("function") in FILTERS for step in steps)
    }
    if pipelines and not (wanted in usable if wanted else usable):
        used = {
            str(getattr(step.get("function"), "qualified", step.get("function")))
            for steps in pipelines.values()
            for step in steps
        }
        raise _refused(
            name,
            f"the answer filters {', '.join(sorted(used - FILTERS))} (usable are "
            f"{', '.join(sorted(FILTERS))})",
        )
    chosen = wanted or next(iter(usable), "")
    return chosen, usable.get(chosen, ())


def _refused(name: str, what: str) -> TaskError:
    return TaskError(
        f"the harness' task {name} has {what}, which can't be searched; `router-train lm-eval` "
        "measures it all the same"
    )
