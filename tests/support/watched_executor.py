"""An engine that keeps the logits it reads, and what its outcomes are held against."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.ties import TIE, smallest_lead
from torch import Tensor

from search_cluster.model.engine import executor as executor_module
from search_cluster.model.engine.alone import evaluate_alone
from search_cluster.model.engine.answers import RowReading
from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.engine.reading import read_logits
from search_cluster.model.loaded import LoadedModel
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task
from search_cluster.tasks.verdict import Verdict

Request = tuple[Example, LayerPath]

Logits = dict[tuple[str, LayerPath, tuple[int, tuple[int, ...]]], Tensor]
"""By example, path and place: the context's row (the last one, behind it), and the tokens behind
the context. Rows of a tree are numbered as they come, so a number says nothing."""


class WatchedExecutor(PathExecutor):
    """Keeps the logits that it reads."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.logits: Logits = {}

    def _read(self, jobs: Sequence[Any]) -> Any:
        seen: list[Tensor] = []

        def keeping(logits_RV: Tensor, asked: Sequence[Sequence[int]]) -> list[RowReading]:
            seen.extend(logits_RV[: len(asked)].clone())
            return read_logits(logits_RV, asked)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(executor_module, "read_logits", keeping)
            readings = super()._read(jobs)
        asked = [(job, row) for job in jobs for row in job.asked]
        for (job, row), logits_V in zip(asked, seen, strict=True):
            tree = job.known.trie.token_tree
            tokens = tuple(tree.tokens[past] for past in tree.branch(row))
            place = (min(row, tree.last_context_row), tokens)
            key = (job.example.example_id, job.path, place)
            known = self.logits.setdefault(key, logits_V)
            assert torch.equal(known, logits_V), "the same row was read twice and differed"
        return readings


def outcome_alone(loaded: LoadedModel, task: Task, request: Request) -> tuple[Outcome, Logits]:
    """What an engine says that has seen nothing else."""
    executor = WatchedExecutor(loaded, task)
    assert executor.arithmetic.is_invariant
    (outcome,) = executor.evaluate([request])
    assert executor.num_tie_rechecks == 0
    return outcome, executor.logits


def assert_same_bits(got: Logits, expected: Logits) -> None:
    """Places that both have read have the same logits, and there are some."""
    both = got.keys() & expected.keys()
    assert both
    for key in both:
        assert torch.equal(got[key], expected[key]), f"{key[1]} {key[2]}"


def assert_as_alone_in_company(
    loaded: LoadedModel,
    task: Task,
    requests: Sequence[Request],
    asked: Sequence[Request],
    limits: Sequence[tuple[int, int]],
) -> None:
    """Outcomes and logits of some requests are the same among others.

    Args:
        loaded: the model.
        task: how to ask.
        requests: the company.
        asked: those that are compared.
        limits: bytes of states and rows of a call, of one engine each. Little memory lets states
            be dropped and computed again.
    """
    alone = [outcome_alone(loaded, task, request) for request in asked]
    for state_bytes, call_rows in limits:
        executor = WatchedExecutor(
            loaded, task, max_state_bytes=state_bytes, max_call_rows=call_rows
        )
        batch = [*requests, *asked]
        random.Random(state_bytes).shuffle(batch)
        outcomes = dict(zip(batch, executor.evaluate(batch), strict=True))
        for request, (expected, logits) in zip(asked, alone, strict=True):
            assert outcomes[request] == expected
            assert_same_bits(executor.logits, logits)
        assert executor.num_tie_rechecks == 0


def assert_materialised(
    loaded: LoadedModel, task: Task, request: Request, outcome: Outcome
) -> bool:
    """The verdict is the materialised model's; whether both have a margin.

    The two add up in different orders. Where the materialised model is itself undecided to the
    last bits, another verdict is right if it is the one that an engine gives which sees nothing
    else.
    """
    example, path = request
    reference = evaluate_path(loaded, task, example, path)
    assert isinstance(outcome, Verdict), outcome
    if replace(outcome, margin=None) != replace(reference, margin=None):
        assert smallest_lead(loaded, task, example, path) < TIE, f"{path}: {outcome} != {reference}"
        assert outcome == evaluate_alone(loaded, task, example, path), str(path)
        return False
    assert (outcome.margin is None) == (reference.margin is None)
    if outcome.margin is None or reference.margin is None:
        return False
    assert outcome.margin == pytest.approx(reference.margin, abs=1e-3), str(path)
    return True
