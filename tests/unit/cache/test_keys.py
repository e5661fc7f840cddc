from dataclasses import replace

import pytest

from search_cluster.cache.keys import (
    CONTEXT_SCHEMA,
    KEY_PREFIX,
    STORED_APART,
    VerdictContext,
    apart_key,
    context_key,
    example_key,
)
from search_cluster.errors import ConfigError

CONTEXT = VerdictContext(
    schema=CONTEXT_SCHEMA,
    model_fingerprint="abc:float32",
    task="capitals",
    task_version="1",
    decoding="greedy;max_new_tokens=24",
    tie_threshold=0.01,
    num_layers=30,
)


def test_a_namespace_is_the_same_in_every_process_and_version() -> None:
    assert CONTEXT.namespace == "7164c2e8aa6e768f"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"model_fingerprint": "abc:bfloat16"},
        {"task": "elements"},
        {"task_version": "2"},
        {"decoding": "greedy;max_new_tokens=25"},
        {"tie_threshold": 0.010000000000000002},
        {"num_layers": 31},
        {"arithmetic": "cpu AVX512; torch 2.13.0"},
    ],
)
def test_every_part_of_a_context_changes_the_namespace(change: dict[str, object]) -> None:
    assert replace(CONTEXT, **change).namespace != CONTEXT.namespace  # type: ignore[arg-type]


def test_a_whole_number_threshold_is_one_number() -> None:
    assert (
        replace(CONTEXT, tie_threshold=1).namespace == replace(CONTEXT, tie_threshold=1.0).namespace
    )


def test_contexts_without_arithmetic_are_those_of_former_versions() -> None:
    assert "arithmetic" not in CONTEXT.canonical_json()
    one, other = (
        replace(CONTEXT, arithmetic=f"cpu {kind}; torch 2.13.0") for kind in ("AVX2", "AVX512")
    )
    assert '"arithmetic":"cpu AVX512; torch 2.13.0"' in other.canonical_json()
    assert one.namespace != other.namespace


def test_the_parts_of_a_context_do_not_run_into_each_other() -> None:
    assert (
        replace(CONTEXT, task="a", task_version="bc").namespace
        != replace(CONTEXT, task="ab", task_version="c").namespace
    )


@pytest.mark.parametrize(
    "change",
    [{"model_fingerprint": ""}, {"task": ""}, {"num_layers": 0}, {"tie_threshold": float("nan")}],
)
def test_a_context_with_a_hole_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        replace(CONTEXT, **change)  # type: ignore[arg-type]


def test_all_keys_start_with_the_prefix_and_an_examples_keys_share_a_slot() -> None:
    keys = [example_key("ns", "e1"), apart_key("ns", "e1")]
    assert all(key.startswith(KEY_PREFIX) for key in [*keys, context_key("ns")])
    assert {key[key.index("{") : key.index("}") + 1] for key in keys} == {"{e1}"}
    assert len({*keys, example_key("ns", "e2"), example_key("other", "e1")}) == 4


def test_the_marker_is_a_byte_that_no_encoded_verdict_starts_with() -> None:
    assert STORED_APART == b"\xc1"
