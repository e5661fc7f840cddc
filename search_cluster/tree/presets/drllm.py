"""Dr.LLM, arXiv 2510.12773, section 4: skip one or two adjacent layers, or repeat a layer once."""

from search_cluster.paths.limits import PathLimits
from search_cluster.paths.moves import RepeatOnce, SkipAdjacent
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.graph import GraphSearch
from search_cluster.tree.scores import UcbScore, VisitTotal
from search_cluster.tree.settings import SearchPreset, StopRule
from search_cluster.tree.widening import PowerWidening

LIMITS = PathLimits(max_skipped_run=2, max_layer_uses=2, max_length_ratio=2.0, order_kept=True)

STRATEGY = GraphSearch(
    space=SearchSpace(moves=(SkipAdjacent(2), RepeatOnce()), limits=LIMITS),
    score=UcbScore(exploration=1.8, length_penalty=3.0),
    # The paper states no widening. One node of a 30-layer model has 89 children, more than a budget
    # of 50: without widening the graph would be a star. These are PoLar's published values.
    widening=PowerWidening(scale=2.0, exponent=0.5),
    random_child_probability=0.1,
    visit_total=VisitTotal.PARENT,
)

DRLLM = SearchPreset(
    name="drllm",
    strategy=STRATEGY,
    budget=50,
    leaves_per_round=4,
    stop_rule=StopRule.FIRST_IMPROVEMENT,
    num_best=5,
)
