"""Whole scans over a made-up table, in which it is known which path helps."""

import numpy as np
import pytest
from support.made_up_tables import made_up_table

from search_cluster.bench.scan.config import ScanReplayConfig
from search_cluster.bench.scan.replayed_scan import (
    draw_again,
    draw_apart,
    exhaustive_choice,
    most_accurate,
    replay_scan,
)
from search_cluster.bench.scan.score_table import ScoreTable
from search_cluster.bench.scan.stored_answers import StoredAnswers
from search_cluster.errors import ConfigError
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.settings import Aim

NUM_LAYERS = 6
HELPFUL = path_of_edits([Edit(2, 4, 0)], NUM_LAYERS)
SIZES = ScanReplayConfig(num_train=224, num_validation=200, num_test=200)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def table(num_questions: int) -> ScoreTable:
    return made_up_table(num_questions, num_layers=2)


def test_parts_that_are_drawn_apart_share_no_question_and_leave_none_out() -> None:
    draw = draw_apart(table(700), SIZES, rng())
    parts = [draw.train, draw.validation, draw.test, draw.fresh]
    assert [len(part) for part in parts] == [224, 200, 200, 76]
    assert sorted(np.concatenate(parts)) == list(range(700))


def test_what_is_fresh_shares_no_fact_with_validation_and_test() -> None:
    asked_in_seven_ways = made_up_table(3000, num_layers=2, wordings=7)
    draw = draw_apart(asked_in_seven_ways, SIZES, rng())
    parts = [draw.train, draw.validation, draw.test, draw.fresh]
    assert [len(part) for part in parts[:3]] == [224, 200, 200]
    assert len(draw.fresh) > 3000 - 224 - 200 - 200 - 2 * 7
    assert len(set(np.concatenate(parts))) == sum(map(len, parts))
    facts = [{asked_in_seven_ways.questions[row].asks_for for row in part} for part in parts[1:]]
    assert len(set.union(*facts)) == sum(map(len, facts))


def test_a_table_of_too_few_facts_is_refused() -> None:
    with pytest.raises(ConfigError, match="too few facts: 700 questions have none left beside"):
        draw_apart(made_up_table(700, num_layers=2, wordings=350), SIZES, rng())


def test_a_table_without_fresh_questions_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 624 questions; train, validation and test take 624"):
        draw_apart(table(624), SIZES, rng())


def test_parts_that_are_drawn_again_come_from_all_questions_and_all_are_the_truth() -> None:
    draw = draw_again(table(50), SIZES, rng())
    assert len(draw.train) == 224
    assert set(draw.train) <= set(range(50))
    assert len(set(draw.train)) > 40
    assert draw.fresh.tolist() == list(range(50))


def test_a_path_that_helps_is_found_confirmed_and_called_better() -> None:
    answers = StoredAnswers(made_up_table(900, num_layers=NUM_LAYERS, helps={HELPFUL: 0.8}))
    draw = draw_apart(answers.table, SIZES, rng())
    found = replay_scan(answers, draw, Aim.ACCURACY)
    assert found.searched.finalists[0].path == HELPFUL
    assert found.confirmed.order[0].path == HELPFUL
    assert found.sure == (HELPFUL,)
    assert set(found.on_train) == set(found.on_validation)
    assert found.on_test[HELPFUL].num_questions == 200
    assert found.on_test[HELPFUL].gain == pytest.approx(answers.gain(HELPFUL, draw.test))
    assert found.on_validation[HELPFUL].gain == pytest.approx(
        answers.gain(HELPFUL, draw.validation)
    )
    # It is one of 42 on train, and one of eight on validation.
    assert found.on_train[HELPFUL].num_compared == len(answers.candidates)
    assert found.on_validation[HELPFUL].num_compared == len(found.searched.finalists)
    assert found.searched.num_verdicts < found.searched.num_exhaustive / 2


def test_all_paths_on_all_questions_find_it_too() -> None:
    answers = StoredAnswers(made_up_table(900, num_layers=NUM_LAYERS, helps={HELPFUL: 0.8}))
    draw = draw_apart(answers.table, SIZES, rng())
    assert exhaustive_choice(answers, draw) == HELPFUL
    assert most_accurate(answers, draw.train) == HELPFUL


def test_where_every_edit_harms_nothing_is_sure() -> None:
    answers = StoredAnswers(made_up_table(900, num_layers=NUM_LAYERS))
    draw = draw_apart(answers.table, SIZES, rng())
    assert replay_scan(answers, draw, Aim.ACCURACY).sure == ()
