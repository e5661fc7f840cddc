"""Which rechecks go with the verdicts of a run, and which verdicts may stand beside them."""

from dataclasses import replace
from pathlib import Path

import pytest

from search_cluster.cache.keys import CONTEXT_SCHEMA, VerdictContext
from search_cluster.commands.provenance import require_same_context, tie_threshold_of_run
from search_cluster.corpus.manifest import Provenance
from search_cluster.errors import ConfigError

CONTEXT = VerdictContext(
    schema=CONTEXT_SCHEMA,
    model_fingerprint="f" * 32,
    task="capitals",
    task_version="1",
    decoding="greedy",
    tie_threshold=0.0,
    num_layers=6,
    arithmetic="cpu AVX512",
)
BEGUN = Provenance(
    model_spec="tiny",
    model_fingerprint="f" * 32,
    num_layers=6,
    dtype="bfloat16",
    task="capitals",
    task_version="1",
    split="train",
    preset="drllm",
    seed=0,
    budget=4,
    leaves_per_round=4,
    limit=None,
    tie_threshold=0.0,
    arithmetic=CONTEXT.arithmetic,
    verdict_context=CONTEXT.namespace,
    versions={"search-cluster": "0.2.0"},
    created_at="2026-01-01T00:00:00+00:00",
)


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        (None, None),
        (BEGUN, None),
        (replace(BEGUN, tie_threshold=0.5), 0.5),
        (replace(BEGUN, dtype="float32", tie_threshold=None), 5e-4),
        (replace(BEGUN, dtype="float32", tie_threshold=0.0), None),
    ],
)
def test_a_run_goes_on_with_the_rechecks_that_it_was_begun_with(
    begun: Provenance | None, expected: float | None
) -> None:
    assert tie_threshold_of_run(begun) == expected


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_16_bit_run_of_a_former_version_is_refused(dtype: str) -> None:
    begun = replace(BEGUN, dtype=dtype, tie_threshold=None)
    with pytest.raises(ConfigError, match=rf"begun by search-cluster 0\.2\.0 in {dtype}, in which"):
        tie_threshold_of_run(begun)


def test_verdicts_of_unlike_machines_never_stand_beside_each_other() -> None:
    run = Path("runs/a")
    require_same_context(BEGUN, CONTEXT, run)
    with pytest.raises(ConfigError, match="computed by cpu AVX512, this machine has H100, which"):
        require_same_context(BEGUN, replace(CONTEXT, arithmetic="H100"), run)
    with pytest.raises(ConfigError, match=rf"context {CONTEXT.namespace}, this program's have"):
        require_same_context(BEGUN, replace(CONTEXT, tie_threshold=0.5), run)


def test_what_a_run_depends_on_survives_the_journey_and_former_files_are_read() -> None:
    assert Provenance.from_json(BEGUN.to_json(), "here") == BEGUN
    text = BEGUN.to_json().replace('"tie_threshold":0.0,"arithmetic":"cpu AVX512",', "")
    former = Provenance.from_json(text, "there")
    assert (former.tie_threshold, former.arithmetic) == (None, "")
