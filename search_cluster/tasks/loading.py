"""What a source gives, looked at before it is used: equal questions, and gold answers."""

import logging
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from search_cluster.errors import SearchClusterError, TaskError, in_one_line
from search_cluster.tasks.example import Example
from search_cluster.tasks.grading.gold import gold_check_of
from search_cluster.tasks.task import SPLITS, LoadedExamples, MalformedRow
from search_cluster.tasks.twins import keep_apart

Source = Callable[[str, str, Path | None], LoadedExamples]
"""Gives the examples of a split; called with the name of the task, the split and the data folder.
One that parts equal questions by itself says so by an attribute ``keeps_apart``."""
Grader = Callable[[Example, str], float]
"""Gives the reward in [0, 1]; called with the example and the answer."""
_logger = logging.getLogger(__name__)


def load_checked(
    source: Source, task: str, grader: Grader, split: str, data_dir: Path | None
) -> LoadedExamples:
    """The examples of a split that can be used, the others listed with the malformed rows.

    Left out are questions that later splits ask too, questions with several answers
    (`search_cluster.tasks.twins`), and gold answers that the grader can't read.

    Raises:
        TaskError: there is no such split, or nothing is left of it, or the source fails.
    """
    loaded = _asked(source, task, split, data_dir)
    if loaded.examples and not getattr(source, "keeps_apart", False):
        loaded = keep_apart(
            {split: loaded, **_other_splits(source, task, split, data_dir)}, split, task
        )
    return _with_readable_gold(loaded, task, grader)


def _asked(source: Source, task: str, split: str, data_dir: Path | None) -> LoadedExamples:
    """What the source gives; a source may be anybody's code."""
    try:
        loaded = source(task, split, data_dir)
    except (SearchClusterError, OSError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise TaskError(
            f"task {task}: its source fails on split {split!r}: {type(error).__name__}: "
            f"{in_one_line(error)} ({place.filename}:{place.lineno})"
        ) from error
    if not isinstance(loaded, LoadedExamples):
        raise TaskError(
            f"task {task}: its source gives {type(loaded).__name__}; a source gives "
            "LoadedExamples, as rows_source(ROWS) and file_source(PATH) do"
        )
    return loaded


def _other_splits(
    source: Source, task: str, split: str, data_dir: Path | None
) -> dict[str, LoadedExamples]:
    found = {}
    for name in SPLITS:
        if name == split:
            continue
        try:
            loaded = source(task, name, data_dir)
        except TaskError:
            continue  # there is no such split; whoever asks for it is told
        except Exception as error:  # a source may be anybody's code
            _logger.warning(
                "task %s: split %s can't be read (%s: %s), so nobody knows whether it repeats "
                "questions of %s",
                *(task, name, type(error).__name__, error, split),
            )
            continue
        own = tuple(example for example in loaded.examples if example.split == name)
        found[name] = replace(loaded, examples=own)
    return found


def _with_readable_gold(loaded: LoadedExamples, task: str, grader: Grader) -> LoadedExamples:
    gold_check = gold_check_of(grader)
    if gold_check is None:
        return loaded
    problems = {
        example.example_id: MalformedRow(source=example.source, reason=problem)
        for example in loaded.examples
        if (problem := gold_check.problem(example)) is not None
    }
    if not problems:
        return loaded
    kept = tuple(item for item in loaded.examples if item.example_id not in problems)
    if not kept:
        first = next(iter(problems.values()))
        raise TaskError(
            f"task {task}: not one of {len(problems)} gold answers can be read; the first, "
            f"{first.source}: {first.reason}"
        )
    return replace(loaded, examples=kept, malformed=(*loaded.malformed, *problems.values()))
