"""Which task a command asks a router about, and whether its questions may have taught it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router_train.data.labels import HELD_OUT_SPLIT
from router_train.data.question_choice import QuestionChoice
from router_train.inference.router_task import task_of_router
from router_train.routers.checkpoint import RouterMeta, read_meta
from search_cluster.console import say
from search_cluster.tasks.registry import get_task
from search_cluster.tasks.task import Task


def asked_task(router_folder: Path, questions: QuestionChoice) -> Task:
    """The task that is named, or the router's own; of several of these the first, which is said.

    Raises:
        TaskError: there is no such task.
        ConfigError: none is named, and there is no router.
    """
    if questions.task_spec is not None:
        return get_task(questions.task_spec)
    tasks = read_meta(router_folder).inputs.tasks
    if len(tasks) > 1:
        say(
            f"{router_folder} was made of the tasks {', '.join(tasks)}; {tasks[0]}, the first, is "
            "asked: name another one with --task"
        )
    return task_of_router(router_folder, tasks[0], None)


def may_have_taught(meta: RouterMeta, task: Task, questions: QuestionChoice) -> bool:
    """Whether the questions are of a split and a task that the router was taught, or chosen, by."""
    return task.name in meta.inputs.tasks and questions.split != HELD_OUT_SPLIT


def taught_lines(result: Mapping[str, Any]) -> list[str]:
    """What is said of figures on such questions."""
    if not result["may_have_taught"]:
        return []
    return [
        f"split {result['split']} may have taught the router: this is no test on unseen questions; "
        f"take --split {HELD_OUT_SPLIT}"
    ]
