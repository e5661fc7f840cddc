"""How fast the search core is without a model: proposals + observations per second on one core.

Compared in one run: the graph alone, and the coordinator over the scripted evaluator; memory per tree.
Prints one JSON line.
"""

import json
import random
import statistics
import time
import tracemalloc
import zlib

from search_cluster.evaluation.scripted import ScriptedEvaluator
from search_cluster.paths.layer_path import LayerPath
from search_cluster.search.coordinator import Coordinator
from search_cluster.tasks.example import Example
from search_cluster.tree.graph import SearchGraph
from search_cluster.tree.settings import DRLLM

NUM_LAYERS = 30
BUDGET = 50
ROUNDS = 5


def hashed_reward(path: LayerPath) -> float:
    """Wrong identity, wrong everywhere but for a hash's whim, so that searches spend their budget."""
    return float(zlib.crc32(str(path).encode()) % 50 == 0)


def grow_graph(seed: int) -> SearchGraph:
    """One graph, its whole budget spent."""
    graph = SearchGraph(LayerPath.identity(NUM_LAYERS), 0.0, DRLLM, random.Random(seed))
    left = BUDGET
    while left:
        paths = graph.propose(min(DRLLM.leaves_per_round, left))
        for path in paths:
            graph.observe(path, 0.0)
        left -= len(paths)
    return graph


def graph_ops_per_s() -> float:
    """Proposals + observations per second of bare graphs."""
    started_s = time.perf_counter()
    for seed in range(20):
        grow_graph(seed)
    return 2 * 20 * BUDGET / (time.perf_counter() - started_s)


def coordinator_ops_per_s() -> float:
    """Proposals + observations per second through the coordinator."""
    examples = [Example(task="t", question=str(i), gold="g", split="train", source="bench") for i in range(20)]
    evaluator = ScriptedEvaluator(lambda example, path: hashed_reward(path))
    coordinator = Coordinator(evaluator, examples, num_layers=NUM_LAYERS, preset=DRLLM, seed=0)
    started_s = time.perf_counter()
    for _ in coordinator.run():
        pass
    return 2 * coordinator.progress().num_paths_searched / (time.perf_counter() - started_s)


def bytes_per_tree() -> int:
    """Python memory of one graph after its budget."""
    tracemalloc.start()
    graph = grow_graph(0)
    current_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert graph.nodes
    return current_bytes


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "graph_ops_per_s": round(statistics.median(graph_ops_per_s() for _ in range(ROUNDS))),
                "coordinator_ops_per_s": round(statistics.median(coordinator_ops_per_s() for _ in range(ROUNDS))),
                "bytes_per_tree": bytes_per_tree(),
                "num_layers": NUM_LAYERS,
                "budget": BUDGET,
            }
        )
    )
