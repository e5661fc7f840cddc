"""The routed model against the plain one on the same questions: one answer each (top-1), graded by the task.

Neither choices' gold labels nor stored verdicts are used: both models answer every question.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from router_train.paired import SIGNIFICANCE, PairedComparison, compare
from router_train.predictions import Prediction, PredictionLog
from router_train.progress import track
from router_train.routed_model import RoutedModel
from search_cluster.errors import NonFiniteLogitsError, PromptTooLongError, TaskError
from search_cluster.model.loading import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import REPEAT, LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

HELPS_RULE = (
    "at least the plain accuracy, if that is above zero, with fewer layers, or a higher accuracy at any length with an "
    f"exact McNemar p below {SIGNIFICANCE:g}"
)
"""When a router counts as a help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """Numbers of one evaluation; field by field what ``router-train evaluate --json`` says."""

    comparison: PairedComparison
    layers_plain: float
    """Layers that the plain model runs per question."""
    layers_routed: float
    """Layers that the routed model runs per question, on average."""
    layer_token_share: float
    """(layer, token) applications of the routed answers over those of the plain ones, choosing the path not counted."""
    layer_token_share_with_routing: float
    """The same with the prompt pass in which the router chooses counted on top."""
    routed_decisions: tuple[tuple[int, int, int], ...]
    """Per layer how many questions skip, execute and repeat it. Shape ``[num_layers, 3]``."""
    layers_per_question: tuple[int, ...]
    """Routed path lengths in the order of the questions."""
    num_identity: int
    """Questions that the router sends down the plain path."""
    mean_confidence: float
    num_failures: int
    """Questions on which a model gave no finite answer; counted as wrong."""
    num_too_long: int
    """Questions that do not fit into the model's context; in no other number."""
    helps: bool
    """Whether `HELPS_RULE` holds."""


def evaluate(
    loaded: LoadedModel,
    routed_model: RoutedModel,
    task: Task,
    examples: Sequence[Example],
    log: PredictionLog,
) -> EvaluationReport:
    """Answers the examples that ``log`` does not know yet and compares all of them.

    Raises:
        TaskError: not one example fits into the model's context.
    """
    predictions: list[Prediction] = []
    num_too_long = 0
    for example in track(examples, "questions answered"):
        prediction = log.get(example.example_id)
        if prediction is None:
            try:
                prediction = _answer(loaded, routed_model, task, example)
            except PromptTooLongError:
                num_too_long += 1
                continue
            log.add(prediction)
        predictions.append(prediction)
    if not predictions:
        raise TaskError(
            f"none of {len(examples)} examples of {task.name} fits into the model's context; try another task"
        )
    return _report(predictions, loaded.num_layers, num_too_long)


def _answer(loaded: LoadedModel, routed_model: RoutedModel, task: Task, example: Example) -> Prediction:
    identity = LayerPath.identity(loaded.num_layers)
    plain, plain_failure = _verdict(loaded, task, example, identity)
    routed_path = routed_model.route_example(task, example)
    if routed_path.path.is_identity:
        routed, routed_failure = plain, plain_failure
    else:
        routed, routed_failure = _verdict(loaded, task, example, routed_path.path)
    return Prediction(
        example_id=example.example_id,
        plain_reward=plain.reward,
        plain_output=plain.output,
        plain_layer_tokens=plain.num_layer_tokens,
        routed_reward=routed.reward,
        routed_output=routed.output,
        routed_layer_tokens=routed.num_layer_tokens,
        routing_layer_tokens=routed_path.num_layer_tokens,
        layers=routed_path.path.layers,
        confidence=routed_path.confidence,
        num_fallbacks=routed_path.num_fallbacks,
        failure=plain_failure or routed_failure,
    )


def _verdict(loaded: LoadedModel, task: Task, example: Example, path: LayerPath) -> tuple[Verdict, str]:
    try:
        return evaluate_path(loaded, task, example, path), ""
    except NonFiniteLogitsError as error:
        return Verdict(reward=0.0, margin=None, output="", num_layer_tokens=0), f"path {path}: {error}"


def _report(predictions: Sequence[Prediction], num_layers: int, num_too_long: int) -> EvaluationReport:
    comparison = compare(
        [row.plain_reward >= 1 for row in predictions], [row.routed_reward >= 1 for row in predictions]
    )
    lengths = tuple(len(row.layers) for row in predictions)
    layers_routed = sum(lengths) / len(lengths)
    plain_tokens = max(1, sum(row.plain_layer_tokens for row in predictions))
    routed_tokens = sum(row.routed_layer_tokens for row in predictions)
    routing_tokens = sum(row.routing_layer_tokens for row in predictions)
    identity = tuple(range(num_layers))
    return EvaluationReport(
        comparison=comparison,
        layers_plain=float(num_layers),
        layers_routed=layers_routed,
        layer_token_share=routed_tokens / plain_tokens,
        layer_token_share_with_routing=(routed_tokens + routing_tokens) / plain_tokens,
        routed_decisions=decision_counts(predictions, num_layers),
        layers_per_question=lengths,
        num_identity=sum(row.layers == identity for row in predictions),
        mean_confidence=sum(row.confidence for row in predictions) / len(predictions),
        num_failures=sum(bool(row.failure) for row in predictions),
        num_too_long=num_too_long,
        helps=helps(comparison, float(num_layers), layers_routed),
    )


def decision_counts(predictions: Sequence[Prediction], num_layers: int) -> tuple[tuple[int, int, int], ...]:
    """Per layer the number of questions that skip it, run it once, and run it more often."""
    counts: list[Counter[int]] = [Counter() for _ in range(num_layers)]
    for row in predictions:
        uses = Counter(row.layers)
        for layer in range(num_layers):
            counts[layer][min(uses[layer], REPEAT)] += 1
    return tuple((count[0], count[1], count[2]) for count in counts)


def helps(comparison: PairedComparison, layers_plain: float, layers_routed: float) -> bool:
    """Whether the router is a help by `HELPS_RULE`."""
    gain = comparison.accuracy_routed - comparison.accuracy_plain
    saves = comparison.accuracy_plain > 0 and gain >= 0 and layers_routed < layers_plain
    return saves or (gain > 0 and comparison.p_value < SIGNIFICANCE)
