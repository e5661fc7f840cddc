"""PoLar, arXiv 2606.06574: disjoint segments of up to 4 layers, skipped or run up to 5 times."""

from math import sqrt

from search_cluster.paths.segments import RepeatSegment, SegmentLimits, SkipSegment
from search_cluster.paths.space import SearchSpace
from search_cluster.tree.graph import GraphSearch
from search_cluster.tree.scores import UcbScore, VisitTotal
from search_cluster.tree.settings import SearchPreset, StopRule
from search_cluster.tree.widening import PowerWidening

POLAR = SearchPreset(
    name="polar",
    strategy=GraphSearch(
        space=SearchSpace(
            moves=(SkipSegment(4), RepeatSegment(max_size=4, max_runs=5)),
            limits=SegmentLimits(max_size=4, max_runs=5),
            kinds_evenly=True,
        ),
        score=UcbScore(exploration=sqrt(2), length_penalty=5.0),
        widening=PowerWidening(scale=2.0, exponent=0.5),
        # These two are not in the paper, but in its published code.
        random_child_probability=0.1,
        visit_total=VisitTotal.ALL,
    ),
    budget=100,
    leaves_per_round=4,
    stop_rule=StopRule.BUDGET,
    num_best=5,
)
