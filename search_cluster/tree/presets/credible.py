"""The project's own preset: only paths that are credible count.

Paths that hold on many questions are tried on each. ``search-cluster bench search`` measures it
against the published presets.
"""

from search_cluster.tree.evidence import EvidenceRule, StudyPlan
from search_cluster.tree.menu import MenuSearch
from search_cluster.tree.settings import SearchPreset, StopRule

CREDIBLE = SearchPreset(
    name="credible",
    strategy=MenuSearch(),
    budget=50,
    leaves_per_round=4,
    stop_rule=StopRule.FIRST_IMPROVEMENT,
    num_best=5,
    evidence=EvidenceRule(num_guide=3, num_verify=3, max_probe_drop=0.04),
    study=StudyPlan(budget_share=0.66, max_evaluations=20_000, max_probes=384, max_menu=24),
)
