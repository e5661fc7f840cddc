"""Run folders made by real searches over a scripted reward, without a model."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.record import ExampleRecord
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.paths.layer_path import LayerPath
from search_cluster.protocols.messages import Failure
from search_cluster.search.example_search import ExampleSearch
from search_cluster.tasks.example import Example
from search_cluster.tasks.verdict import Verdict
from search_cluster.tree.presets.registry import get_preset
from search_cluster.tree.settings import with_score

NUM_LAYERS = 8
PROVENANCE = Provenance(
    model_spec="toy",
    model_fingerprint="f" * 16,
    num_layers=NUM_LAYERS,
    dtype="float32",
    task="riddles",
    task_version="1",
    split="train",
    preset="drllm",
    seed=7,
    budget=24,
    leaves_per_round=3,
    limit=None,
    versions={"search-cluster": "0.1.0"},
    created_at="2026-01-01T00:00:00+00:00",
)
Outcomes = Callable[[LayerPath], Verdict | Failure]


def example(number: int, question: str = "") -> Example:
    return Example(
        task="riddles",
        question=question or f"Riddle {number}?",
        choices=("no", "yes", "perhaps"),
        gold="yes",
        gold_index=1,
        split="train",
        source="made up",
    )


def verdict(path: LayerPath, reward: float, output: str = "") -> Verdict:
    answer = output or ("yes" if reward >= 1 else "no")
    return Verdict(
        reward=reward, margin=reward - 0.5, output=answer, num_layer_tokens=10 * len(path)
    )


def solved_by(*skips: int, output: str = "") -> Outcomes:
    """Right exactly on paths that skip one of these layers."""
    return lambda path: verdict(
        path, float(any(path.counts()[layer] == 0 for layer in skips)), output
    )


def right(path: LayerPath) -> Verdict:
    """The plain model is right, and so is every path."""
    return verdict(path, 1.0)


def stubborn(path: LayerPath) -> Verdict:
    """The plain model is right, and nothing else."""
    return verdict(path, float(path.is_identity))


def never(path: LayerPath) -> Verdict | Failure:
    """No path is right, and those that repeat layer 2 fail."""
    if path.counts()[2] > 1:
        return Failure(kind="NonFiniteLogitsError", message="NaN in row 0")
    return verdict(path, 0.0)


def broken(path: LayerPath) -> Failure:
    """Not even the plain model gives a verdict."""
    return Failure(kind="PromptTooLongError", message="5,000 tokens")


def searched(
    item: Example, outcomes: Outcomes, provenance: Provenance = PROVENANCE
) -> ExampleRecord:
    """The record of a search whose evaluator answers as told."""
    preset = with_score(
        get_preset(provenance.preset),
        visit_total=provenance.visit_total,
        exploration=provenance.exploration,
    )
    preset = replace(preset, budget=provenance.budget, leaves_per_round=provenance.leaves_per_round)
    search = ExampleSearch(
        item, num_layers=provenance.num_layers, preset=preset, seed=provenance.seed
    )
    while paths := search.propose():
        search.observe([outcomes(path) for path in paths])
    return search.result()


def all_kinds() -> list[ExampleRecord]:
    """One example of each outcome: fixed, shorter, kept, unsolved (with failures), failed."""
    kinds = (solved_by(2, 3, 4, 5), right, stubborn, never, broken)
    return [searched(example(number), outcomes) for number, outcomes in enumerate(kinds)]


def write_run(
    folder: Path, records: Sequence[ExampleRecord], *, finish: bool = True, per_shard: int = 2
) -> Path:
    """A corpus of these records, or the shards of an unfinished one."""
    with CorpusWriter(folder, PROVENANCE, examples_per_shard=per_shard) as writer:
        for record in records:
            writer.add(record)
        if finish:
            writer.close({})
    return folder


def write_session(
    folder: Path, counters: dict[str, Any], *, name: str = "20260101T000000", age_s: float = 0
) -> None:
    """A session file that was last written ``age_s`` seconds ago."""
    path = folder / "sessions" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(counters) + "\n")
    written_s = path.stat().st_mtime - age_s
    os.utime(path, (written_s, written_s))


def write_samples(
    folder: Path, samples: Sequence[dict[str, Any]], *, name: str = "20260101T000000"
) -> None:
    """The samples of a session."""
    path = folder / "sessions" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))


def counters(
    second: float,
    *,
    done: int,
    total: int = 10,
    paths: int | None = None,
    workers: int = 2,
    hits: int = 0,
) -> dict[str, Any]:
    """What a session file holds after so many seconds."""
    searched_paths = 10 * done if paths is None else paths
    return {
        "started_at": "2026-01-01T00:00:00+00:00",
        "elapsed_seconds": second,
        "examples_done": done,
        "examples_total": total,
        "paths_searched": searched_paths,
        "paths_evaluated": searched_paths - hits,
        "cache_hits": hits,
        "failures": 0,
        "device_seconds": workers * second,
        "device_busy_seconds": 0.9 * workers * second,
        "paths_per_device_hour": 3600 * searched_paths / (workers * second) if second else 0.0,
        "workers": workers,
        "worker_restarts": 0,
        "cache_errors": 0,
    }
