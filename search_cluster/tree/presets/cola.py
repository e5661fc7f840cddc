"""CoLa, arXiv 2507.07996, section 3: skip, or repeat, blocks of up to 4 places.

The product is the Pareto front. `COLA_REORDER` may also exchange neighbouring blocks. Every record
carries the front of (reward, length), so neither needs more than the whole budget.
"""

from dataclasses import replace

from search_cluster.paths.block_moves import RepeatBlock, SkipBlock, SwapBlocks
from search_cluster.paths.limits import PathLimits
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.graph import GraphSearch
from search_cluster.tree.scores import UcbScore, VisitTotal
from search_cluster.tree.settings import SearchPreset, StopRule
from search_cluster.tree.widening import PowerWidening

LIMITS = PathLimits(
    max_skipped_run=None, max_layer_uses=None, max_length_ratio=2.0, order_kept=False
)
MOVES = (SkipBlock(4), RepeatBlock(max_size=4, max_more=4))

STRATEGY = GraphSearch(
    space=SearchSpace(moves=MOVES, limits=LIMITS, kinds_evenly=True),
    # The paper leaves c open; this is Dr.LLM's, whose search grew out of CoLa's.
    score=UcbScore(exploration=1.8, length_penalty=5.0),
    # Neither does it state a widening: PoLar's, by the same authors.
    widening=PowerWidening(scale=2.0, exponent=0.5),
    random_child_probability=0.1,
    visit_total=VisitTotal.ALL,
)

COLA = SearchPreset(
    name="cola",
    strategy=STRATEGY,
    budget=200,
    leaves_per_round=4,
    stop_rule=StopRule.BUDGET,
    num_best=5,
)

COLA_REORDER = replace(
    COLA,
    name="cola-reorder",
    strategy=replace(
        STRATEGY, space=SearchSpace(moves=(*MOVES, SwapBlocks(4)), limits=LIMITS, kinds_evenly=True)
    ),
)
