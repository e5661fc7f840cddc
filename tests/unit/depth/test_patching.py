import numpy as np
import pytest
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.patching import patch_cases, patched_lenses
from search_cluster.model.depth_states.patch_readings import PatchReadings

LIKELY, RARE = np.log(0.5), np.log(0.1)
DONOR, OTHER_DONOR, RECIPIENT = 0, 1, 2


def pair(best: list[int]) -> np.ndarray:
    """Of two donors' options and one of the recipient, the likeliest: patched, then unpatched."""
    log_SK = np.full((len(best), 3), RARE)
    log_SK[np.arange(len(best)), best] = LIKELY
    return log_SK


READINGS = PatchReadings(
    prompt_N=np.arange(3),
    log_SNK=np.stack(
        [
            pair([RECIPIENT, RECIPIENT, DONOR, DONOR, RECIPIENT]),
            pair([RECIPIENT, OTHER_DONOR, DONOR, DONOR, RECIPIENT]),
            pair([RECIPIENT, OTHER_DONOR, RECIPIENT, OTHER_DONOR, RECIPIENT]),
        ],
        axis=1,
    ).astype(np.float32),
)
"""Three pairs at depths 0 to 3, then as they are."""


def test_runs_turn_to_the_donors_options_where_they_stay_with_them() -> None:
    cases = {item.case: item for item in patch_cases(READINGS, np.array([DONOR] * 3), 2)}
    assert list(cases) == ["all", "right", "wrong"]
    whole = cases["all"]
    assert whole.donors.value == pytest.approx((0, 2 / 3, 2 / 3, 1), abs=1e-5)
    assert whole.donors_answer.value == pytest.approx((0, 1 / 3, 2 / 3, 1), abs=1e-5)
    assert whole.recipients_answer.value == pytest.approx((1, 1 / 3, 1 / 3, 0), abs=1e-5)
    assert whole.turned.value == pytest.approx((2 + 1 + 3) / 3)
    assert whole.donors_mass.value[0] == pytest.approx(0.2)
    assert whole.recipients_mass.value[0] == pytest.approx(0.5)
    assert cases["right"].turned.value == 1.5
    assert (cases["right"].donors.n[0], cases["wrong"].donors.n[0]) == (2, 1)


def test_a_lens_that_finds_the_options_before_runs_turn_is_too_early() -> None:
    """The lens finds the options from depth 1 on."""
    rank_SNK = np.zeros((4, 3, 3))
    rank_SNK[0, :, 1:] = 900
    readings = made_up_readings(np.ones((4, 3)), rank_SNK=rank_SNK, log_SNK=rank_SNK - 1.0)
    donors = made_up_table(readings, asked_NK=[[7, 8, 9]] * 3)
    (found,) = patched_lenses(READINGS, donors, 2)
    assert found.lens == "logit"
    assert found.collected.value == 1
    assert found.turned_later.value == 1


def test_pairs_of_one_fact_are_drawn_together() -> None:
    gold_N, facts = np.array([DONOR, DONOR, OTHER_DONOR]), np.array([4, 4, 9])
    cases = {item.case: item for item in patch_cases(READINGS, gold_N, 2, facts)}
    assert {name: (item.turned.n, item.turned.prompts) for name, item in cases.items()} == {
        "all": (3, 2),
        "right": (3, 2),
    }
    readings = made_up_readings(np.ones((4, 3)), num_asked=3)
    donors = made_up_table(readings, asked_NK=[[7, 8, 9]] * 3)
    (found,) = patched_lenses(READINGS, donors, 2, facts)
    assert found.collected.prompts == found.turned_later.prompts == 2
