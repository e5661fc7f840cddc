"""A lens that a user names: the questions that choose exits should be new to it.

A lens reads what it was fitted to better than anything else. One of the same task has seen the
questions that choose, so that all that is chosen by them would look better than it is.
"""

from pathlib import Path

from search_cluster.console import say
from search_cluster.errors import ConfigError
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.model.lens.folder import load_lens
from search_cluster.model.lens.lens import Lens
from search_cluster.model.lens.record import read_record
from search_cluster.model.loaded import LoadedModel
from search_cluster.tasks.task import Task


def load_named_lens(named: Path, loaded: LoadedModel, task: Task) -> Lens:
    """The lens of a folder, which was not fitted to the prompts of a task as far as it says.

    One line warns of a folder that does not say what it was fitted to.

    Args:
        named: on this machine, or as ``hub:`` names it.
        loaded: the model.
        task: whose questions choose the exits.

    Raises:
        ConfigError: it was fitted to this task, there is no lens, or its files are damaged.
        HubError: there is none on the hub, or it can't be reached.
        ModelError: it belongs to another model.
    """
    folder = local_folder(named, FolderKind.LENS)
    record = read_record(folder)
    texts = None if record is None else record.found.get("texts")
    if texts == f"task {task.name}":  # as `texts_of_task` names its source
        raise ConfigError(
            f"lens {named} was fitted to task {task.name}, whose questions choose the exits; they "
            "must be new to the lens: fit one to other text (search-cluster lens fit --text), or "
            "leave --lens out: one is fitted for each half of the questions"
        )
    lens = load_lens(folder, loaded)
    if texts is None:
        say(
            f"warning: lens {named} does not say what it was fitted to; if questions of task "
            f"{task.name} are in it, what is said of the exits is too good"
        )
    return lens
