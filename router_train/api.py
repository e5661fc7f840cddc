"""The Python interface of routers, for notebooks and scripts.

    from router_train.api import RoutedModel, evaluate, train

    train("runs/mine", "runs/mine/routers/drllm", router="drllm")
    evaluate("runs/mine/routers/drllm", limit=200)["effect"]
    routed = RoutedModel.from_pretrained("runs/mine/routers/drllm")
    print(routed.answer(["What is the symbol of gold?"], max_new_tokens=16)[0].text)

Settings are those of ``router-train``, under the names of its flags. What is done already is done
at once.
"""

from pathlib import Path
from typing import Any

from router_train.commands.evaluate import judge_router
from router_train.config import FitConfig
from router_train.data.question_choice import QuestionChoice
from router_train.inference.model_choice import ModelChoice
from router_train.inference.routed_model import RoutedModel
from router_train.training.fit import FitOutcome, fit
from router_train.training.of_scan import static_of_scan
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind, require_local

__all__ = ["RoutedModel", "evaluate", "of_scan", "train"]


def train(
    corpus: str | Path,
    out: str | Path,
    *,
    router: str = "drllm",
    task: str | None = None,
    force: bool = False,
    model: ModelChoice | None = None,
    **settings: Any,
) -> FitOutcome:
    """Train a router on a corpus, as ``router-train fit``.

    Args:
        corpus: the run folder of a finished search; or ``hub:org/name@revision``.
        out: the folder for the router; a finished one of the same inputs is kept.
        router: its kind.
        task: how to find the corpus's task, where its run folder does not hold it.
        force: whether to train again over what ``out`` holds.
        model: another model than the corpus's, or another device.
        settings: any other field of `FitConfig`.

    Raises:
        SearchClusterError: corpus, settings or model are not as they must be.
    """
    model = model or ModelChoice()
    require_local(out, "out")
    return fit(
        local_folder(corpus, FolderKind.CORPUS),
        Path(out),
        FitConfig(router=router, **settings),
        model.load,
        task_spec=task,
        force=force,
        check_model=model.is_named,
    )


def of_scan(
    scan: str | Path, out: str | Path, *, path: str | None = None, best: bool = False
) -> FitOutcome:
    """The path of a finished scan as a router, as ``router-train static``.

    Args:
        scan: the scan's run folder; or ``hub:org/name@revision``.
        out: the folder for the router.
        path: another path, in any notation; ``None``: the one that the scan reports.
        best: whether the scan's first finalist will do where nothing is sure.

    Raises:
        SearchClusterError: the scan is unfinished, or found no path.
    """
    require_local(out, "out")
    folder = local_folder(scan, FolderKind.SCAN)
    return static_of_scan(folder, Path(out), named=path, best=best, force=False)


def evaluate(
    router: str | Path,
    *,
    task: str | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
    model: ModelChoice | None = None,
    threshold: float = 0.0,
) -> dict[str, Any]:
    """Judge a router beside the plain model, as ``router-train evaluate --json``.

    Args:
        router: its folder; or ``hub:org/name@revision``.
        task: a name or a file; ``None``: the router's own.
        split: ``train``, ``validation`` or ``test``.
        limit: the largest number of questions; ``None``: all of the split.
        seed: draws the questions.
        data_dir: folder of local benchmark files.
        model: another model than the router's, or another device.
        threshold: see `RoutedModel`.

    Raises:
        SearchClusterError: router, task or model are not as they must be.
    """
    questions = QuestionChoice(
        task_spec=task,
        split=split,
        limit=limit,
        seed=seed,
        data_dir=None if data_dir is None else Path(data_dir),
    )
    folder = local_folder(router, FolderKind.ROUTER)
    return judge_router(folder, questions, model or ModelChoice(), threshold=threshold)
