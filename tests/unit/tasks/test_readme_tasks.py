"""The tasks that the guide to tasks shows, taken from it as printed."""

import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from search_cluster.task_spec import spec_with
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import AnswerKind

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "search_cluster" / "tasks" / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The guide's code blocks in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)


def block(language: str) -> str:
    """The guide's one code block in that language."""
    (found,) = blocks(language)
    return found


def test_the_pair_of_files(tmp_path: Path) -> None:
    (tmp_path / "rivers.toml").write_text(blocks("toml")[1])
    (tmp_path / "rivers.jsonl").write_text(block("json"))
    task = get_task(str(tmp_path / "rivers.toml"))
    assert task.kind is AnswerKind.CHOICE
    (vienna,) = task.load("train", None).examples
    (cairo,) = task.load("test", None).examples
    assert (vienna.gold, cairo.gold) == ("Danube", "Nile")
    assert task.prompt(cairo).plain == "Q: Which river flows through Cairo?\nA:"
    assert not task.load("train", None).malformed


def test_the_python_file(tmp_path: Path) -> None:
    (tmp_path / "doubling.py").write_text(block("python"))
    task = get_task(str(tmp_path / "doubling.py"))
    sizes = [len(task.load(split, None).examples) for split in ("train", "validation", "test")]
    assert sum(sizes) == 997
    assert min(sizes) > 100
    examples = task.load("test", None).examples
    assert all(
        example.gold == str(2 * int(example.question.split()[-1].strip("?")))
        for example in examples
    )
    assert not task.load("test", None).malformed


def test_the_description_of_any_data(tmp_path: Path) -> None:
    (tmp_path / "towns.toml").write_text(blocks("toml")[0])
    rows = [
        {"town": f"Town {n}", "first": f"Aare {n}", "second": f"Ill {n}", "right": f"Ill {n}"}
        for n in range(40)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "towns.parquet")
    task = get_task(str(tmp_path / "towns.toml"))
    example = task.load("train", None).examples[0]
    number = example.gold.split()[1]
    assert task.prompt(example).plain == (
        f"Town {number}: which river is it?\n- Aare {number}\n- Ill {number}\nAnswer:"
    )


def test_the_commands_that_look_at_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sums = "".join(f"{n},{n + 1},{2 * n + 1}\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"first,second,total\n{sums}")
    (command,) = [
        line for line in "\n".join(blocks("bash")).replace("\\\n", "").splitlines()
        if "rows.csv" in line
    ]  # fmt: skip
    fields = [part for part in shlex.split(command) if part.startswith(("question=", "answer="))]
    task = get_task(spec_with("rows.csv", dict(field.split("=", 1) for field in fields)))
    assert task.load("train", None).examples[0].question.endswith(" =")
