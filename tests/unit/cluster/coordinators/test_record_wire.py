import pickle
import random
from dataclasses import replace

import pytest

from search_cluster.cluster.coordinators.record_wire import pack_record, unpack_record
from search_cluster.corpus.record import ExampleRecord, PathEvidence, failed_record
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.tasks.example import Example
from search_cluster.tree.presets.registry import PRESETS


def noisy_reward(example: Example, path: LayerPath) -> float | Failure:
    draw = random.Random(f"{example.question}:{path}").random()
    return (
        Failure(kind="NonFiniteLogitsError", message="scripted")
        if draw < 0.1
        else float(draw < 0.3)
    )


def travel(record: ExampleRecord) -> ExampleRecord:
    return unpack_record(pickle.loads(pickle.dumps(pack_record(record))))  # noqa: S301 - just written


@pytest.mark.parametrize("name", ["drllm", "cola", "polar"])
def test_a_record_survives_the_journey(name: str) -> None:
    examples = [
        Example(task="t", question=f"q{i}", gold="g", split="train", source="s") for i in range(12)
    ]
    preset = replace(PRESETS[name], budget=25)
    coordinator = Coordinator(
        ScriptedEvaluator(noisy_reward), examples, num_layers=7, preset=preset, seed=0
    )
    records = [record for record in coordinator.run() if record is not None]
    assert {record.stop_reason for record in records} > {"failed"}
    assert any(record.failures for record in records)
    assert any(record.identity is None for record in records)
    for record in records:
        evidence = PathEvidence(
            path=LayerPath.identity(7),
            guide_right=1,
            guide_identity_right=None,
            num_guide=3,
            verify_right=0,
            verify_identity_right=0,
            num_verify=0,
            probe_right=4,
            probe_identity_right=5,
            num_probes=6,
            credible=True,
        )
        for sent in (record, replace(record, evidence=(evidence,), unguarded=record.pareto)):
            assert travel(sent) == sent


def test_the_record_of_an_example_that_could_not_be_searched_survives_it_too() -> None:
    example = Example(task="t", question="q", gold="g", split="train", source="s")
    record = failed_record(example, 7, kind="CoordinatorDied", message="why")
    assert travel(record) == record
