"""Perturbed questions in one batch with their originals: what the materialised model says."""

from pathlib import Path

import pytest
from support import tiny

from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.load.loading import load_model
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.perturbation.perturbations import (
    EvidenceRole,
    PerturbationKind,
    perturbations,
)
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict

PATHS = [
    LayerPath(layers, tiny.NUM_LAYERS)
    for layers in [(0, 1, 2, 3, 4, 5), (0, 1, 3, 4, 5), (0, 1, 2, 2, 4, 5)]
]


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "plain"])
@pytest.mark.parametrize("name", ["capitals", "arithmetic"])
def test_the_engine_agrees_on_perturbed_questions(name: str, chat: bool, tmp_path: Path) -> None:
    task, loaded = (
        get_task(name),
        load_model(str(tiny.save_tiny_model(tmp_path, chat=chat)), device="cpu"),
    )
    questions = task.load("test", None).examples
    derived = [
        item
        for example in questions[:3]
        for role in EvidenceRole
        for item in perturbations(task, example, questions, role=role, count=3, seed=0)
    ]
    assert PerturbationKind.WORDING in {item.kind for item in derived}
    pairs = [
        (example, path)
        for path in PATHS
        for example in (*questions[:3], *(item.example for item in derived))
    ]
    outcomes = PathExecutor(loaded, task, max_state_bytes=2**24).evaluate(pairs)
    for (example, path), outcome in zip(pairs, outcomes, strict=True):
        expected = evaluate_path(loaded, task, example, path)
        assert isinstance(outcome, Verdict)
        assert (outcome.reward, outcome.output) == (expected.reward, expected.output)
        assert outcome.num_layer_tokens == expected.num_layer_tokens
