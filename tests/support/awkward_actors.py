"""Actors that misbehave.

Those that use them pickle them by value: Ray's processes don't find this module.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from search_cluster.cluster.coordinators.messages import Lease
from search_cluster.cluster.coordinators.partition import Partition
from search_cluster.cluster.scripted_devices import Pace, ScriptedDevices
from search_cluster.driver.partition import PartitionSetup
from search_cluster.errors import CacheError
from search_cluster.protocols.evaluator import PathEvaluator
from search_cluster.workers.messages import WorkerInfo

POISON = "q2"


class PoisonPartition(Partition):
    def add(self, leases: Sequence[Lease]) -> None:
        if any(lease.example.question == POISON for lease in leases):
            os._exit(9)
        super().add(leases)


class PoisonSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> Partition:
        whole = super().build(evaluator, replacing=replacing)
        return PoisonPartition(
            coordinator=whole.coordinator,
            evaluator=whole.evaluator,
            shards=whole.shards,
            resources=whole.resources,
        )


class UnbuildableSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> Partition:
        raise MemoryError("no room for it")


class HangingSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> Partition:
        time.sleep(1000)
        raise AssertionError("the test has ended")


class CutOffSetup(PartitionSetup):
    def build(self, evaluator: PathEvaluator, *, replacing: bool) -> Partition:
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


class UnlikeDevices(LateDevices):
    """All but the first and the last have other kernels than these."""

    async def info(self, slot: int) -> tuple[WorkerInfo, float]:
        info, held_s = await super().info(slot)
        is_unlike = 0 < slot < len(self._links) - 1
        return replace(info, arithmetic="A100" if is_unlike else "H100"), held_s
