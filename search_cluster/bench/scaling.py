"""``search-cluster bench scaling``: whether devices stay busy, and what a cluster of many needs.

Two parts. *Real*: one and two CPU evaluators of a real model, a thread each. *Scripted*: many
evaluators that wait on a clock, on a real Ray of several nodes on this machine; everything around
the devices is what a GPU cluster runs: the driver with its corpus writer, coordinators, a cache
server, batches over Ray. All figures are of a window in the middle of a search: the start and the
end of a run are not in it.

The pace of a scripted device is that of an A100 with a model of 7 billion weights, from NVIDIA's
published table for TensorRT-LLM 0.6.1 (docs/source/performance.md, A100 FP16, LLaMA 7B): 5,586
tokens/s where 384 requests with prompts of 128 tokens generate 128 tokens each, so 22.9 ms a path;
and 8.2 ms for a batch, which is what remains of the first token's latency (16 ms after 128 tokens,
133 ms after 2,048) for a prompt of no length.
"""

import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from search_cluster.bench.config import ScalingBenchConfig
from search_cluster.bench.window import MAX_WARM_UP_S, Window, measure_window
from search_cluster.cluster.coordinators.settings import WORKERS_PER_COORDINATOR
from search_cluster.machine import usable_cpus
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.selection import select_examples
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import SearchPreset, StopRule
from search_cluster.workers.messages import WorkerSpec

if TYPE_CHECKING:
    from search_cluster.cluster.scripted_devices import Pace

FAST_PATH_S = 0.001
"""The pace of devices that ask more of one coordinator than it can do."""
FAST_DEVICES = 16
FLEETS = (64, 256, 1_000, 10_000)
"""Numbers of devices for which the costs per verdict say what share of them would be fed."""
NUM_NODES = 2
"""The number of nodes beside the head."""
NUM_LAYERS = 32
BUDGET = 20
"""Paths per question: fewer than a search for real, so that the driver gets more records for its
verdicts, not less."""
REAL_WINDOW_FACTOR = 2
"""Real batches take about a second, so a window must hold many."""
REAL_ROUNDS = 3
"""One worker, two workers, and again: a machine's pace drifts. Medians count."""
MAX_PATHS_PER_S = 15_000
"""More than this machine can do, whatever the devices could: bounds how many questions are made
up."""
QUESTION = "Which of these is the one that the text about the matter speaks of? " * 4
"""As long as a real question: it travels to evaluators, and into the corpus."""


def bench_scaling(config: ScalingBenchConfig, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark that the module describes.

    Args:
        config: the settings.
        say: takes a line for people now and then.

    Raises:
        SearchClusterError: no such model, no cluster.
    """
    from search_cluster.cluster.environment import prepare_ray_environment

    prepare_ray_environment("local")
    result: dict[str, Any] = {
        "cores": os.cpu_count(),
        "usable_cores": usable_cpus(),
        "two_workers_speedup": None,
    }
    if config.real:
        result |= _real_part(config, say)
    return result | _scripted_part(config, say)


def _real_part(config: ScalingBenchConfig, say: Callable[[str], None]) -> dict[str, Any]:
    from search_cluster.cluster.ray_pool import ask_for_workers
    from search_cluster.cluster.session import connect_ray, disconnect_ray

    spec = WorkerSpec(
        model=config.model,
        dtype="auto",
        device="cpu",
        revision=None,
        trust_remote_code=False,
        chat="auto",
        task="capitals",
        num_threads=1,
    )
    examples = select_examples(get_task(spec.task).load("train", None).examples, None, 0)
    connect_ray("local", min_cpus=2)
    rates: dict[int, list[float]] = {1: [], 2: []}
    try:
        for _ in range(REAL_ROUNDS):
            for num_workers, found in rates.items():
                window = measure_window(
                    ask_for_workers(spec, num_workers=num_workers),
                    examples,
                    preset=_preset(),
                    num_workers=num_workers,
                    num_coordinators=1,
                    requests_per_batch=None,
                    seconds=REAL_WINDOW_FACTOR * config.seconds,
                )
                found.append(window.num_verdicts / window.seconds)
                busy = window.busy_s / (num_workers * window.seconds)
                say(f"{num_workers} real: {found[-1]:.1f} paths/s, busy {busy:.3f}")
    finally:
        disconnect_ray()
    return real_figures(rates)


def real_figures(rates: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """Medians over rounds, the speed-up that these medians give, and how far rounds differ.

    Args:
        rates: paths per second of one and of two workers, a figure for each round.
    """
    one, two = rates.values()
    quotients = [faster / slower for slower, faster in zip(one, two, strict=True)]
    return {
        "real_paths_per_s": {
            str(count): round(statistics.median(found), 2) for count, found in rates.items()
        },
        "real_paths_per_s_rounds": {
            str(count): [round(rate, 2) for rate in found] for count, found in rates.items()
        },
        "two_workers_speedup": round(statistics.median(two) / statistics.median(one), 3),
        "two_workers_speedup_min": round(min(quotients), 3),
        "two_workers_speedup_max": round(max(quotients), 3),
    }


def _scripted_part(config: ScalingBenchConfig, say: Callable[[str], None]) -> dict[str, Any]:
    from search_cluster.cluster.scripted_devices import Pace, ask_for_scripted
    from search_cluster.cluster.simulated import simulated_cluster

    pace = Pace(batch_s=config.batch_s, path_s=config.path_s)
    fast = Pace(batch_s=config.batch_s, path_s=FAST_PATH_S)
    cells: dict[str, Any] = {}
    windows: dict[int, Window] = {}
    per_node = math.ceil(max(*config.workers, FAST_DEVICES) / NUM_NODES)
    with simulated_cluster([per_node] * NUM_NODES):
        for num_workers in config.workers:
            num_coordinators = math.ceil(num_workers / WORKERS_PER_COORDINATOR)
            fleet = ask_for_scripted(
                pace,
                num_devices=num_workers,
                num_layers=NUM_LAYERS,
                slots_per_process=_slots(num_workers),
            )
            window = measure_window(
                fleet,
                _examples(num_workers, pace, config.seconds),
                preset=_preset(),
                num_workers=num_workers,
                num_coordinators=num_coordinators,
                requests_per_batch=config.requests_per_batch,
                seconds=config.seconds,
            )
            best_per_s = num_workers * pace.paths_per_s(config.requests_per_batch)
            windows[num_workers] = window
            cells[str(num_workers)] = _cell(window, num_workers, num_coordinators) | {
                "fleet_share": round(window.num_verdicts / window.seconds / best_per_s, 4)
            }
            say(f"{num_workers} scripted: {cells[str(num_workers)]}")
        fleet = ask_for_scripted(
            fast,
            num_devices=FAST_DEVICES,
            num_layers=NUM_LAYERS,
            slots_per_process=_slots(FAST_DEVICES),
        )
        full = measure_window(
            fleet,
            _examples(FAST_DEVICES, fast, config.seconds),
            preset=_preset(),
            num_workers=FAST_DEVICES,
            num_coordinators=1,
            requests_per_batch=config.requests_per_batch,
            seconds=config.seconds,
        )
        say(f"one coordinator, more devices than it can feed: {_cell(full, FAST_DEVICES, 1)}")
    return {
        "pace": {
            "batch_s": config.batch_s,
            "path_s": round(config.path_s, 6),
            "paths_per_s": round(pace.paths_per_s(config.requests_per_batch), 1),
            "requests_per_batch": config.requests_per_batch,
            "nodes": NUM_NODES + 1,
        },
        "busy_share": {count: cell["busy_share"] for count, cell in cells.items()},
        "paths_per_s": {count: cell["paths_per_s"] for count, cell in cells.items()},
        "fleet_share": {count: cell["fleet_share"] for count, cell in cells.items()},
        "cells": cells,
        "verdicts_per_s_per_coordinator": round(full.num_verdicts / full.seconds),
        "full_coordinator": _cell(full, FAST_DEVICES, 1),
    } | _outlook(full, windows[max(windows)], pace.paths_per_s(config.requests_per_batch))


def _slots(num_devices: int) -> int:
    """Devices in one process: at least one process on each node."""
    return max(1, min(32, num_devices // NUM_NODES))


def _cell(window: Window, num_workers: int, num_coordinators: int) -> dict[str, Any]:
    def micros(cpu_s: float) -> float:
        return round(1e6 * _per_verdict_s(window, cpu_s), 2)

    return {
        "coordinators": num_coordinators,
        "busy_share": round(window.busy_s / (num_workers * window.seconds), 4),
        "paths_per_s": round(window.num_verdicts / window.seconds, 1),
        "cpu_micros_per_verdict": {
            "coordinators": micros(window.coordinators_cpu_s),
            "driver": micros(window.driver_cpu_s),
            "cache_server": micros(window.cache_cpu_s),
        },
        "machine_cpu_share": round(
            window.machine_cpu_s / (window.seconds * (os.cpu_count() or 1)), 3
        ),
    }


def _outlook(full: Window, fleet: Window, device_paths_per_s: float) -> dict[str, Any]:
    """What the processor time of each part means for a cluster where each has its own core.

    Args:
        full: of a coordinator that does all it can.
        fleet: of the largest fleet. A coordinator's reports cost the driver as much there, and
            bring fewer verdicts.
        device_paths_per_s: what a device does.
    """
    per_verdict_s = {
        "driver": max(_per_verdict_s(window, window.driver_cpu_s) for window in (full, fleet)),
        "cache server": _per_verdict_s(full, full.cache_cpu_s),
    }
    gpus = {
        part: math.floor(1 / (cost_s * device_paths_per_s))
        for part, cost_s in per_verdict_s.items()
        if cost_s
    }
    coordinator_per_s = max(1.0, full.num_verdicts / full.seconds)
    first = min(gpus, key=lambda part: gpus[part]) if gpus else ""
    num_full = min(gpus.values(), default=0)
    needed = math.ceil(1000 * device_paths_per_s / coordinator_per_s)
    return {
        "coordinators_per_100_gpus": math.ceil(100 * device_paths_per_s / coordinator_per_s),
        "fleet_share_expected": {
            str(count): round(min(1.0, num_full / count), 3) for count in FLEETS
        },
        "fleet_share_rule": (
            "the devices that the fuller of driver and cache server can feed / the devices, 1 at "
            "most; coordinators are as many as it takes, each on a core of its own"
        ),
        "gpus_per_driver_core": gpus.get("driver"),
        "gpus_per_cache_server_core": gpus.get("cache server"),
        "limit_at_1000_gpus": (
            f"the {first}, of which there is one: its core is full at {gpus[first]:,} such "
            f"devices; coordinators are not: {needed} of them drive 1,000"
            if first
            else ""
        ),
    }


def _per_verdict_s(window: Window, cpu_s: float) -> float:
    return cpu_s / max(1, window.num_verdicts)


def _examples(num_workers: int, pace: "Pace", seconds: float) -> tuple[Example, ...]:
    """Enough that none is short before the window ends."""
    budget = _preset().budget
    paths_per_s = min(MAX_PATHS_PER_S, num_workers / pace.path_s)
    paths = paths_per_s * (seconds + MAX_WARM_UP_S) + 1000 * num_workers
    count = math.ceil(paths / budget)
    return tuple(
        Example(
            task="capitals",
            question=f"{number}. {QUESTION}",
            gold="g",
            split="train",
            source="bench",
        )
        for number in range(count)
    )


def _preset() -> SearchPreset:
    return replace(get_preset("drllm"), stop_rule=StopRule.BUDGET, budget=BUDGET)
