import numpy as np
import pytest
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.lens_control import lens_control, shuffled_order
from search_cluster.model.depth_states.tables import LOGIT, SHUFFLED, TUNED


@pytest.mark.parametrize("num_layers", [2, 3, 30])
def test_no_translator_stays_and_the_seed_says_which_goes_where(num_layers: int) -> None:
    order = shuffled_order(num_layers, 0)
    assert order is not None
    assert sorted(order) == list(range(num_layers))
    assert all(depth != place for place, depth in enumerate(order))
    assert shuffled_order(num_layers, 0) == order
    assert num_layers < 30 or shuffled_order(num_layers, 1) != order


def test_one_translator_can_not_be_shuffled() -> None:
    assert shuffled_order(1, 0) is None


def test_what_shuffled_translators_keep_is_what_they_say_whatever_they_read() -> None:
    """Tuned 8 of 10 nats nearer, shuffled 2; the prediction is stable at depth 1, then at 2."""
    top = np.ones((4, 6))

    def lens(mean: float, ranks: list[int]) -> object:
        rank_SNK = np.repeat(np.array(ranks)[:, None, None], 6, axis=1)
        divergence_SN = np.repeat(np.array([50.0, mean, mean, 0.0])[:, None], 6, axis=1)
        return made_up_readings(
            top, rank_SNK=rank_SNK, log_SNK=rank_SNK - 1.0, divergence_SN=divergence_SN
        )

    usual = made_up_table(
        {LOGIT: lens(10, [9, 9, 9, 0]), TUNED: lens(2, [9, 0, 0, 0])}, asked_NK=[[1]] * 6
    )
    shuffled = made_up_table({SHUFFLED: lens(8, [9, 9, 0, 0])}, asked_NK=[[1]] * 6)
    right_N = np.array([True] * 5 + [False])
    found = lens_control(usual, shuffled, right_N, (1, 2, 0))
    assert found.kept.value == 0.25
    assert [found.mean_divergence[name].value for name in (LOGIT, TUNED, SHUFFLED)] == [10, 2, 8]
    assert found.divergence[SHUFFLED].value == (50, 8, 8, 0)
    first = {item.case: item.moved for item in found.moves if item.threshold == 1}
    assert first["right"].value == first["wrong"].value == 1
    assert (first["right"].n, first["wrong"].n) == (5, 1)
    assert first["right"].excludes_zero
    assert {item.lens for item in found.onsets} == {TUNED, SHUFFLED}
