"""Which records a run keeps while it may have one fault."""

import pytest
from support.run_folders import example

from search_cluster.corpus.record import ExampleRecord, PathVerdict, failed_record
from search_cluster.errors import OneFaultError
from search_cluster.faults import FIRST, STREAK
from search_cluster.paths.layer_path import LayerPath
from search_cluster.search.record_gate import RecordGate
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

EXAMPLES = [example(number) for number in range(100)]


def failed(item: Example, message: str = "no turn") -> ExampleRecord:
    return failed_record(item, 4, kind="TemplateError", message=message)


def good(item: Example) -> ExampleRecord:
    verdict = Verdict(reward=0.0, margin=None, output="", num_layer_tokens=4)
    identity = PathVerdict(path=LayerPath.identity(4), verdict=verdict)
    return ExampleRecord(
        example=item, identity=verdict, evaluated=(identity,), failures=(), best=(), pareto=(),
        stop_reason="budget",
    )  # fmt: skip


def test_one_fault_is_kept_from_the_corpus_and_what_was_found_is_not() -> None:
    gate = RecordGate(EXAMPLES)
    late = good(EXAMPLES[60])
    assert gate.take(late) == [late]
    for item in EXAMPLES[: FIRST - 1]:
        assert gate.take(failed(item, f"{item.question} has no turn")) == []
    with pytest.raises(OneFaultError, match="Riddle 0"):
        gate.take(failed(EXAMPLES[FIRST - 1], f"{EXAMPLES[FIRST - 1].question} has no turn"))


def test_one_fault_later_leaves_single_failures_in_the_corpus() -> None:
    gate = RecordGate(EXAMPLES)
    kept = [
        record
        for number, item in enumerate(EXAMPLES[:40])
        for record in gate.take(failed(item) if number % 10 == 5 else good(item))
    ]
    assert {record.example.example_id for record in kept} == {
        item.example_id for item in EXAMPLES[:40]
    }
    for item in EXAMPLES[40 : 40 + STREAK - 1]:
        assert gate.take(failed(item)) == []
    with pytest.raises(OneFaultError, match=f"^{STREAK} examples in a row failed for one reason"):
        gate.take(failed(EXAMPLES[40 + STREAK - 1]))


def test_a_failure_is_kept_when_its_neighbours_are_known_to_be_sound() -> None:
    gate = RecordGate(EXAMPLES)
    single = failed(EXAMPLES[50])
    assert gate.take(single) == []
    assert gate.take_sound(EXAMPLES[49].example_id) == []
    assert gate.take_sound(EXAMPLES[51].example_id) == [single]
    assert gate.take_sound(EXAMPLES[51].example_id) == []
