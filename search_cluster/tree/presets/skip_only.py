"""Half of Dr.LLM's moves, for ablation: skip one or two adjacent layers, never repeat."""

from dataclasses import replace

from search_cluster.paths.moves import SkipAdjacent
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.presets.drllm import DRLLM, LIMITS, STRATEGY

SKIP_ONLY = replace(
    DRLLM,
    name="skip-only",
    strategy=replace(STRATEGY, space=SearchSpace(moves=(SkipAdjacent(2),), limits=LIMITS)),
)
