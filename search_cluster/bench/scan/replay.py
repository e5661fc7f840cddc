"""``search-cluster bench scan replay``: what a scan's race and statistics are worth, over a table.

No model runs: the table has the scores of all choices of all paths on all questions, so that any
number of scans can be replayed, with the product's own race, confirmation and statistics.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.figures import cover_figures, null_figures, race_figures
from search_cluster.bench.scan.prior_figures import prior_figures
from search_cluster.bench.scan.published import published_figures
from search_cluster.bench.scan.replayed_scan import single_edits
from search_cluster.bench.scan.score_table import ScoreTable, read_table
from search_cluster.bench.scan.stored_answers import StoredAnswers
from search_cluster.depth.layers import influence_of
from search_cluster.depth.result import read_depth_result
from search_cluster.errors import ConfigError
from search_cluster.hub.folders import local_folder
from search_cluster.hub_spec import FolderKind
from search_cluster.scan.racing.layer_prior import LayerPrior


def replay_table(
    folder: Path, config: ScanReplayConfig, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run all replays.

    Args:
        folder: of the table.
        config: the settings.
        say: takes a line for people now and then.

    Raises:
        CorpusError: a table, or the depth study, can't be read.
        ConfigError: it has too few questions, the second one other paths, or the study is of
            another model.
    """
    started_s = time.perf_counter()
    single_edits(config.aim)  # an aim that there is not is refused at once
    table = read_table(folder)
    num_done = len(table.questions)
    table = table.of_answered_questions()
    prior = None if config.depth_prior is None else _prior_of(table, config.depth_prior)
    answers = [StoredAnswers(table)]
    if config.second is not None:
        second = read_table(config.second).of_answered_questions()
        if second.paths != table.paths:
            raise ConfigError(
                f"the tables in {folder} and {config.second} have other paths; compute both with "
                "the same model and --max-block"
            )
        if second.facts.model_fingerprint != table.facts.model_fingerprint:
            raise ConfigError(
                f"the table in {folder} is of a model with the fingerprint "
                f"{table.facts.model_fingerprint}, and that in {config.second} of one with "
                f"{second.facts.model_fingerprint}; compute both with the same model"
            )
        answers.append(StoredAnswers(second))
    result: dict[str, Any] = {
        "model": table.facts.model,
        "task": table.facts.task,
        "aim": config.aim,
        "num_paths": len(table.paths),
        "num_questions": len(table.questions),
        "num_left_out": num_done - len(table.questions),
        "plain_accuracy": float(answers[0].right_QP[:, 0].mean()),
    }
    parts: dict[str, Callable[[], Any]] = {
        "race": lambda: race_figures(table, config),
        "null": lambda: null_figures(table, config),
        "cover": lambda: cover_figures(table, config),
        "published": lambda: published_figures(answers, config),
    }
    if prior is not None:
        parts["prior"] = lambda: prior_figures(table, config, prior)
    for name, figures in parts.items():
        result[name] = figures()
        say(f"{name}: {result[name]}, {time.perf_counter() - started_s:.0f} s")
    return result


def _prior_of(table: ScoreTable, folder: Path) -> LayerPrior:
    """What a depth study says of the layers of the table's model.

    Raises:
        CorpusError: the folder has no finished study.
        ConfigError: it is of another model.
    """
    study = read_depth_result(local_folder(folder, FolderKind.STUDY))
    if study.model_fingerprint != table.facts.model_fingerprint:
        raise ConfigError(
            f"depth prior {folder} is a study of model {study.model} with the fingerprint "
            f"{study.model_fingerprint}, and the table is of {table.facts.model} with "
            f"{table.facts.model_fingerprint}; study that model with search-cluster depth, or "
            "leave --depth-prior out"
        )
    return LayerPrior(influence=influence_of(study.layers))
