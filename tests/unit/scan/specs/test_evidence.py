"""Which path of a scan is given away, and what is said of it."""

from dataclasses import replace

import pytest
from support.scanned import scan_result

from search_cluster.errors import ConfigError, InvalidPathError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.specs.chosen import path_to_export
from search_cluster.scan.specs.evidence import evidence_line, evidence_table, standing_of

SKIP = LayerPath((0, 1, 2, 3, 5), 6)
REPEAT = LayerPath((0, 1, 2, 1, 2, 3, 4, 5), 6)


def test_the_scan_s_choice_is_exported_only_if_it_is_sure() -> None:
    def chosen(*, sure: bool, named: str | None = None, best: bool = False) -> LayerPath:
        result = scan_result([SKIP, REPEAT], sure=sure)
        return path_to_export(result, named=named, best=best, folder="runs/x")

    assert chosen(sure=True) == chosen(sure=True, best=True) == chosen(sure=False, best=True)
    assert chosen(sure=True) == SKIP
    assert chosen(sure=False, named="blocks:1,3") == REPEAT
    with pytest.raises(
        ConfigError,
        match=r"the scan in runs/x is not sure that any of its 929 paths is better than the plain "
        r"model; take its best with --best \(0-3,5\), or name one with --path",
    ):
        chosen(sure=False)
    with pytest.raises(ConfigError, match="--path and --best name two paths"):
        chosen(sure=True, named="0", best=True)
    with pytest.raises(InvalidPathError, match=r"the model has layers 0\.\.5"):
        chosen(sure=True, named="0-6")
    for best in (False, True):
        with pytest.raises(ConfigError, match=r"than the plain model; name one with --path"):
            path_to_export(scan_result([], sure=False), named=None, best=best, folder="x")


def test_a_path_that_the_scan_calls_so_is_that_path(caplog: pytest.LogCaptureFixture) -> None:
    ends, other = LayerPath((0, 5), 6), LayerPath((1, 4), 6)
    result = scan_result([SKIP], others=[ends])
    assert path_to_export(result, named=str(ends), best=False, folder="x") == ends
    assert not caplog.messages
    assert path_to_export(result, named=str(other), best=False, folder="x") == other
    assert "a block of RYS is written blocks:1,4" in caplog.text


def test_evidence_says_where_figures_come_from_and_what_is_not_sure() -> None:
    other, unknown = LayerPath((0, 1, 2), 6), LayerPath((5, 4), 6)
    result = scan_result([SKIP, REPEAT], others=[other])
    assert evidence_line(result, SKIP) == (
        "One of 929 paths that were tried on arc_easy, elements, sure on test; gains in points "
        "with 95 % intervals: train +8.0 [+6.0, +10.0] of 500 questions; validation +6.0 [+4.0, "
        "+8.0] of 1000 questions; test +5.0 [+3.0, +7.0] of 2000 questions; guard mmlu -1.0 "
        "[-3.0, +1.0] of 300 questions."
    )
    assert ", not sure; " in evidence_line(result, REPEAT)
    assert ", not sure; " in evidence_line(scan_result([SKIP], sure=False), SKIP)
    assert "Nothing was measured of it" in evidence_line(result, unknown)
    assert "Nothing was measured of it" in evidence_table(result, unknown)
    table = evidence_table(result, SKIP)
    assert "929 paths were tried on `arc_easy`, `elements`." in table
    assert "| test | 2000 | 3 | 40.0% | 45.0% | +5.0 [+3.0, +7.0] | 0.01 |" in table
    assert "`test` had no say; this run folder has looked at it 1 time." in table
    assert "would gain +21.0 points by chance there" in table
    assert "80 % power is 3.1 points" in table
    assert "**not sure**" not in table
    assert "**not sure**" in evidence_table(result, REPEAT)
    assert "| train | 500 | 929 |" in evidence_table(result, other)
    assert "| validation |" not in evidence_table(result, other)
    assert standing_of(result, other, "test") is None
    assert "cut from train" not in table
    cut = replace(result, made_splits={"made_up": ("validation", "test")})
    assert "`made_up` has no validation and no test of its own: cut from train." in evidence_table(
        cut, SKIP
    )
