"""Whole search graphs on disk: any change of what is proposed, in which order, with which counts, shows here.

To accept an intended change: ``python tests/golden/test_golden_trees.py`` rewrites the files; look at the diff.
"""

import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest

from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.graph import SearchGraph
from search_cluster.tree.presets.drllm import DRLLM

FOLDER = Path(__file__).parent
REWARDS = {
    "constant": lambda path: 1.0,
    "never": lambda path: 0.0,
    "hashed": lambda path: float(zlib.crc32(str(path).encode()) % 3 == 0),
}


def grow(reward_name: str) -> dict[str, Any]:
    """A graph of 12 layers after 60 answers in rounds of 4."""
    reward = REWARDS[reward_name]
    identity = LayerPath.identity(12)
    graph = SearchGraph(identity, reward(identity), DRLLM, random.Random(7))
    proposed: list[str] = []
    while len(proposed) < 60:
        round_paths = graph.propose(min(4, 60 - len(proposed)))
        for path in round_paths:
            graph.observe(path, reward(path))
        proposed += [str(path) for path in round_paths]
    nodes = {
        str(path): [node.num_visits, node.num_own_visits, node.total_reward, [str(e.child.path) for e in node.edges]]
        for path, node in graph.nodes.items()
    }
    return {"proposed": proposed, "nodes": nodes}


@pytest.mark.parametrize("reward_name", REWARDS)
def test_the_graph_is_the_one_on_disk(reward_name: str) -> None:
    golden = json.loads((FOLDER / f"tree_{reward_name}.json").read_text())
    assert grow(reward_name) == golden


@pytest.mark.parametrize("reward_name", REWARDS)
def test_the_graph_on_disk_keeps_the_limits_and_branches(reward_name: str) -> None:
    golden = json.loads((FOLDER / f"tree_{reward_name}.json").read_text())
    paths = [parse_path(text, 12) for text in golden["proposed"]]
    assert len(set(paths)) == 60
    assert all(DRLLM.space.limits.violation(path) is None for path in paths)
    assert sum(len(node[3]) > 1 for node in golden["nodes"].values()) >= 5


if __name__ == "__main__":
    for name in REWARDS:
        (FOLDER / f"tree_{name}.json").write_text(json.dumps(grow(name), indent=0) + "\n")
