"""What is known of layers beforehand: learnt from a first look, and no more than it shows."""

import random

import pytest

from search_cluster.scan.constants import RACE
from search_cluster.scan.edits import Edit, path_of_edits
from search_cluster.scan.gain import Gain
from search_cluster.scan.racing.behind import not_behind
from search_cluster.scan.racing.layer_prior import LayerPrior
from search_cluster.scan.racing.ranking import Estimate
from search_cluster.scan.settings import Aim
from search_cluster.scan.space import Candidate, first_candidates

NUM_LAYERS = 12
SINGLES = first_candidates(NUM_LAYERS, ("skip", "repeat"), max_block=NUM_LAYERS, passes=2)
PRIOR = LayerPrior(influence=tuple(0.02 * (1 + layer % 4) for layer in range(NUM_LAYERS)))
ERROR = 0.05


def seen(candidate: Candidate, gain: float, error: float = ERROR) -> Estimate:
    known = Gain(gain, error)
    return Estimate(candidate=candidate, seen=known, gain=known, mean_change=0.3, num_questions=8)


def true_gain(candidate: Candidate) -> float:
    """Skips lose by their influence, repeats half as much."""
    (edit,) = candidate.edits
    return -(0.5 if edit.passes else 1.0) * PRIOR.of_edit(edit)


def looked_at(follows_influence: bool, seed: int = 0) -> list[Estimate]:
    rng = random.Random(seed)
    gains = [true_gain(item) for item in SINGLES]
    if not follows_influence:
        rng.shuffle(gains)
    return [seen(item, rng.gauss(gain, ERROR)) for item, gain in zip(SINGLES, gains, strict=True)]


def test_a_block_has_the_influence_of_its_layers_each_time_it_is_missing_or_runs_again() -> None:
    assert PRIOR.of_edit(Edit(0, 2, 0)) == pytest.approx(0.06)
    assert PRIOR.of_edit(Edit(0, 2, 2)) == pytest.approx(0.06)
    assert PRIOR.of_edit(Edit(1, 2, 4)) == pytest.approx(0.12)


def test_what_is_expected_is_learnt_of_skips_and_repeats_apart() -> None:
    expected = PRIOR.learn(looked_at(True))
    for edit in (Edit(2, 8, 0), Edit(2, 8, 2)):
        candidate = Candidate(path=path_of_edits([edit], NUM_LAYERS), edits=(edit,), step=0)
        prior = expected(candidate)
        assert prior is not None
        assert prior.mean == pytest.approx(true_gain(candidate), abs=0.04)
    listed = Candidate(path=SINGLES[0].path, edits=(), step=0)
    assert expected(listed) is None


def test_edits_of_much_influence_are_left_out_and_the_best_never() -> None:
    num_best = len(SINGLES) // 4
    for seed in range(5):
        items = looked_at(True, seed)
        kept = not_behind(items, PRIOR, Aim.ACCURACY, num_best)
        best = sorted(items, key=lambda item: -true_gain(item.candidate))[:num_best]
        paths = {item.path for item in kept}
        assert len(kept) < 0.7 * len(SINGLES)
        assert sum(item.path not in paths for item in best) <= 1


def test_influence_that_foretells_nothing_leaves_out_what_the_look_does() -> None:
    items = looked_at(False)
    kept = {item.path for item in not_behind(items, PRIOR, Aim.ACCURACY, len(SINGLES) // 4)}
    by_gain = sorted(items, key=lambda item: -item.seen.mean)
    assert {item.path for item in by_gain[: len(SINGLES) // 5]} <= kept


def test_paths_of_a_list_and_few_paths_all_go_on() -> None:
    items = looked_at(True)
    assert not_behind(items, PRIOR, Aim.ACCURACY, len(items)) == items
    listed = seen(Candidate(path=items[0].path, edits=(), step=0), 0.1)
    assert listed in not_behind([*items[1:], listed], PRIOR, Aim.ACCURACY, 10)


def test_where_shorter_paths_are_sought_those_that_may_keep_all_go_on() -> None:
    short, long = Edit(2, 4, 0), Edit(2, 4, 2)
    good = [seen(item, 0.2, 0.001) for item in SINGLES if not {short, long} & {*item.edits}]
    close = [
        seen(Candidate(path=path_of_edits([edit], NUM_LAYERS), edits=(edit,), step=0), 0.0, 0.001)
        for edit in (short, long)
    ]
    for aim, goes_on in ((Aim.ACCURACY, []), (Aim.LAYERS, close[:1]), (Aim.FRONT, close[:1])):
        kept = not_behind([*good, *close], PRIOR, aim, 20)
        assert [item for item in kept if item in close] == goes_on


def test_the_digest_is_that_of_the_figures() -> None:
    assert PRIOR.digest == LayerPrior(influence=PRIOR.influence).digest
    assert PRIOR.digest != LayerPrior(influence=PRIOR.influence[:-1]).digest
    assert len(PRIOR.digest) == 32
    assert RACE.prior_errors > 0
