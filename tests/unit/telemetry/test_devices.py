"""What each device did, and when GPUs are called starved."""

from dataclasses import replace

from search_cluster.protocols.counters import DeviceReading, EngineWork, WorkerStats
from search_cluster.telemetry.devices import (
    DEVICES_KEY,
    MAX_DEVICES,
    device_figures,
    known_devices,
    starved_text,
)

CARD = WorkerStats(
    worker=0,
    node="n",
    device="cuda",
    num_evaluated=30,
    device_held_s=100.0,
    device_busy_s=99.0,
    work=EngineWork(num_layer_rows=5000, flops=1e12, recheck_s=9.9),
    reading=DeviceReading(
        name="H200", peak_flops_per_s=1e12, memory_bytes=3, memory_limit_bytes=4, utilisation=0.98
    ),
)
"""Busy for 99 of 100 seconds, and used to 1 %."""


def test_a_card_that_is_busy_and_unused_is_told_apart() -> None:
    (figures,) = device_figures([CARD])
    assert (figures["busy_share"], figures["utilisation"]) == (0.99, 0.98)
    assert (figures["peak_share"], figures["rows_per_second"]) == (0.01, 50.0)
    assert (figures["recheck_share"], figures["memory_bytes"]) == (0.1, 3)
    said = starved_text(figures["peak_share"], [figures])
    assert said is not None
    assert said.startswith("The GPUs do 1.0% of a plain product's arithmetic: they are starved")


def test_nobody_is_starved_who_works_or_of_whom_nothing_is_known() -> None:
    card = device_figures([CARD])
    assert starved_text(0.4, card) is None
    assert starved_text(None, card) is None
    assert starved_text(0.01, device_figures([replace(CARD, device="cpu")])) is None


def test_what_is_not_known_is_none_and_the_least_used_come_first() -> None:
    unread = WorkerStats(worker=7, node="m", device="cuda")
    more = replace(CARD, worker=3, work=replace(CARD.work, flops=5e13))
    found = device_figures([unread, more, CARD])
    assert [item["worker"] for item in found] == [0, 3, 7]
    assert [item["peak_share"] for item in found] == [0.01, 0.5, None]
    assert found[2]["memory_bytes"] is found[2]["busy_share"] is None
    many = device_figures(replace(CARD, worker=number) for number in range(MAX_DEVICES + 9))
    assert len(many) == MAX_DEVICES


def test_devices_of_a_file_are_those_that_are_whole() -> None:
    assert known_devices({}) == known_devices({DEVICES_KEY: "none"}) == []
    (found,) = known_devices({DEVICES_KEY: [1, {"worker": 2, "node": "n", "surprise": 3}]})
    assert (found["worker"], found["peak_share"]) == (2, None)
    assert "surprise" not in found
