from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.router_corpus import (
    FRUIT,
    fruit_example,
    fruit_task,
    record,
    write_corpus,
    write_table,
)

from router_train.study.textless import RECORDS_NAME, keep_corpus, read_provenance, restore_corpus
from search_cluster.corpus.path_table import PATH_TABLE_NAME, read_path_table
from search_cluster.corpus.reader import read_corpus
from search_cluster.corpus.record import ExampleRecord, PathEvidence, PathFailure
from search_cluster.errors import CorpusError, TaskError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.simple import SimpleTask, choice_task
from search_cluster.tasks.task import LoadedExamples

EXAMPLES = tuple(fruit_example(number) for number in range(14))
PATHS = (LayerPath.identity(6), LayerPath((0, 1, 3, 5), 6))


def training_task(examples: tuple[object, ...] = EXAMPLES) -> SimpleTask:
    """Like `fruit_task`, with the corpus' questions in its training split."""
    return choice_task(
        name="fruit",
        description="fruit by number",
        source=lambda name, split, data_dir: LoadedExamples(examples=examples),  # type: ignore[arg-type]
        chat="{question}",
    )


def full_record(number: int) -> ExampleRecord:
    """A record with an answer that is no choice's text, a failure and evidence."""
    found = record(EXAMPLES[number], (1, 0, 1, 1, 2, 1), (1, 1, 1, 1, 0, 1))
    free = replace(
        found.best[1], verdict=replace(found.best[1].verdict, output="= a fig, #1 of all")
    )
    evidence = PathEvidence(
        path=found.best[0].path, guide_right=2, guide_identity_right=1, num_guide=3,
        verify_right=3, verify_identity_right=None, num_verify=3, probe_right=10,
        probe_identity_right=9, num_probes=20, credible=True,
    )  # fmt: skip
    return replace(
        found,
        best=(found.best[0], free),
        unguarded=(free,),
        failures=(PathFailure(path=PATHS[1], kind="NonFiniteLogitsError", message="row 0"),),
        evidence=(evidence,),
    )


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    records = [full_record(number) for number in range(len(EXAMPLES))]
    folder = write_corpus(tmp_path / "corpus", records, task=training_task(), evidence="some")
    write_table(folder, PATHS, np.arange(28).reshape(14, 2) % 3 == 0)
    return folder


def test_what_is_restored_is_what_was_kept(corpus: Path, tmp_path: Path) -> None:
    kept = keep_corpus(corpus, tmp_path / "kept" / "fruit")
    assert read_provenance(kept) == read_corpus(corpus).manifest.provenance
    out = restore_corpus(kept, tmp_path / "restored", training_task(), None)
    assert read_corpus(out).records == read_corpus(corpus).records
    assert read_corpus(out).manifest.corpus_digest == read_corpus(corpus).manifest.corpus_digest
    assert read_path_table(out) == read_path_table(corpus)
    bare = restore_corpus(kept, out, training_task(), None, table=False)
    assert not (bare / PATH_TABLE_NAME).exists()


def test_no_text_of_a_question_is_kept(corpus: Path, tmp_path: Path) -> None:
    kept = keep_corpus(corpus, tmp_path / "kept")
    texts = {example.question for example in EXAMPLES} | set(FRUIT)
    assert any(text in str(pq.read_table(corpus / PATH_TABLE_NAME).to_pylist()) for text in texts)
    for file in kept.iterdir():
        table = pq.read_table(file)
        strings = set(_strings(table.to_pylist())) | {
            value.decode() for value in table.schema.metadata.values()
        }
        assert not texts & strings
        assert not any("Which fruit has number" in string for string in strings)


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [found for item in value for found in _strings(item)]
    return [value] if isinstance(value, str) else []


def test_a_corpus_without_table_is_kept_without(corpus: Path, tmp_path: Path) -> None:
    kept = keep_corpus(corpus, tmp_path / "kept")
    (corpus / PATH_TABLE_NAME).unlink()
    assert [file.name for file in keep_corpus(corpus, kept).iterdir()] == [RECORDS_NAME]


def test_texts_that_are_not_there_are_named(corpus: Path, tmp_path: Path) -> None:
    kept = keep_corpus(corpus, tmp_path / "kept")
    missing = EXAMPLES[3].example_id
    task = training_task(EXAMPLES[:3] + EXAMPLES[4:])
    with pytest.raises(
        TaskError, match=rf"lacks 1 of 14 examples of the kept corpus, such as {missing}"
    ):
        restore_corpus(kept, tmp_path / "restored", task, None)
    other = replace(training_task(), version="another")
    with pytest.raises(TaskError, match="the kept corpus is of task fruit version"):
        restore_corpus(kept, tmp_path / "restored", other, None)


def test_another_corpus_in_the_way_is_refused(corpus: Path, tmp_path: Path) -> None:
    kept = keep_corpus(corpus, tmp_path / "kept")
    out = write_corpus(tmp_path / "out", [full_record(0)], task=fruit_task(), evidence="some")
    with pytest.raises(CorpusError, match=r"out has the digest .* delete .*out and run"):
        restore_corpus(kept, out, training_task(), None)


@pytest.mark.parametrize("damage", ["absent", "cut", "of another kind"])
def test_a_damaged_kept_corpus_is_refused(corpus: Path, tmp_path: Path, damage: str) -> None:
    kept = keep_corpus(corpus, tmp_path / "kept")
    file = kept / RECORDS_NAME
    if damage == "absent":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    else:
        file.write_bytes((kept / PATH_TABLE_NAME).read_bytes())
    with pytest.raises(
        CorpusError,
        match="holds no records" if damage == "absent" else r"records.parquet is damaged",
    ):
        restore_corpus(kept, tmp_path / "restored", training_task(), None)
