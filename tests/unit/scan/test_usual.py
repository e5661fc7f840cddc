"""What is usual is learnt from the paths of a race, and only falls with the change."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_cluster.scan.constants import ANSWERS, RACE
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.gain import Gain, shrunk_gain, usual_of_single_layers
from search_cluster.scan.racing.ranking import Estimate
from search_cluster.scan.racing.usual import UsualGains, usual_gain
from search_cluster.scan.space import Candidate

ERROR = 0.03


def truth(change: float) -> float:
    """Blocks may change 40 % of what can be changed and lose nothing; then they lose fast."""
    return -0.5 * max(0.0, change - 0.4)


def raced(num_paths: int, seed: int = 0) -> list[tuple[float, Gain]]:
    rng = random.Random(seed)
    changes = [rng.uniform(0.1, 0.9) for _ in range(num_paths)]
    return [(change, Gain(rng.gauss(truth(change), ERROR), ERROR)) for change in changes]


def test_of_few_paths_nothing_is_learnt() -> None:
    assert usual_gain(raced(RACE.usual_paths - 1)) is usual_of_single_layers
    assert usual_gain(raced(RACE.usual_paths)) is not usual_of_single_layers


def test_what_blocks_usually_gain_is_found() -> None:
    usual = usual_gain(raced(600))
    for change in (0.15, 0.3, 0.39, 0.5, 0.7):
        assert usual(change).mean == pytest.approx(truth(change), abs=0.012)
        assert usual(change).spread == pytest.approx(ANSWERS.prior_spread, abs=0.008)
    assert usual_of_single_layers(0.39).mean < truth(0.39) - 0.03  # what it takes the place of


@given(
    seen=st.lists(
        st.tuples(st.floats(0.0, 1.0), st.floats(-1.0, 1.0), st.floats(0.0, 0.2)),
        min_size=RACE.usual_paths,
        max_size=80,
    ),
    order=st.randoms(use_true_random=False),
)
def test_it_never_rises_starts_at_nothing_and_knows_no_order(
    seen: list[tuple[float, float, float]], order: random.Random
) -> None:
    paths = [(change, Gain(mean, error)) for change, mean, error in seen]
    usual = usual_gain(paths)
    values = [usual(change) for change in np.linspace(0.0, 1.0, 101)]
    assert all(np.diff([prior.mean for prior in values]) <= 1e-12)
    assert all(np.diff([prior.spread for prior in values]) >= -1e-12)
    assert values[0].spread == ANSWERS.prior_spread
    order.shuffle(paths)
    again = usual_gain(paths)
    assert [again(change) for change in np.linspace(0.0, 1.0, 101)] == values


def test_a_block_that_changes_much_and_gains_comes_before_one_that_changes_little() -> None:
    """With the line of single layers it is the other way round."""
    usual = usual_gain(raced(600))
    block, idle = [0.35, -0.25] * 48, [0.1, -0.1] * 48
    assert shrunk_gain(block, 0.39, usual=usual).mean > shrunk_gain(idle, 0.1, usual=usual).mean
    assert shrunk_gain(block, 0.39).mean < shrunk_gain(idle, 0.1).mean


def estimates(
    edits: Sequence[tuple[Edit, ...]], step: int, change: float, gains: list[float]
) -> list[Estimate]:
    return [
        Estimate(
            candidate=Candidate(path=path_of_edits(of_one, 30), edits=of_one, step=step),
            seen=Gain(gain, 0.01),
            gain=Gain(gain, 0.01),
            mean_change=change,
            num_questions=96,
        )
        for of_one, gain in zip(edits, gains, strict=True)
    ]


def test_a_combination_is_expected_to_gain_a_share_of_its_parts_less_what_it_changes() -> None:
    usual = UsualGains()
    singles = [(Edit(layer, layer + 1, 0),) for layer in range(30)]
    gains = [0.04 if layer < 15 else 0.0 for layer in range(30)]
    usual.know_parts(estimates(singles, 0, 0.2, gains))
    pairs = [(*a, *b) for place, a in enumerate(singles) for b in singles[place + 1 :]]
    sums = [gains[a.first] + gains[b.first] for a, b in pairs]
    made = estimates(pairs, 1, 0.5, [0.5 * total - 0.03 for total in sums])
    few = made[: RACE.usual_paths - 1]
    usual.learn(1, few)
    good = made[0].candidate
    assert usual.of(good)(0.2).mean == 0.5 * 0.08 + usual_of_single_layers(0.2).mean
    usual.learn(1, made)
    assert usual.of(good)(0.5).mean == pytest.approx(0.5 * 0.08 - 0.03, abs=1e-3)
    assert usual.of(made[-1].candidate)(0.5).mean == pytest.approx(-0.03, abs=1e-3)
    assert usual.of(good)(0.0).mean == pytest.approx(0.5 * 0.08)
    single = estimates(singles, 0, 0.2, gains)[0].candidate
    assert usual.of(single) is usual_of_single_layers


def test_paths_that_change_much_are_known_to_differ_more() -> None:
    rng = random.Random(0)
    seen = []
    for _ in range(400):
        change = rng.uniform(0.1, 0.9)
        spread = 0.01 if change < 0.5 else 0.1
        seen.append((change, Gain(rng.gauss(-0.1 * change, math.hypot(spread, ERROR)), ERROR)))
    usual = usual_gain(seen)
    assert usual(0.3).spread == pytest.approx(ANSWERS.prior_spread, abs=0.005)
    assert usual(0.75).spread == pytest.approx(0.1, abs=0.03)
    lucky = [0.05] * 20
    assert shrunk_gain(lucky, 0.75, usual=usual).mean > 0.04  # nothing is known of such a path
