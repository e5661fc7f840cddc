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
from search_cluster.bench.scan.score_table import read_table
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
        ConfigError: it has too few questions, or the second one other paths.
    """
    started_s = time.perf_counter()
    table = read_table(folder)
    answers = [StoredAnswers(table)]
    if config.second is not None:
        second = read_table(config.second)
        if second.paths != table.paths:
            raise ConfigError(
                f"the tables in {folder} and {config.second} have other paths; compute both with "
                "the same model and --max-block"
            )
        answers.append(StoredAnswers(second))
    result: dict[str, Any] = {
        "model": table.facts.model,
        "task": table.facts.task,
        "num_paths": len(table.paths),
        "num_questions": len(table.questions),
        "plain_accuracy": float(answers[0].right_QP[:, 0].mean()),
    }
    parts: dict[str, Callable[[], Any]] = {
        "race": lambda: race_figures(table, config),
        "null": lambda: null_figures(table, config),
        "cover": lambda: cover_figures(table, config),
        "published": lambda: published_figures(answers, config),
    }
    if config.depth_prior is not None:
        cards = read_depth_result(local_folder(config.depth_prior, FolderKind.STUDY)).layers
        prior = LayerPrior(influence=influence_of(cards))
        parts["prior"] = lambda: prior_figures(table, config, prior)
    for name, figures in parts.items():
        result[name] = figures()
        say(f"{name}: {result[name]}, {time.perf_counter() - started_s:.0f} s")
    return result
