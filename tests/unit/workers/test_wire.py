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


def test_requests_arrive_as_they_were_sent_and_examples_travel_until_a_batch_is_answered() -> None:
    out, into = LinkOut(), LinkIn()
    first, second = requests_for([0, 1, 0]), requests_for([1, 2])
    packed = travel(out.pack(first))
    assert packed.new_examples == (EXAMPLES[0], EXAMPLES[1])
    assert into.unpack(packed) == first
    packed = travel(out.pack(second))
    assert packed.new_examples == (EXAMPLES[1], EXAMPLES[2])  # nobody knows whether it arrived
    assert into.unpack(packed) == second
    out.confirm(first)
    packed = travel(out.pack(second))
    assert packed.new_examples == (EXAMPLES[2],)
    assert into.unpack(packed) == second


def test_batches_may_begin_in_any_order_and_few_examples_travel_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As an asyncio actor of Ray takes them: the two that are in flight overtake each other."""
    monkeypatch.setattr(wire, "MAX_KNOWN_EXAMPLES", 16)
    rng = random.Random(0)
    out, into = LinkOut(), LinkIn()
    num_sent = num_named = 0
    for _ in range(400):
        sent = [requests_for([rng.randrange(12) for _ in range(rng.randint(1, 7))]) for _ in "ab"]
        batches = [travel(out.pack(requests)) for requests in sent]
        for at in rng.sample(range(2), 2):
            num_sent += len(batches[at].new_examples)
            num_named += len({request.example.example_id for request in sent[at]})
            assert into.unpack(batches[at]) == sent[at]
        for at in rng.sample(range(2), 2):
            out.confirm(sent[at])
    assert 12 <= num_sent <= 24 < num_named / 20


def test_what_the_sender_takes_as_known_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_KNOWN_EXAMPLES", 4)
    rng = random.Random(0)
    out, into = LinkOut(), LinkIn()
    num_sent = 0
    for _ in range(400):
        sent = [requests_for([rng.randrange(12) for _ in range(rng.randint(1, 2))]) for _ in "ab"]
        batches = [travel(out.pack(requests)) for requests in sent]
        for at in rng.sample(range(2), 2):
            num_sent += len(batches[at].new_examples)
            assert into.unpack(batches[at]) == sent[at]
        for at in rng.sample(range(2), 2):
            out.confirm(sent[at])
    assert 24 < num_sent < 400 * 4


def test_a_new_link_tells_everything_again() -> None:
    old, new, into = LinkOut(), LinkOut(), LinkIn()
    into.unpack(old.pack(requests_for([0])))
    old.confirm(requests_for([0]))
    assert new.pack(requests_for([0])).new_examples == (EXAMPLES[0],)
    restarted = LinkIn()
    with pytest.raises(LinkBrokenError, match=r"names example .*, which this worker was not told"):
        restarted.unpack(old.pack(requests_for([0])))
    # A batch of the old link that comes late costs the new one nothing.
    into.unpack(travel(new.pack(requests_for([1]))))
    new.confirm(requests_for([1]))
    into.unpack(old.pack(requests_for([0])))
    assert into.unpack(new.pack(requests_for([1]))) == requests_for([1])


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
