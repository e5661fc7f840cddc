"""Which tasks a scan takes together."""

import json
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


def test_a_guard_changes_no_fact_of_the_tasks_that_are_searched(tmp_path: Path) -> None:
    def write(name: str, questions: list[tuple[str, str]]) -> str:
        rows = [
            {"question": question, "choices": [answer, "no"], "answer": answer}
            for question, answer in questions
        ]
        file = tmp_path / f"{name}.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        return str(file)

    # "metal3 of town3" and "town3 of metal3" name each other, through the guard alone.
    searched = write("searched", [(f"Who mines in town{n}?", f"metal{n}") for n in range(300)])
    guard = write("guard", [(f"Where is metal{n} mined?", f"town{n}") for n in range(300)])
    alone = ScanTasks.of(SearchConfig(), [searched], [])
    guarded = ScanTasks.of(SearchConfig(), [searched], [guard])
    both = ScanTasks.of(SearchConfig(), [searched, guard], [])
    ids = [item.example_id for item in alone.questions["searched"].everything]
    assert [guarded.fact_of[name] for name in ids] == [alone.fact_of[name] for name in ids]
    assert len(set(guarded.fact_of.values())) == len(guarded.fact_of) == 600
    assert len(set(both.fact_of.values())) == 300  # the texts do name each other
