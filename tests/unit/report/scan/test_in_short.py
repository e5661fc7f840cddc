"""One sentence about a scan: layers, right answers, time, and no more than is sure."""

from dataclasses import replace

from support.scans import scan_result

from search_cluster.report.scan.in_short import in_short
from search_cluster.scan.result import Timing


def test_a_sure_path_is_told_with_its_layers_right_answers_and_time() -> None:
    result = scan_result()
    first, *others = result.finalists
    test = first.test
    assert test is not None
    timed = replace(
        first,
        timings=(
            Timing(batch=8, seconds=1.0, plain_seconds=1.1),
            Timing(batch=1, seconds=1.0, plain_seconds=1.164),
        ),
    )
    said = in_short(replace(result, finalists=(timed, *others)))
    assert said == (
        f"24 of 30 layers, {100 * test.accuracy:.1f} % instead of "
        f"{100 * test.plain_accuracy:.1f} % right on 1,000 fresh questions "
        f"({100 * test.low:+.1f} to {100 * test.high:+.1f} points), "
        "1.16 times as fast at batch 1."
    )
    untimed = in_short(replace(result, finalists=(replace(first, timings=()), *others)))
    assert "times as fast" not in untimed
    again = in_short(replace(result, test_uses=2))
    assert "fresh" not in again
    assert "questions of test, not its first look" in again


def test_what_is_not_sure_is_not_offered() -> None:
    result = scan_result(is_sure=False)
    said = in_short(result)
    assert said.startswith("Nothing is sure, so the plain model stays. The best path, ")
    assert " instead of " in said
    untested = tuple(replace(item, test=None) for item in result.finalists)
    assert in_short(replace(result, finalists=untested)) == (
        "The plain model stays: no path was worth a look at test."
    )
