"""Generic frames: any task's questions can be put differently, where that keeps the answer."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.model_doubles import SUM, GenerateTask, loaded_tiny

from search_cluster.model.prompting import encode_example
from search_cluster.search.questions import Questions
from search_cluster.search.search_plan import preset_for_task
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.graders import grade_number
from search_cluster.tasks.perturbation.frames import (
    ENOUGH_WORDINGS,
    FIRST_FRAME,
    FRAMES,
    FRAMES_VERSION,
    asked_prompt,
    framed,
    takes_frames,
)
from search_cluster.tasks.perturbation.perturbations import EvidenceRole
from search_cluster.tasks.perturbation.wordings import QUESTION_WORDINGS, Wording
from search_cluster.tasks.registry import get_task, list_tasks
from search_cluster.tasks.simple import SimpleTask, choice_task, generate_task
from search_cluster.tasks.task import AnswerKind, LoadedExamples, Prompt
from search_cluster.tasks.user_rows import rows_source
from search_cluster.tree.presets.credible import CREDIBLE
from search_cluster.tree.presets.drllm import DRLLM

ROLES = tuple(EvidenceRole)
APPLES = Example(
    task="words",
    question="Tom has 3 apples and buys 4 more. How many apples does he have?",
    gold="7",
    split="train",
    source="x",
)


def word_problems(wordings: tuple[Wording, ...] = ()) -> SimpleTask:
    return generate_task(
        name="words",
        description="d",
        source=rows_source([]),
        chat="{question}\nAnswer with the number only.",
        wordings=wordings,
        grader=grade_number,
        grader_version="1",
        max_new_tokens=8,
    )


def of_role(task: object, example: Example, role: EvidenceRole, count: int = 99) -> list[Example]:
    return list(Questions(task, [], [], seed=0).perturb(example, role, count))  # type: ignore[arg-type]


@pytest.mark.parametrize("num_wordings", [0, 1, 2, 8, 9])
def test_claims_every_role_of_a_task_with_few_wordings_has_three_perturbations(
    num_wordings: int,
) -> None:
    task = word_problems(QUESTION_WORDINGS[:num_wordings])
    found = {role: of_role(task, APPLES, role) for role in ROLES}
    ids = [item.example_id for items in found.values() for item in items]
    assert len({APPLES.example_id, *ids}) == 1 + len(ids), "none serves two roles"
    assert all(len(items) >= 3 for items in found.values())
    assert takes_frames(task) is (num_wordings < ENOUGH_WORDINGS)
    own = sum(item.wording < FIRST_FRAME for items in found.values() for item in items)
    assert own == num_wordings, "the task's own wordings come, too"
    for role in ROLES:
        wordings = [item.wording for item in found[role]]
        assert wordings == sorted(wordings, key=lambda number: number >= FIRST_FRAME)
        assert of_role(task, APPLES, role, 2) == found[role][:2]


class ForeignTask:
    """A task that knows nothing of perturbations, and refuses wordings that it did not declare."""

    name, version, description = "foreign", "1", "d"
    kind, max_new_tokens, stop_strings = AnswerKind.GENERATE, 4, ()

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        return LoadedExamples(examples=(APPLES,))

    def prompt(self, example: Example) -> Prompt:
        assert example.wording == 0
        return Prompt(chat=example.question, plain=f"Q: {example.question}\nA:")

    def grade(self, example: Example, output: str) -> float:
        return float(output == example.gold)


def test_claims_a_task_that_knows_nothing_of_wordings_is_framed_too() -> None:
    task = ForeignTask()
    (first, *_) = of_role(task, APPLES, EvidenceRole.GUIDE)
    usual, asked = task.prompt(APPLES), asked_prompt(task, first)
    frame = FRAMES[first.wording - FIRST_FRAME]
    assert (asked.chat, asked.plain) == (
        f"{frame}\n\n{usual.chat}",
        f"{frame}\n\n{usual.plain}",
    )
    assert task.grade(first, "7") == 1.0


def test_claims_a_prompt_that_fails_is_that_examples_own_fault() -> None:
    class Failing(ForeignTask):
        def prompt(self, example: Example) -> Prompt:
            if example == APPLES:
                raise KeyError("broken")
            return super().prompt(example)

    questions = Questions(Failing(), [], [], seed=0)
    assert not questions.can_verify([APPLES])
    assert questions.can_verify([APPLES, replace(APPLES, question="What is 2 + 2?")])


def test_claims_a_yes_no_task_whose_choices_cannot_be_exchanged_is_framed() -> None:
    task = choice_task(name="yn", description="d", source=rows_source([]), chat="{question}")
    example = Example(
        task="yn", question="Is ice cold?", choices=("yes", "no"), gold="yes", gold_index=0,
        split="train", source="x",
    )  # fmt: skip
    others = [replace(example, question=f"Is {n} even?") for n in range(40)]
    questions = Questions(task, others, [], seed=0)
    for role in ROLES:
        found = questions.perturb(example, role, 3)
        assert [item.wording >= FIRST_FRAME for item in found] == [True] * 3
        assert all(asked_prompt(task, item).choices == ("yes", "no") for item in found)


@pytest.mark.parametrize(
    "question",
    [
        "What is the first word of this message?",
        "Repeat the sentence.",
        "How many words are in the question?",
        "What did I ask in this conversation?",
        "Count the letters of everything above.",
        "Copy this prompt verbatim.",
        "What is the 2nd line?",
    ],
)
def test_claims_a_prompt_that_speaks_of_itself_is_not_framed(question: str) -> None:
    task = word_problems()
    example = replace(APPLES, question=question)
    assert not any(of_role(task, example, role) for role in ROLES)
    assert not Questions(task, [], [], seed=0).can_verify([example])
    assert Questions(task, [], [], seed=0).can_verify([example, APPLES])


@pytest.mark.parametrize(
    ("question", "frame"),
    [("Where does the cat sleep?", 4), ("Why is the library shut?", 5), ("Is rain wet?", 3)],
)
def test_claims_context_about_the_question_is_no_frame_of_it(question: str, frame: int) -> None:
    example = replace(APPLES, question=f"{question} Name one thing: morning, window or afternoon.")
    task = word_problems()
    used = {item.wording - FIRST_FRAME for role in ROLES for item in of_role(task, example, role)}
    assert frame not in used
    assert len(used) >= 6


@given(question=st.text(min_size=1, max_size=80), seed=st.integers())
def test_claims_frames_keep_the_whole_prompt_and_its_end(question: str, seed: int) -> None:
    task = word_problems()
    example = replace(APPLES, question=question)
    usual = task.prompt(example)
    for part in range(3):
        found = framed(task, example, part=part, num_parts=3, count=9, seed=seed)
        assert found[:1] == framed(task, example, part=part, num_parts=3, count=1, seed=seed)
        for item in found:
            asked = asked_prompt(task, item)
            assert asked.chat.endswith(f"\n\n{usual.chat}")
            assert asked.plain.endswith(f"\n\n{usual.plain}")
            assert replace(item, wording=0) == example
            assert (item.wording - FIRST_FRAME) % 3 == part


def test_claims_the_model_is_asked_in_the_frame() -> None:
    loaded, task = loaded_tiny(), GenerateTask()
    framed_sum = replace(SUM, wording=FIRST_FRAME + 1)
    asked = encode_example(loaded, task, framed_sum).context_ids
    usual = encode_example(loaded, task, SUM).context_ids
    assert len(asked) > len(usual)
    assert asked[-5:] == usual[-5:]


def test_a_frame_is_its_number() -> None:
    # Cached verdicts rest on it: a frame whose text changes takes a new number at the end, and
    # `FRAMES_VERSION` changes.
    digest = hashlib.sha256("\n".join(FRAMES).encode()).hexdigest()[:16]
    assert (FRAMES_VERSION, digest) == ("1", "11efea65c607b088")


def test_searches_whose_evidence_may_rest_on_frames_say_so_and_others_are_as_ever() -> None:
    usual = "guide=3;verify=3;max_probe_drop=0.04;min_right=1"
    assert CREDIBLE.evidence is not None
    assert CREDIBLE.evidence.describe() == usual
    assert preset_for_task(CREDIBLE, word_problems(QUESTION_WORDINGS)) == CREDIBLE
    framed_rule = preset_for_task(CREDIBLE, word_problems()).evidence
    assert framed_rule is not None
    assert framed_rule.describe() == f"{usual};min_probe_share=0.05;frames=1"
    assert preset_for_task(DRLLM, word_problems()) == DRLLM
    kept = {"capitals", "elements", "arithmetic", "arc_easy", "arc_challenge", "mmlu", "gsm8k"}
    assert not {name for name in kept if takes_frames(get_task(name))}, "corpora are kept of these"
    assert {task.name for task in list_tasks() if takes_frames(task)} == {
        "aime24", "squad_v2", "sst2",
    }  # fmt: skip


def test_no_frame_has_two_of_a_kind_or_white_space() -> None:
    assert len(set(FRAMES)) == len(FRAMES) == 9
    assert all(text == text.strip() and "\n" not in text for text in FRAMES)
