"""The tasks that the guide to tasks shows, taken from it as printed."""

import re
from pathlib import Path

from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import AnswerKind

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "search_cluster" / "tasks" / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The guide's one code block in that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_pair_of_files(tmp_path: Path) -> None:
    (tmp_path / "rivers.toml").write_text(block("toml"))
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
