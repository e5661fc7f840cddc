"""The first screen of a search's report answers what was found, is it true, its cost, what next."""

from pathlib import Path

import pytest

from search_cluster.corpus.summary import summarise
from search_cluster.report.first_screen import best_router, first_word, search_screen
from search_cluster.report.router_evaluations import parse_evaluations

RUN = {"paths_searched": 900, "cache_hits": 40, "elapsed_seconds": 44, "workers": 2,
       "device_seconds": 88.0}  # fmt: skip


def test_without_a_router_the_search_is_a_bound(records, corpus_of):
    summary = summarise(records)
    sentence, kind = first_word(summary, ())
    assert "a bound, for paths were picked knowing the right answers" in sentence
    assert kind == ""
    provenance = corpus_of(records).manifest.provenance
    lines = search_screen(summary, (), provenance, RUN, Path("runs/x"))
    said = {line.topic: line.text for line in lines}
    assert list(said) == ["What was found", "Is it true?", "Beware", "What it cost", "What next"]
    assert "No router was evaluated" in said["Is it true?"]
    assert said["What it cost"] == (
        "900 paths, 40 of them answered by the cache; 44 s with 2 workers, 88 s of devices."
    )
    assert said["What next"].startswith("router-train fit --corpus runs/x --router drllm")


@pytest.mark.parametrize(
    ("changes", "words", "kind"),
    [
        ({"effect": "helps"}, "The router drllm helps: right on", "helps"),
        ({"effect": "hurts"}, "The router drllm hurts: right on", "fails"),
        ({"effect": "can't tell"}, "these questions can't tell: right on", ""),
    ],
)
def test_the_best_router_has_the_first_word(records, evaluation, changes, words, kind):
    routers = parse_evaluations([evaluation(**changes)])
    sentence, found = first_word(summarise(records), routers)
    assert words in sentence
    assert "instead of" in sentence
    assert found == kind


def test_a_router_that_helps_comes_before_one_that_is_right_more_often(evaluation):
    routers = parse_evaluations(
        [
            evaluation(effect="hurts", accuracy_routed=0.9, name="a"),
            evaluation(effect="helps", accuracy_routed=0.7, name="b"),
        ]
    )
    assert best_router(routers).name == "b"


def test_nothing_searched_is_nothing_known():
    assert first_word(summarise([]), ()) == (
        "No question was searched yet, so nothing is known.",
        "",
    )
