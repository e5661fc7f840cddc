"""How questions are answered by the plain and by the routed model, and along paths beside them."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from router_train.evaluation.predictions import Prediction
from router_train.evaluation.verdict_db import PathAnswers
from router_train.inference.routed_model import RoutedModel
from router_train.routers.base import RoutedPath
from search_cluster.errors import NonFiniteLogitsError, PromptTooLongError, SearchClusterError
from search_cluster.faults import failed_evaluation
from search_cluster.model.bridge.bridges import path_costs
from search_cluster.model.engine.executor import Outcome
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.shortcut.shortcut import shortcut_cost
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict


class Answerer:
    """The two models at work: it routes questions and answers them along all paths."""

    def __init__(
        self,
        loaded: LoadedModel,
        routed_model: RoutedModel,
        task: Task,
        beside: Sequence[LayerPath],
        engine: PathAnswers,
        engine_beside: PathAnswers,
    ) -> None:
        self._routed_model, self._task, self._beside = routed_model, task, beside
        self._identity = LayerPath.identity(loaded.num_layers)
        self._engine, self._engine_beside = engine, engine_beside
        self._costs = path_costs(routed_model.running.model)

    def answer(self, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction per example that fits into the model's context.

        Raises:
            EvaluatorError: code that is not ours failed, such as the task's grader.
        """
        routed: list[tuple[Example, RoutedPath]] = []
        by_token: dict[str, _Answer] = {}
        for example in examples:
            with suppress(PromptTooLongError):
                if self._routed_model.stops_by_token(self._task):
                    choice, by_token[example.example_id] = self._by_token(example)
                else:
                    choice = self._routed_model.route_example(self._task, example)
                routed.append((example, choice))
        plain = [(example, self._identity) for example, _ in routed]
        own = [
            (example, choice.path)
            for example, choice in routed
            if example.example_id not in by_token
        ]
        beside = [(example, path) for example, _ in routed for path in self._beside]
        if self._routed_model.keeps_plain:
            own = [*plain, *own]
        else:
            beside = [*plain, *beside]
        if self._engine is self._engine_beside:  # what paths have in common is computed once
            answers = others = _answered(self._engine, [*own, *beside])
        else:
            answers = _answered(self._engine, own)
            others = _answered(self._engine_beside, beside)
        return [
            self._prediction(
                example,
                choice,
                answers[example.example_id],
                others.get(example.example_id, {}),
                by_token.get(example.example_id),
            )
            for example, choice in routed
        ]

    def _by_token(self, example: Example) -> tuple[RoutedPath, "_Answer"]:
        """An answer whose tokens stop by themselves, which is along no one path."""
        try:
            choice, verdict = self._routed_model.evaluate(self._task, example)
        except Exception as error:  # a logit that is no number, or code that is not ours
            choice = RoutedPath(
                path=self._identity, confidence=0.0, num_fallbacks=0, num_layer_tokens=0
            )
            return choice, _as_answer(example, self._identity, error)
        return choice, (verdict, "")

    def _prediction(
        self,
        example: Example,
        choice: RoutedPath,
        answers: Mapping[LayerPath, "_Answer"],
        others: Mapping[LayerPath, "_Answer"],
        by_token: "_Answer | None",
    ) -> Prediction:
        is_own = self._routed_model.keeps_plain
        plain, plain_failure = (answers if is_own else others)[self._identity]
        routed, routed_failure = by_token or answers[choice.path]
        # Every state of the answer crosses the bridges of its path, and carries what a shortcut
        # reads; tokens that stop by themselves have counted theirs.
        crossing = self._costs.crossing(choice.path) if by_token is None else 0.0
        crossing += shortcut_cost(self._routed_model.running.model, choice.path.layers)
        num_tokens = routed.num_layer_tokens / len(choice.path)
        return Prediction(
            example_id=example.example_id,
            plain_reward=plain.reward,
            plain_output=plain.output,
            plain_layer_tokens=plain.num_layer_tokens,
            routed_reward=routed.reward,
            routed_output=routed.output,
            routed_layer_tokens=routed.num_layer_tokens,
            routing_layer_tokens=choice.num_layer_tokens,
            layers=choice.path.layers,
            confidence=choice.confidence,
            num_fallbacks=choice.num_fallbacks,
            failure=plain_failure or routed_failure,
            reading_layer_tokens=choice.num_read_layer_tokens + crossing * num_tokens,
            others={str(path): others[path][0].reward for path in self._beside},
            plain_cut=plain.is_cut,
            routed_cut=routed.is_cut,
        )


_Answer = tuple[Verdict, str]
"""A path's verdict, and the error if it could not say anything."""


def _answered(
    engine: PathAnswers, requests: Sequence[tuple[Example, LayerPath]]
) -> dict[str, dict[LayerPath, _Answer]]:
    """The answers by example and path; a request that comes twice is asked once."""
    once = list(
        {(example.example_id, path): (example, path) for example, path in requests}.values()
    )
    answers: dict[str, dict[LayerPath, _Answer]] = {}
    for (example, path), outcome in zip(once, engine.evaluate(once), strict=True):
        answer = _as_answer(example, path, outcome)
        answers.setdefault(example.example_id, {})[path] = answer
    return answers


def _as_answer(example: Example, path: LayerPath, outcome: Outcome) -> _Answer:
    if isinstance(outcome, NonFiniteLogitsError):
        return Verdict(
            reward=0.0, margin=None, output="", num_layer_tokens=0
        ), f"path {path}: {outcome}"
    if isinstance(outcome, SearchClusterError):
        raise outcome
    if isinstance(outcome, Exception):
        raise failed_evaluation(example.example_id, str(path), outcome) from outcome
    return outcome, ""
