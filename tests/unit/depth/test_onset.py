import numpy as np
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.onset import onset_figures, onsets_of

RANKS_SN = [[9, 0, 9, 9], [0, 0, 9, 0], [5, 0, 9, 5], [0, 0, 9, 5], [0, 0, 0, 9]]
"""Enters, leaves and enters again; always there; the end alone; there once and gone."""


def test_first_crossing_and_stable_onset_differ_where_a_token_leaves_again() -> None:
    onsets = onsets_of(RANKS_SN, 1)
    assert onsets.first_N.tolist() == [1, 0, 4, 1]
    assert onsets.stable_N[:3].tolist() == [3, 0, 4]
    assert np.isnan(onsets.stable_N[3])
    assert onsets.leaves_N.tolist() == [True, False, False, True]


def test_a_larger_threshold_is_crossed_no_later() -> None:
    ones, tens = onsets_of(RANKS_SN, 1), onsets_of(RANKS_SN, 10)
    assert (tens.first_N <= ones.first_N).all()
    assert tens.stable_N.tolist() == [0, 0, 0, 0]


def test_a_token_that_never_crosses_is_counted_and_takes_no_part_in_the_mean() -> None:
    ranks = np.array([[9, 9], [0, 9]])[:, :, None].repeat(2, axis=2)
    table = made_up_table(
        made_up_readings([[1, 1], [2, 2]], rank_SNK=ranks), asked_NK=[[2, 2], [2, 2]]
    )
    both = {"all": np.array([True, True])}
    (found, wrong) = onset_figures(table, np.array([True, True]), groups=both, thresholds=(1,))
    assert (found.case, found.first.value, found.first.n) == ("right", 1.0, 1)
    assert (found.never.value, found.never.n) == (0.5, 2)
    assert wrong.first.value is None
    assert wrong.first.n == 0
