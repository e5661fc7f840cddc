import numpy as np
import pytest
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.options import option_race


def test_options_are_collected_before_one_is_chosen() -> None:
    """Both options are far away, then near and alike, then the second wins."""
    rank_SC = np.array([[900, 900], [3, 2], [1, 2], [1, 0]])
    log_SC = np.array([[-9.0, -9.5], [-3.0, -3.5], [-2.0, -2.5], [-2.0, -1.0]])
    own = np.zeros((4, 1))
    readings = made_up_readings(
        np.ones((4, 1)),
        rank_SNK=np.concatenate([own, rank_SC], axis=1)[:, None],
        log_SNK=np.concatenate([own, log_SC], axis=1)[:, None],
    )
    table = made_up_table(readings, asked_NK=[[7, 8, 9]])
    (race,) = option_race(table, options="texts", gold_N=np.array([1]))
    assert race.among.value == (0.0, 1.0, 1.0, 1.0)
    assert race.agreement.value == (0.0, 0.0, 0.0, 1.0)
    assert race.accuracy.value == race.agreement.value
    assert race.collected_depth.value == 1
    assert race.decided_depth.value == 3
    assert race.decided_later.value == 2
    assert race.chance == 0.5
    assert race.mean_rank.value[0] == pytest.approx(901, rel=1e-4)


def test_questions_with_fewer_options_are_counted_by_theirs() -> None:
    rank = np.array([[[0, 0, 5, -1], [0, 0, 0, 0]]])
    log = np.log(np.array([[[1, 0.5, 0.25, 1.0], [1, 0.1, 0.1, 0.1]]]))
    readings = made_up_readings(np.ones((1, 2)), rank_SNK=rank, log_SNK=log)
    table = made_up_table(readings, asked_NK=[[1, 2, 3, -1], [1, 2, 3, 4]])
    (race,) = option_race(table, options="texts", gold_N=np.array([0, 0]))
    assert race.mass.value[0] is not None
    assert abs(race.mass.value[0] - (0.75 + 0.3) / 2) < 1e-6
    assert abs(race.chance - (1 / 2 + 1 / 3) / 2) < 1e-12


def test_options_of_questions_of_one_fact_are_drawn_together() -> None:
    readings = made_up_readings([[1] * 24, [2] * 24], num_asked=3)
    table = made_up_table(readings, asked_NK=[[1, 2, 3]] * 24)
    of_facts = table.of_facts(np.arange(24) // 4)
    assert of_facts.select(np.arange(24) < 8).drawn_by.tolist() == [0] * 4 + [1] * 4
    gold_N = np.zeros(24, dtype=np.int64)
    alone, together = (
        option_race(item, options="texts", gold_N=gold_N)[0] for item in (table, of_facts)
    )
    assert (alone.mass.prompts, together.mass.prompts) == (24, 6)
    assert alone.mass.value == together.mass.value
