"""Data of any layout: which column is what, files of every suffix, data sets of the hub."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from search_cluster.errors import TaskError, UnreadableDataError
from search_cluster.tasks.raw_examples import RowError
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.sources.jinja import fill, names_in
from search_cluster.tasks.sources.mapping import FieldMapping
from search_cluster.tasks.task import SPLITS, Task

ROWS = [
    {
        "title": f"Town {number}",
        "ask": f"Which river is in town {number}?",
        "options": {"text": [f"Aare {number}", f"Ill {number}"], "label": ["A", "B"]},
        "key": "AB"[number % 2],
        "number": number % 2,
    }
    for number in range(40)
]
FIELDS = {
    "question": "{{title}}: {{ask}}",
    "choices": "{{options.text}}",
    "answer": "{{options.text[options.label.index(key)]}}",
}


def all_examples(task: Task) -> list[Any]:
    return [item for split in SPLITS for item in task.load(split, None).examples]


def test_columns_and_templates_give_a_row() -> None:
    row = FieldMapping(**FIELDS).row(ROWS[3])
    assert row == {
        "question": "Town 3: Which river is in town 3?",
        "choices": ["Aare 3", "Ill 3"],
        "answer": "Ill 3",
    }
    listed = FieldMapping(question="ask", choices=["{{title}}", "{{key}}"], answer="{{number}}")
    assert listed.row(ROWS[3])["choices"] == ["Town 3", "B"]
    assert FieldMapping(question="ask", answer="number").row(ROWS[3])["answer"] == 1


def test_digits_that_a_template_writes_are_an_index_beside_choices() -> None:
    mapping = FieldMapping(question="ask", choices="{{options.text}}", answer="{{number}}")
    assert mapping.row(ROWS[3])["answer"] == 1
    assert FieldMapping(question="ask", answer="{{number}}").row(ROWS[3])["answer"] == "1"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"question": "{{titel}}"}, r"field 'question': 'titel' is undefined \(did you mean title"),
        ({"question": "titel"}, r"field 'question' is the column 'titel', which the row lacks"),
        ({"question": "ask", "choices": "{{title}}"}, r"field 'choices' gives 'Town 0'; it has to"),
        ({"question": "ask", "answer": "{{number / 0}}"}, "field 'answer': division by zero"),
    ],
)
def test_a_field_that_cannot_be_filled_is_named(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(RowError, match=error):
        FieldMapping(**fields).row(ROWS[0])


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ options.text.append('x') }}",
        "{{ options.update({'a': 1}) }}",
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_templates_are_in_a_sandbox(attack: str) -> None:
    row = json.loads(json.dumps(ROWS[0]))
    with pytest.raises(RowError, match=r"^x: .*(unsafe|not safely)"):
        fill(attack, row, "x")
    assert row == ROWS[0]


def test_templates_are_the_harness_own() -> None:
    assert fill("{{a | regex_replace('[0-9]', '#')}}\n", {"a": "b1"}, "x") == "b#\n"
    assert names_in("{{a}} {% if b %}{{c.d}}{% endif %}") == {"a", "b", "c"}
    with pytest.raises(TaskError, match="is no jinja"):
        names_in("{% if %}")


def write_jsonl(path: Path) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))


def write_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS))


def write_parquet(path: Path) -> None:
    parquet.write_table(pa.Table.from_pylist(ROWS), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    ".jsonl": write_jsonl,
    ".json": write_json,
    ".parquet": write_parquet,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_described_file_of_any_suffix(suffix: str, tmp_path: Path) -> None:
    WRITERS[suffix](tmp_path / f"rows{suffix}")
    (tmp_path / "towns.toml").write_text(
        f'name = "towns"\ndescription = "d"\nkind = "choice"\nsource = "rows{suffix}"\n'
        f'[prompt]\nchat = "{{{{question}}}} Say it."\nplain = "Q: {{{{question}}}}\\n'
        '{% for c in choices %}- {{c}}\\n{% endfor %}A:"\n'
        "[fields]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in FIELDS.items())
    )
    task = get_task(str(tmp_path / "towns.toml"))
    examples = all_examples(task)
    assert len(examples) == len(ROWS)
    (third,) = [item for item in examples if "town 3?" in item.question]
    assert (third.gold, third.gold_index) == ("Ill 3", 1)
    prompt = task.prompt(third)
    assert prompt.plain == "Q: Town 3: Which river is in town 3?\n- Aare 3\n- Ill 3\nA:"
    assert prompt.chat == "Town 3: Which river is in town 3? Say it."
    assert task.lists_choices is False  # type: ignore[attr-defined]  # the chat prompt does not


def test_a_table_of_commas_is_a_task(tmp_path: Path) -> None:
    (tmp_path / "sums.csv").write_text(
        "first,second,total\n" + "".join(f"{n},{n + 1},{2 * n + 1}\n" for n in range(30)) + "1,2\n"
    )
    spec = f"{tmp_path}/sums.csv?question={{{{first}}}} and {{{{second}}}}?&answer=total"
    task = get_task(spec)
    assert (task.name, task.kind.value, task.max_new_tokens) == ("sums", "generate", 32)
    examples = all_examples(task)
    assert len(examples) == 30
    (example,) = [item for item in examples if item.question == "4 and 5?"]
    assert task.grade(example, "It is 9.0") == 1.0
    assert task.load("train", None).malformed[0].reason == "2 columns; the first line has 3"


def test_rows_of_our_own_layout_need_no_description(tmp_path: Path) -> None:
    rows = [
        {"question": f"Which is {n}?", "choices": [str(n), "none"], "answer": str(n)}
        for n in range(100, 140)
    ]
    (tmp_path / "My Rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    task = get_task(f"{tmp_path}/My Rows.jsonl")
    assert (task.name, task.kind.value) == ("my_rows", "choice")
    assert len(all_examples(task)) == 40


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("answr=key", r"'answr' is no option \(did you mean answer\?\)"),
        ("max_new_tokens=x", "max_new_tokens is 'x'; it is a whole number"),
        ("kind=multiple", "kind: Input should be 'choice' or 'generate'"),
        ("question=", r"question: String should have at least 1 character; see search_cluster"),
        ("question={% if %}", "field question: template '{% if %}' is no jinja"),
        ("name=elements&question=ask&answer=key", "which is a built-in task"),
        ("question", "options of task .* can't be read; write them as NAME=VALUE"),
    ],
)
def test_options_that_are_wrong_are_named(options: str, error: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl")
    with pytest.raises(TaskError, match=error):
        get_task(f"{tmp_path}/rows.jsonl?{options}")


def test_every_row_that_cannot_be_filled_names_its_line(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl")
    with pytest.raises(TaskError, match=r"rows\.jsonl:1: field 'answer': 'keys' is undefined"):
        get_task(f"{tmp_path}/rows.jsonl?question=ask&answer={{{{keys}}}}").load("train", None)


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{title}}", r"has the field \{\{title\}\}; a prompt has \{\{question\}\} and"),
        ("{{question}} {choices}", r"has \{choices\} beside jinja; write \{\{choices\}\}"),
        ("{{question}} ", "ends with white space"),
        ("{{choices}}", "never asks"),
    ],
)
def test_a_prompt_in_jinja_is_looked_at_first(template: str, error: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl")
    with pytest.raises(TaskError, match=error):
        get_task(f"{tmp_path}/rows.jsonl?question=ask&answer=key&chat={template}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """A data set of the hub that tests fill, by the names of its parts."""
    parts: dict[str, list[dict[str, Any]]] = {}
    monkeypatch.setattr("search_cluster.tasks.sources.hub._is_reachable", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, split: parts[split])
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda name, config: list(parts))
    return parts


HUB = "hub:org/towns?" + "&".join(f"{key}={value}" for key, value in FIELDS.items())


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (("train", "validation", "test"), (20, 10, 10)),
        (("train", "dev"), (None, None, 10)),
        (("test",), (None, None, None)),
    ],
)
def test_parts_of_a_data_set_become_our_splits(
    names: tuple[str, ...],
    sizes: tuple[int | None, ...],
    hub: dict[str, list[dict[str, Any]]],
) -> None:
    bounds = {3: (0, 20, 30, 40), 2: (0, 30, 40), 1: (0, 40)}[len(names)]
    for name, first, last in zip(names, bounds, bounds[1:], strict=False):
        hub[name] = ROWS[first:last]
    task = get_task(HUB)
    assert (task.name, task.kind.value) == ("org_towns", "choice")
    found = [len(task.load(split, None).examples) for split in SPLITS]
    assert sum(found) == 40
    assert all(found)
    assert all(size in (None, number) for size, number in zip(sizes, found, strict=True))


def test_a_data_set_that_is_not_there_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search_cluster.tasks.sources.hub._is_reachable", lambda: False)
    with pytest.raises(UnreadableDataError, match=r"task org_towns: org/towns can't be looked up"):
        get_task(HUB).load("test", None)
    with pytest.raises(UnreadableDataError, match=r"split 'test' of task gsm8k: openai/gsm8k/main"):
        get_task("gsm8k").load("test", None)


def test_a_missing_file_is_answered_with_a_near_one(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl")
    with pytest.raises(TaskError, match=r"does not exist \(did you mean .*/rows\.jsonl\?\)"):
        get_task(f"{tmp_path}/row.jsonl")
