"""What ``tasks show`` prints of a question, and what ``tasks check`` finds in data."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.harness_files import write_rows
from support.loaded_tiny import loaded_tiny
from typer.testing import CliRunner

from search_cluster.cli import app
from search_cluster.commands.tasks import check, show
from search_cluster.commands.tasks.check import check_task, checked_lines
from search_cluster.commands.tasks.show import show_question, shown_lines
from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError

RIVERS = [
    {
        "question": f"Which river is number {number}?",
        "choices": [f"Aare {number}", f"Rhine {number}"],
        "answer": f"{('Aare', 'Rhine')[number % 2]} {number}",
        "split": ("train", "validation", "test")[number % 3],
    }
    for number in range(12)
]


def checked(tmp_path: Path, *more: dict[str, Any], options: str = "") -> dict[str, Any]:
    file = write_rows(tmp_path, "rows.jsonl", [*RIVERS, *more])
    return check_task(f"{file}{options}", SearchConfig(), with_model=False)


def row(question: str, **changes: Any) -> dict[str, Any]:
    return {
        "question": question,
        "choices": ["a river", "a lake"],
        "answer": "a lake",
        "split": "train",
        **changes,
    }


def test_good_data_have_no_problem(tmp_path: Path) -> None:
    found = checked(tmp_path)
    assert found["ok"]
    assert [found["splits"][split]["questions"] for split in found["splits"]] == [4, 4, 4]
    assert found["splits"]["train"]["gold_places"] == {"0": 2, "1": 2}
    assert checked_lines(found)[-1] == "no problem found"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([row("x", answer="a sea")], r"left out: 'answer' is 'a sea', which is none of"),
        ([row("x", choices=["a", "a"], answer="a")], r"left out: two of the choices"),
        ([row("x", choices=["A lake", "a lake"])], r"are the same up to how they are typed"),
        ([row("x", answer=7)], r"left out: 'answer' is 7; the choices are numbered"),
        ([row(" ")], r"left out: 'question' is empty"),
        ([row("x"), row("X?", split="test")], r"left out: split 'test' asks the same question"),
        ([row("x"), row("x", answer="a river")], r"left out: the question has more than one"),
    ],
)
def test_a_problem_is_found_and_placed(
    rows: list[dict[str, Any]], problem: str, tmp_path: Path
) -> None:
    found = checked(tmp_path, *rows)
    assert not found["ok"]
    assert found["num_problems"] == len(found["problems"]) >= 1
    (first, *_) = [item for item in found["problems"] if re.search(problem, item["problem"])]
    assert first["source"].startswith("rows.jsonl:")
    assert any(problem["source"] in line for line in checked_lines(found) for problem in [first])


def test_a_choice_that_is_always_in_one_place(tmp_path: Path) -> None:
    more = [row(f"number {number}") for number in range(60)]
    problems = [item["problem"] for item in checked(tmp_path, *more)["problems"]]
    assert any("the right choice is number 1 in 62 of 64" in item for item in problems)


def test_an_answer_that_its_grader_does_not_accept(tmp_path: Path) -> None:
    file = write_rows(
        tmp_path,
        "sums.jsonl",
        [
            {"question": f"{number} + 1?", "answer": f"{number + 1}", "split": split}
            for number, split in enumerate(["train", "validation", "test"])
        ]
        + [{"question": "Name two lines.", "answer": "one\ntwo", "split": "train"}],
    )
    found = check_task(f"{file}?grader=exact&kind=generate", SearchConfig(), with_model=False)
    assert [item["problem"] for item in found["problems"]] == [
        r"the answer 'one\ntwo' holds '\n', which ends an answer"
    ]


def test_with_a_model_prompts_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_loaded", lambda config: loaded_tiny())
    file = write_rows(tmp_path, "rows.jsonl", [*RIVERS, row("river " * 5000)])
    found = check_task(file, SearchConfig(), with_model=True)
    (problem,) = found["problems"]
    assert "context window" in problem["problem"]
    assert found["splits"]["train"]["longest_tokens"] > 10


def test_a_question_as_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_rows(tmp_path, "rows.jsonl", RIVERS)
    shown = show_question(file, SearchConfig(), split="test", number=1, with_model=False)
    assert shown["prompt_plain"] == "Question: Which river is number 5?\nAnswer:"
    assert (shown["gold"], shown["gold_index"], shown["questions"]) == ("Rhine 5", 1, 4)
    lines = shown_lines(shown)
    assert "| Answer:" in lines
    assert "* 'Rhine 5'" in lines
    assert "  'Aare 5'" in lines
    with pytest.raises(ConfigError, match="example is 4; test of task rows has questions 0 to 3"):
        show_question(file, SearchConfig(), split="test", number=4, with_model=False)


def test_a_question_as_a_model_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loaded_tiny()
    monkeypatch.setattr("search_cluster.commands.model.load_configured", lambda config: loaded)
    file = write_rows(tmp_path, "rows.jsonl", RIVERS)
    shown = show_question(file, SearchConfig(), split=None, number=0, with_model=True)
    assert shown["split"] == "train"
    assert "".join(item["text"] for item in shown["context_tokens"]).strip() != ""
    assert len(shown["choice_tokens"]) == 2
    assert any(line.startswith("its tokens: ") for line in shown_lines(shown))
    assert show is not None


def test_the_commands(tmp_path: Path) -> None:
    file = write_rows(tmp_path, "rows.jsonl", [*RIVERS, row("x", answer=7)])
    run = CliRunner().invoke
    listed = run(app, ["tasks", "--json"])
    assert listed.exit_code == 0
    assert json.loads(listed.stdout) == json.loads(run(app, ["tasks", "list", "--json"]).stdout)
    assert "lm-eval:NAME" in run(app, ["tasks"]).stdout
    shown = run(app, ["tasks", "show", file, "--example", "1", "--json"])
    assert json.loads(shown.stdout)["choices"] == ["Aare 3", "Rhine 3"]
    bad = run(app, ["tasks", "check", file, "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["num_problems"] == 1
    assert run(app, ["tasks", "check", file, "--field", "answer=question"]).exit_code == 2
    good = run(app, ["tasks", "check", "capitals"])
    assert (good.exit_code, good.stdout.splitlines()[-1]) == (0, "no problem found")
    assert run(app, ["tasks", "show", "capitols"]).exit_code == 2
