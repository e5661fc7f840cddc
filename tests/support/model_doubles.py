"""A tiny loaded model and tasks with settable prompts, for the tests of this room."""

from dataclasses import dataclass
from pathlib import Path

from support import tiny
from transformers import PreTrainedModel

from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import AnswerKind, LoadedExamples, Prompt

CAPITAL = Example(
    task="capitals",
    question="What is the capital of France?",
    choices=("Rome", "Paris", "the capital city of the question", "Bonn"),
    gold="Paris",
    gold_index=1,
    split="test",
    source="built-in",
)
SUM = Example(task="sums", question="1+1=", gold="2", split="test", source="built-in")


@dataclass(frozen=True, kw_only=True)
class ChoiceTask:
    """Scores the example's choices; reward 1 for the gold text."""

    name: str = "capitals"
    version: str = "1"
    kind: AnswerKind = AnswerKind.CHOICE
    max_new_tokens: int = 0
    stop_strings: tuple[str, ...] = ()
    description: str = "for tests"

    def load(self, split: str, data_dir: Path | None) -> LoadedExamples:
        return LoadedExamples(examples=())

    def prompt(self, example: Example) -> Prompt:
        return Prompt(
            chat=example.question, plain=f"Q: {example.question}\nA:", choices=example.choices
        )

    def grade(self, example: Example, output: str) -> float:
        return float(output == example.gold)


@dataclass(frozen=True, kw_only=True)
class GenerateTask(ChoiceTask):
    """Generates up to ``max_new_tokens``."""

    name: str = "sums"
    kind: AnswerKind = AnswerKind.GENERATE
    max_new_tokens: int = 12


def loaded_tiny(
    model: PreTrainedModel | None = None, *, chat: bool = False, family: str = "llama"
) -> LoadedModel:
    model = tiny.tiny_model(family) if model is None else model
    return LoadedModel(
        model=model,
        tokenizer=tiny.tiny_tokenizer(chat),
        spec="tiny",
        fingerprint="0" * 32,
        num_layers=len(model.model.layers),
        chat=chat,
        device="cpu",
        dtype="float32",
    )
