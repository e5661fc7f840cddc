import numpy as np
from support.made_up_readings import made_up_readings, made_up_table

from search_cluster.depth.layers import check_priors, combined, layer_cards, layer_values, places
from search_cluster.model.depth_states.tables import TUNED

DIVERGENCE_SN = np.array([[9.0, 9.0], [8.0, 8.0], [2.0, 2.0], [2.5, 2.5], [0.0, 0.0]])
TOPS_SN = [[1, 1], [1, 1], [5, 1], [1, 5], [5, 5]]


def table_of_four_layers() -> object:
    readings = made_up_readings(TOPS_SN, divergence_SN=DIVERGENCE_SN)
    return made_up_table({TUNED: readings}, asked_NK=[[5, 5], [5, 5]])


def test_progress_and_repairs_belong_to_the_layer_between_two_depths() -> None:
    values = layer_values(table_of_four_layers())
    assert values["progress, tuned"][:, 0].tolist() == [1.0, 6.0, -0.5, 2.5]
    assert values["repairs, tuned"].tolist() == [[0, 0], [1, 0], [-1, 1], [1, 0]]


def test_the_layer_that_does_least_comes_first() -> None:
    assert places(np.array([1.0, 6.0, -0.5, 2.5])).tolist() == [2 / 3, 0.0, 1.0, 1 / 3]
    cards = layer_cards(table_of_four_layers(), None)
    assert max(cards, key=lambda card: card.score).layer == 2
    assert cards[1].progress[TUNED].value == 6.0
    assert cards[0].skip_change is None


def test_logit_figures_take_no_part_in_the_score_that_is_reported() -> None:
    tuned = {"influence": np.arange(4.0), f"progress, {TUNED}": np.arange(4.0)}
    other = tuned | {"progress, logit": np.arange(4.0)[::-1]}
    assert combined(tuned).tolist() == combined(other).tolist()


def test_a_prior_is_checked_against_measured_changes_and_known_paths() -> None:
    change_LQ = np.arange(20.0)[:, None] + np.random.default_rng(0).normal(size=(20, 30))
    scores = {"good": -np.arange(20.0), "bad": np.arange(20.0)}
    good, bad = check_priors(scores, change_LQ, {"0-10,15-19": (11, 12, 13, 14)})
    assert (good.spearman.low or 0) > 0.9
    assert (bad.spearman.high or 0) < -0.9
    assert good.top == tuple(range(12))
    assert good.held == {"0-10,15-19": 1}
    assert bad.held == {"0-10,15-19": 4}


def test_skips_are_judged_by_facts() -> None:
    change_LF = np.random.default_rng(0).normal(size=(4, 30))
    once = layer_cards(table_of_four_layers(), None, change_LF, change_LF)
    facts = np.tile(np.arange(30), 4)
    often_LQ = np.tile(change_LF, (1, 4))
    often = layer_cards(table_of_four_layers(), None, often_LQ, often_LQ, facts)
    for one, other in zip(once, often, strict=True):
        assert one.skip_change is not None
        assert other.skip_change is not None
        assert (other.skip_change.low, other.skip_change.prompts) == (one.skip_change.low, 30)
    scores = {"any": np.arange(4.0)}
    (alone,), (again,) = (
        check_priors(scores, change_LF, {}),
        check_priors(scores, often_LQ, {}, facts),
    )
    assert (again.spearman.low, again.spearman.high) == (alone.spearman.low, alone.spearman.high)
