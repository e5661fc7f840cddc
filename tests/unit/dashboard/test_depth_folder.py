"""A depth study in the dashboard: alone, beside a run, and damaged."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.depth_studies import made_up_study
from support.run_folders import all_kinds, write_run

from search_cluster.dashboard.overview import describe_run
from search_cluster.dashboard.run_folder import RunFolder, RunState
from search_cluster.depth.result import DEPTH_NAME, write_depth_result
from search_cluster.errors import CorpusError
from search_cluster.report.depth.words import headline
from search_cluster.scan.result import SCAN_NAME


def seen(folder: Path) -> dict[str, Any]:
    """What the page gets, through JSON that has no NaN."""
    values = json.loads(json.dumps(describe_run(RunFolder(folder)), allow_nan=False))
    assert isinstance(values, dict)
    return values


def test_a_study_alone_is_a_finished_run_with_all_its_findings(tmp_path: Path) -> None:
    study = made_up_study()
    write_depth_result(tmp_path, study)
    said = seen(tmp_path)
    assert said["run"]["state"] == RunState.FINISHED
    depth = said["depth"]
    assert (depth["title"], depth["is_all"]) == ("Depth of tiny", True)
    assert [line["text"] for line in depth["lines"]] == headline(study)
    pictures = json.loads(
        json.dumps(RunFolder(tmp_path).depth.describe_pictures(), allow_nan=False)
    )
    assert pictures["tag"] == depth["tag"]
    assert pictures["figures"][0]["title"] == "Whose tokens are guessed"
    assert len(pictures["figures"][0]["data"]) == 8  # four buckets, two views
    tables = {table["id"]: table for table in pictures["tables"]}
    assert tables["layers"]["rows"][0][2] == "0.900 (0.890 to 0.910)"
    assert tables["priors"]["rows"] == [["influence (text)", "0.50 (0.49 to 0.51)", "100", "2"]]
    assert ["model", "tiny"] in pictures["provenance"]


def test_a_study_beside_a_run_is_shown_with_it_and_follows_changes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds())
    assert seen(folder)["depth"] is None
    watched = RunFolder(folder)
    (folder / "depth").mkdir()
    write_depth_result(folder / "depth", made_up_study())
    first = watched.depth.describe()
    assert first is not None
    assert (first["is_all"], first["notes"]) == (False, ("a line",))
    write_depth_result(folder / "depth", made_up_study(notes=("one line", "and another")))
    second = watched.depth.describe()
    assert second is not None
    assert second["notes"] == ("one line", "and another")
    assert second["tag"] != first["tag"]


def test_a_damaged_study_is_a_problem_and_no_study_has_no_pictures(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", all_kinds())
    with pytest.raises(CorpusError, match="holds no depth study; name what 'depth --out' named"):
        RunFolder(folder).depth.describe_pictures()
    (folder / DEPTH_NAME).write_text("{")
    said = seen(folder)
    assert said["depth"] is None
    assert any(DEPTH_NAME in problem for problem in said["problems"])


def test_a_damaged_scan_hides_no_study(tmp_path: Path) -> None:
    write_depth_result(tmp_path, made_up_study())
    (tmp_path / SCAN_NAME).write_text("{")
    said = seen(tmp_path)
    assert any(SCAN_NAME in problem for problem in said["problems"])
    assert said["depth"]["title"] == "Depth of tiny"
