"""A whole search with the preset `credible` on disk: study, menu, examinations, results.

To accept an intended change: ``python tests/golden/test_credible.py`` rewrites the file; look
at the diff.
"""

import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from search_cluster.corpus.digest import corpus_digest
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import EvaluationResult
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.tasks.example import Example
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.presets.credible import CREDIBLE

FILE = Path(__file__).parent / "default.json"
NUM_LAYERS = 10
HARMLESS = (3, 5, 6)
"""Layers whose skips change margins a little; the others ruin answers."""


def question(text: str) -> Example:
    return Example(task="golden", question=text, gold="g", split="train", source="golden")


def perturb(example: Example, role: EvidenceRole, count: int) -> list[Example]:
    return [question(f"{example.question}|{role}|{number}") for number in range(count)]


def margin_of(example: Example, path: LayerPath) -> float:
    """Quarters of a nat, off the steps in which the study counts, so that no rounding decides."""
    base = example.question.split("|")[0]
    quarters = random.Random(base).randrange(-4, 12)
    for layer, count in enumerate(path.counts()):
        if count != 1:
            spread = 1 if layer in HARMLESS else 12
            quarters += random.Random(f"{layer} {count} {example.question}").randrange(
                -spread, spread + 1
            )
            quarters -= 0 if layer in HARMLESS else 6
    return (quarters + 0.5) / 4


class WithMargins(ScriptedEvaluator):
    """Answers with the scripted margins."""

    def __init__(self, **options: Any) -> None:
        self._margins: dict[int, float] = {}
        super().__init__(lambda example, path: float(margin_of(example, path) > 0), **options)

    def submit(self, requests: Any) -> None:
        self._margins |= {
            request.request_id: margin_of(request.example, request.path) for request in requests
        }
        super().submit(requests)

    def collect(self, timeout_s: float | None = None) -> list[EvaluationResult]:
        results = []
        for result in super().collect(timeout_s):
            assert isinstance(result.outcome, Verdict)
            outcome = replace(result.outcome, margin=self._margins.pop(result.request_id))
            results.append(replace(result, outcome=outcome))
        return results


def search(**options: Any) -> dict[str, Any]:
    """60 examples with a budget of 40, and what is known of each path that was examined."""
    coordinator = Coordinator(
        WithMargins(**options),
        [question(f"q{number}") for number in range(60)],
        num_layers=NUM_LAYERS,
        preset=replace(CREDIBLE, budget=40),
        seed=5,
        probes=[question(f"probe {number}") for number in range(96)],
        perturb=perturb,
    )
    records = sorted(
        (record for record in coordinator.run() if record is not None),
        key=lambda record: record.example.question,
    )
    return {
        "menu": [asdict(item) | {"path": str(item.path)} for item in coordinator.menu],
        "paths_searched": coordinator.progress().num_paths_searched,
        "searches": {
            record.example.question: {
                "tried": [str(item.path) for item in record.evaluated],
                "best": [str(item.path) for item in record.best],
                "stop_reason": record.stop_reason,
                "evidence": [asdict(item) | {"path": str(item.path)} for item in record.evidence],
            }
            for record in records
        },
        "corpus_digest": corpus_digest(records),
    }


def test_the_search_is_the_one_on_disk() -> None:
    golden = json.loads(FILE.read_text())
    assert search() == golden
    assert len(golden["menu"]) > 3
    found = list(golden["searches"].values())
    assert {row["stop_reason"] for row in found} >= {"improved", "exhausted"}
    verdicts = [item["credible"] for row in found for item in row["evidence"]]
    assert min(verdicts.count(True), verdicts.count(False)) >= 3
    assert golden["paths_searched"] <= 60 * 40


@pytest.mark.parametrize(
    "options", [{"shuffle_seed": 1, "answers_per_collect": 7}, {"max_in_flight": 3}]
)
def test_neither_order_nor_room_changes_it(options: dict[str, int]) -> None:
    assert search(**options) == json.loads(FILE.read_text())


if __name__ == "__main__":
    FILE.write_text(json.dumps(search(), indent=0) + "\n")
