from pathlib import Path

import pytest
from support.scanned import scan_result, write_scan

from search_cluster.commands.depth.subject import paths_of, subject_of
from search_cluster.errors import ConfigError, InvalidPathError, TaskError
from search_cluster.paths.layer_path import LayerPath


def test_a_tasks_name_wins_over_a_folder_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elements").mkdir()
    monkeypatch.chdir(tmp_path)
    assert subject_of("elements").task.name == "elements"
    with pytest.raises(ConfigError, match="without a finished search or scan"):
        subject_of("./elements")


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(TaskError, match="no task is called"):
        subject_of("elementz")


def test_paths_stand_once_and_the_plain_one_is_left_out() -> None:
    paths = paths_of(["0-2,4-5", "0-5", "0,1,2,4,5"], 6)
    assert [str(path) for path in paths] == ["0-2,4-5"]
    with pytest.raises(InvalidPathError):
        paths_of(["0-2,4-9"], 6)


def test_of_several_tasks_the_studied_one_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = LayerPath((0, 1, 2, 4, 5), 6)
    write_scan(tmp_path, scan_result([path], tasks=("elements", "capitals")))
    assert subject_of(str(tmp_path)).task.name == "elements"
    assert (
        "scanned the tasks elements, capitals; elements, the first, is" in capsys.readouterr().err
    )
    write_scan(tmp_path, scan_result([path], tasks=("elements",)))
    assert subject_of(str(tmp_path)).found == (f"layers:{path}",)
    assert not capsys.readouterr().err


def test_found_paths_of_two_layers_are_no_blocks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = [LayerPath((0, 5), 6), LayerPath((3, 1), 6)]
    write_scan(tmp_path, scan_result(found, tasks=("elements",)))
    assert paths_of(subject_of(str(tmp_path)).found, 6) == tuple(found)
    assert not caplog.messages
    assert paths_of(["0,5"], 6) == (found[0],)
    assert "path 0,5 is read as these two layers alone" in caplog.text
