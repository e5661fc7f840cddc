"""The first screen: its sentence, and what it says of luck, cost and the next step."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.scans import scan_result

from search_cluster.report.scan.cards import finalist_cards
from search_cluster.report.scan.in_short import in_short
from search_cluster.report.scan.verdict import first_screen, verdict_line
from search_cluster.scan.result import Finalist, LeftOut, Rung, ScanResult

FOLDER = Path("runs/my scan")


@pytest.fixture(scope="module")
def sure() -> ScanResult:
    return scan_result()


@pytest.fixture(scope="module")
def unsure() -> ScanResult:
    return scan_result(is_sure=False)


def with_winner(result: ScanResult, **changes: object) -> ScanResult:
    first, *others = result.finalists
    return replace(result, finalists=(replace(first, **changes), *others))


def screen(result: ScanResult, run: dict[str, object] | None = None) -> dict[str, str]:
    return {line.topic: line.text for line in first_screen(result, run or {}, FOLDER)}


def test_a_sure_path_is_named_with_its_gain_on_test_and_its_layers(sure: ScanResult) -> None:
    test = sure.finalists[0].test
    assert verdict_line(sure) == (
        f"skip 14-19 is better than the plain model: {100 * test.gain:+.1f} points "
        f"({100 * test.low:+.1f} to {100 * test.high:+.1f}) on 1,000 questions of test, with 24 of "
        "30 layers."
    )


def test_where_nothing_is_sure_the_sentence_begins_with_the_plain_model(
    sure: ScanResult, unsure: ScanResult
) -> None:
    assert verdict_line(unsure).startswith("plain model: nothing is sure; the best path, ")
    assert "questions of test." in verdict_line(unsure)
    # The flag decides, whatever single numbers look like.
    assert verdict_line(replace(sure, sure=False)).startswith("plain model: nothing is sure")
    untested = tuple(replace(item, test=None) for item in unsure.finalists)
    assert "500 questions of validation." in verdict_line(replace(unsure, finalists=untested))
    assert verdict_line(replace(unsure, finalists=())) == (
        "plain model: nothing is sure; no path was worth a look at validation."
    )


def test_a_path_that_is_taken_for_its_layers_is_not_called_better(sure: ScanResult) -> None:
    test = replace(sure.finalists[0].test, gain=0.002, low=-0.008, high=0.012)
    said = verdict_line(replace(with_winner(sure, test=test), aim="layers"))
    assert said == (
        "skip 14-19 keeps the plain model's accuracy within 1 point: +0.2 points (-0.8 to +1.2) on "
        "1,000 questions of test, with 24 of 30 layers."
    )


def test_what_was_found_ends_with_the_sentence_for_whoever_pays(sure: ScanResult) -> None:
    found = screen(sure)["What was found"]
    assert f"skip 14-19 came out, with 6 layers fewer (20%): {in_short(sure)}" in found


def test_luck_and_what_test_can_show_are_said(sure: ScanResult) -> None:
    said = screen(sure)["Is it true?"]
    assert (
        "The best of 929 by chance would show +21.3 points on these 32 questions. A true gain of "
        "+4.4 points would show in four of five such looks at test, which was looked at once."
        in said
    )
    train = sure.finalists[0].summary.train.gain
    held = screen(sure)["What held"]
    assert held.startswith(f"skip 14-19: {100 * train:+.1f} on train, which chose it, ")
    assert held.endswith(f"to {100 * sure.finalists[0].test.high:+.1f}) on test.")
    assert "What held" not in screen(replace(sure, finalists=(), sure=False))


def test_facts_that_are_asked_in_several_ways_are_said(sure: ScanResult) -> None:
    test = replace(sure.finalists[0].test, num_facts=240)
    often = with_winner(sure, test=test)
    said = "four of five such looks at test (1,000 questions of 240 facts)"
    assert f"{said}, which was looked at once." in screen(often)["Is it true?"]
    notes = [row.note for card in finalist_cards(often) for row in card.rows]
    assert any(note.startswith("1,000 questions of 240 facts, ") for note in notes)
    alone = with_winner(sure, test=replace(test, num_facts=1000))
    assert screen(alone)["Is it true?"] == screen(sure)["Is it true?"]


def test_what_it_cost(sure: ScanResult) -> None:
    result = replace(sure, verdicts=1000, exhaustive_verdicts=9100)
    assert screen(result, {"elapsed_seconds": 720.0, "workers": 2})["What it cost"] == (
        "1,000 verdicts, 9.1 times fewer than all paths on all questions would take; 12 min with 2 "
        "workers."
    )
    assert screen(result)["What it cost"].endswith("would take.")
    whole = replace(sure, verdicts=1000, exhaustive_verdicts=1000)
    assert screen(whole)["What it cost"].startswith("1,000 verdicts, about as many as all paths")


def test_looking_at_test_again_and_losses_on_guards_are_warned_of(sure: ScanResult) -> None:
    assert not [line for line in first_screen(sure, {}, FOLDER) if line.kind]
    loss = replace(sure.finalists[0].test, gain=-0.04, low=-0.07, high=-0.01)
    winner: Finalist = sure.finalists[0]
    result = replace(with_winner(sure, guards={**winner.guards, "mmlu": loss}), test_uses=3)
    warned = [line.text for line in first_screen(result, {}, FOLDER) if line.kind == "fails"]
    assert len(warned) == 2
    assert warned[0].startswith("Test was looked at 3 times in this folder.")
    assert warned[1].startswith("It surely loses on mmlu. All guards: arc_easy ")
    assert "mmlu -4.0 (-7.0 to -1.0)" in warned[1]
    assert screen(sure)["Elsewhere"].startswith("No sure loss on the guards: arc_easy ")


def test_a_search_that_was_cut_short_and_splits_that_were_made_are_said(sure: ScanResult) -> None:
    assert not {"Cut short", "Splits"} & set(screen(sure))
    said = screen(
        replace(
            sure, stopped_by="budget", made_splits={"mine": ("validation", "test"), "other": ()}
        )
    )
    assert said["Cut short"].startswith("The limit of budget ended the search before its plan")
    assert said["Splits"] == (
        "mine has no validation and no test of its own: they were cut from train, fact by fact."
    )


def test_questions_that_count_for_nobody_are_said(sure: ScanResult) -> None:
    assert "Left out" not in screen(sure)
    result = replace(
        sure,
        left_out=(
            LeftOut(split="train", num_questions=9, num_asked=524, cause="NonFiniteLogitsError"),
            LeftOut(split="test", num_questions=12, num_asked=474, cause="PromptTooLongError: 9k"),
        ),
    )
    line = next(item for item in first_screen(result, {}, FOLDER) if item.topic == "Left out")
    assert (line.text, line.kind) == (
        "The plain model could not answer 9 of 524 questions of train, 12 of 474 questions of "
        "test, which count for neither it nor a path. Most often: PromptTooLongError: 9k",
        "fails",
    )


def test_paths_that_a_look_left_out_were_tries_of_luck_too(sure: ScanResult) -> None:
    look, first = (
        Rung(step=0, num_questions=8, num_paths=929, num_wrecks=20, num_kept=376),
        Rung(step=0, num_questions=32, num_paths=376, num_wrecks=0, num_kept=232),
    )
    result = replace(sure, rungs=(look, first), chance_paths=376)
    assert screen(result)["Is it true?"].startswith(
        "The best of 376 by chance would show +21.3 points on these 32 questions, and luck had "
        "more tries: 553 others were left out after a look at 8 of them. A true gain of"
    )


@pytest.mark.parametrize("aim", ["accuracy", "layers", "front"])
def test_a_plain_model_that_guesses_is_said_at_once_and_in_what_next(
    sure: ScanResult, unsure: ScanResult, aim: str
) -> None:
    for result in (sure, unsure):
        assert "guesses" not in verdict_line(result)
        said = verdict_line(replace(result, aim=aim, plain_is_guessing=True))
        assert said.endswith("; the plain model can't be told from guesses on test.")
    guessing = replace(unsure, aim=aim, plain_is_guessing=True)
    assert "the plain model can't be told from guesses" in screen(guessing)["What next"]
