"""Perturbations: derived questions under which the right answer stays right.

Roles keep them apart, and they are the same everywhere.
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.errors import InvalidValueError, TaskError
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.graders import (
    EXACT_GRADER_VERSION,
    LETTER_GRADER_VERSION,
    grade_exact,
    grade_letter,
    levelled_answer,
)
from search_cluster.tasks.perturbation.distractors import depends_on_neighbours, levelled
from search_cluster.tasks.perturbation.perturbations import (
    EvidenceRole,
    Perturbation,
    PerturbationKind,
    perturbations,
)
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS, Wording
from search_cluster.tasks.registry import get_task, list_tasks
from search_cluster.tasks.simple import SimpleTask, choice_task, generate_task
from search_cluster.tasks.task import AnswerKind, LoadedExamples, Prompt, Task
from search_cluster.tasks.template import LETTERS
from search_cluster.tasks.user_rows import convert_letter_row, rows_source

ORDER, DISTRACTORS, WORDING = PerturbationKind
BUILT_INS = ("capitals", "elements", "arithmetic")
TEST_ONLY = ("agieval",)
UNPERTURBED = ("aime24", "squad_v2")
"""Tasks for evaluation only: they have a test split and no wordings yet."""
BENCHMARKS = tuple(
    task.name for task in list_tasks() if task.name not in (*BUILT_INS, *UNPERTURBED)
)
DATA_DIR = os.environ.get("LPS_DATA_DIR", "")
WORDINGS = tuple(
    Wording(chat=f"{n}. {{question}}\n{{choices}}", plain=f"{n}: {{question}} {{choices}}")
    for n in range(7)
)

SCORED = choice_task(
    name="scored",
    description="d",
    source=rows_source([]),
    chat="{question}",
    wordings=QUESTION_WORDINGS,
)
LISTED = choice_task(
    name="listed",
    description="d",
    source=rows_source([]),
    chat="{question} {choices}",
    wordings=WORDINGS,
)
LETTER = generate_task(
    name="letter", description="d", source=rows_source([]), chat="{question}\n{choices}",
    wordings=WORDINGS, grader=grade_letter, grader_version=LETTER_GRADER_VERSION, max_new_tokens=4,
)  # fmt: skip
EXACT = generate_task(
    name="exact", description="d", source=rows_source([]), chat="{question}",
    wordings=QUESTION_WORDINGS, grader=grade_exact, grader_version=EXACT_GRADER_VERSION,
    max_new_tokens=4,
)  # fmt: skip


@st.composite
def examples(draw: st.DrawFn, task: SimpleTask) -> Example:
    question = draw(st.text(min_size=1, max_size=20))
    if task is EXACT:
        return Example(
            task="exact",
            question=question,
            gold=draw(st.text(min_size=1)),
            split="train",
            source="x",
        )
    # A choice that is a letter makes an answer that is one unclear.
    texts = st.text(min_size=1, max_size=12).filter(
        lambda text: text.strip() != "" and len(levelled_answer(text)) != 1
    )
    choices = tuple(draw(st.lists(texts, min_size=2, max_size=7, unique=True)))
    index = draw(st.integers(0, len(choices) - 1))
    gold = LETTERS[index] if task is LETTER else choices[index]
    return Example(
        task=task.name,
        question=question,
        choices=choices,
        gold=gold,
        gold_index=index,
        split="train",
        source="x",
    )


def answer_of(task: Task, example: Example) -> str:
    """What a model that knows the right answer says.

    That is the text that it found right in the original, or its letter.
    """
    if task.kind is AnswerKind.CHOICE or not example.choices:
        return example.gold
    assert example.gold_index is not None
    return LETTERS[example.gold_index]


def all_roles(
    task: Task, example: Example, others: list[Example], *, count: int = 99, seed: int = 0
) -> list[Perturbation]:
    return [
        item
        for role in EvidenceRole
        for item in perturbations(task, example, others, role=role, count=count, seed=seed)
    ]


@pytest.mark.parametrize("task", [SCORED, LISTED, LETTER, EXACT], ids=lambda task: task.name)
@given(data=st.data())
def test_right_answers_stay_right_and_nothing_is_twice(
    task: SimpleTask, data: st.DataObject
) -> None:
    example = data.draw(examples(task))
    others = data.draw(st.lists(examples(task), max_size=12))
    usual = task.prompt(example)
    derived = all_roles(task, example, others, seed=data.draw(st.integers(0, 3)))
    assert len({example.example_id, *(item.example.example_id for item in derived)}) == 1 + len(
        derived
    )
    for item in derived:
        other, prompt = item.example, task.prompt(item.example)
        assert task.grade(other, answer_of(task, other)) == 1.0
        if other.choices:
            assert example.gold_index is not None
            assert other.gold_index is not None
            assert other.choices[other.gold_index] == example.choices[example.gold_index]
            assert len(set(other.choices)) == len(other.choices) <= len(LETTERS)
        if item.kind is DISTRACTORS:
            assert {levelled(text) for text in other.choices} != {
                levelled(text) for text in example.choices
            }
            like_gold = [
                [levelled(text) for text in item.choices].count(levelled(example.gold))
                for item in (example, other)
            ]
            assert 1 <= like_gold[1] <= like_gold[0]
            assert prompt.choices != usual.choices
        else:
            assert prompt.chat != usual.chat
            assert prompt.plain != usual.plain
        if item.kind is ORDER:
            assert sorted(other.choices) == sorted(example.choices)
            assert other.gold_index != example.gold_index
        if item.kind is WORDING:
            assert replace(other, wording=0) == example
    absent = {
        "scored": {ORDER},
        "listed": set(),
        "letter": {DISTRACTORS},
        "exact": {ORDER, DISTRACTORS},
    }[task.name]
    assert not {item.kind for item in derived} & absent


@given(data=st.data())
def test_roles_never_meet_whatever_seeds_and_others(data: st.DataObject) -> None:
    task = data.draw(st.sampled_from([SCORED, LISTED, LETTER]))
    example = data.draw(examples(task))
    ids_by_role = []
    for role in EvidenceRole:
        others = data.draw(st.lists(examples(task), max_size=12))
        seed = data.draw(st.integers())
        items = perturbations(task, example, others, role=role, count=99, seed=seed)
        assert all(item.role is role for item in items)
        ids_by_role.append({item.example.example_id for item in items})
        assert items == perturbations(task, example, list(others), role=role, count=99, seed=seed)
        assert items[:2] == perturbations(task, example, others, role=role, count=2, seed=seed)
    assert len(set().union(*ids_by_role)) == sum(map(len, ids_by_role))


def num_of_each_role(
    task: Task, split: str, data_dir: Path | None
) -> dict[EvidenceRole, list[int]]:
    loaded = task.load(split, data_dir).examples
    return {
        role: [
            len(perturbations(task, item, loaded, role=role, count=2, seed=0))
            for item in loaded[:200]
        ]
        for role in EvidenceRole
    }


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", BUILT_INS)
def test_built_in_tasks_give_two_of_each_role(name: str, split: str) -> None:
    assert all(
        set(numbers) == {2} for numbers in num_of_each_role(get_task(name), split, None).values()
    )


@pytest.mark.skipif(not DATA_DIR, reason="LPS_DATA_DIR is not set: no benchmark files")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_tasks_give_two_of_each_role(name: str) -> None:
    split = "test" if name in TEST_ONLY else "train"
    for numbers in num_of_each_role(get_task(name), split, Path(DATA_DIR)).values():
        assert sum(number == 2 for number in numbers) >= 0.95 * len(numbers)


@pytest.mark.skipif(not DATA_DIR, reason="LPS_DATA_DIR is not set: no benchmark files")
@pytest.mark.parametrize("name", ["arc_easy", "arc_easy_letter", "mmlu", "truthfulqa_mc1"])
def test_choice_benchmarks_offer_more_than_wordings(name: str) -> None:
    task = get_task(name)
    loaded = task.load("train", Path(DATA_DIR)).examples
    kind = ORDER if name.endswith("letter") else DISTRACTORS
    for role in EvidenceRole:
        found = [
            perturbations(task, item, loaded, role=role, count=4, seed=0) for item in loaded[:200]
        ]
        assert sum(
            [item.kind for item in items] == [kind, kind, WORDING, kind] for items in found
        ) >= 0.9 * len(found)


FEVER = Example(
    task="arc_easy_letter",
    question="Which factor will most likely cause a person to develop a fever?",
    choices=(
        "a leg muscle relaxing after exercise",
        "a bacterial population in the bloodstream",
        "several viral particles on the skin",
        "carbohydrates being digested in the stomach",
    ),
    gold="B",
    gold_index=1,
    split="train",
    source="ARC-Easy-Train.jsonl:1",
)
"""A row of ARC (Mercury_7220990)."""


def test_letters_follow_the_order_of_a_real_row() -> None:
    task = get_task("arc_easy_letter")
    derived = [item.example for item in all_roles(task, FEVER, []) if item.kind is ORDER]
    assert len(derived) == 18  # 4! orders, less those 3! in which the bacteria stay at B
    bacteria_last = next(item for item in derived if item.choices[3].startswith("a bacterial"))
    assert bacteria_last.gold == "D"
    assert "D. a bacterial population in the bloodstream" in task.prompt(bacteria_last).chat
    assert [
        task.grade(bacteria_last, answer) for answer in ("D", "B", "The answer is D.", "A")
    ] == [1, 0, 1, 0]
    for role in EvidenceRole:
        drawn = [
            item
            for item in perturbations(task, FEVER, [], role=role, count=4, seed=5)
            if item.kind is ORDER
        ]
        # Every other letter comes once before any comes twice.
        assert sorted(item.example.gold for item in drawn) == ["A", "C", "D"]


@pytest.mark.parametrize(
    ("num_choices", "num_orders"), [(2, 1), (3, 4), (4, 18), (5, 32), (26, 25 * 50)]
)
def test_number_of_orders(num_choices: int, num_orders: int) -> None:
    example = Example(
        task="letter", question="q", choices=tuple(f"text {n}" for n in range(num_choices)),
        gold="A", gold_index=0, split="train", source="x",
    )  # fmt: skip
    derived = [item for item in all_roles(LETTER, example, [], count=10_000) if item.kind is ORDER]
    assert len(derived) == len({item.example.choices for item in derived}) == num_orders


@pytest.mark.parametrize(
    "text", ["All of the above", "none of these", "Both A and B", "neither", "The same"]
)
def test_choices_that_speak_of_others_are_left_alone(text: str) -> None:
    assert depends_on_neighbours(text)
    letter = replace(FEVER, choices=(*FEVER.choices[:3], text))
    assert {item.kind for item in all_roles(get_task("arc_easy_letter"), letter, [])} == {WORDING}
    right = replace(FEVER, choices=(*FEVER.choices[:3], text), gold=text, gold_index=3)
    assert {item.kind for item in all_roles(SCORED, right, list(capitals()))} == {WORDING}


def capitals() -> tuple[Example, ...]:
    return get_task("capitals").load("test", None).examples


def question(text: str, *choices: str) -> Example:
    """A question whose first choice is right."""
    return Example(
        task="scored",
        question=text,
        choices=choices,
        gold=choices[0],
        gold_index=0,
        split="train",
        source="x",
    )


def drawn_for(example: Example, others: list[Example]) -> set[str]:
    found = [
        item.example for item in all_roles(SCORED, example, others) if item.kind is DISTRACTORS
    ]
    return {text for item in found for text in item.choices} - set(example.choices)


def test_a_distractor_is_never_right() -> None:
    asked = question("What gives us light by day?", "the Sun itself", "Mars")
    harmless = [question(f"Number {n}?", f"right {n}", f"wrong {n}") for n in range(40)]
    for hidden in (
        "Sun.",
        "The SUN itself",
        "the Sun itself and stars",
        "mars",
        "None of the above",
    ):
        # Wrong there, but right here or already offered; nothing else of the question is out of the
        # ordinary.
        assert hidden not in drawn_for(
            asked, [*harmless, question("Is Pluto cold?", "very", hidden)]
        )
    assert "Venus" in drawn_for(asked, [*harmless, question("Is Pluto cold?", "very", "Venus")])
    assert "Lamps" not in drawn_for(
        asked, [*harmless, question("What gives no light at night?", "Tar", "Lamps")]
    )


def test_right_answers_elsewhere_serve_only_where_they_are_wrong_too() -> None:
    asked = question("Which river is long?", "Nile", "Po")
    others = [question(f"Lake {n}?", f"Right{n}", f"Wrong{n}") for n in range(40)]
    assert drawn_for(asked, others) <= {f"Wrong{n}" for n in range(40)}


def test_distractors_resemble_the_right_answer() -> None:
    elements = get_task("elements")
    loaded = elements.load("train", None).examples
    number = next(
        item for item in loaded if item.question == "What is the atomic number of helium?"
    )
    derived = [
        item.example
        for item in all_roles(elements, number, list(loaded), count=4)
        if item.kind is DISTRACTORS
    ]
    assert len(derived) == 9
    assert all(text.isdigit() for item in derived for text in item.choices)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("The Sun.", "sun"),
        ("12.0", "12"),
        ("1,200", "1200"),
        ("25%", "0.25"),
        ("1/4", "25%"),
        ("A  b", "b"),
    ],
)
def test_levelled_texts_are_equal(left: str, right: str) -> None:
    assert levelled(left) == levelled(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("5 cm", "5 mm"), ("-3", "3"), ("3/0", "0"), ("+", "-"), ("1e99999999", "1")],
)
def test_different_texts_stay_different(left: str, right: str) -> None:
    assert levelled(left) != levelled(right)


def test_the_usual_wording_is_no_part_of_the_id() -> None:
    city = Example(
        task="t",
        question="Which city?",
        choices=("Rome", "Oslo"),
        gold="Oslo",
        gold_index=1,
        split="train",
        source="x",
    )
    # As before examples had wordings: caches and corpora rest on it.
    assert city.example_id == "bb92c64bfd720902410ee235"
    assert len({replace(city, wording=number).example_id for number in range(5)}) == 5


def test_a_wording_that_the_task_lacks_is_refused() -> None:
    example = replace(capitals()[0], wording=10)
    with pytest.raises(
        TaskError,
        match=r"asks in wording 10 of task capitals, which has the wordings 0 to 9; use the",
    ):
        get_task("capitals").prompt(example)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="count is -1; ask for 0 or more"):
        perturbations(SCORED, capitals()[0], (), role=EvidenceRole.GUIDE, count=-1, seed=0)


@pytest.mark.parametrize(
    ("wording", "message"),
    [
        (Wording(chat="{question}"), r"two wordings have the chat template '\{question\}'"),
        (
            Wording(chat="Ask: {question}", plain="Question: {question}\nAnswer:"),
            "two wordings have the plain template",
        ),
        (
            Wording(chat="{question} {choices}"),
            r"one of them lists \{choices\}; let all of them do so, or none",
        ),
        (Wording(chat="Say something."), "never asks"),
        (Wording(chat="Ask: {question} "), "ends with white space"),
    ],
)
def test_a_wrong_wording_says_what_is_wrong(wording: Wording, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        choice_task(
            name="n",
            description="d",
            source=rows_source([]),
            chat="{question}",
            wordings=(wording,),
        )


def test_wordings_change_the_version_and_their_absence_does_not() -> None:
    versions = {
        choice_task(
            name="n", description="d", source=rows_source([]), chat="{question}", wordings=wordings
        ).version
        for wordings in ((), QUESTION_WORDINGS[:1], QUESTION_WORDINGS[1:2], QUESTION_WORDINGS[:2])
    }
    assert len(versions) == 4
    plain = choice_task(name="n", description="d", source=rows_source([]), chat="{question}")
    assert plain.version == "458b1def4762"  # as before tasks had wordings


def test_a_users_letter_task_has_orders_by_itself_and_wordings_if_declared() -> None:
    rows = [
        {"question": f"Which is {n}?", "choices": [str(n), str(n + 1), str(n + 2)], "answer": 0}
        for n in range(40)
    ]
    settings = {
        "name": "own", "description": "d", "source": rows_source(rows, convert_letter_row),
        "chat": "{question}\n{choices}", "grader": grade_letter, "grader_version": "1",
        "max_new_tokens": 4,
    }  # fmt: skip
    bare = generate_task(**settings)
    example = bare.load("train", None).examples[0]
    assert "A. " in bare.prompt(example).plain  # base models see what the letters stand for
    assert [item.kind for item in all_roles(bare, example, [])] == [ORDER] * 4
    worded = generate_task(**settings, wordings=(Wording(chat="Now: {question}\n{choices}"),))
    assert [item.kind for item in all_roles(worded, example, [])].count(WORDING) == 1
    (reworded,) = (item.example for item in all_roles(worded, example, []) if item.kind is WORDING)
    assert worded.prompt(reworded).plain == worded.prompt(reworded).chat + "\nAnswer:"


def test_wordings_from_toml(tmp_path: Path) -> None:
    data = Path(__file__).parents[1] / "data"
    (tmp_path / "rivers.jsonl").write_bytes((data / "rivers.jsonl").read_bytes())
    text = (data / "rivers.toml").read_text()
    one = '[[prompt.wordings]]\nchat = "Say: {question}"\n'
    two = '[[prompt.wordings]]\nchat = "{question}?"\nplain = "{question} So:"\n'
    (tmp_path / "rivers.toml").write_text(f"{text}\n{one}{two}")
    task, bare = get_task(str(tmp_path / "rivers.toml")), get_task(str(data / "rivers.toml"))
    assert task.version != bare.version
    example = task.load("validation", None).examples[0]
    derived = {item.role: item.example for item in all_roles(task, example, [])}
    assert derived.keys() == {EvidenceRole.GUIDE, EvidenceRole.VERIFY}
    assert task.prompt(derived[EvidenceRole.GUIDE]).plain == f"Say: {example.question}\nAnswer:"
    assert task.prompt(derived[EvidenceRole.VERIFY]).plain == f"{example.question} So:"
    assert all_roles(bare, example, []) == []


class ForeignTask:
    """A task that knows nothing of perturbations."""

    name, version, description = "foreign", "1", "d"
    kind, max_new_tokens, stop_strings = AnswerKind.CHOICE, 0, ()

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        return LoadedExamples(examples=capitals())

    def prompt(self, example: Example) -> Prompt:
        return Prompt(chat=example.question, plain=example.question, choices=example.choices)

    def grade(self, example: Example, output: str) -> float:
        return float(output == example.gold)


def test_a_task_without_perturbations_gives_none() -> None:
    task = ForeignTask()
    assert isinstance(task, Task)
    assert all_roles(task, capitals()[0], list(capitals())) == []
