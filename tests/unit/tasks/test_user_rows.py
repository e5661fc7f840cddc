"""The registry and users' own tasks.

Tried are names, suggestions, Python files, pairs of TOML and JSONL, and data folders.
"""

import shutil
from pathlib import Path

import pytest

from search_cluster.errors import TaskError
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.registry import absolute_spec, get_task, list_tasks
from search_cluster.tasks.simple import choice_task, generate_task
from search_cluster.tasks.task import SPLITS, AnswerKind, Task
from search_cluster.tasks.template import check_template, render
from search_cluster.tasks.user_rows import rows_source

DATA = Path(__file__).parent / "data"
NAMES = (
    *(
        "capitals",
        "elements",
        "arithmetic",
        "arc_easy",
        "arc_challenge",
        "arc_easy_letter",
        "arc_challenge_letter",
    ),
    *("gsm8k", "math", "mmlu", "truthfulqa_mc1", "sst2", "aime24", "agieval", "squad_v2"),
)


def test_all_tasks_are_listed_and_follow_the_protocol() -> None:
    assert tuple(task.name for task in list_tasks()) == NAMES
    for task in list_tasks():
        assert isinstance(task, Task)
        assert get_task(task.name) is task
        assert (task.kind is AnswerKind.CHOICE) == (task.max_new_tokens == 0)
        assert task.description
        assert task.version


def test_an_unknown_name_is_answered_with_close_ones() -> None:
    with pytest.raises(
        TaskError,
        match=r"no task is called 'capital' \(did you mean capitals or agieval\?\); "
        "run `search-cluster",
    ):
        get_task("capital")
    with pytest.raises(TaskError, match="no task is called 'zzz'; run `search-cluster tasks`"):
        get_task("zzz")
    with pytest.raises(TaskError, match=r"task file .*/nowhere\.toml does not exist"):
        get_task("nowhere.toml")


@pytest.mark.parametrize(
    ("spec", "what"),
    [("capitals", "a task that has a name"), (f"{DATA}/rivers.toml", r"a \.toml file")],
)
def test_options_of_a_task_that_has_none_are_refused(spec: str, what: str) -> None:
    with pytest.raises(TaskError, match=rf"'num_fewshot' is no option of {what}, .*leave it out"):
        get_task(f"{spec}?num_fewshot=3")


def test_specs_survive_another_working_directory() -> None:
    assert absolute_spec("capitals") == "capitals"
    assert Path(absolute_spec("mine.py")).is_absolute()
    here = Path.cwd()
    assert absolute_spec("rows.jsonl?answer={{a}}") == f"{here}/rows.jsonl?answer={{{{a}}}}"
    assert absolute_spec("lm-eval:arc?include_path=x") == f"lm-eval:arc?include_path={here}/x"
    assert absolute_spec("hub:org/name?answer=a") == "hub:org/name?answer=a"


def test_a_choice_task_from_toml_and_jsonl() -> None:
    task = get_task(str(DATA / "rivers.toml"))
    (example,) = task.load("validation", None).examples
    assert (example.gold, example.gold_index, example.source) == ("Seine", 1, "rivers.jsonl:2")
    prompt = task.prompt(example)
    assert prompt.choices == ("Thames", "Seine", "Rhine")
    assert prompt.plain == "Question: Which river flows through Paris?\nAnswer:"
    assert task.grade(example, "Seine") == 1.0
    assert task.grade(example, "Rhine") == 0.0
    assert task.load("test", None).examples[0].difficulty == "easy"


def test_a_generate_task_from_toml_and_jsonl() -> None:
    task = get_task(str(DATA / "halves.toml"))
    (example,) = task.load("test", None).examples
    assert (task.max_new_tokens, task.stop_strings, task.kind) == (8, ("\n",), AnswerKind.GENERATE)
    assert task.grade(example, "It is 1000.") == 1.0
    assert task.prompt(example).choices == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"choice"', '"guess"', "kind: Input should be 'choice' or 'generate'"),
        (
            "[prompt]",
            "[prompts]",
            r"prompt: Field required; prompts is no field \(did you mean prompt\?\); the task has",
        ),
        ('"{question}"', '"{query}"', r"has the field \{query\}"),
        ('"{question}"', '"{question.__class__}"', "has the field"),
        ('"{question}"', '"{question"', "write {{ and }}"),
        ('"{question}"', '"{question} "', "ends with white space"),
        ('"{question}"', '"Say something"', "never asks"),
        ("rivers.jsonl", "seas.jsonl", "seas.jsonl does not exist"),
        ('name = "rivers"', 'name = "capitals"', "is a built-in task"),
        ('name = "rivers"', 'name = "My rivers"', "name: String should match pattern"),
        ('name = "rivers"', "name = rivers", "is not TOML"),
        (
            "[prompt]",
            '[answer]\ngrader = "exact"\nmax_new_tokens = 5\n[prompt]',
            'in a task of kind "choice"',
        ),
        ('kind = "choice"', 'kind = "generate"', r"no table \[answer\]"),
    ],
)
def test_a_wrong_toml_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    shutil.copy(DATA / "rivers.jsonl", tmp_path)
    text = (DATA / "rivers.toml").read_text()
    assert old in text
    (tmp_path / "rivers.toml").write_text(text.replace(old, new))
    with pytest.raises(TaskError, match=message):
        get_task(str(tmp_path / "rivers.toml"))


def test_the_version_follows_prompt_and_grader(tmp_path: Path) -> None:
    shutil.copy(DATA / "halves.jsonl", tmp_path)
    text = (DATA / "halves.toml").read_text()
    path = tmp_path / "halves.toml"
    versions = []
    for old, new in (
        ("", ""),
        ("number only", "number"),
        ('"number"', '"exact"'),
        ("= 8", "= 9"),
        ('"\\n"', '"."'),
    ):
        path.write_text(text.replace(old, new) if old else text)
        versions.append(get_task(str(path)).version)
    assert len(set(versions)) == 5
    path.write_text(text.replace("half of a number", "halving"))
    assert get_task(str(path)).version == versions[0]


def test_a_python_task() -> None:
    task = get_task(str(DATA / "doubling.py"))
    assert sum(len(task.load(split, None).examples) for split in SPLITS) == 200
    example = task.load("train", None).examples[0]
    assert task.grade(example, example.gold) == 1.0
    assert task.prompt(example).chat.endswith("Answer with the number only.")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", r"has no TASK; end it with TASK = choice_task"),
        ("TASK = 3", r"TASK in .* is a int without description, grade, kind"),
        ("1 / 0", "does not run: ZeroDivisionError: division by zero"),
        ("def broken(", "does not run: SyntaxError"),
        ("import no_such_module", "does not run: ModuleNotFoundError"),
        ("raise SystemExit(0)", "does not run: SystemExit: 0"),
        (
            "from search_cluster.tasks.simple import choice_task\nchoice_task(wording=1)",
            r"unexpected keyword argument 'wording' \(did you mean wordings\?\); try",
        ),
    ],
)
def test_a_wrong_python_file_says_what_is_wrong(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(TaskError, match=message):
        get_task(str(tmp_path / "mine.py"))


def test_a_toml_with_byte_order_mark_and_windows_lines_is_read(tmp_path: Path) -> None:
    shutil.copy(DATA / "rivers.jsonl", tmp_path)
    text = (DATA / "rivers.toml").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "rivers.toml").write_bytes(b"\xef\xbb\xbf" + text)
    assert (
        get_task(str(tmp_path / "rivers.toml")).version
        == get_task(str(DATA / "rivers.toml")).version
    )


def test_answers_and_difficulties_may_be_numbers() -> None:
    rows = [
        {"question": "6 * 7?", "answer": 42, "difficulty": 3, "split": "train"},
        {"question": "a half?", "answer": 0.5, "split": "train"},
    ]
    bad = [True, None, [4], float("nan"), float("inf"), 10**400]
    rows += [{"question": f"{number}?", "answer": answer} for number, answer in enumerate(bad)]
    rows.append(
        {"question": "a number among choices is an index", "choices": ["41", "42"], "answer": 42}
    )
    loaded = rows_source(rows)("numbers", "train", None)
    assert [(example.gold, example.difficulty) for example in loaded.examples] == [
        ("42", "3"),
        ("0.5", ""),
    ]
    assert [row.source for row in loaded.malformed] == [
        f"numbers:{number}" for number in range(2, 9)
    ]


def test_an_empty_split_says_where_the_rows_are() -> None:
    rows = [{"question": "q", "choices": ["a", "b"], "answer": 0, "split": "train"}]
    task = choice_task(
        name="one", description="one row", source=rows_source(rows), chat="{question}"
    )
    with pytest.raises(
        TaskError, match="split 'test' of task one is empty: 1 good rows, all in other splits"
    ):
        task.load("test", None)


def test_templates_list_choices_by_letter() -> None:
    check_template("{question}\n{choices}\n{{}}")
    example = Example(
        task="t",
        question="Which {x}?",
        choices=("a", "b"),
        gold="a",
        gold_index=0,
        split="test",
        source="here",
    )
    assert render("{question}\n{choices}", example) == "Which {x}?\nA. a\nB. b"


def test_no_answer_in_no_tokens() -> None:
    with pytest.raises(TaskError, match="max_new_tokens of task t is 0"):
        generate_task(
            name="t",
            description="d",
            source=rows_source([]),
            chat="{question}",
            grader=lambda example, output: 0.0,
            grader_version="1",
            max_new_tokens=0,
        )


def test_data_dir_is_flag_then_variable_then_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LPS_DATA_DIR", raising=False)
    assert resolve_data_dir(None) is None
    monkeypatch.setenv("LPS_DATA_DIR", str(DATA))
    assert resolve_data_dir(None) == DATA
    assert resolve_data_dir(tmp_path) == tmp_path
    with pytest.raises(TaskError, match=r"--data-dir is .*, which is not a folder"):
        resolve_data_dir(tmp_path / "missing")
