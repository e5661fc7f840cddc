"""A whole corpus on disk: it is still read, and the same search still finds the same.

To accept an intended change of what is searched, set ``SEARCH_DIGEST``. To accept one of the form:
``python tests/golden/test_corpus.py`` rewrites the folder; look at the digest, and raise
``CORPUS_SCHEMA`` or ``DIGEST_SCHEMA`` if corpora of users are concerned.
"""

import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from search_cluster.corpus.digest import corpus_digest
from search_cluster.corpus.manifest import Manifest, Provenance
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.protocols.scripted import ScriptedEvaluator
from search_cluster.search.coordinator import Coordinator
from search_cluster.tasks.example import Example
from search_cluster.tree.presets.drllm import DRLLM

FOLDER = Path(__file__).parent / "corpus"
DIGEST = "6c68a4669fbbd7e963611c037fbc54b494fff3d0652eeefebe54fbd61f2cd3e6"
"""Of the corpus on disk, which a search wrote that listed and shuffled all successors of a path."""
SEARCH_DIGEST = "014ef4783593deb7ea57b7186155bc2565c4a466b50aaa89277030574d4ed670"
"""Of the same search today: it draws successors one by one, so it meets them in another order."""
NUM_LAYERS = 8
PRESET = replace(DRLLM, budget=20)
EXAMPLES = tuple(
    Example(
        task="golden",
        question=f"Wie heißt Nummer {number}? — 第{number}",
        choices=("α", "β", "γ"),
        gold="αβγ"[number % 3],
        gold_index=number % 3,
        split="train",
        source=f"golden.jsonl:{number}",
        difficulty=str(number % 5 + 1),
    )
    for number in range(12)
)


def reward_of(example: Example, path: LayerPath) -> float | Failure:
    """Right, wrong or no verdict, by a checksum of example and path; one example has no answer."""
    point = zlib.crc32(f"{example.example_id} {path}".encode()) % 100
    if example == EXAMPLES[7] or point < 5:
        return Failure(kind="NonFiniteLogitsError", message="scripted")
    return float(point < 12)


def search(shuffle_seed: int | None = None) -> list[ExampleRecord]:
    """The records of a search whose verdicts are scripted."""
    evaluator = ScriptedEvaluator(
        reward_of, max_in_flight=16, answers_per_collect=5, shuffle_seed=shuffle_seed
    )
    coordinator = Coordinator(evaluator, EXAMPLES, num_layers=NUM_LAYERS, preset=PRESET, seed=11)
    return [record for record in coordinator.run() if record is not None]


def write(folder: Path) -> Manifest:
    """The corpus of that search."""
    provenance = Provenance(
        model_spec="scripted", model_fingerprint="0" * 32, num_layers=NUM_LAYERS, dtype="float32",
        task="golden", task_version="1", split="train", preset=PRESET.name, seed=11,
        budget=PRESET.budget, leaves_per_round=PRESET.leaves_per_round, limit=None,
        verdict_context="0" * 16,
        versions={"search-cluster": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0",
            "python": "3.11.7"},
        created_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    with CorpusWriter(folder, provenance, examples_per_shard=7) as writer:
        for record in search():
            writer.add(record)
        writer.flush()
        return writer.close({"examples": len(EXAMPLES)})


def test_the_corpus_on_disk_reads_back_whole() -> None:
    corpus = read_corpus(FOLDER)
    assert corpus.manifest.corpus_digest == DIGEST == corpus_digest(corpus.records)
    assert [shard.num_rows for shard in corpus.manifest.shards] == [7, 5]
    assert {record.example for record in corpus.records} == set(EXAMPLES)
    assert {record.stop_reason for record in corpus.records} == {"improved", "budget", "failed"}
    assert any(record.failures for record in corpus.records if record.identity is not None)


@pytest.mark.parametrize("shuffle_seed", [None, 0, 1])
def test_the_same_search_finds_the_same_in_whatever_order_answers_come(
    shuffle_seed: int | None,
) -> None:
    assert corpus_digest(search(shuffle_seed)) == SEARCH_DIGEST


def test_the_hash_seed_does_not_matter() -> None:
    for hash_seed in ("1", "2"):
        code = "import test_corpus as golden; print(golden.corpus_digest(golden.search()))"
        environment = {
            **os.environ,
            "PYTHONHASHSEED": hash_seed,
            "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}",
        }
        out = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout.strip() == SEARCH_DIGEST


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    print(write(FOLDER).corpus_digest)
    for name in (".writer.lock", "README.md"):
        (FOLDER / name).unlink()
