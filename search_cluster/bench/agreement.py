"""Whether the engine's verdicts depend on their company, and how many are the plain model's.

A verdict is the engine's own row. The first question is one of yes or no: the same request alone,
in an engine that has seen no other, must give the same to the bit. The second is a measurement,
since plain transformers round otherwise.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from search_cluster.bench.config import EngineBenchConfig
from search_cluster.errors import SearchClusterError
from search_cluster.model.engine.alone import evaluate_alone
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

Pair = tuple[Example, LayerPath]
MAX_BATCH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What was compared, and what differed. The fields are keys of ``bench engine --json``."""

    verdicts: int
    """Verdicts that were given in random company, in batches of 1 to `MAX_BATCH`."""
    verdict_flips: int
    """Those of them that are not what the request gets alone: a reward, an output, a count or a bit
    of the margin differs."""
    references: int
    """Pairs that were compared with the materialised model."""
    materialised_agreement: float
    """The share of these with its reward, output and count."""
    max_margin_difference: float
    """The largest difference of margins where those are the same, in nats."""
    tie_rechecks: int
    """Verdicts in company that the engine had computed again by the materialised model."""
    recheck_seconds: float
    """The seconds that these took."""


def compare_verdicts(
    loaded: LoadedModel,
    task: Task,
    pairs: Sequence[Pair],
    config: EngineBenchConfig,
    rng: random.Random,
) -> Agreement:
    """Evaluate pairs in random company, each of them alone, and some of them without the engine."""
    asked: list[Pair] = []
    while len(asked) < config.num_verdicts:
        asked += rng.sample(pairs, min(len(pairs), config.num_verdicts - len(asked)))
    together = PathExecutor(loaded, task, max_state_bytes=config.state_bytes)
    outcomes: list[Outcome] = []
    while len(outcomes) < len(asked):
        size = round(2 ** rng.uniform(0, MAX_BATCH.bit_length() - 1))
        outcomes += together.evaluate(asked[len(outcomes) : len(outcomes) + size])
    distinct = {_key(pair): pair for pair in asked}
    alone = {key: evaluate_alone(loaded, task, *pair) for key, pair in distinct.items()}
    referred = list(distinct.items())[: config.num_references]
    num_same, worst = 0, 0.0
    for key, pair in referred:
        outcome, reference = alone[key], _reference(loaded, task, *pair)
        if not isinstance(outcome, Verdict) or not isinstance(reference, Verdict):
            num_same += type(outcome) is type(reference)
        elif _answer(outcome) == _answer(reference):
            num_same += 1
            if outcome.margin is not None and reference.margin is not None:
                worst = max(worst, abs(outcome.margin - reference.margin))
    return Agreement(
        verdicts=len(asked),
        verdict_flips=sum(
            not _is_same(outcome, alone[_key(pair)])
            for pair, outcome in zip(asked, outcomes, strict=True)
        ),
        references=len(referred),
        materialised_agreement=num_same / len(referred),
        max_margin_difference=worst,
        tie_rechecks=together.num_tie_rechecks,
        recheck_seconds=together.recheck_seconds,
    )


def _key(pair: Pair) -> tuple[str, LayerPath]:
    return pair[0].example_id, pair[1]


def _reference(loaded: LoadedModel, task: Task, example: Example, path: LayerPath) -> Outcome:
    try:
        return evaluate_path(loaded, task, example, path)
    except SearchClusterError as error:  # such as NaN on a ruinous path
        return error


def _is_same(one: Outcome, other: Outcome) -> bool:
    if isinstance(one, Verdict) or isinstance(other, Verdict):
        return one == other
    return (type(one), str(one)) == (type(other), str(other))


def _answer(verdict: Verdict) -> tuple[float, str, int]:
    return verdict.reward, verdict.output, verdict.num_layer_tokens
