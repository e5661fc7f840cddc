"""A router's evaluation on held-out questions, and what it means.

The numbers are those of ``router-train evaluate --json``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.errors import InvalidValueError
from search_cluster.stats import Effect, judge_effect


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
    effect: Effect | None = None
    """What it does, if the evaluation says so."""


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
    effect: Effect | None = None
    """The evaluation's own judgement, if it gave one; see `router_effect`."""
    chance: float | None = None
    """The accuracy of uniform guesses among the choices, if it is known."""
    plain_is_guessing: bool | None = None
    """Whether the plain model can't be told from such guesses, if that is known."""
    num_cut_plain: int | None = None
    """The number of plain answers that ended for want of tokens, if they were counted."""
    num_cut_routed: int | None = None
    """The same of the routed answers."""
    name: str = ""
    """The name of the evaluation's file, which tells routers of one kind apart."""
    label: str = ""
    """What this router is called beside the others; `parse_evaluations` sees that no two of them
    are called the same."""
    design_effect: float = 1.0
    """How many questions say as much as one that asks for a fact of its own."""
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
    return _labelled(parsed)


def _labelled(evaluations: Sequence[RouterEvaluation]) -> tuple[RouterEvaluation, ...]:
    """The evaluations, each with a label that no other one on the same task has.

    A router is called by its kind; where a task has two of a kind, by the evaluation's name, too,
    and where that does not tell them apart either, by its number.
    """

    def clashes(labels: Sequence[str]) -> list[bool]:
        keys = list(zip(labels, [item.task for item in evaluations], strict=True))
        counts = Counter(keys)
        return [counts[key] > 1 for key in keys]

    labels = [item.router for item in evaluations]
    labels = [
        f"{label} ({item.name})" if clash and item.name else label
        for label, item, clash in zip(labels, evaluations, clashes(labels), strict=True)
    ]
    labels = [
        f"{label} no. {number}" if clash else label
        for number, (label, clash) in enumerate(zip(labels, clashes(labels), strict=True), start=1)
    ]
    return tuple(
        replace(item, label=label) for item, label in zip(evaluations, labels, strict=True)
    )


def router_effect(evaluation: RouterEvaluation) -> Effect:
    """What the router does, as far as the questions show it.

    The evaluation's own judgement counts if it gave one. Older ones say how many answers changed
    for better and for worse, which decides; where they don't say that, nobody can tell.
    """
    if evaluation.effect is not None:
        return evaluation.effect
    if evaluation.num_fixed is None or evaluation.num_broken is None or not evaluation.n:
        return Effect.CANT_TELL
    return judge_effect(
        evaluation.num_fixed,
        evaluation.num_broken,
        evaluation.n,
        layers_plain=evaluation.layers_plain,
        layers_routed=evaluation.layers_routed,
        plain_is_guessing=bool(evaluation.plain_is_guessing) or evaluation.accuracy_plain == 0,
        design_effect=evaluation.design_effect,
    )


def router_sentence(evaluation: RouterEvaluation) -> str:
    """What the evaluation says, in plain words, also where the router hurts or nobody can tell."""
    effect = router_effect(evaluation)
    numbers = (
        f"on {evaluation.n} {evaluation.split} questions of {evaluation.task} the routed model is "
        f"right on {evaluation.accuracy_routed:.1%} with {evaluation.layers_routed:.1f} layers a "
        f"question, the plain model on {evaluation.accuracy_plain:.1%} with "
        f"{evaluation.layers_plain:.1f}"
    )
    changed = ""
    if evaluation.num_fixed is not None and evaluation.num_broken is not None:
        changed = (
            f" Only the routed model is right on {evaluation.num_fixed} of them, only the plain "
            f"one on {evaluation.num_broken}."
        )
    what = {
        Effect.HELPS: " helps:",
        Effect.HURTS: " hurts:",
        Effect.CANT_TELL: ": can't tell whether it helps;",
    }[effect]
    reason = f"{_reason(evaluation, effect)}{_guessing(evaluation)}{_cut(evaluation)}"
    return (
        f"The router {evaluation.label or evaluation.router}{what} {numbers}"
        f"{_tested(evaluation)}.{changed} {reason}{_cost(evaluation)}"
    )


def _tested(evaluation: RouterEvaluation) -> str:
    """The interval of the difference and the p-value, as far as they are known."""
    parts = []
    if evaluation.diff_low is not None and evaluation.diff_low == evaluation.diff_high:
        parts.append("the same on every question, which gives no interval")
    elif evaluation.diff_low is not None and evaluation.diff_high is not None:
        parts.append(
            f"difference {100 * evaluation.diff_low:+.1f} to {100 * evaluation.diff_high:+.1f} "
            "points"
        )
    if evaluation.p_value is not None:
        parts.append(f"p = {evaluation.p_value:.2g}")
    return f" ({', '.join(parts)})" if parts else ""


def _reason(evaluation: RouterEvaluation, effect: Effect) -> str:
    gain = evaluation.accuracy_routed - evaluation.accuracy_plain
    saved = evaluation.layers_plain - evaluation.layers_routed
    if effect is Effect.HELPS:
        return (
            f"It saves {saved:.1f} layers a question."
            if saved > 0
            else "It gains accuracy at no fewer layers."
        )
    if effect is Effect.HURTS:
        if gain >= 0:
            return "It costs layers and gains nothing."
        return "It loses accuracy." if saved <= 0 else "The layers that it saves cost accuracy."
    if evaluation.accuracy_plain == 0 and saved > 0:
        return "The plain model is right on nothing here, so there is no accuracy to keep."
    if abs(saved) < 0.05 and gain == 0:
        return "It chooses the plain path nearly always, so nothing changes."
    if saved > 0:
        return (
            f"It saves {saved:.1f} layers a question; whether that costs accuracy takes more "
            "questions to see."
        )
    return "It runs no fewer layers, and its difference in accuracy may be chance."


def _guessing(evaluation: RouterEvaluation) -> str:
    if evaluation.chance is None:
        return ""
    told = ": the plain model can't be told from guessing" if evaluation.plain_is_guessing else ""
    return f" Uniform guesses are right on {evaluation.chance:.1%}{told}."


def _cut(evaluation: RouterEvaluation) -> str:
    plain, routed = evaluation.num_cut_plain or 0, evaluation.num_cut_routed or 0
    if not plain and not routed:
        return ""
    return (
        f" The task's max_new_tokens cut {plain} plain and {routed} routed answers before they "
        "ended."
    )


def _cost(evaluation: RouterEvaluation) -> str:
    share = evaluation.layer_token_share_with_routing
    if share is None:
        return ""
    return (
        f" With what choosing its path costs, it does {share:.0%} of the plain model's layer work."
    )
