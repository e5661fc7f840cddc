"""A router's evaluation on held-out questions, and what it means.

The numbers are those of ``router-train evaluate --json``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.errors import InvalidValueError

SIGNIFICANCE = 0.05
"""A p-value below this counts as a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticEvaluation:
    """One path for all questions, beside a router."""

    __pydantic_config__ = ConfigDict(extra="ignore", allow_inf_nan=False)

    path: str
    """The path."""
    layers: float
    """The number of layers that it runs."""
    accuracy: float
    """The share of questions that it answers rightly."""
    diff: float
    """Its accuracy minus the plain model's."""
    diff_low: float
    """The lower end of the 95 % interval of `diff`."""
    diff_high: float
    """The upper end of the same."""
    p_value: float
    """The p-value of McNemar's exact test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleEvaluation:
    """A bound: who knows the gold answers takes the shortest right path of a menu."""

    __pydantic_config__ = ConfigDict(extra="ignore", allow_inf_nan=False)

    num_paths: int
    """The number of paths on the menu."""
    accuracy: float
    """The share of questions that some path answers rightly."""
    layers: float
    """The mean number of layers of the paths that are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterEvaluation:
    """One router against the plain model on the same questions."""

    __pydantic_config__ = ConfigDict(extra="ignore", allow_inf_nan=False)

    router: str
    """The name of the router."""
    task: str
    """The name of the task."""
    split: str
    """The split of the questions."""
    n: int
    """The number of questions."""
    accuracy_plain: float
    """The share of questions that the plain model answers rightly."""
    accuracy_plain_low: float
    """The lower end of the 95 % interval of `accuracy_plain`."""
    accuracy_plain_high: float
    """The upper end of the same."""
    accuracy_routed: float
    """The share of questions that the routed model answers rightly."""
    accuracy_routed_low: float
    """The lower end of the 95 % interval of `accuracy_routed`."""
    accuracy_routed_high: float
    """The upper end of the same."""
    layers_plain: float
    """The number of layers that the plain model runs for a question."""
    layers_routed: float
    """The mean number of layers that the routed model runs for a question."""
    p_value: float | None = None
    """The p-value of McNemar's exact test, two-sided."""
    num_fixed: int | None = None
    """The number of questions that only the routed model answers rightly."""
    num_broken: int | None = None
    """The number of questions that only the plain model answers rightly."""
    routed_decisions: tuple[tuple[int, int, int], ...] | None = None
    """For each layer, how many questions skip, execute, and repeat it. Shape [num_layers, 3]."""
    layers_per_question: tuple[int, ...] | None = None
    """The number of layers that the routed model runs for each question."""
    layer_token_share_with_routing: float | None = None
    """The (layer, token) work of the routed answers, the choice of the path included, divided by
    that of the plain ones."""
    helps: bool | None = None
    """The evaluation's own judgement, if it gave one."""
    diff_low: float | None = None
    """The lower end of the 95 % interval of routed minus plain accuracy, questions paired."""
    diff_high: float | None = None
    """The upper end of the same."""
    static: StaticEvaluation | None = None
    """The best single path on the same questions, if it was evaluated."""
    oracle: OracleEvaluation | None = None
    """The bound on the same questions, if it was evaluated."""


_EVALUATION = TypeAdapter(RouterEvaluation)


def parse_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> tuple[RouterEvaluation, ...]:
    """The evaluations with their types checked; unknown keys are ignored.

    Raises:
        InvalidValueError: a key is missing, or its value has another type.
    """
    parsed = []
    for number, evaluation in enumerate(evaluations):
        try:
            parsed.append(_EVALUATION.validate_python(dict(evaluation)))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise InvalidValueError(
                f"evaluation {number}: {key}: {first['msg']}; pass the JSON of router-train "
                "evaluate --json as it is"
            ) from error
    return tuple(parsed)


def router_helps(evaluation: RouterEvaluation) -> bool:
    """Whether the router is worth having.

    The evaluation's own judgement counts if it gave one. Else a router helps if it is no less
    accurate with fewer layers (and right at times), or significantly more accurate at any length.
    """
    if evaluation.helps is not None:
        return evaluation.helps
    gain = evaluation.accuracy_routed - evaluation.accuracy_plain
    significant = evaluation.p_value is not None and evaluation.p_value < SIGNIFICANCE
    saves = (
        evaluation.accuracy_plain > 0
        and gain >= 0
        and evaluation.layers_routed < evaluation.layers_plain
    )
    return saves or (gain > 0 and significant)


def router_sentence(evaluation: RouterEvaluation) -> str:
    """What the evaluation says, in plain words, also where the router does not help."""
    helps = router_helps(evaluation)
    numbers = (
        f"on {evaluation.n} {evaluation.split} questions of {evaluation.task} the routed model is "
        f"right on {evaluation.accuracy_routed:.1%} with {evaluation.layers_routed:.1f} layers a "
        f"question, the plain model on {evaluation.accuracy_plain:.1%} with "
        f"{evaluation.layers_plain:.1f}"
    )
    changed = ""
    if evaluation.num_fixed is not None and evaluation.num_broken is not None:
        changed = f" It fixes {evaluation.num_fixed} answers and breaks {evaluation.num_broken}."
    tested = "" if evaluation.p_value is None else f" (p = {evaluation.p_value:.2g})"
    verb = "helps" if helps else "does not help"
    reason = f"{_reason(evaluation, helps)}{_cost(evaluation)}"
    return f"The router {evaluation.router} {verb}: {numbers}{tested}.{changed} {reason}"


def _reason(evaluation: RouterEvaluation, helps: bool) -> str:
    gain = evaluation.accuracy_routed - evaluation.accuracy_plain
    saved = evaluation.layers_plain - evaluation.layers_routed
    if helps:
        return (
            f"It saves {saved:.1f} layers a question."
            if saved > 0
            else "It costs layers and gains accuracy."
        )
    if evaluation.accuracy_plain == 0 and saved > 0:
        return "The plain model is right on nothing here, so there is no accuracy to keep."
    if abs(saved) < 0.05 and gain == 0:
        return "It chooses the plain path nearly always, so nothing changes."
    if gain < 0:
        return "It loses accuracy." if saved <= 0 else "The layers that it saves cost accuracy."
    return "It runs no fewer layers, and its gain in accuracy may be chance."


def _cost(evaluation: RouterEvaluation) -> str:
    share = evaluation.layer_token_share_with_routing
    if share is None:
        return ""
    return (
        f" The prompt pass in which it chooses included, it does {share:.0%} of the plain model's "
        "layer work."
    )
