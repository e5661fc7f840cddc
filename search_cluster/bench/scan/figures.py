"""What replayed scans prove: the race, no claim where nothing is, intervals that hold. Pure.

Gains and differences are in percentage points.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.replayed_scan import (
    Draw,
    ReplayedScan,
    draw_again,
    draw_apart,
    exhaustive_choice,
    most_accurate,
    race_draw,
    replay_scan,
    replay_search,
    rng_of,
)
from search_cluster.bench.scan.score_table import ScoreTable
from search_cluster.bench.scan.stored_answers import StoredAnswers
from search_cluster.paths.layer_path import LayerPath
from search_cluster.scan.result import Standing
from search_cluster.scan.settings import Aim
from search_cluster.stats import TOLERATED_LOSS, share_of

USUAL_QUESTIONS = 16
"""Questions of the usual way to look for a path."""

_Seen = tuple[Standing, float]
"""What is reported of a path, and what it truly gains."""
Drawn = Callable[[ScoreTable, ScanReplayConfig, np.random.Generator], Draw]


def race_figures(table: ScoreTable, config: ScanReplayConfig) -> dict[str, Any]:
    """Races beside running all paths on all their questions.

    Both choices are judged on the questions that the race did not ask.
    """
    answers = StoredAnswers(table)
    verdicts, shares, num_fresh, num_unknown = [], [], [], 0
    gains: dict[str, list[float]] = {"race": [], "exhaustive": [], "exhaustive_by_accuracy": []}
    for number in range(config.races):
        draw = race_draw(table, config, number)
        fresh = np.setdiff1d(np.arange(len(table.questions)), draw.train)
        searched = replay_search(answers, draw)
        verdicts.append(searched.num_verdicts)
        shares.append(searched.num_verdicts / searched.num_exhaustive)
        num_fresh.append(len(fresh))
        num_unknown += sum(
            not answers.was_asked(path, draw.train[: len(outcomes)])
            for path, outcomes in searched.tables[0].by_path.items()
        )
        choices = {
            "race": searched.finalists[0].path if searched.finalists else answers.identity,
            "exhaustive": exhaustive_choice(answers, draw),
            "exhaustive_by_accuracy": most_accurate(answers, draw.train),
        }
        num_unknown += sum(not answers.was_asked(path, fresh) for path in set(choices.values()))
        for name, path in choices.items():
            gains[name].append(100 * answers.gain(path, fresh))
    return {
        "races": config.races,
        "verdicts": float(np.mean(verdicts)),
        "verdicts_of_exhaustive": float(np.mean(shares)),
        "num_fresh": min(num_fresh),
        "paths_asked_beyond_the_table": num_unknown,
        **{f"fresh_gain_{name}": float(np.mean(values)) for name, values in gains.items()},
        "behind_exhaustive": float(np.mean(gains["exhaustive"]) - np.mean(gains["race"])),
        "behind_exhaustive_by_seed": [
            other - own for own, other in zip(gains["race"], gains["exhaustive"], strict=True)
        ],
    }


def null_figures(table: ScoreTable, config: ScanReplayConfig) -> dict[str, Any]:
    """Scans of questions whose right answer is drawn among the choices: no path is better.

    The plain model guesses there, so that no shorter path keeps anything.
    """
    table = table.of_complete_paths()
    num_sure = num_usual = 0
    usual_gains = []
    for number in range(config.nulls):
        rng = rng_of(config, "null", number)
        num_choices_Q = np.array([item.num_choices for item in table.questions])
        answers = StoredAnswers(table, rng.integers(0, num_choices_Q))
        draw = draw_apart(table, config, rng)
        num_sure += bool(replay_scan(answers, draw, config.aim).sure)
        few = draw.train[:USUAL_QUESTIONS]
        gain = answers.gain(most_accurate(answers, few), few)
        num_usual += gain > 0
        usual_gains.append(100 * gain)
    return {
        "scans": config.nulls,
        "num_paths": len(table.paths),
        "call_a_path_better": num_sure,
        "usual_questions": USUAL_QUESTIONS,
        "usual_way_calls_a_path_better": num_usual,
        "usual_way_gain": float(np.mean(usual_gains)) if usual_gains else None,
    }


def cover_figures(table: ScoreTable, config: ScanReplayConfig) -> dict[str, Any]:
    """Whether intervals hold what a path truly gains, and how flattering what is reported is.

    ``apart`` compares with other questions of the table, which are a sample, too; ``again`` takes
    the table for all questions that there are, so that the truth is known exactly. ``sure`` counts
    the scans that call a path better, and those that are wrong about one by that truth.
    """
    table = table.of_complete_paths()
    kinds: dict[str, Drawn] = {"apart": draw_apart, "again": draw_again}
    return {name: _cover(table, config, name, draw) for name, draw in kinds.items()}


def _cover(table: ScoreTable, config: ScanReplayConfig, name: str, drawn: Drawn) -> dict[str, Any]:
    answers = StoredAnswers(table)
    seen: dict[str, list[list[_Seen]]] = {"train": [], "validation": [], "test": []}
    num_sure = num_wrong = 0
    for number in range(config.covers):
        draw = drawn(table, config, rng_of(config, name, number))
        found = replay_scan(answers, draw, config.aim)
        num_sure += bool(found.sure)
        num_wrong += any(
            _is_wrong(path, answers.gain(path, draw.fresh), config.aim) for path in found.sure
        )
        for stage, standings in _stages(found).items():
            seen[stage].append(
                [(standing, answers.gain(path, draw.fresh)) for path, standing in standings.items()]
            )
    return {
        "scans": config.covers,
        **{stage: _held(items) for stage, items in seen.items()},
        "sure": {
            "call_a_path_better": share_of(num_sure, config.covers),
            "wrong": share_of(num_wrong, config.covers),
        },
    }


def _is_wrong(path: LayerPath, true_gain: float, aim: str) -> bool:
    """Whether a path that was called better is not: by its layers it may lose what is tolerated."""
    if aim != Aim.ACCURACY and len(path) < path.num_layers:
        return true_gain < -TOLERATED_LOSS
    return true_gain <= 0.0


def _stages(found: ReplayedScan) -> dict[str, dict[LayerPath, Standing]]:
    return {"train": found.on_train, "validation": found.on_validation, "test": found.on_test}


def _held(scans: Sequence[Sequence[_Seen]]) -> dict[str, Any] | None:
    items = [item for of_scan in scans for item in of_scan]
    if not items:
        return None
    return {
        "paths": len(items),
        "paths_held": share_of(sum(map(_holds, items)), len(items)),
        "scans_all_held": share_of(sum(all(map(_holds, of_scan)) for of_scan in scans), len(scans)),
        "reported_minus_fresh": 100 * float(np.mean([item.gain - true for item, true in items])),
    }


def _holds(seen: _Seen) -> bool:
    standing, true = seen
    return standing.low <= true <= standing.high
