"""The verdict of one request in an engine of its own: what it is in any company."""

from search_cluster.model.engine.executor import Outcome, PathExecutor
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.layer_path import LayerPath
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task


def evaluate_alone(
    loaded: LoadedModel,
    task: Task,
    example: Example,
    path: LayerPath,
    *,
    tie_threshold: float | None = None,
) -> Outcome:
    """What an engine says that has seen no other request, and keeps no state afterwards.

    Args:
        loaded: a model of a supported family.
        task: how to ask and grade.
        example: the question.
        path: the layers.
        tie_threshold: as `PathExecutor` takes it.
    """
    # Nodes refer to each other, so states that are kept would stay until Python looks for cycles.
    executor = PathExecutor(loaded, task, max_state_bytes=0, tie_threshold=tie_threshold)
    return executor.evaluate([(example, path)])[0]
