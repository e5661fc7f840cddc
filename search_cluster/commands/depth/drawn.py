"""The questions of a study, and those that are left for fitting."""

import hashlib
import json
from dataclasses import dataclass

from search_cluster.commands.depth.asked import StudyRequest
from search_cluster.tasks.data_dir import resolve_data_dir
from search_cluster.tasks.example import Example
from search_cluster.tasks.selection import select_examples
from search_cluster.tasks.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnQuestions:
    """A task's questions in two parts; none is in both."""

    studied: tuple[Example, ...]
    others: tuple[Example, ...]

    @property
    def digest(self) -> str:
        """16 hex digits that are equal for equal questions, choices and right answers."""
        ids = [[item.example_id for item in part] for part in (self.studied, self.others)]
        return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]


def draw_questions(request: StudyRequest, task: Task) -> DrawnQuestions:
    """Read the task's split and draw from it.

    Raises:
        TaskError: the split can't be read.
    """
    config = request.config
    loaded = task.load(config.split, resolve_data_dir(config.data_dir)).examples
    ordered = select_examples(loaded, None, config.seed)
    num = min(request.settings.questions, max(1, len(ordered) // 2))
    return DrawnQuestions(studied=ordered[:num], others=ordered[num:])
