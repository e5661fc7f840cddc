"""Ablations: each half of Dr.LLM's moves on its own."""

from dataclasses import replace

from search_cluster.paths.moves import RepeatOnce, SkipAdjacent
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.presets.drllm import DRLLM, LIMITS, STRATEGY

SKIP_ONLY = replace(
    DRLLM,
    name="skip-only",
    strategy=replace(STRATEGY, space=SearchSpace(moves=(SkipAdjacent(2),), limits=LIMITS)),
)
"""Skips one or two adjacent layers, never repeats."""

REPEAT_ONLY = replace(
    DRLLM,
    name="repeat-only",
    strategy=replace(STRATEGY, space=SearchSpace(moves=(RepeatOnce(),), limits=LIMITS)),
)
"""Repeats one layer once, never skips."""
