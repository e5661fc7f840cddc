"""Searches on a real Ray with scripted devices, which start fast and answer at a stated pace."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext
from search_cluster.corpus.digest import corpus_digest
from search_cluster.corpus.record import ExampleRecord
from search_cluster.driver.job import SearchJob
from search_cluster.driver.partition import PartitionSetup
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts
from search_cluster.search.coordinator import Studied
from search_cluster.tasks.example import Example
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import StopRule

if TYPE_CHECKING:
    from search_cluster.cluster.coordinator_group import CoordinatorGroup
    from search_cluster.cluster.worker_fleet import WorkerFleet

NUM_LAYERS = 12
BUDGET = 30


def make_examples(count: int) -> list[Example]:
    return [
        Example(task="capitals", question=f"q{i}", gold="g", split="train", source="test")
        for i in range(count)
    ]


def make_job(run_dir: Path, redis_url: str = "none") -> SearchJob:
    context = VerdictContext(
        schema=CONTEXT_SCHEMA, model_fingerprint="scripted", task="capitals", task_version="1",
        decoding="scripted", tie_threshold=0.0, num_layers=NUM_LAYERS,
    )  # fmt: skip
    return SearchJob(
        task="capitals",
        pool=(),
        num_layers=NUM_LAYERS,
        preset=replace(get_preset("drllm"), stop_rule=StopRule.BUDGET, budget=BUDGET),
        seed=0,
        context=context,
        redis_url=redis_url,
        run_dir=run_dir,
        studied=Studied(),
    )


@dataclass(frozen=True)
class Outcome:
    """What a group delivered."""

    records: list[ExampleRecord]
    counts: SearchCounts
    stats: EvaluatorStats
    num_restarts: int

    @property
    def digest(self) -> str:
        return corpus_digest(self.records)


def start_group(
    factory: PartitionSetup,
    fleet: "WorkerFleet",
    examples: Sequence[Example],
    *,
    num_coordinators: int = 1,
    **settings: Any,
) -> "CoordinatorGroup":
    from search_cluster.cluster.coordinator_group import (
        CoordinatorGroup,
    )  # after Ray's environment was prepared

    info = fleet.wait()
    return CoordinatorGroup(
        factory,
        fleet=fleet,
        ready=fleet.ready(),
        examples=examples,
        num_coordinators=num_coordinators,
        num_layers=info.num_layers,
        **{"known": {}, "requests_per_batch": None, "timeout_s": 60.0, "silence_s": 60.0}
        | settings,
    )


def run_group(
    group: "CoordinatorGroup", watch: Callable[["CoordinatorGroup"], None] = lambda group: None
) -> Outcome:
    """Search to the end, with a look after each step."""
    records = []
    try:
        while group.busy:
            records += group.step()
            watch(group)
        return Outcome(records, group.counts, group.stats(), group.num_restarts)
    finally:
        group.close()
