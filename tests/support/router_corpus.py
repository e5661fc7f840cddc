"""Models, tasks and small corpora written by hand, for the tests of router training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from support import tiny

from search_cluster.corpus.manifest import Provenance
from search_cluster.corpus.path_table import (
    PathTable,
    PathTableProvenance,
    PathTableRow,
    write_path_table,
)
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.record import ExampleRecord, PathVerdict
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.graders import grade_exact
from search_cluster.tasks.simple import SimpleTask, choice_task, generate_task
from search_cluster.tasks.task import LoadedExamples, Task
from search_cluster.tasks.verdict import Verdict

FRUIT = ("apple", "pear", "plum", "fig")
TASK_FILE = """
from search_cluster.tasks.example import Example
from search_cluster.tasks.simple import choice_task
from search_cluster.tasks.task import LoadedExamples

FRUIT = ("apple", "pear", "plum", "fig")


def questions(name, split, data_dir):
    first = ("train", "validation", "test").index(split) * 1000
    return LoadedExamples(
        examples=tuple(
            Example(
                task=name,
                question=f"Which fruit has number {number}?",
                choices=FRUIT,
                gold=FRUIT[number % 4],
                gold_index=number % 4,
                split=split,
                source="by hand",
            )
            for number in range(first, first + 40)
        )
    )


TASK = choice_task(
    name="fruit_file", description="fruit by number", source=questions, chat="{question}"
)
"""
"""A user's task in a file of its own: each split holds forty questions about four fruits."""


def tiny_loaded(chat: bool = False, seed: int = 0, fingerprint: str = "f" * 32) -> LoadedModel:
    """A tiny random Llama of 6 layers with its tokenizer."""
    return LoadedModel(
        model=tiny.tiny_model("llama", seed),
        tokenizer=tiny.tiny_tokenizer(chat),
        spec="tiny",
        fingerprint=fingerprint,
        num_layers=tiny.NUM_LAYERS,
        chat=chat,
        device="cpu",
        dtype="float32",
    )


def fruit_example(number: int, split: str = "train") -> Example:
    """Question ``number``, with four fruits to choose from."""
    gold = number % len(FRUIT)
    return Example(
        task="fruit",
        question=f"Which fruit has number {number}?",
        choices=FRUIT,
        gold=FRUIT[gold],
        gold_index=gold,
        split=split,
        source="by hand",
    )


def fruit_task(num_examples: int = 12) -> SimpleTask:
    """A multiple-choice task; its test split holds no question of `fruit_example`."""
    return choice_task(
        name="fruit",
        description="fruit by number",
        source=lambda name, split, data_dir: LoadedExamples(
            examples=tuple(fruit_example(1000 + number, split) for number in range(num_examples))
        ),
        chat="{question}",
    )


def generated_fruit_task(max_new_tokens: int) -> SimpleTask:
    """The questions of `fruit_task`, whose answers are generated."""
    return generate_task(
        name="fruit",
        description="d",
        source=lambda name, split, data_dir: fruit_task().load(split, data_dir),
        chat="{question}",
        grader=grade_exact,
        grader_version="1",
        max_new_tokens=max_new_tokens,
    )


def record(example: Example, *best: Sequence[int], correct: bool = True) -> ExampleRecord:
    """A record whose best paths have these decisions; none: no path is right."""
    paths = [LayerPath.from_decisions(tuple(decisions)) for decisions in best]
    found = tuple(PathVerdict(path=path, verdict=verdict(correct)) for path in paths)
    identity = LayerPath.identity(tiny.NUM_LAYERS)
    return ExampleRecord(
        example=example,
        identity=verdict(False),
        evaluated=(PathVerdict(path=identity, verdict=verdict(False)), *found),
        failures=(),
        best=found,
        pareto=found,
        stop_reason="budget",
    )


def verdict(correct: bool) -> Verdict:
    """A right or a wrong answer."""
    return Verdict(
        reward=float(correct), margin=0.5 if correct else -0.5, output="fig", num_layer_tokens=60
    )


def write_corpus(
    folder: Path,
    records: Sequence[ExampleRecord],
    *,
    task: Task,
    task_spec: str | None = None,
    model_spec: str = "tiny",
    fingerprint: str = "f" * 32,
    evidence: str = "",
) -> Path:
    """A finished corpus of these records."""
    provenance = Provenance(
        model_spec=model_spec,
        model_fingerprint=fingerprint,
        num_layers=tiny.NUM_LAYERS,
        dtype="float32",
        task=task_spec or task.name,
        task_version=task.version,
        split="train",
        preset="drllm",
        seed=0,
        budget=50,
        leaves_per_round=4,
        evidence=evidence,
        limit=None,
        versions={"search-cluster": "0"},
        created_at="2026-01-01T00:00:00Z",
    )
    writer = CorpusWriter(folder, provenance)
    for item in records:
        writer.add(item)
    writer.close({})
    return folder


def write_table(
    folder: Path,
    paths: Sequence[LayerPath],
    right_NK: NDArray[np.bool_],
    corpus_digest: str | None = None,
) -> Path:
    """The full table of a corpus' first questions (by id), beside it."""
    corpus = read_corpus(folder)
    provenance = PathTableProvenance(
        corpus=corpus.manifest.provenance,
        corpus_digest=corpus_digest or corpus.manifest.corpus_digest,
        menu_size=len(paths),
        limit=None,
        picked_by="hand",
        paths=tuple(map(str, paths)),
        versions={},
    )
    rows = tuple(
        PathTableRow(
            example_id=item.example.example_id, path_index=place, verdict=verdict(bool(right))
        )
        for item, row in zip(corpus.records, right_NK, strict=False)
        for place, right in enumerate(row)
    )
    return write_path_table(folder, PathTable(provenance=provenance, paths=tuple(paths), rows=rows))
