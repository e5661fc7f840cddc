"""How fast the core of a search is by itself: the tree and its coordinator, without any model."""

import gc
import random
import time
from dataclasses import replace

from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.tasks.example import Example
from search_cluster.tree.settings import SearchPreset, StopRule

CORE_EXAMPLES = 100
"""The number of trees on which the core's speed is measured."""
CORE_LAYERS = 30


def core_ops_per_s(preset: SearchPreset) -> float:
    """Proposals and observations per second of CPU time of one core.

    They go through a coordinator and a scripted evaluator.
    """

    def questions(text: str, count: int) -> list[Example]:
        return [
            Example(
                task="core", question=f"{text} {number}", gold="g", split="train", source="bench"
            )
            for number in range(count)
        ]

    examples = questions("example", CORE_EXAMPLES)
    rng = random.Random(0)
    rewards = [float(rng.random() < 0.5) for _ in range(4096)]
    evaluator = ScriptedEvaluator(lambda example, path: rewards[hash(path.layers) % len(rewards)])
    searching = replace(preset, stop_rule=StopRule.BUDGET)
    coordinator = Coordinator(
        evaluator,
        examples,
        num_layers=CORE_LAYERS,
        preset=searching,
        seed=0,
        probes=questions("probe", CORE_EXAMPLES),
        perturb=lambda example, role, count: questions(f"{example.question} {role}", count),
    )
    gc.collect()
    gc.freeze()  # else one collection that walks all of torch takes longer than the search
    started_s = time.process_time()
    for _ in coordinator.run():
        pass
    took_s = time.process_time() - started_s
    gc.unfreeze()
    return 2 * coordinator.progress().num_paths_searched / took_s
