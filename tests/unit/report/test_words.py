"""What is said about a router, in words and in the terminal table."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search_cluster.corpus.record import PathEvidence
from search_cluster.corpus.summary import num_searched, summarise
from search_cluster.errors import InvalidValueError
from search_cluster.report.notes import cut_notes, search_notes
from search_cluster.report.router_evaluations import (
    parse_evaluations,
    router_effect,
    router_sentence,
)
from search_cluster.report.terminal import next_commands, print_summary
from search_cluster.stats import Effect
from search_cluster.telemetry.sessions import total_of

SURE = {"num_fixed": 30, "num_broken": 10}
"""Answers of 100 questions that speak for the router."""
WORSE = {"num_fixed": 10, "num_broken": 30, "accuracy_routed": 0.4}
MANY = {"n": 4000, "num_fixed": 40, "num_broken": 40, "accuracy_routed": 0.6}


@pytest.mark.parametrize(
    ("changes", "effect", "words"),
    [
        (SURE, Effect.HELPS, "It saves 0.8 layers a question."),
        (SURE | {"design_effect": 6.0}, Effect.CANT_TELL, "takes more questions to see."),
        (SURE | {"layers_routed": 4.5}, Effect.HELPS, "It gains accuracy at no fewer layers."),
        (MANY, Effect.HELPS, "It saves 0.8 layers a question."),
        (MANY | {"layers_routed": 4.5}, Effect.HURTS, "It costs layers and gains nothing."),
        (WORSE, Effect.HURTS, "The layers that it saves cost accuracy."),
        (WORSE | {"layers_routed": 4.5}, Effect.HURTS, "It loses accuracy."),
        (
            {"num_fixed": 0, "num_broken": 0, "accuracy_routed": 0.6, "layers_routed": 4.0},
            Effect.CANT_TELL,
            "It chooses the plain path nearly always",
        ),
        (
            {"num_fixed": 7, "num_broken": 5},
            Effect.CANT_TELL,
            "Only the routed model is right on 7 of them, only the plain one on 5. It saves 0.8 "
            "layers a question; whether that costs accuracy takes more questions to see.",
        ),
        (
            {"num_fixed": 7, "num_broken": 5, "layers_routed": 4.5},
            Effect.CANT_TELL,
            "It runs no fewer layers, and its difference in accuracy may be chance.",
        ),
        ({"p_value": 0.001, "helps": True}, Effect.CANT_TELL, "can't tell whether it helps"),
        ({"effect": "hurts"}, Effect.HURTS, "hurts"),
        (
            MANY | {"chance": 0.25, "plain_is_guessing": True},
            Effect.CANT_TELL,
            "Uniform guesses are right on 25.0%: the plain model can't be told from guessing.",
        ),
        (SURE | {"chance": 0.25}, Effect.HELPS, "Uniform guesses are right on 25.0%."),
        (
            SURE | {"diff_low": 0.1, "diff_high": 0.3},
            Effect.HELPS,
            "(difference +10.0 to +30.0 points, p = 0.5)",
        ),
        (
            SURE | {"num_cut_plain": 3, "num_cut_routed": 4},
            Effect.HELPS,
            "The task's max_new_tokens cut 3 plain and 4 routed answers before they ended.",
        ),
        (
            SURE | {"layer_token_share_with_routing": 1.8},
            Effect.HELPS,
            "it does 180% of the plain model's layer work",
        ),
    ],
)
def test_claims_the_sentence_says_what_the_questions_show(evaluation, changes, effect, words):
    (parsed,) = parse_evaluations([evaluation(**changes)])
    sentence = router_sentence(parsed)
    assert router_effect(parsed) is effect
    assert words in sentence
    start = {
        Effect.HELPS: "The router drllm helps: on ",
        Effect.HURTS: "The router drllm hurts: on ",
        Effect.CANT_TELL: "The router drllm: can't tell whether it helps; on ",
    }
    assert sentence.startswith(start[effect])


@pytest.mark.parametrize(
    ("kinds", "names", "labels"),
    [
        (["drllm", "static"], ["", ""], ["drllm", "static"]),
        (["drllm", "drllm"], ["a", "b"], ["drllm (a)", "drllm (b)"]),
        (["drllm", "drllm"], ["", ""], ["drllm no. 1", "drllm no. 2"]),
        (["menu", "menu"], ["a", "a"], ["menu (a) no. 1", "menu (a) no. 2"]),
        (["menu", "drllm", "menu"], ["a", "b", ""], ["menu (a)", "drllm", "menu"]),
    ],
)
def test_claims_no_two_routers_are_called_the_same(evaluation, kinds, names, labels):
    found = parse_evaluations(
        [evaluation(router=kind, name=name) for kind, name in zip(kinds, names, strict=True)]
    )
    assert [item.label for item in found] == labels


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
                num_fixed=0,
                num_broken=0,
                n=5000,
            )
        ]
    )
    assert router_effect(item) is Effect.CANT_TELL
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


def with_choices(record, *, reward, number):
    item = record(f"q{number}", identity=reward, best=None)
    example = replace(item.example, choices=("yes", "no"), gold_index=0)
    return replace(item, example=example)


@pytest.mark.parametrize(
    ("num_right", "num_asked", "noted"),
    [(50, 100, True), (30, 100, True), (65, 100, False), (3, 3, True), (5, 5, False)],
)
def test_claims_a_plain_model_that_may_be_guessing_is_noted(
    record, searched, num_right, num_asked, noted
):
    records = [
        with_choices(record, reward=float(number < num_right), number=number)
        for number in range(num_asked)
    ]
    summary = summarise(records)
    assert (summary.chance, summary.plain_is_guessing) == (0.5, noted)
    notes = search_notes(summary, searched)
    assert ["can't be told from guessing (50.0%)" in note for note in notes] == [True] * noted


def test_claims_a_corpus_of_before_whose_best_paths_were_not_checked_says_so(record, searched):
    fixed = record("fixed", identity=0.0, best=(0, 1, 3))

    def with_evidence(**counts):
        item = PathEvidence(
            path=fixed.best[0].path, guide_right=0, guide_identity_right=None, verify_right=0,
            verify_identity_right=None, probe_right=5, probe_identity_right=5, num_probes=9,
            credible=True, **counts,
        )  # fmt: skip
        return replace(fixed, evidence=(item,))

    guarded = replace(searched, preset="credible", evidence="guide=3")
    unchecked = summarise([with_evidence(num_guide=0, num_verify=0)])
    (note,) = search_notes(unchecked, guarded)
    assert note.startswith("1 best paths count as credible without a single check")
    assert search_notes(summarise([with_evidence(num_guide=1, num_verify=0)]), guarded) == ()


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"cut_answers": 3, "paths_evaluated": 1200}, "3 of 1,200 answers that were computed"),
        ({"cut_answers": 3}, "3 answers that were computed"),
        ({"cut_answers": 0, "paths_evaluated": 9}, None),
        ({"cut_answers": None, "paths_evaluated": 9}, None),
        ({"paths_evaluated": 9}, None),
        ({}, None),
    ],
)
def test_claims_cut_answers_are_noted_where_they_are_known(run, words):
    notes = cut_notes(run)
    assert [words in note for note in notes] == ([] if words is None else [True])


def test_claims_sessions_that_did_not_count_leave_the_sum_unknown():
    old, new = {"paths_evaluated": 5}, {"paths_evaluated": 5, "cut_answers": 2}
    assert total_of([new, new])["cut_answers"] == 4
    assert total_of([old, new])["cut_answers"] is None


def test_claims_the_terminal_says_how_many_a_mean_is_of_and_what_guesses_reach(record):
    records = [with_choices(record, reward=1.0, number=number) for number in range(5)]
    out = io.StringIO()
    print_summary(Console(file=out, width=110), {"cut_answers": 2}, summarise(records))
    text = out.getvalue()
    assert "uniform guesses (chance)" in text
    assert "mean of 0 right" in text
    assert "answers cut by max_new_tokens" in text
    out = io.StringIO()
    print_summary(Console(file=out, width=110), {}, summarise([]))
    assert "none asked" in out.getvalue()
    assert " 0.0%" not in out.getvalue().replace("0.0% to 100.0%", "")


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
        "can't tell whether it helps",
        "difference in points: can't tell",
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
