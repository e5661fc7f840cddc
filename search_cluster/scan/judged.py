"""What paths gain on questions that their scan never asked: ``judged.json`` of its folder.

Whoever judges many paths on the same questions and takes the best one is flattered by these, too,
so all judgements are kept and counted. One that asks nothing new is the same one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from search_cluster.corpus.json_files import read_value, write_value
from search_cluster.scan.result import LeftOut, Standing
from search_cluster.tasks.example import Example
from search_cluster.tasks.twins import asked_identity

JUDGED_NAME = "judged.json"
"""The file's name in the run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A path beside the plain model on questions of one split that no part of a scan asked."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    at: str
    """When (ISO 8601)."""
    task: str
    """The name of the task."""
    split: str
    """Where the questions are from."""
    path: str
    """As `LayerPath` writes itself."""
    questions: str
    """SHA-256 of the ids of the questions that were asked."""
    num_asked: int
    """The number of these questions."""
    num_known: int
    """Questions of the split that were not, because the scan had asked them."""
    standing: Standing
    """How the path stands; it is compared alone."""
    plain_is_guessing: bool
    """Whether the plain model can't be told from guesses on these questions."""
    num_facts_known: int | None = None
    """Of the facts that the questions ask for, those for which the scan had asked in another way;
    ``None`` in judgements of a former version."""
    left_out: tuple[LeftOut, ...] = ()
    """The questions that count for nobody, because the plain model gave no answer."""

    def asks_as(self, other: "Judgement") -> bool:
        """Whether another judgement asks the same path the same questions."""
        return (self.path, self.questions) == (other.path, other.questions)


_JUDGEMENTS = TypeAdapter(tuple[Judgement, ...])


def fresh_questions(questions: Iterable[Example], asked: Iterable[Example]) -> list[Example]:
    """The questions that ask nothing that was asked before, however it is typed."""
    known = {asked_identity(item.question, item.choices) for item in asked}
    return [item for item in questions if asked_identity(item.question, item.choices) not in known]


def keep_judgement(folder: Path, judgement: Judgement) -> int:
    """Write a judgement beside the earlier ones; how many there are now.

    Raises:
        CorpusError: the file is damaged, or can't be written.
    """
    others = [item for item in read_judgements(folder) if not item.asks_as(judgement)]
    write_value(folder / JUDGED_NAME, _JUDGEMENTS, (*others, judgement))
    return len(others) + 1


def read_judgements(folder: Path) -> tuple[Judgement, ...]:
    """The judgements so far, in the order in which they were made.

    Raises:
        CorpusError: the file is damaged.
    """
    path = folder / JUDGED_NAME
    if not path.is_file():
        return ()
    return read_value(path, _JUDGEMENTS, remedy="delete it, and judge again")
