"""How a row's router is judged: it and the plain model answer the same questions."""

from collections.abc import Sequence
from pathlib import Path

from router_train.evaluation.evaluate import (
    EvaluationReport,
    count_engines,
    evaluate,
    open_engine,
)
from router_train.evaluation.predictions import PREDICTIONS_FOLDER, PredictionLog
from router_train.evaluation.verdict_db import VerdictDb
from router_train.inference.routed_model import RoutedModel
from router_train.routers.checkpoint import RouterMeta, load_router
from router_train.study.result import Figures
from search_cluster.model.loaded import LoadedModel
from search_cluster.paths.codec import parse_path
from search_cluster.tasks.example import Example
from search_cluster.tasks.task import Task


def judge(
    loaded: LoadedModel,
    task: Task,
    examples: Sequence[Example],
    router_folder: Path,
    meta: RouterMeta,
    *,
    verdicts: Path,
    oracle: bool,
) -> Figures:
    """The figures of a router on some questions.

    Args:
        loaded: the plain model.
        task: the task, which knows how to ask and grade.
        examples: the questions.
        router_folder: the router's folder, which holds the router and its answers.
        meta: the router's description.
        verdicts: the file of verdicts that all rows of the study share.
        oracle: whether the figures are those of somebody who knows the answers.
    """
    router, _ = load_router(router_folder, loaded)
    key = {
        "model": loaded.fingerprint,
        "router": meta.digest,
        "task": [task.name, task.version],
        "study": 1,
    }
    routed_model = RoutedModel(loaded, router)
    menu = [parse_path(text, meta.num_layers) for text in meta.menu] if oracle else []
    executor = open_engine(
        routed_model.running, task, num_engines=count_engines(loaded, routed_model, menu)
    )
    with VerdictDb(
        verdicts, executor, routed_model.running, task, tie_threshold=executor.tie_threshold
    ) as engine:
        report: EvaluationReport = evaluate(
            loaded,
            routed_model,
            task,
            examples,
            PredictionLog(router_folder / PREDICTIONS_FOLDER, key),
            menu=menu,
            engine=engine,
        )
    return Figures.of_oracle(report) if oracle else Figures.of(report)
