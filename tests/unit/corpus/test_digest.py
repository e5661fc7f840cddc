"""What the digest covers, and what it does not."""

from dataclasses import replace

import pytest

from search_cluster.corpus.digest import corpus_digest

GOLDEN = "c4347888591d7efdfe789c5bf555490c0c7e66e63f4df3a721947352ba2fdee0"
"""The digest of two records. A change of it means that corpora of older versions no longer compare:
raise DIGEST_SCHEMA."""


def test_golden_value(record):
    assert corpus_digest([record(1), record(2, identity_reward=0.1)]) == GOLDEN


def test_order_margins_sources_and_failure_messages_do_not_matter(record):
    first = record(1)
    moved = replace(
        first,
        example=replace(first.example, source="elsewhere.jsonl:3"),
        failures=tuple(replace(failure, message="another text") for failure in first.failures),
    )
    digest = corpus_digest([first, record(2)])
    assert corpus_digest([record(2), first]) == digest
    assert corpus_digest([moved, record(2)]) == digest
    assert corpus_digest([record(1, margin=-0.49), record(2, margin=3.0)]) == digest


@pytest.mark.parametrize(
    "change",
    [
        lambda record: replace(record, example=replace(record.example, question="?")),
        lambda record: replace(record, example=replace(record.example, split="test")),
        lambda record: replace(record, identity=None),
        lambda record: replace(record, identity=replace(record.identity, reward=0.5)),
        lambda record: replace(record, evaluated=record.evaluated[::-1]),
        lambda record: replace(record, evaluated=record.evaluated[:2]),
        lambda record: replace(record, failures=()),
        lambda record: replace(record, failures=(replace(record.failures[0], kind="Other"),)),
        lambda record: replace(record, best=()),
        lambda record: replace(record, pareto=()),
        lambda record: replace(record, stop_reason="budget"),
    ],
)
def test_everything_else_matters(record, change):
    assert corpus_digest([change(record(1))]) != corpus_digest([record(1)])


def test_an_output_matters(record):
    assert corpus_digest([record(1, output="a")]) != corpus_digest([record(1, output="b")])


def test_the_empty_corpus_has_a_digest():
    assert len(corpus_digest([])) == 64
