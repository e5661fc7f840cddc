"""The examples that a search is asked for, and whether its run folder still fits them."""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_cluster.config import SearchConfig
from search_cluster.errors import ConfigError, TaskError
from search_cluster.files import write_text_whole
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import MalformedRow, Task

logger = logging.getLogger(__name__)

MALFORMED_NAME = "malformed.jsonl"
"""Rows of the data set that were skipped, one JSON object a line, in the run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedExamples:
    """What a task gives for a search."""

    split: tuple[Example, ...]
    """All examples of the split."""
    examples: tuple[Example, ...]
    """Those that are searched."""
    malformed: tuple[MalformedRow, ...]
    """Rows that are no examples."""


def load_examples(config: SearchConfig, task: Task) -> AskedExamples:
    """Load the split and draw the examples that are searched.

    Raises:
        TaskError: the split has no example, or can't be loaded.
    """
    loaded = task.load(config.split, resolve_data_dir(config.data_dir))
    if not loaded.examples:
        raise TaskError(
            f"task {task.name} has no question in split {config.split!r}; choose another split"
        )
    warn_of_malformed(config.run, loaded.malformed)
    return AskedExamples(
        split=loaded.examples,
        examples=select_examples(loaded.examples, config.limit, config.seed),
        malformed=loaded.malformed,
    )


def warn_of_malformed(run: Path, rows: Sequence[MalformedRow]) -> None:
    """Say that rows were skipped, if any were."""
    if rows:
        logger.warning(
            "%d malformed rows were skipped, the first is %s: %s; all are listed in %s",
            len(rows),
            rows[0].source,
            rows[0].reason,
            run / MALFORMED_NAME,
        )


def require_same_examples(
    config: SearchConfig, asked: AskedExamples, written_ids: Collection[str]
) -> None:
    """Pass if every example that the run folder holds is still asked for.

    The data of a task is no setting, so no other check notices that it changed.

    Raises:
        ConfigError: some are not; a corpus that mixed both would be nobody's.
    """
    gone = set(written_ids) - {example.example_id for example in asked.examples}
    if gone:
        raise ConfigError(
            f"{config.run} holds {len(gone)} searched questions that task {config.task} does not "
            f"give any more, such as {min(gone)}: its data changed; restore the data, or choose "
            "another run folder"
        )


def write_malformed(run: Path, rows: Sequence[MalformedRow]) -> None:
    """Write the malformed rows, if there are any, into the run folder."""
    if rows:
        lines = [
            json.dumps({"source": row.source, "reason": row.reason}, ensure_ascii=False)
            for row in rows
        ]
        write_text_whole(run / MALFORMED_NAME, "\n".join(lines) + "\n")
