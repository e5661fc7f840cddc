import dataclasses
import hashlib
from pathlib import Path

import pytest
from support.router_corpus import fruit_example, fruit_task, record, write_corpus

from router_train.config import FitConfig
from router_train.data.facts import question_hashes
from router_train.data.labels import most_common_path, read_labels
from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.corpus.record import ExampleRecord, PathVerdict, failed_record
from search_cluster.errors import ConfigError, CorpusError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.twins import question_key

IDENTITY = (1, 1, 1, 1, 1, 1)
SHORTER = (1, 0, 1, 1, 0, 1)
LONGER = (1, 1, 2, 1, 1, 1)


def corpus_of(folder: Path, *records: ExampleRecord) -> Corpus:
    return read_corpus(write_corpus(folder, records, task=fruit_task()))


def test_the_best_path_is_the_label(tmp_path: Path) -> None:
    labels = read_labels(
        corpus_of(tmp_path, *(record(fruit_example(n), SHORTER, LONGER) for n in range(20))),
        FitConfig(),
    )
    assert {label.decisions for label in (*labels.train, *labels.validation)} == {SHORTER}
    assert labels.train[0].path == LayerPath.from_decisions(SHORTER)
    assert labels.class_counts() == (2 * len(labels.train), 4 * len(labels.train), 0)
    assert len(labels.train) + len(labels.validation) == 20


def test_questions_that_the_plain_model_cannot_answer_teach_nothing(tmp_path: Path) -> None:
    good = [record(fruit_example(n), SHORTER) for n in range(4)]
    failed = failed_record(fruit_example(9), 6, kind="PromptTooLongError", message="too long")
    labels = read_labels(corpus_of(tmp_path, *good, failed), FitConfig(keep="all"))
    assert len(labels.train) + len(labels.validation) == 4
    assert (labels.num_failed, labels.num_unsolved) == (1, 0)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    reordered = PathVerdict(
        path=LayerPath((0, 2, 1), 6), verdict=record(fruit_example(0), SHORTER).best[0].verdict
    )
    thrice = LayerPath.from_decisions((1, 3, 1, 1, 1, 1))
    good = [record(fruit_example(n), SHORTER) for n in range(4)]
    template = record(fruit_example(4), SHORTER)
    inexpressible = ExampleRecord(
        example=template.example,
        identity=template.identity,
        evaluated=template.evaluated,
        failures=(),
        best=(reordered, PathVerdict(path=thrice, verdict=reordered.verdict)),
        pareto=(),
        stop_reason="budget",
    )
    corpus = corpus_of(
        tmp_path,
        *good,
        inexpressible,
        record(fruit_example(5)),
        record(fruit_example(6), SHORTER, correct=False),
        record(fruit_example(7, "test"), SHORTER),
        record(fruit_example(8), IDENTITY),
    )
    labels = read_labels(corpus, FitConfig(keep="changed"))
    assert (
        labels.num_unsolved,
        labels.num_unchanged,
        labels.num_inexpressible,
        labels.num_test,
    ) == (2, 1, 1, 1)
    assert len(labels.train) + len(labels.validation) == 4
    everything = read_labels(corpus, FitConfig(keep="all"))
    assert len(everything.train) + len(everything.validation) == 7
    assert {fruit_example(7).question}.isdisjoint(
        label.example.question for label in everything.train
    )


def test_the_split_is_fixed_and_keeps_questions_together(tmp_path: Path) -> None:
    records = [record(fruit_example(n), SHORTER) for n in range(60)]
    first = read_labels(corpus_of(tmp_path / "a", *records), FitConfig(validation_share=0.3))
    again = read_labels(
        corpus_of(tmp_path / "b", *reversed(records)), FitConfig(validation_share=0.3, seed=7)
    )
    assert first == again
    assert 5 <= len(first.validation) <= 35
    grown = read_labels(
        corpus_of(
            tmp_path / "c", *records, *(record(fruit_example(n), SHORTER) for n in range(60, 90))
        ),
        FitConfig(validation_share=0.3),
    )
    assert {label.example.example_id for label in first.validation} <= {
        label.example.example_id for label in grown.validation
    }
    questions = [
        {label.example.question for label in side} for side in (first.train, first.validation)
    ]
    assert questions[0].isdisjoint(questions[1])


def test_gold_questions_typed_otherwise_teach_or_judge_but_not_both(tmp_path: Path) -> None:
    plain = [fruit_example(n) for n in range(80)]
    twins = [
        dataclasses.replace(example, question=f" {example.question.upper()}\N{NO-BREAK SPACE}")
        for example in plain
    ]
    alone = question_hashes(plain)
    hashes = question_hashes([*plain, *twins])
    for example, twin in zip(plain, twins, strict=True):
        assert hashes[example.example_id] == hashes[twin.example_id] <= alone[example.example_id]
    text = f"router validation:{plain[0].task}:{plain[0].question}"
    own = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    assert alone[plain[0].example_id] == own  # as ever: kept corpora are split as before
    records = [record(example, SHORTER) for example in (*plain, *twins)]
    labels = read_labels(corpus_of(tmp_path, *records), FitConfig(validation_share=0.3))
    sides = [
        {question_key(label.example.question) for label in side}
        for side in (labels.train, labels.validation)
    ]
    assert sides[0].isdisjoint(sides[1])
    assert len(sides[0]) + len(sides[1]) == 80
    assert len(labels.train) + len(labels.validation) == 160


def test_facts_teach_or_validate_but_not_both(tmp_path: Path) -> None:
    """Each of 60 facts is asked four times, in other words."""
    examples = [
        dataclasses.replace(fruit_example(n), choices=(), gold=f"fact {n // 4}", gold_index=None)
        for n in range(240)
    ]
    records = [record(example, SHORTER) for example in examples]
    labels = read_labels(corpus_of(tmp_path, *records), FitConfig(validation_share=0.3))
    train, validation = (
        {label.example.gold for label in side} for side in (labels.train, labels.validation)
    )
    assert train.isdisjoint(validation)
    assert len(train) + len(validation) == 60
    assert 0.15 < len(validation) / 60 < 0.45
    assert len(labels.train) == 4 * len(train)


def test_labels_of_one_fact_are_too_few(tmp_path: Path) -> None:
    one = [dataclasses.replace(fruit_example(n), gold="a fact") for n in range(2)]
    others = [dataclasses.replace(fruit_example(n), gold=f"{n}") for n in range(2, 60)]
    records = [record(example, SHORTER) for example in one]
    corpus = corpus_of(tmp_path, *records, *(record(example) for example in others))
    with pytest.raises(CorpusError, match=r"2 can teach .* that share no fact are needed"):
        read_labels(corpus, FitConfig())


def test_unverified_labels_are_those_without_evidence(tmp_path: Path) -> None:
    records = [
        dataclasses.replace(
            record(fruit_example(n), LONGER), unguarded=record(fruit_example(n), SHORTER).best
        )
        for n in range(20)
    ]
    records.append(record(fruit_example(20), LONGER))
    corpus = read_corpus(write_corpus(tmp_path, records, task=fruit_task(), evidence="guide=3"))
    best, unguarded = (
        read_labels(corpus, FitConfig(labels=name)) for name in ("best", "unguarded")
    )
    assert {label.decisions for label in (*best.train, *best.validation)} == {LONGER}
    decisions = [label.decisions for label in (*unguarded.train, *unguarded.validation)]
    assert (decisions.count(SHORTER), decisions.count(LONGER)) == (20, 1)


def test_a_smaller_training_set_is_a_part_of_a_larger_one(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, *(record(fruit_example(n), SHORTER) for n in range(60)))
    whole, few, fewer = (
        read_labels(corpus, FitConfig(train_limit=limit)) for limit in (None, 20, 7)
    )
    assert (len(few.train), len(fewer.train)) == (20, 7)
    ids = [{label.example.example_id for label in labels.train} for labels in (fewer, few, whole)]
    assert ids[0] < ids[1] < ids[2]
    assert fewer.validation == few.validation == whole.validation


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_neither_side_is_empty(tmp_path: Path, share: float) -> None:
    corpus = corpus_of(
        tmp_path, record(fruit_example(0), SHORTER), record(fruit_example(1), SHORTER)
    )
    labels = read_labels(corpus, FitConfig(validation_share=share))
    assert (len(labels.train), len(labels.validation)) == (1, 1)


def test_too_small_a_corpus_is_refused(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, record(fruit_example(0), SHORTER), record(fruit_example(1)))
    with pytest.raises(
        CorpusError, match=r"1 can teach a router \(1 unsolved\); at least 2 different questions"
    ):
        read_labels(corpus, FitConfig())


def test_most_common_path_prefers_the_shorter_of_equals(tmp_path: Path) -> None:
    records = [record(fruit_example(n), SHORTER if n % 2 else LONGER) for n in range(40)]
    labels = read_labels(corpus_of(tmp_path, *records), FitConfig())
    sides = sorted((*labels.train, *labels.validation), key=lambda label: label.example.example_id)
    assert most_common_path(sides, 6) == LayerPath.from_decisions(SHORTER)


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("learning_rate", 0.0), ("validation_share", 1.0), ("keep", "some")],
)
def test_config_says_what_is_wrong(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{field} is {value!r}; it must be"):
        FitConfig(**{field: value})  # type: ignore[arg-type]
