import pickle
import random

import pytest

from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.counters import DeviceReading, EngineWork
from search_cluster.protocols.messages import EvaluationRequest, EvaluationResult, Failure
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.workers import wire
from search_cluster.workers.messages import BatchReport
from search_cluster.workers.wire import (
    LinkBrokenError,
    LinkIn,
    LinkOut,
    PackedBatch,
    pack_report,
    unpack_report,
)

EXAMPLES = [
    Example(task="toy", question=f"q{i} " * 20, gold="g", split="train", source="test")
    for i in range(12)
]


def requests_for(numbers: list[int]) -> list[EvaluationRequest]:
    return [
        EvaluationRequest(
            request_id=at, example=EXAMPLES[number], path=LayerPath((0, 2, 2, 1)[: 1 + at % 4], 3)
        )
        for at, number in enumerate(numbers)
    ]


def travel(batch: PackedBatch) -> PackedBatch:
    packed: PackedBatch = pickle.loads(pickle.dumps(batch))  # noqa: S301 - just written
    return packed


def test_requests_arrive_as_they_were_sent_and_examples_travel_once() -> None:
    out, into = LinkOut(), LinkIn()
    first, second = requests_for([0, 1, 0]), requests_for([1, 2])
    packed = travel(out.pack(first))
    assert packed.new_examples == (EXAMPLES[0], EXAMPLES[1])
    assert into.unpack(packed) == first
    packed = travel(out.pack(second))
    assert packed.new_examples == (EXAMPLES[2],)
    assert into.unpack(packed) == second


def test_both_ends_forget_the_same_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_KNOWN_EXAMPLES", 4)
    rng = random.Random(0)
    out, into = LinkOut(), LinkIn()
    num_sent = 0
    for _ in range(200):
        requests = requests_for([rng.randrange(12) for _ in range(rng.randint(1, 7))])
        packed = travel(out.pack(requests))
        num_sent += len(packed.new_examples)
        assert into.unpack(packed) == requests
    assert 12 < num_sent < 200 * 4


def test_a_new_link_begins_with_an_empty_book() -> None:
    old, new, into = LinkOut(), LinkOut(), LinkIn()
    into.unpack(old.pack(requests_for([0])))
    assert into.unpack(travel(new.pack(requests_for([0, 1])))) == requests_for([0, 1])
    with pytest.raises(LinkBrokenError, match=r"names example .*, which this worker was not told"):
        into.unpack(old.pack(requests_for([0])))


def test_a_report_survives_the_journey() -> None:
    report = BatchReport(
        results=(
            EvaluationResult(
                request_id=3,
                outcome=Verdict(reward=0.5, margin=-1.25, output="Ünï\ncode", num_layer_tokens=9),
                device_busy_s=0.25,
            ),
            EvaluationResult(
                request_id=4,
                outcome=Verdict(reward=0.0, margin=None, output="", num_layer_tokens=0),
            ),
            EvaluationResult(
                request_id=5, outcome=Failure(kind="ModelError", message="two\nlines")
            ),
        ),
        work=EngineWork(
            num_layer_runs=7,
            num_tie_rechecks=1,
            num_evictions=2,
            num_cut_answers=3,
            recheck_s=0.5,
            num_layer_rows=11,
            flops=1e12,
        ),
        reading=DeviceReading(name="H", peak_flops_per_s=2e12, memory_bytes=5, utilisation=0.25),
        local_ids=(5,),
    )
    assert unpack_report(pickle.loads(pickle.dumps(pack_report(report)))) == report  # noqa: S301 - just written
