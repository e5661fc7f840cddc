"""A whole table of scores: every path on every question, with the scores of all choices.

A folder holds ``table.json``, which says what the scores depend on, and a Parquet file for each
block of questions that is done, so that an interrupted table goes on. With the scores of all
choices, another choice may be called right afterwards, without a run of the model.

Shapes: Q questions, P paths, C choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from search_cluster.errors import ConfigError, CorpusError, InvalidPathError
from search_cluster.files import replaced_whole, write_text_whole
from search_cluster.paths.codec import parse_path
from search_cluster.paths.layer_path import LayerPath

TABLE_NAME = "table.json"
"""The file that says what the scores depend on."""
BLOCK_PATTERN = "scores-*.parquet"
SCORE_TABLE_SCHEMA = 1
"""The version of the files."""
COLUMNS = pa.schema(
    [("question", pa.int32()), ("path", pa.int32()), ("scores", pa.list_(pa.float64()))]
)
"""Places in the lists of ``table.json``, and a score for each choice; none where a path failed."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredQuestion:
    """A question of the table."""

    example_id: str
    num_choices: int
    gold_index: int
    """The choice that is right."""
    fact: int | None = None
    """The fact that it asks for (`search_cluster.tasks.facts`); ``None`` in tables of former
    versions."""

    @property
    def asks_for(self) -> int | str:
        """What names its fact; a question of a former version has one of its own."""
        return self.example_id if self.fact is None else self.fact


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFacts:
    """All that the scores depend on."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    schema: int = SCORE_TABLE_SCHEMA
    """The version of the files."""
    model: str
    """As it was asked for."""
    model_fingerprint: str
    num_layers: int
    dtype: str
    arithmetic: str
    """The device and the kernels that the scores depend on; empty for float32."""
    chat: bool
    """Whether questions were asked in the tokenizer's chat template."""
    task: str
    task_version: str
    split: str
    seed: int
    """The seed of the draw of questions."""
    paths: tuple[str, ...]
    """The plain path first, each as `LayerPath` writes itself."""
    questions: tuple[StoredQuestion, ...]
    """In the order of the draw."""
    num_full: int | None = None
    """Questions, the first ones, that all paths are asked; ``None``: all of them."""
    keep: int | None = None
    """How many paths are asked the others; ``None`` if there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """What is done of a table, in memory."""

    facts: TableFacts
    paths: tuple[LayerPath, ...]
    """The plain path first."""
    questions: tuple[StoredQuestion, ...]
    """Those that are done."""
    scores_QPC: Floats
    """Mean log-probabilities per token in nats; NaN behind a question's last choice, and for a path
    that failed or was not asked."""
    was_asked_QP: Bools
    """Which pairs are done, failures among them."""

    @property
    def full_questions(self) -> NDArray[np.int64]:
        """Places of the questions that all paths were asked."""
        return np.flatnonzero(self.was_asked_QP.all(axis=1))

    def of_complete_paths(self) -> "ScoreTable":
        """The table of those paths that were asked all its questions."""
        places = np.flatnonzero(self.was_asked_QP.all(axis=0))
        return replace(
            self,
            paths=tuple(self.paths[place] for place in places),
            scores_QPC=self.scores_QPC[:, places],
            was_asked_QP=self.was_asked_QP[:, places],
        )

    def of_answered_questions(self) -> "ScoreTable":
        """The table of the questions that the plain path answers; others say nothing of a path."""
        is_answered_Q = ~np.isnan(self.scores_QPC[:, 0]).all(axis=1)
        return self.of_questions(np.flatnonzero(is_answered_Q).tolist())

    def of_questions(self, places: Sequence[int]) -> "ScoreTable":
        """The table of some of its questions."""
        return replace(
            self,
            questions=tuple(self.questions[place] for place in places),
            scores_QPC=self.scores_QPC[list(places)],
            was_asked_QP=self.was_asked_QP[list(places)],
        )


_FACTS = TypeAdapter(TableFacts)


def begin_table(folder: Path, facts: TableFacts) -> None:
    """Write what a table depends on, or see that it is what a table in the folder depends on.

    Raises:
        ConfigError: the folder holds a table of something else.
        CorpusError: the folder can't be read or written to.
    """
    if (folder / TABLE_NAME).is_file():
        old = read_facts(folder)
        fewer, more = sorted((_asked(old), _asked(facts)), key=len)
        if (
            replace(old, questions=()) != replace(facts, questions=())
            or more[: len(fewer)] != fewer
        ):
            raise ConfigError(
                f"{folder} holds a table of {old.model}, {old.task} ({old.split}), "
                f"{len(old.paths)} paths, {old.dtype}, seed {old.seed}, made with other weights or "
                "settings; name another folder"
            )
        if len(old.questions) > len(facts.questions) or old.questions == facts.questions:
            return
    write_text_whole(folder / TABLE_NAME, _FACTS.dump_json(facts).decode())


def _asked(facts: TableFacts) -> list[StoredQuestion]:
    """The questions, without what former versions did not say of them."""
    return [replace(question, fact=None) for question in facts.questions]


def read_facts(folder: Path) -> TableFacts:
    """What a table depends on.

    Raises:
        CorpusError: there is no table, or it is of another version.
    """
    try:
        return _FACTS.validate_json((folder / TABLE_NAME).read_bytes())
    except (OSError, ValidationError) as error:
        raise CorpusError(
            f"{folder} holds no table of scores that can be read; compute one with "
            f"`search-cluster bench scan table --out {folder}`"
        ) from error


def questions_done(folder: Path) -> set[int]:
    """The places of the questions that are done."""
    return {
        place
        for file in sorted(folder.glob(BLOCK_PATTERN))
        for place in _read_block(file)["question"].unique().to_pylist()
    }


def write_block(folder: Path, rows: Mapping[int, Mapping[int, Sequence[float]]]) -> None:
    """Write what paths scored on some questions, atomically.

    Args:
        folder: of the table.
        rows: by the question's place and the path's: the scores, none where the path failed.
    """
    columns = [
        {"question": question, "path": path, "scores": list(scores)}
        for question, of_question in rows.items()
        for path, scores in of_question.items()
    ]
    with replaced_whole(folder / f"scores-{min(rows):06d}.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(columns, schema=COLUMNS), temporary, compression="zstd")


def read_table(folder: Path) -> ScoreTable:
    """What is done of a table.

    Raises:
        CorpusError: there is no table, nothing of it is done, or a file is damaged.
    """
    facts = read_facts(folder)
    try:
        paths = tuple(parse_path(text, facts.num_layers) for text in facts.paths)
    except InvalidPathError as error:
        raise CorpusError(f"{folder / TABLE_NAME} is damaged: {error}") from error
    most_choices = max((item.num_choices for item in facts.questions), default=0)
    scores_QPC = np.full((len(facts.questions), len(paths), most_choices), np.nan)
    was_asked_QP = np.zeros((len(facts.questions), len(paths)), dtype=bool)
    for file in sorted(folder.glob(BLOCK_PATTERN)):
        block = _read_block(file)
        numbers = block["scores"].combine_chunks()
        lengths = numbers.value_lengths().to_numpy()
        row = np.repeat(np.arange(len(lengths)), lengths)
        choice = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        question, path = block["question"].to_numpy(), block["path"].to_numpy()
        try:
            scores_QPC[question[row], path[row], choice] = numbers.flatten().to_numpy()
            was_asked_QP[question, path] = True
        except IndexError as error:
            raise CorpusError(f"{file} is not of the table in {folder}; delete it") from error
    done = np.flatnonzero(was_asked_QP.any(axis=1))
    if not done.size:
        raise CorpusError(f"no question of the table in {folder} is done; run the command again")
    table = ScoreTable(
        facts=facts,
        paths=paths,
        questions=facts.questions,
        scores_QPC=scores_QPC,
        was_asked_QP=was_asked_QP,
    )
    return table.of_questions(done.tolist())


def _read_block(file: Path) -> pa.Table:
    try:
        block = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{file} is damaged: {error}; delete it and run again") from error
    if not block.schema.equals(COLUMNS):
        raise CorpusError(f"{file} has other columns than a table of scores; delete it")
    return block
