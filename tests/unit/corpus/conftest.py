"""Records and provenance to write."""

from collections.abc import Callable

import pytest
from support.reported_runs import record as reported_record
from support.reported_runs import records as reported_records

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.record import ExampleRecord, PathEvidence, PathFailure, PathVerdict
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict

__all__ = ["evidence", "provenance", "record", "reported_record", "reported_records"]

NUM_LAYERS = 6

RecordFactory = Callable[..., ExampleRecord]


@pytest.fixture
def provenance() -> Provenance:
    return Provenance(
        model_spec="tiny",
        model_fingerprint="f" * 16,
        num_layers=NUM_LAYERS,
        dtype="float32",
        task="capitals",
        task_version="1",
        split="train",
        preset="drllm",
        seed=0,
        budget=50,
        leaves_per_round=4,
        limit=None,
        versions={"search-cluster": "0.1.0", "torch": "2", "transformers": "5", "python": "3.11"},
        created_at="2026-01-01T00:00:00+00:00",
    )


def _record(
    number: int, *, identity_reward: float = 0.0, margin: float = -0.5, output: str = "Rome"
) -> ExampleRecord:
    """Makes a record: a skip is right, a repeat of layer 2 is wrong, one path failed.

    Identity is wrong, unless it is asked to be right.
    """

    def tried(layers: tuple[int, ...], reward: float, text: str) -> PathVerdict:
        path = LayerPath(layers, NUM_LAYERS)
        verdict = Verdict(
            reward=reward, margin=margin, output=text, num_layer_tokens=7 * len(layers)
        )
        return PathVerdict(path=path, verdict=verdict)

    identity = tried((0, 1, 2, 3, 4, 5), identity_reward, output)
    shorter = tried((0, 1, 3, 4, 5), 1.0, "Paris")
    longer = tried((0, 1, 2, 2, 3, 4, 5), 0.0, "Lyon")
    failure = PathFailure(
        path=LayerPath((0,), NUM_LAYERS), kind="NonFiniteLogitsError", message="NaN in row 0"
    )
    return ExampleRecord(
        example=Example(
            task="capitals",
            question=f"Capital of country {number}?",
            choices=("Rome", "Paris", "Lyon"),
            gold="Paris",
            gold_index=1,
            split="train",
            source="built-in",
        ),
        identity=identity.verdict,
        evaluated=(identity, shorter, longer),
        failures=(failure,),
        best=(shorter,),
        pareto=(shorter,),
        stop_reason="improved",
    )


@pytest.fixture
def record() -> RecordFactory:
    return _record


@pytest.fixture
def evidence() -> Callable[..., PathEvidence]:
    """Makes the evidence of a path that was examined: right everywhere, or nowhere."""

    def make(path: LayerPath, *, credible: bool) -> PathEvidence:
        return PathEvidence(
            path=path, guide_right=3 * credible, guide_identity_right=2, num_guide=3,
            verify_right=3 * credible, verify_identity_right=2, num_verify=3, probe_right=9,
            probe_identity_right=9, num_probes=12, credible=credible,
        )  # fmt: skip

    return make
