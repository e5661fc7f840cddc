"""The routed model against the plain one on the same questions.

Each gives one answer per question (top-1), which the task grades.

Neither choices' gold labels nor stored verdicts are used: both models answer every question.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from router_train.evaluation.answering import Answerer
from router_train.evaluation.beside import (
    OracleFigures,
    StaticFigures,
    effect_of,
    oracle_figures,
    static_figures,
)
from router_train.evaluation.paired import PairedComparison, compare
from router_train.evaluation.predictions import Prediction, PredictionLog
from router_train.evaluation.verdict_db import PathAnswers
from router_train.inference.routed_model import RoutedModel
from search_cluster.console import track
from search_cluster.errors import TaskError
from search_cluster.model.bridge.bridges import path_costs
from search_cluster.model.device_memory import default_state_bytes
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.cost import PathCosts
from search_cluster.paths.layer_path import REPEAT, LayerPath
from search_cluster.stats import Effect, is_guessing, mean_chance
from search_cluster.tasks.example import Example
from search_cluster.tasks.facts import facts_of
from search_cluster.tasks.task import Task

BATCH_SIZE = 16
"""The number of questions that are answered together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """The numbers of one evaluation, as ``router-train evaluate --json`` has them."""

    comparison: PairedComparison
    layers_plain: float
    """The number of layers that the plain model runs per question."""
    layers_routed: float
    """The mean number of layers that the routed model runs per question, with what it reads on the
    way (`layers_reading`)."""
    layers_saved_share: float
    """The layer applications per token that the router saves, as a share of the plain model's;
    negative if it adds some."""
    layer_token_share: float
    """The (layer, token) applications of the routed answers over those of the plain ones, with
    `layers_reading` and without what choosing the path adds."""
    layer_token_share_with_routing: float
    """The same, with what choosing the path adds: layers that ran in the prompt pass before the
    choice, and that the chosen path has no use for. The prompt pass itself is counted once."""
    routed_decisions: tuple[tuple[int, int, int], ...]
    """How many questions skip, execute and repeat each layer. Shape ``[num_layers, 3]``."""
    layers_per_question: tuple[int, ...]
    """The lengths of the routed paths, in the order of the questions, without `layers_reading`."""
    num_identity: int
    """The number of questions that the router sends down the plain path."""
    mean_confidence: float
    num_failures: int
    """The number of questions on which a model gave no finite answer; they count as wrong."""
    num_too_long: int
    """The number of questions that do not fit into the model's context; they are in no other
    number."""
    helps: bool
    """Whether ``effect`` is that it helps; if not, it may hurt, or nobody can tell."""
    effect: Effect
    """What the router does by `search_cluster.stats.EFFECT_RULE`."""
    chance: float | None
    """The accuracy of uniform guesses among the choices; ``None`` where there are none."""
    plain_is_guessing: bool | None
    """Whether the plain model can't be told from such guesses, or is worse; ``None`` without
    chance."""
    num_cut_plain: int | None
    """The number of plain answers that ended for want of tokens; ``None`` if it is not known of
    each, as of choices."""
    num_cut_routed: int | None
    """The same of the routed answers."""
    layers_reading: float = 0.0
    """What reading states on the way, bridges and shortcuts cost per question, in layers: the
    products of heads, translators and other maps over those of a layer."""
    static: StaticFigures | None = None
    """The figures of the one path for all questions, beside the router."""
    oracle: OracleFigures | None = None
    """The figures of the best choice from the menu, made with the gold answers."""


def evaluate(
    loaded: LoadedModel,
    routed_model: RoutedModel,
    task: Task,
    examples: Sequence[Example],
    log: PredictionLog,
    *,
    static_path: LayerPath | None = None,
    menu: Sequence[LayerPath] = (),
    batch_size: int = BATCH_SIZE,
    engine: PathAnswers | None = None,
    fact_of: Mapping[str, int] | None = None,
) -> EvaluationReport:
    """Answer the examples that ``log`` does not know yet, and compare all of them.

    Args:
        loaded: the plain model.
        routed_model: the routed model, which is asked for one path per question.
        task: the task, which knows how to ask and grade.
        examples: the questions.
        log: a log that keeps the answers; an interrupted evaluation loses a batch at most.
        static_path: a path that answers every question beside the router.
        menu: paths that an oracle may choose from; each answers every question.
        batch_size: questions that are answered together; changes no answer.
        engine: what answers along the routed model's paths, of as many engines as
            `count_engines` says; ``None`` makes a fast engine for this evaluation.
        fact_of: the fact that each question asks for, as `facts_of` tells it of the whole split;
            ``None``: as it tells it of these questions, which say less of what is common.

    Raises:
        TaskError: not one example fits into the model's context.
    """
    beside = tuple(dict.fromkeys([*([] if static_path is None else [static_path]), *menu]))
    number = count_engines(loaded, routed_model, beside)
    engine = engine or open_engine(routed_model.running, task, num_engines=number)
    engine_beside = engine if number == 1 else open_engine(loaded, task, num_engines=number)
    answerer = Answerer(loaded, routed_model, task, beside, engine, engine_beside)
    known: dict[str, Prediction] = {}
    num_too_long = 0
    waiting = []
    for example in examples:
        prediction = log.get(example.example_id)
        if prediction is None or not prediction.others.keys() >= set(map(str, beside)):
            waiting.append(example)
        else:
            known[example.example_id] = prediction
    batches = [waiting[first : first + batch_size] for first in range(0, len(waiting), batch_size)]
    for batch in track(batches, f"batches of {batch_size} questions answered"):
        predictions = answerer.answer(batch)
        num_too_long += len(batch) - len(predictions)
        for prediction in predictions:
            log.add(prediction)
            known[prediction.example_id] = prediction
    if not known:
        raise TaskError(
            f"none of {len(examples)} examples of {task.name} fits into the model's context; try "
            "another task"
        )
    answered = [example for example in examples if example.example_id in known]
    fact_of = facts_of(examples) if fact_of is None else fact_of
    return _report(
        [known[example.example_id] for example in answered],
        [fact_of[example.example_id] for example in answered],
        loaded.num_layers,
        path_costs(loaded.model),
        num_too_long,
        static_path,
        menu,
        mean_chance(len(example.choices) for example in answered),
    )


def count_engines(
    loaded: LoadedModel, routed_model: RoutedModel, beside: Sequence[LayerPath]
) -> int:
    """How many engines an evaluation has.

    A router's own model is not that of the paths beside it: these are the plain model's.
    """
    has_others = beside or not routed_model.keeps_plain
    return 1 if routed_model.running is loaded or not has_others else 2


def open_engine(loaded: LoadedModel, task: Task, *, num_engines: int = 1) -> PathExecutor:
    """The fast engine with the memory that suits the model's device.

    Args:
        loaded: the model.
        task: the task, which knows how to ask and grade.
        num_engines: the engines that share the memory, this one included.
    """
    state_bytes = default_state_bytes(loaded, num_engines=num_engines)
    return PathExecutor(loaded, task, max_state_bytes=state_bytes)


def _report(
    predictions: Sequence[Prediction],
    facts: Sequence[int],
    num_layers: int,
    costs: PathCosts,
    num_too_long: int,
    static_path: LayerPath | None,
    menu: Sequence[LayerPath],
    chance: float | None,
) -> EvaluationReport:
    comparison = compare(
        [row.plain_reward >= 1 for row in predictions],
        [row.routed_reward >= 1 for row in predictions],
        facts,
    )
    lengths = tuple(len(row.layers) for row in predictions)
    layers_reading = sum(row.layers_reading for row in predictions) / len(predictions)
    layers_routed = sum(lengths) / len(lengths) + layers_reading
    plain_tokens = max(1, sum(row.plain_layer_tokens for row in predictions))
    routed_tokens = sum(row.routed_layer_tokens + row.reading_layer_tokens for row in predictions)
    routing_tokens = sum(row.routing_layer_tokens for row in predictions)
    identity = tuple(range(num_layers))
    plain_is_guessing = is_guessing(comparison.accuracy_plain_low, chance)
    plain_cannot = bool(plain_is_guessing) or comparison.accuracy_plain == 0
    effect = effect_of(comparison, num_layers, layers_routed, plain_cannot)
    return EvaluationReport(
        comparison=comparison,
        layers_plain=float(num_layers),
        layers_routed=layers_routed,
        layers_saved_share=1 - layers_routed / num_layers,
        layer_token_share=routed_tokens / plain_tokens,
        layer_token_share_with_routing=(routed_tokens + routing_tokens) / plain_tokens,
        routed_decisions=decision_counts(predictions, num_layers),
        layers_per_question=lengths,
        num_identity=sum(row.layers == identity for row in predictions),
        mean_confidence=sum(row.confidence for row in predictions) / len(predictions),
        num_failures=sum(bool(row.failure) for row in predictions),
        num_too_long=num_too_long,
        helps=effect is Effect.HELPS,
        effect=effect,
        chance=chance,
        plain_is_guessing=plain_is_guessing,
        num_cut_plain=_num_cut([row.plain_cut for row in predictions if not row.failure]),
        num_cut_routed=_num_cut([row.routed_cut for row in predictions if not row.failure]),
        layers_reading=layers_reading,
        static=None
        if static_path is None
        else static_figures(
            predictions, facts, static_path, costs.layers(static_path), plain_cannot
        ),
        oracle=oracle_figures(predictions, menu, num_layers, costs) if menu else None,
    )


def decision_counts(
    predictions: Sequence[Prediction], num_layers: int
) -> tuple[tuple[int, int, int], ...]:
    """For each layer, how many questions skip it, run it once, and run it more often."""
    counts: list[Counter[int]] = [Counter() for _ in range(num_layers)]
    for row in predictions:
        uses = Counter(row.layers)
        for layer in range(num_layers):
            counts[layer][min(uses[layer], REPEAT)] += 1
    return tuple((count[0], count[1], count[2]) for count in counts)


def _num_cut(cuts: Sequence[bool | None]) -> int | None:
    """How many answers were cut; ``None`` if that is not known of each, or there are none."""
    return None if not cuts or None in cuts else sum(map(bool, cuts))
