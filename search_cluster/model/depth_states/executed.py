"""Verdicts of executed paths on a study's questions, as plain arrays."""

from collections.abc import Sequence

import numpy as np

from search_cluster.model.depth_states.executed_answers import ExecutedAnswers
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict


def execute(
    executor: PathExecutor, examples: Sequence[Example], paths: Sequence[LayerPath]
) -> ExecutedAnswers:
    """What paths answer to questions.

    Args:
        executor: of the model and the task.
        examples: questions.
        paths: paths of the model.
    """
    requests = [(example, path) for example in examples for path in paths]
    outcomes = executor.evaluate(requests)
    shape = len(paths), len(examples)
    choice_PQ = np.full(shape, -1, dtype=np.int64)
    margin_PQ, reward_PQ = np.full(shape, np.nan), np.full(shape, np.nan)
    for place, outcome in enumerate(outcomes):
        at, example = (place % len(paths), place // len(paths)), requests[place][0]
        if not isinstance(outcome, Verdict):
            continue
        reward_PQ[at] = outcome.reward
        if outcome.margin is not None:
            margin_PQ[at] = outcome.margin
        if example.choices:
            choice_PQ[at] = example.choices.index(outcome.output)
    return ExecutedAnswers(choice_PQ=choice_PQ, margin_PQ=margin_PQ, reward_PQ=reward_PQ)
