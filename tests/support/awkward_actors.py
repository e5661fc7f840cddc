"""Actors that misbehave.

Who uses them pickles them by value: Ray's processes don't find this module.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from search_cluster.cluster.partition import Lease
from search_cluster.cluster.scripted_devices import Pace, ScriptedDevices
from search_cluster.driver.partition import PartitionSetup, SearchPartition
from search_cluster.errors import CacheError
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.workers.messages import WorkerInfo

POISON = "q2"


class PoisonShard(SearchPartition):
    def add(self, leases: Sequence[Lease]) -> None:
        if any(lease.example.question == POISON for lease in leases):
            os._exit(9)
        super().add(leases)


class PoisonSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> SearchPartition:
        return PoisonShard(self.job, evaluator, cache_may_be_lost=replacing)


class UnbuildableSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> SearchPartition:
        raise MemoryError("no room for it")


class HangingSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> SearchPartition:
        time.sleep(1000)
        raise AssertionError("the test has ended")


class CutOffSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> SearchPartition:
        raise CacheError("cache server can't be used from here")


class LateDevices(ScriptedDevices):
    """All but the first load their model until a file is there."""

    def __init__(self, pace: Pace, num_slots: int, num_layers: int, gate: Path) -> None:
        super().__init__(pace, num_slots, num_layers, "scripted")
        self._gate = gate

    async def info(self, slot: int) -> tuple[WorkerInfo, float]:
        while slot and not self._gate.exists():
            await asyncio.sleep(0.02)
        return await super().info(slot)
