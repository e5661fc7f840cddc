"""What is said about a router, in words and in the terminal table."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search_cluster.corpus.summary import num_searched, summarise
from search_cluster.errors import InvalidValueError
from search_cluster.report.notes import search_notes
from search_cluster.report.router_evaluations import (
    parse_evaluations,
    router_helps,
    router_sentence,
)
from search_cluster.report.terminal import next_commands, print_summary


@pytest.mark.parametrize(
    ("changes", "helps", "words"),
    [
        ({}, True, "It saves 0.8 layers a question."),
        (
            {"accuracy_routed": 0.6, "layers_routed": 4.0},
            False,
            "It chooses the plain path nearly always",
        ),
        ({"accuracy_routed": 0.55}, False, "The layers that it saves cost accuracy."),
        ({"accuracy_routed": 0.55, "layers_routed": 4.5}, False, "It loses accuracy."),
        ({"layers_routed": 4.5}, False, "its gain in accuracy may be chance."),
        ({"layers_routed": 4.5, "p_value": 0.01}, True, "It costs layers and gains accuracy."),
        ({"layers_routed": 4.5, "p_value": None}, False, "may be chance"),
        ({"helps": False}, False, "does not help"),
        ({"num_fixed": 7, "num_broken": 5}, True, "It fixes 7 answers and breaks 5."),
        (
            {"layer_token_share_with_routing": 1.8},
            True,
            "it does 180% of the plain model's layer work",
        ),
    ],
)
def test_the_sentence_says_whether_the_router_helps(evaluation, changes, helps, words):
    (parsed,) = parse_evaluations([evaluation(**changes)])
    sentence = router_sentence(parsed)
    assert router_helps(parsed) is helps
    assert words in sentence
    assert ("does not help" in sentence) is not helps


def test_keys_of_later_versions_are_ignored(evaluation):
    (parsed,) = parse_evaluations([evaluation(something_new=[1, 2])])
    assert parsed.router == "drllm"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"n": "many"}, "evaluation 0: n: Input should be a valid integer"),
        ({"accuracy_routed": float("nan")}, "accuracy_routed: Input should be a finite number"),
    ],
)
def test_a_wrong_value_is_named(evaluation, changes, text):
    with pytest.raises(InvalidValueError, match=text):
        parse_evaluations([evaluation(**changes)])


def test_fewer_layers_on_a_task_that_the_model_cannot_do_are_no_help(evaluation):
    (item,) = parse_evaluations(
        [
            evaluation(
                accuracy_plain=0.0,
                accuracy_routed=0.0,
                layers_plain=4.0,
                layers_routed=3.0,
                helps=None,
            )
        ]
    )
    assert not router_helps(item)
    assert router_sentence(item).startswith("The router drllm does not help")
    assert "The plain model is right on nothing here" in router_sentence(item)


def test_a_missing_key_is_named(evaluation):
    broken = evaluation()
    del broken["layers_routed"]
    with pytest.raises(
        InvalidValueError,
        match=r"layers_routed: Field required; pass the JSON of router-train evaluate",
    ):
        parse_evaluations([evaluation(), broken])


@pytest.fixture
def searched(corpus_of, records):
    return corpus_of(records).manifest.provenance


def test_a_search_without_trouble_has_no_note(record, searched):
    assert search_notes(summarise([record("q", identity=1.0, best=(0, 1, 3))]), searched) == ()
    assert search_notes(summarise([]), replace(searched, evidence="guide=3")) == ()


def test_one_fault_is_noted_with_its_count_and_first_place(records, searched):
    (note,) = search_notes(summarise(records), searched)
    assert note.startswith(
        "paths without a verdict: 1 (1 x NonFiniteLogitsError: NaN); the first: example "
    )
    assert note.endswith("path 0-3: NonFiniteLogitsError: NaN")


@pytest.mark.parametrize(
    ("evaluated", "words"),
    [
        ((), "the study of other questions found no path to try"),
        ((0, 1, 3), "no path that was tried gave the evidence that best paths need"),
    ],
)
def test_evidence_that_no_path_gave_is_noted_with_the_way_out(record, searched, evaluated, words):
    plain = record("right", identity=1.0, best=(0, 1, 2, 3))
    tried = record("tried", identity=1.0, best=evaluated or (0, 1, 2, 3))
    tried = replace(tried, best=plain.best, pareto=plain.pareto)
    guarded = replace(searched, preset="credible", evidence="guide=3", budget=20)
    (note,) = search_notes(summarise([plain, tried]), guarded)
    assert note.startswith(f"preset credible: {words}")
    assert "2 questions, a budget of 20, and a model that is right on 100% of them" in note
    assert "or take --preset drllm" in note
    assert search_notes(summarise([plain, tried]), searched) == ()


def test_paths_searched_for_evidence_count(record):
    summary = summarise([record("q", identity=1.0, best=None)])
    assert num_searched({}, summary) == 1
    assert num_searched({"paths_searched": 40}, summary) == 40
    assert num_searched({"paths_searched": 0}, summary) == 1


def test_the_terminal_summary(records, evaluation):
    out = io.StringIO()
    console = Console(file=out, width=110)
    commands = next_commands(Path("runs/x"), Path("runs/x/routers"))
    print_summary(
        console,
        {"paths_evaluated": 7, "cache_hits": 3, "paths_per_device_hour": 12345.6},
        summarise(records),
        [evaluation(router="[red]odd[/red]", accuracy_routed=0.5)],
        commands,
    )
    text = out.getvalue()
    for expected in (
        "40.0%",
        "60.0%",
        "3.7 of 4",
        "12,346",
        "4.0 -> 3.2",
        "router [red]odd[/red]",
        "does not help",
    ):
        assert expected in text, expected
    assert "router-train fit --corpus runs/x --router drllm --out runs/x/routers/drllm" in text


def test_with_a_router_the_next_command_uses_it():
    assert next_commands(Path("r"), Path("r/routers"), router="static")[-1].startswith(
        "router-train generate --router r/routers/static "
    )


def test_commands_can_be_pasted_and_name_a_users_task():
    fit = next_commands(Path("my runs/x"), Path("my runs/x/routers"), task_file="YOUR_TASK_FILE")[
        -1
    ]
    assert fit == (
        "router-train fit --corpus 'my runs/x' --router drllm --out 'my runs/x/routers/drllm' "
        "--task YOUR_TASK_FILE"
    )
