"""``search-cluster verify`` against both references, in float32 and in 16 bits."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import tiny
from support.command import run, run_json

from search_cluster.corpus.reader import Corpus, read_corpus
from search_cluster.corpus.record import PathVerdict
from search_cluster.corpus.writer import CorpusWriter
from search_cluster.model.engine.executor import PathExecutor
from search_cluster.model.load.loading import load_model
from search_cluster.model.scoring import evaluate_path
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.verdict import Verdict

NUM_EXAMPLES = 4


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def corpus_dir(dtype: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus whose verdicts are those of engines that saw one request each."""
    folder = tmp_path_factory.mktemp(f"verify-{dtype}")
    tiny.save_tiny_model(folder / "model", chat=True)
    run_json(
        "search-cluster", "search", "--model", str(folder / "model"), "--task", "capitals",
        "--limit", str(NUM_EXAMPLES), "--budget", "8", "--ray", "none", "--redis-url", "none",
        "--dtype", dtype, "--run", str(folder / "found"),
    )  # fmt: skip
    corpus = read_corpus(folder / "found")
    loaded = load_model(str(folder / "model"), dtype=dtype, device="cpu")

    def alone(example: Example, path: LayerPath) -> Verdict:
        outcome = PathExecutor(loaded, get_task("capitals")).evaluate([(example, path)])[0]
        assert isinstance(outcome, Verdict)
        return outcome

    return rewritten(
        corpus, folder / "alone", lambda e, item: alone(e, item.path), tie_threshold=0.0
    )


def rewritten(
    corpus: Corpus,
    folder: Path,
    verdict_of: Callable[[Example, PathVerdict], Verdict],
    **changes: Any,
) -> Path:
    """The corpus with other verdicts."""
    with CorpusWriter(folder, replace(corpus.manifest.provenance, **changes)) as writer:
        for record in corpus.records:
            evaluated = tuple(
                replace(item, verdict=verdict_of(record.example, item)) for item in record.evaluated
            )
            writer.add(replace(record, evaluated=evaluated))
        writer.close({})
    return folder


def verified(folder: Path, reference: str, *, expect: int = 0) -> dict[str, Any]:
    out, _ = run(
        "search-cluster", "verify", str(folder), "--sample", "1000", "--reference", reference,
        "--json", expect=expect,
    )  # fmt: skip
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert result["reference"] == reference
    assert result["agreement"] == result["agreements"] / result["verdicts"]
    return result


def lie(verdict: Verdict) -> Verdict:
    return replace(verdict, reward=1.0 - verdict.reward)


def test_engines_that_see_one_request_say_the_same_to_the_bit(corpus_dir: Path, dtype: str) -> None:
    result = verified(corpus_dir, "engine")
    assert (result["dtype"], result["ok"], result["verdict_flips"]) == (dtype, True, 0)
    assert (result["max_margin_difference"], result["margins_agree"]) == (0.0, True)


def test_a_searched_corpus_holds_what_an_engine_says_alone(corpus_dir: Path) -> None:
    result = verified(corpus_dir.parent / "found", "engine")
    assert (result["ok"], result["verdict_flips"]) == (True, 0)


def test_a_margin_that_is_off_by_a_bit_is_a_fault_of_the_engine(
    corpus_dir: Path, tmp_path: Path
) -> None:
    def off(example: Example, item: PathVerdict) -> Verdict:
        assert item.verdict.margin is not None
        return replace(item.verdict, margin=math.nextafter(item.verdict.margin, 9.0))

    corpus = read_corpus(corpus_dir)
    result = verified(rewritten(corpus, tmp_path / "off", off), "engine", expect=1)
    assert (result["verdict_flips"], result["margins_agree"], result["ok"]) == (0, False, False)
    rechecked = rewritten(corpus, tmp_path / "rechecked", off, tie_threshold=5e-4)
    assert verified(rechecked, "engine")["ok"], "nobody promised the bits of such a corpus"


def test_a_verdict_that_differs_is_a_fault_except_in_16_bits_of_the_materialised_model(
    corpus_dir: Path, tmp_path: Path, dtype: str
) -> None:
    corpus = read_corpus(corpus_dir)
    first = {record.example.example_id: record.evaluated[0] for record in corpus.records}
    forged = rewritten(
        corpus,
        tmp_path / "forged",
        lambda e, item: lie(item.verdict) if item == first[e.example_id] else item.verdict,
    )
    assert verified(forged, "engine", expect=1)["verdict_flips"] == NUM_EXAMPLES
    result = verified(forged, "materialised", expect=1 if dtype == "float32" else 0)
    assert result["verdict_flips"] >= NUM_EXAMPLES
    assert result["ok"] is (dtype != "float32")
    assert (result["margins_agree"] is None) is (dtype != "float32")
    assert {"corpus", "materialised"} <= result["flips"][0].keys()


def test_the_agreement_with_the_materialised_model_is_the_share_that_it_says(
    corpus_dir: Path, dtype: str
) -> None:
    corpus = read_corpus(corpus_dir)
    loaded = load_model(corpus.manifest.provenance.model_spec, dtype=dtype, device="cpu")
    task = get_task("capitals")
    agreements = [
        replace(evaluate_path(loaded, task, record.example, item.path), margin=None)
        == replace(item.verdict, margin=None)
        for record in corpus.records
        for item in record.evaluated
    ]
    result = verified(corpus_dir, "materialised")
    assert (result["verdicts"], result["agreements"]) == (len(agreements), sum(agreements))


def test_a_machine_that_rounds_otherwise_is_no_reference_in_16_bits(
    corpus_dir: Path, dtype: str, tmp_path: Path
) -> None:
    corpus = read_corpus(corpus_dir)
    assert bool(corpus.manifest.provenance.arithmetic) is (dtype != "float32")
    folder = rewritten(
        corpus, tmp_path / "away", lambda e, item: item.verdict, arithmetic="NVIDIA H100 (9.0)"
    )
    _, err = run("search-cluster", "verify", str(folder), "--reference", "engine", expect=2)
    assert "was searched with NVIDIA H100 (9.0), this machine has" in err
    run("search-cluster", "verify", str(folder), "--sample", "2")


@pytest.mark.parametrize("dtype", ["bfloat16"], indirect=True)
def test_a_16_bit_run_of_another_machine_is_not_gone_on_with(
    corpus_dir: Path, dtype: str, tmp_path: Path
) -> None:
    corpus = read_corpus(corpus_dir)
    begun = replace(corpus.manifest.provenance, arithmetic="NVIDIA H100 (9.0)")
    writer = CorpusWriter(tmp_path / "begun", begun)
    writer.add(corpus.records[0])
    writer.flush()
    writer.release()
    _, err = run(
        "search-cluster", "search", "--model", begun.model_spec, "--task", "capitals",
        "--limit", str(NUM_EXAMPLES), "--budget", "8", "--ray", "none", "--redis-url", "none",
        "--dtype", dtype, "--run", str(tmp_path / "begun"), expect=2,
    )  # fmt: skip
    assert "was started with arithmetic 'NVIDIA H100 (9.0)', and this run has 'cpu " in err
