"""What happens between two moments of one search, from the driver to the devices."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext
from search_cluster.cache.open import EMBEDDED_FOLDER
from search_cluster.cache.server.embedded import EmbeddedServer
from search_cluster.cluster.coordinators.settings import CoordinatorSettings
from search_cluster.corpus.encoded_shard import EncodedShard, ShardSettings
from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.driver.job import SearchJob
from search_cluster.driver.partition import PartitionSetup
from search_cluster.errors import EvaluatorError
from search_cluster.search.search_plan import Studied
from search_cluster.tasks.example import Example
from search_cluster.tree.settings import SearchPreset
from search_cluster.workers.messages import WorkerInfo

if TYPE_CHECKING:
    from search_cluster.cluster.coordinators.group import CoordinatorGroup
    from search_cluster.cluster.worker_fleet import WorkerFleet

WARM_UP_S, MAX_WARM_UP_S = 4.0, 45.0
"""At least and at most; in between, it is over when so many examples have ended that records flow
steadily."""
ENDED_PER_WORKER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What was measured between two moments of one search."""

    seconds: float
    num_verdicts: int
    busy_s: float
    """The busy seconds of all devices together."""
    driver_cpu_s: float
    coordinators_cpu_s: float
    cache_cpu_s: float
    machine_cpu_s: float
    """The CPU seconds of all that ran on this machine, others' programs included."""

    def since(self, before: "Window") -> "Window":
        """What both say of totals, less what there was before."""
        return Window(
            **{
                item.name: getattr(self, item.name) - getattr(before, item.name)
                for item in fields(self)
            }
        )


def measure_window(
    fleet: "WorkerFleet",
    examples: Sequence[Example],
    *,
    preset: SearchPreset,
    num_workers: int,
    num_coordinators: int,
    requests_per_batch: int | None,
    seconds: float,
) -> Window:
    """Search until the window is over, with a real cache server and a corpus that is thrown away.

    Args:
        fleet: the devices; closed at the end.
        examples: examples of any task, so many that they last until the window ends.
        preset: the preset to search with.
        num_workers: devices to wait for before the window begins.
        num_coordinators: the number of coordinators that drive them.
        requests_per_batch: ``None``: as many as each device likes.
        seconds: the length of the window.

    Raises:
        EvaluatorError: the search ended before the window did, or devices failed.
    """
    from search_cluster.cluster.coordinators.group import CoordinatorGroup

    with ExitStack() as stack:
        stack.callback(fleet.close)
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lps-bench-")))
        info = fleet.wait()
        job = _job(info, run_dir, preset, examples[0].task)
        server = stack.enter_context(EmbeddedServer(run_dir / EMBEDDED_FOLDER))
        writer = stack.enter_context(CorpusWriter(run_dir, job.shards.provenance))
        group = CoordinatorGroup(
            PartitionSetup(job=replace(job, redis_url=server.url)),
            fleet=fleet,
            ready=fleet.ready(),
            examples=examples,
            known={},
            num_layers=info.num_layers,
            settings=CoordinatorSettings(
                num_coordinators=num_coordinators,
                requests_per_batch=requests_per_batch,
                placement_timeout_s=300.0,
                coordinator_timeout_s=300.0,
            ),
        )
        stack.callback(group.close)
        _run(
            group,
            writer,
            lambda: (
                group.stats().num_devices >= num_workers and group.counts.num_paths_searched > 0
            ),
        )
        warm_s = time.monotonic() + WARM_UP_S
        _run(group, writer, lambda: time.monotonic() >= warm_s)
        give_up_s = warm_s - WARM_UP_S + MAX_WARM_UP_S
        enough = ENDED_PER_WORKER * num_workers
        _run(group, writer, lambda: group.num_ended >= enough or time.monotonic() >= give_up_s)
        before = _snapshot(group, fleet)
        end_s = time.monotonic() + seconds
        _run(group, writer, lambda: time.monotonic() >= end_s)
        if not group.busy:
            raise EvaluatorError(
                "the search ended before the measurement did; measure for fewer --seconds"
            )
        after = _snapshot(group, fleet)
    return after.since(before)


def _run(group: "CoordinatorGroup", writer: CorpusWriter, until: Callable[[], bool]) -> None:
    while group.busy and not until():
        for found in group.step():
            if isinstance(found, EncodedShard):
                writer.add_shard(found)
            else:
                writer.add(found)


def _snapshot(group: "CoordinatorGroup", fleet: "WorkerFleet") -> Window:
    """Totals at this moment."""
    stats = group.stats()
    device_busy_s = fleet.busy_s()
    machine = psutil.cpu_times()
    return Window(
        seconds=time.monotonic(),
        num_verdicts=group.counts.num_paths_searched,  # told in every report, unlike the counters
        busy_s=stats.device_busy_s if device_busy_s is None else device_busy_s,
        driver_cpu_s=time.process_time(),
        coordinators_cpu_s=sum(_cpu_s(pid) for pid in group.pids()),
        cache_cpu_s=sum(
            _cpu_s(child.pid)
            for child in psutil.Process().children(recursive=True)
            if _serves(child)
        ),
        machine_cpu_s=machine.user + machine.system + machine.nice,
    )


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _serves(process: psutil.Process) -> bool:
    """Whether a process is a cache server."""
    try:
        return str(process.name()).startswith(("valkey", "redis"))
    except psutil.NoSuchProcess:
        return False


def _job(info: WorkerInfo, run_dir: Path, preset: SearchPreset, task: str) -> SearchJob:
    context = VerdictContext(
        schema=CONTEXT_SCHEMA,
        model_fingerprint=info.model_fingerprint,
        task=task,
        task_version="bench",
        decoding="bench",
        tie_threshold=info.tie_threshold,
        num_layers=info.num_layers,
    )
    return SearchJob(
        task=task,
        pool=(),
        num_layers=info.num_layers,
        preset=preset,
        seed=0,
        context=context,
        redis_url="none",
        run_dir=run_dir,
        shards=ShardSettings(provenance=_provenance(context, preset, task)),
        studied=Studied(),
    )


def _provenance(context: VerdictContext, preset: SearchPreset, task: str) -> Provenance:
    return Provenance(
        model_spec="bench",
        model_fingerprint=context.model_fingerprint,
        num_layers=context.num_layers,
        dtype="float32",
        task=task,
        task_version="bench",
        split="train",
        preset=preset.name,
        seed=0,
        budget=preset.budget,
        leaves_per_round=preset.leaves_per_round,
        visit_total=None,
        evidence="",
        limit=None,
        verdict_context=context.namespace,
        versions={},
        created_at="bench",
    )
