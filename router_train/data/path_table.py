"""The path table as arrays: every path of a menu on every question that may teach.

Shapes: N examples, K paths.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router_train.data.facts import fact_hashes, question_hashes
from router_train.data.labels import can_teach
from search_cluster.corpus.path_table import (
    PATH_TABLE_NAME,
    PathTable,
    PathTableRow,
    read_path_table,
)
from search_cluster.corpus.reader import Corpus
from search_cluster.errors import CorpusError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import derive_seed

MIN_QUESTIONS = 10
"""With fewer different questions, nothing that is chosen on the table means anything."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VerdictTable:
    """The verdict of every path of a menu on every question. Immutable."""

    examples: tuple[Example, ...]
    """The questions that `can_teach`, in the order of their ids. Length N."""
    paths: tuple[LayerPath, ...]
    """The paths of the menu, identity first. Length K."""
    right_NK: NDArray[np.bool_]
    """Whether the answer is right, which a failure is not."""
    margin_NK: NDArray[np.float64]
    """The log-probability gap between the gold answer and the best wrong one, in nats; NaN where
    there is none."""

    @property
    def path_lengths(self) -> NDArray[np.int64]:
        """The number of layers of each path. Shape ``[K]``."""
        return np.array([len(path) for path in self.paths])

    @property
    def fact_groups(self) -> NDArray[np.uint64]:
        """A number for each example that is equal for questions of one fact. Shape ``[N]``.

        Equal ones must not be parted between folds.
        """
        facts = fact_hashes(self.examples)
        return np.array([facts[example.example_id] for example in self.examples], dtype=np.uint64)

    @property
    def digest(self) -> str:
        """16 hex digits that are equal for tables with the same questions, paths and verdicts.

        Margins are left out.
        """
        parts = [
            [example.example_id for example in self.examples],
            list(map(str, self.paths)),
            self.right_NK.tolist(),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def limited(self, limit: int | None, seed: int) -> "VerdictTable":
        """The table of at most ``limit`` questions, which the seed draws.

        A larger limit only adds questions.
        """
        if limit is None or limit >= len(self.examples):
            return self
        ranked = sorted(
            range(len(self.examples)),
            key=lambda row: derive_seed(seed, self.examples[row].example_id),
        )
        rows = sorted(ranked[:limit])
        return VerdictTable(
            examples=tuple(self.examples[row] for row in rows),
            paths=self.paths,
            right_NK=self.right_NK[rows],
            margin_NK=self.margin_NK[rows],
        )


def read_table(folder: Path, corpus: Corpus) -> VerdictTable | None:
    """The path table beside a corpus; ``None`` if nobody has cross-executed it.

    Raises:
        CorpusError: the table is damaged, of another corpus, or too small.
    """
    if not (folder / PATH_TABLE_NAME).is_file():
        return None
    found = read_path_table(folder)
    if found.provenance.corpus_digest != corpus.manifest.corpus_digest:
        raise CorpusError(
            f"{folder / PATH_TABLE_NAME} belongs to a corpus with digest "
            f"{found.provenance.corpus_digest}, this one has {corpus.manifest.corpus_digest}; "
            f"write it again: search-cluster crossexec {folder} --menu 16"
        )
    return _table(found, corpus, folder)


def _table(table: PathTable, corpus: Corpus, folder: Path) -> VerdictTable:
    examples = {
        record.example.example_id: record.example for record in corpus.records if can_teach(record)
    }
    rows = {
        example_id: verdicts
        for example_id, verdicts in table.by_example().items()
        if example_id in examples
    }
    teaching = tuple(examples[example_id] for example_id in rows)
    if len(set(question_hashes(teaching).values())) < MIN_QUESTIONS:
        raise CorpusError(
            f"{folder / PATH_TABLE_NAME} has {len(teaching)} questions that may teach; at least "
            f"{MIN_QUESTIONS} different ones are needed: search and cross-execute more examples "
            "(--limit)"
        )
    return VerdictTable(
        examples=teaching,
        paths=table.paths,
        right_NK=_array(rows, lambda row: row.verdict is not None and row.verdict.is_correct, bool),
        margin_NK=_array(rows, _margin, np.float64),
    )


def _margin(row: PathTableRow) -> float:
    return np.nan if row.verdict is None or row.verdict.margin is None else row.verdict.margin


def _array(rows: dict[str, tuple[PathTableRow, ...]], read: Any, kind: Any) -> NDArray[Any]:
    return np.array([[read(row) for row in verdicts] for verdicts in rows.values()], dtype=kind)
