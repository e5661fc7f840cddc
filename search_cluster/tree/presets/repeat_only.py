"""Half of Dr.LLM's moves, for ablation: repeat one layer once, never skip."""

from dataclasses import replace

from search_cluster.paths.moves import RepeatOnce
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.presets.drllm import DRLLM, LIMITS, STRATEGY

REPEAT_ONLY = replace(
    DRLLM,
    name="repeat-only",
    strategy=replace(STRATEGY, space=SearchSpace(moves=(RepeatOnce(),), limits=LIMITS)),
)
