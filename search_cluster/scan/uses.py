"""How often a run folder has looked at test: ``test_uses.jsonl``, a line for each look.

Each look at test with another choice makes what it says a little more flattering, so that they are
counted and shown. A look that asks for nothing new is the same look.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from search_cluster.errors import CorpusError
from search_cluster.files import write_text_whole
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example

TEST_USES_NAME = "test_uses.jsonl"
"""The file's name in the run folder."""


def digest_of_questions(questions: Iterable[Example]) -> str:
    """SHA-256 of the ids of questions, in any order."""
    ids = "\n".join(sorted(question.example_id for question in questions))
    return hashlib.sha256(ids.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestUse:
    """One look at test."""

    __test__ = False  # no test of pytest's

    at: str
    """When (ISO 8601)."""
    paths: tuple[str, ...]
    """Paths that ran on it, as `LayerPath` writes itself."""
    num_questions: int
    """The number of questions."""
    questions: str
    """SHA-256 of their ids."""

    @classmethod
    def of(cls, paths: Sequence[LayerPath], questions: Sequence[Example], at: str) -> "TestUse":
        """The look of these paths at these questions."""
        return cls(
            at=at,
            paths=tuple(sorted(map(str, paths))),
            num_questions=len(questions),
            questions=digest_of_questions(questions),
        )

    def covers(self, other: "TestUse") -> bool:
        """Whether the other look asks for nothing that this one did not."""
        return self.questions == other.questions and set(other.paths) <= set(self.paths)


def count_test_use(folder: Path, use: TestUse) -> int:
    """Note a look before it is made, unless it is an earlier one again; how many there are now.

    Raises:
        CorpusError: the file is damaged, or can't be written.
    """
    uses = read_test_uses(folder)
    if use.paths and not any(earlier.covers(use) for earlier in uses):
        uses.append(use)
        lines = (json.dumps(asdict(item)) for item in uses)
        write_text_whole(folder / TEST_USES_NAME, "\n".join(lines) + "\n")
    return len(uses)


def read_test_uses(folder: Path) -> list[TestUse]:
    """The looks so far, oldest first.

    Raises:
        CorpusError: the file is damaged.
    """
    path = folder / TEST_USES_NAME
    if not path.is_file():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [TestUse(**line | {"paths": tuple(line["paths"])}) for line in lines]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CorpusError(
            f"{path} is damaged: {error}; looks at test can't be counted: scan in a new folder"
        ) from error
