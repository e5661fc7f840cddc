"""Baseline: paths of Dr.LLM's space drawn blindly, a random number of random edits away from identity."""

from search_cluster.tree.presets.drllm import STRATEGY
from search_cluster.tree.sampling import RandomSearch
from search_cluster.tree.settings import SearchPreset, StopRule

RANDOM = SearchPreset(
    name="random",
    strategy=RandomSearch(space=STRATEGY.space, max_edits=10),
    budget=50,
    leaves_per_round=4,
    stop_rule=StopRule.BUDGET,
    num_best=5,
)
