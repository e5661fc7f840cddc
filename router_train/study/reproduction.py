"""The commands that give a row of the study by hand. Pure."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from router_train.study.experiments import Experiment, options
from search_cluster.tasks.task import Task


def commands_of(
    experiment: Experiment,
    questions: Iterable[tuple[Task, Sequence[str]]],
    *,
    limit: int | None,
    seed: int,
    corpus_folder: Path,
    router_folder: Path,
) -> tuple[str, ...]:
    """The commands that train an experiment's router and judge it on questions.

    Args:
        experiment: the experiment.
        questions: tasks, and the splits of each that are asked.
        limit: the largest number of questions per split; ``None`` takes all.
        seed: the seed that draws which questions a limit takes.
        corpus_folder: where the corpus lies.
        router_folder: where the router lies.
    """
    train = ["router-train", "fit", "--corpus", str(corpus_folder), *options(experiment.config)]
    judge = ["router-train", "evaluate", "--router", str(router_folder)]
    limited = [] if limit is None else ["--limit", str(limit), "--seed", str(seed)]
    oracle = ["--oracle"] if experiment.oracle else []
    lines: list[Sequence[str]] = [[*train, "--out", str(router_folder)]]
    for task, splits in questions:
        lines += [
            [*judge, "--task", task.name, "--split", split, *limited, *oracle] for split in splits
        ]
    return tuple(shlex.join(line) for line in lines)
