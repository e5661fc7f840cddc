"""Benchmark tasks: converters, both ARC layouts, splits, damage, the hub (replaced).

Real files are tried where there are some.
"""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.errors import TaskError
from search_cluster.tasks.benchmarks.agieval import convert_agieval
from search_cluster.tasks.benchmarks.aime import convert_aime
from search_cluster.tasks.benchmarks.arc import convert_arc, convert_arc_letter
from search_cluster.tasks.benchmarks.gsm8k import convert_gsm8k
from search_cluster.tasks.benchmarks.hendrycks_math import convert_math
from search_cluster.tasks.benchmarks.mmlu import convert_mmlu
from search_cluster.tasks.benchmarks.squad import convert_squad
from search_cluster.tasks.benchmarks.sst2 import convert_sst2
from search_cluster.tasks.benchmarks.truthfulqa import convert_truthfulqa
from search_cluster.tasks.raw_examples import RawExample, RowError
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.splits import normalize_text
from search_cluster.tasks.task import SPLITS
from search_cluster.tasks.user_rows import convert_user_row, file_source

ARC_AUTHORS = {
    "id": "1",
    "question": {
        "stem": "Why?",
        "choices": [{"text": "this", "label": "1"}, {"text": "that", "label": "2"}],
    },
    "answerKey": "2",
}
ARC_HUB = {
    "id": "1",
    "question": "Why?",
    "choices": {"text": ["this", "that"], "label": ["A", "B"]},
    "answerKey": "B",
}
GSM8K = {"question": "How many?", "answer": "Many.\n#### 1,200"}
MATH = {
    "problem": "What is $1+1$?",
    "level": "Level 3",
    "type": "Algebra",
    "solution": "It is $\\boxed{2}$.",
}
MMLU_CSV = ["Which?", "a", "b", "c", "d", "C"]
MMLU_HUB = {"question": "Which?", "subject": "s", "choices": ["a", "b", "c", "d"], "answer": 2}
TRUTHFULQA = {"question": "What happens?", "mc1_targets": {"Nothing.": 1, "Doom.": 0, "Joy.": 0}}
TRUTHFULQA_HUB = {
    "question": "What happens?",
    "mc1_targets": {"choices": ["Nothing.", "Doom.", "Joy."], "labels": [1, 0, 0]},
}
GOOD: list[tuple[Callable[[object], RawExample], object]] = [
    (convert_arc, ARC_AUTHORS),
    (convert_arc, ARC_HUB),
    (convert_arc_letter, ARC_HUB),
    (convert_gsm8k, GSM8K),
    (convert_math, MATH),
    (convert_mmlu, MMLU_CSV),
    (convert_mmlu, MMLU_HUB),
    (convert_truthfulqa, TRUTHFULQA),
    (convert_truthfulqa, TRUTHFULQA_HUB),
    (
        convert_agieval,
        {"passage": "p", "question": "Which?", "options": ["(A)one", "(B)two"], "label": "B"},
    ),
    (
        convert_agieval,
        {"query": "Q: Which? Answer Choices: (A)one", "choices": ["(A)one", "(B)two"], "gold": [1]},
    ),
    (convert_aime, {"problem": "How many?", "answer": "025"}),
    (convert_squad, {"context": "c", "qa": {"question": "Who?", "answers": [{"text": "me"}]}}),
    (convert_squad, {"context": "c", "question": "Who?", "answers": {"text": ["me"]}}),
    (convert_sst2, {"sentence": "well-conceived", "label": 1}),
    (convert_user_row, {"question": "Which?", "choices": ["a", "b"], "answer": "b"}),
]
JUNK: list[object] = [
    *(
        None,
        True,
        -1,
        0,
        3.5,
        float("nan"),
        10**30,
        "",
        " ",
        "x",
        "Z",
        "7",
        "\ud800",
        "\x00",
        [],
        {},
        [[]],
        [None],
        {"": 0},
    ),
    *(
        ["a"],
        ["a", "a"],
        {"text": 1},
        {"choices": []},
        {"stem": ""},
        "####",
        "\\boxed{",
        "Level 9",
        {"a": 1, "b": 1},
    ),
]


def test_both_arc_layouts_give_the_same_raw_example() -> None:
    raw = convert_arc(ARC_AUTHORS)
    assert raw == convert_arc(ARC_HUB)
    assert (raw.question, raw.choices, raw.gold, raw.gold_index) == (
        "Why?",
        ("this", "that"),
        "that",
        1,
    )
    assert convert_arc_letter(ARC_AUTHORS).gold == "B"


def test_known_raw_examples() -> None:
    assert convert_gsm8k(GSM8K).gold == "1200"
    assert (convert_math(MATH).gold, convert_math(MATH).difficulty) == ("2", "3")
    assert convert_math({**MATH, "level": 5}).difficulty == "5"
    assert convert_math({**MATH, "level": "Level ?"}).difficulty == ""
    assert convert_mmlu(MMLU_CSV) == convert_mmlu(MMLU_HUB)
    assert convert_mmlu(MMLU_CSV).gold == "c"
    assert convert_truthfulqa(TRUTHFULQA) == convert_truthfulqa(TRUTHFULQA_HUB)
    assert convert_truthfulqa(TRUTHFULQA).gold == "Nothing."


@pytest.mark.parametrize(
    ("convert", "row", "reason"),
    [
        (convert_arc, {**ARC_HUB, "answerKey": "E"}, "the answer key is 'E'; the labels are"),
        (
            convert_arc,
            {**ARC_HUB, "choices": {"text": ["a"], "label": ["A", "B"]}},
            "1 texts and 2 labels",
        ),
        (convert_arc, {"id": "1"}, "the key 'question' is missing"),
        (convert_gsm8k, {**GSM8K, "answer": "many"}, "it has to end in '#### ' and a number"),
        (convert_math, {**MATH, "level": "Level 6"}, "'level' is 'Level 6'"),
        (convert_math, {**MATH, "solution": "so 2"}, "it has to hold its answer"),
        (convert_mmlu, MMLU_CSV[:-1], "5 columns; a record has 6"),
        (convert_mmlu, [*MMLU_CSV[:-1], "E"], "the answer is 'E'"),
        (convert_mmlu, {**MMLU_HUB, "answer": 4}, "it is a number from 0 to 3"),
        (convert_mmlu, {**MMLU_HUB, "choices": ["a", "a", "b", "c"]}, "are the same text"),
        (convert_truthfulqa, {**TRUTHFULQA, "mc1_targets": {"a": 1, "b": 1}}, "exactly one is 1"),
        (
            convert_user_row,
            {"question": "q", "choices": ["a", "b"], "answer": "c"},
            "none of the choices",
        ),
        (convert_user_row, {"question": "q", "answer": "c", "split": "dev"}, "'split' is 'dev'"),
    ],
)
def test_malformed_rows_say_why(
    convert: Callable[[object], RawExample], row: object, reason: str
) -> None:
    with pytest.raises(RowError) as caught:
        convert(row)
    assert reason in str(caught.value)


def _damaged(value: object, rng: random.Random) -> object:
    """The value with one random part replaced, removed or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {name: part for name, part in value.items() if name != key}
        return {**value, key: _damaged(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        index = rng.randrange(len(value))
        if rng.random() < 0.2:
            return [*value, *value[index:]]
        return [*value[:index], _damaged(value[index], rng), *value[index + 1 :]]
    return rng.choice(JUNK)


def test_a_thousand_damaged_rows_raise_nothing_but_row_errors() -> None:
    rng = random.Random(0)
    num_refused = 0
    for number in range(1000):
        convert, row = GOOD[number % len(GOOD)]
        try:
            raw = convert(_damaged(row, rng))
        except RowError as error:
            num_refused += 1
            str(error).encode()
        else:
            assert raw.question
            assert raw.gold
            assert not raw.choices or raw.gold_index in range(len(raw.choices))
    assert num_refused > 700


def test_a_thousand_malformed_rows_never_stop_a_load(tmp_path: Path) -> None:
    rng = random.Random(1)
    good = [
        {"question": f"Which is {number}?", "choices": ["a", "b"], "answer": number % 2}
        for number in range(50)
    ]
    defects: list[object] = [*JUNK, *({**good[0], name: junk} for name in good[0] for junk in JUNK)]
    rows: list[object] = list(good)
    while len(rows) < 1050:
        row = rng.choice(defects) if rng.random() < 0.7 else _damaged(rng.choice(good), rng)
        data = json.dumps(row).encode()
        if rng.random() < 0.4:  # damage of the bytes, too: cut, or one replaced
            data = (
                data[: rng.randrange(len(data))]
                if rng.random() < 0.5
                else bytes([rng.randrange(256)]) + data[1:]
            )
        rows.append(data + b"\n")
    rng.shuffle(rows)
    _jsonl(tmp_path / "own.jsonl", rows)
    loaded = [
        file_source(tmp_path / "own.jsonl")("own", split, None)
        for split in ("train", "validation", "test")
    ]
    questions = {example.question for part in loaded for example in part.examples}
    lost = {row["question"] for row in good} - questions
    malformed = {row.source for part in loaded for row in part.malformed}
    contradicted = [
        row.reason
        for row in loaded[0].malformed
        if "more than one answer" in row.reason  # damage gave a good question another answer
    ]
    assert len(lost) <= len(contradicted) / 2 < 10
    assert len(malformed) > 600
    assert all(row.reason.encode() for part in loaded for row in part.malformed)


@given(
    st.sampled_from([convert for convert, _ in GOOD]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "question",
                        "choices",
                        "answer",
                        "text",
                        "label",
                        "stem",
                        "answerKey",
                        "mc1_targets",
                    ]
                ),
                inner,
            )
        ),
        max_leaves=12,
    ),
)
def test_any_value_is_a_raw_example_or_a_row_error(
    convert: Callable[[object], RawExample], value: object
) -> None:
    with contextlib.suppress(RowError):
        assert convert(value).question


def _jsonl(path: Path, rows: list[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"".join(
            row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows
        )
    )


def test_damage_is_counted_with_file_and_line_and_skipped(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"\n"
    rows: list[object] = [
        ARC_HUB,
        b"{broken\n",
        b'"\xff"\n',
        b"\n",
        {**ARC_HUB, "answerKey": "X"},
        ARC_AUTHORS,
        deep,
    ]
    _jsonl(tmp_path / "arc" / "ARC-Easy-Test.jsonl", rows)
    loaded = get_task("arc_easy").load("test", tmp_path)
    assert len(loaded.examples) == 1
    assert loaded.num_duplicates == 1
    assert loaded.examples[0].source == "ARC-Easy-Test.jsonl:1"
    assert [row.source for row in loaded.malformed] == [
        f"ARC-Easy-Test.jsonl:{line}" for line in (2, 3, 5, 7)
    ]
    assert "the answer key is 'X'" in loaded.malformed[2].reason


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\xff\xfe", b"[]\n{}\n", b'{"a": 1}\n'])
def test_a_file_without_a_good_row_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").write_bytes(content)
    rule = r"task gsm8k: (not one good row among|\S+gsm8k/test.jsonl holds no row at all)"
    with pytest.raises(TaskError, match=rule):
        get_task("gsm8k").load("test", tmp_path)


ANY_FILE = {
    "arc_easy": "arc/ARC-Easy-Test.jsonl",
    "gsm8k": "gsm8k/test.jsonl",
    "math": "math/test.jsonl",
    "mmlu": "mmlu/val/x.csv",
    "truthfulqa_mc1": "truthfulqa/mc_task.json",
    "agieval": "agieval/x.jsonl",
    "aime24": "aime24/test.jsonl",
    "squad_v2": "squad_v2/dev_half.json",
    "sst2": "sst2/test.tsv",
}


@given(content=st.binary(max_size=300), name=st.sampled_from(sorted(ANY_FILE)))
def test_any_bytes_are_a_task_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for file in ANY_FILE.values():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    with pytest.raises(TaskError):
        get_task(name).load("test", folder)


def test_csv_damage_has_the_line_of_its_record(tmp_path: Path) -> None:
    (tmp_path / "mmlu" / "dev").mkdir(parents=True)
    content = (
        b'"two\nlines",a,b,c,d,A\nshort,a,b\nq2,a,b,c,d,\xff\nq3,a,b,c,d,D\n"' + b"x" * 200_000
    )
    (tmp_path / "mmlu" / "dev" / "a_dev.csv").write_bytes(content)
    loaded = get_task("mmlu").load("train", tmp_path)
    assert [example.source for example in loaded.examples] == ["a_dev.csv:1", "a_dev.csv:5"]
    assert [row.source for row in loaded.malformed] == ["a_dev.csv:3", "a_dev.csv:4", "a_dev.csv:6"]


def test_json_array_elements_have_their_lines(tmp_path: Path) -> None:
    (tmp_path / "truthfulqa").mkdir()
    rows = [{**TRUTHFULQA, "question": f"What about {n}?"} for n in range(40)]
    lines = [json.dumps(row) for row in rows]
    text = "[\n" + ",\n".join([*lines[:2], "{}", *lines[2:], "{broken"]) + "\n]"
    (tmp_path / "truthfulqa" / "mc_task.json").write_text(text)
    loaded = {split: get_task("truthfulqa_mc1").load(split, tmp_path) for split in SPLITS}
    assert sum(len(part.examples) for part in loaded.values()) == 40
    assert [row.source for row in loaded["train"].malformed] == [
        "mc_task.json:4",
        "mc_task.json:43",
    ]


def test_a_missing_file_names_path_layout_and_next_step(tmp_path: Path) -> None:
    with pytest.raises(TaskError) as caught:
        get_task("gsm8k").load("test", tmp_path)
    message = str(caught.value)
    for part in (
        str(tmp_path / "gsm8k/test.jsonl"),
        "{question, answer}",
        "--data-dir",
        "LPS_DATA_DIR",
        "openai/gsm8k",
    ):
        assert part in message


def test_math_drops_from_train_what_test_asks_and_keeps_questions_once(tmp_path: Path) -> None:
    problems = [{**MATH, "problem": f"What is ${n}$?"} for n in range(60)]
    _jsonl(
        tmp_path / "math" / "train.jsonl",
        [*problems, *problems, {**MATH, "problem": "What  is $1000$?"}],
    )
    _jsonl(
        tmp_path / "math" / "test.jsonl",
        [{**MATH, "problem": "what is $1000$?"}, {**MATH, "problem": "other"}],
    )
    loaded = {split: get_task("math").load(split, tmp_path) for split in SPLITS}
    assert len(loaded["train"].examples) + len(loaded["validation"].examples) == 60
    assert len(loaded["test"].examples) == 2
    assert loaded["train"].num_duplicates == len(loaded["train"].examples)


def _fake_hub(rows_of: dict[tuple[str, str, str], list[object]]) -> Callable[..., list[object]]:
    def load_dataset(repository: str, config: str, *, split: str) -> list[object]:
        return rows_of.get((repository, config, split), [])

    return load_dataset


def test_the_hub_is_asked_for_the_right_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[tuple[str, str, str], list[object]] = {
        ("allenai/ai2_arc", "ARC-Easy", "validation"): [ARC_HUB, {"id": 2}],
        ("openai/gsm8k", "main", "test"): [GSM8K],
        ("cais/mmlu", "all", "dev"): [MMLU_HUB],
        ("truthfulqa/truthful_qa", "multiple_choice", "validation"): [
            {**TRUTHFULQA_HUB, "question": f"What about {n}?"} for n in range(40)
        ],
    }
    monkeypatch.setattr(datasets, "load_dataset", _fake_hub(rows))
    arc = get_task("arc_easy").load("validation", None)
    assert [example.source for example in arc.examples] == ["allenai/ai2_arc/ARC-Easy/validation:0"]
    assert [row.source for row in arc.malformed] == ["allenai/ai2_arc/ARC-Easy/validation:1"]
    assert len(get_task("gsm8k").load("test", None).examples) == 1
    assert len(get_task("mmlu").load("train", None).examples) == 1
    assert sum(len(get_task("truthfulqa_mc1").load(split, None).examples) for split in SPLITS) == 40


def test_math_joins_the_subjects_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load_dataset(repository: str, config: str, *, split: str) -> Iterator[object]:
        asked.append(f"{repository}/{config}/{split}")
        return iter([{**MATH, "problem": f"{config}?"}])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(get_task("math").load("test", None).examples) == 7
    assert len(asked) == 7
    assert asked[0] == "EleutherAI/hendrycks_math/algebra/test"


def test_an_unreachable_hub_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(repository: str, config: str, *, split: str) -> list[object]:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(TaskError, match=r"no route to host.*--data-dir or LPS_DATA_DIR"):
        get_task("arc_easy").load("train", None)


REAL = {
    "arc_easy": (2242, 570, 2376),
    "arc_challenge": (1112, 297, 1172),
    "arc_easy_letter": (2242, 570, 2376),
    "gsm8k": (6389, 1084, 1319),
    "math": (6371, 1125, 5000),
    "mmlu": (282, 762, 764),
    "truthfulqa_mc1": (577, 120, 120),
}


@pytest.mark.skipif(not os.environ.get("LPS_DATA_DIR"), reason="LPS_DATA_DIR is not set")
@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str) -> None:
    task, data_dir = get_task(name), Path(os.environ["LPS_DATA_DIR"])
    loaded = {split: task.load(split, data_dir) for split in SPLITS}
    assert tuple(len(part.examples) for part in loaded.values()) == REAL[name]
    assert all(len(part.malformed) <= 3 for part in loaded.values())
    questions = [{normalize_text(e.question) for e in part.examples} for part in loaded.values()]
    assert not questions[0] & questions[1]
    assert not questions[0] & questions[2]
    assert not questions[1] & questions[2]
    for part in loaded.values():
        for example in part.examples[:50]:
            prompt = task.prompt(example)
            assert example.question in prompt.chat
            assert prompt.plain == prompt.plain.rstrip()
            assert (
                task.grade(
                    example, f"\\boxed{{{example.gold}}}" if name == "math" else example.gold
                )
                == 1.0
            )
