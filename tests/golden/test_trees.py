"""Whole searches on disk: a change of proposals, of their order or of counts shows here.

To accept an intended change: ``python tests/golden/test_trees.py`` rewrites the files; look
at the diff.
"""

import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest

from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tree.graph import GraphSearch, SearchGraph
from search_cluster.tree.presets.registry import PRESETS
from search_cluster.tree.settings import make_proposer

FOLDER = Path(__file__).parent / "trees"
NUM_LAYERS = 12
REWARDS = {
    "constant": lambda path: 1.0,
    "never": lambda path: 0.0,
    "hashed": lambda path: float(zlib.crc32(str(path).encode()) % 3 == 0),
}
TREES = [name for name, preset in PRESETS.items() if isinstance(preset.strategy, GraphSearch)]
# Baselines do not look at rewards, so one file each says all.
CASES = [
    (name, reward)
    for name in PRESETS
    if name != "credible"
    for reward in (REWARDS if name in TREES else ["never"])
]


def grow(preset_name: str, reward_name: str) -> dict[str, Any]:
    """A search of 12 layers after at most 60 answers in rounds of 4, with its graph's nodes."""
    reward = REWARDS[reward_name]
    identity = LayerPath.identity(NUM_LAYERS)
    proposer = make_proposer(identity, reward(identity), PRESETS[preset_name], random.Random(7))
    proposed: list[str] = []
    while round_paths := proposer.propose(min(4, 60 - len(proposed))):
        for path in round_paths:
            proposer.observe(path, reward(path))
        proposed += [str(path) for path in round_paths]
    if not isinstance(proposer, SearchGraph):
        return {"proposed": proposed}
    nodes = {
        str(node.path): [
            node.num_visits,
            node.num_own_visits,
            node.total_reward,
            [str(e.child.path) for e in node.edges],
        ]
        for node in proposer.nodes.values()
    }
    return {"proposed": proposed, "nodes": nodes}


def read(preset_name: str, reward_name: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((FOLDER / f"{preset_name}_{reward_name}.json").read_text())
    return golden


@pytest.mark.parametrize(("preset_name", "reward_name"), CASES)
def test_the_search_is_the_one_on_disk(preset_name: str, reward_name: str) -> None:
    assert grow(preset_name, reward_name) == read(preset_name, reward_name)


@pytest.mark.parametrize("reward_name", REWARDS)
@pytest.mark.parametrize("preset_name", TREES)
def test_the_graph_on_disk_keeps_the_limits_and_branches(
    preset_name: str, reward_name: str
) -> None:
    golden = read(preset_name, reward_name)
    paths = [parse_path(text, NUM_LAYERS) for text in golden["proposed"]]
    assert len(set(paths)) == 60
    strategy = PRESETS[preset_name].strategy
    assert isinstance(strategy, GraphSearch)
    assert all(strategy.space.limits.violation(path) is None for path in paths)
    assert sum(len(node[3]) > 1 for node in golden["nodes"].values()) >= 5


def test_no_file_is_left_over() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == {
        f"{name}_{reward}" for name, reward in CASES
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        (FOLDER / f"{case[0]}_{case[1]}.json").write_text(json.dumps(grow(*case), indent=0) + "\n")
