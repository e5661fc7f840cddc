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
