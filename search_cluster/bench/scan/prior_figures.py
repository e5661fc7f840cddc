"""What a prior of layers saves: the same races with it and without, over a table. Pure.

Gains and differences are in percentage points.
"""

from typing import Any

import numpy as np

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.replayed_scan import race_draw, replay_search
from search_cluster.bench.scan.score_table import ScoreTable
from search_cluster.bench.scan.stored_answers import StoredAnswers
from search_cluster.errors import ConfigError
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.racing.searched import Searched


def prior_figures(table: ScoreTable, config: ScanReplayConfig, prior: LayerPrior) -> dict[str, Any]:
    """Races with a prior beside the same races without one.

    Both choices are judged on the questions that no race asked.

    Raises:
        ConfigError: the prior is of a model of another depth.
    """
    num_layers = table.facts.num_layers
    if len(prior.influence) != num_layers:
        raise ConfigError(
            f"the depth prior has {len(prior.influence)} layers, and the model of the table has "
            f"{num_layers}; study that model with search-cluster depth"
        )
    answers = StoredAnswers(table)
    saved, differences, shared, num_same = [], [], [], 0
    verdicts: list[tuple[int, int]] = []
    for number in range(config.races):
        draw = race_draw(table, config, number)
        fresh = np.concatenate([draw.validation, draw.test, draw.fresh])
        plain, with_prior = (replay_search(answers, draw, known) for known in (None, prior))
        verdicts.append((plain.num_verdicts, with_prior.num_verdicts))
        saved.append(1.0 - with_prior.num_verdicts / plain.num_verdicts)
        own, other = (answers.gain(_first(of, answers), fresh) for of in (with_prior, plain))
        differences.append(100 * (own - other))
        finalists = [{item.path for item in of.finalists} for of in (plain, with_prior)]
        shared.append(len(finalists[0] & finalists[1]) / max(1, len(finalists[0])))
        num_same += _first(plain, answers) == _first(with_prior, answers)
    return {
        "races": config.races,
        "digest": prior.digest,
        "verdicts": float(np.mean([plain for plain, _ in verdicts])),
        "verdicts_with_prior": float(np.mean([own for _, own in verdicts])),
        "saved_share": float(np.mean(saved)),
        "saved_share_by_seed": saved,
        "same_choice": num_same,
        "finalists_shared": float(np.mean(shared)),
        "fresh_gain_difference": float(np.mean(differences)),
        "fresh_gain_difference_by_seed": differences,
    }


def _first(searched: Searched, answers: StoredAnswers) -> LayerPath:
    return searched.finalists[0].path if searched.finalists else answers.identity
