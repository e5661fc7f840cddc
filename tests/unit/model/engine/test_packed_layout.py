"""Calls without fillers compute what filled up calls do, on every family that has a kernel."""

import random
from dataclasses import replace

import pytest
import torch
from support import tiny
from support.model_doubles import loaded_tiny
from support.packed import run_packed
from support.watched_executor import WatchedExecutor

from search_cluster.model.engine.calls.call_plan import Layout
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict

FAMILIES = [family for family in tiny.FAMILIES if family != "gemma2"]
"""All but the one whose scores have a soft cap."""


@pytest.mark.parametrize("task_name", ["capitals", "arithmetic"])
@pytest.mark.parametrize("family", FAMILIES)
def test_verdicts_and_logits_are_those_of_the_padded_layout(
    family: str, task_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, task, rng = loaded_tiny(family=family), get_task(task_name), random.Random(family)
    paths = [LayerPath(tuple(rng.choices(range(6), k=rng.randint(1, 8))), 6) for _ in range(5)]
    paths.append(LayerPath(paths[0].layers[:1] + paths[1].layers, 6))
    examples = task.load("train", None).examples[:3]
    pairs = [(example, path) for example in examples for path in paths]
    executors = [WatchedExecutor(loaded, task, max_call_rows=150)]
    assert executors[0].arithmetic.layout is Layout.PADDED
    run_packed(monkeypatch)
    executors.append(WatchedExecutor(loaded, task, max_call_rows=150))
    assert executors[1].arithmetic.layout is Layout.PACKED
    outcomes = [executor.evaluate(pairs) for executor in executors]
    for theirs, ours in zip(*outcomes, strict=True):
        assert isinstance(ours, Verdict)
        assert isinstance(theirs, Verdict)
        assert replace(ours, margin=None) == replace(theirs, margin=None)
        if ours.margin is not None:
            assert ours.margin == pytest.approx(theirs.margin, abs=1e-3)
    others, logits = (executor.logits for executor in executors)
    assert logits.keys() == others.keys()
    for place, logits_V in logits.items():
        torch.testing.assert_close(logits_V, others[place], rtol=1e-4, atol=1e-4)
