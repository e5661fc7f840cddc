import numpy as np
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.repair import path_figures
from search_cluster.model.depth_states.tables import LOGIT, PathReadings


def test_a_skip_moves_onsets_and_its_difference_is_repaired_by_half_and_then_stays() -> None:
    """A model of five layers without layer 2; both predictions come one layer later."""
    depths = (0, 1, 2, 4, 5)
    rank_SN = np.array([[9, 9], [9, 9], [9, 9], [0, 0], [0, 0], [0, 0]])
    plain = made_up_table(
        made_up_readings(np.ones((6, 2)), rank_SNK=rank_SN[:, :, None].repeat(2, axis=2)),
        asked_NK=[[1, 1]] * 2,
    )
    apart = np.array([[0, 0], [0, 0], [0, 0], [4, 4], [1, 1]], dtype=np.float32)
    readings = PathReadings(
        prompt_N=np.arange(2),
        rank_PN=np.array([[9, 9], [9, 9], [9, 9], [0, 0], [0, 3]], dtype=np.int32),
        end_divergence_PN=apart,
        apart_PN=apart,
        distance_PN=apart / 10,
    )
    found = path_figures("0-1,3-4", LOGIT, depths, readings, plain, (1,))
    assert (found.peak_depth, found.repaired_depth) == (4, 5)
    assert found.last_apart.value == 1
    assert found.agreement.value == 0.5
    assert found.onset_moved[0].value == 1.0  # depth 4 instead of 3, on the one that stays
    assert found.onset_moved[0].n == 1
    assert found.executed_moved[0].value == 0.0
