"""The counters of a run in code and in JSON, whose keys users and older session files know."""

import json
from dataclasses import fields, replace

import pytest

from search_cluster.protocols.counters import (
    DeviceReading,
    EngineWork,
    EvaluatorStats,
    SearchProgress,
    WorkerStats,
)
from search_cluster.telemetry.run_counters import (
    JSON_KEYS,
    RunCounters,
    used_figures,
)

KEYS = [
    "examples_done",
    "examples_total",
    "paths_searched",
    "paths_evaluated",
    "cache_hits",
    "failures",
    "device_seconds",
    "device_busy_seconds",
    "paths_per_device_hour",
    "layer_tokens",
    "layer_runs",
    "tie_rechecks",
    "evictions",
    "workers",
    "worker_restarts",
    "coordinators",
    "coordinator_restarts",
    "cache_errors",
    "elapsed_seconds",
    "started_at",
    "cut_answers",
    "recheck_seconds",
    "study_budget",
    "layer_rows",
    "computed_flops",
    "available_flops",
]
"""As they always were, in this order."""

COUNTERS = RunCounters.of(
    SearchProgress(
        num_examples=40,
        num_examples_done=3,
        num_paths_searched=120,
        num_cache_hits=19,
        num_failures=1,
        num_coordinators=2,
        num_coordinator_restarts=1,
    ),
    EvaluatorStats(
        num_devices=4,
        num_evaluated=99,
        num_cache_hits=20,
        num_failures=5,
        device_held_s=60.0,
        device_busy_s=50.0,
        num_layer_tokens=7,
        num_worker_restarts=6,
        num_cache_errors=8,
        work=EngineWork(
            num_layer_runs=9,
            num_tie_rechecks=10,
            num_evictions=11,
            num_cut_answers=12,
            recheck_s=2.5,
            num_layer_rows=13,
            flops=3e9,
        ),
        workers=(
            WorkerStats(
                worker=0,
                node="n",
                device="cuda",
                device_held_s=20.0,
                reading=DeviceReading(peak_flops_per_s=1e9),
            ),
            WorkerStats(worker=1, node="n", device="cuda", device_held_s=40.0),
        ),
    ),
    elapsed_s=30.0,
    started_at="2026-01-01T00:00:00+00:00",
)


def test_the_json_form_has_the_keys_that_it_always_had() -> None:
    assert list(COUNTERS.to_json()) == KEYS
    assert {item.name for item in fields(RunCounters)} == JSON_KEYS.keys() - {
        "paths_per_device_hour"
    }
    assert list(COUNTERS.to_json().values()) == [
        3,
        40,
        120,
        99,
        20,
        1,
        60.0,
        50.0,
        7200.0,
        7,
        9,
        10,
        11,
        4,
        6,
        2,
        1,
        8,
        30.0,
        "2026-01-01T00:00:00+00:00",
        12,
        2.5,
        0,
        13,
        3e9,
        20e9,
    ]


def test_what_is_written_is_read_back() -> None:
    assert RunCounters.from_json(json.loads(json.dumps(COUNTERS.to_json()))) == COUNTERS
    assert RunCounters().to_json()["paths_per_device_hour"] == 0.0


def test_other_versions_may_have_written_less_or_more() -> None:
    assert RunCounters.from_json({"paths_searched": 3, "surprise": "x"}) == RunCounters(
        num_paths_searched=3
    )
    values = COUNTERS.to_json()
    del values["evictions"], values["started_at"]
    assert RunCounters.from_json(values) == replace(COUNTERS, num_evictions=0, started_at=None)


@pytest.mark.parametrize("value", ["many", True, None, float("nan"), [1]])
def test_what_is_no_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match=r"workers is .*, no number"):
        RunCounters.from_json({"workers": value})


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match="it holds no JSON object"):
        RunCounters.from_json([1])


def test_shares_are_of_what_is_known_and_of_nothing_else() -> None:
    assert used_figures(COUNTERS.to_json()) == {"peak_share": 0.15, "recheck_share": 0.05}
    assert used_figures({}) == {"peak_share": None, "recheck_share": None}
