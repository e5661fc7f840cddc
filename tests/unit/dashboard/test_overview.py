"""The numbers of the page agree with those of the report, while a run grows and when it is done."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.run_folders import (
    NUM_LAYERS,
    all_kinds,
    counters,
    example,
    searched,
    solved_by,
    write_run,
    write_samples,
    write_session,
)

from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.summary import summarise
from search_cluster.dashboard.overview import describe_run
from search_cluster.dashboard.run_folder import RunFolder
from search_cluster.telemetry.price import Price


def test_a_finished_run_says_what_the_report_says(tmp_path: Path) -> None:
    many = all_kinds() + [
        searched(example(10 + number), solved_by(number % 8)) for number in range(20)
    ]
    folder = write_run(tmp_path / "run", many, per_shard=4)
    values = describe_run(RunFolder(folder))
    summary = summarise(read_corpus(folder).records)
    found = values["found"]
    assert values["run"]["state"] == "finished"
    assert found["examples"] == summary.examples == 25
    assert found["identity"] == {
        "share": summary.identity_accuracy, "low": summary.identity_low,
        "high": summary.identity_high,
    }  # fmt: skip
    assert found["found"]["share"] == summary.found_accuracy
    assert found["mean_layers_saved"] == pytest.approx(summary.mean_layers_saved)
    assert found["best_lengths"] == list(summary.best_lengths)
    assert sorted(found["stop_reasons"].items()) == sorted(summary.stop_reasons)
    assert sum(found["failure_kinds"].values()) == summary.failures
    num_best = sum(number for _, number in summary.best_lengths)
    for uses, shares in zip(found["layers"]["best"], summary.layer_shares, strict=True):
        assert [count / num_best for count in uses] == pytest.approx(shares)
    num_fixed = sum(bool(record.best) for record in many[5:])  # their plain model is wrong
    assert found["outcomes"] == {
        "fixed": 1 + num_fixed, "shorter": 1, "kept": 1, "unsolved": 1 + 20 - num_fixed,
        "failed": 1,
    }  # fmt: skip
    assert num_fixed > 10
    tried = sum(len(record.evaluated) for record in many)
    assert [sum(uses) for uses in found["layers"]["tried"]] == [tried] * NUM_LAYERS
    assert json.loads(json.dumps(values, allow_nan=False)) == values | json.loads(
        json.dumps(values)
    )


def test_rates_and_time_left_of_a_running_search(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds()[:4], finish=False)
    write_session(folder, counters(100, done=5, hits=10))
    write_samples(folder, [counters(second, done=second // 20) for second in range(0, 101, 4)])
    values = describe_run(RunFolder(folder))
    assert values["run"]["state"] == "running"
    assert values["run"]["provenance"]["task"] == "riddles"
    assert values["progress"] == {
        "examples_done": 5, "examples_written": 4, "examples_total": 10, "study_budget": 0,
        "seconds_left": pytest.approx(100, rel=0.1),
    }  # fmt: skip
    costs = values["costs"]
    assert costs["cache_hit_rate"] == 0.2
    assert costs["busy_share"] == pytest.approx(0.9)
    assert costs["paths_per_device_hour"] == pytest.approx(3600 * 50 / 200)
    assert costs["now"]["epoch_s"] == pytest.approx(1767225600 + 100)
    assert [len(points) for points in values["history"]] == [25]


def test_a_resumed_search_does_not_go_backwards(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds()[:4], finish=False)
    write_session(folder, counters(50, done=4), name="1", age_s=60)
    write_session(folder, counters(3, done=1, hits=10), name="2")
    values = describe_run(RunFolder(folder))
    assert values["progress"]["examples_done"] == 4
    assert values["costs"]["device_seconds"] == 2 * 53
    assert [session["examples_done"] for session in values["sessions"]] == [4, 1]


def test_a_run_without_any_number_yet(tmp_path: Path) -> None:
    (tmp_path / "run" / "sessions").mkdir(parents=True)
    values = describe_run(RunFolder(tmp_path / "run"))
    assert values["run"]["state"] == "starting"
    assert values["found"]["identity"] is None
    assert values["costs"]["paths_per_device_hour"] is None
    assert values["history"] == []


def _starved(second: float, *, done: int) -> dict[str, Any]:
    """Two GPUs that are busy for 90 % of the time and do 2 % of what they could."""
    flops = {"computed_flops": 4e10 * second, "available_flops": 2e12 * second}
    return counters(second, done=done) | flops | {"layer_rows": int(500 * second)}


def test_a_card_that_is_busy_and_unused_is_called_starved(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds()[:4], finish=False)
    card = {"worker": 0, "node": "n", "device": "cuda", "name": "H200", "peak_share": 0.02}
    write_session(folder, _starved(100, done=5) | {"devices": [card]})
    write_samples(folder, [_starved(second, done=second // 20) for second in range(0, 101, 4)])
    costs = describe_run(RunFolder(folder))["costs"]
    assert costs["busy_share"] == pytest.approx(0.9)
    assert costs["peak_share"] == costs["now"]["peak_share"] == pytest.approx(0.02)
    assert costs["rows_per_device_second"] == costs["now"]["rows_per_device_s"] == 250.0
    assert costs["starved"].startswith("The GPUs do 2.0% of a plain product's arithmetic")
    assert [device["name"] for device in costs["devices"]] == ["H200"]
    write_session(folder, _starved(100, done=5) | {"devices": [card | {"device": "cpu"}]})
    assert describe_run(RunFolder(folder))["costs"]["starved"] is None


def test_money_is_that_of_the_sessions_or_of_whoever_looks(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds())
    write_session(folder, counters(1800, done=5))  # an hour of two devices
    assert describe_run(RunFolder(folder))["costs"]["cost"] is None
    price = Price(per_gpu_hour=3.0, currency="CHF")
    assert describe_run(RunFolder(folder, price=price))["costs"]["cost_text"] == (
        "3.00 CHF (at 3.00 CHF a device-hour, 60.00 CHF for 1,000 paths)"
    )
    write_session(folder, counters(1800, done=5) | Price(per_gpu_hour=1.5).to_json())
    assert describe_run(RunFolder(folder))["costs"]["cost"] == 1.5
