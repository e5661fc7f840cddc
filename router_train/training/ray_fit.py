"""``router-train fit`` by several workers of a Ray cluster, with Ray Train.

Every worker calls `router_train.training.fit.fit` in a process group of torch (gloo, which takes
tensors of CPUs and GPUs); the first one writes the checkpoint. Corpus and checkpoint lie on storage
that all workers see.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from router_train.config import FitConfig
from router_train.inference.model_choice import ModelChoice
from router_train.routers.checkpoint import META_NAME, read_meta
from router_train.training.fit import FitOutcome, fit
from search_cluster.cluster.training import train_on_ray
from search_cluster.errors import ConfigError

RUNS_FOLDER = "ray"
"""The folder inside the checkpoint's folder for what Ray Train keeps of a training."""


def fit_on_ray(
    corpus: Path,
    out: Path,
    config: FitConfig,
    model: ModelChoice,
    *,
    task_spec: str | None,
    force: bool,
    mode: str,
    num_workers: int,
) -> FitOutcome:
    """As `router_train.training.fit.fit`, by ``num_workers`` workers.

    The router is the same up to rounding.

    Args:
        corpus: the corpus, which all workers see under this path; so are ``out`` and a task that is
            a file.
        out: the checkpoint's folder.
        config: see `FitConfig`.
        model: how workers load the model; ``device`` "cuda" gives each worker a GPU.
        task_spec: the corpus' task, if its name alone does not find it.
        force: whether to train again over whatever ``out`` holds.
        mode: ``local``, ``auto`` or a cluster's address.
        num_workers: the number of workers, at least 1.

    Raises:
        ConfigError: no worker, or a device that no worker can have.
        ModelError: a worker failed.
        EvaluatorError: no cluster answers.
    """
    if num_workers < 1:
        raise ConfigError(f"num_workers is {num_workers}; at least 1 worker trains")
    use_gpu = model.device.startswith("cuda")
    if model.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"device is {model.device!r}; Ray chooses which GPU a worker gets: say cuda, cpu or "
            "auto"
        )
    arguments = {
        "corpus": str(corpus.resolve()),
        "out": str(out.resolve()),
        "config": asdict(config),
        "model": asdict(model) | {"device": "cuda" if use_gpu else "cpu"},
        "task_spec": task_spec,
        "force": force,
    }
    written_before = _written(out)
    train_on_ray(
        _train,
        arguments,
        mode=mode,
        num_workers=num_workers,
        use_gpu=use_gpu,
        storage=out.resolve() / RUNS_FOLDER,
    )
    return FitOutcome(meta=read_meta(out), already_finished=_written(out) == written_before)


def _written(out: Path) -> tuple[int, int] | None:
    """The identity of a written description, to tell one writing from another.

    Ray Train hands no word of a worker back.
    """
    file = out / META_NAME
    if not file.exists():
        return None
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


def _train(arguments: Mapping[str, Any]) -> None:
    """Train as every worker does."""
    model = ModelChoice(**arguments["model"])
    fit(
        Path(arguments["corpus"]),
        Path(arguments["out"]),
        FitConfig(**arguments["config"]),
        model.load,
        task_spec=arguments["task_spec"],
        force=arguments["force"],
        check_model=model.is_named,
    )
