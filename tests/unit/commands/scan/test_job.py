"""Which tasks a scan takes together."""

from pathlib import Path

import pytest
from support.own_task import write_own_task

from search_cluster.commands.scan.job import ScanTasks
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError


def test_tasks_of_one_name_are_told_from_one_that_is_named_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_own_task(folder)
        files.append(str(folder / "own.jsonl"))
    first, second = files
    with pytest.raises(ConfigError) as raised:
        ScanTasks.of(SearchConfig(), [first], [second])
    assert str(raised.value).startswith(f"tasks {first} and {second} have one name, own, and a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="task own is named twice; name each task and guard once"):
        ScanTasks.of(SearchConfig(), [first, "a/own.jsonl"], [])
