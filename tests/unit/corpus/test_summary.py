"""Numbers, checked against values worked out by hand."""

from dataclasses import replace

import pytest

from search_cluster.corpus.record import ExampleRecord, PathFailure, PathVerdict
from search_cluster.corpus.summary import summarise
from search_cluster.errors import InvalidValueError
from search_cluster.paths.cost import PathCosts
from search_cluster.paths.jumps import Jump
from search_cluster.paths.layer_path import LayerPath
from search_cluster.stats import wilson_interval
from search_cluster.tasks.verdict import Verdict


def test_known_numbers(reported_records):
    summary = summarise(reported_records)
    assert (summary.examples, summary.num_layers) == (5, 4)
    assert summary.paths_searched == 2 + 2 + 2 + 1 + 0
    assert summary.failures == 1
    assert summary.identity_accuracy == pytest.approx(2 / 5)
    assert summary.found_accuracy == pytest.approx(3 / 5)
    assert summary.improved == 3
    assert summary.mean_best_length == pytest.approx(11 / 3)
    assert summary.mean_layers_saved == pytest.approx(1 / 3)
    assert summary.best_lengths == ((3, 2), (5, 1))
    assert summary.evaluations == ((0, 1), (1, 1), (2, 3))
    assert summary.stop_reasons == (("budget", 2), ("improved", 2), ("failed", 1))
    third = pytest.approx(1 / 3)
    assert summary.layer_shares[0] == (0, 1, 0)
    assert tuple(summary.layer_shares[1]) == (third, third, third)
    assert tuple(summary.layer_shares[2]) == (third, pytest.approx(2 / 3), 0)
    assert summary.layer_shares[3] == (0, 1, 0)


def test_one_fault_is_one_cause_with_its_count(reported_record):
    records = [reported_record(f"q{number}", identity=1.0, best=None) for number in range(6)]
    path = LayerPath.identity(4)
    failed = [
        replace(item, failures=(PathFailure(path=path, kind=kind, message=message),))
        for item, (kind, message) in zip(
            records,
            [
                ("ValueError", "no grade for q0"),
                ("NonFiniteLogitsError", "NaN in layer 2"),
                ("ValueError", "no grade for q2"),
                ("NonFiniteLogitsError", "NaN in layer 3"),
                ("NonFiniteLogitsError", "NaN in layer 3"),
                ("ValueError", "no such unit"),
            ],
            strict=True,
        )
    ]
    assert summarise(failed).failure_causes == (
        ("NonFiniteLogitsError: NaN in layer 2", 3),
        ("ValueError: no grade for q0", 2),
        ("ValueError: no such unit", 1),
    )
    assert summarise(records).failure_causes == ()


def test_wilson_interval_of_a_textbook():
    # 1 of 10: Wilson's score interval at 95 % (Newcombe 1998, table I method 3 gives such values).
    low, high = wilson_interval(1, 10)
    assert low == pytest.approx(0.0179, abs=1e-4)
    assert high == pytest.approx(0.4042, abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_a_best_path_that_is_identity_saves_nothing(reported_record):
    summary = summarise([reported_record("q", identity=1.0, best=(0, 1, 2, 3))])
    assert (summary.improved, summary.mean_layers_saved, summary.mean_best_length) == (0, 0.0, 4.0)


def test_nothing_searched_yet():
    summary = summarise([])
    assert (summary.examples, summary.identity_accuracy, summary.found_low, summary.found_high) == (
        0,
        0.0,
        0.0,
        1.0,
    )
    assert summary.layer_shares == summary.best_lengths == ()


def test_models_of_two_depths_are_refused(reported_record):
    verdict = Verdict(reward=1.0, margin=None, output="yes", num_layer_tokens=1)
    other = PathVerdict(path=LayerPath.identity(9), verdict=verdict)
    foreign = ExampleRecord(
        example=reported_record("x", identity=1.0, best=None).example,
        identity=verdict,
        evaluated=(other,),
        failures=(),
        best=(other,),
        pareto=(other,),
        stop_reason="budget",
    )
    with pytest.raises(
        InvalidValueError, match=r"models of \[4, 9\] layers; sum up one model at a time"
    ):
        summarise([reported_record("q", identity=1.0, best=None), foreign])


def test_a_best_path_costs_what_its_bridges_do(reported_record):
    costs = PathCosts(bridged=frozenset({Jump(1, 3)}), share=0.25)
    crossing = reported_record("q", identity=1.0, best=(0, 1, 3))
    summary = summarise([crossing, reported_record("p", identity=1.0, best=(0, 2, 3))], costs)
    assert summary.best_lengths == ((3, 1), (3.25, 1))
    assert (summary.mean_best_length, summary.mean_layers_saved) == (3.125, 0.875)
