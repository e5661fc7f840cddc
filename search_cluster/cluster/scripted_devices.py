"""Workers without a model: devices that take a stated time and answer by a script.

For measuring and testing everything around the devices: the actors speak as real workers do, wait
on a clock instead of computing, and keep account of when they were busy.
"""

import asyncio
import os
import platform
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import ray

from search_cluster.cluster.broken_actor import BrokenActor, this_node_id
from search_cluster.cluster.fleet_actors import other_nodes
from search_cluster.cluster.worker_fleet import JOIN_GRACE_S, WorkerFleet
from search_cluster.cluster.worker_handle import WorkerHandle
from search_cluster.errors import DeviceBrokenError
from search_cluster.identity import ModelIdentity
from search_cluster.protocols.counters import EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers.messages import BatchReport, WorkerInfo
from search_cluster.workers.wire import LinkIn, PackedBatch, PackedReport, pack_report

DEVICE = "scripted_device"
"""Ray's name of the resource that a node with such devices offers."""
TOKENS_PER_LAYER = 100


class Ailment(StrEnum):
    """What a scripted device suffers from."""

    BREAKS = "breaks"
    """It raises what a broken accelerator does, for ever: no process on it answers again."""
    HANGS = "hangs"
    """It answers nothing any more."""
    CRASHES = "crashes"
    """Its process ends without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFault:
    """When scripted devices suffer from something; the fields narrow it down together."""

    ailment: Ailment
    from_batch: int = 0
    """The first batch of a process that meets it."""
    slots: frozenset[int] | None = None
    """Which devices of the process; ``None``: all."""
    node_ids: frozenset[str] | None = None
    """Nodes, by Ray's names; ``None``: all."""
    is_lasting: bool = True
    """Whether processes suffer from it that take the place of an earlier one."""
    question: str | None = None
    """Only batches that ask this question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a batch takes: a constant for the batch, and a time for each of its paths."""

    batch_s: float
    path_s: float

    def seconds(self, num_paths: int) -> float:
        """How long a batch of so many paths takes."""
        return self.batch_s + num_paths * self.path_s

    def paths_per_s(self, num_paths: int) -> float:
        """What a device does that is never idle and gets batches of so many paths."""
        return num_paths / self.seconds(num_paths)


class ScriptedDevices:
    """Some devices of one node, as a Ray actor; an asyncio one, so that they wait at the same time.

    Args:
        pace: of each device.
        num_slots: how many devices.
        num_layers: depth that the devices claim of their model.
        fingerprint: of the model that they claim to hold.
        faults: what they suffer from.
    """

    def __init__(
        self,
        pace: Pace,
        num_slots: int,
        num_layers: int,
        fingerprint: str,
        faults: Sequence[DeviceFault] = (),
    ) -> None:
        self._pace = pace
        self._num_layers = num_layers
        self._fingerprint = fingerprint
        self._faults = faults
        self._num_batches = 0
        self._broken = BrokenActor()
        self._placed_s = time.monotonic()
        self._links = [LinkIn() for _ in range(num_slots)]
        self._free_at_s = [0.0] * num_slots
        self._busy_s = [0.0] * num_slots
        """Seconds of work that each was given, with what is planned until `_free_at_s`."""

    async def placed(self) -> str:
        """The machine's name."""
        return platform.node()

    async def info(self, slot: int) -> tuple[WorkerInfo, float]:
        """What a real worker says of itself, and for how long its device has been held."""
        if self._broken.is_ending:
            await self._broken.never()
        info = WorkerInfo(
            model=ModelIdentity(fingerprint=self._fingerprint),
            chat=False,
            num_layers=self._num_layers,
            dtype="float32",
            device="scripted",
            tie_threshold=0.0,
            node=platform.node(),
            node_id=this_node_id(),
            pid=os.getpid(),
        )
        return info, time.monotonic() - self._placed_s

    async def evaluate(self, slot: int, batch: PackedBatch) -> PackedReport:
        """Answer when the device would have: batches of one device follow each other.

        Raises:
            DeviceBrokenError: the device is broken; the process ends.
        """
        if self._broken.is_ending:
            await self._broken.never()
        requests = self._links[slot].unpack(batch)
        await self._suffer(slot, requests)
        duration_s = self._pace.seconds(len(requests))
        now_s = time.monotonic()
        self._free_at_s[slot] = max(now_s, self._free_at_s[slot]) + duration_s
        self._busy_s[slot] += duration_s
        report = pack_report(_report(requests, duration_s))
        await asyncio.sleep(self._free_at_s[slot] - time.monotonic())
        return report

    async def _suffer(self, slot: int, requests: Sequence[EvaluationRequest]) -> None:
        """Meet the faults of a batch."""
        number, self._num_batches = self._num_batches, self._num_batches + 1
        for fault in self._faults:
            if (
                number < fault.from_batch
                or (fault.slots is not None and slot not in fault.slots)
                or (fault.node_ids is not None and this_node_id() not in fault.node_ids)
                or (
                    not fault.is_lasting
                    and ray.get_runtime_context().was_current_actor_reconstructed
                )
                or (
                    fault.question is not None
                    and all(item.example.question != fault.question for item in requests)
                )
            ):
                continue
            if fault.ailment is Ailment.CRASHES:
                os._exit(1)
            if fault.ailment is Ailment.HANGS:
                await self._broken.never()
            error = DeviceBrokenError("device scripted is broken: CUDA error: scripted")
            raise self._broken.end(error)

    async def busy_s(self) -> float:
        """Seconds for which all devices together were busy until now."""
        now_s = time.monotonic()
        return sum(self._busy_s) - sum(max(0.0, free_s - now_s) for free_s in self._free_at_s)


def scripted_verdict(request: EvaluationRequest) -> Verdict:
    """The verdict that the script has: wrong, but for the whim of a hash of example and path."""
    path = request.path
    reward = float(
        zlib.crc32(bytes(path.layers), zlib.crc32(request.example.example_id.encode())) % 50 == 0
    )
    return Verdict(
        reward=reward,
        margin=None,
        output="right" if reward else "wrong",
        num_layer_tokens=len(path) * TOKENS_PER_LAYER,
    )


def _report(requests: Sequence[EvaluationRequest], duration_s: float) -> BatchReport:
    share_s = duration_s / max(1, len(requests))
    results = tuple(
        EvaluationResult(
            request_id=item.request_id, outcome=scripted_verdict(item), device_busy_s=share_s
        )
        for item in requests
    )
    return BatchReport(results=results, work=EngineWork())


def ask_for_scripted(
    pace: Pace,
    *,
    num_devices: int,
    slots_per_process: int = 32,
    num_layers: int = 28,
    fingerprint: str = "scripted",
    needs_device: bool = True,
    placement_timeout_s: float = 120.0,
    grace_s: float = JOIN_GRACE_S,
    faults: Sequence[DeviceFault] = (),
    room: Callable[[], int] | None = None,
) -> WorkerFleet:
    """Ask Ray for scripted workers.

    Args:
        pace: of each device.
        num_devices: how many workers.
        slots_per_process: devices in one actor.
        num_layers: depth that they claim of their model.
        fingerprint: of the model that they claim to hold.
        needs_device: whether each asks its node for one `DEVICE`.
        placement_timeout_s: how long to wait for the first one.
        grace_s: how long the first one waits for the others.
        faults: what the devices suffer from.
        room: as `WorkerFleet` takes it.
    """
    actor_class = ray.remote(ScriptedDevices)

    def make(worker: int, *, lasting: bool, avoid: Collection[str]) -> Any:
        first = worker // slots_per_process * slots_per_process
        num_slots = max(1, min(slots_per_process, num_devices - first))
        actor = actor_class.options(
            num_cpus=0,
            resources={DEVICE: num_slots} if needs_device else None,
            max_restarts=-1 if lasting else 0,
            label_selector=other_nodes(avoid),
            enable_task_events=False,
        )
        return actor.remote(pace, num_slots, num_layers, fingerprint, faults)

    workers = []
    for first in range(0, num_devices, slots_per_process):
        actor = make(first, lasting=True, avoid=())
        slots = range(min(slots_per_process, num_devices - first))
        workers += [WorkerHandle(number=first + slot, actor=actor, slot=slot) for slot in slots]
    return WorkerFleet(
        workers,
        needs=f"1 {DEVICE}" if needs_device else "nothing",
        resource=DEVICE if needs_device else None,
        placement_timeout_s=placement_timeout_s,
        grace_s=grace_s,
        make=make,
        room=room,
    )
