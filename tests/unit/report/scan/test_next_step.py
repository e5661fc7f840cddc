"""What a reader is told to do after a scan."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.scans import scan_result

from search_cluster.report.scan.next_step import next_step
from search_cluster.scan.result import ScanResult

FOLDER = Path("runs/my scan")


def test_what_is_sure_is_exported() -> None:
    assert next_step(scan_result(), FOLDER) == (
        "search-cluster scan export 'runs/my scan' --format hf --out MODEL_FOLDER"
    )


def promised(result: ScanResult, validation: float, test: float | None) -> ScanResult:
    """A scan whose best finalist gained so much on 500 questions, and so much on 1,000."""
    best = result.finalists[0]
    changed = replace(
        best,
        validation=replace(best.validation, gain=validation),
        test=None if test is None else replace(best.test, gain=test),
    )
    others = () if test is None else result.finalists[1:]
    return replace(result, finalists=(changed, *others), smallest_gain=0.04)


@pytest.mark.parametrize(
    ("validation", "test", "words"),
    [
        (
            0.04,
            0.01,
            "promise (+2.0 points) takes about 4,000 of them to be sure of; there were 1,000",
        ),
        (
            0.02,
            None,
            "promise (+2.0 points) takes about 2,000 of them to be sure of; there were 500",
        ),
        (
            0.06,
            0.045,
            "1,000 questions would show what fresh ones promise (+5.0 points), and did not",
        ),
        (0.04, -0.02, "Fresh questions leave nothing of the best path: try larger blocks"),
        (-0.1, None, "Fresh questions leave nothing of the best path: try larger blocks"),
    ],
)
def test_where_nothing_is_sure_fresh_questions_decide(
    validation: float, test: float | None, words: str
) -> None:
    unsure = scan_result(is_sure=False)
    assert words in next_step(promised(unsure, validation, test), FOLDER)
    assert "leave nothing" in next_step(replace(unsure, finalists=()), FOLDER)


def of_aim(result: ScanResult, aim: str, *, shorter: bool = True) -> ScanResult:
    """The scan with another aim, whose best finalist runs fewer layers, or more."""
    best = result.finalists[0]
    summary = replace(best.summary, layers=24 if shorter else 36)
    return replace(result, aim=aim, finalists=(replace(best, summary=summary),))


@pytest.mark.parametrize("aim", ["layers", "front"])
@pytest.mark.parametrize(
    ("gain", "words"),
    [
        # 1,000 questions show a true distance of 4 points from what must be ruled out.
        (0.01, "24 of 30 layers loses no more than 1 point: +1.0 points so far) takes about 4,000"),
        (0.0, "loses no more than 1 point: +0.0 points so far) takes about 16,000 of them"),
        (
            0.035,
            "1,000 questions would show what fresh ones promise (repeat 19 with 24 of 30 layers",
        ),
        (-0.01, "shorter path that loses no more than 1 point: try "),
    ],
)
def test_for_fewer_layers_the_tolerated_loss_is_what_questions_must_rule_out(
    aim: str, gain: float, words: str
) -> None:
    unsure = of_aim(promised(scan_result(is_sure=False), gain, gain), aim)
    assert words in next_step(unsure, FOLDER)


def test_a_path_that_test_has_not_met_wants_as_many_as_those_that_it_has() -> None:
    tested = scan_result(is_sure=False).finalists[0]
    assert tested.test is not None
    assert tested.test.num_questions == 1000
    hoped = of_aim(promised(scan_result(is_sure=False), 0.0, None), "layers")
    result = replace(hoped, finalists=(*hoped.finalists, tested))
    assert "takes about 16,000 of them to be sure of; there were 500." in next_step(result, FOLDER)


def test_a_longer_path_is_no_hope_for_fewer_layers() -> None:
    unsure = promised(scan_result(is_sure=False), 0.02, 0.02)
    said = next_step(of_aim(unsure, "layers", shorter=False), FOLDER)
    assert said.startswith("Fresh questions leave no shorter path that loses no more than 1 point")
    said = next_step(of_aim(unsure, "front", shorter=False), FOLDER)
    assert "promise (+2.0 points) takes about 4,000 of them" in said


def test_where_the_plain_model_guesses_no_questions_make_fewer_layers_sure() -> None:
    unsure = replace(promised(scan_result(is_sure=False), 0.01, 0.01), plain_is_guessing=True)
    said = next_step(of_aim(unsure, "layers"), FOLDER)
    assert "no shorter path can be sure, however many questions are asked" in said
    for aim in ("accuracy", "front"):
        said = next_step(of_aim(unsure, aim), FOLDER)
        assert said.startswith("On this task the plain model can't be told from guesses")
        assert "promise (+1.0 points) takes about 16,000 of them" in said


def test_more_questions_are_not_said_to_mend_a_lost_task() -> None:
    unsure = promised(scan_result(is_sure=False), 0.06, 0.06)
    best = unsure.finalists[0]
    lost = replace(best, test_by_task={"a": best.test, "b": replace(best.test, gain=-0.02)})
    said = next_step(replace(unsure, finalists=(lost,)), FOLDER)
    assert "loses on b, and a path may lose none of several tasks" in said


def test_a_search_that_the_clock_ended_at_once_has_refuted_nothing() -> None:
    ended = replace(scan_result(is_sure=False), finalists=(), stopped_by="minutes")
    assert next_step(ended, FOLDER) == (
        "The limit of minutes ended the search before any path had met enough questions: run it "
        "again with a larger --minutes, which asks nothing twice."
    )
