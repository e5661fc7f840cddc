"""Baselines for measurement: what Dr.LLM's published code does, and paths drawn blindly.

That code does something else than its paper says.
"""

from search_cluster.paths.block_moves import RepeatBlock, SkipBlock
from search_cluster.paths.limits import PathLimits
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.presets import drllm
from search_cluster.tree.sampling import ChainSearch, RandomSearch
from search_cluster.tree.settings import SearchPreset, StopRule

CHAIN = SearchPreset(
    name="chain",
    strategy=ChainSearch(
        space=SearchSpace(
            moves=(SkipBlock(2), RepeatBlock(max_size=1, max_more=1)),
            limits=PathLimits(
                max_skipped_run=None, max_layer_uses=None, max_length_ratio=2.0, order_kept=False
            ),
        )
    ),
    budget=50,
    leaves_per_round=4,
    stop_rule=StopRule.BUDGET,
    num_best=5,
)
"""The search of Dr.LLM's published code: a line of random edits.

Its edits work on places of the path, not on layers, and nothing but the length is limited, so a
layer may run many times and any number of neighbours may go. Its "repeat zero times", which changes
nothing, is left out: it would spend budget on paths that are known."""

RANDOM = SearchPreset(
    name="random",
    strategy=RandomSearch(space=drllm.STRATEGY.space, max_edits=10),
    budget=50,
    leaves_per_round=4,
    stop_rule=StopRule.BUDGET,
    num_best=5,
)
"""Paths of Dr.LLM's space, a random number of random edits away from identity."""
