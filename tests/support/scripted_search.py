"""Searches on a real Ray whose devices are scripted: they start fast and keep a stated pace."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import run_folders

from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.corpus.digest import corpus_digest
from search_cluster.corpus.encoded_shard import EncodedShard, Found, ShardSettings
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.shards import decode_records
from search_cluster.driver.job import Known, SearchJob
from search_cluster.driver.partition import PartitionSetup
from search_cluster.protocols.counters import EvaluatorStats, SearchCounts
from search_cluster.search.search_plan import Studied
from search_cluster.tasks.example import Example
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import StopRule

if TYPE_CHECKING:
    from search_cluster.cluster.coordinators.group import CoordinatorGroup
    from search_cluster.cluster.worker_fleet import WorkerFleet

NUM_LAYERS = 12
BUDGET = 30


PROVENANCE = replace(run_folders.PROVENANCE, num_layers=NUM_LAYERS, evidence="kept if any")


def records_of(found: Iterable[Found]) -> Iterator[ExampleRecord]:
    """The records that a step handed out, those in shards, too."""
    for item in found:
        if not isinstance(item, EncodedShard):
            yield item
        elif item.new:
            yield from decode_records(item.data)


def make_examples(count: int) -> list[Example]:
    return [
        Example(task="capitals", question=f"q{i}", gold="g", split="train", source="test")
        for i in range(count)
    ]


def make_job(run_dir: Path, redis_url: str = "none") -> SearchJob:
    context = VerdictContext(
        schema=CONTEXT_SCHEMA,
        model_fingerprint="scripted",
        task="capitals",
        task_version="1",
        decoding="scripted",
        tie_threshold=0.0,
        num_layers=NUM_LAYERS,
    )
    return SearchJob(
        task="capitals",
        pool=(),
        num_layers=NUM_LAYERS,
        preset=replace(get_preset("drllm"), stop_rule=StopRule.BUDGET, budget=BUDGET),
        seed=0,
        context=context,
        redis_url=redis_url,
        run_dir=run_dir,
        shards=ShardSettings(provenance=PROVENANCE),
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
    num_coordinators: int | None = 1,
    known: Known | None = None,
    **settings: Any,
) -> "CoordinatorGroup":
    """Start coordinators; the settings that a test does not give are those of a patient run."""
    from search_cluster.cluster.coordinators.group import (
        CoordinatorGroup,
    )  # after Ray's environment was prepared

    info = fleet.wait()
    return CoordinatorGroup(
        factory,
        fleet=fleet,
        ready=fleet.ready(),
        examples=examples,
        known=known or {},
        num_layers=info.num_layers,
        settings=CoordinatorSettings(
            num_coordinators=num_coordinators,
            **{"placement_timeout_s": 60.0, "coordinator_timeout_s": 60.0} | settings,
        ),
    )


def run_group(
    group: "CoordinatorGroup", watch: Callable[["CoordinatorGroup"], None] = lambda group: None
) -> Outcome:
    """Search to the end, with a look after each step."""
    records = []
    try:
        while group.busy:
            records += records_of(group.step())
            watch(group)
        return Outcome(records, group.counts, group.stats(), group.num_restarts)
    finally:
        group.close()
